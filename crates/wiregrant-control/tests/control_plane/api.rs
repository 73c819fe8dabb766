//! What all of the API has in common: its description, names of requests, pages of lists, tags of what is read.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use transparency_log::Hash;
use wiregrant_control::keys::Purpose;
use wiregrant_control::openapi;
use wiregrant_core::api::{Me, PREFIX, ProblemKind};

use crate::support::{Answered, Plane, device_key};

const NAME: &str = "a-name-of-my-own-1";

/// Posts under a name.
async fn named(plane: &Plane, path: &str, token: &str, name: &str, body: &Value) -> Answered {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{PREFIX}{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("idempotency-key", name)
        .body(Body::from(body.to_string()))
        .unwrap();
    plane.send(request).await
}

/// Reads what the client may have already.
async fn unless(plane: &Plane, path: &str, tag: &str) -> Answered {
    let request = Request::builder()
        .uri(format!("{PREFIX}{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", plane.admin))
        .header(header::IF_NONE_MATCH, tag)
        .body(Body::empty())
        .unwrap();
    plane.send(request).await
}

#[tokio::test]
async fn the_description_is_served_whole() {
    let plane = Plane::start().await;
    let served: Value = plane.file("/openapi.json").await.json();
    assert_eq!(served, openapi::document());
    assert_eq!(served["openapi"], "3.1.0");
    let created = &served["paths"]["/api/v1/operators"]["post"];
    assert_eq!(
        created["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/NewOperator"
    );
    assert_eq!(served["components"]["schemas"]["NewOperator"]["additionalProperties"], false);
    let close = &served["paths"]["/api/v1/grants/{grant}/epochs/{epoch}/close"]["post"]["parameters"];
    assert_eq!(close[0]["schema"]["$ref"], "#/components/schemas/GrantId");
    assert_eq!(close[1]["schema"]["type"], "integer");
}

#[tokio::test]
async fn a_request_sent_again_under_its_name_does_nothing_twice() {
    let plane = Plane::start().await;
    let body = json!({ "operator": "nordlicht" });
    let first = named(&plane, "/operators", &plane.admin, NAME, &body).await.ok();
    let again = named(&plane, "/operators", &plane.admin, NAME, &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body), "the same token, shown again");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    named(&plane, "/operators", &plane.admin, "another-name-of-mine", &body)
        .await
        .problem(ProblemKind::AlreadyExists);
    let changed = json!({ "operator": "hearth" });
    named(&plane, "/operators", &plane.admin, NAME, &changed).await.problem(ProblemKind::IdempotencyKey);
    named(&plane, "/locations", &plane.admin, NAME, &body).await.problem(ProblemKind::IdempotencyKey);
    named(&plane, "/operators", &plane.admin, "short", &changed).await.problem(ProblemKind::InvalidRequest);

    let refused =
        named(&plane, "/funders", &plane.admin, "name-of-a-refusal", &json!({ "funder": "F" })).await;
    refused.problem(ProblemKind::InvalidRequest);
    let again = named(&plane, "/funders", &plane.admin, "name-of-a-refusal", &json!({ "funder": "F" })).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");

    plane.clock.advance(24 * 3_600);
    named(&plane, "/operators", &plane.admin, NAME, &body).await.problem(ProblemKind::AlreadyExists);
}

#[tokio::test]
async fn two_clients_may_choose_the_same_name() {
    let plane = Plane::start().await;
    let (ngo, other) = (plane.distributor("ngo").await, plane.distributor("other").await);
    let body = json!({
        "count": 1, "devices": 1, "quota_bytes": "5", "expires": plane.now().plus_seconds(1_000),
    });
    let first: Value = named(&plane, "/access-codes", &ngo, NAME, &body).await.json();
    let second: Value = named(&plane, "/access-codes", &other, NAME, &body).await.json();
    assert_ne!(first["codes"], second["codes"]);
    let (a, b) = (first["codes"][0].as_str().unwrap(), second["codes"][0].as_str().unwrap());
    let device = json!({ "public_key": device_key(9) });
    for code in [a, b] {
        // Nobody has a node: an answer that may change is not kept.
        for _ in 0..2 {
            let answered = named(&plane, "/devices", code, NAME, &device).await;
            answered.problem(ProblemKind::NoNode);
            assert!(!answered.headers.contains_key("idempotency-replayed"));
        }
    }
}

#[tokio::test]
async fn no_token_lies_in_the_database_for_the_sake_of_an_answer_sent_again() {
    let mut plane = Plane::start().await;
    let body = json!({ "operator": "nordlicht" });
    let created: Value = named(&plane, "/operators", &plane.admin, NAME, &body).await.json();
    let token = created["token"].as_str().unwrap().to_owned();
    plane.stop().await;
    plane.plane.store.close().await;
    for entry in std::fs::read_dir(plane.folder.path()).unwrap().flatten() {
        if entry.path().is_file() && entry.file_name().to_string_lossy().starts_with("wiregrant.db") {
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()), "{entry:?}");
            assert!(!bytes.windows(NAME.len()).any(|part| part == NAME.as_bytes()), "{entry:?}");
        }
    }
}

#[tokio::test]
async fn what_was_cut_off_is_not_done_twice() {
    let plane = Plane::start().await;
    let body = json!({ "location": "de-fra", "name": "Frankfurt" });
    // As a kill between the beginning and the end leaves it.
    let me: Me = plane.get("/me").await.json();
    let hash = plane.plane.keys.hash(Purpose::IdempotencyKey, &format!("{} {NAME}", me.id));
    let asked = Hash::of(format!("POST {PREFIX}/locations\n{body}").as_bytes());
    let mut write = plane.plane.store.write().await.unwrap();
    write.insert_idempotent_request(hash, asked, plane.now()).await.unwrap();
    write.commit().await.unwrap();
    let under_way = named(&plane, "/locations", &plane.admin, NAME, &body).await;
    let problem = under_way.problem(ProblemKind::IdempotencyKey);
    assert!(problem.retry_after_seconds().is_some(), "{}", problem.detail);
    plane.clock.advance(200);
    let cut_off = named(&plane, "/locations", &plane.admin, NAME, &body).await;
    let problem = cut_off.problem(ProblemKind::IdempotencyKey);
    assert!(
        problem.detail.contains("cut off") && problem.retry_after_seconds().is_none(),
        "{}",
        problem.detail
    );
}

#[tokio::test]
async fn a_list_comes_in_pages_that_lead_to_one_another() {
    let plane = Plane::start().await;
    for location in ["a", "b", "c", "d", "e"] {
        plane.location(location).await;
    }
    let whole = plane.get("/locations").await.ok();
    assert!(!whole.headers.contains_key("link"));
    let (mut seen, mut path) = (Vec::new(), "/locations?limit=2".to_owned());
    loop {
        let page = plane.get(&path).await;
        let listed: Value = page.json();
        let items = listed["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["location"].as_str().unwrap().to_owned()));
        // What comes in between moves nothing.
        plane.location("aa").await;
        let Some(link) = page.headers.get("link") else { break };
        let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        path = next.strip_prefix(PREFIX).unwrap().to_owned();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=%21", "cursor=enp6", "colour=blue"] {
        plane.get(&format!("/locations?{bad}")).await.problem(ProblemKind::InvalidRequest);
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    let tag = plane.get("/operators").await.ok().headers["etag"].clone();
    let same = unless(&plane, "/operators", &tag).await;
    assert_eq!((same.status.as_u16(), same.body.as_str()), (304, ""));
    assert_eq!(same.headers["etag"], tag);
    assert_eq!(same.headers["cache-control"], "no-store");
    plane.operator("hearth").await;
    let changed = unless(&plane, "/operators", &tag).await.ok();
    assert_ne!(changed.headers["etag"], tag);
    let refused = unless(&plane, "/operators/nobody", "*").await;
    refused.problem(ProblemKind::NotFound);
}

/// What stands above the generated part of `docs/api.md`.
const MARK: &str = "<!-- made from the program: WIREGRANT_WRITE_MANUAL=1 cargo test -p wiregrant-control --test control_plane manual -->\n";

/// A schema in few words: its name where it has one.
fn in_words(schema: &Value) -> String {
    let Some(reference) = schema["$ref"].as_str() else { return "text".to_owned() };
    let name = reference.rsplit('/').next().unwrap_or_default();
    match name.strip_prefix("ListOf") {
        Some(things) => format!("list of `{things}`"),
        None => format!("`{name}`"),
    }
}

fn manual() -> String {
    let document = openapi::document();
    let mut rows = String::from(
        "| address | for | in | out | refused with, besides those of all |\n|---|---|---|---|---|\n",
    );
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let first =
                |content: &Value| content.as_object().and_then(|content| content.values().next().cloned());
            let body = first(&operation["requestBody"]["content"]).map(|media| in_words(&media["schema"]));
            let responses = operation["responses"].as_object().unwrap();
            let (status, well) = responses.iter().rfind(|(status, _)| status.starts_with('2')).unwrap();
            let out = first(&well["content"]).map(|media| in_words(&media["schema"]));
            let mut refusals = Vec::new();
            for response in responses.values() {
                let types = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
                    ["type"]["enum"];
                for kind in types.as_array().into_iter().flatten() {
                    let slug = kind.as_str().unwrap().rsplit(':').next().unwrap();
                    if !["busy", "internal", "unauthorized", "forbidden", "cross-site"].contains(&slug) {
                        refusals.push(format!("`{slug}`"));
                    }
                }
            }
            rows.push_str(&format!(
                "| `{} {}`: {} | {} | {} | {status} {} | {} |\n",
                method.to_uppercase(),
                path.strip_prefix(PREFIX).unwrap(),
                operation["summary"].as_str().unwrap(),
                operation["description"].as_str().unwrap().trim_start_matches("For: ").trim_end_matches('.'),
                body.unwrap_or_default(),
                out.unwrap_or_default(),
                refusals.join(" "),
            ));
        }
    }
    rows
}

#[test]
fn the_manual_lists_every_address_as_the_description_has_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (prose, generated) = text.split_once(MARK).expect("docs/api.md has the mark");
    if std::env::var_os("WIREGRANT_WRITE_MANUAL").is_some() {
        std::fs::write(&path, format!("{prose}{MARK}\n{}", manual())).unwrap();
        return;
    }
    assert_eq!(
        generated,
        format!("\n{}", manual()),
        "docs/api.md is old: run the line above its generated part"
    );
}
