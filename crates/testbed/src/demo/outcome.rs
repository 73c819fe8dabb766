//! `Outcome`: what one run has shown, as `demo --once --json` prints it.

use serde::Serialize;

use crate::counters::Counters;

/// Said wherever numbers of the demo are shown.
pub const DEMONSTRATION_TERMS: &str = "demonstration terms: short epochs, a credit unit of 1 MB (a real grant: 1 GB), \
                                       floor 1 (a real grant: 10 people), no close delay and no challenge window";

/// One operator's sats at one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// Whose.
    pub operator: String,
    /// Where they go.
    pub address: String,
    /// How many.
    pub sats: u64,
}

/// The batch's payment, as the control plane has seen it on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The transaction.
    pub txid: String,
    /// How many lines are settled.
    pub lines: u64,
    /// How many sats they are.
    pub sats: u64,
    /// How many blocks deep.
    pub depth: u32,
}

/// The record log's head, as `verify` has found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its name.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// Its root, base64.
    pub root: String,
}

/// Everything. No number can pass 2^53: the demo moves at most 1 TB and pays at most the sats it contributed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// By the people's own WireGuard counters, all together.
    pub client: Counters,
    /// By the node's WireGuard counters, read with `wg` after the cables were pulled.
    pub node: Counters,
    /// In the control plane's store at that moment.
    pub reported: Counters,
    /// Reported between that and the last statement: after the cables were pulled the node still sends keepalives and
    /// handshakes, into nothing.
    pub late_bytes: u64,
    /// Units of all statements, in bytes.
    pub credited_bytes: u64,
    /// The credit unit.
    pub unit_bytes: u64,
    /// The batch's payouts, by operator and address.
    pub payouts: Vec<Payout>,
    /// The pots of all closed epochs.
    pub pot_sats: u64,
    /// To be paid by all closed epochs.
    pub payable_sats: u64,
    /// Left for the next epoch because it is below the minimum.
    pub carried_sats: u64,
    /// Earned by nobody, and back in the grant.
    pub unspent_sats: u64,
    /// The unsigned transaction, BIP 174, base64.
    pub psbt: String,
    /// Where its change goes.
    pub change_address: String,
    /// What the funder's wallet signed, mined and six blocks deep.
    pub settled: Settled,
    /// The record log.
    pub record: Record,
    /// `ok`, or what `wiregrant verify` says.
    pub verify: String,
    /// How long it took.
    pub seconds: u64,
    /// [`DEMONSTRATION_TERMS`].
    pub terms: &'static str,
}
