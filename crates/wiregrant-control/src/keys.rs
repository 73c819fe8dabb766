//! The control plane's own secrets: the log key, the statement key, and the secret behind keyed hashes.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use transparency_log::{Hash, LogError, SigningKey};
use wiregrant_core::note::Origin;
use wiregrant_core::record::KeyRole;
use wiregrant_core::{NodeId, WireGuardPrivateKey};
use wiregrant_store::Log;

use crate::file::{self, Readers};
use crate::random;

const LOG_KEY_FILE: &str = "log.key";
const STATEMENT_KEY_FILE: &str = "statement.key";
const SERVER_SECRET_FILE: &str = "server.secret";
/// 32 bytes in base64 and a line feed are 45; some room for an editor's additions.
const MAX_KEY_FILE_BYTES: u64 = 100;

/// Why the keys could not be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A key file is not there, though the database knows that key.
    #[error(
        "{path}: there is no such key, but the database was made with one; restore the keys folder from its backup"
    )]
    Missing {
        /// Where it should lie.
        path: String,
    },
    /// A key file does not hold a key.
    #[error(
        "{path}: not a key (32 bytes in padded base64); restore it from its backup, or delete it if nothing was signed yet"
    )]
    Form {
        /// The file.
        path: String,
    },
    /// The origin cannot name a key.
    #[error("origin: {0}")]
    Name(#[from] LogError),
}

/// All secrets of one control plane.
#[derive(Clone)]
pub struct Keys {
    /// Signs the record log's checkpoints; its name is that log's origin.
    pub record: SigningKey,
    /// The same key under the reports log's origin.
    pub reports: SigningKey,
    /// Signs statements, inputs, terms, batches, and destinations of operators without a key.
    pub statement: SigningKey,
    secret: [u8; 32],
}

/// What a keyed hash stands for, so that no token is ever taken for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A bearer token, of whatever role.
    Token,
    /// What a client calls its request.
    IdempotencyKey,
    /// What seals a kept answer.
    SealedAnswer,
    /// The cookie of a signed-in browser.
    Session,
    /// An access code.
    AccessCode,
    /// An invitation's secret.
    Invitation,
    /// What a device's SOCKS5 password is made from.
    Socks5Password,
    /// The key by which a node knows the control plane.
    Probe,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Token => b"token\0",
            Self::IdempotencyKey => b"idempotency-key\0",
            Self::SealedAnswer => b"sealed-answer\0",
            Self::Session => b"session\0",
            Self::AccessCode => b"access-code\0",
            Self::Invitation => b"invitation\0",
            Self::Socks5Password => b"socks5-password\0",
            Self::Probe => b"probe\0",
        }
    }
}

/// The name of the reports log: the record log's with `/reports`.
#[must_use]
pub fn reports_origin(record: &Origin) -> String {
    format!("{record}/reports")
}

fn key_name(role: KeyRole, origin: &Origin) -> String {
    match role {
        KeyRole::Log => origin.to_string(),
        KeyRole::Statement => format!("{origin}/statement"),
    }
}

fn key_file(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Log => LOG_KEY_FILE,
        KeyRole::Statement => STATEMENT_KEY_FILE,
    }
}

fn next_file(role: KeyRole) -> String {
    format!("{}.next", key_file(role))
}

impl Keys {
    /// Opens the keys in `folder`, and makes those that are missing. Only for a control plane that has signed nothing yet.
    ///
    /// # Errors
    /// Whatever the file system refuses, or a file that is no key.
    pub fn open_or_make(folder: &Path, origin: &Origin) -> Result<Self, KeyError> {
        file::make_folder(folder, Readers::Owner)?;
        for name in [LOG_KEY_FILE, STATEMENT_KEY_FILE, SERVER_SECRET_FILE] {
            let path = folder.join(name);
            if file::read_if_there(&path, MAX_KEY_FILE_BYTES)?.is_none() {
                let text = format!("{}\n", BASE64.encode(&random::bytes::<32>()));
                file::write_whole(&path, text.as_bytes(), Readers::Owner)?;
            }
        }
        Self::open(folder, origin)
    }

    /// The key that signs a log's checkpoints, by that log's name.
    #[must_use]
    pub fn of_log(&self, log: Log) -> &SigningKey {
        match log {
            Log::Record => &self.record,
            Log::Reports => &self.reports,
        }
    }

    /// Opens the keys in `folder`.
    ///
    /// # Errors
    /// A missing file, or one that is no key.
    pub fn open(folder: &Path, origin: &Origin) -> Result<Self, KeyError> {
        let log_seed = read_seed(folder.join(LOG_KEY_FILE))?;
        Ok(Self {
            record: SigningKey::new(origin.as_str(), log_seed)?,
            reports: SigningKey::new(&reports_origin(origin), log_seed)?,
            statement: SigningKey::new(
                &key_name(KeyRole::Statement, origin),
                read_seed(folder.join(STATEMENT_KEY_FILE))?,
            )?,
            secret: read_seed(folder.join(SERVER_SECRET_FILE))?,
        })
    }

    /// Makes the key that is to follow the present one in its role; one that is there already is kept.
    ///
    /// # Errors
    /// Whatever the file system refuses, or a file that is no key.
    pub fn make_next(role: KeyRole, folder: &Path, origin: &Origin) -> Result<SigningKey, KeyError> {
        let path = folder.join(next_file(role));
        if file::read_if_there(&path, MAX_KEY_FILE_BYTES)?.is_none() {
            let text = format!("{}\n", BASE64.encode(&random::bytes::<32>()));
            file::write_whole(&path, text.as_bytes(), Readers::Owner)?;
        }
        Ok(SigningKey::new(&key_name(role, origin), read_seed(path)?)?)
    }

    /// The key that is to follow the present one in its role, where there is one. The log key has its name in the record.
    ///
    /// # Errors
    /// Whatever the file system refuses, or a file that is no key.
    pub fn next(role: KeyRole, folder: &Path, origin: &Origin) -> Result<Option<SigningKey>, KeyError> {
        let path = folder.join(next_file(role));
        match file::read_if_there(&path, MAX_KEY_FILE_BYTES)? {
            None => Ok(None),
            Some(_) => Ok(Some(SigningKey::new(&key_name(role, origin), read_seed(path)?)?)),
        }
    }

    /// Puts the next key of a role in the place of the present one, which is kept beside it with `.former` behind its name.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn take_next(role: KeyRole, folder: &Path) -> Result<(), KeyError> {
        let present = folder.join(key_file(role));
        if let Some(text) = file::read_if_there(&present, MAX_KEY_FILE_BYTES)? {
            let former = folder.join(format!("{}.former", key_file(role)));
            file::write_whole(&former, text.as_bytes(), Readers::Owner)?;
        }
        std::fs::rename(folder.join(next_file(role)), present)?;
        Ok(())
    }

    /// HMAC-SHA256 under the server's secret: what the database holds in place of a token or code, so that the database
    /// alone lets nobody in, and looking one up takes a time that says nothing about it.
    #[must_use]
    pub fn hash(&self, purpose: Purpose, secret: &str) -> Hash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(purpose.label());
        mac.update(secret.as_bytes());
        Hash(mac.finalize().into_bytes().into())
    }

    /// The WireGuard key by which a node knows the control plane; each node knows another.
    #[must_use]
    pub fn probe(&self, node: &NodeId) -> WireGuardPrivateKey {
        self.hash(Purpose::Probe, node.as_str()).0.into()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("record", &self.record)
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

fn read_seed(path: PathBuf) -> Result<[u8; 32], KeyError> {
    let shown = path.display().to_string();
    let text = file::read_if_there(&path, MAX_KEY_FILE_BYTES)?
        .ok_or_else(|| KeyError::Missing { path: shown.clone() })?;
    BASE64
        .decode(text.trim_end().as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(KeyError::Form { path: shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        "grants.example/record".parse().unwrap()
    }

    #[test]
    fn keys_are_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = Keys::open_or_make(folder.path(), &origin()).unwrap();
        let found = Keys::open(folder.path(), &origin()).unwrap();
        assert_eq!(made.record.verifier(), found.record.verifier());
        assert_eq!(made.statement.verifier(), found.statement.verifier());
        assert_eq!(made.hash(Purpose::Token, "a"), found.hash(Purpose::Token, "a"));
        assert_eq!(made.record.verifier().public_key(), made.reports.verifier().public_key());
        assert_ne!(made.record.verifier().public_key(), made.statement.verifier().public_key());
    }

    #[test]
    fn a_token_is_never_taken_for_a_code() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open_or_make(folder.path(), &origin()).unwrap();
        assert_ne!(keys.hash(Purpose::Token, "a"), keys.hash(Purpose::AccessCode, "a"));
    }

    #[test]
    fn a_missing_or_damaged_key_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Keys::open(folder.path(), &origin()).unwrap_err().to_string().contains("log.key"));
        Keys::open_or_make(folder.path(), &origin()).unwrap();
        std::fs::write(folder.path().join("statement.key"), "c2hvcnQ=").unwrap();
        assert!(Keys::open(folder.path(), &origin()).unwrap_err().to_string().contains("statement.key"));
    }

    #[test]
    fn no_debug_line_shows_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let shown = format!("{:?}", Keys::open_or_make(folder.path(), &origin()).unwrap());
        for name in [LOG_KEY_FILE, STATEMENT_KEY_FILE, SERVER_SECRET_FILE] {
            let secret = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!shown.contains(secret.trim()), "{name}");
        }
    }
}
