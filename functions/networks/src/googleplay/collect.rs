//! Google Play: the reviews of an app, and its developer's answers.
//!
//! Reviews come newest-modified first, 100 a call, and only those of the last week. Each tick walks down to what the
//! last one began with, and from time to time through all of the last two hours (`poll::walk`); every
//! [`Settings::sweep_every`] the whole week, for it is not documented that an answer of the developer's moves its
//! review up. A review's answer is an item of its own, a publication.
//!
//! The app is named in each call's path, so that what comes is the app's or nothing: a token of another's is refused.
//!
//! # What is not guaranteed
//! Reviews without a text are not answered, nor is what was deleted. What nobody asked for within a week is out of
//! reach. Whether a review is new or edited is told by whether it was seen within the week.
//!
//! Sources: developers.google.com/android-publisher/reply-to-reviews; 200 GET an hour for each app.

mod found;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::google::answers as google;
use crate::google::service_account::SCOPE;
use crate::inbox::EntryKey;
use crate::poll::body::{encoded, members};
use crate::poll::budget::{Sweeps, next_hour, sweep_milliunits};
use crate::poll::memory::Remembered;
use crate::poll::scope::ms;
use crate::poll::walk::{Step, Walks};
use crate::poll::{
    Auth, Begun, Collector, CooldownScope, Endpoint, Method, NetworkRequest, NetworkResponse, ParsedResponse,
    Scope, Start, Stored, TokenTrouble, Verdict, checkpoint_json,
};

/// How long Google Play shows a review after its last change, and a day more.
const WINDOW: Duration = Duration::from_secs(8 * 24 * 3600);
/// How many reviews are remembered, to tell new ones from edited ones.
const REMEMBERED: usize = 500;

/// The estimated units of a walk through the week beyond the first page: the pages of 1,000 reviews.
const SWEEP_UNITS: u32 = 9;
/// How often the whole week is looked at again.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);
/// What the walks through the week take a day, in thousandths of a unit.
pub(super) const SWEEPS: u64 = sweep_milliunits(SWEEP_UNITS as u64, SWEEP_EVERY);

/// The version of the API unless it is set.
pub(super) const VERSION: &str = "v3";

/// What may differ between deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The API's version, as paths have it.
    pub version: String,
    /// How many reviews are asked for at once: 1 to 100.
    pub page_size: u32,
    /// How often the whole week is looked at again.
    pub sweep_every: Duration,
    /// What that may take a day, in thousandths of a unit.
    pub sweeps: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { version: VERSION.to_owned(), page_size: 100, sweep_every: SWEEP_EVERY, sweeps: u64::MAX }
    }
}

/// Begins the collection of an app's reviews.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, sweeps, checkpoint, .. } = start;
    let (version, page_size) = (api.version.to_string(), api.page_size);
    let settings = Settings { version, page_size, sweeps, ..Settings::default() };
    Begun::from(checkpoint, |kept| Collection::new(scope, settings, kept))
}

/// What is kept between ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    reviews: Walks,
    /// The walks through the whole week.
    #[serde(flatten)]
    sweeps: Sweeps,
    seen: Remembered,
}

/// A tick's collection of an app's reviews.
#[derive(Debug)]
pub struct Collection {
    scope: Scope,
    settings: Settings,
    kept: Checkpoint,
    over: bool,
    pending: Option<(Step, Vec<EntryKey>)>,
}

impl Collection {
    /// Begins where the last tick ended.
    #[must_use]
    pub fn new(scope: Scope, settings: Settings, mut kept: Checkpoint) -> Self {
        let now = scope.now_ms();
        if kept.sweeps.is_due(scope.now, settings.sweep_every, SWEEP_UNITS, settings.sweeps) {
            if kept.reviews.begin_back(now, ms(WINDOW)) {
                kept.sweeps.began(scope.now);
            }
        } else {
            kept.reviews.begin_late(now, |ms| ms);
        }
        Self { scope, settings, kept, over: false, pending: None }
    }

    fn heard_reviews(&mut self, answer: &NetworkResponse<'_>) -> ParsedResponse {
        let told_to = self.kept.reviews.current().and_then(|gap| gap.told_to()).unwrap_or(i64::MIN);
        let after = self.scope.told_after(told_to);
        // An answer without reviews is `{}`.
        let body = members(answer.body);
        let found = body.and_then(|body| found::reviews(&body, after, &self.scope, &self.kept.seen));
        let Some(found) = found else {
            self.kept.reviews.unreadable();
            self.over = true;
            return ParsedResponse { events: Vec::new(), verdict: Verdict::Malformed };
        };
        self.pending = Some((found.step, found.keys));
        if found.events.is_empty() {
            self.count();
        }
        ParsedResponse { events: found.events, verdict: Verdict::Fine }
    }

    fn count(&mut self) {
        if let Some((step, keys)) = self.pending.take() {
            let gap = self.kept.reviews.current();
            self.kept.sweeps.answered(gap.is_none_or(|gap| gap.cursor.is_none()));
            self.kept.reviews.walked(step, self.scope.beginning_ms());
            keys.iter().rev().for_each(|key| self.kept.seen.note(key, REMEMBERED));
        }
    }
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        let gap = self.kept.reviews.current().filter(|_| !self.over)?;
        let mut query = vec![("maxResults", self.settings.page_size.to_string())];
        query.extend(gap.cursor.clone().map(|cursor| ("token", cursor)));
        let (version, app) = (encoded(&self.settings.version), encoded(self.scope.owner.as_str()));
        Some(NetworkRequest {
            operation: "reviews",
            to: Endpoint::Api,
            method: Method::Get,
            path: format!("/androidpublisher/{version}/applications/{app}/reviews"),
            query,
            headers: Vec::new(),
            auth: Auth::Bearer,
            units: 1,
        })
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        self.pending = None;
        let mut verdict = google::verdict(answer, now, next_hour(now), (SCOPE, false));
        if self.next().is_some() && verdict == Verdict::Fine {
            return self.heard_reviews(answer);
        }
        match &mut verdict {
            // Each app has its own 200 an hour. Of a quota's name alone it cannot be told; the hour's end is soon.
            Verdict::Wait { of, .. } => *of = CooldownScope::ThePage,
            Verdict::Malformed if answer.status == 400 => self.kept.reviews.give_up_cursor(),
            // The app is not, or no longer, one that the token's owner may see.
            Verdict::Gone => verdict = Verdict::Token(TokenTrouble::Narrowed(None)),
            _ => {}
        }
        self.over = true;
        ParsedResponse { events: Vec::new(), verdict }
    }

    fn on_stored(&mut self, _: Stored) {
        self.count();
    }

    fn checkpoint(&self) -> String {
        checkpoint_json(&self.kept)
    }
}
