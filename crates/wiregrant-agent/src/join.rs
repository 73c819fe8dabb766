//! `wiregrant-agent join`: makes the node's keys, redeems an invitation, and keeps what it learns.

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use transparency_log::{Verifier, WitnessPolicy};
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::Join;
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::Origin;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::control_plane::ControlPlane;
use crate::enrolment::{self, Choices, Enrolment};
use crate::log_keys::LogKeys;
use crate::pinned::Pin;
use crate::public_log::Place;
use crate::state_dir::StateDir;
use crate::wireguard::{self, InterfaceName};
use crate::{clock, endpoint};

/// Joins. Repeating it after an answer that was lost on the way gives the same node.
///
/// # Errors
/// When the node has joined before, the invitation or the endpoint is not usable, too few witnesses cosigned what is published, nothing here can move WireGuard packets, or
/// the control plane refuses.
pub fn join(
    dir: &StateDir,
    invitation: &Invitation,
    given_endpoint: Option<String>,
    choices: Choices,
    witnesses: Option<&WitnessPolicy>,
) -> anyhow::Result<Enrolment> {
    let endpoint = given_endpoint.map_or_else(endpoint::found, Ok)?;
    let interface: InterfaceName = choices.interface.parse()?;
    let now = clock::now().wall;
    ensure!(
        invitation.expires > now,
        "invitation: it expired at {}; ask the control plane's administrator for a new one (this machine's clock says {now})",
        invitation.expires
    );
    let pin = enrolment::pin(invitation).context("invitation")?;
    dir.create()?;
    let _lock = dir.lock()?;
    if let Some(enrolment) = dir.enrolment()? {
        bail!(
            "--state-dir: this node has joined as {} of {}; run `wiregrant-agent run`, with --endpoint if it is to be reached \
             elsewhere; for another node choose another --state-dir",
            enrolment.node,
            enrolment.operator
        );
    }
    if let Some(policy) = witnesses {
        check_witnessed(invitation, pin, policy)?;
    }
    let backend = wireguard::open(choices.backend.parse()?, interface)?.kind();
    let log: Origin = origin(&invitation.vkey)?;
    let identity = dir.identity_key("join")?;
    let wireguard_key = dir.wireguard_key()?;
    let public = PublicKey::from(&StaticSecret::from(*wireguard_key.as_bytes()));
    let mut join = Join {
        secret: invitation.secret.clone(),
        identity_public_key: BASE64.encode(&identity.verifier().public_key()),
        wireguard_public_key: WireGuardPublicKey::from(public.to_bytes()),
        endpoint,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        backend,
        signature: String::new(),
    };
    join.signature = BASE64.encode(&identity.sign_bytes(join.text(&log).as_bytes()));
    let joined = ControlPlane::new(&invitation.urls, pin).join(&join).context("redeeming the invitation")?;
    let vkey = followed(invitation, pin, &joined.log_vkey)?;
    let invitation = &Invitation { vkey, ..invitation.clone() };
    let enrolment = Enrolment::new(invitation, &join, joined, choices, now)
        .context("the control plane's answer does not fit the invitation")?;
    dir.write_enrolment(&enrolment)?;
    Ok(enrolment)
}

/// Checks, before anything is sent, that both logs as they are published were cosigned by enough witnesses: a control plane that
/// shows this node a history of its own has no such cosignatures.
fn check_witnessed(invitation: &Invitation, pin: Option<Pin>, policy: &WitnessPolicy) -> anyhow::Result<()> {
    let record: Verifier = invitation.vkey.parse().context("invitation: the log's key")?;
    let reports = Verifier::from_public_key(&format!("{}/reports", record.name()), record.public_key())?;
    let mut last = None;
    for url in &invitation.urls {
        let place = Place::new(url, pin);
        let mut keys = LogKeys::pinned(record.clone(), reports.clone());
        let checked = keys
            .follow(&place)
            .and_then(|_| place.checkpoint("log", keys.record(), Some(policy)))
            .and_then(|_| place.checkpoint("reports", keys.reports(), Some(policy)));
        match checked {
            Ok(_) => return Ok(()),
            Err(unreadable) => last = Some(unreadable),
        }
    }
    let refused = last.map_or_else(|| "it has no address".to_owned(), |unreadable| unreadable.to_string());
    bail!("--witness: what this control plane publishes does not have the demanded cosignatures: {refused}")
}

/// The key that the invitation's has led to by now, if that is the one that answers; else the invitation's.
fn followed(invitation: &Invitation, pin: Option<Pin>, answers: &str) -> anyhow::Result<String> {
    if answers == invitation.vkey {
        return Ok(invitation.vkey.clone());
    }
    let record: Verifier = invitation.vkey.parse().context("invitation: the log's key")?;
    let mut keys = LogKeys::pinned(record.clone(), record);
    for url in &invitation.urls {
        // Whoever leads nowhere is told so by what follows: the answer is for another log.
        let _ = keys.follow(&Place::new(url, pin));
    }
    let leads = keys.record().iter().any(|key| key.to_string() == answers);
    Ok(if leads { answers.to_owned() } else { invitation.vkey.clone() })
}

/// A log's origin is the name of its key.
fn origin(vkey: &str) -> anyhow::Result<Origin> {
    let verifier: Verifier = vkey.parse().context("invitation: the log's key")?;
    Ok(verifier.name().parse()?)
}
