//! The real SOCKS5 service on a node of the tests, and a client of it that knows what it moved.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use transparency_log::Hash;
use wiregrant_core::socks5::Socks5Login;

use crate::support::{Wire, run};

const PATIENCE: Duration = Duration::from_secs(60);
const USERNAME: &str = "k7d2m9";
const PASSWORD: &str = "p4ssw0rdp4ssw0rdp4ssw0rdp4";

/// What the control plane tells the node of the client.
pub fn login() -> Socks5Login {
    let username = USERNAME.parse().expect("a username");
    Socks5Login { username, password_hash: Hash::of(PASSWORD.as_bytes()) }
}

/// The service's process.
pub struct Service {
    child: Child,
}

impl Service {
    /// Where the agent finds it.
    pub fn socket(folder: &Path) -> PathBuf {
        folder.join("socks5.sock")
    }

    /// Starts it on the node. It lies beside the agent.
    pub fn start(wire: &Wire, folder: &Path) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_wiregrant-agent")).with_file_name("wiregrant-socks5");
        assert!(program.is_file(), "{} is not there: cargo build --workspace --bins", program.display());
        let mut command = Command::new(program);
        command.args([
            "--listen",
            "192.0.2.1:1080",
            "--allowed-network",
            "192.0.2.2/32",
            "--grace-seconds",
            "0",
        ]);
        command.arg("--socket").arg(Self::socket(folder)).stdin(Stdio::null());
        Self { child: wire.node.inside(|| command.spawn()).expect("the service runs") }
    }

    pub fn kill_9(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end, which it does well once the agent has its last reading.
    pub fn end(mut self) {
        run(&format!("kill -TERM {}", self.child.id()));
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection of the client's through the service to a server on its own host.
pub struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// Connects as soon as the client is served.
    pub fn open(wire: &Wire) -> Self {
        let listener = wire.client.inside(|| TcpListener::bind("192.0.2.2:0")).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let client = loop {
            if let Some(client) = greeted(wire) {
                break client;
            }
            std::thread::yield_now();
        };
        let request = [&[5, 1, 0, 1, 192, 0, 2, 2], &port.to_be_bytes()[..]].concat();
        (&client).write_all(&request).expect("asked");
        let mut reply = [0; 10];
        (&client).read_exact(&mut reply).expect("a reply");
        assert_eq!(reply[..2], [5, 0]);
        Self { client, server: listener.accept().expect("the service").0 }
    }

    /// Moves so many bytes each way, and returns when all have arrived.
    pub fn talk(&mut self, up: usize, down: usize) {
        let pass = |mut from: &TcpStream, mut to: &TcpStream, bytes: usize| {
            std::thread::scope(|scope| {
                scope.spawn(move || from.write_all(&vec![1; bytes]).expect("sent"));
                to.read_exact(&mut vec![0; bytes]).expect("arrived");
            });
        };
        pass(&self.client, &self.server, up);
        pass(&self.server, &self.client, down);
    }

    /// Returns when the service has cut the connection.
    pub fn until_cut(mut self) {
        // A reset is an end too.
        let _ = self.client.read(&mut [0]);
    }
}

/// A connection on which the login was accepted; nothing while nobody listens or the agent has not named the client.
fn greeted(wire: &Wire) -> Option<TcpStream> {
    let client = wire.client.inside(|| TcpStream::connect("192.0.2.1:1080")).ok()?;
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = |field: &str| u8::try_from(field.len()).expect("short");
    let negotiation =
        [&[1, length(USERNAME)], USERNAME.as_bytes(), &[length(PASSWORD)], PASSWORD.as_bytes()].concat();
    (&client).write_all(&[&[5, 1, 2], &negotiation[..]].concat()).ok()?;
    let mut answers = [0; 4];
    (&client).read_exact(&mut answers).ok()?;
    (answers == [5, 2, 1, 0]).then_some(client)
}
