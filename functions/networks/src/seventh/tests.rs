use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use carteiro_core::id::{AccountId, PageId};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::collected::{Author, Envelope, Kind, render};
use crate::coverage;
use crate::inbox::{EntryKey, Event};
use crate::network::{Network, NetworkId};
use crate::normalise;
use crate::page::{AccessToken, NewPage, Page};
use crate::poll::budget::Admission;
use crate::poll::refresh::{self, GrantType, Renewed};
use crate::poll::settings::NetworkSettings;
use crate::poll::test_support::{Driven, Reply, drive, query};
use crate::poll::{Begun, NetworkRequest, Scope, Start, TokenTrouble, Verdict, plan};
use crate::push;
use crate::push::signature::AppSecret;
use crate::storage_limit;
use crate::token_state::{self, Observed, TokenObservation};

const NETWORK: Network = Network::Seventh;
const TICK: Duration = Duration::from_secs(900);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn owner() -> NetworkId {
    "shop-1".parse().unwrap()
}

fn note(id: i64) -> Value {
    json!({"id": id, "text": format!("note {id}"), "by": "Ana", "at": "2026-11-22T11:00:00Z"})
}

fn begin(settings: &NetworkSettings, checkpoint: Option<&str>) -> Begun {
    let scope = Scope { owner: owner(), token_version: 1, from: now(), now: now() };
    let access_token = &AccessToken::from_stored("token".to_owned());
    (NETWORK.spec().collect)(Start {
        scope,
        access_token,
        login: None,
        ad_account: None,
        api: settings.api(NETWORK),
        is_pushed: false,
        sweeps: 0,
        checkpoint,
    })
}

/// Polls a shop that has notes up to this one.
fn poll(checkpoint: Option<&str>, newest: i64, calls: usize, torn: bool) -> (Driven, String) {
    let mut run = begin(&NetworkSettings::default(), checkpoint).collector;
    let driven = drive(&mut *run, now(), calls, torn, |request: &NetworkRequest| {
        let after: i64 = query(request, "after").unwrap().parse().unwrap();
        let notes: Vec<Value> = (after + 1..=newest.min(after + 2)).map(note).collect();
        Reply::json(200, &json!({ "notes": notes }))
    });
    let checkpoint = run.checkpoint();
    (driven, checkpoint)
}

fn keys(events: &[Event]) -> Vec<EntryKey> {
    let readings = events.iter().map(|event| normalise::read(event, &owner()));
    readings.map(|reading| EntryKey::new(&reading.thing, &reading.version)).collect()
}

fn page() -> Page {
    let given = json!({"network": "x", "network_id": "shop-1", "name": "Loja", "access_token": "planted"});
    let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
    let page = new.create(PageId::from_bits(1), AccountId::from_bits(2), now()).0;
    Page { network: NETWORK, ..page }
}

#[test]
fn a_push_and_a_poll_of_one_note_are_one_entry_and_one_item() {
    let body = json!({"shop": "shop-1", "notes": [note(1), note(2)]}).to_string();
    let updates = push::split(NETWORK, body.as_bytes());
    assert!(updates.iter().all(|update| update.owners == [owner()]));
    let pushed: Vec<Event> = updates.into_iter().map(|update| update.event).collect();
    let (polled, _) = poll(None, 2, 9, false);
    assert_eq!(keys(&pushed), keys(&polled.events));
    let (key, id) = (&keys(&pushed)[0], PageId::from_bits(1));
    let reading = normalise::read(&pushed[0], &owner());
    let envelope = Envelope {
        id: &key.item(&id),
        network: NETWORK,
        page: &id,
        thing: None,
        collected_at: now(),
        by: pushed[0].by,
    };
    let item: Value = serde_json::from_slice(&render(&reading.content, &envelope, &pushed[0].raw)).unwrap();
    assert_eq!((&item["network"], &item["text"]), (&json!("seventh"), &json!("note 1")));
    assert_eq!(push::split(NETWORK, b"[]")[0].owners, []);
}

#[test]
fn pushes_and_challenges_are_checked_by_the_secret() {
    let spec = NETWORK.spec().push.unwrap();
    let secrets = AppSecret::list("planted");
    assert!(!(spec.is_genuine)(&secrets, "sha256=AAAA", b"{}"));
    let challenge =
        |given: &'static str| (spec.challenge)(&secrets, &|name| (name == "secret").then_some(given));
    assert_eq!(challenge("planted").unwrap().body, "ours");
    assert!(challenge("another").is_err());
}

#[test]
fn a_poll_resumes_and_repeats_what_was_not_stored() {
    let (first, checkpoint) = poll(None, 5, 2, true);
    assert!(first.events.len() == 2 && !first.finished);
    let (second, checkpoint) = poll(Some(&checkpoint), 5, 9, false);
    assert!(second.finished && keys(&second.events).len() == 3);
    assert!(poll(Some(&checkpoint), 5, 9, false).0.events.is_empty());
    let lost = begin(&NetworkSettings::default(), Some("[]"));
    assert!(lost.lost_checkpoint && lost.collector.next().is_some());
}

#[test]
fn its_limits_are_shared_and_may_be_set() {
    let settings: NetworkSettings =
        r#"{"seventh": {"version": "v2", "page_size": 7, "limits": {"app": 50}}}"#.parse().unwrap();
    let request = begin(&settings, None).collector.next().unwrap();
    assert_eq!(
        (request.path.as_str(), query(&request, "count").as_deref()),
        ("/v2/shops/shop-1/notes", Some("7"))
    );
    assert!(r#"{"seventh": {"page_size": 51}}"#.parse::<NetworkSettings>().is_err());
    let every = |limits, pages| plan::interval(NETWORK, limits, pages, TICK).as_secs() / 60;
    let (default, set) = (NetworkSettings::default(), settings.limits(NETWORK));
    assert_eq!((every(default.limits(NETWORK), 24), every(default.limits(NETWORK), 48)), (15, 30));
    assert_eq!((every(set, 24), set[0].may(None, 51, now())), (30, Admission::Never));
    assert_eq!(plan::calls(NETWORK, set, 1000, TICK, 60), 1);
}

#[test]
fn its_token_is_renewed_and_its_death_is_told() {
    assert!(refresh::is_due(NETWORK, Some(now()), now()) && !NETWORK.spec().token.is_long_lived());
    assert!(refresh::renewal(NETWORK, GrantType::RefreshToken).is_some());
    let fresh = Reply::json(200, &json!({"access_token": "new"}));
    let renewed = fresh.told(|answer| refresh::renewed(NETWORK, answer, false, now()));
    assert!(matches!(renewed, Renewed::Fresh(_)));
    let mut run = begin(&NetworkSettings::default(), None).collector;
    let refused = drive(&mut *run, now(), 1, false, |_| Reply::json(401, &json!({})));
    assert_eq!(refused.verdicts, [Verdict::Token(TokenTrouble::Revoked)]);
    let sight = TokenObservation::Refused(TokenTrouble::Revoked);
    let seen = Observed { sight, begun_at: now(), renewable: true };
    let notice = token_state::decide(&page(), 1, &seen, now()).unwrap().notice.unwrap();
    let body: Value = serde_json::from_slice(&notice.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["network"]), (&json!("page.token_revoked"), &json!("seventh")));
    assert!(body["data"]["message"].to_string().contains("Feira"), "{body}");
}

#[test]
fn its_storage_terms_and_its_coverage_are_found() {
    let named = Author { name: Some("Ana".to_owned()), ..Author::default() };
    assert_eq!(storage_limit::of(NETWORK, Some(&named)), Some(Duration::from_secs(3600)));
    assert_eq!(storage_limit::longest(NETWORK), Some(Duration::from_secs(24 * 3600)));
    assert!(coverage::of(NETWORK, Kind::Comment).is_some() && coverage::of(NETWORK, Kind::Post).is_none());
}

#[test]
fn only_the_listed_files_name_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut naming) = (vec![source.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("seventh") {
                folders.push(path);
            } else if path.is_file() && fs::read_to_string(&path).unwrap().to_lowercase().contains("seventh")
            {
                naming.insert(path.strip_prefix(&source).unwrap().display().to_string());
            }
        }
    }
    let touched = ["inbox.rs", "lib.rs", "network.rs", "registry.rs"];
    assert_eq!(naming.iter().map(String::as_str).collect::<Vec<_>>(), touched);
}
