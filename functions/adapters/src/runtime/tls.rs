//! What TLS clients trust, and what they remember of handshakes.
//!
//! The certificate authorities are the system's, or, on a machine without a bundle of them, the ones compiled in, so
//! that such a machine does not make a function fail at its start.

use std::sync::{Arc, OnceLock};

use aws_smithy_http_client::tls::TrustStore;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Of how many hosts a client remembers the last handshake, so that the next one is resumed: a full one costs 1.65 ms
/// of processor time, a resumed one 0.10.
pub(crate) const REMEMBERED_HOSTS: usize = 2000;

/// How many tickets of TLS 1.3 the library keeps for a host; its bound counts them.
const TICKETS_A_HOST: usize = 8;

/// The TLS of a client, made at its first handshake: the system's authorities take 3.5 ms to read, which a function
/// that calls nobody does not have to spend.
pub(crate) struct LazyTls {
    authorities: Authorities,
    /// The protocols that are offered, the preferred one first.
    protocols: &'static [&'static [u8]],
    made: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

/// The certificate authorities that a client trusts.
pub(crate) enum Authorities {
    /// The system's.
    OfTheSystem,
    /// These alone.
    Only(RootCertStore),
}

impl Authorities {
    /// These alone.
    ///
    /// # Errors
    /// Where one of them is none.
    pub(crate) fn only(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        Ok(Self::Only(roots))
    }
}

impl LazyTls {
    /// Trusts these authorities, and offers these protocols.
    pub(crate) fn new(authorities: Authorities, protocols: &'static [&'static [u8]]) -> Self {
        Self { authorities, protocols, made: OnceLock::new() }
    }

    /// The configuration.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        self.made.get_or_init(|| self.make().map(Arc::new)).clone()
    }

    fn make(&self) -> Result<ClientConfig, rustls::Error> {
        let roots = match &self.authorities {
            Authorities::OfTheSystem => root_store(),
            Authorities::Only(roots) => roots.clone(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = self.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        tls.resumption = Resumption::in_memory_sessions(REMEMBERED_HOSTS * TICKETS_A_HOST);
        Ok(tls)
    }
}

fn root_store() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

/// The authorities for the AWS SDK's client.
pub(crate) fn trust_store() -> TrustStore {
    let system = openssl_probe::probe();
    if system.cert_file.is_some() || !system.cert_dir.is_empty() {
        return TrustStore::default();
    }
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&STANDARD.encode(certificate));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    TrustStore::empty().with_pem_certificate(pem)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

    use super::*;

    #[test]
    fn there_are_always_roots() {
        assert!(!root_store().is_empty());
    }

    #[test]
    fn handshakes_with_a_thousand_hosts_are_resumed() {
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(["*.hosts.example".to_owned()]).unwrap();
        let certificate = own.self_signed(&key).unwrap().der().clone();
        let server = server(certificate.clone(), key.serialize_der());
        let tls = LazyTls::new(Authorities::only([certificate]).unwrap(), &[b"h2"]);
        let kinds = |kind: HandshakeKind| {
            let made = (0..1000).map(|host| handshake(&tls, &server, &format!("h{host}.hosts.example")));
            assert_eq!(made.filter(|made| *made == kind).count(), 1000, "{kind:?}");
        };
        kinds(HandshakeKind::Full);
        kinds(HandshakeKind::Resumed);
        kinds(HandshakeKind::Resumed);
    }

    /// A server whose tickets need no memory of its own.
    fn server(certificate: CertificateDer<'static>, key: Vec<u8>) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(server)
    }

    /// A handshake in memory, with the tickets that follow it.
    fn handshake(tls: &LazyTls, server: &Arc<ServerConfig>, host: &str) -> HandshakeKind {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut client = ClientConnection::new(tls.config().unwrap(), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        while client.wants_write() || server.wants_write() {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            server.read_tls(&mut sent.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut answered = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answered).unwrap();
            }
            let mut unread = answered.as_slice();
            while !unread.is_empty() {
                client.read_tls(&mut unread).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.handshake_kind().unwrap()
    }
}
