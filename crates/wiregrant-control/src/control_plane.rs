//! `ControlPlane`: what every handler and job works on, and how it comes up from its data folder.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use transparency_log::EMPTY_ROOT;
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_store::{Log, Store};

use crate::catch_up::{Behind, WAY_OUT};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::Config;
use crate::continued::Continued;
use crate::cosignatures::Cosigners;
use crate::figures::Figures;
use crate::file::{self, Readers};
use crate::identities::Identities;
use crate::keys::Keys;
use crate::log_keys::LogKeys;
use crate::nonces::Nonces;
use crate::processors::Processors;
use crate::recording::{self, Recording};
use crate::redemptions::Redemptions;
use crate::remembered::Remembered;
use crate::sats_ledger;
use crate::sequencer::{self, Queue, Submission};
use crate::told::Told;
use crate::visits::{self, Visit, Visits};
use crate::{bootstrap, hearing, jobs, leadership, probe, publisher, settlement, write_back};

/// Names of settings in the database: what it was made as, and what it may never be opened as something else.
pub const SETTING_ORIGIN: &str = "origin";
const SETTING_NETWORK: &str = "network";
/// Which key signs checkpoints: whoever appends to a log compares it with their own.
pub const SETTING_LOG_KEY: &str = "log_vkey";
/// Which key signs statements: whoever writes to the record compares it with their own.
pub const SETTING_STATEMENT_KEY: &str = "statement_vkey";

/// A control plane that is up.
pub struct ControlPlane {
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
    /// The keys that have signed its logs.
    pub log_keys: LogKeys,
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
    /// How much may be asked for with each access code.
    pub redemptions: Redemptions,
    /// What pages read again and again.
    pub remembered: Remembered,
    /// Where signed requests wait to be taken.
    pub visits: Visits,
    /// Who the nodes are that asked lately.
    pub identities: Arc<Identities>,
    /// Where signatures are checked.
    pub processors: Processors,
    /// What it has done.
    pub figures: Arc<Figures>,
    /// Whether this replica does the jobs.
    pub leading: watch::Sender<bool>,
    /// The witnesses that cosign what is published.
    pub cosigners: Cosigners,
    /// The origins that this one goes on from.
    pub continued: Continued,
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
        store.mark_if_restored().await.context("database")?;
        ensure!(Behind::of(&mut store.read().await?).await?.is_none(), "database: {WAY_OUT}");
        // Asked first: under another name nothing in it is signed.
        if let Some(made) = store.read().await?.setting(SETTING_ORIGIN).await? {
            let given = config.origin.as_str();
            ensure!(
                made == given,
                "origin: the database was made with {made:?}, this is {given:?}; choose the origin it was made with, or another database"
            );
        }
        let keys = open_keys(&config, &store).await?;
        let log_keys = LogKeys::read(&mut store.read().await?, &keys).await.context("database")?;
        let leading = watch::Sender::new(!store.is_shared());
        let continued =
            Continued::read(&mut store.read().await?, &config.origin, &log_keys).await.map_err(failed)?;
        let (queue, waiting) = sequencer::queue();
        let (visits, visiting) = visits::queue();
        let identities = Arc::<Identities>::default();
        let mut plane = Self {
            cosigners: Cosigners::new(&config.witnesses),
            continued,
            config,
            keys,
            log_keys,
            store,
            clock,
            reports: queue,
            changes: Changes::with(Arc::clone(&identities)),
            told: Told::default(),
            nonces: Nonces::default(),
            redemptions: Redemptions::default(),
            remembered: Remembered::default(),
            visits,
            identities,
            processors: Processors::default(),
            figures: Arc::default(),
            leading,
            publish: Notify::new(),
            settle: Notify::new(),
            pages_are_stale: AtomicBool::new(true),
            closing: Mutex::new(()),
            stop: watch::Sender::new(false),
        };
        publisher::refuse_another_log(&plane).await.context("public_dir")?;
        plane.first_start().await?;
        plane.take_next_statement_key().await?;
        plane.take_next_log_key().await?; // last: what is published next has the lines of both keys
        let plane = Arc::new(plane);
        bootstrap::hand_out(&plane.config, &plane.keys, &plane.store, &plane.clock).await?;
        sats_ledger::catch_up(&plane.store, plane.clock.now()).await.map_err(failed).context("ledger")?;
        publisher::reconcile(&plane).await.context("public_dir")?;
        plane.publish.notify_one(); // what witnesses have not cosigned yet
        let tasks = plane.clone().work(waiting, visiting);
        Ok((plane, tasks))
    }

    fn work(
        self: Arc<Self>,
        waiting: mpsc::UnboundedReceiver<Submission>,
        visiting: mpsc::Receiver<Visit>,
    ) -> Tasks {
        let mut tasks = JoinSet::new();
        tasks.spawn(visits::run(self.clone(), visiting));
        tasks.spawn(leadership::run(self.clone()));
        if self.store.is_shared() {
            tasks.spawn(hearing::run(self.clone()));
        }
        tasks.spawn(sequencer::run(self.clone(), waiting));
        tasks.spawn(publisher::run(self.clone()));
        if let Some(pause) = self.store.write_back_pause() {
            tasks.spawn(write_back::run(self.clone(), pause));
        }
        tasks.spawn(probe::run(self.clone()));
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

    /// Whether this replica does the jobs: ask before each piece of work that one replica does for all.
    #[must_use]
    pub fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    /// Whether [`Self::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Removes the file of the token that signs in once, which has.
    pub fn forget_bootstrap_file(&self) {
        bootstrap::forget(&self.config);
    }

    /// Tells all tasks and waiting requests to end; what was taken in is still written.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.changes.of_all();
    }

    /// Brings the next statement key into use, where there is one: logged first, under a checkpoint of the log key, and then put in the
    /// present one's place.
    async fn take_next_statement_key(&mut self) -> anyhow::Result<()> {
        let folder = self.config.data_dir.join("keys");
        let Some(next) = Keys::next(KeyRole::Statement, &folder, &self.config.origin)? else { return Ok(()) };
        let vkey = next.verifier().to_string();
        let mut recording = Recording::begin(self).await.map_err(failed)?;
        recording.write.put_setting(SETTING_STATEMENT_KEY, &vkey).await?;
        recording.log(RecordEntry::Key { role: KeyRole::Statement, vkey: vkey.clone() });
        recording.commit_as(&vkey).await.map_err(failed)?;
        Keys::take_next(KeyRole::Statement, &folder)?;
        self.keys.statement = next;
        tracing::warn!(%vkey, "statements are signed by another key from here on; keep a copy of the keys folder offline");
        Ok(())
    }

    /// Brings the next log key into use, where there is one: the present one signs the record once more, with the entry that names
    /// the next, and from then on the next one signs both logs.
    async fn take_next_log_key(&mut self) -> anyhow::Result<()> {
        let folder = self.config.data_dir.join("keys");
        let Some(next) = Keys::next(KeyRole::Log, &folder, &self.config.origin)? else { return Ok(()) };
        let vkey = next.verifier().to_string();
        ensure!(
            !self.log_keys.of(Log::Record).contains(&next.verifier()),
            "keys/log.key.next: {vkey} was a log key before, and nobody follows back to it; delete the file and run \
             `wiregrant-control next-log-key`"
        );
        let mut write = self.store.write().await?;
        // Another replica may have been started with the same keys folder a moment ago.
        if write.setting(SETTING_LOG_KEY).await?.as_ref() != Some(&vkey) {
            let entry = RecordEntry::Key { role: KeyRole::Log, vkey: vkey.clone() }.to_string();
            recording::append(&mut write, Log::Record, &self.keys, &[entry]).await.map_err(failed)?;
            write.put_setting(SETTING_LOG_KEY, &vkey).await?;
            write.commit().await?;
        }
        Keys::take_next(KeyRole::Log, &folder)?;
        self.keys = Keys::open(&folder, &self.config.origin)?;
        self.log_keys = LogKeys::read(&mut self.store.read().await?, &self.keys).await?;
        let mut read = self.store.read().await?;
        self.continued =
            Continued::read(&mut read, &self.config.origin, &self.log_keys).await.map_err(failed)?;
        tracing::warn!(%vkey, "both logs are signed by another key from here on; keep a copy of the keys folder offline");
        Ok(())
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
            recording.write.put_setting(publisher::SETTING_REPORTS_NAMED, "0").await?;
            return recording.commit().await.map_err(failed);
        }
        for (name, value, way_out) in settings {
            let stored = recording.write.setting(name).await?.unwrap_or_default();
            if stored != *value {
                bail!("{name}: the database was made with {stored:?}, this is {value:?}; {way_out}");
            }
        }
        // Earlier versions published every report at once: what is public stays public.
        if recording.write.setting(publisher::SETTING_REPORTS_NAMED).await?.is_none() {
            let newest = recording.write.newest_checkpoint(Log::Reports).await?.map_or(0, |(size, _)| size);
            recording.write.put_setting(publisher::SETTING_REPORTS_NAMED, &newest.to_string()).await?;
            return recording.commit().await.map_err(failed);
        }
        Ok(())
    }
}

/// The keys of the control plane whose database this is. A database that knows its keys is never given new ones.
///
/// # Errors
/// Keys that are not there or cannot be read.
pub async fn open_keys(config: &Config, store: &Store) -> anyhow::Result<Keys> {
    let folder = config.data_dir.join("keys");
    let mut read = store.read().await?;
    let known = read.setting(SETTING_LOG_KEY).await?.is_some();
    for (role, setting) in [(KeyRole::Log, SETTING_LOG_KEY), (KeyRole::Statement, SETTING_STATEMENT_KEY)] {
        if let (Some(next), Some(logged)) =
            (Keys::next(role, &folder, &config.origin)?, read.setting(setting).await?)
            && next.verifier().to_string() == logged
        {
            Keys::take_next(role, &folder)?; // a start was cut off after it was logged
        }
    }
    drop(read);
    let keys =
        if known { Keys::open(&folder, &config.origin) } else { Keys::open_or_make(&folder, &config.origin) };
    Ok(keys?)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(failure: crate::error::Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}
