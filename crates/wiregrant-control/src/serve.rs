//! The commands: `init`, `serve`, `bootstrap`, `check-config`, `backup`, `restore`, `catch-up`, `new-origin`, `next-log-key`,
//! `next-statement-key`, `witness`.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use transparency_log::Verifier;
use wiregrant_core::record::KeyRole;
use wiregrant_store::Store;

use crate::catch_up::{self, Waited};
use crate::clock::Clock;
use crate::command_line::{Command, config_path};
use crate::config::{Config, ConfigFile};
use crate::control_plane::{ControlPlane, open_keys};
use crate::file::{self, Readers};
use crate::keys::{Keys, reports_origin};
use crate::listener::{self, Service};
use crate::tls::Tls;
use crate::{backup, bootstrap, monitor, new_origin, router, tls, witness};

/// Runs a command to its end.
///
/// # Errors
/// A [`crate::config::ConfigError`] where the configuration is at fault; anything else is a failure.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(flags) => init(flags),
        Command::Serve(configured) => serve(configured.load()?).await,
        Command::Bootstrap(configured) => make_bootstrap_token(&configured.load()?).await,
        Command::CheckConfig(configured) => check(&configured.load()?),
        Command::Backup { to, configured } => backup::back_up(&configured.load()?, &to).await,
        Command::Restore { from, configured } => backup::restore(&configured.load()?, &from).await,
        Command::CatchUp { from, without, configured } => {
            catch_up::run(&configured.load()?, &from, &without).await
        }
        Command::NewOrigin { new, seen, configured } => {
            new_origin::run(&configured.load()?, &new, &seen).await
        }
        Command::NextLogKey(configured) => make_next_key(KeyRole::Log, &configured.load()?),
        Command::NextStatementKey(configured) => make_next_key(KeyRole::Statement, &configured.load()?),
        Command::Witness(arguments) => witness::serve(arguments).await,
    }
}

fn init(flags: ConfigFile) -> anyhow::Result<()> {
    let config = flags.clone().checked()?;
    let path = config_path(&config);
    file::make_folder(&config.data_dir, Readers::Owner)?;
    let text = toml::to_string(&flags).context("the configuration as TOML")?;
    match file::read_if_there(&path, u64::MAX)? {
        None => file::write_whole(&path, text.as_bytes(), Readers::Owner)?,
        Some(present) if present == text => {}
        Some(_) => {
            anyhow::bail!("{}: there is another configuration already; change or remove it", path.display())
        }
    }
    let keys = Keys::open_or_make(&config.data_dir.join("keys"), &config.origin)?;
    println!("configuration  {}", path.display());
    println!("log key        {}", keys.record.verifier());
    println!("next           wiregrant-control serve --config {}", path.display());
    Ok(())
}

async fn make_bootstrap_token(config: &Config) -> anyhow::Result<()> {
    let store = Store::open(&config.database).await.context("database")?;
    let keys = open_keys(config, &store).await?;
    let path = bootstrap::make_again(config, &keys, &store, &Clock::System).await?;
    store.close().await;
    println!("token          {}", path.display());
    println!("next           wiregrant --token-file {} token make --holder <your name>", path.display());
    Ok(())
}

fn make_next_key(role: KeyRole, config: &Config) -> anyhow::Result<()> {
    let folder = config.data_dir.join("keys");
    let keys = Keys::open(&folder, &config.origin)?;
    let present = match role {
        KeyRole::Log => keys.record.verifier(),
        KeyRole::Statement => keys.statement.verifier(),
    };
    let next = Keys::make_next(role, &folder, &config.origin)?.verifier();
    println!("{:<13}  {present}", format!("{role} key"));
    println!("next           {next}");
    println!("back up        {}/{role}.key.next, offline, before it is in use", folder.display());
    if role == KeyRole::Log {
        let reports = Verifier::from_public_key(&reports_origin(&config.origin), next.public_key())?;
        println!(
            "witnesses      are told the new key beside the present one, before it is in use: {next} {reports}"
        );
    }
    println!(
        "in use         from the next start on; stop every replica first, and copy the keys folder to each afterwards"
    );
    Ok(())
}

fn check(config: &Config) -> anyhow::Result<()> {
    let Config {
        origin,
        network,
        listen,
        monitor_listen,
        tls,
        tls_pin,
        public_urls,
        data_dir,
        public_dir,
        pool_v4,
        pool_v6,
        dns,
        title,
        witnesses,
        ..
    } = config;
    println!("title       {title}");
    println!("origin      {origin}");
    println!("network     {network}");
    println!("listen      {listen}{}", if tls.is_some() { ", with TLS" } else { "" });
    if let Some(monitor) = monitor_listen {
        println!("monitor     {monitor}");
    }
    if let Some(files) = tls {
        Tls::open(files.clone())?;
    }
    if let Some(certificate) = tls_pin {
        println!("tls_pin     {}", tls::pin(certificate)?);
    }
    println!("public_urls {}", public_urls.join(" "));
    println!("data_dir    {}", data_dir.display());
    println!("public_dir  {}", public_dir.display());
    println!("pools       {pool_v4} {pool_v6}");
    println!("dns         {}", dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    for witness in witnesses {
        println!("witness     {witness}");
    }
    let keys = data_dir.join("keys");
    if keys.exists() {
        println!("log key     {}", Keys::open(&keys, origin)?.record.verifier());
    }
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Taken before anything is opened, so that whoever stops a start half way gets an end in good order.
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut hung_up = signal(SignalKind::hangup()).context("SIGHUP")?;
    let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let (listen, monitor_listen) = (config.listen, config.monitor_listen);
    let stopped = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    if catch_up::wait_for_nodes(&config, tls.clone(), stopped).await? == Waited::Stopped {
        return Ok(());
    }
    let (plane, mut tasks) = ControlPlane::open(config, Clock::System).await?;
    let socket = TcpListener::bind(listen).await.with_context(|| format!("listen: {listen}"))?;
    let address = socket.local_addr().context("listen")?;
    if let Some(monitor) = monitor_listen {
        let socket =
            TcpListener::bind(monitor).await.with_context(|| format!("monitor_listen: {monitor}"))?;
        let service = Service { router: monitor::router(&plane), tls: None, figures: Arc::default() };
        tokio::spawn(listener::serve(socket, service, plane.stopped()));
    }
    tracing::info!(%address, database = plane.store.database(), origin = %plane.config.origin, "serving");
    let mut was_asked = true;
    let stop = async {
        loop {
            tokio::select! {
                _ = hung_up.recv() => reload(tls.as_deref()),
                _ = terminated.recv() => break,
                _ = tokio::signal::ctrl_c() => break,
                () = tasks.one_ended() => {
                    was_asked = false;
                    break;
                }
            }
        }
        tracing::info!("stopping");
        plane.stop();
    };
    let figures = Arc::clone(&plane.figures);
    listener::serve(socket, Service { router: router::router(&plane), tls: tls.clone(), figures }, stop)
        .await;
    tasks.ended().await;
    plane.store.close().await;
    anyhow::ensure!(was_asked, "a part of the control plane broke down, the log says which; start it again");
    Ok(())
}

fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => tracing::info!("there is no certificate to read again"),
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the certificate could not be read again; the old one stays"
            );
        }
    }
}
