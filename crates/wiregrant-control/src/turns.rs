//! `Turns`: how many nodes are looked up in the database together.
//!
//! After a restart all nodes come back within a second. Were each to wait for the database behind all the others, its time would be over
//! before its turn came, it would ask again, and nobody would get what they came for. So a bounded number waits, and whoever comes
//! beyond it is told at once to come again.

use tokio::sync::{Semaphore, SemaphorePermit};
use wiregrant_core::api::ProblemKind;

use crate::error::{Answer, Failure};

/// Look-ups under way: more than there are connections that read, so that these are never idle.
const AT_ONCE: usize = 32;
/// Requests that wait for theirs, besides.
const WAITING: usize = 512;

/// Who may look up, and who may wait for it.
#[derive(Debug)]
pub struct Turns {
    room: Semaphore,
    turns: Semaphore,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    _room: SemaphorePermit<'a>,
    _turn: SemaphorePermit<'a>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { room: Semaphore::new(AT_ONCE + WAITING), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Turns {
    /// Waits for a turn, first come, first served.
    ///
    /// # Errors
    /// `busy` when as many wait already as may.
    pub async fn take(&self) -> Answer<Turn<'_>> {
        let busy =
            |_| Failure::new(ProblemKind::Busy, "many nodes come at the same time; ask again in a moment");
        let room = self.room.try_acquire().map_err(busy)?;
        let turn = self.turns.acquire().await.map_err(Failure::internal)?;
        Ok(Turn { _room: room, _turn: turn })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn so_many_look_up_and_so_many_wait_and_whoever_comes_beyond_is_sent_away_at_once() {
        let turns = Turns::default();
        let mut under_way = Vec::new();
        for _ in 0..AT_ONCE {
            under_way.push(turns.take().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(turns.take())).collect();
        let mut context = Context::from_waker(Waker::noop());
        for waits in &mut waiting {
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        let refused = turns.take().await.unwrap_err();
        assert!(refused.problem().is(ProblemKind::Busy) && refused.problem().retry_after_seconds().is_some());
        drop(under_way.pop());
        assert!(waiting[0].as_mut().poll(&mut context).is_ready(), "the first who came");
        // Whoever goes away while they wait leaves their place to another.
        drop(waiting.pop());
        let mut next = pin!(turns.take());
        assert!(next.as_mut().poll(&mut context).is_pending());
    }
}
