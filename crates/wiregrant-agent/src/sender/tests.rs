//! Delivery to a courier of the tests' own, which keeps what it was given.

use std::cell::{Cell, RefCell};

use transparency_log::{Checkpoint, LogProof, MemoryTree, leaf_hash};
use wiregrant_core::api::Problem;
use wiregrant_core::record::report_entry;

use super::*;
use crate::enrolment::tests::log_key;
use crate::keeper::tests::{TestNode, at, membership, report_of};

const REPORTS: &str = "grants.example/reports";

/// What the control plane does.
#[derive(Default)]
pub struct TestCourier {
    pub accepted: RefCell<Vec<String>>,
    tree: RefCell<MemoryTree>,
    /// Refuses the next reports with this.
    pub refusal: Cell<Option<ProblemKind>>,
    /// Accepts, but the answer is lost.
    pub loses_answer: Cell<bool>,
    /// Answers with the proof of another entry.
    proves_another: Cell<bool>,
    heads_asked: Cell<u32>,
    /// It was restored, and asks under this word for what was acknowledged from an index on.
    asks: RefCell<Option<(String, u64)>>,
    shown: RefCell<Vec<NewReceipts>>,
}

fn unreachable() -> ControlPlaneError {
    ControlPlaneError::Unreachable { urls: String::new(), reason: "by the script".into() }
}

impl Courier for TestCourier {
    fn head(&self, _: &NodeIdentity, _: Timestamp) -> Result<ReportHead, ControlPlaneError> {
        self.heads_asked.set(self.heads_asked.get() + 1);
        self.restored()?;
        let accepted = self.accepted.borrow();
        let sequence = u64::try_from(accepted.len()).unwrap();
        Ok(ReportHead { sequence, note: accepted.last().cloned() })
    }

    fn receipts(&self, _: &NodeIdentity, _: Timestamp, shown: &NewReceipts) -> Result<(), ControlPlaneError> {
        self.shown.borrow_mut().push(shown.clone());
        Ok(())
    }

    fn report(&self, _: &NodeIdentity, _: Timestamp, note: &str) -> Result<String, ControlPlaneError> {
        self.restored()?;
        if let Some(kind) = self.refusal.get() {
            return Err(ControlPlaneError::Problem(Box::new(Problem::new(kind, "by the script"))));
        }
        let mut accepted = self.accepted.borrow_mut();
        if !accepted.iter().any(|known| known == note) {
            let (sequence, expected) = (report_of(note).sequence, accepted.len() + 1);
            assert_eq!(usize::try_from(sequence).unwrap(), expected, "in order, one text each");
            let hash = Signed::<UsageReport>::parse(note).unwrap().hash();
            self.tree.borrow_mut().push(leaf_hash(report_entry(hash).as_bytes()));
            accepted.push(note.to_owned());
        }
        if self.loses_answer.replace(false) {
            return Err(unreachable());
        }
        let index = accepted.iter().position(|known| known == note).unwrap();
        let index = if self.proves_another.get() { 0 } else { index };
        let (index, size) = (u64::try_from(index).unwrap(), u64::try_from(accepted.len()).unwrap());
        let tree = self.tree.borrow();
        let checkpoint = Checkpoint { origin: REPORTS.into(), size, root: tree.root_at(size).unwrap() };
        let proof = LogProof {
            index,
            hashes: tree.inclusion_proof(index, size).unwrap(),
            checkpoint: checkpoint.sign(&log_key(REPORTS)).unwrap(),
            extra: None,
        };
        Ok(proof.to_string())
    }
}

impl TestCourier {
    /// What a control plane is that was brought back from an old backup: with fewer reports, and the log of those.
    fn forget_beyond(&self, left: usize) {
        self.accepted.borrow_mut().truncate(left);
        let mut tree = MemoryTree::default();
        for note in self.accepted.borrow().iter() {
            tree.push(leaf_hash(report_entry(Hash::of(note.as_bytes())).as_bytes()));
        }
        *self.tree.borrow_mut() = tree;
    }

    fn restored(&self) -> Result<(), ControlPlaneError> {
        let Some((word, from)) = self.asks.borrow().clone() else { return Ok(()) };
        let problem = Problem::new(ProblemKind::CatchingUp, "by the script");
        Err(ControlPlaneError::Problem(Box::new(problem.with("asked", word).with("from_index", from))))
    }

    fn deliver(&self, node: &TestNode) -> anyhow::Result<Delivery> {
        deliver(&node.keeper, self, || node.moment(), Salt([7; 16]))
    }

    fn deliver_all(&self, node: &TestNode) {
        while self.deliver(node).unwrap() != Delivery::Idle {}
    }

    fn totals(&self) -> Vec<u64> {
        let accepted = self.accepted.borrow();
        let total = |note: &String| report_of(note).usage.values().map(|usage| usage.creditable.get()).sum();
        accepted.iter().map(total).collect()
    }
}

/// A node that has heard of the control plane, serves one peer and has `cuts` reports due of 10 bytes more each.
fn node_with_cuts(cuts: u64) -> TestNode {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    (0..cuts).for_each(|_| cut(&mut node));
    node
}

fn cut(node: &mut TestNode) {
    node.traffic(0, 10, 0);
    node.seconds += 10;
    let now = node.moment();
    node.keeper().cut(now).unwrap();
}

fn acknowledged(node: &TestNode) -> u64 {
    node.keeper().ledger.state().chain.last_acknowledged().map_or(0, |acknowledged| acknowledged.sequence)
}

#[test]
fn reports_go_out_in_order_and_the_head_is_asked_for_once() {
    let (node, courier) = (node_with_cuts(3), TestCourier::default());
    for sequence in 1..=3 {
        assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence });
    }
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Idle);
    assert_eq!((courier.totals(), courier.heads_asked.get()), (vec![10, 20, 30], 1));
    let accepted = courier.accepted.borrow();
    let (first, second) = (report_of(&accepted[0]), report_of(&accepted[1]));
    assert_eq!((first.start, first.end, second.start), (at(1_000).wall, at(2_010).wall, first.end));
    assert_eq!(first.epoch.unwrap().number, 1);
}

#[test]
fn a_lost_answer_changes_no_byte_of_what_is_sent_even_through_a_kill() {
    let (mut node, courier) = (node_with_cuts(1), TestCourier::default());
    courier.loses_answer.set(true);
    assert!(courier.deliver(&node).is_err());
    node.restart();
    node.desired(&[0], Some(membership())).unwrap();
    cut(&mut node);
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 1 });
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 2 });
    assert_eq!(courier.totals(), [10, 20]);
}

#[test]
fn a_proof_of_something_else_is_no_acknowledgement() {
    let (node, courier) = (node_with_cuts(2), TestCourier::default());
    courier.deliver(&node).unwrap();
    courier.proves_another.set(true);
    let error = courier.deliver(&node).unwrap_err().to_string();
    assert!(error.contains("report 2") && error.contains("proves nothing"), "{error}");
    assert_eq!(acknowledged(&node), 1);
    courier.proves_another.set(false);
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 2 });
}

#[test]
fn nothing_is_signed_before_the_control_planes_clock_was_compared() {
    let (mut node, courier) = (node_with_cuts(1), TestCourier::default());
    node.restart();
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Idle);
    assert!(courier.accepted.borrow().is_empty());
    node.desired(&[0], Some(membership())).unwrap();
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 1 });
}

#[test]
fn a_report_that_would_end_in_the_future_is_not_signed_and_its_bytes_go_with_the_next() {
    let (mut node, courier) = (node_with_cuts(1), TestCourier::default());
    // The clock was a little ahead, within what is tolerated, and was set right.
    node.seconds -= 20;
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Idle);
    cut(&mut node);
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 1 });
    assert_eq!(courier.totals(), [20]);
}

#[test]
fn a_node_that_lost_its_journal_takes_its_own_head_over_and_signs_no_second_text() {
    let (mut node, courier) = (node_with_cuts(3), TestCourier::default());
    courier.deliver_all(&node);
    node.lose_journal();
    node.desired(&[0], Some(membership())).unwrap();
    cut(&mut node);
    // Bytes up to the adoption are not counted twice, and those of an unknown past not at all.
    courier.deliver(&node).unwrap();
    assert_eq!(courier.totals(), [10, 20, 30, 30]);
    cut(&mut node);
    courier.deliver(&node).unwrap();
    assert_eq!(courier.totals()[4..], [40]);
}

#[test]
fn a_head_that_another_key_signed_stops_signing() {
    let (node, courier) = (node_with_cuts(1), TestCourier::default());
    courier.deliver(&node).unwrap();
    let mut forged = report_of(&courier.accepted.borrow()[0]);
    forged.sequence = 2;
    let forged =
        Signed::sign(forged, &transparency_log::SigningKey::new("node-1", [9; 32]).unwrap()).unwrap();
    courier.accepted.borrow_mut().push(forged.note().to_owned());
    node.keeper().in_step = false;
    let mut node = node;
    cut(&mut node);
    let error = format!("{:#}", courier.deliver(&node).unwrap_err());
    assert!(error.contains("sequence 2") && error.contains("not a report of this node"), "{error}");
}

#[test]
fn a_control_plane_that_lost_reports_is_given_them_again_unchanged() {
    let (mut node, courier) = (node_with_cuts(3), TestCourier::default());
    courier.deliver_all(&node);
    let before = courier.accepted.borrow().clone();
    for left in [1, 0] {
        courier.forget_beyond(left);
        node.restart();
        node.desired(&[0], Some(membership())).unwrap();
        cut(&mut node);
        courier.deliver_all(&node);
        let accepted = courier.accepted.borrow();
        assert_eq!(accepted[..3], before, "from {left} on");
        assert_eq!(accepted.len(), if left == 1 { 4 } else { 5 });
    }
}

#[test]
fn a_control_plane_that_lost_what_the_node_has_no_more_is_told_apart_from_one_that_is_ahead() {
    let (mut node, courier) = (node_with_cuts(2), TestCourier::default());
    courier.deliver_all(&node);
    std::fs::remove_file(node.keeper().dir.acknowledgements()).unwrap();
    courier.accepted.borrow_mut().truncate(1);
    node.keeper().in_step = false;
    cut(&mut node);
    let error = courier.deliver(&node).unwrap_err().to_string();
    assert!(error.contains("last report is 1") && error.contains("acknowledged 2"), "{error}");
    assert_eq!(courier.accepted.borrow().len(), 1);
}

#[test]
fn a_report_that_is_taken_for_delivered_has_its_proof_on_the_disk() {
    let (node, courier) = (node_with_cuts(2), TestCourier::default());
    let path = node.keeper().dir.acknowledgements();
    std::fs::create_dir(&path).unwrap(); // nothing can be written there
    assert!(courier.deliver(&node).is_err());
    assert_eq!((acknowledged(&node), courier.accepted.borrow().len()), (0, 1));
    std::fs::remove_dir(&path).unwrap();
    courier.deliver_all(&node);
    let (kept, damaged) = Acknowledgements::read(&path).unwrap();
    assert_eq!((kept.len(), damaged, acknowledged(&node)), (2, 0, 2));
    for (kept, accepted) in kept.values().zip(courier.accepted.borrow().iter()) {
        assert_eq!(kept.note, *accepted);
        let report = Signed::parse(&kept.note).unwrap();
        Chain::check_proof(&report, &kept.proof, &log_key(REPORTS).verifier()).unwrap();
    }
}

#[test]
fn a_refusal_is_taken_to_heart_and_the_report_kept() {
    for (kind, frozen, asks_head) in [
        (ProblemKind::NodeFrozen, true, false),
        (ProblemKind::ReportForked, true, true),
        (ProblemKind::ReportGap, false, true),
        (ProblemKind::ReportPrevious, false, true),
        (ProblemKind::Busy, false, false),
    ] {
        let (node, courier) = (node_with_cuts(1), TestCourier::default());
        courier.refusal.set(Some(kind));
        assert!(courier.deliver(&node).is_err());
        assert_eq!(node.keeper().frozen, frozen, "{kind:?}");
        assert_eq!(node.keeper().in_step, !asks_head, "{kind:?}");
        courier.refusal.set(None);
        assert_eq!(courier.deliver(&node).unwrap(), Delivery::Delivered { sequence: 1 });
    }
}

#[test]
fn a_refusal_for_good_is_known_as_one_until_a_report_gets_through() {
    for (kind, for_good) in [
        (ProblemKind::Busy, false),
        (ProblemKind::Internal, false),
        (ProblemKind::NodeFrozen, false),
        (ProblemKind::RequestClock, false),
        (ProblemKind::ReportForm, true),
        (ProblemKind::ReportEpoch, true),
        (ProblemKind::ReportOverlap, true),
    ] {
        let (mut node, courier) = (node_with_cuts(1), TestCourier::default());
        courier.refusal.set(Some(kind));
        assert!(courier.deliver(&node).is_err());
        let undelivered = node.keeper().undelivered.clone().unwrap();
        assert_eq!(undelivered.for_good, for_good, "{kind:?}");
        assert!(undelivered.why.contains("by the script"), "{}", undelivered.why);
        // The number has one text: it is sent again as it is, whatever else is due meanwhile.
        courier.refusal.set(None);
        node.desired(&[0], Some(membership())).unwrap();
        cut(&mut node);
        courier.deliver_all(&node);
        assert_eq!((courier.totals(), &node.keeper().undelivered), (vec![10, 20], &None), "{kind:?}");
    }
}

#[test]
fn a_restored_control_plane_is_shown_what_it_had_acknowledged_once_and_then_gets_it_again() {
    let mut node = node_with_cuts(3);
    let courier = TestCourier::default();
    courier.deliver_all(&node);
    cut(&mut node);
    courier.forget_beyond(1);
    *courier.asks.borrow_mut() = Some(("first".to_owned(), 1));
    assert!(courier.deliver(&node).is_err(), "it takes no report before it has caught up");
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Shown { receipts: 2 });
    assert!(courier.deliver(&node).is_err());
    assert!(courier.deliver(&node).is_err(), "it is not shown the same twice");
    let shown = courier.shown.take();
    assert_eq!(shown.len(), 1);
    assert!(shown[0].last);
    let sequences: Vec<_> = shown[0].receipts.iter().map(|shown| report_of(&shown.note).sequence).collect();
    assert_eq!(sequences, [2, 3]);

    *courier.asks.borrow_mut() = Some(("second".to_owned(), 9));
    assert!(courier.deliver(&node).is_err());
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Shown { receipts: 0 });
    assert_eq!(courier.shown.take(), [NewReceipts { receipts: Vec::new(), last: true }]);

    *courier.asks.borrow_mut() = None;
    courier.deliver_all(&node);
    assert_eq!(courier.accepted.borrow().len(), 4);
}

#[test]
fn what_was_acknowledged_is_sent_again_although_nothing_else_is_due() {
    let node = node_with_cuts(2);
    let courier = TestCourier::default();
    courier.deliver_all(&node);
    courier.forget_beyond(0);
    let asked =
        Problem::new(ProblemKind::CatchingUp, "by the script").with("asked", "word").with("from_index", 0);
    node.keeper().refused(&ControlPlaneError::Problem(Box::new(asked)), node.moment());
    assert_eq!(courier.deliver(&node).unwrap(), Delivery::Shown { receipts: 2 });
    courier.deliver_all(&node);
    assert_eq!(courier.accepted.borrow().len(), 2);
}
