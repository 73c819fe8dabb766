//! The command line of the testbed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::bench;
use crate::socks5_load;

/// The least that shows people rather than handshakes: 5 people, of whom each must move 1 MB to be counted.
pub const LEAST_MEGABYTES: u64 = 10;
/// Keeps every number of the demo's JSON far below 2^53.
const MOST_MEGABYTES: u64 = 1_000_000;

/// Real hosts on one machine, real WireGuard, the real binaries.
#[derive(Debug, Parser)]
#[command(name = "testbed", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What the testbed does.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// The main job on real traffic, from an access code to a settled Bitcoin payment.
    Demo(DemoOptions),
    /// Measures, each number beside its peer or limit of the same run.
    Bench {
        /// Which benchmark; all of them when absent.
        #[arg(value_parser = bench::ALL.map(|(name, _)| name))]
        name: Option<String>,
        /// Prints one array of rows.
        #[arg(long)]
        json: bool,
    },
    /// Takes pictures of the main pages, for the documentation.
    Screenshots {
        /// Into this folder.
        #[arg(long, value_name = "DIR", default_value = "docs/screenshots")]
        out: PathBuf,
        /// Of every page instead, on a desktop and on a phone, to look at while one is made.
        #[arg(long)]
        every: bool,
    },
    /// Receives and sends checked traffic until it is killed.
    #[command(hide = true)]
    Sink {
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Moves checked traffic and prints what it moved.
    #[command(hide = true)]
    Source {
        /// The sink.
        #[arg(long)]
        connect: SocketAddr,
        /// Bytes to send.
        #[arg(long)]
        up: u64,
        /// Bytes to receive.
        #[arg(long)]
        down: u64,
        /// The most each way; 0 for as fast as it goes.
        #[arg(long, default_value_t = 0)]
        bytes_per_second: u64,
    },
    /// Loads a SOCKS5 proxy and prints what arrived.
    #[command(hide = true)]
    Socks5Load(socks5_load::Order),
    /// Asks for one address again and again, and prints how fast it was answered.
    #[command(hide = true)]
    PageLoad(bench::pages::Order),
    /// Accepts on the socket that is its standard input, and connects from where it stands.
    #[command(hide = true)]
    Relay {
        /// Where to.
        #[arg(long)]
        to: SocketAddr,
    },
}

/// Options of the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// End by itself after the first payment, instead of keeping gentle traffic up until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object on standard output; needs --once.
    #[arg(long, requires = "once")]
    pub json: bool,
    /// Payload to move through the tunnel, in millions of bytes.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(LEAST_MEGABYTES..=MOST_MEGABYTES))]
    pub megabytes: u64,
    /// Keep the logs of all processes in this folder.
    #[arg(long, value_name = "DIR")]
    pub keep_logs: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn too_little_traffic_is_refused_with_the_range() {
        let error = CommandLine::try_parse_from(["testbed", "demo", "--megabytes", "9"]).unwrap_err();
        assert!(error.to_string().contains("9 is not in 10..=1000000"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
