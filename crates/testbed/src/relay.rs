//! The relay: lets a browser on this machine see the pages, without an address or a route in its own network namespace.
//!
//! The testbed listens on loopback and hands the listening socket down as standard input to a child inside the control
//! plane's host. A socket belongs to the namespace it was made in, so the child accepts from the one side and connects on the other.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

use crate::host::Host;
use crate::process::Process;
use crate::programs::Programs;

/// Connections at the same time; further ones are closed at once.
const MAX_CONNECTIONS: usize = 64;
/// What people expect; taken by something else, any free port is used.
const PREFERRED_PORT: u16 = 8080;

/// A relay at work.
pub struct Relay {
    /// Where the pages are for a browser on this machine.
    pub address: SocketAddr,
    process: Process,
}

impl Relay {
    /// Listens on loopback and passes on to `to`, as seen from inside `host`.
    ///
    /// # Errors
    /// When nothing can be listened on.
    pub fn start(programs: &Programs, host: &Host, to: &str, logs: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PREFERRED_PORT))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let mut command = host.command(&programs.testbed);
        command.args(["relay", "--to", to]);
        let process = Process::spawn_with_input("relay", &mut command, logs, OwnedFd::from(listener))?;
        Ok(Self { address, process })
    }

    /// Fails when the relay has ended.
    ///
    /// # Errors
    /// Its exit status and log.
    pub fn still_runs(&mut self) -> Result<()> {
        self.process.still_runs()
    }
}

/// The child's part: standard input is the listening socket.
///
/// # Errors
/// When it is none.
pub fn pass_on(to: SocketAddr) -> Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    accept_and_pass_on(&listener, to)
}

fn accept_and_pass_on(listener: &TcpListener, to: SocketAddr) -> Result<()> {
    let open = AtomicUsize::new(0);
    thread::scope(|scope| {
        for near in listener.incoming() {
            let near = near.context("standard input is to be a listening socket")?;
            let open = &open;
            if open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
                open.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            scope.spawn(move || {
                if let Err(error) = join(&near, to) {
                    eprintln!("a connection to {to} failed: {error}");
                }
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
        Ok(())
    })
}

/// Copies both ways until both ends have said all.
fn join(near: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    let copy = |mut from: &TcpStream, mut into: &TcpStream| {
        let copied = io::copy(&mut from, &mut into).map(drop);
        let _ = into.shutdown(Shutdown::Write);
        copied
    };
    thread::scope(|scope| {
        let back = scope.spawn(|| copy(&far, near));
        let there = copy(near, &far);
        let back = back.join().unwrap_or_else(|_| Err(io::Error::other("the copying thread panicked")));
        there.and(back)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_goes_in_comes_out_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let near = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut browser = TcpStream::connect(near.local_addr().unwrap()).unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(question.to_uppercase().as_bytes()).unwrap();
        });
        let relay = thread::spawn(move || join(&near.accept().unwrap().0, to));
        browser.write_all(b"page").unwrap();
        browser.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "PAGE");
        served.join().unwrap();
        relay.join().unwrap().unwrap();
    }
}
