//! Tokens that do not last: they are renewed with a refresh token or a service account's key, also where an answer was
//! lost; who took these back is told so, and nothing is asked any more.

use std::time::Duration;

use carteiro_fake_networks::{Connection, Fault, Thing, TokenState};
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, SOON};
use serde_json::{Value, json};

const TICK: Duration = Duration::from_secs(15 * 60);
const CLIENT: [(&str, &str); 4] = [
    ("GoogleClientId", "google-client"),
    ("GoogleClientSecret", "google-secret"),
    ("LinkedinClientId", "linkedin-client"),
    ("LinkedinClientSecret", "linkedin-secret"),
];

struct Case {
    bundle: Bundle,
    network: Network,
    account: Account,
    id: &'static str,
    page: String,
}

impl Case {
    async fn new(network: Network, id: &'static str) -> Self {
        let bundle = Bundle::start_with(CLIENT).await;
        bundle.networks.client(Network::Youtube, CLIENT[0].1, CLIENT[1].1);
        bundle.networks.client(Network::Linkedin, CLIENT[2].1, CLIENT[3].1);
        let account = bundle.account().await;
        bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
        bundle.webhook(&account, "/notices", &["notice"]).await;
        Self { bundle, network, account, id, page: String::new() }
    }

    async fn give(&mut self, mut tokens: Value) {
        (tokens["network"], tokens["network_id"]) = (self.network.as_str().into(), self.id.into());
        tokens["name"] = "p".into();
        let reply = self.bundle.client.post("/pages", &self.account.key, tokens.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        self.page = reply.json()["id"].as_str().unwrap().to_owned();
    }

    async fn tick(&self) {
        self.bundle.advance(TICK).await;
        self.bundle.tick().await;
        self.bundle.until_rest().await;
    }

    /// Publishes something before each tick, after which it must have been delivered.
    async fn collects_for(&self, ticks: usize) {
        for tick in 0..ticks {
            let text = format!("{} of {ticks}", tick + 1);
            let thing = match self.network {
                Network::GooglePlay => Thing::review(5, &text).by(&text, "Ana"),
                _ => Thing::post(&text),
            };
            self.bundle.networks.publish(self.network, self.id, thing).unwrap();
            self.tick().await;
            let delivered = self.bundle.receiver.deliveries_to("/collected");
            let is_it = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["text"] == text;
            let count = delivered.iter().filter(|delivery| is_it(&delivery.body)).count();
            assert_eq!(
                count,
                1,
                "{text}: {:#?}",
                self.bundle.networks.calls(self.network).iter().rev().take(6).collect::<Vec<_>>()
            );
        }
    }

    fn renewals(&self) -> usize {
        self.bundle.networks.calls(self.network).iter().filter(|call| call.kind == "token").count()
    }

    async fn state(&self) -> Value {
        let path = format!("/pages/{}", self.page);
        self.bundle.client.get(&path, &self.account.key).await.json()["token"]["state"].clone()
    }

    /// Nothing is asked any more, the page's owner was told, and nothing was asked that was bound to be refused.
    async fn is_given_up(&self) {
        self.tick().await;
        self.tick().await;
        assert!(
            ["expired", "revoked"].map(Value::from).contains(&self.state().await),
            "{}",
            self.state().await
        );
        let calls = self.bundle.networks.calls(self.network).len();
        self.tick().await;
        assert_eq!(self.bundle.networks.calls(self.network).len(), calls, "no call with what is dead");
        self.bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
        assert_eq!(self.bundle.networks.with_dead_tokens(self.network), 0);
        assert_eq!(self.bundle.networks.over_limit(self.network), 0);
    }
}

fn in_an_hour(bundle: &Bundle) -> String {
    let now = i64::try_from(bundle.stack.clock().now_ms()).unwrap();
    jiff::Timestamp::from_millisecond(now + 3_600_000).unwrap().to_string()
}

#[tokio::test]
async fn an_hours_token_of_youtube_is_renewed_until_its_revocation() {
    let mut case = Case::new(Network::Youtube, "UC_planted_channel_000001").await;
    let connection = Connection::new(case.id, "ya29.planted").refresh_token("1//planted");
    case.bundle.networks.connect_with(Network::Youtube, connection);
    let expires_at = in_an_hour(&case.bundle);
    case.give(
        json!({"access_token": "ya29.planted", "refresh_token": "1//planted", "expires_at": expires_at}),
    )
    .await;
    case.collects_for(12).await;
    let renewals = case.renewals();
    assert!((2..=4).contains(&renewals), "{renewals} in three hours");
    assert_eq!(case.state().await, "ok");
    // The answer to a renewal is lost, which costs nothing where the refresh token stays.
    case.bundle.networks.fault(Network::Youtube, Fault::Dropped.on("token"));
    case.bundle.networks.fault(Network::Youtube, Fault::Token(TokenState::Expired).on("commentThreads"));
    for _ in 0..3 {
        case.tick().await;
    }
    case.collects_for(2).await;
    assert_eq!(case.state().await, "ok");
    case.bundle.networks.token(Network::Youtube, "1//planted", TokenState::Revoked).unwrap();
    for _ in 0..4 {
        case.tick().await;
    }
    case.is_given_up().await;
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_service_accounts_key_fetches_tokens_until_it_is_taken_back() {
    let mut case = Case::new(Network::GooglePlay, "com.example.app").await;
    let key = case.bundle.networks.service_account(case.id);
    let email = serde_json::from_str::<Value>(&key).unwrap()["client_email"].as_str().unwrap().to_owned();
    case.give(json!({ "access_token": key })).await;
    case.collects_for(6).await;
    assert!(case.renewals() > 0);
    assert_eq!(case.state().await, "ok");
    case.bundle.networks.token(Network::GooglePlay, &email, TokenState::Revoked).unwrap();
    case.is_given_up().await;
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_token_of_linkedins_is_renewed_a_week_before_its_end() {
    let mut case = Case::new(Network::Linkedin, "5005").await;
    let connection = Connection::new(case.id, "AQX-planted").refresh_token("AQY-planted");
    let connection = connection.expires_in(Duration::from_secs(6 * 24 * 3600));
    case.bundle.networks.connect_with(Network::Linkedin, connection);
    let now = i64::try_from(case.bundle.stack.clock().now_ms()).unwrap();
    let end = jiff::Timestamp::from_millisecond(now + 6 * 24 * 3_600_000).unwrap().to_string();
    case.give(json!({"access_token": "AQX-planted", "refresh_token": "AQY-planted", "expires_at": end}))
        .await;
    case.tick().await;
    assert_eq!((case.renewals(), case.state().await), (1, json!("ok")));
    case.bundle.networks.token(Network::Linkedin, "AQX-planted", TokenState::Revoked).unwrap();
    // What posts there are is looked at once an hour.
    for _ in 0..5 {
        case.tick().await;
    }
    assert_eq!((case.renewals(), case.state().await), (1, json!("ok")), "the new one is used");
    assert_eq!(case.bundle.networks.with_dead_tokens(Network::Linkedin), 0);
    case.bundle.stop().await;
}
