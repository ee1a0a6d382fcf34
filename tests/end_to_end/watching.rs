//! Watching: what the functions count, and each of the template's alarms, raised by what it watches for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use carteiro_core::metrics::{Metric, Metrics, quota_name};
use carteiro_local::Template;
use carteiro_networks::network::Network;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::cloud_watch::{CloudWatch, MetricId, parts};
use carteiro_tests::{Bundle, parameters, sqs, tools, workspace};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::networks::connect;

const MINUTE: Duration = Duration::from_secs(60);

/// The parameters of a deployment that is watched.
const WATCHED: [(&str, &str); 2] = [("AlarmEmail", "ops@example.com"), ("Dashboard", "true")];

/// AWS's own metrics that alarms and the dashboard may name.
const OF_AWS: [(&str, &str); 7] = [
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/ApiGateway", "Count"),
    ("AWS/ApiGateway", "5xx"),
    ("Carteiro/carteiro", "Ticks"),
];

/// The deployment's own metric of this name.
fn own(name: &str) -> MetricId {
    MetricId::new("Carteiro/carteiro", name)
}

fn template(own: &[(&str, &str)]) -> Template {
    let path = workspace().join("template.yaml");
    Template::read(&path, &parameters(own.iter().copied()), "http://127.0.0.1:1").expect("it is understood")
}

/// A watched bundle, and what CloudWatch would know of it.
struct Watched {
    bundle: Bundle,
    cloud_watch: CloudWatch,
}

impl Watched {
    async fn start(own: &[(&str, &str)]) -> Self {
        let bundle = Bundle::start_with(WATCHED.into_iter().chain(own.iter().copied())).await;
        Self::of(bundle)
    }

    fn of(bundle: Bundle) -> Self {
        Self { bundle, cloud_watch: CloudWatch::new() }
    }

    /// The alarms that are raised now, but that of a tick that does not come, where no tick is wanted.
    async fn raised(&mut self) -> Vec<String> {
        let mut raised = self.all_raised().await;
        raised.retain(|alarm| alarm != "NoTickAlarm");
        raised
    }

    async fn all_raised(&mut self) -> Vec<String> {
        self.cloud_watch.look(&self.bundle).await;
        let stack = &self.bundle.stack;
        self.cloud_watch.raised(stack.template(), stack.clock().now_ms())
    }

    /// Lets time pass with a look in each period, whatever is in flight.
    async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs().div_ceil(300) {
            self.bundle.stack.clock().advance(MINUTE * 5);
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.cloud_watch.look(&self.bundle).await;
        }
    }

    /// Puts something into a queue that no function can read.
    async fn put_junk(&self, queue: &str) {
        let url = format!("{}/000000000000/{queue}", self.bundle.stack.addresses().sqs);
        sqs::call(&self.bundle, "SendMessage", &json!({"QueueUrl": url, "MessageBody": "junk"})).await;
    }

    fn sum(&self, name: &str) -> f64 {
        self.cloud_watch.values(&own(name)).iter().sum()
    }
}

#[tokio::test]
async fn a_tick_that_does_not_come_raises_an_alarm() {
    let mut watched = Watched::start(&[]).await;
    watched.bundle.tick().await;
    assert_eq!(watched.all_raised().await, [""; 0], "there was a tick");
    watched.pass(MINUTE * 15).await;
    assert_eq!(watched.all_raised().await, [""; 0], "one tick may be late");
    watched.pass(MINUTE * 20).await;
    assert_eq!(watched.all_raised().await, ["NoTickAlarm"]);
    watched.bundle.tick().await;
    assert_eq!(watched.all_raised().await, [""; 0], "they go on");
    watched.bundle.stop().await;
}

#[tokio::test]
async fn messages_that_wait_too_long_raise_an_alarm_each() {
    let mut watched = Watched::start(&[]).await;
    for queue in ["DeliverQueue", "SlowQueue", "WorkQueue", "PollQueue"] {
        watched.put_junk(queue).await;
    }
    let mut first_raised = BTreeMap::new();
    for minutes in (0..80_u64).step_by(5) {
        for alarm in watched.raised().await {
            first_raised.entry(alarm).or_insert(minutes);
        }
        watched.pass(MINUTE * 5).await;
    }
    // In two periods of five minutes, one after the other, the age was passed.
    let ages = [
        ("DeliverQueueAgeAlarm", 20),
        ("PollQueueAgeAlarm", 15),
        ("SlowQueueAgeAlarm", 60),
        ("WorkQueueAgeAlarm", 30),
    ];
    let is_in_time = |(alarm, age): &(&str, u64)| {
        first_raised.get(*alarm).is_some_and(|at| (age + 5..=age + 10).contains(at))
    };
    assert!(ages.iter().all(is_in_time) && first_raised.len() == 4, "{first_raised:?}");
    watched.bundle.stop().await;
}

#[tokio::test]
async fn a_message_in_a_dead_queue_raises_its_alarm() {
    let mut watched = Watched::start(&[]).await;
    assert_eq!(watched.raised().await, [""; 0]);
    for queue in ["DeliverDeadQueue", "WorkDeadQueue", "TickDeadQueue"] {
        watched.put_junk(queue).await;
    }
    let expected = ["DeliverDeadQueueAlarm", "TickDeadQueueAlarm", "WorkDeadQueueAlarm"];
    assert_eq!(watched.raised().await, expected);
    watched.bundle.stop().await;
}

#[tokio::test]
async fn items_that_die_raise_an_alarm_and_are_told_by_account() {
    let mut watched = Watched::start(&[("RetentionDays", "1")]).await;
    let account = watched.bundle.account().await;
    let url = watched.bundle.receiver.url("/w");
    let settings = json!({"url": url, "items": ["event"], "enabled": false});
    let webhook = watched.bundle.webhook_with(&account, settings).await;
    let item = watched.bundle.send(&account, "/bots/b/events", "{}").await;
    watched.bundle.until_rest().await;
    assert_eq!(watched.raised().await, [""; 0]);
    assert_eq!((watched.sum("Held"), watched.sum("Dead")), (1.0, 0.0));
    watched.bundle.advance(MINUTE * 60 * 25).await;
    watched.bundle.tick().await;
    watched.bundle.until_rest().await;
    assert_eq!(watched.raised().await, ["DeadItemsAlarm"]);
    assert_eq!(watched.sum("Dead"), 1.0);
    let lines = watched.bundle.logs.of("CollectFunction");
    let dead = lines.iter().find(|line| line.contains("\"delivery.dead\"")).expect("it is in the log");
    let dead: Value = serde_json::from_str(dead).unwrap();
    let told =
        ["account", "webhook", "item", "item_type", "cause"].map(|field| dead[field].as_str().unwrap());
    assert_eq!(told, [&account.id, &webhook.id, &item, "event", "retention_over"]);
    watched.bundle.stop().await;
}

#[tokio::test]
async fn a_function_that_fails_raises_an_alarm() {
    let mut watched = Watched::start(&[]).await;
    assert_eq!(watched.raised().await, [""; 0]);
    let event = Bytes::from_static(br#"{"scheduled_at":"soon"}"#);
    let invoked = watched.bundle.stack.invoke("CollectFunction", event).await.unwrap();
    assert!(invoked.function_error);
    assert_eq!(watched.raised().await, ["FunctionErrorsAlarm"]);
    watched.bundle.stop().await;
}

#[tokio::test]
async fn throttles_and_5xx_raise_an_alarm_each() {
    let none_may_run = |template: &str| {
        let reserved = "!If [ReserveManage, !Ref ManageReservedConcurrency, !Ref AWS::NoValue]";
        assert!(template.contains(reserved));
        template.replace(reserved, "0")
    };
    let mut watched = Watched::of(Bundle::start_edited(WATCHED, none_may_run).await);
    let ask = async |watched: &Watched, times: usize| {
        for _ in 0..times {
            assert_eq!(watched.bundle.client.get("/openapi.json", "").await.status, 503);
        }
    };
    ask(&watched, 4).await;
    assert_eq!(watched.raised().await, [""; 0], "a few are no matter");
    ask(&watched, 1).await;
    assert_eq!(watched.raised().await, ["ApiErrorsAlarm"]);
    for _ in 0..2 {
        watched.pass(MINUTE * 5).await;
        ask(&watched, 1).await;
        watched.cloud_watch.look(&watched.bundle).await;
    }
    assert_eq!(watched.raised().await, ["FunctionThrottlesAlarm"], "in three periods");
    watched.bundle.halt().await;
}

#[tokio::test]
async fn a_fault_that_only_the_operator_can_mend_raises_an_alarm() {
    let mut watched = Watched::start(&[]).await;
    let account = watched.bundle.account().await;
    connect(&watched.bundle, &account, "x", "2244").await;
    let refusal = json!({
        "type": "https://api.twitter.com/2/problems/credits", "title": "CreditsDepleted", "status": 402,
    });
    let fault = carteiro_fake_networks::Fault::Answer { status: 402, body: refusal.to_string() };
    watched.bundle.networks.fault(Network::X, fault.always());
    assert_eq!(watched.raised().await, [""; 0]);
    watched.bundle.tick().await;
    watched.bundle.until_rest().await;
    assert_eq!(watched.raised().await, ["OurFaultAlarm"]);
    assert_eq!((watched.sum("OperatorFaults"), watched.sum("PagesPolled")), (1.0, 1.0));
    assert!(!watched.cloud_watch.values(&own("QuotaLeft.x")).is_empty());
    watched.bundle.stop().await;
}

#[tokio::test]
async fn a_batch_has_one_line_and_its_counts_are_what_happened() {
    let mut watched = Watched::start(&[("FailureThreshold", "20")]).await;
    let bundle = &watched.bundle;
    let account = bundle.account().await;
    bundle.webhook(&account, "/good", &["event"]).await;
    bundle.webhook(&account, "/bad", &["contact"]).await;
    bundle.receiver.set_behaviour("/bad", Behaviour::from(Answer::status(StatusCode::BAD_GATEWAY)));
    bundle.send_many(&account, "event", 200).await;
    bundle.send_many(&account, "contact", 30).await;
    bundle.until_rest().await;
    let requests = bundle.receiver.count("/bad");
    let lines: Vec<Value> =
        bundle.logs.of("DeliverFunction").iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["message"] == event).collect::<Vec<_>>();
    let batches = of("batch.settled");
    assert!(of("attempt.finished").is_empty(), "a line for each attempt is for the level DEBUG");
    assert_eq!(batches.iter().map(|line| line["deliveries"].as_u64().unwrap()).sum::<u64>(), 230);
    let failed = of("attempts.failed");
    assert_eq!(failed.iter().map(|line| line["failed"].as_u64().unwrap()).sum::<u64>(), requests);
    assert!(failed.len() <= batches.len(), "one for each webhook of a batch");
    // The sizes by which docs/operations.md states the price.
    let healthy =
        batches.iter().filter(|line| line.get("FailedStatus").is_none() && line.get("Delivered").is_some());
    let bytes: Vec<_> =
        healthy.map(|line| (line.to_string().len() as u64, line["deliveries"].as_u64().unwrap())).collect();
    let is_short = |(bytes, deliveries): &(u64, u64)| *bytes <= 360 + 4 * deliveries;
    assert!(!bytes.is_empty() && bytes.iter().all(is_short), "{bytes:?}");
    let ingest = bundle.logs.of("IngestFunction");
    let longest = |event: &str| ingest.iter().filter(|line| line.contains(event)).map(String::len).max();
    let (answered, accepted) = (longest("request.answered"), longest("items.accepted"));
    assert!(answered.is_some_and(|bytes| bytes <= 220), "{answered:?}");
    assert!(accepted.is_some_and(|bytes| bytes <= 200 + 200 * 38), "{accepted:?}");
    let first = failed[0];
    assert_eq!((&first["outcome"], &first["status"]), (&json!("status"), &json!(502)), "{first}");
    let ids = first["items"].as_str().unwrap().split(' ').filter(|id| id.starts_with("item_")).count();
    assert_eq!(ids as u64, first["failed"].as_u64().unwrap());
    watched.cloud_watch.look(&watched.bundle).await;
    let sums = ["Accepted", "Delivered", "FailedStatus", "BlocksBegun", "Dead"].map(|name| watched.sum(name));
    assert_eq!(sums, [230.0, 200.0, requests as f64, 1.0, 0.0]);
    let waits = watched.cloud_watch.values(&own("FirstAttemptSeconds"));
    assert_eq!(waits.len() as u64, 200 + requests, "no retry is among them");
    watched.bundle.stop().await;
}

#[tokio::test]
async fn a_deployment_with_nothing_to_do_has_no_metric() {
    let bundle = Bundle::start().await;
    // A filter costs nothing; an alarm and a dashboard would.
    let watching = &bundle.stack.template().watching;
    assert!(watching.values().all(|one| one.kind == "AWS::Logs::MetricFilter"), "{watching:#?}");
    bundle.tick().await;
    bundle.until_rest().await;
    let lines = bundle.logs.all();
    assert!(lines.iter().any(|(_, line)| line.contains("tick.planned")));
    let counts = |line: &str| line.contains("_aws") || line.contains("Accepted");
    assert!(!lines.iter().any(|(_, line)| counts(line)), "{lines:#?}");
    bundle.stop().await;
}

/// What AWS's library for Node.js writes to the log of metrics: an object of lists of values.
const AWS_EMITTER: &str = r#"
const logger = require("aws-embedded-metrics").createMetricsLogger();
logger.setNamespace("Carteiro/carteiro");
logger.setDimensions({});
for (const [name, values] of Object.entries(JSON.parse(process.argv[1])))
  for (const value of values) logger.putMetric(name, value);
logger.flush();
"#;

/// Some values of each metric that has a place in a line.
fn one_of_each() -> (Metrics, BTreeMap<String, Vec<u64>>) {
    let (mut metrics, mut values) = (Metrics::new(), BTreeMap::new());
    for (metric, count) in Metric::ALL.into_iter().filter(|metric| !metric.is_filtered()).zip(1..) {
        let of_metric = if metric.as_str().ends_with("Seconds") {
            (0..=count).inspect(|seconds| metrics.took(metric, *seconds)).collect()
        } else {
            metrics.add(metric, count);
            vec![count]
        };
        values.insert(metric.as_str().to_owned(), of_metric);
    }
    for (network, percent) in Network::ALL.into_iter().zip(10..) {
        metrics.quota_left(network.as_str(), percent);
        values.insert(quota_name(network.as_str()), vec![percent]);
    }
    (metrics, values)
}

/// CloudWatch's own reader can be had nowhere. AWS's library can; a line of ours is what it writes for the same values,
/// but for the order, and for the unit that it names where none was given.
#[test]
fn a_metric_line_says_what_awss_own_library_would() {
    let Some(mut node) = tools::node_with("aws-embedded-metrics") else { return };
    let (metrics, given) = one_of_each();
    let ours = metrics.line("Carteiro/carteiro", Timestamp::UNIX_EPOCH, "batch.settled", &[]);
    let given_json = serde_json::to_string(&given).unwrap();
    let output =
        node.env("AWS_EMF_ENVIRONMENT", "Local").args(["-e", AWS_EMITTER, &given_json]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = String::from_utf8(output.stdout).unwrap();
    let [ours, theirs] =
        [ours, theirs].map(|line| serde_json::from_str::<Value>(&line).expect("one line of JSON"));

    let metrics_of = |line: &Value| {
        let [directive] = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().as_slice() else {
            panic!("{line}")
        };
        let names =
            directive["Metrics"].as_array().unwrap().iter().map(|metric| metric["Name"].clone().to_string());
        let members = given.keys().map(|name| (name.clone(), line[name].clone())).collect::<BTreeMap<_, _>>();
        let shared = (directive["Namespace"].clone(), directive["Dimensions"].clone());
        (names.collect::<BTreeSet<_>>(), members, shared)
    };
    assert_eq!(metrics_of(&ours), metrics_of(&theirs));
    for line in [ours, theirs] {
        let mut read = CloudWatch::new();
        read.embedded(&line);
        for (name, values) in &given {
            let values: Vec<_> = values.iter().map(|value| *value as f64).collect();
            assert_eq!(read.values(&own(name)), values, "{name}: {line}");
        }
    }
}

/// The metrics of the dashboard's widgets: namespace and name.
fn shown(template: &Template) -> BTreeSet<(String, String)> {
    let body = template.watching["MailDashboard"].properties["DashboardBody"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).expect("the dashboard is JSON");
    let widgets = body["widgets"].as_array().unwrap();
    let metrics = widgets.iter().filter_map(|widget| widget["properties"]["metrics"].as_array()).flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metrics.map(|metric| (text(&metric[0]), text(&metric[1]))).collect()
}

#[test]
fn alarms_and_dashboard_name_metrics_that_there_are() {
    let template = template(&WATCHED);
    let namespace = &template.functions["DeliverFunction"].environment["METRICS_NAMESPACE"];
    let of_ours = Metric::ALL.map(|metric| metric.as_str().to_owned()).into_iter();
    let limited = Network::ALL.into_iter().filter(|network| !network.spec().limits.is_empty());
    let quotas = limited.map(|network| quota_name(network.as_str()));
    let known: BTreeSet<_> = of_ours
        .chain(quotas)
        .map(|name| (namespace.clone(), name))
        .chain(OF_AWS.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())))
        .collect();
    let shown = shown(&template);
    let alarms = template.watching.values().filter(|one| one.kind == "AWS::CloudWatch::Alarm");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let watched = alarms.flat_map(|alarm| parts(&alarm.properties));
    let watched: BTreeSet<_> =
        watched.map(|part| (text(&part["Namespace"]), text(&part["MetricName"]))).collect();
    let unknown: Vec<_> = watched.union(&shown).filter(|metric| !known.contains(metric)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let ours = known.iter().filter(|(of, name)| of == namespace && name != "Ticks");
    let hidden: Vec<_> = ours.filter(|metric| !shown.contains(metric)).collect();
    assert!(hidden.is_empty(), "nobody sees {hidden:?}");
}

#[test]
fn saved_queries_name_events_that_are_logged() {
    let template = template(&WATCHED);
    let queries = template.watching.values().filter(|one| one.kind == "AWS::Logs::QueryDefinition");
    let queries: Vec<_> = queries.map(|one| one.properties["QueryString"].as_str().unwrap()).collect();
    assert_eq!(queries.len(), 7);
    let quoted = queries.iter().flat_map(|query| query.split('"').skip(1).step_by(2));
    let named: BTreeSet<_> = quoted.filter(|text| text.contains('.')).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !crate::log_events::is_event(name)).collect();
    assert!(unknown.is_empty() && named.len() > 5, "{unknown:?} of {named:?}");
}

/// What GitHub makes of a heading as the name of its place.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[test]
fn each_resource_that_the_runbook_asks_for_exists() {
    let runbook = std::fs::read_to_string(workspace().join("docs/runbook.md")).unwrap();
    let template = std::fs::read_to_string(workspace().join("template.yaml")).unwrap();
    let asked = runbook.split("$(id ").skip(1).filter_map(|rest| rest.split(')').next());
    let asked: BTreeSet<_> = asked.filter(|name| !name.starts_with('$')).collect();
    assert!(asked.contains("FunctionErrorsAlarm"), "{asked:?}");
    // SAM names what it makes of a function's event by both.
    let is_event = |name: &str| {
        let event = name.split_once("Function").map_or("", |(_, event)| event);
        !event.is_empty() && template.contains(&format!("\n        {event}:\n"))
    };
    let is_known = |name: &str| template.contains(&format!("\n  {name}:\n")) || is_event(name);
    let unknown: Vec<_> = asked.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn each_alarm_has_its_section_of_the_runbook() {
    let template = template(&WATCHED);
    let alarms = template.watching.iter().filter(|(_, one)| one.kind == "AWS::CloudWatch::Alarm");
    let place = |properties: &Value| {
        let description = properties["AlarmDescription"].as_str().unwrap();
        description.rsplit_once("docs/runbook.md#").expect("it names the runbook").1.to_owned()
    };
    let wanted: BTreeMap<_, _> =
        alarms.map(|(name, alarm)| (name.clone(), place(&alarm.properties))).collect();
    let runbook = std::fs::read_to_string(workspace().join("docs/runbook.md")).unwrap();
    let (_, rest) = runbook.split_once("\n## Alarms\n").expect("a section on alarms");
    let of_alarms = rest.split("\n## ").next().unwrap();
    let sections = of_alarms.split("\n### ").skip(1).map(|section| {
        let (heading, text) = section.split_once('\n').unwrap();
        let (_, name) = text.split_once("`").expect("a section names its alarm");
        (name.split('`').next().unwrap().to_owned(), anchor(heading))
    });
    assert_eq!(sections.collect::<BTreeMap<_, _>>(), wanted, "alarms with their sections");
}
