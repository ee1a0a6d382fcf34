//! Collecting from the networks' APIs, against their stand-ins: what is there is delivered once, whatever goes wrong on
//! the way, and no call is one too many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carteiro_fake_networks::{Connection, Fault, Kind, Thing, TokenState};
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, SOON};
use serde_json::{Value, json};

const TICK: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// One page of a network's, and what was published on it.
struct Case {
    bundle: Bundle,
    network: Network,
    account: Account,
    page: String,
    id: String,
    token: String,
    /// Every text that is to be delivered once.
    texts: BTreeSet<String>,
    posts: Vec<String>,
}

impl Case {
    /// A page with some things, and a webhook that takes all there is.
    async fn new(network: Network, settings: &str) -> Self {
        let (bundle, account) = Bundle::with_account([("NetworkSettings", settings)]).await;
        bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
        bundle.webhook(&account, "/notices", &["notice"]).await;
        let (id, token) = identity(network);
        bundle.networks.connect_with(network, Connection::new(&id, &token));
        let mut case = Self {
            bundle,
            network,
            account,
            page: String::new(),
            id,
            token,
            texts: BTreeSet::new(),
            posts: Vec::new(),
        };
        case.publish_some("before");
        let given = json!({
            "network": network.as_str(), "network_id": case.id, "name": "p", "access_token": case.token,
        });
        let reply = case.bundle.client.post("/pages", &case.account.key, given.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        case.page = reply.json()["id"].as_str().unwrap().to_owned();
        case
    }

    fn publish(&mut self, thing: Thing) -> String {
        let text = thing.text.clone();
        let id = self.bundle.networks.publish(self.network, &self.id, thing).unwrap();
        assert!(self.texts.insert(text), "texts are different");
        id
    }

    /// One of each kind that the network lists.
    fn publish_some(&mut self, word: &str) {
        let person = |thing: Thing| thing.by("900", "Ana");
        if self.network == Network::GooglePlay {
            self.publish(person(Thing::review(4, format!("{word} review"))).by(word, "Ana"));
            return;
        }
        let post = self.publish(Thing::post(format!("{word} post")));
        if self.network == Network::X {
            self.publish(person(Thing::new(Kind::Mention, format!("{word} mention @page"))));
        } else {
            let comment = self.publish(person(Thing::comment(&post, format!("{word} comment"))));
            self.publish(person(Thing::reply(comment, format!("{word} reply"))));
        }
        if matches!(self.network, Network::Facebook | Network::Instagram | Network::X) {
            self.publish(Thing::direct_message("900", format!("{word} message")));
        }
        self.posts.push(post);
    }

    /// Things of the kind that there are most of.
    fn publish_many(&mut self, word: &str, count: usize) {
        for number in 0..count {
            let text = format!("{word} {number}");
            let thing = match (self.network, self.posts.last()) {
                (Network::GooglePlay, _) => Thing::review(3, text).by(format!("{word}{number}"), "Rui"),
                (Network::X, _) => Thing::new(Kind::Mention, text).by("901", "Rui"),
                (_, Some(post)) => Thing::comment(post, text).by("901", "Rui"),
                (_, None) => Thing::post(text),
            };
            self.publish(thing);
        }
    }

    /// The time moves to the next tick, which collects.
    async fn tick(&self) {
        self.bundle.advance(TICK).await;
        self.tick_now().await;
    }

    async fn tick_now(&self) {
        self.bundle.tick().await;
        self.bundle.until_rest().await;
    }

    /// How often each text was delivered. A deletion, which LinkedIn's notifications tell, is an item without one.
    fn delivered(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for delivery in self.bundle.receiver.deliveries_to("/collected") {
            let item: Value = serde_json::from_slice(&delivery.body).unwrap();
            if item["action"] == "deleted" {
                continue;
            }
            *counts.entry(item["text"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        counts
    }

    /// How many ticks there are until the network's day ends, at the end of which its daily quota starts anew. Only
    /// LinkedIn's is so small that what a test does uses it up: then everything waits for the next day.
    fn ticks_to_next_quota(&self) -> usize {
        if self.network != Network::Linkedin {
            return 0;
        }
        let day_ms = 24 * 3_600_000;
        let left = Duration::from_millis(day_ms - self.bundle.stack.clock().now_ms() % day_ms);
        usize::try_from(left.as_secs().div_ceil(TICK.as_secs())).unwrap()
    }

    /// Ticks until everything was delivered, at most so often with a quota that is not used up, and answers how many it
    /// took. Nothing is delivered twice.
    async fn until_all(&self, most: usize) -> usize {
        let most = self.ticks_to_next_quota() + most;
        for ticks in 0..=most {
            let delivered = self.delivered();
            let missing: Vec<_> = self.texts.iter().filter(|text| !delivered.contains_key(*text)).collect();
            let twice: Vec<_> = delivered.iter().filter(|(_, count)| **count != 1).collect();
            assert!(twice.is_empty(), "{}: {twice:?}", self.network);
            if missing.is_empty() {
                let unknown: Vec<_> = delivered.keys().filter(|text| !self.texts.contains(*text)).collect();
                assert!(unknown.is_empty(), "{}: {unknown:?}", self.network);
                return ticks;
            }
            assert!(
                ticks < most,
                "{}: {missing:?} after {most} ticks; {:#?}\n{:#?}",
                self.network,
                self.bundle.complaints(),
                self.bundle.networks.calls(self.network).iter().rev().take(30).collect::<Vec<_>>(),
            );
            self.tick().await;
        }
        most
    }

    /// Something that was collected, with what is on it, is removed while it is walked through, and what comes after it
    /// is collected all the same.
    async fn vanish(&mut self) {
        let gone = match self.network {
            Network::GooglePlay => self.publish(Thing::review(1, "vanishing").by("vanishing", "Rui")),
            _ => self.publish(Thing::post("vanishing")),
        };
        if !matches!(self.network, Network::GooglePlay | Network::X) {
            for number in 0..3 {
                self.publish(Thing::comment(&gone, format!("vanishing {number}")).by("901", "Rui"));
            }
        }
        self.until_all(40).await;
        // What came after the last look is asked for at a post that is not there any more.
        if !matches!(self.network, Network::GooglePlay | Network::X) {
            let late = Thing::comment(&gone, "nobody sees this").by("901", "Rui");
            self.bundle.networks.publish(self.network, &self.id, late).unwrap();
        }
        self.bundle.networks.remove(self.network, &gone).unwrap();
        self.publish_many("after it vanished", 4);
        self.until_all(40).await;
    }

    async fn shown(&self) -> Value {
        let path = format!("/pages/{}", self.page);
        self.bundle.client.get(&path, &self.account.key).await.json()
    }

    async fn renew(&mut self) {
        self.token.push('2');
        self.bundle.networks.connect_with(self.network, Connection::new(&self.id, &self.token));
        let path = format!("/pages/{}", self.page);
        let reply =
            self.bundle.client.patch(&path, &self.account.key, &json!({"access_token": self.token})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// No call was made beyond a limit, nor with a token that was known to be dead.
    fn assert_calls(&self) {
        let networks = &self.bundle.networks;
        let wrong: Vec<_> = networks
            .calls(self.network)
            .into_iter()
            .filter(|call| call.over_limit || call.dead_token)
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

fn identity(network: Network) -> (String, String) {
    let (id, token) = match network {
        Network::Facebook => ("501", "EAAB-planted-token"),
        Network::Instagram => ("17841400000000501", "IGQV-planted-token"),
        Network::X => ("2244994945", "x-planted-token"),
        Network::Youtube => ("UC_planted_channel_000001", "ya29.planted-token"),
        Network::GooglePlay => ("com.example.app", "ya29.planted-play-token"),
        Network::Linkedin => ("5005", "AQX-planted-token"),
    };
    (id.to_owned(), token.to_owned())
}

/// A first collection, steady ticks, several ticks of paging, and everything that goes wrong on the way.
async fn everything_is_delivered_once(network: Network, settings: &str) {
    let mut case = Case::new(network, settings).await;
    case.tick_now().await;
    case.until_all(8).await;

    case.publish_some("steady");
    case.until_all(8).await;
    let calls = case.bundle.networks.calls(network).len();
    case.tick().await;
    assert!(case.bundle.networks.calls(network).len() > calls, "a steady tick asks too");

    case.bundle.networks.cap_pages(network, 2);
    case.publish_many("many", 20);
    let ticks = case.until_all(40).await;
    assert!(ticks > 1, "{ticks} ticks for twenty things by two, few calls a tick");

    case.publish_many("limited", 8);
    case.bundle.networks.fault(network, Fault::Limited(20 * MINUTE).after(2));
    case.until_all(40).await;

    case.publish_many("dying", 8);
    case.bundle.networks.fault(network, Fault::Token(TokenState::Revoked).after(2));
    case.tick().await;
    case.tick().await;
    let shown = case.shown().await;
    // Some networks do not say which.
    assert!(["revoked", "expired"].map(Value::from).contains(&shown["token"]["state"]), "{shown}");
    assert_eq!((&shown["last_tick"]["result"], &shown["next_at"]), (&json!("token"), &Value::Null));
    let dead = case.bundle.networks.calls(network).len();
    case.tick().await;
    assert_eq!(case.bundle.networks.calls(network).len(), dead, "no call with a dead token");
    case.bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
    case.renew().await;
    case.until_all(40).await;
    assert_eq!(case.shown().await["token"]["state"], "ok");

    case.publish_many("malformed", 5);
    case.bundle.networks.fault(network, Fault::Malformed.after(1));
    case.bundle.networks.fault(network, Fault::Dropped.after(3));
    case.until_all(40).await;

    case.vanish().await;

    case.publish_many("outage", 5);
    case.bundle.networks.fault(network, Fault::Unavailable(503).lasting(60 * MINUTE));
    for _ in 0..4 {
        case.tick().await;
    }
    case.until_all(40).await;

    let shown = case.shown().await;
    assert_eq!(shown["token"]["state"], "ok", "{shown}");
    case.assert_calls();
    case.bundle.stop().await;
}

#[tokio::test]
async fn all_that_facebook_has_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::Facebook, r#"{"calls": 9}"#).await;
}

#[tokio::test]
async fn all_that_instagram_has_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::Instagram, r#"{"calls": 9}"#).await;
}

#[tokio::test]
async fn all_that_x_has_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::X, r#"{"calls": 9, "x": {"page_size": 5}}"#).await;
}

#[tokio::test]
async fn all_that_youtube_has_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::Youtube, r#"{"calls": 9}"#).await;
}

#[tokio::test]
async fn all_of_google_play_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::GooglePlay, r#"{"calls": 9}"#).await;
}

#[tokio::test]
async fn all_that_linkedin_has_is_delivered_once_whatever_goes_wrong() {
    everything_is_delivered_once(Network::Linkedin, r#"{"calls": 9}"#).await;
}

/// What was delivered of a post, in its order: texts and actions.
fn delivered_of_post(case: &Case) -> Vec<(String, String)> {
    let deliveries = case.bundle.receiver.deliveries_to("/collected");
    let items = deliveries.iter().map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap());
    let posts = items.filter(|item| item["kind"] == "post");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    posts.map(|item| (text(&item["text"]), text(&item["action"]))).collect()
}

/// LinkedIn says when a post was edited; Facebook does not, and its lists may be late.
#[tokio::test]
async fn an_edit_back_that_polling_alone_finds_is_delivered() {
    for (network, soon) in [(Network::Facebook, false), (Network::Linkedin, true)] {
        let case = Case::new(network, "{}").await;
        case.tick_now().await;
        case.until_all(8).await;
        let post = case.posts[0].clone();
        let first = case.texts.iter().find(|text| text.ends_with("post")).unwrap().clone();
        for (text, count) in [("another", 2), (first.as_str(), if soon { 3 } else { 2 })] {
            case.bundle.networks.edit(network, &post, text).unwrap();
            for _ in 0..3 {
                case.tick().await;
            }
            assert_eq!(delivered_of_post(&case).len(), count, "{network}: {:?}", delivered_of_post(&case));
        }
        for _ in 0..10 {
            case.tick().await;
        }
        let delivered = delivered_of_post(&case);
        let expected = [(first.as_str(), "created"), ("another", "edited"), (first.as_str(), "edited")];
        let expected = expected.map(|(text, action)| (text.to_owned(), action.to_owned()));
        assert_eq!(delivered, expected, "{network}");
        case.bundle.stop().await;
    }
}

/// Bodies that no network documents, and some that are none.
const UNKNOWN: [&str; 9] = [
    "",
    "null",
    "[]",
    "[[[]]]",
    "\"text\"",
    "<html>down for maintenance</html>",
    r#"{"data": 7, "items": "x", "elements": {}, "reviews": null, "paging": [], "meta": 3}"#,
    r#"{"data": [null, 7, "x", {}, {"id": {}}], "items": [null, {}], "elements": [{}], "reviews": [{}]}"#,
    r#"{"error": "an error of another form", "errors": [[]]}"#,
];

/// The real answers of a network's API that the tests were given.
fn samples(network: Network) -> Vec<(String, String)> {
    let Some(root) = carteiro_tests::tools::samples() else { return Vec::new() };
    let Ok(files) = std::fs::read_dir(root.join(network.as_str())) else { return Vec::new() };
    let named = files.map(|file| file.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".json") && (name.starts_with("api-") || name.starts_with("error-"))
    });
    let read =
        |path: std::path::PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    let mut found: Vec<_> = named.map(read).collect();
    found.sort();
    found
}

#[tokio::test]
async fn neither_real_answers_nor_unknown_ones_break_a_tick() {
    let mut tried = 0;
    for network in Network::ALL {
        let mut case = Case::new(network, "{}").await;
        case.tick_now().await;
        case.until_all(8).await;
        let unknown = UNKNOWN.iter().map(|body| ("unknown".to_owned(), (*body).to_owned()));
        for (name, body) in samples(network).into_iter().chain(unknown) {
            for status in [200, 404] {
                let answer = Fault::Answer { status, body: body.clone() };
                case.bundle.networks.fault(network, answer.times(2));
                case.tick().await;
                case.bundle.networks.lift_faults(network);
                tried += 1;
                let shown = case.shown().await;
                assert_ne!(shown["last_tick"]["result"], "fault", "{name}: {shown}");
                // Google Play says by 404 that it may not be seen.
                let state = &shown["token"]["state"];
                assert!(state == "ok" || state == "narrowed", "{name}, {status}: {shown}");
            }
        }
        case.publish_some("after");
        for _ in 0..30 {
            case.tick().await;
            let delivered = case.delivered();
            if case.texts.iter().all(|text| delivered.contains_key(text)) {
                break;
            }
        }
        let delivered = case.delivered();
        let wrong: Vec<_> =
            case.texts.iter().filter(|text| delivered.get(*text).is_none_or(|count| *count != 1)).collect();
        assert!(wrong.is_empty(), "{network}: {wrong:?} {:#?}", case.bundle.complaints());
        assert_eq!(case.shown().await["token"]["state"], "ok", "{network}");
        let errors: Vec<_> =
            case.bundle.complaints().into_iter().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.is_empty(), "{network}: {errors:#?}");
        case.bundle.stop().await;
    }
    assert!(tried >= 100, "{tried}");
}

/// The network's own limits, and ours as they are unless they are set: 100 calls a day of a member.
#[tokio::test]
async fn linkedins_development_tier_suffices_for_many_posts() {
    let bundle = Bundle::start().await;
    let (day, hour) = (24 * 3_600_000, 3_600_000);
    let clock = bundle.stack.clock();
    clock.advance(Duration::from_millis(day - clock.now_ms() % day));
    let account = bundle.account().await;
    bundle.webhook(&account, "/collected", &["publication"]).await;
    let (id, token) = identity(Network::Linkedin);
    bundle.networks.connect(Network::Linkedin, &id, &token);
    let publish = |text: String| {
        bundle.networks.publish(Network::Linkedin, &id, Thing::post(text)).unwrap();
    };
    (0..30).for_each(|number| publish(format!("before {number}")));
    let given = json!({"network": "linkedin", "network_id": id, "name": "p", "access_token": token});
    let reply = bundle.client.post("/pages", &account.key, given.to_string()).await;
    let path = format!("/pages/{}", reply.json()["id"].as_str().unwrap());
    for number in 0..24 {
        publish(format!("hour {number}"));
        let slot_ms = clock.now_ms();
        bundle.stack.run_schedule("carteiro-tick", slot_ms).await.unwrap();
        bundle.until_rest().await;
        let shown = bundle.client.get(&path, &account.key).await.json();
        let result = shown["last_tick"]["result"].as_str();
        assert!(matches!(result, Some("ok" | "more")), "hour {number}: {shown}");
        assert_eq!(shown["every_minutes"], 60, "{shown}");
        clock.advance(Duration::from_millis((slot_ms + hour).saturating_sub(clock.now_ms())));
    }
    assert_eq!(bundle.receiver.count("/collected"), 54, "{:#?}", bundle.complaints());
    let calls = bundle.networks.calls(Network::Linkedin);
    assert!((72..=100).contains(&calls.len()), "{} calls", calls.len());
    assert!(calls.iter().all(|call| !call.over_limit));
    bundle.stop().await;
}
