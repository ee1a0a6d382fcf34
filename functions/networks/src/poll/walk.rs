//! Walks back through a list that a network shows newest first, over as many ticks as they take.
//!
//! A walk begins at the newest and goes down to what the last walks began with. Where a tick ends before that, what is
//! left is a *gap*: where to go on (the network's cursor), and how far down. The next tick walks what is newer first,
//! so that a long history does not delay what is new, and then goes on in the gaps, newest first.
//!
//! Invariant: everything at or below the top and above a page's beginning was stored, the gaps and what was not listed
//! at the time apart. So the mark may rise with a walk's first page. A cursor that the network no longer takes is given
//! up, and its gap is walked again from the newest on, which covers every newer gap as well.
//!
//! # What a list shows late
//! A list may show a thing minutes after a newer one, at the place of the thing's own time. **What a list shows up to
//! two hours late ([`LATE`]) is found.** A thing that appeared between two polls is at most [`LATE`] older than the
//! first of them; so everything above that mark is told again, and the inbox knows what it has.
//!
//! It costs calls only where something is new. The first page is asked for by each walk. The pages behind it, down to
//! two hours before the last *look back*, are asked for where more than a page is above that mark: at most every half
//! hour, and only if something newer was found since the last look back, or two hours have passed. So what is shown
//! late on the first page is found by the next walk; deeper, by a walk half an hour later, or two hours where nothing
//! newer comes. A list that is quiet for two hours, or has no more than a page in them, takes one call a walk.
//!
//! Not found is what is shown later than two hours after its time, unless it is on a page that is read for another
//! reason, or a sweep comes to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How late a list may show a thing that is found all the same.
pub(crate) const LATE: Duration = Duration::from_secs(2 * 3600);

/// [`LATE`] in milliseconds.
pub(crate) const LATE_MS: i64 = 2 * 3_600_000;

/// How often at most the pages behind the first are looked at for what was shown late, in milliseconds.
const LOOK_BACK_MS: i64 = 1_800_000;

/// The most gaps that are kept; while there are as many, no new walk begins, and nothing is skipped.
const MAX_GAPS: usize = 4;

/// The longest cursor that is kept, in bytes. A longer one is not followed in the next tick: its gap begins again.
const MAX_CURSOR_BYTES: usize = 1024;

/// How often in a row a page of a walk may be unreadable before its cursor is given up.
const MAX_TRIES: u8 = 3;

/// The walks through one list. Marks are numbers that grow with time: milliseconds, or ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Walks {
    /// The newest mark that was stored.
    top: Option<i64>,
    /// What is not walked yet, newest first.
    gaps: Vec<Gap>,
    /// When the last look back was begun, in milliseconds: a walk through everything that may be shown late.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<i64>,
    /// Whether anything newer was found since then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_news: bool,
}

/// A part of a list that is not walked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Gap {
    /// Down to which mark; none: to the page's beginning.
    down_to: Option<i64>,
    /// Above which mark what is met is told, where that is below the end of the walk.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<i64>,
    /// Where to go on; none: at the newest.
    pub(crate) cursor: Option<String>,
    tries: u8,
}

impl Gap {
    /// What is at this mark or below it is not told; none: everything is.
    pub(crate) fn told_to(&self) -> Option<i64> {
        self.down_to.map(|down_to| self.late.map_or(down_to, |late| late.min(down_to)))
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// The newest mark on it that counts.
    pub(crate) newest: Option<i64>,
    /// The mark of its last element, where a walk may end by it.
    pub(crate) last: Option<i64>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl Walks {
    /// Begins a walk at the newest, down to this mark. Whether it begins: with too many gaps it does not.
    fn begin(&mut self, down_to: Option<i64>, late: Option<i64>) -> bool {
        let has_room = self.gaps.len() < MAX_GAPS;
        match self.gaps.first_mut() {
            Some(gap) if gap.cursor.is_none() => {
                gap.late = gap.late.into_iter().chain(late).min();
                gap.down_to = gap.down_to.min(down_to);
            }
            _ if !has_room => return false,
            _ => self.gaps.insert(0, Gap { down_to, late, ..Gap::default() }),
        }
        true
    }

    /// Begins a walk at `now` down to what is known, which also finds what the list shows up to [`LATE`] late. `mark`
    /// is the least mark of a time in milliseconds.
    pub(crate) fn begin_late(&mut self, now: i64, mark: impl Fn(i64) -> i64) -> bool {
        let last = self.begun_at.unwrap_or(now).min(now);
        let passed = now - last;
        let looks_back =
            self.begun_at.is_none() || passed >= LATE_MS || self.has_news && passed >= LOOK_BACK_MS;
        let late = mark(last.saturating_sub(LATE_MS));
        if looks_back {
            return self.look_back(now, late);
        }
        self.begin(self.top, Some(late))
    }

    /// Begins a walk through a list of times at `now`, down to `back` before the *last* look back: a sweep through what
    /// is older.
    pub(crate) fn begin_back(&mut self, now: i64, back: i64) -> bool {
        let last = self.begun_at.unwrap_or(now).min(now);
        self.look_back(now, last.saturating_sub(back))
    }

    /// Begins a walk down to the newest mark that was stored, and at least to this one.
    fn look_back(&mut self, now: i64, at_least: i64) -> bool {
        let begins = self.begin(self.top.map(|top| top.min(at_least)), None);
        if begins {
            (self.begun_at, self.has_news) = (Some(now), false);
        }
        begins
    }

    /// Where the walk stands; none where everything is walked.
    pub(crate) fn current(&self) -> Option<&Gap> {
        self.gaps.first()
    }

    /// A page of the current gap was stored. `floor` is the page's beginning.
    pub(crate) fn walked(&mut self, step: Step, floor: i64) {
        self.has_news |= step.newest > self.top;
        self.top = self.top.max(step.newest);
        let Some(gap) = self.gaps.first_mut() else { return };
        let down_to = gap.down_to.unwrap_or(floor).max(floor);
        let reached = step.last.is_some_and(|last| last <= down_to);
        // A cursor that leads to itself would be followed for ever.
        let next = step.next.filter(|next| !reached && gap.cursor.as_ref() != Some(next));
        match next {
            Some(next) if next.len() <= MAX_CURSOR_BYTES => {
                (gap.cursor, gap.tries) = (Some(next), 0);
            }
            Some(_) => self.give_up_cursor(),
            None => {
                self.gaps.remove(0);
            }
        }
    }

    /// The network no longer takes the current gap's cursor.
    pub(crate) fn give_up_cursor(&mut self) {
        if let Some(gap) = self.gaps.first_mut() {
            (gap.cursor, gap.tries) = (None, 0);
        }
    }

    /// The current page could not be read. It is asked for again in the next tick, and after some times its cursor is
    /// given up.
    pub(crate) fn unreadable(&mut self) {
        if let Some(gap) = self.gaps.first_mut() {
            gap.tries = gap.tries.saturating_add(1);
            if gap.tries >= MAX_TRIES {
                self.give_up_cursor();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page of a list of marks, newest first, two at a time, by the mark below which it begins.
    fn page(list: &[i64], cursor: Option<&str>) -> (Vec<i64>, Step) {
        let below = cursor.map_or(i64::MAX, |cursor| cursor.parse().unwrap());
        let rest: Vec<i64> = list.iter().copied().filter(|&mark| mark < below).collect();
        let seen: Vec<i64> = rest.iter().copied().take(2).collect();
        let next = (rest.len() > 2).then(|| seen[1].to_string());
        (seen.clone(), Step { newest: seen.first().copied(), last: seen.last().copied(), next })
    }

    proptest! {
        #[test]
        fn everything_is_found_whenever_it_is_added(
            ticks in prop::collection::vec((0_usize..6, 0_usize..7, any::<bool>()), 1..20),
        ) {
            let (mut walks, mut list, mut found) = (Walks::default(), Vec::new(), Vec::new());
            for (grows, calls, refused) in ticks.into_iter().chain([(1, 1000, false)]) {
                let had = list.len();
                list.splice(0..0, (0..grows).map(|nth| i64::try_from(had + grows - nth).unwrap()));
                walks.begin(walks.top, None);
                if refused {
                    walks.give_up_cursor();
                }
                for _ in 0..calls {
                    let Some(gap) = walks.current() else { break };
                    let (seen, step) = page(&list, gap.cursor.as_deref());
                    found.extend(seen);
                    walks.walked(step, 0);
                }
                let kept = serde_json::to_string(&walks).unwrap();
                prop_assert_eq!(&walks, &serde_json::from_str::<Walks>(&kept).unwrap());
            }
            // The last tick may have begun with too many gaps for a walk of its own.
            walks.begin(walks.top, None);
            while let Some(gap) = walks.current() {
                let (seen, step) = page(&list, gap.cursor.as_deref());
                found.extend(seen);
                walks.walked(step, 0);
            }
            found.sort_unstable();
            found.dedup();
            list.reverse();
            prop_assert_eq!(found, list);
        }
    }

    const MINUTE: i64 = 60_000;

    /// A list whose elements have a time and are shown later. Each page has `size` of them.
    struct Shown {
        /// (own time, when it is shown), all different.
        things: Vec<(i64, i64)>,
        size: usize,
    }

    impl Shown {
        /// What a page has, and its step.
        fn page(&self, now: i64, cursor: Option<&str>) -> (Vec<i64>, Step) {
            let below = cursor.map_or(i64::MAX, |cursor| cursor.parse().unwrap());
            let shown = self.things.iter().filter(|(at, from)| *from <= now && *at < below);
            let mut rest: Vec<i64> = shown.map(|(at, _)| *at).collect();
            rest.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
            let seen: Vec<i64> = rest.iter().copied().take(self.size).collect();
            let next = (rest.len() > self.size).then(|| seen[self.size - 1].to_string());
            (seen.clone(), Step { newest: seen.first().copied(), last: seen.last().copied(), next })
        }

        /// A walk to its end; what it told, and how many calls it took.
        fn walk(&self, walks: &mut Walks, now: i64) -> (Vec<i64>, usize) {
            let (mut told, mut calls) = (Vec::new(), 0);
            walks.begin_late(now, |ms| ms);
            while let Some(gap) = walks.current() {
                let (seen, step) = self.page(now, gap.cursor.as_deref());
                let after = gap.told_to().unwrap_or(i64::MIN);
                told.extend(seen.into_iter().filter(|at| *at > after));
                walks.walked(step, 0);
                calls += 1;
            }
            (told, calls)
        }
    }

    proptest! {
        #[test]
        fn all_that_is_shown_two_hours_late_is_found_once_it_is(
            things in prop::collection::btree_map(0_i64..1440, 0_i64..=120, 0..60),
            size in 1_usize..8,
            pauses in prop::collection::vec(1_i64..200, 1..30),
        ) {
            let begin = 10_000 * MINUTE;
            let shown = |(at, late): (&i64, &i64)| (begin + at * MINUTE, begin + (at + late) * MINUTE);
            let list = Shown { things: things.iter().map(shown).collect(), size };
            let (mut walks, mut found) = (Walks::default(), std::collections::BTreeSet::new());
            let mut now = begin;
            // At the end come walks for as long as it may take: a look back is two hours apart at the most.
            for pause in pauses.into_iter().chain([15; 120]) {
                now += pause * MINUTE;
                found.extend(list.walk(&mut walks, now).0);
            }
            let expected: std::collections::BTreeSet<i64> = list.things.iter().map(|(at, _)| *at).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(list.walk(&mut walks, now + MINUTE).1, 1, "a quiet list is one call");
        }
    }

    #[test]
    fn a_page_of_news_is_one_call_and_deeper_ones_wait() {
        let begin = 100_000 * MINUTE;
        let mut list = Shown { things: vec![(begin - 500 * MINUTE, 0)], size: 10 };
        let mut walks = Walks::default();
        assert_eq!(list.walk(&mut walks, begin).1, 1);
        list.things.extend((0..35).map(|nth| (begin + nth * 1000, 0)));
        let at = |minutes: i64| begin + minutes * MINUTE;
        assert_eq!(list.walk(&mut walks, at(15)).1, 4, "all of it is new");
        let late = (at(1) + 500, at(16));
        list.things.push(late);
        assert_eq!(list.walk(&mut walks, at(20)), (list.page(at(20), None).0, 1), "the first page alone");
        let (told, calls) = list.walk(&mut walks, at(30));
        assert!(told.contains(&late.0) && calls == 4, "{calls}");
        for quiet in [45, 60, 120, 140] {
            assert_eq!(list.walk(&mut walks, at(quiet)).1, 1);
        }
        assert_eq!(list.walk(&mut walks, at(151)).1, 4, "once more, two hours after the last look back");
        assert_eq!(list.walk(&mut walks, at(400)), (Vec::new(), 1));
    }

    #[test]
    fn what_an_older_version_kept_is_read() {
        let old = r#"{"top":9000,"gaps":[{"down_to":8000,"cursor":"c","tries":1}],"begun_at":10000}"#;
        let mut walks: Walks = serde_json::from_str(old).unwrap();
        assert_eq!(walks.current().unwrap().told_to(), Some(8000));
        walks.begin_late(10_500, |ms| ms);
        assert_eq!(walks.current().unwrap().told_to(), Some(10_000 - LATE_MS));
        let older: Walks = serde_json::from_str(r#"{"top":9000,"gaps":[]}"#).unwrap();
        assert_eq!(older.begun_at, None);
    }

    #[test]
    fn a_sweep_goes_down_from_the_last_look_back() {
        let mut walks = Walks::default();
        let step = |newest: i64| Step { newest: Some(newest), last: Some(newest), next: None };
        walks.begin_back(10_000, 600);
        walks.walked(step(9_990), 0);
        walks.begin_back(50_000, 600);
        assert_eq!(walks.current().unwrap().down_to, Some(9_400));
        walks.walked(step(9_990), 0);
        walks.begin_back(50_100, 600);
        assert_eq!(
            walks.current().unwrap().down_to,
            Some(9_990),
            "down to the newest that is known, at least"
        );
    }

    #[test]
    fn what_is_new_is_walked_before_what_was_left() {
        let mut walks = Walks::default();
        let list = [9, 8, 7, 6, 5, 4, 3, 2, 1];
        walks.begin(walks.top, None);
        walks.walked(page(&list, None).1, 0);
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("8"));
        walks.begin(walks.top, None);
        assert_eq!(walks.current(), Some(&Gap { down_to: Some(9), ..Gap::default() }));
        walks.walked(page(&[10, 9, 8, 7], None).1, 0);
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("8"), "the gap is next");
    }

    #[test]
    fn a_looping_cursor_and_an_unreadable_page_end_the_walk() {
        let step = |next: &str| Step { next: Some(next.to_owned()), ..Step::default() };
        let mut walks = Walks::default();
        walks.begin(walks.top, None);
        walks.walked(step("a"), 0);
        walks.unreadable();
        walks.unreadable();
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("a"));
        walks.unreadable();
        assert_eq!(walks.current(), Some(&Gap::default()));
        walks.walked(step("a"), 0);
        walks.walked(step("a"), 0);
        assert_eq!(walks.current(), None);
        walks.begin(walks.top, None);
        walks.walked(step(&"x".repeat(2000)), 0);
        assert_eq!(walks.current(), Some(&Gap::default()), "what is too long is not kept");
    }
}
