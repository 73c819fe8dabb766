//! Every answer that any test gets is one that the API's description has.

use std::sync::LazyLock;

use axum::http::Method;
use serde_json::Value;
use wiregrant_control::openapi;

use super::Answered;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// The operation that a request is for, if it is for one.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let (parts, wanted): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        parts.len() == wanted.len()
            && parts.iter().zip(&wanted).all(|(part, wanted)| part == wanted || wanted.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // What is written out goes before what is a variable.
    let (_, operations) = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .min_by_key(|(template, _)| template.matches('{').count())?;
    operations.get(method.as_str().to_lowercase())
}

/// Panics where status, media type, header or type of problem is not described.
#[track_caller]
pub fn check(method: &Method, path: &str, answered: &Answered) {
    let Some(operation) = operation(method, path) else { return };
    let shown = || format!("{method} {path}: {} {}", answered.status, answered.body);
    let response = operation["responses"].get(answered.status.as_str());
    let response = response.unwrap_or_else(|| panic!("undocumented status: {}", shown()));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let is_there = answered.headers.contains_key(&name.to_lowercase());
        assert!(is_there || header["required"] != true, "no {name}: {}", shown());
    }
    let Some(content) = response["content"].as_object() else {
        assert!(answered.body.is_empty(), "undocumented body: {}", shown());
        return;
    };
    let media = answered.headers["content-type"].split(';').next().unwrap_or_default();
    let schema = content.get(media).unwrap_or_else(|| panic!("undocumented media type {media}: {}", shown()));
    if media == "application/problem+json" {
        let problem: Value = serde_json::from_str(&answered.body).unwrap();
        let types = schema["schema"]["allOf"][1]["properties"]["type"]["enum"].as_array().unwrap();
        assert!(types.contains(&problem["type"]), "undocumented problem: {}", shown());
    }
}
