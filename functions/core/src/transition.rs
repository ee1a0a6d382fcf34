//! A conditional write as a value: a condition on a row, and an effect.
//!
//! The rule of blocking ([`crate::streak`]) and the holding of items ([`crate::holding`]) decide in these terms. An
//! adapter renders a [`Write`] as DynamoDB expressions; the model check and the property tests evaluate the same value
//! on a [`Row`] in memory. One test holds both against each other on random rows. The semantics follow DynamoDB: a
//! comparison with a missing attribute is false, and adding to a missing number starts from zero.

use std::collections::{BTreeMap, BTreeSet};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// A set of whole numbers, which is never empty.
    Numbers(BTreeSet<i64>),
}

/// A row: attributes by name, its key left out. A row without attributes is no row.
pub type Row = BTreeMap<&'static str, Value>;

/// A condition on a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The attribute is there.
    Exists(&'static str),
    /// The attribute is not there.
    Missing(&'static str),
    /// The attribute is there and has this value.
    Is(&'static str, Value),
    /// The attribute is there, a number, and at most this.
    AtMost(&'static str, i64),
    /// The attribute is there, a number, and at least this.
    AtLeast(&'static str, i64),
    /// All of these hold: always, where there are none.
    All(Vec<Condition>),
    /// One of these holds.
    Any(Vec<Condition>),
}

/// A change of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It gets this value.
    Set(&'static str, Value),
    /// This is added to it.
    Add(&'static str, i64),
    /// These numbers are added to a set of numbers. Adding the same ones again changes nothing.
    Union(&'static str, BTreeSet<i64>),
    /// It is removed.
    Remove(&'static str),
}

/// The effect of a write on a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Its attributes change; a missing row is made.
    Update(Vec<Change>),
    /// It is deleted.
    Delete,
}

/// A conditional write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// The transition's name, for logs and tests.
    pub name: &'static str,
    /// The condition on the row.
    pub condition: Condition,
    /// The effect on it.
    pub effect: Effect,
}

/// A conditional write of a whole row: what stood there before is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Put {
    /// The write's name, for tests.
    pub name: &'static str,
    /// The condition on the row before.
    pub condition: Condition,
    /// The row afterwards. An adapter adds attributes that decide nothing.
    pub row: Row,
}

impl Put {
    /// Makes the write on a row in memory; false, and nothing changed, where its condition does not hold.
    pub fn apply(&self, row: &mut Option<Row>) -> bool {
        let holds = self.condition.holds(row.as_ref());
        if holds {
            *row = Some(self.row.clone());
        }
        holds
    }
}

impl Condition {
    /// Whether a row, or a missing one, fulfils this.
    #[must_use]
    pub fn holds(&self, row: Option<&Row>) -> bool {
        let value = |name: &str| row.and_then(|row| row.get(name));
        let number = |name: &str| match value(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        match self {
            Self::Exists(name) => value(name).is_some(),
            Self::Missing(name) => value(name).is_none(),
            Self::Is(name, expected) => value(name) == Some(expected),
            Self::AtMost(name, bound) => number(name).is_some_and(|number| number <= *bound),
            Self::AtLeast(name, bound) => number(name).is_some_and(|number| number >= *bound),
            Self::All(all) => all.iter().all(|condition| condition.holds(row)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(row)),
        }
    }
}

impl Write {
    /// Makes the write on a row in memory; false, and nothing changed, where its condition does not hold.
    pub fn apply(&self, row: &mut Option<Row>) -> bool {
        if !self.condition.holds(row.as_ref()) {
            return false;
        }
        match &self.effect {
            Effect::Delete => *row = None,
            Effect::Update(changes) => {
                let row = row.get_or_insert_with(Row::new);
                for change in changes {
                    change.apply(row);
                }
            }
        }
        true
    }
}

impl Change {
    fn apply(&self, row: &mut Row) {
        match self {
            Self::Set(name, value) => _ = row.insert(name, value.clone()),
            Self::Remove(name) => _ = row.remove(name),
            Self::Add(name, amount) => {
                let before = match row.get(name) {
                    Some(Value::Number(number)) => *number,
                    _ => 0,
                };
                row.insert(name, Value::Number(before.saturating_add(*amount)));
            }
            Self::Union(name, numbers) => {
                let mut all = numbers.clone();
                if let Some(Value::Numbers(before)) = row.get(name) {
                    all.extend(before);
                }
                row.insert(name, Value::Numbers(all));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(condition: Condition, changes: Vec<Change>) -> Write {
        Write { name: "test", condition, effect: Effect::Update(changes) }
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let mut row = Some(Row::from([("n", Value::Number(5))]));
        assert!(!write(Condition::AtMost("n", 4), vec![Change::Add("n", 1)]).apply(&mut row));
        assert_eq!(row, Some(Row::from([("n", Value::Number(5))])));
    }

    #[test]
    fn comparisons_with_what_is_missing_are_false() {
        for condition in [
            Condition::AtMost("n", 9),
            Condition::AtLeast("n", 0),
            Condition::Is("n", Value::Number(0)),
            Condition::Exists("n"),
        ] {
            assert!(!condition.holds(None), "{condition:?}");
            assert!(!condition.holds(Some(&Row::from([("m", Value::Number(1))]))), "{condition:?}");
        }
        assert!(Condition::Missing("n").holds(None));
    }

    #[test]
    fn a_union_grows_a_set_and_repeated_changes_nothing() {
        let union = |numbers: &[i64]| {
            let numbers = numbers.iter().copied().collect();
            write(Condition::All(Vec::new()), vec![Change::Union("s", numbers)])
        };
        let mut row = None;
        for (numbers, all) in [(&[3][..], &[3][..]), (&[3, 1], &[1, 3]), (&[1], &[1, 3])] {
            assert!(union(numbers).apply(&mut row));
            assert_eq!(row.as_ref().unwrap()["s"], Value::Numbers(all.iter().copied().collect()));
        }
    }

    #[test]
    fn a_put_forgets_what_was_there() {
        let mut row = Some(Row::from([("n", Value::Number(5))]));
        let new = Row::from([("m", Value::Number(6))]);
        let put = Put { name: "test", condition: Condition::Exists("n"), row: new.clone() };
        assert!(put.apply(&mut row));
        assert_eq!(row, Some(new.clone()));
        assert!(!put.apply(&mut row), "the condition asks for what it removed");
    }

    #[test]
    fn changes_add_set_and_remove() {
        let mut row = None;
        let changes =
            vec![Change::Add("n", 2), Change::Set("t", Value::Text("x".into())), Change::Remove("u")];
        assert!(write(Condition::Missing("n"), changes).apply(&mut row));
        assert!(
            write(Condition::Exists("n"), vec![Change::Add("n", 3), Change::Remove("t")]).apply(&mut row)
        );
        assert_eq!(row, Some(Row::from([("n", Value::Number(5))])));
    }
}
