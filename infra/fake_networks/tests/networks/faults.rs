//! What goes wrong on demand, what is of the future, and the control over HTTP.

use std::time::Duration;

use carteiro_fake_networks::{Fault, Thing, TokenState};
use carteiro_networks::network::Network::{Facebook, X};
use serde_json::{Value, json};

use crate::support::{HOUR, MINUTE, World};

const FEED: &str = "/facebook/v26.0/501/feed";

async fn world() -> World {
    let world = World::start().await;
    world.networks.connect(Facebook, "501", "t");
    world.networks.connect(Facebook, "502", "u");
    world
}

#[tokio::test]
async fn a_fault_comes_when_and_to_whom_it_was_planned() {
    let world = world().await;
    let networks = &world.networks;
    networks.fault(Facebook, Fault::Unavailable(503).times(2).on("feed").of("501").after(1));
    let status = async |path: &str, token: &str| world.get(path, token).await.status;
    assert_eq!(status(FEED, "t").await, 200);
    assert_eq!(status("/facebook/v26.0/me", "t").await, 200);
    assert_eq!(status("/facebook/v26.0/502/feed", "u").await, 200);
    let failed = world.get(FEED, "t").await;
    assert_eq!((failed.status, &failed.json()["error"]["is_transient"]), (503, &json!(true)));
    assert_eq!(status(FEED, "t").await, 503);
    assert_eq!(status(FEED, "t").await, 200);
    networks.fault(Facebook, Fault::Unavailable(502).lasting(HOUR));
    assert!(world.get(FEED, "t").await.text.contains("<html>"));
    world.clock.advance(HOUR);
    assert_eq!(status(FEED, "t").await, 200);
    networks.fault(Facebook, Fault::Dropped.always());
    assert!(world.try_get(FEED, "t").await.is_none());
    networks.lift_faults(Facebook);
    networks.fault(Facebook, Fault::Malformed);
    let cut = world.get(FEED, "t").await;
    assert!(cut.status == 200 && serde_json::from_str::<Value>(&cut.text).is_err());
    networks.fault(Facebook, Fault::Slow(Duration::from_millis(50)));
    networks.fault(Facebook, Fault::Answer { status: 400, body: "{}".into() }.on("me"));
    assert_eq!(
        (status("/facebook/v26.0/me", "t").await, status("/facebook/v26.0/me", "t").await),
        (200, 400)
    );
    let faults: Vec<_> = networks.calls(Facebook).iter().filter_map(|call| call.fault).collect();
    assert_eq!(
        faults,
        ["unavailable", "unavailable", "unavailable", "dropped", "malformed", "slow", "answer"]
    );
}

#[tokio::test]
async fn a_limit_and_a_tokens_death_come_between_two_pages_of_a_list() {
    let world = world().await;
    let networks = &world.networks;
    for n in 0..4 {
        networks.publish(Facebook, "501", Thing::post(format!("{n}"))).unwrap();
    }
    networks.cap_pages(Facebook, 2);
    networks.fault(Facebook, Fault::Limited(30 * MINUTE).on("feed").after(1));
    let first = world.get(FEED, "t").await.json();
    let next = first["paging"]["next"].as_str().unwrap();
    let limited = world.get(next, "").await;
    assert_eq!((limited.status, limited.json()["error"]["code"].as_i64()), (400, Some(80_001)));
    assert_eq!(networks.over_limit(Facebook), 0);
    assert_eq!(world.get("/facebook/v26.0/me", "t").await.status, 400, "all of the page's calls");
    assert_eq!(world.get("/facebook/v26.0/me", "u").await.status, 200, "and no other's");
    assert_eq!(networks.over_limit(Facebook), 1);
    world.clock.advance(31 * MINUTE);
    networks.fault(Facebook, Fault::Token(TokenState::Revoked).on("feed").after(1));
    assert_eq!(world.get(FEED, "t").await.status, 200);
    for _ in 0..2 {
        assert_eq!(world.get(next, "").await.json()["error"]["error_subcode"], 460);
    }
    assert_eq!(networks.with_dead_tokens(Facebook), 1);
    networks.connect(Facebook, "501", "renewed");
    let rest = next.replace("access_token=t", "access_token=renewed");
    assert_eq!(world.get(&rest, "").await.ids().len(), 2, "its cursor is as good as it was");
    networks.connect(X, "42", "xt");
    networks.fault(X, Fault::Limited(HOUR).on("mentions"));
    let limited = world.get("/x/2/users/42/mentions", "xt").await;
    let reset: u64 = limited.header("x-rate-limit-reset").parse().unwrap();
    assert!(limited.status == 429 && reset * 1000 >= world.clock.now_ms() + 59 * 60_000);
    assert_eq!(world.get("/x/2/users/42/mentions", "xt").await.status, 429);
    assert_eq!((networks.over_limit(X), world.get("/x/2/users/me", "xt").await.status), (1, 200));
    world.clock.advance(HOUR);
    assert_eq!(world.get("/x/2/users/42/mentions", "xt").await.status, 200);
}

#[tokio::test]
async fn what_is_of_the_future_is_there_when_its_time_has_come() {
    let world = world().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let later = networks.publish(Facebook, "501", Thing::post("later").at(now + 3_600_000)).unwrap();
    let late =
        networks.publish(Facebook, "501", Thing::post("late").at(now).shown_from(now + 7_200_000)).unwrap();
    assert!(world.get(FEED, "t").await.ids().is_empty());
    assert_eq!(world.get(&format!("/facebook/v26.0/{later}"), "t").await.status, 400);
    world.clock.advance(HOUR);
    assert_eq!(world.get(FEED, "t").await.ids(), std::slice::from_ref(&later));
    world.clock.advance(HOUR);
    assert_eq!(world.get(FEED, "t").await.ids(), [later, late], "by their own times");
    assert_eq!(networks.things(Facebook, "501").len(), 2);
}

#[tokio::test]
async fn the_control_api_does_what_the_handle_does_and_shows_no_token() {
    let world = World::start().await;
    let control = async |verb: &str, body: Value| {
        let answer =
            world.post(&format!("/control/{verb}"), "application/json", body.to_string()).await.unwrap();
        assert!(!answer.text.contains("IGsecret"), "{}", answer.text);
        (answer.status, answer.json())
    };
    let instagram = |mut body: Value| {
        body["network"] = "instagram".into();
        body
    };
    let connected = control("connect", instagram(json!({"page": "178", "token": "IGsecret"}))).await;
    assert_eq!(connected, (200, json!({})));
    let thing = instagram(
        json!({"page": "178", "kind": "post", "text": "a photo", "members": {"media_type": "VIDEO"}}),
    );
    let (_, published) = control("publish", thing).await;
    let id = published["id"].as_str().unwrap();
    control("edit", instagram(json!({"id": id, "text": "a film"}))).await;
    let fields = "/instagram/token/v26.0/me/media?fields=caption,media_type";
    let media = world.get(fields, "IGsecret").await.json();
    assert_eq!(media["data"][0], json!({"caption": "a film", "media_type": "VIDEO", "id": id}));
    control("fault", instagram(json!({"fault": {"unavailable": 503}, "seconds": 60}))).await;
    assert_eq!(world.get(fields, "IGsecret").await.status, 503);
    world.clock.advance(MINUTE);
    control("usage", instagram(json!({"page": "178", "percent": 100, "regain_minutes": 1}))).await;
    assert_eq!(world.get(fields, "IGsecret").await.json()["error"]["code"], 80_002);
    world.clock.advance(MINUTE);
    control(
        "token",
        instagram(json!({"token": "IGsecret", "state": {"narrowed": "instagram_business_basic"}})),
    )
    .await;
    assert_eq!(world.get(fields, "IGsecret").await.status, 403);
    assert_eq!(control("token", instagram(json!({"token": "IGother", "state": "good"}))).await.0, 422);
    control("remove", instagram(json!({"id": id}))).await;
    let things = world.get("/control/things?network=instagram&page=178", "").await.json();
    assert!(things["things"][0]["removed_ms"].is_number(), "{things}");
    let calls = world.get("/control/calls?network=instagram", "").await;
    assert_eq!(calls.json()["calls"].as_array().unwrap().len(), 4);
    assert!(!calls.text.contains("IGsecret"));
    let refused =
        control("publish", json!({"network": "x", "page": "1", "kind": "post", "token": "IGsecret"})).await;
    assert_eq!((refused.0, refused.1["detail"].as_str()), (422, Some("no page 1 is connected")));
    assert_eq!(control("connect", json!({"network": "myspace", "token": "IGsecret"})).await.0, 400);
    assert_eq!(control("dance", json!({})).await.0, 404);
}

#[tokio::test]
async fn a_stop_ends_the_connections_that_are_open() {
    let world = world().await;
    assert_eq!(world.get(FEED, "t").await.status, 200);
    world.networks.stop().await;
    assert!(world.try_get(FEED, "t").await.is_none());
}
