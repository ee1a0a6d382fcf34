//! Fuzzing of everything that strangers' bytes reach, on stable Rust and without another tool.
//!
//! Inputs begin with hand-written samples and are changed as JSON and as bytes. An input that makes a target behave in
//! a way not seen before (another set of shapes, kinds, fields or errors) joins the samples, so that the search goes on
//! from there. It is no measure of coverage.
//!
//! `cargo test` gives each target a small number of inputs, the same each time. For a long run:
//!
//! ```text
//! CARTEIRO_FUZZ_SECONDS=300 cargo test -p carteiro-core --test fuzz -- --nocapture
//! ```
//!
//! is 300 seconds a target, from a seed that is printed and can be given again as `CARTEIRO_FUZZ_SEED`. With
//! `CARTEIRO_SAMPLES`, the files in that directory are samples too. An input that a target fails on is made smaller and
//! printed; it belongs into [`regressions`], with the fault mended.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "all of it is a test")]

mod engine;
mod meta_answers;
mod mutate;
mod regressions;
mod samples;
mod targets;

use engine::{Target, run};

#[test]
fn pushes_to_facebooks_route_become_updates_and_items() {
    run(&Target {
        name: "push to facebook",
        check: targets::push_to_facebook,
        samples: samples::META,
        executions: 3000,
    });
}

#[test]
fn pushes_to_instagrams_route_become_updates_and_items() {
    run(&Target {
        name: "push to instagram",
        check: targets::push_to_instagram,
        samples: samples::META,
        executions: 3000,
    });
}

#[test]
fn pushes_to_xs_route_become_updates_and_items() {
    run(&Target { name: "push to x", check: targets::push_to_x, samples: samples::X, executions: 3000 });
}

#[test]
fn stored_events_of_any_shape_and_field_are_read() {
    run(&Target { name: "event", check: targets::event, samples: samples::EVENTS, executions: 3000 });
}

#[test]
fn answers_of_facebook_and_instagram_stop_no_run() {
    run(&Target {
        name: "answers of meta",
        check: meta_answers::answers,
        samples: meta_answers::SAMPLES,
        executions: 1500,
    });
}

#[test]
fn signatures_and_challenges_of_networks_are_checked() {
    run(&Target {
        name: "signature",
        check: targets::network_signature,
        samples: samples::SIGNATURES,
        executions: 1500,
    });
}

#[test]
fn signatures_of_deliveries_and_their_secrets_are_checked() {
    run(&Target {
        name: "delivery",
        check: targets::delivery_signature,
        samples: samples::SECRETS,
        executions: 1500,
    });
}

#[test]
fn bulk_requests_are_cut_into_lines() {
    run(&Target { name: "ndjson", check: targets::bulk, samples: samples::BULK, executions: 1500 });
}

#[test]
fn items_of_bots_are_read() {
    run(&Target { name: "item", check: targets::item, samples: samples::BULK, executions: 1500 });
}

#[test]
fn settings_of_webhooks_are_read() {
    run(&Target { name: "settings", check: targets::settings, samples: samples::SETTINGS, executions: 1500 });
}

#[test]
fn cursors_are_read() {
    run(&Target { name: "cursor", check: targets::cursor, samples: samples::CURSORS, executions: 1500 });
}

#[test]
fn addresses_are_vetted() {
    run(&Target { name: "address", check: targets::address, samples: samples::ADDRESSES, executions: 1500 });
}
