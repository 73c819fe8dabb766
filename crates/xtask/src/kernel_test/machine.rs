//! The emulated machine: started, listened to, judged by its last word, and ended when it takes too long.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::kernel::Kernel;
use crate::child;
use crate::clock;
use crate::failure::Failure;
use crate::packages;

/// What a machine is for.
pub struct Use {
    /// In MiB. The unpacked disk and a thousand peers fit several times over into 1,024.
    pub memory: &'static str,
    /// How long it may run.
    pub limit: Duration,
    /// The argument its program is started with; none when empty.
    pub argument: &'static str,
}

/// A run takes one to four minutes, by how busy the host is.
pub const TEST: Use = Use { memory: "1024", limit: Duration::from_mins(10), argument: "" };

/// A run takes three to ten minutes.
pub const BENCH: Use = Use { memory: "3072", limit: Duration::from_mins(30), argument: "kernel" };

/// `no_timer_check`: on a busy host the emulated timer fails the kernel's self-test, which then panics.
/// `panic=-1`: a panic ends the machine at once. `random.trust_cpu`: keys need randomness right after the start.
const KERNEL_COMMAND_LINE: &str =
    "console=ttyS0 no_timer_check tsc=reliable random.trust_cpu=on panic=-1 quiet rdinit=/init";

/// What `init.sh` says last, with the test's exit status after it.
const LAST_WORD: &str = "wiregrant-kernel-test: exit status ";

/// Runs the machine, tells what it says line by line, and fails unless its last word is that its program ended with status 0.
pub fn run_to_the_end(
    kernel: &Kernel,
    initrd: &Path,
    purpose: &Use,
    tell: impl FnMut(&str),
) -> Result<(), Failure> {
    // What the kernel does not know it hands to the first process as a variable.
    let command_line = format!("{KERNEL_COMMAND_LINE} ARGUMENT={}", purpose.argument);
    let mut command = packages::command("qemu-system-x86_64");
    command
        .args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args(["-m", purpose.memory, "-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-nic", "none", "-no-reboot", "-append", &command_line])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initrd);
    eprintln!("$ {}", child::shown(&command));
    let mut machine = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| child::not_started(&command, &error))?;
    let status = listen(lines(&mut machine), purpose.limit, tell);
    // Ends a machine that hangs; one that has ended by itself does not mind.
    let _ended = machine.kill();
    machine.wait().map_err(|error| Failure::failed(format!("qemu: {error}")))?;
    match status? {
        0 => Ok(()),
        status => {
            Err(Failure::failed(format!("the test ended with exit status {status}; what it said is above")))
        }
    }
}

/// The machine's serial line, read by a thread that ends with it: a read cannot be given a time limit, a channel can.
fn lines(machine: &mut Child) -> Receiver<String> {
    let mut serial = BufReader::new(machine.stdout.take().expect("stdout is piped"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = Vec::new();
        while serial.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Tells the lines as they come until the line closes; the exit status that the last word gives.
fn listen(lines: Receiver<String>, limit: Duration, mut tell: impl FnMut(&str)) -> Result<i32, Failure> {
    let deadline = clock::now() + limit;
    let mut status = None;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(clock::now())) {
            Ok(line) => {
                tell(&line);
                status = line.strip_prefix(LAST_WORD).and_then(|status| status.parse().ok()).or(status);
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(Failure::failed(format!(
                    "the emulated machine did not end within {}",
                    clock::shown(limit)
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return status.ok_or_else(|| {
                    Failure::failed("the emulated machine ended without a word on how the test did")
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Result<i32, Failure> {
        let (sender, receiver) = mpsc::channel();
        for word in words {
            sender.send((*word).to_owned()).unwrap();
        }
        drop(sender);
        listen(receiver, TEST.limit, |_| {})
    }

    #[test]
    fn the_machine_is_judged_by_its_last_word() {
        assert_eq!(said(&["6.1 is up", "wiregrant-kernel-test: exit status 0"]), Ok(0));
        assert_eq!(said(&["wiregrant-kernel-test: exit status 101", "reboot: Restarting"]), Ok(101));
    }

    #[test]
    fn a_machine_that_says_nothing_of_the_test_has_failed() {
        for words in [&[][..], &["Kernel panic - not syncing"], &["wiregrant-kernel-test: exit status"]] {
            assert!(said(words).unwrap_err().to_string().contains("without a word"), "{words:?}");
        }
    }

    #[test]
    fn a_machine_that_hangs_is_given_up() {
        let (sender, receiver) = mpsc::channel();
        let failure = listen(receiver, Duration::ZERO, |_| {}).unwrap_err();
        assert!(failure.to_string().contains("did not end within 0 s"), "{failure}");
        drop(sender);
    }
}
