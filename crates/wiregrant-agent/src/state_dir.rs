//! The state directory: the node's keys, its enrolment, its journal, and the lock that lets one agent at a time run on it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use transparency_log::SigningKey;
use wiregrant_core::WireGuardPrivateKey;
use zeroize::Zeroizing;

use crate::enrolment::Enrolment;
use crate::journal::sync_folder;

/// Where it lies unless said otherwise.
pub const DEFAULT: &str = "/var/lib/wiregrant-agent";
/// The longest file that is read, but for the journal. 65,536 desired peers take under 16 MiB.
const MAX_FILE_BYTES: u64 = 32 << 20;

/// How often a lock that is taken is tried again, and the pause before: two seconds in all.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

const IDENTITY_KEY: &str = "identity.key";
const NEXT_IDENTITY_KEY: &str = "identity.key.next";
const WIREGUARD_KEY: &str = "wireguard.key";
const NODE: &str = "node.json";

/// The directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while an agent works on a state directory; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateDir {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the directory, readable by its owner only.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(&self) -> anyhow::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .and_then(|()| fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)))
            .with_context(|| {
                format!("--state-dir {}: cannot be made; run as root or choose another", self.path.display())
            })
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The journal's path.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.file("journal")
    }

    /// The path of the acknowledged reports with their proofs.
    #[must_use]
    pub fn acknowledgements(&self) -> PathBuf {
        self.file("acknowledgements")
    }

    /// The path of what the control plane wants.
    #[must_use]
    pub fn wanted(&self) -> PathBuf {
        self.file("wanted")
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// When another agent has it.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.file("lock");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| leave_to_owner_of_folder(&file, &path).map(|()| file))
            .with_context(|| format!("{}: cannot be opened; run as root", path.display()))?;
        let mut locked = file.try_lock();
        for _ in 0..LOCK_TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            // A program that a killed agent was about to begin has the lock too, until it begins.
            sleep(LOCK_PAUSE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "--state-dir {}: another wiregrant-agent works on it; stop that one first (two would sign two \
                 reports under one number)",
                self.path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{}: cannot be locked", path.display()))
            }
        }
    }

    /// Whether an agent has the lock. Asking takes none: the system's table of locks is read.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn is_locked(&self) -> anyhow::Result<bool> {
        let Ok(metadata) = fs::metadata(self.file("lock")) else { return Ok(false) };
        let inode = format!(":{}", metadata.ino());
        let locks = fs::read_to_string("/proc/locks").context("/proc/locks: cannot be read")?;
        Ok(locks
            .lines()
            .any(|line| line.contains("FLOCK") && line.split(' ').any(|word| word.ends_with(&inode))))
    }

    /// What `node.json` says; `None` before the node has joined.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn enrolment(&self) -> anyhow::Result<Option<Enrolment>> {
        self.read_json(NODE)
    }

    /// What `node.json` says.
    ///
    /// # Errors
    /// When the node has not joined, or the file cannot be read.
    pub fn joined(&self) -> anyhow::Result<Enrolment> {
        self.enrolment()?.with_context(|| {
            format!(
                "--state-dir {}: this node has not joined; run `wiregrant-agent join <invitation>` first",
                self.path.display()
            )
        })
    }

    /// Writes `node.json`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_enrolment(&self, enrolment: &Enrolment) -> anyhow::Result<()> {
        self.write_json(NODE, enrolment)
    }

    /// The node's identity key under a name; made if there is none.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn identity_key(&self, name: &str) -> anyhow::Result<SigningKey> {
        Ok(SigningKey::new(name, *self.key(IDENTITY_KEY)?)?)
    }

    /// The identity key that is to follow the present one, under a name; made if there is none.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn next_identity_key(&self, name: &str) -> anyhow::Result<SigningKey> {
        Ok(SigningKey::new(name, *self.key(NEXT_IDENTITY_KEY)?)?)
    }

    /// Whether there is a key that is to follow the present one.
    #[must_use]
    pub fn has_next_identity_key(&self) -> bool {
        self.file(NEXT_IDENTITY_KEY).exists()
    }

    /// Puts the next identity key in the place of the present one.
    ///
    /// # Errors
    /// When the file system refuses; then the present one is still there.
    pub fn take_next_identity_key(&self) -> anyhow::Result<()> {
        let (next, path) = (self.file(NEXT_IDENTITY_KEY), self.file(IDENTITY_KEY));
        fs::rename(&next, &path)
            .and_then(|()| sync_folder(&path))
            .with_context(|| format!("{}: cannot be replaced", path.display()))
    }

    /// The node's WireGuard key; made if there is none.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn wireguard_key(&self) -> anyhow::Result<WireGuardPrivateKey> {
        Ok(WireGuardPrivateKey::from(*self.key(WIREGUARD_KEY)?))
    }

    /// 32 secret bytes in padded base64, as `wg genkey` prints them.
    fn key(&self, name: &str) -> anyhow::Result<Zeroizing<[u8; 32]>> {
        let path = self.file(name);
        if let Some(text) = self.read(name)? {
            let text = Zeroizing::new(text);
            let bytes = BASE64.decode(text.trim_ascii_end()).ok().map(Zeroizing::new);
            let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
            return key.map(Zeroizing::new).with_context(|| {
                format!("{}: not 32 bytes in base64; restore the file from a backup", path.display())
            });
        }
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).context("the system has no randomness")?;
        let text = Zeroizing::new(BASE64.encode(&*key) + "\n");
        self.write(name, text.as_bytes())?;
        Ok(key)
    }

    /// A JSON file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{}: cannot be understood", self.file(name).display()))
    }

    /// Replaces a JSON file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        self.write(name, &serde_json::to_vec_pretty(value)?)
    }

    /// Writes a JSON file over the one that is there, which needs no room of its own and leaves a broken file where it is
    /// interrupted: for what is of use only while it is fresh.
    ///
    /// # Errors
    /// When there is none, or the file system refuses.
    pub fn overwrite_json<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(value)?;
        let mut file = OpenOptions::new().write(true).open(self.file(name))?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        Ok(())
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.file(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                bail!("{}: {} bytes, at most {MAX_FILE_BYTES} are read", path.display(), metadata.len())
            }
            Ok(_) => fs::read(&path)
                .map(Some)
                .with_context(|| format!("{}: cannot be read; run as root", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("{}: cannot be read; run as root", path.display()))
            }
        }
    }

    /// Replaces a file so that a crash leaves the old one or the new one.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.file(name);
        let fresh = self.file(&format!("{name}.new"));
        let written = (|| {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            leave_to_owner_of_folder(&file, &fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            sync_folder(&path)
        })();
        if written.is_err() {
            // On a full disk, half a file takes the room that the journal waits for.
            let _ = fs::remove_file(&fresh);
        }
        written.with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// Gives what root made to the owner of its folder: `join` and `down` are run by root, and a service without its rights goes
/// on with what they left.
pub(crate) fn leave_to_owner_of_folder(file: &File, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (file_is, folder_is) = (file.metadata()?, fs::metadata(folder)?);
    if file_is.uid() == 0 && folder_is.uid() != 0 {
        fchown(file, Some(folder_is.uid()), Some(folder_is.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(&folder.path().join("state"));
        dir.create().unwrap();
        let first = dir.wireguard_key().unwrap();
        assert_eq!(dir.wireguard_key().unwrap().as_bytes(), first.as_bytes());
        let identity = dir.identity_key("a").unwrap().verifier();
        assert_eq!(dir.identity_key("a").unwrap().verifier(), identity);
        for (name, mode) in [("", 0o700), (IDENTITY_KEY, 0o600), (WIREGUARD_KEY, 0o600)] {
            let found = fs::metadata(dir.file(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}");
        }
    }

    #[test]
    fn a_spoilt_key_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        fs::write(dir.file(WIREGUARD_KEY), "c2hvcnQ=\n").unwrap();
        let error = dir.wireguard_key().unwrap_err().to_string();
        assert!(error.contains("wireguard.key") && !error.contains("c2hvcnQ"), "{error}");
        assert_eq!(fs::read(dir.file(WIREGUARD_KEY)).unwrap(), b"c2hvcnQ=\n");
    }

    #[test]
    fn one_agent_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        let lock = dir.lock().unwrap();
        let error = dir.lock().unwrap_err().to_string();
        assert!(error.contains("another wiregrant-agent"), "{error}");
        assert!(dir.is_locked().unwrap());
        drop(lock);
        assert!(!dir.is_locked().unwrap());
        assert!(dir.lock().is_ok());
    }
}
