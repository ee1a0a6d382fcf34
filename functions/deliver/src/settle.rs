//! Settling: each delivery of a batch is done with, or durably somewhere else, before its message is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::keys::{HeldFor, ReleaseKey};
use carteiro_core::attempt_log::Became;
use carteiro_core::delivery::Delivery;
use carteiro_core::item::ItemType;
use carteiro_core::lane::{self, Lane, OVERDUE_WAIT, ShortWait};
use carteiro_core::release::StepTag;
use carteiro_core::retention::after;
use carteiro_core::settlement::{DISABLED_WAIT, DeathCause, Settlement, settle};
use carteiro_core::streak;
use carteiro_core::tally::Deaths;
use carteiro_core::webhook::WhileBlocked;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::Deliver;
use crate::attempt::{AttemptResult, Finished};
use crate::replays::{self, End};
use crate::tally;

/// What the answer needs; nothing is waited for in the last of it.
const RESERVE: Duration = Duration::from_millis(1500);

/// How long a notice waits for its next attempt at least: it is moved by a tick.
const NOTICE_WAIT: Duration = Duration::from_secs(60);

/// How long an item waits whose host had no room in its batch.
const NO_TURN_WAIT: Duration = Duration::from_secs(5);

/// How many rows are written at once.
const CONCURRENT_ROWS: usize = 10;

/// A batch, settled.
pub(crate) struct Settled {
    /// The messages that could not be settled.
    pub(crate) unsettled: Vec<String>,
    /// What became of the others' items, and when they are attempted again where that is known, by message.
    pub(crate) became: HashMap<String, (Became, Option<Timestamp>)>,
    /// The items that died, by webhook and type.
    pub(crate) deaths: Vec<Deaths>,
    /// Whether a notice of them makes no chain of messages longer than it may be.
    pub(crate) may_notify_deaths: bool,
}

/// What is to be stored for a delivery.
enum Store {
    /// Nothing: it arrived.
    Arrived,
    /// Nothing: it is dropped.
    Dropped,
    /// A message that comes back in its lane after this delay.
    Requeue(Duration),
    /// A message to this lane after this delay, of which no attempt was made: it is still of its step.
    Resend(Lane, Duration),
    /// A row that comes due then.
    HoldUntil(Timestamp),
    /// A row that waits for its release, which is looked at then.
    HoldForRelease(HeldFor, Timestamp),
    /// A dead row.
    Bury(DeathCause),
}

impl Store {
    /// What is to be stored of an item that its network lets be kept for a time only: nothing from then on, and nothing
    /// waits for longer.
    fn within_limit(self, delivery: &Delivery, now: Timestamp) -> Self {
        match self {
            Self::Arrived | Self::Dropped => self,
            _ if delivery.is_over_limit(now) => Self::over_limit(delivery),
            Self::HoldUntil(at) => Self::HoldUntil(delivery.within_limit(at)),
            Self::HoldForRelease(reason, at) => Self::HoldForRelease(reason, delivery.within_limit(at)),
            Self::Requeue(_) | Self::Resend(..) | Self::Bury(_) => self,
        }
    }

    /// Nothing, of what its network does not let be kept any more.
    fn over_limit(delivery: &Delivery) -> Self {
        let (webhook, item) = (delivery.webhook.as_str(), delivery.item.as_str());
        tracing::warn!(webhook, item, "delivery.storage_limit");
        Self::Dropped
    }

    /// What becomes of an item, and when it is attempted again where that is known.
    fn became(&self, now: Timestamp) -> Option<(Became, Option<Timestamp>)> {
        Some(match self {
            Self::Arrived => (Became::Delivered, None),
            Self::Dropped => (Became::Dropped, None),
            Self::Resend(..) => return None,
            Self::Requeue(wait) => (Became::Retry, Some(after(now, *wait))),
            Self::HoldUntil(at) => (Became::Retry, Some(*at)),
            Self::HoldForRelease(..) => (Became::Held, None),
            Self::Bury(_) => (Became::Dead, None),
        })
    }

    /// How it ended, where it did.
    fn end(&self) -> Option<End> {
        match self {
            Self::Arrived => Some(End::Delivered),
            Self::Dropped => Some(End::Dropped),
            Self::Bury(_) => Some(End::Dead),
            Self::Requeue(_) | Self::Resend(..) | Self::HoldUntil(_) | Self::HoldForRelease(..) => None,
        }
    }
}

/// A delivery with what is to be stored for it.
struct Decided {
    message: String,
    /// With the number of its next attempt, and no step.
    delivery: Delivery,
    store: Store,
    /// The step of a release that it belonged to.
    step: Option<StepTag>,
    /// Whether that step counts it as failed.
    failed: bool,
}

/// Settles a batch that began to read the state of its webhooks at `seen_at`.
pub(crate) async fn all(
    deliver: &Deliver,
    finished: Vec<Finished>,
    lane: Lane,
    seen_at: Timestamp,
    clock: InvocationClock,
) -> Settled {
    let mut unsettled = Vec::new();
    count_discarded(deliver, &finished, clock).await;
    tally::count_dropped(deliver, &finished, clock).await;
    let mut decided = Vec::new();
    for one in finished {
        let now = clock.now();
        match decide(deliver, &one, lane, now) {
            Ok((attempt, store, failed)) => {
                let store = store.within_limit(&one.delivery, now);
                let mut delivery = Delivery { attempt, ..Arc::unwrap_or_clone(one.delivery) };
                let step = if matches!(store, Store::Resend(..)) { None } else { delivery.step.take() };
                decided.push(Decided { message: one.message, delivery, store, step, failed });
            }
            Err(error) => {
                tracing::error!(message = one.message, error = error.chain(), "settle.undecided");
                unsettled.push(one.message);
            }
        }
    }
    let (requeued, held) =
        (requeue(deliver, &decided, lane, clock), store(deliver, &decided, seen_at, clock));
    let (requeued, stored) = join(requeued, held).await;
    let awaited = await_releases(deliver, &decided, clock).await;
    let failed = |one: &Decided| {
        requeued.contains(&one.message) || stored.contains(&one.message) || awaited.contains(&one.message)
    };
    let (left, settled): (Vec<_>, Vec<_>) = decided.into_iter().partition(failed);
    unsettled.extend(left.into_iter().map(|one| one.message));
    finish_steps(deliver, &settled, clock).await;
    let ended = settled.iter().filter_map(|one| Some((&one.delivery, one.store.end()?)));
    replays::count(deliver, ended, clock).await;
    let now = clock.now();
    let became = settled.iter().filter_map(|one| Some((one.message.clone(), one.store.became(now)?)));
    let dead = || {
        settled.iter().filter_map(|one| match one.store {
            Store::Bury(cause) => Some((&one.delivery, cause)),
            _ => None,
        })
    };
    let deaths = Deaths::group(dead());
    let may_notify_deaths = dead().all(|(delivery, _)| delivery.chain == 0);
    Settled { became: became.collect(), unsettled, deaths, may_notify_deaths }
}

/// What is to be stored, under which number of the next attempt, and whether a step counts it as failed.
fn decide(
    deliver: &Deliver,
    one: &Finished,
    here: Lane,
    now: Timestamp,
) -> Result<(u32, Store, bool), AdapterError> {
    let delivery = &one.delivery;
    let end = deliver.retention.held_until(delivery.kept_since());
    // No attempt was made, by no fault of the URL's: it is looked at again then, under the same number.
    let unattempted = |delivery: &Delivery, look_at: Timestamp| {
        let store = match &delivery.step {
            _ if now >= end => Store::Bury(DeathCause::RetentionOver),
            Some(_) => Store::HoldForRelease(HeldFor::Blocked, look_at.min(end)),
            None => Store::HoldUntil(look_at.min(end)),
        };
        Ok((delivery.attempt, store, true))
    };
    let waiting = |reason, look_at: Timestamp| {
        let store = if now >= end {
            Store::Bury(DeathCause::RetentionOver)
        } else {
            Store::HoldForRelease(reason, look_at.min(end))
        };
        Ok((delivery.attempt, store, true))
    };
    let (outcome, ended_at) = match &one.result {
        AttemptResult::Attempted { outcome, ended_at, .. } => (outcome, *ended_at),
        AttemptResult::WebhookDeleted => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                "delivery.dropped"
            );
            return Ok((delivery.attempt, Store::Dropped, false));
        }
        AttemptResult::NotTaken => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                item_type = delivery.item_type.as_str(),
                "delivery.not_taken"
            );
            return Ok((delivery.attempt, Store::Dropped, false));
        }
        AttemptResult::OverLimit => return Ok((delivery.attempt, Store::over_limit(delivery), false)),
        AttemptResult::Slow | AttemptResult::SlowAtChainsEnd => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                "delivery.moved_to_slow_lane"
            );
            if matches!(one.result, AttemptResult::SlowAtChainsEnd) {
                // The next tick begins a new chain, whose first message is moved.
                return unattempted(delivery, now);
            }
            return Ok((delivery.attempt, Store::Resend(Lane::Slow, Duration::ZERO), false));
        }
        AttemptResult::NoTurn if lane::retry(delivery.chain) == ShortWait::InQueue => {
            return Ok((delivery.attempt, Store::Resend(here, NO_TURN_WAIT), false));
        }
        AttemptResult::NoTurn => return unattempted(delivery, after(now, NO_TURN_WAIT)),
        AttemptResult::Overdue => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                "delivery.overdue"
            );
            return unattempted(delivery, after(now, OVERDUE_WAIT));
        }
        AttemptResult::WebhookDisabled => return waiting(HeldFor::Disabled, after(now, DISABLED_WAIT)),
        AttemptResult::Blocked { meanwhile: WhileBlocked::Hold, until, .. } => {
            return waiting(HeldFor::Blocked, *until);
        }
        AttemptResult::Blocked { .. } => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                "delivery.discarded"
            );
            return Ok((delivery.attempt, Store::Dropped, false));
        }
    };
    let random = random::bits64()?;
    let settlement =
        settle(outcome, delivery.attempt, delivery.kept_since(), deliver.retention, ended_at, random);
    let next = delivery.attempt.saturating_add(1);
    let first_step = delivery.step.as_ref().is_some_and(|step| step.first);
    Ok(match settlement {
        Settlement::Delivered => (next, Store::Arrived, false),
        Settlement::Dead(cause) => (next, Store::Bury(cause), true),
        Settlement::Hold { until } if outcome.is_gone() => {
            (next, Store::HoldForRelease(HeldFor::Disabled, until), true)
        }
        // A failure in the first step does not use up the item's schedule: it keeps its number. What is of a step waits
        // for the next one, in its place, and not in the queue, which would make the chain of invocations longer.
        _ if delivery.step.is_some() => {
            let number = if first_step { delivery.attempt } else { next };
            (number, Store::HoldForRelease(HeldFor::Blocked, after(now, DISABLED_WAIT).min(end)), true)
        }
        Settlement::RetrySoon { wait } if delivery.item_type == ItemType::NOTICE => {
            // It may have been sent by a delivery at the end of a chain.
            (next, Store::HoldUntil(after(now, wait.max(NOTICE_WAIT)).min(end)), true)
        }
        Settlement::RetrySoon { wait } => match lane::retry(delivery.chain) {
            ShortWait::InQueue => (next, Store::Requeue(wait), true),
            ShortWait::Held => (next, Store::HoldUntil(after(now, wait).min(end)), true),
        },
        Settlement::Hold { until } => (next, Store::HoldUntil(until), true),
    })
}

/// Counts what is dropped because its type is blocked. The count is for its owner to read, and decides nothing.
async fn count_discarded(deliver: &Deliver, finished: &[Finished], clock: InvocationClock) {
    let mut counts: HashMap<&StreakKey, (&str, u32)> = HashMap::new();
    for one in finished {
        if let AttemptResult::Blocked { meanwhile: WhileBlocked::Discard, key, epoch: Some(epoch), .. } =
            &one.result
        {
            counts.entry(key).or_insert((epoch, 0)).1 += 1;
        }
    }
    for (key, (epoch, items)) in counts {
        if let Err(error) = deliver.streaks.write(key, &streak::discard(epoch, items), clock).await {
            tracing::warn!(
                webhook = key.webhook.as_str(),
                items,
                error = error.chain(),
                "streak.discards_not_counted"
            );
        }
    }
}

/// Sends what is retried soon in its lane, and what is moved to the slow one. Answers the messages of what is not
/// certainly in a queue.
async fn requeue(deliver: &Deliver, decided: &[Decided], lane: Lane, clock: InvocationClock) -> Vec<String> {
    let (mut usual, mut slow) = (Vec::new(), Vec::new());
    for one in decided {
        let (lane, wait) = match one.store {
            Store::Requeue(wait) => (lane, wait),
            Store::Resend(lane, wait) => (lane, wait),
            _ => continue,
        };
        let chain = one.delivery.chain.saturating_add(1);
        let outgoing = Outgoing::new(&Delivery { chain, ..one.delivery.clone() }, wait);
        match lane {
            Lane::Usual => usual.push((one, outgoing)),
            Lane::Slow => slow.push((one, outgoing)),
        }
    }
    let sent = join(send(&deliver.queue, usual, clock), send(&deliver.slow_queue, slow, clock));
    let (mut uncertain, slow) = sent.await;
    uncertain.extend(slow);
    uncertain
}

/// Sends to one queue. Answers the messages of what is not certainly in it.
async fn send(
    queue: &DeliverQueue,
    outgoing: Vec<(&Decided, Outgoing)>,
    clock: InvocationClock,
) -> Vec<String> {
    if outgoing.is_empty() {
        return Vec::new();
    }
    let (decided, outgoing): (Vec<_>, Vec<_>) = outgoing.into_iter().unzip();
    let left = clock.left().saturating_sub(RESERVE);
    match tokio::time::timeout(left, queue.send(&outgoing)).await {
        Ok(sent) => decided
            .into_iter()
            .zip(sent)
            .filter(|(_, sent)| sent.is_err())
            .map(|(one, _)| one.message.clone())
            .collect(),
        Err(_) => decided.into_iter().map(|one| one.message.clone()).collect(),
    }
}

/// Writes the rows of what is held or dead. Answers the messages of what is not certainly written.
async fn store(
    deliver: &Deliver,
    decided: &[Decided],
    seen_at: Timestamp,
    clock: InvocationClock,
) -> Vec<String> {
    let writing = stream::iter(decided).map(|one| async move {
        let left = clock.left().saturating_sub(RESERVE);
        match tokio::time::timeout(left, write(deliver, one, seen_at, clock.now())).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::error!(message = one.message, error = error.chain(), "settle.not_stored");
                Some(one.message.clone())
            }
            Err(_) => Some(one.message.clone()),
        }
    });
    writing.buffer_unordered(CONCURRENT_ROWS).filter_map(std::future::ready).collect().await
}

async fn write(
    deliver: &Deliver,
    one: &Decided,
    seen_at: Timestamp,
    now: Timestamp,
) -> Result<(), AdapterError> {
    let delivery = &one.delivery;
    let expires_at = deliver.retention.held_row_expires(delivery.kept_since());
    match one.store {
        Store::Arrived | Store::Dropped | Store::Requeue(_) | Store::Resend(..) => Ok(()),
        Store::HoldUntil(due_at) => {
            deliver.held.items.hold(delivery, HeldFor::Retry, (due_at, seen_at), expires_at).await
        }
        Store::HoldForRelease(reason, _) => {
            deliver.held.items.hold_for_release(delivery, reason, seen_at, expires_at).await
        }
        Store::Bury(cause) => {
            tracing::warn!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                cause = cause.as_str(),
                "delivery.dead"
            );
            deliver.dead.bury(delivery, cause, now, deliver.retention.dead_until(now)).await
        }
    }
}

/// Sees to it that what was held for a release has one: once for each webhook and type, after its rows were written.
/// Answers the messages for which that is not certain.
async fn await_releases(deliver: &Deliver, decided: &[Decided], clock: InvocationClock) -> Vec<String> {
    let mut wanted: HashMap<ReleaseKey, (&Delivery, Timestamp, Vec<&str>)> = HashMap::new();
    for one in decided {
        if let Store::HoldForRelease(_, due_at) = one.store {
            let entry =
                wanted.entry(release_key(&one.delivery)).or_insert((&one.delivery, due_at, Vec::new()));
            entry.1 = entry.1.min(due_at);
            entry.2.push(&one.message);
        }
    }
    let mut uncertain = Vec::new();
    for (key, (delivery, due_at, messages)) in wanted {
        let left = clock.left().saturating_sub(RESERVE);
        let awaiting = deliver.held.releases.ensure(&key, &delivery.account, due_at);
        match tokio::time::timeout(left, awaiting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(webhook = key.webhook.as_str(), error = error.chain(), "settle.no_release");
                uncertain.extend(messages.into_iter().map(str::to_owned));
            }
            Err(_) => uncertain.extend(messages.into_iter().map(str::to_owned)),
        }
    }
    uncertain
}

fn release_key(delivery: &Delivery) -> ReleaseKey {
    ReleaseKey { webhook: delivery.webhook.clone(), item_type: delivery.item_type.clone() }
}

/// The indices of a step's items that have finished, and of those among them that failed.
type FinishedIndices = (BTreeSet<i64>, BTreeSet<i64>);

/// Counts the settled items of each step of a release. One that is not counted is waited for until its release is
/// taken over at a later tick.
async fn finish_steps(deliver: &Deliver, settled: &[Decided], clock: InvocationClock) {
    let mut counts: HashMap<(ReleaseKey, &str), FinishedIndices> = HashMap::new();
    for one in settled {
        // Whoever sent an item without its index waits for it in another way, or not any more.
        if let Some(StepTag { id, index: Some(index), .. }) = &one.step {
            let (finished, failed) = counts.entry((release_key(&one.delivery), id)).or_default();
            finished.insert(i64::from(*index));
            failed.extend(one.failed.then_some(i64::from(*index)));
        }
    }
    for ((key, step), (finished, failed)) in counts {
        let left = clock.left().saturating_sub(RESERVE);
        let counting = deliver.held.releases.count_finished(&key, step, &finished, &failed);
        if !matches!(tokio::time::timeout(left, counting).await, Ok(Ok(()))) {
            let items = finished.len();
            tracing::warn!(webhook = key.webhook.as_str(), items, "release.step_not_counted");
        }
    }
}
