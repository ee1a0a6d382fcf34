//! Pushed entries that wait for the page's token: released once the page is proven, and completed with the token where
//! they were pushed as ids alone.
//!
//! Where the completed thing has a key of its own, which is that of a list's, it is stored under that, if a poll has
//! not brought it in, and the pushed entry is done with.
//!
//! An entry whose thing is gone is dispatched as it was pushed: its ids are all there will ever be. After a day, so is
//! an entry that has no answer which can be read, or that is denied while others of its kind are answered. Entries that
//! wait for a token which may see them go on waiting. Completion has calls of its own, so that a page whose collection
//! takes all of its calls is completed too.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::inbox::{Claim, Entry, RowKey};
use carteiro_core::retention::after;
use carteiro_networks::inbox::{EntryKey, Event, Wanted};
use carteiro_networks::normalise;
use carteiro_networks::poll::page_poll::{
    Completion, PollEnd, completes_newest_first, completion, is_given_up, is_pushed,
};
use carteiro_networks::spec::CompletionSpec;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use super::drive::Called;
use super::ingest::DISPATCH_LEASE;
use super::page::PagePoll;

/// How many entries are read together.
const TOGETHER: u16 = 50;

/// How many rows are read or written at once.
const CONCURRENT_ROWS: usize = 8;

/// How many entries are asked for in one poll, beside the calls of the page's collection.
const MOST_COMPLETED: usize = 20;

/// How long an entry that cannot be read is kept for a person to look at.
const UNREADABLE_KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

impl PagePoll<'_> {
    /// Releases the entries that waited only for the page's proof, as far as the time goes.
    pub(super) async fn release_pending_proof(&mut self) -> Result<(), AdapterError> {
        if !is_pushed(self.page.network) {
            return Ok(());
        }
        let mut mark = None;
        loop {
            let inbox = &self.collect.dispatcher.inbox;
            let (places, next) = inbox.incomplete(&self.page.id, TOGETHER, mark).await?;
            let entries = self.read_waiting(&places).await?;
            let whole = entries.into_iter().filter(|entry| wanted(entry).is_none());
            self.make_ready(whole.map(|entry| (entry, None)).collect()).await?;
            mark = next;
            if mark.is_none() || self.clock.now() > self.quota.until {
                return Ok(());
            }
        }
    }

    /// Completes the entries that were pushed as ids alone, as far as the calls and the time go.
    pub(super) async fn complete(&mut self) -> Result<PollEnd, AdapterError> {
        let Some(by) = self.page.network.spec().completion else { return Ok(PollEnd::Complete) };
        let inbox = &self.collect.dispatcher.inbox;
        let newest_first = completes_newest_first(self.turn.schedule.last.as_ref());
        let places = inbox.some_incomplete(&self.page.id, TOGETHER, newest_first).await?;
        let is_all = places.len() < MOST_COMPLETED;
        let (mut denied, mut completed) = (Vec::new(), 0);
        for entry in self.read_waiting(&places).await?.into_iter().take(MOST_COMPLETED) {
            let Some(wanted) = wanted(&entry) else { continue };
            if self.clock.now() > self.quota.until || !self.hold_if_long().await? {
                return Ok(PollEnd::More);
            }
            match self.complete_one(entry, &wanted, by).await? {
                Completed::Ready => completed += 1,
                Completed::Denied(entry) => denied.push(entry),
                Completed::NotYet => {}
                Completed::End(end) => return Ok(end),
            }
        }
        if completed > 0 {
            // Others of the kind were answered, so the denial is not the token's.
            let now = self.clock.now();
            let given_up = denied.into_iter().filter(|entry| is_given_up(entry.received_at, now));
            self.make_ready(given_up.map(|entry| (*entry, None)).collect()).await?;
        }
        Ok(if is_all { PollEnd::Complete } else { PollEnd::More })
    }

    /// Asks for one entry.
    async fn complete_one(
        &mut self,
        entry: Entry,
        wanted: &Wanted,
        by: &CompletionSpec,
    ) -> Result<Completed, AdapterError> {
        let api = self.collect.polls.settings.api(self.page.network);
        let request = (by.request)(wanted, &self.page.network_id, api);
        let answered = match self.call(&request).await? {
            Called::Answered(answered) => answered,
            Called::Failed(error) => {
                self.note_failure(&request, error);
                return Ok(Completed::End(PollEnd::Unavailable));
            }
            Called::Limited(until) => return Ok(Completed::End(PollEnd::Limited(until))),
            Called::TooMuch => return Ok(Completed::End(PollEnd::Fault)),
        };
        let now = self.clock.now();
        let parsed = answered.parse(|answer| (by.read)(wanted, answer, api, now));
        let parsed = parsed.without(&self.tokens());
        let event = parsed.events.into_iter().next();
        let completed = match completion(event, &parsed.verdict, is_given_up(entry.received_at, now)) {
            Completion::Denied => return Ok(Completed::Denied(Box::new(entry))),
            Completion::Waits => Completed::NotYet,
            Completion::Nothing => {
                self.collect.dispatcher.inbox.resolve(&entry, now).await?;
                Completed::Ready
            }
            Completion::Ready(Some(event)) if !by.keeps_key && self.key_of(&event) != entry.key => {
                // It is stored before the pushed one is done with: a crash between repeats the call, and no more.
                self.ingest_events(vec![event], entry.hop).await?;
                self.collect.dispatcher.inbox.resolve(&entry, now).await?;
                Completed::Ready
            }
            Completion::Ready(event) => {
                self.make_ready(vec![(entry, event)]).await?;
                Completed::Ready
            }
        };
        let end = self.follow(&request, answered.status, parsed.verdict).await?;
        Ok(end.map_or(completed, Completed::End))
    }

    fn key_of(&self, event: &Event) -> EntryKey {
        let reading = normalise::read(event, &self.page.network_id);
        EntryKey::new(&reading.thing, &reading.version)
    }

    /// Reads waiting entries. One that cannot be read is set aside, for a person to look at.
    async fn read_waiting(&self, places: &[RowKey]) -> Result<Vec<Entry>, AdapterError> {
        let inbox = &self.collect.dispatcher.inbox;
        let expires_at = after(self.clock.now(), UNREADABLE_KEPT);
        let read = stream::iter(places).map(|place| async move {
            match inbox.read_incomplete(place).await {
                Err(error @ AdapterError::Malformed { .. }) => {
                    let (pk, sk) = (place.pk(), place.sk());
                    tracing::error!(pk, sk, error = error.chain(), "inbox.unreadable");
                    inbox.set_aside_incomplete(place, &self.page.id, expires_at).await?;
                    Ok(None)
                }
                answer => answer,
            }
        });
        let mut read = read.buffered(CONCURRENT_ROWS);
        let mut entries = Vec::new();
        while let Some(entry) = read.next().await {
            entries.extend(entry?);
        }
        Ok(entries)
    }

    /// Makes entries ready, each with an event in the place of the pushed one where there is one, and dispatches them.
    async fn make_ready(&mut self, entries: Vec<(Entry, Option<Event>)>) -> Result<(), AdapterError> {
        if entries.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let claim = Claim::new(after(now, DISPATCH_LEASE))?;
        let inbox = &self.collect.dispatcher.inbox;
        let made = stream::iter(entries).map(|(entry, event)| inbox.complete(entry, event, &claim, now));
        let mut made = made.buffered(CONCURRENT_ROWS);
        let (mut ready, mut failed) = (Vec::new(), None);
        while let Some(made) = made.next().await {
            match made {
                Ok(entry) => ready.extend(entry),
                // The others are dispatched all the same.
                Err(error) => failed = Some(error),
            }
        }
        self.findings.add_new(ready.len());
        let dispatcher = &self.collect.dispatcher;
        dispatcher.dispatch(ready, &claim, &mut self.known, Timestamp::MAX, self.clock).await;
        failed.map_or(Ok(()), Err)
    }
}

/// The outcome for one entry.
enum Completed {
    /// It is ready, and dispatched.
    Ready,
    /// The token may not see it.
    Denied(Box<Entry>),
    /// It waits.
    NotYet,
    /// The poll ends.
    End(PollEnd),
}

/// The thing that an entry names by its id alone.
fn wanted(entry: &Entry) -> Option<Wanted> {
    normalise::read(&entry.event, &entry.owner).wanted
}
