//! A control plane's configuration, and keys of nodes.

use tempfile::TempDir;
use transparency_log::SigningKey;
use wiregrant_control::config::{Config, ConfigFile};

/// Of a control plane with this database, that keeps its keys and files in `folder`.
pub fn config(folder: &TempDir, database: &str) -> Config {
    let file = ConfigFile {
        origin: Some("grants.example/record".into()),
        network: Some("regtest".into()),
        data_dir: Some(folder.path().to_owned()),
        database: Some(database.to_owned()),
        ..ConfigFile::default()
    };
    file.checked().expect("a configuration")
}

/// The same key for the same number.
pub fn key(n: u32) -> SigningKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    SigningKey::new(&format!("node-{n}"), seed).expect("a key")
}
