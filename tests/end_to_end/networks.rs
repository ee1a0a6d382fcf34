//! How networks push: bodies in their shapes, signed as they sign them, and the resulting rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_fake_networks::{Author, Kind, Published};
use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::{meta, x};
use carteiro_tests::client::{Client, Reply};
use carteiro_tests::{Account, Bundle, dynamodb};
use http::Method;
use serde_json::{Value, json};

pub(crate) const META_SECRET: &str = "a-meta-secret";
pub(crate) const META_VERIFY: &str = "a-verify-token";
pub(crate) const X_SECRET: &str = "an-x-secret";
pub(crate) const LINKEDIN_SECRET: &str = "a-linkedin-secret";
pub(crate) const YOUTUBE_SECRET: &str = "a-youtube-secret";

/// The parameters of a deployment that takes pushes.
pub(crate) const SECRETS: [(&str, &str); 3] =
    [("MetaAppSecrets", META_SECRET), ("MetaVerifyToken", META_VERIFY), ("XConsumerSecrets", X_SECRET)];

/// A parameter by which X does not answer: what becomes of a token is then by what X pushes alone.
pub(crate) const X_IS_AWAY: (&str, &str) = ("XBaseUrl", "http://127.0.0.1:1/x");

/// The header that signs a body for a network.
pub(crate) fn signature(network: &str, secret: &str, body: &[u8]) -> (&'static str, String) {
    let secret = AppSecret::list(secret).remove(0);
    match network {
        "x" => (x::signature::HEADER, x::signature::sign(&secret, body)),
        _ => (meta::signature::HEADER, meta::signature::sign(&secret, body)),
    }
}

/// Pushes a body, signed as the network does.
pub(crate) async fn push_to(client: &Client, network: &str, secret: &str, body: &[u8]) -> Option<Reply> {
    let (name, value) = signature(network, secret, body);
    let headers = [(name, value.as_str()), ("content-type", "application/json")];
    client
        .try_request(Method::POST, &format!("/push/{network}"), &headers, Bytes::copy_from_slice(body))
        .await
}

/// Pushes a body with the secret of the tests' deployment.
pub(crate) async fn push(bundle: &Bundle, network: &str, body: &Value) -> Reply {
    let secret = if network == "x" { X_SECRET } else { META_SECRET };
    push_to(&bundle.client, network, secret, body.to_string().as_bytes()).await.expect("an answer")
}

/// Pushes a body that must be taken.
pub(crate) async fn pushed(bundle: &Bundle, network: &str, body: &Value) {
    let reply = push(bundle, network, body).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{network}");
}

/// Connects a page, and answers its id.
pub(crate) async fn connect(bundle: &Bundle, account: &Account, network: &str, id: &str) -> String {
    connect_with(bundle, account, json!({"network": network, "network_id": id})).await
}

/// Connects a page with some settings of its own; its network's stand-in knows its token.
pub(crate) async fn connect_with(bundle: &Bundle, account: &Account, mut page: Value) -> String {
    let (network, id) =
        (page["network"].as_str().unwrap().to_owned(), page["network_id"].as_str().unwrap().to_owned());
    let token = format!("a-token-{network}-{id}");
    bundle.networks.connect(network.parse().unwrap(), &id, &token);
    page["access_token"] = token.into();
    page["name"] = "Uma página".into();
    let reply = bundle.client.post("/pages", &account.key, page.to_string()).await.with_status(201);
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// A comment on a publication of a Facebook page, as an element of `changes`.
pub(crate) fn comment(number: u32, text: &str) -> Value {
    json!({"field": "feed", "value": {
        "item": "comment", "verb": "add", "comment_id": format!("900_{number}"), "post_id": "800_900",
        "parent_id": "800_900", "created_time": 1_795_000_000 + number, "message": text,
        "from": {"id": "77", "name": "Ana"},
    }})
}

/// A push of Facebook's: entries of pages with their changes.
pub(crate) fn facebook(entries: &[(&str, Vec<Value>)]) -> Value {
    let entry =
        |(page, changes): &(&str, Vec<Value>)| json!({"id": page, "time": 1_795_000_100, "changes": changes});
    json!({"object": "page", "entry": entries.iter().map(entry).collect::<Vec<_>>()})
}

/// A comment on a publication of an Instagram account.
pub(crate) fn instagram(account: &str, comment: &str) -> Value {
    json!({"object": "instagram", "entry": [{"id": account, "time": 1_795_000_100, "changes": [
        {"field": "comments", "value": {
            "id": comment, "text": "olá", "from": {"id": "78", "username": "bia"},
            "media": {"id": "600", "media_product_type": "FEED"},
        }},
    ]}]})
}

/// A post that is pushed to a user of X.
pub(crate) fn x(user: &str, post: &str) -> Value {
    json!({"for_user_id": user, "user_has_blocked": "false", "tweet_create_events": [{
        "created_at": "Sun Nov 22 01:00:00 +0000 2026", "id": 1, "id_str": post, "text": "oi @alguem",
        "user": {"id": 5, "id_str": "5", "name": "Caio", "screen_name": "caio"},
        "in_reply_to_status_id_str": null, "entities": {"user_mentions": [{"id_str": user}]},
    }]})
}

/// A network's push of a thing as it is now, with the ids and texts of the stand-in; None where it does not push such
/// things. `all` are the page's things.
pub(crate) fn push_of(network: Network, thing: &Published, all: &[Published]) -> Option<Value> {
    let seconds = thing.edited_ms.unwrap_or(thing.at_ms) / 1000 + 1;
    let entry = |name: &str, value: Value| json!({"id": thing.page, "time": seconds, name: [value]});
    let is_message = thing.kind == Kind::DirectMessage;
    match network {
        Network::Facebook | Network::Instagram if is_message => {
            let object = if network == Network::Facebook { "page" } else { "instagram" };
            Some(json!({"object": object, "entry": [entry("messaging", meta_message(thing))]}))
        }
        Network::Facebook => {
            let (field, value) = facebook_change(thing, all)?;
            let change = json!({"field": field, "value": value});
            Some(json!({"object": "page", "entry": [entry("changes", change)]}))
        }
        Network::Instagram => {
            let (field, value) = instagram_change(thing, all)?;
            let change = json!({"field": field, "value": value});
            Some(json!({"object": "instagram", "entry": [entry("changes", change)]}))
        }
        Network::X if is_message => Some(x_message(thing)),
        Network::X => {
            let posts = json!([x_post(thing, all)]);
            Some(
                json!({"for_user_id": thing.page, "user_has_blocked": "false", "tweet_create_events": posts}),
            )
        }
        Network::Youtube | Network::GooglePlay | Network::Linkedin => None,
    }
}

/// Who did it; the page itself where nobody else did.
fn author_of(thing: &Published) -> Author {
    let page = || Author { id: thing.page.clone(), name: format!("Page {}", thing.page) };
    thing.author.clone().unwrap_or_else(page)
}

fn find<'a>(all: &'a [Published], id: &str) -> Option<&'a Published> {
    all.iter().find(|one| one.id == id || one.earlier_ids.iter().any(|earlier| earlier == id))
}

/// What a comment or an answer to one is on in the end.
fn root_of<'a>(thing: &'a Published, all: &'a [Published]) -> &'a Published {
    let mut root = thing;
    while let Some(above) = root.parent.as_deref().and_then(|id| find(all, id)) {
        root = above;
    }
    root
}

fn facebook_change(thing: &Published, all: &[Published]) -> Option<(&'static str, Value)> {
    let (by, verb) = (author_of(thing), if thing.edited_ms.is_some() { "edited" } else { "add" });
    let created = thing.at_ms / 1000;
    let from = json!({"id": by.id, "name": by.name});
    Some(match thing.kind {
        Kind::Post => {
            let value = json!({"item": "status", "verb": verb, "post_id": thing.id, "from": from,
                "created_time": created, "published": 1, "message": thing.text});
            ("feed", value)
        }
        Kind::Comment | Kind::Reply => {
            let post = &root_of(thing, all).id;
            let value = json!({"item": "comment", "verb": verb, "comment_id": thing.id, "post_id": post,
                "parent_id": thing.parent, "from": from, "created_time": created, "message": thing.text,
                "post": {"status_type": "mobile_status_update", "is_published": true, "id": post,
                    "permalink_url": format!("https://www.facebook.com/{post}"), "promotion_status": "inactive"}});
            ("feed", value)
        }
        Kind::Mention => {
            let value = json!({"item": "post", "verb": verb, "post_id": thing.id, "sender_id": by.id,
                "sender_name": by.name, "created_time": created, "message": thing.text});
            ("mention", value)
        }
        Kind::Review => {
            let word = if thing.rating.is_none_or(|rating| rating >= 3) { "POSITIVE" } else { "NEGATIVE" };
            let value = json!({"item": "rating", "verb": verb, "open_graph_story_id": thing.id,
                "reviewer_id": by.id, "reviewer_name": by.name, "review_text": thing.text,
                "recommendation_type": word, "comment_id": null, "created_time": created});
            ("ratings", value)
        }
        _ => return None,
    })
}

/// Instagram pushes comments, and of mentions their ids; nothing of the account's own media, and no edits.
fn instagram_change(thing: &Published, all: &[Published]) -> Option<(&'static str, Value)> {
    let by = author_of(thing);
    match thing.kind {
        Kind::Comment | Kind::Reply if thing.edited_ms.is_none() => {
            let mut value = json!({"id": thing.id, "text": thing.text, "from": {"id": by.id, "username": by.name},
                "media": {"id": root_of(thing, all).id, "media_product_type": "FEED"}});
            if thing.kind == Kind::Reply {
                value["parent_id"] = thing.parent.as_deref().into();
            }
            Some(("comments", value))
        }
        Kind::Mention => Some(("mentions", json!({"media_id": thing.id}))),
        _ => None,
    }
}

/// A message of Messenger's form; one of the page's own is an echo.
fn meta_message(thing: &Published) -> Value {
    let with = thing.author.as_ref().or(thing.to.as_ref()).map_or("0", |with| with.id.as_str());
    let is_echo = thing.author.is_none();
    let (from, to) = if is_echo { (thing.page.as_str(), with) } else { (with, thing.page.as_str()) };
    let mut message = json!({"mid": thing.id, "text": thing.text});
    if is_echo {
        message["is_echo"] = true.into();
    }
    json!({"sender": {"id": from}, "recipient": {"id": to}, "timestamp": thing.at_ms, "message": message})
}

fn x_handle(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(15).collect()
}

fn x_user(user: &Author) -> Value {
    json!({"id_str": user.id, "name": user.name, "screen_name": x_handle(&user.name)})
}

/// A post of the Account Activity API.
fn x_post(thing: &Published, all: &[Published]) -> Value {
    let at_ms = thing.edited_ms.unwrap_or(thing.at_ms);
    let at = jiff::Timestamp::from_millisecond(at_ms.cast_signed()).unwrap();
    let above = thing.parent.as_deref().and_then(|id| find(all, id));
    let handle = x_handle(&format!("Page {}", thing.page));
    let mention = thing.text.contains(&format!("@{handle}"));
    let mentions = mention.then(|| json!({"id_str": thing.page, "screen_name": handle, "name": handle}));
    let mut post = json!({
        "created_at": at.strftime("%a %b %d %H:%M:%S +0000 %Y").to_string(), "id_str": thing.id,
        "timestamp_ms": at_ms.to_string(), "text": thing.text, "truncated": false, "user": x_user(&author_of(thing)),
        "in_reply_to_status_id_str": thing.parent, "in_reply_to_user_id_str": above.map(|above| author_of(above).id),
        "entities": {"hashtags": [], "urls": [], "user_mentions": mentions.as_slice()}, "lang": "und",
    });
    if let Some(first) = thing.earlier_ids.first() {
        post["edit_history"] = json!({"initial_tweet_id": first, "edit_tweet_ids": [first, thing.id]});
    }
    post
}

/// A direct message of the Account Activity API.
fn x_message(thing: &Published) -> Value {
    let page = Author { id: thing.page.clone(), name: format!("Page {}", thing.page) };
    let with = thing.author.clone().or_else(|| thing.to.clone()).unwrap_or_else(|| page.clone());
    let (from, to) = if thing.author.is_none() { (&page, &with) } else { (&with, &page) };
    let users: BTreeMap<&str, Value> =
        [from, to].map(|user| (user.id.as_str(), x_user(user))).into_iter().collect();
    json!({"for_user_id": thing.page, "users": users, "direct_message_events": [{
        "type": "message_create", "id": thing.id, "created_timestamp": thing.at_ms.to_string(),
        "message_create": {"target": {"recipient_id": to.id}, "sender_id": from.id,
            "message_data": {"text": thing.text, "entities": {"hashtags": [], "urls": [], "user_mentions": []}}},
    }]})
}

/// How many entries of the inbox wait, were dispatched, and are nobody's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inbox {
    pub(crate) ready: usize,
    pub(crate) incomplete: usize,
    pub(crate) handed_on: usize,
    pub(crate) unrecognised: usize,
}

/// What a row of the inbox is.
fn count(inbox: &mut Inbox, row: &Value) {
    match row["waiting"]["S"].as_str() {
        _ if row["pk"]["S"].as_str().unwrap().starts_with("unrecognised#") => inbox.unrecognised += 1,
        Some(waiting) if waiting.starts_with("ready#") => inbox.ready += 1,
        Some(_) => inbox.incomplete += 1,
        None => inbox.handed_on += 1,
    }
}

/// The rows of the inbox; counts of freshness are not among them.
pub(crate) async fn inbox_rows(bundle: &Bundle) -> Vec<Value> {
    let mut rows = dynamodb::scan(bundle, "InboxTable").await;
    rows.retain(|row| !row["pk"]["S"].as_str().is_some_and(|pk| pk.ends_with("#fresh")));
    rows
}

/// What is in the inbox.
pub(crate) async fn inbox(bundle: &Bundle) -> Inbox {
    let mut inbox = Inbox::default();
    inbox_rows(bundle).await.iter().for_each(|row| count(&mut inbox, row));
    inbox
}

/// Runs a tick, and further ones as the schedule would, until nothing in the inbox is ready any more.
///
/// On a machine that is busy calls time out, and what they were about is left to the next tick.
#[expect(clippy::print_stdout, reason = "a test says what it met")]
pub(crate) async fn hand_on(bundle: &Bundle) -> Inbox {
    for _ in 0..10 {
        bundle.tick().await;
        let (mut before, mut idle) = (usize::MAX, 0);
        while idle < 20 {
            let inbox = inbox(bundle).await;
            if inbox.ready == 0 {
                return inbox;
            }
            idle = if inbox.ready < before { 0 } else { idle + 1 };
            before = inbox.ready;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("a tick left {before}: {:?}", left(bundle));
        // What was claimed is free again.
        bundle.advance(Duration::from_secs(121)).await;
    }
    panic!("{:?}", inbox(bundle).await)
}

/// What ticks said of what they left.
fn left(bundle: &Bundle) -> Vec<String> {
    let lines = bundle.logs.of("CollectFunction").into_iter();
    lines.filter(|line| line.contains("inbox.") && !line.contains("\"left\":0,")).collect()
}

/// How many entries were dispatched and could not be marked, so that they are dispatched again.
pub(crate) fn not_marked(bundle: &Bundle) -> usize {
    let lines = bundle.logs.of("CollectFunction").into_iter();
    lines.filter(|line| line.contains("inbox.not_marked")).count()
}

/// What has arrived at a path, by webhook-id, once each thing that was queued has been delivered.
pub(crate) async fn arrived(bundle: &Bundle, path: &str, count: usize) -> BTreeMap<String, Value> {
    let wanted = u64::try_from(count).unwrap();
    let deliveries = bundle.receiver.wait_for_count(path, wanted, carteiro_tests::SOON).await.unwrap();
    let item = |delivery: &Arc<carteiro_receiver::Delivery>| {
        (delivery.webhook_id().unwrap().to_owned(), serde_json::from_slice(&delivery.body).unwrap())
    };
    deliveries.iter().map(item).collect()
}
