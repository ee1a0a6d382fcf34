//! What answers are made of: the core's values, as the API's description names them.
//!
//! The core knows nothing of OpenAPI. Each of its values that the API shows has a schema here, by a name, made of the
//! core's own constants and lists, so that neither a limit nor a set of values can differ from what is in force. A
//! field of an answer refers to it: `#[schema(value_type = values::ItemId)]`. What has no name of its own says so in
//! place: `#[schema(extensions(("x-schema" = one_of(ItemFate::ALL))))]`; the members of `x-schema` become the field's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use carteiro_core::alert;
use carteiro_core::attempt_log::MAX_SHOWN_HEADERS;
use carteiro_core::cause::{Code, MAX_DETAIL_BYTES};
use carteiro_core::idempotency::MAX_KEY_BYTES;
use carteiro_core::item::{self, MAX_BOT_NAME_BYTES, MAX_ITEM_BYTES};
use carteiro_core::ndjson::MAX_BULK_LINES;
use carteiro_core::outcome;
use carteiro_core::problem;
use carteiro_core::session;
use carteiro_core::signature::{MAX_SECRET_BYTES, MIN_SECRET_BYTES};
use carteiro_core::situation;
use carteiro_core::time;
use carteiro_core::webhook::MAX_WEBHOOKS_PER_ACCOUNT;
use carteiro_networks::collected::Kind;
use carteiro_networks::freshness::{P95_PROMISE_SECONDS, P99_PROMISE_SECONDS};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time as answers show it: [`time::shown`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time::serialize(&self.0, serializer)
    }
}

/// An answer as a JSON value.
pub(crate) fn value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

/// The schema of one of these values.
pub(crate) fn one_of(values: impl Serialize) -> Value {
    json!({"enum": values})
}

/// The schema of one of these values, or null.
pub(crate) fn one_of_or_null(values: impl IntoIterator<Item = impl Serialize>) -> Value {
    let mut values: Vec<Value> = values.into_iter().map(|one| value(&one)).collect();
    values.push(Value::Null);
    json!({"enum": values})
}

/// A reference to a schema of the document.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The addresses of all kinds of problems.
fn problem_types() -> Vec<String> {
    problem::Problem::KINDS.iter().map(problem::Kind::address).collect()
}

/// The statuses of all kinds of problems.
fn problem_statuses() -> BTreeSet<u16> {
    problem::Problem::KINDS.iter().map(|kind| kind.status).collect()
}

/// Declares names for schemas of values whose types are elsewhere.
macro_rules! names {
    ($($name:ident)*) => {
        $(pub(crate) enum $name {})*
    };
}

/// Gives types their schemas. What a derived schema refers to is a name; the schema itself comes from [`schemas`],
/// because JSON Schema has more words than the types that describe it in Rust. Those after the second semicolon are
/// referred to by schemas alone.
macro_rules! described {
    ($($name:ident = $schema:tt;)* $(; $($other:ident = $described:tt;)*)?) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Schema::default().into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*

        /// The schemas of these values, by their names.
        pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
            vec![
                $((stringify!($name), json!($schema)),)*
                $($((stringify!($other), json!($described)),)*)?
            ]
        }
    };
}

pub(crate) use {described, names};

names! {
    WebhookState AlertId AlertEvent Hour Role LinkId AccountId KeyId WebhookId PageId ItemId ReplayId Key Secret PublicKey ItemType Source FailureKind Cause
    LastError AttemptMessage BlockMessage TokenMessage FaultMessage ResponseHeaders PageFreshness
}

described! {
    Time = {
        "type": "string",
        "format": "date-time",
        "description": "RFC 3339 in UTC. Answered with three digits of fractions of a second; taken with none to \
         nine. What is later than the last time that can be held, 9999-12-30T22:00:00Z, is taken as \
         that.",
        "examples": ["2026-11-21T12:00:00.123Z", "2026-11-21T12:00:00Z"],
    };
    AccountId = {
        "type": "string",
        "pattern": "^acc_[0-9a-f]{32}$",
        "description": "An account's id.",
        "examples": ["acc_0123456789abcdef0123456789abcdef"],
    };
    KeyId = {
        "type": "string",
        "pattern": "^key_[0-9a-f]{32}$",
        "description": "A key's id. It is not the key.",
        "examples": ["key_89abcdef0123456789abcdef01234567"],
    };
    WebhookId = {
        "type": "string",
        "pattern": "^wh_[0-9a-f]{32}$",
        "description": "A webhook's id.",
        "examples": ["wh_4f5e6d7c8b9a0f1e2d3c4b5a69788796"],
    };
    PageId = {
        "type": "string",
        "pattern": "^page_[0-9a-f]{32}$",
        "description": "A page's id.",
        "examples": ["page_7a6b5c4d3e2f10897a6b5c4d3e2f1089"],
    };
    ItemId = {
        "type": "string",
        "pattern": "^item_[0-9a-f]{32}$",
        "description": "An item's id, the same on every attempt and for every webhook; what receivers see as \
         `webhook-id`.",
        "examples": ["item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8"],
    };
    ReplayId = {
        "type": "string",
        "pattern": "^rep_[0-9a-f]{32}$",
        "description": "A replay of dead items.",
        "examples": ["rep_019f2b3c4d5e00000a1b2c3d4e5f6071"],
    };
    Key = {
        "type": "string",
        "pattern": "^ck_[0-9a-f]{64}$",
        "description": "An API key of an account. It is shown in this answer and never again: only its SHA-256 is \
         stored.",
        "examples": ["ck_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
    };
    Secret = {
        "type": "string",
        "pattern": "^whsec_[A-Za-z0-9+/]+={0,2}$",
        "description": "The secret that signs `v1`: `whsec_` and 24 to 64 bytes in base64 with its padding, as \
         Standard Webhooks writes it; 32 bytes, where Carteiro makes it. The answer to what made it \
         shows it, and none after that.",
        "examples": ["whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM="],
        "x-min-bytes": MIN_SECRET_BYTES,
        "x-max-bytes": MAX_SECRET_BYTES,
    };
    PublicKey = {
        "type": "string",
        "pattern": "^whpk_[A-Za-z0-9+/]{43}=$",
        "description": "The public key of a webhook's key pair, by which `v1a` signatures are verified: `whpk_` and \
         the 32 bytes of an ed25519 public key (RFC 8032) in base64.",
        "examples": ["whpk_zJNavsxqJQLz0TBYia2pVux2z0UVaYjzbhqMMB4mRoA="],
    };
    ItemType = {
        "type": "string",
        "enum": item::ItemType::KNOWN,
        "description": "What an item is: `message`, `event` or `contact` (from bots), `publication` or \
         `interaction` (from pages), `notice` (from Carteiro itself).",
    };
    Source = {
        "type": "string",
        "pattern": "^((bot|page):[A-Za-z0-9._@+~-]{1,128}|carteiro)$",
        "description": "Where an item came from: `bot:<name>`, `page:<id>`, or `carteiro` itself.",
        "examples": ["bot:support@example.com"],
    };
    FailureKind = {
        "type": "string",
        "enum": outcome::FailureKind::ALL,
        "description": "Why an attempt failed. `status`: a status that is neither 2xx nor 3xx. `redirect`: a 3xx; \
         redirects are not followed. `timeout`: the deadline passed. `dns`: the name could not be \
         resolved. `forbidden_address`: an address of the host is not public. `own_address`: the \
         URL leads to this deployment itself. `connect`: no connection could be made. `tls`: TLS \
         could not be agreed on, or the certificate is not good. `protocol`: the connection broke, \
         or what came over it is no HTTP response.",
    };
    Cause = {
        "type": "object",
        "description": "Why an attempt failed, more closely than its class says.",
        "required": ["code"],
        "properties": {
            "code": {
                "type": "string",
                "examples": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
                "description": "A stable code; `message` says it in words. More may be added. `only_ipv6`: the \
                 server has IPv6 addresses only, which cannot be reached from a function outside a \
                 VPC.",
            },
            "detail": {
                "type": "string",
                "x-max-bytes": MAX_DETAIL_BYTES,
                "description": "With `redirected`, where to: scheme, host and path, never a query. With \
                 `certificate_wrong_host`, the certificate's names. Otherwise absent.",
            },
        },
    };
    LastError = {
        "type": "object",
        "description": "A failed attempt.",
        "required": ["error", "status", "at", "message"],
        "properties": {
            "error": {"$ref": "#/components/schemas/FailureKind"},
            "status": {
                "type": ["integer", "null"],
                "minimum": 100,
                "maximum": 999,
                "description": "The HTTP status that the URL answered; null where none arrived.",
            },
            "at": {"$ref": "#/components/schemas/Time", "description": "When it was."},
            "cause": {"$ref": "#/components/schemas/Cause", "description": "Absent where no more is known."},
            "message": {"$ref": "#/components/schemas/AttemptMessage", "description": "It in words."},
        },
    };
    AttemptMessage = {
        "type": "object",
        "description": "Why an attempt failed, in both languages.",
        "required": ["pt-BR", "en"],
        "properties": {
            "pt-BR": {"type": "string", "description": "In Portuguese, as it is written in Brazil."},
            "en": {"type": "string", "description": "In English."},
        },
    };
    BlockMessage = {
        "type": "object",
        "description": "A text in both languages: what is blocked, why, since when, until when, what failed last, \
         and what to do.",
        "required": ["pt-BR", "en"],
        "properties": {
            "pt-BR": {"type": "string", "description": "In Portuguese, as it is written in Brazil."},
            "en": {"type": "string", "description": "In English."},
        },
    };
    TokenMessage = {
        "type": "object",
        "description": "A text in both languages: what is wrong with a page's token, and what to do.",
        "required": ["pt-BR", "en"],
        "properties": {
            "pt-BR": {"type": "string", "description": "In Portuguese, as it is written in Brazil."},
            "en": {"type": "string", "description": "In English."},
        },
    };
    FaultMessage = {
        "type": "object",
        "description": "What the operator has to mend, in words, with `pt-BR` and `en`.",
        "required": ["pt-BR", "en"],
        "properties": {
            "pt-BR": {"type": "string", "description": "In Portuguese, as it is written in Brazil."},
            "en": {"type": "string", "description": "In English."},
        },
    };
    ResponseHeaders = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": MAX_SHOWN_HEADERS,
        "description": "Some of the response's headers, by lower-case names: up to 20, 1024 bytes in all. None that \
         hold credentials; of a location no query; values of the webhook's own that are repeated \
         are masked. Of logged attempts, those of failures alone.",
    };
    PageFreshness = {
        "type": "object",
        "description": "How long a page's new things took from the network having them to their dispatch, in the \
         last 24 hours. Not counted: what has no time, edits and deletions, and what occurred \
         before the page was connected or while its token was dead.",
        "required": ["promise", "kinds"],
        "properties": {
            "promise": {"$ref": "#/components/schemas/FreshnessPromise"},
            "kinds": {
                "type": "object",
                "propertyNames": {"enum": Kind::ALL},
                "additionalProperties": {"$ref": "#/components/schemas/KindFreshness"},
                "description": "By kind, those of which there was one.",
            },
        },
    };
    WebhookState = {
        "type": "string",
        "enum": situation::WebhookState::ALL,
        "description": "The state of a webhook's worst item type. `blocked`: nothing of it is sent until the block ends. \
                        `failing`: its last attempts failed. `disabled`: the webhook is disabled. `open`: all is sent.",
    };
    AlertId = {
        "type": "string",
        "pattern": "^alert_[0-9a-f]{32}$",
        "description": "The id of an address for alerts.",
        "examples": ["alert_1a2b3c4d5e6f70811a2b3c4d5e6f7081"],
    };
    AlertEvent = {
        "type": "string",
        "enum": alert::AlertEvent::ALL,
        "description": "An event that an address is alerted of: a webhook that failed 90 % of its threshold (`failing`), is blocked, or \
                        was disabled by a 410; items that died (`dead`); a page whose token ends or lacks a permission \
                        (`token`); a page of which nothing comes (`silence`).",
    };
    Hour = {
        "type": "object",
        "description": "What was counted of an hour.",
        "required": ["hour", "failed", "delivered", "held"],
        "properties": {
            "hour": {
                "$ref": "#/components/schemas/Time",
                "description": "When it began; an hour of UTC. The last one is not over.",
            },
            "failed": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "How many attempts failed; null where that is not logged, or not all of it was read.",
            },
            "delivered": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "How many attempts succeeded; null where successes are not logged, or not all of it was read.",
            },
            "held": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "After how many attempts the item was held; null as for `failed`.",
            },
        },
    };
    Role = {
        "type": "string",
        "enum": session::Role::NAMES,
        "description": "What a session may do: `look` may only GET, `change` may do all that the account's key may.",
    };
    LinkId = {
        "type": "string",
        "pattern": "^link_[0-9a-f]{32}$",
        "description": "A sign-in link's id. It opens nothing.",
        "examples": ["link_0123456789abcdef0123456789abcdef"],
    };
    ;
    // What no answer of this function shows as a value of its own.
    BotItemType = {
        "type": "string",
        "enum": item::ItemType::OF_BOTS,
        "description": "The item types that bots produce.",
    };
    BotName = {
        "type": "string",
        "pattern": "^[A-Za-z0-9._@+~-]{1,128}$",
        "maxLength": MAX_BOT_NAME_BYTES,
        "description": "A bot's name, as its account chose it: 1 to 128 ASCII letters, digits or any of `. _ - @ + \
         ~`. Bots need no registration.",
        "examples": ["support@example.com"],
    };
    FreshnessPromise = {
        "type": "object",
        "description": "Within how long 95 % and 99 % of a page's things are to be dispatched.",
        "required": ["p95_seconds", "p99_seconds"],
        "properties": {
            "p95_seconds": {"type": "integer", "const": P95_PROMISE_SECONDS, "description": "15 minutes."},
            "p99_seconds": {"type": "integer", "const": P99_PROMISE_SECONDS, "description": "24 hours."},
        },
    };
    KindFreshness = {
        "type": "object",
        "description": "How many things of a kind there were, and within how many seconds so many of them were \
         dispatched: each is the upper bound of a range of the count, and 604800 stands for a week \
         or more.",
        "required": ["count", "median_seconds", "p95_seconds", "p99_seconds"],
        "properties": {
            "count": {"type": "integer", "minimum": 1, "description": "How many there were."},
            "median_seconds": {"type": "integer", "minimum": 1, "description": "Half of them."},
            "p95_seconds": {"type": "integer", "minimum": 1, "description": "95 % of them."},
            "p99_seconds": {"type": "integer", "minimum": 1, "description": "99 % of them."},
        },
    };
    Item = {
        "type": "object",
        "x-max-bytes": MAX_ITEM_BYTES,
        "description": "One item: a JSON object in UTF-8 of any form and depth, up to 262,144 bytes (256 KiB). It \
         is kept and delivered byte for byte. The `id` of a `message`, where it is a text that is \
         not empty, makes the item's id depend on account, bot, type, that `id` and the bytes \
         alone, so that receivers recognise a repeat.",
        "properties": {"id": {"description": "The producer's own id of the item."}},
        "examples": [
            {
                "content": "Olá!",
                "from": "5511999990000@example.com",
                "id": "m-1",
                "type": "text/plain",
            },
        ],
        "additionalProperties": true,
    };
    Accepted = {
        "type": "object",
        "description": "An item that is durably queued for every webhook that takes it.",
        "required": ["id", "webhooks"],
        "properties": {
            "id": {"$ref": "#/components/schemas/ItemId"},
            "webhooks": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_WEBHOOKS_PER_ACCOUNT,
                "description": "For how many webhooks it was queued; 0 where none takes it. A repeat under the same \
                 idempotency key answers the first request's number.",
            },
        },
    };
    BulkLine = {
        "type": "object",
        "description": "One line of a bulk request.",
        "required": ["type", "item"],
        "additionalProperties": false,
        "properties": {
            "type": {"$ref": "#/components/schemas/BotItemType"},
            "item": {"$ref": "#/components/schemas/Item"},
            "key": {
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": MAX_KEY_BYTES,
                "pattern": "^[ -~]+$",
                "description": "The line's idempotency key, as in the header `Idempotency-Key`.",
            },
        },
        "examples": [
            {
                "type": "message",
                "item": {
                    "content": "Olá!",
                    "from": "5511999990000@example.com",
                    "id": "m-1",
                    "type": "text/plain",
                },
                "key": "m-1",
            },
        ],
    };
    BulkResult = {
        "type": "object",
        "description": "What became of each line.",
        "required": ["results"],
        "properties": {
            "results": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_BULK_LINES,
                "description": "One entry for each line that is not blank, in the order of the lines.",
                "items": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/BulkAccepted"},
                        {"$ref": "#/components/schemas/BulkRefused"},
                    ],
                },
            },
        },
    };
    BulkAccepted = {
        "type": "object",
        "description": "A line whose item is durably queued for every webhook that takes it.",
        "required": ["id"],
        "properties": {"id": {"$ref": "#/components/schemas/ItemId"}},
    };
    BulkRefused = {
        "type": "object",
        "description": "A line that was not taken. Kind `invalid`: the line is not of its form, or its type, item \
         or key is not good: `errors` names which. `idempotency-conflict`: its key was used for \
         other bytes. `unavailable`: it is not certainly queued; send it again, under the same key.",
        "required": ["error"],
        "properties": {"error": {"$ref": "#/components/schemas/Problem"}},
    };
    TestItem = {
        "type": "object",
        "description": "The body that a test sends, in the form that Standard Webhooks recommends.",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": "carteiro.test"},
            "timestamp": {"$ref": "#/components/schemas/Time"},
            "data": {
                "type": "object",
                "description": "Which webhook is tested.",
                "required": ["webhook", "revision"],
                "properties": {
                    "webhook": {"$ref": "#/components/schemas/WebhookId"},
                    "revision": {"type": "integer", "minimum": 1, "description": "The webhook's revision."},
                },
            },
        },
    };
    Problem = {
        "type": "object",
        "description": "Problem details (RFC 9457). Tell the kinds apart by `type`; `detail` is for people and may \
         change.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {
                "type": "string",
                "enum": problem_types(),
                "description": "The kind. The set may grow.",
            },
            "title": {"type": "string", "description": "The kind, for people."},
            "status": {
                "type": "integer",
                "enum": problem_statuses(),
                "description": "The HTTP status; in a bulk result, that of the line alone, the request itself being \
                 answered 202.",
            },
            "detail": {"type": "string", "description": "What went wrong this time."},
            "errors": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/FieldError"},
                "description": "The fields that are wrong, all of them. Absent where no field is to blame.",
            },
            "request_id": {
                "type": "string",
                "description": "The id of this request, which the deployment's log names too. Absent in a bulk \
                 result, whose request has one id.",
            },
        },
    };
    FieldError = {
        "type": "object",
        "description": "A field that is wrong.",
        "required": ["field", "detail"],
        "properties": {
            "field": {
                "type": "string",
                "description": "The field, as a path: `url`, `headers.x-tenant`; or the name of a parameter or \
                 header.",
                "examples": ["url", "headers.x-tenant", "limit"],
            },
            "detail": {"type": "string", "description": "What is wrong with it."},
        },
    };
    GatewayMessage = {
        "type": "object",
        "description": "What the gateway in front answers by itself, before the API is reached.",
        "required": ["message"],
        "properties": {"message": {"type": "string"}},
    };
}
