//! `TrustedKeys`: whose word is taken: the log's key, and the witnesses who must have seen what the log shows.

use clap::Args;
use transparency_log::{CosignerVerifier, Note, Verifier, WitnessPolicy};

use super::CouldNotCheck;
use super::finding::Finding;
use super::log::PublicLog;

/// What is trusted from elsewhere; nothing of it is needed.
#[derive(Debug, Clone, Default, Args)]
pub struct TrustedKeys {
    /// The record log's key, where you have it from someone you trust; otherwise the first one seen is pinned
    #[arg(long, value_name = "VKEY")]
    log_key: Option<Verifier>,
    /// A witness's key, from somebody you trust: both logs' checkpoints must bear its cosignature; may be given more than once
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<CosignerVerifier>,
    /// How many of the witnesses must have cosigned [default: all]
    #[arg(long, value_name = "K", requires = "witnesses")]
    witnesses_required: Option<usize>,
}

impl TrustedKeys {
    /// The record log's key, where it is known.
    pub fn log_key(&self) -> Option<&Verifier> {
        self.log_key.as_ref()
    }

    /// How many of which witnesses are demanded, in words.
    pub fn demanded(&self) -> Option<String> {
        let names: Vec<&str> = self.witnesses.iter().map(CosignerVerifier::name).collect();
        let required = self.witnesses_required.unwrap_or(names.len());
        (!names.is_empty()).then(|| format!("at least {required} of {}", names.join(", ")))
    }

    /// The finding, if too few of the witnesses have cosigned a log's checkpoint. That of a log without entries says nothing,
    /// and needs nobody's word.
    ///
    /// # Errors
    /// When more witnesses are demanded than are named, or one is named twice.
    pub fn witnessed(&self, log: &PublicLog) -> Result<Option<Finding>, CouldNotCheck> {
        if self.witnesses.is_empty() {
            return Ok(None);
        }
        let required = self.witnesses_required.unwrap_or(self.witnesses.len());
        let policy = WitnessPolicy::new(self.witnesses.clone(), required)
            .map_err(|error| CouldNotCheck(format!("--witness: {error}")))?;
        if log.checkpoint.size == 0 {
            return Ok(None);
        }
        let checked = Note::parse(&log.note).and_then(|note| policy.check(&note));
        Ok(checked.err().map(|error| {
            let place = format!("/{}/checkpoint", log.prefix);
            let expected = format!("cosignatures of {required} of {} witnesses", self.witnesses.len());
            Finding::new("witnesses", place, expected, error)
        }))
    }
}
