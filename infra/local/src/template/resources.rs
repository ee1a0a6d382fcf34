//! The resources: what each answers to references, and how each type is read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::evaluate::{Attributes, Scope};
use super::model::{
    Queue, Table, Template, Watching, function_arn, log_group_arn, queue_arn, queue_url, role_arn, table_arn,
};
use super::parameters::{ACCOUNT, REGION};
use super::policy::{self, Policy};
use super::properties::Properties;
use super::yaml::Node;
use super::{TemplateError, function};

/// The types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Function,
    HttpApi,
    Queue,
    Table,
    Role,
    LogGroup,
    /// Is invoked by a deployment alone, so never here.
    Custom,
    /// Watches the bundle; means nothing on one machine.
    Watching,
    /// Means nothing on one machine; its references must hold.
    Inert,
}

/// A resource that the conditions do not take away.
#[derive(Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
    kind: Kind,
    type_name: &'a str,
    node: &'a Node,
}

/// The resources that exist, with what they answer to references.
pub(crate) fn declared<'a>(
    entries: &'a [(String, Node)],
    scope: &Scope,
    sqs: &str,
) -> Result<Vec<Declared<'a>>, TemplateError> {
    let mut found = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        let path = format!("Resources.{name}");
        if let Some(condition) = node.get("Condition") {
            let Node::Text(condition) = condition else {
                return Err(TemplateError::at(&path, "Condition is not a name"));
            };
            if !scope.named_condition(condition, &path)? {
                continue;
            }
        }
        let Some(Node::Text(type_name)) = node.get("Type") else {
            return Err(TemplateError::at(&path, "Type is required"));
        };
        let kind = kind_of(type_name)
            .ok_or_else(|| TemplateError::at(&path, &format!("the type {type_name} is not understood")))?;
        let attributes = attributes_of(kind, type_name, name, sqs);
        found.push(Declared { name: name.clone(), attributes, kind, type_name, node });
    }
    Ok(found)
}

fn kind_of(type_name: &str) -> Option<Kind> {
    Some(match type_name {
        "AWS::Serverless::Function" => Kind::Function,
        "AWS::Serverless::HttpApi" => Kind::HttpApi,
        "AWS::SQS::Queue" => Kind::Queue,
        "AWS::DynamoDB::Table" => Kind::Table,
        "AWS::IAM::Role" => Kind::Role,
        "AWS::Logs::LogGroup" => Kind::LogGroup,
        "AWS::CloudWatch::Alarm"
        | "AWS::CloudWatch::CompositeAlarm"
        | "AWS::CloudWatch::Dashboard"
        | "AWS::Logs::MetricFilter"
        | "AWS::Logs::QueryDefinition"
        | "AWS::SNS::Subscription"
        | "AWS::SNS::Topic"
        | "AWS::SNS::TopicPolicy" => Kind::Watching,
        "AWS::ApiGatewayV2::ApiMapping"
        | "AWS::ApiGatewayV2::DomainName"
        | "AWS::KMS::Alias"
        | "AWS::KMS::Key"
        | "AWS::SQS::QueuePolicy" => Kind::Inert,
        custom if custom.starts_with("Custom::") => Kind::Custom,
        _ => return None,
    })
}

fn attributes_of(kind: Kind, type_name: &str, name: &str, sqs: &str) -> Attributes {
    let named = |arn: String| Attributes { reference: name.to_owned(), attributes: [("Arn", arn)].into() };
    match (kind, type_name) {
        (Kind::Function, _) => named(function_arn(name)),
        (Kind::Table, _) => named(table_arn(name)),
        (Kind::Role, _) => named(role_arn(name)),
        (Kind::Queue, _) => {
            let url = queue_url(sqs, name);
            let attributes =
                [("Arn", queue_arn(name)), ("QueueName", name.to_owned()), ("QueueUrl", url.clone())].into();
            Attributes { reference: url, attributes }
        }
        (Kind::Custom, _) => Attributes { reference: name.to_owned(), ..Attributes::default() },
        (Kind::HttpApi, _) => {
            Attributes { reference: crate::ids::API_ID.to_owned(), ..Attributes::default() }
        }
        (Kind::LogGroup, _) => named(log_group_arn(name)),
        (Kind::Inert, "AWS::ApiGatewayV2::DomainName") => Attributes {
            reference: name.to_owned(),
            attributes: ["RegionalDomainName", "RegionalHostedZoneId"]
                .map(|attribute| (attribute, format!("{name}.{attribute}")))
                .into(),
        },
        (Kind::Inert, "AWS::KMS::Key") => {
            let arn = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}");
            Attributes {
                reference: name.to_owned(),
                attributes: [("Arn", arn), ("KeyId", name.to_owned())].into(),
            }
        }
        (Kind::Watching, "AWS::SNS::Topic") => {
            let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
            Attributes {
                reference: arn.clone(),
                attributes: [("TopicArn", arn), ("TopicName", name.to_owned())].into(),
            }
        }
        (Kind::Watching | Kind::Inert, _) => {
            named(format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"))
        }
    }
}

impl Declared<'_> {
    /// The names that can be referred to: its own, and those that SAM adds.
    pub(crate) fn referable(&self) -> Vec<(String, Attributes)> {
        let reference = |name: &str, reference: String| {
            (format!("{}.{name}", self.name), Attributes { reference, ..Attributes::default() })
        };
        let mut names = vec![(self.name.clone(), self.attributes.clone())];
        let alias = self.node.get("Properties").and_then(|properties| properties.get("AutoPublishAlias"));
        match self.kind {
            Kind::HttpApi => names.push(reference("Stage", "$default".to_owned())),
            Kind::Function if alias.is_some() => {
                let arn = function_arn(&self.name);
                names.push(reference("Alias", format!("{arn}:alias")));
                names.push(reference("Version", format!("{arn}:1")));
            }
            _ => {}
        }
        names
    }

    /// Reads the resource into the model.
    pub(crate) fn read(
        &self,
        scope: &Scope,
        globals: &Value,
        into: &mut Template,
        roles: &mut BTreeMap<String, Policy>,
    ) -> Result<(), TemplateError> {
        let path = format!("Resources.{}", self.name);
        let mut properties = json!({});
        let mut metadata = json!({});
        for (name, node) in super::entries(self.node, &path)? {
            let path = format!("{path}.{name}");
            match name.as_str() {
                "Type" | "Condition" | "DeletionPolicy" | "UpdateReplacePolicy" => {}
                "DependsOn" => self.check_depends_on(node, scope, &path)?,
                "Properties" => properties = scope.value(node, &path)?.unwrap_or(properties),
                "Metadata" => metadata = scope.value(node, &path)?.unwrap_or(metadata),
                _ => return Err(TemplateError::at(&path, "this is not understood")),
            }
        }
        let at = format!("{path}.Properties");
        match self.kind {
            Kind::Inert => Ok(()),
            Kind::LogGroup => {
                into.log_groups.insert(self.name.clone());
                Ok(())
            }
            Kind::Custom => check_custom(Properties::new(properties, &at)?, scope),
            Kind::Watching => {
                let watching = Watching { kind: self.type_name.to_owned(), properties };
                into.watching.insert(self.name.clone(), watching);
                Ok(())
            }
            Kind::Role => {
                roles.insert(role_arn(&self.name), policy::read_role(properties, &at)?);
                Ok(())
            }
            Kind::HttpApi => read_http_api(Properties::new(properties, &at)?, into),
            Kind::Queue => {
                let queue = read_queue(&self.name, Properties::new(properties, &at)?)?;
                into.queues.insert(self.name.clone(), queue);
                Ok(())
            }
            Kind::Table => {
                let table = read_table(&self.name, Properties::new(properties, &at)?)?;
                into.tables.insert(self.name.clone(), table);
                Ok(())
            }
            Kind::Function => {
                let metadata = Properties::new(metadata, &format!("{path}.Metadata"))?;
                function::read(&self.name, properties, metadata, globals, &at, into)
            }
        }
    }

    fn check_depends_on(&self, node: &Node, scope: &Scope, path: &str) -> Result<(), TemplateError> {
        let names = match node {
            Node::Text(name) => vec![name.clone()],
            Node::List(items) => items
                .iter()
                .map(|item| match item {
                    Node::Text(name) => Ok(name.clone()),
                    _ => Err(TemplateError::at(path, "expected names")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(TemplateError::at(path, "expected names")),
        };
        match names.iter().find(|name| !scope.resources.contains_key(*name)) {
            Some(name) => Err(TemplateError::at(path, &format!("refers to {name}, which does not exist"))),
            None => Ok(()),
        }
    }
}

/// A custom resource must be a function's of the template; what else it is given is that function's matter.
fn check_custom(mut properties: Properties, scope: &Scope) -> Result<(), TemplateError> {
    let path = properties.path_of("ServiceToken");
    let token = properties.required_text("ServiceToken")?;
    properties.integer("ServiceTimeout", 1..=3600)?;
    if scope.resources.keys().any(|name| function_arn(name) == token) {
        return Ok(());
    }
    Err(TemplateError::at(&path, "is not the ARN of a function of the template"))
}

fn read_http_api(mut properties: Properties, into: &mut Template) -> Result<(), TemplateError> {
    properties.choice("StageName", &["$default"])?;
    if let Some(mut auth) = properties.map("Auth")? {
        // Nobody is authorized before the functions are asked.
        auth.choice("EnableIamAuthorizer", &["false"])?;
        auth.finish()?;
    }
    if let Some(mut log) = properties.map("AccessLogSettings")? {
        log.required_text("DestinationArn")?;
        log.required_text("Format")?;
        log.finish()?;
    }
    if let Some(mut domain) = properties.map("Domain")? {
        domain.required_text("DomainName")?;
        domain.required_text("CertificateArn")?;
        domain.ignore(&["BasePath", "EndpointConfiguration", "Route53", "SecurityPolicy"]);
        domain.finish()?;
    }
    // Here the default endpoint is the only one.
    properties.boolean("DisableExecuteApiEndpoint")?;
    if let Some(settings) = properties.map("RouteSettings")? {
        into.throttled.extend(settings.into_entries().map(|(route, ..)| route));
    }
    properties.ignore(&["DefaultRouteSettings", "Description", "FailOnWarnings", "PropagateTags", "Tags"]);
    properties.finish()
}

fn read_queue(name: &str, mut properties: Properties) -> Result<Queue, TemplateError> {
    let mut attributes = BTreeMap::new();
    // Names and bounds: SQS API reference, SetQueueAttributes.
    for (property, attribute, allowed) in [
        ("DelaySeconds", "DelaySeconds", 0..=900),
        ("MaximumMessageSize", "MaximumMessageSize", 1024..=1_048_576),
        ("MessageRetentionPeriod", "MessageRetentionPeriod", 60..=1_209_600),
        ("ReceiveMessageWaitTimeSeconds", "ReceiveMessageWaitTimeSeconds", 0..=20),
        ("VisibilityTimeout", "VisibilityTimeout", 0..=43_200),
    ] {
        if let Some(value) = properties.integer(property, allowed)? {
            attributes.insert(attribute.to_owned(), value.to_string());
        }
    }
    if let Some(mut redrive) = properties.map("RedrivePolicy")? {
        let target = redrive.required_text("deadLetterTargetArn")?;
        let path = redrive.path_of("maxReceiveCount");
        let count = redrive
            .integer("maxReceiveCount", 1..=1000)?
            .ok_or_else(|| TemplateError::at(&path, "is required"))?;
        redrive.finish()?;
        let policy = json!({"deadLetterTargetArn": target, "maxReceiveCount": count});
        attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
    }
    let redrive_from = match properties.map("RedriveAllowPolicy")? {
        Some(policy) => read_redrive_allow_policy(policy)?,
        None => None,
    };
    properties.ignore(&["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "SqsManagedSseEnabled", "Tags"]);
    properties.finish()?;
    let seconds = attributes.get("VisibilityTimeout").and_then(|text| text.parse().ok()).unwrap_or(30);
    let visibility = Duration::from_secs(seconds);
    Ok(Queue { name: name.to_owned(), attributes, visibility, redrive_from })
}

/// The queues that may send their dead messages here, where not every queue may.
fn read_redrive_allow_policy(mut policy: Properties) -> Result<Option<Vec<String>>, TemplateError> {
    let path = policy.path_of("sourceQueueArns");
    let permission = policy.choice("redrivePermission", &["allowAll", "byQueue", "denyAll"])?;
    let sources = policy.scalars("sourceQueueArns")?;
    let at = policy.path().to_owned();
    policy.finish()?;
    match (permission.as_deref(), sources) {
        (Some("allowAll"), None) => Ok(None),
        (Some("denyAll"), None) => Ok(Some(Vec::new())),
        (Some("byQueue"), Some(sources)) if (1..=10).contains(&sources.len()) => Ok(Some(sources)),
        (None, _) => Err(TemplateError::at(&at, "redrivePermission is required")),
        _ => Err(TemplateError::at(&path, "is for byQueue, which needs from 1 to 10 queues")),
    }
}

fn read_table(name: &str, mut properties: Properties) -> Result<Table, TemplateError> {
    properties.choice("BillingMode", &["PAY_PER_REQUEST"])?.ok_or_else(|| {
        TemplateError::at(&properties.path_of("BillingMode"), "is required (only PAY_PER_REQUEST)")
    })?;
    let mut create = json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST"});
    for key in ["AttributeDefinitions", "GlobalSecondaryIndexes", "KeySchema", "LocalSecondaryIndexes"] {
        if let Some(items) = properties.list(key)? {
            create[key] = Value::Array(items);
        }
    }
    for key in ["AttributeDefinitions", "KeySchema"] {
        if create.get(key).is_none() {
            return Err(TemplateError::at(&properties.path_of(key), "is required"));
        }
    }
    let mut time_to_live = None;
    if let Some(mut specification) = properties.map("TimeToLiveSpecification")? {
        let attribute = specification.required_text("AttributeName")?;
        if specification.boolean("Enabled")?.unwrap_or(false) {
            time_to_live = Some(attribute);
        }
        specification.finish()?;
    }
    let mut key = None;
    if let Some(mut encryption) = properties.map("SSESpecification")? {
        encryption.boolean("SSEEnabled")?;
        encryption.choice("SSEType", &["KMS"])?;
        key = encryption.text("KMSMasterKeyId")?;
        encryption.finish()?;
    }
    properties.boolean("DeletionProtectionEnabled")?;
    properties.ignore(&[
        "ContributorInsightsSpecification",
        "OnDemandThroughput",
        "PointInTimeRecoverySpecification",
        "TableClass",
        "Tags",
    ]);
    properties.finish()?;
    Ok(Table { name: name.to_owned(), create, time_to_live, key })
}

impl Template {
    /// What one resource asks of another: the queue of a mapping must exist, be visible long enough, and so on.
    pub(crate) fn check_references(&self) -> Result<(), TemplateError> {
        for mapping in &self.queue_mappings {
            let path = format!("Resources.{}.Properties.Events", mapping.function);
            let queue = self.queue_at(&mapping.queue, &path)?;
            let timeout = self.functions.get(&mapping.function).map(|function| function.timeout);
            // As CreateEventSourceMapping refuses it.
            if timeout.is_some_and(|timeout| queue.visibility < timeout) {
                let why = format!(
                    "the visibility timeout of {} is shorter than the function's timeout",
                    queue.name
                );
                return Err(TemplateError::at(&path, &why));
            }
        }
        for function in self.functions.values() {
            let path = format!("Resources.{}.Properties", function.name);
            for queue in function.asynchronous.on_failure.iter().chain(&function.asynchronous.dead_letter) {
                self.queue_at(queue, &path)?;
            }
        }
        for schedule in &self.schedules {
            if let Some(queue) = &schedule.dead_letter {
                self.queue_at(queue, &format!("Resources.{}.Properties.Events", schedule.function))?;
            }
        }
        self.check_redrive_targets()?;
        self.check_routes()
    }

    fn queue_at(&self, name: &str, path: &str) -> Result<&Queue, TemplateError> {
        self.queues
            .get(name)
            .ok_or_else(|| TemplateError::at(path, &format!("the queue {name} is not in the template")))
    }

    fn check_redrive_targets(&self) -> Result<(), TemplateError> {
        for queue in self.queues.values() {
            let Some(policy) = queue.attributes.get("RedrivePolicy") else { continue };
            let path = format!("Resources.{}.Properties.RedrivePolicy", queue.name);
            let policy: Value = serde_json::from_str(policy).unwrap_or_default();
            let target = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
            let Some(dead) = self.queues.values().find(|dead| queue_arn(&dead.name) == target) else {
                return Err(TemplateError::at(&path, "deadLetterTargetArn is no queue of the template"));
            };
            let own = queue_arn(&queue.name);
            if dead.redrive_from.as_ref().is_some_and(|sources| !sources.contains(&own)) {
                let why = format!("the RedriveAllowPolicy of {} does not allow it", dead.name);
                return Err(TemplateError::at(&path, &why));
            }
        }
        Ok(())
    }

    fn check_routes(&self) -> Result<(), TemplateError> {
        let key =
            |route: &super::Route| format!("{} {}", route.method.as_deref().unwrap_or("ANY"), route.path);
        let routes: Vec<String> = self.routes.iter().map(key).collect();
        if let Some(unknown) = self.throttled.iter().find(|route| !routes.contains(*route)) {
            // The deployment would fail.
            return Err(TemplateError::at(
                "RouteSettings",
                &format!("{unknown} is no route of the HTTP API"),
            ));
        }
        for (at, route) in self.routes.iter().enumerate() {
            let same = |other: &&super::Route| other.method == route.method && other.path == route.path;
            if let Some(other) = self.routes[..at].iter().find(same) {
                let path = format!("Resources.{}.Properties.Events", route.function);
                let why = format!("{} has the same route as {}", route.path, other.function);
                return Err(TemplateError::at(&path, &why));
            }
        }
        Ok(())
    }
}
