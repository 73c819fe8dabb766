//! The ledger of sats on both databases: balances follow from transfers, and nothing is overdrawn or changed.

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use transparency_log::Hash;
use wiregrant_core::ledger::{self, Account, Balance, Side, Transfer, TransferKind};
use wiregrant_core::{GrantId, Sats};
use wiregrant_store::{Draft, Grant, Store, StoreError, TermsVersion, Write};

use crate::support::{Database, at, id, on_both};

fn sats(n: u64) -> Sats {
    Sats::new(n).unwrap()
}

async fn grant(write: &mut Write, name: &str) {
    let grant = Grant {
        grant_id: id(name),
        title: "S".to_owned(),
        terms_note: "first".to_owned(),
        terms_hash: Hash::of(b"first"),
        created_at: at(1),
    };
    write.insert_grant(&grant).await.unwrap();
}

fn earned(grant: &str, sats: Sats) -> [Transfer; 3] {
    let (grant, own): (GrantId, _) = (id(grant), |account| Side { account, operator: Some(id("nordlicht")) });
    let of_grant = |account| Side { account, operator: None };
    let transfer =
        |kind, from, to| Transfer { grant: grant.clone(), kind, epoch: Some(1), batch: None, from, to, sats };
    [
        transfer(TransferKind::Allot, of_grant(Account::Contributed), of_grant(Account::Allotted)),
        transfer(TransferKind::Earn, of_grant(Account::Allotted), own(Account::Earned)),
        transfer(TransferKind::Owe, own(Account::Earned), own(Account::Payable)),
    ]
}

#[tokio::test]
async fn invariant_1_balances_follow_from_transfers_and_no_account_is_overdrawn() {
    on_both(|store: Store, _| async move {
        let mut write = store.write().await.unwrap();
        for name in ["autumn", "spring"] {
            grant(&mut write, name).await;
            write.enter(&ledger::of_contribution(&id(name), sats(100)), at(2)).await.unwrap();
        }
        write.enter(&earned("spring", sats(60)), at(3)).await.unwrap();
        write.commit().await.unwrap();

        let mut write = store.write().await.unwrap();
        let refused = write.enter(&earned("spring", sats(41)), at(4)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
        drop(write);

        let mut read = store.read().await.unwrap();
        assert_eq!(read.transfer_count().await.unwrap(), 5);
        let rows = read.account_balances(Some(&id("spring")), None).await.unwrap();
        let shown: Vec<_> =
            rows.iter().map(|row| (row.account, row.operator.as_str(), row.sats, row.given.get())).collect();
        assert_eq!(
            shown,
            [
                (Account::Allotted, "", 0, 60),
                (Account::Contributed, "", 40, 100),
                (Account::Funder, "", -100, 0),
                (Account::Earned, "nordlicht", 0, 60),
                (Account::Payable, "nordlicht", 60, 60),
            ]
        );
        let of_operator = read.account_balances(None, Some(&id("nordlicht"))).await.unwrap();
        assert_eq!(of_operator.len(), 2);
        let moved = read.transfers_of_operator(&id("nordlicht")).await.unwrap();
        let shown: Vec<_> = moved.iter().map(|row| (row.kind, row.to_account, row.epoch)).collect();
        assert_eq!(
            shown,
            [(TransferKind::Earn, Account::Earned, Some(1)), (TransferKind::Owe, Account::Payable, Some(1))]
        );
        assert!(moved.iter().all(|row| row.grant_id.as_str() == "spring" && row.sats == sats(60)));
        assert_eq!(read.transfers_of_operator(&id("suedwind")).await.unwrap(), []);
        let summed = read.summed_transfers().await.unwrap();
        for row in read.account_balances(None, None).await.unwrap() {
            let balance = Balance { sats: row.sats.into(), given: row.given.get().into() };
            assert_eq!(summed[&(row.grant_id.clone(), row.side().unwrap())], balance, "{row:?}");
        }
        assert_eq!(summed.values().map(|balance| balance.sats).sum::<i128>(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_transfer_from_nowhere_to_nowhere_or_of_the_wrong_owner_is_refused_by_the_tables() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    for database in [&sqlite, &postgres] {
        let store = database.open().await;
        let mut write = store.write().await.unwrap();
        grant(&mut write, "spring").await;
        write.enter(&ledger::of_contribution(&id("spring"), sats(100)), at(2)).await.unwrap();
        write.commit().await.unwrap();
        store.close().await;
    }
    let (of_sqlite, of_postgres) =
        (SqlitePool::connect(&sqlite.url).await.unwrap(), PgPool::connect(&postgres.url).await.unwrap());
    let transfer = |from: &str, from_of: &str, to: &str, to_of: &str, sats: i64| {
        format!(
            "insert into ledger_transfers (number, grant_id, kind, from_account, from_operator, to_account, to_operator,
                                           sats, entered_at)
             values (9, 'spring', 'allot', '{from}', '{from_of}', '{to}', '{to_of}', {sats}, 3)"
        )
    };
    for bad in [
        transfer("contributed", "", "contributed", "", 5),
        transfer("contributed", "", "savings", "", 5),
        transfer("contributed", "nordlicht", "allotted", "", 5),
        transfer("contributed", "", "payable", "", 5),
        transfer("contributed", "", "allotted", "", 0),
        transfer("contributed", "", "allotted", "", -5),
        transfer("contributed", "", "allotted", "", 101),
        transfer("payable", "nordlicht", "paid", "nordlicht", 1),
    ] {
        assert!(
            sqlx::query(AssertSqlSafe(bad.clone())).execute(&of_sqlite).await.is_err(),
            "SQLite took {bad}"
        );
        assert!(
            sqlx::query(AssertSqlSafe(bad.clone())).execute(&of_postgres).await.is_err(),
            "PostgreSQL took {bad}"
        );
    }
    let good = transfer("contributed", "", "allotted", "", 100);
    sqlx::query(AssertSqlSafe(good.clone())).execute(&of_sqlite).await.unwrap();
    sqlx::query(AssertSqlSafe(good)).execute(&of_postgres).await.unwrap();
}

#[tokio::test]
async fn terms_are_kept_in_versions_and_drafts_can_be_changed_and_thrown_away() {
    on_both(|store: Store, _| async move {
        let mut write = store.write().await.unwrap();
        grant(&mut write, "spring").await;
        let second = TermsVersion {
            version: 2,
            first_epoch: 4,
            note: "second".to_owned(),
            note_hash: Hash::of(b"second"),
            logged_at: at(5),
        };
        write.insert_terms(&id("spring"), &second).await.unwrap();
        assert_eq!(write.grant(&id("spring")).await.unwrap().unwrap().terms_note, "second");
        assert_eq!(write.grants().await.unwrap()[0].terms_hash, Hash::of(b"second"));
        let versions = write.terms_versions(&id("spring")).await.unwrap();
        assert_eq!(versions.iter().map(|terms| terms.first_epoch).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(versions[1], second);

        let draft = |title: &str| Draft {
            grant_id: id("autumn"),
            title: title.to_owned(),
            terms: "{}".to_owned(),
            created_at: at(6),
        };
        write.put_draft(&draft("A")).await.unwrap();
        write.put_draft(&draft("B")).await.unwrap();
        assert_eq!(write.drafts().await.unwrap(), [draft("B")]);
        assert!(write.delete_draft(&id("autumn")).await.unwrap());
        assert!(!write.delete_draft(&id("autumn")).await.unwrap());
        assert_eq!(write.draft(&id("autumn")).await.unwrap(), None);
    })
    .await;
}
