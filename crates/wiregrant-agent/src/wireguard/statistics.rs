//! A link's own statistics: bytes that outlive its peers.
//!
//! Format: `/proc/net/dev`, one line a link: its name, a colon, eight numbers of what was received, the bytes first, and eight of
//! what was sent. The kernel raises both by whole WireGuard messages, handshakes and keepalives among them, as it raises the peers'
//! own counters: its test holds them to the byte against what a client has counted.

use std::os::unix::net::UnixDatagram;

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use wiregrant_core::counter::Reading;

use super::{InterfaceName, WireGuardError};

/// As the calling thread's network namespace has it; `/proc/net` is that of the process's first thread.
const PATH: &str = "/proc/thread-self/net/dev";
/// Where in a line the bytes received and the bytes sent stand, counted from 0 after the colon.
const COLUMNS: [usize; 2] = [0, 8];

/// What the link has moved since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Another link of the same name has another number, until the machine starts anew.
    pub instance: u32,
    /// WireGuard message bytes of all peers it has had.
    pub reading: Reading,
}

/// The statistics of the link of this name.
pub(super) fn read(name: &InterfaceName) -> Result<Statistics, WireGuardError> {
    let io = |what: &str, source| WireGuardError::Io { what: what.to_owned(), source };
    let gone = || WireGuardError::Gone { name: name.to_string() };
    // Any socket will do to ask by; this one needs no privilege.
    let socket = UnixDatagram::unbound().map_err(|error| io("a socket to ask for a link's number", error))?;
    let instance = match name_to_index(&socket, name.as_str()) {
        Ok(index) => index,
        Err(Errno::NODEV) => return Err(gone()),
        Err(error) => return Err(io("a link's number", error.into())),
    };
    let text = std::fs::read_to_string(PATH).map_err(|error| io(PATH, error))?;
    let reading = of_link(name.as_str(), &text).ok_or_else(gone)?;
    Ok(Statistics { instance, reading })
}

/// The line of the link of this name in the text of `/proc/net/dev`.
#[must_use]
pub fn of_link(name: &str, text: &str) -> Option<Reading> {
    let (_, numbers) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(of, _)| of.trim() == name)?;
    let [received, sent] = COLUMNS.map(|column| numbers.split_whitespace().nth(column)?.parse().ok());
    Some(Reading { received: received?, sent: sent? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo:  122512     883    0    0    0     0          0         0   122512     883    0    0    0     0       0          0\n\
        wg10:18446744073709551615 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n\
         wg1: 9250436    8629    0    0    0     0          0         0    47212     883    0    0    0     0       0          0\n";

    #[test]
    fn a_link_is_found_by_its_whole_name() {
        assert_eq!(of_link("wg1", TEXT), Some(Reading { received: 9_250_436, sent: 47_212 }));
        assert_eq!(of_link("wg10", TEXT), Some(Reading { received: u64::MAX, sent: 7 }));
        assert_eq!(of_link("wg", TEXT), None);
        assert_eq!(of_link("wg1", "wg1: 5 0 0 0 0 0 0 0\n"), None, "a line that was cut");
        assert_eq!(of_link("wg1", "wg1: -5 0 0 0 0 0 0 0 5\n"), None);
    }

    #[test]
    fn the_machines_own_loopback_is_read() {
        let lo: InterfaceName = "lo".parse().unwrap();
        let read = read(&lo).unwrap();
        assert_eq!((read.instance, read.reading.received), (1, read.reading.sent));
        assert!(super::read(&"wgnone".parse().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9: \\n]{0,200}") {
            let _ = of_link("lo", &text);
        }
    }
}
