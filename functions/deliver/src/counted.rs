//! What the attempts of a batch came to, for the operator: a line for each webhook and type of which some failed, and
//! counts for the metrics. A batch in which all succeed has one line, however many deliveries it has.

use carteiro_adapters::runtime::metrics;
use carteiro_core::item::ItemType;
use carteiro_core::lane::Lane;
use carteiro_core::metrics::Metric;
use carteiro_core::outcome::{Failure, FailureKind, Outcome};
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::attempt::{AttemptResult, Processed};

/// The failed attempts of one webhook and type.
struct Failed<'a> {
    webhook: &'a Webhook,
    item_type: &'a ItemType,
    /// The ids of their items.
    items: Vec<&'a str>,
    /// How many attempts were made, those that succeeded included.
    attempts: usize,
    /// The one that finished last.
    last: Option<&'a Failure>,
}

/// Counts the attempts of a part of a batch, in the order in which they finished, and logs those that failed.
pub(crate) fn attempts(processed: &[Processed], lane: Lane) {
    for each in processed {
        if let Some(metric) = failure_of(each).map(|failure| metric_of(failure.kind)) {
            metrics::add(metric, 1);
        }
        if let Some((accepted_at, ended_at)) = first_attempt(each, lane) {
            metrics::took(Metric::FirstAttemptSeconds, accepted_at, ended_at);
        }
    }
    for failed in failed(processed) {
        let Some(last) = failed.last else { continue };
        tracing::info!(
            account = failed.webhook.account.as_str(),
            webhook = failed.webhook.id.as_str(),
            revision = failed.webhook.revision,
            item_type = failed.item_type.as_str(),
            attempts = failed.attempts,
            failed = failed.items.len(),
            outcome = last.kind.as_str(),
            status = last.status,
            cause = last.cause.as_ref().map(|cause| cause.code.as_str()),
            items = failed.items.join(" "),
            "attempts.failed"
        );
    }
}

fn failure_of(processed: &Processed) -> Option<&Failure> {
    match &processed.result {
        AttemptResult::Attempted { outcome: Outcome::Failure(failure), .. } => Some(failure),
        AttemptResult::Attempted { .. } | AttemptResult::NotMade(_) => None,
    }
}

fn metric_of(kind: FailureKind) -> Metric {
    match kind {
        FailureKind::Status | FailureKind::Redirect => Metric::FailedStatus,
        FailureKind::ForbiddenAddress | FailureKind::OwnAddress => Metric::FailedForbidden,
        FailureKind::Timeout
        | FailureKind::Dns
        | FailureKind::Connect
        | FailureKind::Tls
        | FailureKind::Protocol => Metric::FailedNoAnswer,
    }
}

/// An item's acceptance, and the end of its first attempt, where nothing but the deployment lay between them: it was
/// not held, replayed or in the slow lane. A notice has its time from what it tells of.
fn first_attempt(processed: &Processed, lane: Lane) -> Option<(Timestamp, Timestamp)> {
    let AttemptResult::Attempted { ended_at, .. } = &processed.result else { return None };
    let delivery = &processed.delivery;
    let came_straight = delivery.attempt == 1
        && lane == Lane::Usual
        && delivery.step.is_none()
        && delivery.replayed.is_none()
        && delivery.item_type != ItemType::NOTICE;
    came_straight.then_some((delivery.accepted_at, *ended_at))
}

/// The webhooks and types of which an attempt failed.
fn failed(processed: &[Processed]) -> Vec<Failed<'_>> {
    let mut groups: Vec<Failed<'_>> = Vec::new();
    for each in processed {
        let AttemptResult::Attempted { webhook, .. } = &each.result else { continue };
        let item_type = &each.delivery.item_type;
        let same = |group: &Failed<'_>| group.webhook.id == webhook.id && group.item_type == item_type;
        let index = groups.iter().position(same).unwrap_or_else(|| {
            groups.push(Failed { webhook, item_type, items: Vec::new(), attempts: 0, last: None });
            groups.len() - 1
        });
        groups[index].attempts += 1;
        if let Some(failure) = failure_of(each) {
            groups[index].items.push(each.delivery.item.as_str());
            groups[index].last = Some(failure);
        }
    }
    groups.retain(|group| group.last.is_some());
    groups
}

#[cfg(test)]
mod tests {
    use carteiro_core::delivery::{Delivery, StepTag};

    use super::*;
    use crate::fixtures::{at, attempted, delivery, status};

    #[test]
    fn failures_are_told_together_by_webhook_and_type() {
        let event = Delivery { item_type: ItemType::EVENT, ..delivery(4) };
        let processed = [
            attempted(delivery(1), status(500)),
            attempted(delivery(2), status(200)),
            attempted(event, status(200)),
            attempted(delivery(3), Outcome::failed(FailureKind::Timeout, None)),
        ];
        let told = failed(&processed);
        let [messages] = told.as_slice() else { panic!("of events, none failed") };
        let (first, last) = (delivery(1), delivery(3));
        assert_eq!(messages.items, [first.item.as_str(), last.item.as_str()]);
        assert_eq!((messages.attempts, messages.last.unwrap().kind), (3, FailureKind::Timeout));
    }

    #[test]
    fn a_first_attempt_is_timed_where_nothing_else_lay_before_it() {
        let timed = |delivery| first_attempt(&attempted(delivery, status(500)), Lane::Usual);
        assert_eq!(timed(delivery(7)), Some((at(7), at(100))));
        let step = Some(StepTag { id: "s".to_owned(), first: true, index: Some(0) });
        assert_eq!(timed(Delivery { step, ..delivery(7) }), None, "it was held");
        assert_eq!(timed(Delivery { attempt: 2, ..delivery(7) }), None);
        let late = Delivery { chain: 1, ..delivery(7) };
        assert!(timed(late).is_some(), "a batch before had no time for it");
        assert_eq!(first_attempt(&attempted(delivery(7), status(500)), Lane::Slow), None);
        assert_eq!(timed(Delivery { item_type: ItemType::NOTICE, ..delivery(7) }), None);
    }

    #[test]
    fn each_kind_of_failure_is_in_one_metric() {
        let of = |wanted| FailureKind::ALL.into_iter().filter(|kind| metric_of(*kind) == wanted).count();
        let counts = [Metric::FailedStatus, Metric::FailedForbidden, Metric::FailedNoAnswer].map(of);
        assert_eq!(counts, [2, 2, 5]);
    }
}
