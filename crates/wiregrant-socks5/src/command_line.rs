//! The command line: what an operator chooses.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use ipnet::IpNet;

/// The SOCKS5 service of a node. SOCKS5 is not encrypted: whoever is on the way sees where people go, and reads what is not
/// encrypted itself. It serves the devices that the node's agent names, and nobody while there is no agent.
#[derive(Debug, Parser)]
#[command(name = "wiregrant-socks5", version)]
pub struct Options {
    /// Where people come to; several times for several addresses.
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    pub listen: Vec<SocketAddr>,
    /// The UNIX socket on which the agent meters this service; the same as `socks5.socket` in the agent's file.
    #[arg(long, value_name = "PATH", default_value = "/run/wiregrant-socks5/agent.sock")]
    pub socket: PathBuf,
    /// The address to go out from; one of each kind at most. The system chooses where there is none.
    #[arg(long = "egress-address", value_name = "ADDRESS")]
    pub egress_addresses: Vec<IpAddr>,
    /// A network that people may not reach, besides this host, private, link-local and all other special ones.
    #[arg(long = "blocked-network", value_name = "NETWORK")]
    pub blocked_networks: Vec<IpNet>,
    /// A network that people may reach although it is private or special. It opens neither this host nor the tunnel.
    #[arg(long = "allowed-network", value_name = "NETWORK")]
    pub allowed_networks: Vec<IpNet>,
    /// A port that people may not reach; mail's by default.
    #[arg(long = "blocked-port", value_name = "PORT", default_value = "25")]
    pub blocked_ports: Vec<u16>,
    /// Connections of all people together; more wait.
    #[arg(long, value_name = "N", default_value = "4096", value_parser = number(1, 100_000))]
    pub max_connections: usize,
    /// Connections of one device; more are refused.
    #[arg(long, value_name = "N", default_value = "256", value_parser = number(1, 100_000))]
    pub max_connections_per_device: usize,
    /// Connections that have not said yet who they are and what they want; more are closed.
    #[arg(long, value_name = "N", default_value = "512", value_parser = number(1, 100_000))]
    pub max_handshakes: usize,
    /// UDP associations of all people together; more are refused.
    #[arg(long, value_name = "N", default_value = "256", value_parser = number(0, 10_000))]
    pub max_associations: usize,
    /// How long a client may take to say who it is and what it wants.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=300))]
    pub handshake_seconds: u64,
    /// How long a connection on which nothing moves is kept.
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub idle_seconds: u64,
    /// How long a connection on which nothing moves is kept once one side has said all it says.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub half_closed_seconds: u64,
    /// How long connections may go on after SIGTERM, before they are cut.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub grace_seconds: u64,
    /// How long the agent is then waited for, so that it counts what moved last; at least its `sample_seconds`.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub final_seconds: u64,
}

/// Reads a number from `least` to `most`.
fn number(
    least: usize,
    most: usize,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("{text} is not {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Options::command().debug_assert();
        let options = Options::parse_from(["wiregrant-socks5", "--listen", "[::]:1080"]);
        assert_eq!((options.blocked_ports, options.handshake_seconds), (vec![25], 10));
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_it_and_the_way_out() {
        for (arguments, named) in [
            (vec![], "--listen"),
            (vec!["--listen", "1080"], "1080"),
            (vec!["--listen", "[::]:1080", "--max-connections", "0"], "0 is not 1 to 100000"),
            (vec!["--listen", "[::]:1080", "--allowed-network", "10.0.0.0/33"], "10.0.0.0/33"),
        ] {
            let line = [&["wiregrant-socks5"], &arguments[..]].concat();
            let error = Options::try_parse_from(line).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
