//! The same thing, pushed and found by asking, is one entry; an edited one is one more.

use proptest::prelude::*;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::event;
use crate::collected::test_support::differing;
use crate::collected::{By, Kind, Published};
use crate::inbox::{EntryKey, Reading, Wanted};
use crate::instagram::collect as instagram;
use crate::network::{Network, NetworkId};
use crate::normalise;
use crate::poll::{NetworkResponse, Verdict};
use crate::push::split;

const PAGE: &str = "501";

fn owner() -> NetworkId {
    PAGE.parse().unwrap()
}

/// What an answer's element says.
fn polled(network: Network, field: &str, object: &Value, beside: Value) -> Reading {
    let event = event(network, field, to_raw_value(object).unwrap(), beside);
    assert_eq!(event.by, By::Poll);
    normalise::read(&event, &owner())
}

/// What a push of a change says.
fn pushed(network: Network, field: &str, value: &Value) -> Reading {
    let object = if network == Network::Facebook { "page" } else { "instagram" };
    let entry = json!({"id": PAGE, "time": 1_790_000_000, "changes": [{"field": field, "value": value}]});
    of_body(network, &json!({"object": object, "entry": [entry]}))
}

/// What a push of a message says.
fn messaged(network: Network, message: &Value) -> Reading {
    let element = json!({"sender": {"id": "7"}, "recipient": {"id": PAGE}, "timestamp": 1_790_000_000_123_i64,
        "message": message});
    of_body(network, &json!({"object": "page", "entry": [{"id": PAGE, "time": 1, "messaging": [element]}]}))
}

fn of_body(network: Network, body: &Value) -> Reading {
    let updates = split(network, &serde_json::to_vec(body).unwrap());
    assert_eq!(updates.len(), 1);
    normalise::read(&updates[0].event, &owner())
}

fn key(reading: &Reading) -> EntryKey {
    EntryKey::new(&reading.thing, &reading.version)
}

/// One entry, and the same said of it by both.
fn meet(pushed: &Reading, polled: &Reading) {
    assert_eq!(key(pushed), key(polled), "{pushed:#?}\n{polled:#?}");
    let of = |reading: &Reading| {
        let content = &reading.content;
        let by = content.author.as_ref().and_then(|author| author.id.clone());
        (content.kind, content.published, content.action, content.text.clone(), by, content.parent.clone())
    };
    assert_eq!(of(pushed), of(polled));
}

/// A text as both give it; an empty one is left out.
fn put(value: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        value[name] = json!(text);
    }
}

proptest! {
    #[test]
    fn an_edited_comment_of_facebooks_is_one_more_entry(
        text in "\\PC{0,30}", other in "\\PC{1,30}", is_answer in any::<bool>(), edited in any::<bool>(),
    ) {
        let above = if is_answer { "77_80" } else { "501_77" };
        let verb = if edited { "edited" } else { "add" };
        let mut push = json!({"item": "comment", "verb": verb, "post_id": "501_77", "parent_id": above,
            "comment_id": "77_88", "from": {"id": "7", "name": "Ana"}, "created_time": 1_790_000_000});
        let mut poll = json!({"id": "77_88", "from": {"id": "7", "name": "Ana"}, "like_count": 3,
            "created_time": "2026-09-21T13:33:20+0000"});
        if is_answer {
            poll["parent"] = json!({"id": above, "message": "x"});
        }
        put(&mut push, "message", &text);
        put(&mut poll, "message", &text);
        // What was edited to nothing has no version but its time, and no poll can know it.
        prop_assume!(!edited || !text.is_empty());
        let beside = json!({"on": "501_77"});
        let push = pushed(Network::Facebook, "feed", &push);
        let same = polled(Network::Facebook, "comments", &poll, beside.clone());
        prop_assert_eq!(key(&push), key(&same));
        prop_assert_eq!(&push.content.parent, &same.content.parent);
        prop_assert_eq!(push.content.kind, if is_answer { Kind::Reply } else { Kind::Comment });
        prop_assert_eq!(push.content.kind, same.content.kind);
        poll["message"] = json!(other);
        let changed = polled(Network::Facebook, "comments", &poll, beside);
        prop_assert_eq!(&changed.thing, &push.thing);
        prop_assert_eq!(key(&changed) == key(&push), text == other);
    }

    #[test]
    fn an_edited_comment_of_instagrams_is_one_more_entry(
        text in "\\PC{1,30}", other in "\\PC{1,30}", is_answer in any::<bool>(), nested in any::<bool>(),
    ) {
        let mut push = json!({"id": "88", "text": text, "from": {"id": "7", "username": "ana"},
            "media": {"id": "77", "media_product_type": "FEED"}});
        let mut poll = json!({"id": "88", "text": text, "from": {"id": "7", "username": "ana"},
            "username": "ana", "timestamp": "2026-09-21T13:33:20+0000"});
        let mut beside = json!({"on": "77"});
        if is_answer {
            push["parent_id"] = json!("80");
            if nested { beside["answers"] = json!("80") } else { poll["parent_id"] = json!("80") }
        }
        let field = if is_answer { "replies" } else { "comments" };
        let push = pushed(Network::Instagram, "comments", &push);
        meet(&push, &polled(Network::Instagram, field, &poll, beside.clone()));
        poll["text"] = json!(other);
        let changed = polled(Network::Instagram, field, &poll, beside);
        prop_assert_eq!(key(&changed) == key(&push), text == other);
    }

    #[test]
    fn a_post_of_any_media_is_one_entry(
        text in "\\PC{0,30}", other in "\\PC{1,30}", form in 0_usize..6, by_the_page in any::<bool>(),
    ) {
        let by = if by_the_page { PAGE } else { "7" };
        let mut push = json!({"verb": "add", "post_id": "501_77", "from": {"id": by, "name": "A"},
            "created_time": 1_790_000_000, "published": 1});
        let mut poll = json!({"id": "501_77", "from": {"id": by, "name": "A"}, "is_published": true,
            "created_time": "2026-09-21T13:33:20+0000", "updated_time": "2026-10-21T13:33:20+0000"});
        let with = |kind: &str, media: &str| json!({"data": [{"type": kind, "media_type": media,
            "target": {"id": "900"}, "url": "https://f.example/x", "media": {"image": {"src": "https://cdn/x"}},
            "subattachments": {"data": [{"target": {"id": "1"}, "media": {"image": {"src": "https://cdn/y"}}}]}}]});
        let (item, member, attachments) = match form {
            0 => ("status", None, None),
            1 => ("post", None, None),
            2 => ("photo", Some("photo_id"), Some(with("photo", "photo"))),
            3 => ("video", Some("video_id"), Some(with("video_inline", "video"))),
            4 => ("status", None, Some(with("album", "album"))),
            _ => ("share", Some("share_id"), Some(with("share", "link"))),
        };
        push["item"] = json!(item);
        if let Some(member) = member {
            // Ids of pushes are numbers mostly.
            push[member] = json!(900);
        }
        if let Some(attachments) = attachments {
            poll["attachments"] = attachments;
        }
        put(&mut push, "message", &text);
        put(&mut poll, "message", &text);
        let push = pushed(Network::Facebook, "feed", &push);
        let same = polled(Network::Facebook, "posts", &poll, Value::Null);
        meet(&push, &same);
        prop_assert_eq!(same.content.published, if by_the_page { Published::ByThePage } else { Published::Interaction });
        prop_assert_eq!(same.content.attachments.is_empty(), form < 2);
        poll["message"] = json!(other);
        let changed = polled(Network::Facebook, "posts", &poll, Value::Null);
        prop_assert_eq!(&changed.thing, &push.thing);
        prop_assert_eq!(key(&changed) == key(&push), text == other);
    }

    #[test]
    fn a_message_is_one_entry_whichever_network_and_direction(
        text in "\\PC{0,30}", instagram in any::<bool>(), with in any::<bool>(),
    ) {
        let network = if instagram { Network::Instagram } else { Network::Facebook };
        let mut push = json!({"mid": "m_1"});
        let mut poll = json!({"id": "m_1", "created_time": "2026-09-21T13:33:20+0000",
            "from": {"id": "7", "name": "Ana"}, "to": {"data": [{"id": PAGE}]}, "message": text});
        put(&mut push, "text", &text);
        if with {
            push["attachments"] = json!([{"type": "image", "payload": {"url": "https://cdn/1"}}]);
            poll["attachments"] = json!({"data": [{"id": "5", "mime_type": "image/jpeg",
                "image_data": {"url": "https://cdn/2"}}], "paging": {"next": "x"}});
        }
        let same = polled(network, "messages", &poll, json!({"within": "t_1"}));
        meet(&messaged(network, &push), &same);
        prop_assert_eq!(same.content.attachments.first().map(|one| one.kind.as_str()), with.then_some("image"));
    }
}

#[test]
fn a_review_is_one_entry_and_with_other_stars_or_words_one_more() {
    let push = |rating: Value, word: Value, text: Value| {
        let value = json!({"item": "rating", "verb": "add", "open_graph_story_id": 904, "reviewer_id": 7,
            "reviewer_name": "Ana", "rating": rating, "recommendation_type": word, "review_text": text,
            "comment_id": null, "created_time": 1_790_000_000});
        pushed(Network::Facebook, "ratings", &value)
    };
    let poll = |story: Value| {
        let object = json!({"open_graph_story": story, "reviewer": {"id": "7", "name": "Ana"}, "rating": 3,
            "recommendation_type": "positive", "review_text": "bom", "created_time": "2026-09-21T13:33:20+0000"});
        polled(Network::Facebook, "ratings", &object, Value::Null)
    };
    let same = push(json!(3), json!("POSITIVE"), json!("bom"));
    meet(&same, &poll(json!({"id": "904"})));
    meet(&same, &poll(json!("904")));
    for other in [
        push(json!(4), json!("POSITIVE"), json!("bom")),
        push(json!(3), json!("NEGATIVE"), json!("bom")),
        push(json!(3), json!("POSITIVE"), json!("ruim")),
    ] {
        assert_eq!(other.thing, same.thing);
        assert_ne!(key(&other), key(&same));
    }
}

#[test]
fn a_tagging_post_is_one_mention_by_push_and_by_list() {
    let push = json!({"item": "post", "verb": "add", "post_id": "9_77", "message": "oi", "created_time": 1_790_000_000});
    let poll = json!({"id": "9_77", "message": "oi", "created_time": "2026-09-21T13:33:20+0000",
        "attachments": {"data": [{"type": "photo", "target": {"id": "5"}}]}});
    let same = polled(Network::Facebook, "tagged", &poll, Value::Null);
    meet(&pushed(Network::Facebook, "mention", &push), &same);
    assert_eq!(same.content.kind, Kind::Mention);
}

/// A row of the table: a name, what is pushed, what is polled, and the fields in which the two items differ.
type Row = (&'static str, Reading, Reading, &'static [&'static str]);

fn facebooks_posts() -> Vec<Row> {
    let link = "https://www.facebook.com/501/posts/77";
    let post = |more: Value| {
        let mut value = json!({"verb": "add", "post_id": "501_77", "from": {"id": PAGE, "name": "Loja"},
            "created_time": 1_790_000_000, "published": 1, "message": "m",
            "place": {"id": "6", "name": "Loja", "location": {"latitude": -23.5, "longitude": -46.6}}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pushed(Network::Facebook, "feed", &value)
    };
    let listed = |attachment: Value| {
        let object = json!({"id": "501_77", "from": {"id": PAGE, "name": "Loja"}, "message": "m",
            "created_time": "2026-09-21T14:13:20+0000", "permalink_url": link,
            "place": {"id": "6", "name": "Loja", "location": {"latitude": -23.5, "longitude": -46.6}},
            "attachments": {"data": [attachment]}});
        polled(Network::Facebook, "posts", &object, Value::Null)
    };
    let image = |name: &str| json!({"image": {"src": format!("https://e.test/{name}.jpg")}});
    vec![
        ("a post", post(json!({"item": "status"})), listed(Value::Null), &[]),
        (
            "a photo",
            post(json!({"item": "photo", "photo_id": 900, "link": "https://e.test/1.jpg"})),
            listed(json!({"type": "photo", "target": {"id": "900"}, "media": image("1")})),
            &[],
        ),
        (
            "a video",
            post(json!({"item": "video", "video_id": 900, "link": "https://e.test/1.jpg"})),
            listed(json!({"type": "video_inline", "target": {"id": "900"}, "media": image("1")})),
            &[],
        ),
        (
            "a link",
            post(json!({"item": "share", "share_id": 900, "link": "https://e.test/"})),
            listed(json!({"type": "share", "unshimmed_url": "https://e.test/"})),
            &[],
        ),
        (
            "an album",
            post(json!({"item": "status", "photos": ["https://e.test/1.jpg", "https://e.test/2.jpg"]})),
            listed(json!({"type": "album", "subattachments": {"data": [
                {"target": {"id": "1"}, "media": image("1")}, {"target": {"id": "2"}, "media": image("2")}]}})),
            &[],
        ),
        (
            "an album, with ids",
            post(json!({"item": "status", "photos": ["https://e.test/1.jpg"], "photo_ids": ["1"]})),
            listed(json!({"type": "album", "subattachments": {"data": [
                {"target": {"id": "1"}, "media": image("1")}]}})),
            // A list's photos are told by their addresses, as most pushes' are.
            &["attachments"],
        ),
    ]
}

fn facebooks_comments_and_reviews() -> Vec<Row> {
    let link = "https://www.facebook.com/501/posts/77?comment_id=";
    let comment = |by: &str, above: &str, more: Value| {
        let mut value = json!({"item": "comment", "verb": "add", "post_id": "501_77", "parent_id": above,
            "comment_id": "77_88", "from": {"id": by, "name": "Ana"}, "created_time": 1_790_000_000, "message": "m"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pushed(Network::Facebook, "feed", &value)
    };
    let listed = |by: &str, query: &str, more: Value| {
        let mut object = json!({"id": "77_88", "from": {"id": by, "name": "Ana"}, "message": "m",
            "created_time": "2026-09-21T14:13:20+0000", "permalink_url": format!("{link}{query}")});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        polled(Network::Facebook, "comments", &object, json!({"on": "501_77"}))
    };
    let photo = json!({"type": "photo", "media": {"image": {"src": "https://e.test/1.jpg"}}});
    let above = json!({"parent": {"id": "77_80"}});
    let review = json!({"item": "rating", "verb": "add", "open_graph_story_id": 904, "reviewer_id": 7, "rating": 3,
        "reviewer_name": "Ana", "recommendation_type": "POSITIVE", "review_text": "bom", "created_time": 1_790_000_000});
    let listed_review = json!({"open_graph_story": {"id": "904"}, "reviewer": {"id": "7", "name": "Ana"}, "rating": 3,
        "recommendation_type": "positive", "review_text": "bom", "created_time": "2026-09-21T14:13:20+0000"});
    let tagging = json!({"item": "post", "verb": "add", "post_id": "9_77", "message": "oi", "created_time": 1_790_000_000});
    let tagged = json!({"id": "9_77", "message": "oi", "created_time": "2026-09-21T14:13:20+0000",
        "from": {"id": "9", "name": "Ana"}, "permalink_url": "https://www.facebook.com/9/posts/77",
        "attachments": {"data": [{"type": "photo", "target": {"id": "5"}}]}});
    vec![
        ("a comment", comment("7", "501_77", json!({})), listed("7", "88", json!({})), &[]),
        (
            "an answer",
            comment("7", "77_80", json!({})),
            listed("7", "80&reply_comment_id=88", above.clone()),
            &[],
        ),
        (
            "the page's answer",
            comment(PAGE, "77_80", json!({})),
            listed(PAGE, "80&reply_comment_id=88", above),
            &[],
        ),
        (
            "a comment with a photo",
            comment("7", "501_77", json!({"photo": "https://e.test/1.jpg"})),
            listed("7", "88", json!({"attachment": photo})),
            &[],
        ),
        (
            "a review",
            pushed(Network::Facebook, "ratings", &review),
            polled(Network::Facebook, "ratings", &listed_review, Value::Null),
            &[],
        ),
        (
            "a post that tags the page",
            pushed(Network::Facebook, "mention", &tagging),
            polled(Network::Facebook, "tagged", &tagged, Value::Null),
            // A push of it names nobody, and has nothing of what is with it.
            &["attachments", "author"],
        ),
    ]
}

fn messages_and_instagrams_comments() -> Vec<Row> {
    let message = |network, by: &str, more: Value| {
        let to = if by == PAGE { "7" } else { PAGE };
        let mut object = json!({"id": "m_1", "created_time": "2026-09-21T14:13:20+0000", "message": "m",
            "from": {"id": by, "name": "Ana"}, "to": {"data": [{"id": to}]}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        polled(network, "messages", &object, json!({"within": "t_1"}))
    };
    let image =
        json!({"data": [{"id": "5", "mime_type": "image/jpeg", "image_data": {"url": "https://cdn/1"}}]});
    let with_image = json!({"mid": "m_1", "text": "m", "attachments": [{"type": "image", "payload": {"url": "https://cdn/1"}}]});
    let echo = of_body(
        Network::Facebook,
        &json!({"object": "page", "entry": [{"id": PAGE, "time": 1, "messaging": [{"sender": {"id": PAGE},
            "recipient": {"id": "7"}, "timestamp": 1_790_000_000_000_i64,
            "message": {"mid": "m_1", "text": "m", "is_echo": true}}]}]}),
    );
    let own = |id: &str| json!({"id": "88", "text": "m", "from": {"id": id, "username": "ana"}, "media": {"id": "77"}});
    let listed = |id: &str| {
        let object = json!({"id": "88", "text": "m", "from": {"id": id, "username": "ana"}, "username": "ana",
            "timestamp": "2026-09-21T14:13:20+0000", "hidden": false});
        polled(Network::Instagram, "comments", &object, json!({"on": "77"}))
    };
    // A push of a message has its time in milliseconds, and no name.
    let of_messages: &[&str] = &["author", "occurred_at"];
    vec![
        (
            "a message",
            messaged(Network::Facebook, &json!({"mid": "m_1", "text": "m"})),
            message(Network::Facebook, "7", json!({})),
            of_messages,
        ),
        ("an echo", echo, message(Network::Facebook, PAGE, json!({})), &["author"]),
        (
            "a message with a picture",
            messaged(Network::Instagram, &with_image),
            message(Network::Instagram, "7", json!({"attachments": image})),
            // Only a list gives the picture an id.
            &["attachments", "author", "occurred_at"],
        ),
        (
            "a comment on Instagram",
            pushed(Network::Instagram, "comments", &own("7")),
            listed("7"),
            // The push says only when it was sent; this one was sent at that time.
            &[],
        ),
        (
            "the account's own comment on Instagram",
            pushed(Network::Instagram, "comments", &own(PAGE)),
            listed(PAGE),
            &[],
        ),
    ]
}

#[test]
fn a_dark_post_is_one_entry_by_push_and_by_its_id() {
    let push = json!({"item": "status", "verb": "add", "post_id": "501_77", "message": "só hoje", "published": 0,
        "created_time": 1_790_000_000, "from": {"id": PAGE, "name": "Loja"}});
    let poll = json!({"id": "501_77", "message": "só hoje", "is_published": false,
        "created_time": "2026-09-21T14:13:20+0000", "from": {"id": PAGE, "name": "Loja"},
        "permalink_url": "https://www.facebook.com/501/posts/77"});
    let beside = json!({"ad": {"id": "120", "name": "Natal"}});
    let (push, poll) =
        (pushed(Network::Facebook, "feed", &push), polled(Network::Facebook, "posts", &poll, beside));
    meet(&push, &poll);
    assert_eq!(poll.content.published, Published::ByThePage);
    assert_eq!(differing(&push, &poll), ["ad"]);
}

#[test]
fn a_comment_on_an_ad_is_one_entry_and_names_the_ad() {
    let push = json!({"id": "18001", "text": "preço?", "from": {"id": "777", "username": "ana"}, "media": {
        "id": "17999", "original_media_id": "17900", "ad_id": "120", "media_product_type": "AD"}});
    let poll = json!({"id": "18001", "text": "preço?", "timestamp": "2026-09-21T14:13:20+0000",
        "from": {"id": "777", "username": "ana"}});
    let beside = json!({"on": "17900", "ad": {"id": "120"}});
    let (push, poll) = (
        pushed(Network::Instagram, "comments", &push),
        polled(Network::Instagram, "comments", &poll, beside),
    );
    meet(&push, &poll);
    assert_eq!(differing(&push, &poll), Vec::<String>::new(), "sent when it was written");
    assert_eq!(poll.content.ad.map(|ad| ad.id).as_deref(), Some("120"));
}

#[test]
fn pushed_and_polled_items_say_the_same_but_for_what_is_named() {
    let rows = [facebooks_posts(), facebooks_comments_and_reviews(), messages_and_instagrams_comments()];
    for (name, push, poll, expected) in rows.into_iter().flatten() {
        assert_eq!(key(&push), key(&poll), "{name}");
        assert_eq!(differing(&push, &poll), expected, "{name}\n{push:#?}\n{poll:#?}");
    }
}

fn completed(wanted: &Wanted, body: &str) -> (Verdict, Option<Reading>) {
    let answer = NetworkResponse { status: 200, header: &|_| None, body: body.as_bytes() };
    let now = jiff::Timestamp::from_second(1_790_000_000).unwrap();
    let heard = instagram::completed(wanted, &answer, &crate::instagram::SPEC.api, now);
    (heard.verdict, heard.events.first().map(|event| normalise::read(event, &owner())))
}

#[test]
fn a_mention_pushed_as_ids_is_completed_under_its_key() {
    for (push, body, text, link) in [
        (
            json!({"media_id": "77", "comment_id": "88"}),
            r#"{"mentioned_comment":{"id":"88","text":"@loja oi","timestamp":"2026-09-21T13:33:20+0000","username":"ana","media":{"id":"77"}},"id":"501"}"#,
            "@loja oi",
            None,
        ),
        (
            json!({"media_id": "77"}),
            r#"{"mentioned_media":{"caption":"@loja olá","media_type":"IMAGE","permalink":"https://i.example/p/1","username":"ana"},"id":"501"}"#,
            "@loja olá",
            Some("https://i.example/p/1"),
        ),
    ] {
        let push = pushed(Network::Instagram, "mentions", &push);
        let wanted = push.wanted.clone().unwrap();
        let (verdict, reading) = completed(&wanted, body);
        let reading = reading.unwrap();
        assert_eq!((verdict, key(&reading)), (Verdict::Fine, key(&push)));
        assert_eq!(reading.content.parent, push.content.parent);
        assert_eq!(reading.content.text.as_deref(), Some(text));
        assert_eq!(reading.content.link.as_deref(), link);
        let author = reading.content.author.and_then(|author| author.username);
        assert_eq!((author.as_deref(), reading.wanted), (Some("ana"), None));
    }
}

#[test]
fn a_completion_asks_by_the_ids_and_tells_what_is_gone_or_odd() {
    let wanted = Wanted::MentionedComment { comment: "8){access_token}8".into(), media: None };
    let request = instagram::complete(&wanted, &owner(), &crate::instagram::SPEC.api);
    assert_eq!((request.operation, request.path.as_str()), ("mentioned_comment", "/v27.0/501"));
    let expected =
        "mentioned_comment.comment_id(8access_token8){id,text,timestamp,username,from,media{id,permalink}}";
    assert_eq!(request.query, [("fields", expected.to_owned())]);
    let gone = r#"{"error":{"code":100,"error_subcode":33,"message":"Unsupported get request"}}"#;
    assert_eq!(completed(&wanted, gone), (Verdict::Gone, None));
    for odd in [r#"{"id":"501"}"#, r#"{"mentioned_comment":null}"#, r#"{"mentioned_comment":"x"}"#] {
        assert_eq!(completed(&wanted, odd), (Verdict::Malformed, None));
    }
}

#[test]
fn a_media_of_the_accounts_own_is_its_publication() {
    let object = json!({"id": "77", "caption": "novo", "media_type": "CAROUSEL_ALBUM", "username": "loja",
        "permalink": "https://i.example/p/1", "timestamp": "2026-09-21T13:33:20+0000",
        "children": {"data": [{"id": "1", "media_type": "IMAGE", "media_url": "https://cdn/1"}, {"id": "2", "media_type": "VIDEO"}]}});
    let reading = polled(Network::Instagram, "media", &object, Value::Null);
    assert_eq!((reading.thing.as_str(), reading.content.published), ("post:77", Published::ByThePage));
    assert_eq!(reading.content.attachments.len(), 2);
    assert_eq!(reading.content.attachments[0].kind, "image");
}

/// Real answers are run against where `CARTEIRO_SAMPLES` names their folder; they are not kept here.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn real_answers_are_read() {
    let Ok(folder) = std::env::var("CARTEIRO_SAMPLES") else {
        println!("SKIPPED: CARTEIRO_SAMPLES names no folder of real samples");
        return;
    };
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let list = |name: &str| {
        let body = serde_json::value::RawValue::from_string(read(name)).unwrap();
        let value = normalise::value::parse(&body);
        super::answers::Listed::of(&body, &value, None).unwrap()
    };
    let comments = list("facebook/api-comments-p2.json");
    assert_eq!((comments.elements.len(), comments.after), (5, None));
    for one in comments.elements {
        let reading =
            polled(Network::Facebook, "comments", &one.value, json!({"on": "19292868552_10158407654328553"}));
        assert_eq!(reading.content.kind, Kind::Comment);
        assert!(reading.content.text.is_some() && reading.content.occurred_at.is_some());
    }
    assert_eq!(list("facebook/api-conversations.json").elements.len(), 2);
    let message: Value = serde_json::from_str(&read("facebook/api-message.json")).unwrap();
    let reading = polled(Network::Facebook, "messages", &message, Value::Null);
    assert!(reading.thing.starts_with("message:m_") && reading.content.attachments[0].kind == "image");
    assert_eq!(reading.content.author.and_then(|author| author.name).as_deref(), Some("Kun Liu"));
    let comment: Value = serde_json::from_str(&read("instagram/api-comment-fields.json")).unwrap();
    let reading = polled(Network::Instagram, "comments", &comment, json!({"on": "1"}));
    assert_eq!(reading.thing, "comment:17892250648466172");
    let wanted = Wanted::MentionedComment { comment: "17967008497439572".into(), media: Some("1".into()) };
    let (verdict, reading) = completed(&wanted, &read("instagram/api-mentioned_comment.json"));
    assert_eq!((verdict, reading.unwrap().content.text.as_deref()), (Verdict::Fine, Some("@ikroskun good")));
    for (name, text) in
        [("api-mentioned-media", "metricsaurus headquarters!"), ("api-mentioned_media", "@ikroskun hey")]
    {
        let wanted = Wanted::MentionedMedia { media: "1".into() };
        let (verdict, reading) = completed(&wanted, &read(&format!("instagram/{name}.json")));
        assert_eq!((verdict, reading.unwrap().content.text.as_deref()), (Verdict::Fine, Some(text)));
    }
}
