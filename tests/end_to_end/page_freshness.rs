//! How fresh a page's things are, as its owner sees it, and the notice of a page that is silent against its habit.

use std::time::Duration;

use carteiro_fake_networks::{Connection, Thing};
use carteiro_networks::freshness::Hour;
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, dynamodb};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alerts::{confirmed_email, told};
use crate::networks::{SECRETS, arrived, push_of, pushed};

const HOUR: Duration = Duration::from_secs(3600);
const PAGE: &str = "501";

/// A bundle with a page of Facebook's, which was polled once.
async fn connected() -> (Bundle, Account, String) {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
    bundle.webhook(&account, "/notices", &["notice"]).await;
    bundle.networks.connect_with(Network::Facebook, Connection::new(PAGE, "a-token"));
    let given =
        json!({"network": "facebook", "network_id": PAGE, "name": "Uma página", "access_token": "a-token"});
    let reply = bundle.client.post("/pages", &account.key, given.to_string()).await.with_status(201);
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    tick(&bundle).await;
    (bundle, account, id)
}

async fn tick(bundle: &Bundle) {
    bundle.tick().await;
    bundle.until_rest().await;
}

async fn shown(bundle: &Bundle, account: &Account, page: &str) -> Value {
    bundle.client.get(&format!("/pages/{page}"), &account.key).await.json()
}

fn notices(bundle: &Bundle) -> Vec<Value> {
    let deliveries = bundle.receiver.deliveries_to("/notices");
    deliveries.iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect()
}

fn now(bundle: &Bundle) -> Timestamp {
    Timestamp::from_millisecond(bundle.stack.clock().now_ms().cast_signed()).unwrap()
}

#[tokio::test]
async fn a_page_shows_how_fresh_its_things_are_by_kind() {
    let (bundle, account, page) = connected().await;
    let page_shown = shown(&bundle, &account, &page).await;
    assert_eq!(page_shown["freshness"], Value::Null);
    assert_eq!(page_shown["silence"], Value::Null);

    bundle.advance(Duration::from_secs(60)).await;
    let networks = &bundle.networks;
    for text in ["a", "b", "c"] {
        networks.publish(Network::Facebook, PAGE, Thing::post(text)).unwrap();
    }
    let message = networks.publish(Network::Facebook, PAGE, Thing::direct_message("77", "oi")).unwrap();
    let things = networks.things(Network::Facebook, PAGE);
    let message = things.iter().find(|thing| thing.id == message).unwrap();
    let push = push_of(Network::Facebook, message, &things).unwrap();
    pushed(&bundle, "facebook", &push).await;
    bundle.advance(Duration::from_secs(700)).await;
    tick(&bundle).await;
    arrived(&bundle, "/collected", 4).await;

    let freshness = shown(&bundle, &account, &page).await["freshness"].clone();
    assert_eq!(freshness["promise"], json!({"p95_seconds": 900, "p99_seconds": 86_400}));
    let kinds = &freshness["kinds"];
    let posts = &kinds["post"];
    assert_eq!(posts["count"], 3, "{kinds}");
    for percentile in ["median_seconds", "p95_seconds", "p99_seconds"] {
        let seconds = posts[percentile].as_u64().unwrap();
        assert!((900..=1800).contains(&seconds), "{kinds}");
    }
    assert_eq!(kinds["direct_message"]["count"], 1, "{kinds}");
    let rows = dynamodb::scan(&bundle, "InboxTable").await;
    let rows = rows.iter().filter(|row| row["pk"]["S"] == format!("{page}#fresh")).count();
    assert!((1..=2).contains(&rows), "one for each hour: {rows}");
    let listed = bundle.client.get("/pages", &account.key).await.json();
    assert_eq!(listed["data"][0]["freshness"], Value::Null);

    bundle.advance(26 * HOUR).await;
    assert_eq!(shown(&bundle, &account, &page).await["freshness"], Value::Null);
    bundle.stop().await;
}

#[tokio::test]
async fn a_silent_page_is_told_of_once_until_something_comes() {
    let (bundle, account, page) = connected().await;
    confirmed_email(&bundle, &account, "ana@example.com").await;
    // Its habit: something each twelve hours, for ten days.
    let last = Hour::of(now(&bundle));
    for nth in 0..20 {
        let hour = json!({"S": last.earlier(nth * 12).to_string()});
        let row = json!({"pk": {"S": format!("{page}#fresh")}, "sk": hour, "post.0": {"N": "1"}});
        dynamodb::call(&bundle, "PutItem", &json!({"TableName": "InboxTable", "Item": row})).await;
    }
    for hours in [24, 12] {
        bundle.advance(hours * HOUR).await;
        tick(&bundle).await;
        assert_eq!(shown(&bundle, &account, &page).await["silence"], Value::Null);
    }
    bundle.advance(HOUR).await;
    tick(&bundle).await;
    let page_shown = shown(&bundle, &account, &page).await;
    let since = last.end();
    assert_eq!(page_shown["silence"], json!({"since": format!("{since:.3}"), "usual_hours": 12}));
    assert_eq!(
        bundle.client.get("/pages", &account.key).await.json()["data"][0]["silence"],
        page_shown["silence"]
    );
    for _ in 0..3 {
        bundle.advance(2 * HOUR).await;
        tick(&bundle).await;
    }
    bundle.receiver.wait_for_count("/notices", 1, carteiro_tests::SOON).await.unwrap();
    assert_eq!(bundle.count_at_rest("/notices").await, 1);
    let notice = &notices(&bundle)[0];
    assert_eq!((&notice["type"], &notice["data"]["page"]), (&json!("page.silent"), &json!(page)));
    assert_eq!(notice["data"]["usual_hours"], 12);
    assert_eq!(told(&bundle, "ana@example.com", "em silêncio").len(), 1, "people are told once, too");

    bundle.networks.publish(Network::Facebook, PAGE, Thing::post("de volta")).unwrap();
    bundle.advance(Duration::from_secs(900)).await;
    tick(&bundle).await;
    assert_eq!(shown(&bundle, &account, &page).await["silence"], Value::Null);
    bundle.stop().await;
}
