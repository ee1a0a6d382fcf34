//! Counts how fresh what is dispatched is: gathers counts in memory, and writes them for many items together.

use std::sync::{Arc, Mutex, PoisonError};

use carteiro_adapters::tables::freshness::FreshnessRows;
use carteiro_core::id::PageId;
use carteiro_networks::collected::Kind;
use carteiro_networks::freshness::{Due, Gathered};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

/// How many rows are written at once.
const CONCURRENT_ROWS: usize = 8;

/// Counts of what this process dispatched. Copies share what is gathered.
#[derive(Clone, Debug)]
pub struct FreshnessLog {
    rows: FreshnessRows,
    gathered: Arc<Mutex<Gathered>>,
}

impl FreshnessLog {
    /// A log that writes to these rows.
    #[must_use]
    pub fn new(rows: FreshnessRows) -> Self {
        Self { rows, gathered: Arc::default() }
    }

    /// Notes that something of a page was dispatched: of a kind, in so many seconds, where that is counted.
    pub(crate) fn note(&self, page: &PageId, counted: Option<(Kind, u32)>, now: Timestamp) {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner).note(page, counted, now);
    }

    /// Writes counts. What cannot be written is logged, and lost.
    pub async fn write(&self, due: Due<'_>, now: Timestamp) {
        let taken = self.gathered.lock().unwrap_or_else(PoisonError::into_inner).take(due, now);
        let writes = stream::iter(taken).map(|(page, hour, counts)| async move {
            if let Err(error) = self.rows.add(&page, hour, &counts).await {
                tracing::warn!(page = page.as_str(), error = error.chain(), "freshness.not_written");
            }
        });
        writes.buffer_unordered(CONCURRENT_ROWS).collect::<()>().await;
    }
}
