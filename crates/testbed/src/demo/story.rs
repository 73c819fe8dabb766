//! The story, step by step; each step is a command that somebody would type.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wiregrant_core::Sats;
use wiregrant_core::api::{Batch, BatchState, Grant, LineState};
use wiregrant_core::epoch::Schedule;
use wiregrant_core::statement::Statement;
use wiregrant_payout::matching::SETTLED_DEPTH;

use super::funder::Funder;
use super::outcome::{DEMONSTRATION_TERMS, Outcome, Record, Settled};
use super::sums::{Sums, closing, payouts};
use super::table::{Row, Table, thousands};
use crate::client;
use crate::clock;
use crate::command_line::DemoOptions;
use crate::control_plane;
use crate::counters::Counters;
use crate::node::Pace;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::relay::Relay;
use crate::traffic::Order;
use crate::wait::eventually;
use crate::world::{GRANT, GrantPlan, OPERATOR, World};

/// Enough that a number is published: the bucket `5-9`.
const PEOPLE: usize = 5;
const PACE: Pace = Pace { sample_seconds: 1, report_seconds: 3 };
const CONTRIBUTION_SATS: u64 = 1_000_000;
/// Of a run that ends by itself: the traffic needs one epoch, and on a slow machine another.
const EPOCHS_ONCE: u64 = 4;
/// Of a run that goes on: four hours of minutes.
const EPOCHS_LIVE: u64 = 240;
const EPOCH_SECONDS_LIVE: u64 = 60;
/// Until the first epoch; the grant is set up in this time.
const STARTS_IN_SECONDS: u64 = 10;
/// The most each person moves in each direction, so that the machine is left some of its processors.
const BYTES_PER_SECOND: u64 = 2_000_000;
/// The same when the story is told and the table lives on.
const GENTLE_BYTES_PER_SECOND: u64 = 160_000;
/// What one gentle transfer moves: about 15 seconds.
const GENTLE: Order = Order { up: 600_000, down: 2_400_000, bytes_per_second: GENTLE_BYTES_PER_SECOND };
/// For what happens within a moment, also on a loaded machine.
const MOMENT: Duration = Duration::from_secs(60);
const BATCH: &str = "spring-1";

/// A run of the demo.
pub struct Story {
    started: Instant,
    megabytes: u64,
    schedule: Schedule,
    unit_bytes: u64,
    table: Table,
    relay: Relay,
    funder: Funder,
    world: World,
}

impl Story {
    /// Everything up to connected people in the grant's first epoch.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn begin(options: &DemoOptions, programs: Programs) -> Result<Self> {
        let started = clock::now();
        let logs = options.keep_logs.as_deref().map(std::path::absolute).transpose()?;
        let mut world = World::new(programs, PEOPLE, PACE, logs.as_deref(), &step)?;
        let relay =
            Relay::start(&world.programs, &world.network.control, &control_plane::address(), &world.logs)?;
        step(
            "funder: a Bitcoin node of its own network (regtest) with a wallet; the control plane looks at its chain",
        );
        let host = &world.network.control;
        let funder = Funder::start(&world.programs, host, world.folder(), &world.logs)?;
        world.control_plane.look_at_chain(host, &funder.url(), &funder.cookie_file())?;
        let (epochs, epoch_seconds) = if options.once {
            (EPOCHS_ONCE, 20 + options.megabytes / 4)
        } else {
            (EPOCHS_LIVE, EPOCH_SECONDS_LIVE)
        };
        step(&format!(
            "funder: a grant of {} sats in {epochs} epochs of {epoch_seconds} s; the node is admitted",
            thousands(CONTRIBUTION_SATS)
        ));
        let plan = GrantPlan {
            epochs,
            epoch_seconds,
            starts_in_seconds: STARTS_IN_SECONDS,
            sats: CONTRIBUTION_SATS,
        };
        let grant: Grant = world.open_grant(plan)?;
        step("people: connect with the files they got");
        world.connect_people()?;
        let mut story = Self {
            started,
            megabytes: options.megabytes,
            schedule: grant.terms.schedule(),
            unit_bytes: grant.terms.unit_bytes.get(),
            table: Table::new(),
            relay,
            funder,
            world,
        };
        story.tell_pages();
        step(&format!("epoch 1 begins at {}; node and people wait for it", story.schedule.start));
        story.world.await_first_epoch(&story.schedule)?;
        Ok(story)
    }

    /// The rest of a run that ends by itself.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn finish(mut self) -> Result<Outcome> {
        self.move_payload()?;
        step("people: their cables are pulled; not one more byte can be counted");
        self.world.network.pull_peoples_cables()?;
        let (node, reported) = self.wait_until_reported()?;
        let client = self.world.clients_counters()?;
        let epoch = self.schedule.epoch_at(clock::utc_now()).with_context(|| {
            format!(
                "the traffic outran the grant's {} epochs of {} s",
                self.schedule.epochs, self.schedule.epoch_seconds
            )
        })?;
        let statements = self.await_statement(epoch)?;
        let late_bytes = self.world.reported()?.total().saturating_sub(reported.total());
        let batch = self.prepare_payment()?;
        let settled = self.settle(&batch)?;
        let (record, verify) = self.verify()?;
        let sums = Sums::of(&statements)?;
        let outcome = Outcome {
            client,
            node,
            reported,
            late_bytes,
            credited_bytes: sums.units.get().saturating_mul(self.unit_bytes),
            unit_bytes: self.unit_bytes,
            payouts: payouts(&batch)?,
            pot_sats: sums.pot.get(),
            payable_sats: sums.payable.get(),
            carried_sats: sums.carried.get(),
            unspent_sats: sums.unspent.get(),
            psbt: batch.psbt,
            change_address: self.funder.change.clone(),
            settled,
            record,
            verify,
            seconds: self.started.elapsed().as_secs(),
            terms: DEMONSTRATION_TERMS,
        };
        self.tell_outcome(&outcome);
        Ok(outcome)
    }

    /// The rest of a run that ends with Ctrl-C: the first epoch's payment, and then gentle traffic and the table.
    ///
    /// # Errors
    /// Whatever step fails; `Interrupted` in the end.
    pub fn go_on_for_ever(mut self) -> Result<()> {
        self.move_payload()?;
        self.await_statement(1)?;
        let batch = self.prepare_payment()?;
        self.settle(&batch)?;
        let (_, verify) = self.verify()?;
        step(&format!("verify: {verify}"));
        self.tell_pages();
        step("gentle traffic goes on, and an epoch closes every minute; Ctrl-C ends it");
        let mut closed = self.world.statements()?.len();
        let mut transfers = self.start_transfers(GENTLE)?;
        self.watch("the end of the grant", Duration::MAX, |story| {
            for (number, transfer) in transfers.iter_mut().enumerate() {
                if transfer.finished()?.is_some() {
                    *transfer = story.start_transfer(number, GENTLE)?;
                }
            }
            if !story.table.is_due() {
                return Ok(None);
            }
            let statements = story.world.statements()?;
            for statement in statements.iter().skip(closed) {
                story.table.leave();
                step(&closing(statement)?);
            }
            closed = statements.len();
            Ok((closed as u64 == story.schedule.epochs).then_some(()))
        })
    }

    /// All people at once, 80 % down and 20 % up, until every byte has arrived and was right.
    fn move_payload(&mut self) -> Result<()> {
        let each = self.megabytes * 1_000_000 / PEOPLE as u64;
        let order = Order { up: each / 5, down: each - each / 5, bytes_per_second: BYTES_PER_SECOND };
        step(&format!(
            "traffic: {} MB of checked payload, 80 % down, 20 % up ({DEMONSTRATION_TERMS})",
            self.megabytes
        ));
        let mut transfers = self.start_transfers(order)?;
        let limit = MOMENT + Duration::from_secs(2 * self.megabytes);
        self.watch("the traffic's last byte", limit, |_| {
            let mut moving = false;
            for transfer in &mut transfers {
                match transfer.finished()? {
                    None => moving = true,
                    Some(printed) => {
                        let moved = client::transfer(&printed)?;
                        if (moved.sent_bytes, moved.received_bytes) != (order.up, order.down) {
                            bail!("a source moved {moved:?} where {order:?} was asked");
                        }
                    }
                }
            }
            Ok((!moving).then_some(()))
        })?;
        step("traffic: every payload byte has arrived and was right, in both directions");
        Ok(())
    }

    /// The node's counters, and what is reported of them, as they were when both were the same.
    fn wait_until_reported(&mut self) -> Result<(Counters, Counters)> {
        let (counted, reported) = self.world.wait_until_reported(MOMENT)?;
        let total = thousands(counted.total());
        step(&format!("node: {total} bytes counted, all of them reported and acknowledged"));
        Ok((counted, reported))
    }

    /// Waits for the control plane to close the epoch by itself.
    fn await_statement(&mut self, epoch: u64) -> Result<Vec<Statement>> {
        let (_, end) = self.schedule.bounds(epoch).context("the grant has that epoch")?;
        step(&format!("epoch {epoch} ends at {end}; the control plane then closes it by itself"));
        let limit = MOMENT + Duration::from_secs(end.seconds_since(clock::utc_now()));
        self.watch(&format!("the statement of epoch {epoch}"), limit, |story| {
            if clock::utc_now() < end {
                return Ok(None);
            }
            let statements = story.world.statements()?;
            Ok(statements.iter().any(|statement| statement.epoch == epoch).then_some(statements))
        })
        .inspect(|statements| {
            for statement in statements {
                step(&closing(statement).unwrap_or_else(|error| error.to_string()));
            }
        })
    }

    /// A batch of everything payable, checked as the funder would before signing.
    fn prepare_payment(&mut self) -> Result<Batch> {
        step("batch: `wiregrant batch create`, from a coin of the funder's wallet");
        let (coins, psbt, note) = (self.file("coins"), self.file("batch.psbt"), self.file("batch.note"));
        std::fs::write(&coins, self.funder.coin()?)?;
        let change = self.funder.change.clone();
        let mut create =
            vec!["batch", "create", BATCH, "--grant", GRANT, "--coins", &coins, "--change", &change];
        create.extend(["--fee-rate", "5", "--psbt-out", &psbt]);
        let batch: Batch = self.world.ask(&create)?;
        std::fs::write(&note, &batch.note)?;
        std::fs::write(self.file("destinations"), batch.destinations.concat())?;
        self.check_payment(&psbt, &note)?;
        step(&format!(
            "batch {BATCH}: {} sats; `wiregrant payout check` passes: nothing else, to addresses their operators signed",
            thousands(batch.total.get())
        ));
        Ok(batch)
    }

    /// `wiregrant payout check`, as soon as the public files hold the batch: they follow the database within a second.
    fn check_payment(&self, psbt: &str, note: &str) -> Result<()> {
        let (public, state, destinations) =
            (control_plane::url(), self.file("funder"), self.file("destinations"));
        let change = &self.funder.change;
        let mut check =
            self.world.admin(&["payout", "check", psbt, "--batch-note", note, "--change", change]);
        check.args(["--public", &public, "--state-dir", &state, "--destinations", &destinations]);
        let log = self.world.control_plane.log();
        eventually("the batch in the public record", MOMENT, &[&log], || match process::run(&mut check) {
            Err(error) if error.to_string().contains("expected a logged batch, found none") => Ok(None),
            checked => checked.map(Some).context("the funder checks the payment"),
        })?;
        Ok(())
    }

    /// The funder's wallet signs, the network mines, and the lines settle.
    fn settle(&mut self, batch: &Batch) -> Result<Settled> {
        step(
            "funder: the wallet signs the PSBT and hands it to the network; nothing of wiregrant holds a key",
        );
        let txid = self.funder.node.broadcast(&self.funder.node.sign(&batch.psbt)?)?;
        self.await_state(BatchState::Seen)?;
        self.funder.node.mine(1)?;
        self.await_state(BatchState::Confirmed)?;
        self.funder.node.mine(SETTLED_DEPTH - 1)?;
        let paid = self.await_state(BatchState::Settled)?;
        let lines = paid.payouts.iter().filter(|payout| payout.state == LineState::Settled);
        let sats: Vec<Sats> = lines.map(|payout| payout.sats).collect();
        let depth = paid.transactions.iter().find(|tx| tx.txid == txid).map_or(0, |tx| tx.depth);
        step(&format!("transaction {txid}: {depth} blocks deep"));
        let (lines, sats) = (sats.len() as u64, Sats::total(sats)?.get());
        Ok(Settled { txid: paid.paid_by.unwrap_or_default(), lines, sats, depth })
    }

    /// Waits for the control plane to see it on the chain, and says so.
    fn await_state(&mut self, state: BatchState) -> Result<Batch> {
        let log = self.world.control_plane.log();
        let batch = eventually(&format!("batch {BATCH} {state}"), MOMENT, &[&log], || {
            self.funder.still_runs()?;
            let batch: Batch = self.world.ask(&["batch", "show", BATCH])?;
            let recorded = state != BatchState::Settled || batch.paid_by.is_some();
            Ok((batch.state == state && recorded).then_some(batch))
        })?;
        step(&format!("batch {BATCH}: {state}"));
        Ok(batch)
    }

    fn verify(&self) -> Result<(Record, String)> {
        step(
            "verify: `wiregrant verify` from elsewhere in the internet, over HTTP, with public artefacts only",
        );
        let answer = self.world.verify()?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let record = Record {
            origin: text(&answer["record"]["origin"]),
            size: answer["record"]["size"].as_u64().unwrap_or_default(),
            root: text(&answer["record"]["root"]),
        };
        let result = text(&answer["result"]);
        Ok((record, if result == "ok" { result } else { answer.to_string() }))
    }

    fn file(&self, name: &str) -> String {
        Path::new(self.world.folder()).join(name).display().to_string()
    }

    fn start_transfers(&self, order: Order) -> Result<Vec<Process>> {
        (0..PEOPLE).map(|number| self.start_transfer(number, order)).collect()
    }

    fn start_transfer(&self, number: usize, order: Order) -> Result<Process> {
        let (person, host) = (&self.world.people[number], &self.world.network.people[number]);
        person.start_transfer(&self.world.programs, host, self.world.sink(), order)
    }

    /// Waits with the table on the screen.
    fn watch<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let logs = [self.world.node.log(), self.world.control_plane.log()];
        let found = eventually(what, limit, &[&logs[0], &logs[1]], || {
            self.world.still_runs()?;
            self.relay.still_runs()?;
            let found = attempt(self)?;
            if found.is_some() || self.table.is_due() {
                let row = self.row()?;
                self.table.show(&row);
            }
            Ok(found)
        });
        self.table.leave();
        found
    }

    fn row(&self) -> Result<Row> {
        let sums = Sums::of(&self.world.statements()?)?;
        let (clients, node) = self.world.all_counters()?;
        Ok(Row {
            clients,
            node,
            reported: self.world.reported()?,
            credited: sums.units.get().saturating_mul(self.unit_bytes),
            sats: sums.payable.get(),
            epoch: self.schedule.epoch_at(clock::utc_now()),
        })
    }

    fn tell_pages(&self) {
        let address = self.relay.address;
        step(&format!("pages: http://{address}/ and http://{address}/r/{GRANT}/ (on this machine only)"));
    }

    fn tell_outcome(&self, outcome: &Outcome) {
        eprintln!();
        for payout in &outcome.payouts {
            eprintln!("  {} sats to {OPERATOR} at {}", thousands(payout.sats), payout.address);
        }
        eprintln!(
            "  for {} bytes credited of {} reported; {} of {} sats unspent\n  ({DEMONSTRATION_TERMS})",
            thousands(outcome.credited_bytes),
            thousands(outcome.reported.total()),
            thousands(outcome.unspent_sats),
            thousands(outcome.pot_sats)
        );
    }
}

fn step(what: &str) {
    eprintln!("- {what}");
}
