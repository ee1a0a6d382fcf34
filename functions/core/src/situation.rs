//! The situation of an item type at a webhook, and what its owner reads of it, in Portuguese and English: what failed,
//! since when and until when, what becomes of the items, and what to do.
//!
//! Times in these texts are of UTC. Beside the texts answers carry codes, times and counts, so that a page can tell the
//! same in its reader's time zone.

use jiff::Timestamp;
use serde::Serialize;

use crate::both;
use crate::item::ItemType;
use crate::message::{LastError, Message, minute, type_names};
use crate::streak::{Phase, shown_failures};
use crate::webhook::{DisabledBy, WhileBlocked};

crate::named! {
    /// The situation of an item type at a webhook.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Situation {
        /// It is sent, and the last attempt succeeded, or there was none lately.
        Open,
        /// It is sent, and the last attempts failed.
        Failing,
        /// It is not sent until its block ends.
        Blocked,
        /// It is not sent: the webhook's owner disabled it.
        DisabledByOwner,
        /// It is not sent: the URL answered 410, which disabled the webhook.
        DisabledByGone,
    }
}

crate::named! {
    /// The state of a webhook: that of its worst item type. The order is that of the trouble, the worst first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum WebhookState {
        /// Nothing of an item type is sent until its block ends.
        Blocked = "blocked",
        /// The last attempts of an item type failed.
        Failing = "failing",
        /// Nothing is sent until it is enabled.
        Disabled = "disabled",
        /// All that it takes is sent.
        Open = "open",
    }
}

/// What stands between an item type and its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plight {
    /// Nothing.
    Open,
    /// Failures in a row.
    Failing {
        /// How many.
        failures: u32,
        /// How many block.
        threshold: u32,
    },
    /// A block.
    Blocked {
        /// After how many failures in a row.
        failures: u32,
        /// When it began.
        at: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// The webhook is disabled.
    Disabled {
        /// Why.
        by: DisabledBy,
        /// Since when, where that is known.
        since: Option<Timestamp>,
    },
}

impl Plight {
    /// Reads it from a streak's phase, and from what disabled the webhook and when. A disabled webhook gets nothing,
    /// blocked or not.
    #[must_use]
    pub fn of(phase: &Phase, threshold: u32, disabled: Option<(DisabledBy, Option<Timestamp>)>) -> Self {
        match (disabled, phase) {
            (Some((by, since)), _) => Self::Disabled { by, since },
            (None, Phase::Open) => Self::Open,
            (None, Phase::Failing { failures, .. }) => {
                Self::Failing { failures: shown_failures(*failures, threshold), threshold }
            }
            (None, Phase::Blocked { at, until }) => {
                Self::Blocked { failures: threshold, at: *at, until: *until }
            }
        }
    }

    /// The situation, without its values.
    #[must_use]
    pub fn situation(self) -> Situation {
        match self {
            Self::Open => Situation::Open,
            Self::Failing { .. } => Situation::Failing,
            Self::Blocked { .. } => Situation::Blocked,
            Self::Disabled { by: DisabledBy::Owner, .. } => Situation::DisabledByOwner,
            Self::Disabled { by: DisabledBy::Gone, .. } => Situation::DisabledByGone,
        }
    }

    /// The state of a webhook of which this is the worst.
    #[must_use]
    pub fn state(self) -> WebhookState {
        match self {
            Self::Open => WebhookState::Open,
            Self::Failing { .. } => WebhookState::Failing,
            Self::Blocked { .. } => WebhookState::Blocked,
            Self::Disabled { .. } => WebhookState::Disabled,
        }
    }

    /// How much trouble it is, for the choice of a webhook's worst item type: the least is the worst.
    #[must_use]
    pub fn order(self) -> impl Ord {
        let within = match self {
            Self::Blocked { until, .. } => until.as_millisecond(),
            Self::Failing { failures, .. } => i64::from(failures),
            Self::Open | Self::Disabled { .. } => 0,
        };
        (self.state(), std::cmp::Reverse(within))
    }
}

/// The items of a type that are held for a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldItems {
    /// How many.
    pub items: u64,
    /// Whether there are more than that.
    pub more: bool,
    /// How many of them wait for a time of their own, that of their next attempt.
    pub retries: u64,
    /// The first of these times.
    pub retry_due_at: Option<Timestamp>,
}

/// What is known of an item type at a webhook.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The type.
    pub item_type: &'a ItemType,
    /// What stands between it and the URL.
    pub plight: Plight,
    /// The other types that the webhook takes and sends.
    pub going_on: &'a [ItemType],
    /// The other types that the webhook takes and that are blocked.
    pub also_blocked: &'a [ItemType],
    /// The items that are held, where they were counted.
    pub held: Option<HeldItems>,
    /// What the webhook wants done with what comes during a block, where that is known.
    pub while_blocked: Option<WhileBlocked>,
    /// How many items were dropped during the block.
    pub discarded: u64,
    /// The last failure.
    pub last_error: Option<&'a LastError>,
}

/// Tells the situation of a type, with what becomes of its items and what to do; None while it is open.
#[must_use]
pub fn message(facts: &Facts<'_>) -> Option<Message> {
    let sentences = match facts.plight {
        Plight::Open => return None,
        Plight::Failing { failures, threshold } => {
            vec![
                failing(facts, failures, threshold),
                last_failure(facts),
                held_message(facts),
                Some(check_url()),
            ]
        }
        Plight::Blocked { failures, at, until } => vec![
            Some(blocked(facts, failures, at, until)),
            last_failure(facts),
            others(facts),
            Some(during_block(facts, until)),
            Some(ways_out_of_block()),
        ],
        Plight::Disabled { by, since } => {
            vec![Some(disabled(by, since)), Some(until_enabled(facts.held)), Some(ways_to_enable(by))]
        }
    };
    Some(joined(sentences))
}

/// Tells what becomes of items that are held while their type is sent; None where none is held.
#[must_use]
pub fn held_message(facts: &Facts<'_>) -> Option<Message> {
    let held = facts.held.filter(|held| held.items > 0)?;
    let due = held.retry_due_at.filter(|_| held.retries > 0);
    let released = held.items.saturating_sub(due.map_or(0, |_| held.retries));
    let releasing = (released > 0 || held.more).then(|| match (released, held.more) {
        (1, false) => text("1 item guardado está sendo entregue.", "1 held item is being sent."),
        (items, more) => pair(
            format!("{} estão sendo entregues, em ordem de chegada.", pt_items(items, more)),
            format!("{} are being sent, in the order of their arrival.", en_items(items, more)),
        ),
    });
    let retried = due.map(|due| match held.retries {
        1 => pair(
            format!("1 item guardado espera nova tentativa, marcada para {} (UTC).", minute(due)),
            format!("1 held item waits for its next attempt, at {} (UTC).", minute(due)),
        ),
        retries => pair(
            format!(
                "{} esperam nova tentativa, a primeira marcada para {} (UTC).",
                pt_items(retries, false),
                minute(due)
            ),
            format!(
                "{} wait for their next attempts, the first at {} (UTC).",
                en_items(retries, false),
                minute(due)
            ),
        ),
    });
    Some(joined([releasing, retried]))
}

/// Tells that items are held of a type that the webhook does not take any more; None where none is.
#[must_use]
pub fn not_taken_message(item_type: &ItemType, held: HeldItems) -> Option<Message> {
    let (pt_type, en_type) = type_names(item_type);
    let (pt_which, en_which) = match (held.items, held.more) {
        (0, _) => return None,
        (1, false) => {
            ("1 item guardado não será entregue".to_owned(), "1 held item will not be sent".to_owned())
        }
        (items, more) => (
            format!("{} não serão entregues", pt_items(items, more)),
            format!("{} will not be sent", en_items(items, more)),
        ),
    };
    Some(Message::from(both!(
        "Este webhook não recebe mais {pt_type}: {pt_which}.",
        "This webhook does not take {en_type} any more: {en_which}."
    )))
}

fn pair(portuguese: String, english: String) -> Message {
    Message { portuguese, english }
}

fn text(portuguese: &str, english: &str) -> Message {
    pair(portuguese.to_owned(), english.to_owned())
}

fn joined(sentences: impl IntoIterator<Item = Option<Message>>) -> Message {
    let (mut portuguese, mut english) = (Vec::new(), Vec::new());
    for sentence in sentences.into_iter().flatten() {
        portuguese.push(sentence.portuguese);
        english.push(sentence.english);
    }
    pair(portuguese.join(" "), english.join(" "))
}

/// `312 itens guardados`, for more than one.
fn pt_items(items: u64, more: bool) -> String {
    if more { format!("Mais de {items} itens guardados") } else { format!("{items} itens guardados") }
}

/// `312 held items`, for more than one.
fn en_items(items: u64, more: bool) -> String {
    if more { format!("More than {items} held items") } else { format!("{items} held items") }
}

/// Types in words: `contatos, publicações e avisos`.
fn listed(types: &[ItemType]) -> (String, String) {
    let names: Vec<(&str, &str)> = types.iter().map(type_names).collect();
    let of = |pick: fn(&(&'_ str, &'_ str)) -> String, and: &str| {
        let words: Vec<String> = names.iter().map(pick).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, first)) => format!("{} {and} {last}", first.join(", ")),
            None => String::new(),
        }
    };
    (of(|(portuguese, _)| (*portuguese).to_owned(), "e"), of(|(_, english)| (*english).to_owned(), "and"))
}

fn last_failure(facts: &Facts<'_>) -> Option<Message> {
    let Message { portuguese, english } = facts.last_error?.message();
    Some(Message::from(both!("Última falha: {portuguese}.", "Last failure: {english}.")))
}

fn failing(facts: &Facts<'_>, failures: u32, threshold: u32) -> Option<Message> {
    let (pt_type, en_type) = type_names(facts.item_type);
    let (pt_which, en_which) = match failures {
        0 | 1 => (
            format!("A última tentativa de enviar {pt_type} para esta URL falhou"),
            format!("The last attempt to send {en_type} to this URL failed"),
        ),
        _ => (
            format!("As últimas {failures} tentativas de enviar {pt_type} para esta URL falharam"),
            format!("The last {failures} attempts to send {en_type} to this URL failed"),
        ),
    };
    Some(Message::from(both!(
        "{pt_which}; ao chegar a {threshold} falhas seguidas, o envio é bloqueado.",
        "{en_which}; at {threshold} failures in a row sending is blocked."
    )))
}

fn check_url() -> Message {
    text(
        "Verifique a URL e o servidor que responde por ela.",
        "Check the URL and the server that answers for it.",
    )
}

fn blocked(facts: &Facts<'_>, failures: u32, at: Timestamp, until: Timestamp) -> Message {
    let (pt_type, en_type) = type_names(facts.item_type);
    let (at, until) = (minute(at), minute(until));
    let (pt_times, en_times) = match failures {
        1 => ("1 vez".to_owned(), "once".to_owned()),
        _ => (format!("{failures} vezes seguidas"), format!("{failures} times in a row")),
    };
    Message::from(both!(
        "O envio de {pt_type} para esta URL está bloqueado desde {at} até {until} (UTC), porque ela falhou \
         {pt_times}.",
        "Sending {en_type} to this URL is blocked from {at} until {until} (UTC), because it failed {en_times}."
    ))
}

fn others(facts: &Facts<'_>) -> Option<Message> {
    let blocked = (!facts.also_blocked.is_empty()).then(|| {
        let (portuguese, english) = listed(facts.also_blocked);
        Message::from(both!(
            "O envio de {portuguese} também está bloqueado.",
            "Sending {english} is blocked, too."
        ))
    });
    let going_on = (!facts.going_on.is_empty()).then(|| {
        let (portuguese, english) = listed(facts.going_on);
        Message::from(both!("O envio de {portuguese} continua.", "Sending {english} goes on."))
    });
    (blocked.is_some() || going_on.is_some()).then(|| joined([blocked, going_on]))
}

/// What becomes of items during a block.
fn during_block(facts: &Facts<'_>, until: Timestamp) -> Message {
    let end = minute(until);
    match (facts.while_blocked, facts.held) {
        (Some(WhileBlocked::Discard), held) => joined([
            Some(discarding(facts.discarded)),
            held.and_then(|held| held_while_discarding(held, until)),
        ]),
        (Some(WhileBlocked::Hold), Some(held)) => {
            joined([Some(held_until_end(held, until)), earlier_discarded(facts.discarded)])
        }
        (Some(WhileBlocked::Hold), None) => joined([
            Some(Message::from(both!(
                "O que chega é guardado e será entregue, em ordem de chegada, a partir de {end} (UTC).",
                "What comes is held and will be sent, in the order of its arrival, from {end} (UTC) on."
            ))),
            earlier_discarded(facts.discarded),
        ]),
        (None, _) => text(
            "O que chega enquanto isso é guardado ou descartado, como o webhook define.",
            "What comes meanwhile is held or dropped, as the webhook says.",
        ),
    }
}

fn discarding(discarded: u64) -> Message {
    let (pt_count, en_count) = match discarded {
        0 => ("nenhum item até agora".to_owned(), "no item so far".to_owned()),
        1 => ("1 item até agora".to_owned(), "1 item so far".to_owned()),
        items => (format!("{items} itens até agora"), format!("{items} items so far")),
    };
    Message::from(both!(
        "O que chega durante o bloqueio é descartado, como este webhook define: {pt_count}.",
        "What comes during the block is dropped, as this webhook says: {en_count}."
    ))
}

/// Items that were dropped before the webhook was set to hold them.
fn earlier_discarded(discarded: u64) -> Option<Message> {
    match discarded {
        0 => None,
        1 => Some(text(
            "Antes disso, 1 item foi descartado neste bloqueio.",
            "Before, 1 item was dropped during this block.",
        )),
        items => Some(Message::from(both!(
            "Antes disso, {items} itens foram descartados neste bloqueio.",
            "Before, {items} items were dropped during this block."
        ))),
    }
}

/// Items that were held before the block, or before the webhook was set to drop them.
fn held_while_discarding(held: HeldItems, until: Timestamp) -> Option<Message> {
    let some_are_dropped = held.retry_due_at.is_some_and(|due| due < until);
    let end = minute(until);
    match (held.items, held.more, some_are_dropped) {
        (0, ..) => None,
        (1, false, true) => Some(text(
            "1 item já estava guardado; se a nova tentativa dele cair antes do fim do bloqueio, ele também será \
             descartado.",
            "1 item was held before; if its next attempt falls before the end of the block, it will be dropped, too.",
        )),
        (items, more, true) => Some(pair(
            format!(
                "{} de antes do bloqueio; os que tiverem nova tentativa antes do fim dele também serão descartados.",
                pt_items(items, more)
            ),
            format!(
                "{} are from before the block; those with a next attempt before its end will be dropped, too.",
                en_items(items, more)
            ),
        )),
        (1, false, false) => Some(Message::from(both!(
            "1 item já estava guardado; será entregue a partir de {end} (UTC).",
            "1 item was held before; it will be sent from {end} (UTC) on."
        ))),
        (items, more, false) => Some(pair(
            format!(
                "{} de antes do bloqueio; serão entregues, em ordem de chegada, a partir de {end} (UTC).",
                pt_items(items, more)
            ),
            format!(
                "{} are from before the block; they will be sent, in the order of their arrival, from {end} (UTC) on.",
                en_items(items, more)
            ),
        )),
    }
}

/// Items that are held until the end of a block, or until their next attempt where that is later.
fn held_until_end(held: HeldItems, until: Timestamp) -> Message {
    let end = minute(until);
    let later = held.retry_due_at.filter(|due| held.retries > 0 && *due > until);
    let waiting = held.items.saturating_sub(later.map_or(0, |_| held.retries));
    let first = match (waiting, held.more, later) {
        // All that is held waits for attempts of its own.
        (0, false, Some(_)) => None,
        (0, false, None) => Some(Message::from(both!(
            "Nenhum item guardado até agora; o que chegar será guardado e entregue, em ordem de chegada, a partir \
             de {end} (UTC).",
            "No item is held so far; what comes will be held and sent, in the order of its arrival, from {end} \
             (UTC) on."
        ))),
        (1, false, _) => Some(Message::from(both!(
            "1 item guardado; será entregue a partir de {end} (UTC).",
            "1 held item; it will be sent from {end} (UTC) on."
        ))),
        (items, more, _) => Some(pair(
            format!(
                "{}; serão entregues, em ordem de chegada, a partir de {end} (UTC).",
                pt_items(items, more)
            ),
            format!(
                "{}; they will be sent, in the order of their arrival, from {end} (UTC) on.",
                en_items(items, more)
            ),
        )),
    };
    let retried = later.map(|due| match held.retries {
        1 => pair(
            format!("1 item guardado tem nova tentativa marcada para {} (UTC).", minute(due)),
            format!("1 held item has its next attempt at {} (UTC).", minute(due)),
        ),
        retries => pair(
            format!(
                "{} têm novas tentativas marcadas, a primeira para {} (UTC).",
                pt_items(retries, false),
                minute(due)
            ),
            format!(
                "{} have their next attempts, the first at {} (UTC).",
                en_items(retries, false),
                minute(due)
            ),
        ),
    });
    joined([first, retried])
}

fn ways_out_of_block() -> Message {
    text(
        "Corrija a URL, e o envio recomeça na hora; se ela voltou a funcionar sem mudança, use Desbloquear.",
        "Mend the URL, and sending begins again at once; where it works again unchanged, use Unblock.",
    )
}

fn disabled(by: DisabledBy, since: Option<Timestamp>) -> Message {
    let pt_since = since.map(|since| format!(" desde {} (UTC)", minute(since))).unwrap_or_default();
    let en_since = since.map(|since| format!(" since {} (UTC)", minute(since))).unwrap_or_default();
    let en_is = if since.is_some() { "has been" } else { "is" };
    match by {
        DisabledBy::Owner => Message::from(both!(
            "Este webhook está desabilitado pelo dono{pt_since}: nada é enviado.",
            "This webhook {en_is} disabled by its owner{en_since}: nothing is sent."
        )),
        DisabledBy::Gone => Message::from(both!(
            "Este webhook está desabilitado{pt_since}, porque a URL respondeu com o status 410, que diz que ela \
             não existe mais: nada é enviado.",
            "This webhook {en_is} disabled{en_since}, because the URL answered with status 410, which says that it is \
             gone for good: nothing is sent."
        )),
    }
}

/// What becomes of items while their webhook is disabled.
fn until_enabled(held: Option<HeldItems>) -> Message {
    match held.map(|held| (held.items, held.more)) {
        None => text(
            "O que chega é guardado e será entregue, em ordem de chegada, quando o webhook for habilitado.",
            "What comes is held and will be sent, in the order of its arrival, when the webhook is enabled.",
        ),
        Some((0, false)) => text(
            "Nenhum item guardado até agora; o que chegar será guardado e entregue, em ordem de chegada, quando o \
             webhook for habilitado.",
            "No item is held so far; what comes will be held and sent, in the order of its arrival, when the webhook \
             is enabled.",
        ),
        Some((1, false)) => text(
            "1 item guardado; será entregue quando o webhook for habilitado.",
            "1 held item; it will be sent when the webhook is enabled.",
        ),
        Some((items, more)) => pair(
            format!(
                "{}; serão entregues, em ordem de chegada, quando o webhook for habilitado.",
                pt_items(items, more)
            ),
            format!(
                "{}; they will be sent, in the order of their arrival, when the webhook is enabled.",
                en_items(items, more)
            ),
        ),
    }
}

fn ways_to_enable(by: DisabledBy) -> Message {
    match by {
        DisabledBy::Owner => text("Para retomar o envio, use Habilitar.", "To send again, use Enable."),
        DisabledBy::Gone => text(
            "Corrija a URL e use Habilitar; se ela voltou a existir sem mudança, basta Habilitar.",
            "Mend the URL and use Enable; where it exists again unchanged, Enable is enough.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::FailureKind;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}:00Z").parse().unwrap()
    }

    fn last_error() -> LastError {
        LastError { error: FailureKind::Status, status: Some(503), at: at("12:05"), cause: None }
    }

    const BLOCK: fn() -> Plight = || Plight::Blocked { failures: 1000, at: at("12:05"), until: at("16:05") };

    /// Facts of contacts, with nothing but the plight.
    fn facts(plight: Plight, last_error: Option<&LastError>) -> Facts<'_> {
        Facts {
            item_type: &ItemType::CONTACT,
            plight,
            going_on: &[],
            also_blocked: &[],
            held: Some(HeldItems::default()),
            while_blocked: Some(WhileBlocked::Hold),
            discarded: 0,
            last_error,
        }
    }

    fn held(items: u64) -> Option<HeldItems> {
        Some(HeldItems { items, ..HeldItems::default() })
    }

    fn retried(items: u64, retries: u64, due: &str) -> Option<HeldItems> {
        Some(HeldItems { items, retries, retry_due_at: Some(at(due)), more: false })
    }

    const BLOCKED_PT: &str = "O envio de contatos para esta URL está bloqueado desde 2026-11-21 12:05 até 2026-11-21 \
                              16:05 (UTC), porque ela falhou 1000 vezes seguidas.";
    const WAYS_PT: &str =
        "Corrija a URL, e o envio recomeça na hora; se ela voltou a funcionar sem mudança, use Desbloquear.";
    const BLOCKED_EN: &str = "Sending contacts to this URL is blocked from 2026-11-21 12:05 until 2026-11-21 16:05 \
                              (UTC), because it failed 1000 times in a row.";
    const WAYS_EN: &str =
        "Mend the URL, and sending begins again at once; where it works again unchanged, use Unblock.";

    /// Asserts what a block tells between its first sentence and the ways out.
    fn tells(facts: &Facts<'_>, portuguese: &str, english: &str) {
        let told = message(facts).unwrap();
        assert_eq!(told.portuguese, format!("{BLOCKED_PT} {portuguese} {WAYS_PT}"));
        assert_eq!(told.english, format!("{BLOCKED_EN} {english} {WAYS_EN}"));
    }

    #[test]
    fn a_block_says_what_becomes_of_the_items_by_their_number() {
        for (held, portuguese, english) in [
            (
                held(0),
                "Nenhum item guardado até agora; o que chegar será guardado e entregue, em ordem de chegada, a partir \
                 de 2026-11-21 16:05 (UTC).",
                "No item is held so far; what comes will be held and sent, in the order of its arrival, from \
                 2026-11-21 16:05 (UTC) on.",
            ),
            (
                held(1),
                "1 item guardado; será entregue a partir de 2026-11-21 16:05 (UTC).",
                "1 held item; it will be sent from 2026-11-21 16:05 (UTC) on.",
            ),
            (
                held(312),
                "312 itens guardados; serão entregues, em ordem de chegada, a partir de 2026-11-21 16:05 (UTC).",
                "312 held items; they will be sent, in the order of their arrival, from 2026-11-21 16:05 (UTC) on.",
            ),
            (
                Some(HeldItems { items: 1000, more: true, ..HeldItems::default() }),
                "Mais de 1000 itens guardados; serão entregues, em ordem de chegada, a partir de 2026-11-21 16:05 (UTC).",
                "More than 1000 held items; they will be sent, in the order of their arrival, from 2026-11-21 16:05 \
                 (UTC) on.",
            ),
            (
                None,
                "O que chega é guardado e será entregue, em ordem de chegada, a partir de 2026-11-21 16:05 (UTC).",
                "What comes is held and will be sent, in the order of its arrival, from 2026-11-21 16:05 (UTC) on.",
            ),
        ] {
            tells(&Facts { held, ..facts(BLOCK(), None) }, portuguese, english);
        }
    }

    #[test]
    fn a_retry_after_the_blocks_end_keeps_its_own_time() {
        let ends = "de 2026-11-21 16:05 (UTC).";
        for (held, portuguese) in [
            (
                retried(1, 1, "18:30"),
                "1 item guardado tem nova tentativa marcada para 2026-11-21 18:30 (UTC).".to_owned(),
            ),
            (
                retried(3, 1, "18:30"),
                format!(
                    "2 itens guardados; serão entregues, em ordem de chegada, a partir {ends} 1 item guardado tem nova \
                     tentativa marcada para 2026-11-21 18:30 (UTC)."
                ),
            ),
            (
                retried(3, 2, "18:30"),
                format!(
                    "1 item guardado; será entregue a partir {ends} 2 itens guardados têm novas tentativas marcadas, a \
                     primeira para 2026-11-21 18:30 (UTC)."
                ),
            ),
            // One that is due before is held over the end, and goes with the others.
            (
                retried(3, 2, "13:00"),
                format!("3 itens guardados; serão entregues, em ordem de chegada, a partir {ends}"),
            ),
        ] {
            let told = message(&Facts { held, ..facts(BLOCK(), None) }).unwrap();
            assert_eq!(told.portuguese, format!("{BLOCKED_PT} {portuguese} {WAYS_PT}"));
        }
    }

    #[test]
    fn what_is_said_of_other_types_is_true_of_them() {
        let (one, two) = ([ItemType::MESSAGE], [ItemType::MESSAGE, ItemType::NOTICE]);
        let three = [ItemType::MESSAGE, ItemType::EVENT, ItemType::PUBLICATION];
        for (going_on, also_blocked, portuguese, english) in [
            (&[][..], &[][..], "", ""),
            (&one, &[], "O envio de mensagens continua. ", "Sending messages goes on. "),
            (&two, &[], "O envio de mensagens e avisos continua. ", "Sending messages and notices goes on. "),
            (
                &three,
                &[],
                "O envio de mensagens, registros de eventos e publicações continua. ",
                "Sending messages, events and publications goes on. ",
            ),
            (&[], &one, "O envio de mensagens também está bloqueado. ", "Sending messages is blocked, too. "),
            (
                &one,
                &two[1..],
                "O envio de avisos também está bloqueado. O envio de mensagens continua. ",
                "Sending notices is blocked, too. Sending messages goes on. ",
            ),
        ] {
            let told =
                message(&Facts { going_on, also_blocked, held: held(1), ..facts(BLOCK(), None) }).unwrap();
            let pt_items = "1 item guardado; será entregue a partir de 2026-11-21 16:05 (UTC).";
            let en_items = "1 held item; it will be sent from 2026-11-21 16:05 (UTC) on.";
            assert_eq!(told.portuguese, format!("{BLOCKED_PT} {portuguese}{pt_items} {WAYS_PT}"));
            assert_eq!(told.english, format!("{BLOCKED_EN} {english}{en_items} {WAYS_EN}"));
        }
    }

    #[test]
    fn what_is_dropped_is_said_to_be_dropped_with_its_number() {
        let discards = |discarded, held| Facts {
            while_blocked: Some(WhileBlocked::Discard),
            discarded,
            held,
            ..facts(BLOCK(), None)
        };
        for (facts, portuguese, english) in [
            (discards(0, held(0)), ": nenhum item até agora.", ": no item so far."),
            (discards(1, held(0)), ": 1 item até agora.", ": 1 item so far."),
            (discards(87, None), ": 87 itens até agora.", ": 87 items so far."),
            (
                discards(87, held(1)),
                ": 87 itens até agora. 1 item já estava guardado; será entregue a partir de 2026-11-21 16:05 (UTC).",
                ": 87 items so far. 1 item was held before; it will be sent from 2026-11-21 16:05 (UTC) on.",
            ),
            (
                discards(87, retried(1, 1, "14:00")),
                ": 87 itens até agora. 1 item já estava guardado; se a nova tentativa dele cair antes do fim do \
                 bloqueio, ele também será descartado.",
                ": 87 items so far. 1 item was held before; if its next attempt falls before the end of the block, it \
                 will be dropped, too.",
            ),
            (
                discards(87, retried(4, 2, "14:00")),
                ": 87 itens até agora. 4 itens guardados de antes do bloqueio; os que tiverem nova tentativa antes do \
                 fim dele também serão descartados.",
                ": 87 items so far. 4 held items are from before the block; those with a next attempt before its end \
                 will be dropped, too.",
            ),
        ] {
            tells(
                &facts,
                &format!("O que chega durante o bloqueio é descartado, como este webhook define{portuguese}"),
                &format!("What comes during the block is dropped, as this webhook says{english}"),
            );
        }
        // A webhook that was set to hold during its block.
        let held_now = Facts { discarded: 5, held: held(2), ..facts(BLOCK(), None) };
        let told = message(&held_now).unwrap().portuguese;
        assert!(told.contains("Antes disso, 5 itens foram descartados neste bloqueio."), "{told}");
    }

    #[test]
    fn a_block_tells_its_last_failure_and_one_failure_alone() {
        let error = last_error();
        let told = message(&facts(BLOCK(), Some(&error))).unwrap();
        assert!(told.portuguese.contains(" Última falha: a URL respondeu com o status 503. "), "{told:?}");
        assert!(told.english.contains(" Last failure: the URL answered with status 503. "), "{told:?}");
        let once = Plight::Blocked { failures: 1, at: at("12:05"), until: at("16:05") };
        let told = message(&facts(once, None)).unwrap();
        assert!(
            told.portuguese.contains("porque ela falhou 1 vez.") && told.english.contains("failed once.")
        );
    }

    #[test]
    fn a_disabled_webhook_says_who_disabled_it_and_how_to_go_on() {
        let since = Some(at("12:05"));
        let owner = Plight::Disabled { by: DisabledBy::Owner, since };
        let told = message(&Facts { held: held(312), ..facts(owner, Some(&last_error())) }).unwrap();
        assert_eq!(
            told.portuguese,
            "Este webhook está desabilitado pelo dono desde 2026-11-21 12:05 (UTC): nada é enviado. 312 itens \
             guardados; serão entregues, em ordem de chegada, quando o webhook for habilitado. Para retomar o envio, \
             use Habilitar."
        );
        assert_eq!(
            told.english,
            "This webhook has been disabled by its owner since 2026-11-21 12:05 (UTC): nothing is sent. 312 held items; \
             they will be sent, in the order of their arrival, when the webhook is enabled. To send again, use Enable."
        );
        let gone = Plight::Disabled { by: DisabledBy::Gone, since: None };
        let told = message(&Facts { held: held(1), ..facts(gone, None) }).unwrap();
        assert_eq!(
            told.portuguese,
            "Este webhook está desabilitado, porque a URL respondeu com o status 410, que diz que ela não existe \
             mais: nada é enviado. 1 item guardado; será entregue quando o webhook for habilitado. Corrija a URL e \
             use Habilitar; se ela voltou a existir sem mudança, basta Habilitar."
        );
        for counted in [None, held(0)] {
            let told = message(&Facts { held: counted, ..facts(gone, None) }).unwrap();
            assert!(told.portuguese.contains("quando o webhook for habilitado."), "{told:?}");
            assert!(told.english.contains("when the webhook is enabled."), "{told:?}");
        }
    }

    #[test]
    fn failures_say_when_they_block() {
        let error = last_error();
        let told = |failures| {
            let failing = Plight::Failing { failures, threshold: 1000 };
            message(&Facts { held: retried(2, 2, "14:00"), ..facts(failing, Some(&error)) }).unwrap()
        };
        assert_eq!(
            told(37).portuguese,
            "As últimas 37 tentativas de enviar contatos para esta URL falharam; ao chegar a 1000 falhas seguidas, o \
             envio é bloqueado. Última falha: a URL respondeu com o status 503. 2 itens guardados esperam nova \
             tentativa, a primeira marcada para 2026-11-21 14:00 (UTC). Verifique a URL e o servidor que responde por \
             ela."
        );
        assert!(
            told(1).portuguese.starts_with("A última tentativa de enviar contatos para esta URL falhou; ")
        );
        assert!(
            told(1).english.starts_with("The last attempt to send contacts to this URL failed; at 1000 ")
        );
    }

    #[test]
    fn an_open_type_has_no_message_and_tells_what_is_held() {
        let open = |held| Facts { held, ..facts(Plight::Open, None) };
        assert_eq!(message(&open(held(3))), None);
        assert_eq!(held_message(&open(held(0))), None);
        assert_eq!(held_message(&open(None)), None);
        for (held, portuguese) in [
            (held(1), "1 item guardado está sendo entregue."),
            (held(3), "3 itens guardados estão sendo entregues, em ordem de chegada."),
            (
                retried(1, 1, "14:00"),
                "1 item guardado espera nova tentativa, marcada para 2026-11-21 14:00 (UTC).",
            ),
            (
                retried(3, 2, "14:00"),
                "1 item guardado está sendo entregue. 2 itens guardados esperam nova tentativa, a primeira marcada \
                 para 2026-11-21 14:00 (UTC).",
            ),
            (
                Some(HeldItems { items: 1000, more: true, ..HeldItems::default() }),
                "Mais de 1000 itens guardados estão sendo entregues, em ordem de chegada.",
            ),
        ] {
            assert_eq!(held_message(&open(held)).unwrap().portuguese, portuguese);
        }
        let told = not_taken_message(&ItemType::CONTACT, held(2).unwrap()).unwrap();
        assert_eq!(
            told.portuguese,
            "Este webhook não recebe mais contatos: 2 itens guardados não serão entregues."
        );
        assert_eq!(not_taken_message(&ItemType::CONTACT, HeldItems::default()), None);
    }

    #[test]
    fn a_disabled_webhook_is_disabled_whatever_its_streaks_say() {
        let block = Phase::Blocked { at: at("12:05"), until: at("16:05") };
        let failing = Phase::Failing { streak: "s".to_owned(), failures: 2000, timeouts_only: false };
        let gone = Some((DisabledBy::Gone, None));
        for (phase, disabled, situation, state) in [
            (&Phase::Open, None, Situation::Open, WebhookState::Open),
            (&failing, None, Situation::Failing, WebhookState::Failing),
            (&block, None, Situation::Blocked, WebhookState::Blocked),
            (&block, gone, Situation::DisabledByGone, WebhookState::Disabled),
            (&failing, Some((DisabledBy::Owner, None)), Situation::DisabledByOwner, WebhookState::Disabled),
        ] {
            let plight = Plight::of(phase, 1000, disabled);
            assert_eq!((plight.situation(), plight.state()), (situation, state));
        }
        assert_eq!(Plight::of(&failing, 1000, None), Plight::Failing { failures: 999, threshold: 1000 });
    }

    #[test]
    fn the_worst_type_is_blocked_or_failed_most() {
        let block = |until| Plight::Blocked { failures: 3, at: at("12:05"), until: at(until) };
        let failing = |failures| Plight::Failing { failures, threshold: 1000 };
        let mut all = [Plight::Open, failing(3), block("16:05"), failing(40), block("17:05")];
        all.sort_by_key(|plight| plight.order());
        assert_eq!(all, [block("17:05"), block("16:05"), failing(40), failing(3), Plight::Open]);
        let names = WebhookState::ALL.map(WebhookState::as_str);
        assert_eq!(serde_json::to_value(WebhookState::ALL).unwrap(), serde_json::json!(names));
        assert!(WebhookState::ALL.is_sorted());
    }
}
