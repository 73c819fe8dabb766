//! Delivers reports: signs what was cut, sends it unchanged until the control plane proves that it is logged, in order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use transparency_log::{Hash, LogError};
use wiregrant_core::Timestamp;
use wiregrant_core::api::{NewReceipts, ProblemKind, ReportHead};
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::usage_report::UsageReport;

use crate::acknowledgements::{Acknowledgements, Kept};
use crate::chain::{Acknowledged, Chain, ChainError, Standing};
use crate::clock::{ClockState, Moment};
use crate::control_plane::{ControlPlane, ControlPlaneError, NodeIdentity};
use crate::keeper::Keeper;
use crate::ledger::Record;
use crate::log_keys::{self, LogKeys};
use crate::receipts;

/// What came of trying to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// There is nothing to deliver, or nothing may be signed before the control plane's clock was compared.
    Idle,
    /// A control plane that was restored was shown what it had acknowledged.
    Shown {
        /// How many acknowledgements.
        receipts: usize,
    },
    /// A report was acknowledged; there may be another.
    Delivered {
        /// Its number.
        sequence: u64,
    },
}

/// Where reports go. The control plane in truth, a script in tests.
pub trait Courier {
    /// The last report accepted of the node.
    ///
    /// # Errors
    /// When nobody answers or it is refused.
    fn head(&self, identity: &NodeIdentity, now: Timestamp) -> Result<ReportHead, ControlPlaneError>;

    /// Delivers a note and gives what came back.
    ///
    /// # Errors
    /// When nobody answers or it is refused.
    fn report(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        note: &str,
    ) -> Result<String, ControlPlaneError>;

    /// Shows a restored control plane what it had acknowledged.
    ///
    /// # Errors
    /// When nobody answers or it is refused.
    fn receipts(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        shown: &NewReceipts,
    ) -> Result<(), ControlPlaneError>;
}

impl Courier for ControlPlane {
    fn head(&self, identity: &NodeIdentity, now: Timestamp) -> Result<ReportHead, ControlPlaneError> {
        self.head(identity, now)
    }

    fn report(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        note: &str,
    ) -> Result<String, ControlPlaneError> {
        self.report(identity, now, note)
    }

    fn receipts(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        shown: &NewReceipts,
    ) -> Result<(), ControlPlaneError> {
        self.receipts(identity, now, shown)
    }
}

/// The keeper, whatever became of a thread that had it: its state is the journal's, which only whole changes reach.
pub fn kept(keeper: &Mutex<Keeper>) -> MutexGuard<'_, Keeper> {
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why reports do not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// In words.
    pub why: String,
    /// Whether sending the same again is of no use until somebody has changed something. It is sent all the same, seldom:
    /// its number can have no second text, and what it waits for may happen on the other side.
    pub for_good: bool,
}

/// Refusals that the same text gets again. Where the chain and the control plane disagree, the head is compared first.
const FOR_GOOD: [ProblemKind; 14] = [
    ProblemKind::ReportForm,
    ProblemKind::ReportSignature,
    ProblemKind::ReportOtherLog,
    ProblemKind::ReportOtherNode,
    ProblemKind::ReportEpoch,
    ProblemKind::ReportGap,
    ProblemKind::ReportPrevious,
    ProblemKind::ReportTotalFell,
    ProblemKind::ReportOverlap,
    ProblemKind::TooLarge,
    ProblemKind::Unauthorized,
    ProblemKind::Forbidden,
    ProblemKind::NotFound,
    ProblemKind::RequestSignature,
];

impl Undelivered {
    fn because(error: &anyhow::Error) -> Self {
        let for_good = match error.downcast_ref::<ControlPlaneError>() {
            Some(ControlPlaneError::Problem(problem)) => FOR_GOOD.iter().any(|kind| problem.is(*kind)),
            _ => error.is::<ChainError>(),
        };
        Self { why: format!("{error:#}"), for_good }
    }
}

/// Delivers the next report. The keeper is free while the control plane is waited for; afterwards it knows what became of
/// it.
///
/// # Errors
/// When the control plane does not answer, refuses, or proves nothing, and when the journal cannot be written. The report
/// stays what it is, to be sent again.
pub fn deliver(
    keeper: &Mutex<Keeper>,
    courier: &impl Courier,
    now: impl Fn() -> Moment,
    salt: Salt,
) -> anyhow::Result<Delivery> {
    let delivery = try_to_deliver(keeper, courier, now, salt);
    match &delivery {
        Ok(Delivery::Delivered { .. }) => kept(keeper).undelivered = None,
        Ok(Delivery::Idle | Delivery::Shown { .. }) => {}
        Err(error) => kept(keeper).undelivered = Some(Undelivered::because(error)),
    }
    delivery
}

fn try_to_deliver(
    keeper: &Mutex<Keeper>,
    courier: &impl Courier,
    now: impl Fn() -> Moment,
    salt: Salt,
) -> anyhow::Result<Delivery> {
    if let Some(receipts) = receipts::show(keeper, courier, &now)? {
        return Ok(Delivery::Shown { receipts });
    }
    let (identity, in_step) = {
        let keeper = kept(keeper);
        let is_due = keeper.receipts.compare || keeper.ledger.state().chain.unacknowledged()? > 0;
        if keeper.clock.judge(now()) != ClockState::Good || !is_due {
            return Ok(Delivery::Idle);
        }
        (keeper.identity.clone(), keeper.in_step)
    };
    if !in_step {
        let ask = || {
            let head = courier.head(&identity, now().wall);
            let head = head.inspect_err(|error| kept(keeper).refused(error, now()));
            head.context("asking for the last accepted report")
        };
        let mut head = ask()?;
        if send_again(keeper, courier, &identity, &now, &head)? > 0 {
            head = ask()?;
        }
        let mut keeper = kept(keeper);
        keeper.take_head(&head, now())?;
        keeper.receipts.compare = false;
    }
    let Some(report) = kept(keeper).next_report(now(), salt)? else {
        return Ok(Delivery::Idle);
    };
    let sequence = report.content().sequence;
    let proof = courier.report(&identity, now().wall, report.note()).inspect_err(|error| {
        kept(keeper).refused(error, now());
    });
    let proof = proof.with_context(|| format!("delivering report {sequence}"))?;
    check_acknowledged(keeper, &report, &proof)?;
    let time = Some(now().wall);
    let mut keeper = kept(keeper);
    // Before the journal: a report that is taken for delivered has its proof on the disk.
    keeper.acknowledgements.keep(&Kept { sequence, note: report.note().to_owned(), proof })?;
    keeper.ledger.commit(vec![Record::Acknowledged(Acknowledged { sequence, time })])?;
    keeper.last_contact = time;
    Ok(Delivery::Delivered { sequence })
}

/// Checks an acknowledgement under the log's newest key. One that another key has signed sends us to look whether the newest that is known
/// leads to it.
fn check_acknowledged(
    keeper: &Mutex<Keeper>,
    report: &Signed<UsageReport>,
    proof: &str,
) -> anyhow::Result<()> {
    let (dir, enrolment) = {
        let keeper = kept(keeper);
        (keeper.dir.clone(), keeper.enrolment.clone())
    };
    let mut keys = LogKeys::read(&dir, &enrolment)?;
    match Chain::check_proof(report, proof, keys.signs_reports()) {
        Err(error @ ChainError::Proof { source: LogError::NotSigned { .. }, .. }) => {
            if log_keys::follow(&dir, &enrolment, &mut keys).with_context(|| error.to_string())? {
                return Ok(Chain::check_proof(report, proof, keys.signs_reports())?);
            }
            Err(error.into())
        }
        checked => Ok(checked?),
    }
}

/// Sends what was acknowledged and the control plane has lost (it was restored from a backup), unchanged and in order; gives
/// how many it has taken. Where the node does not have them any more, nothing is sent: then nothing is signed either.
fn send_again(
    keeper: &Mutex<Keeper>,
    courier: &impl Courier,
    identity: &NodeIdentity,
    now: &impl Fn() -> Moment,
    head: &ReportHead,
) -> anyhow::Result<usize> {
    let (path, acknowledged, log_keys) = {
        let keeper = kept(keeper);
        let acknowledged = keeper.ledger.state().chain.last_acknowledged().map_or(0, |last| last.sequence);
        (keeper.dir.acknowledgements(), acknowledged, LogKeys::read(&keeper.dir, &keeper.enrolment)?)
    };
    if head.sequence >= acknowledged {
        return Ok(0);
    }
    let (from, keys) = (head.sequence.saturating_add(1), log_keys.reports());
    let lost = Acknowledgements::chain(&path, from, acknowledged, keys)?;
    let previous = head.note.as_ref().map(|note| Hash::of(note.as_bytes()));
    let follows = |lost: &Vec<Signed<UsageReport>>| {
        lost.first().is_some_and(|first| first.content().previous == previous)
    };
    let Some(lost) = lost.filter(follows) else { return Ok(0) };
    tracing::warn!(
        from,
        to = acknowledged,
        "the control plane has lost reports that it acknowledged: sending them again"
    );
    for report in &lost {
        let sequence = report.content().sequence;
        let proof = courier.report(identity, now().wall, report.note());
        let proof = proof.with_context(|| format!("delivering report {sequence} again"))?;
        check_acknowledged(keeper, report, &proof)?;
        kept(keeper).acknowledgements.keep(&Kept { sequence, note: report.note().to_owned(), proof })?;
    }
    Ok(lost.len())
}

impl Keeper {
    /// Compares the control plane's head with the chain. A head that is ahead and signed by this very node shows that the
    /// state directory is older than what the node has signed: its totals are taken over.
    fn take_head(&mut self, head: &ReportHead, now: Moment) -> anyhow::Result<()> {
        let own = self.identity.key.verifier();
        match self.ledger.state().chain.standing(head, &self.enrolment, &own)? {
            Standing::InStep => {}
            Standing::Ahead(report) => self.adopt(&report, now)?,
        }
        self.in_step = true;
        Ok(())
    }

    fn adopt(&mut self, report: &Signed<UsageReport>, now: Moment) -> anyhow::Result<()> {
        let live = self.live()?.into_iter().map(|peer| (peer.public_key, peer.reading)).collect();
        let content = report.content();
        tracing::warn!(
            sequence = content.sequence,
            "the control plane has a later report of this node than its state directory: taking its totals over, and \
             counting on from the present counters"
        );
        let mut records = vec![Record::Adopted {
            note: report.note().to_owned(),
            sequence: content.sequence,
            usage: content.usage.clone(),
            epoch: content.epoch.clone(),
            end: content.end,
            live,
        }];
        if let Some(end) = self.trusted(now).filter(|now| *now > content.end) {
            records.push(Record::Cut { end });
        }
        self.ledger.commit(records)?;
        self.forget_cross_check();
        Ok(())
    }

    /// The report that is under way, or else the next one, signed now and in the journal before anybody sees it.
    fn next_report(&mut self, now: Moment, salt: Salt) -> anyhow::Result<Option<Signed<UsageReport>>> {
        if let Some(report) = self.ledger.state().chain.under_way()? {
            return Ok(Some(report));
        }
        // Judged again, right before signing: the answer to the last question may have taken long.
        if self.clock.judge(now) != ClockState::Good {
            return Ok(None);
        }
        while self.ledger.state().chain.first_cut().is_some_and(|cut| cut.end > now.wall) {
            tracing::warn!(
                "a report that would end in the future is not signed; its bytes go with the next one"
            );
            self.ledger.commit(vec![Record::Discarded])?;
        }
        let (chain, backend) = (&self.ledger.state().chain, self.backend());
        let signed = chain.sign_next(&self.enrolment, backend, &self.identity.key, salt);
        if let Err(ChainError::Succession(_)) = &signed {
            // Nobody would take it. Totals are cumulative: its bytes go with the next, if that follows.
            self.ledger.commit(vec![Record::Discarded])?;
        }
        let Some(report) = signed? else { return Ok(None) };
        self.ledger.commit(vec![Record::Signed { note: report.note().to_owned() }])?;
        Ok(Some(report))
    }

    /// Takes what a refusal says about the node.
    pub fn refused(&mut self, error: &ControlPlaneError, now: Moment) {
        let ControlPlaneError::Problem(problem) = error else { return };
        self.receipts.refused(problem);
        self.follow(problem);
        let is_one_of = |kinds: &[ProblemKind]| kinds.iter().any(|kind| problem.is(*kind));
        if is_one_of(&[ProblemKind::NodeFrozen, ProblemKind::ReportForked]) {
            self.frozen = true;
        }
        if is_one_of(&[ProblemKind::RequestClock]) {
            self.clock.refused(now);
        }
        if is_one_of(&[
            ProblemKind::ReportForked,
            ProblemKind::ReportGap,
            ProblemKind::ReportPrevious,
            ProblemKind::ReportTotalFell,
            ProblemKind::ReportOverlap,
        ]) {
            // The chain and the control plane disagree: its head tells which of the two is behind.
            self.in_step = false;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
