//! Rekeying: a node goes on under another identity key, with all it has reported so far.
//!
//! The former key says so itself, or, where it is lost or in wrong hands, whoever was invited for that node; then the statement key
//! signs the note, and everybody can tell the two apart.

use data_encoding::BASE64;
use transparency_log::{SigningKey, Verifier};
use wiregrant_core::api::{Join, NewNodeKey, NodeState, ProblemKind};
use wiregrant_core::note::{NoteText, Signed};
use wiregrant_core::record::RecordEntry;
use wiregrant_core::rekey::Rekey;
use wiregrant_core::request::MAX_CLOCK_DISTANCE_SECONDS;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::{self as store, NodeSetUpAnew, StoreError};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::recording::Recording;

/// Replaces a node's key by one that the former announces. The same again is done already.
///
/// # Errors
/// `not-found`, `invalid-request`, `request-signature`, `request-clock`, `conflict`, `already-exists`.
pub async fn by_former_key(plane: &ControlPlane, node: &NodeId, new: &NewNodeKey) -> Answer<()> {
    let signed = Signed::<Rekey>::parse(&new.note)
        .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("note: {error}")))?;
    let rekey = signed.content();
    check_signatures(&signed, &new.signature)?;
    agree("log", &plane.config.origin, &rekey.log)?;
    agree("node", node, &rekey.node)?;
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    let row = recording.write.node(node).await?.ok_or_else(|| Failure::not_found("node", node))?;
    agree("operator", &row.operator, &rekey.operator)?;
    if row.vkey != rekey.former.to_string() {
        let done = recording.write.rekey_of(&rekey.former.public_key()).await?;
        let is_done = done.is_some_and(|done| done.node == *node && done.identity_key == row.identity_key);
        if is_done && row.vkey == rekey.vkey.to_string() {
            return Ok(());
        }
        let detail = "former: it is not this node's key now; where the key is lost or in wrong hands, have its operator make an \
                      invitation for this node";
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    if row.state == NodeState::Retired {
        let detail = format!("node: {node} has retired for good; enrol it again with a new invitation");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    if rekey.time.distance_seconds(now) > MAX_CLOCK_DISTANCE_SECONDS {
        let detail = format!(
            "time: {} is more than {MAX_CLOCK_DISTANCE_SECONDS} s from {now}; set the node's clock",
            rekey.time
        );
        return Err(Failure::new(ProblemKind::RequestClock, detail).with("now", now.to_string()));
    }
    replace(&mut recording, &signed, now).await?;
    recording.commit().await?;
    plane.changes.of(node);
    tracing::info!(%node, "a node has another key, which its former one announced");
    Ok(())
}

/// Lets the node of an invitation go on under the keys of whoever redeems it, within the transaction.
///
/// # Errors
/// `invitation`, `already-exists`.
pub async fn by_invitation(
    plane: &ControlPlane,
    recording: &mut Recording<'_>,
    node: &store::Node,
    join: &Join,
    identity_key: [u8; 32],
    now: Timestamp,
) -> Answer<()> {
    let id = &node.node;
    if node.state == NodeState::Retired {
        let detail = format!("invitation: {id} has retired for good; ask for one for a new node");
        return Err(Failure::new(ProblemKind::Invitation, detail));
    }
    // Of a machine that lost but its WireGuard key the identity stays.
    if node.identity_key != identity_key {
        let rekey = Rekey {
            log: plane.config.origin.clone(),
            node: id.clone(),
            operator: node.operator.clone(),
            former: node.vkey.parse().map_err(Failure::internal)?,
            vkey: Verifier::from_public_key(id.as_str(), identity_key).map_err(Failure::internal)?,
            time: now,
        };
        let signed = signed(rekey, &plane.keys.statement)?;
        replace(recording, &signed, now).await?;
    }
    let anew = NodeSetUpAnew {
        wireguard_public_key: join.wireguard_public_key,
        endpoint: join.endpoint.clone(),
        agent: join.agent.clone(),
        backend: join.backend,
    };
    recording.write.set_up_anew(id, &anew).await.map_err(used_key)
}

fn signed<T: NoteText>(content: T, key: &SigningKey) -> Answer<Signed<T>> {
    Signed::sign(content, key).map_err(Failure::internal)
}

/// Writes the new key over the former one, and logs and publishes the note.
async fn replace(recording: &mut Recording<'_>, signed: &Signed<Rekey>, now: Timestamp) -> Answer<()> {
    let Rekey { node, former, vkey, .. } = signed.content();
    if recording.write.rekey_of(&vkey.public_key()).await?.is_some() {
        let detail = "vkey: this key was a node's and was replaced; make another";
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    let row = store::Rekey {
        note_hash: signed.hash(),
        node: node.clone(),
        former_key: former.public_key(),
        identity_key: vkey.public_key(),
        rekeyed_at: now,
    };
    recording.write.rekey_node(&row, &vkey.to_string()).await.map_err(used_key)?;
    recording.write.put_public_note(signed.note()).await?;
    recording.log(RecordEntry::Rekey { node: node.clone(), vkey: vkey.to_string(), note: signed.hash() });
    Ok(())
}

fn used_key(error: StoreError) -> Failure {
    match error {
        StoreError::Exists { columns, .. } => Failure::new(
            ProblemKind::AlreadyExists,
            format!("{columns}: a node has this key already; make another"),
        ),
        other => other.into(),
    }
}

/// Both keys have to say so.
fn check_signatures(signed: &Signed<Rekey>, signature: &str) -> Answer<()> {
    let Rekey { former, vkey, .. } = signed.content();
    let refuse = |detail: String| Failure::new(ProblemKind::RequestSignature, detail);
    signed.verified_by(former).map_err(|error| refuse(format!("note: {error}")))?;
    let bytes = BASE64.decode(signature.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| Failure::field("signature", signature, "64 bytes in padded base64"))?;
    if vkey.verify(signed.note().as_bytes(), &bytes) {
        return Ok(());
    }
    Err(refuse("signature: it is not by the new key over this note".to_owned()))
}

fn agree<T: PartialEq + std::fmt::Display>(field: &str, expected: &T, found: &T) -> Answer<()> {
    if expected == found {
        return Ok(());
    }
    let detail = format!("note: {field}: expected {expected}, found {found}");
    Err(Failure::new(ProblemKind::InvalidRequest, detail))
}
