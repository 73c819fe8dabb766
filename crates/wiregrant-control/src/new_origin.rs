//! The command `new-origin`: a restored database whose log's tail nobody has any more goes on under another origin.
//!
//! The log before can not be gone on with: somebody may hold a proof of what stands where the next entry would. So it ends, and
//! becomes history. The new record begins with `continues`, which names the newest state of the old one that is known, then has
//! the old record's entries as this database has them, so that one record shows all of the money, and then its own. The reports
//! log keeps its entries under its new name: statements name states of it, and nodes count on from them. All of it is one transaction.
//!
//! What may have been paid in the lost part is held ([`crate::doubt`]).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use transparency_log::{Checkpoint, EMPTY_ROOT, Hash, Verifier, root_tiles, tree_root};
use wiregrant_core::note::{Origin, Signed};
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_core::statement::Statement;
use wiregrant_core::{BatchId, Timestamp};
use wiregrant_store::{FormerOrigin, Log, SETTING_BEHIND, SETTING_ORIGIN_ENDED, Store, StoreError, Write};

use crate::catch_up::Behind;
use crate::clock::Clock;
use crate::config::Config;
use crate::control_plane::{SETTING_LOG_KEY, SETTING_ORIGIN, SETTING_STATEMENT_KEY};
use crate::cosignatures::Cosigners;
use crate::error::Failure;
use crate::keys::Keys;
use crate::log_keys::LogKeys;
use crate::publisher::SETTING_REPORTS_NAMED;
use crate::{doubt, file, recording};

const MAX_CHECKPOINT_BYTES: u64 = 256 * 1024;
/// Entries that are carried over at once.
const AT_ONCE: u64 = 10_000;

/// Ends the database's origin and opens `origin` in its place. The same again tells what it told, and does what was cut off.
///
/// # Errors
/// A database that lost nothing; a name that was used; a checkpoint that contradicts the database; whatever refuses. Then nothing
/// has happened.
pub async fn run(config: &Config, origin: &Origin, seen: &[PathBuf]) -> anyhow::Result<()> {
    let store = Store::open(&config.database).await.context("database")?;
    store.mark_if_restored().await.context("database")?;
    let present = store.read().await?.setting(SETTING_ORIGIN).await?;
    let present: Origin = present
        .context("database: nothing was written in it yet; there is nothing to go on from")?
        .parse()?;
    let opened = if present == *origin {
        ensure!(
            !store.read().await?.former_origins().await?.is_empty(),
            "origin: the database is that of {origin}; the new one needs another name, one that you own and never used"
        );
        Opened::default()
    } else {
        open(config, &store, (&present, origin), seen).await?
    };
    let former = store.read().await?.former_origins().await?;
    let moved = move_public_folder(config, &former)?;
    let keys = Keys::open(&config.data_dir.join("keys"), origin)?;
    tell(&store, &keys, &former, &opened, moved.as_deref()).await?;
    store.close().await;
    Ok(())
}

/// What opening the origin came to; nothing where a run before has opened it.
#[derive(Default)]
struct Opened {
    /// Lines that are held now.
    held: u64,
    /// Batches that may have been replaced or paid.
    open_batches: Vec<BatchId>,
}

async fn open(
    config: &Config,
    store: &Store,
    (former, origin): (&Origin, &Origin),
    seen: &[PathBuf],
) -> anyhow::Result<Opened> {
    ensure!(
        config.origin == *former || config.origin == *origin,
        "origin: the database was made with {former:?}, the configuration says {:?}",
        config.origin
    );
    let folder = config.data_dir.join("keys");
    let (before, after) = (Keys::open(&folder, former)?, Keys::open(&folder, origin)?);
    for (name, key) in [(SETTING_LOG_KEY, &before.record), (SETTING_STATEMENT_KEY, &before.statement)] {
        let stored = store.read().await?.setting(name).await?.unwrap_or_default();
        let found = key.verifier();
        ensure!(
            stored == found.to_string(),
            "{name}: the database was made with {stored:?}, keys/ has {found}; restore the keys folder"
        );
    }
    let now = Clock::System.now();
    let log_keys = LogKeys::read(&mut store.read().await?, &before).await?;
    let witnessed = witnessed_entries(config, store, &log_keys).await?;
    let mut write = store.write().await?;
    let known = newest_known(config, &mut write, &before.record.verifier(), seen).await?;
    if let Some((witness, size)) = witnessed.filter(|(_, size)| *size > known.size) {
        bail!(
            "witnesses: {witness} has cosigned {size} entries, and no checkpoint given here has more than {}: have it send its newest \
             one (`GET /checkpoint/<hash of the origin>`) and name that file with --seen",
            known.size
        );
    }
    let is_behind = Behind::of(&mut write).await?.is_some();
    ensure!(
        is_behind || known.size > write.size(Log::Record),
        "database: it lost nothing that anybody knows of: `wiregrant-control serve` goes on under {former}. An origin is ended only \
         where the tail of its log is lost"
    );
    begin(&mut write, (former, &before), (origin, &after), &known, now).await?;
    let mut opened = Opened { open_batches: open_batches(&mut write).await?, ..Opened::default() };
    let mut entries =
        vec![RecordEntry::Key { role: KeyRole::Statement, vkey: after.statement.verifier().to_string() }];
    let held = hold_all(&mut write, now).await?;
    opened.held = held.len() as u64;
    entries.extend(held);
    let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
    // The key first: only the one in force appends.
    write.put_setting(SETTING_LOG_KEY, &after.record.verifier().to_string()).await?;
    recording::append(&mut write, Log::Record, &after, &entries).await.map_err(failed)?;
    write.put_setting(SETTING_ORIGIN, origin.as_str()).await?;
    write.put_setting(SETTING_STATEMENT_KEY, &after.statement.verifier().to_string()).await?;
    write.put_setting(SETTING_ORIGIN_ENDED, &now.unix_seconds().to_string()).await?;
    write.put_setting(SETTING_BEHIND, "").await?;
    write.forget_receipts().await?;
    write.commit().await?;
    Ok(opened)
}

/// Both logs as they begin under the new origin.
async fn begin(
    write: &mut Write,
    (former, before): (&Origin, &Keys),
    (origin, after): (&Origin, &Keys),
    known: &Checkpoint,
    now: Timestamp,
) -> anyhow::Result<()> {
    let reports = [named_reports(write).await?, write.size(Log::Reports)];
    match write.end_origin(former, now).await {
        Err(StoreError::Exists { .. }) => {
            bail!("origin: {former} has ended before; this database is not whole")
        }
        other => other?,
    }
    if write.former_origins().await?.iter().any(|ended| ended.origin == *origin) {
        bail!("origin: {origin} has ended; a log that somebody may hold proofs of is never opened again");
    }
    let begins = [
        RecordEntry::Continues { origin: former.clone(), size: known.size, root: known.root },
        RecordEntry::Key { role: KeyRole::Log, vkey: after.record.verifier().to_string() },
    ];
    write.append(Log::Record, &begins.map(|entry| entry.to_string())).await?;
    let mut carried = 0;
    loop {
        let entries = write.former_entries(former, carried, AT_ONCE).await?;
        if entries.is_empty() {
            break;
        }
        carried = carried.saturating_add(entries.len() as u64);
        write.append(Log::Record, &entries).await?;
    }
    tracing::debug!(carried, key = %before.record.verifier(), "the record was carried over");
    let mut signed = None;
    for size in [0, reports[0], reports[1]] {
        if signed.replace(size).is_none_or(|before| before < size) {
            let checkpoint =
                recording::checkpoint(&after.reports, size, root_at(write, Log::Reports, size).await?);
            write.put_checkpoint(Log::Reports, size, &checkpoint.map_err(failed)?).await?;
        }
    }
    Ok(())
}

/// How far the newest statement names the reports log.
async fn named_reports(write: &mut Write) -> anyhow::Result<u64> {
    let named = write.setting(SETTING_REPORTS_NAMED).await?;
    named.map_or(Ok(0), |size| size.parse()).context("reports_named")
}

async fn root_at(write: &mut Write, log: Log, size: u64) -> anyhow::Result<Hash> {
    if size == 0 {
        return Ok(EMPTY_ROOT);
    }
    Ok(tree_root(size, &write.tiles(log, &root_tiles(size)?).await?)?)
}

/// The newest state of the record that anybody has shown: the database's own, or that of a signed checkpoint.
async fn newest_known(
    config: &Config,
    write: &mut Write,
    log: &Verifier,
    seen: &[PathBuf],
) -> anyhow::Result<Checkpoint> {
    let edge = write.edge(Log::Record).await?;
    let own = Checkpoint { origin: log.name().to_owned(), size: edge.size(), root: edge.root() };
    let mut newest = own.clone();
    let published = config.public_dir.join("log/checkpoint");
    let places = seen.iter().map(|path| (path.clone(), true)).chain([(published, false)]);
    for (path, is_given) in places {
        let shown = path.display();
        let note = file::read_if_there(&path, MAX_CHECKPOINT_BYTES).with_context(|| shown.to_string())?;
        let checkpoint = match note.map(|note| Checkpoint::parse_verified(&note, log)) {
            Some(Ok(checkpoint)) => checkpoint,
            None if is_given => bail!("--seen {shown}: there is no such file"),
            Some(Err(error)) if is_given => bail!("--seen {shown}: not a checkpoint of {log}: {error}"),
            _ => continue,
        };
        if checkpoint.size <= own.size {
            let root = root_at(write, Log::Record, checkpoint.size).await?;
            ensure!(
                root == checkpoint.root,
                "{shown}: at {} entries it has the root {}, this database has {root}: two histories were signed by one key; go on from \
                 neither before a person has looked",
                checkpoint.size,
                checkpoint.root
            );
        }
        if checkpoint.size > newest.size {
            newest = checkpoint;
        }
    }
    Ok(newest)
}

/// The most entries of the record that a witness says it has cosigned. One that cannot be asked is told and passed over.
async fn witnessed_entries(
    config: &Config,
    store: &Store,
    log_keys: &LogKeys,
) -> anyhow::Result<Option<(String, u64)>> {
    let mut most = None;
    for seen in Cosigners::new(&config.witnesses).sizes(store, log_keys).await? {
        match seen.size {
            Ok(size) if seen.log == Log::Record => {
                if most.as_ref().is_none_or(|(_, most)| *most < size) {
                    most = Some((seen.witness, size));
                }
            }
            Ok(_) => {}
            Err(why) => println!("not asked     witness {}: {why}", seen.witness),
        }
    }
    Ok(most)
}

/// Holds every line that may have been paid in what was lost.
async fn hold_all(write: &mut Write, now: Timestamp) -> anyhow::Result<Vec<RecordEntry>> {
    let mut entries = Vec::new();
    for grant in write.grants().await? {
        for row in write.statements(&grant.grant_id).await? {
            let statement = Signed::<Statement>::parse(&row.note)?.into_content();
            if doubt::may_be_paid_before(&statement.terms, statement.epoch, now) {
                entries.extend(doubt::hold(write, &statement, now).await.map_err(failed)?);
            }
        }
    }
    Ok(entries)
}

/// Batches that are neither paid nor void here.
async fn open_batches(write: &mut Write) -> anyhow::Result<Vec<BatchId>> {
    let decided = write.batch_decisions().await?;
    let has_ended = |batch: &BatchId| {
        let decided = decided.iter().find(|decided| decided.batch == *batch);
        decided.is_some_and(|decided| decided.paid_at.is_some() || decided.void_at.is_some())
    };
    let batches = write.batches().await?.into_iter().map(|batch| batch.batch);
    Ok(batches.filter(|batch| !has_ended(batch)).collect())
}

/// Moves the public folder of an origin that has ended out of the way, if it is there; where it lies now.
fn move_public_folder(config: &Config, former: &[FormerOrigin]) -> anyhow::Result<Option<PathBuf>> {
    let public = &config.public_dir;
    let vkey = file::read_if_there(&public.join("log/vkey"), MAX_CHECKPOINT_BYTES);
    let vkey = vkey.with_context(|| public.display().to_string())?;
    let Some(key) = vkey.and_then(|vkey| vkey.trim_end().parse::<Verifier>().ok()) else { return Ok(None) };
    let Some(number) = former.iter().position(|former| former.origin.as_str() == key.name()) else {
        return Ok(None);
    };
    let mut name = public.file_name().context("public_dir: it names no folder")?.to_owned();
    name.push(format!(".former-{}", number.saturating_add(1)));
    let to = public.with_file_name(name);
    ensure!(
        !to.exists(),
        "{}: it is in the way of the former public folder; move it away and run this again",
        to.display()
    );
    std::fs::rename(public, &to).with_context(|| {
        format!(
            "public_dir: {} cannot be moved to {}; move it by hand and run this again",
            public.display(),
            to.display()
        )
    })?;
    Ok(Some(to))
}

async fn tell(
    store: &Store,
    keys: &Keys,
    former: &[FormerOrigin],
    opened: &Opened,
    moved: Option<&Path>,
) -> anyhow::Result<()> {
    let last = former.last().context("database: no origin has ended in it")?;
    let first = store.read().await?.entries(Log::Record, 0, 1).await?;
    println!(
        "ended         {}: {} entries and {} reports are carried over",
        last.origin, last.record_size, last.reports_size
    );
    let origin = keys.record.name();
    println!("opened        {origin}");
    println!("first entry   {}", first.first().map_or("none", String::as_str));
    if let Some(moved) = moved {
        println!(
            "public        what was published under {} lies in {}; keep it",
            last.origin,
            moved.display()
        );
    }
    println!(
        "held          {} operators' lines that may have been paid in what was lost; look at the chain, then `wiregrant line release`",
        opened.held
    );
    for batch in &opened.open_batches {
        println!(
            "batch         {batch} is neither paid nor void here; look whether it was paid, or another one in its place"
        );
    }
    println!(
        "lost          all that was decided after the backup: operators look at their destinations before the next batch; nodes that joined or"
    );
    println!(
        "              took another key are invited (again); contributions, admissions, freezes, codes and tokens are made again"
    );
    println!(
        "next          origin = \"{origin}\" in the configuration of every replica, then wiregrant-control serve. Nodes follow by themselves and send"
    );
    println!(
        "              what the backup lacks; witnesses, mirrors, funders and whoever verifies are told the new log keys:"
    );
    println!("log key       {}", keys.record.verifier());
    println!("reports key   {}", keys.reports.verifier());
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}
