//! The template's parameters: declarations, defaults, and the checks that CloudFormation makes on values.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use super::TemplateError;
use super::properties::Properties;
use super::yaml::Node;

/// A deployment's account, Region and stack, as the pseudo parameters give them.
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const STACK: &str = "carteiro";

/// The value of every parameter and pseudo parameter, as `Ref` yields it.
pub(crate) fn resolve(
    declared: Option<&Node>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, TemplateError> {
    let mut values = pseudo_parameters();
    let entries = match declared {
        None => &[][..],
        Some(Node::Map(entries)) => entries.as_slice(),
        Some(_) => return Err(TemplateError::at("Parameters", "expected a map")),
    };
    for name in given.keys() {
        if !entries.iter().any(|(declared, _)| declared == name) {
            return Err(TemplateError::UnknownParameter(name.clone()));
        }
    }
    for (name, declaration) in entries {
        let value = one(name, declaration, given.get(name))?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn pseudo_parameters() -> BTreeMap<String, Value> {
    [
        ("AWS::AccountId", ACCOUNT),
        ("AWS::Partition", "aws"),
        ("AWS::Region", REGION),
        ("AWS::StackName", STACK),
        ("AWS::StackId", "arn:aws:cloudformation:us-east-1:000000000000:stack/carteiro/carteiro"),
        ("AWS::URLSuffix", "amazonaws.com"),
    ]
    .map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())))
    .into()
}

fn one(name: &str, declaration: &Node, given: Option<&String>) -> Result<Value, TemplateError> {
    let path = format!("Parameters.{name}");
    // A declaration holds no functions, so an empty scope evaluates it.
    let plain = super::evaluate::Scope::default()
        .value(declaration, &path)?
        .ok_or_else(|| TemplateError::at(&path, "expected a map"))?;
    let mut declaration = Properties::new(plain, &path)?;
    let kind = declaration.required_text("Type")?;
    let default = declaration.scalar("Default")?;
    let pattern = declaration.text("AllowedPattern")?;
    let allowed = declaration.scalars("AllowedValues")?;
    let (least, most) = (declaration.number("MinValue")?, declaration.number("MaxValue")?);
    let (shortest, longest) = (declaration.number("MinLength")?, declaration.number("MaxLength")?);
    declaration.ignore(&["ConstraintDescription", "Description", "NoEcho"]);
    declaration.finish()?;

    let refused = |why: String| TemplateError::Parameter { name: name.to_owned(), why };
    // Such a parameter names one of the Parameter Store. There is none here, so the given text is the value.
    let stored = kind.strip_prefix("AWS::SSM::Parameter::Value<").and_then(|kind| kind.strip_suffix('>'));
    if stored.is_some() && given.is_none() {
        return Err(refused(
            "is in the Parameter Store, which is not here: its value must be given".to_owned(),
        ));
    }
    let Some(value) = given.cloned().or(default) else {
        return Err(TemplateError::MissingParameter(name.to_owned()));
    };
    if let Some(pattern) = pattern {
        // CloudFormation matches the whole value.
        let pattern = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| TemplateError::at(&path, &format!("AllowedPattern: {error}")))?;
        if !pattern.is_match(&value) {
            return Err(refused(format!("does not match {pattern}")));
        }
    }
    if let Some(allowed) = allowed
        && !allowed.contains(&value)
    {
        return Err(refused(format!("must be one of {}", allowed.join(", "))));
    }
    check_length(&value, shortest, longest).map_err(refused)?;
    match stored.unwrap_or(&kind) {
        "String" | "AWS::SSM::Parameter::Name" => Ok(Value::String(value)),
        "Number" => {
            check_number(&value, least, most).map_err(refused)?;
            Ok(Value::String(value))
        }
        "CommaDelimitedList" | "List<String>" => {
            Ok(Value::Array(value.split(',').map(|part| Value::String(part.trim().to_owned())).collect()))
        }
        _ => Err(TemplateError::at(&path, &format!("the type {kind} is not understood"))),
    }
}

fn check_length(value: &str, shortest: Option<f64>, longest: Option<f64>) -> Result<(), String> {
    let length = value.chars().count();
    let at_least = shortest.is_none_or(|least| as_float(length) >= least);
    let at_most = longest.is_none_or(|most| as_float(length) <= most);
    if at_least && at_most { Ok(()) } else { Err(format!("has {length} characters, which is not allowed")) }
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn check_number(value: &str, least: Option<f64>, most: Option<f64>) -> Result<(), String> {
    let number: f64 = value.parse().map_err(|_| "is not a number".to_owned())?;
    if !number.is_finite() {
        return Err("is not a number".to_owned());
    }
    if let Some(least) = least
        && number < least
    {
        return Err(format!("must be at least {least}"));
    }
    if let Some(most) = most
        && number > most
    {
        return Err(format!("must be at most {most}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn resolve_one(declaration: &str, given: Option<&str>) -> Result<String, String> {
        let node = parse(&format!("P: {declaration}")).unwrap();
        let given = given.map(|value| ("P".to_owned(), value.to_owned())).into_iter().collect();
        let values = resolve(Some(&node), &given).map_err(|error| error.to_string())?;
        Ok(values["P"].to_string())
    }

    #[test]
    fn a_value_is_checked_as_cloudformation_checks_it() {
        let refused = |declaration: &str, given: &str| resolve_one(declaration, Some(given)).unwrap_err();
        assert_eq!(refused("{Type: Number}", "x"), "parameter P is not a number");
        assert_eq!(refused("{Type: Number, MinValue: 2}", "1"), "parameter P must be at least 2");
        assert_eq!(refused("{Type: Number, MaxValue: 2}", "3"), "parameter P must be at most 2");
        assert_eq!(refused("{Type: String, AllowedValues: [a, b]}", "c"), "parameter P must be one of a, b");
        assert_eq!(
            refused("{Type: String, AllowedPattern: '[a-z]+'}", "a1"),
            "parameter P does not match ^(?:[a-z]+)$"
        );
        assert_eq!(
            refused("{Type: String, MinLength: 2}", "a"),
            "parameter P has 1 characters, which is not allowed"
        );
        assert_eq!(
            refused("{Type: 'AWS::EC2::VPC::Id'}", "a"),
            "Parameters.P: the type AWS::EC2::VPC::Id is not understood"
        );
        assert_eq!(
            refused("{Type: String, Colour: red}", "a"),
            "Parameters.P.Colour: this property is not understood"
        );
    }

    #[test]
    fn a_given_value_wins_over_the_default() {
        assert_eq!(resolve_one("{Type: Number, Default: 5}", None).unwrap(), "\"5\"");
        assert_eq!(resolve_one("{Type: Number, Default: 5}", Some("6")).unwrap(), "\"6\"");
        assert_eq!(resolve_one("{Type: CommaDelimitedList}", Some("a, b")).unwrap(), r#"["a","b"]"#);
    }

    #[test]
    fn a_value_in_the_parameter_store_must_be_given() {
        let stored = "{Type: 'AWS::SSM::Parameter::Value<String>', Default: /carteiro/secret}";
        assert_eq!(resolve_one(stored, Some("value")).unwrap(), "\"value\"");
        assert_eq!(
            resolve_one(stored, None).unwrap_err(),
            "parameter P is in the Parameter Store, which is not here: its value must be given"
        );
        let list = "{Type: 'AWS::SSM::Parameter::Value<List<String>>'}";
        assert_eq!(resolve_one(list, Some("a,b")).unwrap(), r#"["a","b"]"#);
        assert_eq!(resolve_one("{Type: 'AWS::SSM::Parameter::Name', Default: /a}", None).unwrap(), "\"/a\"");
        assert_eq!(
            resolve_one("{Type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>'}", Some("a")).unwrap_err(),
            "Parameters.P: the type AWS::SSM::Parameter::Value<AWS::EC2::Image::Id> is not understood"
        );
    }

    #[test]
    fn a_parameter_that_is_missing_or_unknown_is_named() {
        assert_eq!(
            resolve_one("{Type: String}", None).unwrap_err(),
            "parameter P has no default and must be given"
        );
        let error = resolve(None, &[("Q".to_owned(), String::new())].into()).unwrap_err();
        assert_eq!(error.to_string(), "the template has no parameter Q");
    }
}
