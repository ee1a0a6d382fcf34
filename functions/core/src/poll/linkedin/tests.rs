use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::imitation::{
    Driven, Fault, Reply, Tick, any_body, drive, kept, keys, query, readings, samples, things, ticks,
};
use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::{Event, Shape};
use crate::network::NetworkId;
use crate::normalise;

const PAGE: &str = "1337";
const START_MS: i64 = 1_795_348_800_000; // 2026-11-22T12:00:00Z
const HOUR_MS: i64 = 3_600_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn page() -> NetworkId {
    PAGE.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    Scope { owner: page(), token_version: 1, from: at(START_MS - 24 * HOUR_MS), now: at(now) }
}

fn settings() -> Settings {
    Settings { page_size: 9, recent_posts: 100, ..Settings::default() }
}

struct Comment {
    on: String,
    id: i64,
    notified: bool,
}

/// LinkedIn, in memory.
struct Imitation {
    posts: Vec<i64>,
    comments: Vec<Comment>,
    role: &'static str,
}

impl Default for Imitation {
    fn default() -> Self {
        Self { posts: Vec::new(), comments: Vec::new(), role: "ADMINISTRATOR" }
    }
}

fn post_urn(at: i64) -> String {
    format!("urn:li:share:{at}")
}

fn comment_urn(on: &str, id: i64) -> String {
    let activity = on.rsplit([':', ',', ')']).find(|part| !part.is_empty()).unwrap();
    format!("urn:li:comment:(urn:li:activity:{activity},{id})")
}

impl Imitation {
    fn add(&mut self, count: usize, ms: i64) {
        for nth in 0..count {
            let at = ms + i64::try_from(nth).unwrap() * 1000;
            let some = usize::try_from(at / 1000).unwrap();
            match nth % 5 {
                0 => self.posts.push(at),
                // An answer to an answer is one to the comment above both.
                4 if self.comments.iter().any(|one| one.on.starts_with("urn:li:share:")) => {
                    let tops = self.comments.iter().filter(|one| one.on.starts_with("urn:li:share:"));
                    let tops: Vec<&Comment> = tops.collect();
                    let above = tops[some % tops.len()];
                    let on = comment_urn(&above.on, above.id);
                    self.comments.push(Comment { on, id: at, notified: false });
                }
                _ if self.posts.is_empty() => {}
                _ => {
                    let on = post_urn(self.posts[some % self.posts.len()]);
                    self.comments.push(Comment { on, id: at, notified: nth % 2 == 1 });
                }
            }
        }
    }

    fn all(&self) -> BTreeSet<String> {
        let posts = self.posts.iter().map(|at| format!("post:{}", post_urn(*at)));
        let comments = self.comments.iter().map(|one| format!("comment:{}", comment_urn(&one.on, one.id)));
        posts.chain(comments).collect()
    }

    fn comment(&self, one: &Comment) -> Value {
        let urn = comment_urn(&one.on, one.id);
        let answers = self.comments.iter().filter(|other| other.on == urn).count();
        let mut body = json!({"id": one.id.to_string(), "commentUrn": urn, "actor": "urn:li:person:a",
            "object": "urn:li:activity:1", "created": {"time": one.id}, "lastModified": {"time": one.id},
            "message": {"text": format!("c{}", one.id)}});
        if one.on.starts_with("urn:li:comment:") {
            body["parentComment"] = one.on.as_str().into();
        }
        if answers > 0 {
            body["commentsSummary"] = json!({"totalFirstLevelComments": answers});
        }
        body
    }

    fn answer(&self, ask: &Ask) -> Reply {
        let header = |name: &str| ask.headers.iter().any(|(key, _)| *key == name);
        assert!(header("linkedin-version") && header("x-restli-protocol-version") && ask.query.is_empty());
        let number = |name| query(ask, name).unwrap().parse::<usize>().unwrap();
        let path = ask.path.split('?').next().unwrap();
        let all: Vec<Value> = match ask.what {
            "roles" => {
                let role = |id: &str, role| json!({"organization": format!("urn:li:organization:{id}"), "role": role, "state": "APPROVED"});
                let others = (0..9).map(|id| role(&id.to_string(), "ADMINISTRATOR"));
                others.chain([role(PAGE, self.role)]).collect()
            }
            _ if self.role == "RECRUITING_POSTER" => Vec::new(),
            "posts" => {
                assert!(ask.path.contains("author=urn%3Ali%3Aorganization%3A1337&"), "{}", ask.path);
                let newest = self.posts.iter().rev();
                newest
                    .map(|at| {
                        json!({"id": post_urn(*at), "author": "urn:li:organization:1337", "commentary": "oi",
                    "lifecycleState": "PUBLISHED", "publishedAt": at, "lastModifiedAt": at})
                    })
                    .collect()
            }
            "notifications" => {
                let (_, range) = ask.path.split_once("timeRange=(start:").unwrap();
                let (start, rest) = range.split_once(",end:").unwrap();
                let end: i64 = rest.split_once(')').unwrap().0.parse().unwrap();
                let range = start.parse::<i64>().unwrap()..end;
                let told = self.comments.iter().filter(|one| one.notified && range.contains(&one.id));
                told.map(|one| notification(one, "COMMENT", true)).collect()
            }
            _ => {
                let encoded =
                    path.strip_prefix("/rest/socialActions/").unwrap().strip_suffix("/comments").unwrap();
                assert!(!encoded.contains([':', '(', ',']), "{encoded}");
                let mut comments = self.comments.iter().filter(|one| super::encoded(&one.on) == encoded);
                comments.by_ref().map(|one| self.comment(one)).collect()
            }
        };
        let (start, count) = (number("start"), number("count"));
        let shown: Vec<&Value> = all.iter().skip(start).take(count).collect();
        let next = (start + count < all.len()).then(|| json!({"rel": "next", "href": "/x"}));
        let links: Vec<Value> = next.into_iter().collect();
        Reply::json(
            200,
            &json!({"elements": shown, "paging": {"start": start, "count": count, "links": links}}),
        )
    }
}

fn notification(one: &Comment, action: &str, with_text: bool) -> Value {
    let long = comment_urn(&one.on, one.id);
    let short = long.replace("(urn:li:", "(");
    let mut told = json!({"notificationId": one.id, "organizationalEntity": "urn:li:organization:1337",
        "action": action, "sourcePost": one.on, "generatedActivity": short, "lastModifiedAt": one.id});
    if with_text {
        told["decoratedGeneratedActivity"] =
            json!({"comment": {"entity": long, "text": format!("c{}", one.id), "owner": "urn:li:person:a"}});
    }
    told
}

fn tick(network: &Imitation, checkpoint: Checkpoint, now: i64) -> (Driven, Checkpoint) {
    let mut run = Collection::new(scope(now), settings(), checkpoint);
    let driven = drive(&mut run, at(now), 2000, false, |ask| network.answer(ask));
    assert!(driven.finished);
    (driven, kept(&run))
}

fn collected(network: &mut Imitation, ticks: Vec<Tick>) -> Vec<Event> {
    let (mut checkpoint, mut events, mut now) = (Checkpoint::default(), Vec::new(), START_MS);
    for (new, calls, torn, wrong) in ticks {
        network.add(new, now - 300_000);
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        let mut call = 0;
        let driven = drive(&mut run, at(now), calls, torn, |ask| {
            call += 1;
            wrong.filter(|(nth, _)| *nth == call).map_or_else(|| network.answer(ask), |(_, how)| how.reply())
        });
        events.extend(driven.events);
        checkpoint = kept(&run);
        now += 901_000;
    }
    events.extend(all_have_their_turns(network, checkpoint, now));
    events
}

/// As many ticks as each post needs to have its turn.
fn all_have_their_turns(network: &Imitation, mut checkpoint: Checkpoint, mut now: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..network.posts.len() + 2 {
        now += 900_000;
        let (driven, next) = tick(network, checkpoint, now);
        events.extend(driven.events);
        checkpoint = next;
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_is_skipped_wherever_ticks_are_cut_and_whatever_goes_wrong_in_them(ticks in ticks()) {
        let mut network = Imitation::default();
        let events = collected(&mut network, ticks);
        prop_assert_eq!(things(&events, &page()), network.all());
        // What is notified and listed is one entry.
        prop_assert_eq!(keys(&events, &page()).len(), network.all().len());
    }

    #[test]
    fn no_answer_stops_a_run_or_makes_it_endless(
        bodies in prop::collection::vec((any_body(), prop::sample::select(vec![200, 200, 200, 400, 403, 404, 429, 503])), 12),
    ) {
        let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
        let mut nth = 0;
        drop(drive(&mut run, at(START_MS), 12, false, |ask| {
            nth += 1;
            if nth <= 2 { return Imitation::default().answer(ask) }
            let (body, status) = bodies[nth - 1].clone();
            Reply { status, headers: Vec::new(), body }
        }));
        let mut network = Imitation::default();
        network.add(20, START_MS + 1000);
        tick(&network, kept(&run), START_MS + 900_000);
    }
}

#[test]
fn a_steady_tick_is_three_calls_and_lists_the_comments_of_one_post_after_the_other() {
    let mut network = Imitation::default();
    network.add(30, START_MS - HOUR_MS);
    let (first, mut checkpoint) = tick(&network, Checkpoint::default(), START_MS);
    assert_eq!(first.whats()[..3], ["roles", "roles", "notifications"]);
    assert_eq!(things(&first.events, &page()), network.all());
    let (mut now, mut listed) = (START_MS, BTreeSet::new());
    for _ in 0..network.posts.len() {
        now += 900_000;
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        let driven = drive(&mut run, at(now), 9, false, |ask| {
            if ask.what == "comments" {
                listed.insert(ask.path.clone());
            }
            network.answer(ask)
        });
        assert_eq!(driven.whats(), ["notifications", "posts", "comments"]);
        checkpoint = kept(&run);
    }
    assert_eq!(listed.len(), network.posts.len());
}

#[test]
fn a_post_that_is_new_or_edited_is_found_by_the_next_tick() {
    let mut network = Imitation::default();
    network.add(6, START_MS - HOUR_MS);
    let (_, checkpoint) = tick(&network, Checkpoint::default(), START_MS);
    network.posts.push(START_MS + 60_000);
    let (driven, _) = tick(&network, checkpoint, START_MS + 900_000);
    let new = format!("post:{}", post_urn(START_MS + 60_000));
    assert_eq!(driven.whats(), ["notifications", "posts", "comments"]);
    assert!(things(&driven.events, &page()).contains(&new));
}

#[test]
fn a_post_that_is_gone_has_no_turns_any_more() {
    let posts = vec![START_MS - 2 * HOUR_MS, START_MS - HOUR_MS];
    let mut network = Imitation { posts, ..Imitation::default() };
    let (_, mut checkpoint) = tick(&network, Checkpoint::default(), START_MS);
    let gone = encoded(&post_urn(network.posts.remove(0)));
    let (mut now, mut asked) = (START_MS, Vec::new());
    for _ in 0..6 {
        now += 900_000;
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        drive(&mut run, at(now), 9, false, |ask| match ask.what {
            "comments" => {
                asked.push(ask.path.contains(&gone));
                if ask.path.contains(&gone) { Fault::Vanished.reply() } else { network.answer(ask) }
            }
            _ => network.answer(ask),
        });
        checkpoint = kept(&run);
    }
    assert_eq!(asked, [true, false, false, false, false, false]);
}

#[test]
fn a_token_of_who_has_no_role_at_the_company_brings_in_nothing() {
    let network = Imitation::default();
    let other = Scope { owner: "4242".parse().unwrap(), ..scope(START_MS) };
    let mut run = Collection::new(other, settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 10, false, |ask| network.answer(ask));
    assert_eq!(driven.verdicts, [Verdict::Fine, Verdict::NotThePages]);
    assert!(driven.finished);
    let network = Imitation { role: "RECRUITING_POSTER", ..Imitation::default() };
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 10, false, |ask| network.answer(ask));
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(Some("RECRUITING_POSTER".to_owned())));
    assert_eq!(driven.verdicts.last(), Some(&narrowed));
}

#[test]
fn an_empty_list_where_there_were_posts_is_not_believed_before_the_role_was_looked_at() {
    let mut network = Imitation::default();
    network.add(6, START_MS - HOUR_MS);
    let (_, checkpoint) = tick(&network, Checkpoint::default(), START_MS);
    network.role = "RECRUITING_POSTER";
    let now = START_MS + 2 * HOUR_MS;
    let mut run = Collection::new(scope(now), settings(), checkpoint.clone());
    let driven = drive(&mut run, at(now), 10, false, |ask| network.answer(ask));
    assert_eq!(driven.whats(), ["notifications", "posts", "roles", "roles"]);
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(Some("RECRUITING_POSTER".to_owned())));
    assert_eq!(driven.verdicts.last(), Some(&narrowed));
    // An administrator whose posts are gone is believed, and not asked about again.
    let empty = Imitation::default();
    let (driven, checkpoint) = tick(&empty, checkpoint, now);
    assert_eq!(driven.whats(), ["notifications", "posts", "roles", "roles", "comments"]);
    let (driven, _) = tick(&empty, checkpoint, now + HOUR_MS);
    assert_eq!(driven.whats(), ["notifications", "posts", "comments"]);
}

#[test]
fn a_comment_that_is_notified_without_its_text_has_its_post_listed_and_a_deletion_is_told() {
    let mut network = Imitation::default();
    network.posts.push(START_MS - HOUR_MS);
    let (_, checkpoint) = tick(&network, Checkpoint::default(), START_MS);
    let on = post_urn(network.posts[0]);
    network.comments.push(Comment { on: on.clone(), id: START_MS + 1000, notified: false });
    let gone = Comment { on, id: START_MS + 2000, notified: false };
    let told = json!({"elements": [
        notification(&network.comments[0], "COMMENT", false),
        notification(&gone, "COMMENT_DELETE", false),
    ]});
    let now = START_MS + 900_000;
    let mut run = Collection::new(scope(now), settings(), checkpoint);
    let driven = drive(&mut run, at(now), 10, false, |ask| match ask.what {
        "notifications" => Reply::json(200, &told),
        _ => network.answer(ask),
    });
    // The post, which has its turn in this tick too, is listed once.
    assert_eq!(driven.whats(), ["notifications", "posts", "comments"]);
    let readings = readings(&driven.events, &page());
    let found: Vec<_> =
        readings.iter().map(|reading| (reading.content.kind, reading.content.action)).collect();
    assert_eq!(found, [(Kind::Comment, Action::Deleted), (Kind::Comment, Action::Created)]);
}

#[test]
fn a_token_that_dies_or_a_thing_that_vanishes_in_mid_page_loses_nothing_else() {
    let mut network = Imitation::default();
    network.add(60, START_MS - HOUR_MS);
    for (fault, nth) in [(Fault::TokenDied, 5), (Fault::Limited, 4), (Fault::Fails, 6), (Fault::Vanished, 6)]
    {
        let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
        let mut calls = 0;
        let first = drive(&mut run, at(START_MS), 2000, false, |ask| {
            calls += 1;
            if calls == nth { fault.reply() } else { network.answer(ask) }
        });
        let renewed = Scope { token_version: 2, ..scope(START_MS + HOUR_MS) };
        let mut run = Collection::new(renewed, settings(), kept(&run));
        let second = drive(&mut run, at(START_MS + HOUR_MS), 2000, false, |ask| network.answer(ask));
        let rest = all_have_their_turns(&network, kept(&run), START_MS + HOUR_MS);
        let events: Vec<Event> = first.events.into_iter().chain(second.events).chain(rest).collect();
        assert_eq!(things(&events, &page()), network.all(), "{fault:?}");
    }
}

#[test]
fn an_answers_errors_are_told_apart() {
    let now = at(START_MS);
    let said = |status, body: Value| Reply::json(status, &body).told(|answer| verdict(answer, now));
    let revoked = json!({"status": 401, "serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN"});
    assert_eq!(said(401, revoked), Verdict::Token(TokenTrouble::Revoked));
    assert_eq!(said(401, json!({"code": "EXPIRED_ACCESS_TOKEN"})), Verdict::Token(TokenTrouble::Expired));
    let denied = json!({"status": 403, "code": "ACCESS_DENIED", "message": "Not enough permissions"});
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(Some("ACCESS_DENIED".to_owned())));
    assert_eq!(said(403, denied), narrowed);
    assert_eq!(said(426, json!({"code": "NONEXISTENT_VERSION"})), Verdict::OurFault("version_withdrawn"));
    let midnight = "2026-11-23T00:00:00Z".parse().unwrap();
    assert_eq!(said(429, json!({"status": 429})), Verdict::Wait { until: midnight, of: Rest::ThePage });
    let app = json!({"message": "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."});
    assert_eq!(said(429, app), Verdict::Wait { until: midnight, of: Rest::TheApp });
    assert_eq!(said(404, json!({})), Verdict::Gone);
    assert_eq!(said(502, json!({})), Verdict::Transient);
}

#[test]
fn what_the_page_itself_writes_is_a_publication_and_both_spellings_of_a_comment_are_one_thing() {
    let read = |shape, body: &Value| {
        let raw = serde_json::value::to_raw_value(body).unwrap();
        let event = Event {
            network: crate::network::Network::Linkedin,
            by: crate::collected::By::Poll,
            shape,
            field: String::new(),
            sent_at: None,
            raw,
            beside: None,
        };
        normalise::read(&event, &page())
    };
    let listed = |urn: &str, by: &str| {
        read(
            Shape::LinkedinComment,
            &json!({"commentUrn": urn, "actor": by, "message": {"text": "oi"},
            "object": "urn:li:activity:1", "parentComment": "urn:li:comment:(activity:1,2)"}),
        )
    };
    let long = listed("urn:li:comment:(urn:li:activity:1,9)", "urn:li:organization:1337");
    let short = listed("urn:li:comment:(activity:1,9)", "urn:li:person:x");
    assert_eq!((&long.thing, &long.version), (&short.thing, &short.version));
    assert_eq!(long.content.published, Published::ByThePage);
    assert_eq!((short.content.published, short.content.kind), (Published::Interaction, Kind::Reply));
    assert_eq!(short.content.parent.unwrap().id, "urn:li:comment:(urn:li:activity:1,2)");
    let post = read(
        Shape::LinkedinPost,
        &json!({"id": "urn:li:ugcPost:5", "author": "urn:li:organization:1337",
        "commentary": "olá", "publishedAt": START_MS, "lastModifiedAt": START_MS + 5,
        "lifecycleStateInfo": {"isEditedByAuthor": true}, "content": {"media": {"id": "urn:li:image:C4"}}}),
    );
    assert_eq!((post.content.published, post.content.action), (Published::ByThePage, Action::Edited));
    assert_eq!(post.content.attachments[0].kind, "image");
    assert_eq!(post.content.link.as_deref(), Some("https://www.linkedin.com/feed/update/urn:li:ugcPost:5"));
    let shared = read(
        Shape::LinkedinNotification,
        &json!({"action": "SHARE_MENTION", "notificationId": -5,
        "generatedActivity": "urn:li:share:8", "decoratedGeneratedActivity": {"share": {"text": "oi", "owner": "urn:li:person:x"}}}),
    );
    assert_eq!((shared.thing.as_str(), shared.content.kind), ("post:urn:li:share:8", Kind::Mention));
    let like = read(Shape::LinkedinNotification, &json!({"action": "LIKE", "notificationId": -5}));
    assert_eq!((like.thing.as_str(), like.content.kind), ("notification:-5", Kind::Reaction));
}

#[test]
fn real_posts_are_read_where_they_are_given() {
    for (name, body) in samples("linkedin", "api-") {
        let post: Value = serde_json::from_slice(&body).unwrap();
        let scope = Scope { from: at(0), ..scope(START_MS) };
        let mut run = Collection::new(scope, settings(), Checkpoint::default());
        let driven = drive(&mut run, at(START_MS), 4, false, |ask| match ask.what {
            "posts" => Reply::json(200, &json!({"elements": [post]})),
            _ => Imitation::default().answer(ask),
        });
        let reading = &readings(&driven.events, &page())[0];
        println!("{name}: {:?}", reading.thing);
        assert_eq!(reading.content.kind, Kind::Post);
        assert!(reading.content.text.is_some() && reading.content.occurred_at.is_some());
        assert_eq!(reading.content.attachments.len(), 1);
    }
}
