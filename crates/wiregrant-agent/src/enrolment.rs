//! The node's enrolment: what it learnt when it joined and is told nothing else about until it joins anew.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use transparency_log::{LogError, LogProof, Verifier};
use wiregrant_core::api::{Join, Joined, NamedKey};
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::Origin;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::{FactError, NodeId, OperatorId, Timestamp};

use crate::pinned::Pin;

/// Kept as `node.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Its id.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// The record log's origin, which every report names.
    pub log: Origin,
    /// The record log's key, pinned.
    pub log_vkey: String,
    /// The reports log's key, pinned: acknowledgements are proofs under it.
    pub reports_vkey: String,
    /// Where the control plane answers; each is tried.
    pub urls: Vec<String>,
    /// The TLS key that those at `https://` answer with, where the invitation pinned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// When it joined; the first report begins here.
    pub joined_at: Timestamp,
    /// Where clients reach the node, as it told the control plane.
    pub endpoint: String,
    /// The name of the WireGuard interface.
    pub interface: String,
    /// `auto`, `kernel` or `wireguard-go`.
    pub backend: String,
    /// The interface's own addresses with their pools' prefixes.
    pub addresses: Vec<IpNet>,
    /// The UDP port it listens on.
    pub listen_port: u16,
    /// The identity keys it had before, oldest first: its last report may be signed by one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_vkeys: Vec<String>,
    /// The origins before this one, oldest first, whose log was lost in part: earlier reports name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_logs: Vec<Origin>,
    /// The keys that signed those origins' records, as far as this node has followed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_log_vkeys: Vec<String>,
}

/// What the person who joins decides.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The name of the WireGuard interface.
    pub interface: String,
    /// `auto`, `kernel` or `wireguard-go`.
    pub backend: String,
}

impl Enrolment {
    /// What follows from an invitation and the answer to it.
    ///
    /// # Errors
    /// When the answer is for another log than the invitation's, or lacks an address.
    pub fn new(
        invitation: &Invitation,
        join: &Join,
        joined: Joined,
        choices: Choices,
        joined_at: Timestamp,
    ) -> Result<Self, FactError> {
        if joined.log_vkey != invitation.vkey {
            return Err(FactError::mismatch("log_vkey", &invitation.vkey, &joined.log_vkey));
        }
        let record = verifier("log_vkey", &joined.log_vkey)?;
        if record.name() != joined.log.as_str() {
            return Err(FactError::mismatch("log", record.name(), &joined.log));
        }
        // The same key under the other log's name: whoever answers cannot bring a key of their own.
        let reports = verifier("reports_vkey", &joined.reports_vkey)?;
        if reports.public_key() != record.public_key() {
            return Err(FactError::mismatch("reports_vkey", "the record log's key", &joined.reports_vkey));
        }
        if joined.addresses.is_empty() {
            return Err(FactError::mismatch("addresses", "at least one", "none"));
        }
        let former = joined.former.iter().map(|named| former_key(named, &joined.node, &record));
        let former_vkeys = former.collect::<Result<_, _>>()?;
        let former_logs = joined.former_logs.iter().rev().map(|named| former_log(named, &record));
        let former_logs = former_logs.collect::<Result<_, _>>()?;
        Ok(Self {
            node: joined.node,
            operator: joined.operator,
            log: joined.log,
            log_vkey: joined.log_vkey,
            reports_vkey: joined.reports_vkey,
            urls: invitation.urls.clone(),
            pin: pin(invitation)?,
            joined_at,
            endpoint: join.endpoint.clone(),
            interface: choices.interface,
            backend: choices.backend,
            addresses: joined.addresses,
            listen_port: joined.listen_port,
            former_vkeys,
            former_logs,
            former_log_vkeys: Vec::new(),
        })
    }

    /// The record log's key.
    ///
    /// # Errors
    /// When the file was edited into something else.
    pub fn record_log(&self) -> Result<Verifier, FactError> {
        verifier("log_vkey", &self.log_vkey)
    }

    /// Whether a report of this node may name this log.
    #[must_use]
    pub fn is_own_log(&self, log: &Origin) -> bool {
        *log == self.log || self.former_logs.contains(log)
    }

    /// The identity keys that the node had before.
    ///
    /// # Errors
    /// When the file was edited into something else.
    pub fn former_keys(&self) -> Result<Vec<Verifier>, FactError> {
        let key = |vkey: &String| {
            let expected = "a key that this node had";
            vkey.parse().map_err(|_| FactError::value("former_vkeys", vkey, expected))
        };
        self.former_vkeys.iter().map(key).collect()
    }

    /// The reports log's key.
    ///
    /// # Errors
    /// When the file was edited into something else.
    pub fn reports_log(&self) -> Result<Verifier, FactError> {
        verifier("reports_vkey", &self.reports_vkey)
    }

    /// Whether a peer may have this address: within a pool, and not the node's own.
    #[must_use]
    pub fn may_hand_out(&self, ip: &IpNet) -> bool {
        self.addresses.iter().any(|own| own.contains(ip) && !ip.contains(&own.addr()))
    }
}

/// The TLS key that an invitation pins.
///
/// # Errors
/// When it is none.
pub fn pin(invitation: &Invitation) -> Result<Option<Pin>, FactError> {
    invitation.pin.as_deref().map(str::parse).transpose()
}

/// A key that the record, under the pinned key, names for this node: whoever answers cannot make one up without leaving it there for
/// everybody to see.
fn former_key(named: &NamedKey, node: &NodeId, record: &Verifier) -> Result<String, FactError> {
    let refuse = |error: LogError| FactError::Signature(format!("former: {error}"));
    let proof: LogProof = named.proof.parse().map_err(refuse)?;
    proof.verify(named.entry.as_bytes(), record).map_err(refuse)?;
    match named.entry.parse()? {
        RecordEntry::Enrol { node: named, vkey, .. } | RecordEntry::Rekey { node: named, vkey, .. }
            if named == *node =>
        {
            Ok(vkey)
        }
        _ => Err(FactError::value("former", &named.entry, "an `enrol` or `rekey` line of this node")),
    }
}

/// A log that the record, under the pinned key, says it continues.
fn former_log(named: &NamedKey, record: &Verifier) -> Result<Origin, FactError> {
    let refuse = |error: LogError| FactError::Signature(format!("former_logs: {error}"));
    let proof: LogProof = named.proof.parse().map_err(refuse)?;
    proof.verify(named.entry.as_bytes(), record).map_err(refuse)?;
    match named.entry.parse()? {
        RecordEntry::Continues { origin, .. } => Ok(origin),
        _ => Err(FactError::value("former_logs", &named.entry, "`continues <origin> <size> <root>`")),
    }
}

fn verifier(field: &'static str, vkey: &str) -> Result<Verifier, FactError> {
    vkey.parse().map_err(|_| FactError::value(field, vkey, "a log's key: `<name>+<key id>+<base64>`"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use transparency_log::{Checkpoint, SigningKey};
    use wiregrant_core::usage_report::Backend;

    /// The key of the control plane that tests speak of, under a log's name.
    pub fn log_key(name: &str) -> SigningKey {
        SigningKey::new(name, [3; 32]).unwrap()
    }

    pub fn joined() -> Joined {
        Joined {
            node: "node-1".parse().unwrap(),
            operator: "nordlicht".parse().unwrap(),
            log: "grants.example/record".parse().unwrap(),
            log_vkey: log_key("grants.example/record").verifier().to_string(),
            reports_vkey: log_key("grants.example/reports").verifier().to_string(),
            addresses: vec!["10.8.0.1/24".parse().unwrap(), "fd08::1/64".parse().unwrap()],
            listen_port: 51820,
            former: Vec::new(),
            former_logs: Vec::new(),
        }
    }

    pub fn enrolled(joined: Joined) -> Result<Enrolment, FactError> {
        let joined_at = Timestamp::from_unix_seconds(1_000).unwrap();
        let invitation = Invitation {
            urls: vec!["http://127.0.0.1:1".into()],
            vkey: log_key("grants.example/record").verifier().to_string(),
            pin: None,
            secret: "s".into(),
            expires: joined_at,
        };
        let join = Join {
            secret: "s".into(),
            identity_public_key: String::new(),
            wireguard_public_key: [1; 32].into(),
            endpoint: "192.0.2.1:51820".into(),
            agent: "0.1.0".into(),
            backend: Backend::WireGuardGo,
            signature: String::new(),
        };
        let choices = Choices { interface: "wg-grant0".into(), backend: "auto".into() };
        Enrolment::new(&invitation, &join, joined, choices, joined_at)
    }

    #[test]
    fn an_answer_under_another_key_than_the_invitations_is_refused() {
        assert!(enrolled(joined()).is_ok());
        let stranger = SigningKey::new("grants.example/reports", [4; 32]).unwrap().verifier().to_string();
        let refusal = |change: &dyn Fn(&mut Joined)| {
            let mut changed = joined();
            change(&mut changed);
            enrolled(changed).unwrap_err().to_string()
        };
        assert!(refusal(&|j| j.log_vkey = stranger.clone()).starts_with("log_vkey"));
        assert!(refusal(&|j| j.reports_vkey = stranger.clone()).starts_with("reports_vkey"));
        assert!(refusal(&|j| j.log = "other.example/record".parse().unwrap()).starts_with("log:"));
        assert!(refusal(&|j| j.addresses.clear()).starts_with("addresses"));
    }

    #[test]
    fn a_former_key_is_believed_only_where_the_record_names_it_for_this_node() {
        let (key, other) = (SigningKey::new("node-1", [8; 32]).unwrap(), [9; 32]);
        let vkey = key.verifier().to_string();
        let named = |entry: String, seed: [u8; 32]| {
            let log = SigningKey::new("grants.example/record", seed).unwrap();
            let root = transparency_log::leaf_hash(entry.as_bytes());
            let checkpoint = Checkpoint { origin: log.name().to_owned(), size: 1, root }.sign(&log).unwrap();
            let proof = LogProof { index: 0, hashes: Vec::new(), checkpoint, extra: None }.to_string();
            NamedKey { entry, proof }
        };
        let with = |former: NamedKey| enrolled(Joined { former: vec![former], ..joined() });
        let enrol = format!("enrol node-1 nordlicht {vkey}");
        let kept = with(named(enrol.clone(), [3; 32])).unwrap();
        assert_eq!(kept.former_keys().unwrap(), [key.verifier()]);
        assert!(with(named(enrol.clone(), other)).is_err(), "the proof is by another log");
        assert!(
            with(NamedKey { entry: enrol.replace("nordlicht", "polaris"), ..named(enrol, [3; 32]) }).is_err()
        );
        for of_another in [format!("enrol node-2 nordlicht {vkey}"), "retire node-1".to_owned()] {
            assert!(with(named(of_another, [3; 32])).unwrap_err().to_string().starts_with("former"));
        }
    }

    #[test]
    fn only_addresses_of_the_nodes_own_pools_are_handed_out() {
        let enrolment = enrolled(joined()).unwrap();
        for (ip, may) in [
            ("10.8.0.7/32", true),
            ("fd08::7/128", true),
            ("10.8.0.1/32", false),
            ("10.9.0.7/32", false),
            ("0.0.0.0/0", false),
            ("::/0", false),
            ("10.8.0.0/24", false),
        ] {
            assert_eq!(enrolment.may_hand_out(&ip.parse().unwrap()), may, "{ip}");
        }
    }
}
