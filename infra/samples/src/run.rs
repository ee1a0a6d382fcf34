//! A run: pages are connected, samples sent, brought in and counted, and sent again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use carteiro_core::id::PageId;
use carteiro_networks::collected::Kind;
use carteiro_networks::network::Network;
use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::calls::{Addresses, Answer, CallError, Stack};
use crate::expectation::{self, Expectation, Pages};
use crate::folder::Sample;
use crate::rebatch::rebatched;
use crate::report::{Report, Row};
use crate::{schema, signing};

/// Within what a push is to be answered.
const ANSWER_BOUND: Duration = Duration::from_secs(1);

/// How long nothing new arrives before a run believes that nothing more does.
const SETTLED: Duration = Duration::from_secs(3);

/// How long a run waits for all that it expects, beyond what is counted for each item.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The secrets that pushes are signed with.
#[derive(Clone)]
pub struct Secrets {
    /// Meta's app secret.
    pub meta: String,
    /// X's consumer secret.
    pub x: String,
    /// The client secret of the app at LinkedIn.
    pub linkedin: String,
    /// The secret of which those of YouTube's channels are derived.
    pub youtube: String,
}

impl Secrets {
    fn of(&self, route: Network) -> &str {
        match route {
            Network::X => &self.x,
            Network::Linkedin => &self.linkedin,
            Network::Youtube => &self.youtube,
            _ => &self.meta,
        }
    }
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The published schema is none.
    #[error("the schema of collected items is no JSON Schema: {0}")]
    Schema(String),
}

/// Sends samples through a stack, and reports what became of each.
///
/// # Errors
/// Where the stack does not do what a run needs: make an account, connect pages, run a tick.
pub async fn run(
    addresses: Addresses,
    secrets: &Secrets,
    samples: &[Sample],
    no_pushes: Vec<String>,
) -> Result<Report, RunError> {
    let validator = schema::validator().map_err(RunError::Schema)?;
    let stack = Stack::new(addresses);
    let run = Run::prepare(&stack, secrets, samples).await?;
    let expectations = expectation::of_all(samples, &run.pages);
    let mut report = Report { no_pushes, ..Report::default() };
    let mut seen = BTreeSet::new();
    for (sample, expectation) in samples.iter().zip(&expectations) {
        report.rows.push(run.send_first(sample, expectation, &mut seen).await?);
    }
    run.count_stored(&expectations, &mut report.rows).await?;
    stack.tick().await?;
    let arrived = run.wait_for(&complete(&expectations)).await?;
    judge(&expectations, &arrived, &validator, &mut report);
    report.repeats = run.repeat(samples, &mut report.faults).await?;
    stack.tick().await?;
    let again = run.settled().await?;
    for (id, bodies) in &again {
        let before = arrived.get(id).map_or(0, Vec::len);
        if bodies.len() > before {
            report.faults.push(format!("repeats made {id} arrive {} times more", bodies.len() - before));
        }
    }
    Ok(report)
}

/// What arrived: bodies by the item's id.
type Arrived = HashMap<String, Vec<String>>;

struct Run<'a> {
    stack: &'a Stack,
    secrets: &'a Secrets,
    pages: Pages,
    /// The receiver's path that takes what this run delivers.
    path: String,
}

impl<'a> Run<'a> {
    /// Makes an account with a webhook, and connects a page for every owner.
    async fn prepare(stack: &'a Stack, secrets: &'a Secrets, samples: &[Sample]) -> Result<Self, CallError> {
        let admin_key = &stack.addresses.admin_key;
        let account = stack.api(Method::POST, "/accounts", admin_key, &json!({"name": "Samples"})).await?;
        let account = account.json(StatusCode::CREATED)?;
        let key = account["key"].as_str().unwrap_or_default();
        let path = format!("/samples/{}", account["id"].as_str().unwrap_or_default());
        let url = format!("{}{path}", stack.addresses.receiver);
        let settings = json!({"url": url, "items": ["publication", "interaction"]});
        let webhook =
            stack.api(Method::POST, "/webhooks", key, &settings).await?.json(StatusCode::CREATED)?;
        stack.tell_secret(webhook["secret"].as_str().unwrap_or_default()).await?;
        let owners: BTreeSet<_> = samples.iter().flat_map(expectation::owners).collect();
        let mut pages = BTreeMap::new();
        for (network, owner) in owners {
            let page =
                json!({"network": network, "network_id": owner, "name": "Sample", "access_token": "none"});
            let answer = stack.api(Method::POST, "/pages", key, &page).await?;
            let id =
                answer.json(StatusCode::CREATED)?["id"].as_str().and_then(|id| id.parse::<PageId>().ok());
            pages.insert((network, owner), id.ok_or_else(|| answer.unexpected())?);
        }
        Ok(Self { stack, secrets, pages, path })
    }

    async fn push(&self, route: Network, body: &[u8]) -> Result<Answer, CallError> {
        let (path, signature) = signing::path_and_header(route, self.secrets.of(route), body);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(signature.as_ref().map(|(name, value)| (*name, value.as_str())));
        let body = Bytes::copy_from_slice(body);
        self.stack.call(Method::POST, &self.stack.addresses.api, &path, &headers, body).await
    }

    /// Sends a sample for the first time. `seen` are the places in the inbox that earlier samples took.
    async fn send_first(
        &self,
        sample: &Sample,
        Expectation { updates, nobodys }: &Expectation,
        seen: &mut BTreeSet<(PageId, String)>,
    ) -> Result<Row, CallError> {
        let began = Instant::now();
        let answer = self.push(sample.route, &sample.body).await?;
        let took = began.elapsed();
        let mut row = Row {
            name: sample.name.clone(),
            status: answer.status.as_u16(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            updates: updates.len(),
            first: 0,
            stored: 0,
            incomplete: 0,
            delivered: 0,
            valid: 0,
            other: updates.iter().filter(|update| update.reading.content.kind == Kind::Other).count(),
            nobodys: *nobodys,
            kinds: kinds(updates),
            faults: Vec::new(),
        };
        if answer.status != StatusCode::OK {
            row.faults.push(answer.unexpected().to_string());
        }
        if took > ANSWER_BOUND {
            row.faults.push(format!("the answer took longer than {} s", ANSWER_BOUND.as_secs()));
        }
        for update in updates {
            let first = seen.insert((update.page.clone(), update.key.as_str().to_owned()));
            row.first += usize::from(first);
            row.incomplete += usize::from(first && update.reading.wanted.is_some());
        }
        Ok(row)
    }

    /// Counts what is in the inbox, at the sample that had it first.
    async fn count_stored(&self, expectations: &[Expectation], rows: &mut [Row]) -> Result<(), CallError> {
        let stored = self.stack.stored().await?;
        let mut seen = BTreeSet::new();
        for (expectation, row) in expectations.iter().zip(rows) {
            for update in &expectation.updates {
                let place = (update.page.to_string(), update.key.as_str().to_owned());
                row.stored += usize::from(stored.contains(&place) && seen.insert(place));
            }
            if row.stored < row.first {
                row.faults.push(format!("{} updates are not in the inbox", row.first - row.stored));
            }
        }
        Ok(())
    }

    /// All that has arrived.
    async fn arrived(&self) -> Result<Arrived, CallError> {
        let (mut arrived, mut after) = (Arrived::new(), 0);
        loop {
            let (deliveries, last) = self.stack.arrived(&self.path, after).await?;
            if deliveries.is_empty() {
                return Ok(arrived);
            }
            for delivery in deliveries {
                let text = |field: &str| delivery[field].as_str().unwrap_or_default().to_owned();
                arrived.entry(text("webhook_id")).or_default().push(text("body"));
            }
            after = last;
        }
    }

    /// Waits until all of these have arrived, and then until nothing more does.
    async fn wait_for(&self, expected: &BTreeSet<String>) -> Result<Arrived, CallError> {
        let began = Instant::now();
        let items = u32::try_from(expected.len()).unwrap_or(u32::MAX);
        let limit = ARRIVAL_LIMIT + Duration::from_millis(50) * items;
        while began.elapsed() < limit {
            let arrived = self.arrived().await?;
            if expected.iter().all(|id| arrived.contains_key(id)) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.settled().await
    }

    async fn settled(&self) -> Result<Arrived, CallError> {
        let count = |arrived: &Arrived| arrived.values().map(Vec::len).sum::<usize>();
        let mut arrived = self.arrived().await?;
        loop {
            tokio::time::sleep(SETTLED).await;
            let again = self.arrived().await?;
            if count(&again) == count(&arrived) {
                return Ok(again);
            }
            arrived = again;
        }
    }

    /// Sends every sample again, first the same bytes, then the same updates in other batches.
    async fn repeat(&self, samples: &[Sample], faults: &mut Vec<String>) -> Result<usize, CallError> {
        let mut repeats = 0;
        for sample in samples {
            let others = rebatched(sample.route, &sample.body);
            for body in std::iter::once(&sample.body).chain(&others) {
                let answer = self.push(sample.route, body).await?;
                if answer.status != StatusCode::OK {
                    faults.push(format!("{} again: {}", sample.name, answer.unexpected()));
                }
                repeats += 1;
            }
        }
        Ok(repeats)
    }
}

/// The ids of the items that should arrive.
fn complete(expectations: &[Expectation]) -> BTreeSet<String> {
    let updates = expectations.iter().flat_map(|expectation| &expectation.updates);
    let complete = updates.filter(|update| update.reading.wanted.is_none());
    complete.map(|update| update.item.to_string()).collect()
}

fn kinds(updates: &[expectation::Expected]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = |update: &expectation::Expected| {
        let content = &update.reading.content;
        format!("{} {}", word(&json!(content.kind)), word(&json!(content.action)))
    };
    let kinds: BTreeSet<_> = updates.iter().map(kind).collect();
    kinds.into_iter().collect()
}

/// Judges what arrived, at the sample that had it first.
fn judge(expectations: &[Expectation], arrived: &Arrived, validator: &Validator, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (expectation, row) in expectations.iter().zip(&mut report.rows) {
        for update in &expectation.updates {
            let id = update.item.to_string();
            if !seen.insert(id.clone()) {
                continue;
            }
            let bodies = arrived.get(&id).map_or(&[][..], Vec::as_slice);
            match (bodies, &update.reading.wanted) {
                ([], Some(_)) => {}
                ([], None) => row.faults.push(format!("{id} did not arrive")),
                ([body], None) => {
                    row.delivered += 1;
                    match faults_of(body, &id, validator) {
                        None => row.valid += 1,
                        Some(fault) => row.faults.push(format!("{id}: {fault}")),
                    }
                }
                (bodies, _) => row.faults.push(format!("{id} arrived {} times", bodies.len())),
            }
        }
    }
    let unexpected = arrived.keys().filter(|id| !seen.contains(*id));
    report.faults.extend(unexpected.map(|id| format!("{id} arrived, which no sample explains")));
}

fn faults_of(body: &str, id: &str, validator: &Validator) -> Option<String> {
    let Ok(item) = serde_json::from_str::<Value>(body) else { return Some("no JSON".to_owned()) };
    if item["id"] != id {
        return Some("the body has another id".to_owned());
    }
    let place = |error: jsonschema::ValidationError<'_>| format!("{} at {}", error, error.instance_path());
    validator.iter_errors(&item).next().map(place)
}
