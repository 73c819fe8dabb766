//! `wiregrant-agent rekey`: the node goes on under a new identity key, which its present one announces.
//!
//! The new key is on the disk before anybody hears of it, and takes the old one's place once the control plane has logged it. A
//! command that was cut off in between is finished by the next one, or by the next start: announcing the same key twice is no error.

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use transparency_log::Verifier;
use wiregrant_core::Timestamp;
use wiregrant_core::api::NewNodeKey;
use wiregrant_core::note::Signed;
use wiregrant_core::rekey::Rekey;

use crate::control_plane::ControlPlane;
use crate::enrolment::Enrolment;
use crate::state_dir::StateDir;
use crate::{clock, ledger};

/// Replaces the identity key, and gives the new one's public half.
///
/// # Errors
/// When the node has not joined, an agent runs, a signed report is on its way, or the control plane does not answer or refuses.
pub fn rekey(dir: &StateDir) -> anyhow::Result<Verifier> {
    let _lock = dir.lock()?;
    let enrolment = dir.joined()?;
    if dir.journal().exists() && ledger::load(&dir.journal())?.0.chain.under_way()?.is_some() {
        bail!(
            "a report that the present key has signed is not acknowledged yet, and nobody would take it under another: let the \
             agent run until `wiregrant-agent status` says that all is delivered, stop it, and do this again"
        );
    }
    dir.next_identity_key(enrolment.node.as_str())?;
    let control_plane = ControlPlane::new(&enrolment.urls, enrolment.pin);
    finish(dir, enrolment, &control_plane, clock::now().wall).context("announcing the new key")
}

/// Finishes what a `rekey` that was cut off has begun. Until that succeeds the old key is used: the control plane refuses it where
/// it has logged the new one, and then nothing is signed with it.
pub fn finish_if_begun(dir: &StateDir, enrolment: Enrolment, control_plane: &ControlPlane) -> Enrolment {
    if !dir.has_next_identity_key() {
        return enrolment;
    }
    let is_under_way = || anyhow::Ok(ledger::load(&dir.journal())?.0.chain.under_way()?.is_some());
    let finished = match dir.journal().exists().then(is_under_way).transpose() {
        Ok(Some(true)) => {
            Err(anyhow::anyhow!("a report that the present key has signed is not acknowledged yet"))
        }
        Ok(_) => finish(dir, enrolment.clone(), control_plane, clock::now().wall),
        Err(error) => Err(error),
    };
    match finished.and_then(|_| dir.joined()) {
        Ok(enrolment) => {
            tracing::info!("a change of the identity key that was begun is finished");
            enrolment
        }
        Err(error) => {
            tracing::error!(
                "a change of the identity key was begun and is not finished: {error:#}; stop the agent and run \
                 `wiregrant-agent rekey` once the control plane answers"
            );
            enrolment
        }
    }
}

fn finish(
    dir: &StateDir,
    mut enrolment: Enrolment,
    control_plane: &ControlPlane,
    now: Timestamp,
) -> anyhow::Result<Verifier> {
    let name = enrolment.node.as_str();
    let (present, next) = (dir.identity_key(name)?, dir.next_identity_key(name)?);
    let (former, vkey) = (present.verifier(), next.verifier());
    let rekey = Rekey {
        log: enrolment.log.clone(),
        node: enrolment.node.clone(),
        operator: enrolment.operator.clone(),
        former: former.clone(),
        vkey: vkey.clone(),
        time: now,
    };
    let signed = Signed::sign(rekey, &present)?;
    let signature = BASE64.encode(&next.sign_bytes(signed.note().as_bytes()));
    control_plane.rekey(&enrolment.node, &NewNodeKey { note: signed.note().to_owned(), signature })?;
    // Before the key: whoever has the new one knows that the last report is by the old one.
    let former = former.to_string();
    if !enrolment.former_vkeys.contains(&former) {
        enrolment.former_vkeys.push(former);
        dir.write_enrolment(&enrolment)?;
    }
    dir.take_next_identity_key()?;
    Ok(vkey)
}
