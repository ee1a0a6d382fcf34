//! A server that stands in for a customer: it stores what arrives at any path, checks the signatures of Standard
//! Webhooks, shows it all to people and programs, and answers as it is told to, well or badly.
//!
//! Every path is a webhook endpoint, for every method, but for two: `GET /`, a page for people, and what begins with
//! `/_/`, the control API (see the module `control`). What tests need is also on [`Receiver`] itself.
//!
//! Guaranteed: a request is stored before it is answered, so whoever has an answer finds the request here; numbers
//! only grow; memory is bounded (see [`Limits`]), and what was dropped to keep to the bound is counted. Not
//! guaranteed: anything across a restart, for nothing is written to a disk.
//!
//! Behaviours (a delay, a drip) pass in the machine's time, like the sockets they act on. The signatures' timestamps
//! and `received_at` are by the [`Clock`] that the stack runs on.

mod behaviour;
mod control;
mod delivery;
mod endpoint;
mod page;
mod response;
mod secrets;
mod store;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carteiro_clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use behaviour::{Answer, Behaviour, DropAt, InvalidBehaviour};
pub use delivery::{Delivery, SignatureCheck};
pub use secrets::AddSecretError;

use secrets::Secrets;
use store::Store;

/// What a receiver keeps at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body that is taken, in bytes; a larger one is answered 413 and not stored.
    pub body_bytes: usize,
    /// How many deliveries are kept; the oldest go first.
    pub kept: usize,
    /// How many bytes of bodies and headers are kept; the oldest go first.
    pub kept_bytes: usize,
    /// How many pairs of path and `webhook-id` are counted.
    pub counted_ids: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 * 1024 * 1024,
            kept: 100_000,
            kept_bytes: 512 * 1024 * 1024,
            counted_ids: 1_000_000,
        }
    }
}

/// How a receiver runs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The time by which signatures are checked and arrivals are stamped.
    pub clock: Clock,
    /// What it keeps at most.
    pub limits: Limits,
}

/// What a receiver counted since it started or was cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Deliveries that arrived whole.
    pub received: u64,
    /// How many of them are still kept.
    pub kept: usize,
    /// How many of them were dropped to keep to [`Limits::kept`] and [`Limits::kept_bytes`].
    pub dropped: u64,
    /// Requests whose body was larger than [`Limits::body_bytes`].
    pub refused: u64,
    /// Requests whose body did not arrive whole.
    pub cut_short: u64,
    /// Deliveries whose `webhook-id` was not counted, to keep to [`Limits::counted_ids`].
    pub uncounted_ids: u64,
}

/// What was waited for did not arrive in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was waited for did not arrive within {waited:?}; {received} deliveries have arrived")]
pub struct NotArrived {
    /// How long was waited.
    pub waited: Duration,
    /// How many deliveries had arrived: at the path in question, or at all.
    pub received: u64,
}

/// What the server and the handle share.
struct Shared {
    clock: Clock,
    store: Store,
    secrets: Secrets,
    behaviours: behaviour::Behaviours,
}

/// A running receiver. It stops when it is dropped; [`Receiver::stop`] also waits until it has.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Receiver {
    /// Serves on `listener`, inside the current Tokio runtime.
    ///
    /// # Errors
    /// When the listener's address cannot be read.
    pub fn start(listener: TcpListener, options: Options) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock: options.clock,
            store: Store::new(options.limits),
            secrets: Secrets::default(),
            behaviours: behaviour::Behaviours::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(endpoint::serve(listener, Arc::clone(&shared), stopped));
        Ok(Self { shared, address, stop, server: Mutex::new(Some(server)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What is kept, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Arc<Delivery>> {
        self.shared.store.after(None, 0, usize::MAX)
    }

    /// What is kept of one path (without its query), oldest first.
    #[must_use]
    pub fn deliveries_to(&self, path: &str) -> Vec<Arc<Delivery>> {
        self.shared.store.after(Some(path), 0, usize::MAX)
    }

    /// How often each `webhook-id` arrived at a path since the start or [`Receiver::clear`], whether the deliveries
    /// are still kept or not.
    #[must_use]
    pub fn counts_by_webhook_id(&self, path: &str) -> HashMap<String, u64> {
        self.shared.store.counts_by_webhook_id(path)
    }

    /// How many deliveries arrived at a path since the start or [`Receiver::clear`], kept or not.
    #[must_use]
    pub fn count(&self, path: &str) -> u64 {
        self.shared.store.count(Some(path))
    }

    /// How many deliveries at a path were answered, or had their connection closed as the path's behaviour says, since
    /// the start or [`Receiver::clear`]. One is counted when its answer begins, so whoever has an answer finds it
    /// counted; one that its client left before is not.
    #[must_use]
    pub fn answered(&self, path: &str) -> u64 {
        self.shared.store.answered(path)
    }

    /// What was counted.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.store.totals()
    }

    /// Waits until a delivery has arrived (before or during the wait) that is `wanted`, and returns the first such.
    ///
    /// # Errors
    /// When none has after `timeout` of the machine's time.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&Delivery) -> bool,
        timeout: Duration,
    ) -> Result<Arc<Delivery>, NotArrived> {
        let store = &self.shared.store;
        let mut seen = 0;
        let search = store.wait(|| {
            let new = store.after(None, seen, usize::MAX);
            seen = new.last().map_or(seen, |delivery| delivery.number);
            new.into_iter().find(|delivery| wanted(delivery))
        });
        let not_arrived = |_| NotArrived { waited: timeout, received: store.count(None) };
        tokio::time::timeout(timeout, search).await.map_err(not_arrived)
    }

    /// Waits until `count` deliveries have arrived at a path since the start or [`Receiver::clear`], and returns what
    /// is kept of it.
    ///
    /// # Errors
    /// When they have not after `timeout` of the machine's time.
    pub async fn wait_for_count(
        &self,
        path: &str,
        count: u64,
        timeout: Duration,
    ) -> Result<Vec<Arc<Delivery>>, NotArrived> {
        let store = &self.shared.store;
        let enough = store.wait(|| (store.count(Some(path)) >= count).then_some(()));
        let not_arrived = |_| NotArrived { waited: timeout, received: store.count(Some(path)) };
        tokio::time::timeout(timeout, enough).await.map_err(not_arrived)?;
        Ok(self.deliveries_to(path))
    }

    /// Answers a path (without its query) like this from now on; a sequence begins with its first answer.
    pub fn set_behaviour(&self, path: &str, behaviour: impl Into<Behaviour>) {
        self.shared.behaviours.set(path, behaviour.into());
    }

    /// Checks signatures against this secret (`whsec_…`) or public key (`whpk_…`) too.
    ///
    /// # Errors
    /// When the text is neither, or too many are known.
    pub fn add_secret(&self, secret: &str) -> Result<(), AddSecretError> {
        self.shared.secrets.add(secret.parse()?)
    }

    /// Forgets what arrived, and all that was counted. Behaviours and secrets stay, and numbers go on.
    pub fn clear(&self) {
        self.shared.store.clear();
    }

    /// Stops listening, closes every connection, and returns when that is done.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            // A panic of the server is shown by the runtime; there is nothing left to stop.
            _ = server.await;
        }
    }
}
