//! The one thread that owns the queues and their store, with group commit.
//!
//! Jobs come in by a bounded channel. The thread takes all that wait (up to [`MAX_BATCH`]), applies each to the state
//! machine and the store in one transaction, commits, and only then answers. So nothing is answered that a sudden end
//! of the process would lose, and many callers share one commit.
//!
//! Where the store fails, the queues in memory and those on disk may differ; so every job of that transaction is
//! answered with an error, the thread ends, and every later job is refused. Opening the store again is the remedy.

use std::collections::HashMap;

use carteiro_clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::broker::{Broker, Effects};
use crate::error::SqsError;
use crate::store::{Store, StoreError};

/// Jobs in one transaction.
const MAX_BATCH: usize = 256;
/// Jobs that wait for the thread before callers have to.
const MAX_WAITING: usize = 256;

type Answer = Box<dyn FnOnce(Result<(), SqsError>) + Send>;
type Job = Box<dyn FnOnce(&mut Desk) -> Result<Answer, StoreError> + Send>;

/// What a job works on.
pub(crate) struct Desk {
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    clock: Clock,
    /// By queue: what waiting receivers hold the other end of.
    doors: HashMap<u64, watch::Sender<()>>,
    woken: Vec<u64>,
    closing: bool,
}

impl Desk {
    /// Runs an operation of the state machine at the present time and writes down what it changed.
    pub(crate) fn apply<R>(
        &mut self,
        operation: impl FnOnce(&mut Broker, u64, &mut Effects) -> R,
    ) -> Result<R, StoreError> {
        let mut effects = Effects::default();
        let result = operation(&mut self.broker, self.clock.now_ms(), &mut effects);
        for change in &effects.changes {
            self.store.apply(change)?;
        }
        self.woken.extend(effects.wake);
        Ok(result)
    }

    /// Something that changes when this queue should be looked at again, from now on.
    pub(crate) fn door(&mut self, queue: u64) -> watch::Receiver<()> {
        self.doors.entry(queue).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// Lets go of the store after this transaction.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    fn wake(&mut self) {
        for queue in self.woken.drain(..) {
            if let Some(door) = self.doors.get(&queue) {
                door.send_replace(());
            }
            if !self.broker.has(queue) {
                self.doors.remove(&queue);
            }
        }
    }

    fn run_batch(
        &mut self,
        first: Job,
        jobs: &mut mpsc::Receiver<Job>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        answers.push(first(self)?);
        while answers.len() < MAX_BATCH && !self.closing {
            let Ok(job) = jobs.try_recv() else { break };
            answers.push(job(self)?);
        }
        self.store.commit()
    }
}

/// The way to the thread. The thread ends, and the store is closed, when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

fn closed() -> SqsError {
    SqsError::Unavailable("the store is closed".to_owned())
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(broker: Broker, store: Store, clock: Clock) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let desk = Desk { broker, store, clock, doors: HashMap::new(), woken: Vec::new(), closing: false };
        std::thread::Builder::new().name("sqs-writer".to_owned()).spawn(move || run(desk, waiting))?;
        Ok(Self { jobs })
    }

    /// Has `job` done, and returns its result once the transaction that it was part of is committed.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, SqsError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            let result = job(desk)?;
            Ok(Box::new(move |outcome: Result<(), SqsError>| {
                // A caller that went away wants no answer.
                let _ = answer.send(outcome.map(|()| result));
            }))
        });
        self.jobs.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Returns when the thread has let go of the store.
    pub(crate) async fn closed(&self) {
        self.jobs.closed().await;
    }
}

fn run(mut desk: Desk, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut answers = Vec::new();
        let outcome = desk.run_batch(first, &mut jobs, &mut answers).map_err(|error| {
            tracing::error!(%error, "the queues' store failed; every further call is refused");
            SqsError::Unavailable(error.to_string())
        });
        for answer in answers {
            answer(outcome.clone());
        }
        if outcome.is_err() || desk.closing {
            break;
        }
        desk.wake();
    }
    // In this order, so that whoever waits for the channel's end finds the file free.
    drop(desk);
    drop(jobs);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc as blocking;

    use super::*;
    use crate::receipt::Names;
    use crate::store::Storage;

    fn writer() -> Writer {
        let opened = Store::open(&Storage::Memory, [5; 32]).unwrap();
        let broker = Broker::new("r".to_owned(), Names::new(opened.key), opened.next_seq);
        Writer::start(broker, opened.store, carteiro_clock::testing::clock()).unwrap()
    }

    fn create(desk: &mut Desk, name: &str) -> Result<(), StoreError> {
        let (none, tags) = (BTreeMap::new(), BTreeMap::new());
        let created =
            desk.apply(|broker, now, effects| broker.create_queue(now, name, &none, tags, effects))?;
        created.map_err(|error| StoreError::Damaged(error.to_string()))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn waiting_jobs_share_a_transaction_and_are_answered_after_it() {
        let writer = writer();
        let (go, gate) = blocking::channel::<()>();
        let (begin, begun) = oneshot::channel::<()>();
        let first = tokio::spawn({
            let writer = writer.clone();
            async move {
                let job = move |desk: &mut Desk| {
                    // Holds the thread until the second job waits.
                    let _ = begin.send(());
                    gate.recv().map_err(|error| StoreError::Damaged(error.to_string()))?;
                    create(desk, "a")
                };
                writer.call(job).await
            }
        });
        begun.await.unwrap();
        let second = tokio::spawn({
            let writer = writer.clone();
            async move { writer.call(|desk| Ok(desk.store.has_uncommitted())).await }
        });
        while writer.jobs.capacity() == MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert!(!first.is_finished());
        go.send(()).unwrap();
        assert_eq!(second.await.unwrap(), Ok(true), "the first one's changes were not committed yet");
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(writer.call(|desk| Ok(desk.store.has_uncommitted())).await, Ok(false));
    }

    #[tokio::test]
    async fn after_a_failure_of_the_store_every_call_is_refused() {
        let writer = writer();
        let failed = writer.call(|_| Err::<(), _>(StoreError::Damaged("test".to_owned()))).await;
        assert!(matches!(failed, Err(SqsError::Unavailable(_))));
        writer.closed().await;
        assert_eq!(writer.call(|_| Ok(())).await, Err(closed()));
    }
}
