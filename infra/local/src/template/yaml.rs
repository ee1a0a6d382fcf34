//! Reads YAML into a tree in which intrinsic functions stand out, in their short form (`!Ref x`) and their long one
//! (`{"Ref": x}`) alike.

use saphyr::{LoadableYamlNode, Scalar, Yaml};

use super::TemplateError;

/// A node of the template as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// An intrinsic function by its long name, and its argument.
    Call(String, Box<Node>),
}

impl Node {
    /// The value under `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }
}

/// Parses one YAML document.
pub(crate) fn parse(text: &str) -> Result<Node, TemplateError> {
    let documents = Yaml::load_from_str(text).map_err(|error| TemplateError::Yaml(error.to_string()))?;
    match documents.as_slice() {
        [document] => node(document, "template"),
        _ => Err(TemplateError::Yaml("expected exactly one document".to_owned())),
    }
}

fn node(yaml: &Yaml<'_>, path: &str) -> Result<Node, TemplateError> {
    match yaml {
        Yaml::Value(scalar) => Ok(match scalar {
            Scalar::Null => Node::Null,
            Scalar::Boolean(value) => Node::Bool(*value),
            Scalar::Integer(value) => Node::Integer(*value),
            Scalar::FloatingPoint(value) => Node::Float(value.into_inner()),
            Scalar::String(text) => Node::Text(text.to_string()),
        }),
        Yaml::Sequence(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| node(item, &format!("{path}[{at}]")))
            .collect::<Result<_, _>>()
            .map(Node::List),
        Yaml::Mapping(entries) => {
            let mut map = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let Some(key) = key_text(key) else {
                    return Err(TemplateError::at(path, "a key is not a string"));
                };
                let value = node(value, &format!("{path}.{key}"))?;
                map.push((key, value));
            }
            Ok(long_call(map))
        }
        Yaml::Tagged(tag, inner) => short_call(&tag.to_string(), node(inner, path)?, path),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            Err(TemplateError::at(path, "a value that cannot be read"))
        }
    }
}

fn key_text(key: &Yaml<'_>) -> Option<String> {
    match key {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// `{"Ref": x}`, `{"Fn::Sub": x}` and `{"Condition": "name"}` (the last only inside conditions, see `evaluate`).
fn long_call(mut map: Vec<(String, Node)>) -> Node {
    match map.as_slice() {
        [(name, _)] if name == "Ref" || name.starts_with("Fn::") => {
            let (name, argument) = map.swap_remove(0);
            Node::Call(name, Box::new(argument))
        }
        _ => Node::Map(map),
    }
}

fn short_call(tag: &str, argument: Node, path: &str) -> Result<Node, TemplateError> {
    let name = tag.strip_prefix('!').unwrap_or(tag);
    let long = match name {
        "Ref" | "Condition" => name.to_owned(),
        "And" | "Contains" | "EachMemberEquals" | "EachMemberIn" | "Equals" | "FindInMap" | "GetAtt"
        | "If" | "Join" | "Not" | "Or" | "Select" | "Split" | "Sub" => {
            format!("Fn::{name}")
        }
        _ => return Err(TemplateError::at(path, &format!("the function !{name} is not understood"))),
    };
    Ok(Node::Call(long, Box::new(argument)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_forms_of_a_function_are_the_same() {
        assert_eq!(parse("a: !Ref x").unwrap(), parse("a: {Ref: x}").unwrap());
        assert_eq!(parse("a: !GetAtt x.Arn").unwrap(), parse("a: {'Fn::GetAtt': x.Arn}").unwrap());
        assert_eq!(
            parse("a: !Equals [!Ref x, 1]").unwrap(),
            parse("a: {'Fn::Equals': [{Ref: x}, 1]}").unwrap()
        );
    }

    #[test]
    fn an_unknown_tag_is_refused_with_its_path() {
        let error = parse("a: [{b: !Cidr x}]").unwrap_err().to_string();
        assert_eq!(error, "template.a[0].b: the function !Cidr is not understood");
    }

    #[test]
    fn a_key_written_twice_is_refused() {
        assert!(parse("a: 1\na: 2").is_err());
    }
}
