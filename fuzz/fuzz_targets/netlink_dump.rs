//! Nothing that the kernel may answer makes the reader of a dump panic, and no peer stands twice in what it gives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::wireguard::netlink::dump::{Conversation, Dump, Step};

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say where one datagram ends and the next begins.
    let Some((cut, bytes)) = bytes.split_first_chunk() else { return };
    let (first, second) = bytes.split_at(usize::from(u16::from_le_bytes(*cut)).min(bytes.len()));
    // Small numbers, so that they are found.
    let dump = Dump::begin(Conversation { family: 0x20, sequence: 1, port: 1 });
    let step = match dump.take(first) {
        Ok(Step::More(dump)) => dump.take(second),
        step => step,
    };
    if let Ok(Step::Whole(device)) = step {
        assert!(device.peers.is_sorted_by(|one, next| one.public_key < next.public_key));
    }
});
