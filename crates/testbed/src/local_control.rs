//! `LocalControl`: the real `wiregrant-control` on a loopback port, on whichever database, to be loaded, killed and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wiregrant_core::api::TokenCreated;

use crate::connection;
use crate::control_plane::{NETWORK, ORIGIN};
use crate::fleet::Administrator;
use crate::process::{self, Process};
use crate::wait::eventually;

/// How long its start may take, on a machine that does much else.
pub const START_LIMIT: Duration = Duration::from_secs(120);
/// Room for 16,384 nodes, whose part is a /22.
const POOL_V4: &str = "10.0.0.0/8";

/// A control plane of one's own.
pub struct LocalControl {
    program: PathBuf,
    data: PathBuf,
    database: String,
    origin: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it tells its figures.
    pub monitor: SocketAddr,
    /// The certificate and the key that it serves with, where it does.
    tls: Option<[PathBuf; 2]>,
    process: Option<Process>,
}

impl LocalControl {
    /// Starts one whose keys lie in `data`; replicas of one database get copies of one folder.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub fn start(program: &Path, data: &Path, database: &str) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let mut control = Self {
            program: program.to_owned(),
            data: data.to_owned(),
            database: database.to_owned(),
            origin: ORIGIN.to_owned(),
            address: free_port()?,
            monitor: free_port()?,
            tls: None,
            process: None,
        };
        control.launch()?;
        control.until_ready(START_LIMIT)?;
        control.claim()?;
        Ok(control)
    }

    /// Exchanges the token that signs in once for one that stays, the first time.
    fn claim(&self) -> Result<()> {
        let (once, kept) = (self.data.join("bootstrap.token"), self.data.join("admin.token"));
        if kept.exists() || !once.exists() {
            return Ok(());
        }
        let token = std::fs::read_to_string(once)?.trim().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let made: TokenCreated = runtime.block_on(async {
            let mut administrator = Administrator::connect(self.address, token).await?;
            administrator.ask("POST", "/tokens", &serde_json::json!({ "holder": "Ada" })).await
        })?;
        Ok(std::fs::write(kept, made.token)?)
    }

    /// Runs one of its commands to its end.
    ///
    /// # Errors
    /// What it says where it fails.
    pub fn run(&self, word: &str, more: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args([word, "--origin", &self.origin, "--network", NETWORK, "--database", &self.database]);
        command.arg("--data-dir").arg(&self.data).args(more);
        process::run(&mut command)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it goes on.
    pub fn until_ended(&mut self, limit: Duration) -> Result<()> {
        let process = self.process.as_mut().context("the control plane is not running")?;
        let log = process.log().to_owned();
        eventually("its end", limit, &[&log], || Ok(process.still_runs().is_err().then_some(())))?;
        self.process = None;
        Ok(())
    }

    /// Starts it again without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--origin", &self.origin, "--network", NETWORK, "--pool-v4", POOL_V4]);
        command.args(["--listen", &self.address.to_string(), "--monitor-listen", &self.monitor.to_string()]);
        command.args(["--database", &self.database, "--data-dir"]).arg(&self.data);
        if let Some([certificate, key]) = &self.tls {
            command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        }
        self.process = Some(Process::spawn("control", &mut command, &self.data)?);
        Ok(())
    }

    /// From its next start on it serves under another origin.
    pub fn go_on_as(&mut self, origin: &str) {
        self.origin = origin.to_owned();
    }

    /// From its next start on it serves with a certificate of its own for `localhost`. Gives what a client needs to trust it.
    ///
    /// # Errors
    /// When OpenSSL is not installed, or what it says.
    pub fn serve_with_tls(&mut self) -> Result<TlsConnector> {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| self.data.join(name));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        // Nothing else is accepted as a server's own.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        process::run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificate)?)?;
        self.tls = Some([certificate, key]);
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Waits until it can do its work.
    ///
    /// # Errors
    /// When it ends, or is not ready within `limit`.
    pub fn until_ready(&mut self, limit: Duration) -> Result<()> {
        let process = self.process.as_mut().context("the control plane is not running")?;
        let log = process.log().to_owned();
        // Without TLS in any case.
        let address = self.monitor;
        eventually("a control plane that is ready", limit, &[&log], || {
            process.still_runs()?;
            let ready = connection::get(address, "/readyz");
            Ok(ready.ok().filter(|answer| answer.status == 200).map(drop))
        })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill_9(&mut self) -> Result<()> {
        self.process.take().context("the control plane is not running")?.kill_9()
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// The administrator's token.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn admin_token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data.join("admin.token"))?.trim().to_owned())
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.join("control.log")
    }

    /// One of its figures, in millionths.
    ///
    /// # Errors
    /// When it does not answer, or has no such figure.
    pub fn figure(&self, name: &str) -> Result<u64> {
        let text = connection::get(self.monitor, "/metrics")?.body;
        let text = String::from_utf8(text).context("the figures are no text")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("there is no figure {name} in:\n{text}"))?;
        let (whole, part) = value.split_once('.').unwrap_or((value, ""));
        format!("{whole}{part:0<6}").parse().with_context(|| format!("{name} {value}"))
    }

    /// The memory that it has now, in bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory_bytes(&self) -> Result<u64> {
        let process = self.process.as_ref().context("the control plane is not running")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kib: u64 = resident.context("no VmRSS")?.trim().parse()?;
        Ok(kib * 1024)
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
