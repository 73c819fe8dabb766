//! The listening socket: connections in, bounded in number and in time, and a graceful end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::figures::Figures;
use crate::tls::Tls;

/// Connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;
/// How long a client may take to send a request's head, and how long an idle connection is kept.
const HEADER_SECONDS: u64 = 60;
/// How long a client may take for its part of a TLS handshake, in seconds.
const HANDSHAKE_SECONDS: u64 = 10;
/// The most that is read ahead of a connection's requests: heads end far before, and bodies are taken as they come, in bytes.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 128;
/// How long requests under way may take to end once we are told to stop.
const DRAIN_SECONDS: u64 = 10;
/// How long to wait after the kernel refused a connection, for lack of file descriptors, say.
const REFUSED_MILLISECONDS: u64 = 100;

/// What every connection is served with.
pub struct Service {
    /// Who answers.
    pub router: Router,
    /// With which certificate; in the clear without one.
    pub tls: Option<Arc<Tls>>,
    /// Where connections are counted.
    pub figures: Arc<Figures>,
}

/// Serves until `stop` resolves, then lets requests under way end.
pub async fn serve(listener: TcpListener, service: Service, stop: impl Future<Output = ()>) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_SECONDS))
        .max_buf_size(READ_AHEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let seat = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, seat)
        };
        let (accepted, seat) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        // Whose connection it is, is neither kept nor logged.
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(REFUSED_MILLISECONDS)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (server, watcher) = (server.clone(), graceful.watcher());
        let answers = TowerToHyperService::new(service.router.clone());
        let (tls, figures) = (service.tls.clone(), Arc::clone(&service.figures));
        tokio::spawn(async move {
            figures.connections_open.fetch_add(1, Ordering::Relaxed);
            let ended = match tls {
                None => watcher.watch(server.serve_connection(TokioIo::new(stream), answers)).await,
                Some(tls) => match within_handshake(tls.accept(stream)).await {
                    Ok(stream) => watcher.watch(server.serve_connection(TokioIo::new(stream), answers)).await,
                    Err(error) => Err(error.into()),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            }
            figures.connections_open.fetch_sub(1, Ordering::Relaxed);
            drop(seat);
        });
    }
    drop(listener);
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS), graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_SECONDS, "some requests did not end in time and were cut off");
    }
}

async fn within_handshake<T>(handshake: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let over = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(Duration::from_secs(HANDSHAKE_SECONDS), handshake).await.map_err(over)?
}
