//! The API's own description, OpenAPI 3.1.
//!
//! The document is written by hand. The tests hold it to the template's routes, to the core's limits and to what the
//! handlers take and answer; they do not check whether it is good OpenAPI otherwise. Limits that JSON Schema has no
//! word for stand in extensions (`x-max-bytes`, `x-max-lines`, …).

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::http_api::answer;

/// The description, as the repository holds it.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) fn document() -> ApiGatewayV2httpResponse {
    answer(200, "application/json", DOCUMENT.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
    use aws_lambda_events::encodings::Body;
    use carteiro_adapters::http::sender::{Attempted, MAX_RESPONSE_BYTES, USER_AGENT};
    use carteiro_adapters::runtime::http_api::{self, Request};
    use carteiro_adapters::tables::poll::{Schedule, StoredFault};
    use carteiro_adapters::tables::waiting::keys::Replay;
    use carteiro_adapters::tables::waiting::keys::ReplayKey;
    use carteiro_adapters::tables::waiting::replay::ReplayProgress;
    use carteiro_core::account_limit::MAX_KEYS_PER_ACCOUNT;
    use carteiro_core::account_limit::MAX_PAGES_PER_ACCOUNT;
    use carteiro_core::address::{MAX_URL_BYTES, PrivateTargets};
    use carteiro_core::attempt_log::{Entry, ItemFate, MAX_EXCERPT_BYTES, ReleaseStep};
    use carteiro_core::cause::Code;
    use carteiro_core::credentials::{
        Credentials, DEFAULT_OVERLAP_SECONDS, Fresh, MAX_OVERLAP_SECONDS, MAX_REPLACED, ROTATION_FIELDS,
        Rotation,
    };
    use carteiro_core::cursor::{self, DEFAULT_LIMIT, MAX_CURSOR_BYTES, MAX_LIMIT};
    use carteiro_core::delivery::Delivery;
    use carteiro_core::holding::HeldFor;
    use carteiro_core::id::{AccountId, ItemId, KeyId, PageId, ReplayId, WebhookId};
    use carteiro_core::idempotency;
    use carteiro_core::item::{self, ItemType, MAX_BOT_NAME_BYTES, MAX_ITEM_BYTES, Source};
    use carteiro_core::item_state::{self, DropCause, ItemState, Stored};
    use carteiro_core::key::ApiKey;
    use carteiro_core::message::LastError;
    use carteiro_core::ndjson::{self, LineError, MAX_BULK_BYTES, MAX_BULK_LINES};
    use carteiro_core::outcome::{FailureKind, Outcome};
    use carteiro_core::problem::Problem;
    use carteiro_core::replay::{self, Counts, Phase, Wanted};
    use carteiro_core::retry::{MAX_RETRY_AFTER, SCHEDULE};
    use carteiro_core::settlement::DeathCause;
    use carteiro_core::signature::{
        self, MAX_SECRET_BYTES, MIN_SECRET_BYTES, PublicKey, Secret, TOLERANCE_SECONDS, Verifier,
    };
    use carteiro_core::test_share::{LOOKUPS_A_MINUTE, LOOKUPS_AT_ONCE, TESTS_A_MINUTE, TESTS_AT_ONCE};
    use carteiro_core::transition::{Row, Value as Attribute};
    use carteiro_core::webhook::{
        MAX_BLOCK_SECONDS, MAX_DESCRIPTION_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_SOURCES, MAX_THRESHOLD,
        MAX_WEBHOOKS_PER_ACCOUNT, NewWebhook, Settings, Webhook,
    };
    use carteiro_networks::collected::{Action, By, Kind, MAX_ATTACHMENTS, SCHEMA};
    use carteiro_networks::freshness;
    use carteiro_networks::network::{MAX_NETWORK_ID_BYTES, Network};
    use carteiro_networks::page::{
        self, LastTick, MAX_PAGE_NAME_BYTES, MAX_TOKEN_BYTES, NewPage, Page, TickResult, TokenState,
    };
    use carteiro_networks::poll::OperatorFault;
    use carteiro_networks::push::MAX_PUSH_BYTES;
    use carteiro_networks::push::signature::MAX_CHALLENGE_BYTES;
    use carteiro_networks::push::subscription::SubscriptionState;
    use carteiro_networks::silence::Silence;
    use carteiro_networks::spec::Unsigned;
    use jiff::Timestamp;
    use saphyr::{LoadableYamlNode, Yaml};
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::call::is_open_to_operator;
    use crate::held_and_dead::{self, MAX_PAGE_ITEM_BYTES};
    use crate::items::{self, LogRead};
    use crate::unhealthy::{Trouble, Unhealthy};
    use crate::{attempts, body, networks, pages, replays, test_attempt, view, webhooks};

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

    fn parsed() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
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

    /// A node with its reference followed.
    fn resolved<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
        match node.get("$ref").and_then(Value::as_str) {
            Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            None => node,
        }
    }

    fn visit(node: &Value, seen: &mut impl FnMut(&Map<String, Value>)) {
        match node {
            Value::Object(members) => {
                seen(members);
                members.values().for_each(|member| visit(member, seen));
            }
            Value::Array(entries) => entries.iter().for_each(|entry| visit(entry, seen)),
            _ => {}
        }
    }

    /// The `METHOD path` of every event of type HttpApi.
    fn template_routes() -> BTreeSet<String> {
        fn collect(node: &Yaml<'_>, routes: &mut BTreeSet<String>) {
            match node {
                Yaml::Mapping(entries) => {
                    if node.as_mapping_get("Type").and_then(Yaml::as_str) == Some("HttpApi") {
                        let properties = node.as_mapping_get("Properties").unwrap();
                        let text = |name| properties.as_mapping_get(name).unwrap().as_str().unwrap();
                        routes.insert(format!("{} {}", text("Method"), text("Path")));
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
        let document = parsed();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
        assert_eq!(super::document().status_code, 200);
    }

    #[test]
    fn the_routes_are_those_of_the_template() {
        let routes = template_routes();
        assert!(routes.contains("GET /openapi.json"), "{routes:?}");
        let described: BTreeSet<String> = operations(&parsed(), "paths").into_keys().collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn braced_path_parts_are_exactly_the_path_parameters() {
        let document = parsed();
        for (route, operation) in operations(&document, "paths") {
            let in_path: BTreeSet<String> = route
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}').map(str::to_owned))
                .collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let parameters = parameters.iter().map(|parameter| resolved(&document, parameter));
            let parameters: Vec<_> = parameters.filter(|parameter| parameter["in"] == "path").collect();
            assert!(parameters.iter().all(|parameter| parameter["required"] == true), "{route}");
            let described = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned());
            assert_eq!(described.collect::<BTreeSet<_>>(), in_path, "{route}");
        }
    }

    #[test]
    fn every_reference_resolves_and_every_component_is_used() {
        let document = parsed();
        let mut references = BTreeSet::new();
        visit(&document, &mut |members| {
            if let Some(reference) = members.get("$ref") {
                references.insert(reference.as_str().unwrap().to_owned());
            }
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
            let expected: &[&str] = match route.split_once(' ').unwrap().1 {
                "/console" | "/openapi.json" | "/schemas/collected-item.json" | "item" => &[],
                // Networks sign, or are asked nothing.
                path if path.starts_with("/push/") => &[],
                path if path.starts_with("/accounts") => &["adminKey"],
                "/networks" | "/unhealthy" => &["adminKey"],
                // The operator may name an account there.
                _ if names_account(&operation) => &["accountKey", "adminKey"],
                _ => &["accountKey"],
            };
            assert_eq!(schemes, expected, "{route}");
            let open = is_open_to_operator(&route) && expected.contains(&"accountKey");
            assert_eq!(names_account(&operation), open, "{route}");
            let statuses = names(&operation["responses"]);
            assert_eq!(statuses.iter().filter(|status| status.starts_with('2')).count(), 1, "{route}");
        }
        let schemes = at(&document, "/components/securitySchemes");
        assert_eq!(names(&schemes), BTreeSet::from(["accountKey".to_owned(), "adminKey".to_owned()]));
        assert!(
            object(&schemes).values().all(|scheme| scheme["type"] == "http" && scheme["scheme"] == "bearer")
        );
    }

    /// Whether an operation takes the account that the operator means.
    fn names_account(operation: &Value) -> bool {
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.any(|parameter| parameter["$ref"] == "#/components/parameters/ofAccount")
    }

    /// The refusals that a route can give, by what it takes.
    fn refusals(route: &str, operation: &Value) -> BTreeSet<String> {
        if let Some((method, network)) = route.split_once(" /push/") {
            let push = network.parse::<Network>().unwrap().spec().push.unwrap();
            let of_network = match (method, push.page_parameter, push.unsigned) {
                ("GET", None, _) => ["400", "403"].as_slice(),
                ("GET", Some(_), _) => &["400", "404"],
                (_, _, Unsigned::Refused) => &["400", "401", "413", "415", "508"],
                (_, _, Unsigned::Ignored) => &["400", "413", "415", "508"],
            };
            let always = ["429", "500", "503"];
            return of_network.iter().chain(&always).map(|&status| status.to_owned()).collect();
        }
        let mut statuses = BTreeSet::from(["401", "429", "500", "503"]);
        let of_bot = route.contains("/bots/");
        if of_bot || route.ends_with("/test") {
            // An item that leads back here is refused at its limit.
            statuses.insert("508");
        }
        if !of_bot {
            // Where bots send, the admin key is not known at all.
            statuses.insert("403");
        }
        let of_one = ["{account}", "{webhook}", "{page}"].iter().any(|thing| route.contains(thing));
        if of_one || names_account(operation) {
            statuses.insert("404");
        }
        if route.starts_with("PATCH")
            || ["/enable", "/secret"].iter().any(|end| route.ends_with(end))
            || ["POST /pages", "POST /webhooks/{webhook}/replay"].contains(&route)
        {
            statuses.insert("409");
        }
        if operation.get("requestBody").is_some() {
            statuses.extend(["400", "413", "415", "422"]);
        }
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        if parameters.any(|parameter| parameter["$ref"] == "#/components/parameters/limit") {
            statuses.insert("422");
        }
        let checks =
            ["POST /accounts/{account}/keys", "DELETE /webhooks/{webhook}/held", "GET /items/{item}"];
        if checks.contains(&route) {
            // An account's keys are limited; a type is required; a webhook's id is checked.
            statuses.insert("422");
        }
        statuses.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_operation_has_exactly_the_refusals_that_it_can_give() {
        let document = parsed();
        for (route, operation) in operations(&document, "paths") {
            let statuses = names(&operation["responses"]);
            let refused: BTreeSet<String> =
                statuses.into_iter().filter(|status| !status.starts_with('2')).collect();
            let public = ["GET /console", "GET /openapi.json", "GET /schemas/collected-item.json"];
            if public.contains(&route.as_str()) {
                assert_eq!(refused, BTreeSet::from(["default".to_owned()]));
            } else {
                assert_eq!(refused, refusals(&route, &operation), "{route}");
            }
            for (status, response) in object(&operation["responses"]) {
                let content = &resolved(&document, &response)["content"]["application/problem+json"];
                // Only the gateway answers that a limit is reached, except where each account has one.
                let is_shared = route.ends_with("/test") || route == "GET /items/{item}";
                let gateways = status == "429" && !is_shared || status == "default";
                if status.starts_with('2') || gateways {
                    assert!(content.is_null(), "{route} {status}");
                    continue;
                }
                assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{route} {status}");
                let examples = object(&content["examples"]);
                let mut examples: Vec<_> = examples.values().map(|example| &example["value"]).collect();
                examples.extend(content.get("example"));
                assert!(!examples.is_empty(), "{route} {status}");
                for example in examples {
                    assert_eq!(example["status"].to_string(), status, "{route}");
                }
            }
        }
    }

    fn problems() -> [Problem; 14] {
        [
            Problem::bad_request(""),
            Problem::unauthorized(""),
            Problem::forbidden(""),
            Problem::not_found(""),
            Problem::conflict(""),
            Problem::already_exists(""),
            Problem::too_large(""),
            Problem::unsupported_media(""),
            Problem::invalid(""),
            Problem::idempotency_conflict(""),
            Problem::too_many_requests(""),
            Problem::internal(""),
            Problem::unavailable(""),
            Problem::loop_detected(""),
        ]
    }

    #[test]
    fn problems_are_described_and_shown_as_they_are_given() {
        let document = parsed();
        let described = schema(&document, "Problem");
        let kinds: Vec<String> = problems().into_iter().map(|problem| problem.kind).collect();
        assert_eq!(texts(&described["properties"]["type"]["enum"]), kinds);
        let statuses: BTreeSet<u16> = problems().iter().map(|problem| problem.status).collect();
        assert_eq!(described["properties"]["status"]["enum"], json!(statuses));
        let mut shown = BTreeSet::new();
        visit(&document, &mut |members| {
            let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
            let Some(problem) = problems().into_iter().find(|problem| problem.kind == kind) else { return };
            assert_eq!(members["title"], problem.title);
            assert_eq!(members["status"], problem.status);
            shown.insert(kind.to_owned());
        });
        assert_eq!(shown, kinds.into_iter().collect());
    }

    #[test]
    fn the_sets_of_values_are_the_cores() {
        let document = parsed();
        let known: Vec<_> = ItemType::KNOWN.iter().map(ItemType::to_string).collect();
        assert_eq!(texts(&schema(&document, "ItemType")["enum"]), known);
        let of_bots: Vec<_> = ItemType::OF_BOTS.iter().map(ItemType::to_string).collect();
        assert_eq!(texts(&schema(&document, "BotItemType")["enum"]), of_bots);
        let kinds = [
            FailureKind::Status,
            FailureKind::Redirect,
            FailureKind::Timeout,
            FailureKind::Dns,
            FailureKind::ForbiddenAddress,
            FailureKind::OwnAddress,
            FailureKind::Connect,
            FailureKind::Tls,
            FailureKind::Protocol,
        ];
        let kinds: Vec<_> = kinds.into_iter().map(FailureKind::as_str).collect();
        assert_eq!(texts(&schema(&document, "FailureKind")["enum"]), kinds);
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts(&schema(&document, "Cause")["properties"]["code"]["examples"]), codes);
        let reasons = HeldFor::ALL.map(HeldFor::as_str);
        assert_eq!(texts(&schema(&document, "HeldItem")["properties"]["held_for"]["enum"]), reasons);
        let causes = [DeathCause::Exhausted, DeathCause::RetentionOver, DeathCause::DeadLetter];
        let causes = causes.map(DeathCause::as_str);
        assert_eq!(texts(&schema(&document, "DeadItem")["properties"]["cause"]["enum"]), causes);
        let ends = schema(&document, "Attempt")["properties"]["became"]["enum"].clone();
        assert_eq!(ends, json!(ItemFate::ALL));
        let steps = schema(&document, "Attempt")["properties"]["release_step"]["enum"].clone();
        assert_eq!(steps, json!([ReleaseStep::First, ReleaseStep::Later, null]));
        let phases = Phase::ALL.map(Phase::as_str);
        assert_eq!(texts(&schema(&document, "Replay")["properties"]["state"]["enum"]), phases);
    }

    #[test]
    fn the_limits_are_the_cores() {
        let document = parsed();
        let limits = [
            ("/components/schemas/Item/x-max-bytes", MAX_ITEM_BYTES),
            ("/components/schemas/BotName/maxLength", MAX_BOT_NAME_BYTES),
            ("/components/schemas/BulkLine/properties/key/maxLength", idempotency::MAX_KEY_BYTES),
            ("/components/schemas/BulkResult/properties/results/maxItems", MAX_BULK_LINES),
            ("/components/schemas/Accepted/properties/webhooks/maximum", MAX_WEBHOOKS_PER_ACCOUNT),
            ("/components/parameters/idempotencyKey/schema/maxLength", idempotency::MAX_KEY_BYTES),
            ("/components/parameters/limit/schema/maximum", usize::from(MAX_LIMIT)),
            ("/components/parameters/limit/schema/default", usize::from(DEFAULT_LIMIT)),
            ("/components/parameters/cursor/schema/maxLength", MAX_CURSOR_BYTES),
            ("/components/schemas/AccountList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/components/schemas/WebhookList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/components/schemas/HeldList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/components/schemas/DeadList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/components/schemas/AttemptList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/components/schemas/Attempt/properties/response_body/x-max-bytes", MAX_EXCERPT_BYTES),
            ("/components/schemas/ReplayList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/paths/~1webhooks~1{webhook}~1held/get/x-max-page-item-bytes", MAX_PAGE_ITEM_BYTES),
            ("/paths/~1webhooks~1{webhook}~1dead/get/x-max-page-item-bytes", MAX_PAGE_ITEM_BYTES),
            ("/paths/~1bots~1{bot}~1items/post/requestBody/x-max-bytes", MAX_BULK_BYTES),
            ("/paths/~1bots~1{bot}~1items/post/requestBody/x-max-lines", MAX_BULK_LINES),
            ("/paths/~1bots~1{bot}~1messages/post/requestBody/x-max-bytes", MAX_ITEM_BYTES),
            ("/paths/~1bots~1{bot}~1events/post/requestBody/x-max-bytes", MAX_ITEM_BYTES),
            ("/paths/~1bots~1{bot}~1contacts/post/requestBody/x-max-bytes", MAX_ITEM_BYTES),
            ("/paths/~1push~1facebook/post/requestBody/x-max-bytes", MAX_PUSH_BYTES),
            ("/paths/~1push~1instagram/post/requestBody/x-max-bytes", MAX_PUSH_BYTES),
            ("/paths/~1push~1x/post/requestBody/x-max-bytes", MAX_PUSH_BYTES),
            ("/paths/~1push~1youtube/post/requestBody/x-max-bytes", MAX_PUSH_BYTES),
            ("/paths/~1push~1linkedin/post/requestBody/x-max-bytes", MAX_PUSH_BYTES),
            ("/paths/~1push~1x/get/parameters/0/schema/maxLength", MAX_CHALLENGE_BYTES),
            ("/paths/~1webhooks~1{webhook}~1test/post/x-max-tests-at-once", TESTS_AT_ONCE),
            ("/paths/~1webhooks~1{webhook}~1test/post/x-max-tests-a-minute", TESTS_A_MINUTE as usize),
            ("/paths/~1webhooks/post/x-max-webhooks", MAX_WEBHOOKS_PER_ACCOUNT),
            ("/paths/~1webhooks~1{webhook}~1secret/post/x-max-replaced", MAX_REPLACED),
            ("/components/schemas/Secret/x-min-bytes", MIN_SECRET_BYTES),
            ("/components/schemas/Secret/x-max-bytes", MAX_SECRET_BYTES),
            (
                "/components/schemas/RotationRequest/properties/overlap_seconds/maximum",
                MAX_OVERLAP_SECONDS as usize,
            ),
            (
                "/components/schemas/RotationRequest/properties/overlap_seconds/default",
                DEFAULT_OVERLAP_SECONDS as usize,
            ),
            ("/paths/~1pages/post/x-max-pages", MAX_PAGES_PER_ACCOUNT),
            ("/paths/~1accounts~1{account}~1keys/post/x-max-keys", MAX_KEYS_PER_ACCOUNT),
            ("/components/schemas/PageList/properties/data/maxItems", usize::from(MAX_LIMIT)),
            ("/webhooks/item/post/x-max-response-bytes", MAX_RESPONSE_BYTES),
        ];
        for (pointer, limit) in limits {
            assert_eq!(at(&document, pointer), json!(limit), "{pointer}");
        }
    }

    #[test]
    fn the_limits_of_a_webhooks_settings_are_the_cores() {
        let document = parsed();
        for name in ["WebhookRequest", "WebhookPatch", "Webhook", "WebhookWithSecret", "WebhookWithStatus"] {
            let properties = schema(&document, name)["properties"].clone();
            for (pointer, limit) in [
                ("/url/x-max-bytes", MAX_URL_BYTES),
                ("/sources/maxItems", MAX_SOURCES),
                ("/headers/maxProperties", MAX_HEADERS),
                ("/headers/x-max-bytes", MAX_HEADER_BYTES),
                ("/description/x-max-bytes", MAX_DESCRIPTION_BYTES),
                ("/threshold/maximum", MAX_THRESHOLD as usize),
                ("/block_seconds/maximum", MAX_BLOCK_SECONDS as usize),
            ] {
                assert_eq!(at(&properties, pointer), json!(limit), "{name}{pointer}");
            }
        }
    }

    #[test]
    fn the_retries_and_the_tolerance_are_the_cores() {
        let delivery = at(&parsed(), "/webhooks/item/post");
        let seconds: Vec<u64> = SCHEDULE.iter().map(|wait| wait.as_secs()).collect();
        assert_eq!(delivery["x-retry-seconds"], json!(seconds));
        assert_eq!(delivery["x-max-retry-after-seconds"], MAX_RETRY_AFTER.as_secs());
        assert_eq!(delivery["x-timestamp-tolerance-seconds"], TOLERANCE_SECONDS);
        let text = delivery["description"].as_str().unwrap();
        assert!(text.contains(&format!("{} attempts at most", SCHEDULE.len() + 1)));
    }

    fn request_of(bytes: usize) -> Request {
        let mut event = ApiGatewayV2httpRequest::default();
        event.body = Some(format!("{{}}{}", " ".repeat(bytes - 2)));
        Request::new(event).unwrap()
    }

    #[test]
    fn a_body_of_the_described_size_is_taken_and_a_byte_more_is_not() {
        let mut seen = 0;
        for (route, operation) in operations(&parsed(), "paths") {
            let Some(given) = operation
                .get("requestBody")
                .filter(|_| !route.contains("/bots/") && !route.contains("/push/"))
            else {
                continue;
            };
            let most = usize::try_from(given["x-max-bytes"].as_u64().unwrap()).unwrap();
            assert!(body::object(&request_of(most)).is_ok(), "{route}");
            assert_eq!(body::object(&request_of(most + 1)).unwrap_err().status, 413, "{route}");
            seen += 1;
        }
        assert_eq!(seen, 8);
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
    fn a_webhooks_fields_are_those_that_are_taken_and_answered() {
        let document = parsed();
        let webhook = example_webhook();
        let taken = names(&serde_json::to_value(&webhook.settings).unwrap());
        for (name, more) in
            [("WebhookRequest", ["key_pair", "secret"].as_slice()), ("WebhookPatch", &["key_pair"])]
        {
            let mut taken = taken.clone();
            taken.extend(more.iter().map(|&field| field.to_owned()));
            if name == "WebhookPatch" {
                taken.extend(webhooks::READ_ONLY.map(|(field, _)| field.to_owned()));
            }
            assert_eq!(names(&schema(&document, name)["properties"]), taken, "{name}");
            assert_eq!(schema(&document, name)["additionalProperties"], false, "{name}");
        }
        let rotation = schema(&document, "RotationRequest");
        assert_eq!(names(&rotation["properties"]), ROTATION_FIELDS.map(str::to_owned).into());
        assert_eq!(rotation["additionalProperties"], false);
        let now = Timestamp::UNIX_EPOCH;
        let answered = names(&view::webhook(&webhook, now));
        let settable: BTreeSet<_> = taken.iter().cloned().chain(["key_pair".to_owned()]).collect();
        let mut read_only: BTreeSet<_> = answered.difference(&settable).cloned().collect();
        read_only.insert("status".to_owned());
        assert_eq!(BTreeSet::from(webhooks::READ_ONLY.map(|(field, _)| field.to_owned())), read_only);
        assert_eq!(names(&view::with_secret(&webhook, now)).difference(&answered).count(), 1);
        for (name, more) in
            [("Webhook", None), ("WebhookWithSecret", Some("secret")), ("WebhookWithStatus", Some("status"))]
        {
            let mut expected = answered.clone();
            expected.extend(more.map(str::to_owned));
            let described = schema(&document, name);
            assert_eq!(names(&described["properties"]), expected, "{name}");
            assert_eq!(
                texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{name}"
            );
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

    /// When the example's page is polled.
    fn example_schedule(last: Option<LastTick>) -> Schedule {
        let page = example_page();
        Schedule {
            page: page.id,
            account: page.account,
            network: page.network,
            network_id: page.network_id,
            token_version: 1,
            next_at: Some(page.created_at),
            began_at: None,
            every_minutes: None,
            last,
            inspected: None,
            push: None,
            denied: None,
            proven: false,
            silence: None,
        }
    }

    #[test]
    fn a_pages_fields_are_those_that_are_taken_and_answered() {
        let document = parsed();
        let taken: BTreeSet<_> = page::FIELDS.into_iter().map(str::to_owned).collect();
        let read_only = pages::READ_ONLY.map(|(field, _)| field.to_owned());
        for (name, more) in [("PageRequest", [].as_slice()), ("PagePatch", &read_only)] {
            let taken = taken.iter().chain(more).cloned().collect();
            assert_eq!(names(&schema(&document, name)["properties"]), taken, "{name}");
            assert_eq!(schema(&document, name)["additionalProperties"], false, "{name}");
        }
        let needed = new_page(&json!({})).unwrap_err();
        assert_eq!(texts(&schema(&document, "PageRequest")["required"]), needed);
        let answered =
            view::page(&example_page(), Some(&example_schedule(None)), None, Timestamp::UNIX_EPOCH);
        let read_only = names(&answered).difference(&taken).cloned().collect::<BTreeSet<_>>();
        assert_eq!(BTreeSet::from(pages::READ_ONLY.map(|(field, _)| field.to_owned())), read_only);
        let last =
            LastTick { at: Timestamp::UNIX_EPOCH, result: TickResult::More, new: 1, calls: 2, cause: None };
        let mut schedule = example_schedule(Some(last));
        schedule.silence = Some(Silence { since: Timestamp::UNIX_EPOCH, usual_hours: 8 });
        let counts = example_counts();
        let asked = view::page(&example_page(), Some(&schedule), Some(&counts), Timestamp::UNIX_EPOCH);
        let freshness = &asked["freshness"];
        for (name, shown) in [
            ("Page", &answered),
            ("PageToken", &answered["token"]),
            ("LastTick", &asked["last_tick"]),
            ("PageSilence", &asked["silence"]),
            ("PageFreshness", freshness),
            ("FreshnessPromise", &freshness["promise"]),
            ("KindFreshness", &freshness["kinds"]["comment"]),
        ] {
            let described = schema(&document, name);
            assert_eq!(names(&described["properties"]), names(shown), "{name}");
            assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), names(shown));
        }
        let listed = at(&document, "/paths/~1pages/get/responses/200/content/application~1json/example");
        assert_eq!(listed["data"], json!([answered]));
        let read =
            at(&document, "/paths/~1pages~1{page}/get/responses/200/content/application~1json/example");
        assert_eq!(&read["freshness"], freshness);
    }

    /// The counts of the example's page.
    fn example_counts() -> freshness::Counts {
        let mut counts = freshness::Counts::default();
        for seconds in (0..95).map(|nth| nth * 10).chain([1100, 1200]) {
            counts.note(Kind::Comment, seconds);
        }
        for seconds in [3, 4, 5, 18] {
            counts.note(Kind::DirectMessage, seconds);
        }
        counts
    }

    #[test]
    fn the_values_and_limits_of_pages_are_the_cores() {
        let document = parsed();
        let kinds =
            schema(&document, "PageFreshness")["properties"]["kinds"]["propertyNames"]["enum"].clone();
        assert_eq!(kinds, json!(Kind::ALL));
        for name in ["PageRequest", "PagePatch", "Page"] {
            let properties = schema(&document, name)["properties"].clone();
            assert_eq!(properties["network"]["enum"], json!(Network::ALL), "{name}");
            assert_eq!(properties["network_id"]["maxLength"], MAX_NETWORK_ID_BYTES, "{name}");
            assert_eq!(properties["name"]["x-max-bytes"], MAX_PAGE_NAME_BYTES, "{name}");
            let mut ways = properties["delivery"]["enum"].clone();
            ways.as_array_mut().unwrap().retain(|way| !way.is_null());
            assert_eq!(ways, json!(page::Delivery::ALL), "{name}");
            for token in ["access_token", "refresh_token"] {
                let described = properties.get(token);
                assert_eq!(described.is_none(), name == "Page", "{token}");
                assert!(described.is_none_or(|token| token["x-max-bytes"] == MAX_TOKEN_BYTES), "{token}");
            }
        }
        let states = schema(&document, "PageToken")["properties"]["state"]["enum"].clone();
        assert_eq!(states, json!(TokenState::ALL));
        let pushes = schema(&document, "PagePush")["properties"]["state"]["enum"].clone();
        assert_eq!(pushes, json!(SubscriptionState::ALL));
        let results = schema(&document, "LastTick")["properties"]["result"]["enum"].clone();
        assert_eq!(results, json!(TickResult::ALL));
        for name in ["PageRequest", "PagePatch", "Page"] {
            let mut logins = schema(&document, name)["properties"]["login"]["enum"].clone();
            logins.as_array_mut().unwrap().retain(|login| !login.is_null());
            assert_eq!(logins, json!(page::Login::ALL), "{name}");
        }
    }

    #[test]
    fn what_the_operator_must_mend_is_described_as_it_is_answered() {
        let document = parsed();
        let described = schema(&document, "NetworkFault");
        let causes = described["properties"]["cause"]["enum"].clone();
        assert_eq!(causes, json!(OperatorFault::ALL));
        let mut causes = causes.as_array().unwrap().clone();
        causes.push(Value::Null);
        assert_eq!(schema(&document, "LastTick")["properties"]["cause"]["enum"], json!(causes));
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        let fault = OperatorFault::CreditsDepleted;
        let stored = StoredFault { network: Network::X, fault, since: at, seen_at: at };
        let shown = networks::view(&stored, 3);
        assert_eq!(names(&described["properties"]), names(&shown));
        assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), names(&shown));
        let listed = document
            .pointer("/paths/~1networks/get/responses/200/content/application~1json/example/data")
            .unwrap();
        assert_eq!(*listed, json!([shown]));
    }

    #[test]
    fn the_examples_of_pages_are_taken() {
        let document = parsed();
        let created =
            examples(&document, "/paths/~1pages/post/requestBody/content/application~1json/examples");
        assert_eq!(created.len(), 2);
        for example in &created {
            assert!(new_page(example).is_ok(), "{example}");
        }
        let (page, mut patched) = (example_page(), 0);
        for media_type in ["application~1merge-patch+json", "application~1json"] {
            let patches = format!("/paths/~1pages~1{{page}}/patch/requestBody/content/{media_type}/examples");
            for patch in examples(&document, &patches) {
                assert!(page.patched(patch.as_object().unwrap(), Timestamp::UNIX_EPOCH).is_ok(), "{patch}");
                patched += 1;
            }
        }
        assert_eq!(patched, 6);
    }

    fn described_status(document: &Value, shown: &Value) {
        let described = schema(document, "ItemTypeStatus");
        let mut shown = names(shown);
        shown.retain(|name| !["held_more", "dead_more"].contains(&name.as_str()));
        assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), shown);
        shown.extend(["held_more".to_owned(), "dead_more".to_owned()]);
        assert_eq!(names(&described["properties"]), shown);
    }

    #[test]
    fn the_state_of_a_type_has_the_described_fields_blocked_or_not() {
        let document = parsed();
        let webhook = example_webhook();
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let last_error = json!({"error": "status", "status": 503, "at": "2026-11-21T12:00:00Z"});
        let block = Row::from([
            ("failures", Attribute::Number(1000)),
            ("epoch", Attribute::Text("e".to_owned())),
            ("blocked_at", Attribute::Number(now.as_millisecond())),
            ("blocked_until", Attribute::Number(now.as_millisecond() + 14_400_000)),
            ("last_error", Attribute::Text(last_error.to_string())),
        ]);
        let open = view::of_type(&webhook, 1000, &ItemType::MESSAGE, None, view::Waiting::default(), now);
        let waiting = view::Waiting { held: 1001, ..view::Waiting::default() };
        let blocked = view::of_type(&webhook, 1000, &ItemType::MESSAGE, Some(&block), waiting, now);
        for shown in [&open, &blocked] {
            described_status(&document, shown);
        }
        let pointer = "/paths/~1webhooks~1{webhook}/get/responses/200/content/application~1json/example";
        let example = at(&document, pointer)["status"].clone();
        assert_eq!((&example["contact"], &example["message"]), (&open, &blocked));
        let states = texts(&schema(&document, "ItemTypeStatus")["properties"]["state"]["enum"]);
        assert_eq!(states, ["open", "blocked", "disabled"]);
    }

    #[test]
    fn held_and_dead_items_have_the_described_fields() {
        let document = parsed();
        let delivery = Delivery {
            account: AccountId::from_bits(1),
            webhook: WebhookId::from_bits(2),
            item: ItemId::from_bits(3),
            item_type: ItemType::EVENT,
            source: "bot:b".parse().unwrap(),
            accepted_at: Timestamp::UNIX_EPOCH,
            attempt: 1,
            chain: 0,
            revision: 1,
            step: None,
            replayed: None,
            keep_until: None,
            hop: carteiro_core::hop::Hop::default(),
            body: b"{}".to_vec(),
        };
        for (name, own) in [
            ("HeldItem", ["held_for", "due_at", "last_error"]),
            ("DeadItem", ["cause", "died_at", "last_error"]),
        ] {
            let described = schema(&document, name);
            for with_item in [false, true] {
                let mut shown = names(&held_and_dead::item(&delivery, with_item));
                shown.extend(own.map(str::to_owned));
                if with_item {
                    assert_eq!(names(&described["properties"]), shown, "{name}");
                } else {
                    let required: BTreeSet<_> = texts(&described["required"]).into_iter().collect();
                    assert_eq!(required, shown, "{name}");
                }
            }
        }
    }

    /// Asserts that a schema has the fields of a value, all of them required.
    fn is_described(document: &Value, name: &str, shown: &Value) {
        let described = schema(document, name);
        assert_eq!(names(&described["properties"]), names(shown), "{name}");
        let required: BTreeSet<_> = texts(&described["required"]).into_iter().collect();
        assert_eq!(required, names(shown), "{name}");
    }

    fn example_error() -> LastError {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        LastError { error: FailureKind::Status, status: Some(503), at, cause: None }
    }

    #[test]
    fn an_items_states_are_described_as_they_are_answered() {
        let document = parsed();
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let stored =
            Stored { held: Some((HeldFor::Retry, Some(time("2026-11-21T14:00:00Z")))), ..Stored::default() };
        let facts = items::Facts {
            known: &item_state::known(&stored, time("2026-11-21T12:00:00Z")),
            url: Some(example_webhook().settings.url.redacted()),
            attempt: Some(5),
            blocked_until: None,
            lane: Some("usual"),
            last_error: Some(&example_error()),
            last_attempt: None,
            log_read: LogRead::No,
        };
        let at_webhook = facts.view(&WebhookId::from_bits(1));
        is_described(&document, "ItemAtWebhook", &at_webhook);
        let source = "bot:support@example.com".parse().unwrap();
        let shown = items::shown(
            &first_example(&document, "ItemId").parse().unwrap(),
            &AccountId::from_bits(2),
            (Some(&ItemType::MESSAGE), Some(&source), Some(time("2026-11-21T12:00:00Z"))),
            None,
            &[at_webhook],
        );
        is_described(&document, "ItemStates", &shown);
        assert_eq!(example_at(&document, "~1items~1{item}/get/responses/200"), shown);
        let of = |field: &str| schema(&document, "ItemAtWebhook")["properties"][field]["enum"].clone();
        assert_eq!((of("state"), of("log_read")), (json!(ItemState::ALL), json!(LogRead::ALL)));
        let mut why: Vec<Value> = HeldFor::ALL.iter().map(|reason| json!(reason.as_str())).collect();
        why.extend(
            [DeathCause::Exhausted, DeathCause::RetentionOver, DeathCause::DeadLetter].map(|one| json!(one)),
        );
        why.extend(DropCause::ALL.map(|one| json!(one)));
        why.push(Value::Null);
        assert_eq!(of("why"), json!(why));
        assert_eq!(at(&document, "/paths/~1items~1{item}/get/x-max-logs"), items::LOGS);
        let text = at(&document, "/paths/~1items~1{item}/get/description").as_str().unwrap().to_owned();
        assert!(
            text.contains(&format!("{LOOKUPS_AT_ONCE} lookups"))
                && text.contains(&format!("{LOOKUPS_A_MINUTE} a minute"))
        );
    }

    #[test]
    fn what_is_unhealthy_is_described_as_it_is_answered() {
        let document = parsed();
        let (webhook, now) = (example_webhook(), "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap());
        let block = Row::from([
            ("failures", Attribute::Number(1000)),
            ("epoch", Attribute::Text("e".to_owned())),
            ("blocked_at", Attribute::Number(now.as_millisecond())),
            ("blocked_until", Attribute::Number(now.as_millisecond() + 14_400_000)),
            ("last_error", Attribute::Text(json!(example_error()).to_string())),
        ]);
        let blocked = Unhealthy::of_streak(&webhook, 1000, &ItemType::MESSAGE, Some(&block), now).unwrap();
        let shown = blocked.view();
        is_described(&document, "Unhealthy", &shown);
        assert_eq!(example_at(&document, "~1unhealthy/get/responses/200")["data"], json!([shown]));
        let states = schema(&document, "Unhealthy")["properties"]["state"]["enum"].clone();
        assert_eq!(states, json!(Trouble::ALL));
        let asked = at(&document, "/paths/~1unhealthy/get/parameters/0/schema/enum");
        assert_eq!(asked, states);
        // Over, healthy, enabled, and nothing dead.
        let later = "2026-11-21T16:00:00Z".parse().unwrap();
        assert!(Unhealthy::of_streak(&webhook, 1000, &ItemType::MESSAGE, Some(&block), later).is_none());
        assert!(Unhealthy::of_streak(&webhook, 1000, &ItemType::MESSAGE, None, now).is_none());
        assert!(Unhealthy::disabled(&webhook).is_none());
        assert!(Unhealthy::dead(&webhook, &ItemType::MESSAGE, 0).is_none());
        assert_eq!(Unhealthy::dead(&webhook, &ItemType::MESSAGE, 1001).unwrap().view()["dead"], 1000);
    }

    fn example_at(document: &Value, route: &str) -> Value {
        at(document, &format!("/paths/{route}/content/application~1json/example"))
    }

    #[test]
    fn an_attempt_is_shown_as_described() {
        let document = parsed();
        let example =
            example_at(&document, "~1webhooks~1{webhook}~1attempts/get/responses/200")["data"][0].clone();
        let mut entry = Entry {
            item: first_example(&document, "ItemId").parse().unwrap(),
            item_type: ItemType::MESSAGE,
            attempt: 2,
            at: "2026-11-21T12:00:05.3Z".parse().unwrap(),
            revision: 1,
            error: Some(FailureKind::Status),
            cause: None,
            status: Some(503),
            latency_ms: 41,
            response_body: Some("upstream is down".to_owned()),
            response_headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
            release_step: None,
            replay: None,
            became: ItemFate::Retry,
            next_at: Some("2026-11-21T12:00:36Z".parse().unwrap()),
        };
        assert_eq!(attempts::view(&entry), example);
        entry.error = None;
        let success = attempts::view(&entry);
        assert_eq!((&success["outcome"], &success["message"]), (&json!("success"), &Value::Null));
        for shown in [example, success] {
            let described = schema(&document, "Attempt");
            assert_eq!(names(&described["properties"]), names(&shown));
            assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), names(&shown));
        }
    }

    #[test]
    fn a_test_is_answered_as_described() {
        let document = parsed();
        let shown = examples(
            &document,
            "/paths/~1webhooks~1{webhook}~1test/post/responses/200/content/application~1json/examples",
        );
        let timeout = Outcome::failed(FailureKind::Timeout, None).because(Some(Code::HeadTimedOut.into()));
        let outcomes = [(timeout, 15_000), (Outcome::Success { status: 204 }, 41)];
        assert_eq!(shown.len(), outcomes.len());
        let described = schema(&document, "TestResult");
        for (example, (outcome, latency_ms)) in shown.iter().zip(outcomes) {
            let (response_headers, response_body) = Default::default();
            let attempted =
                Attempted { outcome, connected: true, latency_ms, response_headers, response_body };
            let item = first_example(&document, "ItemId").parse().unwrap();
            let answer =
                test_attempt::answer(&item, attempted, &example_webhook(), "", Timestamp::UNIX_EPOCH);
            assert_eq!(*example, answer);
            assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), names(&answer));
        }
    }

    #[test]
    fn a_replay_is_asked_for_and_shown_as_described() {
        let document = parsed();
        let described = schema(&document, "ReplayRequest");
        let taken: BTreeSet<_> = replay::FIELDS.into_iter().map(str::to_owned).collect();
        assert_eq!(
            (names(&described["properties"]), &described["additionalProperties"]),
            (taken, &json!(false))
        );
        let route =
            "/paths/~1webhooks~1{webhook}~1replay/post/requestBody/content/application~1json/examples";
        let asked = examples(&document, route);
        let asked: Vec<_> =
            asked.iter().map(|wanted| Wanted::from_json(wanted.as_object().unwrap()).unwrap()).collect();
        let [Wanted::Item(_), Wanted::Span { item_type, from, to }] = &asked[..] else {
            panic!("one item, and a span: {asked:?}");
        };
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let created_at = time("2026-11-24T16:00:00Z");
        let key = ReplayKey {
            webhook: WebhookId::from_bits(2),
            replay: first_example(&document, "ReplayId").parse().unwrap(),
        };
        let replay = Replay {
            key,
            account: AccountId::from_bits(1),
            item_type: item_type.clone(),
            item: None,
            from: *from,
            to: *to,
            created_at,
            expires_at: created_at,
            place: 0,
        };
        let mut progress =
            ReplayProgress { replay, counts: Counts::default(), taken_at: None, counted_at: None };
        let created = example_at(&document, "~1webhooks~1{webhook}~1replay/post/responses/202");
        assert_eq!(replays::view(&progress), created);
        let described = schema(&document, "Replay");
        assert_eq!(names(&described["properties"]), names(&created));
        assert_eq!(texts(&described["required"]).into_iter().collect::<BTreeSet<_>>(), names(&created));
        progress.counts = Counts { found: 1250, taken: 1250, delivered: 310, ..Counts::default() };
        progress.taken_at = Some(time("2026-11-24T16:00:07.25Z"));
        progress.counted_at = Some(time("2026-11-24T16:00:09Z"));
        let read = example_at(&document, "~1webhooks~1{webhook}~1replay~1{replay}/get/responses/200");
        assert_eq!(replays::view(&progress), read);
        let listed = example_at(&document, "~1webhooks~1{webhook}~1replay/get/responses/200");
        assert_eq!(listed["data"], json!([read]));
        progress.counts.dead = 940;
        let done = replays::view(&progress);
        assert_eq!(
            (&done["state"], &done["finished_at"]),
            (&json!("done"), &json!("2026-11-24T16:00:09.000Z"))
        );
    }

    #[test]
    fn a_refused_key_is_answered_with_the_described_scheme() {
        let document = parsed();
        let refused = http_api::failure("r", "GET /webhooks", Problem::unauthorized("").into());
        let scheme = refused.headers.get("www-authenticate").unwrap().to_str().unwrap();
        assert_eq!(at(&document, "/components/headers/WWW-Authenticate/schema/const"), json!(scheme));
        let headers = at(&document, "/components/responses/Unauthorized/headers");
        assert_eq!(names(&headers), BTreeSet::from(["WWW-Authenticate".to_owned()]));
    }

    #[test]
    fn the_reserved_headers_are_refused() {
        let headers = at(&parsed(), "/components/schemas/WebhookRequest/properties/headers");
        let prefixes = texts(&headers["x-reserved-prefixes"]);
        let mut reserved = texts(&headers["x-reserved-names"]);
        reserved.extend(prefixes.iter().map(|prefix| format!("{prefix}anything")));
        for name in reserved {
            let given = json!({"url": "https://example.com/", "items": ["event"], "headers": {&name: "a"}});
            assert_eq!(settings(&given).unwrap_err(), [format!("headers.{name}")]);
        }
    }

    fn examples(document: &Value, pointer: &str) -> Vec<Value> {
        object(&at(document, pointer)).into_values().map(|example| example["value"].clone()).collect()
    }

    #[test]
    fn the_examples_of_webhooks_are_taken() {
        let document = parsed();
        let created =
            examples(&document, "/paths/~1webhooks/post/requestBody/content/application~1json/examples");
        assert_eq!(created.len(), 3);
        for example in &created {
            let new = NewWebhook::from_json(example.as_object().unwrap(), &PrivateTargets::default());
            assert!(new.is_ok(), "{example}");
        }
        let first = example_webhook();
        for media_type in ["application~1merge-patch+json", "application~1json"] {
            let patches =
                format!("/paths/~1webhooks~1{{webhook}}/patch/requestBody/content/{media_type}/examples");
            for patch in examples(&document, &patches) {
                let patched = first.patched(patch.as_object().unwrap(), &PrivateTargets::default());
                assert!(patched.is_ok(), "{patch}");
            }
        }
        let rotations =
            "/paths/~1webhooks~1{webhook}~1secret/post/requestBody/content/application~1json/examples";
        for rotation in examples(&document, rotations) {
            assert!(Rotation::from_json(rotation.as_object().unwrap()).is_ok(), "{rotation}");
        }
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
                    let problem = serde_json::to_value(problem).unwrap();
                    assert_eq!(result["error"], problem);
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
        let pointer = "/paths/~1accounts/get/responses/200/content/application~1json/example";
        let page = at(&document, pointer);
        let last = cursor::decode("accounts", page["next"].as_str().unwrap()).unwrap();
        assert_eq!(page["data"][0]["id"], last);
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
        assert!(header("carteiro-source").parse::<Source>().is_ok());
        assert_eq!(header("user-agent"), USER_AGENT);
    }

    #[test]
    fn collected_items_are_described_as_in_their_published_schema() {
        let document = parsed();
        let published: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema(&document, "CollectedItem"), published);
        let shown = "/webhooks/item/post/requestBody/content/application~1json/examples/comment/value";
        assert_eq!(at(&document, shown), published["examples"][0]);
        let answered = at(&document, "/paths/~1schemas~1collected-item.json/get/responses/200");
        let response = crate::schemas::collected_item();
        let kept = response.headers["cache-control"].to_str().unwrap();
        assert_eq!(at(&answered, "/headers/Cache-Control/schema/const"), json!(kept));
        let media_type = response.headers["content-type"].to_str().unwrap();
        let described = &answered["content"][media_type]["schema"];
        for field in texts(&described["required"]) {
            assert!(published.get(&field).is_some(), "{field}");
            let fixed = &described["properties"][&field]["const"];
            assert!(fixed.is_null() || *fixed == published[&field], "{field}");
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

    #[test]
    fn the_description_is_answered_as_the_repository_holds_it() {
        let answered = document();
        assert_eq!(answered.headers["content-type"], "application/json");
        let Some(Body::Text(text)) = answered.body else { panic!("no text") };
        assert_eq!(text, DOCUMENT);
    }
}
