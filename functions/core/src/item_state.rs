//! Where an item is on its way to one webhook, by what is stored of it.
//!
//! A healthy delivery stores nothing, so that nothing is known of most items but their acceptance: they arrived, or are
//! still in the queue. What is known otherwise is put together here from the rows of the held, the dead and the dropped
//! items, and from the webhook's attempt log.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::attempt_log::{Entry, ItemFate};
use crate::holding::HeldFor;
use crate::message::Message;
use crate::retention::after;
use crate::settlement::DeathCause;
use crate::webhook::AttemptLog;

crate::named! {
    /// Why an item was dropped, as its row says.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DropCause {
        /// Its webhook was deleted.
        WebhookDeleted = "webhook_deleted",
        /// Its webhook no longer takes its type or source.
        NotTaken = "not_taken",
        /// Its type was blocked, and its webhook discards items meanwhile.
        Discarded = "discarded",
        /// Its owner cancelled it while it was held.
        Cancelled = "cancelled",
        /// Its network does not allow it to be kept any longer.
        StorageLimit = "storage_limit",
    }
}

crate::named! {
    /// Where an item is on its way to one webhook.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum ItemState {
        /// An attempt of it succeeded.
        Delivered,
        /// It waits in the queue for an attempt.
        Queued,
        /// It waits in a row of its own.
        Held,
        /// It will not be attempted again by itself.
        Dead,
        /// It was dropped.
        Dropped,
        /// Nothing that happened to it since is stored: it was delivered, or is still in the queue.
        NoFailureStored,
    }
}

/// What is stored of an item at one webhook.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored<'a> {
    /// Why it is held, where it is, and when it comes due, where that is known.
    pub held: Option<(HeldFor, Option<Timestamp>)>,
    /// Why it is dead, where it is, and since when.
    pub dead: Option<(DeathCause, Timestamp)>,
    /// Why it was dropped, where it was, and when.
    pub dropped: Option<(DropCause, Timestamp)>,
    /// The last attempt of it that the log has.
    pub last_attempt: Option<&'a Entry>,
    /// Whether every attempt since its acceptance would be in what was read of the log.
    pub whole_log: bool,
}

/// Where an item is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where.
    pub state: ItemState,
    /// Why it is held, dead or dropped.
    pub why: Option<&'static str>,
    /// Since when it is dead or dropped, or when it was delivered.
    pub since: Option<Timestamp>,
    /// When it is attempted next, where that is known.
    pub next_at: Option<Timestamp>,
}

impl Known {
    fn of(state: ItemState) -> Self {
        Self { state, why: None, since: None, next_at: None }
    }

    /// The state in words, for the account that owns the item.
    #[must_use]
    pub fn message(&self) -> Message {
        let (portuguese, english) = words(self.state, self.why.unwrap_or_default());
        Message { portuguese: portuguese.to_owned(), english: english.to_owned() }
    }
}

/// How long after its acceptance an item of which a whole log has no attempt is said to be in the queue.
pub const RECENT: Duration = Duration::from_secs(3600);

/// Whether the log of a webhook with this setting would have every attempt of an item, so that one without an attempt
/// is in the queue. A webhook that was changed after the item's acceptance may have had another one, and of an item
/// that is no longer [`RECENT`] the log may have lost an attempt: entries expire, and are written at best.
#[must_use]
pub fn logs_every_attempt(
    log: AttemptLog,
    updated_at: Timestamp,
    accepted_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let may_wait = |accepted_at| updated_at <= accepted_at && now < after(accepted_at, RECENT);
    log == AttemptLog::All && accepted_at.is_some_and(may_wait)
}

/// Puts together where an item is. A row that holds it, or that keeps it as dead, is what there is now; else the last
/// of what happened to it counts.
#[must_use]
pub fn known(stored: &Stored<'_>, now: Timestamp) -> Known {
    if let Some((reason, due_at)) = stored.held {
        return Known { why: Some(reason.as_str()), next_at: due_at, ..Known::of(ItemState::Held) };
    }
    if let Some((cause, died_at)) = stored.dead {
        return Known { why: Some(cause.as_str()), since: Some(died_at), ..Known::of(ItemState::Dead) };
    }
    let attempt = stored.last_attempt;
    // An item that its producer sent again after it was dropped may have been attempted since.
    if let Some((cause, at)) = stored.dropped.filter(|(_, at)| attempt.is_none_or(|last| last.at <= *at)) {
        return Known { why: Some(cause.as_str()), since: Some(at), ..Known::of(ItemState::Dropped) };
    }
    let Some(last) = attempt else {
        return Known::of(if stored.whole_log { ItemState::Queued } else { ItemState::NoFailureStored });
    };
    if last.is_success() {
        return Known { since: Some(last.at), ..Known::of(ItemState::Delivered) };
    }
    match (last.became, last.next_at) {
        (ItemFate::Dropped, _) => {
            let why = Some(DropCause::StorageLimit.as_str());
            Known { why, since: Some(last.at), ..Known::of(ItemState::Dropped) }
        }
        (ItemFate::Retry, Some(next_at)) if next_at > now || stored.whole_log => {
            Known { next_at: Some(next_at), ..Known::of(ItemState::Queued) }
        }
        (ItemFate::Unsettled, _) if stored.whole_log => Known::of(ItemState::Queued),
        // It was held or dead, or its retry was due: it went on since, and a success is not stored.
        _ => Known::of(ItemState::NoFailureStored),
    }
}

fn words(state: ItemState, why: &str) -> (&'static str, &'static str) {
    match (state, why) {
        (ItemState::Delivered, _) => ("Foi entregue.", "It was delivered."),
        (ItemState::Queued, _) => {
            ("Está na fila, aguardando uma tentativa.", "It is in the queue, waiting for an attempt.")
        }
        (ItemState::NoFailureStored, _) => (
            "Nada posterior está registrado: foi entregue, ainda está na fila ou seu registro já expirou; se o webhook \
             mudou depois, pode não tê-lo recebido. Entregas bem-sucedidas só são registradas com \"log\": \"all\".",
            "Nothing later is stored: it was delivered, is still in the queue, or what was stored of it has expired; \
             where the webhook was changed since, it may not have been sent to it. Successful deliveries are stored \
             with \"log\": \"all\" alone.",
        ),
        (ItemState::Held, "retry") => (
            "Está guardado até a próxima tentativa, após uma falha ou por lentidão da URL.",
            "It is held until its next attempt, after a failure or because its URL is slow.",
        ),
        (ItemState::Held, "disabled") => (
            "Está guardado porque o webhook está desabilitado; segue quando for habilitado.",
            "It is held because its webhook is disabled, and goes on when that is enabled.",
        ),
        (ItemState::Held, "replay") => (
            "Estava morto e foi reenviado; aguarda a sua vez.",
            "It was dead and is replayed; it waits for its turn.",
        ),
        (ItemState::Held, _) => (
            "Está guardado porque o envio do seu tipo está bloqueado, ou aguarda a sua vez na liberação.",
            "It is held because sending its type is blocked, or it waits for its turn in the release.",
        ),
        (ItemState::Dead, "retention_over") => (
            "Esperou além do prazo de retenção; não será mais tentado por si só, mas pode ser reenviado.",
            "It waited for longer than the retention; it is not attempted again by itself, and can be replayed.",
        ),
        (ItemState::Dead, "dead_letter") => (
            "A fila o devolveu vezes demais sem resultado; não será mais tentado por si só, mas pode ser reenviado.",
            "The queue handed it out too often without a result; it is not attempted again by itself, and can be \
             replayed.",
        ),
        (ItemState::Dead, _) => (
            "Todas as tentativas falharam; não será mais tentado por si só, mas pode ser reenviado.",
            "All its attempts failed; it is not attempted again by itself, and can be replayed.",
        ),
        (ItemState::Dropped, "webhook_deleted") => (
            "Foi descartado porque o webhook foi excluído.",
            "It was dropped because its webhook was deleted.",
        ),
        (ItemState::Dropped, "not_taken") => (
            "Foi descartado porque o webhook não recebe mais o seu tipo ou a sua origem.",
            "It was dropped because its webhook does not take its type or source any more.",
        ),
        (ItemState::Dropped, "discarded") => (
            "Foi descartado porque o seu tipo estava bloqueado e o webhook descarta itens durante o bloqueio.",
            "It was dropped because its type was blocked, and the webhook discards items meanwhile.",
        ),
        (ItemState::Dropped, "cancelled") => {
            ("Foi descartado enquanto estava guardado.", "It was cancelled while it was held.")
        }
        (ItemState::Dropped, _) => (
            "Foi apagado porque a rede não permite guardá-lo por mais tempo.",
            "It was deleted because its network does not allow it to be kept any longer.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;
    use crate::id::ItemId;
    use crate::item::ItemType;
    use crate::outcome::FailureKind;

    fn entry(second: i64, error: Option<FailureKind>, became: ItemFate, next_at: Option<i64>) -> Entry {
        Entry {
            item: ItemId::from_bits(1),
            item_type: ItemType::EVENT,
            attempt: 1,
            at: at(second),
            revision: 1,
            error,
            cause: None,
            status: None,
            latency_ms: 1,
            response_body: None,
            response_headers: Default::default(),
            release_step: None,
            replay: None,
            became,
            next_at: next_at.map(at),
        }
    }

    #[test]
    fn what_is_stored_of_an_item_says_where_it_is() {
        let failed = |became, next_at| entry(50, Some(FailureKind::Status), became, next_at);
        let retry = failed(ItemFate::Retry, Some(110));
        let overdue = failed(ItemFate::Retry, Some(60));
        let success = entry(50, None, ItemFate::Delivered, None);
        let (died, unsettled) = (failed(ItemFate::Dead, None), failed(ItemFate::Unsettled, None));
        let storage = failed(ItemFate::Dropped, None);
        let nothing = Stored::default();
        let held = Some((HeldFor::Blocked, None));
        let dead = Some((DeathCause::Exhausted, at(40)));
        let dropped = |second| Some((DropCause::Discarded, at(second)));
        let attempted = |last_attempt| Stored { last_attempt: Some(last_attempt), ..nothing };
        for (case, stored, state, why, since, next_at) in [
            ("nothing", nothing, ItemState::NoFailureStored, None, None, None),
            ("whole log", Stored { whole_log: true, ..nothing }, ItemState::Queued, None, None, None),
            ("held", Stored { held, ..attempted(&overdue) }, ItemState::Held, Some("blocked"), None, None),
            (
                "a long retry",
                Stored { held: Some((HeldFor::Retry, Some(at(200)))), ..nothing },
                ItemState::Held,
                Some("retry"),
                None,
                Some(200),
            ),
            ("replayed", Stored { held, dead, ..nothing }, ItemState::Held, Some("blocked"), None, None),
            ("dead", Stored { dead, ..attempted(&died) }, ItemState::Dead, Some("exhausted"), Some(40), None),
            (
                "discarded",
                Stored { dropped: dropped(60), ..attempted(&died) },
                ItemState::Dropped,
                Some("discarded"),
                Some(60),
                None,
            ),
            (
                "sent again since",
                Stored { dropped: dropped(40), ..attempted(&success) },
                ItemState::Delivered,
                None,
                Some(50),
                None,
            ),
            ("delivered", attempted(&success), ItemState::Delivered, None, Some(50), None),
            ("a retry to come", attempted(&retry), ItemState::Queued, None, None, Some(110)),
            ("a retry that was due", attempted(&overdue), ItemState::NoFailureStored, None, None, None),
            (
                "the same, where a success would be logged",
                Stored { whole_log: true, ..attempted(&overdue) },
                ItemState::Queued,
                None,
                None,
                Some(60),
            ),
            (
                "its storage term",
                attempted(&storage),
                ItemState::Dropped,
                Some("storage_limit"),
                Some(50),
                None,
            ),
            ("replayed and gone on", attempted(&died), ItemState::NoFailureStored, None, None, None),
            (
                "handed out again",
                Stored { whole_log: true, ..attempted(&unsettled) },
                ItemState::Queued,
                None,
                None,
                None,
            ),
        ] {
            let expected = Known { state, why, since: since.map(at), next_at: next_at.map(at) };
            assert_eq!(known(&stored, at(100)), expected, "{case}");
        }
    }

    #[test]
    fn every_state_and_cause_has_words_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for (state, causes) in [
            (ItemState::Delivered, vec![""]),
            (ItemState::Queued, vec![""]),
            (ItemState::NoFailureStored, vec![""]),
            (ItemState::Held, HeldFor::ALL.map(HeldFor::as_str).to_vec()),
            (
                ItemState::Dead,
                [DeathCause::Exhausted, DeathCause::RetentionOver, DeathCause::DeadLetter]
                    .map(DeathCause::as_str)
                    .to_vec(),
            ),
            (ItemState::Dropped, DropCause::ALL.map(DropCause::as_str).to_vec()),
        ] {
            for why in causes {
                let (portuguese, english) = words(state, why);
                assert!(seen.insert(english) && seen.insert(portuguese), "{state:?} {why}");
            }
        }
    }

    #[test]
    fn a_log_is_whole_where_its_webhook_was_not_changed_since() {
        let whole = |log, updated, accepted: Option<i64>| {
            logs_every_attempt(log, at(updated), accepted.map(at), at(3604))
        };
        assert!(whole(AttemptLog::All, 5, Some(5)));
        assert!(!whole(AttemptLog::All, 6, Some(5)), "it may have been another log");
        assert!(!whole(AttemptLog::All, 1, Some(4)), "an attempt of an hour ago may be in the log no more");
        assert!(!whole(AttemptLog::All, 5, None));
        assert!(!whole(AttemptLog::Failures, 5, Some(5)));
    }
}
