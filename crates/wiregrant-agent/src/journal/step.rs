//! The steps by which a journal reaches the disk, each of which may be the last: tests end the agent at any of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Writes all bytes at an offset.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    fault::written(|part| file.write_all_at(&bytes[..bytes.len() * part / 256], offset))?;
    file.write_all_at(bytes, offset)
}

/// Cuts a file off.
pub fn cut(file: &File, length: u64) -> io::Result<()> {
    check()?;
    file.set_len(length)
}

/// Makes what was written durable.
pub fn sync(file: &File) -> io::Result<()> {
    check()?;
    file.sync_data()
}

/// A step without bytes.
#[cfg_attr(not(test), expect(clippy::unnecessary_wraps, reason = "tests end the agent here"))]
pub fn check() -> io::Result<()> {
    #[cfg(test)]
    fault::written(|_| Ok(()))?;
    Ok(())
}

/// The end of an agent at one of its steps. Of the thread's own, as tests run side by side.
#[cfg(test)]
pub mod fault {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Steps until the end, and how much of that step's bytes is still written, in 256ths.
        static AHEAD: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
        static OVER: Cell<bool> = const { Cell::new(false) };
    }

    /// The agent ends at the n-th step from now.
    pub fn after(steps: u32, part: u8) {
        AHEAD.set(Some((steps, usize::from(part))));
    }

    /// A new agent begins.
    pub fn clear() {
        AHEAD.set(None);
        OVER.set(false);
    }

    pub(super) fn written(part_of: impl FnOnce(usize) -> io::Result<()>) -> io::Result<()> {
        if !OVER.get() {
            match AHEAD.get() {
                Some((0, part)) => {
                    OVER.set(true);
                    part_of(part)?;
                }
                Some((steps, part)) => AHEAD.set(Some((steps - 1, part))),
                None => {}
            }
        }
        if OVER.get() { Err(io::Error::other("the agent was killed")) } else { Ok(()) }
    }
}
