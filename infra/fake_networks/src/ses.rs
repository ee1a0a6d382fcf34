//! The stand-in for Amazon SES: one call of its API v2, `SendEmail`, and what would have been sent.
//!
//! | request | does |
//! |---|---|
//! | `POST /ses/v2/email/outbound-emails` | keeps an e-mail, and answers its id, as SES does |
//! | `GET /ses/emails?to=` | what was kept, of all recipients or one: `{"emails":[{"from","to","subject","text","unsubscribe","at"}]}` |
//!
//! A call must be signed for SES (the form is checked, not the signature), name one recipient, and hold a subject of
//! one line and a text. The newest thousand are kept.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{Method, request};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::request::Reply;

/// What the paths begin with.
pub(crate) const PREFIX: &str = "/ses/";

const SEND: &str = "v2/email/outbound-emails";

/// How many are kept.
const MOST: usize = 1000;

/// An e-mail that would have been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// The sender.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The link of its header `List-Unsubscribe`, in angle brackets.
    pub unsubscribe: Option<String>,
    /// When it came, by the stand-ins' clock.
    pub at: Timestamp,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailFault {
    /// It comes too fast; nothing is sent.
    Throttled,
    /// SES has a fault; nothing is sent.
    Unavailable,
    /// The recipient or the sender is not verified; nothing is sent.
    Rejected,
    /// The e-mail is sent, and the answer is lost.
    AnswerLost,
}

/// The e-mails, and what goes wrong with the next ones.
#[derive(Debug, Default)]
pub(crate) struct Mails {
    sent: VecDeque<Mail>,
    faults: VecDeque<MailFault>,
}

impl Mails {
    pub(crate) fn sent(&self) -> Vec<Mail> {
        self.sent.iter().cloned().collect()
    }

    pub(crate) fn plan(&mut self, faults: impl IntoIterator<Item = MailFault>) {
        self.faults.extend(faults);
    }
}

/// The answer to a request; None where the connection is closed.
pub(crate) fn answer(mails: &mut Mails, parts: &request::Parts, body: &Bytes, now_ms: u64) -> Option<Reply> {
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match (&parts.method, path) {
        (&Method::POST, SEND) => send(mails, parts, body, now_ms),
        (&Method::GET, "emails") => Some(kept(mails, parts.uri.query().unwrap_or_default())),
        _ => Some(Reply::problem(404, "SES sends by POST; GET /ses/emails shows what was sent")),
    }
}

fn kept(mails: &Mails, query: &str) -> Reply {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let to = pairs.find(|(name, _)| name == "to").map(|(_, value)| value.into_owned());
    let of = |mail: &&Mail| to.as_ref().is_none_or(|to| mail.to == *to);
    Reply::json(200, &json!({"emails": mails.sent.iter().filter(of).collect::<Vec<_>>()}))
}

fn send(mails: &mut Mails, parts: &request::Parts, body: &Bytes, now_ms: u64) -> Option<Reply> {
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(|text| {
        text.starts_with("AWS4-HMAC-SHA256 Credential=") && text.contains("/ses/aws4_request, ")
    }) {
        return Some(refused(403, "MissingAuthenticationTokenException", "the call is not signed for SES"));
    }
    let fault = mails.faults.pop_front();
    match fault {
        Some(MailFault::Throttled) => {
            return Some(refused(429, "TooManyRequestsException", "Maximum sending rate exceeded."));
        }
        Some(MailFault::Unavailable) => return Some(refused(503, "ServiceUnavailable", "try again")),
        Some(MailFault::Rejected) => {
            return Some(refused(400, "MessageRejected", "Email address is not verified."));
        }
        Some(MailFault::AnswerLost) | None => {}
    }
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(mail) = read(&document, now_ms) else {
        return Some(refused(400, "BadRequestException", "one recipient, a subject of one line and a text"));
    };
    tracing::info!(subject = mail.subject, "an e-mail was kept; GET /ses/emails shows it");
    mails.sent.push_back(mail);
    while mails.sent.len() > MOST {
        mails.sent.pop_front();
    }
    let id = format!("{now_ms:016x}-{:08x}", mails.sent.len());
    (fault != Some(MailFault::AnswerLost)).then(|| Reply::json(200, &json!({"MessageId": id})))
}

fn read(document: &Value, now_ms: u64) -> Option<Mail> {
    let [to] = document["Destination"]["ToAddresses"].as_array()?.as_slice() else { return None };
    let simple = &document["Content"]["Simple"];
    let subject = simple["Subject"]["Data"].as_str()?;
    if subject.contains(['\r', '\n']) {
        return None;
    }
    Some(Mail {
        from: document["FromEmailAddress"].as_str()?.to_owned(),
        to: to.as_str()?.to_owned(),
        subject: subject.to_owned(),
        text: simple["Body"]["Text"]["Data"].as_str()?.to_owned(),
        unsubscribe: simple["Headers"].as_array().and_then(|headers| {
            let header = headers.iter().find(|header| header["Name"] == "List-Unsubscribe")?;
            header["Value"].as_str().map(str::to_owned)
        }),
        at: Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?,
    })
}

fn refused(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"message": message})).with("x-amzn-errortype", code)
}
