//! The reference and the problems' pages in a real browser.

use std::collections::BTreeSet;

use carteiro_core::problem::Problem;
use carteiro_tests::Bundle;
use http::Method;
use serde_json::{Value, json};

use crate::console::Browser;

/// The key Tab, and the key Enter, as WebDriver names them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

async fn prefers(browser: &Browser, scheme: &str) {
    let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", features).await;
}

fn operation_ids(description: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for below in ["paths", "webhooks"] {
        let paths = description[below].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        ids.extend(operations.filter_map(|one| one["operationId"].as_str().map(str::to_owned)));
    }
    ids
}

#[tokio::test]
async fn a_browser_shows_the_whole_description_and_searches_it() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let api = bundle.stack.addresses().api.clone();
    let description = bundle.client.request(Method::GET, "/openapi.json", &[], "").await.json();
    browser.open(&format!("{api}/docs")).await;
    browser.until("#state", "entries").await;

    // Each operation and each schema has its place, and each link inside leads to one.
    let shown = browser.value("[...document.querySelectorAll('article')].map(one => one.id)").await;
    let shown: BTreeSet<String> =
        shown.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    let mut expected = operation_ids(&description);
    let schemas = description["components"]["schemas"].as_object().unwrap();
    expected.extend(schemas.keys().map(|name| format!("schema-{name}")));
    assert_eq!(shown, expected);
    let lost = "[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.getAttribute('href').slice(1))\
                .filter(id => !document.getElementById(id))";
    assert_eq!(browser.value(lost).await, json!([]));
    let text = browser.text("main").await;
    assert!(!text.contains("undefined") && !text.contains("[object"), "something is shown that is no text");
    // A limit, an example and a call.
    browser.until("#schema-WebhookRequest", "1 to 1,000,000").await;
    browser.until("#createWebhook", "https://hooks.example.com/carteiro").await;
    let call =
        browser.value("document.querySelector('#createWebhook details:last-of-type pre').textContent").await;
    let call = call.as_str().unwrap();
    assert!(call.starts_with("curl -X POST") && call.contains(&format!("{api}/webhooks")), "{call}");
    assert!(call.contains("Authorization: Bearer $KEY") && call.contains("\"items\""), "{call}");

    // By keyboard: the first stop leads past the contents; what is searched for is opened by Enter.
    browser.press(&[TAB]).await;
    assert_eq!(browser.value("document.activeElement.className").await, "skip");
    browser.write("#words", "webhook unblock").await;
    browser.until("#state", "of").await;
    assert_eq!(browser.text("#createAccount").await, "");
    browser.until("#unblockWebhook", "End blocks").await;
    browser.press(&[ENTER]).await;
    assert_eq!(browser.value("location.hash").await, "#unblockWebhook");
    assert_eq!(browser.value("document.activeElement.id").await, "unblockWebhook");
    assert_eq!(browser.violations().await, Vec::<String>::new(), "while searching");

    // A link to an operation leads there, past what is searched for.
    browser.value("location.hash = '#createAccount'").await;
    browser.until("#createAccount", "Create an account").await;
    browser.open("about:blank").await;
    browser.open(&format!("{api}/docs#rotateSecret")).await;
    browser.until("#state", "entries").await;
    assert_eq!(browser.value("document.activeElement.id").await, "rotateSecret");
    let top = browser.value("document.getElementById('rotateSecret').getBoundingClientRect().top").await;
    assert!(top.as_f64().unwrap().abs() < 50.0, "{top}");

    for scheme in ["light", "dark"] {
        prefers(&browser, scheme).await;
        assert_eq!(browser.violations().await, Vec::<String>::new(), "{scheme}");
    }
    browser.is_as_wide_as(320).await;
    assert_eq!(browser.value("document.documentElement.scrollWidth").await, 320, "nothing is cut off");
    assert_eq!(browser.violations().await, Vec::<String>::new(), "on a phone");

    let outside = format!(
        "performance.getEntriesByType('resource').map(one => one.name).filter(one => !one.startsWith({}))",
        json!(api)
    );
    assert_eq!(browser.value(&outside).await, json!([]));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_browser_shows_what_each_problem_means_in_both_languages() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let api = bundle.stack.addresses().api.clone();
    browser.open(&format!("{api}/docs/problems")).await;
    for kind in Problem::KINDS {
        browser.until(&format!("#{} h2 a", kind.name), kind.name).await;
    }
    assert_eq!(browser.violations().await, Vec::<String>::new());

    // A problem's type leads to its page.
    let wrong = bundle.client.get("/webhooks?limt=1", &bundle.account().await.key).await.json();
    browser.open(&format!("{api}{}", wrong["type"].as_str().unwrap())).await;
    browser.until("[lang=en]", "Some fields are not valid").await;
    browser.until("[lang=pt-BR]", "Alguns campos não são válidos").await;
    let back = browser.value("[...document.querySelectorAll('header a')].map(one => one.href)").await;
    assert_eq!(back, json!([format!("{api}/docs/problems"), format!("{api}/docs")]));
    assert_eq!(bundle.client.request(Method::GET, "/docs/problems/nothing", &[], "").await.status, 404);
    for scheme in ["light", "dark"] {
        prefers(&browser, scheme).await;
        assert_eq!(browser.violations().await, Vec::<String>::new(), "{scheme}");
    }
    browser.is_as_wide_as(320).await;
    assert_eq!(browser.value("document.documentElement.scrollWidth").await, 320, "nothing is cut off");

    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}
