//! Items, in their real shapes, from a bot to a webhook.

use std::fs;
use std::path::PathBuf;

use carteiro_receiver::SignatureCheck;
use carteiro_tests::{Bundle, SOON, tools, workspace};
use http::StatusCode;
use serde_json::Value;

/// Every item of the fixtures: its type, by the beginning of its name, and its bytes.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = workspace().join("tests/fixtures/items");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let item_type =
        |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap().to_owned();
    files.iter().map(|file| (item_type(file), fs::read(file).unwrap())).collect()
}

#[tokio::test]
async fn every_item_arrives_unchanged_and_signed_with_its_headers() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message", "event", "contact"]).await;
    for (item_type, bytes) in fixtures() {
        let id =
            bundle.send(&account, &format!("/bots/lighthouse@example.net/{item_type}s"), bytes.clone()).await;
        let delivery =
            bundle.receiver.wait_for(|delivery| delivery.webhook_id() == Some(&id), SOON).await.unwrap();
        assert_eq!(delivery.body, bytes, "{item_type}");
        assert_eq!(delivery.signature, SignatureCheck::Valid);
        assert_eq!(delivery.method, "POST");
        assert_eq!(delivery.header("content-type"), Some("application/json"));
        assert_eq!(delivery.header("carteiro-item-type"), Some(item_type.as_str()));
        assert_eq!(delivery.header("carteiro-source"), Some("bot:lighthouse@example.net"));
        assert_eq!(delivery.header("carteiro-attempt"), Some("1"));
        assert_eq!(delivery.header("accept"), Some("*/*"));
        assert_eq!(delivery.header("user-agent"), Some(concat!("Carteiro/", env!("CARGO_PKG_VERSION"))));
    }
    bundle.stop().await;
}

#[tokio::test]
async fn odd_bytes_and_the_largest_item_arrive_unchanged() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message"]).await;
    let noncharacter = "{\"content\":\"\u{ffff}\u{fffe}\"}".to_owned();
    let largest = format!("{{\"content\":\"{}\"}}", "é\"".replace('"', "\\\"").repeat(65_532));
    let largest = format!("{largest}{}", " ".repeat(256 * 1024 - largest.len()));
    assert_eq!(largest.len(), 256 * 1024);
    for body in [noncharacter, largest] {
        let id = bundle.send(&account, "/bots/b/messages", body.clone()).await;
        let delivery =
            bundle.receiver.wait_for(|delivery| delivery.webhook_id() == Some(&id), SOON).await.unwrap();
        assert!(delivery.body == body.as_bytes(), "{} bytes", body.len());
        assert_eq!(delivery.signature, SignatureCheck::Valid);
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_message_with_its_own_id_keeps_its_webhook_id_when_resent() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message", "event"]).await;
    let message = r#"{"id":"abc","content":"oi"}"#;
    let first = bundle.send(&account, "/bots/b/messages", message).await;
    assert_eq!(bundle.send(&account, "/bots/b/messages", message).await, first);
    assert_ne!(bundle.send(&account, "/bots/c/messages", message).await, first, "another bot's");
    assert_ne!(
        bundle.send(&account, "/bots/b/messages", r#"{"id":"abc","content":"oi!"}"#).await,
        first,
        "other bytes"
    );
    let event = bundle.send(&account, "/bots/b/events", message).await;
    assert_ne!(
        bundle.send(&account, "/bots/b/events", message).await,
        event,
        "events have no id of their own"
    );
    bundle.stop().await;
}

/// What a sample of a folder of real ones is, where it is one JSON object.
fn sample_type(item: &Value) -> Option<&'static str> {
    let item = item.as_object()?;
    Some(if item.contains_key("category") {
        "event"
    } else if item.contains_key("type") || item.contains_key("content") {
        "message"
    } else {
        "contact"
    })
}

#[tokio::test]
async fn real_samples_arrive_unchanged_and_a_retry_has_the_same_id() {
    let Some(folder) = tools::samples() else { return };
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message", "event", "contact"]).await;
    let mut sent = 0;
    for entry in fs::read_dir(folder.join("blip")).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        let Some(item_type) = serde_json::from_slice(&bytes).ok().as_ref().and_then(sample_type) else {
            continue;
        };
        // The first attempt fails, so that there is a second.
        let failing = carteiro_receiver::Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
        let then = carteiro_receiver::Answer::status(StatusCode::OK);
        bundle.receiver.clear();
        bundle.receiver.set_behaviour("/all", carteiro_receiver::Behaviour::sequence([failing], then));
        let id = bundle.send(&account, &format!("/bots/b/{item_type}s"), bytes.clone()).await;
        bundle.receiver.wait_for_count("/all", 1, SOON).await.unwrap();
        bundle.advance(std::time::Duration::from_secs(7)).await;
        let deliveries = loop {
            match bundle.receiver.wait_for_count("/all", 2, std::time::Duration::from_secs(1)).await {
                Ok(deliveries) => break deliveries,
                // The delayed message may have been sent only after the time was moved.
                Err(_) => bundle.advance(std::time::Duration::from_secs(7)).await,
            }
        };
        for (delivery, attempt) in deliveries.iter().zip(1..) {
            assert_eq!(delivery.webhook_id(), Some(id.as_str()), "{}", file.display());
            assert_eq!(delivery.attempt(), Some(attempt));
            assert!(delivery.body == bytes, "{}", file.display());
            assert_eq!(delivery.signature, SignatureCheck::Valid);
        }
        sent += 1;
    }
    assert!(sent > 0, "no sample is one JSON object");
    println!("{sent} samples arrived byte for byte, twice each");
    bundle.stop().await;
}
