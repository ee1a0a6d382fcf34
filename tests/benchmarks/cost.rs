//! The cost sheet: what counted calls cost at public prices. Nothing here measures; the arithmetic has tests below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use carteiro_tests::workspace;
use serde_json::{Value, json};

/// The document that the sheet is a section of.
pub(crate) const DOCUMENT: &str = "docs/benchmarks.md";

pub(crate) const IDLE_TICK: &str = "an idle tick";
pub(crate) const IN_BULK: &str = "taken in bulk";
pub(crate) const FULL_BATCHES: &str = "taken in bulk, delivered in full batches";
pub(crate) const FULL_BATCHES_OF_SINGLE: &str = "taken one a request, delivered in full batches";
pub(crate) const SINGLE: &str = "taken one a request";
pub(crate) const ONE_A_BATCH: &str = "delivered in batches of one";
pub(crate) const WITH_KEY: &str = "taken one a request, with an idempotency key";
pub(crate) const PAGE: &str = "a page of which nothing is new, a tick";

/// US$, us-east-1, on demand, without free tiers.
mod price {
    /// A million requests of the HTTP API, each up to [`super::REQUEST_BYTES`].
    pub(super) const API_REQUESTS: f64 = 1.00;
    /// A million requests of standard queues, each up to 64 KiB.
    pub(super) const QUEUE_REQUESTS: f64 = 0.40;
    pub(super) const INVOCATIONS: f64 = 0.20;
    pub(super) const GB_SECOND_ARM: f64 = 0.000_013_333_4;
    pub(super) const GB_SECOND_X86: f64 = 0.000_016_666_7;
    /// A million units of reading and of writing.
    pub(super) const READS: f64 = 0.125;
    pub(super) const WRITES: f64 = 0.625;
    pub(super) const LOGS_A_GB: f64 = 0.50;
    pub(super) const OUT_A_GB: f64 = 0.09;
    pub(super) const KEY_A_MONTH: f64 = 1.00;
}

/// What the HTTP API bills as one request.
const REQUEST_BYTES: usize = 512 * 1024;

const GB: f64 = 1_073_741_824.0;

/// What is assumed of AWS: the time of a call, which the local stack cannot tell; and that a function has this share of
/// a processor for each MB.
const TABLE_CALL_MS: f64 = 5.0;
const QUEUE_CALL_MS: f64 = 10.0;
const MB_A_PROCESSOR: f64 = 1769.0;

/// How many deliveries to one webhook a batch attempts at once: `DeliverBatchSize`.
const ATTEMPTS_AT_ONCE: f64 = 10.0;

/// The parts of a batch of ten messages, of five deliveries each. A read serves for a quarter of a second
/// (`functions/deliver/src/batch.rs`), so that a receiver of 50 ms takes two for five parts of about 65 ms.
pub(crate) const PARTS_OF_A_FULL_BATCH: u64 = 5;
pub(crate) const READS_OF_A_FULL_BATCH: u64 = 2;

/// How many batches `ingest` sends to the queue at once.
const SENDS_AT_ONCE: f64 = 16.0;

/// Pages in a message of a tick, pages that one invocation polls at once, and the time of a network's answer.
pub(crate) const PAGES_OF_A_MESSAGE: u64 = 25;
const PAGES_A_MESSAGE: f64 = PAGES_OF_A_MESSAGE as f64;
const PAGES_AT_ONCE: f64 = 25.0;
const NETWORK_MS: f64 = 250.0;

/// A month: 30 days.
const TICKS_A_MONTH: f64 = 2880.0;

/// Four queues with a maximum concurrency, five pollers each, which ask three times a minute.
const EMPTY_POLLS_A_MONTH: f64 = 4.0 * 5.0 * 3.0 * 43_200.0;

/// What an attempt sends beside the item: its head, and TLS.
const HEAD_BYTES: f64 = 700.0;

/// How many requests the HTTP API bills for a body.
pub(crate) fn request_units(bytes: usize) -> u64 {
    bytes.div_ceil(REQUEST_BYTES).max(1) as u64
}

/// What was counted for a number of things.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) of: u64,
    /// Calls, and the units that are billed for them, by operation and tables or by action and queue.
    pub(crate) calls: BTreeMap<String, (u64, f64)>,
    pub(crate) invocations: u64,
    pub(crate) log_bytes: u64,
    pub(crate) request_units: u64,
}

impl Counted {
    pub(crate) fn shown(&self) -> Value {
        json!({
            "of": self.of,
            "calls": self.calls,
            "invocations": self.invocations,
            "log_bytes": self.log_bytes,
            "request_units": self.request_units,
        })
    }

    pub(crate) fn read(shown: &Value) -> Self {
        let number = |name: &str| shown[name].as_u64().expect(name);
        let call = |(kind, call): (&String, &Value)| {
            (kind.clone(), (call[0].as_u64().expect("calls"), call[1].as_f64().expect("units")))
        };
        Self {
            of: number("of"),
            calls: shown["calls"].as_object().expect("calls").iter().map(call).collect(),
            invocations: number("invocations"),
            log_bytes: number("log_bytes"),
            request_units: number("request_units"),
        }
    }

    /// A number of what was counted, for one thing.
    fn each(&self, number: f64) -> f64 {
        number / float(self.of)
    }

    fn units(&self, wanted: impl Fn(&str) -> bool) -> f64 {
        let wanted = self.calls.iter().filter(|(kind, _)| wanted(kind));
        self.each(wanted.map(|(_, (_, units))| units).sum())
    }

    /// What one invocation waits for tables, and, where it sends, for the queue.
    fn waits_ms(&self) -> f64 {
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let wanted = self.calls.iter().filter(|(kind, _)| wanted(kind));
            float(wanted.map(|(_, (calls, _))| calls).sum()) / float(self.invocations)
        };
        let sends = of(&|kind| kind.starts_with("Send"));
        of(&is_of_tables) * TABLE_CALL_MS + (sends / SENDS_AT_ONCE).ceil() * QUEUE_CALL_MS
    }
}

fn float(number: u64) -> f64 {
    number as f64
}

fn is_of_queues(kind: &str) -> bool {
    kind.ends_with("Queue")
}

fn is_read(kind: &str) -> bool {
    ["BatchGetItem ", "GetItem ", "Query ", "Scan "].iter().any(|read| kind.starts_with(read))
}

fn is_write(kind: &str) -> bool {
    let writes = [
        "BatchExecuteStatement ",
        "BatchWriteItem ",
        "DeleteItem ",
        "PutItem ",
        "TransactWriteItems ",
        "UpdateItem ",
    ];
    writes.iter().any(|write| kind.starts_with(write))
}

fn is_of_tables(kind: &str) -> bool {
    is_read(kind) || is_write(kind)
}

/// The time of an invocation, and the function's size.
#[derive(Clone, Copy, Debug)]
struct Compute {
    memory_mb: f64,
    processor_ms: f64,
    waits_ms: f64,
}

impl Compute {
    fn gb_seconds(self) -> f64 {
        let ms = self.waits_ms + self.processor_ms * MB_A_PROCESSOR / self.memory_mb;
        self.memory_mb / 1024.0 * ms.ceil() / 1000.0
    }
}

/// US$ by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dollars {
    api: f64,
    queues: f64,
    invocations: f64,
    compute: f64,
    tables: f64,
    logs: f64,
}

impl Dollars {
    /// A million things.
    fn of_a_million(counted: &Counted, compute: Compute, gb_second: f64) -> Self {
        let invocations = counted.each(float(counted.invocations));
        Self {
            api: counted.each(float(counted.request_units)) * price::API_REQUESTS,
            queues: counted.units(is_of_queues) * price::QUEUE_REQUESTS,
            invocations: invocations * price::INVOCATIONS,
            compute: 1e6 * invocations * compute.gb_seconds() * gb_second,
            tables: counted.units(is_read) * price::READS + counted.units(is_write) * price::WRITES,
            logs: 1e6 * counted.each(float(counted.log_bytes)) / GB * price::LOGS_A_GB,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            api: self.api + other.api,
            queues: self.queues + other.queues,
            invocations: self.invocations + other.invocations,
            compute: self.compute + other.compute,
            tables: self.tables + other.tables,
            logs: self.logs + other.logs,
        }
    }

    fn together(self) -> f64 {
        self.api + self.queues + self.invocations + self.compute + self.tables + self.logs
    }
}

/// Processor time as measured (`processor.rs`): of an item, in milliseconds.
mod processor_ms {
    pub(super) const TAKEN_IN_BULK: f64 = 0.033;
    pub(super) const TAKEN_ALONE: f64 = 0.82;
    pub(super) const DELIVERED_IN_FULL_BATCHES: f64 = 0.117;
    pub(super) const DELIVERED_ALONE: f64 = 1.0;
    /// A tick that plans, and a page's part of a poll: assumed, not measured.
    pub(super) const TICK: f64 = 10.0;
    pub(super) const PAGE: f64 = 4.0;
}

/// The sizes that the template gives.
const INGEST_MB: f64 = 512.0;
const DELIVER_MB: f64 = 128.0;
const COLLECT_MB: f64 = 512.0;

fn taken(recorded: &BTreeMap<String, Counted>, how: &str, gb_second: f64) -> Dollars {
    let counted = &recorded[how];
    let an_invocation = float(counted.of) / float(counted.invocations);
    let an_item = if how == IN_BULK { processor_ms::TAKEN_IN_BULK } else { processor_ms::TAKEN_ALONE };
    let compute =
        Compute { memory_mb: INGEST_MB, processor_ms: an_item * an_invocation, waits_ms: counted.waits_ms() };
    Dollars::of_a_million(counted, compute, gb_second)
}

fn delivered(recorded: &BTreeMap<String, Counted>, how: &str, receiver_ms: f64, gb_second: f64) -> Dollars {
    let counted = &recorded[how];
    let an_invocation = float(counted.of) / float(counted.invocations);
    let full = how != ONE_A_BATCH;
    let an_item = if full { processor_ms::DELIVERED_IN_FULL_BATCHES } else { processor_ms::DELIVERED_ALONE };
    let compute = Compute {
        memory_mb: DELIVER_MB,
        processor_ms: an_item * an_invocation,
        waits_ms: counted.waits_ms() + receiver_ms * (an_invocation / ATTEMPTS_AT_ONCE).ceil(),
    };
    Dollars::of_a_million(counted, compute, gb_second)
}

/// A page and month: its rows, and its part of a message, which is sent with nine others.
fn page_and_month(page: &Counted, gb_second: f64) -> Dollars {
    let calls = page.calls.get("calls of the network").map_or(0.0, |(calls, _)| page.each(float(*calls)));
    let message = Counted {
        of: 25,
        calls: [("SendMessageBatch PollQueue".to_owned(), (1, 0.1 + 1.0 + 1.0))].into(),
        invocations: 1,
        ..Counted::default()
    };
    let compute = Compute {
        memory_mb: COLLECT_MB,
        processor_ms: processor_ms::PAGE * PAGES_A_MESSAGE,
        waits_ms: (PAGES_A_MESSAGE / PAGES_AT_ONCE).ceil() * calls * NETWORK_MS,
    };
    let rows = Dollars {
        tables: page.units(is_read) * price::READS + page.units(is_write) * price::WRITES,
        logs: 1e6 * page.each(float(page.log_bytes)) / GB * price::LOGS_A_GB,
        ..Dollars::default()
    };
    times(rows.and(Dollars::of_a_million(&message, compute, gb_second)), TICKS_A_MONTH / 1e6)
}

fn idle_month(tick: &Counted, gb_second: f64) -> Dollars {
    let compute =
        Compute { memory_mb: COLLECT_MB, processor_ms: processor_ms::TICK, waits_ms: tick.waits_ms() };
    let ticks = times(Dollars::of_a_million(tick, compute, gb_second), TICKS_A_MONTH / 1e6);
    let polls = Dollars { queues: EMPTY_POLLS_A_MONTH / 1e6 * price::QUEUE_REQUESTS, ..Dollars::default() };
    ticks.and(polls)
}

fn times(dollars: Dollars, factor: f64) -> Dollars {
    let Dollars { api, queues, invocations, compute, tables, logs } = dollars;
    Dollars {
        api: api * factor,
        queues: queues * factor,
        invocations: invocations * factor,
        compute: compute * factor,
        tables: tables * factor,
        logs: logs * factor,
    }
}

const BEGIN: &str = "<!-- Written by `tests/benchmarks/cost.rs`; do not edit. -->\n";
const END: &str = "<!-- The end of what is written by a test. -->\n";

/// The sheet's part of the document.
pub(crate) fn section_of(document: &str) -> &str {
    let (_, rest) = document.split_once(BEGIN).expect("the document has the sheet's beginning");
    rest.split_once(END).expect("and its end").0
}

/// Writes the sheet into the document.
pub(crate) fn write(recorded: &BTreeMap<String, Counted>) {
    let path = workspace().join(DOCUMENT);
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", sheet(recorded))).unwrap();
}

/// The sheet, as Markdown.
pub(crate) fn sheet(recorded: &BTreeMap<String, Counted>) -> String {
    let (arm, x86) = (price::GB_SECOND_ARM, price::GB_SECOND_X86);
    let route = |(taking, giving): (&str, &str), receiver_ms: f64, gb_second: f64| {
        taken(recorded, taking, gb_second).and(delivered(recorded, giving, receiver_ms, gb_second))
    };
    let (bulk, mixed, alone) =
        ((IN_BULK, FULL_BATCHES), (SINGLE, FULL_BATCHES_OF_SINGLE), (SINGLE, ONE_A_BATCH));
    let mut text = String::from(
        "\n| US$ a million items delivered | API | queues | invocations | compute | tables | logs | together |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (what, dollars) in [
        ("in bulk, full batches, a receiver of 50 ms", route(bulk, 50.0, arm)),
        ("of 200 ms", route(bulk, 200.0, arm)),
        ("of 1 s", route(bulk, 1000.0, arm)),
        ("of 5 s", route(bulk, 5000.0, arm)),
        ("one a request, full batches, 50 ms", route(mixed, 50.0, arm)),
        ("one a request, batches of one, 50 ms", route(alone, 50.0, arm)),
        ("the first, on x86_64", route(bulk, 50.0, x86)),
        ("the last but one, on x86_64", route(alone, 50.0, x86)),
    ] {
        row(&mut text, what, dollars);
    }
    let with_key = taken(recorded, WITH_KEY, arm).together() - taken(recorded, SINGLE, arm).together();
    let out = 1e6 * (2048.0 + HEAD_BYTES) / GB * price::OUT_A_GB;
    let page = page_and_month(&recorded[PAGE], arm);
    let idle = idle_month(&recorded[IDLE_TICK], arm);
    let _ = write!(
        text,
        "\nApart: an idempotency key for each of a million items {with_key:.2}; data transfer to the internet {out:.2}.\
         \n\n| US$ a month | queues | invocations | compute | tables | logs | key | together |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    month(&mut text, "a page of which nothing is new", page, 0.0, 4);
    month(&mut text, "idle", idle, price::KEY_A_MONTH, 2);
    text.push_str("\n| bound of the design | US$ | counted | |\n|---|---|---|---|\n");
    for (what, bound, is) in [
        ("a million in bulk, 50 ms", 0.10, route(bulk, 50.0, arm).together()),
        ("a million in bulk, 1 s", 0.20, route(bulk, 1000.0, arm).together()),
        ("a million one a request, full batches", 2.20, route(mixed, 50.0, arm).together()),
        ("a million one a request, batches of one", 3.00, route(alone, 50.0, arm).together()),
        ("a page and month", 0.006, page.together()),
        ("idle, a month", 1.30, idle.together() + price::KEY_A_MONTH),
    ] {
        let verdict =
            if is <= bound { "met".to_owned() } else { format!("not met: {:.2} times", is / bound) };
        let _ = writeln!(text, "| {what} | {} | {} | {verdict} |", money(bound), money(is));
    }
    beside(&mut text, route(bulk, 50.0, arm).together(), route(alone, 50.0, arm).together());
    counts(&mut text, recorded);
    text
}

/// The sentence of the README that says what a buyer pays.
pub(crate) fn sentence(recorded: &BTreeMap<String, Counted>) -> String {
    let arm = price::GB_SECOND_ARM;
    let route =
        |taking, giving| taken(recorded, taking, arm).and(delivered(recorded, giving, 50.0, arm)).together();
    let idle = idle_month(&recorded[IDLE_TICK], arm).together() + price::KEY_A_MONTH;
    format!(
        "At public prices a million delivered items of 2 KB cost {} US$ where they come in bulk, and {} where each \
         comes and goes alone; idle, a deployment costs {} a month.",
        money(route(IN_BULK, FULL_BATCHES)),
        money(route(SINGLE, ONE_A_BATCH)),
        money(idle),
    )
}

/// As many digits as an amount needs.
fn money(dollars: f64) -> String {
    if dollars < 0.05 { format!("{dollars:.4}") } else { format!("{dollars:.2}") }
}

fn row(text: &mut String, what: &str, dollars: Dollars) {
    let Dollars { api, queues, invocations, compute, tables, logs } = dollars;
    let together = dollars.together();
    let _ = writeln!(
        text,
        "| {what} | {api:.3} | {queues:.3} | {invocations:.3} | {compute:.3} | {tables:.3} | {logs:.3} | \
         {together:.2} |"
    );
}

fn month(text: &mut String, what: &str, dollars: Dollars, key: f64, digits: usize) {
    let Dollars { queues, invocations, compute, tables, logs, .. } = dollars;
    let together = dollars.together() + key;
    let shown = [queues, invocations, compute, tables, logs, key, together];
    let shown: Vec<_> = shown.iter().map(|amount| format!("{amount:.digits$}")).collect();
    let _ = writeln!(text, "| {what} | {} |", shown.join(" | "));
}

fn beside(text: &mut String, least: f64, most: f64) {
    text.push_str("\n| beside | US$ a million | times Carteiro in bulk | times Carteiro one by one |\n|---|---|---|---|\n");
    for (what, dollars) in [
        ("EventBridge: custom events (1.00) to API destinations (0.20)", 1.20),
        ("SNS: publishing (0.50) to HTTP (0.60)", 1.10),
        ("QStash", 10.0),
        ("Svix", 100.0),
    ] {
        let _ = writeln!(text, "| {what} | {dollars:.2} | {:.1} | {:.1} |", dollars / least, dollars / most);
    }
}

fn counts(text: &mut String, recorded: &BTreeMap<String, Counted>) {
    text.push_str("\n| of 1,000 | calls, and billed units where they are others |\n|---|---|\n");
    for (name, counted) in recorded {
        let of = |number: f64| {
            let each = counted.each(number) * 1000.0;
            if each.fract() == 0.0 { format!("{each}") } else { format!("{each:.1}") }
        };
        let mut shown = Vec::new();
        for (kind, (calls, units)) in &counted.calls {
            let (calls, units) = (of(float(*calls)), of(*units));
            let (action, on) = kind.split_once(' ').unwrap_or((kind, ""));
            let billed =
                if calls == units || units == "0" { String::new() } else { format!(" ({units} units)") };
            let kind = if is_of_tables(kind) || is_of_queues(kind) {
                format!("`{action}` {on}")
            } else {
                kind.clone()
            };
            shown.push(format!("{calls} {kind}{billed}"));
        }
        for (what, number) in
            [("invocations", counted.invocations), ("requests by 512 KiB", counted.request_units)]
        {
            shown.extend((number > 0).then(|| format!("{} {what}", of(float(number)))));
        }
        shown.push(format!("{} KB of logs", (counted.each(float(counted.log_bytes))).round()));
        let _ = writeln!(text, "| {name} | {} |", shown.join(", "));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use carteiro_tests::parameters;

    use super::*;

    fn counted() -> Counted {
        Counted {
            of: 10,
            calls: [
                ("BatchGetItem ConfigTable+StreakTable", (1, 3.0)),
                ("PutItem HeldTable", (10, 30.0)),
                ("SendMessageBatch DeliverQueue", (1, 1.0)),
                ("ReceiveMessage DeliverQueue", (1, 2.0)),
            ]
            .map(|(kind, calls)| (kind.to_owned(), calls))
            .into(),
            invocations: 1,
            log_bytes: 1_073_742,
            request_units: 5,
        }
    }

    fn close(is: f64, expected: f64) {
        assert!((is - expected).abs() < 1e-6, "{is}, not {expected}");
    }

    #[test]
    fn each_kind_of_call_has_its_price() {
        // 1,769 MB are one processor: 20 ms of it, and 80 ms of waiting.
        let compute = Compute { memory_mb: 1769.0, processor_ms: 20.0, waits_ms: 80.0 };
        let dollars = Dollars::of_a_million(&counted(), compute, 0.00001);
        close(dollars.api, 0.5);
        close(dollars.queues, 0.3 * 0.40);
        close(dollars.invocations, 0.02);
        close(dollars.compute, 1e5 * 0.1 * 1769.0 / 1024.0 * 0.00001);
        close(dollars.tables, 0.3 * 0.125 + 3.0 * 0.625);
        close((dollars.logs * 1000.0).round() / 1000.0, 50.0);
        close(
            dollars.together(),
            dollars.api
                + dollars.queues
                + dollars.invocations
                + dollars.compute
                + dollars.tables
                + dollars.logs,
        );
    }

    #[test]
    fn a_smaller_function_takes_longer_and_is_billed_by_ms() {
        let compute = |memory_mb| Compute { memory_mb, processor_ms: 1.0, waits_ms: 0.0 };
        close(compute(1769.0).gb_seconds(), 1769.0 / 1024.0 * 0.001);
        close(compute(256.0).gb_seconds(), 0.25 * 0.007);
    }

    #[test]
    fn what_is_waited_for_is_counted_by_invocation() {
        // Eleven calls to tables, one after the other, and one round of sending.
        close(counted().waits_ms(), 11.0 * TABLE_CALL_MS + QUEUE_CALL_MS);
    }

    #[test]
    fn functions_are_as_large_as_the_template_says() {
        let template = workspace().join("template.yaml");
        let template =
            carteiro_local::Template::read(&template, &parameters([]), "http://127.0.0.1:1").unwrap();
        let functions =
            [("IngestFunction", INGEST_MB), ("DeliverFunction", DELIVER_MB), ("CollectFunction", COLLECT_MB)];
        for (function, mb) in functions {
            close(f64::from(template.functions[function].memory_mb), mb);
        }
        close(f64::from(crate::batches::full()), ATTEMPTS_AT_ONCE);
    }

    #[test]
    fn requests_are_billed_by_512_kib() {
        let units = [0, 1, REQUEST_BYTES, REQUEST_BYTES + 1].map(request_units);
        assert_eq!(units, [1, 1, 1, 2]);
    }

    #[test]
    fn counts_are_read_as_they_are_written() {
        assert_eq!(Counted::read(&counted().shown()), counted());
    }

    #[test]
    fn a_page_pays_its_rows_and_a_part_of_a_message() {
        let calls =
            [("calls of the network".to_owned(), (8, 0.0)), ("UpdateItem PollTable".to_owned(), (4, 4.0))];
        let page = Counted { of: 2, calls: calls.into(), ..Counted::default() };
        let month = page_and_month(&page, 0.00001);
        close(month.tables, 2880.0 * 2.0 * 0.625 / 1e6);
        close(month.queues, 2880.0 * 2.1 / 25.0 * 0.40 / 1e6);
        close(month.invocations, 2880.0 / 25.0 * 0.20 / 1e6);
        assert!(month.compute > 2880.0 / 25.0 * 0.5 * 0.00001, "one round of four calls: {month:?}");
    }
}
