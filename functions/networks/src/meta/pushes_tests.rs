//! Meta's pushes from the body to the reading: every row of its documented fields, and whatever else may arrive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fields::mentioned;
use crate::collected::{Action, Rating};
use crate::inbox::{EntryKey, Signal, Update, Wanted};
use crate::inbox::{Reading, Shape, Version};
use crate::network::{Network, NetworkId};
use crate::normalise::{deleted, read};
use crate::push::split;

const PAGE: &str = "501";
const ACCOUNT: &str = "17841400000000501";

struct Told {
    update: Update,
    reading: Reading,
}

/// All that a body tells, each to its likeliest owner.
fn told(route: Network, body: &[u8]) -> Vec<Told> {
    let nobody: NetworkId = "nobody".parse().unwrap();
    let read_one = |update: Update| {
        let reading = read(&update.event, update.owners.first().unwrap_or(&nobody));
        Told { update, reading }
    };
    split(route, body).into_iter().map(read_one).collect()
}

fn facebook(body: &Value) -> Vec<Told> {
    told(Network::Facebook, &serde_json::to_vec(body).unwrap())
}

fn change(object: &str, id: &str, field: &str, value: impl Into<Value>) -> Told {
    let value = value.into();
    let body = json!({"object": object, "entry": [
        {"id": id, "time": 1_700_000_100, "changes": [{"field": field, "value": value}]},
    ]});
    let mut all = facebook(&body);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn page(field: &str, value: Value) -> Told {
    change("page", PAGE, field, value)
}

fn message(mut element: Value) -> Told {
    element["sender"] = json!({"id": "9001"});
    element["recipient"] = json!({"id": PAGE});
    element["timestamp"] = json!(1_700_000_000_123_i64);
    let body = json!({"object": "page", "entry": [{"id": PAGE, "time": 1, "messaging": [element]}]});
    facebook(&body).remove(0)
}

fn name(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

impl Told {
    /// The thing, kind, action and item type; then author, text and parent, `-` where there is none.
    fn line(&self) -> String {
        let content = &self.reading.content;
        let author = content.author.as_ref().and_then(|author| author.id.as_deref()).unwrap_or("-");
        let parent = content.parent.as_ref().map_or("-".to_owned(), |parent| {
            format!("{}/{}", parent.id, parent.kind.map_or("-".to_owned(), name))
        });
        format!(
            "{} {} {} {} by {author} on {parent}: {}",
            self.reading.thing,
            name(content.kind),
            name(content.action),
            content.published.item_type().as_str(),
            content.text.as_deref().unwrap_or("-"),
        )
    }

    fn key(&self) -> (Option<NetworkId>, EntryKey) {
        let key = EntryKey::new(&self.reading.thing, &self.reading.version);
        (self.update.owners.first().cloned(), key)
    }

    fn at(&self) -> i64 {
        self.reading.content.occurred_at.unwrap().as_second()
    }
}

fn comment(verb: &str, time: Option<i64>, message: Option<&str>) -> Value {
    json!({
        "item": "comment", "verb": verb, "post_id": "501_77", "parent_id": "501_77",
        "comment_id": "77_88", "from": {"id": "9001", "name": "Ana"}, "created_time": time, "message": message,
    })
}

fn reaction(verb: &str, kind: &str, time: i64) -> Value {
    json!({
        "item": "reaction", "verb": verb, "post_id": "501_77", "parent_id": "501_77", "reaction_type": kind,
        "from": {"id": "9001", "name": "Ana"}, "created_time": time,
    })
}

#[test]
fn a_comment_of_a_page_is_read_with_every_verb() {
    let line = |verb: &str| page("feed", comment(verb, Some(1_700_000_000), Some("oi"))).line();
    for (verb, action) in [
        ("add", "created"),
        ("edited", "edited"),
        ("remove", "deleted"),
        ("hide", "hidden"),
        ("unhide", "unhidden"),
    ] {
        let expected = format!("comment:77_88 comment {action} interaction by 9001 on 501_77/post: oi");
        assert_eq!(line(verb), expected);
    }
}

#[test]
fn an_answer_to_a_comment_is_a_reply() {
    let mut value = comment("add", Some(1), None);
    value["parent_id"] = json!("77_80");
    value["photo"] = json!("https://cdn.example/a.jpg");
    let told = page("feed", value);
    assert_eq!(told.line(), "comment:77_88 reply created interaction by 9001 on 77_80/comment: -");
    let photo = &told.reading.content.attachments[0];
    assert_eq!((photo.kind.as_str(), photo.url.as_deref()), ("photo", Some("https://cdn.example/a.jpg")));
}

#[test]
fn a_comments_versions_are_its_texts_and_its_hidings() {
    let version = |verb: &str, time: i64, text: &str| {
        page("feed", comment(verb, Some(time), Some(text))).reading.version
    };
    assert_eq!(version("add", 1, "a"), version("add", 2, "a"));
    assert_eq!(version("add", 1, "a"), Version::of_content(Some("a"), []));
    assert_ne!(version("add", 1, "a"), version("edited", 1, "b"));
    assert_eq!(version("hide", 1, "a"), version("hide", 1, "a"));
    assert_ne!(version("hide", 1, "a"), version("hide", 2, "a"));
    assert_ne!(version("hide", 1, "a"), version("unhide", 1, "a"));
    assert_eq!(version("remove", 1, "a"), deleted());
    let untimed = |text: &str| page("feed", comment("hide", None, Some(text))).reading.version;
    assert_eq!(untimed("a"), untimed("a"));
    assert_ne!(untimed("a"), untimed("b"));
}

#[test]
fn the_pages_own_are_publications_and_others_interactions() {
    let post = |from: Value, post_id: &str| {
        let value = json!({"item": "status", "verb": "add", "post_id": post_id, "from": from, "message": "oi",
            "published": 1, "created_time": 1_700_000_000});
        page("feed", value).line()
    };
    let own = |by: &str| format!("post:501_77 post created publication by {by} on -: oi");
    assert_eq!(post(json!({"id": PAGE, "name": "Loja"}), "501_77"), own("501"));
    assert_eq!(post(json!({"id": 501}), "501_77"), own("501"));
    assert_eq!(post(Value::Null, "501_77"), own("-"));
    assert_eq!(
        post(json!({"id": "9001"}), "501_77"),
        "post:501_77 post created interaction by 9001 on -: oi"
    );
    assert_eq!(post(Value::Null, "44_77"), "post:44_77 post created interaction by - on -: oi");
    let comment = json!({"item": "comment", "verb": "add", "comment_id": "77_1", "post_id": "501_77",
        "sender_id": 501, "message": "obrigado"});
    assert_eq!(
        page("feed", comment).line(),
        "comment:77_1 comment created publication by 501 on 501_77/post: obrigado"
    );
    let by_page = |mut value: Value| {
        value["from"] = json!({"id": PAGE, "name": "Loja"});
        value
    };
    let answer = json!({"item": "comment", "verb": "add", "comment_id": "77_2", "parent_id": "77_1",
        "post_id": "501_77", "message": "de nada", "created_time": 1});
    for (field, value, line) in [
        ("feed", answer, "comment:77_2 reply created publication by 501 on 77_1/comment: de nada"),
        (
            "feed",
            reaction("add", "love", 1),
            "reaction:501_77:501 reaction created publication by 501 on 501_77/post: -",
        ),
        (
            "ratings",
            json!({"item": "comment", "verb": "add", "comment_id": "9_1", "post_id": "44_9", "created_time": 1}),
            "comment:9_1 comment created publication by 501 on 44_9/review: -",
        ),
    ] {
        assert_eq!(page(field, by_page(value)).line(), line);
    }
    let echo = |message: Value| {
        let element = json!({"sender": {"id": "88"}, "recipient": {"id": "9001"}, "timestamp": 1_700_000_000_123_i64,
            "message": message});
        let body =
            json!({"object": "instagram", "entry": [{"id": ACCOUNT, "time": 1, "messaging": [element]}]});
        facebook(&body).remove(0).line()
    };
    for mark in ["is_echo", "is_self"] {
        assert_eq!(
            echo(json!({"mid": "m1", "text": "oi", mark: true})),
            "message:m1 direct_message created publication by 88 on -: oi"
        );
    }
    let own = json!({"id": "18001", "from": {"id": "88", "username": "loja", "self_ig_scoped_id": "99"}, "text": "oi"});
    assert_eq!(instagram("comments", own).line(), "comment:18001 comment created publication by 88 on -: oi");
    let own = json!({"id": "18002", "from": {"id": ACCOUNT, "username": "loja"}, "text": "oi", "parent_id": "18001"});
    assert_eq!(
        instagram("comments", own).line(),
        format!("comment:18002 reply created publication by {ACCOUNT} on 18001/comment: oi")
    );
}

#[test]
fn a_value_that_is_a_list_is_a_change_for_each_of_its_elements() {
    let one = |id: &str| json!({"id": id, "text": "oi", "from": {"id": "77", "username": "ana"}, "media": {"id": "m1"}});
    let list = json!([one("1"), one("2")]);
    let entry = |entry: Value| json!({"object": "instagram", "entry": [entry]});
    for body in [
        entry(json!({"id": ACCOUNT, "time": 1_700_000_000, "field": "comments", "value": list})),
        entry(
            json!({"id": ACCOUNT, "time": 1_700_000_000, "changes": [{"field": "comments", "value": list}]}),
        ),
        entry(json!({"id": ACCOUNT, "time": 1_700_000_000, "changes": [[
            {"field": "comments", "value": one("1")}, {"field": "comments", "value": one("2")}]]})),
    ] {
        let told = facebook(&body);
        let lines: Vec<String> = told.iter().map(Told::line).collect();
        assert_eq!(
            lines,
            ["1", "2"].map(|id| format!("comment:{id} comment created interaction by 77 on m1/post: oi"))
        );
        let alone = instagram("comments", one("1"));
        assert_eq!(told[0].key(), alone.key(), "{body}");
    }
    let verbs = page("feed", json!([comment("remove", Some(1), None)]));
    assert_eq!(verbs.reading.content.action, Action::Deleted);
    let beside = json!({"object": "page", "entry": [{"id": PAGE, "changes": [
        {"field": "feed", "value": [comment("add", Some(1), Some("a"))], "odd": {"a": 1}}]}]});
    let kept: Vec<String> = facebook(&beside).iter().map(|told| told.reading.thing.clone()).collect();
    assert_eq!(kept, ["comment:77_88", "other:odd"]);
}

#[test]
fn a_facebook_push_has_the_link_that_its_ids_make() {
    let link = |field: &str, value: Value| page(field, value).reading.content.link;
    let post = "https://www.facebook.com/501/posts/77";
    let status = |verb: &str| json!({"item": "status", "verb": verb, "post_id": "501_77", "message": "a"});
    for (field, value, expected) in [
        ("feed", status("add"), Some(post.to_owned())),
        ("feed", status("hide"), Some(post.to_owned())),
        ("feed", json!({"item": "post", "verb": "remove", "post_id": "501_77"}), None),
        (
            "feed",
            json!({"item": "status", "verb": "edited", "published": 1, "post_id": "501_77", "created_time": 1}),
            None,
        ),
        ("feed", comment("add", Some(1), Some("a")), Some(format!("{post}?comment_id=88"))),
        (
            "feed",
            json!({"item": "comment", "verb": "add", "post_id": "501_77", "comment_id": "77_88", "parent_id": "77_80"}),
            Some(format!("{post}?comment_id=80&reply_comment_id=88")),
        ),
        ("feed", comment("remove", Some(1), None), None),
        ("feed", reaction("add", "love", 1), Some(post.to_owned())),
        (
            "mention",
            json!({"item": "post", "post_id": "44_1"}),
            Some("https://www.facebook.com/44/posts/1".to_owned()),
        ),
        ("feed", json!({"item": "post", "verb": "add", "post_id": "77"}), None),
        ("feed", json!({"item": "post", "verb": "add", "post_id": "501_a/../b"}), None),
        ("ratings", json!({"item": "rating", "open_graph_story_id": 9, "reviewer_id": 7}), None),
    ] {
        assert_eq!(link(field, value.clone()), expected, "{value}");
    }
}

#[test]
fn every_photo_of_an_album_is_an_attachment() {
    let attachments = |value: Value| -> Vec<(String, Option<String>, Option<String>)> {
        let all = page("feed", value).reading.content.attachments;
        all.into_iter().map(|one| (one.kind, one.id, one.url)).collect()
    };
    let photo = |id: Option<&str>, url: Option<&str>| {
        ("photo".to_owned(), id.map(str::to_owned), url.map(str::to_owned))
    };
    let album = |more: Value| {
        let mut value = json!({"item": "album", "verb": "add", "album_id": 8, "from": {"id": PAGE}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    assert_eq!(
        attachments(album(json!({"photo_ids": ["1", 2, "3"]}))),
        [photo(Some("1"), None), photo(Some("2"), None), photo(Some("3"), None)]
    );
    let urls = json!(["https://e.test/1.jpg", "https://e.test/2.jpg"]);
    assert_eq!(
        attachments(album(json!({"photos": urls, "photo_ids": ["1", "2"]}))),
        [photo(Some("1"), Some("https://e.test/1.jpg")), photo(Some("2"), Some("https://e.test/2.jpg"))]
    );
    assert_eq!(attachments(album(json!({"photos": urls, "photo_ids": ["1"]}))).len(), 3);
    assert_eq!(
        attachments(album(
            json!({"photo_id": "1", "photos": [{"photo_id": "1"}, {"id": "2", "link": "https://e.test/2.jpg"}, {}, ""]})
        )),
        [photo(Some("1"), None), photo(Some("2"), Some("https://e.test/2.jpg"))]
    );
}

#[test]
fn a_push_tells_its_rating_reaction_and_location() {
    let rating = |more: Value| {
        let mut value = json!({"item": "rating", "open_graph_story_id": 9, "reviewer_id": 7});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        page("ratings", value).reading.content.rating
    };
    assert_eq!(rating(json!({"rating": 4})), Rating::new(Some(4), None));
    assert_eq!(rating(json!({"recommendation_type": "NEGATIVE"})), Rating::new(None, Some(false)));
    assert_eq!(rating(json!({"rating": 9, "recommendation_type": "odd"})), None);
    let reacted = |value: Value| page("feed", value).reading.content.reaction;
    assert_eq!(reacted(reaction("add", "LOVE", 1)).as_deref(), Some("love"));
    assert_eq!(reacted(json!({"item": "like", "verb": "add", "user_id": 9001})).as_deref(), Some("like"));
    let to_message = |told: Value| message(json!({"reaction": told})).reading.content.reaction;
    assert_eq!(to_message(json!({"mid": "m", "reaction": "love", "emoji": "❤"})).as_deref(), Some("love"));
    assert_eq!(to_message(json!({"mid": "m", "reaction": "other", "emoji": "😮"})).as_deref(), Some("😮"));
    assert_eq!(to_message(json!({"reaction": "love"})).as_deref(), Some("love"));
    let shared = json!({"mid": "m", "attachments": [{"type": "image", "payload": {"url": "u"}},
        {"type": "location", "title": "Praça", "payload": {"coordinates": {"lat": -23.5, "long": -46.6}}}]});
    let place = message(json!({"message": shared})).reading.content.location.unwrap();
    assert_eq!(
        (place.name.as_deref(), place.longitude.unwrap().to_string()),
        (Some("Praça"), "-46.6".to_owned())
    );
    let post = json!({"item": "status", "verb": "add", "post_id": "501_77", "message": "a",
        "place": {"id": "7", "name": "Loja", "location": {"latitude": -23.5, "longitude": -46.6, "city": "São Paulo"}}});
    let place = page("feed", post).reading.content.location.unwrap();
    assert_eq!((place.id.as_deref(), place.latitude.unwrap().to_string()), (Some("7"), "-23.5".to_owned()));
}

#[test]
fn every_publication_that_a_feed_names_is_read() {
    let line = |value: Value| page("feed", value).line();
    let tail = "by 501 on -: -";
    for (value, start) in [
        (
            json!({"item": "photo", "verb": "add", "photo_id": 5, "post_id": "501_5"}),
            "post:501_5 post created",
        ),
        (json!({"item": "photo", "verb": "hide", "photo_id": 5}), "photo:5 post hidden"),
        (
            json!({"item": "video", "verb": "edited", "video_id": "6", "post_id": "501_9"}),
            "post:501_9 post edited",
        ),
        (json!({"item": "video", "verb": "unblock", "video_id": "6"}), "video:6 post unhidden"),
        (json!({"item": "video", "verb": "block", "video_id": "6"}), "video:6 post hidden"),
        (json!({"item": "video", "verb": "mute", "video_id": "6"}), "video:6 post edited"),
        (
            json!({"item": "share", "verb": "add", "share_id": 7, "post_id": "501_7"}),
            "post:501_7 share created",
        ),
        (json!({"item": "album", "verb": "edited", "album_id": 8}), "album:8 post edited"),
        (
            json!({"item": "event", "verb": "add", "event_id": "9", "post_id": "501_3"}),
            "post:501_3 post created",
        ),
        (json!({"item": "link", "verb": "update", "post_id": "501_3"}), "post:501_3 post edited"),
        (json!({"item": "note", "verb": "add", "note_id": "4"}), "note:4 post created"),
        (json!({"item": "post", "verb": "remove", "post_id": "501_3"}), "post:501_3 post deleted"),
        (json!({"verb": "add", "post_id": "501_3"}), "post:501_3 post created"),
    ] {
        let mut value = value;
        value["sender_id"] = json!(501);
        assert_eq!(line(value), format!("{start} publication {tail}"));
    }
    let odd = page("feed", json!({"item": "cover", "verb": "update", "sender_id": 501}));
    assert_eq!(odd.line(), "other:cover other edited publication by 501 on -: -");
    let named = page("feed", json!({"item": "cover", "verb": "add", "post_id": "501_3", "sender_id": 501}));
    let post = page("feed", json!({"item": "post", "verb": "add", "post_id": "501_3", "sender_id": 501}));
    assert_ne!(named.key(), post.key());
    let bare = page("feed", json!({"item": "status"}));
    assert_eq!(bare.line(), "other:status post created publication by - on -: -");
}

#[test]
fn a_trashed_post_may_be_deleted_for_good_later() {
    let trash = json!({"item": "status", "verb": "edited", "published": 1, "post_id": "501_77",
        "from": {"id": PAGE}, "created_time": 1_700_000_000});
    let told = page("feed", trash.clone());
    assert_eq!(told.line(), "post:501_77 post deleted publication by 501 on -: -");
    let gone = page("feed", json!({"item": "post", "verb": "remove", "post_id": "501_77"}));
    assert_ne!(told.key(), gone.key());
    let mut edited = trash;
    edited["message"] = json!("outra");
    assert_eq!(page("feed", edited).line(), "post:501_77 post edited publication by 501 on -: outra");
}

#[test]
fn a_post_that_was_not_shown_yet_is_told_again_when_it_is() {
    let post = |published: i64| {
        let value = json!({"item": "photo", "verb": "add", "published": published, "post_id": "501_77",
            "photo_id": 5, "link": "https://cdn.example/5.jpg", "from": {"id": PAGE}, "message": "já"});
        page("feed", value)
    };
    assert_ne!(post(0).key(), post(1).key());
    assert_eq!(post(0).key(), post(0).key());
    assert_eq!(post(1).reading.version, Version::of_content(Some("já"), ["5"]));
    let attachment = post(1).reading.content.attachments[0].clone();
    assert_eq!(
        (attachment.kind.as_str(), attachment.id.as_deref(), attachment.url.as_deref()),
        ("photo", Some("5"), Some("https://cdn.example/5.jpg"))
    );
}

#[test]
fn a_post_lists_its_photos_and_its_link() {
    let value = json!({"item": "status", "verb": "add", "post_id": "501_77", "link": "https://example.com/",
        "photos": ["https://cdn.example/1.jpg", "https://cdn.example/2.jpg"],
        "post": {"permalink_url": "https://www.facebook.com/501/posts/77", "id": "501_77"}});
    let content = page("feed", value).reading.content;
    let kinds: Vec<&str> = content.attachments.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["link", "photo", "photo"]);
    assert_eq!(content.link.as_deref(), Some("https://www.facebook.com/501/posts/77"));
}

#[test]
fn each_reaction_of_a_person_is_told_and_a_repetition_is_not() {
    let told = |verb: &str, kind: &str, time: i64| page("feed", reaction(verb, kind, time));
    assert_eq!(
        told("add", "love", 1).line(),
        "reaction:501_77:9001 reaction created interaction by 9001 on 501_77/post: -"
    );
    assert_ne!(told("edit", "sorry", 10).key(), told("edit", "sorry", 15).key());
    assert_ne!(told("add", "love", 1).key(), told("remove", "love", 1).key());
    assert_ne!(told("edit", "care", 1).key(), told("edit", "anger", 1).key());
    assert_eq!(told("add", "love", 1).key(), told("add", "love", 1).key());
    assert_eq!(told("remove", "like", 1).reading.content.action, Action::Deleted);
    let mut on_comment = reaction("add", "like", 1);
    on_comment["comment_id"] = json!("77_88");
    on_comment["from"] = Value::Null;
    assert_eq!(
        page("feed", on_comment).line(),
        "reaction:77_88: reaction created interaction by - on 77_88/comment: -"
    );
    let of_page = page("feed", json!({"item": "like", "verb": "add", "user_id": 9001}));
    assert_eq!(of_page.line(), "reaction:501:9001 reaction created interaction by 9001 on 501/-: -");
    let follow = page("feed", json!({"item": "page", "verb": "follow", "from": {"id": "9001"}}));
    assert_eq!(follow.line(), "follow:9001 follow created interaction by 9001 on 501/-: -");
}

#[test]
fn a_mention_of_a_page_is_an_interaction_whosever_post_it_is() {
    let post =
        json!({"item": "post", "verb": "add", "post_id": "44_1", "created_time": 1, "message": "com @Loja"});
    assert_eq!(page("mention", post).line(), "mention:44_1 mention created interaction by - on -: com @Loja");
    let comment = json!({"item": "comment", "verb": "add", "post_id": "44_1", "comment_id": "1_2", "sender_id": 9001,
        "sender_name": "Ana"});
    assert_eq!(
        page("mention", comment).line(),
        "mention:1_2 mention created interaction by 9001 on 44_1/post: -"
    );
    let bare = page("mention", json!({"verb": "add"}));
    assert_eq!(bare.line(), "other:mention mention created interaction by - on -: -");
}

#[test]
fn reviews_are_read_with_numbers_as_ids() {
    let review = |rating: Value, text: &str| {
        json!({"item": "rating", "verb": "add", "open_graph_story_id": 904_801_129_604_590_i64,
            "reviewer_id": 9001, "reviewer_name": "Ana", "rating": rating, "review_text": text,
            "recommendation_type": "POSITIVE", "comment_id": null, "created_time": 1_700_000_000})
    };
    let told = page("ratings", review(json!(3), "bom"));
    assert_eq!(told.line(), "review:904801129604590 review created interaction by 9001 on -: bom");
    assert_ne!(told.key(), page("ratings", review(json!(4), "bom")).key());
    assert_eq!(
        told.reading.version,
        Version::of_content(Some("bom"), ["rating:3", "recommendation:positive"])
    );
    let on = |item: &str| {
        let value = json!({"item": item, "verb": "remove", "post_id": "44_1", "parent_id": "44_1",
            "comment_id": (item == "comment").then_some("1_2"), "from": {"id": "9001"}, "created_time": 1});
        page("ratings", value).line()
    };
    assert_eq!(on("comment"), "comment:1_2 comment deleted interaction by 9001 on 44_1/review: -");
    assert_eq!(on("like"), "reaction:44_1:9001 reaction deleted interaction by 9001 on 44_1/review: -");
    assert_eq!(on("reaction"), "reaction:44_1:9001 reaction deleted interaction by 9001 on 44_1/review: -");
}

#[test]
fn a_filled_in_form_is_told_once_by_its_id() {
    let lead = page(
        "leadgen",
        json!({"leadgen_id": 444, "form_id": 1, "page_id": 501, "created_time": 1_700_000_000}),
    );
    assert_eq!(lead.line(), "lead:444 other created interaction by - on -: -");
    assert_eq!(lead.at(), 1_700_000_000);
}

#[test]
fn the_envelopes_time_is_used_where_there_is_no_other() {
    assert_eq!(page("feed", comment("add", Some(1_700_000_000), None)).at(), 1_700_000_000);
    assert_eq!(page("feed", comment("add", None, None)).at(), 1_700_000_100);
    assert_eq!(message(json!({"message": {"mid": "m1"}})).at(), 1_700_000_000);
}

#[test]
fn messages_are_read_in_both_directions() {
    let told = message(json!({"message": {"mid": "m1", "text": "oi", "reply_to": {"mid": "m0"}}}));
    assert_eq!(told.line(), "message:m1 direct_message created interaction by 9001 on m0/direct_message: oi");
    let owners: Vec<&str> = told.update.owners.iter().map(NetworkId::as_str).collect();
    assert_eq!(owners, [PAGE, "9001"]);
    let echo = json!({"object": "page", "entry": [{"messaging": [{"sender": {"id": 501}, "recipient": {"id": 9001},
        "timestamp": 1_700_000_000_000_i64, "message": {"mid": "m2", "text": "olá", "is_echo": true}}]}]});
    let told = facebook(&echo).remove(0);
    assert_eq!(told.line(), "message:m2 direct_message created publication by 501 on -: olá");
    let owners: Vec<&str> = told.update.owners.iter().map(NetworkId::as_str).collect();
    assert_eq!(owners, [PAGE, "9001"]);
}

#[test]
fn every_kind_of_messaging_is_read() {
    for (element, expected) in [
        (json!({"message": {"mid": "m1", "is_deleted": true}}), "message:m1 direct_message deleted"),
        (json!({"message": {"mid": "m1", "is_unsupported": true}}), "message:m1 direct_message created"),
        (json!({"message": {"text": "sem id"}}), "other:message direct_message created"),
        (
            json!({"message_edit": {"mid": "m1", "text": "b", "num_edit": "2"}}),
            "message:m1 direct_message edited",
        ),
        (
            json!({"reaction": {"mid": "m1", "action": "react", "reaction": "love"}}),
            "reaction:m1:9001 reaction created",
        ),
        (json!({"reaction": {"mid": "m1", "action": "unreact"}}), "reaction:m1:9001 reaction deleted"),
        (
            json!({"postback": {"mid": "m3", "title": "Sim", "payload": "Y"}}),
            "message:m3 direct_message created",
        ),
        (json!({"postback": {"payload": "Y"}, "referral": {}}), "other:postback direct_message created"),
        (
            json!({"delivery": {"mids": ["m1"], "watermark": 1_700_000_000_000_i64}}),
            "delivery:9001 other created",
        ),
        (json!({"read": {"watermark": 1_700_000_000_000_i64}}), "read:9001 other created"),
        (json!({"optin": {"ref": "r"}}), "other:optin other created"),
        (json!({"referral": {"ref": "r"}}), "other:referral other created"),
        (
            json!({"pass_thread_control": {"new_owner_app_id": "1"}}),
            "other:pass_thread_control other created",
        ),
        (json!({"take_thread_control": {}}), "other:take_thread_control other created"),
        (json!({"request_thread_control": {}}), "other:request_thread_control other created"),
        (json!({"app_roles": {"1": ["primary_receiver"]}}), "other:app_roles other created"),
        (
            json!({"policy-enforcement": {"action": "block", "reason": "r"}}),
            "other:policy-enforcement other hidden",
        ),
        (json!({"policy_enforcement": {"action": "unblock"}}), "other:policy_enforcement other unhidden"),
        (json!({"account_linking": {"status": "linked"}}), "other:account_linking other created"),
        (json!({"account_linking": {"status": "unlinked"}}), "other:account_linking other deleted"),
        (json!({"payment": {"payload": "p"}}), "other:payment other created"),
        (json!({"new_thing": 1}), "other:new_thing other created"),
        (json!({}), "other: other created"),
    ] {
        let line = message(element.clone()).line();
        assert!(line.starts_with(&format!("{expected} interaction by 9001")), "{element}: {line}");
    }
}

#[test]
fn a_message_lists_its_attachments_and_story_mentions() {
    let attachments = json!([
        {"type": "image", "payload": {"url": "https://cdn.example/a.jpg", "sticker_id": 369}},
        {"type": "share", "payload": {"url": "https://cdn.example/b", "title": "t"}},
        {"type": "fallback", "title": "t", "url": "https://example.com/", "payload": "BLOB"},
        {"type": "template", "payload": {"template_type": "button"}},
        "odd",
    ]);
    let told = message(json!({"message": {"mid": "m1", "attachments": attachments}}));
    let listed: Vec<(&str, bool)> =
        told.reading.content.attachments.iter().map(|one| (one.kind.as_str(), one.url.is_some())).collect();
    assert_eq!(listed, [("sticker", true), ("share", true), ("fallback", true), ("template", false)]);
    let story = json!([{"type": "story_mention", "payload": {"url": "https://cdn.example/s"}}]);
    let told = message(json!({"message": {"mid": "m2", "attachments": story}}));
    assert_eq!(told.line(), "message:m2 mention created interaction by 9001 on -: -");
    let answer = json!({"mid": "m3", "text": "uau", "reply_to": {"story": {"id": "s1", "url": "https://cdn.example/s"}}});
    let told = message(json!({"message": answer}));
    assert_eq!(told.line(), "message:m3 direct_message created interaction by 9001 on s1/post: uau");
    assert_eq!(told.reading.content.attachments[0].kind, "story");
}

fn instagram(field: &str, value: Value) -> Told {
    let told = change("instagram", ACCOUNT, field, value);
    assert_eq!(told.update.event.network, Network::Instagram);
    told
}

#[test]
fn instagrams_comments_are_read_under_either_name_of_their_id() {
    let value = |name: &str| {
        json!({name: "18001", "text": "lindo", "from": {"id": "777", "username": "ana"},
            "media": {"id": "17900", "media_product_type": "FEED"}})
    };
    let expected = "comment:18001 comment created interaction by 777 on 17900/post: lindo";
    assert_eq!(instagram("comments", value("id")).line(), expected);
    assert_eq!(instagram("comments", value("comment_id")).line(), expected);
    assert_eq!(instagram("live_comments", value("id")).line(), expected);
    let mut reply = value("id");
    reply["parent_id"] = json!("18000");
    let told = instagram("comments", reply);
    assert_eq!(told.line(), "comment:18001 reply created interaction by 777 on 18000/comment: lindo");
    assert_eq!(told.reading.content.author.unwrap().username.as_deref(), Some("ana"));
    let bare = instagram("comments", json!({"text": "sem id"}));
    assert_eq!(bare.line(), "other:comments comment created interaction by - on -: sem id");
}

#[test]
fn an_advertisements_comment_is_on_the_advertised_post() {
    let value = json!({"id": "18001", "text": "preço?", "from": {"id": "777", "username": "ana"}, "media": {
        "id": "17999", "original_media_id": "17900", "ad_id": "120", "media_product_type": "AD"}});
    let told = instagram("comments", value);
    assert_eq!(told.line(), "comment:18001 comment created interaction by 777 on 17900/post: preço?");
    assert!(told.update.event.raw.get().contains("\"ad_id\":\"120\""));
    assert_eq!(told.reading.content.ad.map(|ad| (ad.id, ad.name)), Some(("120".into(), None)));
}

#[test]
fn a_mention_that_came_as_ids_says_what_is_wanted() {
    let told = instagram("mentions", json!({"comment_id": "18001", "media_id": "17900"}));
    assert_eq!(told.line(), "mention:18001 mention created interaction by - on 17900/post: -");
    let wanted = Wanted::MentionedComment { comment: "18001".into(), media: Some("17900".into()) };
    assert_eq!((told.reading.wanted, told.reading.version), (Some(wanted), mentioned()));
    let told = instagram("mentions", json!({"media_id": 17900}));
    assert_eq!(told.line(), "mention:17900 mention created interaction by - on -: -");
    assert_eq!(told.reading.wanted, Some(Wanted::MentionedMedia { media: "17900".into() }));
    assert_eq!(instagram("mentions", json!({})).reading.wanted, None);
}

#[test]
fn a_storys_numbers_are_told_once_for_each_set_of_them() {
    let told =
        |reach: i64| instagram("story_insights", json!({"media_id": "17900", "reach": reach, "exits": -1}));
    assert_eq!(
        told(44).line(),
        "story_insight:17900 story_insight created interaction by - on 17900/post: -"
    );
    assert_eq!(told(44).key(), told(44).key());
    assert_ne!(told(44).key(), told(45).key());
}

#[test]
fn messages_that_come_as_changes_are_read_as_messages() {
    let value = json!({"sender": {"id": "777"}, "recipient": {"id": ACCOUNT}, "timestamp": "1527459824",
        "message": {"mid": "m1", "text": "oi"}});
    let told = instagram("messages", value.clone());
    assert_eq!(told.line(), "message:m1 direct_message created interaction by 777 on -: oi");
    assert_eq!(told.at(), 1_527_459_824);
    let seen = instagram(
        "messaging_seen",
        json!({"sender": {"id": "777"}, "recipient": {"id": "1"}, "read": {"mid": "m1"}}),
    );
    assert_eq!(seen.line(), "read:777 other created interaction by 777 on m1/direct_message: -");
    let test = change("instagram", "0", "messages", value);
    assert_eq!(test.update.owners, ["0".parse().unwrap()]);
}

#[test]
fn every_envelope_gives_the_same_update() {
    let change = json!({"field": "feed", "value": comment("add", Some(1), Some("oi"))});
    let entry = json!({"id": PAGE, "time": 1, "changes": [change]});
    let flat =
        json!({"id": 501, "time": "2026-01-01T00:00:00+0000", "field": "feed", "value": change["value"]});
    let envelope = |entry: Value| json!({"object": "page", "entry": entry});
    let expected = facebook(&envelope(json!([entry])))[0].key();
    for body in [
        envelope(entry.clone()),
        envelope(flat.clone()),
        envelope(json!([flat])),
        envelope(json!([{"id": PAGE, "changes": change}])),
        json!([envelope(json!([entry]))]),
        json!([[envelope(json!([entry]))]]),
        json!({"entry": [entry]}),
        entry.clone(),
    ] {
        let told = facebook(&body);
        assert_eq!(told.len(), 1, "{body}");
        assert_eq!(told[0].key(), expected, "{body}");
        assert_eq!(told[0].update.event.network, Network::Facebook);
    }
}

#[test]
fn the_object_decides_the_network_and_else_the_route_does() {
    let network = |route: Network, object: &str| {
        let body = json!({"object": object, "entry": [{"id": "1", "changes": [{"field": "x", "value": 1}]}]});
        told(route, &serde_json::to_vec(&body).unwrap())[0].update.event.network
    };
    assert_eq!(network(Network::Instagram, "page"), Network::Facebook);
    assert_eq!(network(Network::Facebook, "instagram"), Network::Instagram);
    assert_eq!(network(Network::Instagram, "user"), Network::Instagram);
    assert_eq!(network(Network::Facebook, "user"), Network::Facebook);
}

#[test]
fn several_kinds_in_one_entry_are_all_kept() {
    let body = json!({"object": "page", "entry": [{
        "id": PAGE, "time": 1,
        "changes": [{"field": "parking"}, {"field": "feed", "value": comment("add", None, None)}, "picture", 7],
        "messaging": [{"sender": {"id": "9001"}, "recipient": {"id": PAGE}, "message": {"mid": "m1"}}],
        "standby": [{"sender": {"id": "9001"}, "recipient": {"id": PAGE}, "message": {"mid": "m2"}}],
        "changed_fields": ["name", "about"],
        "hop_context": [{"app_id": 1}],
        "calls": [{"id": "c1"}, {"id": "c2"}],
    }], "batch": {"n": 1}});
    let told = facebook(&body);
    let things: BTreeSet<&str> = told.iter().map(|told| told.reading.thing.as_str()).collect();
    let expected = [
        "comment:77_88",
        "message:m1",
        "message:m2",
        "other:about",
        "other:batch",
        "other:calls",
        "other:changes",
        "other:name",
        "other:parking",
        "other:picture",
    ];
    assert_eq!(things, BTreeSet::from(expected));
    let owned =
        told.iter().filter(|told| told.update.owners.first().is_some_and(|id| id.as_str() == PAGE)).count();
    assert_eq!((told.len(), owned), (11, 10));
    let keys: BTreeSet<_> = told.iter().map(Told::key).collect();
    assert_eq!(keys.len(), 11);
    let standby = told.iter().find(|told| told.reading.thing == "message:m2").unwrap();
    assert_eq!(standby.update.event.shape, Shape::MetaStandby);
}

#[test]
fn a_revoked_permission_is_told_to_each_page_that_it_is_about() {
    let body = json!({"object": "permissions", "entry": [{"id": "0", "uid": "0", "time": 1, "changes": [
        {"field": "manage_pages", "value": {"verb": "revoked", "target_ids": [PAGE, 502]}},
        {"field": "instagram_manage_comments", "value": {"verb": "revoked", "target_ids": [ACCOUNT]}},
    ]}]});
    let told = facebook(&body);
    let mut nameless = body.clone();
    nameless["object"].take();
    assert!(facebook(&nameless).iter().map(Told::key).eq(told.iter().map(Told::key)));
    let seen: Vec<_> = told
        .iter()
        .map(|told| {
            let owner = told.update.owners[0].as_str();
            (told.update.event.network, owner, told.reading.thing.as_str(), told.reading.signal)
        })
        .collect();
    let (dead, narrowed) = (Some(Signal::TokenRevoked), Some(Signal::PermissionRevoked));
    assert_eq!(
        seen,
        [
            (Network::Facebook, PAGE, "permission:manage_pages", dead),
            (Network::Facebook, "502", "permission:manage_pages", dead),
            (Network::Instagram, ACCOUNT, "permission:instagram_manage_comments", narrowed),
        ]
    );
}

#[test]
fn whatsapps_pushes_are_kept_with_both_of_their_owners() {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "101", "changes": [{"field": "messages",
        "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "106"},
            "contacts": [{"profile": {"name": "Ana"}, "wa_id": "49"}],
            "messages": [{"from": "49", "id": "wamid.X==", "timestamp": "1653253313", "type": "text",
                "text": {"body": "oi"}}]}}]}]});
    let told = facebook(&body);
    let owners: Vec<&str> = told[0].update.owners.iter().map(NetworkId::as_str).collect();
    assert_eq!(owners, ["101", "106"]);
    assert_eq!(told[0].line(), "message:wamid.X== direct_message created interaction by 49 on -: oi");
    let state = json!({"messaging_product": "whatsapp", "statuses": [{"id": "w1", "status": "read", "timestamp": "1"}]});
    let told = change("whatsapp_business_account", "101", "messages", state);
    assert_eq!(told.line(), "status:w1 other created interaction by - on w1/direct_message: -");
    let told =
        change("whatsapp_business_account", "101", "account_update", json!({"event": "DISABLED_UPDATE"}));
    assert_eq!(told.line(), "other:account_update other created interaction by - on -: -");
}

#[test]
fn bodies_that_nothing_can_be_made_of_are_kept_whole() {
    let deep = format!("{{\"entry\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let many = format!("[{}1]", "1,".repeat(20_000));
    for body in [
        "",
        "null",
        "7",
        "\"x\"",
        "[]",
        "{}",
        "{\"object\":\"page\"}",
        "{\"entry\":null}",
        "{\"entry\":[",
        "\u{feff}{}",
        &deep,
        &many,
    ] {
        let told = told(Network::Facebook, body.as_bytes());
        assert_eq!(told.len(), 1, "{}", body.get(..40).unwrap_or(body));
        assert_eq!(told[0].update.event.shape, Shape::Unknown);
    }
    let two = r#"{"object":"page","entry":[{"id":"501","changes":[{"field":"feed","value":1e999}]}],
        "entry":[{"id":"501","changes":[{"field":"feed","value":{"message":"\ud800","post_id":"501_1"}}]}]}"#;
    let told = told(Network::Facebook, two.as_bytes());
    assert_eq!(
        told.iter().map(|told| told.reading.thing.as_str()).collect::<Vec<_>>(),
        ["other:", "post:501_1"]
    );
}

/// Bodies with much in them, to be altered.
fn fixtures() -> Vec<Value> {
    let all = json!([
        {"id": PAGE, "time": 1_700_000_000, "changes": [
            {"field": "feed", "value": comment("add", Some(1_700_000_000), Some("oi"))},
            {"field": "feed", "value": comment("hide", Some(1_700_000_001), Some("oi"))},
            {"field": "feed", "value": reaction("edit", "care", 1_700_000_002)},
            {"field": "feed", "value": reaction("edit", "care", 1_700_000_007)},
            {"field": "feed", "value": {"item": "photo", "verb": "add", "photo_id": 5, "post_id": "501_5",
                "published": 0, "link": "https://cdn.example/5.jpg", "photos": ["https://cdn.example/6.jpg"]}},
            {"field": "ratings", "value": {"item": "rating", "verb": "add", "open_graph_story_id": 9,
                "reviewer_id": 9001, "rating": 3, "recommendation_type": "POSITIVE"}},
            {"field": "mention", "value": {"item": "comment", "comment_id": "1_2", "post_id": "44_1"}},
            {"field": "leadgen", "value": {"leadgen_id": 1}},
        ]},
        {"id": PAGE, "time": 1_700_000_000_000_i64, "messaging": [
            {"sender": {"id": 9001}, "recipient": {"id": 501}, "timestamp": 1_700_000_000_000_i64,
                "message": {"mid": "m1", "text": "oi", "attachments": [{"type": "image", "payload": {"url": "u"}}],
                    "reply_to": {"story": {"id": "s1", "url": "u"}}}},
            {"sender": {"id": 9001}, "recipient": {"id": 501}, "timestamp": 1_700_000_000_000_i64,
                "reaction": {"mid": "m1", "action": "react", "reaction": "love"}},
            {"sender": {"id": 9001}, "recipient": {"id": 501}, "delivery": {"mids": ["m1"], "watermark": 17}},
            {"sender": {"id": 9001}, "recipient": {"id": 501}, "postback": {"payload": "p"}, "timestamp": 8},
        ]},
    ]);
    let of_instagram = json!([{"id": ACCOUNT, "time": 1_700_000_000, "changes": [
        {"field": "comments", "value": {"id": "18001", "text": "lindo", "from": {"id": "777", "username": "ana"},
            "media": {"id": "17999", "original_media_id": "17900", "ad_id": "120"}}},
        {"field": "mentions", "value": {"comment_id": "18001", "media_id": "17900"}},
        {"field": "story_insights", "value": {"media_id": "17900", "reach": 44}},
    ]}]);
    vec![
        json!({"object": "page", "entry": all}),
        json!({"object": "instagram", "entry": of_instagram}),
        json!({"object": "permissions", "entry": [{"id": "0", "time": 1_700_000_000, "changes": [
            {"field": "manage_pages", "value": {"verb": "revoked", "target_ids": ["1", "2"]}}]}]}),
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages",
            "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "2"},
                "messages": [{"id": "w1", "type": "image", "image": {"id": "3", "caption": "c"}}]}}]}]}),
    ]
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "",
        "0",
        "501",
        "add",
        "edited",
        "hide",
        "comment",
        "post",
        "reaction",
        "2021-09-08T06:34:04+0000",
        "feed",
    ]);
    let names = "entry object id changes messaging standby field value item verb post_id comment_id from \
                 sender recipient message mid attachments payload target_ids read created_time timestamp \
                 media changed_fields messages messaging_product type time";
    let name = proptest::sample::select(names.split(' ').collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let members = proptest::collection::vec((name.clone(), inner.clone()), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            members.prop_map(|all| all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// The places in a tree, each as the way to it.
fn places(value: &Value, way: &str, found: &mut Vec<String>) {
    found.push(way.to_owned());
    match value {
        Value::Array(list) => {
            for (at, one) in list.iter().enumerate() {
                places(one, &format!("{way}/{at}"), found);
            }
        }
        Value::Object(map) => {
            for (name, one) in map {
                places(one, &format!("{way}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn altered(mut body: Value, at: proptest::sample::Index, with: Option<Value>) -> Value {
    let mut found = Vec::new();
    places(&body, "", &mut found);
    let way = found[at.index(found.len())].clone();
    let last = way.rsplit('/').next().unwrap_or_default().to_owned();
    let above = way.rsplit_once('/').map(|(above, _)| above.to_owned());
    match (with, above.and_then(|above| body.pointer_mut(&above))) {
        (None, Some(Value::Object(map))) => drop(map.remove(&last)),
        (None, Some(Value::Array(list))) => {
            // Twice instead of not at all.
            let again = list[last.parse::<usize>().unwrap()].clone();
            list.push(again);
        }
        (with, _) => *body.pointer_mut(&way).unwrap() = with.unwrap_or_default(),
    }
    body
}

fn holds_an_empty_list(body: &[u8]) -> bool {
    let dense: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    dense.windows(2).any(|pair| pair == b"[]")
}

/// What holds of every body: something is told, of a bounded size, with an owner where the network named one.
fn holds(route: Network, body: &[u8]) {
    let all = told(route, body);
    assert!(!all.is_empty() || holds_an_empty_list(body));
    let size: usize = all.iter().map(|told| told.update.event.raw.get().len()).sum();
    // Each element of a value that is a list has the field's name and the verb with it.
    assert!(size <= 4 * body.len() + 64 * (1 + all.len()), "{size} of {}", body.len());
    let things = all.iter().filter(|told| told.reading.thing.contains(':')).count();
    assert_eq!(things, all.len());
}

proptest! {
    #[test]
    fn any_bytes_are_told(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        holds(Network::Facebook, &body);
    }

    #[test]
    fn any_json_is_told(body in arbitrary_json()) {
        holds(Network::Facebook, body.to_string().as_bytes());
    }

    #[test]
    fn any_json_in_an_entrys_place_is_told(inner in arbitrary_json()) {
        for body in [
            json!({"object": "page", "entry": inner}),
            json!({"object": "page", "entry": [{"id": "1", "changes": [inner], "messaging": [inner]}]}),
            json!({"object": "permissions", "entry": [{"id": "1", "changes": [{"field": "x", "value": inner}]}]}),
            json!({"object": "page", "entry": [{"id": "1", "changes": [
                {"field": "feed", "value": inner}, {"field": "comments", "value": inner},
                {"field": "mentions", "value": inner}, {"field": "ratings", "value": inner},
                {"field": "story_insights", "value": inner}, {"field": "mention", "value": inner},
            ]}]}),
        ] {
            let body = serde_json::to_vec(&body).unwrap();
            prop_assert!(!told(Network::Instagram, &body).is_empty() || holds_an_empty_list(&body));
        }
    }

    #[test]
    fn a_body_with_members_taken_doubled_or_of_another_type_is_told(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), proptest::option::of(arbitrary_json())), 1..4),
    ) {
        let all = fixtures();
        let mut body = all[which.index(all.len())].clone();
        for (at, with) in changes {
            body = altered(body, at, with);
        }
        let body = body.to_string();
        prop_assert!(!told(Network::Facebook, body.as_bytes()).is_empty() || holds_an_empty_list(body.as_bytes()));
    }

    #[test]
    fn a_body_with_altered_bytes_is_told(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let all = fixtures();
        let mut body = all[which.index(all.len())].to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        holds(Network::Instagram, &body);
    }

    #[test]
    fn a_repetition_in_another_batch_has_the_same_keys(
        seed in proptest::collection::vec(any::<u32>(), 32),
        size in 1_usize..5,
        time in 1_i64..2_000_000_000,
        within in 0_i64..3_500,
    ) {
        for body in fixtures() {
            let first: BTreeSet<_> = facebook(&body).iter().map(Told::key).collect();
            prop_assert_eq!(&first, &rebatched(&body, &seed, size, HOUR + within));
            // A permission has no time of its own, and all else of these needs none or has one.
            if body["object"] != "permissions" {
                prop_assert_eq!(&first, &rebatched(&body, &seed, size, time));
            }
        }
    }
}

/// The begin of the hour in which the bodies above were sent.
const HOUR: i64 = 1_700_000_000 - 1_700_000_000 % 3_600;

/// The keys of a body's updates, in another order, in batches of a size, sent at other times.
fn rebatched(body: &Value, seed: &[u32], size: usize, time: i64) -> BTreeSet<(Option<NetworkId>, EntryKey)> {
    let mut parts = single(body);
    parts.sort_by_key(|(at, _)| seed[at % seed.len()]);
    let mut again = BTreeSet::new();
    for batch in parts.chunks(size) {
        let sent = |(at, entry): &(usize, Value)| {
            let mut entry = entry.clone();
            entry["time"] = json!(time + i64::try_from(*at).unwrap());
            entry
        };
        let entries: Vec<Value> = batch.iter().map(sent).collect();
        again.extend(facebook(&json!({"object": body["object"], "entry": entries})).iter().map(Told::key));
    }
    again
}

#[test]
fn what_has_no_time_is_the_same_within_an_hour() {
    let keys = |second: i64, part: &Value| -> Vec<_> {
        let mut entry = part.clone();
        (entry["id"], entry["time"]) = (json!(PAGE), json!(second));
        facebook(&json!({"object": "page", "entry": [entry]})).iter().map(Told::key).collect()
    };
    let feed = |value: Value| json!({"changes": [{"field": "feed", "value": value}]});
    let of_field = |field: &str, value: Value| json!({"changes": [{"field": field, "value": value}]});
    for part in [
        of_field("pages_messaging", json!({"verb": "revoked", "target_ids": [PAGE]})),
        of_field("pages_messaging", json!({"verb": "granted", "target_ids": [PAGE]})),
        feed(json!({"item": "post", "verb": "hide", "post_id": "501_77"})),
        feed(json!({"item": "post", "verb": "unhide", "post_id": "501_77"})),
        feed(json!({"item": "status", "verb": "edited", "published": 1, "post_id": "501_77"})),
        feed(json!({"item": "page", "verb": "follow", "from": {"id": "9001"}})),
        feed(json!({"item": "reaction", "verb": "add", "post_id": "501_77", "reaction_type": "love"})),
        of_field("comments", json!({"id": "18001", "verb": "hide"})),
        of_field("feed", Value::Null),
        json!({"changed_fields": ["name"]}),
        json!({"changes": ["picture"]}),
        json!({"messaging": [{"sender": {"id": "9"}, "reaction": {"mid": "m1", "action": "react"}}]}),
    ] {
        assert_eq!(keys(HOUR, &part), keys(HOUR + 3_599, &part), "{part}");
        let all = [HOUR - 1, HOUR, HOUR + 3_600, HOUR + 7_200].map(|second| keys(second, &part));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "{part}");
    }
}

#[test]
fn what_has_a_time_or_value_is_the_same_whenever_sent() {
    let key = |second: i64, part: &Value| {
        let mut entry = part.clone();
        (entry["id"], entry["time"]) = (json!(PAGE), json!(second));
        facebook(&json!({"object": "page", "entry": [entry]}))[0].key()
    };
    let of_field = |field: &str, value: Value| json!({"changes": [{"field": field, "value": value}]});
    for part in [
        of_field("feed", comment("hide", Some(1_700_000_000), None)),
        of_field("feed", reaction("add", "love", 1_700_000_000)),
        of_field(
            "feed",
            json!({"item": "post", "verb": "hide", "post_id": "1", "update_time": 1_700_000_000}),
        ),
        of_field("feed", json!({"item": "post", "verb": "remove", "post_id": "501_77"})),
        of_field("new_field", json!({"a": 1})),
        of_field("comments", json!({"id": "18001", "text": "oi"})),
        json!({"messaging": [{"timestamp": 1_700_000_000, "reaction": {"mid": "m1", "action": "react"}}]}),
        json!({"messaging": [{"timestamp": 1_700_000_000, "message_edit": {"mid": "m1"}}]}),
        json!({"messaging": [{"timestamp": 1_700_000_000, "new_thing": 1}]}),
    ] {
        assert_eq!(key(HOUR, &part), key(HOUR + 36 * 3_600, &part), "{part}");
    }
}

#[test]
fn a_long_verb_is_cut_for_each_page_and_kept_once() {
    let value = |verb: &Value| json!({"verb": verb, "target_ids": (0..5_000).collect::<Vec<_>>()});
    for (verb, updates) in [
        (json!("revoked"), 5_000),
        (json!("x".repeat(128)), 5_000),
        (json!("é".repeat(100_000)), 5_001),
        (json!({"of": "another form"}), 5_001),
    ] {
        let body = json!({"object": "permissions", "entry": [{"id": "0", "changes": [
            {"field": "pages_messaging", "value": value(&verb)}]}]});
        let body = body.to_string();
        let all = split(Network::Facebook, body.as_bytes());
        assert_eq!(all.len(), updates);
        let whole = all.iter().filter(|one| one.event.raw.get().contains(&verb.to_string())).count();
        assert_eq!(whole, if updates == 5_000 { 5_000 } else { 1 });
        let size: usize = all.iter().map(|one| one.event.raw.get().len()).sum();
        assert!(size < 2 * body.len() + 5_000 * 256, "{size} of {}", body.len());
    }
}

#[test]
fn a_repeated_field_meets_its_value_once() {
    let value =
        format!(r#"{{"item":"post","verb":"hide","post_id":"501_77","message":"{}"}}"#, "x".repeat(100_000));
    let entry = format!(r#"{{"id":"501","value":{value}{}}}"#, r#","field":"feed""#.repeat(20_000));
    let all = told(Network::Facebook, format!(r#"{{"object":"page","entry":[{entry}]}}"#).as_bytes());
    assert_eq!(all.iter().map(|told| told.reading.thing.as_str()).collect::<Vec<_>>(), ["post:501_77"]);
    let again = r#"{"id":"501","field":"feed","value":{"post_id":"501_77"},"value":{"a":1},"field":{"b":2}}"#;
    let all = told(Network::Facebook, format!(r#"{{"object":"page","entry":[{again}]}}"#).as_bytes());
    let kept: Vec<&str> = all.iter().map(|told| told.update.event.raw.get()).collect();
    assert_eq!(kept[1..], [r#"{"a":1}"#, r#"{"b":2}"#]);
}

/// The entries of a body, each with one update.
fn single(body: &Value) -> Vec<(usize, Value)> {
    let mut parts = Vec::new();
    for entry in body["entry"].as_array().unwrap() {
        for name in ["changes", "messaging"] {
            for one in entry.get(name).and_then(Value::as_array).into_iter().flatten() {
                let part = json!({"id": entry["id"], name: [one]});
                parts.push((parts.len(), part));
            }
        }
    }
    parts
}

#[test]
fn distinct_updates_of_a_body_have_distinct_keys() {
    for body in fixtures() {
        let told = facebook(&body);
        let keys: BTreeMap<_, _> = told.iter().map(|told| (told.key(), told.line())).collect();
        assert_eq!(keys.len(), told.len(), "{keys:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test may measure")]
fn milliseconds(mut run: impl FnMut()) -> u128 {
    let timed = |run: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        run();
        start.elapsed().as_millis()
    };
    (0..5).map(|_| timed(&mut run)).min().unwrap()
}

#[test]
fn a_batch_of_a_thousand_updates_takes_milliseconds() {
    let update = |at: i64| {
        let mut value = comment(
            "add",
            Some(1_700_000_000),
            Some("Boa tarde! Qual é o preço da azul, e até quando dura a promoção?"),
        );
        value["comment_id"] = json!(format!("77_{at}"));
        json!({"field": "feed", "value": value})
    };
    let updates: Vec<Value> = (0..1000).map(update).collect();
    let one = json!({"object": "page", "entry": [{"id": PAGE, "time": 1, "changes": updates}]});
    let entries: Vec<Value> =
        updates.iter().map(|one| json!({"id": PAGE, "time": 1, "changes": [one]})).collect();
    let many = json!({"object": "page", "entry": entries});
    for body in [one, many] {
        let body = serde_json::to_vec(&body).unwrap();
        let keys: BTreeSet<_> = told(Network::Facebook, &body).iter().map(Told::key).collect();
        assert_eq!(keys.len(), 1000);
        let halved = milliseconds(|| drop(split(Network::Facebook, &body)));
        let took = milliseconds(|| drop(told(Network::Facebook, &body)));
        println!("{} bytes, 1000 updates: {took} ms, {halved} ms of it to split", body.len());
        // What a push may take until it is answered; it is some 10 ms on a machine that does nothing else.
        assert!(took < 1000, "{took} ms");
    }
}

#[test]
fn a_body_that_would_blow_up_takes_linear_time() {
    let ids = format!("[{}1]", "1,".repeat(200_000));
    let change = format!(r#"{{"field":"manage_pages","value":{{"verb":"revoked","target_ids":{ids}}}}}"#);
    let nested = "{\"a\":".repeat(100_000) + "1e999" + &"}".repeat(100_000);
    for body in [
        format!(r#"{{"object":"permissions","entry":[{{"id":"0","changes":[{change}]}}]}}"#),
        format!(
            r#"{{"object":"page","entry":[{{"id":"1","changes":[{{"field":"feed","value":{nested}}}]}}]}}"#
        ),
        format!(r#"{{"object":"page","entry":[{{"id":"1","messaging":{ids}}}]}}"#),
    ] {
        let took = milliseconds(|| holds(Network::Facebook, body.as_bytes()));
        // Were it the square of the length, it would be hours.
        assert!(took < 30_000, "{took} ms");
    }
}

/// Real samples are run against where `CARTEIRO_SAMPLES` names their folder; they are not kept here.
#[test]
fn real_samples_are_told_each_update_under_its_own_key() {
    #[expect(clippy::disallowed_methods, reason = "tests are told by their environment where samples are")]
    let Ok(folder) = std::env::var("CARTEIRO_SAMPLES") else {
        println!("SKIPPED: CARTEIRO_SAMPLES names no folder of real samples");
        return;
    };
    for (network, route) in
        [("facebook", Network::Facebook), ("instagram", Network::Instagram), ("whatsapp", Network::Facebook)]
    {
        let Ok(files) = std::fs::read_dir(format!("{folder}/{network}")) else { continue };
        let mut files: Vec<_> = files.filter_map(Result::ok).map(|file| file.path()).collect();
        files.sort();
        for file in files {
            let label = file.file_name().unwrap().to_string_lossy().into_owned();
            if label.starts_with("api-") {
                continue;
            }
            let all = told(route, &std::fs::read(&file).unwrap());
            for told in &all {
                let owners: Vec<&str> = told.update.owners.iter().map(NetworkId::as_str).collect();
                println!("{label}\t{}\t{}", owners.join(","), told.line());
            }
            let keys: BTreeSet<_> = all.iter().map(Told::key).collect();
            assert_eq!(keys.len(), all.len(), "{label}");
        }
    }
}
