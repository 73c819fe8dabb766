//! The sequencer: the one writer of usage reports.
//!
//! Reports wait in a bounded queue. Whatever waits is written together: one transaction checks each report against its
//! node's head, appends the entries to the reports log, signs the checkpoint, adds to the sums behind operators' charts and
//! commits; only then is anyone answered (law 2: acknowledged means durable). One fsync serves the whole batch, and a crash at any
//! point loses nothing that was acknowledged, because nothing is acknowledged before it.
//!
//! What the writer knows of nodes it remembers (`Frontier`) and swaps in after the commit alone. Whether it is still true is
//! asked of the rows that the transaction holds, so another replica's writing, or a commit whose outcome was unknown, makes it read
//! again.

mod book;
mod frontier;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use wiregrant_core::api::ProblemKind;

use crate::acknowledgement;
use crate::clock;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::ingest::Checked;
use crate::recording::{self, Recording};

use book::{Book, Outcome};
use frontier::Frontier;

/// The most reports that may wait, of at most 4 KiB each; beyond it senders are told to come back.
pub const QUEUE_LIMIT: usize = 8_192;
/// A transaction takes up submissions until it has so many reports; the last one may pass it by what one request carries.
pub const BATCH_LIMIT: usize = 1_024;
/// Batches whose acknowledgements are being computed while the next ones are written.
const ANSWERING_LIMIT: usize = 4;

/// What came of each report of one request, in its order.
pub type Answers = Vec<Answer<String>>;

/// Reports of one request that wait to be written.
#[derive(Debug)]
pub struct Submission {
    checked: Checked,
    answer: oneshot::Sender<Answer<Answers>>,
    /// Its room in the queue, given back with it.
    _room: OwnedSemaphorePermit,
}

/// Where reports are handed in.
#[derive(Debug, Clone)]
pub struct Queue {
    submissions: mpsc::UnboundedSender<Submission>,
    /// One permit for each report that may wait: this is what bounds the queue.
    room: Arc<Semaphore>,
}

/// An empty queue and its other end.
#[must_use]
pub fn queue() -> (Queue, mpsc::UnboundedReceiver<Submission>) {
    let (submissions, receiver) = mpsc::unbounded_channel();
    (Queue { submissions, room: Arc::new(Semaphore::new(QUEUE_LIMIT)) }, receiver)
}

impl Queue {
    /// Hands in reports and waits until each is durable or refused. After one that is refused, those behind it are not looked at.
    ///
    /// # Errors
    /// `busy` when the queue is full or closing, or the database cannot be written; `internal`.
    pub async fn submit(&self, checked: Checked) -> Answer<Answers> {
        let busy = |why: String| Failure::new(ProblemKind::Busy, format!("{why}; send it again in a moment"));
        let stopping = || busy("the control plane is about to stop".to_owned());
        if self.submissions.is_closed() {
            return Err(stopping());
        }
        let count = u32::try_from(checked.reports.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(count)
            .map_err(|_| busy(format!("{QUEUE_LIMIT} reports wait already")))?;
        let (answer, answered) = oneshot::channel();
        self.submissions.send(Submission { checked, answer, _room: room }).map_err(|_| stopping())?;
        answered.await.map_err(|_| Failure::internal("a report was dropped without an answer"))?
    }
}

/// Writes what waits, batch by batch, until told to stop and the queue is empty.
pub async fn run(plane: Shared, mut waiting: mpsc::UnboundedReceiver<Submission>) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut answering = JoinSet::new();
    let mut frontier = Frontier::default();
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = &mut stopped, if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        let Some(first) = first else { break };
        let batch = take_up(first, &mut waiting);
        match write_batch(&plane, &mut frontier, &batch).await {
            Ok(written) => {
                answering.spawn(answer(plane.clone(), batch, written));
            }
            Err(failure) => {
                // Nobody knows how far it came: the rows do.
                frontier = Frontier::default();
                refuse_all(batch, &failure);
            }
        }
        while answering.len() >= ANSWERING_LIMIT {
            answering.join_next().await;
        }
    }
    answering.join_all().await;
}

/// The first submission and those that wait behind it, up to [`BATCH_LIMIT`] reports.
fn take_up(first: Submission, waiting: &mut mpsc::UnboundedReceiver<Submission>) -> Vec<Submission> {
    let mut reports = first.checked.reports.len();
    let mut batch = vec![first];
    while reports < BATCH_LIMIT {
        let Ok(next) = waiting.try_recv() else { break };
        reports = reports.saturating_add(next.checked.reports.len());
        batch.push(next);
    }
    batch
}

/// What became of each report of a batch, by submission.
struct Written {
    outcomes: Vec<Vec<Outcome>>,
    /// Absent where no report was new.
    appended: Option<recording::Signed>,
}

async fn write_batch(plane: &ControlPlane, frontier: &mut Frontier, batch: &[Submission]) -> Answer<Written> {
    let begun = clock::stopwatch();
    let mut recording = Recording::begin(plane).await?;
    frontier.catch_up(&mut recording.write, batch.iter().map(|submission| &submission.checked.node)).await?;
    let mut book = Book::new(frontier, plane.clock.now());
    let mut outcomes = Vec::with_capacity(batch.len());
    for submission in batch {
        outcomes.push(book.settle(&mut recording, &submission.checked).await?);
    }
    if !book.has_anything_to_write() {
        return Ok(Written { outcomes, appended: None });
    }
    let appended = book.write(plane, &mut recording.write).await?;
    let size = recording.write.size(wiregrant_store::Log::Reports);
    recording.commit().await?;
    let book = book.finish();
    book.frozen.iter().for_each(|node| plane.changes.of(node));
    frontier.swap_in(book, size);
    let figures = &plane.figures;
    figures.report_batches.fetch_add(1, Ordering::Relaxed);
    let reports = appended.as_ref().map_or(0, |appended| appended.size - appended.first_index);
    figures.reports_accepted.fetch_add(reports, Ordering::Relaxed);
    figures.add_micros(&figures.report_write_micros, begun.elapsed());
    Ok(Written { outcomes, appended })
}

/// Answers everyone whose report was in the batch.
async fn answer(plane: Shared, batch: Vec<Submission>, mut written: Written) {
    let acknowledged = match written.appended.take() {
        None => Ok(Vec::new()),
        Some(appended) => plane.processors.run(move || acknowledgement::of_appended(&appended)).await,
    };
    for (submission, outcomes) in batch.into_iter().zip(written.outcomes) {
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            answers.push(match outcome {
                Outcome::Refused(failure) => Err(failure),
                Outcome::Known { log_index, acked_size } => {
                    acknowledgement::again(&plane, log_index, acked_size).await
                }
                // A failure here is no refusal: the report is durable, and gets its acknowledgement when it is sent again.
                Outcome::New(position) => match &acknowledged {
                    Ok(proofs) => proofs
                        .get(position)
                        .cloned()
                        .ok_or_else(|| Failure::internal("an entry without its proof")),
                    Err(failure) => Err(failure.again()),
                },
            });
        }
        answers.extend(submission.checked.refused.filter(|_| answers.iter().all(Result::is_ok)).map(Err));
        let _ = submission.answer.send(Ok(answers)); // the client went away, and will send it again
    }
}

fn refuse_all(batch: Vec<Submission>, failure: &Failure) {
    tracing::error!(requests = batch.len(), %failure, "a batch of reports was not written");
    for submission in batch {
        let _ = submission.answer.send(Err(failure.again()));
    }
}
