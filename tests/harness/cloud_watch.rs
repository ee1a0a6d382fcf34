//! A stand-in for CloudWatch: it takes in what the stack emits, and says which of the template's alarms are raised.
//!
//! Values come from three places, as on AWS: lines of the log in the embedded metric format, checked against a schema
//! that is written from its specification, and read as AWS's own library writes them (a test compares); lines that a
//! metric filter of the template matches; and AWS's own metrics of queues, functions and the HTTP API, as the local
//! stack knows them at each [look](CloudWatch::look).
//!
//! An alarm is evaluated as "Using Amazon CloudWatch alarms" says: the last `EvaluationPeriods` periods, each with its
//! statistic, or with what `TreatMissingData` makes of it. The last period is the one that is under way.

use std::collections::BTreeMap;

use carteiro_local::{StackUsage, Template};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{Bundle, workspace};

/// A metric: its namespace, name and dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricId {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

impl MetricId {
    /// A metric without dimensions.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions: BTreeMap::new() }
    }

    /// The same with one more dimension.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.dimensions.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The metric that an alarm, or a part of its expression, names.
    fn of(properties: &Value) -> Self {
        let metric = Self::new(text(&properties["Namespace"]), text(&properties["MetricName"]));
        let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
        dimensions.fold(metric, |metric, one| metric.with(text(&one["Name"]), text(&one["Value"])))
    }
}

/// The values of metrics, with their times in milliseconds.
#[derive(Debug)]
pub struct CloudWatch {
    values: BTreeMap<MetricId, Vec<(u64, f64)>>,
    schema: Validator,
    lines: usize,
    usage: StackUsage,
}

impl CloudWatch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let schema = std::fs::read_to_string(workspace().join("tests/fixtures/emf.schema.json"));
        let schema: Value = serde_json::from_str(&schema.expect("the schema is there")).expect("JSON");
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        Self { values: BTreeMap::new(), schema, lines: 0, usage: StackUsage::default() }
    }

    /// Takes in what was emitted since the last look, and what AWS's own metrics are now.
    pub async fn look(&mut self, bundle: &Bundle) {
        let now = bundle.stack.clock().now_ms();
        let lines = bundle.logs.all();
        for (function, line) in lines.iter().skip(self.lines) {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if line.get("_aws").is_some() {
                self.embedded(&line);
            }
            self.filtered(bundle.stack.template(), function, &line, now);
        }
        self.lines = lines.len();
        for queue in bundle.stack.template().queues.keys() {
            let queue = bundle.stack.queues().describe_queue(queue).await.expect("a queue of the template");
            let of_queue = |name| MetricId::new("AWS/SQS", name).with("QueueName", &queue.name);
            let age = queue.oldest_ms.map_or(0, |sent| now.saturating_sub(sent) / 1000);
            self.add(of_queue("ApproximateAgeOfOldestMessage"), now, number(age));
            let visible = u64::try_from(queue.counts.visible).expect("few");
            self.add(of_queue("ApproximateNumberOfMessagesVisible"), now, number(visible));
        }
        self.platform(bundle, now);
    }

    /// The values of a metric so far, oldest first.
    #[must_use]
    pub fn values(&self, metric: &MetricId) -> Vec<f64> {
        self.values.get(metric).into_iter().flatten().map(|(_, value)| *value).collect()
    }

    /// The alarms of a template that are raised at a time.
    #[must_use]
    pub fn raised(&self, template: &Template, now: u64) -> Vec<String> {
        let alarms = template.watching.iter().filter(|(_, one)| one.kind == "AWS::CloudWatch::Alarm");
        let raised = alarms.filter(|(_, alarm)| self.is_raised(&alarm.properties, now));
        raised.map(|(name, _)| name.clone()).collect()
    }

    fn add(&mut self, metric: MetricId, at: u64, value: f64) {
        self.values.entry(metric).or_default().push((at, value));
    }

    /// Takes in a line in the embedded metric format.
    pub fn embedded(&mut self, line: &Value) {
        let errors: Vec<_> = self.schema.iter_errors(line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {line}");
        let at = line["_aws"]["Timestamp"].as_u64().expect("a time");
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().expect("directives") {
            for metric in directive["Metrics"].as_array().expect("metrics") {
                let name = text(&metric["Name"]);
                let values = match &line[name] {
                    Value::Array(values) => values.clone(),
                    value => vec![value.clone()],
                };
                assert!(values.len() <= 100, "{name}: {line}");
                for dimensions in directive["Dimensions"].as_array().expect("sets of dimensions") {
                    let metric = MetricId::new(text(&directive["Namespace"]), name);
                    let names = dimensions.as_array().expect("names").iter().map(text);
                    let metric = names.fold(metric, |metric, name| metric.with(name, text(&line[name])));
                    for value in &values {
                        let value = value.as_f64().unwrap_or_else(|| panic!("{name} has no number: {line}"));
                        self.add(metric.clone(), at, value);
                    }
                }
            }
        }
    }

    /// A line that the template's metric filters may match. They compare one field with a text, or ask for it.
    fn filtered(&mut self, template: &Template, function: &str, line: &Value, now: u64) {
        let group = template.functions.get(function).map(|function| function.log_group.as_str());
        for filter in template.watching.values().filter(|one| one.kind == "AWS::Logs::MetricFilter") {
            let properties = &filter.properties;
            let pattern = text(&properties["FilterPattern"]);
            let parts: Vec<_> = pattern.split_whitespace().collect();
            let &["{", field, "=", wanted, "}"] = parts.as_slice() else {
                panic!("not understood: {pattern}")
            };
            let field = field.strip_prefix("$.").expect("a field");
            let found = &line[field];
            let matches = if wanted == "*" { !found.is_null() } else { *found == wanted.trim_matches('"') };
            if group == properties["LogGroupName"].as_str() && matches {
                for made in properties["MetricTransformations"].as_array().expect("transformations") {
                    let metric = MetricId::new(text(&made["MetricNamespace"]), text(&made["MetricName"]));
                    let value = text(&made["MetricValue"]);
                    let value = match value.strip_prefix("$.") {
                        Some(field) => line[field].as_f64().expect("a number in the line"),
                        None => value.parse().expect("a number"),
                    };
                    self.add(metric, now, value);
                }
            }
        }
    }

    /// AWS's own metrics of the functions and the HTTP API.
    fn platform(&mut self, bundle: &Bundle, now: u64) {
        let usage = bundle.stack.usage();
        for (function, so_far) in &usage.functions {
            let before = self.usage.functions.get(function).copied().unwrap_or_default();
            let counts = [
                ("Invocations", so_far.invocations - before.invocations),
                ("Errors", so_far.errors - before.errors),
                ("Throttles", so_far.throttles - before.throttles),
            ];
            for (name, count) in counts {
                let metric = MetricId::new("AWS/Lambda", name).with("FunctionName", function);
                self.add(metric, now, number(count));
            }
        }
        let errors = usage.api_server_errors - self.usage.api_server_errors;
        let url = &bundle.stack.template().outputs["ApiUrl"];
        let api = url.trim_start_matches("https://").split('.').next().expect("the API's id");
        self.add(MetricId::new("AWS/ApiGateway", "5xx").with("ApiId", api), now, number(errors));
        self.usage = usage;
    }

    /// Whether an alarm of these properties is raised.
    fn is_raised(&self, properties: &Value, now: u64) -> bool {
        let periods = whole(&properties["EvaluationPeriods"]);
        let needed = properties.get("DatapointsToAlarm").map_or(periods, whole);
        let parts = parts(properties);
        let period = whole(&parts[0]["Period"]) * 1000;
        let end = (now / period + 1) * period;
        let begins = (1..=periods).map(|back| end.saturating_sub(back * period));
        let breaching = begins.filter(|begin| {
            let found: Vec<f64> =
                parts.iter().filter_map(|part| self.statistic(part, *begin..*begin + period)).collect();
            // More parts than one are the parts of the expression SUM(METRICS()), which leaves out what is missing.
            let value = (!found.is_empty()).then(|| found.iter().sum());
            is_breaching(properties, value)
        });
        u64::try_from(breaching.count()).expect("few") >= needed
    }

    fn statistic(&self, part: &Value, period: std::ops::Range<u64>) -> Option<f64> {
        let values = self.values.get(&MetricId::of(part))?;
        let values = values.iter().filter(|(at, _)| period.contains(at)).map(|(_, value)| *value);
        match text(&part["Statistic"]) {
            "Maximum" => values.reduce(f64::max),
            "Sum" => values.reduce(|sum, value| sum + value),
            other => panic!("the statistic {other} is not understood"),
        }
    }
}

impl Default for CloudWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// The metrics of an alarm, each with its statistic and period.
#[must_use]
pub fn parts(properties: &Value) -> Vec<Value> {
    let Some(metrics) = properties["Metrics"].as_array() else { return vec![properties.clone()] };
    let (expressions, parts): (Vec<_>, Vec<_>) =
        metrics.iter().partition(|metric| metric.get("Expression").is_some());
    assert_eq!(expressions.len(), 1, "{properties}");
    assert_eq!(
        (&expressions[0]["Expression"], &expressions[0]["ReturnData"]),
        (&json!("SUM(METRICS())"), &json!(true))
    );
    let part = |part: &Value| {
        let stat = &part["MetricStat"];
        let mut metric = stat["Metric"].clone();
        (metric["Statistic"], metric["Period"]) = (stat["Stat"].clone(), stat["Period"].clone());
        metric
    };
    parts.into_iter().map(part).collect()
}

fn is_breaching(properties: &Value, value: Option<f64>) -> bool {
    let Some(value) = value else { return properties["TreatMissingData"] == "breaching" };
    let threshold = number(whole(&properties["Threshold"]));
    match text(&properties["ComparisonOperator"]) {
        "GreaterThanOrEqualToThreshold" => value >= threshold,
        "GreaterThanThreshold" => value > threshold,
        "LessThanThreshold" => value < threshold,
        other => panic!("the comparison {other} is not understood"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A whole number, as such or as text.
fn whole(value: &Value) -> u64 {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn number(value: u64) -> f64 {
    f64::from(u32::try_from(value).expect("a small number"))
}
