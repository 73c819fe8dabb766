//! `soak`: the long runs at full count. `test` runs each of them at a small one.

use std::fs;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::packages;

/// The testbed's kill loops, at the counts the testbed keeps for `WIREGRANT_SOAK=1`.
const KILL: &str = "kill";

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 1800;

pub fn run(checkout: &Checkout, name: Option<&str>) -> Result<(), Failure> {
    let fuzz_targets = fuzz_targets(checkout);
    let mut names = vec![KILL];
    names.extend(fuzz_targets.iter().map(String::as_str));
    let chosen = match name {
        None => names,
        Some(name) if names.contains(&name) => vec![name],
        Some(name) => {
            return Err(Failure::Usage(format!(
                "there is no long run `{name}`; there are: {}",
                names.join(", ")
            )));
        }
    };
    for (number, run) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {run}", number + 1, chosen.len());
        if *run == KILL { kill(checkout)? } else { fuzz(checkout, run)? }
    }
    Ok(())
}

fn kill(checkout: &Checkout) -> Result<(), Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    child::run(&mut checkout.cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let mut command =
        checkout.cargo(&["test", "-p", "testbed", "--test", KILL, "--locked", "--", "--nocapture"]);
    child::run(command.env("WIREGRANT_SOAK", "1"))
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
