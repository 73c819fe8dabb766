//! Catching up: a database that was restored from a backup, or that is older than what was published, signs nothing before it has
//! all that was signed with its keys. Otherwise it would sign another entry at a place where somebody holds a proof of the first.
//!
//! Two steps lead there. **Import**: what was published of both logs is taken over from the newest copies there are, checked
//! against their signed checkpoints and against the database's own beginning, and no further than any configured witness has seen.
//! **Receipts**: the reports log is published only as far as a statement names it, and acknowledged much further. So each node is
//! asked for the acknowledgements it holds beyond that (`service`); they are signed proofs, and together they are the tail of the
//! log (`receipts`). Once no node is waited for and the tail gives the signed roots, the control plane opens. Nodes then send
//! the reports again whose entries are there, and each gets the place it had.

mod decisions;
mod handed_over;
mod receipts;
mod service;
mod source;

use std::fmt;

use anyhow::{Context, bail, ensure};
use transparency_log::{
    Checkpoint, TILE_WIDTH, consistency_proof, consistency_tiles, root_tiles, tree_root, verify_consistency,
};
use wiregrant_core::NodeId;
use wiregrant_core::record::{KeyRole, parse_report_entry};
use wiregrant_store::{AwaitedReport, BEHIND_RESTORED, Log, Read, SETTING_BEHIND, Store, Write};

use crate::clock::Clock;
use crate::config::Config;
use crate::control_plane::{SETTING_LOG_KEY, open_keys};
use crate::cosignatures::Cosigners;
use crate::keys::Keys;
use crate::log_keys::LogKeys;
use crate::publisher::SETTING_REPORTS_NAMED;
use crate::random;

pub use receipts::Waiting;
pub use service::{Asking, Waited, router, still_waiting, wait_for_nodes};
pub use source::{Shown, Source};

/// How far the database is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// It was restored, and nothing was imported yet.
    Restored,
    /// What was published is imported, and nodes are asked for what they hold beyond it. The word tells this time from others.
    Nodes(String),
}

const NODES: &str = "nodes ";

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored => f.write_str(BEHIND_RESTORED),
            Self::Nodes(word) => write!(f, "{NODES}{word}"),
        }
    }
}

impl Behind {
    /// How far this database is behind; `None` where it is not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of(read: &mut Read) -> Result<Option<Self>, wiregrant_store::StoreError> {
        Ok(read.behind().await?.map(|value| match value.strip_prefix(NODES) {
            Some(word) => Self::Nodes(word.to_owned()),
            None => Self::Restored,
        }))
    }
}

/// Why nothing may be signed with this database, and the way out.
pub const WAY_OUT: &str = "it was restored from a backup, and signs nothing before it has what was signed after that: run \
     `wiregrant-control catch-up`, with --from for each copy of the public folder that may be newer than public_dir";

/// Imports what was published, from each place in `from`, or from `public_dir` where none is given and nothing was imported yet;
/// goes on without the nodes in `without`.
///
/// # Errors
/// A place that cannot be read or shows another history; a witness that has seen more; whatever the database refuses. Then nothing
/// has happened.
pub async fn run(config: &Config, from: &[String], without: &[NodeId]) -> anyhow::Result<()> {
    let store = Store::open(&config.database).await.context("database")?;
    store.mark_if_restored().await.context("database")?;
    let keys = Keys::open(&config.data_dir.join("keys"), &config.origin)?;
    let is_imported = matches!(Behind::of(&mut store.read().await?).await?, Some(Behind::Nodes(_)));
    if (!from.is_empty() || !is_imported) && !import(config, &store, &keys, from).await? {
        return Ok(());
    }
    let keys = open_keys(config, &store).await?; // as the record names them by now
    let mut write = store.write().await?;
    for node in without {
        write.put_heard_node(node).await?;
    }
    write.commit().await?;
    let waiting = receipts::try_to_end(&store, &keys).await?;
    tell(waiting.as_ref());
    store.close().await;
    Ok(())
}

/// Imports the newest copy of each log; `false` where the database has all of it and is not behind.
async fn import(config: &Config, store: &Store, keys: &Keys, from: &[String]) -> anyhow::Result<bool> {
    let public_dir = config.public_dir.display().to_string();
    let places: Vec<&str> =
        if from.is_empty() { vec![&public_dir] } else { from.iter().map(String::as_str).collect() };
    let sources: Vec<Source> = places.into_iter().map(Source::new).collect();
    let next = Keys::next(KeyRole::Log, &config.data_dir.join("keys"), &config.origin)?;
    let log_keys = LogKeys::read(&mut store.read().await?, keys).await?.and(next.as_ref())?;
    let published = [
        Published::newest(&sources, Log::Record, &log_keys)?,
        Published::newest(&sources, Log::Reports, &log_keys)?,
    ];
    ask_witnesses(config, store, &log_keys, &published).await?;
    let mut write = store.write().await?;
    ensure!(
        write.setting("origin").await?.is_some(),
        "database: nothing was written in it yet; there is nothing to restore"
    );
    let behind = Behind::of(&mut write).await?;
    let is_ahead =
        published.iter().any(|published| published.shown.checkpoint.size > write.size(published.log));
    for published in &published {
        published.import(&mut write, &sources, &Clock::System).await?;
    }
    let signs = write.setting(SETTING_LOG_KEY).await?.unwrap_or_default();
    let at_hand = [Some(keys.record.verifier()), next.map(|next| next.verifier())];
    ensure!(
        at_hand.iter().flatten().any(|key| key.to_string() == signs),
        "keys: the record names {signs} as the key that signs now, which is neither keys/log.key nor keys/log.key.next; restore the \
         keys folder from a backup that has it. If it is lost, only a new log can follow"
    );
    if behind.is_none() && !is_ahead {
        println!(
            "the database has all that is published at {}; there is nothing to catch up with",
            listed(&sources)
        );
        return Ok(false);
    }
    if !matches!(behind, Some(Behind::Nodes(_))) {
        write.forget_receipts().await?;
        let word: String = random::bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        write.put_setting(SETTING_BEHIND, &Behind::Nodes(word).to_string()).await?;
    }
    write.commit().await?;
    Ok(true)
}

fn tell(waiting: Option<&Waiting>) {
    match waiting {
        None => {
            println!("caught up     nothing is waited for");
            println!("next          wiregrant-control serve");
        }
        Some(waiting) => {
            println!("waiting for   {waiting}");
            println!(
                "next          wiregrant-control serve: it takes what nodes hold, and signs once it has all of it"
            );
        }
    }
}

fn listed(sources: &[Source]) -> String {
    sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One log as the source shows it that has most of it.
struct Published {
    log: Log,
    /// Which of the sources.
    at: usize,
    shown: Shown,
    /// As the others show it.
    others: Vec<(usize, Shown)>,
}

impl Published {
    fn newest(sources: &[Source], log: Log, keys: &LogKeys) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            let shown = source.log(log, keys.of(log))?;
            let shown = shown.with_context(|| {
                format!(
                    "{source}/{}/checkpoint: nothing was published there; name a mirror with --from. If there is no copy at all, \
                     the tail is lost: `wiregrant-control new-origin`",
                    source::folder(log)
                )
            })?;
            found.push((at, shown));
        }
        found.sort_by_key(|(_, shown)| shown.checkpoint.size);
        let (at, shown) = found.pop().context("--from: no source")?;
        Ok(Self { log, at, shown, others: found })
    }

    /// Takes over what the database lacks, and holds all that is shown against it.
    async fn import(&self, write: &mut Write, sources: &[Source], clock: &Clock) -> anyhow::Result<()> {
        let (source, had) = (&sources[self.at], write.size(self.log));
        let size = self.shown.checkpoint.size;
        if size > had {
            let entries = self.append(write, source, had).await?;
            if self.log == Log::Record {
                handed_over::take_over(write, source, (had, &entries)).await?;
            }
            if write.checkpoint_at(self.log, size).await?.is_none() {
                write.put_checkpoint(self.log, size, &self.shown.note).await?;
            }
            match self.log {
                Log::Record => decisions::take_over(write, source, (had, &entries), clock.now()).await?,
                Log::Reports => {
                    await_reports(write, (had, &entries), size).await?;
                    write.put_setting(SETTING_REPORTS_NAMED, &size.to_string()).await?;
                }
            }
        }
        for (at, shown) in self.others.iter().map(|(at, shown)| (*at, shown)).chain([(self.at, &self.shown)])
        {
            self.hold_against(write, &sources[at], shown).await?;
        }
        println!(
            "{:<8}      {} entries, {} of them from {source}",
            self.log,
            write.size(self.log),
            size.saturating_sub(had)
        );
        Ok(())
    }

    async fn append(&self, write: &mut Write, source: &Source, had: u64) -> anyhow::Result<Vec<String>> {
        let Checkpoint { size, root, .. } = &self.shown.checkpoint;
        let own = write.edge(self.log).await?.root();
        let tiles = source.tiles(self.log, consistency_tiles(had, *size)?)?;
        let proof = consistency_proof(had, *size, &tiles)?;
        if let Err(error) = verify_consistency(had, &own, *size, root, &proof) {
            let ours =
                write.newest_checkpoint(self.log).await?.map_or_else(|| "none".to_owned(), |(_, note)| note);
            bail!(fork(source, self.log, &ours, &self.shown.note, &error));
        }
        let width = u64::from(TILE_WIDTH);
        let mut all = Vec::new();
        for index in had / width..=size.saturating_sub(1) / width {
            let first = index.saturating_mul(width);
            let wide = u16::try_from(size.saturating_sub(first).min(width)).unwrap_or(TILE_WIDTH);
            let mut entries = source.bundle(self.log, index, wide)?;
            entries.drain(..usize::try_from(had.saturating_sub(first)).unwrap_or_default());
            write.append(self.log, &entries).await?;
            all.extend(entries);
        }
        let found = write.edge(self.log).await?.root();
        ensure!(
            found == *root,
            "{source}/{}: its entries give the root {found} at {size}, its signed checkpoint says {root}; this copy is damaged, \
             take another",
            source::folder(self.log)
        );
        Ok(all)
    }

    /// Whether the database's log is at this size what the checkpoint says.
    async fn hold_against(&self, write: &mut Write, source: &Source, shown: &Shown) -> anyhow::Result<()> {
        let size = shown.checkpoint.size;
        if size == 0 {
            return Ok(()); // of nothing there is one history
        }
        let tiles = write.tiles(self.log, &root_tiles(size)?).await?;
        let found = tree_root(size, &tiles)?;
        if found == shown.checkpoint.root {
            return Ok(());
        }
        let ours =
            write.newest_checkpoint(self.log).await?.map_or_else(|| "none".to_owned(), |(_, note)| note);
        bail!(fork(
            source,
            self.log,
            &ours,
            &shown.note,
            &format!("at {size} entries the root here is {found}")
        ))
    }
}

fn fork(source: &Source, log: Log, ours: &str, theirs: &str, why: &dyn fmt::Display) -> String {
    format!(
        "{source}/{}: another history than the database's ({why}). Two were signed by one key, or this copy is damaged; keep both \
         checkpoints and go on from neither before a person has looked. The database's:\n\n{ours}\nThe copy's:\n\n{theirs}",
        source::folder(log)
    )
}

/// Keeps which imported entries of the reports log have no report here.
async fn await_reports(
    write: &mut Write,
    (first, entries): (u64, &[String]),
    acked_size: u64,
) -> anyhow::Result<()> {
    let awaited = (first..).zip(entries).map(|(log_index, entry)| {
        let note_hash = parse_report_entry(entry).with_context(|| format!("reports entry {log_index}"))?;
        Ok(AwaitedReport { log_index, note_hash, acked_size, node: None, sequence: None })
    });
    let awaited: Vec<_> = awaited.collect::<anyhow::Result<_>>()?;
    Ok(write.await_reports(&awaited).await?)
}

/// No witness may have seen more than what is imported: then a newer copy was published, and whoever has it would see a fork.
async fn ask_witnesses(
    config: &Config,
    store: &Store,
    log_keys: &LogKeys,
    published: &[Published],
) -> anyhow::Result<()> {
    for seen in Cosigners::new(&config.witnesses).sizes(store, log_keys).await? {
        let known = published.iter().find(|published| published.log == seen.log);
        let have = store.read().await?.log_size(seen.log).await?;
        let known = known.map_or(have, |known| known.shown.checkpoint.size.max(have));
        let size = seen.size.map_err(|why| {
            anyhow::anyhow!(
                "witnesses: {}: {why}; what it has seen must not be passed over. If it is gone for good, take it out of `witnesses`",
                seen.witness
            )
        })?;
        ensure!(
            size <= known,
            "witnesses: {} has cosigned {size} entries of {}, and the newest copy has {known}: a newer one was published. Name it with \
             --from; if it is lost: `wiregrant-control new-origin`",
            seen.witness,
            source::folder(seen.log)
        );
    }
    Ok(())
}
