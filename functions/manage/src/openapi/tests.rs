//! Holds the document to what it is not derived from: the template's routes, the parsers of requests, and the rules
//! that clients made of it need.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::encodings::Body;
use carteiro_core::address::PrivateTargets;
use carteiro_core::credentials::{Credentials, Fresh, ROTATION_FIELDS, Rotation};
use carteiro_core::cursor;
use carteiro_core::id::{AccountId, ItemId, KeyId, PageId, ReplayId, WebhookId};
use carteiro_core::item::{self, Source};
use carteiro_core::key::ApiKey;
use carteiro_core::ndjson::{self, LineError};
use carteiro_core::problem::Problem;
use carteiro_core::replay::{self, Wanted};
use carteiro_core::retry::SCHEDULE;
use carteiro_core::session::LINK_FIELDS;
use carteiro_core::signature::{self, PublicKey, Secret, Verifier};
use carteiro_core::webhook::{NewWebhook, Settings, Webhook};
use carteiro_networks::collected::{Action, By, Kind, MAX_ATTACHMENTS, SCHEMA};
use carteiro_networks::freshness::Counts;
use carteiro_networks::network::Network;
use carteiro_networks::page::{self, NewPage, Page};
use jiff::Timestamp;
use saphyr::{LoadableYamlNode, Yaml};

use super::*;
use crate::view;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

const METHODS: [&str; 5] = ["delete", "get", "patch", "post", "put"];

fn parsed() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "whoever changes the API has its description written anew")]
fn is_to_be_written() -> bool {
    std::env::var_os("CARTEIRO_WRITE_DOCUMENTS").is_some()
}

#[test]
fn the_document_is_what_the_code_describes() {
    let described = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    if is_to_be_written() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"), &described).unwrap();
    }
    assert!(DOCUMENT == described, "CARTEIRO_WRITE_DOCUMENTS=1 cargo test -p manage --lib writes it anew");
}

/// The value at a JSON pointer (RFC 6901), with `~` and `/` in names escaped.
fn at(document: &Value, pointer: &str) -> Value {
    document.pointer(pointer).unwrap_or_else(|| panic!("nothing is at {pointer}")).clone()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn names(value: &Value) -> BTreeSet<String> {
    object(value).into_iter().map(|(name, _)| name).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn schema(document: &Value, name: &str) -> Value {
    at(document, &format!("/components/schemas/{name}"))
}

/// The operations below `paths` or `webhooks`, by `METHOD path`.
fn operations(document: &Value, below: &str) -> BTreeMap<String, Value> {
    let mut operations = BTreeMap::new();
    for (path, of_path) in object(&document[below]) {
        for (method, operation) in object(&of_path) {
            assert!(METHODS.contains(&method.as_str()), "{path} {method}");
            operations.insert(format!("{} {path}", method.to_ascii_uppercase()), operation);
        }
    }
    operations
}

fn visit(node: &Value, path: &str, seen: &mut impl FnMut(&str, &Map<String, Value>)) {
    match node {
        Value::Object(members) => {
            seen(path, members);
            members.iter().for_each(|(name, member)| visit(member, &format!("{path}/{name}"), seen));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| visit(entry, path, seen)),
        _ => {}
    }
}

/// The `METHOD path` of every event of type HttpApi, without the one that takes what no other does.
fn template_routes() -> BTreeSet<String> {
    fn collect(node: &Yaml<'_>, routes: &mut BTreeSet<String>) {
        match node {
            Yaml::Mapping(entries) => {
                if node.as_mapping_get("Type").and_then(Yaml::as_str) == Some("HttpApi") {
                    let properties = node.as_mapping_get("Properties").unwrap();
                    let text = |name| Some(properties.as_mapping_get(name)?.as_str()?.to_owned());
                    routes.extend(
                        text("Method").zip(text("Path")).map(|(method, path)| format!("{method} {path}")),
                    );
                }
                entries.values().for_each(|entry| collect(entry, routes));
            }
            Yaml::Sequence(entries) => entries.iter().for_each(|entry| collect(entry, routes)),
            _ => {}
        }
    }
    let mut routes = BTreeSet::new();
    Yaml::load_from_str(TEMPLATE).unwrap().iter().for_each(|document| collect(document, &mut routes));
    routes
}

#[test]
fn the_document_is_openapi_3_1_of_this_version_and_licence() {
    let answered = document();
    assert_eq!(
        (answered.status_code, &answered.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let Some(Body::Text(text)) = answered.body else { panic!("no text") };
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
}

#[test]
fn the_routes_are_those_of_the_template() {
    let described: BTreeSet<String> = operations(&parsed(), "paths").into_keys().collect();
    assert_eq!(described, template_routes());
}

/// Routes that a version brings after the first release, whose settings come with the version after it.
const NOT_YET_NAMED: [&str; 0] = [];

#[test]
fn each_route_has_a_rate_that_fits_in_the_template() {
    let of_line = |line: &str| {
        let (route, rates) = line.trim().strip_prefix('"')?.split_once("\": {ThrottlingBurstLimit: ")?;
        let (burst, rate) = rates.strip_suffix('}')?.split_once(", ThrottlingRateLimit: ")?;
        assert_eq!(burst, rate, "{route}");
        Some((route.to_owned(), rate.parse::<u32>().unwrap()))
    };
    let rates: BTreeMap<String, u32> = TEMPLATE.lines().filter_map(of_line).collect();
    for (route, operation) in operations(&parsed(), "paths") {
        let (_, path) = route.split_once(' ').unwrap();
        let is_of_admin = operation["security"] == json!([{"adminKey": []}]);
        let is_guessed = route == "POST /console/session" || path.starts_with("/alert-stop/");
        let expected = if ["/bots/", "/push/"].iter().any(|intake| path.starts_with(intake)) {
            // That of all routes without one of their own: IntakeRate.
            None
        } else if is_of_admin || is_guessed {
            Some(20)
        } else if path == "/console/{asset}" {
            Some(1000)
        } else {
            Some(200)
        };
        let expected = expected.filter(|_| !NOT_YET_NAMED.contains(&route.as_str()));
        assert_eq!(rates.get(&route).copied(), expected, "{route}");
    }
}

#[test]
fn the_methods_of_a_path_are_told() {
    for (path, expected) in [
        ("/webhooks", Some("GET, POST")),
        ("/webhooks/wh_1", Some("DELETE, GET, PATCH")),
        ("/webhooks/wh_1/held/item_1", Some("DELETE")),
        ("/webhooks/", None),
        ("/webhooks/a/b/c", None),
        ("/nowhere", None),
        ("", None),
    ] {
        assert_eq!(methods(path).as_deref(), expected, "{path}");
    }
}

#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let document = parsed();
    let mut references = BTreeSet::new();
    visit(&document, "", &mut |_, members| {
        references.extend(members.get("$ref").map(|reference| reference.as_str().unwrap().to_owned()));
    });
    for reference in &references {
        let pointer = reference.strip_prefix('#').expect("references stay in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "parameters", "headers", "responses"] {
        for name in names(&document["components"][kind]) {
            assert!(references.contains(&format!("#/components/{kind}/{name}")), "{kind} {name}");
        }
    }
}

#[test]
fn every_operation_has_its_summary_caller_and_success() {
    let document = parsed();
    let mut ids = BTreeSet::new();
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut all = operations(&document, "paths");
    all.extend(operations(&document, "webhooks"));
    for (route, operation) in all {
        for field in ["summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{route} {field}");
        }
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{route}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)), "{route}");
        let security = operation["security"].as_array().expect("security, or none, is explicit");
        let schemes: Vec<String> = security.iter().flat_map(names).collect();
        let names_account = parameters::of_query(&route).contains(&parameters::Query::Account);
        let expected: &[&str] = match route.split_once(' ').unwrap().1 {
            "/"
            | "/alert-stop/{link}"
            | "/console"
            | "/console/{asset}"
            | "/docs"
            | "/docs/problems"
            | "/docs/problems/{problem}"
            | "/openapi.json"
            | "/schemas/collected-item.json"
            | "item" => &[],
            // Networks sign, or are asked nothing.
            path if path.starts_with("/push/") => &[],
            "/console/session" if route.starts_with("POST ") => &[],
            "/console/session" => &["session"],
            path if path.starts_with("/accounts") => &["adminKey"],
            "/networks" | "/unhealthy" => &["adminKey"],
            // The operator may name an account there.
            _ if names_account => &["accountKey", "adminKey"],
            _ => &["accountKey"],
        };
        assert_eq!(schemes, expected, "{route}");
        let statuses = names(&operation["responses"]);
        let is_end =
            |status: &&String| *status != "304" && (status.starts_with('2') || status.starts_with('3'));
        assert_eq!(statuses.iter().filter(is_end).count(), 1, "{route}");
    }
}

/// The generators of clients that this project is tried with need this of a document.
#[test]
fn the_document_has_what_generators_of_clients_read() {
    let document = parsed();
    let mut wrong = Vec::new();
    let requests: Vec<String> = requests::schemas().into_iter().map(|(name, _)| format!("/{name}")).collect();
    visit(&document["components"]["schemas"], "", &mut |path, members| {
        if path.contains("/example") || path.ends_with("/properties") {
            return;
        }
        let is = |name: &str, value: &Value| members.get(name) == Some(value);
        let is_array = members.get("type").is_some_and(|kind| kind == "array" || kind[0] == "array");
        for (fault, found) in [
            ("an array without items", is_array && !members.contains_key("items")),
            ("a constant that is a truth value", members.get("const").is_some_and(Value::is_boolean)),
            ("a default", members.contains_key("default")),
            (
                "a pattern that begins in the middle",
                members.get("pattern").is_some_and(|text| !text.as_str().unwrap().starts_with('^')),
            ),
            ("a mark of the derivation", members.contains_key("x-schema")),
            (
                "answers that admit no further field",
                is("additionalProperties", &json!(false))
                    && path != "/BulkLine"
                    && !requests.iter().any(|request| request == path),
            ),
        ] {
            if found {
                wrong.push(format!("{path}: {fault}"));
            }
        }
    });
    for (route, operation) in operations(&document, "paths") {
        if names(&operation["requestBody"]["content"]).len() > 1 {
            wrong.push(format!("{route}: two forms of one body"));
        }
        for (status, response) in object(&operation["responses"]) {
            for (media_type, content) in object(&response["content"]) {
                let has_example = content.get("example").is_some() || content.get("examples").is_some();
                let is_document = route.ends_with(".json")
                    || ["text/html", "text/css", "text/javascript"].contains(&media_type.as_str());
                if !has_example && !is_document {
                    wrong.push(format!("{route} {status} {media_type}: no example"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A schema of the document, which no longer admits fields that it does not name.
fn strict(document: &Value, schema: &Value) -> Value {
    let mut components = document["components"].clone();
    for (name, schema) in components["schemas"].as_object_mut().unwrap() {
        let open = ["Item", "Notice", "ResponseHeaders"].contains(&name.as_str());
        if !open && schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
    json!({"allOf": [schema], "components": components})
}

#[test]
fn every_example_is_of_its_schema_and_has_no_field_more() {
    let document = parsed();
    let mut seen = 0;
    visit(&document, "", &mut |path, members| {
        let Some(of) = members.get("schema") else { return };
        let mut examples: Vec<Value> = members.get("example").cloned().into_iter().collect();
        let more = members.get("examples").and_then(Value::as_object).into_iter().flatten();
        examples.extend(more.map(|(_, example)| example["value"].clone()));
        for example in examples {
            let validator = jsonschema::validator_for(&strict(&document, of)).unwrap();
            let faults: Vec<_> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{path}: {faults:?}");
            seen += 1;
        }
    });
    assert!(seen > 80, "{seen}");
}

#[test]
fn the_number_of_attempts_is_told() {
    let text = at(&parsed(), "/webhooks/item/post/description").as_str().unwrap().to_owned();
    assert!(text.contains(&format!("{} attempts at most", SCHEDULE.len() + 1)));
}

fn settings(given: &Value) -> Result<Settings, Vec<String>> {
    let settings = Settings::from_json(given.as_object().unwrap(), &PrivateTargets::default());
    settings.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
}

fn example_webhook() -> Webhook {
    let given = json!({"url": "https://hooks.example.com/", "items": ["message"]});
    let (id, account) = (WebhookId::from_bits(1), AccountId::from_bits(2));
    let fresh = Fresh::from_random([1; 32], *b"an example of a seed of 32 bytes");
    let credentials = Credentials::new(fresh.secret, Some(fresh.key_pair));
    Webhook::new(id, account, settings(&given).unwrap(), credentials, Timestamp::UNIX_EPOCH)
}

#[test]
fn what_a_webhook_is_set_to_is_what_its_parser_takes() {
    let document = parsed();
    let webhook = example_webhook();
    let settings = names(&serde_json::to_value(&webhook.settings).unwrap());
    for (name, more) in
        [("WebhookRequest", ["key_pair", "secret"].as_slice()), ("WebhookPatch", &["key_pair"])]
    {
        let mut taken = settings.clone();
        taken.extend(more.iter().map(|&field| field.to_owned()));
        if name == "WebhookPatch" {
            taken.extend(webhooks::READ_ONLY.map(|(field, _)| field.to_owned()));
        }
        assert_eq!(names(&schema(&document, name)["properties"]), taken, "{name}");
        assert_eq!(schema(&document, name)["additionalProperties"], false, "{name}");
    }
    let answered = names(&values::value(&view::webhook(&webhook, Timestamp::UNIX_EPOCH)));
    let settable: BTreeSet<_> = settings.iter().cloned().chain(["key_pair".to_owned()]).collect();
    let mut read_only: BTreeSet<_> = answered.difference(&settable).cloned().collect();
    read_only.extend(["state", "status", "trouble"].map(str::to_owned));
    assert_eq!(BTreeSet::from(webhooks::READ_ONLY.map(|(field, _)| field.to_owned())), read_only);
}

#[test]
fn other_bodies_are_described_as_their_parsers_take_them() {
    let document = parsed();
    for (name, fields) in [
        ("RotationRequest", ROTATION_FIELDS.as_slice()),
        ("ReplayRequest", &replay::FIELDS),
        ("LinkRequest", &LINK_FIELDS),
    ] {
        let fields: BTreeSet<_> = fields.iter().map(|&field| field.to_owned()).collect();
        assert_eq!(names(&schema(&document, name)["properties"]), fields, "{name}");
    }
}

fn new_page(given: &Value) -> Result<NewPage, Vec<String>> {
    let new = NewPage::from_json(given.as_object().unwrap());
    new.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
}

fn example_page() -> Page {
    let given = json!({
        "network": "facebook", "network_id": "1234567890321", "name": "Acme", "access_token": "EAAB-example",
    });
    let id = first_example(&parsed(), "PageId").parse().unwrap();
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    new_page(&given).unwrap().create(id, AccountId::from_bits(2), now).0
}

#[test]
fn what_a_page_is_set_to_is_what_its_parser_takes() {
    let document = parsed();
    let taken: BTreeSet<_> = page::FIELDS.into_iter().map(str::to_owned).collect();
    let read_only = pages::READ_ONLY.map(|(field, _)| field.to_owned());
    for (name, more) in [("PageRequest", [].as_slice()), ("PagePatch", &read_only)] {
        let taken = taken.iter().chain(more).cloned().collect();
        assert_eq!(names(&schema(&document, name)["properties"]), taken, "{name}");
        assert_eq!(schema(&document, name)["additionalProperties"], false, "{name}");
    }
    assert_eq!(texts(&schema(&document, "PageRequest")["required"]), new_page(&json!({})).unwrap_err());
    let answered = names(&values::value(&view::page(&example_page(), None, None, Timestamp::UNIX_EPOCH)));
    assert_eq!(BTreeSet::from(read_only), answered.difference(&taken).cloned().collect());
}

#[test]
fn the_freshness_of_the_example_is_what_its_counts_show() {
    let mut counts = Counts::default();
    for seconds in (0..95).map(|nth| nth * 10).chain([1100, 1200]) {
        counts.note(Kind::Comment, seconds);
    }
    for seconds in [3, 4, 5, 18] {
        counts.note(Kind::DirectMessage, seconds);
    }
    assert_eq!(examples::read_page()["freshness"], counts.shown());
}

/// The examples of a route's body.
fn bodies(document: &Value, route: &str) -> Vec<Value> {
    let content = at(document, &format!("/paths/{route}/requestBody/content"));
    let contents = object(&content).into_values();
    contents
        .flat_map(|content| object(&content["examples"]).into_values())
        .map(|one| one["value"].clone())
        .collect()
}

#[test]
fn the_examples_of_bodies_are_taken() {
    let document = parsed();
    let created = bodies(&document, "~1webhooks/post");
    let taken =
        |given: &Value| NewWebhook::from_json(given.as_object().unwrap(), &PrivateTargets::default()).is_ok();
    assert!(created.len() == 3 && created.iter().all(taken));
    let patches = bodies(&document, "~1webhooks~1{webhook}/patch");
    let webhook = example_webhook();
    let patched =
        |patch: &Value| webhook.patched(patch.as_object().unwrap(), &PrivateTargets::default()).is_ok();
    assert!(patches.len() == 5 && patches.iter().all(patched));
    let rotations = bodies(&document, "~1webhooks~1{webhook}~1secret/post");
    assert!(
        rotations.len() == 3
            && rotations.iter().all(|one| Rotation::from_json(one.as_object().unwrap()).is_ok())
    );
    let replays = bodies(&document, "~1webhooks~1{webhook}~1replay/post");
    assert!(
        replays.len() == 2 && replays.iter().all(|one| Wanted::from_json(one.as_object().unwrap()).is_ok())
    );
    let pages = bodies(&document, "~1pages/post");
    assert!(pages.len() == 2 && pages.iter().all(|page| new_page(page).is_ok()));
    let patches = bodies(&document, "~1pages~1{page}/patch");
    let now = Timestamp::UNIX_EPOCH;
    let page = example_page();
    assert!(
        patches.len() == 3 && patches.iter().all(|one| page.patched(one.as_object().unwrap(), now).is_ok())
    );
}

#[test]
fn the_examples_of_items_are_taken_and_answered_as_shown() {
    let document = parsed();
    for kind in ["messages", "events", "contacts"] {
        let pointer =
            format!("/paths/~1bots~1{{bot}}~1{kind}/post/requestBody/content/application~1json/example");
        assert!(item::read_head(at(&document, &pointer).to_string().as_bytes()).is_ok());
    }
    let bulk = at(&document, "/paths/~1bots~1{bot}~1items/post");
    let given = bulk["requestBody"]["content"]["application/x-ndjson"]["example"].clone();
    let lines = ndjson::lines(given.as_str().unwrap().as_bytes()).unwrap();
    let answered = bulk["responses"]["202"]["content"]["application/json"]["example"]["results"].clone();
    assert_eq!(answered.as_array().unwrap().len(), lines.len());
    for (line, result) in lines.iter().zip(answered.as_array().unwrap()) {
        match line {
            Ok(_) => assert!(result["id"].as_str().unwrap().parse::<ItemId>().is_ok()),
            Err(error) => {
                assert_eq!(error, &LineError::Type);
                let problem = Problem::invalid_field(error.field().unwrap(), error.to_string());
                assert_eq!(result["error"], serde_json::to_value(problem).unwrap());
            }
        }
    }
}

fn first_example(document: &Value, name: &str) -> String {
    schema(document, name)["examples"][0].as_str().unwrap().to_owned()
}

#[test]
fn the_examples_of_ids_keys_and_cursors_are_of_their_form() {
    let document = parsed();
    assert!(first_example(&document, "AccountId").parse::<AccountId>().is_ok());
    assert!(first_example(&document, "KeyId").parse::<KeyId>().is_ok());
    assert!(first_example(&document, "WebhookId").parse::<WebhookId>().is_ok());
    assert!(first_example(&document, "PageId").parse::<PageId>().is_ok());
    assert!(first_example(&document, "ItemId").parse::<ItemId>().is_ok());
    assert!(first_example(&document, "ReplayId").parse::<ReplayId>().is_ok());
    assert!(first_example(&document, "Source").parse::<Source>().is_ok());
    assert!(first_example(&document, "Time").parse::<Timestamp>().is_ok());
    let public_key = first_example(&document, "PublicKey").parse::<PublicKey>().ok();
    assert_eq!(public_key, example_webhook().credentials.public_key());
    let key = first_example(&document, "Key");
    assert_eq!(key.len(), ApiKey::from_random([7; 32]).reveal().len());
    assert!(key.starts_with("ck_"));
    let page = examples::accounts();
    assert_eq!(page["data"][0]["id"], cursor::decode("accounts", page["next"].as_str().unwrap()).unwrap());
}

#[test]
fn the_example_of_a_delivery_carries_signatures_that_verify() {
    let document = parsed();
    let delivery = at(&document, "/webhooks/item/post");
    let header = |name: &str| {
        let parameters = delivery["parameters"].as_array().unwrap();
        let parameter = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
        parameter["example"].as_str().unwrap().to_owned()
    };
    let secret: Secret = first_example(&document, "Secret").parse().unwrap();
    let item = &delivery["requestBody"]["content"]["application/json"]["examples"]["message"]["value"];
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let now = timestamp.parse().unwrap();
    let public_key: PublicKey = first_example(&document, "PublicKey").parse().unwrap();
    let (signature, item) = (header("webhook-signature"), item.to_string());
    for key in [Verifier::from(&secret), Verifier::from(&public_key)] {
        let verified = signature::verify(key, &id, &timestamp, &signature, item.as_bytes(), now);
        assert_eq!(verified, Ok(()), "{key:?}");
    }
}

#[test]
fn nothing_that_is_answered_has_a_closed_set_of_values() {
    let document = parsed();
    let mut closed = Vec::new();
    let mut look = |path: &str, members: &Map<String, Value>| {
        if members.contains_key("enum") {
            closed.push(path.to_owned());
        }
    };
    for below in ["paths", "webhooks"] {
        for (name, operation) in operations(&document, below) {
            visit(&operation["responses"], &name, &mut look);
        }
    }
    for name in ["Webhook", "Attempt", "HeldItem", "DeadItem", "Page", "Problem", "CollectedItem"] {
        visit(&schema(&document, name), name, &mut look);
    }
    assert_eq!(closed, Vec::<String>::new());
}

#[test]
fn every_item_type_has_an_example_of_its_delivery() {
    let examples = at(&parsed(), "/webhooks/item/post/requestBody/content/application~1json/examples");
    for item_type in item::ItemType::KNOWN {
        let name = if item_type == item::ItemType::INTERACTION { "comment" } else { item_type.as_str() };
        assert!(examples[name]["value"].is_object(), "{item_type}");
    }
}

#[test]
fn the_values_of_collected_items_are_the_cores() {
    let published: Value = serde_json::from_str(SCHEMA).unwrap();
    let of = |field: &str| published["properties"][field]["enum"].clone();
    assert_eq!(of("network"), json!(Network::ALL));
    assert_eq!(of("kind"), json!(Kind::ALL));
    assert_eq!(of("action"), json!(Action::ALL));
    assert_eq!(of("by"), json!([By::Push, By::Poll]));
    assert_eq!(published["properties"]["attachments"]["maxItems"], MAX_ATTACHMENTS);
    let mut parents = published["properties"]["parent"]["properties"]["kind"]["enum"].clone();
    assert_eq!(parents.as_array_mut().unwrap().pop(), Some(Value::Null));
    assert_eq!(parents, json!(Kind::ALL));
}
