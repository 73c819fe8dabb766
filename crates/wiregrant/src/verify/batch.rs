//! Batches as the record shows them: frozen, then paid or void, and never more than the statements allow.

use std::collections::BTreeMap;

use transparency_log::Hash;
use wiregrant_core::BatchId;
use wiregrant_payout::Batch;

use super::difference::Difference;
use super::lines::Lines;

/// Where a batch is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Frozen,
    Paid,
    Void,
}

/// Every batch in the record, and what was paid.
#[derive(Debug, Default)]
pub struct Batches {
    all: BTreeMap<BatchId, (Hash, State)>,
}

impl Batches {
    /// A batch is frozen.
    pub fn freeze(&mut self, batch: &BatchId, hash: Hash) -> Option<Difference> {
        if self.all.contains_key(batch) {
            return Some(Difference::new("batch", "a new id", batch));
        }
        self.all.insert(batch.clone(), (hash, State::Frozen));
        None
    }

    /// A batch is paid; its note's hash.
    pub fn pay(&mut self, batch: &BatchId) -> Result<Hash, Difference> {
        self.end(batch, State::Paid)
    }

    /// A batch will not be paid.
    pub fn void(&mut self, batch: &BatchId) -> Option<Difference> {
        self.end(batch, State::Void).err()
    }

    fn end(&mut self, batch: &BatchId, end: State) -> Result<Hash, Difference> {
        match self.all.get_mut(batch) {
            Some((hash, state)) if *state == State::Frozen => {
                *state = end;
                Ok(*hash)
            }
            Some(_) => Err(Difference::new("batch", "neither paid nor void before", batch)),
            None => Err(Difference::new("batch", "a batch logged before", batch)),
        }
    }

    /// Whether a batch is neither paid nor void.
    pub fn is_open(&self, batch: &BatchId) -> bool {
        self.all.get(batch).is_some_and(|(_, state)| *state == State::Frozen)
    }

    /// Whether a batch will not be paid.
    pub fn is_void(&self, batch: &BatchId) -> bool {
        self.all.get(batch).is_some_and(|(_, state)| *state == State::Void)
    }

    /// The hash under which a batch was logged.
    pub fn hash(&self, batch: &BatchId) -> Option<Hash> {
        self.all.get(batch).map(|(hash, _)| *hash)
    }

    /// How many are neither paid nor void.
    pub fn open(&self) -> usize {
        self.all.values().filter(|(_, state)| *state == State::Frozen).count()
    }
}

/// What does not follow in a paid batch; counts its lines as paid. Whether its record is a state of the log is asked
/// elsewhere.
pub fn differences(id: &BatchId, batch: &Batch, log: &str, lines: &mut Lines) -> Vec<Difference> {
    let mut differs: Vec<Difference> = Difference::unless_equal("log", log, &batch.log).into_iter().collect();
    differs.extend(Difference::unless_equal("batch", id, &batch.batch));
    for line in &batch.lines {
        if let Err(paid) = lines.pay(&line.grant, line.epoch, &line.operator, line.sats) {
            let payable = lines.payable(&line.grant, line.epoch, &line.operator);
            differs.push(Difference::new(
                format!("line {} {} {}", line.operator, line.grant, line.epoch),
                format!("at most {payable} sats in all batches"),
                format!("{paid} paid before and {} more", line.sats),
            ));
        }
    }
    differs
}
