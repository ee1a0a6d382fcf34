//! What became of each sample, as a table.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What became of one sample.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its file.
    pub name: String,
    /// What the push was answered.
    pub status: u16,
    /// How long the answer took, in milliseconds.
    pub milliseconds: u64,
    /// How many updates it has that are of a page.
    pub updates: usize,
    /// How many of them no earlier sample had.
    pub first: usize,
    /// How many of those are in the inbox.
    pub stored: usize,
    /// How many of those wait to be completed with the page's token.
    pub incomplete: usize,
    /// How many of those were delivered, once.
    pub delivered: usize,
    /// How many of those deliveries fit the schema.
    pub valid: usize,
    /// How many of its updates are of no kind that is known, and were delivered as `other`.
    pub other: usize,
    /// How many of its updates are nobody's; they are kept as they came.
    pub nobodys: usize,
    /// The kinds and actions of its updates.
    pub kinds: Vec<String>,
    /// What is wrong.
    pub faults: Vec<String>,
}

/// What became of all samples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each sample.
    pub rows: Vec<Row>,
    /// Files that are no pushes.
    pub no_pushes: Vec<String>,
    /// How many pushes repeated the samples' updates.
    pub repeats: usize,
    /// What a repeat changed, or came without being expected.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether everything became of every sample that should.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.rows.iter().all(|row| row.faults.is_empty())
    }

    /// The longest time that an answer took.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        Duration::from_millis(self.rows.iter().map(|row| row.milliseconds).max().unwrap_or_default())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default().max(6);
        writeln!(
            f,
            "{:width$}  answer    ms  updates  first  stored  waiting  delivered  valid  other  nobody's  kinds",
            "sample"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:width$}  {:>6} {:>5}  {:>7}  {:>5}  {:>6}  {:>7}  {:>9}  {:>5}  {:>5}  {:>8}  {}",
                row.name,
                row.status,
                row.milliseconds,
                row.updates,
                row.first,
                row.stored,
                row.incomplete,
                row.delivered,
                row.valid,
                row.other,
                row.nobodys,
                row.kinds.join(", "),
            )?;
            for fault in &row.faults {
                writeln!(f, "{:width$}  FAULT: {fault}", "")?;
            }
        }
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        writeln!(
            f,
            "{} samples: {} updates of pages, {} distinct, {} stored, {} waiting to be completed, {} delivered, {} \
             valid, {} other, {} nobody's; the slowest answer took {} ms; {} repeats",
            self.rows.len(),
            sum(|row| row.updates),
            sum(|row| row.first),
            sum(|row| row.stored),
            sum(|row| row.incomplete),
            sum(|row| row.delivered),
            sum(|row| row.valid),
            sum(|row| row.other),
            sum(|row| row.nobodys),
            self.slowest().as_millis(),
            self.repeats,
        )?;
        if !self.no_pushes.is_empty() {
            writeln!(f, "{} other files are no pushes", self.no_pushes.len())?;
        }
        for fault in &self.faults {
            writeln!(f, "FAULT: {fault}")?;
        }
        write!(f, "{}", if self.is_good() { "All as it should be." } else { "Not all is as it should be." })
    }
}
