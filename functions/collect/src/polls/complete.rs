//! What waits in the inbox for its page's token: freed once the network took it as the page's, or completed with it where
//! it was pushed as ids only.
//!
//! What the network says is gone is handed on as it was pushed: its ids are all there will ever be. So is what it answers
//! nothing that can be read for, or denies while it answers others of the same kind, after a day. What waits for a token
//! that may do it goes on waiting. Completing has calls of its own, so that a page whose lists take all of theirs is
//! completed too; the oldest and the newest come first by turns, so that none that fails stands before the others.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::inbox_table::{Claim, Entry, Place};
use carteiro_core::retention::after;
use carteiro_networks::inbox::{Event, Wanted};
use carteiro_networks::normalise;
use carteiro_networks::poll::{TokenTrouble, Verdict};
use carteiro_networks::spec::CompletionSpec;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use super::bring_in::HAND_ON_LEASE;
use super::drive::{Called, Follows};
use super::page::{Ended, PagePoll};

/// How many entries are read together.
const TOGETHER: u16 = 50;

/// How many rows are read or written at once.
const CONCURRENT_ROWS: usize = 8;

/// How many calls are made to complete what waits, beside those of the page's lists.
const CALLS: u32 = 20;

/// How long something is asked for that is not answered as others are.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long an entry that cannot be read is kept for a person to look at.
const UNREADABLE_KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

impl PagePoll<'_> {
    /// Whether anything is pushed for pages of its network, and may wait.
    fn is_pushed(&self) -> bool {
        self.page.network.spec().push.is_some()
    }

    /// Frees what waited only for the network to take the token, as far as the time goes.
    pub(super) async fn free(&mut self) -> Result<(), AdapterError> {
        if !self.is_pushed() {
            return Ok(());
        }
        let mut mark = None;
        loop {
            let inbox = &self.collect.hand_on.inbox;
            let (places, next) = inbox.incomplete(&self.page.id, TOGETHER, mark).await?;
            let entries = self.read_waiting(&places).await?;
            let free = entries.into_iter().filter(|entry| wanted(entry).is_none());
            self.make_ready(free.map(|entry| (entry, None)).collect()).await?;
            mark = next;
            if mark.is_none() || self.clock.now() > self.until {
                return Ok(());
            }
        }
    }

    /// Completes what waits, as far as there is room for calls.
    pub(super) async fn complete(&mut self) -> Result<Ended, AdapterError> {
        let Some(completion) = self.page.network.spec().completion else { return Ok(Ended::Complete) };
        let inbox = &self.collect.hand_on.inbox;
        let newest_first = self.schedule.last.as_ref().is_some_and(|last| last.at.as_second() / 900 % 2 == 0);
        let places = inbox.some_incomplete(&self.page.id, TOGETHER, newest_first).await?;
        let most = usize::try_from(CALLS).unwrap_or(usize::MAX);
        let is_all = places.len() < most;
        let (mut denied, mut completed) = (Vec::new(), 0);
        for entry in self.read_waiting(&places).await?.into_iter().take(most) {
            let Some(wanted) = wanted(&entry) else { continue };
            if self.clock.now() > self.until {
                return Ok(Ended::More);
            }
            match self.complete_one(entry, &wanted, completion).await? {
                Completed::Ready => completed += 1,
                Completed::Denied(entry) => denied.push(entry),
                Completed::NotYet => {}
                Completed::End(ended) => return Ok(ended),
            }
        }
        // Others of the kind were answered, so it is not the token.
        let now = self.clock.now();
        let given_up = denied.into_iter().filter(|entry| completed > 0 && is_old(entry, now));
        self.make_ready(given_up.map(|entry| (*entry, None)).collect()).await?;
        Ok(if is_all { Ended::Complete } else { Ended::More })
    }

    /// Asks for one.
    async fn complete_one(
        &mut self,
        entry: Entry,
        wanted: &Wanted,
        completion: &CompletionSpec,
    ) -> Result<Completed, AdapterError> {
        let api = self.collect.polls.settings.api(self.page.network);
        let request = (completion.request)(wanted, &self.page.network_id, api);
        let answered = match self.call(&request).await? {
            Called::Answered(answered) => answered,
            Called::Failed(error) => {
                self.note_failure(&request, error);
                return Ok(Completed::End(Ended::Unavailable));
            }
            Called::Limited(until) => return Ok(Completed::End(Ended::Limited(until))),
            Called::TooMuch => return Ok(Completed::End(Ended::Fault)),
        };
        let now = self.clock.now();
        let heard = answered.told(|answer| (completion.read)(wanted, answer, api, now));
        let heard = heard.without(&self.tokens());
        if let Verdict::Token(TokenTrouble::Narrowed(_)) = heard.verdict {
            // Of this one: an author whose account is not public, say. The lists tell what the token may not do.
            return Ok(Completed::Denied(Box::new(entry)));
        }
        let ready = match (heard.events.into_iter().next(), &heard.verdict) {
            (Some(event), _) => Some((entry, Some(event))),
            (None, Verdict::Gone) => Some((entry, None)),
            (None, Verdict::Malformed) if is_old(&entry, now) => Some((entry, None)),
            (None, _) => None,
        };
        let is_ready = ready.is_some();
        self.make_ready(ready.into_iter().collect()).await?;
        Ok(match self.follow(&request, answered.status, heard.verdict).await? {
            Follows::End(ended) => Completed::End(ended),
            Follows::GoOn if is_ready => Completed::Ready,
            Follows::GoOn => Completed::NotYet,
        })
    }

    /// Reads what waits. One that cannot be read is set aside, for a person to look at.
    async fn read_waiting(&self, places: &[Place]) -> Result<Vec<Entry>, AdapterError> {
        let inbox = &self.collect.hand_on.inbox;
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

    /// Makes entries ready, with what was asked for in the place of what was pushed, and hands them on.
    async fn make_ready(&mut self, entries: Vec<(Entry, Option<Event>)>) -> Result<(), AdapterError> {
        if entries.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let claim = Claim::new(after(now, HAND_ON_LEASE))?;
        let inbox = &self.collect.hand_on.inbox;
        let made = stream::iter(entries).map(|(entry, event)| inbox.complete(entry, event, &claim, now));
        let mut made = made.buffered(CONCURRENT_ROWS);
        let (mut ready, mut failed) = (Vec::new(), None);
        while let Some(made) = made.next().await {
            match made {
                Ok(entry) => ready.extend(entry),
                // What is ready is handed on all the same.
                Err(error) => failed = Some(error),
            }
        }
        self.new = self.new.saturating_add(u32::try_from(ready.len()).unwrap_or(u32::MAX));
        let hand_on = &self.collect.hand_on;
        hand_on.hand_on(ready, &claim, &mut self.known, Timestamp::MAX, self.clock).await;
        failed.map_or(Ok(()), Err)
    }
}

/// What became of one.
enum Completed {
    /// It is ready, and handed on.
    Ready,
    /// The token may not see it.
    Denied(Box<Entry>),
    /// It waits.
    NotYet,
    /// Nothing more is to be asked.
    End(Ended),
}

fn wanted(entry: &Entry) -> Option<Wanted> {
    normalise::read(&entry.event, &entry.owner).wanted
}

fn is_old(entry: &Entry, now: Timestamp) -> bool {
    after(entry.received_at, PATIENCE) < now
}
