//! An owner's way through the console, from the link to the end: in both languages.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::client::Client;
use carteiro_tests::{ADMIN_KEY, Account, Bundle, Patience, Webhook, blocks};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Browser, enter};

const ZONE: &str = "America/Sao_Paulo";

/// Notes all that is said from here on, as a reader hears it.
const LISTEN: &str = "(() => { globalThis.heard = []; new MutationObserver(() => { for (const one of \
    document.querySelectorAll('.said > p')) if (one.textContent && !heard.includes(one.textContent)) \
    heard.push(one.textContent); }).observe(document.body, {subtree: true, childList: true, characterData: true}); \
    return true; })()";

/// What was said that has this beginning.
async fn heard(browser: &Browser, beginning: &str) -> Vec<String> {
    let all = browser.value("heard").await;
    let texts = all.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    texts.filter(|text| text.starts_with(beginning)).collect()
}

struct Words {
    language: &'static str,
    nobody: &'static str,
    unconfirmed: &'static str,
    confirmed: &'static str,
    address_deleted: &'static str,
    failing: &'static str,
    blocked: &'static str,
    sending: &'static str,
    sent: &'static str,
    resent: &'static str,
    rotated: &'static str,
    token: &'static str,
    deleted: &'static str,
}

const PORTUGUESE: Words = Words {
    language: "pt-BR",
    nobody: "Ninguém é avisado quando um webhook é bloqueado",
    unconfirmed: "Aguardando confirmação",
    confirmed: "Endereço confirmado.",
    address_deleted: "Endereço excluído.",
    failing: "envios de mensagens para esta URL falharam.",
    blocked: "O envio de mensagens para esta URL está bloqueado",
    sending: "Enviando itens guardados: ",
    sent: "Itens guardados enviados: 150.",
    resent: "Enviados de novo: 4 entregues.",
    rotated: "Segredo trocado; o anterior vale até amanhã às ",
    token: "Token recebido; verificando…",
    deleted: "Webhook excluído; 2 itens descartados.",
};

const ENGLISH: Words = Words {
    language: "en",
    nobody: "Nobody is told when a webhook is blocked",
    unconfirmed: "Waiting for confirmation",
    confirmed: "Address confirmed.",
    address_deleted: "Address deleted.",
    failing: "attempts to send messages to this URL failed.",
    blocked: "Sending messages to this URL has been blocked",
    sending: "Sending held items: ",
    sent: "Held items sent: 150.",
    resent: "Sent again: 4 delivered.",
    rotated: "Secret rotated; the earlier one is valid until tomorrow at ",
    token: "Token received; checking…",
    deleted: "Webhook deleted; 2 items dropped.",
};

#[tokio::test]
async fn an_owner_walks_from_the_link_to_the_end_in_portuguese() {
    walk(&PORTUGUESE).await;
}

#[tokio::test]
async fn an_owner_walks_from_the_link_to_the_end_in_english() {
    walk(&ENGLISH).await;
}

async fn walk(words: &Words) {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_with([("RetentionDays", "1")]).await;
    let account = bundle.account().await;
    let wanted = json!({"language": words.language});
    enter(&browser, &bundle, &account, ZONE, &wanted).await;
    let called = bundle.client.get("/account", &account.key).await.json();
    browser.until("#who", called["name"].as_str().unwrap()).await;
    an_address_for_alerts(&browser, &bundle, words).await;

    let url = bundle.receiver.url("/dono");
    browser.click("#add").await;
    browser.write("#new-webhook [name=url]", &url).await;
    browser.click("#new-webhook [value=message]").await;
    browser.click("#new-webhook [value=event]").await;
    browser.click("#new-webhook > details > summary").await;
    sound(&browser, "new").await;
    browser.write("#new-webhook [name=headers]", "X-Loja: centro").await;
    browser.write("#new-webhook [name=threshold]", "30").await;
    browser.click("#new-webhook button.first").await;
    browser.until("article .secret code", "whsec_").await;
    sound(&browser, "secret").await;
    let secret = browser.text("article .secret code").await;
    bundle.receiver.add_secret(&secret).unwrap();
    browser.click("article .secret [data-action=hide]").await;
    let created = bundle.client.get("/webhooks", &account.key).await.json()["data"][0].clone();
    assert_eq!(
        (&created["items"], &created["threshold"], &created["headers"]),
        (&json!(["event", "message"]), &json!(30), &json!({"x-loja": "********"}))
    );
    let webhook = Webhook { id: created["id"].as_str().unwrap().to_owned(), secret };
    let card = format!("#webhook-{}", webhook.id);

    // The streak, then the block.
    bundle.receiver.set_behaviour("/dono", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    bundle.send_many(&account, "message", 3).await;
    browser.until(&format!("{card} .message"), words.failing).await;
    bundle.send_many(&account, "message", 147).await;
    browser.until(&format!("{card} .message"), words.blocked).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 150).await;
    browser.click(&format!("{card} [data-list=attempts] > summary")).await;
    browser.until(&format!("{card} [data-attempt]"), "503").await;
    sound(&browser, "blocked").await;

    // Mended: a test arrives, what is held goes out, and the progress moves.
    let slow =
        Answer::Delay { by: Duration::from_millis(1500), then: Box::new(Answer::status(StatusCode::OK)) };
    bundle.receiver.set_behaviour("/dono", slow);
    browser.click(&format!("{card} [data-action=test]")).await;
    browser.choose(&format!("{card} [name=example]"), "message").await;
    browser.click(&format!("{card} form button.first")).await;
    browser.until(&format!("{card} .said"), "200").await;
    sound(&browser, "tested").await;
    browser.click(&format!("{card} form [data-action=cancel]")).await;
    assert_eq!(browser.value(LISTEN).await, true);
    browser.click(&format!("{card} [data-action=unblock]")).await;
    browser.until(&format!("{card} .said"), words.sent).await;
    let progress = heard(&browser, words.sending).await;
    assert!(progress.len() > 1, "it moves: {progress:?}");
    blocks::until_held(&bundle.client, &account, &webhook, "message", 0).await;
    // The last step is still under way.
    bundle.until_rest().await;

    dead_and_sent_again(&browser, &bundle, &account, &webhook, words).await;

    // A page's token.
    browser.click("[data-action=connect]").await;
    browser.choose("#new-page [name=network]", "googleplay").await;
    sound(&browser, "connect").await;
    for (name, value) in
        [("network_id", "com.example.app"), ("name", "Loja"), ("access_token", "planted-token")]
    {
        browser.write(&format!("#new-page [name={name}]"), value).await;
    }
    browser.click("#new-page button.first").await;
    browser.until("[data-page] .state", words.token).await;
    browser.click("[data-page] [data-action=remove]").await;
    browser.click("#ask [data-action=confirm]").await;
    browser.until_gone("[data-page]").await;

    // Rotated; then deleted, with what waits counted in the question and in the end.
    browser.click(&format!("{card} [data-action=rotate]")).await;
    browser.click(&format!("{card} form button.first")).await;
    browser.until(&format!("{card} .said"), words.rotated).await;
    browser.until(&format!("{card} .secret code"), "whsec_").await;
    browser.click(&format!("{card} [data-action=hide]")).await;
    browser.click(&format!("{card} [data-action=toggle]")).await;
    browser.until(&format!("{card} .message"), "").await;
    until(&bundle, &account.key, &webhook.id, |shown| shown["enabled"] == false).await;
    bundle.send_many(&account, "event", 2).await;
    blocks::until_held(&bundle.client, &account, &webhook, "event", 2).await;
    browser.click(&format!("{card} [data-action=remove]")).await;
    browser.until("#ask", "2").await;
    sound(&browser, "question").await;
    browser.click("#ask [data-action=confirm]").await;
    browser.until("#account", words.deleted).await;
    browser.until_gone(&card).await;

    // Signed out, nothing of the account stays, and the session is over.
    browser.click("#leave").await;
    sound(&browser, "entry").await;
    browser.until("#enter", if words.language == "en" { "You signed out." } else { "Você saiu." }).await;
    assert_eq!(browser.text("#account").await, "");
    assert_eq!(browser.value("fetch('console/session').then(answer => answer.status)").await, 401);
    assert_eq!(browser.value("[localStorage.length, document.cookie]").await, json!([0, ""]));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

/// An address is added, confirmed by the code that was sent to it, and deleted; the page says when nobody is told.
async fn an_address_for_alerts(browser: &Browser, bundle: &Bundle, words: &Words) {
    const ADDRESS: &str = "dona@example.com";
    browser.until("#nobody", words.nobody).await;
    browser.click("[data-action=alert]").await;
    browser.write("#new-alert [name=address]", ADDRESS).await;
    sound(browser, "new address").await;
    browser.click("#new-alert button.first").await;
    browser.until("[data-alert] .state", words.unconfirmed).await;
    browser.until("#nobody", words.nobody).await;
    browser.until("#confirm label", ADDRESS).await;
    sound(browser, "code").await;
    // Each button that confirms says which address it confirms.
    let unnamed =
        "[...document.querySelectorAll('[data-alert] button')].filter(one => !one.ariaLabel.includes('@'))";
    assert_eq!(browser.value(&format!("{unnamed}.length")).await, 0);
    browser.write("#confirm [name=code]", &code_sent(bundle, ADDRESS).await).await;
    browser.click("#confirm button.first").await;
    browser.until("[aria-labelledby=alerts-title] .said", words.confirmed).await;
    browser.until_gone("#nobody").await;
    browser.click("[data-alert] [data-action^=drop]").await;
    browser.until("#ask", ADDRESS).await;
    browser.click("#ask [data-action=confirm]").await;
    browser.until("[aria-labelledby=alerts-title] .said", words.address_deleted).await;
    browser.until_gone("[data-alert]").await;
    browser.until("#nobody", words.nobody).await;
}

/// The last code that an address was sent, as the stand-in for SES shows it.
pub(super) async fn code_sent(bundle: &Bundle, address: &str) -> String {
    let path = format!("/ses/emails?to={}", address.replace('@', "%40"));
    let mut patience = Patience::default();
    while patience.lasts().await {
        let shown = Client::new(&bundle.networks.url()).request(Method::GET, &path, &[], "").await.json();
        let texts = shown["emails"].as_array().unwrap().iter().filter_map(|mail| mail["text"].as_str());
        let label = ["Código de confirmação: ", "Confirmation code: "];
        let codes = texts.flat_map(|text| label.map(|label| Some(text.split_once(label)?.1))).flatten();
        if let Some(rest) = codes.last() {
            return rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        }
    }
    panic!("no code was sent to {address}");
}

pub(super) async fn enabled(bundle: &Bundle, account: &Account, webhook: &Webhook, is: bool) {
    let path = format!("/webhooks/{}", webhook.id);
    assert_eq!(bundle.client.patch(&path, &account.key, &json!({"enabled": is})).await.status, 200);
}

/// Disables a webhook, and waits until as many events have died, a day later.
pub(super) async fn disabled_until_dead(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    events: usize,
) {
    enabled(bundle, account, webhook, false).await;
    bundle.send_many(account, "event", events).await;
    blocks::until_held(&bundle.client, account, webhook, "event", events).await;
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    blocks::until(&bundle.client, account, webhook, "event", |status| status["dead"] == events).await;
}

/// What waited too long is dead: its owner looks at it and sends it again.
async fn dead_and_sent_again(
    browser: &Browser,
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    words: &Words,
) {
    disabled_until_dead(bundle, account, webhook, 4).await;
    enabled(bundle, account, webhook, true).await;
    // The session ended while a day went by.
    enter(browser, bundle, account, ZONE, &json!({"language": words.language, "to": webhook.id})).await;
    let list = format!("#webhook-{} [data-list=dead]", webhook.id);
    browser.until(&format!("{list} > summary"), "4").await;
    browser.click(&format!("{list} > summary")).await;
    browser.until(&format!("{list} li"), "item_").await;
    browser.click(&format!("{list} li summary")).await;
    browser.until(&format!("{list} pre"), "\"n\"").await;
    sound(browser, "dead").await;
    browser.click(&format!("{list} [data-action=all]")).await;
    browser.until(&format!("{list} .said"), words.resent).await;
}

/// Asserts that axe finds nothing wrong in the page as it is now.
async fn sound(browser: &Browser, place: &str) {
    assert_eq!(browser.violations().await, Vec::<String>::new(), "{place}");
}

/// Waits until a webhook is as wanted.
async fn until(bundle: &Bundle, key: &str, webhook: &str, wanted: impl Fn(&Value) -> bool) {
    let mut shown = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        shown = bundle.client.get(&format!("/webhooks/{webhook}"), key).await.json();
        if wanted(&shown) {
            return;
        }
    }
    panic!("the webhook did not become as wanted: {shown}");
}

#[tokio::test]
async fn a_link_enters_once_and_a_key_is_not_kept() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let api = bundle.stack.addresses().api.clone();
    let path = super::link(&bundle, &account, &json!({"role": "look"})).await;
    browser.open(&format!("{api}{path}")).await;
    browser.until("#who", "(Somente leitura)").await;
    browser.until("#none", "ainda não tem webhooks").await;
    for change in ["#add", "[data-action=connect]", "[data-action=alert]"] {
        assert_eq!(browser.text(change).await, "", "{change}");
    }
    browser.click("#leave").await;
    browser.until("#told", "Você saiu.").await;
    browser.open("about:blank").await;
    browser.open(&format!("{api}{path}")).await;
    browser.until("#told", "Este link já foi usado. Peça outro.").await;
    assert_eq!(browser.value("location.hash").await, "");
    browser.open("about:blank").await;
    browser.open(&format!("{api}/console#link=altered")).await;
    browser.until("#told", "Este link não é válido. Peça outro.").await;

    browser.write("#key", "ck_nobody").await;
    browser.click("#enter button").await;
    browser.until("#key-error", "Chave inválida.").await;
    browser.write("#key", ADMIN_KEY).await;
    browser.click("#enter button").await;
    browser.until("#key-error", "Esta é a chave de administração").await;
    browser.write("#key", &account.key).await;
    browser.click("#enter button").await;
    browser.until("#none", "ainda não tem webhooks").await;
    assert_eq!(
        browser.value("[localStorage.length, sessionStorage.length, document.cookie]").await,
        json!([0, 0, ""])
    );
    assert_eq!(browser.value("document.getElementById('key').value").await, "");

    // The operator ends all sessions: the page says so by itself.
    let sessions = format!("/accounts/{}/sessions", account.id);
    assert_eq!(bundle.client.delete(&sessions, ADMIN_KEY).await.status, 204);
    browser.until("#told", "A sessão terminou. Entre novamente.").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_page_that_nobody_uses_is_signed_out() {
    const HOUR: Duration = Duration::from_secs(3600);
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    enter(&browser, &bundle, &account, ZONE, &json!({})).await;
    let looks = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/alerts')).length";
    let refreshed = async || {
        let before = browser.value(looks).await.as_u64().unwrap();
        browser.value("document.dispatchEvent(new Event('visibilitychange'))").await;
        let mut patience = Patience::default();
        while patience.lasts().await {
            if browser.value(looks).await.as_u64().unwrap() > before {
                return;
            }
        }
        panic!("the page is not read anew");
    };
    // Whoever uses it stays.
    for _ in 0..3 {
        bundle.advance(HOUR).await;
        browser.press(&["\u{e004}"]).await;
        refreshed().await;
    }
    assert_eq!(browser.text("#told").await, "");
    // Left alone, it is read anew by itself, and ends.
    bundle.advance(HOUR).await;
    refreshed().await;
    assert_eq!(browser.text("#told").await, "");
    bundle.advance(HOUR).await;
    browser.value("document.dispatchEvent(new Event('visibilitychange'))").await;
    browser.until("#told", "A sessão terminou. Entre novamente.").await;
    assert_eq!(browser.text("#account").await, "");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_keyboard_alone_ends_a_block_and_errors_take_the_focus() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/teclado", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let settings = json!({"url": bundle.receiver.url("/teclado"), "items": ["message"], "threshold": 3});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.send_many(&account, "message", 5).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 5).await;
    bundle.receiver.set_behaviour("/teclado", Behaviour::default());
    enter(&browser, &bundle, &account, ZONE, &json!({})).await;
    let (tab, enter_key) = ("\u{e004}", "\u{e007}");
    for _ in 0..30 {
        browser.press(&[tab]).await;
        if browser.value("document.activeElement.dataset.action").await == "unblock" {
            break;
        }
    }
    browser.press(&[enter_key]).await;
    let card = format!("#webhook-{}", webhook.id);
    browser.until(&format!("{card} .said"), "Itens guardados enviados: 5.").await;
    browser.until(&format!("{card} .state"), "Ativo").await;
    assert_eq!(browser.value("document.activeElement.id").await, format!("webhook-{}-url", webhook.id));

    browser.click("#add").await;
    browser.until("#new-webhook button.first", "Criar").await;
    browser.press(&[enter_key]).await;
    browser.until("#new-webhook-url-error", "Preencha este campo.").await;
    browser.until("#new-webhook-items-error", "Escolha ao menos um tipo.").await;
    assert_eq!(browser.value("document.activeElement.id").await, "new-webhook-url");
    browser.write("#new-webhook-url", "https://10.0.0.1/").await;
    browser.click("#new-webhook [value=message]").await;
    browser.click("#new-webhook button.first").await;
    browser.until("#new-webhook-url-error", "Endereço inválido.").await;
    assert_eq!(browser.value("document.activeElement.ariaInvalid").await, "true");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

/// The guide's third chapter, by the words that it names and nothing else: `cargo e2e the_guide_alone -- --nocapture`
/// says how long it took.
#[tokio::test]
async fn the_guide_alone_leads_from_a_block_to_the_delivery() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/guia", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let url = bundle.receiver.url("/guia");
    let webhook =
        bundle.webhook_with(&account, json!({"url": url, "items": ["message"], "threshold": 3})).await;
    bundle.send_many(&account, "message", 60).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 60).await;
    let link = super::link(&bundle, &account, &json!({})).await;
    let guide = std::fs::read_to_string(carteiro_tests::workspace().join("docs/guia.md")).unwrap();
    let guide = guide.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, chapter) = guide.split_once("## 3. Voltar a enviar").unwrap();

    let begun = bundle.stack.clock().now_ms();
    let seconds = || (bundle.stack.clock().now_ms() - begun) / 1000;
    browser.open_as_of(&bundle, ZONE, &link).await;
    browser.until("#summary", "1 bloqueado").await;
    browser.until("article .message", "Última falha: a URL respondeu com o status 503.").await;
    println!("the block is read after {} s", seconds());
    // Whoever looks after the server has mended it.
    bundle.receiver.set_behaviour("/guia", Behaviour::default());
    press_named(&browser, &url).await;
    for (name, said) in [
        ("Testar", None),
        ("Enviar teste", Some("O teste teve sucesso")),
        ("Desbloquear", Some("Itens guardados enviados: 60.")),
    ] {
        assert!(chapter.contains(&format!("*{name}*")), "the guide names {name}");
        press_named(&browser, name).await;
        if let Some(said) = said {
            browser.until("article .said", said).await;
        }
    }
    browser.until("article .state", "Ativo").await;
    println!("all is delivered after {} s and 4 clicks", seconds());
    assert!(chapter.contains("Itens guardados enviados: ") && chapter.contains("*Ativo*"));
    assert_eq!(bundle.receiver.counts_by_webhook_id("/guia").len(), 61, "the test and the items");
    browser.stop().await;
    bundle.stop().await;
}

/// Presses the only button that can be seen with a text.
async fn press_named(browser: &Browser, name: &str) {
    let found = format!("//button[normalize-space()='{name}']");
    let button = browser.post("element", json!({"using": "xpath", "value": found})).await;
    let id = button.as_object().unwrap().values().next().unwrap().as_str().unwrap();
    browser.post(&format!("element/{id}/click"), json!({})).await;
}
