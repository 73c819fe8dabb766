//! What a journal's bytes say, and which of them a crash or a failing disk has spoilt. Pure: nothing is read or written here.
//!
//! ```text
//! 0     512   "wiregrant-agent journal 1\n", then zeros
//! 512   512   a mark: end u64 | checksum u32 | zeros | crc32c(all before) u32
//! 1024  512   the other mark
//! 1536        records: length u32 | checksum u32 | payload
//! ```
//!
//! Numbers are little-endian. A record's checksum is the CRC-32C of the checksum before it (0 for the first), its own length and
//! its payload, so each vouches for all before it. A mark tells where the last record ends that was known to be on the disk,
//! and that record's checksum. The two are written in turn, each in a sector of its own.
//!
//! What lies before the greater mark was durable: where it does not read back, the disk has lost it, and that is told. What
//! lies behind is an append that may have been cut short by a crash, and is cut off without a word.

/// The first sector.
const MAGIC: &[u8] = b"wiregrant-agent journal 1\n";
const SECTOR: usize = 512;
/// Where the first record begins.
pub const FIRST_RECORD: usize = 3 * SECTOR;
const HEADER_BYTES: usize = 8;

/// A place in the file behind a whole record, or before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where the record ends, in bytes from the beginning of the file.
    pub end: usize,
    /// Its checksum.
    pub checksum: u32,
}

impl Mark {
    /// Of a journal without records.
    pub const START: Self = Self { end: FIRST_RECORD, checksum: 0 };

    /// The place behind a record that follows here.
    #[must_use]
    pub fn after(self, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let end = self.end + HEADER_BYTES + payload.len();
        Self { end, checksum: checksum(self.checksum, length, payload) }
    }

    /// The sector that tells it.
    #[must_use]
    pub fn sector(self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[..8].copy_from_slice(&(self.end as u64).to_le_bytes());
        sector[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        let crc = crc32c::crc32c(&sector[..SECTOR - 4]);
        sector[SECTOR - 4..].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    fn read(sector: &[u8]) -> Option<Self> {
        let end = usize::try_from(u64::from_le_bytes(sector.get(..8)?.try_into().ok()?)).ok()?;
        let mark = Self { end, checksum: number(sector.get(8..12)?)? };
        (mark.sector() == *sector).then_some(mark)
    }
}

/// Where a mark's sector begins. `turn` counts the marks written.
#[must_use]
pub fn mark_offset(turn: usize) -> u64 {
    (SECTOR * (1 + turn % 2)) as u64
}

/// What lies before the first record of a file whose records end at `mark`.
#[must_use]
pub fn header(mark: Mark) -> Vec<u8> {
    [first_sector(), mark.sector(), mark.sector()].concat()
}

/// What every journal begins with.
#[must_use]
pub fn first_sector() -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    sector[..MAGIC.len()].copy_from_slice(MAGIC);
    sector
}

/// The record that holds `payload`, with the mark [`Mark::after`] it. The payload is shorter than 4 GiB.
#[must_use]
pub fn record(after: Mark, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &after.checksum.to_le_bytes()[..], payload].concat()
}

/// What was durable and does not read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The first byte that cannot be trusted.
    pub offset: usize,
    /// How many durable bytes are lost from there on, as far as a mark tells.
    pub lost: usize,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The payloads in order, each with the offset of its record.
    pub records: Vec<(usize, Vec<u8>)>,
    /// Behind the last whole record.
    pub mark: Mark,
    /// Bytes behind it that were never known to be durable.
    pub torn: usize,
    /// What is lost. The records are then those before it.
    pub damage: Option<Damage>,
    /// Whether the header is whole: both marks, and the first sector.
    pub header_whole: bool,
    /// Which mark is the greater that reads back: 0 or 1.
    pub good_mark: usize,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            mark: Mark::START,
            torn: 0,
            damage: None,
            header_whole: true,
            good_mark: 0,
        }
    }
}

/// Reads the bytes of a journal.
#[must_use]
pub fn read(bytes: &[u8]) -> Contents {
    let sector = |n: usize| bytes.get(n * SECTOR..(n + 1) * SECTOR).unwrap_or_default();
    let marks = [Mark::read(sector(1)), Mark::read(sector(2))];
    let header_whole = sector(0) == first_sector() && marks.iter().all(Option::is_some);
    let ends = marks.map(|mark| mark.map_or(0, |mark| mark.end));
    let good_mark = usize::from(ends[1] > ends[0]);
    let mut contents = Contents { header_whole, good_mark, ..Contents::default() };
    while let Some(payload) = payload_at(bytes, contents.mark) {
        contents.records.push((contents.mark.end, payload.to_vec()));
        contents.mark = contents.mark.after(payload);
    }
    contents.torn = bytes.len().saturating_sub(contents.mark.end);
    let end = contents.mark.end;
    contents.damage = match marks[good_mark] {
        // Without a mark nobody knows how much there was.
        None => Some(Damage { offset: bytes.len().min(SECTOR), lost: 0 }),
        Some(mark) if mark.end > end => Some(Damage { offset: end.min(bytes.len()), lost: mark.end - end }),
        Some(_) => None,
    };
    contents
}

/// The payload of a whole record that begins at `mark`.
fn payload_at(bytes: &[u8], mark: Mark) -> Option<&[u8]> {
    let (header, rest) = bytes.get(mark.end..)?.split_at_checked(HEADER_BYTES)?;
    let length = number(&header[..4])?;
    let payload = rest.get(..usize::try_from(length).ok()?)?;
    (checksum(mark.checksum, length, payload) == number(&header[4..])?).then_some(payload)
}

fn checksum(before: u32, length: u32, payload: &[u8]) -> u32 {
    let header = [before.to_le_bytes(), length.to_le_bytes()].concat();
    crc32c::crc32c_append(crc32c::crc32c(&header), payload)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| format!("{{\"n\":\"{text}\"}}").into_bytes()).collect()
    }

    /// A file of these records, all of them durable.
    fn file_of(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (mut mark, mut records) = (Mark::START, Vec::new());
        for payload in payloads {
            mark = mark.after(payload);
            records.extend(record(mark, payload));
        }
        [header(mark), records].concat()
    }

    fn told(contents: &Contents) -> Vec<Vec<u8>> {
        contents.records.iter().map(|(_, payload)| payload.clone()).collect()
    }

    #[test]
    fn a_file_cut_at_any_byte_is_damaged_and_holds_the_records_before_the_cut() {
        let written = payloads(&["one", "two", "three"]);
        let bytes = file_of(&written);
        let ends: Vec<usize> = (1..=3).map(|n| file_of(&written[..n]).len()).collect();
        for cut in 0..bytes.len() {
            let contents = read(&bytes[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(told(&contents), written[..whole], "cut at {cut}");
            let damage = contents.damage.unwrap_or_else(|| panic!("a cut at {cut} went unseen"));
            assert!(damage.offset <= cut, "{damage:?} for a cut at {cut}");
        }
        assert_eq!((read(&bytes).damage, read(&bytes).torn), (None, 0));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen_also_in_the_last_record_and_in_the_marks() {
        let written = payloads(&["one", "two", "three"]);
        let bytes = file_of(&written);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                let contents = read(&flipped);
                assert!(contents.damage.is_some() || !contents.header_whole, "{position} {bit}");
                assert!(written.starts_with(&told(&contents)), "{position} {bit}");
                if position < FIRST_RECORD {
                    // One mark is enough: nothing is lost with the other or with the name.
                    assert_eq!((contents.damage, told(&contents)), (None, written.clone()), "{position}");
                }
            }
        }
    }

    #[test]
    fn what_follows_the_mark_is_the_tail_of_an_append_and_no_damage() {
        let written = payloads(&["one", "two"]);
        let marked = file_of(&written[..1]);
        let mark = read(&marked).mark;
        let second = record(mark.after(&written[1]), &written[1]);
        for cut in 0..=second.len() {
            let contents = read(&[&marked[..], &second[..cut]].concat());
            let whole = if cut == second.len() { 2 } else { 1 };
            assert_eq!((contents.damage, told(&contents)), (None, written[..whole].to_vec()), "cut at {cut}");
            assert_eq!(contents.torn, if whole == 2 { 0 } else { cut });
        }
    }

    #[test]
    fn a_record_that_follows_another_than_the_one_before_it_does_not_count() {
        let written = payloads(&["one", "two"]);
        let stranger = Mark::START.after(b"{}").after(&written[1]);
        let marked = file_of(&written[..1]);
        let contents = read(&[&marked[..], &record(stranger, &written[1])].concat());
        assert_eq!((told(&contents), contents.damage), (written[..1].to_vec(), None));
        assert!(contents.torn > 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_and_every_byte_is_accounted_for(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
            texts in proptest::collection::vec("[a-z]{0,9}", 0..5),
        ) {
            let written = payloads(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let file = file_of(&written);
            prop_assert_eq!(told(&read(&file)), written.clone());
            for bytes in [noise.clone(), [&file[..], &noise].concat()] {
                let contents = read(&bytes);
                prop_assert!(contents.mark.end + contents.torn == bytes.len().max(FIRST_RECORD));
            }
            prop_assert!(told(&read(&[&file[..], &noise].concat())).starts_with(&written));
        }
    }
}
