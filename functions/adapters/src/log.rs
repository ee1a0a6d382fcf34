//! Logs: one JSON object a line, in the platform's JSON format, so that it can sort them by level.
//!
//! Never logged: bodies, tokens, secrets, headers, and URLs, whose query may hold any of them.

use tracing::level_filters::LevelFilter;

/// Sends what `tracing` records to the standard output. `level` is the platform's `AWS_LAMBDA_LOG_LEVEL`; INFO where
/// it is missing or unknown.
pub fn start(level: Option<&str>) {
    let level = level.and_then(|level| level.to_ascii_lowercase().parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_ansi(false)
        .with_max_level(level)
        .init();
}
