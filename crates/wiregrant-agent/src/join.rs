//! `wiregrant-agent join`: makes the node's keys, redeems an invitation, and keeps what it learns.

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::Join;
use wiregrant_core::invitation::Invitation;
use wiregrant_core::note::Origin;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::control_plane::ControlPlane;
use crate::enrolment::{Choices, Enrolment};
use crate::state_dir::StateDir;
use crate::wireguard::{self, InterfaceName};
use crate::{clock, endpoint};

/// Joins. Repeating it after an answer that was lost on the way gives the same node.
///
/// # Errors
/// When the node has joined before, the invitation or the endpoint is not usable, nothing here can move WireGuard packets, or
/// the control plane refuses.
pub fn join(
    dir: &StateDir,
    invitation: &Invitation,
    given_endpoint: Option<String>,
    choices: Choices,
) -> anyhow::Result<Enrolment> {
    let endpoint = given_endpoint.map_or_else(endpoint::found, Ok)?;
    let interface: InterfaceName = choices.interface.parse()?;
    let now = clock::now().wall;
    ensure!(
        invitation.expires > now,
        "invitation: it expired at {}; ask the control plane's administrator for a new one (this machine's clock says {now})",
        invitation.expires
    );
    if invitation.pin.is_some() {
        bail!("invitation: it pins a TLS key, which this version cannot check; ask for one without a pin");
    }
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
    let joined = ControlPlane::new(&invitation.urls).join(&join).context("redeeming the invitation")?;
    let enrolment = Enrolment::new(invitation, &join, joined, choices, now)
        .context("the control plane's answer does not fit the invitation")?;
    dir.write_enrolment(&enrolment)?;
    Ok(enrolment)
}

/// A log's origin is the name of its key.
fn origin(vkey: &str) -> anyhow::Result<Origin> {
    let verifier: transparency_log::Verifier = vkey.parse().context("invitation: the log's key")?;
    Ok(verifier.name().parse()?)
}
