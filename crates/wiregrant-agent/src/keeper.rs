//! The keeper: the one owner of interface, counters and ledger. Whoever reads, adds, removes or signs does it through it.

use std::collections::BTreeSet;
use std::sync::Arc;

use wiregrant_core::api::{Membership, Pause};
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::usage_report::{Backend, Class, Service};
use wiregrant_core::{Month, Timestamp, WireGuardPublicKey};

use crate::acknowledgements::Acknowledgements;
use crate::clock::{Agreement, ClockState, Moment};
use crate::condition::Told;
use crate::config::Config;
use crate::conservation::Span;
use crate::control_plane::NodeIdentity;
use crate::enrolment::Enrolment;
use crate::forgetting::Silences;
use crate::host::guard::Guard;
use crate::ledger::{Ledger, Record};
use crate::meter::{Meter, Sample, SampledPeer};
use crate::receipts::Receipts;
use crate::sender::Undelivered;
use crate::socks5::Socks5;
use crate::state_dir::StateDir;
use crate::wanted::{Wanted, WantedFile};
use crate::wireguard::{Ensured, Interface, InterfaceSettings, LivePeer, Statistics, WireGuardError};
use crate::witnessed::Witnessing;

/// The inner packet size of the node's interface, in bytes: WireGuard over IPv6 in an Ethernet frame.
pub const MTU: u16 = 1420;
/// How late after an epoch's boundary a reading still belongs to the epoch that ended, in seconds: what a busy machine
/// needs to wake up. Beyond it, the reading belongs to its own epoch.
const BOUNDARY_GRACE_SECONDS: u64 = 2;

/// See the module.
pub struct Keeper {
    pub(crate) dir: StateDir,
    pub(crate) enrolment: Enrolment,
    pub(crate) identity: NodeIdentity,
    pub(crate) ledger: Ledger,
    pub(crate) acknowledgements: Acknowledgements,
    pub(crate) interface: Box<dyn Interface>,
    pub(crate) clock: Agreement,
    /// `None` until the control plane was heard once.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) wanted_file: WantedFile,
    pub(crate) frozen: bool,
    /// Whether the control plane's head was compared since the start, or since it refused a report.
    pub(crate) in_step: bool,
    pub(crate) last_contact: Option<Timestamp>,
    /// What a restored control plane asks for.
    pub(crate) receipts: Receipts,
    /// Why the last attempt at a delivery failed, until one succeeds.
    pub(crate) undelivered: Option<Undelivered>,
    /// What came of looking at the public logs, where witnesses are demanded.
    pub(crate) witnessing: Witnessing,
    /// What the operator chose, as it stands now.
    pub(crate) config: Arc<Config>,
    /// `None` where the interface has no host around it, as in tests of the keeper itself.
    pub(crate) guard: Option<Guard>,
    /// Why nobody is served for now.
    pub(crate) paused: Option<Pause>,
    pub(crate) silences: Silences,
    pub(crate) told: Told,
    /// Peers of the interface, as last read.
    pub(crate) peers_live: usize,
    /// Peers that have a mark and were not there when it was read last by this run, and were not added since.
    pub(crate) missing: BTreeSet<WireGuardPublicKey>,
    pub(crate) socks5: Socks5,
    pub(crate) settings: InterfaceSettings,
    /// The last sample of this run that had a time, changed or not.
    last_sample: Option<Timestamp>,
    /// The interface was made since the last sample.
    made_interface: bool,
}

impl Keeper {
    /// Takes the node up where it was left: state from the journal, interface made or taken over.
    ///
    /// # Errors
    /// When the journal is damaged or the interface cannot be had.
    pub fn start(
        dir: StateDir,
        enrolment: Enrolment,
        interface: Box<dyn Interface>,
        boot_id: &str,
        config: Arc<Config>,
    ) -> anyhow::Result<Self> {
        let identity = NodeIdentity {
            log: enrolment.log.clone(),
            node: enrolment.node.clone(),
            key: dir.identity_key(enrolment.node.as_str())?,
        };
        let settings = InterfaceSettings {
            private_key: dir.wireguard_key()?,
            listen_port: enrolment.listen_port,
            addresses: enrolment.addresses.clone(),
            mtu: MTU,
        };
        let (wanted_file, wanted) = WantedFile::open(&dir.wanted())?;
        let mut ledger = Ledger::open(&dir.journal())?;
        if ledger.state().boot_id.as_deref() != Some(boot_id) {
            ledger.count(vec![Record::Booted { boot_id: boot_id.to_owned() }]);
        }
        let acknowledgements = Acknowledgements::open(&dir.acknowledgements())?;
        let mut keeper = Self {
            acknowledgements,
            dir,
            enrolment,
            identity,
            ledger,
            interface,
            clock: Agreement::default(),
            wanted,
            wanted_file,
            frozen: false,
            in_step: false,
            last_contact: None,
            receipts: Receipts::default(),
            undelivered: None,
            witnessing: Witnessing::default(),
            config: Arc::clone(&config),
            guard: None,
            paused: None,
            silences: Silences::default(),
            told: Told::default(),
            peers_live: 0,
            missing: BTreeSet::new(),
            socks5: Socks5::default(),
            settings,
            last_sample: None,
            made_interface: false,
        };
        match keeper.another_endpoint(&config) {
            Some(endpoint) => keeper.move_to(endpoint)?,
            None => keeper.ensure_interface()?,
        }
        Ok(keeper)
    }

    /// Takes other choices of the operator's. After an error the old ones stand.
    ///
    /// # Errors
    /// When the node cannot move to the chosen endpoint, or a firewall that was turned off cannot be removed.
    pub fn configure(&mut self, config: Arc<Config>) -> anyhow::Result<()> {
        if let Some(endpoint) = self.another_endpoint(&config) {
            self.move_to(endpoint)?;
        }
        if let Some(guard) = &mut self.guard {
            guard.choose(&config)?;
        }
        self.config = config;
        Ok(())
    }

    pub(crate) fn ensure_interface(&mut self) -> anyhow::Result<()> {
        let ensured = self.interface.ensure_interface(&self.settings)?;
        let (interface, backend) = (&self.enrolment.interface, self.interface.kind());
        match ensured {
            Ensured::Created => {
                self.made_interface = true;
                tracing::info!(%interface, %backend, "made the interface");
            }
            Ensured::Adopted => tracing::info!(%interface, %backend, "took over the interface as it runs"),
        }
        Ok(())
    }

    /// What moves the packets.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.interface.kind()
    }

    /// Whether the clock's time may become an epoch or an end. Before the control plane was heard, a clock that is not
    /// behind what was journaled is believed: an outage must not stop epochs.
    pub(crate) fn trusted(&self, now: Moment) -> Option<Timestamp> {
        let believed = match self.clock.judge(now) {
            ClockState::Good => true,
            ClockState::Off => false,
            ClockState::Unknown => {
                self.ledger.state().meter.sampled_until().is_none_or(|last| last <= now.wall)
            }
        };
        believed.then_some(now.wall)
    }

    /// Reads the live peers; an interface that is gone is made again.
    pub(crate) fn live(&mut self) -> anyhow::Result<Vec<LivePeer>> {
        match self.interface.peers() {
            Ok(peers) => Ok(peers),
            Err(error) => {
                self.restore_interface(&error)?;
                Ok(self.interface.peers()?)
            }
        }
    }

    fn restore_interface(&mut self, error: &WireGuardError) -> anyhow::Result<()> {
        tracing::warn!(%error, "the interface cannot be read; making sure that it is there");
        self.ensure_interface()
    }

    /// The interface's own statistics. What they would show now they will show the next time, if they cannot be read.
    fn statistics(&mut self) -> Option<Statistics> {
        self.interface.statistics().unwrap_or_else(|error| {
            tracing::debug!(%error, "no statistics this time");
            None
        })
    }

    /// Reads all counters, counts what moved and makes it durable; cuts what an epoch's end makes due. Gives the peers that
    /// were seen.
    ///
    /// # Errors
    /// When the interface cannot be read. Nothing is lost then: the counters stand in WireGuard and are read again.
    pub fn sample(&mut self, now: Moment) -> anyhow::Result<Vec<LivePeer>> {
        // First, so that what moves meanwhile makes their difference too small and never too great.
        let mut before = self.statistics();
        let live = match self.interface.peers() {
            Ok(live) => live,
            Err(error) => {
                self.restore_interface(&error)?;
                before = self.statistics();
                self.interface.peers()?
            }
        };
        let fresh = std::mem::take(&mut self.made_interface);
        let around =
            before.zip(self.statistics()).filter(|(before, after)| before.instance == after.instance);
        let statistics = around.map(|(before, after)| Span {
            instance: before.instance,
            before: before.reading,
            after: after.reading,
            fresh,
            missing: false,
            torn: false,
        });
        let socks5 = self.socks5_readings();
        let (records, missing) = self.counted(&live, statistics, socks5, self.trusted(now));
        self.ledger.count(records);
        self.missing = missing;
        self.release_socks5();
        if let Some(time) = self.trusted(now) {
            self.last_sample = Some(time);
        }
        self.peers_live = live.len();
        Ok(live)
    }

    /// The records that a reading at `time` makes, and the peers that have a mark and are not in it.
    fn counted(
        &self,
        live: &[LivePeer],
        statistics: Option<Span>,
        socks5: Vec<(WireGuardPublicKey, Reading)>,
        time: Option<Timestamp>,
    ) -> (Vec<Record>, BTreeSet<WireGuardPublicKey>) {
        let meter = &self.ledger.state().meter;
        let readings = live.iter().map(|peer| (peer.public_key, peer.reading));
        let mut peers = meter.changed(Service::WireGuard, readings, |peer| self.class_of(peer));
        let new = peers.iter().filter(|changed| !meter.knows(&changed.peer)).count();
        let mut missing =
            if meter.marked() + new > live.len() { absent(meter, live) } else { BTreeSet::new() };
        let torn = !missing.is_subset(&self.missing);
        let keeps_statistics = statistics.is_some();
        let statistics = statistics
            .map(|span| Span { missing: !missing.is_empty() && !torn, torn, ..span })
            .filter(|span| !peers.is_empty() || self.ledger.state().conservation.is_news(span));
        peers.extend(meter.changed(Service::Socks5, socks5, |device| self.class_at_socks5(device)));
        let mut records = self.records(peers, statistics, time);
        // Whom two readings lack and nobody wants is gone, and hides no longer what else the statistics show. Who comes back under
        // such a key is somebody new, and counts from the first reading; the wanted are added again, and go on where they were.
        let stays = |peer: &WireGuardPublicKey| {
            torn || !keeps_statistics
                || self.wanted.as_ref().is_none_or(|wanted| wanted.peers.get(peer).is_some())
        };
        let gone: Vec<_> = missing.iter().copied().filter(|peer| !stays(peer)).collect();
        if !gone.is_empty() {
            missing.retain(|peer| stays(peer));
            records.push(Record::Removed { peers: gone });
        }
        (records, missing)
    }

    /// The records of what a reading at `time` has shown.
    fn records(
        &self,
        peers: Vec<SampledPeer>,
        statistics: Option<Span>,
        time: Option<Timestamp>,
    ) -> Vec<Record> {
        let meter = &self.ledger.state().meter;
        let unchanged = peers.is_empty() && statistics.is_none();
        let known_until = self.last_sample.max(meter.sampled_until());
        let mut records = Vec::new();
        let Some(time) = time else {
            // Bytes from here on wait for a time; what had one is cut off from them.
            if let (true, Some(end)) = (meter.labelled(), known_until) {
                records.push(Record::Cut { end });
            }
            if !unchanged {
                let epoch = meter.epoch().cloned();
                records.push(self.sampled(None, epoch, peers, statistics));
            }
            return records;
        };
        let epoch = self.epoch_at(time);
        if epoch.as_ref() == meter.epoch() {
            // A month that turns lifts allotments and budget, also when nothing moves.
            let first = meter.used().month() != Some(Month::of(time)) || meter.sampled_until().is_none();
            if !unchanged || first {
                records.push(self.sampled(Some(time), epoch, peers, statistics));
            }
            return records;
        }
        // Before its first epoch a node that has counted nothing has nothing to report.
        let worth_a_cut = meter.epoch().is_some() || !meter.totals().is_empty() || !peers.is_empty();
        if let (true, Some(boundary)) = (worth_a_cut, self.boundary_just_passed(epoch.as_ref(), time)) {
            let ended = meter.epoch().cloned();
            records.push(self.sampled(Some(boundary), ended, peers, statistics));
            records.push(Record::Cut { end: boundary });
            records.push(self.sampled(Some(time), epoch, Vec::new(), None));
            return records;
        }
        if let (true, Some(end)) = (meter.labelled() && worth_a_cut, known_until) {
            records.push(Record::Cut { end });
        }
        records.push(self.sampled(Some(time), epoch, peers, statistics));
        records
    }

    /// A sample, with the cap that the grant sets in its epoch.
    fn sampled(
        &self,
        time: Option<Timestamp>,
        epoch: Option<EpochLabel>,
        peers: Vec<SampledPeer>,
        statistics: Option<Span>,
    ) -> Record {
        let peer_cap = epoch.as_ref().and_then(|epoch| self.membership()?.peer_cap_in(epoch));
        Record::Sample(Sample { time, epoch, peer_cap, peers, statistics })
    }

    /// The epoch of a reading at `time`. It never goes back behind one that was signed.
    fn epoch_at(&self, time: Timestamp) -> Option<EpochLabel> {
        let epoch = self.membership().and_then(|membership| membership.label_at(time));
        let last = self.ledger.state().chain.last().ok().flatten();
        let signed = last.and_then(|last| last.into_content().epoch);
        match (epoch, signed) {
            (Some(epoch), Some(signed)) if epoch.grant == signed.grant && epoch.number < signed.number => {
                Some(signed)
            }
            (epoch, _) => epoch,
        }
    }

    /// The boundary between the meter's epoch and `next`, if the agent was sampling up to it and it has only just passed.
    fn boundary_just_passed(&self, next: Option<&EpochLabel>, time: Timestamp) -> Option<Timestamp> {
        let schedule = &self.membership()?.schedule;
        let boundary = match (self.ledger.state().meter.epoch(), next) {
            (Some(ended), _) => schedule.bounds(ended.number)?.1,
            (None, Some(begun)) => schedule.bounds(begun.number)?.0,
            (None, None) => return None,
        };
        let sampled = self.last_sample?;
        // The longest two samples lie apart while the agent runs.
        let max_gap_seconds =
            self.config.sample_seconds.saturating_mul(3).saturating_add(BOUNDARY_GRACE_SECONDS);
        let sampling = sampled <= boundary && boundary.seconds_since(sampled) <= max_gap_seconds;
        let just_passed = boundary <= time && time.seconds_since(boundary) <= BOUNDARY_GRACE_SECONDS;
        (sampling && just_passed).then_some(boundary)
    }

    /// Takes a sample and cuts a report off, whether or not anything moved. Without a trusted clock nothing is cut.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn cut(&mut self, now: Moment) -> anyhow::Result<()> {
        self.sample(now)?;
        if let Some(end) = self.trusted(now) {
            self.ledger.count(vec![Record::Cut { end }]);
        }
        Ok(())
    }

    /// The next epoch boundary of the node's grant after `time`.
    #[must_use]
    pub fn next_boundary(&self, time: Timestamp) -> Option<Timestamp> {
        let schedule = &self.membership()?.schedule;
        match schedule.epoch_at(time) {
            Some(number) => schedule.bounds(number).map(|(_, end)| end),
            None => Some(schedule.start).filter(|start| *start > time),
        }
    }

    fn membership(&self) -> Option<&Membership> {
        self.wanted.as_ref()?.membership.as_ref()
    }

    /// A peer that nobody wants, and nobody wanted, is somebody's whom the operator let in.
    fn class_of(&self, peer: &WireGuardPublicKey) -> Class {
        let wanted = self.wanted.as_ref().and_then(|wanted| wanted.peers.get(peer));
        let leaves = || self.ledger.state().leaving.contains(peer);
        wanted.map_or_else(|| if leaves() { Class::Assigned } else { Class::Invited }, |wanted| wanted.class)
    }
}

/// The peers that have a mark and are not among the live ones, which are sorted by key.
fn absent(meter: &Meter, live: &[LivePeer]) -> BTreeSet<WireGuardPublicKey> {
    let mut marked = meter.known();
    marked.retain(|peer| live.binary_search_by_key(peer, |live| live.public_key).is_err());
    marked
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
pub(crate) mod tests;
