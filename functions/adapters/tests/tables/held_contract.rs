//! The writes of holding and releasing are values. They do the same in memory, where the model check explores them, and
//! on the table.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::Client;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_core::holding::{self, NewStep, ReleaseState};
use carteiro_core::item::ItemType;
use carteiro_core::transition::{Row, Value, Write};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;

use crate::check;
use crate::database::{NOW_MS, at, embedded, new_webhook};

/// The name of the table that these writes are made on.
pub(crate) const HELD: &str = "HeldContract";

/// How many kinds of writes there are.
const KINDS: u8 = 22;

/// The arguments of one of the writes.
#[derive(Clone, Debug)]
struct Made {
    kind: u8,
    who: &'static str,
    step: &'static str,
    now: Timestamp,
    then: Timestamp,
    touched: u64,
    indices: BTreeSet<i64>,
    flag: bool,
    /// Whether names, counts and times are those of the row instead, as if it had just been read.
    fits: bool,
}

fn times() -> impl Strategy<Value = Timestamp> {
    // Some are a minute later: so much earlier a release may be claimed.
    (0..4_i64, any::<bool>()).prop_map(|(ms, late)| at(NOW_MS + ms + if late { 60_000 } else { 0 }))
}

fn made() -> impl Strategy<Value = Made> {
    let ids = || select(vec!["a", "b"]);
    let indices = prop::collection::btree_set(0..4_i64, 1..4);
    (0..KINDS, ids(), ids(), times(), times(), 0..3_u64, indices, any::<bool>(), prop::bool::weighted(0.7))
        .prop_map(|(kind, who, step, now, then, touched, indices, flag, fits)| Made {
            kind,
            who,
            step,
            now,
            then,
            touched,
            indices,
            flag,
            fits,
        })
}

impl Made {
    fn write(&self, row: Option<&Row>) -> Write {
        let Self { who, step, now, then, .. } = *self;
        let text = |name: &str, other| match row.and_then(|row| row.get(name)) {
            Some(Value::Text(text)) if self.fits => text.as_str(),
            _ => other,
        };
        let (worker, claim, counted) =
            (text("lease_by", who), text("claimed_by", who), text("step_id", step));
        let claimed_until = match row.and_then(|row| row.get("claimed_until")) {
            Some(Value::Number(ms)) if self.fits => at(*ms),
            _ => then,
        };
        let empty = Row::new();
        let seen = ReleaseState::of(row.filter(|_| self.fits).unwrap_or(&empty));
        let touched = if self.fits { seen.touched } else { self.touched };
        let new_step = NewStep { id: step, items: 3, size: 10 };
        let failed = if self.flag { self.indices.clone() } else { BTreeSet::new() };
        match self.kind {
            0 => holding::keep_retry(),
            1 => holding::claim(who, then, now, then),
            2 => holding::finish(claim, claimed_until),
            3 => holding::adopt(who, then, now),
            4 => holding::delete_released(text("holding", who)),
            5 => holding::touch(then),
            6 | 7 => holding::plan(then),
            8 => holding::release_all(now, then),
            9 => holding::expedite(now, then),
            10 | 11 => holding::claim_release(who, now, then, then),
            12 => holding::renew(worker, then),
            13 => holding::looked_behind(worker, now, then),
            14 => holding::begin_step(worker, &seen, new_step, now, then),
            15 => holding::step_sent(worker, then),
            16 | 20 | 21 => holding::count_finished(counted, &self.indices, &failed).unwrap(),
            17 => holding::postpone(worker, touched, then, self.flag),
            18 => holding::give_back(worker, then),
            _ => holding::end_release(worker, touched),
        }
    }
}

/// Makes every write in both ways, one after the other on one row, and compares every answer and every row.
/// Each write is to be made and refused at least `least` times, so that the comparison means something.
pub(crate) fn every_write(client: Client, cases: u32, least: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let table = HeldTable::new(client, HELD.to_owned());
    let coverage: RefCell<BTreeMap<&'static str, (u32, u32)>> = RefCell::default();
    check(cases, 200, &prop::collection::vec(made(), 1..24), |writes| {
        runtime.block_on(async {
            let key = ReleaseKey { webhook: new_webhook(), item_type: ItemType::MESSAGE };
            let mut expected = None;
            for next in writes {
                let write = next.write(expected.as_ref());
                let made = write.apply(&mut expected);
                let answer = table.releases.make(&key, &write).await;
                let answer = answer.map_err(|error| TestCaseError::fail(error.chain()))?;
                prop_assert_eq!(answer, (made, expected.clone()), "{:?}", write);
                let mut coverage = coverage.borrow_mut();
                let (times_made, times_refused) = coverage.entry(write.name).or_default();
                *(if made { times_made } else { times_refused }) += 1;
            }
            Ok(())
        })
    });
    let coverage = coverage.borrow();
    println!("made and refused: {coverage:?}");
    for (name, (made, refused)) in coverage.iter() {
        assert!(
            *made >= least && *refused >= least,
            "{name} was made {made} times and refused {refused} times"
        );
    }
    assert_eq!(coverage.len(), 18, "{coverage:?}");
}

#[test]
fn every_write_of_holding_is_the_same_in_memory_and_on_a_table() {
    embedded().make_held(HELD);
    every_write(embedded().client(), 400, 1);
}
