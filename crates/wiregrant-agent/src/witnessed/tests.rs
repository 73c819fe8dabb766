//! Sentences about looking: at logs that witnesses cosigned, that go on, that fall behind, and that tell another story.

use transparency_log::{CosignerKey, Note, add_cosignature};
use wiregrant_core::evidence::Evidence;

use super::*;
use crate::enrolment::tests::log_key;
use crate::prove::tests::{Log, node};

/// A node with four acknowledged reports, and the folder that its control plane publishes.
struct Story {
    _node: tempfile::TempDir,
    dir: StateDir,
    public: tempfile::TempDir,
    witness: CosignerKey,
}

impl Story {
    fn new() -> Self {
        let (node, dir) = node();
        let witness = CosignerKey::new("witness.example/w1", [5; 32]).unwrap();
        Self { _node: node, dir, public: tempfile::tempdir().unwrap(), witness }
    }

    /// A log's checkpoint at its whole size under the key of this name, cosigned.
    fn cosigned(&self, name: &str, log: &Log) -> String {
        let size = log.tree.size();
        let checkpoint = Checkpoint { origin: name.to_owned(), size, root: log.tree.root_at(size).unwrap() };
        let note = Note::parse(&checkpoint.sign(&log_key(name)).unwrap()).unwrap();
        let cosignature = self.witness.cosign(&note.text, 1).unwrap();
        add_cosignature(&note, &cosignature, &self.witness.verifier()).unwrap().to_string()
    }

    fn publish(&self, record: &Log, reports: &Log) {
        for (prefix, log) in [("log", record), ("reports", reports)] {
            let folder = self.public.path().join(prefix);
            let _ = fs::remove_dir_all(&folder);
            let name = if prefix == "log" { "grants.example/record" } else { "grants.example/reports" };
            log.publish_below(&folder, &self.cosigned(name, log));
        }
    }

    fn look_at(&self, places: &[&Path]) -> anyhow::Result<()> {
        let urls = places.iter().map(|place| place.to_str().unwrap().to_owned()).collect();
        let enrolment = Enrolment { urls, ..self.dir.joined().unwrap() };
        look(&self.dir, &enrolment, &WitnessPolicy::new(vec![self.witness.verifier()], 1).unwrap())
    }

    fn look(&self) -> anyhow::Result<()> {
        self.look_at(&[self.public.path()])
    }

    fn seen(&self) -> Witnessed {
        self.dir.read_json(FILE).unwrap().unwrap_or_default()
    }

    /// The log is convicted by so many files, before anybody, and what was seen before stays.
    fn convicts(&self, files: &[&str]) {
        let before = self.seen();
        let error = self.look().unwrap_err();
        assert!(error.is::<Contradiction>(), "{error:#}");
        let kept = evidence(&self.dir).unwrap();
        let names: Vec<_> = kept.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, files, "{error:#}");
        for file in &kept {
            fs::read_to_string(file).unwrap().parse::<Evidence>().unwrap().check().unwrap();
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error:#}");
        }
        assert_eq!(self.seen(), before);
    }
}

#[test]
fn what_goes_on_and_is_cosigned_holds_and_is_kept() {
    let story = Story::new();
    for (record, reports) in [(10, 150), (10, 150), (12, 400), (300, 700)] {
        story.publish(&Log::new(record, None), &Log::new(reports, None));
        story.look().unwrap();
        assert_eq!(
            size(story.seen().reports.as_ref(), &[log_key("grants.example/reports").verifier()]),
            reports
        );
    }
    assert_eq!(evidence(&story.dir).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn without_the_demanded_cosignatures_the_next_address_is_asked_and_nothing_is_kept() {
    let story = Story::new();
    let (record, reports) = (Log::new(10, None), Log::new(400, None));
    story.publish(&record, &reports);
    let unwitnessed = tempfile::tempdir().unwrap();
    record.publish_below(&unwitnessed.path().join("log"), &story.cosigned("grants.example/record", &record));
    reports.publish(unwitnessed.path());
    let error = story.look_at(&[unwitnessed.path()]).unwrap_err();
    assert!(error.is::<Unreadable>() && error.to_string().contains("witness.example/w1"), "{error:#}");
    assert_eq!(story.seen(), Witnessed::default());
    story.look_at(&[unwitnessed.path(), story.public.path()]).unwrap();
    assert!(story.seen().record.is_some());
}

#[test]
fn a_copy_that_fell_behind_is_passed_over_and_convicts_nobody() {
    let story = Story::new();
    story.publish(&Log::new(10, None), &Log::new(400, None));
    story.look().unwrap();
    story.publish(&Log::new(9, None), &Log::new(400, None));
    let error = story.look().unwrap_err();
    assert!(error.is::<Unreadable>() && error.to_string().contains("10 were seen"), "{error:#}");
    assert_eq!(evidence(&story.dir).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn another_history_convicts_the_log_although_the_witness_cosigned_it_too() {
    let story = Story::new();
    story.publish(&Log::new(10, None), &Log::new(400, None));
    story.look().unwrap();
    story.publish(&Log::new(12, Some(7)), &Log::new(400, None));
    story.convicts(&["record.proof"]);
    // Rewritten behind all that was acknowledged: only what was seen tells.
    story.publish(&Log::new(12, None), &Log::new(500, Some(380)));
    fs::remove_dir_all(story.dir.file(EVIDENCE)).unwrap();
    story.convicts(&["reports.proof"]);
}

#[test]
fn a_report_that_stands_no_longer_where_it_was_acknowledged_convicts_the_log_at_the_first_look() {
    let story = Story::new();
    story.publish(&Log::new(10, None), &Log::new(600, Some(200)));
    story.convicts(&["history.proof", "report-3.proof"]);
}

#[test]
fn what_the_disk_spoilt_is_seen_anew() {
    let story = Story::new();
    story.publish(&Log::new(10, None), &Log::new(400, None));
    story.look().unwrap();
    let spoilt = Witnessed { record: Some("no checkpoint".to_owned()), ..story.seen() };
    story.dir.write_json(FILE, &spoilt).unwrap();
    story.look().unwrap();
    assert_ne!(story.seen(), spoilt);
}
