//! Examples of answers. A test holds each of them to its schema.

use carteiro_core::cause::{Cause, Code};
use carteiro_core::cursor;
use carteiro_core::holding::HeldFor;
use carteiro_core::item::ItemType;
use carteiro_core::item_state::{self, Stored};
use carteiro_core::message::{self, LastError, Message};
use carteiro_core::outcome::FailureKind;
use carteiro_core::situation::{self, Facts, HeldItems, Plight};
use carteiro_core::time;
use carteiro_core::webhook::WhileBlocked;
use carteiro_networks::network::Network;
use carteiro_networks::poll::OperatorFault;
use jiff::Timestamp;
use serde_json::{Value, json};

const ACCOUNT: &str = "acc_0123456789abcdef0123456789abcdef";
const KEY: &str = "key_89abcdef0123456789abcdef01234567";
const WEBHOOK: &str = "wh_4f5e6d7c8b9a0f1e2d3c4b5a69788796";
const ITEM: &str = "item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8";
const PAGE: &str = "page_7a6b5c4d3e2f10897a6b5c4d3e2f1089";
const REPLAY: &str = "rep_019f2b3c4d5e00000a1b2c3d4e5f6071";
const SOURCE: &str = "bot:support@example.com";

/// 2026-11-21, 12:00 UTC: when most of it happens.
const NOON: i64 = 1_795_262_400;

/// A time, so many seconds after [`NOON`].
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON + seconds).unwrap_or_default()
}

/// The same, as answers show it.
fn shown(seconds: i64) -> String {
    time::shown(at(seconds))
}

fn list(entry: &Value) -> Value {
    json!({"data": [entry], "next": null})
}

/// An object with some of its members replaced.
fn with(mut object: Value, changes: Value) -> Value {
    if let (Value::Object(object), Value::Object(changes)) = (&mut object, changes) {
        object.extend(changes);
    }
    object
}

fn account() -> Value {
    json!({"id": ACCOUNT, "name": "Example Ltda", "created_at": shown(0)})
}

pub(crate) fn accounts() -> Value {
    json!({"data": [account()], "next": cursor::encode("accounts", ACCOUNT)})
}

pub(crate) fn own_account() -> Value {
    json!({"id": ACCOUNT, "name": "Example Ltda", "role": "change"})
}

pub(crate) fn link() -> Value {
    let token = "cl_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    json!({
        "id": "link_0123456789abcdef0123456789abcdef",
        "url": format!("https://hooks.example.org/console#link={token}&to=webhooks&language=pt-BR"),
        "role": "look",
        "expires_at": shown(60),
    })
}

pub(crate) fn session() -> Value {
    json!({
        "account": {"id": ACCOUNT, "name": "Example Ltda"},
        "role": "change",
        "csrf": "6f1ed002ab5595859014ebf0951522d9c1f4dbd5b5d5e5f5a5b5c5d5e5f50515",
        "expires_at": shown(43_200),
    })
}

pub(crate) fn account_with_key() -> Value {
    with(key(), account())
}

pub(crate) fn key() -> Value {
    let key = "ck_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    json!({"id": KEY, "key_id": KEY, "key": key})
}

/// An address for alerts whose code is on its way.
pub(crate) fn new_alert() -> Value {
    json!({
        "id": "alert_1a2b3c4d5e6f70811a2b3c4d5e6f7081",
        "kind": "email",
        "address": "ana@example.com",
        "language": "pt-BR",
        "events": ["failing", "blocked", "disabled", "dead", "token", "silence"],
        "state": "unconfirmed",
        "created_at": shown(0),
    })
}

pub(crate) fn alert() -> Value {
    with(new_alert(), json!({"state": "confirmed"}))
}

pub(crate) fn alerts() -> Value {
    list(&alert())
}

pub(crate) fn dropped(rows: usize) -> Value {
    json!({"dropped": rows, "dropped_more": false})
}

pub(crate) fn faults() -> Value {
    let fault = OperatorFault::CreditsDepleted;
    list(&json!({
        "network": Network::X,
        "cause": fault,
        "message": fault.message(Network::X),
        "since": shown(0),
        "seen_at": shown(0),
        "pages": 3,
    }))
}

fn failure(at: Timestamp) -> LastError {
    LastError { error: FailureKind::Status, status: Some(503), at, cause: None }
}

fn because(kind: FailureKind, cause: Option<&Cause>) -> Message {
    message::because(kind, (kind == FailureKind::Status).then_some(503), cause)
}

pub(crate) fn unhealthy() -> Value {
    list(&json!({
        "account": ACCOUNT,
        "webhook": WEBHOOK,
        "url": "https://hooks.example.com/carteiro",
        "type": "message",
        "state": "blocked",
        "failures": 1000,
        "threshold": 1000,
        "blocked_at": shown(0),
        "blocked_until": shown(14_400),
        "disabled_by": null,
        "last_error": failure(at(0)).told(),
        "dead": 0,
    }))
}

pub(crate) fn item() -> Value {
    let stored = Stored { held: Some((HeldFor::Retry, Some(at(7200)))), ..Stored::default() };
    let known = item_state::known(&stored, at(0));
    let webhook = json!({
        "webhook": WEBHOOK,
        "url": "https://hooks.example.com/carteiro",
        "state": known.state,
        "why": known.why,
        "message": known.message(),
        "since": null,
        "next_at": shown(7200),
        "attempt": 5,
        "blocked_until": null,
        "lane": "usual",
        "last_error": failure(at(0)).told(),
        "last_attempt": null,
        "log_read": "no",
    });
    json!({
        "id": ITEM,
        "account": ACCOUNT,
        "type": "message",
        "source": SOURCE,
        "accepted_at": shown(0),
        "collected": null,
        "webhooks": [webhook],
    })
}

pub(crate) fn webhook() -> Value {
    json!({
        "id": WEBHOOK,
        "url": "https://hooks.example.com/carteiro",
        "items": ["contact", "message"],
        "sources": [SOURCE],
        "headers": {"authorization": "********"},
        "while_blocked": "hold",
        "log": "failures",
        "description": "CRM",
        "enabled": true,
        "disabled_by": null,
        "threshold": null,
        "block_seconds": null,
        "key_pair": true,
        "public_key": "whpk_zJNavsxqJQLz0TBYia2pVux2z0UVaYjzbhqMMB4mRoA=",
        "replaced_until": null,
        "revision": 1,
        "created_at": shown(0),
        "updated_at": shown(0),
    })
}

/// A list of one webhook, of which all is sent.
pub(crate) fn webhooks() -> Value {
    let listed = with(webhook(), json!({"state": "open", "trouble": null}));
    json!({"data": [listed], "counts": {"blocked": 0, "failing": 0, "disabled": 0, "open": 1}, "next": null})
}

pub(crate) fn activity() -> Value {
    let hour = json!({"hour": shown(0), "failed": 37, "delivered": null, "held": 2});
    json!({"data": [hour], "logged": "failures", "more": false})
}

/// What is told of messages whose attempts failed a thousand times in a row.
fn blocked_messages(held: Option<HeldItems>) -> Option<Message> {
    situation::message(&Facts {
        item_type: &ItemType::MESSAGE,
        plight: Plight::Blocked { failures: 1000, at: at(0), until: at(14_400) },
        going_on: &[ItemType::CONTACT],
        also_blocked: &[],
        held,
        while_blocked: Some(WhileBlocked::Hold),
        discarded: 0,
        last_error: Some(&failure(at(0))),
    })
}

pub(crate) fn created_webhook() -> Value {
    with(webhook(), json!({"secret": "whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM="}))
}

pub(crate) fn rotated_webhook() -> Value {
    let rotated = json!({"revision": 2, "replaced_until": shown(2 * 86_400), "updated_at": shown(86_400)});
    with(created_webhook(), rotated)
}

pub(crate) fn changed_webhook() -> Value {
    let changed = json!({"url": "https://hooks.example.com/v2", "revision": 2, "updated_at": shown(3600)});
    with(webhook(), changed)
}

/// A webhook of which one type is open and another is blocked.
pub(crate) fn webhook_with_status() -> Value {
    let trouble = json!({
        "item_type": "message",
        "since": shown(0),
        "until": shown(14_400),
        "failures": 1000,
        "threshold": 1000,
        "code": "status",
        "failed_at": shown(0),
        "message": blocked_messages(None),
    });
    let held = HeldItems { items: 1000, more: true, ..HeldItems::default() };
    let blocked = json!({
        "state": "blocked",
        "situation": "blocked",
        "failures": 1000,
        "blocked_at": shown(0),
        "blocked_until": shown(14_400),
        "last_error": failure(at(0)).told(),
        "held": 1000,
        "held_more": true,
        "message": blocked_messages(Some(held)),
    });
    let status = json!({"contact": open_type(), "message": with(open_type(), blocked)});
    with(webhook(), json!({"state": "blocked", "trouble": trouble, "status": status}))
}

/// The same after its blocks ended.
pub(crate) fn webhook_with_open_types() -> Value {
    let status = json!({"contact": open_type(), "message": open_type()});
    with(webhook(), json!({"state": "open", "trouble": null, "status": status}))
}

fn open_type() -> Value {
    json!({
        "state": "open",
        "situation": "open",
        "failures": 0,
        "threshold": 1000,
        "blocked_at": null,
        "blocked_until": null,
        "last_error": null,
        "disabled_at": null,
        "taken": true,
        "while_blocked": "hold",
        "held": 0,
        "retry_due_at": null,
        "dead": 0,
        "dropped": 0,
        "discarded": 0,
        "message": null,
        "held_message": null,
    })
}

pub(crate) fn test_success() -> Value {
    json!({
        "webhook_id": WEBHOOK,
        "item": ITEM,
        "outcome": "success",
        "error": null,
        "status": 204,
        "cause": null,
        "message": null,
        "latency_ms": 41,
        "response_body": "",
        "response_headers": {},
    })
}

pub(crate) fn test_failure() -> Value {
    let cause = Cause::from(Code::HeadTimedOut);
    let failed = json!({
        "outcome": "failure",
        "error": "timeout",
        "status": null,
        "cause": cause,
        "message": because(FailureKind::Timeout, Some(&cause)),
        "latency_ms": 15_000,
    });
    with(test_success(), failed)
}

/// What held and dead items share.
fn waiting_item() -> Value {
    json!({"id": ITEM, "type": "message", "source": SOURCE, "accepted_at": shown(0), "attempt": 5, "bytes": 91})
}

pub(crate) fn held() -> Value {
    let held = json!({"held_for": "blocked", "due_at": null, "last_error": null});
    list(&with(waiting_item(), held))
}

pub(crate) fn dead() -> Value {
    let died = at(271_207);
    let dead = json!({
        "attempt": 11,
        "bytes": 26,
        "item": "{\"id\":\"m-1\",\"text\":\"Olá!\"}",
        "cause": "exhausted",
        "died_at": time::shown(died),
        "last_error": failure(died).told(),
    });
    list(&with(waiting_item(), dead))
}

pub(crate) fn attempts() -> Value {
    list(&json!({
        "item": ITEM,
        "type": "message",
        "attempt": 2,
        "at": shown(5),
        "outcome": "failure",
        "error": "status",
        "status": 503,
        "cause": null,
        "message": because(FailureKind::Status, None),
        "latency_ms": 41,
        "response_body": "upstream is down",
        "response_headers": {"content-type": "text/plain"},
        "revision": 1,
        "release_step": null,
        "replay": null,
        "became": "retry",
        "next_at": shown(36),
    }))
}

/// A replay that begins.
pub(crate) fn new_replay() -> Value {
    json!({
        "id": REPLAY,
        "state": "running",
        "item": null,
        "type": "message",
        "from": shown(-129_600),
        "to": null,
        "found": 0,
        "taken": 0,
        "pending": 0,
        "delivered": 0,
        "dead": 0,
        "dropped": 0,
        "created_at": shown(273_600),
        "taken_at": null,
        "finished_at": null,
    })
}

/// The same, half-way.
pub(crate) fn replay() -> Value {
    let under_way = json!({
        "state": "releasing", "found": 1250, "taken": 1250, "pending": 940, "delivered": 310, "taken_at": shown(273_607),
    });
    with(new_replay(), under_way)
}

pub(crate) fn replays() -> Value {
    list(&replay())
}

pub(crate) fn page() -> Value {
    json!({
        "id": PAGE,
        "network": "facebook",
        "network_id": "1234567890321",
        "name": "Acme",
        "delivery": "by_kind",
        "login": null,
        "ad_account": null,
        "proven": false,
        "token": {
            "state": "unknown",
            "cause": null,
            "expires_at": null,
            "consent_ends_at": null,
            "permission": null,
            "since": shown(0),
            "why": null,
            "message": {
                "pt-BR": "Token recebido; verificando… O Facebook ainda não o aceitou nem recusou.",
                "en": "Token received; checking… Facebook has neither taken nor refused it yet.",
            },
        },
        "push": null,
        "last_tick": null,
        "next_at": shown(0),
        "every_minutes": null,
        "silence": null,
        "freshness": null,
        "created_at": shown(0),
        "updated_at": shown(0),
    })
}

pub(crate) fn pages() -> Value {
    list(&page())
}

/// A page of which something came in the last day.
pub(crate) fn read_page() -> Value {
    let of_kind = |count: u32, median: u32, p95: u32, p99: u32| json!({"count": count, "median_seconds": median, "p95_seconds": p95, "p99_seconds": p99});
    let freshness = json!({
        "promise": {"p95_seconds": 900, "p99_seconds": 86_400},
        "kinds": {"comment": of_kind(97, 600, 960, 1200), "direct_message": of_kind(4, 5, 20, 20)},
    });
    with(page(), json!({"freshness": freshness}))
}

/// A page that got a new token.
pub(crate) fn changed_page() -> Value {
    let mut token = page()["token"].take();
    token["expires_at"] = json!(shown(60 * 86_400));
    token["since"] = json!(shown(3600));
    with(page(), json!({"token": token, "next_at": shown(3600), "updated_at": shown(3600)}))
}

/// The body of a notice.
pub(crate) fn notice() -> Value {
    json!({
        "type": "webhook.blocked",
        "timestamp": shown(1),
        "data": {
            "webhook": WEBHOOK,
            "url": "https://hooks.example.com/carteiro",
            "item_type": "message",
            "threshold": 1000,
            "failures": 1000,
            "blocked_at": shown(0),
            "blocked_until": shown(14_400),
            "last_error": failure(at(0)).told(),
            "message": blocked_messages(None),
        },
    })
}
