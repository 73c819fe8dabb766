//! The node agent: manages WireGuard peers, counts what they move, and reports it signed.
//!
//! In scope: the node's side of everything. Out of scope: what a byte is worth, and every database and web page.

pub mod wireguard;
