use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::Event;
use crate::network::NetworkId;
use crate::poll::test_support::{Driven, Reply, Tick, any_body, drive, kept, keys, query, readings, ticks};

const APP: &str = "br.com.loja";
const START: i64 = 1_795_348_800; // 2026-11-22T12:00:00Z

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn page() -> NetworkId {
    APP.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    Scope { owner: page(), token_version: 1, from: at(START - 86_400), now: at(now) }
}

fn settings() -> Settings {
    Settings { page_size: 4, ..Settings::default() }
}

/// Reviews in memory: id, when it was changed, and when it was answered.
#[derive(Default)]
struct FakeNetwork(Vec<(usize, i64, Option<i64>)>);

impl FakeNetwork {
    fn add(&mut self, count: usize, second: i64) {
        for nth in 0..count {
            let (at, had) = (second + i64::try_from(nth).unwrap(), self.0.len());
            match nth % 3 {
                1 if had > 0 => self.0[(count * 7 + nth) % had].1 = at,
                2 if had > 0 => self.0[(count * 5 + nth) % had].2 = Some(at),
                _ => self.0.push((had, at, None)),
            }
        }
    }

    fn newest_first(&self) -> Vec<Value> {
        let mut all = self.0.clone();
        all.sort_by_key(|(_, at, _)| std::cmp::Reverse(*at));
        all.into_iter().map(|(id, at, answered)| review(id, at, answered)).collect()
    }

    fn answer(&self, request: &NetworkRequest) -> Reply {
        assert_eq!(request.path, "/androidpublisher/v3/applications/br.com.loja/reviews");
        let most: usize = query(request, "maxResults").unwrap().parse().unwrap();
        let from = query(request, "token").map_or(0, |token| token.parse::<usize>().unwrap());
        let all = self.newest_first();
        let shown: Vec<&Value> = all.iter().skip(from).take(most).collect();
        if shown.is_empty() {
            return Reply::json(200, &json!({}));
        }
        let mut body = json!({"reviews": shown});
        if from + most < all.len() {
            // One is shown again, as a list that moves on shows it.
            body["tokenPagination"] = json!({"nextPageToken": (from + most - 1).to_string()});
        }
        Reply::json(200, &body)
    }

    /// All that there is to tell, as a walk through the whole list finds it.
    fn events(&self) -> Vec<Event> {
        let body = json!({"reviews": self.newest_first()}).to_string();
        let body = members(body.as_bytes()).unwrap();
        found::reviews(&body, i64::MIN, &scope(START), &Remembered::default()).unwrap().events
    }
}

fn review(id: usize, at: i64, answered: Option<i64>) -> Value {
    let mut comments = vec![json!({"userComment": {"text": "Bom\tGostei", "starRating": 5,
        "lastModified": {"seconds": at.to_string(), "nanos": 5}}})];
    comments.extend(answered.map(
        |at| json!({"developerComment": {"text": "Obrigado", "lastModified": {"seconds": at.to_string()}}}),
    ));
    json!({"reviewId": format!("r{id}"), "authorName": "Ana", "comments": comments})
}

fn tick(network: &FakeNetwork, checkpoint: Checkpoint, now: i64) -> (Driven, Checkpoint) {
    let mut run = Collection::new(scope(now), settings(), checkpoint);
    let driven = drive(&mut run, at(now), 1000, false, |request| network.answer(request));
    assert!(driven.finished);
    (driven, kept(&run))
}

fn collected(network: &mut FakeNetwork, ticks: Vec<Tick>) -> Vec<Event> {
    let (mut checkpoint, mut events, mut now) = (Checkpoint::default(), Vec::new(), START);
    for (new, calls, torn, wrong) in ticks {
        network.add(new, now - 300);
        let mut run = Collection::new(scope(now), settings(), checkpoint);
        let mut call = 0;
        let driven = drive(&mut run, at(now), calls, torn, |request| {
            call += 1;
            wrong
                .filter(|(nth, _)| *nth == call)
                .map_or_else(|| network.answer(request), |(_, how)| how.reply())
        });
        events.extend(driven.events);
        checkpoint = kept(&run);
        now += 901;
    }
    for _ in 0..2 {
        now += 7 * 3600;
        let (driven, next) = tick(network, checkpoint, now);
        events.extend(driven.events);
        checkpoint = next;
    }
    events
}

proptest! {
    #[test]
    fn nothing_is_skipped_by_cut_or_failing_ticks(ticks in ticks()) {
        let mut network = FakeNetwork::default();
        let found = keys(&collected(&mut network, ticks), &page());
        let missing: Vec<_> = keys(&network.events(), &page()).difference(&found).cloned().collect();
        prop_assert_eq!(missing, Vec::new());
    }

    #[test]
    fn no_answer_stops_a_run_or_makes_it_endless(
        body in any_body(), status in prop::sample::select(vec![200, 200, 200, 400, 401, 403, 404, 429, 503]),
    ) {
        let mut run = Collection::new(scope(START), settings(), Checkpoint::default());
        drop(drive(&mut run, at(START), 3, false, |_| Reply { status, headers: Vec::new(), body: body.clone() }));
        let mut network = FakeNetwork::default();
        network.add(9, START + 10);
        let (driven, _) = tick(&network, kept(&run), START + 901);
        let missing: Vec<_> =
            keys(&network.events(), &page()).difference(&keys(&driven.events, &page())).cloned().collect();
        prop_assert_eq!(missing, Vec::new());
    }
}

#[test]
fn a_changed_review_is_one_more_item_and_a_repeated_one_is_none() {
    let mut network = FakeNetwork(vec![(1, START - 3000, None)]);
    let (first, checkpoint) = tick(&network, Checkpoint::default(), START);
    let (again, checkpoint) = tick(&network, checkpoint, START + 900);
    assert!(again.events.is_empty());
    network.0[0].1 = START + 1000;
    let (changed, _) = tick(&network, checkpoint, START + 1800);
    let (old, new) = (&readings(&first.events, &page())[0], &readings(&changed.events, &page())[0]);
    assert_eq!((&old.thing, old.content.action), (&new.thing, Action::Created));
    assert_ne!(old.version, new.version);
    assert_eq!((new.content.action, new.content.kind), (Action::Edited, Kind::Review));
    assert_eq!(new.content.text.as_deref(), Some("Bom\tGostei"));
    assert_eq!(new.content.occurred_at, Some(at(START + 1000)));
}

#[test]
fn an_answer_to_an_older_review_is_found_within_hours() {
    let mut network =
        FakeNetwork((0..20).map(|nth| (nth, START - 60 - i64::try_from(nth).unwrap(), None)).collect());
    let (_, checkpoint) = tick(&network, Checkpoint::default(), START);
    network.0[19].2 = Some(START + 60);
    let (_, checkpoint) = tick(&network, checkpoint, START + 7200);
    let (swept, _) = tick(&network, checkpoint, START + 6 * 3600);
    let readings = readings(&swept.events, &page());
    let reply = readings.iter().find(|reading| reading.thing == "review_reply:r19").unwrap();
    assert_eq!((reply.content.published, reply.content.kind), (Published::ByThePage, Kind::Reply));
    assert_eq!(reply.content.parent.as_ref().unwrap().id, "r19");
    assert_eq!(reply.content.text.as_deref(), Some("Obrigado"));
}

#[test]
fn a_quiet_app_is_one_call_a_tick() {
    let (first, checkpoint) = tick(&FakeNetwork::default(), Checkpoint::default(), START);
    let (second, _) = tick(&FakeNetwork::default(), checkpoint, START + 900);
    for driven in [first, second] {
        assert_eq!((driven.operations(), driven.verdicts), (vec!["reviews"], vec![Verdict::Fine]));
    }
}

#[test]
fn refusals_are_the_tokens_and_limits_end_with_the_hour() {
    let said = |status, body: Value| {
        let mut run = Collection::new(scope(START), settings(), Checkpoint::default());
        let driven = drive(&mut run, at(START + 60), 5, false, |_| Reply::json(status, &body));
        assert!(driven.finished);
        driven.verdicts[0].clone()
    };
    let denied = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "The caller does not have permission"}});
    let narrowed = |word: Option<&str>| Verdict::Token(TokenTrouble::Narrowed(word.map(str::to_owned)));
    assert_eq!(said(403, denied), narrowed(Some("PERMISSION_DENIED")));
    assert_eq!(said(404, json!({})), narrowed(None));
    assert_eq!(said(401, json!({})), Verdict::Token(TokenTrouble::Expired));
    let quota = json!({"error": {"code": 403, "errors": [{"reason": "quotaExceeded"}]}});
    assert_eq!(said(403, quota), Verdict::Wait { until: at(START + 3600), of: CooldownScope::ThePage });
    assert_eq!(said(503, json!({})), Verdict::Transient);
}

#[test]
fn a_review_without_a_time_is_keyed_by_its_content() {
    let body = json!({"reviews": [
        {"reviewId": "a", "comments": [{"userComment": {"text": "\tRuim", "starRating": 1}}]},
        {"reviewId": "a", "comments": [{"userComment": {"text": "\tRuim", "starRating": 2}}]},
        {"reviewId": "b"}, 7, {"comments": []},
    ]});
    let mut run = Collection::new(scope(START), settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START), 1, false, |_| Reply::json(200, &body));
    let readings = readings(&driven.events, &page());
    assert_eq!(readings[0].content.text.as_deref(), Some("Ruim"));
    assert_eq!((&readings[0].thing, &readings[0].content.author), (&readings[1].thing, &None));
    assert_ne!(readings[0].version, readings[1].version);
    assert_eq!(readings[3].content.kind, Kind::Other, "what has no id is told as it is");
}
