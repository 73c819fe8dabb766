//! `wiregrant mirror`: a copy that holds at every moment, whatever stops it, and that nothing false gets into.

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::record::{Entry, Story, cosign, key, publish_log, witness};
use support::server::{Answer, Server};
use support::{Run, wiregrant};
use tempfile::TempDir;
use transparency_log::Hash;

struct World {
    folder: TempDir,
}

impl World {
    fn of(story: &Story) -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a test's own files") };
        story.publish(&world.path("public"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let state = self.path("state");
        let always = ["--json", "--state-dir", state.to_str().expect("a test's own files")];
        wiregrant(arguments[..1].iter().chain(&always).chain(&arguments[1..]))
    }

    fn mirror_from(&self, from: &str) -> Run {
        self.run(&["mirror", from, self.path("copy").to_str().expect("a test's own files")])
    }

    fn mirror(&self) -> Run {
        self.mirror_from(self.path("public").to_str().expect("a test's own files"))
    }

    /// The copy, verified with no memory of anything.
    fn copy_holds(&self) {
        let state = self.path("fresh");
        let _ = fs::remove_dir_all(&state);
        let run = wiregrant([Path::new("verify"), Path::new("--state-dir"), &state, &self.path("copy")]);
        assert_eq!(run.code, 0, "{run:?}");
    }
}

/// Every file below a folder by its path, without what a mirror keeps for itself.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut all, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).expect("a test's own files") {
            let path = entry.expect("a test's own files").path();
            if path.ends_with(".incoming") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("a test's own files");
                all.push((path.strip_prefix(folder).expect("below it").to_owned(), bytes));
            }
        }
    }
    all.sort();
    all
}

fn more_reports(story: &mut Story, count: u32) {
    let begin = story.reports.len();
    story.reports.extend((0..count).map(|n| {
        wiregrant_core::record::report_entry(Hash::of(&[&n.to_be_bytes()[..], &begin.to_be_bytes()].concat()))
    }));
}

#[test]
fn a_mirror_has_every_public_file_and_holds_by_itself() {
    let world = World::of(&Story::honest());
    let run = world.mirror();
    assert_eq!((run.code, &run.json()["result"]), (0, &"ok".into()), "{run:?}");
    assert_eq!(files(&world.path("copy")), files(&world.path("public")));
    world.copy_holds();
    fs::remove_dir_all(world.path("public")).unwrap();
    world.copy_holds();
}

#[test]
fn what_a_mirror_has_is_not_fetched_again() {
    let mut story = Story::honest();
    let world = World::of(&story);
    assert_eq!(world.mirror().code, 0);
    more_reports(&mut story, 600);
    story.entries.push(Entry::Line("operator vega -".into()));
    story.publish(&world.path("public"));
    let public = world.path("public");
    let server = Server::start(move |request| {
        let path = request.line.strip_prefix("GET /").expect("a reading");
        fs::read(public.join(path)).map_or(Answer::Body(404, Vec::new()), |bytes| Answer::Body(200, bytes))
    });
    let run = world.mirror_from(&server.url());
    assert_eq!(run.code, 0, "{run:?}");
    world.copy_holds();
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    for had in ["reports/tile/entries/000", "reports/tile/0/000"] {
        assert!(!asked.iter().any(|line| line.ends_with(had)), "{had} was there: {asked:?}");
    }
    assert!(asked.iter().any(|line| line.ends_with("reports/tile/entries/002")), "{asked:?}");
    assert!(!asked.iter().any(|line| line.contains("/log/note/")), "notes never change: {asked:?}");
}

#[test]
fn a_mirror_that_is_cut_off_at_any_request_goes_on_and_holds_all_the_while() {
    let (young, grown) = (Story::honest(), {
        let mut story = Story::honest();
        more_reports(&mut story, 300);
        story.entries.push(Entry::Line("operator vega -".into()));
        story
    });
    let world = World::of(&young);
    assert_eq!(world.mirror().code, 0);
    grown.publish(&world.path("public"));
    let mut cut_off = 0;
    for allowed in 0.. {
        let public = world.path("public");
        let left = std::sync::atomic::AtomicUsize::new(allowed);
        let server = Server::start(move |request| {
            use std::sync::atomic::Ordering::SeqCst;
            if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
                return Answer::Break;
            }
            let path = request.line.strip_prefix("GET /").expect("a reading");
            fs::read(public.join(path))
                .map_or(Answer::Body(404, Vec::new()), |bytes| Answer::Body(200, bytes))
        });
        let run = world.mirror_from(&server.url());
        world.copy_holds();
        if run.code == 0 {
            break;
        }
        assert_eq!(run.code, 2, "cut off after {allowed}: {run:?}");
        cut_off += 1;
    }
    assert!(cut_off > 8, "{cut_off}");
    assert_eq!(world.mirror().code, 0);
    for (path, bytes) in files(&world.path("public")) {
        assert_eq!(fs::read(world.path("copy").join(&path)).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn nothing_that_does_not_hold_gets_into_a_copy() {
    let story = Story::honest();
    let world = World::of(&story);
    assert_eq!(world.mirror().code, 0);
    let before = files(&world.path("copy"));
    let mut grown = story.clone();
    more_reports(&mut grown, 300);
    grown.entries.push(Entry::Line("operator vega -".into()));
    grown.publish(&world.path("public"));
    for file in
        ["reports/tile/entries/001", "reports/tile/0/002.p/88", "log/tile/entries/000.p/22", "log/checkpoint"]
    {
        let path = world.path("public").join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        fs::write(&path, bad).unwrap();
        let run = world.mirror();
        assert!(run.code == 1 && run.json()["findings"].to_string().contains(file), "{file}: {run:?}");
        assert_eq!(files(&world.path("copy")), before, "{file}");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(world.mirror().code, 0);
    world.copy_holds();
}

#[test]
fn a_history_that_was_rewritten_does_not_replace_the_copy() {
    let story = Story::honest();
    let world = World::of(&story);
    assert_eq!(world.mirror().code, 0);
    let before = files(&world.path("copy"));
    let (mut lines, _) = story.logged();
    lines.swap(13, 14);
    publish_log(&world.path("public").join("log"), &story.log_key, &lines);
    let run = world.mirror();
    assert!(run.code == 1 && run.json()["findings"].to_string().contains("both are kept"), "{run:?}");
    assert_eq!(files(&world.path("copy")), before);
    let mut reports = story.reports.clone();
    reports.swap(3, 4);
    story.publish(&world.path("public"));
    publish_log(&world.path("public").join("reports"), &story.reports_key, &reports);
    assert_eq!(world.mirror().code, 1);
    assert_eq!(files(&world.path("copy")), before);
}

#[test]
fn what_too_few_of_the_demanded_witnesses_have_cosigned_does_not_get_into_a_copy() {
    let mut story = Story::honest();
    let world = World::of(&story);
    let public = world.path("public");
    let (one, two) = (witness(1).verifier().to_string(), witness(2).verifier().to_string());
    let mirror = |required: &[&str]| {
        let copy = world.path("copy");
        let demanded = ["mirror", "--witness", &one, "--witness", &two];
        let places = [public.to_str().unwrap(), copy.to_str().unwrap()];
        world.run(&[&demanded, required, &places].concat())
    };
    cosign(&public, &witness(1));
    let run = mirror(&[]);
    assert!(run.code == 1 && run.json()["findings"].to_string().contains("witness.example/w2"), "{run:?}");
    assert!(!world.path("copy/log/checkpoint").exists());
    assert_eq!(mirror(&["--witnesses-required", "1"]).code, 0);
    cosign(&public, &witness(2));
    assert_eq!(mirror(&[]).code, 0);
    world.copy_holds();

    // Whoever mirrors goes on holding what was cosigned, whatever the control plane shows meanwhile.
    let before = files(&world.path("copy"));
    more_reports(&mut story, 3);
    story.publish(&public);
    assert_eq!(mirror(&["--witnesses-required", "1"]).code, 1);
    assert_eq!(files(&world.path("copy")), before);
}

#[test]
fn a_disk_that_changed_a_byte_of_the_copy_is_mended_from_upstream() {
    let mut story = Story::honest();
    let world = World::of(&story);
    assert_eq!(world.mirror().code, 0);
    for file in ["log/tile/entries/000.p/21", "reports/tile/0/001.p/44"] {
        let path = world.path("copy").join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    more_reports(&mut story, 3);
    story.publish(&world.path("public"));
    let run = world.mirror();
    assert_eq!(run.code, 0, "{run:?}");
    world.copy_holds();
    // What whoever holds an older checkpoint asks for is right again too, although upstream has it no more.
    let old = fs::read(world.path("copy/reports/tile/0/001.p/44")).unwrap();
    assert_eq!(old, fs::read(world.path("copy/reports/tile/0/001.p/47")).unwrap()[..old.len()]);
    assert!(!world.path("public/reports/tile/0/001.p/44").exists());
}

#[test]
fn a_mirror_of_itself_or_beside_another_is_refused() {
    let world = World::of(&Story::honest());
    let public = world.path("public");
    let run = world.run(&["mirror", public.to_str().unwrap(), public.to_str().unwrap()]);
    assert!(run.code == 1 && run.err.contains("name another one"), "{run:?}");
    assert!(!public.join(".incoming").exists());
    let copy = world.path("copy");
    fs::create_dir_all(copy.join(".incoming")).unwrap();
    let held = fs::File::create(copy.join(".incoming/lock")).unwrap();
    held.lock().unwrap();
    let run = world.mirror();
    assert!(run.code == 1 && run.err.contains("another mirror"), "{run:?}");
    drop(held);
    assert_eq!(world.mirror().code, 0);
}

#[test]
fn a_record_with_another_key_is_not_mirrored_over_the_first() {
    let world = World::of(&Story::honest());
    assert_eq!(world.mirror().code, 0);
    let before = files(&world.path("copy"));
    let mut story = Story::honest();
    story.log_key = key(story.log_key.name(), 9);
    story.reports_key = key(story.reports_key.name(), 9);
    story.entries[0] = Entry::Line(format!("key log {}", story.log_key.verifier()));
    story.publish(&world.path("public"));
    assert_eq!(world.mirror().code, 1);
    assert_eq!(files(&world.path("copy")), before);
}
