//! The node agent: manages WireGuard peers, counts what they move, and reports it signed.
//!
//! In scope: the node's side of everything, from an interface's counters to an acknowledged report. Out of scope: what a byte
//! is worth, and every database and page. It is a library only so that tests and fuzzing reach its parts.
//!
//! The way of a byte: [`wireguard`] reads it, [`meter`] counts it, [`journal`] and [`ledger`] keep it, [`chain`] signs it,
//! [`sender`] delivers it. [`host`] keeps the machine around the tunnel in order. [`keeper`] is the one owner of all that; [`run`] turns the wheels.

pub mod acknowledgements;
pub mod allotment;
pub mod backoff;
pub mod budget;
pub mod chain;
pub mod clock;
pub mod command_line;
pub mod condition;
pub mod config;
pub mod conservation;
pub mod continued;
pub mod control_plane;
pub mod converge;
pub mod endpoint;
pub mod enrolment;
pub mod forgetting;
pub mod health;
pub mod host;
pub mod join;
pub mod journal;
pub mod keeper;
pub mod ledger;
pub mod log_keys;
pub mod meter;
pub mod metrics;
pub mod pinned;
pub mod prove;
pub mod public_log;
pub mod receipts;
pub mod rekey;
pub mod run;
pub mod sender;
pub mod service_manager;
pub mod socks5;
pub mod state_dir;
pub mod status;
pub mod used;
pub mod wanted;
pub mod watch;
pub mod wireguard;
pub mod witnessed;
pub mod witnesses;
