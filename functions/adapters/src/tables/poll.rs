//! Polling state of each page: when it is due, how far its collection came, and what was spent of the networks' quotas.
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | schedule of a page | `plan#<shard>`, 16 shards by the page | page id |
//! | checkpoint of a page that is too large for its schedule | `page#<page id>` | `checkpoint` |
//! | units spent of a limit | `spent#<network>` or `spent#<network>#<network's id>` | the limit's name |
//! | how long a network, or a page of it, wants no call | the same | `rest` |
//! | units that an account spent of a limit of the app's | `spent#<network>#account#<account id>` | the limit's name |
//! | of these, by its pages that are not proven | `spent#<network>#unproven#<account id>` | the limit's name |
//! | the same, of a network page's limit | `spent#<network>#<network's id>#unproven#<account id>` | the limit's name |
//! | how many pages are connected | `connected` | `<shard>` |
//! | what the operator has to mend of a network | `fault#<network>` | the [fault](OperatorFault)'s name |
//!
//! **A planned poll writes its page's row once**, at its end: the outcome, the next time and the checkpoint together.
//! So a page of which nothing is new costs one write. The write's condition is that no other worker began or ended a
//! poll of the page since the row was read, so a late worker changes nothing.
//!
//! **The lease** keeps two workers from polling a page at once. A worker takes it where that matters: for a poll out of
//! turn, before it subscribes to pushes, and where a poll lasts long, because the next tick may plan the page again. It
//! is returned with the outcome. A lease that expired belonged to a worker that died. Not guaranteed: where a plan's
//! message comes twice, or a call outlasts its lease, two workers may call the network for one page. Both take units of
//! the quotas and store the same things under the same keys, and the outcome of one of them stays. A token is renewed
//! by a claim of its own.
//!
//! **A checkpoint is packed into the schedule's row** up to [`MAX_CHECKPOINT_IN_ROW`] bytes; a larger one has a row of
//! its own, as all had in older versions. Of the two the one with the higher version counts, and of equal ones the
//! schedule's. An older checkpoint repeats calls, and skips nothing.
//!
//! **Quotas are kept across workers**: a unit is taken by a conditional write before its call, and stays taken however
//! the call ends. Where a second quota refuses, one unit more than was used may be counted, never one less. An
//! account's [share](carteiro_networks::poll::fair) of an app's quota is taken first, so that its refusal costs the app
//! nothing. A page whose token is not proven spends little of the network page's own quota, which belongs to its owner.
//!
//! **A cooldown of the whole network** is reported by its answers to one account's calls, about *an* app: the account's
//! token may belong to another app than the deployment's. So it applies to that account alone until a second account is
//! told the same.
//!
//! **What the operator has to mend** has one row for each (network, fault), which each poll that meets it renews, and a
//! poll of a page deletes that met it before and meets it no more. Another page that still meets it writes it anew.
//! Rows that nobody renews count for nothing after [`FAULT_FRESH`].
//!
//! **A dead token pauses its page**, on condition that no newer token was given meanwhile. A newer token resumes the
//! page by the write that stores it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    self, AttributeValue, Delete, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::retention::after;
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::page::{LastTick, Page, TickResult};
use carteiro_networks::poll::budget::{Admission, Limit, LimitScope};
use carteiro_networks::poll::fair::{self, ByAccount};
use carteiro_networks::poll::page_poll::{self, TurnState};
use carteiro_networks::poll::{MAX_CHECKPOINT_BYTES, OperatorFault};
use carteiro_networks::push::subscription::Subscription;
use carteiro_networks::silence::Silence;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::AdapterError;
use crate::runtime::{metrics, random};
use crate::tables::StartKey;
use crate::tables::conditional::made;
use crate::tables::packed::{pack, unpack};
use crate::tables::row::{Reader, Row, bytes, milliseconds, number, seconds, text};
use crate::tables::rows::{Rows, table};

const TABLE: &str = "poll";

/// Over how many partitions schedules are spread.
pub const SHARDS: u8 = 16;

/// How long a checkpoint is kept after it was written: longer than any token is left without a renewal.
const CHECKPOINT_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// How long spent units are kept after their window.
const SPENT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How large a packed checkpoint may be that is kept with its page's schedule: planning reads it, too, and reads a row
/// of 4 KB for half a unit.
pub const MAX_CHECKPOINT_IN_ROW: usize = 3 * 1024;

/// From this many bytes on a checkpoint is deflated: its schedule takes less than half of a write unit.
const DEFLATED_FROM: usize = 200;

/// How often a page may be asked about out of turn.
pub const CHECK_PAUSE: Duration = Duration::from_secs(60);

/// How soon an account that used up its part of an app's limit is checked again: its part changes as pages come and go.
const PART_PAUSE: Duration = Duration::from_secs(3600);

/// How often a read of several rows is repeated for those that were not answered.
const READ_ROUNDS: u32 = 5;

/// The pause before a read of several rows is first repeated; it doubles.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// For how long a fault counts that no poll met again: longer than the pause between two polls of any page.
pub const FAULT_FRESH: Duration = Duration::from_secs(25 * 3600);

/// How long a fault's row is kept after it was met last.
const FAULT_KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// The time between two log events about the same fault of the operator's, while it lasts.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The page is connected.
const IS_THERE: &str = "attribute_exists(pk)";
/// No worker polls the page, or its lease expired.
const IS_FREE: &str = "(attribute_not_exists(lease_until) OR lease_until <= :now)";
/// The page was not polled a moment ago. For polls that are not planned.
const WAS_LEFT_ALONE: &str = "(attribute_not_exists(began_at) OR began_at <= :quiet_since)";
/// This worker holds the lease.
const IS_OURS: &str = "lease = :lease";
/// No worker began a poll, or ended one, since the schedule was read.
const IS_UNTOUCHED: &str = "began_at = :began_before";
/// The page is connected and was never polled.
const IS_THERE_UNPOLLED: &str = "attribute_exists(pk) AND attribute_not_exists(began_at)";
/// No newer token was given than the dead one.
const HAS_NO_NEWER_TOKEN: &str = "token_version <= :used";
/// The checkpoint is the one that was read.
const IS_AS_READ: &str = "version = :read";
/// The fault was not logged in the last day.
const IS_UNTOLD: &str = "attribute_not_exists(told_at) OR told_at <= :told_before";
/// The fault was last seen so long ago that it counts as a new one.
const IS_STALE: &str = "attribute_not_exists(seen_at) OR seen_at < :fresh_since";
/// There is none yet.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// The window is the current one, and enough units are left.
const IS_WITHIN: &str = "window_end = :end AND units <= :room";
/// The units were spent in an earlier window.
const IS_ANOTHER_WINDOW: &str = "(attribute_not_exists(window_end) OR window_end < :end)";
/// The cooldown ends earlier than the new one.
const IS_LONGER: &str = "(attribute_not_exists(rest_until) OR rest_until < :until)";
/// The cooldown was reported by this account, or is over.
const IS_OF_THIS_ACCOUNT: &str =
    "(attribute_not_exists(said_by) OR said_by = :account OR rest_until <= :now)";
/// Another account reported a cooldown that is not over.
const IS_OF_ANOTHER: &str = "said_by <> :account AND rest_until > :now";

table! {
    /// The polling state of pages.
    pub struct PollTable;
}

/// When a page is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The page.
    pub page: PageId,
    /// Its account.
    pub account: AccountId,
    /// Its network.
    pub network: Network,
    /// The network's id of it.
    pub network_id: NetworkId,
    /// The newest of its tokens.
    pub token_version: u64,
    /// When it is asked about next; None while its token is dead.
    pub next_at: Option<Timestamp>,
    /// When its last poll began.
    pub began_at: Option<Timestamp>,
    /// How often it is asked about, in minutes, as of the last time.
    pub every_minutes: Option<u32>,
    /// The outcome of the last poll.
    pub last: Option<LastTick>,
    /// When its token was last inspected.
    pub inspected: Option<Inspected>,
    /// The operation that its token was not allowed in the last poll.
    pub denied: Option<String>,
    /// Its subscription to the network's pushes, where the collector asked for one.
    pub push: Option<Subscription>,
    /// Whether its network took its token, as of the last time. Of a row from before this was kept, whether the last
    /// time went well.
    pub proven: bool,
    /// That it is silent against its habit, as of the last time.
    pub silence: Option<Silence>,
}

/// When a token was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// Which of the page's tokens.
    pub version: u64,
    /// When.
    pub at: Timestamp,
}

/// Why a page is to be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollTrigger {
    /// A tick planned it, at this time.
    Planned(Timestamp),
    /// A tick planned it at this time, whatever its schedule says.
    Now(Timestamp),
    /// Its owner asked for a poll now.
    OutOfTurn,
}

/// A poll that this worker may carry out.
#[derive(Clone, Debug)]
pub struct PollTurn {
    /// The page's schedule.
    pub schedule: Schedule,
    /// How far its collection came.
    pub progress: Progress,
    /// When the poll began.
    pub began_at: Timestamp,
    hold: Hold,
}

/// What keeps the outcome of another poll from being overwritten.
#[derive(Clone, Debug)]
enum Hold {
    /// The page's lease.
    Lease(String),
    /// The schedule is as it was read, for a plan of this time.
    AsRead { planned_at: Timestamp },
}

/// The outcome of a poll, as it is written to the schedule.
#[derive(Clone, Debug)]
pub struct PollOutcome {
    /// When it is asked about next.
    pub next: Next,
    /// How often it is asked about, in minutes.
    pub every_minutes: u32,
    /// The result.
    pub last: LastTick,
    /// When its token was inspected.
    pub inspected: Option<Inspected>,
    /// The operation that its token is not allowed.
    pub denied: Option<String>,
    /// Its subscription to the network's pushes.
    pub push: Option<Subscription>,
    /// Whether its network took its token as this page's.
    pub proven: bool,
    /// That it is silent against its habit.
    pub silence: Option<Silence>,
    /// The version of the token that was used. Where a newer one was given meanwhile, the time that was set with it
    /// stands.
    pub used: u64,
}

/// When a page is asked about next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Then.
    At(Timestamp),
    /// When it has a newer token.
    WithANewToken,
}

/// How far a page's collection came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The checkpoint; none at first.
    pub checkpoint: Option<String>,
    version: u64,
    /// The version of the checkpoint that has a row of its own; zero where there is none.
    row_version: u64,
    change: Change,
}

/// What a poll's end does to the checkpoint in the schedule's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    Set(Vec<u8>),
    /// The new one has a row of its own.
    Remove,
}

/// Until when a network wants no calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cooldowns {
    /// None of this account's, or of the deployment's.
    pub app_rests_until: Option<Timestamp>,
    /// None about this page of its own.
    pub page_rests_until: Option<Timestamp>,
}

/// The account's share and proof by which a call spends an app's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spender {
    /// How many millionths of the app's limits the page's account may use; None where it may use all.
    pub millionths: Option<u32>,
    /// Whether the network took the page's token.
    pub proven: bool,
}

/// How many pages are polled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connected {
    /// Of each network.
    pub pages: BTreeMap<Network, u64>,
    /// By account, for networks whose quotas the accounts share.
    pub accounts: BTreeMap<Network, ByAccount>,
    /// Of each network whose last poll ended by what the operator has to mend.
    pub faults: BTreeMap<Network, BTreeMap<OperatorFault, u64>>,
}

/// What the operator has to mend of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFault {
    /// The network.
    pub network: Network,
    /// What it is.
    pub fault: OperatorFault,
    /// When it was met first.
    pub since: Timestamp,
    /// When it was met last.
    pub seen_at: Timestamp,
}

/// The scope of a cooldown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CooldownKey {
    /// Of one page of the network's.
    ThePage,
    /// Of an app at the network.
    AnApp,
}

/// How writing a checkpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is stored.
    Done,
    /// Another one wrote one meanwhile, which stays.
    WrittenMeanwhile,
}

impl PollTable {
    /// The part of a transaction that has a page asked about from now on: it is new, or has a new token.
    pub(crate) fn set_going(&self, page: &Page, now: Timestamp) -> Result<TransactWriteItem, AdapterError> {
        let update = types::Update::builder()
            .table_name(&self.name)
            .set_key(Some(schedule_key(&page.id)))
            .update_expression(
                "SET account = :account, network = :network, network_id = :network_id, \
                 token_version = :version, next_at = :now",
            )
            .expression_attribute_values(":account", text(page.account.as_str()))
            .expression_attribute_values(":network", text(page.network.as_str()))
            .expression_attribute_values(":network_id", text(page.network_id.as_str()))
            .expression_attribute_values(":version", number(page.token_version))
            .expression_attribute_values(":now", milliseconds(now));
        let update = update.build().map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// The parts of a transaction that delete a page's polling state.
    pub(crate) fn forget(&self, page: &PageId) -> Result<Vec<TransactWriteItem>, AdapterError> {
        let delete = |key| {
            let delete = Delete::builder().table_name(&self.name).set_key(Some(key)).build();
            Ok(TransactWriteItem::builder()
                .delete(delete.map_err(AdapterError::not_built("building a write"))?)
                .build())
        };
        Ok(vec![delete(schedule_key(page))?, delete(checkpoint_key(page))?])
    }

    /// Some of the schedules of a shard. Where there are more, a key is answered at which the next ones start. The read
    /// may be slightly old; [`PollTable::begin`] decides.
    ///
    /// # Errors
    /// Where the table cannot be read. A row that cannot be read is left out, and logged.
    pub async fn schedules_of(
        &self,
        shard: u8,
        limit: Option<i32>,
        from: Option<StartKey>,
    ) -> Result<(Vec<Schedule>, Option<StartKey>), AdapterError> {
        let call = self.query_rows().key_condition_expression("pk = :pk");
        let call = call.expression_attribute_values(":pk", text(plan_pk(shard)));
        let call = call.set_limit(limit).set_exclusive_start_key(from.map(|key| key.0));
        let answer = call.send().await.map_err(AdapterError::in_call("reading schedules"))?;
        let readable = |row: &Row| {
            let read = read_schedule(row);
            read.map_err(|error| tracing::error!(error = error.chain(), "poll.schedule_unreadable")).ok()
        };
        let schedules = answer.items.unwrap_or_default().iter().filter_map(readable).collect();
        Ok((schedules, answer.last_evaluated_key.map(StartKey)))
    }

    /// The schedules of these pages, at most 100; of one that has none, nothing.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn schedules(&self, pages: &[PageId]) -> Result<HashMap<PageId, Schedule>, AdapterError> {
        let rows = self.read_together(pages.iter().map(schedule_key).collect(), false).await?;
        rows.iter().map(|row| read_schedule(row).map(|read| (read.page.clone(), read))).collect()
    }

    /// Notes how many pages of a shard are polled.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn note_connected(&self, shard: u8, counted: &Connected) -> Result<(), AdapterError> {
        let counts = serde_json::to_string(&counted.pages).unwrap_or_default();
        let accounts = serde_json::to_string(&counted.accounts).unwrap_or_default();
        let faults = serde_json::to_string(&counted.faults).unwrap_or_default();
        let key = [("pk".to_owned(), text("connected")), ("sk".to_owned(), text(format!("{shard:02}")))];
        let mut row = Row::from(key);
        row.insert("counts".to_owned(), text(counts));
        row.insert("accounts".to_owned(), text(accounts));
        row.insert("faults".to_owned(), text(faults));
        let put = self.put_item(row).send().await;
        put.map(|_| ()).map_err(AdapterError::in_call("noting how many pages there are"))
    }

    /// The number of polled pages in all shards, each counted when it was last planned.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn connected(&self) -> Result<Connected, AdapterError> {
        let call = self.query_rows().key_condition_expression("pk = :pk");
        let call = call.expression_attribute_values(":pk", text("connected")).consistent_read(true);
        let answer = call.send().await.map_err(AdapterError::in_call("counting pages"))?;
        let mut all = Connected::default();
        for row in answer.items.unwrap_or_default() {
            let row = Reader { table: TABLE, row: &row };
            for (network, count) in row.json::<BTreeMap<Network, u64>>("counts")? {
                *all.pages.entry(network).or_default() += count;
            }
            // An older version does not distinguish accounts; this one will when it next plans the shard.
            let accounts: BTreeMap<Network, ByAccount> = row.json("accounts").unwrap_or_default();
            for (network, accounts) in accounts {
                let of_network = all.accounts.entry(network).or_default();
                for (account, pages) in accounts {
                    let sum = of_network.entry(account).or_default();
                    sum.proven += pages.proven;
                    sum.unproven += pages.unproven;
                }
            }
        }
        Ok(all)
    }

    /// Notes that a poll met what only the operator can mend. True where the operator is to be told of it: it is new,
    /// or goes on for another day.
    ///
    /// # Errors
    /// Where it cannot be written. Then the next poll notes it.
    pub async fn note_fault(
        &self,
        network: Network,
        fault: OperatorFault,
        now: Timestamp,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "noting what the operator has to mend";
        let before = |span: Duration| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
        let update = || {
            self.update_item(fault_key(network, fault))
                .expression_attribute_values(":now", milliseconds(now))
                .expression_attribute_values(":expires", seconds(after(now, FAULT_KEPT)))
        };
        // An occurrence that is over had its day, too: its row is another one's from now on.
        let first = update()
            .condition_expression(IS_STALE)
            .update_expression("SET since = :now, seen_at = :now, told_at = :now, expires_at = :expires")
            .expression_attribute_values(":fresh_since", milliseconds(before(FAULT_FRESH)));
        if made(first.send().await, OPERATION)?.is_some() {
            return Ok(true);
        }
        let again = update()
            .condition_expression(IS_UNTOLD)
            .update_expression("SET seen_at = :now, told_at = :now, expires_at = :expires")
            .expression_attribute_values(":told_before", milliseconds(before(TOLD_EVERY)));
        if made(again.send().await, OPERATION)?.is_some() {
            return Ok(true);
        }
        let seen = update().condition_expression(IS_THERE);
        let seen = seen.update_expression("SET seen_at = :now, expires_at = :expires");
        made(seen.send().await, OPERATION).map(|_| false)
    }

    /// Forgets what the operator mended.
    ///
    /// # Errors
    /// Where it cannot be written. Then it counts until nobody met it for [`FAULT_FRESH`].
    pub async fn clear_fault(&self, network: Network, fault: OperatorFault) -> Result<(), AdapterError> {
        let key = fault_key(network, fault);
        let sent = self.delete_item(key).send().await;
        sent.map(|_| ()).map_err(AdapterError::in_call("forgetting what the operator mended"))
    }

    /// What the operator has to mend now, in the order of the networks, each with how many pages met it when they were
    /// last planned.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn faults(&self, now: Timestamp) -> Result<Vec<(StoredFault, u64)>, AdapterError> {
        let each = |network: Network| OperatorFault::ALL.map(|fault| fault_key(network, fault));
        let keys = Network::ALL.into_iter().flat_map(each);
        let mut found = Vec::new();
        for row in self.read_together(keys.collect(), true).await? {
            let row = Reader { table: TABLE, row: &row };
            let name = serde_json::Value::from(row.text("sk")?);
            let network = row.text("pk")?.trim_start_matches("fault#").parse();
            // A row of another version of the program, with a fault that this one does not know, is left out.
            if let (Ok(network), Ok(fault)) = (network, serde_json::from_value(name)) {
                let (since, seen_at) = (row.milliseconds("since")?, row.milliseconds("seen_at")?);
                found.push(StoredFault { network, fault, since, seen_at });
            }
        }
        found.retain(|one| after(one.seen_at, fresh(one.fault)) >= now);
        found.sort_by_key(|one| (one.network, one.fault));
        let shards = (0..SHARDS).map(|shard| key("connected", format!("{shard:02}")));
        let mut pages: BTreeMap<(Network, OperatorFault), u64> = BTreeMap::new();
        for row in self.read_together(shards.collect(), false).await? {
            let row = Reader { table: TABLE, row: &row };
            let faults: BTreeMap<Network, BTreeMap<OperatorFault, u64>> =
                row.json("faults").unwrap_or_default();
            for (network, of_network) in faults {
                for (fault, count) in of_network {
                    *pages.entry((network, fault)).or_default() += count;
                }
            }
        }
        let count = |one: StoredFault| (one, pages.get(&(one.network, one.fault)).copied().unwrap_or(0));
        Ok(found.into_iter().map(count).collect())
    }

    /// Begins a poll of a page; None where it is not its turn, another worker has the page's lease, or it is paused or
    /// gone. A planned poll begins without a write; one out of turn takes the lease, until `until`.
    ///
    /// # Errors
    /// Where the table does not answer.
    pub async fn begin(
        &self,
        page: &PageId,
        trigger: PollTrigger,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PollTurn>, AdapterError> {
        let (planned_at, asked_for) = match trigger {
            PollTrigger::Planned(at) => (at, false),
            PollTrigger::Now(at) => (at, true),
            PollTrigger::OutOfTurn => return self.begin_out_of_turn(page, until, now).await,
        };
        // The read may be slightly old: then the write of the outcome is refused.
        let call = self.get_item(schedule_key(page));
        let row = call.send().await.map_err(AdapterError::in_call("reading a schedule"))?.item;
        let Some(row) = row else { return Ok(None) };
        if !page_poll::is_its_turn(turn_state(&row)?, planned_at, asked_for, now) {
            return Ok(None);
        }
        read_turn(&row, Hold::AsRead { planned_at }, now).map(Some)
    }

    async fn begin_out_of_turn(
        &self,
        page: &PageId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PollTurn>, AdapterError> {
        let lease = format!("{:032x}", random::bits128()?);
        let quiet_since = now.checked_sub(CHECK_PAUSE).unwrap_or(now);
        let call = self
            .update_item(schedule_key(page))
            .condition_expression(format!("({IS_THERE} AND {IS_FREE} AND {WAS_LEFT_ALONE}) OR {IS_OURS}"))
            .update_expression("SET lease = :lease, lease_until = :until, began_at = :now")
            .expression_attribute_values(":quiet_since", milliseconds(quiet_since))
            .expression_attribute_values(":lease", text(lease.as_str()))
            .expression_attribute_values(":until", milliseconds(until))
            .expression_attribute_values(":now", milliseconds(now))
            .return_values(ReturnValue::AllNew);
        let leased = made(call.send().await, "taking a page to ask about")?;
        let row = leased.and_then(|answer| answer.attributes);
        row.map(|row| read_turn(&row, Hold::Lease(lease), now)).transpose()
    }

    /// Takes the lease of the page, until `until`, if the poll does not have it. False where another worker began a
    /// poll of the page meanwhile, or it is gone: then this one is to end.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hold(&self, turn: &mut PollTurn, until: Timestamp) -> Result<bool, AdapterError> {
        let Hold::AsRead { planned_at } = turn.hold else { return Ok(true) };
        let lease = format!("{:032x}", random::bits128()?);
        let call = self
            .update_item(schedule_key(&turn.schedule.page))
            .update_expression(
                "SET lease = :lease, lease_until = :until, began_at = :began, planned_at = :planned",
            )
            .expression_attribute_values(":lease", text(lease.as_str()))
            .expression_attribute_values(":until", milliseconds(until))
            .expression_attribute_values(":began", milliseconds(turn.began_at))
            .expression_attribute_values(":planned", milliseconds(planned_at));
        let (condition, began_before) = as_read(turn);
        let call = call.condition_expression(format!("({condition}) OR {IS_OURS}"));
        let call = match began_before {
            Some(at) => call.expression_attribute_values(":began_before", milliseconds(at)),
            None => call,
        };
        if made(call.send().await, "taking a page that is asked about")?.is_none() {
            return Ok(false);
        }
        turn.hold = Hold::Lease(lease);
        Ok(true)
    }

    /// Ends a poll with its outcome and its checkpoint, and returns the lease. False where another worker polled the
    /// page meanwhile, or it is gone: nothing is changed.
    ///
    /// # Errors
    /// Where it cannot be written. Then the page is still due, at the latest when the lease is over.
    pub async fn finish(&self, turn: &PollTurn, finished: &PollOutcome) -> Result<bool, AdapterError> {
        const OPERATION: &str = "giving a page back";
        let update = |sets_time: bool| {
            let mut update = Update::default();
            turn.write(&mut update);
            finished.write(&mut update, sets_time);
            self.update_item(schedule_key(&turn.schedule.page))
                .condition_expression(update.condition.join(" AND "))
                .update_expression(format!(
                    "SET {} REMOVE {}",
                    update.set.join(", "),
                    update.remove.join(", ")
                ))
                .set_expression_attribute_values(Some(update.values))
        };
        if made(update(true).send().await, OPERATION)?.is_some() {
            return Ok(true);
        }
        // A newer token was given, and its time was set with it. Or another worker polled the page.
        Ok(made(update(false).send().await, OPERATION)?.is_some())
    }

    /// Deletes the schedule and checkpoint of a page that is gone.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_page(&self, page: &PageId) -> Result<(), AdapterError> {
        for key in [schedule_key(page), checkpoint_key(page)] {
            self.delete_item(key).send().await.map_err(AdapterError::in_call("forgetting a page"))?;
        }
        Ok(())
    }

    /// Reads what a poll needs before its first call: how far the page's collection came, which the turn has from now
    /// on, and the cooldowns.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn before(&self, turn: &mut PollTurn) -> Result<Cooldowns, AdapterError> {
        let schedule = &turn.schedule;
        let of_page = spent_pk(schedule.network, Some(&schedule.network_id));
        let keys = vec![
            checkpoint_key(&schedule.page),
            rest_key(spent_pk(schedule.network, None)),
            rest_key(of_page.clone()),
        ];
        // What a planned poll reads may be slightly old. An old checkpoint repeats calls; and whether a cooldown is
        // seen that was reported this second is chance in any case.
        let consistent = matches!(turn.hold, Hold::Lease(_));
        let mut cooldowns = Cooldowns::default();
        for row in self.read_together(keys, consistent).await? {
            let row = Reader { table: TABLE, row: &row };
            if row.text("sk")? == "checkpoint" {
                let (version, progress) = (row.number("version")?, &mut turn.progress);
                progress.row_version = version;
                if version > progress.version {
                    progress.checkpoint = Some(row.text("checkpoint")?.to_owned());
                    progress.version = version;
                }
                continue;
            }
            let until = Some(row.milliseconds("rest_until")?);
            let is_confirmed = row.row.contains_key("confirmed");
            if row.text("pk")? == of_page {
                cooldowns.page_rests_until = until;
            } else if is_confirmed || row.text("said_by")? == turn.schedule.account.as_str() {
                cooldowns.app_rests_until = until;
            }
        }
        Ok(cooldowns)
    }

    /// Keeps how far a page's collection came, to be written with the poll's outcome. A large checkpoint is stored at
    /// once, if the stored one is still as it was read.
    ///
    /// # Errors
    /// Where it cannot be written. Then the same is asked again.
    pub async fn keep(
        &self,
        turn: &mut PollTurn,
        checkpoint: String,
        now: Timestamp,
    ) -> Result<Kept, AdapterError> {
        let packed = pack(checkpoint.as_bytes(), DEFLATED_FROM);
        let progress = &mut turn.progress;
        let version = progress.version + 1;
        let (row_version, change) = if packed.len() <= MAX_CHECKPOINT_IN_ROW {
            (progress.row_version, Change::Set(packed))
        } else {
            let mut row = checkpoint_key(&turn.schedule.page);
            row.insert("checkpoint".to_owned(), text(checkpoint.as_str()));
            row.insert("version".to_owned(), number(version));
            row.insert("expires_at".to_owned(), seconds(after(now, CHECKPOINT_KEPT)));
            let call = self.put_item(row);
            let call = match progress.row_version {
                0 => call.condition_expression(IS_NEW),
                read => {
                    call.condition_expression(IS_AS_READ).expression_attribute_values(":read", number(read))
                }
            };
            if made(call.send().await, "keeping a checkpoint")?.is_none() {
                return Ok(Kept::WrittenMeanwhile);
            }
            (version, Change::Remove)
        };
        *progress = Progress { checkpoint: Some(checkpoint), version, row_version, change };
        Ok(Kept::Done)
    }

    /// Takes the units of one request from every quota that counts it, and from the account's share of the app's
    /// quotas. Where one of them refuses, the units taken before are returned.
    ///
    /// # Errors
    /// Where it cannot be written. Whether they were taken is then not known; the call is not to be made.
    pub async fn spend(
        &self,
        schedule: &Schedule,
        limits: &[Limit],
        spender: Spender,
        ask: (&str, u32),
        now: Timestamp,
    ) -> Result<Admission, AdapterError> {
        let mut taken = Vec::new();
        let may = self.take_each(schedule, limits, spender, ask, (&mut taken, now)).await;
        if !matches!(may, Ok(Admission::Now)) {
            // Where one quota refuses, no call is made: the units of the others are returned.
            for (pk, limit) in taken {
                self.give_back_units(pk, &limit, ask.1, now).await?;
            }
        }
        may
    }

    async fn take_each(
        &self,
        schedule: &Schedule,
        limits: &[Limit],
        spender: Spender,
        ask: (&str, u32),
        (taken, now): (&mut Vec<(String, Limit)>, Timestamp),
    ) -> Result<Admission, AdapterError> {
        let (what, units) = ask;
        let (network, account) = (schedule.network, &schedule.account);
        for limit in limits.iter().filter(|limit| limit.counts(what)) {
            if units > limit.units {
                return Ok(Admission::Never);
            }
            let end = limit.window.end(now);
            let pk =
                spent_pk(network, (limit.of == LimitScope::TheNetworkPage).then_some(&schedule.network_id));
            // It is not proven yet that the page is this account's, and its owner's units are few.
            if !spender.proven {
                let pk = format!("{pk}#unproven#{account}");
                if self.take(pk.clone(), limit, fair::unproven(limit), units, now).await?.is_none() {
                    return Ok(Admission::At(end));
                }
                taken.push((pk, *limit));
            }
            if let (LimitScope::TheApp, Some(millionths)) = (limit.of, spender.millionths) {
                let most = fair::most(limit, millionths);
                let pk = format!("{pk}#account#{account}");
                if self.take(pk.clone(), limit, most, units, now).await?.is_none() {
                    return Ok(Admission::At(end.min(after(now, PART_PAUSE))));
                }
                taken.push((pk, *limit));
            }
            let spent = self.take(pk.clone(), limit, limit.units, units, now).await?;
            metrics::quota_left(network.as_str(), spent.map_or(0, |spent| limit.left_percent(spent)));
            if spent.is_none() {
                return Ok(Admission::At(end));
            }
            taken.push((pk, *limit));
        }
        Ok(Admission::Now)
    }

    /// Gives units back that were taken for a call that another limit refused, while their window lasts. It is tried
    /// once: a repeat after a lost answer would give them back twice, and allow a call too many.
    async fn give_back_units(
        &self,
        pk: String,
        limit: &Limit,
        units: u32,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let call = self
            .update_item(key(pk, limit.name()))
            .condition_expression("window_end = :end AND units >= :units")
            .update_expression("SET units = units - :units")
            .expression_attribute_values(":end", milliseconds(limit.window.end(now)))
            .expression_attribute_values(":units", number(units));
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let sent = call.customize().config_override(once).send().await;
        made(sent, "giving units of a limit back").map(|_| ())
    }

    /// Takes units of the quota at `pk`, which has `most` in its window. Answers how many are spent then.
    async fn take(
        &self,
        pk: String,
        limit: &Limit,
        most: u32,
        units: u32,
        now: Timestamp,
    ) -> Result<Option<u32>, AdapterError> {
        const OPERATION: &str = "taking units of a limit";
        if units > most {
            return Ok(None);
        }
        let end = limit.window.end(now);
        let key = key(pk, limit.name());
        let update = || {
            let call = self.update_item(key.clone());
            call.expression_attribute_values(":end", milliseconds(end))
                .expression_attribute_values(":units", number(units))
        };
        // A window ends where the next one begins, so a second round is enough but where both come between the two.
        for _ in 0..2 {
            let add = update()
                .condition_expression(IS_WITHIN)
                .update_expression("SET units = units + :units")
                .expression_attribute_values(":room", number(most - units))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let add = add.return_values(ReturnValue::UpdatedNew);
            if let Some(added) = made(add.send().await, OPERATION)? {
                let spent = added.attributes().and_then(|row| row.get("units")?.as_n().ok()?.parse().ok());
                return Ok(Some(spent.unwrap_or(most)));
            }
            let first = update()
                .condition_expression(IS_ANOTHER_WINDOW)
                .update_expression("SET window_end = :end, units = :units, expires_at = :expires")
                .expression_attribute_values(":expires", seconds(after(end, SPENT_KEPT)));
            if made(first.send().await, OPERATION)?.is_some() {
                return Ok(Some(units));
            }
        }
        Ok(None)
    }

    /// Notes that a network asks for no calls before then: about one page, or for an app, as the answers to an
    /// account's calls said. A longer cooldown that was reported before stays.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn note_cooldown(
        &self,
        schedule: &Schedule,
        of: CooldownKey,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        const OPERATION: &str = "noting a network's rest";
        let of_page = (of == CooldownKey::ThePage).then_some(&schedule.network_id);
        let update = || {
            self.update_item(rest_key(spent_pk(schedule.network, of_page)))
                .expression_attribute_values(":until", milliseconds(until))
                .expression_attribute_values(":expires", seconds(after(until, SPENT_KEPT)))
        };
        if of == CooldownKey::ThePage {
            let call = update().condition_expression(IS_LONGER);
            let call = call.update_expression("SET rest_until = :until, expires_at = :expires");
            return made(call.send().await, OPERATION).map(|_| ());
        }
        let by_account = || {
            update()
                .expression_attribute_values(":account", text(schedule.account.as_str()))
                .expression_attribute_values(":now", milliseconds(now))
        };
        let first = by_account()
            .condition_expression(format!("{IS_LONGER} AND {IS_OF_THIS_ACCOUNT}"))
            .update_expression(
                "SET rest_until = :until, said_by = :account, expires_at = :expires REMOVE confirmed",
            );
        if made(first.send().await, OPERATION)?.is_none() {
            let second = by_account()
                .condition_expression(format!("{IS_OF_ANOTHER} AND rest_until < :until"))
                .update_expression("SET confirmed = :yes, rest_until = :until, expires_at = :expires")
                .expression_attribute_values(":yes", AttributeValue::Bool(true));
            if made(second.send().await, OPERATION)?.is_none() {
                let agreed = self
                    .update_item(rest_key(spent_pk(schedule.network, None)))
                    .condition_expression(IS_OF_ANOTHER)
                    .update_expression("SET confirmed = :yes")
                    .expression_attribute_values(":account", text(schedule.account.as_str()))
                    .expression_attribute_values(":now", milliseconds(now))
                    .expression_attribute_values(":yes", AttributeValue::Bool(true));
                made(agreed.send().await, OPERATION)?;
            }
        }
        Ok(())
    }

    /// Reads rows by their keys, at most 100.
    async fn read_together(&self, keys: Vec<Row>, consistent: bool) -> Result<Vec<Row>, AdapterError> {
        const OPERATION: &str = "reading what is kept of pages";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
        let mut left =
            HashMap::from([(self.name.clone(), keys.map_err(AdapterError::not_built("building a write"))?)]);
        let (mut rows, mut pause) = (Vec::new(), READ_PAUSE);
        for round in 1..=READ_ROUNDS {
            let answer = self.client.batch_get_item().set_request_items(Some(left)).send().await;
            let answer = answer.map_err(AdapterError::in_call(OPERATION))?;
            rows.extend(answer.responses.into_iter().flatten().flat_map(|(_, rows)| rows));
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                return Ok(rows);
            }
            if round < READ_ROUNDS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(AdapterError::Incomplete { operation: OPERATION })
    }
}

/// The parts of the write that ends a poll.
#[derive(Default)]
struct Update {
    condition: Vec<&'static str>,
    set: Vec<&'static str>,
    remove: Vec<&'static str>,
    values: Row,
}

impl Update {
    fn value(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(name.to_owned(), value);
    }

    fn set(&mut self, what: &'static str, name: &str, value: AttributeValue) {
        self.set.push(what);
        self.value(name, value);
    }
}

impl PollTurn {
    fn write(&self, update: &mut Update) {
        match &self.hold {
            Hold::Lease(lease) => {
                update.condition.push(IS_OURS);
                update.value(":lease", text(lease.as_str()));
            }
            Hold::AsRead { planned_at } => {
                let (condition, began_before) = as_read(self);
                update.condition.push(condition);
                if let Some(at) = began_before {
                    update.value(":began_before", milliseconds(at));
                }
                update.set("began_at = :began", ":began", milliseconds(self.began_at));
                update.set("planned_at = :planned", ":planned", milliseconds(*planned_at));
            }
        }
        update.remove.extend(["lease", "lease_until"]);
        match &self.progress.change {
            Change::None => {}
            Change::Set(packed) => {
                update.set("checkpoint = :checkpoint", ":checkpoint", bytes(packed));
                let version = number(self.progress.version);
                update.set("checkpoint_version = :checkpoint_version", ":checkpoint_version", version);
            }
            Change::Remove => update.remove.extend(["checkpoint", "checkpoint_version"]),
        }
    }
}

impl PollOutcome {
    fn write(&self, update: &mut Update, sets_time: bool) {
        let json = |value: serde_json::Result<String>| text(value.unwrap_or_default());
        update.set("last_tick = :last", ":last", json(serde_json::to_string(&self.last)));
        update.set("every_minutes = :every", ":every", number(self.every_minutes));
        update.set("proven = :proven", ":proven", AttributeValue::Bool(self.proven));
        if sets_time {
            update.condition.push(HAS_NO_NEWER_TOKEN);
            update.value(":used", number(self.used));
            match self.next {
                Next::At(at) => update.set("next_at = :next", ":next", milliseconds(at)),
                Next::WithANewToken => update.remove.push("next_at"),
            }
        }
        if let Some(inspected) = self.inspected {
            update.set("inspected = :inspected", ":inspected", json(serde_json::to_string(&inspected)));
        }
        if let Some(push) = &self.push {
            update.set("push = :push", ":push", json(serde_json::to_string(push)));
        }
        match &self.denied {
            Some(what) => update.set("denied = :denied", ":denied", text(what.as_str())),
            None => update.remove.push("denied"),
        }
        match &self.silence {
            Some(silence) => {
                update.set("silence = :silence", ":silence", json(serde_json::to_string(silence)));
            }
            None => update.remove.push("silence"),
        }
    }
}

/// The condition that a schedule is as it was read, and the time that it names.
fn as_read(turn: &PollTurn) -> (&'static str, Option<Timestamp>) {
    match turn.schedule.began_at {
        Some(at) => (IS_UNTOUCHED, Some(at)),
        None => (IS_THERE_UNPOLLED, None),
    }
}

fn plan_pk(shard: u8) -> String {
    format!("plan#{shard:02}")
}

fn shard_of(page: &PageId) -> u8 {
    Sha256::digest(page.as_str())[0] % SHARDS
}

fn key(pk: impl Into<String>, sk: impl Into<String>) -> Row {
    Row::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn schedule_key(page: &PageId) -> Row {
    key(plan_pk(shard_of(page)), page.as_str())
}

fn checkpoint_key(page: &PageId) -> Row {
    key(format!("page#{page}"), "checkpoint")
}

fn rest_key(pk: String) -> Row {
    key(pk, "rest")
}

/// For how long a fault counts that nobody met again. That a version ends is noted in each tick.
fn fresh(fault: OperatorFault) -> Duration {
    if fault == OperatorFault::VersionEnding { Duration::from_secs(3600) } else { FAULT_FRESH }
}

fn fault_key(network: Network, fault: OperatorFault) -> Row {
    key(format!("fault#{network}"), fault.as_str())
}

fn spent_pk(network: Network, network_id: Option<&NetworkId>) -> String {
    match network_id {
        Some(id) => format!("spent#{network}#{id}"),
        None => format!("spent#{network}"),
    }
}

fn turn_state(row: &Row) -> Result<TurnState, AdapterError> {
    Ok(TurnState {
        next_at: optional_time(row, "next_at")?,
        planned_at: optional_time(row, "planned_at")?,
        lease_until: optional_time(row, "lease_until")?,
    })
}

fn read_turn(row: &Row, hold: Hold, began_at: Timestamp) -> Result<PollTurn, AdapterError> {
    let version = Reader { table: TABLE, row }.optional_number("checkpoint_version")?.unwrap_or(0);
    let checkpoint = row.get("checkpoint").and_then(|packed| packed.as_b().ok()).map(|packed| {
        // What is in no known form is no checkpoint, and the collection says so.
        let plain = unpack(packed.as_ref(), MAX_CHECKPOINT_BYTES as u64);
        plain.map_or_else(String::new, |plain| String::from_utf8_lossy(&plain).into_owned())
    });
    let progress = Progress { checkpoint, version, ..Progress::default() };
    Ok(PollTurn { schedule: read_schedule(row)?, progress, began_at, hold })
}

fn optional_time(row: &Row, name: &'static str) -> Result<Option<Timestamp>, AdapterError> {
    let reader = Reader { table: TABLE, row };
    row.contains_key(name).then(|| reader.milliseconds(name)).transpose()
}

fn read_schedule(row: &Row) -> Result<Schedule, AdapterError> {
    let reader = Reader { table: TABLE, row };
    let time = |name| optional_time(row, name);
    let is_text = |name| matches!(row.get(name), Some(AttributeValue::S(_)));
    // Attributes that are only shown, or only save work, may be of another version of the program.
    let last: Option<LastTick> = reader.json("last_tick").ok();
    let went_well =
        last.as_ref().is_some_and(|last| matches!(last.result, TickResult::Ok | TickResult::More));
    let proven = match row.get("proven") {
        Some(AttributeValue::Bool(proven)) => *proven,
        _ => went_well,
    };
    Ok(Schedule {
        page: reader.parsed("sk")?,
        account: reader.parsed("account")?,
        network: reader.parsed("network")?,
        network_id: reader.parsed("network_id")?,
        token_version: reader.number("token_version")?,
        next_at: time("next_at")?,
        began_at: time("began_at")?,
        every_minutes: reader.optional_number("every_minutes")?,
        last,
        proven,
        inspected: reader.json("inspected").ok(),
        push: reader.json("push").ok(),
        silence: reader.json("silence").ok(),
        denied: if is_text("denied") { Some(reader.text("denied")?.to_owned()) } else { None },
    })
}
