//! The meter: folds readings of live peers into what the node has served. Pure: readings come in, totals stand here.
//!
//! It never counts a byte that was not moved (law 1): a peer that is new to the meter and was not added by this agent
//! sets a mark and counts from there, a counter that fell is taken for reset, and absence from a reading says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wiregrant_core::api::{UsageLine, usage_lines};
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::in_step::InStep;
use wiregrant_core::usage_report::{Class, PeersBucket, Service, Usage, UsageTable};
use wiregrant_core::{Bytes, Month, Timestamp, WireGuardPublicKey};

use crate::conservation::{Span, plus};
use crate::used::{Used, raised};

/// One device's counters at one service at the instant of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledPeer {
    /// The device: its WireGuard key, whatever the service.
    pub peer: WireGuardPublicKey,
    /// Where it was counted.
    #[serde(default = "wireguard", skip_serializing_if = "is_wireguard")]
    pub service: Service,
    /// Who chose this node for it, as far as the node knows.
    pub class: Class,
    /// Its raw counters.
    pub reading: Reading,
}

/// A reading of the interface, as far as it differs from the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When, if the clock could be trusted. Without it the bytes count, and take their epoch from the next sample with one.
    pub time: Option<Timestamp>,
    /// The epoch its bytes belong to; without a `time` it stays what it was.
    pub epoch: Option<EpochLabel>,
    /// What a peer can add to what is creditable in that epoch, in bytes; without a cap, all it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_cap: Option<Bytes>,
    /// The peers whose counters differ.
    pub peers: Vec<SampledPeer>,
    /// The interface's own statistics around the reading, where it has some that outlive its peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Span>,
}

/// What folding a sample has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// What moved, and marks that were set: bytes of the interface's that are accounted for.
    pub accounted: Reading,
    /// A peer's counters began anew: what it had moved before is gone.
    pub reset: bool,
}

/// What the node has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// The last raw counters of each known WireGuard peer.
    last: BTreeMap<WireGuardPublicKey, Reading>,
    /// The last raw counters of each device known to the SOCKS5 service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    last_socks5: BTreeMap<WireGuardPublicKey, Reading>,
    /// Since enrolment.
    #[serde(with = "as_lines")]
    totals: UsageTable,
    /// The epoch that bytes counted now belong to.
    epoch: Option<EpochLabel>,
    /// What each assigned peer moved in that epoch, in bytes, removed peers included. Forgotten with the epoch.
    moved_in_epoch: BTreeMap<WireGuardPublicKey, u64>,
    /// The same of invited peers, which the grant's cap holds too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    invited_in_epoch: BTreeMap<WireGuardPublicKey, u64>,
    /// What each device used of its allotment.
    #[serde(default)]
    used: Used,
    /// The last sample that had a time.
    sampled_until: Option<Timestamp>,
    /// Whether a sample with a time was taken since the last cut.
    labelled: bool,
}

impl Meter {
    /// The devices among `live`, ascending by key, whose counters at a service differ from the last ones, with their class.
    #[must_use]
    pub fn changed(
        &self,
        service: Service,
        live: impl IntoIterator<Item = (WireGuardPublicKey, Reading)>,
        class_of: impl Fn(&WireGuardPublicKey) -> Class,
    ) -> Vec<SampledPeer> {
        let mut last = InStep::new(self.marks(service));
        live.into_iter()
            .filter(|(peer, reading)| last.find(peer) != Some(reading))
            .map(|(peer, reading)| SampledPeer { peer, service, class: class_of(&peer), reading })
            .collect()
    }

    /// Counts a sample.
    pub fn fold(&mut self, sample: &Sample) -> Folded {
        if let Some(time) = sample.time {
            if self.epoch != sample.epoch {
                self.moved_in_epoch.clear();
                self.invited_in_epoch.clear();
                self.epoch.clone_from(&sample.epoch);
            }
            self.sampled_until = self.sampled_until.max(Some(time));
            self.labelled = true;
            self.used.enter(Month::of(time));
        }
        let mut folded = Folded::default();
        for SampledPeer { peer, service, class, reading } in &sample.peers {
            // A peer this agent did not add may have been counted before, by a state that was lost since.
            let last = self.marks_mut(*service).insert(*peer, *reading);
            let moved = last.map_or(Reading::default(), |last| reading.moved_since(last));
            self.count(*peer, (*service, *class), moved, sample.peer_cap);
            if *service == Service::WireGuard {
                folded.accounted = plus(folded.accounted, if last.is_some() { moved } else { *reading });
                folded.reset |=
                    last.is_some_and(|last| reading.received < last.received || reading.sent < last.sent);
            }
        }
        folded
    }

    /// Counts what peers that are gone have moved since their last reading. Nobody knows whose it was, so it counts as what
    /// nobody pays for: invited, and not creditable.
    pub fn recover(&mut self, moved: Reading) {
        if moved != Reading::default() {
            self.used.count_of_nobody(moved);
            self.raise((Service::WireGuard, Class::Invited), moved, 0);
        }
    }

    fn count(
        &mut self,
        peer: WireGuardPublicKey,
        column: (Service, Class),
        moved: Reading,
        peer_cap: Option<Bytes>,
    ) {
        if moved == Reading::default() {
            return;
        }
        self.used.count(peer, moved);
        let in_epoch = match column.1 {
            Class::Assigned => &mut self.moved_in_epoch,
            Class::Invited => &mut self.invited_in_epoch,
        };
        let counted = in_epoch.entry(peer).or_default();
        let served = moved.received.saturating_add(moved.sent);
        let room = peer_cap.map_or(u64::MAX, |cap| cap.get().saturating_sub(*counted));
        *counted = counted.saturating_add(served);
        self.raise(column, moved, served.min(room));
    }

    fn raise(&mut self, column: (Service, Class), moved: Reading, creditable: u64) {
        let usage = self.totals.entry(column).or_default();
        usage.received = raised(usage.received, moved.received);
        usage.sent = raised(usage.sent, moved.sent);
        usage.creditable = raised(usage.creditable, creditable);
    }

    fn marks(&self, service: Service) -> &BTreeMap<WireGuardPublicKey, Reading> {
        match service {
            Service::WireGuard => &self.last,
            Service::Socks5 => &self.last_socks5,
        }
    }

    fn marks_mut(&mut self, service: Service) -> &mut BTreeMap<WireGuardPublicKey, Reading> {
        match service {
            Service::WireGuard => &mut self.last,
            Service::Socks5 => &mut self.last_socks5,
        }
    }

    /// These devices are wanted here no more: what they used is forgotten.
    pub fn forget(&mut self, devices: &[WireGuardPublicKey]) {
        self.used.forget(devices);
    }

    /// This agent is about to add a peer that is not there: it will count from zero. A peer that is known keeps its mark.
    pub fn added(&mut self, peer: WireGuardPublicKey) {
        self.last.entry(peer).or_default();
    }

    /// The interface confirmed this agent's own removals: whoever comes under these keys counts from zero.
    pub fn removed(&mut self, peers: &[WireGuardPublicKey]) {
        for peer in peers {
            self.last.remove(peer);
        }
    }

    /// The SOCKS5 service is about to serve a device whose counters there say `from`. A device that is known keeps its mark.
    pub fn socks5_added(&mut self, device: WireGuardPublicKey, from: Reading) {
        self.last_socks5.entry(device).or_insert(from);
    }

    /// The SOCKS5 service confirmed that it has forgotten these devices: if they come back, they count from zero.
    pub fn socks5_removed(&mut self, devices: &[WireGuardPublicKey]) {
        for device in devices {
            self.last_socks5.remove(device);
        }
    }

    /// The SOCKS5 service runs anew since it was read last: every counter it has began at zero.
    pub fn socks5_started(&mut self) {
        self.last_socks5.values_mut().for_each(|reading| *reading = Reading::default());
    }

    /// The machine has started anew since the last sample: every counter it has began at zero.
    pub fn booted(&mut self) {
        let marks = self.last.values_mut().chain(self.last_socks5.values_mut());
        marks.for_each(|reading| *reading = Reading::default());
    }

    /// Takes the totals that the node had signed before its state was lost, and counts on from `live`. What devices used is what
    /// the older state knew.
    pub fn adopt(
        &mut self,
        totals: UsageTable,
        epoch: Option<EpochLabel>,
        end: Timestamp,
        live: &[(WireGuardPublicKey, Reading)],
    ) {
        *self = Self {
            last: live.iter().copied().collect(),
            last_socks5: BTreeMap::new(),
            totals,
            epoch,
            moved_in_epoch: BTreeMap::new(),
            invited_in_epoch: BTreeMap::new(),
            used: std::mem::take(&mut self.used),
            sampled_until: Some(end),
            labelled: false,
        };
    }

    /// A report's content was cut off here.
    pub fn cut(&mut self) {
        self.labelled = false;
    }

    /// Whether a peer has a mark to count from.
    #[must_use]
    pub fn knows(&self, peer: &WireGuardPublicKey) -> bool {
        self.last.contains_key(peer)
    }

    /// Totals since enrolment.
    #[must_use]
    pub fn totals(&self) -> &UsageTable {
        &self.totals
    }

    /// The epoch that bytes counted now belong to.
    #[must_use]
    pub fn epoch(&self) -> Option<&EpochLabel> {
        self.epoch.as_ref()
    }

    /// The last sample that had a time.
    #[must_use]
    pub fn sampled_until(&self) -> Option<Timestamp> {
        self.sampled_until
    }

    /// Whether there is a sample with a time that no cut holds yet.
    #[must_use]
    pub fn labelled(&self) -> bool {
        self.labelled
    }

    /// What each device used of its allotment.
    #[must_use]
    pub fn used(&self) -> &Used {
        &self.used
    }

    /// How many people stand behind the epoch so far.
    #[must_use]
    pub fn peers_bucket(&self) -> PeersBucket {
        PeersBucket::of(self.moved_in_epoch.values().copied())
    }

    /// How many peers of the interface's have a mark.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.last.len()
    }

    /// The keys that have a mark.
    #[must_use]
    pub fn known(&self) -> BTreeSet<WireGuardPublicKey> {
        self.last.keys().copied().collect()
    }
}

fn wireguard() -> Service {
    Service::WireGuard
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_wireguard(service: &Service) -> bool {
    *service == Service::WireGuard
}

/// A usage table as the lines of the API.
pub(crate) mod as_lines {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Serialize, Usage, UsageLine, UsageTable, usage_lines};

    pub fn serialize<S: Serializer>(table: &UsageTable, serializer: S) -> Result<S::Ok, S::Error> {
        usage_lines(table).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UsageTable, D::Error> {
        let lines = Vec::<UsageLine>::deserialize(deserializer)?;
        let usage = |UsageLine { service, class, received, sent, creditable }| {
            ((service, class), Usage { received, sent, creditable })
        };
        Ok(lines.into_iter().map(usage).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiregrant_core::allotment::Period;

    fn key(n: u8) -> WireGuardPublicKey {
        [n; 32].into()
    }

    fn sample(time: Option<i64>, epoch: Option<u64>, peers: &[(u8, u64)]) -> Sample {
        Sample {
            time: time.map(|seconds| Timestamp::from_unix_seconds(seconds).unwrap()),
            epoch: epoch.map(|number| EpochLabel { grant: "g".parse().unwrap(), number }),
            peer_cap: None,
            peers: peers
                .iter()
                .map(|(n, bytes)| SampledPeer {
                    peer: key(*n),
                    service: Service::WireGuard,
                    class: Class::Assigned,
                    reading: Reading { received: *bytes, sent: 0 },
                })
                .collect(),
            statistics: None,
        }
    }

    fn received(meter: &Meter) -> u64 {
        meter.totals().values().map(|usage| usage.received.get()).sum()
    }

    #[test]
    fn a_peer_this_agent_added_counts_from_zero_and_any_other_from_its_first_reading() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), Some(1), &[(1, 100), (2, 5000)]));
        assert_eq!(received(&meter), 100);
        meter.fold(&sample(Some(20), Some(1), &[(1, 150), (2, 5001)]));
        assert_eq!(received(&meter), 151);
    }

    #[test]
    fn a_peer_that_is_missing_from_one_reading_goes_on_where_it_was() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), None, &[(1, 100)]));
        meter.fold(&sample(Some(20), None, &[]));
        meter.fold(&sample(Some(30), None, &[(1, 120)]));
        assert_eq!(received(&meter), 120);
    }

    #[test]
    fn adding_a_known_peer_again_is_no_reset_but_a_confirmed_removal_is() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), None, &[(1, 100)]));
        meter.added(key(1));
        meter.fold(&sample(Some(20), None, &[(1, 110)]));
        assert_eq!(received(&meter), 110);
        meter.removed(&[key(1)]);
        meter.added(key(1));
        meter.fold(&sample(Some(30), None, &[(1, 200)]));
        assert_eq!(received(&meter), 310);
    }

    #[test]
    fn after_a_boot_every_counter_began_at_zero() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), None, &[(1, 100)]));
        meter.booted();
        meter.fold(&sample(Some(20), None, &[(1, 300)]));
        assert_eq!(received(&meter), 400);
    }

    #[test]
    fn an_epoch_forgets_who_moved_what_in_the_one_before() {
        let mut meter = Meter::default();
        (1..=6).for_each(|n| meter.added(key(n)));
        let all: Vec<_> = (1..=6).map(|n| (n, 2_000_000)).collect();
        meter.fold(&sample(Some(10), Some(1), &all));
        assert_eq!(meter.peers_bucket(), PeersBucket::FiveToNine);
        meter.fold(&sample(Some(20), Some(2), &[]));
        assert_eq!(meter.peers_bucket(), PeersBucket::Zero);
        assert!(meter.moved_in_epoch.is_empty());
    }

    #[test]
    fn without_a_time_bytes_count_and_the_epoch_stays() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), Some(1), &[]));
        meter.cut();
        meter.fold(&sample(None, None, &[(1, 7)]));
        assert_eq!((received(&meter), meter.epoch().unwrap().number, meter.labelled()), (7, 1, false));
    }

    #[test]
    fn a_peer_adds_no_more_than_the_cap_in_one_epoch_and_begins_anew_in_the_next() {
        let (mut meter, cap) = (Meter::default(), Some(Bytes::new(100).unwrap()));
        let creditable =
            |meter: &Meter| -> u64 { meter.totals().values().map(|usage| usage.creditable.get()).sum() };
        for n in [1, 2] {
            meter.added(key(n));
        }
        for (epoch, peers, expected) in [
            (1, [(1, 60), (2, 10)], 70),
            (1, [(1, 150), (2, 10)], 110),
            (1, [(1, 400), (2, 20)], 120),
            (2, [(1, 450), (2, 20)], 170),
            (2, [(1, 900), (2, 20)], 220),
        ] {
            meter.fold(&Sample {
                peer_cap: cap,
                ..sample(Some(epoch * 100), Some(epoch.cast_unsigned()), &peers)
            });
            assert_eq!(creditable(&meter), expected, "{peers:?}");
        }
        assert_eq!(received(&meter), 920);
    }

    #[test]
    fn bytes_of_nobody_are_counted_and_not_creditable() {
        let mut meter = Meter::default();
        meter.recover(Reading { received: 5, sent: 7 });
        let usage = meter.totals()[&(Service::WireGuard, Class::Invited)];
        assert_eq!((usage.received.get(), usage.sent.get(), usage.creditable.get()), (5, 7, 0));
    }

    #[test]
    fn invited_and_assigned_bytes_are_told_apart_and_all_are_creditable() {
        let mut meter = Meter::default();
        meter.added(key(1));
        let mut invited = sample(Some(10), None, &[(1, 40)]);
        invited.peers[0].class = Class::Invited;
        meter.fold(&invited);
        meter.fold(&sample(Some(20), None, &[(1, 50)]));
        let lines: Vec<_> =
            meter.totals().iter().map(|((_, class), u)| (*class, u.creditable.get())).collect();
        assert_eq!(lines, [(Class::Assigned, 10), (Class::Invited, 40)]);
        let json = serde_json::to_string(&meter).unwrap();
        assert_eq!(serde_json::from_str::<Meter>(&json).unwrap(), meter);
    }

    #[test]
    fn a_device_is_counted_apart_at_each_service_and_uses_one_allotment() {
        let mut meter = Meter::default();
        meter.added(key(1));
        let mut both = sample(Some(10), None, &[(1, 40), (1, 5_000)]);
        both.peers[1].service = Service::Socks5;
        meter.fold(&both);
        both.peers[0].reading.received = 45;
        both.peers[1].reading.sent = 3;
        meter.fold(&both);
        let services: Vec<_> =
            meter.totals().iter().map(|((service, _), u)| (*service, u.creditable.get())).collect();
        assert_eq!(services, [(Service::WireGuard, 45), (Service::Socks5, 3)]);
        assert_eq!(meter.used().of(&key(1), Period::Total).get(), 48);
        let json = serde_json::to_string(&(&meter, &both)).unwrap();
        assert_eq!(serde_json::from_str::<(Meter, Sample)>(&json).unwrap(), (meter, both));
    }

    #[test]
    fn a_removal_from_the_interface_takes_nothing_from_what_was_used() {
        let mut meter = Meter::default();
        meter.added(key(1));
        meter.fold(&sample(Some(10), None, &[(1, 100)]));
        meter.removed(&[key(1)]);
        meter.added(key(1));
        meter.fold(&sample(Some(20), None, &[(1, 20)]));
        assert_eq!(meter.used().of(&key(1), Period::Total).get(), 120);
        meter.forget(&[key(1)]);
        assert_eq!(meter.used().of(&key(1), Period::Total).get(), 0);
        assert_eq!(received(&meter), 120);
    }

    #[test]
    fn what_was_written_before_services_and_allotments_were_told_apart_is_still_read() {
        let line = r#"{"peer":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","class":"assigned","reading":{"received":1,"sent":2}}"#;
        let read: SampledPeer = serde_json::from_str(line).unwrap();
        assert_eq!((read.peer, read.service), (key(1), Service::WireGuard));
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        let meter = r#"{"last":{},"totals":[],"epoch":null,"moved_in_epoch":{},"sampled_until":null,"labelled":false}"#;
        assert_eq!(serde_json::from_str::<Meter>(meter).unwrap(), Meter::default());
    }
}
