//! The Bitcoin network, as far as payouts need it: which blocks there are, and what in them concerns a batch.
//!
//! **In scope**: [`ChainSource`], the one narrow question list that every view of the chain answers; the sources
//! themselves; [`follow()`], which takes a [`wiregrant_payout::Watch`] along the chain, block by block, also backwards; and
//! [`name_proof`], which looks up a name that is paid.
//!
//! **Out of scope**: what a transaction means for a batch (`wiregrant-payout` judges that), what is stored, and
//! anything that spends: no source is ever asked to sign, and nothing is broadcast. There is no SQL and no HTTP server.
//!
//! Sources block the thread that asks; who must not wait asks from a thread of its own. They are not trusted with more
//! than they can show: a block must have the hash it was asked by, and its transactions must be those its header commits to.
//!
//! | source | sees | tells the other side |
//! |---|---|---|
//! | [`CoreRpc`] | every block, and what waits for one | nothing: it is one's own node; a pruned one is enough |
//! | [`CompactFilters`] | every block whose filter matches (BIP 157) | which whole blocks are fetched |
//! | [`Electrum`] | known transactions | which transactions are asked for, so it is opt-in |
//! | [`Esplora`] | known transactions and what spends known coins | which transactions are asked for, so it is opt-in |
//!
//! ```no_run
//! use wiregrant_chain::{ChainSource as _, CoreRpc};
//! use wiregrant_core::note::Network;
//!
//! let mut node = CoreRpc::open("http://127.0.0.1:8332", "/home/bitcoin/.bitcoin/.cookie".into(), Network::Bitcoin)?;
//! println!("the chain is {} blocks high", node.tip()?.height);
//! # Ok::<(), wiregrant_chain::ChainError>(())
//! ```

pub mod core_rpc;
pub mod electrum;
pub mod esplora;
pub mod filters;
pub mod follow;
pub mod http;

mod error;
mod merkle;
mod names;
mod source;

pub use core_rpc::CoreRpc;
pub use electrum::Electrum;
pub use error::ChainError;
pub use esplora::Esplora;
pub use filters::CompactFilters;
pub use follow::{Followed, follow};
pub use names::name_proof;
pub use source::{BlockRef, ChainSource};
