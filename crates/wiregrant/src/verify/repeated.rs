//! Entries of the reports log that occur twice, found in bounded memory.
//!
//! Of each hash eight bytes are kept. Once there are many they are sorted and put aside in a file, together with the edge of
//! what was read, and the sorted runs are merged at the end. What seems to occur twice is looked for again with the whole hash,
//! so that two hashes that begin alike are no finding. A reading that is cut off goes on from the last file; one that ends
//! leaves none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::PathBuf;

use data_encoding::BASE64;
use transparency_log::{Edge, Hash, decode_tile, encode_tile};
use wiregrant_core::FactError;
use wiregrant_core::record::parse_report_entry;

use super::CouldNotCheck;
use super::finding::Finding;
use super::log::PublicLog;
use super::memory::Memory;
use super::progress::Progress;
use super::reading::{self, Entries};
use super::source::Source;

/// Beginnings of hashes held in memory: 8 MB. A power of two, so that a whole number of bundles fills it.
const MAX_HELD: u64 = 1 << 20;
/// Bytes kept of each hash.
const BEGINNING_BYTES: u64 = 8;
/// The name of the file with the edge.
const EDGE: &str = "edge";
/// The most that are looked for again.
const MAX_REPEATED: usize = 1_000;

/// The entries of the reports log.
pub struct Reports<'a> {
    memory: &'a Memory,
    /// Where what is put aside lies.
    folder: PathBuf,
    most_held: u64,
    held: Vec<u64>,
    /// How many runs were put aside.
    runs: u64,
}

impl<'a> Reports<'a> {
    /// None yet; what an earlier reading put aside is removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn new(memory: &'a Memory, origin: &str) -> Result<Self, CouldNotCheck> {
        let folder = memory.reading(origin);
        let reports = Self { memory, folder, most_held: MAX_HELD, held: Vec::new(), runs: 0 };
        reports.remove()?;
        Ok(reports)
    }

    /// Those that a reading put aside which was cut off, and the edge of what it had read; or none, and the empty edge.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn resumed(memory: &'a Memory, origin: &str) -> Result<(Self, Edge), CouldNotCheck> {
        let folder = memory.reading(origin);
        let whole = |number: &u64| {
            let length = MAX_HELD.saturating_mul(BEGINNING_BYTES);
            fs::metadata(folder.join(number.to_string())).is_ok_and(|file| file.len() == length)
        };
        let edge = fs::read_to_string(folder.join(EDGE)).ok().and_then(|text| read_edge(&text));
        match edge {
            Some(edge)
                if edge.size().is_multiple_of(MAX_HELD) && (0..edge.size() / MAX_HELD).all(|n| whole(&n)) =>
            {
                let runs = edge.size() / MAX_HELD;
                Ok((Self { memory, folder, most_held: MAX_HELD, held: Vec::new(), runs }, edge))
            }
            _ => Ok((Self::new(memory, origin)?, Edge::empty())),
        }
    }

    fn remove(&self) -> Result<(), CouldNotCheck> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(CouldNotCheck(format!("{} cannot be removed: {e}", self.folder.display())))
            }
            _ => Ok(()),
        }
    }

    /// Puts aside what is held: the run before the edge, so that an edge is never without its runs.
    fn put_aside(&mut self, edge: &Edge) -> Result<(), CouldNotCheck> {
        self.held.sort_unstable();
        let bytes: Vec<u8> = self.held.iter().flat_map(|beginning| beginning.to_le_bytes()).collect();
        self.memory.put(&self.folder.join(self.runs.to_string()), &bytes)?;
        self.memory.put(&self.folder.join(EDGE), written_edge(edge).as_bytes())?;
        self.held.clear();
        self.runs = self.runs.saturating_add(1);
        Ok(())
    }

    /// The findings of reports that are logged twice.
    ///
    /// # Errors
    /// When what was put aside cannot be read, or the log cannot be read again.
    pub fn repeated(
        mut self,
        source: &Source,
        log: &PublicLog,
        progress: &Progress,
    ) -> Result<Vec<Finding>, CouldNotCheck> {
        let repeated = self.merged()?;
        self.remove()?;
        if repeated.is_empty() {
            return Ok(Vec::new());
        }
        let mut again = Again { log, seen: repeated, findings: Vec::new() };
        reading::read(source, log, &mut again, progress)?;
        Ok(again.findings)
    }

    /// The beginnings that occur twice, merged from all sorted runs.
    fn merged(&mut self) -> Result<BTreeMap<u64, Vec<(Hash, u64)>>, CouldNotCheck> {
        self.held.sort_unstable();
        let mut runs = Vec::new();
        for number in 0..self.runs {
            let path = self.folder.join(number.to_string());
            let file = File::open(&path);
            let file = file.map_err(|e| CouldNotCheck(format!("{} cannot be read: {e}", path.display())))?;
            runs.push(Run::File(BufReader::new(file)));
        }
        runs.push(Run::Held(std::mem::take(&mut self.held).into_iter()));
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heap.extend(run.next()?.map(|beginning| Reverse((beginning, number))));
        }
        let (mut repeated, mut last) = (BTreeMap::new(), None);
        while let Some(Reverse((beginning, number))) = heap.pop() {
            if last == Some(beginning) && repeated.len() < MAX_REPEATED {
                repeated.insert(beginning, Vec::new());
            }
            last = Some(beginning);
            heap.extend(runs[number].next()?.map(|beginning| Reverse((beginning, number))));
        }
        Ok(repeated)
    }
}

impl Entries for Reports<'_> {
    fn take(&mut self, _: u64, entry: &str) -> Result<Result<(), FactError>, CouldNotCheck> {
        let hash = match parse_report_entry(entry) {
            Ok(hash) => hash,
            Err(e) => return Ok(Err(e)),
        };
        self.held.push(beginning(hash));
        Ok(Ok(()))
    }

    fn bundle_read(&mut self, edge: &Edge) -> Result<(), CouldNotCheck> {
        if self.held.len() as u64 >= self.most_held { self.put_aside(edge) } else { Ok(()) }
    }
}

/// A sorted run.
enum Run {
    File(BufReader<File>),
    Held(std::vec::IntoIter<u64>),
}

impl Run {
    fn next(&mut self) -> Result<Option<u64>, CouldNotCheck> {
        let file = match self {
            Self::Held(held) => return Ok(held.next()),
            Self::File(file) => file,
        };
        let mut bytes = [0; 8];
        match file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(u64::from_le_bytes(bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(CouldNotCheck(format!("a temporary file in --state-dir cannot be read: {e}"))),
        }
    }
}

/// An edge as text: its size, then a line for each level with its hashes, or `-` without any.
fn written_edge(edge: &Edge) -> String {
    let level = |hashes: &Vec<Hash>| match hashes.is_empty() {
        true => "-\n".to_owned(),
        false => format!("{}\n", BASE64.encode(&encode_tile(hashes))),
    };
    format!("{}\n{}", edge.size(), edge.levels().iter().map(level).collect::<String>())
}

fn read_edge(text: &str) -> Option<Edge> {
    let (size, levels) = text.split_once('\n')?;
    let level = |line: &str| match line {
        "-" => Some(Vec::new()),
        line => decode_tile(&BASE64.decode(line.as_bytes()).ok()?).ok(),
    };
    Edge::load(size.parse().ok()?, levels.lines().map(level).collect::<Option<_>>()?).ok()
}

fn beginning(hash: Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A second reading for those whose beginnings occur twice.
struct Again<'a> {
    log: &'a PublicLog,
    seen: BTreeMap<u64, Vec<(Hash, u64)>>,
    findings: Vec<Finding>,
}

impl Entries for Again<'_> {
    fn take(&mut self, number: u64, entry: &str) -> Result<Result<(), FactError>, CouldNotCheck> {
        let Ok(hash) = parse_report_entry(entry) else { return Ok(Ok(())) };
        let Some(seen) = self.seen.get_mut(&beginning(hash)) else { return Ok(Ok(())) };
        match seen.iter().find(|(known, _)| *known == hash) {
            // A report's note has a random salt, so that one hash twice is one report counted twice.
            Some((_, first)) => {
                let place = format!("/{} entry {number}", self.log.prefix);
                let found = format!("{hash}, which is entry {first} too");
                self.findings.push(Finding::new("report", place, "each report once", found));
            }
            None => seen.push((hash, number)),
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> String {
        let mut hash = Hash([7; 32]);
        hash.0[..8].copy_from_slice(&number.to_le_bytes());
        wiregrant_core::record::report_entry(hash)
    }

    fn repeated(most_held: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(Some(folder.path().to_owned())).unwrap();
        let mut reports = Reports { most_held, ..Reports::new(&memory, "log.example").unwrap() };
        for number in numbers {
            reports.take(0, &entry(number)).unwrap().unwrap();
            reports.bundle_read(&Edge::empty()).unwrap();
        }
        let found = reports.merged().unwrap().into_keys().collect();
        reports.remove().unwrap();
        assert!(!reports.folder.exists(), "nothing is left behind");
        found
    }

    #[test]
    fn a_reading_that_is_cut_off_goes_on_where_it_put_something_aside() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(Some(folder.path().to_owned())).unwrap();
        let (mut reports, mut edge) = Reports::resumed(&memory, "log.example").unwrap();
        assert_eq!(edge.size(), 0);
        let read = |reports: &mut Reports<'_>, edge: &mut Edge, numbers: std::ops::Range<u64>| {
            for number in numbers {
                edge.append(transparency_log::leaf_hash(&number.to_be_bytes()));
                reports.take(number, &entry(number % (MAX_HELD + 5))).unwrap().unwrap();
                reports.bundle_read(edge).unwrap();
            }
        };
        read(&mut reports, &mut edge, 0..MAX_HELD + 9);
        drop(reports);
        let (mut reports, mut resumed) = Reports::resumed(&memory, "log.example").unwrap();
        assert_eq!((resumed.size(), reports.runs), (MAX_HELD, 1));
        read(&mut reports, &mut resumed, MAX_HELD..MAX_HELD + 9);
        assert_eq!(resumed, edge);
        assert_eq!(reports.merged().unwrap().into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);

        // A run that is not whole is not gone on from.
        fs::write(folder.path().join("reading").join(Hash::of(b"log.example").to_hex()).join("0"), "short")
            .unwrap();
        assert_eq!(Reports::resumed(&memory, "log.example").unwrap().1, Edge::empty());
    }

    #[test]
    fn what_occurs_twice_is_found_within_a_run_and_across_runs() {
        for most_held in [1, 2, 3, 7, 100] {
            assert_eq!(repeated(most_held, [5, 9, 5, 1, 3, 9, 9, 2]), [5, 9], "{most_held}");
            assert!(repeated(most_held, (0..50).rev()).is_empty(), "{most_held}");
            assert!(repeated(most_held, []).is_empty(), "{most_held}");
        }
    }
}
