//! The bounds within which the protocol is checked, and its broken variants.
//!
//! A check explores all worlds within its bounds. Each has its own: three functions, lost answers, time, clocks, and so
//! on, for all at once would be too many.

use std::{collections::BTreeSet, sync::Arc};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    faults::Fault,
    world::{
        BLOCKED_AT_IT, ENDS_WHAT_IT_FOUND, Event, INTERRUPTS, LATE_IS_NOTHING, NEVER_EARLY, NOTHING_DROPPED,
        ONCE_IN_ORDER, Seen, Setting,
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

/// The shortest way in which a fault breaks a property.
fn counterexample(fault: Fault, property: &'static str, setting: Setting) {
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
    let setting = Setting { horizon: 3, ..two_functions() };
    counterexample(Fault::StartWithoutEpoch, LATE_IS_NOTHING, setting);
}

#[test]
fn without_the_epoch_in_block_a_late_result_blocks() {
    let setting = Setting { horizon: 3, patterns: &["F", "S", "FFF"], ..two_functions() };
    counterexample(Fault::BlockWithoutEpoch, LATE_IS_NOTHING, setting);
}

#[test]
fn a_read_from_before_the_response_lets_a_success_interrupt_nothing() {
    counterexample(Fault::StaleReadForASuccess, INTERRUPTS, two_functions());
}

#[test]
fn a_counting_write_that_is_repeated_blocks_early() {
    counterexample(Fault::CountingRepeated, NEVER_EARLY, Setting { losses: 1, ..two_functions() });
}

#[test]
fn a_row_that_expires_at_its_blocks_end_lets_a_late_result_begin_a_streak() {
    counterexample(Fault::ExpiryAtTheBlocksEnd, LATE_IS_NOTHING, Setting { horizon: 3, ..two_functions() });
}

#[test]
fn an_add_without_its_bound_passes_the_threshold_without_a_block() {
    counterexample(Fault::AddWithoutBound, BLOCKED_AT_IT, two_functions());
}

#[test]
fn a_block_that_does_not_ask_for_the_count_is_early() {
    counterexample(Fault::BlockWithoutCount, NEVER_EARLY, two_functions());
}

#[test]
fn an_end_that_does_not_name_its_streak_ends_another() {
    counterexample(Fault::EndWithoutName, ENDS_WHAT_IT_FOUND, two_functions());
}

#[test]
fn a_deleted_fence_that_made_late_would_drop_a_success() {
    counterexample(Fault::DeletedFenceIsLate, NOTHING_DROPPED, Setting { horizon: 3, ..two_functions() });
}

#[test]
fn a_block_by_leading_failures_that_does_not_name_its_streak_counts_them_after_their_success() {
    let setting = Setting { losses: 1, patterns: &["F", "S", "FS"], ..two_functions() };
    counterexample(Fault::BlockWithoutName, ONCE_IN_ORDER, setting);
}
