//! `wiregrant-agent down`: the host as it was before the agent, with every byte counted that moved until then.
//!
//! The state directory stays: its keys are the node, and its journal has what is not yet reported.

use std::sync::Arc;

use anyhow::Context as _;

use ipnet::IpNet;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::usage_report::Backend;

use super::{accounting, firewall, forwarding};
use crate::clock;
use crate::config::Config;
use crate::keeper::Keeper;
use crate::ledger;
use crate::run::boot_id;
use crate::state_dir::StateDir;
use crate::wireguard::{
    self, Ensured, Interface, InterfaceName, InterfaceSettings, LivePeer, WireGuardError,
};

/// Takes everything away that the agent has put on this host, and gives what was done, a line each. Once more is the same.
///
/// The order is that of a stop at any moment: nobody's bytes go before they are journaled, no rule goes while there is a
/// tunnel, and forwarding goes last.
///
/// # Errors
/// When the node has not joined, an agent runs, the interface is somebody else's, or the system refuses; what was not reached
/// is left, and another `down` goes on from there.
pub fn down(dir: &StateDir, config: Config) -> anyhow::Result<Vec<String>> {
    let enrolment = dir.joined()?;
    let _lock = dir.lock().context("the agent has to be stopped first (`systemctl stop wiregrant-agent`)")?;
    let name: InterfaceName = enrolment.interface.parse()?;
    let boot_id = boot_id()?;
    let mut done = Vec::new();
    let has_link = accounting::link_is_there(&name)?;
    let (before, _) = ledger::load(&dir.journal())?;
    if has_link || (config.socks5.socket.is_some() && before.socks5.serves_somebody()) {
        let interface: Box<dyn Interface> = if has_link {
            wireguard::open(enrolment.backend.parse()?, name.clone())?
        } else {
            Box::new(Gone)
        };
        let Last { removed, socks5 } = last_readings(dir, interface, &boot_id, config)?;
        match socks5 {
            Socks5Left::None => {}
            Socks5Left::ServesNobody => done.push(
                "the SOCKS5 service serves nobody any more, and all it counted is kept; `systemctl stop wiregrant-socks5` ends it"
                    .to_owned(),
            ),
            Socks5Left::Silent => {
                done.push("the SOCKS5 service did not answer: what it may still count is not kept".to_owned());
            }
        }
        if has_link {
            wireguard::delete_interface(&name, &dir.wireguard_key()?)?;
            done.push(format!(
                "{removed} peers were read for the last time and removed, then the interface {name}"
            ));
        }
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

/// The interface where there is none any more: nobody is on it, and it is not made anew to be taken away.
struct Gone;

impl Interface for Gone {
    /// Told in reports only, and none is signed here.
    fn kind(&self) -> Backend {
        Backend::Kernel
    }

    fn ensure_interface(&mut self, _: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        Ok(Ensured::Adopted)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        Ok(Vec::new())
    }

    fn set_peer(&mut self, _: &WireGuardPublicKey, _: &[IpNet]) -> Result<(), WireGuardError> {
        Err(WireGuardError::Gone { name: "the node's".to_owned() })
    }

    fn remove_peer(&mut self, _: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        Ok(())
    }
}

/// What was found when everything was read for the last time.
struct Last {
    /// How many peers were removed.
    removed: usize,
    socks5: Socks5Left,
}

/// What became of the SOCKS5 service.
enum Socks5Left {
    /// The operator's file names none.
    None,
    ServesNobody,
    Silent,
}

/// Reads and removes all peers of the node's own interface, and has the SOCKS5 service serve nobody.
fn last_readings(
    dir: &StateDir,
    interface: Box<dyn Interface>,
    boot_id: &str,
    config: Config,
) -> anyhow::Result<Last> {
    let enrolment = dir.joined()?;
    // Of the operator's choices only the service's socket matters: nothing is moved or opened for the last reading.
    let config = Config { socks5: config.socks5, ..Config::default() };
    let has_socks5 = config.socks5.socket.is_some();
    let mut keeper = Keeper::start(dir.clone(), enrolment, interface, boot_id, Arc::new(config))?;
    let now = clock::now();
    let live: Vec<_> = keeper.live()?.into_iter().map(|peer| peer.public_key).collect();
    if !live.is_empty() {
        keeper.remove(&live, now)?;
    }
    keeper.cut(now)?;
    let socks5 = match has_socks5 {
        false => Socks5Left::None,
        true if keeper.end_socks5(now)? => Socks5Left::ServesNobody,
        true => Socks5Left::Silent,
    };
    if has_socks5 {
        keeper.cut(now)?;
    }
    Ok(Last { removed: live.len(), socks5 })
}
