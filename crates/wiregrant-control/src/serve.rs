//! The commands: `init`, `serve`, `check-config`.

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::command_line::{Command, config_path};
use crate::config::{Config, ConfigFile};
use crate::control_plane::ControlPlane;
use crate::file::{self, Readers};
use crate::keys::Keys;
use crate::{listener, router};

/// Runs a command to its end.
///
/// # Errors
/// A [`crate::config::ConfigError`] where the configuration is at fault; anything else is a failure.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(flags) => init(flags),
        Command::Serve(configured) => serve(configured.load()?).await,
        Command::CheckConfig(configured) => check(&configured.load()?),
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

fn check(config: &Config) -> anyhow::Result<()> {
    let Config {
        origin,
        network,
        listen,
        public_urls,
        data_dir,
        public_dir,
        pool_v4,
        pool_v6,
        dns,
        title,
        ..
    } = config;
    println!("title       {title}");
    println!("origin      {origin}");
    println!("network     {network}");
    println!("listen      {listen}");
    println!("public_urls {}", public_urls.join(" "));
    println!("data_dir    {}", data_dir.display());
    println!("public_dir  {}", public_dir.display());
    println!("pools       {pool_v4} {pool_v6}");
    println!("dns         {}", dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let keys = data_dir.join("keys");
    if keys.exists() {
        println!("log key     {}", Keys::open(&keys, origin)?.record.verifier());
    }
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Taken before anything is opened, so that whoever stops a start half way gets an end in good order.
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM")?;
    let listen = config.listen;
    let (plane, mut tasks) = ControlPlane::open(config, Clock::System).await?;
    let socket = TcpListener::bind(listen).await.with_context(|| format!("listen: {listen}"))?;
    let address = socket.local_addr().context("listen")?;
    tracing::info!(%address, database = plane.store.database(), origin = %plane.config.origin, "serving");
    let mut was_asked = true;
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = tasks.one_ended() => was_asked = false,
        }
        tracing::info!("stopping");
        plane.stop();
    };
    listener::serve(socket, router::router(&plane), stop).await;
    tasks.ended().await;
    plane.store.close().await;
    anyhow::ensure!(was_asked, "a part of the control plane broke down, the log says which; start it again");
    Ok(())
}
