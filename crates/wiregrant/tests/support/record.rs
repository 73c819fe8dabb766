//! A public record, made with real keys: two operators, two nodes, a grant with two statements, a paid batch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use transparency_log::HashSource as _;
use transparency_log::{
    Checkpoint, CosignerKey, Hash, MemoryTree, Note, SigningKey, TILE_WIDTH, add_cosignature, bundle_path,
    encode_bundle, encode_tile, leaf_hash, tiles_for,
};
use wiregrant_core::manifest::Manifest;
use wiregrant_core::note::{Network, Salt, Signed};
use wiregrant_core::rekey::Rekey;
use wiregrant_core::statement::{NodeLine, Statement, pot};
use wiregrant_core::terms::{RULE_LARGEST_REMAINDER, RULE_WATER_FILLED, Terms, TermsNote};
use wiregrant_core::{Bytes, NodeId, OperatorId, Sats, Timestamp, Units};
use wiregrant_payout::{Batch, BatchLine, split};

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
    /// Statements and batches are signed by this key from here on.
    StatementKey(Box<SigningKey>),
    /// A node's new key, announced by whoever has this one.
    Rekey(Box<(Rekey, SigningKey)>),
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
        floor: 1,
        minimum_payout_sats: sats(1_000),
        rule: RULE_LARGEST_REMAINDER,
        unit_bytes: Bytes::new(1_000_000).unwrap(),
        ..Terms::defaults(Timestamp::from_unix_seconds(1_783_339_200).unwrap(), 4)
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
    let mut statement = Statement {
        log: ORIGIN.parse().unwrap(),
        network: Network::Regtest,
        grant: "spring".parse().unwrap(),
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
        operators: BTreeMap::new(),
        unspent: Sats::ZERO,
    };
    resplit(&mut statement, last);
    statement
}

/// Makes all sums follow from the statement before, from what was forfeited since, and from the nodes.
pub fn follow(statement: &mut Statement, last: Option<&Statement>, forfeited: Sats) {
    statement.allotted = Statement::allotted_before(last, forfeited).unwrap();
    statement.pot = pot(statement.contributed, statement.allotted, statement.epochs_left).unwrap();
    resplit(statement, last);
}

/// Makes the operators' lines follow from the nodes'.
fn resplit(statement: &mut Statement, last: Option<&Statement>) {
    let brought = last.into_iter().flat_map(|last| &last.operators);
    let brought = brought.map(|(operator, line)| (operator.clone(), line.carried)).collect();
    let split = split(statement, &brought).unwrap();
    (statement.operators, statement.unspent) = (split.operators, split.unspent);
}

/// Node 1 of the honest record goes on under the key of this seed, whose former one has that seed.
pub fn rekey(former: u8, seed: u8) -> Rekey {
    Rekey {
        log: ORIGIN.parse().unwrap(),
        node: "node-1".parse().unwrap(),
        operator: "nordlicht".parse().unwrap(),
        former: key("node-1", former).verifier(),
        vkey: key("node-1", seed).verifier(),
        time: Timestamp::from_unix_seconds(1_783_339_200).unwrap(),
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
            Entry::Rekey(Box::new((rekey(4, 6), key("node-1", 4)))),
            Entry::Rekey(Box::new((rekey(6, 7), statement_key.clone()))),
        ];
        Self { log_key, reports_key, statement_key, entries, reports }
    }

    /// The honest record under rule 2 with these terms, its payment left out.
    pub fn bounded(change: impl Fn(&mut Terms), nodes: impl Fn(u64) -> BTreeMap<NodeId, NodeLine>) -> Self {
        let mut story = Self::honest();
        let is_payment = |entry: &Entry| match entry {
            Entry::Batch(_) => true,
            Entry::Line(line) => line.starts_with("paid "),
            _ => false,
        };
        story.entries.retain(|entry| !is_payment(entry));
        let mut terms = Terms { rule: RULE_WATER_FILLED, ..terms() };
        change(&mut terms);
        let Some(Entry::Terms(note)) = story.entries.get_mut(7) else { panic!("the terms") };
        note.terms = terms.clone();
        let mut last: Option<Statement> = None;
        for epoch in [1, 2] {
            let statement = story.statement(epoch);
            statement.terms = terms.clone();
            statement.nodes = nodes(epoch);
            follow(statement, last.as_ref(), Sats::ZERO);
            last = Some(statement.clone());
        }
        story
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
        let mut statement_key = &self.statement_key;
        let mut last: Option<Hash> = None;
        for entry in &self.entries {
            let (line, note) = match entry {
                Entry::Line(line) => (line.clone(), None),
                Entry::StatementKey(next) => {
                    statement_key = next.as_ref();
                    (format!("key statement {}", next.verifier()), None)
                }
                Entry::Terms(terms) => {
                    let signed = Signed::sign(terms.clone(), statement_key).unwrap();
                    (format!("terms spring {} 1", signed.hash()), Some(signed.note().to_owned()))
                }
                Entry::Statement(statement) => {
                    let mut statement = statement.clone();
                    statement.previous = last;
                    let signed = Signed::sign(*statement, statement_key).unwrap();
                    last = Some(signed.hash());
                    let epoch = signed.content().epoch;
                    (format!("statement spring {epoch} {}", signed.hash()), Some(signed.note().to_owned()))
                }
                Entry::Rekey(announced) => {
                    let (rekey, signer) = announced.as_ref();
                    let signed = Signed::sign(rekey.clone(), signer).unwrap();
                    let line = format!("rekey {} {} {}", rekey.node, rekey.vkey, signed.hash());
                    (line, Some(signed.note().to_owned()))
                }
                Entry::Batch(batch) => {
                    let signed = Signed::sign(batch.clone(), statement_key).unwrap();
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
        self.publish_pages(folder, &lines);
    }

    /// Two files for people, and the signed manifest that names them.
    fn publish_pages(&self, folder: &Path, lines: &[String]) {
        let pages = [("index.html", "<p>A page.</p>\n"), ("r/spring/report.csv", "epoch,operator\n")];
        let mut tree = MemoryTree::new();
        lines.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
        let files = pages.iter().map(|(path, text)| {
            write(&folder.join(path), text.as_bytes());
            (path.parse().unwrap(), Hash::of(text.as_bytes()))
        });
        let manifest = Manifest {
            log: self.log_key.name().parse().unwrap(),
            record_size: tree.size(),
            record_root: tree.root_at(tree.size()).unwrap(),
            files: files.collect(),
        };
        let newest = self.entries.iter().rev().find_map(|entry| match entry {
            Entry::StatementKey(key) => Some(key.as_ref()),
            _ => None,
        });
        let signed = Signed::sign(manifest, newest.unwrap_or(&self.statement_key)).unwrap();
        write(&folder.join("manifest"), signed.note().as_bytes());
    }
}

/// A log under another name and the key of `seed`, that says it continues the story's, which had so many entries with this root, and
/// carries the first `count` of them over.
pub fn continuing(story: &Story, count: usize, (size, root): (usize, Hash), seed: u8) -> Story {
    let log_key = key("grants.example/record-2", seed);
    let begins = [format!("continues {ORIGIN} {size} {root}"), format!("key log {}", log_key.verifier())];
    let statement_key = key("grants.example/record-2/statement", 2);
    let own = [format!("key statement {}", statement_key.verifier()), "operator altair -".to_owned()];
    let carried = story.logged().0.into_iter().take(count);
    Story {
        log_key,
        reports_key: key("grants.example/record-2/reports", seed),
        statement_key,
        entries: begins.into_iter().chain(carried).chain(own).map(Entry::Line).collect(),
        reports: if count == 0 { Vec::new() } else { story.reports.clone() },
    }
}

/// Publishes a log that carries a story over, with the notes that are named in it.
pub fn publish_continuing(folder: &Path, next: &Story, story: &Story) {
    next.publish(folder);
    for (name, note) in story.logged().1 {
        write(&folder.join("log/note").join(name), note.as_bytes());
    }
}

/// A witness's key.
pub fn witness(number: u8) -> CosignerKey {
    CosignerKey::new(&format!("witness.example/w{number}"), [number; 32]).unwrap()
}

/// Adds a witness's cosignature to the checkpoints of both logs.
pub fn cosign(public: &Path, witness: &CosignerKey) {
    for log in ["log", "reports"] {
        let path = public.join(log).join("checkpoint");
        let note = Note::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let cosignature = witness.cosign(&note.text, 1).unwrap();
        let note = add_cosignature(&note, &cosignature, &witness.verifier()).unwrap();
        write(&path, note.to_string().as_bytes());
    }
}

/// A log's signed checkpoint.
pub fn checkpoint(key: &SigningKey, entries: &[String]) -> String {
    let (size, root) = (entries.len() as u64, reports_root(entries, entries.len()));
    Checkpoint { origin: key.name().to_owned(), size, root }.sign(key).unwrap()
}

/// Writes one log: key, checkpoint, tiles, entry bundles.
pub fn publish_log(folder: &Path, key: &SigningKey, entries: &[String]) {
    let mut tree = MemoryTree::new();
    entries.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
    let (size, checkpoint) = (tree.size(), checkpoint(key, entries));
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
