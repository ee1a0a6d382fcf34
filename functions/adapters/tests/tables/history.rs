//! Properties of a streak's history under concurrent recording and lost answers: each write is explained by the batch
//! that made it, by rules that are stated here again in their plainest form.

use std::collections::HashMap;
use std::time::Duration;

use carteiro_core::streak::{Recorded, Rule};
use carteiro_core::transition::{Row, Value};
use jiff::Timestamp;

use crate::proxy::{Event, Fate};

/// A batch that was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The new id that it had, for a streak or a block.
    pub(crate) id: String,
    /// The name of its last failure, which no other batch's has.
    pub(crate) token: String,
    /// The epoch that it read before its attempts.
    pub(crate) fence: Option<String>,
    /// Its results in order: whether each succeeded.
    pub(crate) results: Vec<bool>,
    /// How many writes had arrived when recording began, and when it returned.
    pub(crate) span: (usize, usize),
    /// Its result; None for an error.
    pub(crate) came: Option<Recorded>,
}

impl Batch {
    fn has_success(&self) -> bool {
        self.results.contains(&true)
    }

    fn leading(&self) -> i64 {
        count(self.results.iter().take_while(|succeeded| !**succeeded).count())
    }

    fn trailing(&self) -> i64 {
        count(self.results.iter().rev().take_while(|succeeded| !**succeeded).count())
    }
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap()
}

/// The effect of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Nothing,
    Started,
    Added,
    Blocked,
    Ended,
}

/// A run: all writes in their order, all batches, and the rule.
pub(crate) struct Run<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) batches: &'a [Batch],
    pub(crate) rule: Rule,
    pub(crate) faults: bool,
}

fn number(row: Option<&Row>, name: &str) -> Option<i64> {
    match row.and_then(|row| row.get(name)) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

fn text<'a>(row: Option<&'a Row>, name: &str) -> Option<&'a str> {
    match row.and_then(|row| row.get(name)) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn seconds_after(ms: i64, wait: Duration) -> i64 {
    ms.div_euclid(1000) + i64::try_from(wait.as_secs()).unwrap()
}

/// Properties of every row.
fn check_row(row: &Row, rule: Rule) {
    let row = Some(row);
    let threshold = i64::from(rule.threshold);
    let failures = number(row, "failures");
    if text(row, "streak").is_some() {
        assert!(failures.is_some_and(|failures| (1..threshold).contains(&failures)), "{row:?}");
        assert!(number(row, "expires_at").is_none(), "a live streak may expire: {row:?}");
        assert!(number(row, "blocked_until").is_none(), "a live streak is blocked: {row:?}");
    } else if number(row, "blocked_until").is_some() {
        assert_eq!(failures, Some(threshold), "{row:?}");
    } else {
        assert_eq!(failures, None, "{row:?}");
    }
    if text(row, "streak").is_none() {
        assert!(text(row, "epoch").is_some() && number(row, "expires_at").is_some(), "{row:?}");
    }
}

impl Run<'_> {
    /// Checks the whole history. Answers the effect of each write.
    pub(crate) fn check(&self) -> Vec<Did> {
        let did = self.check_writes();
        self.check_arrivals();
        for batch in self.batches {
            self.check_batch(batch, &did);
        }
        did
    }

    /// The row after this number of writes.
    fn state(&self, writes: usize) -> Option<&Row> {
        writes.checked_sub(1).and_then(|last| self.events[last].row.as_ref())
    }

    fn check_writes(&self) -> Vec<Did> {
        let by_id: HashMap<_, _> = self.batches.iter().map(|batch| (batch.id.as_str(), batch)).collect();
        let by_token: HashMap<_, _> =
            self.batches.iter().map(|batch| (batch.token.as_str(), batch)).collect();
        let explain = |(index, event): (usize, &Event)| {
            let (before, after) = (self.state(index), event.row.as_ref());
            if let Some(row) = after {
                check_row(row, self.rule);
            }
            if !event.made {
                assert_eq!(before, after, "a write that was not made changed the row");
                return Did::Nothing;
            }
            let streaks = (text(before, "streak"), text(after, "streak"));
            if streaks.1.is_none() && text(after, "epoch") == text(before, "epoch") {
                self.check_end(index, before);
                return Did::Ended;
            }
            let batch = by_token[text(after, "last_error").unwrap()];
            assert_eq!(batch.fence.as_deref(), text(before, "epoch"), "a late write changed the row");
            let blocked_until = number(before, "blocked_until").unwrap_or(i64::MIN);
            assert!(blocked_until <= event.at.as_millisecond(), "a failure counted during a block");
            match streaks {
                (_, None) => {
                    assert_eq!(by_id[text(after, "epoch").unwrap()].token, batch.token);
                    self.check_block(batch, before, after, event.at);
                    Did::Blocked
                }
                (None, Some(streak)) => {
                    assert_eq!(by_id[streak].token, batch.token);
                    self.check_count(batch, before, after);
                    Did::Started
                }
                (Some(before_it), Some(streak)) => {
                    assert_eq!(before_it, streak, "a streak became another");
                    self.check_count(batch, before, after);
                    Did::Added
                }
            }
        };
        self.events.iter().enumerate().map(explain).collect()
    }

    fn check_end(&self, index: usize, before: Option<&Row>) {
        assert!(text(before, "streak").is_some(), "a streak ended that was not there");
        let late = self.events[index].fate == Fate::DropThenProceed;
        let may_have = |batch: &&Batch| {
            batch.has_success()
                && batch.span.0 <= index
                && (late || index < batch.span.1)
                && batch.fence.as_deref() == text(before, "epoch")
        };
        assert!(self.batches.iter().any(|batch| may_have(&batch)), "no success ended this streak");
    }

    /// A live streak's failures, and the nothing that a streak begins from.
    fn live(row: Option<&Row>) -> i64 {
        text(row, "streak").map_or(0, |_| number(row, "failures").unwrap())
    }

    fn check_count(&self, batch: &Batch, before: Option<&Row>, after: Option<&Row>) {
        let counted = Self::live(after) - Self::live(before);
        assert_eq!(counted, batch.trailing(), "{batch:?} counted {counted}");
        assert_eq!(text(after, "epoch"), text(before, "epoch"));
        let passed = |failures: i64| {
            let share = 100 * failures;
            [90, 70, 50].into_iter().find(|percent| share >= percent * i64::from(self.rule.threshold))
        };
        let (was, is) = (passed(Self::live(before)), passed(Self::live(after)));
        if self.rule.raises_notices && is > was {
            let id = format!("{}#{}", text(after, "streak").unwrap(), is.unwrap());
            assert_eq!(text(after, "warning"), Some(id.as_str()));
            assert!(number(after, "due_at").is_some());
        } else {
            assert_eq!(text(after, "warning"), text(before, "warning"));
        }
    }

    fn check_block(&self, batch: &Batch, before: Option<&Row>, after: Option<&Row>, at: Timestamp) {
        let most = if batch.has_success() { batch.leading().max(batch.trailing()) } else { batch.leading() };
        let reached = Self::live(before) + most;
        assert!(reached >= i64::from(self.rule.threshold), "{batch:?} blocked at {reached}");
        let (since, until) = (number(after, "blocked_at").unwrap(), number(after, "blocked_until").unwrap());
        assert_eq!(until - since, i64::try_from(self.rule.block.as_millis()).unwrap());
        assert!(since <= at.as_millisecond());
        assert_eq!(number(after, "expires_at"), Some(seconds_after(until, Duration::from_secs(3600))));
        let notice = self.rule.raises_notices.then_some(batch.id.as_str());
        assert_eq!(text(after, "block_notice"), notice);
        assert_eq!(text(after, "release_notice"), notice);
        assert_eq!(text(after, "warning"), None);
    }

    /// Which writes arrived that count a batch's failures.
    fn counting(&self, batch: &Batch) -> Vec<(usize, &Event)> {
        let wanted = Value::Text(batch.token.clone());
        let carries = |event: &Event| {
            let values = event.body["ExpressionAttributeValues"].as_object();
            values.is_some_and(|values| {
                values
                    .values()
                    .any(|value| value["S"].as_str().is_some_and(|text| Value::Text(text.into()) == wanted))
            })
        };
        self.events.iter().enumerate().filter(|(_, event)| carries(event)).collect()
    }

    /// No counting write is repeated after one that was made, or may have been.
    fn check_arrivals(&self) {
        for batch in self.batches {
            let counting = self.counting(batch);
            let final_ones = counting.iter().enumerate().filter(|(_, (_, event))| {
                event.fate.is_ambiguous() || (event.made && event.fate == Fate::Proceed)
            });
            let final_ones: Vec<usize> = final_ones.map(|(nth, _)| nth).collect();
            if batch.has_success() {
                // The failures before the success and those after it are counted by a write each.
                assert!(final_ones.len() <= 2, "{batch:?}: {counting:?}");
            } else if let Some(first) = final_ones.first() {
                assert_eq!(*first, counting.len() - 1, "{batch:?}: {counting:?}");
            }
            // A late write may be a block, by failures before a success that is recorded by then.
            let made_late = |event: &Event| event.made && event.fate == Fate::DropThenProceed;
            let late = counting.iter().any(|(_, event)| made_late(event)) && batch.has_success();
            let made = counting.iter().filter(|(_, event)| event.made).count();
            assert!(made <= 1 + usize::from(late), "{batch:?}: {counting:?}");
        }
    }

    /// The batch's result agrees with the history.
    fn check_batch(&self, batch: &Batch, did: &[Did]) {
        let counted = self.counting(batch).into_iter().find(|(_, event)| event.made);
        let counted = counted.map(|(index, _)| (index, did[index]));
        let (began, ended) = batch.span;
        match batch.came {
            Some(Recorded::Yes) => {
                let blocked = matches!(counted, Some((_, Did::Blocked)));
                assert!(!blocked || self.faults, "{batch:?}: {counted:?}");
                if batch.trailing() > 0 && !self.faults {
                    assert!(counted.is_some(), "{batch:?} was not counted");
                }
                if batch.has_success() {
                    let until = counted.map_or(ended, |(index, _)| index.min(ended));
                    let free = (began..=until).any(|writes| self.is_free(writes, batch));
                    assert!(free, "{batch:?}: its success was lost");
                }
            }
            Some(Recorded::Blocked) => {
                let blocked = matches!(counted, Some((_, Did::Blocked)));
                assert!(blocked || (counted.is_none() && self.faults), "{batch:?}: {counted:?}");
            }
            Some(Recorded::Late) => {
                assert!(counted.is_none() || self.faults, "{batch:?}: {counted:?}");
                let shut = |writes| {
                    let row = self.state(writes);
                    text(row, "epoch") != batch.fence.as_deref()
                };
                assert!((began..=ended).any(shut), "{batch:?} was not late");
            }
            Some(Recorded::Contended) => panic!("{batch:?} was contended"),
            None => assert!(self.faults, "{batch:?} failed without a fault"),
        }
    }

    /// Whether there was no streak in the batch's period after this number of writes.
    fn is_free(&self, writes: usize, batch: &Batch) -> bool {
        let row = self.state(writes);
        text(row, "streak").is_none() && text(row, "epoch") == batch.fence.as_deref()
    }
}
