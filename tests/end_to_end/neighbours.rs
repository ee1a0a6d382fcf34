//! What one account does leaves the others theirs: tests of black holes, and pages with made-up tokens.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_networks::network::Network;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON, assert_problem};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

const TICK: Duration = Duration::from_secs(15 * 60);

#[tokio::test]
async fn tests_of_black_holes_leave_places_for_another_accounts_test() {
    let bundle = Bundle::start_with([("AttemptSeconds", "3")]).await;
    let (account, neighbour) = (bundle.account().await, bundle.account().await);
    let hole = bundle.webhook(&account, "/hole", &["message"]).await;
    let healthy = bundle.webhook(&neighbour, "/healthy", &["message"]).await;
    bundle.receiver.set_behaviour("/hole", Behaviour::from(Answer::hang()));
    let (path, test) = (format!("/webhooks/{}/test", hole.id), format!("/webhooks/{}/test", healthy.id));
    let tests = async {
        let tests = stream::iter(0..30).map(|_| bundle.client.post(&path, &account.key, ""));
        tests.buffer_unordered(30).collect::<Vec<_>>().await
    };
    let meanwhile = async {
        bundle.receiver.wait_for_count("/hole", 1, SOON).await.unwrap();
        bundle.client.post(&test, &neighbour.key, "").await
    };
    let (replies, neighbours) = tokio::join!(tests, meanwhile);
    assert_eq!(neighbours.json()["outcome"], "success", "{}", neighbours.text());
    let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    // Two at once; on a busy machine the requests come over several times that a test takes.
    assert!((2..=12).contains(&made.len()), "{}", made.len());
    assert!(made.iter().all(|reply| reply.json()["error"] == "timeout"));
    let came = bundle.receiver.deliveries_to("/hole");
    assert_eq!(came.len(), made.len(), "what is refused is not made");
    let mut times: Vec<u64> = came.iter().map(|one| one.received_at_ms).collect();
    times.sort_unstable();
    // Each waits three seconds in vain, of which a busy machine may take some before it is received.
    assert!(times.windows(3).all(|three| three[2] - three[0] >= 1000), "more than two at once: {times:?}");
    for reply in &refused {
        assert_problem(reply, 429, "too-many-requests");
        let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=9).contains(&seconds), "{seconds}");
    }
    bundle.receiver.set_behaviour("/hole", Behaviour::default());
    let again = bundle.client.post(&path, &account.key, "").await;
    assert_eq!(again.status, 200, "a place that was given back is free: {}", again.text());
    bundle.stop().await;
}

pub(crate) async fn connect(
    bundle: &Bundle,
    account: &Account,
    network: Network,
    id: &str,
    token: &str,
) -> String {
    let page = json!({"network": network.as_str(), "network_id": id, "name": "p", "access_token": token});
    let reply = bundle.client.post("/pages", &account.key, page.to_string()).await.with_status(201);
    format!("/pages/{}", reply.json()["id"].as_str().unwrap())
}

/// How often a real page is polled in a few hours of ticks, beside another account's pages whose tokens are made up.
async fn polls_beside(network: Network, real: &str, made_up: usize, most_calls: usize) -> usize {
    const TICKS: usize = 9;
    // A limit of the member's that lets a page be polled at each tick; those of the app are the networks' own.
    let settings = [("NetworkSettings", r#"{"linkedin": {"limits": {"page": 1000}}}"#)];
    let bundle = Bundle::start_with(settings).await;
    let (account, hostile) = (bundle.account().await, bundle.account().await);
    bundle.networks.connect(network, real, "a-real-token-of-the-page");
    let pages = stream::iter(0..made_up).map(|n| {
        let (bundle, hostile) = (&bundle, &hostile);
        let id = if network == Network::Youtube { format!("UC_made_up_{n:013}") } else { format!("7{n:05}") };
        async move { connect(bundle, hostile, network, &id, &format!("a-made-up-token-{n}")).await }
    });
    let pages: Vec<String> = pages.buffer_unordered(20).collect().await;
    // They come first, and have a tick of their own.
    bundle.tick().await;
    bundle.until_rest().await;
    let page = connect(&bundle, &account, network, real, "a-real-token-of-the-page").await;
    let mut polled = BTreeSet::new();
    for _ in 0..TICKS {
        bundle.advance(TICK).await;
        bundle.tick().await;
        bundle.until_rest().await;
        let shown = bundle.client.get(&page, &account.key).await.json();
        assert_eq!(shown["token"]["state"], "ok", "{shown}");
        polled.insert(shown["last_tick"]["at"].to_string());
    }
    let calls = bundle.networks.calls(network);
    let in_vain = calls.iter().filter(|call| call.page.as_deref() != Some(real)).count();
    assert!(in_vain <= most_calls, "{network}: {in_vain} calls with made-up tokens");
    assert_eq!(bundle.networks.over_limit(network), 0, "{network}");
    assert_eq!(bundle.networks.with_dead_tokens(network), 0, "{network}");
    // A check of a page whose token is dead makes no call, and says what is known.
    let mut dead = 0;
    for path in &pages {
        let shown = bundle.client.get(path, &hostile.key).await.json();
        if shown["token"]["state"] != "unknown" {
            dead += 1;
            let checked = bundle.client.post(&format!("{path}/check"), &hostile.key, "").await;
            assert_eq!(checked.status, 202);
            // Some networks do not say which.
            let state = checked.json()["token"]["state"].clone();
            assert!(["revoked", "expired"].map(Value::from).contains(&state), "{network}: {state}");
        }
    }
    assert!(made_up == 0 || dead > 0);
    bundle.until_rest().await;
    assert_eq!(bundle.networks.calls(network).len(), calls.len(), "{network}: no call for what is dead");
    bundle.stop().await;
    polled.len()
}

#[tokio::test]
async fn made_up_tokens_take_no_ticks_of_other_pages_on_linkedin() {
    // Of 500 calls a day of the app, such pages of one account have ten; twenty, where the test passes midnight.
    let beside = polls_beside(Network::Linkedin, "77", 120, 20).await;
    assert_eq!(beside, polls_beside(Network::Linkedin, "77", 0, 0).await);
    assert!(beside >= 8, "{beside}");
}

#[tokio::test]
async fn made_up_tokens_take_no_ticks_of_other_pages_on_youtube() {
    // Each is asked about once, and then its token is dead.
    let beside = polls_beside(Network::Youtube, "UC_planted_channel_000001", 60, 60).await;
    assert_eq!(beside, polls_beside(Network::Youtube, "UC_planted_channel_000001", 0, 0).await);
    assert!(beside >= 8, "{beside}");
}
