//! Reads an `AWS::Serverless::Function`, merged with the globals as SAM merges them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::model::{Asynchronous, Function, Template, queue_arn};
use super::policy::{Access, Policy};
use super::properties::Properties;
use super::{TemplateError, events, policy};

/// Lambda's default timeout and memory size.
const DEFAULT_TIMEOUT_SECONDS: u32 = 3;
const DEFAULT_MEMORY_MB: u32 = 128;

/// What Lambda does with a queue that wakes a function, by the function's role.
const TAKE_MESSAGES: [&str; 3] = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];

const SEND: &str = "sqs:SendMessage";

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
    properties.ignore(&["Description", "Tags"]);
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
    /// Gives each function what its role grants, and refuses a role that Lambda could not use for its events.
    pub(crate) fn grant(&mut self, roles: &BTreeMap<String, Policy>) -> Result<(), TemplateError> {
        for function in self.functions.values_mut() {
            let path = format!("Resources.{}.Properties", function.name);
            let queues: Vec<_> =
                self.queue_mappings.iter().filter(|mapping| mapping.function == function.name).collect();
            match &function.role {
                Some(arn) => {
                    function.policy = roles.get(arn).cloned().ok_or_else(|| {
                        TemplateError::at(&format!("{path}.Role"), "is not the ARN of a role of the template")
                    })?;
                }
                None => {
                    if !queues.is_empty() {
                        function.policy.allow(&TAKE_MESSAGES, "*".to_owned());
                    }
                    for queue in failed_events(function) {
                        function.policy.allow(&[SEND], queue_arn(&queue));
                    }
                }
            }
            let taken =
                queues.iter().flat_map(|mapping| TAKE_MESSAGES.map(|action| (action, &mapping.queue)));
            let sent_to = failed_events(function);
            for (action, queue) in taken.chain(sent_to.iter().map(|queue| (SEND, queue))) {
                if !function.policy.allows(&Access::new(action, queue_arn(queue))) {
                    let why = format!("does not allow {action} on {queue}, which its events need");
                    return Err(TemplateError::at(&format!("{path}.Role"), &why));
                }
            }
        }
        Ok(())
    }
}

/// The queues to which Lambda sends the function's failed events, by its role.
fn failed_events(function: &Function) -> Vec<String> {
    let asynchronous = &function.asynchronous;
    asynchronous.on_failure.iter().chain(&asynchronous.dead_letter).cloned().collect()
}
