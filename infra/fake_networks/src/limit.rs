//! The networks' limits, counted as they count them.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

/// Whose calls a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    /// Those with the tokens of one page, user or member.
    Page,
    /// All.
    App,
}

/// How much of Meta's limits is used, as its headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Per cent; at 100 and above calls are refused.
    pub percent: u32,
    /// After how many minutes calls are answered again, where they are refused.
    #[serde(default)]
    pub regain_minutes: u64,
    /// The code of the refusal. None: 80001 or 80002 where it is a page's, 4 where it is the app's.
    #[serde(default)]
    pub code: Option<u32>,
}

impl Usage {
    /// A usage in per cent. Where it is 100 or above, calls are answered again after an hour.
    #[must_use]
    pub fn percent(percent: u32) -> Self {
        Self { percent, regain_minutes: 60, code: None }
    }

    /// After how many minutes calls are answered again.
    #[must_use]
    pub fn regained_after(mut self, minutes: u64) -> Self {
        self.regain_minutes = minutes;
        self
    }

    /// Refused with this code: 4, 17, 32, 613, 80001, 80002.
    #[must_use]
    pub fn refused_with(mut self, code: u32) -> Self {
        self.code = Some(code);
        self
    }
}

/// A usage, and when it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) usage: Usage,
    pub(crate) until_ms: u64,
    /// Whether an answer has said it.
    pub(crate) told: bool,
}

/// What one call takes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether there was nothing left.
    pub(crate) over: bool,
    /// When the window ends.
    pub(crate) ends_ms: u64,
}

/// Windows of time in which so much may be used. One begins with the first call after the last one's end.
#[derive(Default)]
pub(crate) struct Windows {
    used: HashMap<String, (u64, u64)>,
}

/// All that there may be used of.
const ALL: u64 = u64::MAX / 2;

impl Windows {
    /// Takes `units` of at most `most`; `ends_ms` is the end of a window that begins now. Where there is not enough
    /// left, nothing is taken.
    pub(crate) fn take(&mut self, key: &str, most: u64, units: u64, now_ms: u64, ends_ms: u64) -> Taken {
        let window = self.used.entry(key.to_owned()).or_insert((0, ends_ms));
        if window.1 <= now_ms {
            *window = (0, ends_ms);
        }
        let over = window.0 + units > most;
        if !over {
            window.0 += units;
        }
        Taken { over, ends_ms: window.1 }
    }

    /// What of a window is used, and when it ends.
    pub(crate) fn used(&self, key: &str) -> Option<(u64, u64)> {
        self.used.get(key).copied()
    }

    /// From now on nothing is left until then; false where nothing was left before.
    pub(crate) fn spend(&mut self, key: &str, now_ms: u64, until_ms: u64) -> bool {
        let before = self.used.insert(key.to_owned(), (ALL, until_ms));
        before.is_none_or(|(used, ends_ms)| used < ALL || ends_ms <= now_ms)
    }
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_a_call_and_is_over_at_its_end() {
        let mut windows = Windows::default();
        let mut take = |units, now_ms| windows.take("k", 3, units, now_ms, now_ms + 100);
        assert_eq!(take(2, 10), Taken { over: false, ends_ms: 110 });
        assert!(take(2, 50).over && !take(1, 109).over && take(1, 109).over);
        assert_eq!(take(3, 110), Taken { over: false, ends_ms: 210 });
        assert!(
            windows.spend("k", 120, 500) && !windows.spend("k", 130, 500) && windows.spend("k", 500, 600)
        );
    }
}
