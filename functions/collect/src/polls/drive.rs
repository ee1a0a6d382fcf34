//! Making the calls that a collection asks for, one after the other.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::network_client::{Answered, CallError, CallTime, Credentials};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::poll::{CooldownKey, Kept};
use carteiro_core::hop::Hop;
use carteiro_core::metrics::Metric;
use carteiro_networks::poll::budget::Admission;
use carteiro_networks::poll::page_poll::{CallHistory, FollowUp, PollEnd};
use carteiro_networks::poll::{Collector, CooldownScope, MAX_CHECKPOINT_BYTES, NetworkRequest, Verdict};
use jiff::Timestamp;

use super::page::PagePoll;

/// The time that an invocation has left after a call, to store its results.
pub(super) const AFTER_CALL: Duration = Duration::from_secs(40);

/// A gateway's status, which stands for no answer, so that the collection takes it as a failure of the network's.
const UNANSWERED: u16 = 504;

/// The outcome of a call.
pub(super) enum Called {
    /// The network answered.
    Answered(Answered),
    /// It did not answer.
    Failed(CallError),
    /// A limit is used up until then. No call was made.
    Limited(Timestamp),
    /// The call costs more units than the whole limit has. It was not made.
    TooMuch,
}

impl PagePoll<'_> {
    /// Makes a collection's calls, as far as the quota goes, and keeps its checkpoint.
    pub(super) async fn drive(&mut self, run: &mut dyn Collector) -> Result<PollEnd, AdapterError> {
        let end = self.call_loop(run).await;
        // Also where something of ours failed: the checkpoint names only what is stored.
        let checkpoint = run.checkpoint();
        let (page, bytes) = (self.page.id.as_str(), checkpoint.len());
        if bytes > MAX_CHECKPOINT_BYTES {
            tracing::error!(page, bytes, "poll.checkpoint_too_large");
        } else if self.turn.progress.checkpoint.as_deref() != Some(checkpoint.as_str()) {
            let polls = &self.collect.polls.tables.polls;
            if polls.keep(self.turn, checkpoint, self.clock.now()).await? == Kept::WrittenMeanwhile {
                tracing::warn!(page, "poll.checkpoint_written_meanwhile");
            }
        }
        end
    }

    async fn call_loop(&mut self, run: &mut dyn Collector) -> Result<PollEnd, AdapterError> {
        let mut history = CallHistory::default();
        while let Some(request) = run.next() {
            if !self.quota.has_room(self.clock.now(), self.clock.left()) || !self.hold_if_long().await? {
                return Ok(PollEnd::More);
            }
            let answered = match self.call(&request).await? {
                Called::Answered(answered) => answered,
                Called::Limited(until) => match history.limit_header(self.page.network, request.operation) {
                    Some(header) => Answered::of_ours(429, Some((header, until.as_second()))),
                    None => return Ok(PollEnd::Limited(until)),
                },
                Called::Failed(CallError::NotMade(why)) => {
                    let (page, what) = (self.page.id.as_str(), request.operation);
                    tracing::error!(page, what, why, "poll.not_made");
                    return Ok(PollEnd::Fault);
                }
                Called::Failed(error) => {
                    self.note_failure(&request, error);
                    Answered::of_ours(UNANSWERED, None)
                }
                Called::TooMuch => return Ok(PollEnd::Fault),
            };
            let now = self.clock.now();
            let parsed = answered.parse(|answer| run.on_response(answer, now)).without(&self.tokens());
            let stored = self.ingest_events(parsed.events, Hop::default()).await?;
            run.on_stored(stored);
            history.note(&parsed.verdict, answered.status);
            if let Some(end) = self.follow(&request, answered.status, parsed.verdict).await? {
                return Ok(end);
            }
            if history.gives_up(self.spender().proven) {
                return Ok(PollEnd::Unavailable);
            }
        }
        Ok(history.end(&self.findings))
    }

    /// Makes one call, if the limits have room for it; and once more with another proof of the app, or without one,
    /// where the network refuses the proof.
    pub(super) async fn call(&mut self, request: &NetworkRequest) -> Result<Called, AdapterError> {
        loop {
            let called = self.call_once(request).await?;
            let Called::Answered(answered) = &called else { return Ok(called) };
            if !self.chooses_another_proof(request.auth, answered) {
                return Ok(called);
            }
        }
    }

    async fn call_once(&mut self, request: &NetworkRequest) -> Result<Called, AdapterError> {
        let (polls, now) = (&self.collect.polls, self.clock.now());
        let limits = polls.settings.limits(self.page.network);
        let (spender, taken) = (self.spender(), (request.operation, request.units));
        let admission = if request.units == 0 {
            Admission::Now
        } else {
            polls.tables.polls.spend(&self.turn.schedule, limits, spender, taken, now).await?
        };
        match admission {
            Admission::Now => {}
            Admission::At(until) => return Ok(Called::Limited(until)),
            Admission::Never => {
                let (network, what) = (self.page.network.as_str(), request.operation);
                tracing::error!(network, what, "poll.over_any_limit");
                return Ok(Called::TooMuch);
            }
        }
        self.quota.calls += 1;
        let proof = self.prove_call(request.auth);
        let push_secret = polls.pushes.secret(self.page.network, &self.page.network_id);
        let credentials = Credentials {
            app_token: polls.apps.meta.as_ref(),
            push_secret: push_secret.as_ref(),
            login: self.page.login,
            proof: proof.as_ref().map(|(name, proof)| (*name, proof)),
            ..Credentials::of(&self.access.call_token)
        };
        let time = CallTime::of(self.clock, AFTER_CALL);
        Ok(match polls.client.request(self.page.network, request, credentials, time).await {
            Ok(answered) => Called::Answered(answered),
            Err(error) => Called::Failed(error),
        })
    }

    pub(super) fn note_failure(&self, request: &NetworkRequest, error: CallError) {
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        tracing::warn!(page, network, what = request.operation, error = error.as_str(), "poll.call_failed");
        metrics::add(Metric::NetworkNoAnswer, 1);
    }

    /// Notes a verdict, and acts on its consequence. Answers the poll's end, where it ends.
    pub(super) async fn follow(
        &mut self,
        request: &NetworkRequest,
        status: u16,
        verdict: Verdict,
    ) -> Result<Option<PollEnd>, AdapterError> {
        let (page, network, what) = (self.page.id.as_str(), self.page.network.as_str(), request.operation);
        if verdict != Verdict::Fine {
            let told = tracing::field::debug(&verdict);
            tracing::warn!(page, network, what, status, verdict = told, "poll.trouble");
        }
        Ok(match self.findings.follow(what, verdict, self.page.proven) {
            FollowUp::GoOn => None,
            FollowUp::End(end) => Some(end),
            FollowUp::CoolDown { of, until } => {
                let of = match of {
                    CooldownScope::ThePage => CooldownKey::ThePage,
                    CooldownScope::TheApp | CooldownScope::ThisOperation => CooldownKey::AnApp,
                };
                let polls = &self.collect.polls.tables.polls;
                polls.note_cooldown(&self.turn.schedule, of, until, self.clock.now()).await?;
                Some(PollEnd::Limited(until))
            }
        })
    }
}
