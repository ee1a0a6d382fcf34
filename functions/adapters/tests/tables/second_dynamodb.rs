//! The transitions of streaks against a second DynamoDB: moto's server, which evaluates conditions and updates
//! independently of the embedded one. Where both do as the core expects, the core follows DynamoDB, and not one
//! emulator.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use crate::database::{STREAKS, client};
use crate::held_contract::{HELD, every_write};
use crate::moto::{Server, python};
use crate::streak_contract::{NUMBERS, any_write, every_transition};

/// A client of the server, with the tables of streaks and of held items.
fn client_of(server: &Server) -> Client {
    let client = client(&server.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in [STREAKS, HELD] {
        runtime.block_on(make(&client, name));
    }
    client
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
    every_transition(client_of(&server), 320);
}

#[test]
fn any_write_means_the_same_on_a_second_dynamodb() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    // DynamoDB finds a text neither above nor below a number; moto 5.2.5 fails with an internal error (500) instead of
    // refusing the write. No transition of the rule asks for that, and the embedded one is asked for it.
    any_write(client_of(&server), 320, &NUMBERS);
}

#[test]
fn every_write_of_holding_means_the_same_on_a_second_dynamodb() {
    let Some(python) = python() else { return };
    let server = Server::start(&python);
    every_write(client_of(&server), 120, 0);
}
