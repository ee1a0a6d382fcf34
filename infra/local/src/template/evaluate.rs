//! Evaluates intrinsic functions: parameters, conditions and resources go in, plain JSON comes out.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::TemplateError;
use super::yaml::Node;

/// What a resource answers to `Ref` and `GetAtt`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// The answer to `Ref`.
    pub(crate) reference: String,
    /// The answers to `GetAtt`, by attribute.
    pub(crate) attributes: BTreeMap<&'static str, String>,
}

/// What the functions of a template refer to.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Parameters and pseudo parameters.
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) conditions: BTreeMap<String, bool>,
    pub(crate) mappings: Option<Node>,
    pub(crate) resources: BTreeMap<String, Attributes>,
}

impl Scope {
    /// The value of `node`, or nothing where it is `AWS::NoValue`.
    pub(crate) fn value(&self, node: &Node, path: &str) -> Result<Option<Value>, TemplateError> {
        Ok(Some(match node {
            Node::Null => return Err(TemplateError::at(path, "null is not allowed here")),
            Node::Bool(value) => Value::Bool(*value),
            Node::Integer(value) => Value::Number((*value).into()),
            Node::Float(value) => Number::from_f64(*value)
                .map(Value::Number)
                .ok_or_else(|| TemplateError::at(path, "not a finite number"))?,
            Node::Text(text) => Value::String(text.clone()),
            Node::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    list.extend(self.value(item, &format!("{path}[{at}]"))?);
                }
                Value::Array(list)
            }
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, item) in entries {
                    if let Some(value) = self.value(item, &format!("{path}.{key}"))? {
                        map.insert(key.clone(), value);
                    }
                }
                Value::Object(map)
            }
            Node::Call(name, argument) => return self.call(name, argument, path),
        }))
    }

    fn call(&self, name: &str, argument: &Node, path: &str) -> Result<Option<Value>, TemplateError> {
        match name {
            "Ref" => self.reference(text_of(argument, path)?, path),
            "Fn::GetAtt" => self.attribute(argument, path).map(|text| Some(Value::String(text))),
            "Fn::Sub" => self.substitute(argument, path).map(|text| Some(Value::String(text))),
            "Fn::Join" => self.join(argument, path).map(|text| Some(Value::String(text))),
            "Fn::Select" => self.select(argument, path).map(Some),
            "Fn::Split" => self.split(argument, path).map(Some),
            "Fn::FindInMap" => self.find_in_map(argument, path),
            "Fn::If" => {
                let [condition, yes, no] = arguments(argument, path)?;
                let name = text_of(condition, path)?;
                let chosen = if self.named_condition(name, path)? { yes } else { no };
                self.value(chosen, path)
            }
            _ => Err(TemplateError::at(path, &format!("the function {name} is not understood here"))),
        }
    }

    fn reference(&self, name: &str, path: &str) -> Result<Option<Value>, TemplateError> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        match self.resources.get(name) {
            Some(resource) => Ok(Some(Value::String(resource.reference.clone()))),
            None => Err(TemplateError::at(path, &format!("refers to {name}, which does not exist"))),
        }
    }

    fn attribute(&self, argument: &Node, path: &str) -> Result<String, TemplateError> {
        let (resource, attribute) = match argument {
            Node::Text(text) => text
                .split_once('.')
                .ok_or_else(|| TemplateError::at(path, "GetAtt needs a resource and an attribute"))?,
            _ => {
                let [resource, attribute] = arguments(argument, path)?;
                (text_of(resource, path)?, text_of(attribute, path)?)
            }
        };
        self.attribute_of(resource, attribute, path)
    }

    fn attribute_of(&self, resource: &str, attribute: &str, path: &str) -> Result<String, TemplateError> {
        let known = self
            .resources
            .get(resource)
            .ok_or_else(|| TemplateError::at(path, &format!("refers to {resource}, which does not exist")))?;
        known
            .attributes
            .get(attribute)
            .cloned()
            .ok_or_else(|| TemplateError::at(path, &format!("{resource} has no attribute {attribute} here")))
    }

    fn substitute(&self, argument: &Node, path: &str) -> Result<String, TemplateError> {
        let none = Node::Map(Vec::new());
        let (pattern, variables) = match argument {
            Node::Text(pattern) => (pattern.as_str(), &none),
            _ => {
                let [pattern, variables] = arguments(argument, path)?;
                (text_of(pattern, path)?, variables)
            }
        };
        let mut out = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let (name, tail) =
                after.split_once('}').ok_or_else(|| TemplateError::at(path, "a ${ without its }"))?;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
            } else if let Some(node) = variables.get(name) {
                out.push_str(&self.text(node, path)?);
            } else if let (Some((resource, attribute)), false) = (name.split_once('.'), name.contains("::")) {
                out.push_str(&self.attribute_of(resource, attribute, path)?);
            } else {
                let value = self
                    .reference(name, path)?
                    .ok_or_else(|| TemplateError::at(path, "AWS::NoValue inside a text"))?;
                out.push_str(&scalar_text(&value, path)?);
            }
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn join(&self, argument: &Node, path: &str) -> Result<String, TemplateError> {
        let [delimiter, list] = arguments(argument, path)?;
        let delimiter = text_of(delimiter, path)?;
        Ok(self.texts(list, path)?.join(delimiter))
    }

    fn select(&self, argument: &Node, path: &str) -> Result<Value, TemplateError> {
        let [index, list] = arguments(argument, path)?;
        let index: usize = self
            .text(index, path)?
            .parse()
            .map_err(|_| TemplateError::at(path, "Select needs a number and a list"))?;
        let list = self.list(list, path)?;
        list.get(index).cloned().ok_or_else(|| TemplateError::at(path, "Select past the end of the list"))
    }

    fn split(&self, argument: &Node, path: &str) -> Result<Value, TemplateError> {
        let [delimiter, text] = arguments(argument, path)?;
        let delimiter = text_of(delimiter, path)?;
        if delimiter.is_empty() {
            return Err(TemplateError::at(path, "Split by nothing"));
        }
        let text = self.text(text, path)?;
        Ok(Value::Array(text.split(delimiter).map(|part| Value::String(part.to_owned())).collect()))
    }

    fn find_in_map(&self, argument: &Node, path: &str) -> Result<Option<Value>, TemplateError> {
        let [map, top, second] = arguments(argument, path)?;
        let (map, top, second) = (self.text(map, path)?, self.text(top, path)?, self.text(second, path)?);
        let found = self
            .mappings
            .as_ref()
            .and_then(|mappings| mappings.get(&map))
            .and_then(|map| map.get(&top))
            .and_then(|top| top.get(&second))
            .ok_or_else(|| TemplateError::at(path, &format!("no mapping {map}.{top}.{second}")))?;
        self.value(found, path)
    }

    /// Whether a condition (the argument of `Conditions`, or of `And`, `Or`, `Not`) holds.
    pub(crate) fn condition(&self, node: &Node, path: &str) -> Result<bool, TemplateError> {
        match node {
            Node::Call(name, argument) => match (name.as_str(), argument.as_ref()) {
                ("Condition", argument) => self.named_condition(text_of(argument, path)?, path),
                ("Fn::Equals", argument) => {
                    let [left, right] = arguments(argument, path)?;
                    Ok(self.text(left, path)? == self.text(right, path)?)
                }
                ("Fn::Not", Node::List(items)) if items.len() == 1 => Ok(!self.condition(&items[0], path)?),
                ("Fn::And", Node::List(items)) if (2..=10).contains(&items.len()) => {
                    all(items.iter().map(|item| self.condition(item, path)), true)
                }
                ("Fn::Or", Node::List(items)) if (2..=10).contains(&items.len()) => {
                    all(items.iter().map(|item| self.condition(item, path)), false)
                }
                _ => Err(TemplateError::at(path, &format!("{name} is not a condition"))),
            },
            Node::Map(entries) if entries.len() == 1 && entries[0].0 == "Condition" => {
                self.named_condition(text_of(&entries[0].1, path)?, path)
            }
            _ => Err(TemplateError::at(path, "not a condition")),
        }
    }

    pub(crate) fn named_condition(&self, name: &str, path: &str) -> Result<bool, TemplateError> {
        self.conditions.get(name).copied().ok_or_else(|| {
            TemplateError::at(path, &format!("the condition {name} does not exist (or comes later)"))
        })
    }

    fn list(&self, node: &Node, path: &str) -> Result<Vec<Value>, TemplateError> {
        match self.value(node, path)? {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(TemplateError::at(path, "expected a list")),
        }
    }

    pub(crate) fn texts(&self, node: &Node, path: &str) -> Result<Vec<String>, TemplateError> {
        self.list(node, path)?.iter().map(|value| scalar_text(value, path)).collect()
    }

    pub(crate) fn text(&self, node: &Node, path: &str) -> Result<String, TemplateError> {
        match self.value(node, path)? {
            Some(value) => scalar_text(&value, path),
            None => Err(TemplateError::at(path, "AWS::NoValue where a text is needed")),
        }
    }
}

/// `And` (`wanted` true) or `Or` (`wanted` false); every part is evaluated, so that an error in any is seen.
fn all(
    parts: impl Iterator<Item = Result<bool, TemplateError>>,
    wanted: bool,
) -> Result<bool, TemplateError> {
    let parts: Vec<bool> = parts.collect::<Result<_, _>>()?;
    Ok(if wanted { parts.iter().all(|part| *part) } else { parts.iter().any(|part| *part) })
}

fn arguments<'a, const N: usize>(node: &'a Node, path: &str) -> Result<&'a [Node; N], TemplateError> {
    match node {
        Node::List(items) => items
            .as_slice()
            .try_into()
            .map_err(|_| TemplateError::at(path, &format!("expected {N} arguments"))),
        _ => Err(TemplateError::at(path, &format!("expected a list of {N} arguments"))),
    }
}

fn text_of<'a>(node: &'a Node, path: &str) -> Result<&'a str, TemplateError> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err(TemplateError::at(path, "expected a plain text")),
    }
}

/// CloudFormation treats every scalar as its text.
pub(crate) fn scalar_text(value: &Value, path: &str) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(TemplateError::at(path, "expected a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.parameters.insert("Minutes".into(), Value::String("15".into()));
        scope.parameters.insert("AWS::Region".into(), Value::String("us-east-1".into()));
        scope.conditions.insert("Yes".into(), true);
        scope.conditions.insert("No".into(), false);
        scope.mappings = Some(parse("M: {a: {b: found}}").unwrap());
        scope.resources.insert(
            "Queue".into(),
            Attributes { reference: "http://q".into(), attributes: [("Arn", "arn:q".to_owned())].into() },
        );
        scope
    }

    fn evaluate(yaml: &str) -> Result<Value, TemplateError> {
        Ok(scope().value(&parse(yaml)?, "it")?.unwrap_or(Value::Null))
    }

    #[test]
    fn each_function_yields_what_cloudformation_documents() {
        for (yaml, expected) in [
            ("!Ref Minutes", "15"),
            ("!Ref Queue", "http://q"),
            ("!GetAtt Queue.Arn", "arn:q"),
            ("!GetAtt [Queue, Arn]", "arn:q"),
            ("!Sub '${Minutes}-${Queue.Arn}-${AWS::Region}-${!Kept}'", "15-arn:q-us-east-1-${Kept}"),
            ("!Sub ['${x}/${Minutes}', {x: !Ref Queue}]", "http://q/15"),
            ("!Join [',', [a, !Ref Minutes, 3]]", "a,15,3"),
            ("!Select [1, [a, b]]", "b"),
            ("!Select [0, !Split ['-', 'x-y']]", "x"),
            ("!FindInMap [M, a, b]", "found"),
            ("!If [Yes, a, b]", "a"),
            ("!If [No, a, b]", "b"),
        ] {
            assert_eq!(evaluate(yaml).unwrap(), Value::String(expected.into()), "{yaml}");
        }
    }

    #[test]
    fn no_value_takes_the_property_away() {
        assert_eq!(
            evaluate("{a: !Ref AWS::NoValue, b: [!If [No, 1, !Ref AWS::NoValue]]}").unwrap().to_string(),
            r#"{"b":[]}"#
        );
    }

    #[test]
    fn conditions_combine() {
        let scope = scope();
        for (yaml, expected) in [
            ("!Equals [!Ref Minutes, 15]", true),
            ("!Equals [!Ref Minutes, 1]", false),
            ("!Not [!Condition Yes]", false),
            ("!And [!Condition Yes, {Condition: No}]", false),
            ("!Or [!Condition Yes, !Condition No]", true),
        ] {
            assert_eq!(scope.condition(&parse(yaml).unwrap(), "it").unwrap(), expected, "{yaml}");
        }
    }

    #[test]
    fn what_does_not_resolve_is_named() {
        for (yaml, expected) in [
            ("{a: !Ref Nothing}", "it.a: refers to Nothing, which does not exist"),
            ("{a: !GetAtt Queue.Length}", "it.a: Queue has no attribute Length here"),
            ("{a: !Sub '${Nothing.Arn}'}", "it.a: refers to Nothing, which does not exist"),
            ("{a: {'Fn::ImportValue': x}}", "it.a: the function Fn::ImportValue is not understood here"),
            ("{a: !If [Maybe, 1, 2]}", "it.a: the condition Maybe does not exist (or comes later)"),
        ] {
            assert_eq!(evaluate(yaml).unwrap_err().to_string(), expected, "{yaml}");
        }
    }
}
