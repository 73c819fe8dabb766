//! Receipts: a control plane that was restored from a backup does not know how far its log had gone. It asks each node for the
//! acknowledgements it holds, so that it never signs another entry at a place that one of them proves.

use std::sync::Mutex;

use anyhow::Context as _;
use transparency_log::LogProof;
use wiregrant_core::api::{MAX_REPORTS_PER_REQUEST, NewReceipts, Problem, ProblemKind, Receipt};

use crate::acknowledgements::Acknowledgements;
use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::sender::{Courier, kept};

/// What the control plane asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Tells this restore from others: each is answered once.
    word: String,
    /// Acknowledgements of entries from here on.
    from_index: u64,
}

impl Asked {
    /// What a refusal asks for, if it does.
    #[must_use]
    pub fn by(problem: &Problem) -> Option<Self> {
        if !problem.is(ProblemKind::CatchingUp) {
            return None;
        }
        let word = problem.figures.get("asked")?.as_str()?.to_owned();
        Some(Self { word, from_index: problem.figures.get("from_index")?.as_u64()? })
    }
}

/// How the node stands to a control plane that asks.
#[derive(Debug, Default)]
pub struct Receipts {
    asked: Option<Asked>,
    /// The word that was answered last.
    answered: Option<String>,
    /// The head is to be compared although nothing is due: what was acknowledged may have to be sent again.
    pub(crate) compare: bool,
}

impl Receipts {
    /// Takes what a refusal asks for.
    pub fn refused(&mut self, problem: &Problem) {
        let asked = Asked::by(problem).filter(|asked| self.answered.as_ref() != Some(&asked.word));
        self.asked = asked.or(self.asked.take());
    }

    /// Whether an answer is due.
    #[must_use]
    pub fn are_due(&self) -> bool {
        self.asked.is_some()
    }
}

/// Shows what the node holds, if it is asked for it; gives how many acknowledgements that were.
///
/// # Errors
/// When nobody answers or it is refused; then it is shown again.
pub fn show(
    keeper: &Mutex<Keeper>,
    courier: &impl Courier,
    now: &impl Fn() -> Moment,
) -> anyhow::Result<Option<usize>> {
    let (asked, identity, path) = {
        let keeper = kept(keeper);
        let Some(asked) = keeper.receipts.asked.clone() else { return Ok(None) };
        (asked, keeper.identity.clone(), keeper.dir.acknowledgements())
    };
    let (all, _) = Acknowledgements::read(&path)?;
    let held = all
        .into_values()
        .filter(|kept| kept.proof.parse::<LogProof>().is_ok_and(|proof| proof.index >= asked.from_index));
    let held: Vec<Receipt> = held.map(|kept| Receipt { note: kept.note, proof: kept.proof }).collect();
    let mut chunks: Vec<&[Receipt]> = held.chunks(MAX_REPORTS_PER_REQUEST).collect();
    if chunks.is_empty() {
        chunks.push(&[]); // that there is nothing is an answer
    }
    let count = chunks.len();
    for (number, receipts) in (1..).zip(chunks) {
        let shown = NewReceipts { receipts: receipts.to_vec(), last: number == count };
        courier.receipts(&identity, now().wall, &shown).context("showing what was acknowledged")?;
    }
    let mut keeper = kept(keeper);
    keeper.in_step = false;
    keeper.receipts = Receipts { asked: None, answered: Some(asked.word), compare: true };
    Ok(Some(held.len()))
}
