//! The control plane: enrols nodes, takes their reports, closes epochs, prepares payments, and shows what is public.
//!
//! **In scope**: HTTP, pages, the order in which things are written, and the control plane's own keys. The contract of the
//! API is the table in `wiregrant_core::api`; [`router`] is the index of every URL.
//!
//! **Out of scope**: SQL (`wiregrant-store`), scripts and allocation (`wiregrant-payout`), what the facts are
//! (`wiregrant-core`), and every key that can spend: no private key of a wallet ever enters here.
//!
//! The way of a report: [`ingest`] (is it in order?) -> [`sequencer`] (one transaction for all that waits) ->
//! [`acknowledgement`] (a proof). The way of the sats: [`closing`] (an epoch becomes a statement) -> [`payout_batch`] (lines
//! become an unsigned transaction). What is public is written by [`publisher`] into one folder of static files.
//!
//! ```text
//! POST /api/v1/nodes/node-3kq8/reports            HTTP/1.1 200 OK
//! wiregrant-node: node-3kq8                       content-type: text/plain; charset=utf-8
//!
//! wiregrant/usage-report/v1                       c2sp.org/tlog-proof@v1
//! log grants.example/record                       index 17
//! ...                                             ...
//! ```

pub mod acknowledgement;
pub mod addresses;
pub mod answer;
pub mod api;
pub mod backup;
pub mod bootstrap;
pub mod catch_up;
pub mod changes;
pub mod clock;
pub mod closing;
pub mod command_line;
pub mod config;
pub mod continued;
pub mod control_plane;
pub mod cosignatures;
pub mod deciding;
pub mod doubt;
pub mod endpoint;
pub mod enrolment;
pub mod equivocation;
pub mod error;
pub mod extract;
pub mod figures;
pub mod file;
pub mod forms;
pub mod generations;
pub mod hearing;
pub mod idempotency;
pub mod identities;
pub mod ingest;
pub mod jobs;
pub mod keys;
pub mod leadership;
pub mod line_standing;
pub mod listener;
pub mod log_keys;
pub mod membership;
pub mod monitor;
pub mod new_origin;
pub mod node_request;
pub mod nonces;
pub mod openapi;
pub mod pages;
pub mod pages_of_grants;
pub mod payout_batch;
pub mod placement;
pub mod probe;
pub mod processors;
pub mod public_files;
pub mod publisher;
pub mod random;
pub mod recording;
pub mod redemptions;
pub mod rekeying;
pub mod remembered;
pub mod retention;
pub mod router;
pub mod sats_ledger;
pub mod sequencer;
pub mod serve;
pub mod settlement;
pub mod sign_in;
pub mod socks5_login;
pub mod switching;
pub mod tls;
pub mod tokens;
pub mod told;
pub mod turns;
pub mod visits;
pub mod witness;
mod write_back;
