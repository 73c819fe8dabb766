//! Where each operator of a batch is paid: what follows from the destination in force when the batch is frozen.
//!
//! A destination other than an operator's first is in force once the configured delay is over, so that a stolen key or
//! token cannot turn a payout at once; until then the one before is. Of a descriptor each batch takes the next index. What was
//! lost with a database that a backup brought back is passed over: for every batch that the record names after the last
//! use that is known, and that is not known itself, one index.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use wiregrant_chain::name_proof;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::{BatchId, GrantId, OperatorId, Timestamp};
use wiregrant_payout::{Pay, PaymentName, PayoutAddress, PayoutDescriptor};
use wiregrant_store::{self as store, DerivedAddress, Log, NameProof, Read, Write};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};

/// The most entries of the record that are read at once.
const ENTRIES_AT_ONCE: u64 = 10_000;
/// The most names looked up for one batch.
const MAX_NAMES: usize = 1_000;

/// The proofs of the names that destinations in force have, by operator and sequence; or why there is none.
pub type Names = BTreeMap<(OperatorId, u64), Result<Vec<u8>, String>>;

/// Addresses as they are found, each operator's once.
pub struct Addresses {
    network: wiregrant_core::note::Network,
    now: Timestamp,
    delay_seconds: u64,
    names: Names,
    record_size: u64,
    found: BTreeMap<OperatorId, Result<(PayoutAddress, u64), String>>,
    /// Indexes taken for this batch: whose, and the descriptor's first address.
    taken: Vec<(String, String, u64)>,
}

/// Looks up the names that operators with lines due may be paid at; before anything is locked, because it takes time.
///
/// # Errors
/// `busy` or `internal`; a name that cannot be looked up is none.
pub async fn look_up(plane: &ControlPlane, grant: &GrantId) -> Answer<Names> {
    let mut read = plane.store.read().await?;
    let held: BTreeSet<(OperatorId, u64)> = read
        .reserved_lines_of_grant(grant)
        .await?
        .into_iter()
        .map(|line| (line.operator, line.epoch))
        .collect();
    let mut owed = BTreeSet::new();
    for row in read.statements(grant).await? {
        let statement =
            wiregrant_core::note::Signed::<wiregrant_core::statement::Statement>::parse(&row.note)
                .map_err(Failure::internal)?
                .into_content();
        let lines = statement.operators.into_keys().map(|operator| (operator, row.epoch));
        owed.extend(lines.filter(|line| !held.contains(line)).map(|(operator, _)| operator));
    }
    let mut sought = Vec::new();
    for operator in owed {
        let all = read.destinations(&operator).await?;
        let Some(destination) = in_force(&all, plane.clock.now(), plane.config.destination_delay_seconds)
        else {
            continue;
        };
        if let Ok(Pay::Name(name)) = Pay::parse(&destination.pay, plane.config.network) {
            sought.push(((operator, destination.sequence), name));
        }
    }
    drop(read);
    sought.truncate(MAX_NAMES);
    let Some(resolver) = plane.config.name_resolver else {
        let why = "its name cannot be looked up: the control plane has no `name_resolver`".to_owned();
        return Ok(sought.into_iter().map(|(of, _)| (of, Err(why.clone()))).collect());
    };
    let looked_up = tokio::task::spawn_blocking(move || {
        let proof =
            |name: &PaymentName| name_proof(resolver, name).map_err(|error| format!("its name: {error}"));
        sought.into_iter().map(|(of, name)| (of, proof(&name))).collect()
    });
    looked_up.await.map_err(Failure::internal)
}

/// The newest destination whose delay is over; the first has none.
pub fn in_force(
    all: &[store::Destination],
    now: Timestamp,
    delay_seconds: u64,
) -> Option<&store::Destination> {
    all.iter().rev().find(|destination| {
        destination.sequence == 1 || destination.created_at.plus_seconds(delay_seconds) <= now
    })
}

impl Addresses {
    /// None yet.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn new(plane: &ControlPlane, read: &mut Read, names: Names, now: Timestamp) -> Answer<Self> {
        Ok(Self {
            network: plane.config.network,
            now,
            delay_seconds: plane.config.destination_delay_seconds,
            names,
            record_size: read.log_size(Log::Record).await?,
            found: BTreeMap::new(),
            taken: Vec::new(),
        })
    }

    /// Where an operator is paid and by which destination, or why nowhere.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn of(
        &mut self,
        read: &mut Read,
        operator: &OperatorId,
    ) -> Answer<Result<(PayoutAddress, u64), String>> {
        if let Some(found) = self.found.get(operator) {
            return Ok(found.clone());
        }
        let all = read.destinations(operator).await?;
        let found = match in_force(&all, self.now, self.delay_seconds) {
            None => Err("the operator has no payout destination yet".to_owned()),
            Some(destination) => {
                let sequence = destination.sequence;
                self.address(read, operator, destination).await?.map(|address| (address, sequence))
            }
        };
        self.found.insert(operator.clone(), found.clone());
        Ok(found)
    }

    async fn address(
        &mut self,
        read: &mut Read,
        operator: &OperatorId,
        destination: &store::Destination,
    ) -> Answer<Result<PayoutAddress, String>> {
        let said = |error: wiregrant_payout::PayoutError| error.to_string();
        Ok(match Pay::parse(&destination.pay, self.network) {
            Err(error) => Err(said(error)),
            Ok(Pay::Address(address)) => Ok(address),
            Ok(Pay::Uri(uri)) => uri.address().map_err(said),
            Ok(Pay::Descriptor(descriptor)) => {
                let first = descriptor.address(0).map_err(Failure::internal)?;
                let index = self.take(read, &first, operator.as_str()).await?;
                address_at(&descriptor, index).map_err(said)
            }
            Ok(Pay::Name(name)) => match self.names.get(&(operator.clone(), destination.sequence)) {
                Some(Ok(proof)) => name.resolved(proof, self.now).and_then(|uri| uri.address()).map_err(said),
                Some(Err(why)) => Err(why.clone()),
                None => Err("its name was named only now; freeze once more".to_owned()),
            },
        })
    }

    /// The next index of a descriptor, which is known by an address of its own; it is kept with the batch.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn take(&mut self, read: &mut Read, known_by: &PayoutAddress, operator: &str) -> Answer<u64> {
        let known_by = known_by.to_string();
        let here = self.taken.iter().filter(|(_, of, _)| *of == known_by).map(|(.., index)| index + 1).max();
        let next = match here {
            Some(next) => next,
            None => match read.newest_derived_address(&known_by).await? {
                // The first address proves ownership and is never paid to.
                None => 1 + unknown_batches(read, 0, self.record_size).await?,
                Some(last) => {
                    let lost = unknown_batches(read, last.record_size, self.record_size).await?;
                    last.derivation_index.saturating_add(1).saturating_add(lost)
                }
            },
        };
        self.taken.push((operator.to_owned(), known_by, next));
        Ok(next)
    }

    /// Keeps, with the batch, what was taken for it, and the proofs of the names it pays.
    ///
    /// # Errors
    /// `busy` or `internal`, also where an index was used before: then there is no batch.
    pub async fn keep(&self, write: &mut Write, batch: &BatchId, lines: &[store::BatchLine]) -> Answer<()> {
        for (operator, first_address, index) in &self.taken {
            let used = DerivedAddress {
                first_address: first_address.clone(),
                derivation_index: *index,
                batch: batch.clone(),
                operator: operator.clone(),
                record_size: self.record_size,
            };
            write.insert_derived_address(&used).await?;
        }
        let paid: BTreeSet<(OperatorId, u64)> =
            lines.iter().map(|line| (line.operator.clone(), line.destination_sequence)).collect();
        for ((operator, sequence), proof) in &self.names {
            let (Ok(proof), true) = (proof, paid.contains(&(operator.clone(), *sequence))) else { continue };
            let proof = NameProof {
                batch: batch.clone(),
                operator: operator.clone(),
                destination_sequence: *sequence,
                proof: BASE64.encode(proof),
                looked_up_at: self.now,
            };
            write.insert_name_proof(&proof).await?;
        }
        Ok(())
    }
}

/// The address to receive at with an index.
///
/// # Errors
/// All its indexes are used up.
pub fn address_at(
    descriptor: &PayoutDescriptor,
    index: u64,
) -> Result<PayoutAddress, wiregrant_payout::PayoutError> {
    descriptor.address(u32::try_from(index).unwrap_or(u32::MAX))
}

/// How many batches the record names from entry `from` on that are not known here.
async fn unknown_batches(read: &mut Read, from: u64, size: u64) -> Answer<u64> {
    let (mut unknown, mut from) = (0, from);
    while from < size {
        let entries = read.entries(Log::Record, from, ENTRIES_AT_ONCE.min(size - from)).await?;
        if entries.is_empty() {
            break;
        }
        from += entries.len() as u64;
        for entry in entries.iter().filter(|entry| entry.starts_with("batch ")) {
            if let Ok(RecordEntry::Batch { batch, .. }) = entry.parse::<RecordEntry>()
                && read.batch(&batch).await?.is_none()
            {
                unknown += 1;
            }
        }
    }
    Ok(unknown)
}
