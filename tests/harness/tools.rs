//! Tools that a machine may lack. A test that needs one says so when it is skipped, and fails instead where
//! `CARTEIRO_REQUIRE_ALL=1`.

use std::path::PathBuf;
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment which tools are there")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn missing<T>(what: &str) -> Option<T> {
    assert!(variable("CARTEIRO_REQUIRE_ALL").as_deref() != Some("1"), "{what} is required and missing");
    println!("SKIPPED: {what} is missing");
    None
}

/// A Python that has this module, or none.
#[must_use]
pub fn python_with(module: &str) -> Option<PathBuf> {
    let python = PathBuf::from(variable("CARTEIRO_PYTHON").unwrap_or_else(|| "python3".to_owned()));
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    match found {
        Ok(output) if output.status.success() => Some(python),
        _ => missing(&format!("a Python with {module} (CARTEIRO_PYTHON names one)")),
    }
}

/// A Node.js that has this module, in the folder that `CARTEIRO_NODE_MODULES` names, or none. The command sees the
/// modules there.
#[must_use]
pub fn node_with(module: &str) -> Option<Command> {
    let node = || {
        let mut node = Command::new("node");
        node.env("NODE_PATH", variable("CARTEIRO_NODE_MODULES").unwrap_or_default());
        node
    };
    let found = node().args(["-e", &format!("require('{module}')")]).output();
    match found {
        Ok(output) if output.status.success() => Some(node()),
        _ => missing(&format!("a Node.js with {module} (CARTEIRO_NODE_MODULES names its node_modules)")),
    }
}

/// The folder of Node.js modules that `CARTEIRO_NODE_MODULES` names, where it has this one, or none. A symbolic link to
/// it lets a program find them that is a module itself, or that a compiler reads.
#[must_use]
pub fn node_modules_with(module: &str) -> Option<PathBuf> {
    let folder = variable("CARTEIRO_NODE_MODULES").map(PathBuf::from);
    let found = folder.filter(|folder| folder.join(module).is_dir());
    found.or_else(|| missing(&format!("a node_modules with {module} (CARTEIRO_NODE_MODULES names it)")))
}

/// Where a program is, or none.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.or_else(|| missing(name))
}

/// The folder of real samples that `CARTEIRO_SAMPLES` names, where it does. They are run against, never kept here, so
/// nobody is required to have them.
#[must_use]
pub fn samples() -> Option<PathBuf> {
    let folder = variable("CARTEIRO_SAMPLES").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: CARTEIRO_SAMPLES names no folder of real samples");
    }
    folder
}

/// The seed of a test's chances: `CARTEIRO_SEED`, else the time. It is printed, so that a run can be repeated.
#[must_use]
pub fn seed() -> u64 {
    let seed = given_seed().unwrap_or_else(|| crate::machine_clock().now_ms());
    println!("CARTEIRO_SEED={seed}");
    seed
}

/// A number that a test on command takes from its environment, or its default.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    variable(name).map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed that `CARTEIRO_SEED` names, where a run is to be repeated.
#[must_use]
pub fn given_seed() -> Option<u64> {
    variable("CARTEIRO_SEED").map(|seed| seed.parse().expect("CARTEIRO_SEED is a number"))
}

/// The folder with an older build's functions that `CARTEIRO_OLDER_FUNCTIONS` names, where it does.
#[must_use]
pub fn older_functions() -> Option<PathBuf> {
    variable("CARTEIRO_OLDER_FUNCTIONS").map(PathBuf::from)
}
