//! WireGuard in a `wireguard-go` process of its own, through the socket it opens.
//!
//! The process is started in a session of its own and goes into the background by itself, so neither the agent's end nor
//! a signal to the agent's terminal or process group ends it. The tunnel is gone when its link is deleted.
//!
//! A service manager ends what a service started together with the service. Under one, the process is a service of its
//! own, and is waited for.

use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};

use super::uapi::{self, UapiError};
use super::{
    Device, Ensured, Interface, InterfaceName, InterfaceSettings, LivePeer, PeerChange, Routed,
    WireGuardError, link, same_key,
};

/// The program, and the Debian package that has it.
const PROGRAM: &str = "wireguard-go";
/// Where userspace implementations open their sockets, one folder for all network namespaces of a machine.
const SOCKETS: &str = "/var/run/wireguard";
/// How long one read or write of the socket may take.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new process may take to go into the background and listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process may take to end after its link was deleted.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often that is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The most peers changed in one transaction, during which the process answers nobody else.
const MAX_TRANSACTION_PEERS: usize = 4096;
/// How much of what a failed start printed is told.
const MAX_PRINTED_BYTES: u64 = 4096;

/// Who starts the process, where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Starter {
    /// The agent.
    #[default]
    Agent,
    /// A service manager, by a unit of its own; the agent waits for it.
    ServiceManager,
}

/// An interface that a `wireguard-go` process holds.
pub struct WireGuardGo {
    name: InterfaceName,
    starter: Starter,
}

impl WireGuardGo {
    /// The interface of this name, which need not exist yet.
    #[must_use]
    pub fn new(name: InterfaceName) -> Self {
        Self { name, starter: Starter::default() }
    }

    /// The same, with its process started by somebody.
    #[must_use]
    pub fn started_by(self, starter: Starter) -> Self {
        Self { starter, ..self }
    }

    /// Whether the program is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        on_path(PROGRAM)
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(SOCKETS).join(format!("{}.sock", self.name))
    }

    /// Whether a process listens. A socket file that nobody listens at is left from a process that ended; `wireguard-go`
    /// replaces it.
    fn listens(&self) -> Result<bool, WireGuardError> {
        match UnixStream::connect(self.socket()) {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// One request and its reply, on a connection of their own: a conversation that failed halfway leaves nothing behind.
    fn ask<T>(
        &self,
        request: &str,
        read: impl FnOnce(BufReader<UnixStream>) -> Result<T, UapiError>,
    ) -> Result<T, WireGuardError> {
        let converse = || {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
            stream.set_write_timeout(Some(SOCKET_TIMEOUT))?;
            stream.write_all(request.as_bytes())?;
            read(BufReader::new(stream))
        };
        converse().map_err(|source| self.failed(source))
    }

    fn device(&self) -> Result<Device, WireGuardError> {
        self.ask(uapi::GET, uapi::read_device)
    }

    fn change<'a>(&self, changes: impl IntoIterator<Item = PeerChange<'a>>) -> Result<(), WireGuardError> {
        self.ask(&uapi::change_peers(changes), uapi::read_acknowledgement)
    }

    /// Deletes the link of a process that has this key, or none and no peers, and waits for the end of the process.
    pub(super) fn delete(&self, private_key: &WireGuardPrivateKey) -> Result<(), WireGuardError> {
        if !self.listens()? {
            return Err(WireGuardError::OtherKind { name: self.name.to_string(), kind: "tun".to_owned() });
        }
        let device = self.device()?;
        match &device.private_key {
            Some(key) if same_key(key, private_key) => {}
            None if device.peers.is_empty() => {}
            _ => return Err(WireGuardError::OtherKey { name: self.name.to_string() }),
        }
        link::delete(self.name.as_str())?;
        for _ in 0..STOP_TIMEOUT.as_millis() / POLL.as_millis() {
            if !self.listens()? {
                return Ok(());
            }
            sleep(POLL);
        }
        Err(WireGuardError::StillListening {
            name: self.name.to_string(),
            socket: self.socket().display().to_string(),
            seconds: STOP_TIMEOUT.as_secs(),
        })
    }

    fn failed(&self, source: UapiError) -> WireGuardError {
        WireGuardError::Uapi { name: self.name.to_string(), source }
    }

    /// Starts the process and waits until it listens.
    fn start(&self) -> Result<(), WireGuardError> {
        let command = format!("setsid {PROGRAM} {}", self.name);
        let system = |source| WireGuardError::Io { what: command.clone(), source };
        if !Self::is_installed() {
            return Err(WireGuardError::MissingProgram { program: PROGRAM, package: PROGRAM });
        }
        let mut child = Command::new("setsid")
            .args([PROGRAM, self.name.as_str()])
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => {
                    WireGuardError::MissingProgram { program: "setsid", package: "util-linux" }
                }
                _ => system(source),
            })?;
        for _ in 0..START_TIMEOUT.as_millis() / POLL.as_millis() {
            match child.try_wait().map_err(system)? {
                Some(status) if !status.success() => {
                    return Err(WireGuardError::Command { message: last_words(child, status), command });
                }
                Some(_) if self.listens()? => return Ok(()),
                _ => sleep(POLL),
            }
        }
        // Whatever hangs there is not the background process, which nobody waits for here; it may have ended by now.
        let _ = child.kill();
        let _ = child.wait();
        Err(WireGuardError::NotListening {
            name: self.name.to_string(),
            socket: self.socket().display().to_string(),
            seconds: START_TIMEOUT.as_secs(),
        })
    }

    /// Waits until the process that somebody else starts listens and has made its link.
    fn wait_for_start(&self) -> Result<(), WireGuardError> {
        for _ in 0..START_TIMEOUT.as_millis() / POLL.as_millis() {
            if self.listens()? {
                return Ok(());
            }
            sleep(POLL);
        }
        Err(WireGuardError::NotStarted { name: self.name.to_string(), seconds: START_TIMEOUT.as_secs() })
    }

    /// Sets key and port of a process that has none yet.
    fn configure_new(&self, settings: &InterfaceSettings) -> Result<(), WireGuardError> {
        let port = (settings.listen_port != 0).then_some(settings.listen_port);
        let request = uapi::set_interface(Some(&settings.private_key), port);
        self.ask(&request, uapi::read_acknowledgement)
    }

    fn listen_on(&self, port: u16) -> Result<(), WireGuardError> {
        let request = uapi::set_interface(None, Some(port));
        self.ask(&request, uapi::read_acknowledgement).map_err(|error| match error {
            WireGuardError::Uapi { name, source: UapiError::Refused(errno) }
                if errno == -i64::from(Errno::ADDRINUSE.raw_os_error()) =>
            {
                WireGuardError::PortTaken { name, port }
            }
            error => error,
        })
    }

    /// Takes over a process that listens.
    fn adopt(&self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        let device = self.device()?;
        if link::find(&self.name)?.is_none() {
            return Err(WireGuardError::Elsewhere { name: self.name.to_string() });
        }
        match &device.private_key {
            Some(key) if same_key(key, &settings.private_key) => {
                if settings.listen_port != 0 && settings.listen_port != device.listen_port {
                    self.listen_on(settings.listen_port).inspect_err(|_| {
                        // It has closed its old socket before it found out. Should it not get that back, it will be asked
                        // for the new port again.
                        let _ = self.listen_on(device.listen_port);
                    })?;
                }
                Ok(Ensured::Adopted)
            }
            // Started and never configured: an agent was stopped between the two. Nobody is on it.
            None if device.peers.is_empty() => self.configure_new(settings).map(|()| Ensured::Created),
            _ => Err(WireGuardError::OtherKey { name: self.name.to_string() }),
        }
    }
}

impl Interface for WireGuardGo {
    fn kind(&self) -> Backend {
        Backend::WireGuardGo
    }

    fn ensure_interface(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        if self.starter == Starter::ServiceManager {
            self.wait_for_start()?;
        }
        let ensured = if self.listens()? {
            self.adopt(settings)?
        } else if let Some(link) = link::find(&self.name)? {
            return Err(WireGuardError::OtherKind { name: self.name.to_string(), kind: link.kind });
        } else {
            self.start()?;
            self.configure_new(settings)?;
            Ensured::Created
        };
        link::converge(&self.name, settings)?;
        Ok(ensured)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        self.device()?.into_peers(&self.name)
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        self.change([PeerChange::Set { peer, allowed_ips }])
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.change([PeerChange::Remove { peer }])
    }

    fn set_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        peers.chunks(MAX_TRANSACTION_PEERS).try_for_each(|peers| {
            self.change(peers.iter().map(|(peer, allowed_ips)| PeerChange::Set { peer, allowed_ips }))
        })
    }

    fn update_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        peers.chunks(MAX_TRANSACTION_PEERS).try_for_each(|peers| {
            self.change(peers.iter().map(|(peer, allowed_ips)| PeerChange::Update { peer, allowed_ips }))
        })
    }

    fn remove_peers(&mut self, peers: &[WireGuardPublicKey]) -> Result<(), WireGuardError> {
        peers
            .chunks(MAX_TRANSACTION_PEERS)
            .try_for_each(|peers| self.change(peers.iter().map(|peer| PeerChange::Remove { peer })))
    }
}

/// What a process that failed has said, without the frame in which `wireguard-go` recommends the kernel's WireGuard.
fn last_words(mut child: Child, status: ExitStatus) -> String {
    let mut text = String::new();
    let pipes: [Option<Box<dyn Read>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for pipe in pipes.into_iter().flatten() {
        // What cannot be read is missing from a message; the failure itself is told anyway.
        let _ = pipe.take(MAX_PRINTED_BYTES).read_to_string(&mut text);
    }
    let framed = |line: &&str| !line.trim().is_empty() && !line.starts_with(['┌', '│', '└']);
    let lines: Vec<&str> = text.lines().filter(framed).map(str::trim).collect();
    if lines.is_empty() { status.to_string() } else { lines.join("; ") }
}

/// Whether a program can be called by its name.
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
