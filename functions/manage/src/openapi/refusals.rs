//! How requests are refused: the answers that many routes share, and which routes can give them.
//!
//! A handler names its own refusals alone (`response = refusals::Conflict`). The others follow from what the route is:
//! whether it takes a key, a body, or the id of something.

use carteiro_core::alert::confirmation;
use carteiro_core::hop::Hop;
use carteiro_core::problem::Problem;
use carteiro_core::session::LinkFault;
use carteiro_core::test_share::Shared;
use carteiro_networks::network::Network;
use carteiro_networks::spec::{PushSpec, Unsigned};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use utoipa::ToResponse;
use utoipa::openapi::{RefOr, Response};

use crate::values::value;

/// Declares names of shared answers, for handlers to refer to.
macro_rules! names {
    ($($name:ident)*) => {
        $(
            pub(crate) enum $name {}

            impl<'r> ToResponse<'r> for $name {
                fn response() -> (&'r str, RefOr<Response>) {
                    (stringify!($name), Response::default().into())
                }
            }
        )*
    };
}

names! {
    AlertExists AlreadyExists Conflict LinkRefused LoopDetected NotFound ReplayRunning SessionEnded SessionForbidden TooManyLookups
    TooManyCodes TooManyTests WrongCode
}

/// The id of a request, in examples.
const REQUEST_ID: &str = "VDZ1fh6oIAMEJtg=";

/// The refusals of a body.
const BODY: [(&str, &str); 3] = [("400", "BadRequest"), ("413", "TooLarge"), ("415", "UnsupportedMedia")];

/// What every route may answer, the gateway in front of it too.
fn refusals_of_gateway() -> Vec<(&'static str, &'static str)> {
    vec![("429", "TooManyRequests"), ("431", "HeadersTooLarge"), ("500", "Internal"), ("503", "Unavailable")]
}

/// The refusals that a route can give beside those that it names, by status.
pub(crate) fn of_route(route: &str, operation: &Value) -> Vec<(&'static str, &'static str)> {
    let security = operation["security"].as_array().cloned().unwrap_or_default();
    if route.ends_with(" /console/session") {
        let body = operation.get("requestBody").map(|_| BODY.to_vec()).unwrap_or_default();
        return [body, vec![("422", "Invalid")], refusals_of_gateway()].concat();
    }
    let has_key = security.iter().any(|scheme| scheme.as_object().is_some_and(|scheme| !scheme.is_empty()));
    let mut refusals = refusals_of_gateway();
    if let Some((method, network)) = route.split_once(" /push/") {
        let push = network.parse::<Network>().ok().and_then(|network| network.spec().push);
        refusals.extend(push.map(|push| of_push(method, push)).unwrap_or_default());
        return refusals;
    }
    if !has_key && operation.get("requestBody").is_none() {
        if route.contains("/alert-stop/") {
            // Its pages say what is wrong.
            return vec![("429", "TooManyRequests"), ("default", "Gateway")];
        }
        // Nobody is refused. Only the gateway may answer.
        let takes_any =
            route == "GET /" || ["GET /console", "GET /docs"].iter().any(|page| route.starts_with(page));
        let mut refusals = vec![("429", "TooManyRequests"), ("default", "Gateway")];
        if !takes_any {
            refusals.push(("422", "Invalid"));
        }
        if route.contains('{') {
            refusals.push(("404", "NotFound"));
        }
        return refusals;
    }
    // A parameter that the route does not know is refused.
    refusals.extend([("401", "Unauthorized"), ("422", "Invalid")]);
    let is_of_bots = route.contains("/bots/");
    if has_key && !is_of_bots {
        // Where bots send, the admin key is not known at all.
        refusals.push(("403", "Forbidden"));
    }
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    let names_account = parameters.any(|parameter| parameter["$ref"] == "#/components/parameters/ofAccount");
    if (route.contains('{') && !is_of_bots) || names_account {
        refusals.push(("404", "NotFound"));
    }
    if operation.get("requestBody").is_some() {
        refusals.extend(BODY);
    }
    refusals
}

/// Whether a route's answer is sent with a validator, and not at all to a client that has it: each JSON that a GET
/// answers, but a session's, which carries a secret.
pub(crate) fn may_be_unchanged(route: &str, operation: &Value) -> bool {
    let answered = &operation["responses"]["200"]["content"]["application/json"];
    route.starts_with("GET ") && answered.is_object() && route != "GET /console/session"
}

/// The answer to a client that has what it asks for, by reference.
pub(crate) fn unchanged() -> Value {
    json!({"$ref": "#/components/responses/NotModified"})
}

fn of_push(method: &str, push: &PushSpec) -> Vec<(&'static str, &'static str)> {
    let mut refusals = vec![("400", "BadRequest")];
    if method == "GET" {
        refusals.push(match push.page_parameter {
            Some(_) => ("404", "NotFound"),
            None => ("403", "Forbidden"),
        });
        return refusals;
    }
    if matches!(push.unsigned, Unsigned::Refused) {
        refusals.push(("401", "Unauthorized"));
    }
    refusals.extend([("413", "TooLarge"), ("415", "UnsupportedMedia"), ("508", "LoopDetected")]);
    refusals
}

/// What a shared answer holds.
struct Shown<'a> {
    name: &'a str,
    description: &'a str,
    header: Option<&'a str>,
    problems: Vec<(&'a str, Problem)>,
    /// What the gateway in front answers with this status, in its own form.
    gateway: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn new(name: &'a str, description: &'a str, problem: Problem) -> Self {
        Self { name, description, header: None, problems: vec![(name, problem)], gateway: None }
    }

    /// An answer of the gateway alone, in its form.
    fn of_gateway(name: &'a str, description: &'a str, message: &'a str) -> Self {
        Self { name, description, header: None, problems: Vec::new(), gateway: Some(message) }
    }

    fn header(self, header: &'a str) -> Self {
        Self { header: Some(header), ..self }
    }

    fn or_gateway(self, message: &'a str) -> Self {
        Self { gateway: Some(message), ..self }
    }

    fn described(self) -> (String, Value) {
        let mut described = json!({"description": self.description});
        if let Some(name) = self.header {
            described["headers"] = json!({name: {"$ref": format!("#/components/headers/{name}")}});
        }
        let mut content = Map::new();
        let shown = |problem: Problem| {
            let mut shown = value(&problem);
            shown["request_id"] = json!(REQUEST_ID);
            shown
        };
        let problems: Map<_, _> = self
            .problems
            .into_iter()
            .map(|(name, problem)| (name.to_owned(), json!({"value": shown(problem)})))
            .collect();
        if !problems.is_empty() {
            let schema = json!({"$ref": "#/components/schemas/Problem"});
            content.insert(
                "application/problem+json".to_owned(),
                json!({"schema": schema, "examples": problems}),
            );
        }
        if let Some(message) = self.gateway {
            let schema = json!({"$ref": "#/components/schemas/GatewayMessage"});
            content.insert(
                "application/json".to_owned(),
                json!({"schema": schema, "example": {"message": message}}),
            );
        }
        if !content.is_empty() {
            described["content"] = Value::Object(content);
        }
        (self.name.to_owned(), described)
    }
}

/// The shared answers, as the document's components.
pub(crate) fn components() -> Map<String, Value> {
    let mut shared = refused();
    shared.extend(not_accepted());
    shared.extend(limited());
    shared.extend(refused_by_gateway());
    shared.extend(entered());
    shared.extend(alerted());
    shared.push(Shown {
        name: "NotModified",
        description: "The client has the answer: `If-None-Match` names its `ETag`. There is no body.",
        header: Some("ETag"),
        problems: Vec::new(),
        gateway: None,
    });
    shared.into_iter().map(Shown::described).collect()
}

fn refused() -> Vec<Shown<'static>> {
    vec![
        Shown::new(
            "BadRequest",
            "The request is not what this route reads: its body is not JSON, not one JSON object, not UTF-8, or empty; or a \
             parameter is missing.",
            Problem::bad_request("the body is not a JSON object"),
        ),
        Shown::new(
            "Unauthorized",
            "No key was sent, or one that is not known or was revoked.",
            Problem::unauthorized("send the header Authorization: Bearer <key>"),
        )
        .header("WWW-Authenticate"),
        Shown::new(
            "Forbidden",
            "The key is good, and of the wrong kind: an account's where the admin key is needed, or the admin key where an \
             account's is.",
            Problem::forbidden("the admin key is needed"),
        ),
        Shown::new(
            "NotFound",
            "Nothing has this id, or it belongs to another account, or the id is malformed.",
            Problem::not_found("there is no such webhook"),
        ),
        Shown::new(
            "UnsupportedMedia",
            "The body is compressed: `Content-Encoding` says so, or it begins as gzip does. Send it as it is.",
            Problem::unsupported_media(
                "the body is compressed, and compressed bodies are not taken; send it as it is, without Content-Encoding",
            ),
        )
        .header("Accept-Encoding"),
    ]
}

/// The refusals of what is readable, and not acceptable as it is or now.
fn not_accepted() -> Vec<Shown<'static>> {
    vec![
        Shown::new(
            "Conflict",
            "Others changed the same webhook or page at the same time, again and again. Nothing was changed; read it and \
             try again.",
            Problem::conflict("others changed this webhook at the same time; read it and try again"),
        ),
        Shown::new(
            "AlreadyExists",
            "The account has connected this page of the network already. `detail` and `errors` name the page that it is; \
             change that one instead.",
            crate::pages::duplicate("page_7a6b5c4d3e2f10897a6b5c4d3e2f1089"),
        ),
        Shown::new(
            "ReplayRunning",
            "A replay of this type is putting dead items on their way, which takes moments, or minutes where they are tens \
             of thousands, and `detail` names it; or 20 replays of single items are, each for moments.",
            crate::replays::running("rep_019f2b3c4d5e00000a1b2c3d4e5f6071"),
        ),
        Shown::new(
            "Invalid",
            "What was asked is readable and not acceptable. `errors` names every field or parameter that is wrong; where a \
             limit is reached, what there is too much of: `webhooks`, `pages` or `keys`.",
            Problem::invalid_fields(vec![carteiro_core::problem::FieldError::new(
                "url",
                "only https is taken",
            )]),
        ),
        Shown {
            name: "InvalidOrIdempotencyConflict",
            description: "The bot's name or the `Idempotency-Key` is malformed (kind `invalid`), or the key was used for \
                          other bytes within the last 24 hours (kind `idempotency-conflict`). Nothing was queued.",
            header: None,
            problems: vec![
                (
                    "of-this-kind",
                    Problem::invalid_fields(vec![carteiro_core::problem::FieldError::new(
                        "bot",
                        "a bot's name is 1 to 128 letters, digits or any of . _ - @ + ~",
                    )]),
                ),
                (
                    "idempotency-conflict",
                    Problem::idempotency_conflict(
                        "within the last 24 hours this key was used for other bytes; nothing was queued",
                    ),
                ),
            ],
            gateway: None,
        },
    ]
}

/// The refusals of the console's sessions.
fn entered() -> Vec<Shown<'static>> {
    let [used, expired, unknown] =
        [LinkFault::Used, LinkFault::Expired, LinkFault::Unknown].map(LinkFault::problem);
    vec![
        Shown {
            name: "LinkRefused",
            description: "The link was used, is too old or is not known, or the key is not known.",
            header: None,
            problems: vec![
                ("link-used", used),
                ("link-expired", expired),
                ("link-unknown", unknown),
                ("unauthorized", Problem::unauthorized("this key is not known, or was revoked")),
            ],
            gateway: None,
        },
        Shown::new(
            "SessionEnded",
            "There is no session, or it has ended.",
            Problem::session_ended("there is no session, or it has ended; sign in again"),
        ),
        Shown {
            name: "SessionForbidden",
            description: "Another site caused the request, the header `carteiro-csrf` is missing or wrong, the session may \
                          only look, or the key is the admin key. Routes of an account answer the first three, too, where \
                          the request comes by cookie.",
            header: None,
            problems: vec![
                ("cross-site", Problem::cross_site("another site caused this request")),
                (
                    "csrf",
                    Problem::csrf(
                        "a change by cookie needs the header carteiro-csrf with the session's value",
                    ),
                ),
                ("look-only", Problem::look_only("this session may look, and not change anything")),
                ("forbidden", Problem::forbidden("this is the admin key; an account's key is needed")),
            ],
            gateway: None,
        },
    ]
}

/// The refusals of addresses for alerts.
fn alerted() -> Vec<Shown<'static>> {
    let over = "no code is good now: it was not sent yet, is older than 24 hours, or was tried wrong 5 times; have it \
                sent again";
    vec![
        Shown::new(
            "AlertExists",
            "The account has this address already.",
            Problem::already_exists("the account has this address already"),
        ),
        Shown {
            name: "WrongCode",
            description: "The code is wrong, or no code is good any more; or a field is not valid.",
            header: None,
            problems: vec![
                ("wrong", Problem::code_wrong("this is not the code that was sent last")),
                ("over", Problem::code_over(over)),
            ],
            gateway: None,
        },
        Shown::new(
            "TooManyCodes",
            "The day's codes of the address or of the account were sent; problem details carry `Retry-After`. The \
             gateway's own answer, above its limit for the whole deployment, does not.",
            confirmation::none_left(Timestamp::UNIX_EPOCH),
        )
        .header("Retry-After")
        .or_gateway("Too Many Requests"),
    ]
}

fn limited() -> Vec<Shown<'static>> {
    let hops = Hop::LIMIT.count();
    vec![
        Shown::new(
            "TooLarge",
            "More bytes, or more lines, than this route takes. A request of more than about 6 MB is refused by the gateway.",
            Problem::too_large("the item has 262145 bytes; at most 262144 are taken"),
        )
        .or_gateway("Request Entity Too Large"),
        Shown::new(
            "Internal",
            "A fault of the deployment's, of a kind that a repeat is unlikely to cure. The cause is in the deployment's log.",
            Problem::internal("it could not be done; the cause is in the log"),
        )
        .or_gateway("Internal Server Error"),
        Shown::new(
            "Unavailable",
            "It could not be done now. Problem details carry `Retry-After`; the gateway's own answer does not.",
            Problem::unavailable("it could not be done now; try again"),
        )
        .header("Retry-After")
        .or_gateway("Service Unavailable"),
        Shown::new(
            "TooManyTests",
            "The account's tests under way, or in this minute, are as many as it may have; problem details carry \
             `Retry-After`. The gateway's own answer, above its limit for the whole deployment, does not.",
            Shared::Tests.problem(16),
        )
        .header("Retry-After")
        .or_gateway("Too Many Requests"),
        Shown::new(
            "TooManyLookups",
            "The account's lookups under way, or in this minute, are as many as it may have; problem details carry \
             `Retry-After`. The gateway's own answer, above its limit for the whole deployment, does not.",
            Shared::Lookups.problem(16),
        )
        .header("Retry-After")
        .or_gateway("Too Many Requests"),
        Shown::new(
            "LoopDetected",
            "`carteiro-hop` says that this has passed through Carteiro three times or more: deliveries lead back to an \
             intake. Nothing was taken, and a repeat is refused, too.",
            Problem::loop_detected(format!(
                "carteiro-hop says that this has passed through Carteiro {hops} times or more: deliveries lead back to an \
                 intake. Nothing was taken"
            )),
        ),
    ]
}

/// The refusals that only the gateway in front gives.
fn refused_by_gateway() -> Vec<Shown<'static>> {
    vec![
        Shown::of_gateway(
            "TooManyRequests",
            "The gateway's limit for the whole deployment was passed: 2000 requests a second, and bursts of \
             2000. Try again with growing waits.",
            "Too Many Requests",
        ),
        Shown::of_gateway(
            "HeadersTooLarge",
            "The request's line and headers have more than 10,240 bytes, which the gateway refuses.",
            "Request Header Fields Too Large",
        ),
        Shown::of_gateway(
            "Gateway",
            "The gateway could not hand the request on: 500 or 503.",
            "Service Unavailable",
        ),
    ]
}

/// The headers of answers, as the document's components.
pub(crate) fn headers() -> Value {
    json!({
        "ETag": {
            "description": "Names this answer, byte for byte: sent back as `If-None-Match`, it is answered 304 while \
                            nothing changed.",
            "schema": {"type": "string", "pattern": "^\"[A-Za-z0-9_-]+\"$"},
            "example": "\"1Qyb5oCzT7wvFqY9Pv0m3g\"",
        },
        "Retry-After": {
            "description": "How long to wait at least: a number of seconds, or (from receivers) an HTTP date. Carteiro \
                            itself answers a number of seconds.",
            "schema": {"type": "string"},
            "example": "1",
        },
        "Accept-Encoding": {
            "description": "Which codings of a body are taken: none.",
            "schema": {"type": "string", "const": "identity"},
            "example": "identity",
        },
        "WWW-Authenticate": {
            "description": "How to authenticate.",
            "schema": {"type": "string", "const": "Bearer"},
            "example": "Bearer",
        },
    })
}
