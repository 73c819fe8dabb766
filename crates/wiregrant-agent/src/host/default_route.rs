//! The default routes: through which interfaces this machine reaches the Internet, one for each IP version.
//!
//! Read from `/proc`, as `route_seq_show` and `rt6_info_route` of the kernel print it: no program, no socket, and the routes
//! of the namespace in which the reading thread is.

use std::fs;

use anyhow::{Context as _, bail, ensure};

/// `RTF_UP`, `RTF_REJECT` and `RTF_ADDRCONF` of `linux/route.h` and `linux/ipv6_route.h`.
const UP: u32 = 0x0001;
const REJECT: u32 = 0x0200;
const BY_ADVERTISEMENT: u32 = 0x0004_0000;

const V4: &str = "/proc/thread-self/net/route";
const V6: &str = "/proc/thread-self/net/ipv6_route";

/// The interfaces to the Internet. At least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Where IPv4 leaves; `None` on a machine that has no IPv4.
    pub v4: Option<String>,
    /// Where IPv6 leaves; `None` on a machine that has no IPv6.
    pub v6: Option<String>,
    /// Whether a router's advertisement brought IPv6: it goes when the machine itself becomes a router, unless told to stay.
    pub v6_by_advertisement: bool,
}

/// One default route.
#[derive(Debug, PartialEq, Eq)]
struct DefaultRoute {
    interface: String,
    metric: u32,
    flags: u32,
}

impl Egress {
    /// The interfaces of the default routes with the least metric, other than `tunnel` itself; `chosen` instead of them
    /// when the operator names one.
    ///
    /// # Errors
    /// When there is no default route, or an interface has a name that no rule can carry.
    pub fn find(tunnel: &str, chosen: Option<&str>) -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("{path}: cannot be read"));
        // A kernel without IPv6 has no such file.
        let v6 = fs::read_to_string(V6).unwrap_or_default();
        Self::from_tables(&read(V4)?, &v6, tunnel, chosen)
    }

    fn from_tables(v4: &str, v6: &str, tunnel: &str, chosen: Option<&str>) -> anyhow::Result<Self> {
        let best = |routes: Vec<DefaultRoute>| {
            routes.into_iter().filter(|route| route.interface != tunnel).min_by_key(|route| route.metric)
        };
        let (v4, v6) = (best(default_routes_v4(v4)), best(default_routes_v6(v6)));
        let v6_by_advertisement = v6.as_ref().is_some_and(|route| route.flags & BY_ADVERTISEMENT != 0);
        let egress = match chosen {
            // Its routes may lie in a table of their own, of which IPv4's are not shown here.
            Some(name) => {
                Self { v4: Some(name.to_owned()), v6: v6.map(|_| name.to_owned()), v6_by_advertisement }
            }
            None => Self {
                v4: v4.map(|route| route.interface),
                v6: v6.map(|route| route.interface),
                v6_by_advertisement,
            },
        };
        if egress.v4.is_none() && egress.v6.is_none() {
            bail!(
                "firewall.egress: this machine has no default route, so the interface to the Internet is unknown; add the \
                 route, or name the interface in agent.toml"
            );
        }
        for name in egress.interfaces() {
            check_name(name)?;
        }
        Ok(egress)
    }

    /// Each interface once.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        let v6 = self.v6.as_deref().filter(|v6| Some(*v6) != self.v4.as_deref());
        self.v4.as_deref().into_iter().chain(v6)
    }
}

/// Linux takes nearly everything for a name; in a ruleset some of it would mean something.
fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+');
    ensure!(
        (1..=15).contains(&name.len()) && name.bytes().all(plain),
        "firewall.egress: {name:?} is not the name of an interface as rules can carry it: 1 to 15 letters, digits or _-.@+"
    );
    Ok(())
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal but for the metric.
fn default_routes_v4(table: &str) -> Vec<DefaultRoute> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, "00000000", _, flags, _, _, metric, "00000000", ..] = fields[..] else { return None };
        usable(interface, u32::from_str_radix(flags, 16).ok()?, metric.parse().ok()?)
    };
    table.lines().filter_map(route).collect()
}

/// `destination length source length next-hop metric references use flags interface`, numbers in hexadecimal.
fn default_routes_v6(table: &str) -> Vec<DefaultRoute> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, "00", _, "00", _, metric, _, _, flags, interface] = fields[..] else { return None };
        let number = |text| u32::from_str_radix(text, 16).ok();
        if destination.bytes().any(|digit| digit != b'0') {
            return None;
        }
        usable(interface, number(flags)?, number(metric)?)
    };
    table.lines().filter_map(route).collect()
}

fn usable(interface: &str, flags: u32, metric: u32) -> Option<DefaultRoute> {
    let leads_out = flags & UP != 0 && flags & REJECT == 0 && !matches!(interface, "lo" | "*");
    leads_out.then(|| DefaultRoute { interface: interface.to_owned(), metric, flags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    const ETH0: &str = "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
    const ETH1: &str = "eth1\t00000000\t010200C0\t0003\t0\t0\t50\t00000000\t0\t0\t0\n";
    const LOCAL: &str = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const NO_V6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    fn v6(interface: &str, metric: &str, flags: &str) -> String {
        let zeros = "0".repeat(32);
        format!(
            "{zeros} 00 {zeros} 00 fd5a0000000000000000000000000001 {metric} 00000002 00000000 {flags} {interface:>8}\n"
        )
    }

    #[test]
    fn the_default_route_with_the_least_metric_leads_out() {
        let v4 = [HEADER, ETH0, ETH1, LOCAL].concat();
        let v6 = v6("eth0", "00000400", "00000003") + &v6("eth2", "00000100", "00040003") + NO_V6;
        let egress = Egress::from_tables(&v4, &v6, "wg0", None).unwrap();
        let expected = Egress { v4: Some("eth1".into()), v6: Some("eth2".into()), v6_by_advertisement: true };
        assert_eq!(egress, expected);
        assert_eq!(egress.interfaces().collect::<Vec<_>>(), ["eth1", "eth2"]);
        let without = Egress::from_tables(&v4, &v6, "eth1", None).unwrap();
        assert_eq!(without.v4.as_deref(), Some("eth0"), "the tunnel is no way out of itself");
    }

    #[test]
    fn a_machine_without_ipv6_has_a_way_out_for_ipv4_alone() {
        let egress = Egress::from_tables(&[HEADER, ETH0].concat(), NO_V6, "wg0", None).unwrap();
        assert_eq!((egress.v4.as_deref(), egress.v6), (Some("eth0"), None));
    }

    #[test]
    fn without_a_default_route_the_error_names_the_setting() {
        let error = Egress::from_tables(&[HEADER, LOCAL].concat(), NO_V6, "wg0", None).unwrap_err();
        assert!(error.to_string().contains("firewall.egress"), "{error}");
    }

    #[test]
    fn the_operators_word_stands_above_the_routes() {
        let egress = Egress::from_tables(HEADER, NO_V6, "wg0", Some("vpn7")).unwrap();
        assert_eq!((egress.v4.as_deref(), egress.v6), (Some("vpn7"), None));
        for bad in ["", "eth0\" accept", "eth*", "abcdefghijklmnop"] {
            let error = Egress::from_tables(HEADER, NO_V6, "wg0", Some(bad)).unwrap_err();
            assert!(error.to_string().contains("firewall.egress"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(v4 in "\\PC{0,200}", v6 in "([0-9a-f]{0,33} ?){0,12}") {
            let _ = Egress::from_tables(&v4, &v6, "wg0", None);
        }
    }
}
