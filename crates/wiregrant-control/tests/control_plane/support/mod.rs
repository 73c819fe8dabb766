//! A control plane in this process, and the parties that ask it.

pub mod browser;
mod described;
mod node;

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use wiregrant_control::clock::Clock;
use wiregrant_control::config::{Config, ConfigFile};
use wiregrant_control::control_plane::{ControlPlane, Shared, Tasks};
use wiregrant_control::router::router;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{PREFIX, Problem, ProblemKind};

pub use node::{FakeNode, join_body, label, wireguard_private_key};

/// When every story begins.
pub const BEGIN: &str = "2026-07-06T12:00:00Z";
pub const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// Another address of the same network.
pub const OTHER_ADDRESS: &str = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6";

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A control plane with the folder it lives in.
pub struct Plane {
    pub plane: Shared,
    pub admin: String,
    pub clock: Clock,
    pub folder: TempDir,
    router: Router,
    tasks: Option<Tasks>,
    operators: Mutex<BTreeMap<String, String>>,
}

/// What was answered.
pub struct Answered {
    pub status: StatusCode,
    pub headers: BTreeMap<String, String>,
    pub cookies: Vec<String>,
    pub body: String,
}

impl Answered {
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self
    }

    /// The problem, which must be of this kind, with the status and content type that belong to it.
    #[track_caller]
    pub fn problem(&self, kind: ProblemKind) -> Problem {
        let problem: Problem =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body));
        assert!(problem.is(kind), "expected {kind:?}: {}", self.body);
        assert_eq!(self.status.as_u16(), kind.status());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let told = self.headers.get("retry-after").map(|seconds| seconds.parse().unwrap());
        assert_eq!(told, problem.retry_after_seconds());
        assert!(told.is_some() || kind.status() != 503, "{}", self.body);
        problem
    }
}

pub fn config(folder: &TempDir) -> Config {
    let file = ConfigFile {
        origin: Some("grants.example/record".into()),
        network: Some("regtest".into()),
        data_dir: Some(folder.path().to_owned()),
        title: Some("Grants <of> a test".into()),
        public_urls: Some(vec!["https://grants.example".into()]),
        // These nodes are none but in what they say.
        check_endpoints: Some(false),
        ..ConfigFile::default()
    };
    file.checked().unwrap()
}

impl Plane {
    pub async fn start() -> Self {
        let clock = Clock::by_hand(time(BEGIN));
        Self::start_in(tempfile::tempdir().unwrap(), clock).await
    }

    /// One that places devices on nodes only after a WireGuard handshake.
    pub async fn start_looking_at_nodes() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { check_endpoints: true, ..config(&folder) };
        Self::start_with(config, folder, Clock::by_hand(time(BEGIN))).await
    }

    /// One whose invitations pin the key of this certificate.
    pub async fn start_pinning(certificate: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { tls_pin: Some(certificate.to_owned()), ..config(&folder) };
        Self::start_with(config, folder, Clock::by_hand(time(BEGIN))).await
    }

    /// One that pays on the main network, where names are looked up at this resolver, from a moment on.
    pub async fn start_looking_names_up(resolver: std::net::SocketAddr, begin: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = wiregrant_core::note::Network::Bitcoin;
        let config = Config { network, name_resolver: Some(resolver), ..config(&folder) };
        Self::start_with(config, folder, Clock::by_hand(begin)).await
    }

    /// One of the replicas on this database.
    pub async fn start_on(database: &str, folder: TempDir, clock: Clock) -> Self {
        let config = Config { database: database.to_owned(), ..config(&folder) };
        Self::start_with(config, folder, clock).await
    }

    async fn start_in(folder: TempDir, clock: Clock) -> Self {
        Self::start_with(config(&folder), folder, clock).await
    }

    async fn start_with(config: Config, folder: TempDir, clock: Clock) -> Self {
        let (plane, tasks) = ControlPlane::open(config, clock.clone()).await.unwrap();
        let admin = String::new();
        let mut plane = Self {
            router: router(&plane),
            plane,
            admin,
            clock,
            folder,
            tasks: Some(tasks),
            operators: Mutex::default(),
        };
        plane.admin = plane.administrator().await;
        plane
    }

    /// The administrator's own token: made with the one that signs in once, and kept in a file.
    async fn administrator(&self) -> String {
        let kept = self.folder.path().join("admin.token");
        if let Ok(token) = std::fs::read_to_string(&kept) {
            return token;
        }
        let bootstrap = std::fs::read_to_string(self.folder.path().join("bootstrap.token")).unwrap();
        let token = self.token(bootstrap.trim(), "Ada").await;
        std::fs::write(kept, &token).unwrap();
        token
    }

    /// One more token of the organisation that `token` is of.
    pub async fn token(&self, token: &str, holder: &str) -> String {
        let made = self.ask(Method::POST, "/tokens", token, json!({ "holder": holder })).await;
        made.json::<Value>()["token"].as_str().unwrap().to_owned()
    }

    pub async fn funder(&self, funder: &str, grants: &[&str]) -> String {
        let created: Value =
            self.post("/funders", json!({ "funder": funder, "grants": grants })).await.json();
        created["token"].as_str().unwrap().to_owned()
    }

    pub async fn auditor(&self, auditor: &str, grants: &[&str]) -> String {
        let created: Value =
            self.post("/auditors", json!({ "auditor": auditor, "grants": grants })).await.json();
        created["token"].as_str().unwrap().to_owned()
    }

    /// Ends all tasks in good order; what is public is then as the database has it.
    pub async fn stop(&mut self) {
        self.plane.stop();
        if let Some(tasks) = self.tasks.take() {
            tasks.ended().await;
        }
    }

    /// The same folder, served by a new control plane under another origin.
    pub async fn restart_as(mut self, origin: &str) -> Self {
        self.stop().await;
        self.plane.store.close().await;
        let config = Config { origin: origin.parse().unwrap(), ..config(&self.folder) };
        Self::start_with(config, self.folder, self.clock).await
    }

    /// The same folder, served by a new control plane.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        self.plane.store.close().await;
        Self::start_in(self.folder, self.clock).await
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let cookies = parts.headers.get_all(header::SET_COOKIE).iter();
        let headers = parts.headers.iter();
        let answered = Answered {
            status: parts.status,
            cookies: cookies.map(|cookie| cookie.to_str().unwrap().to_owned()).collect(),
            headers: headers.map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        described::check(&method, &path, &answered);
        answered
    }

    /// Asks below the API's prefix with a bearer token (none when empty) and a body (none when null).
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> Answered {
        let mut request = Request::builder().method(method).uri(format!("{PREFIX}{path}"));
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        self.ask(Method::POST, path, &self.admin, body).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, &self.admin, Value::Null).await
    }

    /// A public file, over HTTP.
    pub async fn file(&self, path: &str) -> Answered {
        self.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await
    }

    pub async fn operator(&self, operator: &str) -> String {
        let created: Value = self.post("/operators", json!({ "operator": operator })).await.json();
        let token = created["token"].as_str().unwrap().to_owned();
        self.operators.lock().unwrap().insert(operator.to_owned(), token.clone());
        token
    }

    /// The token that an operator got on joining.
    pub fn token_of(&self, operator: &str) -> String {
        self.operators.lock().unwrap()[operator].clone()
    }

    pub async fn distributor(&self, distributor: &str) -> String {
        let created: Value = self.post("/distributors", json!({ "distributor": distributor })).await.json();
        created["token"].as_str().unwrap().to_owned()
    }

    pub async fn location(&self, location: &str) {
        self.post("/locations", json!({ "location": location, "name": location })).await.ok();
    }

    pub async fn codes(&self, issuer: &str, count: u64, devices: u64, quota_bytes: u64) -> Vec<String> {
        let expires = self.now().plus_seconds(30 * 24 * 3600);
        let body = json!({ "count": count, "devices": devices, "quota_bytes": quota_bytes.to_string(), "expires": expires });
        let created: Value = self.ask(Method::POST, "/access-codes", issuer, body).await.json();
        created["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    }

    /// Invites and enrols a node, which then asks what it should do.
    pub async fn node(&self, operator: &str, location: &str, seed: u8) -> FakeNode {
        let endpoint = format!("198.51.{seed}.7:51820");
        let node = FakeNode::join(self, operator, location, seed, &endpoint).await;
        node.desired(self, "").await.ok();
        node
    }

    /// A grant of short epochs that begins in a minute, with sats in it.
    pub async fn grant(&self, grant: &str, epochs: u64, sats: u64, change: impl FnOnce(&mut Value)) {
        let mut terms = json!({
            "challenge_seconds": 0, "close_delay_seconds": 0, "epoch_seconds": 60, "epochs": epochs, "floor": 0,
            "minimum_payout_sats": "1000", "rule": 1, "start": self.now().plus_seconds(60), "unit_bytes": "1000000",
        });
        change(&mut terms);
        self.post("/grants", json!({ "grant": grant, "title": "Spring <of> 2026", "terms": terms }))
            .await
            .ok();
        self.post(&format!("/grants/{grant}/contributions"), json!({ "sats": sats.to_string() })).await.ok();
    }

    pub async fn admit(&self, grant: &str, node: &FakeNode) {
        self.post(&format!("/grants/{grant}/nodes"), json!({ "node": node.id })).await.ok();
    }

    pub async fn close(&self, grant: &str, epoch: u64) -> Answered {
        self.post(&format!("/grants/{grant}/epochs/{epoch}/close"), Value::Null).await
    }
}

/// A fresh WireGuard public key, as a person's client makes it.
pub fn device_key(n: u8) -> String {
    wiregrant_core::WireGuardPublicKey::from([n.max(9); 32]).to_string()
}
