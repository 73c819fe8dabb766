//! The running agent's health: what `status` cannot read from the journal, kept as `health.json`.

use serde::{Deserialize, Serialize};
use wiregrant_core::Timestamp;
use wiregrant_core::api::Pause;

use crate::clock::{ClockState, Moment};
use crate::host::guard::Guard;
use crate::keeper::Keeper;
use crate::state_dir::StateDir;
use crate::witnessed::Witnessing;

const FILE: &str = "health.json";

/// How the agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is known about the clock. Reports wait while it is not good.
    pub clock: ClockState,
    /// Whether the control plane takes no reports until a person decides.
    pub frozen: bool,
    /// When the control plane last answered.
    pub last_contact: Option<Timestamp>,
    /// Why the journal cannot be written, if it cannot: what is counted then stands in memory.
    #[serde(default)]
    pub journal_error: Option<String>,
    /// Why nobody is served for now, by the operator's choice.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// What is wrong with the firewall, if anything, and what follows.
    #[serde(default)]
    pub firewall_error: Option<String>,
    /// How often what was counted could not be by nftables' own count, since the agent started.
    #[serde(default)]
    pub counter_alarms: u64,
    /// Why the last attempt at delivering a report failed, until one succeeds.
    #[serde(default)]
    pub delivery_error: Option<String>,
    /// What came of looking at the public logs, where witnesses are demanded.
    #[serde(default)]
    pub witnessing: Witnessing,
}

impl Health {
    /// The keeper's health.
    #[must_use]
    pub fn of(keeper: &Keeper, now: Moment) -> Self {
        Self {
            clock: keeper.clock.judge(now),
            frozen: keeper.frozen,
            last_contact: keeper.last_contact,
            journal_error: keeper.ledger.behind().map(str::to_owned),
            paused: keeper.paused,
            firewall_error: keeper.guard.as_ref().and_then(|guard| guard.error().map(str::to_owned)),
            counter_alarms: keeper.guard.as_ref().map_or(0, Guard::alarms),
            delivery_error: keeper.undelivered.as_ref().map(|undelivered| undelivered.why.clone()),
            witnessing: keeper.witnessing.clone(),
        }
    }

    /// How the node stands, in one line for a service manager.
    #[must_use]
    pub fn line(&self, peers: Option<usize>) -> String {
        let peers = match peers {
            None => "waiting for the control plane".to_owned(),
            Some(1) => "1 peer".to_owned(),
            Some(peers) => format!("{peers} peers"),
        };
        let clock = match self.clock {
            ClockState::Good => "",
            ClockState::Off => "; the clock is off, reports wait",
            ClockState::Unknown => "; the clock is not compared yet",
        };
        let frozen = if self.frozen { "; frozen, reports wait" } else { "" };
        let paused = match self.paused {
            Some(Pause::Budget) => "; paused, the month's gigabytes are served",
            Some(Pause::Hours) => "; paused outside the budget's hours",
            None => "",
        };
        let journal = if self.journal_error.is_some() { "; the journal cannot be written" } else { "" };
        let delivery = if self.delivery_error.is_some() { "; reports do not get through" } else { "" };
        let log =
            if self.witnessing.error.is_some() { "; the log is not as witnesses cosigned it" } else { "" };
        format!("{peers}{paused}{clock}{frozen}{journal}{delivery}{log}")
    }

    /// What the agent wrote last; `None` where none has run.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(dir: &StateDir) -> anyhow::Result<Option<Self>> {
        dir.read_json(FILE)
    }

    /// Writes it, if it differs from what is there. A disk without room for a second file may still take it in the place of
    /// the first; where it does not, the node works on, and `status` shows what was so before.
    pub fn write(&self, dir: &StateDir) {
        if Self::read(dir).ok().flatten().as_ref() == Some(self) {
            return;
        }
        let Err(error) = dir.write_json(FILE, self) else { return };
        if dir.overwrite_json(FILE, self).is_err() {
            tracing::debug!("the health file stays as it was: {error:#}");
        }
    }
}
