//! Brings the interface's peers to what the control plane wants, removals first, and loses no byte of who is removed.

use std::time::Duration;

use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::peer::Difference;

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::ledger::Record;
use crate::wireguard::{Routed, routed};

impl Keeper {
    /// Samples, and makes the interface's peers and the SOCKS5 service's logins the wanted ones. Before the control plane was
    /// ever heard, nothing changes.
    ///
    /// # Errors
    /// When the interface or the journal fails; what is left is done the next time.
    pub fn converge(&mut self, now: Moment) -> anyhow::Result<()> {
        self.converge_interface(now)?;
        self.converge_socks5(now)
    }

    fn converge_interface(&mut self, now: Moment) -> anyhow::Result<()> {
        let unconfirmed: Vec<_> = self.ledger.state().removing.iter().copied().collect();
        if !unconfirmed.is_empty() {
            // A stop between a removal and its confirmation: the last bytes are read, then it is done again. The interface may
            // be gone meanwhile.
            self.live()?;
            self.remove(&unconfirmed, now)?;
        }
        let mut live = self.sample(now)?;
        self.judge_budget(now);
        let idle = Duration::from_secs(self.config.idle_seconds);
        let silent = self.silences.observe(&live, now.monotonic, idle);
        if self.wanted.is_none() {
            return Ok(());
        }
        // Taken from `live`, so that whoever of them is served comes back below.
        self.forget(&silent, &mut live, now)?;
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let live = live.iter().map(|peer| (&peer.public_key, peer.allowed_ips.as_slice()));
        let difference = Difference::between(live, &wanted.peers, self.serves(now));
        if difference.is_empty() {
            return Ok(());
        }
        let Difference { add, change, remove } = difference;
        if !remove.is_empty() {
            self.remove(&remove, now)?;
        }
        if !change.is_empty() {
            // Who was removed by hand since the reading does not come back here, but as a new peer the next time.
            self.interface.update_peers(&routed(&change))?;
        }
        let add = routed(&add);
        let some_come_back = add.iter().any(|(peer, _)| self.ledger.state().meter.knows(peer));
        self.add(&add)?;
        if some_come_back {
            // The reading that lacked them may have been torn, so they kept their marks. Read at once, a counter that began anew is
            // seen to be below its mark; later it may have come past it, and what it moved up to there would be lost.
            self.sample(now)?;
        }
        tracing::info!(
            added_peers = add.len(),
            changed_peers = change.len(),
            removed_peers = remove.len(),
            "the interface has the wanted peers"
        );
        Ok(())
    }

    /// Adds peers that are not there, after one record of those that the meter does not know: they will count from zero.
    pub(crate) fn add(&mut self, new: &[Routed<'_>]) -> anyhow::Result<()> {
        let meter = &self.ledger.state().meter;
        let unknown: Vec<_> = new.iter().map(|(peer, _)| *peer).filter(|peer| !meter.knows(peer)).collect();
        if !unknown.is_empty() {
            self.ledger.commit(vec![Record::Added { peers: unknown }])?;
        }
        if !new.is_empty() {
            // If the next reading lacks one of them, that is the first that does.
            for (peer, _) in new {
                self.missing.remove(peer);
            }
            self.interface.set_peers(new)?;
        }
        Ok(())
    }

    /// Removes peers: silenced, read for the last time, journaled, removed, and journaled as gone, in this order. A stop
    /// anywhere in between leaves a state from which the same is done again.
    pub(crate) fn remove(&mut self, peers: &[WireGuardPublicKey], now: Moment) -> anyhow::Result<()> {
        self.silence(peers)?;
        let live = self.sample(now)?;
        let found = |peer| live.binary_search_by_key(peer, |live| live.public_key).is_ok();
        if !peers.iter().all(found) {
            // Absence from one reading says nothing, and this one is the last.
            self.sample(now)?;
        }
        self.take_away(peers)
    }

    /// Gives peers no address, so that they can send nothing and nothing is sent to them.
    pub(crate) fn silence(&mut self, peers: &[WireGuardPublicKey]) -> anyhow::Result<()> {
        let silenced: Vec<Routed<'_>> = peers.iter().map(|peer| (*peer, [].as_slice())).collect();
        Ok(self.interface.update_peers(&silenced)?)
    }

    /// Removes peers that are silenced and read for the last time.
    pub(crate) fn take_away(&mut self, peers: &[WireGuardPublicKey]) -> anyhow::Result<()> {
        self.ledger.commit(vec![Record::Removing { peers: peers.to_vec() }])?;
        self.interface.remove_peers(peers)?;
        self.ledger.commit(vec![Record::Removed { peers: peers.to_vec() }])?;
        Ok(())
    }
}
