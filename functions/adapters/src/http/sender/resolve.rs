//! Resolves names, without letting a resolver that hangs hold up anything else.
//!
//! The system's resolver blocks its thread, for half a minute where no server answers. A lookup has a thread of its own
//! that is never joined: the runtime can end meanwhile, and its own threads stay free. Lookups of one name at the same
//! time are one. There are at most [`MAX_LOOKUPS`]; a name beyond that is not looked up, by our own fault.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;

/// How many names are looked up at once. A batch has ten, and lookups that hang end by themselves.
const MAX_LOOKUPS: usize = 64;

/// How a name is looked up: the system's resolver, or a test's.
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

type Answer = Result<Arc<[SocketAddr]>, ResolveError>;

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The resolver said so.
    #[error("the name could not be resolved")]
    Unresolved(#[source] Arc<io::Error>),
    /// It is there, and has no address.
    #[error("the name has no address")]
    NoAddress,
    /// It was not asked, by our own fault.
    #[error("the name could not be looked up")]
    NotAsked(#[source] Arc<io::Error>),
}

/// A resolver. Clones share the lookups under way.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Arc<Lookup>,
    under_way: Arc<UnderWay>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// The system's.
    pub(crate) fn of_the_system() -> Self {
        Self::new(Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())))
    }

    pub(crate) fn new(lookup: Arc<Lookup>) -> Self {
        Self { lookup, under_way: Arc::default() }
    }

    /// The addresses of a name; at least one. May be given up at any time.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Answer {
        let not_ended = |_| unresolved("the lookup did not end");
        let found = self.join(host, port)?.await.unwrap_or_else(not_ended)?;
        if found.is_empty() { Err(ResolveError::NoAddress) } else { Ok(found) }
    }

    /// Joins the lookup of a name, or begins it.
    fn join(&self, host: &str, port: u16) -> Result<Shared<oneshot::Receiver<Answer>>, ResolveError> {
        let name = (host.to_owned(), port);
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(&name) {
            return Ok(answer.clone());
        }
        if under_way.len() >= MAX_LOOKUPS {
            let error = io::Error::other(format!("{MAX_LOOKUPS} names are being looked up"));
            return Err(ResolveError::NotAsked(Arc::new(error)));
        }
        let (answer, waiting) = oneshot::channel();
        let (lookup, ending) = (Arc::clone(&self.lookup), Ending(Arc::clone(&self.under_way), name.clone()));
        let thread = move || {
            let found = lookup(&ending.1.0, ending.1.1);
            // Later callers look the name up again.
            drop(ending);
            let found = found.map(Arc::from).map_err(|error| ResolveError::Unresolved(Arc::new(error)));
            // No caller may be waiting any more.
            let _ = answer.send(found);
        };
        let started = std::thread::Builder::new().name("resolver".to_owned()).spawn(thread);
        started.map_err(|error| ResolveError::NotAsked(Arc::new(error)))?;
        let waiting = waiting.shared();
        under_way.insert(name, waiting.clone());
        Ok(waiting)
    }
}

fn unresolved<T>(why: &'static str) -> Result<T, ResolveError> {
    Err(ResolveError::Unresolved(Arc::new(io::Error::new(io::ErrorKind::NotFound, why))))
}

type Lookups = HashMap<(String, u16), Shared<oneshot::Receiver<Answer>>>;

#[derive(Default)]
struct UnderWay(Mutex<Lookups>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, Lookups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a lookup off the list when its thread is through, however it ends.
struct Ending(Arc<UnderWay>, (String, u16));

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A resolver that hangs until the returned sender is dropped, and how often it was asked.
    fn hanging() -> (Resolver, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (release, released) = mpsc::channel::<()>();
        let (released, asked) = (Mutex::new(released), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let lookup = move |host: &str, port| {
            count.fetch_add(1, Ordering::SeqCst);
            if host.starts_with("hang") {
                let _ = released.lock().map(|released| released.recv());
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        };
        (Resolver::new(Arc::new(lookup)), release, asked)
    }

    async fn gives_up(resolver: &Resolver, host: &str) {
        let waited = tokio::time::timeout(Duration::from_millis(20), resolver.resolve(host, 443)).await;
        assert!(waited.is_err(), "{host}: {waited:?}");
    }

    #[tokio::test]
    async fn a_name_that_hangs_is_looked_up_once_and_holds_up_no_other() {
        let (resolver, release, asked) = hanging();
        for _ in 0..20 {
            gives_up(&resolver, "hang").await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(resolver.resolve("quick", 443).await.unwrap().len(), 1);
        drop(release);
        assert_eq!(resolver.resolve("hang", 443).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn too_many_lookups_at_once_are_our_own_fault() {
        let (resolver, release, _) = hanging();
        for n in 0..MAX_LOOKUPS {
            gives_up(&resolver, &format!("hang-{n}")).await;
        }
        assert!(matches!(resolver.resolve("quick", 443).await, Err(ResolveError::NotAsked(_))));
        drop(release);
        let answered = async {
            while resolver.resolve("quick", 443).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answered).await.unwrap();
    }

    #[test]
    fn a_lookup_that_hangs_does_not_keep_the_runtime_from_ending() {
        let (resolver, release, _) = hanging();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(gives_up(&resolver, "hang"));
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            drop(runtime);
            let _ = ended.send(());
        });
        end.recv_timeout(Duration::from_secs(30)).unwrap();
        drop(release);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_not_resolved() {
        let resolver = Resolver::new(Arc::new(|_, _| Ok(Vec::new())));
        assert!(matches!(resolver.resolve("none", 443).await, Err(ResolveError::NoAddress)));
    }
}
