//! The keeper and a SOCKS5 service of the tests' own, which knows every byte that ever moved.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use transparency_log::Hash;
use wiregrant_core::Bytes;
use wiregrant_core::note::Salt;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::socks5::metering::{AccountReading, Answer};
use wiregrant_core::usage_report::{Class, Service};

use super::*;
use crate::config::Config;
use crate::keeper::tests::{TestNode, at, key, peer};

/// What the service is in truth.
struct World {
    instance: u8,
    ending: bool,
    released: bool,
    /// Whether questions are heard.
    deaf: bool,
    /// Closes the connection after so many questions, without an answer but with what was asked done.
    silent_in: Option<u32>,
    served: Vec<String>,
    counters: BTreeMap<String, Reading>,
    /// All that ever moved.
    moved: u64,
}

impl World {
    fn instance(&self) -> Instance {
        Instance(Salt([self.instance; 16]))
    }

    fn traffic(&mut self, username: &str, received: u64, sent: u64) {
        if self.served.iter().any(|served| served == username) {
            let counter = self.counters.entry(username.to_owned()).or_default();
            counter.received += received;
            counter.sent += sent;
            self.moved += received + sent;
        }
    }

    /// `kill -9` and a new start: what was not read is lost.
    fn restart(&mut self) {
        self.instance += 1;
        self.ending = false;
        self.served.clear();
        self.counters.clear();
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Serve { logins, refused_networks, .. } => {
                assert!(!refused_networks.is_empty(), "the tunnel's own networks");
                self.served = logins.into_iter().map(|login| login.username.to_string()).collect();
            }
            Question::Read {} => {}
            Question::Forget { instance, usernames } => {
                assert_eq!(instance, self.instance());
                for username in usernames {
                    assert!(!self.served.contains(&username.to_string()), "forgotten while it is served");
                    self.counters.remove(username.as_str());
                }
            }
            Question::Release { instance } => self.released = instance == self.instance() && self.ending,
        }
        let readings = self.counters.iter().map(|(username, reading)| AccountReading {
            username: username.parse().unwrap(),
            received: Bytes::new(reading.received).unwrap(),
            sent: Bytes::new(reading.sent).unwrap(),
        });
        Answer::Readings(Readings {
            instance: self.instance(),
            ending: self.ending,
            readings: readings.collect(),
        })
    }
}

/// A node with a SOCKS5 service.
struct Node {
    node: TestNode,
    world: Arc<Mutex<World>>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socks5.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let world = Arc::new(Mutex::new(World {
            instance: 1,
            ending: false,
            released: false,
            deaf: false,
            silent_in: None,
            served: Vec::new(),
            counters: BTreeMap::new(),
            moved: 0,
        }));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let mut line = Vec::new();
                let mut read = BufReader::new(&stream);
                read.read_until(b'\n', &mut line).unwrap();
                let mut world = shared.lock().unwrap();
                if world.deaf {
                    continue;
                }
                let answer = world.answer(Question::parse(&line).unwrap());
                match &mut world.silent_in {
                    Some(0) => world.deaf = true,
                    Some(left) => {
                        *left -= 1;
                        (&stream).write_all(answer.to_line().as_bytes()).unwrap();
                    }
                    None => (&stream).write_all(answer.to_line().as_bytes()).unwrap(),
                }
            }
        });
        let node = Self { node: TestNode::new(), world, socket, _folder: folder };
        node.configure();
        node
    }

    fn configure(&self) {
        let mut config = Config::default();
        config.socks5.socket = Some(self.socket.clone());
        self.node.keeper().config = Arc::new(config);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The agent's `kill -9` and new start.
    fn restart(&mut self) {
        self.node.restart();
        self.configure();
    }

    fn want(&mut self, devices: &[(u8, &str)]) {
        let devices = devices.iter().map(|(n, username)| with_login(*n, username, u64::MAX >> 1));
        self.node.want(devices.collect(), None).unwrap();
    }

    fn converge(&mut self) {
        let seconds = self.node.seconds + 10;
        self.node.seconds = seconds;
        self.node.converge_at(seconds);
    }

    /// What is counted of the service.
    fn counted(&self) -> u64 {
        let keeper = self.node.keeper();
        let totals = keeper.ledger.state().meter.totals();
        let socks5 = totals.iter().filter(|((service, _), _)| *service == Service::Socks5);
        socks5.map(|(_, usage)| usage.received.get() + usage.sent.get()).sum()
    }
}

fn with_login(n: u8, username: &str, allotment: u64) -> DesiredPeer {
    let login = Socks5Login { username: username.parse().unwrap(), password_hash: Hash::of(&[n]) };
    DesiredPeer {
        socks5: Some(login),
        allotment: Bytes::new(allotment).unwrap(),
        expires: at(90 * 86_400).wall,
        ..peer(n)
    }
}

#[test]
fn devices_with_a_login_are_served_counted_and_gone_with_their_last_byte() {
    let mut node = Node::new();
    node.want(&[(0, "a"), (1, "b")]);
    assert_eq!(node.world().served, ["a", "b"]);
    node.world().traffic("a", 100, 7);
    node.world().traffic("b", 1, 0);
    node.converge();
    assert_eq!(node.counted(), 108);
    node.world().traffic("a", 0, 50);
    node.want(&[(1, "b")]);
    assert_eq!((node.world().served.clone(), node.counted()), (vec!["b".to_owned()], 158));
    assert!(!node.world().counters.contains_key("a"), "the service has forgotten who left");
    assert_eq!(node.node.keeper().socks5_devices(), [key(1)]);
    // Whoever comes back counts from zero, and to the byte.
    node.want(&[(0, "a"), (1, "b")]);
    node.world().traffic("a", 0, 60);
    node.converge();
    assert_eq!(node.counted(), 218);
    let keeper = node.node.keeper();
    assert_eq!(
        keeper.ledger.state().meter.totals().keys().copied().collect::<Vec<_>>(),
        [(Service::Socks5, Class::Assigned)]
    );
}

#[test]
fn a_new_login_ends_the_old_one_and_serves_at_once() {
    let mut node = Node::new();
    node.want(&[(0, "old")]);
    node.world().traffic("old", 5, 5);
    node.want(&[(0, "new")]);
    assert_eq!((node.world().served.clone(), node.counted()), (vec!["new".to_owned()], 10));
    node.world().traffic("new", 3, 0);
    node.converge();
    assert_eq!((node.counted(), node.world().counters.len()), (13, 1));
}

#[test]
fn an_exhausted_device_is_served_at_neither_service() {
    let mut node = Node::new();
    node.node.want(vec![with_login(0, "a", 100)], None).unwrap();
    node.world().traffic("a", 99, 2);
    node.converge();
    assert_eq!((node.world().served.len(), node.counted()), (0, 101));
    assert_eq!(node.node.live(), []);
    node.node.want(vec![with_login(0, "a", 200)], None).unwrap();
    assert_eq!(node.world().served, ["a"]);
    node.world().traffic("a", 1, 0);
    node.converge();
    assert_eq!(node.counted(), 102);
}

#[test]
fn a_service_that_was_killed_is_told_again_whom_to_serve_and_nothing_is_invented() {
    let mut node = Node::new();
    node.want(&[(0, "a")]);
    node.world().traffic("a", 1000, 0);
    node.converge();
    node.world().traffic("a", 20, 0);
    node.world().restart();
    node.converge();
    assert_eq!((node.world().served.clone(), node.counted()), (vec!["a".to_owned()], 1000));
    // More than before, so that only the run's name tells that the counters are new ones.
    node.world().traffic("a", 1500, 0);
    node.converge();
    assert_eq!(node.counted(), 2500);
}

#[test]
fn a_service_that_does_not_answer_stops_nothing_and_loses_nothing() {
    let mut node = Node::new();
    node.want(&[(0, "a")]);
    node.world().traffic("a", 10, 0);
    node.world().deaf = true;
    node.want(&[(1, "b")]);
    assert_eq!((node.node.live(), node.counted()), (vec![key(1)], 0));
    node.world().deaf = false;
    node.converge();
    assert_eq!((node.world().served.clone(), node.counted()), (vec!["b".to_owned()], 10));
}

#[test]
fn an_ending_service_is_released_once_its_last_reading_is_journaled() {
    let mut node = Node::new();
    node.want(&[(0, "a")]);
    node.world().traffic("a", 10, 0);
    node.world().ending = true;
    node.converge();
    assert!(node.world().released);
    node.restart();
    assert_eq!(node.counted(), 10);
}

#[test]
fn totals_taken_over_count_on_from_what_the_service_says_by_then() {
    let mut node = Node::new();
    node.want(&[(0, "a")]);
    node.world().traffic("a", 500, 0);
    node.converge();
    let usage = node.node.keeper().ledger.state().meter.totals().clone();
    let adopted = Record::Adopted {
        note: String::new(),
        sequence: 1,
        usage,
        epoch: None,
        end: at(2_005).wall,
        live: Vec::new(),
    };
    node.node.keeper().ledger.commit(vec![adopted]).unwrap();
    node.converge();
    node.world().traffic("a", 3, 4);
    node.converge();
    assert_eq!(node.counted(), 507);
}

/// One step of a node's life.
#[derive(Debug, Clone)]
enum Event {
    Traffic(usize, u16, u16),
    Converge,
    /// Which of the devices are wanted, by bits, and whether their logins are the first or the second.
    Want(u8, bool),
    KillAgent,
    /// The service does what it is asked so many times more, the last time without saying so, and the agent is killed.
    KillBetween(u32),
    KillService,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0usize..3, any::<u16>(), any::<u16>()).prop_map(|(who, r, s)| Event::Traffic(who, r, s)),
        3 => Just(Event::Converge),
        3 => (0u8..8, any::<bool>()).prop_map(|(bits, second)| Event::Want(bits, second)),
        1 => Just(Event::KillAgent),
        2 => (0u32..6).prop_map(Event::KillBetween),
        1 => Just(Event::KillService),
    ]
}

const LOGINS: [[&str; 3]; 2] = [["a", "b", "c"], ["x", "y", "z"]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_history_invents_a_byte_and_without_a_killed_service_none_is_lost(
        history in proptest::collection::vec(event(), 0..25),
    ) {
        let mut node = Node::new();
        let mut lossless = true;
        for event in history {
            match event {
                Event::Traffic(who, received, sent) => for logins in LOGINS {
                    node.world().traffic(logins[who], received.into(), sent.into());
                },
                Event::Converge => node.converge(),
                Event::Want(bits, second) => {
                    let logins = LOGINS[usize::from(second)];
                    let wanted: Vec<_> =
                        (0u8..3).filter(|n| bits & (1 << n) != 0).map(|n| (n, logins[usize::from(n)])).collect();
                    node.want(&wanted);
                }
                Event::KillAgent => node.restart(),
                Event::KillBetween(questions) => {
                    node.world().silent_in = Some(questions);
                    node.converge();
                    node.restart();
                    let mut world = node.world();
                    (world.silent_in, world.deaf) = (None, false);
                }
                Event::KillService => {
                    node.world().restart();
                    lossless = false;
                }
            }
            prop_assert!(node.counted() <= node.world().moved);
        }
        node.converge();
        node.converge();
        let moved = node.world().moved;
        prop_assert!(node.counted() <= moved);
        prop_assert!(!lossless || node.counted() == moved, "{} of {moved}", node.counted());
    }
}
