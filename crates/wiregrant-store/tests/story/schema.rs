//! The tables themselves: the same on both databases, and closed against change where it matters.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use transparency_log::Hash;
use wiregrant_core::api::LineDecisionKind;
use wiregrant_core::record::report_entry;
use wiregrant_core::{Sats, ledger};
use wiregrant_store::{
    AwaitedReport, Batch, BatchLine, Declaration, DerivedAddress, Destination, FoundNode, Grant,
    LineDecision, Location, Log, NameProof, NewNode, Rekey, Report, Statement, Store, StoreError, Write,
};

use crate::support::{Database, at, id};

/// Tables whose rows are never changed and never deleted.
const APPEND_ONLY: [&str; 24] = [
    "approvals",
    "awaited_reports",
    "batch_lines",
    "batches",
    "checkpoints",
    "contributions",
    "declarations",
    "derived_addresses",
    "destinations",
    "evidence",
    "findings",
    "former_checkpoints",
    "former_entries",
    "former_origins",
    "grant_terms",
    "ledger_transfers",
    "line_decisions",
    "log_subtrees",
    "name_proofs",
    "public_notes",
    "record_entries",
    "rekeys",
    "reports",
    "statements",
];

/// Table, column, whether it must have a value, and its place in the primary key (0: none).
type Columns = BTreeSet<(String, String, bool, i64)>;

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_and_primary_keys() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    sqlite.open().await.close().await;
    postgres.open().await.close().await;

    let pool = SqlitePool::connect(&sqlite.url).await.unwrap();
    let of_sqlite: Vec<(String, String, bool, i64)> = sqlx::query_as(
        "select t.name, c.name, c.\"notnull\" = 1, c.pk
           from sqlite_schema t, pragma_table_info(t.name) c
          where t.type = 'table'
            and t.name not like '\\_sqlx%' escape '\\'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let pool = PgPool::connect(&postgres.url).await.unwrap();
    let of_postgres: Vec<(String, String, bool, i64)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text, c.is_nullable = 'NO', coalesce(k.ordinal_position, 0)::bigint
           from information_schema.columns c
           left join information_schema.table_constraints p
             on p.table_schema = c.table_schema and p.table_name = c.table_name
            and p.constraint_type = 'PRIMARY KEY'
           left join information_schema.key_column_usage k
             on k.constraint_schema = p.constraint_schema and k.constraint_name = p.constraint_name
            and k.column_name = c.column_name
          where c.table_schema = 'public'
            and c.table_name not like '\\_sqlx%'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    let (of_sqlite, of_postgres): (Columns, Columns) =
        (of_sqlite.into_iter().collect(), of_postgres.into_iter().collect());
    let differences: Vec<_> = of_sqlite.symmetric_difference(&of_postgres).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let tables: BTreeSet<_> = of_sqlite.iter().map(|(table, ..)| table.as_str()).collect();
    assert_eq!(tables.len(), 59, "{tables:?}");
    for table in tables {
        let keyed = of_sqlite.iter().any(|(of, _, _, place)| of == table && *place > 0);
        assert!(keyed, "{table} has no primary key");
    }
}

/// An entry of the reports log without its report.
fn awaited(log_index: u64) -> AwaitedReport {
    let note_hash = Hash::of(&log_index.to_be_bytes());
    AwaitedReport { log_index, note_hash, acked_size: 256, node: None, sequence: None }
}

/// One row in every append-only table.
async fn fill(store: &Store) {
    let mut write = store.write().await.unwrap();
    let awaited: Vec<_> = (0..256).map(awaited).collect();
    let entries: Vec<_> = awaited.iter().map(|report| report_entry(report.note_hash)).collect();
    write.append(Log::Reports, &entries).await.unwrap();
    write.await_reports(&awaited[1..]).await.unwrap();
    write.put_checkpoint(Log::Reports, 256, "checkpoint").await.unwrap();
    // An origin ended, and the next one has a log and a checkpoint again.
    write.append(Log::Record, &["operator first -".to_owned()]).await.unwrap();
    write.end_origin(&id("grants.example/first"), at(1)).await.unwrap();
    write.append(Log::Record, &["operator second -".to_owned()]).await.unwrap();
    write.put_checkpoint(Log::Reports, 256, "another checkpoint").await.unwrap();
    write.put_public_note("a note").await.unwrap();
    write.insert_operator(&id("nordlicht"), None, at(1)).await.unwrap();
    let hash = Hash::of(b"a note");
    let note = "a note".to_owned();
    let destination = Destination {
        operator: id("nordlicht"),
        sequence: 1,
        note: note.clone(),
        note_hash: hash,
        pay: "tb1".to_owned(),
        signed_by_operator: false,
        ownership: None,
        created_at: at(1),
    };
    write.insert_destination(&destination).await.unwrap();
    write
        .insert_location(&Location { location: id("de-fra"), name: "Frankfurt".to_owned() }, at(1))
        .await
        .unwrap();
    let node = NewNode {
        node: id("node-a"),
        operator: id("nordlicht"),
        location: id("de-fra"),
        vkey: String::new(),
        identity_key: [1; 32],
        wireguard_public_key: [2; 32].into(),
        endpoint: String::new(),
        agent: String::new(),
        backend: wiregrant_core::usage_report::Backend::Kernel,
    };
    write.insert_node(&node, 9, at(1)).await.unwrap();
    let rekey = Rekey {
        note_hash: hash,
        node: id("node-a"),
        former_key: [1; 32],
        identity_key: [3; 32],
        rekeyed_at: at(2),
    };
    write.rekey_node(&rekey, "").await.unwrap();
    let report = Report {
        node: id("node-a"),
        sequence: 1,
        note: note.clone(),
        note_hash: hash,
        log_index: 0,
        acked_size: 256,
        epoch_grant: None,
        epoch_number: None,
        start_at: at(1),
        end_at: at(2),
        received_at: at(3),
    };
    write.insert_reports(&[report]).await.unwrap();
    write.insert_evidence(&id("node-a"), 1, "other", at(4)).await.unwrap();
    let grant = Grant {
        grant_id: id("spring"),
        title: String::new(),
        terms_note: String::new(),
        terms_hash: hash,
        created_at: at(1),
    };
    write.insert_grant(&grant).await.unwrap();
    write.insert_contribution(&id("spring"), Sats::new(5).unwrap(), at(1)).await.unwrap();
    let statement =
        Statement { grant_id: id("spring"), epoch: 1, note: note.clone(), note_hash: hash, closed_at: at(5) };
    write.insert_statement(&statement, "inputs").await.unwrap();
    let batch = Batch {
        batch: id("first"),
        grant_id: id("spring"),
        note,
        note_hash: hash,
        psbt: String::new(),
        coins: String::new(),
        change_address: String::new(),
        fee_rate: 1,
        fee: Sats::ZERO,
        change_sats: None,
        left_out: String::new(),
        created_at: at(6),
    };
    let line = BatchLine {
        batch: id("first"),
        operator: id("nordlicht"),
        grant_id: id("spring"),
        epoch: 1,
        sats: Sats::new(1).unwrap(),
        address: String::new(),
        destination_sequence: 1,
    };
    write.insert_batch(&batch, &[line]).await.unwrap();
    fill_frozen(&mut write).await;
    let declaration = Declaration {
        batch: id("first"),
        kind: "txid".to_owned(),
        content: "00".repeat(32),
        declared_at: at(7),
    };
    write.put_declaration(&declaration).await.unwrap();
    decide(&mut write).await;
    write.commit().await.unwrap();
}

/// A row of each kind of decision, and a transfer.
async fn decide(write: &mut Write) {
    let found = FoundNode {
        number: 0,
        node: id("node-a"),
        reason: "fork".to_owned(),
        detail: String::new(),
        person: "token-1".to_owned(),
        acts_in: 2,
        found_at: at(8),
    };
    write.insert_finding(&id("spring"), &found).await.unwrap();
    let held = LineDecision {
        grant_id: id("spring"),
        epoch: 1,
        operator: id("nordlicht"),
        number: 0,
        kind: LineDecisionKind::Hold,
        reason: "fork".to_owned(),
        detail: String::new(),
        person: "token-1".to_owned(),
        sats: Sats::new(1).unwrap(),
        counted_in: None,
        decided_at: at(8),
    };
    write.insert_line_decision(&held).await.unwrap();
    assert!(write.approve(&id("spring"), 1, "token-1", at(9)).await.unwrap());
    write.enter(&ledger::of_contribution(&id("spring"), Sats::new(5).unwrap()), at(9)).await.unwrap();
}

/// What a frozen batch fixed besides its lines.
async fn fill_frozen(write: &mut Write) {
    let used = DerivedAddress {
        first_address: "tb1".to_owned(),
        derivation_index: 0,
        batch: id("first"),
        operator: "nordlicht".to_owned(),
        record_size: 1,
    };
    write.insert_derived_address(&used).await.unwrap();
    let proof = NameProof {
        batch: id("first"),
        operator: id("nordlicht"),
        destination_sequence: 1,
        proof: "AAAA".to_owned(),
        looked_up_at: at(6),
    };
    write.insert_name_proof(&proof).await.unwrap();
}

/// A statement that would change a row, and one that would delete them all. The column is one that every such table has.
fn attacks(table: &str) -> [String; 2] {
    let column = match table {
        "contributions" | "ledger_transfers" => "sats",
        "findings" | "line_decisions" => "reason",
        "approvals" => "person",
        "derived_addresses" => "batch",
        "name_proofs" => "proof",
        "rekeys" => "node",
        "awaited_reports" => "log_index",
        "log_subtrees" | "record_entries" | "former_entries" => "idx",
        "former_origins" => "origin",
        "batch_lines" => "address",
        "declarations" => "content",
        _ => "note",
    };
    [format!("update {table} set {column} = {column}"), format!("delete from {table}")]
}

#[tokio::test]
async fn what_was_signed_or_logged_can_be_neither_changed_nor_deleted() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    for database in [&sqlite, &postgres] {
        let store = database.open().await;
        fill(&store).await;
        store.close().await;
    }
    let (of_sqlite, of_postgres) =
        (SqlitePool::connect(&sqlite.url).await.unwrap(), PgPool::connect(&postgres.url).await.unwrap());
    for table in APPEND_ONLY {
        let count = format!("select count(*) from {table}");
        for attack in attacks(table) {
            let refused = sqlx::query(AssertSqlSafe(attack.clone())).execute(&of_sqlite).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{attack}: {refused}");
            let refused = sqlx::query(AssertSqlSafe(attack.clone())).execute(&of_postgres).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{attack}: {refused}");
        }
        let emptying = format!("truncate {table} cascade");
        let refused = sqlx::query(AssertSqlSafe(emptying)).execute(&of_postgres).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count.clone())).fetch_one(&of_sqlite).await.unwrap();
        assert!(rows > 0, "{table} had nothing to attack");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&of_postgres).await.unwrap();
        assert!(rows > 0, "{table} had nothing to attack");
    }
}

#[tokio::test]
async fn a_log_whose_tables_were_tampered_with_is_not_appended_to() {
    let database = Database::sqlite();
    let store = database.open().await;
    fill(&store).await;
    store.close().await;
    let pool = SqlitePool::connect(&database.url).await.unwrap();
    for tampering in ["drop trigger log_subtrees_no_update", "update log_subtrees set hash = zeroblob(32)"] {
        sqlx::query(tampering).execute(&pool).await.unwrap();
    }
    pool.close().await;

    let store = database.open().await;
    let refused = store.write().await.unwrap().append(Log::Reports, &["report 256".to_owned()]).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("at size 256"), "{error}");
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_only_and_an_address_is_never_shown_with_its_password() {
    let database = Database::sqlite();
    let store = database.open().await;
    assert_eq!(store.database(), "SQLite");
    let path = database.url.strip_prefix("sqlite:").unwrap();
    for file in [path.to_owned(), format!("{path}-wal")] {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    for bad in
        ["", "mysql://x:hunter2@host/db", "sqlite:", "sqlite::memory:", "postgres://x:hunter2@host:port/db"]
    {
        let error = Store::open(bad).await.err().unwrap();
        assert!(matches!(error, StoreError::Url { .. }), "{bad}: {error}");
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains("sqlite:/"), "{error}");
    }
    let nowhere = Store::open("sqlite:/nowhere/at/all/wiregrant.db").await.err().unwrap();
    assert!(matches!(nowhere, StoreError::File { .. }), "{nowhere}");
}
