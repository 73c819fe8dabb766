//! What the benchmarks of both databases share: a database, a control plane's configuration, nodes' keys.

pub mod postgres;
mod setup;

pub use setup::{config, key};
