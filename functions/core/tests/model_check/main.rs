//! A model check of the rule of blocking.
#![cfg(test)]
mod faults;
mod world;

use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{faults::Fault, world::*};

fn setting() -> Setting {
    Setting {
        skews: &[0, 0],
        patterns: &["F", "S", "FF", "FS", "SF"],
        losses: 0,
        unblocks: 0,
        revisions: 0,
        told: false,
        horizon: 6,
        fault: None,
        seen: Arc::new(Seen::default()),
    }
}

fn run(name: &str, setting: Setting) {
    let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seen = Arc::clone(&setting.seen);
    let checker = setting.checker().threads(1).timeout(std::time::Duration::from_secs(25)).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} transitions, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - started
    );
    for event in Event::ALL {
        print!("{event:?} {}, ", seen.times(event));
    }
    println!();
    for (name, path) in checker.discoveries() {
        let last = path.last_state().clone();
        println!("BROKEN {name}\n{:?}\n{last:#?}", path.into_actions());
    }
}

#[test]
fn explore() {
    run("a", Setting { horizon: 0, ..setting() });
    run("b", Setting { horizon: 1, ..setting() });
    run("c", Setting { horizon: 4, patterns: &["F", "S", "FF"], ..setting() });
    run("d", Setting { horizon: 6, patterns: &["F", "S"], ..setting() });
    run("e", Setting { horizon: 0, patterns: &["F", "S"], losses:1, ..setting() });
    run("f", Setting { horizon: 0, patterns: &["F", "S", "FS"], losses:1, unblocks:1, ..setting() });
    run("g", Setting { horizon: 0, patterns: &["F", "S"], skews: &[0,0,0], ..setting() });
}
