//! The ledger: the node's state, made of journal records and of nothing else.
//!
//! Whatever changes is first appended to the journal and then applied, by the one function that also replays the file. So
//! a state that was in memory is a state that comes back, and what could not be written did not happen: the counters of
//! live peers stand in WireGuard and are read again.
//!
//! Counting is the exception: while the journal cannot be written, for instance on a full disk, what is counted stands in
//! memory ahead of the file, and goes into it whole with the first write that succeeds. Nothing that others act upon, no
//! report, no removal and no new peer, comes before that write.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::socks5::metering::Instance;
use wiregrant_core::usage_report::UsageTable;
use wiregrant_core::{Timestamp, WireGuardPublicKey};

use crate::chain::{Acknowledged, Chain, Cut};
use crate::conservation::Conservation;
use crate::journal::{self, Contents, Damage, Journal, JournalError};
use crate::meter::{Meter, Sample, as_lines};
use crate::socks5::{AddedLogin, Socks5State};

/// Above this size the journal is replaced by a snapshot.
pub const COMPACT_ABOVE_BYTES: u64 = 1 << 20;

/// Everything the node must not forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The boot of the machine in which the last sample was taken.
    pub boot_id: Option<String>,
    /// What was counted.
    pub meter: Meter,
    /// Peers whose removal was begun and is not confirmed.
    pub removing: BTreeSet<WireGuardPublicKey>,
    /// Assigned peers that are wanted no more and may still be there: their last bytes are counted as assigned.
    #[serde(default)]
    pub leaving: BTreeSet<WireGuardPublicKey>,
    /// What was reported.
    pub chain: Chain,
    /// The interface's account.
    #[serde(default)]
    pub conservation: Conservation,
    /// The SOCKS5 service.
    #[serde(default, skip_serializing_if = "Socks5State::is_empty")]
    pub socks5: Socks5State,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// Everything before is this.
    Snapshot(Box<State>),
    /// The machine has started anew.
    Booted {
        /// Its new boot id.
        boot_id: String,
    },
    /// Counters were read.
    Sample(Sample),
    /// Peers that are not there are about to be added.
    Added {
        /// Who.
        peers: Vec<WireGuardPublicKey>,
    },
    /// Assigned peers are about to be wanted no more.
    Leaving {
        /// Who.
        peers: Vec<WireGuardPublicKey>,
    },
    /// Peers are about to be removed; their last reading stands before.
    Removing {
        /// Who.
        peers: Vec<WireGuardPublicKey>,
    },
    /// The interface confirmed that they are gone, or two readings lacked them whom nobody wants.
    Removed {
        /// Who.
        peers: Vec<WireGuardPublicKey>,
    },
    /// The SOCKS5 service runs anew: every counter it has began at zero.
    Socks5Started {
        /// Its new run.
        instance: Instance,
    },
    /// The SOCKS5 service is about to hear of logins.
    Socks5Added {
        /// Which.
        logins: Vec<AddedLogin>,
    },
    /// The SOCKS5 service confirmed that it has forgotten devices; their last reading stands before.
    Socks5Removed {
        /// Whom.
        devices: Vec<WireGuardPublicKey>,
    },
    /// The control plane wants these devices here no more, and they are gone: what they used of their allotments is forgotten.
    Forgotten {
        /// Who.
        devices: Vec<WireGuardPublicKey>,
    },
    /// A report is due.
    Cut {
        /// When its stretch ends.
        end: Timestamp,
    },
    /// The first cut is void: it ends in the future, by a clock that was wrong.
    Discarded,
    /// The first cut was signed.
    Signed {
        /// The note, which is sent as it stands here.
        note: String,
    },
    /// The control plane has proved that it logged the report.
    Acknowledged(Acknowledged),
    /// The control plane's head was taken over.
    Adopted {
        /// The node's own note.
        note: String,
        /// Its number.
        sequence: u64,
        /// Its totals.
        #[serde(with = "as_lines")]
        usage: UsageTable,
        /// Its epoch.
        epoch: Option<EpochLabel>,
        /// Its end.
        end: Timestamp,
        /// The counters to count on from.
        live: Vec<(WireGuardPublicKey, Reading)>,
    },
}

impl State {
    /// Applies a change.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Snapshot(state) => *self = *state,
            Record::Booted { boot_id } => {
                self.meter.booted();
                self.removing.clear();
                self.conservation.forget();
                self.boot_id = Some(boot_id);
            }
            Record::Sample(sample) => {
                let folded = self.meter.fold(&sample);
                if folded.reset {
                    self.conservation.departed();
                }
                let recovered = self.conservation.account(sample.statistics.as_ref(), folded.accounted);
                self.meter.recover(recovered);
            }
            Record::Added { peers } => peers.into_iter().for_each(|peer| self.meter.added(peer)),
            Record::Leaving { peers } => self.leaving.extend(peers),
            Record::Removing { peers } => self.removing.extend(peers),
            Record::Removed { peers } => {
                self.meter.removed(&peers);
                self.conservation.departed();
                peers.iter().for_each(|peer| {
                    self.removing.remove(peer);
                    self.leaving.remove(peer);
                });
            }
            Record::Socks5Started { instance } => {
                self.meter.socks5_started();
                self.socks5.started(instance);
            }
            Record::Socks5Added { logins } => {
                self.socks5.added(&logins);
                logins.iter().for_each(|login| self.meter.socks5_added(login.device, login.from));
            }
            Record::Socks5Removed { devices } => {
                self.meter.socks5_removed(&devices);
                self.socks5.removed(&devices);
            }
            Record::Forgotten { devices } => self.meter.forget(&devices),
            Record::Cut { end } => {
                self.chain.push(Cut {
                    epoch: self.meter.epoch().cloned(),
                    end,
                    peers: self.meter.peers_bucket(),
                    usage: self.meter.totals().clone(),
                });
                self.meter.cut();
            }
            Record::Discarded => self.chain.pop(),
            Record::Signed { note } => {
                self.chain.pop();
                self.chain.signed(note);
            }
            Record::Acknowledged(acknowledged) => self.chain.acknowledged(acknowledged),
            Record::Adopted { note, sequence, usage, epoch, end, live } => {
                self.meter.adopt(usage, epoch, end, &live);
                // Its logins are added again, from what their counters say by then.
                self.socks5 = Socks5State::default();
                self.chain.adopt(note, sequence);
                // What these statistics hold was counted by the state that was lost.
                self.conservation.forget();
            }
        }
    }
}

/// The records of one append: all of them count, or none.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    records: Vec<Record>,
}

impl Commit {
    fn snapshot(state: &State) -> Self {
        Self { records: vec![Record::Snapshot(Box::new(state.clone()))] }
    }
}

/// The state with its journal.
#[derive(Debug)]
pub struct Ledger {
    journal: Journal,
    state: State,
    /// The journal's size after the last compaction.
    compacted_bytes: u64,
    /// Why the file lacks what was counted since, if it does.
    behind: Option<String>,
}

impl Ledger {
    /// Opens the journal and replays it. Of a damaged one the records before the damage are taken, in a new file; the old
    /// one is kept beside it. That state is one the node was in: what it lacks is made up by the live counters, or by the
    /// control plane's head, which is asked for before anything is signed.
    ///
    /// # Errors
    /// As [`Journal::open`], or a record of another version.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (mut journal, contents) = Journal::open(path)?;
        let state = replayed(path, &contents)?;
        if let Some(Damage { offset, lost }) = contents.damage {
            let kept = journal.replace_damaged(&encoded(&Commit::snapshot(&state)))?;
            tracing::error!(
                path = %path.display(), kept = %kept.display(), offset, lost_bytes = lost,
                "the disk has lost part of the journal: going on from the records before it; bytes that moved meanwhile \
                 may not count, and none counts twice; look after the disk, then delete the kept file"
            );
        }
        Ok(Self { state, journal, compacted_bytes: 0, behind: None })
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The journal's size.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// Why what is counted stands in memory only, if it does.
    #[must_use]
    pub fn behind(&self) -> Option<&str> {
        self.behind.as_deref()
    }

    /// Makes the changes durable, then makes them. When the first fails none is made.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn commit(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut commit = Commit { records };
        if self.behind.is_some() {
            commit.records.insert(0, Record::Snapshot(Box::new(self.state.clone())));
        }
        self.journal.append(&encoded(&commit))?;
        self.written_again();
        commit.records.into_iter().for_each(|record| self.state.apply(record));
        self.compact();
        Ok(())
    }

    /// Makes durable what stands in memory only.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn settle(&mut self) -> Result<(), JournalError> {
        if self.behind.is_none() {
            return Ok(());
        }
        self.journal.append(&encoded(&Commit::snapshot(&self.state)))?;
        self.written_again();
        Ok(())
    }

    fn written_again(&mut self) {
        if self.behind.take().is_some() {
            tracing::info!("the journal can be written again, and has everything that was counted meanwhile");
        }
    }

    /// Makes changes that follow from what the interface says, durable if it can be. A journal that cannot be written is told
    /// in the log and by [`Self::behind`]; the changes are then made in memory.
    pub fn count(&mut self, records: Vec<Record>) {
        let Err(error) = self.commit(records.clone()) else { return };
        if self.behind.is_none() {
            tracing::error!(
                "{error}; counting goes on in memory and the tunnel stays up; new peers, removals and reports wait until \
                 the journal can be written"
            );
        }
        self.behind = Some(error.to_string());
        records.into_iter().for_each(|record| self.state.apply(record));
    }

    fn compact(&mut self) {
        let bytes = self.journal.bytes();
        if bytes <= COMPACT_ABOVE_BYTES || bytes / 2 <= self.compacted_bytes {
            return;
        }
        // The journal still says everything when this fails, for instance on a full disk.
        match self.journal.compact(&encoded(&Commit::snapshot(&self.state))) {
            Ok(()) => self.compacted_bytes = self.journal.bytes(),
            Err(error) => tracing::warn!(%error, "the journal could not be compacted and stays as it is"),
        }
    }
}

/// The state that a journal tells, without touching the file; and its size in bytes.
///
/// # Errors
/// As [`journal::load`], or a record of another version.
pub fn load(path: &Path) -> Result<(State, usize), JournalError> {
    let contents = journal::load(path)?;
    Ok((replayed(path, &contents)?, contents.mark.end))
}

fn encoded(commit: &Commit) -> Vec<u8> {
    serde_json::to_vec(commit).expect("numbers, texts and lists serialise")
}

fn replayed(path: &Path, contents: &Contents) -> Result<State, JournalError> {
    let mut state = State::default();
    for (offset, payload) in &contents.records {
        let commit: Commit = serde_json::from_slice(payload).map_err(|source| JournalError::Unknown {
            path: path.display().to_string(),
            offset: *offset,
            source,
        })?;
        commit.records.into_iter().for_each(|record| state.apply(record));
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
