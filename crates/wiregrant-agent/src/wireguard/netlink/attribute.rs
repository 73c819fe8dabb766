//! Netlink attributes: each a length, a kind and a value, padded to four bytes; a value may be attributes again.

use super::NetlinkError;

/// Length and kind, two bytes each.
pub const HEADER_BYTES: usize = 4;
/// `NLA_F_NESTED`: the value is attributes.
const NESTED: u16 = 0x8000;
/// The bits of the kind that are no flags.
const KIND_MASK: u16 = 0x3fff;

/// The attributes in some bytes: kind and value. After an error there is nothing more.
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), NetlinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let [length_low, length_high, kind_low, kind_high, ..] = *bytes else {
            return Some(Err(NetlinkError::Form { expected: "an attribute of at least 4 bytes" }));
        };
        let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
        let Some(value) = bytes.get(HEADER_BYTES..length) else {
            return Some(Err(NetlinkError::Form { expected: "an attribute within its message" }));
        };
        // The last one may come without its padding.
        self.rest = bytes.get(padded(length)..).unwrap_or_default();
        Some(Ok((u16::from_ne_bytes([kind_low, kind_high]) & KIND_MASK, value)))
    }
}

/// `length`, and what fills it up to a multiple of four.
pub const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Appends an attribute.
pub fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    close(bytes, start);
}

/// Appends the beginning of an attribute that holds attributes; [`close`] needs what this gives.
pub fn open(bytes: &mut Vec<u8>, kind: u16) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
    start
}

/// Ends the attribute that begins at `start`.
pub fn close(bytes: &mut Vec<u8>, start: usize) {
    let length = u16::try_from(bytes.len() - start).expect("a message is shorter than 64 KiB");
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(padded(bytes.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attribute_that_is_cut_or_lies_about_its_length_is_refused() {
        let mut whole = Vec::new();
        put(&mut whole, 7, b"value");
        // Without padding it is still whole.
        for end in 1..9 {
            assert!(Attributes::new(&whole[..end]).next().unwrap().is_err(), "cut after {end} bytes");
        }
        for length in [0_u16, 3, 13] {
            whole[..2].copy_from_slice(&length.to_ne_bytes());
            let read: Vec<_> = Attributes::new(&whole).collect();
            assert_eq!(read.len(), 1, "nothing after an error");
            assert!(read[0].is_err(), "length {length}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            attributes in prop::collection::vec((0..KIND_MASK, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let mut bytes = Vec::new();
            let nest = open(&mut bytes, 3);
            for (kind, value) in &attributes {
                put(&mut bytes, *kind, value);
            }
            close(&mut bytes, nest);
            let (kind, inner) = Attributes::new(&bytes).next().unwrap().unwrap();
            prop_assert_eq!(kind, 3);
            let read: Vec<_> = Attributes::new(inner).map(|a| a.map(|(kind, value)| (kind, value.to_vec()))).collect();
            prop_assert_eq!(read, attributes.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_go_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Attributes::new(&bytes).count() <= bytes.len() / HEADER_BYTES + 1);
        }
    }
}
