//! The agent's side of the house: the UNIX socket on which the agent says whom to serve and reads what was moved. Its
//! language is [`wiregrant_core::socks5::metering`].

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use wiregrant_core::socks5::metering::{Answer, MAX_LINE_BYTES, Question};

use crate::account::Accounts;
use crate::egress::Egress;

/// Questions answered at once: one agent, and a person who looks.
const MAX_CONVERSATIONS: usize = 4;
/// How long a question may take to come, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the next try waits after the system could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket's file, removed with it.
#[derive(Debug)]
pub struct MeteringSocket {
    listener: StdListener,
    path: PathBuf,
}

impl MeteringSocket {
    /// Listens, for the user and group of this process only (mode 0660). Call it while the process has one thread: it sets the
    /// process's umask for an instant.
    ///
    /// # Errors
    /// When another service listens there, or the file system refuses.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if StdStream::connect(path).is_ok() {
            bail!("--socket: another service listens on {shown}; stop it, or choose another path");
        }
        if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)
                .with_context(|| format!("--socket: {shown} was left by another run"))?;
        }
        let before = umask(Mode::from_raw_mode(0o117));
        let bound = StdListener::bind(path);
        umask(before);
        let listener = bound.with_context(|| {
            format!("--socket: {shown}; its folder must exist and be writable for this process")
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the socket cannot be listened on.
    pub async fn answer(&self, accounts: &Arc<Accounts>, egress: &Arc<Egress>) -> anyhow::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let conversations = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
        loop {
            let permit = Arc::clone(&conversations).acquire_owned().await?;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (accounts, egress) = (Arc::clone(accounts), Arc::clone(egress));
                    tokio::spawn(async move {
                        // An agent that stops in the midst asks again.
                        let _ = converse(stream, &accounts, &egress).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the agent's connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for MeteringSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one connection's questions until it ends or one of them is wrong.
async fn converse(stream: UnixStream, accounts: &Accounts, egress: &Egress) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    loop {
        let mut line = Vec::new();
        timeout(PATIENCE, (&mut read).take(most).read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let question = if line.ends_with(b"\n") {
            Question::parse(&line).map_err(|error| error.to_string())
        } else {
            Err(format!("a question is one line of at most {MAX_LINE_BYTES} bytes"))
        };
        // The release comes after its answer: it ends the process.
        let release = match &question {
            Ok(Question::Release { instance }) => Some(*instance),
            _ => None,
        };
        let answer = answer(question, accounts, egress).await;
        timeout(PATIENCE, write.write_all(answer.to_line().as_bytes())).await??;
        if let Some(instance) = release {
            accounts.release(instance);
        }
        if matches!(answer, Answer::Refused { .. }) {
            return Ok(());
        }
    }
}

/// Does what is asked, but for a release, and gives the answer.
async fn answer(question: Result<Question, String>, accounts: &Accounts, egress: &Egress) -> Answer {
    let done = match question {
        Ok(Question::Serve { logins, refused_networks, rates }) => {
            egress.policy().refuse(refused_networks);
            accounts.keep_to(rates);
            accounts.serve(logins).await.map_err(|error| error.to_string())
        }
        Ok(Question::Forget { instance, usernames }) => {
            accounts.forget(instance, &usernames);
            Ok(())
        }
        Ok(Question::Read {} | Question::Release { .. }) => Ok(()),
        Err(reason) => Err(reason),
    };
    match done {
        Ok(()) => Answer::Readings(accounts.readings()),
        Err(reason) => {
            tracing::warn!(reason, "a question of the agent's was refused");
            Answer::Refused { reason }
        }
    }
}
