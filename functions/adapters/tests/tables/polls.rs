//! Polling state: one worker's outcome of a plan is kept, quotas are kept across workers, a dead token pauses a page
//! and a new one resumes it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::{
    CHECK_PAUSE, Connected, CooldownKey, Kept, MAX_CHECKPOINT_IN_ROW, Next, PollOutcome, PollTable,
    PollTrigger, PollTurn, SHARDS, Schedule, Spender,
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

use crate::database::embedded;
use crate::support::{new_account, now, page_tables};

#[derive(Clone)]
struct Tables {
    config: ConfigTable,
    others: PageTables,
    account: AccountId,
    poll_table: String,
}

/// A page that its network took, of an account that may use all.
const ANY: Spender = Spender { millionths: None, proven: true };

const LEASE: Duration = Duration::from_secs(300);

impl Tables {
    async fn new() -> Self {
        let (config, others, [_, _, poll_table]) = page_tables();
        Self { account: new_account(&config).await, config, others, poll_table }
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

    async fn begin(&self, page: &Page, trigger: PollTrigger, now: Timestamp) -> Option<PollTurn> {
        self.polls().begin(&page.id, trigger, after(now, LEASE), now).await.unwrap()
    }

    async fn hold(&self, turn: &mut PollTurn) -> bool {
        self.polls().hold(turn, after(turn.began_at, LEASE)).await.unwrap()
    }

    async fn finish(&self, turn: &PollTurn, next: Next) -> bool {
        self.polls().finish(turn, &finished(next)).await.unwrap()
    }

    async fn keep(&self, turn: &mut PollTurn, checkpoint: &str) -> Kept {
        self.polls().keep(turn, checkpoint.to_owned(), now()).await.unwrap()
    }

    /// The checkpoint that the next poll goes on from.
    async fn checkpoint(&self, page: &Page, at: Timestamp) -> Option<String> {
        let mut turn = self.begin(page, PollTrigger::Now(at), at).await.unwrap();
        self.polls().before(&mut turn).await.unwrap();
        turn.progress.checkpoint
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
async fn the_operator_is_told_of_a_fault_daily_until_it_is_mended() {
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
async fn of_many_workers_of_a_plan_one_writes_its_outcome() {
    let tables = Tables::new().await;
    let page = tables.connect("x", "1").await;
    let turn = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    assert_eq!((turn.schedule.network, &turn.schedule.account), (page.network, &page.account));
    let mut workers = JoinSet::new();
    for _ in 0..20 {
        let (tables, turn) = (tables.clone(), turn.clone());
        workers.spawn(async move { tables.finish(&turn, Next::At(later(450))).await });
    }
    assert_eq!(workers.join_all().await.into_iter().filter(|kept| *kept).count(), 1);
    for (trigger, at) in [
        (PollTrigger::Planned(now()), later(3)),
        (PollTrigger::Now(now()), later(3)),
        (PollTrigger::Planned(later(400)), later(400)),
        (PollTrigger::OutOfTurn, later(3)),
    ] {
        assert!(tables.begin(&page, trigger, at).await.is_none(), "{trigger:?}");
    }
    let kept = tables.schedule(&page).await.unwrap();
    assert_eq!((kept.last.unwrap().new, kept.every_minutes, kept.next_at), (3, Some(15), Some(later(450))));
    assert_eq!((kept.denied.as_deref(), kept.began_at), (Some("comments"), Some(later(1))));
    let mut turns = Vec::new();
    for (trigger, at) in [(PollTrigger::Now(later(70)), 70), (PollTrigger::Planned(later(900)), 900)] {
        turns.push(tables.begin(&page, trigger, later(at)).await.unwrap());
    }
    // Who finishes first has the outcome, whichever began first.
    let late = turns.pop().unwrap();
    assert!(tables.finish(&late, Next::At(later(1350))).await);
    assert!(!tables.finish(&turns[0], Next::At(later(450))).await);
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(1350)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_workers_of_a_plan_takes_the_lease() {
    let tables = Tables::new().await;
    let page = tables.connect("x", "1").await;
    let turn = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    let mut workers = JoinSet::new();
    for _ in 0..20 {
        let (tables, mut turn) = (tables.clone(), turn.clone());
        workers.spawn(async move { (tables.hold(&mut turn).await, turn) });
    }
    let (mut held, others): (Vec<_>, Vec<_>) =
        workers.join_all().await.into_iter().partition(|(holds, _)| *holds);
    assert_eq!((held.len(), others.len()), (1, 19));
    let (_, mut held) = held.remove(0);
    assert!(tables.hold(&mut held).await, "it has the lease already");
    for trigger in [PollTrigger::OutOfTurn, PollTrigger::Now(now()), PollTrigger::Planned(later(100))] {
        assert!(tables.begin(&page, trigger, later(100)).await.is_none(), "{trigger:?}");
    }
    assert!(!tables.finish(&others[0].1, Next::At(later(9999))).await);
    assert!(tables.finish(&held, Next::At(later(450))).await);
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(450)));
    let again = tables.begin(&page, PollTrigger::OutOfTurn, after(later(1), CHECK_PAUSE)).await.unwrap();
    assert!(tables.begin(&page, PollTrigger::Now(later(70)), later(70)).await.is_none(), "it is leased");
    assert!(tables.finish(&again, Next::At(later(450))).await);
    assert!(tables.begin(&page, PollTrigger::Now(later(70)), later(70)).await.is_some());
}

#[tokio::test]
async fn a_dead_workers_page_is_polled_again_in_the_same_plan() {
    let tables = Tables::new().await;
    let page = tables.connect("youtube", "UC1").await;
    let mut dead = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    assert!(tables.hold(&mut dead).await);
    assert!(tables.begin(&page, PollTrigger::Planned(now()), later(300)).await.is_none());
    let next = tables.begin(&page, PollTrigger::Planned(now()), later(301)).await.unwrap();
    let unheld = tables.begin(&page, PollTrigger::Planned(now()), later(302)).await.unwrap();
    assert!(tables.finish(&next, Next::At(later(900))).await);
    for late in [dead, unheld] {
        assert!(!tables.finish(&late, Next::At(later(9999))).await, "another worker polled the page");
    }
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(900)));
}

#[tokio::test]
async fn a_checkpoint_is_written_with_the_outcome_of_its_poll() {
    let tables = Tables::new().await;
    let page = tables.connect("facebook", "1").await;
    let mut late = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    let small = format!("{{\"e\":\"{}\"}}", "mentions".repeat(900));
    // A large one goes to a row of its own, and what is small again comes back; random digits cannot be packed.
    let digits = || format!("{:032x}", random::bits128().unwrap());
    let large: String = (0..MAX_CHECKPOINT_IN_ROW / 10).map(|_| digits()).collect();
    for (nth, text) in [(1, "{}"), (2, small.as_str()), (3, large.as_str()), (4, large.as_str()), (5, "{}")] {
        let at = later(nth * 1000);
        let mut turn = tables.begin(&page, PollTrigger::Now(at), at).await.unwrap();
        tables.polls().before(&mut turn).await.unwrap();
        assert_eq!(tables.keep(&mut turn, text).await, Kept::Done);
        assert!(tables.finish(&turn, Next::At(at)).await);
        assert_eq!(tables.checkpoint(&page, after(at, LEASE)).await.as_deref(), Some(text), "{nth}");
    }
    assert_eq!(tables.keep(&mut late, "stale").await, Kept::Done);
    assert!(!tables.finish(&late, Next::At(later(1))).await);
    assert_eq!(tables.keep(&mut late, &large).await, Kept::WrittenMeanwhile);
    assert_eq!(tables.checkpoint(&page, later(9000)).await.as_deref(), Some("{}"));
}

#[tokio::test]
async fn a_checkpoint_of_an_older_version_is_gone_on_from() {
    let tables = Tables::new().await;
    let page = tables.connect("facebook", "1").await;
    let older = async |version: u64, text: &str| {
        let row = [
            ("pk", AttributeValue::S(format!("page#{}", page.id))),
            ("sk", AttributeValue::S("checkpoint".into())),
            ("checkpoint", AttributeValue::S(text.into())),
            ("version", AttributeValue::N(version.to_string())),
        ];
        let row = row.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let put = embedded().client().put_item().table_name(&tables.poll_table);
        put.set_item(Some(row)).send().await.unwrap();
    };
    older(7, "older").await;
    assert_eq!(tables.checkpoint(&page, later(1)).await.as_deref(), Some("older"));
    let mut turn = tables.begin(&page, PollTrigger::Planned(now()), later(2)).await.unwrap();
    tables.polls().before(&mut turn).await.unwrap();
    assert_eq!(tables.keep(&mut turn, "newer").await, Kept::Done);
    assert!(tables.finish(&turn, Next::At(later(3))).await);
    assert_eq!(tables.checkpoint(&page, later(4)).await.as_deref(), Some("newer"));
    // The older version runs again, from what it wrote last.
    older(8, "older again").await;
    assert_eq!(tables.checkpoint(&page, later(5)).await.as_deref(), Some("newer"));
    older(9, "further").await;
    assert_eq!(tables.checkpoint(&page, later(6)).await.as_deref(), Some("further"));
}

#[tokio::test]
async fn a_dead_token_pauses_its_page_until_a_newer_one_was_given() {
    let tables = Tables::new().await;
    let page = tables.connect("facebook", "1").await;
    let turn = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    assert!(tables.finish(&turn, Next::WithANewToken).await);
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, None);
    for trigger in [PollTrigger::Planned(later(900)), PollTrigger::Now(later(900))] {
        assert!(tables.begin(&page, trigger, later(900)).await.is_none(), "{trigger:?}");
    }
    let turn = tables.begin(&page, PollTrigger::OutOfTurn, later(900)).await.unwrap();
    let patch = json!({"access_token": "new"});
    let changed = page.patched(patch.as_object().unwrap(), later(901)).unwrap().unwrap();
    tables.config.replace_page(&changed, &tables.others).await.unwrap();
    // The worker with the old token reports only now that it is dead.
    assert!(tables.finish(&turn, Next::WithANewToken).await);
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(901)));
    let unheld = tables.begin(&page, PollTrigger::Planned(later(902)), later(902)).await.unwrap();
    let patch = json!({"access_token": "newest"});
    let changed = changed.page.patched(patch.as_object().unwrap(), later(903)).unwrap().unwrap();
    tables.config.replace_page(&changed, &tables.others).await.unwrap();
    let outcome = PollOutcome { used: 2, ..finished(Next::WithANewToken) };
    assert!(tables.polls().finish(&unheld, &outcome).await.unwrap());
    assert_eq!(tables.schedule(&page).await.unwrap().next_at, Some(later(903)));
}

#[tokio::test]
async fn a_deleted_page_is_not_restored_by_its_worker() {
    let tables = Tables::new().await;
    let page = tables.connect("linkedin", "1").await;
    let mut turn = tables.begin(&page, PollTrigger::Planned(now()), later(1)).await.unwrap();
    let mut held = turn.clone();
    assert!(tables.hold(&mut held).await);
    assert!(tables.config.delete_page(&page, &tables.others).await.unwrap());
    assert!(!tables.hold(&mut turn).await);
    assert!(!tables.finish(&turn, Next::At(later(900))).await);
    assert!(!tables.finish(&held, Next::At(later(900))).await);
    assert_eq!(tables.schedule(&page).await, None);
    assert!(tables.begin(&page, PollTrigger::OutOfTurn, later(900)).await.is_none());
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
        let mut turn = tables.begin(page, PollTrigger::Planned(now()), now()).await.unwrap();
        let rests = polls.before(&mut turn).await.unwrap();
        (rests.page_rests_until, rests.app_rests_until)
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
        let mut turn = tables.begin(page, PollTrigger::Planned(now()), now()).await.unwrap();
        polls.before(&mut turn).await.unwrap().app_rests_until
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
