//! The control, for people and other programs, below `/control/`. Bodies and answers are JSON.
//!
//! | request | does |
//! |---|---|
//! | `POST connect` `{"network","page","token"?,"refresh_token"?,"expires_in"?,"name"?,"login"?}` | connects a page |
//! | `POST service_account` `{"page"}` | connects an app, and answers the `key` of a service account |
//! | `POST publish` `{"network","page","kind","text",…}` | publishes a [`Thing`], and answers its `id` |
//! | `POST edit` `{"network","id","text"}` | edits it, and answers its `id` |
//! | `POST remove` `{"network","id"}` | removes it |
//! | `POST token` `{"network","token","state"}` | sets the state of a token |
//! | `POST app_secret` `{"network","secret","required"?}` | names the secret of Meta's app, which calls are proven with |
//! | `POST fault` `{"network","fault","on"?,"page"?,"after"?,"times"?,"seconds"?}` | plans a fault |
//! | `DELETE fault?network=` | lifts all faults |
//! | `POST usage` `{"network","page"?,"percent","regain_minutes","code"?}` | Meta's headers |
//! | `POST cap` `{"network","most","on"?}` | the most elements of one answer; null: as the network has it |
//! | `POST late` `{"network","kind"?,"seconds"}` | lists show what is published from now on so late |
//! | `GET things?network=&page=`, `GET calls?network=` | what was published, and what was called |
//!
//! A `state` is `"good"`, `"expired"`, `"revoked"`, `{"narrowed":"permission"}` or `{"somebody_elses":"id"}`. A `fault`
//! is `"malformed"`, `"dropped"`, `{"unavailable":503}`, `{"limited":900}`, `{"slow_ms":500}`, `{"token":state}` or
//! `{"answer":{"status","body"}}`.
//!
//! A success answers 200, with `{}` where it has nothing else to tell. Errors are problem details (RFC 9457). No answer
//! has a token in it.

use std::time::Duration;

use bytes::Bytes;
use carteiro_networks::network::Network;
use http::request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::fault::{Fault, Planned};
use crate::limit::{Usage, Used};
use crate::request::Reply;
use crate::shelf::Shelf;
use crate::{Connection, Kind, NotDone, Shared, Thing, TokenState};

/// What the control's paths begin with.
pub(crate) const PREFIX: &str = "/control/";

/// A body, with the network that it is about.
#[derive(Deserialize)]
struct On<T> {
    network: Network,
    #[serde(flatten)]
    what: T,
}

#[derive(Deserialize)]
struct ServiceAccount {
    page: String,
}

#[derive(Deserialize)]
struct Publish {
    page: String,
    #[serde(flatten)]
    thing: Thing,
}

#[derive(Deserialize)]
struct Edit {
    id: String,
    text: String,
}

#[derive(Deserialize)]
struct Remove {
    id: String,
}

#[derive(Deserialize)]
struct SetToken {
    token: String,
    state: TokenState,
}

#[derive(Deserialize)]
struct SetAppSecret {
    secret: String,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
struct Cap {
    most: Option<usize>,
    /// Calls of this kind alone.
    on: Option<String>,
}

#[derive(Deserialize)]
struct Late {
    kind: Option<Kind>,
    seconds: u64,
}

#[derive(Deserialize)]
struct SetUsage {
    page: Option<String>,
    #[serde(flatten)]
    usage: Usage,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Malformed,
    Dropped,
    Unavailable(u16),
    /// Seconds.
    Limited(u64),
    SlowMs(u64),
    Token(TokenState),
    Answer {
        status: u16,
        body: Value,
    },
}

#[derive(Deserialize)]
struct Plan {
    fault: What,
    on: Option<String>,
    page: Option<String>,
    #[serde(default)]
    after: usize,
    times: Option<usize>,
    seconds: Option<u64>,
}

/// Why something was not done. It quotes nothing of a body: there may be a token in it.
struct Refused(u16, String);

impl From<NotDone> for Refused {
    fn from(reason: NotDone) -> Self {
        Self(422, reason.to_string())
    }
}

pub(crate) fn answer(shared: &Shared, parts: &request::Parts, body: &Bytes) -> Reply {
    let verb = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let done = match (parts.method.as_str(), verb) {
        ("POST", _) => post(shared, verb, body),
        ("DELETE", "fault") => network(query).map(|network| {
            shared.state().shelf(network).faults.lift();
            json!({})
        }),
        ("GET", "calls") => {
            network(query).map(|network| json!({"calls": shared.state().shelf(network).calls}))
        }
        ("GET", "things") => network(query).map(|network| things(shared.state().shelf(network), query)),
        _ => Err(Refused(404, format!("there is no {} {verb}", parts.method))),
    };
    match done {
        Ok(value) => Reply::json(200, &value),
        Err(Refused(status, detail)) => Reply::problem(status, &detail),
    }
}

fn things(shelf: &Shelf, query: &str) -> Value {
    let pages = match parameter(query, "page") {
        Some(page) => vec![page],
        None => shelf.pages.keys().cloned().collect(),
    };
    let things: Vec<_> = pages.iter().flat_map(|page| shelf.all_of(page)).collect();
    json!({ "things": things })
}

fn post(shared: &Shared, verb: &str, body: &Bytes) -> Result<Value, Refused> {
    let now_ms = shared.clock.now_ms();
    let mut state = shared.state();
    match verb {
        "connect" => {
            let On::<Connection> { network, what } = read(body)?;
            state.shelf(network).connect(what, now_ms);
        }
        "service_account" => {
            let ServiceAccount { page } = read(body)?;
            return Ok(json!({"key": state.shelf(Network::GooglePlay).service_account(&page, now_ms)}));
        }
        "publish" => {
            let On::<Publish> { network, what } = read(body)?;
            return Ok(json!({"id": state.shelf(network).publish(&what.page, what.thing, now_ms)?}));
        }
        "edit" => {
            let On::<Edit> { network, what } = read(body)?;
            return Ok(json!({"id": state.shelf(network).edit(&what.id, &what.text, now_ms)?}));
        }
        "remove" => {
            let On::<Remove> { network, what } = read(body)?;
            state.shelf(network).remove(&what.id, now_ms)?;
        }
        "token" => {
            let On::<SetToken> { network, what } = read(body)?;
            let known = state.shelf(network).tokens.set(&what.token, what.state);
            known.then_some(()).ok_or(NotDone::NoSuchToken)?;
        }
        "app_secret" => {
            let On::<SetAppSecret> { network, what } = read(body)?;
            state.shelf(network).app_secret = Some((what.secret, what.required));
        }
        "fault" => {
            let On::<Plan> { network, what } = read(body)?;
            state.shelf(network).faults.plan(planned(what), now_ms);
        }
        "usage" => {
            let On::<SetUsage> { network, what } = read(body)?;
            let until_ms = now_ms + what.usage.regain_minutes * 60_000;
            let used = Used { usage: what.usage, until_ms, told: false };
            state.shelf(network).usage.insert(what.page.unwrap_or_default(), used);
        }
        "cap" => {
            let On::<Cap> { network, what } = read(body)?;
            let shelf = state.shelf(network);
            match (what.on, what.most) {
                (None, most) => shelf.cap = most,
                (Some(kind), Some(most)) => drop(shelf.caps.insert(kind, most)),
                (Some(kind), None) => drop(shelf.caps.remove(&kind)),
            }
        }
        "late" => {
            let On::<Late> { network, what } = read(body)?;
            state.shelf(network).late.insert(what.kind, what.seconds.saturating_mul(1000));
        }
        _ => return Err(Refused(404, format!("there is no {verb}"))),
    }
    Ok(json!({}))
}

fn planned(plan: Plan) -> Planned {
    let fault = match plan.fault {
        What::Malformed => Fault::Malformed,
        What::Dropped => Fault::Dropped,
        What::Unavailable(status) => Fault::Unavailable(status),
        What::Limited(seconds) => Fault::Limited(Duration::from_secs(seconds)),
        What::SlowMs(ms) => Fault::Slow(Duration::from_millis(ms)),
        What::Token(state) => Fault::Token(state),
        What::Answer { status, body } => Fault::Answer { status, body: body.to_string() },
    };
    let mut planned = match (plan.times, plan.seconds) {
        (Some(times), _) => fault.times(times),
        (None, Some(seconds)) => fault.lasting(Duration::from_secs(seconds)),
        (None, None) => fault.times(1),
    };
    if let Some(on) = plan.on {
        planned = planned.on(on);
    }
    if let Some(page) = plan.page {
        planned = planned.of(page);
    }
    planned.after(plan.after)
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    let refuse = |error: serde_json::Error| {
        Refused(
            400,
            format!("the body is not what is wanted, at line {}, column {}", error.line(), error.column()),
        )
    };
    serde_json::from_slice(body).map_err(refuse)
}

fn network(query: &str) -> Result<Network, Refused> {
    let network = parameter(query, "network").and_then(|name| name.parse().ok());
    network.ok_or_else(|| Refused(400, "network=… names one of the six".to_owned()))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
