//! A node with the real service, and the world around it, each a network namespace.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use transparency_log::Hash;
use wiregrant_core::counter::Reading;
use wiregrant_core::socks5::Socks5Login;
use wiregrant_core::socks5::metering::{Answer, Question, Rates, Readings};

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);
pub const NODE: &str = "192.0.2.1";
pub const CLIENT: &str = "192.0.2.2";
/// Where people may go, by option.
pub const TARGET: &str = "192.0.2.130";
pub const TARGET_V6: &str = "fd5a::130";
pub const PASSWORD: &str = "p4ssw0rdp4ssw0rdp4ssw0rdp4";
pub const PROXY: &str = "192.0.2.1:1080";

/// Runs a program of the machine; anything but success ends the test.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a program")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("`{command}`: {error}; these tests need root and ip"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}`: {stderr}(these tests need root)");
    String::from_utf8(output.stdout).expect("text")
}

/// A network namespace, removed on drop with its own `/etc/hosts`.
pub struct Host(String);

impl Host {
    fn new(name: &str, hosts: &str) -> Self {
        run(&format!("ip netns add {name}"));
        let host = Self(name.to_owned());
        run(&format!("ip -n {name} link set dev lo up"));
        fs::create_dir_all(host.etc()).expect("/etc/netns");
        fs::write(host.etc().join("hosts"), hosts).expect("its hosts");
        host
    }

    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }

    /// Runs `action` on a thread inside this host.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace");
        let inside = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter");
            action()
        };
        std::thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command inside this host, with its `/etc/hosts`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).stdin(Stdio::null());
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
        let _ = fs::remove_dir_all(self.etc());
    }
}

/// A node with the service, and the world around it.
pub struct Node {
    pub node: Host,
    pub outside: Host,
    folder: tempfile::TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// `label` tells the tests of one process apart.
    pub fn start(label: &str, options: &[&str]) -> Self {
        let id = std::process::id();
        let hosts = format!("127.0.0.1 localhost\n{TARGET} target.example\n10.99.0.1 inside.example\n");
        let node = Host::new(&format!("s5n{label}{id}"), &hosts);
        let outside = Host::new(&format!("s5o{label}{id}"), &hosts);
        run(&format!("ip link add name eth0 netns {} type veth peer name eth0 netns {}", node.0, outside.0));
        for (host, addresses) in [
            (&node, [&format!("{NODE}/24"), "fd5a::1/64"]),
            (&outside, [&format!("{CLIENT}/24"), "fd5a::2/64"]),
        ] {
            for address in addresses {
                run(&format!("ip -n {} address add {address} dev eth0 nodad", host.0));
            }
            run(&format!("ip -n {} link set dev eth0 up", host.0));
        }
        run(&format!("ip -n {} address add {TARGET}/24 dev eth0", outside.0));
        run(&format!("ip -n {} address add {TARGET_V6}/64 dev eth0 nodad", outside.0));
        for default in ["-4 route add default via 192.0.2.2", "-6 route add default via fd5a::2"] {
            run(&format!("ip -n {} {default}", node.0));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut node = Self { node, outside, folder, options, child: None };
        node.run();
        node
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// What it has logged since its first start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("the log")
    }

    /// Starts the service and waits until it answers.
    pub fn run(&mut self) {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("log")).expect("the log");
        let mut command = self.node.command(env!("CARGO_BIN_EXE_wiregrant-socks5"));
        command.args(["--listen", "0.0.0.0:1080", "--listen", "[::]:1081", "--socket"]).arg(self.socket());
        command.args(["--allowed-network", "192.0.2.128/25", "--allowed-network", "fd5a::100/120"]);
        command.args(&self.options).env("RUST_LOG", "trace").stderr(log);
        let mut child = command.spawn().expect("the service runs");
        while UnixStream::connect(self.socket()).is_err() {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            std::thread::yield_now();
        }
        self.child = Some(child);
    }

    pub fn kill_9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    pub fn terminate(&mut self) {
        run(&format!("kill -TERM {}", self.child.as_ref().expect("it runs").id()));
    }

    /// Waits for its end, which must be a good one.
    pub fn ended(&mut self) {
        let status = self.child.take().expect("it runs").wait().expect("it ends");
        assert!(status.success() && !self.socket().exists(), "{status}: {}", self.log());
    }

    pub fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.child.as_ref().expect("it runs").id()))
            .expect("it runs")
    }

    /// Asks as the agent does.
    pub fn ask(&self, question: &Question) -> Readings {
        let mut stream = UnixStream::connect(self.socket()).expect("the socket");
        stream.write_all(question.to_line().as_bytes()).expect("asked");
        let mut line = Vec::new();
        BufReader::new(stream).read_until(b'\n', &mut line).expect("an answer");
        match Answer::parse(&line).expect("an answer") {
            Answer::Readings(readings) => readings,
            Answer::Refused { reason } => panic!("{reason}"),
        }
    }

    /// Has these usernames served, all with [`PASSWORD`].
    pub fn serve(&self, usernames: &[&str]) -> Readings {
        self.serve_at(usernames, Rates::default())
    }

    /// The same, at these rates.
    pub fn serve_at(&self, usernames: &[&str], rates: Rates) -> Readings {
        let login = |username: &&str| Socks5Login {
            username: username.parse().expect("a username"),
            password_hash: Hash::of(PASSWORD.as_bytes()),
        };
        let refused_networks = vec!["192.0.2.192/27".parse().expect("a network")];
        let logins = usernames.iter().map(login).collect();
        self.ask(&Question::Serve { logins, refused_networks, rates })
    }

    pub fn reading(&self, username: &str) -> Reading {
        reading(&self.ask(&Question::Read {}), username)
    }

    /// Waits until the service has counted exactly this.
    pub fn counts(&self, username: &str, received: usize, sent: usize) {
        let wanted = Reading { received: received as u64, sent: sent as u64 };
        let mut read = self.reading(username);
        while read != wanted {
            assert!(read.received <= wanted.received && read.sent <= wanted.sent, "{read:?}, not {wanted:?}");
            std::thread::yield_now();
            read = self.reading(username);
        }
    }

    /// Listens somewhere outside.
    pub fn listen(&self, address: &str) -> TcpListener {
        self.outside
            .inside(|| TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    /// A client's connection to the service.
    pub fn client(&self) -> TcpStream {
        let stream = self.outside.inside(|| TcpStream::connect(PROXY).expect("the service listens"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// A client that was asked for nothing but credentials.
    pub fn greeted(&self, username: &str, password: &str) -> Result<TcpStream, [u8; 2]> {
        let mut stream = self.client();
        stream.write_all(&[5, 1, 2]).expect("sent");
        assert_eq!(read(&mut stream), [5, 2]);
        let (user, word) = (username.as_bytes(), password.as_bytes());
        let length = |field: &[u8]| u8::try_from(field.len()).expect("short");
        stream.write_all(&[&[1, length(user)], user, &[length(word)], word].concat()).expect("sent");
        match read(&mut stream) {
            [1, 0] => Ok(stream),
            other => Err(other),
        }
    }

    /// A connection through the service, or the code of the refusal.
    pub fn connect(&self, username: &str, target: SocketAddr) -> Result<TcpStream, u8> {
        self.request(username, 1, &address(target)).map(|(stream, _)| stream)
    }

    /// Sends a request and gives the connection with the address that was answered, or the code of the refusal.
    pub fn request(&self, username: &str, command: u8, target: &[u8]) -> Result<(TcpStream, SocketAddr), u8> {
        let mut stream = self.greeted(username, PASSWORD).expect("the login");
        stream.write_all(&[&[5, command, 0], target].concat()).expect("sent");
        let [version, reply, reserved, kind] = read(&mut stream);
        assert_eq!((version, reserved), (5, 0));
        let ip: IpAddr = match kind {
            1 => read::<4>(&mut stream).into(),
            _ => read::<16>(&mut stream).into(),
        };
        let port = u16::from_be_bytes(read(&mut stream));
        if reply == 0 { Ok((stream, SocketAddr::new(ip, port))) } else { Err(reply) }
    }

    /// A client's UDP socket, towards the service's.
    pub fn datagrams(&self, from: &str, to: SocketAddr) -> UdpSocket {
        let socket = self.outside.inside(|| UdpSocket::bind(from).expect("a socket"));
        socket.connect(to).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn reading(readings: &Readings, username: &str) -> Reading {
    let found = readings.readings.iter().find(|reading| reading.username.as_str() == username);
    found.map_or(Reading::default(), |found| Reading {
        received: found.received.get(),
        sent: found.sent.get(),
    })
}

pub fn read<const BYTES: usize>(stream: &mut TcpStream) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    stream.read_exact(&mut bytes).expect("an answer");
    bytes
}

/// An address as SOCKS writes it.
pub fn address(target: SocketAddr) -> Vec<u8> {
    let mut bytes = match target.ip() {
        IpAddr::V4(ip) => [&[1], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[4], &ip.octets()[..]].concat(),
    };
    bytes.extend(target.port().to_be_bytes());
    bytes
}

/// A name as SOCKS writes it.
pub fn name(host: &str, port: u16) -> Vec<u8> {
    [&[3, u8::try_from(host.len()).expect("short")], host.as_bytes(), &port.to_be_bytes()].concat()
}
