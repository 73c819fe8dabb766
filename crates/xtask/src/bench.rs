//! `bench`: a release build, and then the testbed's benchmarks, which own their names and their rows.

use crate::checkout::Checkout;
use crate::child;
use crate::demo;
use crate::failure::Failure;
use crate::packages;

pub fn run(checkout: &Checkout, arguments: &[String]) -> Result<(), Failure> {
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = arguments.iter().all(|argument| argument.starts_with('-'));
    if all || named("socks5") {
        packages::install(&[packages::INTERFACES, packages::SOCKS5_PEERS])?;
    }
    eprintln!("bench: compiles the workspace as it would be released, then measures.");
    child::run(&mut checkout.cargo(&["build", "--release", "--workspace", "--bins", "--locked"]))?;
    demo::become_testbed(&checkout.target.join("release/testbed"), "bench", arguments)
}
