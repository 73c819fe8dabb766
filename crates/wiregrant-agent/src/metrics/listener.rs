//! The listener of the metrics: answers each connection once and closes it, a few at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::Figures;
use super::request::{Answer, MAX_REQUEST_BYTES, judge};
use crate::config::Config;

/// The most connections at a time; others wait.
const MAX_CONNECTIONS: usize = 8;
/// How long one may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an address that cannot be had is left alone.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Serves the figures where the configuration says, as long as it says so; ends never. An address that cannot be had is told in
/// the log and tried again: a node without metrics serves people all the same.
pub async fn serve(figures: Arc<Mutex<Figures>>, mut config: watch::Receiver<Arc<Config>>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let address = config.borrow_and_update().metrics.listen;
        let serving = async {
            match address {
                None => std::future::pending().await,
                Some(address) => listen(address, &figures, &connections).await,
            }
        };
        tokio::select! {
            () = serving => {}
            () = another(&mut config, address) => {}
        }
    }
}

/// Waits until the configuration names another address.
async fn another(config: &mut watch::Receiver<Arc<Config>>, address: Option<SocketAddr>) {
    if config.wait_for(|config| config.metrics.listen != address).await.is_err() {
        // Whoever changes it is gone: it stays as it is.
        std::future::pending::<()>().await;
    }
}

async fn listen(address: SocketAddr, figures: &Arc<Mutex<Figures>>, connections: &Arc<Semaphore>) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("metrics.listen: {address}: {error}; choose another address, or end who has it");
            return sleep(RETRY_PAUSE).await;
        }
    };
    tracing::info!(%address, "serving metrics");
    loop {
        let permit = Arc::clone(connections).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, for instance: accepting again at once would spin.
            sleep(CONNECTION_TIMEOUT).await;
            continue;
        };
        let figures = Arc::clone(figures);
        tokio::spawn(async move {
            // Who is too slow or goes away gets no answer, and nobody needs to know.
            let _ = timeout(CONNECTION_TIMEOUT, answer(stream, &figures)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, figures: &Mutex<Figures>) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(MAX_REQUEST_BYTES);
    let answer = loop {
        if let Some(answer) = judge(&request) {
            break answer;
        }
        let mut room = (&mut stream).take((MAX_REQUEST_BYTES - request.len()) as u64);
        if room.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let body = match answer {
        Answer::Figures => figures.lock().unwrap_or_else(PoisonError::into_inner).text(),
        _ => format!("{}\n", answer.status()),
    };
    let kind = match answer {
        Answer::Figures => "text/plain; version=0.0.4; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let allow = if answer == Answer::MethodNotAllowed { "allow: GET\r\n" } else { "" };
    let (status, length) = (answer.status(), body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{allow}connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
