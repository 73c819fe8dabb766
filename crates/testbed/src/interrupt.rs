//! Ctrl-C and SIGTERM: a flag that every wait looks at, so that everything is taken down on the way out.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static ASKED_TO_STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Somebody pressed Ctrl-C or sent SIGTERM.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From here on the signals set a flag instead of ending this process.
///
/// # Errors
/// Those of the operating system.
pub fn watch() -> io::Result<()> {
    let flag = ASKED_TO_STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Whether somebody asked this process to stop.
#[must_use]
pub fn requested() -> bool {
    ASKED_TO_STOP.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
