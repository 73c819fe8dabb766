//! A verifier that holds an older checkpoint, or demands a witness's cosignature, finds whatever is changed in what is public,
//! and names it.
//!
//! 500 changes here, 10,000 with `cargo xtask soak mutations`. Each is drawn from a seed, which a failure names.

#[cfg(test)]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use support::record::{Story, cosign, publish_log, witness};
use support::{Run, wiregrant};
use tempfile::TempDir;
use transparency_log::{CosignerKey, TILE_WIDTH, decode_bundle, encode_bundle};
use wiregrant_core::Sats;

const CHANGES: u64 = 500;
const CHANGES_OF_A_SOAK: u64 = 10_000;
/// The most changes that are told of when they are not found.
const MAX_TOLD: usize = 20;

/// Where the record's second statement stands.
const SECOND_STATEMENT: usize = 17;

/// How the signature line of a key begins that no verifier knows.
const STRANGERS_LINE: &str = "\u{2014} witness.stranger";

/// A small generator (splitmix64, Steele, Lea and Flood 2014), so that each number of a change is drawn alike in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).expect("a test's own files") {
        let path = entry.expect("a test's own files").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).expect("below it"));
        fs::create_dir_all(place.parent().expect("a folder")).expect("a test's own files");
        fs::copy(&file, &place).expect("a test's own files");
    }
}

/// What a verifier has to hold the record against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Both checkpoints of the whole honest record.
    All,
    /// Checkpoints from before the record's second statement.
    Less,
    /// Nothing but a witness's key.
    Witness,
}

/// The honest record, what a verifier keeps that saw it whole, and what one keeps that saw it before its second statement.
struct World {
    folder: TempDir,
    story: Story,
    files: Vec<PathBuf>,
    witness: CosignerKey,
}

/// What was changed, and what a finding must speak of.
struct Change {
    what: String,
    names: Vec<String>,
    by: Holds,
}

impl World {
    fn new() -> Self {
        // In memory where there is such a place: thousands of changes write thousands of files, and a verifier syncs its own.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let (folder, story) = (folder.expect("a test's own files"), Story::honest());
        let witness = witness(1);
        let honest = folder.path().join("honest");
        story.publish(&honest);
        cosign(&honest, &witness);
        for log in ["log", "reports"] {
            let path = honest.join(log).join("checkpoint");
            let note = fs::read_to_string(&path).expect("a test's own files");
            fs::write(&path, format!("{note}{STRANGERS_LINE} AAAAAQI=\n")).expect("a test's own files");
        }
        // The partial tiles and bundles of an earlier size lie beside the newest, as a control plane leaves them.
        let mut younger = story.clone();
        younger.entries.truncate(SECOND_STATEMENT);
        younger.reports.truncate(290);
        younger.publish(&folder.path().join("younger"));
        for file in self::files(&folder.path().join("younger")) {
            let place = honest.join(file.strip_prefix(folder.path().join("younger")).expect("below it"));
            if !place.exists() {
                fs::create_dir_all(place.parent().expect("a folder")).expect("a test's own files");
                fs::copy(&file, &place).expect("a test's own files");
            }
        }
        let files = files(&honest);
        let world = Self { folder, story, files, witness };
        world.sees(&honest, Holds::All);
        let mut before = world.story.clone();
        before.entries.truncate(SECOND_STATEMENT);
        before.publish(&world.path("before"));
        world.sees(&world.path("before"), Holds::Less);
        world.sees(&honest, Holds::Witness);
        let nothing = world.state(Holds::Witness);
        fs::remove_dir_all(&nothing).and_then(|()| fs::create_dir(nothing)).expect("a test's own files");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a verifier keeps that holds this; nothing where it holds but a key.
    fn state(&self, by: Holds) -> PathBuf {
        self.path(match by {
            Holds::All => "saw-all",
            Holds::Less => "saw-less",
            Holds::Witness => "saw-nothing",
        })
    }

    fn verify(&self, public: &Path, state: &Path, by: Holds) -> Run {
        let witness = self.witness.verifier().to_string();
        let mut arguments: Vec<&OsStr> = vec!["verify".as_ref(), "--json".as_ref(), "--state-dir".as_ref()];
        arguments.extend([state.as_os_str(), public.as_os_str()]);
        if by == Holds::Witness {
            arguments.extend([OsStr::new("--witness"), witness.as_ref()]);
        }
        wiregrant(arguments)
    }

    fn sees(&self, public: &Path, by: Holds) {
        let run = self.verify(public, &self.state(by), by);
        assert_eq!(run.code, 0, "{run:?}");
    }

    /// Makes a change in `public`, which is the honest record.
    fn change(&self, dice: &mut Dice, public: &Path) -> Change {
        match dice.below(10) {
            0..=3 => self.change_a_byte(dice, public),
            4 | 5 => self.change_a_bundle(dice, public),
            6 | 7 => self.rewrite(dice, public),
            _ => self.move_sats(dice, public),
        }
    }

    /// One byte of any published file, except in the signature line of a key that nobody knows.
    fn change_a_byte(&self, dice: &mut Dice, public: &Path) -> Change {
        let file = &self.files[dice.below(self.files.len())];
        let relative = file.strip_prefix(self.path("honest")).expect("below it").to_owned();
        let mut bytes = fs::read(file).expect("a test's own files");
        let by = if dice.below(3) == 0 { Holds::Witness } else { Holds::All };
        // Whoever demands no witness knows no witness's key.
        let unknown = if by == Holds::Witness { STRANGERS_LINE } else { "\u{2014} witness." };
        let known = if relative.ends_with("checkpoint") {
            String::from_utf8_lossy(&bytes).find(unknown).expect("a line of a key that is not known")
        } else {
            bytes.len()
        };
        let at = dice.below(known);
        let bits = u8::try_from(1 + dice.below(255)).expect("below 256");
        bytes[at] ^= bits;
        fs::write(public.join(&relative), bytes).expect("a test's own files");
        let path = format!("/{}", relative.display());
        Change { what: format!("{path} byte {at} xor {bits}"), names: vec![path], by }
    }

    /// An entry of a published bundle dropped, swapped with its neighbour or doubled.
    fn change_a_bundle(&self, dice: &mut Dice, public: &Path) -> Change {
        let bundles: Vec<_> =
            self.files.iter().filter(|path| path.to_string_lossy().contains("/entries/")).collect();
        let file = bundles[dice.below(bundles.len())];
        let relative = file.strip_prefix(self.path("honest")).expect("below it").to_owned();
        let mut entries = decode_bundle(&fs::read(file).expect("a test's own files")).expect("a bundle");
        let kind = shuffle(dice, &mut entries, usize::from(TILE_WIDTH));
        let bytes = encode_bundle(&entries).expect("a bundle");
        fs::write(public.join(&relative), bytes).expect("a test's own files");
        let path = format!("/{}", relative.display());
        let by = if dice.below(3) == 0 { Holds::Witness } else { Holds::All };
        Change { what: format!("{path}: {kind}"), names: vec![path], by }
    }

    /// History rewritten, and all of it signed again with the right keys.
    fn rewrite(&self, dice: &mut Dice, public: &Path) -> Change {
        let (mut record, _) = self.story.logged();
        let mut reports = self.story.reports.clone();
        let (log, entries, key) = match dice.below(2) {
            0 => ("log", &mut record, &self.story.log_key),
            _ => ("reports", &mut reports, &self.story.reports_key),
        };
        let before = entries.clone();
        let mut kind = match dice.below(4) {
            0 => {
                let at = dice.below(entries.len());
                let other = wiregrant_core::record::report_entry(transparency_log::Hash::of(&[
                    7,
                    u8::try_from(dice.below(200)).expect("below 256"),
                ]));
                entries[at] =
                    if log == "log" { format!("operator other-{} -", dice.below(1_000)) } else { other };
                format!("entry {at} replaced")
            }
            _ => shuffle(dice, entries, usize::MAX),
        };
        // What only adds to the log rewrites nothing.
        while entries.starts_with(&before) {
            kind = shuffle(dice, entries, usize::MAX);
        }
        publish_log(&public.join(log), key, entries);
        let by = if dice.below(3) == 0 { Holds::Witness } else { Holds::All };
        let names = Self::names_history(log, by);
        Change { what: format!("/{log} rewritten and signed again: {kind}"), names, by }
    }

    /// What a finding speaks of when history was rewritten.
    fn names_history(log: &str, by: Holds) -> Vec<String> {
        let why = if by == Holds::Witness { "witness.example/w1" } else { "both are kept" };
        vec![format!("/{log}/checkpoint"), why.to_owned()]
    }

    /// A satoshi moved in a statement, which is signed again, as is the log. Who saw that statement before finds that history
    /// was rewritten; who did not finds the sum that does not hold.
    fn move_sats(&self, dice: &mut Dice, public: &Path) -> Change {
        let mut story = self.story.clone();
        let statement = story.statement(2);
        let up = dice.below(2) == 0;
        let other = |sats: &mut Sats| {
            let moved = if up { sats.get() + 1 } else { sats.get().saturating_sub(1) };
            // Where there is nothing to take, one is given.
            *sats = Sats::new(if moved == sats.get() { 1 } else { moved }).expect("few sats");
        };
        let names: Vec<_> = statement.operators.keys().cloned().collect();
        let operator = &names[dice.below(names.len())];
        let field = dice.below(7);
        let line = statement.operators.get_mut(operator).expect("its line");
        match field {
            0 => other(&mut line.earned),
            1 => other(&mut line.brought),
            2 => other(&mut line.payable),
            3 => other(&mut line.carried),
            4 => other(&mut statement.pot),
            5 => other(&mut statement.unspent),
            _ => other(&mut statement.allotted),
        }
        story.publish(public);
        let by = [Holds::All, Holds::Less, Holds::Less, Holds::Witness][dice.below(4)];
        let names = match by {
            Holds::All | Holds::Witness => Self::names_history("log", by),
            Holds::Less => vec![format!("entry {SECOND_STATEMENT} `statement spring 2")],
        };
        Change { what: format!("field {field} of {operator}, up: {up}"), names, by }
    }
}

/// Drops an entry, swaps it with its neighbour or doubles it; so that something is other than before.
fn shuffle<E: Clone + PartialEq>(dice: &mut Dice, entries: &mut Vec<E>, most: usize) -> String {
    let before = entries.clone();
    loop {
        let (at, to) = (dice.below(entries.len()), dice.below(entries.len()));
        let kind = match dice.below(3) {
            0 => {
                entries.remove(at);
                format!("entry {at} dropped")
            }
            1 if at + 1 < entries.len() => {
                entries.swap(at, at + 1);
                format!("entry {at} swapped")
            }
            2 if entries.len() < most => {
                entries.insert(to, entries[at].clone());
                format!("entry {at} doubled at {to}")
            }
            _ => continue,
        };
        if *entries != before {
            return kind;
        }
    }
}

#[test]
fn every_change_is_found_by_name() {
    let soak = std::env::var_os("WIREGRANT_SOAK").is_some();
    let changes = if soak { CHANGES_OF_A_SOAK } else { CHANGES };
    let world = World::new();
    let (public, state) = (world.path("public"), world.path("state"));
    let mut missed = Vec::new();
    for seed in 0..changes {
        let mut dice = Dice(seed);
        copy(&world.path("honest"), &public);
        let change = world.change(&mut dice, &public);
        copy(&world.state(change.by), &state);
        let run = world.verify(&public, &state, change.by);
        let findings = if run.code == 1 { run.json()["findings"].to_string() } else { format!("{run:?}") };
        if run.code != 1 || !change.names.iter().all(|name| findings.contains(name.as_str())) {
            missed.push(format!("change {seed}: {}: none names {:?}: {findings}", change.what, change.names));
        }
        if soak && seed % 1_000 == 999 {
            eprintln!("{} of {} changes found", seed + 1 - missed.len() as u64, seed + 1);
        }
    }
    let told = missed.len().min(MAX_TOLD);
    assert!(missed.is_empty(), "{} of {changes} are not found:\n{}", missed.len(), missed[..told].join("\n"));
    world.sees(&world.path("honest"), Holds::All);
}
