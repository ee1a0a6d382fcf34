//! The order of a webhook's attempt log: the newest attempt first, whichever row it stands in.
//!
//! A row holds a batch's attempts, and batches overlap: an attempt that ended early in a slow batch is older than all
//! of a quick batch whose row was written before. Rows are read from the one that was written last, and an attempt is
//! listed as soon as no row that is still to be read can hold a newer one: none holds an attempt that ended after the
//! row was written.
//!
//! Guaranteed: pages that follow one another list every attempt of the rows once, in one order. A page goes on at the
//! newest row that still has attempts to list, and passes over those that were listed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The digits of a row's time in milliseconds.
const TIME_DIGITS: usize = 13;
/// The number of hexadecimal digits that distinguish rows of one time.
const RANDOM_DIGITS: usize = 16;
/// The highest number of an attempt in its row that a place can name.
const MAX_INDEX: usize = 99;

/// A row's key: when it was written, in milliseconds, and digits drawn at random, as `1795000000123#0123456789abcdef`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey(String);

/// A text that is no row's key, or no place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place in an attempt log")]
pub struct InvalidPlace;

impl RowKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the row was written.
    fn written_ms(&self) -> i64 {
        self.0.get(..TIME_DIGITS).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }
}

impl FromStr for RowKey {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let all =
            |text: &str, count: usize, known: fn(u8) -> bool| text.len() == count && text.bytes().all(known);
        let (written, random) = text.split_once('#').ok_or(InvalidPlace)?;
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let known =
            all(written, TIME_DIGITS, |b| b.is_ascii_digit()) && all(random, RANDOM_DIGITS, hexadecimal);
        known.then(|| Self(text.to_owned())).ok_or(InvalidPlace)
    }
}

/// An attempt's place in the order: the newest first; of one time, by its row and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    at_ms: i64,
    row: RowKey,
    index: usize,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let times = other.at_ms.cmp(&self.at_ms);
        times.then_with(|| other.row.cmp(&self.row)).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where the next page goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The newest row that may have attempts that are not listed.
    from: RowKey,
    /// The oldest row that was read.
    read_to: RowKey,
    /// The last attempt that was listed. Of the rows that were read, those before it are listed too, and no others.
    listed: Option<Place>,
}

impl Resume {
    /// The row to begin reading at.
    #[must_use]
    pub fn from(&self) -> &RowKey {
        &self.from
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.from.as_str(), self.read_to.as_str())?;
        match &self.listed {
            Some(Place { at_ms, row, index }) => write!(f, "~{at_ms}~{}~{index}", row.as_str()),
            None => Ok(()),
        }
    }
}

impl FromStr for Resume {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let parts: Vec<_> = text.split('~').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| InvalidPlace);
        let (from, read_to, listed) = match parts[..] {
            [from, read_to] => (from, read_to, None),
            [from, read_to, at, row, index] => {
                let at_ms = i64::try_from(number(at)?).map_err(|_| InvalidPlace)?;
                let index = usize::try_from(number(index)?).ok().filter(|index| *index <= MAX_INDEX);
                let index = index.ok_or(InvalidPlace)?;
                (from, read_to, Some(Place { at_ms, row: row.parse()?, index }))
            }
            _ => return Err(InvalidPlace),
        };
        Ok(Self { from: from.parse()?, read_to: read_to.parse()?, listed })
    }
}

/// Puts the attempts of rows, which are read the newest first, into the order of their own times.
#[derive(Debug)]
pub struct NewestFirst<T> {
    pending: BTreeMap<Place, T>,
    read_to: Option<RowKey>,
    listed: Option<Place>,
}

impl<T> NewestFirst<T> {
    /// Begins with all rows, or where an earlier page ended.
    #[must_use]
    pub fn new(resume: Option<&Resume>) -> Self {
        Self {
            pending: BTreeMap::new(),
            read_to: resume.map(|resume| resume.read_to.clone()),
            listed: resume.and_then(|resume| resume.listed.clone()),
        }
    }

    /// Adds a row's attempts, those that are asked for: each with its number in the row and when it ended, in
    /// milliseconds. Answers whether the row was read for the first time.
    pub fn add(&mut self, row: &RowKey, attempts: impl IntoIterator<Item = (usize, i64, T)>) -> bool {
        let is_new = self.read_to.as_ref().is_none_or(|read_to| row < read_to);
        for (index, at_ms, attempt) in attempts {
            // No attempt ends after its row was written; a clock that says so must not spoil the order.
            let place = Place { at_ms: at_ms.clamp(0, row.written_ms()), row: row.clone(), index };
            let was_listed = !is_new && self.listed.as_ref().is_some_and(|listed| place <= *listed);
            if !was_listed {
                self.pending.insert(place, attempt);
            }
        }
        if is_new {
            self.read_to = Some(row.clone());
        }
        is_new
    }

    /// Whether there is an attempt to list before the row `next` is read, or where there is no row more.
    #[must_use]
    pub fn is_ready(&self, next: Option<&RowKey>) -> bool {
        let newest = self.pending.first_key_value();
        newest.is_some_and(|(place, _)| next.is_none_or(|next| next.written_ms() <= place.at_ms))
    }

    /// Takes the newest attempt.
    pub fn take(&mut self) -> Option<T> {
        let (place, attempt) = self.pending.pop_first()?;
        self.listed = Some(place);
        Some(attempt)
    }

    /// Where the next page goes on; none where no row was read.
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        let read_to = self.read_to.clone()?;
        let from = self.pending.keys().map(|place| &place.row).max().unwrap_or(&read_to).clone();
        Some(Resume { from, read_to, listed: self.listed.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    type Row = (RowKey, Vec<i64>);

    fn key(written: i64, random: u64) -> RowKey {
        format!("{written:013}#{random:016x}").parse().unwrap()
    }

    /// A page of the log: what it lists, and where the next one goes on.
    fn page(
        rows: &[Row],
        resume: Option<&Resume>,
        most: usize,
        new_rows: usize,
    ) -> (Vec<i64>, Option<Resume>) {
        let mut order = NewestFirst::new(resume);
        let mut rows =
            rows.iter().filter(|(key, _)| resume.is_none_or(|resume| key <= resume.from())).peekable();
        let (mut listed, mut left) = (Vec::new(), new_rows);
        loop {
            let next = rows.peek().map(|(key, _)| key);
            while order.is_ready(next) {
                if listed.len() == most {
                    return (listed, order.resume());
                }
                listed.extend(order.take());
            }
            let Some((key, attempts)) = rows.next() else { return (listed, None) };
            if left == 0 {
                return (listed, order.resume());
            }
            left -= usize::from(order.add(key, attempts.iter().enumerate().map(|(n, &at)| (n, at, at))));
        }
    }

    proptest! {
        #[test]
        fn pages_list_every_attempt_once_and_the_newest_first(
            rows in prop::collection::vec((0..60_i64, prop::collection::vec(0..40_i64, 0..6)), 0..30),
            most in 1..7_usize,
            new_rows in 1..9_usize,
        ) {
            let row = |(number, (written, ages)): (usize, &(i64, Vec<i64>))| {
                let at = |age: &i64| 1_000_000 + written - age;
                (key(1_000_000 + written, number as u64), ages.iter().map(at).collect::<Vec<_>>())
            };
            let mut rows: Vec<Row> = rows.iter().enumerate().map(row).collect();
            rows.sort_by(|a, b| b.0.cmp(&a.0));
            let mut expected: Vec<i64> = rows.iter().flat_map(|(_, attempts)| attempts.clone()).collect();
            expected.sort_by_key(|at| Reverse(*at));
            let (mut all, mut resume, mut pages) = (Vec::new(), None, 0);
            loop {
                let (listed, next) = page(&rows, resume.as_ref(), most, new_rows);
                prop_assert!(listed.len() <= most);
                all.extend(listed);
                pages += 1;
                prop_assert!(pages < 500, "it does not end");
                let Some(next) = next else { break };
                resume = Some(next.to_string().parse::<Resume>().unwrap());
            }
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn an_attempt_is_listed_after_newer_ones_of_earlier_rows() {
        let rows = [(key(100, 1), vec![99, 40]), (key(90, 2), vec![88, 60]), (key(50, 3), vec![50, 30])];
        assert_eq!(page(&rows, None, 10, 10), (vec![99, 88, 60, 50, 40, 30], None));
    }

    #[test]
    fn an_attempt_that_ended_after_its_rows_time_is_listed_once() {
        let rows = [(key(100, 1), vec![99]), (key(50, 2), vec![120])];
        let (first, resume) = page(&rows, None, 1, 10);
        assert_eq!((first, page(&rows, resume.as_ref(), 1, 10)), (vec![99], (vec![120], None)));
    }

    #[test]
    fn a_place_is_known_and_nothing_else_is() {
        let row = "1795000000123#0123456789abcdef";
        for text in [format!("{row}~{row}"), format!("{row}~{row}~1795000000000~{row}~9")] {
            assert_eq!(text.parse::<Resume>().unwrap().to_string(), text);
        }
        for text in [
            String::new(),
            row.to_owned(),
            format!("{row}~{row}~1"),
            format!("{row}~{row}~-1~{row}~1"),
            format!("{row}~{row}~1~{row}~100"),
            format!("{row}~{row}~1~{row}~x"),
            format!("{row}~{row}~1~{row}~1~1"),
            format!("{row}~{}", row.to_uppercase()),
            format!("{row}~179500000012x#0123456789abcdef"),
            format!("{row}~#0123456789abcdef"),
        ] {
            assert_eq!(text.parse::<Resume>(), Err(InvalidPlace), "{text}");
        }
    }
}
