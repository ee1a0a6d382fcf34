//! Values that tests of several modules start from.

use std::collections::BTreeMap;
use std::sync::Arc;

use carteiro_core::address::PrivateTargets;
use carteiro_core::credentials::Fresh;
use carteiro_core::delivery::Delivery;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::outcome::{FailureKind, Outcome};
use carteiro_core::streak::State;
use carteiro_core::webhook::{NewWebhook, Webhook};
use jiff::Timestamp;
use serde_json::json;

use crate::attempt::{AttemptResult, Processed, Seen};
use crate::read::key;

/// A time, in seconds after 1970 began.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A message of a bot, accepted at `item` seconds, before its first attempt.
pub(crate) fn delivery(item: u8) -> Delivery {
    Delivery {
        account: AccountId::from_bits(1),
        webhook: WebhookId::from_bits(2),
        item: ItemId::from_bits(item.into()),
        item_type: ItemType::MESSAGE,
        source: "bot:b".parse().unwrap(),
        accepted_at: at(item.into()),
        replayed: None,
        keep_until: None,
        hop: Hop::default(),
        attempt: 1,
        chain: 0,
        revision: 1,
        step: None,
        body: b"{}".to_vec(),
    }
}

/// A webhook that takes messages.
pub(crate) fn webhook() -> Webhook {
    let given = json!({"url": "https://example.com/", "items": ["message"], "threshold": 7});
    let new = NewWebhook::from_json(given.as_object().unwrap(), &PrivateTargets::default()).unwrap();
    let fresh = Fresh::from_random([1; 32], [1; 32]);
    new.create(WebhookId::from_bits(2), AccountId::from_bits(1), fresh, at(0))
}

/// The outcome of a response with this status.
pub(crate) fn status(status: u16) -> Outcome {
    match status {
        200..300 => Outcome::Success { status },
        _ => Outcome::failed(FailureKind::Status, Some(status)),
    }
}

/// A delivery whose attempt had this outcome. Its message is named by the item's acceptance.
pub(crate) fn attempted(delivery: Delivery, outcome: Outcome) -> Processed {
    let result = AttemptResult::Attempted {
        webhook: Arc::new(webhook()),
        key: key(&delivery, 1),
        before: State::of(None, at(0)),
        outcome,
        ended_at: at(100),
        seen: Seen { latency_ms: 5, response_body: None, response_headers: BTreeMap::new() },
    };
    let message = delivery.accepted_at.as_second().to_string();
    Processed { message, delivery: Arc::new(delivery), result }
}
