//! What is broken on purpose, and the record of it: calls of functions, batches, and copies that are killed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use carteiro_clock::Clock;
use carteiro_core::delivery::packing::unpack;
use carteiro_local::{Batch, BatchFate, DynamodbCall, Fate, Fault, SqsCall, Verdict, WatchBatches};
use carteiro_tests::Bundle;
use carteiro_tests::judge::{Broken, Disturbance, Handing, Returned, Span};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc;

/// Longer than a function waits for a call's answer.
const NEVER: Duration = Duration::from_secs(4);

/// How long a call is kept whose caller is killed meanwhile.
const UNTIL_KILLED: Duration = Duration::from_secs(20);

/// How long the kill of a caller waits until its call has had its effect.
const AFTER_EFFECT: Duration = Duration::from_millis(40);

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Befalls {
    Nothing,
    Throttle,
    ErrorBefore,
    ErrorAfter,
    DropBefore,
    DropAfter,
    /// The answer comes so much later.
    Late(Duration),
    /// It has no effect and is not answered.
    NeverBefore,
    /// It has its effect and is not answered.
    NeverAfter,
    KillBefore,
    KillAfter,
}

/// A call of a function, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) function: &'a str,
    pub(super) operation: &'a str,
    /// Its number among the calls of the function: 1, 2, …
    pub(super) number: u64,
}

type Policy = Box<dyn FnMut(Seen<'_>) -> Befalls + Send>;
type OfBatches = Box<dyn FnMut() -> BatchFate + Send>;

#[derive(Default)]
struct State {
    policy: Option<Policy>,
    batches: Option<OfBatches>,
    calls: HashMap<String, u64>,
    handings: Vec<Handing>,
    /// Where the handings of messages that are with a function are.
    open: HashMap<String, Vec<usize>>,
    fates: HashMap<String, BatchFate>,
    under_way: usize,
    /// Messages of each queue that came back and are still invisible.
    left: HashMap<String, HashSet<String>>,
    disturbances: Vec<Disturbance>,
}

/// The record of a run, and what breaks it.
pub(super) struct Ledger {
    clock: Clock,
    state: Mutex<State>,
    kills: mpsc::UnboundedSender<(String, Duration)>,
}

/// Functions that are to be killed, and when.
pub(super) type Kills = mpsc::UnboundedReceiver<(String, Duration)>;

impl Ledger {
    /// Watches a bundle's calls and batches from now on, and breaks nothing yet.
    pub(super) fn watch(bundle: &Bundle) -> (Arc<Self>, Kills) {
        let (kills, killing) = mpsc::unbounded_channel();
        let ledger = Arc::new(Self { clock: bundle.stack.clock().clone(), state: Mutex::default(), kills });
        let of_tables = Arc::clone(&ledger);
        bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
            let throttle = (StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException");
            of_tables.verdict(call.access_key_id, call.operation, throttle)
        })));
        let of_queues = Arc::clone(&ledger);
        bundle.stack.intercept_sqs(Some(Arc::new(move |call: SqsCall<'_>| {
            let throttle = (StatusCode::FORBIDDEN, "RequestThrottled");
            of_queues.verdict(call.access_key_id, call.action, throttle)
        })));
        bundle.stack.watch_batches(Some(Arc::clone(&ledger) as Arc<dyn WatchBatches>));
        (ledger, killing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on calls of functions are broken like this.
    pub(super) fn break_calls(&self, policy: impl FnMut(Seen<'_>) -> Befalls + Send + 'static) {
        self.state().policy = Some(Box::new(policy));
    }

    /// From now on batches are broken like this.
    pub(super) fn break_batches(&self, fates: impl FnMut() -> BatchFate + Send + 'static) {
        self.state().batches = Some(Box::new(fates));
    }

    /// From now on nothing is broken.
    pub(super) fn mend(&self) {
        let mut state = self.state();
        (state.policy, state.batches) = (None, None);
    }

    /// How many calls a function has made.
    pub(super) fn calls(&self, function: &str) -> u64 {
        self.state().calls.get(function).copied().unwrap_or_default()
    }

    pub(super) fn disturbances(&self) -> Vec<Disturbance> {
        self.state().disturbances.clone()
    }

    pub(super) fn handings(&self) -> Vec<Handing> {
        self.state().handings.clone()
    }

    /// How often each message's batch was over, and which messages came back.
    fn came_back(&self) -> (usize, HashMap<String, usize>) {
        let state = self.state();
        (state.under_way, state.left.iter().map(|(queue, left)| (queue.clone(), left.len())).collect())
    }

    fn disturbed(&self, function: &str, broken: Broken) {
        let at_ms = self.clock.now_ms();
        self.state().disturbances.push(Disturbance { function: function.to_owned(), at_ms, broken });
    }

    fn verdict(&self, caller: Option<&str>, operation: &str, throttle: (StatusCode, &str)) -> Verdict {
        // A test's own calls are signed with another key.
        let Some(function) = caller.filter(|caller| caller.ends_with("Function")) else {
            return Verdict::default();
        };
        let befalls = {
            let state = &mut *self.state();
            let number = state.calls.entry(function.to_owned()).or_default();
            *number += 1;
            let seen = Seen { function, operation, number: *number };
            state.policy.as_mut().map_or(Befalls::Nothing, |policy| policy(seen))
        };
        if befalls != Befalls::Nothing {
            self.disturbed(function, Broken::Call);
        }
        let fault = |status: StatusCode, code: &str| Fault {
            status,
            code: code.to_owned(),
            message: "injected".to_owned(),
        };
        let outage = || fault(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        let none = Duration::ZERO;
        let (delay, fate, answer_after) = match befalls {
            Befalls::Nothing => (none, Fate::Proceed, none),
            Befalls::Throttle => (none, Fate::FailBefore(fault(throttle.0, throttle.1)), none),
            Befalls::ErrorBefore => (none, Fate::FailBefore(outage()), none),
            Befalls::ErrorAfter => (none, Fate::FailAfter(outage()), none),
            Befalls::DropBefore => (none, Fate::DropBefore, none),
            Befalls::DropAfter => (none, Fate::DropAfter, none),
            Befalls::Late(by) => (none, Fate::Proceed, by),
            Befalls::NeverBefore => (NEVER, Fate::DropBefore, none),
            Befalls::NeverAfter => (none, Fate::DropAfter, NEVER),
            Befalls::KillBefore => (UNTIL_KILLED, Fate::DropBefore, none),
            Befalls::KillAfter => (none, Fate::DropAfter, UNTIL_KILLED),
        };
        match befalls {
            Befalls::KillBefore => self.kill(function, none),
            Befalls::KillAfter => self.kill(function, AFTER_EFFECT),
            _ => {}
        }
        Verdict { delay, fate, answer_after }
    }

    /// Has the copies of a function killed.
    pub(super) fn kill(&self, function: &str, after: Duration) {
        // Whoever kills goes with the run, after which nobody need be killed.
        _ = self.kills.send((function.to_owned(), after));
    }

    /// Kills for ever.
    pub(super) async fn kills(&self, bundle: Arc<Bundle>, mut kills: Kills) {
        while let Some((function, after)) = kills.recv().await {
            tokio::time::sleep(after).await;
            self.disturbed(&function, Broken::Killed);
            bundle.stack.kill_function(&function).await.unwrap();
            self.disturbed(&function, Broken::Killed);
        }
    }

    /// Waits until no queue hands anything out and no function has a batch. What came back from a function stays
    /// invisible until the time passes.
    pub(super) async fn quiet(&self, bundle: &Bundle) {
        let mut patience = carteiro_tests::Patience::default();
        while patience.lasts().await {
            // Looked at twice: one function may have sent to a queue that was looked at before.
            if self.is_quiet(bundle).await && self.is_quiet(bundle).await {
                return;
            }
        }
        panic!("something stays under way; the functions said: {:#?}", bundle.complaints());
    }

    async fn is_quiet(&self, bundle: &Bundle) -> bool {
        for mapping in &bundle.stack.template().queue_mappings {
            let counts = bundle.stack.queues().describe_queue(&mapping.queue).await.unwrap().counts;
            let (under_way, left) = self.came_back();
            let left = left.get(&mapping.queue).copied().unwrap_or_default();
            if under_way > 0 || counts.visible > 0 || counts.in_flight > left {
                return false;
            }
        }
        true
    }
}

impl WatchBatches for Ledger {
    fn begins(&self, batch: Batch<'_>) -> BatchFate {
        let now_ms = self.clock.now_ms();
        let state = &mut *self.state();
        let fate = match batch.function {
            "DeliverFunction" => state.batches.as_mut().map_or(BatchFate::Proceed, |fates| fates()),
            _ => BatchFate::Proceed,
        };
        state.under_way += 1;
        for record in batch.records {
            let record: Value = serde_json::from_str(record).unwrap();
            let message = record["messageId"].as_str().unwrap().to_owned();
            state.left.entry(batch.queue.to_owned()).or_default().remove(&message);
            if batch.function != "DeliverFunction" {
                continue;
            }
            let attributes = &record["messageAttributes"];
            let body = record["body"].as_str().unwrap();
            let Ok(deliveries) = unpack(body, |name| attributes[name]["stringValue"].as_str()) else {
                continue;
            };
            let first = state.handings.len();
            state.open.insert(message.clone(), (first..first + deliveries.len()).collect());
            state.fates.insert(message.clone(), fate);
            state.handings.extend(deliveries.iter().map(|delivery| Handing {
                message: message.clone(),
                webhook: delivery.webhook.to_string(),
                id: delivery.item.to_string(),
                span: Span { began_ms: now_ms, ended_ms: u64::MAX },
                returned: Returned::Left,
            }));
        }
        fate
    }

    fn ends(&self, batch: Batch<'_>, left: &HashSet<String>) {
        let now_ms = self.clock.now_ms();
        let state = &mut *self.state();
        state.under_way -= 1;
        for record in batch.records {
            let record: Value = serde_json::from_str(record).unwrap();
            let message = record["messageId"].as_str().unwrap();
            if left.contains(message) {
                state.left.entry(batch.queue.to_owned()).or_default().insert(message.to_owned());
            }
            let returned = match state.fates.remove(message) {
                Some(BatchFate::Twice) => Returned::Twice,
                Some(BatchFate::LoseAnswer) => Returned::AnswerLost,
                _ if left.contains(message) => Returned::Left,
                _ => Returned::Done,
            };
            for place in state.open.remove(message).unwrap_or_default() {
                let handing = &mut state.handings[place];
                handing.span.ended_ms = now_ms;
                handing.returned = returned;
            }
        }
    }
}
