//! `wiregrant verify proof`: checks a file by which somebody's own signatures convict them. It needs nothing but the file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use transparency_log::Verifier;
use wiregrant_core::evidence::{Evidence, MAX_EVIDENCE_BYTES, Proven};

use crate::private_file::read_text;
use crate::table::facts;
use crate::terminal::Terminal;

/// The file could not be read, which says nothing about what is in it.
const COULD_NOT_CHECK: u8 = 2;

#[derive(Debug, Args)]
pub struct Proof {
    /// The file with the proof, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The record log's key, where you have it from someone you trust; otherwise compare the one that is shown
    #[arg(long, value_name = "VKEY")]
    log_key: Option<Verifier>,
}

#[derive(Serialize)]
struct Answer {
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Answer {
    fn without_proof(result: &'static str, reason: String) -> Self {
        Self { result, against: None, of: None, log_key: None, reason: Some(reason) }
    }
}

impl Proof {
    /// Checks and tells; the result is the exit code: 0 it proves what it says, 1 it does not, 2 it could not be read.
    ///
    /// # Errors
    /// Only those of writing the answer.
    pub fn run(&self, terminal: Terminal) -> Result<u8> {
        let text = match read_text(&self.file, MAX_EVIDENCE_BYTES as u64) {
            Ok(text) => text,
            Err(error) => {
                let reason = format!("{error:#}");
                let answer = Answer::without_proof("could not check", reason.clone());
                terminal.answer(&answer, || format!("could not check: {reason}\n"))?;
                return Ok(COULD_NOT_CHECK);
            }
        };
        match self.proven(&text) {
            Ok(proven) => {
                let Proven { against, of, log_key } = proven;
                let compare = match self.log_key {
                    Some(_) => format!("{log_key}, as given"),
                    None => format!("{log_key}; is it the one that you trust?"),
                };
                let answer = Answer {
                    result: "proven",
                    against: Some(against.clone()),
                    of: Some(of.clone()),
                    log_key: Some(log_key.to_string()),
                    reason: None,
                };
                terminal.answer(&answer, || {
                    facts(&[("proven against", against), ("it", of), ("under the log key", compare)])
                })?;
                Ok(0)
            }
            Err(reason) => {
                let answer = Answer::without_proof("not proven", reason.clone());
                terminal.answer(&answer, || format!("not proven: {reason}\n"))?;
                Ok(1)
            }
        }
    }

    fn proven(&self, text: &str) -> Result<Proven, String> {
        let evidence: Evidence = text.parse().map_err(|error| format!("{}: {error}", self.file.display()))?;
        if let Some(trusted) = &self.log_key
            && !is_of(evidence.log_key(), trusted)
        {
            return Err(format!("key: expected {trusted}, found {}", evidence.log_key()));
        }
        evidence.check().map_err(|error| error.to_string())
    }
}

/// Whether a key is the trusted one, or the same under the name of the control plane's other log.
fn is_of(found: &Verifier, trusted: &Verifier) -> bool {
    let origin = trusted.name();
    found.public_key() == trusted.public_key()
        && found.name().strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest == "/reports")
}
