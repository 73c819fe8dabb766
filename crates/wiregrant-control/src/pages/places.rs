//! Places to choose from, with how full each is, in words.

use std::collections::BTreeMap;

use wiregrant_core::usage_report::Class;
use wiregrant_core::{LocationId, OperatorId, Timestamp};
use wiregrant_store::{AccessCode, Candidate, Read};

use super::words::PeopleWords;
use crate::addresses::{FIRST_DEVICE_HOST, LAST_DEVICE_HOST};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::placement::RECENT_SECONDS;

/// Devices that a node has addresses for.
const NODE_DEVICES: u64 = (LAST_DEVICE_HOST - FIRST_DEVICE_HOST + 1) as u64;
/// From here on a node is busy, in percent of its addresses.
const BUSY_PERCENT: u64 = 40;
/// From here on it is nearly full.
const NEARLY_FULL_PERCENT: u64 = 85;

/// How full a place is: its best node decides, since that is the one a new device goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Much room.
    Quiet,
    /// Room.
    Busy,
    /// Little room.
    NearlyFull,
    /// No room.
    Full,
    /// All its nodes pause.
    Resting,
    /// None of its nodes was heard of lately.
    Away,
}

impl Load {
    fn of(node: &Candidate, now: Timestamp, reached: bool) -> Self {
        let percent = node.devices.saturating_mul(100) / NODE_DEVICES;
        match () {
            () if node.paused.is_some() => Self::Resting,
            () if !reached || now.seconds_since(node.last_seen) > RECENT_SECONDS => Self::Away,
            () if node.devices >= NODE_DEVICES => Self::Full,
            () if percent >= NEARLY_FULL_PERCENT => Self::NearlyFull,
            () if percent >= BUSY_PERCENT => Self::Busy,
            () => Self::Quiet,
        }
    }

    /// Whether a device may be asked for here.
    #[must_use]
    pub fn has_room(self) -> bool {
        matches!(self, Self::Quiet | Self::Busy | Self::NearlyFull)
    }

    /// The class of its mark.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Quiet => "good",
            Self::Busy | Self::NearlyFull => "warn",
            Self::Full | Self::Away => "bad",
            Self::Resting => "idle",
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self, w: &PeopleWords) -> &'static str {
        match self {
            Self::Quiet => w.load_quiet,
            Self::Busy => w.load_busy,
            Self::NearlyFull => w.load_nearly_full,
            Self::Full => w.node_full,
            Self::Resting => w.resting,
            Self::Away => w.load_away,
        }
    }
}

/// A place to choose.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its id.
    pub location: String,
    /// Its name, as the administrator wrote it.
    pub name: String,
    /// How full it is.
    pub load: Load,
    /// Whether a node here has a SOCKS5 service.
    pub socks5: bool,
}

/// The places where nodes may serve a code, by name. Places without a node are left out.
///
/// # Errors
/// Those of the database.
pub async fn for_code(plane: &ControlPlane, read: &mut Read, code: &AccessCode) -> Answer<Vec<Place>> {
    let now = plane.clock.now();
    let operator: Option<OperatorId> = match code.class {
        Class::Assigned => None,
        Class::Invited => Some(code.issuer.parse().map_err(Failure::internal)?),
    };
    let beginning = Timestamp::from_unix_seconds(0)?;
    let nodes = read.candidates(operator.as_ref(), None, beginning, now).await?;
    let mut loads: BTreeMap<LocationId, (Load, bool)> = BTreeMap::new();
    for node in nodes {
        let reached = !plane.config.check_endpoints || node.reached_endpoint.as_ref() == Some(&node.endpoint);
        let load = Load::of(&node, now, reached);
        let socks5 = node.socks5_endpoint.is_some() && load.has_room();
        loads
            .entry(node.location)
            .and_modify(|best| *best = (best.0.min(load), best.1 || socks5))
            .or_insert((load, socks5));
    }
    let mut places: Vec<Place> = read
        .locations()
        .await?
        .into_iter()
        .filter_map(|location| {
            let (load, socks5) = *loads.get(&location.location)?;
            Some(Place { location: location.location.to_string(), name: location.name, load, socks5 })
        })
        .collect();
    places.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(devices: u64, silent_seconds: u64, paused: bool) -> Load {
        let now: Timestamp = "2026-07-06T12:00:00Z".parse().unwrap();
        let node = Candidate {
            node: "node-3kq8".parse().unwrap(),
            operator: "nordlicht".parse().unwrap(),
            location: "de-fra".parse().unwrap(),
            devices,
            last_seen: Timestamp::from_unix_seconds(
                now.unix_seconds() - i64::try_from(silent_seconds).unwrap(),
            )
            .unwrap(),
            socks5_endpoint: None,
            endpoint: "198.51.100.7:51820".to_owned(),
            reached_endpoint: None,
            megabits_per_second: None,
            paused: paused.then_some(wiregrant_core::api::Pause::Budget),
        };
        Load::of(&node, now, true)
    }

    #[test]
    fn a_load_follows_from_addresses_left_silence_and_pause() {
        assert_eq!(load(0, 0, false), Load::Quiet);
        assert_eq!(load(NODE_DEVICES / 2, 0, false), Load::Busy);
        assert_eq!(load(NODE_DEVICES - 1, 0, false), Load::NearlyFull);
        assert_eq!(load(NODE_DEVICES, 0, false), Load::Full);
        assert_eq!(load(0, RECENT_SECONDS + 1, false), Load::Away);
        assert_eq!(load(0, 0, true), Load::Resting);
        assert!(!Load::Full.has_room() && !Load::Away.has_room() && Load::NearlyFull.has_room());
    }
}
