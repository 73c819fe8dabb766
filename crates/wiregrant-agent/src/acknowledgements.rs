//! `Acknowledgements`: every acknowledged report with the proof that it is in the log, kept so that nobody can take it back.
//!
//! One line a report, `<crc32c in hex> <JSON>`, appended and synced before the journal learns of the acknowledgement. A torn or
//! damaged line is passed over and costs its own report only. Bounded: when a file is full it becomes the older of two.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use transparency_log::{MAX_PROOF_BYTES, Verifier};
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::UsageReport;

use crate::chain::Chain;
use crate::journal::sync_folder;
use crate::state_dir::leave_to_owner_of_folder;

/// Reports in one file: half a year of hourly ones, some 10 MB. The newest so many at least are kept, and at most twice as many.
pub const REPORTS_PER_FILE: usize = 4_400;
/// A proof may be long by its witnesses; JSON writes a line feed as two bytes.
const MAX_LINE_BYTES: u64 = 2 * (MAX_PROOF_BYTES as u64) + 16 * 1024;

/// An acknowledged report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its number.
    pub sequence: u64,
    /// The signed note.
    pub note: String,
    /// The C2SP tlog-proof with which it was acknowledged.
    pub proof: String,
}

impl Kept {
    /// Its line, with the line feed.
    ///
    /// # Panics
    /// Never: a number and two texts are JSON.
    #[must_use]
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("a number and two texts serialise");
        format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
    }

    /// What a line holds, if it is whole.
    #[must_use]
    pub fn from_line(line: &[u8]) -> Option<Self> {
        let (sum, json) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
        let holds = sum.len() == 8 && u32::from_str_radix(sum, 16).ok()? == crc32c::crc32c(json.as_bytes());
        if holds { serde_json::from_str(json).ok() } else { None }
    }
}

/// The file that is written to.
#[derive(Debug)]
pub struct Acknowledgements {
    path: PathBuf,
    reports: usize,
    /// The last line is whole.
    ends_well: bool,
}

impl Acknowledgements {
    /// The file at `path`, whether or not it is there yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let (mut reports, mut last) = (0, b'\n');
        if let Some(file) = opened(path)? {
            for byte in BufReader::new(file).bytes() {
                last = byte.with_context(|| path.display().to_string())?;
                reports += usize::from(last == b'\n');
            }
        }
        Ok(Self { path: path.to_owned(), reports, ends_well: last == b'\n' })
    }

    /// Keeps one, durably.
    ///
    /// # Errors
    /// When the disk does not take it; then the report is to be sent again, and gets the same proof.
    pub fn keep(&mut self, kept: &Kept) -> anyhow::Result<()> {
        self.append(&kept.line()).with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.reports >= REPORTS_PER_FILE {
            fs::rename(&self.path, older(&self.path))?;
            (self.reports, self.ends_well) = (0, true);
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        leave_to_owner_of_folder(&file, &self.path)?;
        let begin = if self.ends_well { "" } else { "\n" };
        self.ends_well = false;
        file.write_all(format!("{begin}{line}").as_bytes())?;
        file.sync_all()?;
        sync_folder(&self.path)?;
        (self.ends_well, self.reports) = (true, self.reports + 1);
        Ok(())
    }

    /// All that are kept at `path`, by their numbers, and how many lines could not be read.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<(BTreeMap<u64, Kept>, usize)> {
        let (mut all, mut damaged) = (BTreeMap::new(), 0);
        for path in [older(path), path.to_owned()] {
            let Some(file) = opened(&path)? else { continue };
            let mut reader = BufReader::new(file);
            loop {
                let mut line = Vec::new();
                let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
                if read.with_context(|| path.display().to_string())? == 0 {
                    break;
                }
                match Kept::from_line(&line) {
                    Some(kept) => drop(all.insert(kept.sequence, kept)),
                    None => damaged += 1,
                }
            }
        }
        Ok((all, damaged))
    }

    /// Those from number `from` to `to`, if each is kept, each follows the one before, and all are proven to be in the log, under one
    /// of its names and keys.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn chain(
        path: &Path,
        from: u64,
        to: u64,
        reports_logs: &[Verifier],
    ) -> anyhow::Result<Option<Vec<Signed<UsageReport>>>> {
        let (mut all, _) = Self::read(path)?;
        let mut chain: Vec<Signed<UsageReport>> = Vec::new();
        for sequence in from..=to {
            let Some(kept) = all.remove(&sequence) else { return Ok(None) };
            let Ok(report) = Signed::<UsageReport>::parse(&kept.note) else { return Ok(None) };
            let follows = chain.last().is_none_or(|last| report.content().previous == Some(last.hash()));
            let proven = |log: &Verifier| Chain::check_proof(&report, &kept.proof, log).is_ok();
            if !follows || !reports_logs.iter().any(proven) {
                return Ok(None);
            }
            chain.push(report);
        }
        Ok(Some(chain))
    }
}

fn opened(path: &Path) -> anyhow::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read; run as root", path.display())),
    }
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("older")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(sequence: u64) -> Kept {
        Kept { sequence, note: format!("note {sequence}\n"), proof: format!("proof\n{sequence}\n") }
    }

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("acknowledgements")
    }

    fn sequences(path: &Path) -> Vec<u64> {
        Acknowledgements::read(path).unwrap().0.into_keys().collect()
    }

    #[test]
    fn what_was_kept_is_found_after_every_restart_and_a_torn_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        for sequence in 1..=3 {
            Acknowledgements::open(&path).unwrap().keep(&kept(sequence)).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        // A line that lacks but its end is whole again once it is ended.
        for cut in 2..whole.len() / 3 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(sequences(&path), [1, 2], "{cut} bytes less");
            Acknowledgements::open(&path).unwrap().keep(&kept(4)).unwrap();
            assert_eq!(sequences(&path), [1, 2, 4]);
        }
    }

    #[test]
    fn only_so_many_are_kept_and_the_newest_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let lines =
            |from: u64, to: u64| (from..=to).map(|sequence| kept(sequence).line()).collect::<String>();
        let full = REPORTS_PER_FILE as u64;
        fs::write(older(&path), lines(1, full)).unwrap();
        fs::write(&path, lines(full + 1, 2 * full)).unwrap();
        let mut acknowledgements = Acknowledgements::open(&path).unwrap();
        acknowledgements.keep(&kept(2 * full + 1)).unwrap();
        acknowledgements.keep(&kept(2 * full + 2)).unwrap();
        assert_eq!(sequences(&path), (full + 1..=2 * full + 2).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_changed_byte_loses_one_report_and_invents_none(at in 0_usize..200, to: u8) {
            let folder = tempfile::tempdir().unwrap();
            let path = path(&folder);
            let mut acknowledgements = Acknowledgements::open(&path).unwrap();
            (1..=3).for_each(|sequence| acknowledgements.keep(&kept(sequence)).unwrap());
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            fs::write(&path, bytes).unwrap();
            let (found, _) = Acknowledgements::read(&path).unwrap();
            prop_assert!(!found.is_empty());
            for (sequence, found) in found {
                prop_assert_eq!(found, kept(sequence));
            }
        }
    }
}
