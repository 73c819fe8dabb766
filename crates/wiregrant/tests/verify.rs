//! `wiregrant verify` against records made with real keys: what holds is said to hold, and nothing else is.

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::record::{Entry, Story, key, publish_log, reports_root};
use support::server::{Answer, Server};
use support::{Run, wiregrant};
use tempfile::TempDir;
use wiregrant_core::Sats;

/// A public folder, and a state folder of its own.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a test's own files") }
    }

    fn of(story: &Story) -> Self {
        let world = Self::new();
        story.publish(&world.public());
        world
    }

    fn public(&self) -> PathBuf {
        self.folder.path().join("public")
    }

    fn verify_at(&self, place: &str) -> Run {
        let state = self.folder.path().join("state");
        wiregrant(["verify", "--json", "--state-dir", state.to_str().expect("a test's own files"), place])
    }

    fn verify(&self) -> Run {
        self.verify_at(self.public().to_str().expect("a test's own files"))
    }

    fn holds(&self) {
        let run = self.verify();
        assert_eq!((run.code, &run.json()["result"]), (0, &"ok".into()), "{run:?}");
    }

    /// Asserts that there are findings, and that one of them speaks of `word`.
    fn finds(&self, word: &str) {
        let run = self.verify();
        assert_eq!((run.code, &run.json()["result"]), (1, &"findings".into()), "{word}: {run:?}");
        assert!(run.json()["findings"].to_string().contains(word), "{word}: {run:?}");
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

/// A small generator, so that the same bytes are changed in every run (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("a test's own files")
    }
}

#[test]
fn an_honest_record_holds_and_says_what_was_not_checked() {
    let world = World::of(&Story::honest());
    let first = world.verify();
    let json = first.json();
    assert_eq!((first.code, &json["result"]), (0, &"ok".into()), "{first:?}");
    assert_eq!(
        (&json["statements"], &json["record"]["size"], &json["reports"]["size"]),
        (&2.into(), &21.into(), &300.into())
    );
    assert_eq!(json["record"]["origin"], support::record::ORIGIN);
    assert!(
        json["not_checked"]
            .to_string()
            .contains("without a kept checkpoint or witnesses a rewritten history looks whole")
    );
    let second = world.verify().json();
    assert!(
        second["not_checked"].to_string().contains("before the checkpoints kept here (21 record and 300"),
        "{second}"
    );
}

#[test]
fn who_waits_longer_than_a_second_at_a_terminal_sees_how_far_it_is() {
    let world = World::of(&Story::honest());
    let public = world.public();
    let server = Server::start(move |request| {
        // A slow line, so that the few files take seconds.
        std::thread::sleep(std::time::Duration::from_millis(150));
        let path = request.line.strip_prefix("GET /").expect("a reading");
        fs::read(public.join(path)).map_or(Answer::Body(404, Vec::new()), |bytes| Answer::Body(200, bytes))
    });
    let state = world.folder.path().join("state");
    let verify = format!(
        "{} verify {} --json --state-dir {}",
        env!("CARGO_BIN_EXE_wiregrant"),
        server.url(),
        state.display()
    );
    let out = world.folder.path().join("out");
    // util-linux's `script` gives it a terminal; standard output goes into a file, as for a program that reads the answer.
    let shown = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &format!("{verify} > {}", out.display()), "/dev/null"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\r[###") && shown.contains("] 9 of 9"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "the line is taken away in the end: {shown:?}");
    let answer: serde_json::Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(answer["result"], "ok");

    // Nobody looks: nothing is shown.
    let run = world.verify_at(&server.url());
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
}

#[test]
fn a_log_that_grew_continues_the_kept_checkpoint() {
    let mut story = Story::honest();
    let world = World::of(&story);
    world.holds();
    story.entries.push(Entry::Line("operator vega -".into()));
    story.reports.extend((0..300_u32).map(|n| {
        wiregrant_core::record::report_entry(transparency_log::Hash::of(
            &[&n.to_be_bytes()[..], b"more"].concat(),
        ))
    }));
    story.publish(&world.public());
    world.holds();
}

#[test]
fn any_flipped_bit_of_any_published_file_is_found() {
    let story = Story::honest();
    let world = World::of(&story);
    let mut dice = Dice(0x5eed);
    let all = files(&world.public());
    assert!(all.len() >= 14, "{all:?}");
    let mut changed = 0;
    while changed < 70 {
        for path in &all {
            let good = fs::read(path).unwrap();
            let (at, bit) = (dice.below(good.len()), dice.below(8));
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(path, &bad).unwrap();
            let run =
                World { folder: tempfile::tempdir().unwrap() }.verify_at(world.public().to_str().unwrap());
            assert_eq!(run.code, 1, "{} byte {at} bit {bit}: {run:?}", path.display());
            fs::write(path, &good).unwrap();
            changed += 1;
        }
    }
    world.holds();
}

#[test]
fn a_missing_or_longer_or_shorter_file_is_found() {
    let world = World::of(&Story::honest());
    for path in files(&world.public()) {
        let good = fs::read(&path).unwrap();
        let first = ["checkpoint", "vkey"].iter().any(|name| path.ends_with(name));
        fs::remove_file(&path).unwrap();
        let run = World::new().verify_at(world.public().to_str().unwrap());
        assert_eq!(run.code, if first { 2 } else { 1 }, "{} missing: {run:?}", path.display());
        for bad in [&good[..good.len() - 1], &[&good[..], b"x"].concat()] {
            // A key's file may end with or without its line feed.
            if path.ends_with("vkey") && bad.len() < good.len() {
                continue;
            }
            fs::write(&path, bad).unwrap();
            let run = World::new().verify_at(world.public().to_str().unwrap());
            assert_eq!(run.code, 1, "{} with {} bytes: {run:?}", path.display(), bad.len());
        }
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn signature_lines_of_unknown_keys_are_no_finding() {
    let world = World::of(&Story::honest());
    let path = world.public().join("log/checkpoint");
    let note = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{note}\u{2014} witness.example AAAAAQI=\n")).unwrap();
    world.holds();
}

#[test]
fn a_rewritten_history_contradicts_the_kept_checkpoint_and_both_are_kept() {
    let mut dice = Dice(0xd1ce);
    for round in 0..24 {
        let story = Story::honest();
        let world = World::of(&story);
        world.holds();
        let (mut lines, _) = story.logged();
        let mut reports = story.reports.clone();
        let log = if round % 2 == 0 { &mut lines } else { &mut reports };
        let (at, other) = (dice.below(log.len() - 1), dice.below(log.len()));
        match round % 3 {
            0 => drop(log.remove(at)),
            1 => log.insert(at, log[other].clone()),
            _ => log.swap(at, at + 1),
        }
        publish_log(&world.public().join("log"), &story.log_key, &lines);
        publish_log(&world.public().join("reports"), &story.reports_key, &reports);
        let (_, notes) = story.logged();
        for (name, note) in notes {
            let folder = world.public().join("log/note");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), note).unwrap();
        }
        world.finds("both are kept");
        let kept = files(&world.folder.path().join("state"));
        assert!(kept.iter().any(|path| path.to_string_lossy().contains("contradicts-")), "{kept:?}");
        story.publish(&world.public());
        world.holds();
    }
}

#[test]
fn another_log_key_is_found_once_the_first_is_known() {
    let world = World::of(&Story::honest());
    world.holds();
    let mut story = Story::honest();
    story.log_key = key(story.log_key.name(), 9);
    story.entries[0] = Entry::Line(format!("key log {}", story.log_key.verifier()));
    story.reports_key = key(story.reports_key.name(), 9);
    story.publish(&world.public());
    world.finds("log key");
}

#[test]
fn a_key_given_by_someone_trusted_is_held_against_the_published_one() {
    let story = Story::honest();
    let world = World::of(&story);
    let public = world.public();
    let with = |vkey: String| {
        let state = world.folder.path().join("other-state");
        wiregrant([
            "verify",
            "--state-dir",
            state.to_str().unwrap(),
            "--log-key",
            &vkey,
            public.to_str().unwrap(),
        ])
    };
    assert_eq!(with(story.log_key.verifier().to_string()).code, 0);
    let other = with(key(story.log_key.name(), 9).verifier().to_string());
    assert!(other.code == 1 && other.out.contains("finding: log key: /log/vkey: expected"), "{other:?}");
}

#[test]
fn a_satoshi_moved_in_a_statement_is_found_although_all_is_signed_again() {
    type Change = fn(&mut Story);
    fn line<'a>(story: &'a mut Story, operator: &str) -> &'a mut wiregrant_core::statement::OperatorLine {
        story.statement(2).operators.get_mut(&operator.parse().unwrap()).unwrap()
    }
    fn more(sats: &mut Sats) {
        *sats = Sats::new(sats.get() + 1).unwrap();
    }
    fn less(sats: &mut Sats) {
        *sats = Sats::new(sats.get() - 1).unwrap();
    }
    let changes: [(&str, Change); 11] = [
        ("operator", |s| more(&mut line(s, "nordlicht").payable)),
        ("operator", |s| {
            more(&mut line(s, "nordlicht").earned);
            less(&mut line(s, "polaris").earned);
            more(&mut line(s, "nordlicht").payable);
            less(&mut line(s, "polaris").payable);
        }),
        ("operator", |s| {
            less(&mut line(s, "polaris").payable);
            more(&mut line(s, "polaris").carried);
        }),
        ("brought", |s| {
            more(&mut line(s, "polaris").brought);
            more(&mut line(s, "polaris").payable);
        }),
        ("unspent", |s| more(&mut s.statement(2).unspent)),
        ("pot", |s| less(&mut s.statement(2).pot)),
        ("pot", |s| more(&mut s.statement(2).allotted)),
        ("allotted", |s| {
            let statement = s.statement(2);
            (statement.allotted, statement.pot) = (Sats::new(99_997).unwrap(), Sats::new(100_002).unwrap());
        }),
        ("contributed", |s| more(&mut s.statement(2).contributed)),
        ("contributed", |s| s.statement(2).contributed = Sats::new(400_000).unwrap()),
        ("operator", |s| s.statement(2).operators.retain(|operator, _| operator.as_str() != "polaris")),
    ];
    for (word, change) in changes {
        let mut story = Story::honest();
        change(&mut story);
        World::of(&story).finds(word);
    }
}

#[test]
fn a_statement_that_does_not_follow_from_the_record_is_found() {
    type Change = fn(&mut Story);
    let changes: [(&str, Change); 12] = [
        ("node-2", |s| s.entries[11] = Entry::Line("admit spring node-2 3".into())),
        ("node-1", |s| s.entries[10] = Entry::Line("freeze node-1 fork".into())),
        ("reports: size", |s| s.statement(2).reports_size = 301),
        ("reports: size", |s| {
            let root = reports_root(&s.reports, 100);
            (s.statement(2).reports_size, s.statement(2).reports_root) = (100, root);
        }),
        ("reports: root", |s| s.statement(2).reports_size = 289),
        ("term floor", |s| s.statement(1).terms.floor = 2),
        ("log", |s| s.statement(1).log = "other.example/record".parse().unwrap()),
        ("network", |s| s.statement(2).network = wiregrant_core::note::Network::Bitcoin),
        ("epoch", |s| drop(s.entries.remove(12))),
        ("signature", |s| {
            s.entries[1] = Entry::Line(format!("key statement {}", key("other", 9).verifier()));
        }),
        ("grant", |s| s.entries.swap(7, 8)),
        ("node", |s| drop(s.entries.remove(4))),
    ];
    for (word, change) in changes {
        let mut story = Story::honest();
        change(&mut story);
        World::of(&story).finds(word);
    }
}

#[test]
fn a_record_that_contradicts_itself_is_found() {
    let twice = |line: &str| {
        let mut story = Story::honest();
        story.entries.push(Entry::Line(line.into()));
        story
    };
    for (word, line) in [
        ("sequence", "destination nordlicht 1 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("operator", "destination vega 1 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("batch", "void spring-1 replaced"),
        ("batch", "batch spring-1 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("batch", "paid spring-2 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
        ("hold", "hold spring 3 nordlicht"),
        ("node", "freeze node-9 fork"),
        ("admit", "admit spring node-1 3"),
        ("leave", "leave autumn node-1 3"),
        ("continues", "continues old.example/record 0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("entry", "greet spring"),
        ("operator's key", &format!("operator vega {}", key("nordlicht", 3).verifier())),
    ] {
        World::of(&twice(line)).finds(word);
    }
    let mut story = Story::honest();
    story.reports.push(story.reports[7].clone());
    World::of(&story).finds("each report once");
}

#[test]
fn a_paid_batch_may_not_pay_more_than_its_statement() {
    let mut story = Story::honest();
    let Entry::Batch(batch) = &mut story.entries[15] else { panic!("the batch") };
    let more = Sats::new(batch.total.get() + 1).unwrap();
    (batch.lines[0].sats, batch.total) = (more, more);
    World::of(&story).finds("line nordlicht spring 1");
}

#[test]
fn an_unpaid_batch_keeps_its_note_to_itself() {
    let mut story = Story::honest();
    story.entries.remove(16);
    let world = World::of(&story);
    let (lines, _) = story.logged();
    let hash: transparency_log::Hash = lines[15].rsplit(' ').next().unwrap().parse().unwrap();
    fs::remove_file(world.public().join("log/note").join(hash.to_hex())).unwrap();
    world.holds();
    assert!(world.verify().json()["not_checked"].to_string().contains("1 batch(es) that are not paid"));
}

#[test]
fn a_web_server_is_checked_like_a_folder_and_its_absence_is_no_finding() {
    let world = World::of(&Story::honest());
    let public = world.public();
    let server = Server::start(move |request| {
        let path = request.line.strip_prefix("GET /base/").expect("below the base");
        match fs::read(public.join(path)) {
            Ok(bytes) => Answer::Body(200, bytes),
            Err(_) => Answer::Body(404, Vec::new()),
        }
    });
    let run = world.verify_at(&format!("{}/base/", server.url()));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(server.requests().iter().all(|request| !request.head().contains("authorization")));

    let broken = Server::start(|_| Answer::Body(500, Vec::new()));
    let run = world.verify_at(&broken.url());
    assert!(run.code == 2 && run.json()["reason"].to_string().contains("500"), "{run:?}");
    let gone = broken.url();
    drop(broken);
    assert_eq!(world.verify_at(&gone).code, 2);
}

#[test]
fn a_log_that_grows_while_it_is_read_is_read_again() {
    let (young, grown) = (Story::honest(), {
        let mut story = Story::honest();
        story.entries.push(Entry::Line("operator vega -".into()));
        story
    });
    let (before, after) = (World::of(&young), World::of(&grown));
    let (before, public) = (before.public().join("log/checkpoint"), after.public());
    // The first checkpoint is the old one, whose partial tiles are gone already.
    let old = std::sync::Mutex::new(Some(fs::read(before).unwrap()));
    let server = Server::start(move |request| {
        let path = request.line.strip_prefix("GET /").expect("a reading");
        let outdated = if path == "log/checkpoint" { old.lock().unwrap().take() } else { None };
        match outdated.map_or_else(|| fs::read(public.join(path)), Ok) {
            Ok(bytes) => Answer::Body(200, bytes),
            Err(_) => Answer::Body(404, Vec::new()),
        }
    });
    let run = after.verify_at(&server.url());
    assert_eq!((run.code, &run.json()["record"]["size"]), (0, &22.into()), "{run:?}");
}

#[test]
fn what_cannot_be_checked_is_said_with_its_reason() {
    let world = World::new();
    fs::create_dir_all(world.public()).unwrap();
    let run = world.verify();
    assert!(run.code == 2 && run.json()["reason"].to_string().contains("/log/vkey"), "{run:?}");
    let run = world.verify_at("/nowhere/at/all");
    assert_eq!((run.code, &run.json()["result"]), (2, &"could-not-check".into()), "{run:?}");
}
