//! Notices to an account about its webhooks, sent to every webhook of the account that takes `notice`, and raised as
//! [alerts](crate::alerts) to its people.
//!
//! Pending notices are on the streak's row ([`carteiro_core::notice`]). They are removed after they were queued, on
//! condition that no other has been added. If a function dies in between, a tick sends them again, under the same ids.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_core::delivery::Delivery;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId};
use carteiro_core::item::{ItemType, Source};
use carteiro_core::metrics::Metric;
use carteiro_core::notice::{self, Notice, Subject};
use carteiro_core::retention::after;
use carteiro_core::streak::{Answer, Rule};
use carteiro_core::transition::Row;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::alerts::Alerter;

/// How long a claim of the notices lasts: longer than the functions that notify run.
const LEASE: Duration = Duration::from_secs(60);

/// How often a claim is tried again when notices were added meanwhile.
const TRIES: usize = 3;

/// How often the holder of the claim sends notices that were added meanwhile. A streak that fails quickly leaves five
/// in a row (three warnings, a block, an unblock); a tick sends the rest.
const ROUNDS: usize = 8;

/// Sends notices.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// The account's webhooks.
    pub config: ConfigTable,
    /// The rows with pending notices.
    pub streaks: StreakTable,
    /// The queue of notices.
    pub queue: DeliverQueue,
    /// Alerts to people.
    pub alerts: Alerter,
    /// The deployment's rule, where a webhook sets none of its own.
    pub rule: Rule,
}

impl Notifier {
    /// Sends the pending notices of a streak. Answers how many there were.
    ///
    /// # Errors
    /// Where a table or the queue failed. A tick sends the remaining notices.
    pub async fn notify(&self, key: &StreakKey, clock: InvocationClock) -> Result<usize, AdapterError> {
        for _ in 0..TRIES {
            let Some(row) = self.streaks.read(key).await? else { return Ok(0) };
            let now = clock.now();
            if notice::is_being_sent(&row, now) {
                // The holder of the claim sees notices that are added now: its last write is refused.
                return Ok(0);
            }
            match self.streaks.write(key, &notice::claim(&row, now, after(now, LEASE)), clock).await? {
                Answer::Refused(_) => continue,
                Answer::Made | Answer::Lost | Answer::Row(_) => {}
            }
            if let Some(sent) = self.notify_claimed(key, row, clock).await? {
                return Ok(sent);
            }
        }
        Err(AdapterError::Contended { operation: "notifying" })
    }

    /// Sends the notices of a claimed row, and those that are added meanwhile.
    async fn notify_claimed(
        &self,
        key: &StreakKey,
        mut row: Row,
        clock: InvocationClock,
    ) -> Result<Option<usize>, AdapterError> {
        for _ in 0..ROUNDS {
            let webhooks = self.config.all_webhooks(&key.account).await?;
            let webhook = webhooks.iter().find(|webhook| webhook.id == key.webhook);
            let subject = Subject {
                account: &key.account,
                webhook: &key.webhook,
                url: webhook.map_or("", |webhook| webhook.settings.url.as_str()),
                item_type: &key.item_type,
            };
            let rule = Rule {
                threshold: webhook
                    .and_then(|webhook| webhook.settings.threshold)
                    .unwrap_or(self.rule.threshold),
                ..self.rule
            };
            let notices = notice::due(&row, &subject, rule, clock.now());
            // A webhook that was deleted meanwhile needs no notice.
            if webhook.is_some() {
                self.queue_all(&key.account, &notices, &webhooks, clock).await?;
            }
            match self.streaks.write(key, &notice::mark_sent(&row, &notices, clock.now()), clock).await? {
                Answer::Refused(Some(newer)) => row = newer,
                Answer::Refused(None) => return Ok(Some(0)),
                Answer::Made | Answer::Lost | Answer::Row(_) => {
                    let ended = notices.iter().filter(|notice| notice.is_of_a_blocks_end()).count();
                    metrics::add(Metric::BlocksEnded, ended);
                    return Ok(Some(notices.len()));
                }
            }
        }
        Ok(None)
    }

    async fn queue_all(
        &self,
        account: &AccountId,
        notices: &[Notice],
        webhooks: &[Webhook],
        clock: InvocationClock,
    ) -> Result<(), AdapterError> {
        let notices = notices.iter().map(|notice| (&notice.id, notice.body.as_slice()));
        queue_notices(&self.queue, webhooks, notices.clone(), clock.now()).await?;
        self.alerts.raise(account, notices).await
    }
}

/// Queues notices for each webhook of an account that takes them. `accepted_at` is their place among held items.
pub(crate) async fn queue_notices<'a>(
    queue: &DeliverQueue,
    webhooks: &[Webhook],
    notices: impl Iterator<Item = (&'a ItemId, &'a [u8])> + Clone,
    accepted_at: Timestamp,
) -> Result<(), AdapterError> {
    let takers = webhooks.iter().filter(|webhook| webhook.takes(&ItemType::NOTICE, &Source::Carteiro));
    let outgoing: Vec<_> = takers
        .flat_map(|webhook| notices.clone().map(move |notice| delivery(webhook, notice, accepted_at)))
        .map(|delivery| Outgoing::new(delivery, Duration::ZERO))
        .collect();
    if queue.send(&outgoing).await.iter().any(Result::is_err) {
        return Err(AdapterError::NotQueued { operation: "queueing notices" });
    }
    Ok(())
}

fn delivery(webhook: &Webhook, (id, body): (&ItemId, &[u8]), accepted_at: Timestamp) -> Delivery {
    Delivery {
        account: webhook.account.clone(),
        webhook: webhook.id.clone(),
        item: id.clone(),
        item_type: ItemType::NOTICE,
        source: Source::Carteiro,
        accepted_at,
        attempt: 1,
        chain: 0,
        revision: webhook.revision,
        step: None,
        replayed: None,
        keep_until: None,
        hop: Hop::default(),
        body: body.to_vec(),
    }
}
