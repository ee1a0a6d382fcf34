//! The operator's metrics: a few numbers about the whole deployment, and none about one account, webhook or item.
//!
//! An invocation counts into [`Metrics`], which renders one line of its log in CloudWatch's embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>):
//! a JSON object whose member `_aws` names the metrics among the other members. CloudWatch takes them from there.
//!
//! Each metric costs money by the hours in which it has a value. So only what was counted is in a line, and a
//! deployment with nothing to do has no metric. The namespace is the stack's own, and no metric has a dimension.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The most values of one metric in a line, by the format.
const MAX_VALUES: usize = 100;

crate::named! {
    /// A metric. What is left of networks' quotas has a metric for each network beside these.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Metric {
        /// Items of bots that were accepted.
        Accepted = "Accepted",
        /// Entries of pushes that are new in the inbox.
        Pushed = "Pushed",
        /// Deliveries that arrived.
        Delivered = "Delivered",
        /// Attempts that were answered with another status than a 2xx.
        FailedStatus = "FailedStatus",
        /// Attempts that got no whole answer: a time-out, no name, no connection, no TLS, no HTTP.
        FailedNoAnswer = "FailedNoAnswer",
        /// Attempts that were not made because the address is forbidden.
        FailedForbidden = "FailedForbidden",
        /// Deliveries that became held rows.
        Held = "Held",
        /// Deliveries that died.
        Dead = "Dead",
        /// Blocks that began.
        BlocksBegun = "BlocksBegun",
        /// Blocks that ended, by their time or by their owner.
        BlocksEnded = "BlocksEnded",
        /// From an item's acceptance to the end of its first attempt.
        FirstAttemptSeconds = "FirstAttemptSeconds",
        /// Polls of pages.
        PagesPolled = "PagesPolled",
        /// Things that polls found and that were not in the inbox.
        ThingsFound = "ThingsFound",
        /// From a thing's publication on its network to the queue of deliveries.
        CollectedSeconds = "CollectedSeconds",
        /// Calls that a network did not answer.
        NetworkNoAnswer = "NetworkNoAnswer",
        /// Pages' tokens that were found expired or revoked.
        TokensDead = "TokensDead",
        /// Faults at a network that only the operator can mend, when one begins and once a day while it lasts.
        OperatorFaults = "OperatorFaults",
        /// Alerts that were sent to people.
        AlertsSent = "AlertsSent",
        /// Tries to send people an alert or a code that failed.
        AlertsFailed = "AlertsFailed",
    }
}

impl Metric {
    /// Whether a metric filter of the template takes it from the line, by its name. A line is paid by its bytes, and
    /// with one item a request, to name the metric too would be as much as all the rest of the line.
    #[must_use]
    pub fn is_filtered(self) -> bool {
        self == Self::Accepted
    }
}

/// The metric of what is left of a network's quota, in per cent.
#[must_use]
pub fn quota_name(network: &str) -> String {
    format!("QuotaLeft.{network}")
}

/// What was counted since the last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    counts: BTreeMap<Metric, u64>,
    durations: BTreeMap<Metric, Vec<u64>>,
    quotas: BTreeMap<&'static str, u64>,
}

impl Metrics {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: BTreeMap::new(), durations: BTreeMap::new(), quotas: BTreeMap::new() }
    }

    /// Counts this many more. Nothing more is no count.
    pub fn add(&mut self, metric: Metric, more: u64) {
        if more > 0 {
            let count = self.counts.entry(metric).or_default();
            *count = count.saturating_add(more);
        }
    }

    /// Notes a duration. A line has the first hundred of a metric.
    pub fn took(&mut self, metric: Metric, seconds: u64) {
        let values = self.durations.entry(metric).or_default();
        if values.len() < MAX_VALUES {
            values.push(seconds);
        }
    }

    /// Notes what is left of a network's quota, in per cent. A line has the least.
    pub fn quota_left(&mut self, network: &'static str, percent: u64) {
        let least = self.quotas.entry(network).or_insert(percent);
        *least = percent.min(*least);
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::new()
    }

    /// A line of the log: the event's time, name and fields but for those that are null, and the metrics, if any.
    #[must_use]
    pub fn line(&self, namespace: &str, now: Timestamp, event: &str, fields: &[(&str, Value)]) -> String {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), json!(format!("{now:.3}")));
        line.insert("level".to_owned(), json!("INFO"));
        line.insert("message".to_owned(), json!(event));
        let given = fields.iter().filter(|(_, value)| !value.is_null());
        line.extend(given.map(|(name, value)| ((*name).to_owned(), value.clone())));
        let filtered = self.counts.iter().filter(|(metric, _)| metric.is_filtered());
        line.extend(filtered.map(|(metric, count)| (metric.as_str().to_owned(), json!(count))));
        let values = self.values();
        if !values.is_empty() {
            let metrics: Vec<_> = values.iter().map(|(name, _)| json!({"Name": name})).collect();
            let directive = json!({"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics});
            let metadata = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]});
            line.insert("_aws".to_owned(), metadata);
            line.extend(values);
        }
        Value::Object(line).to_string()
    }

    /// What the line names as metrics.
    fn values(&self) -> Vec<(String, Value)> {
        let counts = self.counts.iter().filter(|(metric, _)| !metric.is_filtered());
        let counts = counts.map(|(metric, count)| (metric.as_str().to_owned(), json!(count)));
        let durations =
            self.durations.iter().map(|(metric, values)| (metric.as_str().to_owned(), json!(values)));
        let quotas = self.quotas.iter().map(|(network, percent)| (quota_name(network), json!(percent)));
        counts.chain(durations).chain(quotas).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(metrics: &Metrics) -> Value {
        let now = Timestamp::from_millisecond(1_795_000_000_120).unwrap();
        let line = metrics.line("Carteiro/one", now, "batch.settled", &[("lane", json!("usual"))]);
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_names_what_was_counted_and_nothing_else() {
        let mut metrics = Metrics::new();
        metrics.add(Metric::Delivered, 7);
        metrics.add(Metric::Delivered, 3);
        metrics.add(Metric::Dead, 0);
        metrics.took(Metric::FirstAttemptSeconds, 2);
        metrics.took(Metric::FirstAttemptSeconds, 1);
        metrics.quota_left("x", 40);
        metrics.quota_left("x", 60);
        let names = ["Delivered", "FirstAttemptSeconds", "QuotaLeft.x"].map(|name| json!({"Name": name}));
        let expected = json!({
            "timestamp": "2026-11-18T11:06:40.120Z",
            "level": "INFO",
            "message": "batch.settled",
            "lane": "usual",
            "_aws": {"Timestamp": 1_795_000_000_120_i64, "CloudWatchMetrics": [
                {"Namespace": "Carteiro/one", "Dimensions": [[]], "Metrics": names},
            ]},
            "Delivered": 10,
            "FirstAttemptSeconds": [2, 1],
            "QuotaLeft.x": 40,
        });
        assert_eq!(line(&metrics), expected);
    }

    #[test]
    fn a_line_without_counts_has_no_metrics() {
        let mut metrics = Metrics::new();
        metrics.add(Metric::Dead, 0);
        assert!(metrics.is_empty());
        assert_eq!(line(&metrics).get("_aws"), None);
    }

    #[test]
    fn what_a_filter_takes_is_in_the_line_and_not_named() {
        let mut metrics = Metrics::new();
        metrics.add(Metric::Accepted, 3);
        let line = line(&metrics);
        assert_eq!((line.get("_aws"), &line["Accepted"]), (None, &json!(3)));
    }

    #[test]
    fn a_line_has_at_most_a_hundred_values_of_a_metric() {
        let mut metrics = Metrics::new();
        (0..150).for_each(|second| metrics.took(Metric::CollectedSeconds, second));
        assert_eq!(line(&metrics)["CollectedSeconds"].as_array().unwrap().len(), MAX_VALUES);
    }

    #[test]
    fn each_metric_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
