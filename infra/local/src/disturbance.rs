//! The seams for what goes wrong beside calls: batches that come twice or whose answer is lost, and copies of a
//! function that are of another build or have another clock.
//!
//! A hook is asked once for each batch or copy, and its answer is followed to the letter. Without one, nothing happens
//! out of the ordinary.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// A batch of a queue's messages that a function is about to get.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The function.
    pub function: &'a str,
    /// Its records, each as the function gets it, in JSON.
    pub records: &'a [&'a str],
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchFate {
    /// Nothing out of the ordinary.
    #[default]
    Proceed,
    /// The function gets it, and its answer is lost: all messages come again.
    LoseAnswer,
    /// Two invocations get it at the same time, as standard queues may hand out a message twice. What either says to be
    /// done is deleted.
    Twice,
}

/// Decides what becomes of batches, and sees how they end. It is asked concurrently and must not block.
pub trait WatchBatches: Send + Sync + 'static {
    /// What becomes of this batch.
    fn begins(&self, batch: Batch<'_>) -> BatchFate;

    /// This batch is over. The messages with the ids in `left` come again; the others are deleted next.
    fn ends(&self, batch: Batch<'_>, left: &HashSet<String>);
}

/// How a copy of a function differs from the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyShape {
    /// The folder of its binary, where that is another build's.
    pub functions: Option<PathBuf>,
    /// How far its clock is ahead of the platform's, or behind it, in milliseconds.
    pub clock_ahead_ms: i64,
}

/// Decides how a new copy of a function differs. It must not block.
pub trait ShapeCopies: Send + Sync + 'static {
    /// The next copy of this function.
    fn next(&self, function: &str) -> CopyShape;
}

impl<F> ShapeCopies for F
where
    F: Fn(&str) -> CopyShape + Send + Sync + 'static,
{
    fn next(&self, function: &str) -> CopyShape {
        self(function)
    }
}

/// Both hooks, as they are set. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Disturbances(Arc<RwLock<Hooks>>);

#[derive(Clone, Default)]
struct Hooks {
    batches: Option<Arc<dyn WatchBatches>>,
    copies: Option<Arc<dyn ShapeCopies>>,
}

impl std::fmt::Debug for Disturbances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disturbances").finish_non_exhaustive()
    }
}

impl Disturbances {
    pub(crate) fn watch_batches(&self, watch: Option<Arc<dyn WatchBatches>>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).batches = watch;
    }

    pub(crate) fn shape_copies(&self, shape: Option<Arc<dyn ShapeCopies>>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).copies = shape;
    }

    fn hooks(&self) -> Hooks {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn batches(&self) -> Option<Arc<dyn WatchBatches>> {
        self.hooks().batches
    }

    pub(crate) fn copy(&self, function: &str) -> CopyShape {
        self.hooks().copies.map_or_else(CopyShape::default, |copies| copies.next(function))
    }
}
