//! One embedded DynamoDB for all tests of this program, in memory, behind its own HTTP server on a free port.
//!
//! Tests share its table of streaks, each under its own webhooks. Tables of held items, whose index all webhooks share,
//! and of the configuration are made for each test.

use std::sync::LazyLock;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::streak::ATTRIBUTES;
use carteiro_core::transition::{Row, Value as CoreValue};
use dynoxide::Database;
use jiff::Timestamp;
use serde_json::{Value, json};

/// When the tests take place, in milliseconds since the Unix epoch.
pub(crate) const NOW_MS: i64 = 1_795_000_000_000;

/// The name of the table of streaks.
pub(crate) const STREAKS: &str = "Streaks";

static EMBEDDED: LazyLock<Embedded> = LazyLock::new(Embedded::start);

/// The database and where its server listens.
pub(crate) struct Embedded {
    database: Database,
    pub(crate) address: String,
}

/// The one database. Its server ends with the program.
pub(crate) fn embedded() -> &'static Embedded {
    &EMBEDDED
}

/// The index of held and of dead items, by their ids.
fn item_index() -> Value {
    json!({
        "IndexName": "item",
        "KeySchema": [
            {"AttributeName": "item", "KeyType": "HASH"},
            {"AttributeName": "pk", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    })
}

impl Embedded {
    fn start() -> Self {
        let database = Database::memory().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = database.clone();
        // A thread of its own: the server's calls block, and must not hold up the tasks under test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                dynoxide::server::serve_on(listener, served).await;
            });
        });
        let embedded = Self { database, address };
        let index = json!([{
            "IndexName": "unhealthy",
            "KeySchema": [
                {"AttributeName": "unhealthy", "KeyType": "HASH"},
                {"AttributeName": "pk", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["account"]},
        }]);
        embedded.make(STREAKS, &[("unhealthy", "S")], &index);
        embedded
    }

    /// Makes a table of held items, as the template has it.
    pub(crate) fn make_held(&self, name: &str) {
        let index = json!([{
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "due_shard", "KeyType": "HASH"},
                {"AttributeName": "due_at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }, item_index()]);
        self.make(name, &[("due_shard", "S"), ("due_at", "N"), ("item", "S")], &index);
    }

    /// Makes a table of dead items, as the template has it.
    pub(crate) fn make_dead(&self, name: &str) {
        self.make(name, &[("item", "S")], &json!([item_index()]));
    }

    /// Makes an inbox, as the template has it.
    pub(crate) fn make_inbox(&self, name: &str) {
        let index = json!([{
            "IndexName": "waiting",
            "KeySchema": [
                {"AttributeName": "waiting", "KeyType": "HASH"},
                {"AttributeName": "since", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }, {
            "IndexName": "item",
            "KeySchema": [{"AttributeName": "item", "KeyType": "HASH"}],
            "Projection": {
                "ProjectionType": "INCLUDE",
                "NonKeyAttributes": ["account", "received_at", "handed_on_at"],
            },
        }]);
        self.make(name, &[("waiting", "S"), ("since", "N"), ("item", "S")], &index);
    }

    /// All rows of a table, in DynamoDB's own JSON, read without a call.
    pub(crate) fn all_rows(&self, name: &str) -> Vec<Value> {
        let (mut rows, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut request = json!({"TableName": name});
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let page = self.database.scan(serde_json::from_value(request).unwrap()).unwrap();
            let page = serde_json::to_value(page).unwrap();
            rows.extend(page["Items"].as_array().into_iter().flatten().cloned());
            start = page["LastEvaluatedKey"].clone();
            if start.is_null() {
                return rows;
            }
        }
    }

    /// Makes a table of the configuration, as the template has it.
    pub(crate) fn make_config(&self, name: &str) {
        let index = json!([{
            "IndexName": "unhealthy",
            "KeySchema": [
                {"AttributeName": "unhealthy", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }]);
        self.make(name, &[("unhealthy", "S")], &index);
    }

    /// Makes a table without an index.
    pub(crate) fn make_plain(&self, name: &str) {
        self.make(name, &[], &json!([]));
    }

    /// Makes a table of tokens, as the template has it.
    pub(crate) fn make_tokens(&self, name: &str) {
        self.create(&json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        }));
    }

    /// How many rows a table has, counted without a call.
    pub(crate) fn rows(&self, name: &str) -> usize {
        let request = serde_json::from_value(json!({"TableName": name, "Select": "COUNT"})).unwrap();
        let counted = serde_json::to_value(self.database.scan(request).unwrap()).unwrap();
        usize::try_from(counted["Count"].as_u64().unwrap()).unwrap()
    }

    fn make(&self, name: &str, indexed: &[(&str, &str)], indexes: &Value) {
        let attributes = [("pk", "S"), ("sk", "S")].iter().chain(indexed);
        let definitions: Vec<_> =
            attributes.map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind})).collect();
        let mut table = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": definitions,
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        });
        if indexes != &json!([]) {
            table["GlobalSecondaryIndexes"] = indexes.clone();
        }
        self.create(&table);
    }

    fn create(&self, table: &Value) {
        let name = &table["TableName"];
        self.database.create_table(serde_json::from_value(table.clone()).unwrap()).unwrap();
        let described = || {
            let request = serde_json::from_value(json!({"TableName": name})).unwrap();
            serde_json::to_value(self.database.describe_table(request).unwrap()).unwrap()
        };
        while described()["Table"]["TableStatus"] != "ACTIVE" {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A streak's row, read without a call.
    pub(crate) fn streak(&self, key: &StreakKey) -> Option<Row> {
        let pk = json!({"S": key.webhook.as_str()});
        let sk = json!({"S": format!("{:010}#{}", key.revision, key.item_type)});
        let request = json!({"TableName": STREAKS, "Key": {"pk": pk, "sk": sk}});
        let found = self.database.get_item(serde_json::from_value(request).unwrap()).unwrap();
        let found = serde_json::to_value(found).unwrap();
        let item = found.get("Item")?.as_object()?;
        let value = |name| match item.get(name)?.as_object()?.iter().next()? {
            (kind, number) if kind == "N" => number.as_str()?.parse().ok().map(CoreValue::Number),
            (_, text) => Some(CoreValue::Text(text.as_str()?.to_owned())),
        };
        Some(ATTRIBUTES.iter().filter_map(|&name| Some((name, value(name)?))).collect())
    }

    /// A client of the database.
    pub(crate) fn client(&self) -> Client {
        client(&self.address)
    }
}

/// A client of the server at this address, with the functions' retries but shorter pauses.
pub(crate) fn client(address: &str) -> Client {
    let retry = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(2));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(retry)
        .build();
    Client::from_conf(config)
}

/// A webhook that no other test has.
pub(crate) fn new_webhook() -> WebhookId {
    WebhookId::from_bits(random::bits128().unwrap())
}

/// A streak that no other test has.
pub(crate) fn new_streak() -> StreakKey {
    StreakKey {
        account: AccountId::from_bits(1),
        webhook: new_webhook(),
        revision: 1,
        item_type: ItemType::MESSAGE,
    }
}

/// A time of the tests.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// The clock of an invocation that begins then and may run this long.
pub(crate) fn clock(began_ms: i64, timeout: Duration) -> InvocationClock {
    let timeout_ms = i64::try_from(timeout.as_millis()).unwrap();
    InvocationClock::start(u64::try_from(began_ms + timeout_ms).unwrap(), timeout)
}
