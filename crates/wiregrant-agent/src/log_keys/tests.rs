//! Sentences about following: under the signature of the key before, over as many changes as there were, and not otherwise.

use std::fs;
use std::path::Path;

use transparency_log::{
    Checkpoint, HashSource as _, MemoryTree, SigningKey, TILE_WIDTH, bundle_path, encode_bundle, encode_tile,
    leaf_hash, tiles_for,
};

use super::*;
use crate::enrolment::tests::{enrolled, joined, log_key};

const ORIGIN: &str = "grants.example/record";
const REPORTS: &str = "grants.example/reports";

fn key(seed: u8) -> SigningKey {
    SigningKey::new(ORIGIN, [seed; 32]).unwrap()
}

/// A record, and the last checkpoints of its former keys.
#[derive(Default)]
struct Record {
    entries: Vec<String>,
    former: Vec<(SigningKey, u64)>,
}

impl Record {
    /// One that begins under the key that nodes have pinned.
    fn begun() -> Self {
        let mut record = Self::default();
        record.entries.push(format!("key log {}", log_key(ORIGIN).verifier()));
        record
    }

    fn grow(&mut self, more: usize) {
        let from = self.entries.len();
        self.entries.extend((from..from + more).map(|n| format!("operator o-{n} -")));
    }

    fn change_key(&mut self, before: &SigningKey, next: &SigningKey) {
        self.entries.push(format!("key log {}", next.verifier()));
        self.former.push((before.clone(), self.entries.len() as u64));
    }

    fn tree(&self) -> MemoryTree {
        let mut tree = MemoryTree::new();
        self.entries.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
        tree
    }

    fn checkpoint(&self, size: u64, by: &SigningKey) -> String {
        let root = self.tree().root_at(size).unwrap();
        Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(by).unwrap()
    }

    fn publish(&self, folder: &Path, by: &SigningKey) {
        let tree = self.tree();
        let _ = fs::remove_dir_all(folder.join(RECORD));
        let write = |path: String, bytes: &[u8]| {
            let path = folder.join(RECORD).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for tile in tiles_for(tree.size()) {
            write(tile.path(), &encode_tile(&tree.tile(tile).unwrap()));
            if tile.level == 0 {
                let from = usize::try_from(tile.index).unwrap() * usize::from(TILE_WIDTH);
                let entries = &self.entries[from..from + usize::from(tile.width)];
                let entries: Vec<Vec<u8>> = entries.iter().map(|entry| entry.clone().into_bytes()).collect();
                write(bundle_path(tile.index, tile.width), &encode_bundle(&entries).unwrap());
            }
        }
        write("checkpoint".to_owned(), self.checkpoint(tree.size(), by).as_bytes());
        for (key, size) in &self.former {
            write(last(key), self.checkpoint(*size, key).as_bytes());
        }
    }
}

/// The name of a key's last checkpoint.
fn last(key: &SigningKey) -> String {
    format!("checkpoint.{:08x}", key.verifier().key_id())
}

/// A node that has joined under the first key, and the folder that its control plane publishes.
struct Story {
    node: tempfile::TempDir,
    public: tempfile::TempDir,
}

impl Story {
    fn new() -> Self {
        let story = Self { node: tempfile::tempdir().unwrap(), public: tempfile::tempdir().unwrap() };
        story.dir().write_enrolment(&enrolled(joined()).unwrap()).unwrap();
        story
    }

    fn dir(&self) -> StateDir {
        StateDir::new(self.node.path())
    }

    fn kept(&self) -> LogKeys {
        LogKeys::read(&self.dir(), &self.dir().joined().unwrap()).unwrap()
    }

    /// Follows as the running agent does.
    fn follow(&self) -> anyhow::Result<bool> {
        let urls = vec![self.public.path().to_str().unwrap().to_owned()];
        let enrolment = Enrolment { urls, ..self.dir().joined().unwrap() };
        follow(&self.dir(), &enrolment, &mut self.kept())
    }

    fn newest_is(&self, key: &SigningKey) {
        let kept = self.kept();
        assert_eq!(*kept.signs_record(), key.verifier());
        assert_eq!(kept.signs_reports().public_key(), key.verifier().public_key());
        assert_eq!(kept.signs_reports().name(), REPORTS);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.public.path().join(RECORD).join(name), text).unwrap();
    }
}

#[test]
fn a_node_that_was_away_over_two_changes_follows_both_and_keeps_what_led_it() {
    let (story, mut record) = (Story::new(), Record::begun());
    let (first, second, third) = (log_key(ORIGIN), key(21), key(22));
    record.grow(5);
    record.publish(story.public.path(), &first);
    assert!(!story.follow().unwrap(), "the pinned key signs");
    story.newest_is(&first);
    record.change_key(&first, &second);
    record.grow(300); // the tile that has the entry is full by now, and lies there in no other width
    record.change_key(&second, &third);
    record.grow(20);
    record.publish(story.public.path(), &third);
    assert!(story.follow().unwrap());
    story.newest_is(&third);
    let known: Vec<Verifier> = [first, second, third].iter().map(SigningKey::verifier).collect();
    assert_eq!(story.kept().record(), known);
    assert!(!story.follow().unwrap());
    fs::remove_dir_all(story.public.path().join(RECORD)).unwrap();
    assert_eq!(story.kept().record(), known, "what led there is kept, and nobody is asked for it again");
}

#[test]
fn what_the_key_before_has_not_signed_is_followed_by_nobody_and_nothing_is_lost() {
    let (story, mut record) = (Story::new(), Record::begun());
    let (first, second, stranger) = (log_key(ORIGIN), key(21), key(30));
    record.grow(5);
    record.change_key(&first, &second);
    record.grow(3);
    record.publish(story.public.path(), &second);
    let size = record.former[0].1;
    let other = {
        let mut other = Record { entries: record.entries.clone(), ..Record::default() };
        other.entries[2] = "operator another -".to_owned();
        other
    };
    for (what, forged) in [
        ("by a stranger", record.checkpoint(size, &stranger)),
        ("by the new key", record.checkpoint(size, &second)),
        ("before the entry", record.checkpoint(size - 1, &first)),
        ("beyond the entry", record.checkpoint(size + 1, &first)),
        ("of another history", other.checkpoint(size, &first)),
        ("of nothing", record.checkpoint(0, &first)),
        ("no checkpoint", "no checkpoint".to_owned()),
    ] {
        story.write(&last(&first), &forged);
        let error = story.follow().unwrap_err();
        assert!(error.is::<Unreadable>(), "{what}: {error:#}");
        assert!(error.to_string().contains(&last(&first)), "{what}: {error:#}");
        story.newest_is(&first);
    }
    story.write(&last(&first), &record.checkpoint(size, &first));
    assert!(story.follow().unwrap());
    story.newest_is(&second);
}

#[test]
fn nobody_goes_back_to_a_former_key_or_over_to_another_logs() {
    let (first, second) = (log_key(ORIGIN), key(21));
    let elsewhere = SigningKey::new("other.example/record", [9; 32]).unwrap();
    for next in [&first, &elsewhere] {
        let (story, mut record) = (Story::new(), Record::begun());
        record.change_key(&first, &second);
        record.change_key(&second, next);
        record.publish(story.public.path(), &second);
        let error = story.follow().unwrap_err();
        assert!(error.to_string().contains("not a `key log` line with a new key of this log"), "{error:#}");
        story.newest_is(&second);
    }
}

#[test]
fn a_kept_line_that_was_changed_on_the_disk_is_believed_by_nobody() {
    let (story, mut record) = (Story::new(), Record::begun());
    let (first, second) = (log_key(ORIGIN), key(21));
    record.change_key(&first, &second);
    record.publish(story.public.path(), &second);
    assert!(story.follow().unwrap());
    let path = story.dir().file(FILE);
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace(&second.verifier().to_string(), &key(30).verifier().to_string())).unwrap();
    let error = LogKeys::read(&story.dir(), &story.dir().joined().unwrap()).unwrap_err();
    assert!(format!("{error:#}").contains(FILE), "{error:#}");
    fs::remove_file(&path).unwrap();
    assert!(story.follow().unwrap());
    story.newest_is(&second);
}
