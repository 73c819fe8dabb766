//! The control plane from outside: its router with a database of its own, asked as agents, people and funders ask it.

#[cfg(test)]
mod bad_input;
// The testbed's; nobody imports that crate, and there is one way to start a node.
#[cfg(test)]
#[path = "../../../testbed/src/bitcoind.rs"]
mod bitcoind;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod condition;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod money;
#[cfg(test)]
mod node_requests;
#[cfg(test)]
mod people;
#[cfg(test)]
mod publication;
#[cfg(test)]
mod regtest;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod socks5;
#[cfg(test)]
mod support;
