//! The certificate authorities that TLS clients trust: the system's, or, on a machine without a bundle of them, the
//! ones compiled in, so that such a machine does not make a function fail at its start.

use aws_smithy_http_client::tls::TrustStore;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;

/// For clients made with rustls itself.
pub(crate) fn root_store() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

/// For the AWS SDK's client.
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
    use super::*;

    #[test]
    fn there_are_always_roots() {
        assert!(!root_store().is_empty());
    }
}
