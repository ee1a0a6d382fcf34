//! Asking a network what a token is: when it ends, what it may do, whose it is.
//!
//! It takes a token of the deployment's app. Without one, whose a token is comes out of the run's first call, what it may
//! not do out of the others, and its end when it has come.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::poll_table::Inspected;
use carteiro_networks::poll::Verdict;
use carteiro_networks::token_state::TokenObservation;
use jiff::SignedDuration;

use super::drive::{Called, Follows};
use super::page::{Ended, PagePoll};

/// How often a token is asked about.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

impl PagePoll<'_> {
    /// Asks about the token: about each once, and once a day. Some where the run ends there.
    pub(super) async fn inspect(&mut self) -> Result<Option<Ended>, AdapterError> {
        let network = self.page.network;
        let Some(inspection) = network.spec().token.inspection else { return Ok(None) };
        let Some(permissions) = (inspection.permissions)(&self.access) else { return Ok(None) };
        let api = self.collect.polls.settings.api(network);
        let (now, version) = (self.clock.now(), self.token.version);
        // An end that has come may have been put off since.
        let ends = [self.page.token.expires_at, self.page.token.consent_ends_at];
        let has_ended = ends.into_iter().flatten().any(|end| end <= now);
        let is_known =
            |last: Inspected| last.version == version && now.duration_since(last.at) < EVERY && !has_ended;
        if self.collect.polls.apps.meta.is_none() || self.inspected.is_some_and(is_known) {
            return Ok(None);
        }
        let request = (inspection.request)(api);
        let answered = match self.call(&request).await? {
            Called::Answered(answered) => answered,
            Called::Failed(error) => {
                self.note_failure(&request, error);
                return Ok(None);
            }
            Called::Limited(until) => return Ok(Some(Ended::Limited(until))),
            Called::TooMuch => return Ok(None),
        };
        let page = (network, &self.page.network_id);
        let seen = answered.told(|answer| (inspection.read)(answer, page, permissions, api, now));
        // The app's own token is refused, or Meta fails: the run finds out by itself what it can.
        if matches!(
            seen.verdict,
            Verdict::Malformed | Verdict::Transient | Verdict::OurFault(_) | Verdict::Gone
        ) {
            let page = self.page.id.as_str();
            tracing::warn!(page, status = answered.status, "poll.token_not_inspected");
            return Ok(None);
        }
        self.inspected = Some(Inspected { version, at: now });
        if seen.verdict == Verdict::Fine {
            let (expires_at, consent_ends_at) = (seen.expires_at, seen.consent_ends_at);
            self.taken = Some(TokenObservation::Taken { complete: true, expires_at, consent_ends_at });
        }
        Ok(match self.follow(&request, answered.status, seen.verdict).await? {
            Follows::GoOn => None,
            Follows::End(ended) => Some(ended),
        })
    }
}
