//! Releases: one row for each (webhook, item type) of which something waits for its release, in the held items' table.
//!
//! The row says when somebody is to look next (`due_at`, in the index `due`), who releases now (`lease_until`), and how
//! far the current step is. Holding an item *touches* the row after the item is stored, and a release ends the row only
//! if it was not touched since before it found nothing held: so no item is left without a release.
//!
//! One worker at a time releases, by the lease, which every step renews. While it works, `due_at` is when its time
//! will be over, so that a tick plans its successor for then. A step is `step_sent` when all of it is in the queue:
//! whoever takes over from a worker that died before knows that no row of the step was deleted, and sends it anew.
//! What a worker that died had sent and not deleted is sent again, under the same ids.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_core::delivery::Delivery;
use carteiro_core::holding::{self, DUE_AT, LeftRelease, NewStep, RELEASE_ATTRIBUTES, ReleaseState};
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::release::released_until;
use carteiro_core::transition::{Change, Effect, Row as CoreRow, Value, Write};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::conditional::{self, Answer, Written};
use crate::error::AdapterError;
use crate::expression::core_row;
use crate::held_table::{
    DUE_SHARDS, HeldKey, HeldTable, due_shard_name, new_id, part_of_shard, pk, read_delivery, shard_of_id,
};
use crate::merged_rows::{MergedRows, Reading};
use crate::row::{Reader, Row, milliseconds, sorted_digits, text};
use crate::unreadable::readable;

const TABLE: &str = "held";
const SUFFIX: &str = "#release";

/// It waits for its release, and was accepted, or replayed, too long ago.
const KEPT_TOO_LONG: &str = "attribute_not_exists(due_at) AND \
                             (replayed_at <= :since OR (attribute_not_exists(replayed_at) AND accepted_at <= :since))";

/// How many rows are made to wait for their release at once.
const CONCURRENT_ADOPTIONS: usize = 32;

/// How often a release is planned anew whose time others move to and fro.
const MAX_REFUSALS: u32 = 5;

/// Which release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseKey {
    /// The webhook.
    pub webhook: WebhookId,
    /// The item type.
    pub item_type: ItemType,
}

impl ReleaseKey {
    pub(crate) fn of(key: &HeldKey) -> Option<Self> {
        let webhook = key.pk.strip_suffix(SUFFIX)?.parse().ok()?;
        Some(Self { webhook, item_type: key.sk.parse().ok()? })
    }

    pub(crate) fn row(&self) -> Row {
        Row::from([
            ("pk".to_owned(), text(format!("{}{SUFFIX}", self.webhook))),
            ("sk".to_owned(), text(self.item_type.as_str())),
        ])
    }
}

/// A release that is ours to move on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub key: ReleaseKey,
    /// Whose webhook it is.
    pub account: AccountId,
    /// Which worker we are.
    pub worker: String,
    /// The end of our lease.
    pub lease: Timestamp,
    /// What else its row says.
    pub state: ReleaseState,
}

/// How claiming a release ended.
#[expect(clippy::large_enum_variant, reason = "there is one a claim, and it is taken apart at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseClaim {
    /// It is ours.
    Claimed(Release),
    /// Another worker has it, until then if it does not renew its lease.
    Taken(Timestamp),
    /// There is none, or it is to be looked at later.
    Over,
}

/// Where a page of what waited too long ended.
#[derive(Clone, Debug)]
pub struct WaitingMark(Row);

/// The items of a release, in the order of their acceptance, as they are read.
#[derive(Debug)]
pub struct Waiting {
    rows: MergedRows,
    /// What an owner's act released is read too, where there was one: what was held by a state that was read until then.
    release_all_until: Option<Timestamp>,
    /// The next one.
    next: Option<WaitingItem>,
}

/// An item of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingItem {
    key: HeldKey,
    delivery: Delivery,
    /// Whether it waits for a time of its own, and has to be adopted before it is released.
    has_time: bool,
}

impl Waiting {
    /// Takes the next one, where [`HeldTable::next_waiting`] answered it.
    pub fn take(&mut self) -> Option<WaitingItem> {
        self.next.take()
    }
}

impl HeldTable {
    /// Sees to it that what was just held is released: at `due_at`, where no earlier time is set.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn await_release(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<(), AdapterError> {
        self.plan_release(key, account, due_at).await.map(|_| ())
    }

    /// Sees to it that what was just held is released, as [`HeldTable::await_release`], and says whether that planned
    /// it. Where it did not, somebody else did, for that time or an earlier one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn plan_release(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "planning a release";
        for _ in 0..MAX_REFUSALS {
            // Mostly there is one by then, and one call will do.
            for (is_new, write) in [(false, holding::touch(due_at)), (true, holding::plan(due_at))] {
                if self.write_of_all(key, account, &write).await? {
                    return Ok(is_new);
                }
            }
        }
        Err(AdapterError::Contended { operation: OPERATION })
    }

    /// Releases everything that is held for a webhook and type by a state that was read until `now`, retries too, and
    /// what such a batch is still going to hold: its owner ended a block, changed the webhook or enabled it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn release_all(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let until = released_until(now);
        for _ in 0..MAX_REFUSALS {
            for write in [holding::release_all(now, until), holding::expedite(now, until)] {
                if self.write_of_all(key, account, &write).await? {
                    return Ok(());
                }
            }
        }
        Err(AdapterError::Contended { operation: "releasing all that is held" })
    }

    /// Makes a write that may make a release. Answers whether it was made.
    async fn write_of_all(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        write: &Write,
    ) -> Result<bool, AdapterError> {
        let account = [("account", Value::Text(account.to_string()))];
        Ok(self.write_release(key, write, &account, Answer::Outcome).await?.is_made())
    }

    /// Makes a write on a release's row.
    async fn write_release(
        &self,
        key: &ReleaseKey,
        write: &Write,
        also: &[(&'static str, Value)],
        answer: Answer,
    ) -> Result<Written, AdapterError> {
        let mut also = also.to_vec();
        if let Effect::Update(changes) = &write.effect
            && changes.iter().any(|change| matches!(change, Change::Set(DUE_AT, _)))
        {
            let shard = shard_of_id(key.webhook.as_str(), DUE_SHARDS);
            also.push((holding::DUE_SHARD, Value::Text(due_shard_name(shard))));
        }
        conditional::write((&self.client, &self.name), key.row(), write, &also, answer).await
    }

    /// Makes a write on a release's row, and answers that row as the core reads it: as it is then, or the one that
    /// refused. For tests of the core's writes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn make(
        &self,
        key: &ReleaseKey,
        write: &Write,
    ) -> Result<(bool, Option<CoreRow>), AdapterError> {
        let attributes: Vec<_> = RELEASE_ATTRIBUTES.into_iter().chain(holding::HELD_ATTRIBUTES).collect();
        Ok(match self.write_release(key, write, &[], Answer::Row).await? {
            Written::Made(row) => (true, (!row.is_empty()).then(|| core_row(&row, &attributes))),
            Written::Refused(row) => (false, row.map(|row| core_row(&row, &attributes))),
        })
    }

    /// Claims a release for a lease. `due_at` is when the worker's time will be over, and a successor is to look.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim_release(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        lease: Timestamp,
        due_at: Timestamp,
    ) -> Result<ReleaseClaim, AdapterError> {
        let worker = new_id()?;
        let write = holding::claim_release(&worker, now, lease, due_at);
        match self.write_release(key, &write, &[], Answer::Row).await? {
            Written::Made(row) => {
                let release = read_release(key, &worker, &row)?;
                release
                    .map(ReleaseClaim::Claimed)
                    .ok_or(AdapterError::Malformed { table: TABLE, attribute: "lease_by" })
            }
            Written::Refused(row) => {
                let Some(row) = row else { return Ok(ReleaseClaim::Over) };
                match ReleaseState::of(&core_row(&row, &RELEASE_ATTRIBUTES)).lease {
                    Some(lease) => Ok(ReleaseClaim::Taken(lease)),
                    // A lease of which nobody knows when it ends would never end.
                    None if row.contains_key("lease_until") => {
                        Err(AdapterError::Malformed { table: TABLE, attribute: "lease_until" })
                    }
                    None => Ok(ReleaseClaim::Over),
                }
            }
        }
    }

    /// Renews the lease, and reads how far the release is. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn renew_release(
        &self,
        release: &Release,
        lease: Timestamp,
    ) -> Result<Option<Release>, AdapterError> {
        self.write_ours(release, &holding::renew(&release.worker, lease)).await
    }

    /// Notes that it was looked, at `now`, at everything that may have waited too long behind what was replayed, and
    /// renews the lease. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn looked_behind(
        &self,
        release: &Release,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<Option<Release>, AdapterError> {
        self.write_ours(release, &holding::looked_behind(&release.worker, now, lease)).await
    }

    /// Reads how far a release is. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn look_at_release(&self, release: &Release) -> Result<Option<Release>, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(release.key.row()));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| AdapterError::of_call("looking at a release", error))?;
        answer.item.map_or(Ok(None), |row| read_release(&release.key, &release.worker, &row))
    }

    /// What is to be released, from the oldest on, where reading begins at `now`: what waits for its release, and what an
    /// owner's act released.
    #[must_use]
    pub fn waiting(&self, key: &ReleaseKey, release_all_until: Option<Timestamp>, now: Timestamp) -> Waiting {
        let reading = Reading {
            webhook: key.webhook.clone(),
            item_type: Some(key.item_type.clone()),
            only: Some(holding::is_of_release(release_all_until, now)),
            item: None,
        };
        Waiting { rows: MergedRows::new(reading, None), release_all_until, next: None }
    }

    /// The next one of what waits. It stays the next one until it is taken. `soon` is about how many will be taken. A row
    /// that cannot be read is passed over.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn next_waiting<'a>(
        &self,
        waiting: &'a mut Waiting,
        soon: u32,
    ) -> Result<Option<&'a Delivery>, AdapterError> {
        while waiting.next.is_none()
            && let Some(row) = waiting.rows.peek(&self.client, &self.name, part_of_shard(soon)).await?
        {
            waiting.next = readable(TABLE, row, waiting_item(row));
            waiting.rows.take();
        }
        Ok(waiting.next.as_ref().map(|next| &next.delivery))
    }

    /// Takes the next items of what waits, to be released: up to `most`, and up to `most_bytes`, but for one item that is
    /// larger. Of these, what has come to be moved or held anew since it was read is left out.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn take_waiting(
        &self,
        waiting: &mut Waiting,
        (most, most_bytes): (u32, usize),
        now: Timestamp,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let most_items = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most_items
            && let Some(next) = self.next_waiting(waiting, most).await?
        {
            bytes += next.body.len();
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.take());
        }
        self.adopt(waiting, taken, now).await
    }

    /// Makes items wait for their release that have times of their own. Those are left out that a mover has, or that were
    /// held anew, since they were read.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn adopt(
        &self,
        waiting: &Waiting,
        items: Vec<WaitingItem>,
        now: Timestamp,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let until = waiting.release_all_until;
        let adopting = stream::iter(items).map(|item| async move {
            let WaitingItem { mut key, delivery, has_time } = item;
            let Some(until) = until.filter(|_| has_time) else { return Ok(Some((key, delivery))) };
            key.holding = new_id()?;
            let write = holding::adopt(&key.holding, until, now);
            let adopted = self.write_held(&key, &write, Answer::Outcome).await?.is_made();
            Ok::<_, AdapterError>(adopted.then_some((key, delivery)))
        });
        let adopted: Vec<_> = adopting.buffered(CONCURRENT_ADOPTIONS).try_collect().await?;
        Ok(adopted.into_iter().flatten().collect())
    }

    /// Of what waits for a release, a shard's rows that were kept since `over_since` or longer, wherever they stand. Of
    /// those that were never replayed the oldest stand first; a replayed one keeps the place of its acceptance, and may
    /// have others behind it whose retention is over sooner. What was accepted later is not read. With more there is a
    /// mark, after which the next page begins.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn kept_too_long(
        &self,
        key: &ReleaseKey,
        shard: u8,
        over_since: Timestamp,
        after: Option<WaitingMark>,
    ) -> Result<(Vec<(HeldKey, Delivery)>, Option<WaitingMark>), AdapterError> {
        let next = over_since.checked_add(Duration::from_millis(1)).unwrap_or(over_since);
        let call = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .filter_expression(KEPT_TOO_LONG)
            .expression_attribute_values(":pk", text(pk(&key.webhook, shard)))
            .expression_attribute_values(":first", text(format!("{}#", key.item_type)))
            .expression_attribute_values(":last", text(format!("{}#{}", key.item_type, sorted_digits(next))))
            .expression_attribute_values(":since", milliseconds(over_since))
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|mark| mark.0));
        let answer = call.send().await;
        let answer = answer.map_err(|error| AdapterError::of_call("finding what waited too long", error))?;
        let rows = answer.items.unwrap_or_default();
        let readable =
            |row: &Row| readable(TABLE, row, waiting_item(row)).map(|item| (item.key, item.delivery));
        let rows = rows.iter().filter_map(readable).collect();
        Ok((rows, answer.last_evaluated_key.map(WaitingMark)))
    }

    /// Begins a step, before anything of it is sent, and renews the lease. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn begin_step(
        &self,
        release: &Release,
        step: NewStep<'_>,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<Option<Release>, AdapterError> {
        let write = holding::begin_step(&release.worker, &release.state, step, now, lease);
        let row = match self.write_release(&release.key, &write, &[], Answer::Row).await? {
            Written::Made(row) => row,
            Written::Refused(row) => {
                let begun = |row: &Row| {
                    holding::begun_before(&core_row(row, &RELEASE_ATTRIBUTES), &release.worker, step)
                };
                let Some(row) = row.filter(begun) else { return Ok(None) };
                row
            }
        };
        read_release(&release.key, &release.worker, &row)
    }

    /// Says that all of the step is in the queue, before a row of it is deleted, and renews the lease. None where it is
    /// not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn step_sent(
        &self,
        release: &Release,
        lease: Timestamp,
    ) -> Result<Option<Release>, AdapterError> {
        self.write_ours(release, &holding::step_sent(&release.worker, lease)).await
    }

    /// Counts items of a step that have finished, by their indices, each once. A step that is not the current one any
    /// more counts for nothing.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn finish_of_step(
        &self,
        key: &ReleaseKey,
        step: &str,
        finished: &BTreeSet<i64>,
        failed: &BTreeSet<i64>,
    ) -> Result<(), AdapterError> {
        let Some(write) = holding::count_finished(step, finished, failed) else { return Ok(()) };
        self.write_release(key, &write, &[], Answer::Outcome).await.map(|_| ())
    }

    /// Gives a release back, to be looked at again at `due_at`. Without `keep_step` it begins again with the first.
    ///
    /// Where it was touched since the worker looked, it is the worker's still: what came meanwhile may not wait until
    /// `due_at`, so the worker is to look again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn postpone_release(
        &self,
        release: &Release,
        due_at: Timestamp,
        keep_step: bool,
    ) -> Result<LeftRelease, AdapterError> {
        let write = holding::postpone(&release.worker, release.state.touched, due_at, keep_step);
        self.leave(release, &write).await
    }

    /// Gives a release back as it is, to be looked at again at `due_at`, whoever touched it meanwhile.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn give_back_release(&self, release: &Release, due_at: Timestamp) -> Result<(), AdapterError> {
        let write = holding::give_back(&release.worker, due_at);
        self.write_release(&release.key, &write, &[], Answer::Outcome).await.map(|_| ())
    }

    async fn leave(&self, release: &Release, write: &Write) -> Result<LeftRelease, AdapterError> {
        Ok(match self.write_release(&release.key, write, &[], Answer::Row).await? {
            Written::Made(_) => LeftRelease::Done,
            Written::Refused(row) => {
                let row = row.map(|row| core_row(&row, &RELEASE_ATTRIBUTES));
                LeftRelease::of(row.as_ref(), &release.worker)
            }
        })
    }

    /// Deletes a release, whoever has it: its webhook was deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_release(&self, key: &ReleaseKey) -> Result<(), AdapterError> {
        let sent = self.client.delete_item().table_name(&self.name).set_key(Some(key.row())).send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call("dropping a release", error))
    }

    /// Ends a release of which nothing is held any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end_release(&self, release: &Release) -> Result<LeftRelease, AdapterError> {
        self.leave(release, &holding::end_release(&release.worker, release.state.touched)).await
    }

    /// Deletes a row whose item was sent, if it is still the row that was read. The item may have been delivered, have
    /// failed and be held again by now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_released(&self, held: &HeldKey) -> Result<(), AdapterError> {
        let write = holding::delete_released(&held.holding);
        self.write_held(held, &write, Answer::Outcome).await.map(|_| ())
    }

    /// Makes a write on condition that the release is ours, and answers it. None where it is not ours any more.
    async fn write_ours(&self, release: &Release, write: &Write) -> Result<Option<Release>, AdapterError> {
        match self.write_release(&release.key, write, &[], Answer::Row).await? {
            Written::Made(row) => read_release(&release.key, &release.worker, &row),
            Written::Refused(_) => Ok(None),
        }
    }
}

fn waiting_item(row: &Row) -> Result<WaitingItem, AdapterError> {
    let has_time = row.contains_key(DUE_AT);
    Ok(WaitingItem { key: HeldKey::of_row(row)?, delivery: read_delivery(TABLE, row)?, has_time })
}

/// A release as its row says it; None where it is not this worker's.
pub(crate) fn read_release(
    key: &ReleaseKey,
    worker: &str,
    row: &Row,
) -> Result<Option<Release>, AdapterError> {
    let Some(state) = ReleaseState::of_worker(&core_row(row, &RELEASE_ATTRIBUTES), worker) else {
        return Ok(None);
    };
    let row = Reader { table: TABLE, row };
    // Without its count a release could be neither postponed nor ended.
    row.number::<u64>("touched")?;
    Ok(Some(Release {
        key: key.clone(),
        account: row.parsed("account")?,
        worker: worker.to_owned(),
        lease: row.milliseconds("lease_until")?,
        state,
    }))
}
