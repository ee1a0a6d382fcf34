//! The deployment's own hosts: where no webhook may lead, because what is delivered there would come in again.
//!
//! A host counts with every path of it. A list entry may name a port, which a stack on one machine needs; without one
//! it means every port. Names are compared as names, and addresses with what a host resolved to: a name that leads to
//! the listed address is as much our own as the address.
//!
//! Not guaranteed: another name for a listed *name* (an alias, a proxy in front) is not recognised. An HTTP API answers
//! such a name only where its operator configured it, and whatever comes in all the same is counted by [`crate::hop`].

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::address::WebhookUrl;

/// The deployment's own hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHosts(Vec<OwnHost>);

/// A host of the list, with the port where only one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnHost {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// A name, in lower case, without a dot at its end.
    Name(String),
    /// The beginning of the names of the deployment's HTTP API, whatever the domain of its partition.
    Api(String),
    Address(IpAddr),
}

/// A text that is no list of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host: {0}")]
pub struct InvalidHost(String);

/// A URL leads to the deployment itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL leads to this deployment itself")]
pub struct OwnAddress;

impl OwnHosts {
    /// These hosts, and those by which a request reached the deployment: the HTTP API with this id in this Region, and
    /// the domain that the platform names. A domain without a dot or that is an address is a machine's, not a
    /// deployment's, and is left out.
    #[must_use]
    pub fn and_of_request(&self, api: Option<&str>, region: Option<&str>, domain: Option<&str>) -> Self {
        let mut hosts = self.clone();
        if let (Some(api), Some(region)) = (api, region)
            && is_name(api)
            && is_name(region)
        {
            let start = format!("{}.execute-api.{}.", api.to_lowercase(), region.to_lowercase());
            hosts.0.push(OwnHost { host: Host::Api(start), port: None });
        }
        let domain = domain.map(plain).filter(|domain| domain.contains('.') && is_name(domain));
        if let Some(domain) = domain
            && domain.parse::<IpAddr>().is_err()
        {
            hosts.0.push(OwnHost { host: Host::Name(domain), port: None });
        }
        hosts
    }

    /// Whether a host, as it is written, and a port are of the list.
    #[must_use]
    pub fn is_named(&self, host: &str, port: u16) -> bool {
        let name = plain(host);
        self.0.iter().any(|own| {
            let is_host = match &own.host {
                Host::Name(own) => *own == name,
                Host::Api(start) => name.starts_with(start),
                Host::Address(own) => name.parse() == Ok(*own),
            };
            is_host && own.port.is_none_or(|own| own == port)
        })
    }

    /// Refuses a URL that names one of the hosts.
    ///
    /// # Errors
    /// Where it does.
    pub fn refuse_name(&self, url: &WebhookUrl) -> Result<(), OwnAddress> {
        let addresses: Vec<_> =
            url.literal_address().map(|address| SocketAddr::new(address, url.port())).into_iter().collect();
        self.refuse(url, &addresses)
    }

    /// Refuses a URL that names one of the hosts, or whose host resolved to one of them.
    ///
    /// # Errors
    /// Where it does.
    pub fn refuse(&self, url: &WebhookUrl, resolved: &[SocketAddr]) -> Result<(), OwnAddress> {
        let name = plain(&url.host());
        let is_own = |own: &OwnHost| {
            let on = |port: u16| own.port.is_none_or(|own| own == port);
            match &own.host {
                Host::Name(own) => *own == name && on(url.port()),
                Host::Api(start) => name.starts_with(start),
                Host::Address(own) => {
                    resolved.iter().any(|found| is_same_machine(*own, found.ip()) && on(found.port()))
                }
            }
        };
        if self.0.iter().any(is_own) { Err(OwnAddress) } else { Ok(()) }
    }
}

/// Whether two addresses reach one machine: they are the same, or both are this one's for itself. Linux connects to an
/// unspecified address as to loopback.
fn is_same_machine(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    let is_this_one = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    one == other || is_this_one(one) && is_this_one(other)
}

/// A name in the form in which it is compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl FromStr for OwnHosts {
    type Err = InvalidHost;

    /// Reads a comma-separated list of `name`, `name:port`, `address`, `address:port` and `[IPv6]:port`; empty parts
    /// are passed over.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for OwnHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: Host::Address(address.ip()), port: Some(address.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self { host: Host::Address(address), port: None });
        }
        let invalid = || InvalidHost(text.to_owned());
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let name = plain(name);
        if is_name(&name) { Ok(Self { host: Host::Name(name), port }) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::PrivateTargets;

    fn url(text: &str) -> WebhookUrl {
        let private: PrivateTargets = "127.0.0.0/8,::1/128,0.0.0.0/8,::/96,::ffff:0:0/96".parse().unwrap();
        WebhookUrl::check(text, &private).unwrap()
    }

    fn own(list: &str) -> OwnHosts {
        list.parse().unwrap()
    }

    #[test]
    fn an_own_host_is_recognised_in_every_spelling_port_and_path() {
        let own = own("api.example.com, hooks.example.org.");
        for text in [
            "https://api.example.com/bots/b/messages",
            "https://API.Example.COM/",
            "https://api.example.com./x?y",
            "https://api.example.com:8443/",
            "https://hooks.example.org/",
            "https://%61pi.example.com/",
        ] {
            assert_eq!(own.refuse_name(&url(text)), Err(OwnAddress), "{text}");
        }
        for text in ["https://example.com/", "https://xapi.example.com/", "https://api.example.com.br/"] {
            assert_eq!(own.refuse_name(&url(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_url_that_was_stored_unchecked_is_compared_alike() {
        let stored = WebhookUrl::try_from("https://API.example.com./".to_owned()).unwrap();
        assert_eq!(own("api.example.com").refuse_name(&stored), Err(OwnAddress));
    }

    #[test]
    fn every_spelling_of_loopback_leads_to_the_listed_port_alone() {
        let own = own("127.0.0.1:3000");
        for text in [
            "http://127.0.0.1:3000/",
            "http://127.1:3000/",
            "http://2130706433:3000/",
            "http://0x7f000001:3000/",
            "http://127.0.0.2:3000/",
            "http://0.0.0.0:3000/",
            "http://[::1]:3000/",
            "http://[::]:3000/",
            "http://[::ffff:127.0.0.1]:3000/",
        ] {
            assert_eq!(own.refuse_name(&url(text)), Err(OwnAddress), "{text}");
            let other_port = text.replace(":3000/", ":3001/");
            assert_eq!(own.refuse_name(&url(&other_port)), Ok(()), "{other_port}");
        }
    }

    #[test]
    fn a_name_that_resolves_to_a_listed_address_is_ours() {
        let own = own("127.0.0.1:3000,192.0.2.7,[2001:db8::7]:443");
        let leads = |text: &str, to: &str| own.refuse(&url(text), &[to.parse().unwrap()]).is_err();
        assert!(leads("http://localhost:3000/", "127.0.0.1:3000"));
        assert!(leads("http://localhost:3000/", "[::1]:3000"));
        assert!(!leads("http://localhost:3001/", "127.0.0.1:3001"));
        assert!(leads("https://a.example/", "192.0.2.7:443"));
        assert!(leads("https://a.example:9000/", "192.0.2.7:9000"));
        assert!(!leads("https://a.example/", "192.0.2.8:443"));
        assert!(leads("https://a.example/", "[2001:db8::7]:443"));
        let both = ["192.0.2.8:443".parse().unwrap(), "192.0.2.7:443".parse().unwrap()];
        assert!(own.refuse(&url("https://a.example/"), &both).is_err(), "one of several is enough");
    }

    #[test]
    fn a_request_tells_the_apis_own_names() {
        let own =
            OwnHosts::default().and_of_request(Some("abc123"), Some("us-east-1"), Some("Hooks.example.com"));
        for text in [
            "https://abc123.execute-api.us-east-1.amazonaws.com/bots/b/messages",
            "https://ABC123.execute-api.us-east-1.amazonaws.com.:8443/",
            "https://abc123.execute-api.us-east-1.amazonaws.com.cn/",
            "https://abc123.execute-api.us-east-1.api.aws/",
            "https://hooks.example.com/",
        ] {
            assert_eq!(own.refuse_name(&url(text)), Err(OwnAddress), "{text}");
        }
        for text in [
            "https://abc1234.execute-api.us-east-1.amazonaws.com/",
            "https://abc123.execute-api.us-east-2.amazonaws.com/",
        ] {
            assert_eq!(own.refuse_name(&url(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_machines_own_address_in_a_request_says_nothing() {
        for domain in [None, Some(""), Some("127.0.0.1"), Some("localhost"), Some("[::1]"), Some("a b.c")] {
            let own = OwnHosts::default().and_of_request(None, Some("us-east-1"), domain);
            assert_eq!(own, OwnHosts::default(), "{domain:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_named() {
        for text in ["https://a.example", "a b", "a.example:http", "a.example:99999", "a.example/x", "[::1"] {
            assert!(text.parse::<OwnHosts>().is_err(), "{text}");
        }
        assert_eq!(own(""), OwnHosts::default());
        assert_eq!(own(" , ,"), OwnHosts::default());
        assert_eq!("a,b c".parse::<OwnHosts>().unwrap_err().to_string(), "not a host: b c");
    }
}
