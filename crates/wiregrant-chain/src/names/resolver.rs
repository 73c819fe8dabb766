//! A resolver for tests: it answers over TCP from the records of one real proof, so that what it says is signed by the DNS itself,
//! up to the root.
//!
//! The control plane's tests include this file too, so it leans on nothing of this crate.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use data_encoding::BASE64;

/// The name whose records these are.
pub const NAME: &str = "matt@mattcorallo.com";
/// What its zone has signed.
pub const ADDRESS: &str = "bc1qztwy6xen3zdtt7z0vrgapmjtfz8acjkfp5fp7l";
/// A moment at which all signatures are valid, in Unix seconds.
pub const VALID_AT: i64 = 1_786_000_000;

const PROOF: &str = include_str!("../../../wiregrant-payout/src/pay/name_proof.b64");
/// The type of a signature (RFC 4034).
const RRSIG: u16 = 46;
/// A header's length, and its flags in an answer: a response, recursive both ways, authentic (RFC 1035, 4035).
const HEADER_BYTES: usize = 12;
const AUTHENTIC: u16 = 0x81a0;
/// No such name.
const NXDOMAIN: u16 = 3;

/// A record as it is sent.
struct Record {
    name: Vec<u8>,
    kind: u16,
    /// The type that a signature is over; of anything else its own.
    of: u16,
    bytes: Vec<u8>,
}

/// Serves until the test ends; every answer may be `spoilt`.
pub fn serve(spoilt: fn(&mut Vec<u8>)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let records = records();
        for stream in listener.incoming() {
            // Who went away needs no answer.
            let _ = converse(stream.unwrap(), &records, spoilt);
        }
    });
    address
}

fn converse(mut stream: TcpStream, records: &[Record], spoilt: fn(&mut Vec<u8>)) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let mut answer = answer(&query, records);
        spoilt(&mut answer);
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

fn answer(query: &[u8], records: &[Record]) -> Vec<u8> {
    let (name, rest) = name(&query[HEADER_BYTES..]);
    let kind = number(rest);
    let found: Vec<&Record> = records
        .iter()
        .filter(|record| record.name == name && record.of == kind)
        .filter(|record| record.kind == kind || record.kind == RRSIG)
        .collect();
    let flags = if found.is_empty() { AUTHENTIC | NXDOMAIN } else { AUTHENTIC };
    let mut answer = query[..2].to_vec();
    for field in [flags, 1, u16::try_from(found.len()).unwrap(), 0, 0] {
        answer.extend(field.to_be_bytes());
    }
    let question = HEADER_BYTES..query.len() - rest.len() + 4;
    answer.extend(&query[question]);
    found.iter().for_each(|record| answer.extend(&record.bytes));
    answer
}

fn records() -> Vec<Record> {
    let text: String = PROOF.split_whitespace().collect();
    let proof = BASE64.decode(text.as_bytes()).unwrap();
    let mut left = proof.as_slice();
    let mut records = Vec::new();
    while !left.is_empty() {
        // Name; type, class, time to live, length; data.
        let (name, fields) = name(left);
        let (kind, length) = (number(fields), usize::from(number(&fields[8..])));
        let data = &fields[10..10 + length];
        let whole = left.len() - fields.len() + 10 + length;
        let of = if kind == RRSIG { number(data) } else { kind };
        records.push(Record { name, kind, of, bytes: left[..whole].to_vec() });
        left = &left[whole..];
    }
    records
}

/// A name that is not compressed, in lower case, and what stands behind it.
fn name(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut end = 0;
    while bytes[end] > 0 {
        end += 1 + usize::from(bytes[end]);
    }
    (bytes[..=end].to_ascii_lowercase(), &bytes[end + 1..])
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}
