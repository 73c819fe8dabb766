//! `Witness`: cosigns what continues what it has cosigned before, and nothing else (c2sp.org/tlog-witness).
//!
//! It knows no database and no control plane: a folder of its own holds its key and, for each log, the newest checkpoint that it
//! let through. That is written durably, and in place of the one before, *before* the cosignature is made. So a kill at any
//! moment loses at most an answer, and no two checkpoints that it cosigned ever contradict each other.
//!
//! What a log signed and what contradicts its own earlier checkpoint is kept as [`Evidence`].

mod allowance;
mod folder;
mod service;
mod start;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use transparency_log::{
    AddCheckpoint, Checkpoint, CosignerKey, CosignerVerifier, KnownSize, LogError, Note, Verifier,
    WitnessRefusal, WitnessState, consider, proven_old_root,
};
use wiregrant_core::Timestamp;
use wiregrant_core::evidence::Evidence;

use crate::log_keys::verified;

use allowance::Allowance;
use folder::Folder;

pub use service::{MAX_REQUESTS, router};
pub use start::{WitnessArguments, serve};

/// The most logs that one witness follows.
pub const MAX_LOGS: usize = 256;
/// The most keys of one log: its present one, the next, and one that was forgotten there.
const MAX_KEYS: usize = 3;

/// Why a witness cannot start.
#[derive(Debug, Error)]
pub enum WitnessError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// What it should work with is not of its form.
    #[error("{0}")]
    Given(String),
}

/// Why a request gets no cosignature.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The protocol says so.
    #[error(transparent)]
    Protocol(#[from] WitnessRefusal),
    /// The log asks more often than is written for it.
    #[error("{origin} may have {per_second} cosignatures a second", per_second = allowance::PER_SECOND)]
    TooOften {
        /// The log.
        origin: String,
    },
    /// The new state could not be made durable, so nothing was signed.
    #[error("the witness cannot write: {0}")]
    State(#[from] std::io::Error),
    /// The clock does not stand at a time that can be signed.
    #[error("the witness cannot sign: {0}")]
    Sign(LogError),
}

/// A witness.
pub struct Witness {
    key: CosignerKey,
    logs: BTreeMap<String, Mutex<Followed>>,
    folder: Folder,
}

/// One log that it follows.
struct Followed {
    /// Its keys. It has one at a time, and may be about to change it: what matters is that its trees continue one another,
    /// whichever of them signed.
    keys: Vec<Verifier>,
    /// The newest checkpoint that was let through, a signed note; absent before the first.
    newest: Option<String>,
    allowance: Allowance,
}

impl Followed {
    fn state(&self) -> Option<WitnessState> {
        let newest = verified(&self.keys, self.newest.as_ref()?);
        let Checkpoint { size, root, .. } = newest.expect("checked when it was read or let through");
        Some(WitnessState { size, root })
    }

    /// The key that has signed a checkpoint; where none has, one whose refusal says so.
    fn key_of(&self, checkpoint: &str) -> &Verifier {
        let signed = self.keys.iter().find(|key| Checkpoint::parse_verified(checkpoint, key).is_ok());
        signed.or(self.keys.first()).expect("a log is followed by its keys")
    }
}

impl Witness {
    /// The witness of this key, whose memory lies in `folder`.
    ///
    /// # Errors
    /// What is kept there is unreadable, or not signed by the log it is kept for: better no witness than one that forgot.
    fn open(key: CosignerKey, logs: Vec<Verifier>, folder: Folder) -> Result<Self, WitnessError> {
        let mut keys: BTreeMap<String, Vec<Verifier>> = BTreeMap::new();
        for verifier in logs {
            let of_log = keys.entry(verifier.name().to_owned()).or_default();
            if of_log.contains(&verifier) || of_log.len() >= MAX_KEYS {
                return Err(WitnessError::Given(format!(
                    "--log: {verifier} is there twice, or {} has more than {MAX_KEYS} keys; name its present one, and the next while it \
                     changes",
                    verifier.name()
                )));
            }
            of_log.push(verifier);
        }
        let mut followed = BTreeMap::new();
        for (origin, keys) in keys {
            let newest = folder.newest(&origin, &keys)?;
            followed.insert(origin, Mutex::new(Followed { keys, newest, allowance: Allowance::default() }));
        }
        if followed.is_empty() || followed.len() > MAX_LOGS {
            let found = followed.len();
            return Err(WitnessError::Given(format!(
                "--log: {found} logs; name 1 to {MAX_LOGS} by their keys"
            )));
        }
        Ok(Self { key, logs: followed, folder })
    }

    /// Its public half, to be trusted by those who want its word.
    #[must_use]
    pub fn verifier(&self) -> CosignerVerifier {
        self.key.verifier()
    }

    /// The answer to an `add-checkpoint`: a cosignature line, made once the new state is durable.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Result<String, Refusal> {
        let request: AddCheckpoint = std::str::from_utf8(body)
            .map_err(|_| LogError::AddCheckpointFormat { reason: "not text in UTF-8" })
            .and_then(str::parse)
            .map_err(WitnessRefusal::Malformed)?;
        let origin = request.origin();
        let mut log = self.log(origin)?;
        let next = match consider(log.state(), &request, log.key_of(&request.checkpoint)) {
            Ok(next) => next,
            Err(refusal) => {
                self.keep_evidence(&log, &request);
                return Err(refusal.into());
            }
        };
        if !log.allowance.take(now) {
            return Err(Refusal::TooOften { origin: origin.to_owned() });
        }
        if log.state() != Some(next) {
            self.folder.keep(origin, &request.checkpoint)?;
            log.newest = Some(request.checkpoint.clone());
        }
        let text = Note::parse(&request.checkpoint).map_err(Refusal::Sign)?.text;
        self.key.cosign(&text, now.unix_seconds().unsigned_abs()).map_err(Refusal::Sign)
    }

    fn log(&self, origin: &str) -> Result<MutexGuard<'_, Followed>, WitnessRefusal> {
        let unknown = || WitnessRefusal::UnknownLog { origin: origin.chars().take(100).collect() };
        // A thread that panicked changed the state in one assignment or not at all.
        Ok(self.logs.get(origin).ok_or_else(unknown)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest checkpoint of a log that was let through.
    #[must_use]
    pub fn newest(&self, origin: &str) -> Option<String> {
        self.log(origin).ok()?.newest.clone()
    }

    /// Keeps what was refused where it convicts the log: the same size under another root, or a proof that leads to a tree
    /// whose beginning is not the one that was let through.
    fn keep_evidence(&self, log: &Followed, request: &AddCheckpoint) {
        let (Some(known), Some(state)) = (&log.newest, log.state()) else { return };
        let Ok(shown) = verified(&log.keys, &request.checkpoint) else { return };
        let proof = if shown.size == state.size { &[][..] } else { &request.proof };
        let Some(root) = proven_old_root(state.size, shown.size, &shown.root, proof) else { return };
        // One key must have signed both: two keys of one log convict nobody in a file.
        let both = log.keys.iter().map(|key| Evidence::TwoHistories {
            log: key.clone(),
            checkpoints: [known.clone(), request.checkpoint.clone()],
            root,
            proof: proof.to_vec(),
        });
        let convicting = { both }.find_map(|evidence| Some((evidence.check().ok()?, evidence)));
        let Some((proven, evidence)) = convicting else { return };
        match self.folder.keep_evidence(&evidence) {
            Ok(Some(path)) => {
                tracing::error!(log = proven.against, proof = %path.display(), "{}", proven.of);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "evidence could not be kept: {} {}", proven.against, proven.of);
            }
        }
    }
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Protocol(refusal) => refusal.status(),
            Self::TooOften { .. } => 429,
            Self::State(_) | Self::Sign(_) => 503,
        }
    }

    /// The size that a 409 tells.
    #[must_use]
    pub fn known_size(&self) -> Option<KnownSize> {
        match self {
            Self::Protocol(WitnessRefusal::Conflict { known, .. }) => Some(*known),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
