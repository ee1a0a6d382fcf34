//! The state of a webhook, and of each item type that it takes, as its owner sees it.

use std::collections::BTreeMap;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::reads::Counted;
use carteiro_core::item::ItemType;
use carteiro_core::message::{LastError, Message, ToldError};
use carteiro_core::situation::{self, Facts, HeldItems, Plight, Situation, WebhookState};
use carteiro_core::streak::{Details, State};
use carteiro_core::tally;
use carteiro_core::time;
use carteiro_core::transition::Row;
use carteiro_core::webhook::{DisabledBy, MAX_THRESHOLD, Webhook, WhileBlocked};
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::Manage;
use crate::values::{self, one_of};

/// Up to how many held or dead items of a type are counted exactly.
pub(crate) const EXACT: usize = 1000;

/// How many types' items are counted at once.
const COUNTS_AT_ONCE: usize = 3;

/// Whether items of a type are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TypeState {
    /// They are sent.
    Open,
    /// They wait for the end of a block.
    Blocked,
    /// The webhook is disabled.
    Disabled,
}

impl TypeState {
    /// All of them.
    const ALL: [Self; 3] = [Self::Open, Self::Blocked, Self::Disabled];

    fn of(plight: Plight) -> Self {
        match plight.state() {
            WebhookState::Open | WebhookState::Failing => Self::Open,
            WebhookState::Blocked => Self::Blocked,
            WebhookState::Disabled => Self::Disabled,
        }
    }
}

/// The state of one item type at one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ItemTypeStatus)]
pub(crate) struct TypeStatus {
    /// `open`: its items are sent. `blocked`: as many attempts in a row as the threshold says have failed, and
    /// nothing of the type is sent until `blocked_until`. `disabled`: the webhook is disabled, and items are held
    /// whether or not the type is blocked too.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(TypeState::ALL)))))]
    pub(crate) state: TypeState,
    /// The state more closely: whether the last attempts failed, and what disabled the webhook: its owner, or a 410.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(Situation::ALL)))))]
    pub(crate) situation: Situation,
    /// How many attempts in a row have failed; never more than the threshold, and the threshold while it is blocked.
    #[schema(extensions(("x-schema" = json!({"maximum": MAX_THRESHOLD}))))]
    pub(crate) failures: u32,
    /// The threshold in force: the webhook's own, or the deployment's.
    #[schema(extensions(("x-schema" = json!({"minimum": 1, "maximum": MAX_THRESHOLD}))))]
    pub(crate) threshold: u32,
    /// When the block began; null while there is none.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) blocked_at: Option<String>,
    /// When the block ends; null while there is none.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) blocked_until: Option<String>,
    /// Since when the webhook is disabled, where that is known.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) disabled_at: Option<String>,
    /// The last of the failures in a row; null where there are none.
    #[schema(value_type = Option<values::LastError>, required)]
    pub(crate) last_error: Option<ToldError>,
    /// Whether the webhook takes the type. One that it does not take any more is listed while items of it are held;
    /// they are dropped, not sent, when their time comes.
    pub(crate) taken: bool,
    /// What is done with items that come during a block.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!(one_of([WhileBlocked::Hold, WhileBlocked::Discard])))),
    )]
    pub(crate) while_blocked: WhileBlocked,
    /// How many of its items wait: for the block's end, for the webhook to be enabled, or for a retry more than 15
    /// minutes away. Counted to 1000.
    #[schema(extensions(("x-schema" = json!({"maximum": EXACT}))))]
    pub(crate) held: usize,
    /// There when more than 1000 are held; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    pub(crate) held_more: Option<bool>,
    /// When the first of the held items is attempted again that wait for a time of their own.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) retry_due_at: Option<String>,
    /// How many of its items are dead: they are not attempted again by themselves, and can be replayed. Counted to
    /// 1000.
    #[schema(extensions(("x-schema" = json!({"maximum": EXACT}))))]
    pub(crate) dead: usize,
    /// There when more than 1000 are dead; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    pub(crate) dead_more: Option<bool>,
    /// How many items were dropped because the webhook no longer takes their type or source. The count ends 14 days
    /// after the last death or drop of the type.
    pub(crate) dropped: u64,
    /// How many items were dropped during this block, where `while_blocked` is `discard`; 0 while there is none.
    pub(crate) discarded: u64,
    /// What failed, since when and until when, what becomes of the items, and what to do; null while it is open.
    #[schema(value_type = Option<values::BlockMessage>, required)]
    pub(crate) message: Option<Message>,
    /// What becomes of held items while it is open; null where none is held.
    #[schema(value_type = Option<values::BlockMessage>, required)]
    pub(crate) held_message: Option<Message>,
}

/// What is wrong with a webhook: with its worst item type, or with all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Trouble {
    /// The type; null where the webhook is disabled.
    #[schema(value_type = Option<values::ItemType>, required)]
    pub(crate) item_type: Option<ItemType>,
    /// Since when it is blocked or disabled, where that is known; null while it fails.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) since: Option<String>,
    /// Until when it is blocked.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) until: Option<String>,
    /// How many attempts in a row have failed; the threshold while it is blocked.
    #[schema(extensions(("x-schema" = json!({"maximum": MAX_THRESHOLD}))))]
    pub(crate) failures: u32,
    /// How many failures in a row block.
    #[schema(extensions(("x-schema" = json!({"minimum": 1, "maximum": MAX_THRESHOLD}))))]
    pub(crate) threshold: u32,
    /// Why: the code of the last failure's cause, or its class where no more is known; `owner` or `gone` where the
    /// webhook is disabled.
    #[schema(required)]
    pub(crate) code: Option<&'static str>,
    /// When the last failure was.
    #[schema(value_type = Option<values::Time>, required)]
    pub(crate) failed_at: Option<String>,
    /// The same in words.
    #[schema(value_type = values::BlockMessage)]
    pub(crate) message: Message,
}

/// The state of a webhook, and of its item types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: WebhookState,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) status: BTreeMap<String, TypeStatus>,
}

/// How many items of a type were not delivered, and where they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Held; counting ended above [`EXACT`].
    pub(crate) held: Counted,
    /// Dead; counting ended above [`EXACT`].
    pub(crate) dead: usize,
    /// Dropped lately because the webhook does not take them any more.
    pub(crate) dropped: u64,
}

impl Waiting {
    fn held_items(&self) -> HeldItems {
        let bounded = |rows: usize| u64::try_from(rows.min(EXACT)).unwrap_or(u64::MAX);
        HeldItems {
            items: bounded(self.held.rows),
            more: self.held.rows > EXACT,
            retries: bounded(self.held.timed),
            retry_due_at: self.held.first_due,
        }
    }
}

/// A type, its streak, and its items that wait.
#[derive(Clone, Debug)]
pub(crate) struct TypeRows<'a> {
    pub(crate) item_type: ItemType,
    pub(crate) streak: Option<&'a Row>,
    pub(crate) waiting: Waiting,
}

/// Reads the state of a webhook.
pub(crate) async fn read(manage: &Manage, webhook: &Webhook, now: Timestamp) -> Result<Status, AdapterError> {
    let keys = ItemType::KNOWN.map(|item_type| streak_key(webhook, item_type));
    let tally =
        |key: &StreakKey| StreakKey::tally(key.account.clone(), key.webhook.clone(), key.item_type.clone());
    let wanted: Vec<_> = keys.iter().cloned().chain(keys.iter().map(tally)).collect();
    let rows = manage.streaks.read_all(&wanted).await?;
    let of_types = stream::iter(&keys).map(|key| async {
        let (id, item_type) = (&key.webhook, key.item_type.as_str());
        let counts = try_join(
            manage.held.items.count(id, item_type, EXACT, now),
            manage.dead.count(id, item_type, EXACT, now),
        );
        let (held, dead) = counts.await?;
        let waiting = Waiting { held, dead, dropped: tally::dropped(rows.get(&tally(key))) };
        Ok::<_, AdapterError>(TypeRows { item_type: key.item_type.clone(), streak: rows.get(key), waiting })
    });
    let of_types: Vec<TypeRows<'_>> = of_types.buffered(COUNTS_AT_ONCE).try_collect().await?;
    Ok(of_webhook(webhook, manage.threshold, &of_types, now))
}

/// The key of a webhook's streak of a type.
pub(crate) fn streak_key(webhook: &Webhook, item_type: ItemType) -> StreakKey {
    StreakKey {
        account: webhook.account.clone(),
        webhook: webhook.id.clone(),
        revision: webhook.revision,
        item_type,
    }
}

/// The state of a webhook. `deployment_threshold` is in force where the webhook sets none.
pub(crate) fn of_webhook(
    webhook: &Webhook,
    deployment_threshold: u32,
    types: &[TypeRows<'_>],
    now: Timestamp,
) -> Status {
    let plights = Plights::of(
        webhook,
        deployment_threshold,
        |item_type: &ItemType| types.iter().find(|one| one.item_type == *item_type)?.streak,
        now,
    );
    let shown = types.iter().filter(|one| plights.takes(&one.item_type) || one.waiting.held.rows > 0);
    let status = shown.map(|one| (one.item_type.to_string(), plights.status(one))).collect();
    Status { state: plights.state(), trouble: plights.trouble(), status }
}

/// What stands between a webhook's types and its URL.
pub(crate) struct Plights<'a, F> {
    webhook: &'a Webhook,
    threshold: u32,
    /// Of the types that the webhook takes.
    taken: Vec<(ItemType, Plight)>,
    streak: F,
    now: Timestamp,
}

impl<'a, F: Fn(&ItemType) -> Option<&'a Row>> Plights<'a, F> {
    /// Finds it out from the streaks of the types.
    pub(crate) fn of(webhook: &'a Webhook, deployment_threshold: u32, streak: F, now: Timestamp) -> Self {
        let threshold = webhook.settings.threshold.unwrap_or(deployment_threshold);
        let mut plights = Self { webhook, threshold, taken: Vec::new(), streak, now };
        let items = webhook.settings.items.iter();
        plights.taken = items.map(|item_type| (item_type.clone(), plights.plight(item_type))).collect();
        plights
    }

    fn plight(&self, item_type: &ItemType) -> Plight {
        let phase = State::of((self.streak)(item_type), self.now).phase;
        let disabled = self.webhook.disabled_by.map(|by| (by, self.webhook.disabled_at));
        Plight::of(&phase, self.threshold, disabled)
    }

    fn takes(&self, item_type: &ItemType) -> bool {
        self.webhook.settings.items.contains(item_type)
    }

    /// The worst type.
    fn worst(&self) -> Option<&(ItemType, Plight)> {
        self.taken.iter().min_by_key(|(_, plight)| plight.order())
    }

    /// The webhook's state.
    pub(crate) fn state(&self) -> WebhookState {
        self.worst().map_or(WebhookState::Open, |(_, plight)| plight.state())
    }

    /// What is wrong with the webhook; None where nothing is.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let (item_type, plight) = self.worst()?;
        let (last_error, _) = self.last_error(item_type);
        let message = self.told(item_type, *plight, None, last_error.as_ref(), situation::message)?;
        let failed_at = last_error.as_ref().map(|error| time::shown(error.at));
        let of_failure = last_error.as_ref().map(|error| match &error.cause {
            Some(cause) => cause.code.as_str(),
            None => error.error.as_str(),
        });
        let mut trouble = Trouble {
            item_type: Some(item_type.clone()),
            since: None,
            until: None,
            failures: 0,
            threshold: self.threshold,
            code: of_failure,
            failed_at,
            message,
        };
        match *plight {
            Plight::Open => return None,
            Plight::Failing { failures, .. } => trouble.failures = failures,
            Plight::Blocked { failures, at, until } => {
                trouble.failures = failures;
                trouble.since = Some(time::shown(at));
                trouble.until = Some(time::shown(until));
            }
            Plight::Disabled { by, since } => {
                trouble.item_type = None;
                trouble.since = since.map(time::shown);
                trouble.failed_at = None;
                trouble.code = Some(match by {
                    DisabledBy::Owner => "owner",
                    DisabledBy::Gone => "gone",
                });
            }
        }
        Some(trouble)
    }

    /// The last failure of a type, and how many items were dropped during its block.
    fn last_error(&self, item_type: &ItemType) -> (Option<LastError>, u64) {
        let details = (self.streak)(item_type).map(Details::of).unwrap_or_default();
        let last_error = details.last_error.and_then(|text| serde_json::from_str(&text).ok());
        (last_error, details.discarded)
    }

    /// The state of a type.
    fn status(&self, rows: &TypeRows<'_>) -> TypeStatus {
        let item_type = &rows.item_type;
        let (plight, taken) = (self.plight(item_type), self.takes(item_type));
        let state = State::of(rows.streak, self.now);
        let (failures, block) = match Plight::of(&state.phase, self.threshold, None) {
            Plight::Blocked { failures, at, until } => (failures, Some((at, until))),
            Plight::Failing { failures, .. } => (failures, None),
            Plight::Open | Plight::Disabled { .. } => (0, None),
        };
        let (last_error, discarded) = self.last_error(item_type);
        let (held, waiting) = (rows.waiting.held_items(), &rows.waiting);
        let told = |tell: fn(&Facts<'_>) -> Option<Message>| {
            self.told(item_type, plight, Some(held), last_error.as_ref(), tell)
        };
        let type_state = TypeState::of(plight);
        let is_open = type_state == TypeState::Open;
        TypeStatus {
            state: type_state,
            situation: plight.situation(),
            failures,
            threshold: self.threshold,
            blocked_at: block.map(|(at, _)| time::shown(at)),
            blocked_until: block.map(|(_, until)| time::shown(until)),
            disabled_at: self.webhook.disabled_at.filter(|_| !is_open).map(time::shown),
            taken,
            while_blocked: self.webhook.settings.while_blocked,
            held: waiting.held.rows.min(EXACT),
            held_more: (waiting.held.rows > EXACT).then_some(true),
            retry_due_at: waiting.held.first_due.map(time::shown),
            dead: waiting.dead.min(EXACT),
            dead_more: (waiting.dead > EXACT).then_some(true),
            dropped: waiting.dropped,
            discarded: if block.is_some() { discarded } else { 0 },
            message: if is_open || !taken { None } else { told(situation::message) },
            held_message: match (taken, is_open) {
                (false, _) => situation::not_taken_message(item_type, held),
                (true, true) => told(situation::held_message),
                (true, false) => None,
            },
            last_error: last_error.filter(|_| failures > 0).as_ref().map(LastError::told),
        }
    }

    fn told(
        &self,
        item_type: &ItemType,
        plight: Plight,
        held: Option<HeldItems>,
        last_error: Option<&LastError>,
        tell: fn(&Facts<'_>) -> Option<Message>,
    ) -> Option<Message> {
        let others = |is: fn(WebhookState) -> bool| -> Vec<ItemType> {
            let others = self.taken.iter().filter(|(other, plight)| other != item_type && is(plight.state()));
            others.map(|(other, _)| other.clone()).collect()
        };
        let going_on = others(|state| matches!(state, WebhookState::Open | WebhookState::Failing));
        let also_blocked = others(|state| state == WebhookState::Blocked);
        tell(&Facts {
            item_type,
            plight,
            going_on: &going_on,
            also_blocked: &also_blocked,
            held,
            while_blocked: Some(self.webhook.settings.while_blocked),
            discarded: self.last_error(item_type).1,
            last_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::address::PrivateTargets;
    use carteiro_core::credentials::Fresh;
    use carteiro_core::id::{AccountId, WebhookId};
    use carteiro_core::transition::Value as Attribute;
    use carteiro_core::webhook::NewWebhook;
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}:00Z").parse().unwrap()
    }

    fn webhook(given: &Value) -> Webhook {
        let mut all = json!({"url": "https://example.com/a", "items": ["contact", "event", "message"]});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let new = NewWebhook::from_json(all.as_object().unwrap(), &PrivateTargets::default()).unwrap();
        let fresh = Fresh::from_random([1; 32], [2; 32]);
        new.create(WebhookId::from_bits(1), AccountId::from_bits(2), fresh, at("10:00"))
    }

    fn error(status: u16) -> (&'static str, Attribute) {
        let error = json!({"error": "status", "status": status, "at": "2026-11-21T12:05:00Z"});
        ("last_error", Attribute::Text(error.to_string()))
    }

    fn blocked(until: &str) -> Row {
        let time = |text| Attribute::Number(at(text).as_millisecond());
        Row::from([
            ("failures", Attribute::Number(1000)),
            ("epoch", Attribute::Text("e".to_owned())),
            ("blocked_at", time("12:05")),
            ("blocked_until", time(until)),
            ("discarded", Attribute::Number(87)),
            error(503),
        ])
    }

    fn failing(failures: i64) -> Row {
        Row::from([
            ("streak", Attribute::Text("s".to_owned())),
            ("failures", Attribute::Number(failures)),
            error(500),
        ])
    }

    fn shown(webhook: &Webhook, rows: &[(ItemType, Row)], held: &[(ItemType, Counted)]) -> Status {
        let of_type = |item_type: ItemType| TypeRows {
            streak: rows.iter().find(|(known, _)| *known == item_type).map(|(_, row)| row),
            waiting: Waiting {
                held: held
                    .iter()
                    .find(|(known, _)| *known == item_type)
                    .map(|(_, held)| *held)
                    .unwrap_or_default(),
                ..Waiting::default()
            },
            item_type,
        };
        of_webhook(webhook, 1000, &ItemType::KNOWN.map(of_type), at("13:00"))
    }

    const HELD: Counted = Counted { rows: 312, timed: 0, first_due: None };

    #[test]
    fn a_webhook_is_as_its_worst_type_is() {
        let taking = webhook(&json!({}));
        let disabled = webhook(&json!({"enabled": false}));
        let open = shown(&taking, &[], &[]);
        assert_eq!((open.state, open.trouble), (WebhookState::Open, None));
        let rows = [
            (ItemType::MESSAGE, failing(37)),
            (ItemType::EVENT, blocked("16:05")),
            // Of a type that it does not take, and a block that is over.
            (ItemType::NOTICE, blocked("17:05")),
            (ItemType::CONTACT, blocked("12:59")),
        ];
        let status = shown(&taking, &rows, &[]);
        let trouble = status.trouble.unwrap();
        assert_eq!((status.state, trouble.item_type.clone()), (WebhookState::Blocked, Some(ItemType::EVENT)));
        assert_eq!(trouble.since.as_deref(), Some("2026-11-21T12:05:00.000Z"));
        assert_eq!(trouble.until.as_deref(), Some("2026-11-21T16:05:00.000Z"));
        assert_eq!((trouble.failures, trouble.threshold, trouble.code), (1000, 1000, Some("status")));
        assert!(
            trouble.message.portuguese.contains("O envio de contatos e mensagens continua."),
            "{trouble:?}"
        );
        let status = shown(&taking, &rows[..1], &[]);
        let trouble = status.trouble.unwrap();
        assert_eq!((status.state, trouble.failures, trouble.since), (WebhookState::Failing, 37, None));
        let status = shown(&disabled, &rows, &[]);
        let trouble = status.trouble.unwrap();
        assert_eq!(
            (status.state, trouble.item_type, trouble.code),
            (WebhookState::Disabled, None, Some("owner"))
        );
        assert_eq!(trouble.since.as_deref(), Some("2026-11-21T10:00:00.000Z"));
    }

    #[test]
    fn a_types_message_tells_of_its_items_and_of_the_other_types() {
        let rows = [(ItemType::EVENT, blocked("16:05")), (ItemType::CONTACT, blocked("15:05"))];
        let status = shown(&webhook(&json!({})), &rows, &[(ItemType::EVENT, HELD)]).status;
        let told = status["event"].message.as_ref().unwrap();
        for part in [
            "O envio de registros de eventos para esta URL está bloqueado",
            "status 503",
            "O envio de contatos também está bloqueado.",
            "O envio de mensagens continua.",
            "312 itens guardados; serão entregues, em ordem de chegada, a partir de 2026-11-21 16:05 (UTC).",
            "use Desbloquear",
        ] {
            assert!(told.portuguese.contains(part), "{part}: {told:?}");
        }
        assert_eq!((status["event"].held, status["event"].discarded), (312, 87));
        assert_eq!((&status["message"].message, &status["message"].held_message), (&None, &None));
        let discards = webhook(&json!({"while_blocked": "discard", "items": ["event"]}));
        let status = shown(&discards, &rows, &[]).status;
        let told = status["event"].message.as_ref().unwrap();
        assert!(
            told.portuguese.contains("é descartado, como este webhook define: 87 itens até agora."),
            "{told:?}"
        );
        assert!(!told.portuguese.contains("continua") && !told.portuguese.contains("também"), "{told:?}");
    }

    #[test]
    fn a_disabled_webhooks_types_keep_their_blocks_times() {
        let rows = [(ItemType::EVENT, blocked("16:05"))];
        let gone = webhook(&json!({})).gone(1, at("12:30")).unwrap();
        let status = shown(&gone, &rows, &[(ItemType::EVENT, HELD)]).status;
        let event = &status["event"];
        assert_eq!((event.state, event.situation), (TypeState::Disabled, Situation::DisabledByGone));
        assert_eq!(event.blocked_until.as_deref(), Some("2026-11-21T16:05:00.000Z"));
        assert_eq!(event.disabled_at.as_deref(), Some("2026-11-21T12:30:00.000Z"));
        let told = event.message.as_ref().unwrap();
        assert!(
            told.portuguese.contains("desde 2026-11-21 12:30 (UTC)") && told.portuguese.contains("410"),
            "{told:?}"
        );
        assert!(told.portuguese.contains("312 itens guardados; serão entregues"), "{told:?}");
    }

    #[test]
    fn held_items_of_an_open_type_are_told_with_their_next_attempt() {
        let retry = Counted { rows: 1, timed: 1, first_due: Some(at("14:30")) };
        let held = [(ItemType::EVENT, retry), (ItemType::NOTICE, HELD)];
        let status = shown(&webhook(&json!({})), &[(ItemType::EVENT, failing(3))], &held).status;
        let event = &status["event"];
        assert_eq!(
            (event.state, event.situation, &event.message),
            (TypeState::Open, Situation::Failing, &None)
        );
        assert_eq!(event.retry_due_at.as_deref(), Some("2026-11-21T14:30:00.000Z"));
        let told = event.held_message.as_ref().unwrap();
        assert_eq!(
            told.portuguese,
            "1 item guardado espera nova tentativa, marcada para 2026-11-21 14:30 (UTC)."
        );
        let notice = &status["notice"];
        assert!(
            !notice.taken && notice.held_message.as_ref().unwrap().portuguese.contains("não serão entregues")
        );
        let text = serde_json::to_string(&status["contact"]).unwrap();
        assert!(!text.contains("held_more") && text.contains(r#""while_blocked":"hold""#), "{text}");
    }
}
