//! A child process: shown before it runs, and named when it fails.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

/// How often it is looked whether a silent child has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Shows the command, runs it to its end and fails unless its exit status is 0.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::failed(format!("`{}`: {status}", shown(command)))) }
}

/// Shows the command, runs it to its end, tells what it says on standard output line by line, and fails unless its exit status
/// is 0.
pub fn lines(command: &mut Command, mut tell: impl FnMut(&str)) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| not_started(command, &error))?;
    let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (said, heard) = mpsc::channel();
    thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    let status = loop {
        match heard.recv_timeout(LOOK_INTERVAL) {
            Ok(line) => tell(&line),
            Err(RecvTimeoutError::Disconnected) => break child.wait(),
            // Not to the end of the output: a process that was left behind may hold it open.
            Err(RecvTimeoutError::Timeout) => match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            },
        }
    };
    let status = status.map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::failed(format!("`{}`: {status}", shown(command)))) }
}

/// Runs the command silently; its standard output, or a failure with what it said on standard error.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::failed(format!("`{}`: {}\n{}", shown(command), output.status, said.trim_end())))
    }
}

/// Whether the command can be run and ends with exit status 0; what it says is thrown away.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it: what is set in its environment, its program, its arguments.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // The toolchain's cargo has a long path and means the same as the word.
    let program = if program.ends_with("bin/cargo") { OsStr::new("cargo") } else { program.as_os_str() };
    let set = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    set.chain(words).collect::<Vec<_>>().join(" ")
}

/// The failure of a program that could not be started at all.
pub fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::failed(format!("`{}` could not be started: {error}", shown(command)))
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed_again() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["doc", "--no-deps", "it's"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(shown(&command), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'it'\''s'");
    }

    #[test]
    fn a_failing_child_is_named_with_its_status() {
        let failure = run(&mut Command::new("false")).unwrap_err();
        assert_eq!(failure, Failure::failed("`false`: exit status: 1"));
        let failure = output(Command::new("sh").args(["-c", "echo no such node >&2; exit 3"])).unwrap_err();
        assert!(failure.to_string().ends_with("exit status: 3\nno such node"), "{failure}");
    }

    #[test]
    fn whoever_is_left_behind_with_the_output_holds_nobody_up() {
        let mut told = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo begun; sleep 600 & echo $!"]);
        assert_eq!(lines(&mut shell, |line| told.push(line.to_owned())), Ok(()));
        assert_eq!(told[0], "begun");
        assert!(succeeds(Command::new("kill").arg(&told[1])), "it still runs");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = run(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(
            failure.to_string().starts_with("`/nonexistent/program` could not be started: "),
            "{failure}"
        );
    }
}
