//! Where public files are read from: a folder, or a web server.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use ureq::Agent;
use wiregrant_chain::http;

use super::CouldNotCheck;
use crate::control_plane::{base_url, http_agent};
use crate::mirror::Copy;

/// A place with public files.
pub enum Source {
    /// A folder, such as a mirror's copy.
    Folder(PathBuf),
    /// A web server.
    Web {
        /// The client.
        agent: Box<Agent>,
        /// The address, without a slash at its end.
        base: String,
    },
    /// A copy that is being filled.
    Copy(Box<Copy>),
}

/// What became of reading one file.
pub enum Reading {
    /// All of it.
    Bytes(Vec<u8>),
    /// There is no such file.
    Absent,
    /// It has more bytes than any such file may have.
    TooLong,
}

impl Source {
    /// The place that `text` names.
    ///
    /// # Errors
    /// When it is neither a folder nor an http(s) address.
    pub fn open(text: &str) -> Result<Self, CouldNotCheck> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let base = base_url(text).map_err(|e| CouldNotCheck(format!("{text}: {e}")))?;
            return Ok(Self::Web { agent: Box::new(http_agent()), base });
        }
        let folder = PathBuf::from(text);
        if folder.is_dir() {
            return Ok(Self::Folder(folder));
        }
        Err(CouldNotCheck(format!(
            "{text} is neither a folder nor an address such as https://grants.example"
        )))
    }

    /// Reads the file at `path`, which this program made itself, up to `limit` bytes.
    ///
    /// # Errors
    /// When the place cannot be reached or read: that says nothing about the file.
    pub fn read(&self, path: &str, limit: u64) -> Result<Reading, CouldNotCheck> {
        match self {
            Self::Folder(folder) => {
                let file = folder.join(path);
                let cannot = |e: io::Error| CouldNotCheck(format!("{} cannot be read: {e}", file.display()));
                let open = match File::open(&file) {
                    Ok(open) => open,
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                        return Ok(Reading::Absent);
                    }
                    Err(e) => return Err(cannot(e)),
                };
                let mut bytes = Vec::new();
                open.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
                Ok(if bytes.len() as u64 > limit { Reading::TooLong } else { Reading::Bytes(bytes) })
            }
            Self::Copy(copy) => copy.read(path, limit),
            Self::Web { agent, base } => {
                let address = format!("{base}/{path}");
                let cannot = |e: &dyn fmt::Display| CouldNotCheck(format!("{address} cannot be read: {e}"));
                let mut answer = agent.get(&address).call().map_err(|e| cannot(&e))?;
                match answer.status().as_u16() {
                    200 => {}
                    404 | 410 => return Ok(Reading::Absent),
                    status => return Err(cannot(&format!("HTTP status {status}"))),
                }
                let body = http::read_body(answer.body_mut(), limit).map_err(|e| cannot(&e))?;
                Ok(body.map_or(Reading::TooLong, Reading::Bytes))
            }
        }
    }

    /// The address by which a web server is remembered; a folder may be anyone's copy and has none.
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Folder(_) => None,
            Self::Web { base, .. } => Some(base),
            Self::Copy(copy) => copy.upstream().address(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Web { base, .. } => f.write_str(base),
            Self::Copy(copy) => copy.upstream().fmt(f),
        }
    }
}
