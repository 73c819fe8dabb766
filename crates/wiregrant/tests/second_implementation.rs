//! The record read by two programs that share no line: `wiregrant verify`, and one written in Python from the documents alone.

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::record::{self, Entry, Story, key};
use support::{Run, wiregrant};
use tempfile::TempDir;
use wiregrant_core::statement::NodeLine;
use wiregrant_core::{Sats, Units};

/// Debian's own interpreter: its `python3-cryptography` is what the tests install.
const PYTHON: &str = "/usr/bin/python3";

/// Public folders, one for each case.
struct Cases {
    folder: TempDir,
    names: Vec<String>,
}

impl Cases {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a test's own files"), names: Vec::new() }
    }

    fn add(&mut self, name: impl Into<String>, story: &Story) -> PathBuf {
        let public = self.public(self.names.len());
        story.publish(&public);
        self.names.push(name.into());
        public
    }

    fn public(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("case-{number}"))
    }

    /// What the second program says of each case.
    fn second(&self) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_implementation.py");
        let folders = (0..self.names.len()).map(|number| self.public(number));
        let run = Command::new(PYTHON).arg("-B").arg(script).args(folders).output();
        let output = run.unwrap_or_else(|error| panic!("{PYTHON}: {error}; `cargo xtask test` installs it"));
        let said = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<_> = said.lines().map(ToOwned::to_owned).collect();
        let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(lines.len(), self.names.len(), "{trouble}");
        lines
    }

    /// What the first program says of a case, with no memory of others.
    fn first(&self, number: usize) -> Run {
        let state = self.folder.path().join(format!("state-{number}"));
        wiregrant([Path::new("verify"), Path::new("--state-dir"), &state, &self.public(number)])
    }

    /// Asserts that both find something in every case but the first, which holds.
    fn both_find_all_but_the_first(&self) {
        for (number, (name, said)) in self.names.iter().zip(self.second()).enumerate() {
            let run = self.first(number);
            let expected = if number == 0 { (0, "ok: ") } else { (1, "finding: ") };
            assert_eq!(run.code, expected.0, "the first of {name}: {run:?}\nthe second: {said}");
            assert!(said.starts_with(expected.1), "the second of {name}: {said}\nthe first: {run:?}");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a test's own files") {
        let path = entry.expect("a test's own files").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

#[test]
fn both_find_a_changed_byte_in_every_published_file() {
    let (mut cases, story) = (Cases::new(), Story::honest());
    let whole = cases.add("the honest record", &story);
    for path in files(&whole) {
        let path = path.strip_prefix(&whole).expect("a file of it");
        for place in [0, 1, 2] {
            let public = cases.add(format!("{} at {place}/3", path.display()), &story);
            let mut bytes = fs::read(public.join(path)).unwrap();
            let at = (bytes.len() - 1) * place / 3;
            bytes[at] ^= 1;
            fs::write(public.join(path), bytes).unwrap();
        }
    }
    assert!(cases.names.len() > 40);
    cases.both_find_all_but_the_first();
}

#[test]
fn both_follow_a_log_key_under_the_last_checkpoint_of_the_one_before_and_no_other() {
    let (mut cases, mut story) = (Cases::new(), Story::honest());
    let before = story.log_key.clone();
    story.log_key = key(before.name(), 21);
    story.reports_key = key(story.reports_key.name(), 21);
    let names = story.entries.len();
    story.entries.push(Entry::Line(format!("key log {}", story.log_key.verifier())));
    story.entries.push(Entry::Line("operator vega -".into()));
    let lines = story.logged().0;
    let mut other = lines.clone();
    other.swap(13, 14);
    let (new, name) = (story.log_key.clone(), format!("checkpoint.{:08x}", before.verifier().key_id()));
    for (what, lines, size, by) in [
        ("a key handed over", &lines, names + 1, Some(&before)),
        ("nothing left by the key before", &lines, 0, None),
        ("a last checkpoint that does not cover it", &lines, names, Some(&before)),
        ("one by the new key", &lines, names + 1, Some(&new)),
        ("one of another history", &other, names + 1, Some(&before)),
    ] {
        let public = cases.add(what, &story);
        if let Some(by) = by {
            fs::write(public.join("log").join(&name), record::checkpoint(by, &lines[..size])).unwrap();
        }
    }
    cases.both_find_all_but_the_first();
}

#[test]
fn both_read_what_a_log_carries_over_of_the_one_before() {
    let (mut cases, story) = (Cases::new(), Story::honest());
    let lines = story.logged().0;
    let (size, root) = (lines.len(), record::reports_root(&lines, lines.len()));
    let whole = record::continuing(&story, size, (size, root), 1);
    let with = |at: usize, line: String| {
        let mut entries = whole.entries.clone();
        entries[at] = Entry::Line(line);
        Story { entries, ..whole.clone() }
    };
    let stranger = key("grants.example/other", 1).verifier();
    let other_statement_key = key("grants.example/other/statement", 9).verifier();
    for (what, next) in [
        ("the whole of it", whole.clone()),
        ("more than it had", record::continuing(&story, size, (size - 1, root), 1)),
        ("with another root", record::continuing(&story, size, (size, record::reports_root(&lines, 3)), 1)),
        ("under another log key", with(2, format!("key log {stranger}"))),
        ("without an end", with(size + 2, format!("key statement {other_statement_key}"))),
        ("a third log", with(5, format!("continues other.example/record 0 {root}"))),
    ] {
        let public = cases.add(what, &next);
        record::publish_continuing(&public, &next, &story);
    }
    cases.both_find_all_but_the_first();
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
fn chance(seed: &mut u64, most: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % most
}

#[test]
fn both_split_a_pot_under_bounds_to_the_same_satoshi() {
    let (mut cases, mut seed) = (Cases::new(), 2026_u64);
    for case in 0..60 {
        let mut one_of = |most| chance(&mut seed, most);
        let (ceiling, operators, sites) = (one_of(3) * one_of(9_000), 1 + one_of(100), 1 + one_of(100));
        // The two members may each have their units at one of three sites.
        let units: Vec<_> = (0..4)
            .map(|_| (one_of(3), [0, 5, 1_000, 1 << 40][usize::try_from(one_of(4)).unwrap()] + one_of(9)))
            .collect();
        let story = Story::bounded(
            |terms| {
                terms.ceiling_sats_per_unit = Sats::new(ceiling).unwrap();
                (terms.operator_share_percent, terms.site_share_percent) = (operators, sites);
            },
            |epoch| {
                let owners = [("node-1", "nordlicht"), ("node-2", "polaris")];
                let lines = owners.iter().enumerate().map(|(at, (node, operator))| {
                    let (site, units) = units[at + 2 * (usize::try_from(epoch).unwrap() - 1)];
                    let line = NodeLine {
                        operator: operator.parse().unwrap(),
                        location: "de-fra".parse().unwrap(),
                        site,
                        units: Some(Units::new(units).unwrap()),
                    };
                    (node.parse().unwrap(), line)
                });
                lines.collect()
            },
        );
        cases.add(format!("case {case}"), &story);
    }
    for (number, said) in cases.second().into_iter().enumerate() {
        let run = cases.first(number);
        assert!(run.code == 0 && said.starts_with("ok: "), "case {number}: {run:?}\nthe second: {said}");
    }
}

/// The honest record in which polaris' sats of epoch 2 were held and forfeited, and an epoch 3 that counts them.
fn forfeited() -> Story {
    let mut story = Story::honest();
    let second = story.statement(2).clone();
    let polaris = "polaris".parse().expect("an id");
    let mut third = second.clone();
    (third.epoch, third.epochs_left) = (3, 2);
    (third.start, third.end) = third.terms.schedule().bounds(3).expect("it has four");
    record::follow(&mut third, Some(&second), second.operators[&polaris].payable);
    story.entries.extend([
        Entry::Line("finding spring node-2 inflated".into()),
        Entry::Line("hold spring 2 polaris inflated".into()),
        Entry::Line("object spring 2 polaris miscounted".into()),
        Entry::Line("forfeit spring 2 polaris inflated".into()),
        Entry::Statement(Box::new(third)),
        Entry::Line("approve spring 3 2".into()),
    ]);
    story
}

#[test]
fn both_follow_a_statement_key_that_is_replaced_and_neither_takes_a_note_of_the_old_one() {
    let mut cases = Cases::new();
    let mut story = Story::honest();
    story.entries.pop(); // which the first key has signed
    // Between a batch that is frozen and its payment, and before the second statement.
    let frozen = story.entries.iter().position(|entry| matches!(entry, Entry::Batch(_))).unwrap();
    let next = key("grants.example/statement", 12);
    story.entries.insert(frozen + 1, Entry::StatementKey(Box::new(next.clone())));
    cases.add("replaced", &story);
    let mut late = story.clone();
    let announced = late.entries.remove(frozen + 1);
    late.entries.push(announced);
    let public = cases.add("the new key signs before it is announced", &late);
    // As if whoever has the new key had signed the second statement already.
    let (lines, notes) = late.logged();
    let (_, ahead) = story.logged();
    let line = |lines: &[String]| lines.iter().rfind(|line| line.starts_with("statement ")).unwrap().clone();
    assert_ne!(line(&lines), line(&story.logged().0), "the two keys make two notes");
    assert_ne!(notes, ahead);
    std::fs::remove_dir_all(public.join("log")).unwrap();
    let swapped: Vec<String> = lines
        .iter()
        .map(|old| if *old == line(&lines) { line(&story.logged().0) } else { old.clone() })
        .collect();
    record::publish_log(&public.join("log"), &late.log_key, &swapped);
    for (name, note) in notes.into_iter().chain(ahead) {
        let path = public.join("log/note").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, note).unwrap();
    }
    let mut back = story.clone();
    back.entries.push(Entry::StatementKey(Box::new(back.statement_key.clone())));
    cases.add("a key that comes back", &back);
    cases.both_find_all_but_the_first();
}

#[test]
fn both_follow_what_was_decided_about_lines() {
    type Change = fn(&mut Story);
    fn drop_line(story: &mut Story, begins: &str) {
        story.entries.retain(|entry| !matches!(entry, Entry::Line(line) if line.starts_with(begins)));
    }
    fn add(story: &mut Story, line: &str) {
        story.entries.push(Entry::Line(line.to_owned()));
    }
    let changes: [(&str, Change); 9] = [
        ("forfeited without being held", |s| drop_line(s, "hold ")),
        ("forfeited sats that no record forfeited", |s| drop_line(s, "forfeit ")),
        ("forfeited after the statement that counts it", |s| {
            drop_line(s, "forfeit ");
            add(s, "forfeit spring 2 polaris inflated");
        }),
        ("released after it was forfeited", |s| add(s, "release spring 2 polaris")),
        ("held twice", |s| {
            add(s, "hold spring 2 nordlicht");
            add(s, "hold spring 2 nordlicht");
        }),
        ("a hold on an epoch without statement", |s| add(s, "hold spring 9 polaris")),
        ("an objection of nobody", |s| add(s, "object spring 2 aurora miscounted")),
        ("an approval of no statement", |s| add(s, "approve spring 4 2")),
        ("a held line that is paid", |s| {
            let paid = s
                .entries
                .iter()
                .position(|e| matches!(e, Entry::Line(line) if line.starts_with("paid ")))
                .unwrap();
            s.entries.insert(paid, Entry::Line("hold spring 1 nordlicht".into()));
        }),
    ];
    let mut cases = Cases::new();
    cases.add("the record with a forfeited line", &forfeited());
    for (name, change) in changes {
        let mut story = forfeited();
        change(&mut story);
        cases.add(name, &story);
    }
    cases.both_find_all_but_the_first();
}

#[test]
fn a_node_that_left_may_have_a_line_once_more_and_one_that_never_came_may_not() {
    let left = |line: &str| {
        let mut story = Story::honest();
        let place = story.entries.iter().position(|entry| matches!(entry, Entry::Batch(_))).unwrap();
        story.entries.insert(place, Entry::Line(line.to_owned()));
        story
    };
    let mut cases = Cases::new();
    cases.add("a node that left after epoch 1", &left("leave spring node-2 2"));
    let mut never = left("leave spring node-2 2");
    let admitted = never
        .entries
        .iter_mut()
        .find(|e| matches!(e, Entry::Line(l) if l.starts_with("admit spring node-2")));
    *admitted.unwrap() = Entry::Line("admit spring node-2 2".into());
    cases.add("a node that never took part", &never);
    cases.both_find_all_but_the_first();
}

#[test]
fn both_find_what_was_signed_with_the_right_keys_and_does_not_follow() {
    type Change = fn(&mut Story);
    fn operator<'a>(story: &'a mut Story, name: &str) -> &'a mut wiregrant_core::statement::OperatorLine {
        story.statement(2).operators.get_mut(&name.parse().unwrap()).unwrap()
    }
    fn more(sats: &mut Sats) {
        *sats = Sats::new(sats.get() + 1).unwrap();
    }
    fn less(sats: &mut Sats) {
        *sats = Sats::new(sats.get() - 1).unwrap();
    }
    fn add(story: &mut Story, line: &str) {
        story.entries.push(Entry::Line(line.to_owned()));
    }
    let changes: [(&str, Change); 20] = [
        ("a satoshi more", |s| more(&mut operator(s, "nordlicht").payable)),
        ("a satoshi moved", |s| {
            more(&mut operator(s, "nordlicht").earned);
            less(&mut operator(s, "polaris").earned);
            more(&mut operator(s, "nordlicht").payable);
            less(&mut operator(s, "polaris").payable);
        }),
        ("a satoshi carried", |s| {
            less(&mut operator(s, "polaris").payable);
            more(&mut operator(s, "polaris").carried);
        }),
        ("unspent", |s| more(&mut s.statement(2).unspent)),
        ("pot", |s| less(&mut s.statement(2).pot)),
        ("allotted", |s| more(&mut s.statement(2).allotted)),
        ("contributed", |s| more(&mut s.statement(2).contributed)),
        ("epochs left", |s| s.statement(2).epochs_left += 1),
        ("no line", |s| s.statement(2).operators.retain(|operator, _| operator.as_str() != "polaris")),
        ("other terms", |s| s.statement(1).terms.floor = 2),
        ("other reports", |s| s.statement(2).reports_size = 289),
        ("another log", |s| s.statement(1).log = "other.example/record".parse().unwrap()),
        ("no first statement", |s| drop(s.entries.remove(12))),
        ("another statement key", |s| {
            s.entries[1] = Entry::Line(format!("key statement {}", key("other", 9).verifier()));
        }),
        ("a node that nobody enrolled", |s| drop(s.entries.remove(4))),
        ("a batch paid twice", |s| add(s, &format!("paid spring-1 {}", "0f".repeat(32)))),
        ("a gap in destinations", |s| {
            add(s, "destination nordlicht 3 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        }),
        ("a member admitted again", |s| add(s, "admit spring node-1 3")),
        ("an entry that nobody knows", |s| add(s, "greet spring")),
        ("more paid than payable", |s| {
            let Entry::Batch(batch) = &mut s.entries[15] else { panic!("the batch") };
            let more = Sats::new(batch.total.get() + 1).unwrap();
            (batch.lines[0].sats, batch.total) = (more, more);
        }),
    ];
    let mut cases = Cases::new();
    cases.add("the honest record", &Story::honest());
    for (name, change) in changes {
        let mut story = Story::honest();
        change(&mut story);
        cases.add(name, &story);
    }
    cases.both_find_all_but_the_first();
}
