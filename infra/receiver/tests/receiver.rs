//! The receiver as its clients see it, over plain sockets.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::testing;
use carteiro_core::signature::{Secret, sign};
use carteiro_receiver::{Answer, Behaviour, DropAt, Limits, Options, Receiver, SignatureCheck};
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(10);

async fn receiver() -> Receiver {
    with(Options::default()).await
}

async fn with(options: Options) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Receiver::start(listener, options).unwrap()
}

/// Sends one request and returns all that comes until the connection closes.
async fn raw(receiver: &Receiver, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end, too.
    _ = timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [request.as_bytes(), body].concat()
}

/// Sends one request and returns status, head and body.
async fn call(receiver: &Receiver, method: &str, path: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let answer = raw(receiver, &request(method, path, &[], body)).await;
    split(&answer)
}

fn split(answer: &[u8]) -> (u16, String, Vec<u8>) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

async fn control(receiver: &Receiver, method: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, _, body) = call(receiver, method, path, body.to_string().as_bytes()).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn any_path_takes_any_method_byte_for_byte_and_answers_200() {
    let receiver = receiver().await;
    let body = [0xff, 0, b'{', 0xc3];
    let headers = [("X-Custom", "a"), ("Webhook-Id", "msg_1"), ("x-custom", "b"), ("carteiro-attempt", "3")];
    let answer = raw(&receiver, &request("POST", "/a/b%20c?d=e", &headers, &body)).await;
    assert_eq!(split(&answer).0, 200);
    assert_eq!(call(&receiver, "DELETE", "/", b"").await.0, 200);
    let all = receiver.deliveries();
    let first = &all[0];
    assert_eq!((first.number, first.method.as_str(), &*first.path), (1, "POST", "/a/b%20c"));
    assert_eq!((first.query.as_deref(), &first.body[..]), (Some("d=e"), &body[..]));
    assert_eq!((first.webhook_id(), first.attempt(), first.answered), (Some("msg_1"), Some(3), Some(200)));
    let custom: Vec<_> = first
        .headers
        .iter()
        .filter(|(name, _)| name == "x-custom")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(custom, ["a", "b"]);
    assert_eq!((all[1].number, all[1].method.as_str(), all.len()), (2, "DELETE", 2));
    assert_eq!(receiver.deliveries_to("/").len(), 1);
    receiver.stop().await;
}

#[tokio::test]
async fn signatures_are_checked_by_the_clock_that_was_given() {
    let clock = testing::clock();
    clock.advance(Duration::from_secs(86_400));
    let receiver = with(Options { clock: clock.clone(), ..Options::default() }).await;
    let secret = Secret::from_random([7; 32]);
    receiver.add_secret(&secret.reveal()).unwrap();
    receiver.add_secret("whsec_x").unwrap_err();
    let now = i64::try_from(clock.now_ms() / 1000).unwrap();
    for at in [now, now - 86_400] {
        let signature = sign([&secret], "i", at, b"{}");
        let at = at.to_string();
        let headers = [("webhook-id", "i"), ("webhook-timestamp", &*at), ("webhook-signature", &*signature)];
        raw(&receiver, &request("POST", "/a", &headers, b"{}")).await;
        raw(&receiver, &request("POST", "/a", &headers, b"{ }")).await;
    }
    raw(&receiver, &request("POST", "/a", &[], b"{}")).await;
    let checks: Vec<_> = receiver.deliveries().iter().map(|delivery| delivery.signature).collect();
    use SignatureCheck::{Invalid, Missing, Stale, Valid};
    assert_eq!(checks, [Valid, Invalid, Stale, Stale, Missing]);
    assert!(receiver.deliveries()[0].received_at_ms >= u64::try_from(now).unwrap() * 1000);
}

#[tokio::test]
async fn a_sequence_of_statuses_repeats_its_last() {
    let receiver = receiver().await;
    let busy = Answer::status(StatusCode::SERVICE_UNAVAILABLE)
        .with_header(RETRY_AFTER, HeaderValue::from_static("5"));
    let gone =
        Answer::Status { code: StatusCode::GONE, headers: HeaderMap::new(), body: Bytes::from("gone") };
    receiver.set_behaviour("/a", Behaviour::sequence([busy], gone));
    let (status, head, _) = call(&receiver, "POST", "/a", b"{}").await;
    assert!(status == 503 && head.contains("retry-after: 5"), "{head}");
    for _ in 0..2 {
        let (status, _, body) = call(&receiver, "POST", "/a?x", b"{}").await;
        assert_eq!((status, &body[..]), (410, &b"gone"[..]));
    }
    assert_eq!(call(&receiver, "POST", "/b", b"{}").await.0, 200);
    let answered: Vec<_> =
        receiver.deliveries_to("/a").iter().map(|delivery| delivery.answered.unwrap()).collect();
    assert_eq!(answered, [503, 410, 410]);
}

#[tokio::test]
async fn a_hanging_request_is_stored_and_gets_no_byte() {
    let receiver = receiver().await;
    receiver.set_behaviour("/forever", Answer::hang());
    receiver.set_behaviour("/limited", Answer::Hang { limit: Duration::from_millis(100) });
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(&request("POST", "/forever", &[], b"{}")).await.unwrap();
    let arrived = receiver.wait_for(|delivery| &*delivery.path == "/forever", SOON).await.unwrap();
    assert_eq!(arrived.answered, None);
    let mut byte = [0];
    timeout(Duration::from_millis(200), stream.read(&mut byte)).await.expect_err("nothing comes");
    assert_eq!((receiver.count("/forever"), receiver.answered("/forever")), (1, 0));
    assert_eq!(raw(&receiver, &request("POST", "/limited", &[], b"{}")).await, b"");
    receiver.stop().await;
    assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_drip_sends_its_headers_at_once_and_then_byte_after_byte() {
    let receiver = receiver().await;
    let every = Duration::from_millis(40);
    receiver.set_behaviour("/few", Answer::Drip { every, bytes: Some(3) });
    receiver.set_behaviour("/endless", Answer::Drip { every, bytes: None });
    let started = Instant::now();
    let (status, _, body) = call(&receiver, "POST", "/few", b"{}").await;
    assert_eq!((status, &body[..]), (200, &b"1\r\n.\r\n1\r\n.\r\n1\r\n.\r\n0\r\n\r\n"[..]));
    assert!(started.elapsed() >= every * 3);
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(&request("POST", "/endless", &[], b"{}")).await.unwrap();
    let mut got = Vec::new();
    while got.iter().filter(|byte| **byte == b'.').count() < 6 {
        // The head has one point, in the version of HTTP.
        assert_ne!(timeout(SOON, stream.read_buf(&mut got)).await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_dropped_connection_really_closes_where_it_is_told_to() {
    let receiver = receiver().await;
    receiver.set_behaviour("/before", Answer::Drop(DropAt::BeforeResponse));
    receiver.set_behaviour("/within", Answer::Drop(DropAt::InBody));
    assert_eq!(raw(&receiver, &request("POST", "/before", &[], b"{}")).await, b"");
    assert_eq!(receiver.answered("/before"), 1, "as it is told to");
    let (status, head, body) = call(&receiver, "POST", "/within", b"{}").await;
    assert!(status == 200 && head.contains("content-length: 1024"), "{head}");
    assert_eq!(body.len(), 512);
    assert_eq!(receiver.totals().received, 2);
}

#[tokio::test]
async fn a_delay_a_large_body_and_a_redirect_answer_as_told() {
    let receiver = receiver().await;
    let by = Duration::from_millis(100);
    receiver
        .set_behaviour("/later", Answer::Delay { by, then: Box::new(Answer::status(StatusCode::CREATED)) });
    receiver.set_behaviour("/large", Answer::Large { bytes: 200_001 });
    let location = HeaderValue::from_static("http://127.0.0.1:1/x");
    receiver.set_behaviour("/away", Answer::Redirect { code: StatusCode::TEMPORARY_REDIRECT, location });
    let started = Instant::now();
    assert_eq!(call(&receiver, "POST", "/later", b"{}").await.0, 201);
    assert!(started.elapsed() >= by);
    let (_, head, body) = call(&receiver, "POST", "/large", b"{}").await;
    assert!(head.contains("content-length: 200001") && body.len() == 200_001, "{head}");
    let (status, head, _) = call(&receiver, "POST", "/away", b"{}").await;
    assert!(status == 307 && head.contains("location: http://127.0.0.1:1/x"), "{head}");
}

#[tokio::test]
async fn a_body_too_large_or_cut_short_is_counted_and_not_stored() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let receiver = with(Options { limits, ..Options::default() }).await;
    assert_eq!(call(&receiver, "POST", "/a", &[b'x'; 1001]).await.0, 413);
    let chunked =
        b"POST /a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let large = [&chunked[..], b"3e9\r\n", &[b'x'; 1001], b"\r\n0\r\n\r\n"].concat();
    assert_eq!(split(&raw(&receiver, &large).await).0, 413);
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
    drop(stream);
    assert_eq!(call(&receiver, "POST", "/a", &[b'x'; 1000]).await.0, 200);
    let cut = async {
        while receiver.totals().cut_short == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, cut).await.unwrap();
    let totals = receiver.totals();
    assert_eq!((totals.received, totals.refused, totals.cut_short), (1, 2, 1));
}

#[tokio::test]
async fn waiting_ends_at_the_arrival_or_says_what_did_not_arrive() {
    let receiver = Arc::new(receiver().await);
    let waiting = {
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move { receiver.wait_for_count("/a", 3, SOON).await })
    };
    for _ in 0..3 {
        call(&receiver, "POST", "/a", b"{}").await;
        call(&receiver, "POST", "/b", b"{}").await;
    }
    assert_eq!(waiting.await.unwrap().unwrap().len(), 3);
    let error = receiver.wait_for_count("/a", 4, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.received, 3);
    let error = receiver.wait_for(|delivery| &*delivery.path == "/c", Duration::from_millis(50)).await;
    assert_eq!(error.unwrap_err().received, 6);
    receiver.clear();
    assert_eq!((receiver.count("/a"), receiver.deliveries().len()), (0, 0));
}

#[tokio::test]
async fn deliveries_are_counted_by_webhook_id() {
    let receiver = receiver().await;
    for id in ["a", "b", "a"] {
        raw(&receiver, &request("POST", "/a", &[("webhook-id", id)], b"{}")).await;
    }
    raw(&receiver, &request("POST", "/b", &[("webhook-id", "a")], b"{}")).await;
    let counts = receiver.counts_by_webhook_id("/a");
    assert_eq!((counts.len(), counts["a"], counts["b"]), (2, 2, 1));
    assert!(receiver.counts_by_webhook_id("/c").is_empty());
}

#[tokio::test]
async fn the_control_api_shows_pages_of_what_arrived() {
    let receiver = receiver().await;
    call(&receiver, "POST", "/a", b"\xff").await;
    raw(&receiver, &request("POST", "/a", &[("webhook-id", "i"), ("b", "2"), ("a", "1")], b"{}")).await;
    call(&receiver, "POST", "/b", b"{}").await;
    let (status, page) = control(&receiver, "GET", "/_/deliveries?path=%2Fa&limit=1", json!({})).await;
    assert_eq!((status, &page["next"]), (200, &json!(1)));
    let first = &page["deliveries"][0];
    assert_eq!((&first["encoding"], &first["body"]), (&json!("base64"), &json!("/w==")));
    let (_, page) = control(&receiver, "GET", "/_/deliveries?path=/a&after=1", json!({})).await;
    assert_eq!((&page["next"], page["deliveries"].as_array().unwrap().len()), (&json!(null), 1));
    let second = &page["deliveries"][0];
    assert_eq!(
        (&second["number"], &second["encoding"], &second["body"]),
        (&json!(2), &json!("text"), &json!("{}"))
    );
    assert_eq!((&second["signature"], &second["webhook_id"]), (&json!("missing"), &json!("i")));
    assert_eq!(
        (&second["method"], &second["path"], &second["answered"]),
        (&json!("POST"), &json!("/a"), &json!(200))
    );
    let names: Vec<_> =
        second["headers"].as_array().unwrap().iter().map(|header| header[0].clone()).collect();
    assert_eq!(names, ["host", "connection", "webhook-id", "b", "a", "content-length"]);
    let at: jiff::Timestamp = second["received_at"].as_str().unwrap().parse().unwrap();
    assert!(at.as_second() > 1_700_000_000);
    assert_eq!(control(&receiver, "GET", "/_/deliveries?limit=0", json!({})).await.0, 400);
    assert_eq!(control(&receiver, "DELETE", "/_/deliveries", json!({})).await.0, 204);
    let (_, page) = control(&receiver, "GET", "/_/deliveries", json!({})).await;
    assert_eq!((&page["deliveries"], &page["totals"]["received"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn the_control_api_sets_behaviours_and_secrets() {
    let receiver = receiver().await;
    let behaviour = json!({"path": "/a", "answer": [500, {"drop": "before_response"}]});
    assert_eq!(control(&receiver, "PUT", "/_/behaviours", behaviour.clone()).await.0, 204);
    let (_, shown) = control(&receiver, "GET", "/_/behaviours", json!({})).await;
    assert_eq!(shown, json!({"behaviours": [behaviour]}));
    assert_eq!(call(&receiver, "POST", "/a", b"").await.0, 500);
    assert_eq!(raw(&receiver, &request("POST", "/a", &[], b"")).await, b"");
    assert_eq!(
        control(&receiver, "PUT", "/_/behaviours", json!({"path": "/a", "answer": null})).await.0,
        204
    );
    assert_eq!(call(&receiver, "POST", "/a", b"").await.0, 200);

    let secret = Secret::from_random([1; 32]).reveal();
    assert_eq!(control(&receiver, "PUT", "/_/secrets", json!({"secret": secret})).await.0, 204);
    let (status, problem) = control(&receiver, "PUT", "/_/secrets", json!({"secret": "x"})).await;
    assert_eq!((status, &problem["status"]), (400, &json!(400)));
    raw(&receiver, &request("POST", "/s", &[("webhook-signature", "v1,x")], b"{}")).await;
    assert_eq!(receiver.deliveries_to("/s")[0].signature, SignatureCheck::Malformed);

    for path in ["/_/secrets", "/x?y", "x"] {
        let refused = control(&receiver, "PUT", "/_/behaviours", json!({"path": path, "answer": 500})).await;
        assert_eq!(refused.0, 400, "{path}");
    }
    let (status, head, _) = call(&receiver, "POST", "/_/secrets", b"").await;
    assert!(status == 405 && head.contains("allow: PUT"), "{head}");
    assert_eq!(control(&receiver, "GET", "/_/nothing", json!({})).await.0, 404);
    assert_eq!(receiver.totals().received, 4);
}

#[tokio::test]
async fn the_page_shows_what_arrived_newest_first_and_escaped() {
    let receiver = receiver().await;
    raw(&receiver, &request("POST", "/first", &[("x-a", "<i>")], b"<script>alert(1)</script>")).await;
    call(&receiver, "POST", "/second", b"{}").await;
    let (status, head, body) = call(&receiver, "GET", "/", b"").await;
    let page = String::from_utf8(body).unwrap();
    assert!(status == 200 && head.contains("default-src 'none'") && head.contains("text/html"), "{head}");
    assert!(page.find("/second").unwrap() < page.find("/first").unwrap());
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("<td>&lt;i&gt;</td>"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<i>") && page.contains("signature: missing"));
    let (_, _, body) = call(&receiver, "GET", "/?path=/first", b"").await;
    assert!(!String::from_utf8(body).unwrap().contains("/second"));
    assert_eq!(receiver.totals().received, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_over_kept_connections_all_arrive() {
    let receiver = receiver().await;
    let secret = Secret::from_random([7; 32]);
    receiver.add_secret(&secret.reveal()).unwrap();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let address = receiver.address();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request =
                    b"POST /a HTTP/1.1\r\nhost: localhost\r\nwebhook-id: i\r\ncontent-length: 2\r\n\r\n{}";
                let mut answer = vec![0; 1024];
                for _ in 0..500 {
                    stream.write_all(request).await.unwrap();
                    let read = stream.read(&mut answer).await.unwrap();
                    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(receiver.counts_by_webhook_id("/a"), [("i".to_owned(), 4000)].into());
}

#[tokio::test]
async fn a_receiver_that_is_dropped_stops() {
    let receiver = receiver().await;
    let address = receiver.address();
    call(&receiver, "POST", "/a", b"").await;
    drop(receiver);
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, refused).await.unwrap();
}
