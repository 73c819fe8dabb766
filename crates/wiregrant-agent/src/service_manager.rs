//! The service manager: who started the agent as a service, and is told how it stands.
//!
//! The protocol is `sd_notify(3)`: datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without such a
//! socket nobody is told anything. Own code, because it is a page, and a library would be another one in the privileged process.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How long a message may wait for room in the service manager's queue.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct ServiceManager {
    line: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
    /// The last status, so that the same is not told every few seconds.
    status: Mutex<String>,
}

/// What the service manager's environment variables say.
#[derive(Debug, Default)]
pub struct Environment {
    /// `NOTIFY_SOCKET`: a path, or `@` and an abstract address.
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`: microseconds after which silence means that the service hangs.
    pub watchdog_microseconds: Option<String>,
    /// `WATCHDOG_PID`: whom that concerns.
    pub watchdog_pid: Option<String>,
}

impl Environment {
    /// This process's.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok();
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_microseconds: text("WATCHDOG_USEC"),
            watchdog_pid: text("WATCHDOG_PID"),
        }
    }
}

impl ServiceManager {
    /// The service manager of an environment.
    ///
    /// # Errors
    /// When a variable is there and cannot be used: silence would have the service manager end the service later.
    pub fn new(environment: &Environment) -> anyhow::Result<Self> {
        let Some(name) = environment.socket.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let shown = name.display();
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => bail!(
                "NOTIFY_SOCKET: {shown} is neither a path nor `@` and an abstract address; unset it, or start the agent with \
                 `Type=exec`"
            ),
        };
        let address = address.with_context(|| format!("NOTIFY_SOCKET: {shown}"))?;
        let socket = UnixDatagram::unbound().context("a socket to the service manager")?;
        socket.set_write_timeout(Some(SEND_TIMEOUT)).context("a socket to the service manager")?;
        let watchdog = Watchdog::new(environment)?;
        Ok(Self { line: Some((socket, address)), watchdog, status: Mutex::default() })
    }

    /// The service does what it is for.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// It takes its configuration anew; [`Self::ready`] ends that. The time is of `CLOCK_MONOTONIC`, in microseconds.
    pub fn reloading(&self, monotonic_microseconds: u64) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={monotonic_microseconds}"));
    }

    /// It ends, by request.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// How it stands, for people; sent if it differs from the last. It is one line.
    pub fn status(&self, status: &str) {
        let mut last = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if self.line.is_some() && *last != status {
            self.send(&format!("STATUS={}", status.replace('\n', " ")));
            status.clone_into(&mut last);
        }
    }

    /// It is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// The watchdog, if this process has one.
    #[must_use]
    pub fn watchdog(&self) -> Option<&Watchdog> {
        self.watchdog.as_ref()
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.line else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(message, "the service manager cannot be told: {error}");
        }
    }
}

/// The service manager's watchdog: it ends a service that is silent for longer than the patience.
///
/// The service must be silent when its work hangs, although the loop that speaks does not. So the work says by when it
/// will be heard of again, and while that is not over the service is alive. Times are since the process started.
#[derive(Debug)]
pub struct Watchdog {
    patience: Duration,
    deadline: Mutex<Duration>,
}

impl Watchdog {
    fn new(environment: &Environment) -> anyhow::Result<Option<Self>> {
        let Some(microseconds) = &environment.watchdog_microseconds else { return Ok(None) };
        let of_another =
            environment.watchdog_pid.as_ref().is_some_and(|pid| *pid != std::process::id().to_string());
        if of_another {
            return Ok(None);
        }
        let patience = microseconds.parse().ok().filter(|number| *number > 0).map(Duration::from_micros);
        let patience = patience.with_context(|| {
            format!("WATCHDOG_USEC: {microseconds:?} is not a number of microseconds; unset it or set `WatchdogSec=`")
        })?;
        Ok(Some(Self { patience, deadline: Mutex::new(patience) }))
    }

    /// How often the service should speak: twice as often as it must.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.patience / 2
    }

    /// The work will be heard of again when `pause` is over and it has done one turn, for which it has the patience.
    pub fn expect_after(&self, now: Duration, pause: Duration) {
        let deadline = now.saturating_add(pause).saturating_add(self.patience);
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// Whether the work is not overdue.
    #[must_use]
    pub fn holds(&self, now: Duration) -> bool {
        now <= *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(socket: &str, microseconds: Option<&str>, pid: Option<u32>) -> Environment {
        Environment {
            socket: Some(socket.into()),
            watchdog_microseconds: microseconds.map(str::to_owned),
            watchdog_pid: pid.map(|pid| pid.to_string()),
        }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_service_manager_hears_at_a_path_and_at_an_abstract_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("wiregrant-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, given) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}")),
        ] {
            let manager = ServiceManager::new(&environment(&given, None, None)).unwrap();
            manager.ready();
            manager.reloading(17);
            for status in ["two\nlines", "two\nlines", "another"] {
                manager.status(status);
            }
            manager.alive();
            manager.stopping();
            for expected in [
                "READY=1",
                "RELOADING=1\nMONOTONIC_USEC=17",
                "STATUS=two lines",
                "STATUS=another",
                "WATCHDOG=1",
                "STOPPING=1",
            ] {
                assert_eq!(heard(&socket), expected);
            }
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_sent_and_one_that_went_away_is_no_error() {
        ServiceManager::new(&Environment::default()).unwrap().ready();
        ServiceManager::new(&environment("/nowhere/notify", None, None)).unwrap().ready();
    }

    #[test]
    fn an_environment_that_cannot_be_used_is_an_error_that_names_it() {
        for (environment, named) in [
            (environment("vsock:2:1234", None, None), "NOTIFY_SOCKET: vsock:2:1234"),
            (environment("@x", Some("soon"), None), "WATCHDOG_USEC: \"soon\""),
            (environment("@x", Some("0"), None), "WATCHDOG_USEC: \"0\""),
        ] {
            let error = ServiceManager::new(&environment).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }

    #[test]
    fn a_watchdog_holds_while_the_work_is_heard_of_in_time() {
        let seconds = Duration::from_secs;
        let manager = ServiceManager::new(&environment("@x", Some("4000000"), None)).unwrap();
        let watchdog = manager.watchdog().unwrap();
        assert_eq!(watchdog.interval(), seconds(2));
        assert!(watchdog.holds(seconds(4)) && !watchdog.holds(seconds(5)));
        // An hour between two turns is no hanging; a turn that takes longer than the patience is.
        watchdog.expect_after(seconds(5), seconds(3600));
        assert!(watchdog.holds(seconds(3609)) && !watchdog.holds(seconds(3610)));
        let of_another = environment("@x", Some("4000000"), Some(1));
        assert!(ServiceManager::new(&of_another).unwrap().watchdog().is_none());
    }
}
