//! How a path answers.
//!
//! As JSON, an answer is a status (`503`) or an object of one of these:
//!
//! ```json
//! {"status": {"code": 503, "headers": {"retry-after": "5"}, "body": "busy"}}
//! {"hang": {"limit_ms": 60000}}
//! {"drip": {"every_ms": 100, "bytes": 20}}
//! {"drop": "before_response"}
//! {"drop": "in_body"}
//! {"delay": {"ms": 500, "then": 200}}
//! {"large": {"bytes": 1048576}}
//! {"redirect": {"location": "http://127.0.0.1:3001/elsewhere", "code": 307}}
//! ```
//!
//! A behaviour is an answer, or a list of answers of which the last repeats: `[500, 500, 200]`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const MAX_PATHS: usize = 10_000;
const MAX_SEQUENCE: usize = 10_000;
const MAX_DELAYS: usize = 16;
const MAX_TIME_MS: u64 = 3_600_000;
const MAX_LARGE_BYTES: u64 = 1 << 30;

/// How long a hanging request is held where nothing else is said.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(600);

/// Where a connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropAt {
    /// After the request was read, before anything is answered.
    BeforeResponse,
    /// After the headers and half of the body that they declare.
    InBody,
}

/// What one request gets. All times are the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole response. A `content-length` or `transfer-encoding` among the headers is left out: the server sets them.
    Status {
        /// 200 or above; a lower one is no final response, and closes the connection.
        code: StatusCode,
        /// Headers beside those that the server sets.
        headers: HeaderMap,
        /// The body.
        body: Bytes,
    },
    /// No answer, until the client leaves or `limit` has passed; then the connection is closed.
    Hang {
        /// How long at most.
        limit: Duration,
    },
    /// 200 with headers at once, and then a byte after every `every`: `bytes` of them, or without end.
    Drip {
        /// Between two bytes.
        every: Duration,
        /// How many; `None` for as long as the client stays.
        bytes: Option<u64>,
    },
    /// The connection is closed.
    Drop(DropAt),
    /// Another answer, later.
    Delay {
        /// How much later.
        by: Duration,
        /// The answer.
        then: Box<Answer>,
    },
    /// 200 with a body of a number of bytes.
    Large {
        /// How many.
        bytes: u64,
    },
    /// A redirect.
    Redirect {
        /// The status, such as 302.
        code: StatusCode,
        /// Where to.
        location: HeaderValue,
    },
}

impl Answer {
    /// A status without headers or body of its own.
    #[must_use]
    pub fn status(code: StatusCode) -> Self {
        Self::Status { code, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A 503 that asks for the next attempt after so many seconds.
    #[must_use]
    pub fn busy(seconds: u32) -> Self {
        Self::status(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, seconds.into())
    }

    /// No answer for up to ten minutes.
    #[must_use]
    pub fn hang() -> Self {
        Self::Hang { limit: HANG_LIMIT }
    }

    /// This answer with one more header, where it is a [`Answer::Status`]; another has none of its own.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.append(name, value);
        }
        self
    }

    /// The status that a client sees, if it sees one.
    pub(crate) fn seen_status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } | Self::Redirect { code, .. } => Some(code.as_u16()),
            Self::Drip { .. } | Self::Large { .. } | Self::Drop(DropAt::InBody) => Some(200),
            Self::Hang { .. } | Self::Drop(DropAt::BeforeResponse) => None,
            Self::Delay { then, .. } => then.seen_status(),
        }
    }
}

/// What the requests to one path get, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    first: Vec<Answer>,
    then: Answer,
}

impl Behaviour {
    /// Each of `first` once, and from then on `then`.
    #[must_use]
    pub fn sequence(first: impl IntoIterator<Item = Answer>, then: Answer) -> Self {
        Self { first: first.into_iter().collect(), then }
    }

    fn answer(&self, number: usize) -> &Answer {
        self.first.get(number).unwrap_or(&self.then)
    }
}

impl Default for Behaviour {
    /// 200 without a body.
    fn default() -> Self {
        Answer::status(StatusCode::OK).into()
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self { first: Vec::new(), then: answer }
    }
}

impl From<StatusCode> for Behaviour {
    fn from(code: StatusCode) -> Self {
        Answer::status(code).into()
    }
}

/// Why JSON is no behaviour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBehaviour(String);

fn invalid(detail: impl fmt::Display) -> InvalidBehaviour {
    InvalidBehaviour(format!("{detail}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Status(StatusForm),
    Hang(HangForm),
    Drip(DripForm),
    Drop(DropAt),
    Delay(DelayForm),
    Large(LargeForm),
    Redirect(RedirectForm),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusForm {
    code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HangForm {
    limit_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DripForm {
    every_ms: u64,
    bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayForm {
    ms: u64,
    then: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LargeForm {
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedirectForm {
    location: String,
    code: Option<u16>,
}

impl TryFrom<Value> for Behaviour {
    type Error = InvalidBehaviour;

    fn try_from(value: Value) -> Result<Self, InvalidBehaviour> {
        let Value::Array(list) = value else { return answer(value, MAX_DELAYS).map(Self::from) };
        if list.len() > MAX_SEQUENCE {
            return Err(invalid(format!("a sequence has at most {MAX_SEQUENCE} answers")));
        }
        let mut answers: Vec<_> =
            list.into_iter().map(|value| answer(value, MAX_DELAYS)).collect::<Result<_, _>>()?;
        let then = answers.pop().ok_or_else(|| invalid("a sequence has at least one answer"))?;
        Ok(Self { first: answers, then })
    }
}

fn answer(value: Value, delays_left: usize) -> Result<Answer, InvalidBehaviour> {
    if let Some(number) = value.as_u64() {
        return Ok(Answer::status(code(u16::try_from(number).map_err(invalid)?)?));
    }
    let read = match serde_json::from_value(value).map_err(invalid)? {
        Tagged::Status(form) => Answer::Status {
            code: code(form.code)?,
            headers: headers(&form.headers)?,
            body: form.body.into_bytes().into(),
        },
        Tagged::Hang(form) => Answer::Hang { limit: form.limit_ms.map_or(Ok(HANG_LIMIT), time)? },
        Tagged::Drip(form) => Answer::Drip { every: time(form.every_ms)?, bytes: form.bytes },
        Tagged::Drop(at) => Answer::Drop(at),
        Tagged::Delay(form) => {
            let left = delays_left.checked_sub(1).ok_or_else(|| invalid("too many delays in a row"))?;
            Answer::Delay { by: time(form.ms)?, then: Box::new(answer(form.then, left)?) }
        }
        Tagged::Large(form) if form.bytes > MAX_LARGE_BYTES => {
            return Err(invalid(format!("a body has at most {MAX_LARGE_BYTES} bytes")));
        }
        Tagged::Large(form) => Answer::Large { bytes: form.bytes },
        Tagged::Redirect(form) => Answer::Redirect {
            code: form.code.map_or(Ok(StatusCode::FOUND), code)?,
            location: form.location.parse().map_err(invalid)?,
        },
    };
    Ok(read)
}

fn code(number: u16) -> Result<StatusCode, InvalidBehaviour> {
    let code = StatusCode::from_u16(number).ok().filter(|code| !code.is_informational());
    code.ok_or_else(|| invalid(format!("{number} is no status from 200 to 999")))
}

fn time(ms: u64) -> Result<Duration, InvalidBehaviour> {
    if (1..=MAX_TIME_MS).contains(&ms) {
        Ok(Duration::from_millis(ms))
    } else {
        Err(invalid(format!("a time is 1 to {MAX_TIME_MS} ms")))
    }
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, InvalidBehaviour> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name: HeaderName = name.parse().map_err(invalid)?;
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return Err(invalid(format!("{name} is set by the server")));
        }
        headers.append(name, value.parse().map_err(invalid)?);
    }
    Ok(headers)
}

impl Behaviour {
    pub(crate) fn to_json(&self) -> Value {
        if self.first.is_empty() {
            return self.then.to_json();
        }
        self.first.iter().chain([&self.then]).map(Answer::to_json).collect()
    }
}

impl Answer {
    fn to_json(&self) -> Value {
        match self {
            Self::Status { code, headers, body } if headers.is_empty() && body.is_empty() => {
                json!(code.as_u16())
            }
            Self::Status { code, headers, body } => {
                let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let headers: Map<_, _> = headers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), Value::String(text(value))))
                    .collect();
                json!({"status": {
                    "code": code.as_u16(), "headers": headers, "body": String::from_utf8_lossy(body),
                }})
            }
            Self::Hang { limit } => json!({"hang": {"limit_ms": ms(*limit)}}),
            Self::Drip { every, bytes } => json!({"drip": {"every_ms": ms(*every), "bytes": bytes}}),
            Self::Drop(DropAt::BeforeResponse) => json!({"drop": "before_response"}),
            Self::Drop(DropAt::InBody) => json!({"drop": "in_body"}),
            Self::Delay { by, then } => json!({"delay": {"ms": ms(*by), "then": then.to_json()}}),
            Self::Large { bytes } => json!({"large": {"bytes": bytes}}),
            Self::Redirect { code, location } => json!({"redirect": {
                "location": String::from_utf8_lossy(location.as_bytes()), "code": code.as_u16(),
            }}),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct Running {
    behaviour: Behaviour,
    answered: usize,
}

/// The behaviours of all paths.
#[derive(Default)]
pub(crate) struct Behaviours(Mutex<HashMap<String, Running>>);

impl Behaviours {
    pub(crate) fn set(&self, path: &str, behaviour: Behaviour) {
        self.lock().insert(path.to_owned(), Running { behaviour, answered: 0 });
    }

    /// Like [`Behaviours::set`], for a caller that may not fill the memory. False when too many paths have one.
    pub(crate) fn set_bounded(&self, path: &str, behaviour: Behaviour) -> bool {
        let mut paths = self.lock();
        if paths.len() >= MAX_PATHS && !paths.contains_key(path) {
            return false;
        }
        paths.insert(path.to_owned(), Running { behaviour, answered: 0 });
        true
    }

    pub(crate) fn remove(&self, path: &str) {
        self.lock().remove(path);
    }

    /// What the next request to the path gets.
    pub(crate) fn next(&self, path: &str) -> Answer {
        let mut paths = self.lock();
        let Some(running) = paths.get_mut(path) else { return Answer::status(StatusCode::OK) };
        let answer = running.behaviour.answer(running.answered).clone();
        running.answered = running.answered.saturating_add(1);
        answer
    }

    /// Every path with its behaviour, by path.
    pub(crate) fn to_json(&self) -> Value {
        let paths = self.lock();
        let mut named: Vec<_> = paths.iter().map(|(path, running)| (path, &running.behaviour)).collect();
        named.sort_by_key(|(path, _)| *path);
        named
            .into_iter()
            .map(|(path, behaviour)| json!({"path": path, "answer": behaviour.to_json()}))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: Value) -> Result<Behaviour, String> {
        Behaviour::try_from(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_answer_is_shown_as_it_is_given() {
        let all = json!([
            503,
            {"status": {"code": 429, "headers": {"retry-after": "5"}, "body": "busy"}},
            {"hang": {"limit_ms": 60_000}},
            {"drip": {"every_ms": 100, "bytes": null}},
            {"drip": {"every_ms": 100, "bytes": 20}},
            {"drop": "before_response"},
            {"drop": "in_body"},
            {"delay": {"ms": 500, "then": {"delay": {"ms": 1, "then": 200}}}},
            {"large": {"bytes": 1_048_576}},
            {"redirect": {"location": "http://127.0.0.1:1/a", "code": 307}},
        ]);
        assert_eq!(parsed(all.clone()).unwrap().to_json(), all);
        assert_eq!(parsed(json!({"hang": {}})).unwrap(), Answer::hang().into());
    }

    #[test]
    fn what_is_no_answer_is_refused_with_a_reason() {
        assert_eq!(parsed(json!(100)).unwrap_err(), "100 is no status from 200 to 999");
        assert_eq!(parsed(json!([])).unwrap_err(), "a sequence has at least one answer");
        assert_eq!(
            parsed(json!({"delay": {"ms": 0, "then": 200}})).unwrap_err(),
            "a time is 1 to 3600000 ms"
        );
        let length = json!({"status": {"code": 200, "headers": {"content-length": "1"}}});
        assert_eq!(parsed(length).unwrap_err(), "content-length is set by the server");
        for wrong in
            [json!("x"), json!({"sleep": {}}), json!({"hang": {"ms": 1}}), json!([[200]]), json!(7e9)]
        {
            assert!(parsed(wrong.clone()).is_err(), "{wrong}");
        }
        let deep = (0..20).fold(json!(200), |then, _| json!({"delay": {"ms": 1, "then": then}}));
        assert_eq!(parsed(deep).unwrap_err(), "too many delays in a row");
    }

    #[test]
    fn a_sequence_repeats_its_last_answer_until_it_is_set_again() {
        let behaviours = Behaviours::default();
        let next = || behaviours.next("/a").seen_status();
        assert_eq!(next(), Some(200));
        for _ in 0..2 {
            behaviours.set("/a", parsed(json!([500, {"hang": {}}, 204])).unwrap());
            assert_eq!([next(), next(), next(), next()], [Some(500), None, Some(204), Some(204)]);
        }
        behaviours.remove("/a");
        assert_eq!(next(), Some(200));
    }
}
