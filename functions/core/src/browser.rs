//! What a browser says with a request, and what it is told: the session's cookie, which page caused a request, and who
//! may frame the console.
//!
//! A browser adds a cookie to requests that any site causes. So a request by cookie counts only where the browser does
//! not say that another site caused it, and a change needs a value beside it that only the console's own page knows
//! ([`Token::csrf`]).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::own_hosts::OwnHosts;
use crate::session::{Token, TokenOf, changes};

/// The name of the session's cookie. The prefix has browsers take it over TLS (or from this machine) alone, for the one
/// host, and from no subdomain.
pub const COOKIE: &str = "__Host-carteiro-session";

/// The header that a change by cookie needs, in lower case.
pub const CSRF_HEADER: &str = "carteiro-csrf";

/// The header by which the console's page says that somebody used it since its last request, in lower case.
pub const ACT_HEADER: &str = "carteiro-act";

/// Whether somebody's act caused a request: it changes something, or the page says so. A page that nobody uses is read
/// anew by itself all the time, which must not keep its session.
#[must_use]
pub fn is_act(method: &str, header: Option<&str>) -> bool {
    changes(method) || header == Some("true")
}

/// The session's cookie of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// There is none.
    None,
    /// One that may be a session's.
    Session(Token),
    /// One that can be none's, or several that differ.
    Wrong,
}

impl Cookie {
    /// Reads the cookies of a request: `name=value`, or several of these with `;` between them.
    pub fn read<'a>(cookies: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs = cookies.into_iter().flat_map(|text| text.split(';'));
        let mut found = Self::None;
        for pair in pairs {
            let Some((name, value)) = pair.split_once('=') else { continue };
            // Of spaces and tabs alone: browsers do not guard the prefix of a name that begins with another kind of
            // space.
            let [name, value] = [name, value].map(|text| text.trim_matches([' ', '\t']));
            if name != COOKIE {
                continue;
            }
            let one = Token::read(TokenOf::Session, value).map_or(Self::Wrong, Self::Session);
            found = match found {
                Self::None => one,
                // A browser that has it for this site and for a frame of another one sends both.
                before if before == one => before,
                _ => Self::Wrong,
            };
        }
        found
    }

    /// The values of `Set-Cookie` that begin a session, in their order. Where other sites may frame the console, the
    /// cookie goes along in their frames, and is kept apart for each of them. It ends with the browser.
    #[must_use]
    pub fn begin(token: &Token, framing: &FrameAncestors) -> [String; 2] {
        let [alone, framed] = Self::ended();
        let of =
            |attributes: &str| format!("{COOKIE}={}; Path=/; Secure; HttpOnly; {attributes}", token.reveal());
        // That of the other kind would be sent along. It goes first: some browsers take both for the same one.
        if framing.is_none() { [framed, of(ALONE)] } else { [alone, of(FRAMED)] }
    }

    /// The values of `Set-Cookie` that end a session.
    #[must_use]
    pub fn ended() -> [String; 2] {
        [ALONE, FRAMED].map(|kind| format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; {kind}"))
    }
}

/// The attributes of a cookie that is sent from the console's own site alone.
const ALONE: &str = "SameSite=Strict";

/// The attributes of a cookie that is sent in frames of other sites, too, a different one in each.
const FRAMED: &str = "SameSite=None; Partitioned";

/// What a browser says of the page that caused a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct CausedBy<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Host`: where the request went.
    pub host: Option<&'a str>,
}

impl CausedBy<'_> {
    /// Whether the console's own page caused the request, as far as the browser says: `Sec-Fetch-Site` says so, or says
    /// that a person typed the address of something to read; and `Origin` is this host, or another of the deployment's
    /// own. Old browsers send neither.
    #[must_use]
    pub fn is_own_page(&self, method: &str, own: &OwnHosts) -> bool {
        let is_same = self.site == Some("same-origin");
        let site = match self.site {
            None => true,
            Some("none") => !changes(method),
            Some(_) => is_same,
        };
        let origin = match self.origin {
            None => true,
            // Of a page that tells nobody where it comes from, which the other header vouches for.
            Some("null") => is_same,
            Some(origin) => is_own_origin(origin, self.host, own),
        };
        site && origin
    }
}

fn is_own_origin(origin: &str, host: Option<&str>, own: &OwnHosts) -> bool {
    if host.and_then(own_origin).is_some_and(|of_host| of_host.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let Some(host) = origin.strip_prefix("https://").and_then(HostAndPort::read) else { return false };
    own.is_named(host.name, host.port.unwrap_or(443))
}

/// The origin of the page at a host: by TLS, except on this machine.
#[must_use]
pub fn own_origin(host: &str) -> Option<String> {
    let scheme = if HostAndPort::read(host)?.is_this_machine() { "http" } else { "https" };
    Some(format!("{scheme}://{host}"))
}

/// A host with a port, where one is named.
#[derive(Clone, Copy)]
struct HostAndPort<'a> {
    /// Without the brackets of an IPv6 address.
    name: &'a str,
    port: Option<u16>,
}

impl<'a> HostAndPort<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']')?;
                name.parse::<std::net::Ipv6Addr>().ok()?;
                (name, rest)
            }
            None => {
                let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
                (!name.is_empty() && name.len() <= 253 && name.bytes().all(is_plain)).then_some(())?;
                (name, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
            None if rest.is_empty() => None,
            Some(_) | None => return None,
        };
        Some(Self { name, port })
    }

    fn is_this_machine(self) -> bool {
        self.name == "localhost" || self.name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The sites that may show the console in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameAncestors(Vec<String>);

/// A text that is no list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin as https://name: {0}")]
pub struct InvalidOrigin(String);

/// The most origins that a policy names.
pub const MAX_FRAME_ANCESTORS: usize = 20;

impl FrameAncestors {
    /// Whether no site may.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FrameAncestors {
    /// The sources of the policy's directive `frame-ancestors`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("'none'") } else { f.write_str(&self.0.join(" ")) }
    }
}

impl FromStr for FrameAncestors {
    type Err = InvalidOrigin;

    /// Reads origins with spaces or commas between them: `https://name`, `https://name:port`, and `https://*.name` for
    /// all names below one. On this machine `http` will do. Nothing means that no site may.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
        let origins =
            parts.map(|part| origin(part).ok_or_else(|| InvalidOrigin(part.chars().take(100).collect())));
        let origins = origins.collect::<Result<Vec<_>, _>>()?;
        if origins.len() > MAX_FRAME_ANCESTORS {
            return Err(InvalidOrigin(format!(
                "{} of them, and {MAX_FRAME_ANCESTORS} at most",
                origins.len()
            )));
        }
        Ok(Self(origins))
    }
}

fn origin(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    let below = host.strip_prefix("*.");
    let parts = HostAndPort::read(below.unwrap_or(host))?;
    let is_named = below.is_none() || parts.name.contains('.') && parts.name.parse::<IpAddr>().is_err();
    let is_safe = scheme == "https" || scheme == "http" && below.is_none() && parts.is_this_machine();
    (is_named && is_safe).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> Token {
        Token::from_random(TokenOf::Session, [n; 32])
    }

    fn cookie(value: &str) -> String {
        format!("{COOKIE}={value}")
    }

    #[test]
    fn changes_are_acts_and_of_looks_those_that_say_so() {
        for (method, header, expected) in [
            ("GET", None, false),
            ("GET", Some("false"), false),
            ("GET", Some(""), false),
            ("GET", Some("true"), true),
            ("POST", None, true),
            ("DELETE", Some("false"), true),
        ] {
            assert_eq!(is_act(method, header), expected, "{method} {header:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others_and_only_under_its_own_name() {
        let own = cookie(token(1).reveal());
        let found = Cookie::Session(token(1));
        for cookies in [
            vec![own.as_str()],
            vec!["a=1", &own, "b"],
            vec![&*format!("a=1; {own}; b=2")],
            vec![&*format!("  {own}  ")],
            vec![&own, &own],
        ] {
            assert_eq!(Cookie::read(cookies.iter().copied()), found, "{cookies:?}");
        }
        for cookies in [vec![], vec![""], vec!["a=1"], vec![&own[7..]], vec![&*format!("x{own}")]] {
            assert_eq!(Cookie::read(cookies.iter().copied()), Cookie::None, "{cookies:?}");
        }
        let lower = own.to_ascii_lowercase();
        assert_eq!(Cookie::read([lower.as_str()]), Cookie::None, "a browser does not protect this name");
    }

    #[test]
    fn a_cookie_of_the_wrong_form_huge_or_twice_is_no_session() {
        let own = cookie(token(1).reveal());
        let other = cookie(token(2).reveal());
        let link = Token::from_random(TokenOf::Link, [1; 32]);
        for cookies in [
            vec![cookie("")],
            vec![cookie("1")],
            vec![cookie(&"a".repeat(100_000))],
            vec![cookie(link.reveal())],
            vec![cookie(&format!("\"{}\"", token(1).reveal()))],
            vec![own.clone(), other.clone()],
            vec![format!("{own}; {other}")],
            vec![own.clone(), cookie("")],
            vec![cookie(""), own.clone()],
            vec![own.clone(), other, own],
        ] {
            assert_eq!(Cookie::read(cookies.iter().map(String::as_str)), Cookie::Wrong, "{cookies:.90?}");
        }
    }

    #[test]
    fn the_cookie_is_hidden_from_scripts_and_other_sites() {
        let framed: FrameAncestors = "https://a.example".parse().unwrap();
        let [other, set] = Cookie::begin(&token(1), &FrameAncestors::default());
        let value = token(1).reveal().to_owned();
        assert_eq!(
            set,
            format!("__Host-carteiro-session={value}; Path=/; Secure; HttpOnly; SameSite=Strict")
        );
        assert_eq!(
            other,
            "__Host-carteiro-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=None; Partitioned"
        );
        let [other, set] = Cookie::begin(&token(1), &framed);
        assert!(set.contains(&value) && set.ends_with("SameSite=None; Partitioned"), "{set}");
        assert!(other.contains("Max-Age=0") && other.ends_with("SameSite=Strict"), "{other}");
        for ended in Cookie::ended() {
            assert!(ended.contains("Max-Age=0") && !ended.contains("cs_"), "{ended}");
        }
    }

    #[test]
    fn a_request_that_another_site_caused_is_recognised() {
        let own: OwnHosts = "hooks.example.org, other.example:8443".parse().unwrap();
        let api = Some("api.example");
        for (method, site, origin, host, expected) in [
            ("GET", None, None, api, true),
            ("POST", None, None, api, true),
            ("GET", Some("same-origin"), None, api, true),
            ("POST", Some("same-origin"), Some("https://api.example"), api, true),
            ("POST", Some("same-origin"), Some("null"), api, true),
            ("POST", None, Some("null"), api, false),
            ("GET", Some("none"), None, api, true),
            ("POST", Some("none"), None, api, false),
            ("GET", Some("cross-site"), None, api, false),
            ("GET", Some("same-site"), None, api, false),
            ("GET", Some("same-origin,cross-site"), None, api, false),
            ("GET", Some(""), None, api, false),
            ("POST", Some("same-origin"), Some("https://evil.example"), api, false),
            ("POST", None, Some("https://evil.example"), api, false),
            ("POST", None, Some("http://api.example"), api, false),
            ("POST", None, Some("https://api.example:444"), api, false),
            ("POST", None, Some("https://api.example.evil.example"), api, false),
            ("POST", None, Some("https://API.example"), api, true),
            ("POST", None, Some("https://hooks.example.org"), api, true),
            ("POST", None, Some("https://other.example:8443"), api, true),
            ("POST", None, Some("https://other.example"), api, false),
            ("POST", None, Some("https://api.example"), None, false),
            ("POST", None, Some("http://127.0.0.1:3000"), Some("127.0.0.1:3000"), true),
            ("POST", None, Some("http://127.0.0.1:3001"), Some("127.0.0.1:3000"), false),
            ("POST", None, Some("http://localhost:3000"), Some("localhost:3000"), true),
            ("POST", None, Some("http://[::1]:3000"), Some("[::1]:3000"), true),
            ("POST", None, Some(""), Some(""), false),
        ] {
            let caused = CausedBy { site, origin, host };
            assert_eq!(caused.is_own_page(method, &own), expected, "{method} {caused:?}");
        }
    }

    #[test]
    fn an_address_is_made_of_a_plain_host_alone() {
        for (host, expected) in [
            ("a.example", Some("https://a.example")),
            ("a.example:8443", Some("https://a.example:8443")),
            ("127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("localhost", Some("http://localhost")),
            ("[2001:db8::1]", Some("https://[2001:db8::1]")),
            ("", None),
            ("a.example/x", None),
            ("a.example#", None),
            ("a@evil.example", None),
            ("a.example:x", None),
            ("a.example:99999", None),
            ("a.example\r\nset-cookie: x=1", None),
            ("[evil]", None),
            ("[::1]x", None),
        ] {
            assert_eq!(own_origin(host).as_deref(), expected, "{host:?}");
        }
    }

    #[test]
    fn a_policy_names_whole_origins_and_nothing_else() {
        for (text, expected) in [
            ("", "'none'"),
            (" , ", "'none'"),
            ("https://app.example.com", "https://app.example.com"),
            ("https://A.example, https://b.example:8443", "https://a.example https://b.example:8443"),
            ("https://*.example.com", "https://*.example.com"),
            ("http://127.0.0.1:9000 http://localhost", "http://127.0.0.1:9000 http://localhost"),
        ] {
            assert_eq!(text.parse::<FrameAncestors>().unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "*",
            "https:",
            "https://*",
            "https://*.com",
            "https://*.1.2.3.4",
            "http://a.example",
            "a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example;script-src *",
            "'self'",
            "https://a.example 'unsafe-inline'",
            "https://a.exa*mple",
            "data:",
        ] {
            assert!(text.parse::<FrameAncestors>().is_err(), "{text}");
        }
        let many = "https://a.example ".repeat(MAX_FRAME_ANCESTORS + 1);
        assert!(many.parse::<FrameAncestors>().is_err());
    }
}
