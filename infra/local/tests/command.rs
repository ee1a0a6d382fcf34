//! The program `carteiro` where it cannot start: what it says, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Runs it on free ports, with a data folder of its own and a folder without functions.
fn carteiro(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carteiro"))
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--functions")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// The one line that it says on standard error, with its exit code.
fn failure(arguments: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let output = carteiro(folder.path(), arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("carteiro: "), "{said}");
    (said, output.status.code())
}

#[test]
fn an_unknown_parameter_is_named() {
    let (said, code) = failure(&["--port-base", "0", "--set", "Colour=red"]);
    assert!(said.contains("no parameter Colour") && code == Some(1), "{said}");
}

#[test]
fn a_value_that_is_not_allowed_is_refused_without_repeating_it() {
    let (said, code) = failure(&["--port-base", "0", "--set", "FailureThreshold=s3cret"]);
    assert!(said.contains("FailureThreshold") && !said.contains("s3cret") && code == Some(1), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_its_purpose() {
    // A base below the range from which the system takes free ports, so that only this test uses it.
    let (base, _taken) = (20_000..20_600)
        .step_by(6)
        .find_map(|base| Some((base, TcpListener::bind(("127.0.0.1", base)).ok()?)))
        .unwrap();
    let (said, code) = failure(&["--port-base", &base.to_string()]);
    assert!(said.contains(&format!("port {base} (the HTTP API)")) && code == Some(1), "{said}");
}

#[test]
fn functions_that_are_missing_are_named() {
    let (said, code) = failure(&["--port-base", "0", "--json"]);
    assert!(said.contains("the binary of") && said.contains("is missing") && code == Some(1), "{said}");
}

#[test]
fn without_the_admin_key_of_a_hash_there_is_no_demonstration() {
    let hash = format!("AdminKeySha256={}", "0".repeat(64));
    let (said, code) = failure(&["--port-base", "0", "--set", &hash]);
    assert!(said.contains("--no-demo") && code == Some(1), "{said}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let (said, code) = failure(&["--set", "x"]);
    assert!(said.contains("Parameter=Value") && code == Some(2), "{said}");
}

#[test]
fn help_goes_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = carteiro(folder.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--port-base"));
    assert!(output.stderr.is_empty());
}
