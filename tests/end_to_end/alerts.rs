//! Alerts to people, from the address that an account gives to the e-mail or the chat.

use std::sync::Arc;
use std::time::Duration;

use carteiro_core::test_share::CHATS_AT_ONCE;
use carteiro_fake_networks::{Mail, MailFault, TokenState};
use carteiro_local::{Fate, Fault, SqsCall, Verdict};
use carteiro_networks::network::Network;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::client::{Client, Reply};
use carteiro_tests::{Account, Bundle, Patience, Webhook, assert_problem, dynamodb};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::networks::{SECRETS, connect};

const FAILING: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
const HOUR: Duration = Duration::from_secs(3600);

/// Adds an address, and answers it. Its code has been sent then.
async fn add(bundle: &Bundle, account: &Account, given: Value) -> Value {
    let reply = bundle.client.post("/alerts", &account.key, given.to_string()).await.with_status(201);
    bundle.until_rest().await;
    assert_eq!(reply.json()["state"], "unconfirmed");
    reply.json()
}

fn mails(bundle: &Bundle, to: &str) -> Vec<Mail> {
    bundle.networks.mails().into_iter().filter(|mail| mail.to == to).collect()
}

/// The texts that a chat at a path of the receiver got.
fn chat(bundle: &Bundle, path: &str) -> Vec<String> {
    let text =
        |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["text"].as_str().unwrap().to_owned();
    bundle.receiver.deliveries_to(path).iter().map(|delivery| text(&delivery.body)).collect()
}

/// The code in a text.
fn code_in(text: &str) -> String {
    let label =
        ["Código de confirmação: ", "Confirmation code: "].into_iter().find(|label| text.contains(label));
    let (_, rest) = text.split_once(label.expect("a code")).unwrap();
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

async fn try_code(bundle: &Bundle, account: &Account, id: &str, code: &str) -> Reply {
    let path = format!("/alerts/{id}/confirm");
    bundle.client.post(&path, &account.key, json!({"code": code}).to_string()).await
}

fn id_of(alert: &Value) -> String {
    alert["id"].as_str().unwrap().to_owned()
}

/// Adds an e-mail address in Portuguese and confirms it.
pub(crate) async fn confirmed_email(bundle: &Bundle, account: &Account, to: &str) -> String {
    let id = id_of(&add(bundle, account, json!({"kind": "email", "address": to})).await);
    let code = code_in(&mails(bundle, to).last().expect("an e-mail with a code").text);
    let reply = try_code(bundle, account, &id, &code).await;
    assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("confirmed")), "{}", reply.text());
    id
}

/// The e-mails of an address whose subject has this in it.
pub(crate) fn told(bundle: &Bundle, to: &str, subject: &str) -> Vec<Mail> {
    mails(bundle, to).into_iter().filter(|mail| mail.subject.contains(subject)).collect()
}

/// Waits until the type is blocked, and what follows from it is done.
async fn blocked(bundle: &Bundle, account: &Account, webhook: &Webhook) {
    let mut shown = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        shown = bundle.status(account, webhook, "event").await;
        if shown["state"] == "blocked" {
            return bundle.until_rest().await;
        }
    }
    panic!("not blocked: {shown}; the functions said {:#?}", bundle.complaints());
}

async fn unblock(bundle: &Bundle, account: &Account, webhook: &Webhook) {
    let path = format!("/webhooks/{}/unblock", webhook.id);
    let reply = bundle.client.post(&path, &account.key, "").await;
    assert!((200..300).contains(&reply.status), "{}", reply.text());
}

/// How many addresses an account has.
async fn listed(bundle: &Bundle, account: &Account) -> usize {
    bundle.client.get("/alerts", &account.key).await.json()["data"].as_array().unwrap().len()
}

async fn failing() -> (Bundle, Account, Webhook) {
    // What networks are told is not where people find the console.
    let pushes = [("PushBaseUrl", "https://pushes.example.com"), ("OwnHosts", "pushes.example.com")];
    let own = [("FailureThreshold", "10")].into_iter().chain(pushes);
    let (bundle, account) = Bundle::with_account(own).await;
    let webhook = bundle.webhook(&account, "/x", &["event"]).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(FAILING));
    (bundle, account, webhook)
}

#[tokio::test]
async fn a_block_alerts_each_confirmed_address_once_in_its_language() {
    let (bundle, account, webhook) = failing().await;
    confirmed_email(&bundle, &account, "ana@example.com").await;
    let url = bundle.receiver.url("/chat");
    let given = json!({"kind": "chat", "address": url, "language": "en", "events": ["blocked"]});
    let alert = add(&bundle, &account, given).await;
    let shown = alert["address"].as_str().unwrap();
    assert!(shown.ends_with("/********") && !shown.contains("chat"), "{shown}");
    let code = code_in(&chat(&bundle, "/chat")[0]);
    assert_eq!(try_code(&bundle, &account, &id_of(&alert), &code.to_lowercase()).await.status, 200);
    add(&bundle, &account, json!({"kind": "email", "address": "nobody@example.com"})).await;

    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    let console = format!("{}/console#to={}", bundle.stack.addresses().api, webhook.id);
    let of_block = told(&bundle, "ana@example.com", "envio bloqueado");
    assert_eq!(of_block.len(), 1, "{of_block:#?} {:#?}", bundle.complaints());
    assert_eq!(of_block[0].from, "carteiro@example.com");
    assert!(of_block[0].text.contains(&format!("Abrir no console: {console}\n")), "{}", of_block[0].text);
    assert!(of_block[0].text.contains("está bloqueado desde"), "{}", of_block[0].text);
    let of_chat = chat(&bundle, "/chat");
    assert_eq!(of_chat.len(), 2, "{of_chat:#?}");
    assert!(of_chat[1].starts_with("Carteiro: sending is blocked: "), "{}", of_chat[1]);
    assert!(of_chat[1].contains(&format!("Open in the console: {console}\n")), "{}", of_chat[1]);
    assert_eq!(mails(&bundle, "nobody@example.com").len(), 1, "its code alone");

    // The link stops one address, by a POST alone, and no other link does.
    let stop = of_block[0].unsubscribe.as_deref().unwrap().trim_matches(['<', '>']).to_owned();
    assert!(of_block[0].text.ends_with(&stop), "{}", of_block[0].text);
    let stop = stop.strip_prefix(&bundle.stack.addresses().api).unwrap();
    let wrong = format!("{}{}", &stop[..stop.len() - 1], if stop.ends_with('0') { '1' } else { '0' });
    for (method, path) in
        [(Method::GET, stop), (Method::POST, wrong.as_str()), (Method::POST, "/alert-stop/x")]
    {
        assert_eq!(bundle.client.request(method, path, &[], "").await.status, 200);
    }
    assert_eq!(listed(&bundle, &account).await, 3);

    // Within the hour the next block alerts nobody, and is counted.
    unblock(&bundle, &account, &webhook).await;
    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    assert_eq!(told(&bundle, "ana@example.com", "envio bloqueado").len(), 1);
    assert_eq!(chat(&bundle, "/chat").len(), 2);
    bundle.advance(HOUR).await;
    unblock(&bundle, &account, &webhook).await;
    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    let of_block = told(&bundle, "ana@example.com", "envio bloqueado");
    assert_eq!(of_block.len(), 2, "{of_block:#?}");
    assert!(of_block[1].text.contains("1 outro não foi enviado"), "{}", of_block[1].text);

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let stopped = bundle.client.request(Method::POST, stop, &form, "List-Unsubscribe=One-Click").await;
    assert!(stopped.text().contains("Pronto"), "{}", stopped.text());
    assert_eq!(listed(&bundle, &account).await, 2);

    // A person at a local stack sees what would have been sent.
    let shown = Client::new(&bundle.networks.url());
    let shown = shown.request(Method::GET, "/ses/emails?to=ana%40example.com", &[], "").await.json();
    assert_eq!(shown["emails"].as_array().unwrap().len(), mails(&bundle, "ana@example.com").len());

    // What people are told of is no secret to logs, but who they are is.
    let logs: Vec<String> = bundle.logs.all().into_iter().map(|(_, line)| line).collect();
    assert!(logs.iter().any(|line| line.contains("\"alert.sent\"")), "{logs:#?}");
    for private in ["ana@example.com", "nobody@example.com", "/chat"] {
        let line = logs.iter().find(|line| line.contains(private));
        assert!(line.is_none(), "{line:?}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn an_address_is_confirmed_by_its_own_account_with_its_code() {
    let bundle = Bundle::start().await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let alert = add(&bundle, &account, json!({"kind": "email", "address": "ana@example.com"})).await;
    let id = id_of(&alert);
    let code = code_in(&mails(&bundle, "ana@example.com")[0].text);
    let rows = dynamodb::scan(&bundle, "ConfigTable").await;
    assert!(!rows.iter().any(|row| row.to_string().contains(&code)), "the code is hashed");

    assert_problem(&try_code(&bundle, &other, &id, &code).await, 404, "not-found");
    let path = format!("/alerts/{id}");
    assert_problem(&bundle.client.delete(&path, &other.key).await, 404, "not-found");
    let again = format!("{path}/resend");
    assert_problem(&bundle.client.post(&again, &other.key, "").await, 404, "not-found");
    let listed = bundle.client.get("/alerts", &other.key).await.json();
    assert_eq!(listed, json!({"data": [], "next": null}));

    for wrong in 0..5 {
        let reply = try_code(&bundle, &account, &id, &format!("2222222{wrong}")).await;
        assert_problem(&reply, 422, "code-wrong");
    }
    assert_problem(&try_code(&bundle, &account, &id, &code).await, 422, "code-over");
    for sent in 2..=4 {
        assert_eq!(bundle.client.post(&again, &account.key, "").await.status, 202);
        bundle.until_rest().await;
        assert_eq!(mails(&bundle, "ana@example.com").len(), sent);
    }
    let refused = bundle.client.post(&again, &account.key, "").await;
    assert_problem(&refused, 429, "too-many-requests");
    assert!(refused.header("retry-after").is_some());
    let newest = code_in(&mails(&bundle, "ana@example.com")[3].text);
    let confirmed = try_code(&bundle, &account, &id, &format!("{} {}", &newest[..4], &newest[4..])).await;
    assert_eq!((confirmed.status, &confirmed.json()["state"]), (200, &json!("confirmed")));
    assert_eq!(bundle.client.get("/alerts", &account.key).await.json()["data"][0]["state"], "confirmed");

    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 204);
    assert_problem(&bundle.client.delete(&path, &account.key).await, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn nobody_is_flooded_with_codes() {
    let (bundle, account) = Bundle::with_account([]).await;
    let post = |given: Value| {
        let (client, key) = (bundle.client.clone(), account.key.clone());
        async move { client.post("/alerts", &key, given.to_string()).await }
    };
    for bad in ["a@b.co\r\nBcc: c@d.co", "a@b.co, c@d.co", "\"a\"@b.co", "a@localhost", "<a@b.co>"] {
        let problem = assert_problem(&post(json!({"kind": "email", "address": bad})).await, 422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "address", "{bad}");
    }
    let own = format!("{}/bots/b/messages", bundle.stack.addresses().api);
    for bad in [own.as_str(), "https://10.0.0.1/", "ftp://example.com/"] {
        assert_problem(&post(json!({"kind": "chat", "address": bad})).await, 422, "invalid");
    }
    for n in 0..10 {
        let email = json!({"kind": "email", "address": format!("a{n}@example.com")});
        let reply = post(email.clone()).await;
        assert_eq!(reply.status, 201, "{n}: {}", reply.text());
        if n < 4 {
            assert_problem(&post(email).await, 409, "already-exists");
        } else {
            let sixth = post(json!({"kind": "email", "address": "z@example.com"})).await;
            assert_eq!(assert_problem(&sixth, 422, "invalid")["errors"][0]["field"], "alerts");
            let path = format!("/alerts/{}", id_of(&reply.json()));
            assert_eq!(bundle.client.delete(&path, &account.key).await.status, 204);
        }
    }
    let eleventh = post(json!({"kind": "email", "address": "z@example.com"})).await;
    assert_problem(&eleventh, 429, "too-many-requests");
    bundle.until_rest().await;
    assert!(bundle.networks.mails().len() <= 10);

    // A deleted account leaves nothing.
    let path = format!("/accounts/{}", account.id);
    assert_eq!(bundle.client.delete(&path, carteiro_tests::ADMIN_KEY).await.status, 200);
    let rows = dynamodb::scan(&bundle, "ConfigTable").await;
    assert!(!rows.iter().any(|row| row.to_string().contains(&account.id)), "{rows:#?}");
    bundle.stop().await;
}

#[tokio::test]
async fn without_a_sender_email_is_refused_and_chats_go_on() {
    let (bundle, account) = Bundle::with_account([("AlertSender", "")]).await;
    let given = json!({"kind": "email", "address": "ana@example.com"}).to_string();
    let problem = assert_problem(&bundle.client.post("/alerts", &account.key, given).await, 422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("AlertSender"), "{problem}");
    let url = bundle.receiver.url("/chat");
    add(&bundle, &account, json!({"kind": "chat", "address": url})).await;
    assert_eq!(chat(&bundle, "/chat").len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn an_email_that_ses_does_not_take_is_tried_again() {
    let (bundle, account, webhook) = failing().await;
    bundle.webhook(&account, "/notices", &["notice"]).await;
    let given = json!({"kind": "email", "address": "eva@example.com", "events": ["blocked"]});
    let id = id_of(&add(&bundle, &account, given).await);
    let code = code_in(&mails(&bundle, "eva@example.com")[0].text);
    assert_eq!(try_code(&bundle, &account, &id, &code).await.status, 200);

    bundle.networks.fail_mails([MailFault::Throttled, MailFault::Unavailable, MailFault::AnswerLost]);
    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    let sent = || told(&bundle, "eva@example.com", "envio bloqueado").len();
    assert_eq!(sent(), 0);
    for (wait, expected) in [(31, 0), (181, 1), (901, 2), (901, 2)] {
        bundle.advance(Duration::from_secs(wait)).await;
        bundle.until_rest().await;
        assert_eq!(sent(), expected, "after {wait} s: a lost answer repeats");
    }
    let delayed = bundle.complaints().iter().filter(|line| line.contains("\"alert.delayed\"")).count();
    assert_eq!(delayed, 3);

    // What SES refuses for good is given up, and no notice waits for it.
    bundle.advance(HOUR).await;
    bundle.networks.fail_mails([MailFault::Rejected]);
    unblock(&bundle, &account, &webhook).await;
    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    bundle.advance(HOUR).await;
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(sent(), 2);
    let refused: Vec<String> =
        bundle.complaints().into_iter().filter(|line| line.contains("\"alert.refused\"")).collect();
    assert!(refused.len() == 1 && refused[0].contains("MessageRejected"), "{refused:#?}");
    let blocks = bundle.receiver.deliveries_to("/notices");
    let is_block = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["type"] == "webhook.blocked";
    assert_eq!(blocks.iter().filter(|delivery| is_block(&delivery.body)).count(), 2, "each notice once");
    bundle.stop().await;
}

/// Refuses what functions send to the queue of work.
fn no_work(call: SqsCall<'_>) -> Verdict {
    if call.action != "SendMessageBatch" || call.queue != Some("WorkQueue") {
        return Verdict::default();
    }
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Fate::FailBefore(Fault { status, code: "ServiceUnavailable".into(), message: "planted".into() }).into()
}

#[tokio::test]
async fn an_alert_that_could_not_be_queued_comes_with_the_next_tick() {
    let (bundle, account, webhook) = failing().await;
    bundle.webhook(&account, "/notices", &["notice"]).await;
    confirmed_email(&bundle, &account, "ana@example.com").await;
    bundle.stack.intercept_sqs(Some(Arc::new(no_work)));
    bundle.send_many(&account, "event", 10).await;
    blocked(&bundle, &account, &webhook).await;
    assert_eq!(told(&bundle, "ana@example.com", "envio bloqueado").len(), 0);
    bundle.receiver.wait_for_count("/notices", 1, carteiro_tests::SOON).await.unwrap();

    bundle.stack.intercept_sqs(None);
    // The claim of the notices is over.
    bundle.advance(Duration::from_secs(61)).await;
    for _ in 0..2 {
        bundle.tick().await;
        bundle.until_rest().await;
    }
    assert_eq!(told(&bundle, "ana@example.com", "envio bloqueado").len(), 1, "{:#?}", bundle.complaints());
    // The notice came again, under its own id.
    let ids = bundle.receiver.counts_by_webhook_id("/notices");
    assert!(ids.values().any(|count| *count == 2), "{ids:?}");
    bundle.stop().await;
}

/// The places for alerts to an account's chats, as they are stored.
async fn places(bundle: &Bundle, account: &Account) -> Value {
    let rows = dynamodb::scan(bundle, "ConfigTable").await;
    let key = (format!("account#{}", account.id), "chats");
    let row = rows
        .iter()
        .find(|row| (row["pk"]["S"].as_str(), row["sk"]["S"].as_str()) == (Some(&key.0), Some(key.1)));
    row.map_or(Value::Null, |row| serde_json::from_str(row["share"]["S"].as_str().unwrap()).unwrap())
}

#[tokio::test]
async fn an_accounts_chats_wait_for_a_place_and_no_other_accounts() {
    let (bundle, account, _) = failing().await;
    let neighbour = bundle.account().await;
    let until = jiff::Timestamp::from_millisecond(bundle.stack.clock().now_ms().cast_signed()).unwrap()
        + Duration::from_secs(15);
    let taken: Vec<Value> =
        (0..CHATS_AT_ONCE).map(|owner| json!({"owner": owner.to_string(), "until": until})).collect();
    let share = json!({"under_way": taken, "begun": CHATS_AT_ONCE, "minute_ends": until}).to_string();
    let row = json!({
        "pk": {"S": format!("account#{}", account.id)}, "sk": {"S": "chats"}, "share": {"S": share},
        "version": {"N": "1"},
    });
    dynamodb::call(&bundle, "PutItem", &json!({"TableName": "ConfigTable", "Item": row})).await;
    add(&bundle, &account, json!({"kind": "chat", "address": bundle.receiver.url("/busy")})).await;
    add(&bundle, &neighbour, json!({"kind": "chat", "address": bundle.receiver.url("/free")})).await;
    assert_eq!(chat(&bundle, "/free").len(), 1);
    assert_eq!(chat(&bundle, "/busy"), Vec::<String>::new(), "others of the account have all places");
    let complaints = bundle.complaints();
    assert!(complaints.iter().any(|line| line.contains("alert.delayed")), "{complaints:#?}");
    bundle.advance(Duration::from_secs(31)).await;
    bundle.receiver.wait_for_count("/busy", 1, carteiro_tests::SOON).await.unwrap();
    bundle.until_rest().await;
    assert!(!code_in(&chat(&bundle, "/busy")[0]).is_empty());
    assert_eq!(places(&bundle, &account).await["under_way"], json!([]), "the place was given back");
    bundle.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_killed_while_it_alerts_alerts_again() {
    let (bundle, account, webhook) = failing().await;
    let given = json!({"kind": "chat", "address": bundle.receiver.url("/chat"), "events": ["blocked"]});
    let id = id_of(&add(&bundle, &account, given).await);
    let code = code_in(&chat(&bundle, "/chat")[0]);
    assert_eq!(try_code(&bundle, &account, &id, &code).await.status, 200);
    let hangs = Behaviour::sequence([Answer::hang()], Answer::status(StatusCode::OK));
    bundle.receiver.set_behaviour("/chat", hangs);
    bundle.send_many(&account, "event", 10).await;
    bundle.receiver.wait_for_count("/chat", 2, carteiro_tests::SOON).await.unwrap();
    assert!(bundle.stack.kill_function("CollectFunction").await.unwrap() > 0);
    // Its message is handed out again when its visibility ends, and the block lasts.
    bundle.stack.clock().advance(Duration::from_secs(5041));
    bundle.receiver.wait_for_count("/chat", 3, carteiro_tests::SOON).await.unwrap();
    bundle.until_rest().await;
    let texts = chat(&bundle, "/chat");
    assert_eq!((texts.len(), &texts[1]), (3, &texts[2]), "the same alert, and no third");
    assert_eq!(bundle.status(&account, &webhook, "event").await["state"], "blocked");
    bundle.stop().await;
}

#[tokio::test]
async fn a_dead_token_that_a_poll_finds_alerts_once() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    confirmed_email(&bundle, &account, "ana@example.com").await;
    let page = connect(&bundle, &account, "facebook", "4711").await;
    bundle.tick().await;
    bundle.until_rest().await;
    bundle.networks.tokens_of(Network::Facebook, "4711", &TokenState::Revoked);
    for _ in 0..3 {
        bundle.advance(Duration::from_secs(900)).await;
        bundle.tick().await;
        bundle.until_rest().await;
    }
    let alerts = told(&bundle, "ana@example.com", "token da página");
    assert_eq!(alerts.len(), 1, "{alerts:#?} {:#?}", bundle.complaints());
    assert!(alerts[0].text.contains(&format!("console#to={page}\n")), "{}", alerts[0].text);
    assert!(alerts[0].text.contains("Uma página"), "{}", alerts[0].text);
    bundle.stop().await;
}

#[tokio::test]
async fn a_push_that_revokes_a_token_alerts() {
    let bundle = Bundle::start_with(SECRETS.into_iter().chain([crate::networks::X_IS_AWAY])).await;
    let account = bundle.account().await;
    confirmed_email(&bundle, &account, "ana@example.com").await;
    let given = json!({"network": "x", "network_id": "2244994945", "delivery": "immediate"});
    crate::networks::connect_with(&bundle, &account, given).await;
    let revoked = json!({"user_event": {"revoke": {
        "date_time": "2099-01-01T00:00:00+00:00", "target": {"app_id": "13090192"},
        "source": {"user_id": "2244994945"},
    }}});
    for _ in 0..2 {
        crate::networks::pushed(&bundle, "x", &revoked).await;
        bundle.tick().await;
        bundle.until_rest().await;
    }
    let alerts = told(&bundle, "ana@example.com", "token da página");
    assert_eq!(alerts.len(), 1, "{alerts:#?} {:#?}", bundle.complaints());
    bundle.stop().await;
}
