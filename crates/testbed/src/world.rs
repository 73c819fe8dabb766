//! `World`: everything the story needs, set up step by step with the same commands that an administrator, an operator, a
//! distributor and people would type.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use wiregrant_core::api::{Grant, InvitationCreated, Membership, StatementNote};
use wiregrant_core::epoch::Schedule;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_core::usage_report::Class;

use crate::client::Person;
use crate::clock;
use crate::control_plane::{self, ControlPlane};
use crate::counters::{self, Counters};
use crate::network::{self, Network};
use crate::node::{Node, Pace};
use crate::parties::Parties;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::wait::eventually;

/// The one operator.
pub const OPERATOR: &str = "nordlicht";
/// The one distributor.
pub const DISTRIBUTOR: &str = "open-doors";
/// The one grant.
pub const GRANT: &str = "spring";
/// Where the node stands.
pub const LOCATION: &str = "de-fra";
const SINK_PORT: u16 = 7000;
/// For what happens within a moment, also on a loaded machine.
const MOMENT: Duration = Duration::from_secs(60);

/// How the one grant is split. Everything else of its terms is the same in every world: units of 1 MB, floor 1, no delays.
#[derive(Debug, Clone, Copy)]
pub struct GrantPlan {
    /// How many epochs.
    pub epochs: u64,
    /// Their length.
    pub epoch_seconds: u64,
    /// How long until the first begins; nodes must be admitted before.
    pub starts_in_seconds: u64,
    /// What the funder contributes.
    pub sats: u64,
}

/// The lab with a control plane, a node and people.
pub struct World {
    /// Everybody with an access code, in the order of their hosts.
    pub people: Vec<Person>,
    /// The node.
    pub node: Node,
    /// The node's id, as the control plane gave it.
    pub node_id: String,
    /// The control plane.
    pub control_plane: ControlPlane,
    sink: Process,
    /// The binaries.
    pub programs: Programs,
    /// The hosts.
    pub network: Network,
    /// Where the logs are.
    pub logs: PathBuf,
    folder: TempDir,
}

impl World {
    /// Everything up to a node that has joined and `people` who have redeemed their codes and are not connected yet. `tell` is
    /// told each step before it is taken. Logs go to `logs`, or away with the rest.
    ///
    /// # Errors
    /// Whatever step fails, with what the program said.
    pub fn new(
        programs: Programs,
        people: usize,
        pace: Pace,
        logs: Option<&Path>,
        tell: &dyn Fn(&str),
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wiregrant-testbed-").tempdir()?;
        let logs = logs.map_or_else(|| folder.path().join("logs"), Path::to_owned);
        std::fs::create_dir_all(&logs).with_context(|| format!("the folder {}", logs.display()))?;
        tell("network: a router, a web server, a host each for the control plane, the node and every person");
        let network = Network::new(people)?;
        let sink = start_sink(&programs, &network, &logs)?;
        tell("control plane: `wiregrant-control init`, `serve` (SQLite)");
        let control_plane = ControlPlane::new(&programs, &network.control, folder.path(), &logs)?;
        let parties = Parties {
            programs: &programs,
            network: &network,
            folder: folder.path(),
            admin: control_plane.admin_token(),
        };
        tell(&format!("operator {OPERATOR}: makes a key, signs the address to be paid at"));
        parties.add_operator()?;
        tell(&format!("distributor {DISTRIBUTOR}: issues {people} access codes"));
        let codes = parties.issue_codes(people)?;
        tell("node: `wiregrant-agent join`, `run`");
        let invitation = parties.invite()?;
        let node = Node::new(&programs, &network.node, &invitation, pace, folder.path(), &logs)?;
        let node_id = parties.node_seen(MOMENT, &node.log())?;
        tell("people: each redeems a code with `wiregrant redeem`; keys are made in their own hosts");
        let people = redeem_all(&programs, &network, &codes, folder.path(), &logs)?;
        let mut world = Self { people, node, node_id, control_plane, sink, programs, network, logs, folder };
        world.wait_for_peers()?;
        Ok(world)
    }

    /// More access codes of the distributor, each for so many devices.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn access_codes(&self, people: usize, devices: u64) -> Result<Vec<String>> {
        let parties = Parties {
            programs: &self.programs,
            network: &self.network,
            folder: self.folder.path(),
            admin: self.control_plane.admin_token(),
        };
        parties.issue_more_codes(people, devices)
    }

    /// An invitation for another node of the operator.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn invite(&self) -> Result<String> {
        let create = ["invitation", "create", "--operator", OPERATOR, "--location", LOCATION];
        Ok(self.ask::<InvitationCreated>(&create)?.invitation)
    }

    /// What the operator signs in with.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn operator_token(&self) -> Result<String> {
        self.token("operator.token")
    }

    /// What the distributor signs in with.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn distributor_token(&self) -> Result<String> {
        self.token("distributor.token")
    }

    fn token(&self, file: &str) -> Result<String> {
        let path = self.folder.path().join(file);
        let token = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(token.trim().to_owned())
    }

    /// The administrator's CLI.
    #[must_use]
    pub fn admin(&self, arguments: &[&str]) -> Command {
        let mut command = control_plane::cli(
            &self.programs,
            &self.network.control,
            Some(&self.control_plane.admin_token()),
        );
        command.args(arguments);
        command
    }

    /// What the administrator's CLI answers with `--json`.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        control_plane::answer(&mut self.admin(arguments))
    }

    /// `wiregrant verify` from a host in the internet, over HTTP. Findings are no error: they are in the answer.
    ///
    /// # Errors
    /// When it prints no JSON.
    pub fn verify(&self) -> Result<Value> {
        let mut command = self.network.web.command(&self.programs.cli);
        command
            .args(["verify", &control_plane::url(), "--json", "--state-dir"])
            .arg(self.folder.path().join("auditor"));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| format!("`verify`: {}\n{said}", output.status))
    }

    /// Creates the grant, contributes to it and admits the node, all before its first epoch begins.
    ///
    /// # Errors
    /// What the CLI says, or when the node was admitted too late to take part in the first epoch.
    pub fn open_grant(&self, plan: GrantPlan) -> Result<Grant> {
        let start = format!("now+{}s", plan.starts_in_seconds);
        let (epochs, seconds) = (plan.epochs.to_string(), plan.epoch_seconds.to_string());
        process::run(&mut self.admin(&[
            "grant",
            "create",
            GRANT,
            "--title",
            "Spring (demonstration terms)",
            "--start",
            &start,
            "--epochs",
            &epochs,
            "--epoch-seconds",
            &seconds,
            "--unit-bytes",
            "1MB",
            "--floor",
            "1",
            "--minimum-payout-sats",
            "1000",
            "--close-delay-seconds",
            "0",
            "--challenge-seconds",
            "0",
        ]))?;
        process::run(&mut self.admin(&["grant", "contribute", GRANT, &plan.sats.to_string()]))?;
        let membership: Membership = self.ask(&["grant", "admit", GRANT, &self.node_id])?;
        anyhow::ensure!(
            membership.first_epoch == 1,
            "the node was admitted from epoch {} on: {} s were not enough to set the grant up on this machine",
            membership.first_epoch,
            plan.starts_in_seconds
        );
        self.ask(&["grant", "show", GRANT])
    }

    /// Waits until the agent labels what it counts with the grant: what moved before would not be the grant's.
    ///
    /// # Errors
    /// When it does not, a minute after the beginning.
    pub fn await_first_epoch(&mut self, schedule: &Schedule) -> Result<()> {
        let limit = MOMENT + Duration::from_secs(schedule.start.seconds_since(clock::utc_now()));
        let logs = [self.node.log(), self.control_plane.log()];
        eventually("the agent in the grant's first epoch", limit, &[&logs[0], &logs[1]], || {
            self.still_runs()?;
            // Asked after the beginning only: the agent's own answer costs a process.
            if clock::utc_now() < schedule.start {
                return Ok(None);
            }
            let status = self.node.status(&self.network.node)?;
            Ok((status["epoch"]["grant"] == GRANT).then_some(()))
        })
    }

    /// Connects everybody.
    ///
    /// # Errors
    /// The first that fails.
    pub fn connect_people(&mut self) -> Result<()> {
        for (person, host) in self.people.iter_mut().zip(&self.network.people) {
            person.connect(host)?;
        }
        Ok(())
    }

    /// The web server's sink.
    ///
    /// # Panics
    /// Never: the address is a constant.
    #[must_use]
    pub fn sink(&self) -> SocketAddr {
        sink()
    }

    /// All people's own counters together.
    ///
    /// # Errors
    /// When one is not connected.
    pub fn clients_counters(&self) -> Result<Counters> {
        counters::read_all(&self.network.people)
    }

    /// The node's counters.
    ///
    /// # Errors
    /// When its interface is gone.
    pub fn node_counters(&self) -> Result<Counters> {
        Counters::of_people(&self.network.node)
    }

    /// The people's counters and the node's, read at nearly the same moment.
    ///
    /// # Errors
    /// As [`World::clients_counters`] and [`World::node_counters`].
    pub fn all_counters(&self) -> Result<(Counters, Counters)> {
        thread::scope(|scope| {
            let node = scope.spawn(|| self.node_counters());
            let people: Vec<_> =
                self.network.people.iter().map(|host| scope.spawn(|| Counters::read(host))).collect();
            let read = |thread: thread::ScopedJoinHandle<'_, Result<Counters>>| {
                thread.join().map_err(|_| anyhow!("reading counters panicked"))?
            };
            let clients = people
                .into_iter()
                .try_fold(Counters::default(), |sum, host| anyhow::Ok(sum.plus(read(host)?)))?;
            Ok((clients, read(node)?))
        })
    }

    /// What the control plane has of the node.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn node_shown(&self) -> Result<wiregrant_core::api::Node> {
        self.ask(&["node", "show", &self.node_id])
    }

    /// What the node has reported, as the control plane stores it.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn reported(&self) -> Result<Counters> {
        let lines = self.node_shown()?.usage;
        // Invited is what nobody issued a code for: here the control plane's own handshake.
        let of_people = lines.iter().filter(|line| line.class == Class::Assigned);
        Ok(of_people.fold(Counters::default(), |sum, line| {
            sum.plus(Counters { received: line.received.get(), sent: line.sent.get() })
        }))
    }

    /// Waits until everything the node's WireGuard has counted is stored in the control plane, to the byte, and gives both as they
    /// were then. A node goes on sending keepalives and handshakes to people who are gone, so neither may be read anew later.
    ///
    /// # Errors
    /// After `limit`, with the agent's and the control plane's logs.
    pub fn wait_until_reported(&mut self, limit: Duration) -> Result<(Counters, Counters)> {
        let (agent, control) = (self.node.log(), self.control_plane.log());
        let mut last = String::new();
        let waited = eventually("reports that equal the node's counters", limit, &[&agent, &control], || {
            self.still_runs()?;
            let (counted, reported) = (self.node_counters()?, self.reported()?);
            last = format!("the node counts {counted:?}, reported are {reported:?}");
            Ok((counted == reported).then_some((counted, reported)))
        });
        waited.with_context(|| last)
    }

    /// All statements of the grant, in order of their epochs.
    ///
    /// # Errors
    /// What the CLI says, or a note that is none.
    pub fn statements(&self) -> Result<Vec<Statement>> {
        let notes: Vec<StatementNote> = self.ask(&["statement", "list", GRANT])?;
        let read = |note: &StatementNote| -> Result<Statement> {
            Ok(Signed::<Statement>::parse(&note.note)?.into_content())
        };
        notes.iter().map(|note| read(note).with_context(|| format!("statement {}", note.epoch))).collect()
    }

    /// Fails when a server has ended by itself.
    ///
    /// # Errors
    /// Its exit status and log.
    pub fn still_runs(&mut self) -> Result<()> {
        self.sink.still_runs()?;
        self.control_plane.still_runs()?;
        self.node.still_runs()
    }

    /// A folder that goes away with this world.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn wait_for_peers(&mut self) -> Result<()> {
        let (agent, control) = (self.node.log(), self.control_plane.log());
        eventually("all peers on the node", MOMENT, &[&agent, &control], || {
            self.still_runs()?;
            let peers =
                self.network.node.exec(&format!("wg show {} allowed-ips", self.network.node.name()))?;
            // The control plane, one more peer, has no IPv4 address.
            let of_people = peers.lines().filter(|peer| peer.contains('.')).count();
            Ok((of_people == self.people.len()).then_some(()))
        })
    }
}

fn sink() -> SocketAddr {
    SocketAddr::new(network::WEB.parse().expect("a constant address"), SINK_PORT)
}

fn start_sink(programs: &Programs, network: &Network, logs: &Path) -> Result<Process> {
    let mut command = network.web.command(&programs.testbed);
    command.args(["sink", "--listen", &sink().to_string()]);
    let mut process = Process::spawn("sink", &mut command, logs)?;
    let log = process.log().to_owned();
    eventually("the web server", MOMENT, &[&log], || {
        process.still_runs()?;
        Ok(std::fs::read_to_string(&log)?.contains("listening on").then_some(()))
    })?;
    Ok(process)
}

/// Everybody at once, as it would be.
fn redeem_all(
    programs: &Programs,
    network: &Network,
    codes: &[String],
    folder: &Path,
    logs: &Path,
) -> Result<Vec<Person>> {
    let redeem = |number: usize| -> Result<Person> {
        let host = &network.people[number];
        let person = Person::new(&format!("person{number}"), host, folder, logs)?;
        person.redeem(programs, host, &control_plane::url(), &codes[number])?;
        Ok(person)
    };
    thread::scope(|scope| {
        let people: Vec<_> =
            (0..network.people.len()).map(|number| scope.spawn(move || redeem(number))).collect();
        people.into_iter().map(|person| person.join().map_err(|_| anyhow!("redeeming panicked"))?).collect()
    })
}
