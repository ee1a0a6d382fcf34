//! The console: what its page is, and what it does in a real browser.

use carteiro_tests::{ADMIN_KEY, Account, Bundle};
use http::Method;
use serde_json::Value;

pub(crate) use browser::Browser;

mod browser;
mod crowd;
mod framing;
mod keyboard;
mod pages;
mod progress;
mod situations;
mod walk;

/// The page's address, with a sign-in link of an account in its fragment.
async fn link(bundle: &Bundle, account: &Account, wanted: &Value) -> String {
    let path = format!("/accounts/{}/links", account.id);
    let made = bundle.client.post(&path, ADMIN_KEY, wanted.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let url = made.json()["url"].as_str().unwrap().to_owned();
    format!("/console{}", &url[url.find('#').unwrap()..])
}

/// Signs in by a link, in a time zone, and waits for the account's webhooks.
async fn enter(browser: &Browser, bundle: &Bundle, account: &Account, zone: &str, wanted: &Value) {
    let path = link(bundle, account, wanted).await;
    browser.open_as_of(bundle, zone, &path).await;
    browser.until("#refreshed", if wanted["language"] == "en" { "Refreshed" } else { "Atualizado" }).await;
    assert_eq!(browser.value("location.hash").await, "", "the link is out of the address");
}

/// A time of the API as a reader in a time zone with this offset reads it.
fn clock(time: &Value, hours: i64) -> String {
    let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    (at + jiff::SignedDuration::from_hours(hours)).to_string()[11..16].to_owned()
}

#[tokio::test]
async fn the_page_loads_its_own_files_alone_by_its_policy() {
    let bundle = Bundle::start().await;
    let page = bundle.client.request(Method::GET, "/console", &[], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let expected = [
        ("cache-control", "no-cache"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in expected {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(directives.contains(&directive), "{directive}: {policy}");
    }
    let text = page.text();
    assert!(text.contains("<html lang=\"pt-BR\">") && text.contains("Integrações → Webhook"));
    assert!(!text.contains("://"), "the page names nothing outside");
    for (path, status, location) in [("/", 302, Some("/console")), ("/console/other.js", 404, None)] {
        let answered = bundle.client.request(Method::GET, path, &[], "").await;
        assert_eq!((answered.status, answered.header("location")), (status, location), "{path}");
    }
    for (name, kind) in
        [("console.css", "text/css"), ("console.js", "text/javascript"), ("en.js", "text/javascript")]
    {
        let path = format!("/console/{name}");
        let file = bundle.client.request(Method::GET, &path, &[], "").await;
        assert_eq!((file.status, file.header("x-content-type-options")), (200, Some("nosniff")), "{name}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{name}");
        let known = [("if-none-match", file.header("etag").unwrap())];
        let again = bundle.client.request(Method::GET, &path, &known, "").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{name}");
        let small = bundle.client.request(Method::GET, &path, &[("accept-encoding", "gzip")], "").await;
        assert_eq!(small.header("content-encoding"), Some("gzip"), "{name}");
        assert!(small.body.len() < file.body.len() / 2 && small.body.starts_with(b"\x1f\x8b"), "{name}");
    }
    bundle.stop().await;
}
