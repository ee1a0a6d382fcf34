//! Values that tests of several modules start from.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::address::PrivateTargets;
use crate::credentials::Fresh;
use crate::delivery::Delivery;
use crate::delivery::StepTag;
use crate::hop::Hop;
use crate::id::{AccountId, ItemId, WebhookId};
use crate::item::ItemType;
use crate::webhook::{NewWebhook, Webhook};

/// A time, in seconds after 1970 began.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A message of a bot, accepted at 0, before its first attempt.
pub(crate) fn delivery() -> Delivery {
    Delivery {
        account: AccountId::from_bits(1),
        webhook: WebhookId::from_bits(2),
        item: ItemId::from_bits(3),
        item_type: ItemType::MESSAGE,
        source: "bot:b".parse().unwrap(),
        accepted_at: at(0),
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

/// An item of a release's first or later step.
pub(crate) fn of_step(first: bool, delivery: Delivery) -> Delivery {
    Delivery { step: Some(StepTag { id: "s".to_owned(), first, index: Some(0) }), ..delivery }
}

/// A webhook that takes messages, with other settings as given.
pub(crate) fn webhook(settings: Value) -> Webhook {
    let mut given = json!({"url": "https://example.com/", "items": ["message"]});
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    given.as_object_mut().unwrap().extend(settings);
    let new = NewWebhook::from_json(given.as_object().unwrap(), &PrivateTargets::default()).unwrap();
    let fresh = Fresh::from_random([1; 32], [1; 32]);
    new.create(WebhookId::from_bits(2), AccountId::from_bits(1), fresh, at(0))
}
