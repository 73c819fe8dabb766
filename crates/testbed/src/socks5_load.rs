//! Load for a SOCKS5 proxy: connections through it from a server that sends as fast as it can, and how much arrives.
//!
//! It runs on a few threads, however many connections there are: the scheduler shares processors out by threads, and with one for each
//! connection most of the machine would be the load's, and of the rest a proxy of many processes would have more than one of few threads.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use transparency_log::Hash;
use wiregrant_core::socks5::Socks5Login;
use wiregrant_core::socks5::metering::{Answer, Question, Rates};

use crate::clock;

/// Whom the service is told to serve.
pub const USERNAME: &str = "load";
/// With this password.
pub const PASSWORD: &str = "p4ssw0rdp4ssw0rdp4ssw0rdp4";
/// What is written and read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// The threads that send and receive.
const WORKERS: usize = 2;
/// How long the connections run before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// What arrived while it was counted.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Load {
    /// Bytes at the clients.
    pub bytes: u64,
    /// In how many microseconds.
    pub micros: u64,
    /// Bytes at the clients since the first connection, to be held against the processor time of as long.
    pub all_bytes: u64,
}

/// What is to be done.
#[derive(Debug, Clone, clap::Args)]
pub struct Order {
    /// The proxy.
    #[arg(long)]
    pub proxy: SocketAddr,
    /// This host's address, at which the server is.
    #[arg(long)]
    pub target: Ipv4Addr,
    /// Connections at once.
    #[arg(long)]
    pub connections: usize,
    /// How long it counts.
    #[arg(long)]
    pub millis: u64,
    /// Shown to the proxy, if it asks.
    #[arg(long, requires = "password")]
    pub username: Option<String>,
    /// Likewise.
    #[arg(long)]
    pub password: Option<String>,
}

/// Has the SOCKS5 service on a UNIX socket serve [`USERNAME`].
///
/// # Errors
/// When it does not answer.
pub fn serve(socket: &Path) -> Result<()> {
    let login = Socks5Login { username: USERNAME.parse()?, password_hash: Hash::of(PASSWORD.as_bytes()) };
    let mut stream = UnixStream::connect(socket)?;
    let question =
        Question::Serve { logins: vec![login], refused_networks: Vec::new(), rates: Rates::default() };
    stream.write_all(question.to_line().as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line)?;
    match Answer::parse(&line)? {
        Answer::Readings(_) => Ok(()),
        Answer::Refused { reason } => bail!("the service refuses: {reason}"),
    }
}

/// Opens the connections, lets them run, and counts what arrives.
///
/// # Errors
/// When the proxy refuses one, or it ends early.
pub fn load(order: &Order) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let load = runtime.block_on(loaded(order));
    // The server goes on sending for as long as it is let.
    runtime.shutdown_background();
    load
}

async fn loaded(order: &Order) -> Result<Load> {
    let listener = TcpListener::bind((order.target, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(send(stream));
        }
    });
    let arrived = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    // None is read before all are there: what flows would take the proxy's time from those that still connect.
    let mut streams = Vec::new();
    for _ in 0..order.connections {
        streams.push(connected(order, port).await?);
    }
    for stream in streams {
        readers.spawn(receive(stream, Arc::clone(&arrived)));
    }
    let counted = async {
        sleep(WARM_UP).await;
        let (begun, before) = (clock::now(), arrived.load(Ordering::Relaxed));
        sleep(Duration::from_millis(order.millis)).await;
        let all_bytes = arrived.load(Ordering::Relaxed);
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        Load { bytes: all_bytes - before, micros, all_bytes }
    };
    tokio::select! {
        load = counted => Ok(load),
        ended = readers.join_next() => {
            ended.context("no connection was asked for")??;
            bail!("the proxy has ended a connection")
        }
    }
}

async fn send(mut stream: TcpStream) {
    let chunk = vec![0; CHUNK_BYTES];
    while stream.write_all(&chunk).await.is_ok() {}
}

/// Ends with the connection.
async fn receive(mut stream: TcpStream, arrived: Arc<AtomicU64>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(bytes @ 1..) = stream.read(&mut chunk).await {
        // A length fits.
        arrived.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connection through the proxy to the server's port.
async fn connected(order: &Order, port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(order.proxy).await.context("the proxy")?;
    match (&order.username, &order.password) {
        (Some(username), Some(password)) => {
            let length = |field: &str| u8::try_from(field.len());
            let (user, word) = (length(username)?, length(password)?);
            let fields = [&[1, user], username.as_bytes(), &[word], password.as_bytes()].concat();
            stream.write_all(&[&[5, 1, 2], &fields[..]].concat()).await?;
            answered(&mut stream, [5, 2, 1, 0]).await?;
        }
        _ => {
            stream.write_all(&[5, 1, 0]).await?;
            answered(&mut stream, [5, 0]).await?;
        }
    }
    let target = [&order.target.octets()[..], &port.to_be_bytes()].concat();
    stream.write_all(&[&[5, 1, 0, 1], &target[..]].concat()).await?;
    answered(&mut stream, [5, 0, 0, 1]).await?;
    stream.read_exact(&mut [0; 6]).await?;
    Ok(stream)
}

async fn answered<const BYTES: usize>(stream: &mut TcpStream, wanted: [u8; BYTES]) -> Result<()> {
    let mut answer = [0; BYTES];
    stream.read_exact(&mut answer).await?;
    ensure!(answer == wanted, "the proxy answers {answer:?}, not {wanted:?}");
    Ok(())
}
