//! What the console says while held items are sent: how many there were, and how many have left.

use carteiro_receiver::Behaviour;
use carteiro_tests::{Bundle, blocks};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Browser, enter};

/// Has the page's first request for a webhook, once armed, overtaken by a refresh that is answered later still.
const OVERTAKEN: &str = "(() => { const real = fetch; let asked = 0; const pause = ms => new Promise(done => \
    setTimeout(done, ms)); globalThis.fetch = async (path, ...rest) => { const isLook = \
    /^webhooks\\/wh_[0-9a-f]+$/.test(path) && rest[0].method === 'GET'; const turn = isLook ? ++asked : 0; \
    if (turn === 1) { document.dispatchEvent(new Event('visibilitychange')); await pause(1500); } \
    if (turn === 2) await pause(4000); return real(path, ...rest); }; return true; })()";

#[tokio::test]
async fn what_was_sent_is_counted_though_a_refresh_comes_between() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/um", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let settings = json!({"url": bundle.receiver.url("/um"), "items": ["message"], "threshold": 3});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.send_many(&account, "message", 3).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 3).await;
    enter(&browser, &bundle, &account, "America/Sao_Paulo", &json!({})).await;
    let card = format!("#webhook-{}", webhook.id);
    browser.until(&format!("{card} .message"), "3 itens guardados").await;
    bundle.receiver.set_behaviour("/um", Behaviour::default());
    assert_eq!(browser.value(OVERTAKEN).await, true);
    // The page does not know of these yet.
    bundle.send_many(&account, "message", 4).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 7).await;
    browser.click(&format!("{card} [data-action=unblock]")).await;
    browser.until(&format!("{card} .said"), "Itens guardados enviados: 7.").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn progress_above_what_is_counted_says_what_is_known() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    enter(&browser, &bundle, &account, "America/Sao_Paulo", &json!({})).await;
    // Of each look: how many are held (more than 1000 are not counted), and the oldest item's number.
    let said = async |listed: u32, rest: bool, looks: Value| {
        let script = format!(
            "Promise.all([import('/console/items.js'), import('/console/pt-BR.js')]).then(([{{ Progress }}, words]) => \
             {{ const progress = new Progress(); if ({listed}) progress.listed('message', Array.from({{length: {listed}}}, \
             (_, i) => i), {rest}); return {looks}.map(([held, oldest, event]) => {{ progress.look('message', \
             held === null ? {{held: 1000, held_more: true}} : {{held}}, oldest); if (event) progress.look('event', \
             {{held: event}}); return progress.isOver ? words.default.sentAll(progress.total(words.default)) : \
             progress.said()[0](words.default); }}); }})"
        );
        browser.value(&script).await
    };
    let sending = |text: &str| format!("Enviando itens guardados: {text}");
    // Below the limit the status counts. What is held meanwhile is counted, too.
    let known = said(0, false, json!([[150, null], [140, null, 2], [151, null], [0, null, 1]])).await;
    assert_eq!(
        known,
        json!([sending("0 de 150"), sending("10 de 152"), sending("10 de 153"), sending("152 de 153")])
    );
    // Above it the list says how many there were, and the oldest item how many have left; none comes back.
    let listed = json!([[null, 0], [null, 1240], [null, 1230], [900, 2300], [0, null]]);
    let expected = [
        sending("0 de 3.200"),
        sending("1.240 de 3.200"),
        sending("1.240 de 3.200"),
        sending("2.300 de 3.200"),
        "Itens guardados enviados: 3.200.".to_owned(),
    ];
    assert_eq!(said(3200, false, listed).await, json!(expected));
    // Where the list was not read to its end, no total is known.
    let many = json!([[null, 0], [null, 4990], [null, 7000], [640, 9000], [1, null], [0, null]]);
    let expected = [
        sending("0 de mais de 5.000"),
        sending("4.990 de mais de 5.000"),
        sending("4.990 de mais de 5.000"),
        sending("faltam 640"),
        sending("falta 1"),
        "Itens guardados enviados: mais de 5.000.".to_owned(),
    ];
    assert_eq!(said(5000, true, many).await, json!(expected));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}
