//! Sets of values that may grow, in what clients read.
//!
//! A generated client makes of `enum` a closed type and refuses an answer with a value that it does not know, so that a
//! new state or item type would break it. What is answered and delivered therefore has the set as `x-extensible-enum`,
//! which generators pass over; what is sent keeps `enum`, because a value that is not in it is refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What a set that may grow is called: the extension that several guidelines for HTTP APIs use.
pub(super) const EXTENSIBLE: &str = "x-extensible-enum";

const SCHEMAS: &str = "#/components/schemas/";

/// Opens every set of values that an answer or a delivery has.
pub(super) fn open(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let (read, sent) =
        (reached(document, &schemas, is_read), reached(document, &schemas, |part| !is_read(part)));
    // A set that is sent as well keeps its name for that; where it is read it is written out.
    let shared = sent.intersection(&read).filter(|name| schemas[*name].get("enum").is_some());
    let shared: Map<String, Value> = shared.map(|name| (name.clone(), schemas[name].clone())).collect();
    for_each_part(document, |part, node| {
        if is_read(part) {
            opened(node, &shared);
        }
    });
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if read.contains(name) && !sent.contains(name) {
            opened(schema, &shared);
        }
    }
}

/// Whether clients read a part of an operation: its answers, and the whole of a delivery.
fn is_read(part: &str) -> bool {
    part == "responses" || part == "webhooks"
}

/// Visits what clients read or send: each part of each operation, the shared answers and parameters, and deliveries.
fn for_each_part(document: &mut Value, mut visit: impl FnMut(&str, &mut Value)) {
    for (_, path) in document["paths"].as_object_mut().into_iter().flatten() {
        for (_, operation) in path.as_object_mut().into_iter().flatten() {
            operation.as_object_mut().into_iter().flatten().for_each(|(name, part)| visit(name, part));
        }
    }
    for shared in ["responses", "parameters"] {
        visit(shared, &mut document["components"][shared]);
    }
    visit("webhooks", &mut document["webhooks"]);
}

/// The names of the schemas that some parts lead to.
fn reached(
    document: &mut Value,
    schemas: &Map<String, Value>,
    is_meant: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for_each_part(document, |part, node| {
        if is_meant(part) {
            follow(node, schemas, &mut reached);
        }
    });
    reached
}

fn follow(node: &Value, schemas: &Map<String, Value>, reached: &mut BTreeSet<String>) {
    match node {
        Value::Object(members) => {
            if let Some((name, schema)) = named(members).and_then(|name| Some((name, schemas.get(name)?)))
                && reached.insert(name.to_owned())
            {
                follow(schema, schemas, reached);
            }
            members.values().for_each(|member| follow(member, schemas, reached));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| follow(entry, schemas, reached)),
        _ => {}
    }
}

/// The name of the schema that a reference leads to.
fn named(members: &Map<String, Value>) -> Option<&str> {
    members.get("$ref")?.as_str()?.strip_prefix(SCHEMAS)
}

/// Opens the sets of values in a schema, and those of `shared` that it refers to.
fn opened(node: &mut Value, shared: &Map<String, Value>) {
    match node {
        Value::Object(members) => {
            if let Some(schema) = named(members).and_then(|name| shared.get(name)) {
                let Value::Object(schema) = schema.clone() else { return };
                members.remove("$ref");
                // What the place says of itself goes before what the set says.
                for (name, member) in schema {
                    members.entry(name).or_insert(member);
                }
            }
            if let Some(Value::Array(values)) = members.remove("enum") {
                members.entry("type").or_insert_with(|| types(&values));
                members.insert(EXTENSIBLE.to_owned(), Value::Array(values));
            }
            let members = members.iter_mut().filter(|(name, _)| !name.starts_with("example"));
            members.for_each(|(_, member)| opened(member, shared));
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| opened(entry, shared)),
        _ => {}
    }
}

/// The types of values, as `type` names them.
fn types(values: &[Value]) -> Value {
    let named = |value: &Value| match value {
        Value::String(_) => "string",
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut types: Vec<&str> = Vec::new();
    for value in values.iter().map(named) {
        if !types.contains(&value) {
            types.push(value);
        }
    }
    if let [one] = types[..] { json!(one) } else { json!(types) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        let reference = |name: &str| json!({"$ref": format!("{SCHEMAS}{name}")});
        json!({
            "paths": {"/things": {"post": {
                "requestBody": {"content": {"application/json": {"schema": reference("Order")}}},
                "responses": {"200": {"content": {"application/json": {"schema": reference("Thing")}}}},
            }}},
            "webhooks": {},
            "components": {"responses": {}, "parameters": {}, "schemas": {
                "Order": {"properties": {"kind": reference("Kind"), "speed": {"enum": ["slow"]}}},
                "Thing": {"properties": {
                    "kind": {"$ref": format!("{SCHEMAS}Kind"), "description": "Its own."},
                    "state": reference("State"),
                    "cause": {"enum": ["late", null]},
                }},
                "Kind": {"type": "string", "enum": ["a", "b"], "description": "A kind."},
                "State": {"type": "string", "enum": ["open"]},
            }},
        })
    }

    fn opened() -> Value {
        let mut document = document();
        open(&mut document);
        document["components"]["schemas"].take()
    }

    #[test]
    fn sets_in_answers_may_grow() {
        let schemas = opened();
        assert_eq!(schemas["State"], json!({"type": "string", EXTENSIBLE: ["open"]}));
        let cause = json!({"type": ["string", "null"], EXTENSIBLE: ["late", null]});
        assert_eq!(schemas["Thing"]["properties"]["cause"], cause);
    }

    #[test]
    fn sets_in_requests_stay_as_they_are() {
        let (schemas, before) = (opened(), document());
        assert_eq!(schemas["Order"], before["components"]["schemas"]["Order"]);
        assert_eq!(schemas["Kind"], before["components"]["schemas"]["Kind"]);
    }

    #[test]
    fn a_set_of_both_is_written_out_where_it_is_read() {
        let kind = json!({"type": "string", EXTENSIBLE: ["a", "b"], "description": "Its own."});
        assert_eq!(opened()["Thing"]["properties"]["kind"], kind);
    }
}
