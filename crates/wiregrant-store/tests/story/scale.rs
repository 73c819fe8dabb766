//! What many nodes and several replicas need: sums by hour and day, standings of many nodes at once, shared nonces, one leader.

use wiregrant_core::Bytes;
use wiregrant_core::api::NodeState;
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::{Backend, Usage};
use wiregrant_store::{Change, Location, Log, NewNode, Report, RequestNonce, Store, Stretch, UsageAdded};

use crate::support::{Database, at, id, on_both};

pub async fn with_nodes(store: &Store) {
    let mut write = store.write().await.unwrap();
    write.insert_operator(&id("nordlicht"), None, at(1)).await.unwrap();
    write.insert_operator(&id("suedwind"), None, at(1)).await.unwrap();
    let location = Location { location: id("de-fra"), name: "Frankfurt".to_owned() };
    write.insert_location(&location, at(1)).await.unwrap();
    for (number, (name, operator)) in
        [("node-a", "nordlicht"), ("node-b", "nordlicht"), ("node-c", "suedwind")].into_iter().enumerate()
    {
        let number = u8::try_from(number).unwrap();
        let node = NewNode {
            node: id(name),
            operator: id(operator),
            location: id("de-fra"),
            vkey: String::new(),
            identity_key: [number; 32],
            wireguard_public_key: [number + 100; 32].into(),
            endpoint: String::new(),
            agent: String::new(),
            backend: Backend::Kernel,
        };
        write.insert_node(&node, 9, at(1)).await.unwrap();
    }
    write.commit().await.unwrap();
}

fn usage(received: u64, sent: u64) -> Usage {
    let bytes = |bytes| Bytes::new(bytes).unwrap();
    Usage { received: bytes(received), sent: bytes(sent), creditable: bytes(received + sent) }
}

fn added(node: &str, begin: i64, received: u64, sent: u64) -> UsageAdded {
    UsageAdded { node: id(node), begin: at(begin), usage: usage(received, sent) }
}

#[tokio::test]
async fn usage_adds_up_by_hour_and_day_and_is_the_operators_own() {
    on_both(async |store, _| {
        with_nodes(&store).await;
        let mut write = store.write().await.unwrap();
        let hours =
            [added("node-a", 3_600, 5, 1), added("node-b", 3_600, 7, 2), added("node-c", 3_600, 100, 100)];
        write.add_usage(Stretch::Hour, &hours).await.unwrap();
        write
            .add_usage(Stretch::Hour, &[added("node-a", 3_600, 10, 0), added("node-a", 7_200, 1, 1)])
            .await
            .unwrap();
        write.add_usage(Stretch::Day, &[added("node-a", 0, 16, 2), added("node-b", 0, 7, 2)]).await.unwrap();
        write.add_usage(Stretch::Day, &[]).await.unwrap();
        write.commit().await.unwrap();

        let mut read = store.read().await.unwrap();
        let mut sums = async |node: Option<&str>, stretch, begin, end| -> Vec<(i64, u64, u64, u64)> {
            let node = node.map(id);
            let of =
                read.usage(&id("nordlicht"), node.as_ref(), stretch, (at(begin), at(end))).await.unwrap();
            let sum = |of: &wiregrant_store::UsageOf| {
                (of.begin.unix_seconds(), of.received.get(), of.sent.get(), of.creditable.get())
            };
            of.iter().map(sum).collect()
        };
        assert_eq!(sums(None, Stretch::Hour, 0, 9_999).await, [(3_600, 22, 3, 25), (7_200, 1, 1, 2)]);
        assert_eq!(sums(Some("node-b"), Stretch::Hour, 0, 9_999).await, [(3_600, 7, 2, 9)]);
        assert_eq!(sums(Some("node-c"), Stretch::Hour, 0, 9_999).await, [], "another operator's");
        assert_eq!(sums(None, Stretch::Hour, 3_601, 7_200).await, []);
        assert_eq!(sums(None, Stretch::Day, 0, 86_400).await, [(0, 23, 4, 27)]);
        let mut by_node = async |stretch, begin, end| -> Vec<(String, u64, u64)> {
            let of = read.usage_of_nodes(&id("nordlicht"), stretch, (at(begin), at(end))).await.unwrap();
            of.iter().map(|of| (of.node.to_string(), of.received.get(), of.sent.get())).collect()
        };
        let sum = |node: &str, received, sent| (node.to_owned(), received, sent);
        let both = [sum("node-a", 16, 2), sum("node-b", 7, 2)];
        assert_eq!(by_node(Stretch::Hour, 3_600, 7_201).await, both);
        assert_eq!(by_node(Stretch::Hour, 3_601, 7_201).await, [sum("node-a", 1, 1)]);
        assert_eq!(by_node(Stretch::Day, 0, 1).await, both);
        assert_eq!(by_node(Stretch::Day, 1, 86_400).await, []);
        drop(read);

        let mut write = store.write().await.unwrap();
        assert_eq!(write.forget_usage_by_hour(at(7_200)).await.unwrap(), 3);
        write.commit().await.unwrap();
        let mut read = store.read().await.unwrap();
        let left = read.usage(&id("nordlicht"), None, Stretch::Hour, (at(0), at(9_999))).await.unwrap();
        assert_eq!(left.len(), 1);
        drop(read);
        let mut write = store.write().await.unwrap();
        assert!(
            write.add_usage(Stretch::Day, &[added("node-a", 5, 1, 1)]).await.is_err(),
            "no day begins then"
        );
    })
    .await;
}

#[tokio::test]
async fn many_nodes_stand_and_report_in_one_answer() {
    on_both(async |store, _| {
        with_nodes(&store).await;
        let mut write = store.write().await.unwrap();
        assert_eq!(write.size(Log::Reports), 0);
        let report = |sequence: u64| Report {
            node: id("node-a"),
            sequence,
            note: format!("note {sequence}"),
            note_hash: transparency_log::Hash::of(&sequence.to_be_bytes()),
            log_index: sequence - 1,
            acked_size: 2,
            epoch_grant: None,
            epoch_number: None,
            start_at: at(1),
            end_at: at(2),
            received_at: at(3),
        };
        let entries = [report(1), report(2)].map(|report| report_entry(report.note_hash));
        let appended = write.append(Log::Reports, &entries).await.unwrap();
        assert_eq!((write.size(Log::Reports), appended.tiles.len()), (2, 1));
        write.insert_reports(&[report(1), report(2)]).await.unwrap();
        assert_eq!(write.entries(Log::Reports, 0, 9).await.unwrap(), entries);
        write.set_node_state(&id("node-c"), NodeState::Frozen).await.unwrap();
        write.touch_last_seen(&[id("node-a"), id("node-x")], at(77)).await.unwrap();
        write.commit_at_leisure().await.unwrap();

        let nodes = ["node-c", "node-x", "node-a", "node-b"].map(id);
        let nodes: Vec<_> = nodes.iter().collect();
        let mut read = store.read().await.unwrap();
        let mut standings = read.node_standings(&nodes).await.unwrap();
        standings.sort_by(|one, other| one.node.cmp(&other.node));
        let standings: Vec<_> = standings
            .iter()
            .map(|of| (of.node.as_str(), of.identity_key[0], of.state, of.revision))
            .collect();
        let (active, frozen) = (NodeState::Active, NodeState::Frozen);
        assert_eq!(standings, [("node-a", 0, active, 1), ("node-b", 1, active, 1), ("node-c", 2, frozen, 2)]);
        assert_eq!(read.head_reports(&nodes).await.unwrap(), [report(2)]);
        assert_eq!(read.head_reports(&[]).await.unwrap(), []);
        assert_eq!(read.node(&id("node-a")).await.unwrap().unwrap().last_seen, Some(at(77)));
    })
    .await;
}

#[tokio::test]
async fn a_request_is_taken_once_whoever_asks() {
    on_both(async |store, url| {
        let other = Store::open(&url).await.unwrap();
        let nonce =
            |node: &str, time, byte| RequestNonce { node: id(node), time: at(time), nonce: [byte; 16] };
        let requests = [nonce("node-a", 5, 1), nonce("node-a", 5, 2), nonce("node-a", 5, 1)];
        assert_eq!(
            store.take_nonces(&requests).await.unwrap(),
            [true, true, false],
            "the first of two is taken"
        );
        let requests = [nonce("node-a", 5, 2), nonce("node-b", 5, 2), nonce("node-a", 6, 2)];
        assert_eq!(other.take_nonces(&requests).await.unwrap(), [false, true, true]);
        assert_eq!(other.forget_nonces(at(6)).await.unwrap(), 3);
        assert_eq!(store.take_nonces(&requests).await.unwrap(), [true, true, false]);
        assert_eq!(store.take_nonces(&[]).await.unwrap(), [true; 0]);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn one_replica_leads_and_another_takes_over_when_its_session_ends() {
    let database = Database::postgres().await;
    let (one, other) = (database.open().await, database.open().await);
    assert!(one.is_shared());
    let mut lead = one.try_to_lead().await.unwrap().unwrap();
    assert!(lead.is_held().await);
    assert!(other.try_to_lead().await.unwrap().is_none());

    // As when its machine dies: PostgreSQL ends the session.
    let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and granted
            and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    assert!(!lead.is_held().await);
    let taken_over = loop {
        // The backend was told to end; it does so in its own time.
        if let Some(lead) = other.try_to_lead().await.unwrap() {
            break lead;
        }
        tokio::task::yield_now().await;
    };
    assert!(one.try_to_lead().await.unwrap().is_none());
    taken_over.give_up().await;
    assert!(one.try_to_lead().await.unwrap().is_some());

    let alone = Database::sqlite();
    let alone = alone.open().await;
    assert!(!alone.is_shared() && alone.try_to_lead().await.unwrap().unwrap().is_held().await);
    assert!(alone.changes().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_committed_is_heard_by_others_and_a_lost_connection_is_told() {
    let database = Database::postgres().await;
    let (one, other) = (database.open().await, database.open().await);
    with_nodes(&one).await;
    let mut changes = other.changes().await.unwrap().unwrap();
    let mut write = one.write().await.unwrap();
    write.bump_revision(&id("node-b")).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Change::Node(id("node-b")));
    // The reports log is published as far as the record names it, so nobody is told that it has grown.
    let mut write = one.write().await.unwrap();
    write.append(Log::Reports, &["report x".to_owned()]).await.unwrap();
    write.commit().await.unwrap();
    let mut write = one.write().await.unwrap();
    write.bump_revision(&id("node-c")).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Change::Node(id("node-c")));
    let mut write = one.write().await.unwrap();
    write.append(Log::Record, &["operator x -".to_owned()]).await.unwrap();
    write.touch_last_seen(&[id("node-a")], at(5)).await.unwrap(); // nobody waits for that
    write.commit().await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Change::Record);

    let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
          where datname = current_database() and query like 'LISTEN%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    assert_eq!(changes.next().await.unwrap(), Change::Anything);
    let mut write = one.write().await.unwrap();
    write.bump_revision(&id("node-c")).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Change::Node(id("node-c")));
}
