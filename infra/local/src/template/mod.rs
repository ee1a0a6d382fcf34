//! The template: parsed, evaluated and checked into a model of what the bundle uses.
//!
//! **Strict.** A section, resource type, property, event type, intrinsic function or value that is not understood is an
//! error that names its path; nothing is guessed. These are read (their references must hold) and mean nothing on one
//! machine: descriptions, tags, encryption, point-in-time recovery, deletion and update policies, log groups, keys,
//! alarms and their topics, dashboards, metric filters, saved queries, domains, traces, aliases and gradual deployments
//! (one version runs here), `Architectures`, `CodeUri`, `RecursiveLoop` (loops are not detected here), throttling
//! settings of the HTTP API (nothing is throttled by rate), custom resources (nothing is deployed here), and of
//! policies what is not on tables, queues, keys or logs. `Rules` are evaluated: they refuse the same values of
//! parameters as at a deployment. The pattern of a `NoEcho` parameter is not held against its value. A parameter whose
//! value is in the Parameter Store must be given its value.
//!
//! Tables, queues and functions are named by their logical ids.

mod evaluate;
mod events;
mod function;
mod model;
mod parameters;
mod policy;
mod properties;
mod resources;
mod rules;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use evaluate::{Scope, scalar_text};
pub use model::{Asynchronous, Function, Queue, QueueMapping, Route, Schedule, Table, Template, Watching};
pub(crate) use model::{function_arn, queue_arn, table_arn};
pub(crate) use parameters::{ACCOUNT, REGION};
pub use policy::Grant;
pub(crate) use policy::{Access, Policy};
use yaml::Node;

/// What is wrong with a template or its parameters.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is not YAML.
    #[error("not a YAML template: {0}")]
    Yaml(String),
    /// Something in it is wrong or not understood.
    #[error("{path}: {why}")]
    At {
        /// Where in the template.
        path: String,
        /// What.
        why: String,
    },
    /// A value was given for a parameter that the template does not declare.
    #[error("the template has no parameter {0}")]
    UnknownParameter(String),
    /// A parameter without default was not given.
    #[error("parameter {0} has no default and must be given")]
    MissingParameter(String),
    /// A parameter's value is not allowed.
    #[error("parameter {name} {why}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong with its value (which is not repeated: it may be a secret).
        why: String,
    },
    /// The parameters together break a rule.
    #[error("rule {name}: {why}")]
    Rule {
        /// The rule.
        name: String,
        /// What it asserts.
        why: String,
    },
}

impl TemplateError {
    pub(crate) fn at(path: &str, why: &str) -> Self {
        Self::At { path: path.to_owned(), why: why.to_owned() }
    }
}

impl Template {
    /// Reads the template in the file at `path`. Queue URLs begin with `sqs`, such as `http://127.0.0.1:3003`.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Template::parse`].
    pub fn read(
        path: &Path,
        parameters: &BTreeMap<String, String>,
        sqs: &str,
    ) -> Result<Self, TemplateError> {
        Self::parse(&read_file(path)?, parameters, sqs)
    }

    /// Whether a template's file declares a parameter.
    ///
    /// # Errors
    /// When it cannot be read, or is not YAML.
    pub fn declares(path: &Path, parameter: &str) -> Result<bool, TemplateError> {
        let root = yaml::parse(&read_file(path)?)?;
        Ok(root.get("Parameters").and_then(|parameters| parameters.get(parameter)).is_some())
    }

    /// Reads a template from its text.
    ///
    /// # Errors
    /// When it is not YAML, has something that is not understood, refers to what does not exist, or when a parameter
    /// is unknown, missing or not allowed.
    pub fn parse(
        text: &str,
        parameters: &BTreeMap<String, String>,
        sqs: &str,
    ) -> Result<Self, TemplateError> {
        let root = yaml::parse(text)?;
        check_sections(&root)?;
        let mut scope = Scope {
            parameters: parameters::resolve(root.get("Parameters"), parameters)?,
            mappings: root.get("Mappings").cloned(),
            ..Scope::default()
        };
        if let Some(conditions) = root.get("Conditions") {
            for (name, node) in entries(conditions, "Conditions")? {
                let holds = scope.condition(node, &format!("Conditions.{name}"))?;
                scope.conditions.insert(name.clone(), holds);
            }
        }
        rules::check(root.get("Rules"), &scope)?;
        let resources = root.get("Resources").ok_or_else(|| TemplateError::at("Resources", "is required"))?;
        let resources = resources::declared(entries(resources, "Resources")?, &scope, sqs)?;
        scope.resources = resources.iter().flat_map(resources::Declared::referable).collect();
        let globals = globals(root.get("Globals"), &scope)?;
        let mut template = Self::default();
        let mut roles = BTreeMap::new();
        for resource in &resources {
            resource.read(&scope, &globals, &mut template, &mut roles)?;
        }
        template.check_references()?;
        template.grant(&roles)?;
        template.outputs = outputs(root.get("Outputs"), &scope)?;
        Ok(template)
    }
}

fn read_file(path: &Path) -> Result<String, TemplateError> {
    std::fs::read_to_string(path).map_err(|error| TemplateError::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

fn check_sections(root: &Node) -> Result<(), TemplateError> {
    for (name, node) in entries(root, "template")? {
        match (name.as_str(), node) {
            (
                "AWSTemplateFormatVersion"
                | "Conditions"
                | "Description"
                | "Globals"
                | "Mappings"
                | "Metadata"
                | "Outputs"
                | "Parameters"
                | "Resources"
                | "Rules",
                _,
            ) => {}
            ("Transform", Node::Text(transform)) if transform == "AWS::Serverless-2016-10-31" => {}
            ("Transform", _) => {
                return Err(TemplateError::at(name, "only AWS::Serverless-2016-10-31 is understood"));
            }
            _ => return Err(TemplateError::at(name, "this section is not understood")),
        }
    }
    Ok(())
}

fn entries<'a>(node: &'a Node, path: &str) -> Result<&'a [(String, Node)], TemplateError> {
    match node {
        Node::Map(entries) => Ok(entries),
        _ => Err(TemplateError::at(path, "expected a map")),
    }
}

/// The properties that every function shares. Only `Function` is understood among the globals.
fn globals(node: Option<&Node>, scope: &Scope) -> Result<Value, TemplateError> {
    let none = Value::Object(serde_json::Map::new());
    let Some(node) = node else { return Ok(none) };
    let mut function = none;
    for (name, node) in entries(node, "Globals")? {
        let path = format!("Globals.{name}");
        if name != "Function" {
            return Err(TemplateError::at(&path, "these globals are not understood"));
        }
        function = scope.value(node, &path)?.ok_or_else(|| TemplateError::at(&path, "expected a map"))?;
    }
    Ok(function)
}

fn outputs(node: Option<&Node>, scope: &Scope) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut outputs = BTreeMap::new();
    let Some(node) = node else { return Ok(outputs) };
    for (name, node) in entries(node, "Outputs")? {
        let path = format!("Outputs.{name}");
        if let Some(condition) = node.get("Condition") {
            let Node::Text(condition) = condition else {
                return Err(TemplateError::at(&path, "Condition is not a name"));
            };
            if !scope.named_condition(condition, &path)? {
                continue;
            }
        }
        let value = node.get("Value").ok_or_else(|| TemplateError::at(&path, "Value is required"))?;
        let path = format!("{path}.Value");
        let value = scope.value(value, &path)?.ok_or_else(|| TemplateError::at(&path, "has no value"))?;
        outputs.insert(name.clone(), scalar_text(&value, &path)?);
    }
    Ok(outputs)
}
