//! The posts behind a page's ads: those that no list of the page's has, and the comments on them.

use std::time::Duration;

use carteiro_fake_networks::{Connection, Thing, TokenState};
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, SOON};
use serde_json::{Value, json};

const TICK: Duration = Duration::from_secs(15 * 60);
const PAGE: &str = "110000000000011";
const ANOTHER: &str = "110000000000022";
const TOKEN: &str = "EAAplanted-of-ads";

struct Case {
    bundle: Bundle,
    account: Account,
    page: String,
}

impl Case {
    /// A page that names an ad account, which serves another page, too.
    async fn new() -> Self {
        let (bundle, account) = Bundle::with_account([]).await;
        bundle.webhook(&account, "/collected", &["publication", "interaction"]).await;
        bundle.webhook(&account, "/notices", &["notice"]).await;
        bundle.networks.connect_with(Network::Facebook, Connection::new(PAGE, TOKEN));
        bundle.networks.connect_with(Network::Facebook, Connection::new(ANOTHER, "EAAplanted-of-another"));
        let given = json!({"network": "facebook", "network_id": PAGE, "name": "p", "access_token": TOKEN,
            "ad_account": "77"});
        let reply = bundle.client.post("/pages", &account.key, given.to_string()).await;
        assert_eq!((reply.status, &reply.json()["ad_account"]), (201, &json!("act_77")), "{}", reply.text());
        let page = reply.json()["id"].as_str().unwrap().to_owned();
        Self { bundle, account, page }
    }

    fn publish(&self, page: &str, thing: Thing) -> String {
        self.bundle.networks.publish(Network::Facebook, page, thing).unwrap()
    }

    /// A post that only an ad shows.
    fn dark(&self, page: &str, text: &str) -> String {
        let post = self.publish(page, Thing::post(text).unlisted().with("is_published", false));
        self.publish(page, Thing::ad("act_77", &post, format!("ad of {text}")));
        post
    }

    async fn ticks(&self, count: usize) {
        for _ in 0..count {
            self.bundle.advance(TICK).await;
            self.bundle.tick().await;
            self.bundle.until_rest().await;
        }
    }

    /// The items with a text.
    fn items(&self, text: &str) -> Vec<Value> {
        let delivered = self.bundle.receiver.deliveries_to("/collected");
        let items = delivered.iter().map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap());
        items.filter(|item| item["text"] == text).collect()
    }

    async fn token(&self) -> Value {
        let path = format!("/pages/{}", self.page);
        self.bundle.client.get(&path, &self.account.key).await.json()["token"].clone()
    }
}

#[tokio::test]
async fn a_dark_post_of_the_named_ad_account_is_collected() {
    let case = Case::new().await;
    let dark = case.dark(PAGE, "só em anúncio");
    case.publish(PAGE, Thing::comment(&dark, "quanto custa?").by("900", "Ana"));
    let anothers = case.dark(ANOTHER, "de outra página");
    case.publish(ANOTHER, Thing::comment(anothers, "e aqui?").by("900", "Ana"));
    let published = case.publish(PAGE, Thing::post("publicado e anunciado"));
    case.publish(PAGE, Thing::ad("act_77", &published, "impulsionado"));
    case.ticks(2).await;
    let items = case.items("só em anúncio");
    assert_eq!(
        (items.len(), &items[0]["type"], &items[0]["thing"]),
        (1, &json!("publication"), &json!(dark))
    );
    assert_eq!(items[0]["ad"]["name"], "ad of só em anúncio");
    let comments = case.items("quanto custa?");
    assert_eq!((comments.len(), &comments[0]["ad"]["id"]), (1, &items[0]["ad"]["id"]));
    assert_eq!(case.items("publicado e anunciado").len(), 1);
    // A day later the post is read again, and a comment whose push was lost has come.
    case.publish(PAGE, Thing::comment(&dark, "ainda tem?").by("901", "Rui"));
    case.bundle.advance(Duration::from_secs(25 * 3600)).await;
    case.ticks(2).await;
    for text in ["só em anúncio", "quanto custa?", "ainda tem?", "publicado e anunciado"] {
        assert_eq!(case.items(text).len(), 1, "{text}");
    }
    for text in ["de outra página", "e aqui?"] {
        assert_eq!(case.items(text).len(), 0, "{text}");
    }
    assert_eq!(case.token().await["state"], "ok");
    case.bundle.stop().await;
}

#[tokio::test]
async fn without_ads_read_the_rest_goes_on_and_is_told_once() {
    let case = Case::new().await;
    case.bundle.networks.token(Network::Facebook, TOKEN, TokenState::Narrowed("ads_read".into())).unwrap();
    case.dark(PAGE, "só em anúncio");
    for nth in 0..6 {
        let text = format!("publicado {nth}");
        case.publish(PAGE, Thing::post(&text));
        case.ticks(1).await;
        assert_eq!(case.items(&text).len(), 1, "{text}");
    }
    let notices = case.bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
    let told: Value = serde_json::from_slice(&notices[0].body).unwrap();
    assert!(told.to_string().contains("ads_read"), "{told}");
    let token = case.token().await;
    assert_eq!((&token["state"], &token["permission"]), (&json!("narrowed"), &json!("ads_read")));
    assert_eq!(case.items("só em anúncio").len(), 0);
    case.bundle.networks.token(Network::Facebook, TOKEN, TokenState::Good).unwrap();
    case.ticks(5).await;
    assert_eq!(case.items("só em anúncio").len(), 1, "it is asked for again within an hour");
    assert_eq!(case.token().await["state"], "ok");
    assert_eq!(case.bundle.receiver.deliveries_to("/notices").len(), 1, "once");
    case.bundle.stop().await;
}
