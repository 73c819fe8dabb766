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
mod tests {
    use wiregrant_core::Bytes;
    use wiregrant_core::allotment::Period;

    use super::*;
    use crate::keeper::tests::{TestNode, at, key, peer};

    fn device(n: u8, bytes: u64, period: Period) -> DesiredPeer {
        let expires = at(90 * 86_400).wall;
        DesiredPeer { allotment: Bytes::new(bytes).unwrap(), period, expires, ..peer(n) }
    }

    fn used(node: &TestNode, device: &DesiredPeer) -> (u64, Level) {
        let keeper = node.keeper();
        let used = keeper.ledger.state().meter.used().of(&device.public_key, device.period);
        (used.get(), Level::of(used, device.allotment))
    }

    #[test]
    fn an_exhausted_device_leaves_at_the_next_sample_and_no_byte_of_it_is_lost() {
        let mut node = TestNode::new();
        let devices = [device(0, 100, Period::Total), device(1, 100, Period::Total)];
        node.want(devices.to_vec(), None).unwrap();
        node.traffic(0, 60, 39);
        node.traffic(1, 1, 0);
        node.converge_at(2_010);
        assert_eq!(node.live(), [key(0), key(1)]);
        assert_eq!(used(&node, &devices[0]), (99, Level::UnderATenth));
        node.traffic(0, 0, 30);
        node.converge_at(2_020);
        assert_eq!(node.live(), [key(1)]);
        assert_eq!((used(&node, &devices[0]), node.counted()), ((129, Level::Exhausted), 130));
        // Neither a restart nor the control plane's asking again brings it back; a greater allotment does.
        node.restart();
        node.want(devices.to_vec(), None).unwrap();
        assert_eq!(node.live(), [key(1)]);
        let greater = device(0, 200, Period::Total);
        node.want(vec![greater.clone(), devices[1].clone()], None).unwrap();
        assert_eq!(node.live(), [key(0), key(1)]);
        node.traffic(0, 71, 0);
        node.converge_at(2_030);
        assert_eq!((used(&node, &greater).0, node.live()), (200, vec![key(1)]));
    }

    #[test]
    fn a_months_allotment_is_lifted_when_the_month_turns_and_a_total_one_is_not() {
        let mut node = TestNode::new();
        let devices = [device(0, 100, Period::Month), device(1, 100, Period::Total)];
        node.want(devices.to_vec(), None).unwrap();
        [0, 1].into_iter().for_each(|n| node.traffic(n, 100, 0));
        node.converge_at(2_010);
        assert_eq!(node.live(), []);
        node.restart();
        node.converge_at(31 * 86_400 - 1);
        assert_eq!(node.live(), []);
        node.converge_at(31 * 86_400);
        assert_eq!(node.live(), [key(0)]);
        assert_eq!(used(&node, &devices[0]), (0, Level::OverHalf));
        node.traffic(0, 100, 0);
        node.converge_at(31 * 86_400 + 10);
        assert_eq!(node.live(), []);
    }

    #[test]
    fn what_a_device_used_is_forgotten_when_it_is_wanted_no_more_and_only_then() {
        let mut node = TestNode::new();
        let spender = device(0, 100, Period::Total);
        node.want(vec![spender.clone()], None).unwrap();
        node.traffic(0, 100, 7);
        node.converge_at(2_010);
        node.restart();
        assert_eq!(used(&node, &spender).0, 107);
        node.want(vec![device(1, 1, Period::Total)], None).unwrap();
        assert_eq!((used(&node, &spender).0, node.counted()), (0, 107));
        node.want(vec![spender], None).unwrap();
        assert_eq!(node.live(), [key(0)]);
    }
}
