//! The command line of wiregrant: administer, redeem, report, check payouts, verify.
//!
//! In scope: the terminal, the files a person keeps (tokens, keys, client files, kept checkpoints), and a synchronous
//! HTTP client of the control plane. Out of scope: what things are and how they add up, which is `wiregrant-core`'s,
//! `wiregrant-payout`'s and `transparency-log`'s; this crate only asks, checks and shows.
//!
//! Secrets come in and go out by files that only their owner can read, never by arguments, which every process on the
//! machine can see. Private keys are made here and stay here.
//!
//! ```text
//! $ wiregrant --url https://grants.example redeem --code-file code.txt --out vpn.conf
//! $ wiregrant verify https://grants.example
//! record   grants.example/record   214 entries
//! ...
//! result   ok
//! ```

mod clock;
mod command;
mod control_plane;
mod failure;
mod mirror;
mod operator_key;
mod private_file;
mod table;
mod terminal;
mod verify;

use std::ffi::OsString;

use clap::Parser;

pub use command::manual;

/// Runs one command line, the program's name first. The result is the exit code: 0 done, 1 failed (or findings), 2 wrong
/// use (or, for `verify`, could not check).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let line = match command::CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(refusal) => {
            // Help asked for is printed and is no failure; clap knows which it is.
            let code = u8::try_from(refusal.exit_code()).unwrap_or(2);
            return if refusal.print().is_ok() { code } else { 1 };
        }
    };
    match line.run() {
        Ok(code) => code,
        Err(error) => failure::tell(&error),
    }
}
