//! The rows of items that are held or dead, and of the releases and replays that move them.
//!
//! # Where to begin
//! - **Rows**: [`keys`] has places and attributes, [`held`] and [`dead`] the items, [`release`] and [`replay`] what
//!   moves them.
//! - **One item**: [`held_item`] cancels it or sends it now, [`of_item`] finds all of its rows.
//! - **Many**: [`cursor`] and `merged_rows` read them in the order of acceptance, [`reads`] reads and drops a
//!   webhook's.
//! - **Shares and faults**: [`work_share`] bounds an account's part of the work, [`unreadable`] repairs releases and
//!   replays.

pub mod cursor;
pub mod dead;
pub mod held;
pub mod held_item;
pub mod keys;
mod merged_rows;
pub mod of_item;
pub mod reads;
pub mod release;
pub mod replay;
pub mod unreadable;
pub mod work_share;

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;

use cursor::HeldCursor;
use held::HeldRows;
use keys::ReleaseKey;
use release::ReleaseRows;
use replay::ReplayRows;

/// The held items' table, by its kinds of rows.
#[derive(Clone, Debug)]
pub struct HeldTable {
    /// Held items.
    pub items: HeldRows,
    /// Their releases.
    pub releases: ReleaseRows,
    /// The replays that bring dead items here.
    pub replays: ReplayRows,
}

impl HeldTable {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self {
            items: HeldRows::new(client.clone(), name.clone()),
            releases: ReleaseRows::new(client.clone(), name.clone()),
            replays: ReplayRows::new(client, name),
        }
    }

    /// The items of a release, from the oldest on, where reading begins at `now`: those that wait for it, and those
    /// that an owner's act released.
    #[must_use]
    pub fn of_release(
        &self,
        key: &ReleaseKey,
        release_all_until: Option<Timestamp>,
        now: Timestamp,
    ) -> HeldCursor {
        HeldCursor::new(&self.items, key, release_all_until, now)
    }
}
