//! The embedded DynamoDB: dynoxide, behind an HTTP front of our own.
//!
//! **Why a proxy.** What makes dynoxide answer as DynamoDB does on the wire (the checks before a request is
//! deserialised, the two ways of wording a refusal, header checks) is private to its server, so calling its `Database`
//! directly would lose it. The front passes requests on to its server, which costs about a tenth of a millisecond and
//! gives a place to inject faults. That server lets every web page read its answers, so it is reached by connections of
//! the front's own alone ([`crate::dynamodb_server`]). It has a thread and a runtime of
//! its own: its calls block, one at a time under one lock, and must not hold up the stack's other tasks.
//!
//! **Time.** In memory, time to live follows the stack's clock. In a file it follows the machine's: the library takes
//! a clock for memory only. Either way items go late, as on the real service, which promises no better than days;
//! tests may let them go at once, or never ([`Expiry`]).
//!
//! Not as on the real service: every read is strongly consistent, and nothing is ever throttled; tests inject
//! throttles.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::Clock;
use carteiro_sqs::{Fate, Fault, Verdict, access_key_id};
use dynoxide::{Database, DynoxideError};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::dynamodb_server::DatabaseServer;
use crate::http_server::{BodyError, Dropped, Reply, json_reply, read_body};
use crate::meter::Meter;
use crate::permissions::Permissions;
use crate::template::Table;

/// The most bytes of a request: DynamoDB's 16 MB.
const MAX_REQUEST_BYTES: usize = 16_777_216;

/// The pause between two sweeps of expired items, in platform time.
const SWEEP: Duration = Duration::from_secs(60);

/// How long a new table may take to become active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(10);

/// What went wrong with the embedded DynamoDB.
#[derive(Debug, thiserror::Error)]
pub enum DynamodbError {
    /// The database cannot be opened or asked.
    #[error("the database: {0}")]
    Database(String),
    /// The server cannot start.
    #[error("the database's server: {0}")]
    Server(std::io::Error),
    /// A table of the template cannot be made.
    #[error("table {table}: {reason}")]
    Table {
        /// The table.
        table: String,
        /// What DynamoDB says of it.
        reason: String,
    },
    /// A table is there already and has other keys or indexes than the template gives it.
    #[error(
        "table {table} has another {what} than the template gives it; choose another data folder or delete the table"
    )]
    TableDiffers {
        /// The table.
        table: String,
        /// `key schema` or `global secondary index`.
        what: &'static str,
    },
}

impl From<DynoxideError> for DynamodbError {
    fn from(error: DynoxideError) -> Self {
        Self::Database(error.to_string())
    }
}

/// A call that came through the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamodbCall<'a> {
    /// `PutItem`, `Query`, …; empty where the request names none.
    pub operation: &'a str,
    /// The request's JSON.
    pub body: &'a [u8],
    /// Whose access key signed it, if it is signed: a function's is its logical id.
    pub access_key_id: Option<&'a str>,
}

/// Decides what becomes of calls to DynamoDB. It is asked concurrently and must not block.
pub trait InterceptDynamodb: Send + Sync + 'static {
    /// What becomes of this call.
    fn verdict(&self, call: DynamodbCall<'_>) -> Verdict;
}

impl<F> InterceptDynamodb for F
where
    F: Fn(DynamodbCall<'_>) -> Verdict + Send + Sync + 'static,
{
    fn verdict(&self, call: DynamodbCall<'_>) -> Verdict {
        self(call)
    }
}

/// When expired items go. The real service promises nothing of it but that it is after their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// At a sweep each minute of platform time.
    #[default]
    Swept,
    /// Before the next call, in the second in which they expire.
    AtOnce,
    /// Not at all.
    Never,
}

/// The database and its server.
pub(crate) struct Dynamodb {
    database: Database,
    clock: Clock,
    server: DatabaseServer,
    permissions: Arc<Permissions>,
    meter: Arc<Meter>,
    intercept: RwLock<Option<Arc<dyn InterceptDynamodb>>>,
    expiry: RwLock<Expiry>,
    /// The second of platform time up to which expired items went at once.
    swept_second: Mutex<u64>,
}

impl std::fmt::Debug for Dynamodb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dynamodb").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Dynamodb {
    /// Opens the database, in `file` or else in memory, and makes the tables that are missing.
    pub(crate) fn start<'a>(
        file: Option<&Path>,
        clock: Clock,
        tables: impl Iterator<Item = &'a Table>,
        permissions: Arc<Permissions>,
        meter: Arc<Meter>,
    ) -> Result<Self, DynamodbError> {
        let database = match file {
            None => Database::memory_with_clock(Arc::new(PlatformTime(clock.clone())))?,
            Some(file) => Database::new(&file.display().to_string())?,
        };
        for table in tables {
            ensure(&database, table)?;
        }
        let server = DatabaseServer::start(database.clone()).map_err(DynamodbError::Server)?;
        let (intercept, expiry, swept_second) = Default::default();
        Ok(Self { database, clock, server, permissions, meter, intercept, expiry, swept_second })
    }

    /// From now on `intercept` decides what becomes of calls; nothing lets all of them through.
    pub(crate) fn intercept(&self, intercept: Option<Arc<dyn InterceptDynamodb>>) {
        *self.intercept.write().unwrap_or_else(PoisonError::into_inner) = intercept;
    }

    /// From now on expired items go like this.
    pub(crate) fn expire(&self, expiry: Expiry) {
        *self.expiry.write().unwrap_or_else(PoisonError::into_inner) = expiry;
    }

    fn expiry(&self) -> Expiry {
        *self.expiry.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Dropped> {
        let (parts, body) = request.into_parts();
        let body = match read_body(body, MAX_REQUEST_BYTES).await {
            Ok(body) => body,
            Err(BodyError::Broken) => return Err(Dropped),
            Err(BodyError::TooLarge) => {
                return Ok(json_reply(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    r#"{"message":"Request Entity Too Large"}"#,
                ));
            }
        };
        let caller = access_key_id(&parts.headers);
        if let Err(refused) = self.permissions.dynamodb(caller, operation(&parts), &body) {
            let kind = "com.amazon.coral.service#AccessDeniedException";
            return Ok(error_reply(StatusCode::BAD_REQUEST, kind, &refused.to_string()));
        }
        let verdict = self.verdict(&parts, &body);
        if !verdict.delay.is_zero() {
            self.clock.sleep(verdict.delay).await;
        }
        let answer = match verdict.fate {
            Fate::Proceed => self.pass_on(parts, body).await,
            Fate::FailBefore(fault) => Ok(fault_reply(&fault)),
            Fate::DropBefore => Err(Dropped),
            Fate::FailAfter(fault) => self.pass_on(parts, body).await.map(|_| fault_reply(&fault)),
            Fate::DropAfter => self.pass_on(parts, body).await.and(Err(Dropped)),
        };
        if !verdict.answer_after.is_zero() {
            self.clock.sleep(verdict.answer_after).await;
        }
        answer
    }

    fn verdict(&self, parts: &http::request::Parts, body: &[u8]) -> Verdict {
        let intercept = self.intercept.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(intercept) = intercept else { return Verdict::default() };
        let access_key_id = access_key_id(&parts.headers);
        intercept.verdict(DynamodbCall { operation: operation(parts), body, access_key_id })
    }

    async fn pass_on(&self, mut parts: http::request::Parts, body: Bytes) -> Result<Reply, Dropped> {
        if self.expiry() == Expiry::AtOnce {
            self.sweep_this_second().await;
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = path.parse().map_err(|_| Dropped)?;
        // The body is whole by now, and the client frames it.
        parts.headers.remove(http::header::TRANSFER_ENCODING);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let metered = self.meter.asking(operation(&parts), &parts.headers, &body);
        let named = metered.is_some().then(|| operation(&parts).to_owned());
        let asked = metered.unwrap_or_else(|| body.clone());
        let answered = self.server.answer(Request::from_parts(parts, Full::new(asked))).await;
        let mut reply = answered.map_err(|error| {
            tracing::warn!(%error, "the database's server did not answer");
            Dropped
        })?;
        if let Some(operation) = named {
            let answer = reply.body_mut().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
            self.meter.count_tables(&operation, &body, &answer);
            *reply.body_mut() = Full::new(answer);
        }
        Ok(reply)
    }

    /// Deletes expired items every minute of platform time, for ever.
    pub(crate) async fn sweep(&self) {
        loop {
            self.clock.sleep(SWEEP).await;
            if self.expiry() != Expiry::Never {
                self.sweep_once().await;
            }
        }
    }

    async fn sweep_once(&self) {
        let database = self.database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(deleted)) => tracing::debug!(deleted, "swept expired items"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot sweep expired items"),
            Err(error) => tracing::warn!(%error, "the sweep of expired items ended"),
        }
    }

    /// Sweeps if nobody has in this second of platform time; whoever comes meanwhile waits for it.
    async fn sweep_this_second(&self) {
        let mut swept = self.swept_second.lock().await;
        let second = self.clock.now_ms() / 1000;
        if second > *swept {
            self.sweep_once().await;
            *swept = second;
        }
    }

    /// Ends the server and closes the database.
    pub(crate) async fn stop(self) {
        let Self { database, server, .. } = self;
        let joined = tokio::task::spawn_blocking(move || {
            let joined = server.stop();
            // The last handle closes the file, which may take a checkpoint: not on a thread that others need.
            drop(database);
            joined
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::warn!("the database's server did not end by itself");
        }
    }
}

/// Makes the table if it is missing, adds the indexes that it does not have yet, as an update of a deployment does,
/// waits until it is active, and sets its time to live.
fn ensure(database: &Database, table: &Table) -> Result<(), DynamodbError> {
    match describe(database, &table.name)? {
        Some(there) => {
            check_same(table, &there)?;
            add_indexes(database, table, &there)?;
        }
        None => {
            create(database, table)?;
            wait_until_active(database, &table.name)?;
        }
    }
    let now = to_json(&database.describe_time_to_live(request(&json!({"TableName": table.name}))?)?)?;
    let set = now["TimeToLiveDescription"]["AttributeName"].as_str();
    if let Some(attribute) = &table.time_to_live
        && set != Some(attribute)
    {
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let change = json!({"TableName": table.name, "TimeToLiveSpecification": specification});
        database.update_time_to_live(request(&change)?)?;
    }
    Ok(())
}

/// Adds the indexes that the template gives a table and that it does not have, one after the other.
fn add_indexes(database: &Database, table: &Table, there: &Value) -> Result<(), DynamodbError> {
    let known = indexes(there);
    for index in table.create["GlobalSecondaryIndexes"].as_array().into_iter().flatten() {
        if known.iter().any(|(name, _)| index["IndexName"] == **name) {
            continue;
        }
        let change = json!({
            "TableName": table.name,
            "AttributeDefinitions": table.create["AttributeDefinitions"],
            "GlobalSecondaryIndexUpdates": [{"Create": index}],
        });
        database.update_table(request(&change)?)?;
        wait_until_active(database, &table.name)?;
    }
    Ok(())
}

fn create(database: &Database, table: &Table) -> Result<(), DynamodbError> {
    let refused = |reason: String| DynamodbError::Table {
        table: table.name.clone(),
        // How dynoxide marks what its server answers as a ValidationException.
        reason: reason.trim_start_matches("VALIDATION:").to_owned(),
    };
    let request = serde_json::from_value(table.create.clone()).map_err(|error| refused(error.to_string()))?;
    database.create_table(request).map(|_| ()).map_err(|error| refused(error.to_string()))
}

fn wait_until_active(database: &Database, name: &str) -> Result<(), DynamodbError> {
    let pause = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    while waited < ACTIVE_WITHIN {
        if describe(database, name)?.is_some_and(|table| table["TableStatus"] == "ACTIVE") {
            return Ok(());
        }
        std::thread::sleep(pause);
        waited += pause;
    }
    Err(DynamodbError::Database(format!("table {name} does not become active")))
}

fn describe(database: &Database, name: &str) -> Result<Option<Value>, DynamodbError> {
    match database.describe_table(request(&json!({"TableName": name}))?) {
        Ok(response) => Ok(Some(to_json(&response)?["Table"].take())),
        Err(DynoxideError::ResourceNotFoundException(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_same(table: &Table, there: &Value) -> Result<(), DynamodbError> {
    let differs = |what| Err(DynamodbError::TableDiffers { table: table.name.clone(), what });
    if keys(&table.create) != keys(there) {
        return differs("key schema");
    }
    let wanted = indexes(&table.create);
    if indexes(there).iter().any(|index| !wanted.contains(index)) {
        return differs("global secondary index");
    }
    Ok(())
}

/// Key attributes: name, role and type of each.
type Keys = Vec<(String, String, String)>;

fn keys(table: &Value) -> Keys {
    key_schema(&table["KeySchema"], &table["AttributeDefinitions"])
}

fn key_schema(schema: &Value, definitions: &Value) -> Keys {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let type_of = |name: &str| {
        let mut all = definitions.as_array().into_iter().flatten();
        all.find(|definition| definition["AttributeName"] == name).map(|found| text(&found["AttributeType"]))
    };
    schema
        .as_array()
        .into_iter()
        .flatten()
        .map(|key| {
            let name = text(&key["AttributeName"]);
            let attribute_type = type_of(&name).unwrap_or_default();
            (name, text(&key["KeyType"]), attribute_type)
        })
        .collect()
}

/// The indexes' names and keys, in the order of their names.
fn indexes(table: &Value) -> Vec<(String, Keys)> {
    let mut indexes: Vec<_> = table["GlobalSecondaryIndexes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|index| {
            let name = index["IndexName"].as_str().unwrap_or_default().to_owned();
            (name, key_schema(&index["KeySchema"], &table["AttributeDefinitions"]))
        })
        .collect();
    indexes.sort();
    indexes
}

fn request<T: serde::de::DeserializeOwned>(request: &Value) -> Result<T, DynamodbError> {
    serde_json::from_value(request.clone()).map_err(|error| DynamodbError::Database(error.to_string()))
}

fn to_json(response: &impl serde::Serialize) -> Result<Value, DynamodbError> {
    serde_json::to_value(response).map_err(|error| DynamodbError::Database(error.to_string()))
}

/// The operation that a request names; empty where it names none.
fn operation(parts: &http::request::Parts) -> &str {
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit_once('.').map_or("", |(_, operation)| operation)
}

fn fault_reply(fault: &Fault) -> Reply {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{}", fault.code);
    error_reply(fault.status, &kind, &fault.message)
}

fn error_reply(status: StatusCode, kind: &str, message: &str) -> Reply {
    let mut reply = json_reply(status, json!({"__type": kind, "message": message}).to_string());
    reply.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    reply
}

/// The stack's clock as dynoxide asks for it.
struct PlatformTime(Clock);

impl dynoxide::storage_backend::Clock for PlatformTime {
    fn now_unix_secs(&self) -> u64 {
        self.0.now_ms() / 1000
    }

    fn now_unix_secs_f64(&self) -> f64 {
        Duration::from_millis(self.0.now_ms()).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(create: Value) -> Table {
        Table { name: "Test".into(), create, time_to_live: Some("expires_at".into()), key: None }
    }

    fn definition(sort_key: &str) -> Value {
        json!({
            "TableName": "Test",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": sort_key, "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": sort_key, "KeyType": "RANGE"},
            ],
        })
    }

    #[test]
    fn a_table_is_made_once_with_its_time_to_live() {
        let database = Database::memory().unwrap();
        ensure(&database, &table(definition("sk"))).unwrap();
        ensure(&database, &table(definition("sk"))).unwrap();
        assert_eq!(describe(&database, "Test").unwrap().unwrap()["TableStatus"], "ACTIVE");
        let ttl = to_json(
            &database.describe_time_to_live(request(&json!({"TableName": "Test"})).unwrap()).unwrap(),
        );
        assert_eq!(ttl.unwrap()["TimeToLiveDescription"]["AttributeName"], "expires_at");
    }

    #[test]
    fn a_table_that_dynamodb_does_not_take_is_named() {
        let mut bare = definition("sk");
        bare["AttributeDefinitions"] = json!([]);
        let error = ensure(&Database::memory().unwrap(), &table(bare)).unwrap_err().to_string();
        assert!(error.starts_with("table Test: "), "{error}");
    }

    #[test]
    fn a_table_with_other_keys_is_refused() {
        let database = Database::memory().unwrap();
        ensure(&database, &table(definition("sk"))).unwrap();
        let error = ensure(&database, &table(definition("other"))).unwrap_err().to_string();
        assert!(error.starts_with("table Test has another key schema"), "{error}");
    }

    #[test]
    fn an_index_that_a_table_lacks_is_added_with_its_rows() {
        let database = Database::memory().unwrap();
        ensure(&database, &table(definition("sk"))).unwrap();
        let row = json!({"TableName": "Test", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}});
        database.put_item(request(&row).unwrap()).unwrap();
        let mut with_index = definition("sk");
        with_index["GlobalSecondaryIndexes"] = json!([{
            "IndexName": "by_sk",
            "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }]);
        for _ in 0..2 {
            ensure(&database, &table(with_index.clone())).unwrap();
        }
        let query = json!({
            "TableName": "Test",
            "IndexName": "by_sk",
            "KeyConditionExpression": "sk = :b",
            "ExpressionAttributeValues": {":b": {"S": "b"}},
        });
        let found = to_json(&database.query(request(&query).unwrap()).unwrap()).unwrap();
        assert_eq!(found["Items"], json!([{"pk": {"S": "a"}, "sk": {"S": "b"}}]));
        // One that the template does not have, or has otherwise, is no part of it.
        let mut other = with_index;
        other["GlobalSecondaryIndexes"][0]["KeySchema"][0]["AttributeName"] = json!("pk");
        for other in [other, definition("sk")] {
            let error = ensure(&database, &table(other)).unwrap_err().to_string();
            assert!(error.starts_with("table Test has another global secondary index"), "{error}");
        }
    }
}
