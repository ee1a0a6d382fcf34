//! A transition is a value, and means the same wherever it is made: `Write::apply` in memory, on which the rule of
//! blocking is proved, and `StreakTable::write` on the table, on which it runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_core::notice;
use carteiro_core::streak::{
    ATTRIBUTES, Answer, Counted, DUE_AT, Over, Rule, add, block, discard, end, retire, start, unblock,
    unblock_untold,
};
use carteiro_core::transition::{Change, Condition, Effect, Row, Value, Write};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;

use crate::check;
use crate::database::{NOW_MS, STREAKS, at, clock, embedded, new_streak};

/// The attributes that are numbers.
pub(crate) const NUMBERS: [&str; 6] =
    ["failures", "blocked_at", "blocked_until", "discarded", "due_at", "expires_at"];

/// How often each kind of write was made, and refused.
type Coverage = BTreeMap<&'static str, (u32, u32)>;

fn texts() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "", "a#50", "é\u{1f600}\u{0}\"\n"]).prop_map(str::to_owned)
}

fn ids() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2..9_i64, 2 => NOW_MS - 2..=NOW_MS + 2, 1 => -10_i64.pow(15)..10_i64.pow(15)]
}

fn value_of(name: &'static str) -> BoxedStrategy<Value> {
    if NUMBERS.contains(&name) {
        numbers().prop_map(Value::Number).boxed()
    } else {
        texts().prop_map(Value::Text).boxed()
    }
}

fn names() -> impl Strategy<Value = &'static str> {
    select(ATTRIBUTES.to_vec())
}

/// Any attributes with any values of their kind.
fn any_row() -> impl Strategy<Value = Option<Row>> {
    let attributes = subsequence(ATTRIBUTES.to_vec(), 0..=ATTRIBUTES.len()).prop_flat_map(|names| {
        let pairs: Vec<_> = names.into_iter().map(|name| (Just(name), value_of(name))).collect();
        pairs.prop_map(|pairs| pairs.into_iter().collect::<Row>())
    });
    prop::option::weighted(0.8, attributes)
}

/// A row as the rule leaves it: with a live streak, or with a block that is on or over, or with a fence alone.
fn plausible_row() -> impl Strategy<Value = Option<Row>> {
    let epoch = || ids().prop_map(|epoch| ("epoch", Value::Text(epoch)));
    let streak = (prop::option::of(epoch()), ids(), 1..8_i64).prop_map(|(epoch, streak, failures)| {
        let live = [("streak", Value::Text(streak)), ("failures", Value::Number(failures))];
        epoch.into_iter().chain(live).collect::<Row>()
    });
    let blocked = (epoch(), NOW_MS - 2..=NOW_MS + 2, 1..8_i64).prop_map(|(epoch, until, failures)| {
        let until = [("blocked_until", Value::Number(until)), ("blocked_at", Value::Number(until - 4))];
        let failures = [("failures", Value::Number(failures)), ("expires_at", Value::Number(NOW_MS / 1000))];
        until.into_iter().chain(failures).chain([epoch]).collect()
    });
    let fence = epoch().prop_map(|epoch| Row::from([epoch]));
    prop_oneof![1 => Just(None), 3 => prop_oneof![2 => streak, 1 => blocked, 1 => fence].prop_map(Some)]
}

/// `bounded` are the attributes that bounds may be compared with. A text is neither above nor below a number.
fn condition(bounded: &'static [&'static str]) -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        names().prop_map(Condition::Exists),
        names().prop_map(Condition::Missing),
        // Of the attribute's kind or not.
        (names(), names().prop_flat_map(value_of)).prop_map(|(name, value)| Condition::Is(name, value)),
        names().prop_flat_map(|name| value_of(name).prop_map(move |value| Condition::Is(name, value))),
        (select(bounded), numbers()).prop_map(|(name, bound)| Condition::AtMost(name, bound)),
        (select(bounded), numbers()).prop_map(|(name, bound)| Condition::AtLeast(name, bound)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::All),
            prop::collection::vec(inner, 1..4).prop_map(Condition::Any),
        ]
    })
}

/// Changes of attributes, each at most once, as DynamoDB demands.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = |name: &'static str| {
        let set = value_of(name).prop_map(move |value| Change::Set(name, value)).boxed();
        let remove = Just(Change::Remove(name)).boxed();
        let add = (-3..7_i64).prop_map(move |amount| Change::Add(name, amount)).boxed();
        let kinds = if NUMBERS.contains(&name) { vec![set, remove, add] } else { vec![set, remove] };
        proptest::strategy::Union::new(kinds)
    };
    subsequence(ATTRIBUTES.to_vec(), 1..=5)
        .prop_shuffle()
        .prop_flat_map(move |names| names.into_iter().map(change).collect::<Vec<_>>())
}

fn any_write_of_a_row(bounded: &'static [&'static str]) -> impl Strategy<Value = Write> {
    let effect = prop_oneof![4 => changes().prop_map(Effect::Update), 1 => Just(Effect::Delete)];
    (condition(bounded), effect).prop_map(|(condition, effect)| Write { name: "any", condition, effect })
}

/// The arguments of one of the rule's own writes.
#[derive(Clone, Debug)]
struct Transition {
    which: u8,
    fence: Option<String>,
    counted: Counted,
    rule: Rule,
    id: String,
    known: u32,
    now_ms: i64,
    /// Whether fence, streak and count are those of the row instead, as if it had just been read.
    fits: bool,
}

fn transition() -> impl Strategy<Value = Transition> {
    let rule = (1..12_u32, 0..5_u64, any::<bool>()).prop_map(|(threshold, ms, told)| Rule {
        threshold,
        block: Duration::from_millis(ms),
        raises_notices: told,
    });
    let counted = (1..6_u32, texts(), any::<bool>())
        .prop_map(|(failures, last_error, timeouts_only)| Counted { failures, last_error, timeouts_only });
    let when = NOW_MS - 2..=NOW_MS + 2;
    (0..9_u8, prop::option::of(ids()), counted, rule, ids(), 0..9_u32, when, prop::bool::weighted(0.7))
        .prop_map(|(which, fence, counted, rule, id, known, now_ms, fits)| Transition {
            which,
            fence,
            counted,
            rule,
            id,
            known,
            now_ms,
            fits,
        })
}

impl Transition {
    fn write(&self, row: Option<&Row>) -> Write {
        let text = |name: &str| match row.and_then(|row| row.get(name)) {
            Some(Value::Text(text)) if self.fits => Some(text.as_str()),
            _ => None,
        };
        let known = match row.and_then(|row| row.get("failures")) {
            Some(Value::Number(failures)) if self.fits => u32::try_from(*failures).unwrap_or(self.known),
            _ => self.known,
        };
        let fence = if self.fits { text("epoch") } else { self.fence.as_deref() };
        let (streak, now) = (text("streak").unwrap_or(&self.id), at(self.now_ms));
        match self.which {
            0 => start(fence, &self.counted, self.rule, &self.id, now),
            1 => add(fence, &self.counted, self.rule, streak, known, now),
            2 => block(fence, &self.counted, self.rule, &self.id, now),
            3 => end(fence, streak, now),
            4 => unblock(&self.id, now),
            5 => unblock_untold(&self.id, now),
            6 => {
                let over = [Over::ReplacedWithRelease, Over::Replaced, Over::Deleted];
                retire(over[self.known as usize % over.len()], now)
            }
            7 => notice::claim(&row.cloned().unwrap_or_default(), now, at(self.now_ms + 2)),
            _ => discard(fence.unwrap_or(&self.id), self.known),
        }
    }
}

struct Bench {
    runtime: Runtime,
    client: Client,
    table: StreakTable,
    coverage: RefCell<Coverage>,
}

impl Bench {
    fn new(client: Client) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let table = StreakTable::new(client.clone(), STREAKS.to_owned());
        Self { runtime, client, table, coverage: RefCell::default() }
    }

    fn run<T>(
        &self,
        (row, writes): &(Option<Row>, Vec<T>),
        write: impl Fn(&T, Option<&Row>) -> Write,
    ) -> Result<(), TestCaseError> {
        self.runtime.block_on(self.compare(row, writes, write))
    }

    /// Makes the writes one after the other in both ways, and compares every answer and every row.
    async fn compare<T>(
        &self,
        row: &Option<Row>,
        writes: &[T],
        write: impl Fn(&T, Option<&Row>) -> Write,
    ) -> Result<(), TestCaseError> {
        let key = new_streak();
        if let Some(row) = row {
            self.put(&key, row).await;
        }
        let (mut expected, mut indexed) = (row.clone(), false);
        for next in writes {
            let before = expected.clone();
            let write = &write(next, before.as_ref());
            let made = write.apply(&mut expected);
            let answer = self.table.write(&key, write, clock(NOW_MS, Duration::from_secs(30))).await;
            let answer = answer.map_err(|error| TestCaseError::fail(error.chain()))?;
            let wanted = if made { Answer::Made } else { Answer::Refused(before) };
            prop_assert_eq!(answer, wanted, "{:?}", write);
            prop_assert_eq!(&self.table.read(&key).await.unwrap(), &expected, "{:?}", write);
            indexed = if made { indexed_after(indexed, &write.effect) } else { indexed };
            let mut coverage = self.coverage.borrow_mut();
            let (times_made, times_refused) = coverage.entry(write.name).or_default();
            *(if made { times_made } else { times_refused }) += 1;
        }
        let last = key.webhook.as_str().chars().last().unwrap();
        let shard = indexed.then(|| AttributeValue::S(format!("due#{last}")));
        prop_assert_eq!(self.raw(&key).await.remove("due_shard"), shard);
        Ok(())
    }

    async fn put(&self, key: &StreakKey, row: &Row) {
        let value = |value: &Value| match value {
            Value::Number(number) => AttributeValue::N(number.to_string()),
            Value::Text(text) => AttributeValue::S(text.clone()),
            Value::Numbers(numbers) => AttributeValue::Ns(numbers.iter().map(i64::to_string).collect()),
        };
        let attributes = row.iter().map(|(name, content)| ((*name).to_owned(), value(content)));
        let item = self.key(key).into_iter().chain(attributes).collect();
        self.client.put_item().table_name(STREAKS).set_item(Some(item)).send().await.unwrap();
    }

    async fn raw(&self, key: &StreakKey) -> std::collections::HashMap<String, AttributeValue> {
        let call = self.client.get_item().table_name(STREAKS).set_key(Some(self.key(key)));
        call.consistent_read(true).send().await.unwrap().item.unwrap_or_default()
    }

    fn key(&self, key: &StreakKey) -> std::collections::HashMap<String, AttributeValue> {
        let (_, mut keys) = self.table.keys(std::slice::from_ref(key));
        keys.remove(0)
    }
}

/// Whether a row is in the index of due rows: a write that makes it due puts it there, and it stays.
fn indexed_after(before: bool, effect: &Effect) -> bool {
    match effect {
        Effect::Delete => false,
        Effect::Update(changes) => {
            before || changes.iter().any(|change| matches!(change, Change::Set(DUE_AT, _)))
        }
    }
}

/// Any writes on any rows, this number of cases, with bounds for these attributes.
pub(crate) fn any_write(client: Client, cases: u32, bounded: &'static [&'static str]) {
    let bench = Bench::new(client);
    let inputs = (any_row(), prop::collection::vec(any_write_of_a_row(bounded), 1..5));
    check(cases, 200, &inputs, |input| bench.run(&input, |write: &Write, _| write.clone()));
    let coverage = bench.coverage.borrow();
    let (made, refused) = coverage["any"];
    println!("any write: {made} made, {refused} refused");
    assert!(made > 100 && refused > 100, "{coverage:?}");
}

/// The rule's own transitions on rows as the rule leaves them, this number of cases.
pub(crate) fn every_transition(client: Client, cases: u32) {
    let bench = Bench::new(client);
    let inputs = (plausible_row(), prop::collection::vec(transition(), 1..6));
    check(cases, 200, &inputs, |input| bench.run(&input, Transition::write));
    let coverage = bench.coverage.borrow();
    println!("made and refused: {coverage:?}");
    for name in ["start", "add", "block", "end", "unblock", "unblock_untold", "retire", "discard"] {
        let (made, refused) = coverage.get(name).copied().unwrap_or_default();
        assert!(made > 2 && refused > 2, "{name} was made {made} times and refused {refused} times");
    }
}

#[test]
fn any_write_means_the_same_in_memory_and_on_the_table() {
    any_write(embedded().client(), 250, &ATTRIBUTES);
}

#[test]
fn every_transition_is_the_same_in_memory_and_on_the_table() {
    every_transition(embedded().client(), 400);
}

#[test]
fn rows_are_read_together_as_they_are_read_alone() {
    let bench = Bench::new(embedded().client());
    bench.runtime.block_on(async {
        let keys: Vec<_> = std::iter::repeat_with(new_streak).take(100).collect();
        for (index, key) in keys.iter().enumerate().filter(|(index, _)| index % 3 > 0) {
            let failures = Value::Number(i64::try_from(index).unwrap());
            let row = Row::from([("failures", failures), ("streak", Value::Text("s".to_owned()))]);
            bench.put(key, &row).await;
        }
        let together = bench.table.read_all(&keys).await.unwrap();
        assert_eq!(together.len(), 66);
        for key in &keys {
            assert_eq!(together.get(key), bench.table.read(key).await.unwrap().as_ref());
        }
        // A list reads as many as there are.
        let many: Vec<_> = std::iter::repeat_with(new_streak).take(250).chain(keys).collect();
        assert_eq!(bench.table.read_listed(&many).await.unwrap(), together);
        assert!(bench.table.read_listed(&[]).await.unwrap().is_empty());
    });
}
