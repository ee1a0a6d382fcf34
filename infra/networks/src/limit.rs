//! The networks' limits, counted as they count them.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

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
    /// So many per cent. Where that is 100 or above, calls are answered again after an hour.
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
    /// How much is left.
    pub(crate) left: u64,
    /// When the window ends.
    pub(crate) ends_ms: u64,
}

/// Windows of time in which so much may be used. One begins with the first call after the last one's end.
#[derive(Default)]
pub(crate) struct Windows {
    used: HashMap<String, (u64, u64)>,
}

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
        Taken { over, left: most.saturating_sub(window.0), ends_ms: window.1 }
    }

    /// From now on nothing is left until then.
    pub(crate) fn spend(&mut self, key: &str, until_ms: u64) {
        self.used.insert(key.to_owned(), (u64::MAX / 2, until_ms));
    }
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
