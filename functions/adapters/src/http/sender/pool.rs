//! Connections that are kept for the next attempt to the same place.
//!
//! A connection is kept while it is idle for less than [`KEEP_IDLE`], by the platform's clock *and* by this machine's:
//! an execution environment is frozen between two invocations, its timers do not count that time, and it wakes with
//! connections whose other sides are long gone. So the age decides when a connection is taken, not a timer. A
//! connection in use is not in the pool, not even one of HTTP/2: attempts that share one wait for each other where the
//! receiver allows few streams, or holds back the window of all of them, and one slow path would make the others time
//! out. A connection whose attempt did not end well is not used again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carteiro_core::address::WebhookUrl;
use jiff::Timestamp;

use super::connection::Connection;
use crate::runtime::clock::Stopwatch;

/// How long an unused connection is kept: less than servers do (often 5 s), so that it is rarely found closed.
pub(crate) const KEEP_IDLE: Duration = Duration::from_secs(4);

/// How long a connection is used: a host that has moved is found at its new address after that.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(60);

/// How many connections are kept: descriptors are few, and a batch uses ten.
pub(crate) const MAX_KEPT: usize = 64;

/// Where a connection leads, as the URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    https: bool,
    host: String,
    port: u16,
}

impl Place {
    pub(crate) fn of(url: &WebhookUrl) -> Self {
        Self { https: url.is_https(), host: url.host(), port: url.port() }
    }
}

struct Kept {
    connection: Connection,
    /// By the platform's clock.
    since: Timestamp,
    idle: Stopwatch,
}

impl Kept {
    fn is_young(&self, now: Timestamp) -> bool {
        // In either direction: two invocations' clocks differ by a little, and one that went back far does not show the
        // age.
        let idle = now.duration_since(self.since).unsigned_abs();
        let by_the_platform = idle < KEEP_IDLE;
        by_the_platform && self.idle.elapsed_ms() < millis(KEEP_IDLE) && self.connection.age() < MAX_AGE
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The kept connections.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<Place, Vec<Kept>>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a place that was used last, and can be used again.
    pub(crate) async fn take(&self, place: &Place, now: Timestamp) -> Option<Connection> {
        loop {
            let mut connection = self.newest(place, now)?;
            if connection.is_fit().await {
                return Some(connection);
            }
        }
    }

    fn newest(&self, place: &Place, now: Timestamp) -> Option<Connection> {
        let mut places = self.lock();
        for kept in places.values_mut() {
            kept.retain(|kept| kept.is_young(now));
        }
        places.retain(|_, kept| !kept.is_empty());
        let kept = places.get_mut(place)?;
        kept.pop().map(|kept| kept.connection)
    }

    /// Keeps a connection that is idle now.
    pub(crate) fn keep(&self, place: Place, connection: Connection, now: Timestamp) {
        let mut places = self.lock();
        let kept = places.entry(place).or_default();
        kept.push(Kept { connection, since: now, idle: Stopwatch::start() });
        if places.values().map(Vec::len).sum::<usize>() > MAX_KEPT {
            drop_the_oldest(&mut places);
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }
}

fn drop_the_oldest(places: &mut HashMap<Place, Vec<Kept>>) {
    // The first of each place is its oldest.
    let oldest = places.values_mut().filter(|kept| !kept.is_empty());
    if let Some(kept) = oldest.max_by_key(|kept| kept.first().map(|kept| kept.idle.elapsed_ms())) {
        kept.remove(0);
    }
}
