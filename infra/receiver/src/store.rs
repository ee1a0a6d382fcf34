//! What arrived, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::delivery::Delivery;
use crate::{Limits, Totals};

#[derive(Default)]
struct OfPath {
    received: u64,
    answered: u64,
    kept: VecDeque<Arc<Delivery>>,
    by_webhook_id: HashMap<Box<str>, u64>,
}

#[derive(Default)]
struct State {
    last_number: u64,
    kept: VecDeque<Arc<Delivery>>,
    kept_bytes: usize,
    counted_ids: usize,
    paths: HashMap<Arc<str>, OfPath>,
    totals: Totals,
}

pub(crate) struct Store {
    limits: Limits,
    state: Mutex<State>,
    /// Marked as changed at every arrival.
    arrived: watch::Sender<()>,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), arrived: watch::Sender::new(()) }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Gives the delivery its number and keeps it.
    pub(crate) fn add(&self, mut delivery: Delivery) {
        let mut state = self.lock();
        state.last_number += 1;
        delivery.number = state.last_number;
        state.add(Arc::new(delivery), &self.limits);
        drop(state);
        self.arrived.send_replace(());
    }

    /// Counts an answer to what arrived at a path. It is not counted where the path was forgotten meanwhile.
    pub(crate) fn add_answered(&self, path: &str) {
        if let Some(of_path) = self.lock().paths.get_mut(path) {
            of_path.answered += 1;
        }
    }

    /// How many of what arrived at a path were answered.
    pub(crate) fn answered(&self, path: &str) -> u64 {
        self.lock().paths.get(path).map_or(0, |of_path| of_path.answered)
    }

    pub(crate) fn add_refused(&self) {
        self.lock().totals.refused += 1;
    }

    pub(crate) fn add_cut_short(&self) {
        self.lock().totals.cut_short += 1;
    }

    /// Up to `limit` of what is kept (of a path, or of all) with a number above `after`, oldest first.
    pub(crate) fn after(&self, path: Option<&str>, after: u64, limit: usize) -> Vec<Arc<Delivery>> {
        let state = self.lock();
        let Some(kept) = state.kept_of(path) else { return Vec::new() };
        let from = kept.partition_point(|delivery| delivery.number <= after);
        kept.range(from..).take(limit).cloned().collect()
    }

    /// Up to `limit` of what is kept (of a path, or of all) with a number below `before`, newest first.
    pub(crate) fn before(&self, path: Option<&str>, before: u64, limit: usize) -> Vec<Arc<Delivery>> {
        let state = self.lock();
        let Some(kept) = state.kept_of(path) else { return Vec::new() };
        let to = kept.partition_point(|delivery| delivery.number < before);
        kept.range(..to).rev().take(limit).cloned().collect()
    }

    /// How many arrived, at a path or at all.
    pub(crate) fn count(&self, path: Option<&str>) -> u64 {
        let state = self.lock();
        match path {
            Some(path) => state.paths.get(path).map_or(0, |of_path| of_path.received),
            None => state.totals.received,
        }
    }

    pub(crate) fn counts_by_webhook_id(&self, path: &str) -> HashMap<String, u64> {
        let state = self.lock();
        let Some(of_path) = state.paths.get(path) else { return HashMap::new() };
        of_path.by_webhook_id.iter().map(|(id, count)| (id.clone().into_string(), *count)).collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        let state = self.lock();
        Totals { kept: state.kept.len(), ..state.totals }
    }

    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        *state = State { last_number: state.last_number, ..State::default() };
    }

    /// Returns what `look` finds, now or after an arrival.
    pub(crate) async fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut arrived = self.arrived.subscribe();
        loop {
            arrived.mark_unchanged();
            if let Some(found) = look() {
                return found;
            }
            // The sender lives as long as `self`, so this ends only by an arrival.
            _ = arrived.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn kept_of(&self, path: Option<&str>) -> Option<&VecDeque<Arc<Delivery>>> {
        match path {
            Some(path) => self.paths.get(path).map(|of_path| &of_path.kept),
            None => Some(&self.kept),
        }
    }

    fn add(&mut self, delivery: Arc<Delivery>, limits: &Limits) {
        self.totals.received += 1;
        self.kept_bytes += delivery.weight();
        let of_path = self.paths.entry(Arc::clone(&delivery.path)).or_default();
        of_path.received += 1;
        if let Some(id) = delivery.webhook_id() {
            if let Some(count) = of_path.by_webhook_id.get_mut(id) {
                *count += 1;
            } else if self.counted_ids < limits.counted_ids {
                of_path.by_webhook_id.insert(id.into(), 1);
                self.counted_ids += 1;
            } else {
                self.totals.uncounted_ids += 1;
            }
        }
        of_path.kept.push_back(Arc::clone(&delivery));
        self.kept.push_back(delivery);
        while self.kept.len() > limits.kept || self.kept_bytes > limits.kept_bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.kept.pop_front() else { return };
        self.kept_bytes -= oldest.weight();
        self.totals.dropped += 1;
        if let Some(of_path) = self.paths.get_mut(&oldest.path) {
            // The oldest of all is the oldest of its path.
            of_path.kept.pop_front();
            // A path of which no id is counted is forgotten, or a sender of ever new paths would fill the memory.
            if of_path.kept.is_empty() && of_path.by_webhook_id.is_empty() {
                self.paths.remove(&oldest.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;

    use super::*;
    use crate::delivery::SignatureCheck;

    fn delivery(path: &str, id: Option<&str>, body: usize) -> Delivery {
        Delivery {
            number: 0,
            received_at_ms: 0,
            method: Method::POST,
            path: path.into(),
            query: None,
            headers: id.map(|id| ("webhook-id".to_owned(), id.to_owned())).into_iter().collect(),
            body: Bytes::from(vec![0; body]),
            signature: SignatureCheck::Missing,
            answered: Some(200),
        }
    }

    fn numbers(deliveries: &[Arc<Delivery>]) -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.number).collect()
    }

    #[test]
    fn the_oldest_are_dropped_beyond_the_count_and_stay_counted() {
        let store = Store::new(Limits { kept: 3, ..Limits::default() });
        for id in ["a", "b", "a", "c", "a"] {
            store.add(delivery("/x", Some(id), 1));
        }
        assert_eq!(numbers(&store.after(None, 0, 10)), [3, 4, 5]);
        assert_eq!(numbers(&store.after(Some("/x"), 3, 1)), [4]);
        assert_eq!(numbers(&store.before(Some("/x"), 5, 10)), [4, 3]);
        assert_eq!((store.totals().dropped, store.totals().kept, store.count(Some("/x"))), (2, 3, 5));
        assert_eq!(store.counts_by_webhook_id("/x")["a"], 3);
    }

    #[test]
    fn the_oldest_are_dropped_beyond_the_bytes() {
        let store = Store::new(Limits { kept_bytes: 10_000, ..Limits::default() });
        for _ in 0..5 {
            store.add(delivery("/x", None, 4000));
        }
        assert_eq!(numbers(&store.after(None, 0, 10)), [4, 5]);
    }

    #[test]
    fn ids_and_paths_are_bounded() {
        let store = Store::new(Limits { kept: 2, counted_ids: 2, ..Limits::default() });
        for n in 0..5 {
            store.add(delivery("/x", Some(&n.to_string()), 1));
            store.add(delivery(&format!("/{n}"), None, 1));
        }
        assert_eq!((store.counts_by_webhook_id("/x").len(), store.totals().uncounted_ids), (2, 3));
        assert_eq!(store.lock().paths.len(), 2);
    }

    #[test]
    fn clearing_forgets_all_but_the_numbers() {
        let store = Store::new(Limits::default());
        store.add(delivery("/x", Some("a"), 1));
        store.clear();
        assert!(store.after(None, 0, 10).is_empty() && store.counts_by_webhook_id("/x").is_empty());
        assert_eq!(store.totals(), Totals::default());
        store.add(delivery("/x", Some("a"), 1));
        assert_eq!(numbers(&store.after(None, 0, 10)), [2]);
    }
}
