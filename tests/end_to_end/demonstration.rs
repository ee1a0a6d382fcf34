//! The program's demonstration, as a newcomer runs it, and once more with the state that it kept.

use std::path::Path;
use std::process::Command;

use carteiro_networks::network::Network;
use carteiro_tests::client::Client;
use carteiro_tests::program;
use serde_json::Value;

use crate::killed::start;

/// Runs the demonstration once, which must succeed, and answers what it said.
fn demonstrate(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(["--once", "--port-base", "0", "--functions"])
        .arg(program.parent().unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let (said, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{said}\n{error}");
    assert_eq!(error, "", "nothing to complain of");
    said
}

/// What was said of a network: how many lines end in a verified signature.
fn verified(said: &str, network: Network) -> usize {
    let of_it = |line: &&str| line.split_whitespace().next() == Some(network.as_str());
    said.lines().filter(of_it).filter(|line| line.ends_with("signature verified")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_collects_at_six_networks_twice() {
    let program = program().await;
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap().to_owned();
    for _ in 0..2 {
        let said = demonstrate(&program, &["--data", &folder]);
        // With one push of each network that pushes.
        let counts = Network::ALL.map(|network| verified(&said, network));
        assert_eq!(counts, [7, 8, 5, 4, 2, 5], "{said}");
        assert!(said.contains("\n26 of 26 things published on 6 networks"), "{said}");
        let state = said.lines().last().unwrap();
        assert!(state.contains("token ok, last tick ok: ") && !state.contains(": 0 new"), "{state}");
    }
    // Whoever goes on without a demonstration has no pages whose tokens nobody knows any more.
    let stack = start(&program, data.path());
    let kept = std::fs::read_to_string(data.path().join("demonstration.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let pages = Client::new(&stack.api).get("/pages", kept["key"].as_str().unwrap()).await;
    assert_eq!((pages.status, &pages.json()["data"]), (200, &Value::Array(Vec::new())));
}
