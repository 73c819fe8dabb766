//! The manifest of the public folder: which pages, tables and assets lie beside the logs, and their hashes.
//!
//! The logs commit to entries and notes. What is rendered from them for people is told by this note, signed by the statement
//! key, so that a changed byte of a page is found by whoever checks, and a mirror knows what to copy.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use transparency_log::Hash;

use crate::FactError;
use crate::note::{self, NoteText, Origin, Reader, Writer, parse_hash};
use crate::units::parse_number;

/// Where the manifest lies in the public folder.
pub const MANIFEST_PATH: &str = "manifest";
/// The most bytes of a file that a manifest names.
pub const MAX_PUBLIC_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Longer paths are for nobody.
const MAX_PATH_BYTES: usize = 240;

/// The path of a public file, below the public folder: parts of letters, digits, `.`, `_` and `-` with `/` between them, none
/// of which begins with a dot, and none of the logs' own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicPath(String);

impl PublicPath {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PublicPath {
    type Err = FactError;

    fn from_str(text: &str) -> Result<Self, FactError> {
        let good_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let of_the_logs = matches!(text.split('/').next(), Some("log" | "reports" | "api" | MANIFEST_PATH));
        if text.len() <= MAX_PATH_BYTES && text.split('/').all(good_part) && !of_the_logs {
            return Ok(Self(text.to_owned()));
        }
        Err(FactError::value("file", text, "a path such as r/spring/index.html, beside the logs"))
    }
}

/// The note `wiregrant/manifest/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The record log.
    pub log: Origin,
    /// The record log's size when the files were rendered.
    pub record_size: u64,
    /// Its root then.
    pub record_root: Hash,
    /// Each file's SHA-256.
    pub files: BTreeMap<PublicPath, Hash>,
}

impl NoteText for Manifest {
    const KIND: &'static str = "wiregrant/manifest/v1";
    const MAX_BYTES: usize = 16 * 1024 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("record", &[&self.record_size, &self.record_root]);
        let file = |(path, hash): (&PublicPath, &Hash)| note::line("file", &[path, hash]);
        lines.repeated(self.files.iter().map(file).collect());
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let log = lines.value("log")?;
        let [size, root] = lines.fields("record")?;
        let (record_size, record_root) = (parse_number("record", size)?, parse_hash("record", root)?);
        let mut files = BTreeMap::new();
        for [path, hash] in lines.repeated("file")? {
            if files.insert(path.parse()?, parse_hash("file", hash)?).is_some() {
                return Err(FactError::mismatch("file", "one line a file", path));
            }
        }
        Ok(Self { log, record_size, record_root, files })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_manifest_reads_as_it_is_written() {
        let files = ["index.html", "r/spring/report.csv", "style.css"].map(|path| {
            let path: PublicPath = path.parse().unwrap();
            let hash = Hash::of(path.as_str().as_bytes());
            (path, hash)
        });
        let log = "grants.example/record".parse().unwrap();
        let manifest =
            Manifest { log, record_size: 9, record_root: Hash([1; 32]), files: BTreeMap::from(files) };
        let text = manifest.text();
        assert!(
            text.starts_with("wiregrant/manifest/v1\nlog grants.example/record\nrecord 9 AQEB"),
            "{text}"
        );
        assert_eq!(Manifest::from_text(&text).unwrap(), manifest);
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        for path in ["r/spring/index.html", "style.css", "a/b-c_d.e"] {
            assert_eq!(path.parse::<PublicPath>().unwrap().to_string(), path);
        }
        let long = "a".repeat(MAX_PATH_BYTES + 1);
        for path in
            ["", "/", "/etc", "a//b", "../keys", "a/../b", ".git", "a b", "log/vkey", "manifest", &long]
        {
            assert!(path.parse::<PublicPath>().is_err(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn what_reads_as_a_path_stays_below_its_folder(text in "[a-z./ _-]{0,12}|\\PC{0,20}") {
            if let Ok(path) = text.parse::<PublicPath>() {
                prop_assert_eq!(path.as_str(), &text);
                prop_assert!(!text.starts_with('/') && !text.split('/').any(|part| part == ".." || part.is_empty()));
            }
        }
    }
}
