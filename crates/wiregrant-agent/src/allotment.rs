//! Who is served: which of the wanted devices may use this node now, by what they used of their allotments and when they expire.

use wiregrant_core::allotment::Level;
use wiregrant_core::peer::{DesiredPeer, DesiredPeers};
use wiregrant_core::{Timestamp, WireGuardPublicKey};

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::ledger::Record;
use crate::used::Used;

/// How much of its allotment each wanted device has left, ascending by key.
pub fn levels(wanted: &DesiredPeers, used: &Used) -> impl Iterator<Item = (WireGuardPublicKey, Level)> {
    let mut used = used.in_step();
    wanted.iter().map(move |device| {
        let used = used(&device.public_key, device.period);
        (device.public_key, Level::of(used, device.allotment))
    })
}

impl Keeper {
    /// Whether a wanted device may use the node now, as far as the last sample knows: neither expired nor exhausted,
    /// and the node not paused. To be asked for devices ascending by key.
    pub(crate) fn serves(&self, now: Moment) -> impl FnMut(&DesiredPeer) -> bool {
        // By a clock that is wrong nobody expires.
        let time = self.trusted(now).unwrap_or(self.enrolment.joined_at);
        // Without the firewall a device could reach what it must not: then nobody is served.
        let may_serve = self.may_serve() && self.paused.is_none();
        let mut used = self.ledger.state().meter.used().in_step();
        move |device| {
            let used = used(&device.public_key, device.period);
            may_serve && device.expires > time && Level::of(used, device.allotment) != Level::Exhausted
        }
    }

    /// How many devices the control plane wants here at `now`, served or not; `None` before it was heard.
    #[must_use]
    pub fn wanted_peers(&self, now: Timestamp) -> Option<usize> {
        let wanted = self.wanted.as_ref()?;
        Some(wanted.peers.iter().filter(|device| device.expires > now).count())
    }

    /// Forgets what devices used that the control plane wants here no more. They are gone by now: their last bytes are counted.
    pub(crate) fn forget_unwanted(&mut self) -> anyhow::Result<()> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let used = self.ledger.state().meter.used();
        let devices: Vec<_> =
            used.devices().filter(|device| wanted.peers.get(device).is_none()).copied().collect();
        if !devices.is_empty() {
            self.ledger.commit(vec![Record::Forgotten { devices }])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
