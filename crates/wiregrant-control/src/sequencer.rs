//! The sequencer: the one writer of usage reports.
//!
//! Reports wait in a bounded queue. Whatever waits is written together: one transaction checks each report against its
//! node's head, appends the entries to the reports log, signs the checkpoint and commits; only then is anyone answered
//! (law 2: acknowledged means durable). One fsync serves the whole batch, and a crash at any point loses nothing that was
//! acknowledged, because nothing is acknowledged before it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use transparency_log::Hash;
use wiregrant_core::api::{NodeState, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_core::record::{RecordEntry, report_entry};
use wiregrant_core::usage_report::UsageReport;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::{Log, Report, Write};

use crate::acknowledgement;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::ingest::{Head, Standing, Verdict};
use crate::membership;
use crate::recording::{self, Recording};

/// The most reports that may wait; beyond it senders are told to come back.
pub const QUEUE_LIMIT: usize = 4_096;
/// The most reports of one transaction.
pub const BATCH_LIMIT: usize = 256;
/// Batches whose acknowledgements are being computed while the next ones are written.
const ANSWERING_LIMIT: usize = 4;

/// A report that waits to be written, its form, signature and sender checked.
#[derive(Debug)]
pub struct Submission {
    report: Signed<UsageReport>,
    answer: oneshot::Sender<Answer<String>>,
}

/// Where reports are handed in.
#[derive(Debug, Clone)]
pub struct Queue(mpsc::Sender<Submission>);

/// An empty queue and its other end.
#[must_use]
pub fn queue() -> (Queue, mpsc::Receiver<Submission>) {
    let (sender, receiver) = mpsc::channel(QUEUE_LIMIT);
    (Queue(sender), receiver)
}

impl Queue {
    /// Hands in a report and waits until it is durable or refused.
    ///
    /// # Errors
    /// `busy` when the queue is full or closing; otherwise why the report was refused.
    pub async fn submit(&self, report: Signed<UsageReport>) -> Answer<String> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Submission { report, answer }).map_err(|error| {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => format!("{QUEUE_LIMIT} reports wait already"),
                mpsc::error::TrySendError::Closed(_) => "the control plane is about to stop".to_owned(),
            };
            Failure::new(ProblemKind::Busy, format!("{why}; send it again in a moment"))
        })?;
        answered.await.map_err(|_| Failure::internal("a report was dropped without an answer"))?
    }
}

/// Writes what waits, batch by batch, until told to stop and the queue is empty.
pub async fn run(plane: Shared, mut waiting: mpsc::Receiver<Submission>) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut answering = JoinSet::new();
    let mut batch = Vec::with_capacity(BATCH_LIMIT);
    loop {
        let taken = tokio::select! {
            taken = waiting.recv_many(&mut batch, BATCH_LIMIT) => taken,
            () = &mut stopped, if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        if taken == 0 {
            break;
        }
        let batch = std::mem::take(&mut batch);
        match write_batch(&plane, &batch).await {
            Ok(written) => {
                answering.spawn(answer(plane.clone(), batch, written));
            }
            Err(failure) => refuse_all(batch, &failure),
        }
        while answering.len() >= ANSWERING_LIMIT {
            answering.join_next().await;
        }
    }
    answering.join_all().await;
}

/// What became of each report of a batch, in its order.
struct Written {
    outcomes: Vec<Outcome>,
    /// Absent where no report was new.
    appended: Option<recording::Signed>,
}

enum Outcome {
    /// The n-th new entry of the batch.
    New(usize),
    /// Acknowledged before.
    Known { log_index: u64, acked_size: u64 },
    /// Refused.
    Refused(Failure),
}

async fn write_batch(plane: &ControlPlane, batch: &[Submission]) -> Answer<Written> {
    let mut recording = Recording::begin(plane).await?;
    let mut book = Book { now: plane.clock.now(), ..Book::default() };
    let mut outcomes = Vec::with_capacity(batch.len());
    for submission in batch {
        outcomes.push(book.settle(&mut recording, &submission.report).await?);
    }
    if book.new.is_empty() && book.frozen.is_empty() && !book.has_evidence {
        return Ok(Written { outcomes, appended: None });
    }
    let appended = book.write(plane, &mut recording.write).await?;
    recording.commit().await?;
    book.frozen.iter().for_each(|node| plane.changes.of(node));
    Ok(Written { outcomes, appended })
}

/// What is known while a batch is put together: nodes as they will stand once it is committed.
struct Book<'a> {
    now: Timestamp,
    standings: BTreeMap<NodeId, Standing>,
    new: Vec<&'a Signed<UsageReport>>,
    positions: BTreeMap<(NodeId, u64), usize>,
    frozen: BTreeSet<NodeId>,
    has_evidence: bool,
}

impl Default for Book<'_> {
    fn default() -> Self {
        Self {
            now: Timestamp::from_unix_seconds(0).expect("1970 is a moment"),
            standings: BTreeMap::new(),
            new: Vec::new(),
            positions: BTreeMap::new(),
            frozen: BTreeSet::new(),
            has_evidence: false,
        }
    }
}

/// A text accepted under a sequence number: its hash, and where it stands.
struct Accepted {
    hash: Hash,
    outcome: Outcome,
}

impl<'a> Book<'a> {
    async fn settle(
        &mut self,
        recording: &mut Recording<'_>,
        report: &'a Signed<UsageReport>,
    ) -> Answer<Outcome> {
        let UsageReport { node, sequence, .. } = report.content();
        if !self.standings.contains_key(node) {
            let standing = standing(&mut recording.write, node).await?;
            self.standings.insert(node.clone(), standing);
        }
        let accepted = self.accepted(&mut recording.write, node, *sequence).await?;
        let standing = self.standings.get_mut(node).expect("it was put there above");
        match standing.judge(report, accepted.as_ref().map(|accepted| accepted.hash), self.now) {
            Verdict::Next => {
                standing.head = Some(Head { report: report.content().clone(), hash: report.hash() });
                self.positions.insert((node.clone(), *sequence), self.new.len());
                self.new.push(report);
                Ok(Outcome::New(self.new.len().saturating_sub(1)))
            }
            Verdict::Known => Ok(accepted.expect("a known text was accepted").outcome),
            Verdict::Forked(failure) => {
                self.has_evidence |=
                    recording.write.insert_evidence(node, *sequence, report.note(), self.now).await?;
                if standing.state == NodeState::Active {
                    standing.state = NodeState::Frozen;
                    recording.write.set_node_state(node, NodeState::Frozen).await?;
                    recording.log(RecordEntry::Freeze { node: node.clone(), reason: "fork".to_owned() });
                    self.frozen.insert(node.clone());
                }
                Ok(Outcome::Refused(failure))
            }
            Verdict::Refused(failure) => Ok(Outcome::Refused(failure)),
        }
    }

    /// The text accepted under this number, in this batch or before.
    async fn accepted(&self, write: &mut Write, node: &NodeId, sequence: u64) -> Answer<Option<Accepted>> {
        if let Some(position) = self.positions.get(&(node.clone(), sequence)) {
            return Ok(Some(Accepted { hash: self.new[*position].hash(), outcome: Outcome::New(*position) }));
        }
        let stored = write.report(node, sequence).await?;
        Ok(stored.map(|report| Accepted {
            hash: report.note_hash,
            outcome: Outcome::Known { log_index: report.log_index, acked_size: report.acked_size },
        }))
    }

    /// Appends the new reports' entries and inserts their rows.
    async fn write(&self, plane: &ControlPlane, write: &mut Write) -> Answer<Option<recording::Signed>> {
        if self.new.is_empty() {
            return Ok(None);
        }
        let entries: Vec<String> = self.new.iter().map(|report| report_entry(report.hash())).collect();
        let signed = recording::append(write, Log::Reports, &plane.keys.reports, &entries).await?;
        let rows: Vec<Report> = (signed.first_index..)
            .zip(&self.new)
            .map(|(index, report)| self.row(report, index, signed.size))
            .collect();
        write.insert_reports(&rows).await?;
        Ok(Some(signed))
    }

    fn row(&self, report: &Signed<UsageReport>, log_index: u64, acked_size: u64) -> Report {
        let content = report.content();
        Report {
            node: content.node.clone(),
            sequence: content.sequence,
            note: report.note().to_owned(),
            note_hash: report.hash(),
            log_index,
            acked_size,
            epoch_grant: content.epoch.as_ref().map(|label| label.grant.clone()),
            epoch_number: content.epoch.as_ref().map(|label| label.number),
            start_at: content.start,
            end_at: content.end,
            received_at: self.now,
        }
    }
}

async fn standing(write: &mut Write, node: &NodeId) -> Answer<Standing> {
    let state = write.node(node).await?.map(|node| node.state);
    let head = write.head_report(node).await?;
    let head = head.map(|report| {
        let hash = report.note_hash;
        let note = Signed::<UsageReport>::parse(&report.note).map_err(Failure::internal)?;
        Ok::<_, Failure>(Head { report: note.into_content(), hash })
    });
    Ok(Standing {
        state: state.ok_or_else(|| Failure::internal(format!("node {node} vanished")))?,
        head: head.transpose()?,
        memberships: membership::all_of_node(write, node).await?,
    })
}

/// Answers everyone whose report was in the batch.
async fn answer(plane: Shared, batch: Vec<Submission>, written: Written) {
    let acknowledged = match &written.appended {
        None => Ok(Vec::new()),
        Some(signed) => {
            let indices: Vec<u64> = (signed.first_index..signed.size).collect();
            acknowledgement::proofs(&plane.store, &indices, signed.size, &signed.checkpoint).await
        }
    };
    for (submission, outcome) in batch.into_iter().zip(written.outcomes) {
        let answer = match outcome {
            Outcome::Refused(failure) => Err(failure),
            Outcome::Known { log_index, acked_size } => {
                acknowledgement::again(&plane.store, log_index, acked_size).await
            }
            // A failure here is no refusal: the report is durable, and gets its acknowledgement when it is sent again.
            Outcome::New(position) => match &acknowledged {
                Ok(proofs) => proofs
                    .get(position)
                    .cloned()
                    .ok_or_else(|| Failure::internal("an entry without its proof")),
                Err(failure) => Err(failure.again()),
            },
        };
        let _ = submission.answer.send(answer); // the client went away, and will send it again
    }
}

fn refuse_all(batch: Vec<Submission>, failure: &Failure) {
    tracing::error!(reports = batch.len(), %failure, "a batch of reports was not written");
    for submission in batch {
        let _ = submission.answer.send(Err(failure.again()));
    }
}
