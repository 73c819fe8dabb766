//! Real hosts on one machine: network namespaces, real WireGuard, the real binaries.
//!
//! In scope: the demo, the end-to-end tests and the benchmarks. Every host is a network namespace; the binaries
//! `wiregrant-control`, `wiregrant-agent` and `wiregrant` are started as an administrator, an operator or a person would
//! start them, and what they say is compared with what WireGuard's own counters say.
//! Out of scope: anything that ships. Nobody imports this crate, and nothing is configured in the machine's own network
//! namespace; the pages are reached from it through a socket that is handed down ([`relay`]).
//!
//! What one run of the demo prints with `--once --json` (abridged):
//!
//! ```text
//! {"client":{"received_bytes":167123456,"sent_bytes":42123456},"node":{"received_bytes":42123456,...},...,
//!  "credited_bytes":209000000,"payouts":[{"operator":"nordlicht","address":"bcrt1q...","sats":250000}],...}
//! ```

pub mod bench;
pub mod bitcoind;
pub mod browser;
pub mod cleanup;
pub mod client;
pub mod clock;
pub mod command_line;
pub mod connection;
pub mod control_plane;
pub mod counters;
pub mod demo;
pub mod fleet;
pub mod host;
pub mod interrupt;
pub mod local_control;
pub mod network;
pub mod node;
pub mod parties;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod relay;
pub mod samples;
pub mod screenshots;
pub mod socks5_load;
pub mod traffic;
pub mod wait;
pub mod world;
