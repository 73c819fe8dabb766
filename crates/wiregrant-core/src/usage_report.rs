//! What a node says it has served: a signed note with cumulative totals since enrolment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use transparency_log::Hash;

use crate::epoch::EpochLabel;
use crate::note::{self, NoteText, Origin, Reader, Salt, Writer};
use crate::word::word;
use crate::{Bytes, FactError, NodeId, OperatorId, Timestamp};

/// The most `usage` lines a report may carry.
pub const MAX_USAGE_LINES: usize = 16;
/// How far a report's end may lie ahead of the control plane's clock, in seconds.
pub const MAX_CLOCK_AHEAD_SECONDS: u64 = 120;

word! {
    /// What a peer used.
    Service, "service",
    /// A WireGuard tunnel.
    WireGuard = "wireguard",
    /// The SOCKS5 service.
    Socks5 = "socks5",
}

word! {
    /// Who chose the node for a peer.
    Class, "class",
    /// The control plane, for a distributor's code.
    Assigned = "assigned",
    /// The operator, with a code of their own.
    Invited = "invited",
}

word! {
    /// Which WireGuard counted. Implementations differ in what they count, so the record says which it was.
    Backend, "backend",
    /// The Linux kernel's.
    Kernel = "kernel",
    /// wireguard-go, a separate process.
    WireGuardGo = "wireguard-go",
}

word! {
    /// How many distinct assigned peers moved at least 1 MB since the epoch began, coarsely.
    PeersBucket, "peers",
    /// None.
    Zero = "0",
    /// One to four, or any number of which one moved over half of the epoch's bytes.
    OneToFour = "1-4",
    /// Five to nine.
    FiveToNine = "5-9",
    /// Ten to 24.
    TenTo24 = "10-24",
    /// 25 to 49.
    TwentyFiveTo49 = "25-49",
    /// 50 to 99.
    FiftyTo99 = "50-99",
    /// 100 or more.
    Hundred = "100+",
}

/// What a peer must have moved in an epoch to count, in bytes.
pub const PEER_COUNTS_FROM_BYTES: u64 = 1_000_000;

impl PeersBucket {
    /// The bucket for the bytes that each assigned peer moved since the epoch began.
    #[must_use]
    pub fn of(moved_bytes: impl IntoIterator<Item = u64>) -> Self {
        let (mut count, mut total, mut largest) = (0u64, 0u128, 0u64);
        for bytes in moved_bytes {
            count = count.saturating_add(u64::from(bytes >= PEER_COUNTS_FROM_BYTES));
            total = total.saturating_add(u128::from(bytes));
            largest = largest.max(bytes);
        }
        let one_dominates = u128::from(largest).saturating_mul(2) > total;
        match count {
            0 => Self::Zero,
            1..=4 => Self::OneToFour,
            _ if one_dominates => Self::OneToFour,
            5..=9 => Self::FiveToNine,
            10..=24 => Self::TenTo24,
            25..=49 => Self::TwentyFiveTo49,
            50..=99 => Self::FiftyTo99,
            100.. => Self::Hundred,
        }
    }

    /// How many people surely stand behind the number; `1-4` counts as none.
    #[must_use]
    pub fn lower_edge(self) -> u64 {
        match self {
            Self::Zero | Self::OneToFour => 0,
            Self::FiveToNine => 5,
            Self::TenTo24 => 10,
            Self::TwentyFiveTo49 => 25,
            Self::FiftyTo99 => 50,
            Self::Hundred => 100,
        }
    }
}

/// Cumulative bytes of one service and class since enrolment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Bytes the node received from peers.
    pub received: Bytes,
    /// Bytes the node sent to peers.
    pub sent: Bytes,
    /// What of both may count, after the grant's per-peer cap; all of it without one.
    pub creditable: Bytes,
}

impl Usage {
    /// Received and sent together.
    ///
    /// # Errors
    /// [`FactError::Overflow`].
    pub fn served(&self) -> Result<Bytes, FactError> {
        self.received.plus(self.sent)
    }

    /// Field by field `self - earlier`; `None` where one fell.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            received: self.received.minus(earlier.received)?,
            sent: self.sent.minus(earlier.sent)?,
            creditable: self.creditable.minus(earlier.creditable)?,
        })
    }
}

/// Usage by service and class: at most [`MAX_USAGE_LINES`] lines.
pub type UsageTable = BTreeMap<(Service, Class), Usage>;

/// A node's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    /// The record log this report is for; another control plane refuses it.
    pub log: Origin,
    /// The node that signs.
    pub node: NodeId,
    /// Whose node it is.
    pub operator: OperatorId,
    /// Counted from 1, without gaps.
    pub sequence: u64,
    /// The hash of the report before; `None` for the first.
    pub previous: Option<Hash>,
    /// Keeps the hash in the public log from being guessed.
    pub salt: Salt,
    /// When the stretch since the last report began.
    pub start: Timestamp,
    /// When the last reading was taken, or the epoch's boundary where it was taken at one.
    pub end: Timestamp,
    /// Which epoch the bytes since the last report belong to.
    pub epoch: Option<EpochLabel>,
    /// The agent's version: printable ASCII without spaces.
    pub agent: String,
    /// Which WireGuard counted.
    pub backend: Backend,
    /// How many people stand behind the epoch so far.
    pub peers: PeersBucket,
    /// Root of per-peer commitments; none today.
    pub tree: Option<Hash>,
    /// Totals since enrolment.
    pub usage: UsageTable,
}

impl NoteText for UsageReport {
    const KIND: &'static str = "wiregrant/usage-report/v1";
    const MAX_BYTES: usize = 4 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("node", &[&self.node]);
        lines.line("operator", &[&self.operator]);
        lines.line("sequence", &[&self.sequence]);
        lines.line("previous", &[&note::or_dash(self.previous)]);
        lines.line("salt", &[&self.salt]);
        lines.line("start", &[&self.start]);
        lines.line("end", &[&self.end]);
        lines.line("epoch", &[&note::or_dash(self.epoch.as_ref())]);
        lines.line("agent", &[&self.agent, &self.backend]);
        lines.line("peers", &[&self.peers]);
        lines.line("tree", &[&note::or_dash(self.tree)]);
        let usage = self.usage.iter().map(|((service, class), usage)| {
            note::line("usage", &[service, class, &usage.received, &usage.sent, &usage.creditable])
        });
        lines.repeated(usage.collect());
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let log = lines.value("log")?;
        let node = lines.value("node")?;
        let operator = lines.value("operator")?;
        let sequence = lines.number("sequence")?;
        if sequence == 0 {
            return Err(FactError::value("sequence", "0", "a number from 1"));
        }
        let previous = lines.optional_hash("previous")?;
        let salt = lines.value("salt")?;
        let start = note::parse_time("start", lines.fields::<1>("start")?[0])?;
        let end = note::parse_time("end", lines.fields::<1>("end")?[0])?;
        if end < start {
            return Err(FactError::mismatch("end", format!("{start} or later"), end));
        }
        let epoch = read_epoch(lines)?;
        let [agent, backend] = lines.fields("agent")?;
        let backend = backend.parse()?;
        let peers = lines.value("peers")?;
        let tree = lines.optional_hash("tree")?;
        let usage = read_usage(lines)?;
        let agent = agent.to_owned();
        Ok(Self {
            log,
            node,
            operator,
            sequence,
            previous,
            salt,
            start,
            end,
            epoch,
            agent,
            backend,
            peers,
            tree,
            usage,
        })
    }
}

/// `epoch <grant> <n>` or `epoch -`.
fn read_epoch(lines: &mut Reader<'_>) -> Result<Option<EpochLabel>, FactError> {
    match lines.fields::<2>("epoch") {
        Ok([grant, number]) => EpochLabel::parse(grant, number).map(Some),
        Err(two_fields) => match lines.fields::<1>("epoch") {
            Ok(["-"]) => Ok(None),
            _ => Err(two_fields),
        },
    }
}

fn read_usage(lines: &mut Reader<'_>) -> Result<UsageTable, FactError> {
    let mut table = UsageTable::new();
    for [service, class, received, sent, creditable] in lines.repeated("usage")? {
        let key = (service.parse()?, class.parse()?);
        let usage =
            Usage { received: received.parse()?, sent: sent.parse()?, creditable: creditable.parse()? };
        let served = usage.served()?;
        if usage.creditable > served {
            return Err(FactError::mismatch(
                "usage: creditable",
                format!("{served} or less"),
                usage.creditable,
            ));
        }
        if table.insert(key, usage).is_some() {
            return Err(FactError::mismatch(
                "usage",
                "one line a service and class",
                format!("{service} {class} twice"),
            ));
        }
    }
    if table.len() > MAX_USAGE_LINES {
        return Err(FactError::mismatch("usage", format!("{MAX_USAGE_LINES} lines at most"), table.len()));
    }
    Ok(table)
}

/// Why a well-formed, well-signed report does not follow the one before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SuccessionError {
    /// The sequence number skips.
    #[error("sequence: the next is {expected}, the report has {found}; send what lies between first")]
    Gap {
        /// Last accepted plus one.
        expected: u64,
        /// What the report has.
        found: u64,
    },
    /// The hash of the report before is another one.
    #[error("previous: report {sequence} must follow {expected}, it follows {found}")]
    Previous {
        /// The report's number.
        sequence: u64,
        /// The accepted head.
        expected: String,
        /// What the report names.
        found: String,
    },
    /// A total fell, or a line vanished.
    #[error("usage {service} {class}: totals only rise, {field} fell from {before} to {after}")]
    TotalFell {
        /// The line.
        service: Service,
        /// The line.
        class: Class,
        /// Which number.
        field: &'static str,
        /// In the report before.
        before: u64,
        /// In this one.
        after: u64,
    },
    /// The stretch begins before the last one ended.
    #[error("start: {start} lies before the last report's end {last_end}")]
    Overlap {
        /// This report's start.
        start: Timestamp,
        /// The last report's end.
        last_end: Timestamp,
    },
    /// The epoch went back.
    #[error("epoch: {after} after {before}; an epoch never goes back")]
    EpochWentBack {
        /// The last report's epoch number.
        before: u64,
        /// This report's, of the same grant.
        after: u64,
    },
}

impl UsageReport {
    /// Checks that this report is the one that follows `last` (its content and hash), or a node's first.
    ///
    /// # Errors
    /// The first thing that does not follow.
    pub fn follows(&self, last: Option<(&UsageReport, Hash)>) -> Result<(), SuccessionError> {
        let expected = last.map_or(1, |(last, _)| last.sequence.saturating_add(1));
        if self.sequence != expected {
            return Err(SuccessionError::Gap { expected, found: self.sequence });
        }
        let head = last.map(|(_, hash)| hash);
        if self.previous != head {
            return Err(SuccessionError::Previous {
                sequence: self.sequence,
                expected: note::or_dash(head).to_string(),
                found: note::or_dash(self.previous).to_string(),
            });
        }
        let Some((last, _)) = last else { return Ok(()) };
        if self.start < last.end {
            return Err(SuccessionError::Overlap { start: self.start, last_end: last.end });
        }
        if let (Some(before), Some(after)) = (&last.epoch, &self.epoch)
            && before.grant == after.grant
            && after.number < before.number
        {
            return Err(SuccessionError::EpochWentBack { before: before.number, after: after.number });
        }
        self.totals_rise(&last.usage)
    }

    fn totals_rise(&self, before: &UsageTable) -> Result<(), SuccessionError> {
        for ((service, class), before) in before {
            let after = self.usage.get(&(*service, *class)).copied().unwrap_or_default();
            let numbers = [
                ("received", before.received, after.received),
                ("sent", before.sent, after.sent),
                ("creditable", before.creditable, after.creditable),
            ];
            if let Some((field, before, after)) =
                numbers.into_iter().find(|(_, before, after)| after < before)
            {
                let (service, class) = (*service, *class);
                return Err(SuccessionError::TotalFell {
                    service,
                    class,
                    field,
                    before: before.get(),
                    after: after.get(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
