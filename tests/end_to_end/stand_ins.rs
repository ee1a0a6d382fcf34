//! What the core asks networks and reads of their answers, against the stand-ins: two that were written apart from each
//! other, over HTTP, with a driver that stores nothing but keys.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::{Clock, testing};
use carteiro_fake_networks::{Fault, Kind, Networks, Thing};
use carteiro_networks::inbox::EntryKey;
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::normalise;
use carteiro_networks::page::AccessToken;
use carteiro_networks::poll::{
    Auth, Collector, NetworkRequest, NetworkResponse, Scope, Start, Stored, Verdict,
};
use carteiro_tests::client::{Client, Reply};
use http::Method;
use jiff::Timestamp;

const OWNER: &str = "501";
const TOKEN: &str = "EAAtoken";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A page of a network, and what was found of it: texts by key.
struct Page {
    networks: Networks,
    clock: Clock,
    network: Network,
    client: Client,
    found: BTreeMap<EntryKey, String>,
    /// The texts among them since the last look.
    new: Vec<String>,
    kept: Option<String>,
    verdicts: Vec<Verdict>,
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Page {
    async fn of(network: Network) -> Self {
        let clock = testing::clock();
        let networks = carteiro_tests::networks(clock.clone()).await;
        networks.connect(network, OWNER, TOKEN);
        networks.cap_pages(network, 2);
        let client = Client::new(&networks.url());
        let (found, new, kept, verdicts) = (BTreeMap::new(), Vec::new(), None, Vec::new());
        Self { networks, clock, network, client, found, new, kept, verdicts }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(i64::try_from(self.clock.now_ms()).unwrap()).unwrap()
    }

    fn publish(&self, thing: Thing) -> String {
        self.networks.publish(self.network, OWNER, thing).unwrap()
    }

    async fn call(&self, request: &NetworkRequest) -> Option<Reply> {
        assert_eq!(request.auth, Auth::Bearer);
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("/{}{}?{}", self.network, request.path, query.join("&"));
        let bearer = format!("Bearer {TOKEN}");
        self.client.try_request(Method::GET, &path, &[("authorization", bearer.as_str())], Bytes::new()).await
    }

    /// A tick: goes on from what the last one kept, with at most `most_calls` calls.
    async fn tick(&mut self, most_calls: usize) {
        let (owner, now): (NetworkId, _) = (OWNER.parse().unwrap(), self.now());
        let kept = self.kept.take();
        let from = now - jiff::SignedDuration::from_hours(30 * 24);
        let spec = self.network.spec();
        let begun = (spec.collect)(Start {
            is_pushed: false,
            scope: Scope { owner, token_version: 1, from, now },
            access_token: &AccessToken::from_stored(TOKEN.to_owned()),
            login: None,
            ad_account: None,
            api: &spec.api,
            sweeps: 0,
            checkpoint: kept.as_deref(),
        });
        assert!(!begun.lost_checkpoint);
        self.drive(begun.collector, most_calls).await;
    }

    async fn drive(&mut self, mut run: Box<dyn Collector>, most_calls: usize) {
        let owner: NetworkId = OWNER.parse().unwrap();
        for _ in 0..most_calls {
            let Some(request) = run.next() else { break };
            let Some(reply) = self.call(&request).await else { break };
            let header = |name: &str| reply.header(name);
            let answer = NetworkResponse { status: reply.status, header: &header, body: &reply.body };
            let heard = run.on_response(&answer, self.now());
            let mut stored = Stored::default();
            for event in &heard.events {
                assert!(!event.raw.get().contains(TOKEN), "{}", event.raw);
                let reading = normalise::read(event, &owner);
                let key = EntryKey::new(&reading.thing, &reading.version);
                let text = reading.content.text.unwrap_or_default();
                if self.found.insert(key, text.clone()).is_none() {
                    stored.new += 1;
                    self.new.push(text);
                } else {
                    stored.known += 1;
                }
            }
            run.on_stored(stored);
            if heard.verdict != Verdict::Fine {
                self.verdicts.push(heard.verdict);
            }
        }
        self.kept = Some(run.checkpoint());
    }

    /// The texts of all that was published.
    fn published(&self) -> Vec<String> {
        let things = self.networks.things(self.network, OWNER);
        let mut texts: Vec<String> = things.into_iter().map(|thing| thing.text).collect();
        texts.sort_unstable();
        texts
    }

    /// The texts that are new since the last look, in order of the alphabet.
    fn news(&mut self) -> Vec<String> {
        let mut texts = std::mem::take(&mut self.new);
        texts.sort_unstable();
        texts
    }
}

#[tokio::test]
async fn all_of_a_facebook_page_is_found_once_despite_cuts_and_limits() {
    let mut page = Page::of(Network::Facebook).await;
    for n in 0..5 {
        let post = page.publish(Thing::post(format!("post {n}")));
        for m in 0..3 {
            let comment = page.publish(Thing::comment(&post, format!("comment {n}.{m}")).by("7", "Ana"));
            page.publish(Thing::reply(&comment, format!("reply {n}.{m}")));
        }
    }
    page.publish(Thing::post("a visitor's").by("8", "Bia"));
    page.publish(Thing::new(Kind::Mention, "a tag").by("8", "Bia"));
    page.publish(Thing::review(5, "a review").by("9", "Caio"));
    for n in 0..3 {
        page.publish(Thing::direct_message("7", format!("message {n}")));
    }
    page.publish(Thing::direct_message("8", "another's"));
    page.networks.fault(Network::Facebook, Fault::Unavailable(503).on("comments").after(4));
    for _ in 0..12 {
        page.tick(9).await;
        page.clock.advance(Duration::from_secs(15 * 60));
    }
    page.tick(100).await;
    assert_eq!(page.news(), page.published(), "{:?}", page.verdicts);
    assert!(page.verdicts.iter().all(|verdict| *verdict == Verdict::Transient), "{:?}", page.verdicts);
    page.clock.advance(Duration::from_secs(15 * 60));
    let post = page.networks.things(Network::Facebook, OWNER)[0].id.clone();
    page.publish(Thing::comment(&post, "a late one").by("7", "Ana"));
    page.networks.edit(Network::Facebook, &post, "post 0, edited").unwrap();
    page.tick(100).await;
    assert_eq!(page.news(), ["a late one", "post 0, edited"]);
}

#[tokio::test]
async fn all_of_an_instagram_account_is_found_once() {
    let mut page = Page::of(Network::Instagram).await;
    for n in 0..3 {
        let media = page.publish(Thing::post(format!("photo {n}")));
        for m in 0..3 {
            let comment = page.publish(Thing::comment(&media, format!("comment {n}.{m}")).by("7", "ana"));
            for o in 0..3 {
                page.publish(Thing::reply(&comment, format!("reply {n}.{m}.{o}")).by("8", "bia"));
            }
        }
    }
    page.publish(Thing::new(Kind::Story, "a story"));
    page.publish(Thing::new(Kind::Tag, "a tag").by("8", "bia"));
    page.publish(Thing::direct_message("7", "a message"));
    page.publish(Thing::new(Kind::DirectMessage, "an answer").to("7", "ana"));
    for _ in 0..6 {
        page.tick(12).await;
        page.clock.advance(Duration::from_secs(15 * 60));
    }
    page.tick(100).await;
    assert_eq!(page.news(), page.published(), "{:?}", page.verdicts);
    assert_eq!(page.verdicts, []);
}

#[tokio::test]
async fn all_of_a_user_of_x_is_found_once_despite_a_limit() {
    let mut page = Page::of(Network::X).await;
    let post = page.publish(Thing::post("post"));
    for n in 0..7 {
        page.publish(Thing::reply(&post, format!("answer {n}")).by("7", "ana"));
        page.publish(Thing::post(format!("post {n}")));
        page.publish(Thing::direct_message("7", format!("message {n}")));
    }
    page.networks.fault(Network::X, Fault::Limited(Duration::from_secs(900)).on("mentions").after(1));
    page.tick(100).await;
    let limited = |verdict: &Verdict| matches!(verdict, Verdict::Wait { .. });
    assert!(page.verdicts.len() == 1 && page.verdicts.iter().all(limited), "{:?}", page.verdicts);
    for _ in 0..4 {
        page.clock.advance(Duration::from_secs(15 * 60));
        page.tick(100).await;
    }
    assert_eq!(page.news(), page.published(), "{:?}", page.verdicts);
    assert_eq!(page.networks.over_limit(Network::X), 0);
    page.clock.advance(DAY);
    page.publish(Thing::post("a day later"));
    page.tick(100).await;
    assert_eq!(page.news(), ["a day later"]);
}
