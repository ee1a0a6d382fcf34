//! Pushes that the collector subscribes to: a hub's, of YouTube's channels, and LinkedIn's notifications. What is
//! pushed and polled is delivered once, whichever came first.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use carteiro_fake_networks::{Connection, Fault, Thing};
use carteiro_networks::linkedin::push as linkedin;
use carteiro_networks::network::Network;
use carteiro_networks::push::address;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::youtube::push as youtube;
use carteiro_tests::client::Reply;
use carteiro_tests::{Account, Bundle, assert_problem};
use http::Method;
use serde_json::{Value, json};

use crate::networks::{Inbox, LINKEDIN_SECRET, YOUTUBE_SECRET, arrived, connect, inbox};

const TICK: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const CHANNEL: &str = "UCsubscribed-0000000001";
const COMPANY: &str = "5515715";
const PATH: &str = "/collected";

/// A connected page whose pushes are subscribed to.
struct Case {
    bundle: Bundle,
    network: Network,
    account: Account,
    page: String,
    id: &'static str,
}

impl Case {
    /// Connects a page, and runs a tick.
    async fn new(network: Network) -> Self {
        let bundle = Bundle::start_with([
            ("YoutubeHubSecret", YOUTUBE_SECRET),
            ("LinkedinClientSecrets", LINKEDIN_SECRET),
            ("LinkedinApplicationId", "77"),
        ])
        .await;
        let account = bundle.account().await;
        bundle.webhook(&account, PATH, &["publication", "interaction"]).await;
        let id = if network == Network::Youtube { CHANNEL } else { COMPANY };
        let page = connect(&bundle, &account, network.as_str(), id).await;
        let case = Self { bundle, network, account, page, id };
        case.tick().await;
        case
    }

    async fn tick(&self) {
        self.bundle.advance(TICK).await;
        self.bundle.tick().await;
        self.bundle.until_rest().await;
    }

    fn publish(&self, thing: Thing) -> String {
        self.bundle.networks.publish(self.network, self.id, thing).unwrap()
    }

    /// The network pushes what a thing is now.
    async fn push(&self, id: &str) {
        assert_eq!(
            self.bundle.networks.push(self.network, id, LINKEDIN_SECRET).await.unwrap(),
            [200],
            "{}",
            self.network
        );
    }

    async fn shown(&self) -> Value {
        self.bundle.client.get(&format!("/pages/{}", self.page), &self.account.key).await.json()
    }

    fn callback(&self) -> String {
        let [callback] = &*self.bundle.networks.subscribed(self.network, self.id) else {
            panic!("{:?}", self.bundle.complaints());
        };
        callback.clone()
    }

    /// A request to our own address, whose URL the network was given.
    async fn to_callback(&self, method: Method, more: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let callback = self.callback();
        let path = callback.strip_prefix(&self.bundle.stack.addresses().api).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.bundle.client.request(method, &format!("{path}{more}"), headers, body).await
    }

    /// How many calls of a kind there were.
    fn calls(&self, kind: &str) -> usize {
        self.bundle.networks.calls(self.network).iter().filter(|call| call.kind == kind).count()
    }

    /// The action and the text of each item that arrived, and how it was found.
    async fn items(&self, count: usize) -> BTreeSet<(String, String)> {
        let word = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let items = arrived(&self.bundle, PATH, count).await;
        assert_eq!(self.bundle.count_at_rest(PATH).await, u64::try_from(count).unwrap());
        items.values().map(|item| (word(item, "action"), word(item, "text"))).collect()
    }
}

fn said(items: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    items.iter().map(|(action, text)| ((*action).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn a_channel_is_subscribed_renewed_daily_and_not_when_gone() {
    let case = Case::new(Network::Youtube).await;
    let api = &case.bundle.stack.addresses().api;
    assert!(case.callback().starts_with(&format!("{api}/push/youtube?channel={CHANNEL}&key=")));
    assert_eq!(case.shown().await["push"]["state"], "subscribed");
    assert!(case.shown().await["push"]["until"].is_string());
    for _ in 0..3 {
        case.tick().await;
    }
    assert_eq!(case.calls("hub"), 1);
    case.bundle.advance(DAY).await;
    case.tick().await;
    assert_eq!(case.calls("hub"), 2);
    let topic = format!("https%3A%2F%2Fwww.youtube.com%2Fxml%2Ffeeds%2Fvideos.xml%3Fchannel_id%3D{CHANNEL}");
    let ask = async |mode: &str, topic: &str| {
        let more =
            format!("&hub.mode={mode}&hub.topic={topic}&hub.challenge=abc123&hub.lease_seconds=432000");
        case.to_callback(Method::GET, &more, &[], "").await
    };
    let echoed = ask("subscribe", &topic).await;
    assert_eq!((echoed.status, &*echoed.text()), (200, "abc123"));
    assert_problem(&ask("subscribe", &topic.replace("UC", "UCanother")).await, 404, "not-found");
    assert_problem(&ask("unsubscribe", &topic).await, 404, "not-found");
    let strangers =
        format!("/push/youtube?channel={CHANNEL}&hub.mode=subscribe&hub.topic={topic}&hub.challenge=a");
    let reply = case.bundle.client.request(Method::GET, &strangers, &[], Bytes::new()).await;
    assert_problem(&reply, 404, "not-found");
    let deleted = case.bundle.client.delete(&format!("/pages/{}", case.page), &case.account.key).await;
    assert_eq!(deleted.status, 200);
    assert_problem(&ask("subscribe", &topic).await, 404, "not-found");
    assert_eq!(ask("unsubscribe", &topic).await.status, 200);
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_pushed_video_and_a_polled_one_are_one_item() {
    let case = Case::new(Network::Youtube).await;
    let first = case.publish(Thing::post("Primeiro\nCom descrição"));
    for _ in 0..2 {
        case.push(&first).await;
    }
    assert_eq!(inbox(&case.bundle).await, Inbox { incomplete: 1, ..Inbox::default() });
    case.tick().await;
    let mut all = vec![("created", "Primeiro\n\nCom descrição")];
    assert_eq!(case.items(1).await, said(&all));
    assert_eq!(inbox(&case.bundle).await.incomplete, 0);
    // Polled, and then pushed.
    let second = case.publish(Thing::post("Segundo"));
    case.tick().await;
    case.push(&second).await;
    case.tick().await;
    all.push(("created", "Segundo"));
    assert_eq!(case.items(2).await, said(&all));
    // An edit, and the end.
    case.bundle.networks.edit(Network::Youtube, &first, "Primeiro\nOutra").unwrap();
    case.push(&first).await;
    case.tick().await;
    all.push(("edited", "Primeiro\n\nOutra"));
    assert_eq!(case.items(3).await, said(&all));
    case.bundle.networks.remove(Network::Youtube, &second).unwrap();
    for _ in 0..2 {
        case.push(&second).await;
    }
    case.tick().await;
    all.push(("deleted", ""));
    assert_eq!(case.items(4).await, said(&all));
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_video_that_is_private_when_asked_for_is_not_told() {
    let case = Case::new(Network::Youtube).await;
    let hidden = case.publish(Thing::post("Oculto").with("status", json!({"privacyStatus": "private"})));
    case.push(&hidden).await;
    case.tick().await;
    assert_eq!(inbox(&case.bundle).await, Inbox { handed_on: 1, ..Inbox::default() });
    assert_eq!(case.bundle.count_at_rest(PATH).await, 0);
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_hubs_push_without_its_signature_is_taken_for_nothing() {
    let case = Case::new(Network::Youtube).await;
    let feed = format!(
        r#"<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"><at:deleted-entry
         ref="yt:video:a" when="2026-11-20T12:00:00+00:00"><link href="{CHANNEL}"/></at:deleted-entry></feed>"#
    );
    let bad = format!("sha1={}", "0".repeat(40));
    for headers in [&[][..], &[("x-hub-signature", bad.as_str())], &[("x-hub-signature", "sha1=")]] {
        let reply = case.to_callback(Method::POST, "", headers, &feed).await;
        assert_eq!((reply.status, &*reply.text()), (200, ""));
    }
    let secrets = AppSecret::list(YOUTUBE_SECRET);
    let own = address::secrets_of(&secrets, Network::Youtube, &CHANNEL.parse().unwrap());
    let good = youtube::sign(&own[0], feed.as_bytes());
    let looping = [(youtube::HEADER, good.as_str()), ("carteiro-hop", "3")];
    assert_problem(&case.to_callback(Method::POST, "", &looping, &feed).await, 508, "loop-detected");
    // Another channel's secret signs nothing here.
    let other = address::secrets_of(&secrets, Network::Youtube, &"UCanother".parse().unwrap());
    let signature = youtube::sign(&other[0], feed.as_bytes());
    let reply = case.to_callback(Method::POST, "", &[(youtube::HEADER, &signature)], &feed).await;
    assert_eq!(reply.status, 200);
    assert_eq!(inbox(&case.bundle).await, Inbox::default());
    let refused = case.bundle.logs.of("IngestFunction");
    assert_eq!(refused.iter().filter(|line| line.contains("push.refused")).count(), 4);
    case.bundle.stop().await;
}

fn notification(id: i64, action: &str, text: &str) -> Value {
    json!({
        "notificationId": id, "organizationalEntity": format!("urn:li:organization:{COMPANY}"), "action": action,
        "sourcePost": "urn:li:activity:71", "lastModifiedAt": 1_795_262_405_123_i64,
        "generatedActivity": format!("urn:li:comment:(activity:71,{id})"),
        "decoratedGeneratedActivity": {"comment": {
            "entity": format!("urn:li:comment:(urn:li:activity:71,{id})"), "owner": "urn:li:person:a", "text": text,
        }},
    })
}

fn batch(notifications: &[Value]) -> String {
    json!({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": notifications}).to_string()
}

#[tokio::test]
async fn linkedins_notifications_are_checked_and_ten_are_stored() {
    let case = Case::new(Network::Linkedin).await;
    assert_eq!(case.callback(), format!("{}/push/linkedin", case.bundle.stack.addresses().api));
    assert_eq!(case.shown().await["push"]["state"], "subscribed");
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let answer = case.to_callback(Method::GET, &format!("?challengeCode={code}"), &[], "").await;
    assert_eq!((answer.status, &answer.json()["challengeCode"]), (200, &json!(code)));
    assert_eq!(answer.json()["challengeResponse"].as_str().map(str::len), Some(64));
    let forged = case.to_callback(Method::GET, "?challengeCode=hmacsha256%3D%7B%7D", &[], "").await;
    assert_problem(&forged, 400, "bad-request");
    let ten: Vec<Value> = (0..10).map(|id| notification(id, "COMMENT", &format!("oi {id}"))).collect();
    let body = batch(&ten);
    let good = linkedin::sign(&AppSecret::list(LINKEDIN_SECRET)[0], body.as_bytes());
    let altered = body.replacen("oi 0", "oi X", 1);
    for (signature, body) in [("", &body), (&*good.to_uppercase(), &body), (&*good, &altered)] {
        let reply = case.to_callback(Method::POST, "", &[(linkedin::HEADER, signature)], body).await;
        assert_problem(&reply, 401, "unauthorized");
    }
    assert_eq!(inbox(&case.bundle).await, Inbox::default());
    for signature in [good.clone(), format!("hmacsha256={good}")] {
        case.to_callback(Method::POST, "", &[(linkedin::HEADER, &signature)], &body).await.with_status(200);
    }
    let looping = [(linkedin::HEADER, good.as_str()), ("carteiro-hop", "3")];
    let reply = case.to_callback(Method::POST, "", &looping, &body).await;
    assert_problem(&reply, 508, "loop-detected");
    let of_nobody = batch(&[notification(99, "COMMENT", "oi")]).replace(COMPANY, "404");
    let signature = linkedin::sign(&AppSecret::list(LINKEDIN_SECRET)[0], of_nobody.as_bytes());
    let reply = case.to_callback(Method::POST, "", &[(linkedin::HEADER, &signature)], &of_nobody).await;
    assert_eq!(reply.status, 200);
    assert_eq!(inbox(&case.bundle).await, Inbox { ready: 10, ..Inbox::default() });
    case.tick().await;
    assert_eq!(case.items(10).await.len(), 10);
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_pushed_comment_and_a_polled_one_are_one_item() {
    let case = Case::new(Network::Linkedin).await;
    let post = case.publish(Thing::post("Novidades"));
    let first = case.publish(Thing::comment(&post, "primeiro").by("a", ""));
    case.push(&first).await;
    case.tick().await;
    let mut all = vec![("created", "Novidades"), ("created", "primeiro")];
    assert_eq!(case.items(2).await, said(&all));
    // Polled, in the list of the post's comments or as a notification, and then pushed.
    let second = case.publish(Thing::comment(&post, "segundo").by("a", ""));
    for _ in 0..5 {
        case.tick().await;
    }
    case.push(&second).await;
    case.tick().await;
    all.push(("created", "segundo"));
    assert_eq!(case.items(3).await, said(&all));
    case.bundle.networks.edit(Network::Linkedin, &first, "primeiro, e mais").unwrap();
    case.push(&first).await;
    case.tick().await;
    all.push(("edited", "primeiro, e mais"));
    assert_eq!(case.items(4).await, said(&all));
    case.bundle.networks.remove(Network::Linkedin, &second).unwrap();
    case.push(&second).await;
    for _ in 0..5 {
        case.tick().await;
    }
    all.push(("deleted", ""));
    assert_eq!(case.items(5).await, said(&all));
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_comment_pushed_without_its_text_is_completed() {
    let case = Case::new(Network::Linkedin).await;
    let post = case.publish(Thing::post("Novidades"));
    let comment = Thing::comment(&post, "só na lista").by("a", "");
    let comment = case.publish(comment.with("decoratedGeneratedActivity", Value::Null));
    case.push(&comment).await;
    assert_eq!(inbox(&case.bundle).await, Inbox { incomplete: 1, ..Inbox::default() });
    for _ in 0..6 {
        case.tick().await;
    }
    assert_eq!(case.items(2).await, said(&[("created", "Novidades"), ("created", "só na lista")]));
    assert_eq!(inbox(&case.bundle).await.incomplete, 0);
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_subscription_spares_polls_for_notifications() {
    let case = Case::new(Network::Linkedin).await;
    let before = case.calls("organizationalEntityNotifications");
    // The development tier's quota leaves time for a few polls.
    for _ in 0..16 {
        case.tick().await;
    }
    let (notifications, posts) =
        (case.calls("organizationalEntityNotifications") - before, case.calls("posts"));
    assert!(posts >= 5 && notifications <= 5, "{notifications} of {posts}");
    assert_eq!(case.calls("eventSubscriptions"), 2, "it is made, and its end is read, once");
    case.bundle.stop().await;
}

#[tokio::test]
async fn a_refused_subscription_is_told_once_and_is_no_tokens_fault() {
    let (bundle, account) = Bundle::with_account([("LinkedinApplicationId", "77")]).await;
    let refused = json!({"status": 403, "serviceErrorCode": 100, "code": "ACCESS_DENIED", "message": "no"});
    let fault = Fault::Answer { status: 403, body: refused.to_string() };
    bundle.networks.fault(Network::Linkedin, fault.times(99).on("eventSubscriptions"));
    let page = connect(&bundle, &account, "linkedin", COMPANY).await;
    let shown = async || bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
    for _ in 0..4 {
        bundle.advance(DAY).await;
        bundle.tick().await;
        bundle.until_rest().await;
    }
    let page = shown().await;
    assert_eq!(
        (&page["push"]["state"], &page["token"]["state"]),
        (&json!("refused"), &json!("ok")),
        "{page}"
    );
    let calls = bundle.networks.calls(Network::Linkedin);
    assert!(calls.iter().filter(|call| call.kind == "eventSubscriptions").count() >= 3, "tried each day");
    let told = bundle.logs.of("CollectFunction");
    assert_eq!(told.iter().filter(|line| line.contains("push.not_subscribed")).count(), 1);
    bundle.networks.lift_faults(Network::Linkedin);
    bundle.advance(DAY).await;
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(shown().await["push"]["state"], "subscribed");
    bundle.stop().await;
}

#[tokio::test]
async fn without_its_secret_nothing_is_subscribed_or_taken() {
    let (bundle, account) = Bundle::with_account([]).await;
    bundle.networks.connect_with(Network::Youtube, Connection::new(CHANNEL, "a-token"));
    let page = connect(&bundle, &account, "youtube", CHANNEL).await;
    bundle.tick().await;
    bundle.until_rest().await;
    let page = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
    assert_eq!(page["push"], json!({"state": "off", "until": null}));
    assert!(bundle.networks.calls(Network::Youtube).iter().all(|call| call.kind != "hub"));
    for network in ["youtube", "linkedin"] {
        let path = format!("/push/{network}?channel={CHANNEL}");
        let reply = bundle.client.request(Method::POST, &path, &[], Bytes::new()).await;
        assert_problem(&reply, 503, "unavailable");
    }
    bundle.stop().await;
}
