//! The API's own description, OpenAPI 3.1, derived from the code.
//!
//! Answers are structs whose schemas are derived; routes are described beside their handlers. What follows from what a
//! route is (its path's parameters, how it is refused, how large a body may be) is added here, so that no handler
//! repeats it. The document is `openapi.json`, which is written from this code and held to it by a test, so that the
//! function carries the text and not what makes it: `CARTEIRO_WRITE_DOCUMENTS=1 cargo test -p manage --lib` writes it
//! anew.
//!
//! To add a route:
//!
//! 1. Write its answer as a struct with `#[derive(Serialize, ToSchema)]` and a comment on each field; its name in the
//!    document is `#[schema(as = …)]`. A field that may be null is an `Option` with `#[schema(required)]`; one that may
//!    be absent has `skip_serializing_if`. Times are [`crate::values::Time`]; other values of the core's are named
//!    there, too.
//! 2. Put `#[utoipa::path(…)]` on the handler. The first paragraph of its comment is the summary, the others are the
//!    description: both are public. Say who may call it (`security`), its `request_body` (a name in [`requests`]), its
//!    success with an `example` (in [`examples`]), and those refusals that are its own (`response =
//!    refusals::Conflict`).
//! 3. Name the handler in [`Derived`], and in the routing of `lib.rs`.
//! 4. Name the parameters of its query in [`parameters::of_query`]: any other is refused.
//!
//! Limits that JSON Schema has no word for stand in extensions (`x-max-bytes`, `x-max-lines`, …).

mod delivery;
pub(crate) mod examples;
mod intake;
mod open_values;
pub(crate) mod parameters;
pub(crate) mod refusals;
pub(crate) mod requests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::http_api::answer;
use carteiro_core::browser;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::body::MAX_BODY_BYTES;
use crate::{
    accounts, activity, alert_stop, alerts, answers, attempts, cancel, console, docs, held_and_dead, items,
    listing, networks, pages, release, replays, rotation, schemas, sessions, test_attempt, unhealthy, values,
    webhooks,
};

/// What utoipa derives.
#[derive(OpenApi)]
#[openapi(
    paths(
        accounts::list,
        accounts::create,
        accounts::delete,
        accounts::create_key,
        accounts::delete_key,
        sessions::create_link,
        sessions::end_all,
        sessions::own_account,
        networks::list,
        unhealthy::list,
        items::read,
        listing::list,
        webhooks::create,
        webhooks::read,
        webhooks::change,
        webhooks::delete,
        test_attempt::make,
        release::unblock,
        release::enable,
        rotation::rotate,
        held_and_dead::held,
        cancel::of_type,
        cancel::item,
        held_and_dead::dead,
        attempts::list,
        activity::read,
        replays::create,
        replays::list,
        replays::read,
        pages::list,
        pages::create,
        pages::read,
        pages::change,
        pages::delete,
        pages::check,
        alerts::list,
        alerts::create,
        alerts::delete,
        alerts::confirm,
        alerts::resend,
        alert_stop::page,
        alert_stop::stop,
        console::entrance,
        console::page,
        console::asset,
        sessions::begin,
        sessions::read,
        sessions::end,
        docs::reference,
        docs::problems,
        docs::problem,
        schemas::collected_item,
        document,
    ),
    tags(
        (name = "accounts", description = "Customers and their keys. The operator's."),
        (name = "webhooks", description = "Where an account's items go."),
        (name = "networks", description = "What the operator has to mend at the networks."),
        (name = "pages", description = "An account's pages on networks, and the states of their tokens."),
        (name = "alerts", description = "Addresses of an account's people that are told of trouble."),
        (name = "bots", description = "What bots produce."),
        (name = "pushes", description = "What networks push."),
        (name = "console", description = "The page for people."),
        (name = "description", description = "The API's own description."),
        (name = "deliveries", description = "What a webhook's URL receives."),
    )
)]
struct Derived;

/// Read this description
///
/// The description of this API. No key is needed.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "readDescription",
    tag = "description",
    security(()),
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json")),
)]
pub(crate) fn document() -> ApiGatewayV2httpResponse {
    answer(200, "application/json", DOCUMENT.to_owned())
}

/// The document, as it is answered.
const DOCUMENT: &str = include_str!("../openapi.json");

/// A path of the document: its parts, and the methods that it takes.
type Described = (Vec<String>, Vec<String>);

/// The document's paths, read once.
fn paths() -> &'static [Described] {
    static PATHS: OnceLock<Vec<Described>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let methods = |of_path: &Value| {
            let methods = of_path.as_object().into_iter().flatten();
            methods.map(|(method, _)| method.to_ascii_uppercase()).collect()
        };
        paths.map(|(path, of_path)| (parts(path), methods(of_path))).collect()
    })
}

fn parts(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// The methods that a path takes, as `Allow` lists them; none where nothing is there.
pub(crate) fn methods(path: &str) -> Option<String> {
    let sent = parts(path);
    let is_it = |described: &[String]| {
        let is_part =
            |(part, sent): (&String, &String)| part == sent || part.starts_with('{') && !sent.is_empty();
        described.len() == sent.len() && described.iter().zip(&sent).all(is_part)
    };
    let found = paths().iter().filter(|(described, _)| is_it(described));
    let methods: BTreeSet<&str> = found.flat_map(|(_, methods)| methods).map(String::as_str).collect();
    (!methods.is_empty()).then(|| methods.into_iter().collect::<Vec<_>>().join(", "))
}

/// The description, made of the code: what `openapi.json` must be.
#[must_use]
pub fn description() -> Value {
    let derived = values::value(&Derived::openapi());
    let mut paths = derived["paths"].as_object().cloned().unwrap_or_default();
    paths.extend(intake::paths());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info(),
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "servers": [{"url": "/", "description": "The deployment that serves this description."}],
        "tags": derived["tags"],
        "paths": paths,
        "webhooks": delivery::webhooks(),
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": parameters::components(),
            "headers": refusals::headers(),
            "responses": refusals::components(),
            "schemas": derived["components"]["schemas"],
        },
    });
    tidy(&mut document);
    complete_schemas(&mut document["components"]["schemas"]);
    for (path, of_path) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in of_path.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
        }
    }
    open_values::open(&mut document);
    document
}

fn info() -> Value {
    let description = [
        "Accounts and their keys are the operator's, with the deployment's admin key. Webhooks, pages and bots are an \
         account's, with a key of that account; what belongs to another account is answered 404.",
        "Requests and answers are JSON in UTF-8, times are RFC 3339 in UTC, and lengths count bytes of UTF-8. \
         `x-max-bytes` states such a limit where JSON Schema counts characters or has no word for it; other extensions \
         (`x-…`) state limits likewise. Answers may gain fields, and the sets of values in them may grow: \
         `x-extensible-enum` lists those of today.",
        "Errors are problem details (RFC 9457). Their `type` is the address of a description, relative to this API, and \
         ends with the name of the kind; `request_id` is the id of the request, for the operator to find it in the log. \
         A method that a path does not take is answered 405 with `Allow`; a parameter of the query that a route does \
         not know, 422. What the gateway in front refuses by itself (too many requests, 429; a request of more than \
         about 6 MB, 413; a request line and headers of more than 10 KB, 431) is answered `{\"message\": …}` as \
         `application/json`.",
        "Lists come in pages: ask for `limit` entries, and hand `next` back as `cursor` until it is null.",
    ];
    json!({
        "title": "Carteiro",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Carries what bots produce and networks push to the webhooks that customers configured.",
        "description": description.join("\n\n"),
        "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    })
}

fn security_schemes() -> Value {
    json!({
        "accountKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of an account, `ck_` and 64 hexadecimal digits: `Authorization: Bearer ck_…`.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": browser::COOKIE,
            "description": "The cookie of a session of the console. It stands for an account's key in every route of an \
                            account; a request that is no GET needs the header `carteiro-csrf`, too.",
        },
        "adminKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "The deployment's admin key, of which the deployment knows the SHA-256 alone: \
                            `Authorization: Bearer …`.",
        },
    })
}

/// Brings what is derived into the document's form: takes in the members of `x-schema`, joins the lines of comments,
/// and leaves out how wide Rust's numbers are.
fn tidy(node: &mut Value) {
    match node {
        Value::Object(members) => {
            if let Some(Value::Object(more)) = members.remove("x-schema") {
                members.extend(more);
            }
            if members.get("format").is_some_and(|format| format == "int32" || format == "int64") {
                members.remove("format");
            }
            if let Some(Value::Array(forms)) = members.remove("oneOf") {
                // Something, or null: what is said of it is said of both.
                let (mut forms, null): (Vec<_>, Vec<_>) =
                    forms.into_iter().partition(|form| form["type"] != "null");
                let described = forms.iter_mut().find_map(|form| form.as_object_mut()?.remove("description"));
                members.extend(described.map(|text| ("description".to_owned(), text)));
                forms.extend(null);
                members.insert("anyOf".to_owned(), Value::Array(forms));
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                let paragraphs: Vec<_> = text.split("\n\n").map(|one| one.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            members
                .iter_mut()
                .filter(|(name, _)| !name.starts_with("example"))
                .for_each(|(_, member)| tidy(member));
        }
        Value::Array(entries) => entries.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Puts the schemas in place that are not derived, and makes one object of those that are put together.
fn complete_schemas(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else { return };
    let known = values::schemas().into_iter().chain(requests::schemas());
    schemas.extend(known.map(|(name, schema)| (name.to_owned(), schema)));
    schemas.insert("CollectedItem".to_owned(), delivery::collected_item());
    schemas.insert("Notice".to_owned(), delivery::notice());
    for (name, field, bounds) in answers::bounds() {
        let list = schemas.get_mut(name).and_then(|schema| schema["properties"][field].as_object_mut());
        if let (Some(list), Value::Object(bounds)) = (list, bounds) {
            list.extend(bounds);
        }
    }
    let derived = schemas.clone();
    for schema in schemas.values_mut() {
        if let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) {
            for part in parts {
                join(schema, part, &derived);
            }
        }
    }
    let (webhook, page) = (schemas["Webhook"].clone(), schemas["Page"].clone());
    schemas.extend(
        requests::of_answers(&webhook, &page).into_iter().map(|(name, schema)| (name.to_owned(), schema)),
    );
}

/// Adds the fields of a part to an object's schema.
fn join(schema: &mut Value, part: Value, derived: &Map<String, Value>) {
    let name = part["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let part = name.and_then(|name| derived.get(name)).cloned().unwrap_or(part);
    schema["type"] = json!("object");
    if let (Value::Object(properties), Value::Array(required)) = (&part["properties"], &part["required"]) {
        let mut all = schema["properties"].as_object().cloned().unwrap_or_default();
        all.extend(properties.clone());
        schema["properties"] = Value::Object(all);
        let mut names = schema["required"].as_array().cloned().unwrap_or_default();
        names.extend(required.iter().cloned());
        schema["required"] = Value::Array(names);
    }
}

/// Adds to an operation what follows from what it is.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let route = format!("{} {path}", method.to_ascii_uppercase());
    let own = operation["parameters"].take();
    let mut all = parameters::of_path(path);
    all.extend(parameters::of_query(&route).into_iter().map(parameters::Query::described));
    // The account that the operator means comes first.
    all.sort_by_key(|parameter| parameter["$ref"] != "#/components/parameters/ofAccount");
    all.extend(own.as_array().into_iter().flatten().cloned());
    if refusals::may_be_unchanged(&route, operation) {
        all.push(parameters::shared("ifNoneMatch"));
        operation["responses"]["304"] = refusals::unchanged();
        operation["responses"]["200"]["headers"] = json!({"ETag": {"$ref": "#/components/headers/ETag"}});
    }
    let hop = parameters::shared("hop");
    if operation["responses"].get("508").is_some() && !all.contains(&hop) {
        // What may lead round in a loop says how often it has.
        all.push(hop);
    }
    if let Some(operation) = operation.as_object_mut() {
        operation.remove("parameters");
        if !all.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(all));
        }
        // No key is asked for.
        if operation.get("security") == Some(&json!([{}])) {
            operation.insert("security".to_owned(), json!([]));
        }
    }
    optional_body(operation);
    if operation["requestBody"].is_object() && operation["requestBody"]["x-max-bytes"].is_null() {
        let description = operation["requestBody"]["description"].as_str().unwrap_or_default();
        operation["requestBody"]["description"] = json!(format!("{description} At most 65,536 bytes."));
        operation["requestBody"]["x-max-bytes"] = json!(MAX_BODY_BYTES);
    }
    let refusals = refusals::of_route(&route, operation);
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, name) in refusals {
        let shared = json!({"$ref": format!("#/components/responses/{name}")});
        responses.entry(status).or_insert(shared);
    }
}

/// Says of a body that may be left out that it may, and not that it may be null.
fn optional_body(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    for content in body["content"].as_object_mut().into_iter().flat_map(|contents| contents.values_mut()) {
        if let Some(Value::Array(forms)) = content["schema"].get("anyOf") {
            content["schema"] = forms[0].clone();
            body["required"] = json!(false);
            return;
        }
    }
}
