//! The node's endpoint: where clients reach it, given by the operator or found out, and how it moves to another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, bail, ensure};

use crate::config::Config;
use crate::enrolment::Enrolment;
use crate::keeper::Keeper;

/// WireGuard's customary port.
pub const DEFAULT_PORT: u16 = 51_820;

/// Reads `host:port` or `host`, IPv6 hosts in brackets.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> anyhow::Result<String> {
    let way_out =
        "is not `host:port`; write for example 203.0.113.7:51820, vpn.example:51820 or [2001:db8::7]:51820";
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        Some(_) if !text.ends_with(']') => bail!("endpoint: {text:?} {way_out}"),
        _ => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => DEFAULT_PORT,
        Some(Ok(port)) if port != 0 => port,
        Some(_) => bail!("endpoint: {text:?} {way_out}"),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match in_brackets {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    ensure!(good, "endpoint: {text:?} {way_out}");
    Ok(format!("{host}:{port}"))
}

/// The port of an endpoint that was read.
///
/// # Errors
/// When it has none.
pub fn port(endpoint: &str) -> anyhow::Result<u16> {
    let port = endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.with_context(|| format!("endpoint: {endpoint:?} ends in no port"))
}

impl Keeper {
    /// The chosen endpoint, if it is not the node's already.
    pub(crate) fn another_endpoint(&self, config: &Config) -> Option<String> {
        config.endpoint.clone().filter(|chosen| *chosen != self.enrolment.endpoint)
    }

    /// Moves the node: WireGuard listens on the endpoint's port, live peers keep sessions and counters, and the node says
    /// from then on that it is reached there. `node.json` comes last, so that a stop in between is followed by another try.
    pub(crate) fn move_to(&mut self, endpoint: String) -> anyhow::Result<()> {
        let listen_port = port(&endpoint)?;
        let before = std::mem::replace(&mut self.settings.listen_port, listen_port);
        if let Err(error) = self.ensure_interface() {
            self.settings.listen_port = before;
            return Err(error.context(format!("moving to {endpoint}")));
        }
        let enrolment = Enrolment { endpoint, listen_port, ..self.enrolment.clone() };
        self.dir.write_enrolment(&enrolment)?;
        tracing::info!(
            from = self.enrolment.endpoint,
            to = enrolment.endpoint,
            "moved; people are offered new files"
        );
        self.enrolment = enrolment;
        Ok(())
    }
}

/// RFC 1123 labels; an IPv4 address has the same form.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// The source address of the default route with the default port, if the whole Internet can reach it.
///
/// # Errors
/// When there is none, with the way out.
pub fn found() -> anyhow::Result<String> {
    // Connecting a UDP socket sends nothing; it asks the routing table. The targets are for documentation (RFC 5737, 3849).
    let source = |bind: &str, target: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let candidates = [source("0.0.0.0:0", "203.0.113.1:9"), source("[::]:0", "[2001:db8::1]:9")];
    match candidates.into_iter().flatten().find(|address| is_global(*address)) {
        Some(address) => Ok(SocketAddr::new(address, DEFAULT_PORT).to_string()),
        None => bail!(
            "--endpoint: this machine has no address that the whole Internet can reach; \
             give the one that does lead here, for example --endpoint 203.0.113.7:{DEFAULT_PORT}"
        ),
    }
}

/// Whether an address is routed globally (the IANA special-purpose registries, RFC 6890).
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            let special = v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || v4 == Ipv4Addr::BROADCAST
                || first == 0
                || first >= 240
                || (first == 100 && (64..128).contains(&second))
                || (first == 198 && (18..20).contains(&second))
                || (first == 192 && second == 0 && third == 0);
            !special
        }
        // Global unicast is 2000::/3; 2001:db8::/32 is for documentation.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port_that_may_be_left_out() {
        for (given, read) in [
            ("203.0.113.7:4500", "203.0.113.7:4500"),
            ("vpn.example", "vpn.example:51820"),
            ("[2001:db8::7]:51820", "[2001:db8::7]:51820"),
            ("[2001:db8::7]", "[2001:db8::7]:51820"),
        ] {
            assert_eq!(parse(given).unwrap(), read);
            let after_the_colon = read.rsplit(':').next().unwrap();
            assert_eq!(port(read).unwrap().to_string(), after_the_colon);
        }
        for bad in
            ["", ":51820", "2001:db8::7", "host:0", "host:70000", "ho st:1", "[host]:1", "-a:1", "a:1:2"]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("endpoint") && error.contains("for example"), "{bad}: {error}");
        }
    }

    #[test]
    fn only_addresses_that_the_internet_reaches_are_taken_unasked() {
        for global in ["8.8.8.8", "2a01:4f8::1", "100.128.0.1"] {
            assert!(is_global(global.parse().unwrap()), "{global}");
        }
        for not in [
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert!(!is_global(not.parse().unwrap()), "{not}");
        }
    }
}
