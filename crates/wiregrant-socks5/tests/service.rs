//! The real service, its real clients, and targets outside and inside.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use support::{CLIENT, NODE, Node, PASSWORD, PROXY, TARGET, TARGET_V6, address, name, read, reading, run};
use wiregrant_core::socks5::metering::Question;

const NOT_ALLOWED: u8 = 2;

fn target(port: u16) -> SocketAddr {
    format!("{TARGET}:{port}").parse().expect("an address")
}

/// Ends when the other side does.
fn rest(mut stream: &TcpStream) -> usize {
    let mut bytes = Vec::new();
    // A cut connection may end with a reset.
    let _ = stream.read_to_end(&mut bytes);
    bytes.len()
}

#[test]
fn curl_gets_through_by_name_and_every_byte_is_counted() {
    let node = Node::start("c", &[]);
    node.serve(&["alice"]);
    let listener = node.listen(&format!("{TARGET}:80"));
    let (download, upload) = (3_000_017, 1_000_003);
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("curl");
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            request.push(read::<1>(&mut stream)[0]);
        }
        stream.read_exact(&mut vec![0; upload]).expect("the upload");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {download}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(&vec![b'.'; download]).expect("sent");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    std::fs::write(&body, vec![b'x'; upload]).expect("written");
    let output = node
        .outside
        .command("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "",
            "--header",
            "Expect:",
            "--socks5-hostname",
            PROXY,
        ])
        .args(["--proxy-user", &format!("alice:{PASSWORD}"), "--output", "/dev/null", "--data-binary"])
        .arg(format!("@{}", body.display()))
        .args(["--write-out", "%{size_request} %{size_upload} %{size_header} %{size_download}"])
        .arg("http://target.example/")
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.join().expect("the server");
    let text = String::from_utf8(output.stdout).expect("text");
    let sizes: Vec<usize> = text.split(' ').map(|size| size.parse().expect("a size")).collect();
    let [request, uploaded, header, downloaded] = sizes[..] else { panic!("{sizes:?}") };
    assert_eq!((uploaded, downloaded), (upload, download));
    node.counts("alice", request + uploaded, header + downloaded);

    let wrong = node
        .outside
        .command("curl")
        .args(["--silent", "--noproxy", "", "--socks5-hostname", PROXY, "--proxy-user", "alice:wrong"])
        .arg("http://target.example/")
        .output();
    assert!(!wrong.expect("curl is installed").status.success());
    node.counts("alice", request + uploaded, header + downloaded);
}

#[test]
fn what_is_said_early_or_over_ipv6_counts_as_well() {
    let node = Node::start("e", &[]);
    node.serve(&["alice"]);
    for host in [TARGET.to_owned(), format!("[{TARGET_V6}]")] {
        let listener = node.listen(&format!("{host}:7"));
        let mut client = node.greeted("alice", PASSWORD).expect("the login");
        // The request and the first words in one piece.
        let to: SocketAddr = format!("{host}:7").parse().expect("an address");
        client.write_all(&[&[5, 1, 0], &address(to)[..], b"early "].concat()).expect("sent");
        let (mut server, _) = listener.accept().expect("the service");
        client.write_all(b"late").expect("sent");
        assert_eq!(&read::<10>(&mut server), b"early late");
        server.write_all(b"heard").expect("sent");
        drop(server);
        let reply = if to.is_ipv4() { 10 } else { 22 };
        assert_eq!(rest(&client), reply + 5);
    }
    node.counts("alice", 20, 10);
}

#[test]
fn a_wrong_login_gets_nowhere_and_no_log_knows_anybody() {
    let node = Node::start("w", &[]);
    node.serve(&["alice1978"]);
    for (username, password) in [("alice1978", "wr0ngw0rd"), ("mallory66", PASSWORD), ("ALICE1978", PASSWORD)]
    {
        assert_eq!(node.greeted(username, password).err(), Some([1, 1]), "{username}");
    }
    let mut unasked = node.client();
    unasked.write_all(&[5, 1, 0]).expect("sent");
    assert_eq!(read(&mut unasked), [5, 0xff]);
    let listener = node.listen(&format!("{TARGET}:80"));
    drop(node.connect("alice1978", target(80)).expect("connected"));
    drop(listener);
    assert_eq!(node.connect("alice1978", target(81)).err(), Some(5), "refused by the host");
    assert_eq!(node.request("alice1978", 1, &name("no.such.example", 80)).err(), Some(4));
    assert_eq!(node.request("alice1978", 2, &address(target(80))).err(), Some(7), "BIND");
    assert_eq!(node.request("alice1978", 1, &[9]).err(), Some(8));
    let log = node.log();
    for secret in ["alice1978", "mallory66", PASSWORD, "wr0ngw0rd", CLIENT, TARGET, "such.example"] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
    assert!(log.contains("not encrypted"));
    let status = node.status();
    let none = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set}:\t0000000000000000"));
    assert!(none.iter().all(|set| status.contains(set)) && status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn nothing_that_only_the_host_reaches_is_reached_through_it() {
    let node = Node::start("s", &[]);
    node.serve(&["alice"]);
    // Beside the node: what a host's neighbours, clouds and tunnels have.
    let neighbours = [
        "10.99.0.1",
        "100.64.0.9",
        "169.254.169.254",
        "168.63.129.16",
        "172.16.0.9",
        "192.168.7.7",
        "198.18.0.9",
        "203.0.113.9",
        // Allowed by option, but the tunnel's.
        "192.0.2.200",
        "fd00:ec2::254",
        "64:ff9b::a63:1",
        "64:ff9b:1::9",
        "2002:a63:1::1",
        "2001:db8::9",
    ];
    let mut listeners = Vec::new();
    for neighbour in neighbours {
        let host = if neighbour.contains(':') { format!("[{neighbour}]") } else { neighbour.to_owned() };
        node.outside.inside(|| run(&format!("ip address add {neighbour} dev eth0 nodad")));
        let there = format!("{host}:80");
        listeners.push(node.listen(&there));
        node.node.inside(|| TcpStream::connect(&there).unwrap_or_else(|error| panic!("{there}: {error}")));
        assert_eq!(
            node.connect("alice", there.parse().expect("an address")).err(),
            Some(NOT_ALLOWED),
            "{there}"
        );
    }
    // The node itself, under all its names.
    let itself = node.node.inside(|| std::net::TcpListener::bind("[::]:8080").expect("a port"));
    for host in
        ["127.0.0.1", "127.9.9.9", NODE, "0.0.0.0", "[::1]", "[::]", "[fd5a::1]", "[::ffff:127.0.0.1]"]
    {
        let there = format!("{host}:8080");
        node.node.inside(|| TcpStream::connect(&there).unwrap_or_else(|error| panic!("{there}: {error}")));
        assert_eq!(
            node.connect("alice", there.parse().expect("an address")).err(),
            Some(NOT_ALLOWED),
            "{there}"
        );
    }
    drop(itself);
    for host in ["localhost", "inside.example", "127.1", "0x0a630001"] {
        assert_eq!(node.request("alice", 1, &name(host, 80)).err(), Some(NOT_ALLOWED), "{host}");
    }
    let _mail = node.listen(&format!("{TARGET}:25"));
    assert_eq!(node.connect("alice", target(25)).err(), Some(NOT_ALLOWED), "mail");
    // An allowed network does not open the node's own address in it.
    node.node.inside(|| run("ip address add 192.0.2.140/32 dev eth0"));
    assert_eq!(
        node.connect("alice", "192.0.2.140:1080".parse().expect("an address")).err(),
        Some(NOT_ALLOWED)
    );
    node.counts("alice", 0, 0);
}

/// A datagram to the service.
fn datagram(target: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0], target, payload].concat()
}

#[test]
fn datagrams_go_to_and_fro_for_their_client_alone_and_count_without_their_header() {
    let node = Node::start("u", &[]);
    node.serve(&["alice"]);
    let echo = node.outside.inside(|| UdpSocket::bind(format!("{TARGET}:53")).expect("a port"));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((length, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..length], from);
        }
    });
    let (control, bound) =
        node.request("alice", 3, &address("0.0.0.0:0".parse().expect("an address"))).expect("associated");
    assert_eq!(bound.ip().to_string(), NODE);
    let stranger = node.datagrams(&format!("{TARGET}:0"), bound);
    let client = node.datagrams(&format!("{CLIENT}:0"), bound);
    let mut buffer = vec![0; 1 << 16];
    let to = address(target(53));
    // Whose address is not the TCP client's is nobody, though first.
    stranger.send(&datagram(&to, b"from a stranger")).expect("sent");
    for payload in [&b"x"[..], &[b'y'; 1400], &[b'z'; 60_000]] {
        client.send(&datagram(&to, payload)).expect("sent");
        let length = client.recv(&mut buffer).expect("an echo");
        assert_eq!(buffer[..length], datagram(&to, payload));
    }
    node.counts("alice", 61_401, 61_401);
    // The first datagram has fixed the port.
    let other_port = node.datagrams(&format!("{CLIENT}:0"), bound);
    other_port.send(&datagram(&to, b"another port")).expect("sent");
    // Fragments, what is not allowed, and what is nothing are dropped.
    client.send(&[&[0, 0, 1], &to[..], b"a fragment"].concat()).expect("sent");
    let inside = address("127.0.0.1:53".parse().expect("an address"));
    client.send(&datagram(&inside, b"inside")).expect("sent");
    client.send(&[0, 0]).expect("sent");
    client.send(&datagram(&name("target.example", 53), b"by name")).expect("sent");
    let length = client.recv(&mut buffer).expect("an echo");
    assert_eq!(buffer[..length], datagram(&to, b"by name"));
    node.counts("alice", 61_408, 61_408);
    // Whoever is not written to is not heard.
    let egress = {
        let heard = node.outside.inside(|| UdpSocket::bind(format!("{TARGET}:54")).expect("a port"));
        client.send(&datagram(&address(target(54)), b"who am I")).expect("sent");
        heard.recv_from(&mut buffer).expect("a datagram").1
    };
    let unasked = node.outside.inside(|| UdpSocket::bind(format!("{TARGET}:55")).expect("a port"));
    unasked.send_to(b"unasked", egress).expect("sent");
    client.send(&datagram(&to, b"last")).expect("sent");
    let length = client.recv(&mut buffer).expect("an echo");
    assert_eq!(buffer[..length], datagram(&to, b"last"));
    node.counts("alice", 61_420, 61_412);
    // It ends with the TCP connection: then nobody listens there.
    drop(control);
    // One that was on its way is lost and answered by nobody.
    client.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let refused = |result: std::io::Result<usize>| {
        result.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    while !refused(client.send(&datagram(&to, b"")).and_then(|_| client.recv(&mut buffer))) {}
}

#[test]
fn a_device_that_is_served_no_more_is_cut_and_its_last_reading_is_exact() {
    let node = Node::start("d", &[]);
    node.serve(&["alice", "bob"]);
    let listener = node.listen(&format!("{TARGET}:80"));
    let mut alice = node.connect("alice", target(80)).expect("connected");
    let (mut to_alice, _) = listener.accept().expect("alice");
    let mut bob = node.connect("bob", target(80)).expect("connected");
    let (mut to_bob, _) = listener.accept().expect("bob");
    alice.write_all(b"hello").expect("sent");
    read::<5>(&mut to_alice);
    to_alice.write_all(b"welcome").expect("sent");
    read::<7>(&mut alice);
    let last = node.serve(&["bob"]);
    assert_eq!((reading(&last, "alice").received, reading(&last, "alice").sent), (5, 7));
    assert_eq!((rest(&alice), rest(&to_alice)), (0, 0));
    assert_eq!(node.greeted("alice", PASSWORD).err(), Some([1, 1]));
    // The others notice nothing.
    bob.write_all(b"still here").expect("sent");
    read::<10>(&mut to_bob);
    let forget =
        Question::Forget { instance: last.instance, usernames: vec!["alice".parse().expect("a name")] };
    assert_eq!(node.ask(&forget).readings.len(), 1);
}

#[test]
fn limits_hold_for_each_device() {
    let node = Node::start("l", &["--max-connections-per-device", "2", "--max-associations", "1"]);
    node.serve(&["alice", "bob"]);
    let listener = node.listen(&format!("{TARGET}:80"));
    let connected = || {
        let client = node.connect("alice", target(80)).expect("connected");
        (client, listener.accept().expect("the service"))
    };
    let held = [connected(), connected()];
    assert_eq!(node.connect("alice", target(80)).err(), Some(1));
    assert!(node.connect("bob", target(80)).is_ok(), "another device has its own limit");
    drop(held);
    while node.connect("alice", target(80)).is_err() {}
    let nowhere = address("0.0.0.0:0".parse().expect("an address"));
    let association = node.request("bob", 3, &nowhere).expect("associated");
    assert_eq!(node.request("bob", 3, &nowhere).err(), Some(1));
    drop(association);
}

#[test]
fn who_takes_too_long_to_say_what_it_wants_is_cut_and_many_of_them_are_not_let_in() {
    let node = Node::start("h", &["--max-handshakes", "1", "--handshake-seconds", "2"]);
    node.serve(&["alice"]);
    let mut slow = node.client();
    slow.write_all(&[5, 1, 2]).expect("sent");
    assert_eq!(read(&mut slow), [5, 2]);
    slow.write_all(&[1, 5, b'a']).expect("sent");
    // While it takes its time, the next is closed at once; and then it is.
    assert_eq!(rest(&node.client()), 0);
    assert_eq!(rest(&slow), 0);
    let mut next = node.client();
    next.write_all(&[5, 1, 2]).expect("sent");
    assert_eq!(read(&mut next), [5, 2], "there is room again");
}

#[test]
fn after_a_kill_nobody_is_served_and_nothing_is_counted_until_the_agent_says_so() {
    let mut node = Node::start("k", &[]);
    let before = node.serve(&["alice"]);
    let listener = node.listen(&format!("{TARGET}:80"));
    let mut alice = node.connect("alice", target(80)).expect("connected");
    let (mut to_alice, _) = listener.accept().expect("alice");
    alice.write_all(b"hello").expect("sent");
    read::<5>(&mut to_alice);
    node.counts("alice", 5, 0);
    node.kill_9();
    node.run();
    let after = node.ask(&Question::Read {});
    assert!(after.instance != before.instance && after.readings.is_empty());
    assert_eq!(node.greeted("alice", PASSWORD).err(), Some([1, 1]));
}

#[test]
fn at_a_good_end_the_last_reading_waits_for_the_agent() {
    let mut node = Node::start("t", &["--grace-seconds", "0"]);
    node.serve(&["alice"]);
    let listener = node.listen(&format!("{TARGET}:80"));
    let mut alice = node.connect("alice", target(80)).expect("connected");
    let (mut to_alice, _) = listener.accept().expect("alice");
    alice.write_all(b"hello").expect("sent");
    read::<5>(&mut to_alice);
    node.terminate();
    assert_eq!(rest(&alice), 0, "cut");
    let mut last = node.ask(&Question::Read {});
    while !last.ending {
        last = node.ask(&Question::Read {});
    }
    assert_eq!(reading(&last, "alice").received, 5);
    assert_eq!(node.serve(&["alice"]).readings, last.readings, "it serves nobody any more");
    node.ask(&Question::Release { instance: last.instance });
    node.ended();
    assert!(node.log().contains("the agent has counted everything"));
}
