//! Logs whose key changed, and logs that continue another one: what leads there from a pinned key is followed, and nothing else.

#[cfg(test)]
mod support;

use std::fs;
use std::path::PathBuf;

use support::record::{
    Entry, ORIGIN, Story, checkpoint, continuing, cosign, key, publish_continuing, reports_root, witness,
};
use support::server::{Answer, Server};
use support::{Run, wiregrant};
use tempfile::TempDir;
use transparency_log::{Checkpoint, EMPTY_ROOT, SigningKey};

/// A public folder on a web server, and verifiers that each keep something of their own.
struct World {
    folder: TempDir,
    server: Server,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a test's own files");
        let public = folder.path().join("public");
        let server = Server::start(move |request| {
            let path = request.line.strip_prefix("GET /").expect("a reading");
            fs::read(public.join(path))
                .map_or(Answer::Body(404, Vec::new()), |bytes| Answer::Body(200, bytes))
        });
        Self { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn publish(&self, story: &Story, former: &[Former]) {
        story.publish(&self.path("public"));
        for former in former {
            former.publish(self, story);
        }
    }

    /// What the verifier that keeps its memory under this name says.
    fn verify_with(&self, state: &str, more: &[&str]) -> Run {
        let (state, url) = (self.path(state), self.server.url());
        let fixed = ["verify", "--json", "--state-dir", state.to_str().expect("a test's own files"), &url];
        wiregrant(fixed.iter().chain(more))
    }

    fn holds(&self, state: &str) {
        let run = self.verify_with(state, &[]);
        assert_eq!(run.code, 0, "{state}: {run:?}");
    }

    fn finds(&self, state: &str, what: &str) {
        let run = self.verify_with(state, &[]);
        assert!(run.code == 1 && run.json()["findings"].to_string().contains(what), "{what}: {run:?}");
    }
}

/// The last checkpoint of a key that was followed by another.
#[derive(Clone)]
struct Former {
    key: SigningKey,
    size: usize,
    by: SigningKey,
    entries: Option<Vec<String>>,
}

impl Former {
    fn publish(&self, world: &World, story: &Story) {
        let entries = self.entries.clone().unwrap_or_else(|| story.logged().0);
        let mut signed = checkpoint(&self.by, &entries[..self.size.min(entries.len())]);
        if self.size > entries.len() {
            let root = reports_root(&entries, entries.len());
            let beyond = Checkpoint { origin: ORIGIN.to_owned(), size: self.size as u64, root };
            signed = beyond.sign(&self.by).expect("a name");
        }
        let name = format!("public/log/checkpoint.{:08x}", self.key.verifier().key_id());
        fs::write(world.path(&name), signed).expect("a test's own files");
    }
}

/// Another key from now on.
fn change_key(story: &mut Story, seed: u8) -> Former {
    let before = story.log_key.clone();
    story.log_key = key(before.name(), seed);
    story.reports_key = key(story.reports_key.name(), seed);
    story.entries.push(Entry::Line(format!("key log {}", story.log_key.verifier())));
    story.entries.push(Entry::Line(format!("operator after-{seed} -")));
    Former { by: before.clone(), key: before, size: story.entries.len() - 1, entries: None }
}

#[test]
fn another_log_key_is_followed_under_the_last_checkpoint_of_the_one_before() {
    let world = World::new();
    let mut story = Story::honest();
    let first = story.log_key.verifier().to_string();
    world.publish(&story, &[]);
    world.holds("all along");
    world.holds("long away");
    let one = change_key(&mut story, 21);
    world.publish(&story, std::slice::from_ref(&one));
    world.holds("all along");
    world.holds("all along");
    let two = change_key(&mut story, 22);
    world.publish(&story, &[one.clone(), two.clone()]);
    for state in ["all along", "long away", "never here"] {
        world.holds(state);
    }
    assert_eq!(world.verify_with("with a key", &["--log-key", &first]).code, 0);
    // Nobody goes back to a former key, whoever has it by now.
    let newest = story.log_key.clone();
    (story.log_key, story.reports_key) = (one.key.clone(), key(story.reports_key.name(), 1));
    world.publish(&story, &[one.clone(), two.clone()]);
    world.finds("all along", "log key");
    world.finds("never here", "log key");
    // What was kept is what was kept before.
    (story.log_key, story.reports_key) = (newest, key(story.reports_key.name(), 22));
    world.publish(&story, &[one, two]);
    world.holds("all along");
}

#[test]
fn a_witness_is_demanded_of_the_new_key_as_of_the_old() {
    let world = World::new();
    let mut story = Story::honest();
    let former = change_key(&mut story, 21);
    world.publish(&story, &[former]);
    let demanded = ["--witness", &witness(1).verifier().to_string()];
    assert_eq!(world.verify_with("state", &demanded).code, 1);
    cosign(&world.path("public"), &witness(1));
    assert_eq!(world.verify_with("state", &demanded).code, 0);
}

#[test]
fn without_the_signature_of_the_key_before_nobody_follows() {
    let mut story = Story::honest();
    let world = World::new();
    world.publish(&story, &[]);
    world.holds("pinned");
    let good = change_key(&mut story, 21);
    let other_entries = {
        let mut entries = story.logged().0;
        entries.swap(13, 14);
        Some(entries)
    };
    let stranger = key(ORIGIN, 30);
    for (what, bad) in [
        ("by a stranger", Former { by: stranger, ..good.clone() }),
        ("by the new key", Former { by: story.log_key.clone(), ..good.clone() }),
        ("before the entry", Former { size: good.size - 1, ..good.clone() }),
        ("beyond the entry", Former { size: good.size + 1, ..good.clone() }),
        ("beyond the log", Former { size: good.size + 2, ..good.clone() }),
        ("of another history", Former { entries: other_entries, ..good.clone() }),
    ] {
        world.publish(&story, &[bad]);
        for state in ["pinned", "never here"] {
            let run = world.verify_with(state, &[]);
            let found = run.json()["findings"].to_string();
            let expected = if state == "pinned" { "/log/vkey" } else { "last checkpoint of the key before" };
            assert!(run.code == 1 && found.contains(expected), "{what}, {state}: {run:?}");
            let _ = fs::remove_dir_all(world.path("never here"));
        }
    }
    world.publish(&story, &[]);
    world.finds("pinned", "/log/vkey");
    world.finds("never here", "no such file");
    world.publish(&story, &[good]);
    world.holds("pinned");
}

#[test]
fn any_changed_byte_of_a_last_checkpoint_is_found() {
    let world = World::new();
    let mut story = Story::honest();
    let former = change_key(&mut story, 21);
    world.publish(&story, std::slice::from_ref(&former));
    let name = format!("log/checkpoint.{:08x}", former.key.verifier().key_id());
    let path = world.path("public").join(&name);
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(5) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, bad).unwrap();
        world.finds("never here", &name);
        fs::remove_dir_all(world.path("never here")).unwrap();
    }
}

#[test]
fn a_mirror_keeps_what_leads_from_one_key_to_the_next() {
    let world = World::new();
    let mut story = Story::honest();
    world.publish(&story, &[]);
    let mirror = || {
        let (copy, state) = (world.path("copy"), world.path("mirror"));
        let fixed = ["mirror", "--json", "--state-dir", state.to_str().unwrap(), &world.server.url()];
        wiregrant(fixed.into_iter().chain([copy.to_str().unwrap()]))
    };
    assert_eq!(mirror().code, 0);
    let former = change_key(&mut story, 21);
    world.publish(&story, &[former]);
    let run = mirror();
    assert_eq!(run.code, 0, "{run:?}");
    let copy = world.path("copy").to_str().unwrap().to_owned();
    let state = world.path("fresh").to_str().unwrap().to_owned();
    assert_eq!(wiregrant(["verify", "--state-dir", &state, &copy]).code, 0);
}

#[test]
fn a_log_that_continues_another_is_followed_under_the_pinned_key_and_says_what_it_does_not_show() {
    let world = World::new();
    let story = Story::honest();
    let entries = story.logged().0;
    let (size, root) = (entries.len(), reports_root(&entries, entries.len()));
    world.publish(&story, &[]);
    for state in ["fewer", "other root", "other key", "good"] {
        world.holds(state);
    }
    world.publish(&continuing(&story, 0, (size - 1, root), 1), &[]);
    world.finds("fewer", "which were seen of it");
    world.publish(&continuing(&story, 0, (size, EMPTY_ROOT), 1), &[]);
    world.finds("other root", "continues");
    world.publish(&continuing(&story, 0, (size, root), 9), &[]);
    world.finds("other key", "log key");
    let second = continuing(&story, 0, (size + 5, root), 1);
    world.publish(&second, &[]);
    let run = world.verify_with("good", &[]);
    assert!(
        run.code == 0 && run.json()["not_checked"].to_string().contains("which this log continues"),
        "{run:?}"
    );
    world.holds("good");
    // Who has followed does not go back.
    world.publish(&story, &[]);
    world.finds("good", "log key");
    let unnamed = Story { entries: second.entries[1..].to_vec(), ..second };
    world.publish(&unnamed, &[]);
    world.finds("fewer", "log key");
}

#[test]
fn what_is_carried_over_of_a_log_is_verified_as_that_log_was_and_held_against_what_was_seen_of_it() {
    let world = World::new();
    let story = Story::honest();
    let entries = story.logged().0;
    let (size, root) = (entries.len(), reports_root(&entries, entries.len()));
    world.publish(&story, &[]);
    for state in ["whole", "less", "changed", "more than it had"] {
        world.holds(state);
    }
    let public = world.path("public");
    let whole = continuing(&story, size, (size, root), 1);
    publish_continuing(&public, &whole, &story);
    for state in ["whole", "never here"] {
        let run = world.verify_with(state, &[]);
        let told = run.json()["not_checked"].to_string();
        assert!(run.code == 0 && told.contains("carries over of it"), "{state}: {run:?}");
        assert_eq!(run.json()["statements"], 2, "{state}: the money of the log before is seen: {run:?}");
    }
    world.holds("whole");
    // Less than what was there, and more than what was seen: what is there is that of the log before.
    publish_continuing(&public, &continuing(&story, size - 2, (size, root), 1), &story);
    let told = world.verify_with("less", &[]);
    assert!(told.code == 0 && told.json()["not_checked"].to_string().contains("2 of the"), "{told:?}");
    let mut changed = entries.clone();
    changed.push("operator denebola -".to_owned());
    let other = reports_root(&changed, changed.len());
    changed.swap(13, 14);
    let mut next = continuing(&story, size, (size + 1, other), 1);
    next.entries.splice(2..2 + size, changed.into_iter().map(Entry::Line));
    publish_continuing(&public, &next, &story);
    world.finds("changed", "which was seen");
    world.finds("new here", "carried over: root");
    publish_continuing(&public, &continuing(&story, size, (size - 1, root), 1), &story);
    world.finds("new here", "carried over");
    // It ends with the new log's own statement key.
    let endless = Story { entries: whole.entries[..size + 2].to_vec(), ..whole };
    publish_continuing(&public, &endless, &story);
    world.finds("new here", "statement key");
}

#[test]
fn a_log_carries_over_one_that_carried_over_another() {
    let world = World::new();
    let story = Story::honest();
    let entries = story.logged().0;
    let (size, root) = (entries.len(), reports_root(&entries, entries.len()));
    world.publish(&story, &[]);
    world.holds("from the first");
    let second = continuing(&story, size, (size, root), 1);
    let public = world.path("public");
    publish_continuing(&public, &second, &story);
    world.holds("from the second");
    let lines = second.logged().0;
    let whole = reports_root(&lines, lines.len());
    let mut third = continuing(&second, lines.len(), (lines.len(), whole), 1);
    let (log_key, statement_key) = (key("grants.example/3", 1), key("grants.example/3/statement", 4));
    let last = third.entries.len() - 2;
    third.entries[0] = Entry::Line(format!("continues {} {} {whole}", second.log_key.name(), lines.len()));
    third.entries[1] = Entry::Line(format!("key log {}", log_key.verifier()));
    third.entries[last] = Entry::Line(format!("key statement {}", statement_key.verifier()));
    let third = Story { log_key, reports_key: key("grants.example/3/reports", 1), statement_key, ..third };
    publish_continuing(&public, &third, &story);
    for state in ["from the first", "from the second", "never here"] {
        world.holds(state);
    }
}

#[test]
fn a_mirror_puts_no_log_over_the_copy_of_one_that_it_continues() {
    let world = World::new();
    let story = Story::honest();
    let entries = story.logged().0;
    let (size, root) = (entries.len(), reports_root(&entries, entries.len()));
    world.publish(&story, &[]);
    let mirror = |to: &str| {
        let (copy, state) = (world.path(to), world.path("mirror"));
        let fixed = ["mirror", "--json", "--state-dir", state.to_str().unwrap(), &world.server.url()];
        wiregrant(fixed.into_iter().chain([copy.to_str().unwrap()]))
    };
    assert_eq!(mirror("copy").code, 0);
    publish_continuing(&world.path("public"), &continuing(&story, size, (size, root), 1), &story);
    let refused = mirror("copy");
    assert!(refused.code != 0 && refused.err.contains("name a new folder"), "{refused:?}");
    let vkey = fs::read_to_string(world.path("copy/log/vkey")).unwrap();
    assert!(vkey.starts_with(&format!("{ORIGIN}+")), "{vkey}");
    assert_eq!(mirror("next copy").code, 0);
}
