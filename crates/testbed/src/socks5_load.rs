//! Load for a SOCKS5 proxy: connections through it from a server that sends as fast as it can, and how much arrives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use transparency_log::Hash;
use wiregrant_core::socks5::Socks5Login;
use wiregrant_core::socks5::metering::{Answer, Question};

use crate::clock;

/// Whom the service is told to serve.
pub const USERNAME: &str = "load";
/// With this password.
pub const PASSWORD: &str = "p4ssw0rdp4ssw0rdp4ssw0rdp4";
/// What is written and read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How long the connections run before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// What arrived.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Load {
    /// Bytes at the clients.
    pub bytes: u64,
    /// In how many microseconds.
    pub micros: u64,
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
    let question = Question::Serve { logins: vec![login], refused_networks: Vec::new() };
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
    let listener = TcpListener::bind((order.target, 0))?;
    let port = listener.local_addr()?.port();
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(std::result::Result::ok) {
            thread::spawn(move || send(&stream));
        }
    });
    let streams: Vec<TcpStream> =
        (0..order.connections).map(|_| connected(order, port)).collect::<Result<_>>()?;
    let (arrived, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let readers: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| receive(stream, &arrived, &stopped))).collect();
        thread::sleep(WARM_UP);
        let (begun, before) = (clock::now(), arrived.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(order.millis));
        let bytes = arrived.load(Ordering::Relaxed) - before;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        stopped.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().ok().context("a reader panicked")??;
        }
        Ok(Load { bytes, micros })
    })
}

fn send(mut stream: &TcpStream) {
    let chunk = vec![0; CHUNK_BYTES];
    while stream.write_all(&chunk).is_ok() {}
}

fn receive(mut stream: &TcpStream, arrived: &AtomicU64, stopped: &AtomicBool) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while !stopped.load(Ordering::Relaxed) {
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the proxy has ended a connection");
        // A length fits.
        arrived.fetch_add(read as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// A connection through the proxy to the server's port.
fn connected(order: &Order, port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(order.proxy).context("the proxy")?;
    match (&order.username, &order.password) {
        (Some(username), Some(password)) => {
            let length = |field: &str| u8::try_from(field.len());
            let (user, word) = (length(username)?, length(password)?);
            let fields = [&[1, user], username.as_bytes(), &[word], password.as_bytes()].concat();
            stream.write_all(&[&[5, 1, 2], &fields[..]].concat())?;
            answered(&mut stream, [5, 2, 1, 0])?;
        }
        _ => {
            stream.write_all(&[5, 1, 0])?;
            answered(&mut stream, [5, 0])?;
        }
    }
    let target = [&order.target.octets()[..], &port.to_be_bytes()].concat();
    stream.write_all(&[&[5, 1, 0, 1], &target[..]].concat())?;
    answered(&mut stream, [5, 0, 0, 1])?;
    stream.read_exact(&mut [0; 6])?;
    Ok(stream)
}

fn answered<const BYTES: usize>(stream: &mut TcpStream, wanted: [u8; BYTES]) -> Result<()> {
    let mut answer = [0; BYTES];
    stream.read_exact(&mut answer)?;
    ensure!(answer == wanted, "the proxy answers {answer:?}, not {wanted:?}");
    Ok(())
}
