use proptest::prelude::*;
use serde_json::{Value, json};

use crate::collected::test_support::differing;
use crate::collected::{Action, Kind, Published};
use crate::inbox::{EntryKey, Reading, Signal};
use crate::network::Network;
use crate::push::split;

const PAGE: &str = "900100200300400500";

fn readings(body: &Value) -> Vec<Reading> {
    let owner = PAGE.parse().unwrap();
    let updates = split(Network::X, body.to_string().as_bytes());
    updates.iter().map(|update| crate::normalise::read(&update.event, &owner)).collect()
}

fn one(body: &Value) -> Reading {
    let mut readings = readings(body);
    assert_eq!(readings.len(), 1, "{body}");
    readings.remove(0)
}

fn account(array: &str, event: &Value) -> Reading {
    one(&json!({"for_user_id": PAGE, array: [event]}))
}

fn activity(event_type: &str, payload: &Value, includes: &Value) -> Reading {
    one(&json!({"data": {"event_uuid": "-3402274206530057851", "filter": {"user_id": PAGE},
        "event_type": event_type, "tag": "t", "payload": payload, "includes": includes}}))
}

fn key(reading: &Reading) -> EntryKey {
    EntryKey::new(&reading.thing, &reading.version)
}

fn at(reading: &Reading) -> String {
    reading.content.occurred_at.map(|at| at.to_string()).unwrap_or_default()
}

fn parent(reading: &Reading) -> &str {
    reading.content.parent.as_ref().map_or("", |parent| &parent.id)
}

fn author(reading: &Reading) -> [&str; 3] {
    let author = reading.content.author.as_ref();
    let part = |part: fn(&crate::collected::Author) -> &Option<String>| {
        author.and_then(|author| part(author).as_deref()).unwrap_or_default()
    };
    [part(|author| &author.id), part(|author| &author.name), part(|author| &author.username)]
}

fn kind_of(reading: &Reading) -> (Published, Kind, Action) {
    (reading.content.published, reading.content.kind, reading.content.action)
}

const PUBLISHED: Published = Published::ByThePage;
const INTERACTION: Published = Published::Interaction;

fn merged(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

/// A post of the older API, by Ana, of whose numeric id the last digits are lost.
fn old_post(more: &Value) -> Value {
    let base = json!({
        "created_at": "Sat Nov 21 12:00:05 +0000 2026", "id": 1992000000000000000_u64,
        "id_str": "1992000000000000123", "text": "oi @loja &amp; companhia", "truncated": false,
        "in_reply_to_status_id": null, "in_reply_to_status_id_str": null, "in_reply_to_user_id": null,
        "user": {"id": 77, "id_str": "77", "name": "Ana Lima", "screen_name": "analima", "followers_count": 2},
        "entities": {"hashtags": [], "urls": [], "user_mentions": [
            {"screen_name": "loja", "name": "Loja", "id": 900100200300400500_u64, "id_str": PAGE, "indices": [3, 8]},
        ]},
        "timestamp_ms": "1795262405123",
    });
    merged(base, more)
}

/// The same post as API v2 has it.
fn new_post(more: &Value) -> Value {
    let base = json!({
        "id": "1992000000000000123", "author_id": "77", "created_at": "2026-11-21T12:00:05.000Z",
        "text": "oi @loja &amp; companhia", "conversation_id": "1992000000000000123", "lang": "pt",
        "edit_history_tweet_ids": ["1992000000000000123"], "public_metrics": {"like_count": 0},
        "entities": {"mentions": [{"start": 3, "end": 8, "username": "loja", "id": PAGE}]},
    });
    merged(base, more)
}

fn users() -> Value {
    json!({"users": [
        {"id": "77", "name": "Ana Lima", "username": "analima"},
        {"data": {"id": PAGE, "name": "Loja", "username": "loja"}},
    ]})
}

#[test]
fn a_mention_is_one_entry_by_either_generation() {
    let old = account("tweet_create_events", &old_post(&json!({})));
    let new = activity("post.mention.create", &new_post(&json!({})), &users());
    for reading in [&old, &new] {
        assert_eq!(reading.thing, "post:1992000000000000123");
        assert_eq!(kind_of(reading), (INTERACTION, Kind::Mention, Action::Created));
        assert_eq!(reading.content.text.as_deref(), Some("oi @loja &amp; companhia"));
        assert_eq!(author(reading), ["77", "Ana Lima", "analima"]);
        assert_eq!(reading.content.link.as_deref(), Some("https://x.com/analima/status/1992000000000000123"));
        assert_eq!((&reading.wanted, &reading.signal, parent(reading)), (&None, &None, ""));
    }
    assert_eq!((at(&old), at(&new)), ("2026-11-21T12:00:05.123Z".into(), "2026-11-21T12:00:05Z".into()));
    assert_eq!(key(&old), key(&new));
}

#[test]
fn a_post_that_begins_with_the_pages_name_is_a_mention() {
    // Only a numeric id, no entities, a user without `id_str`: seen in old captures.
    let reading = account(
        "tweet_create_events",
        &json!({"id": 15, "text": "@loja oi", "created_at": "Wed Feb 05 08:39:31 +0000 2020",
            "in_reply_to_status_id": null, "in_reply_to_user_id": 900100200300400500_u64,
            "user": {"id": 2, "name": "Bia", "screen_name": "bia"}}),
    );
    assert_eq!(kind_of(&reading), (INTERACTION, Kind::Mention, Action::Created));
    assert_eq!((reading.thing.as_str(), author(&reading)[0], parent(&reading)), ("post:15", "2", ""));
    assert_eq!(at(&reading), "2020-02-05T08:39:31Z");
}

#[test]
fn a_long_posts_text_is_the_whole_one_of_either_generation() {
    let whole = format!("oi @loja {}", "muito ".repeat(100));
    let old = old_post(&json!({"text": "oi @loja muito mui… https://t.co/abc", "truncated": true,
        "extended_tweet": {"full_text": whole, "entities": {"user_mentions": [{"id_str": PAGE}]}}}));
    let new = new_post(&json!({"text": "oi @loja muito mui…", "note_tweet": {"text": whole}}));
    let old = account("tweet_create_events", &old);
    let new = activity("post.mention.create", &new, &json!({}));
    assert_eq!((&old.content.text, key(&old)), (&Some(whole), key(&new)));
    assert_eq!(new.content.kind, Kind::Mention);
    let full = account("tweet_create_events", &old_post(&json!({"full_text": "a", "text": "b"})));
    assert_eq!(full.content.text.as_deref(), Some("a"));
}

#[test]
fn media_are_told_with_the_id_that_both_generations_have() {
    let old = old_post(&json!({"extended_entities": {"media": [
        {"id": 1991999999999999500_u64, "id_str": "1991999999999999488", "type": "photo",
            "media_url_https": "https://pbs.twimg.com/media/a.jpg"},
        {"id_str": "1991999999999999489", "type": "video", "media_url_https": "https://pbs.twimg.com/v.jpg",
            "video_info": {"variants": [
                {"content_type": "application/x-mpegURL", "url": "https://video.twimg.com/v.m3u8"},
                {"bitrate": 832000, "content_type": "video/mp4", "url": "https://video.twimg.com/low.mp4"},
                {"bitrate": 2176000, "content_type": "video/mp4", "url": "https://video.twimg.com/high.mp4"}]}},
    ]}, "entities": {"media": [{"id_str": "1991999999999999488", "type": "photo"}]}}));
    let new =
        new_post(&json!({"attachments": {"media_keys": ["7_1991999999999999489", "3_1991999999999999488"]}}));
    let includes = json!({"media": [
        {"media_key": "3_1991999999999999488", "type": "photo", "url": "https://pbs.twimg.com/media/a.jpg"}]});
    let old = account("tweet_create_events", &old);
    let new = activity("post.mention.create", &new, &includes);
    assert_eq!(key(&old), key(&new));
    let told = |reading: &Reading| -> Vec<(String, String, Option<String>)> {
        let attachments = reading.content.attachments.iter();
        attachments.map(|one| (one.kind.clone(), one.id.clone().unwrap(), one.url.clone())).collect()
    };
    let photo = (
        "photo".to_owned(),
        "1991999999999999488".to_owned(),
        Some("https://pbs.twimg.com/media/a.jpg".to_owned()),
    );
    let video = ("video".to_owned(), "1991999999999999489".to_owned());
    assert_eq!(told(&old)[0], photo);
    assert_eq!(told(&old)[1].2.as_deref(), Some("https://video.twimg.com/high.mp4"));
    assert_eq!(told(&new), [(video.0, video.1, None), photo]);
}

#[test]
fn a_post_with_several_events_is_one_entry() {
    let reply = new_post(&json!({"in_reply_to_user_id": PAGE,
        "referenced_tweets": [{"type": "replied_to", "id": "1990"}]}));
    let [first, second] = ["post.reply.create", "post.mention.create"].map(|t| activity(t, &reply, &users()));
    assert_eq!(first, second);
    assert_eq!((kind_of(&first), parent(&first)), ((INTERACTION, Kind::Reply, Action::Created), "1990"));
    let quote = new_post(&json!({"referenced_tweets": [{"type": "quoted", "id": "1990"}],
        "entities": {"mentions": [{"username": "loja", "id": PAGE}],
            "urls": [{"url": "https://t.co/x", "expanded_url": "https://twitter.com/Loja/status/1990"}]}}));
    let [first, second] =
        ["post.quote.create", "post.mention.create"].map(|t| activity(t, &quote, &json!({})));
    assert_eq!(first, second);
    assert_eq!((kind_of(&first), parent(&first)), ((INTERACTION, Kind::Share, Action::Created), "1990"));
}

#[test]
fn others_posts_are_replies_shares_or_mentions() {
    let to_page = json!({"in_reply_to_status_id_str": "1990", "in_reply_to_user_id_str": PAGE});
    let to_other = json!({"in_reply_to_status_id_str": "1991", "in_reply_to_user_id_str": "55"});
    let quote_of = |user: &str| {
        json!({"is_quote_status": true, "quoted_status_id_str": "1992",
            "quoted_status": {"id_str": "1992", "user": {"id_str": user}}})
    };
    let repost = json!({"text": "RT @loja: novidade", "retweeted_status": {"id_str": "1993", "user": {"id_str": PAGE}}});
    let nobody = json!({"entities": {"user_mentions": []}});
    for (post, kind, about) in [
        (to_page.clone(), Kind::Reply, "1990"),
        (merged(to_page, &quote_of("55")), Kind::Reply, "1990"),
        (to_other.clone(), Kind::Mention, "1991"),
        (merged(to_other, &nobody), Kind::Reply, "1991"),
        (quote_of(PAGE), Kind::Share, "1992"),
        (quote_of("55"), Kind::Mention, "1992"),
        (merged(quote_of("55"), &nobody), Kind::Share, "1992"),
        (repost, Kind::Share, "1993"),
        (nobody, Kind::Mention, ""),
    ] {
        let reading = account("tweet_create_events", &old_post(&post));
        assert_eq!(kind_of(&reading), (INTERACTION, kind, Action::Created), "{post}");
        assert_eq!(parent(&reading), about, "{post}");
    }
}

#[test]
fn what_the_page_posts_is_a_publication() {
    let user = json!({"id_str": PAGE, "name": "Loja", "screen_name": "loja"});
    for (more, kind) in [
        (json!({}), Kind::Post),
        (json!({"in_reply_to_status_id_str": "1", "in_reply_to_user_id_str": "77"}), Kind::Reply),
        (json!({"quoted_status_id_str": "1"}), Kind::Share),
        (json!({"retweeted_status": {"id_str": "1"}}), Kind::Share),
    ] {
        let reading = account("tweet_create_events", &merged(old_post(&more), &json!({"user": user})));
        assert_eq!(kind_of(&reading), (PUBLISHED, kind, Action::Created), "{more}");
    }
    let own = json!({"author_id": PAGE, "entities": {}});
    for (more, kind, event_type) in [
        (json!({}), Kind::Post, "post.create"),
        (json!({"in_reply_to_user_id": "77", "in_reply_to_tweet_id": "1"}), Kind::Reply, "post.create"),
        (json!({"referenced_tweets": [{"type": "replied_to", "id": "1"}]}), Kind::Reply, "post.create"),
        (json!({"referenced_tweets": [{"type": "quoted", "id": "1"}]}), Kind::Share, "post.create"),
        (json!({"referenced_tweets": [{"type": "retweeted", "id": "1"}]}), Kind::Share, "post.create"),
    ] {
        let reading = activity(event_type, &merged(new_post(&more), &own), &users());
        assert_eq!(kind_of(&reading), (PUBLISHED, kind, Action::Created), "{more}");
        assert_eq!(author(&reading), [PAGE, "Loja", "loja"]);
    }
}

#[test]
fn an_events_type_says_what_the_post_leaves_open() {
    let bare = json!({"entities": {}});
    let quote = merged(new_post(&json!({"referenced_tweets": [{"type": "quoted", "id": "1"}]})), &bare);
    let repost = merged(new_post(&json!({"referenced_tweets": [{"type": "retweeted", "id": "2"}]})), &bare);
    let reply = merged(new_post(&json!({"referenced_tweets": [{"type": "replied_to", "id": "3"}]})), &bare);
    for (event_type, post, kind, about) in [
        ("post.quote.create", quote, Kind::Share, "1"),
        ("post.repost.create", repost, Kind::Share, "2"),
        ("post.reply.create", reply, Kind::Reply, "3"),
    ] {
        let reading = activity(event_type, &post, &json!({}));
        assert_eq!((kind_of(&reading), parent(&reading)), ((INTERACTION, kind, Action::Created), about));
        assert_eq!(reading.content.link.as_deref(), Some("https://x.com/i/status/1992000000000000123"));
    }
}

#[test]
fn a_repost_is_one_entry_wherever_its_text_was_cut() {
    let old = old_post(&json!({"text": "RT @loja: uma nov…", "retweeted_status": {"id_str": "1"}}));
    let new = new_post(
        &json!({"text": "RT @loja: uma novi…", "referenced_tweets": [{"type": "retweeted", "id": "1"}]}),
    );
    let old = account("tweet_create_events", &old);
    assert_eq!(key(&old), key(&activity("post.repost.create", &new, &json!({}))));
    assert_eq!(old.content.text.as_deref(), Some("RT @loja: uma nov…"));
}

#[test]
fn an_edit_is_a_post_with_an_earlier_one_in_its_history() {
    let edited = new_post(&json!({"edit_history_tweet_ids": ["1991", "1992000000000000123"]}));
    let reading = activity("post.mention.create", &edited, &json!({}));
    assert_eq!(kind_of(&reading), (INTERACTION, Kind::Mention, Action::Edited));
    assert_eq!(reading.thing, "post:1992000000000000123");
}

#[test]
fn a_deleted_post_is_the_same_entry_by_either_generation() {
    let old = account(
        "tweet_delete_events",
        &json!({"status": {"id": "1045405559317569537", "user_id": PAGE}, "timestamp_ms": "1432228155593"}),
    );
    let new = activity("post.delete", &json!({"id": "1045405559317569537", "author_id": PAGE}), &users());
    for reading in [&old, &new] {
        assert_eq!(kind_of(reading), (PUBLISHED, Kind::Post, Action::Deleted));
        assert_eq!((reading.thing.as_str(), author(reading)[0]), ("post:1045405559317569537", PAGE));
    }
    assert_eq!((at(&old), author(&new)[2]), ("2015-05-21T17:09:15.593Z".into(), "loja"));
    assert_eq!(key(&old), key(&new));
    let created = account("tweet_create_events", &old_post(&json!({"id_str": "1045405559317569537"})));
    assert_eq!((key(&created).thing(), key(&created) == key(&old)), (key(&old).thing(), false));
}

#[test]
fn a_like_says_who_liked_which_post() {
    let old = account(
        "favorite_events",
        &json!({"id": "a7ba59eab0bfcba386f7acedac279542", "created_at": "Mon Mar 26 16:33:26 +0000 2018",
            "timestamp_ms": 1522082006140_u64, "user": {"id": 77, "id_str": "77", "screen_name": "analima"},
            "favorited_status": {"id": 1, "id_str": "1990", "user": {"id_str": PAGE, "screen_name": "loja"}}}),
    );
    let payload = json!({"id": "a7ba59eab0bfcba386f7acedac279542", "created_at": "2018-03-20T00:00:00.000Z",
        "timestamp_ms": "1522082006140", "liked_tweet_id": "1990", "liked_tweet_author_id": PAGE});
    let new = activity("like.create", &payload, &users());
    for reading in [&old, &new] {
        assert_eq!(kind_of(reading), (INTERACTION, Kind::Reaction, Action::Created));
        assert_eq!((author(reading)[0], parent(reading)), ("77", "1990"));
        assert_eq!(reading.content.reaction.as_deref(), Some("like"));
        assert_eq!(reading.content.link.as_deref(), Some("https://x.com/loja/status/1990"));
        assert_eq!(at(reading), "2018-03-26T16:33:26.14Z");
    }
    assert_eq!(key(&old), key(&new));
    let of_another = merged(payload.clone(), &json!({"liked_tweet_author_id": "77"}));
    let own = activity("like.create", &of_another, &users());
    assert_eq!((author(&own)[0], own.content.published), (PAGE, PUBLISHED), "the page's own like");
    assert_eq!(activity("like.create", &payload, &json!({})).content.author, None, "nobody says by whom");
}

#[test]
fn follows_blocks_and_mutes_are_new_each_time() {
    let person = |id: &str, name: &str| json!({"id": id, "name": name, "screen_name": name});
    let event = |verb: &str, at: &str| json!({"type": verb, "created_timestamp": at, "source": person("77", "ana"), "target": person(PAGE, "loja")});
    for (array, verb, kind) in [
        ("follow_events", "follow", Kind::Follow),
        ("block_events", "block", Kind::Other),
        ("mute_events", "mute", Kind::Other),
    ] {
        let done = account(array, &event(verb, "1517588749178"));
        let undone = account(array, &event(&format!("un{verb}"), "1517588749178"));
        let again = account(array, &event(verb, "1517588749999"));
        assert_eq!(kind_of(&done), (INTERACTION, kind, Action::Created));
        assert_eq!(kind_of(&undone), (INTERACTION, kind, Action::Deleted));
        assert_eq!((author(&done), parent(&done)), (["77", "ana", "ana"], PAGE));
        assert_eq!((at(&done), done.thing), ("2018-02-02T16:25:49.178Z".into(), format!("{verb}:77:{PAGE}")));
        assert!(done.version != undone.version && done.version != again.version);
    }
}

#[test]
fn an_activitys_follow_is_told_apart_by_its_uuid() {
    let payload =
        json!({"source": {"data": {"id": PAGE, "username": "loja"}}, "target": {"data": {"id": "44"}}});
    for (event_type, kind, action) in [
        ("follow.follow", Kind::Follow, Action::Created),
        ("follow.unfollow", Kind::Follow, Action::Deleted),
        ("mute.mute", Kind::Other, Action::Created),
        ("mute.unmute", Kind::Other, Action::Deleted),
        ("block.block", Kind::Other, Action::Created),
        ("block.unblock", Kind::Other, Action::Deleted),
    ] {
        let reading = activity(event_type, &payload, &Value::Null);
        assert_eq!(kind_of(&reading), (PUBLISHED, kind, action), "{event_type}");
        assert_eq!((author(&reading)[2], parent(&reading), at(&reading)), ("loja", "44", String::new()));
        let later = one(&json!({"data": {"event_uuid": "9", "filter": {"user_id": PAGE},
            "event_type": event_type, "payload": payload}}));
        assert_eq!((&later.thing, later.version == reading.version), (&reading.thing, false));
    }
}

fn message(more: &Value) -> Value {
    let base = json!({"type": "message_create", "id": "2080765901528535096", "created_timestamp": "1784928224372",
        "message_create": {"target": {"recipient_id": PAGE}, "sender_id": "77", "source_app_id": "13",
            "message_data": {"text": "preço?", "entities": {"urls": []},
                "quick_reply_response": {"type": "options", "metadata": "m1"}}}});
    merged(base, more)
}

#[test]
fn a_direct_message_is_one_entry_by_any_api() {
    let old = one(&json!({"for_user_id": PAGE, "direct_message_events": [message(&json!({}))],
        "users": {"77": {"id": "77", "name": "Ana Lima", "screen_name": "analima"}, PAGE: {"id": PAGE}},
        "apps": {"13": {"id": "13", "name": "App"}}}));
    let payload = json!({"direct_message_events": [message(&json!({}))],
        "users": {"77": {"data": {"id": "77", "name": "Ana Lima", "username": "analima"}}}});
    let new = activity("dm.received", &payload, &Value::Null);
    let polled = json!({"id": "2080765901528535096", "event_type": "MessageCreate", "text": "preço?",
        "sender_id": "77", "created_at": "2026-07-24T21:23:44.372Z", "dm_conversation_id": "77-9"});
    let polled = activity("dm.received", &polled, &users());
    for reading in [&old, &new, &polled] {
        assert_eq!(kind_of(reading), (INTERACTION, Kind::DirectMessage, Action::Created));
        assert_eq!(reading.content.text.as_deref(), Some("preço?"));
        assert_eq!(author(reading), ["77", "Ana Lima", "analima"]);
        assert_eq!((at(reading), key(reading)), ("2026-07-24T21:23:44.372Z".into(), key(&old)));
        assert_eq!(reading.thing, "message:2080765901528535096");
    }
    let sent = message(&json!({"message_create": {"target": {"recipient_id": "77"}, "sender_id": PAGE,
        "message_data": {"text": "R$ 10"}}}));
    let sent = activity("dm.sent", &json!({"direct_message_events": [sent]}), &Value::Null);
    assert_eq!((kind_of(&sent).0, author(&sent)[0]), (PUBLISHED, PAGE));
    let photo = |more: Value| message(&json!({"message_create": {"sender_id": "77", "message_data": more}}));
    let old = account(
        "direct_message_events",
        &photo(json!({"text": "a", "attachment": {"type": "media",
        "media": {"id_str": "5", "type": "photo", "media_url_https": "https://ton.example/a.jpg"}}})),
    );
    let polled = json!({"id": "2080765901528535096", "event_type": "MessageCreate", "text": "a", "sender_id": "77",
        "created_at": "2026-07-24T21:23:44.372Z", "attachments": {"media_keys": ["3_5"]}});
    let polled = activity(
        "dm.received",
        &polled,
        &json!({"media": [
        {"media_key": "3_5", "type": "photo", "url": "https://pbs.example/a.jpg"}]}),
    );
    // Only with the user's token is the one address answered, and only with the app's the other.
    assert_eq!((key(&old), differing(&old, &polled)), (key(&polled), vec!["attachments".to_owned()]));
}

/// Both generations' pushes and the poll's answer of one post; its kind of event is a poll's too.
#[test]
fn a_posts_items_differ_only_in_what_the_older_one_rounds() {
    let place = json!({"id": "01a9", "full_name": "São Paulo, Brasil", "name": "São Paulo"});
    let point = json!({"type": "Point", "coordinates": [-46.6333, -23.55]});
    let old =
        old_post(&json!({"coordinates": point, "geo": {"type": "Point", "coordinates": [-23.55, -46.6333]},
        "place": place}));
    let old = account("tweet_create_events", &old);
    let new = new_post(&json!({"geo": {"place_id": "01a9", "coordinates": point}}));
    let mut beside = users();
    beside["places"] = json!([{"id": "02"}, place]);
    let new = activity("post.mention.create", &new, &beside);
    assert_eq!((key(&old), differing(&old, &new)), (key(&new), vec!["occurred_at".to_owned()]));
    let location = new.content.location.as_ref().unwrap();
    assert_eq!(
        (location.name.as_deref(), location.latitude.as_ref().unwrap().to_string(), location.id.as_deref()),
        (Some("São Paulo, Brasil"), "-23.55".to_owned(), Some("01a9"))
    );
    let bare = activity("post.mention.create", &new_post(&json!({"geo": {"place_id": "03"}})), &beside);
    assert_eq!(bare.content.location.unwrap().id.as_deref(), Some("03"));
    assert_eq!(account("tweet_create_events", &old_post(&json!({"place": null}))).content.location, None);
}

#[test]
fn a_shared_place_is_a_messages_location() {
    let shared = |location: Value| {
        let data = json!({"text": "aqui", "attachment": {"type": "location", "location": location}});
        let sent = message(&json!({"message_create": {"sender_id": "77", "message_data": data}}));
        account("direct_message_events", &sent).content.location.unwrap()
    };
    let point = json!({"coordinates": {"type": "Point", "coordinates": [-46.6, -23.5]}});
    let location = shared(json!({"type": "shared_coordinate", "shared_coordinate": point}));
    assert_eq!((location.latitude.unwrap().to_string(), location.id), ("-23.5".to_owned(), None));
    let place =
        json!({"type": "shared_place", "shared_place": {"place": {"id": "01a9", "full_name": "São Paulo"}}});
    assert_eq!(shared(place).name.as_deref(), Some("São Paulo"));
}

/// Two entries, as the documentation says, of one thing: the newer generation has no time, and the older one no id.
#[test]
fn a_follow_by_both_generations_is_two_entries_of_one_thing() {
    let source = json!({"id": "22", "screen_name": "o", "username": "o", "name": "O"});
    let target = json!({"id": PAGE, "screen_name": "loja", "username": "loja", "name": "Loja"});
    for (verb, event_type) in [
        ("follow", "follow.follow"),
        ("unfollow", "follow.unfollow"),
        ("block", "block.block"),
        ("mute", "mute.mute"),
    ] {
        let array = format!("{}_events", verb.trim_start_matches("un"));
        let old = account(
            &array,
            &json!({"type": verb, "created_timestamp": "1784928224372", "source": source, "target": target}),
        );
        let payload = json!({"source": {"data": source}, "target": {"data": target}});
        let new = activity(event_type, &payload, &Value::Null);
        assert_eq!((&old.thing, old.network_id()), (&new.thing, Some(format!("22:{PAGE}").as_str())));
        assert_eq!(differing(&old, &new), ["occurred_at"]);
        assert_ne!(key(&old), key(&new));
    }
}

#[test]
fn a_direct_messages_media_is_an_attachment_and_in_its_version() {
    let with = |attachment: &Value| {
        account(
            "direct_message_events",
            &message(&json!({"message_create": {"sender_id": "77",
            "message_data": {"text": "veja https://t.co/a", "attachment": attachment}}})),
        )
    };
    let photo = json!({"type": "media", "media": {"id": 9.300778475358126e+17, "id_str": "930077847535812610",
        "type": "photo", "media_url_https": "https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg"}});
    let reading = with(&photo);
    let attachment = &reading.content.attachments[0];
    assert_eq!((attachment.kind.as_str(), attachment.id.as_deref()), ("photo", Some("930077847535812610")));
    assert!(attachment.url.as_deref().unwrap().ends_with("a.jpg"));
    let listed = with(&json!({"media": [photo["media"]]}));
    assert_eq!((listed.version == reading.version, listed.content.attachments.len()), (true, 1));
    assert!(with(&Value::Null).version != reading.version);
    assert_eq!(with(&json!({"type": "location"})).content.attachments[0].kind, "location");
}

#[test]
fn several_messages_of_an_activity_have_their_own_keys() {
    let messages = [message(&json!({"id": "1"})), message(&json!({"id": "2"}))];
    let event = |messages: &[Value]| {
        json!({"data": {"event_uuid": "5", "filter": {"user_id": PAGE}, "event_type": "dm.received",
            "payload": {"direct_message_events": messages, "users": {"77": {"data": {"username": "analima"}}}}}})
    };
    let together = readings(&event(&messages));
    let alone: Vec<Reading> =
        messages.iter().map(|one_of| one(&event(std::slice::from_ref(one_of)))).collect();
    assert_eq!(together, alone);
    assert_eq!((together.len(), author(&together[1])[2]), (2, "analima"));
}

#[test]
fn an_encrypted_message_is_a_direct_message_without_a_text() {
    let payload = json!({"id": "e4f4d3fc-8bbf-4928-92eb-e5058d6bb6f6", "created_at_msec": "1784841183370",
        "sender_id": "77", "conversation_id": "77:900", "encoded_event": "CwABAAAAEzIw"});
    let reading = activity("chat.received", &payload, &Value::Null);
    assert_eq!(kind_of(&reading), (INTERACTION, Kind::DirectMessage, Action::Created));
    assert_eq!((&reading.content.text, author(&reading)[0]), (&None, "77"));
    assert_eq!(
        (reading.thing.as_str(), at(&reading)),
        ("chat:e4f4d3fc-8bbf-4928-92eb-e5058d6bb6f6", "2026-07-23T21:13:03.37Z".into())
    );
    let reading = activity("chat.sent", &json!({"encoded_event": "x"}), &Value::Null);
    assert_eq!(reading.thing, "chat:-3402274206530057851");
}

#[test]
fn typing_and_reading_are_other_and_keyed_by_who_and_when() {
    let typing =
        json!({"created_timestamp": "1518127183443", "sender_id": "77", "target": {"recipient_id": PAGE}});
    let read = merged(typing.clone(), &json!({"last_read_event_id": "963085315333238788"}));
    let old = [
        account("direct_message_indicate_typing_events", &typing),
        account("direct_message_mark_read_events", &read),
    ];
    let new = [
        activity(
            "dm.indicate_typing",
            &json!({"direct_message_indicate_typing_events": [typing]}),
            &Value::Null,
        ),
        activity("dm.read", &read, &Value::Null),
    ];
    assert_eq!(old[0].thing, format!("typing:77:{PAGE}"));
    assert_eq!(old[1].thing, format!("read:77:{PAGE}"));
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(kind_of(old), (INTERACTION, Kind::Other, Action::Created));
        assert_eq!((author(old)[0], at(old), key(old)), ("77", "2018-02-08T21:59:43.443Z".into(), key(new)));
    }
}

#[test]
fn a_revocation_is_one_entry_and_kills_the_token() {
    let old = one(&json!({"user_event": {"revoke": {"date_time": "2026-07-23T21:44:05+00:00",
        "target": {"app_id": "29820954"}, "source": {"user_id": PAGE}}}}));
    let new = one(
        &json!({"data": {"event_uuid": "5934540941047412905", "filter": {}, "event_type": "oauth.revoke",
        "payload": {"date_time": "2026-07-23T21:44:05Z", "user_id": PAGE, "app_id": "29820954"}}}),
    );
    for reading in [&old, &new] {
        assert_eq!((reading.signal, reading.content.kind), (Some(Signal::TokenRevoked), Kind::Other));
        assert_eq!((at(reading), author(reading)[0]), ("2026-07-23T21:44:05Z".into(), PAGE));
    }
    assert_eq!(key(&old), key(&new));
}

#[test]
fn a_comment_in_a_broadcast_is_a_comment() {
    let payload = json!({"broadcast_id": "1mGPaZaAdNqJN", "message_id": "2090000000000000004", "message": "oi",
        "author": {"data": {"id": "77", "name": "Ana Lima", "username": "analima"}}});
    let reading = activity("broadcast.chat", &payload, &Value::Null);
    assert_eq!(kind_of(&reading), (INTERACTION, Kind::Comment, Action::Created));
    assert_eq!((reading.content.text.as_deref(), parent(&reading)), (Some("oi"), "1mGPaZaAdNqJN"));
}

#[test]
fn parts_of_an_activity_whose_form_is_not_known_have_a_key_each() {
    let of = |messages: Value| {
        readings(
            &json!({"data": {"event_uuid": "5", "filter": {"user_id": PAGE}, "event_type": "dm.received",
            "payload": {"direct_message_events": messages}}}),
        )
    };
    let parts = of(json!([{"id": "1", "new_form": "a"}, {"id": "2", "new_form": "b"}, {"id": "3"}]));
    assert!(parts.iter().all(|part| part.thing == "other:dm.received"));
    let keys: std::collections::BTreeSet<_> = parts.iter().map(key).collect();
    assert_eq!(keys.len(), 3);
    let again = of(json!([{"id": "3"}, {"new_form": "a", "id": "1"}, {"id": "2", "new_form": "b"}]));
    assert_eq!(keys, again.iter().map(key).collect());
}

#[test]
fn what_no_rule_knows_is_keyed_by_its_uuid() {
    for (event_type, payload) in [
        ("profile.update.bio", json!({"before": "a", "after": "b"})),
        (
            "spaces.start",
            json!({"user": {"data": {"id": PAGE}}, "broadcast_id": "1q", "event_type": "spaces_start"}),
        ),
        ("broadcast.end", json!({"user": {"data": {"id": PAGE}}, "event_timestamp_ms": 1720000007400_u64})),
        ("news.new", json!({"id": "1", "name": "n", "updated_at": "2026-07-24T20:53:37.000Z"})),
        ("chat.conversation_join", json!({"conversation_id": "1:2"})),
        ("poll.vote", json!({"id": "1"})),
        ("like.create", json!({"no": "id"})),
        ("post.mention.create", json!({"text": "no id"})),
    ] {
        let reading = activity(event_type, &payload, &Value::Null);
        assert_eq!((&reading.thing, reading.content.kind), (&format!("other:{event_type}"), Kind::Other));
        let alike = json!({"data": {"event_uuid": "another", "event_type": event_type, "payload": payload}});
        assert_ne!(key(&one(&alike)), key(&reading));
    }
    let old = account("moment_events", &json!({"id": "1", "at": 2}));
    assert_eq!(old.thing, "other:moment_events");
    assert_eq!(old.version, account("moment_events", &json!({"at": 2, "id": "1"})).version);
}

#[test]
fn times_are_read_in_each_of_xs_forms() {
    let time = |value: Value| super::value::time(&value).map(|at| at.to_string());
    let noon = Some("2026-11-21T12:00:05Z".to_owned());
    for value in [
        json!("Sat Nov 21 12:00:05 +0000 2026"),
        json!("Sat Nov 21 09:00:05 -0300 2026"),
        json!("2026-11-21T12:00:05.000Z"),
        json!("2026-11-21T09:00:05-03:00"),
        json!("1795262405000"),
        json!(1795262405000_i64),
    ] {
        assert_eq!(time(value.clone()), noon, "{value}");
    }
    for value in
        [json!(null), json!(""), json!("soon"), json!("99999999999999999999"), json!(1e300), json!(i64::MAX)]
    {
        assert_eq!(time(value.clone()), None, "{value}");
    }
}

#[test]
fn an_id_that_lost_its_digits_is_none() {
    let body = format!(
        r#"{{"for_user_id":"{PAGE}","tweet_create_events":[
            {{"id":9.300778475358126e+17,"text":"a"}},
            {{"id":123456789012345678901234567890,"text":"cut \ud83d","user":{{"id":7}}}}]}}"#
    );
    let owner = PAGE.parse().unwrap();
    let updates = split(Network::X, body.as_bytes());
    let [none, whole] = [0, 1].map(|nth: usize| crate::normalise::read(&updates[nth].event, &owner));
    assert_eq!(none.thing, "other:tweet_create_events");
    assert_eq!(whole.thing, "post:123456789012345678901234567890");
    assert_eq!(whole.content.text.as_deref(), Some("cut \u{fffd}"));
}

#[test]
fn a_link_is_made_of_an_id_and_a_name_that_need_no_escaping() {
    use super::value::link;
    assert_eq!(link(Some("ana_1"), "12").as_deref(), Some("https://x.com/ana_1/status/12"));
    assert_eq!(link(Some("a/b"), "12").as_deref(), Some("https://x.com/i/status/12"));
    assert_eq!((link(None, "1?2"), link(None, "")), (None, None));
}

fn json_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("id".to_owned()),
        Just("id_str".to_owned()),
        Just("user".to_owned()),
        Just("text".to_owned()),
        Just("message_create".to_owned()),
        Just("sender_id".to_owned()),
        Just("status".to_owned()),
        Just("source".to_owned()),
        Just("target".to_owned()),
        Just("type".to_owned()),
        Just("data".to_owned()),
        Just("created_timestamp".to_owned()),
        Just("referenced_tweets".to_owned()),
        "[a-z]{1,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!(PAGE)),
        Just(json!("follow")),
        Just(json!("quoted")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_element_and_payload_is_read_and_always_alike(
        value in json_value(),
        array in prop_oneof![
            Just("tweet_create_events"), Just("tweet_delete_events"), Just("favorite_events"), Just("follow_events"),
            Just("direct_message_events"), Just("direct_message_mark_read_events"), Just("user_event"),
        ],
        event_type in prop_oneof![
            Just("post.create"), Just("post.delete"), Just("like.create"), Just("follow.follow"), Just("dm.received"),
            Just("dm.read"), Just("chat.sent"), Just("broadcast.chat"), Just("oauth.revoke"), Just("new.kind"),
        ],
    ) {
        let bodies = [
            json!({"for_user_id": PAGE, array: [value]}),
            json!({"data": {"event_type": event_type, "filter": {"user_id": PAGE}, "payload": value, "includes": value}}),
        ];
        for body in bodies {
            let first = readings(&body);
            prop_assert!(!first.is_empty());
            prop_assert_eq!(first, readings(&body));
        }
    }
}
