//! Endpoints: where clients reach a node, `host:port`, with IPv6 hosts in brackets.

use std::net::Ipv6Addr;

use crate::error::{Answer, Failure};

const MAX_ENDPOINT_CHARS: usize = 255;

/// A checked endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// A name or an address, IPv6 without brackets.
    pub host: &'a str,
    /// Not 0.
    pub port: u16,
}

impl<'a> Endpoint<'a> {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// `invalid-request`, naming the field.
    pub fn checked(field: &str, endpoint: &'a str) -> Answer<Self> {
        Self::read(endpoint).ok_or_else(|| {
            let shown: String = endpoint.chars().take(MAX_ENDPOINT_CHARS).collect();
            Failure::field(field, shown, "host:port, such as 198.51.100.7:51820 or [2001:db8::7]:51820")
        })
    }

    fn read(endpoint: &'a str) -> Option<Self> {
        let (host, port) = endpoint.rsplit_once(':').filter(|_| endpoint.len() <= MAX_ENDPOINT_CHARS)?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let (host, good) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => (host, host.parse::<Ipv6Addr>().is_ok()),
            None => (host, !host.is_empty() && host.bytes().all(name)),
        };
        let number = port.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == port)?;
        good.then_some(Self { host, port: number })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (good, host, port) in [
            ("198.51.100.7:51820", "198.51.100.7", 51820),
            ("[2001:db8::7]:1", "2001:db8::7", 1),
            ("vpn.example.org:65535", "vpn.example.org", 65535),
        ] {
            assert_eq!(Endpoint::checked("endpoint", good).unwrap(), Endpoint { host, port });
        }
        for bad in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "host:01",
            "2001:db8::7:51820",
            "[::1:5",
            "[]:5",
            "[host]:5",
            "a b:1",
        ] {
            let detail = Endpoint::checked("socks5_endpoint", bad).unwrap_err().problem().detail.clone();
            assert!(detail.contains("socks5_endpoint") && detail.contains("host:port"), "{bad}: {detail}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_put_together_again(endpoint in "\\[?[0-9a-f.:]{0,12}\\]?:[0-9]{0,6}|[\\[\\]:.a-z0-9 \\PC]{0,40}") {
            if let Ok(Endpoint { host, port }) = Endpoint::checked("endpoint", &endpoint) {
                let again = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                prop_assert_eq!(again, endpoint);
            }
        }
    }
}
