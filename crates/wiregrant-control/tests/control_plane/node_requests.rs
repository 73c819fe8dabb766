//! Signed requests of nodes: taken once, in their time, and noticed no finer than by the minute.

use axum::body::Body;
use axum::http::{Method, Request};
use wiregrant_core::api::{List, Node, ProblemKind};

use crate::support::{FakeNode, Plane};

async fn plane_with_node() -> (Plane, FakeNode) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = FakeNode::join(&plane, "nordlicht", "de-fra", 1, "198.51.100.7:51820").await;
    (plane, node)
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::builder().method(request.method()).uri(request.uri());
    *copy.headers_mut().unwrap() = request.headers().clone();
    copy.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_request_that_was_taken_is_refused_by_its_own_problem_when_it_comes_again() {
    let (plane, node) = plane_with_node().await;
    let path = format!("/nodes/{}/head", node.id);
    let request = node.request(&Method::GET, &path, "", plane.now());
    let (again, late) = (copy(&request), copy(&request));
    plane.send(request).await.ok();
    plane.send(again).await.problem(ProblemKind::RequestReplayed);
    plane.clock.advance(121);
    plane.send(late).await.problem(ProblemKind::RequestClock);
}

#[tokio::test]
async fn a_request_that_was_refused_takes_no_nonce() {
    let (plane, node) = plane_with_node().await;
    let path = format!("/nodes/{}/head", node.id);
    let request = node.request(&Method::GET, &path, "", plane.now());
    let mut spoilt = copy(&request);
    *spoilt.uri_mut() = format!("{}?x", request.uri()).parse().unwrap();
    plane.send(spoilt).await.problem(ProblemKind::RequestSignature);
    plane.send(request).await.ok();
}

#[tokio::test]
async fn any_signed_request_shows_that_a_node_lives_and_no_finer_than_by_the_minute() {
    let (plane, node) = plane_with_node().await;
    let seen = async || plane.get("/nodes").await.json::<List<Node>>().items[0].last_seen;
    assert_eq!(seen().await, None);
    node.head(&plane).await;
    let first = seen().await;
    assert_eq!(first, Some(plane.now()));
    plane.clock.advance(59);
    node.head(&plane).await;
    assert_eq!(seen().await, first);
    plane.clock.advance(1);
    node.tell(&plane, |_| {}).await.ok();
    assert_eq!(seen().await, Some(plane.now()));
}
