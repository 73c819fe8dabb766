//! `Note`: a text signed by one or more keys, as c2sp.org/signed-note writes it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::error::{LogError, excerpt};
use crate::key::{Verifier, is_key_name};

/// Longest note that is read or signed, in bytes, signatures included: 16 MiB.
pub const MAX_NOTE_BYTES: usize = 16 << 20;

/// Most signature lines of a note. The spec asks for at least 16.
pub const MAX_NOTE_SIGNATURES: usize = 100;

/// Em dash and space, with which every signature line begins.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A text and its signatures, not yet verified: trust `text` only after [`Note::verified_by`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its final newline.
    pub text: String,
    /// The signature lines in their order, of keys known and unknown.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: u32,
    /// The signature's bytes without the key id: 64 for Ed25519, other lengths for types we carry along.
    pub signature: Vec<u8>,
}

impl Note {
    /// Reads a note without verifying it. What is accepted prints back identically.
    ///
    /// # Errors
    /// [`LogError::TooLong`], [`LogError::NoteFormat`], [`LogError::SignatureLine`] or [`LogError::SignatureCount`].
    pub fn parse(note: &str) -> Result<Self, LogError> {
        let (text, signatures) = split(note)?;
        Ok(Self { text: text.to_owned(), signatures: parse_lines(signatures)? })
    }

    /// Reads a note that has exactly one signature line and whose text is ASCII without empty lines.
    ///
    /// # Errors
    /// As [`Note::parse`]; [`LogError::NoteFormat`] and [`LogError::SignatureCount`] also for the narrower form.
    pub fn parse_sole(note: &str) -> Result<Self, LogError> {
        let (text, signature) = Self::split_sole(note)?;
        Ok(Self { text: text.to_owned(), signatures: vec![signature] })
    }

    /// As [`Note::parse_sole`], without a copy of the text.
    ///
    /// # Errors
    /// As [`Note::parse_sole`].
    pub fn split_sole(note: &str) -> Result<(&str, NoteSignature), LogError> {
        let (text, signatures) = split(note)?;
        let mut signatures = parse_lines(signatures)?;
        let count = signatures.len();
        let Some(signature) = signatures.pop().filter(|_| count == 1) else {
            return Err(LogError::SignatureCount { count, limit: 1 });
        };
        if !text.is_ascii() {
            return Err(LogError::NoteFormat { reason: "the text is not ASCII" });
        }
        if text.starts_with('\n') || text.contains("\n\n") {
            return Err(LogError::NoteFormat { reason: "the text has an empty line" });
        }
        Ok((text, signature))
    }

    /// The same note with one signature line more, in place of those of the same key. The first line, the author's,
    /// stays first; the others are sorted, so that the bytes do not depend on the order in which lines arrived.
    /// Verify the line before: nothing here does.
    ///
    /// # Errors
    /// [`LogError::SignatureLine`] for a line that could not be read back; [`LogError::SignatureCount`] or
    /// [`LogError::TooLong`] where the note would pass its limits.
    pub fn with_line(&self, line: &NoteSignature) -> Result<Self, LogError> {
        line.to_string().parse::<NoteSignature>()?;
        let author = self.signatures.first().filter(|author| !line.is_by(&author.name, author.key_id));
        let others = &self.signatures[usize::from(author.is_some())..];
        let others = others.iter().filter(|other| !line.is_by(&other.name, other.key_id));
        let others: BTreeSet<_> = others.chain([line]).collect();
        let signatures: Vec<_> = author.into_iter().chain(others).cloned().collect();
        if signatures.len() > MAX_NOTE_SIGNATURES {
            return Err(LogError::SignatureCount { count: signatures.len(), limit: MAX_NOTE_SIGNATURES });
        }
        let note = Self { text: self.text.clone(), signatures };
        check_text(&note.to_string())?;
        Ok(note)
    }

    /// The lines that carry a key's name and id, in their order.
    pub(crate) fn lines_by(&self, name: &str, key_id: u32) -> Vec<&NoteSignature> {
        self.signatures.iter().filter(|line| line.is_by(name, key_id)).collect()
    }

    /// Whether this key signed the text: exactly one line carries its name and id, and that line verifies strictly.
    ///
    /// # Errors
    /// [`LogError::NotSigned`], [`LogError::SignedTwice`] (a second line would make two notes of one text), or
    /// [`LogError::BadSignature`].
    pub fn verified_by(&self, verifier: &Verifier) -> Result<(), LogError> {
        let (name, key_id) = (verifier.name(), verifier.key_id());
        match self.lines_by(name, key_id).as_slice() {
            [] => Err(LogError::NotSigned { name: excerpt(name), key_id }),
            [line] => line.verified_by(&self.text, verifier),
            more => Err(LogError::SignedTwice { name: excerpt(name), key_id, count: more.len() }),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

impl NoteSignature {
    /// Whether this is the line of this key and verifies strictly over `text`, a note's text with its final newline.
    ///
    /// # Errors
    /// [`LogError::NotSigned`] where it is another key's line, or [`LogError::BadSignature`].
    pub fn verified_by(&self, text: &str, verifier: &Verifier) -> Result<(), LogError> {
        let (name, key_id) = (verifier.name(), verifier.key_id());
        if !self.is_by(name, key_id) {
            return Err(LogError::NotSigned { name: excerpt(name), key_id });
        }
        match <&[u8; 64]>::try_from(self.signature.as_slice()) {
            Ok(signature) if verifier.verify(text.as_bytes(), signature) => Ok(()),
            _ => Err(LogError::BadSignature { name: excerpt(name), key_id }),
        }
    }

    /// Whether the line carries this name and this key id.
    fn is_by(&self, name: &str, key_id: u32) -> bool {
        self.name == name && self.key_id == key_id
    }
}

impl FromStr for NoteSignature {
    type Err = LogError;

    /// Reads one line with its newline. What is accepted prints back identically.
    ///
    /// # Errors
    /// [`LogError::SignatureLine`].
    fn from_str(line: &str) -> Result<Self, LogError> {
        let refused = |reason| LogError::SignatureLine { line: excerpt(line.trim_end()), reason };
        let rest = line.strip_suffix('\n').ok_or_else(|| refused("no newline at its end"))?;
        let rest =
            rest.strip_prefix(SIGNATURE_PREFIX).ok_or_else(|| refused("no em dash and space before it"))?;
        let (name, blob) =
            rest.split_once(' ').ok_or_else(|| refused("no space between name and signature"))?;
        if !is_key_name(name) {
            return Err(refused("the key name is empty or holds a space or '+'"));
        }
        let blob =
            BASE64.decode(blob.as_bytes()).map_err(|_| refused("the signature is not padded base64"))?;
        match blob.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => Ok(Self {
                name: name.to_owned(),
                key_id: u32::from_be_bytes(*key_id),
                signature: signature.to_vec(),
            }),
            _ => Err(refused("the signature is shorter than 5 bytes")),
        }
    }
}

impl fmt::Display for NoteSignature {
    /// The line with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = self.key_id.to_be_bytes().to_vec();
        blob.extend(&self.signature);
        writeln!(f, "{SIGNATURE_PREFIX}{} {}", self.name, BASE64.encode(&blob))
    }
}

/// Reads signature lines, each with its newline.
pub(crate) fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, LogError> {
    let count = lines.matches('\n').count();
    if count > MAX_NOTE_SIGNATURES {
        return Err(LogError::SignatureCount { count, limit: MAX_NOTE_SIGNATURES });
    }
    lines.split_inclusive('\n').map(str::parse).collect()
}

const NO_SEPARATOR: LogError = LogError::NoteFormat { reason: "no empty line between text and signatures" };

/// A note's text and its signature lines, unread.
fn split(note: &str) -> Result<(&str, &str), LogError> {
    check_text(note)?;
    let at = last_empty_line(note).ok_or(NO_SEPARATOR)?;
    let (text, signatures) = (&note[..=at], &note[at + 2..]);
    if signatures.is_empty() {
        return Err(LogError::NoteFormat { reason: "no signature line after the empty line" });
    }
    Ok((text, signatures))
}

/// Where the last line before an empty line ends. Signature lines are never empty, so that empty line is the one that separates them
/// from the text. It is sought from behind, byte by byte: it lies a line or a few before the end.
fn last_empty_line(note: &str) -> Option<usize> {
    note.as_bytes().windows(2).rposition(|two| two == b"\n\n")
}

/// What holds for a note's text and for the whole note alike: bounded, ends in a newline, no other control character.
pub(crate) fn check_text(text: &str) -> Result<(), LogError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(LogError::TooLong { what: "note", bytes: text.len(), limit: MAX_NOTE_BYTES });
    }
    if !text.ends_with('\n') {
        return Err(LogError::NoteFormat { reason: "the last line does not end in a newline" });
    }
    // Without a way out on the first, so that many bytes are looked at at once.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ' && byte != b'\n')) {
        return Err(LogError::NoteFormat { reason: "a control character other than newline" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SigningKey;

    const SPEC_VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const UNKNOWN: &str = "\u{2014} witness.example AAAAAQI=\n";

    fn key() -> SigningKey {
        SigningKey::new("example.com/log", [7; 32]).unwrap()
    }

    #[test]
    fn the_spec_note_verifies_under_the_spec_key() {
        let note = Note::parse(SPEC_NOTE).unwrap();
        assert_eq!(note.verified_by(&SPEC_VKEY.parse().unwrap()), Ok(()));
        assert_eq!(note.text, "This is an example message.\n");
        assert_eq!(note.to_string(), SPEC_NOTE);
    }

    #[test]
    fn the_last_empty_line_separates() {
        let text = "one\n\n\u{2014} looks.like a-signature\n\n";
        let note = Note::parse(&key().sign_note(text).unwrap()).unwrap();
        assert_eq!(note.text, text);
        assert_eq!(note.verified_by(&key().verifier()), Ok(()));
    }

    #[test]
    fn lines_of_unknown_keys_are_carried_along() {
        let signed = key().sign_note("text\n").unwrap();
        let same_name_other_id = "\u{2014} example.com/log AAAAAQI=\n";
        let note = Note::parse(&format!("{signed}{UNKNOWN}{same_name_other_id}")).unwrap();
        assert_eq!(note.verified_by(&key().verifier()), Ok(()));
        assert_eq!((note.signatures.len(), note.signatures[1].key_id), (3, 1));
    }

    #[test]
    fn a_changed_text_does_not_verify() {
        let signed = key().sign_note("pay 100\n").unwrap().replace("100", "900");
        let refused = Note::parse(&signed).unwrap().verified_by(&key().verifier());
        assert!(matches!(refused, Err(LogError::BadSignature { .. })), "{refused:?}");
    }

    #[test]
    fn a_short_signature_by_the_key_does_not_verify() {
        let mut note = Note::parse(&key().sign_note("text\n").unwrap()).unwrap();
        note.signatures[0].signature.pop();
        assert!(matches!(note.verified_by(&key().verifier()), Err(LogError::BadSignature { .. })));
    }

    #[test]
    fn a_note_signed_by_another_key_of_that_name_is_not_signed() {
        let other = SigningKey::new("example.com/log", [8; 32]).unwrap();
        let refused =
            Note::parse(&other.sign_note("text\n").unwrap()).unwrap().verified_by(&key().verifier());
        assert!(matches!(refused, Err(LogError::NotSigned { .. })), "{refused:?}");
    }

    #[test]
    fn two_lines_of_one_key_are_refused_even_if_both_verify() {
        let twice = key().sign_note("text\n").unwrap() + &key().sign_line("text\n");
        let refused = Note::parse(&twice).unwrap().verified_by(&key().verifier());
        assert!(matches!(refused, Err(LogError::SignedTwice { count: 2, .. })), "{refused:?}");
    }

    #[test]
    fn a_sole_note_has_one_signature_over_plain_lines() {
        let signed = key().sign_note("one\ntwo\n").unwrap();
        assert_eq!(Note::parse_sole(&signed).unwrap().to_string(), signed);
        for refused in [
            format!("{signed}{UNKNOWN}"),
            key().sign_note("one\n\ntwo\n").unwrap(),
            key().sign_note("\none\n").unwrap(),
            key().sign_note("\n").unwrap(),
            key().sign_note("caf\u{e9}\n").unwrap(),
        ] {
            assert!(Note::parse(&refused).is_ok(), "{refused:?} is a note");
            assert!(Note::parse_sole(&refused).is_err(), "{refused:?} must be refused");
        }
    }

    #[test]
    fn what_is_no_signed_note_is_refused() {
        let line = "\u{2014} a AAAAAQI=\n";
        for refused in [
            String::new(),
            "text\n".to_owned(),
            "text\n\n".to_owned(),
            format!("text\n{line}"),
            format!("\n{line}"),
            format!("te\txt\n\n{line}"),
            format!("text\r\n\r\n{line}"),
            format!("text\n\n{}", line.trim_end()),
            format!("text\n\n{line}trailing\n"),
            "text\n\n- a AAAAAQI=\n".to_owned(),
            "text\n\n\u{2014} AAAAAQI=\n".to_owned(),
            "text\n\n\u{2014}  AAAAAQI=\n".to_owned(),
            "text\n\n\u{2014} a+b AAAAAQI=\n".to_owned(),
            "text\n\n\u{2014} a\u{2003}b AAAAAQI=\n".to_owned(),
            "text\n\n\u{2014} a AAAAAQ==\n".to_owned(),
            "text\n\n\u{2014} a AAAAAQJ=\n".to_owned(),
            "text\n\n\u{2014} a AAAAAQI\n".to_owned(),
            "text\n\n\u{2014} a AAAAAQI= \n".to_owned(),
        ] {
            assert!(Note::parse(&refused).is_err(), "{refused:?} must be refused");
        }
    }

    #[test]
    fn the_limits_hold() {
        let lines = |count| format!("text\n\n{}", UNKNOWN.repeat(count));
        assert!(Note::parse(&lines(MAX_NOTE_SIGNATURES)).is_ok());
        assert!(matches!(Note::parse(&lines(MAX_NOTE_SIGNATURES + 1)), Err(LogError::SignatureCount { .. })));

        let spare = MAX_NOTE_BYTES - key().sign_note("\n").unwrap().len();
        let longest = key().sign_note(&format!("{}\n", "x".repeat(spare))).unwrap();
        assert_eq!(longest.len(), MAX_NOTE_BYTES);
        assert!(Note::parse(&longest).is_ok());
        let refused = key().sign_note(&format!("{}\n", "x".repeat(spare + 1)));
        assert!(matches!(refused, Err(LogError::TooLong { .. })));
    }

    #[test]
    fn lines_arrive_in_any_order_and_leave_one_note() {
        let note = Note::parse(&key().sign_note("text\n").unwrap()).unwrap();
        let line =
            |name: &str, byte| NoteSignature { name: name.to_owned(), key_id: 1, signature: vec![byte] };
        let (a, b) = (line("a", 1), line("b", 2));
        let both = note.with_line(&a).unwrap().with_line(&b).unwrap();
        assert_eq!(both, note.with_line(&b).unwrap().with_line(&a).unwrap().with_line(&a).unwrap());
        assert_eq!(both.signatures, [note.signatures[0].clone(), a, b.clone()]);
        assert_eq!(Note::parse(&both.to_string()), Ok(both.clone()));
        assert_eq!(both.verified_by(&key().verifier()), Ok(()));

        let renewed = both.with_line(&line("a", 3)).unwrap();
        assert_eq!(renewed.signatures, [note.signatures[0].clone(), line("a", 3), b]);
    }

    #[test]
    fn a_line_that_breaks_the_note_is_not_added() {
        let note = Note::parse(&key().sign_note("text\n").unwrap()).unwrap();
        let line = |name: &str| NoteSignature { name: name.to_owned(), key_id: 1, signature: vec![1] };
        for name in ["", "a b", "a+b", "a\n", "a AAAAAQI=\n\u{2014} b"] {
            assert!(matches!(note.with_line(&line(name)), Err(LogError::SignatureLine { .. })), "{name:?}");
        }
        let unsigned = NoteSignature { signature: Vec::new(), ..line("a") };
        assert!(matches!(note.with_line(&unsigned), Err(LogError::SignatureLine { .. })));

        let full = (1..MAX_NOTE_SIGNATURES)
            .fold(note, |note, number| note.with_line(&line(&format!("w{number}"))).unwrap());
        assert_eq!(full.with_line(&line("w1")), Ok(full.clone()));
        let refused = full.with_line(&line("w0"));
        assert!(matches!(refused, Err(LogError::SignatureCount { count: 101, .. })), "{refused:?}");
        let long = NoteSignature { signature: vec![0; MAX_NOTE_BYTES], ..line("w1") };
        assert!(matches!(full.with_line(&long), Err(LogError::TooLong { .. })));
    }

    #[test]
    fn a_text_that_could_not_be_read_back_is_not_signed() {
        for text in ["", "text", "te\0xt\n"] {
            assert!(key().sign_note(text).is_err(), "{text:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn what_reads_as_a_note_prints_the_same(
            note in "[ab\n]{0,6}\n\n(\u{2014} [a+]{1,2} [A-Za-z0-9+/]{4,8}=?=?\n){0,3}|(?s).{0,40}",
        ) {
            if let Ok(parsed) = Note::parse(&note) {
                prop_assert_eq!(parsed.to_string(), note);
            }
        }

        #[test]
        fn what_reads_as_a_signature_line_prints_the_same(
            line in "\u{2014} [ab+]{1,2} [A-Za-z0-9+/]{4,8}=?=?\n?|(?s).{0,20}",
        ) {
            if let Ok(parsed) = line.parse::<NoteSignature>() {
                prop_assert_eq!(parsed.to_string(), line);
            }
        }

        #[test]
        fn every_text_that_is_signed_verifies(text in "([^\\x00-\\x1f]|\n){0,60}\n", seed: [u8; 32]) {
            let key = SigningKey::new("a", seed).unwrap();
            let signed = key.sign_note(&text).unwrap();
            let note = Note::parse(&signed).unwrap();
            prop_assert_eq!(note.verified_by(&key.verifier()), Ok(()));
            prop_assert_eq!(note.to_string(), signed);
            prop_assert_eq!(note.text, text);
        }

        #[test]
        fn no_flipped_bit_survives(bit in 0_usize..(64 * 8)) {
            let mut note = Note::parse(&key().sign_note("text\n").unwrap()).unwrap();
            note.signatures[0].signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(note.verified_by(&key().verifier()).is_err());
        }
    }
}
