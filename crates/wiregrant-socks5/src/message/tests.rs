//! The messages, byte by byte.

use proptest::prelude::*;

use super::*;

fn socket_address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        socket_address().prop_map(Target::Address),
        ("[a-z0-9._-]{1,255}", any::<u16>()).prop_map(|(name, port)| Target::Domain(name, port)),
    ]
}

/// What a client writes.
fn written(start: [u8; 3], target: &Target) -> Vec<u8> {
    let mut bytes = start.to_vec();
    match target {
        Target::Address(address) => push_address(&mut bytes, *address),
        Target::Domain(name, port) => {
            bytes.extend([ATYP_DOMAIN, u8::try_from(name.len()).unwrap()]);
            bytes.extend(name.as_bytes());
            bytes.extend(port.to_be_bytes());
        }
    }
    bytes
}

#[test]
fn the_messages_of_curl_are_read_and_answered_as_the_rfcs_say() {
    assert_eq!(greeting(&[5, 2, 0, 2]), Ok(Some((true, 4))));
    assert_eq!(greeting(&[5, 1, 0]), Ok(Some((false, 3))));
    let (found, length) = credentials(b"\x01\x04user\x06secret!").unwrap().unwrap();
    assert_eq!((found.username, found.password, length), (&b"user"[..], &b"secret"[..], 13));
    let wanted = Target::Domain("example.org".into(), 443);
    let connect = Request { command: Command::Connect, target: wanted };
    assert_eq!(request(b"\x05\x01\x00\x03\x0bexample.org\x01\xbb"), Ok(Some((connect, 18))));
    let bound = "192.0.2.7:1080".parse().unwrap();
    assert_eq!(Reply::Succeeded.to_bytes(bound), [5, 0, 0, 1, 192, 0, 2, 7, 4, 56]);
    assert_eq!((method_selection(METHOD_NONE), negotiation_status(false)), ([5, 0xff], [1, 1]));
}

#[test]
fn what_is_not_understood_has_its_reply_or_none() {
    assert_eq!(greeting(b"GET / HTTP/1.1"), Err(MessageError::Version));
    assert_eq!(greeting(&[5, 0]), Err(MessageError::Empty));
    assert_eq!(credentials(&[1, 1, b'u', 0]).err(), Some(MessageError::Empty));
    for (bytes, reply) in [
        (&[5, 2, 0, 1, 1, 2, 3, 4, 0, 80][..], Some(Reply::CommandNotSupported)),
        (&[5, 1, 0, 9], Some(Reply::AddressTypeNotSupported)),
        (b"\x05\x01\x00\x03\x03a\0b\0\x50", Some(Reply::HostUnreachable)),
        (&[4, 1], None),
    ] {
        assert_eq!(request(bytes).unwrap_err().reply(), reply, "{bytes:?}");
    }
    assert_eq!(datagram(&[0, 0, 1, 1, 1, 2, 3, 4, 0, 80]), Err(MessageError::Fragment));
    assert_eq!(datagram(&[0, 0, 0, 1, 1, 2, 3]), Err(MessageError::Short));
}

proptest! {
    #[test]
    fn a_message_is_whole_at_its_last_byte_and_not_before(
        target in target(),
        user in proptest::collection::vec(any::<u8>(), 1..=255),
        word in proptest::collection::vec(any::<u8>(), 1..=255),
        rest in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let bytes = written([5, 1, 0], &target);
        for cut in 0..bytes.len() {
            prop_assert_eq!(request(&bytes[..cut]), Ok(None));
        }
        let followed = [&bytes[..], &rest].concat();
        let wanted = Request { command: Command::Connect, target: target.clone() };
        prop_assert_eq!(request(&followed), Ok(Some((wanted, bytes.len()))));
        let packet = [&written([0, 0, 0], &target)[..], &rest].concat();
        prop_assert_eq!(datagram(&packet), Ok((target, packet.len() - rest.len())));

        let length = |field: &[u8]| u8::try_from(field.len()).unwrap();
        let bytes = [&[1, length(&user)], &user[..], &[length(&word)], &word[..]].concat();
        prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
        for cut in 0..bytes.len() {
            prop_assert!(credentials(&bytes[..cut]).unwrap().is_none());
        }
        let followed = [&bytes[..], &rest].concat();
        let (found, end) = credentials(&followed).unwrap().unwrap();
        prop_assert_eq!((found.username, found.password, end), (&user[..], &word[..], bytes.len()));
    }

    #[test]
    fn no_bytes_make_a_parser_panic_or_claim_more_than_there_is(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        version in 0u8..6,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        for end in [
            greeting(&bytes).ok().flatten().map(|(_, end)| end),
            credentials(&bytes).ok().flatten().map(|(_, end)| end),
            request(&bytes).ok().flatten().map(|(_, end)| end),
            datagram(&bytes).ok().map(|(_, end)| end),
        ] {
            prop_assert!(end.is_none_or(|end| end <= bytes.len()));
        }
    }

    #[test]
    fn a_datagram_to_the_client_says_where_it_came_from(from in socket_address()) {
        let header = datagram_header(from);
        prop_assert!(header.len() <= MAX_ADDRESS_HEADER_BYTES);
        prop_assert_eq!(datagram(&header), Ok((Target::Address(from), header.len())));
    }
}
