//! How evidence is written down, and read.

use std::fmt::Write as _;

use transparency_log::{Hash, MAX_PROOF_HASHES, Verifier};

use super::{Evidence, KIND, MAX_EVIDENCE_BYTES};
use crate::FactError;
use crate::error::shortened;
use crate::note::parse_hash;
use crate::record::MAX_ENTRY_BYTES;
use crate::units::parse_number;

/// The whole file.
pub fn printed(evidence: &Evidence) -> String {
    let kind = match evidence {
        Evidence::TwoReports { .. } => "two-reports",
        Evidence::TwoHistories { .. } => "two-histories",
        Evidence::TwoEntries { .. } => "two-entries",
    };
    let mut out = format!("{KIND}\nkind {kind}\nkey {}\n", evidence.log_key());
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(out, "{name} {value}").expect("writing to a string does not fail");
    };
    let texts: Vec<&String> = match evidence {
        Evidence::TwoReports { naming, named, reports, .. } => {
            line("entry", naming);
            [named].into_iter().chain(reports).collect()
        }
        Evidence::TwoHistories { checkpoints, root, proof, .. } => {
            line("root", root);
            proof.iter().for_each(|hash| line("proof", hash));
            checkpoints.iter().collect()
        }
        Evidence::TwoEntries { entries, proofs, .. } => {
            entries.iter().for_each(|entry| line("entry", entry));
            proofs.iter().collect()
        }
    };
    for text in texts {
        write!(out, "text {}\n{text}", text.len()).expect("writing to a string does not fail");
    }
    out
}

/// Reads the whole file.
///
/// # Errors
/// Names the line that is not of the form.
pub fn read(text: &str) -> Result<Evidence, FactError> {
    if text.len() > MAX_EVIDENCE_BYTES {
        return Err(FactError::TooLong { what: KIND, bytes: text.len(), limit: MAX_EVIDENCE_BYTES });
    }
    let mut lines = Lines { rest: text, line: 1 };
    if lines.next()? != KIND {
        lines.line = 1;
        return Err(
            lines.refuse(text.lines().next().unwrap_or_default(), format!("the first line is {KIND:?}"))
        );
    }
    let kind = lines.value("kind")?.to_owned();
    let key = lines.value("key")?;
    let log: Verifier =
        key.parse().map_err(|_| FactError::value("key", key, "a log's key: `<name>+<key id>+<base64>`"))?;
    let evidence = match kind.as_str() {
        "two-reports" => Evidence::TwoReports {
            log,
            naming: lines.entry()?,
            named: lines.text()?,
            reports: [lines.text()?, lines.text()?],
        },
        "two-histories" => {
            let root = parse_hash("root", lines.value("root")?)?;
            let proof = lines.proof()?;
            Evidence::TwoHistories { log, root, proof, checkpoints: [lines.text()?, lines.text()?] }
        }
        "two-entries" => Evidence::TwoEntries {
            log,
            entries: [lines.entry()?, lines.entry()?],
            proofs: [lines.text()?, lines.text()?],
        },
        other => return Err(FactError::value("kind", other, "two-reports, two-histories or two-entries")),
    };
    if !lines.rest.is_empty() {
        return Err(lines.refuse(lines.rest, "the file ends here"));
    }
    Ok(evidence)
}

/// What is left of the file.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the next line.
    line: usize,
}

impl<'a> Lines<'a> {
    fn refuse(&self, found: &str, expected: impl Into<String>) -> FactError {
        let found = shortened(found.lines().next().unwrap_or_default());
        FactError::Line { line: self.line, found, expected: expected.into() }
    }

    fn next(&mut self) -> Result<&'a str, FactError> {
        let (line, rest) = self
            .rest
            .split_once('\n')
            .ok_or_else(|| self.refuse(self.rest, "a line ends with a line feed"))?;
        (self.rest, self.line) = (rest, self.line.saturating_add(1));
        Ok(line)
    }

    fn value(&mut self, name: &str) -> Result<&'a str, FactError> {
        let expected = |lines: &Self| lines.refuse(lines.rest, format!("a line {name:?} belongs here"));
        let has_name = self.rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        if !has_name {
            return Err(expected(self));
        }
        Ok(&self.next()?[name.len() + 1..])
    }

    fn entry(&mut self) -> Result<String, FactError> {
        let entry = self.value("entry")?;
        if entry.is_empty() || entry.len() > MAX_ENTRY_BYTES {
            return Err(FactError::value("entry", entry, "an entry of a log: 1 to 1,000 bytes"));
        }
        Ok(entry.to_owned())
    }

    fn proof(&mut self) -> Result<Vec<Hash>, FactError> {
        let mut hashes = Vec::new();
        while self.rest.starts_with("proof ") {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(
                    self.refuse(self.rest, format!("at most {MAX_PROOF_HASHES} lines \"proof\" stand here"))
                );
            }
            hashes.push(parse_hash("proof", self.value("proof")?)?);
        }
        Ok(hashes)
    }

    fn text(&mut self) -> Result<String, FactError> {
        let bytes = parse_number("text", self.value("text")?)?;
        let (text, rest) = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| self.rest.split_at_checked(bytes))
            .ok_or_else(|| self.refuse(self.rest, format!("a text of {bytes} bytes belongs here")))?;
        self.line = self.line.saturating_add(text.matches('\n').count());
        self.rest = rest;
        Ok(text.to_owned())
    }
}
