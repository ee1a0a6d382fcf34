//! Releases the items that are held for a webhook and type, step by step ([`carteiro_core::release`]).
//!
//! One worker at a time has a release, by a lease that it renews as it goes. It sends a step, waits until all of it
//! has finished, and goes on with a larger one. When its time is over it gives the release back as it is. A tick that
//! runs meanwhile has seen when that will be, and planned a successor for that moment.
//!
//! Where the webhook's owner acted (ended a block, enabled or changed it), the release takes retries too that were held
//! before: each row is made to wait for the release just before it is sent. The release is not ended before everything
//! has been held that batches under way may hold by the state before the act ([`carteiro_core::holding`]).
//!
//! Guaranteed: a row is deleted only after its item is in the queue; without a fault an item is sent once, and nothing
//! of a step is sent before the step before it has finished. A worker that dies between sending and deleting leaves
//! rows of one step to its successor, and those are sent again, under the same ids.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::Outgoing;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::cursor::HeldCursor;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_adapters::tables::waiting::keys::{HeldKey, SHARDS};
use carteiro_adapters::tables::waiting::release::{Release, ReleaseClaim};
use carteiro_core::delivery::{Delivery, StepTag};
use carteiro_core::holding::{LeftRelease, NewStep};
use carteiro_core::release::{
    Ending, FIRST_STEP, Gate, MAX_STEP_BYTES, Move, NextStep, STEP_TIME, StepStatus, ending, grown,
    is_search_due, may_hide_expired, next_expiry, next_move, next_step, step_status,
};
use carteiro_core::retention::after;
use carteiro_core::settlement::DeathCause;
use carteiro_core::streak::State;
use carteiro_core::work_share::next_look;
use futures_util::future::{join, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::context::{Collect, CollectError, Progress};
use crate::deaths;

/// How long a worker has a release without renewing its lease: longer than sending a step takes. The successor of a
/// worker that died waits for this time.
const LEASE: Duration = Duration::from_secs(30);

/// How often a worker looks whether its step has finished.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How many rows are buried or deleted at once.
const CONCURRENT_ROWS: usize = 32;

/// How many items are buried, or dropped with their webhook, in one pass.
const ITEMS_PER_PASS: u32 = 100;

/// How many times in a row a release that could not be postponed, because an item was held for it, goes on at once.
const MAX_TOUCHED: u32 = 5;

/// The next thing to do with a release.
enum Next {
    /// The next step.
    Step(Release),
    /// Give the release back until then.
    Pause { release: Release, until: Timestamp, keep_step: bool },
    /// Nothing: it has ended, or another worker has it.
    Over,
}

/// A worker on a release.
struct Worker<'a> {
    collect: &'a Collect,
    clock: InvocationClock,
    /// The waiting items, as far as they were read.
    waiting: HeldCursor,
    /// When reading them began.
    read_at: Timestamp,
    /// Whether the waiting items were read anew since the latest step. Items that could not be sent or deleted stand
    /// behind what was read before.
    is_read_anew: bool,
    /// How often the release was touched before reading began.
    touched: u64,
    /// Rows whose items are in the queue.
    sent: Vec<HeldKey>,
    steps: u32,
    items: usize,
}

/// Drops or buries rows of items that waited for too long, unless they were held anew since they were read.
async fn bury(
    collect: &Collect,
    rows: &[(HeldKey, Delivery)],
    clock: InvocationClock,
) -> Result<(), AdapterError> {
    let burying = stream::iter(rows).map(|(held, delivery)| async move {
        let death = (delivery, DeathCause::RetentionOver);
        let buried =
            deaths::drop_or_bury(collect, death, collect.held.items.delete_released(held), clock).await?;
        Ok::<_, AdapterError>(buried.then_some(death))
    });
    let buried: Vec<_> = burying.buffer_unordered(CONCURRENT_ROWS).try_collect().await?;
    deaths::count(collect, buried.into_iter().flatten(), clock).await;
    Ok(())
}

/// Moves a release on, as far as the time allows.
pub(crate) async fn release(
    collect: &Collect,
    key: ReleaseKey,
    looks: u8,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let Some(release) = claim(collect, &key, looks, clock).await? else { return Ok(Progress::Done) };
    let worked = Worker::new(collect, &release, clock).work(release.clone()).await;
    if worked.is_err()
        && let Err(error) = collect.held.releases.return_to_index(&release, clock.now()).await
    {
        // A look at the end of this worker's time takes it over.
        tracing::warn!(webhook = key.webhook.as_str(), error = error.chain(), "release.not_given_back");
    }
    worked.map(|()| Progress::Done)
}

/// Claims a release. Where another worker has it, this plans a look for the end of its lease, because that worker may
/// have died. It plans none where one is planned already, or after the last of the `looks`.
async fn claim(
    collect: &Collect,
    key: &ReleaseKey,
    looks: u8,
    clock: InvocationClock,
) -> Result<Option<Release>, CollectError> {
    let mut is_repaired = false;
    loop {
        let now = clock.now();
        let time_over = after(now, clock.left());
        match collect.held.releases.claim(key, now, after(now, LEASE), time_over).await {
            Ok(ReleaseClaim::Claimed(release)) => return Ok(Some(release)),
            Ok(ReleaseClaim::Over) => return Ok(None),
            // Nobody could ever release the items that wait for it.
            Err(error @ AdapterError::Malformed { .. }) if !is_repaired => {
                is_repaired = true;
                if collect.held.repair_release(key, now).await? {
                    let (webhook, item_type) = (key.webhook.as_str(), key.item_type.as_str());
                    tracing::error!(webhook, item_type, error = error.chain(), "release.row_repaired");
                }
            }
            Err(error) => return Err(error.into()),
            Ok(ReleaseClaim::Taken(lease)) => {
                look_later(collect, key, (looks, lease), now).await?;
                return Ok(None);
            }
        }
    }
}

/// Plans a look at a release that another worker has until `lease`.
async fn look_later(
    collect: &Collect,
    key: &ReleaseKey,
    (looks, lease): (u8, Timestamp),
    now: Timestamp,
) -> Result<(), CollectError> {
    let Some(at) = next_look(looks, lease, now) else { return Ok(()) };
    if !collect.held.releases.plan_look(key, now, at).await? {
        return Ok(());
    }
    let account = collect.held.releases.glance(key).await?.and_then(|glance| glance.account);
    let ReleaseKey { webhook, item_type } = key.clone();
    let look = Work::Release { webhook, item_type, account, looks: looks + 1 };
    let delay = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Ok(collect.work.send(&[(look, delay)]).await?)
}

impl<'a> Worker<'a> {
    fn new(collect: &'a Collect, release: &Release, clock: InvocationClock) -> Self {
        let read_at = clock.now();
        let Release { key, state, .. } = release;
        let waiting = collect.held.of_release(key, state.release_all_until, read_at);
        let (touched, sent) = (state.touched, Vec::new());
        Self { collect, clock, waiting, read_at, is_read_anew: true, touched, sent, steps: 0, items: 0 }
    }

    /// Moves the release on until it has ended, was given back, or another worker has it.
    async fn work(&mut self, mut release: Release) -> Result<(), CollectError> {
        let mut refused = 0;
        loop {
            release = match self.go_on(release).await? {
                Next::Step(release) => release,
                Next::Over => return Ok(()),
                Next::Pause { release, until, keep_step } => {
                    let held = &self.collect.held;
                    if held.releases.postpone(&release, until, keep_step).await? != LeftRelease::Touched {
                        return Ok(());
                    }
                    // It was touched by a held item, or by an owner's act, after which the count starts again.
                    let Some(ours) = self.renew(&release).await? else { return Ok(()) };
                    refused = if ours.state.expedited == release.state.expedited { refused + 1 } else { 0 };
                    if refused >= MAX_TOUCHED {
                        held.releases.return_to_index(&ours, self.clock.now()).await?;
                        return Ok(());
                    }
                    ours
                }
            }
        }
    }

    /// Waits for the step under way, whichever worker sent it, and sends the next one.
    async fn go_on(&mut self, release: Release) -> Result<Next, CollectError> {
        // Items go into the queue before their rows are deleted: where a worker dies in between, they are sent again.
        let sent = mem::take(&mut self.sent);
        let ((), finished) = join(self.delete(sent), self.finished_step(release)).await;
        let release = match finished? {
            Next::Step(release) => release,
            other => return Ok(other),
        };
        if self.clock.left() < STEP_TIME {
            let until = self.clock.now();
            return Ok(Next::Pause { release, until, keep_step: true });
        }
        let size = match next_step(release.state.step.as_ref(), FIRST_STEP, grown) {
            NextStep::Send(size) => size,
            NextStep::Failed => {
                let (steps, items) = (self.steps, self.items);
                let failed = release.state.step.map(|step| step.failed);
                let webhook = release.key.webhook.as_str();
                tracing::info!(webhook, steps, items, failed, "release.step_failed");
                return Ok(Next::Pause { release, until: self.next_tick(), keep_step: false });
            }
        };
        // Items that were held since reading began may be older than the next one.
        if release.state.touched != self.touched || self.ending_now(&release) == Ending::ReadAnew {
            self.touched = release.state.touched;
            self.read_anew(&release);
        }
        self.send_next_step(release, size).await
    }

    /// Sends a step of this size, if the webhook may have it.
    async fn send_next_step(&mut self, release: Release, size: u32) -> Result<Next, CollectError> {
        let Some((release, oldest)) = self.bury_expired(release).await? else { return Ok(Next::Over) };
        let Some((release, gate)) = self.opened(release, oldest.is_some()).await? else {
            return Ok(Next::Over);
        };
        let next = match next_move(gate, oldest) {
            Move::Send(revision) => Some(self.send_step(&release, revision, size).await?),
            Move::Drop => self.drop_items(&release).await?,
            Move::Pause(until) => return Ok(Next::Pause { release, until, keep_step: false }),
            Move::Finish => None,
        };
        if let Some(ours) = next {
            self.steps += 1;
            return Ok(ours.map_or(Next::Over, Next::Step));
        }
        match if self.is_read_anew { self.ending_now(&release) } else { Ending::ReadAnew } {
            Ending::Now => self.end(release).await,
            Ending::ReadAnew => {
                self.read_anew(&release);
                Ok(Next::Step(release))
            }
            Ending::NotBefore(until) => Ok(Next::Pause { release, until, keep_step: false }),
        }
    }

    fn ending_now(&self, release: &Release) -> Ending {
        ending(release.state.release_all_until, self.read_at, self.clock.now())
    }

    async fn end(&self, release: Release) -> Result<Next, CollectError> {
        match self.collect.held.releases.end(&release).await? {
            LeftRelease::Done => {
                let (steps, items) = (self.steps, self.items);
                tracing::info!(webhook = release.key.webhook.as_str(), steps, items, "release.ended");
                Ok(Next::Over)
            }
            LeftRelease::NotOurs => Ok(Next::Over),
            LeftRelease::Touched => Ok(self.renew(&release).await?.map_or(Next::Over, Next::Step)),
        }
    }

    fn read_anew(&mut self, release: &Release) {
        self.read_at = self.clock.now();
        self.waiting =
            self.collect.held.of_release(&release.key, release.state.release_all_until, self.read_at);
        self.is_read_anew = true;
    }

    fn next_tick(&self) -> Timestamp {
        after(self.clock.now(), Duration::from_secs(u64::from(self.collect.minutes) * 60))
    }

    fn lease(&self) -> Timestamp {
        after(self.clock.now(), LEASE)
    }

    async fn renew(&self, release: &Release) -> Result<Option<Release>, AdapterError> {
        self.collect.held.releases.renew(release, self.lease()).await
    }

    /// Waits until the step under way has finished.
    async fn finished_step(&self, mut release: Release) -> Result<Next, CollectError> {
        loop {
            let now = self.clock.now();
            let status = step_status(release.state.step.as_ref(), self.clock.left(), now);
            if let (StepStatus::Overdue | StepStatus::OverdueExpedited, Some(step)) =
                (status, &release.state.step)
            {
                // Some of it was not counted, or comes back late.
                let webhook = release.key.webhook.as_str();
                tracing::warn!(webhook, left = step.left, "release.step_not_finished");
            }
            match status {
                StepStatus::Finished => return Ok(Next::Step(release)),
                StepStatus::OutOfTime => return Ok(Next::Pause { release, until: now, keep_step: true }),
                StepStatus::Overdue => {
                    return Ok(Next::Pause { release, until: self.next_tick(), keep_step: false });
                }
                StepStatus::OverdueExpedited => {
                    release.state.step = None;
                    return Ok(Next::Step(release));
                }
                StepStatus::UnderWay => {}
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let looked = if after(self.clock.now(), LEASE / 2) < release.lease {
                self.collect.held.releases.reload(&release).await?
            } else {
                self.renew(&release).await?
            };
            match looked {
                Some(ours) => release = ours,
                None => return Ok(Next::Over),
            }
        }
    }

    /// Looks at the gate, and waits where it opens within seconds. None where the release is no longer ours.
    async fn opened(
        &self,
        mut release: Release,
        something_waits: bool,
    ) -> Result<Option<(Release, Gate)>, CollectError> {
        loop {
            let gate = self.gate(&release).await?;
            let wait = gate.wait(self.clock.left(), self.clock.now()).filter(|_| something_waits);
            let Some(wait) = wait else { return Ok(Some((release, gate))) };
            tokio::time::sleep(wait).await;
            let Some(ours) = self.renew(&release).await? else { return Ok(None) };
            release = ours;
        }
    }

    async fn gate(&self, release: &Release) -> Result<Gate, CollectError> {
        let ReleaseKey { webhook, item_type } = release.key.clone();
        let found = self.collect.config.find_webhook(&release.account, &webhook).await?;
        let gate = Gate::of_webhook(found.as_ref(), self.clock.now());
        let Gate::Open { revision } = gate else { return Ok(gate) };
        let key = StreakKey { account: release.account.clone(), webhook, revision, item_type };
        let row = self.collect.streaks.read(&key).await?;
        Ok(gate.with_state(&State::of(row.as_ref(), self.clock.now())))
    }

    /// Buries expired items, whatever the gate. Answers when the next item expires, or None where nothing is held; and
    /// nothing where the release is no longer ours.
    async fn bury_expired(
        &mut self,
        mut release: Release,
    ) -> Result<Option<(Release, Option<Timestamp>)>, AdapterError> {
        if is_search_due(release.state.looked_behind_at, self.clock.now())
            && self.oldest_may_hide_expired().await?
        {
            let Some(ours) = self.bury_behind(release).await? else { return Ok(None) };
            release = ours;
            // They have gone from what was read.
            self.read_anew(&release);
        }
        let Self { collect, clock, waiting, .. } = self;
        let collect: &Collect = collect;
        loop {
            let now = clock.now();
            let (mut over, mut next) = (Vec::new(), None);
            while over.len() < ITEMS_PER_PASS as usize
                && let Some(oldest) = waiting.peek(ITEMS_PER_PASS).await?
            {
                if oldest.held_until(collect.retention) > now {
                    next = Some(next_expiry(oldest, collect.retention, now));
                    break;
                }
                over.extend(waiting.take());
            }
            if over.is_empty() {
                return Ok(Some((release, next)));
            }
            let over = waiting.adopt(over, now).await?;
            bury(collect, &over, *clock).await?;
        }
    }

    async fn oldest_may_hide_expired(&mut self) -> Result<bool, AdapterError> {
        let oldest = self.waiting.peek(ITEMS_PER_PASS).await?;
        Ok(oldest.is_some_and(|oldest| may_hide_expired(oldest, self.collect.retention, self.clock.now())))
    }

    /// Buries expired items behind replayed ones, page by page of all shards at once, and notes when all were searched.
    /// None where the release is no longer ours.
    async fn bury_behind(&self, mut release: Release) -> Result<Option<Release>, AdapterError> {
        let Self { collect, clock, .. } = self;
        let began = clock.now();
        let over_since = collect.retention.over_since(began);
        let mut pages: Vec<_> = (0..SHARDS).map(|shard| (shard, None)).collect();
        while !pages.is_empty() {
            if clock.left() < STEP_TIME {
                return Ok(Some(release));
            }
            let key = &release.key;
            let looks = pages.into_iter().map(|(shard, mark)| async move {
                let (found, next) = collect.held.items.kept_too_long(key, shard, over_since, mark).await?;
                Ok::<_, AdapterError>((found, next.map(|next| (shard, Some(next)))))
            });
            let (found, next): (Vec<_>, Vec<_>) = try_join_all(looks).await?.into_iter().unzip();
            bury(collect, &found.concat(), *clock).await?;
            pages = next.into_iter().flatten().collect();
            let Some(ours) = self.renew(&release).await? else { return Ok(None) };
            release = ours;
        }
        collect.held.releases.record_retention_sweep(&release, (began, self.lease())).await
    }

    /// Sends a step. Its rows are deleted while it is under way. None where the release is no longer ours.
    async fn send_step(
        &mut self,
        release: &Release,
        revision: u64,
        size: u32,
    ) -> Result<Option<Release>, CollectError> {
        let held = &self.collect.held;
        let now = self.clock.now();
        let oldest = self.waiting.take_part((size, MAX_STEP_BYTES), now).await?;
        let (over, oldest): (Vec<_>, Vec<_>) =
            oldest.into_iter().partition(|(_, delivery)| delivery.is_past_keep_until(now));
        bury(self.collect, &over, self.clock).await?;
        if oldest.is_empty() {
            self.is_read_anew = false;
            return Ok(self.renew(release).await?);
        }
        let id = format!("{:032x}", random::bits128()?);
        let step = NewStep { id: &id, items: u32::try_from(oldest.len()).unwrap_or(u32::MAX), size };
        let times = (self.clock.now(), self.lease());
        let Some(ours) = held.releases.begin_step(release, step, times).await? else { return Ok(None) };
        let tag = |index| Some(StepTag { id: id.clone(), first: size == FIRST_STEP, index: Some(index) });
        let outgoing: Vec<_> = (0..)
            .zip(&oldest)
            .map(|(index, (_, delivery))| {
                let delivery = Delivery { revision, step: tag(index), ..delivery.clone() };
                Outgoing::new(delivery, Duration::ZERO)
            })
            .collect();
        let sent = self.collect.deliveries.send(&outgoing).await;
        let unsent: BTreeSet<i64> =
            (0..).zip(&sent).filter_map(|(index, sent)| sent.is_err().then_some(index)).collect();
        // They stay held, for a later step; this one does not wait for them.
        held.releases.count_finished(&ours.key, &id, &unsent, &BTreeSet::new()).await?;
        let Some(ours) = held.releases.step_sent(&ours, self.lease()).await? else { return Ok(None) };
        self.items += oldest.len();
        self.is_read_anew = false;
        if !unsent.is_empty() {
            // They are older than the next item.
            self.read_anew(&ours);
        }
        let safe = oldest.into_iter().zip(sent).filter_map(|((key, _), sent)| sent.is_ok().then_some(key));
        self.sent.extend(safe);
        Ok(Some(ours))
    }

    /// Deletes rows whose items are in the queue.
    async fn delete(&self, rows: Vec<HeldKey>) {
        let deleting = stream::iter(rows).map(|key| async move {
            if let Err(error) = self.collect.held.items.delete_released(&key).await {
                let place = key.place();
                tracing::warn!(place, error = error.chain(), "held.not_deleted");
            }
        });
        deleting.buffer_unordered(CONCURRENT_ROWS).collect::<()>().await;
    }

    /// Drops items whose webhook was deleted. None where none is left; else the release, if it is still ours.
    async fn drop_items(&mut self, release: &Release) -> Result<Option<Option<Release>>, AdapterError> {
        let held = &self.collect.held;
        let now = self.clock.now();
        let rows = self.waiting.take_part((ITEMS_PER_PASS, MAX_STEP_BYTES), now).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let dropping = stream::iter(&rows).map(|(key, _)| held.items.drop_row(key));
        dropping.buffer_unordered(CONCURRENT_ROWS).try_collect::<()>().await?;
        self.items += rows.len();
        self.is_read_anew = false;
        self.renew(release).await.map(Some)
    }
}
