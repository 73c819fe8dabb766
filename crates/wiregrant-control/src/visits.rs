//! `Visits`: what each signed request of a node leaves in the database: that it was taken, so that no replica takes it again, and
//! when the node was seen last. Whoever waits shares one transaction.

use tokio::sync::{mpsc, oneshot};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::request::HEADER_NONCE;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::RequestNonce;

use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};

/// The most requests that may wait to be taken; beyond it nodes are told to come back.
const QUEUE_LIMIT: usize = 4_096;
/// The most requests of one transaction.
const BATCH_LIMIT: usize = 512;

/// A request to be taken.
#[derive(Debug)]
pub struct Visit {
    request: RequestNonce,
    /// Whether the time is to be written at which the node was seen.
    is_seen: bool,
    answer: oneshot::Sender<Answer<()>>,
}

/// Where requests are handed in.
#[derive(Debug, Clone)]
pub struct Visits(mpsc::Sender<Visit>);

/// An empty queue and its other end.
#[must_use]
pub fn queue() -> (Visits, mpsc::Receiver<Visit>) {
    let (sender, receiver) = mpsc::channel(QUEUE_LIMIT);
    (Visits(sender), receiver)
}

/// What a request leaves besides its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: the node was seen a moment ago.
    None,
    /// When the node was seen.
    LastSeen,
}

impl Visits {
    /// Hands in a request and waits until it was taken.
    ///
    /// # Errors
    /// `request-replayed` for one that another replica took; `busy`; `internal`.
    pub async fn take(&self, request: RequestNonce, trace: Trace) -> Answer<()> {
        let (answer, answered) = oneshot::channel();
        let visit = Visit { request, is_seen: trace == Trace::LastSeen, answer };
        self.0.try_send(visit).map_err(|_| {
            Failure::new(ProblemKind::Busy, "too many nodes ask at the same time; ask again in a moment")
        })?;
        answered.await.map_err(|_| Failure::internal("a request was dropped without an answer"))?
    }
}

/// Takes what waits, until told to stop and the queue is empty.
pub async fn run(plane: Shared, mut waiting: mpsc::Receiver<Visit>) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut visits = Vec::with_capacity(BATCH_LIMIT);
    loop {
        let taken = tokio::select! {
            taken = waiting.recv_many(&mut visits, BATCH_LIMIT) => taken,
            () = &mut stopped, if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        let visits = std::mem::take(&mut visits);
        match take(&plane, &visits).await {
            Ok(taken) => visits.into_iter().zip(taken).for_each(|(visit, taken)| {
                let _ = visit.answer.send(if taken { Ok(()) } else { Err(replayed(&visit.request)) });
            }),
            Err(failure) => {
                tracing::error!(requests = visits.len(), %failure, "requests of nodes could not be taken");
                for visit in visits {
                    let _ = visit.answer.send(Err(failure.again()));
                }
            }
        }
    }
}

async fn take(plane: &ControlPlane, visits: &[Visit]) -> Answer<Vec<bool>> {
    let requests: Vec<RequestNonce> = visits.iter().map(|visit| visit.request.clone()).collect();
    let taken = if plane.store.is_shared() {
        plane.store.take_nonces(&requests).await?
    } else {
        vec![true; requests.len()] // this process remembers them, and there is no other
    };
    let seen = visits.iter().zip(&taken).filter(|(visit, taken)| visit.is_seen && **taken);
    let seen: Vec<NodeId> = seen.map(|(visit, _)| visit.request.node.clone()).collect();
    if !seen.is_empty() {
        note_last_seen(plane, &seen, plane.clock.now()).await?;
    }
    Ok(taken)
}

async fn note_last_seen(plane: &ControlPlane, nodes: &[NodeId], now: Timestamp) -> Answer<()> {
    let mut write = plane.store.write().await?;
    write.touch_last_seen(nodes, now).await?;
    write.commit_at_leisure().await?; // who was seen is seen again within the minute
    nodes.iter().for_each(|node| plane.identities.seen(node, now));
    Ok(())
}

fn replayed(request: &RequestNonce) -> Failure {
    let detail = format!(
        "{HEADER_NONCE}: this request of {} was taken before; draw a new nonce for each",
        request.node
    );
    Failure::new(ProblemKind::RequestReplayed, detail)
}
