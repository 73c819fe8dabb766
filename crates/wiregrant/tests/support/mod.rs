//! What the tests stand on: the program itself, a public record made with real keys, a scripted control plane.

#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod record;
pub mod server;

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// How a run of the program ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs the program with nothing in its environment but a home that does not exist.
pub fn wiregrant<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    wiregrant_with(arguments, "")
}

/// As [`wiregrant`], with a text on standard input.
pub fn wiregrant_with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wiregrant"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that ends without reading its input closes the pipe, which is no failure of the test.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    Run {
        code: status.code().expect("no signal ended it"),
        out: String::from_utf8(stdout).expect("text"),
        err: String::from_utf8(stderr).expect("text"),
    }
}
