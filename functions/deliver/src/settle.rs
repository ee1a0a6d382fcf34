//! Settles deliveries: each is done with, or durably somewhere else, before its message is.
//!
//! The core decides where a delivery goes ([`carteiro_core::disposition`]); this does it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::{metrics, random};
use carteiro_adapters::tables::attempts::DroppedItem;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_core::admission::Unattempted;
use carteiro_core::attempt_log::ItemFate;
use carteiro_core::delivery::Delivery;
use carteiro_core::delivery::StepTag;
use carteiro_core::disposition::{Decision, Disposition, DropReason, after_attempt, without_attempt};
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::lane::Lane;
use carteiro_core::metrics::Metric;
use carteiro_core::streak;
use carteiro_core::tally::Deaths;
use carteiro_core::webhook::WhileBlocked;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::attempt::{AttemptResult, Processed};
use crate::context::{ANSWER_RESERVE, Deliver};
use crate::{read, record, replays, tally};

/// How many rows are written at once.
const CONCURRENT_ROWS: usize = 10;

/// A settled batch.
pub(crate) struct Settled {
    /// The messages that could not be settled.
    pub(crate) unsettled: Vec<String>,
    /// The other items' fates by message, and when they are attempted again where that is known.
    pub(crate) fates: HashMap<String, (ItemFate, Option<Timestamp>)>,
    /// The items that died, by webhook and type.
    pub(crate) deaths: Vec<Deaths>,
    /// The items that were dropped.
    pub(crate) dropped: Vec<DroppedItem>,
    /// Whether a notice of them makes no chain of messages too long.
    pub(crate) may_notify_deaths: bool,
}

/// A delivery and where it goes.
struct Decided {
    message: String,
    /// With the number of its next attempt, and without its step unless it keeps that.
    delivery: Delivery,
    disposition: Disposition,
    /// The step of a release that it belonged to.
    step: Option<StepTag>,
    /// Whether that step counts it as failed.
    failed: bool,
    /// The failure that led here, where an attempt did, as rows remember it.
    last_error: Option<String>,
}

/// Why the log names an item that was moved or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Notable {
    MovedToSlowLane,
    Overdue,
    Dropped(DropReason),
}

/// The items of a batch that were moved or dropped, by the reason and their webhook.
type NotableItems = BTreeMap<(Notable, WebhookId), Vec<String>>;

impl Decided {
    fn new(processed: Processed, decision: Decision) -> Self {
        let Decision { attempt, disposition, failed } = decision;
        let last_error = match &processed.result {
            AttemptResult::Attempted { outcome, ended_at, .. } => record::error_of(outcome, *ended_at),
            AttemptResult::NotMade(_) => None,
        };
        let mut delivery = Delivery { attempt, ..Arc::unwrap_or_clone(processed.delivery) };
        let step = if disposition.keeps_step() { None } else { delivery.step.take() };
        Self { message: processed.message, delivery, disposition, step, failed, last_error }
    }
}

/// Settles a batch that began to read the state of its webhooks at `seen_at`.
pub(crate) async fn all(
    deliver: &Deliver,
    processed: Vec<Processed>,
    lane: Lane,
    seen_at: Timestamp,
    clock: InvocationClock,
) -> Settled {
    let mut unsettled = Vec::new();
    count_discarded(deliver, &processed, clock).await;
    tally::count_dropped(deliver, &processed, clock).await;
    let (mut decided, mut notable) = (Vec::new(), NotableItems::new());
    for each in processed {
        match decide(deliver, &each, lane, clock.now()) {
            Ok(decision) => {
                note(&mut notable, &each, &decision);
                decided.push(Decided::new(each, decision));
            }
            Err(error) => {
                tracing::error!(message_id = each.message, error = error.chain(), "settle.undecided");
                unsettled.push(each.message);
            }
        }
    }
    log_notable(&notable);
    let (requeued, held) =
        (requeue(deliver, &decided, lane, clock), store(deliver, &decided, seen_at, clock));
    let (requeued, stored) = join(requeued, held).await;
    let awaited = ensure_releases(deliver, &decided, clock).await;
    let uncertain: BTreeSet<_> = [requeued, stored, awaited].into_iter().flatten().collect();
    let (left, settled): (Vec<_>, Vec<_>) =
        decided.into_iter().partition(|decided| uncertain.contains(&decided.message));
    unsettled.extend(left.into_iter().map(|decided| decided.message));
    count_settled(&settled);
    log_held(&settled);
    finish_steps(deliver, &settled, clock).await;
    let ended = settled.iter().filter_map(|each| Some((&each.delivery, each.disposition.replay_counts()?)));
    replays::count(deliver, ended, clock).await;
    summary(&settled, unsettled, clock.now())
}

/// Counts what became of the deliveries that are settled: once each, for the others come again.
fn count_settled(settled: &[Decided]) {
    for each in settled {
        match each.disposition {
            Disposition::Arrived => metrics::add(Metric::Delivered, 1),
            Disposition::HoldUntil(_) | Disposition::HoldForRelease(..) => metrics::add(Metric::Held, 1),
            Disposition::Bury(_) => metrics::add(Metric::Dead, 1),
            Disposition::Dropped(_) | Disposition::Requeue(_) | Disposition::Resend(..) => {}
        }
    }
}

fn summary(settled: &[Decided], unsettled: Vec<String>, now: Timestamp) -> Settled {
    let fates = settled.iter().filter_map(|each| Some((each.message.clone(), each.disposition.fate(now)?)));
    let dead = || {
        settled.iter().filter_map(|each| match each.disposition {
            Disposition::Bury(cause) => Some((&each.delivery, cause)),
            _ => None,
        })
    };
    let may_notify_deaths = dead().all(|(delivery, _)| delivery.chain == 0);
    let dropped = settled.iter().filter_map(|each| match each.disposition {
        Disposition::Dropped(reason) => Some(DroppedItem::of(&each.delivery, reason.cause(), now)),
        _ => None,
    });
    let (dropped, deaths) = (dropped.collect(), Deaths::group(dead()));
    Settled { fates: fates.collect(), unsettled, deaths, dropped, may_notify_deaths }
}

/// Logs which items of a batch are held: a line for each webhook and reason.
fn log_held(settled: &[Decided]) {
    let mut held: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for each in settled {
        let reason = match each.disposition {
            Disposition::HoldUntil(_) => HeldFor::Retry,
            Disposition::HoldForRelease(reason, _) => reason,
            _ => continue,
        };
        let of = (each.delivery.webhook.as_str(), reason.as_str());
        held.entry(of).or_default().push(each.delivery.item.as_str());
    }
    for ((webhook, held_for), items) in held {
        tracing::info!(webhook, held_for, items = items.join(" "), "delivery.held");
    }
}

/// Decides where a delivery goes.
fn decide(
    deliver: &Deliver,
    processed: &Processed,
    here: Lane,
    now: Timestamp,
) -> Result<Decision, AdapterError> {
    let Processed { delivery, result, .. } = processed;
    Ok(match result {
        AttemptResult::Attempted { outcome, ended_at, .. } => {
            after_attempt(delivery, outcome, *ended_at, deliver.retention, now, random::bits64()?)
        }
        AttemptResult::NotMade(reason) => without_attempt(delivery, reason, here, deliver.retention, now),
    })
}

/// Notes an item that was moved or dropped, to be logged with the others of its webhook.
fn note(notable: &mut NotableItems, processed: &Processed, decision: &Decision) {
    let why = match (&processed.result, decision.disposition) {
        (_, Disposition::Dropped(reason)) => Notable::Dropped(reason),
        (AttemptResult::NotMade(Unattempted::Slow | Unattempted::SlowAtChainsEnd), _) => {
            Notable::MovedToSlowLane
        }
        (AttemptResult::NotMade(Unattempted::Overdue), _) => Notable::Overdue,
        _ => return,
    };
    let Delivery { webhook, item, .. } = &*processed.delivery;
    notable.entry((why, webhook.clone())).or_default().push(item.to_string());
}

/// Logs the items of a batch that were moved or dropped: a line for each webhook and reason.
fn log_notable(notable: &NotableItems) {
    for ((why, webhook), items) in notable {
        let (webhook, each, items) = (webhook.as_str(), items, items.join(" "));
        match why {
            Notable::MovedToSlowLane => tracing::info!(webhook, items, "delivery.moved_to_slow_lane"),
            Notable::Overdue => tracing::info!(webhook, items, "delivery.overdue"),
            Notable::Dropped(DropReason::WebhookDeleted) => {
                tracing::info!(webhook, items, "delivery.dropped");
            }
            Notable::Dropped(DropReason::NotTaken) => tracing::info!(webhook, items, "delivery.not_taken"),
            Notable::Dropped(DropReason::Discarded) => tracing::info!(webhook, items, "delivery.discarded"),
            Notable::Dropped(DropReason::StorageExpired) => {
                for item in each {
                    tracing::warn!(webhook, item, "delivery.storage_limit");
                }
            }
        }
    }
}

/// Counts the items that were dropped because their type is blocked. The counts are for their owners to read.
async fn count_discarded(deliver: &Deliver, processed: &[Processed], clock: InvocationClock) {
    let mut counts: HashMap<StreakKey, (&str, u32)> = HashMap::new();
    for Processed { delivery, result, .. } in processed {
        if let AttemptResult::NotMade(Unattempted::Blocked {
            while_blocked: WhileBlocked::Discard,
            revision,
            epoch: Some(epoch),
            ..
        }) = result
        {
            counts.entry(read::key(delivery, *revision)).or_insert((epoch, 0)).1 += 1;
        }
    }
    for (key, (epoch, items)) in counts {
        if let Err(error) = deliver.streaks.write(&key, &streak::discard(epoch, items), clock).await {
            let webhook = key.webhook.as_str();
            tracing::warn!(webhook, items, error = error.chain(), "streak.discards_not_counted");
        }
    }
}

/// Sends deliveries to the queues of their lanes. Answers the messages that are not certainly in a queue.
async fn requeue(deliver: &Deliver, decided: &[Decided], here: Lane, clock: InvocationClock) -> Vec<String> {
    let outgoing = |wanted: Lane| {
        let queued = decided.iter().filter_map(move |each| {
            let (lane, wait) = each.disposition.queue(here)?;
            (lane == wanted).then(|| (each, Outgoing::next_of_chain(&each.delivery, wait)))
        });
        queued.collect()
    };
    let usual = send(&deliver.queue, outgoing(Lane::Usual), clock);
    let slow = send(&deliver.slow_queue, outgoing(Lane::Slow), clock);
    let (usual, slow) = join(usual, slow).await;
    [usual, slow].concat()
}

/// Sends to one queue. Answers the messages that are not certainly in it.
async fn send(
    queue: &DeliverQueue,
    outgoing: Vec<(&Decided, Outgoing)>,
    clock: InvocationClock,
) -> Vec<String> {
    if outgoing.is_empty() {
        return Vec::new();
    }
    let (decided, outgoing): (Vec<_>, Vec<_>) = outgoing.into_iter().unzip();
    let sending = async { Ok(queue.send(&outgoing).await) };
    match in_time(clock, "queueing deliveries", sending).await {
        Ok(sent) => decided
            .into_iter()
            .zip(sent)
            .filter(|(_, sent)| sent.is_err())
            .map(|(decided, _)| decided.message.clone())
            .collect(),
        Err(error) => {
            tracing::error!(items = decided.len(), error = error.chain(), "settle.not_queued");
            decided.into_iter().map(|decided| decided.message.clone()).collect()
        }
    }
}

/// Awaits a call for as long as the batch has time.
async fn in_time<T>(
    clock: InvocationClock,
    operation: &'static str,
    call: impl Future<Output = Result<T, AdapterError>>,
) -> Result<T, AdapterError> {
    let left = clock.left().saturating_sub(ANSWER_RESERVE);
    tokio::time::timeout(left, call).await.unwrap_or(Err(AdapterError::OutOfTime { operation }))
}

/// Writes the rows of held and dead items. Answers the messages whose row is not certainly written.
async fn store(
    deliver: &Deliver,
    decided: &[Decided],
    seen_at: Timestamp,
    clock: InvocationClock,
) -> Vec<String> {
    let writing = stream::iter(decided).map(|decided| async move {
        let writing = write(deliver, decided, seen_at, clock.now());
        let error = in_time(clock, "storing an item", writing).await.err()?;
        tracing::error!(message_id = decided.message, error = error.chain(), "settle.not_stored");
        Some(decided.message.clone())
    });
    writing.buffer_unordered(CONCURRENT_ROWS).filter_map(std::future::ready).collect().await
}

async fn write(
    deliver: &Deliver,
    decided: &Decided,
    seen_at: Timestamp,
    now: Timestamp,
) -> Result<(), AdapterError> {
    let Decided { delivery, last_error, .. } = decided;
    let last_error = last_error.as_deref();
    let expires_at = deliver.retention.held_row_expires(delivery.kept_since());
    match decided.disposition {
        Disposition::Arrived
        | Disposition::Dropped(_)
        | Disposition::Requeue(_)
        | Disposition::Resend(..) => Ok(()),
        Disposition::HoldUntil(due_at) => {
            deliver
                .held
                .items
                .hold(delivery, (HeldFor::Retry, last_error), (due_at, seen_at), expires_at)
                .await
        }
        Disposition::HoldForRelease(reason, _) => {
            deliver.held.items.hold_for_release(delivery, (reason, last_error), seen_at, expires_at).await
        }
        Disposition::Bury(cause) => {
            deliver.dead.bury(delivery, (cause, last_error), now, deliver.retention.dead_until(now)).await
        }
    }
}

/// Makes sure that the items that were held for a release have one: one write for each webhook and type, after the rows
/// were written. Answers the messages for which that is not certain.
async fn ensure_releases(deliver: &Deliver, decided: &[Decided], clock: InvocationClock) -> Vec<String> {
    let mut uncertain = Vec::new();
    for (key, HeldOfRelease { account, due_at, messages }) in awaited(decided) {
        let ensuring = deliver.held.releases.ensure(&key, account, due_at);
        if let Err(error) = in_time(clock, "writing a release", ensuring).await {
            tracing::error!(webhook = key.webhook.as_str(), error = error.chain(), "settle.no_release");
            uncertain.extend(messages.into_iter().map(str::to_owned));
        }
    }
    uncertain
}

/// The items of one release that a batch held.
struct HeldOfRelease<'a> {
    account: &'a AccountId,
    /// The earliest time at which the release is due for one of them.
    due_at: Timestamp,
    messages: Vec<&'a str>,
}

fn awaited(decided: &[Decided]) -> HashMap<ReleaseKey, HeldOfRelease<'_>> {
    let mut awaited: HashMap<ReleaseKey, HeldOfRelease<'_>> = HashMap::new();
    for each in decided {
        if let Disposition::HoldForRelease(_, due_at) = each.disposition {
            let account = &each.delivery.account;
            let first = || HeldOfRelease { account, due_at, messages: Vec::new() };
            let release = awaited.entry(release_key(&each.delivery)).or_insert_with(first);
            release.due_at = release.due_at.min(due_at);
            release.messages.push(&each.message);
        }
    }
    awaited
}

fn release_key(delivery: &Delivery) -> ReleaseKey {
    ReleaseKey { webhook: delivery.webhook.clone(), item_type: delivery.item_type.clone() }
}

/// The indices of a step's items that have finished, and of those among them that failed.
type FinishedIndices = (BTreeSet<i64>, BTreeSet<i64>);

/// Counts the settled items of each step of a release. Where that fails, the release waits for them until a later tick
/// takes it over.
async fn finish_steps(deliver: &Deliver, settled: &[Decided], clock: InvocationClock) {
    for ((key, step), (finished, failed)) in finished_indices(settled) {
        let counting = deliver.held.releases.count_finished(&key, step, &finished, &failed);
        if let Err(error) = in_time(clock, "counting a step's items", counting).await {
            let (webhook, items) = (key.webhook.as_str(), finished.len());
            tracing::warn!(webhook, items, error = error.chain(), "release.step_not_counted");
        }
    }
}

fn finished_indices(settled: &[Decided]) -> HashMap<(ReleaseKey, &str), FinishedIndices> {
    let mut steps: HashMap<(ReleaseKey, &str), FinishedIndices> = HashMap::new();
    for each in settled {
        // An older version sent items without an index, and does not count on this.
        if let Some(StepTag { id, index: Some(index), .. }) = &each.step {
            let (finished, failed) = steps.entry((release_key(&each.delivery), id)).or_default();
            finished.insert(i64::from(*index));
            failed.extend(each.failed.then_some(i64::from(*index)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carteiro_core::settlement::DeathCause;

    use super::*;
    use crate::fixtures::{at, attempted, delivery, status};

    fn decided(delivery: Delivery, disposition: Disposition, failed: bool) -> Decided {
        Decided::new(attempted(delivery, status(500)), Decision { attempt: 2, disposition, failed })
    }

    fn of_step(index: u32) -> Delivery {
        let step = StepTag { id: "s".to_owned(), first: true, index: Some(index) };
        Delivery { step: Some(step), ..delivery(u8::try_from(index).unwrap()) }
    }

    #[test]
    fn a_step_counts_its_settled_items_and_not_those_sent_again() {
        let resent = decided(of_step(3), Disposition::Resend(Lane::Slow, Duration::ZERO), false);
        assert_eq!(resent.delivery.step, of_step(3).step, "it is still of its step");
        let settled = [
            decided(of_step(1), Disposition::Arrived, false),
            decided(of_step(2), Disposition::HoldForRelease(HeldFor::Blocked, at(9)), true),
            resent,
        ];
        assert!(settled[1].delivery.step.is_none() && settled[1].delivery.attempt == 2);
        let steps = finished_indices(&settled);
        let expected = (BTreeSet::from([1, 2]), BTreeSet::from([2]));
        assert_eq!(steps, HashMap::from([((release_key(&delivery(1)), "s"), expected)]));
    }

    #[test]
    fn a_release_is_looked_at_when_its_first_item_wants_it() {
        let held = |item, second| {
            decided(delivery(item), Disposition::HoldForRelease(HeldFor::Blocked, at(second)), true)
        };
        let batch = [held(1, 9), held(2, 7), decided(delivery(3), Disposition::HoldUntil(at(1)), true)];
        let awaited = awaited(&batch);
        let release = &awaited[&release_key(&delivery(1))];
        assert_eq!((release.due_at, release.messages.as_slice()), (at(7), ["1", "2"].as_slice()));
        assert_eq!(awaited.len(), 1);
    }

    #[test]
    fn a_batch_notifies_of_deaths_unless_one_came_by_a_chain() {
        let buried = |delivery| decided(delivery, Disposition::Bury(DeathCause::Exhausted), true);
        let chained = Delivery { chain: 1, ..delivery(2) };
        let alone = summary(&[buried(delivery(1))], Vec::new(), at(100));
        assert_eq!((alone.deaths[0].items, alone.may_notify_deaths), (1, true));
        let both = summary(&[buried(delivery(1)), buried(chained)], vec!["9".to_owned()], at(100));
        assert_eq!((both.deaths[0].items, both.may_notify_deaths), (2, false));
        assert_eq!(both.fates["1"], (ItemFate::Dead, None));
        assert_eq!(both.unsettled, ["9"]);
    }
}
