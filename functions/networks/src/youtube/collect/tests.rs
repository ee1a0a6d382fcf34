use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::network::NetworkId;
use crate::poll::OperatorFault;
use crate::poll::test_support::{
    self, Driven, InMemory, Reply, START_MS, Tick, any_body, at, drive, kept, query, readings, samples,
    things, ticks,
};

const PAGE: &str = "UCloja";
const HOUR_MS: i64 = 3_600_000;

fn page() -> NetworkId {
    PAGE.parse().unwrap()
}

fn scope(now: i64) -> Scope {
    test_support::scope(PAGE, now)
}

fn settings() -> Settings {
    Settings { videos: 3, comments: 4, ..Settings::default() }
}

struct Made {
    id: String,
    at: i64,
    changed: i64,
    answers: Vec<(String, i64)>,
    public: bool,
}

fn made(id: String, at: i64) -> Made {
    Made { id, at, changed: at, answers: Vec::new(), public: true }
}

/// A channel, in memory; both lists newest first.
#[derive(Default)]
struct FakeNetwork {
    videos: Vec<Made>,
    threads: Vec<Made>,
}

impl FakeNetwork {
    fn all(&self) -> BTreeSet<String> {
        let videos =
            self.videos.iter().filter(|video| video.public).map(|video| format!("post:{}", video.id));
        let answers = self.threads.iter().flat_map(|thread| &thread.answers).map(|(id, _)| id);
        let comments = self.threads.iter().map(|thread| &thread.id).chain(answers);
        videos.chain(comments.map(|id| format!("comment:{id}"))).collect()
    }
}

impl InMemory for FakeNetwork {
    type Checkpoint = Checkpoint;

    fn add(&mut self, count: usize, ms: i64) {
        for nth in 0..count {
            let at = ms + i64::try_from(nth).unwrap() * 1000;
            match nth % 4 {
                0 => self.videos.insert(0, made(format!("v{at}"), at)),
                1 => self.threads.insert(0, made(format!("t{at}"), at)),
                // Answers to any thread, one that is far down too.
                _ if self.threads.is_empty() => {}
                _ => {
                    let thread = usize::try_from(at / 1000).unwrap() % self.threads.len();
                    self.threads[thread].answers.push((format!("a{at}"), at));
                }
            }
        }
    }

    fn answer(&self, request: &NetworkRequest) -> Reply {
        assert_eq!(
            (request.to, request.method, request.auth, request.units),
            (Endpoint::Api, Method::Get, Auth::Bearer, 1)
        );
        let most = query(request, "maxResults").unwrap().parse().unwrap();
        let from = query(request, "pageToken");
        match request.path.as_str() {
            "/youtube/v3/channels" => Reply::json(200, &channel(PAGE)),
            "/youtube/v3/playlistItems" => {
                assert_eq!(query(request, "playlistId").as_deref(), Some("UUloja"));
                listed(&self.videos, from, most, |video| video.at, video)
            }
            "/youtube/v3/commentThreads" => {
                assert_eq!(query(request, "allThreadsRelatedToChannelId").as_deref(), Some(PAGE));
                listed(&self.threads, from, most, |thread| thread.at, thread)
            }
            "/youtube/v3/comments" => {
                let parent = query(request, "parentId").unwrap();
                let thread = self.threads.iter().find(|thread| thread.id == parent).unwrap();
                let newest: Vec<&(String, i64)> = thread.answers.iter().rev().collect();
                listed(&newest, from, most, |(_, at)| *at, |(id, at)| comment(id, *at, *at, Some(&parent)))
            }
            path => panic!("{path}"),
        }
    }

    fn begin(&self, now: i64, checkpoint: Checkpoint) -> Box<dyn Collector> {
        Box::new(Collection::new(scope(now), settings(), checkpoint))
    }
}

fn channel(id: &str) -> Value {
    json!({"items": [{"id": id, "contentDetails": {"relatedPlaylists": {"uploads": "UUloja"}}}]})
}

fn listed<T>(
    list: &[T],
    from: Option<String>,
    most: usize,
    at: impl Fn(&T) -> i64,
    show: impl Fn(&T) -> Value,
) -> Reply {
    let below = from.map_or(i64::MAX, |from| from.parse().unwrap());
    let rest: Vec<&T> = list.iter().filter(|one| at(one) < below).collect();
    let shown = &rest[..rest.len().min(most)];
    let mut body = json!({"items": shown.iter().map(|one| show(one)).collect::<Vec<_>>()});
    if rest.len() > most {
        body["nextPageToken"] = at(shown[most - 1]).to_string().into();
    }
    Reply::json(200, &body)
}

fn video(video: &Made) -> Value {
    let published = at(video.at).to_string();
    let title = format!("title {}", video.changed);
    json!({"id": "x", "snippet": {"channelId": PAGE, "channelTitle": "Loja", "title": title, "publishedAt": published},
        "contentDetails": {"videoId": video.id, "videoPublishedAt": published},
        "status": {"privacyStatus": if video.public { "public" } else { "private" }}})
}

fn comment(id: &str, published: i64, updated: i64, parent: Option<&str>) -> Value {
    let mut snippet = json!({"textDisplay": "oi", "authorDisplayName": "Ana", "authorChannelId": {"value": "UCana"},
        "publishedAt": at(published).to_string(), "updatedAt": at(updated).to_string()});
    if let Some(parent) = parent {
        snippet["parentId"] = parent.into();
    }
    json!({"id": id, "snippet": snippet})
}

/// A thread, with its first two answers.
fn thread(thread: &Made) -> Value {
    let top = comment(&thread.id, thread.at, thread.changed, None);
    let shown: Vec<Value> =
        thread.answers.iter().take(2).map(|(id, at)| comment(id, *at, *at, Some(&thread.id))).collect();
    let mut body = json!({"id": thread.id, "snippet": {"videoId": "v1", "topLevelComment": top,
        "totalReplyCount": thread.answers.len()}});
    if !shown.is_empty() {
        body["replies"] = json!({"comments": shown});
    }
    body
}

fn collected(network: &mut FakeNetwork, ticks: Vec<Tick>) -> Vec<Event> {
    let (mut events, mut checkpoint, now) = network.ticks(ticks);
    // What is far down is found when older threads are looked at again.
    for later in [7, 14] {
        let (driven, next) = network.tick(checkpoint, now + later * HOUR_MS);
        events.extend(driven.events);
        checkpoint = next;
    }
    events
}

proptest! {
    #[test]
    fn nothing_is_skipped_by_cut_or_failing_ticks(ticks in ticks()) {
        let mut network = FakeNetwork::default();
        let events = collected(&mut network, ticks);
        prop_assert_eq!(things(&events, &page()), network.all());
    }

    #[test]
    fn no_answer_stops_a_run_or_makes_it_endless(
        bodies in prop::collection::vec((any_body(), prop::sample::select(vec![200_u16, 200, 200, 400, 403, 404, 429, 503])), 12),
    ) {
        let mut checkpoint = FakeNetwork::default().run_over(1, &bodies);
        let mut network = FakeNetwork::default();
        network.add(20, START_MS + 1000);
        // What random answers may have said to wait is not there, and vanishes.
        checkpoint.waiting.clear();
        network.tick(checkpoint, START_MS + 900_000);
    }
}

#[test]
fn a_steady_tick_is_two_calls_and_tells_nothing_again() {
    let mut network = FakeNetwork::default();
    network.add(20, START_MS - HOUR_MS);
    let (first, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    assert_eq!(things(&first.events, &page()), network.all());
    assert_eq!(first.operations()[0], "channel");
    let (_, checkpoint) = network.tick(checkpoint, START_MS + 900_000);
    // Once more through what the last two hours may show late.
    let (_, checkpoint) = network.tick(checkpoint, START_MS + 3 * HOUR_MS);
    let (quiet, _) = network.tick(checkpoint, START_MS + 3 * HOUR_MS + 900_000);
    assert_eq!(quiet.operations(), ["videos", "threads"]);
    assert!(quiet.events.is_empty(), "{:?}", quiet.events);
}

#[test]
fn answers_are_listed_when_their_number_changes() {
    let mut thread = made("t1".into(), START_MS - HOUR_MS);
    thread.answers = (0..11).map(|nth| (format!("a{nth}"), START_MS - 1000 + nth)).collect();
    let mut network = FakeNetwork { videos: Vec::new(), threads: vec![thread] };
    let (first, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    assert_eq!(first.operations(), ["channel", "videos", "threads", "answers", "answers", "answers"]);
    assert_eq!(things(&first.events, &page()), network.all());
    let (second, checkpoint) = network.tick(checkpoint, START_MS + 900_000);
    assert_eq!(second.operations(), ["videos", "threads"]);
    network.threads[0].answers.push(("late".into(), START_MS + 1_000_000));
    let (third, _) = network.tick(checkpoint, START_MS + 1_800_000);
    assert_eq!(third.operations(), ["videos", "threads", "answers", "answers", "answers"]);
    assert!(things(&third.events, &page()).contains("comment:late"));
}

#[test]
fn an_edit_on_an_old_thread_is_found_within_hours() {
    let mut network = FakeNetwork::default();
    network.add(40, START_MS - HOUR_MS);
    let (_, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    let last = network.threads.len() - 1;
    network.threads[last].changed = START_MS + 1000;
    network.videos[0].changed = START_MS + 1000;
    let (next, checkpoint) = network.tick(checkpoint, START_MS + 900_000);
    let edited = |driven: &Driven| -> Vec<String> {
        let readings = readings(&driven.events, &page()).into_iter();
        readings
            .filter(|reading| reading.content.action == Action::Edited)
            .map(|reading| reading.thing)
            .collect()
    };
    assert_eq!(edited(&next), [format!("post:{}", network.videos[0].id)]);
    let (swept, _) = network.tick(checkpoint, START_MS + 6 * HOUR_MS);
    assert!(edited(&swept).contains(&format!("comment:{}", network.threads[last].id)));
}

#[test]
fn a_comments_image_is_told_with_and_without_a_text() {
    let found = |text: &str| {
        let mut one = thread(&made("t1".into(), START_MS));
        one["snippet"]["topLevelComment"]["snippet"]["textOriginal"] = json!(text);
        one["snippet"]["topLevelComment"]["snippet"]["textDisplay"] = json!(text);
        one["snippet"]["topLevelComment"]["snippet"]["imageUrl"] = json!("https://i.example/1.gif");
        let body = json!({"items": [one]}).to_string();
        let body = members(body.as_bytes()).unwrap();
        let (events, _, _) = Found::of(&body).unwrap().threads(i64::MIN, START_MS);
        crate::normalise::read(&events[0], &page()).content
    };
    for text in ["", "oi"] {
        let content = found(text);
        assert_eq!(content.text.as_deref(), (!text.is_empty()).then_some(text));
        let image = &content.attachments[..];
        assert_eq!((image.len(), image[0].kind.as_str()), (1, "image"));
        assert_eq!(image[0].url.as_deref(), Some("https://i.example/1.gif"));
    }
}

#[test]
fn a_private_video_is_a_publication_when_it_is_public() {
    let mut hidden = made("v1".into(), START_MS - HOUR_MS);
    hidden.public = false;
    let mut network = FakeNetwork { videos: vec![hidden], threads: Vec::new() };
    let (first, checkpoint) = network.tick(Checkpoint::default(), START_MS);
    assert!(first.events.is_empty());
    network.videos[0].public = true;
    let (second, _) = network.tick(checkpoint, START_MS + 3 * HOUR_MS);
    let reading = &readings(&second.events, &page())[0];
    assert_eq!((reading.content.published, reading.content.kind), (Published::ByThePage, Kind::Post));
    assert_eq!(reading.content.action, Action::Created, "its time is its upload's");
    assert_eq!(reading.content.link.as_deref(), Some("https://www.youtube.com/watch?v=v1"));
}

#[test]
fn a_token_of_another_channel_brings_in_nothing() {
    let without = json!({"kind": "youtube#channelListResponse"});
    for (answer, verdict) in [
        (channel("UCother"), Verdict::NotThePages),
        // No channel at all names no other one.
        (without, Verdict::Token(TokenTrouble::Narrowed(None))),
    ] {
        let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
        let driven = drive(&mut run, at(START_MS), 10, false, |_| Reply::json(200, &answer));
        assert_eq!((driven.verdicts, driven.finished), (vec![verdict], true));
    }
}

#[test]
fn a_spent_quota_ends_the_tick_until_midnight_pacific() {
    let mut network = FakeNetwork::default();
    network.add(60, START_MS - HOUR_MS);
    let quota =
        json!({"error": {"code": 403, "errors": [{"domain": "youtube.quota", "reason": "quotaExceeded"}]}});
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let mut calls = 0;
    let first = drive(&mut run, at(START_MS), 100, false, |request| {
        calls += 1;
        if calls > 4 { Reply::json(403, &quota) } else { network.answer(request) }
    });
    let until = "2026-11-23T08:00:00Z".parse().unwrap();
    assert_eq!(first.verdicts.last(), Some(&Verdict::Wait { until, of: CooldownScope::TheApp }));
    assert!(first.finished);
    let (second, _) = network.tick(kept(&run), until.as_millisecond());
    let events: Vec<Event> = first.events.into_iter().chain(second.events).collect();
    assert_eq!(things(&events, &page()), network.all());
}

#[test]
fn a_refusal_is_told_apart_in_both_forms_of_googles_errors() {
    let now = at(START_MS);
    let end = midnight_pacific(now);
    let said = |status, body: Value, object| {
        Reply::json(status, &body).told(|answer| google::verdict(answer, now, end, (COMMENTS_SCOPE, object)))
    };
    let older = |reason: &str| json!({"error": {"code": 403, "errors": [{"reason": reason}]}});
    let newer = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}]}});
    let minute = Verdict::Wait { until: at(START_MS + 60_000), of: CooldownScope::TheApp };
    assert_eq!(said(429, newer.clone(), false), minute);
    assert_eq!(said(403, newer, true), minute);
    assert_eq!(said(403, older("rateLimitExceeded"), false), minute);
    assert_eq!(said(403, older("commentsDisabled"), false), Verdict::Gone);
    assert_eq!(said(403, older("forbidden"), true), Verdict::Gone);
    let narrowed = |scope: Option<&str>| Verdict::Token(TokenTrouble::Narrowed(scope.map(str::to_owned)));
    assert_eq!(said(403, older("forbidden"), false), narrowed(None));
    assert_eq!(said(403, older("insufficientPermissions"), true), narrowed(Some(COMMENTS_SCOPE)));
    assert_eq!(said(403, json!({"error": {"status": "PERMISSION_DENIED"}}), false), narrowed(None));
    for (status, reason, fault) in [
        (403, "accessNotConfigured", OperatorFault::ApiNotEnabled),
        (403, "SERVICE_DISABLED", OperatorFault::ApiNotEnabled),
        (403, "BILLING_DISABLED", OperatorFault::CreditsDepleted),
        (403, "CONSUMER_SUSPENDED", OperatorFault::AppRejected),
        (400, "keyInvalid", OperatorFault::AppRejected),
        (400, "API_KEY_INVALID", OperatorFault::AppRejected),
    ] {
        assert_eq!(said(status, older(reason), true), Verdict::OurFault(fault), "{reason}");
    }
    assert_eq!(said(400, older("invalidPageToken"), false), Verdict::Malformed);
    assert_eq!(said(401, older("authError"), false), Verdict::Token(TokenTrouble::Expired));
    assert_eq!(said(500, older("backendError"), false), Verdict::Transient);
    assert_eq!(said(404, older("videoNotFound"), true), Verdict::Gone);
}

#[test]
fn a_refused_cursor_begins_its_walk_again() {
    let mut network = FakeNetwork::default();
    network.add(60, START_MS - HOUR_MS);
    let refused = json!({"error": {"code": 400, "errors": [{"reason": "invalidPageToken"}]}});
    let mut run = Collection::new(scope(START_MS), settings(), Checkpoint::default());
    let first = drive(&mut run, at(START_MS), 100, false, |request| {
        if query(request, "pageToken").is_some() {
            Reply::json(400, &refused)
        } else {
            network.answer(request)
        }
    });
    assert!(first.finished);
    let (second, _) = network.tick(kept(&run), START_MS + 900_000);
    let events: Vec<Event> = first.events.into_iter().chain(second.events).collect();
    assert_eq!(things(&events, &page()), network.all());
}

#[test]
fn real_answers_are_read_where_they_are_given() {
    for (name, body) in samples("youtube", "api-comment") {
        let list = serde_json::from_slice::<Value>(&body).unwrap();
        let scope = Scope { from: at(0), ..scope(0) };
        let mut run = Collection::new(scope, settings(), Checkpoint::default());
        let is_threads = name.contains("Threads");
        let calls = if is_threads { 3 } else { 4 };
        let first = drive(&mut run, at(START_MS), calls, false, |request| match request.operation {
            "channel" => Reply::json(200, &channel(PAGE)),
            "threads" if !is_threads => Reply::json(
                200,
                &json!({"items": [
                {"snippet": {"totalReplyCount": 9, "topLevelComment": {"id": "t1", "snippet": {}}}}]}),
            ),
            "videos" => Reply::json(200, &json!({"items": []})),
            _ => Reply { status: 200, headers: Vec::new(), body: body.clone() },
        });
        let all = readings(&first.events, &page());
        println!("{name}: {} items, {} events", list["items"].as_array().unwrap().len(), all.len());
        assert!(all.len() >= list["items"].as_array().unwrap().len(), "{name}");
        assert!(
            all.iter().all(|reading| matches!(reading.content.kind, Kind::Comment | Kind::Reply)),
            "{name}"
        );
        assert!(all.iter().filter(|reading| reading.thing != "comment:t1").all(|reading| {
            reading.content.text.is_some()
                && reading.content.author.is_some()
                && reading.content.occurred_at.is_some()
        }));
    }
}
