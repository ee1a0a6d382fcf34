//! Why an attempt failed, more closely than its class says: a stable code, a sentence in both languages, and for some a
//! short detail.
//!
//! Guaranteed: no detail holds a header's value, a URL's query or credentials in a URL, and each is one line of at most
//! [`MAX_DETAIL_BYTES`]. The classes ([`crate::outcome::FailureKind`]) are contracts and few; codes may be added, so a
//! reader passes over one that it does not know.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;

use crate::address::WebhookUrl;
use crate::mask::Mask;

/// The longest detail: it is repeated in streaks, logs and notices.
pub const MAX_DETAIL_BYTES: usize = 256;

/// How many of a certificate's names a detail lists.
const MAX_NAMES: usize = 5;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The code.
    pub code: Code,
    /// Where a redirect leads, or which names a certificate has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The codes, with their sentences.
macro_rules! codes {
    ($($code:ident $name:literal $portuguese:literal $english:literal)*) => {
        /// A code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = concat!("`", $name, "`: ", $english, ".")]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The name in logs and answers.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            /// The cause in Portuguese and in English, as part of a sentence.
            #[must_use]
            pub fn sentences(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$code => ($portuguese, $english),)*
                }
            }
        }
    };
}

codes! {
    NameUnknown "name_unknown"
        "o nome do servidor não existe no DNS"
        "the server's name does not exist in DNS"
    NameHasNoAddress "name_has_no_address"
        "o nome do servidor existe no DNS, mas não tem endereço"
        "the server's name exists in DNS, but has no address"
    LookupFailed "lookup_failed"
        "a consulta ao DNS pelo nome do servidor falhou"
        "the DNS lookup of the server's name failed"
    LookupTimedOut "lookup_timed_out"
        "a consulta ao DNS pelo nome do servidor não terminou a tempo"
        "the DNS lookup of the server's name did not end in time"
    OnlyIpv6 "only_ipv6"
        "o servidor só tem endereços IPv6, e daqui só se alcançam endereços IPv4"
        "the server has IPv6 addresses only, and from here only IPv4 addresses can be reached"
    ConnectionRefused "connection_refused"
        "o servidor recusou a conexão: nenhum programa atende nessa porta"
        "the server refused the connection: no program listens on that port"
    Unreachable "unreachable"
        "não há caminho de rede até o servidor"
        "there is no network path to the server"
    ConnectTimedOut "connect_timed_out"
        "o servidor não aceitou a conexão a tempo"
        "the server did not accept the connection in time"
    ConnectionReset "connection_reset"
        "o servidor interrompeu a conexão (reset)"
        "the server reset the connection"
    TlsTimedOut "tls_timed_out"
        "a negociação da conexão segura (TLS) não terminou a tempo"
        "the TLS handshake did not end in time"
    TlsClosed "tls_closed"
        "o servidor fechou a conexão durante a negociação da conexão segura (TLS)"
        "the server closed the connection during the TLS handshake"
    NotTls "not_tls"
        "o servidor não fala TLS nessa porta"
        "the server does not speak TLS on that port"
    TlsVersion "tls_version"
        "o servidor não aceita TLS 1.2 nem TLS 1.3"
        "the server takes neither TLS 1.2 nor TLS 1.3"
    TlsNothingInCommon "tls_nothing_in_common"
        "o servidor não aceita nenhum dos algoritmos de TLS oferecidos"
        "the server takes none of the TLS algorithms that were offered"
    TlsNameRefused "tls_name_refused"
        "o servidor não conhece o nome pelo qual foi chamado (SNI)"
        "the server does not know the name that it was called by (SNI)"
    TlsRefused "tls_refused"
        "o servidor recusou a conexão segura (TLS)"
        "the server refused the TLS connection"
    TlsBroken "tls_broken"
        "a conexão segura (TLS) foi violada"
        "the TLS connection broke its protocol"
    ClientCertificateDemanded "client_certificate_demanded"
        "o servidor exige um certificado do cliente"
        "the server demands a client certificate"
    CertificateExpired "certificate_expired"
        "o certificado do servidor está vencido"
        "the server's certificate has expired"
    CertificateNotYetValid "certificate_not_yet_valid"
        "o certificado do servidor ainda não é válido"
        "the server's certificate is not valid yet"
    CertificateWrongHost "certificate_wrong_host"
        "o certificado do servidor é de outros nomes"
        "the server's certificate is for other names"
    CertificateUntrusted "certificate_untrusted"
        "o emissor do certificado do servidor não é conhecido (certificado autoassinado, ou cadeia incompleta)"
        "the issuer of the server's certificate is not known (self-signed, or an incomplete chain)"
    CertificateRevoked "certificate_revoked"
        "o certificado do servidor foi revogado"
        "the server's certificate was revoked"
    CertificateBad "certificate_bad"
        "o certificado do servidor não serve para um servidor, ou está malformado"
        "the server's certificate is malformed, or not one for a server"
    ClosedBeforeAnswer "closed_before_answer"
        "o servidor fechou a conexão sem responder"
        "the server closed the connection without an answer"
    ClosedInHead "closed_in_head"
        "o servidor fechou a conexão no meio dos cabeçalhos da resposta"
        "the server closed the connection in the middle of the response's head"
    HeadTimedOut "head_timed_out"
        "o servidor aceitou a conexão, mas não respondeu a tempo"
        "the server took the connection, but did not answer in time"
    BodyTimedOut "body_timed_out"
        "a resposta começou, mas não terminou a tempo"
        "the response began, but did not end in time"
    EndedEarly "ended_early"
        "a resposta terminou antes do fim anunciado"
        "the response ended before its announced end"
    NotHttpPage "not_http_page"
        "o servidor respondeu com uma página sem cabeçalhos HTTP (HTTP/0.9)"
        "the server answered with a page without an HTTP head (HTTP/0.9)"
    NotHttpSsh "not_http_ssh"
        "quem respondeu é um servidor SSH, não HTTP"
        "an SSH server answered, not one of HTTP"
    NotHttpMail "not_http_mail"
        "quem respondeu é um servidor de e-mail ou FTP, não HTTP"
        "a mail or FTP server answered, not one of HTTP"
    NotHttpTls "not_http_tls"
        "o servidor espera uma conexão segura (https) nessa porta"
        "the server expects a TLS connection (https) on that port"
    NotHttpFrames "not_http_frames"
        "o servidor respondeu em HTTP/2 sem que isso fosse combinado"
        "the server answered in HTTP/2, which was not agreed on"
    NotHttpText "not_http_text"
        "a resposta é texto, mas não HTTP"
        "the response is text, but not HTTP"
    NotHttpBinary "not_http_binary"
        "a resposta é binária, e não HTTP"
        "the response is binary, and not HTTP"
    HttpVersion "http_version"
        "a resposta é de uma versão de HTTP que não foi pedida"
        "the response is in a version of HTTP that was not asked for"
    BadStatusLine "bad_status_line"
        "a primeira linha da resposta (status) está malformada"
        "the first line of the response, its status, is malformed"
    BadHeader "bad_header"
        "um cabeçalho da resposta está malformado"
        "a header of the response is malformed"
    HeadTooLarge "head_too_large"
        "os cabeçalhos da resposta são grandes ou numerosos demais"
        "the response's headers are too large or too many"
    BadLength "bad_length"
        "o Content-Length da resposta não é um número, ou há vários diferentes"
        "the response's Content-Length is no number, or there are several different ones"
    BadTransferCoding "bad_transfer_coding"
        "a resposta usa Transfer-Encoding em HTTP/1.0, que não o tem"
        "the response uses Transfer-Encoding in HTTP/1.0, which does not have it"
    BadChunk "bad_chunk"
        "o corpo da resposta, em partes (chunked), está malformado"
        "the response's chunked body is malformed"
    Http2Broken "http2_broken"
        "o servidor encerrou ou violou a conexão HTTP/2"
        "the server ended or broke the HTTP/2 connection"
    Redirected "redirected"
        "a URL redirecionou, e redirecionamentos não são seguidos"
        "the URL redirected, and redirects are not followed"
    RedirectedNowhere "redirected_nowhere"
        "a URL redirecionou sem dizer para onde, e redirecionamentos não são seguidos"
        "the URL redirected without saying where to, and redirects are not followed"
    NotModified "not_modified"
        "a URL respondeu que nada mudou, o que não confirma a entrega"
        "the URL answered that nothing has changed, which does not confirm the delivery"
}

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Self { code, detail: None }
    }
}

impl Cause {
    /// The cause of a response that is a redirect by its status. `location` is where it says to go.
    #[must_use]
    pub fn of_redirect(status: u16, location: Option<&str>, url: &WebhookUrl) -> Self {
        match (status, location) {
            (304, _) => Code::NotModified.into(),
            (_, None) => Code::RedirectedNowhere.into(),
            (_, Some(location)) => Self { code: Code::Redirected, detail: target(location, url) },
        }
    }

    /// The cause of a certificate that has these names, and not the host's.
    #[must_use]
    pub fn of_other_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = names.into_iter();
        let mut listed: Vec<String> = names.by_ref().take(MAX_NAMES).map(line).collect();
        if names.next().is_some() {
            listed.push("…".to_owned());
        }
        let detail = Some(cut(listed.join(", "))).filter(|detail| !detail.is_empty());
        Self { code: Code::CertificateWrongHost, detail }
    }

    /// The same without credentials.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        self.detail = self.detail.map(|detail| mask.out_of(&detail));
        self
    }
}

/// Scheme, host, port and path of where a location leads; None where it is no URL of HTTP. Queries, fragments and users
/// hold credentials.
#[must_use]
pub fn target(location: &str, url: &WebhookUrl) -> Option<String> {
    let base = Url::parse(url.as_str()).ok()?;
    let to = base.join(location.trim()).ok()?;
    if !matches!(to.scheme(), "http" | "https") {
        return None;
    }
    let port = to.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(cut(line(&format!("{}://{}{port}{}", to.scheme(), to.host_str()?, to.path()))))
}

/// A text as one line of printable characters.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_DETAIL_BYTES));
    text
}

/// Reads a cause that a row holds; None where a newer build wrote a code that this one does not know.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cause>, D::Error> {
    let stored = Option::<Value>::deserialize(deserializer)?;
    Ok(stored.and_then(|stored| serde_json::from_value(stored).ok()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::address::PrivateTargets;

    fn url() -> WebhookUrl {
        WebhookUrl::check("https://a.example/in/hook?key=secret", &PrivateTargets::default()).unwrap()
    }

    fn to(status: u16, location: Option<&str>) -> (Code, Option<String>) {
        let cause = Cause::of_redirect(status, location, &url());
        (cause.code, cause.detail)
    }

    #[test]
    fn every_code_has_its_name_and_sentences_of_its_own() {
        let (mut names, mut told) = (BTreeSet::new(), BTreeSet::new());
        for &code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(names.insert(code.as_str()), "{code:?}");
            let (portuguese, english) = code.sentences();
            for text in [portuguese, english] {
                assert!(text.chars().count() > 20 && !text.ends_with('.'), "{text}");
                assert!(text.starts_with(char::is_lowercase), "{text}");
                assert!(told.insert(text), "twice: {text}");
            }
        }
    }

    #[test]
    fn a_redirect_says_where_to_without_query_fragment_or_user() {
        for (location, target) in [
            ("https://b.example/new?token=s#f", "https://b.example/new"),
            ("http://user:pw@b.example:8080/x", "http://b.example:8080/x"),
            ("/login?next=/in", "https://a.example/login"),
            ("../up", "https://a.example/up"),
            ("//c.example", "https://c.example/"),
            ("?key=other", "https://a.example/in/hook"),
            (" https://b.example/a\r\nb ", "https://b.example/ab"),
        ] {
            assert_eq!(to(302, Some(location)), (Code::Redirected, Some(target.to_owned())), "{location}");
        }
        assert_eq!(to(308, Some("javascript:alert(1)")), (Code::Redirected, None));
        assert_eq!(to(301, None), (Code::RedirectedNowhere, None));
        assert_eq!(to(304, Some("/x")), (Code::NotModified, None));
        let long = to(302, Some(&format!("/{}", "é".repeat(1000)))).1.unwrap();
        assert!(long.len() <= MAX_DETAIL_BYTES && long.starts_with("https://a.example/"), "{long}");
    }

    #[test]
    fn the_names_of_a_certificate_are_listed_up_to_a_bound() {
        let detail = |names: &[&str]| Cause::of_other_names(names.iter().copied()).detail;
        assert_eq!(detail(&[]), None);
        assert_eq!(
            detail(&["b.example", "*.c.example\n"]).as_deref(),
            Some("b.example, *.c.example\u{fffd}")
        );
        assert_eq!(detail(&["a", "b", "c", "d", "e", "f"]).as_deref(), Some("a, b, c, d, e, …"));
        let long = "x".repeat(300);
        assert!(detail(&[&long, &long]).unwrap().len() <= MAX_DETAIL_BYTES);
    }
}
