//! What a webhook's URL receives: the document's `webhooks`.

use carteiro_adapters::http::sender::{MAX_RESPONSE_BYTES, USER_AGENT};
use carteiro_core::retry::{MAX_RETRY_AFTER, SCHEDULE};
use carteiro_core::signature::TOLERANCE_SECONDS;
use carteiro_networks::collected::SCHEMA;
use serde_json::{Value, json};

use crate::values::reference;

/// The published schema of collected items, as a schema of this document: without what says where it is published, and
/// without what clients made of the document cannot read.
pub(crate) fn collected_item() -> Value {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    for name in ["$schema", "$id", "title", "oneOf"] {
        schema.as_object_mut().map(|schema| schema.remove(name));
    }
    open(&mut schema);
    schema
}

/// Lets objects have further fields, which a later version may add, and marks be any truth value.
fn open(node: &mut Value) {
    match node {
        Value::Object(members) => {
            members.retain(|name, member| name != "additionalProperties" || *member != json!(false));
            if members.get("const").is_some_and(Value::is_boolean) {
                members.remove("const");
                members.insert("type".to_owned(), json!("boolean"));
            }
            members.iter_mut().filter(|(name, _)| *name != "examples").for_each(|(_, member)| open(member));
        }
        Value::Array(entries) => entries.iter_mut().for_each(open),
        _ => {}
    }
}

/// The schema of Carteiro's notices to an account.
pub(crate) fn notice() -> Value {
    json!({
        "type": "object",
        "description": "A notice of Carteiro's to an account, of type `notice`, in the form that Standard Webhooks \
                        recommends. More types, and more fields of `data`, may come.",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {
                "type": "string",
                "description": "What happened: `webhook.failing`, `webhook.blocked`, `webhook.released`, \
                                `webhook.disabled`, `webhook.dead`, or one about a page.",
            },
            "timestamp": reference("Time"),
            "data": {
                "type": "object",
                "description": "What it happened to, with texts in both languages where there is something to do.",
                "additionalProperties": true,
            },
        },
    })
}

fn header(name: &str, description: &str, schema: Value, example: &str) -> Value {
    let mut header = json!({"name": name, "in": "header", "required": true, "description": description, "example": example});
    header["schema"] = schema;
    header
}

/// The operations of receivers.
pub(crate) fn webhooks() -> Value {
    json!({"item": {"post": {
        "tags": ["deliveries"],
        "operationId": "receiveItem",
        "summary": "Receive an item",
        "description": description(),
        "security": [],
        "parameters": headers(),
        "requestBody": {
            "required": true,
            "description": "The item's bytes. The webhook's own headers come with it.",
            "content": {"application/json": {
                "schema": {"anyOf": [
                    reference("Item"),
                    reference("CollectedItem"),
                    reference("Notice"),
                    reference("TestItem"),
                ]},
                "examples": examples(),
            }},
        },
        "responses": responses(),
        "x-retry-seconds": SCHEDULE.map(|wait| wait.as_secs()),
        "x-retry-jitter-percent": 20,
        "x-max-retry-after-seconds": MAX_RETRY_AFTER.as_secs(),
        "x-timestamp-tolerance-seconds": TOLERANCE_SECONDS,
        "x-max-response-bytes": MAX_RESPONSE_BYTES,
    }}})
}

fn responses() -> Value {
    let later = json!({
        "description": "A failure; the retry comes no sooner than `Retry-After` says.",
        "headers": {"Retry-After": {"$ref": "#/components/headers/Retry-After"}},
    });
    json!({
        "2XX": {"description": "A success: it is done with."},
        "410": {"description": "A failure, and the address is gone for good: the webhook is disabled."},
        "429": later,
        "503": later,
        "default": {"description": "A failure: it is attempted again, as the schedule says."},
    })
}

fn description() -> String {
    let attempts = SCHEDULE.len() + 1;
    let paragraphs = [
        "What a webhook's URL receives: one item: a bot's as the bot sent it, byte for byte; a \
         page's, of type `publication` or `interaction`, as the schema `CollectedItem` says."
            .to_owned(),
        format!(
            "**Verify it.** Deliveries are signed as [Standard \
         Webhooks](https://www.standardwebhooks.com) says, over \
         `<webhook-id>.<webhook-timestamp>.<body>`, the body's bytes as they came. By the secret: \
         compute HMAC-SHA256 with its bytes (base64 after `whsec_`) as the key; the delivery is \
         genuine if its base64 is one of those that stand after `v1,` in `webhook-signature`. By \
         the public key of a webhook with a key pair (base64 after `whpk_`): the delivery is \
         genuine if one of those that stand after `v1a,` is its ed25519 signature. One of the two \
         is enough. Refuse a timestamp more than {TOLERANCE_SECONDS} s from your clock."
        ),
        "**Answer it.** A success is a status 200 to 299 whose response arrives whole within the \
         deadline: 15 s unless the deployment's operator chose otherwise (1 to 20 s), over name \
         resolution, connecting, TLS, request and response. The response's body is read to at most \
         65,536 bytes (64 KiB) and ignored. Everything else is a failure: any other status \
         (redirects are not followed), no answer in time, an address that is not public, a \
         connection or TLS that fails. Answer first and work afterwards."
            .to_owned(),
        format!(
            "**Retries.** After a failed attempt the next one comes after 5 s, 30 s, 5 min, 30 min, 2 h, \
         5 h, 10 h, 14 h, 20 h and 24 h, each up to 20 % more or less: {attempts} attempts at most, \
         within the 14 days that an item is held (unless the deployment's operator chose \
         otherwise). After the last one the item is dead and is not attempted again by itself. \
         `Retry-After` (seconds or a date) on a 429 or 503 can lengthen a wait, up to 24 h, never \
         shorten it. A 410 disables the webhook, if it comes from its current URL, headers and \
         credentials, and a notice of type `webhook.disabled` tells so; its items are held until it \
         is enabled, or until they have been held for those 14 days."
        ),
        "**Blocks.** Failed attempts are counted in a row, for each webhook and item type, retries \
         included; one success ends the count. At 1000 of them nothing more of that type is \
         requested of the URL for 4 hours (both as the webhook or the deployment sets them), apart \
         from what is in flight already. What comes meanwhile is held and sent afterwards, or \
         dropped where the webhook says so. Other types go on. A change of the URL, the headers, \
         the secret or the key pair, and `POST /webhooks/{webhook}/unblock`, end the block at once."
            .to_owned(),
        "**Expect repeats and any order.** Delivery is at least once: the same `webhook-id` may come \
         more than once, also after a success whose record was lost. Items may arrive in another \
         order than they were produced in."
            .to_owned(),
    ];
    paragraphs.join("\n\n")
}

fn headers() -> Value {
    json!([
        header(
            "webhook-id",
            "The item's id, the same on every attempt: what repeats are recognised by.",
            reference("ItemId"),
            "item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8",
        ),
        header(
            "webhook-timestamp",
            "When this attempt was made, in seconds since the Unix epoch.",
            json!({"type": "string", "pattern": "^[0-9]+$"}),
            "1795262400",
        ),
        header(
            "webhook-signature",
            "One `v1,<base64>` for each secret that signs, and one `v1a,<base64>` for each key pair, \
             separated by spaces. Take any that fits, and pass over versions that you do not know.",
            json!({"type": "string", "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*( v1a,[A-Za-z0-9+/]{86}==)*$"}),
            "v1,n3QU3rUg96WiTLUzuOIZvlIq3cN98nD6jAQ7GWN86iY= v1a,PJuLxjdYQRXzwNeVKiyFu/t1tOVlAmeo6xgOnZzmG/BIGei8dezB4xUvGAqvsWe5uGW1fHgzhKojDO8wgdtjAw==",
        ),
        header(
            "carteiro-item-type",
            "What the item is; `test` for that of a test.",
            json!({"anyOf": [reference("ItemType"), {"type": "string", "const": "test"}]}),
            "message",
        ),
        header(
            "carteiro-source",
            "Where the item came from.",
            reference("Source"),
            "bot:support@example.com",
        ),
        header(
            "carteiro-attempt",
            "The number of this attempt: 1, 2, …",
            json!({"type": "string", "pattern": "^[1-9][0-9]*$"}),
            "1",
        ),
        header(
            "carteiro-hop",
            "How often the item has passed through Carteiro, this passage included. A notice always \
             has 3, which no intake takes. Pass it on where you pass deliveries on to Carteiro.",
            json!({"type": "string", "pattern": "^[1-3]$"}),
            "1",
        ),
        header(
            "accept",
            "Any answer is taken. A webhook's own header of this name takes its place.",
            json!({"type": "string"}),
            "*/*",
        ),
        header(
            "user-agent",
            "Carteiro and its version.",
            json!({"type": "string", "pattern": "^Carteiro/"}),
            USER_AGENT,
        ),
    ])
}

fn examples() -> Value {
    let published: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    let comment = published["examples"][0].clone();
    let mut post = comment.clone();
    for (name, value) in [
        ("id", json!("item_0c1d2e3f405162738495a6b7c8d9eafb")),
        ("type", json!("publication")),
        ("kind", json!("post")),
        ("author", json!({"id": "110000000000011", "name": "Acme", "username": null})),
        ("text", json!("Chegou a nova coleção!")),
        ("parent", Value::Null),
        ("link", json!("https://www.facebook.com/110000000000011/posts/5001")),
        ("thing", json!("110000000000011_5001")),
        (
            "raw",
            json!({"field": "feed", "value": {"item": "status", "verb": "add", "post_id": "110000000000011_5001"}}),
        ),
    ] {
        post[name] = value;
    }
    json!({
        "message": {
            "summary": "A bot's message, signed with the secret that the schema `Secret` shows, and by the key \
             pair whose public key `PublicKey` shows",
            "value": {"content": "Olá!", "from": "5511999990000@example.com", "id": "m-1", "type": "text/plain"},
        },
        "event": {
            "summary": "A bot's event",
            "value": {"action": "clicked", "category": "menu"},
        },
        "contact": {
            "summary": "A bot's contact",
            "value": {"identity": "5511999990000@example.com", "name": "Ana Exemplo"},
        },
        "publication": {
            "summary": "A page's own post, as the schema `CollectedItem` says",
            "value": post,
        },
        "comment": {
            "summary": "A comment on a page's post, as the schema `CollectedItem` says; of type `interaction`",
            "value": comment,
        },
        "notice": {
            "summary": "A notice that a type is blocked at another webhook of the account",
            "value": super::examples::notice(),
        },
        "test": {
            "summary": "The item of a test",
            "value": {"type": "carteiro.test", "timestamp": "2026-11-21T12:00:00.000Z", "data": {"webhook": "wh_4f5e6d7c8b9a0f1e2d3c4b5a69788796", "revision": 1}},
        },
    })
}
