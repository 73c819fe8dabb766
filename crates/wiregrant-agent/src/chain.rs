//! The node's chain of reports: what is cut off to be reported, what is signed, and what the control plane has.
//!
//! A *cut* holds the content of a report that is due; it becomes a report when it is signed, which waits for the control
//! plane's head and a clock that agrees. One signed report is under way at a time, and stands in the journal before
//! it is sent, so that no sequence number ever gets a second text.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use transparency_log::{LogError, LogProof, SigningKey, Verifier};
use wiregrant_core::api::ReportHead;
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::{Backend, PeersBucket, SuccessionError, UsageReport, UsageTable};
use wiregrant_core::{FactError, Timestamp};

use crate::enrolment::Enrolment;
use crate::meter::as_lines;

/// The most cuts that wait to be signed: over a month of hourly ones.
pub const MAX_CUTS: usize = 1_000;

/// The content of a report that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The epoch its bytes belong to.
    pub epoch: Option<EpochLabel>,
    /// When it ends.
    pub end: Timestamp,
    /// How many people stand behind the epoch so far.
    pub peers: PeersBucket,
    /// Totals since enrolment.
    #[serde(with = "as_lines")]
    pub usage: UsageTable,
}

/// What the control plane has acknowledged last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The report's number.
    pub sequence: u64,
    /// When the acknowledgement came; unknown where the head was taken over.
    pub time: Option<Timestamp>,
}

/// Why the chain cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The control plane has fewer reports than it acknowledged.
    #[error(
        "the control plane's last report is {theirs}, but it has acknowledged {ours}: it has lost reports, \
         and this node signs nothing until it has them again"
    )]
    WentBack {
        /// Their number.
        theirs: u64,
        /// The acknowledged number.
        ours: u64,
    },
    /// The head is not this node's.
    #[error("the control plane's head (sequence {sequence}) is not a report of this node: {reason}")]
    NotOurs {
        /// Its number.
        sequence: u64,
        /// What does not hold.
        reason: String,
    },
    /// What was cut does not follow what was signed.
    #[error("the next report would not follow the last: {0}")]
    Succession(#[from] SuccessionError),
    /// A note cannot be read or made.
    #[error("report: {0}")]
    Report(#[from] FactError),
    /// What came back for a report is no proof that it was logged.
    #[error(
        "report {sequence}: the acknowledgement proves nothing ({source}); the report is not taken for delivered"
    )]
    Proof {
        /// The report's number.
        sequence: u64,
        /// What does not hold.
        source: LogError,
    },
}

/// How the control plane's head stands to the node's chain.
#[derive(Debug)]
pub enum Standing {
    /// The node goes on from its own chain.
    InStep,
    /// The head is the node's own and not in its chain: the chain's state is older than what the node has signed.
    Ahead(Box<Signed<UsageReport>>),
}

/// The chain's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    cuts: VecDeque<Cut>,
    /// The last signed note, acknowledged or not.
    last: Option<String>,
    acknowledged: Option<Acknowledged>,
}

impl Chain {
    /// Adds a cut. When too many wait, one goes whose successor has the same epoch: totals are cumulative, so the successor says
    /// all it said.
    pub fn push(&mut self, cut: Cut) {
        self.cuts.push_back(cut);
        if self.cuts.len() > MAX_CUTS {
            let said_again = self.cuts.iter().zip(self.cuts.iter().skip(1));
            let index = said_again.enumerate().find(|(_, (one, next))| one.epoch == next.epoch);
            self.cuts.remove(index.map_or(0, |(index, _)| index));
        }
    }

    /// The first cut goes: signed, or not to be signed at all.
    pub fn pop(&mut self) {
        self.cuts.pop_front();
    }

    /// Takes a note that this node signed.
    pub fn signed(&mut self, note: String) {
        self.last = Some(note);
    }

    /// Takes an acknowledgement.
    pub fn acknowledged(&mut self, acknowledged: Acknowledged) {
        self.acknowledged = Some(acknowledged);
    }

    /// Takes over a head of the node's own that the control plane holds; cuts of the lost state are void.
    pub fn adopt(&mut self, note: String, sequence: u64) {
        *self = Self {
            cuts: VecDeque::new(),
            last: Some(note),
            acknowledged: Some(Acknowledged { sequence, time: None }),
        };
    }

    /// The first cut that waits to be signed.
    #[must_use]
    pub fn first_cut(&self) -> Option<&Cut> {
        self.cuts.front()
    }

    /// Reports that the control plane does not have: cut, or signed and not acknowledged.
    ///
    /// # Errors
    /// When the chain's own note cannot be read.
    pub fn unacknowledged(&self) -> Result<usize, ChainError> {
        Ok(self.cuts.len() + usize::from(self.under_way()?.is_some()))
    }

    /// What the control plane acknowledged last.
    #[must_use]
    pub fn last_acknowledged(&self) -> Option<&Acknowledged> {
        self.acknowledged.as_ref()
    }

    /// The last signed report.
    ///
    /// # Errors
    /// When the chain's own note cannot be read.
    pub fn last(&self) -> Result<Option<Signed<UsageReport>>, ChainError> {
        Ok(self.last.as_deref().map(Signed::parse).transpose()?)
    }

    /// The signed report that is not acknowledged yet.
    ///
    /// # Errors
    /// When the chain's own note cannot be read.
    pub fn under_way(&self) -> Result<Option<Signed<UsageReport>>, ChainError> {
        let acknowledged = self.acknowledged.as_ref().map_or(0, |acknowledged| acknowledged.sequence);
        Ok(self.last()?.filter(|last| last.content().sequence > acknowledged))
    }

    /// Makes the report of the first cut; `None` when there is no cut. Nothing changes until [`Self::signed`].
    ///
    /// # Errors
    /// When it would not follow the last report, or cannot be signed.
    pub fn sign_next(
        &self,
        enrolment: &Enrolment,
        backend: Backend,
        key: &SigningKey,
        salt: Salt,
    ) -> Result<Option<Signed<UsageReport>>, ChainError> {
        let Some(cut) = self.cuts.front() else { return Ok(None) };
        let last = self.last()?;
        let last = last.as_ref().map(|last| (last.content(), last.hash()));
        let start = last.map_or(enrolment.joined_at, |(last, _)| last.end);
        let report = UsageReport {
            log: enrolment.log.clone(),
            node: enrolment.node.clone(),
            operator: enrolment.operator.clone(),
            sequence: last.map_or(1, |(last, _)| last.sequence + 1),
            previous: last.map(|(_, hash)| hash),
            salt,
            start,
            // A clock set back within its tolerance must not make a stretch end before it begins.
            end: cut.end.max(start),
            epoch: cut.epoch.clone(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            backend,
            peers: cut.peers,
            tree: None,
            usage: cut.usage.clone(),
        };
        report.follows(last)?;
        Ok(Some(Signed::sign(report, key)?))
    }

    /// Compares the control plane's head with this chain.
    ///
    /// # Errors
    /// When the head is not this node's, or older than what was acknowledged.
    pub fn standing(
        &self,
        head: &ReportHead,
        enrolment: &Enrolment,
        own: &Verifier,
    ) -> Result<Standing, ChainError> {
        let acknowledged = self.acknowledged.as_ref().map_or(0, |acknowledged| acknowledged.sequence);
        let Some(note) = &head.note else {
            return if acknowledged == 0 {
                Ok(Standing::InStep)
            } else {
                Err(ChainError::WentBack { theirs: 0, ours: acknowledged })
            };
        };
        let theirs = own_report(note, head.sequence, enrolment, own)?;
        if head.sequence < acknowledged {
            return Err(ChainError::WentBack { theirs: head.sequence, ours: acknowledged });
        }
        let last = self.last()?;
        let in_step = last.is_some_and(|last| {
            last.hash() == theirs.hash()
                || (last.content().sequence == head.sequence + 1
                    && last.content().previous == Some(theirs.hash()))
        });
        Ok(if in_step { Standing::InStep } else { Standing::Ahead(Box::new(theirs)) })
    }

    /// Checks the acknowledgement of `report`: a proof, under the pinned key, that its entry stands in the reports log.
    ///
    /// # Errors
    /// When it proves something else or nothing.
    pub fn check_proof(
        report: &Signed<UsageReport>,
        proof: &str,
        reports_log: &Verifier,
    ) -> Result<(), ChainError> {
        let entry = report_entry(report.hash());
        let verified =
            proof.parse::<LogProof>().and_then(|proof| proof.verify(entry.as_bytes(), reports_log));
        let sequence = report.content().sequence;
        verified.map(drop).map_err(|source| ChainError::Proof { sequence, source })
    }
}

/// Reads a head and checks that this very node signed it for this very log.
fn own_report(
    note: &str,
    sequence: u64,
    enrolment: &Enrolment,
    own: &Verifier,
) -> Result<Signed<UsageReport>, ChainError> {
    let not_ours = |reason: String| ChainError::NotOurs { sequence, reason };
    let report = Signed::<UsageReport>::parse(note).map_err(|error| not_ours(error.to_string()))?;
    let former = enrolment.former_keys().map_err(|error| not_ours(error.to_string()))?;
    if !former.iter().any(|key| report.verified_by(key).is_ok()) {
        report.verified_by(own).map_err(|error| not_ours(error.to_string()))?;
    }
    let content = report.content();
    if content.sequence != sequence || content.node != enrolment.node || !enrolment.is_own_log(&content.log) {
        return Err(not_ours(format!(
            "it is sequence {} of {} for {}",
            content.sequence, content.node, content.log
        )));
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
