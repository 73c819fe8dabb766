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
    file.sync_data()?;
    #[cfg(test)]
    fault::synced(file)?;
    Ok(())
}

/// A step without bytes.
#[cfg_attr(not(test), expect(clippy::unnecessary_wraps, reason = "tests end the agent here"))]
pub fn check() -> io::Result<()> {
    #[cfg(test)]
    fault::written(|_| Ok(()))?;
    Ok(())
}

/// What may befall an agent at one of its steps. Of the thread's own, as tests run side by side.
#[cfg(test)]
pub mod fault {
    use std::cell::{Cell, RefCell};
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    #[derive(Clone, Copy)]
    enum Fate {
        Spared,
        /// Steps until the end, and how much of that step's bytes is still written, in 256ths.
        Ends(u32, usize),
        /// The file system refuses so many steps.
        Refused(u32),
        Over,
    }

    thread_local! {
        static FATE: Cell<Fate> = const { Cell::new(Fate::Spared) };
        static DISK: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    }

    /// From here on what a power cut would leave of the last synced file is kept.
    pub fn watch_the_disk() {
        DISK.set(Some(Vec::new()));
    }

    /// The bytes of the file that was synced last as they were then: a power cut leaves these, and nothing that was written since.
    pub fn after_a_power_cut() -> Vec<u8> {
        DISK.with_borrow(|disk| disk.clone().expect("the disk is watched"))
    }

    pub(super) fn synced(file: &File) -> io::Result<()> {
        DISK.with_borrow_mut(|disk| {
            let Some(disk) = disk else { return Ok(()) };
            disk.resize(usize::try_from(file.metadata()?.len()).expect("it fits"), 0);
            file.read_exact_at(disk, 0)
        })
    }

    /// The agent ends at the n-th step from now, `part` 256ths into it.
    pub fn after(steps: u32, part: u8) {
        FATE.set(Fate::Ends(steps, usize::from(part)));
    }

    /// The agent has ended: not a step more.
    pub fn end() {
        FATE.set(Fate::Over);
    }

    /// The next steps fail, and the agent lives on.
    pub fn refuse(steps: u32) {
        FATE.set(Fate::Refused(steps));
    }

    /// Whether the agent has ended.
    pub fn is_over() -> bool {
        matches!(FATE.get(), Fate::Over)
    }

    /// A new agent begins.
    pub fn clear() {
        FATE.set(Fate::Spared);
    }

    pub(super) fn written(part_of: impl FnOnce(usize) -> io::Result<()>) -> io::Result<()> {
        match FATE.get() {
            Fate::Spared | Fate::Refused(0) => return Ok(()),
            Fate::Ends(0, part) => {
                FATE.set(Fate::Over);
                part_of(part)?;
            }
            Fate::Ends(steps, part) => {
                FATE.set(Fate::Ends(steps - 1, part));
                return Ok(());
            }
            Fate::Refused(steps) => FATE.set(Fate::Refused(steps - 1)),
            Fate::Over => {}
        }
        Err(io::Error::other("by the test"))
    }
}
