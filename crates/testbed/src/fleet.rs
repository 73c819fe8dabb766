//! `Fleet`: many nodes that have a key and no tunnel: they enrol, sign reports and requests, and check what comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use transparency_log::{Hash, LogProof, SigningKey, Verifier};
use wiregrant_core::api::{
    InvitationCreated, Join, Joined, Location, NewInvitation, NewReceipts, NewReports, PREFIX, Receipt,
    ReportHead,
};
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::request::{HEADER_NODE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, Request};
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport};
use wiregrant_core::{Bytes, OperatorId, Timestamp};

use crate::clock;
use crate::connection::{Answer, Connection};

/// Whose nodes they are.
pub const OPERATOR: &str = "nordlicht";
/// Where they stand.
const LOCATION: &str = "de-fra";
/// How often an administrator comes back to a control plane that is busy.
const BUSY_TRIES: u32 = 20;
/// What each report counts more than the one before, each way.
const BYTES_A_REPORT: u64 = 1_000_000;

/// A node.
pub struct FleetNode {
    /// What it was told when it joined.
    pub joined: Joined,
    key: SigningKey,
    /// The last report that it signed.
    pub sequence: u64,
    previous: Option<Hash>,
    end: Timestamp,
    total: u64,
    /// Reports it was given a proof for.
    pub acknowledged: u64,
}

/// What an administrator asks, over a connection.
pub struct Administrator {
    connection: Connection,
    token: String,
}

impl Administrator {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr, token: String) -> Result<Self> {
        Ok(Self { connection: Connection::open(address).await?, token })
    }

    /// Asks, and reads what is answered; asks again where the control plane says that it is busy and when to come back.
    ///
    /// # Errors
    /// Any other status but success.
    pub async fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token);
        let request = raw(method, &format!("{PREFIX}{path}"), &headers, &body);
        let mut answer = self.connection.ask(&request).await?;
        for _ in 0..BUSY_TRIES {
            let Some(seconds) = answer.retry_after.filter(|_| answer.status == 503) else { break };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            answer = self.connection.ask(&request).await?;
        }
        let said = String::from_utf8_lossy(&answer.body);
        ensure!((200..300).contains(&answer.status), "{method} {path}: {} {said}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// An operator and a place, and so many nodes of theirs, each with a key made from its number.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn enrol(&mut self, count: u32) -> Result<Vec<FleetNode>> {
        self.prepare().await?;
        self.enrol_more(0..count).await
    }

    /// An operator and a place.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn prepare(&mut self) -> Result<()> {
        let operator: OperatorId = OPERATOR.parse()?;
        let _: serde_json::Value =
            self.ask("POST", "/operators", &serde_json::json!({ "operator": operator })).await?;
        let location = Location { location: LOCATION.parse()?, name: "Frankfurt".to_owned() };
        let _: serde_json::Value = self.ask("POST", "/locations", &location).await?;
        Ok(())
    }

    /// The operator's nodes with these numbers.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn enrol_more(&mut self, numbers: std::ops::Range<u32>) -> Result<Vec<FleetNode>> {
        let mut nodes = Vec::new();
        for number in numbers {
            let body = NewInvitation { operator: OPERATOR.parse()?, location: LOCATION.parse()? };
            let created: InvitationCreated = self.ask("POST", "/invitations", &body).await?;
            nodes.push(self.join(number, &created.invitation).await?);
        }
        Ok(nodes)
    }

    async fn join(&mut self, number: u32, invitation: &str) -> Result<FleetNode> {
        let invitation: Invitation = invitation.parse()?;
        let seed = Hash::of(&number.to_be_bytes()).0;
        let key = SigningKey::new("join", seed)?;
        let [_, a, b, c] = number.to_be_bytes();
        let mut join = Join {
            secret: invitation.secret.clone(),
            identity_public_key: BASE64.encode(&key.verifier().public_key()),
            wireguard_public_key: Hash::of(&seed).0.into(),
            endpoint: format!("[2001:db8::{a:x}:{b:x}:{c:x}]:51820"),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            backend: Backend::Kernel,
            signature: String::new(),
        };
        let log = crate::control_plane::ORIGIN.parse()?;
        join.signature = BASE64.encode(&key.sign_bytes(join.text(&log).as_bytes()));
        let joined: Joined = self.ask("POST", "/nodes", &join).await?;
        let key = SigningKey::new(joined.node.as_str(), seed)?;
        let end = clock::utc_now();
        Ok(FleetNode { joined, key, sequence: 0, previous: None, end, total: 0, acknowledged: 0 })
    }
}

impl FleetNode {
    /// Begins its reports at this moment instead of when it was enrolled.
    #[must_use]
    pub fn reporting_from(self, begin: Timestamp) -> Self {
        Self { end: begin, ..self }
    }

    /// Signs the report that follows the last one, whose stretch is empty.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn next_report(&mut self) -> Result<Signed<UsageReport>> {
        self.next_report_until(self.end)
    }

    /// Signs the report that follows the last one, up to this moment.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn next_report_until(&mut self, end: Timestamp) -> Result<Signed<UsageReport>> {
        self.next_report_with(end, |_| {})
    }

    /// The same, with whatever else is changed in it.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn next_report_with(
        &mut self,
        end: Timestamp,
        change: impl FnOnce(&mut UsageReport),
    ) -> Result<Signed<UsageReport>> {
        self.total += BYTES_A_REPORT;
        let bytes = Bytes::new(self.total)?;
        let usage = Usage { received: bytes, sent: bytes, creditable: bytes.plus(bytes)? };
        let mut report = UsageReport {
            log: self.joined.log.clone(),
            node: self.joined.node.clone(),
            operator: self.joined.operator.clone(),
            sequence: self.sequence + 1,
            previous: self.previous,
            salt: Salt(self.sequence.to_be_bytes().repeat(2).try_into().expect("twice 8 bytes")),
            start: self.end,
            end,
            epoch: None,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            backend: Backend::Kernel,
            peers: PeersBucket::Zero,
            tree: None,
            usage: BTreeMap::from([((Service::WireGuard, Class::Assigned), usage)]),
        };
        change(&mut report);
        let signed = Signed::sign(report, &self.key)?;
        self.sequence += 1;
        self.previous = Some(signed.hash());
        self.end = end;
        Ok(signed)
    }

    /// Signs from here on for the log of another name and the same key that continues this one.
    ///
    /// # Errors
    /// When that is no origin.
    pub fn follow(&mut self, origin: &str) -> Result<()> {
        let key: Verifier = self.joined.log_vkey.parse()?;
        let named = |name: &str| Verifier::from_public_key(name, key.public_key()).map(|key| key.to_string());
        self.joined.log = origin.parse()?;
        self.joined.log_vkey = named(origin)?;
        self.joined.reports_vkey = named(&format!("{origin}/reports"))?;
        Ok(())
    }

    /// A whole HTTP request below the API's prefix, signed now.
    ///
    /// # Errors
    /// Without randomness.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let path = format!("{PREFIX}/nodes/{}{path}", self.joined.node);
        let mut nonce = Salt([0; 16]);
        getrandom::fill(&mut nonce.0).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let time = clock::utc_now();
        let node = &self.joined.node;
        let request = Request { log: &self.joined.log, node, method, path: &path, body, time, nonce };
        let signature = BASE64.encode(&self.key.sign_bytes(request.text().as_bytes()));
        let kind = if path.ends_with("/batch") { "application/json" } else { "text/plain; charset=utf-8" };
        let headers = format!(
            "content-type: {kind}\r\n{HEADER_NODE}: {node}\r\n{HEADER_TIME}: {time}\r\n{HEADER_NONCE}: {nonce}\r\n\
             {HEADER_SIGNATURE}: {signature}\r\n"
        );
        Ok(raw(method, &path, &headers, body))
    }

    /// The request that delivers one report.
    ///
    /// # Errors
    /// Without randomness.
    pub fn deliver(&self, report: &Signed<UsageReport>) -> Result<Vec<u8>> {
        self.request("POST", "/reports", report.note().as_bytes())
    }

    /// The request that delivers the next `count` reports.
    ///
    /// # Errors
    /// When one cannot be signed.
    pub fn deliver_next(&mut self, count: usize) -> Result<Vec<u8>> {
        let reports = (0..count).map(|_| self.next_report()).collect::<Result<Vec<_>>>()?;
        self.deliver_several(&reports)
    }

    /// The request that delivers these reports.
    ///
    /// # Errors
    /// Without randomness.
    pub fn deliver_several(&self, reports: &[Signed<UsageReport>]) -> Result<Vec<u8>> {
        let reports = reports.iter().map(|report| report.note().to_owned()).collect();
        self.request("POST", "/reports/batch", &serde_json::to_vec(&NewReports { reports })?)
    }

    /// The request that shows a restored control plane all that it had acknowledged of these.
    ///
    /// # Errors
    /// Without randomness.
    pub fn show(&self, held: &[(Signed<UsageReport>, String)]) -> Result<Vec<u8>> {
        let receipt = |(report, proof): &(Signed<UsageReport>, String)| Receipt {
            note: report.note().to_owned(),
            proof: proof.clone(),
        };
        let shown = NewReceipts { receipts: held.iter().map(receipt).collect(), last: true };
        self.request("POST", "/receipts", &serde_json::to_vec(&shown)?)
    }

    /// Checks that the answer proves the report to be in the log, and says how many reports the log had then.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&mut self, report: &Signed<UsageReport>, answer: &Answer) -> Result<u64> {
        let said = std::str::from_utf8(&answer.body).context("an acknowledgement that is no text")?;
        ensure!(answer.status == 200, "report {}: {} {said}", report.content().sequence, answer.status);
        let proof: LogProof = said.parse()?;
        let verifier: Verifier = self.joined.reports_vkey.parse()?;
        let checkpoint = proof.verify(report_entry(report.hash()).as_bytes(), &verifier)?;
        self.acknowledged = report.content().sequence;
        Ok(checkpoint.size)
    }

    /// The last report that the control plane has.
    ///
    /// # Errors
    /// Any status but success.
    pub async fn head(&self, connection: &mut Connection) -> Result<ReportHead> {
        let answer = connection.ask(&self.request("GET", "/head", b"")?).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

fn raw(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: control\r\ncontent-length: {length}\r\n{headers}\r\n")
            .into_bytes();
    request.extend(body);
    request
}

/// Copies the keys of a control plane for a replica of it.
///
/// # Errors
/// What the file system refuses.
pub fn copy_keys(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("keys"))?;
    for entry in std::fs::read_dir(from.join("keys"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join("keys").join(entry.file_name()))?;
    }
    std::fs::copy(from.join("admin.token"), to.join("admin.token"))?;
    Ok(())
}
