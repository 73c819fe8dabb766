//! Enrolment: an invitation and two public keys become a node, or take up one whose own keys are lost.

use data_encoding::BASE64;
use transparency_log::Verifier;
use wiregrant_core::api::{Join, Joined, NamedKey, ProblemKind};
use wiregrant_core::record::RecordEntry;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::{self as store, NewNode, StoreError};

use crate::addresses::NodeAddresses;
use crate::config::{NODE_PREFIX_V4, NODE_PREFIX_V6};
use crate::control_plane::ControlPlane;
use crate::endpoint::Endpoint;
use crate::error::{Answer, Failure};
use crate::keys::Purpose;
use crate::recording::Recording;
use crate::{equivocation, random, rekeying};

const MAX_AGENT_CHARS: usize = 40;

/// Enrols a node, or tells one that was enrolled with the same invitation and keys what it was told before.
///
/// # Errors
/// `invitation`, `invalid-request`, `request-signature`, `already-exists`, `no-node` when the address pools are used up.
pub async fn join(plane: &ControlPlane, join: &Join) -> Answer<Joined> {
    let identity = Identity::checked(plane, join)?;
    let listen_port = Endpoint::checked("endpoint", &join.endpoint)?.port;
    check_agent(&join.agent)?;
    let secret_hash = plane.keys.hash(Purpose::Invitation, &join.secret);
    let now = plane.clock.now();

    let mut recording = Recording::begin(plane).await?;
    let invitation = recording.write.invitation(secret_hash).await?;
    let invitation =
        invitation.ok_or_else(|| refused("it was not made here; copy it whole, or ask for a new one"))?;
    if let Some(node) = &invitation.node {
        let node = recording.write.node(node).await?;
        let same = |node: &store::Node| {
            node.identity_key == identity.0 && node.wireguard_public_key == join.wireguard_public_key
        };
        let node = node.filter(same).ok_or_else(|| refused("another node has used it; ask for a new one"))?;
        drop(recording);
        return joined(plane, &node.node, &invitation, node.number, listen_port).await;
    }
    if invitation.expires <= now {
        return Err(refused(&format!("it expired at {}; ask for a new one", invitation.expires)));
    }
    let (id, number) = match &invitation.for_node {
        None => enrol(plane, &mut recording, &new_node(&invitation, &identity, join)?, now).await?,
        Some(node) => {
            let node = recording.write.node(node).await?;
            let node = node.ok_or_else(|| Failure::internal("an invitation for a node that is gone"))?;
            rekeying::by_invitation(plane, &mut recording, &node, join, identity.0, now).await?;
            (node.node, node.number)
        }
    };
    recording.write.use_invitation(secret_hash, &id).await?;
    recording.commit().await?;
    plane.changes.of(&id);
    joined(plane, &id, &invitation, number, listen_port).await
}

/// Enrols a new node, within the transaction; gives its id and number.
async fn enrol(
    plane: &ControlPlane,
    recording: &mut Recording<'_>,
    node: &NewNode,
    now: Timestamp,
) -> Answer<(NodeId, u32)> {
    // Reports that the node before signed with it would be this one's too.
    if recording.write.rekey_of(&node.identity_key).await?.is_some() {
        let detail = "identity_public_key: this key was a node's and was replaced; delete the agent's state and join anew";
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    let number = insert(plane, recording, node, now).await?;
    let NewNode { node: id, operator, vkey, .. } = node.clone();
    recording.log(RecordEntry::Enrol { node: id.clone(), operator, vkey });
    Ok((id, number))
}

fn refused(why: &str) -> Failure {
    Failure::new(ProblemKind::Invitation, format!("invitation: {why}"))
}

/// A node's Ed25519 key, whose owner has signed the request.
struct Identity([u8; 32]);

impl Identity {
    fn checked(plane: &ControlPlane, join: &Join) -> Answer<Self> {
        let given = &join.identity_public_key;
        let refuse =
            || Failure::field("identity_public_key", given, "an Ed25519 key: 32 bytes in padded base64");
        let key = BASE64.decode(given.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = key.ok_or_else(refuse)?;
        let verifier = Verifier::from_public_key("join", key).map_err(|_| refuse())?;
        let signature = BASE64.decode(join.signature.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = signature
            .ok_or_else(|| Failure::field("signature", &join.signature, "64 bytes in padded base64"))?;
        if !verifier.verify(join.text(&plane.config.origin).as_bytes(), &signature) {
            let detail = "signature: it is not by identity_public_key over this request and log";
            return Err(Failure::new(ProblemKind::RequestSignature, detail));
        }
        join.wireguard_public_key.checked()?;
        Ok(Self(key))
    }
}

fn new_node(invitation: &store::Invitation, identity: &Identity, join: &Join) -> Answer<NewNode> {
    let node = random_id();
    let vkey = Verifier::from_public_key(node.as_str(), identity.0).map_err(Failure::internal)?;
    Ok(NewNode {
        node,
        operator: invitation.operator.clone(),
        location: invitation.location.clone(),
        vkey: vkey.to_string(),
        identity_key: identity.0,
        wireguard_public_key: join.wireguard_public_key,
        endpoint: join.endpoint.clone(),
        agent: join.agent.clone(),
        backend: join.backend,
    })
}

async fn insert(
    plane: &ControlPlane,
    recording: &mut Recording<'_>,
    node: &NewNode,
    now: Timestamp,
) -> Answer<u32> {
    match recording.write.insert_node(node, capacity(plane), now).await {
        Err(StoreError::Exists { columns, .. }) => {
            let detail =
                format!("{columns}: a node has this key already; delete the agent's state and join anew");
            Err(Failure::new(ProblemKind::AlreadyExists, detail))
        }
        Err(error @ StoreError::TooLarge { .. }) => {
            let detail = format!("the address pools are used up ({error}); the administrator can widen them");
            Err(Failure::new(ProblemKind::NoNode, detail))
        }
        other => Ok(other?),
    }
}

/// How many nodes the smaller of the pools has room for.
fn capacity(plane: &ControlPlane) -> u32 {
    let parts =
        |part: u8, pool: u8| 1u32.checked_shl(u32::from(part.saturating_sub(pool))).unwrap_or(u32::MAX);
    let v4 = parts(NODE_PREFIX_V4, plane.config.pool_v4.prefix_len());
    v4.min(parts(NODE_PREFIX_V6, plane.config.pool_v6.prefix_len()))
}

async fn joined(
    plane: &ControlPlane,
    node: &NodeId,
    invitation: &store::Invitation,
    number: u32,
    listen_port: u16,
) -> Answer<Joined> {
    let addresses =
        NodeAddresses::of(number, plane.config.pool_v4, plane.config.pool_v6).ok_or_else(|| {
            Failure::internal(format!("node number {number} lies outside of the address pools"))
        })?;
    Ok(Joined {
        node: node.clone(),
        operator: invitation.operator.clone(),
        log: plane.config.origin.clone(),
        log_vkey: plane.keys.record.verifier().to_string(),
        reports_vkey: plane.keys.reports.verifier().to_string(),
        addresses: addresses.interface(),
        listen_port,
        former: former_keys(plane, invitation, node).await?,
        former_logs: match invitation.for_node {
            Some(_) => plane.continued.shown().to_vec(),
            None => Vec::new(),
        },
    })
}

/// The keys that a node had before the one that it was invited to go on under.
async fn former_keys(
    plane: &ControlPlane,
    invitation: &store::Invitation,
    node: &NodeId,
) -> Answer<Vec<NamedKey>> {
    if invitation.for_node.is_none() {
        return Ok(Vec::new());
    }
    let mut read = plane.store.read().await?;
    let mut named = equivocation::named_keys(plane, &mut read, node).await?;
    let present = read.node(node).await?.map(|row| row.vkey).unwrap_or_default();
    // The last one names the present key.
    named.retain(|key| !key.entry.split(' ').any(|field| field == present));
    Ok(named)
}

/// `node-` and eight random letters and digits.
fn random_id() -> NodeId {
    let id = format!("node-{}", random::word(&random::bytes::<5>()));
    id.parse().expect("small letters and digits are an id")
}

/// Checks an agent's version.
///
/// # Errors
/// `invalid-request`.
pub fn check_agent(agent: &str) -> Answer<()> {
    if (1..=MAX_AGENT_CHARS).contains(&agent.len()) && agent.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let shown: String = agent.chars().take(MAX_AGENT_CHARS).collect();
    Err(Failure::field("agent", shown, "a version of 1 to 40 printable characters without spaces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_an_id() {
        assert_eq!(random_id().as_str().len(), "node-".len() + 8);
        assert_ne!(random_id(), random_id());
    }
}
