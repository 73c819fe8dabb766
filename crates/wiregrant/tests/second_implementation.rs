//! The record read by two programs that share no line: `wiregrant verify`, and one written in Python from the documents alone.

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::record::{Entry, Story, key};
use support::{Run, wiregrant};
use tempfile::TempDir;
use wiregrant_core::Sats;

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
