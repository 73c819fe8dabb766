//! Witnesses as real processes: what they cosign is published; a control plane that shows each of them another history is
//! caught, also when they are killed in between; and the file that convicts it is checked by the command line alone.

#[cfg(test)]
mod node;
#[cfg(test)]
mod story;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;

use testbed::process;
use testbed::wait::eventually;
use transparency_log::WitnessPolicy;
use wiregrant_core::evidence::Evidence;

use story::{LIMIT, Story};

#[test]
fn a_split_view_shown_to_two_witnesses_is_caught() {
    let story = Story::new();
    let logs = story.init("one");
    let (first, second) = (story.witness("w1", &logs), story.witness("w2", &logs));
    let control = story.serve("one", &[&first, &second]);
    story.add_operator(&control, "one", "nordlicht");
    let common = story.cosigned("one", &logs[0], 3, &[&first, &second]);
    control.process.stop();
    assert_eq!(story.verify("one", &[&first, &second]), Some(0));
    // What is common stays common, also for witnesses that are killed and started again.
    first.process.kill_9().unwrap();
    second.process.kill_9().unwrap();
    let (first, second) = (story.witness("w1", &logs), story.witness("w2", &logs));

    // Whoever holds the keys tells one story to the first witness and another to the second.
    process::run(Command::new("cp").arg("-a").arg(story.path("one")).arg(story.path("two"))).unwrap();
    let (one, two) = (story.serve("one", &[&first]), story.serve("two", &[&second]));
    story.add_operator(&one, "one", "suedwind");
    story.add_operator(&two, "two", "westwind");
    let shown = story.cosigned("one", &logs[0], 4, &[&first]);
    let other = story.cosigned("two", &logs[0], 4, &[&second]);
    assert_ne!(shown.root, other.root);
    assert_ne!(shown.root, common.root);

    // Who asks for both witnesses takes neither story; who compares what the witnesses keep has the proof.
    assert_eq!(story.verify("one", &[&first]), Some(0));
    assert_eq!(story.verify("two", &[&second]), Some(0));
    assert_eq!(story.verify("one", &[&first, &second]), Some(1));
    assert_eq!(story.verify("two", &[&first, &second]), Some(1));
    let both = WitnessPolicy::new(vec![story.vkey(&first), story.vkey(&second)], 2).unwrap();
    let compared = Evidence::TwoHistories {
        log: logs[0].clone(),
        checkpoints: [story.memory("w1"), story.memory("w2")],
        root: other.root,
        proof: Vec::new(),
    };
    let file = story.path("compared.proof");
    std::fs::write(&file, compared.to_string()).unwrap();
    let checked = story.cli(&["verify".into(), "proof".into(), file.clone().into()]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("log grants.example/record"), "{said}");

    // The second story shown to the first witness, which was killed in between: it refuses, and has the proof by itself.
    first.process.kill_9().unwrap();
    two.process.stop();
    let first = story.witness("w1", &logs);
    let two = story.serve("two", &[&first, &second]);
    story.add_operator(&two, "two", "ostwind");
    story.cosigned("two", &logs[0], 5, &[&second]);
    let kept = eventually("evidence", LIMIT, &[first.process.log(), two.process.log()], || {
        let files = std::fs::read_dir(story.path("w1").join("evidence")).ok();
        Ok(files.and_then(|mut files| files.next()).transpose()?.map(|file| file.path()))
    })
    .unwrap();
    assert!(both.check(&story.published("two")).is_err());
    let with_key = [
        "verify".into(),
        "proof".into(),
        kept.into_os_string(),
        "--log-key".into(),
        logs[0].to_string().into(),
    ];
    let checked = story.cli(&with_key);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));

    // A file with one byte changed convicts nobody.
    std::fs::write(&file, compared.to_string().replacen("root ", "root A", 1)).unwrap();
    assert_eq!(story.cli(&["verify".into(), "proof".into(), file.into()]).status.code(), Some(1));
}

#[test]
fn a_witness_that_is_away_delays_nothing_but_its_own_word() {
    let story = Story::new();
    let logs = story.init("one");
    let (first, second) = (story.witness("w1", &logs), story.witness("w2", &logs));
    let away = first.process.id();
    process::signal(away, rustix::process::Signal::STOP); // it takes connections and never answers
    let control = story.serve("one", &[&first, &second]);
    story.add_operator(&control, "one", "nordlicht");
    story.add_operator(&control, "one", "suedwind");
    story.cosigned("one", &logs[0], 4, &[&second]);
    process::signal(away, rustix::process::Signal::CONT);
    drop(control);
}

#[test]
fn a_restored_control_plane_takes_no_copy_that_is_older_than_what_a_witness_has_seen() {
    let story = Story::new();
    let logs = story.init("one");
    let witness = story.witness("w1", &logs);
    let control = story.serve("one", &[&witness]);
    story.add_operator(&control, "one", "nordlicht");
    let backup = story.path("backup.db");
    process::run(story.control("backup", "one").arg("--to").arg(&backup)).unwrap();
    story.add_operator(&control, "one", "suedwind");
    story.cosigned("one", &logs[0], 4, &[&witness]);
    let (old, new) = (story.path("old"), story.path("new"));
    process::run(Command::new("cp").arg("-a").arg(story.path("one/public")).arg(&old)).unwrap();
    story.add_operator(&control, "one", "westwind");
    let last = story.cosigned("one", &logs[0], 5, &[&witness]);
    control.process.stop();
    process::run(Command::new("cp").arg("-a").arg(story.path("one/public")).arg(&new)).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(story.path(&format!("one/wiregrant.db{suffix}")));
    }
    process::run(story.control("restore", "one").arg("--from").arg(&backup)).unwrap();

    let catch_up = |from: &std::path::Path| {
        let mut command = story.control("catch-up", "one");
        command
            .args(["--witness", &format!("{} {}", story.vkey(&witness), witness.url)])
            .arg("--from")
            .arg(from);
        process::run(&mut command)
    };
    let refused = format!("{:#}", catch_up(&old).unwrap_err());
    assert!(refused.contains("has cosigned 5 entries of log, and the newest copy has 4"), "{refused}");
    let told = catch_up(&new).unwrap();
    assert!(told.contains("caught up"), "there are no nodes to wait for: {told}");
    let control = story.serve("one", &[&witness]);
    story.add_operator(&control, "one", "ostwind");
    let next = story.cosigned("one", &logs[0], 6, &[&witness]);
    assert!(next.size > last.size, "the witness has seen one history");
    control.process.stop();
}
