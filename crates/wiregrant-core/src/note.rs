//! The plain-line notes of wiregrant: one grammar for everything that is signed, except checkpoints.
//!
//! Grammar (`docs/formats.md`): ASCII, LF, one space between fields, no empty line; the first line names kind and
//! version; lines in a fixed order, all present; repeated lines sorted bytewise; exactly one signature line. A parser
//! accepts exactly what the printer prints, which [`Signed::parse`] enforces by printing again.

use std::fmt::{self, Display};
use std::str::FromStr;

use transparency_log::{Hash, Note, NoteSignature, SigningKey, Verifier};

use crate::FactError;
use crate::error::shortened;

mod field;

pub use field::{Network, Origin, Salt, parse_hash, parse_time};

/// Room for the text of most notes.
const USUAL_BYTES: usize = 1_024;
/// Room for the lines of most notes.
const USUAL_LINES: usize = 24;

/// A document that has the form of a note's text.
pub trait NoteText: Sized {
    /// The first line: kind and version.
    const KIND: &'static str;
    /// The most bytes a note of this kind may have, signature included.
    const MAX_BYTES: usize;

    /// Writes the lines after the first.
    fn write(&self, lines: &mut Writer);

    /// Reads the lines after the first, in order.
    ///
    /// # Errors
    /// The first line or field that is not of the form.
    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError>;

    /// The whole text, each line ended by a line feed.
    fn text(&self) -> String {
        let mut lines = Writer(String::with_capacity(USUAL_BYTES));
        lines.line(Self::KIND, &[]);
        self.write(&mut lines);
        lines.0
    }

    /// The document that `text` spells, and spells exactly.
    ///
    /// # Errors
    /// Names the line or field; [`FactError::Mismatch`] where the text means the same but is spelt differently.
    fn from_text(text: &str) -> Result<Self, FactError> {
        let mut lines = Reader::open(text, Self::KIND)?;
        let read = Self::read(&mut lines)?;
        lines.end()?;
        let printed = read.text();
        if printed == text {
            return Ok(read);
        }
        let at = printed.lines().zip(text.lines()).position(|(p, t)| p != t).unwrap_or(0);
        Err(FactError::mismatch(
            format!("line {}", at.saturating_add(1)),
            shortened(printed.lines().nth(at).unwrap_or_default()),
            shortened(text.lines().nth(at).unwrap_or_default()),
        ))
    }
}

/// A document together with the very bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    content: T,
    note: String,
    /// How many bytes of the note are signed, from its beginning.
    text_bytes: usize,
    /// The note's one signature line, read.
    signature: NoteSignature,
    /// SHA-256 of the note: it is asked for again and again.
    hash: Hash,
}

impl<T: NoteText> Signed<T> {
    /// Signs `content`.
    ///
    /// # Errors
    /// [`FactError::TooLong`] when the note would pass its limit; [`FactError::Signature`] when the key refuses the text.
    pub fn sign(content: T, key: &SigningKey) -> Result<Self, FactError> {
        let note = key.sign_note(&content.text()).map_err(|e| FactError::Signature(e.to_string()))?;
        within_limit::<T>(&note)?;
        let (text, signature) = taken_apart(&note)?;
        Ok(Self { content, text_bytes: text.len(), signature, hash: Hash::of(note.as_bytes()), note })
    }

    /// Reads a note and checks its form, but no signature: see [`Self::verified_by`].
    ///
    /// # Errors
    /// Whatever is not of the form, or more or fewer than one signature line.
    pub fn parse(note: &str) -> Result<Self, FactError> {
        within_limit::<T>(note)?;
        Self::read(note.to_owned())
    }

    /// As [`Self::parse`], of a note that need not be copied.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn read(note: String) -> Result<Self, FactError> {
        within_limit::<T>(&note)?;
        let (text, signature) = taken_apart(&note)?;
        let (content, hash) = (T::from_text(text)?, Hash::of(note.as_bytes()));
        Ok(Self { content, text_bytes: text.len(), signature, hash, note })
    }

    /// Checks the one signature, strictly.
    ///
    /// # Errors
    /// [`FactError::Signature`] when it is by another key or does not hold.
    pub fn verified_by(&self, verifier: &Verifier) -> Result<(), FactError> {
        let (text, _) = self.note.split_at(self.text_bytes);
        self.signature.verified_by(text, verifier).map_err(|e| FactError::Signature(e.to_string()))
    }

    /// What the note says.
    #[must_use]
    pub fn content(&self) -> &T {
        &self.content
    }

    /// The whole note, signature included.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// SHA-256 over all bytes of the note.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The content, without its note.
    #[must_use]
    pub fn into_content(self) -> T {
        self.content
    }
}

/// A note's text and its one signature line.
fn taken_apart(note: &str) -> Result<(&str, NoteSignature), FactError> {
    Note::split_sole(note).map_err(|error| FactError::Signature(error.to_string()))
}

fn within_limit<T: NoteText>(note: &str) -> Result<(), FactError> {
    if note.len() > T::MAX_BYTES {
        return Err(FactError::TooLong { what: T::KIND, bytes: note.len(), limit: T::MAX_BYTES });
    }
    Ok(())
}

/// Writes a note's lines.
#[derive(Debug)]
pub struct Writer(String);

impl Writer {
    /// One line: its name, then its fields.
    pub fn line(&mut self, name: &str, fields: &[&dyn Display]) {
        write_line(&mut self.0, name, fields);
    }

    /// Lines of one name, in the order the grammar asks for: bytewise.
    pub fn repeated(&mut self, mut lines: Vec<String>) {
        lines.sort_unstable();
        self.0.extend(lines);
    }
}

/// A line with its line feed, for [`Writer::repeated`].
#[must_use]
pub fn line(name: &str, fields: &[&dyn Display]) -> String {
    let mut line = String::new();
    write_line(&mut line, name, fields);
    line
}

fn write_line(to: &mut String, name: &str, fields: &[&dyn Display]) {
    use fmt::Write as _;
    to.push_str(name);
    for field in fields {
        to.push(' ');
        write!(to, "{field}").expect("writing to a string does not fail");
    }
    to.push('\n');
}

/// Reads a note's lines in order.
#[derive(Debug)]
pub struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn open(text: &'a str, kind: &str) -> Result<Self, FactError> {
        // Few notes have more lines than fit at once: a report has some 15.
        let mut lines = Vec::with_capacity(USUAL_LINES);
        lines.extend(text.split('\n'));
        let mut reader = Self { lines, at: 0 };
        if reader.lines.pop() != Some("") {
            return Err(reader.refuse("a text ends with a line feed"));
        }
        if reader.lines.first() != Some(&kind) {
            return Err(reader.refuse(format!("the first line is {kind:?}")));
        }
        reader.at = 1;
        Ok(reader)
    }

    fn refuse(&self, expected: impl Into<String>) -> FactError {
        FactError::Line {
            line: self.at.saturating_add(1),
            found: shortened(self.lines.get(self.at).copied().unwrap_or_default()),
            expected: expected.into(),
        }
    }

    fn named(&self, name: &str) -> Option<&'a str> {
        self.lines.get(self.at)?.strip_prefix(name)?.strip_prefix(' ')
    }

    /// The `N` fields of the line called `name`, which must be the next one.
    ///
    /// # Errors
    /// Another line, or another number of fields.
    pub fn fields<const N: usize>(&mut self, name: &str) -> Result<[&'a str; N], FactError> {
        let rest = self.named(name).ok_or_else(|| self.refuse(format!("a line {name:?} belongs here")))?;
        let (mut fields, mut given) = ([""; N], rest.split(' '));
        let all_there = fields.iter_mut().all(|field| {
            *field = given.next().unwrap_or_default();
            !field.is_empty()
        });
        if !all_there || given.next().is_some() {
            return Err(self.refuse(format!("{name:?} takes {N} field(s), one space between them")));
        }
        self.at = self.at.saturating_add(1);
        Ok(fields)
    }

    /// The one field of the line called `name`, parsed.
    ///
    /// # Errors
    /// As [`Self::fields`], or the value's own refusal.
    pub fn value<T: FromStr<Err = FactError>>(&mut self, name: &str) -> Result<T, FactError> {
        let [value] = self.fields(name)?;
        value.parse()
    }

    /// The one field of the line called `name`, where `-` means that it is absent.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn optional<T: FromStr<Err = FactError>>(&mut self, name: &str) -> Result<Option<T>, FactError> {
        let [value] = self.fields(name)?;
        if value == "-" { Ok(None) } else { value.parse().map(Some) }
    }

    /// The one field of the line called `name`, a number.
    ///
    /// # Errors
    /// As [`Self::fields`], or no number in canonical form.
    pub fn number(&mut self, name: &'static str) -> Result<u64, FactError> {
        let [value] = self.fields(name)?;
        crate::units::parse_number(name, value)
    }

    /// The one field of the line called `name`, a hash.
    ///
    /// # Errors
    /// As [`Self::fields`], or no SHA-256 in padded base64.
    pub fn hash(&mut self, name: &'static str) -> Result<Hash, FactError> {
        let [value] = self.fields(name)?;
        parse_hash(name, value)
    }

    /// As [`Self::hash`], where `-` means that there is none.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub fn optional_hash(&mut self, name: &'static str) -> Result<Option<Hash>, FactError> {
        let [value] = self.fields(name)?;
        if value == "-" { Ok(None) } else { parse_hash(name, value).map(Some) }
    }

    /// The fields of each following line called `name`; there may be none. They must rise bytewise.
    ///
    /// # Errors
    /// A line out of order or repeated, or another number of fields.
    pub fn repeated<const N: usize>(&mut self, name: &str) -> Result<Vec<[&'a str; N]>, FactError> {
        let mut all = Vec::new();
        while self.named(name).is_some() {
            if !all.is_empty() && self.lines[self.at] <= self.lines[self.at.saturating_sub(1)] {
                return Err(self.refuse(format!("lines {name:?} are sorted bytewise, each different")));
            }
            all.push(self.fields(name)?);
        }
        Ok(all)
    }

    fn end(&self) -> Result<(), FactError> {
        if self.at == self.lines.len() { Ok(()) } else { Err(self.refuse("the text ends here")) }
    }
}

/// `value`, or `-` where there is none.
pub fn or_dash<T: Display>(value: Option<T>) -> OrDash<T> {
    OrDash(value)
}

/// What [`or_dash`] shows.
#[derive(Debug, Clone, Copy)]
pub struct OrDash<T>(Option<T>);

impl<T: Display> Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Sample {
        size: u64,
        marks: Vec<String>,
    }

    impl NoteText for Sample {
        const KIND: &'static str = "wiregrant/sample/v1";
        const MAX_BYTES: usize = 1_000;
        fn write(&self, lines: &mut Writer) {
            lines.line("size", &[&self.size]);
            lines.repeated(self.marks.iter().map(|mark| line("mark", &[mark])).collect());
        }
        fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
            let size = lines.number("size")?;
            let marks = lines.repeated::<1>("mark")?.into_iter().map(|[mark]| mark.to_owned()).collect();
            Ok(Self { size, marks })
        }
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let sample = Sample { size: 3, marks: vec!["a".into(), "b".into()] };
        assert_eq!(sample.text(), "wiregrant/sample/v1\nsize 3\nmark a\nmark b\n");
        assert_eq!(Sample::from_text(&sample.text()).unwrap(), sample);
    }

    #[test]
    fn every_other_spelling_is_refused_with_its_line() {
        for (text, hint) in [
            ("", "line 1"),
            ("wiregrant/sample/v2\nsize 3\n", "wiregrant/sample/v1"),
            ("wiregrant/sample/v1\nsize 3", "line feed"),
            ("wiregrant/sample/v1\nsize  3\n", "one space"),
            ("wiregrant/sample/v1\nsize 03\n", "leading zeros"),
            ("wiregrant/sample/v1\nsize 3\nmark b\nmark a\n", "sorted"),
            ("wiregrant/sample/v1\nsize 3\nmark a\nmark a\n", "sorted"),
            ("wiregrant/sample/v1\nsize 3\nmark a\n\n", "line 4"),
            ("wiregrant/sample/v1\nmark a\n", "\"size\""),
            ("wiregrant/sample/v1\nsize 3\nother\n", "ends here"),
        ] {
            let error = Sample::from_text(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text:?}: {error}");
        }
    }
}
