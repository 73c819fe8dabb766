//! `Parties`: what administrator, operator and distributor type before there is a node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wiregrant_core::api::{AccessCodesCreated, InvitationCreated, Node};

use crate::control_plane;
use crate::demo::regtest;
use crate::network::Network;
use crate::process;
use crate::programs::Programs;
use crate::wait::eventually;
use crate::world::{DISTRIBUTOR, LOCATION, OPERATOR};

/// What administrator, operator and distributor do before there is a node.
pub struct Parties<'a> {
    /// The binaries.
    pub programs: &'a Programs,
    /// The hosts.
    pub network: &'a Network,
    /// Where keys and tokens are kept.
    pub folder: &'a Path,
    /// The administrator's token.
    pub admin: PathBuf,
}

impl Parties<'_> {
    fn cli(&self, token: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = control_plane::cli(self.programs, &self.network.control, token);
        command.args(arguments);
        command
    }

    fn admin(&self, arguments: &[&str]) -> Result<String> {
        process::run(&mut self.cli(Some(&self.admin), arguments))
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A location, and an operator with a key of their own who says where to be paid.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn add_operator(&self) -> Result<()> {
        self.admin(&["location", "add", LOCATION, "--name", "Frankfurt, Germany"])?;
        let (key, vkey, note) =
            (self.file("operator.key"), self.file("operator.vkey"), self.file("destination.note"));
        let printed = process::run(
            &mut self.cli(None, &["operator", "key", "make", "--operator", OPERATOR, "--out", &key]),
        )?;
        std::fs::write(&vkey, printed)?;
        let token = self.file("operator.token");
        self.admin(&["operator", "add", OPERATOR, "--vkey-file", &vkey, "--token-out", &token])?;
        let mut sign = self.network.control.command(&self.programs.cli);
        sign.args([
            "destination",
            "sign",
            "--key",
            &key,
            "--operator",
            OPERATOR,
            "--log",
            control_plane::ORIGIN,
        ]);
        sign.args(["--network", control_plane::NETWORK, "--pay", &regtest::operator_address()]);
        std::fs::write(&note, process::run(&mut sign)?)?;
        let set = ["destination", "set", "--operator", OPERATOR, "--note", &note];
        process::run(&mut self.cli(Some(Path::new(&token)), &set))?;
        Ok(())
    }

    /// A distributor, and codes for so many people.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn issue_codes(&self, people: usize) -> Result<Vec<String>> {
        self.admin(&["distributor", "add", DISTRIBUTOR, "--token-out", &self.file("distributor.token")])?;
        self.issue_more_codes(people, 1)
    }

    /// More codes of the same distributor, each for so many devices.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn issue_more_codes(&self, people: usize, devices: u64) -> Result<Vec<String>> {
        let token = self.file("distributor.token");
        let (count, devices) = (people.to_string(), devices.to_string());
        let issue = [
            "code",
            "issue",
            "--devices",
            &devices,
            "--quota",
            "100TB",
            "--expires",
            "30d",
            "--count",
            &count,
        ];
        let created: AccessCodesCreated =
            control_plane::answer(&mut self.cli(Some(Path::new(&token)), &issue))?;
        Ok(created.codes)
    }

    /// An invitation for the operator's one node.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn invite(&self) -> Result<String> {
        let create = ["invitation", "create", "--operator", OPERATOR, "--location", LOCATION];
        let created: InvitationCreated = control_plane::answer(&mut self.cli(Some(&self.admin), &create))?;
        Ok(created.invitation)
    }

    /// The id that the control plane gave the node, once it has heard of its agent: before, no device is placed there.
    ///
    /// # Errors
    /// What the CLI says, or when the agent does not ask for anything within `limit`.
    pub fn node_seen(&self, limit: Duration, log: &Path) -> Result<String> {
        eventually("the control plane to hear of the node", limit, &[log], || {
            let nodes: Vec<Node> =
                control_plane::answer(&mut self.cli(Some(&self.admin), &["node", "list"]))?;
            let node = nodes.first().context("the control plane knows no node after it has joined")?;
            // The control plane places devices on it once it has completed a handshake with it.
            Ok(node.endpoint_reached.then(|| node.node.to_string()))
        })
    }
}
