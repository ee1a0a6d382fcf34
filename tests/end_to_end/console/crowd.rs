//! A hundred webhooks, and what the page costs and shows of them.

use carteiro_receiver::Behaviour;
use carteiro_tests::{Bundle, blocks};
use http::StatusCode;
use serde_json::json;

use super::{Browser, enter};

const ZONE: &str = "America/Sao_Paulo";

/// What an hour of an open tab may read.
const HOUR_BYTES: f64 = 1_000_000.0;

#[tokio::test]
async fn one_blocked_of_a_hundred_is_seen_and_an_hour_is_light() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/numero-57", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let mut blocked = None;
    for n in 0..100 {
        let item_type = if n == 57 { "message" } else { "event" };
        let url = bundle.receiver.url(&format!("/numero-{n}"));
        let settings =
            json!({"url": url, "items": [item_type], "threshold": 3, "description": format!("Loja {n}")});
        let webhook = bundle.webhook_with(&account, settings).await;
        if n == 57 {
            blocked = Some(webhook);
        }
    }
    let blocked = blocked.unwrap();
    bundle.send_many(&account, "message", 5).await;
    blocks::until_held(&bundle.client, &account, &blocked, "message", 5).await;

    browser.is_as_wide_as(1280).await;
    enter(&browser, &bundle, &account, ZONE, &json!({})).await;
    browser.until("#summary", "1 bloqueado, 99 ativos").await;
    let card = format!("#webhook-{}", blocked.id);
    browser.until(&format!("{card} .message"), "bloqueado desde hoje").await;
    let place =
        format!("document.querySelector('{card} [data-action=unblock]').getBoundingClientRect().bottom");
    let bottom = browser.value(&place).await.as_f64().unwrap();
    assert!(bottom > 0.0 && bottom < 900.0, "within the first screen: {bottom}");
    assert_eq!(browser.count("article").await, 1, "the healthy are folded");
    browser.until("#healthy", "99 webhooks sem problemas").await;

    for (sought, found) in [("numero-57", "/numero-57"), ("loja 88", "/numero-88")] {
        browser.write("#search", sought).await;
        browser.until("#account", "1 webhook encontrado").await;
        browser.until("#webhooks article h2", found).await;
    }
    browser.write("#search", " ").await;
    browser.choose("#state", "blocked").await;
    browser.until("#account", "1 webhook encontrado").await;

    // An hour: as many refreshes as the page makes while nothing changes, each as large as those that are seen.
    let sum = "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)";
    let first = browser.value(sum).await.as_f64().unwrap();
    let listed =
        "performance.getEntriesByType('resource').find(one => one.name.includes('/webhooks?')).responseEnd";
    println!("the states are there after {} ms", browser.value(listed).await);
    for _ in 0..4 {
        browser.value("document.dispatchEvent(new Event('visibilitychange'))").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let refresh = (browser.value(sum).await.as_f64().unwrap() - first) / 4.0;
    let hour = first + refresh * 66.0;
    println!("the page: {first} bytes; a refresh: {refresh} bytes; an hour: {hour} bytes");
    assert!(refresh > 0.0 && hour < HOUR_BYTES, "{first} and {refresh}");
    assert_eq!(browser.violations().await, Vec::<String>::new());
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn stored_script_stays_text_wherever_it_is_shown() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let made = json!({"name": "<img src=x onerror=alert(1)>"}).to_string();
    let made = bundle.client.post("/accounts", carteiro_tests::ADMIN_KEY, made).await.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let account = carteiro_tests::Account { id: text("id"), key: text("key") };
    let script = "</p><script>alert(1)</script>";
    bundle.receiver.set_behaviour(
        "/script",
        carteiro_receiver::Answer::Status {
            code: StatusCode::BAD_GATEWAY,
            headers: [(http::header::SERVER, "<b onclick=alert(1)>".parse().unwrap())].into_iter().collect(),
            body: script.into(),
        },
    );
    let url = bundle.receiver.url("/script?%3Cimg%20src=x%3E&a='<b>");
    let settings = json!({"url": url, "items": ["message"], "threshold": 1, "description": script,
        "sources": ["bot:b"], "headers": {"x-a": "b"}});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.send(&account, "/bots/b/messages", json!({"text": script}).to_string()).await;
    blocks::until_held(&bundle.client, &account, &webhook, "message", 1).await;
    let page = json!({"network": "x", "network_id": "9", "name": script, "access_token": "planted"});
    assert_eq!(bundle.client.post("/pages", &account.key, page.to_string()).await.status, 201);

    enter(&browser, &bundle, &account, ZONE, &json!({"to": webhook.id})).await;
    let card = format!("#webhook-{}", webhook.id);
    browser.until("#who", "<img src=x onerror=alert(1)>").await;
    browser.until(&card, script).await;
    browser.until("[data-page] h3", script).await;
    browser.click(&format!("{card} [data-list=attempts] > summary")).await;
    browser.until(&format!("{card} [data-attempt]"), "502").await;
    browser.click(&format!("{card} [data-attempt] summary")).await;
    browser.until(&format!("{card} [data-attempt] pre"), script).await;
    browser.click(&format!("{card} [data-attempt] details details summary")).await;
    browser.until(&format!("{card} [data-fact=header-server]"), "<b onclick=alert(1)>").await;
    browser.click(&format!("{card} [data-list=held] > summary")).await;
    browser.click(&format!("{card} [data-list=held] li summary")).await;
    browser.until(&format!("{card} [data-list=held] pre"), "alert(1)").await;
    browser.click(&format!("{card} [data-action=edit]")).await;
    browser.click(&format!("{card} [data-action=remove]")).await;
    browser.until("#ask", "/script?").await;
    browser.click("#ask [data-action=dismiss]").await;
    let parsed =
        "document.querySelectorAll('main img, main b, main script, [onerror], [onclick], dialog img').length";
    assert_eq!(browser.value(parsed).await, 0);
    browser.is_as_wide_as(320).await;
    assert_eq!(browser.value("document.documentElement.scrollWidth").await, 320, "nothing is cut off");
    assert_eq!(browser.violations().await, Vec::<String>::new());
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}
