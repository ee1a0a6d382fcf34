use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collected::{Kind, Published};
use crate::inbox::EntryKey;
use crate::network::{Network, NetworkId};
use crate::poll::OperatorFault;
use crate::poll::test_support::{
    self, Driven, Fault, InMemory, Reply, START_MS, Tick, any_body, at, drive, kept, keys, query, readings,
    samples, things, ticks,
};
use crate::push::split;

const PAGE: &str = "900100200300400500";

fn page() -> NetworkId {
    PAGE.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    test_support::scope(PAGE, now)
}

fn settings() -> Settings {
    Settings { page_size: 5, ..Settings::default() }
}

fn id(ms: i64, nth: i64) -> i64 {
    ((ms - EPOCH_MS) << 22) | nth
}

/// X, in memory: lists of ids, newest first.
#[derive(Default)]
struct FakeNetwork {
    posts: Vec<i64>,
    mentions: Vec<i64>,
    messages: Vec<i64>,
}

impl FakeNetwork {
    fn all(&self) -> std::collections::BTreeSet<String> {
        let posts = self.posts.iter().chain(&self.mentions).map(|id| format!("post:{id}"));
        posts.chain(self.messages.iter().map(|id| format!("message:{id}"))).collect()
    }
}

impl InMemory for FakeNetwork {
    type Checkpoint = Checkpoint;

    fn add(&mut self, count: usize, ms: i64) {
        for nth in 0..count {
            let nth = i64::try_from(nth).unwrap();
            let list = match nth % 3 {
                0 => &mut self.posts,
                1 => &mut self.mentions,
                _ => &mut self.messages,
            };
            list.insert(0, id(ms + nth * 1000, nth));
        }
    }

    fn answer(&self, request: &NetworkRequest) -> Reply {
        assert_eq!((request.to, request.method, request.auth), (Endpoint::Api, Method::Get, Auth::Bearer));
        let number = |name| query(request, name).and_then(|text: String| text.parse::<i64>().ok());
        let list = match request.path.as_str() {
            "/2/users/me" => return Reply::json(200, &json!({"data": {"id": PAGE, "name": "Loja"}})),
            "/2/dm_events" => &self.messages,
            path if path == format!("/2/users/{PAGE}/mentions") => &self.mentions,
            path if path == format!("/2/users/{PAGE}/tweets") => &self.posts,
            path => panic!("{path}"),
        };
        let start = query(request, "start_time").map(|at| at.parse::<Timestamp>().unwrap().as_millisecond());
        let begin = start.map_or(0, |ms| id(ms, 0));
        let (since, below) =
            (number("since_id").unwrap_or(0), number("pagination_token").unwrap_or(i64::MAX));
        let rest = list.iter().filter(|&&id| id > since && id >= begin && id < below);
        let rest: Vec<i64> = rest.copied().collect();
        let most = usize::try_from(number("max_results").unwrap()).unwrap();
        let shown = &rest[..rest.len().min(most)];
        let next = (rest.len() > most).then(|| shown[most - 1].to_string());
        let meta = json!({"result_count": shown.len(), "next_token": next});
        if shown.is_empty() {
            return Reply::json(200, &json!({"meta": meta}));
        }
        let by = if request.operation == "posts" { PAGE } else { "77" };
        let data: Vec<Value> = shown.iter().map(|id| element(*id, by)).collect();
        let users =
            json!([{"id": "77", "name": "Ana", "username": "ana"}, {"id": "88", "username": "other"}]);
        Reply::json(200, &json!({"data": data, "includes": {"users": users}, "meta": meta}))
    }

    fn begin(&self, now: i64, checkpoint: Checkpoint) -> Box<dyn Collector> {
        Box::new(Collection::new(scope(now), settings(), checkpoint))
    }
}

fn element(id: i64, by: &str) -> Value {
    let made = at((id >> 22) + EPOCH_MS).to_string();
    json!({"id": id.to_string(), "text": format!("t{id}"), "author_id": by, "sender_id": by,
        "event_type": "MessageCreate", "created_at": made})
}

/// Ticks, whatever happens in them, and at last one in which nothing does.
fn collected(network: &mut FakeNetwork, ticks: Vec<Tick>) -> (Vec<Event>, Driven) {
    let (mut events, checkpoint, now) = network.ticks(ticks);
    let (first, checkpoint) = network.tick(checkpoint, now);
    // The last look back through what may be shown late is two hours after anything was new.
    let (back, checkpoint) = network.tick(checkpoint, now + 3 * 3_600_000);
    let (mut last, _) = network.tick(checkpoint, now + 3 * 3_600_000 + 901_000);
    events.extend(first.events.into_iter().chain(back.events));
    events.append(&mut last.events);
    (events, last)
}

proptest! {
    #[test]
    fn nothing_is_skipped_by_cut_or_failing_ticks(ticks in ticks()) {
        let mut network = FakeNetwork::default();
        let (events, last) = collected(&mut network, ticks);
        prop_assert_eq!(things(&events, &page()), network.all());
        prop_assert!(last.finished);
        prop_assert_eq!(last.operations(), ["posts", "mentions", "messages"], "a steady tick is a call a list");
    }

    #[test]
    fn no_answer_stops_a_run_or_makes_it_endless(
        bodies in prop::collection::vec((any_body(), prop::sample::select(vec![200_u16, 200, 200, 400, 401, 403, 404, 418, 429, 503])), 12),
    ) {
        let checkpoint = FakeNetwork::default().run_over(1, &bodies);
        let mut network = FakeNetwork::default();
        network.add(20, START_MS + 1000);
        network.tick(checkpoint, START_MS + 1_000_000);
    }
}

#[test]
fn a_first_collection_that_is_cut_goes_on() {
    let mut network = FakeNetwork::default();
    network.add(60, START_MS - 3_600_000);
    let quiet = vec![(0, 3, false, None); 6];
    let (events, last) = collected(&mut network, quiet);
    assert_eq!(things(&events, &page()), network.all());
    assert_eq!(last.requests.len(), 3);
}

#[test]
fn another_users_token_brings_in_nothing() {
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 10, false, |_| {
        Reply::json(200, &json!({"data": {"id": "1", "name": "Another"}}))
    });
    assert_eq!(driven.verdicts, [Verdict::NotThePages]);
    assert!(driven.finished && driven.events.is_empty());
    let network = FakeNetwork::default();
    let mut run = Collection::new(scope(START_MS), settings(), kept(&run));
    let driven = drive(&mut run, at(START_MS), 10, false, |request| network.answer(request));
    assert_eq!(driven.operations(), ["me", "posts", "mentions", "messages"]);
    let mut run = Collection::new(Scope { token_version: 2, ..scope(START_MS) }, settings(), kept(&run));
    let driven = drive(&mut run, at(START_MS), 10, false, |request| network.answer(request));
    assert_eq!(driven.operations()[0], "me");
}

#[test]
fn a_limit_on_one_list_leaves_the_others() {
    let mut network = FakeNetwork::default();
    network.add(30, START_MS - 600_000);
    let reset = START_MS / 1000 + 1200;
    let limited = |request: &NetworkRequest| match request.operation {
        "posts" if query(request, "pagination_token").is_some() => {
            Reply::json(429, &json!({"title": "Too Many Requests", "type": "about:blank", "status": 429}))
                .with("x-rate-limit-remaining", 0)
                .with("x-rate-limit-reset", reset)
        }
        _ => network.answer(request),
    };
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let first = drive(&mut run, at(START_MS), 100, false, limited);
    let until = Timestamp::from_second(reset).unwrap();
    assert_eq!(first.verdicts[2], Verdict::Wait { until, of: CooldownScope::ThisOperation });
    assert_eq!(first.operations(), ["me", "posts", "posts", "mentions", "mentions", "messages", "messages"]);
    let next = START_MS + 900_000;
    let mut run = Collection::new(scope(next), settings(), kept(&run));
    let second = drive(&mut run, at(next), 100, false, limited);
    assert_eq!(second.operations(), ["mentions", "messages"], "posts rest for five minutes more");
    let third = next + 900_000;
    let mut run = Collection::new(scope(third), settings(), kept(&run));
    let third = drive(&mut run, at(third), 100, false, |request| network.answer(request));
    // The rest of the posts, and once more through what the last two hours may show late.
    let expected = ["posts", "posts", "posts", "mentions", "mentions", "messages", "messages"];
    assert_eq!(third.operations(), expected);
    let events: Vec<Event> = [first, second, third].into_iter().flat_map(|driven| driven.events).collect();
    assert_eq!(things(&events, &page()), network.all());
}

#[test]
fn a_token_that_dies_ends_the_tick_and_a_new_one_resumes() {
    let mut network = FakeNetwork::default();
    network.add(60, START_MS - 600_000);
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let mut calls = 0;
    let first = drive(&mut run, at(START_MS), 100, false, |request| {
        calls += 1;
        if calls > 3 { Fault::TokenDied.reply() } else { network.answer(request) }
    });
    assert_eq!(first.verdicts.last(), Some(&Verdict::Token(TokenTrouble::Expired)));
    assert_eq!(first.requests.len(), 4, "nothing is asked with a dead token");
    let renewed = Scope { token_version: 2, ..scope(START_MS + 900_000) };
    let mut run = Collection::new(renewed, settings(), kept(&run));
    let second = drive(&mut run, at(START_MS + 900_000), 100, false, |request| network.answer(request));
    assert_eq!(query(&second.requests[2], "pagination_token"), query(&first.requests[3], "pagination_token"));
    let events: Vec<Event> = first.events.into_iter().chain(second.events).collect();
    assert_eq!(things(&events, &page()), network.all());
}

#[test]
fn a_late_mention_is_told_by_the_tick_after_it_is_listed() {
    let minute = 60_000;
    for late in [5, 30, 60, 119] {
        let mut network = FakeNetwork { mentions: vec![id(START_MS - minute, 0)], ..FakeNetwork::default() };
        let (_, mut checkpoint) = network.tick(Checkpoint::default(), START_MS);
        let older = id(START_MS - 2 * minute, 0);
        let shown = START_MS + (late - 2) * minute;
        let mut found_at = None;
        for tick in 1..12 {
            let now = START_MS + tick * 15 * minute;
            if shown <= now && network.mentions.len() == 1 {
                network.mentions.push(older);
            }
            let (driven, after) = network.tick(checkpoint, now);
            assert_eq!(driven.operations(), ["posts", "mentions", "messages"], "no call more");
            if things(&driven.events, &page()).contains(&format!("post:{older}")) {
                found_at.get_or_insert(now);
            }
            checkpoint = after;
        }
        assert!(found_at.is_some_and(|at| at - shown <= 15 * minute), "{late}: {found_at:?}");
    }
}

#[test]
fn a_quiet_list_answers_nothing_that_is_to_be_paid() {
    let mut network = FakeNetwork::default();
    network.add(9, START_MS - 60_000);
    let (_, mut checkpoint) = network.tick(Checkpoint::default(), START_MS);
    let mut read = Vec::new();
    for tick in 1..16 {
        let (driven, after) = network.tick(checkpoint, START_MS + tick * 900_000);
        assert_eq!(driven.requests.len(), 3);
        read.push(driven.events.len());
        checkpoint = after;
    }
    assert!(read[..8].iter().all(|read| *read <= 9), "{read:?}");
    assert!(read[12..].iter().all(|read| *read == 0), "two hours after nothing is read again: {read:?}");
}

#[test]
fn a_checkpoint_of_before_is_read_and_nothing_is_skipped() {
    let top = id(START_MS - 600_000, 0);
    let mut network = FakeNetwork { posts: vec![top], ..FakeNetwork::default() };
    let old = format!(r#"{{"checked":1,"posts":{{"walks":{{"top":{top},"gaps":[]}},"rests_until":null}}}}"#);
    network.posts.insert(0, id(START_MS - 1000, 0));
    network.posts.push(id(START_MS - 1_200_000, 0));
    let (driven, _) = network.tick(serde_json::from_str(&old).unwrap(), START_MS);
    assert_eq!(things(&driven.events, &page()), network.all());
}

#[test]
fn each_error_has_its_verdict() {
    let now = at(START_MS);
    let said = |status, body: Value, headers: &[(&'static str, i64)]| {
        let reply = Reply::json(status, &body);
        let reply = headers.iter().fold(reply, |reply, (name, value)| reply.with(name, *value));
        reply.told(|answer| verdict(answer, now))
    };
    let problem = |kind: &str| format!("https://api.twitter.com/2/problems/{kind}");
    let partial = json!({"data": [], "errors": [{"type": problem("resource-not-found")}]});
    assert_eq!(said(200, partial, &[]), Verdict::Fine);
    let gone = json!({"errors": [{"type": problem("resource-not-found"), "title": "Not Found Error"}]});
    assert_eq!(said(200, gone, &[]), Verdict::Gone);
    assert_eq!(said(401, json!({"title": "Unauthorized"}), &[]), Verdict::Token(TokenTrouble::Expired));
    let narrowed = Verdict::Token(TokenTrouble::Narrowed(None));
    let forbidden = json!({"type": problem("not-authorized-for-resource"), "status": 403});
    assert_eq!(said(403, forbidden, &[]), narrowed);
    let plan = json!({"type": problem("client-forbidden"), "reason": "client-not-enrolled"});
    for (status, body, fault) in [
        (403, plan, OperatorFault::AppAccess),
        (
            403,
            json!({"type": problem("client-forbidden"), "title": "Client Forbidden"}),
            OperatorFault::AppAccess,
        ),
        (403, json!({"type": problem("oauth1-permissions")}), OperatorFault::AppAccess),
        (
            403,
            json!({"errors": [{"code": 453, "message": "a subset of X API V2"}]}),
            OperatorFault::AppAccess,
        ),
        (
            401,
            json!({"errors": [{"code": 416, "message": "Invalid / suspended application"}]}),
            OperatorFault::AppRejected,
        ),
        (
            402,
            json!({"title": "CreditsDepleted", "type": problem("credits")}),
            OperatorFault::CreditsDepleted,
        ),
        (
            429,
            json!({"type": problem("usage-capped"), "title": "UsageCapExceeded", "period": "Daily"}),
            OperatorFault::UsageCapped,
        ),
    ] {
        assert_eq!(said(status, body.clone(), &[]), Verdict::OurFault(fault), "{body}");
    }
    let user = json!({"type": problem("client-forbidden"), "reason": "user-not-enrolled"});
    assert_eq!(
        said(403, user, &[]),
        Verdict::Token(TokenTrouble::Narrowed(None)),
        "the page's owner has to act"
    );
    let second = START_MS / 1000;
    let wait = |seconds, of| Verdict::Wait { until: Timestamp::from_second(second + seconds).unwrap(), of };
    let limited = |headers: &[(&'static str, i64)]| said(429, json!({"title": "Too Many Requests"}), headers);
    assert_eq!(limited(&[("x-rate-limit-reset", second + 60)]), wait(60, CooldownScope::ThisOperation));
    assert_eq!(limited(&[("x-rate-limit-reset", second - 60)]), wait(1, CooldownScope::ThisOperation));
    assert_eq!(limited(&[("x-rate-limit-reset", i64::MAX)]), wait(900, CooldownScope::ThisOperation));
    let day = [
        ("x-rate-limit-reset", second),
        ("x-app-limit-24hour-remaining", 0),
        ("x-app-limit-24hour-reset", second + 5000),
    ];
    assert_eq!(limited(&day), wait(5000, CooldownScope::TheApp));
    assert_eq!(said(500, json!({}), &[]), Verdict::Transient);
    assert_eq!(said(200, json!([]), &[]), Verdict::Malformed);
}

#[test]
fn what_is_pushed_and_polled_is_one_entry() {
    let named = json!([{"start": 3, "end": 8, "username": "loja", "id": PAGE}]);
    let new = json!({"id": "1992000000000000123", "author_id": "77", "created_at": "2026-11-21T12:00:05.000Z",
        "text": "oi @loja", "entities": {"mentions": named}, "attachments": {"media_keys": ["3_5"]}});
    let old = json!({"created_at": "Sat Nov 21 12:00:05 +0000 2026", "id_str": "1992000000000000123",
        "text": "oi @loja", "user": {"id_str": "77", "name": "Ana", "screen_name": "ana"},
        "entities": {"user_mentions": [{"screen_name": "loja", "id_str": PAGE}],
            "media": [{"id_str": "5", "type": "photo", "media_url_https": "https://pbs.twimg.com/a.jpg"}]}});
    let message = json!({"id": "1992000000000000999", "event_type": "MessageCreate", "text": "oi", "sender_id": "77",
        "created_at": "2026-11-22T11:00:00.000Z"});
    let pushed_message = json!({"id": "1992000000000000999", "type": "message_create", "created_timestamp": "1795345200000",
        "message_create": {"sender_id": "77", "target": {"recipient_id": PAGE}, "message_data": {"text": "oi"}}});
    let pushes = [
        json!({"for_user_id": PAGE, "tweet_create_events": [old], "direct_message_events": [pushed_message]}),
        json!({"data": {"event_uuid": "1", "filter": {"user_id": PAGE}, "event_type": "post.mention.create", "payload": new}}),
    ];
    let pushed: Vec<Event> = pushes
        .iter()
        .flat_map(|push| split(Network::X, push.to_string().as_bytes()))
        .map(|update| update.event)
        .collect();
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let polled = drive(&mut run, at(START_MS), 10, false, |request| match request.operation {
        "mentions" => Reply::json(
            200,
            &json!({"data": [new], "includes": {
            "users": [{"id": "77", "name": "Ana", "username": "ana"}],
            "media": [{"media_key": "3_5", "type": "photo", "url": "https://pbs.twimg.com/a.jpg"}]}, "meta": {}}),
        ),
        "messages" => Reply::json(200, &json!({"data": [message], "meta": {}})),
        _ => FakeNetwork::default().answer(request),
    });
    let page = page();
    assert_eq!(keys(&pushed, &page), keys(&polled.events, &page));
    assert_eq!((pushed.len(), polled.events.len()), (3, 2));
    let reading = &readings(&polled.events, &page)[0];
    assert_eq!((reading.content.kind, reading.content.published), (Kind::Mention, Published::Interaction));
    assert_eq!(reading.content.author.as_ref().unwrap().username.as_deref(), Some("ana"));
    assert_eq!(reading.content.attachments[0].url.as_deref(), Some("https://pbs.twimg.com/a.jpg"));
}

#[test]
fn an_event_has_only_the_includes_that_it_names() {
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let body = r#"{"data":[{"id":"5","author_id":"77", "n":1.10,"referenced_tweets":[{"type":"quoted","id":"9"}]}],
        "includes":{"users":[{"id":"77","username":"ana"},{"id":"88","username":"eva"},{"id":"99","username":"x"}],
        "tweets":[{"id":"9","author_id":"88"},{"id":"10","author_id":"99"}]},"meta":{"next_token":null}}"#;
    let driven = drive(&mut run, at(START_MS), 2, false, |request| match request.operation {
        "me" => FakeNetwork::default().answer(request),
        _ => Reply { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() },
    });
    let raw = driven.events[0].raw.get();
    assert!(raw.contains(r#""payload":{"id":"5","author_id":"77", "n":1.10,"#), "{raw}");
    assert!(raw.contains("eva") && raw.contains("ana") && !raw.contains("\"99\""), "{raw}");
}

#[test]
fn real_answers_are_read_where_they_are_given() {
    for (name, body) in samples("x", "api-v2-") {
        let mut run =
            Collection::new(Scope { from: at(0), ..scope(START_MS) }, settings(), Checkpoint::default());
        let driven = drive(&mut run, at(START_MS), 2, false, |request| match request.operation {
            "me" => FakeNetwork::default().answer(request),
            _ => Reply { status: 200, headers: Vec::new(), body: body.clone() },
        });
        let elements = serde_json::from_slice::<Value>(&body).unwrap()["data"].as_array().map_or(0, Vec::len);
        let keys: std::collections::BTreeSet<EntryKey> = keys(&driven.events, &page());
        println!("{name}: {elements} elements, {} events, {} entries", driven.events.len(), keys.len());
        assert_eq!(driven.events.len(), elements, "{name}");
    }
    for (name, body) in samples("x", "error-") {
        let reply = Reply { status: 400, headers: Vec::new(), body };
        assert_eq!(reply.told(|answer| verdict(answer, at(START_MS))), Verdict::Malformed, "{name}");
    }
}
