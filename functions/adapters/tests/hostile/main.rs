//! The sender against receivers that misbehave, and the connections that it keeps.

#![expect(clippy::unwrap_used, reason = "what fails, fails the test")]

mod document;
mod kept;
mod receivers;

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use carteiro_adapters::http::sender::{Attempted, Sender, WebhookRequest};
use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_hostile::Authority;
use jiff::Timestamp;

/// One authority for all tests.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().unwrap());

/// A deadline that nothing reaches which does not hang.
const LONG: Duration = Duration::from_secs(60);

fn loopback() -> PrivateTargets {
    "127.0.0.0/8".parse().unwrap()
}

fn sender(deadline: Duration) -> Sender {
    Sender::trusting(loopback(), deadline, [AUTHORITY.der()]).unwrap()
}

/// One attempt with an item of the largest size.
async fn attempt(sender: &Sender, url: &str, now: Timestamp) -> Attempted {
    let url = WebhookUrl::check(url, &loopback()).unwrap();
    let attempt = WebhookRequest {
        url: &url,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Bytes::from(vec![b'x'; carteiro_core::item::MAX_ITEM_BYTES]),
    };
    sender.attempt(attempt, now).await.unwrap()
}
