//! Where an auditor reads: the control plane, with a token, or a folder with what it gave.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ureq::Agent;
use wiregrant_chain::http;
use wiregrant_core::api::{PREFIX, Problem};
use zeroize::Zeroizing;

use crate::control_plane::{base_url, http_agent};
use crate::private_file::{MAX_SECRET_BYTES, read_text};
use crate::verify::CouldNotCheck;
use crate::verify::source::{Reading, Source};

/// The most bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: u64 = 64 * 1024;

/// Inputs and reports by their paths below the API's prefix.
pub enum AuditPlace {
    /// A folder.
    Folder(PathBuf),
    /// The control plane; what it gives is kept in a folder where one is named.
    Api {
        /// The client.
        agent: Box<Agent>,
        /// The control plane's address.
        base: String,
        /// The auditor's token.
        token: Zeroizing<String>,
        /// Where to keep what it gives.
        keep: Option<PathBuf>,
    },
}

impl AuditPlace {
    /// The place that the options name; `None` without one.
    ///
    /// # Errors
    /// A token that cannot be read, or no address to use it at.
    pub fn open(
        token_file: Option<&Path>,
        url: Option<&str>,
        folder: Option<PathBuf>,
    ) -> Result<Option<Self>, CouldNotCheck> {
        let Some(file) = token_file else { return Ok(folder.map(Self::Folder)) };
        let text =
            read_text(file, MAX_SECRET_BYTES).map_err(|e| CouldNotCheck(format!("--audit-token: {e:#}")))?;
        let text = Zeroizing::new(text);
        let token = Zeroizing::new(text.trim().to_owned());
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = format!("--audit-token: {} does not hold a token (one line)", file.display());
            return Err(CouldNotCheck(reason));
        }
        let url = url.ok_or_else(|| {
            CouldNotCheck("--audit-token: name the control plane with --url; a folder has no API".to_owned())
        })?;
        let base = base_url(url).map_err(|e| CouldNotCheck(format!("--url: {e}")))?;
        Ok(Some(Self::Api { agent: Box::new(http_agent()), base, token, keep: folder }))
    }

    /// Reads what lies at `path`.
    ///
    /// # Errors
    /// It cannot be had; or kept.
    pub fn read(&self, path: &str, limit: u64) -> Result<Reading, CouldNotCheck> {
        let (agent, base, token, keep) = match self {
            Self::Folder(folder) => return Source::Folder(folder.clone()).read(path, limit),
            Self::Api { agent, base, token, keep } => (agent, base, token, keep),
        };
        let address = format!("{base}{PREFIX}/{path}");
        let cannot = |e: &dyn fmt::Display| CouldNotCheck(format!("{address} cannot be read: {e}"));
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut answer =
            agent.get(&address).header("Authorization", bearer.as_str()).call().map_err(|e| cannot(&e))?;
        match answer.status().as_u16() {
            200 => {}
            404 | 410 => return Ok(Reading::Absent),
            status => {
                let body = http::read_body(answer.body_mut(), MAX_REFUSAL_BYTES).ok().flatten();
                let problem = body.and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
                return Err(match problem {
                    Some(problem) => cannot(&problem.detail),
                    None => cannot(&format!("HTTP status {status}")),
                });
            }
        }
        let Some(bytes) = http::read_body(answer.body_mut(), limit).map_err(|e| cannot(&e))? else {
            return Ok(Reading::TooLong);
        };
        if let Some(folder) = keep {
            let file = folder.join(path);
            let kept =
                file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, &bytes));
            kept.map_err(|e| CouldNotCheck(format!("--audit-folder: {}: {e}", file.display())))?;
        }
        Ok(Reading::Bytes(bytes))
    }
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Api { base, .. } => f.write_str(base),
        }
    }
}
