use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::{Event, Shape};
use crate::network::{Network, NetworkId};
use crate::normalise;
use crate::poll::OperatorFault;
use crate::poll::test_support::{
    self, Fault, InMemory, Reply, START_MS, Tick, any_body, at, drive, kept, keys, query, readings, samples,
    things, ticks,
};

const PAGE: &str = "1337";

fn page() -> NetworkId {
    PAGE.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    test_support::scope(PAGE, now)
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
struct FakeNetwork {
    posts: Vec<i64>,
    comments: Vec<Comment>,
    role: &'static str,
    /// Whether notifications of comments have none of their texts.
    textless: bool,
    /// How many posts take turns.
    recent: usize,
}

impl Default for FakeNetwork {
    fn default() -> Self {
        Self { posts: Vec::new(), comments: Vec::new(), role: "ADMINISTRATOR", textless: false, recent: 100 }
    }
}

fn post_urn(at: i64) -> String {
    format!("urn:li:share:{at}")
}

fn comment_urn(on: &str, id: i64) -> String {
    let activity = on.rsplit([':', ',', ')']).find(|part| !part.is_empty()).unwrap();
    format!("urn:li:comment:(urn:li:activity:{activity},{id})")
}

impl FakeNetwork {
    fn settings(&self) -> Settings {
        Settings { recent_posts: self.recent, ..settings() }
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
}

impl InMemory for FakeNetwork {
    type Checkpoint = Checkpoint;

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

    fn answer(&self, request: &NetworkRequest) -> Reply {
        let header = |name: &str| request.headers.iter().any(|(key, _)| *key == name);
        assert!(
            header("linkedin-version") && header("x-restli-protocol-version") && request.query.is_empty()
        );
        let number = |name| query(request, name).unwrap().parse::<usize>().unwrap();
        let path = request.path.split('?').next().unwrap();
        let all: Vec<Value> = match request.operation {
            "roles" => {
                let role = |id: &str, role| json!({"organization": format!("urn:li:organization:{id}"), "role": role, "state": "APPROVED"});
                let others = (0..9).map(|id| role(&id.to_string(), "ADMINISTRATOR"));
                others.chain([role(PAGE, self.role)]).collect()
            }
            _ if self.role == "RECRUITING_POSTER" => Vec::new(),
            "posts" => {
                assert!(request.path.contains("author=urn%3Ali%3Aorganization%3A1337&"), "{}", request.path);
                let newest = self.posts.iter().rev();
                newest
                    .map(|at| {
                        json!({"id": post_urn(*at), "author": "urn:li:organization:1337", "commentary": "oi",
                    "lifecycleState": "PUBLISHED", "publishedAt": at, "lastModifiedAt": at})
                    })
                    .collect()
            }
            "notifications" => {
                let (_, range) = request.path.split_once("timeRange=(start:").unwrap();
                let (start, rest) = range.split_once(",end:").unwrap();
                let end: i64 = rest.split_once(')').unwrap().0.parse().unwrap();
                let range = start.parse::<i64>().unwrap()..end;
                let told = self.comments.iter().filter(|one| one.notified && range.contains(&one.id));
                told.map(|one| notification(one, "COMMENT", !self.textless)).collect()
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

    fn begin(&self, now: i64, checkpoint: Checkpoint) -> Box<dyn Collector> {
        Box::new(Collection::new(scope(now), self.settings(), checkpoint))
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

fn collected(network: &mut FakeNetwork, ticks: Vec<Tick>) -> Vec<Event> {
    let (mut events, checkpoint, now) = network.ticks(ticks);
    events.extend(all_have_their_turns(network, checkpoint, now));
    events
}

/// As many ticks as each post needs to have its turn.
fn all_have_their_turns(network: &FakeNetwork, mut checkpoint: Checkpoint, mut now: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..network.posts.len() + 2 {
        now += 900_000;
        let (driven, next) = network.tick(checkpoint, now);
        events.extend(driven.events);
        checkpoint = next;
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_is_skipped_by_cut_or_failing_ticks(ticks in ticks()) {
        let mut network = FakeNetwork::default();
        let events = collected(&mut network, ticks);
        prop_assert_eq!(things(&events, &page()), network.all());
        // What is notified and listed is one entry.
        prop_assert_eq!(keys(&events, &page()).len(), network.all().len());
    }

    #[test]
    fn what_is_notified_without_its_text_arrives(
        ticks in ticks(), recent in 0_usize..3,
    ) {
        let mut network = FakeNetwork { textless: true, recent, ..FakeNetwork::default() };
        let events = collected(&mut network, ticks);
        let found = things(&events, &page());
        let notified = network.comments.iter().filter(|one| one.notified);
        let mut notified = notified.map(|one| format!("comment:{}", comment_urn(&one.on, one.id)));
        prop_assert_eq!(notified.find(|thing| !found.contains(thing)), None);
    }

    #[test]
    fn no_answer_stops_a_run_or_makes_it_endless(
        bodies in prop::collection::vec((any_body(), prop::sample::select(vec![200_u16, 200, 200, 400, 403, 404, 429, 503])), 12),
    ) {
        let checkpoint = FakeNetwork::default().run_over(2, &bodies);
        let mut network = FakeNetwork::default();
        network.add(20, START_MS + 1000);
        network.tick(checkpoint, START_MS + 900_000);
    }
}

#[test]
fn a_steady_tick_is_three_calls() {
    let mut network = FakeNetwork::default();
    network.add(30, START_MS - HOUR_MS);
    let (first, mut checkpoint) = network.tick(Checkpoint::default(), START_MS);
    assert_eq!(first.operations()[..3], ["roles", "roles", "notifications"]);
    assert_eq!(things(&first.events, &page()), network.all());
    let (mut now, mut listed) = (START_MS, BTreeSet::new());
    for _ in 0..network.posts.len() {
        now += 900_000;
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        let driven = drive(&mut run, at(now), 9, false, |request| {
            if request.operation == "comments" {
                listed.insert(request.path.clone());
            }
            network.answer(request)
        });
        assert_eq!(driven.operations(), ["notifications", "posts", "comments"]);
        checkpoint = kept(&run);
    }
    assert_eq!(listed.len(), network.posts.len());
}

#[test]
fn a_post_that_is_new_or_edited_is_found_by_the_next_tick() {
    let mut network = FakeNetwork::default();
    network.add(6, START_MS - HOUR_MS);
    let (_, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    network.posts.push(START_MS + 60_000);
    let (driven, _) = network.tick(checkpoint, START_MS + 900_000);
    let new = format!("post:{}", post_urn(START_MS + 60_000));
    assert_eq!(driven.operations(), ["notifications", "posts", "comments"]);
    assert!(things(&driven.events, &page()).contains(&new));
}

#[test]
fn a_post_that_is_gone_has_no_turns_any_more() {
    let posts = vec![START_MS - 2 * HOUR_MS, START_MS - HOUR_MS];
    let mut network = FakeNetwork { posts, ..FakeNetwork::default() };
    let (_, mut checkpoint) = network.tick(Checkpoint::default(), START_MS);
    let gone = encoded(&post_urn(network.posts.remove(0)));
    let (mut now, mut requested) = (START_MS, Vec::new());
    for _ in 0..9 {
        now += 900_000;
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        drive(&mut run, at(now), 9, false, |request| match request.operation {
            "comments" => {
                requested.push(request.path.contains(&gone));
                if request.path.contains(&gone) { Fault::Vanished.reply() } else { network.answer(request) }
            }
            _ => network.answer(request),
        });
        checkpoint = kept(&run);
    }
    assert_eq!(requested, [true, false, true, false, true, false, false, false, false]);
}

#[test]
fn a_token_of_who_has_no_role_at_the_company_brings_in_nothing() {
    let network = FakeNetwork::default();
    let other = Scope { owner: "4242".parse().unwrap(), ..scope(START_MS) };
    let mut run = Collection::new(other, settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 10, false, |request| network.answer(request));
    assert_eq!(driven.verdicts, [Verdict::Fine, Verdict::NotThePages]);
    assert!(driven.finished);
    let network = FakeNetwork { role: "RECRUITING_POSTER", ..FakeNetwork::default() };
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 10, false, |request| network.answer(request));
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(None));
    assert_eq!(driven.verdicts.last(), Some(&narrowed));
}

#[test]
fn an_empty_list_is_believed_once_the_role_was_checked() {
    let mut network = FakeNetwork::default();
    network.add(6, START_MS - HOUR_MS);
    let (_, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    network.role = "RECRUITING_POSTER";
    let now = START_MS + 2 * HOUR_MS;
    let mut run = Collection::new(scope(now), settings(), checkpoint.clone());
    let driven = drive(&mut run, at(now), 10, false, |request| network.answer(request));
    assert_eq!(driven.operations(), ["notifications", "posts", "roles", "roles"]);
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(None));
    assert_eq!(driven.verdicts.last(), Some(&narrowed));
    // An administrator whose posts are gone is believed, and not asked about again.
    let empty = FakeNetwork::default();
    let (driven, checkpoint) = empty.tick(checkpoint, now);
    assert_eq!(driven.operations(), ["notifications", "posts", "roles", "roles", "comments"]);
    let (driven, _) = empty.tick(checkpoint, now + HOUR_MS);
    assert_eq!(driven.operations(), ["notifications", "posts", "comments"]);
}

#[test]
fn a_comment_without_its_text_has_its_post_listed() {
    let mut network = FakeNetwork::default();
    network.posts.push(START_MS - HOUR_MS);
    let (_, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    let on = post_urn(network.posts[0]);
    network.comments.push(Comment { on: on.clone(), id: START_MS + 1000, notified: false });
    let gone = Comment { on, id: START_MS + 2000, notified: false };
    let told = json!({"elements": [
        notification(&network.comments[0], "COMMENT", false),
        notification(&gone, "COMMENT_DELETE", false),
    ]});
    let now = START_MS + 900_000;
    let mut run = Collection::new(scope(now), settings(), checkpoint);
    let driven = drive(&mut run, at(now), 10, false, |request| match request.operation {
        "notifications" => Reply::json(200, &told),
        _ => network.answer(request),
    });
    // The post, which has its turn in this tick too, is listed once.
    assert_eq!(driven.operations(), ["notifications", "posts", "comments"]);
    let readings = readings(&driven.events, &page());
    let comments = readings.iter().filter(|reading| reading.content.kind == Kind::Comment);
    let found: Vec<_> = comments.map(|reading| reading.content.action).collect();
    assert_eq!(found, [Action::Deleted, Action::Created]);
    // Within two hours both are listed again, and neither is told or looked for once more.
    let now = now + 4 * 900_000;
    let mut run = Collection::new(scope(now), settings(), kept(&run));
    let again = drive(&mut run, at(now), 10, false, |request| match request.operation {
        "notifications" => Reply::json(200, &told),
        _ => network.answer(request),
    });
    assert_eq!(again.operations(), ["notifications", "posts", "comments"], "the post has its turn");
    assert!(again.events.iter().all(|event| event.field != "notification"));
}

#[test]
fn a_dead_token_or_a_vanished_thing_loses_nothing_else() {
    let mut network = FakeNetwork::default();
    network.add(60, START_MS - HOUR_MS);
    for (fault, nth) in [(Fault::TokenDied, 5), (Fault::Limited, 4), (Fault::Fails, 6), (Fault::Vanished, 6)]
    {
        let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
        let mut calls = 0;
        let first = drive(&mut run, at(START_MS), 2000, false, |request| {
            calls += 1;
            if calls == nth { fault.reply() } else { network.answer(request) }
        });
        let renewed = Scope { token_version: 2, ..scope(START_MS + HOUR_MS) };
        let mut run = Collection::new(renewed, settings(), kept(&run));
        let second = drive(&mut run, at(START_MS + HOUR_MS), 2000, false, |request| network.answer(request));
        let rest = all_have_their_turns(&network, kept(&run), START_MS + HOUR_MS);
        let events: Vec<Event> = first.events.into_iter().chain(second.events).chain(rest).collect();
        assert_eq!(things(&events, &page()), network.all(), "{fault:?}");
    }
}

#[test]
fn a_version_ends_a_year_after_its_month() {
    for (version, end) in [
        ("202609", Some("2027-09-15T00:00:00Z")),
        ("202612", Some("2027-12-15T00:00:00Z")),
        ("202508.02", Some("2026-08-15T00:00:00Z")),
        ("202613", None),
        ("v27.0", None),
        ("", None),
    ] {
        assert_eq!(version_ends(version), end.map(|end| end.parse().unwrap()), "{version}");
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
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(None));
    assert_eq!(said(403, denied), narrowed);
    let withdrawn = Verdict::OurFault(OperatorFault::VersionWithdrawn);
    assert_eq!(said(426, json!({"code": "NONEXISTENT_VERSION"})), withdrawn);
    assert_eq!(said(400, json!({"code": "VERSION_MISSING"})), withdrawn);
    let product =
        json!({"code": "ACCESS_DENIED", "message": "This application is not allowed to access: posts"});
    assert_eq!(said(403, product), Verdict::OurFault(OperatorFault::AppAccess));
    let midnight = "2026-11-23T00:00:00Z".parse().unwrap();
    assert_eq!(
        said(429, json!({"status": 429})),
        Verdict::Wait { until: midnight, of: CooldownScope::ThePage }
    );
    let app = json!({"message": "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."});
    assert_eq!(said(429, app), Verdict::Wait { until: midnight, of: CooldownScope::TheApp });
    assert_eq!(said(404, json!({})), Verdict::Gone);
    assert_eq!(said(502, json!({})), Verdict::Transient);
}

#[test]
fn a_comments_images_are_told_by_image_asset_or_address() {
    let comment = |content: Value| {
        let found = json!({"id": "2", "commentUrn": "urn:li:comment:(urn:li:share:1,2)", "actor": "urn:li:person:a",
            "object": "urn:li:share:1", "message": {"text": "a"}, "content": content});
        let raw = serde_json::value::to_raw_value(&found).unwrap();
        let event = Event {
            network: Network::Linkedin,
            by: crate::collected::By::Poll,
            shape: Shape::LinkedinComment,
            field: "comment".into(),
            sent_at: None,
            raw,
            beside: None,
        };
        let all = normalise::read(&event, &page()).content.attachments;
        all.into_iter().map(|one| (one.kind, one.id, one.url)).collect::<Vec<_>>()
    };
    let image = |id: Option<&str>, url: Option<&str>| {
        ("image".to_owned(), id.map(str::to_owned), url.map(str::to_owned))
    };
    let asset = "urn:li:digitalmediaAsset:B";
    assert_eq!(
        comment(json!([
            {"entity": {"image": "urn:li:image:A"}},
            {"entity": {"digitalmediaAsset": asset}, "type": "IMAGE", "url": "https://media.test/2.png"},
            {"entity": asset, "type": "IMAGE"},
            {"url": "https://media.test/3.png", "type": "IMAGE"},
            {"type": "IMAGE"},
            "odd",
        ])),
        [
            image(Some("urn:li:image:A"), None),
            image(Some(asset), Some("https://media.test/2.png")),
            image(Some(asset), None),
            image(None, Some("https://media.test/3.png")),
        ]
    );
    assert_eq!(comment(json!({"of": "another form"})), []);
}

#[test]
fn an_administrators_comment_is_the_pages_publication() {
    let told = |action: &str, owner: Option<&str>| {
        let found = json!({"action": action, "notificationId": 7, "generatedActivity": "urn:li:comment:(activity:1,2)",
            "decoratedGeneratedActivity": {"comment": {"owner": owner, "text": "obrigado"}}});
        let raw = serde_json::value::to_raw_value(&found).unwrap();
        let event = Event {
            network: Network::Linkedin,
            by: crate::collected::By::Poll,
            shape: Shape::LinkedinNotification,
            field: "notification".into(),
            sent_at: None,
            raw,
            beside: None,
        };
        normalise::read(&event, &page()).content
    };
    for (action, owner, published) in [
        ("ADMIN_COMMENT", None, Published::ByThePage),
        ("ADMIN_COMMENT", Some("urn:li:person:a"), Published::ByThePage),
        ("COMMENT", Some("urn:li:organization:1337"), Published::ByThePage),
        ("COMMENT", Some("urn:li:person:a"), Published::Interaction),
        ("LIKE", None, Published::Interaction),
    ] {
        let content = told(action, owner);
        assert_eq!(content.published, published, "{action} by {owner:?}");
        assert_eq!(content.reaction.as_deref(), (action == "LIKE").then_some("like"));
    }
}

#[test]
fn both_spellings_of_a_comment_are_one_thing() {
    let read = |shape, body: &Value| {
        let raw = serde_json::value::to_raw_value(body).unwrap();
        let event = Event {
            network: Network::Linkedin,
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
        let driven = drive(&mut run, at(START_MS), 4, false, |request| match request.operation {
            "posts" => Reply::json(200, &json!({"elements": [post]})),
            _ => FakeNetwork::default().answer(request),
        });
        let reading = &readings(&driven.events, &page())[0];
        println!("{name}: {:?}", reading.thing);
        assert_eq!(reading.content.kind, Kind::Post);
        assert!(reading.content.text.is_some() && reading.content.occurred_at.is_some());
        assert_eq!(reading.content.attachments.len(), 1);
    }
}

/// Runs `count` ticks, all of whose asks but those of roles are answered by their number, the word and the path.
fn answered(
    count: i64,
    settings: &Settings,
    mut answer: impl FnMut(i64, &NetworkRequest) -> Reply,
) -> (Vec<(i64, NetworkRequest)>, Vec<Event>, Vec<Verdict>) {
    let (mut checkpoint, mut requested) = (Checkpoint::default(), Vec::new());
    let (mut events, mut verdicts) = (Vec::new(), Vec::new());
    for nth in 0..count {
        let now = START_MS + nth * 900_000;
        let mut run = Collection::new(scope(now), settings.clone(), checkpoint);
        let driven = drive(&mut run, at(now), 2000, false, |request| match request.operation {
            "roles" => FakeNetwork::default().answer(request),
            _ => answer(nth, request),
        });
        assert!(driven.finished);
        requested.extend(driven.requests.into_iter().map(|request| (nth, request)));
        events.extend(driven.events);
        verdicts.extend(driven.verdicts);
        checkpoint = kept(&run);
    }
    (requested, events, verdicts)
}

fn listed(elements: &[Value]) -> Reply {
    Reply::json(200, &json!({"elements": elements, "paging": {"links": []}}))
}

fn textless(on: &str, id: i64) -> (Value, String) {
    let one = Comment { on: on.to_owned(), id, notified: true };
    (notification(&one, "COMMENT", false), format!("comment:{}", comment_urn(on, id)))
}

#[test]
fn a_comment_arrives_as_ids_where_its_post_is_not_listed() {
    let (told, thing) = textless("urn:li:share:1", 7);
    let unlisted = |reply: &dyn Fn(usize) -> Reply| {
        let mut calls = 0;
        let (_, events, _) = answered(30, &settings(), |nth, request| match request.operation {
            "notifications" if nth == 1 => listed(std::slice::from_ref(&told)),
            "comments" => {
                calls += 1;
                reply(calls)
            }
            _ => listed(&[]),
        });
        (calls, events.iter().map(|event| event.shape).collect::<Vec<_>>(), things(&events, &page()))
    };
    let all = BTreeSet::from([thing]);
    let notified = vec![Shape::LinkedinNotification];
    // Its post is gone, is denied or cannot be read for good, or is listed without it.
    assert_eq!(unlisted(&|_| Fault::Vanished.reply()), (1, notified.clone(), all.clone()));
    for fault in [403, 400, 200] {
        let body = || Reply { status: fault, headers: Vec::new(), body: b"<html>".to_vec() };
        assert_eq!(unlisted(&|_| body()), (9, notified.clone(), all.clone()), "{fault}");
    }
    assert_eq!(unlisted(&|_| listed(&[])), (1, notified, all.clone()));
    // What passes gives the text in the end.
    let one = Comment { on: "urn:li:share:1".to_owned(), id: 7, notified: true };
    let comment = FakeNetwork::default().comment(&one);
    let passes = |fault: Fault| {
        let comment = comment.clone();
        move |nth: usize| if nth <= 4 { fault.reply() } else { listed(std::slice::from_ref(&comment)) }
    };
    for fault in [Fault::Unreadable, Fault::Refused, Fault::Fails] {
        assert_eq!(unlisted(&passes(fault)), (5, vec![Shape::LinkedinComment], all.clone()), "{fault:?}");
    }
}

#[test]
fn comments_on_more_posts_than_may_wait_all_arrive() {
    let told: Vec<_> = (0..300).map(|nth| textless(&format!("urn:li:share:{nth}"), nth)).collect();
    let long = textless(&format!("urn:li:share:{}", "9".repeat(MAX_URN_BYTES)), 999);
    let told: Vec<_> = told.into_iter().chain([long]).collect();
    let (notifications, expected): (Vec<Value>, BTreeSet<String>) = told.into_iter().unzip();
    let (_, events, _) = answered(4, &settings(), |nth, request| match request.operation {
        "notifications" if nth == 0 => listed(&notifications),
        "comments" => Fault::Fails.reply(),
        _ => listed(&[]),
    });
    // Some of them wait.
    assert!(things(&events, &page()).len() > 250);
    let (_, events, _) = answered(4, &settings(), |nth, request| match request.operation {
        "notifications" if nth == 0 => listed(&notifications),
        "comments" => Fault::Vanished.reply(),
        _ => listed(&[]),
    });
    assert_eq!(things(&events, &page()), expected);
}

#[test]
fn a_comment_notified_during_its_listing_restarts_it() {
    let on = "urn:li:share:1";
    let comment = |id: i64| Comment { on: on.to_owned(), id, notified: true };
    let (first, second) = (textless(on, 1), textless(on, 2));
    let page_of = |ids: &[i64], more: bool| {
        let elements: Vec<Value> =
            ids.iter().map(|id| FakeNetwork::default().comment(&comment(*id))).collect();
        let links = if more { json!([{"rel": "next", "href": "/x"}]) } else { json!([]) };
        Reply::json(200, &json!({"elements": elements, "paging": {"links": links}}))
    };
    let (_, events, _) = answered(4, &settings(), |nth, request| match (request.operation, nth) {
        ("notifications", 1) => listed(std::slice::from_ref(&first.0)),
        ("notifications", 2) => listed(std::slice::from_ref(&second.0)),
        ("comments", _) if query(request, "start").unwrap() != "0" && nth == 1 => Fault::Fails.reply(),
        ("comments", 1) => page_of(&[1], true),
        ("comments", _) if query(request, "start").unwrap() == "0" => page_of(&[2, 1], true),
        ("comments", _) => page_of(&[], false),
        _ => listed(&[]),
    });
    let shapes: Vec<_> = events.iter().map(|event| event.shape).collect();
    assert_eq!(shapes, [Shape::LinkedinComment; 2]);
    assert_eq!(things(&events, &page()), [first.1, second.1].into());
}

#[test]
fn one_denied_post_holds_up_no_other() {
    let posts: Vec<Value> = (1..=6)
        .map(|nth| {
            json!({"id": format!("urn:li:share:{nth}"), "lifecycleState": "PUBLISHED",
            "publishedAt": START_MS - nth, "lastModifiedAt": START_MS - nth})
        })
        .collect();
    let narrowed = |verdicts: &[Verdict]| {
        let is = |verdict: &&Verdict| matches!(verdict, Verdict::Token(TokenTrouble::Narrowed(_)));
        verdicts.iter().filter(is).count()
    };
    let (requested, _, verdicts) = answered(1, &settings(), |_, request| match request.operation {
        "posts" => listed(&posts),
        "comments" if request.path.contains("share%3A1/") => Reply::json(403, &json!({})),
        _ => listed(&[]),
    });
    assert_eq!(requested.iter().filter(|(_, request)| request.operation == "comments").count(), 6);
    assert_eq!((narrowed(&verdicts), verdicts.contains(&Verdict::Gone)), (0, true));
    for count in [1, 6] {
        let (requested, _, verdicts) = answered(4, &settings(), |_, request| match request.operation {
            "posts" => listed(&posts[..count]),
            "comments" => Reply::json(403, &json!({})),
            _ => listed(&[]),
        });
        let comments = requested.iter().filter(|(_, request)| request.operation == "comments");
        assert_eq!((narrowed(&verdicts), comments.count()), (4, 4 * count.min(2)));
    }
}

#[test]
fn refused_notifications_are_asked_for_in_shorter_times() {
    // A deep page is always refused: the time is cut until it needs none.
    let range = |request: &NetworkRequest| {
        let (_, range) = request.path.split_once("timeRange=(start:").unwrap();
        let (start, rest) = range.split_once(",end:").unwrap();
        (start.parse::<i64>().unwrap(), rest.split_once(')').unwrap().0.parse::<i64>().unwrap())
    };
    let (requested, ..) = answered(40, &settings(), |_, request| match request.operation {
        "notifications" if query(request, "start").unwrap() != "0" => Fault::Refused.reply(),
        "notifications" if range(request).1 - range(request).0 > 8 * HOUR_MS => {
            Reply::json(200, &json!({"elements": [], "paging": {"links": [{"rel": "next", "href": "/x"}]}}))
        }
        _ => listed(&[]),
    });
    let last = requested.iter().rev().find(|(_, request)| request.operation == "notifications").unwrap();
    assert!(START_MS + 39 * 900_000 - range(&last.1).0 < 4 * HOUR_MS, "it has caught up: {last:?}");
}

#[test]
fn a_time_that_linkedin_keeps_no_longer_is_not_asked_for() {
    let day = 24 * HOUR_MS;
    let first = Scope { from: at(START_MS - 100 * day), ..scope(START_MS) };
    let mut run = Collection::new(first.clone(), settings(), Checkpoint::default());
    // The token dies before notifications are answered, and is renewed half a year later.
    drive(&mut run, at(START_MS), 2, false, |request| FakeNetwork::default().answer(request));
    for (checkpoint, after) in [(Checkpoint::default(), 0), (kept(&run), 10 * day), (kept(&run), 180 * day)] {
        let now = START_MS + after;
        let mut run = Collection::new(Scope { now: at(now), ..first.clone() }, settings(), checkpoint);
        let driven = drive(&mut run, at(now), 9, false, |request| FakeNetwork::default().answer(request));
        let request = driven.requests.iter().find(|request| request.operation == "notifications").unwrap();
        let (_, start) = request.path.split_once("timeRange=(start:").unwrap();
        let start: i64 = start.split_once(',').unwrap().0.parse().unwrap();
        assert!((now - 60 * day..now - 58 * day).contains(&(start - 1)), "{after} {request:?}");
        assert!(run.kept.range.is_none() && run.kept.notified_to == Some(now));
    }
}
