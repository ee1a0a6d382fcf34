//! One batch of deliveries, healthy, failing and blocked, in which each call of `deliver` goes wrong in turn: the first
//! in the first case, the second in the second, until a case makes fewer calls than that. The calls are the places
//! where the function waits for the outside; between two of them nothing that it does is seen.

use std::sync::Arc;
use std::time::Duration;

use carteiro_receiver::Answer as Response;
use carteiro_tests::judge::{Answer, Counts, Explanation, Span};
use http::{Method, StatusCode};
use serde_json::json;

use super::ledger::Befalls;
use super::scene::{Scene, Sent, digest, mark};

const DELIVER: &str = "DeliverFunction";

/// How many items a case sends to each of its three webhooks.
const ITEMS: u64 = 2;

/// More cases than a batch has calls.
const MOST_CALLS: u64 = 60;

/// How long a receiver keeps a request that its sender is killed at.
const KEPT: Duration = Duration::from_millis(200);

/// What goes wrong in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// At the call with the case's number.
    Call(Befalls),
    /// The same, and its repeats by the client, too.
    CallAndRepeats(Befalls),
    /// The function is killed when as many requests have arrived at the receivers.
    KilledAtRequest,
}

/// A case: three webhooks, of which one fails and one is blocked, and as many items.
async fn arrange(scene: &mut Scene, number: &mut u64) -> [usize; 3] {
    let account = scene.bundle.account().await;
    let mut hooks = [0; 3];
    for (place, threshold) in [(0, 1000), (1, 1000)] {
        hooks[place] = scene.hook(&account, &["event"], threshold).await;
    }
    hooks[2] = scene.hook(&account, &["event", "contact"], 1).await;
    scene.answer(&scene.hooks[hooks[2]].path, Response::status(StatusCode::BAD_GATEWAY));
    // Contacts are not blocked: an event is what blocks events.
    send(scene, hooks[0], number, 1).await;
    scene.quiet().await;
    scene.heal(hooks[2]);
    scene.answer(&scene.hooks[hooks[1]].path, Response::status(StatusCode::INTERNAL_SERVER_ERROR));
    hooks
}

/// Sends events to the account of a webhook, all of which must be taken.
async fn send(scene: &Scene, hook: usize, number: &mut u64, count: u64) {
    let account = &scene.hooks[hook].account;
    let item = |number: u64| json!({"mark": mark(number)}).to_string();
    let numbers: Vec<u64> = (*number..*number + count).collect();
    *number += count;
    let body: String =
        numbers.iter().map(|&one| format!("{{\"type\":\"event\",\"item\":{}}}\n", item(one))).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let began_ms = scene.clock().now_ms();
    let reply = scene.bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let span = Span { began_ms, ended_ms: scene.clock().now_ms() };
    for (at, &one) in numbers.iter().enumerate() {
        let id = reply.json()["results"][at]["id"].as_str().unwrap().to_owned();
        let digest = Some(digest(item(one).as_bytes()));
        let sent = Sent { account: account.id.clone(), item_type: "event".into(), digest };
        scene.published.asked(one, &sent, span, Answer::Accepted(Some(id)));
    }
}

/// Has the call with this number, counted from now on, go wrong.
fn break_call(scene: &Scene, wrong: Wrong, call: u64) {
    let before = scene.ledger.calls(DELIVER);
    let (befalls, mut repeats) = match wrong {
        Wrong::Call(befalls) => (befalls, 0),
        // The client makes three tries.
        Wrong::CallAndRepeats(befalls) => (befalls, 2),
        Wrong::KilledAtRequest => return,
    };
    let mut operation = None;
    scene.ledger.break_calls(move |seen| {
        if seen.function != DELIVER {
            return Befalls::Nothing;
        }
        if seen.number == before + call {
            operation = Some(seen.operation.to_owned());
            return befalls;
        }
        if operation.as_deref() == Some(seen.operation) && repeats > 0 {
            repeats -= 1;
            return befalls;
        }
        Befalls::Nothing
    });
}

/// Kills the function while it waits for the receivers' answer to the request with this number.
async fn kill_at_request(scene: &Scene, before: u64, number: u64) {
    while scene.bundle.receiver.totals().received < before + number {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    scene.ledger.kill(DELIVER, Duration::ZERO);
    std::future::pending::<()>().await;
}

/// One case. Answers its figures, or nothing where the batch made fewer calls.
async fn case(scene: &mut Scene, number: &mut u64, wrong: Wrong, call: u64) -> Option<Counts> {
    let hooks = arrange(scene, number).await;
    let (calls, requests) = (scene.ledger.calls(DELIVER), scene.bundle.receiver.totals().received);
    break_call(scene, wrong, call);
    if wrong == Wrong::KilledAtRequest {
        for (hook, status) in hooks.into_iter().zip([204, 500, 204]) {
            let then = Box::new(Response::status(StatusCode::from_u16(status).unwrap()));
            scene.answer(&scene.hooks[hook].path, Response::Delay { by: KEPT, then });
        }
        let sent = async {
            send(scene, hooks[0], number, ITEMS).await;
            scene.quiet().await;
        };
        tokio::select! { () = kill_at_request(scene, requests, call) => {}, () = sent => {} }
    } else {
        send(scene, hooks[0], number, ITEMS).await;
        scene.quiet().await;
    }
    let made = match wrong {
        Wrong::KilledAtRequest => scene.bundle.receiver.totals().received - requests,
        _ => scene.ledger.calls(DELIVER) - calls,
    };
    let (verdicts, counts) = scene.settle().await;
    assert!(verdicts.is_empty(), "{wrong:?} at {call}: {verdicts:#?}\n{:#?}", scene.bundle.complaints());
    assert!(counts.kept.is_empty(), "{wrong:?} at {call}: {:?}", counts.kept);
    // What was judged is over: the next case has a record of its own.
    for hook in hooks {
        let deleted = scene.act(hook, Method::DELETE, "", "").await;
        scene.hooks[hook].known.deleted = Some(deleted);
    }
    (made >= call).then_some(counts)
}

/// Runs cases until one makes fewer calls than its number.
#[expect(clippy::print_stdout, reason = "a run tells what it measured")]
async fn every_call_in_turn(wrongs: &[Wrong]) {
    let own = [("DeliverConcurrency", "2"), ("AttemptSeconds", "20")];
    let (mut scene, kills) = Scene::start(own).await;
    let (ledger, bundle) = (Arc::clone(&scene.ledger), Arc::clone(&scene.bundle));
    let cases = async {
        let mut number = 0;
        for &wrong in wrongs {
            let mut last = None;
            let mut cases = 0;
            for call in 1..=MOST_CALLS {
                let Some(counts) = case(&mut scene, &mut number, wrong, call).await else { break };
                (last, cases) = (Some(counts), call);
            }
            println!("{wrong:?}: {cases} cases, so far {:?}", last);
            assert!((3..MOST_CALLS).contains(&cases), "{wrong:?}: {cases} cases");
            let counts = last.unwrap();
            assert_eq!(counts.lost, 0);
            let is_kill = matches!(wrong, Wrong::Call(_) | Wrong::KilledAtRequest);
            assert!(!is_kill || counts.duplicates.contains_key(&Explanation::DeliverKilled), "{counts:?}");
        }
    };
    tokio::select! {
        () = ledger.kills(bundle, kills) => {}
        () = cases => {}
    }
    scene.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_killed_at_any_call_loses_nothing() {
    every_call_in_turn(&[
        Wrong::Call(Befalls::KillBefore),
        Wrong::Call(Befalls::KillAfter),
        Wrong::KilledAtRequest,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_any_call_fails_loses_nothing() {
    every_call_in_turn(&[
        Wrong::CallAndRepeats(Befalls::ErrorBefore),
        Wrong::CallAndRepeats(Befalls::ErrorAfter),
        Wrong::CallAndRepeats(Befalls::DropAfter),
    ])
    .await;
}
