//! `bench`: a release build, and then the testbed's benchmarks, which own their names and their rows.
//!
//! The agent's rows are measured before: in part where the kernel has WireGuard, in an emulated machine if need be. The
//! testbed takes them from a file.

use std::fs;

use crate::checkout::Checkout;
use crate::child;
use crate::demo;
use crate::failure::Failure;
use crate::kernel_test;
use crate::packages;

/// Says that the rest of a line is a row.
const MARK: &str = "wiregrant-bench-row: ";

/// Where in the target folder the testbed looks for the agent's rows.
const ROWS: &str = "bench-agent.rows";

pub fn run(checkout: &Checkout, arguments: &[String]) -> Result<(), Failure> {
    let name = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_run = |bench: &str| name.is_none_or(|name| name == bench);
    if is_run("socks5") {
        packages::install(&[packages::INTERFACES, packages::SOCKS5_PEERS])?;
    }
    // The agent's binary is built with what measures it.
    let only_agent = name.is_some_and(|name| name == "agent");
    let what = if only_agent { ["-p", "testbed"].as_slice() } else { &["--workspace"] };
    eprintln!("bench: compiles as for a release, then measures.");
    child::run(checkout.cargo(&["build", "--release", "--bins", "--locked"]).args(what))?;
    if is_run("agent") {
        let file = checkout.target.join(ROWS);
        fs::write(&file, measure_the_agent(checkout)?)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    }
    demo::become_testbed(&checkout.target.join("release/testbed"), "bench", arguments)
}

/// The agent's rows, each on a line. What else is said meanwhile goes to standard error.
fn measure_the_agent(checkout: &Checkout) -> Result<String, Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    let program =
        kernel_test::build(checkout, &["bench", "-p", "wiregrant-agent", "--bench", "agent"], "agent")?;
    let mut rows = String::new();
    let mut tell = |line: &str| {
        eprintln!("  | {line}");
        if let Some(row) = line.strip_prefix(MARK) {
            rows.push_str(row);
            rows.push('\n');
        }
    };
    kernel_test::on_a_kernel_with_wireguard(checkout, &program, &kernel_test::BENCH, &mut tell)?;
    child::lines(kernel_test::in_a_namespace(&program).arg("native"), &mut tell)?;
    Ok(rows)
}
