//! The command line of wiregrant; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wiregrant::run(std::env::args_os()))
}
