//! Dials a webhook's host: resolves it, has *all* its addresses vetted, connects to one of them, and agrees on TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use carteiro_core::address::{ForbiddenAddress, PrivateTargets, WebhookUrl, vet};
use carteiro_core::cause::Code;
use carteiro_core::outcome::FailureKind;
use carteiro_core::own_hosts::{OwnAddress, OwnHosts};
use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::failed::Failed;
use super::phase::Phase;
use super::resolve::{ResolveError, Resolver};
use super::shared_tcp::SharedTcp;
use crate::runtime::tls::LazyTls;

/// How long one of several addresses of a host may take to connect.
const CONNECT_EACH: Duration = Duration::from_secs(5);

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a host are tried.
const MAX_ADDRESSES: usize = 4;

/// Out of memory, descriptors or buffers (ENOMEM, ENFILE, EMFILE, ENOBUFS): our own fault, whatever the host.
const OUT_OF_RESOURCES: [i32; 4] = [12, 23, 24, 105];

/// No port is left for a connection (EADDRNOTAVAIL); over IPv6, also where this machine has no such address.
const NO_ADDRESS_LEFT: i32 = 99;

/// There is no network of this family, or no path (EAFNOSUPPORT, ENETUNREACH, EHOSTUNREACH).
const NO_PATH: [i32; 3] = [97, 101, 113];

/// Dials vetted addresses.
pub(crate) struct Dialler {
    pub(crate) private: Arc<PrivateTargets>,
    pub(crate) own: Arc<OwnHosts>,
    pub(crate) resolver: Resolver,
    pub(crate) tls: LazyTls,
}

impl Dialler {
    /// A new connection, to one of these addresses, which were vetted.
    pub(crate) async fn dial(
        &self,
        url: &WebhookUrl,
        addresses: &[SocketAddr],
        phase: &mut Phase,
    ) -> Result<Connection, Failed> {
        *phase = Phase::Connect;
        let connected = connect(in_turns(addresses)).await;
        let (tcp, peer) = connected.map_err(|failed| only_ipv6(failed, addresses))?;
        let tcp = Arc::new(tcp);
        // A request is written at once; waiting to fill a packet would only delay it.
        let _ = tcp.set_nodelay(true);
        if !url.is_https() {
            return Connection::http1(SharedTcp::new(Arc::clone(&tcp)), tcp, peer).await;
        }
        *phase = Phase::Tls;
        let name = ServerName::try_from(url.host()).map_err(|_| Failed::theirs(FailureKind::Tls))?;
        let connector = TlsConnector::from(self.tls.config().map_err(Failed::ours)?);
        let agreed = connector.connect(name, SharedTcp::new(Arc::clone(&tcp))).await;
        let tls = agreed.map_err(|error| Failed::of_handshake(&error))?;
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            Connection::http2(tls, peer).await
        } else {
            Connection::http1(tls, tcp, peer).await
        }
    }

    /// The addresses of a URL's host, all of which may be dialled.
    pub(crate) async fn addresses(&self, url: &WebhookUrl) -> Result<Vec<SocketAddr>, Failed> {
        self.own.refuse_name(url).map_err(Refused::from)?;
        let found = match url.literal_address() {
            Some(address) => vec![SocketAddr::new(address, url.port())],
            None => self.resolver.resolve(&url.host(), url.port()).await?.to_vec(),
        };
        self.vet(url, &found)?;
        Ok(found)
    }

    /// Decides whether the addresses of a URL's host may be dialled: all of them, or none.
    pub(crate) fn vet(&self, url: &WebhookUrl, found: &[SocketAddr]) -> Result<(), Refused> {
        self.own.refuse(url, found)?;
        let ips: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        Ok(vet(url, &ips, &self.private)?)
    }
}

/// The addresses in the order of their attempts: as the resolver sorted them, families in turns, so that a host with
/// one broken family is reached by the other.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut others = other.into_iter();
    let mut turns = Vec::new();
    for address in one {
        turns.push(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    turns.truncate(MAX_ADDRESSES);
    turns
}

/// Connects to the first address that answers. The next one is tried when one has failed or had its head start.
async fn connect(addresses: Vec<SocketAddr>) -> Result<(TcpStream, SocketAddr), Failed> {
    let mut next = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed = Failed::theirs(FailureKind::Connect);
    loop {
        match next.next() {
            Some(address) => under_way.push(connect_to(address)),
            None if under_way.is_empty() => return Err(failed),
            None => {}
        }
        tokio::select! {
            Some(connected) = under_way.next() => match connected {
                Ok(stream) => return Ok(stream),
                // That one family has no path says nothing of a host that has another.
                Err(error) if is_without_path(&error) && !is_unexplained(&failed) => {}
                Err(error) => failed = error,
            },
            () = tokio::time::sleep(HEAD_START), if next.len() > 0 => {}
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<(TcpStream, SocketAddr), Failed> {
    match tokio::time::timeout(CONNECT_EACH, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok((stream, address)),
        Ok(Err(error)) => Err(not_connected(error, address)),
        Err(_) => Err(Failed::because(FailureKind::Timeout, Code::ConnectTimedOut)),
    }
}

fn not_connected(error: io::Error, address: SocketAddr) -> Failed {
    let no_port_left = address.is_ipv4() && error.raw_os_error() == Some(NO_ADDRESS_LEFT);
    if no_port_left || is_out_of_resources(&error) {
        return Failed::ours(error);
    }
    let code = match error.raw_os_error() {
        Some(code) if NO_PATH.contains(&code) || code == NO_ADDRESS_LEFT => Code::Unreachable,
        _ => match error.kind() {
            io::ErrorKind::ConnectionRefused => Code::ConnectionRefused,
            io::ErrorKind::ConnectionReset => Code::ConnectionReset,
            io::ErrorKind::TimedOut => Code::ConnectTimedOut,
            _ => return Failed::theirs(FailureKind::Connect),
        },
    };
    Failed::because(FailureKind::Connect, code)
}

fn is_without_path(failed: &Failed) -> bool {
    matches!(failed, Failed::Theirs(_, Some(cause)) if cause.code == Code::Unreachable)
}

fn is_unexplained(failed: &Failed) -> bool {
    matches!(failed, Failed::Theirs(_, None))
}

/// Why no address could be reached, where all are of IPv6: outside a VPC a function has no IPv6.
fn only_ipv6(failed: Failed, addresses: &[SocketAddr]) -> Failed {
    if is_without_path(&failed) && addresses.iter().all(SocketAddr::is_ipv6) {
        return Failed::because(FailureKind::Connect, Code::OnlyIpv6);
    }
    failed
}

fn is_out_of_resources(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OUT_OF_RESOURCES.contains(&code))
}

impl From<ResolveError> for Failed {
    fn from(error: ResolveError) -> Self {
        match error {
            // The resolver needs descriptors, too.
            ResolveError::Unresolved(why) if !is_out_of_resources(&why) => {
                Self::because(FailureKind::Dns, of_lookup(&why.to_string()))
            }
            ResolveError::NoAddress => Self::because(FailureKind::Dns, Code::NameHasNoAddress),
            error => Self::ours(error),
        }
    }
}

/// No attempt may go where a URL leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// To an address that is not public.
    #[error(transparent)]
    ForbiddenAddress(#[from] ForbiddenAddress),
    /// To the deployment itself.
    #[error(transparent)]
    OwnAddress(#[from] OwnAddress),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::theirs(match refused {
            Refused::ForbiddenAddress(_) => FailureKind::ForbiddenAddress,
            Refused::OwnAddress(_) => FailureKind::OwnAddress,
        })
    }
}

/// The messages of the system's resolver, which has no codes: those of glibc, and of musl.
fn of_lookup(said: &str) -> Code {
    const UNKNOWN: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    const NO_ADDRESS: [&str; 2] = ["No address associated with", "Name has no usable address"];
    if UNKNOWN.iter().any(|text| said.contains(text)) {
        Code::NameUnknown
    } else if NO_ADDRESS.iter().any(|text| said.contains(text)) {
        Code::NameHasNoAddress
    } else {
        Code::LookupFailed
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns_and_four_addresses_are_tried() {
        let found = ["[2a00::1]:1", "[2a00::2]:1", "[2a00::3]:1", "9.9.9.9:1", "9.9.9.8:1"].map(address);
        let tried = ["[2a00::1]:1", "9.9.9.9:1", "[2a00::2]:1", "9.9.9.8:1"].map(address);
        assert_eq!(in_turns(&found), tried);
        assert_eq!(in_turns(&found[3..]), found[3..]);
        assert_eq!(in_turns(&found[..1]), found[..1]);
    }

    #[tokio::test]
    async fn a_silent_address_delays_the_next_one_only_briefly() {
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&address("127.0.0.1:0").into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(silent)).await
        {
            filling.push(stream);
        }
        let began = tokio::time::Instant::now();
        let (_, connected) = connect(vec![silent, good.local_addr().unwrap()]).await.unwrap();
        assert_eq!(connected, good.local_addr().unwrap());
        assert!(began.elapsed() < CONNECT_EACH, "{:?}", began.elapsed());
        let closed = address("127.0.0.1:1");
        let (_, connected) = connect(vec![closed, good.local_addr().unwrap()]).await.unwrap();
        assert_eq!(connected, good.local_addr().unwrap());
        let refused = connect(vec![closed]).await.unwrap_err();
        assert_eq!(cause(&refused), (FailureKind::Connect, Some(Code::ConnectionRefused)));
    }

    #[test]
    fn what_this_machine_lacks_is_our_own_fault() {
        let (v4, v6) = (address("9.9.9.9:443"), address("[2a00::1]:443"));
        for (code, to, ours) in [
            (24, v4, true),
            (24, v6, true),
            (12, v4, true),
            (105, v4, true),
            (99, v4, true),
            (99, v6, false),
            (101, v6, false),
            (111, v4, false),
            (113, v4, false),
        ] {
            let failed = not_connected(io::Error::from_raw_os_error(code), to);
            assert_eq!(matches!(failed, Failed::Ours(_)), ours, "{code} {to}: {failed:?}");
        }
        let unresolved = |code| ResolveError::Unresolved(Arc::new(io::Error::from_raw_os_error(code)));
        assert!(matches!(Failed::from(unresolved(24)), Failed::Ours(_)));
        assert_eq!(cause(&Failed::from(unresolved(2))), (FailureKind::Dns, Some(Code::LookupFailed)));
    }

    fn cause(failed: &Failed) -> (FailureKind, Option<Code>) {
        let Failed::Theirs(kind, cause) = failed else { panic!("{failed:?}") };
        (*kind, cause.as_ref().map(|cause| cause.code))
    }

    #[test]
    fn a_host_of_ipv6_alone_is_told_from_one_that_cannot_be_reached() {
        let (v4, v6) = (address("9.9.9.9:443"), address("[2a00::1]:443"));
        let failed = |code, to| not_connected(io::Error::from_raw_os_error(code), to);
        for code in [97, 99, 101] {
            let only = only_ipv6(failed(code, v6), &[v6]);
            assert_eq!(cause(&only), (FailureKind::Connect, Some(Code::OnlyIpv6)), "{code}");
            let both = only_ipv6(failed(code, v6), &[v6, v4]);
            assert_eq!(cause(&both), (FailureKind::Connect, Some(Code::Unreachable)), "{code}");
        }
        let refused = only_ipv6(failed(111, v6), &[v6]);
        assert_eq!(cause(&refused), (FailureKind::Connect, Some(Code::ConnectionRefused)));
    }

    #[test]
    fn what_the_resolver_says_is_told_apart() {
        for (said, code) in [
            ("failed to lookup address information: Name or service not known", Code::NameUnknown),
            ("failed to lookup address information: Name does not resolve", Code::NameUnknown),
            (
                "failed to lookup address information: No address associated with hostname",
                Code::NameHasNoAddress,
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                Code::LookupFailed,
            ),
            ("the lookup did not end", Code::LookupFailed),
        ] {
            assert_eq!(of_lookup(said), code, "{said}");
        }
        let no_address = Failed::from(ResolveError::NoAddress);
        assert_eq!(cause(&no_address), (FailureKind::Dns, Some(Code::NameHasNoAddress)));
    }
}
