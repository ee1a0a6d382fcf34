//! Pushes: from a network's request to the webhooks that take what it carried.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::SignatureCheck;
use carteiro_tests::{Account, Bundle, SOON, assert_problem, dynamodb};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::networks::{
    Inbox, META_SECRET, META_VERIFY, SECRETS, X_IS_AWAY, X_SECRET, arrived, comment, connect, connect_with,
    facebook, hand_on, inbox, inbox_rows, instagram, push, push_to, pushed, signature, x,
};

async fn get(bundle: &Bundle, path: &str) -> carteiro_tests::client::Reply {
    bundle.client.request(Method::GET, path, &[], Bytes::new()).await
}

/// Nothing arrives but what was there already.
async fn nothing_more_arrives(bundle: &Bundle, path: &str, count: u64) {
    assert_eq!(bundle.count_at_rest(path).await, count);
}

#[tokio::test]
async fn a_networks_check_of_the_address_is_answered_without_a_table() {
    let bundle = Bundle::start_with([
        ("MetaVerifyToken", META_VERIFY),
        ("MetaAppSecrets", META_SECRET),
        ("XConsumerSecrets", "__APP_SECRET__"),
    ])
    .await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |_: DynamodbCall<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Verdict::default()
    })));
    let meta = |token: &str| format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
    for network in ["facebook", "instagram"] {
        let reply = get(&bundle, &format!("/push/{network}?{}", meta(META_VERIFY))).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "1158201444"));
        assert_eq!(reply.header("content-type"), Some("text/plain"));
        let reply = get(&bundle, &format!("/push/{network}?{}", meta("another"))).await;
        assert_problem(&reply, 403, "forbidden");
        assert_problem(&get(&bundle, &format!("/push/{network}")).await, 400, "bad-request");
    }
    let reply = get(&bundle, "/push/x?crc_token=__TOKEN_FROM_TWITTER__").await.with_status(200);
    let answer = "sha256=rPq0FJoFEukzQI8G52D6xjiQ4BGXK4EuZWYZCWMMlsQ=";
    assert_eq!(reply.json(), json!({"response_token": answer}));
    assert_problem(&get(&bundle, "/push/x").await, 400, "bad-request");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn without_secrets_no_push_is_accepted_and_the_network_retries() {
    let bundle = Bundle::start().await;
    for network in ["facebook", "instagram", "x"] {
        let reply = push_to(&bundle.client, network, "any", b"{}").await.unwrap();
        assert_problem(&reply, 503, "unavailable");
        let path =
            format!("/push/{network}?hub.mode=subscribe&hub.challenge=1&hub.verify_token=&crc_token=a");
        assert_problem(&get(&bundle, &path).await, 503, "unavailable");
    }
    assert_eq!(inbox(&bundle).await, Inbox::default());
    bundle.stop().await;
}

#[tokio::test]
async fn a_push_without_a_valid_signature_is_refused_and_not_stored() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    for (network, secret, body) in [
        ("facebook", META_SECRET, facebook(&[("1", vec![comment(1, "olá")])])),
        ("instagram", META_SECRET, instagram("1", "2")),
        ("x", X_SECRET, x("1", "2")),
    ] {
        connect(&bundle, &account, network, "1").await;
        let body = body.to_string();
        let (header, good) = signature(network, secret, body.as_bytes());
        let (_, of_another) = signature(network, "another", body.as_bytes());
        let path = format!("/push/{network}");
        let bad = ["", "sha256=", &of_another, &good.to_uppercase(), &format!("{good} "), &good[7..]];
        for bad in bad {
            let reply = bundle.client.request(Method::POST, &path, &[(header, bad)], body.clone()).await;
            // A trailing space is none in a header.
            if bad.trim() == good {
                assert_eq!(reply.status, 200);
            } else {
                assert_problem(&reply, 401, "unauthorized");
            }
        }
        let unsigned = bundle.client.request(Method::POST, &path, &[], body.clone()).await;
        assert_problem(&unsigned, 401, "unauthorized");
        let altered = body.replacen(':', ": ", 1);
        let reply = bundle.client.request(Method::POST, &path, &[(header, &good)], altered).await;
        assert_problem(&reply, 401, "unauthorized");
    }
    assert_eq!(inbox(&bundle).await, Inbox { ready: 3, ..Inbox::default() }, "the three that were good");
    let logged = bundle.logs.of("IngestFunction").join("\n");
    assert!(!logged.contains("olá") && !logged.contains(META_SECRET) && !logged.contains(X_SECRET));
    bundle.stop().await;
}

#[tokio::test]
async fn the_published_signatures_are_good() {
    let bundle =
        Bundle::start_with([("MetaAppSecrets", "another,_MY_SECRET_"), ("XConsumerSecrets", "test")]).await;
    for (path, header, signature, body) in [
        (
            "/push/facebook",
            "x-hub-signature-256",
            "sha256=213c1132c265fc81f96f8188d7ac50d549e3529e474b7dfa33f932696ea08451",
            r#"{"object":"foo","entry":[{"id":"1234567890"}]}"#,
        ),
        (
            "/push/x",
            "x-twitter-webhooks-signature",
            "sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=",
            r#"{"test_number":1,"test_string":"two"}"#,
        ),
    ] {
        let reply = bundle.client.request(Method::POST, path, &[(header, signature)], body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    bundle.stop().await;
}

#[tokio::test]
async fn each_networks_pushes_are_stored_and_delivered_once_by_a_tick() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["publication", "interaction"]).await;
    let pushes = [
        ("facebook", facebook(&[("1", vec![comment(1, "olá")])])),
        ("instagram", instagram("1", "2")),
        ("x", x("1", "2")),
    ];
    let mut pages = BTreeSet::new();
    for (network, body) in &pushes {
        pages.insert(connect(&bundle, &account, network, "1").await);
        for _ in 0..2 {
            pushed(&bundle, network, body).await;
        }
    }
    assert_eq!(inbox(&bundle).await, Inbox { ready: 3, ..Inbox::default() });
    assert_eq!(bundle.receiver.count("/all"), 0, "nothing is dispatched before the tick");
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 3, ..Inbox::default() });
    let items = arrived(&bundle, "/all", 3).await;
    let of: BTreeSet<_> = items.values().map(|item| item["page"].as_str().unwrap().to_owned()).collect();
    assert_eq!(of, pages);
    for (id, item) in &items {
        assert_eq!((&item["id"], &item["by"]), (&json!(id), &json!("push")), "{item}");
        assert!(item["raw"].is_object() && item["collected_at"].is_string(), "{item}");
    }
    for delivery in bundle.receiver.wait_for_count("/all", 3, SOON).await.unwrap() {
        let item: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!(delivery.signature, SignatureCheck::Valid);
        let source = format!("page:{}", item["page"].as_str().unwrap());
        assert_eq!(delivery.header("carteiro-source"), Some(source.as_str()));
        assert_eq!(delivery.header("carteiro-item-type"), item["type"].as_str());
    }
    // Replayed after it was dispatched, and ticked again: nothing is new.
    for (network, body) in &pushes {
        pushed(&bundle, network, body).await;
    }
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 3, ..Inbox::default() });
    nothing_more_arrives(&bundle, "/all", 3).await;
    bundle.stop().await;
}

#[tokio::test]
async fn the_same_updates_in_other_batches_and_encodings_add_nothing() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    connect(&bundle, &account, "facebook", "2").await;
    let all: Vec<Value> = (0..6).map(|number| comment(number, "olá")).collect();
    pushed(&bundle, "facebook", &facebook(&[("1", all[..4].to_vec()), ("2", all[..1].to_vec())])).await;
    assert_eq!(inbox(&bundle).await.ready, 5);
    // Re-batched, in another order, twice in one body, with one that is new.
    let again = [
        ("2", all[..1].to_vec()),
        ("1", vec![all[3].clone(), all[1].clone(), all[4].clone(), all[4].clone()]),
    ];
    pushed(&bundle, "facebook", &facebook(&again)).await;
    assert_eq!(inbox(&bundle).await.ready, 6);
    // As bytes that the gateway hands over in base64.
    let body = facebook(&[("1", all.clone())]).to_string();
    let (header, value) = signature("facebook", META_SECRET, body.as_bytes());
    let headers = [(header, value.as_str()), ("content-type", "application/octet-stream")];
    bundle.client.request(Method::POST, "/push/facebook", &headers, body).await.with_status(200);
    assert_eq!(inbox(&bundle).await.ready, 7);
    // An edit is another version.
    pushed(&bundle, "facebook", &facebook(&[("1", vec![comment(0, "olá!")])])).await;
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 8, ..Inbox::default() });
    assert_eq!(arrived(&bundle, "/all", 8).await.len(), 8);
    nothing_more_arrives(&bundle, "/all", 8).await;
    bundle.stop().await;
}

/// A comment of Facebook's with a text, a picture and a verb, at a second.
fn comment_told(verb: &str, text: &str, photo: &str, second: i64) -> Value {
    let mut change = comment(1, text);
    change["value"]["verb"] = verb.into();
    change["value"]["photo"] = photo.into();
    change["value"]["created_time"] = second.into();
    change
}

/// A recommendation with the same text.
fn review_told(verb: &str, word: &str) -> Value {
    json!({"field": "ratings", "value": {"item": "rating", "verb": verb, "open_graph_story_id": 901,
        "reviewer_id": 9, "reviewer_name": "Ana", "recommendation_type": word, "review_text": "ok",
        "created_time": 1_795_000_000}})
}

#[tokio::test]
async fn an_edit_back_arrives_and_a_repeated_push_does_not() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    let one = |change: Value| facebook(&[("1", vec![change])]);
    let told = [
        comment_told("add", "A", "https://e.test/1.jpg", 1_795_000_000),
        comment_told("edited", "B", "https://e.test/1.jpg", 1_795_000_005),
        comment_told("edited", "A", "https://e.test/1.jpg", 1_795_000_009),
        // The same text with another picture.
        comment_told("edited", "A", "https://e.test/2.jpg", 1_795_000_012),
        review_told("add", "POSITIVE"),
        review_told("edit", "NEGATIVE"),
        review_told("edit", "POSITIVE"),
    ];
    for (number, change) in told.iter().enumerate() {
        pushed(&bundle, "facebook", &one(change.clone())).await;
        assert_eq!(hand_on(&bundle).await.handed_on, number + 1, "{change}");
    }
    for change in told.iter().rev().chain(&told) {
        pushed(&bundle, "facebook", &one(change.clone())).await;
    }
    assert_eq!(hand_on(&bundle).await.handed_on, 7);
    let items = arrived(&bundle, "/all", 7).await;
    let edited = items.values().filter(|item| item["action"] == "edited").count();
    assert_eq!((items.len(), edited), (7, 5));
    // The same picture from another host, in another size and with another signature is the same.
    let cdn = |address: &str| comment_told("edited", "C", address, 1_795_000_020);
    let signed = "https://scontent.xx.fbcdn.net/v/t1/9_n.jpg?oh=1&oe=2";
    pushed(&bundle, "facebook", &one(cdn(signed))).await;
    let again = "https://scontent-gru1-1.xx.fbcdn.net/v/t1/p40x40/9_n.jpg?stp=s&oh=3&oe=4";
    pushed(&bundle, "facebook", &one(cdn(again))).await;
    assert_eq!(hand_on(&bundle).await.handed_on, 8);
    nothing_more_arrives(&bundle, "/all", 8).await;
    bundle.stop().await;
}

#[tokio::test]
async fn reactions_without_a_sender_are_as_many_as_are_pushed() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    let love = json!({"field": "feed", "value": {"item": "reaction", "verb": "add", "post_id": "1_5",
        "reaction_type": "love", "created_time": 1_795_000_000}});
    let edits = ["add", "edited", "edited"].into_iter().zip(["A", "B", "A"]).zip(0..);
    let edits = edits.map(|((verb, text), number)| comment_told(verb, text, "", 1_795_000_000 + number));
    let changes = [love.clone(), love.clone()].into_iter().chain(edits).collect();
    let push = facebook(&[("1", changes)]);
    for _ in 0..2 {
        pushed(&bundle, "facebook", &push).await;
        assert_eq!(hand_on(&bundle).await.handed_on, 5, "two reactions, and a text with two edits");
    }
    assert_eq!(arrived(&bundle, "/all", 5).await.len(), 5);
    nothing_more_arrives(&bundle, "/all", 5).await;
    bundle.stop().await;
}

#[tokio::test]
async fn pushes_of_no_page_are_counted_and_unknown_ones_kept_raw() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    connect(&bundle, &account, "facebook", "1").await;
    pushed(&bundle, "facebook", &facebook(&[("404", vec![comment(1, "a"), comment(2, "b")])])).await;
    pushed(&bundle, "facebook", &facebook(&[("0", vec![comment(1, "the dashboard's test")])])).await;
    assert_eq!(inbox(&bundle).await, Inbox::default());
    let logged = |event: &str| {
        bundle.logs.of("IngestFunction").into_iter().filter(|line| line.contains(event)).collect::<Vec<_>>()
    };
    let lines = logged("push.not_connected");
    assert!(lines.iter().any(|line| line.contains("\"updates\":2")), "{lines:?}");
    for _ in 0..2 {
        let of_x = [("x", X_SECRET, r#"{"what": "is this?"}"#)];
        let of_meta = ["no json at all", "\u{1}"].map(|body| ("facebook", META_SECRET, body));
        for (network, secret, body) in of_x.into_iter().chain(of_meta) {
            let reply = push_to(&bundle.client, network, secret, body.as_bytes()).await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }
    // X's check of our address signs such texts for anybody, so the signature proves nothing.
    let reply = push_to(&bundle.client, "x", X_SECRET, b"no-json-at-all").await.unwrap();
    assert_problem(&reply, 401, "unauthorized");
    assert_eq!(inbox(&bundle).await, Inbox { unrecognised: 3, ..Inbox::default() });
    let rows = dynamodb::scan(&bundle, "InboxTable").await;
    assert!(rows.iter().all(|row| row["expires_at"]["N"].is_string()), "{rows:?}");
    let lines = logged("push.unrecognised");
    assert!(lines.len() >= 3 && lines.iter().all(|line| !line.contains("no json")), "{lines:?}");
    assert_eq!(hand_on(&bundle).await, Inbox { unrecognised: 3, ..Inbox::default() });
    bundle.stop().await;
}

#[tokio::test]
async fn the_largest_push_is_taken_and_a_byte_more_is_not() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    let mut body = facebook(&[("1", vec![comment(1, &"é".repeat(30_000))])]).to_string();
    body.push_str(&" ".repeat(1024 * 1024 - body.len()));
    let reply = push_to(&bundle.client, "facebook", META_SECRET, body.as_bytes()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    body.push(' ');
    let reply = push_to(&bundle.client, "facebook", META_SECRET, body.as_bytes()).await.unwrap();
    assert_problem(&reply, 413, "too-large");
    hand_on(&bundle).await;
    let items = arrived(&bundle, "/all", 1).await;
    assert_eq!(items.values().next().unwrap()["text"].as_str().map(str::len), Some(60_000));
    bundle.stop().await;
}

#[tokio::test]
async fn a_page_with_immediate_delivery_gets_its_pushes_at_once() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/now", &["interaction"]).await;
    let page = json!({"network": "facebook", "network_id": "1", "delivery": "immediate"});
    connect_with(&bundle, &account, page).await;
    // On a machine that is busy storing may take all the time that there is; then a tick does it.
    let (mut number, mut at_once) = (0, false);
    while !at_once {
        number += 2;
        assert!(number < 40, "nothing is dispatched as it arrives");
        let body = facebook(&[("1", vec![comment(number, "a"), comment(number + 1, "b")])]);
        pushed(&bundle, "facebook", &body).await;
        at_once = inbox(&bundle).await.ready == 0;
        hand_on(&bundle).await;
        pushed(&bundle, "facebook", &body).await;
        assert_eq!(bundle.tick().await["ready_shards"], 0);
    }
    let before = usize::try_from(number).unwrap();
    assert_eq!(inbox(&bundle).await, Inbox { handed_on: before, ..Inbox::default() });
    let items = arrived(&bundle, "/now", before).await;
    nothing_more_arrives(&bundle, "/now", u64::from(number)).await;
    // Where the queue does not take it, it waits for a tick after the lease.
    let queue_fails = |call: carteiro_local::SqsCall<'_>| {
        if call.action == "SendMessageBatch" {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Fate::FailBefore(Fault { status, code: "ServiceUnavailable".into(), message: "no".into() }).into()
        } else {
            Verdict::default()
        }
    };
    bundle.stack.intercept_sqs(Some(Arc::new(queue_fails)));
    pushed(&bundle, "facebook", &facebook(&[("1", vec![comment(0, "c")])])).await;
    bundle.stack.intercept_sqs(None);
    assert_eq!(inbox(&bundle).await, Inbox { handed_on: before, ready: 1, ..Inbox::default() });
    bundle.advance(Duration::from_secs(46)).await;
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: before + 1, ..Inbox::default() });
    let all = arrived(&bundle, "/now", before + 1).await;
    assert!(all.len() == before + 1 && items.keys().all(|id| all.contains_key(id)));
    bundle.stop().await;
}

#[tokio::test]
async fn by_default_messages_and_replies_of_others_go_at_once() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/now", &["publication", "interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    let message = json!({"object": "page", "entry": [{"id": "1", "time": 1_795_000_100_000_u64, "messaging": [{
        "sender": {"id": "77"}, "recipient": {"id": "1"}, "timestamp": 1_795_000_100_000_u64,
        "message": {"mid": "m_1", "text": "oi"},
    }]}]});
    let mut answer = comment(1, "uma resposta");
    answer["value"]["parent_id"] = json!("900_7");
    let answer = facebook(&[("1", vec![answer])]);
    for (body, kind) in [(message, "direct_message"), (answer, "reply")] {
        let before = inbox(&bundle).await.handed_on;
        pushed(&bundle, "facebook", &body).await;
        // On a machine that is busy storing may take all the time that there is; then a tick does it.
        let at_once = inbox(&bundle).await.handed_on > before;
        assert!(
            at_once || bundle.logs.of("IngestFunction").iter().any(|line| line.contains("handed_on\":0"))
        );
        hand_on(&bundle).await;
        let items = arrived(&bundle, "/now", before + 1).await;
        assert!(items.values().any(|item| item["kind"] == kind), "{items:?}");
    }
    let before = inbox(&bundle).await;
    pushed(&bundle, "facebook", &facebook(&[("1", vec![comment(2, "um comentário")])])).await;
    assert_eq!(inbox(&bundle).await, Inbox { ready: 1, ..before });
    hand_on(&bundle).await;
    nothing_more_arrives(&bundle, "/now", 3).await;
    bundle.stop().await;
}

/// Delays what a function asks of a table.
fn slow_table(operation: &'static str) -> impl Fn(DynamodbCall<'_>) -> Verdict + Send + Sync {
    move |call| match call.operation == operation {
        true => Verdict { delay: Duration::from_millis(700), ..Verdict::default() },
        false => Verdict::default(),
    }
}

#[tokio::test]
async fn a_late_immediate_push_is_dispatched_once_by_the_next_tick() {
    const ENTRIES: u32 = 60;
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/now", &["interaction"]).await;
    let page = json!({"network": "facebook", "network_id": "1", "delivery": "immediate"});
    connect_with(&bundle, &account, page).await;
    let body = |first: u32| {
        let of_one = (first..first + ENTRIES).map(|number| comment(number, "a")).collect();
        facebook(&[("1", of_one)])
    };
    let each = usize::try_from(ENTRIES).unwrap();
    // Storing takes the time that there is: nothing is begun.
    bundle.stack.intercept_dynamodb(Some(Arc::new(slow_table("BatchExecuteStatement"))));
    pushed(&bundle, "facebook", &body(0)).await;
    bundle.stack.intercept_dynamodb(None);
    assert_eq!(inbox(&bundle).await, Inbox { ready: each, ..Inbox::default() });
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(
        inbox(&bundle).await,
        Inbox { handed_on: each, ..Inbox::default() },
        "with no wait for a lease"
    );
    // The queue does: what was begun is sent and marked, and of the rest nothing is begun.
    let slow_queue = |call: carteiro_local::SqsCall<'_>| match call.action == "SendMessageBatch" {
        true => Verdict { delay: Duration::from_millis(900), ..Verdict::default() },
        false => Verdict::default(),
    };
    bundle.stack.intercept_sqs(Some(Arc::new(slow_queue)));
    pushed(&bundle, "facebook", &body(ENTRIES)).await;
    bundle.stack.intercept_sqs(None);
    let begun = inbox(&bundle).await.handed_on - each;
    println!("{begun} of {each} were dispatched before the answer");
    assert!(begun == 0 || begun == 50, "{begun}: a step, where the machine was quick enough to begin one");
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(inbox(&bundle).await, Inbox { handed_on: 2 * each, ..Inbox::default() });
    let counts = bundle.receiver.counts_by_webhook_id("/now");
    assert!(counts.len() == 2 * each && counts.values().all(|&count| count == 1), "{counts:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_unreadable_row_is_set_aside_and_the_rest_dispatched() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    pushed(&bundle, "facebook", &facebook(&[("1", (0..40).map(|number| comment(number, "a")).collect())]))
        .await;
    let row = dynamodb::scan(&bundle, "InboxTable").await.remove(0);
    let broken = json!({
        "TableName": "InboxTable", "Key": {"pk": row["pk"], "sk": row["sk"]},
        "UpdateExpression": "SET event = :broken", "ExpressionAttributeValues": {":broken": {"B": "AAEC"}},
    });
    dynamodb::call(&bundle, "UpdateItem", &broken).await;
    hand_on(&bundle).await;
    arrived(&bundle, "/all", 39).await;
    assert_eq!(bundle.tick().await["ready_shards"], 0);
    let rows = inbox_rows(&bundle).await;
    let aside: Vec<_> = rows.iter().filter(|row| row.get("handed_on_at").is_none()).collect();
    assert!(aside.len() == 1 && aside[0]["sk"] == row["sk"], "{aside:?}");
    assert_eq!(aside[0]["event"]["B"], "AAEC", "it can be looked at");
    assert!(aside[0].get("waiting").is_none() && aside[0].get("claim").is_none());
    let days = 2 * 14 * 24 * 3600;
    let received: i64 = row["received_at"]["N"].as_str().unwrap().parse().unwrap();
    let expires: i64 = aside[0]["expires_at"]["N"].as_str().unwrap().parse().unwrap();
    assert!((0..3600).contains(&(expires - received / 1000 - days)), "{}", aside[0]);
    let logged = bundle.logs.of("CollectFunction").into_iter();
    assert_eq!(logged.filter(|line| line.contains("inbox.unreadable")).count(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn two_accounts_with_the_same_page_each_get_its_pushes() {
    let bundle = Bundle::start_with(SECRETS).await;
    let (one, other) = (bundle.account().await, bundle.account().await);
    let mut pages = Vec::new();
    for (account, path) in [(&one, "/one"), (&other, "/other")] {
        bundle.webhook(account, path, &["interaction"]).await;
        pages.push(connect(&bundle, account, "facebook", "1").await);
    }
    pushed(&bundle, "facebook", &facebook(&[("1", vec![comment(1, "a")])])).await;
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 2, ..Inbox::default() });
    let (first, second) = (arrived(&bundle, "/one", 1).await, arrived(&bundle, "/other", 1).await);
    assert_ne!(first.keys().next(), second.keys().next());
    for (items, page) in [(first, &pages[0]), (second, &pages[1])] {
        assert_eq!(items.values().next().unwrap()["page"], page.as_str());
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhook_gets_only_the_sources_and_types_that_it_takes() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    let page = connect(&bundle, &account, "facebook", "1").await;
    connect(&bundle, &account, "facebook", "2").await;
    let settings = json!({
        "url": bundle.receiver.url("/one"), "items": ["interaction"], "sources": [format!("page:{page}")],
    });
    bundle.webhook_with(&account, settings).await;
    bundle.webhook(&account, "/publications", &["publication", "message"]).await;
    pushed(&bundle, "facebook", &facebook(&[("1", vec![comment(1, "a")]), ("2", vec![comment(2, "b")])]))
        .await;
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 2, ..Inbox::default() });
    assert_eq!(arrived(&bundle, "/one", 1).await.values().next().unwrap()["text"], "a");
    nothing_more_arrives(&bundle, "/one", 1).await;
    assert_eq!(bundle.receiver.count("/publications"), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_page_that_was_deleted_is_dropped() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    let page = connect(&bundle, &account, "facebook", "1").await;
    let body = facebook(&[("1", vec![comment(1, "a")])]);
    pushed(&bundle, "facebook", &body).await;
    assert_eq!(bundle.client.delete(&format!("/pages/{page}"), &account.key).await.status, 200);
    assert_eq!(hand_on(&bundle).await, Inbox::default());
    pushed(&bundle, "facebook", &body).await;
    assert_eq!(inbox(&bundle).await, Inbox::default(), "nobody's any more");
    nothing_more_arrives(&bundle, "/all", 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn incomplete_entries_are_dropped_and_counted_with_their_page() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    let page = connect(&bundle, &account, "instagram", "178").await;
    let mention = |media: u32| {
        let value = json!({"media_id": media.to_string(), "comment_id": format!("9{media}")});
        json!({"object": "instagram", "entry": [{"id": "178", "time": 1, "changes": [
            {"field": "mentions", "value": value},
        ]}]})
    };
    for media in [600, 601] {
        pushed(&bundle, "instagram", &mention(media)).await;
    }
    assert_eq!(inbox(&bundle).await, Inbox { incomplete: 2, ..Inbox::default() });
    let deleted = bundle.client.delete(&format!("/pages/{page}"), &account.key).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"dropped": 2, "dropped_more": false})));
    assert_eq!(inbox(&bundle).await, Inbox::default());
    bundle.stop().await;
}

async fn token_state(bundle: &Bundle, account: &Account, page: &str) -> String {
    let shown = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
    shown["token"]["state"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
}

/// The push by which X says that a user took an app's access back.
fn revoke(user: &str, at: &str) -> Value {
    json!({"user_event": {"revoke": {
        "date_time": at, "target": {"app_id": "13"}, "source": {"user_id": user},
    }}})
}

#[tokio::test]
async fn a_revoke_marks_the_token_but_an_older_one_no_renewed_token() {
    let (bundle, account) = Bundle::with_account(SECRETS.into_iter().chain([X_IS_AWAY])).await;
    bundle.webhook(&account, "/notices", &["notice"]).await;
    // Whoever took the access back is the page itself.
    bundle.webhook(&account, "/all", &["publication"]).await;
    let page = connect(&bundle, &account, "x", "9").await;
    let later = "2099-01-01T00:00:00+00:00";
    pushed(&bundle, "x", &revoke("9", later)).await;
    hand_on(&bundle).await;
    assert_eq!(token_state(&bundle, &account, &page).await, "revoked");
    let notices = arrived(&bundle, "/notices", 1).await;
    let notice = notices.values().next().unwrap();
    assert_eq!(notice["type"], "page.token_revoked", "{notice}");
    assert_eq!((&notice["data"]["page"], &notice["data"]["network"]), (&json!(page), &json!("x")));
    let items = arrived(&bundle, "/all", 1).await;
    assert_eq!(items.values().next().unwrap()["kind"], "other");
    // Renewed; and what was said of the older token comes again, or late.
    let patched = bundle
        .client
        .patch(&format!("/pages/{page}"), &account.key, &json!({"access_token": "a-new-token"}))
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    pushed(&bundle, "x", &revoke("9", later)).await;
    pushed(&bundle, "x", &revoke("9", "2020-01-01T00:00:00+00:00")).await;
    hand_on(&bundle).await;
    assert_eq!(token_state(&bundle, &account, &page).await, "unknown");
    arrived(&bundle, "/all", 2).await;
    nothing_more_arrives(&bundle, "/notices", 1).await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_signal_sent_but_not_marked_comes_again_unchanged() {
    let (bundle, account) = Bundle::with_account(SECRETS.into_iter().chain([X_IS_AWAY])).await;
    bundle.webhook(&account, "/notices", &["notice"]).await;
    let page = connect(&bundle, &account, "x", "9").await;
    pushed(&bundle, "x", &revoke("9", "2099-01-01T00:00:00+00:00")).await;
    let no_marks = |call: DynamodbCall<'_>| {
        let is_mark =
            call.operation == "PutItem" && String::from_utf8_lossy(call.body).contains("taken_back");
        let status = StatusCode::BAD_REQUEST;
        let fault = Fault { status, code: "ValidationException".into(), message: "no".into() };
        if is_mark { Fate::FailBefore(fault).into() } else { Verdict::default() }
    };
    bundle.stack.intercept_dynamodb(Some(Arc::new(no_marks)));
    bundle.tick().await;
    let told = arrived(&bundle, "/notices", 1).await;
    assert_eq!(inbox(&bundle).await, Inbox { ready: 1, ..Inbox::default() });
    assert_eq!(token_state(&bundle, &account, &page).await, "unknown");
    bundle.stack.intercept_dynamodb(None);
    bundle.advance(Duration::from_secs(121)).await;
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: 1, ..Inbox::default() });
    assert_eq!(token_state(&bundle, &account, &page).await, "revoked");
    let again = arrived(&bundle, "/notices", 2).await;
    assert_eq!(again, told, "one id, and the same bytes");
    bundle.stop().await;
}

#[tokio::test]
async fn a_push_that_cannot_be_stored_makes_the_network_retry() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    connect(&bundle, &account, "facebook", "1").await;
    let body = facebook(&[("1", (0..60).map(|number| comment(number, "a")).collect())]);
    for (operation, fails_after) in
        [("BatchExecuteStatement", false), ("BatchExecuteStatement", true), ("Query", false)]
    {
        let fails = move |call: DynamodbCall<'_>| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let fault = Fault { status, code: "InternalServerError".into(), message: "no".into() };
            match call.operation == operation {
                true if fails_after => Fate::FailAfter(fault).into(),
                true => Fate::FailBefore(fault).into(),
                false => Verdict::default(),
            }
        };
        bundle.stack.intercept_dynamodb(Some(Arc::new(fails)));
        let reply = push(&bundle, "facebook", &body).await;
        assert_problem(&reply, 503, "unavailable");
    }
    bundle.stack.intercept_dynamodb(None);
    pushed(&bundle, "facebook", &body).await;
    assert_eq!(inbox(&bundle).await, Inbox { ready: 60, ..Inbox::default() });
    bundle.stop().await;
}
