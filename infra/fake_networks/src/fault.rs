//! What goes wrong on demand.

use std::time::Duration;

use crate::TokenState;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network answers this status of 500 and above, in its own form.
    Unavailable(u16),
    /// The answer is a good one, cut off in its middle.
    Malformed,
    /// A limit is spent: the network says so, and refuses all that the limit is about for this long.
    Limited(Duration),
    /// The answer is good, and takes this long, in the machine's time.
    Slow(Duration),
    /// The call has its effect, and the connection is closed without an answer.
    Dropped,
    /// The token of the call becomes this before the call is answered, and stays it.
    Token(TokenState),
    /// This status and body, as JSON.
    Answer {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
}

impl Fault {
    /// A number of times.
    #[must_use]
    pub fn times(self, times: usize) -> Planned {
        Planned { span: Span::Times(times), ..self.into() }
    }

    /// For this long, by the clock.
    #[must_use]
    pub fn lasting(self, lasts: Duration) -> Planned {
        Planned { span: Span::For(lasts), ..self.into() }
    }

    /// Until it is lifted.
    #[must_use]
    pub fn always(self) -> Planned {
        Planned { span: Span::Always, ..self.into() }
    }

    /// Once, for calls of this kind, or with this in their path.
    #[must_use]
    pub fn on(self, kind_or_path: impl Into<String>) -> Planned {
        Planned::from(self).on(kind_or_path)
    }

    /// Once, after a number of calls that go well.
    #[must_use]
    pub fn after(self, calls: usize) -> Planned {
        Planned::from(self).after(calls)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Malformed => "malformed",
            Self::Limited(_) => "limited",
            Self::Slow(_) => "slow",
            Self::Dropped => "dropped",
            Self::Token(_) => "token",
            Self::Answer { .. } => "answer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Times(usize),
    For(Duration),
    Always,
}

/// A fault with when it comes, and to whom. By itself: to the next call, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    fault: Fault,
    span: Span,
    on: Option<String>,
    page: Option<String>,
    after: usize,
}

impl From<Fault> for Planned {
    fn from(fault: Fault) -> Self {
        Self { fault, span: Span::Times(1), on: None, page: None, after: 0 }
    }
}

impl Planned {
    /// For calls of this kind, or with this in their path, alone.
    #[must_use]
    pub fn on(mut self, kind_or_path: impl Into<String>) -> Self {
        self.on = Some(kind_or_path.into());
        self
    }

    /// For calls with a token of this page alone.
    #[must_use]
    pub fn of(mut self, page: impl Into<String>) -> Self {
        self.page = Some(page.into());
        self
    }

    /// After a number of calls that it would have applied to, and that go well.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.after = calls;
        self
    }
}

/// The faults of one network, in the order in which they were planned.
#[derive(Default)]
pub(crate) struct Faults {
    waiting: Vec<(Planned, Option<u64>)>,
}

impl Faults {
    pub(crate) fn plan(&mut self, planned: Planned, now_ms: u64) {
        let until = match planned.span {
            Span::For(lasts) => {
                Some(now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)))
            }
            Span::Times(_) | Span::Always => None,
        };
        self.waiting.push((planned, until));
    }

    pub(crate) fn lift(&mut self) {
        self.waiting.clear();
    }

    /// What goes wrong with a call. Only the first that fits does, and the others do not count it.
    pub(crate) fn next(&mut self, kind: &str, path: &str, page: Option<&str>, now_ms: u64) -> Option<Fault> {
        self.waiting.retain(|(planned, until)| {
            until.is_none_or(|until| now_ms < until) && planned.span != Span::Times(0)
        });
        for (planned, _) in &mut self.waiting {
            let fits = planned.on.as_ref().is_none_or(|on| on == kind || path.contains(on.as_str()));
            let of_page = planned.page.is_none() || planned.page.as_deref() == page;
            if !fits || !of_page {
                continue;
            }
            if planned.after > 0 {
                planned.after -= 1;
                continue;
            }
            if let Span::Times(left) = &mut planned.span {
                *left -= 1;
            }
            return Some(planned.fault.clone());
        }
        None
    }
}
