//! Reads an `AWS::Serverless::Function`, merged with the globals as SAM merges them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::model::{Asynchronous, Function, Need, Template, log_group_arn, queue_arn, table_arn};
use super::parameters::REGION;
use super::policy::{Access, Policy};
use super::properties::Properties;
use super::{TemplateError, events, policy};

/// Lambda's default timeout and memory size.
const DEFAULT_TIMEOUT_SECONDS: u32 = 3;
const DEFAULT_MEMORY_MB: u32 = 128;

/// What Lambda does with a queue that wakes a function, by the function's role.
const TAKE_MESSAGES: [&str; 3] = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];

const SEND: &str = "sqs:SendMessage";

/// The actions of Lambda on a function's log group, by the function's role.
const WRITE_LOGS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// The actions of DynamoDB on a table's key, by the role of the function that uses the table (DynamoDB developer guide,
/// "Authorizing use of your customer managed key").
const USE_TABLE_KEY: [&str; 5] =
    ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom"];

pub(crate) fn read(
    name: &str,
    own: Value,
    metadata: Properties,
    globals: &Value,
    path: &str,
    into: &mut Template,
) -> Result<(), TemplateError> {
    let mut properties = Properties::new(merge(globals.clone(), own), path)?;
    let binary = read_metadata(metadata)?;
    check_platform(&mut properties)?;
    let timeout = properties.integer("Timeout", 1..=900)?.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let memory_mb = properties.integer("MemorySize", 128..=10_240)?.unwrap_or(DEFAULT_MEMORY_MB);
    let handler = properties.text("Handler")?.unwrap_or_else(|| "bootstrap".to_owned());
    let (log_format, log_level, log_group) = read_logging(&mut properties)?;
    let environment = read_environment(&mut properties)?;
    let reserved = properties.integer("ReservedConcurrentExecutions", 0..=1000)?;
    let mut asynchronous = read_asynchronous(&mut properties)?;
    asynchronous.dead_letter = read_dead_letter_queue(&mut properties)?;
    let policies = policy::read_policies(&mut properties)?;
    let role = properties.text("Role")?;
    if role.is_some() && policies.is_some() {
        // SAM would leave them out without a word.
        return Err(TemplateError::at(&properties.path_of("Policies"), "mean nothing beside a Role"));
    }
    properties.choice("RecursiveLoop", &["Allow", "Terminate"])?;
    let environment_key = properties.text("KmsKeyArn")?;
    read_deployment(&mut properties)?;
    properties.ignore(&["Description", "PropagateTags", "Tags"]);
    if let Some(list) = properties.map("Events")? {
        events::read(name, list, into)?;
    }
    properties.finish()?;
    let function = Function {
        name: name.to_owned(),
        binary,
        handler,
        timeout: Duration::from_secs(timeout.into()),
        memory_mb,
        environment,
        log_format,
        log_level,
        log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
        reserved_concurrency: reserved.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        asynchronous,
        role,
        policy: policies.unwrap_or_default(),
        environment_key,
        needs: Vec::new(),
    };
    into.functions.insert(name.to_owned(), function);
    Ok(())
}

/// SAM's rule: maps are merged, lists are joined (globals first), any other value of the function's own wins.
fn merge(global: Value, own: Value) -> Value {
    match (global, own) {
        (Value::Object(mut global), Value::Object(own)) => {
            for (key, value) in own {
                let merged = match global.remove(&key) {
                    Some(shared) => merge(shared, value),
                    None => value,
                };
                global.insert(key, merged);
            }
            Value::Object(global)
        }
        (Value::Array(mut global), Value::Array(own)) => {
            global.extend(own);
            Value::Array(global)
        }
        (_, own) => own,
    }
}

fn read_metadata(mut metadata: Properties) -> Result<String, TemplateError> {
    metadata.choice("BuildMethod", &["rust-cargolambda"])?;
    let mut build = metadata.required_map("BuildProperties")?;
    let path = build.path_of("Binary");
    let binary = build.required_text("Binary")?;
    if binary.is_empty() || !binary.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(TemplateError::at(&path, "is not the name of a binary"));
    }
    // How the real function is built says nothing about the binary here.
    build.ignore(&["CargoLambdaFlags", "Profile"]);
    build.finish()?;
    metadata.ignore(&["SamResourceId"]);
    metadata.finish()?;
    Ok(binary)
}

fn check_platform(properties: &mut Properties) -> Result<(), TemplateError> {
    properties.choice("Runtime", &["provided.al2023", "provided.al2"])?;
    properties.choice("PackageType", &["Zip"])?;
    if let Some(architectures) = properties.scalars("Architectures")? {
        let path = properties.path_of("Architectures");
        if architectures.iter().any(|name| name != "arm64" && name != "x86_64") {
            return Err(TemplateError::at(&path, "only arm64 and x86_64 are understood"));
        }
    }
    properties.ignore(&["CodeUri"]);
    Ok(())
}

fn read_logging(
    properties: &mut Properties,
) -> Result<(String, Option<String>, Option<String>), TemplateError> {
    let Some(mut logging) = properties.map("LoggingConfig")? else {
        return Ok(("Text".to_owned(), None, None));
    };
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let format = logging.choice("LogFormat", &["JSON", "Text"])?.unwrap_or_else(|| "Text".to_owned());
    let level = logging.choice("ApplicationLogLevel", &levels)?;
    logging.choice("SystemLogLevel", &["DEBUG", "INFO", "WARN"])?;
    let group = logging.text("LogGroup")?;
    logging.finish()?;
    Ok((format, level, group))
}

fn read_environment(properties: &mut Properties) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut variables = BTreeMap::new();
    let Some(mut environment) = properties.map("Environment")? else { return Ok(variables) };
    if let Some(map) = environment.map("Variables")? {
        for (name, path, value) in map.into_entries() {
            let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !legal || name.starts_with("AWS_LAMBDA_") {
                return Err(TemplateError::at(&path, "Lambda does not allow this name"));
            }
            variables.insert(name, super::scalar_text(&value, &path)?);
        }
    }
    environment.finish()?;
    let size: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > 4096 {
        let path = properties.path_of("Environment");
        return Err(TemplateError::at(&path, "has more than Lambda's 4 KB of environment variables"));
    }
    Ok(variables)
}

/// Traces, versions and gradual deployments: one version runs here, and nothing is traced.
fn read_deployment(properties: &mut Properties) -> Result<(), TemplateError> {
    properties.choice("Tracing", &["Active", "PassThrough", "Disabled"])?;
    let alias = properties.text("AutoPublishAlias")?;
    properties.boolean("AutoPublishAliasAllProperties")?;
    properties.ignore(&["AutoPublishCodeSha256", "VersionDescription"]);
    let Some(mut preference) = properties.map("DeploymentPreference")? else { return Ok(()) };
    if alias.is_none() {
        // SAM refuses it.
        return Err(TemplateError::at(preference.path(), "needs an AutoPublishAlias"));
    }
    preference.boolean("Enabled")?;
    preference.ignore(&["Alarms", "Hooks", "PassthroughCondition", "Role", "TriggerConfigurations", "Type"]);
    preference.finish()
}

fn read_asynchronous(properties: &mut Properties) -> Result<Asynchronous, TemplateError> {
    let mut read = Asynchronous::default();
    let Some(mut config) = properties.map("EventInvokeConfig")? else { return Ok(read) };
    if let Some(retries) = config.integer("MaximumRetryAttempts", 0..=2)? {
        read.retries = retries;
    }
    if let Some(seconds) = config.integer("MaximumEventAgeInSeconds", 60..=21_600)? {
        read.max_age = Duration::from_secs(seconds.into());
    }
    if let Some(mut destinations) = config.map("DestinationConfig")? {
        if let Some(mut failure) = destinations.map("OnFailure")? {
            failure.choice("Type", &["SQS"])?;
            read.on_failure = Some(events::queue_name(&mut failure, "Destination")?);
            failure.finish()?;
        }
        destinations.finish()?;
    }
    config.finish()?;
    Ok(read)
}

fn read_dead_letter_queue(properties: &mut Properties) -> Result<Option<String>, TemplateError> {
    let Some(mut queue) = properties.map("DeadLetterQueue")? else { return Ok(None) };
    queue.choice("Type", &["SQS"])?;
    let name = events::queue_name(&mut queue, "TargetArn")?;
    queue.finish()?;
    Ok(Some(name))
}

impl Template {
    /// Gives each function the permissions of its role, and refuses a role that does not allow an access that a service
    /// makes by it: Lambda for events, logs and the environment, and DynamoDB for a table's key.
    pub(crate) fn grant(&mut self, roles: &BTreeMap<String, Policy>) -> Result<(), TemplateError> {
        let names: Vec<String> = self.functions.keys().cloned().collect();
        for name in names {
            let Some(mut function) = self.functions.remove(&name) else { continue };
            let path = format!("Resources.{name}.Properties.Role");
            match &function.role {
                Some(arn) => {
                    function.policy = roles.get(arn).cloned().ok_or_else(|| {
                        TemplateError::at(&path, "is not the ARN of a role of the template")
                    })?;
                }
                None => self.grant_as_sam(&mut function),
            }
            function.needs = self.needs(&function);
            if let Some(need) = function.needs.iter().find(|need| !function.policy.allows(&need.access)) {
                let why = format!("does not allow {} on {}", need.access.action, need.why);
                return Err(TemplateError::at(&path, &why));
            }
            self.functions.insert(name, function);
        }
        Ok(())
    }

    /// Adds the permissions that SAM adds to the role that it makes, beside the function's policies.
    fn grant_as_sam(&self, function: &mut Function) {
        if self.queue_mappings.iter().any(|mapping| mapping.function == function.name) {
            function.policy.allow("SAM", &TAKE_MESSAGES, "*".to_owned());
        }
        for queue in failed_events(function) {
            function.policy.allow("SAM", &[SEND], queue_arn(&queue));
        }
        if self.log_groups.contains(&function.log_group) {
            function.policy.allow("SAM", &WRITE_LOGS, "*".to_owned());
        }
    }

    /// The accesses that services make in the function's name.
    fn needs(&self, function: &Function) -> Vec<Need> {
        let need = |action: &str, arn: String, why: String| Need { access: Access::new(action, arn), why };
        let via = |action: &str, key: &String, service: &str, why: String| {
            let via_service = Some(format!("{service}.{REGION}.amazonaws.com"));
            Need { access: Access { via_service, ..Access::new(action, key) }, why }
        };
        let mut needs = Vec::new();
        for mapping in self.queue_mappings.iter().filter(|mapping| mapping.function == function.name) {
            let why = format!("{}, which its events need", mapping.queue);
            needs.extend(TAKE_MESSAGES.map(|action| need(action, queue_arn(&mapping.queue), why.clone())));
        }
        for queue in failed_events(function) {
            needs.push(need(SEND, queue_arn(&queue), format!("{queue}, which its events need")));
        }
        if self.log_groups.contains(&function.log_group) {
            let why = format!("{}, which its logs need", function.log_group);
            needs.extend(
                WRITE_LOGS.map(|action| need(action, log_group_arn(&function.log_group), why.clone())),
            );
        }
        if let Some(key) = &function.environment_key {
            let why = format!("{key}, which its environment needs");
            needs.push(via("kms:Decrypt", key, "lambda", why));
        }
        for table in self.tables.values().filter(|table| function.policy.reaches(&table_arn(&table.name))) {
            let Some(key) = &table.key else { continue };
            let why = format!("{key}, which {} needs", table.name);
            needs.extend(USE_TABLE_KEY.map(|action| via(action, key, "dynamodb", why.clone())));
        }
        needs
    }
}

/// The queues to which Lambda sends the function's failed events, by its role.
fn failed_events(function: &Function) -> Vec<String> {
    let asynchronous = &function.asynchronous;
    asynchronous.on_failure.iter().chain(&asynchronous.dead_letter).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::yaml;
    use super::*;

    /// The parameters of the repository's template that are never shown, each with a value that can be found again.
    fn secrets(text: &str) -> BTreeMap<String, String> {
        let root = yaml::parse(text).unwrap();
        let parameters = root.get("Parameters").unwrap();
        let secret = |(name, declaration): &(String, yaml::Node)| {
            declaration.get("NoEcho")?;
            Some((name.clone(), format!("planted{name}planted")))
        };
        super::super::entries(parameters, "Parameters").unwrap().iter().filter_map(secret).collect()
    }

    fn repositorys_template() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn every_route_of_the_configuration_api_is_throttled_lower() {
        let given = BTreeMap::from([("AdminKeySha256".to_owned(), "0".repeat(64))]);
        let template = Template::parse(&repositorys_template(), &given, "http://127.0.0.1:1").unwrap();
        let of_manage = template.routes.iter().filter(|route| route.function == "ManageFunction");
        // What no route takes has the general rate: the answer reads nothing.
        let named = of_manage.filter(|route| route.path != "$default");
        let key = |route: &super::super::Route| {
            format!("{} {}", route.method.as_deref().unwrap_or("ANY"), route.path)
        };
        let unthrottled: Vec<String> =
            named.map(key).filter(|route| !template.throttled.contains(route)).collect();
        assert!(unthrottled.is_empty(), "HttpApi.RouteSettings lacks {unthrottled:?}");
    }

    #[test]
    fn each_function_has_its_own_secrets_under_the_stacks_key() {
        let text = repositorys_template();
        let planted = secrets(&text);
        assert!(planted.len() >= 9, "{planted:?}");
        let mut given = planted.clone();
        given.insert("AdminKeySha256".to_owned(), "0".repeat(64));
        let template = Template::parse(&text, &given, "http://127.0.0.1:1").unwrap();
        let of = |function: &Function| -> Vec<&str> {
            let values: Vec<_> = function.environment.values().collect();
            let found = |value: &String| values.iter().any(|text| text.contains(value.as_str()));
            planted.iter().filter(|(_, value)| found(value)).map(|(name, _)| name.as_str()).collect()
        };
        let collect =
            ["GoogleClientSecret", "LinkedinClientSecret", "MetaAppSecrets", "MetaAppToken", "XClientSecret"];
        let ingest = ["LinkedinClientSecret", "LinkedinClientSecrets", "MetaAppSecrets", "MetaVerifyToken"];
        for (name, expected) in [
            ("CollectFunction", [&collect[..], &["YoutubeHubSecret"]].concat()),
            ("DeliverFunction", Vec::new()),
            ("IngestFunction", [&ingest[..], &["XConsumerSecrets", "YoutubeHubSecret"]].concat()),
            ("ManageFunction", Vec::new()),
        ] {
            assert_eq!(of(&template.functions[name]), expected, "{name}");
        }
        let key = "arn:aws:kms:us-east-1:000000000000:key/TokenKey";
        for function in template.functions.values().filter(|function| !of(function).is_empty()) {
            assert_eq!(function.environment_key.as_deref(), Some(key), "{}", function.name);
        }
        let shown = |value: &String| template.outputs.values().any(|output| output.contains(value.as_str()));
        assert!(!planted.values().any(shown), "an output shows a secret");
    }
}
