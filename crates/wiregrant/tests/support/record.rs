//! A public record, made with real keys: two operators, two nodes, a grant with two statements, a paid batch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use transparency_log::HashSource as _;
use transparency_log::{
    Checkpoint, Hash, MemoryTree, SigningKey, TILE_WIDTH, bundle_path, encode_bundle, encode_tile, leaf_hash,
    tiles_for,
};
use wiregrant_core::note::{Network, Salt, Signed};
use wiregrant_core::statement::{NodeLine, Statement, pot};
use wiregrant_core::terms::{RULE_LARGEST_REMAINDER, Terms, TermsNote};
use wiregrant_core::{Bytes, OperatorId, Sats, Timestamp, Units};
use wiregrant_payout::{Batch, BatchLine, Share, allocate};

pub const ORIGIN: &str = "grants.example/record";
pub const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
pub const CHANGE: &str = "bcrt1qs758ursh4q9z627kt3pp5yysm78ddny6txaqgw";

/// One entry of the record log, with its note where it has one.
#[derive(Clone)]
pub enum Entry {
    Line(String),
    Terms(TermsNote),
    Statement(Box<Statement>),
    Batch(Batch),
}

/// All that is published, as plain data: change a part, then publish.
#[derive(Clone)]
pub struct Story {
    pub log_key: SigningKey,
    pub reports_key: SigningKey,
    pub statement_key: SigningKey,
    pub entries: Vec<Entry>,
    pub reports: Vec<String>,
}

fn sats(n: u64) -> Sats {
    Sats::new(n).unwrap()
}

pub fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::new(name, [seed; 32]).unwrap()
}

pub fn reports_root(reports: &[String], size: usize) -> Hash {
    let mut tree = MemoryTree::new();
    reports.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
    tree.root_at(size as u64).unwrap()
}

fn terms() -> Terms {
    Terms {
        challenge_seconds: 0,
        close_delay_seconds: 0,
        epoch_seconds: 60,
        epochs: 4,
        floor: 1,
        minimum_payout_sats: sats(1_000),
        rule: RULE_LARGEST_REMAINDER,
        start: Timestamp::from_unix_seconds(1_783_339_200).unwrap(),
        unit_bytes: Bytes::new(1_000_000).unwrap(),
    }
}

/// The statement of the next epoch, with each node's units.
fn statement(
    last: Option<&Statement>,
    units: [u64; 2],
    reports: &[String],
    reports_size: usize,
) -> Statement {
    let terms = terms();
    let epoch = last.map_or(1, |last| last.epoch + 1);
    let (start, end) = terms.schedule().bounds(epoch).unwrap();
    let contributed = sats(400_003);
    let allotted = last.map_or(Sats::ZERO, |last| last.allotted_after().unwrap());
    let epochs_left = terms.schedule().epochs_left(epoch);
    let pot = pot(contributed, allotted, epochs_left).unwrap();
    let owners = ["nordlicht", "polaris"];
    let nodes = BTreeMap::from_iter(owners.iter().zip(units).enumerate().map(|(at, (owner, units))| {
        let line = NodeLine {
            operator: owner.parse().unwrap(),
            location: "de-fra".parse().unwrap(),
            site: at as u64,
            units: (units > 0).then(|| Units::new(units).unwrap()),
        };
        (format!("node-{}", at + 1).parse().unwrap(), line)
    }));
    let shares = BTreeMap::from_iter(owners.iter().zip(units).map(|(owner, units)| {
        let operator: OperatorId = owner.parse().unwrap();
        let brought = last.map_or(Sats::ZERO, |last| last.operators[&operator].carried);
        (operator, Share { units: Units::new(units).unwrap(), brought, adjusted: 0 })
    }));
    let grant = "spring".parse().unwrap();
    let split = allocate(pot, &grant, epoch, terms.minimum_payout_sats, &shares).unwrap();
    Statement {
        log: ORIGIN.parse().unwrap(),
        network: Network::Regtest,
        grant,
        epoch,
        start,
        end,
        previous: None, // set when it is published
        reports_size: reports_size as u64,
        reports_root: reports_root(reports, reports_size),
        inputs: Hash::of(b"inputs"),
        terms,
        contributed,
        allotted,
        epochs_left,
        pot,
        issued: Units::new(500).unwrap(),
        nodes,
        adjustments: BTreeSet::new(),
        operators: split.operators,
        unspent: split.unspent,
    }
}

pub fn batch(statement: &Statement) -> Batch {
    let operator: OperatorId = "nordlicht".parse().unwrap();
    let sats = statement.operators[&operator].payable;
    let line = BatchLine {
        operator,
        grant: "spring".parse().unwrap(),
        epoch: statement.epoch,
        sats,
        address: ADDRESS.into(),
        destination_sequence: 1,
    };
    Batch {
        log: ORIGIN.parse().unwrap(),
        network: Network::Regtest,
        batch: "spring-1".parse().unwrap(),
        replaces: None,
        record_size: 0,
        record_root: transparency_log::EMPTY_ROOT,
        salt: Salt([3; 16]),
        lines: vec![line],
        total: sats,
    }
}

impl Story {
    /// A record in which everything holds, with reports over more than one tile.
    pub fn honest() -> Self {
        let (log_key, statement_key) = (key(ORIGIN, 1), key("grants.example/statement", 2));
        let reports_key = key("grants.example/record/reports", 1);
        let reports: Vec<String> =
            (0..300_u32).map(|n| wiregrant_core::record::report_entry(Hash::of(&n.to_be_bytes()))).collect();
        let terms_note = TermsNote {
            log: ORIGIN.parse().unwrap(),
            network: Network::Regtest,
            grant: "spring".parse().unwrap(),
            previous: None,
            terms: terms(),
        };
        let first = statement(None, [3, 0], &reports, 120);
        let second = statement(Some(&first), [7, 2], &reports, 290);
        let line = |text: String| Entry::Line(text);
        let entries = vec![
            line(format!("key log {}", log_key.verifier())),
            line(format!("key statement {}", statement_key.verifier())),
            line(format!("operator nordlicht {}", key("nordlicht", 3).verifier())),
            line("operator polaris -".into()),
            line(format!("enrol node-1 nordlicht {}", key("node-1", 4).verifier())),
            line(format!("enrol node-2 polaris {}", key("node-2", 5).verifier())),
            line(format!("destination nordlicht 1 {}", Hash::of(b"destination"))),
            Entry::Terms(terms_note),
            line("contribute spring 400000".into()),
            line("contribute spring 3".into()),
            line("admit spring node-1 1".into()),
            line("admit spring node-2 1".into()),
            Entry::Statement(Box::new(first.clone())),
            line("freeze node-2 fork".into()),
            line("unfreeze node-2".into()),
            Entry::Batch(batch(&first)),
            line(format!("paid spring-1 {}", "0f".repeat(32))),
            Entry::Statement(Box::new(second)),
            line("contribute spring 5000".into()),
        ];
        Self { log_key, reports_key, statement_key, entries, reports }
    }

    /// The statement of an epoch.
    pub fn statement(&mut self, epoch: u64) -> &mut Statement {
        fn of_epoch(entry: &mut Entry, epoch: u64) -> Option<&mut Statement> {
            match entry {
                Entry::Statement(statement) if statement.epoch == epoch => Some(statement.as_mut()),
                _ => None,
            }
        }
        self.entries.iter_mut().find_map(|entry| of_epoch(entry, epoch)).expect("a statement of that epoch")
    }

    /// The entries as lines, and the notes by the hexadecimal hash they are published under.
    pub fn logged(&self) -> (Vec<String>, BTreeMap<String, String>) {
        let (mut lines, mut notes) = (Vec::new(), BTreeMap::new());
        let mut last: Option<Hash> = None;
        for entry in &self.entries {
            let (line, note) = match entry {
                Entry::Line(line) => (line.clone(), None),
                Entry::Terms(terms) => {
                    let signed = Signed::sign(terms.clone(), &self.statement_key).unwrap();
                    (format!("terms spring {} 1", signed.hash()), Some(signed.note().to_owned()))
                }
                Entry::Statement(statement) => {
                    let mut statement = statement.clone();
                    statement.previous = last;
                    let signed = Signed::sign(*statement, &self.statement_key).unwrap();
                    last = Some(signed.hash());
                    let epoch = signed.content().epoch;
                    (format!("statement spring {epoch} {}", signed.hash()), Some(signed.note().to_owned()))
                }
                Entry::Batch(batch) => {
                    let signed = Signed::sign(batch.clone(), &self.statement_key).unwrap();
                    (format!("batch {} {}", batch.batch, signed.hash()), Some(signed.note().to_owned()))
                }
            };
            lines.push(line);
            notes.extend(note.map(|note| (Hash::of(note.as_bytes()).to_hex(), note)));
        }
        (lines, notes)
    }

    /// Writes everything public into a folder that is emptied first.
    pub fn publish(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        let (lines, notes) = self.logged();
        publish_log(&folder.join("log"), &self.log_key, &lines);
        publish_log(&folder.join("reports"), &self.reports_key, &self.reports);
        for (name, note) in notes {
            write(&folder.join("log/note").join(name), note.as_bytes());
        }
    }
}

/// Writes one log: key, checkpoint, tiles, entry bundles.
pub fn publish_log(folder: &Path, key: &SigningKey, entries: &[String]) {
    let mut tree = MemoryTree::new();
    entries.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
    let (size, root) = (tree.size(), tree.root_at(tree.size()).unwrap());
    let checkpoint = Checkpoint { origin: key.name().to_owned(), size, root }.sign(key).unwrap();
    write(&folder.join("vkey"), format!("{}\n", key.verifier()).as_bytes());
    write(&folder.join("checkpoint"), checkpoint.as_bytes());
    for tile in tiles_for(size) {
        write(&folder.join(tile.path()), &encode_tile(&tree.tile(tile).unwrap()));
    }
    for (index, bundle) in entries.chunks(usize::from(TILE_WIDTH)).enumerate() {
        let path = bundle_path(index as u64, u16::try_from(bundle.len()).unwrap());
        write(&folder.join(path), &encode_bundle(bundle).unwrap());
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
