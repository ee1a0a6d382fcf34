//! Polling state: one worker polls a page at a time, quotas are kept across workers, a dead token pauses a page and a
//! new one resumes it.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::{
    CHECK_PAUSE, Connected, CooldownKey, Kept, Leased, Next, PollOutcome, PollTable, PollTrigger, Progress,
    SHARDS, Schedule, Spender,
};
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::retention::after;
use carteiro_networks::network::Network;
use carteiro_networks::page::{LastTick, NewPage, Page, TickResult};
use carteiro_networks::poll::OperatorFault;
use carteiro_networks::poll::budget::{Admission, Limit};
use carteiro_networks::poll::fair::{self, Pages};
use carteiro_networks::poll::refresh::RenewalAttempt;
use carteiro_networks::silence::Silence;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{new_account, now, page_tables};

#[derive(Clone)]
struct Tables {
    config: ConfigTable,
    others: PageTables,
    account: AccountId,
}

/// A page that its network took, of an account that may use all.
const ANY: Spender = Spender { millionths: None, proven: true };

const LEASE: Duration = Duration::from_secs(300);

impl Tables {
    async fn new() -> Self {
        let (config, others, _) = page_tables();
        Self { account: new_account(&config).await, config, others }
    }

    fn polls(&self) -> &PollTable {
        &self.others.polls
    }

    async fn connect(&self, network: &str, network_id: &str) -> Page {
        let given = json!({"network": network, "network_id": network_id, "name": "p", "access_token": "t"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        let id = PageId::from_bits(random::bits128().unwrap());
        let (page, token) = new.create(id, self.account.clone(), now());
        self.config.create_page(&page, &token, &self.others).await.unwrap();
        page
    }

    async fn lease(&self, page: &Page, turn: PollTrigger, now: Timestamp) -> Option<Leased> {
        self.polls().lease(&page.id, turn, after(now, LEASE), now).await.unwrap()
    }

    async fn schedule(&self, page: &Page) -> Option<Schedule> {
        self.polls().schedules(std::slice::from_ref(&page.id)).await.unwrap().remove(&page.id)
    }
}

fn later(seconds: u64) -> Timestamp {
    after(now(), Duration::from_secs(seconds))
}

fn silence() -> Silence {
    Silence { since: now(), usual_hours: 9 }
}

fn finished(next: Next) -> PollOutcome {
    let last = LastTick { at: now(), result: TickResult::Ok, new: 3, calls: 4, cause: None };
    PollOutcome {
        next,
        every_minutes: 15,
        last,
        inspected: None,
        denied: Some("comments".into()),
        push: None,
        proven: true,
        silence: Some(silence()),
        used: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_operator_is_told_of_a_fault_once_a_day_until_it_is_mended() {
    let tables = Tables::new().await;
    let (network, fault) = (Network::Linkedin, OperatorFault::CreditsDepleted);
    let hours = |hours: u64| later(hours * 3600);
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let polls = tables.polls().clone();
        workers.spawn(async move { polls.note_fault(network, fault, now()).await.unwrap() });
    }
    assert_eq!(workers.join_all().await.into_iter().filter(|told| *told).count(), 1);
    let listed = async |at: Timestamp| {
        let faults = tables.polls().faults(at).await.unwrap();
        let own = faults.into_iter().find(|(one, _)| (one.network, one.fault) == (network, fault));
        own.map(|(one, _)| (one.since, one.seen_at))
    };
    for (at, told) in [(hours(1), false), (hours(23), false), (hours(24), true), (hours(25), false)] {
        assert_eq!(tables.polls().note_fault(network, fault, at).await.unwrap(), told, "{at}");
        assert_eq!(listed(at).await, Some((now(), at)));
    }
    assert_eq!(listed(hours(51)).await, None, "nobody met it for a day");
    assert!(tables.polls().note_fault(network, fault, hours(52)).await.unwrap(), "it is another occurrence");
    assert_eq!(listed(hours(52)).await, Some((hours(52), hours(52))));
    tables.polls().clear_fault(network, fault).await.unwrap();
    assert_eq!(listed(hours(52)).await, None);
    assert!(tables.polls().note_fault(network, fault, hours(53)).await.unwrap());
    tables.polls().clear_fault(network, fault).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_workers_leases_a_page_once_in_a_plan() {
    let tables = Tables::new().await;
    let page = tables.connect("x", "1").await;
    let mut takers = JoinSet::new();
    for _ in 0..20 {
        let (polls, page) = (tables.polls().clone(), page.id.clone());
        takers.spawn(async move {
            polls.lease(&page, PollTrigger::Planned(now()), later(300), later(1)).await.unwrap()
        });
    }
    let mut leased: Vec<Leased> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(leased.len(), 1);
    let leased = leased.remove(0);
    assert_eq!((leased.schedule.network, &leased.schedule.account), (page.network, &page.account));
    assert!(tables.lease(&page, PollTrigger::OutOfTurn, later(2)).await.is_none(), "somebody is at it");
    tables.polls().finish(&leased, &finished(Next::At(later(450)))).await.unwrap();
    for (turn, at) in [
        (PollTrigger::Planned(now()), later(3)),
        (PollTrigger::Now(now()), later(3)),
        (PollTrigger::Planned(later(400)), later(400)),
        (PollTrigger::OutOfTurn, later(3)),
    ] {
        assert!(tables.lease(&page, turn, at).await.is_none(), "{turn:?}");
    }
    let kept = tables.schedule(&page).await.unwrap();
    assert_eq!((kept.last.unwrap().new, kept.every_minutes, kept.next_at), (3, Some(15), Some(later(450))));
    assert_eq!(kept.denied.as_deref(), Some("comments"));
    let again = tables.lease(&page, PollTrigger::OutOfTurn, after(later(1), CHECK_PAUSE)).await.unwrap();
    tables.polls().finish(&again, &finished(Next::At(later(450)))).await.unwrap();
    assert!(
        tables.lease(&page, PollTrigger::Now(later(70)), later(70)).await.is_some(),
        "whatever its time is"
    );
    assert!(
        tables.lease(&page, PollTrigger::Planned(later(900)), later(900)).await.is_some(),
        "the lease is over"
    );
}

#[tokio::test]
async fn a_dead_workers_page_is_leased_again_in_the_same_plan() {
    let tables = Tables::new().await;
    let page = tables.connect("youtube", "UC1").await;
    let dead = tables.lease(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    assert!(tables.lease(&page, PollTrigger::Planned(now()), later(300)).await.is_none());
    let next = tables.lease(&page, PollTrigger::Planned(now()), later(301)).await.unwrap();
    tables.polls().finish(&dead, &finished(Next::At(later(9999)))).await.unwrap();
    assert_eq!(tables.schedule(&page).await.unwrap().last, None, "the lease was not its own any more");
    tables.polls().finish(&next, &finished(Next::At(later(900)))).await.unwrap();
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(900)));

    let (mut one, mut other) = (Progress::default(), Progress::default());
    let keep = async |progress: &mut Progress, text: &str| {
        tables.polls().keep(&page.id, progress, text.to_owned(), now()).await.unwrap()
    };
    assert_eq!(keep(&mut one, "1").await, Kept::Done);
    assert_eq!(keep(&mut other, "stale").await, Kept::WrittenMeanwhile);
    assert_eq!(keep(&mut one, "2").await, Kept::Done);
    let before = tables.polls().before(&tables.schedule(&page).await.unwrap()).await.unwrap();
    assert_eq!(before.progress, one);
    assert_eq!(before.progress.checkpoint.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_dead_token_pauses_its_page_until_a_newer_one_was_given() {
    let tables = Tables::new().await;
    let page = tables.connect("facebook", "1").await;
    let leased = tables.lease(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    tables.polls().finish(&leased, &finished(Next::WithANewToken)).await.unwrap();
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, None);
    for turn in [PollTrigger::Planned(later(900)), PollTrigger::Now(later(900))] {
        assert!(tables.lease(&page, turn, later(900)).await.is_none(), "{turn:?}");
    }
    let leased = tables.lease(&page, PollTrigger::OutOfTurn, later(900)).await.unwrap();
    let patch = json!({"access_token": "new"});
    let changed = page.patched(patch.as_object().unwrap(), later(901)).unwrap().unwrap();
    tables.config.replace_page(&changed, &tables.others).await.unwrap();
    // The worker with the old token reports only now that it is dead.
    tables.polls().finish(&leased, &finished(Next::WithANewToken)).await.unwrap();
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(901)));
    assert!(tables.lease(&page, PollTrigger::Planned(later(902)), later(902)).await.is_some());
}

#[tokio::test]
async fn a_deleted_page_is_not_restored_by_its_worker() {
    let tables = Tables::new().await;
    let page = tables.connect("linkedin", "1").await;
    let leased = tables.lease(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    let mut progress = Progress::default();
    tables.polls().keep(&page.id, &mut progress, "{}".into(), now()).await.unwrap();
    assert!(tables.config.delete_page(&page, &tables.others).await.unwrap());
    assert_eq!(
        tables.polls().keep(&page.id, &mut progress, "{\"a\":1}".into(), now()).await.unwrap(),
        Kept::WrittenMeanwhile
    );
    tables.polls().finish(&leased, &finished(Next::At(later(900)))).await.unwrap();
    assert_eq!(tables.schedule(&page).await, None);
    assert!(tables.lease(&page, PollTrigger::OutOfTurn, later(900)).await.is_none());
}

#[tokio::test]
async fn all_shards_schedules_are_found_once_and_counted() {
    let tables = Tables::new().await;
    for number in 0..40 {
        let network = if number % 4 == 0 { "x" } else { "facebook" };
        tables.connect(network, &number.to_string()).await;
    }
    let mut found = 0;
    for shard in 0..SHARDS {
        let (mut counted, mut mark) = (Connected::default(), None);
        loop {
            let (schedules, next) = tables.polls().schedules_of(shard, Some(2), mark).await.unwrap();
            found += schedules.len();
            for schedule in schedules {
                *counted.pages.entry(schedule.network).or_insert(0) += 1;
                let accounts = counted.accounts.entry(schedule.network).or_default();
                accounts.entry(fair::key(&schedule.account)).or_default().unproven += 1;
            }
            mark = next;
            if mark.is_none() {
                break;
            }
        }
        tables.polls().note_connected(shard, &counted).await.unwrap();
    }
    let connected = tables.polls().connected().await.unwrap();
    assert_eq!((found, connected.pages), (40, BTreeMap::from([(Network::X, 10), (Network::Facebook, 30)])));
    let of_account = BTreeMap::from([(fair::key(&tables.account), Pages { proven: 0, unproven: 10 })]);
    assert_eq!(connected.accounts[&Network::X], of_account);
}

#[tokio::test]
async fn an_account_spends_its_part_and_unproven_pages_little() {
    let tables = Tables::new().await;
    let other = Tables { account: new_account(&tables.config).await, ..tables.clone() };
    let of_app = Network::Linkedin.spec().limits[1];
    let limits = Network::Linkedin.spec().limits;
    let spend = async |schedule: &Schedule, spender: Spender, units: u32| {
        tables.polls().spend(schedule, limits, spender, ("posts", units), now()).await.unwrap()
    };
    let first = tables.schedule(&tables.connect("linkedin", "1").await).await.unwrap();
    let second = tables.schedule(&tables.connect("linkedin", "2").await).await.unwrap();
    let foreign = tables.schedule(&other.connect("linkedin", "1").await).await.unwrap();
    // Ten units of 500, for all of them together.
    let unproven = Spender { millionths: Some(400_000), proven: false };
    assert_eq!(spend(&first, unproven, 6).await, Admission::Now);
    assert_eq!(spend(&second, unproven, 5).await, Admission::At(of_app.window.end(now())));
    assert_eq!(spend(&second, unproven, 4).await, Admission::Now);
    // Another account has its own ten, and takes no more of this page's hundred.
    assert_eq!(spend(&foreign, unproven, 10).await, Admission::Now);
    assert_eq!(spend(&foreign, unproven, 1).await, Admission::At(of_app.window.end(now())));
    // Those that are proven have the rest of 200.
    let proven = Spender { proven: true, ..unproven };
    assert_eq!(
        spend(&first, proven, 85).await,
        Admission::At(of_app.window.end(now())),
        "a page has a hundred"
    );
    assert_eq!(spend(&first, proven, 84).await, Admission::Now);
    let third = tables.schedule(&tables.connect("linkedin", "3").await).await.unwrap();
    let in_an_hour = Admission::At(later(3600).min(of_app.window.end(now())));
    assert_eq!(spend(&third, proven, 100).await, Admission::Now);
    assert_eq!(spend(&second, proven, 7).await, in_an_hour, "over the part");
    assert_eq!(spend(&second, proven, 6).await, Admission::Now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_take_no_more_units_than_a_window_has() {
    let tables = Tables::new().await;
    let page = tables.connect("googleplay", "com.example").await;
    let schedule = tables.schedule(&page).await.unwrap();
    let of_hour = Network::GooglePlay.spec().limits[0];
    let taken_at = async |at: Timestamp, calls: u32| {
        let mut workers = JoinSet::new();
        for _ in 0..calls {
            let (polls, schedule) = (tables.polls().clone(), schedule.clone());
            workers.spawn(async move {
                polls.spend(&schedule, &[of_hour], ANY, ("reviews", 1), at).await.unwrap()
            });
        }
        workers.join_all().await.into_iter().filter(|may| *may == Admission::Now).count()
    };
    assert_eq!(taken_at(now(), 260).await, 200);
    let end = of_hour.window.end(now());
    let may = tables.polls().spend(&schedule, &[of_hour], ANY, ("reviews", 1), now()).await.unwrap();
    assert_eq!(may, Admission::At(end));
    assert_eq!(taken_at(end, 30).await, 30);
    // A worker whose clock is behind does not open the old window again.
    assert_eq!(taken_at(now(), 5).await, 0);
    let never = Limit { units: 2, ..of_hour };
    let may = tables.polls().spend(&schedule, &[never], ANY, ("reviews", 3), end).await.unwrap();
    assert_eq!(may, Admission::Never);
}

#[tokio::test]
async fn a_cooldown_only_grows_and_reaches_the_pages_it_concerns() {
    let tables = Tables::new().await;
    let (page, other) = (tables.connect("instagram", "1").await, tables.connect("instagram", "2").await);
    let polls = tables.polls();
    let rest = async |page: &Page, of: CooldownKey, second: u64| {
        let schedule = tables.schedule(page).await.unwrap();
        polls.note_cooldown(&schedule, of, later(second), now()).await.unwrap();
    };
    rest(&page, CooldownKey::ThePage, 500).await;
    rest(&page, CooldownKey::ThePage, 100).await;
    rest(&page, CooldownKey::AnApp, 50).await;
    let rests = async |page: &Page| {
        let before = polls.before(&tables.schedule(page).await.unwrap()).await.unwrap();
        (before.page_rests_until, before.app_rests_until)
    };
    assert_eq!(rests(&page).await, (Some(later(500)), Some(later(50))));
    assert_eq!(rests(&other).await, (None, Some(later(50))));
}

#[tokio::test]
async fn a_cooldown_is_one_accounts_until_another_reports_it() {
    let tables = Tables::new().await;
    let mine = tables.connect("youtube", "UC1").await;
    let foreign = Tables { account: new_account(&tables.config).await, ..tables.clone() };
    let theirs = foreign.connect("youtube", "UC2").await;
    let polls = tables.polls();
    let rest = async |page: &Page, second: u64| {
        let schedule = tables.schedule(page).await.unwrap();
        polls.note_cooldown(&schedule, CooldownKey::AnApp, later(second), now()).await.unwrap();
    };
    let rests = async |page: &Page| {
        polls.before(&tables.schedule(page).await.unwrap()).await.unwrap().app_rests_until
    };
    rest(&mine, 900).await;
    rest(&mine, 800).await;
    assert_eq!((rests(&mine).await, rests(&theirs).await), (Some(later(900)), None));
    rest(&theirs, 600).await;
    assert_eq!((rests(&mine).await, rests(&theirs).await), (Some(later(900)), Some(later(900))));
    rest(&theirs, 1200).await;
    assert_eq!((rests(&mine).await, rests(&theirs).await), (Some(later(1200)), Some(later(1200))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_at_a_time_renews_a_token_and_a_new_one_ends_the_renewal() {
    let tables = Tables::new().await;
    let page = tables.connect("x", "1").await;
    let tokens = &tables.others.tokens;
    let attempt = |second| RenewalAttempt { of: 1, at: later(second) };
    let mut workers = JoinSet::new();
    for second in 0..10 {
        let (tokens, page, attempt) = (tokens.clone(), page.id.clone(), attempt(second));
        workers.spawn(async move { tokens.begin_renewal(&page, None, attempt).await.unwrap() });
    }
    assert_eq!(workers.join_all().await.into_iter().filter(|began| *began).count(), 1);
    let stored = tokens.find(&page.id).await.unwrap().unwrap();
    assert!(!tokens.begin_renewal(&page.id, Some(attempt(99)), attempt(200)).await.unwrap());
    assert!(tokens.begin_renewal(&page.id, stored.renewal, attempt(200)).await.unwrap());
    tokens.end_renewal(&page.id, attempt(99)).await.unwrap();
    assert!(!tokens.begin_renewal(&page.id, None, attempt(300)).await.unwrap(), "it was another one");
    tokens.end_renewal(&page.id, attempt(200)).await.unwrap();
    assert!(tokens.begin_renewal(&page.id, None, attempt(300)).await.unwrap());
    let patch = json!({"access_token": "new"});
    let changed = page.patched(patch.as_object().unwrap(), later(300)).unwrap().unwrap();
    tables.config.replace_page(&changed, &tables.others).await.unwrap();
    let stored = tokens.find(&page.id).await.unwrap().unwrap();
    assert_eq!((stored.renewal, stored.token.version), (None, 2));
    assert!(!tokens.begin_renewal(&page.id, None, attempt(400)).await.unwrap(), "it is of an older token");
}
