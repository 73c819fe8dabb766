//! The firewall: keeps the policy's table in the kernel as it should be, and forwarding on behind it.

use ipnet::IpNet;
use wiregrant_core::socks5::metering::Rates;

use super::accounting::{self, Accounting};
use super::default_route::Egress;
use super::policy::{self, Policy};
use super::{forwarding, nft};
use crate::config::Config;
use crate::state_dir::StateDir;
use crate::wireguard::InterfaceName;

/// See the module. One that is turned off does nothing and stands.
pub struct Firewall {
    tunnel: InterfaceName,
    addresses: Vec<IpNet>,
    config: crate::config::Firewall,
    rates: Rates,
    dir: StateDir,
    boot_id: String,
    /// The way out that was found last.
    egress: Option<Egress>,
    /// The text that is in force, and how `nft` lists it.
    applied: Option<(String, String)>,
    accounting: Accounting,
}

impl Firewall {
    /// The firewall around a tunnel, in which the node has `addresses`; nothing is touched yet.
    #[must_use]
    pub fn new(
        tunnel: InterfaceName,
        addresses: &[IpNet],
        config: &Config,
        dir: &StateDir,
        boot_id: &str,
    ) -> Self {
        Self {
            accounting: Accounting::new(tunnel.clone()),
            tunnel,
            addresses: addresses.to_vec(),
            config: config.firewall.clone(),
            rates: config.tunnel_rates(),
            dir: dir.clone(),
            boot_id: boot_id.to_owned(),
            egress: None,
            applied: None,
        }
    }

    /// Whether people may be served: the rules are in force, or the operator sees to them.
    #[must_use]
    pub fn stands(&self) -> bool {
        !self.config.enabled || self.applied.is_some()
    }

    /// Makes the kernel's table the one that should be there, and forwards behind it. A table that is as it was left is not
    /// loaded again; one that somebody changed or flushed is, and the log says so.
    ///
    /// # Errors
    /// When there is no way out, `nft` refuses, or forwarding cannot be had. [`Self::stands`] tells whether rules are in force.
    pub fn ensure(&mut self) -> anyhow::Result<()> {
        if !self.config.enabled {
            return Ok(());
        }
        match Egress::find(self.tunnel.as_str(), self.config.egress.as_deref()) {
            Ok(egress) => self.egress = Some(egress),
            // A route that is away for a moment takes no rule with it.
            Err(error) if self.egress.is_some() => tracing::warn!("keeping the firewall as it is: {error:#}"),
            Err(error) => return Err(error),
        }
        let Some(egress) = &self.egress else { return Ok(()) };
        let policy = Policy {
            tunnel: &self.tunnel,
            addresses: &self.addresses,
            egress,
            firewall: &self.config,
            rates: self.rates,
        };
        let (text, table) = (policy.text(), policy::table(&self.tunnel));
        let found = nft::list(&table);
        if let (Some((applied, listing)), Ok(found)) = (&self.applied, &found) {
            if *applied == text && found.as_ref() == Some(listing) {
                return forwarding::ensure(egress, &self.dir, &self.boot_id);
            }
            let what = if found.is_none() { "is gone" } else { "is not as it was left" };
            if found.as_ref() != Some(listing) {
                tracing::warn!(table, "the firewall's table {what}: somebody changed it; loading it again");
            }
        }
        self.applied = None;
        nft::apply(&text)?;
        let listing = nft::list(&table)?.unwrap_or_default();
        tracing::info!(table, egress = ?egress.interfaces().collect::<Vec<_>>(), "the firewall stands");
        self.applied = Some((text, listing));
        forwarding::ensure(egress, &self.dir, &self.boot_id)
    }

    /// nftables' own count of the tunnel; `None` where the operator sees to the rules.
    pub fn accounting(&mut self) -> Option<&mut Accounting> {
        self.config.enabled.then_some(&mut self.accounting)
    }

    /// How often what was counted could not be by nftables' own count, since the agent started.
    #[must_use]
    pub fn alarms(&self) -> u64 {
        self.accounting.alarms()
    }

    /// Takes the operator's new choices; they act with the next [`Self::ensure`]. A firewall that is turned off is removed.
    ///
    /// # Errors
    /// When its table cannot be removed.
    pub fn choose(&mut self, config: &Config) -> anyhow::Result<()> {
        self.rates = config.tunnel_rates();
        let was_enabled = std::mem::replace(&mut self.config, config.firewall.clone()).enabled;
        if was_enabled && !self.config.enabled {
            self.applied = None;
            remove(&self.tunnel)?;
        }
        Ok(())
    }
}

/// Removes an interface's tables; whether there were any.
///
/// # Errors
/// When `nft` refuses.
pub fn remove(tunnel: &InterfaceName) -> anyhow::Result<bool> {
    let policy = nft::delete(&policy::table(tunnel))?;
    Ok(nft::delete(&accounting::table(tunnel))? || policy)
}
