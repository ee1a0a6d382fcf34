//! Pages' tokens through a collection: renewed where that is possible, looked at, told of before they end, and not used
//! when they are dead or somebody else's.

use std::time::Duration;

use carteiro_fake_networks::{Connection, Kind, Thing, TokenState};
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, SOON};
use serde_json::{Value, json};

use crate::networks::{SECRETS, comment, facebook, inbox, instagram as pushed_comment, pushed};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The parameters of a deployment that has apps at the networks.
const APPS: [(&str, &str); 8] = [
    ("XClientId", "x-app"),
    ("XClientSecret", "planted-x-secret"),
    ("GoogleClientId", "google-app"),
    ("GoogleClientSecret", "planted-google-secret"),
    ("LinkedinClientId", "linkedin-app"),
    ("LinkedinClientSecret", "planted-linkedin-secret"),
    ("MetaAppToken", "meta-app|planted-meta-token"),
    ("NetworkSettings", "{}"),
];

struct Connected {
    bundle: Bundle,
    account: Account,
    page: String,
    network: Network,
    id: String,
}

impl Connected {
    async fn new(connection: Connection, given: Value) -> Self {
        let bundle = Bundle::start_with(SECRETS.into_iter().chain(APPS)).await;
        for (network, id, secret) in [
            (Network::X, "x-app", "planted-x-secret"),
            (Network::Youtube, "google-app", "planted-google-secret"),
            (Network::GooglePlay, "google-app", "planted-google-secret"),
            (Network::Linkedin, "linkedin-app", "planted-linkedin-secret"),
            (Network::Facebook, "meta-app", "planted-meta-token"),
        ] {
            bundle.networks.client(network, id, secret);
        }
        let account = bundle.account().await;
        bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
        bundle.webhook(&account, "/notices", &["notice"]).await;
        let network: Network = given["network"].as_str().unwrap().parse().unwrap();
        let id = connection.page.clone();
        bundle.networks.connect_with(network, connection);
        let mut this = Self { bundle, account, page: String::new(), network, id };
        this.page = this.post(given).await;
        this
    }

    async fn post(&self, mut given: Value) -> String {
        given["network_id"] = self.id.as_str().into();
        given["name"] = "Uma página".into();
        let reply = self.bundle.client.post("/pages", &self.account.key, given.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    fn publish(&self, thing: Thing) -> String {
        self.bundle.networks.publish(self.network, &self.id, thing).unwrap()
    }

    async fn after(&self, time: Duration) {
        self.bundle.advance(time).await;
        self.tick().await;
    }

    async fn tick(&self) {
        self.bundle.tick().await;
        self.bundle.until_rest().await;
    }

    async fn shown(&self) -> Value {
        self.bundle.client.get(&format!("/pages/{}", self.page), &self.account.key).await.json()
    }

    async fn state(&self) -> Value {
        self.shown().await["token"]["state"].clone()
    }

    fn items(&self) -> Vec<Value> {
        let deliveries = self.bundle.receiver.deliveries_to("/collected");
        deliveries.iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect()
    }

    fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.items().iter().map(|item| item["text"].as_str().unwrap_or_default().to_owned()).collect();
        texts.sort();
        texts
    }

    fn notices(&self) -> Vec<String> {
        let deliveries = self.bundle.receiver.deliveries_to("/notices");
        let kind = |body: &[u8]| {
            let notice: Value = serde_json::from_slice(body).unwrap();
            notice["type"].as_str().unwrap().to_owned()
        };
        deliveries.iter().map(|one| kind(&one.body)).collect()
    }

    /// Ends; no call was made with a token that was known to be dead.
    async fn end(self) {
        assert_eq!(self.bundle.networks.with_dead_tokens(self.network), 0);
        self.bundle.stop().await;
    }
}

fn connection(id: &str, token: &str) -> Connection {
    Connection::new(id, token)
}

#[tokio::test]
async fn xs_tokens_of_two_hours_are_renewed_by_one_use_refresh_tokens() {
    let token = connection("2244", "x-planted").refresh_token("x-planted-refresh").expires_in(2 * HOUR);
    let ends = "2000-01-01T00:00:00Z";
    let given = json!({"network": "x", "access_token": "x-planted", "refresh_token": "x-planted-refresh", "expires_at": ends});
    let connected = Connected::new(token, given).await;
    for number in 0..12 {
        connected.publish(Thing::post(format!("post {number:02}")));
        connected.after(HOUR).await;
    }
    let expected: Vec<String> = (0..12).map(|number| format!("post {number:02}")).collect();
    assert_eq!(connected.texts(), expected, "{:#?}", connected.bundle.complaints());
    assert_eq!((connected.state().await, connected.notices()), (json!("ok"), vec![]));
    let calls = connected.bundle.networks.calls(Network::X);
    let renewals = calls.iter().filter(|call| call.kind == "token").count();
    assert!((6..=13).contains(&renewals), "{renewals} renewals in 12 hours");
    connected.end().await;
}

#[tokio::test]
async fn googles_tokens_are_renewed_until_their_owner_takes_them_back() {
    let token = connection("UC77", "ya29.planted").refresh_token("1//planted").expires_in(HOUR);
    let given = json!({"network": "youtube", "access_token": "ya29.planted", "refresh_token": "1//planted"});
    let connected = Connected::new(token, given).await;
    connected.publish(Thing::post("first"));
    connected.tick().await;
    // Nobody said when it ends: the network does, and it is renewed in the same run.
    connected.publish(Thing::post("second"));
    connected.after(2 * HOUR).await;
    assert_eq!(connected.texts(), ["first", "second"], "{:#?}", connected.bundle.complaints());
    assert_eq!(connected.state().await, "ok");
    connected.bundle.networks.token(Network::Youtube, "1//planted", TokenState::Revoked).unwrap();
    connected.after(2 * HOUR).await;
    connected.bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
    assert_eq!(
        (connected.state().await, connected.notices()),
        (json!("revoked"), vec!["page.token_revoked".into()])
    );
    let calls = connected.bundle.networks.calls(Network::Youtube).len();
    connected.after(2 * HOUR).await;
    assert_eq!(connected.bundle.networks.calls(Network::Youtube).len(), calls);
    connected.bundle.stop().await;
}

#[tokio::test]
async fn instagrams_own_tokens_are_renewed_in_their_second_half() {
    let token = connection("17841", "IGplanted").expires_in(60 * DAY);
    let connected = Connected::new(token, json!({"network": "instagram", "access_token": "IGplanted"})).await;
    for _ in 0..10 {
        connected.after(13 * DAY).await;
    }
    connected.publish(Thing::post("after four months"));
    connected.after(HOUR).await;
    assert_eq!(connected.texts(), ["after four months"], "{:#?}", connected.bundle.complaints());
    assert_eq!((connected.state().await, connected.notices()), (json!("ok"), vec![]));
    connected.end().await;
}

#[tokio::test]
async fn a_tokens_end_is_notified_before_and_at_the_end() {
    let token = connection("501", "EAAplanted").expires_in(9 * DAY);
    let connected = Connected::new(token, json!({"network": "facebook", "access_token": "EAAplanted"})).await;
    connected.tick().await;
    let shown = connected.shown().await;
    assert_eq!(shown["token"]["state"], "ok", "{shown}: {:#?}", connected.bundle.complaints());
    assert!(shown["token"]["expires_at"].is_string(), "the network said when: {shown}");
    let mut states = Vec::new();
    for _ in 0..10 {
        connected.after(DAY).await;
        states.push(connected.state().await);
    }
    assert_eq!(states[0], "ok");
    assert_eq!((&states[3], states.last()), (&json!("expiring"), Some(&json!("expired"))), "{states:?}");
    // 9 days are less than 15, and then less than 7 and 1.
    let expected = [&["page.token_expiring"; 3][..], &["page.token_expired"]].concat();
    assert_eq!(connected.notices(), expected);
    connected.end().await;
}

#[tokio::test]
async fn nothing_is_collected_with_somebody_elses_token() {
    let connected = Connected::new(
        connection("501", "EAAplanted"),
        json!({"network": "facebook", "access_token": "EAAplanted"}),
    )
    .await;
    let somebody = TokenState::SomebodyElses("777".to_owned());
    connected.bundle.networks.token(Network::Facebook, "EAAplanted", somebody).unwrap();
    connected.publish(Thing::post("not theirs"));
    connected.tick().await;
    connected.after(HOUR).await;
    assert_eq!((connected.texts(), connected.state().await), (vec![], json!("revoked")));
    connected.bundle.stop().await;
}

#[tokio::test]
async fn pushed_ids_are_completed_and_dispatched_once() {
    let connected = Connected::new(
        connection("17841", "IGplanted"),
        json!({"network": "instagram", "access_token": "IGplanted"}),
    )
    .await;
    let networks = &connected.bundle.networks;
    let mention = |text: &str| Thing::new(Kind::Mention, text).by("900", "ana");
    let post = connected.publish(mention("a caption with @page"));
    let gone = connected.publish(mention("gone"));
    let push = async |media: &str| {
        let body = json!({"object": "instagram", "entry": [{"id": "17841", "time": 1_795_000_100, "changes": [
            {"field": "mentions", "value": {"media_id": media}},
        ]}]});
        pushed(&connected.bundle, "instagram", &body).await;
    };
    push(&post).await;
    push(&gone).await;
    networks.remove(Network::Instagram, &gone).unwrap();
    assert_eq!(inbox(&connected.bundle).await.incomplete, 2);
    networks.token(Network::Instagram, "IGplanted", TokenState::Revoked).unwrap();
    connected.tick().await;
    assert_eq!(connected.items().len(), 0, "they wait");
    assert_eq!(inbox(&connected.bundle).await.incomplete, 2);
    networks.connect(Network::Instagram, "17841", "IGplanted2");
    let path = format!("/pages/{}", connected.page);
    let patch = json!({"access_token": "IGplanted2"});
    connected.bundle.client.patch(&path, &connected.account.key, &patch).await;
    connected.tick().await;
    connected.after(HOUR).await;
    let mentions: Vec<Value> =
        connected.items().into_iter().filter(|item| item["kind"] == "mention").collect();
    let mut texts: Vec<&Value> = mentions.iter().map(|item| &item["text"]).collect();
    texts.sort_by_key(|text| text.is_null());
    assert_eq!(texts, [&json!("a caption with @page"), &Value::Null], "{:#?}", connected.bundle.complaints());
    assert_eq!(inbox(&connected.bundle).await.incomplete, 0);
    connected.end().await;
}

#[tokio::test]
async fn a_thing_pushed_and_found_is_one_item_and_its_edit_another() {
    let connected = Connected::new(
        connection("17841", "IGplanted"),
        json!({"network": "instagram", "access_token": "IGplanted"}),
    )
    .await;
    let networks = &connected.bundle.networks;
    let post = connected.publish(Thing::post("a post"));
    connected.publish(Thing::comment(&post, "olá").by("78", "bia").with_id("600_pushed"));
    let push = pushed_comment("17841", "600_pushed");
    pushed(&connected.bundle, "instagram", &push).await;
    connected.tick().await;
    connected.after(HOUR).await;
    pushed(&connected.bundle, "instagram", &push).await;
    connected.after(HOUR).await;
    assert_eq!(connected.texts(), ["a post", "olá"], "{:#?}", connected.bundle.complaints());
    networks.edit(Network::Instagram, &post, "a post, edited").unwrap();
    connected.after(HOUR).await;
    connected.after(HOUR).await;
    let edited: Vec<Value> =
        connected.items().into_iter().filter(|item| item["text"] == "a post, edited").collect();
    assert_eq!(edited.len(), 1);
    assert_eq!((&edited[0]["action"], &edited[0]["by"]), (&json!("edited"), &json!("poll")));
    assert_eq!(connected.items().len(), 3);
    connected.end().await;
}

#[tokio::test]
async fn pages_are_polled_as_often_as_their_budget_allows() {
    let settings = r#"{"youtube": {"limits": {"app": 300}}}"#;
    let (bundle, account) = Bundle::with_account([("NetworkSettings", settings)]).await;
    bundle.webhook(&account, "/collected", &["publication"]).await;
    let mut pages = Vec::new();
    for number in 0..4 {
        let (id, token) = (format!("UC{number}"), format!("ya29.planted{number}"));
        bundle.networks.connect(Network::Youtube, &id, &token);
        let given = json!({"network": "youtube", "network_id": id, "name": "p", "access_token": token});
        let reply = bundle.client.post("/pages", &account.key, given.to_string()).await;
        pages.push(reply.json()["id"].as_str().unwrap().to_owned());
        bundle.networks.publish(Network::Youtube, &id, Thing::post(format!("video {number}"))).unwrap();
    }
    let slot = async || {
        bundle.advance(Duration::from_secs(900)).await;
        let now_ms = bundle.stack.clock().now_ms();
        bundle.stack.run_schedule("carteiro-tick", now_ms).await.unwrap();
        bundle.until_rest().await;
    };
    for _ in 0..96 {
        slot().await;
    }
    assert_eq!(bundle.receiver.count("/collected"), 4, "{:#?}", bundle.complaints());
    let calls = bundle.networks.calls(Network::Youtube);
    let units: u32 = calls.iter().map(|call| call.units).sum();
    // The day of the limit is California's, so that two of them may begin in these 24 hours.
    assert!((100..=600).contains(&units), "{units} units in a day of 300");
    let mut asked: Vec<usize> = Vec::new();
    for page in &pages {
        let shown = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
        assert!(shown["every_minutes"].as_u64().unwrap() > 15, "{shown}");
    }
    for number in 0..4 {
        let page = format!("UC{number}");
        asked.push(calls.iter().filter(|call| call.page.as_deref() == Some(page.as_str())).count());
    }
    let (least, most) = (asked.iter().min().unwrap(), asked.iter().max().unwrap());
    assert!(most - least <= most / 3, "all of them as often: {asked:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn pushes_wait_for_a_proven_token_and_go_to_nobody_else() {
    let bundle = Bundle::start_with(SECRETS.into_iter().chain([("PushesNeedProof", "true")])).await;
    let mut pages = Vec::new();
    for (path, token, network_id) in [
        ("/owner", "EAAplanted-owner", "501"),
        ("/guesser", "EAAplanted-made-up", "501"),
        ("/neighbour", "EAAplanted-neighbour", "501"),
    ] {
        let account = bundle.account().await;
        bundle.webhook(&account, path, &["interaction"]).await;
        let given = json!({
            "network": "facebook", "network_id": network_id, "name": "p", "access_token": token,
            "delivery": "immediate",
        });
        let reply = bundle.client.post("/pages", &account.key, given.to_string()).await;
        assert_eq!((reply.status, &reply.json()["proven"]), (201, &json!(false)));
        pages.push((account, reply.json()["id"].as_str().unwrap().to_owned()));
    }
    bundle.networks.connect(Network::Facebook, "501", "EAAplanted-owner");
    bundle.networks.connect(Network::Facebook, "777", "EAAplanted-neighbour");
    let push = async |number: u32| {
        let body = facebook(&[("501", vec![comment(number, "a secret")])]);
        pushed(&bundle, "facebook", &body).await;
    };
    push(1).await;
    assert_eq!(inbox(&bundle).await.incomplete, 3, "nobody was asked whose it is");
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(bundle.receiver.count("/owner"), 1, "{:#?}", bundle.complaints());
    push(2).await;
    bundle.receiver.wait_for_count("/owner", 2, SOON).await.unwrap();
    bundle.advance(HOUR).await;
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!((bundle.receiver.count("/guesser"), bundle.receiver.count("/neighbour")), (0, 0));
    assert_eq!(inbox(&bundle).await.incomplete, 4);
    for (proven, (account, page)) in [true, false, false].into_iter().zip(&pages) {
        let shown = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
        assert_eq!(shown["proven"], proven, "{shown}");
        let deleted = bundle.client.delete(&format!("/pages/{page}"), &account.key).await;
        assert_eq!(deleted.status, 200);
    }
    assert_eq!(inbox(&bundle).await.incomplete, 0);
    assert_eq!(bundle.receiver.count("/owner"), 2);
    bundle.stop().await;
}
