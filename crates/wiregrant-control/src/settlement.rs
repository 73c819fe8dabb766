//! Settlement: the chain is followed, and what it shows of batches is kept, and logged once it is final.
//!
//! A look has three steps. The facts are read from the database into a [`Watch`]; the watch is taken along the chain, on a
//! thread of its own because sources block; what changed is written in one transaction, in which all batches are judged
//! anew, so that a batch made or a decision taken in between is not overlooked. A crash anywhere repeats the look.

mod decision;
mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wiregrant_chain::{
    BlockRef, ChainError, ChainSource, CompactFilters, CoreRpc, Electrum, Esplora, Followed, follow,
};
use wiregrant_core::BatchId;
use wiregrant_core::note::Network;
use wiregrant_payout::Watch;
use wiregrant_payout::matching::{Role, Verdict};
use wiregrant_store::{self as store, Read};

use crate::config::{ChainConfig, ChainSourceConfig};
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::recording::Recording;

pub use decision::{cancel, declare};
pub(crate) use decision::{decisions, known};

/// How long to wait after a failure, in seconds.
const RETRY_SECONDS: u64 = 30;

/// How often a replica that does not lead looks whether it does, in seconds.
const FOLLOWER_SECONDS: u64 = 1;

/// A source that goes to a thread and comes back.
pub type Source = Box<dyn ChainSource>;

/// Follows the chain until told to stop.
pub async fn run(plane: Shared, config: ChainConfig) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut source: Option<Source> = None;
    let mut last_failure = String::new();
    loop {
        if !plane.leads() {
            source = None;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(FOLLOWER_SECONDS)) => {}
                () = &mut stopped => return,
            }
            continue;
        }
        let pause = match turn(&plane, &config, source.take()).await {
            Ok((back, up_to_date)) => {
                if !std::mem::take(&mut last_failure).is_empty() {
                    tracing::info!("the chain can be followed again");
                }
                source = Some(back);
                if up_to_date { config.poll_seconds } else { 0 }
            }
            Err(failure) => {
                let failure = failure.to_string();
                // A node that is down for a night is one line in the log.
                if failure != last_failure {
                    tracing::error!(failure, "the chain cannot be followed; it is tried again");
                }
                last_failure = failure;
                RETRY_SECONDS.max(config.poll_seconds)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pause)) => {}
            () = plane.settle.notified() => {}
            () = &mut stopped => return,
        }
    }
}

async fn turn(plane: &ControlPlane, config: &ChainConfig, source: Option<Source>) -> Answer<(Source, bool)> {
    let source = match source {
        Some(source) => source,
        None => {
            let (config, network) = (config.clone(), plane.config.network);
            let oldest = facts::followed(&mut plane.store.read().await?).await?.blocks().next().copied();
            apart(move || open(config, network, oldest)).await?.map_err(Failure::internal)?
        }
    };
    look(plane, source).await
}

/// The source; one that reads the chain on from somewhere begins at the `oldest` block that is remembered.
fn open(config: ChainConfig, network: Network, oldest: Option<BlockRef>) -> Result<Source, ChainError> {
    Ok(match config.source {
        ChainSourceConfig::CoreRpc { url, cookie_file } => {
            Box::new(CoreRpc::open(&url, cookie_file, network)?)
        }
        ChainSourceConfig::Filters { peers, start } => {
            let start = oldest.map(|block| (block.height, block.hash)).or(start);
            Box::new(CompactFilters::open(&peers, network, start)?)
        }
        ChainSourceConfig::Electrum { url } => Box::new(Electrum::open(&url)?),
        ChainSourceConfig::Esplora { url } => Box::new(Esplora::open(&url)?),
    })
}

/// One look at the chain; the source comes back with whether the tip was reached.
///
/// # Errors
/// Those of the source and of the database; then nothing was written.
pub async fn look(plane: &ControlPlane, mut source: Source) -> Answer<(Source, bool)> {
    let mut read = plane.store.read().await?;
    let since = read.watched_batches().await?.first().map(|batch| batch.created_at);
    let before = facts::followed(&mut read).await?;
    let mut watch = facts::watch(&mut read).await?;
    drop(read);
    let mut followed = before.clone();
    let (source, watch, followed, progress) = apart(move || {
        let progress = follow(&mut *source, &mut followed, &mut watch, since);
        (source, watch, followed, progress)
    })
    .await?;
    let progress = progress.map_err(Failure::internal)?;

    let _one_at_a_time = plane.closing.lock().await;
    let mut recording = Recording::begin(plane).await?;
    let mut changed = facts::keep_followed(&mut recording.write, &before, &followed).await?;
    let moved: BTreeSet<String> = progress.moved.iter().map(ToString::to_string).collect();
    for txid in &progress.moved {
        changed |= facts::keep_sighting(&mut recording.write, &watch, *txid, plane.clock.now()).await?;
    }
    changed |= decision::record(plane, &mut recording).await?;
    if changed {
        recording.commit().await?;
    }
    if progress.taken_back > 0 {
        tracing::warn!(blocks = progress.taken_back, "the chain was reorganised; states follow it");
    }
    if !moved.is_empty() {
        tracing::info!(transactions = ?moved, tip = watch.tip(), "payments were seen or moved");
    }
    Ok((source, progress.up_to_date))
}

/// Runs what blocks on a thread where blocking hurts nobody.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
}

/// Where every batch that is still looked at stands.
///
/// # Errors
/// `busy` or `internal`.
pub async fn verdicts(read: &mut Read) -> Answer<BTreeMap<BatchId, Verdict>> {
    Ok(facts::watch(read).await?.verdicts())
}

/// The batch that a transaction counts for, by the verdicts.
fn counts_for(verdicts: &BTreeMap<BatchId, Verdict>, txid: &str) -> Option<BatchId> {
    let counts = |verdict: &Verdict| {
        verdict
            .payments
            .iter()
            .any(|payment| payment.role != Role::SpendsElsewhere && payment.txid.to_string() == txid)
    };
    verdicts.iter().find(|(_, verdict)| counts(verdict)).map(|(batch, _)| batch.clone())
}

/// Keeps which batch each transaction counts for; whether anything changed.
async fn keep_counting(write: &mut store::Write, verdicts: &BTreeMap<BatchId, Verdict>) -> Answer<bool> {
    let mut changed = false;
    for seen in write.watched_sightings().await? {
        let batch = counts_for(verdicts, &seen.txid);
        if batch != seen.batch {
            write.put_sighting(&store::Sighting { batch, ..seen }).await?;
            changed = true;
        }
    }
    Ok(changed)
}

/// The watch and the chain that was followed, for whoever tests a look by hand.
///
/// # Errors
/// `busy` or `internal`.
pub async fn state(read: &mut Read) -> Answer<(Watch, Followed)> {
    Ok((facts::watch(read).await?, facts::followed(read).await?))
}
