//! YouTube.

use std::collections::BTreeSet;

use carteiro_fake_networks::{Connection, Fault, LimitOf, Thing, TokenState};
use carteiro_networks::network::Network::Youtube;
use serde_json::{Value, json};

use crate::support::{Answer, HOUR, MINUTE, World};

const CHANNEL: &str = "UC0123456789012345678901";
const UPLOADS: &str = "UU0123456789012345678901";
const TOKEN: &str = "ya29.t";
const FORM: &str = "application/x-www-form-urlencoded";

async fn channel() -> World {
    let world = World::start().await;
    world.networks.connect_with(Youtube, Connection::new(CHANNEL, TOKEN).name("Canal").refresh_token("1//r"));
    world
}

fn api(rest: &str) -> String {
    format!("/youtube/youtube/v3/{rest}")
}

fn reason(answer: &Answer) -> (u16, String) {
    let error = &answer.json()["error"];
    assert_eq!(error["code"], answer.status, "{error}");
    assert_eq!(error["message"], error["errors"][0]["message"], "{error}");
    (answer.status, error["errors"][0]["reason"].as_str().unwrap().to_owned())
}

fn texts(list: &[Value], pointer: &str) -> Vec<String> {
    list.iter().map(|one| one.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
}

/// What is at this place of each item, over all pages of a list.
async fn walk(world: &World, path: &str, pointer: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}{cursor}"), TOKEN).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let page = page.json();
        found.extend(texts(page["items"].as_array().unwrap(), pointer));
        match page["nextPageToken"].as_str() {
            Some(next) => cursor = format!("&pageToken={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn uploads_are_listed_newest_first_with_the_owners_private_ones() {
    let world = channel().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let list =
        api(&format!("playlistItems?part=snippet,contentDetails,status&maxResults=50&playlistId={UPLOADS}"));
    assert_eq!(reason(&world.get(&list, TOKEN).await), (404, "playlistNotFound".to_owned()), "no video yet");
    let video = |n: u64| Thing::post(format!("Title {n}\nAbout {n}")).at(now - n * 1000);
    let ids: Vec<String> = (1..=7).map(|n| networks.publish(Youtube, CHANNEL, video(n)).unwrap()).collect();
    let private = video(8).with("status", json!({"privacyStatus": "private"}));
    let private = networks.publish(Youtube, CHANNEL, private).unwrap();
    networks.cap_pages(Youtube, 3);
    let found = walk(&world, &list, "/snippet/resourceId/videoId").await;
    assert_eq!((&found[..7], &found[7..]), (&ids[..], &[private][..]));
    let first = world.get(&list, TOKEN).await.json();
    let item = &first["items"][0];
    assert_eq!(item["snippet"]["title"], "Title 1");
    assert_eq!(item["snippet"]["description"], "About 1");
    assert_eq!(item["contentDetails"]["videoId"], ids[0]);
    assert_eq!(item["contentDetails"]["videoPublishedAt"], item["snippet"]["publishedAt"]);
    networks.connect_with(Youtube, Connection::new("UCanother", "other"));
    assert_eq!(world.get(&list, "other").await.json()["pageInfo"]["totalResults"], 7, "and nobody else");
    let mine = world.get(&api("channels?part=id,contentDetails&mine=true"), TOKEN).await.json();
    assert_eq!(mine["items"][0]["id"], CHANNEL);
    assert_eq!(mine["items"][0]["contentDetails"]["relatedPlaylists"]["uploads"], UPLOADS);
    networks.token(Youtube, TOKEN, TokenState::SomebodyElses("nobody".to_owned())).unwrap();
    let nobodys = world.get(&api("channels?part=id&mine=true"), TOKEN).await.json();
    assert!(nobodys.get("items").is_none(), "{nobodys}");
}

#[tokio::test]
async fn a_thread_shows_some_replies_and_another_list_shows_the_rest() {
    let world = channel().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let publish = |thing: Thing| networks.publish(Youtube, CHANNEL, thing).unwrap();
    let video = publish(Thing::post("v").at(now - 100_000));
    let older = publish(Thing::comment(&video, "<older>").by("UCana", "Ana").at(now - 50_000));
    let newer = publish(Thing::comment(&video, "newer").by("UCrui", "Rui").at(now - 40_000));
    let mut to = older.clone();
    for n in 0..7 {
        // Each answers the one before; all are in the one thread.
        to = publish(Thing::reply(&to, format!("reply {n}")).by("UCrui", "Rui").at(now - 30_000 + n));
    }
    let held =
        publish(Thing::comment(&video, "spam").by("UCx", "X").with("moderationStatus", "heldForReview"));
    let list = api(&format!(
        "commentThreads?part=snippet,replies&allThreadsRelatedToChannelId={CHANNEL}&order=time"
    ));
    let threads = world.get(&format!("{list}&textFormat=plainText"), TOKEN).await.json();
    assert_eq!(texts(threads["items"].as_array().unwrap(), "/id"), [newer.clone(), older.clone()]);
    let thread = &threads["items"][1];
    assert_eq!(thread["snippet"]["totalReplyCount"], 7);
    assert_eq!(thread["snippet"]["videoId"], video);
    assert_eq!(thread["snippet"]["topLevelComment"]["snippet"]["textDisplay"], "<older>");
    let shown = thread["replies"]["comments"].as_array().unwrap();
    assert_eq!(shown.len(), 5);
    assert!(shown.iter().all(|reply| reply["snippet"]["parentId"] == older));
    assert!(threads["items"][0].get("replies").is_none());
    let html = world.get(&list, TOKEN).await.json();
    assert_eq!(html["items"][1]["snippet"]["topLevelComment"]["snippet"]["textDisplay"], "&lt;older&gt;");
    networks.cap_pages(Youtube, 2);
    let replies = api(&format!("comments?part=snippet&parentId={older}"));
    let all = walk(&world, &replies, "/snippet/textOriginal").await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 7, "{all:?}");
    networks.edit(Youtube, &newer, "edited").unwrap();
    let edited = world.get(&list, TOKEN).await.json();
    let snippet = &edited["items"][0]["snippet"]["topLevelComment"]["snippet"];
    assert!(
        snippet["textOriginal"] == "edited" && snippet["updatedAt"] != snippet["publishedAt"],
        "{snippet}"
    );
    let of_owner = world.get(&format!("{list}&moderationStatus=heldForReview"), TOKEN).await.json();
    assert_eq!(texts(of_owner["items"].as_array().unwrap(), "/id"), [held]);
    networks.connect_with(Youtube, Connection::new("UCanother", "other"));
    let refused = world.get(&format!("{list}&moderationStatus=heldForReview"), "other").await;
    assert_eq!(reason(&refused), (403, "forbidden".to_owned()));
    networks.remove(Youtube, &older).unwrap();
    assert_eq!(reason(&world.get(&replies, TOKEN).await), (404, "commentNotFound".to_owned()));
}

#[tokio::test]
async fn wrong_asks_are_refused_by_what_is_wrong_with_them() {
    let world = channel().await;
    let networks = &world.networks;
    let video = Thing::post("v").with("commentsDisabled", true);
    let video = networks.publish(Youtube, CHANNEL, video).unwrap();
    networks.publish(Youtube, CHANNEL, Thing::comment(&video, "unseen").by("UCx", "X")).unwrap();
    let of_channel = format!("allThreadsRelatedToChannelId={CHANNEL}");
    for (path, status, expected) in [
        (format!("commentThreads?part=snippet&videoId={video}"), 403, "commentsDisabled"),
        ("commentThreads?part=snippet&videoId=none".to_owned(), 404, "videoNotFound"),
        ("commentThreads?part=snippet&allThreadsRelatedToChannelId=UCx".to_owned(), 404, "channelNotFound"),
        (format!("commentThreads?part=snippet&{of_channel}&pageToken=none"), 400, "invalidPageToken"),
        (format!("commentThreads?part=snippet&{of_channel}&maxResults=101"), 400, "invalidParameter"),
        (format!("commentThreads?{of_channel}"), 400, "missingRequiredParameter"),
        ("commentThreads?part=snippet".to_owned(), 400, "missingRequiredParameter"),
        ("channels?part=words&mine=true".to_owned(), 400, "unknownPart"),
        ("nothing?part=snippet".to_owned(), 404, "notFound"),
    ] {
        assert_eq!(reason(&world.get(&api(&path), TOKEN).await), (status, expected.to_owned()), "{path}");
    }
    let threads = world.get(&api(&format!("commentThreads?part=snippet&{of_channel}")), TOKEN).await.json();
    assert_eq!(threads["items"], json!([]));
    networks.token(Youtube, TOKEN, TokenState::Narrowed("youtube.force-ssl".to_owned())).unwrap();
    let narrowed = world.get(&api(&format!("commentThreads?part=snippet&{of_channel}")), TOKEN).await;
    assert_eq!(reason(&narrowed), (403, "insufficientPermissions".to_owned()));
    assert_eq!(world.get(&api("channels?part=id&mine=true"), TOKEN).await.status, 200);
}

#[tokio::test]
async fn a_spent_quota_is_there_again_at_midnight_in_california() {
    let world = channel().await;
    let networks = &world.networks;
    // One that does not end.
    networks.connect(Youtube, CHANNEL, TOKEN);
    networks.limit(Youtube, LimitOf::App, "", 3);
    let mine = api("channels?part=id&mine=true");
    for status in [200, 200, 200, 403, 403] {
        assert_eq!(world.get(&mine, TOKEN).await.status, status);
    }
    assert_eq!(reason(&world.get(&mine, TOKEN).await), (403, "quotaExceeded".to_owned()));
    assert_eq!(networks.over_limit(Youtube), 3);
    // UTC is seven or eight hours ahead, so that it is over within a day, and not at once.
    let hours = async {
        for hours in 1..=24 {
            world.clock.advance(HOUR);
            if world.get(&mine, TOKEN).await.status == 200 {
                return hours;
            }
        }
        0
    };
    let before = world.clock.now_ms() / 3_600_000 % 24;
    let hours = hours.await;
    assert!([7, 8].contains(&((before + hours) % 24)), "{hours} hours after {before} UTC");
    networks.fault(Youtube, Fault::Limited(20 * MINUTE));
    let limited = world.get(&mine, TOKEN).await;
    assert_eq!((reason(&limited).1.as_str(), limited.header("retry-after")), ("rateLimitExceeded", "1200"));
    world.clock.advance(21 * MINUTE);
    assert_eq!(world.get(&mine, TOKEN).await.status, 200);
}

#[tokio::test]
async fn an_hours_token_is_renewed_until_the_grant_is_revoked() {
    let world = channel().await;
    let networks = &world.networks;
    networks.client(Youtube, "id", "secret");
    let mine = api("channels?part=id&mine=true");
    world.clock.advance(HOUR);
    let expired = world.get(&mine, TOKEN).await;
    assert_eq!(reason(&expired), (401, "authError".to_owned()));
    assert!(expired.header("www-authenticate").contains("invalid_token"));
    let renew = async |form: &str| world.post("/youtube/token", FORM, form.to_owned()).await.unwrap();
    let good = "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=id&client_secret=secret";
    for _ in 0..2 {
        let renewed = renew(good).await;
        assert_eq!(
            (renewed.status, &renewed.json()["token_type"]),
            (200, &json!("Bearer")),
            "{}",
            renewed.text
        );
        assert!(renewed.json().get("refresh_token").is_none());
        let token = renewed.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(world.get(&mine, &token).await.status, 200);
    }
    for (form, status, error) in [
        (
            "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=id&client_secret=no",
            401,
            "invalid_client",
        ),
        ("grant_type=refresh_token&refresh_token=no&client_id=id&client_secret=secret", 400, "invalid_grant"),
        ("grant_type=password", 400, "unsupported_grant_type"),
        ("refresh_token=1%2F%2Fr", 400, "invalid_request"),
    ] {
        let refused = renew(form).await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (status, Some(error)), "{form}");
    }
    networks.token(Youtube, "1//r", TokenState::Revoked).unwrap();
    assert_eq!(renew(good).await.json()["error"], "invalid_grant");
    let calls = networks.calls(Youtube);
    let tokens: Vec<_> = calls.iter().filter(|call| call.kind == "token").map(|call| call.units).collect();
    assert_eq!(tokens, [0; 7]);
}
