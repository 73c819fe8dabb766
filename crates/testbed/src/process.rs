//! `Process`: a long-running child with its log in a file, gone when it is dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// How long a child may take to end by itself after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How much of a log is shown.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 20;

/// A child process. Both its outputs are appended to one log, so that a restart continues it; its standard output
/// goes to a file of its own where that is what is wanted ([`Process::spawn_for_output`]).
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    output: Option<PathBuf>,
}

impl Process {
    /// Starts a child whose log is `<folder>/<name>.log`. It gets a process group of its own, so that a Ctrl-C in the terminal
    /// reaches the testbed only, which then takes everything down in order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = append(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Self::start(name, command, log, None)
    }

    /// Starts a child as [`Process::spawn`] does, and hands it something as its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with_input(
        name: &str,
        command: &mut Command,
        folder: &Path,
        input: OwnedFd,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = append(&log)?;
        command.stdin(input).stdout(file.try_clone()?).stderr(file);
        Self::start(name, command, log, None)
    }

    /// Starts a child whose standard output is what it is for; read it with [`Process::finished`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_for_output(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = folder.join(format!("{name}.out"));
        command.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(append(&log)?);
        Self::start(name, command, log, Some(output))
    }

    fn start(name: &str, command: &mut Command, log: PathBuf, output: Option<PathBuf>) -> Result<Self> {
        let child =
            command.process_group(0).spawn().with_context(|| format!("{name}: {}", shown(command)))?;
        Ok(Self { name: name.to_owned(), child, log, output })
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it was gone already: then something else is wrong.
    pub fn kill_9(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had ended by itself: {status}\n{}", self.name, tail(&self.log));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Fails when the child has ended, which a server never does by itself.
    ///
    /// # Errors
    /// Its exit status and the end of its log.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended: {status}\n{}", self.name, tail(&self.log)),
        }
    }

    /// What it wrote to its standard output, once it has ended well; `None` while it runs.
    ///
    /// # Errors
    /// Any exit status but 0, with the end of its log.
    pub fn finished(&mut self) -> Result<Option<String>> {
        match self.child.try_wait()? {
            None => Ok(None),
            Some(status) if status.success() => {
                let output = self.output.as_ref().map(std::fs::read_to_string).transpose()?;
                Ok(Some(output.unwrap_or_default()))
            }
            Some(status) => bail!("{}: {status}\n{}", self.name, tail(&self.log)),
        }
    }

    /// Asks it to end, and insists after 10 seconds.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) -> Option<ExitStatus> {
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if running(&mut self.child) {
            signal(self.child.id(), Signal::TERM);
            let asked = clock::now();
            while running(&mut self.child) && asked.elapsed() < STOP_LIMIT {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
        }
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal; a process that is gone needs none.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Runs a command to its end, in a process group of its own, and gives its standard output.
///
/// # Errors
/// Any exit status but 0, with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .with_context(|| format!("`{}` could not be started", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        bail!("`{}`: {}\n{}{}", shown(command), output.status, printed, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// The command as one would type it, without the words that lead into a namespace.
#[must_use]
pub fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let words = match words.as_slice() {
        [ip, netns, exec, _, rest @ ..] if ip == "ip" && netns == "netns" && exec == "exec" => rest,
        all => all,
    };
    words.join(" ")
}

/// The last lines of a log.
#[must_use]
pub fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("({}: {error})", log.display()),
    }
}

fn append(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("the log {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_gone_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let child = Process::spawn("sleeper", Command::new("sleep").arg("600"), folder.path()).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists());
    }

    #[test]
    fn a_failing_child_is_told_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such node >&2; exit 3"]);
        let mut child = Process::spawn_for_output("cli", &mut command, folder.path()).unwrap();
        child.child.wait().unwrap();
        let message = child.finished().unwrap_err().to_string();
        assert_eq!(message, "cli: exit status: 3\nno such node");
    }

    #[test]
    fn a_command_is_shown_without_its_namespace() {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "wgt1-2", "wiregrant", "node", "list"]);
        assert_eq!(shown(&command), "wiregrant node list");
    }
}
