//! What answers while nodes are asked for what they hold: public files, and one address that takes acknowledgements. Everybody else
//! is told to come back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body;
use axum::extract::{Path as InPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use transparency_log::Verifier;
use wiregrant_core::NodeId;
use wiregrant_core::api::{NewReceipts, PREFIX, ProblemKind};
use wiregrant_core::record::RecordEntry;
use wiregrant_store::{Log, Store};

use super::receipts::{self, Waiting};
use super::{Behind, WAY_OUT};
use crate::clock::Clock;
use crate::config::Config;
use crate::control_plane::open_keys;
use crate::error::{Answer, Failure};
use crate::extract;
use crate::file::{self, Readers};
use crate::keys::Keys;
use crate::listener::{self, Service};
use crate::log_keys::LogKeys;
use crate::node_request::NodeHeaders;
use crate::public_files;
use crate::tls::Tls;

/// When to come back, in seconds.
const RETRY_SECONDS: u64 = 5;
/// How often it is looked whether another process has ended it, in seconds.
const LOOK_SECONDS: u64 = 2;
/// How often it is said what is waited for, in looks.
const LOOKS_PER_WORD: u32 = 30;
/// The longest body: 100 notes of at most 4 KiB with their proofs, as JSON.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The database may sign.
    CaughtUp,
    /// We were told to stop.
    Stopped,
}

/// What the addresses work on.
#[derive(Clone)]
pub struct Asking(Arc<Inner>);

struct Inner {
    config: Config,
    keys: Keys,
    store: Store,
    clock: Clock,
    ended: Notify,
}

/// Serves until nothing is waited for any more; returns at once where the database is not behind.
///
/// # Errors
/// A database into which nothing was imported yet; whatever keeps it from serving.
pub async fn wait_for_nodes(
    config: &Config,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Waited> {
    file::make_folder(&config.data_dir, Readers::Owner).context("data_dir")?;
    let store = Store::open(&config.database).await.context("database")?;
    store.mark_if_restored().await.context("database")?;
    let behind = Behind::of(&mut store.read().await?).await?;
    match behind {
        None => {
            store.close().await;
            return Ok(Waited::CaughtUp);
        }
        Some(Behind::Restored) => bail!("database: {WAY_OUT}"),
        Some(Behind::Nodes(_)) => {}
    }
    let keys = open_keys(config, &store).await?;
    let asking = Asking::new(config.clone(), keys, store.clone(), Clock::System);
    let socket =
        TcpListener::bind(config.listen).await.with_context(|| format!("listen: {}", config.listen))?;
    tracing::warn!(address = %socket.local_addr()?, "asking nodes for what they hold; nothing is signed before all have said it");
    let waited = tokio::sync::Mutex::new(Waited::Stopped);
    let until = async {
        let ended = asking.until_ended();
        tokio::select! {
            () = stop => {}
            () = ended => *waited.lock().await = Waited::CaughtUp,
        }
    };
    listener::serve(socket, Service { router: router(&asking), tls, figures: Arc::default() }, until).await;
    store.close().await;
    Ok(waited.into_inner())
}

impl Asking {
    /// For a database that is behind.
    #[must_use]
    pub fn new(config: Config, keys: Keys, store: Store, clock: Clock) -> Self {
        Self(Arc::new(Inner { config, keys, store, clock, ended: Notify::new() }))
    }

    /// Resolves once the database is not behind any more, whoever has ended it.
    async fn until_ended(&self) {
        for look in 0u32.. {
            match receipts::try_to_end(&self.0.store, &self.0.keys).await {
                Ok(None) => return,
                Ok(Some(waiting)) if look.is_multiple_of(LOOKS_PER_WORD) => {
                    tracing::warn!("waiting for {waiting}");
                }
                Ok(Some(_)) => {}
                Err(error) => tracing::error!("nothing is signed: {error:#}"),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
                () = self.0.ended.notified() => {}
            }
        }
    }

    /// What everybody but a node that shows what it holds is told.
    async fn come_back(&self) -> Failure {
        let told = async {
            let mut read = self.0.store.read().await?;
            let size = read.log_size(Log::Reports).await?;
            let from = read.first_awaited_report().await?.map_or(size, |first| first.min(size));
            let word = match Behind::of(&mut read).await? {
                Some(Behind::Nodes(word)) => word,
                _ => String::new(),
            };
            Ok::<_, wiregrant_store::StoreError>((from, word))
        };
        match told.await {
            Ok((from, word)) => {
                let detail = "it was restored from a backup, and asks nodes for what they hold before it signs anything";
                Failure::new(ProblemKind::CatchingUp, detail)
                    .with("from_index", from)
                    .with("asked", word)
                    .retry_after(RETRY_SECONDS)
            }
            Err(error) => error.into(),
        }
    }
}

/// What answers meanwhile.
pub fn router(asking: &Asking) -> Router {
    let files: &Path = &asking.0.config.public_dir;
    Router::new()
        .route("/healthz", routing::get(crate::api::health::alive))
        .route("/readyz", routing::get(come_back))
        .route(&format!("{PREFIX}/nodes/{{node}}/receipts"), routing::post(take))
        .route(&format!("{PREFIX}/{{*rest}}"), routing::any(come_back))
        .with_state(asking.clone())
        .fallback_service(public_files::service(files))
        .layer(from_fn(public_files::headers))
}

async fn come_back(State(asking): State<Asking>) -> Failure {
    asking.come_back().await
}

/// `POST /nodes/{node}/receipts`
async fn take(
    State(asking): State<Asking>,
    InPath(node): InPath<NodeId>,
    request: Request,
) -> Answer<StatusCode> {
    let headers = NodeHeaders::read(request.headers())?;
    let (parts, body) = request.into_parts();
    let body = body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| extract::too_large())?;
    let Inner { config, keys, store, clock, ended } = &*asking.0;
    let key = key_of(store, &node).await?;
    let signs = key.is_some_and(|key| headers.are_signed_by(&key, &config.origin, &parts, &body));
    if !signs || headers.node() != &node {
        let detail = "no node of this name signed this request with its key; was it enrolled here?";
        return Err(Failure::new(ProblemKind::RequestSignature, detail));
    }
    headers.check_time(clock.now())?;
    let shown: NewReceipts = serde_json::from_slice(&body)
        .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("body: {error}")))?;
    let former = store.read().await?.former_origins().await?.into_iter().map(|former| former.origin);
    let logs: Vec<_> = std::iter::once(config.origin.clone()).chain(former).collect();
    let log_keys = LogKeys::read(&mut store.read().await?, keys).await.map_err(Failure::internal)?;
    receipts::take(store, log_keys.of(Log::Reports), (&logs, &node), &shown).await?;
    if shown.last {
        tracing::info!(%node, "a node has shown what it holds");
        ended.notify_one();
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The node's key as the record names it last: it may have joined, or changed its key, after the backup.
async fn key_of(store: &Store, node: &NodeId) -> Answer<Option<Verifier>> {
    let mut read = store.read().await?;
    let named = read.entries_naming_key(node).await?;
    let Some((_, entry)) = named.last() else { return Ok(None) };
    match entry.parse()? {
        RecordEntry::Enrol { vkey, .. } | RecordEntry::Rekey { vkey, .. } => {
            Ok(Some(vkey.parse().map_err(Failure::internal)?))
        }
        _ => Ok(None),
    }
}

/// What is waited for, for tests that serve no one.
///
/// # Errors
/// As `receipts::try_to_end`.
pub async fn still_waiting(asking: &Asking) -> anyhow::Result<Option<Waiting>> {
    receipts::try_to_end(&asking.0.store, &asking.0.keys).await
}
