//! What the control plane wants of the node, as last heard, and kept for a start without it.
//!
//! It is kept in a journal of its own: once as a whole, and then what changed, so that one device more among ten thousand costs
//! a short record. Nothing there is counted or signed: the control plane is asked again at every start.

use std::path::Path;

use serde::{Deserialize, Serialize};
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{Desired, Membership};
use wiregrant_core::peer::{DesiredPeer, DesiredPeers, MAX_PEERS, PeerChanges};
use wiregrant_core::usage_report::Class;

use crate::clock::Moment;
use crate::journal::{self, Contents, Journal, JournalError};
use crate::keeper::Keeper;
use crate::ledger::State;
use crate::wireguard::Routed;

/// Above this size, and twice its size when it was last written as a whole, the file is written as a whole again.
const COMPACT_ABOVE_BYTES: u64 = 1 << 20;

/// What the control plane wants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Rises with each change.
    pub revision: u64,
    /// All peers.
    pub peers: DesiredPeers,
    /// The grant the node is in.
    pub membership: Option<Membership>,
}

/// A change of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    revision: u64,
    peers: PeerChanges,
    membership: Option<Membership>,
}

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    /// Nothing is known: no peer is touched.
    Unheard,
    Whole(Wanted),
    Change(Change),
}

impl Wanted {
    fn change(&mut self, change: Change) {
        self.peers.change(change.peers);
        (self.revision, self.membership) = (change.revision, change.membership);
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct WantedFile {
    journal: Journal,
    /// Its size when it was last written as a whole.
    whole_bytes: u64,
}

impl WantedFile {
    /// Opens it; without one nothing was heard, and a damaged one is as good as none: by what was wanted before the damage people
    /// would be cut off who have come since.
    ///
    /// # Errors
    /// As [`Journal::open`], or a record of another version.
    pub fn open(path: &Path) -> Result<(Self, Option<Wanted>), JournalError> {
        let (mut journal, contents) = Journal::open(path)?;
        let mut wanted = replayed(path, &contents)?;
        if contents.damage.is_some() {
            wanted = None;
            let kept = journal.replace_damaged(&encoded(&Record::Unheard))?;
            tracing::error!(
                path = %path.display(), kept = %kept.display(),
                "what the control plane wanted last is damaged; it is asked again, and until then no peer is touched"
            );
        }
        Ok((Self { whole_bytes: journal.bytes(), journal }, wanted))
    }

    fn keep(&mut self, record: &Record) -> Result<(), JournalError> {
        self.journal.append(&encoded(record))
    }

    fn compact(&mut self, wanted: &Wanted) {
        let bytes = self.journal.bytes();
        if bytes <= COMPACT_ABOVE_BYTES || bytes / 2 <= self.whole_bytes {
            return;
        }
        match self.journal.compact(&encoded(&Record::Whole(wanted.clone()))) {
            Ok(()) => self.whole_bytes = self.journal.bytes(),
            Err(error) => tracing::warn!(%error, "the file could not be compacted and stays as it is"),
        }
    }
}

/// What was wanted last, without touching the file.
///
/// # Errors
/// As [`journal::load`], or a record of another version.
pub fn load(path: &Path) -> Result<Option<Wanted>, JournalError> {
    replayed(path, &journal::load(path)?)
}

fn encoded(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("numbers, texts and lists serialise")
}

fn replayed(path: &Path, contents: &Contents) -> Result<Option<Wanted>, JournalError> {
    let mut wanted: Option<Wanted> = None;
    for (offset, payload) in &contents.records {
        let record = serde_json::from_slice(payload).map_err(|source| JournalError::Unknown {
            path: path.display().to_string(),
            offset: *offset,
            source,
        })?;
        match record {
            Record::Unheard => wanted = None,
            Record::Whole(whole) => wanted = Some(whole),
            Record::Change(change) => wanted.get_or_insert_default().change(change),
        }
    }
    Ok(wanted)
}

impl Keeper {
    /// Takes what the control plane wants now, keeps it for a start without it, and applies it.
    ///
    /// # Errors
    /// When it cannot be kept, or the interface or the journal fails.
    pub fn receive(&mut self, desired: Desired, now: Moment) -> anyhow::Result<()> {
        self.clock.compare(now, desired.time);
        self.last_contact = Some(now.wall);
        if desired.frozen != self.frozen {
            tracing::warn!(
                frozen = desired.frozen,
                "the control plane takes reports or takes none until a person decides"
            );
            self.frozen = desired.frozen;
        }
        let peers = match (desired.peers, desired.changes) {
            (Some(peers), _) => {
                let known = self.wanted.as_ref().map(|wanted| &wanted.peers);
                self.acceptable(peers, MAX_PEERS).changes_from(known.unwrap_or(&DesiredPeers::default()))
            }
            (None, Some(PeerChanges { set, remove })) => {
                let room = MAX_PEERS - self.wanted.as_ref().map_or(0, |wanted| wanted.peers.len());
                PeerChanges { set: self.acceptable(set.into_iter().collect(), room), remove }
            }
            (None, None) => PeerChanges::default(),
        };
        let Desired { revision, membership, .. } = desired;
        let known = self.wanted.as_ref();
        if known.is_some_and(|known| known.revision == revision && known.membership == membership)
            && peers.is_empty()
        {
            self.converge(now)?;
            return self.forget_unwanted();
        }
        let only_new = known.is_some_and(|known| known.membership == membership) && self.are_new(&peers);
        let change = Change { revision, peers, membership };
        tracing::info!(
            revision,
            set_peers = change.peers.set.len(),
            unwanted_peers = change.peers.remove.len(),
            "taking what the control plane wants"
        );
        if only_new { self.take_new(change, now) } else { self.take(change, now) }
    }

    fn take(&mut self, change: Change, now: Moment) -> anyhow::Result<()> {
        // Counted first: what moved until now moved under what was wanted until now.
        self.sample(now)?;
        self.ledger.settle()?;
        self.journal_leaving(&change.peers.remove)?;
        self.keep(change)?;
        self.converge(now)?;
        self.forget_unwanted()
    }

    /// Takes devices of whom nothing is known. They disturb nobody, so nobody is read for them: ten thousand readings would
    /// keep the one waiting who has just come.
    fn take_new(&mut self, change: Change, now: Moment) -> anyhow::Result<()> {
        let change = self.write(change)?;
        let mut serves = self.serves(now);
        let served = change.peers.set.iter().filter(|peer| serves(peer));
        let new: Vec<Routed<'_>> =
            served.map(|peer| (peer.public_key, peer.allowed_ips.as_slice())).collect();
        drop(serves);
        let added = self.add(&new);
        self.change(change);
        match added {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!("{error:#}; making sure that the interface is there");
                self.converge(now)
            }
        }
    }

    /// Whether these are additions only, at the interface alone, of keys that neither the last wish nor the meter knows. Who is on the interface has
    /// been read and so is known, but for the moments since the last reading; who was added by hand in these began at
    /// zero too.
    fn are_new(&self, changes: &PeerChanges) -> bool {
        let State { meter, .. } = self.ledger.state();
        let at_socks5 = |peer: &DesiredPeer| self.config.socks5.socket.is_some() && peer.socks5.is_some();
        let unwanted = |peer: &DesiredPeer| {
            self.wanted.as_ref().is_none_or(|known| known.peers.get(&peer.public_key).is_none())
        };
        changes.remove.is_empty()
            && !changes.set.is_empty()
            && changes
                .set
                .iter()
                .all(|peer| unwanted(peer) && !at_socks5(peer) && !meter.knows(&peer.public_key))
    }

    /// Makes a change durable, and then what is wanted.
    fn keep(&mut self, change: Change) -> anyhow::Result<()> {
        let change = self.write(change)?;
        self.change(change);
        Ok(())
    }

    /// Makes a change durable, and gives it back.
    fn write(&mut self, change: Change) -> anyhow::Result<Change> {
        // A change of nothing is a whole, and is not written as one again right after.
        let is_whole = self.wanted.as_ref().is_none_or(|wanted| wanted.peers.is_empty());
        let before = self.wanted_file.journal.bytes();
        let record = Record::Change(change);
        self.wanted_file.keep(&record)?;
        if is_whole {
            self.wanted_file.whole_bytes = self.wanted_file.journal.bytes().saturating_sub(before);
        }
        let Record::Change(change) = record else { unreachable!("it is one") };
        Ok(change)
    }

    /// Takes a change that is durable.
    fn change(&mut self, change: Change) {
        let wanted = self.wanted.get_or_insert_default();
        wanted.change(change);
        self.wanted_file.compact(wanted);
    }

    /// Keeps in mind of which class those are who are wanted no more: until they are gone they may move bytes.
    fn journal_leaving(&mut self, gone: &[WireGuardPublicKey]) -> anyhow::Result<()> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let State { meter, leaving, .. } = self.ledger.state();
        let mut peers = gone.to_vec();
        peers.retain(|peer| {
            let assigned = wanted.peers.get(peer).is_some_and(|wanted| wanted.class == Class::Assigned);
            assigned && meter.knows(peer) && !leaving.contains(peer)
        });
        if !peers.is_empty() {
            self.ledger.commit(vec![crate::ledger::Record::Leaving { peers }])?;
        }
        Ok(())
    }

    /// The peers that this node may serve: at most as many as there is `room` for, with addresses of the node's own pools.
    /// Another address would take traffic that is not the peer's.
    fn acceptable(&self, mut peers: Vec<DesiredPeer>, room: usize) -> DesiredPeers {
        let asked = peers.len();
        peers.truncate(room);
        peers.retain(|peer| peer.allowed_ips.iter().all(|ip| self.enrolment.may_hand_out(ip)));
        if peers.len() < asked {
            tracing::error!(
                refused_peers = asked - peers.len(),
                "the control plane asks for peers with addresses outside this node's pools, or for too many"
            );
        }
        peers.into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::keeper::tests::peer;

    fn change(revision: u64, set: &[u8], remove: &[u8]) -> Record {
        let peers = PeerChanges {
            set: set.iter().map(|n| peer(*n)).collect::<Vec<_>>().into(),
            remove: remove.iter().map(|n| peer(*n).public_key).collect(),
        };
        Record::Change(Change { revision, peers, membership: None })
    }

    fn kept(records: &[Record]) -> (tempfile::TempDir, Option<Wanted>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wanted");
        let (mut file, before) = WantedFile::open(&path).unwrap();
        assert_eq!(before, None);
        records.iter().for_each(|record| file.keep(record).unwrap());
        let (_, wanted) = WantedFile::open(&path).unwrap();
        assert_eq!(load(&path).unwrap(), wanted);
        (folder, wanted)
    }

    #[test]
    fn what_changed_is_what_is_wanted_at_the_next_start() {
        let (_folder, wanted) =
            kept(&[change(3, &[1, 2, 3], &[]), change(4, &[5], &[2]), change(9, &[], &[1])]);
        let wanted = wanted.unwrap();
        assert_eq!((wanted.revision, wanted.peers), (9, vec![peer(3), peer(5)].into()));
    }

    #[test]
    fn a_whole_takes_the_place_of_what_was_before() {
        let whole = Wanted { revision: 5, peers: vec![peer(7)].into(), membership: None };
        let (_folder, wanted) = kept(&[change(3, &[1], &[]), Record::Whole(whole.clone())]);
        assert_eq!(wanted, Some(whole));
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none_and_the_next_wish_is_kept() {
        let (folder, _) = kept(&[change(3, &[1], &[]), change(4, &[2], &[]), change(5, &[3], &[])]);
        let path = folder.path().join("wanted");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.windows(12).position(|text| text == b"\"revision\":4").unwrap();
        bytes[middle + 11] = b'7';
        fs::write(&path, bytes).unwrap();
        let (mut file, wanted) = WantedFile::open(&path).unwrap();
        assert_eq!(wanted, None);
        file.keep(&change(6, &[4], &[])).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().peers, vec![peer(4)].into());
    }

    #[test]
    fn a_file_that_grew_is_written_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wanted");
        let (mut file, _) = WantedFile::open(&path).unwrap();
        let everybody: Vec<u8> = (0..250).collect();
        let mut wanted = Wanted::default();
        for revision in 1..60 {
            let record = change(revision, &everybody, &[]);
            file.keep(&record).unwrap();
            if let Record::Change(change) = record {
                wanted.change(change);
            }
            file.compact(&wanted);
        }
        assert!(fs::metadata(&path).unwrap().len() < 2 * COMPACT_ABOVE_BYTES);
        assert_eq!(load(&path).unwrap(), Some(wanted));
    }
}
