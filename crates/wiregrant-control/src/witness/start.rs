//! `wiregrant-control witness`: from the command line to a server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use transparency_log::Verifier;

use super::folder::Folder;
use super::{Witness, router};
use crate::clock::Clock;
use crate::listener::{self, Service};

/// What a witness is told.
#[derive(Debug, Args)]
pub struct WitnessArguments {
    /// Where its key and what it has cosigned lie. Never two copies of it at work, never an older one put back: a witness that
    /// forgot can be made to cosign two histories.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Its name for good, such as witness.example/w1; part of the key that others trust.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// The key of a log to follow, as its control plane publishes it under /log/vkey and /reports/vkey; and beside it, where it is about to
    /// change, the one that its `next-log-key` prints. Of 1 to 256 logs.
    #[arg(long = "log", value_name = "VKEY", required = true)]
    pub logs: Vec<Verifier>,
}

/// Serves until told to stop.
///
/// # Errors
/// When it cannot start as the witness it was.
pub async fn serve(arguments: WitnessArguments) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM")?;
    let folder = Folder::open(&arguments.data_dir)?;
    let key = folder.key(&arguments.name)?;
    let witness = Arc::new(Witness::open(key, arguments.logs, folder)?);
    let listen = arguments.listen;
    let socket = TcpListener::bind(listen).await.with_context(|| format!("--listen: {listen}"))?;
    let address = socket.local_addr().context("listen")?;
    tracing::info!(%address, vkey = %witness.verifier(), logs = witness.logs.len(), "witnessing");
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    };
    let service = Service { router: router(witness, Clock::System), tls: None, figures: Arc::default() };
    listener::serve(socket, service, stop).await;
    Ok(())
}
