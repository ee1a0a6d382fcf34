//! X.

use carteiro_fake_networks::{Connection, Kind, LimitOf, Thing, TokenState};
use carteiro_networks::network::Network::X;
use serde_json::json;

use crate::support::{HOUR, MINUTE, World};

async fn user() -> World {
    let world = World::start().await;
    world.networks.connect_with(X, Connection::new("42", "xt").name("Acme").refresh_token("xr"));
    world
}

#[tokio::test]
async fn posts_are_listed_since_an_id_and_an_empty_list_has_no_data() {
    let world = user().await;
    let networks = &world.networks;
    let empty = world.get("/x/2/users/42/tweets", "xt").await;
    assert_eq!(empty.json(), json!({"meta": {"result_count": 0}}));
    let mut posts: Vec<String> = Vec::new();
    for n in 0..12 {
        world.clock.advance(MINUTE);
        posts.insert(0, networks.publish(X, "42", Thing::post(format!("{n}"))).unwrap());
    }
    assert!(posts.windows(2).all(|pair| pair[0].parse::<u64>().unwrap() > pair[1].parse::<u64>().unwrap()));
    let since = format!("/x/2/users/42/tweets?since_id={}&max_results=5", posts[11]);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{since}{cursor}"), "xt").await;
        found.extend(page.ids());
        let meta = page.json()["meta"].clone();
        let Some(next) = meta["next_token"].as_str() else { break };
        assert_eq!(meta["newest_id"], page.ids()[0]);
        cursor = format!("&pagination_token={next}");
    }
    assert_eq!(found, posts[..11]);
    assert_eq!(
        world.get(&since, "xt").await.json()["data"][0].as_object().unwrap().len(),
        3,
        "fields are asked for"
    );
    let edited = networks.edit(X, &posts[0], "again").unwrap();
    let newest = world.get("/x/2/users/42/tweets?max_results=5", "xt").await.json()["data"][0].clone();
    assert_eq!(newest["edit_history_tweet_ids"], json!([posts[0], edited]));
    for bad in ["max_results=101", "tweet.fields=shoes", "since=1", "pagination_token=nonsense"] {
        let refused = world.get(&format!("/x/2/users/42/tweets?{bad}"), "xt").await;
        assert_eq!(refused.status, 400, "{bad}");
        assert!(refused.json()["type"].as_str().unwrap().ends_with("/invalid-request"), "{}", refused.text);
    }
}

#[tokio::test]
async fn mentions_hold_what_others_write_also_if_the_parent_is_gone() {
    let world = user().await;
    let networks = &world.networks;
    let post = networks.publish(X, "42", Thing::post("news")).unwrap();
    let reply = Thing::reply(&post, "@Acme really?").by("7", "ana");
    let reply = networks.publish(X, "42", reply).unwrap();
    let path = "/x/2/users/42/mentions?tweet.fields=author_id,referenced_tweets,in_reply_to_user_id,entities,conversation_id\
                &expansions=author_id,referenced_tweets.id,referenced_tweets.id.author_id";
    let mentions = world.get(path, "xt").await.json();
    let found = &mentions["data"][0];
    assert_eq!((found["id"].as_str(), found["conversation_id"].as_str()), (Some(&*reply), Some(&*post)));
    assert_eq!((found["in_reply_to_user_id"].as_str(), found["author_id"].as_str()), (Some("42"), Some("7")));
    assert_eq!(found["entities"]["mentions"][0]["username"], "Acme");
    assert_eq!(mentions["includes"]["tweets"][0]["id"], *post);
    assert_eq!(mentions["includes"]["users"].as_array().unwrap().len(), 2);
    networks.remove(X, &post).unwrap();
    let mentions = world.get(path, "xt").await.json();
    assert_eq!(mentions["data"][0]["id"], *reply);
    assert!(mentions["errors"][0]["type"].as_str().unwrap().ends_with("/resource-not-found"), "{mentions}");
    let gone = world.get(&format!("/x/2/tweets/{post}"), "xt").await;
    assert!(gone.status == 200 && gone.json().get("data").is_none());
    let long = "é".repeat(300);
    let own = networks.publish(X, "42", Thing::post(&*long)).unwrap();
    let shown = world.get(&format!("/x/2/tweets/{own}?tweet.fields=note_tweet"), "xt").await.json();
    assert_eq!(shown["data"]["note_tweet"]["text"], long);
    assert!(shown["data"]["text"].as_str().unwrap().ends_with('…'));
    networks.publish(X, "42", Thing::direct_message("7", "psst")).unwrap();
    let messages =
        world.get("/x/2/dm_events?dm_event.fields=sender_id,dm_conversation_id,event_type,text", "xt").await;
    assert_eq!(messages.json()["data"][0]["dm_conversation_id"], "7-42");
    assert_eq!(world.get("/x/2/dm_events?since_id=1", "xt").await.status, 400, "there is no since");
}

#[tokio::test]
async fn calls_are_counted_per_15_minutes_and_one_too_many_is_noted() {
    let world = user().await;
    let networks = &world.networks;
    for left in (0..15).rev() {
        let answer = world.get("/x/2/dm_events", "xt").await;
        assert_eq!(
            (answer.status, answer.header("x-rate-limit-remaining")),
            (200, left.to_string().as_str())
        );
    }
    assert_eq!(networks.over_limit(X), 0);
    let refused = world.get("/x/2/dm_events", "xt").await;
    assert_eq!((refused.status, networks.over_limit(X)), (429, 1));
    let reset: u64 = refused.header("x-rate-limit-reset").parse().unwrap();
    assert!(reset * 1000 > world.clock.now_ms() + 14 * 60_000);
    assert_eq!(world.get("/x/2/users/42/tweets", "xt").await.status, 200, "another window");
    world.clock.advance(15 * MINUTE);
    assert_eq!(world.get("/x/2/dm_events", "xt").await.status, 200);
    networks.connect(X, "43", "other");
    networks.limit(X, LimitOf::App, "mentions", 1);
    assert_eq!(world.get("/x/2/users/42/mentions", "xt").await.status, 200);
    assert_eq!(world.get("/x/2/users/43/mentions", "other").await.status, 429);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_also_where_the_answer_was_lost() {
    let world = user().await;
    let networks = &world.networks;
    let refresh = |token: String| {
        let body = format!("grant_type=refresh_token&refresh_token={token}&client_id=app");
        world.post("/x/2/oauth2/token", "application/x-www-form-urlencoded", body)
    };
    world.clock.advance(2 * HOUR);
    let dead = world.get("/x/2/users/me", "xt").await;
    assert_eq!((dead.status, dead.json()["title"].as_str()), (401, Some("Unauthorized")));
    let fresh = refresh("xr".to_owned()).await.unwrap().json();
    assert_eq!(fresh["expires_in"], 7200);
    let access = fresh["access_token"].as_str().unwrap();
    assert_eq!(world.get("/x/2/users/me", access).await.json()["data"]["username"], "Acme");
    let again = refresh("xr".to_owned()).await.unwrap();
    assert_eq!((again.status, again.json()["error"].as_str()), (400, Some("invalid_request")));
    networks.fault(X, carteiro_fake_networks::Fault::Dropped.on("token"));
    let next = fresh["refresh_token"].as_str().unwrap().to_owned();
    assert!(refresh(next.clone()).await.is_none());
    assert_eq!(refresh(next).await.unwrap().status, 400, "it was used up all the same");
    assert!(
        refresh(networks.refresh_token(X, "42").unwrap()).await.is_some_and(|answer| answer.status == 200)
    );
    networks.token(X, access, TokenState::Narrowed("dm.read".into())).unwrap();
    assert_eq!(world.get("/x/2/dm_events", access).await.status, 403);
    networks.token(X, access, TokenState::SomebodyElses("77".into())).unwrap();
    assert_eq!(world.get("/x/2/users/me", access).await.json()["data"]["id"], "77");
    networks.client(X, "app", "s");
    let bad = "grant_type=refresh_token&refresh_token=x&client_id=another";
    let bad = world.post("/x/token", "application/x-www-form-urlencoded", bad).await.unwrap();
    assert_eq!((bad.status, bad.json()["error"].as_str()), (401, Some("unauthorized_client")));
    assert!(networks.publish(X, "42", Thing::new(Kind::Review, "x")).is_err());
}
