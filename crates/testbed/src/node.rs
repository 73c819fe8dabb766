//! `Node`: the real `wiregrant-agent` in its host, which may be killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::host::Host;
use crate::network;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::wait::eventually;

/// The UDP port of the node's WireGuard.
const PORT: u16 = 51820;
/// What people may reach through the node although it is no address of the Internet: the web server's networks.
const CONFIG: &str = "[firewall]\nallowed_networks = [\"192.0.2.128/30\", \"fd5a:2::/64\"]\n";
/// The agent makes its interface within a moment, also on a loaded machine.
const INTERFACE_LIMIT: Duration = Duration::from_secs(30);

/// How often the agent reads the counters and reports them. The defaults, 10 seconds and an hour, are long for an onlooker.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between readings.
    pub sample_seconds: u64,
    /// Between reports.
    pub report_seconds: u64,
}

/// A node.
pub struct Node {
    programs: Programs,
    state: PathBuf,
    logs: PathBuf,
    pace: Pace,
    agent: Option<Process>,
}

impl Node {
    /// `wiregrant-agent join`, then `run`.
    ///
    /// # Errors
    /// What either says.
    pub fn new(
        programs: &Programs,
        host: &Host,
        invitation: &str,
        pace: Pace,
        folder: &Path,
        logs: &Path,
    ) -> Result<Self> {
        let state = folder.join("agent");
        let mut join = host.command(&programs.agent);
        join.args(["join", invitation, "--endpoint", &format!("{}:{PORT}", network::NODE)]);
        join.args(["--interface", host.name(), "--state-dir"]).arg(&state);
        process::run(&mut join).context("the node joins")?;
        let mut node = Self { programs: programs.clone(), state, logs: logs.to_owned(), pace, agent: None };
        std::fs::write(node.config(), CONFIG)?;
        node.start(host)?;
        let log = node.log();
        eventually("the node's WireGuard", INTERFACE_LIMIT, &[&log], || {
            node.still_runs()?;
            // Asked of the agent: `wg` would delete the socket of a wireguard-go that does not listen yet.
            Ok(node.status(host)?["peers_live"].is_u64().then_some(()))
        })?;
        Ok(node)
    }

    /// `wiregrant-agent run`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, host: &Host) -> Result<()> {
        let mut run = self.run_command(host, &self.state);
        self.agent = Some(Process::spawn("agent", &mut run, &self.logs)?);
        Ok(())
    }

    /// The command that runs an agent on a state directory: this node's own, or a copy of it.
    #[must_use]
    pub fn run_command(&self, host: &Host, state: &Path) -> std::process::Command {
        let mut run = host.command(&self.programs.agent);
        run.args(["run", "--sample-seconds", &self.pace.sample_seconds.to_string()]);
        run.args(["--report-seconds", &self.pace.report_seconds.to_string()]);
        run.arg("--config").arg(self.config()).arg("--state-dir").arg(state);
        run
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill_9(&mut self) -> Result<()> {
        self.agent.take().context("the agent is not running")?.kill_9()
    }

    /// Stops the agent as a service manager does.
    pub fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop();
        }
    }

    /// Fails when the agent has ended by itself.
    ///
    /// # Errors
    /// Its exit status and log.
    pub fn still_runs(&mut self) -> Result<()> {
        self.agent.as_mut().map_or(Ok(()), Process::still_runs)
    }

    /// `wiregrant-agent status --json`.
    ///
    /// # Errors
    /// What it says.
    pub fn status(&self, host: &Host) -> Result<Value> {
        let mut status = host.command(&self.programs.agent);
        status.args(["status", "--json", "--state-dir"]).arg(&self.state);
        let printed = process::run(&mut status)?;
        serde_json::from_str(&printed).with_context(|| format!("the agent's status is {printed:?}"))
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Adds to the operator's choices, for the next start.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn choose(&self, more: &str) -> Result<()> {
        Ok(std::fs::write(self.config(), format!("{CONFIG}{more}"))?)
    }

    /// The operator's choices. The firewall keeps people off the ranges that stand for the Internet here.
    fn config(&self) -> PathBuf {
        self.logs.join("agent.toml")
    }

    /// Where the agent's log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.logs.join("agent.log")
    }
}
