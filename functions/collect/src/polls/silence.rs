//! Whether a page is silent against its habit, and the notice of it.

use carteiro_adapters::error::AdapterError;
use carteiro_networks::poll::page_poll::PollEnd;
use carteiro_networks::silence::{self, Silence, Step};

use super::page::PagePoll;

impl PagePoll<'_> {
    /// The page's silence after a poll that ended so. Its account is notified before it is marked.
    pub(super) async fn silence(&self, end: &PollEnd) -> Option<Silence> {
        let known = self.turn.schedule.silence.as_ref();
        let last_poll = self.turn.schedule.last.as_ref().map(|last| last.at);
        let found = match silence::step(known, (end.result(), self.findings.new), last_poll, self.clock.now())
        {
            Step::NotSilent => return None,
            Step::Stays => return known.cloned(),
            Step::Look => self.look_for_silence(known).await,
        };
        found.unwrap_or_else(|error| {
            // The next hour's poll looks again.
            tracing::error!(page = self.page.id.as_str(), error = error.chain(), "page.silence_not_told");
            known.cloned()
        })
    }

    async fn look_for_silence(&self, known: Option<&Silence>) -> Result<Option<Silence>, AdapterError> {
        let (page, now, habits) = (&self.page, self.clock.now(), &self.collect.habits);
        let newest = habits.newest(&page.id, now).await?;
        if let Some(known) = known {
            let is_over = newest.is_some_and(|newest| silence::is_over(known, newest));
            return Ok(Some(known.clone()).filter(|_| !is_over));
        }
        let Some(newest) = newest.filter(|newest| silence::may_be_silent(*newest, now)) else {
            return Ok(None);
        };
        let hours = habits.habit(&page.id, newest).await?;
        let Some(silence) = silence::silence(&hours, silence::heard_from(page), now) else { return Ok(None) };
        self.collect.dispatcher.notifier.notify_silence(page, &silence, now).await?;
        Ok(Some(silence))
    }
}
