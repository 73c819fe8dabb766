//! The node's condition: what the control plane is told between reports, as it is now. Nothing is queued: what changed again before
//! it could be told is told as it is then.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Context as _;
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{Condition, DeviceLevel, ProblemKind};
use wiregrant_core::{Timestamp, WireGuardPublicKey};

use crate::allotment::levels;
use crate::clock::Moment;
use crate::control_plane::{ControlPlaneError, NodeIdentity};
use crate::keeper::Keeper;
use crate::sender::kept;

/// The most levels in one request, under 100 kB; the others follow in the next.
pub const MAX_LEVELS: usize = 1000;

/// What came of telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// The control plane knows all there is to know.
    UpToDate,
    /// It took something; there may be more.
    Taken,
    /// It is older than this agent and takes no condition.
    NotUnderstood,
}

/// What the control plane took since the start.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The last condition, without its levels.
    node: Option<Condition>,
    levels: BTreeMap<WireGuardPublicKey, Level>,
}

impl Told {
    /// What is to be told of the present condition; `None` when nothing is.
    fn news(&mut self, node: &Condition, levels: &BTreeMap<WireGuardPublicKey, Level>) -> Option<Condition> {
        self.levels.retain(|device, _| levels.contains_key(device));
        let changed = levels.iter().filter(|(device, level)| self.levels.get(*device) != Some(*level));
        let levels: Vec<_> = changed
            .take(MAX_LEVELS)
            .map(|(public_key, level)| DeviceLevel { public_key: *public_key, level: *level })
            .collect();
        let anything = !levels.is_empty() || self.node.as_ref() != Some(node);
        anything.then(|| Condition { levels, ..node.clone() })
    }

    fn taken(&mut self, mut condition: Condition) {
        for DeviceLevel { public_key, level } in condition.levels.drain(..) {
            self.levels.insert(public_key, level);
        }
        self.node = Some(condition);
    }
}

impl Keeper {
    /// Levels of all wanted devices.
    fn levels(&self) -> BTreeMap<WireGuardPublicKey, Level> {
        let used = self.ledger.state().meter.used();
        self.wanted.iter().flat_map(|wanted| levels(&wanted.peers, used)).collect()
    }

    fn news(&mut self) -> Option<Condition> {
        let node = Condition {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            backend: self.backend(),
            endpoint: self.enrolment.endpoint.clone(),
            socks5_endpoint: self.config.socks5.endpoint.clone(),
            paused: self.paused,
            megabits_per_second: self.config.budget.megabits_per_second,
            gigabytes_per_month: self.config.budget.gigabytes_per_month,
            levels: Vec::new(),
        };
        let levels = self.levels();
        self.told.news(&node, &levels)
    }
}

/// Tells the control plane what it does not know yet, by `put`. The keeper is free meanwhile.
///
/// # Errors
/// When the control plane does not answer or refuses; the next try tells how the node is then.
pub fn tell(
    keeper: &Mutex<Keeper>,
    put: impl FnOnce(&NodeIdentity, Timestamp, &Condition) -> Result<(), ControlPlaneError>,
    now: impl Fn() -> Moment,
) -> anyhow::Result<Telling> {
    let (identity, news) = {
        let mut keeper = kept(keeper);
        (keeper.identity.clone(), keeper.news())
    };
    let Some(news) = news else { return Ok(Telling::UpToDate) };
    match put(&identity, now().wall, &news) {
        Ok(()) => {
            kept(keeper).told.taken(news);
            Ok(Telling::Taken)
        }
        Err(ControlPlaneError::Problem(problem)) if problem.is(ProblemKind::NotFound) => {
            Ok(Telling::NotUnderstood)
        }
        Err(error) => {
            kept(keeper).refused(&error, now());
            Err(error).context("telling the node's condition")
        }
    }
}

#[cfg(test)]
mod tests {
    use wiregrant_core::Bytes;
    use wiregrant_core::api::{Pause, Problem};
    use wiregrant_core::peer::DesiredPeer;

    use super::*;
    use crate::keeper::tests::{TestNode, key, peer};

    /// Tells until there is nothing more to tell, and gives what was told.
    fn told(node: &TestNode) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let take = |conditions: &mut Vec<Condition>, condition: &Condition| {
            conditions.push(condition.clone());
            Ok(())
        };
        while tell(&node.keeper, |_, _, condition| take(&mut conditions, condition), || node.moment())
            .unwrap()
            == Telling::Taken
        {}
        conditions
    }

    fn levels(condition: &Condition) -> Vec<(WireGuardPublicKey, Level)> {
        condition.levels.iter().map(|device| (device.public_key, device.level)).collect()
    }

    fn device(n: u8) -> DesiredPeer {
        DesiredPeer { allotment: Bytes::new(100).unwrap(), ..peer(n) }
    }

    #[test]
    fn after_a_start_everything_is_told_and_then_only_what_changed() {
        let mut node = TestNode::new();
        node.want(vec![device(0), device(1)], None).unwrap();
        let first = told(&node);
        assert_eq!(first.len(), 1);
        assert_eq!(levels(&first[0]), [(key(0), Level::OverHalf), (key(1), Level::OverHalf)]);
        assert_eq!((first[0].endpoint.as_str(), first[0].paused), ("192.0.2.1:51820", None));
        assert_eq!(told(&node), []);
        node.traffic(1, 60, 0);
        node.converge_at(2_010);
        node.traffic(1, 10, 0);
        node.converge_at(2_020);
        let second = told(&node);
        assert_eq!(second.iter().map(levels).collect::<Vec<_>>(), [[(key(1), Level::UnderHalf)]]);
        node.restart();
        assert_eq!(levels(&told(&node)[0]), [(key(0), Level::OverHalf), (key(1), Level::UnderHalf)]);
    }

    #[test]
    fn what_was_not_taken_is_told_as_it_is_when_it_is_tried_again() {
        let mut node = TestNode::new();
        node.want(vec![device(0), device(1)], None).unwrap();
        told(&node);
        let unreachable = || ControlPlaneError::Unreachable { urls: String::new(), reason: String::new() };
        for bytes in [60, 35, 10] {
            node.traffic(0, bytes, 0);
            node.seconds += 10;
            node.converge_at(node.seconds);
            assert!(tell(&node.keeper, |_, _, _| Err(unreachable()), || node.moment()).is_err());
        }
        node.want(vec![device(0)], None).unwrap();
        assert_eq!(told(&node).iter().map(levels).collect::<Vec<_>>(), [[(key(0), Level::Exhausted)]]);
        // A device that comes back is a new one.
        node.want(vec![device(0), device(1)], None).unwrap();
        assert_eq!(told(&node).iter().map(levels).collect::<Vec<_>>(), [[(key(1), Level::OverHalf)]]);
    }

    #[test]
    fn a_pause_is_told_when_it_begins_and_when_it_ends() {
        let mut node = TestNode::new();
        node.config.budget.hours = Some("00:00-01:00".parse().unwrap());
        node.restart();
        node.want(vec![device(0)], None).unwrap();
        assert_eq!(told(&node)[0].paused, None);
        node.converge_at(3_600);
        let pause = told(&node);
        assert_eq!((pause.len(), pause[0].paused, pause[0].levels.len()), (1, Some(Pause::Hours), 0));
        node.converge_at(86_400);
        assert_eq!(told(&node)[0].paused, None);
    }

    #[test]
    fn many_levels_are_told_in_bounded_requests() {
        let levels: BTreeMap<_, _> = (0..=u16::try_from(2 * MAX_LEVELS).unwrap())
            .map(|n| {
                let mut key = [0; 32];
                key[..2].copy_from_slice(&n.to_be_bytes());
                (key.into(), Level::OverHalf)
            })
            .collect();
        let node = TestNode::new();
        let condition = node.keeper().news().unwrap();
        let mut told = Told::default();
        let mut told_levels = Vec::new();
        while let Some(news) = told.news(&condition, &levels) {
            told_levels.push(news.levels.len());
            told.taken(news);
        }
        assert_eq!(told_levels, [MAX_LEVELS, MAX_LEVELS, 1]);
    }

    #[test]
    fn an_older_control_plane_is_told_from_one_that_refuses() {
        let node = TestNode::new();
        let refuse = |kind| {
            let refusal = move |_: &_, _, _: &_| {
                Err(ControlPlaneError::Problem(Box::new(Problem::new(kind, "by the test"))))
            };
            tell(&node.keeper, refusal, || node.moment()).ok()
        };
        assert_eq!(refuse(ProblemKind::NotFound), Some(Telling::NotUnderstood));
        assert_eq!(refuse(ProblemKind::InvalidRequest), None);
        assert_eq!(told(&node).len(), 1, "it is told when it is understood");
    }
}
