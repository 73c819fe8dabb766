//! The node agent: manages WireGuard peers, counts what they move, and reports it signed.

fn main() {}
