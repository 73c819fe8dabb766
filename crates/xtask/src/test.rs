//! `test`: everything that must hold, as numbered steps. The first that fails ends the run.

use std::time::Duration;

use crate::axe;
use crate::bitcoind;
use crate::checkout::Checkout;
use crate::child;
use crate::clock;
use crate::failure::Failure;
use crate::kernel_test;
use crate::packages;
use crate::privilege;
use crate::schemathesis;
use crate::supply_chain;
use crate::test_run;

/// Every step by the name that runs it alone, in the order of the full run.
pub const STEPS: [&str; 11] = [
    "packages",
    "format",
    "lints",
    "walls",
    "build",
    "tests",
    "docs",
    "fuzz-targets",
    "supply-chain",
    "kernel",
    "demo",
];

/// The steps of the inner loop: nothing that installs, needs root or moves traffic.
const QUICK: [&str; 5] = ["format", "lints", "walls", "tests", "docs"];

/// Which steps run.
#[derive(Debug, PartialEq, Eq)]
pub enum Selection {
    Full,
    Quick,
    One(&'static str),
}

impl Selection {
    fn steps(&self) -> Vec<&'static str> {
        match self {
            // The full run's `tests` hold the walls too.
            Self::Full => STEPS.into_iter().filter(|step| *step != "walls").collect(),
            Self::Quick => QUICK.to_vec(),
            Self::One(step) => vec![step],
        }
    }
}

pub fn run(checkout: &Checkout, selection: Selection) -> Result<(), Failure> {
    let steps = selection.steps();
    let started = clock::now();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        eprintln!("\n[{}/{}] {step}: {}", number + 1, steps.len(), purpose(step));
        let step_started = clock::now();
        perform(step, checkout, &selection).map_err(|failure| {
            let quick = if selection == Selection::Quick { " --quick" } else { "" };
            Failure::failed(format!(
                "step {step} failed after {}: {failure}\nthis step alone: cargo xtask test {step}\n\
                 everything again: cargo xtask test{quick}",
                clock::shown(step_started.elapsed())
            ))
        })?;
        times.push((step, step_started.elapsed()));
    }
    eprintln!("\nall holds:");
    for (step, time) in times {
        eprintln!("  {step:<14}{:>12}", clock::shown(time));
    }
    eprintln!("  {:<14}{:>12}", "together", clock::shown(started.elapsed()));
    Ok(())
}

fn purpose(step: &str) -> &'static str {
    match step {
        "packages" => "what the other steps need of the system",
        "format" => "rustfmt has nothing to change",
        "lints" => "clippy and the compiler have nothing to say",
        "walls" => "no crate imports what belongs to another",
        "build" => "the binaries that the end-to-end tests start",
        "tests" => "unit, property, both databases, regtest, browser, end to end",
        "docs" => "every link in the documentation leads somewhere",
        "fuzz-targets" => "each of them compiles; `cargo xtask soak fuzz` runs them",
        "supply-chain" => "licences, banned and duplicate crates, sources, advisories",
        "kernel" => "the agent against a real kernel WireGuard",
        "demo" => "the main job once, with every equality checked",
        _ => unreachable!("a selection holds names of STEPS only"),
    }
}

fn perform(step: &str, checkout: &Checkout, selection: &Selection) -> Result<(), Failure> {
    let cargo = |arguments: &[&str]| checkout.cargo(arguments);
    match step {
        "packages" => packages()
            .and_then(|()| bitcoind::install(checkout))
            .and_then(|()| axe::install(checkout))
            .and_then(|()| schemathesis::install(checkout)),
        "format" => toolchain(checkout, "fmt", "rustfmt")
            .and_then(|()| child::run(&mut cargo(&["fmt", "--all", "--check"]))),
        "lints" => toolchain(checkout, "clippy", "clippy").and_then(|()| {
            child::run(&mut cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]))
        }),
        "walls" => child::run(&mut cargo(&["test", "-p", "xtask", "--test", "walls", "--locked"])),
        // All targets, so that the binaries have the features that the tests need, and are compiled once.
        "build" => child::run(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"])),
        "tests" if *selection == Selection::Quick => child::run(&mut cargo(&[
            "test",
            "--workspace",
            "--exclude",
            "testbed",
            "--lib",
            "--bins",
            "--locked",
        ])),
        "tests" => test_run::run(checkout),
        "docs" => child::run(
            cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
        "fuzz-targets" => child::run(
            cargo(&["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"])
                .arg(&checkout.target),
        ),
        "supply-chain" => supply_chain::check(checkout),
        "kernel" => kernel_test::run(checkout),
        "demo" => {
            let testbed = checkout.target.join("debug/testbed");
            child::run(std::process::Command::new(testbed).args([
                "demo",
                "--once",
                "--json",
                "--megabytes",
                "20",
            ]))
        }
        _ => unreachable!("a selection holds names of STEPS only"),
    }
}

fn packages() -> Result<(), Failure> {
    if !privilege::is_root() {
        return Err(Failure::failed(
            "the end-to-end tests make network namespaces, which needs root; without root there is:\n  \
             cargo xtask test --quick",
        ));
    }
    packages::install(&[
        packages::INTERFACES,
        packages::DEMO,
        packages::SOCKS5_CLIENT,
        packages::CERTIFICATES,
        packages::PROXY,
        packages::POSTGRES,
        packages::SECOND_IMPLEMENTATION,
        packages::PYTHON_TOOLS,
        packages::FUZZ_TARGETS,
        packages::UNITS,
        packages::EMULATED_MACHINE,
        packages::BROWSER,
    ])
}

/// Adds the toolchain's component where a minimal toolchain was installed without it.
fn toolchain(checkout: &Checkout, subcommand: &str, component: &str) -> Result<(), Failure> {
    if child::succeeds(&mut checkout.cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    child::run(std::process::Command::new("rustup").args(["component", "add", component]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_run_is_in_order_and_ends_with_the_demo() {
        let steps = Selection::Full.steps();
        assert_eq!(steps.first(), Some(&"packages"));
        assert_eq!(steps.last(), Some(&"demo"));
        assert_eq!(steps.len(), 10);
    }

    #[test]
    fn the_quick_run_neither_installs_nor_starts_anything() {
        let steps = Selection::Quick.steps();
        for absent in ["packages", "fuzz-targets", "supply-chain", "kernel", "demo"] {
            assert!(!steps.contains(&absent), "{absent}");
        }
        assert!(steps.iter().all(|step| STEPS.contains(step)));
    }

    #[test]
    fn every_step_says_what_it_is_for() {
        for step in STEPS {
            assert!(!purpose(step).is_empty(), "{step}");
        }
    }
}
