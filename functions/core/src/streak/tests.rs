use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::row::*;
use super::rule::band;
use super::*;
use crate::fixtures::webhook;
use crate::id::{AccountId, WebhookId};
use crate::item::ItemType;
use crate::tally::{self, Deaths, OldestDeath};
use crate::transition::{Effect, Row, Value};

const START: i64 = 1_700_000_000;
const HOUR: i64 = 3600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn rule(threshold: u32) -> Rule {
    Rule { threshold, block: Duration::from_secs(4 * 3600), raises_notices: true }
}

/// A live streak, not of time-outs alone.
fn failing(streak: &str, failures: u32) -> Phase {
    Phase::Failing { streak: streak.to_owned(), failures, timeouts_only: false }
}

/// `F` is a failure, whose error is its place, `T` a time-out, and `S` a success.
fn results(pattern: &str) -> Results {
    let read = |(place, result): (usize, char)| match result {
        'S' => None,
        result => Some(Failed { error: format!("error {place}"), timed_out: result == 'T' }),
    };
    Results::of(&pattern.chars().enumerate().map(read).collect::<Vec<_>>()).unwrap()
}

/// A table with one row, which makes every write that it is asked for.
struct Table {
    row: Option<Row>,
    rule: Rule,
    now: Timestamp,
    ids: u32,
    /// The writes that were made.
    made: Vec<&'static str>,
    /// How many writes were refused.
    refused: u32,
}

impl Table {
    fn new(rule: Rule) -> Self {
        Self { row: None, rule, now: at(0), ids: 0, made: Vec::new(), refused: 0 }
    }

    fn failing(threshold: u32, failures: u32) -> Self {
        let mut table = Self::new(rule(threshold));
        assert_eq!(table.record(&"F".repeat(failures as usize)), Recorded::Yes);
        table.made.clear();
        table
    }

    fn state(&self) -> State {
        State::of(self.row.as_ref(), self.now)
    }

    fn begin(&mut self, before: &State, pattern: &str) -> (Recording, Step) {
        self.ids += 1;
        Recording::begin(results(pattern), before, self.rule, format!("id {}", self.ids), self.now)
    }

    fn answer(&mut self, step: &Step) -> Answer {
        match step {
            Step::Read => Answer::Row(self.row.clone()),
            Step::Write(write) if write.apply(&mut self.row) => {
                self.made.push(write.name);
                Answer::Made
            }
            Step::Write(_) => {
                self.refused += 1;
                Answer::Refused(self.row.clone())
            }
            Step::Done(recorded) => panic!("{recorded:?}"),
        }
    }

    fn go_on(&mut self, recording: &mut Recording, mut step: Step) -> Recorded {
        loop {
            if let Step::Done(recorded) = step {
                return recorded;
            }
            let answer = self.answer(&step);
            step = recording.next(&answer, self.now);
        }
    }

    /// Records what came of a batch that read `before` at its start.
    fn record_after(&mut self, before: &State, pattern: &str) -> Recorded {
        let (mut recording, step) = self.begin(before, pattern);
        self.go_on(&mut recording, step)
    }

    fn record(&mut self, pattern: &str) -> Recorded {
        self.record_after(&self.state(), pattern)
    }

    fn failures(&self) -> u32 {
        self.state().failures()
    }

    fn is_blocked(&self) -> bool {
        matches!(self.state().phase, Phase::Blocked { .. })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.row.as_ref()?.get(name)
    }

    fn unblock(&mut self, id: &str) -> bool {
        unblock(id, self.now).apply(&mut self.row)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn a_webhook_sets_its_own_numbers_and_notices_raise_no_notice() {
    let of = |settings, item_type| rule(1000).of_webhook(&webhook(settings).settings, &item_type);
    assert_eq!(of(json!({}), ItemType::MESSAGE), rule(1000));
    let own = of(json!({"threshold": 7, "block_seconds": 60}), ItemType::NOTICE);
    assert_eq!(own, Rule { threshold: 7, block: Duration::from_secs(60), raises_notices: false });
}

#[test]
fn failures_below_the_threshold_add_up_in_one_row() {
    let mut table = Table::new(rule(1000));
    assert_eq!(table.record("FFF"), Recorded::Yes);
    assert_eq!(table.record("FF"), Recorded::Yes);
    assert_eq!(table.state().phase, failing("id 1", 5));
    assert_eq!(table.made, ["start", "add"]);
    assert_eq!(table.get(EXPIRES_AT), None);
    assert_eq!(table.get(LAST_ERROR), Some(&text("error 1")));
}

#[test]
fn a_block_begins_at_the_threshold_and_lasts_its_time() {
    let mut table = Table::failing(1000, 999);
    assert!(!table.is_blocked());
    assert_eq!(table.record("F"), Recorded::Blocked);
    let blocked = Phase::Blocked { at: at(0), until: at(4 * HOUR) };
    assert_eq!(table.state(), State { epoch: Some("id 2".into()), phase: blocked.clone() });
    table.now = at(4 * HOUR).checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(table.state().phase, blocked);
    table.now = at(4 * HOUR);
    assert_eq!(table.state().phase, Phase::Open);
}

#[test]
fn failures_beyond_the_threshold_block_and_show_no_more_than_it() {
    for before in [0, 1, 9] {
        let mut table = if before == 0 { Table::new(rule(10)) } else { Table::failing(10, before) };
        assert_eq!(table.record(&"F".repeat(25)), Recorded::Blocked);
        assert_eq!(table.made, ["block"]);
        assert_eq!(table.get(FAILURES), Some(&Value::Number(10)));
        assert!(table.is_blocked());
    }
}

#[test]
fn a_block_leaves_its_notices_and_its_expiry_in_the_same_write() {
    let mut table = Table::failing(3, 2);
    assert_eq!(table.record("F"), Recorded::Blocked);
    assert_eq!(table.get(BLOCK_NOTICE), Some(&text("id 2")));
    assert_eq!(table.get(RELEASE_NOTICE), Some(&text("id 2")));
    assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(0).as_millisecond())));
    assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 5 * HOUR)));
    assert_eq!((table.get(STREAK), table.get(WARNING)), (None, None));
}

#[test]
fn leading_failures_at_the_threshold_block_and_the_rest_is_late() {
    let mut table = Table::failing(5, 3);
    assert_eq!(table.record("FFSF"), Recorded::Blocked);
    assert_eq!(table.made, ["block"]);
    assert!(table.is_blocked());
    assert_eq!(table.get(LAST_ERROR), Some(&text("error 1")), "what came after them changes nothing");
}

#[test]
fn leading_failures_below_the_threshold_end_with_the_success() {
    let mut table = Table::failing(5, 3);
    assert_eq!(table.record("FS"), Recorded::Yes);
    assert_eq!((table.made.as_slice(), &table.row), (["end"].as_slice(), &None));
}

#[test]
fn trailing_failures_are_the_new_streak() {
    let mut table = Table::failing(5, 3);
    assert_eq!(table.record("FSFSFF"), Recorded::Yes);
    assert_eq!(table.state().phase, failing("id 2", 2));
    assert_eq!(table.made, ["end", "start"]);
    assert_eq!(table.record("SFFFFF"), Recorded::Blocked, "they may be as many as the threshold");
}

#[test]
fn a_success_without_a_streak_writes_nothing() {
    let mut table = Table::new(rule(3));
    assert_eq!(table.record("SSS"), Recorded::Yes);
    assert_eq!((table.made.len(), &table.row), (0, &None));
    table.record("FFF");
    table.now = at(4 * HOUR);
    let row = table.row.clone();
    assert_eq!(table.record("FS"), Recorded::Yes);
    assert_eq!((table.made.as_slice(), table.row), (["block"].as_slice(), row));
}

#[test]
fn a_success_reads_the_row_after_its_response() {
    let mut table = Table::new(rule(3));
    let before = table.state();
    table.record("FF");
    assert_eq!(table.begin(&before, "S").1, Step::Read);
    assert_eq!(table.record_after(&before, "S"), Recorded::Yes);
    assert_eq!(table.failures(), 0);
}

#[test]
fn a_success_ends_exactly_the_streak_that_it_found() {
    let mut table = Table::failing(9, 3);
    let (mut recording, step) = table.begin(&table.state(), "S");
    let write = recording.next(&table.answer(&step), table.now);
    assert_eq!(table.record("SFF"), Recorded::Yes);
    assert_eq!(table.go_on(&mut recording, write), Recorded::Yes);
    assert_eq!(table.failures(), 2, "the streak that began meanwhile goes on");
}

#[test]
fn a_success_that_ends_a_streak_after_a_block_keeps_the_fence() {
    let mut table = Table::failing(3, 2);
    table.record("F");
    table.now = at(5 * HOUR);
    table.record("FF");
    assert_eq!((table.failures(), table.get(EXPIRES_AT)), (2, None), "a live streak does not expire");
    assert_eq!(table.record("S"), Recorded::Yes);
    assert_eq!(table.state(), State { epoch: Some("id 2".into()), phase: Phase::Open });
    assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 6 * HOUR)));
}

#[test]
fn a_counting_write_is_not_repeated_when_its_answer_is_lost() {
    for before in [0, 1] {
        let mut table = if before == 0 { Table::new(rule(3)) } else { Table::failing(3, before) };
        let (mut recording, step) = table.begin(&table.state(), "F");
        assert!(matches!(step, Step::Write(_)));
        assert_eq!(recording.next(&Answer::Lost, table.now), Step::Done(Recorded::Yes));
    }
    let mut table = Table::new(rule(3));
    let (mut recording, step) = table.begin(&table.state(), "SF");
    let step = recording.next(&table.answer(&step), table.now);
    assert!(matches!(step, Step::Write(write) if write.name == "start"));
    assert_eq!(recording.next(&Answer::Lost, table.now), Step::Done(Recorded::Yes));
}

#[test]
fn a_block_whose_answer_is_lost_is_reported_only_if_it_is_there() {
    for (was_made, recorded) in [(true, Recorded::Blocked), (false, Recorded::Yes)] {
        let mut table = Table::failing(3, 2);
        let (mut recording, step) = table.begin(&table.state(), "F");
        assert!(matches!(&step, Step::Write(write) if write.name == "block"));
        if was_made {
            assert_eq!(table.answer(&step), Answer::Made);
        }
        assert_eq!(recording.next(&Answer::Lost, table.now), Step::Read);
        assert_eq!(recording.next(&Answer::Row(table.row.clone()), table.now), Step::Done(recorded));
    }
}

#[test]
fn a_lost_end_is_repeated_until_its_streak_is_gone() {
    for made in [true, false] {
        let mut table = Table::failing(9, 3);
        let (mut recording, step) = table.begin(&table.state(), "SF");
        let Step::Write(write) = recording.next(&table.answer(&step), table.now) else { panic!() };
        assert_eq!(write.name, "end");
        if made {
            assert!(write.apply(&mut table.row));
        }
        let step = recording.next(&Answer::Lost, table.now);
        assert_eq!(step, Step::Read);
        assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
        assert_eq!(table.state().phase, failing("id 2", 1));
    }
}

#[test]
fn a_lost_end_ends_no_streak_that_began_after_it() {
    let mut table = Table::failing(4, 2);
    let (mut recording, step) = table.begin(&table.state(), "FS");
    let step = recording.next(&table.answer(&step), table.now);
    assert_eq!(table.answer(&step), Answer::Made);
    table.record("FFF");
    let step = recording.next(&Answer::Lost, table.now);
    assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
    assert_eq!(table.failures(), 3, "and its leading failure is not counted after its success");
}

#[test]
fn a_success_behind_a_lost_block_is_recorded_if_none_began() {
    let mut table = Table::failing(5, 4);
    let (mut recording, step) = table.begin(&table.state(), "FSF");
    let step = recording.next(&table.answer(&step), table.now);
    assert!(matches!(&step, Step::Write(write) if write.name == "block"));
    let step = recording.next(&Answer::Lost, table.now);
    assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
    assert_eq!(table.state().phase, failing("id 2", 1));
}

#[test]
fn a_block_whose_answer_is_lost_is_found_by_the_read_after_it() {
    let mut table = Table::failing(5, 4);
    let (mut recording, step) = table.begin(&table.state(), "FS");
    let step = recording.next(&table.answer(&step), table.now);
    assert_eq!(table.answer(&step), Answer::Made);
    let row = table.row.clone();
    let step = recording.next(&Answer::Lost, table.now);
    assert_eq!(table.go_on(&mut recording, step), Recorded::Blocked);
    assert_eq!(table.row, row);
}

#[test]
fn a_late_block_counts_no_leading_failures_on_a_later_streak() {
    let mut table = Table::failing(5, 4);
    let (mut recording, step) = table.begin(&table.state(), "FS");
    let Step::Write(delayed) = recording.next(&table.answer(&step), table.now) else { panic!() };
    let step = recording.next(&Answer::Lost, table.now);
    assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
    table.record("FFFF");
    assert!(!delayed.apply(&mut table.row));
}

#[test]
fn late_results_change_nothing() {
    let block = |table: &mut Table| assert_eq!(table.record("FFF"), Recorded::Blocked);
    let end_of_block = |table: &mut Table| table.now = at(4 * HOUR);
    let new_streak = |table: &mut Table| assert_eq!(table.record("F"), Recorded::Yes);
    let unblock = |table: &mut Table| assert!(table.unblock("unblock"));
    type Event<'a> = &'a dyn Fn(&mut Table);
    let histories: [&[Event<'_>]; 7] = [
        &[&block],
        &[&block, &end_of_block],
        &[&block, &end_of_block, &new_streak],
        &[&block, &unblock],
        &[&block, &unblock, &new_streak],
        &[&new_streak, &unblock],
        &[&new_streak, &unblock, &new_streak],
    ];
    for (index, history) in histories.iter().enumerate() {
        for streak in ["", "F"] {
            for pattern in ["F", "FF", "FFF", "S", "SF", "FS", "FFFS", "SFFF"] {
                let mut table = Table::new(rule(3));
                if !streak.is_empty() {
                    table.record(streak);
                }
                let before = table.state();
                history.iter().for_each(|event| event(&mut table));
                let row = table.row.clone();
                let recorded = table.record_after(&before, pattern);
                assert_eq!(recorded, Recorded::Late, "{index} {streak} {pattern}");
                assert_eq!(table.row, row, "{index} {streak} {pattern}");
            }
        }
    }
}

#[test]
fn a_batch_whose_fence_was_deleted_meanwhile_is_not_late() {
    for pattern in ["F", "SF", "S"] {
        let mut table = Table::failing(3, 2);
        table.record("F");
        table.now = at(5 * HOUR);
        let before = table.state();
        table.row = None;
        assert_eq!(table.record("FF"), Recorded::Yes);
        let blocks = pattern == "F";
        let recorded = if blocks { Recorded::Blocked } else { Recorded::Yes };
        assert_eq!(table.record_after(&before, pattern), recorded);
        assert_eq!((table.is_blocked(), table.failures() <= 1), (blocks, true));
    }
}

#[test]
fn an_ended_blocks_row_starts_a_streak_from_zero_without_expiry() {
    let mut table = Table::failing(3, 2);
    table.record("F");
    discard("id 2", 7).apply(&mut table.row);
    table.now = at(4 * HOUR);
    assert_eq!(table.failures(), 0);
    table.made.clear();
    assert_eq!(table.record("FF"), Recorded::Yes);
    assert_eq!(table.state().phase, failing("id 3", 2));
    for gone in [EXPIRES_AT, BLOCKED_AT, BLOCKED_UNTIL, DISCARDED] {
        assert_eq!(table.get(gone), None);
    }
    assert_eq!(table.get(RELEASE_NOTICE), Some(&text("id 2")), "what was not told yet still is to be");
    assert_eq!(table.record("F"), Recorded::Blocked);
    assert_eq!(table.made, ["start", "block"]);
    assert_eq!(table.state().epoch.as_deref(), Some("id 4"));
}

#[test]
fn thresholds_of_one_and_two_block_at_their_failure() {
    let mut table = Table::new(rule(1));
    assert_eq!(table.record("S"), Recorded::Yes);
    assert_eq!(table.record("SF"), Recorded::Blocked);
    let mut table = Table::new(rule(2));
    assert_eq!(table.record("F"), Recorded::Yes);
    assert_eq!(table.get(WARNING), Some(&text("id 1#50")));
    assert_eq!(table.record("FS"), Recorded::Blocked);
}

#[test]
fn a_threshold_lowered_below_the_count_blocks_the_next_time() {
    let mut table = Table::failing(100, 60);
    table.rule = rule(50);
    assert_eq!(table.record("SF"), Recorded::Yes, "a success still ends it");
    assert_eq!(table.failures(), 1);
    let mut table = Table::failing(100, 60);
    table.rule = rule(50);
    assert_eq!(table.record("F"), Recorded::Blocked);
    assert_eq!(table.get(FAILURES), Some(&Value::Number(50)));
}

#[test]
fn the_record_that_passes_warnings_leaves_the_highest_one() {
    let mut table = Table::failing(1000, 499);
    assert_eq!(table.get(WARNING), None);
    table.now = at(9);
    table.record("F");
    assert_eq!(table.get(WARNING), Some(&text("id 1#50")));
    assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(9).as_millisecond())));
    table.now = at(10);
    table.record(&"F".repeat(199));
    assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(9).as_millisecond())), "nothing new to tell");
    table.record(&"F".repeat(201));
    assert_eq!(table.get(WARNING), Some(&text("id 1#90")), "and not 70 as well");
    assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(10).as_millisecond())));
}

#[test]
fn what_is_not_told_leaves_no_notice_in_any_transition() {
    let mut table = Table::new(Rule { raises_notices: false, ..rule(10) });
    for pattern in ["FFFFF", "FFFF", "F"] {
        table.record(pattern);
        for notice in [WARNING, BLOCK_NOTICE, RELEASE_NOTICE, DUE_AT] {
            assert_eq!(table.get(notice), None);
        }
    }
    assert!(table.is_blocked());
}

#[test]
fn an_unblock_ends_a_block_or_a_streak_and_keeps_a_fence() {
    for failures in [1, 3] {
        let mut table = Table::new(rule(3));
        table.record(&"F".repeat(failures));
        table.now = at(60);
        assert!(table.unblock("word"));
        assert_eq!(table.state(), State { epoch: Some("word".into()), phase: Phase::Open });
        assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 60 + HOUR)));
        assert_eq!((table.get(FAILURES), table.get(BLOCKED_UNTIL)), (None, None));
        assert_eq!(table.record("FF"), Recorded::Yes);
        assert_eq!((table.failures(), table.get(EXPIRES_AT)), (2, None));
    }
}

#[test]
fn an_unblock_is_refused_where_there_is_nothing_to_end() {
    let mut table = Table::new(rule(3));
    assert!(!table.unblock("word"));
    table.record("FFF");
    table.now = at(4 * HOUR);
    assert!(!table.unblock("word"), "the block is over by itself");
    table.record("F");
    assert!(table.unblock("word"));
    assert!(!table.unblock("again"));
    assert_eq!(table.state().epoch.as_deref(), Some("word"));
}

#[test]
fn an_unblock_is_due_only_where_a_release_notice_is_pending() {
    let mut table = Table::failing(3, 2);
    assert!(table.row.as_ref().unwrap().contains_key(WARNING));
    assert!(unblock_untold("word", table.now).apply(&mut table.row));
    for gone in [DUE_AT, WARNING, STREAK, FAILURES] {
        assert_eq!(table.get(gone), None);
    }
    assert_eq!(table.state(), State { epoch: Some("word".into()), phase: Phase::Open });
    assert!(!unblock_untold("again", table.now).apply(&mut table.row), "there is nothing to end");
    table.record("FFF");
    assert!(table.is_blocked());
    assert!(!unblock_untold("again", table.now).apply(&mut table.row), "there is something to tell");
    assert!(table.unblock("again"));
    assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(0).as_millisecond())));
}

#[test]
fn one_of_two_retirings_fits_each_row_and_leaves_a_dated_fence() {
    for pattern in ["", "F", "FF", "FFF", "FFFS"] {
        for blocks_ago in [0, 5 * HOUR] {
            for deleted in [false, true] {
                let mut table = Table::new(rule(3));
                if !pattern.is_empty() {
                    table.record(pattern);
                }
                table.now = at(blocks_ago + 7);
                let blocked = pattern.starts_with("FFF");
                let kinds = if deleted {
                    vec![Over::Deleted]
                } else {
                    vec![Over::Replaced, Over::ReplacedWithRelease]
                };
                let made: Vec<_> =
                    kinds.into_iter().filter(|over| retire(*over, table.now).apply(&mut table.row)).collect();
                let expected = match (deleted, blocked) {
                    (true, _) => Over::Deleted,
                    (false, true) => Over::ReplacedWithRelease,
                    (false, false) => Over::Replaced,
                };
                assert_eq!(made, [expected], "{pattern}");
                assert_eq!(table.state(), State { epoch: Some(RETIRED.into()), phase: Phase::Open });
                assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + blocks_ago + 7 + HOUR)));
                let raises_notices = expected == Over::ReplacedWithRelease;
                assert_eq!(table.get(DUE_AT).is_some(), raises_notices, "{pattern}");
                assert_eq!(table.get(RELEASE_NOTICE).is_some(), raises_notices, "{pattern}");
            }
        }
    }
}

#[test]
fn no_record_is_ever_made_on_a_row_whose_revision_is_over() {
    for history in ["", "F", "FF", "FFF"] {
        for (over, other) in [(Over::Replaced, Over::ReplacedWithRelease), (Over::Deleted, Over::Deleted)] {
            for pattern in ["F", "FF", "FFF", "S", "SF", "FS", "FFFS", "SFFF"] {
                for reads_after in [false, true] {
                    let mut table = Table::new(rule(3));
                    if !history.is_empty() {
                        table.record(history);
                    }
                    let before = table.state();
                    let retired = retire(over, table.now).apply(&mut table.row)
                        || retire(other, table.now).apply(&mut table.row);
                    assert!(retired);
                    let row = table.row.clone();
                    let before = if reads_after { table.state() } else { before };
                    assert_eq!(table.record_after(&before, pattern), Recorded::Late, "{history} {pattern}");
                    assert_eq!(table.row, row, "{history} {pattern}");
                }
            }
        }
    }
}

#[test]
fn a_streak_is_of_time_outs_until_another_failure_or_its_end() {
    let only = |table: &Table| matches!(table.state().phase, Phase::Failing { timeouts_only: true, .. });
    for (history, expected) in [
        ("T", true),
        ("TTT", true),
        ("TFT", false),
        ("FTT", false),
        ("FST", true),
        ("TSF", false),
        ("TSFTSTT", true),
    ] {
        let mut table = Table::new(rule(9));
        table.record(history);
        assert_eq!(only(&table), expected, "{history}");
        table.record("TT");
        assert_eq!(only(&table), expected, "a time-out more changes nothing: {history}");
        table.record("F");
        assert!(!only(&table), "{history}");
        table.record("T");
        assert!(!only(&table), "what was not a time-out stays one: {history}");
        table.record("S");
        table.record("T");
        assert!(only(&table), "a new streak is judged anew: {history}");
    }
    let mut table = Table::new(rule(3));
    table.record("TTT");
    assert_eq!(table.get(TIMEOUTS_ONLY), None, "a block has no streak");
    let mut table = Table::new(rule(3));
    table.record("T");
    assert!(table.unblock("word"));
    assert_eq!(table.get(TIMEOUTS_ONLY), None);
}

#[test]
fn a_count_above_a_lowered_threshold_is_shown_below_it() {
    assert_eq!([0, 1, 49, 50, 60].map(|failures| shown_failures(failures, 50)), [0, 1, 49, 49, 49]);
    assert_eq!(shown_failures(5, 1), 0);
}

#[test]
fn dropped_items_are_counted_only_for_their_block() {
    let mut table = Table::failing(3, 2);
    assert!(!discard("id 2", 1).apply(&mut table.row));
    table.record("F");
    assert!(discard("id 2", 4).apply(&mut table.row));
    assert!(discard("id 2", 5).apply(&mut table.row));
    assert_eq!(table.get(DISCARDED), Some(&Value::Number(9)));
    assert!(!discard("id 1", 1).apply(&mut table.row));
    assert!(table.unblock("word"));
    assert!(!discard("id 2", 1).apply(&mut table.row));
    assert!(!discard("word", 1).apply(&mut table.row));
}

#[test]
fn endless_changes_by_others_end_a_recording_as_contended() {
    let mut table = Table::failing(1_000_000, 1);
    let (mut recording, mut step) = table.begin(&table.state(), "F");
    for _ in 0..=MAX_REFUSALS {
        assert!(matches!(step, Step::Write(_)));
        step = recording.next(&Answer::Refused(table.row.clone()), table.now);
    }
    assert_eq!(step, Step::Done(Recorded::Contended));
}

/// The rule over the flat sequence of results, told without rows or writes: None while blocked.
fn reference(threshold: u32, count: u32, pattern: &str) -> Option<u32> {
    let first = pattern.find('S').unwrap_or(pattern.len());
    let last = pattern.rfind('S').unwrap_or(pattern.len());
    let mut count = count;
    for (place, result) in pattern.chars().enumerate() {
        match result {
            'S' => count = 0,
            // Between two successes of one batch nothing is recorded.
            _ if first < place && place < last => {}
            _ => count += 1,
        }
        if count >= threshold {
            return None;
        }
    }
    Some(count)
}

/// A row that is open at `at(0)`, as any history may have left it.
fn open_row() -> impl Strategy<Value = Option<Row>> {
    let fence = prop::option::of(prop::bool::ANY);
    (fence, prop::option::of(1..60u32)).prop_map(|(fence, failures)| {
        let mut row = Row::new();
        if let Some(ended) = fence {
            row.insert(EPOCH, text("fence"));
            if ended && failures.is_none() {
                row.extend([
                    (FAILURES, Value::Number(1000)),
                    (BLOCKED_AT, Value::Number(at(-9).as_millisecond())),
                    (BLOCKED_UNTIL, Value::Number(at(0).as_millisecond())),
                ]);
            }
        }
        if let Some(failures) = failures {
            row.extend([(STREAK, text("streak")), (FAILURES, Value::Number(i64::from(failures)))]);
        }
        (!row.is_empty()).then_some(row)
    })
}

proptest! {
    #[test]
    fn exactly_one_counting_write_fits_an_open_row(
        row in open_row(), threshold in 1..60u32, failures in 1..70u32, known in 1..60u32,
    ) {
        let mut table = Table { row, ..Table::new(rule(threshold)) };
        let state = table.state();
        let fence = state.epoch.as_deref();
        let counted = Counted { failures, last_error: String::new(), timeouts_only: false };
        let mut fits = Vec::new();
        if failures < threshold {
            fits.push(start(fence, &counted, table.rule, "new", table.now));
        }
        if state.failures() + failures < threshold {
            fits.push(add(fence, &counted, table.rule, "streak", state.failures().max(1), table.now));
        }
        fits.push(block(fence, &counted, table.rule, "new", table.now));
        fits.retain(|write| write.condition.holds(table.row.as_ref()));
        prop_assert_eq!(fits.len(), 1);

        // The machine finds it, however old what it read before is.
        let old = failing("old", known);
        let before = State { epoch: state.epoch.clone(), phase: old };
        let total = state.failures() + failures;
        let recorded = table.record_after(&before, &"F".repeat(failures as usize));
        prop_assert_eq!(&table.made, &[fits[0].name]);
        prop_assert!(table.refused <= 1);
        prop_assert_eq!(recorded == Recorded::Blocked, total >= threshold);
        prop_assert_eq!(table.is_blocked(), total >= threshold);
        if total < threshold {
            prop_assert_eq!(table.failures(), total);
        }
    }

    #[test]
    fn batches_one_after_the_other_agree_with_a_plain_counter(
        threshold in 1..20u32, batches in prop::collection::vec("[FS]{1,8}|F{1,8}", 1..60),
    ) {
        let mut table = Table::new(rule(threshold));
        let mut count = Some(0);
        for pattern in &batches {
            let Some(before) = count else {
                prop_assert!(table.is_blocked());
                table.now = table.now.checked_add(table.rule.block).unwrap();
                prop_assert!(!table.is_blocked());
                count = Some(0);
                continue;
            };
            prop_assert_eq!(table.failures(), before);
            count = reference(threshold, before, pattern);
            let recorded = if count.is_some() { Recorded::Yes } else { Recorded::Blocked };
            prop_assert_eq!(table.record(pattern), recorded);
            prop_assert_eq!(table.is_blocked(), count.is_none());
            let shown = table.get(FAILURES).cloned().unwrap_or(Value::Number(0));
            prop_assert!(shown <= Value::Number(i64::from(threshold)));
        }
        prop_assert_eq!(table.refused, 0, "where nothing is concurrent nothing is refused");
    }

    #[test]
    fn a_band_is_the_counts_that_pass_the_same_warnings(
        known in 1..300u32, more in 1..300u32, beyond in 1..300u32,
    ) {
        let threshold = known + more + beyond;
        let passes = |count: u32| {
            let passed = |count: u32| WARNINGS.map(|percent| count * 100 >= threshold * percent);
            (count + more < threshold).then(|| (passed(count), passed(count + more)))
        };
        let expected: Vec<_> = (1..threshold).filter(|&count| passes(count) == passes(known)).collect();
        let (least, most) = band(known, more, rule(threshold));
        prop_assert_eq!((least..=most).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_warning_is_left_once_by_any_batches(
        threshold in 2..400u32, batches in prop::collection::vec((1..60u32, prop::bool::ANY), 1..40),
    ) {
        let mut table = Table::new(rule(threshold));
        let mut old = table.state();
        let mut raises_notices = Vec::new();
        for (failures, is_old) in batches {
            let total = table.failures() + failures;
            if total >= threshold {
                break;
            }
            let before = if is_old { old.clone() } else { table.state() };
            old = table.state();
            let due = table.row.as_mut().and_then(|row| row.remove(WARNING));
            prop_assert_eq!(due, None);
            prop_assert_eq!(table.record_after(&before, &"F".repeat(failures as usize)), Recorded::Yes);
            if let Some(Value::Text(id)) = table.row.as_mut().and_then(|row| row.remove(WARNING)) {
                raises_notices.push(id);
            }
            let streak = match table.state().phase {
                Phase::Failing { streak, .. } => streak,
                phase => panic!("{phase:?}"),
            };
            let highest = WARNINGS.into_iter().rfind(|percent| total * 100 >= threshold * percent);
            prop_assert_eq!(raises_notices.last().cloned(), highest.map(|percent| format!("{streak}#{percent}")));
        }
        let mut once = raises_notices.clone();
        once.dedup();
        prop_assert_eq!(once, raises_notices);
    }
}

#[test]
fn a_row_is_listed_from_its_first_failure_to_its_end() {
    let counted = Counted { failures: 1, last_error: "e".to_owned(), timeouts_only: false };
    let deaths = Deaths {
        account: AccountId::from_bits(1),
        webhook: WebhookId::from_bits(2),
        item_type: ItemType::EVENT,
        items: 1,
        oldest: OldestDeath { item: "i".to_owned(), accepted_at: at(0), cause: "exhausted".to_owned() },
    };
    for (write, expected) in [
        (start(None, &counted, rule(1000), "s", at(0)), Some(true)),
        // Also a streak that an older version began, from its next failure on.
        (add(None, &counted, rule(1000), "s", 1, at(0)), Some(true)),
        (block(None, &counted, rule(1), "e", at(0)), Some(true)),
        (end(Some("e"), "s", at(0)), Some(false)),
        (unblock("e", at(0)), Some(false)),
        (unblock_untold("e", at(0)), Some(false)),
        (retire(Over::ReplacedWithRelease, at(0)), Some(false)),
        (retire(Over::Replaced, at(0)), Some(false)),
        (retire(Over::Deleted, at(0)), Some(false)),
        (discard("e", 1), None),
        (tally::count_deaths(None, &deaths, at(0)), Some(true)),
        (tally::count_dropped(1, at(0)), None),
    ] {
        let Effect::Update(changes) = &write.effect else { panic!("{}", write.name) };
        assert_eq!(listing(changes), expected, "{}", write.name);
    }
    assert_eq!(
        end(None, "s", at(0)).effect,
        Effect::Delete,
        "the row goes, and with it its place in the list"
    );
}
