//! Sends sample pushes through a running stack, signed as the network would, and says what became of each.
//!
//! A sample is a file with the body of a push. For the owner of each of its updates a page is connected, in an account
//! of the run's own; one webhook at the receiver takes all that the pages bring. Each sample is sent once; then, all
//! of them again, the same bytes and the same updates in other batches, which must add nothing.
//!
//! It foretells what should arrive with the same rules that the functions use, so it tests the way from the push to
//! the webhook, not whether a normaliser understood what it read: that is for a person to see in the table.

mod calls;
mod expectation;
mod folder;
mod rebatch;
mod report;
mod run;
mod schema;
mod signing;

pub use calls::{Addresses, CallError};
pub use expectation::{Expectation, Expected};
pub use folder::{FolderError, Sample, read as read_folder};
pub use report::{Report, Row};
pub use run::{RunError, Secrets, run};
