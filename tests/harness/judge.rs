//! Judges a run against its record: did every known item come where it belongs, whole, and to nobody else, and is
//! there a reason for each that came again?
//!
//! It is a function of the record alone. The record is made by whoever published, broke things and received; the bundle
//! has no part in it. An item is known by a mark in its content, so that what came under a wrong id is still known.

use std::collections::{BTreeMap, BTreeSet};

/// From when to when something was done: its effect lies somewhere between. Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub began_ms: u64,
    /// When it was over.
    pub ended_ms: u64,
}

/// What a producer was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was accepted, under this id where the answer names one.
    Accepted(Option<String>),
    /// No answer, or one that promises nothing.
    Unknown,
    /// It was refused for good: nothing of it may come anywhere.
    Refused,
}

/// One request with an item.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When.
    pub span: Span,
    /// What it was answered.
    pub answer: Answer,
}

/// An item that was published, in one request or in several.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is known by in its content.
    pub mark: String,
    /// Its account.
    pub account: String,
    /// Its type.
    pub item_type: String,
    /// The digest of its bytes, where they are the producer's own.
    pub digest: Option<String>,
    /// The requests with it, in order.
    pub asked: Vec<Asked>,
}

/// A webhook's life.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its account.
    pub account: String,
    /// When it was created.
    pub created: Span,
    /// When it was deleted, if it was.
    pub deleted: Option<Span>,
    /// Which types it takes, each set from its act on: the first from the creation.
    pub takes: Vec<(Span, BTreeSet<String>)>,
}

/// A request that arrived at a receiver, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The webhook whose URL it came to.
    pub webhook: String,
    /// Its `webhook-id`.
    pub id: String,
    /// The mark in its content.
    pub mark: Option<String>,
    /// The digest of its bytes.
    pub digest: String,
    /// When.
    pub at_ms: u64,
    /// Whether it was answered as a success.
    pub succeeded: bool,
    /// Whether its signature is the webhook's.
    pub is_signed: bool,
}

/// How an item is kept that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// In the held items.
    Held,
    /// In the dead items.
    Dead,
}

/// An item that is kept for a webhook at the end.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// The webhook.
    pub webhook: String,
    /// The item's id.
    pub id: String,
    /// How.
    pub kept: Kept,
}

/// How a message came back from a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It is done.
    Done,
    /// It comes again.
    Left,
    /// It comes again, because the function's answer was lost on purpose.
    AnswerLost,
    /// It was given to two invocations at once, on purpose.
    Twice,
}

/// A message with a delivery that a function got.
#[derive(Clone, Debug)]
pub struct Handing {
    /// The message's id.
    pub message: String,
    /// The delivery's webhook.
    pub webhook: String,
    /// The delivery's item.
    pub id: String,
    /// For how long the function had it.
    pub span: Span,
    /// How it came back.
    pub returned: Returned,
}

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The copies of the function were killed.
    Killed,
    /// One of its calls went wrong.
    Call,
}

/// Something that was broken on purpose.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// The function that it befell.
    pub function: String,
    /// When.
    pub at_ms: u64,
    /// What.
    pub broken: Broken,
}

/// Everything that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What was published.
    pub items: Vec<Item>,
    /// All webhooks.
    pub webhooks: Vec<Webhook>,
    /// What arrived, in order.
    pub arrivals: Vec<Arrival>,
    /// What is kept at the end.
    pub remaining: Vec<Remaining>,
    /// The messages that `deliver` got.
    pub handings: Vec<Handing>,
    /// What was broken.
    pub disturbances: Vec<Disturbance>,
}

/// Why an item came more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Explanation {
    /// The queue gave its message to two invocations at once.
    HandedOutTwice,
    /// The answer of the function that had delivered it was lost.
    AnswerLost,
    /// The function was killed while it had the message.
    DeliverKilled,
    /// A call of the function went wrong while it had the message.
    DeliverDisturbed,
    /// The producer sent it again under the same id, or its request was disturbed.
    QueuedTwice,
    /// It was held, and what moves held items was disturbed.
    ReleasedTwice,
    /// The producer sent it again under another id, because it was not answered.
    SentAgain,
}

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was accepted for a webhook and neither came there nor is kept.
    Lost {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// Its bytes are others, or its signature does not fit.
    Altered {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// It came under an id that no answer named.
    WrongId {
        /// The item.
        mark: String,
        /// The id.
        id: String,
    },
    /// It came to a webhook that it was never for.
    WrongWebhook {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// It came to a webhook that had been deleted.
    AfterDeletion {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// It came to a webhook that no longer took its type.
    NotTaken {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// It came although it was refused.
    ArrivedThoughRefused {
        /// The item.
        mark: String,
        /// The webhook.
        webhook: String,
    },
    /// Something came that nobody published.
    Unpublished {
        /// The id.
        id: String,
        /// The webhook.
        webhook: String,
    },
    /// It came again after it had arrived, and nothing that was broken explains it.
    UnexplainedDuplicate {
        /// The item's id.
        id: String,
        /// The webhook.
        webhook: String,
        /// When it came again.
        at_ms: u64,
    },
}

/// Figures of a run, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that were published.
    pub items: u64,
    /// Items that were accepted.
    pub accepted: u64,
    /// Items whose acceptance is not known.
    pub unknown: u64,
    /// Items that were refused.
    pub refused: u64,
    /// Pairs of an accepted item and a webhook that it must come to.
    pub expected: u64,
    /// Pairs that are kept in place of having arrived.
    pub kept: BTreeMap<Kept, u64>,
    /// Requests that arrived.
    pub arrivals: u64,
    /// Arrivals of what had arrived before, by reason.
    pub duplicates: BTreeMap<Explanation, u64>,
    /// Verdicts that something was lost.
    pub lost: u64,
    /// What was broken.
    pub disturbances: u64,
}

impl Counts {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.accepted += other.accepted;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.expected += other.expected;
        self.arrivals += other.arrivals;
        self.lost += other.lost;
        self.disturbances += other.disturbances;
        for (kept, count) in &other.kept {
            *self.kept.entry(*kept).or_default() += count;
        }
        for (explanation, count) in &other.duplicates {
            *self.duplicates.entry(*explanation).or_default() += count;
        }
    }
}

/// Judges a run. What was under way when a webhook was deleted or changed may still come within `grace_ms`.
#[must_use]
pub fn judge(record: &Record, grace_ms: u64) -> (Vec<Verdict>, Counts) {
    let judge = Judge {
        record,
        grace_ms,
        items: record.items.iter().map(|item| (item.mark.as_str(), item)).collect(),
        webhooks: record.webhooks.iter().map(|webhook| (webhook.id.as_str(), webhook)).collect(),
    };
    let mut counts = Counts {
        items: record.items.len() as u64,
        arrivals: record.arrivals.len() as u64,
        disturbances: record.disturbances.len() as u64,
        ..Counts::default()
    };
    let mut verdicts: Vec<_> = record.arrivals.iter().filter_map(|arrival| judge.arrival(arrival)).collect();
    for item in &record.items {
        if item.was(|answer| matches!(answer, Answer::Accepted(_))) {
            counts.accepted += 1;
        } else if item.is_refused() {
            counts.refused += 1;
        } else {
            counts.unknown += 1;
        }
        judge.missing(item, &mut verdicts, &mut counts);
    }
    judge.duplicates(&mut verdicts, &mut counts);
    counts.lost = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Lost { .. })).count() as u64;
    (verdicts, counts)
}

impl Item {
    fn was(&self, answer: impl Fn(&Answer) -> bool) -> bool {
        self.asked.iter().any(|asked| answer(&asked.answer))
    }

    fn is_refused(&self) -> bool {
        !self.was(|answer| *answer != Answer::Refused)
    }

    /// When somebody may have looked for webhooks that take it. A collected item's answer comes before that look.
    fn routed(&self) -> Span {
        let collected = self.was(|answer| *answer == Answer::Accepted(None));
        let began_ms = self.asked.iter().map(|asked| asked.span.began_ms).min().unwrap_or_default();
        let last = self.asked.iter().map(|asked| asked.span.ended_ms).max().unwrap_or_default();
        Span { began_ms, ended_ms: if collected { u64::MAX } else { last } }
    }
}

impl Webhook {
    /// The sets of types that may have been in force at some time of a span.
    fn sets(&self, span: Span) -> impl Iterator<Item = &BTreeSet<String>> {
        let until = |next: usize| self.takes.get(next).map_or(u64::MAX, |(act, _)| act.ended_ms);
        let sets = self.takes.iter().enumerate();
        sets.filter(move |(at, (act, _))| act.began_ms <= span.ended_ms && until(at + 1) >= span.began_ms)
            .map(|(_, (_, types))| types)
    }

    /// Whether an item can have been routed to it.
    fn may_take(&self, item: &Item) -> bool {
        let routed = item.routed();
        self.account == item.account
            && self.created.began_ms <= routed.ended_ms
            && self.sets(routed).any(|types| types.contains(&item.item_type))
    }

    /// Whether what was accepted in a request must come to it.
    fn must_take(&self, item: &Item, asked: &Asked) -> bool {
        let since = Span { began_ms: asked.span.began_ms, ended_ms: u64::MAX };
        self.account == item.account
            && self.created.ended_ms <= asked.span.began_ms
            && self.deleted.is_none()
            && self.sets(since).all(|types| types.contains(&item.item_type))
    }
}

struct Judge<'a> {
    record: &'a Record,
    grace_ms: u64,
    items: BTreeMap<&'a str, &'a Item>,
    webhooks: BTreeMap<&'a str, &'a Webhook>,
}

impl Judge<'_> {
    /// What is wrong with an arrival, whatever else arrived.
    fn arrival(&self, arrival: &Arrival) -> Option<Verdict> {
        let webhook = arrival.webhook.clone();
        let item = arrival.mark.as_deref().and_then(|mark| self.items.get(mark));
        let Some(item) = item else { return Some(Verdict::Unpublished { id: arrival.id.clone(), webhook }) };
        let mark = item.mark.clone();
        let of = self.webhooks.get(webhook.as_str()).filter(|of| of.may_take(item));
        let Some(of) = of else { return Some(Verdict::WrongWebhook { mark, webhook }) };
        if item.is_refused() {
            return Some(Verdict::ArrivedThoughRefused { mark, webhook });
        }
        if !arrival.is_signed || item.digest.as_ref().is_some_and(|digest| *digest != arrival.digest) {
            return Some(Verdict::Altered { mark, webhook });
        }
        let named = |answer: &Answer| match answer {
            Answer::Accepted(Some(id)) => *id == arrival.id,
            Answer::Accepted(None) | Answer::Unknown => true,
            Answer::Refused => false,
        };
        if !item.was(named) {
            return Some(Verdict::WrongId { mark, id: arrival.id.clone() });
        }
        let since = arrival.at_ms.saturating_sub(self.grace_ms);
        if of.deleted.is_some_and(|deleted| deleted.ended_ms < since) {
            return Some(Verdict::AfterDeletion { mark, webhook });
        }
        let lately = Span { began_ms: since, ended_ms: arrival.at_ms };
        let taken = of.sets(lately).any(|types| types.contains(&item.item_type));
        (!taken).then_some(Verdict::NotTaken { mark, webhook })
    }

    /// Finds the webhooks at which an accepted item is missing.
    fn missing(&self, item: &Item, verdicts: &mut Vec<Verdict>, counts: &mut Counts) {
        for asked in &item.asked {
            let Answer::Accepted(id) = &asked.answer else { continue };
            for webhook in self.record.webhooks.iter().filter(|webhook| webhook.must_take(item, asked)) {
                counts.expected += 1;
                let is_it = |arrival: &Arrival| match id {
                    Some(id) => arrival.id == *id,
                    None => arrival.mark.as_ref() == Some(&item.mark),
                };
                let mut arrivals = self.record.arrivals.iter().filter(|one| one.webhook == webhook.id);
                if arrivals.any(|arrival| arrival.succeeded && is_it(arrival)) {
                    continue;
                }
                let kept = self.record.remaining.iter();
                let mut kept = kept.filter(|one| one.webhook == webhook.id && Some(&one.id) == id.as_ref());
                match kept.next() {
                    Some(remaining) => *counts.kept.entry(remaining.kept).or_default() += 1,
                    None => {
                        let (mark, webhook) = (item.mark.clone(), webhook.id.clone());
                        verdicts.push(Verdict::Lost { mark, webhook });
                    }
                }
            }
        }
    }

    fn duplicates(&self, verdicts: &mut Vec<Verdict>, counts: &mut Counts) {
        let mut arrived = BTreeSet::new();
        let mut ids: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for arrival in &self.record.arrivals {
            let at = (arrival.webhook.as_str(), arrival.id.as_str());
            let Some(item) = arrival.mark.as_deref().and_then(|mark| self.items.get(mark)) else { continue };
            let explanation = if arrived.contains(&at) {
                self.explanation(item, arrival)
            } else if !arrival.succeeded {
                continue;
            } else {
                arrived.insert(at);
                match ids.insert((at.0, &item.mark), at.1) {
                    None => continue,
                    // Another id of the same content: only its producer can have sent it again.
                    Some(_) => (item.asked.len() > 1).then_some(Explanation::SentAgain),
                }
            };
            match explanation {
                Some(explanation) => *counts.duplicates.entry(explanation).or_default() += 1,
                None => verdicts.push(Verdict::UnexplainedDuplicate {
                    id: arrival.id.clone(),
                    webhook: arrival.webhook.clone(),
                    at_ms: arrival.at_ms,
                }),
            }
        }
    }

    /// Why an item came again under its id.
    fn explanation(&self, item: &Item, again: &Arrival) -> Option<Explanation> {
        let handings: Vec<_> = self
            .record
            .handings
            .iter()
            .filter(|one| (&one.webhook, &one.id) == (&again.webhook, &again.id))
            .filter(|one| one.span.began_ms <= again.at_ms)
            .collect();
        let returned = |how: Returned| handings.iter().any(|handing| handing.returned == how);
        let befell = |broken: Broken| {
            handings.iter().any(|handing| self.was_disturbed("DeliverFunction", handing.span, Some(broken)))
        };
        let queued: BTreeSet<_> = handings.iter().map(|handing| &handing.message).collect();
        let asked_disturbed = item.asked.iter().any(|asked| {
            let answered = Span { ended_ms: asked.span.ended_ms.saturating_add(self.grace_ms), ..asked.span };
            self.was_disturbed("IngestFunction", answered, None)
        });
        let held = Span { began_ms: item.routed().began_ms, ended_ms: again.at_ms };
        if returned(Returned::Twice) {
            Some(Explanation::HandedOutTwice)
        } else if returned(Returned::AnswerLost) {
            Some(Explanation::AnswerLost)
        } else if befell(Broken::Killed) {
            Some(Explanation::DeliverKilled)
        } else if befell(Broken::Call) {
            Some(Explanation::DeliverDisturbed)
        } else if queued.len() < 2 {
            // One message, which came back once or more: what befell it is above.
            None
        } else if item.asked.len() > 1 || asked_disturbed {
            Some(Explanation::QueuedTwice)
        } else {
            let disturbed =
                ["CollectFunction", "ManageFunction"].map(|one| self.was_disturbed(one, held, None));
            disturbed.contains(&true).then_some(Explanation::ReleasedTwice)
        }
    }

    fn was_disturbed(&self, function: &str, span: Span, broken: Option<Broken>) -> bool {
        let within = |at_ms: u64| (span.began_ms..=span.ended_ms).contains(&at_ms);
        let mut all = self.record.disturbances.iter();
        all.any(|one| {
            one.function == function && within(one.at_ms) && broken.is_none_or(|broken| one.broken == broken)
        })
    }
}

#[cfg(test)]
mod tests;
