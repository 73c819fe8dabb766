//! Which messages are taken for an answer.

use super::*;
use proptest::prelude::*;

const CONVERSATION: Conversation = Conversation { family: 33, sequence: 7, port: 99 };

/// A message as the kernel would send it.
fn message(kind: u16, flags: u16, sequence: u32, port: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&port.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(attribute::padded(bytes.len()), 0);
    bytes
}

fn only(datagram: &[u8]) -> Result<Message<'_>, NetlinkError> {
    let mut read: Vec<_> = messages(datagram, &CONVERSATION).collect();
    assert_eq!(read.len(), 1);
    read.remove(0)
}

#[test]
fn an_answer_to_another_request_or_socket_is_refused() {
    for (sequence, port) in [(6, 99), (7, 98), (7, 0)] {
        let error = only(&message(NLMSG_ERROR, 0, sequence, port, &[0; 4])).unwrap_err();
        let stray = NetlinkError::Stray { sequence: 7, found_sequence: sequence, port: 99, found_port: port };
        assert_eq!(error, stray);
    }
    let acknowledged = message(NLMSG_ERROR, 0, 7, 99, &[0; 4]);
    assert_eq!(only(&acknowledged).unwrap(), Message { interrupted: false, body: Body::Acknowledged });
}

#[test]
fn an_error_number_is_an_error_also_at_the_end_of_a_dump() {
    for kind in [NLMSG_ERROR, NLMSG_DONE] {
        let refused = only(&message(kind, 0, 7, 99, &(-1_i32).to_ne_bytes())).unwrap_err();
        assert_eq!(refused, NetlinkError::Refused(Errno::PERM));
        assert!(refused.to_string().ends_with("(run the agent as root or with CAP_NET_ADMIN)"), "{refused}");
        for nonsense in [1_i32, -4096, i32::MIN, i32::MAX] {
            let error = only(&message(kind, 0, 7, 99, &nonsense.to_ne_bytes())).unwrap_err();
            assert!(matches!(error, NetlinkError::Form { .. }), "{nonsense}: {error}");
        }
        assert!(only(&message(kind, 0, 7, 99, &[0; 3])).is_err(), "without an error number");
    }
}

#[test]
fn the_mark_of_an_interrupted_dump_is_seen_on_every_kind_of_message() {
    let content = message(33, NLM_F_DUMP_INTR, 7, 99, &[0, 1, 0, 0]);
    let done = message(NLMSG_DONE, NLM_F_DUMP_INTR | 2, 7, 99, &[0; 4]);
    let both = [content, done].concat();
    let read: Result<Vec<_>, _> = messages(&both, &CONVERSATION).collect();
    let read = read.unwrap();
    assert_eq!(read[0].body, Body::Family { command: 0, attributes: &[] });
    assert_eq!(read[1].body, Body::Done);
    assert!(read.iter().all(|message| message.interrupted));
}

#[test]
fn another_family_and_a_cut_message_are_refused() {
    assert!(only(&message(34, 0, 7, 99, &[0, 1, 0, 0])).is_err());
    assert!(only(&message(33, 0, 7, 99, &[0, 1, 0])).is_err());
    let whole = message(33, 0, 7, 99, &[0, 1, 0, 0]);
    for end in 1..whole.len() {
        assert!(only(&whole[..end]).is_err(), "cut after {end} bytes");
    }
}

proptest! {
    #[test]
    fn a_sealed_request_carries_its_number(sequence: u32, port: u32, value in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut request = Request::dump(33, 5);
        request.put(2, &value);
        let bytes = request.sealed(sequence, port).to_vec();
        let conversation = Conversation { family: 33, sequence, port };
        let read: Vec<_> = messages(&bytes, &conversation).collect();
        let mut attributes = Vec::new();
        attribute::put(&mut attributes, 2, &value);
        let body = Body::Family { command: 5, attributes: &attributes };
        prop_assert_eq!(read, [Ok(Message { interrupted: false, body })]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_go_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(messages(&bytes, &CONVERSATION).count() <= bytes.len() / HEADER_BYTES + 1);
    }
}
