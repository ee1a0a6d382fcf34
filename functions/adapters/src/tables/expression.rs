//! Renders the core's conditional writes as DynamoDB expressions, and reads rows for the core.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_core::transition::{Change, Condition, Row as CoreRow, Value};

use crate::tables::row::{Row, number, text};

/// An expression's parts, as a call takes them.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expressions {
    /// The attributes that the names stand for.
    pub(crate) fn names(&self) -> HashMap<String, String> {
        self.names.clone()
    }

    /// The values that the placeholders stand for; None where there is none, because a call refuses an empty map.
    pub(crate) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    fn name(&mut self, attribute: &str) -> String {
        // Every name is replaced: which words are reserved is not worth knowing.
        let placeholder = format!("#{attribute}");
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    fn value(&mut self, value: &Value) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), attribute_value(value));
        placeholder
    }

    fn compared(&mut self, attribute: &str, operator: &str, value: &Value) -> String {
        format!("{} {operator} {}", self.name(attribute), self.value(value))
    }

    /// A condition expression; empty for one that always holds.
    pub(crate) fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Exists(name) => format!("attribute_exists({})", self.name(name)),
            Condition::Missing(name) => format!("attribute_not_exists({})", self.name(name)),
            Condition::Is(name, value) => self.compared(name, "=", value),
            Condition::AtMost(name, bound) => self.compared(name, "<=", &Value::Number(*bound)),
            Condition::AtLeast(name, bound) => self.compared(name, ">=", &Value::Number(*bound)),
            Condition::All(all) => self.joined(all, " AND "),
            Condition::Any(any) => self.joined(any, " OR "),
        }
    }

    fn joined(&mut self, conditions: &[Condition], by: &str) -> String {
        // DynamoDB refuses parentheses around parentheses.
        if let [one] = conditions {
            return self.condition(one);
        }
        if conditions.is_empty() {
            return String::new();
        }
        let parts: Vec<_> = conditions.iter().map(|one| self.condition(one)).collect();
        format!("({})", parts.join(by))
    }

    /// An update expression, with further attributes to be set as they are.
    pub(crate) fn update(&mut self, changes: &[Change], also: &[(&'static str, Value)]) -> String {
        let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Set(name, value) => set.push(self.compared(name, "=", value)),
                Change::Add(name, amount) => {
                    add.push(format!("{} {}", self.name(name), self.value(&Value::Number(*amount))));
                }
                Change::Union(name, numbers) => {
                    add.push(format!("{} {}", self.name(name), self.value(&Value::Numbers(numbers.clone()))));
                }
                Change::Remove(name) => remove.push(self.name(name)),
            }
        }
        set.extend(also.iter().map(|(name, value)| self.compared(name, "=", value)));
        let clause = |word: &str, parts: Vec<String>| {
            (!parts.is_empty()).then(|| format!("{word} {}", parts.join(", ")))
        };
        let clauses = [clause("SET", set), clause("ADD", add), clause("REMOVE", remove)];
        clauses.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

fn attribute_value(value: &Value) -> AttributeValue {
    match value {
        Value::Number(value) => number(*value),
        Value::Text(value) => text(value.as_str()),
        Value::Numbers(values) => AttributeValue::Ns(values.iter().map(i64::to_string).collect()),
    }
}

/// A row as the core has it, as attributes of a table's row.
pub(crate) fn attributes(row: &CoreRow) -> impl Iterator<Item = (String, AttributeValue)> {
    row.iter().map(|(name, value)| ((*name).to_owned(), attribute_value(value)))
}

/// A row of the table as the core reads it: of these attributes, those that are there.
pub(crate) fn core_row(row: &Row, attributes: &[&'static str]) -> CoreRow {
    let value = |name: &'static str| match row.get(name)? {
        AttributeValue::N(value) => value.parse().ok().map(Value::Number),
        AttributeValue::S(value) => Some(Value::Text(value.clone())),
        AttributeValue::Ns(values) => {
            values.iter().map(|value| value.parse().ok()).collect::<Option<_>>().map(Value::Numbers)
        }
        _ => None,
    };
    attributes.iter().filter_map(|&name| value(name).map(|value| (name, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_rendered_clause_by_clause() {
        let mut expressions = Expressions::default();
        let condition = Condition::All(vec![
            Condition::Missing("a"),
            Condition::Any(vec![Condition::AtMost("b", 3), Condition::Is("c", Value::Text("x".into()))]),
        ]);
        assert_eq!(
            expressions.condition(&condition),
            "(attribute_not_exists(#a) AND (#b <= :v0 OR #c = :v1))"
        );
        let alone = Condition::All(vec![Condition::Any(vec![Condition::Exists("a")])]);
        assert_eq!(expressions.condition(&alone), "attribute_exists(#a)");
        assert_eq!(expressions.condition(&Condition::All(Vec::new())), "");
        let changes = [
            Change::Set("a", Value::Number(1)),
            Change::Add("b", 2),
            Change::Remove("c"),
            Change::Remove("d"),
            Change::Union("f", [2, 1].into()),
        ];
        let update = expressions.update(&changes, &[("e", Value::Text("y".into()))]);
        assert_eq!(update, "SET #a = :v2, #e = :v5 ADD #b :v3, #f :v4 REMOVE #c, #d");
        assert_eq!(expressions.values().unwrap().len(), 6);
        let set = AttributeValue::Ns(vec!["1".to_owned(), "2".to_owned()]);
        assert_eq!(expressions.values().unwrap()[":v4"], set);
        assert_eq!(expressions.names()["#e"], "e");
    }
}
