//! Walks back through a list that a network shows newest first, over as many ticks as they take.
//!
//! A walk begins at the newest and goes down to what the last walks began with. Where a tick ends before that, what is
//! left is a *gap*: where to go on (the network's cursor), and how far down. The next tick walks what is newer first,
//! so that a long history does not delay what is new, and then goes on in the gaps, newest first.
//!
//! Invariant: everything at or below the top and above a page's beginning was stored, the gaps apart. So the mark may
//! rise with a walk's first page. A cursor that the network no longer takes is given up, and its gap is walked again
//! from the newest on, which covers every newer gap as well.

use serde::{Deserialize, Serialize};

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
    /// When a walk that goes by time was last begun, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<i64>,
}

/// A part of a list that is not walked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Gap {
    /// Down to which mark; none: to the page's beginning.
    pub(crate) down_to: Option<i64>,
    /// Where to go on; none: at the newest.
    pub(crate) cursor: Option<String>,
    tries: u8,
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
    /// Begins a walk at the newest, down to the newest mark that was stored, and at least to this one. Whether it
    /// begins: with too many gaps it does not.
    pub(crate) fn begin(&mut self, at_least: i64) -> bool {
        let down_to = self.top.map(|top| top.min(at_least));
        let has_room = self.gaps.len() < MAX_GAPS;
        match self.gaps.first_mut() {
            Some(gap) if gap.cursor.is_none() => gap.down_to = gap.down_to.min(down_to),
            _ if !has_room => return false,
            _ => self.gaps.insert(0, Gap { down_to, ..Gap::default() }),
        }
        true
    }

    /// Begins a walk through a list of times at `now`, down to `back` before the *last* walk began: what the network
    /// shows late is found also after a pause.
    pub(crate) fn begin_back(&mut self, now: i64, back: i64) -> bool {
        let last = self.begun_at.unwrap_or(now).min(now);
        let begins = self.begin(last.saturating_sub(back));
        if begins {
            self.begun_at = Some(now);
        }
        begins
    }

    /// Where the walk stands; none where everything is walked.
    pub(crate) fn current(&self) -> Option<&Gap> {
        self.gaps.first()
    }

    /// A page of the current gap was stored. `floor` is the page's beginning.
    pub(crate) fn walked(&mut self, step: Step, floor: i64) {
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
                walks.begin(i64::MAX);
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
            walks.begin(i64::MAX);
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

    #[test]
    fn what_is_shown_late_is_found_after_any_pause() {
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
        walks.begin(i64::MAX);
        walks.walked(page(&list, None).1, 0);
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("8"));
        walks.begin(i64::MAX);
        assert_eq!(walks.current(), Some(&Gap { down_to: Some(9), ..Gap::default() }));
        walks.walked(page(&[10, 9, 8, 7], None).1, 0);
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("8"), "the gap is next");
    }

    #[test]
    fn a_looping_cursor_and_an_unreadable_page_end_the_walk() {
        let step = |next: &str| Step { next: Some(next.to_owned()), ..Step::default() };
        let mut walks = Walks::default();
        walks.begin(i64::MAX);
        walks.walked(step("a"), 0);
        walks.unreadable();
        walks.unreadable();
        assert_eq!(walks.current().unwrap().cursor.as_deref(), Some("a"));
        walks.unreadable();
        assert_eq!(walks.current(), Some(&Gap::default()));
        walks.walked(step("a"), 0);
        walks.walked(step("a"), 0);
        assert_eq!(walks.current(), None);
        walks.begin(i64::MAX);
        walks.walked(step(&"x".repeat(2000)), 0);
        assert_eq!(walks.current(), Some(&Gap::default()), "what is too long is not kept");
    }
}
