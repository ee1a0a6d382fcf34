//! The bodies that requests have.
//!
//! Parsers of the core read them, and name all wrong fields at once; no type of theirs has the form of the JSON. So
//! their schemas are made here: what is answered, too, has the schema of the answer, as far as the core lists it among
//! what can be set.

use std::borrow::Cow;

use carteiro_core::address::MAX_URL_BYTES;
use carteiro_core::credentials::MAX_OVERLAP_SECONDS;
use carteiro_core::session::LANGUAGES;
use carteiro_core::webhook::{MAX_HEADER_BYTES, MAX_HEADERS, RESERVED_HEADER_PREFIXES, RESERVED_HEADERS};
use carteiro_networks::page::MAX_TOKEN_BYTES;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::accounts::MAX_NAME_BYTES;
use crate::read_only::Compared;
use crate::values::{described, names, reference};
use crate::{pages, webhooks};

names! {
    AccountRequest AlertCode AlertSettings LinkRequest PagePatch PageRequest ReplayRequest RotationRequest SessionRequest TestRequest
    WebhookPatch WebhookRequest
}

described! {
    AccountRequest = {
        "type": "object",
        "description": "A new account.",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_NAME_BYTES,
                "x-max-bytes": MAX_NAME_BYTES,
                "description": "Its name, in the operator's words: 1 to 256 bytes of UTF-8 after the spaces around it are \
                                taken off.",
            },
        },
    };
    TestRequest = {
        "type": "object",
        "description": "What to send. A field that is not listed is refused.",
        "additionalProperties": false,
        "properties": {
            "item": {
                "type": ["object", "null"],
                "additionalProperties": true,
                "description": "The body to send in place of the test's own; it is labelled as a test all the same.",
            },
        },
    };
    AlertSettings = {
        "type": "object",
        "description": "A new address. A field that is not listed is refused.",
        "required": ["kind", "address"],
        "additionalProperties": false,
        "properties": {
            "kind": {
                "type": "string",
                "enum": ["email", "chat"],
                "description": "An e-mail address, or the URL of a chat's incoming webhook, which takes a JSON object with \
                                `text` (Slack, Google Chat, Teams). Where the operator has set no sender, `email` is a 422.",
            },
            "address": {
                "type": "string",
                "maxLength": MAX_URL_BYTES,
                "description": "The address; a URL is https, as a webhook's.",
            },
            "language": {
                "type": "string",
                "enum": LANGUAGES,
                "description": "The language of what is sent there; `pt-BR` where this is left out.",
            },
            "events": {
                "type": "array",
                "items": reference("AlertEvent"),
                "minItems": 1,
                "description": "The events that the address is alerted of; all where this is left out.",
            },
        },
    };
    AlertCode = {
        "type": "object",
        "description": "The code that was sent to an address.",
        "required": ["code"],
        "additionalProperties": false,
        "properties": {
            "code": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "description": "The code, in any case, with or without spaces and hyphens.",
            },
        },
    };
    LinkRequest = {
        "type": "object",
        "description": "What a sign-in link is for. A field that is not listed is refused.",
        "additionalProperties": false,
        "properties": {
            "role": {
                "$ref": "#/components/schemas/Role",
                "description": "What its session may do; `change` where this is left out.",
            },
            "seconds": {
                "type": "integer",
                "minimum": 30,
                "maximum": 3600,
                "description": "How long it works; 300 seconds where this is left out.",
            },
            "language": {
                "type": "string",
                "enum": LANGUAGES,
                "description": "The language in which the console opens; where it is left out, `pt-BR`.",
            },
            "to": {
                "type": "string",
                "pattern": "^(webhooks|pages|wh_[0-9a-f]{32})$",
                "description": "Where it leads: `webhooks`, `pages`, or a webhook's id.",
            },
        },
    };
    SessionRequest = {
        "type": "object",
        "description": "One of the two.",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
        "properties": {
            "link": {"type": "string", "description": "The token of a sign-in link: what stands behind `link=`."},
            "key": reference("Key"),
        },
    };
    RotationRequest = {
        "type": "object",
        "description": "How to rotate. Null counts as left out. A field that is not listed is refused.",
        "additionalProperties": false,
        "properties": {
            "secret": {
                "anyOf": [reference("Secret"), {"type": "null"}],
                "description": "The new secret, one of your own. Null or left out, one is made. The current one, given \
                                again, stays, so a repeat changes nothing; one that was replaced and still signs comes back.",
            },
            "key_pair": {
                "type": ["boolean", "null"],
                "description": "Whether the key pair is replaced too; it is not where this is left out. Refused where the \
                                webhook has none.",
            },
            "overlap_seconds": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": MAX_OVERLAP_SECONDS,
                "description": "How long all that was there before goes on signing, in seconds: 0 to 604,800 (7 days); \
                                86,400 (24 hours) where it is left out. 0 ends it at once, for a secret that leaked. What an \
                                earlier rotation replaced ends no later than this says either.",
            },
        },
    };
    ReplayRequest = {
        "type": "object",
        "additionalProperties": false,
        "description": "What is to be replayed: `item` alone, or `type` with or without a span. One of the two is needed.",
        "properties": {
            "item": {"$ref": "#/components/schemas/ItemId", "description": "One dead item, or a held one."},
            "type": {"$ref": "#/components/schemas/ItemType", "description": "Dead items of this type."},
            "from": {
                "anyOf": [reference("Time"), {"type": "null"}],
                "description": "Those that were accepted then or later; with a type alone.",
            },
            "to": {
                "anyOf": [reference("Time"), {"type": "null"}],
                "description": "Those that were accepted before then; later than `from`, and with a type alone.",
            },
        },
    };
    WebhookRequest = {};
    WebhookPatch = {};
    PageRequest = {};
    PagePatch = {};
}

/// The schemas that follow from those of the answers.
pub(crate) fn of_answers(webhook: &Value, page: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("WebhookRequest", webhook_request(webhook)),
        ("WebhookPatch", webhook_patch(webhook)),
        ("PageRequest", page_request(page)),
        ("PagePatch", page_patch(page)),
    ]
}

/// What a webhook is set to, as it is answered. What need not be there may be null.
fn webhook_settings(webhook: &Value, masked: &str, header: &Value) -> Map<String, Value> {
    let mut settings = Map::new();
    for name in ["url", "items"] {
        settings.insert(name.to_owned(), webhook["properties"][name].clone());
    }
    let optional = [
        "sources",
        "while_blocked",
        "log",
        "description",
        "enabled",
        "threshold",
        "block_seconds",
        "key_pair",
    ];
    for name in optional {
        settings.insert(name.to_owned(), or_null(webhook["properties"][name].clone()));
    }
    let headers = json!({
        "type": ["object", "null"],
        "maxProperties": MAX_HEADERS,
        "x-max-bytes": MAX_HEADER_BYTES,
        "propertyNames": {"pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"},
        "additionalProperties": {"type": header, "pattern": "^([!-~]([ -~]*[!-~])?)?$"},
        "x-reserved-names": RESERVED_HEADERS,
        "x-reserved-prefixes": RESERVED_HEADER_PREFIXES,
        "description": format!(
            "Headers that every request to the URL carries, such as `authorization`: up to 20, names of 1 to 128 bytes, \
             4096 bytes of names and values in all. Names are stored and answered in lower case; values are printable \
             ASCII without spaces around them. Names in `x-reserved-names`, and those that begin with one of \
             `x-reserved-prefixes`, are refused: Carteiro or HTTP itself sets them. Answers show `********` in place of \
             each value; {masked}"
        ),
    });
    settings.insert("headers".to_owned(), headers);
    for name in ["items", "sources"] {
        // Repeats are taken.
        if let Some(list) = settings.get_mut(name).and_then(Value::as_object_mut) {
            list.remove("uniqueItems");
        }
    }
    settings
}

fn webhook_request(webhook: &Value) -> Value {
    let masked = "here it is refused, for nothing is stored yet.";
    let mut properties = webhook_settings(webhook, masked, &json!("string"));
    properties.insert(
        "secret".to_owned(),
        json!({
            "anyOf": [reference("Secret"), {"type": "null"}],
            "description": "A secret of your own. Null or left out, one is made.",
        }),
    );
    describe(
        &mut properties,
        "key_pair",
        "Whether it gets an ed25519 key pair, so that every delivery carries a `v1a` signature beside the `v1`. The private \
         key is never shown. It gets none where this is left out.",
    );
    json!({
        "type": "object",
        "description": "A new webhook. Null counts as left out. A field that is not listed is refused.",
        "required": ["url", "items"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn webhook_patch(webhook: &Value) -> Value {
    let masked = "sent back, it keeps the value that is stored, and where there is none it is refused.";
    let mut properties = webhook_settings(webhook, masked, &json!(["string", "null"]));
    describe(
        &mut properties,
        "key_pair",
        "Whether it has an ed25519 key pair. True gives it one, and leaves the one that it has; false and null take it \
         away, and with it those that it replaced, at once.",
    );
    properties.extend(as_answered(&webhooks::READ_ONLY));
    json!({
        "type": "object",
        "description": "Changes to a webhook, as a JSON merge patch (RFC 7396): what is left out stays, null resets to the \
                        default. Lists are replaced whole; headers are merged by name, null removing one. Name a header in \
                        lower case, as it is answered. `url` and `items` cannot be removed. The result as a whole must be \
                        valid. What `GET` answered can be sent back: read-only fields are passed over where they are as \
                        they were answered, and refused where they are not. Of `status` the states are compared. A field \
                        that is not listed is refused.",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// What a page is set to, as it is answered, and its tokens, which never are.
fn page_settings(page: &Value) -> Map<String, Value> {
    let mut settings = Map::new();
    for name in ["network", "network_id", "name"] {
        settings.insert(name.to_owned(), page["properties"][name].clone());
    }
    for name in ["delivery", "login"] {
        settings.insert(name.to_owned(), or_null(page["properties"][name].clone()));
    }
    let own = json!({
        "access_token": {
            "type": "string",
            "minLength": 1,
            "x-max-bytes": MAX_TOKEN_BYTES,
            "writeOnly": true,
            "description": "What calls to the network carry: 1 to 16384 bytes of visible ASCII without spaces; for Google \
                            Play also a service account's key, a JSON object as text. Never answered.",
        },
        "refresh_token": {
            "type": ["string", "null"],
            "minLength": 1,
            "x-max-bytes": MAX_TOKEN_BYTES,
            "writeOnly": true,
            "description": "What a new access token is fetched with, where the network has such: visible ASCII, as long. \
                            Never answered.",
        },
        "expires_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the access token ends, where that is known.",
        },
        "ad_account": {
            "type": ["string", "integer", "null"],
            "minimum": 0,
            "pattern": "^(act_)?[0-9]{1,20}$",
            "description": "The ad account whose running ads are listed, on Facebook and Instagram, so that the posts \
                            behind its ads that are this page's, and the comments on them, are collected, too: `act_` and \
                            1 to 20 digits. It may serve other pages. The token needs `ads_read`; without it the rest is \
                            collected. With Instagram's own login it has no effect. The digits alone are taken, too. On \
                            the other networks it is refused.",
        },
    });
    if let Value::Object(own) = own {
        settings.extend(own);
    }
    describe(
        &mut settings,
        "login",
        "How the account was connected, on Instagram: `facebook`: by Facebook Login, with the token of its Facebook page; \
         `instagram`: by Instagram's own login; `unified`: by Meta's unified login, with the token of a Business \
         Integration System User. Left out, it is told by the token, where that can be. On the other networks it is \
         refused.",
    );
    settings
}

fn page_request(page: &Value) -> Value {
    json!({
        "type": "object",
        "description": "A new page. A field that is not listed is refused; null counts as left out.",
        "required": ["network", "network_id", "name", "access_token"],
        "additionalProperties": false,
        "properties": page_settings(page),
    })
}

fn page_patch(page: &Value) -> Value {
    let mut properties = page_settings(page);
    properties.extend(as_answered(&pages::READ_ONLY));
    json!({
        "type": "object",
        "description": "Changes to a page, as a JSON merge patch (RFC 7396): what is left out stays; null removes \
                        `refresh_token`, `expires_at`, `login` and `ad_account`, and resets `delivery`. Another `login` or \
                        `ad_account` sets the page going anew, as a new token does. `network` and `network_id` are taken \
                        where they are the same. What `GET` answered can be sent back: read-only fields are passed over \
                        where they are as they were answered, and refused where they are not. `push`, `last_tick` and \
                        `next_at` move by themselves and are not compared, nor is the `message` of `token`. A field that \
                        is not listed is refused.",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// The fields of an answer that may be sent back.
fn as_answered(read_only: &[(&str, Compared)]) -> impl Iterator<Item = (String, Value)> {
    let described = json!({"readOnly": true, "description": "As `GET` answered it."});
    read_only.iter().map(move |(name, _)| ((*name).to_owned(), described.clone()))
}

/// Replaces the description of a property.
fn describe(properties: &mut Map<String, Value>, name: &str, description: &str) {
    if let Some(property) = properties.get_mut(name) {
        property["description"] = json!(description);
    }
}

/// A schema that takes null, too.
fn or_null(mut schema: Value) -> Value {
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(Value::String(kind)) = schema.get("type") {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}
