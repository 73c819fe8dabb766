//! One story told to both databases: from an operator to a paid line, through every function of the store.

use transparency_log::Hash;
use wiregrant_core::allotment::{Level, Period};
use wiregrant_core::api::{DeviceLevel, NodeState, Pause};
use wiregrant_core::socks5::Socks5Login;
use wiregrant_core::usage_report::{Backend, Class};
use wiregrant_core::{Bytes, NodeId, Sats, WireGuardPublicKey};
use wiregrant_store::{
    Batch, BatchLine, Condition, Destination, Device, Grant, Invitation, Location, MAX_EVIDENCE_PER_NODE,
    NewAccessCodes, NewDevice, NewNode, NewToken, Party, Placed, Report, Statement, StatementHead, Store,
    StoreError, Write,
};

use crate::organisations::new_token;
use crate::support::{at, id, on_both};

#[tokio::test]
async fn from_an_operator_to_a_paid_line() {
    on_both(|store, _| async move {
        settings(&store).await;
        parties(&store).await;
        destinations(&store).await;
        nodes(&store).await;
        conditions(&store).await;
        codes_and_devices(&store).await;
        grants(&store).await;
        crate::organisations::funders_and_auditors(&store).await;
        crate::organisations::recoveries_and_budgets(&store).await;
        crate::organisations::named_requests(&store).await;
        reports(&store).await;
        evidence(&store).await;
        statements(&store).await;
        batches(&store).await;
        crate::chain::story(&store).await;
        public_notes(&store).await;
    })
    .await;
}

fn key(n: u8) -> WireGuardPublicKey {
    [n; 32].into()
}

pub fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

fn bytes(number: u64) -> Bytes {
    Bytes::new(number).unwrap()
}

fn sats(number: u64) -> Sats {
    Sats::new(number).unwrap()
}

/// What a write does must come undone when it is refused, so each refusal is asked for in a transaction of its own.
pub async fn refusal<T: std::fmt::Debug>(
    store: &Store,
    attempt: impl AsyncFnOnce(&mut Write) -> Result<T, StoreError>,
) -> StoreError {
    attempt(&mut store.write().await.unwrap()).await.unwrap_err()
}

#[track_caller]
pub fn assert_exists(error: &StoreError, expected_table: &str, expected_columns: &str) {
    match error {
        StoreError::Exists { table, columns } => {
            assert_eq!((table.as_str(), columns.as_str()), (expected_table, expected_columns));
        }
        other => panic!("{other}"),
    }
}

async fn settings(store: &Store) {
    let mut write = store.write().await.unwrap();
    write.put_setting("origin", "old.example/record").await.unwrap();
    write.put_setting("origin", "grants.example/record").await.unwrap();
    assert_eq!(write.setting("origin").await.unwrap().as_deref(), Some("grants.example/record"));
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().setting("network").await.unwrap(), None);
}

async fn parties(store: &Store) {
    let (operator, distributor) = (id("nordlicht"), id("relief"));
    let mut write = store.write().await.unwrap();
    write.insert_operator(&operator, Some("nordlicht+1+AA"), at(10)).await.unwrap();
    write.insert_operator(&id("hearth"), None, at(10)).await.unwrap();
    write.insert_distributor(&distributor, at(10)).await.unwrap();
    write.insert_token(&new_token("t1", Party::Administrator), at(10)).await.unwrap();
    write.commit().await.unwrap();
    crate::organisations::tokens_and_sessions(store).await;

    let mut read = store.read().await.unwrap();
    let known = read.operator(&operator).await.unwrap().unwrap();
    assert_eq!((known.vkey.as_deref(), known.created_at), (Some("nordlicht+1+AA"), at(10)));
    assert_eq!(read.operator(&id("nobody")).await.unwrap(), None);
    let operators = read.operators().await.unwrap();
    assert_eq!(operators.iter().map(|o| o.operator.as_str()).collect::<Vec<_>>(), ["hearth", "nordlicht"]);
    assert_eq!(read.distributors().await.unwrap()[0].codes_issued, 0);
    drop(read);

    let twice = refusal(store, async |w| w.insert_operator(&operator, None, at(11)).await).await;
    assert_exists(&twice, "operators", "operator");
    let twice = refusal(store, async |w| w.insert_distributor(&distributor, at(11)).await).await;
    assert_exists(&twice, "distributors", "distributor");
    let called_alike = NewToken { hash: hash("another"), ..new_token("t1", Party::Administrator) };
    let twice = refusal(store, async |w| w.insert_token(&called_alike, at(11)).await).await;
    assert_exists(&twice, "tokens", "token");
    let same = NewToken { token: id("another"), ..new_token("t1", Party::Administrator) };
    let twice = refusal(store, async |w| w.insert_token(&same, at(11)).await).await;
    assert_exists(&twice, "tokens", "token_hash");
}

fn destination(operator: &str, sequence: u64, pay: &str) -> Destination {
    let note = format!("destination of {operator}, {sequence}: {pay}");
    Destination {
        operator: id(operator),
        sequence,
        note_hash: hash(&note),
        note,
        pay: pay.to_owned(),
        signed_by_operator: operator == "nordlicht",
        ownership: None,
        created_at: at(20),
    }
}

async fn destinations(store: &Store) {
    let mut write = store.write().await.unwrap();
    for destination in [
        destination("nordlicht", 1, "tb1first"),
        destination("nordlicht", 2, "tb1second"),
        destination("hearth", 1, "tb1h"),
    ] {
        write.insert_destination(&destination).await.unwrap();
    }
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    let newest = read.newest_destination(&id("nordlicht")).await.unwrap();
    assert_eq!(newest, Some(destination("nordlicht", 2, "tb1second")));
    let first = read.destination(&id("nordlicht"), 1).await.unwrap();
    assert_eq!(first, Some(destination("nordlicht", 1, "tb1first")));
    assert_eq!(read.newest_destination(&id("nobody")).await.unwrap(), None);
    let all = read.newest_destinations(None).await.unwrap();
    assert_eq!(all, [destination("hearth", 1, "tb1h"), destination("nordlicht", 2, "tb1second")]);
    drop(read);

    let used = refusal(store, async |w| w.insert_destination(&destination("hearth", 1, "tb1x")).await).await;
    assert_exists(&used, "destinations", "operator_sequence");
    let stranger =
        refusal(store, async |w| w.insert_destination(&destination("nobody", 1, "tb1n")).await).await;
    assert!(matches!(stranger, StoreError::UnknownReference { .. }), "{stranger}");
}

fn new_node(name: &str, operator: &str, n: u8) -> NewNode {
    NewNode {
        node: id(name),
        operator: id(operator),
        location: id("de-fra"),
        vkey: format!("{name}+1+AA"),
        identity_key: [n; 32],
        wireguard_public_key: key(100 + n),
        endpoint: "203.0.113.7:51820".to_owned(),
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
    }
}

async fn nodes(store: &Store) {
    let frankfurt = Location { location: id("de-fra"), name: "Frankfurt, Germany".to_owned() };
    let invitation = Invitation {
        secret_hash: hash("secret"),
        operator: id("nordlicht"),
        location: id("de-fra"),
        expires: at(1_000),
        node: None,
        for_node: None,
    };
    let mut write = store.write().await.unwrap();
    write.insert_location(&frankfurt, at(30)).await.unwrap();
    write.insert_invitation(&invitation).await.unwrap();
    assert_eq!(write.insert_node(&new_node("node-a", "nordlicht", 1), 3, at(31)).await.unwrap(), 0);
    assert_eq!(write.insert_node(&new_node("node-b", "hearth", 2), 3, at(31)).await.unwrap(), 1);
    assert_eq!(write.insert_node(&new_node("node-c", "hearth", 3), 3, at(31)).await.unwrap(), 2);
    write.use_invitation(hash("secret"), &id("node-a")).await.unwrap();
    write.commit().await.unwrap();

    let no_number =
        refusal(store, async |w| w.insert_node(&new_node("node-d", "hearth", 4), 3, at(32)).await).await;
    assert!(matches!(no_number, StoreError::TooLarge { found: 3, limit: 2, .. }), "{no_number}");
    let same_key = NewNode { wireguard_public_key: key(101), ..new_node("node-d", "hearth", 4) };
    let same_key = refusal(store, async |w| w.insert_node(&same_key, 9, at(32)).await).await;
    assert_exists(&same_key, "nodes", "wireguard_public_key");
    let used = refusal(store, async |w| w.use_invitation(hash("secret"), &id("node-b")).await).await;
    assert!(matches!(used, StoreError::NotFound { .. }), "{used}");
    let unused = Invitation { secret_hash: hash("another secret"), expires: at(999), ..invitation.clone() };
    let mut write = store.write().await.unwrap();
    write.insert_invitation(&unused).await.unwrap();
    assert_eq!(write.forget_invitations(at(999)).await.unwrap(), 0, "not yet");
    assert_eq!(write.forget_invitations(at(5_000)).await.unwrap(), 1, "one that was used stays");
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    assert_eq!(read.location(&id("de-fra")).await.unwrap(), Some(frankfurt.clone()));
    assert_eq!(read.locations().await.unwrap(), [frankfurt]);
    let used = Invitation { node: Some(id("node-a")), ..invitation };
    assert_eq!(read.invitation(hash("secret")).await.unwrap(), Some(used));
    assert_eq!(read.invitation(hash("guess")).await.unwrap(), None);
    let node = read.node(&id("node-a")).await.unwrap().unwrap();
    assert_eq!((node.identity_key, node.wireguard_public_key, node.number), ([1; 32], key(101), 0));
    assert_eq!((node.state, node.revision, node.backend), (NodeState::Active, 1, Backend::Kernel));
    assert_eq!((node.enrolled_at, node.last_seen), (at(31), None));
    assert_eq!(read.node(&id("node-x")).await.unwrap(), None);
    assert_eq!(read.candidates(None, None, at(0), at(33)).await.unwrap(), [], "none was ever seen");
    drop(read);

    let mut write = store.write().await.unwrap();
    for (name, seen) in [("node-a", 40), ("node-b", 45), ("node-c", 50)] {
        write.touch_last_seen(&[id(name)], at(seen)).await.unwrap();
    }
    write.set_node_state(&id("node-c"), NodeState::Frozen).await.unwrap();
    assert_eq!(write.bump_revision(&id("node-c")).await.unwrap(), 3);
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    let names =
        async |read: &mut wiregrant_store::Read, operator: Option<&str>, place: Option<&str>, since| {
            let (operator, place) = (operator.map(id), place.map(id));
            let found = read.candidates(operator.as_ref(), place.as_ref(), at(since), at(60)).await.unwrap();
            found.into_iter().map(|candidate| candidate.node.to_string()).collect::<Vec<_>>()
        };
    assert_eq!(names(&mut read, None, None, 0).await, ["node-a", "node-b"], "a frozen one is none");
    assert_eq!(names(&mut read, None, Some("de-fra"), 41).await, ["node-b"]);
    assert_eq!(names(&mut read, Some("nordlicht"), None, 0).await, ["node-a"]);
    assert!(names(&mut read, None, Some("se-sto"), 0).await.is_empty());
    drop(read);
    reach(store).await;
}

/// Nodes that somebody has reached at their endpoint, and the others.
async fn reach(store: &Store) {
    let unreached = async |read: &mut wiregrant_store::Read, since| {
        let found = read.unreached_nodes(at(since)).await.unwrap();
        found.into_iter().map(|node| node.node.to_string()).collect::<Vec<_>>()
    };
    let mut write = store.write().await.unwrap();
    assert_eq!(unreached(&mut write, 0).await, ["node-a", "node-b"], "a frozen one is left alone");
    assert_eq!(unreached(&mut write, 41).await, ["node-b"]);
    let waits = write.unreached_nodes(at(41)).await.unwrap().remove(0);
    write.set_reached(&waits.node, &waits.endpoint).await.unwrap();
    assert_eq!(unreached(&mut write, 0).await, ["node-a"]);
    let candidates = write.candidates(None, None, at(0), at(60)).await.unwrap();
    let reached = |candidate: &wiregrant_store::Candidate| {
        candidate.reached_endpoint.as_ref() == Some(&candidate.endpoint)
    };
    assert_eq!(candidates.iter().map(reached).collect::<Vec<_>>(), [false, true]);
    write.set_reached(&waits.node, "another:1").await.unwrap();
    assert_eq!(unreached(&mut write, 0).await, ["node-a", "node-b"], "that is not where it is now");
    drop(write);
    let missing = refusal(store, async |w| w.set_reached(&id("node-x"), "a:1").await).await;
    assert!(matches!(missing, StoreError::NotFound { what: "node", .. }), "{missing}");
}

async fn conditions(store: &Store) {
    let said = Condition {
        agent: "0.2.0".to_owned(),
        backend: Backend::WireGuardGo,
        endpoint: "[2001:db8::7]:51820".to_owned(),
        socks5_endpoint: Some("203.0.113.7:1080".to_owned()),
        paused: Some(Pause::Budget),
        megabits_per_second: Some(100),
        gigabytes_per_month: None,
    };
    let before = store.read().await.unwrap().node(&id("node-a")).await.unwrap().unwrap();
    let mut write = store.write().await.unwrap();
    write.set_condition(&id("node-a"), &said).await.unwrap();
    write.commit().await.unwrap();
    let stranger = refusal(store, async |w| w.set_condition(&id("node-x"), &said).await).await;
    assert!(matches!(stranger, StoreError::NotFound { what: "node", .. }), "{stranger}");

    let mut read = store.read().await.unwrap();
    let node = read.node(&id("node-a")).await.unwrap().unwrap();
    assert_eq!(
        (node.agent.as_str(), node.backend, node.paused),
        ("0.2.0", Backend::WireGuardGo, said.paused)
    );
    assert_eq!((&node.endpoint, &node.socks5_endpoint), (&said.endpoint, &said.socks5_endpoint));
    assert_eq!((node.megabits_per_second, node.gigabytes_per_month), (Some(100), None));
    assert_eq!(
        (node.revision, node.last_seen),
        (before.revision, before.last_seen),
        "its peers are the same"
    );
    let shown = read.node_overview(&id("node-a"), at(60)).await.unwrap().unwrap();
    assert_eq!((shown.paused, shown.socks5_endpoint), (said.paused, said.socks5_endpoint.clone()));
    let candidates = read.candidates(None, None, at(0), at(60)).await.unwrap();
    let paused: Vec<_> = candidates.iter().map(|node| (node.node.as_str(), node.paused)).collect();
    assert_eq!(paused, [("node-a", Some(Pause::Budget)), ("node-b", None)]);
    assert_eq!(candidates[0].socks5_endpoint, said.socks5_endpoint);
    drop(read);

    let mut write = store.write().await.unwrap();
    let serves_again = Condition { paused: None, socks5_endpoint: None, ..said };
    write.set_condition(&id("node-a"), &serves_again).await.unwrap();
    let node = write.node(&id("node-a")).await.unwrap().unwrap();
    assert_eq!((node.paused, node.socks5_endpoint), (None, None));
    write.commit().await.unwrap();
}

async fn codes_and_devices(store: &Store) {
    let codes = NewAccessCodes {
        class: Class::Assigned,
        issuer: "relief".to_owned(),
        devices: 2,
        quota_bytes: bytes(2_000),
        period: Period::Total,
        expires: at(500),
    };
    let invited = NewAccessCodes { class: Class::Invited, issuer: "hearth".to_owned(), ..codes.clone() };
    let mut write = store.write().await.unwrap();
    let hashes = [hash("code 1"), hash("code 2")];
    assert_eq!(write.insert_access_codes(&hashes, &codes, at(60)).await.unwrap(), 1);
    assert_eq!(write.insert_access_codes(&[hash("code 3")], &invited, at(61)).await.unwrap(), 3);
    write.commit().await.unwrap();
    let twice =
        refusal(store, async |w| w.insert_access_codes(&[hash("code 1")], &codes, at(62)).await).await;
    assert_exists(&twice, "access_codes", "code_hash");

    let mut read = store.read().await.unwrap();
    let code = read.access_code(hash("code 2")).await.unwrap().unwrap();
    assert_eq!((code.number, code.class, code.issuer.as_str()), (2, Class::Assigned, "relief"));
    assert_eq!(
        (code.devices, code.quota_bytes, code.expires, code.created_at),
        (2, bytes(2_000), at(500), at(60))
    );
    assert_eq!(read.access_code(hash("guess")).await.unwrap(), None);
    assert_eq!(read.assigned_quota_issued(None, at(60)).await.unwrap(), bytes(0));
    assert_eq!(read.assigned_quota_issued(None, at(61)).await.unwrap(), bytes(4_000));
    let of_relief = read.assigned_quota_issued(Some(&id("relief")), at(61)).await.unwrap();
    assert_eq!(of_relief, bytes(4_000));
    let of_another = read.assigned_quota_issued(Some(&id("another")), at(61)).await.unwrap();
    assert_eq!(of_another, bytes(0));
    assert_eq!(read.distributors().await.unwrap()[0].codes_issued, 2);
    drop(read);

    let device = |n: u8, code_number| NewDevice {
        public_key: key(n),
        code_number,
        node: id("node-a"),
        class: if code_number == 3 { Class::Invited } else { Class::Assigned },
        allotment: bytes(1_000),
        period: Period::Total,
        expires: at(500),
        replaces: None,
    };
    let hosts = 2..=4;
    let mut write = store.write().await.unwrap();
    for (n, code, host_number, revision) in [(1, 1, 2, 2), (2, 1, 3, 3), (3, 3, 4, 4)] {
        let placed = write.place_device(&device(n, code), hosts.clone(), at(70)).await.unwrap();
        assert_eq!(placed, Some(Placed { host_number, revision }));
    }
    assert_eq!(
        write.place_device(&device(4, 2), hosts.clone(), at(71)).await.unwrap(),
        None,
        "the node is full"
    );
    assert_eq!(write.remove_device(&key(2), at(80)).await.unwrap(), id::<NodeId>("node-a"));
    assert_eq!(write.remove_device(&key(1), at(81)).await.unwrap(), id::<NodeId>("node-a"));
    write.commit().await.unwrap();
    let again = refusal(store, async |w| w.remove_device(&key(1), at(82)).await).await;
    assert!(matches!(again, StoreError::NotFound { what: "device", .. }), "{again}");
    let same_key = refusal(store, async |w| w.place_device(&device(1, 2), hosts.clone(), at(82)).await).await;
    assert_exists(&same_key, "devices", "public_key");

    let mut write = store.write().await.unwrap();
    let placed = write.place_device(&device(4, 2), hosts.clone(), at(90)).await.unwrap();
    assert_eq!(placed.map(|placed| placed.host_number), Some(3), "out of use for longest");
    write.commit().await.unwrap();
    live_devices(store).await;
    levels_and_logins(store).await;

    // What has expired may be taken over too, and keeps counting as placed.
    let mut write = store.write().await.unwrap();
    for (n, number) in [(5, 2), (6, 3), (7, 4)] {
        let late = NewDevice { expires: at(900), ..device(n, 2) };
        let placed = write.place_device(&late, hosts.clone(), at(600)).await.unwrap();
        assert_eq!(placed.map(|placed| placed.host_number), Some(number));
    }
    let expired = write.device(&key(4)).await.unwrap().unwrap();
    assert_eq!((expired.host_number, expired.removed_at, expired.level), (None, Some(at(600)), None));
    assert_eq!(write.assigned_devices(&id("node-a"), at(601)).await.unwrap().devices, 6);
    drop(write);
    monthly(store, &codes).await;
    switches(store, &device).await;
}

/// Device 8 takes the place of 7, and then code 2 is forgotten with all it had.
async fn switches(store: &Store, device: &impl Fn(u8, u64) -> NewDevice) {
    let mut write = store.write().await.unwrap();
    let before = write.switches_of_code(2, at(0)).await.unwrap();
    let here = NewDevice { node: id("node-b"), expires: at(900), ..device(7, 2) };
    write.place_device(&here, 2..=9, at(609)).await.unwrap().unwrap();
    write.remove_device(&key(7), at(610)).await.unwrap();
    let there = NewDevice { node: id("node-b"), replaces: Some(key(7)), expires: at(900), ..device(8, 2) };
    write.place_device(&there, 2..=9, at(611)).await.unwrap().unwrap();
    assert_eq!(write.device(&key(8)).await.unwrap().unwrap().replaces, Some(key(7)));
    let mut switches = async |since| write.switches_of_code(2, at(since)).await.unwrap() - before;
    assert_eq!([switches(611).await, switches(612).await], [1, 0]);
    write.commit().await.unwrap();

    let live = refusal(store, async |w| w.forget_device(&key(8), &key(80), at(620)).await).await;
    assert!(matches!(live, StoreError::NotFound { what: "removed device", .. }), "{live}");
    let mut write = store.write().await.unwrap();
    let placed = write.assigned_devices(&id("node-b"), at(700)).await.unwrap();
    write.remove_device(&key(8), at(620)).await.unwrap();
    let removed =
        async |write: &mut Write, before| write.devices_removed_before(at(before), 9).await.unwrap();
    assert!(
        removed(&mut write, 621).await.contains(&key(8)) && !removed(&mut write, 620).await.contains(&key(8))
    );
    assert_eq!(write.devices_removed_before(at(10_000), 1).await.unwrap().len(), 1);
    write.forget_device(&key(8), &key(80), at(620)).await.unwrap();
    assert!(!removed(&mut write, 621).await.contains(&key(80)), "once");
    assert!(write.access_codes_expired_before(at(10_000), 99).await.unwrap().contains(&2));
    write.forget_access_code(2, hash("nobody's"), at(620)).await.unwrap();
    assert!(!write.access_codes_expired_before(at(10_000), 99).await.unwrap().contains(&2), "once");
    assert_eq!(write.device(&key(8)).await.unwrap(), None);
    assert_eq!(write.device(&key(80)).await.unwrap().unwrap().replaces, Some(key(80)), "of nobody");
    assert_eq!(write.assigned_devices(&id("node-b"), at(700)).await.unwrap(), placed);
    assert_eq!(write.access_code(hash("code 2")).await.unwrap(), None);
    let unknown = write.forget_access_code(99, hash("x"), at(620)).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { what: "access code", .. }), "{unknown}");
    // What the rest of the story counts goes on as it was.
    drop(write);
}

/// A monthly quota counts once for each month begun, in 1970: January ends with second 2,678,399.
async fn monthly(store: &Store, codes: &NewAccessCodes) {
    const FEBRUARY: i64 = 31 * 86_400;
    let before = store.read().await.unwrap().assigned_quota_issued(None, at(FEBRUARY)).await.unwrap();
    let monthly = NewAccessCodes { period: Period::Month, expires: at(3 * FEBRUARY), ..codes.clone() };
    let mut write = store.write().await.unwrap();
    let number = write.insert_access_codes(&[hash("code 4")], &monthly, at(700)).await.unwrap();
    let device = NewDevice {
        public_key: key(40),
        code_number: number,
        node: id("node-b"),
        class: Class::Assigned,
        allotment: bytes(1_000),
        period: Period::Month,
        expires: at(3 * FEBRUARY),
        replaces: None,
    };
    write.place_device(&device, 2..=4, at(FEBRUARY - 1)).await.unwrap();
    assert_eq!(write.device(&key(40)).await.unwrap().unwrap().period, Period::Month);
    let issuer = write.access_codes_of(Class::Assigned, "relief").await.unwrap();
    assert_eq!(issuer.last().map(|code| (code.number, code.period)), Some((4, Period::Month)));
    let mut issued =
        async |moment| write.assigned_quota_issued(None, at(moment)).await.unwrap().get() - before.get();
    assert_eq!([issued(FEBRUARY).await, issued(FEBRUARY + 1).await], [2_000, 4_000]);
    let mut allotted =
        async |moment| write.assigned_devices(&id("node-b"), at(moment)).await.unwrap().allotment;
    assert_eq!([allotted(FEBRUARY).await, allotted(FEBRUARY + 1).await], [bytes(1_000), bytes(2_000)]);
    assert_eq!(allotted(90 * FEBRUARY).await, bytes(4_000), "it expires in its fourth month");
}

/// What is left of an allotment, and a login, on devices 3 and 4, which are live; 1 and 2 were removed.
async fn levels_and_logins(store: &Store) {
    let (node, elsewhere) = (id("node-a"), id("node-b"));
    let level = |n: u8, level| DeviceLevel { public_key: key(n), level };
    let login =
        |name: &str, password: &str| Socks5Login { username: id(name), password_hash: hash(password) };
    let mut write = store.write().await.unwrap();
    let told = [
        level(3, Level::UnderHalf),
        level(4, Level::Exhausted),
        level(1, Level::OverHalf),
        level(99, Level::OverHalf),
    ];
    write.set_levels(&node, &told).await.unwrap();
    write.set_levels(&elsewhere, &[level(3, Level::OverHalf)]).await.unwrap();
    write.set_levels(&node, &[]).await.unwrap();
    let before = write.node(&node).await.unwrap().unwrap().revision;
    assert_eq!(write.set_socks5_login(&key(3), &login("k3", "first")).await.unwrap(), node);
    assert_eq!(write.set_socks5_login(&key(3), &login("k3", "second")).await.unwrap(), node);
    assert_eq!(write.node(&node).await.unwrap().unwrap().revision, before + 2);
    write.commit().await.unwrap();
    let taken = refusal(store, async |w| w.set_socks5_login(&key(4), &login("k3", "third")).await).await;
    assert_exists(&taken, "devices", "socks5_username");
    for gone in [1, 99] {
        let gone = refusal(store, async |w| w.set_socks5_login(&key(gone), &login("k1", "x")).await).await;
        assert!(matches!(gone, StoreError::NotFound { what: "device", .. }), "{gone}");
    }

    let mut read = store.read().await.unwrap();
    let live = read.live_devices(&node, at(100)).await.unwrap();
    let kept: Vec<_> = live.iter().map(|device| (device.level, device.socks5_login())).collect();
    assert_eq!(
        kept,
        [(Some(Level::Exhausted), None), (Some(Level::UnderHalf), Some(login("k3", "second"))),]
    );
    assert_eq!(read.device(&key(1)).await.unwrap().unwrap().level, None, "it is gone");
    drop(read);

    // Nothing of it outlives the device. What is undone here is needed by what follows.
    let mut write = store.write().await.unwrap();
    write.remove_device(&key(3), at(95)).await.unwrap();
    let removed = write.device(&key(3)).await.unwrap().unwrap();
    assert_eq!((removed.level, removed.socks5_login()), (None, None));
}

async fn live_devices(store: &Store) {
    let mut read = store.read().await.unwrap();
    let keys = |devices: Vec<Device>| devices.iter().map(|device| device.public_key).collect::<Vec<_>>();
    assert_eq!(keys(read.live_devices(&id("node-a"), at(100)).await.unwrap()), [key(4), key(3)]);
    assert_eq!(keys(read.live_devices(&id("node-a"), at(500)).await.unwrap()), [], "they have expired");
    assert_eq!(keys(read.devices_of_code(1).await.unwrap()), [key(1), key(2)], "removed ones too");
    let removed = read.device(&key(2)).await.unwrap().unwrap();
    assert_eq!((removed.host_number, removed.removed_at, removed.placed_at), (None, Some(at(80)), at(70)));
    assert_eq!(read.device(&key(99)).await.unwrap(), None);

    let assigned = read.assigned_devices(&id("node-a"), at(71)).await.unwrap();
    assert_eq!(
        (assigned.devices, assigned.allotment),
        (2, bytes(2_000)),
        "removed ones count, invited ones do not"
    );
    assert_eq!(read.assigned_devices(&id("node-a"), at(70)).await.unwrap().devices, 0);
    let of_relief = read.access_codes_of(Class::Assigned, "relief").await.unwrap();
    assert_eq!(of_relief.iter().map(|c| (c.number, c.devices_used)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    assert_eq!(read.access_codes_of(Class::Invited, "relief").await.unwrap(), []);

    let overview = read.node_overview(&id("node-a"), at(100)).await.unwrap().unwrap();
    assert_eq!((overview.devices, overview.sequence, overview.head_note), (2, 0, None));
    let candidates = read.candidates(None, None, at(0), at(100)).await.unwrap();
    let order: Vec<_> = candidates.iter().map(|c| (c.node.as_str(), c.devices)).collect();
    assert_eq!(order, [("node-b", 0), ("node-a", 2)]);
}

async fn grants(store: &Store) {
    let (spring, autumn, node) = (id("spring"), id("autumn"), id("node-a"));
    let grant = |grant_id: &str| Grant {
        grant_id: id(grant_id),
        title: format!("Grant {grant_id}"),
        terms_note: format!("terms of {grant_id}"),
        terms_hash: hash(grant_id),
        created_at: at(100),
    };
    let mut write = store.write().await.unwrap();
    write.insert_grant(&grant("spring")).await.unwrap();
    write.insert_grant(&grant("autumn")).await.unwrap();
    write.insert_contribution(&spring, sats(50_000), at(101)).await.unwrap();
    write.insert_contribution(&spring, sats(7), at(102)).await.unwrap();
    write.insert_contribution(&autumn, sats(1), at(102)).await.unwrap();
    let revision = write.node(&node).await.unwrap().unwrap().revision;
    write.admit(&spring, &node, 2, at(103)).await.unwrap();
    assert_eq!(write.node(&node).await.unwrap().unwrap().revision, revision + 1);
    write.commit().await.unwrap();

    let twice = refusal(store, async |w| w.insert_grant(&grant("spring")).await).await;
    assert_exists(&twice, "grants", "grant_id");
    let unknown =
        refusal(store, async |w| w.insert_contribution(&id("winter"), sats(1), at(104)).await).await;
    assert!(matches!(unknown, StoreError::UnknownReference { .. }), "{unknown}");
    let too_many = refusal(store, async |w| w.insert_contribution(&spring, Sats::MAX, at(104)).await).await;
    assert!(matches!(too_many, StoreError::TooLarge { .. }), "{too_many}");
    for (grant, first_epoch) in [(&spring, 2), (&spring, 3), (&autumn, 1)] {
        let twice = refusal(store, async |w| w.admit(grant, &node, first_epoch, at(104)).await).await;
        assert_exists(&twice, "memberships", "node");
    }
    let backwards = refusal(store, async |w| w.leave(&spring, &node, 1).await).await;
    assert!(matches!(backwards, StoreError::Refused { .. }), "{backwards}");
    let elsewhere = refusal(store, async |w| w.leave(&autumn, &node, 9).await).await;
    assert!(matches!(elsewhere, StoreError::NotFound { .. }), "{elsewhere}");

    let mut write = store.write().await.unwrap();
    write.leave(&spring, &node, 2).await.unwrap();
    write.admit(&spring, &node, 2, at(105)).await.unwrap();
    write.leave(&spring, &node, 4).await.unwrap();
    write.admit(&autumn, &node, 1, at(105)).await.unwrap();
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    assert_eq!(read.grant(&spring).await.unwrap(), Some(grant("spring")));
    assert_eq!(read.grant(&id("winter")).await.unwrap(), None);
    assert_eq!(read.grants().await.unwrap(), [grant("autumn"), grant("spring")]);
    assert_eq!(read.contributed(&spring, None).await.unwrap(), sats(50_007));
    assert_eq!(read.contributed(&spring, Some(at(102))).await.unwrap(), sats(50_000));
    assert_eq!(read.contributed(&id("winter"), None).await.unwrap(), Sats::ZERO);
    let of_node = read.memberships_of_node(&node).await.unwrap();
    let parts: Vec<_> = of_node.iter().map(|m| (m.grant_id.as_str(), m.first_epoch, m.end_epoch)).collect();
    assert_eq!(parts, [("autumn", 1, None), ("spring", 2, Some(4))]);
    let of_grant = read.memberships_of_grant(&spring).await.unwrap();
    assert_eq!(of_grant, of_node[1..]);
    assert_eq!(of_grant[0].admitted_at, at(105));
}

fn report(node: &str, sequence: u64, epoch: Option<(&str, u64)>) -> Report {
    let note = format!("report {sequence} of {node}");
    let n = i64::try_from(sequence).unwrap();
    Report {
        node: id(node),
        sequence,
        note_hash: hash(&note),
        note,
        log_index: sequence - 1 + if node == "node-a" { 0 } else { 1_000 },
        acked_size: sequence + 1_000,
        epoch_grant: epoch.map(|(grant, _)| id(grant)),
        epoch_number: epoch.map(|(_, number)| number),
        start_at: at(200 + 10 * n),
        end_at: at(210 + 10 * n),
        received_at: at(211 + 10 * n),
    }
}

async fn reports(store: &Store) {
    let node = id("node-a");
    let spring = id("spring");
    // More than one statement's worth of rows, the last of them in the grant.
    let label = |sequence| (sequence > 300).then_some(("spring", if sequence < 400 { 2 } else { 3 }));
    let chain: Vec<_> = (1..=450).map(|sequence| report("node-a", sequence, label(sequence))).collect();
    let mut write = store.write().await.unwrap();
    assert_eq!(write.head_report(&node).await.unwrap(), None);
    write.insert_reports(&chain).await.unwrap();
    write.insert_reports(&[report("node-b", 1, None)]).await.unwrap();
    write.insert_reports(&[]).await.unwrap();
    write.commit().await.unwrap();

    let used = refusal(store, async |w| w.insert_reports(&[report("node-a", 450, None)]).await).await;
    assert!(matches!(&used, StoreError::Exists { table, .. } if table == "reports"), "{used}");
    let stranger = refusal(store, async |w| w.insert_reports(&[report("node-x", 900, None)]).await).await;
    assert!(matches!(stranger, StoreError::UnknownReference { .. }), "{stranger}");

    let mut read = store.read().await.unwrap();
    assert_eq!(read.report(&node, 7).await.unwrap(), Some(report("node-a", 7, None)));
    assert_eq!(read.report(&node, 451).await.unwrap(), None);
    assert_eq!(read.head_report(&node).await.unwrap(), Some(report("node-a", 450, Some(("spring", 3)))));
    let mut closing = async |epoch, size| {
        let report = read.closing_report(&node, &spring, epoch, size).await.unwrap();
        report.map(|report| report.sequence)
    };
    assert_eq!(closing(2, 1_000).await, Some(399));
    assert_eq!(closing(2, 350).await, Some(350), "the 350th report's entry has index 349");
    assert_eq!(closing(2, 300).await, None);
    assert_eq!(closing(3, 1_000).await, Some(450));
    assert_eq!(closing(4, 1_000).await, None);
    let mut first = async |epoch| read.first_sequence_labelled(&node, &spring, epoch).await.unwrap();
    assert_eq!([first(1).await, first(3).await, first(4).await], [Some(301), Some(400), None]);

    let overviews = read.node_overviews(Some(&id("nordlicht")), at(100)).await.unwrap();
    assert_eq!(overviews.len(), 1);
    assert_eq!((overviews[0].sequence, overviews[0].reported_until), (450, Some(at(4_710))));
    assert_eq!(overviews[0].head_note.as_deref(), Some("report 450 of node-a"));
    let all = read.node_overviews(None, at(100)).await.unwrap();
    let sequences: Vec<_> = all.iter().map(|n| (n.node.as_str(), n.sequence)).collect();
    assert_eq!(sequences, [("node-a", 450), ("node-b", 1), ("node-c", 0)]);
    assert_eq!(all[2].state, NodeState::Frozen);
}

async fn evidence(store: &Store) {
    let node = id("node-b");
    let mut write = store.write().await.unwrap();
    assert!(write.insert_evidence(&node, 1, "another text 0", at(300)).await.unwrap());
    assert!(!write.insert_evidence(&node, 1, "another text 0", at(301)).await.unwrap(), "it is kept already");
    for n in 1..MAX_EVIDENCE_PER_NODE {
        assert!(write.insert_evidence(&node, 1, &format!("another text {n}"), at(302)).await.unwrap());
    }
    assert!(!write.insert_evidence(&node, 1, "one too many", at(303)).await.unwrap());
    assert!(write.insert_evidence(&id("node-a"), 7, "of another node", at(303)).await.unwrap());
    write.commit().await.unwrap();

    let kept = store.read().await.unwrap().evidence(&node).await.unwrap();
    assert_eq!(kept.len() as u64, MAX_EVIDENCE_PER_NODE);
    assert_eq!((kept[0].sequence, kept[0].received_at), (1, at(300)));
    assert_eq!((kept[0].accepted.as_str(), kept[0].other.as_str()), ("report 1 of node-b", "another text 0"));
}

async fn statements(store: &Store) {
    let spring = id("spring");
    let statement = |epoch: u64| Statement {
        grant_id: id("spring"),
        epoch,
        note: format!("statement {epoch}"),
        note_hash: hash(&format!("statement {epoch}")),
        closed_at: at(400),
    };
    let mut write = store.write().await.unwrap();
    assert_eq!(write.newest_statement(&spring).await.unwrap(), None);
    write.insert_statement(&statement(1), "inputs 1").await.unwrap();
    write.insert_statement(&statement(2), "inputs 2").await.unwrap();
    write.commit().await.unwrap();
    let twice = refusal(store, async |w| w.insert_statement(&statement(2), "other inputs").await).await;
    assert!(matches!(&twice, StoreError::Exists { table, .. } if table == "statements"), "{twice}");

    let mut read = store.read().await.unwrap();
    assert_eq!(read.statement(&spring, 1).await.unwrap(), Some(statement(1)));
    assert_eq!(read.statement(&spring, 3).await.unwrap(), None);
    assert_eq!(read.newest_statement(&spring).await.unwrap(), Some(statement(2)));
    assert_eq!(read.statements(&spring).await.unwrap(), [statement(1), statement(2)]);
    let heads = [statement(1), statement(2)].map(|row| StatementHead {
        epoch: row.epoch,
        note_hash: row.note_hash,
        closed_at: row.closed_at,
    });
    assert_eq!(read.statement_heads(&spring).await.unwrap(), heads);
    assert_eq!(read.inputs(&spring, 2).await.unwrap().as_deref(), Some("inputs 2"));
    assert_eq!(read.epochs_closed(&spring).await.unwrap(), 2);
    assert_eq!(read.epochs_closed(&id("autumn")).await.unwrap(), 0);
}

async fn batches(store: &Store) {
    let batch = |name: &str, change_sats| Batch {
        batch: id(name),
        grant_id: id("spring"),
        note: format!("batch {name}"),
        note_hash: hash(name),
        psbt: "cHNidP8=".to_owned(),
        coins: "[]".to_owned(),
        change_address: "tb1change".to_owned(),
        fee_rate: 5,
        fee: sats(700),
        change_sats,
        left_out: "[]".to_owned(),
        created_at: at(410),
    };
    let line = |batch: &str, operator: &str, epoch, destination_sequence| BatchLine {
        batch: id(batch),
        operator: id(operator),
        grant_id: id("spring"),
        epoch,
        sats: sats(12_345),
        address: "tb1second".to_owned(),
        destination_sequence,
    };
    let (first, second) = (batch("first", Some(sats(99))), batch("second", None));
    let lines =
        [line("first", "hearth", 1, 1), line("first", "nordlicht", 1, 2), line("first", "nordlicht", 2, 2)];
    let mut write = store.write().await.unwrap();
    write.insert_batch(&first, &lines).await.unwrap();
    write.commit().await.unwrap();

    let again = refusal(store, async |w| w.insert_batch(&first, &[]).await).await;
    assert!(matches!(&again, StoreError::Exists { table, .. } if table == "batches"), "{again}");
    let paid_twice = line("second", "nordlicht", 2, 2);
    let paid_twice = refusal(store, async |w| w.insert_batch(&second, &[paid_twice]).await).await;
    assert_exists(&paid_twice, "reserved_lines", "operator_grant_id_epoch");
    for nothing_behind_it in [line("second", "hearth", 9, 1), line("second", "hearth", 2, 9)] {
        let refused = refusal(store, async |w| w.insert_batch(&second, &[nothing_behind_it]).await).await;
        assert!(matches!(refused, StoreError::UnknownReference { .. }), "{refused}");
    }
    let mut write = store.write().await.unwrap();
    write.insert_batch(&second, &[line("second", "hearth", 2, 1)]).await.unwrap();
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    assert_eq!(read.batch(&id("first")).await.unwrap(), Some(first.clone()));
    assert_eq!(read.batch(&id("third")).await.unwrap(), None);
    assert_eq!(read.batches().await.unwrap(), [first, second]);
    assert_eq!(read.lines_of_batch(&id("first")).await.unwrap(), lines);
    let held = read.reserved_lines_of_grant(&id("spring")).await.unwrap();
    let held: Vec<_> = held.iter().map(|line| (line.epoch, line.operator.as_str())).collect();
    assert_eq!(held, [(1, "hearth"), (1, "nordlicht"), (2, "hearth"), (2, "nordlicht")]);
    assert_eq!(read.reserved_lines_of_grant(&id("autumn")).await.unwrap(), []);
}

async fn public_notes(store: &Store) {
    let mut write = store.write().await.unwrap();
    let first = write.put_public_note("a statement").await.unwrap();
    let second = write.put_public_note("terms").await.unwrap();
    assert_eq!(write.put_public_note("a statement").await.unwrap(), first);
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(read.public_note(first).await.unwrap().as_deref(), Some("a statement"));
    assert_eq!(read.public_note(hash("a private note")).await.unwrap(), None);
    let mut both = [first, second];
    both.sort_unstable();
    assert_eq!(read.public_note_hashes().await.unwrap(), both);
}
