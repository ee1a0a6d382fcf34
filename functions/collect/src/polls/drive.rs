//! Making the calls that a run asks for, one after the other.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::network_client::{Answered, CallError, CallTime, Credentials};
use carteiro_adapters::poll_table::{CooldownKey, Kept, Progress};
use carteiro_networks::network::Network;
use carteiro_networks::poll::budget::Admission;
use carteiro_networks::poll::{
    Collector, CooldownScope, MAX_CHECKPOINT_BYTES, NetworkRequest, TokenTrouble, Verdict,
};
use jiff::Timestamp;

use super::page::{Ended, PagePoll};

/// What is left of an invocation's time after a call: for what came of it to be stored.
pub(super) const AFTER_CALL: Duration = Duration::from_secs(40);

/// The status that stands for no answer: a gateway's, for the run to take it as the network's failure.
const UNANSWERED: u16 = 504;

/// How many calls in a row may fail until the network is left alone for this tick.
const FAILURES: u32 = 3;

/// What became of a call.
pub(super) enum Called {
    /// The network answered.
    Answered(Answered),
    /// It did not.
    Failed(CallError),
    /// Its limit is used up until then.
    Limited(Timestamp),
    /// It takes more than the limit ever is.
    TooMuch,
}

/// What follows from a verdict.
pub(super) enum Follows {
    /// The next call.
    GoOn,
    /// No call more.
    End(Ended),
}

impl PagePoll<'_> {
    /// Drives a run to its end, or to that of what it may take; then keeps how far it came.
    pub(super) async fn call_loop(
        &mut self,
        run: &mut dyn Collector,
        progress: &mut Progress,
    ) -> Result<Ended, AdapterError> {
        let ended = self.calls_of(run).await;
        // Also where something of ours failed: the checkpoint names only what is stored.
        let checkpoint = run.checkpoint();
        let (page, bytes) = (self.page.id.as_str(), checkpoint.len());
        if bytes > MAX_CHECKPOINT_BYTES {
            tracing::error!(page, bytes, "poll.checkpoint_too_large");
        } else if progress.checkpoint.as_deref() != Some(checkpoint.as_str()) {
            let polls = &self.collect.polls.tables.polls;
            if polls.keep(&self.page.id, progress, checkpoint, self.clock.now()).await?
                == Kept::WrittenMeanwhile
            {
                tracing::warn!(page, "poll.checkpoint_written_meanwhile");
            }
        }
        ended
    }

    async fn calls_of(&mut self, run: &mut dyn Collector) -> Result<Ended, AdapterError> {
        let (mut failures, mut troubled, mut limited) = (0, false, None);
        let mut refused_kinds: BTreeSet<&'static str> = BTreeSet::new();
        while let Some(request) = run.next() {
            if !self.has_room() {
                return Ok(Ended::More);
            }
            let answered = match self.call(&request).await? {
                Called::Answered(answered) => answered,
                Called::Limited(until) => match limit_told_by_kind(self.page.network, until) {
                    // The run leaves out what the limit is of. Told twice, it does not.
                    Some(told) if refused_kinds.insert(request.operation) => told,
                    _ => return Ok(Ended::Limited(until)),
                },
                Called::Failed(CallError::NotMade(why)) => {
                    tracing::error!(
                        page = self.page.id.as_str(),
                        what = request.operation,
                        why,
                        "poll.not_made"
                    );
                    return Ok(Ended::Fault);
                }
                Called::Failed(error) => {
                    self.note_failure(&request, error);
                    Answered::of_ours(UNANSWERED, None)
                }
                Called::TooMuch => return Ok(Ended::Fault),
            };
            let now = self.clock.now();
            let heard = answered.told(|answer| run.on_response(answer, now)).without(&self.tokens());
            let stored = self.bring_in(heard.events).await?;
            run.on_stored(stored);
            failures = if heard.verdict == Verdict::Transient { failures + 1 } else { 0 };
            troubled |= matches!(heard.verdict, Verdict::Transient | Verdict::Malformed);
            if let Verdict::Wait { until, of: CooldownScope::ThisOperation } = heard.verdict {
                limited = limited.max(Some(until));
            }
            if let Follows::End(ended) = self.follow(&request, answered.status, heard.verdict).await? {
                return Ok(ended);
            }
            // A page that is not proven has few calls, and tries again at its next turn.
            let most_failures = if self.spender().proven { FAILURES } else { 1 };
            if failures >= most_failures {
                return Ok(Ended::Unavailable);
            }
        }
        Ok(match limited {
            // What is left has its time in the checkpoint; the rest was asked.
            Some(_) => Ended::More,
            None if troubled || self.answered.is_empty() => Ended::Unavailable,
            None => Ended::Complete,
        })
    }

    /// Makes one call, if the limits have room for it.
    pub(super) async fn call(&mut self, request: &NetworkRequest) -> Result<Called, AdapterError> {
        let (polls, now) = (&self.collect.polls, self.clock.now());
        let limits = polls.settings.limits(self.page.network);
        let (spender, taken) = (self.spender(), (request.operation, request.units));
        match polls.tables.polls.spend(&self.schedule, limits, spender, taken, now).await? {
            Admission::Now => {}
            Admission::At(until) => return Ok(Called::Limited(until)),
            Admission::Never => {
                tracing::error!(
                    network = self.page.network.as_str(),
                    what = request.operation,
                    "poll.over_any_limit"
                );
                return Ok(Called::TooMuch);
            }
        }
        self.calls += 1;
        let app_token = polls.apps.meta.as_ref();
        let credentials = Credentials { access_token: &self.access, app_token };
        let time = CallTime::of(self.clock, AFTER_CALL);
        Ok(match polls.client.request(self.page.network, request, credentials, time).await {
            Ok(answered) => Called::Answered(answered),
            Err(error) => Called::Failed(error),
        })
    }

    pub(super) fn note_failure(&self, request: &NetworkRequest, error: CallError) {
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        tracing::warn!(page, network, what = request.operation, error = error.as_str(), "poll.call_failed");
    }

    /// Does what a verdict asks for.
    pub(super) async fn follow(
        &mut self,
        request: &NetworkRequest,
        status: u16,
        verdict: Verdict,
    ) -> Result<Follows, AdapterError> {
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        if verdict != Verdict::Fine {
            let told = tracing::field::debug(&verdict);
            tracing::warn!(page, network, what = request.operation, status, verdict = told, "poll.trouble");
        }
        let polls = &self.collect.polls.tables.polls;
        Ok(match verdict {
            Verdict::Fine => {
                self.answered.insert(request.operation);
                Follows::GoOn
            }
            Verdict::Token(TokenTrouble::Narrowed(which)) => {
                self.denied.get_or_insert((request.operation, which));
                Follows::GoOn
            }
            Verdict::Token(trouble) => Follows::End(Ended::Refused(trouble)),
            Verdict::NotThePages => Follows::End(Ended::NotThePages),
            Verdict::Wait { of: CooldownScope::ThisOperation, .. }
            | Verdict::Transient
            | Verdict::Gone
            | Verdict::Malformed => Follows::GoOn,
            Verdict::Wait { until, of } => {
                let of = if of == CooldownScope::ThePage { CooldownKey::ThePage } else { CooldownKey::AnApp };
                // What is told to a token that nobody took yet makes no other page wait.
                if self.spender().proven {
                    polls.rest(&self.schedule, of, until, self.clock.now()).await?;
                }
                Follows::End(Ended::Limited(until))
            }
            Verdict::OurFault(why) => {
                tracing::error!(network, why, "poll.our_fault");
                Follows::End(Ended::Fault)
            }
        })
    }
}

/// Where a network's limits are of kinds of calls, one that we keep is told to the run as the network tells it, so that
/// it goes on with the others.
fn limit_told_by_kind(network: Network, until: Timestamp) -> Option<Answered> {
    let header = network.spec().limit_header?;
    Some(Answered::of_ours(429, Some((header, until.as_second()))))
}
