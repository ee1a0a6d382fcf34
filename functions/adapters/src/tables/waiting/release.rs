//! Releases: one row for each (webhook, item type) of which something waits for its release, in the held items' table.
//!
//! The row says when a worker is next due (`due_at`, in the index `due`), who releases now (`lease_until`), and how far
//! the current step is. Holding an item *touches* the row after the item is stored. A release ends only if its row was
//! not touched since before it found nothing held. So no item is left without a release.
//!
//! The lease admits one worker at a time; every step renews it. While it works, `due_at` is when its time will be over,
//! so that a tick plans its successor for then. A step is `step_sent` when all of it is in the queue. A worker that
//! takes over before that knows that no row of the step was deleted, and sends the step again. Items that the dead
//! worker had sent and not deleted are sent again, under the same ids.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_core::holding::{self, DUE_AT, LeftRelease, NewStep, RELEASE_ATTRIBUTES, ReleaseState};
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::release::released_until;
use carteiro_core::retention::after;
use carteiro_core::transition::{Change, Effect, Row as CoreRow, Value, Write};
use carteiro_core::work_share::ASK_GAP;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::{self, Answer, Written, made};
use crate::tables::expression::core_row;
use crate::tables::row::{Reader, Row, milliseconds, seconds, text};
use crate::tables::rows::{Rows, table};
use crate::tables::waiting::keys::{
    DUE_SHARDS, RELEASES, ReleaseKey, TABLE, due_shard_name, new_id, shard_of_id,
};
use crate::tables::waiting::reads::{AccountAndLease, glance};

/// The release exists, and no look is planned, or an earlier try of this call planned it.
const NO_LOOK_IS_PLANNED: &str =
    "attribute_exists(pk) AND (attribute_not_exists(look_at) OR look_at <= :now OR look_by = :look)";

/// Looks were not requested recently, or this call requested them.
const NOT_REQUESTED_RECENTLY: &str =
    "attribute_not_exists(asked_at) OR asked_at <= :before OR asked_by = :ask";
/// The last requested looks are past, or an earlier try of this call requested the next ones.
const LAST_REQUEST_IS_PAST: &str = "asked_at < :before OR asked_by = :ask";

/// When the table forgets that looks were asked for.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Retries of a plan while others change the release's time.
const MAX_REFUSALS: u32 = 5;

/// A release that this worker has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The release's key.
    pub key: ReleaseKey,
    /// The webhook's account.
    pub account: AccountId,
    /// The id of this worker.
    pub worker: String,
    /// The end of our lease.
    pub lease: Timestamp,
    /// The other attributes of its row.
    pub state: ReleaseState,
}

/// How claiming a release ended.
#[expect(clippy::large_enum_variant, reason = "there is one a claim, and it is taken apart at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseClaim {
    /// The caller has claimed it.
    Claimed(Release),
    /// Another worker has it, until then if it does not renew its lease.
    Taken(Timestamp),
    /// There is none, or it is due later.
    Over,
}

table! {
    /// The rows of releases, in the held items' table.
    pub struct ReleaseRows;
}

impl ReleaseRows {
    /// Ensures that an item that was just held is released: at `due_at`, where no earlier time is set.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn ensure(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<(), AdapterError> {
        self.plan(key, account, due_at).await.map(|_| ())
    }

    /// Plans a release as [`ReleaseRows::ensure`] does. False where a release was already planned for that time or an
    /// earlier one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn plan(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "planning a release";
        for _ in 0..MAX_REFUSALS {
            // Mostly there is one by then, and one call will do.
            for (is_new, write) in [(false, holding::touch(due_at)), (true, holding::plan(due_at))] {
                if self.write_with_account(key, account, &write).await? {
                    return Ok(is_new);
                }
            }
        }
        Err(AdapterError::Contended { operation: OPERATION })
    }

    /// Releases every item of a webhook and type that is held by a state read until `now`, retries included, and every
    /// item that a batch with such a state is still going to hold. For a block that was ended and a webhook that was
    /// changed or enabled.
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
                if self.write_with_account(key, account, &write).await? {
                    return Ok(());
                }
            }
        }
        Err(AdapterError::Contended { operation: "releasing all that is held" })
    }

    /// Makes a write that creates the release if it is missing. Returns whether the write was made.
    async fn write_with_account(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        write: &Write,
    ) -> Result<bool, AdapterError> {
        let account = [("account", Value::Text(account.to_string()))];
        Ok(self.write(key, write, &account, Answer::Outcome).await?.is_made())
    }

    /// Makes a write on a release's row.
    async fn write(
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
        conditional::write(self.table(), key.row(), write, &also, answer).await
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
        Ok(match self.write(key, write, &[], Answer::Row).await? {
            Written::Made(row) => (true, (!row.is_empty()).then(|| core_row(&row, &attributes))),
            Written::Refused(row) => (false, row.map(|row| core_row(&row, &attributes))),
        })
    }

    /// Claims a release for a lease. `due_at` is when the worker's time will be over, and a successor is to look.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        lease: Timestamp,
        due_at: Timestamp,
    ) -> Result<ReleaseClaim, AdapterError> {
        let worker = new_id()?;
        let write = holding::claim_release(&worker, now, lease, due_at);
        match self.write(key, &write, &[], Answer::Row).await? {
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
                    // A lease without a readable end would never end.
                    None if row.contains_key("lease_until") => {
                        Err(AdapterError::Malformed { table: TABLE, attribute: "lease_until" })
                    }
                    None => Ok(ReleaseClaim::Over),
                }
            }
        }
    }

    /// Renews the lease, and reads how far the release is. None where another worker has it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn renew(&self, release: &Release, lease: Timestamp) -> Result<Option<Release>, AdapterError> {
        self.write_ours(release, &holding::renew(&release.worker, lease)).await
    }

    /// Notes that all rows that may be past their retention behind replayed ones were read at `now`, and renews the
    /// lease. None where another worker has it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn record_retention_sweep(
        &self,
        release: &Release,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<Option<Release>, AdapterError> {
        self.write_ours(release, &holding::looked_behind(&release.worker, now, lease)).await
    }

    /// Reads how far a release is. None where another worker has it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn reload(&self, release: &Release) -> Result<Option<Release>, AdapterError> {
        let call = self.get_item(release.key.row());
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(AdapterError::in_call("looking at a release"))?;
        answer.item.map_or(Ok(None), |row| read_release(&release.key, &release.worker, &row))
    }

    /// Begins a step, before any of it is sent, and renews the lease. None where another worker has it.
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
        let row = match self.write(&release.key, &write, &[], Answer::Row).await? {
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

    /// Notes that all of the step is in the queue, before a row of it is deleted, and renews the lease. None where
    /// another worker has it.
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
    pub async fn count_finished(
        &self,
        key: &ReleaseKey,
        step: &str,
        finished: &BTreeSet<i64>,
        failed: &BTreeSet<i64>,
    ) -> Result<(), AdapterError> {
        let Some(write) = holding::count_finished(step, finished, failed) else { return Ok(()) };
        self.write(key, &write, &[], Answer::Outcome).await.map(|_| ())
    }

    /// Returns a release to the index, due at `due_at`. Without `keep_step` it starts again with the first step.
    ///
    /// A release that was touched since the worker read it stays with the worker: items that came meanwhile must not
    /// wait until `due_at`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn postpone(
        &self,
        release: &Release,
        due_at: Timestamp,
        keep_step: bool,
    ) -> Result<LeftRelease, AdapterError> {
        let write = holding::postpone(&release.worker, release.state.touched, due_at, keep_step);
        self.leave(release, &write).await
    }

    /// Returns a release to the index as it is, due at `due_at`, even if it was touched meanwhile.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn return_to_index(&self, release: &Release, due_at: Timestamp) -> Result<(), AdapterError> {
        let write = holding::give_back(&release.worker, due_at);
        self.write(&release.key, &write, &[], Answer::Outcome).await.map(|_| ())
    }

    async fn leave(&self, release: &Release, write: &Write) -> Result<LeftRelease, AdapterError> {
        Ok(match self.write(&release.key, write, &[], Answer::Row).await? {
            Written::Made(_) => LeftRelease::Done,
            Written::Refused(row) => {
                let row = row.map(|row| core_row(&row, &RELEASE_ATTRIBUTES));
                LeftRelease::of(row.as_ref(), &release.worker)
            }
        })
    }

    /// Deletes a release, also where a worker has it. For webhooks that were deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_row(&self, key: &ReleaseKey) -> Result<(), AdapterError> {
        let sent = self.delete_item(key.row()).send().await;
        sent.map(|_| ()).map_err(AdapterError::in_call("dropping a release"))
    }

    /// Ends a release of which nothing is held any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end(&self, release: &Release) -> Result<LeftRelease, AdapterError> {
        self.leave(release, &holding::end_release(&release.worker, release.state.touched)).await
    }

    /// Reads which account a release belongs to and until when a worker has it; None where there is none.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn glance(&self, key: &ReleaseKey) -> Result<Option<AccountAndLease>, AdapterError> {
        glance(self.table(), key.row()).await
    }

    /// Notes that a release is looked at again at `at`. False where a look is already planned, or the release is gone:
    /// then none is to be sent.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn plan_look(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        at: Timestamp,
    ) -> Result<bool, AdapterError> {
        let call = self
            .update_item(key.row())
            .condition_expression(NO_LOOK_IS_PLANNED)
            .update_expression("SET look_at = :at, look_by = :look")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":at", milliseconds(at))
            .expression_attribute_values(":look", text(new_id()?));
        Ok(made(call.send().await, "asking for a look at a release")?.is_some())
    }

    /// Requests looks at all releases of a webhook, and answers the delay until they are due; None where later ones are
    /// already requested. So several acts of an owner in a row send little work.
    ///
    /// Where two hosts' clocks differ a look may be taken to be still to come that has just come. Then the second look
    /// after the earlier act sees this one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn request_looks(
        &self,
        webhook: &WebhookId,
        now: Timestamp,
    ) -> Result<Option<Duration>, AdapterError> {
        let long_ago = now.checked_sub(ASK_GAP).unwrap_or(now);
        for (condition, before, delay) in
            [(NOT_REQUESTED_RECENTLY, long_ago, Duration::ZERO), (LAST_REQUEST_IS_PAST, now, ASK_GAP)]
        {
            let call = self
                .client
                .update_item()
                .table_name(&self.name)
                .key("pk", text(format!("{webhook}{RELEASES}")))
                .key("sk", text("asked"))
                .condition_expression(condition)
                .update_expression("SET asked_at = :at, asked_by = :ask, expires_at = :expires")
                .expression_attribute_values(":before", milliseconds(before))
                .expression_attribute_values(":at", milliseconds(after(now, delay)))
                .expression_attribute_values(":ask", text(new_id()?))
                .expression_attribute_values(":expires", seconds(after(now, KEPT)));
            if made(call.send().await, "asking for looks at releases")?.is_some() {
                return Ok(Some(delay));
            }
        }
        Ok(None)
    }

    /// Forgets that looks were asked for, with their webhook.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn forget_looks(&self, webhook: &WebhookId) -> Result<(), AdapterError> {
        let call = self.client.delete_item().table_name(&self.name);
        let call = call.key("pk", text(format!("{webhook}{RELEASES}"))).key("sk", text("asked"));
        call.send().await.map(|_| ()).map_err(AdapterError::in_call("forgetting looks at releases"))
    }

    /// Makes a write on condition that this worker has the release, and answers the release. None where another worker
    /// has it.
    async fn write_ours(&self, release: &Release, write: &Write) -> Result<Option<Release>, AdapterError> {
        match self.write(&release.key, write, &[], Answer::Row).await? {
            Written::Made(row) => read_release(&release.key, &release.worker, &row),
            Written::Refused(_) => Ok(None),
        }
    }
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
