//! Logs: one JSON object a line, in the platform's JSON format, so that it can sort them by level.
//!
//! Never logged: bodies, tokens, secrets, headers, and URLs, because their queries may hold any of them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A line without a time is given the level INFO by the platform, whatever its own.
struct LogTime;

impl FormatTime for LogTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        #[expect(clippy::disallowed_methods, reason = "a log line's time decides nothing")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        write!(writer, "{:.3}", Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
    }
}

/// Our crates, by the names under which `tracing` knows them.
const OURS: [&str; 8] = [
    "carteiro_adapters",
    "carteiro_core",
    "carteiro_services",
    "check",
    "collect",
    "deliver",
    "ingest",
    "manage",
];

/// Sends `tracing`'s events to the standard output. `level` is the platform's `AWS_LAMBDA_LOG_LEVEL`; INFO where it is
/// missing or unknown. Libraries are logged at INFO at most, whatever the level: their details hold headers and paths,
/// and these hold tokens.
pub fn start(level: Option<&str>) {
    let level = level.and_then(|level| level.to_ascii_lowercase().parse().ok()).unwrap_or(LevelFilter::INFO);
    let filter = Targets::new().with_default(level.min(LevelFilter::INFO));
    let filter = filter.with_targets(OURS.map(|name| (name, level)));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_timer(LogTime)
        .with_ansi(false)
        .with_max_level(level)
        .finish()
        .with(filter)
        .init();
}
