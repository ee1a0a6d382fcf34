//! The rule of blocking: streaks of failures, blocks, and how results are recorded.
//!
//! For each (webhook, revision, item type) one row is kept while there is something to keep:
//!
//! | attribute | meaning |
//! |---|---|
//! | `streak` | the id of the live streak; there is none without it |
//! | `failures` | how many attempts in a row failed; the threshold while blocked |
//! | `timeouts_only` | that each failure of the live streak was a time-out ([`crate::lane`]) |
//! | `epoch` | the id of the last block or unblock: the fence |
//! | `blocked_at`, `blocked_until` | the block, in milliseconds; over when `blocked_until` has come |
//! | `last_error` | the last failure |
//! | `discarded` | how many items were dropped since the block began, where the webhook wants that |
//! | `warning`, `block_notice`, `release_notice` | the ids of pending notices |
//! | `disabled_notice` | a pending notice, on the row of a revision as a whole ([`crate::notice::disabled`]) |
//! | `dead_…`, `dropped` | on the row of revision 0 alone: items that ended undelivered ([`crate::tally`]) |
//! | `due_at` | when the pending notices are due, in milliseconds |
//! | `telling_until` | the end of the claim of whoever is sending them, in milliseconds |
//! | `expires_at` | when the table may delete the row, in seconds; never on a live streak |
//!
//! # What is linearised where
//! The history of a streak is the order of its *records*, and each record is one conditional write, or one consistent
//! read:
//! - **A failure** is recorded by the write that counts it ([`start`], [`add`] or [`block`]). The conditions of these
//!   divide all rows among them, so that no row ever has `failures` ≥ threshold and no block: [`add`] is refused where
//!   the sum would reach the threshold, and [`block`] where it would not.
//! - **A success** is recorded by a consistent read, begun after its response arrived, that finds no streak; or by
//!   the write that ends the streak that this read found ([`end`]), which names it. Where that is refused, somebody
//!   else ended that streak in between: at that moment there was none, and the success is recorded as of then.
//! - **The fence**: every record is conditional on the epoch that its batch read before its attempts. A block and an
//!   unblock change the epoch, so a late record is refused, however late it is, and changes nothing.
//!
//! # What is never repeated
//! A write that counts is made at most once: where its answer is lost it counts as made. So an ambiguous answer can
//! make a streak shorter than it was, never longer, and a block is never early. [`end`] may be repeated, because it
//! names the streak. Where the answer to a block by leading failures is lost, the success behind them is still to be
//! recorded: the row is read again, and if no block is there the streak is ended.
//!
//! A write whose answer was lost may also be made later. It changes nothing then that it might not have changed at
//! once: `end` and the block by leading failures name the streak that they found, so that neither touches one that
//! began after their own batch's success.
//!
//! # Expiry
//! The table deletes late, or at once. It decides nothing here: conditions compare `blocked_until` themselves. A row
//! may be deleted an hour after its block's end, when no batch can still be running that read an older epoch; and
//! [`start`], which makes a streak live, removes the date. A batch that read the epoch of a row that is then
//! deleted is not late: no block and no unblock came since, or there would be a row. It goes on with no epoch.
//!
//! # Revisions that are over
//! When a webhook gets a new revision, or is deleted, the rows of its last revision are *retired* ([`retire`]): all of
//! them, also those that do not exist yet. A retired row has the epoch [`RETIRED`], no streak, no block, and a date. No
//! record is ever made on it: the fence refuses a batch that read it before, and a batch that reads it finds itself
//! late. So results of an old revision change nothing, and leave no row without a date. Where the retiring itself is
//! cut short, it leaves rows that nobody reads: each new revision has its own rows, which start with no streak and no
//! block.
//!
//! # A threshold that is lowered
//! A webhook's threshold may be lowered to a live streak's count, or below it. The next failure blocks then, and the
//! row has the new threshold from there on; a success still ends the streak. Until then it is shown as the last count
//! that has no block ([`shown_failures`]).

mod record;
mod row;
mod rule;
mod write;

pub use record::{Answer, Failed, MAX_REFUSALS, Recorded, Recording, Results, Step};
pub use row::{ATTRIBUTES, DUE_AT, Details, Phase, RETIRED, State};
pub(crate) use row::{
    BLOCK_NOTICE, DISABLED_NOTICE, EPOCH, EXPIRES_AT, LAST_ERROR, RELEASE_NOTICE, TELLING_UNTIL, WARNING,
    block_of,
};
pub use rule::{Rule, WARNINGS, shown_failures};
pub use write::{
    Counted, FENCE, Over, add, block, discard, end, listing, retire, start, unblock, unblock_untold,
};

#[cfg(test)]
mod tests;
