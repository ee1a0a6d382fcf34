//! Inspecting a token at its network: its end, its permissions, and its owner.
//!
//! The call takes a token of the deployment's app. Without one, the collection's first call shows the token's owner,
//! the other calls show missing permissions, and its end is known when it has come.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::poll::Inspected;
use carteiro_networks::poll::Verdict;
use carteiro_networks::poll::page_poll::{PollEnd, inspection_is_due};

use super::drive::Called;
use super::page::PagePoll;

impl PagePoll<'_> {
    /// Inspects the token where that is due. Answers the poll's end, where it ends.
    pub(super) async fn inspect(&mut self) -> Result<Option<PollEnd>, AdapterError> {
        let (network, now, polls) = (self.page.network, self.clock.now(), &self.collect.polls);
        let Some(inspection) = network.spec().token.inspection else { return Ok(None) };
        let Some(permissions) = (inspection.permissions)(&self.access.call_token, self.page.login) else {
            return Ok(None);
        };
        let ads = self.page.ad_account.as_ref().and(network.spec().ads);
        let permissions: Vec<&str> = permissions.iter().copied().chain(ads).collect();
        let version = self.access.token.version;
        let last = self.inspected.filter(|last| last.version == version).map(|last| last.at);
        if polls.apps.meta.is_none() || !inspection_is_due(&self.page, last, now) {
            return Ok(None);
        }
        let api = polls.settings.api(network);
        let request = (inspection.request)(api);
        let answered = match self.call(&request).await? {
            Called::Answered(answered) => answered,
            Called::Failed(error) => {
                self.note_failure(&request, error);
                return Ok(None);
            }
            Called::Limited(until) => return Ok(Some(PollEnd::Limited(until))),
            Called::TooMuch => return Ok(None),
        };
        let page = (network, &self.page.network_id);
        let seen = answered.parse(|answer| (inspection.read)(answer, page, &permissions, api, now));
        if !self.findings.inspect(&seen) {
            if let Verdict::OurFault(fault) = seen.verdict {
                self.findings.app = Some(fault);
            }
            let page = self.page.id.as_str();
            tracing::warn!(page, status = answered.status, "poll.token_not_inspected");
            return Ok(None);
        }
        self.inspected = Some(Inspected { version, at: now });
        self.follow(&request, answered.status, seen.verdict).await
    }
}
