//! Who may ask what: the router's own list, asked by everyone who may not.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;
use wiregrant_control::router::endpoints;
use wiregrant_control::sign_in::Who;
use wiregrant_core::api::{PREFIX, Problem, ProblemKind};

use crate::support::{FakeNode, Plane};

struct Parties {
    plane: Plane,
    operator: String,
    distributor: String,
    code: String,
    node: FakeNode,
}

async fn parties() -> Parties {
    let plane = Plane::start().await;
    let operator = plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let distributor = plane.distributor("ngo").await;
    let code = plane.codes(&distributor, 1, 1, 1_000).await.remove(0);
    let node = plane.node("nordlicht", "de-fra", 1).await;
    Parties { plane, operator, distributor, code, node }
}

/// A path with something in the place of every variable.
fn filled(path: &str, node: &FakeNode) -> String {
    path.replace("{node}", node.id.as_str())
        .replace("{epoch}", "1")
        .replace("{public_key}", "AAAA")
        .replace("{operator}", "nordlicht")
        .replace("{grant}", "spring")
        .replace("{batch}", "b-1")
}

#[tokio::test]
async fn every_address_refuses_every_role_that_it_is_not_for() {
    let parties = parties().await;
    let Parties { plane, operator, distributor, code, node } = &parties;
    let mut refused = 0;
    for endpoint in endpoints() {
        let path = filled(endpoint.path, node);
        let tokens = [
            ("nobody", "", &[Who::Everyone][..]),
            ("a stranger", "wiregrant-administrator-AAAA", &[Who::Everyone]),
            ("the administrator", &plane.admin, &[Who::Everyone, Who::Administrator, Who::OperatorToo]),
            ("an operator", operator, &[Who::Everyone, Who::OperatorToo, Who::Issuer]),
            ("a distributor", distributor, &[Who::Everyone, Who::Issuer]),
            ("a person", code, &[Who::Everyone, Who::CodeHolder]),
        ];
        for (name, token, allowed) in tokens {
            let answered =
                plane.ask(endpoint.method.clone(), &path, token, json!({ "colour": "blue" })).await;
            let is_refused = matches!(answered.status.as_u16(), 401 | 403)
                || endpoint.who == Who::CodeHolder
                    && serde_json::from_str::<Problem>(&answered.body)
                        .is_ok_and(|problem| problem.is(ProblemKind::AccessCode));
            let shown = format!("{} {path} by {name}: {}", endpoint.method, answered.body);
            assert_eq!(is_refused, !allowed.contains(&endpoint.who), "{shown}");
            refused += usize::from(is_refused);
        }
        let by_node = node.request(&endpoint.method, &path, "{}", plane.now());
        let answered = plane.send(by_node).await;
        let is_refused = matches!(answered.status.as_u16(), 401 | 403);
        let allowed = [Who::Everyone, Who::Node].contains(&endpoint.who);
        assert_eq!(is_refused, !allowed, "{} {path} by a node: {}", endpoint.method, answered.body);
    }
    assert!(refused > 100, "only {refused}");
}

#[tokio::test]
async fn every_line_of_the_list_is_served_and_nothing_else_is() {
    let Parties { plane, node, .. } = parties().await;
    for endpoint in endpoints() {
        let path = filled(endpoint.path, &node);
        let answered = plane.ask(endpoint.method.clone(), &path, "", serde_json::Value::Null).await;
        assert!(!answered.body.contains("no such address"), "{} {path}", endpoint.method);
        let answered = plane.ask(Method::PATCH, &path, &plane.admin, serde_json::Value::Null).await;
        answered.problem(ProblemKind::NotFound);
    }
    plane.get("/nothing/here").await.problem(ProblemKind::NotFound);
}

#[tokio::test]
async fn a_token_is_no_code_and_a_code_is_no_token() {
    let Parties { plane, code, operator, .. } = parties().await;
    let as_code = plane.ask(Method::GET, "/devices", &operator, serde_json::Value::Null).await;
    as_code.problem(ProblemKind::AccessCode);
    plane.ask(Method::GET, "/nodes", &code, serde_json::Value::Null).await.problem(ProblemKind::Unauthorized);
    let basic = Request::builder()
        .uri(format!("{PREFIX}/nodes"))
        .header(header::AUTHORIZATION, format!("Basic {}", plane.admin))
        .body(Body::empty())
        .unwrap();
    let answered = plane.send(basic).await;
    answered.problem(ProblemKind::Unauthorized);
    assert_eq!(answered.headers["www-authenticate"], "Bearer");
}
