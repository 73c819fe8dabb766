//! `Continued`: the origins that this one goes on from, each with the proof that the record says so.
//!
//! Nodes that still sign for one of them are shown that proof, and follow it by themselves; what they signed before they did is
//! taken as it is.

use std::sync::Arc;

use transparency_log::{LogProof, inclusion_proof, inclusion_tiles};
use wiregrant_core::api::{NamedKey, ProblemKind};
use wiregrant_core::note::Origin;
use wiregrant_store::{Log, Read};

use crate::error::{Answer, Failure};
use crate::log_keys::LogKeys;

/// See the module.
#[derive(Debug, Clone)]
pub struct Continued {
    logs: Arc<[Origin]>,
    /// In the order of the former ones among them, which is from the newest to the first.
    shown: Arc<[NamedKey]>,
}

impl Continued {
    /// Those of this database, which is open under `present`.
    ///
    /// # Errors
    /// `busy`; `internal` where the record does not say what the history does.
    pub async fn read(read: &mut Read, present: &Origin, log_keys: &LogKeys) -> Answer<Self> {
        let (mut logs, mut shown) = (vec![present.clone()], Vec::new());
        for (former, index) in read.former_origins().await?.into_iter().rev().zip((0..).step_by(2)) {
            // A record is carried over behind two entries: whoever continued it says so, and names the log's key.
            let entries = read.entries(Log::Record, index, 1).await?;
            let begins = format!("continues {} ", former.origin);
            let entry = entries.into_iter().next().filter(|entry| entry.starts_with(&begins));
            let entry = entry.ok_or_else(|| {
                Failure::internal(format!("the record does not continue {} at entry {index}", former.origin))
            })?;
            let covering = read.checkpoint_covering(Log::Record, index.saturating_add(1)).await?;
            let (size, checkpoint) =
                covering.ok_or_else(|| Failure::internal("the record has no checkpoint"))?;
            let checkpoint =
                log_keys.under_the_present_key(Log::Record, &checkpoint).map_err(Failure::internal)?;
            let wanted = inclusion_tiles(index, size).map_err(Failure::internal)?;
            let tiles = read.tiles(Log::Record, &wanted).await?;
            let hashes = inclusion_proof(index, size, &tiles).map_err(Failure::internal)?;
            let proof = LogProof { index, hashes, checkpoint, extra: None }.to_string();
            shown.push(NamedKey { entry, proof });
            logs.push(former.origin);
        }
        Ok(Self { logs: logs.into(), shown: shown.into() })
    }

    /// Every origin that a report of a node may name: the present one, then those before it.
    #[must_use]
    pub fn logs(&self) -> &Arc<[Origin]> {
        &self.logs
    }

    /// The proofs that the record continues the others.
    #[must_use]
    pub fn shown(&self) -> &[NamedKey] {
        &self.shown
    }

    /// What a node is told that has signed for a former origin, which `is_it` recognises.
    #[must_use]
    pub fn told(&self, log_keys: &LogKeys, is_it: impl Fn(&Origin) -> bool) -> Option<Failure> {
        let former = self.logs.iter().skip(1);
        let (origin, shown) = former.zip(self.shown.iter()).find(|(origin, _)| is_it(origin))?;
        let present = self.logs.first()?;
        let detail =
            format!("{origin} has ended, because the tail of its log was lost; {present} continues it");
        let failure = Failure::new(ProblemKind::LogContinued, detail)
            // Under which it was opened: the node knows that one, and follows from it.
            .with("vkey", log_keys.of(Log::Record).first().map(ToString::to_string).unwrap_or_default())
            .with("entry", shown.entry.as_str())
            .with("proof", shown.proof.as_str());
        Some(failure)
    }
}
