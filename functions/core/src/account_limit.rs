//! How many webhooks, pages, keys and alerts an account may have.
//!
//! An account's row counts each kind, and a creation adds one in the transaction that stores what is created, on
//! condition that the limit is not reached. So creations at the same time never pass the limit together.
//!
//! A count can be missing (an account of an older version) or wrong (an older version created or deleted beside this
//! one during a rollout). [`correction`] says what to store then; whoever stores it does so on condition that nothing
//! was created or deleted since the count was read.

use crate::alert::MAX_ALERTS_PER_ACCOUNT;
use crate::problem::{FieldError, Problem};
use crate::webhook::MAX_WEBHOOKS_PER_ACCOUNT;

/// The most keys of an account: enough to give every system its own and to rotate them.
pub const MAX_KEYS_PER_ACCOUNT: usize = 100;

/// The most pages of an account. Each of them is collected at every tick.
pub const MAX_PAGES_PER_ACCOUNT: usize = 1000;

crate::named! {
    /// Something of which an account may have a limited number.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Limited {
        /// Webhooks.
        Webhooks = "webhooks",
        /// Pages.
        Pages = "pages",
        /// API keys.
        Keys = "keys",
        /// Addresses that alerts go to.
        Alerts = "alerts",
    }
}

impl Limited {
    /// The most of it that an account may have.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Webhooks => MAX_WEBHOOKS_PER_ACCOUNT,
            Self::Pages => MAX_PAGES_PER_ACCOUNT,
            Self::Keys => MAX_KEYS_PER_ACCOUNT,
            Self::Alerts => MAX_ALERTS_PER_ACCOUNT,
        }
    }

    /// The refusal of one more.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (name, most) = (self.as_str(), self.most());
        let detail = format!("an account has at most {most} {name}; delete one first");
        let errors = vec![FieldError::new(name, format!("are {most} already, the most that an account has"))];
        Problem { errors, ..Problem::invalid(detail) }
    }
}

/// The count to store in an account's row, which records `recorded` while `there` rows were found. None where the row
/// is right.
#[must_use]
pub fn correction(recorded: Option<i64>, there: usize) -> Option<i64> {
    let there = i64::try_from(there).unwrap_or(i64::MAX);
    (recorded != Some(there)).then_some(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_missing_or_wrong_is_corrected() {
        let table = [
            (None, 0, Some(0)),
            (None, 7, Some(7)),
            (Some(7), 7, None),
            (Some(9), 7, Some(7)),
            (Some(5), 7, Some(7)),
            (Some(-1), 0, Some(0)),
        ];
        for (recorded, there, expected) in table {
            assert_eq!(correction(recorded, there), expected, "{recorded:?} {there}");
        }
    }

    #[test]
    fn a_refusal_names_what_there_is_too_much_of() {
        for (limited, field) in [
            (Limited::Webhooks, "webhooks"),
            (Limited::Pages, "pages"),
            (Limited::Keys, "keys"),
            (Limited::Alerts, "alerts"),
        ] {
            let problem = limited.problem();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, field));
            assert!(problem.detail.contains(&limited.most().to_string()), "{}", problem.detail);
        }
    }
}
