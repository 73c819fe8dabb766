//! `Remembered`: what many pages are made of and what takes long to read, kept in memory.
//!
//! Each thing is kept under a key that names all it follows from, so nothing here is ever out of date and replicas need not tell
//! each other anything: a statement's lines under the hash of its note, inputs under their epoch, which is closed once, and sums of
//! usage under the number of reports that they are the sums of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transparency_log::Hash;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::OperatorLine;
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, NodeId, OperatorId, Timestamp};
use wiregrant_store::{Read, StatementHead, Stretch, UsageOf};

use crate::error::{Answer, Failure};
use crate::generations::Generations;
use crate::line_standing::parsed;

/// Operators' lines of statements, all together: about 20 MB.
const MAX_LINES: usize = 200_000;
/// Nodes' lines of inputs, all together: about 40 MB.
const MAX_INPUTS: usize = 100_000;
/// Sums of usage, all together: about 20 MB.
const MAX_SUMS: usize = 500_000;

/// What a statement says of operators, and the terms it was made under.
#[derive(Debug)]
pub struct OperatorLines {
    /// The terms of that epoch.
    pub terms: Terms,
    /// The lines.
    pub operators: BTreeMap<OperatorId, OperatorLine>,
}

/// Which sums of usage, and what they follow from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsageAsked {
    /// Whose.
    pub operator: OperatorId,
    /// Of one node, or of all.
    pub node: Option<NodeId>,
    /// By what.
    pub stretch: Stretch,
    /// From when on.
    pub begin: Timestamp,
    /// Before when.
    pub end: Timestamp,
    /// How many reports of all the operator's nodes were accepted: the sums change with one more, and with nothing else.
    pub reports: u64,
}

/// All that is remembered.
#[derive(Debug)]
pub struct Remembered {
    lines: Mutex<Generations<Hash, Arc<OperatorLines>>>,
    inputs: Mutex<Generations<(GrantId, u64), Arc<Inputs>>>,
    usage: Mutex<Generations<UsageAsked, Arc<Vec<UsageOf>>>>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            lines: Mutex::new(Generations::new(MAX_LINES)),
            inputs: Mutex::new(Generations::new(MAX_INPUTS)),
            usage: Mutex::new(Generations::new(MAX_SUMS)),
        }
    }
}

impl Remembered {
    /// The operators' lines of a statement.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn lines(
        &self,
        read: &mut Read,
        grant: &GrantId,
        head: &StatementHead,
    ) -> Answer<Arc<OperatorLines>> {
        if let Some(lines) = locked(&self.lines).find(&head.note_hash) {
            return Ok(lines);
        }
        let row = read.statement(grant, head.epoch).await?;
        let row =
            row.ok_or_else(|| Failure::internal(format!("{grant}: statement {} vanished", head.epoch)))?;
        let statement = parsed(&row)?;
        let lines = Arc::new(OperatorLines { terms: statement.terms, operators: statement.operators });
        locked(&self.lines).keep(head.note_hash, Arc::clone(&lines), lines.operators.len().max(1));
        Ok(lines)
    }

    /// The inputs of a closed epoch.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn inputs(&self, read: &mut Read, grant: &GrantId, epoch: u64) -> Answer<Option<Arc<Inputs>>> {
        let key = (grant.clone(), epoch);
        if let Some(inputs) = locked(&self.inputs).find(&key) {
            return Ok(Some(inputs));
        }
        let Some(note) = read.inputs(grant, epoch).await? else { return Ok(None) };
        let inputs = Arc::new(Signed::<Inputs>::parse(&note).map_err(Failure::internal)?.into_content());
        locked(&self.inputs).keep(key, Arc::clone(&inputs), inputs.nodes.len().max(1));
        Ok(Some(inputs))
    }

    /// Sums of usage, as [`Read::usage`] gives them.
    ///
    /// # Errors
    /// `busy`.
    pub async fn usage(&self, read: &mut Read, asked: UsageAsked) -> Answer<Arc<Vec<UsageOf>>> {
        if let Some(sums) = locked(&self.usage).find(&asked) {
            return Ok(sums);
        }
        let UsageAsked { operator, node, stretch, begin, end, .. } = &asked;
        let sums = Arc::new(read.usage(operator, node.as_ref(), *stretch, (*begin, *end)).await?);
        let weight = sums.len().max(1);
        locked(&self.usage).keep(asked, Arc::clone(&sums), weight);
        Ok(sums)
    }
}

/// Nothing panics half way through a look, and what is lost is read again.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
