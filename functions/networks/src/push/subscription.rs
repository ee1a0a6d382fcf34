//! Subscribing to a page's pushes, where the collector does that at the network.
//!
//! A subscription is asked for in a few requests, one after the other ([`SubscriptionSpec`]); what became of it is kept
//! with the page's schedule ([`Subscription`]). The worker that polls the page has its lease, so that no two ask at
//! once. It is renewed long before its end. A refusal says nothing of the token, which may do the rest: it is told
//! once, and tried again each day. Asking twice is harmless: the network replaces the subscription by the same one.

use std::time::Duration;

use carteiro_core::id::digest;
use carteiro_core::retention::after;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::network::NetworkId;
use crate::poll::settings::ApiSettings;
use crate::poll::{NetworkRequest, NetworkResponse, Verdict};
use crate::push::signature::hexadecimal;

/// A renewal comes after this part of the time that is left.
const RENEWED_AFTER: u32 = 5;
/// The shortest and the longest time to a renewal.
const SOONEST: Duration = Duration::from_secs(3600);
const LATEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after a refusal it is tried again.
const REFUSED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long after a failure of the network it is tried again.
const FAILED_FOR: Duration = Duration::from_secs(3600);

/// How a network is asked to push what happens on a page.
#[derive(Debug)]
pub struct SubscriptionSpec {
    /// The environment variable of the address that is asked; None where the network's own API is.
    pub hub: Option<&'static str>,
    /// The environment variable that names the app to the network, without which it is not asked.
    pub app: Option<&'static str>,
    /// Whether a subscription is of the token that asked for it, and ends with that.
    pub is_of_token: bool,
    /// The next request; the first has nothing found before it.
    pub request: fn(&Subscribing<'_>, Option<&str>) -> NetworkRequest,
    /// Reads its response.
    pub read: fn(&Subscribing<'_>, Option<&str>, &NetworkResponse<'_>, Timestamp) -> Step,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Subscribing<'a> {
    /// The page, by the network's id.
    pub page: &'a NetworkId,
    /// The address that pushes are to come to.
    pub callback: &'a str,
    /// The app's id at the network; empty where none is needed.
    pub app: &'a str,
    /// How the network's API is called.
    pub api: &'a ApiSettings,
}

/// What a response leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another request, for which this was found.
    Ask(String),
    /// The subscription is in force until then.
    Until(Timestamp),
    /// It is not.
    Failed(Verdict),
}

/// What is known of a page's subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whether the last answer was a refusal.
    refused: bool,
    /// Until when it is in force, as far as the network said.
    until: Option<Timestamp>,
    /// When it is asked for next.
    next_at: Timestamp,
    /// A digest of what was asked for.
    of: String,
}

carteiro_core::named! {
    /// How a subscription is shown.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum SubscriptionState {
        /// It is in force.
        Subscribed,
        /// The network refused it.
        Refused,
        /// There is none.
        Off,
    }
}

/// What a subscription is of: another address or app, or another token where it is the token's, is another one.
#[must_use]
pub fn digest_of(subscribing: &Subscribing<'_>, token_version: Option<u64>) -> String {
    let version = token_version.map_or_else(String::new, |version| version.to_string());
    let parts = [subscribing.callback, subscribing.app, &version];
    let of = digest(
        [b"carteiro subscription 1".as_slice()].into_iter().chain(parts.iter().map(|part| part.as_bytes())),
    );
    hexadecimal(of.get(..8).unwrap_or(&of))
}

/// Whether a subscription is to be asked for.
#[must_use]
pub fn is_due(known: Option<&Subscription>, of: &str, now: Timestamp) -> bool {
    known.is_none_or(|known| known.next_at <= now || known.of != of)
}

impl Subscription {
    /// One that is in force until then.
    #[must_use]
    pub fn until(until: Timestamp, of: String, now: Timestamp) -> Self {
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        let next_at = after(now, (left / RENEWED_AFTER).clamp(SOONEST, LATEST));
        Self { refused: false, until: Some(until), next_at, of }
    }

    /// What a failure leaves of what was known. One that is in force stays so.
    #[must_use]
    pub fn failed(known: Option<&Self>, verdict: &Verdict, of: String, now: Timestamp) -> Self {
        let (refused, next_at) = match verdict {
            Verdict::Wait { until, .. } => (None, (*until).max(after(now, FAILED_FOR))),
            Verdict::Fine | Verdict::Transient => (None, after(now, FAILED_FOR)),
            _ => (Some(true), after(now, REFUSED_FOR)),
        };
        Self {
            refused: refused.unwrap_or_else(|| known.is_some_and(|known| known.refused)),
            until: known.filter(|known| known.of == of).and_then(|known| known.until),
            next_at,
            of,
        }
    }

    /// How it is shown.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SubscriptionState {
        match self.until {
            Some(until) if until > now => SubscriptionState::Subscribed,
            _ if self.refused => SubscriptionState::Refused,
            _ => SubscriptionState::Off,
        }
    }

    /// Until when it is in force; None where it is not.
    #[must_use]
    pub fn in_force_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| *until > now)
    }

    /// Whether it was refused when it was asked for last.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::operator_fault::OperatorFault;
    use crate::poll::{CooldownScope, TokenTrouble};

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3600).unwrap()
    }

    fn due_hours(known: &Subscription) -> i64 {
        (0..).find(|hour| is_due(Some(known), &known.of, at(*hour))).unwrap()
    }

    #[test]
    fn it_is_renewed_long_before_its_end() {
        for (lasts, renewed) in [(120, 24), (5, 1), (1, 1), (24 * 365, 7 * 24)] {
            let known = Subscription::until(at(lasts), "a".to_owned(), at(0));
            assert_eq!(due_hours(&known), renewed, "{lasts}");
            assert_eq!(known.state(at(0)), SubscriptionState::Subscribed);
            assert_eq!(
                (known.state(at(lasts)), known.in_force_until(at(lasts))),
                (SubscriptionState::Off, None)
            );
        }
    }

    #[test]
    fn another_address_or_none_known_is_asked_for_at_once() {
        let known = Subscription::until(at(99), "a".to_owned(), at(0));
        assert!(is_due(None, "a", at(0)) && is_due(Some(&known), "b", at(0)));
        assert!(!is_due(Some(&known), "a", at(0)));
    }

    #[test]
    fn a_refusal_is_tried_daily_and_a_failure_soon() {
        let narrowed = Verdict::Token(TokenTrouble::Narrowed(None));
        let wait = |hours| Verdict::Wait { until: at(hours), of: CooldownScope::ThePage };
        for (verdict, hours, state) in [
            (narrowed, 24, SubscriptionState::Refused),
            (Verdict::OurFault(OperatorFault::RequestRefused), 24, SubscriptionState::Refused),
            (Verdict::Transient, 1, SubscriptionState::Off),
            (wait(9), 9, SubscriptionState::Off),
        ] {
            let failed = Subscription::failed(None, &verdict, "a".to_owned(), at(0));
            assert_eq!((due_hours(&failed), failed.state(at(0))), (hours, state), "{verdict:?}");
            let known = Subscription::until(at(5), "a".to_owned(), at(0));
            let failed = Subscription::failed(Some(&known), &verdict, "a".to_owned(), at(1));
            assert_eq!(failed.state(at(1)), SubscriptionState::Subscribed, "it lasts until its end");
            let other = Subscription::failed(Some(&known), &verdict, "b".to_owned(), at(1));
            assert_eq!(other.in_force_until(at(1)), None, "what was asked for before is another one");
        }
    }
}
