//! A control plane of the tests' own: it checks what a node sends by the code everybody else uses, and keeps all of it.

// Each test binary compiles this of its own, and none uses all of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;
use transparency_log::{Checkpoint, LogProof, MemoryTree, SigningKey, Verifier, leaf_hash};
use wiregrant_agent::clock;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{Condition, Desired, Join, Joined, Membership, Problem, ProblemKind, ReportHead};
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::peer::{DesiredPeer, DesiredPeers, PeerChanges};
use wiregrant_core::record::report_entry;
use wiregrant_core::request::{
    HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, MAX_CLOCK_DISTANCE_SECONDS, Request,
};
use wiregrant_core::usage_report::UsageReport;

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(60);
const LOG: &str = "grants.example/record";
const REPORTS: &str = "grants.example/reports";

/// A version of the control plane, as seen from the agent's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// A minor version earlier: what was added since is not in its answers, and it knows no changes of peers.
    Before,
    /// The same.
    #[default]
    Same,
    /// A minor version later: its answers hold more than the agent knows, wherever they can.
    After,
}

impl Version {
    /// This version's answer as that one gives it.
    fn spoken(self, body: &str) -> String {
        let Ok(mut answer) = serde_json::from_str(body) else { return body.to_owned() };
        match self {
            Self::Same => return body.to_owned(),
            Self::Before => {
                if let Value::Object(fields) = &mut answer {
                    fields.retain(|name, _| name != "changes" && name != "former");
                }
            }
            Self::After => add_to_all(&mut answer),
        }
        answer.to_string()
    }
}

/// Adds a field to every object.
fn add_to_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_to_all),
        Value::Object(fields) => {
            // Its keys are epochs.
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "peer_caps")
                .for_each(|(_, field)| add_to_all(field));
            fields.insert("a_later_versions_field".into(), serde_json::json!({ "of": ["any", "kind"] }));
        }
        _ => {}
    }
}

/// What the control plane wants, has and says.
#[derive(Default)]
pub struct Script {
    pub revision: u64,
    pub peers: Vec<DesiredPeer>,
    pub membership: Option<Membership>,
    pub frozen: bool,
    /// Added to the clock it tells.
    pub ahead_seconds: u64,
    /// The revision the node last said it had.
    pub known: u64,
    /// The accepted reports.
    pub reports: Vec<Signed<UsageReport>>,
    /// The conditions that were told.
    pub conditions: Vec<Condition>,
    /// All requests as they came, heads and bodies.
    pub asked: Vec<String>,
    /// Answers all requests with this.
    pub refusal: Option<ProblemKind>,
    /// Which version it answers like.
    pub version: Version,
    /// How many connections it closes without an answer, after it has done what was asked.
    pub lost_answers: u32,
    /// The revision that the node was told last, and its peers.
    told: (u64, DesiredPeers),
    node_key: Option<Verifier>,
    tree: MemoryTree,
}

impl Script {
    /// What changed since the revision that the node knows, if it may be told so; it is told what is wanted now.
    fn told(&mut self, known: u64, may_be_changes: bool) -> Option<PeerChanges> {
        let now = DesiredPeers::from(self.peers.clone());
        let (revision, before) = std::mem::replace(&mut self.told, (self.revision, now));
        let asks = may_be_changes && self.revision != known;
        (asks && revision == known).then(|| before.changes_to(&self.told.1))
    }
}

/// The control plane.
pub struct ControlPlane {
    script: Arc<(Mutex<Script>, Condvar)>,
    url: String,
}

impl ControlPlane {
    /// Listens on the loopback of the network namespace it is called in.
    pub fn start() -> Self {
        Self::start_as(Version::Same)
    }

    /// The same, of a version.
    pub fn start_as(version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script = Arc::new((Mutex::new(Script { version, ..Script::default() }), Condvar::new()));
        let shared = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { script, url }
    }

    pub fn invitation(&self) -> Invitation {
        Invitation {
            // The first address leads nowhere: each is tried.
            urls: vec!["http://127.0.0.1:1".into(), self.url.clone()],
            vkey: log_key(LOG).verifier().to_string(),
            pin: None,
            secret: "s3cret".into(),
            expires: clock::now().wall.plus_seconds(600),
        }
    }

    /// Changes the script; what is wanted is then another revision.
    pub fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        let (script, changed) = &*self.script;
        let mut script = script.lock().expect("no test panics holding it");
        script.revision += 1;
        let result = change(&mut script);
        changed.notify_all();
        result
    }

    /// Waits until the script fulfils a condition.
    pub fn until(&self, what: &str, condition: impl Fn(&Script) -> bool) {
        let (script, changed) = &*self.script;
        let script = script.lock().expect("no test panics holding it");
        let (script, late) =
            changed.wait_timeout_while(script, PATIENCE, |script| !condition(script)).expect("no panic");
        let last = script.reports.last().map(Signed::note);
        assert!(!late.timed_out(), "waited in vain until {what}; the last report: {last:?}");
    }
}

fn log_key(name: &str) -> SigningKey {
    SigningKey::new(name, [3; 32]).expect("a name")
}

/// One request as it came.
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut asked = Self { method, path, headers, body: Vec::new() };
        let length = asked.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        asked.body.resize(length, 0);
        reader.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Checks signature and time as `wiregrant_core::request` has it.
    fn signed_by(&self, key: &Verifier, now: Timestamp) -> Result<(), ProblemKind> {
        let header = |name| self.header(name).ok_or(ProblemKind::RequestSignature);
        let time: Timestamp = header(HEADER_TIME)?.parse().map_err(|_| ProblemKind::RequestSignature)?;
        let nonce: Salt = header(HEADER_NONCE)?.parse().map_err(|_| ProblemKind::RequestSignature)?;
        let request = Request {
            log: &LOG.parse().expect("an origin"),
            node: &key.name().parse().expect("an id"),
            method: &self.method,
            path: &self.path,
            body: &self.body,
            time,
            nonce,
        };
        let signature = BASE64.decode(header(HEADER_SIGNATURE)?.as_bytes()).unwrap_or_default();
        let holds = signature.try_into().is_ok_and(|bytes| key.verify(request.text().as_bytes(), &bytes));
        if !holds {
            return Err(ProblemKind::RequestSignature);
        }
        let near = now.distance_seconds(time) <= MAX_CLOCK_DISTANCE_SECONDS;
        if near { Ok(()) } else { Err(ProblemKind::RequestClock) }
    }
}

fn serve(stream: &TcpStream, shared: &(Mutex<Script>, Condvar)) {
    let Some(asked) = Asked::read(stream) else { return };
    let (status, content_type, body) = match answer(&asked, shared) {
        Ok(body) if body.is_empty() => (204, "application/json", body),
        Ok(body) if body.starts_with('{') => {
            let version = shared.0.lock().expect("no test panics holding it").version;
            (200, "application/json", version.spoken(&body))
        }
        Ok(body) => (200, "text/plain", body),
        Err(problem) => {
            let json = serde_json::to_string(&problem).expect("texts serialise");
            (problem.status, "application/problem+json", json)
        }
    };
    let mut script = shared.0.lock().expect("no test panics holding it");
    if asked.method == "POST" && script.lost_answers > 0 {
        script.lost_answers -= 1;
        return;
    }
    drop(script);
    let length = body.len();
    let _ = (&mut &*stream).write_all(
        format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .as_bytes(),
    );
}

fn answer(asked: &Asked, shared: &(Mutex<Script>, Condvar)) -> Result<String, Problem> {
    let problem = |kind| Problem::new(kind, "by the script");
    let mut script = shared.0.lock().expect("no test panics holding it");
    let now = clock::now().wall.plus_seconds(script.ahead_seconds);
    let body = String::from_utf8_lossy(&asked.body);
    script.asked.push(format!("{} {}\n{:?}\n{body}\n", asked.method, asked.path, asked.headers));
    if let Some(kind) = script.refusal {
        return Err(problem(kind));
    }
    if asked.path == "/api/v1/nodes" {
        return Ok(json(&join(&mut script, asked)));
    }
    let key = script.node_key.clone().ok_or_else(|| problem(ProblemKind::Unauthorized))?;
    asked.signed_by(&key, now).map_err(problem)?;
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    match path.rsplit('/').next() {
        Some("desired") => {
            let number = |name: &str| -> u64 {
                let value = query.split('&').find_map(|pair| pair.strip_prefix(name)).expect("a parameter");
                value.parse().expect("a number")
            };
            let (known, wait) = (number("known="), Duration::from_secs(number("wait=")));
            script.known = known;
            shared.1.notify_all();
            let unchanged = |script: &mut Script| script.revision == known;
            let (mut script, _) = shared.1.wait_timeout_while(script, wait, unchanged).expect("no panic");
            let may_be_changes = query.contains("changes=true") && script.version != Version::Before;
            let changes = script.told(known, may_be_changes);
            Ok(json(&Desired {
                revision: script.revision,
                peers: (script.revision != known && changes.is_none()).then(|| script.peers.clone()),
                changes,
                membership: script.membership.clone(),
                time: clock::now().wall.plus_seconds(script.ahead_seconds),
                frozen: script.frozen,
            }))
        }
        Some("head") => {
            let last = script.reports.last();
            let sequence = last.map_or(0, |last| last.content().sequence);
            Ok(json(&ReportHead { sequence, note: last.map(|last| last.note().to_owned()) }))
        }
        Some("condition") => {
            assert_eq!(asked.method, "PUT");
            script.conditions.push(serde_json::from_slice(&asked.body).expect("a condition"));
            shared.1.notify_all();
            Ok(String::new())
        }
        Some("reports") => {
            let proof = accept(&mut script, asked, &key);
            shared.1.notify_all();
            proof
        }
        _ => Err(problem(ProblemKind::NotFound)),
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it serialises")
}

fn join(script: &mut Script, asked: &Asked) -> Joined {
    let join: Join = serde_json::from_slice(&asked.body).expect("a join");
    let key = BASE64.decode(join.identity_public_key.as_bytes()).expect("base64");
    let key = Verifier::from_public_key("node-1", key.try_into().expect("32 bytes")).expect("a key");
    let signature = BASE64.decode(join.signature.as_bytes()).expect("base64").try_into().expect("64 bytes");
    assert!(key.verify(join.text(&LOG.parse().expect("an origin")).as_bytes(), &signature));
    script.node_key = Some(key);
    Joined {
        node: "node-1".parse().expect("an id"),
        operator: "nordlicht".parse().expect("an id"),
        log: LOG.parse().expect("an origin"),
        log_vkey: log_key(LOG).verifier().to_string(),
        reports_vkey: log_key(REPORTS).verifier().to_string(),
        addresses: vec!["10.9.0.1/16".parse().expect("ip"), "fd09::1/64".parse().expect("ip")],
        listen_port: 51820,
        former: Vec::new(),
        former_logs: Vec::new(),
    }
}

/// Accepts a report as the formats ask for, and proves it.
fn accept(script: &mut Script, asked: &Asked, key: &Verifier) -> Result<String, Problem> {
    let problem = |kind, detail: String| Problem::new(kind, detail);
    if script.frozen {
        return Err(problem(ProblemKind::NodeFrozen, "until a person decides".into()));
    }
    let note = String::from_utf8(asked.body.clone()).expect("text");
    let index = match script.reports.iter().position(|report| report.note() == note) {
        Some(index) => index,
        None => {
            let report = Signed::<UsageReport>::parse(&note)
                .map_err(|error| problem(ProblemKind::ReportForm, error.to_string()))?;
            report.verified_by(key).expect("signed by the node");
            let content = report.content();
            assert!(
                script.reports.iter().all(|known| known.content().sequence != content.sequence),
                "two texts under sequence {}",
                content.sequence
            );
            let last = script.reports.last().map(|last| (last.content(), last.hash()));
            content.follows(last).map_err(|error| problem(ProblemKind::ReportGap, error.to_string()))?;
            script.tree.push(leaf_hash(report_entry(report.hash()).as_bytes()));
            script.reports.push(report);
            script.reports.len() - 1
        }
    };
    let (index, size) = (index as u64, script.reports.len() as u64);
    let root = script.tree.root_at(size).expect("in the tree");
    let checkpoint = Checkpoint { origin: REPORTS.into(), size, root };
    let proof = LogProof {
        index,
        hashes: script.tree.inclusion_proof(index, size).expect("in the tree"),
        checkpoint: checkpoint.sign(&log_key(REPORTS)).expect("signed"),
        extra: None,
    };
    Ok(proof.to_string())
}
