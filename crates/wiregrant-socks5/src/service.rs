//! The service from its start to its end: sockets first, then no privilege, then clients, and at the end the agent's last look.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wiregrant_core::note::Salt;
use wiregrant_core::socks5::metering::Instance;

use crate::account::{Accounts, Ending};
use crate::command_line::Options;
use crate::egress::{Egress, MAX_LOOKUPS};
use crate::metering::MeteringSocket;
use crate::network_policy::NetworkPolicy;
use crate::pipe::Pipes;
use crate::relay::Idle;
use crate::session::Sessions;

/// Threads that move bytes.
const WORKERS: usize = 2;
/// How long the next try waits after the system could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Open files besides those of connections: pipes, listeners, lookups, the runtime's own.
const OTHER_FILES: u64 = 1024;
/// Sockets of an association besides its TCP connection.
const ASSOCIATION_FILES: u64 = 3;
/// Sockets of a connection.
const CONNECTION_FILES: u64 = 2;

/// Serves until it is told to stop.
///
/// # Errors
/// When a socket cannot be had, or the privileges this process was given cannot be dropped.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let listeners =
        options.listen.iter().map(|address| listen(*address)).collect::<anyhow::Result<Vec<_>>>()?;
    let metering = MeteringSocket::bind(&options.socket)?;
    drop_privileges().context("the privileges that this process was started with cannot be dropped")?;
    let max_connections = allowed_connections(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_LOOKUPS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(options, listeners, &metering, max_connections));
    // A name that is being looked up is not waited for.
    runtime.shutdown_background();
    result
}

fn listen(address: SocketAddr) -> anyhow::Result<StdListener> {
    let listener = StdListener::bind(address).with_context(|| {
        format!("--listen: {address}; is it an address of this host, and is the port free?")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Gives up every capability, whoever started this process, and the means to get one.
fn drop_privileges() -> rustix::io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let empty = CapabilitySet::empty();
    let none = CapabilitySets { effective: empty, permitted: empty, inheritable: empty };
    // A unit that gives none may forbid the very call.
    if capabilities(None)? == none { Ok(()) } else { set_capabilities(None, none) }
}

/// Raises the limit of open files as far as the system lets, and gives the connections that fit.
fn allowed_connections(options: &Options) -> anyhow::Result<usize> {
    let others = OTHER_FILES + ASSOCIATION_FILES * u64::try_from(options.max_associations)?;
    let needed = others + CONNECTION_FILES * u64::try_from(options.max_connections)?;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(needed).min(needed);
    if limit.current.is_some_and(|current| current < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })?;
    }
    let fit = usize::try_from(most.saturating_sub(others) / CONNECTION_FILES)?.min(options.max_connections);
    anyhow::ensure!(
        fit > 0,
        "this process may open {most} files, of which {others} are for other things than connections; raise the limit \
         (LimitNOFILE= of the unit), or lower --max-associations"
    );
    if fit < options.max_connections {
        tracing::warn!(
            open_files = most,
            connections = fit,
            asked = options.max_connections,
            "fewer connections than asked for: raise the limit of open files (LimitNOFILE= of the unit)"
        );
    }
    Ok(fit)
}

async fn serve(
    options: &Options,
    listeners: Vec<StdListener>,
    metering: &MeteringSocket,
    max_connections: usize,
) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut instance = Salt([0; 16]);
    getrandom::fill(&mut instance.0).context("the system has no randomness")?;
    let accounts = Arc::new(Accounts::new(Instance(instance), options.max_connections_per_device));
    let policy = NetworkPolicy::new(
        options.blocked_networks.clone(),
        options.allowed_networks.clone(),
        options.blocked_ports.clone(),
    );
    let egress = Arc::new(Egress::new(policy, options.egress_addresses.clone()));
    let sessions = Arc::new(Sessions {
        accounts: Arc::clone(&accounts),
        egress: Arc::clone(&egress),
        pipes: Pipes::default(),
        associations: Semaphore::new(options.max_associations),
        handshake: Duration::from_secs(options.handshake_seconds),
        idle: Idle {
            open: Duration::from_secs(options.idle_seconds),
            half_closed: Duration::from_secs(options.half_closed_seconds),
        },
    });
    let connections = Arc::new(Semaphore::new(max_connections));
    let handshakes = Arc::new(Semaphore::new(options.max_handshakes));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        accepting.spawn(accept(
            listener,
            Arc::clone(&sessions),
            Arc::clone(&connections),
            Arc::clone(&handshakes),
        ));
    }
    tracing::info!(
        "serving SOCKS5, which is not encrypted: whoever is on the way can read what is not encrypted itself"
    );
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        }
        accepting.abort_all();
        tokio::select! {
            () = end(options, &accounts) => {}
            _ = terminate.recv() => tracing::warn!("stopping at once on a second SIGTERM"),
            _ = interrupt.recv() => tracing::warn!("stopping at once on a second SIGINT"),
        }
    };
    tokio::select! {
        result = metering.answer(&accounts, &egress) => result,
        () = stop => Ok(()),
    }
}

/// Accepts clients, as many as there may be.
async fn accept(
    listener: TcpListener,
    sessions: Arc<Sessions>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
) {
    loop {
        // The semaphores are never closed.
        let Ok(connection) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                // Who says nothing must not keep out who does: beyond the limit, strangers are closed at once.
                let Ok(handshaking) = Arc::clone(&handshakes).try_acquire_owned() else { continue };
                let sessions = Arc::clone(&sessions);
                tokio::spawn(async move {
                    let _ = client.set_nodelay(true);
                    sessions.serve(client, handshaking).await;
                    drop(connection);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client's connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets connections end, cuts the rest, and waits until the agent has kept what was counted.
async fn end(options: &Options, accounts: &Accounts) {
    let _ = timeout(Duration::from_secs(options.grace_seconds), accounts.idle()).await;
    accounts.stop().await;
    if accounts.readings().readings.is_empty() {
        tracing::info!("stopped; nothing was left to count");
        return;
    }
    let mut ending = accounts.ending();
    let released = ending.wait_for(|ending| *ending == Ending::Released);
    let kept = timeout(Duration::from_secs(options.final_seconds), released).await.is_ok();
    if kept {
        tracing::info!("stopped; the agent has counted everything");
    } else {
        tracing::warn!(
            waited_seconds = options.final_seconds,
            "stopped; the agent did not come for the last reading, so what moved since its last one is not counted"
        );
    }
}
