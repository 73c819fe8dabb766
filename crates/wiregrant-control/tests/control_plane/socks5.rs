//! SOCKS5 logins: shown once, known to the node as a hash, never in anyone's way.

use axum::body::Body;
use axum::http::{Method, Request, header};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use wiregrant_core::api::{CodeDevices, Desired, DeviceCreated, PREFIX, ProblemKind, Socks5Access};
use wiregrant_core::socks5::Socks5Login;

use crate::support::{Answered, FakeNode, Plane, device_key};

async fn plane_with_socks5() -> (Plane, FakeNode, String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    node.tell(&plane, |said| said.socks5_endpoint = Some("[2001:db8::7]:1080".to_owned())).await.ok();
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 3, 1_000_000_000).await.remove(0);
    (plane, node, code)
}

/// Asks as a person does, calling the request by a name.
async fn ask(plane: &Plane, path: &str, code: &str, name: &str, body: Value) -> Answered {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{PREFIX}{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {code}"))
        .header("idempotency-key", name)
        .body(Body::from(body.to_string()));
    plane.send(request.unwrap()).await
}

async fn redeem(plane: &Plane, code: &str, key: u8, name: &str) -> Socks5Access {
    let body = json!({ "public_key": device_key(key), "socks5": true });
    ask(plane, "/devices", code, name, body).await.json::<DeviceCreated>().socks5_access.unwrap()
}

fn path(key: u8) -> String {
    format!("/devices/{}/socks5", BASE64URL_NOPAD.encode(&[key; 32]))
}

async fn logins(plane: &Plane, node: &FakeNode) -> Vec<Option<Socks5Login>> {
    let desired: Desired = node.desired(plane, "").await.json();
    desired.peers.unwrap().into_iter().map(|peer| peer.socks5).collect()
}

#[tokio::test]
async fn a_login_is_shown_once_and_known_to_the_node_by_its_hash_alone() {
    let (mut plane, node, code) = plane_with_socks5().await;
    let access = redeem(&plane, &code, 50, "a request of mine").await;
    assert_eq!((access.host.as_str(), access.port), ("2001:db8::7", 1080));
    assert_eq!((access.username.as_str().len(), access.password.len()), (12, 26));
    assert!(access.link.ends_with(&format!("&port=1080&user={}&pass={}", access.username, access.password)));
    let login = logins(&plane, &node).await.remove(0).unwrap();
    assert_eq!(login.username, access.username);
    assert!(login.accepts(access.password.as_bytes()));

    let listed = plane.ask(Method::GET, "/devices", &code, Value::Null).await;
    assert!(!listed.body.contains(&access.password));
    let place = listed.json::<CodeDevices>().devices.remove(0).socks5.unwrap();
    assert_eq!((place.endpoint.as_str(), place.username), ("[2001:db8::7]:1080", access.username.clone()));
    plane.stop().await;
    let mut looked_into = 0;
    for file in std::fs::read_dir(plane.folder.path()).unwrap() {
        let file = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&access.password), "{} holds the password", file.display());
        looked_into += usize::from(holds(access.username.as_str()));
    }
    assert!(looked_into > 0, "the database was not among the files");
}

#[tokio::test]
async fn a_request_sent_again_gets_the_same_password_and_a_new_one_another() {
    let (plane, node, code) = plane_with_socks5().await;
    let first = redeem(&plane, &code, 50, "request-number-one").await;
    assert_eq!(redeem(&plane, &code, 50, "request-number-one").await, first);
    let second: Socks5Access = ask(&plane, &path(50), &code, "request-number-two", Value::Null).await.json();
    assert_eq!(second.username, first.username);
    assert_ne!(second.password, first.password);
    let again: Socks5Access = ask(&plane, &path(50), &code, "request-number-two", Value::Null).await.json();
    assert_eq!(again, second);
    let login = logins(&plane, &node).await.remove(0).unwrap();
    assert!(login.accepts(second.password.as_bytes()) && !login.accepts(first.password.as_bytes()));

    // Without a name each request is a new one, and its answer is what holds.
    let unnamed: Socks5Access = plane.ask(Method::POST, &path(50), &code, Value::Null).await.json();
    assert!(unnamed.password != second.password && unnamed.password != first.password);
    assert!(logins(&plane, &node).await.remove(0).unwrap().accepts(unnamed.password.as_bytes()));
    ask(&plane, &path(50), &code, "short", Value::Null).await.problem(ProblemKind::InvalidRequest);
}

#[tokio::test]
async fn a_new_login_wakes_the_node() {
    let (plane, node, code) = plane_with_socks5().await;
    redeem(&plane, &code, 50, "request-number-one").await;
    let known = node.desired(&plane, "").await.json::<Desired>().revision;
    let waiting = format!("?known={known}&wait=50");
    let asks = async {
        tokio::task::yield_now().await;
        plane.ask(Method::POST, &path(50), &code, Value::Null).await.json::<Socks5Access>()
    };
    let (told, access) = tokio::join!(node.desired(&plane, &waiting), asks);
    let login = told.json::<Desired>().peers.unwrap().remove(0).socks5.unwrap();
    assert!(login.accepts(access.password.as_bytes()));
}

#[tokio::test]
async fn a_node_without_the_service_gives_no_login() {
    let (plane, node, code) = plane_with_socks5().await;
    let plain = json!({ "public_key": device_key(50) });
    let created: DeviceCreated = plane.ask(Method::POST, "/devices", &code, plain).await.json();
    assert!(created.socks5_access.is_none() && created.device.socks5.is_none());
    redeem(&plane, &code, 51, "request-number-one").await;
    node.tell(&plane, |_| {}).await.ok();
    plane.ask(Method::POST, &path(50), &code, Value::Null).await.problem(ProblemKind::Conflict);
    let wish = json!({ "public_key": device_key(52), "socks5": true });
    let refused = plane.ask(Method::POST, "/devices", &code, wish).await.problem(ProblemKind::NoNode);
    assert!(refused.detail.contains("with SOCKS5"), "{}", refused.detail);
    let devices: CodeDevices = plane.ask(Method::GET, "/devices", &code, Value::Null).await.json();
    assert!(devices.devices.iter().all(|device| device.socks5.is_none()), "nowhere to use it now");
    assert_eq!(devices.devices.len(), 2, "the refused one was not placed");
}

#[tokio::test]
async fn a_login_goes_with_its_device_and_belongs_to_its_code() {
    let (plane, node, code) = plane_with_socks5().await;
    redeem(&plane, &code, 50, "request-number-one").await;
    let ngo = plane.distributor("relief").await;
    let other = plane.codes(&ngo, 1, 1, 1_000).await.remove(0);
    plane.ask(Method::POST, &path(50), &other, Value::Null).await.problem(ProblemKind::NotFound);
    plane.ask(Method::POST, &path(60), &code, Value::Null).await.problem(ProblemKind::NotFound);
    let device = format!("/devices/{}", BASE64URL_NOPAD.encode(&[50; 32]));
    plane.ask(Method::DELETE, &device, &code, Value::Null).await.ok();
    plane.ask(Method::POST, &path(50), &code, Value::Null).await.problem(ProblemKind::NotFound);
    assert!(logins(&plane, &node).await.is_empty());
}
