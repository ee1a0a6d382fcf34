//! Rules: assertions on the parameters together, evaluated as at a deployment.

use super::TemplateError;
use super::evaluate::Scope;
use super::properties::Properties;
use super::yaml::Node;

/// Checks every rule whose condition holds, or that has none.
pub(crate) fn check(rules: Option<&Node>, scope: &Scope) -> Result<(), TemplateError> {
    let Some(rules) = rules else { return Ok(()) };
    for (name, rule) in super::entries(rules, "Rules")? {
        let path = format!("Rules.{name}");
        let mut applies = true;
        let mut assertions: &[Node] = &[];
        for (key, node) in super::entries(rule, &path)? {
            let path = format!("{path}.{key}");
            match (key.as_str(), node) {
                ("RuleCondition", node) => applies = holds(scope, node, &path)?,
                ("Assertions", Node::List(items)) => assertions = items,
                _ => return Err(TemplateError::at(&path, "this is not understood")),
            }
        }
        // Each is evaluated, so that an error in any is seen.
        for (at, assertion) in assertions.iter().enumerate() {
            let (asserted, why) = read(scope, assertion, &format!("{path}.Assertions[{at}]"))?;
            if applies && !asserted {
                return Err(TemplateError::Rule { name: name.clone(), why });
            }
        }
    }
    Ok(())
}

/// Whether an assertion holds, and what it says.
fn read(scope: &Scope, assertion: &Node, path: &str) -> Result<(bool, String), TemplateError> {
    let assert = assertion.get("Assert").ok_or_else(|| TemplateError::at(path, "Assert is required"))?;
    let asserted = holds(scope, assert, &format!("{path}.Assert"))?;
    let entries = super::entries(assertion, path)?.iter().filter(|(key, _)| key != "Assert").cloned();
    let rest = scope.value(&Node::Map(entries.collect()), path)?.unwrap_or_default();
    let mut rest = Properties::new(rest, path)?;
    let why = rest.text("AssertDescription")?.unwrap_or_else(|| "is not kept".to_owned());
    rest.finish()?;
    Ok((asserted, why))
}

/// The functions of rules (CloudFormation user guide, "Rule-specific intrinsic functions"), as far as they are on
/// values that are here, and those of conditions.
fn holds(scope: &Scope, node: &Node, path: &str) -> Result<bool, TemplateError> {
    let Node::Call(name, argument) = node else { return Err(TemplateError::at(path, "not a condition")) };
    let parts = match argument.as_ref() {
        Node::List(parts) => parts.as_slice(),
        _ => return Err(TemplateError::at(path, "expected a list of arguments")),
    };
    match (name.as_str(), parts) {
        ("Fn::Contains", [list, text]) => Ok(scope.texts(list, path)?.contains(&scope.text(text, path)?)),
        ("Fn::EachMemberEquals", [list, text]) => {
            let text = scope.text(text, path)?;
            Ok(scope.texts(list, path)?.iter().all(|member| *member == text))
        }
        ("Fn::EachMemberIn", [list, allowed]) => {
            let allowed = scope.texts(allowed, path)?;
            Ok(scope.texts(list, path)?.iter().all(|member| allowed.contains(member)))
        }
        ("Fn::Not", [part]) => Ok(!holds(scope, part, path)?),
        ("Fn::And" | "Fn::Or", parts) if (2..=10).contains(&parts.len()) => {
            let parts: Vec<bool> =
                parts.iter().map(|part| holds(scope, part, path)).collect::<Result<_, _>>()?;
            Ok(if name == "Fn::And" { parts.iter().all(|part| *part) } else { parts.contains(&true) })
        }
        _ => scope.condition(node, path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::yaml::parse;
    use super::*;

    fn checked(rules: &str) -> Result<(), String> {
        let mut scope = Scope::default();
        scope.parameters.insert("Secret".into(), json!(""));
        scope.parameters.insert("Stage".into(), json!("prod"));
        scope.parameters.insert("List".into(), json!(["a", "b"]));
        check(Some(&parse(rules).unwrap()), &scope).map_err(|error| error.to_string())
    }

    fn asserted(assert: &str) -> Result<(), String> {
        checked(&format!("R: {{Assertions: [{{Assert: {assert}, AssertDescription: so it is}}]}}"))
    }

    #[test]
    fn a_rule_refuses_parameters_that_break_it() {
        for assert in [
            "!Not [!Equals [!Ref Secret, '']]",
            "!Contains [[dev, test], !Ref Stage]",
            "!EachMemberIn [!Ref List, [a, c]]",
            "!EachMemberEquals [!Ref List, a]",
            "!And [!Equals [a, a], !Equals [a, b]]",
            "!Or [!Equals [a, c], !Equals [a, b]]",
        ] {
            assert_eq!(asserted(assert), Err("rule R: so it is".to_owned()), "{assert}");
        }
        for assert in [
            "!Equals [!Ref Secret, '']",
            "!Contains [[dev, prod], !Ref Stage]",
            "!EachMemberIn [!Ref List, [a, b, c]]",
            "!Or [!Equals [a, a], !Equals [a, b]]",
        ] {
            assert_eq!(asserted(assert), Ok(()), "{assert}");
        }
    }

    #[test]
    fn a_rule_holds_where_its_condition_does_not() {
        let rule = |stage: &str| {
            format!(
                "R: {{RuleCondition: !Equals [!Ref Stage, {stage}], Assertions: [{{Assert: !Equals [1, 2]}}]}}"
            )
        };
        assert_eq!(checked(&rule("dev")), Ok(()));
        assert_eq!(checked(&rule("prod")), Err("rule R: is not kept".to_owned()));
    }

    #[test]
    fn a_rule_that_is_not_understood_is_refused_with_its_path() {
        for (rules, expected) in [
            ("R: {Colour: red}", "Rules.R.Colour: this is not understood"),
            ("R: {Assertions: [{}]}", "Rules.R.Assertions[0]: Assert is required"),
            (
                "R: {Assertions: [{Assert: {'Fn::ValueOf': [a, b]}}]}",
                "Rules.R.Assertions[0].Assert: Fn::ValueOf is not a condition",
            ),
            (
                "R: {Assertions: [{Assert: !Equals [1, 1], Colour: red}]}",
                "Rules.R.Assertions[0].Colour: this property is not understood",
            ),
            (
                "R: {Assertions: [{Assert: !Contains [[a], !Ref Nothing]}]}",
                "Rules.R.Assertions[0].Assert: refers to Nothing, which does not exist",
            ),
        ] {
            assert_eq!(checked(rules), Err(expected.to_owned()), "{rules}");
        }
    }
}
