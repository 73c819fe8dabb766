//! `soak`: the long runs at full count. `test` runs each of them at a small one.

use std::fs;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::packages;

/// The testbed's kill loops, at the counts the testbed keeps for `WIREGRANT_SOAK=1`.
const KILL: &str = "kill";

/// The agent's counting: lives judged by the oracle, a spoilt journal at every bit, a week at full rate.
const COUNTING: &str = "counting";

/// How many lives of each kind.
const LIVES: &str = "100000";

/// The name that means every fuzz target.
const FUZZ: &str = "fuzz";

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 1800;

pub fn run(checkout: &Checkout, name: Option<&str>) -> Result<(), Failure> {
    let fuzz_targets = fuzz_targets(checkout);
    let chosen = chosen(name, &fuzz_targets)?;
    for (number, run) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {run}", number + 1, chosen.len());
        match *run {
            KILL => kill(checkout)?,
            COUNTING => counting(checkout)?,
            target => fuzz(checkout, target)?,
        }
    }
    Ok(())
}

/// The runs that the name means: one of them, `fuzz` for every fuzz target, or all.
fn chosen<'a>(name: Option<&str>, fuzz_targets: &'a [String]) -> Result<Vec<&'a str>, Failure> {
    let targets = fuzz_targets.iter().map(String::as_str);
    let all: Vec<&str> = [KILL, COUNTING].into_iter().chain(targets.clone()).collect();
    match name {
        None => Ok(all),
        Some(FUZZ) => Ok(targets.collect()),
        Some(name) => match all.iter().find(|run| **run == name) {
            Some(run) => Ok(vec![*run]),
            None => Err(Failure::Usage(format!(
                "there is no long run `{name}`; there are {KILL}, {COUNTING}, {FUZZ} (every target), or one target: {}",
                fuzz_targets.join(", ")
            ))),
        },
    }
}

fn kill(checkout: &Checkout) -> Result<(), Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    child::run(&mut checkout.cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut command =
        checkout.cargo(&["test", "-p", "testbed", "--test", KILL, "--locked", "--", "--nocapture"]);
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

fn fuzz(checkout: &Checkout, target: &str) -> Result<(), Failure> {
    // Fuzzing needs a nightly compiler's instrumentation, so the word after `+` is rustup's.
    let nightly = |arguments: &[&str]| {
        let mut command = std::process::Command::new("cargo");
        command.args(["+nightly", "fuzz"]).args(arguments).current_dir(&checkout.root);
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        command
    };
    if !child::succeeds(&mut nightly(&["--version"])) {
        return Err(Failure::failed(
            "fuzzing needs cargo-fuzz and a nightly compiler:\n  \
             rustup toolchain install nightly && cargo install cargo-fuzz --locked",
        ));
    }
    child::run(&mut nightly(&["run", target, "--", &format!("-max_total_time={FUZZ_SECONDS}")]))
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
        assert_eq!(chosen(None, &targets), Ok(vec![KILL, COUNTING, "invitation", "statement"]));
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
