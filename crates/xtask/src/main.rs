//! Installs what is missing, says what it does, and runs the demo and the tests: `cargo xtask`.
//!
//! Standard library only, so that the first line stands on the screen seconds after a clone.
//!
//! In scope: Debian packages, cargo, the virtual machine of the kernel test. Out of scope: anything that
//! knows wiregrant; the demo, the end-to-end tests and the benchmarks are the testbed's.

mod axe;
mod bench;
mod bitcoind;
mod checkout;
mod child;
mod clock;
mod command_line;
mod demo;
mod failure;
mod kernel_test;
mod packages;
mod privilege;
mod schemathesis;
mod screenshots;
mod soak;
mod supply_chain;
mod test;
mod test_run;
mod tool;

use std::process::ExitCode;

use checkout::Checkout;
use command_line::Task;
use failure::Failure;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command_line::parse(&arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

fn run(task: Task) -> Result<(), Failure> {
    let checkout = Checkout::here()?;
    match task {
        Task::Help => {
            print!("{}", command_line::HELP);
            Ok(())
        }
        Task::Demo { arguments } => demo::run(&checkout, &arguments),
        Task::Test { selection } => test::run(&checkout, selection),
        Task::Soak { name } => soak::run(&checkout, name.as_deref()),
        Task::Bench { arguments } => bench::run(&checkout, &arguments),
        Task::Screenshots { arguments } => screenshots::run(&checkout, &arguments),
        Task::KernelTest => kernel_test::run(&checkout),
    }
}
