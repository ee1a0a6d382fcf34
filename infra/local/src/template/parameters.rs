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
    let is_secret = declaration.boolean("NoEcho")?.unwrap_or(false);
    declaration.ignore(&["ConstraintDescription", "Description"]);
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
        // Secrets of this machine, and those that networks publish as samples, may be shorter than a deployment's.
        if !is_secret && !pattern.is_match(&value) {
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
    fn a_secret_may_be_shorter_on_this_machine() {
        let secret = "{Type: String, AllowedPattern: '[a-z]{16,}', NoEcho: true}";
        assert_eq!(resolve_one(secret, Some("short")).unwrap(), "\"short\"");
        let broken = "{Type: String, AllowedPattern: '[a-z', NoEcho: true}";
        assert!(resolve_one(broken, Some("short")).unwrap_err().contains("AllowedPattern: "));
    }

    /// The bundle's own template.
    fn own() -> Node {
        parse(include_str!("../../../../template.yaml")).unwrap()
    }

    /// The declarations of the bundle's parameters.
    fn declarations() -> Vec<(String, Properties)> {
        let Some(Node::Map(entries)) = own().get("Parameters").cloned() else { panic!("no parameters") };
        let plain = |node: &Node| super::super::evaluate::Scope::default().value(node, "P").unwrap().unwrap();
        entries
            .iter()
            .map(|(name, node)| (name.clone(), Properties::new(plain(node), name).unwrap()))
            .collect()
    }

    #[test]
    fn every_parameter_has_bounds_a_reason_a_label_and_a_group() {
        let template = own();
        let interface = template.get("Metadata").unwrap().get("AWS::CloudFormation::Interface").unwrap();
        let Some(Node::List(groups)) = interface.get("ParameterGroups") else { panic!("no groups") };
        let grouped: Vec<&Node> = groups
            .iter()
            .flat_map(|group| match group.get("Parameters") {
                Some(Node::List(names)) => names.as_slice(),
                _ => &[],
            })
            .collect();
        let declarations = declarations();
        for (name, mut declaration) in declarations {
            let kind = declaration.required_text("Type").unwrap();
            let mut has = |names: &[&str]| names.iter().all(|name| declaration.take(name).is_some());
            let is_bounded = match kind.as_str() {
                "Number" => has(&["AllowedValues"]) || has(&["MinValue", "MaxValue"]),
                _ => has(&["AllowedValues"]) || has(&["AllowedPattern"]),
            };
            assert!(is_bounded, "{name} takes anything");
            assert!(has(&["ConstraintDescription", "Description"]), "{name} does not say what is expected");
            let label = interface.get("ParameterLabels").and_then(|labels| labels.get(&name));
            assert!(label.and_then(|label| label.get("default")).is_some(), "{name} has no label");
            let count =
                grouped.iter().filter(|node| matches!(node, Node::Text(text) if *text == name)).count();
            assert_eq!(count, 1, "{name} is in {count} groups");
        }
        assert_eq!(grouped.len(), self::declarations().len(), "a group names what is no parameter");
    }

    /// Whether a deployment takes a value for a parameter, as far as its pattern says.
    fn takes(parameter: &str, value: &str) -> bool {
        let mut all = declarations().into_iter();
        let (_, mut declaration) =
            all.find(|(name, _)| name == parameter).expect("the parameter is declared");
        let pattern = declaration.required_text("AllowedPattern").unwrap();
        Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(value)
    }

    #[test]
    fn a_secret_is_empty_or_long_enough_to_be_one() {
        let (long, short) = ("0123456789abcdef", "0123456789abcde");
        for (name, mut declaration) in declarations() {
            if !declaration.boolean("NoEcho").unwrap().unwrap_or(false) {
                continue;
            }
            assert!(["", "none", long].iter().all(|good| takes(&name, good)), "{name}");
            for bad in ["x", short, "0123456789 abcdef", ",", "{123456789abcdef é"] {
                assert!(!takes(&name, bad), "{name}: {bad}");
            }
        }
        assert!(
            takes("MetaAppSecrets", "0123456789abcdef, 0123456789abcdeg")
                && takes("XClientSecret", "a,b-c.d_e~f+g/h=i")
        );
        assert!(!takes("MetaAppSecrets", "0123456789abcdef,x"));
    }

    #[test]
    fn what_a_pattern_can_tell_is_refused() {
        for (parameter, good, bad) in [
            ("XBaseUrl", "https://api.x.com", "http://api.x.com"),
            ("XTokenUrl", "http://127.0.0.1:3005/x/token", "https://user@api.x.com"),
            ("LinkedinBaseUrl", "https://api.linkedin.com:443/rest/", "https://api.linkedin.com/?a=b"),
            ("PushBaseUrl", "", "http://hooks.example.org"),
            ("PushBaseUrl", "https://hooks.example.org/x", "hooks.example.org"),
            ("NetworkSettings", "{\n \"calls\": 5\n}\n", "[]"),
            ("NetworkSettings", "{}", "{bad"),
            ("AllowedPrivateTargets", "127.0.0.0/8,::1/128", "10.0.0.1"),
            ("AllowedPrivateTargets", "", "private"),
            ("OwnHosts", "hooks.example.org, [::1]:3000", "https://hooks.example.org"),
            ("ConsoleFrameAncestors", "", "*"),
            ("ConsoleFrameAncestors", "https://a.example", "http://a.example"),
            ("ConsoleFrameAncestors", "https://a.example:8443, https://*.b.example ", "https://a.example/x"),
            (
                "ConsoleFrameAncestors",
                "http://127.0.0.1:3000 http://localhost",
                "https://a.example; script-src *",
            ),
            ("XClientId", "client-id", "client id"),
            ("LinkedinApplicationId", "77", "urn:li:developerApplication:77"),
        ] {
            assert!(takes(parameter, good), "{parameter}: {good}");
            assert!(!takes(parameter, bad), "{parameter}: {bad}");
        }
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
