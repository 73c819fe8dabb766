//! The guard: the keeper's firewall, without which it serves nobody, and nftables' check of what it counts.

use wiregrant_core::usage_report::Service;

use super::firewall::Firewall;
use crate::clock::Moment;
use crate::config::Config;
use crate::keeper::Keeper;

/// A firewall, and what is wrong with it.
pub struct Guard {
    firewall: Firewall,
    error: Option<String>,
}

impl Guard {
    /// What fails is said here, and tried again with the next turn.
    fn ensure(&mut self) {
        let firewall = &mut self.firewall;
        self.error = firewall.ensure().err().map(|error| {
            let consequence =
                if firewall.stands() { "people may get nowhere" } else { "nobody is served until it stands" };
            format!("{error:#}; {consequence}")
        });
        if let Some(error) = &self.error {
            tracing::error!("the firewall: {error}");
        }
    }

    /// Takes the operator's new choices, and acts on them.
    ///
    /// # Errors
    /// When a firewall that was turned off cannot be removed.
    pub(crate) fn choose(&mut self, config: &Config) -> anyhow::Result<()> {
        self.firewall.choose(config)?;
        self.ensure();
        Ok(())
    }

    /// What is wrong with the firewall, if anything, and what follows.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// How often what was counted could not be by nftables' own count, since the agent started.
    pub(crate) fn alarms(&self) -> u64 {
        self.firewall.alarms()
    }
}

impl Keeper {
    /// Puts the node behind its firewall: from here on nobody is served unless it stands.
    pub fn stand_behind(&mut self, firewall: Firewall) {
        self.guard = Some(Guard { firewall, error: None });
        self.ensure_firewall();
    }

    /// Sees to it that the firewall stands.
    pub fn ensure_firewall(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.ensure();
        }
    }

    /// Whether people may be served.
    pub(crate) fn may_serve(&self) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.firewall.stands())
    }

    /// Compares what was counted with nftables' own count. Right after a sample; it changes nothing but what is said.
    pub fn cross_check(&mut self, now: Moment) {
        let mut counted = (0_u64, 0_u64);
        for ((service, _), usage) in self.ledger.state().meter.totals() {
            if *service == Service::WireGuard {
                counted.0 = counted.0.saturating_add(usage.received.get());
                counted.1 = counted.1.saturating_add(usage.sent.get());
            }
        }
        let peers = self.wanted.as_ref().map_or(0, |wanted| wanted.peers.len());
        let port = self.settings.listen_port;
        let (backend, peers) = (self.interface.kind(), u64::try_from(peers).unwrap_or(u64::MAX));
        let Some(accounting) = self.guard.as_mut().and_then(|guard| guard.firewall.accounting()) else {
            return;
        };
        accounting.at_port(port);
        if let Err(error) = accounting.check(counted, backend, peers, now.monotonic) {
            tracing::warn!("cross-check: {error:#}");
        }
    }

    /// What was counted has jumped for a reason that is no traffic.
    pub(crate) fn forget_cross_check(&mut self) {
        if let Some(accounting) = self.guard.as_mut().and_then(|guard| guard.firewall.accounting()) {
            accounting.forget();
        }
    }
}
