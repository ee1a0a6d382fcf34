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
use carteiro_networks::versions::Sighting;
use jiff::Timestamp;

use super::page::PagePoll;

/// How long new entries are claimed: longer than dispatching them takes, with all repeats of its calls.
pub(super) const DISPATCH_LEASE: Duration = Duration::from_secs(120);

fn told_at(entry: &NewEntry) -> Option<Timestamp> {
    entry.sighting.as_ref().and_then(|sighting| sighting.at)
}

impl PagePoll<'_> {
    /// Stores events that passed through Carteiro so often before, and dispatches the new ones. Those that cannot be
    /// dispatched now are ready for a tick.
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
        let mut seen = HashSet::new();
        let found = events.into_iter().map(|event| (self.entry(&event, hop, &claim), event));
        // One answer may have the same version twice.
        let found = found.filter(|(entry, _)| seen.insert((entry.key.clone(), told_at(entry))));
        let mut found: Vec<_> = found.collect();
        // Versions are compared in the order in which they were made; lists mostly begin with the newest.
        found.sort_by_key(|(entry, _)| told_at(entry));
        let (entries, of_entry): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let inbox = &self.collect.dispatcher.inbox;
        let stored = inbox.store_versions(entries, now).await?;
        let all = stored.len();
        let new = stored.into_iter().zip(of_entry).filter(|(one, _)| one.stored == Insertion::New);
        let claimed: Vec<_> = new.map(|(one, event)| one.into_claimed(event, now)).collect();
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
        let key = EntryKey::new(&reading.thing, &reading.version);
        NewEntry {
            page: self.page.id.clone(),
            account: self.page.account.clone(),
            sighting: Sighting::of(event, &reading, &key),
            key,
            event: PackedEvent::of(event),
            says: reading.says(),
            hop,
            owner,
            waiting: EntryState::Claimed(claim.clone()),
        }
    }
}
