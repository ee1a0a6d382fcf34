//! Histories of edits on each network's shapes, and the rules one by one.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::inbox::Shape;
use crate::network::{Network, NetworkId};
use crate::normalise;

const PAGE: &str = "7001";
const BEGAN: i64 = 1_795_000_000;
const QUARTER: i64 = 900;
const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn event(network: Network, (by, shape, field): (By, Shape, &str), sent: Option<i64>, raw: &Value) -> Event {
    let raw = RawValue::from_string(raw.to_string()).unwrap();
    let beside = (shape == Shape::MetaObject).then(|| json!({"on": "7001_5"}));
    Event { network, by, shape, field: field.to_owned(), sent_at: sent.map(at), raw, beside }
}

/// What a thing says at a time: a text, and the number of a picture; 0 for none.
type Said = (char, u32);

/// A version of a thing, by the network's own time.
#[derive(Clone, Copy, Debug)]
struct Edit {
    said: Said,
    at: i64,
    created: i64,
    number: usize,
}

/// A thing of a network's: how its versions are pushed, and how they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    FacebookComment,
    FacebookReview,
    FacebookStatus,
    Messenger,
    InstagramComment,
    InstagramMedia,
    LinkedinComment,
    LinkedinPost,
    YoutubeVideo,
    YoutubeComment,
    PlayReview,
}

const CASES: [Case; 11] = [
    Case::FacebookComment,
    Case::FacebookReview,
    Case::FacebookStatus,
    Case::Messenger,
    Case::InstagramComment,
    Case::InstagramMedia,
    Case::LinkedinComment,
    Case::LinkedinPost,
    Case::YoutubeVideo,
    Case::YoutubeComment,
    Case::PlayReview,
];

/// An address of the CDN: with another host, size and signature each time.
fn cdn(picture: u32, time: i64) -> String {
    format!("https://scontent-{}.xx.fbcdn.net/v/p{0}x{0}/{picture}_n.jpg?stp=s{0}&oh={time}&oe=1", time % 9)
}

impl Case {
    fn has_pictures(self) -> bool {
        matches!(self, Self::FacebookComment | Self::FacebookStatus)
    }

    /// The push of a version, or what is told of it as soon.
    fn told(self, edit: Edit) -> Option<Event> {
        let Edit { said: (text, picture), at: time, created, number } = edit;
        let text = text.to_string();
        let verb = if number == 0 { "add" } else { "edited" };
        let change = |field, value: Value| {
            let raw = json!({"field": field, "value": value});
            Some(event(Network::Facebook, (By::Push, Shape::MetaChange, field), Some(time + 1), &raw))
        };
        match self {
            Self::FacebookComment => {
                let mut value = json!({"item": "comment", "verb": verb, "comment_id": "5_6", "post_id": "7001_5",
                    "parent_id": "7001_5", "from": {"id": "900"}, "created_time": time, "message": text});
                if picture > 0 {
                    value["photo"] = cdn(picture, time).into();
                }
                change("feed", value)
            }
            Self::FacebookReview => {
                let verb = if number == 0 { "add" } else { "edit" };
                let word = if text == "A" { "POSITIVE" } else { "NEGATIVE" };
                let value = json!({"item": "rating", "verb": verb, "open_graph_story_id": 900, "reviewer_id": 9,
                    "recommendation_type": word, "review_text": text, "created_time": created});
                change("ratings", value)
            }
            Self::FacebookStatus => {
                let photos: Vec<String> = (1..=picture).map(|photo| cdn(photo, time)).collect();
                let value = json!({"item": "status", "verb": verb, "post_id": "7001_5", "from": {"id": PAGE},
                    "created_time": created, "published": 1, "message": text, "photos": photos});
                change("feed", value)
            }
            Self::Messenger => {
                let part = if number == 0 { "message" } else { "message_edit" };
                let told = json!({"mid": "m1", "text": text, "num_edit": number});
                let raw = json!({"sender": {"id": "9"}, "recipient": {"id": PAGE}, "timestamp": time * 1000, part: told});
                Some(event(Network::Facebook, (By::Push, Shape::MetaMessaging, part), Some(time + 1), &raw))
            }
            Self::InstagramComment if number == 0 => {
                let raw = json!({"field": "comments", "value": {"id": "c1", "text": text, "media": {"id": "7001_5"}}});
                let how = (By::Push, Shape::MetaChange, "comments");
                Some(event(Network::Instagram, how, Some(time + 1), &raw))
            }
            Self::LinkedinComment => {
                let action = if number == 0 { "COMMENT" } else { "COMMENT_EDIT" };
                let raw = json!({"action": action, "notificationId": number, "lastModifiedAt": time * 1000,
                    "generatedActivity": "urn:li:comment:(urn:li:activity:1,2)",
                    "decoratedGeneratedActivity": {"comment": {"text": text, "owner": "urn:li:person:a"}}});
                let how = (By::Poll, Shape::LinkedinNotification, "notification");
                Some(event(Network::Linkedin, how, None, &raw))
            }
            _ => None,
        }
    }

    /// The answer that has a version.
    fn answered(self, edit: Edit, now: i64) -> Event {
        let Edit { said: (text, picture), at: time, created, .. } = edit;
        let text = text.to_string();
        let photo = |number| {
            json!({"media_type": "photo", "type": "photo", "target": {"id": number},
            "media": {"image": {"src": cdn(number, now)}}})
        };
        let object =
            |network, field, raw: Value| event(network, (By::Poll, Shape::MetaObject, field), None, &raw);
        let iso = |second: i64| at(second).to_string();
        match self {
            Self::FacebookComment => {
                let mut raw = json!({"id": "5_6", "message": text, "created_time": iso(created), "from": {"id": "900"}});
                if picture > 0 {
                    raw["attachment"] = photo(picture);
                }
                object(Network::Facebook, "comments", raw)
            }
            Self::FacebookReview => {
                let word = if text == "A" { "positive" } else { "negative" };
                let raw = json!({"created_time": iso(created), "recommendation_type": word, "review_text": text,
                    "reviewer": {"id": "9"}, "open_graph_story": {"id": "900"}});
                object(Network::Facebook, "ratings", raw)
            }
            Self::FacebookStatus => {
                let photos: Vec<Value> = (1..=picture).map(photo).collect();
                let album = json!({"data": [{"media_type": "album", "subattachments": {"data": photos}}]});
                let mut raw = json!({"id": "7001_5", "message": text, "created_time": iso(created),
                    "updated_time": iso(now), "from": {"id": PAGE}});
                if picture > 0 {
                    raw["attachments"] = album;
                }
                object(Network::Facebook, "posts", raw)
            }
            Self::Messenger => {
                let raw =
                    json!({"id": "m1", "message": text, "created_time": iso(created), "from": {"id": "9"}});
                object(Network::Facebook, "messages", raw)
            }
            Self::InstagramComment => {
                let raw = json!({"id": "c1", "text": text, "timestamp": iso(created)});
                object(Network::Instagram, "comments", raw)
            }
            Self::InstagramMedia => {
                let raw = json!({"id": "7", "caption": text, "timestamp": iso(created), "media_type": "IMAGE",
                    "media_url": cdn(1, now)});
                object(Network::Instagram, "media", raw)
            }
            Self::LinkedinComment => {
                let image =
                    json!({"entity": {"image": format!("urn:li:image:{picture}")}, "url": cdn(picture, now)});
                let content = if picture > 0 { json!([image]) } else { json!([]) };
                let raw = json!({"commentUrn": "urn:li:comment:(urn:li:activity:1,2)", "message": {"text": text},
                    "created": {"time": created * 1000}, "lastModified": {"time": time * 1000},
                    "content": content});
                event(Network::Linkedin, (By::Poll, Shape::LinkedinComment, "comment"), None, &raw)
            }
            Self::LinkedinPost => {
                let raw = json!({"id": "urn:li:share:1", "commentary": text, "publishedAt": created * 1000,
                    "lastModifiedAt": time * 1000, "author": "urn:li:organization:7001"});
                event(Network::Linkedin, (By::Poll, Shape::LinkedinPost, "post"), None, &raw)
            }
            Self::YoutubeVideo => {
                let raw = json!({"snippet": {"title": text}, "contentDetails": {"videoId": "v1"}});
                event(Network::Youtube, (By::Poll, Shape::YoutubeVideo, "video"), None, &raw)
            }
            Self::YoutubeComment => {
                let raw = json!({"id": "c1", "snippet": {"textOriginal": text, "publishedAt": iso(created),
                    "updatedAt": iso(time)}});
                event(Network::Youtube, (By::Poll, Shape::YoutubeComment, "comment"), None, &raw)
            }
            Self::PlayReview => {
                let said =
                    json!({"text": text, "starRating": 4, "lastModified": {"seconds": time.to_string()}});
                let raw = json!({"reviewId": "r1", "comments": [{"userComment": said}]});
                event(Network::GooglePlay, (By::Poll, Shape::GooglePlayReview, "review"), None, &raw)
            }
        }
    }
}

/// The versions of one thing, as the inbox keeps them.
#[derive(Default)]
struct Kept {
    known: Vec<Known>,
    keys: Vec<EntryKey>,
}

impl Kept {
    /// Stores an event, and answers whether it is delivered.
    fn store(&mut self, event: &Event, now: i64) -> bool {
        let owner: NetworkId = PAGE.parse().unwrap();
        let reading = normalise::read(event, &owner);
        let key = EntryKey::new(&reading.thing, &reading.version);
        let is_there = self.keys.contains(&key);
        let key = match Sighting::of(event, &reading, &key) {
            _ if !is_there && event.by == By::Push => Some(key),
            Some(sighting) if sighting.may_be_edit() => match decide(&self.known, &sighting, at(now)) {
                Verdict::New(version) => key.of_version(&version).filter(|key| !self.keys.contains(key)),
                Verdict::Completes(completion) => {
                    completion.apply(&mut self.known);
                    None
                }
                Verdict::Repetition => None,
            },
            _ => Some(key).filter(|_| !is_there),
        };
        let Some(key) = key else { return false };
        if let Some(sighting) = Sighting::of(event, &reading, &key) {
            let first = EntryKey::new(&reading.thing, &reading.version);
            let sighting = Sighting { of: first.thing_and_version().1.to_owned(), ..sighting };
            let version = key.thing_and_version().1.to_owned();
            self.known.push(Known::stored(&sighting, version, at(now), 0));
        }
        self.keys.push(key);
        true
    }
}

/// A generator of numbers below a bound.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn seconds(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(usize::try_from(bound).unwrap())).unwrap()
    }
}

/// What arrives at a time.
struct Arrival {
    at: i64,
    event: Event,
    said: Said,
}

/// A history of edits, mostly of two states, so that most are edits back.
fn history(case: Case, chance: &mut Chance) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut time = BEGAN;
    for number in 0..2 + chance.below(5) {
        let mut said = (['A', 'B', 'A', 'B', 'C'][chance.below(5)], 0);
        if case.has_pictures() {
            said.1 = u32::try_from(chance.below(3)).unwrap();
        }
        if edits.last().is_some_and(|last| last.said == said) {
            said.0 = if said.0 == 'A' { 'B' } else { 'A' };
        }
        edits.push(Edit { said, at: time, created: BEGAN, number });
        time += [90, 600, 3 * HOUR, 30 * HOUR][chance.below(4)] + chance.seconds(60);
    }
    edits
}

/// Pushes with their repeats, and a poll each quarter of an hour until long after the last edit. Where no push is lost,
/// each comes within 20 seconds at first, and lists may show what was so five minutes ago. (Where one is lost, a list
/// that shows late what no push told is told late, too.)
fn arrivals(case: Case, edits: &[Edit], loses: bool, chance: &mut Chance) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for edit in edits {
        let first = edit.at + 1 + chance.seconds(20);
        let is_lost = loses && chance.below(4) == 0;
        let Some(event) = case.told(*edit).filter(|_| !is_lost) else { continue };
        let repeats: Vec<i64> = (0..chance.below(4)).map(|_| first + chance.seconds(36 * HOUR)).collect();
        arrivals.push(Arrival { at: first, event: event.clone(), said: edit.said });
        // A repeat may come in an envelope of its own.
        arrivals.extend(repeats.into_iter().map(|repeat| {
            let sent_at = event.sent_at.map(|sent| if loses { sent } else { at(repeat) });
            Arrival { at: repeat, event: Event { sent_at, ..event.clone() }, said: edit.said }
        }));
    }
    let over = edits.last().unwrap().at + 40 * HOUR;
    for poll in (0..).map(|tick| BEGAN + 100 + tick * QUARTER).take_while(|&poll| poll <= over) {
        let lag = if !loses && chance.below(10) == 0 { 300 } else { 0 };
        let shown = edits.iter().rfind(|edit| edit.at <= poll - lag);
        arrivals.extend(shown.map(|edit| Arrival {
            at: poll,
            event: case.answered(*edit, poll),
            said: edit.said,
        }));
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

#[test]
fn the_last_delivered_is_the_last_and_nothing_comes_twice() {
    for case in CASES {
        for seed in 0..300 {
            let mut chance = Chance(seed);
            let loses = seed % 2 == 0;
            let edits = history(case, &mut chance);
            let arrivals = arrivals(case, &edits, loses, &mut chance);
            let mut kept = Kept::default();
            let new = arrivals.iter().filter(|arrival| kept.store(&arrival.event, arrival.at));
            let delivered: Vec<Said> = new.map(|arrival| arrival.said).collect();
            let all: Vec<Said> = edits.iter().map(|edit| edit.said).collect();
            let about = format!("{case:?}, seed {seed}: {edits:?}, {delivered:?}");
            assert_eq!(delivered.last(), all.last(), "{about}");
            // Where the network's time is the version, an edit back of which only the end was seen is one, too.
            let by_time = matches!(case, Case::YoutubeComment | Case::PlayReview);
            assert!(by_time || delivered.windows(2).all(|two| two[0] != two[1]), "{about}");
            let mut left = all.iter();
            assert!(delivered.iter().all(|said| left.any(|one| one == said)), "in their order: {about}");
            let told: Vec<_> =
                edits.iter().filter_map(|edit| Some(case.told(*edit)?.raw.get().to_owned())).collect();
            let are_told_apart = told.iter().collect::<HashSet<_>>().len() == told.len();
            if !loses && case.told(edits[1]).is_some() && are_told_apart {
                assert_eq!(delivered, all, "{about}");
            }
        }
    }
}

#[test]
fn a_push_and_an_answer_of_one_state_are_one_version() {
    for case in CASES {
        for picture in 0..3 {
            let edit = Edit { said: ('A', picture), at: BEGAN, created: BEGAN, number: 0 };
            let answers = [BEGAN + 5, BEGAN + 50 * HOUR].map(|time| case.answered(edit, time));
            let events: Vec<Event> = case.told(edit).into_iter().chain(answers).collect();
            for first in 0..events.len() {
                let mut kept = Kept::default();
                let mut all = events.clone();
                all.rotate_left(first);
                let new = all.iter().filter(|event| kept.store(event, BEGAN + 9)).count();
                assert_eq!(new, 1, "{case:?} {picture} {first}");
            }
        }
    }
}

fn sighting(of: &str, by: By, told: Option<i64>, push: Option<u64>) -> Sighting {
    Sighting { of: of.to_owned(), with: None, at: told.map(at), push, by, edited: by == By::Push }
}

fn known(of: &str, told: Option<i64>, push: Option<u64>, arrived: i64) -> Known {
    Known::stored(&sighting(of, By::Push, told, push), of.to_owned(), at(arrived), 0)
}

#[test]
fn an_earlier_state_is_an_edit_back_by_time_push_or_age() {
    // `a`, then `b` at second 1000.
    let times = [known("a", Some(0), Some(1), 5), known("b", Some(1000), Some(2), 1005)];
    let none = [known("a", None, None, 5), known("b", None, None, 1005)];
    let two_hours = 1005 + 2 * HOUR;
    for (case, known, sighting, now, is_new) in [
        ("the last again", &times, sighting("b", By::Push, Some(2000), Some(9)), 2005, false),
        ("a later push", &times, sighting("a", By::Push, Some(1001), Some(9)), 2005, true),
        ("a push of the same second", &times, sighting("a", By::Push, Some(1000), Some(9)), 2005, true),
        ("a late push", &times, sighting("a", By::Push, Some(999), Some(9)), 2005, false),
        ("a repeated push", &times, sighting("a", By::Push, Some(1000), Some(1)), 2005, false),
        ("a late push before old rows", &none, sighting("a", By::Push, Some(944), Some(9)), 2005, false),
        ("a push after old rows", &none, sighting("a", By::Push, Some(946), Some(9)), 2005, true),
        ("a push without a time", &none, sighting("a", By::Push, None, Some(9)), 2005, true),
        ("an answer with a later time", &times, sighting("a", By::Poll, Some(1001), None), 1006, true),
        ("an answer with the same time", &times, sighting("a", By::Poll, Some(1000), None), 9999, false),
        ("an answer, soon", &times, sighting("a", By::Poll, None, None), two_hours - 1, false),
        ("an answer, after two hours", &times, sighting("a", By::Poll, None, None), two_hours, true),
        ("an answer before its time", &none, sighting("a", By::Poll, None, None), 3, false),
    ] {
        let decided = decide(known, &sighting, at(now));
        match decided {
            Verdict::New(version) => assert!(is_new && version.len() == 32, "{case}: {version}"),
            _ => assert!(!is_new, "{case}"),
        }
    }
    let remembered = Sighting { edited: true, ..sighting("a", By::Poll, None, None) };
    assert!(matches!(decide(&none, &remembered, at(1006)), Verdict::New(_)), "its collector saw `b` since");
    let created = Sighting { edited: false, ..sighting("a", By::Push, Some(2000), Some(9)) };
    assert_eq!(decide(&times, &created, at(2005)), Verdict::Repetition, "what is created is so once");
}

#[test]
fn an_edit_back_has_one_key_however_it_is_found() {
    let times = [known("a", Some(0), Some(1), 5), known("b", Some(1000), Some(2), 1005)];
    let push = decide(&times, &sighting("a", By::Push, Some(2000), Some(9)), at(2001));
    let poll = decide(&times, &sighting("a", By::Poll, None, None), at(1005 + 2 * HOUR));
    assert!(matches!(push, Verdict::New(_)));
    assert_eq!(push, poll);
}

#[test]
fn a_pushs_repeat_is_known_although_an_answer_came_first() {
    let case = Case::FacebookComment;
    let edit = |text, number| {
        let time = BEGAN + i64::try_from(number).unwrap() * 600;
        Edit { said: (text, 0), at: time, created: BEGAN, number }
    };
    let later = |event: Event| Event { sent_at: Some(at(BEGAN + 9000)), ..event };
    let (first, second, third) = (edit('A', 0), edit('B', 1), edit('A', 2));
    let mut kept = Kept::default();
    for (now, event, is_new) in [
        (1, case.told(first).unwrap(), true),
        (660, case.answered(second, BEGAN + 660), true),
        (661, case.told(second).unwrap(), false),
        (1201, case.told(third).unwrap(), true),
        (9000, later(case.told(second).unwrap()), false),
        (9001, later(case.told(first).unwrap()), false),
    ] {
        assert_eq!(kept.store(&event, BEGAN + now), is_new, "{event:?}");
    }
}

#[test]
fn pictures_that_a_notification_does_not_name_count_later() {
    let edit = |picture, number| Edit { said: ('A', picture), at: BEGAN + 9, created: BEGAN, number };
    let mut kept = Kept::default();
    let case = Case::LinkedinComment;
    for (event, is_new) in [
        (case.told(edit(1, 0)).unwrap(), true),
        (case.answered(edit(1, 0), BEGAN + 20), false),
        (case.answered(edit(1, 0), BEGAN + 900), false),
        (case.told(edit(2, 1)).unwrap(), false),
        (case.answered(edit(2, 1), BEGAN + 1800), true),
        (case.answered(edit(2, 1), BEGAN + 2700), false),
    ] {
        assert_eq!(kept.store(&event, BEGAN + 30), is_new, "{event:?}");
    }
}

#[test]
fn attachments_are_stored_and_read_back() {
    for with in [
        With { by: By::Push, one_way: false, media: 1, links: u64::MAX },
        With { by: By::Poll, one_way: true, media: 0, links: 2 },
    ] {
        assert_eq!(With::from_bytes(&with.to_bytes()), Some(with));
    }
    assert_eq!([With::from_bytes(&[]), With::from_bytes(&[0; 16]), With::from_bytes(&[0; 18])], [None; 3]);
}

#[test]
fn a_link_in_a_text_is_compared_with_answers_alone() {
    let with = |by, media, links| With { by, one_way: false, media, links };
    let (push, poll) = (By::Push, By::Poll);
    for (one, other, same) in [
        (with(push, 1, 0), with(poll, 1, 7), true),
        (with(push, 1, 6), with(poll, 1, 7), false),
        (with(push, 1, 0), with(push, 1, 7), false),
        (with(poll, 1, 0), with(poll, 1, 7), false),
        (with(push, 0, 0), with(poll, 1, 0), false),
        (with(push, 2, 0), with(poll, 1, 0), false),
    ] {
        assert_eq!((one.same(other), other.same(one)), (same, same), "{one:?} {other:?}");
    }
}
