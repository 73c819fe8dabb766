//! The demo: from an access code to a settled Bitcoin payment, on real traffic, with every number compared.

pub mod equalities;
pub mod funder;
pub mod outcome;
pub mod regtest;
mod story;
mod sums;
pub mod table;

use std::process::ExitCode;

use anyhow::Result;

use crate::cleanup;
use crate::command_line::DemoOptions;
use crate::interrupt::{self, Interrupted};
use crate::programs::Programs;
use outcome::DEMONSTRATION_TERMS;
use story::Story;

/// What a shell says of a program that Ctrl-C has ended: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the demo; the exit code is 1 where an equality does not hold.
///
/// # Errors
/// Whatever could not be done. Everything is taken down in any case.
pub fn run(options: &DemoOptions) -> Result<ExitCode> {
    interrupt::watch()?;
    let programs = Programs::beside(&std::env::current_exe()?)?;
    for name in cleanup::remove_leftovers() {
        eprintln!("removed {name}, which a testbed that was killed had left behind");
    }
    open(options);
    let told = if options.once { once(options, programs) } else { live(options, programs) };
    match told {
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("\nstopped; every process, namespace and cable of the demo is gone again");
            Ok(if options.once { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
        }
        told => told,
    }
}

fn once(options: &DemoOptions, programs: Programs) -> Result<ExitCode> {
    let outcome = Story::begin(options, programs)?.finish()?;
    if options.json {
        println!("{}", serde_json::to_string(&outcome)?);
    }
    let broken = equalities::broken(&outcome);
    for otherwise in &broken {
        eprintln!("DOES NOT HOLD: {otherwise}");
    }
    if broken.is_empty() {
        eprintln!("every equality holds ({} s; {DEMONSTRATION_TERMS})", outcome.seconds);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn live(options: &DemoOptions, programs: Programs) -> Result<ExitCode> {
    Story::begin(options, programs)?.go_on_for_ever()?;
    Ok(ExitCode::SUCCESS)
}

/// A few lines that say what runs where.
fn open(options: &DemoOptions) {
    let ends = if options.once { "It ends by itself." } else { "Ctrl-C ends it and takes everything down." };
    eprintln!(
        "\
wiregrant demo: {} MB of real traffic through real WireGuard, from access codes to a settled payment.
  where     network namespaces on this machine; nothing is changed outside of them
  control   wiregrant-control (SQLite) at 192.0.2.2, the administrator's `wiregrant` beside it
  funder    a Bitcoin node and its wallet on a network of their own (regtest), beside the control plane
  node      wiregrant-agent and WireGuard at 198.51.100.2; it dials out, nobody dials it but its peers
  people    five hosts in 203.0.113.0/24, one access code each: a number is published only when enough people
            stand behind it, and `1-4` counts as nobody
  web       a server at 192.0.2.130 that checks every byte it gets, and so do the people
  terms     {DEMONSTRATION_TERMS}
{ends}
",
        options.megabytes
    );
}
