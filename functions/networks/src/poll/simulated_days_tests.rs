//! Whether the networks' limits last the day: the runs of many pages at their real intervals, against networks that
//! have nothing new, with each limit counted.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::budget::{Admission, LimitScope, Spent};
use super::plan::{Share, calls, share, until_turn};
use super::settings::NetworkSettings;
use super::test_support::{Reply, drive, query};
use super::{NetworkRequest, Scope, Start};
use crate::network::Network;
use crate::page::AccessToken;
use carteiro_core::id::PageId;

const TICK: Duration = Duration::from_secs(900);
const DAY: Duration = Duration::from_secs(24 * 3600);
const START_MS: i64 = 1_795_305_600_000; // 2026-11-22T00:00:00Z
const HOUR_MS: i64 = 3_600_000;

fn begin() -> Timestamp {
    Timestamp::from_millisecond(START_MS).unwrap()
}

/// What came of some days.
struct Days {
    share: Share,
    /// When each page was asked for what is new.
    fresh: Vec<Vec<Timestamp>>,
    /// How often what was asked for.
    requested: BTreeMap<&'static str, u64>,
    /// How many calls found a limit used up.
    refused: u64,
    /// The most units that were spent in one window of a limit, after the first day, in which pages are connected.
    most: BTreeMap<String, u32>,
}

struct Simulated<'a> {
    network: Network,
    settings: &'a NetworkSettings,
    pages: u64,
    days: u32,
    /// What each run asks for.
    fresh: &'static str,
}

impl Simulated<'_> {
    /// Runs the days. Many pages are connected evenly through the first day, a few at its beginning.
    fn run(&self, answer: impl Fn(&NetworkRequest) -> Reply) -> Days {
        let limits = self.settings.limits(self.network);
        let share = share(self.network, limits, self.pages, TICK);
        let most = calls(self.network, limits, self.pages, share.every, self.settings.calls);
        let most = usize::try_from(most).unwrap();
        let count = usize::try_from(self.pages).unwrap();
        let few = self.pages <= 10;
        let connected = |page: usize| {
            let ms = if few { 0 } else { 86_400_000 * page / count };
            begin().checked_add(Duration::from_millis(u64::try_from(ms).unwrap())).unwrap()
        };
        let mut next: Vec<Timestamp> = (0..count).map(connected).collect();
        let mut checkpoints: Vec<String> = vec!["{}".to_owned(); count];
        let mut spent: BTreeMap<(usize, Option<usize>), Spent> = BTreeMap::new();
        let (fresh, requested) = (vec![Vec::new(); count], BTreeMap::new());
        let mut days = Days { share, fresh, requested, refused: 0, most: BTreeMap::new() };
        for tick in 0..self.days * 96 {
            let now = begin().checked_add(TICK * tick).unwrap();
            for page in 0..count {
                if now < next[page] {
                    continue;
                }
                let id = PageId::from_bits(u128::try_from(page).unwrap());
                let turn = until_turn(&id, now, share.every, TICK);
                next[page] = now.checked_add(turn).unwrap().checked_sub(TICK / 2).unwrap();
                let (owner, from) = ("1337".parse().unwrap(), begin().checked_sub(DAY * 30).unwrap());
                let scope = Scope { owner, token_version: 1, from, now };
                let begun = (self.network.spec().collect)(Start {
                    login: None,
                    ad_account: None,
                    scope,
                    access_token: &AccessToken::from_stored("token".to_owned()),
                    api: self.settings.api(self.network),
                    is_pushed: false,
                    sweeps: share.sweeps,
                    checkpoint: Some(&checkpoints[page]),
                });
                let mut run = begun.collector;
                let driven = drive(&mut *run, now, most, false, &answer);
                checkpoints[page] = run.checkpoint();
                // The first collection of a page takes calls besides.
                let counts = tick >= 96;
                for request in driven.requests {
                    *days.requested.entry(request.operation).or_default() += 1;
                    if request.operation == self.fresh && days.fresh[page].last() != Some(&now) {
                        days.fresh[page].push(now);
                    }
                    for (nth, limit) in limits.iter().enumerate().filter(|_| counts) {
                        let key = (nth, (limit.of == LimitScope::TheNetworkPage).then_some(page));
                        let before = spent.get(&key).copied();
                        days.refused += u64::from(limit.may(before, request.units, now) != Admission::Now);
                        let after = limit.spend(before, request.units, now);
                        let most = days.most.entry(limit.name()).or_default();
                        *most = after.units.max(*most);
                        spent.insert(key, after);
                    }
                }
            }
        }
        days
    }

    /// Each page is asked for what is new at least so often, and, after its first turn, just so often.
    fn assert_even(&self, days: &Days) {
        let every = days.share.every;
        // Turns of many pages are spread by their ids, not in equal numbers: a day may have a few more than another.
        let requested = days.requested.values().sum::<u64>();
        let few = self.pages <= 10 || self.network != Network::Linkedin;
        assert!(
            if few { days.refused == 0 } else { days.refused * 50 < requested },
            "{} of {requested}",
            days.refused
        );
        println!(
            "{} pages of {}: every {} min, {:?}, {} refused; asked in {} days: {:?}",
            self.pages,
            self.network,
            every.as_secs() / 60,
            days.most,
            days.refused,
            self.days,
            days.requested
        );
        let gap = |two: &[Timestamp]| Duration::try_from(two[1].duration_since(two[0])).unwrap();
        let end = begin().checked_add(DAY * self.days).unwrap();
        for times in &days.fresh {
            let gaps: Vec<Duration> = times.windows(2).map(gap).collect();
            assert!(gaps[0] <= every && gaps[1..].iter().all(|gap| *gap == every), "{gaps:?}");
            assert!(gap(&[*times.last().unwrap(), end]) <= every);
        }
    }
}

fn linkedin_answer(request: &NetworkRequest) -> Reply {
    let elements: Vec<Value> = match request.operation {
        "roles" => vec![json!({"organization": "urn:li:organization:1337", "role": "ADMINISTRATOR", "state": "APPROVED"})],
        "notifications" => Vec::new(),
        "posts" => (0..20)
            .map(|nth| {
                let at = START_MS - HOUR_MS * (nth + 1);
                json!({"id": format!("urn:li:share:{nth}"), "author": "urn:li:organization:1337",
                    "commentary": "oi", "lifecycleState": "PUBLISHED", "publishedAt": at, "lastModifiedAt": at})
            })
            .collect(),
        _ => {
            let at = START_MS - HOUR_MS / 2;
            vec![json!({"id": "1", "commentUrn": format!("urn:li:comment:({},1)", request.path.len()),
                "actor": "urn:li:person:a", "created": {"time": at}, "lastModified": {"time": at},
                "message": {"text": "oi"}})]
        }
    };
    Reply::json(200, &json!({"elements": elements, "paging": {"links": []}}))
}

fn linkedin_days(settings: &NetworkSettings, pages: u64, days: u32) -> Days {
    let simulated = Simulated { network: Network::Linkedin, settings, pages, days, fresh: "notifications" };
    let days = simulated.run(linkedin_answer);
    simulated.assert_even(&days);
    days
}

/// A channel with so many threads of the last 30 days, which are answered so many at once, whatever is asked for.
fn youtube_answer(threads: i64, at_once: i64) -> impl Fn(&NetworkRequest) -> Reply {
    move |request| {
        let from: i64 = query(request, "pageToken").map_or(0, |from| from.parse().unwrap());
        match request.operation {
            "channel" => Reply::json(
                200,
                &json!({"items": [{"id": "1337",
                "contentDetails": {"relatedPlaylists": {"uploads": "UU1337"}}}]}),
            ),
            "videos" => Reply::json(200, &json!({"items": []})),
            _ => {
                let thread = |nth: i64| {
                    let at = Timestamp::from_millisecond(START_MS - HOUR_MS * (nth + 1)).unwrap().to_string();
                    let top = json!({"id": format!("t{nth}"), "snippet": {"textDisplay": "oi",
                        "authorChannelId": {"value": "UCana"}, "publishedAt": at, "updatedAt": at}});
                    json!({"id": format!("t{nth}"),
                        "snippet": {"videoId": "v", "totalReplyCount": 0, "topLevelComment": top}})
                };
                let items: Vec<Value> = (from..(from + at_once).min(threads)).map(thread).collect();
                let next = (from + at_once < threads).then(|| (from + at_once).to_string());
                Reply::json(200, &json!({"items": items, "nextPageToken": next}))
            }
        }
    }
}

fn youtube_days(pages: u64, days: u32, threads: i64, at_once: i64) -> Days {
    let settings = NetworkSettings::default();
    let simulated =
        Simulated { network: Network::Youtube, settings: &settings, pages, days, fresh: "threads" };
    let days = simulated.run(youtube_answer(threads, at_once));
    simulated.assert_even(&days);
    days
}

#[test]
fn linkedins_limits_last_the_day_for_any_number_of_pages() {
    let settings = NetworkSettings::default();
    for (pages, minutes, days) in
        [(1, 60, 4), (2, 60, 4), (5, 60, 4), (6, 75, 4), (10, 120, 6), (100, 1155, 30)]
    {
        let found = linkedin_days(&settings, pages, days);
        assert_eq!(found.share.every.as_secs() / 60, minutes, "{pages} pages");
        // New posts are looked for as often, and comments that no notification told of.
        let lists = |what| found.requested[what];
        assert!(lists("posts") + pages >= lists("notifications") && lists("comments") >= 20 * pages);
    }
}

#[test]
fn pages_take_turns_over_days_where_a_run_a_day_is_too_much() {
    let found = linkedin_days(&NetworkSettings::default(), 480, 12);
    assert_eq!(found.share.every.as_secs() / 60, 5535);
}

#[test]
fn youtubes_units_last_the_day_for_any_number_of_channels() {
    for (pages, minutes, days) in [(1, 15, 2), (2, 15, 2), (10, 15, 2), (100, 60, 2), (330, 210, 3)] {
        let found = youtube_days(pages, days, 50, 10);
        assert_eq!(found.share.every.as_secs() / 60, minutes, "{pages} channels");
    }
}

#[test]
fn youtubes_units_last_where_20_threads_are_answered_for_100() {
    // 35 pages each: with pages of 100 they were 7.
    for (pages, minutes, days) in [(1, 15, 3), (33, 15, 3), (100, 60, 3)] {
        let found = youtube_days(pages, days, 700, 20);
        assert_eq!(found.share.every.as_secs() / 60, minutes, "{pages} channels");
        let sweeps = found.requested["threads"] / 34;
        assert!(sweeps >= pages * u64::from(days), "each day everything is looked at: {sweeps}");
    }
}
