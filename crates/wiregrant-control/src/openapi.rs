//! The description of the API: OpenAPI 3.1, made from the router's own list and the signatures of its handlers.
//!
//! Paths, roles and problems come from [`crate::router::endpoints`], what goes in and out from the types that handlers take and
//! give ([`shape`]), the types' fields from the very serde attributes that read and write them. See ADR 10.

pub mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wiregrant_core::api::{HEADER_IDEMPOTENCY_KEY, PREFIX, Problem, ProblemKind};

use crate::idempotency;
use crate::router::{Endpoint, endpoints};
use crate::sign_in::Who;
use shape::{Shape, Variables};

/// Where the description is served.
pub const PATH: &str = "/openapi.json";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /openapi.json`
pub async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The whole description.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>().to_value();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for endpoint in endpoints() {
        let operation = operation(&endpoint, &mut schemas, &problem);
        let path = format!("{PREFIX}{}", endpoint.path);
        paths.entry(path).or_default().insert(endpoint.method.as_str().to_lowercase(), operation);
    }
    let schemas = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "wiregrant",
            "description": "The control plane: nodes, access codes, grants, statements, payouts.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    })
}

fn security_schemes() -> Value {
    let described = |text: &str| json!({ "type": "http", "scheme": "bearer", "description": text });
    let header = |name: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": "A node's request; see docs/formats.md." });
    json!({
        "token": described("A token, shown once. A browser may send its cookie instead."),
        "cookie": { "type": "apiKey", "in": "cookie", "name": "__Host-wiregrant", "description": "From /sign-in." },
        "accessCode": described("An access code."),
        "node": header(wiregrant_core::request::HEADER_NODE),
        "nodeTime": header(wiregrant_core::request::HEADER_TIME),
        "nodeNonce": header(wiregrant_core::request::HEADER_NONCE),
        "nodeSignature": header(wiregrant_core::request::HEADER_SIGNATURE),
    })
}

fn security(who: Who) -> Value {
    match who {
        Who::Everyone => json!([]),
        Who::CodeHolder => json!([{ "accessCode": [] }]),
        Who::Node => json!([{ "node": [], "nodeTime": [], "nodeNonce": [], "nodeSignature": [] }]),
        _ => json!([{ "token": [] }, { "cookie": [] }]),
    }
}

/// Who may ask, in words.
#[must_use]
pub fn who_in_words(who: Who) -> &'static str {
    match who {
        Who::Everyone => "everyone",
        Who::Administrator => "administrator",
        Who::OperatorToo => "administrator, operator",
        Who::FunderToo => "administrator, funder",
        Who::Issuer => "distributor, operator",
        Who::Auditor => "auditor",
        Who::SignedIn => "whoever has a token",
        Who::Claimant => "whoever has a token, the bootstrap token too",
        Who::CodeHolder => "whoever holds an access code",
        Who::Node => "node",
    }
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator, problem: &Value) -> Value {
    let shape = (endpoint.shape)(schemas);
    let problems = problems(endpoint, &shape);
    let is_read = endpoint.method == Method::GET && endpoint.who != Who::Node;
    let mut parameters = path_parameters(endpoint.path, &shape.path);
    parameters.extend(shape.query.iter().map(|(name, schema, is_required)| {
        json!({ "name": name, "in": "query", "required": is_required, "schema": schema })
    }));
    if idempotency::applies(&endpoint.method, endpoint.who) {
        parameters.push(json!({
            "name": HEADER_IDEMPOTENCY_KEY, "in": "header", "required": false,
            "description": "Sent again with the same request within 24 hours, gets the same answer and does nothing twice.",
            "schema": { "type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[!-~]{16,128}$" },
        }));
    }
    if is_read {
        parameters.push(json!({
            "name": "if-none-match", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The ETag of what one has: the answer is 304 while it is the same.",
        }));
    }
    let id = format!("{} {}", endpoint.method.as_str().to_lowercase(), endpoint.path);
    let id = id.replace(['{', '}'], "").replace([' ', '/', '-'], "_").replace("__", "_");
    let mut operation = json!({
        "operationId": id,
        "summary": endpoint.says,
        "description": format!("For: {}.", who_in_words(endpoint.who)),
        "security": security(endpoint.who),
        "parameters": parameters,
        "responses": responses(&shape, &problems, is_read, problem),
    });
    if let Some((media, schema)) = &shape.body {
        operation["requestBody"] = json!({ "required": true, "content": { *media: { "schema": schema } } });
    }
    operation
}

fn path_parameters(path: &str, variables: &Variables) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let described = |name: &str| {
        let schema = match variables {
            Variables::Named(schemas) => schemas.get(name).cloned(),
            Variables::One(schema) => Some(schema.clone()),
            Variables::None => None,
        };
        let schema = schema.unwrap_or_else(|| json!({ "type": "string" }));
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    names.map(described).collect()
}

/// Every problem that this operation may answer with: its own, those of what it takes, of the gate before it, and of any.
#[must_use]
pub fn problems(endpoint: &Endpoint, shape: &Shape<'_>) -> BTreeSet<ProblemKind> {
    use ProblemKind::{
        AccessCode, Busy, CrossSite, Forbidden, IdempotencyKey, Internal, InvalidRequest, LogContinued,
        RequestClock, RequestReplayed, RequestSignature, TooLarge, TooMany, Unauthorized,
    };
    let of_gate: &[ProblemKind] = match endpoint.who {
        Who::Everyone => &[],
        Who::CodeHolder if endpoint.method == Method::POST => &[Unauthorized, AccessCode, TooMany],
        Who::CodeHolder => &[Unauthorized, AccessCode],
        Who::Node => &[RequestSignature, LogContinued, RequestClock, RequestReplayed, TooLarge, Forbidden],
        _ => &[Unauthorized, Forbidden, CrossSite],
    };
    let of_key: &[ProblemKind] = match idempotency::applies(&endpoint.method, endpoint.who) {
        true => &[IdempotencyKey, InvalidRequest, TooLarge],
        false => &[],
    };
    let own = endpoint.problems.iter().chain(of_gate).chain(of_key).copied();
    own.chain(shape.problems.iter().copied()).chain([Busy, Internal]).collect()
}

fn responses(
    shape: &Shape<'_>,
    problems: &BTreeSet<ProblemKind>,
    is_read: bool,
    problem: &Value,
) -> BTreeMap<String, Value> {
    let mut responses = BTreeMap::new();
    let (status, content) = &shape.answer;
    let mut well = json!({ "description": "It is done." });
    if let Some((media, schema)) = content {
        well["content"] = json!({ *media: { "schema": schema } });
    }
    let mut headers = Map::new();
    if is_read {
        let schema = json!({ "type": "string" });
        headers.insert("ETag".to_owned(), json!({ "required": true, "schema": schema }));
        let same = json!({ "description": "It is the same as what one has." });
        responses.insert("304".to_owned(), same);
    }
    if shape.is_listed {
        let next = json!({ "description": "The next page, `rel=\"next\"`; absent on the last.", "schema": { "type": "string" } });
        headers.insert("Link".to_owned(), next);
    }
    if !headers.is_empty() {
        well["headers"] = Value::Object(headers);
    }
    if shape.may_be_there {
        let mut there = well.clone();
        there["description"] = json!("It was so already.");
        responses.insert("200".to_owned(), there);
    }
    responses.insert(status.to_string(), well);
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in problems {
        by_status.entry(kind.status()).or_default().push(*kind);
    }
    for (status, kinds) in by_status {
        responses.insert(status.to_string(), refusal(status, &kinds, problem));
    }
    responses
}

fn refusal(status: u16, kinds: &[ProblemKind], problem: &Value) -> Value {
    let types: Vec<_> = kinds.iter().map(|kind| format!("urn:wiregrant:problem:{}", kind.slug())).collect();
    let titles: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}.", kind.slug(), kind.title())).collect();
    let schema = json!({ "allOf": [problem, { "properties": { "type": { "enum": types } } }] });
    let mut refusal = json!({
        "description": titles.join(" "),
        "content": { "application/problem+json": { "schema": schema } },
    });
    if status == 429 || status == 503 {
        let seconds = json!({ "type": "integer", "minimum": 0 });
        refusal["headers"] = json!({ "Retry-After": { "required": true, "schema": seconds } });
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    found.insert(to.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in &found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.contains_key(name), "{reference}");
        }
        for name in schemas.keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
        }
    }

    #[test]
    fn every_operation_says_what_it_does_under_a_name_of_its_own() {
        let document = document();
        let mut ids = BTreeSet::new();
        let mut count = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let says = operation["summary"].as_str().unwrap();
                assert!(says.ends_with('.') && says.len() > 10, "{method} {path}: {says:?}");
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                let variables = path.matches('{').count();
                let described = operation["parameters"].as_array().unwrap().iter();
                let in_path = described.filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(in_path, variables, "{method} {path}");
                count += 1;
            }
        }
        assert_eq!(count, endpoints().len());
    }

    #[test]
    fn what_is_named_once_means_one_thing() {
        let schemas = document()["components"]["schemas"].clone();
        let numbered: Vec<_> =
            schemas.as_object().unwrap().keys().filter(|name| name.ends_with('2')).collect();
        assert!(numbered.is_empty(), "two types share a name: {numbered:?}");
    }
}
