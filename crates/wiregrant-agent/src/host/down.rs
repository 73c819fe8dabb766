//! `wiregrant-agent down`: the host as it was before the agent, with every byte counted that moved until then.
//!
//! The state directory stays: its keys are the node, and its journal has what is not yet reported.

use std::sync::Arc;

use anyhow::Context as _;

use super::{accounting, firewall, forwarding};
use crate::clock;
use crate::config::Config;
use crate::keeper::Keeper;
use crate::ledger;
use crate::run::boot_id;
use crate::state_dir::StateDir;
use crate::wireguard::{self, Interface, InterfaceName};

/// Takes everything away that the agent has put on this host, and gives what was done, a line each. Once more is the same.
///
/// The order is that of a stop at any moment: nobody's bytes go before they are journaled, no rule goes while there is a
/// tunnel, and forwarding goes last.
///
/// # Errors
/// When the node has not joined, an agent runs, the interface is somebody else's, or the system refuses; what was not reached
/// is left, and another `down` goes on from there.
pub fn down(dir: &StateDir) -> anyhow::Result<Vec<String>> {
    let enrolment = dir.joined()?;
    let _lock = dir.lock().context("the agent has to be stopped first (`systemctl stop wiregrant-agent`)")?;
    let name: InterfaceName = enrolment.interface.parse()?;
    let boot_id = boot_id()?;
    let mut done = Vec::new();
    if accounting::link_is_there(&name)? {
        let interface = wireguard::open(enrolment.backend.parse()?, name.clone())?;
        let removed = remove_peers(dir, interface, &boot_id)?;
        wireguard::delete_interface(&name, &dir.wireguard_key()?)?;
        done.push(format!(
            "{removed} peers were read for the last time and removed, then the interface {name}"
        ));
    }
    if firewall::remove(&name)? {
        done.push(format!("the nftables tables of {name} are removed"));
    }
    for setting in forwarding::restore(dir, &boot_id)? {
        done.push(format!("{setting}, as it was found"));
    }
    let (state, _) = ledger::load(&dir.journal())?;
    if state.chain.unacknowledged()? > 0 {
        done.push("what was counted last is not reported yet: `wiregrant-agent run` reports it".to_owned());
    }
    Ok(done)
}

/// Reads and removes all peers of the node's own interface; how many there were.
fn remove_peers(dir: &StateDir, interface: Box<dyn Interface>, boot_id: &str) -> anyhow::Result<usize> {
    let enrolment = dir.joined()?;
    let mut keeper = Keeper::start(dir.clone(), enrolment, interface, boot_id, Arc::new(Config::default()))?;
    let now = clock::now();
    let live: Vec<_> = keeper.live()?.into_iter().map(|peer| peer.public_key).collect();
    if !live.is_empty() {
        keeper.remove(&live, now)?;
    }
    keeper.cut(now)?;
    Ok(live.len())
}
