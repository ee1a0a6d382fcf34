//! The console's pages: their tokens, collections and freshness.

use std::time::Duration;

use carteiro_clock::testing;
use carteiro_fake_networks::Connection;
use carteiro_networks::freshness::Hour;
use carteiro_networks::network::Network;
use carteiro_tests::{Bundle, dynamodb};
use serde_json::json;

use super::{Browser, clock, enter};
use crate::networks::{SECRETS, X_IS_AWAY, X_SECRET, pushed};

const ZONE: &str = "America/Sao_Paulo";

#[tokio::test]
async fn a_browser_lists_pages_and_token_states_in_both_languages() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    enter(&browser, &bundle, &account, ZONE, &json!({})).await;
    browser.until("#no-pages", "ainda não tem páginas").await;

    let given = json!({
        "network": "googleplay", "network_id": "com.example.app", "name": "Loja <b>", "delivery": "immediate",
        "access_token": "planted-token", "expires_at": "2031-05-04T12:00:00Z",
    });
    let created = bundle.client.post("/pages", &account.key, given.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let row = format!("[data-page={}]", created.json()["id"].as_str().unwrap());
    // The page finds out by itself.
    browser.until(&row, "Loja <b>").await;
    browser.click(&format!("{row} summary")).await;
    for text in ["Google Play", "Token recebido; verificando…", "com.example.app", "Imediata"] {
        browser.until(&row, text).await;
    }
    browser.until(&format!("{row} [data-fact=expires]"), "2031").await;
    browser.click("[data-language=en]").await;
    for text in ["Token received; checking…", "Immediate"] {
        browser.until(&row, text).await;
    }
    let source = browser.value("document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains("planted-token"));
    browser.until(&format!("{row} [data-fact=last-tick]"), "none yet").await;

    // How fresh its things are, and that it is silent.
    let id = created.json()["id"].clone();
    let now = bundle.stack.clock().now_ms().cast_signed();
    let hour = Hour::of(jiff::Timestamp::from_millisecond(now).unwrap()).to_string();
    let pk = format!("{}#fresh", id.as_str().unwrap());
    let counts = json!({"pk": {"S": pk}, "sk": {"S": hour}, "review.10": {"N": "7"}});
    dynamodb::call(&bundle, "PutItem", &json!({"TableName": "InboxTable", "Item": counts})).await;
    let schedules = dynamodb::scan(&bundle, "PollTable").await;
    let schedule = schedules.iter().find(|row| row["sk"]["S"] == id).unwrap();
    let silence = json!({"since": "2026-11-01T00:00:00Z", "usual_hours": 9}).to_string();
    let update = json!({
        "TableName": "PollTable", "Key": {"pk": schedule["pk"], "sk": schedule["sk"]},
        "UpdateExpression": "SET silence = :silence", "ExpressionAttributeValues": {":silence": {"S": silence}},
    });
    dynamodb::call(&bundle, "UpdateItem", &update).await;
    browser.until(&format!("{row} [data-fact=fresh-review]"), "7: half within 15 min").await;
    browser.until(&format!("{row} [data-fact=promise]"), "99 % within 24 h").await;
    browser.until(&format!("{row} [data-fact=silence]"), "9 h").await;

    let path = format!("/pages/{}", created.json()["id"].as_str().unwrap());
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    browser.until("#no-pages", "no connected pages").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_browser_renews_a_dead_token_unseen_and_requests_a_check() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_with([("XConsumerSecrets", X_SECRET), X_IS_AWAY]).await;
    let account = bundle.account().await;
    let given = json!({"network": "x", "network_id": "9", "name": "Loja", "access_token": "planted-first"});
    let page = bundle.client.post("/pages", &account.key, given.to_string()).await.json();
    let revoke = json!({"user_event": {"revoke": {
        "date_time": "2099-01-01T00:00:00+00:00", "target": {"app_id": "13"}, "source": {"user_id": "9"},
    }}});
    pushed(&bundle, "x", &revoke).await;
    bundle.tick().await;
    enter(&browser, &bundle, &account, ZONE, &json!({})).await;
    let row = format!("[data-page={}]", page["id"].as_str().unwrap());
    browser.until(&format!("{row} .state"), "Token revogado").await;
    browser.until(&format!("{row} .message"), "O acesso à página \"Loja\" foi revogado no X").await;

    browser.click(&format!("{row} [data-action=renew]")).await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} form .error"), "Preencha este campo.").await;
    browser.write(&format!("{row} [name=access_token]"), "planted second").await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} form .error"), "sem espaços").await;
    browser.write(&format!("{row} [name=access_token]"), "planted-second").await;
    browser.write(&format!("{row} [name=refresh_token]"), "planted-refresh").await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} .said"), "Token recebido; verificando…").await;
    browser.until(&format!("{row} .state"), "Token recebido; verificando…").await;
    browser.until(&format!("{row} .message"), "O X ainda não o aceitou nem recusou.").await;
    browser.until_gone(&format!("{row} form")).await;
    let tokens = dynamodb::scan(&bundle, "TokenTable").await;
    let [token] = tokens.as_slice() else { panic!("{tokens:?}") };
    assert_eq!(
        (&token["access_token"]["S"], &token["refresh_token"]["S"]),
        (&json!("planted-second"), &json!("planted-refresh"))
    );

    browser.click(&format!("{row} summary")).await;
    browser.click(&format!("{row} [data-action=check]")).await;
    browser.until(&format!("{row} .said"), "Verificação pedida").await;
    // The page finds out by itself.
    browser.until(&format!("{row} [data-fact=last-tick]"), "itens novos").await;
    let source = browser.value("document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains("planted"));
    assert_eq!(browser.value("Object.keys(sessionStorage).length").await, 0);
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_tokens_end_is_worded_in_the_readers_time_zone() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let Some(browser) = Browser::start().await else { return };
    let app = [("MetaAppToken", "meta-app|planted-meta-token"), ("NetworkSettings", "{}")];
    // Half past three in the afternoon in São Paulo.
    let parameters = SECRETS.into_iter().chain(app);
    let bundle = Bundle::start_on(testing::clock_at("2026-11-24T18:30:00Z"), parameters).await;
    bundle.networks.client(Network::Facebook, "meta-app", "planted-meta-token");
    bundle.networks.connect_with(Network::Facebook, Connection::new("501", "EAAplanted").expires_in(DAY));
    let account = bundle.account().await;
    let given =
        json!({"network": "facebook", "network_id": "501", "name": "Loja", "access_token": "EAAplanted"});
    let page = bundle.client.post("/pages", &account.key, given.to_string()).await.json();
    let path = format!("/pages/{}", page["id"].as_str().unwrap());
    bundle.tick().await;
    bundle.until_rest().await;
    let token = bundle.client.get(&path, &account.key).await.json()["token"].clone();
    assert_eq!((&token["state"], &token["cause"]), (&json!("expiring"), &json!("time")), "{token}");
    assert!(token["message"]["pt-BR"].as_str().unwrap().contains("(UTC)"), "{token}");

    let message = format!("[data-page={}] [data-fact=token]", page["id"].as_str().unwrap());
    for (zone, hours) in [(ZONE, -3), ("America/Manaus", -4)] {
        let end = clock(&token["expires_at"], hours);
        enter(&browser, &bundle, &account, zone, &json!({"language": "pt-BR"})).await;
        let ends = format!("O token da página \"Loja\" (Facebook) vence em breve: amanhã às {end}, daqui a ");
        for text in [ends.as_str(), "Gere um novo token antes disso e informe‑o aqui"] {
            browser.until(&message, text).await;
        }
        browser.click("[data-language=en]").await;
        browser.until(&message, &format!("(Facebook) ends soon: tomorrow at {end}, in ")).await;
        assert!(!browser.text(&message).await.contains("UTC"));
    }
    // A consent's end is worded by its own time; what names no instant, by the server.
    let consent = json!({"name": "Loja", "network": "facebook", "token": {
        "state": "expiring", "cause": "consent", "consent_ends_at": token["expires_at"], "expires_at": null,
        "message": {"en": "of the server"},
    }});
    let mut expired = consent.clone();
    expired["token"]["state"] = json!("expired");
    let worded = |page| format!("import('/console/pages.js').then(({{ tokenText }}) => tokenText({page}))");
    let text = browser.value(&worded(consent)).await;
    let begins = "The consent given on Facebook for the page \"Loja\" ends soon: tomorrow at ";
    assert!(text.as_str().unwrap().starts_with(begins), "{text}");
    assert_eq!(browser.value(&worded(expired)).await, "of the server");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}
