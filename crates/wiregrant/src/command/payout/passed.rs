//! The list of lines that passed a check, so that none passes in a second transaction that could be mined beside the first.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use wiregrant_core::BatchId;
use wiregrant_payout::{Batch, PsbtCheck};

/// A transaction that passed, as it is kept: one line of JSON each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Passed {
    batch: BatchId,
    /// `operator grant epoch`.
    lines: BTreeSet<String>,
    /// What it spends, `txid:vout`.
    coins: BTreeSet<String>,
    /// Its addresses that come from descriptors.
    #[serde(default)]
    derived: BTreeSet<String>,
}

/// The list in a file.
pub struct PassedLines {
    path: PathBuf,
    all: Vec<Passed>,
}

impl PassedLines {
    /// Reads the list; an absent file is an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or is no such list.
    pub fn open(path: PathBuf) -> Result<Self> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let read = |line: &str| {
            serde_json::from_str(line)
                .with_context(|| format!("{} is no list of lines that passed; restore it", path.display()))
        };
        let all = text.lines().map(read).collect::<Result<_>>()?;
        Ok(Self { path, all })
    }

    /// What each transaction of a batch spends that passed.
    pub fn coins_of(&self, batch: &BatchId) -> Vec<BTreeSet<String>> {
        self.all.iter().filter(|passed| passed.batch == *batch).map(|passed| passed.coins.clone()).collect()
    }

    /// Refuses a line that passed before, unless the two transactions cannot both be mined, because they spend a coin in
    /// common, or the earlier batch is void (`is_void`); and an address from a descriptor (`derived`) that another batch
    /// had, whatever became of that.
    ///
    /// # Errors
    /// Names the line and the batch in which it passed.
    pub fn check(
        &self,
        batch: &Batch,
        checked: &PsbtCheck,
        derived: &BTreeSet<String>,
        is_void: impl Fn(&BatchId) -> bool,
    ) -> Result<()> {
        let now = passed(batch, checked, derived.clone());
        for before in &self.all {
            let again = before.derived.intersection(&now.derived).next();
            if let Some(address) = again.filter(|_| before.batch != now.batch) {
                bail!(
                    "address {address}: batch {} had it before, and an index of a descriptor is never used twice (kept in \
                     {})",
                    before.batch,
                    self.path.display()
                );
            }
            let Some(line) = before.lines.intersection(&now.lines).next() else { continue };
            if before.coins.is_disjoint(&now.coins) && !is_void(&before.batch) {
                bail!(
                    "line {line}: it passed before, in another transaction of batch {}, and both could be mined: sign \
                     that one, or cancel the batch and check again with --public once it is void (kept in {})",
                    before.batch,
                    self.path.display()
                );
            }
        }
        Ok(())
    }

    /// Adds what has passed, and makes it durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(mut self, batch: &Batch, checked: &PsbtCheck, derived: BTreeSet<String>) -> Result<()> {
        let now = passed(batch, checked, derived);
        if self.all.contains(&now) {
            return Ok(());
        }
        self.all.push(now);
        let mut text = String::new();
        for passed in &self.all {
            text.push_str(&serde_json::to_string(passed)?);
            text.push('\n');
        }
        let written = (|| {
            let folder = self.path.parent().expect("a file below the state folder");
            fs::create_dir_all(folder)?;
            let new = self.path.with_extension(format!("new-{}", std::process::id()));
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        })();
        written.with_context(|| {
            format!("{} cannot be written; name another folder with --state-dir", self.path.display())
        })
    }
}

fn passed(batch: &Batch, checked: &PsbtCheck, derived: BTreeSet<String>) -> Passed {
    Passed {
        derived,
        batch: batch.batch.clone(),
        lines: batch
            .lines
            .iter()
            .map(|line| format!("{} {} {}", line.operator, line.grant, line.epoch))
            .collect(),
        coins: checked.coins.iter().map(ToString::to_string).collect(),
    }
}
