//! Facebook and Instagram.

use carteiro_fake_networks::{Connection, Kind, Thing, TokenState, Usage};
use carteiro_networks::network::Network::{Facebook, Instagram};
use serde_json::Value;

use crate::support::{Answer, DAY, HOUR, MINUTE, World, ids};

const PAGE: &str = "501";
const TOKEN: &str = "EAAtoken";

fn error(answer: &Answer) -> (u16, i64, Option<i64>) {
    let error = &answer.json()["error"];
    assert!(error["fbtrace_id"].is_string() && error["message"].is_string(), "{error}");
    (answer.status, error["code"].as_i64().unwrap(), error["error_subcode"].as_i64())
}

async fn page() -> World {
    let world = World::start().await;
    world.networks.connect(Facebook, PAGE, TOKEN);
    world
}

/// All ids of a list, by following its links with nothing but what they hold.
async fn walk(world: &World, path: &str) -> Vec<String> {
    let mut list = world.get(path, TOKEN).await.json();
    let mut found = ids(&list);
    while let Some(next) = list["paging"]["next"].as_str() {
        assert!(list["paging"]["cursors"]["after"].is_string(), "{list}");
        list = world.get(next, "").await.json();
        found.extend(ids(&list));
    }
    found
}

#[tokio::test]
async fn a_walk_by_links_meets_each_post_once_while_one_is_published() {
    let world = page().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let publish =
        |n: u64| networks.publish(Facebook, PAGE, Thing::post(format!("{n}")).at(now - n * 1000)).unwrap();
    let posts: Vec<String> = (1..=7).map(publish).collect();
    networks.cap_pages(Facebook, 3);
    assert_eq!(walk(&world, "/facebook/v26.0/501/feed?limit=100").await, posts);
    let first = world.get("/facebook/v26.0/501/feed", TOKEN).await.json();
    networks.publish(Facebook, PAGE, Thing::post("new")).unwrap();
    let next = first["paging"]["next"].as_str().unwrap();
    assert!(next.contains(TOKEN), "as in the real link");
    assert_eq!(ids(&world.get(next, "").await.json()), posts[3..6]);
    let since = format!("/facebook/v26.0/501/feed?since={}", (now - 3000) / 1000 + 1);
    assert_eq!(walk(&world, &since).await.len(), 3, "two of before, and the new one");
    networks.remove(Facebook, &posts[0]).unwrap();
    assert!(!walk(&world, "/facebook/501/feed").await.contains(&posts[0]));
    let calls = networks.calls(Facebook);
    assert!(calls.iter().all(|call| call.kind == "feed" && !call.query.contains("token")), "{calls:?}");
    assert!(calls.iter().all(|call| call.page.as_deref() == Some(PAGE)));
}

#[tokio::test]
async fn comments_are_streamed_with_answers_and_go_with_their_post() {
    let world = page().await;
    let networks = &world.networks;
    let post = networks.publish(Facebook, PAGE, Thing::post("a post")).unwrap();
    let comment = networks.publish(Facebook, PAGE, Thing::comment(&post, "hi").by("7", "Ana")).unwrap();
    let reply = networks.publish(Facebook, PAGE, Thing::reply(&comment, "thanks")).unwrap();
    let path = format!("/facebook/v26.0/{post}/comments");
    assert_eq!(world.get(&path, TOKEN).await.ids(), std::slice::from_ref(&comment), "top level by default");
    let fields = "id,message,parent{id},from{id,name}";
    let all = world.get(&format!("{path}?filter=stream&order=chronological&fields={fields}"), TOKEN).await;
    assert_eq!(all.ids(), [comment.clone(), reply.clone()]);
    let all = all.json();
    assert_eq!(all["data"][0]["from"]["name"], "Ana");
    assert!(all["data"][0].get("parent").is_none() && all["data"][0].get("created_time").is_none(), "{all}");
    assert_eq!(all["data"][1]["parent"], serde_json::json!({ "id": comment }));
    assert_eq!(all["data"][1]["from"]["id"], PAGE);
    let fields = "id,comments.filter(stream).limit(0).summary(total_count)";
    let feed = world.get(&format!("/facebook/v26.0/501/feed?fields={fields}"), TOKEN).await.json();
    assert_eq!(feed["data"][0]["comments"]["summary"]["total_count"], 2);
    networks.edit(Facebook, &comment, "hello").unwrap();
    let one = world.get(&format!("/facebook/v26.0/{comment}"), TOKEN).await.json();
    assert_eq!(one["message"], "hello");
    networks.remove(Facebook, &post).unwrap();
    for gone in [format!("/facebook/v26.0/{reply}"), path] {
        assert_eq!(error(&world.get(&gone, TOKEN).await), (400, 100, Some(33)));
    }
    assert!(networks.publish(Facebook, PAGE, Thing::comment("nowhere", "x")).is_err());
    assert!(networks.publish(Facebook, PAGE, Thing::new(Kind::Story, "x")).is_err());
}

#[tokio::test]
async fn reviews_tags_and_conversations_have_lists_of_their_own() {
    let world = page().await;
    let networks = &world.networks;
    let tag = Thing::new(Kind::Mention, "with @page").by("8", "Bia");
    let tag = networks.publish(Facebook, PAGE, tag).unwrap();
    assert_eq!(world.get("/facebook/v26.0/501/tagged", TOKEN).await.ids(), [tag]);
    networks.publish(Facebook, PAGE, Thing::review(1, "bad").by("9", "Caio")).unwrap();
    let fields = "created_time,reviewer{id,name},rating,recommendation_type,review_text,open_graph_story{id}";
    let ratings = world.get(&format!("/facebook/v26.0/501/ratings?fields={fields}"), TOKEN).await.json();
    let review = &ratings["data"][0];
    assert_eq!(
        (review["recommendation_type"].as_str(), review["reviewer"]["id"].as_str()),
        (Some("negative"), Some("9"))
    );
    assert!(review.get("id").is_none() && review["open_graph_story"]["id"].is_string());
    let first = networks.publish(Facebook, PAGE, Thing::direct_message("7", "hello?")).unwrap();
    world.clock.advance(MINUTE);
    networks.publish(Facebook, PAGE, Thing::direct_message("8", "hey")).unwrap();
    world.clock.advance(MINUTE);
    let answer = Thing::new(Kind::DirectMessage, "yes").to("7", "User 7");
    let answer = networks.publish(Facebook, PAGE, answer).unwrap();
    let threads = world.get("/facebook/v26.0/me/conversations?platform=messenger", TOKEN).await.ids();
    assert_eq!(threads.len(), 2);
    let fields = "id,from,to,message";
    let messages =
        world.get(&format!("/facebook/v26.0/{}/messages?fields={fields}", threads[0]), TOKEN).await;
    assert_eq!(messages.ids(), [answer, first]);
    assert_eq!(messages.json()["data"][0]["to"]["data"][0]["id"], "7");
    let other = world.get("/facebook/v26.0/me/conversations?platform=instagram", TOKEN).await;
    assert!(other.ids().is_empty());
}

#[tokio::test]
async fn a_wrong_proof_is_refused_and_a_missing_one_if_required() {
    let world = page().await;
    let me = "/facebook/v27.0/me";
    let wrong = format!("{me}?appsecret_proof=00");
    assert_eq!(world.get(&wrong, TOKEN).await.status, 200, "no secret is known");
    world.networks.app_secret(Facebook, "secret", false);
    assert_eq!(world.get(me, TOKEN).await.status, 200);
    assert_eq!(error(&world.get(&wrong, TOKEN).await), (400, 100, None));
    world.networks.app_secret(Facebook, "secret", true);
    let refused = world.get(me, TOKEN).await.json();
    assert_eq!(refused["error"]["message"], "API calls from the server require an appsecret_proof argument");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
    let code = ring::hmac::sign(&key, TOKEN.as_bytes());
    let proof: String = code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(world.get(&format!("{me}?appsecret_proof={proof}"), TOKEN).await.status, 200);
    assert!(!world.networks.calls(Facebook).iter().any(|call| call.query.contains(&proof)));
}

#[tokio::test]
async fn a_token_is_refused_in_the_networks_words_and_each_call_noted() {
    let world = page().await;
    let networks = &world.networks;
    networks.publish(Facebook, PAGE, Thing::post("a post")).unwrap();
    let me = "/facebook/v26.0/me";
    assert_eq!(error(&world.get(me, "").await), (400, 104, None));
    assert_eq!(error(&world.get(me, "EAAother").await), (400, 190, None));
    assert_eq!(world.get(me, TOKEN).await.json()["id"], PAGE);
    for (state, subcode) in [(TokenState::Expired, 463), (TokenState::Revoked, 460)] {
        networks.token(Facebook, TOKEN, state).unwrap();
        let refused = world.get(me, TOKEN).await;
        assert_eq!(error(&refused), (400, 190, Some(subcode)));
        assert!(refused.header("www-authenticate").contains("invalid_token"));
    }
    assert_eq!(networks.with_dead_tokens(Facebook), 0, "each was the first to say so");
    world.get(me, TOKEN).await;
    assert_eq!(networks.with_dead_tokens(Facebook), 1);
    networks.token(Facebook, TOKEN, TokenState::Narrowed("pages_read_user_content".into())).unwrap();
    assert_eq!(error(&world.get("/facebook/v26.0/501/ratings", TOKEN).await).1, 10);
    assert_eq!(world.get("/facebook/v26.0/501/feed", TOKEN).await.ids().len(), 1);
    networks.token(Facebook, TOKEN, TokenState::Narrowed("pages_messaging".into())).unwrap();
    assert_eq!(error(&world.get("/facebook/v26.0/me/conversations", TOKEN).await).1, 230);
    networks.token(Facebook, TOKEN, TokenState::SomebodyElses("99".into())).unwrap();
    assert_eq!(world.get(me, TOKEN).await.json()["id"], "99");
    let post = networks.things(Facebook, PAGE)[0].id.clone();
    let comments = world.get(&format!("/facebook/v26.0/{post}/comments"), TOKEN).await;
    assert_eq!((comments.status, comments.json()), (200, serde_json::json!({"data": []})));
    let other = Connection::new(PAGE, "EAAshort").expires_in(HOUR);
    networks.connect_with(Facebook, other);
    assert_eq!(world.get(me, "EAAshort").await.status, 200);
    world.clock.advance(HOUR);
    assert_eq!(error(&world.get(me, "EAAshort").await), (400, 190, Some(463)));
}

#[tokio::test]
async fn an_inspection_by_the_app_tells_what_a_token_is() {
    let world = page().await;
    world.networks.client(Facebook, "12", "app-secret");
    let path = format!("/facebook/token/v26.0/debug_token?input_token={TOKEN}");
    assert_eq!(error(&world.get(&path, TOKEN).await).1, 100);
    assert_eq!(error(&world.get(&path, "12|wrong").await).1, 100);
    let data = world.get(&path, "12|app-secret").await.json()["data"].clone();
    assert_eq!((data["is_valid"].as_bool(), data["type"].as_str()), (Some(true), Some("PAGE")));
    assert_eq!((data["profile_id"].as_str(), data["expires_at"].as_i64()), (Some(PAGE), Some(0)));
    let narrowed = TokenState::Narrowed("pages_messaging".into());
    world.networks.token(Facebook, TOKEN, narrowed).unwrap();
    let data = world.get(&path, "12|app-secret").await.json()["data"].clone();
    assert!(!data["scopes"].as_array().unwrap().contains(&"pages_messaging".into()), "{data}");
    world.networks.token(Facebook, TOKEN, TokenState::Revoked).unwrap();
    let data = world.get(&path, "12|app-secret").await.json()["data"].clone();
    assert_eq!((data["is_valid"].as_bool(), data["error"]["code"].as_i64()), (Some(false), Some(190)));
    assert!(world.networks.calls(Facebook).iter().all(|call| !call.query.contains(TOKEN)));
}

#[tokio::test]
async fn a_usage_of_100_percent_refuses_longer_with_each_call() {
    let world = page().await;
    let networks = &world.networks;
    let feed = "/facebook/v26.0/501/feed";
    let regain = |answer: &Answer| {
        let usage: Value = serde_json::from_str(answer.header("x-business-use-case-usage")).unwrap();
        (
            usage[PAGE][0]["call_count"].as_i64().unwrap(),
            usage[PAGE][0]["estimated_time_to_regain_access"].as_i64().unwrap(),
        )
    };
    networks.usage(Facebook, Some(PAGE), Usage::percent(95));
    let near = world.get(feed, TOKEN).await;
    assert_eq!((near.status, regain(&near)), (200, (95, 0)));
    networks.usage(Facebook, Some(PAGE), Usage::percent(100).regained_after(10));
    let first = world.get(feed, TOKEN).await;
    assert_eq!((error(&first), regain(&first)), ((400, 80_001, None), (100, 10)));
    assert_eq!(networks.over_limit(Facebook), 0);
    assert_eq!(regain(&world.get(feed, TOKEN).await).1, 11);
    assert_eq!(networks.over_limit(Facebook), 1);
    world.clock.advance(11 * MINUTE);
    assert_eq!(world.get(feed, TOKEN).await.status, 200);
    networks.usage(Facebook, None, Usage::percent(208));
    let refused = world.get(feed, TOKEN).await;
    assert_eq!(error(&refused).1, 4);
    assert!(refused.header("x-app-usage").contains("208") && refused.json()["error"]["is_transient"] == true);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_networks_own_words() {
    let world = page().await;
    for (path, code) in [
        ("/facebook/v26.0/501/nothing", 2500),
        ("/facebook/v26.0/501/feed/more", 2500),
        ("/facebook/v26.0/nobody/feed", 803),
        ("/facebook/v26.0/7777/feed", 100),
        ("/facebook/v26.0/me?fields=id,shoe_size", 100),
        ("/facebook/v26.0/me?fields=id,,name", 2500),
        ("/facebook/v26.0/501/feed?after=nonsense", 100),
        ("/facebook/v26.0/501/feed?limit=many", 100),
    ] {
        assert_eq!(error(&world.get(path, TOKEN).await).1, code, "{path}");
    }
    let none = world.get("/myspace/v1/me", TOKEN).await;
    assert_eq!((none.status, none.header("content-type")), (404, "application/problem+json"));
}

#[tokio::test]
async fn instagrams_lists_hold_only_what_the_documentation_says() {
    let world = World::start().await;
    let networks = &world.networks;
    networks.connect(Instagram, "178", TOKEN);
    let publish = |thing: Thing| networks.publish(Instagram, "178", thing).unwrap();
    let media = publish(Thing::post("a photo"));
    let story = publish(Thing::new(Kind::Story, ""));
    let comment = publish(Thing::comment(&media, "nice").by("7", "ana"));
    let replies: Vec<_> =
        (0..3).map(|n| publish(Thing::reply(&comment, format!("{n}")).by("8", "bia"))).collect();
    let ad = publish(Thing::comment(&media, "on an ad").by("9", "caio").unlisted());
    let mention = publish(Thing::new(Kind::Mention, "@acme look").by("5", "edu").on("1790"));
    assert_eq!(world.get("/instagram/v26.0/178/media", TOKEN).await.ids(), std::slice::from_ref(&media));
    assert_eq!(world.get("/instagram/v26.0/178/stories", TOKEN).await.ids(), [story]);
    let fields = "id,username,replies.limit(2){id,parent_id}";
    let comments =
        world.get(&format!("/instagram/v26.0/{media}/comments?fields={fields}"), TOKEN).await.json();
    assert_eq!(
        ids(&comments),
        std::slice::from_ref(&comment),
        "top level alone, and nothing of advertisements"
    );
    let nested = &comments["data"][0]["replies"];
    assert_eq!((ids(nested).len(), nested["data"][0]["parent_id"].as_str()), (2, Some(comment.as_str())));
    let rest = world.get(nested["paging"]["next"].as_str().unwrap(), "").await;
    assert_eq!(rest.ids(), [replies[0].clone()]);
    assert_eq!(world.get(&format!("/instagram/v26.0/{ad}"), TOKEN).await.json()["text"], "on an ad");
    let fields = format!(
        "mentioned_comment.comment_id({mention}){{id,text,timestamp,username,media{{id,permalink}}}}"
    );
    let path = format!("/instagram/v26.0/178?fields={fields}").replace('{', "%7B").replace('}', "%7D");
    let mentioned = world.get(&path, TOKEN).await.json();
    assert_eq!(
        (mentioned["id"].as_str(), mentioned["mentioned_comment"]["media"]["id"].as_str()),
        (Some("178"), Some("1790"))
    );
    networks.remove(Instagram, &mention).unwrap();
    assert_eq!(error(&world.get(&path, TOKEN).await), (400, 100, Some(33)));
    assert_eq!(networks.calls(Instagram).last().unwrap().kind, "mentioned_comment");
    world.clock.advance(DAY);
    assert!(world.get("/instagram/v26.0/178/stories", TOKEN).await.ids().is_empty());
    let me =
        world.get("/instagram/v26.0/me?fields=id,instagram_business_account%7Bid%7D", TOKEN).await.json();
    assert_eq!(me["instagram_business_account"]["id"], "178");
    assert_ne!(me["id"], "178");
}

#[tokio::test]
async fn a_token_of_instagrams_login_is_refreshed_after_a_day() {
    let world = World::start().await;
    let networks = &world.networks;
    networks.connect_with(Instagram, Connection::new("178", "IGold").expires_in(60 * DAY));
    assert_eq!(error(&world.get("/instagram/v26.0/me", "IGold").await).1, 190);
    let me = world.get("/instagram/token/v26.0/me?fields=user_id,username", "IGold").await.json();
    assert_eq!(me["user_id"], "178");
    assert_ne!(me["id"], "178", "the app's own id of it");
    let refresh = "/instagram/token/refresh_access_token?grant_type=ig_refresh_token&access_token=IGold";
    assert_eq!(error(&world.get(refresh, "").await).0, 400);
    world.clock.advance(59 * DAY);
    let fresh = world.get(refresh, "").await.json();
    assert_eq!(fresh["expires_in"], 60 * 24 * 3600);
    world.clock.advance(DAY);
    assert_eq!(error(&world.get("/instagram/token/me", "IGold").await), (400, 190, Some(463)));
    let token = fresh["access_token"].as_str().unwrap();
    assert_eq!(world.get("/instagram/token/me", token).await.status, 200);
    assert!(networks.secrets(Instagram).contains(&token.to_owned()));
    assert_eq!(networks.access_token(Instagram, "178").as_deref(), Some(token));
}
