//! The demo as `cargo xtask demo` starts it: every equality holds, and nothing is left behind, also after Ctrl-C.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testbed::wait::eventually;
use testbed::{cleanup, process};

/// For what takes a minute or two on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(360);

/// Demos are heavy: one at a time.
static DEMO: Mutex<()> = Mutex::new(());

/// A demo under way, in a folder for temporary files of its own: whatever it starts is known by that folder's name.
struct Demo {
    child: Child,
    folder: TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("demo-test-").tempdir().expect("a folder");
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args(["demo", "--once", "--json", "--megabytes", "20"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the demo");
        Self { child, folder }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).expect("its log")
    }

    fn end(&mut self) -> ExitStatus {
        let log = self.folder.path().join("stderr");
        eventually("the end of the demo", LIMIT, &[&log], || Ok(self.child.try_wait()?)).expect("it ends")
    }

    /// Neither a namespace or a WireGuard socket, nor a process, nor a file.
    fn has_left_nothing(&self) {
        let pid = self.child.id();
        assert_eq!(cleanup::left_by(pid), Vec::<String>::new());
        let marks = [format!("wgt{pid}-"), self.folder.path().display().to_string()];
        assert_eq!(processes_with(&marks), Vec::<String>::new());
        let kept: Vec<_> = std::fs::read_dir(self.folder.path())
            .expect("the folder")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(kept.len(), 2, "only what this test wrote itself: {kept:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Command lines of live processes that hold one of the marks.
fn processes_with(marks: &[String]) -> Vec<String> {
    let command_line = |folder: &Path| std::fs::read(folder.join("cmdline")).ok();
    std::fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|entry| command_line(&entry.path()))
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| marks.iter().any(|mark| line.contains(mark)))
        .collect()
}

#[test]
fn the_main_job_holds_from_end_to_end_and_nothing_is_left_behind() {
    let _turn = DEMO.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Demo::start();
    let status = demo.end();
    let said = demo.said();
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("every equality holds"), "{said}");
    assert!(said.contains("demonstration terms"), "{said}");

    let printed = std::fs::read_to_string(demo.folder.path().join("stdout")).unwrap();
    let outcome: Value = serde_json::from_str(&printed).expect("one JSON object and nothing else");
    for side in ["client", "node", "reported"] {
        for direction in ["received_bytes", "sent_bytes"] {
            assert!(outcome[side][direction].as_u64().is_some_and(|bytes| bytes > 4_000_000), "{outcome}");
        }
    }
    for number in ["credited_bytes", "pot_sats", "payable_sats", "carried_sats", "unspent_sats", "seconds"] {
        assert!(outcome[number].is_u64(), "{number} in {outcome}");
    }
    assert!(outcome["payouts"][0]["sats"].as_u64().is_some_and(|sats| sats >= 1000), "{outcome}");
    assert!(outcome["psbt"].as_str().is_some_and(|psbt| psbt.starts_with("cHNidP8")), "{outcome}");
    assert_eq!(outcome["settled"]["sats"], outcome["payable_sats"], "{outcome}");
    assert!(outcome["settled"]["depth"].as_u64().is_some_and(|depth| depth >= 6), "{outcome}");
    assert_eq!(outcome["verify"], "ok");
    demo.has_left_nothing();
}

#[test]
fn ctrl_c_in_the_middle_takes_everything_down() {
    let _turn = DEMO.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Demo::start();
    let log = demo.folder.path().join("stderr");
    eventually("traffic", LIMIT, &[&log], || {
        assert!(demo.child.try_wait()?.is_none(), "{}", demo.said());
        Ok(demo.said().contains("- traffic:").then_some(()))
    })
    .unwrap();
    assert!(!cleanup::left_by(demo.child.id()).is_empty(), "namespaces are there while it runs");
    process::signal(demo.child.id(), Signal::INT);
    let status = demo.end();
    assert_eq!(status.code(), Some(130), "{}", demo.said());
    demo.has_left_nothing();
}
