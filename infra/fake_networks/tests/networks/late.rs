//! Lists that show things late, asked by the product's own collectors: what is found, when, and at what price.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use carteiro_fake_networks::{Kind, LimitOf, Thing};
use carteiro_networks::network::Network;
use carteiro_networks::normalise;
use carteiro_networks::page::AccessToken;
use carteiro_networks::poll::settings::NetworkSettings;
use carteiro_networks::poll::{NetworkResponse, Scope, Start, Stored, Verdict};
use jiff::Timestamp;
use url::form_urlencoded;

use crate::support::{HOUR, MINUTE, World};

const TICK: Duration = Duration::from_secs(15 * 60);
const MINUTE_MS: u64 = 60_000;
/// How many things a page has in the hours that are looked at.
const THINGS: u64 = 60;
const HOURS: u32 = 8;

/// A page, its token, and what it has at the start: a post or review, and a comment on it.
fn page_of(network: Network) -> (&'static str, &'static str) {
    match network {
        Network::Facebook => ("501", "EAAB-late"),
        Network::Instagram => ("17841400000000501", "EAAB-late"),
        Network::X => ("2244994945", "x-late"),
        Network::Youtube => ("UC_late_channel_00000001", "ya29.late"),
        Network::GooglePlay => ("com.example.late", "ya29.late"),
        Network::Linkedin => ("5005", "AQX-late"),
    }
}

/// What lists show on each network: each of its lists has some of it.
fn kinds(network: Network) -> &'static [Kind] {
    use Kind::{Comment, DirectMessage, Mention, Post, Reply, Review, Story, Tag};
    match network {
        Network::Facebook => &[Post, Comment, Reply, Mention, DirectMessage, Review],
        Network::Instagram => &[Post, Story, Comment, Reply, Tag, DirectMessage],
        Network::X => &[Post, Reply, Mention, DirectMessage],
        Network::Youtube => &[Post, Comment, Reply],
        Network::GooglePlay => &[Review],
        Network::Linkedin => &[Post, Comment, Reply, Mention],
    }
}

/// One number after another, by xorshift (Marsaglia, 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// A page that is polled each quarter of an hour.
struct Polled {
    world: World,
    network: Network,
    from: Timestamp,
    checkpoint: String,
    /// What was found, by the mark in its text, and when first.
    found: BTreeMap<String, u64>,
}

impl Polled {
    async fn start(network: Network) -> Self {
        let world = World::start().await;
        let (page, token) = page_of(network);
        world.networks.connect(network, page, token);
        // A page that is polled so often has more than the development tier's calls.
        for of in [LimitOf::Page, LimitOf::App] {
            world.networks.limit(Network::Linkedin, of, "", 10_000);
        }
        // As YouTube lists threads.
        world.networks.cap_pages_of(Network::Youtube, "commentThreads", 20);
        let from = timestamp(world.clock.now_ms()).checked_sub(HOUR * 24).unwrap();
        Self { world, network, from, checkpoint: "{}".to_owned(), found: BTreeMap::new() }
    }

    /// A tick: everything that is to be asked; the operations of its calls.
    async fn tick(&mut self) -> Vec<&'static str> {
        let (page, token) = page_of(self.network);
        let (settings, now_ms) = (NetworkSettings::default(), self.world.clock.now_ms());
        let owner = page.parse().unwrap();
        let begun = (self.network.spec().collect)(Start {
            is_pushed: false,
            scope: Scope { owner, token_version: 1, from: self.from, now: timestamp(now_ms) },
            access_token: &AccessToken::from_stored(token.to_owned()),
            login: None,
            ad_account: None,
            api: settings.api(self.network),
            sweeps: u64::MAX,
            checkpoint: Some(&self.checkpoint),
        });
        assert!(!begun.lost_checkpoint);
        let (mut run, mut operations) = (begun.collector, Vec::new());
        let owner = page.parse().unwrap();
        while let Some(request) = run.next() {
            operations.push(request.operation);
            assert!(operations.len() < 300, "{operations:?}");
            let path = format!("/{}{}", self.network, request.path);
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(&request.query);
            let path = if request.query.is_empty() { path } else { format!("{path}?{}", query.finish()) };
            let headers: Vec<(&str, &str)> =
                request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = self.world.get_with(&path, token, &headers).await;
            let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
            let response =
                NetworkResponse { status: answer.status, header: &header, body: answer.text.as_bytes() };
            let parsed = run.on_response(&response, timestamp(now_ms));
            // A channel without videos has no list of them.
            let is_expected = matches!(parsed.verdict, Verdict::Fine | Verdict::Gone);
            assert!(is_expected, "{path}: {:?} {}", parsed.verdict, answer.text);
            for event in &parsed.events {
                let text = normalise::read(event, &owner).content.text.unwrap_or_default();
                let mark = text.split_whitespace().find(|word| word.starts_with('#')).map(str::to_owned);
                self.found.entry(mark.unwrap_or_default()).or_insert(now_ms);
            }
            run.on_stored(Stored { new: parsed.events.len(), known: 0 });
        }
        self.checkpoint = run.checkpoint();
        operations
    }

    async fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.world.clock.advance(TICK);
            self.tick().await;
        }
    }

    fn publish(&self, thing: Thing) -> String {
        self.world.networks.publish(self.network, page_of(self.network).0, thing).unwrap()
    }

    /// What was there before.
    fn begin(&self, before_ms: u64) -> HashMap<Kind, String> {
        let mut parents = HashMap::new();
        let first = if self.network == Network::GooglePlay { Kind::Review } else { Kind::Post };
        parents.insert(
            Kind::Comment,
            self.publish(Thing { rating: Some(5), ..Thing::new(first, "#first") }.at(before_ms)),
        );
        if kinds(self.network).contains(&Kind::Comment) {
            let comment =
                Thing::comment(&parents[&Kind::Comment], "#second").by("9", "Ana").at(before_ms + 1000);
            parents.insert(Kind::Reply, self.publish(comment));
        } else {
            parents.insert(Kind::Reply, parents[&Kind::Comment].clone());
        }
        parents
    }
}

fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(ms.cast_signed()).unwrap()
}

/// Hours of things of all kinds, listed up to so many minutes late: when each was listed, and when it was found.
async fn hours_of_late_lists(
    network: Network,
    seed: u64,
    most_minutes: u64,
) -> Vec<(String, u64, Option<u64>)> {
    let mut polled = Polled::start(network).await;
    let begins_ms = polled.world.clock.now_ms();
    let parents = polled.begin(begins_ms - 60 * MINUTE_MS);
    let mut chance = Chance(seed);
    let mut listed = BTreeMap::new();
    for nth in 0..THINGS {
        let at_ms = begins_ms + chance.below(u64::from(HOURS) * 60) * MINUTE_MS + chance.below(MINUTE_MS);
        let late_ms = chance.below(most_minutes + 1) * MINUTE_MS;
        let of = kinds(network);
        let kind = of[usize::try_from(chance.below(of.len() as u64)).unwrap()];
        let own = matches!(kind, Kind::Post | Kind::Story);
        let mark = format!("#{nth}");
        let mut thing = Thing::new(kind, format!("{kind:?} {mark}")).at(at_ms).shown_from(at_ms + late_ms);
        thing.parent = parents.get(&kind).cloned();
        thing.rating = (kind == Kind::Review).then_some(4);
        if network == Network::X && kind == Kind::Mention {
            thing.text = format!("{} @Page{}", thing.text, page_of(network).0);
        }
        if !own {
            let user = format!("9{}", chance.below(6));
            thing = thing.by(&user, format!("User {user}"));
        }
        polled.publish(thing);
        listed.insert(mark, at_ms + late_ms);
    }
    polled.tick().await;
    polled.ticks(HOURS * 4 + 24).await;
    listed.into_iter().map(|(mark, at)| (mark.clone(), at, polled.found.get(&mark).copied())).collect()
}

#[tokio::test]
async fn what_six_networks_list_two_hours_late_is_found() {
    for network in Network::ALL {
        let (mut within, mut all) = (0_usize, 0_usize);
        for (seed, most_minutes) in [(0x5EED_0001, 60), (0x5EED_0002, 119)] {
            let found = hours_of_late_lists(network, seed, most_minutes).await;
            let lost: Vec<_> = found.iter().filter(|(.., at)| at.is_none()).collect();
            assert!(lost.is_empty(), "{network}, up to {most_minutes} minutes late: {lost:?}");
            let soon = |(_, listed, at): &&(String, u64, Option<u64>)| {
                at.is_some_and(|at| at.saturating_sub(*listed) <= 16 * MINUTE_MS)
            };
            within += found.iter().filter(soon).count();
            all += found.len();
        }
        assert!(within * 100 >= all * 90, "{network}: {within} of {all} by the tick after they were listed");
    }
}

#[tokio::test]
async fn a_quiet_page_takes_no_call_more() {
    for (network, expected) in [
        (Network::X, &["posts", "mentions", "messages"][..]),
        (Network::Youtube, &["videos", "threads"]),
        (Network::GooglePlay, &["reviews"]),
        (Network::Linkedin, &["notifications", "posts", "comments"]),
        (Network::Facebook, &["posts", "conversations", "tagged", "ratings"]),
        (Network::Instagram, &["media", "stories", "conversations", "tags"]),
    ] {
        let mut polled = Polled::start(network).await;
        let begins_ms = polled.world.clock.now_ms();
        let parents = polled.begin(begins_ms - 30 * MINUTE_MS);
        for nth in 0..8_u64 {
            let kind = *kinds(network).last().unwrap();
            let mut thing =
                Thing::new(kind, format!("#{nth}")).by(format!("9{nth}"), "Ana").at(begins_ms - nth * 1000);
            thing.rating = (kind == Kind::Review).then_some(4);
            thing.parent = (kind == Kind::Reply).then(|| parents[&Kind::Reply].clone());
            polled.publish(thing);
        }
        polled.tick().await;
        let mut calls = Vec::new();
        for _ in 0..12 {
            polled.world.clock.advance(TICK);
            calls.push(polled.tick().await);
        }
        // Each conversation is read again three times, and posts have their looks; nothing else is asked.
        let beside: BTreeSet<&str> = ["messages", "comments"].into();
        for one in &calls {
            let lists: Vec<&str> = one
                .iter()
                .copied()
                .filter(|what| expected.contains(what) || !beside.contains(what))
                .collect();
            assert_eq!(lists, expected, "{network}");
        }
        let read = calls.iter().flatten().filter(|what| **what == "messages").count();
        let conversations = if network == Network::Instagram { 8 } else { 0 };
        if network != Network::X {
            assert_eq!(read, 3 * conversations, "{network}");
        }
    }
}

#[tokio::test]
async fn lists_are_late_where_the_control_says_so() {
    let polled = Polled::start(Network::X).await;
    let networks = &polled.world.networks;
    networks.list_late(Network::X, Kind::Mention, MINUTE * 5);
    let id = polled.publish(Thing::new(Kind::Mention, "late").by("9", "Ana"));
    let post = polled.publish(Thing::post("at once"));
    let (page, token) = page_of(Network::X);
    let path = |list: &str| format!("/x/2/users/{page}/{list}");
    assert!(polled.world.get(&path("mentions"), token).await.ids().is_empty());
    assert_eq!(polled.world.get(&path("tweets"), token).await.ids(), [post]);
    assert_eq!(polled.world.get(&format!("/x/2/tweets/{id}"), token).await.json()["data"]["id"], id.as_str());
    polled.world.clock.advance(MINUTE * 5);
    assert_eq!(polled.world.get(&path("mentions"), token).await.ids(), std::slice::from_ref(&id));
    let body = r#"{"network":"x","kind":"post","seconds":60}"#;
    assert_eq!(polled.world.post("/control/late", "application/json", body).await.unwrap().status, 200);
    polled.publish(Thing::post("later"));
    assert_eq!(polled.world.get(&path("tweets"), token).await.ids().len(), 1);
    polled.world.clock.advance(MINUTE);
    assert_eq!(polled.world.get(&path("tweets"), token).await.ids().len(), 2);
}
