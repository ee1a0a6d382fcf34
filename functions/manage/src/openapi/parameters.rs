//! The parameters of routes: those of the query by one table, which the routing reads, too; those of the path by their
//! names in it.

use carteiro_adapters::runtime::http_api::Request;
use carteiro_core::activity::MAX_HOURS;
use carteiro_core::cursor::{DEFAULT_LIMIT, MAX_CURSOR_BYTES, MAX_LIMIT};
use carteiro_core::hop;
use carteiro_core::idempotency::MAX_KEY_BYTES;
use carteiro_core::problem::Problem;
use serde_json::{Map, Value, json};

use crate::call::is_open_to_operator;
use crate::unhealthy::Trouble;
use crate::values::{one_of, reference};

/// A parameter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// The account that the operator means.
    Account,
    /// The most entries of a page.
    Limit,
    /// Where a page begins.
    Cursor,
    /// An item type, by which a list is narrowed.
    Type,
    /// The item type that is meant, which must be named.
    WhichType,
    /// Whether items are shown with their bytes.
    Items,
    /// A state of what is unhealthy.
    Trouble,
    /// States of webhooks.
    States,
    /// A number of hours.
    Hours,
    /// A webhook, by which a lookup is narrowed.
    Webhook,
    /// Attempts that succeeded, or those that failed.
    Outcome,
    /// An item.
    Item,
    /// A beginning.
    From,
    /// An end.
    To,
}

/// The parameters of a route's query, in the order of the description. A request with another one is refused.
pub(crate) fn of_query(route: &str) -> Vec<Query> {
    use Query::{
        Account, Cursor, From, Hours, Item, Items, Limit, Outcome, States, To, Trouble, Type, Webhook,
        WhichType,
    };
    let own: &[Query] = match route {
        "GET /unhealthy" => &[Trouble, Limit, Cursor],
        "GET /items/{item}" => &[Webhook],
        "GET /webhooks" => &[States, Limit, Cursor],
        "GET /webhooks/{webhook}/activity" => &[Hours],
        "GET /accounts" | "GET /pages" | "GET /webhooks/{webhook}/replay" => &[Limit, Cursor],
        "GET /webhooks/{webhook}/held" | "GET /webhooks/{webhook}/dead" => &[Type, Items, Limit, Cursor],
        "DELETE /webhooks/{webhook}/held" => &[WhichType],
        "GET /webhooks/{webhook}/attempts" => &[Type, Outcome, Item, From, To, Limit, Cursor],
        _ => &[],
    };
    let of_account = is_of_account(route) && is_open_to_operator(route);
    of_account.then_some(Account).into_iter().chain(own.iter().copied()).collect()
}

/// Refuses a request whose query has a parameter that its route does not know.
pub(crate) fn refuse_unknown(request: &Request) -> Result<(), Problem> {
    let known: Vec<_> = of_query(request.route()).into_iter().map(Query::name).collect();
    request.refuse_query_beside(&known)
}

/// Whether a route is one of an account's things.
pub(crate) fn is_of_account(route: &str) -> bool {
    let path = route.split_once(' ').map_or("", |(_, path)| path);
    path == "/account"
        || ["/webhooks", "/pages", "/alerts", "/items/"].iter().any(|beginning| path.starts_with(beginning))
}

impl Query {
    /// Its name in the query.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Limit => "limit",
            Self::Cursor => "cursor",
            Self::Type | Self::WhichType => "type",
            Self::Items => "items",
            Self::Trouble | Self::States => "state",
            Self::Hours => "hours",
            Self::Webhook => "webhook",
            Self::Outcome => "outcome",
            Self::Item => "item",
            Self::From => "from",
            Self::To => "to",
        }
    }

    /// Its description: a reference, where it is shared.
    pub(crate) fn described(self) -> Value {
        let own = |description: &str, schema: Value| json!({"name": self.name(), "in": "query", "description": description, "schema": schema});
        match self {
            Self::Account => shared("ofAccount"),
            Self::Limit => shared("limit"),
            Self::Cursor => shared("cursor"),
            Self::Type => shared("type"),
            Self::Items => shared("items"),
            Self::WhichType => {
                let mut which = own(
                    "The item type. There is no default, so that a request without it cancels nothing.",
                    reference("ItemType"),
                );
                which["required"] = Value::Bool(true);
                which
            }
            Self::Trouble => own("Of this state alone.", text(one_of(Trouble::ALL))),
            Self::States => own(
                "Those in one of these states alone, with commas between: `blocked`, `failing`, `disabled`, `open`.",
                json!({"type": "string", "examples": ["blocked,failing,disabled"]}),
            ),
            Self::Hours => own(
                "How many hours, the one that is under way included; 24 where it is left out.",
                json!({"type": "integer", "minimum": 1, "maximum": MAX_HOURS}),
            ),
            Self::Webhook => own("At this webhook alone.", reference("WebhookId")),
            Self::Outcome => {
                own("Those that succeeded, or those that failed.", text(one_of(["success", "failure"])))
            }
            Self::Item => own("Of this item alone.", reference("ItemId")),
            Self::From => own("Those that ended then or later.", reference("Time")),
            Self::To => own("Those that ended before then.", reference("Time")),
        }
    }
}

fn text(mut schema: Value) -> Value {
    schema["type"] = json!("string");
    schema
}

/// A reference to a shared parameter.
pub(crate) fn shared(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// The parameters of a path: its parts in braces.
pub(crate) fn of_path(path: &str) -> Vec<Value> {
    path.split('/').filter_map(|part| Some(shared(part.strip_prefix('{')?.strip_suffix('}')?))).collect()
}

/// The shared parameters, as the document's components.
pub(crate) fn components() -> Value {
    let in_path = |name: &str, schema: &str, description: &str| json!({"name": name, "in": "path", "required": true, "description": description, "schema": reference(schema)});
    let mut components = Map::new();
    for (name, schema, description) in [
        ("account", "AccountId", "The account's id."),
        ("key", "KeyId", "The key's id, not the key itself."),
        ("webhook", "WebhookId", "The webhook's id."),
        ("item", "ItemId", "The item's id."),
        ("replay", "ReplayId", "The replay's id."),
        ("page", "PageId", "The page's id."),
        ("alert", "AlertId", "The id of an address for alerts."),
    ] {
        components.insert(name.to_owned(), in_path(name, schema, description));
    }
    let mut asset = in_path("asset", "Time", "The file's name.");
    asset["schema"] = json!({"type": "string", "examples": ["console.js"]});
    components.insert("asset".to_owned(), asset);
    let mut link = in_path("link", "Time", "The end of the link in an alert.");
    link["schema"] = json!({"type": "string", "maxLength": 200});
    components.insert("link".to_owned(), link);
    let bot = "The bot that produced the item. It becomes the item's source, `bot:<name>`. Percent-encoded characters \
               are decoded.";
    let mut of_bot = in_path("bot", "BotName", bot);
    of_bot["example"] = json!("support@example.com");
    components.insert("bot".to_owned(), of_bot);
    let problem = "The kind of problem: the last part of its `type`.";
    components.insert(
        "problem".to_owned(),
        json!({
            "name": "problem", "in": "path", "required": true, "description": problem, "schema": {"type": "string"},
            "example": "not-found",
        }),
    );
    for others in [of_lists(), of_headers(), of_pushes()] {
        components.extend(others.as_object().cloned().unwrap_or_default());
    }
    Value::Object(components)
}

/// What chooses from a list.
fn of_lists() -> Value {
    json!({
        "ofAccount": {
            "name": "account",
            "in": "query",
            "description": "Whose things are meant, where the admin key asks. An account's key may name its own account \
                            alone.",
            "schema": reference("AccountId"),
        },
        "limit": {
            "name": "limit",
            "in": "query",
            "description": format!("How many entries a page has at most: 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} where it is left out."),
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            "example": DEFAULT_LIMIT,
        },
        "cursor": {
            "name": "cursor",
            "in": "query",
            "description": "Where the page begins: `next` of the page before, unread and unchanged. A cursor serves the \
                            list that gave it alone.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR_BYTES, "pattern": "^[A-Za-z0-9_-]+$"},
        },
        "type": {
            "name": "type",
            "in": "query",
            "description": "Of this item type alone.",
            "schema": reference("ItemType"),
        },
        "items": {
            "name": "items",
            "in": "query",
            "description": "Whether the items themselves are in the answer; they are not where it is left out.",
            "schema": {"type": "boolean"},
        },
    })
}

fn of_headers() -> Value {
    json!({
        "idempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes a repeat safe. Within 24 hours, a request with the same key of the same account, bot and \
                            item type answers the same id and delivers nothing twice; with other bytes it is refused with \
                            422. A repeat of a request that was cut short finishes it. While the first request is still \
                            under way, the repeat waits for it, or is answered 503.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES, "pattern": "^[ -~]+$"},
            "example": "order-1001-created",
        },
        "ifNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an answer that the client has; several with commas between. While it is still \
                            the answer, 304 is answered.",
            "schema": {"type": "string"},
            "example": "\"1Qyb5oCzT7wvFqY9Pv0m3g\"",
        },
        "hop": {
            "name": hop::HEADER,
            "in": "header",
            "description": "How often what is sent has passed through Carteiro before; 0 where it is left out. Deliveries \
                            carry it, one higher: pass it on where you pass deliveries on, so that loops end. At 3 the \
                            request is refused with 508 and nothing is taken. The highest of several numbers counts, and \
                            what is no number counts as 3.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
            "example": "1",
        },
    })
}

/// What the collector writes into an address that a hub pushes to.
fn of_pushes() -> Value {
    json!({
        "channel": {
            "name": "channel",
            "in": "query",
            "required": true,
            "description": "The channel's id, in the address that the collector gave to the hub.",
            "schema": {"type": "string", "maxLength": 128},
        },
        "addressKey": {
            "name": "key",
            "in": "query",
            "required": true,
            "description": "What shows that the collector made the address.",
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
    })
}
