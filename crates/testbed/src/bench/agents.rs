//! Ten thousand connected agents, and how long until all are back after the control plane was started again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::Row;
use crate::clock;
use crate::connection::Connection;
use crate::fleet::{Administrator, FleetNode};
use crate::local_control::LocalControl;
use crate::programs::Programs;

const AGENTS: u32 = 10_000;
/// Connections over which they are enrolled.
const ENROLLING: u32 = 4;
/// How an agent waits before it tries again: by chance, up to this, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
const BAR_MS: u64 = 120_000;
const BAR_BYTES: u64 = 512 << 20;
/// When it will not come to an end.
const LIMIT: Duration = Duration::from_secs(600);

pub fn rows() -> Result<Vec<Row>> {
    raise_open_files(u64::from(AGENTS) * 3 / 2)?;
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::Builder::new().prefix("wgt-agents-").tempdir()?;
    let database = format!("sqlite:{}", folder.path().join("wiregrant.db").display());
    let mut control = LocalControl::start(&programs.control, folder.path(), &database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = control.address;
    let [(back, memory), (tls_back, tls_memory)] = runtime.block_on(async {
        let fleet = Fleet::new(address);
        let mut agents = JoinSet::new();
        for node in enrol(&control).await? {
            agents.spawn(agent(node, fleet.clone()));
        }
        fleet.until(u64::from(AGENTS), &mut agents).await?;
        let memory = control.memory_bytes()?;
        let back = restart(&mut control, &fleet, &mut agents).await?;
        let plain = (back, memory.max(control.memory_bytes()?));
        let connector = control.serve_with_tls()?;
        fleet.tls.set(connector).ok().context("TLS twice")?;
        let back = restart(&mut control, &fleet, &mut agents).await?;
        let tls = (back, control.memory_bytes()?);
        fleet.over.store(true, Ordering::SeqCst);
        agents.shutdown().await;
        Ok::<_, anyhow::Error>([plain, tls])
    })?;
    let [case, resident] =
        ["10,000 back and acknowledged after a restart", "resident with 10,000 connected, without TLS"];
    let [tls_case, tls_resident] =
        ["10,000 back and acknowledged over TLS", "resident with 10,000 connected, with TLS"];
    // With TLS memory has no bar: the figure is to be known.
    Ok(vec![
        Row::at_most("agents", case, "ms", (back, BAR_MS), "the bar, ms", 1_000),
        Row::at_most("agents", resident, "bytes", (memory, BAR_BYTES), "512 MiB, bytes", 1_000),
        Row::at_most("agents", tls_case, "ms", (tls_back, BAR_MS), "the bar without TLS, ms", 1_000),
        Row::at_most("agents", tls_resident, "bytes", (tls_memory, BAR_BYTES), "512 MiB, bytes", 1_000_000),
    ])
}

/// In good order, as for a new version; how long until all were back and acknowledged, in milliseconds.
async fn restart(control: &mut LocalControl, fleet: &Fleet, agents: &mut JoinSet<Result<()>>) -> Result<u64> {
    control.stop();
    let before = fleet.attached.load(Ordering::SeqCst);
    let started = clock::now();
    control.launch()?;
    fleet.until(before + u64::from(AGENTS), agents).await?;
    Ok(u64::try_from(started.elapsed().as_millis())?)
}

/// One side of each connection, and room for those that are just ending; the server, which has the other side, inherits the limit.
fn raise_open_files(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        most >= wanted,
        "open files: at most {most} are allowed, {wanted} are needed; raise `ulimit -Hn`"
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted.max(limit.current.unwrap_or(0))), ..limit })?;
    Ok(())
}

async fn enrol(control: &LocalControl) -> Result<Vec<FleetNode>> {
    let (address, token) = (control.address, control.admin_token()?);
    Administrator::connect(address, token.clone()).await?.prepare().await?;
    let mut enrolling = JoinSet::new();
    for part in 0..ENROLLING {
        let (each, token) = (AGENTS / ENROLLING, token.clone());
        enrolling.spawn(async move {
            let mut administrator = Administrator::connect(address, token).await?;
            administrator.enrol_more(part * each..(part + 1) * each).await
        });
    }
    let mut nodes = Vec::new();
    while let Some(enrolled) = enrolling.join_next().await {
        nodes.extend(enrolled??);
    }
    Ok(nodes)
}

/// What all agents share.
#[derive(Clone)]
struct Fleet {
    address: SocketAddr,
    /// With TLS, once that is set.
    tls: Arc<OnceLock<TlsConnector>>,
    /// How often an agent has attached, all together.
    attached: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Fleet {
    fn new(address: SocketAddr) -> Self {
        Self { address, tls: Arc::default(), attached: Arc::default(), over: Arc::default() }
    }

    async fn connect(&self) -> Result<Connection> {
        match self.tls.get() {
            Some(connector) => Connection::open_with(connector, self.address).await,
            None => Connection::open(self.address).await,
        }
    }

    async fn until(&self, count: u64, agents: &mut JoinSet<Result<()>>) -> Result<()> {
        let started = clock::now();
        while self.attached.load(Ordering::SeqCst) < count {
            if let Some(ended) = agents.try_join_next() {
                ended??;
                bail!("an agent ended by itself");
            }
            let so_far = self.attached.load(Ordering::SeqCst);
            ensure!(started.elapsed() < LIMIT, "{so_far} of {count} attachments in {} s", LIMIT.as_secs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// One agent's life: what it should do, a report acknowledged, and then it waits for changes. Any answer but success, 429 and
/// 503 with `Retry-After` ends the benchmark.
async fn agent(mut node: FleetNode, fleet: Fleet) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    let mut report = node.next_report()?;
    while !fleet.over.load(Ordering::SeqCst) {
        let attempt = async {
            let mut connection = fleet.connect().await?;
            let desired = connection.ask(&node.request("GET", "/desired?known=0&wait=0", b"")?).await?;
            if !good(desired.status, desired.retry_after)? {
                return Ok(None);
            }
            let acknowledged = connection.ask(&node.deliver(&report)?).await?;
            if !good(acknowledged.status, acknowledged.retry_after)? {
                return Ok(None);
            }
            let desired: Value = serde_json::from_slice(&desired.body)?;
            Ok::<_, anyhow::Error>(Some((connection, acknowledged, desired["revision"].as_u64())))
        };
        match attempt.await {
            Ok(Some((connection, acknowledged, revision))) => {
                node.check(&report, &acknowledged)?;
                report = node.next_report()?;
                fleet.attached.fetch_add(1, Ordering::SeqCst);
                pause = FIRST_PAUSE;
                let revision = revision.context("a revision")?;
                // It ends when the control plane does.
                match wait(connection, &node, revision).await {
                    Err(error) if error.is::<Unexpected>() => return Err(error),
                    _ => {}
                }
            }
            Ok(None) => {}
            Err(error) if error.is::<Unexpected>() => return Err(error),
            Err(_) => {} // it was away
        }
        tokio::time::sleep(by_chance(pause)?).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    Ok(())
}

async fn wait(mut connection: Connection, node: &FleetNode, revision: u64) -> Result<()> {
    loop {
        let question = format!("/desired?known={revision}&wait=50");
        let answer = connection.ask(&node.request("GET", &question, b"")?).await?;
        if !good(answer.status, answer.retry_after)? {
            return Ok(());
        }
    }
}

/// An answer that an agent should never get.
#[derive(Debug)]
struct Unexpected(u16);

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an agent was answered {}", self.0)
    }
}

impl std::error::Error for Unexpected {}

/// Whether it is success; `false` for what an agent waits out.
fn good(status: u16, retry_after: Option<u64>) -> Result<bool> {
    match status {
        200 => Ok(true),
        429 | 503 if retry_after.is_some() => Ok(false),
        other => Err(Unexpected(other).into()),
    }
}

fn by_chance(longest: Duration) -> Result<Duration> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let longest = u64::try_from(longest.as_micros())?;
    Ok(Duration::from_micros(u64::from_le_bytes(bytes) % longest.max(1)))
}
