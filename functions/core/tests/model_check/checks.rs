//! The bounds within which the protocol is checked, and its broken variants.
//!
//! A check explores all worlds within its bounds. Each has its own: three functions, lost answers, time, clocks
//! and others, for all at once would be too many.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    faults::Fault,
    world::{
        Action, BLOCKED_AT_IT, ENDS_WHAT_IT_FOUND, EXACT, Event, FENCE_STAYS, INTERRUPTS, LATE_IS_NOTHING,
        NEVER_EARLY, NO_ATTEMPT, NOT_DELETED, NOTHING_DROPPED, ONCE_IN_ORDER, ONE_BLOCK, PROPERTIES, Seen,
        Setting,
    },
};

/// Two functions with one clock, while no time passes and no answer is lost.
fn two_functions() -> Setting {
    Setting {
        skews: &[0, 0],
        fence: 2,
        horizon: 0,
        refusals: 1,
        batches: None,
        patterns: &["F", "S", "FF", "FS", "SF"],
        losses: 0,
        unblocks: 0,
        revisions: 0,
        told: false,
        fault: None,
        awaited: None,
        seen: Arc::new(Seen::default()),
    }
}

/// Explores all worlds; no property is broken in any, and each of the events happened.
fn check(name: &str, setting: Setting, events: &[Event]) {
    let seen = Arc::clone(&setting.seen);
    let checker = setting.checker().threads(2).spawn_bfs().join();
    let counts: Vec<_> = Event::ALL.iter().map(|&event| format!("{event:?} {}", seen.times(event))).collect();
    println!(
        "{name}: {} states, {} transitions, at most {} actions deep; {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth() - 1,
        counts.join(", "),
    );
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: broken: {property}: {:#?}", path.into_actions());
    }
    for &event in events {
        assert!(seen.times(event) > 0, "{name}: {event:?} never happened");
    }
}

/// Within which bounds a fault shows, and which property it breaks.
fn variant(fault: Fault) -> (&'static str, Setting) {
    let two = two_functions();
    match fault {
        Fault::StartWithoutEpoch => (LATE_IS_NOTHING, Setting { horizon: 3, ..two }),
        Fault::BlockWithoutEpoch => {
            (LATE_IS_NOTHING, Setting { horizon: 3, patterns: &["F", "S", "FFF"], ..two })
        }
        Fault::StaleReadForASuccess => (INTERRUPTS, two),
        Fault::CountingRepeated => (NEVER_EARLY, Setting { losses: 1, ..two }),
        Fault::ExpiryAtTheBlocksEnd => (FENCE_STAYS, Setting { horizon: 3, ..two }),
        Fault::AddWithoutBound => (BLOCKED_AT_IT, two),
        Fault::BlockWithoutCount => (NEVER_EARLY, two),
        Fault::EndWithoutName => (ENDS_WHAT_IT_FOUND, two),
        Fault::DeletedFenceIsLate => (NOTHING_DROPPED, Setting { horizon: 3, ..two }),
        Fault::BlockWithoutName => (ONCE_IN_ORDER, Setting { losses: 1, patterns: &["F", "S", "FS"], ..two }),
        Fault::StartOverAStreak => (EXACT, two),
        Fault::StartKeepsExpiry => (NOT_DELETED, Setting { horizon: 4, ..two }),
        Fault::BlockOverABlock => (ONE_BLOCK, Setting { patterns: &["F", "S", "FFF"], ..two }),
        Fault::BlockNotRead => (NO_ATTEMPT, two),
    }
}

/// The shortest way in which a fault breaks a property.
#[derive(Clone)]
struct Counterexample {
    property: &'static str,
    actions: Vec<Action>,
}

/// The counterexample of a fault, searched for once.
fn counterexample(fault: Fault) -> Counterexample {
    static FOUND: [OnceLock<Counterexample>; Fault::ALL.len()] =
        [const { OnceLock::new() }; Fault::ALL.len()];
    FOUND[fault as usize]
        .get_or_init(|| {
            let (property, setting) = variant(fault);
            search(fault, property, setting)
        })
        .clone()
}

fn search(fault: Fault, property: &'static str, setting: Setting) -> Counterexample {
    let setting = Setting { fault: Some(fault), awaited: Some(property), ..setting };
    let mut shortest: Option<Vec<_>> = None;
    let mut states = 0;
    // The checker finds a short one; whether there is a shorter one, a search that goes less deep tells.
    loop {
        let awaited = HasDiscoveries::AllOf(BTreeSet::from([property]));
        let mut builder = setting.clone().checker().finish_when(awaited);
        if let Some(actions) = &shortest {
            builder = builder.target_max_depth(actions.len() + 1);
        }
        let checker = builder.spawn_bfs().join();
        states = states.max(checker.unique_state_count());
        match checker.discovery(property) {
            Some(path) => {
                let actions = path.into_actions();
                assert!(shortest.as_ref().is_none_or(|longer| actions.len() < longer.len()));
                shortest = Some(actions);
            }
            None => break,
        }
    }
    let actions = shortest.unwrap_or_else(|| panic!("{fault:?} was not noticed: {property}"));
    println!("{fault:?}: `{property}` is broken by {} actions ({states} states): {actions:?}", actions.len());
    Counterexample { property, actions }
}

/// Whether a fault breaks this property, and how long it takes.
fn breaks(fault: Fault, property: &str) {
    let found = counterexample(fault);
    assert_eq!(found.property, property);
    assert!(!found.actions.is_empty());
}

#[test]
fn every_property_is_broken_by_a_broken_protocol() {
    let broken: BTreeSet<_> = Fault::ALL.iter().map(|&fault| counterexample(fault).property).collect();
    let unseen: Vec<_> = PROPERTIES.iter().filter(|&property| !broken.contains(property)).collect();
    assert!(unseen.is_empty(), "no variant breaks {unseen:?}: whether the check would notice is not known");
}

const COMMON: [Event; 5] = [Event::Started, Event::Added, Event::Blocked, Event::Ended, Event::Refused];

#[test]
fn three_functions_keep_the_rule() {
    let setting = Setting { skews: &[0, 0, 0], patterns: &["F", "S"], ..two_functions() };
    check("three functions", setting, &COMMON);
}

#[test]
fn three_functions_with_larger_batches_keep_the_rule() {
    let patterns = &["F", "S", "FF", "FS"];
    let setting = Setting { skews: &[0, 0, 0], batches: Some(5), patterns, ..two_functions() };
    check("three functions, larger batches", setting, &COMMON);
}

#[test]
fn batches_with_failures_and_successes_keep_the_rule() {
    let patterns = &["F", "S", "FF", "FS", "SF", "FSF", "FFS", "SFF", "FFF"];
    check("mixed batches", Setting { patterns, ..two_functions() }, &COMMON);
}

#[test]
fn lost_answers_keep_the_rule() {
    let setting = Setting { losses: 1, batches: Some(4), ..two_functions() };
    check("a lost answer", setting, &[Event::LandedLater]);
}

#[test]
fn a_lost_answer_among_many_batches_keeps_the_rule() {
    let setting = Setting { losses: 1, batches: Some(6), patterns: &["F", "S", "FS"], ..two_functions() };
    check("a lost answer, six batches", setting, &[Event::LandedLater]);
}

#[test]
fn two_lost_answers_keep_the_rule() {
    let setting =
        Setting { losses: 2, batches: Some(4), patterns: &["F", "S", "FF", "FS"], ..two_functions() };
    check("two lost answers", setting, &[Event::LandedLater]);
}

#[test]
fn blocks_that_end_and_rows_that_expire_keep_the_rule() {
    let setting = Setting { horizon: 3, batches: Some(7), patterns: &["F", "S", "FF"], ..two_functions() };
    check("time", setting, &[Event::BlockedOnAnEarlierFence, Event::Late, Event::ExpiredUnderABatch]);
}

#[test]
fn clocks_that_differ_keep_the_rule() {
    let setting = Setting {
        skews: &[-1, 1],
        fence: 3,
        horizon: 5,
        batches: Some(4),
        unblocks: 1,
        patterns: &["F", "S", "FF"],
        ..two_functions()
    };
    check("clocks", setting, &[Event::BlockedOnAnEarlierFence, Event::Late, Event::ExpiredUnderABatch]);
}

#[test]
fn an_unblock_keeps_the_rule_though_answers_get_lost() {
    let setting = Setting {
        losses: 1,
        unblocks: 1,
        batches: Some(4),
        horizon: 1,
        patterns: &["F", "S", "FF"],
        ..two_functions()
    };
    check("an unblock", setting, &[Event::Unblocked, Event::Late, Event::LandedLater]);
}

#[test]
fn a_new_revision_keeps_the_rule() {
    let setting = Setting { revisions: 1, batches: Some(6), patterns: &["F", "S", "FF"], ..two_functions() };
    check("a new revision", setting, &COMMON);
}

#[test]
fn notices_keep_the_rule() {
    let setting =
        Setting { told: true, horizon: 1, batches: Some(6), patterns: &["F", "S", "FF"], ..two_functions() };
    check("notices", setting, &[Event::BlockedOnAnEarlierFence]);
}

#[test]
fn without_the_epoch_in_start_a_late_result_begins_a_streak() {
    breaks(Fault::StartWithoutEpoch, LATE_IS_NOTHING);
}

#[test]
fn without_the_epoch_in_block_a_late_result_blocks() {
    breaks(Fault::BlockWithoutEpoch, LATE_IS_NOTHING);
}

#[test]
fn a_read_before_the_response_lets_a_success_interrupt_nothing() {
    breaks(Fault::StaleReadForASuccess, INTERRUPTS);
}

#[test]
fn a_counting_write_that_is_repeated_blocks_early() {
    breaks(Fault::CountingRepeated, NEVER_EARLY);
}

#[test]
fn an_early_expiry_deletes_a_row_while_an_old_batch_runs() {
    breaks(Fault::ExpiryAtTheBlocksEnd, FENCE_STAYS);
}

#[test]
fn an_early_expiry_lets_a_late_result_begin_a_streak() {
    let (_, setting) = variant(Fault::ExpiryAtTheBlocksEnd);
    search(Fault::ExpiryAtTheBlocksEnd, LATE_IS_NOTHING, setting);
}

#[test]
fn an_unbounded_add_passes_the_threshold_without_a_block() {
    breaks(Fault::AddWithoutBound, BLOCKED_AT_IT);
}

#[test]
fn a_block_that_does_not_ask_for_the_count_is_early() {
    breaks(Fault::BlockWithoutCount, NEVER_EARLY);
}

#[test]
fn an_end_that_does_not_name_its_streak_ends_another() {
    breaks(Fault::EndWithoutName, ENDS_WHAT_IT_FOUND);
}

#[test]
fn a_deleted_fence_that_made_late_would_drop_a_success() {
    breaks(Fault::DeletedFenceIsLate, NOTHING_DROPPED);
}

#[test]
fn a_block_without_its_streak_counts_failures_twice() {
    breaks(Fault::BlockWithoutName, ONCE_IN_ORDER);
}

#[test]
fn an_unconditional_start_forgets_what_another_counted() {
    breaks(Fault::StartOverAStreak, EXACT);
}

#[test]
fn a_start_with_an_expiry_lets_the_table_delete_its_streak() {
    breaks(Fault::StartKeepsExpiry, NOT_DELETED);
}

#[test]
fn an_unconditional_block_is_a_second_one_with_notices() {
    breaks(Fault::BlockOverABlock, ONE_BLOCK);
}

#[test]
fn a_batch_that_does_not_look_for_a_block_attempts_in_it() {
    breaks(Fault::BlockNotRead, NO_ATTEMPT);
}
