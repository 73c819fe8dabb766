//! What these tests share: the binaries, and a turn of one's own, since a world and a browser are heavy.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testbed::programs::Programs;

/// For what happens within seconds, also on a machine that does much else.
pub const LIMIT: Duration = Duration::from_secs(120);

static TURN: Mutex<()> = Mutex::new(());

/// Waits for the turn of this test.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binaries that were built with this test.
pub fn programs() -> Programs {
    Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).expect("the binaries of the workspace")
}
