//! The transitions of streaks against a second DynamoDB: moto's server, which evaluates conditions and updates
//! independently of the embedded one. Where both do as the core expects, the core follows DynamoDB, and not one
//! emulator.
//!
//! The server is a child process that listens on the loopback device, ends when its standard input does, and has an
//! environment in which every way out leads to a closed port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use crate::database::{STREAKS, client};
use crate::held_contract::{HELD, every_write};
use crate::streak_contract::{NUMBERS, any_write, every_transition};

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment which tools are there")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A Python that has moto's server, or none; where `CARTEIRO_REQUIRE_ALL=1`, having none is a failure.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(variable("CARTEIRO_PYTHON").unwrap_or_else(|| "python3".to_owned()));
    let found = Command::new(&python).args(["-c", "import moto.server, moto.dynamodb.models"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let what = "a Python with moto[dynamodb,server] (CARTEIRO_PYTHON names one)";
    assert!(variable("CARTEIRO_REQUIRE_ALL").as_deref() != Some("1"), "{what} is required and missing");
    println!("SKIPPED: {what} is missing");
    None
}

/// A server that runs as long as this.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(python: &Path) -> Self {
        const CLOSED: &str = "http://127.0.0.1:9";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/moto_server.py");
        let child = Command::new(python)
            // No files of its user's, and none left behind.
            .args(["-I", "-B"])
            .arg(script)
            .env_clear()
            .envs(variable("PATH").map(|path| ("PATH", path)))
            .envs(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, CLOSED)))
            .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .envs([("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new() };
        // It says where it is as soon as it listens; should it end before, there is nothing to read.
        BufReader::new(server.child.stdout.take().unwrap()).read_line(&mut server.address).unwrap();
        server.address = server.address.trim().to_owned();
        assert!(
            server.address.starts_with("127.0.0.1:"),
            "moto's server did not start: {:?}",
            server.address
        );
        server
    }

    /// A client of it, with the tables of streaks and of held items.
    fn client(&self) -> Client {
        let client = client(&self.address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for name in [STREAKS, HELD] {
            runtime.block_on(make(&client, name));
        }
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

async fn make(client: &Client, name: &str) {
    let mut call = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        call = call
            .attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build().unwrap())
            .key_schema(key.build().unwrap());
    }
    call.send().await.unwrap();
}

#[test]
fn every_transition_is_the_same_on_a_second_dynamodb() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    every_transition(server.client(), 320);
}

#[test]
fn any_write_means_the_same_on_a_second_dynamodb() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    // DynamoDB finds a text neither above nor below a number; moto 5.2.5 fails with an internal error (500) instead of
    // refusing the write. No transition of the rule asks for that, and the embedded one is asked for it.
    any_write(server.client(), 320, &NUMBERS);
}

#[test]
fn every_write_of_holding_means_the_same_on_a_second_dynamodb() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    every_write(server.client(), 120, 0);
}
