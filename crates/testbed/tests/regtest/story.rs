//! A funder's story with nothing played: the control plane as a process, the command line, and a Bitcoin node whose wallet signs.
//! Whoever writes into the database afterwards is found out by `payout check`, before anything is signed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use testbed::bitcoind::Bitcoind;
use testbed::clock;
use testbed::connection::Connection;
use testbed::control_plane::{NETWORK, ORIGIN};
use testbed::fleet::{Administrator, FleetNode, OPERATOR};
use testbed::process::{self, Process};
use testbed::programs::Programs;
use testbed::wait::eventually;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{Batch, BatchState, LineStanding, LineState, Membership, StatementLine};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::usage_report::Class;

/// For what happens within seconds, also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);
/// Short epochs, each with a pot of 100,000 sats. Invited bytes count whole, because these need no tunnel to a person.
const TERMS: [&str; 20] = [
    "--title",
    "Spring",
    "--start",
    "now+5s",
    "--epochs",
    "600",
    "--epoch-seconds",
    "4",
    "--unit-bytes",
    "1MB",
    "--floor",
    "0",
    "--close-delay-seconds",
    "0",
    "--challenge-seconds",
    "0",
    "--invited-percent",
    "100",
    "--minimum-payout-sats",
    "546",
];
const CONTRIBUTED: &str = "60000000";

/// Someone with access to the database's file, who passes the program by.
const INTRUDER: &str = "import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=60)
database.executescript(sys.argv[2])
database.commit()
";

struct Story {
    programs: Programs,
    folder: TempDir,
    control: Process,
    url: String,
    node: Bitcoind,
    change: String,
}

impl Story {
    fn begin() -> Self {
        let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).unwrap();
        let folder = tempfile::Builder::new().prefix("wiregrant-story-").tempdir().unwrap();
        let bitcoin = folder.path().join("bitcoin");
        std::fs::create_dir(&bitcoin).unwrap();
        let node = Bitcoind::start(&bitcoin).unwrap();
        node.fill_wallet().unwrap();
        let mut serve = Command::new(&programs.control);
        serve.args(["serve", "--origin", ORIGIN, "--network", NETWORK, "--listen", "127.0.0.1:0"]);
        serve.arg("--data-dir").arg(folder.path().join("control"));
        serve.args(["--chain-source", "core-rpc", "--chain-poll-seconds", "1", "--chain-url", &node.url]);
        serve.arg("--chain-cookie-file").arg(&node.cookie_file).env_remove("WIREGRANT_CONTROL_CONFIG");
        let mut control = Process::spawn("control", &mut serve, folder.path()).unwrap();
        let log = control.log().to_owned();
        let url = eventually("the control plane's address", LIMIT, &[&log], || {
            control.still_runs()?;
            let said = std::fs::read_to_string(&log)?;
            let address = said.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
            Ok(address.map(|address| format!("http://{address}")))
        });
        let change = node.address("bech32").unwrap();
        Self { programs, url: url.unwrap(), folder, control, node, change }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.cli);
        command.args(["--url", &self.url, "--token-file", &self.file(token)]).args(arguments);
        command
    }

    /// What the administrator types.
    fn admin(&self, arguments: &[&str]) -> Result<String> {
        process::run(&mut self.command("admin", arguments))
    }

    fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let answer = process::run(&mut self.command("admin", &[&["--json"], arguments].concat()))?;
        serde_json::from_str(&answer).with_context(|| format!("{arguments:?} answered {answer}"))
    }

    /// An administrator, a place, and an operator who signs with a key of their own where they are paid.
    fn add_parties(&self, pay: &str) {
        let make = ["token", "make", "--holder", "Ada", "--token-out", &self.file("admin")];
        process::run(&mut self.command("control/bootstrap.token", &make)).unwrap();
        self.admin(&["location", "add", "de-fra", "--name", "Frankfurt"]).unwrap();
        let (key, vkey, token) = (self.file("key"), self.file("vkey"), self.file("operator"));
        let made = self.admin(&["operator", "key", "make", "--operator", OPERATOR, "--out", &key]).unwrap();
        std::fs::write(&vkey, made).unwrap();
        self.admin(&["operator", "add", OPERATOR, "--vkey-file", &vkey, "--token-out", &token]).unwrap();
        let sign = ["destination", "sign", "--key", &key, "--operator", OPERATOR, "--sequence", "1"];
        let of = ["--log", ORIGIN, "--network", NETWORK, "--pay", pay];
        let note = self.admin(&[&sign[..], &of].concat()).unwrap();
        std::fs::write(self.file("note"), note).unwrap();
        let set = ["destination", "set", "--operator", OPERATOR, "--note", &self.file("note")];
        process::run(&mut self.command("operator", &set)).unwrap();
    }

    fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("http://").parse().unwrap()
    }

    /// A node that is in the grant, and the epochs it takes part in.
    fn add_node(&self) -> (FleetNode, Membership) {
        let token = std::fs::read_to_string(self.file("admin")).unwrap().trim().to_owned();
        let node = asynchronous(async {
            let mut administrator = Administrator::connect(self.address(), token).await?;
            administrator.enrol_more(0..1).await
        });
        let node = node.unwrap().remove(0);
        self.admin(&[&["grant", "create", "spring"][..], &TERMS].concat()).unwrap();
        self.admin(&["grant", "contribute", "spring", CONTRIBUTED]).unwrap();
        let membership = self.ask(&["grant", "admit", "spring", node.joined.node.as_str()]).unwrap();
        (node, membership)
    }

    /// The node reports up to this moment, once it has come.
    fn report(&self, node: &mut FleetNode, until: Timestamp, epoch: Option<u64>) {
        eventually("the epoch's boundary", LIMIT, &[], || Ok((clock::utc_now() >= until).then_some(())))
            .unwrap();
        let report = node.next_report_with(until, |report| {
            report.epoch = epoch.map(|number| EpochLabel { grant: "spring".parse().unwrap(), number });
            report.usage = std::mem::take(&mut report.usage)
                .into_iter()
                .map(|((service, _), usage)| ((service, Class::Invited), usage))
                .collect();
        });
        let report = report.unwrap();
        let request = node.deliver(&report).unwrap();
        let answer = asynchronous(async { Connection::open(self.address()).await?.ask(&request).await });
        node.check(&report, &answer.unwrap()).unwrap();
    }

    /// The operator's line of an epoch, once its statement is signed.
    fn line(&self, epoch: u64) -> StatementLine {
        eventually("the statement", LIMIT, &[self.control.log()], || {
            let lines: Vec<StatementLine> = self.ask(&["line", "list", "spring"])?;
            Ok(lines.into_iter().find(|line| line.epoch == epoch && line.payable.get() > 0))
        })
        .unwrap()
    }

    /// A batch of all that is payable, from a coin of the wallet, with the files that the funder checks.
    fn batch(&self, id: &str) -> Batch {
        let coin = self.node.coin("bech32", 1_000_000).unwrap();
        let text = |field: &str| coin[field].as_str().unwrap().to_owned();
        let line = format!("{}:{}:1000000:{}\n", text("txid"), coin["vout"], text("address"));
        std::fs::write(self.file("coins"), line).unwrap();
        let (coins, psbt) = (self.file("coins"), self.file(&format!("{id}.psbt")));
        let create =
            ["batch", "create", id, "--grant", "spring", "--coins", &coins, "--change", &self.change];
        let batch: Batch =
            self.ask(&[&create[..], &["--fee-rate", "5", "--psbt-out", &psbt]].concat()).unwrap();
        for (what, name) in [("note", "note"), ("destinations", "destinations")] {
            let said = self.admin(&["batch", what, id]).unwrap();
            std::fs::write(self.file(&format!("{id}.{name}")), said).unwrap();
        }
        batch
    }

    /// `payout check`, once the public files hold the batch.
    fn check(&self, id: &str) -> Result<Value> {
        let file = |kind: &str| self.file(&format!("{id}.{kind}"));
        let (psbt, note, destinations) = (file("psbt"), file("note"), file("destinations"));
        let (public, state) = (self.file("control/public"), self.file("funder"));
        let check = ["payout", "check", &psbt, "--batch-note", &note, "--change", &self.change];
        let by = ["--public", &public, "--destinations", &destinations, "--state-dir", &state];
        eventually("the batch in the public record", LIMIT, &[self.control.log()], || {
            match self.ask(&[&check[..], &by].concat()) {
                Err(error) if format!("{error:#}").contains("expected a logged batch, found none") => {
                    Ok(None)
                }
                checked => checked.map(Some),
            }
        })
    }

    fn await_state(&self, id: &str, state: BatchState) -> Batch {
        eventually(&format!("batch {id} {state}"), LIMIT, &[self.control.log()], || {
            let batch: Batch = self.ask(&["batch", "show", id])?;
            Ok((batch.state == state).then_some(batch))
        })
        .unwrap()
    }

    /// Changes the database behind the program's back.
    fn intrude(&self, sql: &str) {
        let mut intruder = Command::new("/usr/bin/python3");
        intruder.args(["-c", INTRUDER, &self.file("control/wiregrant.db"), sql]);
        process::run(&mut intruder).unwrap();
    }
}

fn asynchronous<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}

#[test]
fn what_is_earned_is_checked_signed_and_settled_and_a_changed_database_is_caught_before_it_is_signed() {
    let story = Story::begin();
    let pay = story.node.address("bech32m").unwrap();
    story.add_parties(&pay);
    let (mut node, membership) = story.add_node();
    let bounds = |epoch: u64| membership.schedule.bounds(epoch).unwrap();
    let first = membership.first_epoch;
    story.report(&mut node, bounds(first).0, None);
    story.report(&mut node, bounds(first).1, Some(first));
    let line = story.line(first);
    assert_eq!(line.standing, LineStanding::Payable);
    let earned = line.payable;

    let batch = story.batch("b-1");
    assert_eq!((batch.payouts.len(), batch.payouts[0].address.as_str()), (1, pay.as_str()));
    let checked = story.check("b-1").unwrap();
    assert_eq!((&checked["result"], &checked["exceptions"]), (&"ok".into(), &Value::Array(Vec::new())));
    let txid = story.node.broadcast(&story.node.sign(&batch.psbt).unwrap()).unwrap();
    story.await_state("b-1", BatchState::Seen);
    story.node.mine(6).unwrap();
    let settled = story.await_state("b-1", BatchState::Settled);
    assert_eq!(
        (settled.paid_by.as_deref(), settled.payouts[0].state),
        (Some(txid.as_str()), LineState::Settled)
    );
    story.admin(&["ledger", "check"]).unwrap();

    // Another epoch; and somebody puts their own address where the operator's was.
    let next = membership.schedule.epoch_at(clock::utc_now()).unwrap();
    story.report(&mut node, bounds(next).1, Some(next));
    story.line(next);
    let thief = story.node.address("bech32").unwrap();
    let swap = |to: &str| {
        story.intrude(&format!(
            "drop trigger if exists destinations_no_update; update destinations set pay = '{to}';"
        ));
    };
    swap(&thief);
    let stolen = story.batch("b-2");
    assert_eq!(stolen.payouts[0].address, thief, "the program believes its database");
    let refused = format!("{:#}", story.check("b-2").unwrap_err());
    assert!(refused.contains(&format!("expected {pay}")) && refused.contains(&thief), "{refused}");
    swap(&pay);
    story.admin(&["batch", "cancel", "b-2", "--reason", "swapped", "--unsigned"]).unwrap();

    // What was paid is made payable once more, in the ledger too.
    story.intrude(&format!(
        "delete from reserved_lines where batch = 'b-1';
         update ledger_balances set sats = sats + {earned} where account = 'payable';"
    ));
    let twice = story.batch("b-3");
    assert_eq!(twice.payouts.len(), 2, "the program believes its database");
    let refused = format!("{:#}", story.check("b-3").unwrap_err());
    let line = format!("line {OPERATOR} spring {first}");
    assert!(refused.contains(&line) && refused.contains("expected at most"), "{refused}");
    let found = story.admin(&["ledger", "check"]).unwrap_err().to_string();
    assert!(found.contains("the ledger does not hold"), "{found}");
}
