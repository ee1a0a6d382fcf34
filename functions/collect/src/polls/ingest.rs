//! Storing found events in the inbox, and dispatching those that are new.

use std::collections::HashSet;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::inbox::{Claim, EntryState, NewEntry, Stored as Insertion};
use carteiro_adapters::tables::packed_event::PackedEvent;
use carteiro_core::hop::Hop;
use carteiro_core::retention::after;
use carteiro_networks::inbox::{EntryKey, Event};
use carteiro_networks::normalise;
use carteiro_networks::poll::Stored;
use jiff::Timestamp;

use super::page::PagePoll;

/// How long new entries are claimed: longer than dispatching them takes, with all repeats of its calls.
pub(super) const DISPATCH_LEASE: Duration = Duration::from_secs(120);

impl PagePoll<'_> {
    /// Stores events that passed through Carteiro so often before, and dispatches the new ones. Those that cannot be dispatched now are ready for a tick.
    pub(super) async fn ingest_events(
        &mut self,
        events: Vec<Event>,
        hop: Hop,
    ) -> Result<Stored, AdapterError> {
        if events.is_empty() {
            return Ok(Stored::default());
        }
        let now = self.clock.now();
        let claim = Claim::new(after(now, DISPATCH_LEASE))?;
        let (mut entries, mut of_entry, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for event in events {
            let entry = self.entry(&event, hop, &claim);
            // One answer may have the same thing twice.
            if seen.insert(entry.key.clone()) {
                entries.push(entry);
                of_entry.push(event);
            }
        }
        let inbox = &self.collect.dispatcher.inbox;
        let stored = inbox.store(&entries, now).await?;
        let all = stored.len();
        let new = entries.into_iter().zip(of_entry).zip(stored);
        let new = new.filter(|(_, stored)| *stored == Insertion::New);
        let claimed: Vec<_> = new.map(|((entry, event), _)| entry.into_claimed(event, now)).collect();
        let stored = Stored { new: claimed.len(), known: all - claimed.len() };
        self.findings.add_new(stored.new);
        if !claimed.is_empty() {
            let dispatcher = &self.collect.dispatcher;
            dispatcher.dispatch(claimed, &claim, &mut self.known, Timestamp::MAX, self.clock).await;
        }
        Ok(stored)
    }

    fn entry(&self, event: &Event, hop: Hop, claim: &Claim) -> NewEntry {
        let owner = self.page.network_id.clone();
        let reading = normalise::read(event, &owner);
        NewEntry {
            page: self.page.id.clone(),
            account: self.page.account.clone(),
            key: EntryKey::new(&reading.thing, &reading.version),
            event: PackedEvent::of(event),
            says: reading.says(),
            hop,
            owner,
            waiting: EntryState::Claimed(claim.clone()),
        }
    }
}
