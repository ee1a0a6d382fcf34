//! A certificate authority of the tests, and the certificates that receivers show.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Certificate;

/// Why no certificate could be made, or no server with it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// No certificate.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// No server.
    #[error("a server cannot be set up")]
    Server(#[from] rustls::Error),
    /// No check of clients.
    #[error("a check of clients' certificates cannot be set up")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// An authority. What trusts it takes the certificates of receivers that do not misbehave in theirs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    /// A new one, with a key of its own.
    ///
    /// # Errors
    /// Where no certificate can be made.
    pub fn new() -> Result<Self, AuthorityError> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name.push(DnType::CommonName, "an authority of tests");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(parameters, key), certificate })
    }

    /// Its certificate, in the form of a bundle of roots.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its certificate.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// A server that shows a certificate and offers these protocols.
    pub(crate) fn server(
        &self,
        shown: Certificate,
        protocols: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let (chain, key) = self.issue(shown)?;
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// A server that takes only clients with a certificate of this authority.
    pub(crate) fn server_of_clients(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der())?;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        let (chain, key) = self.issue(Certificate::Good)?;
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        Ok(Arc::new(builder.with_client_cert_verifier(clients).with_single_cert(chain, key)?))
    }

    fn issue(
        &self,
        shown: Certificate,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let names = match shown {
            Certificate::WrongHost => vec![SanType::DnsName("elsewhere.example".try_into()?)],
            _ => vec![
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                SanType::DnsName("localhost".try_into()?),
            ],
        };
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.subject_alt_names = names;
        match shown {
            Certificate::Expired => {
                parameters.not_before = date_time_ymd(2020, 1, 1);
                parameters.not_after = date_time_ymd(2021, 1, 1);
            }
            Certificate::NotYetValid => parameters.not_before = date_time_ymd(2200, 1, 1),
            Certificate::Good | Certificate::SelfSigned | Certificate::WrongHost => {}
        }
        let key = KeyPair::generate()?;
        let certificate = match shown {
            Certificate::SelfSigned => parameters.self_signed(&key)?,
            _ => parameters.signed_by(&key, &self.issuer)?,
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.der().clone()], key.into()))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
