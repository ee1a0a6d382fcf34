//! The one list of the functions' log events: it makes `docs/log-events.md`, and their sources are checked against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use carteiro_tests::workspace;

use Level::{Error, Info, Warn};

#[derive(Clone, Copy, Debug)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// An event's name and level, the functions that log it, its fields, and its meaning.
type Event = (&'static str, Level, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const EVENTS: &[Event] = &[
    ("accept.key_failed", Error, "ingest", "error",
     "an idempotency key could not be claimed; the item was answered 503"),
    ("accept.key_not_marked", Warn, "ingest", "error", "the item is queued; a repeat would queue it again"),
    ("accept.out_of_time", Warn, "ingest", "left_out",
     "items of a bulk request that were answered 503 because time ran out"),
    ("alert.code_sent", Info, "collect", "alert, kind", "the code of an address was sent there"),
    ("alert.delayed", Warn, "collect", "alert, kind, tries, error",
     "an alert or a code could not be sent now, and is tried again"),
    ("alert.left_out", Info, "collect", "alert, event, reason",
     "the address was alerted of the like a short while ago (`too_soon`), or the account's alerts of the day are used \
      up (`day_is_full`); the next alert counts it"),
    ("alert.left_to_queue", Error, "collect", "alert, kind, error",
     "an e-mail could not be sent for a while; WorkQueue hands it out again, and then keeps it for the operator"),
    ("alert.not_marked", Warn, "collect", "alert, error", "an alert was sent; a repeat of it would be sent again"),
    ("alert.place_not_given_back", Warn, "collect", "account, error",
     "an alert to a chat was sent, and its place among those to the account's chats stays taken for some seconds more"),
    ("alert.refused", Error, "collect", "alert, kind, error",
     "an alert or a code was not sent, and is given up: the address refused it, a chat could not be reached for 20 \
      minutes, or [SES](operations.md#alerts-to-people) does not let it be sent"),
    ("alert.sent", Info, "collect", "alert, kind, event, missed",
     "an address was alerted; `missed` like it were left out since the last one"),
    ("alert.stopped", Info, "manage", "alert", "an address was removed by the link in an alert"),
    ("alert.unreadable", Error, "manage, deliver, collect", "account, error",
     "an address of this account cannot be read, and is alerted of nothing"),
    ("alerts.not_raised", Error, "deliver, collect", "account, error",
     "a notice was sent, and its alerts never will be: this function may not read or queue them"),
    ("attempt.finished", Level::Debug, "deliver",
     "account, webhook, revision, item, item_type, attempt, outcome, status, cause, latency_ms",
     "every attempt, where `LogLevel` is `DEBUG`; `outcome` is `success`, `status`, `redirect`, `timeout`, `dns`, `forbidden_address`, \
      `own_address`, `connect`, `tls` or `protocol`"),
    ("attempt.no_turn", Warn, "deliver", "webhook",
     "its host had no room in time (`HostConcurrency`); the item comes again in some seconds"),
    ("attempt.not_made", Error, "deliver", "webhook, error",
     "a fault of Carteiro's: no attempt was made, and the message comes again"),
    ("attempt.panicked", Error, "deliver", "error", "a bug; the message comes again"),
    ("attempt.slow", Info, "deliver", "account, webhook, attempts",
     "attempts of a batch have lasted for a fifth of their deadline"),
    ("attempt.slow_not_noted", Warn, "deliver", "account, error",
     "StreakTable could not be written; the next slow attempt is noted"),
    ("attempts.failed", Info, "deliver",
     "account, webhook, revision, item_type, attempts, failed, outcome, status, cause, items",
     "of a batch's `attempts` for a webhook and type, some failed: how many, the last one's outcome, and the ids of \
      their items"),
    ("attempts.not_logged", Warn, "deliver", "webhook, attempts, error",
     "attempts are missing in the webhook's log"),
    ("batch.out_of_time", Warn, "deliver", "messages", "no time for an attempt; the messages come again"),
    ("batch.rest_queued_again", Info, "deliver", "deliveries",
     "no time for these; they are in the queue again, and were not attempted"),
    ("batch.settled", Info, "deliver", "lane, deliveries, again, latency_ms",
     "every batch, with its [metrics](operations.md#metrics); `again` of its messages come again, because what they \
      carry could not be read, attempted or settled"),
    ("batch.webhooks_not_read", Error, "deliver", "messages, error",
     "ConfigTable could not be read; the messages come again"),
    ("collect.counted", Info, "collect", "latency_ms",
     "an invocation's [metrics](operations.md#metrics), where it has any"),
    ("collect.failed", Error, "collect", "error", "the invocation failed; the platform repeats it"),
    ("dead_letter.unreadable", Error, "collect", "message_id, error", "it stays in the queue, for a person to read"),
    ("dead_letters.buried", Info, "collect", "buried, unreadable", "dead letters that were moved to DeadTable"),
    ("delivery.dead", Warn, "deliver, collect", "account, webhook, item, item_type, cause", "the item will not be attempted again"),
    ("delivery.discarded", Info, "deliver", "webhook, items", "the type is blocked, and the webhook discards"),
    ("delivery.drop_not_noted", Warn, "deliver, manage", "items, error",
     "`GET /items` does not know that items were dropped"),
    ("delivery.dropped", Info, "deliver", "webhook, items", "the webhook was deleted"),
    ("delivery.held", Info, "deliver", "webhook, held_for, items",
     "items of a batch that are held, by their ids: for a `retry`, or because their type is `blocked` or their webhook \
      `disabled`"),
    ("delivery.moved_to_slow_lane", Info, "deliver", "webhook, items",
     "the webhook, its account or its host was slow lately"),
    ("delivery.not_taken", Info, "deliver", "webhook, items",
     "the webhook does not take the item's type or source any more: it is dropped"),
    ("delivery.overdue", Info, "deliver", "webhook, items",
     "it waited in the slow lane for an hour, and becomes a held row"),
    ("delivery.storage_limit", Warn, "deliver, collect", "webhook, item",
     "an item was deleted outright, because its network's storage term is over"),
    ("delivery.unreadable", Error, "deliver", "message_id, error", "a message that is no delivery"),
    ("freshness.not_written", Warn, "ingest, collect", "page, error",
     "counts of how fresh a page's things were are missing"),
    ("freshness.out_of_time", Warn, "ingest", "network", "likewise, because a push was to be answered"),
    ("held.cancelled", Info, "manage", "webhook, what, dropped, dropped_more",
     "held items that their owner cancelled: one, or those of a type"),
    ("held.moved", Info, "collect", "shard, moved, left_alone", "held items that went to the queue, or died"),
    ("held.not_buried", Error, "collect", "error",
     "a row could not be moved to DeadTable; the next tick repeats it"),
    ("held.not_cancelled", Warn, "manage", "webhook, what, error", "some were not, and stay held"),
    ("held.not_claimed", Error, "collect", "error", "a row was left to the next tick"),
    ("held.not_deleted", Warn, "collect", "place, error", "its item was queued, and will be queued again"),
    ("held.set_aside", Error, "collect", "error",
     "a held row could not be read when it came due: it waits for the release of its type, which skips it while it \
      stays unreadable"),
    ("inbox.claim_over", Warn, "ingest, collect", "entries",
     "entries were left to a tick, because their claim was nearly over"),
    ("inbox.edit_not_told", Error, "collect", "page, error", "an entry is left to the next tick"),
    ("inbox.handed_on", Info, "collect", "shard, handed_on, dropped, left, out_of_time",
     "entries that were queued, or whose page is gone; the next tick does the rest"),
    ("inbox.not_claimed", Error, "collect", "error", "an entry was left to a later tick"),
    ("inbox.not_dropped", Error, "ingest, collect", "page, entry, error",
     "an entry of a page that is gone could not be deleted; it waits for the end of its claim of 45 s"),
    ("inbox.not_given_back", Warn, "ingest, collect", "error",
     "entries that were not begun wait for the end of their claim of 45 s before a tick takes them"),
    ("inbox.not_marked", Warn, "ingest, collect", "page, entry, error", "its item was queued, and will be queued again"),
    ("inbox.not_routed", Error, "ingest, collect", "error",
     "entries wait for the end of their claim of 45 s, because their page or its webhooks could not be read"),
    ("inbox.signal_not_heeded", Error, "collect", "page, error",
     "a page could not be marked, or its account not notified; a later tick repeats it"),
    ("inbox.storage_limit", Warn, "ingest, collect", "page, network",
     "an entry was deleted before its dispatch, because its network's storage term is over"),
    ("inbox.unreadable", Error, "collect", "pk, sk, error",
     "a row was quarantined: it is not dispatched, and stays in InboxTable for twice `RetentionDays`, for a person \
      to read"),
    ("items.accepted", Info, "ingest", "account, items",
     "the ids of the items of a bulk request that were accepted, up to 1000 a line; `request.answered` names a single \
      one"),
    ("lookup.place_not_given_back", Warn, "manage", "error",
     "a lookup was made, and its place among the account's lookups stays taken for half a minute"),
    ("loop.refused", Warn, "ingest, manage", "intake, account, source",
     "a 508: deliveries lead back to this intake (`bots`, `push` or `test`), of this account (a push has none); \
      count them by account"),
    ("notices.not_hastened", Warn, "manage", "webhook, error",
     "a tick sends the notices of an unblock or a new revision"),
    ("notices.not_queued", Warn, "deliver, collect", "webhook, error", "a tick sends them"),
    ("notices.queued", Info, "deliver", "webhook, notices", "warnings, a block or a disabling were announced"),
    ("page.proven", Info, "collect", "page, network, proven",
     "its network confirmed the token as this page's, or said that it is another's"),
    ("page.silence_not_told", Error, "collect", "page, error",
     "a page's habit could not be read, or its account not notified; the next hour's poll looks again"),
    ("page.silent", Warn, "collect", "page, network, since, usual_hours",
     "a page brought nothing for much longer than is usual of it, and its account was notified"),
    ("page.token_marked", Info, "ingest, collect", "page, network, state", "the token's known state or end changed"),
    ("page.token_told", Warn, "ingest, collect", "page, network, state, notice",
     "a page's token is or will be in trouble, and its account was notified"),
    ("parameters.not_answered", Error, "check", "error",
     "a deployment was not told what was found; it is repeated, and the deployment fails after 60 s without an answer"),
    ("parameters.refused", Error, "check", "faults",
     "a deployment's parameters are bad; it is rolled back with the same sentences"),
    ("poll.asked", Info, "collect", "page, network, result, calls, new",
     "a page was polled, and something was new, or it did not go well"),
    ("poll.call_failed", Warn, "collect", "page, network, what, error", "a call to a network had no answer"),
    ("poll.checkpoint_too_large", Error, "collect", "page, bytes",
     "it is not kept: the next tick asks for the same again"),
    ("poll.checkpoint_unreadable", Error, "collect", "page, bytes",
     "the collection of the page begins anew; known things are not delivered again"),
    ("poll.checkpoint_written_meanwhile", Warn, "collect", "page",
     "two workers polled one page; the other's checkpoint stays"),
    ("poll.failed", Error, "collect", "page, error",
     "Carteiro failed in the middle; what was stored stays, and the next tick continues"),
    ("poll.fault_not_noted", Error, "collect", "network, error",
     "what the operator has to mend could not be noted; the next poll notes it"),
    ("poll.no_time", Warn, "collect", "page", "the invocation's time is short; the next tick polls it"),
    ("poll.not_finished", Error, "collect", "page, error",
     "its result is not shown; the next tick polls the page, where it was leased after 5 minutes"),
    ("poll.not_its_turn", Level::Debug, "collect", "page", "another worker polls it, or did; or it is not due any more"),
    ("poll.not_leased", Error, "collect", "page, error",
     "PollTable did not answer; the next tick polls the page"),
    ("poll.not_made", Error, "collect", "page, what, why", "a call could not be made; `why` says what it lacks"),
    ("poll.not_planned", Error, "collect", "shard, error", "its pages are still due, and the next tick plans them"),
    ("poll.not_renewed", Warn, "collect", "page, network, error", "a renewal failed, and is tried again"),
    ("poll.our_fault", Error, "collect", "network, why",
     "only the operator can mend it: an app that must prove itself or is not enrolled, used-up credit, a withdrawn \
      version, a refused client. Once when it begins, and once a day while it lasts, however many pages meet it"),
    ("poll.outcome_not_kept", Info, "collect", "page",
     "another worker polled the page meanwhile, whose outcome stays, or the page was deleted"),
    ("poll.over_any_limit", Error, "collect", "network, what",
     "a limit in `NetworkSettings` is lower than one call takes"),
    ("poll.pages_asked", Info, "collect", "pages, polled, quiet, calls",
     "a message's pages were polled; `quiet` of them had nothing new, and have no line of their own"),
    ("poll.planned", Info, "collect", "shard, pages, planned",
     "a shard's pages, and how many of them are polled now"),
    ("poll.renewed_token_not_stored", Error, "collect", "page",
     "a new token is lost; on X, the page's owner has to supply another"),
    ("poll.schedule_unreadable", Error, "collect", "error",
     "a page is not polled until its row is repaired, or its owner renews its token"),
    ("poll.token_not_inspected", Warn, "collect", "page, status",
     "Meta did not say what the token is; is `MetaAppToken` good?"),
    ("poll.token_renewed", Info, "collect", "page, network", "a page has a new access token"),
    ("poll.too_late", Warn, "collect", "planned_at",
     "a plan older than 15 minutes was skipped, because the next tick planned it anew; `PollConcurrency` is too \
      low for the number of pages"),
    ("poll.trouble", Warn, "collect", "page, network, what, status, verdict",
     "a network's answer was not the expected one, and what that means"),
    ("poll.version_ending", Warn, "collect", "network, version, ends_at",
     "the configured version of a network's API ends within 60 days; once a day"),
    ("push.handed_on", Info, "ingest", "network, entries, handed_on, left",
     "entries that are delivered at once were dispatched; a tick does the rest"),
    ("push.handing_on_cut_short", Warn, "ingest", "network, entries",
     "a dispatch did not end in the function's time; a tick does the rest, some of it again"),
    ("push.not_connected", Info, "ingest", "network, updates", "updates of pages that nobody connected"),
    ("push.not_subscribed", Warn, "collect", "page, network, verdict, refused",
     "a network does not push what happens on a page; polling does all; a refusal is told once, and tried each day"),
    ("push.not_wanted", Info, "ingest", "network",
     "a hub asked whether to begin or end a subscription, and was answered 404"),
    ("push.out_of_time", Warn, "ingest", "network", "answered 503; the network repeats"),
    ("push.refused", Warn, "ingest", "network, signed, bytes",
     "without a good signature; if it happens often, somebody is trying, or a secret is wrong"),
    ("push.stored", Info, "ingest", "network, updates, entries, new",
     "a push is in the inbox: its updates, their entries for all connected pages, and how many of these are new"),
    ("push.subscribed", Info, "collect", "page, network, until",
     "a network pushes what happens on a page, or goes on doing so"),
    ("push.unrecognised", Warn, "ingest", "network, key, bytes",
     "an update of no known form, kept raw at this `sk` in InboxTable; `bytes` as stored"),
    ("queue.batch_failed", Warn, "ingest, deliver, collect", "error, messages", "a batch could not be queued"),
    ("queue.entry_refused", Warn, "ingest, deliver, collect", "code, sender_fault",
     "SQS refused one message of a batch; it is sent again"),
    ("release.ended", Info, "collect", "webhook, steps, items", "everything that was held is in the queue"),
    ("release.not_given_back", Warn, "collect", "webhook, error",
     "a failed release is retried when its worker's time would be over, within 15 minutes"),
    ("release.not_hastened", Warn, "manage", "webhook, error", "the release comes at the time that was set before"),
    ("release.row_repaired", Error, "collect", "webhook, item_type, error",
     "a release's row could not be read, and was rewritten: its items are released from the first step"),
    ("release.step_failed", Info, "collect", "webhook, steps, items, failed",
     "the URL still fails; the next tick begins again"),
    ("release.step_not_counted", Warn, "deliver", "webhook, items, error",
     "the release waits for these items in vain, and begins again"),
    ("release.step_not_finished", Warn, "collect", "webhook, left",
     "part of a step did not finish in 10 minutes; the next tick begins again"),
    ("replay.abandoned", Error, "collect", "webhook, replay, error",
     "a replay's row could not be read: what it took is released, nothing more is taken, and another may be \
      requested"),
    ("replay.by_operator", Info, "manage", "account, webhook, replay",
     "the operator asked for a replay of an account's items"),
    ("replay.not_counted", Warn, "deliver, collect, manage", "webhook, replay", "a replay's counts are too low"),
    ("replay.not_hastened", Warn, "manage", "webhook, error", "a replay begins with the next tick"),
    ("replay.release_not_hastened", Warn, "collect", "webhook, error",
     "the items that a replay took are released with the next tick"),
    ("replay.row_unreadable", Error, "collect", "webhook, place, error",
     "a dead item that a replay left in place, for a person to read"),
    ("replay.taken", Info, "collect", "webhook, replay, found, taken",
     "all dead items that a replay found wait for their release; some may have waited already"),
    ("request.answered", Info, "ingest, manage", "request_id, route, status, latency_ms, item",
     "every API request, with its [metrics](operations.md#metrics); `item` is the one that a bot's request had accepted"),
    ("request.failed", Error, "ingest, manage", "request_id, route, error", "it was answered 500 or 503"),
    ("row.unreadable", Error, "collect, manage", "table, pk, sk, error",
     "a row that this version did not write: it was skipped, and stays, for a person to read"),
    ("session.all_ended", Info, "manage", "account",
     "the operator ended all sessions and sign-in links of an account"),
    ("session.begun", Info, "manage", "account, role, by",
     "somebody signed in to the console, `by` a link or a key, whose id it is"),
    ("session.earlier_not_ended", Warn, "manage", "error",
     "the session that a browser had before it signed in again goes on until its own end"),
    ("session.link_made", Info, "manage", "account, link, role",
     "the operator made a sign-in link"),
    ("session.not_kept", Warn, "manage", "error",
     "a session's idle end could not be moved; the next act moves it"),
    ("settle.no_release", Error, "deliver", "webhook, error",
     "held, but its release is not certain; the messages come again"),
    ("settle.not_queued", Error, "deliver", "items, error",
     "a queue did not answer in time; the messages come again: duplicates, if they had arrived"),
    ("settle.not_stored", Error, "deliver", "message_id, error",
     "HeldTable or DeadTable could not be written; the message comes again: a duplicate, if it had arrived"),
    ("settle.undecided", Error, "deliver", "message_id, error",
     "after an attempt; the message comes again: a duplicate, if it had arrived"),
    ("streak.answer_lost", Warn, "deliver, manage", "operation, error",
     "it is unknown whether a write was made; it counts as made"),
    ("streak.blocked", Warn, "deliver", "webhook, item_type", "the threshold was reached: the type is blocked"),
    ("streak.contended", Warn, "deliver", "webhook, item_type", "others changed the same row repeatedly"),
    ("streak.discards_not_counted", Warn, "deliver", "webhook, items, error",
     "the count of discarded items is too low"),
    ("streak.late", Info, "deliver", "webhook, item_type, results",
     "results of a batch from before a block or unblock, which change nothing"),
    ("streak.not_recorded", Error, "deliver", "webhook, item_type, error",
     "StreakTable could not be read or written; successes come again"),
    ("streak.not_retired", Warn, "manage", "webhook, error",
     "after a new revision or a deletion: rows of the old revision stay, which nobody reads; the notice of an \
      ended block comes later"),
    ("tally.not_counted", Warn, "deliver, collect", "webhook, items, error",
     "the count of dead or dropped items is too low, and a notice of deaths may be missing"),
    ("test.place_not_given_back", Warn, "manage", "error",
     "a test was made, and its place among the account's tests stays taken for some seconds more"),
    ("tick.part_not_planned", Error, "collect", "part, error",
     "`held`, `inbox`, `notices`, `dead_letters` or `pages` could not be read, or not entirely; the rest was \
      planned, the tick failed, and a repeat or the next one plans it"),
    ("tick.planned", Info, "collect", "due_shards, ready_shards, notices, dead_letters, page_shards",
     "a tick, with what it planned"),
    ("webhook.gone", Info, "deliver", "webhook, replaced",
     "its URL answered 410, and it was disabled or had been changed meanwhile"),
    ("webhook.not_disabled", Warn, "deliver", "webhook, error", "the next 410 disables it"),
    ("webhook.unreadable", Error, "deliver", "message_id, error",
     "a webhook's row cannot be read; its messages come again, others are not affected"),
    ("work.failed", Error, "collect", "message_id, error", "the message comes again"),
    ("work.slot_not_freed", Warn, "collect", "account, error", "a slot of an account is free a minute later"),
    ("work.slot_not_renewed", Warn, "collect", "account", "an account may have one worker too many for a while"),
    ("work.waiting_failed", Error, "collect", "account, error",
     "one that had waited failed; the next tick repeats it"),
    ("work.waits", Info, "collect", "account",
     "a release or replay waits, because its account has as many at once as allowed"),
];

/// Whether the functions log an event of this name.
pub(crate) fn is_event(name: &str) -> bool {
    EVENTS.iter().any(|event| event.0 == name)
}

const INTRODUCTION: &str = "\
# Log events

Every event that the functions log, with its fields; [operations](operations.md#logs) says what a line holds. This page
is made from [tests/end_to_end/log_events.rs](../tests/end_to_end/log_events.rs) by
`CARTEIRO_WRITE_DOCUMENTS=1 cargo e2e log_events`; tests hold it and the sources to that list.

| event | level | function | fields | meaning |
|---|---|---|---|---|
";

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, level, functions, fields, meaning) in EVENTS {
        let level = format!("{level:?}").to_uppercase();
        let fields = fields.replace(", ", "`, `");
        writeln!(text, "| `{name}` | {level} | {functions} | `{fields}` | {meaning} |").unwrap();
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "whoever changes the list has the document written anew")]
pub(crate) fn is_to_be_written() -> bool {
    std::env::var_os("CARTEIRO_WRITE_DOCUMENTS").is_some()
}

#[test]
fn the_document_is_the_list_of_log_events() {
    let path = workspace().join("docs/log-events.md");
    if is_to_be_written() {
        std::fs::write(&path, document()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), document(), "its first lines say how it is made");
}

/// The Rust sources below a folder.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The arguments of a macro call, from behind its opening parenthesis on.
fn arguments(call: &str) -> Vec<&str> {
    let (mut depth, mut in_text, mut begin, mut found) = (0, false, 0, Vec::new());
    for (at, c) in call.char_indices() {
        match c {
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ')' | ',' if depth == 0 => {
                found.push(call[begin..at].trim());
                begin = at + 1;
                if c == ')' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|argument| !argument.is_empty());
    found
}

/// What the sources log under one name.
#[derive(Debug, Default)]
struct Logged {
    levels: BTreeSet<String>,
    functions: BTreeSet<String>,
    fields: BTreeSet<String>,
}

/// Adds the events of a source, by their names: the last argument of each logging macro's call.
fn add_events(function: Option<&str>, source: &str, logged: &mut BTreeMap<String, Logged>) {
    for level in ["error", "warn", "info", "debug", "trace"] {
        for call in source.split(&format!("tracing::{level}!(")).skip(1) {
            let mut arguments = arguments(call);
            let name = arguments.pop().expect("an event has a name").trim_matches('"').to_owned();
            let event = logged.entry(name).or_default();
            event.levels.insert(level.to_owned());
            event.functions.extend(function.map(str::to_owned));
            event.fields.extend(arguments.into_iter().map(field_name));
        }
    }
}

/// Adds the events of a source that carry metrics, whose fields are pairs of a name and a value.
fn add_lines_of_metrics(function: Option<&str>, source: &str, logged: &mut BTreeMap<String, Logged>) {
    for call in source.split("metrics::log(").skip(1) {
        let arguments = arguments(call);
        let event = logged.entry(arguments[1].trim_matches('"').to_owned()).or_default();
        event.levels.insert("info".to_owned());
        event.functions.extend(function.map(str::to_owned));
        let names = arguments[2].split("(\"").skip(1).filter_map(|pair| pair.split('"').next());
        event.fields.extend(names.map(str::to_owned));
    }
}

/// The name of a field, as in `name`, `%name` and `name = value`.
fn field_name(argument: &str) -> String {
    argument.split('=').next().unwrap_or_default().trim_matches(['%', '?', ' ']).to_owned()
}

#[test]
fn the_list_has_exactly_the_events_that_are_logged() {
    let mut files = Vec::new();
    rust_files(&workspace().join("functions"), &mut files);
    let mut logged = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(workspace().join("functions")).unwrap();
        let folder = inside.iter().next().unwrap().to_str().unwrap();
        let function =
            ["check", "ingest", "deliver", "collect", "manage"].contains(&folder).then_some(folder);
        let source = std::fs::read_to_string(&file).unwrap();
        add_events(function, &source, &mut logged);
        add_lines_of_metrics(function, &source, &mut logged);
    }
    let names: BTreeSet<_> = EVENTS.iter().map(|event| event.0.to_owned()).collect();
    assert_eq!(names, logged.keys().cloned().collect());
    assert!(EVENTS.is_sorted_by_key(|event| event.0), "the list is not in order");
    // A line's own members: a field of such a name would take the event's place.
    let taken =
        |fields: &str| fields.split(", ").any(|field| ["timestamp", "level", "message"].contains(&field));
    let hidden: Vec<_> = EVENTS.iter().filter(|event| taken(event.3)).map(|event| event.0).collect();
    assert!(hidden.is_empty(), "the fields of {hidden:?} hide their names");
    let mut wrong = Vec::new();
    for (name, level, functions, fields, _) in EVENTS {
        let (found, each) = (&logged[*name], |text: &str| text.split(", ").map(str::to_owned).collect());
        let is_right = found.levels == [format!("{level:?}").to_lowercase()].into()
            && found.fields == each(fields)
            && found.functions.is_subset(&each(functions));
        if !is_right {
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "the sources log {wrong:#?}");
}
