//! What the bundle takes: calls and money, time to start, processor time, throughput. [docs/benchmarks.md] has the
//! results and the commands. What is short runs with every test run, and holds the recorded counts to what is counted.
//!
//! [docs/benchmarks.md]: ../../docs/benchmarks.md

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what fails, fails the test, and a benchmark says what it measured"
)]

mod batches;
mod calls;
mod cost;
mod process;
mod processor;
mod start;
mod throughput;
mod tls_server;
