//! `Note`: a text signed by one or more keys, as c2sp.org/signed-note writes it.

use std::fmt;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        check_text(note)?;
        // Signature lines are never empty, so the last empty line is the one that separates.
        let split = note.rfind("\n\n").ok_or(NO_SEPARATOR)?;
        let (text, signatures) = (&note[..=split], &note[split + 2..]);
        if signatures.is_empty() {
            return Err(LogError::NoteFormat { reason: "no signature line after the empty line" });
        }
        let count = signatures.matches('\n').count();
        if count > MAX_NOTE_SIGNATURES {
            return Err(LogError::SignatureCount { count, limit: MAX_NOTE_SIGNATURES });
        }
        let signatures = signatures.lines().map(NoteSignature::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Reads a note that has exactly one signature line and whose text is ASCII without empty lines.
    ///
    /// # Errors
    /// As [`Note::parse`]; [`LogError::NoteFormat`] and [`LogError::SignatureCount`] also for the narrower form.
    pub fn parse_sole(note: &str) -> Result<Self, LogError> {
        let note = Self::parse(note)?;
        if note.signatures.len() != 1 {
            return Err(LogError::SignatureCount { count: note.signatures.len(), limit: 1 });
        }
        if !note.text.is_ascii() {
            return Err(LogError::NoteFormat { reason: "the text is not ASCII" });
        }
        if note.text.lines().any(str::is_empty) {
            return Err(LogError::NoteFormat { reason: "the text has an empty line" });
        }
        Ok(note)
    }

    /// Whether this key signed the text: exactly one line carries its name and id, and that line verifies strictly.
    ///
    /// # Errors
    /// [`LogError::NotSigned`], [`LogError::SignedTwice`] (a second line would make two notes of one text), or
    /// [`LogError::BadSignature`].
    pub fn verified_by(&self, verifier: &Verifier) -> Result<(), LogError> {
        let (name, key_id) = (verifier.name(), verifier.key_id());
        let lines: Vec<_> =
            self.signatures.iter().filter(|line| line.name == name && line.key_id == key_id).collect();
        match lines.as_slice() {
            [] => Err(LogError::NotSigned { name: excerpt(name), key_id }),
            [line] => match <&[u8; 64]>::try_from(line.signature.as_slice()) {
                Ok(signature) if verifier.verify(self.text.as_bytes(), signature) => Ok(()),
                _ => Err(LogError::BadSignature { name: excerpt(name), key_id }),
            },
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
    /// Reads one line, without its newline.
    fn parse(line: &str) -> Result<Self, LogError> {
        let refused = |reason| LogError::SignatureLine { line: excerpt(line), reason };
        let rest =
            line.strip_prefix(SIGNATURE_PREFIX).ok_or_else(|| refused("no em dash and space before it"))?;
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

const NO_SEPARATOR: LogError = LogError::NoteFormat { reason: "no empty line between text and signatures" };

/// What holds for a note's text and for the whole note alike: bounded, ends in a newline, no other control character.
pub(crate) fn check_text(text: &str) -> Result<(), LogError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(LogError::TooLong { what: "note", bytes: text.len(), limit: MAX_NOTE_BYTES });
    }
    if !text.ends_with('\n') {
        return Err(LogError::NoteFormat { reason: "the last line does not end in a newline" });
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(LogError::NoteFormat { reason: "a control character other than newline" });
    }
    Ok(())
}
