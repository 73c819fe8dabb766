//! Sentences about proving: against logs that are whole, that are behind, and that lie.

use transparency_log::{
    CosignerKey, MemoryTree, Note, SigningKey, TILE_WIDTH, add_cosignature, bundle_path, encode_bundle,
    encode_tile, tiles_for,
};
use transparency_log::{HashSource as _, TileId};
use wiregrant_core::note::Salt;
use wiregrant_core::usage_report::{Backend, PeersBucket, UsageTable};

use super::*;
use crate::enrolment::tests::{enrolled, joined, log_key};

const ORIGIN: &str = "grants.example/reports";

fn key() -> SigningKey {
    log_key(ORIGIN)
}

fn report(sequence: u64) -> Signed<UsageReport> {
    let time = "2026-07-06T12:00:00Z".parse().unwrap();
    let content = UsageReport {
        log: "grants.example/record".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        operator: "nordlicht".parse().unwrap(),
        sequence,
        previous: None,
        salt: Salt([7; 16]),
        start: time,
        end: time,
        epoch: None,
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers: PeersBucket::Zero,
        tree: None,
        usage: UsageTable::new(),
    };
    Signed::sign(content, &SigningKey::new("node-1", [1; 32]).unwrap()).unwrap()
}

/// A log of `size` entries: the node's own reports at each hundredth index, strangers' elsewhere.
pub struct Log {
    entries: Vec<String>,
    pub tree: MemoryTree,
}

impl Log {
    pub fn new(size: u64, replaced: Option<u64>) -> Self {
        let entry = |index: u64| {
            if replaced == Some(index) {
                return report_entry(transparency_log::Hash::of(b"another"));
            }
            if index.is_multiple_of(100) {
                report_entry(report(index / 100 + 1).hash())
            } else {
                report_entry(transparency_log::Hash::of(&index.to_be_bytes()))
            }
        };
        let entries: Vec<String> = (0..size).map(entry).collect();
        let mut tree = MemoryTree::new();
        entries.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
        Self { entries, tree }
    }

    pub fn checkpoint(&self, size: u64) -> String {
        let root = self.tree.root_at(size).unwrap();
        Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(&key()).unwrap()
    }

    /// The proof with which report `sequence` was acknowledged, in a batch that ended a little later.
    fn acknowledgement(&self, sequence: u64) -> Kept {
        let (index, size) = ((sequence - 1) * 100, (sequence - 1) * 100 + 7);
        let hashes = self.tree.inclusion_proof(index, size).unwrap();
        let proof = LogProof { index, hashes, checkpoint: self.checkpoint(size), extra: None };
        Kept { sequence, note: report(sequence).note().to_owned(), proof: proof.to_string() }
    }

    pub fn publish(&self, folder: &Path) {
        self.publish_below(&folder.join(REPORTS), &self.checkpoint(self.tree.size()));
    }

    pub fn publish_below(&self, folder: &Path, checkpoint: &str) {
        let write = |path: String, bytes: &[u8]| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for tile in tiles_for(self.tree.size()) {
            write(tile.path(), &encode_tile(&self.tree.tile(tile).unwrap()));
            if tile.level == 0 {
                let from = usize::try_from(tile.index).unwrap() * usize::from(TILE_WIDTH);
                let entries: Vec<Vec<u8>> = self.entries[from..from + usize::from(tile.width)]
                    .iter()
                    .map(|entry| entry.clone().into_bytes())
                    .collect();
                write(bundle_path(tile.index, tile.width), &encode_bundle(&entries).unwrap());
            }
        }
        write("checkpoint".to_owned(), checkpoint.as_bytes());
    }
}

/// A node with four acknowledged reports, at 0, 100, 200 and 300 of the log.
pub fn node() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    dir.write_enrolment(&enrolled(joined()).unwrap()).unwrap();
    let mut acknowledgements = Acknowledgements::open(&dir.acknowledgements()).unwrap();
    let log = Log::new(400, None);
    (1..=4).for_each(|sequence| acknowledgements.keep(&log.acknowledgement(sequence)).unwrap());
    (folder, dir)
}

fn proved(dir: &StateDir, log: &Log) -> (anyhow::Result<Proved>, tempfile::TempDir) {
    let public = tempfile::tempdir().unwrap();
    log.publish(public.path());
    let evidence = public.path().join("evidence");
    (prove(dir, public.path().to_str().unwrap(), None, &evidence), public)
}

#[test]
fn every_acknowledged_report_is_found_in_any_later_state_of_the_log() {
    let (_folder, dir) = node();
    for size in [307, 400, 512, 700] {
        let (proved, _public) = proved(&dir, &Log::new(size, None));
        let proved = proved.unwrap();
        assert!(proved.holds() && proved.proven == 4 && proved.log_size == size, "{proved:?}");
    }
}

#[test]
fn a_report_that_was_replaced_convicts_the_log_before_anybody() {
    let (_folder, dir) = node();
    let (proved, _public) = proved(&dir, &Log::new(600, Some(200)));
    let proved = proved.unwrap();
    assert!(!proved.holds() && proved.proven == 3, "{proved:?}");
    assert!(proved.missing[0].contains("report 3") && proved.text().contains("MISSING"), "{proved:?}");
    assert_eq!(proved.evidence.len(), 2, "the entry, and the history");
    for file in &proved.evidence {
        let evidence: Evidence = fs::read_to_string(file).unwrap().parse().unwrap();
        assert_eq!(evidence.check().unwrap().against, format!("log {ORIGIN}"));
    }
}

#[test]
fn a_rewritten_history_convicts_the_log_although_all_reports_of_the_node_are_left_in_it() {
    let (_folder, dir) = node();
    let (proved, _public) = proved(&dir, &Log::new(600, Some(250)));
    let proved = proved.unwrap();
    assert_eq!((proved.proven, proved.missing.len(), proved.evidence.len()), (4, 1, 1), "{proved:?}");
}

#[test]
fn a_log_that_is_behind_is_told_apart_from_one_that_lies() {
    let (_folder, dir) = node();
    let (proved, _public) = proved(&dir, &Log::new(150, None));
    let proved = proved.unwrap();
    assert_eq!((proved.proven, &proved.beyond[..], proved.missing.len()), (2, &[3, 4][..], 0));
    assert!(proved.holds() && proved.text().contains("lie beyond it"), "{}", proved.text());
}

#[test]
fn what_is_not_the_pinned_log_or_cannot_be_read_proves_nothing() {
    let (_folder, dir) = node();
    let log = Log::new(400, None);
    let public = tempfile::tempdir().unwrap();
    let evidence = public.path().join("evidence");
    let refused = || {
        let error = prove(&dir, public.path().to_str().unwrap(), None, &evidence).unwrap_err();
        assert!(error.is::<Unreadable>(), "{error:#}");
        error.to_string()
    };
    assert!(refused().contains("checkpoint"));
    log.publish(public.path());
    let tile = public.path().join(REPORTS).join(TileId { level: 0, index: 1, width: 144 }.path());
    let whole = fs::read(&tile).unwrap();
    let mut changed = whole.clone();
    changed[44 * 32] ^= 1; // the leaf of report 4
    fs::write(&tile, changed).unwrap();
    assert!(refused().contains("not those of the checkpoint"));
    fs::remove_file(&tile).unwrap();
    assert!(refused().contains("no such file"));
    fs::write(&tile, whole).unwrap();
    let stranger = SigningKey::new(ORIGIN, [9; 32]).unwrap();
    let forged = Checkpoint { origin: ORIGIN.to_owned(), size: 400, root: log.tree.root_at(400).unwrap() };
    fs::write(public.path().join(REPORTS).join("checkpoint"), forged.sign(&stranger).unwrap()).unwrap();
    assert!(refused().contains("checkpoint"));
}

#[test]
fn a_log_without_the_demanded_witnesses_proves_nothing() {
    let (_folder, dir) = node();
    let public = tempfile::tempdir().unwrap();
    let log = Log::new(400, None);
    log.publish(public.path());
    let place = public.path().to_str().unwrap();
    let witness = CosignerKey::new("witness.example/w1", [5; 32]).unwrap();
    let policy = WitnessPolicy::new(vec![witness.verifier()], 1).unwrap();
    let error = prove(&dir, place, Some(&policy), public.path()).unwrap_err();
    assert!(error.to_string().contains("witness.example/w1"), "{error:#}");
    let note = Note::parse(&log.checkpoint(400)).unwrap();
    let cosigned =
        add_cosignature(&note, &witness.cosign(&note.text, 1).unwrap(), &witness.verifier()).unwrap();
    fs::write(public.path().join(REPORTS).join("checkpoint"), cosigned.to_string()).unwrap();
    assert_eq!(prove(&dir, place, Some(&policy), public.path()).unwrap().proven, 4);
}

#[test]
fn tiles_of_the_old_tree_beside_a_checkpoint_of_another_prove_nothing() {
    let (_folder, dir) = node();
    let public = tempfile::tempdir().unwrap();
    let evidence = public.path().join("evidence");
    let (honest, rewritten) = (Log::new(400, None), Log::new(400, Some(399)));
    honest.publish_below(&public.path().join(REPORTS), &rewritten.checkpoint(400));
    let error = prove(&dir, public.path().to_str().unwrap(), None, &evidence).unwrap_err();
    assert!(error.is::<Unreadable>(), "{error:#}");
}

#[test]
fn two_trees_of_one_size_convict_without_any_tile() {
    let (_folder, dir) = node();
    let (place, policy) = (tempfile::tempdir().unwrap(), None);
    let (honest, rewritten) = (Log::new(307, None), Log::new(307, Some(306)));
    rewritten.publish(place.path());
    let web = Place::new(place.path().to_str().unwrap(), None);
    let keys = LogKeys::read(&dir, &dir.joined().unwrap()).unwrap();
    let shown = Shown::at(&web, REPORTS, keys.reports(), policy).unwrap();
    std::fs::remove_dir_all(place.path().join(REPORTS).join("tile")).unwrap();
    let other = shown.another_history([honest.checkpoint(307)].into_iter()).unwrap().unwrap();
    assert!(other.evidence.unwrap().check().unwrap().against.ends_with(ORIGIN));
    assert!(shown.another_history([rewritten.checkpoint(307)].into_iter()).unwrap().is_none());
}
