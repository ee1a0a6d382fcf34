//! The counts of the operator's metrics ([`carteiro_core::metrics`]), and the lines that carry them.
//!
//! They are the process's own, as its log is: a copy of a function has one invocation at a time, which counts as it
//! goes and writes one line in the end. What an invocation counted that failed is in the next one's line; where the
//! platform ended the process, it is lost.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use carteiro_core::metrics::{Metric, Metrics};
use jiff::Timestamp;
use serde_json::Value;

/// The namespace where the environment sets none.
const NAMESPACE: &str = "Carteiro";

static COUNTED: Mutex<Metrics> = Mutex::new(Metrics::new());
static IN: OnceLock<String> = OnceLock::new();

/// Sets the namespace of the metrics. The first call counts.
pub fn start(namespace: Option<String>) {
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let _ = IN.set(namespace.unwrap_or_else(|| NAMESPACE.to_owned()));
}

/// Counts this many more.
pub fn add(metric: Metric, more: usize) {
    counted().add(metric, u64::try_from(more).unwrap_or(u64::MAX));
}

/// Notes how long something took that began then and ended now.
pub fn took(metric: Metric, began_at: Timestamp, now: Timestamp) {
    let seconds = now.duration_since(began_at).as_secs();
    counted().took(metric, u64::try_from(seconds).unwrap_or_default());
}

/// Notes what is left of a network's quota, in per cent.
pub fn quota_left(network: &'static str, percent: u32) {
    counted().quota_left(network, percent.into());
}

/// Whether nothing was counted since the last line.
#[must_use]
pub fn is_empty() -> bool {
    counted().is_empty()
}

/// Writes a line of the log with an event, its fields, and what was counted since the last line.
pub fn log(now: Timestamp, event: &str, fields: &[(&str, Value)]) {
    let counted = std::mem::take(&mut *counted());
    let namespace = IN.get().map_or(NAMESPACE, String::as_str);
    let line = counted.line(namespace, now, event, fields);
    // A line that cannot be written is lost: there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A panic leaves no count half done.
fn counted() -> MutexGuard<'static, Metrics> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}
