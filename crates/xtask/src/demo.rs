//! `demo`: from nothing to real traffic. Packages, build, and then the testbed takes this process over.

use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::bitcoind;
use crate::checkout::Checkout;
use crate::child;
use crate::clock;
use crate::failure::Failure;
use crate::packages;
use crate::privilege;

pub fn run(checkout: &Checkout, arguments: &[String]) -> Result<(), Failure> {
    eprintln!("wiregrant demo: real WireGuard traffic, counted, reported, credited, turned into a payment.");
    eprintln!("It installs missing Debian packages, compiles the workspace, and starts the testbed.");
    let started = clock::now();
    eprintln!("[1/3] Debian packages and a Bitcoin node");
    packages::install(&[packages::INTERFACES, packages::DEMO])?;
    bitcoind::install(checkout)?;
    eprintln!("[2/3] compile (the first time a few minutes)");
    child::run(&mut checkout.cargo(&["build", "--workspace", "--bins"]))?;
    eprintln!("[3/3] the testbed, after {}", clock::shown(started.elapsed()));
    become_testbed(&checkout.target.join("debug/testbed"), "demo", arguments)
}

/// Replaces this process by the testbed, so that Ctrl-C and the exit status are the testbed's own.
/// Returns only when that failed. It needs root: it makes network namespaces and WireGuard interfaces.
pub fn become_testbed(testbed: &Path, command: &str, arguments: &[String]) -> Result<(), Failure> {
    let Some(mut testbed) = privilege::as_root(testbed) else {
        return Err(Failure::failed(format!(
            "the testbed makes network namespaces, which needs root or a `sudo -n` that works; run it yourself:\n  \
             sudo {} {command} {}",
            testbed.display(),
            arguments.join(" ")
        )));
    };
    let error = testbed.arg(command).args(arguments).exec();
    Err(child::not_started(&testbed, &error))
}
