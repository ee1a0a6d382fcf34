//! The bounds within which holding and releasing are checked, and their broken variants.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    holding::{Action, Budget, Setting, World},
    holding_faults::Fault,
};

/// One item, a block and a failure, with one of each function.
fn one_item() -> Setting {
    Setting {
        items: 1,
        attempt: 4,
        delivers: 1,
        releases: 1,
        movers: 1,
        first_step: 1,
        budget: Budget { failures: 1, shuts: 1, crashes: 1, ..Budget::default() },
        retention_ends: false,
        fault: None,
        seen: Arc::new(Mutex::default()),
    }
}

/// Explores all worlds: in none is anything lost, and from each all that was accepted can still arrive or die.
/// `refused` are the writes that must have been refused for the check to mean anything.
fn check(name: &str, setting: &Setting, refused: &[&str]) {
    let seen = Arc::clone(&setting.seen);
    let checker = setting.clone().checker().threads(2).spawn_bfs().join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: broken: {property}: {:?}", path.into_actions());
    }
    let counts: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|((write, made), times)| format!("{write} {} {times}", if *made { "made" } else { "refused" }))
        .collect();
    println!(
        "{name}: {} states, {} transitions, at most {} actions deep; {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth() - 1,
        counts.join(", "),
    );
    for write in refused {
        let times = seen.lock().unwrap().iter().filter(|((name, made), _)| name == write && !made).count();
        assert!(times > 0, "{name}: {write} was never refused");
    }
    if let Some(world) = stuck(setting) {
        panic!("{name}: from here what was accepted can neither arrive nor die: {world:#?}");
    }
}

/// A world from which no way leads to one in which all that was accepted arrived or is dead.
fn stuck(setting: &Setting) -> Option<World> {
    let mut places: HashMap<World, usize> = HashMap::new();
    let mut before: Vec<Vec<usize>> = Vec::new();
    let mut waiting: VecDeque<World> = setting.init_states().into();
    let mut good = Vec::new();
    for world in &waiting {
        places.insert(world.clone(), before.len());
        before.push(Vec::new());
    }
    while let Some(world) = waiting.pop_front() {
        let from = places[&world];
        if world.is_done() {
            good.push(from);
        }
        for next in setting.next_states(&world) {
            let to = *places.entry(next).or_insert_with_key(|next| {
                waiting.push_back(next.clone());
                before.push(Vec::new());
                before.len() - 1
            });
            before[to].push(from);
        }
    }
    let mut reached: HashSet<usize> = good.iter().copied().collect();
    while let Some(to) = good.pop() {
        good.extend(before[to].iter().copied().filter(|&from| reached.insert(from)));
    }
    places.into_iter().find(|(_, place)| !reached.contains(place)).map(|(world, _)| world)
}

#[test]
fn an_item_outlives_blocks_failures_and_deaths_of_functions() {
    check("an item", &one_item(), &["count", "end"]);
    let budget = Budget { shuts: 1, acts: 1, crashes: 1, ..Budget::default() };
    let acts = Setting { movers: 0, budget, ..one_item() };
    check("an item and an act", &acts, &["end", "postpone"]);
}

#[test]
fn an_item_outlives_its_retries_through_the_queue() {
    let budget = Budget { failures: 2, shuts: 1, crashes: 1, ..Budget::default() };
    check("an item, retried soon", &Setting { attempt: 3, budget, ..one_item() }, &["delete released"]);
}

#[test]
fn an_item_that_the_queue_hands_out_twice_is_not_lost() {
    let budget = Budget { failures: 1, shuts: 1, repeats: 1, ..Budget::default() };
    let refused = &["hold for release", "delete released"];
    check("an item, twice", &Setting { delivers: 2, budget, ..one_item() }, refused);
}

#[test]
fn two_workers_that_have_the_same_release_lose_nothing() {
    let budget = Budget { shuts: 2, overtakings: 1, ..Budget::default() };
    let refused = &["renew", "begin step", "step sent", "end", "postpone"];
    check("two workers", &Setting { releases: 2, movers: 0, budget, ..one_item() }, refused);
}

#[test]
fn two_movers_of_the_same_row_lose_nothing() {
    let budget = Budget { failures: 2, shuts: 1, overtakings: 1, ..Budget::default() };
    check("two movers", &Setting { movers: 2, budget, ..one_item() }, &["finish"]);
}

#[test]
fn two_items_outlive_a_block_with_one_held_during_a_release() {
    let budget = Budget { shuts: 1, ..Budget::default() };
    check(
        "two items",
        &Setting { items: 2, delivers: 2, budget, ..one_item() },
        &["end", "postpone", "touch"],
    );
}

#[test]
fn two_items_in_one_step_outlive_a_second_block() {
    let budget = Budget { shuts: 2, ..Budget::default() };
    let two = Setting { items: 2, first_step: 2, budget, ..one_item() };
    check("two items, two blocks", &two, &["end", "postpone"]);
}

#[test]
fn an_item_whose_retention_ends_dies_and_is_not_lost() {
    let budget = Budget { failures: 1, shuts: 1, dead_letters: 1, ..Budget::default() };
    let setting = Setting { retention_ends: true, budget, ..one_item() };
    check("the retention's end", &setting, &["finish"]);
}

#[test]
fn a_retry_of_the_state_before_an_act_waits_no_longer() {
    let budget = Budget { failures: 2, acts: 1, ..Budget::default() };
    check("an act and a retry", &Setting { budget, ..one_item() }, &["adopt", "end", "finish"]);
}

#[test]
fn the_second_look_or_a_tick_finds_what_was_held_after_an_act() {
    let budget = Budget { failures: 1, acts: 1, lost_looks: 1, ..Budget::default() };
    check("a retry behind an act", &Setting { budget, ..one_item() }, &["adopt"]);
    let budget = Budget { shuts: 1, acts: 1, lost_looks: 1, ..Budget::default() };
    let blocked = Setting { movers: 0, budget, ..one_item() };
    check("a block behind an act", &blocked, &["end", "postpone"]);
}

#[test]
fn of_two_acts_the_later_one_counts() {
    let budget = Budget { shuts: 1, acts: 2, ..Budget::default() };
    check("two acts", &Setting { movers: 0, budget, ..one_item() }, &["release all", "postpone"]);
}

#[test]
fn two_items_outlive_an_act_in_the_middle_of_their_release() {
    let budget = Budget { shuts: 1, acts: 1, ..Budget::default() };
    let two = Setting { items: 2, movers: 0, budget, ..one_item() };
    check("two items and an act", &two, &["end", "postpone"]);
}

#[test]
fn a_write_that_is_made_again_is_recognised() {
    let budget = Budget { failures: 1, acts: 1, lost: 1, ..Budget::default() };
    check("a lost answer of a retry", &Setting { budget, ..one_item() }, &["begin step", "finish"]);
    let budget = Budget { shuts: 1, acts: 1, lost: 1, ..Budget::default() };
    let blocked = Setting { movers: 0, budget, ..one_item() };
    check("a lost answer of a block", &blocked, &["begin step", "end", "postpone"]);
    let budget = Budget { shuts: 1, lost: 1, ..Budget::default() };
    let two = Setting { items: 2, first_step: 2, movers: 0, budget, ..one_item() };
    check("a lost answer of a step", &two, &["end"]);
}

#[test]
fn what_of_a_step_cannot_be_sent_is_sent_later() {
    let budget = Budget { shuts: 1, unsent: 1, crashes: 1, ..Budget::default() };
    let two = Setting { items: 2, first_step: 2, movers: 0, budget, ..one_item() };
    check("a step in part", &two, &["end"]);
}

/// Within which bounds a fault shows.
fn variant(fault: Fault) -> Setting {
    let one = one_item();
    let budget = one.budget;
    let setting = match fault {
        Fault::DroppedBeforeBuried => Setting { retention_ends: true, ..one },
        Fault::DeadLetterDeletedBeforeBuried => {
            Setting { budget: Budget { dead_letters: 1, ..budget }, ..one }
        }
        Fault::EndWithoutTouched | Fault::TouchWithoutCounting | Fault::TouchedBeforeHeld => {
            Setting { items: 2, delivers: 2, budget: Budget { crashes: 0, failures: 0, ..budget }, ..one }
        }
        Fault::EndWithoutLease => {
            let budget = Budget { overtakings: 1, crashes: 0, failures: 0, ..budget };
            Setting { items: 2, releases: 2, movers: 0, budget, ..one }
        }
        Fault::HoldForReleaseOverARetry => {
            Setting { delivers: 2, budget: Budget { repeats: 1, ..budget }, ..one }
        }
        Fault::FinishWithoutClaim => Setting { budget: Budget { failures: 2, ..budget }, ..one },
        Fault::ClaimReleaseWithoutOwner | Fault::ClaimRowWithoutOwner | Fault::LeaseIsKnownByItsEnd => {
            Setting { budget: Budget { crashes: 0, acts: 1, lost: 1, ..budget }, ..one }
        }
        Fault::CountsAddUp => {
            let budget = Budget { shuts: 1, lost: 1, ..Budget::default() };
            Setting { items: 2, first_step: 2, movers: 0, budget, ..one }
        }
        Fault::AdoptWithoutSeenAt
        | Fault::RetriesAreNotReleased
        | Fault::ActMakesNoRelease
        | Fault::NobodyLooksAgain
        | Fault::EndTooEarly
        | Fault::EndByAnOldReading
        | Fault::PostponeWithoutTouched => {
            Setting { budget: Budget { crashes: 0, acts: 1, ..budget }, ..one }
        }
        _ => one,
    };
    Setting { fault: Some(fault), ..setting }
}

/// A search ends when it finds the property broken that this fault breaks.
fn broken(fault: Fault) -> HasDiscoveries {
    HasDiscoveries::AllOf([fault.breaks()].into())
}

/// The shortest way in which a fault breaks its property.
fn counterexample(fault: Fault) -> Vec<Action> {
    // A search by one thread goes level by level: what it finds first is the shortest.
    let checker = variant(fault).checker().finish_when(broken(fault)).spawn_bfs().join();
    let path = checker.discovery(fault.breaks()).unwrap_or_else(|| panic!("{fault:?} was not noticed"));
    let actions = path.into_actions();
    let states = checker.unique_state_count();
    let broken = fault.breaks();
    println!("{fault:?}: broken by {} actions ({states} states): {broken}: {actions:?}", actions.len());
    actions
}

#[test]
fn every_broken_order_or_missing_clause_breaks_its_property() {
    for fault in Fault::ALL {
        let actions = counterexample(fault);
        assert!(actions.len() > 1, "{fault:?}");
    }
}

#[test]
fn a_lost_item_cannot_arrive_from_its_world() {
    for fault in [Fault::DeletedBeforeStored, Fault::EndWithoutTouched, Fault::PlanWithoutTime] {
        assert!(stuck(&variant(fault)).is_some(), "{fault:?}");
    }
}
