//! What only the operator can mend: told to the operator once, shown on the page, and no matter of its token. It holds
//! back no push of a proven page, and collection goes on by itself once it is lifted.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_clock::testing;
use carteiro_fake_networks::{Connection, Fault, Login, Thing};
use carteiro_networks::network::Network;
use carteiro_tests::{ADMIN_KEY, Account, Bundle, assert_problem};
use serde_json::{Value, json};

use crate::networks::{META_SECRET, SECRETS, comment, connect_with, facebook, instagram, pushed, x};

const HOUR: Duration = Duration::from_secs(3600);

/// The networks with the id of a page on each.
const PAGES: [(Network, &str); 6] = [
    (Network::Facebook, "501"),
    (Network::Instagram, "17840000000000001"),
    (Network::X, "2244"),
    (Network::Youtube, "UC_planted_channel_000001"),
    (Network::GooglePlay, "com.example.app"),
    (Network::Linkedin, "5005"),
];

struct Case {
    bundle: Bundle,
    account: Account,
    pages: BTreeMap<Network, String>,
}

impl Case {
    async fn new(own: &[(&'static str, &'static str)]) -> Self {
        let own = SECRETS.into_iter().chain(own.iter().copied());
        let bundle = Bundle::start_on(testing::clock_at("2026-11-24T12:00:00Z"), own).await;
        let account = bundle.account().await;
        bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
        bundle.webhook(&account, "/notices", &["notice"]).await;
        Self { bundle, account, pages: BTreeMap::new() }
    }

    async fn tick(&self) {
        self.bundle.advance(HOUR).await;
        self.bundle.tick().await;
        self.bundle.until_rest().await;
    }

    fn publish(&self, text: &str) {
        for (network, page) in PAGES.into_iter().filter(|(network, _)| self.pages.contains_key(network)) {
            let thing = match network {
                Network::GooglePlay => Thing::review(5, text).by(text, "Ana"),
                _ => Thing::post(text),
            };
            self.bundle.networks.publish(network, page, thing).unwrap();
        }
    }

    fn count(&self, text: &str) -> usize {
        let deliveries = self.bundle.receiver.deliveries_to("/collected");
        let is_it = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["text"] == text;
        deliveries.iter().filter(|one| is_it(&one.body)).count()
    }

    async fn shown(&self, network: Network) -> Value {
        self.bundle.client.get(&format!("/pages/{}", self.pages[&network]), &self.account.key).await.json()
    }

    /// What the operator has to mend: the cause of each network.
    async fn faults(&self) -> BTreeMap<String, (String, u64)> {
        let listed = self.bundle.client.get("/networks", ADMIN_KEY).await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let data = listed["data"].as_array().unwrap().iter();
        data.map(|one| (text(&one["network"]), (text(&one["cause"]), one["pages"].as_u64().unwrap())))
            .collect()
    }

    /// How often the log told the operator of a cause.
    fn told(&self, network: Network, cause: &str) -> usize {
        let is_it = |line: &String| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["message"] == "poll.our_fault" && line["network"] == network.as_str() && line["why"] == cause
        };
        self.bundle.logs.of("CollectFunction").iter().filter(|line| is_it(line)).count()
    }

    async fn connect(&mut self, network: Network, mut connection: Connection, mut given: Value) {
        let token = connection.token.get_or_insert_with(|| "planted".to_owned()).clone();
        (given["network"], given["network_id"]) = (network.as_str().into(), connection.page.as_str().into());
        (given["name"], given["access_token"]) = ("p".into(), token.into());
        self.bundle.networks.connect_with(network, connection);
        let reply = self.bundle.client.post("/pages", &self.account.key, given.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        self.pages.insert(network, reply.json()["id"].as_str().unwrap().to_owned());
    }
}

fn meta(code: u32, message: &str) -> (u16, Value) {
    (400, json!({"error": {"code": code, "message": message, "type": "OAuthException"}}))
}

fn google(status: u16, reason: &str) -> (u16, Value) {
    (status, json!({"error": {"code": status, "errors": [{"reason": reason, "domain": "global"}]}}))
}

fn problem(status: u16, kind: &str, reason: &str) -> (u16, Value) {
    let kind = format!("https://api.twitter.com/2/problems/{kind}");
    (status, json!({"type": kind, "title": reason, "reason": reason, "status": status}))
}

/// The refusals of each network with their causes, in the order of [`PAGES`].
fn rounds() -> [[((u16, Value), &'static str); 6]; 3] {
    let linkedin = |code: &str| json!({"code": code, "message": "Requested version 202601 is not active"});
    let product =
        json!({"code": "ACCESS_DENIED", "message": "This application is not allowed to access: posts"});
    [
        [
            (meta(100, "API calls from the server require an appsecret_proof argument"), "app_proof"),
            (meta(101, "Error validating application. Invalid application ID."), "app_rejected"),
            (problem(402, "credits", "CreditsDepleted"), "credits_depleted"),
            (google(403, "accessNotConfigured"), "api_not_enabled"),
            (google(400, "keyInvalid"), "app_rejected"),
            ((426, linkedin("NONEXISTENT_VERSION")), "version_withdrawn"),
        ],
        [
            (meta(12, "(#12) This API version is deprecated"), "version_withdrawn"),
            (meta(104, "Incorrect signature"), "app_rejected"),
            (problem(403, "client-forbidden", "client-not-enrolled"), "app_access"),
            (google(403, "BILLING_DISABLED"), "credits_depleted"),
            (google(403, "SERVICE_DISABLED"), "api_not_enabled"),
            ((403, product), "app_access"),
        ],
        [
            (meta(3, "(#3) Application does not have the capability to make this API call."), "app_access"),
            (meta(200, "API access blocked."), "app_rejected"),
            (problem(429, "usage-capped", "UsageCapExceeded"), "usage_capped"),
            (google(400, "API_KEY_INVALID"), "app_rejected"),
            (google(403, "CONSUMER_SUSPENDED"), "app_rejected"),
            ((400, linkedin("VERSION_MISSING")), "version_withdrawn"),
        ],
    ]
}

#[tokio::test]
async fn what_the_operator_must_mend_is_told_and_holds_nothing() {
    let mut case = Case::new(&[("PushesNeedProof", "true")]).await;
    for (network, id) in PAGES {
        let given = json!({"network": network.as_str(), "network_id": id});
        let page = connect_with(&case.bundle, &case.account, given).await;
        case.pages.insert(network, page);
    }
    case.publish("before");
    case.tick().await;
    assert_eq!(case.count("before"), 6, "{:#?}", case.bundle.complaints());
    let mut told = BTreeMap::new();
    for (number, round) in (0_u32..).zip(rounds()) {
        for ((network, _), ((status, body), _)) in PAGES.into_iter().zip(&round) {
            let fault = Fault::Answer { status: *status, body: body.to_string() };
            case.bundle.networks.fault(network, fault.always());
        }
        case.publish(&format!("during {number}"));
        case.tick().await;
        pushed(&case.bundle, "facebook", &facebook(&[("501", vec![comment(number, "pushed")])])).await;
        pushed(&case.bundle, "instagram", &instagram(PAGES[1].1, &format!("c{number}"))).await;
        pushed(&case.bundle, "x", &x("2244", &format!("77{number}"))).await;
        let before = case.bundle.receiver.count("/collected");
        case.tick().await;
        assert_eq!(case.bundle.receiver.count("/collected"), before + 3, "pushes go on");
        let faults = case.faults().await;
        for ((network, _), (_, cause)) in PAGES.into_iter().zip(&round) {
            let shown = case.shown(network).await;
            let last = &shown["last_tick"];
            assert_eq!((&last["result"], &last["cause"]), (&json!("operator"), &json!(cause)), "{shown}");
            assert!(last["message"]["pt-BR"].as_str().unwrap().contains("operador"), "{shown}");
            assert_eq!(shown["token"]["state"], "ok", "the token is good: {shown}");
            assert_eq!(faults.get(network.as_str()), Some(&((*cause).to_owned(), 1)), "{faults:?}");
            let told = told.entry((network, *cause)).or_insert(0);
            *told += 1;
            assert_eq!(case.told(network, cause), *told, "once each time: {network} {cause}");
            case.bundle.networks.lift_faults(network);
        }
        assert_eq!(case.count(&format!("during {number}")), 0);
        case.tick().await;
        assert_eq!(case.count(&format!("during {number}")), 6, "{:#?}", case.bundle.complaints());
        assert_eq!(case.faults().await, BTreeMap::new(), "what is mended is forgotten");
    }
    assert_eq!(case.bundle.receiver.count("/notices"), 0, "nobody is asked for another token");
    assert_problem(&case.bundle.client.get("/networks", &case.account.key).await, 403, "forbidden");
    case.bundle.stop().await;
}

#[tokio::test]
async fn metas_calls_are_proven_with_whichever_secret_is_the_apps() {
    let secrets = [("MetaAppSecrets", "another-secret,a-meta-secret"), ("PushesNeedProof", "true")];
    let mut case = Case::new(&secrets).await;
    case.bundle.networks.app_secret(Network::Facebook, META_SECRET, true);
    let token = Connection::new("501", "EAAplanted");
    case.connect(Network::Facebook, token, json!({})).await;
    let body = facebook(&[("501", vec![comment(1, "waits for its proof")])]);
    pushed(&case.bundle, "facebook", &body).await;
    case.publish("proven");
    case.tick().await;
    assert_eq!(
        (case.count("proven"), case.count("waits for its proof")),
        (1, 1),
        "{:#?}",
        case.bundle.complaints()
    );
    let calls = case.bundle.networks.calls(Network::Facebook);
    assert_eq!(
        calls.iter().filter(|call| call.status == Some(400)).count(),
        1,
        "the right one is used from then on"
    );
    // The token is of another app, which requires no proof.
    case.bundle.networks.app_secret(Network::Facebook, "nobody-knows-it", false);
    case.publish("without");
    case.tick().await;
    assert_eq!(case.count("without"), 1);
    case.bundle.networks.app_secret(Network::Facebook, "nobody-knows-it", true);
    case.publish("later");
    case.tick().await;
    assert_eq!(case.shown(Network::Facebook).await["last_tick"]["cause"], "app_proof");
    case.bundle.networks.app_secret(Network::Facebook, META_SECRET, true);
    case.tick().await;
    assert_eq!(
        (case.count("later"), case.shown(Network::Facebook).await["token"]["state"].clone()),
        (1, json!("ok"))
    );
    case.bundle.stop().await;
}

#[tokio::test]
async fn an_account_of_the_unified_login_is_collected_whoever_says_so() {
    let mut case = Case::new(&[("PushesNeedProof", "true")]).await;
    let (_, id) = PAGES[1];
    let given = json!({"network": "facebook", "network_id": "1", "name": "p", "access_token": "t", "login": "unified"});
    let refused = case.bundle.client.post("/pages", &case.account.key, given.to_string()).await;
    assert_eq!(assert_problem(&refused, 422, "invalid")["errors"][0]["field"], "login");
    let connection = Connection::new(id, "EAAplanted-system-user").login(Login::Unified);
    case.connect(Network::Instagram, connection, json!({})).await;
    for (login, text) in
        [(Value::Null, "not said"), (json!("unified"), "said"), (json!("facebook"), "said wrongly")]
    {
        let path = format!("/pages/{}", case.pages[&Network::Instagram]);
        let patched = case.bundle.client.patch(&path, &case.account.key, &json!({"login": login})).await;
        assert_eq!((patched.status, &patched.json()["login"]), (200, &login));
        case.publish(text);
        case.bundle
            .networks
            .publish(Network::Instagram, id, Thing::direct_message("7", format!("dm {text}")))
            .unwrap();
        case.tick().await;
        assert_eq!(
            (case.count(text), case.count(&format!("dm {text}"))),
            (1, 1),
            "{:#?}",
            case.bundle.complaints()
        );
        let shown = case.shown(Network::Instagram).await;
        assert_eq!((&shown["token"]["state"], &shown["proven"]), (&json!("ok"), &json!(true)), "{shown}");
    }
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_refused_client_and_an_ending_version_are_operator_faults() {
    let own = [
        ("LinkedinClientId", "linkedin-client"),
        ("LinkedinClientSecret", "linkedin-secret"),
        ("NetworkSettings", r#"{"linkedin": {"version": "202512"}}"#),
    ];
    let mut case = Case::new(&own).await;
    case.bundle.networks.client(Network::Linkedin, "another-client", "another-secret");
    let lasts = Duration::from_secs(5 * 24 * 3600);
    let connection = Connection::new("5005", "AQX-planted").refresh_token("AQY-planted").expires_in(lasts);
    let given = json!({"refresh_token": "AQY-planted", "expires_at": "2026-11-29T12:00:00Z"});
    case.connect(Network::Linkedin, connection, given).await;
    case.publish("collected");
    case.tick().await;
    case.tick().await;
    let shown = case.shown(Network::Linkedin).await;
    assert_eq!(
        (&shown["last_tick"]["result"], &shown["last_tick"]["cause"]),
        (&json!("ok"), &json!("client_refused"))
    );
    assert_eq!((case.count("collected"), &shown["token"]["state"]), (1, &json!("ok")), "{shown}");
    assert_eq!(
        (case.told(Network::Linkedin, "client_refused"), case.bundle.receiver.count("/notices")),
        (1, 0)
    );
    let listed = case.bundle.client.get("/networks", ADMIN_KEY).await.json();
    let causes: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|one| &one["cause"]).collect();
    assert_eq!(causes, ["version_ending", "client_refused"], "{:#?}", case.bundle.complaints());
    let lines = case.bundle.logs.of("CollectFunction");
    let ending: Vec<&String> = lines.iter().filter(|line| line.contains("poll.version_ending")).collect();
    assert!(ending.len() == 1 && ending[0].contains("2026-12-15"), "{ending:?}");
    case.bundle.networks.client(Network::Linkedin, "linkedin-client", "linkedin-secret");
    case.tick().await;
    assert_eq!(case.shown(Network::Linkedin).await["last_tick"]["cause"], Value::Null);
    let renewals = case.bundle.networks.calls(Network::Linkedin);
    let renewed =
        |status| renewals.iter().filter(|call| call.kind == "token" && call.status == status).count();
    assert_eq!((renewed(Some(401)), renewed(Some(200))), (2, 1), "each tick asks once");
    assert_eq!(case.faults().await.keys().collect::<Vec<_>>(), ["linkedin"], "the version still ends");
    case.bundle.stop().await;
}
