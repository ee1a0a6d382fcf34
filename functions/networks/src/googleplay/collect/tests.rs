use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::Event;
use crate::network::NetworkId;
use crate::poll::test_support::{
    self, InMemory, Reply, START_MS, Tick, any_body, at, drive, keys, query, readings, ticks,
};

const APP: &str = "br.com.loja";

fn page() -> NetworkId {
    APP.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    test_support::scope(APP, now)
}

fn settings() -> Settings {
    Settings { page_size: 4, ..Settings::default() }
}

/// Reviews in memory: id, when it was changed, and when it was answered.
#[derive(Default)]
struct FakeNetwork(Vec<(usize, i64, Option<i64>)>);

impl FakeNetwork {
    fn newest_first(&self) -> Vec<Value> {
        let mut all = self.0.clone();
        all.sort_by_key(|(_, at, _)| std::cmp::Reverse(*at));
        all.into_iter().map(|(id, at, answered)| review(id, at, answered)).collect()
    }

    /// All that there is to tell, as a walk through the whole list finds it.
    fn events(&self) -> Vec<Event> {
        let body = json!({"reviews": self.newest_first()}).to_string();
        let body = members(body.as_bytes()).unwrap();
        found::reviews(&body, i64::MIN, &scope(START_MS), &Remembered::default()).unwrap().events
    }
}

impl InMemory for FakeNetwork {
    type Checkpoint = Checkpoint;

    fn add(&mut self, count: usize, ms: i64) {
        for nth in 0..count {
            let (at, had) = (ms + 1000 * i64::try_from(nth).unwrap(), self.0.len());
            match nth % 3 {
                1 if had > 0 => self.0[(count * 7 + nth) % had].1 = at,
                2 if had > 0 => self.0[(count * 5 + nth) % had].2 = Some(at),
                _ => self.0.push((had, at, None)),
            }
        }
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

    fn begin(&self, now: i64, checkpoint: Checkpoint) -> Box<dyn Collector> {
        Box::new(Collection::new(scope(now), settings(), checkpoint))
    }
}

fn review(id: usize, at: i64, answered: Option<i64>) -> Value {
    let mut comments = vec![json!({"userComment": {"text": "Bom\tGostei", "starRating": 5,
        "lastModified": {"seconds": (at / 1000).to_string(), "nanos": 5}}})];
    comments.extend(answered.map(
        |at| json!({"developerComment": {"text": "Obrigado", "lastModified": {"seconds": (at / 1000).to_string()}}}),
    ));
    json!({"reviewId": format!("r{id}"), "authorName": "Ana", "comments": comments})
}

fn collected(network: &mut FakeNetwork, ticks: Vec<Tick>) -> Vec<Event> {
    let (mut events, mut checkpoint, now) = network.ticks(ticks);
    for later in [7, 14] {
        let (driven, next) = network.tick(checkpoint, now + later * 3_600_000);
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
        body in any_body(), status in prop::sample::select(vec![200_u16, 200, 200, 400, 401, 403, 404, 429, 503]),
    ) {
        let checkpoint = FakeNetwork::default().run_over(0, &[(body.clone(), status), (body.clone(), status), (body, status)]);
        let mut network = FakeNetwork::default();
        network.add(9, START_MS + 10_000);
        let (driven, _) = network.tick(checkpoint, START_MS + 901_000);
        let missing: Vec<_> =
            keys(&network.events(), &page()).difference(&keys(&driven.events, &page())).cloned().collect();
        prop_assert_eq!(missing, Vec::new());
    }
}

#[test]
fn a_changed_review_is_one_more_item_and_a_repeated_one_is_none() {
    let mut network = FakeNetwork(vec![(1, START_MS - 3_000_000, None)]);
    let (first, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    let (again, checkpoint) = network.tick(checkpoint, START_MS + 900_000);
    assert_eq!(keys(&again.events, &page()), keys(&first.events, &page()), "told again, and known");
    network.0[0].1 = START_MS + 1_000_000;
    let (changed, _) = network.tick(checkpoint, START_MS + 1_800_000);
    let (old, new) = (&readings(&first.events, &page())[0], &readings(&changed.events, &page())[0]);
    assert_eq!((&old.thing, old.content.action), (&new.thing, Action::Created));
    assert_ne!(old.version, new.version);
    assert_eq!((new.content.action, new.content.kind), (Action::Edited, Kind::Review));
    assert_eq!(new.content.text.as_deref(), Some("Bom\tGostei"));
    assert_eq!(new.content.occurred_at, Some(at(START_MS + 1_000_000)));
}

#[test]
fn an_answer_to_an_older_review_is_found_within_hours() {
    let mut network = FakeNetwork(
        (0..20).map(|nth| (nth, START_MS - 60_000 - 1000 * i64::try_from(nth).unwrap(), None)).collect(),
    );
    let (_, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    network.0[19].2 = Some(START_MS + 60_000);
    let (_, checkpoint) = network.tick(checkpoint, START_MS + 7_200_000);
    let (swept, _) = network.tick(checkpoint, START_MS + 6 * 3_600_000);
    let readings = readings(&swept.events, &page());
    let reply = readings.iter().find(|reading| reading.thing == "review_reply:r19").unwrap();
    assert_eq!((reply.content.published, reply.content.kind), (Published::ByThePage, Kind::Reply));
    assert_eq!(reply.content.parent.as_ref().unwrap().id, "r19");
    assert_eq!(reply.content.text.as_deref(), Some("Obrigado"));
}

#[test]
fn a_reviews_stars_are_its_rating() {
    let network = FakeNetwork(vec![(1, START_MS, Some(START_MS))]);
    let told = readings(&network.events(), &page());
    let stars = told.iter().map(|one| (one.network_id(), one.content.rating.and_then(|rating| rating.stars)));
    assert_eq!(stars.collect::<Vec<_>>(), [(Some("r1"), Some(5)), (Some("r1"), None)]);
}

#[test]
fn a_quiet_app_is_one_call_a_tick() {
    let (first, checkpoint) = FakeNetwork::default().tick(Checkpoint::default(), START_MS);
    let (second, _) = FakeNetwork::default().tick(checkpoint, START_MS + 900_000);
    for driven in [first, second] {
        assert_eq!((driven.operations(), driven.verdicts), (vec!["reviews"], vec![Verdict::Fine]));
    }
}

#[test]
fn refusals_are_the_tokens_and_limits_end_with_the_hour() {
    let said = |status, body: Value| {
        let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
        let driven = drive(&mut run, at(START_MS + 60_000), 5, false, |_| Reply::json(status, &body));
        assert!(driven.finished);
        driven.verdicts[0].clone()
    };
    let denied = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "The caller does not have permission"}});
    let narrowed = |word: Option<&str>| Verdict::Token(TokenTrouble::Narrowed(word.map(str::to_owned)));
    assert_eq!(said(403, denied), narrowed(None));
    assert_eq!(said(404, json!({})), narrowed(None));
    assert_eq!(said(401, json!({})), Verdict::Token(TokenTrouble::Expired));
    let quota = json!({"error": {"code": 403, "errors": [{"reason": "quotaExceeded"}]}});
    assert_eq!(
        said(403, quota),
        Verdict::Wait { until: at(START_MS + 3_600_000), of: CooldownScope::ThePage }
    );
    assert_eq!(said(503, json!({})), Verdict::Transient);
}

#[test]
fn a_review_without_a_time_is_keyed_by_its_content() {
    let body = json!({"reviews": [
        {"reviewId": "a", "comments": [{"userComment": {"text": "\tRuim", "starRating": 1}}]},
        {"reviewId": "a", "comments": [{"userComment": {"text": "\tRuim", "starRating": 2}}]},
        {"reviewId": "b"}, 7, {"comments": []},
    ]});
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let driven = drive(&mut run, at(START_MS), 1, false, |_| Reply::json(200, &body));
    let readings = readings(&driven.events, &page());
    assert_eq!(readings[0].content.text.as_deref(), Some("Ruim"));
    assert_eq!((&readings[0].thing, &readings[0].content.author), (&readings[1].thing, &None));
    assert_ne!(readings[0].version, readings[1].version);
    assert_eq!(readings[3].content.kind, Kind::Other, "what has no id is told as it is");
}
