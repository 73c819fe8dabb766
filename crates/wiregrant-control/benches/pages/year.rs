//! A year of a control plane: an operator with 100 nodes and 49 with one, a grant of weeks, a report of each node each day, a batch
//! every four weeks, and what the year moved by day and by hour.

use axum::body::Body;
use axum::extract::{Request, State};
use bitcoin::hashes::Hash as _;
use tempfile::TempDir;
use transparency_log::{Hash, SigningKey};
use wiregrant_control::api::operators;
use wiregrant_control::clock::Clock;
use wiregrant_control::control_plane::{ControlPlane, Shared, Tasks};
use wiregrant_control::extract::{Json, Path};
use wiregrant_control::sign_in::{self, Asked, Caller};
use wiregrant_control::{closing, payout_batch, tokens};
use wiregrant_core::allotment::Period;
use wiregrant_core::api::{BatchStage, NewBatch, NewDestination};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::note::{Network, Salt, Signed};
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, OperatorId, Sats, Timestamp, ledger};
use wiregrant_store::{
    Condition, Grant, Location, NewAccessCodes, NewDevice, NewNode, Party, Stretch, UsageAdded, Write,
};

use crate::reports;
use crate::setup::{config, key};

/// Whose pages are asked for.
const OPERATOR: &str = "nordlicht";
const GRANT: &str = "year";
/// Nodes of that operator, and of all others together.
const NODES: u32 = 100;
const OTHERS: u32 = 49;
const DEVICES_A_NODE: u32 = 20;
const WEEKS: u64 = 52;
const WEEKS_A_BATCH: u64 = 4;
const DAY_SECONDS: u64 = 86_400;
const DAYS: i64 = 365;
/// As long as hours are kept.
const HOURS: i64 = 92 * 24;
/// A minute before the first week.
const BEGIN: i64 = 1_783_295_940;

/// A page that is asked for.
pub struct Page {
    /// What it is.
    pub name: &'static str,
    /// Where it is.
    pub path: String,
    /// Who asks, as a cookie.
    pub cookie: String,
}

/// The control plane at the end of its year.
pub struct Year {
    /// The control plane.
    pub plane: Shared,
    tasks: Tasks,
    _folder: TempDir,
    operator: String,
    funder: String,
    administrator: String,
}

/// A node under way through the year.
struct Node {
    key: SigningKey,
    operator: OperatorId,
    sequence: u64,
    last: Option<(Hash, Timestamp)>,
}

impl Year {
    pub async fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite:{}", folder.path().join("pages.db").display());
        let clock = Clock::by_hand(Timestamp::from_unix_seconds(BEGIN).expect("in range"));
        let (plane, tasks) =
            ControlPlane::open(config(&folder, &database), clock.clone()).await.expect("opens");
        let mut nodes = enrol(&plane).await;
        pay_to(&plane).await;
        for week in 1..WEEKS {
            let notes = (0..7).flat_map(|_| signed(&plane, &mut nodes, week)).collect::<Vec<_>>();
            reports::keep(&plane, &notes).await;
            clock.advance(7 * 86_400 + i64::from(week == 1) * 60);
            closing::close(&plane, &GRANT.parse().expect("an id"), week).await.expect("it is over");
            if week % WEEKS_A_BATCH == 0 {
                batch(&plane, week).await;
            }
        }
        what_moved(&plane, &nodes).await;
        let [operator, funder, administrator] = [
            Party::Operator(OPERATOR.parse().expect("an id")),
            Party::Funder("fund".parse().expect("an id")),
            Party::Administrator,
        ]
        .map(|party| signed_in(&plane, party));
        let (operator, funder, administrator) = (operator.await, funder.await, administrator.await);
        Self { plane, tasks, _folder: folder, operator, funder, administrator }
    }

    /// Every page that reads much.
    pub fn pages(&self) -> Vec<Page> {
        let of =
            |name, path: &str, cookie: &String| Page { name, path: path.to_owned(), cookie: cookie.clone() };
        let own = |name, path: &str| of(name, &format!("/operators/{OPERATOR}{path}"), &self.operator);
        vec![
            own("an operator's nodes", ""),
            own("an operator's traffic", "/traffic"),
            own("a node's traffic", "/traffic?node=node-7"),
            own("an operator's grants", "/grants"),
            own("an operator's credit", "/credit"),
            own("an operator's payouts", "/payouts"),
            own("an operator's destination", "/destination"),
            of("an operator's access codes", "/codes", &self.operator),
            of("a funder's grants", "/funder", &self.funder),
            of("a funder's batch", "/batches/batch-48", &self.funder),
            of("the administrator's overview", "/admin", &self.administrator),
            of("the administrator's decisions", "/admin/decisions", &self.administrator),
        ]
    }

    pub async fn end(self) {
        self.plane.stop();
        self.tasks.ended().await;
    }
}

async fn enrol(plane: &Shared) -> Vec<Node> {
    let now = plane.clock.now();
    let mut write = plane.store.write().await.expect("its turn");
    let place = Location { location: "de-fra".parse().expect("an id"), name: "Frankfurt".to_owned() };
    write.insert_location(&place, now).await.expect("a location");
    found(plane, &mut write).await;
    let mut nodes = Vec::new();
    for n in 0..NODES + OTHERS {
        let operator: OperatorId =
            if n < NODES { OPERATOR.to_owned() } else { format!("op-{n}") }.parse().expect("an id");
        if n == 0 || n >= NODES {
            write.insert_operator(&operator, None, now).await.expect("an operator");
        }
        let key = key(n);
        let public_key = key.verifier().public_key();
        let node = NewNode {
            node: key.name().parse().expect("an id"),
            operator: operator.clone(),
            location: place.location.clone(),
            vkey: key.verifier().to_string(),
            identity_key: public_key,
            wireguard_public_key: public_key.into(),
            endpoint: format!("10.0.{n}.1:51820"),
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
        };
        write.insert_node(&node, 1_000, now).await.expect("a node");
        write.admit(&GRANT.parse().expect("an id"), &node.node, 1, now).await.expect("a member");
        let condition = Condition {
            agent: node.agent,
            backend: node.backend,
            endpoint: node.endpoint,
            socks5_endpoint: None,
            paused: None,
            megabits_per_second: Some(500),
            gigabytes_per_month: Some(20_000),
        };
        write.set_condition(&node.node, &condition).await.expect("a condition");
        nodes.push(Node { key, operator, sequence: 0, last: None });
    }
    people(&mut write, &nodes, now).await;
    write.commit().await.expect("kept");
    nodes
}

/// The grant, and its funder.
async fn found(plane: &Shared, write: &mut Write) {
    let now = plane.clock.now();
    let grant_id = GRANT.parse().expect("an id");
    let terms = Terms {
        floor: 0,
        close_delay_seconds: 0,
        invited_percent: 100,
        ..Terms::defaults(Timestamp::from_unix_seconds(BEGIN + 60).expect("in range"), 2 * WEEKS)
    };
    let note = TermsNote {
        log: plane.config.origin.clone(),
        network: Network::Regtest,
        grant: GRANT.parse().expect("an id"),
        previous: None,
        terms,
    };
    let note = Signed::sign(note, &plane.keys.statement).expect("terms");
    let grant = Grant {
        grant_id,
        title: "A year".to_owned(),
        terms_note: note.note().to_owned(),
        terms_hash: note.hash(),
        created_at: now,
    };
    write.insert_grant(&grant).await.expect("a grant");
    let sats = Sats::new(10_000_000_000).expect("few");
    write.insert_contribution(&grant.grant_id, sats, now).await.expect("sats");
    write.enter(&ledger::of_contribution(&grant.grant_id, sats), now).await.expect("sats");
    write.insert_funder(&"fund".parse().expect("an id"), &[grant.grant_id], now).await.expect("a funder");
}

/// An access code of the operator's for every two devices, and devices on every node.
async fn people(write: &mut Write, nodes: &[Node], now: Timestamp) {
    let count = u32::try_from(nodes.len()).expect("few") * DEVICES_A_NODE;
    let hashes: Vec<Hash> = (0..count / 2).map(|n| Hash::of(&n.to_be_bytes())).collect();
    let expires = now.plus_seconds(800 * DAY_SECONDS);
    let quota = Bytes::new(100_000_000_000).expect("few");
    let (class, period) = (Class::Invited, Period::Month);
    let codes = NewAccessCodes {
        class,
        issuer: OPERATOR.to_owned(),
        devices: 2,
        quota_bytes: quota,
        period,
        expires,
    };
    let first = write.insert_access_codes(&hashes, &codes, now).await.expect("codes");
    for (number, node) in (0..count).zip(nodes.iter().cycle()) {
        let device = NewDevice {
            public_key: Hash::of(format!("device {number}").as_bytes()).0.into(),
            code_number: first + u64::from(number / 2),
            node: node.key.name().parse().expect("an id"),
            class,
            allotment: quota,
            period,
            expires,
            replaces: None,
        };
        write.place_device(&device, 2..=1_000, now).await.expect("a device").expect("there is room");
    }
}

/// An address for every operator.
async fn pay_to(plane: &Shared) {
    let all = plane.store.read().await.expect("its turn").operators().await.expect("operators");
    for (n, operator) in (1_u8..).zip(all) {
        let script = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([n; 20]));
        let address = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest).expect("an address");
        let new = NewDestination { note: None, pay: Some(address.to_string()), proof: None };
        let caller = Caller::Operator(operator.operator.clone());
        let set =
            operators::set_destination(State(plane.clone()), caller, Path(operator.operator), Json(new));
        assert!(set.await.is_ok(), "a destination");
    }
}

/// The next day's report of every node.
fn signed(plane: &Shared, nodes: &mut [Node], week: u64) -> Vec<Signed<UsageReport>> {
    let begin = Timestamp::from_unix_seconds(BEGIN + 60).expect("in range");
    let sign = |node: &mut Node| {
        node.sequence += 1;
        let day = node.sequence;
        let bytes = |n: u64| Bytes::new(n * day * 1_000_000_007).expect("few");
        let served = Usage { received: bytes(1), sent: bytes(4), creditable: bytes(5) };
        let end = begin.plus_seconds(day * DAY_SECONDS);
        let report = UsageReport {
            log: plane.config.origin.clone(),
            node: node.key.name().parse().expect("an id"),
            operator: node.operator.clone(),
            sequence: day,
            previous: node.last.map(|(hash, _)| hash),
            salt: Salt([1; 16]),
            start: node.last.map_or(begin, |(_, end)| end),
            end,
            epoch: Some(EpochLabel { grant: GRANT.parse().expect("an id"), number: week }),
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
            peers: PeersBucket::TenTo24,
            tree: None,
            // Invited bytes need no devices to count, and the terms count them whole.
            usage: UsageTable::from([((Service::WireGuard, Class::Invited), served)]),
        };
        let signed = Signed::sign(report, &node.key).expect("a report");
        node.last = Some((signed.hash(), end));
        signed
    };
    nodes.iter_mut().map(sign).collect()
}

/// A batch of all that is due, for a wallet that chooses the coins itself.
async fn batch(plane: &Shared, week: u64) {
    let new = NewBatch {
        batch: format!("batch-{week}").parse().expect("an id"),
        grant: GRANT.parse().expect("an id"),
        coins: Vec::new(),
        change: None,
        fee_rate_sat_per_vb: None,
        replaces: None,
        stage: BatchStage::Exported,
    };
    assert!(payout_batch::create(plane, &new).await.is_ok(), "a batch");
}

/// What every node moved, by day and by hour up to now; and now they are all there.
async fn what_moved(plane: &Shared, nodes: &[Node]) {
    let now = plane.clock.now();
    let mut write = plane.store.write().await.expect("its turn");
    let ids: Vec<_> = nodes.iter().map(|node| node.key.name().parse().expect("an id")).collect();
    let bytes = |n: u64| Bytes::new(n * 1_000_007).expect("few");
    for (stretch, count) in [(Stretch::Day, DAYS), (Stretch::Hour, HOURS)] {
        for ago in 0..count {
            let begin = stretch.begin(now).unix_seconds() - ago * stretch.seconds();
            let begin = Timestamp::from_unix_seconds(begin).expect("in range");
            let usage = Usage { received: bytes(10), sent: bytes(40), creditable: bytes(50) };
            let added: Vec<_> = ids
                .iter()
                .map(|node| UsageAdded { node: std::clone::Clone::clone(node), begin, usage })
                .collect();
            write.add_usage(stretch, &added).await.expect("sums");
        }
    }
    write.touch_last_seen(&ids, now).await.expect("seen");
    write.commit().await.expect("kept");
}

/// The cookie of a browser that is signed in.
async fn signed_in(plane: &Shared, party: Party) -> String {
    let now = plane.clock.now();
    let mut write = plane.store.write().await.expect("its turn");
    let asked = tokens::Asked { party, holder: "Ada".to_owned(), made_by: None, valid_from: now };
    let issued = tokens::issue(&plane.keys, &mut write, asked, now).await.expect("a token");
    write.commit().await.expect("kept");
    let request = Request::builder().uri("/sign-in").header("host", "grants.example");
    let request = request.body(Body::empty()).expect("a request");
    let Ok(opened) = sign_in::open(plane, &Asked::of(&request), &issued.token).await else {
        panic!("a token that was just made signs in")
    };
    opened.set_cookie.split(';').next().unwrap_or_default().to_owned()
}
