//! A database of an earlier release is brought forward, with what is in it.

use sqlx::migrate::Migrator;
use sqlx::{PgPool, SqlitePool};
use transparency_log::Hash;
use wiregrant_core::allotment::Period;
use wiregrant_core::api::NodeState;
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::Backend;
use wiregrant_store::{Log, Party, Store};

use crate::support::{Database, at, id};

/// SHA-256 of the first release's schema. A database that it made is refused by a program whose file is another one, as the database
/// remembers what it was made by.
const FIRST_RELEASE: [(&str, &str); 2] = [
    ("sqlite", "730dc59e0f3fdeadad6e5dbeaff6cb2d65be69def128bbcdc86f70f697b7e14a"),
    ("postgres", "e121bdd50bb7ed4f829a932b76c72ec210f430050f70e0fd8c4a7184e8b0024e"),
];

/// The schema of the first release alone, as its program had it.
async fn first_release(database: &str) -> Migrator {
    let folder = tempfile::tempdir().unwrap();
    let name = "0001_first_release.sql";
    let migrations = format!("{}/../../migrations/{database}", env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read(format!("{migrations}/{name}")).unwrap();
    let found = (database, &*Hash::of(&schema).to_hex());
    assert!(FIRST_RELEASE.contains(&found), "{found:?}: put a change into a migration of its own");
    std::fs::write(folder.path().join(name), schema).unwrap();
    Migrator::new(folder.path()).await.unwrap()
}

/// What the first release wrote, in the words of both databases.
const WRITTEN: [&str; 11] = [
    "insert into tokens (token_hash, role, subject, created_at) values ($1, 'operator', 'nordlicht', 4)",
    "insert into operators (operator, created_at) values ('nordlicht', 1)",
    "insert into locations (location, name, created_at) values ('de-fra', 'Frankfurt', 1)",
    "insert into nodes (node, operator, location, vkey, identity_key, wireguard_public_key, endpoint, number, state,
                        revision, agent, backend, enrolled_at, last_seen)
     values ('node-a', 'nordlicht', 'de-fra', 'v', $1, $1, '203.0.113.7:51820', 0, 'active', 5, '0.1.0', 'kernel', 2, 3)",
    "insert into access_codes (number, code_hash, class, issuer, devices, quota_bytes, expires, created_at)
     values (1, $1, 'assigned', 'relief', 2, 2000, 500, 4)",
    "insert into devices (public_key, code_number, node, host_number, class, allotment, expires, placed_at)
     values ($1, 1, 'node-a', 2, 'assigned', 1000, 500, 5)",
    "insert into grants (grant_id, title, terms_note, terms_hash, created_at) values ('spring', 'S', 't', $1, 6)",
    "insert into statements (grant_id, epoch, note, note_hash, inputs_note, closed_at)
     values ('spring', 1, 's', $1, 'i', 7)",
    "insert into destinations (operator, sequence, note, note_hash, pay, signed_by_operator, created_at)
     values ('nordlicht', 1, 'd', $1, 'tb1', true, 8)",
    "insert into batches (batch, grant_id, note, note_hash, psbt, coins, change_address, fee_rate, fee, left_out, created_at)
     values ('first', 'spring', 'b', $1, 'cHNidP8=', '[]', 'tb1', 5, 700, '[]', 9)",
    "insert into batch_lines (batch, operator, grant_id, epoch, sats, address, destination_sequence)
     values ('first', 'nordlicht', 'spring', 1, 12345, 'tb1', 1)",
];

#[tokio::test]
async fn a_database_of_the_first_release_is_brought_forward_with_what_is_in_it() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    let bytes = [7_u8; 32].as_slice();
    let path = sqlite.url.strip_prefix("sqlite:").unwrap();
    std::fs::File::create(path).unwrap();
    let pool = SqlitePool::connect(&sqlite.url).await.unwrap();
    first_release("sqlite").await.run(&pool).await.unwrap();
    for statement in WRITTEN {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(bytes) } else { query };
        query.execute(&pool).await.unwrap();
    }
    pool.close().await;
    let pool = PgPool::connect(&postgres.url).await.unwrap();
    first_release("postgres").await.run(&pool).await.unwrap();
    for statement in WRITTEN {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(bytes) } else { query };
        query.execute(&pool).await.unwrap();
    }
    pool.close().await;

    for database in [&sqlite, &postgres] {
        let store = database.open().await;
        let mut read = store.read().await.unwrap();
        let token = read.token_of_hash(Hash([7; 32])).await.unwrap().unwrap();
        assert_eq!((token.party, token.holder.as_str()), (Party::Operator(id("nordlicht")), "nordlicht"));
        assert_eq!((token.token, token.valid_from, token.one_time), (id("token-0707070707"), at(4), false));
        let node = read.node(&id("node-a")).await.unwrap().unwrap();
        assert_eq!((node.state, node.revision, node.last_seen), (NodeState::Active, 6, Some(at(3))));
        let held = read.reserved_lines_of_grant(&id("spring")).await.unwrap();
        let held: Vec<_> = held.iter().map(|line| (line.batch.as_str(), line.sats.get())).collect();
        assert_eq!(held, [("first", 12_345)], "its batch holds the line as before");
        assert_eq!(read.lines_of_batch(&id("first")).await.unwrap().len(), 1);
        assert_eq!((node.backend, node.paused, node.socks5_endpoint), (Backend::Kernel, None, None));
        let device = read.device(&[7; 32].into()).await.unwrap().unwrap();
        assert_eq!(
            (device.host_number, device.allotment.get(), device.period),
            (Some(2), 1_000, Period::Total)
        );
        assert_eq!((device.level, device.socks5_login()), (None, None));
        let codes = read.access_codes_of(device.class, "relief").await.unwrap();
        assert_eq!((codes[0].quota_bytes.get(), codes[0].period), (2_000, Period::Total));
        let grant = read.grant(&id("spring")).await.unwrap().unwrap();
        assert_eq!(
            (grant.terms_note.as_str(), grant.terms_hash.0),
            ("t", [7; 32]),
            "its terms are version 1"
        );
        let terms = read.terms_versions(&id("spring")).await.unwrap();
        assert_eq!((terms.len(), terms[0].first_epoch, terms[0].logged_at), (1, 1, at(6)));
        assert_eq!(read.assigned_quota_issued(None, at(6)).await.unwrap().get(), 2_000);
        drop(read);
        store.close().await;
    }
}

/// Every migration before this one.
async fn before(database: &str, migration: &str) -> Migrator {
    let folder = tempfile::tempdir().unwrap();
    for file in
        std::fs::read_dir(format!("{}/../../migrations/{database}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    {
        let (name, path) = file.map(|file| (file.file_name(), file.path())).unwrap();
        if name.to_str().unwrap() < migration {
            std::fs::copy(path, folder.path().join(name)).unwrap();
        }
    }
    Migrator::new(folder.path()).await.unwrap()
}

/// Two reports of a log of three, and what waits for the third; with the byte of which each hash consists.
const LOGGED: [(&str, u8); 8] = [
    ("insert into operators (operator, created_at) values ('nordlicht', 1)", 0),
    ("insert into locations (location, name, created_at) values ('de-fra', 'Frankfurt', 1)", 0),
    (
        "insert into nodes (node, operator, location, vkey, identity_key, wireguard_public_key, endpoint, number, state,
                            revision, agent, backend, enrolled_at, last_seen)
         values ('node-a', 'nordlicht', 'de-fra', 'v', $1, $1, '203.0.113.7:51820', 0, 'active', 5, '0.1.0', 'kernel', 2, 3)",
        0,
    ),
    (
        "insert into reports (node, sequence, note, note_hash, log_index, acked_size, start_at, end_at, received_at)
         values ('node-a', 1, 'a', $1, 0, 2, 1, 2, 3)",
        1,
    ),
    (
        "insert into reports (node, sequence, note, note_hash, log_index, acked_size, start_at, end_at, received_at)
         values ('node-a', 2, 'b', $1, 1, 2, 1, 2, 3)",
        2,
    ),
    ("insert into awaited_reports (log_index, note_hash, acked_size) values (2, $1, 3)", 3),
    (
        "insert into log_entries (log, idx, entry)
         values ('reports', 0, 'report a'), ('reports', 1, 'report b'), ('reports', 2, 'report c')",
        0,
    ),
    ("insert into log_entries (log, idx, entry) values ('record', 0, 'operator nordlicht -')", 0),
];

/// An entry of which nothing is known, and what comes to wait for its report.
const LOST: (&str, u8) = ("insert into log_entries (log, idx, entry) values ('reports', 3, 'report d')", 0);
const FOUND: (&str, u8) =
    ("insert into awaited_reports (log_index, note_hash, acked_size) values (3, $1, 4)", 4);

macro_rules! write_into {
    ($pool:expr, $written:expr) => {
        for (statement, byte) in $written {
            let query = sqlx::query(statement);
            let query = if statement.contains("$1") { query.bind(vec![byte; 32]) } else { query };
            query.execute($pool).await.unwrap();
        }
    };
}

#[tokio::test]
async fn entries_of_the_reports_log_become_those_of_their_reports_and_none_is_lost() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    std::fs::File::create(sqlite.url.strip_prefix("sqlite:").unwrap()).unwrap();
    let of_sqlite = SqlitePool::connect(&sqlite.url).await.unwrap();
    before("sqlite", "0060").await.run(&of_sqlite).await.unwrap();
    write_into!(&of_sqlite, LOGGED.into_iter().chain([LOST]));
    let of_postgres = PgPool::connect(&postgres.url).await.unwrap();
    before("postgres", "0060").await.run(&of_postgres).await.unwrap();
    write_into!(&of_postgres, LOGGED.into_iter().chain([LOST]));

    for database in [&sqlite, &postgres] {
        assert!(Store::open(&database.url).await.is_err(), "{}: an entry would be lost", database.url);
    }
    write_into!(&of_sqlite, [FOUND]);
    write_into!(&of_postgres, [FOUND]);
    of_sqlite.close().await;
    of_postgres.close().await;
    for database in [&sqlite, &postgres] {
        let store = database.open().await;
        let mut read = store.read().await.unwrap();
        let entries = [1, 2, 3, 4].map(|byte| report_entry(Hash([byte; 32])));
        assert_eq!(read.entries(Log::Reports, 0, 9).await.unwrap(), entries);
        assert_eq!(read.entries(Log::Record, 0, 9).await.unwrap(), ["operator nordlicht -"]);
        drop(read);
        store.close().await;
    }
}
