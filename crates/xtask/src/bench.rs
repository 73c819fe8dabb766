//! `bench`: a release build, and then the testbed's benchmarks, which own their names and their rows.
//!
//! The agent's rows are measured before: in part where the kernel has WireGuard, in an emulated machine if need be; and so are
//! those of closing, of appending and of signed-in pages, by the control plane's own benchmarks. The testbed takes them from files.

use std::fs;

use crate::checkout::Checkout;
use crate::child;
use crate::demo;
use crate::failure::Failure;
use crate::kernel_test;
use crate::packages;

/// Says that the rest of a line is a row.
const MARK: &str = "wiregrant-bench-row: ";

/// Where in the target folder the testbed looks for the agent's rows, for those of closing, of appending, and of signed-in pages.
const AGENT_ROWS: &str = "bench-agent.rows";
const CLOSE_ROWS: &str = "bench-close.rows";
const APPEND_ROWS: &str = "bench-append.rows";
const PAGES_ROWS: &str = "bench-pages.rows";

pub fn run(checkout: &Checkout, arguments: &[String]) -> Result<(), Failure> {
    let name = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_run = |bench: &str| name.is_none_or(|name| name == bench);
    if is_run("pages") {
        packages::install(&[packages::INTERFACES, packages::DEMO, packages::PAGES_PEER])?;
    }
    if is_run("socks5") {
        packages::install(&[packages::INTERFACES, packages::SOCKS5_PEERS])?;
    }
    if is_run("ingest") {
        packages::install(&[packages::POSTGRES, packages::RAW_INSERT])?;
    }
    if is_run("growth") {
        packages::install(&[packages::POSTGRES])?;
    }
    if is_run("agents") {
        packages::install(&[packages::CERTIFICATES])?;
    }
    // The agent's binary is built with what measures it.
    let only_agent = name.is_some_and(|name| name == "agent");
    let what = if only_agent { ["--bin", "testbed"].as_slice() } else { &["--bins"] };
    eprintln!("bench: compiles as for a release, then measures.");
    child::run(checkout.cargo(&["build", "--release", "--workspace", "--locked"]).args(what))?;
    if is_run("agent") {
        keep(checkout, AGENT_ROWS, &measure_the_agent(checkout)?)?;
    }
    if is_run("close") {
        keep(checkout, CLOSE_ROWS, &measure_the_control_plane(checkout, "close")?)?;
    }
    if is_run("ingest") {
        keep(checkout, APPEND_ROWS, &measure_the_control_plane(checkout, "append")?)?;
    }
    if is_run("pages") {
        keep(checkout, PAGES_ROWS, &measure_the_control_plane(checkout, "pages")?)?;
    }
    demo::become_testbed(&checkout.target.join("release/testbed"), "bench", arguments)
}

/// The agent's rows, each on a line. What else is said meanwhile goes to standard error.
fn measure_the_agent(checkout: &Checkout) -> Result<String, Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    let program = kernel_test::build(checkout, &["bench", "--workspace", "--bench", "agent"], "agent")?;
    let mut rows = String::new();
    let mut tell = |line: &str| take_row(line, &mut rows);
    kernel_test::on_a_kernel_with_wireguard(checkout, &program, &kernel_test::BENCH, &mut tell)?;
    child::lines(kernel_test::in_a_namespace(&program).arg("native"), &mut tell)?;
    Ok(rows)
}

/// A benchmark within the control plane.
fn measure_the_control_plane(checkout: &Checkout, bench: &str) -> Result<String, Failure> {
    packages::install(&[packages::POSTGRES])?;
    let mut rows = String::new();
    let mut bench = checkout.cargo(&["bench", "--workspace", "--bench", bench, "--locked"]);
    child::lines(&mut bench, |line| take_row(line, &mut rows))?;
    Ok(rows)
}

fn take_row(line: &str, rows: &mut String) {
    eprintln!("  | {line}");
    if let Some(row) = line.strip_prefix(MARK) {
        rows.push_str(row);
        rows.push('\n');
    }
}

fn keep(checkout: &Checkout, name: &str, rows: &str) -> Result<(), Failure> {
    let file = checkout.target.join(name);
    fs::write(&file, rows).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}
