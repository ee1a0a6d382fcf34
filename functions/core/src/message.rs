//! Texts for a webhook's owner, in Portuguese and English: why an attempt failed. What is told of a webhook's states is
//! in [`situation`](crate::situation).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::{self, Cause};
use crate::item::ItemType;
use crate::outcome::{Failure, FailureKind};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Portuguese, as it is written in Brazil.
    #[serde(rename = "pt-BR")]
    pub portuguese: String,
    /// English.
    #[serde(rename = "en")]
    pub english: String,
}

impl From<(String, String)> for Message {
    fn from((portuguese, english): (String, String)) -> Self {
        Self { portuguese, english }
    }
}

/// A text in Portuguese and in English, each a format over what is in scope.
#[macro_export]
macro_rules! both {
    ($portuguese:literal, $english:literal $(,)?) => {
        (format!($portuguese), format!($english))
    };
}

/// The last failure of a streak, as its row remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Its class.
    pub error: FailureKind,
    /// The response's status, where one arrived.
    pub status: Option<u16>,
    /// When it was.
    #[serde(serialize_with = "crate::time::serialize")]
    pub at: Timestamp,
    /// Why it failed, where more is known than its class and status say.
    #[serde(default, deserialize_with = "cause::read", skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl LastError {
    /// A failure, as a streak remembers it.
    #[must_use]
    pub fn of(failure: &Failure, at: Timestamp) -> Self {
        Self { error: failure.kind, status: failure.status, at, cause: failure.cause.clone() }
    }

    /// The failure in words.
    #[must_use]
    pub fn message(&self) -> Message {
        because(self.error, self.status, self.cause.as_ref())
    }

    /// The failure as its webhook's owner sees it: with the words.
    #[must_use]
    pub fn told(&self) -> ToldError {
        ToldError { error: self.clone(), message: self.message() }
    }
}

/// The last failure as its webhook's owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToldError {
    /// The failure.
    #[serde(flatten)]
    pub error: LastError,
    /// The failure in words.
    pub message: Message,
}

/// A time to the minute, as people read it; of UTC.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// The name of a type in a sentence, in Portuguese and English.
pub(crate) fn type_names(item_type: &ItemType) -> (&str, &str) {
    match item_type.as_str() {
        "message" => ("mensagens", "messages"),
        "event" => ("registros de eventos", "events"),
        "contact" => ("contatos", "contacts"),
        "publication" => ("publicações", "publications"),
        "interaction" => ("interações", "interactions"),
        "notice" => ("avisos", "notices"),
        other => (other, other),
    }
}

/// Says why an attempt failed, as [`failure`] does, and more closely where its cause is known.
#[must_use]
pub fn because(kind: FailureKind, status: Option<u16>, cause: Option<&Cause>) -> Message {
    let Some(cause) = cause else { return failure(kind, status) };
    let (portuguese, english) = cause.code.sentences();
    let status = status.map(|status| format!(" (status {status})")).unwrap_or_default();
    let detail = cause.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    Message {
        portuguese: format!("{portuguese}{status}{detail}"),
        english: format!("{english}{status}{detail}"),
    }
}

/// Says why an attempt failed, as part of a sentence: it begins with a small letter and has no full stop. `status` is
/// that of the response, where one arrived; also of one that broke off.
#[must_use]
pub fn failure(kind: FailureKind, status: Option<u16>) -> Message {
    let (portuguese, english) = match (kind, status) {
        (FailureKind::Status, Some(410)) => (
            "a URL respondeu com o status 410, que diz que ela não existe mais".to_owned(),
            "the URL answered with status 410, which says that it is gone for good".to_owned(),
        ),
        // Some hosts answer 508 where a site has used up its resources.
        (FailureKind::Status, Some(508)) => (
            "a URL respondeu com o status 508; se ela leva de volta a um Carteiro, o item já passou por ele vezes \
             demais e não é aceito de novo"
                .to_owned(),
            "the URL answered with status 508; if it leads back to a Carteiro, the item has passed through it too often \
             and is not taken again"
                .to_owned(),
        ),
        (FailureKind::Status, Some(status)) => (
            format!("a URL respondeu com o status {status}"),
            format!("the URL answered with status {status}"),
        ),
        (FailureKind::Redirect, Some(status)) => (
            format!("a URL redirecionou (status {status}), e redirecionamentos não são seguidos"),
            format!("the URL redirected (status {status}), and redirects are not followed"),
        ),
        (FailureKind::Timeout, Some(status)) => (
            format!("a URL respondeu com o status {status}, mas a resposta não terminou a tempo"),
            format!("the URL answered with status {status}, but the response did not end in time"),
        ),
        (FailureKind::Protocol, Some(status)) => (
            format!("a resposta, com o status {status}, foi interrompida antes do fim"),
            format!("the response, with status {status}, broke off before its end"),
        ),
        (kind, _) => {
            let (portuguese, english) = without_status(kind);
            (portuguese.to_owned(), english.to_owned())
        }
    };
    Message { portuguese, english }
}

fn without_status(kind: FailureKind) -> (&'static str, &'static str) {
    match kind {
        FailureKind::Status => {
            ("a URL respondeu com um status que não é 2xx", "the URL answered with a status that is not 2xx")
        }
        FailureKind::Redirect => (
            "a URL redirecionou, e redirecionamentos não são seguidos",
            "the URL redirected, and redirects are not followed",
        ),
        FailureKind::Timeout => {
            ("a URL não respondeu por inteiro a tempo", "the URL did not answer in full in time")
        }
        FailureKind::Dns => ("o nome do servidor não foi encontrado", "the server's name was not found"),
        FailureKind::ForbiddenAddress => {
            ("o endereço do servidor não é público", "the server's address is not public")
        }
        FailureKind::OwnAddress => (
            "a URL leva a este próprio Carteiro, e as entregas voltariam a entrar",
            "the URL leads to this Carteiro itself, and deliveries would come in again",
        ),
        FailureKind::Connect => {
            ("não foi possível conectar ao servidor", "no connection to the server could be made")
        }
        FailureKind::Tls => (
            "a conexão segura falhou (TLS ou certificado)",
            "the secure connection failed (TLS or certificate)",
        ),
        FailureKind::Protocol => (
            "a conexão foi interrompida ou a resposta não é HTTP",
            "the connection broke or the response was not HTTP",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_type_has_a_name_in_sentences() {
        for item_type in ItemType::KNOWN {
            let (portuguese, english) = type_names(&item_type);
            assert!(portuguese != item_type.as_str() && english.ends_with('s'), "{item_type}: {english}");
        }
    }

    #[test]
    fn what_is_remembered_of_a_failure_is_read_back() {
        let text = r#"{"error":"forbidden_address","status":null,"at":"2026-11-21T12:00:00Z"}"#;
        let error: LastError = serde_json::from_str(text).unwrap();
        assert_eq!((error.error, error.status), (FailureKind::ForbiddenAddress, None));
        assert!(failure(error.error, error.status).portuguese.contains("não é público"));
    }

    #[test]
    fn a_cause_is_worded_with_its_status_and_detail() {
        let text = r#"{"error":"redirect","status":302,"at":"2026-11-21T12:00:00Z",
            "cause":{"code":"redirected","detail":"https://b.example/new"}}"#;
        let error: LastError = serde_json::from_str(text).unwrap();
        let message = error.message();
        assert!(
            message.english.ends_with("are not followed (status 302): https://b.example/new"),
            "{message:?}"
        );
        assert!(message.portuguese.ends_with("não são seguidos (status 302): https://b.example/new"));
        let told = serde_json::to_value(error.told()).unwrap();
        assert_eq!((&told["message"]["en"], &told["status"]), (&message.english.clone().into(), &302.into()));
        let newer: LastError = serde_json::from_str(&text.replace("redirected", "of_a_newer_build")).unwrap();
        assert_eq!((newer.cause, newer.status), (None, Some(302)));
    }

    #[test]
    fn every_class_of_failure_has_its_own_words_in_both_languages() {
        let mut told = std::collections::BTreeSet::new();
        for kind in FailureKind::ALL {
            let Message { portuguese, english } = failure(kind, None);
            for text in [portuguese, english] {
                assert!(text.chars().count() > 20 && !text.ends_with('.'), "{text}");
                assert!(text.starts_with(char::is_lowercase), "{text}");
                assert!(told.insert(text.clone()), "twice: {text}");
            }
        }
        assert_eq!(told.len(), 2 * FailureKind::ALL.len());
    }

    #[test]
    fn a_status_that_arrived_is_told_where_it_says_something() {
        for (kind, status) in [
            (FailureKind::Status, 404),
            (FailureKind::Redirect, 302),
            (FailureKind::Protocol, 200),
            (FailureKind::Timeout, 200),
        ] {
            let Message { portuguese, english } = failure(kind, Some(status));
            let status = format!("status {status}");
            assert!(portuguese.contains(&status) && english.contains(&status), "{portuguese}; {english}");
        }
        assert!(failure(FailureKind::Status, Some(410)).english.contains("gone for good"));
        let loops = failure(FailureKind::Status, Some(508));
        assert!(loops.portuguese.contains("508") && loops.portuguese.contains("vezes demais"), "{loops:?}");
        assert!(loops.english.contains("508") && loops.english.contains("too often"), "{loops:?}");
    }
}
