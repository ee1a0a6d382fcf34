//! The rows of items that are held or dead, and of the releases and replays that move them.

pub mod dead;
pub mod held;
pub mod held_item;
pub mod looks;
mod merged_rows;
pub mod release;
pub mod replay;
pub mod unreadable;
pub mod work_share;
