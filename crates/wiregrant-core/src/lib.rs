//! The facts of wiregrant: ids, keys, units, counter folding, usage reports, credit, statements, the desired
//! peer set and the API's shapes.
//!
//! In scope: what a thing *is*, how it is written down, and the arithmetic that follows from it.
//! Out of scope: every outside world. There is no file, socket, clock, database or random source here; `now`,
//! randomness and bytes come in as arguments. Bitcoin's scripts and the split of a pot live in
//! `wiregrant-payout`; Merkle trees and signed notes live in `transparency-log`.
//!
//! Everything that is signed is a note of plain lines, for example a node's report:
//!
//! ```text
//! wiregrant/usage-report/v1
//! log grants.example/record
//! node node-3kq8
//! operator nordlicht
//! sequence 7
//! ...
//! usage wireguard assigned 120034 9912034 10032068
//!
//! — node-3kq8 9mW1t0...=
//! ```
//!
//! A parser accepts exactly what the printer prints, and says by field, value and way out what it refuses.

pub mod access_code;
pub mod allotment;
pub mod api;
pub mod client_file;
pub mod counter;
pub mod credit;
pub mod epoch;
pub mod evidence;
pub mod handshake;
pub mod id;
pub mod in_step;
pub mod inputs;
pub mod invitation;
pub mod key;
pub mod ledger;
pub mod manifest;
pub mod month;
pub mod note;
pub mod peer;
pub mod quantity;
pub mod record;
pub mod recovery;
pub mod rekey;
pub mod request;
pub mod socks5;
pub mod statement;
pub mod terms;
pub mod time;
pub mod units;
pub mod usage_report;

mod error;
#[cfg(feature = "schema")]
mod schema;
mod word;

pub use error::FactError;
pub use id::{AuditorId, BatchId, DistributorId, FunderId, GrantId, LocationId, NodeId, OperatorId, TokenId};
pub use key::{WireGuardPrivateKey, WireGuardPublicKey};
pub use month::Month;
pub use time::Timestamp;
pub use units::{Bytes, Sats, Units};
