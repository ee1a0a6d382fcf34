//! Completing what was pushed as ids only, with the page's token, before it is handed on.
//!
//! What the network says is gone, or never answers in a form that can be read, is handed on as it was pushed: its ids are
//! all there will ever be. What waits for a token that may do it goes on waiting.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::inbox_table::{Claim, Entry};
use carteiro_core::inbox::{Event, Wanted};
use carteiro_core::network::Network;
use carteiro_core::normalise;
use carteiro_core::poll::{Verdict, instagram};
use carteiro_core::retention::after;
use jiff::Timestamp;

use super::bring_in::HAND_ON_LEASE;
use super::drive::{Called, Follows};
use super::page::{Asking, Ended};

/// How many entries are completed in one tick.
const AT_ONCE: u16 = 50;

/// How long something is asked for whose answers cannot be read.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

impl Asking<'_> {
    /// Completes what waits, as far as there is room for calls.
    pub(super) async fn complete(&mut self) -> Result<Ended, AdapterError> {
        if self.page.network != Network::Instagram {
            return Ok(Ended::Whole);
        }
        let inbox = &self.collect.hand_on.inbox;
        let (places, more) = inbox.incomplete(&self.page.id, AT_ONCE, None).await?;
        for place in &places {
            let Some(entry) = inbox.read_incomplete(place).await? else { continue };
            let reading = normalise::read(&entry.event, &entry.owner);
            let Some(wanted) = reading.wanted else {
                self.make_ready(entry, None).await?;
                continue;
            };
            if !self.has_room() {
                return Ok(Ended::More);
            }
            if let Some(ended) = self.complete_one(entry, &wanted).await? {
                return Ok(ended);
            }
        }
        Ok(if more.is_some() { Ended::More } else { Ended::Whole })
    }

    /// Asks for one; Some where nothing more is to be asked.
    async fn complete_one(&mut self, entry: Entry, wanted: &Wanted) -> Result<Option<Ended>, AdapterError> {
        let settings = &self.collect.polls.settings.instagram;
        let ask = instagram::complete(wanted, &self.page.network_id, settings);
        let answered = match self.call(&ask).await? {
            Called::Answered(answered) => answered,
            Called::Failed(error) => {
                self.note_failure(&ask, error);
                return Ok(Some(Ended::Unavailable));
            }
            Called::Limited(until) => return Ok(Some(Ended::Limited(until))),
            Called::TooMuch => return Ok(Some(Ended::Fault)),
        };
        let now = self.clock.now();
        let heard = answered.told(|answer| instagram::completed(wanted, answer, settings, now));
        let heard = heard.without(&self.tokens());
        let is_old = after(entry.received_at, PATIENCE) < now;
        match (heard.events.into_iter().next(), &heard.verdict) {
            (Some(event), _) => self.make_ready(entry, Some(event)).await?,
            (None, Verdict::Gone) => self.make_ready(entry, None).await?,
            (None, Verdict::Malformed) if is_old => self.make_ready(entry, None).await?,
            (None, _) => {}
        }
        Ok(match self.follow(&ask, answered.status, heard.verdict).await? {
            Follows::GoOn => None,
            Follows::End(ended) => Some(ended),
        })
    }

    /// Makes an entry ready, with what was asked for in the place of what was pushed, and hands it on.
    async fn make_ready(&mut self, entry: Entry, event: Option<Event>) -> Result<(), AdapterError> {
        let now = self.clock.now();
        let claim = Claim::new(after(now, HAND_ON_LEASE))?;
        let inbox = &self.collect.hand_on.inbox;
        if let Some(ready) = inbox.complete(entry, event, &claim, now).await? {
            self.new = self.new.saturating_add(1);
            let hand_on = &self.collect.hand_on;
            hand_on.hand_on(vec![ready], &claim, &mut self.known, Timestamp::MAX, self.clock).await;
        }
        Ok(())
    }
}
