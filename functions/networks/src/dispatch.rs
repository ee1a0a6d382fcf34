//! What becomes of an entry of the inbox: it stays, it is dropped, or its item goes to webhooks.
//!
//! [`plan`] decides by what is known of the entry's account and page. A [`Plan`] says what is still to be asked and
//! done: whether earlier versions matter, and which token signal applies. [`Plan::route`] then makes the deliveries.

use carteiro_core::delivery::Delivery;
use carteiro_core::hop::Hop;
use carteiro_core::id::{ItemId, PageId};
use carteiro_core::item::Source;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::collected::{self, Action, By, Envelope, Kind};
use crate::inbox::{Event, Reading};
use crate::network::NetworkId;
use crate::normalise;
use crate::signal::TokenSignal;
use crate::storage_limit;

/// An entry of the inbox.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The id of the item that the entry becomes.
    pub item: &'a ItemId,
    /// The page that the entry belongs to.
    pub page: &'a PageId,
    /// The network's id by which the entry found its page.
    pub owner: &'a NetworkId,
    /// The stored event.
    pub event: &'a Event,
    /// When the entry was stored first.
    pub received_at: Timestamp,
    /// When the entry became ready. It is the item's place among held items, so a second dispatch keeps that place.
    pub ready_at: Timestamp,
    /// How often the event had passed through Carteiro.
    pub hop: Hop,
}

/// What was read of an entry's page and account. A part that could not be read is None.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routing<'a> {
    /// Whether the page exists.
    pub page_exists: Option<bool>,
    /// The account's webhooks.
    pub webhooks: Option<&'a [Webhook]>,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays as it is, for a later time.
    Leave,
    /// It is dropped.
    Drop(DropCause),
    /// Its item is queued as these deliveries; none where no webhook takes it.
    Deliver(Vec<Delivery>),
}

/// Why an entry is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Its page was deleted.
    PageGone,
    /// Its network does not allow it to be kept any longer.
    StorageTermOver,
}

/// An entry that goes on, and what it says.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    entry: Entry<'a>,
    webhooks: &'a [Webhook],
    reading: Reading,
}

/// Reads an entry whose page exists.
///
/// # Errors
/// The decision, where there is nothing to plan.
pub fn plan<'a>(entry: Entry<'a>, routing: Routing<'a>) -> Result<Plan<'a>, Decision> {
    let (Some(page_exists), Some(webhooks)) = (routing.page_exists, routing.webhooks) else {
        return Err(Decision::Leave);
    };
    if !page_exists {
        return Err(Decision::Drop(DropCause::PageGone));
    }
    Ok(Plan { entry, webhooks, reading: normalise::read(entry.event, entry.owner) })
}

impl Plan<'_> {
    /// Whether earlier versions decide if this is an edit: the answer to a poll does not say.
    #[must_use]
    pub fn needs_history(&self) -> bool {
        self.entry.event.by == By::Poll && self.reading.content.action == Action::Created
    }

    /// Notes that an earlier version of the same thing was stored: this one is an edit.
    pub fn note_edit(&mut self) {
        self.reading.content.action = Action::Edited;
    }

    /// What kind of thing it is, and when the network had it, where it is new and that is known. When an edit was made
    /// not every network says.
    #[must_use]
    pub fn occurred(&self) -> Option<(Kind, Timestamp)> {
        let content = &self.reading.content;
        let occurred_at = content.occurred_at.filter(|_| content.action == Action::Created)?;
        Some((content.kind, occurred_at))
    }

    /// What the entry says of its page's token.
    #[must_use]
    pub fn token_signal(&self) -> Option<TokenSignal> {
        TokenSignal::of(&self.reading, self.entry.event, self.entry.received_at)
    }

    /// The deliveries of the item at `now`, unless its storage term is over.
    #[must_use]
    pub fn route(&self, now: Timestamp) -> Decision {
        let Entry { item, page, event, received_at, ready_at, hop, .. } = self.entry;
        let content = &self.reading.content;
        let keep_until = storage_limit::keep_until(event.network, content.author.as_ref(), received_at);
        if keep_until.is_some_and(|until| until <= now) {
            return Decision::Drop(DropCause::StorageTermOver);
        }
        let item_type = content.published.item_type();
        let source = Source::Page(page.to_string());
        let takers: Vec<_> =
            self.webhooks.iter().filter(|webhook| webhook.takes(&item_type, &source)).collect();
        if takers.is_empty() {
            return Decision::Deliver(Vec::new());
        }
        let (network, by) = (event.network, event.by);
        let thing = self.reading.network_id();
        let envelope = Envelope { id: item, network, page, thing, collected_at: received_at, by };
        let body = collected::render(content, &envelope, &event.raw);
        let delivery = |webhook: &Webhook| Delivery {
            account: webhook.account.clone(),
            webhook: webhook.id.clone(),
            item: item.clone(),
            item_type: item_type.clone(),
            source: source.clone(),
            accepted_at: ready_at,
            attempt: 1,
            chain: 0,
            revision: webhook.revision,
            step: None,
            replayed: None,
            keep_until,
            hop,
            body: body.clone(),
        };
        Decision::Deliver(takers.into_iter().map(delivery).collect())
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::address::PrivateTargets;
    use carteiro_core::credentials::Fresh;
    use carteiro_core::id::{AccountId, WebhookId};
    use carteiro_core::webhook::NewWebhook;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::inbox::{Shape, Signal};
    use crate::network::Network;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn webhook(n: u128, settings: &Value) -> Webhook {
        let mut given = settings.as_object().unwrap().clone();
        given.insert("url".to_owned(), json!("https://example.com/"));
        let new = NewWebhook::from_json(&given, &PrivateTargets::default()).unwrap();
        new.create(
            WebhookId::from_bits(n),
            AccountId::from_bits(9),
            Fresh::from_random([1; 32], [2; 32]),
            at(0),
        )
    }

    fn comment(network: Network, by: By) -> Event {
        let raw =
            json!({"item": "comment", "verb": "add", "comment_id": "1_2", "post_id": "1_1", "message": "Oi"});
        let raw = RawValue::from_string(raw.to_string()).unwrap();
        Event {
            network,
            by,
            shape: Shape::MetaChange,
            field: "feed".to_owned(),
            sent_at: None,
            raw,
            beside: None,
        }
    }

    /// What becomes of an event at a second, where earlier versions were stored or not.
    fn decide(event: &Event, routing: Routing<'_>, edited: bool, now: i64) -> Decision {
        let (item, page, owner) = (ItemId::from_bits(1), PageId::from_bits(2), "1".parse().unwrap());
        let entry = Entry {
            item: &item,
            page: &page,
            owner: &owner,
            event,
            received_at: at(100),
            ready_at: at(200),
            hop: Hop::of_count(2),
        };
        match plan(entry, routing) {
            Ok(mut plan) => {
                if plan.needs_history() && edited {
                    plan.note_edit();
                }
                plan.route(at(now))
            }
            Err(decision) => decision,
        }
    }

    fn routing(webhooks: &[Webhook]) -> Routing<'_> {
        Routing { page_exists: Some(true), webhooks: Some(webhooks) }
    }

    #[test]
    fn an_entry_waits_for_what_could_not_be_read() {
        let event = comment(Network::Facebook, By::Push);
        for (page_exists, webhooks, expected) in [
            (None, Some(&[][..]), Decision::Leave),
            (Some(true), None, Decision::Leave),
            (Some(false), None, Decision::Leave),
            (Some(false), Some(&[][..]), Decision::Drop(DropCause::PageGone)),
            (Some(true), Some(&[][..]), Decision::Deliver(Vec::new())),
        ] {
            let routing = Routing { page_exists, webhooks };
            assert_eq!(decide(&event, routing, false, 300), expected, "{page_exists:?} {webhooks:?}");
        }
    }

    #[test]
    fn an_item_goes_to_each_webhook_that_takes_it() {
        let page = PageId::from_bits(2);
        let webhooks = [
            webhook(1, &json!({"items": ["interaction"]})),
            webhook(2, &json!({"items": ["publication"]})),
            webhook(3, &json!({"items": ["interaction"], "sources": [format!("page:{page}")]})),
            webhook(4, &json!({"items": ["interaction"], "sources": ["bot:b"]})),
        ];
        let decision = decide(&comment(Network::Facebook, By::Push), routing(&webhooks), false, 300);
        let Decision::Deliver(deliveries) = decision else { panic!("{decision:?}") };
        let to: Vec<_> = deliveries.iter().map(|delivery| delivery.webhook.clone()).collect();
        assert_eq!(to, [WebhookId::from_bits(1), WebhookId::from_bits(3)]);
        let first = &deliveries[0];
        assert_eq!((first.accepted_at, first.attempt, first.chain), (at(200), 1, 0));
        assert_eq!((first.hop, first.keep_until), (Hop::of_count(2), None));
        assert!(deliveries.iter().all(|delivery| delivery.body == first.body));
    }

    #[test]
    fn a_polled_thing_is_an_edit_where_an_earlier_version_is_stored() {
        let webhooks = [webhook(1, &json!({"items": ["interaction"]}))];
        for (by, edited, action) in
            [(By::Poll, true, "edited"), (By::Poll, false, "created"), (By::Push, true, "created")]
        {
            let decision = decide(&comment(Network::Facebook, by), routing(&webhooks), edited, 300);
            let Decision::Deliver(deliveries) = decision else { panic!("{decision:?}") };
            let item: Value = serde_json::from_slice(&deliveries[0].body).unwrap();
            assert_eq!(item["action"], action, "{by:?}");
        }
    }

    #[test]
    fn only_a_new_thing_with_a_time_has_occurred() {
        const SECOND: i64 = 1_795_000_000;
        let owner = "1".parse().unwrap();
        let (item, page) = (ItemId::from_bits(1), PageId::from_bits(2));
        for (by, edited, time, expected) in [
            (By::Poll, false, Some(SECOND), Some((Kind::Comment, at(SECOND)))),
            (By::Poll, true, Some(SECOND), None),
            (By::Push, false, None, None),
        ] {
            let mut event = comment(Network::Facebook, by);
            let mut raw: Value = serde_json::from_str(event.raw.get()).unwrap();
            raw["created_time"] = json!(time);
            let change = json!({"field": "feed", "value": raw});
            event.raw = RawValue::from_string(change.to_string()).unwrap();
            let (received_at, ready_at) = (at(100), at(200));
            let hop = Hop::default();
            let (item, page, owner) = (&item, &page, &owner);
            let entry = Entry { item, page, owner, event: &event, received_at, ready_at, hop };
            let mut plan = plan(entry, routing(&[])).unwrap();
            if edited {
                plan.note_edit();
            }
            assert_eq!(plan.occurred(), expected, "{by:?} {edited}");
        }
    }

    #[test]
    fn an_item_is_dropped_once_its_storage_term_is_over() {
        let webhooks = [webhook(1, &json!({"items": ["interaction"]}))];
        let term = 30 * 24 * 3600;
        for (network, now, dropped) in [
            (Network::Youtube, 100 + term - 1, false),
            (Network::Youtube, 100 + term, true),
            (Network::Facebook, 100 + term, false),
        ] {
            let decision = decide(&comment(network, By::Push), routing(&webhooks), false, now);
            let is_dropped = decision == Decision::Drop(DropCause::StorageTermOver);
            assert_eq!(is_dropped, dropped, "{network:?} {now}");
        }
    }

    #[test]
    fn a_revoked_authorisation_is_a_token_signal() {
        let revoke =
            json!({"revoke": {"date_time": "1970-01-01T00:01:00+00:00", "source": {"user_id": "1"}}});
        let raw = RawValue::from_string(revoke.to_string()).unwrap();
        let shape = Shape::XAccountActivity;
        let field = "user_event".to_owned();
        let event =
            Event { network: Network::X, by: By::Push, shape, field, sent_at: None, raw, beside: None };
        let (item, page, owner) = (ItemId::from_bits(1), PageId::from_bits(2), "1".parse().unwrap());
        let (received_at, ready_at) = (at(100), at(200));
        let (item, page, owner, hop) = (&item, &page, &owner, Hop::default());
        let entry = Entry { item, page, owner, event: &event, received_at, ready_at, hop };
        let signal = plan(entry, routing(&[])).unwrap().token_signal().unwrap();
        assert_eq!((signal.signal, signal.occurred_at), (Signal::TokenRevoked, at(60)));
    }
}
