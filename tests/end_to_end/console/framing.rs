//! The console in a frame of another site, in a real browser.

use carteiro_clock::testing;
use carteiro_receiver::Answer;
use carteiro_tests::Bundle;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Browser;

/// What a browser says of a request that a page of another site causes, and as much that says nothing of it.
const CROSS_SITE: &[u8] = b"Sec-Fetch-Site: cross-site";
const UNTOLD: &[u8] = b"Sec-Fetch-Site: none      ";

/// Answers where a way to the API is that takes pages into frames, as AWS does: the local stack answers no page of
/// another origin by itself. The framing is left to the page's own policy and the browser.
async fn way_to(api: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("http://{}", listener.local_addr().unwrap());
    let api = api.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            let api = api.clone();
            tokio::spawn(async move { carry(browser, TcpStream::connect(api).await.unwrap()).await });
        }
    });
    way
}

async fn carry(browser: TcpStream, api: TcpStream) {
    let (mut from_browser, mut to_browser) = browser.into_split();
    let (mut from_api, mut to_api) = api.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_api, &mut to_browser).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from_browser.read(&mut buffer).await {
        let bytes = &mut buffer[..count];
        if let Some(at) = bytes.windows(CROSS_SITE.len()).position(|window| window == CROSS_SITE) {
            bytes[at..at + UNTOLD.len()].copy_from_slice(UNTOLD);
        }
        if to_api.write_all(bytes).await.is_err() {
            break;
        }
    }
    back.abort();
}

#[tokio::test]
async fn a_browser_frames_the_console_for_the_named_site_alone() {
    let Some(browser) = Browser::start().await else { return };
    // By its name this machine is another site than by its address.
    let product = carteiro_tests::receiver(testing::clock()).await;
    let site = product.url("/").replace("127.0.0.1", "localhost");
    let origin = site.trim_end_matches('/');
    for (named, is_shown) in [("", false), ("https://product.example", false), (origin, true)] {
        let bundle = Bundle::start_with([("ConsoleFrameAncestors", named)]).await;
        let account = bundle.account().await;
        let way = way_to(&bundle.stack.addresses().api).await;
        let page = Answer::Status {
            code: StatusCode::OK,
            headers: [(CONTENT_TYPE, HeaderValue::from_static("text/html"))].into_iter().collect(),
            body: format!(
                "<title>Product</title><iframe width=800 height=900 src=\"{way}/console\"></iframe>"
            )
            .into(),
        };
        product.set_behaviour("/product", page);
        browser.open(&format!("{origin}/product")).await;
        assert_eq!(browser.value("document.title").await, "Product");
        browser.post("frame", json!({"id": 0})).await;
        if is_shown {
            // Its cookie is a third party's here, and is taken and sent all the same.
            browser.until("#enter", "Chave da conta").await;
            assert_eq!(browser.value("[self !== top, location.origin]").await, json!([true, way]));
            browser.write("#key", &account.key).await;
            browser.click("#enter button").await;
            browser.until("#none", "ainda não tem webhooks").await;
            assert_eq!(browser.value("fetch('console/session').then(answer => answer.status)").await, 200);
        } else {
            let shown = browser.value("location.href").await;
            assert_eq!(shown, "chrome-error://chromewebdata/", "for {named:?}");
            assert_eq!(browser.count("#enter, script[src]").await, 0);
        }
        browser.post("frame", json!({"id": null})).await;
        let complaints = browser.complaints().await;
        let is_refusal = |one: &String| one.contains("frame-ancestors");
        assert_eq!(complaints.iter().any(is_refusal), !is_shown, "{named:?}: {complaints:?}");
        bundle.stop().await;
    }
    browser.stop().await;
    product.stop().await;
}
