//! A node whose counters are whatever the test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{Method, Request as HttpRequest};
use data_encoding::BASE64;
use serde_json::{Value, json};
use transparency_log::{Hash, SigningKey};
use wiregrant_control::ingest::Checked;
use wiregrant_core::api::{Condition, Join, Joined, PREFIX};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::handshake::public_key;
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::request::{HEADER_NODE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, Request};
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport};
use wiregrant_core::{Bytes, NodeId, OperatorId, Timestamp, WireGuardPrivateKey};

use super::{Answered, Plane};

/// Never the same twice, as every agent's.
static NEXT_NONCE: AtomicU64 = AtomicU64::new(0);

pub struct FakeNode {
    pub id: NodeId,
    pub operator: OperatorId,
    pub joined: Joined,
    pub key: SigningKey,
    pub sequence: u64,
    pub previous: Option<Hash>,
    pub end: Timestamp,
    pub usage: BTreeMap<(Service, Class), Usage>,
}

/// The WireGuard key of the node with this seed.
pub fn wireguard_private_key(seed: u8) -> WireGuardPrivateKey {
    [seed.wrapping_add(100); 32].into()
}

/// The body with which a node of this seed joins by an invitation.
pub fn join_body(invitation: &str, seed: u8, endpoint: &str) -> Value {
    let invitation: Invitation = invitation.parse().unwrap();
    let key = SigningKey::new("join", [seed; 32]).unwrap();
    let mut join = Join {
        secret: invitation.secret.clone(),
        identity_public_key: BASE64.encode(&key.verifier().public_key()),
        wireguard_public_key: public_key(&wireguard_private_key(seed)),
        endpoint: endpoint.to_owned(),
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        signature: String::new(),
    };
    let log = "grants.example/record".parse().unwrap();
    join.signature = BASE64.encode(&key.sign_bytes(join.text(&log).as_bytes()));
    serde_json::to_value(join).unwrap()
}

impl FakeNode {
    pub async fn join(plane: &Plane, operator: &str, location: &str, seed: u8, endpoint: &str) -> Self {
        let body = json!({ "operator": operator, "location": location });
        let created: Value = plane.post("/invitations", body).await.json();
        Self::join_by(plane, created["invitation"].as_str().unwrap(), seed, endpoint).await
    }

    pub async fn join_by(plane: &Plane, invitation: &str, seed: u8, endpoint: &str) -> Self {
        let body = join_body(invitation, seed, endpoint);
        let joined: Joined = plane.ask(Method::POST, "/nodes", "", body).await.json();
        Self {
            id: joined.node.clone(),
            operator: joined.operator.clone(),
            key: SigningKey::new(joined.node.as_str(), [seed; 32]).unwrap(),
            joined,
            sequence: 0,
            previous: None,
            end: plane.now(),
            usage: BTreeMap::new(),
        }
    }

    /// A signed request; `change` may spoil the text that is signed.
    pub fn request(&self, method: &Method, path: &str, body: &str, time: Timestamp) -> HttpRequest<Body> {
        let path = format!("{PREFIX}{path}");
        let mut nonce = Salt([7; 16]);
        nonce.0[..8].copy_from_slice(&NEXT_NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let text = Request {
            log: &self.joined.log,
            node: &self.id,
            method: method.as_str(),
            path: &path,
            body: body.as_bytes(),
            time,
            nonce,
        }
        .text();
        HttpRequest::builder()
            .method(method)
            .uri(&path)
            .header(HEADER_NODE, self.id.as_str())
            .header(HEADER_TIME, time.to_string())
            .header(HEADER_NONCE, nonce.to_string())
            .header(HEADER_SIGNATURE, BASE64.encode(&self.key.sign_bytes(text.as_bytes())))
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    pub async fn desired(&self, plane: &Plane, query: &str) -> Answered {
        let path = format!("/nodes/{}/desired{query}", self.id);
        plane.send(self.request(&Method::GET, &path, "", plane.now())).await
    }

    /// Says what it says of itself, with `change` to it.
    pub async fn tell(&self, plane: &Plane, change: impl FnOnce(&mut Condition)) -> Answered {
        let mut condition = Condition {
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
            endpoint: "198.51.100.7:51820".to_owned(),
            socks5_endpoint: None,
            paused: None,
            megabits_per_second: None,
            gigabytes_per_month: None,
            levels: Vec::new(),
        };
        change(&mut condition);
        let body = serde_json::to_string(&condition).unwrap();
        let path = format!("/nodes/{}/condition", self.id);
        plane.send(self.request(&Method::PUT, &path, &body, plane.now())).await
    }

    pub async fn head(&self, plane: &Plane) -> Value {
        let path = format!("/nodes/{}/head", self.id);
        plane.send(self.request(&Method::GET, &path, "", plane.now())).await.json()
    }

    /// Counts more bytes of assigned peers.
    pub fn serve(&mut self, class: Class, received: u64, sent: u64) {
        let usage = self.usage.entry((Service::WireGuard, class)).or_default();
        usage.received = usage.received.plus(Bytes::new(received).unwrap()).unwrap();
        usage.sent = usage.sent.plus(Bytes::new(sent).unwrap()).unwrap();
        usage.creditable = usage.served().unwrap();
    }

    /// The report that follows; `change` may spoil it before it is signed.
    pub fn next_report(&self, end: Timestamp, change: impl FnOnce(&mut UsageReport)) -> Signed<UsageReport> {
        let mut report = UsageReport {
            log: self.joined.log.clone(),
            node: self.id.clone(),
            operator: self.operator.clone(),
            sequence: self.sequence + 1,
            previous: self.previous,
            salt: Salt([u8::try_from(self.sequence % 250).unwrap(); 16]),
            start: self.end,
            end,
            epoch: None,
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
            peers: PeersBucket::Zero,
            tree: None,
            usage: self.usage.clone(),
        };
        change(&mut report);
        Signed::sign(report, &self.key).unwrap()
    }

    /// These reports, as the sequencer takes them.
    pub fn checked(&self, reports: &[Signed<UsageReport>]) -> Checked {
        Checked {
            node: self.id.clone(),
            identity_key: self.key.verifier().public_key(),
            reports: reports.to_vec(),
            refused: None,
        }
    }

    /// The next so many reports, each of which counts a little more.
    pub fn sign_several(&mut self, count: usize, end: Timestamp) -> Vec<Signed<UsageReport>> {
        let mut reports = Vec::new();
        for _ in 0..count {
            self.serve(Class::Assigned, 1_000, 1_000);
            let report = self.next_report(end, |_| {});
            self.follow(&report);
            reports.push(report);
        }
        reports
    }

    pub async fn send_several(&self, plane: &Plane, reports: &[Signed<UsageReport>]) -> Answered {
        let notes: Vec<&str> = reports.iter().map(Signed::note).collect();
        self.send_body(plane, &json!({ "reports": notes }).to_string()).await
    }

    pub async fn send_body(&self, plane: &Plane, body: &str) -> Answered {
        let path = format!("/nodes/{}/reports/batch", self.id);
        plane.send(self.request(&Method::POST, &path, body, plane.now())).await
    }

    pub async fn send(&self, plane: &Plane, note: &str) -> Answered {
        let path = format!("/nodes/{}/reports", self.id);
        plane.send(self.request(&Method::POST, &path, note, plane.now())).await
    }

    /// Sends the next report, which must be taken, and returns the note and its acknowledgement.
    pub async fn report(
        &mut self,
        plane: &Plane,
        end: Timestamp,
        change: impl FnOnce(&mut UsageReport),
    ) -> (String, String) {
        let report = self.next_report(end, change);
        let acknowledgement = self.send(plane, report.note()).await.ok().body;
        self.follow(&report);
        (report.note().to_owned(), acknowledgement)
    }

    pub fn follow(&mut self, report: &Signed<UsageReport>) {
        self.sequence = report.content().sequence;
        self.previous = Some(report.hash());
        self.end = report.content().end;
    }
}

/// The label of an epoch.
pub fn label(grant: &str, number: u64) -> Option<EpochLabel> {
    Some(EpochLabel { grant: grant.parse().unwrap(), number })
}
