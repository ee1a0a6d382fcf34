//! The routes of `IngestFunction`, which this function describes and does not serve: what bots send, and what networks
//! push. The networks' own tables say how each is checked ([`carteiro_networks::spec`]).

use carteiro_core::item::MAX_ITEM_BYTES;
use carteiro_core::ndjson::{MAX_BULK_BYTES, MAX_BULK_LINES};
use carteiro_core::problem::Problem;
use carteiro_networks::network::Network;
use carteiro_networks::push::MAX_PUSH_BYTES;
use carteiro_networks::push::signature::MAX_CHALLENGE_BYTES;
use carteiro_networks::spec::{PushSpec, Unsigned};
use serde_json::{Map, Value, json};

use super::parameters::shared;
use crate::values::reference;

/// The operations, by path and method.
pub(crate) fn paths() -> Map<String, Value> {
    let mut paths: Map<_, _> = SINGLE.iter().map(Single::described).collect();
    paths.insert("/bots/{bot}/items".to_owned(), json!({"post": bulk()}));
    for network in Network::ALL {
        let spec = network.spec();
        if let Some(push) = spec.push {
            let (check, take) = (check(network, push), take(network, push));
            paths.insert(format!("/push/{}", spec.name), json!({"get": check, "post": take}));
        }
    }
    paths
}

/// A route that takes one item as the whole body.
struct Single {
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    takes: &'static str,
    example: fn() -> Value,
}

const SINGLE: [Single; 3] = [
    Single {
        path: "messages",
        id: "sendMessage",
        summary: "Send a message",
        takes: "Takes a message that a bot sent or received.",
        example: || json!({"content": "Olá!", "from": "5511999990000@example.com", "id": "m-1", "type": "text/plain"}),
    },
    Single {
        path: "events",
        id: "sendEvent",
        summary: "Send an event",
        takes: "Takes an event track of a bot.",
        example: || json!({"action": "clicked", "category": "menu"}),
    },
    Single {
        path: "contacts",
        id: "sendContact",
        summary: "Send a contact",
        takes: "Takes a bot's contact, whole, after a change of it.",
        example: || json!({"identity": "5511999990000@example.com", "name": "Ana Exemplo"}),
    },
];

impl Single {
    fn described(&self) -> (String, Value) {
        let description = format!(
            "{} The answer comes when the item is durably queued for every webhook of the account that takes it. Without \
             an `Idempotency-Key`, a repeat after an error may deliver twice. The content type is not looked at.",
            self.takes
        );
        let operation = json!({
            "tags": ["bots"],
            "operationId": self.id,
            "summary": self.summary,
            "description": description,
            "security": [{"accountKey": []}],
            "parameters": [shared("idempotencyKey"), shared("hop")],
            "requestBody": {
                "required": true,
                "description": "The item, as the whole body. At most 262,144 bytes (256 KiB).",
                "content": {"application/json": {"schema": reference("Item"), "example": (self.example)()}},
                "x-max-bytes": MAX_ITEM_BYTES,
            },
            "responses": {
                "202": {
                    "description": "The item is queued.",
                    "content": {"application/json": {
                        "schema": reference("Accepted"),
                        "example": {"id": "item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8", "webhooks": 1},
                    }},
                },
                "422": {"$ref": "#/components/responses/InvalidOrIdempotencyConflict"},
                "508": {"$ref": "#/components/responses/LoopDetected"},
            },
        });
        (format!("/bots/{{bot}}/{}", self.path), json!({"post": operation}))
    }
}

fn bulk() -> Value {
    let lines = concat!(
        r#"{"type":"message","item":{"id":"m-1","content":"Olá!"},"key":"m-1"}"#,
        "\n",
        r#"{"type":"event","item":{"category":"menu","action":"clicked"}}"#,
        "\n",
        r#"{"type":"ticket","item":{}}"#,
        "\n"
    );
    let refused = "type: one of message, event, contact is expected";
    json!({
        "tags": ["bots"],
        "operationId": "sendItems",
        "summary": "Send many items",
        "description": "Takes many items of one bot, one a line. Lines stand alone: a bad one is answered with its error, \
                        and the others are taken. A key stands in the line; the header `Idempotency-Key` is refused with \
                        422, for it would protect nothing. A line that repeats the key of an earlier one of the same type \
                        gets that one's answer, or, with other bytes, an `idempotency-conflict`. The content type is not \
                        looked at.",
        "security": [{"accountKey": []}],
        "parameters": [shared("hop")],
        "requestBody": {
            "required": true,
            "description": "One JSON object a line, each of the form of the schema `BulkLine`, separated by line feeds; 1 \
                            to 10,000 lines, at most 4,194,304 bytes (4 MiB). A line feed after the last line is no \
                            further line. Blank lines are skipped, count for nothing, and have no result.",
            "content": {"application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_BULK_BYTES,
                    "contentMediaType": "application/x-ndjson",
                    "contentSchema": reference("BulkLine"),
                },
                "example": lines,
            }},
            "x-max-bytes": MAX_BULK_BYTES,
            "x-max-lines": MAX_BULK_LINES,
        },
        "responses": {
            "202": {
                "description": "Each line has its answer. Look at every one of them: the status is 202 also where no line \
                                was taken.",
                "content": {"application/json": {
                    "schema": reference("BulkResult"),
                    "example": {"results": [
                        {"id": "item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8"},
                        {"id": "item_00112233445566778899aabbccddeeff"},
                        {"error": Problem::invalid_field("type", refused)},
                    ]},
                }},
            },
            "508": {"$ref": "#/components/responses/LoopDetected"},
        },
    })
}

/// How a network's pushes differ from another's, as far as its specification does not say so.
struct Told {
    /// Its name in names of operations.
    title: &'static str,
    check: (&'static str, &'static str),
    parameters: fn() -> Value,
    /// What it is answered with, and its form.
    answer: (&'static str, fn() -> Value),
    take: &'static str,
    /// The form of its signature, and what is signed.
    signature: (&'static str, &'static str),
    /// The media type of its pushes, and one of them.
    push: (&'static str, fn() -> Value),
}

fn parameter(name: &str, schema: Value) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "required": true});
    parameter["schema"] = schema;
    parameter
}

fn text(content_type: &str, content: Value) -> Value {
    Value::Object(Map::from_iter([(content_type.to_owned(), content)]))
}

fn challenge_of_hub() -> Value {
    text("text/plain", json!({"schema": {"type": "string"}, "example": "1158201444"}))
}

fn told(network: Network) -> Told {
    match network {
        Network::X => of_x(),
        Network::Youtube => of_youtube(),
        Network::Linkedin => of_linkedin(),
        Network::Instagram => Told {
            title: "Instagram",
            check: ("Answer Instagram's check of this address", META_CHECK),
            take: "Take a push of Instagram's",
            push: ("application/json", || json!({"object": "instagram", "entry": []})),
            ..of_facebook()
        },
        Network::Facebook | Network::GooglePlay => of_facebook(),
    }
}

const BODY: &str = "The signature of the body's bytes as they are sent, made with a secret that the network and this \
                    deployment share.";

const META_CHECK: &str = "Meta's handshake: where the verify token is the deployment's, the challenge is answered as it \
                          came. No key is needed, and no table is read.";

fn of_facebook() -> Told {
    Told {
        title: "Facebook",
        check: ("Answer Facebook's check of this address", META_CHECK),
        parameters: || {
            json!([
                parameter("hub.mode", json!({"type": "string", "const": "subscribe"})),
                parameter("hub.verify_token", json!({"type": "string"})),
                parameter("hub.challenge", json!({"type": "string", "maxLength": MAX_CHALLENGE_BYTES})),
            ])
        },
        answer: ("The challenge.", challenge_of_hub),
        take: "Take a push of Facebook's",
        signature: ("^sha256=[0-9a-f]{64}$", BODY),
        push: ("application/json", || json!({"object": "page", "entry": []})),
    }
}

fn of_x() -> Told {
    Told {
        title: "X",
        check: (
            "Answer X's check of this address",
            "X's challenge-response check (CRC). No key is needed, and no table is read.",
        ),
        parameters: || {
            let token = json!({
                "type": "string",
                "maxLength": MAX_CHALLENGE_BYTES,
                "pattern": "^[A-Za-z0-9_=+/.~-]+$",
            });
            json!([parameter("crc_token", token)])
        },
        answer: ("The token's HMAC-SHA256 with the consumer secret, in base64.", || {
            let schema = json!({
                "type": "object",
                "required": ["response_token"],
                "properties": {"response_token": {
                    "type": "string",
                    "pattern": "^sha256=",
                    "description": "The token's HMAC-SHA256 with the consumer secret, in base64.",
                }},
            });
            let example = json!({"response_token": "sha256=rPq0FJoFEukzQI8G52D6xjiQ4BGXK4EuZWYZCWMMlsQ="});
            text("application/json", json!({"schema": schema, "example": example}))
        }),
        take: "Take a push of X's",
        signature: ("^sha256=[0-9A-Za-z+/]{43}=$", BODY),
        push: ("application/json", || json!({"for_user_id": "63046977", "tweet_create_events": []})),
    }
}

fn of_youtube() -> Told {
    Told {
        title: "Youtube",
        check: (
            "Answer a hub's question about a channel",
            "WebSub's verification of intent: the challenge is answered as it came, to `subscribe` while somebody has \
             connected the channel, to `unsubscribe` when nobody has; else, and at an address that the collector did not \
             make, the answer is 404. No key of an account is needed.",
        ),
        parameters: || {
            let mut lease = parameter("hub.lease_seconds", json!({"type": "integer"}));
            lease["required"] = json!(false);
            json!([
                shared("channel"),
                shared("addressKey"),
                parameter("hub.mode", json!({"type": "string", "enum": ["subscribe", "unsubscribe"]})),
                parameter("hub.topic", json!({"type": "string"})),
                lease,
                parameter("hub.challenge", json!({"type": "string", "maxLength": MAX_CHALLENGE_BYTES})),
            ])
        },
        answer: ("The challenge.", challenge_of_hub),
        take: "Take a hub's push of a channel's videos",
        signature: (
            "^sha1=[0-9a-f]{40}$",
            "The signature of the body's bytes as they are sent, made with the channel's secret. Without a valid one \
             nothing is stored.",
        ),
        push: ("application/atom+xml", || json!("<feed xmlns=\"http://www.w3.org/2005/Atom\"></feed>")),
    }
}

fn of_linkedin() -> Told {
    Told {
        title: "Linkedin",
        check: (
            "Answer LinkedIn's check of this address",
            "LinkedIn's validation, which it repeats each two hours. No key is needed, and no table is read.",
        ),
        parameters: || {
            json!([parameter(
                "challengeCode",
                json!({"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9-]+$"})
            )])
        },
        answer: ("The code, and its HMAC-SHA256 with the client secret, in hexadecimal digits.", || {
            let schema = json!({
                "type": "object",
                "required": ["challengeCode", "challengeResponse"],
                "properties": {
                    "challengeCode": {"type": "string", "description": "The code, as it came."},
                    "challengeResponse": {
                        "type": "string",
                        "pattern": "^[0-9a-f]{64}$",
                        "description": "Its HMAC-SHA256 with the client secret, in hexadecimal digits.",
                    },
                },
            });
            let example = json!({
                "challengeCode": "890e4665-4dfe-4ab1-b689-ed553bceeed0",
                "challengeResponse": "e9a5f6208c7f537f56d431fe83fd47433b0ea4baf0595a3280f2c55282135dde",
            });
            text("application/json", json!({"schema": schema, "example": example}))
        }),
        take: "Take a push of LinkedIn's",
        signature: (
            "^(hmacsha256=)?[0-9a-f]{64}$",
            "The signature of `hmacsha256=` and the body's bytes as they are sent, made with a secret that the network and \
             this deployment share.",
        ),
        push: (
            "application/json",
            || json!({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": []}),
        ),
    }
}

/// The answer to a network's check of its address here.
fn check(network: Network, _: &PushSpec) -> Value {
    let told = told(network);
    let (summary, description) = told.check;
    let (answered, content) = told.answer;
    json!({
        "tags": ["pushes"],
        "operationId": format!("check{}Address", told.title),
        "summary": summary,
        "description": description,
        "security": [],
        "parameters": (told.parameters)(),
        "responses": {"200": {"description": answered, "content": content()}},
    })
}

/// A network's pushes.
fn take(network: Network, push: &PushSpec) -> Value {
    let told = told(network);
    let is_ignored = matches!(push.unsigned, Unsigned::Ignored);
    let unsigned = " A push whose signature is not valid is answered with 200, too, as WebSub asks for, and is not stored.";
    let description = format!(
        "Takes what the network pushes. The answer comes when everything in it is in the inbox, so that what is not \
         answered with 200 is to be sent again, whole: what is there already is not stored twice. What belongs to a page \
         that nobody connected is counted, and what has no known form is kept as it came; both are answered with 200.{} \
         Without configured secrets the answer is 503.",
        if is_ignored { unsigned } else { "" }
    );
    let taken = match is_ignored {
        true => "Everything in it is in the inbox, or it was not signed by the hub. There is no body.",
        false => "Everything in it is in the inbox. There is no body.",
    };
    let (pattern, signed) = told.signature;
    let signature = json!({
        "name": push.signature_header,
        "in": "header",
        "required": !is_ignored,
        "description": signed,
        "schema": {"type": "string", "pattern": pattern},
    });
    let mut parameters = vec![shared("hop"), signature];
    if push.page_parameter.is_some() {
        parameters.splice(0..0, [shared("channel"), shared("addressKey")]);
    }
    let (media_type, example) = told.push;
    let form = if media_type == "application/json" { "object" } else { "string" };
    json!({
        "tags": ["pushes"],
        "operationId": format!("push{}", told.title),
        "summary": told.take,
        "description": description,
        "security": [],
        "parameters": parameters,
        "requestBody": {
            "required": true,
            "description": "The push, as the network sends it. At most 1,048,576 bytes (1 MiB).",
            "content": {media_type: {"schema": {"type": form}, "example": example()}},
            "x-max-bytes": MAX_PUSH_BYTES,
        },
        "responses": {"200": {"description": taken}},
    })
}
