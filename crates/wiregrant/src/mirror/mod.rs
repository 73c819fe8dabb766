//! `wiregrant mirror`: a copy of another's public folder that any web server can host, and a control plane be restored from.
//!
//! What is copied is verified first, as `wiregrant verify` does it, and put in place only then: logs before the record that
//! speaks of them, each log's checkpoint after its tiles. So whoever reads the copy at any moment finds all that its
//! checkpoint promises, and a mirror that was killed goes on where it stopped: what it fetched lies in `.incoming`.
//! Of the reports log only what is new is fetched and read; the record is small and is replayed whole, from the copy.

mod copy;
mod pages;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use transparency_log::{Checkpoint, Edge, HashSource as _};

use crate::terminal::Terminal;
use crate::verify::leftovers;
use crate::verify::log::PublicLog;
use crate::verify::source::Source;
use crate::verify::{self, Beside, Checked, CouldNotCheck, Memory, TrustedKeys};
use copy::Trust;

pub use copy::{Copied, Copy};

#[derive(Debug, Args)]
pub struct Mirror {
    /// The address of a control plane or of another mirror, or a folder with its public files
    #[arg(value_name = "URL|FOLDER")]
    from: String,
    /// The folder to keep the copy in
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    /// Where checkpoints and keys are kept from one run to the next [default: $XDG_STATE_HOME/wiregrant]
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustedKeys,
}

impl Mirror {
    /// Copies and tells; the result is the exit code, as that of `verify`.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub fn run(&self, terminal: Terminal) -> Result<u8> {
        let upstream = match Source::open(&self.from) {
            Ok(upstream) => upstream,
            Err(reason) => return verify::tell_could_not_check(reason, terminal),
        };
        let memory = match Memory::open(self.state_dir.clone()) {
            Ok(memory) => memory,
            Err(reason) => return verify::tell_could_not_check(reason, terminal),
        };
        let copy = Copy::open(upstream, &self.to).with_context(|| format!("{}", self.to.display()))?;
        let source = Source::Copy(Box::new(copy));
        let mut checked = match self.attempt(&source, &memory) {
            Ok(checked) => checked,
            Err(reason) => return verify::tell_could_not_check(reason, terminal),
        };
        if let (Some((record, reports)), Source::Copy(copy)) = (&checked.logs, &source) {
            refuse_another_log(copy, record).with_context(|| format!("{}", self.to.display()))?;
            place(copy, record, reports).with_context(|| format!("{}", self.to.display()))?;
            let pages = pages::copy(copy, record, checked.record.as_ref());
            checked.set_copied(copy.copied());
            if let Err(reason) = pages? {
                return verify::tell_could_not_check(reason, terminal);
            }
        }
        checked.tell(terminal)
    }

    /// Verifies over the copy and what is missing in it. Where that does not hold the fault may be the copy's, of a disk that
    /// changed a byte, say: then all of it is fetched again, and nothing that is in place is touched unless that holds.
    fn attempt(&self, source: &Source, memory: &Memory) -> Result<Checked, CouldNotCheck> {
        let beside = Beside::default();
        let Source::Copy(copy) = source else { unreachable!("a mirror reads through its copy") };
        let checked = verify::check_source(source, memory, &self.trust, read_before(copy), &beside)?;
        if checked.logs.is_some() || copy.is_empty() {
            return Ok(checked);
        }
        copy.trust(Trust::Nothing)?;
        verify::check_source(source, memory, &self.trust, Edge::empty(), &beside)
    }
}

/// The edge of the reports log that is in place; the empty one where there is none, or none that gives its checkpoint's root.
fn read_before(copy: &Copy) -> Edge {
    let known = || {
        let folder = Source::Folder(copy.folder().to_owned());
        let verifier = verify::log::published_key(&folder, "reports").ok()?.ok()?;
        let log = verify::log::published(&folder, "reports", &verifier).ok()?.ok()?;
        let (size, tiles) = (log.checkpoint.size, log.tiles(&folder));
        let mut levels = Vec::new();
        for level in 0..8u8 {
            let level_size = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
            let width = u16::try_from(level_size % 256).unwrap_or(0);
            let tile = transparency_log::TileId { level, index: level_size / 256, width };
            levels.push(if width == 0 { Vec::new() } else { tiles.tile(tile).ok()? });
        }
        let edge = Edge::load(size, levels).ok()?;
        (edge.root() == log.checkpoint.root).then_some(edge)
    };
    known().unwrap_or_else(Edge::empty)
}

/// Fails where the folder has a copy of a log of another name: it may be the only one that is left of it.
fn refuse_another_log(copy: &Copy, record: &PublicLog) -> Result<()> {
    let folder = Source::Folder(copy.folder().to_owned());
    let (there, new) = match verify::log::published_key(&folder, "log") {
        Ok(Ok(there)) => (there, &record.verifier),
        _ => return Ok(()),
    };
    anyhow::ensure!(
        there.name() == new.name(),
        "this is a copy of {}, and {} is another log, which continues it; keep this copy and name a new folder",
        there.name(),
        new.name()
    );
    Ok(())
}

/// Puts what holds in place: the reports log before the record, which speaks of it, and each checkpoint after its tiles.
fn place(copy: &Copy, record: &PublicLog, reports: &PublicLog) -> Result<()> {
    for log in [reports, record] {
        copy.place_incoming(log.prefix)?;
        copy.write(&format!("{}/vkey", log.prefix), format!("{}\n", log.verifier).as_bytes())?;
        let path = format!("{}/checkpoint", log.prefix);
        let before = copy.checkpoint(&path, &log.verifier);
        // A mirror of a mirror may see an older one than it has, which it verified as consistent: it never goes back.
        if before.as_ref().is_none_or(|before| before.size <= log.checkpoint.size) {
            leftovers::mend(copy.folder(), log, |path, bytes| copy.write(path, bytes))?;
            copy.write(&path, log.note.as_bytes())?;
            copy.remove_superseded(
                log.prefix,
                before.map_or(0, |before: Checkpoint| before.size),
                log.checkpoint.size,
            )?;
        }
    }
    Ok(())
}
