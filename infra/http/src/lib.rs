//! What the local stack's HTTP servers share: they serve programs of this machine, and no web page but their own.
//!
//! The stack listens on the loopback interface, and most of its ports ask for no key. Any web page that a developer has
//! open can send requests there. [`guarded`] stands before every server's handler:
//!
//! - **Host.** The request must name the loopback interface: `localhost`, a name below it, 127.0.0.0/8 or `::1`, with
//!   any port, for ports are forwarded. A name of somebody's own that resolves to this machine (DNS rebinding) is
//!   refused with 421.
//! - **Origin.** A request of a page must come from the server's own origin. Another port is another origin. Browsers
//!   leave the header out of some requests, and say in `Sec-Fetch-Site` where these come from. Refused with 403.
//! - **Preflights** are refused, and no answer carries a header of CORS: no other page can read one.
//!
//! Programs (the AWS SDKs, curl, the functions) send no `Origin`, and nothing changes for them.

mod server;

pub use server::{Bounds, serve, stopped};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::{Request, Response, StatusCode, Uri};
use std::net::{IpAddr, Ipv4Addr};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How the names of all headers of CORS begin.
const CORS: &str = "access-control-";

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Its host is not this machine's loopback interface.
    Host,
    /// It comes from a page of another origin.
    Origin,
    /// It asks whether a page of another origin may send a request.
    Preflight,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::Preflight => StatusCode::FORBIDDEN,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Host => {
                "the local stack answers to localhost and 127.0.0.1 alone; its Host header names another host"
            }
            Self::Origin => "the local stack answers no web page of another origin",
            Self::Preflight => "the local stack lets no web page of another origin send requests",
        }
    }

    fn answer<B>(self, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let (status, detail) = (self.status(), self.detail());
        let title = status.canonical_reason().unwrap_or_default();
        let problem = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{detail}","message":"{detail}"}}"#,
            status.as_u16()
        );
        let mut response = Response::new(body(problem.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// Answers a request by `answer` if it comes from a program of this machine or from a page of this very server; else
/// refuses it. `body` makes a body of a refusal's text. No answer lets another page read it.
///
/// # Errors
/// Those of `answer`.
pub async fn guarded<I, B, E, F>(
    request: Request<I>,
    body: impl FnOnce(Bytes) -> B,
    answer: impl FnOnce(Request<I>) -> F,
) -> Result<Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let mut response = match check(request.uri(), request.headers()) {
        Ok(()) => answer(request).await?,
        Err(refusal) => refusal.answer(body),
    };
    let headers = response.headers_mut();
    let cors: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(CORS)).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
    Ok(response)
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = only(headers, &HOST).ok().flatten().ok_or(Refusal::Host)?;
    // A request line that names a host itself must name the same machine.
    let named = uri.authority().map(http::uri::Authority::as_str);
    if !is_loopback(host) || !named.is_none_or(is_loopback) {
        return Err(Refusal::Host);
    }
    if headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return Err(Refusal::Preflight);
    }
    let origin = only(headers, &ORIGIN).map_err(|()| Refusal::Origin)?;
    let is_own = |origin: &str| {
        let rest = origin.get(.."http://".len()).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        rest.is_some_and(|scheme| origin[scheme.len()..].eq_ignore_ascii_case(host))
    };
    let site = only(headers, &SEC_FETCH_SITE).map_err(|()| Refusal::Origin)?;
    // `same-site` is another port of this machine. `none` is a person who typed the address.
    let is_own_site = site.is_none_or(|site| ["same-origin", "none"].contains(&site));
    if origin.is_none_or(is_own) && is_own_site { Ok(()) } else { Err(Refusal::Origin) }
}

/// The one value of a header; an error where there are several, or where it is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether `host`, with its port or without, names the loopback interface. Names below `localhost` never leave a
/// machine (RFC 6761, 6.3), so nobody can point one of them here from outside.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    if host.starts_with('[') {
        return name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_ipv6() && address.to_canonical().is_loopback());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uri: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts.uri, &parts.headers)
    }

    #[test]
    fn only_loopback_names_are_hosts_of_this_machine() {
        for host in [
            "127.0.0.1:3000",
            "127.0.0.1",
            "127.8.9.10:1",
            "localhost:3000",
            "LOCALHOST.",
            "a.localhost:80",
            "[::1]:3000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(checked("/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "127.1",
            "2130706433",
            "0.0.0.0:3000",
            "192.168.1.2:3000",
            "[::]:3000",
            "[fe80::1]",
            "[::1",
            "[::1]evil.example",
            "[127.0.0.1]",
            "127.0.0.1:3000@evil.example",
            "localhost:evil",
            "127.0.0.1, evil.example",
        ] {
            assert_eq!(checked("/", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(checked("/", &[]), Err(Refusal::Host));
        assert_eq!(checked("/", &[("host", "localhost"), ("host", "evil.example")]), Err(Refusal::Host));
        assert_eq!(checked("http://evil.example/", &[("host", "localhost")]), Err(Refusal::Host));
        assert_eq!(checked("http://localhost:3000/", &[("host", "localhost:3000")]), Ok(()));
    }

    #[test]
    fn a_page_is_served_by_its_own_origin_alone() {
        let host = ("host", "127.0.0.1:3000");
        for own in [
            vec![("origin", "http://127.0.0.1:3000")],
            vec![("origin", "HTTP://127.0.0.1:3000"), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none")],
        ] {
            assert_eq!(checked("/", &[vec![host], own.clone()].concat()), Ok(()), "{own:?}");
        }
        for foreign in [
            vec![("origin", "https://evil.example")],
            vec![("origin", "null")],
            vec![("origin", "")],
            vec![("origin", "http://127.0.0.1:3001")],
            vec![("origin", "http://127.0.0.1")],
            vec![("origin", "https://127.0.0.1:3000")],
            vec![("origin", "http://localhost:3000")],
            vec![("origin", "http://127.0.0.1:3000"), ("origin", "https://evil.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(
                checked("/", &[vec![host], foreign.clone()].concat()),
                Err(Refusal::Origin),
                "{foreign:?}"
            );
        }
        let preflight =
            [host, ("origin", "http://127.0.0.1:3000"), ("access-control-request-method", "POST")];
        assert_eq!(checked("/", &preflight), Err(Refusal::Preflight));
    }

    #[tokio::test]
    async fn refused_requests_reach_no_handler_and_no_page_reads_answers() {
        let asked = |host: &str| Request::builder().header("host", host).body(()).unwrap();
        let open = |_| async {
            let response = Response::builder()
                .header("access-control-allow-origin", "*")
                .header("access-control-max-age", "1")
                .header("x-own", "1");
            Ok::<_, ()>(response.body(Bytes::new()).unwrap())
        };
        let answer = guarded(asked("localhost:1"), |body| body, open).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().keys().collect::<Vec<_>>(), ["x-own"]);
        let unreached = |_| async { Err::<Response<Bytes>, ()>(()) };
        let answer = guarded(asked("evil.example"), |body| body, unreached).await.unwrap();
        assert_eq!(answer.status(), 421);
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(text.starts_with('{') && text.ends_with('}') && text.contains("\"status\":421"), "{text}");
    }
}
