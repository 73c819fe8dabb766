//! A record to measure with: 10,000 nodes of 1,000 operators, a statement each week, and what an auditor is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use transparency_log::{
    Checkpoint, Hash, HashSource as _, MemoryTree, Note, SigningKey, TILE_WIDTH, Verifier, bundle_path,
    encode_bundle, encode_tile, leaf_hash, tiles_for,
};
use wiregrant_core::api::{AuditReport, AuditReports, MAX_AUDIT_REPORTS};
use wiregrant_core::credit::{NodeEpoch, credit, moved_between};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::inputs::{Inputs, NodeInputs};
use wiregrant_core::note::{Network, Origin, Salt, Signed};
use wiregrant_core::record::{KeyRole, RecordEntry, report_entry};
use wiregrant_core::statement::{NodeLine, Statement, pot};
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, GrantId, NodeId, OperatorId, Sats, Units};
use wiregrant_payout::{Share, allocate};

/// Statements.
pub const WEEKS: u64 = 52;
/// Closing reports.
pub const REPORTS: u64 = NODES as u64 * WEEKS;
const NODES: usize = 10_000;
const OPERATORS: usize = 1_000;
const ORIGIN: &str = "grants.example/record";
const GRANT: &str = "year";
const POT_SATS: u64 = 5_200_000_000;

/// A signed text, taken apart.
pub struct Message {
    /// The number of the node that signed.
    pub node: usize,
    /// What it signed.
    pub text: String,
    /// Its signature.
    pub signature: [u8; 64],
}

/// The record, in a folder.
pub struct Year {
    folder: PathBuf,
    keys: Vec<SigningKey>,
    verifiers: Vec<Verifier>,
}

/// What a node has reported until now.
struct Node {
    id: NodeId,
    operator: OperatorId,
    usage: UsageTable,
    previous: Option<Hash>,
    carried: Bytes,
}

/// A year under way.
struct Making<'a> {
    year: &'a Year,
    log_key: SigningKey,
    statement_key: SigningKey,
    origin: Origin,
    grant: GrantId,
    terms: Terms,
    nodes: Vec<Node>,
    record: Vec<String>,
    reports: Vec<String>,
    tree: MemoryTree,
    last: Option<Signed<Statement>>,
}

fn key(name: &str, number: u32) -> Result<SigningKey> {
    Ok(SigningKey::new(name, Hash::of(&number.to_be_bytes()).0)?)
}

fn bytes(number: u64) -> Result<Bytes> {
    Ok(Bytes::new(number)?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file in a folder")?)?;
    Ok(fs::write(path, bytes)?)
}

impl Year {
    /// Makes it, with `public` and `audit` below `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        let keys = (0..NODES)
            .map(|n| key(&format!("node-{n:05}"), u32::try_from(n)?.saturating_add(1_000)))
            .collect::<Result<Vec<_>>>()?;
        let verifiers = keys.iter().map(SigningKey::verifier).collect();
        let year = Self { folder: folder.to_owned(), keys, verifiers };
        let mut making = Making::begin(&year)?;
        for week in 1..=WEEKS {
            making.week(week)?;
        }
        making.publish()?;
        Ok(year)
    }

    /// A node's key.
    pub fn key(&self, node: usize) -> &Verifier {
        &self.verifiers[node]
    }

    /// The reports of a week, taken apart.
    pub fn messages(&self, week: u64) -> Result<Vec<Message>> {
        let mut messages = Vec::with_capacity(NODES);
        for page in 1..=NODES.div_ceil(MAX_AUDIT_REPORTS) {
            let path = self.folder.join(format!("audit/grants/{GRANT}/epochs/{week}/reports/{page}"));
            let page: AuditReports = serde_json::from_slice(&fs::read(path)?)?;
            for report in page.reports {
                let Note { text, signatures } = Note::parse_sole(&report.note)?;
                let signature = signatures.first().and_then(|line| line.signature.as_slice().try_into().ok());
                let signature = signature.context("a signature of 64 bytes")?;
                messages.push(Message { node: messages.len(), text, signature });
            }
        }
        Ok(messages)
    }
}

impl<'a> Making<'a> {
    fn begin(year: &'a Year) -> Result<Self> {
        let (log_key, statement_key) = (key(ORIGIN, 1)?, key("grants.example/statement", 2)?);
        let (origin, grant): (Origin, GrantId) = (ORIGIN.parse()?, GRANT.parse()?);
        let terms = terms()?;
        let note = TermsNote {
            log: origin.clone(),
            network: Network::Regtest,
            grant: grant.clone(),
            previous: None,
            terms: terms.clone(),
        };
        let note = Signed::sign(note, &statement_key)?;
        write(&year.folder.join("public/log/note").join(note.hash().to_hex()), note.note().as_bytes())?;
        let mut entries = vec![
            RecordEntry::Key { role: KeyRole::Log, vkey: log_key.verifier().to_string() },
            RecordEntry::Key { role: KeyRole::Statement, vkey: statement_key.verifier().to_string() },
        ];
        let mut nodes = Vec::new();
        for operator in 0..OPERATORS {
            entries.push(RecordEntry::Operator { operator: format!("op-{operator}").parse()?, vkey: None });
        }
        for (number, vkey) in year.verifiers.iter().enumerate() {
            let (id, operator): (NodeId, OperatorId) =
                (format!("node-{number:05}").parse()?, format!("op-{}", number % OPERATORS).parse()?);
            let (node, vkey) = (id.clone(), vkey.to_string());
            entries.push(RecordEntry::Enrol { node, operator: operator.clone(), vkey });
            nodes.push(Node { id, operator, usage: UsageTable::new(), previous: None, carried: Bytes::ZERO });
        }
        entries.push(RecordEntry::Terms { grant: grant.clone(), note: note.hash(), first_epoch: 1 });
        entries.push(RecordEntry::Contribute { grant: grant.clone(), sats: Sats::new(POT_SATS)? });
        for node in &nodes {
            let (grant, node) = (grant.clone(), node.id.clone());
            entries.push(RecordEntry::Admit { grant, node, first_epoch: 1 });
        }
        let record = entries.iter().map(ToString::to_string).collect();
        let (reports, tree) = (Vec::new(), MemoryTree::new());
        Ok(Self {
            year,
            log_key,
            statement_key,
            origin,
            grant,
            terms,
            nodes,
            record,
            reports,
            tree,
            last: None,
        })
    }

    fn week(&mut self, week: u64) -> Result<()> {
        let notes = self.signed_reports(week)?;
        let first = self.reports.len() as u64;
        let mut pages = Vec::new();
        for (number, (note, usage)) in notes.into_iter().enumerate() {
            let hash = Hash::of(note.as_bytes());
            self.tree.push(leaf_hash(report_entry(hash).as_bytes()));
            self.reports.push(report_entry(hash));
            let node = self.nodes.get_mut(number).context("a node")?;
            node.previous = Some(hash);
            pages.push((AuditReport { log_index: first.saturating_add(number as u64), note }, usage));
        }
        let mut inputs = BTreeMap::new();
        for (node, (_, usage)) in self.nodes.iter_mut().zip(&pages) {
            let line = credited(node, usage, week, &self.terms)?;
            node.carried = line.carried;
            node.usage = usage.clone();
            inputs.insert(node.id.clone(), line);
        }
        let folder = self.year.folder.join(format!("audit/grants/{GRANT}/epochs/{week}"));
        let reports: Vec<_> = pages.into_iter().map(|(report, _)| report).collect();
        let pages = reports.len().div_ceil(MAX_AUDIT_REPORTS) as u64;
        for (at, reports) in reports.chunks(MAX_AUDIT_REPORTS).enumerate() {
            let page = AuditReports { pages, reports: reports.to_vec() };
            write(&folder.join(format!("reports/{}", at.saturating_add(1))), &serde_json::to_vec(&page)?)?;
        }
        let (log, grant) = (self.origin.clone(), self.grant.clone());
        let inputs = Inputs { log, grant, epoch: week, salt: Salt([9; 16]), nodes: inputs };
        let inputs = Signed::sign(inputs, &self.statement_key)?;
        write(&folder.join("inputs"), inputs.note().as_bytes())?;
        self.close(week, &inputs)
    }

    /// The week's reports, signed on all cores, with their totals.
    fn signed_reports(&self, week: u64) -> Result<Vec<(String, UsageTable)>> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let numbered: Vec<_> = self.nodes.iter().zip(&self.year.keys).enumerate().collect();
        let share = numbered.len().div_ceil(cores);
        let signed = thread::scope(|scope| {
            let sign = |numbered: &[(usize, (&Node, &SigningKey))]| -> Result<Vec<_>> {
                numbered.iter().map(|(number, (node, key))| self.report(week, *number, node, key)).collect()
            };
            let workers: Vec<_> =
                numbered.chunks(share).map(|some| scope.spawn(move || sign(some))).collect();
            let broke = |_| Err(anyhow!("a thread broke off"));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(broke)).collect::<Vec<_>>()
        });
        let mut all = Vec::with_capacity(NODES);
        for some in signed {
            all.extend(some?);
        }
        Ok(all)
    }

    fn report(
        &self,
        week: u64,
        number: usize,
        node: &Node,
        key: &SigningKey,
    ) -> Result<(String, UsageTable)> {
        let (start, end) = self.terms.schedule().bounds(week).context("a week of the year")?;
        let more = 1_000_000_000_u64.saturating_add(number as u64 * 12_345);
        let line = (Service::WireGuard, Class::Assigned);
        let before = node.usage.get(&line).copied().unwrap_or_default();
        let received = before.received.plus(bytes(more)?)?;
        let sent = before.sent.plus(bytes(more.saturating_mul(3))?)?;
        let usage = UsageTable::from([(line, Usage { received, sent, creditable: received.plus(sent)? })]);
        let salt = Hash::of(&[number.to_be_bytes(), week.to_be_bytes()].concat()).0;
        let report = UsageReport {
            log: self.origin.clone(),
            node: node.id.clone(),
            operator: node.operator.clone(),
            sequence: week,
            previous: node.previous,
            salt: Salt(*salt.first_chunk().context("16 of 32 bytes")?),
            start,
            end,
            epoch: Some(EpochLabel { grant: self.grant.clone(), number: week }),
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
            peers: PeersBucket::TenTo24,
            tree: None,
            usage: usage.clone(),
        };
        Ok((Signed::sign(report, key)?.note().to_owned(), usage))
    }

    fn close(&mut self, week: u64, inputs: &Signed<Inputs>) -> Result<()> {
        let (start, end) = self.terms.schedule().bounds(week).context("a week of the year")?;
        let last = self.last.as_ref().map(Signed::content);
        let contributed = Sats::new(POT_SATS)?;
        let allotted = last.map_or(Ok(Sats::ZERO), Statement::allotted_after)?;
        let epochs_left = self.terms.schedule().epochs_left(week);
        let line = |(id, node): (&NodeId, &NodeInputs)| -> Result<_> {
            let (operator, location) = (node.operator.clone(), "de-fra".parse()?);
            Ok((id.clone(), NodeLine { operator, location, site: 0, units: node.units }))
        };
        let nodes = inputs.content().nodes.iter().map(line).collect::<Result<BTreeMap<_, _>>>()?;
        let mut statement = Statement {
            log: self.origin.clone(),
            network: Network::Regtest,
            grant: self.grant.clone(),
            epoch: week,
            start,
            end,
            previous: self.last.as_ref().map(Signed::hash),
            reports_size: self.tree.size(),
            reports_root: self.tree.root_at(self.tree.size())?,
            inputs: inputs.hash(),
            terms: self.terms.clone(),
            contributed,
            allotted,
            epochs_left,
            pot: pot(contributed, allotted, epochs_left)?,
            issued: Units::new(1_000_000)?,
            nodes,
            adjustments: BTreeSet::new(),
            operators: BTreeMap::new(),
            unspent: Sats::ZERO,
        };
        let brought = |operator: &OperatorId| {
            last.and_then(|last| last.operators.get(operator)).map_or(Sats::ZERO, |line| line.carried)
        };
        let units = statement.units_by_operator()?;
        let share = |(operator, units): (OperatorId, Units)| {
            let brought = brought(&operator);
            (operator, Share { units, brought, adjusted: 0 })
        };
        let shares: BTreeMap<_, _> = units.into_iter().map(share).collect();
        let minimum = self.terms.minimum_payout_sats;
        let split = allocate(statement.pot, &self.grant, week, minimum, &shares)?;
        (statement.operators, statement.unspent) = (split.operators, split.unspent);
        let signed = Signed::sign(statement, &self.statement_key)?;
        let path = self.year.folder.join("public/log/note").join(signed.hash().to_hex());
        write(&path, signed.note().as_bytes())?;
        let entry = RecordEntry::Statement { grant: self.grant.clone(), epoch: week, note: signed.hash() };
        self.record.push(entry.to_string());
        self.last = Some(signed);
        Ok(())
    }

    fn publish(&self) -> Result<()> {
        let mut tree = MemoryTree::new();
        self.record.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
        let public = self.year.folder.join("public");
        publish_log(&public.join("log"), &self.log_key, &self.record, &tree)?;
        let reports_key = key(&format!("{ORIGIN}/reports"), 1)?;
        publish_log(&public.join("reports"), &reports_key, &self.reports, &self.tree)
    }
}

/// The node's line of the week's inputs.
fn credited(node: &Node, usage: &UsageTable, week: u64, terms: &Terms) -> Result<NodeInputs> {
    let epoch = NodeEpoch {
        moved: moved_between(&node.usage, usage)?,
        peers: PeersBucket::TenTo24,
        devices_placed: 20,
        allotted: bytes(1 << 60)?,
        moved_seconds: 604_800,
        is_found: false,
        brought: node.carried,
        brought_peers: 0,
    };
    let credited = credit(&epoch, terms)?;
    Ok(NodeInputs {
        operator: node.operator.clone(),
        baseline_sequence: week.saturating_sub(1),
        closing_sequence: Some(week),
        devices_placed: epoch.devices_placed,
        allotted: epoch.allotted,
        brought: epoch.brought,
        eligible: credited.eligible,
        units: credited.units,
        carried: credited.carried,
        peers: credited.peers,
        disallowed: credited.disallowed,
    })
}

fn publish_log(folder: &Path, key: &SigningKey, entries: &[String], tree: &MemoryTree) -> Result<()> {
    let (size, root) = (tree.size(), tree.root_at(tree.size())?);
    let checkpoint = Checkpoint { origin: key.name().to_owned(), size, root }.sign(key)?;
    write(&folder.join("vkey"), format!("{}\n", key.verifier()).as_bytes())?;
    write(&folder.join("checkpoint"), checkpoint.as_bytes())?;
    for tile in tiles_for(size) {
        write(&folder.join(tile.path()), &encode_tile(&tree.tile(tile)?))?;
    }
    for (index, bundle) in entries.chunks(usize::from(TILE_WIDTH)).enumerate() {
        let path = bundle_path(index as u64, u16::try_from(bundle.len())?);
        write(&folder.join(path), &encode_bundle(bundle)?)?;
    }
    Ok(())
}

fn terms() -> Result<Terms> {
    Ok(Terms {
        challenge_seconds: 0,
        close_delay_seconds: 172_800,
        epoch_seconds: 604_800,
        floor: 10,
        minimum_payout_sats: Sats::new(10_000)?,
        rule: wiregrant_core::terms::RULE_LARGEST_REMAINDER,
        unit_bytes: bytes(1_000_000_000)?,
        ..Terms::defaults("2026-01-05T00:00:00Z".parse()?, WEEKS)
    })
}
