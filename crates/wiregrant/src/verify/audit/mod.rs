//! What an auditor checks beside the public record: every unit of every statement follows from the inputs note that the
//! statement names and from signed usage reports that the reports log holds.
//!
//! Epoch by epoch, as the record is replayed, so that no more than one epoch's reports are in memory. Signatures are
//! verified strictly, one by one, on all cores.

mod credit;
mod place;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use transparency_log::{TILE_WIDTH, TileId, Verifier, leaf_hash};
use wiregrant_core::api::{AuditReport, AuditReports};
use wiregrant_core::in_step::InStep;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::{NoteText as _, Origin, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::statement::Statement;
use wiregrant_core::{GrantId, NodeId, Units};

use super::CouldNotCheck;
use super::difference::Difference;
use super::log::PublicLog;
use super::progress::Progress;
use super::source::{Reading, Source};
use crate::clock::Stopwatch;

pub use credit::Standing;
pub use place::AuditPlace;
use report::Report;

/// A page of 500 reports of at most 4 KiB, in JSON.
const MAX_PAGE_BYTES: u64 = 16 * 1024 * 1024;
/// The most pages of one epoch: as many nodes as an inputs note of 16 MiB can have.
const MAX_PAGES: u64 = 1_000;
/// Reports that a thread verifies before it looks for more: few, so that no thread is left with many when the others have ended.
const AT_A_TIME: usize = 25;
/// How often so many wait to be verified: 10,000 reports, so that who reads them seldom waits for who verifies.
const WAITING: usize = 400;

/// What an audit came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Statements whose units were recomputed.
    pub statements: u64,
    /// Reports whose signatures were verified and whose entries were found in the log.
    pub reports: u64,
    /// Numbers of nodes that were recomputed.
    pub nodes: u64,
    /// Numbers that are withheld, so that their reports are not shown.
    pub withheld: u64,
    /// How long it took.
    pub milliseconds: u64,
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct NodeKeys {
    /// Its keys, the newest last.
    keys: Vec<Verifier>,
}

/// An audit under way.
pub struct Audit<'a> {
    place: &'a AuditPlace,
    public: &'a Source,
    reports: &'a PublicLog,
    progress: &'a Progress,
    nodes: HashMap<NodeId, NodeKeys>,
    /// Logs that this one continues: reports from before name them.
    former: Vec<Origin>,
    standings: BTreeMap<GrantId, BTreeMap<NodeId, Standing>>,
    took: Duration,
    audited: Audited,
}

impl<'a> Audit<'a> {
    /// Nothing audited yet.
    pub fn new(
        place: &'a AuditPlace,
        public: &'a Source,
        reports: &'a PublicLog,
        progress: &'a Progress,
    ) -> Self {
        Self {
            place,
            public,
            reports,
            progress,
            nodes: HashMap::new(),
            former: Vec::new(),
            standings: BTreeMap::new(),
            took: Duration::ZERO,
            audited: Audited::default(),
        }
    }

    /// A node has a key.
    pub fn add_key(&mut self, node: &NodeId, vkey: &str) {
        if let Ok(key) = vkey.parse() {
            self.nodes.entry(node.clone()).or_insert_with(|| NodeKeys { keys: Vec::new() }).keys.push(key);
        }
    }

    /// The log continues another one.
    pub fn add_log(&mut self, log: &Origin) {
        self.former.push(log.clone());
    }

    /// What it came to.
    pub fn audited(&self) -> Audited {
        let milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        Audited { milliseconds, ..self.audited }
    }

    /// All that does not follow in a statement's units.
    ///
    /// # Errors
    /// When inputs or reports cannot be had.
    pub fn statement(
        &mut self,
        statement: &Statement,
        found: &BTreeSet<NodeId>,
        key: &Verifier,
    ) -> Result<Vec<Difference>, CouldNotCheck> {
        let watch = Stopwatch::start();
        let differs = self.timed(statement, found, key);
        self.took = self.took.saturating_add(watch.elapsed());
        differs
    }

    fn timed(
        &mut self,
        statement: &Statement,
        found: &BTreeSet<NodeId>,
        key: &Verifier,
    ) -> Result<Vec<Difference>, CouldNotCheck> {
        let (inputs, reports) = std::thread::scope(|scope| {
            let inputs = scope.spawn(|| self.inputs(statement, key));
            let reports = self.reports(statement);
            let broke = || Err(CouldNotCheck("an audit's thread broke off".to_owned()));
            (inputs.join().unwrap_or_else(|_| broke()), reports)
        });
        let inputs = match inputs? {
            Ok(inputs) => inputs,
            Err(difference) => return Ok(vec![difference]),
        };
        let mut differs = against_statement(statement, &inputs);
        let (mut reports, wrong) = reports?;
        differs.extend(wrong);
        differs.extend(self.not_in_the_log(&reports)?);
        self.audited.statements = self.audited.statements.saturating_add(1);
        self.audited.reports = self.audited.reports.saturating_add(reports.len() as u64);
        reports.sort_by(|one, other| one.content.node.cmp(&other.content.node));
        differs.extend(self.numbers(statement, found, &inputs, &reports));
        Ok(differs)
    }

    /// All nodes' numbers, recomputed on all cores. The reports stand in the order of their nodes.
    fn numbers(
        &mut self,
        statement: &Statement,
        found: &BTreeSet<NodeId>,
        inputs: &Inputs,
        reports: &[Report],
    ) -> Vec<Difference> {
        let of_node = || {
            let by_node = reports.chunk_by(|one, next| one.content.node == next.content.node);
            by_node.filter_map(|reports| Some((&reports.first()?.content.node, reports)))
        };
        let (standings, none) =
            (self.standings.remove(&statement.grant).unwrap_or_default(), Standing::default());
        let (mut reports_of, mut before) = (InStep::new(of_node()), InStep::new(&standings));
        let facts = |(node, line): (_, _)| credit::Facts {
            statement,
            node,
            line,
            reports: reports_of.find(node).unwrap_or_default(),
            before: before.find(node).unwrap_or(&none),
            is_found: found.contains(node),
        };
        let facts: Vec<_> = inputs.nodes.iter().map(facts).collect();
        let share = facts.len().div_ceil(cores()).max(1);
        let recomputed: Vec<_> = std::thread::scope(|scope| {
            let recompute =
                |some: &[credit::Facts<'_>]| some.iter().map(credit::Facts::recomputed).collect::<Vec<_>>();
            let workers: Vec<_> =
                facts.chunks(share).map(|some| scope.spawn(move || recompute(some))).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        let mut differs = Vec::new();
        if recomputed.len() != facts.len() {
            differs.push(Difference::new("numbers of nodes", facts.len(), recomputed.len()));
        }
        let mut lines = InStep::new(&inputs.nodes);
        let unknown = of_node().filter(|(node, _)| lines.find(*node).is_none());
        differs.extend(unknown.map(|(node, _)| {
            Difference::new(format!("reports of node {node}"), "a line in the inputs", "none")
        }));
        // Nodes that have left keep what was said of them.
        let (mut standings, mut new) = (standings, Vec::new());
        let mut known = standings.iter_mut().peekable();
        for (node, (standing, outcome)) in inputs.nodes.keys().zip(recomputed) {
            while known.next_if(|(before, _)| *before < node).is_some() {}
            match known.next_if(|(before, _)| *before == node) {
                Some((_, before)) => *before = standing,
                None => new.push((node.clone(), standing)),
            }
            match outcome {
                Some(found) => {
                    self.audited.nodes = self.audited.nodes.saturating_add(1);
                    differs.extend(found);
                }
                None => self.audited.withheld = self.audited.withheld.saturating_add(1),
            }
        }
        standings.extend(new);
        self.standings.insert(statement.grant.clone(), standings);
        differs
    }

    /// The inputs note, if it is the one that the statement names and its key signed it.
    fn inputs(
        &self,
        statement: &Statement,
        key: &Verifier,
    ) -> Result<Result<Inputs, Difference>, CouldNotCheck> {
        let path = format!("grants/{}/epochs/{}/inputs", statement.grant, statement.epoch);
        let bytes = match self.place.read(&path, Inputs::MAX_BYTES as u64)? {
            Reading::Bytes(bytes) => bytes,
            Reading::Absent => return Err(CouldNotCheck(format!("{} has no {path}", self.place))),
            Reading::TooLong => return Ok(Err(Difference::new("inputs", "at most 16 MiB", "more"))),
        };
        let hash = transparency_log::Hash::of(&bytes);
        if let Some(difference) = Difference::unless_equal("inputs: SHA-256", statement.inputs, hash) {
            return Ok(Err(difference));
        }
        let text = String::from_utf8_lossy(&bytes);
        let signed =
            Signed::<Inputs>::parse(&text).and_then(|signed| signed.verified_by(key).map(|()| signed));
        Ok(signed.map(Signed::into_content).map_err(Difference::from))
    }

    /// The reports of the epoch, each signed by its node, and what is wrong with the others.
    fn reports(&self, statement: &Statement) -> Result<(Vec<Report>, Vec<Difference>), CouldNotCheck> {
        let (sender, receiver) = sync_channel::<Vec<AuditReport>>(WAITING);
        let receiver = Mutex::new(receiver);
        let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        let logs: Vec<Origin> = std::iter::once(&statement.log).chain(&self.former).cloned().collect();
        let verified = || {
            let (mut taken, mut page) = (0_usize, report::Page::default());
            while let Some(reports) = next() {
                taken = taken.saturating_add(reports.len());
                page.verify(reports, &self.nodes, &logs);
            }
            (taken, page)
        };
        let (count, pages) = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(verified)).collect();
            let fetched = self.fetch(statement, |reports| {
                let _ = sender.send(reports); // the workers end only after this one
            });
            drop(sender);
            let pages: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
            fetched.map(|count| (count, pages))
        })?;
        if pages.iter().map(|(taken, _)| taken).sum::<usize>() != count {
            return Err(CouldNotCheck("an audit's thread broke off".to_owned()));
        }
        let (mut reports, mut differs) = (Vec::with_capacity(count), Vec::new());
        for (_, page) in pages {
            reports.extend(page.good);
            differs.extend(page.wrong);
        }
        Ok((reports, differs))
    }

    /// Reads all pages of the epoch, hands out their reports a few at a time, and tells how many there were.
    fn fetch(
        &self,
        statement: &Statement,
        mut take: impl FnMut(Vec<AuditReport>),
    ) -> Result<usize, CouldNotCheck> {
        let (mut pages, mut page, mut count) = (1, 1, 0_usize);
        while page <= pages {
            let path = format!("grants/{}/epochs/{}/reports/{page}", statement.grant, statement.epoch);
            let bytes = match self.place.read(&path, MAX_PAGE_BYTES)? {
                Reading::Bytes(bytes) => bytes,
                _ => return Err(CouldNotCheck(format!("{} has no {path} that can be read", self.place))),
            };
            let read: AuditReports = serde_json::from_slice(&bytes)
                .map_err(|e| CouldNotCheck(format!("{}: {path}: {e}", self.place)))?;
            if page == 1 {
                pages = read.pages.min(MAX_PAGES);
                self.progress.expect(pages);
            }
            count = count.saturating_add(read.reports.len());
            let mut rest = read.reports.into_iter();
            while !rest.as_slice().is_empty() {
                take(rest.by_ref().take(AT_A_TIME).collect());
            }
            self.progress.step();
            page = page.saturating_add(1);
        }
        Ok(count)
    }

    /// Reports whose entries are not where they are said to be, under the checkpoint.
    fn not_in_the_log(&self, reports: &[Report]) -> Result<Vec<Difference>, CouldNotCheck> {
        let mut by_tile: BTreeMap<u64, Vec<&Report>> = BTreeMap::new();
        for report in reports {
            by_tile.entry(report.log_index / u64::from(TILE_WIDTH)).or_default().push(report);
        }
        let tiles: Vec<_> = by_tile.into_iter().collect();
        let share = tiles.len().div_ceil(cores()).max(1);
        let found = std::thread::scope(|scope| {
            let workers: Vec<_> =
                tiles.chunks(share).map(|tiles| scope.spawn(move || self.differs_in(tiles))).collect();
            let broke = || Err(CouldNotCheck("an audit's thread broke off".to_owned()));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| broke())).collect::<Vec<_>>()
        });
        let mut differs = Vec::new();
        for found in found {
            differs.extend(found?);
        }
        Ok(differs)
    }

    fn differs_in(&self, tiles: &[(u64, Vec<&Report>)]) -> Result<Vec<Difference>, CouldNotCheck> {
        let mut differs = Vec::new();
        for (index, reports) in tiles {
            let begin = index.saturating_mul(u64::from(TILE_WIDTH));
            let left = self.reports.checkpoint.size.saturating_sub(begin).min(u64::from(TILE_WIDTH));
            let width = u16::try_from(left).unwrap_or(TILE_WIDTH);
            let tile = TileId { level: 0, index: *index, width };
            let leaves = match width {
                0 => None,
                _ => self.reports.proved_leaves(self.public, tile)?,
            };
            for report in reports {
                let at = usize::try_from(report.log_index.saturating_sub(begin)).unwrap_or(usize::MAX);
                let logged = leaves.as_ref().and_then(|leaves| leaves.get(at));
                if logged != Some(&leaf_hash(report_entry(report.hash).as_bytes())) {
                    differs.push(Difference::new(
                        format!("report {} of node {}", report.content.sequence, report.content.node),
                        format!("its hash {} as entry {} of the reports log", report.hash, report.log_index),
                        "another entry",
                    ));
                }
            }
        }
        Ok(differs)
    }
}

/// How many threads verify.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// What the statement says of its nodes, and what its inputs do.
fn against_statement(statement: &Statement, inputs: &Inputs) -> Vec<Difference> {
    let mut differs: Vec<Difference> =
        Difference::unless_equal("inputs: log", &statement.log, &inputs.log).into_iter().collect();
    differs.extend(Difference::unless_equal("inputs: grant", &statement.grant, &inputs.grant));
    differs.extend(Difference::unless_equal("inputs: epoch", statement.epoch, inputs.epoch));
    differs.extend(inputs.check(&statement.terms).err().map(Difference::from));
    let mut known = InStep::new(&inputs.nodes);
    for (node, line) in &statement.nodes {
        let Some(known) = known.find(node) else {
            differs.push(Difference::new(format!("inputs: node {node}"), "a line", "none"));
            continue;
        };
        if known.units != line.units {
            let shown = |units: Option<Units>| units.map_or_else(|| "-".to_owned(), |u| u.to_string());
            let what = format!("node {node}: units");
            differs.push(Difference::new(what, shown(known.units), shown(line.units)));
        }
        if line.operator != known.operator {
            differs.push(Difference::new(format!("node {node}: operator"), &line.operator, &known.operator));
        }
    }
    let mut lines = InStep::new(&statement.nodes);
    let more = inputs.nodes.keys().filter(|node| lines.find(*node).is_none());
    differs.extend(
        more.map(|node| {
            Difference::new(format!("inputs: node {node}"), "a node of the statement", "another")
        }),
    );
    differs
}
