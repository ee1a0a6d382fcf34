//! What a webhook's owner reads below its URL while a type is blocked, in Portuguese and English.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::ItemType;
use crate::outcome::FailureKind;

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

/// What is remembered of the last failure of a streak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Its class.
    pub error: FailureKind,
    /// The response's status, where one arrived.
    pub status: Option<u16>,
    /// When it was.
    pub at: Timestamp,
}

/// What a block is told with.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// The type that is blocked.
    pub item_type: &'a ItemType,
    /// After how many failures in a row.
    pub failures: u32,
    /// Since when.
    pub at: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What failed last.
    pub last_error: Option<&'a LastError>,
}

/// Says that a type is blocked: why, since when, until when, what failed last, and what to do.
#[must_use]
pub fn blocked(block: &Block<'_>) -> Message {
    let (pt_type, en_type) = type_names(block.item_type);
    let (pt_error, en_error) = block.last_error.map_or_else(|| ("?".into(), "?".into()), error_names);
    let (failures, at, until) = (block.failures, minute(block.at), minute(block.until));
    Message {
        portuguese: format!(
            "O envio de {pt_type} para esta URL está bloqueado desde {at} até {until} (UTC), porque ela falhou \
             {failures} vezes consecutivas. Última falha: {pt_error}. Os demais tipos continuam sendo enviados. \
             Verifique a URL; ao alterá-la, o bloqueio termina imediatamente."
        ),
        english: format!(
            "Sending {en_type} to this URL is blocked from {at} until {until} (UTC), because it failed {failures} \
             times in a row. Last failure: {en_error}. Other types go on. Check the URL; changing it ends the block at \
             once."
        ),
    }
}

fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

fn type_names(item_type: &ItemType) -> (&str, &str) {
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

fn error_names(error: &LastError) -> (String, String) {
    let status = error.status.unwrap_or_default();
    let (portuguese, english) = match error.error {
        FailureKind::Status => {
            return (
                format!("a URL respondeu com o status {status}"),
                format!("the URL answered with status {status}"),
            );
        }
        FailureKind::Redirect => (
            "a URL redirecionou, e redirecionamentos não são seguidos",
            "the URL redirected, and redirects are not followed",
        ),
        FailureKind::Timeout => ("a URL não respondeu a tempo", "the URL did not answer in time"),
        FailureKind::Dns => ("o nome do servidor não foi encontrado", "the server's name was not found"),
        FailureKind::ForbiddenAddress => {
            ("o endereço do servidor não é público", "the server's address is not public")
        }
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
    };
    (portuguese.to_owned(), english.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_told_in_both_languages() {
        let last_error = LastError {
            error: FailureKind::Status,
            status: Some(503),
            at: "2026-11-21T12:00:00Z".parse().unwrap(),
        };
        let message = blocked(&Block {
            item_type: &ItemType::CONTACT,
            failures: 1000,
            at: "2026-11-21T12:00:00Z".parse().unwrap(),
            until: "2026-11-21T16:00:00Z".parse().unwrap(),
            last_error: Some(&last_error),
        });
        for part in ["contatos", "2026-11-21 12:00", "2026-11-21 16:00", "1000 vezes", "status 503"] {
            assert!(message.portuguese.contains(part), "{part}: {}", message.portuguese);
        }
        for part in ["contacts", "2026-11-21 12:00", "2026-11-21 16:00", "1000 times", "status 503"] {
            assert!(message.english.contains(part), "{part}: {}", message.english);
        }
        assert_eq!(serde_json::to_value(&message).unwrap().as_object().unwrap().len(), 2);
    }

    #[test]
    fn what_is_remembered_of_a_failure_is_read_back() {
        let text = r#"{"error":"forbidden_address","status":null,"at":"2026-11-21T12:00:00Z"}"#;
        let error: LastError = serde_json::from_str(text).unwrap();
        assert_eq!((error.error, error.status), (FailureKind::ForbiddenAddress, None));
        assert!(error_names(&error).0.contains("não é público"));
    }
}
