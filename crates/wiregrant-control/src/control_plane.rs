//! `ControlPlane`: what every handler and job works on, and how it comes up from its data folder.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use transparency_log::EMPTY_ROOT;
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_store::{Log, Party, Store};

use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::Config;
use crate::file::{self, Readers};
use crate::keys::{Keys, Purpose};
use crate::nonces::Nonces;
use crate::recording::{self, Recording};
use crate::sequencer::{self, Queue, Submission};
use crate::told::Told;
use crate::{jobs, publisher, settlement, sign_in};

/// Names of settings in the database: what it was made as, and what it may never be opened as something else.
const SETTING_ORIGIN: &str = "origin";
const SETTING_NETWORK: &str = "network";
const SETTING_LOG_KEY: &str = "log_vkey";
const SETTING_STATEMENT_KEY: &str = "statement_vkey";
/// Set once the administrator has a token.
const SETTING_ADMINISTRATOR: &str = "administrator";
const ADMIN_TOKEN_FILE: &str = "admin.token";
const MAX_TOKEN_FILE_BYTES: u64 = 200;

/// A control plane that is up.
pub struct ControlPlane {
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
    /// Its database.
    pub store: Store,
    /// Its clock.
    pub clock: Clock,
    /// Where reports wait to be written.
    pub reports: Queue,
    /// Which nodes' desired states have changed.
    pub changes: Changes,
    /// What nodes were told of them last.
    pub told: Told,
    /// Which signed requests were taken lately.
    pub nonces: Nonces,
    /// Wakes the publisher.
    pub publish: Notify,
    /// Wakes whoever follows the chain.
    pub settle: Notify,
    /// A statement, a batch or terms were written since the pages were rendered.
    pub pages_are_stale: AtomicBool,
    /// Held while an epoch is closed or a batch is made, so that none is made twice side by side.
    pub closing: Mutex<()>,
    stop: watch::Sender<bool>,
}

/// How handlers hold it.
pub type Shared = Arc<ControlPlane>;

/// What works beside the handlers, until told to stop.
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Resolves when one has ended, which none does before it is told to: the control plane cannot do its work without it.
    pub async fn one_ended(&mut self) {
        if let Some(Err(error)) = self.0.join_next().await {
            tracing::error!(%error, "a task ended by a panic");
        }
    }

    /// Waits until all have ended.
    pub async fn ended(mut self) {
        while !self.0.is_empty() {
            self.one_ended().await;
        }
    }
}

impl ControlPlane {
    /// Opens the database and the keys, makes them on the first start, and puts the tasks to work.
    ///
    /// # Errors
    /// Whatever keeps it from working as the control plane its database was made as.
    pub async fn open(config: Config, clock: Clock) -> anyhow::Result<(Shared, Tasks)> {
        file::make_folder(&config.data_dir, Readers::Owner).context("data_dir")?;
        file::make_folder(&config.public_dir, Readers::Everyone).context("public_dir")?;
        let store = Store::open(&config.database).await.context("database")?;
        let keys = open_keys(&config, &store).await?;
        let (queue, waiting) = sequencer::queue();
        let plane = Arc::new(Self {
            config,
            keys,
            store,
            clock,
            reports: queue,
            changes: Changes::default(),
            told: Told::default(),
            nonces: Nonces::default(),
            publish: Notify::new(),
            settle: Notify::new(),
            pages_are_stale: AtomicBool::new(true),
            closing: Mutex::new(()),
            stop: watch::Sender::new(false),
        });
        publisher::refuse_another_log(&plane).await.context("public_dir")?;
        plane.first_start().await?;
        plane.hand_out_administrators_token().await?;
        publisher::reconcile(&plane).await.context("public_dir")?;
        let tasks = plane.clone().work(waiting);
        Ok((plane, tasks))
    }

    fn work(self: Arc<Self>, waiting: mpsc::Receiver<Submission>) -> Tasks {
        let mut tasks = JoinSet::new();
        tasks.spawn(sequencer::run(self.clone(), waiting));
        tasks.spawn(publisher::run(self.clone()));
        if let Some(chain) = self.config.chain.clone() {
            tasks.spawn(settlement::run(self.clone(), chain));
        }
        tasks.spawn(jobs::run(self));
        Tasks(tasks)
    }

    /// Resolves once [`Self::stop`] was called.
    pub fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            let _ = stop.wait_for(|stop| *stop).await; // an error: the control plane itself is gone
        }
    }

    /// Whether [`Self::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Tells all tasks and waiting requests to end; what was taken in is still written.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.changes.of_all();
    }

    /// The record's first entries and both logs' first checkpoints, in one transaction with the settings.
    async fn first_start(&self) -> anyhow::Result<()> {
        let (origin, network) = (self.config.origin.to_string(), self.config.network.to_string());
        let log_key = self.keys.record.verifier().to_string();
        let statement_key = self.keys.statement.verifier().to_string();
        let settings = [
            (SETTING_ORIGIN, &origin, "choose the origin it was made with, or another database"),
            (SETTING_NETWORK, &network, "choose the network it was made for, or another database"),
            (SETTING_LOG_KEY, &log_key, "restore keys/log.key from its backup"),
            (SETTING_STATEMENT_KEY, &statement_key, "restore keys/statement.key from its backup"),
        ];
        let mut recording = Recording::begin(self).await.map_err(failed)?;
        if recording.write.setting(SETTING_ORIGIN).await?.is_none() {
            for (name, value, _) in settings {
                recording.write.put_setting(name, value).await?;
            }
            recording.log(RecordEntry::Key { role: KeyRole::Log, vkey: log_key });
            recording.log(RecordEntry::Key { role: KeyRole::Statement, vkey: statement_key });
            let empty = recording::checkpoint(&self.keys.reports, 0, EMPTY_ROOT).map_err(failed)?;
            recording.write.put_checkpoint(Log::Reports, 0, &empty).await?;
            return recording.commit().await.map_err(failed);
        }
        for (name, value, way_out) in settings {
            let stored = recording.write.setting(name).await?.unwrap_or_default();
            if stored != *value {
                bail!("{name}: the database was made with {stored:?}, this is {value:?}; {way_out}");
            }
        }
        Ok(())
    }

    /// The administrator's token: made on the first start, written to a file that only the owner may read. The file comes
    /// before the database's row, so that a crash between the two leaves a token that works after the next start.
    async fn hand_out_administrators_token(&self) -> anyhow::Result<()> {
        let path = self.config.data_dir.join(ADMIN_TOKEN_FILE);
        let mut write = self.store.write().await?;
        let token = match file::read_if_there(&path, MAX_TOKEN_FILE_BYTES)? {
            Some(token) => token.trim().to_owned(),
            // Whoever keeps the token elsewhere may delete the file; it is not made again.
            None if write.setting(SETTING_ADMINISTRATOR).await?.is_some() => return Ok(()),
            None => {
                let token = sign_in::new_token(&Party::Administrator);
                file::write_whole(&path, format!("{token}\n").as_bytes(), Readers::Owner)?;
                token
            }
        };
        let hash = self.keys.hash(Purpose::Token, &token);
        if write.party_of_token(hash).await?.is_none() {
            write.insert_token(hash, &Party::Administrator, self.clock.now()).await?;
            write.put_setting(SETTING_ADMINISTRATOR, "has a token").await?;
            write.commit().await?;
            tracing::info!(file = %path.display(), "the administrator's token");
        }
        Ok(())
    }
}

/// A database that knows its keys is never given new ones.
async fn open_keys(config: &Config, store: &Store) -> anyhow::Result<Keys> {
    let folder = config.data_dir.join("keys");
    let known = store.read().await?.setting(SETTING_LOG_KEY).await?.is_some();
    let keys =
        if known { Keys::open(&folder, &config.origin) } else { Keys::open_or_make(&folder, &config.origin) };
    Ok(keys?)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(failure: crate::error::Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}
