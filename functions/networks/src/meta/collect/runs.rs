//! Whole collections against a graph in memory: nothing is skipped, whatever happens in between.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::graph::{Driver, Fault, Graph, NOW, PAGE, SECRET, time};
use crate::network::Network;
use crate::poll::{Collector, CooldownScope, NetworkResponse, TokenTrouble, Verdict};

const TICK: i64 = 15 * 60;

/// A network's page with posts, comments, answers, conversations, reviews and tags; and what is to be found of it.
struct World {
    graph: Graph,
    expected: BTreeSet<String>,
    next: usize,
}

impl World {
    fn new(network: Network, most: usize) -> Self {
        Self { graph: Graph::new(network, most), expected: BTreeSet::new(), next: 0 }
    }

    fn id(&mut self, thing: &str) -> String {
        self.next += 1;
        let id = format!("9_{}", self.next);
        self.expected.insert(format!("{thing}:{id}"));
        id
    }

    fn is_facebook(&self) -> bool {
        self.graph.network == Network::Facebook
    }

    fn post(&mut self, at: i64) -> String {
        let id = self.id("post");
        let (edge, when) = if self.is_facebook() { ("feed", "created_time") } else { ("media", "timestamp") };
        self.graph.newest(PAGE, edge, json!({"id": id, "message": "m", when: time(at), "attachments": {}}));
        self.graph.list(&id, "comments");
        id
    }

    fn comment(&mut self, post: &str, at: i64) -> String {
        let id = self.id("comment");
        self.graph.newest(
            post,
            "comments",
            json!({"id": id, "message": "c", "text": "c",
            "created_time": time(at), "timestamp": time(at)}),
        );
        if !self.is_facebook() {
            self.graph.list(&id, "replies");
        }
        id
    }

    fn reply(&mut self, post: &str, comment: &str, at: i64) {
        let id = self.id("comment");
        let value = json!({"id": id, "message": "r", "text": "r", "created_time": time(at),
            "timestamp": time(at), "parent": {"id": comment}});
        let facebook = self.is_facebook();
        let (object, edge) = if facebook { (post, "comments") } else { (comment, "replies") };
        self.graph.newest(object, edge, value);
    }

    fn message(&mut self, conversation: &str, at: i64) {
        let id = self.id("message");
        let value = json!({"id": id, "created_time": time(at), "message": "d", "from": {"id": "7"}});
        self.graph.newest(conversation, "messages", value);
        let list = self.graph.list("me", "conversations");
        list.retain(|one| one["id"] != conversation);
        list.insert(0, json!({"id": conversation, "updated_time": time(at)}));
    }

    fn rest(&mut self, at: i64) {
        if self.is_facebook() {
            self.next += 1;
            let story = self.next;
            self.expected.insert(format!("review:{story}"));
            let review = json!({"open_graph_story": {"id": story}, "created_time": time(at), "rating": 4});
            self.graph.newest(PAGE, "ratings", review);
        } else {
            let id = self.id("post");
            self.graph.newest(PAGE, "stories", json!({"id": id, "timestamp": time(at)}));
        }
        let (edge, when) =
            if self.is_facebook() { ("tagged", "created_time") } else { ("tags", "timestamp") };
        let id = self.id("mention");
        self.graph.newest(PAGE, edge, json!({"id": id, when: time(at)}));
    }

    /// This number of each, the oldest first.
    fn fill(&mut self, posts: usize, each: usize, from: i64) {
        for nth in 0..posts {
            let at = from + i64::try_from(nth).unwrap() * 60;
            let post = self.post(at);
            for nth in 0..each {
                let comment = self.comment(&post, at + i64::try_from(nth).unwrap());
                for _ in 0..each / 2 {
                    self.reply(&post, &comment, at + 30);
                }
                self.message(&format!("t_{nth}"), at + 40);
            }
            self.rest(at + 50);
        }
    }

    /// Ticks until nothing is left.
    fn settle(&mut self, driver: &mut Driver) -> usize {
        let mut calls = 0;
        for _ in 0..40 {
            calls += driver.tick(&mut self.graph, 10_000, &[]);
            self.graph.now += TICK;
        }
        calls
    }
}

fn either() -> impl Strategy<Value = Network> {
    prop_oneof![Just(Network::Facebook), Just(Network::Instagram)]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Down),
        1 => Just(Fault::Html),
        1 => Just(Fault::Cut),
        1 => Just(Fault::Limited),
        1 => Just(Fault::Dead),
        1 => Just(Fault::TooMuch),
        1 => Just(Fault::BadCursor),
        1 => Just(Fault::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_skipped_by_cut_ticks_or_bad_answers(
        network in either(),
        most in 1_usize..5,
        posts in 0_usize..5,
        each in 0_usize..4,
        visits in 1_usize..4,
        ticks in prop::collection::vec((0_usize..12, prop::collection::vec(fault(), 0..12), 0_usize..3), 0..12),
    ) {
        let mut world = World::new(network, most);
        let mut driver = Driver::new();
        driver.settings.again_visits = visits;
        world.fill(posts, each, NOW - 86_400);
        for (calls, faults, grows) in ticks {
            driver.tick(&mut world.graph, calls, &faults);
            world.graph.now += TICK;
            let from = world.graph.now - 600;
            world.fill(grows, 1, from);
        }
        world.settle(&mut driver);
        prop_assert_eq!(&driver.things(), &world.expected);
        // All of it was found as the same: nothing of an answer's page is in a key.
        prop_assert_eq!(driver.keys().len(), world.expected.len());
        let kept = format!("{:?}", driver.found);
        prop_assert!(!kept.contains(SECRET));
    }

    #[test]
    fn no_answer_stops_or_breaks_a_run(
        network in either(),
        bodies in prop::collection::vec((200_u16..520, anything()), 1..30),
    ) {
        let graph = Graph::new(network, 5);
        let driver = Driver::new();
        let mut run = driver.begin(&graph);
        let now = jiff::Timestamp::from_second(NOW).unwrap();
        let me = graph.me.to_string();
        run.on_response(&NetworkResponse { status: 200, header: &|_| None, body: me.as_bytes() }, now);
        run.on_stored(crate::poll::Stored::default());
        for (status, body) in bodies {
            let body = body.to_string();
            let heard = run.on_response(&NetworkResponse { status, header: &|_| Some(&body), body: body.as_bytes() }, now);
            for event in &heard.events {
                let reading = crate::normalise::read(event, &PAGE.parse().unwrap());
                prop_assert!(!reading.thing.is_empty());
            }
            run.on_stored(crate::poll::Stored::default());
            run.next();
            prop_assert!(run.checkpoint().len() <= crate::poll::MAX_CHECKPOINT_BYTES);
        }
    }
}

/// JSON with the names that answers have, and anything under them.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(Value::from(time(NOW))),
    ];
    let names = "data id paging cursors after next error code created_time timestamp updated_time message \
                 from attachments parent replies comments summary total_count open_graph_story story to \
                 media type target";
    let names: Vec<_> = names.split(' ').collect();
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..6).prop_map(
                |members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            ),
            inner.prop_map(|value| json!({"data": [value]})),
        ]
    })
}

#[test]
fn a_steady_tick_is_one_call_an_edge_and_changed_post() {
    for network in [Network::Facebook, Network::Instagram] {
        let mut world = World::new(network, 100);
        let mut driver = Driver::new();
        world.fill(30, 2, NOW - 86_400);
        world.settle(&mut driver);
        let calm = driver.tick(&mut world.graph, 1000, &[]);
        world.graph.now += TICK;
        let newest =
            world.graph.list(PAGE, if network == Network::Facebook { "feed" } else { "media" })[0].clone();
        world.comment(newest["id"].as_str().unwrap(), world.graph.now - 5);
        let changed = driver.tick(&mut world.graph, 1000, &[]);
        // At most four edges, one call for each of two conversations, and the posts that are due.
        assert!(calm <= 4 + 2 + driver.settings.again_visits, "{network}: {calm}");
        assert!(changed <= calm + 2 + driver.settings.again_visits, "{network}: {changed}");
        assert_eq!(driver.things(), world.expected, "{network}");
    }
}

#[test]
fn a_post_whose_number_of_comments_changed_is_looked_at_first() {
    let mut world = World::new(Network::Facebook, 100);
    let mut driver = Driver::new();
    world.fill(30, 1, NOW - 86_400);
    world.settle(&mut driver);
    driver.settings.again_visits = 1;
    let oldest = world.graph.list(PAGE, "feed").last().unwrap()["id"].as_str().unwrap().to_owned();
    world.comment(&oldest, world.graph.now - 5);
    driver.tick(&mut world.graph, 1000, &[]);
    assert_eq!(driver.things(), world.expected);
}

#[test]
fn the_first_collection_goes_back_thirty_days_and_no_further() {
    let mut world = World::new(Network::Facebook, 2);
    let mut driver = Driver::new();
    world.fill(5, 1, NOW - 31 * 86_400);
    let old = std::mem::take(&mut world.expected);
    world.fill(5, 1, NOW - 29 * 86_400);
    let calls = driver.tick(&mut world.graph, 1000, &[]);
    let found = driver.things();
    assert!(found.is_superset(&world.expected) && found.is_disjoint(&old));
    assert!(calls < 60, "{calls}");
}

#[test]
fn another_pages_token_ends_the_run_at_its_first_call() {
    for (network, me) in [
        (Network::Facebook, json!({"id": "502"})),
        (Network::Instagram, json!({"user_id": "502", "id": PAGE})),
    ] {
        let mut world = World::new(network, 5);
        world.fill(2, 1, NOW - 3600);
        world.graph.me = me;
        let mut driver = Driver::new();
        assert_eq!(driver.tick(&mut world.graph, 100, &[]), 1);
        assert_eq!(driver.verdicts, [Verdict::NotThePages]);
        assert!(driver.found.is_empty());
        world.graph.me = json!({"id": PAGE, "user_id": PAGE});
        driver.token = 2;
        world.settle(&mut driver);
        assert_eq!(driver.things(), world.expected);
        // A token that was seen to be the page's is not asked for again, and a new one is.
        let requested =
            |graph: &Graph| graph.calls.iter().filter(|request| request.operation == "me").count();
        assert_eq!(requested(&world.graph), 2);
        driver.token = 3;
        driver.tick(&mut world.graph, 1, &[]);
        assert_eq!((requested(&world.graph), world.graph.calls.last().unwrap().operation), (3, "me"));
    }
}

#[test]
fn a_dead_token_or_a_limit_ends_the_run_and_it_resumes() {
    for (fault, verdict) in [
        (Fault::Dead, Verdict::Token(TokenTrouble::Revoked)),
        (
            Fault::Limited,
            Verdict::Wait {
                until: jiff::Timestamp::from_second(NOW + 900).unwrap(),
                of: CooldownScope::ThePage,
            },
        ),
    ] {
        let mut world = World::new(Network::Facebook, 2);
        world.fill(6, 0, NOW - 3600);
        let mut driver = Driver::new();
        let faults = [Fault::None, Fault::None, fault];
        assert_eq!(driver.tick(&mut world.graph, 100, &faults), 3);
        assert_eq!(driver.verdicts.last(), Some(&verdict));
        driver.token = 2;
        driver.tick(&mut world.graph, 2, &[]);
        let last = world.graph.calls.last().unwrap();
        assert!(last.operation == "posts" && last.query.iter().any(|(name, _)| *name == "after"), "{last:?}");
        world.settle(&mut driver);
        assert_eq!(driver.things(), world.expected);
    }
}

#[test]
fn an_object_that_vanishes_is_not_asked_for_again() {
    for network in [Network::Facebook, Network::Instagram] {
        let mut world = World::new(network, 5);
        world.fill(3, 2, NOW - 3600);
        let mut driver = Driver::new();
        world.settle(&mut driver);
        let gone =
            world.graph.list(PAGE, if network == Network::Facebook { "feed" } else { "media" })[0]["id"]
                .clone();
        let gone = gone.as_str().unwrap().to_owned();
        world.graph.remove(&gone);
        world.graph.remove("t_1");
        world.settle(&mut driver);
        assert!(driver.verdicts.contains(&Verdict::Gone), "{network}");
        assert_eq!(driver.things(), world.expected, "{network}");
        let before = world.graph.calls.len();
        world.settle(&mut driver);
        assert!(world.graph.calls[before..].iter().all(|request| !request.path.contains(&gone)), "{network}");
    }
}

#[test]
fn a_permission_that_is_missing_takes_its_own_edge_alone() {
    let mut world = World::new(Network::Facebook, 5);
    world.fill(2, 1, NOW - 3600);
    let driver = Driver::new();
    let mut run = driver.begin(&world.graph);
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let (mut requested, mut narrowed) = (Vec::new(), 0);
    while let Some(request) = run.next() {
        requested.push(request.operation);
        let denied = br#"{"error":{"code":200,"message":"Requires pages_messaging permission"}}"#.to_vec();
        let body = match request.operation {
            "me" => json!({"id": PAGE}).to_string().into_bytes(),
            "conversations" => denied,
            _ => br#"{"data":[]}"#.to_vec(),
        };
        let heard = run.on_response(&NetworkResponse { status: 200, header: &|_| None, body: &body }, now);
        let expected = TokenTrouble::Narrowed(Some("pages_messaging".to_owned()));
        narrowed += usize::from(heard.verdict == Verdict::Token(expected));
        run.on_stored(crate::poll::Stored::default());
    }
    assert_eq!((requested, narrowed), (vec!["me", "posts", "conversations", "tagged", "ratings"], 1));
}

#[test]
fn a_limit_that_is_near_ends_the_run_and_what_came_is_kept() {
    let world = World::new(Network::Facebook, 5);
    let mut run = Driver::new().begin(&world.graph);
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let body = json!({"id": PAGE}).to_string();
    let usage = |name: &str| (name == "x-app-usage").then_some(r#"{"call_count":95}"#);
    let heard = run.on_response(&NetworkResponse { status: 200, header: &usage, body: body.as_bytes() }, now);
    assert!(matches!(heard.verdict, Verdict::Wait { of: CooldownScope::TheApp, .. }));
    run.on_stored(crate::poll::Stored::default());
    assert!(
        run.next().is_none()
            && serde_json::from_str::<super::Checkpoint>(&run.checkpoint()).unwrap().verified == Some(1)
    );
}

#[test]
fn a_facebook_logins_account_is_its_pages_own() {
    use crate::instagram::collect::run;
    use crate::page::Login;
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let told = |status: u16, body: &str| {
        let page = PAGE.parse().unwrap();
        let mut run =
            run(&super::Settings::default(), Login::Facebook, &page, 1, super::Checkpoint::default(), now);
        assert_eq!(run.next().unwrap().query, [("fields", "id,instagram_business_account{id}".to_owned())]);
        let heard =
            run.on_response(&NetworkResponse { status, header: &|_| None, body: body.as_bytes() }, now);
        run.on_stored(crate::poll::Stored::default());
        (heard.verdict, run.next().map(|request| request.path))
    };
    let of_it = told(200, r#"{"id":"9","instagram_business_account":{"id":501}}"#);
    assert_eq!(of_it, (Verdict::Fine, Some("/v27.0/501/media".to_owned())));
    assert_eq!(
        told(200, r#"{"id":"9","instagram_business_account":{"id":"502"}}"#),
        (Verdict::NotThePages, None)
    );
    // What names no account names no other one: the account itself is asked for.
    let account = Some("/v27.0/501".to_owned());
    assert_eq!(told(200, r#"{"id":"9"}"#), (Verdict::Gone, account.clone()));
    assert_eq!(told(200, "{}"), (Verdict::Gone, account.clone()));
    // A user has no such field.
    let user = r#"{"error":{"code":100,"message":"(#100) Tried accessing nonexisting field (instagram_business_account)"}}"#;
    assert_eq!(told(400, user), (Verdict::Gone, account));
}

#[test]
fn an_account_that_a_system_user_sees_is_collected_by_its_id() {
    use crate::instagram::collect::run;
    use crate::page::Login;
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let user = json!({"error": {"code": 100,
        "message": "(#100) Tried accessing nonexisting field (instagram_business_account) on node type (User)"}});
    let hidden = json!({"error": {"code": 100, "error_subcode": 33, "message": "Unsupported get request."}});
    let other = json!({"error": {"code": 100,
        "message": "(#100) Tried accessing nonexisting field (username) on node type (Page)"}});
    let seen = json!({"id": PAGE, "username": "loja"});
    let denied = json!({"error": {"code": 10, "message": "requires instagram_basic"}});
    let verified = (vec![Verdict::Gone, Verdict::Fine], Some("/v27.0/501/media".to_owned()));
    let narrowed = |name: Option<&str>| {
        let named = Verdict::Token(TokenTrouble::Narrowed(name.map(str::to_owned)));
        (vec![Verdict::Gone, named], None)
    };
    for (login, of_account, expected) in [
        (Login::Facebook, (200, &seen), verified.clone()),
        (Login::Unified, (200, &seen), (vec![Verdict::Fine], verified.1.clone())),
        (Login::Facebook, (400, &hidden), narrowed(None)),
        (Login::Facebook, (400, &other), narrowed(None)),
        (Login::Facebook, (403, &denied), narrowed(Some("instagram_basic"))),
    ] {
        let page = PAGE.parse().unwrap();
        let mut run = run(&super::Settings::default(), login, &page, 1, super::Checkpoint::default(), now);
        let mut verdicts = Vec::new();
        while let Some(request) = run.next().filter(|request| ["me", "account"].contains(&request.operation))
        {
            let (status, body) = if request.operation == "me" { (400, &user) } else { of_account };
            let body = body.to_string();
            let answer = NetworkResponse { status, header: &|_| None, body: body.as_bytes() };
            verdicts.push(run.on_response(&answer, now).verdict);
            run.on_stored(crate::poll::Stored::default());
        }
        assert_eq!((verdicts, run.next().map(|request| request.path)), expected, "{login:?}");
        let kept: super::Checkpoint = serde_json::from_str(&run.checkpoint()).unwrap();
        assert_eq!(kept.of_the_account, kept.verified.is_some());
    }
}

#[test]
fn what_the_app_may_not_ask_holds_up_nothing_else() {
    let post =
        json!({"id": "P", "created_time": time(NOW - 3600), "comments": {"summary": {"total_count": 1}}});
    for what in ["conversations", "comments"] {
        let (requested, verdicts) = ticks(12, TICK, |tick, asked, _| match asked {
            "posts" => (200, json!({"data": [post]})),
            _ if asked == what && tick < 10 => denied(3),
            _ => ok(asked),
        });
        let fault = Verdict::OurFault(crate::poll::OperatorFault::AppAccess);
        assert!(verdicts.iter().filter(|verdict| **verdict == fault).count() >= 10, "{what}");
        assert!(of(&requested, "/ratings").len() >= 12, "{what}");
        assert!(of(&requested, &format!("/{what}")).iter().any(|tick| *tick >= 10), "{what} once it may");
    }
    let (requested, _) = ticks(3, TICK, |_, asked, _| if asked == "posts" { denied(101) } else { ok(asked) });
    assert_eq!(
        (of(&requested, "/feed").len(), of(&requested, "/ratings").len()),
        (3, 0),
        "nothing more is asked"
    );
}

#[test]
fn a_conversation_that_moves_up_is_read_whole() {
    let mut world = World::new(Network::Facebook, 1);
    let mut driver = Driver::new();
    world.message("t_0", NOW - 86_400);
    world.message("t_1", NOW - 80_000);
    // `me`, posts, and the first of two pages of conversations.
    driver.tick(&mut world.graph, 3, &[]);
    assert_eq!(world.graph.calls.last().unwrap().operation, "conversations");
    world.message("t_0", NOW + 60);
    world.graph.now += TICK;
    world.settle(&mut driver);
    assert_eq!(driver.things(), world.expected);
}

#[test]
fn a_message_that_comes_while_its_conversation_is_read_is_found() {
    let mut world = World::new(Network::Facebook, 1);
    let mut driver = Driver::new();
    for nth in 0..4 {
        world.message("t_0", NOW - 86_400 + nth);
    }
    driver.tick(&mut world.graph, 5, &[]);
    assert_eq!(world.graph.calls.last().unwrap().operation, "messages");
    world.message("t_0", NOW + 60);
    world.graph.now += TICK;
    // The list is read again before the conversation is.
    driver.tick(&mut world.graph, 2, &[Fault::Down]);
    world.settle(&mut driver);
    assert_eq!(driver.things(), world.expected);
}

/// Runs `count` ticks, each answered by its number, the ask and the path. Answers the asks of each tick with their
/// paths, and all verdicts.
fn ticks(
    count: i64,
    every: i64,
    answer: impl Fn(i64, &'static str, &str) -> (u16, Value),
) -> (Vec<(i64, String)>, Vec<Verdict>) {
    let (mut driver, mut requested, mut verdicts) = (Driver::new(), Vec::new(), Vec::new());
    for tick in 0..count {
        let mut graph = Graph::new(Network::Facebook, 5);
        graph.now = NOW + tick * every;
        let mut run = driver.begin(&graph);
        let now = jiff::Timestamp::from_second(graph.now).unwrap();
        while let Some(request) = run.next() {
            let (status, body) = answer(tick, request.operation, &request.path);
            let body = body.to_string();
            requested.push((tick, request.path));
            let heard =
                run.on_response(&NetworkResponse { status, header: &|_| None, body: body.as_bytes() }, now);
            verdicts.push(heard.verdict);
            run.on_stored(crate::poll::Stored::default());
        }
        driver.kept = run.checkpoint();
    }
    (requested, verdicts)
}

fn of(requested: &[(i64, String)], part: &str) -> Vec<i64> {
    requested.iter().filter(|(_, path)| path.contains(part)).map(|(tick, _)| *tick).collect()
}

fn ok(what: &str) -> (u16, Value) {
    (200, if what == "me" { json!({"id": PAGE}) } else { json!({"data": []}) })
}

fn denied(code: i64) -> (u16, Value) {
    (400, json!({"error": {"code": code, "message": "no"}}))
}

fn conversation(id: &str, ago: i64) -> Value {
    json!({"id": id, "updated_time": time(NOW - ago)})
}

const NARROWED: Verdict = Verdict::Token(TokenTrouble::Narrowed(None));

#[test]
fn one_denied_conversation_holds_up_no_other() {
    for code in [10, 200] {
        let (requested, verdicts) = ticks(100, TICK, |_, what, path| match what {
            "conversations" => {
                (200, json!({"data": [conversation("t_bad", 60), conversation("t_good", 120)]}))
            }
            "messages" if path.contains("t_bad") => denied(code),
            _ => ok(what),
        });
        assert_eq!(of(&requested, "/t_good/")[..1], [0]);
        assert!(of(&requested, "/conversations").len() >= 100, "the list is asked in each tick");
        assert!(verdicts.contains(&Verdict::Gone) && !verdicts.contains(&NARROWED));
    }
}

#[test]
fn one_denied_post_holds_up_no_other() {
    let post = |id: &str, comments: i64| json!({"id": id, "created_time": time(NOW - 3600), "comments": {"summary": {"total_count": comments}}});
    let (requested, verdicts) = ticks(60, TICK, |tick, what, path| match what {
        "posts" => (
            200,
            json!({"data": [post("D", 1 + i64::from(tick >= 10)), post("E", 1 + tick / 4), post("F", 1)]}),
        ),
        "comments" if path.contains("/D/") && tick >= 10 => denied(10),
        _ => ok(what),
    });
    let late = |id: &str| of(&requested, id).iter().filter(|tick| **tick > 10).count();
    assert!(late("/E/") >= 12 && late("/F/") >= 10, "{} {}", late("/E/"), late("/F/"));
    assert!(verdicts.contains(&Verdict::Gone) && !verdicts.contains(&NARROWED));
}

#[test]
fn all_objects_denied_are_the_tokens_fault() {
    let posts: Vec<Value> =
        (0..9).map(|nth| json!({"id": format!("P{nth}"), "created_time": time(NOW - 3600)})).collect();
    let (requested, verdicts) = ticks(6, TICK, |_, what, _| match what {
        "posts" => (200, json!({"data": posts})),
        "conversations" => (200, json!({"data": [conversation("t_1", 60), conversation("t_2", 120)]})),
        "comments" | "messages" => denied(200),
        _ => ok(what),
    });
    for part in ["/comments", "/messages"] {
        assert!(
            (0..6).all(|tick| of(&requested, part).iter().filter(|of| **of == tick).count() == 2),
            "{part}"
        );
    }
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == NARROWED).count(), 12);
    // All of them in turn.
    assert!((0..9).all(|nth| !of(&requested, &format!("/P{nth}/")).is_empty()));
    // The only one there is, too.
    for (of, children) in [("posts", "comments"), ("conversations", "messages")] {
        let (_, verdicts) = ticks(4, TICK, |_, what, _| match what {
            _ if what == of => (
                200,
                json!({"data": [{"id": "x", "created_time": time(NOW - 60), "updated_time": time(NOW - 60)}]}),
            ),
            _ if what == children => denied(200),
            _ => ok(what),
        });
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == NARROWED).count(), 4, "{of}");
    }
}

#[test]
fn an_outage_of_days_loses_no_conversation() {
    let list = json!({"data": [conversation("t_1", 60)]});
    let day = 24 * 3600 / 300;
    let of_message = |requested: &[(i64, String)]| of(requested, "/t_1/");
    let down = (500, json!({"error": {"code": 2, "is_transient": true}}));
    let broken = (400, json!({"error": {"code": 99_999}}));
    let when = |tick: i64, fault: &(u16, Value), till: i64, what: &str| match what {
        "conversations" if tick == 0 => (200, list.clone()),
        "messages" if tick < till => fault.clone(),
        _ => ok(what),
    };
    let (requested, _) = ticks(2 * day + 2, 300, |tick, what, _| when(tick, &down, 2 * day, what));
    assert_eq!(of_message(&requested).last(), Some(&(2 * day)), "read once it is answered");
    let (requested, _) = ticks(2 * day, 300, |tick, what, _| when(tick, &broken, 3 * day, what));
    assert_eq!(of_message(&requested).last(), Some(&day), "asked for a day");
    // What one has of a version that counted ticks.
    let old = json!({"i": "t_1", "f": 5, "x": 95});
    let mut child: super::walk::Child = serde_json::from_value(old).unwrap();
    assert!(child.failed(false, false, NOW));
}

/// How many calls of a kind there were.
fn count(graph: &Graph, operation: &str) -> usize {
    graph.calls.iter().filter(|request| request.operation == operation).count()
}

#[test]
fn a_message_that_is_listed_late_is_found_on_both_networks() {
    for network in [Network::Facebook, Network::Instagram] {
        for late in [5, 30, 60, 119] {
            let mut world = World::new(network, 100);
            let mut driver = Driver::new();
            // A conversation that nothing changes but the late message, and one whose only message is late.
            world.message("t_1", NOW - 600);
            driver.tick(&mut world.graph, 100, &[]);
            let sent = NOW - 900;
            let id = world.id("message");
            let older = json!({"id": id, "created_time": time(sent), "message": "d", "from": {"id": "7"}});
            while world.graph.now < sent + late * 60 {
                world.graph.now += TICK;
                driver.tick(&mut world.graph, 100, &[]);
            }
            let listed = world.graph.now;
            world.graph.list("t_1", "messages").push(older);
            let id = world.id("message");
            let only = json!({"id": id, "created_time": time(sent), "message": "d", "from": {"id": "8"}});
            world.graph.newest("t_2", "messages", only);
            world.graph.list("me", "conversations").push(json!({"id": "t_2", "updated_time": time(sent)}));
            driver.tick(&mut world.graph, 100, &[]);
            assert!(driver.things().contains(&format!("message:{id}")), "{network}, {late} minutes");
            while world.graph.now < listed + 8000 {
                world.graph.now += TICK;
                driver.tick(&mut world.graph, 100, &[]);
            }
            assert_eq!(driver.things(), world.expected, "{network}, {late} minutes");
            assert!(count(&world.graph, "messages") <= 4 + 4, "{network}: a few reads each");
            let calls = count(&world.graph, "conversations");
            driver.tick(&mut world.graph, 100, &[]);
            assert_eq!(count(&world.graph, "conversations"), calls + 1);
        }
    }
}

#[test]
fn unchanged_recent_conversations_take_one_call() {
    let mut world = World::new(Network::Facebook, 25);
    let mut driver = Driver::new();
    for nth in 0..60 {
        world.message(&format!("t_{nth}"), NOW - 100_000 + nth);
    }
    for nth in 0..10 {
        world.message(&format!("t_{nth}"), NOW - 60 + nth);
    }
    world.settle(&mut driver);
    let before = driver.things();
    world.message("t_30", world.graph.now - 60);
    driver.tick(&mut world.graph, 1000, &[]);
    let (lists, messages) = (count(&world.graph, "conversations"), count(&world.graph, "messages"));
    world.graph.now += TICK;
    driver.tick(&mut world.graph, 1000, &[]);
    assert_eq!(count(&world.graph, "conversations"), lists + 1, "one call, though it has more than a page");
    assert_eq!(count(&world.graph, "messages"), messages, "what was read is not read again at each tick");
    assert_eq!(driver.things().len(), before.len() + 1);
}

/// An ad account, `act_7`, whose ads show posts of the page's.
struct AdWorld {
    world: World,
    driver: Driver,
}

impl AdWorld {
    fn new(network: Network) -> Self {
        let mut world = World::new(network, 100);
        world.graph.list("act_7", "ads");
        Self { world, driver: Driver { ad_account: Some("act_7".to_owned()), ..Driver::new() } }
    }

    fn ad(&mut self, id: &str, creative: &Value) {
        let ad = json!({"id": id, "name": format!("ad {id}"), "creative": creative});
        self.world.graph.newest("act_7", "ads", ad);
    }

    /// A post that only an ad shows, with a comment.
    fn dark(&mut self, id: &str, at: i64) {
        let post = json!({"id": id, "message": "m", "caption": "m", "created_time": time(at), "timestamp": time(at),
            "is_published": false, "attachments": {}});
        self.world.graph.objects.insert(id.to_owned(), post);
        self.world.comment(id, at + 60);
    }

    fn tick(&mut self) {
        self.driver.tick(&mut self.world.graph, 1000, &[]);
        self.world.graph.now += TICK;
    }

    fn things(&self) -> BTreeSet<String> {
        self.driver.things()
    }

    fn count(&self, path: &str) -> usize {
        self.world.graph.calls.iter().filter(|request| request.path.ends_with(path)).count()
    }

    fn ads_of(&self, thing: &str) -> Option<crate::collected::Ad> {
        let found = self.driver.found.iter().find(|(_, reading)| reading.thing == thing);
        found.and_then(|(_, reading)| reading.content.ad.clone())
    }
}

#[test]
fn a_dark_post_of_the_named_account_comes_with_its_comments() {
    let mut case = AdWorld::new(Network::Facebook);
    case.world.post(NOW - 600);
    case.dark("501_1", NOW - 3600);
    case.ad("120", &json!({"effective_object_story_id": "501_1"}));
    case.dark("502_1", NOW - 3600);
    case.ad("121", &json!({"effective_object_story_id": "502_1"}));
    case.ad("122", &json!({"effective_object_story_id": "5010_9"}));
    case.ad("123", &json!({}));
    case.tick();
    let found = case.things();
    assert!(found.contains("post:501_1") && !found.contains("post:502_1"), "{found:?}");
    let ad = case.ads_of("post:501_1").unwrap();
    assert_eq!((ad.id.as_str(), ad.name.as_deref()), ("120", Some("ad 120")));
    assert_eq!(case.ads_of("comment:9_2").unwrap().id, "120");
    assert_eq!(found.len(), 3, "the published post, the dark one, and its comment: {found:?}");
    assert_eq!(case.count("/502_1") + case.count("/502_1/comments"), 0);
    let more = case.world.comment("501_1", case.world.graph.now);
    case.tick();
    assert!(case.things().contains(&format!("comment:{more}")));
    assert_eq!((case.count("/act_7/ads"), case.count("/501_1")), (1, 1), "once an hour, and once a day");
    for _ in 0..4 {
        case.tick();
    }
    assert_eq!((case.count("/act_7/ads"), case.count("/501_1")), (2, 1));
}

#[test]
fn an_advertised_publication_is_told_once() {
    let mut case = AdWorld::new(Network::Facebook);
    let post = "501_5".to_owned();
    let published = json!({"id": post, "message": "m", "created_time": time(NOW - 60), "attachments": {}});
    case.world.graph.newest(PAGE, "feed", published);
    case.world.graph.list(&post, "comments");
    case.ad("120", &json!({"effective_object_story_id": post}));
    for _ in 0..6 {
        case.tick();
    }
    assert_eq!(case.count("/501_5"), 0, "the page's own list has it");
    assert_eq!(case.driver.keys().len(), 1);
}

#[test]
fn an_old_dark_post_is_told_by_its_new_comments_alone() {
    let mut case = AdWorld::new(Network::Facebook);
    case.dark("501_1", NOW - 40 * 86_400);
    let new = case.world.comment("501_1", NOW - 86_400);
    case.ad("120", &json!({"effective_object_story_id": "501_1"}));
    case.tick();
    assert_eq!(case.things(), BTreeSet::from([format!("comment:{new}")]));
    for _ in 0..200 {
        case.tick();
    }
    assert_eq!(case.things().len(), 1);
    assert!(case.count("/501_1/comments") >= 100, "its ad is listed still");
    case.world.graph.list("act_7", "ads").clear();
    for _ in 0..8 * 96 {
        case.tick();
    }
    let looks = case.count("/501_1/comments");
    case.tick();
    assert_eq!(case.count("/501_1/comments"), looks, "a week after its ad was listed it is not looked at");
}

#[test]
fn an_instagram_ads_copy_is_no_publication_of_its_own() {
    let mut case = AdWorld::new(Network::Instagram);
    let creative = |media: &str, source: Value, account: &str| {
        json!({"effective_instagram_media_id": media, "source_instagram_media_id": source,
            "instagram_user_id": account})
    };
    case.dark("17001", NOW - 3600);
    case.ad("120", &creative("17001", Value::Null, PAGE));
    case.dark("17999", NOW - 3600);
    case.ad("121", &creative("17999", json!("17900"), PAGE));
    case.dark("17002", NOW - 3600);
    case.ad("122", &creative("17002", Value::Null, "502"));
    case.tick();
    let posts: Vec<_> = case.things().into_iter().filter(|thing| thing.starts_with("post:")).collect();
    assert_eq!(posts, ["post:17001"]);
    let parent = |thing: &str| {
        let found = case.driver.found.iter().find(|(_, reading)| reading.thing == thing);
        found.and_then(|(_, reading)| reading.content.parent.as_ref()).map(|parent| parent.id.clone())
    };
    assert_eq!(parent("comment:9_1").as_deref(), Some("17001"));
    assert_eq!(parent("comment:9_2").as_deref(), Some("17900"), "as a push has it");
    assert_eq!(parent("comment:9_3"), None);
}

#[test]
fn ads_that_the_token_may_not_list_hold_up_nothing() {
    for (status, error) in [
        (
            403,
            json!({"code": 200, "message": "(#200) Ad account owner has NOT grant ads_management or ads_read"}),
        ),
        (400, json!({"code": 100, "error_subcode": 33, "message": "Unsupported get request."})),
        (400, json!({"code": 100, "message": "Invalid parameter"})),
        (400, json!({"code": 80004, "message": "There have been too many calls to this ad-account."})),
    ] {
        let is_limit = error["code"] == 80004;
        let driver = Driver { ad_account: Some("act_7".to_owned()), ..Driver::new() };
        let mut run = driver.begin(&Graph::new(Network::Facebook, 5));
        let now = jiff::Timestamp::from_second(NOW).unwrap();
        let (mut requested, mut verdicts) = (Vec::new(), Vec::new());
        while let Some(request) = run.next() {
            requested.push(request.operation);
            let (status, body) = match request.operation {
                "me" => (200, json!({"id": PAGE})),
                "ads" => (status, json!({ "error": error })),
                _ => (200, json!({"data": []})),
            };
            let body = body.to_string();
            let answer = NetworkResponse { status, header: &|_| None, body: body.as_bytes() };
            verdicts.push(run.on_response(&answer, now).verdict);
            run.on_stored(crate::poll::Stored::default());
        }
        assert_eq!(requested, ["me", "posts", "conversations", "tagged", "ratings", "ads"]);
        let missing = Verdict::Token(TokenTrouble::Narrowed(Some("ads_read".to_owned())));
        match verdicts.last() {
            Some(Verdict::Wait { of: CooldownScope::ThisOperation, .. }) => assert!(is_limit),
            told => assert_eq!((told, is_limit), (Some(&missing), false), "{error}"),
        }
        let kept: super::Checkpoint = serde_json::from_str(&run.checkpoint()).unwrap();
        assert!(kept.edges["ads"].next.is_some_and(|next| next >= NOW + 900));
    }
}

#[test]
fn an_ad_accounts_near_limit_holds_up_its_ads_alone() {
    let driver = Driver { ad_account: Some("act_7".to_owned()), ..Driver::new() };
    let mut run = driver.begin(&Graph::new(Network::Facebook, 5));
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    while let Some(request) = run.next() {
        let body =
            if request.operation == "me" { json!({"id": PAGE}) } else { json!({"data": []}) }.to_string();
        let usage = r#"{"7": [{"type": "ads_management", "call_count": 95,
            "estimated_time_to_regain_access": 120}]}"#;
        let header =
            |name: &str| (name == "x-business-use-case-usage" && request.operation == "ads").then_some(usage);
        let answer = NetworkResponse { status: 200, header: &header, body: body.as_bytes() };
        assert_eq!(run.on_response(&answer, now).verdict, Verdict::Fine, "{}", request.operation);
        run.on_stored(crate::poll::Stored::default());
    }
    let kept: super::Checkpoint = serde_json::from_str(&run.checkpoint()).unwrap();
    assert_eq!(kept.edges["ads"].next, Some(NOW + 120 * 60));
}

#[test]
fn many_ads_take_a_share_of_each_tick() {
    let mut case = AdWorld::new(Network::Facebook);
    for nth in 0..60 {
        case.dark(&format!("501_{nth}"), NOW - 10_000 + nth);
        case.ad(&format!("12{nth}"), &json!({"effective_object_story_id": format!("501_{nth}")}));
    }
    for nth in 0..30 {
        let before = case.world.graph.calls.len();
        case.tick();
        let calls = &case.world.graph.calls[before..];
        let reads = calls.iter().filter(|call| call.operation == "posts" && call.path.contains('_')).count();
        let looks = calls.iter().filter(|call| call.operation == "comments").count();
        assert!(reads <= 10 && looks <= 5, "tick {nth}: {reads} reads, {looks} looks");
    }
    let posts = case.things().into_iter().filter(|thing| thing.starts_with("post:")).count();
    let comments = case.things().len() - posts;
    assert_eq!((posts, comments), (60, 20), "the newest 20 are looked at");
}

#[test]
fn a_page_without_an_ad_account_asks_for_no_ads() {
    let mut case = AdWorld::new(Network::Facebook);
    case.driver.ad_account = None;
    case.dark("501_1", NOW - 3600);
    case.ad("120", &json!({"effective_object_story_id": "501_1"}));
    case.tick();
    assert_eq!((case.things().len(), count(&case.world.graph, "ads")), (0, 0));
}

#[test]
fn comments_on_a_post_that_mentions_the_page_come_for_a_week() {
    let mut world = World::new(Network::Facebook, 100);
    let mut driver = Driver::new();
    let mention = |id: &str, at: i64| json!({"id": id, "message": "m", "created_time": time(at)});
    world.graph.newest(PAGE, "tagged", mention("77_0", NOW - 8 * 86_400));
    world.graph.newest(PAGE, "tagged", mention("77_1", NOW - 3600));
    world.graph.newest(PAGE, "tagged", mention("78_1", NOW - 1800));
    world.graph.list("77_0", "comments");
    world.graph.list("77_1", "comments");
    let early = world.comment("77_1", NOW - 600);
    driver.tick(&mut world.graph, 100, &[]);
    assert!(driver.things().contains(&format!("comment:{early}")));
    let parent = |driver: &Driver, id: &str| {
        let found = driver.found.iter().find(|(_, reading)| reading.thing == format!("comment:{id}"));
        found.and_then(|(_, reading)| reading.content.parent.clone()).map(|parent| parent.id)
    };
    assert_eq!(parent(&driver, &early).as_deref(), Some("77_1"));
    let refused = driver.verdicts.iter().filter(|verdict| **verdict == Verdict::Gone).count();
    assert_eq!(refused, 1, "somebody's post whose comments a page's token may not see");
    let late = world.comment("77_1", NOW + 60);
    for _ in 0..5 {
        world.graph.now += TICK;
        driver.tick(&mut world.graph, 100, &[]);
    }
    assert!(driver.things().contains(&format!("comment:{late}")));
    let looks = |graph: &Graph, id: &str| {
        graph.calls.iter().filter(|call| call.path.ends_with(&format!("{id}/comments"))).count()
    };
    assert_eq!(
        [looks(&world.graph, "77_0"), looks(&world.graph, "77_1"), looks(&world.graph, "78_1")],
        [0, 2, 1]
    );
    world.graph.now = NOW + 8 * 86_400;
    driver.tick(&mut world.graph, 100, &[]);
    assert_eq!(looks(&world.graph, "77_1"), 2, "its week is over");
    let narrowed = |verdict: &Verdict| matches!(verdict, Verdict::Token(_));
    assert!(!driver.verdicts.iter().any(narrowed));
}
