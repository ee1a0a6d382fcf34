//! How fresh what was delivered is: what was to come, what came, and a table of it.

use std::collections::BTreeMap;

use carteiro_fake_networks::{Call, Kind};
use carteiro_networks::network::Network;
use carteiro_networks::poll::budget::LimitScope;
use carteiro_networks::poll::settings::NetworkSettings;
use carteiro_tests::Bundle;
use jiff::Timestamp;
use serde_json::Value;

use super::people::{HOUR, MINUTE};

/// One thing, or one edit of it, that a page is to be told of.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) network: Network,
    /// The network's id of the page.
    pub(super) page: String,
    /// Which of the day's things it is of.
    pub(super) deed: usize,
    pub(super) kind: Kind,
    pub(super) text: String,
    /// When the network had it.
    pub(super) at_ms: u64,
    /// When lists showed it.
    pub(super) listed_ms: u64,
    /// When it could be had: pushed or listed.
    pub(super) had_ms: u64,
    /// Until when: then it was edited, or another took its place.
    pub(super) until_ms: Option<u64>,
    pub(super) is_edit: bool,
    /// Of which there was no push: it was lost, or the network pushes none.
    pub(super) not_pushed: bool,
    /// Whether somebody else than the page did it.
    pub(super) is_of_others: bool,
    /// Whether its push came so late that an edit may have been before it.
    pub(super) late_push: bool,
    /// Whether it was there before the pages were connected.
    pub(super) is_older: bool,
}

/// When a network was down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) network: Network,
    pub(super) begins_ms: u64,
    pub(super) ends_ms: u64,
}

impl Outage {
    pub(super) fn has(&self, network: Network, at_ms: u64) -> bool {
        self.network == network && (self.begins_ms..self.ends_ms).contains(&at_ms)
    }
}

/// A page of an account's.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) network: Network,
    /// The network's id.
    pub(super) network_id: String,
    /// Ours.
    pub(super) id: String,
    /// Where the account's webhook is.
    pub(super) path: String,
    /// Whether pushes are dispatched as they arrive.
    pub(super) immediate: bool,
}

/// What arrived: for each page of ours and text, when, and under which `webhook-id`.
pub(super) type Arrived = BTreeMap<(String, String), Vec<(u64, String)>>;

/// All that arrived at these accounts' webhooks.
pub(super) fn arrived(bundle: &Bundle, pages: &[Connected]) -> Arrived {
    let mut arrived = Arrived::new();
    let mut paths: Vec<&str> = pages.iter().map(|page| page.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for delivery in paths.into_iter().flat_map(|path| bundle.receiver.deliveries_to(path)) {
        let item: Value = serde_json::from_slice(&delivery.body).unwrap();
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let came = (delivery.received_at_ms, delivery.webhook_id().unwrap().to_owned());
        arrived.entry((text("page"), text("text"))).or_default().push(came);
    }
    arrived
}

/// What became of a version at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// How many milliseconds it came after it could be had.
    Came(u64),
    /// An edit back that nobody could tell from no edit: what was between was never told.
    Unchanged,
    /// It did not, and nobody can have it: the network lists no such things, and its push was lost.
    OnlyPushed,
    /// It did not: it was edited or replaced before the network was asked.
    Overwritten,
    Lost,
}

/// A version at a page, and what became of it.
pub(super) struct Outcome<'a> {
    pub(super) version: &'a Version,
    pub(super) page: &'a Connected,
    pub(super) became: Became,
    /// Whether it appeared in the outage, or in the period before, whose tick was in it.
    pub(super) in_outage: bool,
}

type IsPart = fn(&Outcome<'_>) -> bool;

/// The measured day.
pub(super) struct Measured<'a> {
    pub(super) outcomes: Vec<Outcome<'a>>,
    /// Of one page, thing and version, or under one `webhook-id`, more than once.
    pub(super) twice: Vec<String>,
    /// What nobody published.
    pub(super) unknown: Vec<String>,
    /// Things of which something else was told last than what the network has.
    pub(super) outdated: Vec<String>,
}

/// Whether a version could be seen in a list: a tick whose network answered came while it was there. A tick makes its
/// calls within two minutes, on a busy machine.
fn could_be_seen(version: &Version, ticks: &[u64], outage: &Outage) -> bool {
    let until = version.until_ms.unwrap_or(u64::MAX);
    // Edits of comments are found when the comments of a post are looked at again, once an hour where no number of them
    // changed; of what was undone before, nobody can know.
    let is_comment = matches!(version.kind, Kind::Comment | Kind::Reply);
    if version.is_edit && is_comment && until < version.listed_ms + 75 * MINUTE {
        return false;
    }
    let sees = |tick: &u64| *tick >= version.listed_ms && tick + 2 * MINUTE <= until;
    ticks.iter().any(|tick| sees(tick) && !outage.has(version.network, *tick))
}

pub(super) fn measure<'a>(
    versions: &'a [Version],
    pages: &'a [Connected],
    arrived: &Arrived,
    ticks: &[u64],
    outage: &Outage,
) -> Measured<'a> {
    let (mut outcomes, mut outdated) = (Vec::new(), Vec::new());
    for version in versions {
        let of = |page: &&Connected| page.network == version.network && page.network_id == version.page;
        for page in pages.iter().filter(of) {
            let came = arrived.get(&(page.id.clone(), version.text.clone()));
            let told = versions.iter().filter(|other| other.deed == version.deed);
            // What came after an edit back to the same text is that edit's.
            let again =
                told.clone().filter(|other| other.text == version.text && other.at_ms > version.at_ms);
            let until = again.map(|other| other.at_ms).min().unwrap_or(u64::MAX);
            let since = came.into_iter().flatten().map(|(at, _)| *at);
            let first = since.filter(|at| (version.at_ms..until).contains(at)).min();
            let told_last = last_told(told.clone(), page, arrived);
            // An edit back comes again only where what was between was told.
            let is_back = version.is_edit
                && told.clone().any(|other| other.at_ms < version.at_ms && other.text == version.text);
            let is_last = told.clone().all(|other| other.at_ms <= version.at_ms);
            let own_last = last_told(std::iter::once(version), page, arrived);
            // What one tick brings in is delivered in any order.
            let is_after = |(at, text): (u64, &str)| {
                text != version.text && own_last.is_none_or(|(own, _)| own + MINUTE < at)
            };
            if is_last && told.clone().all(|other| !other.late_push) && told_last.is_some_and(is_after) {
                outdated.push(format!("{} {:?}: {told_last:?}", page.id, version.text));
            }
            let is_listed = !(version.network == Network::Instagram && version.kind == Kind::Mention);
            let became = match first {
                Some(at) => Became::Came(at.saturating_sub(version.had_ms)),
                None if is_back && told_last.is_some_and(|(_, text)| text == version.text) => {
                    Became::Unchanged
                }
                None if !is_listed && version.not_pushed => Became::OnlyPushed,
                None if !could_be_seen(version, ticks, outage) => Became::Overwritten,
                None => Became::Lost,
            };
            let from = outage.begins_ms.saturating_sub(15 * MINUTE);
            let in_outage = Outage { begins_ms: from, ..*outage }.has(version.network, version.had_ms);
            outcomes.push(Outcome { version, page, became, in_outage });
        }
    }
    let mut by_id: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut twice = Vec::new();
    for ((page, text), came) in arrived {
        let network_id = pages.iter().find(|one| one.id == *page).map(|one| one.network_id.as_str());
        let is_it = |version: &&Version| version.text == *text && Some(version.page.as_str()) == network_id;
        if came.len() > versions.iter().filter(is_it).count().max(1) {
            twice.push(format!("{page} {text}: {came:?}"));
        }
        for (_, id) in came {
            *by_id.entry((page, id)).or_default() += 1;
        }
    }
    twice.extend(by_id.iter().filter(|(_, count)| **count > 1).map(|(id, count)| format!("{id:?}: {count}")));
    let known: std::collections::BTreeSet<(&str, &str)> =
        outcomes.iter().map(|one| (one.page.id.as_str(), one.version.text.as_str())).collect();
    let unknown = arrived.keys().filter(|(page, text)| !known.contains(&(page.as_str(), text.as_str())));
    let unknown = unknown.map(|(page, text)| format!("{page} {text}")).collect();
    Measured { outcomes, twice, unknown, outdated }
}

/// What a page was told last of a thing, and when.
fn last_told<'a>(
    versions: impl Iterator<Item = &'a Version>,
    page: &Connected,
    arrived: &Arrived,
) -> Option<(u64, &'a str)> {
    let last = |version: &'a Version| {
        let came = arrived.get(&(page.id.clone(), version.text.clone()))?;
        Some((came.iter().map(|(at, _)| *at).max()?, version.text.as_str()))
    };
    versions.filter_map(last).max()
}

/// How long something took, of things that came; what was there before the pages were is not among them.
#[derive(Default)]
pub(super) struct Freshness {
    took: Vec<u64>,
}

impl Freshness {
    pub(super) fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome<'a>>) -> Self {
        let took = |one: &Outcome<'_>| match one.became {
            Became::Came(took) if !one.version.is_older => Some(took),
            _ => None,
        };
        let mut took: Vec<u64> = outcomes.filter_map(took).collect();
        took.sort_unstable();
        Self { took }
    }

    pub(super) fn count(&self) -> usize {
        self.took.len()
    }

    fn per_cent_point(&self, of_hundred: usize) -> u64 {
        let rank = (self.took.len() * of_hundred).div_ceil(100).max(1);
        self.took.get(rank - 1).copied().unwrap_or_default()
    }

    /// The share that took at most this time; all of nothing.
    pub(super) fn within(&self, most_ms: u64) -> f64 {
        let within = self.took.partition_point(|took| *took <= most_ms);
        if self.took.is_empty() { 1.0 } else { within as f64 / self.took.len() as f64 }
    }

    fn row(&self, name: &str) -> String {
        let time = |of_hundred| shown(self.per_cent_point(of_hundred));
        format!(
            "| {name} | {} | {} | {} | {} | {} | {:.1} % | {:.1} % |",
            self.count(),
            time(50),
            time(95),
            time(99),
            shown(self.took.last().copied().unwrap_or_default()),
            100.0 * self.within(15 * MINUTE),
            100.0 * self.within(24 * HOUR),
        )
    }
}

/// A time as people read it.
fn shown(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

impl Measured<'_> {
    /// What is measured against fifteen minutes: the outage apart.
    pub(super) fn apart_from_outage(&self) -> Freshness {
        Freshness::of(self.outcomes.iter().filter(|one| !one.in_outage))
    }

    pub(super) fn all(&self) -> Freshness {
        Freshness::of(self.outcomes.iter())
    }

    /// People's direct messages whose push was neither lost nor late.
    pub(super) fn messages_pushed_in_time(&self) -> Freshness {
        let is_part = |one: &&Outcome<'_>| {
            let version = one.version;
            let is_message = version.kind == Kind::DirectMessage && version.is_of_others;
            is_message && !version.not_pushed && !version.late_push
        };
        Freshness::of(self.outcomes.iter().filter(is_part))
    }

    pub(super) fn count(&self, became: Became) -> usize {
        self.outcomes.iter().filter(|one| one.became == became).count()
    }

    #[expect(clippy::print_stdout, reason = "a test says what it measured")]
    pub(super) fn print(&self, outage: &Outage) {
        println!("| what | count | median | 95th | 99th | worst | within 15 min | within 24 h |");
        println!("|---|---|---|---|---|---|---|---|");
        println!("{}", self.apart_from_outage().row("all, the outage apart"));
        println!("{}", self.all().row("all"));
        for network in Network::ALL {
            let of = |one: &&Outcome<'_>| one.version.network == network && !one.in_outage;
            println!("{}", Freshness::of(self.outcomes.iter().filter(of)).row(network.as_str()));
        }
        let of_outage = Freshness::of(self.outcomes.iter().filter(|one| one.in_outage));
        println!("{}", of_outage.row(&format!("{} in its outage", outage.network)));
        let parts: [(&str, IsPart); 4] = [
            ("pushed, of pages with immediate delivery", |one| !one.version.not_pushed && one.page.immediate),
            ("pushed, of the others", |one| !one.version.not_pushed && !one.page.immediate),
            ("not pushed, or the push was lost", |one| one.version.not_pushed),
            ("edits", |one| one.version.is_edit),
        ];
        for (name, is_part) in parts {
            let of = |one: &&Outcome<'_>| is_part(one) && !one.in_outage;
            println!("{}", Freshness::of(self.outcomes.iter().filter(of)).row(name));
        }
        println!("{}", self.messages_pushed_in_time().row("people's messages, pushed in time"));
        println!(
            "lost: {}; delivered twice: {}; nobody's: {}; in no list and their push lost: {}; edited or replaced \
             before the network was asked: {}; edited back before it was asked: {}",
            self.count(Became::Lost),
            self.twice.len(),
            self.unknown.len(),
            self.count(Became::OnlyPushed),
            self.count(Became::Overwritten),
            self.count(Became::Unchanged)
        );
        for one in &self.outcomes {
            let late =
                matches!(one.became, Became::Came(took) if took > 16 * MINUTE && !one.version.is_older);
            if late && !one.in_outage {
                let version = one.version;
                let (kind, took) = (version.kind, one.became);
                let (is_edit, not_pushed) = (version.is_edit, version.not_pushed);
                println!(
                    "late: {} {kind:?} edit={is_edit} not_pushed={not_pushed} {took:?}",
                    version.network
                );
            }
        }
    }
}

/// The stand-in's word for what the product asks.
fn counts(whats: &[&str], kind: &str) -> bool {
    let what = match kind {
        "tweets" => "posts",
        "dm_events" => "messages",
        other => other,
    };
    whats.is_empty() || whats.contains(&what)
}

/// How many calls were made of each network, and the most of each of its limits that was used in one window.
#[expect(clippy::print_stdout, reason = "a test says what it measured")]
pub(super) fn print_calls(bundle: &Bundle, settings: &NetworkSettings, asked: u64) {
    println!("| network | calls | a page and tick | over a limit | the most of each limit |");
    println!("|---|---|---|---|---|");
    for network in Network::ALL {
        let calls = bundle.networks.calls(network);
        let used: Vec<String> = settings
            .limits(network)
            .iter()
            .map(|limit| {
                let mut used: BTreeMap<(Timestamp, Option<&str>), u32> = BTreeMap::new();
                for call in calls.iter().filter(|call| counts(limit.operations, &call.kind)) {
                    let page = call.page.as_deref().filter(|_| limit.of == LimitScope::TheNetworkPage);
                    *used.entry((limit.window.end(at(call)), page)).or_default() += call.units;
                }
                let most = used.values().max().copied().unwrap_or_default();
                format!("{}: {most} of {}", limit.name(), limit.units)
            })
            .collect();
        println!(
            "| {network} | {} | {:.1} | {} | {} |",
            calls.len(),
            calls.len() as f64 / asked as f64,
            bundle.networks.over_limit(network),
            used.join("; ")
        );
    }
}

fn at(call: &Call) -> Timestamp {
    Timestamp::from_millisecond(call.at_ms.cast_signed()).unwrap()
}
