//! `Processors`: where signatures are checked and proofs made, so that what computes for long keeps neither the writer nor other
//! requests waiting.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Answer, Failure};

/// As many pieces of work at a time as there are processors; others wait their turn.
#[derive(Debug, Clone)]
pub struct Processors(Arc<Semaphore>);

impl Default for Processors {
    fn default() -> Self {
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Arc::new(Semaphore::new(count)))
    }
}

impl Processors {
    /// Does the work on a thread of its own.
    ///
    /// # Errors
    /// Those of the work; `internal` when it panics.
    pub async fn run<T, W>(&self, work: W) -> Answer<T>
    where
        T: Send + 'static,
        W: FnOnce() -> Answer<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(Failure::internal)?
    }
}
