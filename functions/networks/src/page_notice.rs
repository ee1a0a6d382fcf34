//! Notices about pages: their tokens, and their silence; and what people read of a token's state, in Portuguese and
//! English.
//!
//! | `type` | when | `data`, beside `page`, `network`, `network_id`, `name`, `token`, `occurred_at`, `message` |
//! |---|---|---|
//! | `page.token_expiring` | 30, 15, 7 days and 1 day before the token's end | `days_left` |
//! | `page.token_expired` | its time is over | |
//! | `page.token_revoked` | the network refuses it, or it is somebody else's | |
//! | `page.permission_revoked` | a permission was taken back, or is missing | `permission`, where it is known |
//! | `page.silent` | nothing came for much longer than is usual of the page | `since`, `usual_hours` |
//!
//! There is one id for each silence, and else for each (page, kind, access token, how often that recovered), however it
//! was found out. Nothing of a token, and no message of a network's, is in a notice: networks quote tokens in theirs.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::page::{Page, TokenCause, TokenState};
use crate::silence::Silence;
use carteiro_core::both;
use carteiro_core::id::ItemId;
use carteiro_core::message::{Message, minute};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token's end is near.
    Expiring {
        /// How many days before the end the warning is due.
        days: u8,
        /// The end.
        end: Timestamp,
        /// What ends: [`TokenCause::Consent`], or the token.
        cause: TokenCause,
    },
    /// Its time is over.
    Expired,
    /// It is refused for good.
    Revoked,
    /// A permission is missing.
    Narrowed,
}

impl Kind {
    /// The notice's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expiring { .. } => "page.token_expiring",
            Self::Expired => "page.token_expired",
            Self::Revoked => "page.token_revoked",
            Self::Narrowed => "page.permission_revoked",
        }
    }
}

/// The times of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeTimes {
    /// When what is told was so.
    pub occurred_at: Timestamp,
    /// The notice's own time.
    pub timestamp: Timestamp,
}

/// A notice about a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageNotice {
    /// What receivers see as `webhook-id`.
    pub id: ItemId,
    /// Its `type`.
    pub kind: &'static str,
    /// Its bytes, in the form of Standard Webhooks: `type`, `timestamp`, `data`.
    pub body: Vec<u8>,
}

/// The notice of a page that is in its state already.
#[must_use]
pub fn notice(page: &Page, kind: Kind, told: &NoticeTimes) -> PageNotice {
    let mut data = data(page, &text(page, kind, told.timestamp), told);
    if let Kind::Expiring { end, .. } = kind {
        data["days_left"] = json!(days_left(end, told.timestamp));
    }
    if let (Kind::Narrowed, Some(permission)) = (kind, &page.token.permission) {
        data["permission"] = json!(permission);
    }
    let body = json!({"type": kind.as_str(), "timestamp": told.timestamp, "data": data});
    PageNotice { id: id(page, kind), kind: kind.as_str(), body: body.to_string().into_bytes() }
}

/// The notice of a page that is silent.
#[must_use]
pub fn silent(page: &Page, silence: &Silence, told: &NoticeTimes) -> PageNotice {
    const KIND: &str = "page.silent";
    let mut data = data(page, &silence_text(page, silence), told);
    data["since"] = json!(silence.since);
    data["usual_hours"] = json!(silence.usual_hours);
    let body = json!({"type": KIND, "timestamp": told.timestamp, "data": data});
    let since = silence.since.to_string();
    let parts = ["carteiro page notice 2", page.id.as_str(), KIND, since.as_str()];
    let id = ItemId::of_parts(parts.map(str::as_bytes));
    PageNotice { id, kind: KIND, body: body.to_string().into_bytes() }
}

fn data(page: &Page, message: &Message, told: &NoticeTimes) -> Value {
    json!({
        "page": page.id,
        "network": page.network,
        "network_id": page.network_id,
        "name": page.name,
        "token": {"state": page.token.state, "expires_at": page.token.expires_at},
        "occurred_at": told.occurred_at,
        "message": message,
    })
}

fn id(page: &Page, kind: Kind) -> ItemId {
    let mut name = kind.as_str().to_owned();
    if let Kind::Expiring { days, .. } = kind {
        name.push_str(&format!("#{days}"));
    }
    if page.token.recoveries > 0 {
        name.push_str(&format!("+{}", page.token.recoveries));
    }
    let given_at = page.token_given_at().to_string();
    let parts = ["carteiro page notice 2", page.id.as_str(), name.as_str(), given_at.as_str()];
    ItemId::of_parts(parts.map(str::as_bytes))
}

/// Whole days until an end, begun ones counted: 6 days and 23 hours are 7.
#[must_use]
pub fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    let seconds = end.as_second().saturating_sub(now.as_second()).max(0);
    seconds.div_euclid(86_400) + i64::from(seconds.rem_euclid(86_400) > 0)
}

/// What a page's owner reads of its token: what is wrong, and what to do, or that the network was not asked yet. None
/// where nothing is wrong.
#[must_use]
pub fn message(page: &Page, now: Timestamp) -> Option<Message> {
    let token = &page.token;
    let kind = match token.state {
        TokenState::Ok => return None,
        TokenState::Unknown => return Some(unchecked(page)),
        TokenState::Expired => Kind::Expired,
        TokenState::Revoked => Kind::Revoked,
        TokenState::Narrowed => Kind::Narrowed,
        TokenState::Expiring => {
            let consent = token.consent_ends_at.filter(|_| token.cause == Some(TokenCause::Consent));
            let end = consent.or(token.expires_at)?;
            Kind::Expiring { days: 0, end, cause: token.cause.unwrap_or(TokenCause::Time) }
        }
    };
    Some(text(page, kind, now))
}

/// That a token was received, and neither taken nor refused yet.
fn unchecked(page: &Page) -> Message {
    let network = page.network.spec().title;
    Message::from(both!(
        "Token recebido; verificando… O {network} ainda não o aceitou nem recusou.",
        "Token received; checking… {network} has neither taken nor refused it yet."
    ))
}

fn text(page: &Page, kind: Kind, now: Timestamp) -> Message {
    let (name, network) = (&page.name, page.network.spec().title);
    let (portuguese, english) = match kind {
        Kind::Expiring { end, cause, .. } => expiring(page, end, cause, now),
        Kind::Expired => expired(page),
        Kind::Revoked => revoked(page),
        Kind::Narrowed => {
            let (pt_which, en_which) = page.token.permission.as_ref().map_or_else(
                || ("uma permissão".to_owned(), "a permission".to_owned()),
                |which| both!("a permissão {which}", "the permission {which}"),
            );
            both!(
                "Falta ao token da página \"{name}\" {pt_which} no {network}. O que não depende dela continua \
                 sendo coletado. Autorize o aplicativo novamente, com todas as permissões, e informe o novo token.",
                "The token of the page \"{name}\" lacks {en_which} on {network}. What does not need it is still \
                 collected. Authorise the app again, with all permissions, and give the new token."
            )
        }
    };
    Message { portuguese, english }
}

fn expiring(page: &Page, end: Timestamp, cause: TokenCause, now: Timestamp) -> (String, String) {
    let (name, network, at) = (&page.name, page.network.spec().title, minute(end));
    let days = days_left(end, now);
    let (pt_days, en_days) = match days {
        1 => ("em 1 dia".to_owned(), "in 1 day".to_owned()),
        days => both!("em {days} dias", "in {days} days"),
    };
    if cause == TokenCause::Consent {
        return both!(
            "A autorização dada no {network} para a página \"{name}\" termina {pt_days}, em {at} (UTC). Autorize o \
             aplicativo novamente antes disso e informe o novo token, para que a coleta não pare.",
            "The consent given on {network} for the page \"{name}\" ends {en_days}, at {at} (UTC). Authorise the \
             app again before that and give the new token, so that collection does not stop."
        );
    }
    both!(
        "O token da página \"{name}\" ({network}) vence {pt_days}, em {at} (UTC). Gere um novo token antes disso e \
         informe-o nesta página, para que a coleta não pare.",
        "The token of the page \"{name}\" ({network}) ends {en_days}, at {at} (UTC). Make a new one before that \
         and give it to this page, so that collection does not stop."
    )
}

fn silence_text(page: &Page, silence: &Silence) -> Message {
    let (name, network, since) = (&page.name, page.network.spec().title, minute(silence.since));
    let hours = silence.usual_hours;
    Message::from(both!(
        "Nada da página \"{name}\" ({network}) chegou desde {since} (UTC); nas semanas anteriores, o maior \
         intervalo foi de {hours} h. O {network} não avisa quando uma permissão ou a inscrição para receber \
         avisos se perde. Verifique se há movimento na página; se houver, confira as permissões do aplicativo e a \
         inscrição, e autorize-o novamente se preciso.",
        "Nothing of the page \"{name}\" ({network}) came since {since} (UTC); in the weeks before, the longest \
         interval was {hours} h. {network} does not say when a permission or the subscription to pushes is lost. \
         See whether anything happens on the page; if so, check the app's permissions and the subscription, and \
         authorise it again where needed."
    ))
}

fn expired(page: &Page) -> (String, String) {
    let (name, network) = (&page.name, page.network.spec().title);
    if page.token.cause == Some(TokenCause::Consent) {
        return both!(
            "A autorização dada no {network} para a página \"{name}\" terminou, e a coleta dela está parada. \
             Autorize o aplicativo novamente e informe o novo token.",
            "The consent given on {network} for the page \"{name}\" is over, and its collection has stopped. \
             Authorise the app again and give the new token."
        );
    }
    both!(
        "O token da página \"{name}\" ({network}) venceu, e a coleta dela está parada. Gere um novo token e \
         informe-o nesta página.",
        "The token of the page \"{name}\" ({network}) has ended, and its collection has stopped. Make a new one \
         and give it to this page."
    )
}

fn revoked(page: &Page) -> (String, String) {
    let (name, network) = (&page.name, page.network.spec().title);
    let (pt_what, en_what) = match page.token.cause {
        Some(TokenCause::NotThePages) => both!(
            "O token informado para a página \"{name}\" pertence, no {network}, a outra página ou pessoa",
            "The token given for the page \"{name}\" belongs, on {network}, to another page or person"
        ),
        Some(TokenCause::RenewalRefused | TokenCause::RenewalLost) => both!(
            "O {network} recusou renovar o token da página \"{name}\"",
            "{network} refused to renew the token of the page \"{name}\""
        ),
        Some(TokenCause::TakenBack) => both!(
            "O acesso à página \"{name}\" foi revogado no {network}",
            "Access to the page \"{name}\" was taken back on {network}"
        ),
        _ => both!(
            "O {network} recusa o token da página \"{name}\"",
            "{network} refuses the token of the page \"{name}\""
        ),
    };
    both!(
        "{pt_what}, e a coleta dela está parada. Autorize o aplicativo novamente, com a conta que administra a \
         página, e informe o novo token.",
        "{en_what}, and its collection has stopped. Authorise the app again, with the account that manages the \
         page, and give the new token."
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::page::NewPage;
    use carteiro_core::id::{AccountId, PageId};

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn page(state: TokenState, cause: TokenCause) -> Page {
        let given =
            json!({"network": "instagram", "network_id": "1", "name": "Loja", "access_token": "planted"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        let mut page = new.create(PageId::from_bits(1), AccountId::from_bits(2), at(0)).0;
        page.token.state = state;
        page.token.cause = Some(cause);
        page.token.expires_at = Some(at(9));
        page.token.consent_ends_at = Some(at(10));
        page
    }

    #[test]
    fn each_trouble_has_words_of_its_own_in_both_languages() {
        let mut told = BTreeSet::new();
        for (state, cause) in [
            (TokenState::Expiring, TokenCause::Time),
            (TokenState::Expiring, TokenCause::Consent),
            (TokenState::Expired, TokenCause::Time),
            (TokenState::Expired, TokenCause::Consent),
            (TokenState::Revoked, TokenCause::Refused),
            (TokenState::Revoked, TokenCause::TakenBack),
            (TokenState::Revoked, TokenCause::NotThePages),
            (TokenState::Revoked, TokenCause::RenewalRefused),
            (TokenState::Narrowed, TokenCause::Missing),
        ] {
            let Message { portuguese, english } = message(&page(state, cause), at(8)).unwrap();
            for (text, advice) in [(portuguese, "novo token"), (english, "new")] {
                assert!(text.contains("\"Loja\"") && text.contains("Instagram"), "{text}");
                assert!(text.contains(advice) && text.ends_with('.'), "{text}");
                assert!(told.insert(text.clone()), "twice: {text}");
                // The console shows these words, except where they name an instant: that it tells in its reader's zone.
                assert_eq!(text.contains("UTC"), state == TokenState::Expiring, "{text}");
            }
        }
        assert_eq!(message(&page(TokenState::Ok, TokenCause::Time), at(8)), None);
        let Message { portuguese, english } =
            message(&page(TokenState::Unknown, TokenCause::Time), at(8)).unwrap();
        assert_eq!(portuguese, "Token recebido; verificando… O Instagram ainda não o aceitou nem recusou.");
        assert_eq!(english, "Token received; checking… Instagram has neither taken nor refused it yet.");
    }

    #[test]
    fn a_day_that_has_begun_is_counted_as_left() {
        let seconds = |seconds| Timestamp::from_second(seconds).unwrap();
        for (left, days) in [(-5, 0), (0, 0), (1, 1), (86_400, 1), (86_401, 2), (7 * 86_400 - 1, 7)] {
            assert_eq!(days_left(seconds(left), seconds(0)), days, "{left}");
        }
    }

    #[test]
    fn a_notice_has_nothing_of_the_token() {
        let mut page = page(TokenState::Narrowed, TokenCause::Missing);
        page.token.permission = Some("r_organization_social".to_owned());
        let told = NoticeTimes { occurred_at: at(3), timestamp: at(4) };
        let made = notice(&page, Kind::Narrowed, &told);
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        assert_eq!(body["type"], "page.permission_revoked");
        assert_eq!((&body["timestamp"], &body["data"]["occurred_at"]), (&json!(at(4)), &json!(at(3))));
        assert_eq!(body["data"]["permission"], "r_organization_social");
        assert_eq!(body["data"]["token"]["state"], "narrowed");
        let portuguese = body["data"]["message"]["pt-BR"].as_str().unwrap();
        assert!(portuguese.contains("r_organization_social"), "{portuguese}");
        assert!(!body.to_string().contains("planted"));
    }

    #[test]
    fn a_silence_is_told_once_with_what_to_do() {
        let page = page(TokenState::Ok, TokenCause::Time);
        let made = |since, day| {
            let silence = Silence { since: at(since), usual_hours: 9 };
            silent(&page, &silence, &NoticeTimes { occurred_at: at(since), timestamp: at(day) })
        };
        assert_eq!(made(3, 5).id, made(3, 6).id);
        assert_ne!(made(3, 5).id, made(4, 6).id);
        let body: Value = serde_json::from_slice(&made(3, 5).body).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&json!("page.silent"), &json!(at(5))));
        let data = &body["data"];
        assert_eq!((&data["since"], &data["usual_hours"]), (&json!(at(3)), &json!(9)));
        for (language, advice) in [("pt-BR", "permissões"), ("en", "permissions")] {
            let text = data["message"][language].as_str().unwrap();
            assert!(text.contains(advice) && text.contains("\"Loja\"") && text.contains("9 h"), "{text}");
        }
        assert!(!body.to_string().contains("planted"));
    }

    #[test]
    fn a_notice_id_is_of_page_kind_token_and_recovery() {
        let told = NoticeTimes { occurred_at: at(3), timestamp: at(4) };
        let expiring = |days, end| Kind::Expiring { days, end: at(end), cause: TokenCause::Time };
        let kinds = [expiring(7, 9), expiring(1, 9), Kind::Expired, Kind::Revoked, Kind::Narrowed];
        let mut ids = Vec::new();
        let page = page(TokenState::Ok, TokenCause::Time);
        for kind in kinds {
            ids.push(notice(&page, kind, &told).id);
            let later = NoticeTimes { occurred_at: at(5), timestamp: at(6) };
            assert_eq!(notice(&page, kind, &later).id, *ids.last().unwrap());
        }
        assert_eq!(notice(&page, expiring(7, 10), &told).id, ids[0], "whatever end is named");
        let mut recovered = page.clone();
        recovered.token.recoveries = 1;
        let mut renewed = page.clone();
        renewed.token.given_at = Some(at(1));
        let other = Page { id: PageId::from_bits(9), ..page };
        for page in [recovered, renewed, other] {
            ids.extend(kinds.map(|kind| notice(&page, kind, &told).id));
        }
        let distinct: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), 20);
    }
}
