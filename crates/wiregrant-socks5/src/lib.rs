//! The SOCKS5 service of a node: relays for the devices that the agent names, and counts what it relays.
//!
//! **SOCKS5 is not encrypted.** Whoever is on the way sees where people go, and reads what is not encrypted itself.
//!
//! In scope: RFC 1928 with CONNECT and UDP ASSOCIATE, RFC 1929, no way into the host, its networks or the tunnel, and counters
//! by username. Out of scope: BIND and fragments of datagrams; quotas, expiry, journal and reports, which are the agent's. It
//! needs no privilege and gives up those it was given. It is a library only so that tests and fuzzing reach its parts.
//!
//! The way of a connection: [`session`] reads its [`message`]s, [`account`] admits it, [`egress`] finds an address that
//! [`network_policy`] permits, [`relay`] or [`association`] moves and counts the bytes.
//!
//! The agent asks on a UNIX socket ([`metering`]), one JSON object a line:
//!
//! ```text
//! {"serve":{"logins":[{"username":"k7d2m9","password_hash":"47DEQ..."}],"refused_networks":["10.64.0.0/10"]}}
//! {"readings":{"instance":"q83vEjRWeJq83vEjRWeJqw==","ending":false,"readings":[{"username":"k7d2m9","received":"517","sent":"90210"}]}}
//! ```

pub mod account;
pub mod association;
pub mod command_line;
pub mod egress;
pub mod message;
pub mod metering;
pub mod network_policy;
pub mod pace;
pub mod pipe;
pub mod relay;
pub mod service;
pub mod session;
