//! `soak`: the long runs at full count. `test` runs each of them at a small one.

use std::env;
use std::fs;
use std::process::Command;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::packages;
use crate::tool::Tool;

/// The testbed's kill loops, at the counts the testbed keeps for `WIREGRANT_SOAK=1`.
const KILL: &str = "kill";

/// The control plane and its database killed under load, at the counts the testbed keeps for `WIREGRANT_SOAK=1`.
const CONTROL_KILL: &str = "control-kill";

/// The agent's counting: lives judged by the oracle, a spoilt journal at every bit, a week at full rate.
const COUNTING: &str = "counting";

/// Changes of a public record, each of which `verify` must find by name; the counts are in the test.
const MUTATIONS: &str = "mutations";

/// The laws of the split and of credit, each for 100,000 cases against a naive oracle.
const ALLOCATION: &str = "allocation";

/// How many lives of each kind.
const LIVES: &str = "100000";

/// The name that means every fuzz target.
const FUZZ: &str = "fuzz";

/// How long each fuzz target runs, unless `WIREGRANT_FUZZ_SECONDS` says otherwise.
const FUZZ_SECONDS: &str = "1800";

const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2" };

pub fn run(checkout: &Checkout, name: Option<&str>) -> Result<(), Failure> {
    let fuzz_targets = fuzz_targets(checkout);
    let chosen = chosen(name, &fuzz_targets)?;
    for (number, run) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {run}", number + 1, chosen.len());
        match *run {
            KILL => kill(checkout)?,
            COUNTING => counting(checkout)?,
            CONTROL_KILL => control_kill(checkout)?,
            MUTATIONS => mutations(checkout)?,
            ALLOCATION => allocation(checkout)?,
            target => fuzz(checkout, target)?,
        }
    }
    Ok(())
}

/// The runs that the name means: one of them, `fuzz` for every fuzz target, or all.
fn chosen<'a>(name: Option<&str>, fuzz_targets: &'a [String]) -> Result<Vec<&'a str>, Failure> {
    let targets = fuzz_targets.iter().map(String::as_str);
    let all: Vec<&str> =
        [KILL, CONTROL_KILL, COUNTING, ALLOCATION, MUTATIONS].into_iter().chain(targets.clone()).collect();
    match name {
        None => Ok(all),
        Some(FUZZ) => Ok(targets.collect()),
        Some(name) => match all.iter().find(|run| **run == name) {
            Some(run) => Ok(vec![*run]),
            None => Err(Failure::Usage(format!(
                "there is no long run `{name}`; there are {KILL}, {CONTROL_KILL}, {COUNTING}, {ALLOCATION}, {MUTATIONS}, {FUZZ} (every target), or one target: {}",
                fuzz_targets.join(", ")
            ))),
        },
    }
}

fn kill(checkout: &Checkout) -> Result<(), Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    child::run(&mut checkout.cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut command =
        checkout.cargo(&["test", "--workspace", "--test", KILL, "--locked", "--", "--nocapture"]);
    child::run(command.env("WIREGRANT_SOAK", "1"))
}

fn control_kill(checkout: &Checkout) -> Result<(), Failure> {
    packages::install(&[packages::POSTGRES])?;
    // Optimised, as it runs: how soon it is ready again is held to its limit here.
    child::run(&mut checkout.cargo(&["build", "--release", "--workspace", "--bins", "--locked"]))?;
    let test =
        ["test", "--release", "-p", "testbed", "--test", "control_kill", "--locked", "--", "--nocapture"];
    let mut command = checkout.cargo(&test);
    child::run(command.arg("--test-threads=1").env("WIREGRANT_SOAK", "1"))
}

fn mutations(checkout: &Checkout) -> Result<(), Failure> {
    let mut command =
        checkout.cargo(&["test", "-p", "wiregrant", "--test", MUTATIONS, "--locked", "--", "--nocapture"]);
    child::run(command.env("WIREGRANT_SOAK", "1"))
}

fn counting(checkout: &Checkout) -> Result<(), Failure> {
    for tests in ["oracle", "a_journal_that_lost_any_byte", "seven_days"] {
        // Optimised: these do nothing but compute.
        let mut command =
            checkout.cargo(&["test", "-p", "wiregrant-agent", "--lib", "--release", "--locked", tests]);
        child::run(command.env("WIREGRANT_SOAK", "1").env("WIREGRANT_LIVES", LIVES))?;
    }
    Ok(())
}

fn allocation(checkout: &Checkout) -> Result<(), Failure> {
    for (package, tests) in [("wiregrant-payout", "allocation"), ("wiregrant-core", "credit")] {
        // Optimised: these do nothing but compute.
        let mut command = checkout.cargo(&["test", "-p", package, "--lib", "--release", "--locked", tests]);
        child::run(command.env("WIREGRANT_SOAK", "1"))?;
    }
    Ok(())
}

fn fuzz(checkout: &Checkout, target: &str) -> Result<(), Failure> {
    packages::install(&[packages::FUZZ_TARGETS])?;
    let mut command = Command::new(CARGO_FUZZ.have(checkout)?);
    // Coverage guides it on every compiler; sanitizers need a nightly one, and watch over code that this workspace forbids.
    command.args(["run", "--sanitizer", "none", "--target-dir"]).arg(checkout.target.join("fuzz"));
    let seconds = env::var("WIREGRANT_FUZZ_SECONDS").unwrap_or_else(|_| FUZZ_SECONDS.to_owned());
    command.args([target, "--", &format!("-max_total_time={seconds}"), "-timeout=10", "-verbosity=0"]);
    child::run(command.args(["-print_final_stats=1"]).current_dir(&checkout.root))
}

/// The targets in `fuzz/fuzz_targets/`, in order; none where that folder is not there.
fn fuzz_targets(checkout: &Checkout) -> Vec<String> {
    let Ok(entries) = fs::read_dir(checkout.root.join("fuzz/fuzz_targets")) else {
        return Vec::new();
    };
    let mut targets: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_picks_one_run_and_fuzz_picks_all_targets() {
        let targets = ["invitation", "statement"].map(str::to_owned);
        assert_eq!(
            chosen(None, &targets),
            Ok(vec![KILL, CONTROL_KILL, COUNTING, ALLOCATION, MUTATIONS, "invitation", "statement"])
        );
        assert_eq!(chosen(Some("fuzz"), &targets), Ok(vec!["invitation", "statement"]));
        assert_eq!(chosen(Some("statement"), &targets), Ok(vec!["statement"]));
        assert_eq!(chosen(Some("kill"), &targets), Ok(vec![KILL]));
        let refused = chosen(Some("nothing"), &targets).unwrap_err();
        assert!(
            matches!(&refused, Failure::Usage(message) if message.ends_with("invitation, statement")),
            "{refused}"
        );
    }
}
