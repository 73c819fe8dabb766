//! The control plane from outside: its router with a database of its own, asked as agents, people and funders ask it.

#[cfg(test)]
mod admin_pages;
#[cfg(test)]
mod api;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod batches;
// The testbed's; nobody imports that crate, and there is one way to start a node.
#[cfg(test)]
#[path = "../../../testbed/src/bitcoind.rs"]
mod bitcoind;
#[cfg(test)]
mod catching_up;
#[cfg(test)]
mod catching_up_from_afar;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod condition;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod destinations;
#[cfg(test)]
mod funder_pages;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod log_keys;
#[cfg(test)]
mod money;
#[cfg(test)]
mod new_origin;
#[cfg(test)]
mod node_requests;
#[cfg(test)]
mod one_minor_apart;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod operator_pages;
#[cfg(test)]
mod pages_of_lists;
#[cfg(test)]
mod people;
#[cfg(test)]
mod person_pages;
// The benchmarks' own.
#[cfg(test)]
#[path = "../../benches/support/postgres.rs"]
mod postgres;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod publication;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod regtest;
#[cfg(test)]
mod rekeying;
#[cfg(test)]
mod replicas;
// The chain's own, for its tests of names.
#[cfg(test)]
#[path = "../../../wiregrant-chain/src/names/resolver.rs"]
mod resolver;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod socks5;
#[cfg(test)]
mod staff_pages;
#[cfg(test)]
mod support;
#[cfg(test)]
mod switching;
#[cfg(test)]
mod terms;
