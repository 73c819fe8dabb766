//! What the reader takes and refuses.

use super::*;
use proptest::prelude::*;

const KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A device's reply as `wireguard-go` prints it.
fn printed(device: &Device) -> String {
    let mut text = String::new();
    if let Some(key) = &device.private_key {
        let _ = writeln!(text, "private_key={}", HEXLOWER.encode(key.as_bytes()));
    }
    let _ = writeln!(text, "listen_port={}", device.listen_port);
    for peer in &device.peers {
        let _ = writeln!(
            text,
            "public_key={}\npreshared_key={KEY}\nprotocol_version=1\nendpoint=[fe80::1%eth0]:51820\n\
             last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes={}\nrx_bytes={}\n\
             persistent_keepalive_interval=0",
            HEXLOWER.encode(peer.public_key.as_bytes()),
            peer.reading.sent,
            peer.reading.received,
        );
        for ip in &peer.allowed_ips {
            let _ = writeln!(text, "allowed_ip={ip}");
        }
    }
    text + "errno=0\n\n"
}

fn refusal(text: &str) -> String {
    read_device(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_peer_without_a_counter_is_refused_and_not_read_as_zero() {
    let text = format!("listen_port=1\npublic_key={KEY}\nrx_bytes=5\nerrno=0\n\n");
    assert_eq!(refusal(&text), "reply line 4: the peer that ends before it has no tx_bytes");
    let twice = format!("public_key={KEY}\nrx_bytes=5\nrx_bytes=5\ntx_bytes=1\nerrno=0\n\n");
    assert_eq!(refusal(&twice), "reply line 3 (\"rx_bytes\"): expected one counter of 0 to 2^64-1");
    let peer = format!("public_key={KEY}\nrx_bytes=5\ntx_bytes=1\n");
    assert!(refusal(&format!("{peer}{peer}errno=0\n\n")).contains("every peer once"));
}

#[test]
fn a_reply_that_stops_anywhere_is_refused() {
    let peer = LivePeer {
        public_key: [9; 32].into(),
        allowed_ips: vec!["10.0.0.2/32".parse().unwrap()],
        reading: Reading { received: 12, sent: 34 },
    };
    let whole = printed(&Device { private_key: Some([7; 32].into()), listen_port: 51820, peers: vec![peer] });
    assert!(read_device(whole.as_bytes()).is_ok());
    for end in 0..whole.len() {
        assert!(read_device(&whole.as_bytes()[..end]).is_err(), "cut after {end} bytes");
    }
}

#[test]
fn an_error_number_is_told_and_a_value_is_not_repeated() {
    assert_eq!(refusal("errno=-22\n\n"), "the device refused the request with errno -22");
    let error = read_acknowledgement("errno=98\n\n".as_bytes()).unwrap_err();
    assert!(matches!(error, UapiError::Refused(98)));
    for text in ["private_key=secret\n", "endpoint=192.0.2.7:1\n", "secret\n", "x=secret\n"] {
        let error = refusal(&format!("{text}errno=0\n\n"));
        assert!(!error.contains("secret") && !error.contains("192.0.2.7"), "{error}");
    }
}

#[test]
fn an_endless_line_is_not_read_to_its_end() {
    assert!(matches!(
        read_device(io::BufReader::new(io::repeat(b'a'))),
        Err(UapiError::LineTooLong { line: 1 })
    ));
}

#[test]
fn a_peer_that_loses_its_allowed_ips_is_never_created_by_it() {
    let key = WireGuardPublicKey::from([0x22; 32]);
    let silenced = format!("set=1\npublic_key={KEY}\nupdate_only=true\nreplace_allowed_ips=true\n\n");
    assert_eq!(change_peers([PeerChange::Set { peer: &key, allowed_ips: &[] }]), silenced);
    assert_eq!(change_peers([PeerChange::Update { peer: &key, allowed_ips: &[] }]), silenced);
    let ips = ["10.0.0.2/32".parse().unwrap(), "fd00::2/128".parse().unwrap()];
    assert_eq!(
        change_peers([PeerChange::Set { peer: &key, allowed_ips: &ips }]),
        format!(
            "set=1\npublic_key={KEY}\nreplace_allowed_ips=true\nallowed_ip=10.0.0.2/32\n\
             allowed_ip=fd00::2/128\n\n"
        )
    );
}

#[test]
fn many_changes_are_one_transaction() {
    let key = WireGuardPublicKey::from([0x22; 32]);
    let ips = ["10.0.0.2/32".parse().unwrap()];
    let changes = [
        PeerChange::Remove { peer: &key },
        PeerChange::Update { peer: &key, allowed_ips: &ips },
        PeerChange::Set { peer: &key, allowed_ips: &ips },
    ];
    assert_eq!(
        change_peers(changes),
        format!(
            "set=1\npublic_key={KEY}\nremove=true\n\
             public_key={KEY}\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.0.0.2/32\n\
             public_key={KEY}\nreplace_allowed_ips=true\nallowed_ip=10.0.0.2/32\n\n"
        )
    );
}

#[test]
fn setting_the_interface_never_replaces_peers() {
    let key = WireGuardPrivateKey::from([0x22; 32]);
    assert_eq!(*set_interface(Some(&key), Some(7)), format!("set=1\nprivate_key={KEY}\nlisten_port=7\n\n"));
    assert_eq!(*set_interface(None, Some(7)), "set=1\nlisten_port=7\n\n");
}

fn peer() -> impl Strategy<Value = LivePeer> {
    let v4 = (any::<[u8; 4]>(), 0..=32u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap());
    let v6 = (any::<[u8; 16]>(), 0..=128u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap());
    let ips = proptest::collection::vec(prop_oneof![v4, v6], 0..5);
    (any::<[u8; 32]>(), ips, any::<u64>(), any::<u64>()).prop_map(|(key, mut allowed_ips, received, sent)| {
        allowed_ips.sort_unstable();
        LivePeer { public_key: key.into(), allowed_ips, reading: Reading { received, sent } }
    })
}

/// Lines that are nearly a reply, so that the deeper states are reached too.
fn nearly_a_reply() -> impl Strategy<Value = String> {
    let keys = [
        "private_key",
        "listen_port",
        "fwmark",
        "public_key",
        "rx_bytes",
        "tx_bytes",
        "allowed_ip",
        "endpoint",
        "errno",
        "",
    ];
    let values = prop_oneof![
        Just(KEY.to_owned()),
        Just("0".to_owned()),
        Just("10.0.0.1/24".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        ".{0,12}"
    ];
    let line = (proptest::sample::select(keys.to_vec()), values)
        .prop_map(|(key, value)| if key.is_empty() { "\n".to_owned() } else { format!("{key}={value}\n") });
    proptest::collection::vec(line, 0..14).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn what_was_printed_is_read_back(
        key in proptest::option::of(any::<[u8; 32]>()),
        listen_port: u16,
        peers in proptest::collection::vec(peer(), 0..6),
    ) {
        let peers: BTreeMap<_, _> = peers.into_iter().map(|peer| (peer.public_key, peer)).collect();
        let device = Device {
            private_key: key.map(Into::into),
            listen_port,
            peers: peers.into_values().collect(),
        };
        let text = printed(&device);
        let read = read_device(text.as_bytes()).unwrap();
        prop_assert_eq!(printed(&read), text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_device(&bytes[..]);
        let _ = read_acknowledgement(&bytes[..]);
    }

    #[test]
    fn no_lines_make_the_reader_panic_and_every_accepted_reply_has_its_end(text in nearly_a_reply()) {
        if read_device(text.as_bytes()).is_ok() {
            prop_assert!(text.contains("errno=0\n\n"));
        }
        let _ = read_acknowledgement(text.as_bytes());
    }
}
