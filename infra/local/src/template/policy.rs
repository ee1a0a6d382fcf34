//! Policies: what the template lets a function call on tables and queues, evaluated as IAM evaluates it.
//!
//! A call needs a statement that allows it and none that denies it. **Strict:** a statement on tables, queues, keys or
//! logs that is not understood whole is an error with its path, never an allow: `NotAction`, `NotResource`, policy
//! variables, managed policies (but for those that grant logs and traces alone), SAM's policy templates, and conditions
//! on other keys than `dynamodb:LeadingKeys`, `dynamodb:ReturnValues` and `kms:ViaService`, or by other operators than
//! `StringEquals` and `StringLike`, with `ForAllValues:` for leading keys and with or without `IfExists` for return
//! values. Statements on other services are checked for their form, and grant nothing here.
//!
//! Stricter than IAM: a condition on `dynamodb:ReturnValues` bounds `ReturnValuesOnConditionCheckFailure` too, for
//! which IAM has no key. Both answer the row as it was.
//!
//! A function without a role gets what SAM adds to the one that it makes: to take messages from any queue, where a
//! queue wakes it (`AWSLambdaSQSQueueExecutionRole`), and to send to where its failed events go.

use std::fmt;

use serde_json::Value;

use super::TemplateError;
use super::evaluate::scalar_text;
use super::properties::Properties;

/// Managed policies that grant nothing on tables and queues, by the last part of their ARN.
const WITHOUT_DATA: [&str; 2] = ["AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess"];

/// What somebody asks to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Such as `dynamodb:GetItem`.
    pub(crate) action: String,
    /// The ARN of a table, an index, a queue, a key or a log stream; `*` where the request names none.
    pub(crate) resource: String,
    /// The partition keys that the request names, where it can be told.
    pub(crate) leading_keys: Option<Vec<String>>,
    /// The request's `ReturnValues` and `ReturnValuesOnConditionCheckFailure`, as far as it has them.
    pub(crate) return_values: Vec<String>,
    /// The service that makes the call in the function's name, such as `lambda.us-east-1.amazonaws.com`.
    pub(crate) via_service: Option<String>,
}

/// One action on one resource that a statement allows a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The function's logical id.
    pub function: String,
    /// The statement's `Sid`.
    pub sid: String,
    /// The action, as a pattern in lower case.
    pub action: String,
    /// The resource, as a pattern.
    pub resource: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, sid, action, resource } = self;
        write!(f, "{function} {sid} {action} {resource}")
    }
}

impl Access {
    pub(crate) fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            leading_keys: None,
            return_values: Vec::new(),
            via_service: None,
        }
    }
}

/// All statements on tables, queues, keys and logs that hold for somebody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug)]
struct Statement {
    sid: String,
    effect: Effect,
    /// Patterns in lower case: IAM does not mind the case of actions.
    actions: Vec<String>,
    /// Patterns.
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConditionKey {
    /// Many values: `ForAllValues` holds for none, too.
    LeadingKeys,
    ReturnValues {
        if_exists: bool,
    },
    ViaService,
}

#[derive(Clone, Debug)]
struct Condition {
    key: ConditionKey,
    /// `StringLike`: `*` and `?` in the values are wild.
    like: bool,
    values: Vec<String>,
}

impl Policy {
    pub(crate) fn allows(&self, access: &Access) -> bool {
        let holds = |effect, unknown| {
            let mut of_effect = self.statements.iter().filter(|statement| statement.effect == effect);
            of_effect.any(|statement| statement.applies_to(access, unknown))
        };
        // What cannot be told is taken for the worse.
        holds(Effect::Allow, false) && !holds(Effect::Deny, true)
    }

    /// All grants of the statements: each action on each resource by itself.
    pub(crate) fn grants(&self, function: &str) -> Vec<Grant> {
        let allowing = self.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        allowing.flat_map(|statement| statement.grants(function, |_| true, |_| true)).collect()
    }

    /// The grant without which an access that is allowed would be refused: the only one that allows it.
    pub(crate) fn needed_for(&self, function: &str, access: &Access) -> Option<Grant> {
        let action = access.action.to_ascii_lowercase();
        let allowing = self
            .statements
            .iter()
            .filter(|statement| statement.effect == Effect::Allow && statement.applies_to(access, false));
        let mut grants = allowing.flat_map(|statement| {
            let of_action = |pattern: &str| matches(pattern, &action);
            statement.grants(function, of_action, |pattern| matches(pattern, &access.resource))
        });
        grants.next().filter(|_| grants.next().is_none())
    }

    /// Whether any statement allows anything on a table.
    pub(super) fn reaches(&self, table: &str) -> bool {
        let allowing = self.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        let of_tables = |action: &String| action == "*" || action.starts_with("dynamodb:");
        allowing
            .filter(|statement| statement.actions.iter().any(of_tables))
            .any(|statement| statement.resources.iter().any(|pattern| matches(pattern, table)))
    }

    pub(super) fn allow(&mut self, sid: &str, actions: &[&str], resource: String) {
        self.statements.push(Statement {
            sid: sid.to_owned(),
            effect: Effect::Allow,
            actions: actions.iter().map(|action| action.to_ascii_lowercase()).collect(),
            resources: vec![resource],
            conditions: Vec::new(),
        });
    }
}

impl Statement {
    /// The grants of the actions and resources that are asked for.
    fn grants(
        &self,
        function: &str,
        of_action: impl Fn(&str) -> bool,
        of_resource: impl Fn(&str) -> bool,
    ) -> Vec<Grant> {
        let actions = self.actions.iter().filter(|action| of_action(action));
        let grant = |action: &String, resource: &String| Grant {
            function: function.to_owned(),
            sid: self.sid.clone(),
            action: action.clone(),
            resource: resource.clone(),
        };
        let resources = || self.resources.iter().filter(|resource| of_resource(resource));
        actions.flat_map(|action| resources().map(move |resource| grant(action, resource))).collect()
    }

    fn applies_to(&self, access: &Access, unknown: bool) -> bool {
        let action = access.action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| matches(pattern, &action))
            && self.resources.iter().any(|pattern| matches(pattern, &access.resource))
            && self.conditions.iter().all(|condition| condition.holds(access).unwrap_or(unknown))
    }
}

impl Condition {
    /// Whether it holds, where that can be told.
    fn holds(&self, access: &Access) -> Option<bool> {
        match self.key {
            ConditionKey::LeadingKeys => {
                access.leading_keys.as_ref().map(|keys| keys.iter().all(|key| self.names(key)))
            }
            ConditionKey::ReturnValues { if_exists } => {
                let values = &access.return_values;
                Some(if values.is_empty() { if_exists } else { values.iter().all(|value| self.names(value)) })
            }
            ConditionKey::ViaService => {
                Some(access.via_service.as_ref().is_some_and(|service| self.names(service)))
            }
        }
    }

    fn names(&self, text: &str) -> bool {
        self.values.iter().any(|value| if self.like { matches(value, text) } else { value == text })
    }
}

/// Whether a pattern with `*` (any text) and `?` (any character) is the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last star, and where the text that it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(&c), _) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            (_, Some((at, end))) => {
                star = Some((at, end + 1));
                p = at + 1;
                t = end + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The `Policies` of a function, if it has some.
pub(crate) fn read_policies(properties: &mut Properties) -> Result<Option<Policy>, TemplateError> {
    let path = properties.path_of("Policies");
    let documents = match properties.take("Policies") {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(single) => vec![single],
    };
    let mut policy = Policy::default();
    for (at, document) in documents.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        match document {
            Value::String(managed) => check_managed(&managed, &path)?,
            document => read_document(document, &path, &mut policy)?,
        }
    }
    Ok(Some(policy))
}

/// A role: who may take it, and its policies.
pub(crate) fn read_role(properties: Value, path: &str) -> Result<Policy, TemplateError> {
    let mut role = Properties::new(properties, path)?;
    if role.map("AssumeRolePolicyDocument")?.is_none() {
        return Err(TemplateError::at(path, "AssumeRolePolicyDocument is required"));
    }
    let mut all = Policy::default();
    for (at, policy) in role.list("Policies")?.unwrap_or_default().into_iter().enumerate() {
        let path = format!("{path}.Policies[{at}]");
        let mut policy = Properties::new(policy, &path)?;
        if policy.text("PolicyName")?.is_none() {
            return Err(TemplateError::at(&path, "PolicyName is required"));
        }
        let document = policy.take("PolicyDocument");
        let document = document.ok_or_else(|| TemplateError::at(&path, "PolicyDocument is required"))?;
        read_document(document, &format!("{path}.PolicyDocument"), &mut all)?;
        policy.finish()?;
    }
    let managed_path = role.path_of("ManagedPolicyArns");
    for managed in role.scalars("ManagedPolicyArns")?.unwrap_or_default() {
        check_managed(&managed, &managed_path)?;
    }
    role.ignore(&["Description", "Path", "Tags"]);
    role.finish()?;
    Ok(all)
}

fn check_managed(name: &str, path: &str) -> Result<(), TemplateError> {
    let last = name.rsplit('/').next().unwrap_or_default();
    if WITHOUT_DATA.contains(&last) {
        return Ok(());
    }
    Err(TemplateError::at(path, &format!("what the managed policy {name} grants is not known here")))
}

fn read_document(document: Value, path: &str, into: &mut Policy) -> Result<(), TemplateError> {
    let mut document = Properties::new(document, path)?;
    document.choice("Version", &["2012-10-17"])?;
    let statements = document.list("Statement")?.ok_or_else(|| {
        TemplateError::at(path, "Statement is required (policy templates are not understood)")
    })?;
    document.ignore(&["Id"]);
    document.finish()?;
    for (at, statement) in statements.into_iter().enumerate() {
        let statement = Properties::new(statement, &format!("{path}.Statement[{at}]"))?;
        into.statements.extend(read_statement(statement)?);
    }
    Ok(())
}

/// The statement, as far as it is on tables, queues, keys and logs.
fn read_statement(mut statement: Properties) -> Result<Option<Statement>, TemplateError> {
    let path = statement.path().to_owned();
    let missing = |what: &str| TemplateError::at(&path, &format!("{what} is required"));
    let some = |texts: Option<Vec<String>>| texts.filter(|texts| !texts.is_empty());
    let effect = match statement.choice("Effect", &["Allow", "Deny"])?.as_deref() {
        Some("Allow") => Effect::Allow,
        Some(_) => Effect::Deny,
        None => return Err(missing("Effect")),
    };
    let actions = some(statement.one_or_many("Action")?).ok_or_else(|| missing("Action"))?;
    let resources = some(statement.one_or_many("Resource")?).ok_or_else(|| missing("Resource"))?;
    let condition = statement.map("Condition")?;
    let sid = statement.text("Sid")?.unwrap_or_default();
    statement.finish()?;
    let actions = judged_actions(actions, &format!("{path}.Action"))?;
    if actions.is_empty() {
        return Ok(None);
    }
    let path = format!("{path}.Resource");
    if let Some(wrong) = resources.iter().find(|arn| !(*arn == "*" || arn.starts_with("arn:"))) {
        return Err(TemplateError::at(&path, &format!("{wrong} is not an ARN")));
    }
    check_variables(&resources, &path)?;
    let conditions = condition.map(read_conditions).transpose()?.unwrap_or_default();
    Ok(Some(Statement { sid, effect, actions, resources, conditions }))
}

/// The actions on tables, queues, keys and logs, in lower case.
fn judged_actions(actions: Vec<String>, path: &str) -> Result<Vec<String>, TemplateError> {
    let mut kept = Vec::with_capacity(actions.len());
    for action in actions {
        let service = action.split_once(':').map(|(service, _)| service.to_ascii_lowercase());
        match service.as_deref() {
            None if action == "*" => kept.push(action),
            Some("dynamodb" | "kms" | "logs" | "sqs") => kept.push(action.to_ascii_lowercase()),
            Some(other) if other.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {}
            _ => return Err(TemplateError::at(path, &format!("{action} is not an action"))),
        }
    }
    Ok(kept)
}

fn check_variables(texts: &[String], path: &str) -> Result<(), TemplateError> {
    match texts.iter().find(|text| text.contains("${")) {
        Some(text) => {
            Err(TemplateError::at(path, &format!("the policy variable in {text} is not understood")))
        }
        None => Ok(()),
    }
}

fn read_conditions(conditions: Properties) -> Result<Vec<Condition>, TemplateError> {
    let mut read = Vec::new();
    for (operator, path, keys) in conditions.into_entries() {
        for (key, path, values) in Properties::new(keys, &path)?.into_entries() {
            let (key, like) = read_operator(&operator, &key, &path)?;
            let values = match values {
                Value::Array(values) => values,
                single => vec![single],
            };
            let values: Vec<String> =
                values.iter().map(|value| scalar_text(value, &path)).collect::<Result<_, _>>()?;
            check_variables(&values, &path)?;
            read.push(Condition { key, like, values });
        }
    }
    Ok(read)
}

fn read_operator(operator: &str, key: &str, path: &str) -> Result<(ConditionKey, bool), TemplateError> {
    let (for_all, bare) = match operator.strip_prefix("ForAllValues:") {
        Some(bare) => (true, bare),
        None => (false, operator),
    };
    let (if_exists, bare) = match bare.strip_suffix("IfExists") {
        Some(bare) => (true, bare),
        None => (false, bare),
    };
    let like = match bare {
        "StringEquals" => false,
        "StringLike" => true,
        _ => return Err(TemplateError::at(path, &format!("the operator {operator} is not understood"))),
    };
    match (key, for_all) {
        ("dynamodb:LeadingKeys", true) => Ok((ConditionKey::LeadingKeys, like)),
        ("dynamodb:ReturnValues", false) => Ok((ConditionKey::ReturnValues { if_exists }, like)),
        ("kms:ViaService", false) if !if_exists => Ok((ConditionKey::ViaService, like)),
        _ => Err(TemplateError::at(path, &format!("{operator} on {key} is not understood"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(statements: &Value) -> Result<Policy, String> {
        let mut policy = Policy::default();
        read_document(json!({"Version": "2012-10-17", "Statement": statements}), "P", &mut policy)
            .map(|()| policy)
            .map_err(|error| error.to_string())
    }

    fn allows(policy: &Policy, action: &str, resource: &str) -> bool {
        policy.allows(&Access::new(action, resource))
    }

    #[test]
    fn nothing_is_allowed_that_no_statement_allows() {
        let policy = read(&json!([{
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem", "sqs:SendMessage"],
            "Resource": ["arn:t", "arn:q"],
        }]))
        .unwrap();
        assert!(allows(&policy, "dynamodb:GetItem", "arn:t"));
        assert!(allows(&policy, "sqs:SendMessage", "arn:q"));
        assert!(!allows(&policy, "dynamodb:PutItem", "arn:t"));
        assert!(!allows(&policy, "dynamodb:GetItem", "arn:t/index/i"), "a table is not its index");
        assert!(!allows(&policy, "dynamodb:GetItem", "arn:other"));
        assert!(!allows(&Policy::default(), "dynamodb:GetItem", "arn:t"));
    }

    #[test]
    fn a_denial_wins() {
        let policy = read(&json!([
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "dynamodb:DeleteItem", "Resource": "arn:t"},
        ]))
        .unwrap();
        assert!(allows(&policy, "dynamodb:DeleteItem", "arn:other"));
        assert!(!allows(&policy, "dynamodb:DeleteItem", "arn:t"));
        assert!(!allows(&policy, "sqs:SendMessage", "arn:q"));
    }

    #[test]
    fn wildcards_match_any_text_and_resources_are_case_sensitive() {
        let policy = read(&json!([
            {"Effect": "Allow", "Action": "DynamoDB:Batch*Item", "Resource": "arn:t?/index/*"},
            {"Effect": "Allow", "Action": "*", "Resource": "arn:all"},
        ]))
        .unwrap();
        assert!(allows(&policy, "dynamodb:BatchGetItem", "arn:t1/index/due"));
        assert!(!allows(&policy, "dynamodb:BatchGetItem", "arn:T1/index/due"));
        assert!(!allows(&policy, "dynamodb:BatchGetItem", "arn:t/index/due"));
        assert!(!allows(&policy, "dynamodb:BatchGetItems", "arn:t1/index/due"));
        assert!(allows(&policy, "sqs:SendMessage", "arn:all"));
        for (pattern, text, expected) in
            [("a*b*c", "axxbyybc", true), ("a*b*c", "axxb", false), ("*", "", true), ("?", "", false)]
        {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn leading_keys_bound_what_is_allowed() {
        let policy = read(&json!([{
            "Effect": "Allow",
            "Action": "dynamodb:PutItem",
            "Resource": "arn:t",
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["account#*"]}},
        }]))
        .unwrap();
        let put = |keys: Option<&[&str]>| {
            let leading_keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            policy.allows(&Access { leading_keys, ..Access::new("dynamodb:PutItem", "arn:t") })
        };
        assert!(put(Some(&["account#a", "account#b"])));
        assert!(!put(Some(&["account#a", "accounts"])));
        assert!(put(Some(&[])), "ForAllValues holds for none");
        assert!(!put(None), "what cannot be told is not allowed");
    }

    #[test]
    fn return_values_bound_what_is_allowed() {
        let policy = read(&json!([{
            "Effect": "Allow",
            "Action": "dynamodb:PutItem",
            "Resource": "arn:t",
            "Condition": {"StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"}},
        }]))
        .unwrap();
        let put = |values: &[&str]| {
            let return_values = values.iter().map(|value| (*value).to_owned()).collect();
            policy.allows(&Access { return_values, ..Access::new("dynamodb:PutItem", "arn:t") })
        };
        assert!(put(&[]) && put(&["NONE"]) && put(&["NONE", "NONE"]));
        assert!(!put(&["ALL_OLD"]));
        assert!(!put(&["NONE", "ALL_OLD"]), "a failed condition must not answer the row either");
    }

    #[test]
    fn a_key_is_used_through_the_named_service_alone() {
        let policy = read(&json!([{
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "arn:k",
            "Condition": {"StringEquals": {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}},
        }]))
        .unwrap();
        let uses = |service: Option<&str>| {
            let via_service = service.map(str::to_owned);
            policy.allows(&Access { via_service, ..Access::new("kms:Decrypt", "arn:k") })
        };
        assert!(uses(Some("dynamodb.us-east-1.amazonaws.com")));
        assert!(!uses(Some("lambda.us-east-1.amazonaws.com")));
        assert!(!uses(None));
    }

    /// Without a grant that the recorder calls needed, the access is refused, and all others stay allowed.
    #[test]
    fn a_grant_is_needed_where_its_removal_refuses_the_call() {
        let statements = json!([
            {
                "Sid": "A",
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
                "Resource": ["arn:t", "arn:u"],
            },
            {"Sid": "B", "Effect": "Allow", "Action": "dynamodb:Put*", "Resource": "arn:u"},
        ]);
        let policy = read(&statements).unwrap();
        let needed = |action: &str, resource: &str| {
            let grant = policy.needed_for("F", &Access::new(action, resource));
            grant.map(|grant| grant.to_string())
        };
        assert_eq!(policy.grants("F").len(), 5);
        assert_eq!(needed("dynamodb:GetItem", "arn:t").as_deref(), Some("F A dynamodb:getitem arn:t"));
        assert_eq!(needed("dynamodb:PutItem", "arn:t").as_deref(), Some("F A dynamodb:putitem arn:t"));
        assert_eq!(needed("dynamodb:PutItem", "arn:u"), None, "two grants allow it");
        assert_eq!(needed("dynamodb:Query", "arn:t"), None, "no grant allows it");
        let mut without = statements;
        without[0]["Action"] = json!(["dynamodb:PutItem"]);
        let without = read(&without).unwrap();
        assert!(!allows(&without, "dynamodb:GetItem", "arn:t"));
        assert!(
            allows(&without, "dynamodb:PutItem", "arn:t") && allows(&without, "dynamodb:PutItem", "arn:u")
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let with = |change: &Value| {
            let mut statement = json!({"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "arn:t"});
            for (name, value) in change.as_object().unwrap() {
                statement[name] = value.clone();
            }
            read(&json!([statement])).unwrap_err()
        };
        for (change, expected) in [
            (json!({"NotAction": "a:b"}), "P.Statement[0].NotAction: this property is not understood"),
            (json!({"Principal": "*"}), "P.Statement[0].Principal: this property is not understood"),
            (json!({"Action": "GetItem"}), "P.Statement[0].Action: GetItem is not an action"),
            (json!({"Action": "dyn*:GetItem"}), "P.Statement[0].Action: dyn*:GetItem is not an action"),
            (json!({"Resource": "Table"}), "P.Statement[0].Resource: Table is not an ARN"),
            (
                json!({"Resource": "arn:${aws:userid}"}),
                "P.Statement[0].Resource: the policy variable in arn:${aws:userid} is not understood",
            ),
            (
                json!({"Condition": {"Bool": {"aws:SecureTransport": true}}}),
                "P.Statement[0].Condition.Bool.aws:SecureTransport: the operator Bool is not understood",
            ),
            (
                json!({"Condition": {"StringEquals": {"dynamodb:LeadingKeys": "a"}}}),
                "P.Statement[0].Condition.StringEquals.dynamodb:LeadingKeys: \
                 StringEquals on dynamodb:LeadingKeys is not understood",
            ),
        ] {
            assert_eq!(with(&change), expected);
        }
    }

    #[test]
    fn a_statement_on_another_service_grants_nothing() {
        let policy = read(&json!([{
            "Effect": "Allow",
            "Action": ["s3:GetObject", "xray:Put*"],
            "Resource": "*",
        }]))
        .unwrap();
        assert!(policy.statements.is_empty());
    }
}
