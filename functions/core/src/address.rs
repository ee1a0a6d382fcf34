//! The address guard: which URLs a webhook may have, and which addresses an attempt may dial.
//!
//! A name is resolved at every attempt, and if *any* of its addresses is not public the attempt fails: a name that
//! answers with a public and a private address is how the check and the connection are made to differ. The vetted
//! address is the one that is dialled, so a second resolution cannot slip in. Redirects are not followed.
//!
//! The set of public addresses follows the special-purpose registries of IANA (RFC 6890 and its successors), range by
//! range in `docs/address_guard.md`. An IPv6 address that carries an IPv4 one (mapped, compatible, translated, NAT64,
//! 6to4, Teredo, ISATAP) is never public. Not guaranteed: a network's own prefix for NAT64 (RFC 6052, 2.2) looks like
//! any other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The longest URL of a webhook, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// Whether an address belongs to the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// `(first octets, prefix length)` of everything in IPv4 that is not public.
const SPECIAL_V4: [([u8; 4], u8); 15] = [
    ([0, 0, 0, 0], 8),       // "this network" (RFC 791)
    ([10, 0, 0, 0], 8),      // private (RFC 1918)
    ([100, 64, 0, 0], 10),   // carrier NAT (RFC 6598)
    ([127, 0, 0, 0], 8),     // loopback (RFC 1122)
    ([169, 254, 0, 0], 16),  // link-local, the metadata services among it (RFC 3927)
    ([172, 16, 0, 0], 12),   // private (RFC 1918)
    ([192, 0, 0, 0], 24),    // protocol assignments (RFC 6890)
    ([192, 0, 2, 0], 24),    // documentation (RFC 5737)
    ([192, 88, 99, 0], 24),  // 6to4 relays, deprecated (RFC 7526)
    ([192, 168, 0, 0], 16),  // private (RFC 1918)
    ([198, 18, 0, 0], 15),   // benchmarking (RFC 2544)
    ([198, 51, 100, 0], 24), // documentation (RFC 5737)
    ([203, 0, 113, 0], 24),  // documentation (RFC 5737)
    ([224, 0, 0, 0], 4),     // multicast (RFC 5771)
    ([240, 0, 0, 0], 4),     // reserved, limited broadcast among it (RFC 1112, RFC 919)
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|&(network, length)| {
        Ipv4Net::new(Ipv4Addr::from(network), length).is_ok_and(|network| network.contains(&address))
    })
}

/// The ranges inside 2000::/3, the only global unicast space, that are not public.
const SPECIAL_V6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments: Teredo, ORCHID, benchmarking (RFC 2928)
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation (RFC 3849)
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4 (RFC 3056)
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation (RFC 9637)
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Everything else (mapped, compatible, NAT64, unique local, link-local, multicast, SRv6, …) lies outside it.
    let global_unicast = address.segments()[0] & 0xe000 == 0x2000;
    global_unicast
        && !carries_isatap(address)
        && !SPECIAL_V6.iter().any(|&(network, length)| {
            Ipv6Net::new(Ipv6Addr::from(network), length).is_ok_and(|network| network.contains(&address))
        })
}

/// Whether the address ends in an IPv4 one behind ISATAP's mark, under whichever prefix (RFC 5214, 6.1).
fn carries_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x0200, 0x5efe, _, _])
}

/// Labels of 1 to 63 letters, digits, hyphens or underscores, 253 bytes in all (RFC 1035, 2.3.4; the underscore is in
/// use). `url` has turned other scripts into their ASCII form.
fn is_dns_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    name.len() <= 253 && name.split('.').all(label)
}

/// The private networks that a deployment opens for its webhooks, plain http included. Empty for a real one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateTargets(Vec<IpNet>);

/// A text that is no list of CIDRs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a CIDR: {0}")]
pub struct InvalidCidr(String);

impl PrivateTargets {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for PrivateTargets {
    type Err = InvalidCidr;

    /// Reads a comma-separated list; empty parts are passed over.
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.parse().map_err(|_| InvalidCidr(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Why a webhook cannot have a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No URL at all.
    #[error("is not an absolute URL with a host, as https://example.com/path")]
    NotAUrl,
    /// More than [`MAX_URL_BYTES`].
    #[error("longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Another scheme, or http where no private target is open.
    #[error("only https is taken")]
    Scheme,
    /// A host that is no name of the DNS.
    #[error("the host is not a name that the DNS can hold")]
    Host,
    /// A user name or password in it.
    #[error("a user name or password in a URL is not taken; set an Authorization header instead")]
    Credentials,
    /// A fragment, which no request carries.
    #[error("a fragment is never sent; leave it out")]
    Fragment,
    /// A port below 1024 other than https' own.
    #[error("port {0} is not taken: 443, or one above 1023")]
    Port(u16),
    /// An address that is not public.
    #[error("{0} is not a public address")]
    ForbiddenAddress(IpAddr),
}

/// A URL that a webhook may have, in its normal form: host spellings (octal, hexadecimal, IDN) are settled.
///
/// Read from storage it is taken as it is: every attempt is vetted again by [`vet`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Checks what a customer gave.
    ///
    /// # Errors
    /// See [`UrlError`]. A name's addresses are checked at each attempt, not here.
    pub fn check(text: &str, private: &PrivateTargets) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        let mut url = Url::parse(text).map_err(|_| UrlError::NotAUrl)?;
        if let Some(Host::Domain(name)) = url.host() {
            // The dot at the end of a full name is no part of it for TLS.
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            if !is_dns_name(&name) {
                return Err(UrlError::Host);
            }
            url.set_host(Some(&name)).map_err(|_| UrlError::NotAUrl)?;
        }
        match url.scheme() {
            "https" => {}
            "http" if !private.0.is_empty() => {}
            _ => return Err(UrlError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        let checked = Self(url);
        // Escapes make it longer, and a stored URL must pass this check again when another field is changed.
        if checked.as_str().len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        match checked.port() {
            443 | 1024.. => {}
            port => return Err(UrlError::Port(port)),
        }
        if let Some(address) = checked.literal_address() {
            vet(&checked, &[address], private)
                .map_err(|ForbiddenAddress(address)| UrlError::ForbiddenAddress(address))?;
        }
        Ok(checked)
    }

    /// The URL as text, in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The port that is dialled.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// The host as it is resolved, or as TLS names it: no brackets around an IPv6 address.
    #[must_use]
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn literal_address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        }
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = url::ParseError;

    fn try_from(text: String) -> Result<Self, url::ParseError> {
        Url::parse(&text).map(Self)
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An attempt may not dial this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a public address")]
pub struct ForbiddenAddress(pub IpAddr);

/// Decides whether the addresses that a URL's host resolved to may be dialled: all of them, or none.
///
/// Plain http may go to private targets alone.
///
/// # Errors
/// The first address that may not be dialled.
pub fn vet(url: &WebhookUrl, addresses: &[IpAddr], private: &PrivateTargets) -> Result<(), ForbiddenAddress> {
    let allowed = |address: IpAddr| private.contain(address) || (url.is_https() && is_public(address));
    match addresses.iter().find(|&&address| !allowed(address)) {
        Some(&address) => Err(ForbiddenAddress(address)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn none() -> PrivateTargets {
        PrivateTargets::default()
    }

    fn loopback() -> PrivateTargets {
        "127.0.0.0/8, ::1/128".parse().unwrap()
    }

    #[test]
    fn a_url_is_no_longer_than_the_limit_in_its_normal_form_either() {
        let none = PrivateTargets::default();
        let quoted = |quotes: usize| format!("https://example.com/{}", "\"".repeat(quotes));
        let checked = WebhookUrl::check(&quoted(600), &none).unwrap();
        assert_eq!(WebhookUrl::check(checked.as_str(), &none), Ok(checked));
        assert_eq!(WebhookUrl::check(&quoted(700), &none), Err(UrlError::TooLong));
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2600::1",
            "2a00:1450::1",
            "3ffe::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_ipv6_outside_global_unicast_is_public(bits: u128) {
            prop_assume!(bits >> 125 != 1);
            prop_assert!(!is_public(IpAddr::V6(Ipv6Addr::from(bits))));
        }

        #[test]
        fn an_ipv4_address_in_any_ipv6_disguise_is_not_public(v4: u32, low: u64) {
            let v4 = u128::from(v4);
            let disguises = [
                0xffff_u128 << 32 | v4,                                              // mapped
                v4,                                                                  // compatible
                0x0064_ff9b_u128 << 96 | v4,                                         // NAT64
                0x2002_u128 << 112 | v4 << 80 | u128::from(low),                     // 6to4
                0x2001_0000_u128 << 96 | u128::from(low) << 32 | (!v4 & 0xffff_ffff), // Teredo
            ];
            for bits in disguises {
                prop_assert!(!is_public(IpAddr::V6(Ipv6Addr::from(bits))));
            }
        }

        #[test]
        fn an_opened_network_opens_nothing_else(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let url = WebhookUrl::check("https://example.com/", &loopback()).unwrap();
            let allowed = vet(&url, &[IpAddr::V4(address)], &loopback()).is_ok();
            prop_assert_eq!(allowed, address.is_loopback() || is_public_v4(address));
        }
    }

    #[test]
    fn a_url_is_https_at_a_public_place() {
        for text in [
            "https://example.com",
            "https://example.com:8443/a?b=c",
            "https://8.8.8.8/",
            "https://bücher.example/",
        ] {
            assert!(WebhookUrl::check(text, &none()).is_ok(), "{text}");
        }
        assert!(matches!(WebhookUrl::check("nonsense", &none()), Err(UrlError::NotAUrl)));
        assert!(matches!(WebhookUrl::check("https://", &none()), Err(UrlError::NotAUrl)));
        for text in ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "mailto:a@b.c"] {
            assert_eq!(WebhookUrl::check(text, &none()), Err(UrlError::Scheme), "{text}");
        }
        for text in [
            "https://a{b}.example/",
            "https://a\"b.example/",
            "https://a`b.example/",
            "https://a..b.example/",
            "https://.example/",
        ] {
            assert_eq!(WebhookUrl::check(text, &none()), Err(UrlError::Host), "{text}");
        }
        let long_label = format!("https://{}.example/", "a".repeat(64));
        assert_eq!(WebhookUrl::check(&long_label, &none()), Err(UrlError::Host));
        assert_eq!(
            WebhookUrl::check("https://example.com./a", &none()).unwrap().as_str(),
            "https://example.com/a"
        );
        assert_eq!(WebhookUrl::check("https://u:p@example.com/", &none()), Err(UrlError::Credentials));
        assert_eq!(WebhookUrl::check("https://example.com/#a", &none()), Err(UrlError::Fragment));
        assert_eq!(WebhookUrl::check("https://example.com:80/", &none()), Err(UrlError::Port(80)));
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        assert_eq!(WebhookUrl::check(&long, &none()), Err(UrlError::TooLong));
    }

    #[test]
    fn odd_spellings_of_a_private_host_are_settled_before_the_check() {
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://127.0.0.1./",
            "https://①②⑦.⓪.⓪.①/",
        ] {
            assert!(matches!(WebhookUrl::check(text, &none()), Err(UrlError::ForbiddenAddress(_))), "{text}");
        }
    }

    #[test]
    fn private_targets_open_plain_http_to_themselves_alone() {
        let url = WebhookUrl::check("http://127.0.0.1:3001/x", &loopback()).unwrap();
        assert_eq!((url.host().as_str(), url.port(), url.is_https()), ("127.0.0.1", 3001, false));
        assert!(matches!(
            WebhookUrl::check("http://8.8.8.8:8080/", &loopback()),
            Err(UrlError::ForbiddenAddress(_))
        ));
        assert!(matches!(
            WebhookUrl::check("https://10.0.0.1/", &loopback()),
            Err(UrlError::ForbiddenAddress(_))
        ));
        assert!("127.0.0.0/33".parse::<PrivateTargets>().is_err());
        assert_eq!("".parse::<PrivateTargets>().unwrap(), none());
    }

    #[test]
    fn one_forbidden_address_among_good_ones_forbids_all() {
        let url = WebhookUrl::check("https://example.com/", &none()).unwrap();
        let good = "8.8.8.8".parse().unwrap();
        let bad = "10.0.0.1".parse().unwrap();
        assert_eq!(vet(&url, &[good], &none()), Ok(()));
        assert_eq!(vet(&url, &[good, bad], &none()), Err(ForbiddenAddress(bad)));
    }
}
