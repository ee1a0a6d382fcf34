//! The message just below the URL, in each situation, in both languages, in the reader's time zone.

use carteiro_clock::testing;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{ADMIN_KEY, Account, Bundle, Webhook, blocks};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Browser, clock, enter};

const SAO_PAULO: &str = "America/Sao_Paulo";
const MANAUS: &str = "America/Manaus";

/// Half past three in the afternoon in São Paulo, half past two in Manaus: a block of four hours ends today in both.
const AFTERNOON: &str = "2026-11-24T18:30:00Z";

/// Half past eleven at night in São Paulo, half past ten in Manaus: a block of four hours ends tomorrow in both.
const NIGHT: &str = "2026-11-25T02:30:00Z";

/// A webhook at a receiver that refuses everything, blocked at the third failure, of these types.
async fn refused(bundle: &Bundle, account: &Account, path: &str, settings: &Value) -> Webhook {
    bundle.receiver.set_behaviour(path, Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let mut given = json!({"url": bundle.receiver.url(path), "threshold": 3});
    given.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    bundle.webhook_with(account, given).await
}

async fn until_blocked(bundle: &Bundle, account: &Account, webhook: &Webhook, item_type: &str) -> Value {
    blocks::until(&bundle.client, account, webhook, item_type, blocks::is_blocked).await
}

#[tokio::test]
async fn a_block_is_worded_in_the_readers_time_zone_and_language() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_on(testing::clock_at(AFTERNOON), []).await;
    let account = bundle.account().await;
    let webhook = refused(&bundle, &account, "/um", &json!({"items": ["message", "event"]})).await;
    bundle.send_many(&account, "message", 12).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 12).await;
    let status = until_blocked(&bundle, &account, &webhook, "message").await;

    let message = format!("#webhook-{} .message", webhook.id);
    for (zone, hours) in [(SAO_PAULO, -3), (MANAUS, -4)] {
        let [since, until] = ["blocked_at", "blocked_until"].map(|name| clock(&status[name], hours));
        enter(&browser, &bundle, &account, zone, &json!({"language": "pt-BR"})).await;
        let ends = format!("bloqueado desde hoje às {since}, até hoje às {until}, daqui a ");
        for text in [
            "O envio de mensagens para esta URL está ",
            &ends,
            "Ela falhou 3 vezes seguidas.",
            "Última falha: a URL respondeu com o status 503.",
            &format!("12 itens guardados; serão entregues, em ordem de chegada, a partir das {until}."),
            "O envio de registros de eventos continua.",
            "Se a mesma URL já voltou a funcionar, desbloqueie.",
        ] {
            browser.until(&message, text).await;
        }
        let left = browser.text(&message).await;
        assert!(
            ["daqui a 4\u{a0}h", "daqui a 3\u{a0}h\u{a0}5"].iter().any(|left_over| left.contains(left_over)),
            "{left}"
        );
        browser.click("[data-language=en]").await;
        for text in [
            "Sending messages to this URL has been ",
            &format!("blocked since today at {since}, until today at {until}, in "),
            "12 items are held; they will be delivered, in order of arrival, ",
            "Sending events goes on.",
            "If the same URL works again, unblock.",
        ] {
            browser.until(&message, text).await;
        }
        browser.click("[data-language='pt-BR']").await;
        browser.until("#title", "Integrações").await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn what_is_due_another_day_says_the_readers_day_and_time() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_on(testing::clock_at(NIGHT), []).await;
    let account = bundle.account().await;
    let later = Answer::status(StatusCode::SERVICE_UNAVAILABLE)
        .with_header(RETRY_AFTER, HeaderValue::from_static("3600"));
    bundle.receiver.set_behaviour("/depois", later);
    let retried = json!({"url": bundle.receiver.url("/depois"), "items": ["event"]});
    let retried = bundle.webhook_with(&account, retried).await;
    let blocked = refused(&bundle, &account, "/noite", &json!({"items": ["message"]})).await;
    bundle.send(&account, "/bots/b/events", "{}").await;
    bundle.send_many(&account, "message", 12).await;
    blocks::until_held(&bundle.client, &account, &blocked, "message", 12).await;
    let ends = until_blocked(&bundle, &account, &blocked, "message").await["blocked_until"].clone();
    let has_due = |status: &Value| status["retry_due_at"].is_string();
    let due =
        blocks::until(&bundle.client, &account, &retried, "event", has_due).await["retry_due_at"].clone();

    let [of_retry, of_block] =
        [&retried, &blocked].map(|webhook| format!("#webhook-{} .message", webhook.id));
    // An hour after half past eleven in São Paulo is tomorrow, and still today in Manaus.
    for (zone, hours, day, english) in [(SAO_PAULO, -3, "amanhã", "tomorrow"), (MANAUS, -4, "hoje", "today")]
    {
        let [due, ends] = [&due, &ends].map(|time| clock(time, hours));
        enter(&browser, &bundle, &account, zone, &json!({"language": "pt-BR"})).await;
        browser.until(&of_retry, "O último envio de registros de eventos para esta URL falhou.").await;
        browser.until(&of_retry, &format!("1 item aguarda nova tentativa {day} às {due}, daqui a ")).await;
        browser.until(&of_block, &format!("em ordem de chegada, a partir de amanhã às {ends}.")).await;
        browser.click("[data-language=en]").await;
        browser.until(&of_retry, &format!("1 item waits for its next attempt {english} at {due}, in ")).await;
        browser.until(&of_block, &format!("in order of arrival, from tomorrow at {ends}.")).await;
        browser.click("[data-language='pt-BR']").await;
        browser.until("#title", "Integrações").await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn each_other_situation_has_its_own_message_and_ways_out() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_on(testing::clock_at(AFTERNOON), []).await;
    let account = bundle.account().await;
    let alone = refused(&bundle, &account, "/so", &json!({"items": ["message"]})).await;
    let both = refused(&bundle, &account, "/ambos", &json!({"items": ["message", "event"]})).await;
    let drops =
        refused(&bundle, &account, "/descarta", &json!({"items": ["message"], "while_blocked": "discard"}))
            .await;
    let failing =
        refused(&bundle, &account, "/falha", &json!({"items": ["contact"], "threshold": 1000})).await;
    let off = bundle
        .webhook_with(&account, json!({"url": bundle.receiver.url("/desligado"), "items": ["message"]}))
        .await;
    let path = format!("/webhooks/{}", off.id);
    assert_eq!(bundle.client.patch(&path, &account.key, &json!({"enabled": false})).await.status, 200);
    bundle.receiver.set_behaviour("/fim", Answer::status(StatusCode::GONE));
    let gone = bundle
        .webhook_with(&account, json!({"url": bundle.receiver.url("/fim"), "items": ["message"]}))
        .await;
    bundle.send_many(&account, "message", 6).await;
    bundle.send_many(&account, "event", 6).await;
    bundle.send_many(&account, "contact", 1).await;
    for (webhook, item_type) in
        [(&alone, "message"), (&both, "message"), (&both, "event"), (&drops, "message")]
    {
        until_blocked(&bundle, &account, webhook, item_type).await;
    }
    blocks::until_held(&bundle.client, &account, &off, "message", 6).await;
    blocks::until_held(&bundle.client, &account, &gone, "message", 6).await;

    enter(&browser, &bundle, &account, SAO_PAULO, &json!({})).await;
    let held = "6 itens guardados; serão entregues, em ordem de chegada, quando o webhook for habilitado.";
    let said: [(&Webhook, &[&str], &[&str]); 6] = [
        (&alone, &["O envio de mensagens para esta URL está bloqueado"], &["mend", "unblock"]),
        (&both, &["O envio de mensagens para", "O envio de registros de eventos para"], &["mend", "unblock"]),
        (&drops, &["O que chega durante o bloqueio é descartado"], &["mend", "unblock"]),
        (&failing, &["de contatos para esta URL falh"], &["mend"]),
        (&off, &["foi desabilitado por quem cuida dele. Nada é enviado.", held], &["enable"]),
        (&gone, &["a URL respondeu que não existe mais (status 410)", held], &["mend", "enable"]),
    ];
    for (webhook, texts, ways) in said {
        let message = format!("#webhook-{} .message", webhook.id);
        for text in texts {
            browser.until(&message, text).await;
        }
        for way in ["mend", "unblock", "enable"] {
            let found = browser.count(&format!("{message} [data-action={way}]")).await;
            assert_eq!(found == 1, ways.contains(&way), "{way}: {}", browser.text(&message).await);
        }
    }
    for lonely in [&alone, &both, &drops] {
        let message = browser.text(&format!("#webhook-{} .message", lonely.id)).await;
        assert!(!message.contains("continua"), "no other type goes on: {message}");
    }
    // Trouble comes first, the worst before; what is as bad stays in the order of creation.
    let order = browser
        .value("[...document.querySelectorAll('#webhooks article')].map(one => one.dataset.state)")
        .await;
    assert_eq!(order, json!(["blocked", "blocked", "blocked", "failing", "disabled", "disabled"]));
    browser.until("#summary", "3 bloqueados, 1 com falhas, 2 desabilitados").await;
    browser.click("[data-language=en]").await;
    browser.until(&format!("#webhook-{} .message", gone.id), "no longer exists (status 410)").await;
    browser
        .until(&format!("#webhook-{} .message", drops.id), "What comes during the block is discarded")
        .await;
    browser.until("#summary", "3 blocked, 1 failing, 2 disabled").await;

    for dark in [false, true] {
        browser.prefers_dark(dark).await;
        assert_eq!(browser.violations().await, Vec::<String>::new(), "dark: {dark}");
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

/// The pictures in the documents: `CARTEIRO_WRITE_DOCUMENTS=1 cargo e2e the_documents_show` takes them anew.
#[tokio::test]
async fn the_documents_show_a_block_and_the_same_mended() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_on(testing::clock_at(AFTERNOON), []).await;
    let named = json!({"name": "Loja Exemplo"}).to_string();
    let made = bundle.client.post("/accounts", ADMIN_KEY, named).await.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let account = Account { id: text("id"), key: text("key") };
    let settings =
        json!({"items": ["message", "event"], "description": "Sistema de pedidos", "threshold": 3});
    let webhook = refused(&bundle, &account, "/pedidos", &settings).await;
    bundle.send_many(&account, "message", 120).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 120).await;

    browser.is_as_large_as(800, 600).await;
    enter(&browser, &bundle, &account, SAO_PAULO, &json!({})).await;
    let card = format!("#webhook-{}", webhook.id);
    browser.until(&format!("{card} .message"), "120 itens guardados").await;
    let bottom =
        format!("document.querySelector('{card} [data-action=unblock]').getBoundingClientRect().bottom");
    let bottom = browser.value(&bottom).await.as_f64().unwrap();
    assert!(bottom < 590.0, "the picture shows both ways out: {bottom}");
    keep(&browser, "console-blocked").await;
    bundle.receiver.set_behaviour("/pedidos", Behaviour::default());
    browser.click(&format!("{card} [data-action=unblock]")).await;
    browser.until(&format!("{card} .said"), "Itens guardados enviados: 120.").await;
    browser.until(&format!("{card} .state"), "Ativo").await;
    keep(&browser, "console-mended").await;
    browser.stop().await;
    bundle.stop().await;
}

/// Keeps a picture for the documents where they are to be written.
async fn keep(browser: &Browser, name: &str) {
    // Whoever reads a document has no focus.
    browser.value("document.activeElement.blur()").await;
    let picture = browser.picture().await;
    assert!(picture.len() < 100_000, "{name}: {} bytes", picture.len());
    if crate::log_events::is_to_be_written() {
        let folder = carteiro_tests::workspace().join("docs/images");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}
