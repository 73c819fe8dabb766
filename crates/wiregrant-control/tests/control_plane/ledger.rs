//! The ledger of sats: who sees what of it, and how a database of an earlier release gets one.

use axum::http::Method;
use serde_json::{Value, json};
use wiregrant_control::sats_ledger;
use wiregrant_core::api::{LedgerAccount, List, ProblemKind};
use wiregrant_core::ledger::Account;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_store::{NewNode, Sighting, Store};

use crate::decisions::ledger_holds;
use crate::money::{MB, begin, closed, epoch, plane_with_grant};
use crate::support::browser::Browser;
use crate::support::{ADDRESS, Plane};

async fn accounts(plane: &Plane, token: &str) -> Vec<LedgerAccount> {
    let accounts: List<LedgerAccount> =
        plane.ask(Method::GET, "/grants/spring/ledger", token, Value::Null).await.json();
    accounts.items
}

#[tokio::test]
async fn funders_see_every_account_and_operators_their_own() {
    let (plane, mut north, mut south) = plane_with_grant(2, 5).await;
    let north_token = plane.token_of("nordlicht");
    let (funder, stranger) = (plane.funder("fund", &["spring"]).await, plane.funder("other", &[]).await);
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let all = accounts(&plane, &funder).await;
    let has = |account, operator: Option<&str>| {
        let is_it = |a: &&LedgerAccount| {
            a.account == account && a.operator.as_ref().map(wiregrant_core::OperatorId::as_str) == operator
        };
        all.iter().find(is_it).map(|a| (a.sats, a.given.get()))
    };
    assert_eq!(has(Account::Funder, None), Some((-1_000_000, 0)));
    assert_eq!(has(Account::Contributed, None), Some((500_000, 1_000_000)));
    assert_eq!(has(Account::Allotted, None), Some((0, 500_000)));
    assert_eq!(has(Account::Payable, Some("nordlicht")), Some((375_000, 375_000)));
    assert_eq!(has(Account::Earned, Some("suedwind")), Some((0, 125_000)));
    assert_eq!(all.iter().map(|account| account.sats).sum::<i64>(), 0);
    let own = accounts(&plane, &north_token).await;
    assert!(
        !own.is_empty() && own.iter().all(|a| a.operator.as_ref().is_some_and(|o| o.as_str() == "nordlicht"))
    );
    let refused = plane.ask(Method::GET, "/grants/spring/ledger", &stranger, Value::Null).await;
    refused.problem(ProblemKind::Forbidden);
    assert!(ledger_holds(&plane).await.transfers > 5);

    // Their pages say the same.
    let (mut of_funder, mut of_operator) = (Browser::new(&plane), Browser::new(&plane));
    of_funder.sign_in(&funder).await;
    of_operator.sign_in(&north_token).await;
    let page = of_funder.get("/funder").await.ok();
    for part in ["1\u{202f}000\u{202f}000", "500\u{202f}000", "nordlicht", "375\u{202f}000", "125\u{202f}000"]
    {
        assert!(page.body.contains(part), "{part} is missing in\n{}", page.body);
    }
    let row = |body: &str| body.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap().to_owned();
    let page = of_operator.get("/operators/nordlicht/payouts").await.ok();
    assert!(
        row(&page.body).contains("375\u{202f}000") && row(&page.body).contains("payable"),
        "{}",
        page.body
    );
    let hold = "/grants/spring/epochs/1/operators/nordlicht/hold";
    plane.post(hold, json!({ "reason": "two-reports", "detail": "of <monday>" })).await.ok();
    let page = of_operator.get("/operators/nordlicht/payouts").await.ok();
    let held = row(&page.body);
    assert!(held.contains("held until") && held.contains("two-reports (of &#60;monday&#62;)"), "{held}");
    let release = "/grants/spring/epochs/1/operators/nordlicht/release";
    plane.post(release, json!({ "reason": "explained" })).await.ok();
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    plane.post("/batches", json!({ "batch": "b-1", "grant": "spring" })).await.ok();
    let page = of_operator.get("/operators/nordlicht/payouts").await.ok();
    assert!(row(&page.body).contains("in batch b-1") && row(&page.body).contains(ADDRESS), "{}", page.body);
    // A funder hands out and declares what is of their grants, and nobody else does.
    let ask = async |path: &str, token: &str, body: Value| plane.ask(Method::POST, path, token, body).await;
    ask("/batches/b-1/export", &stranger, Value::Null).await.problem(ProblemKind::NotFound);
    ask("/batches/b-1/export", &funder, Value::Null).await.ok();
    let txid = json!({ "txid": "ab".repeat(32) });
    ask("/batches/b-1/transaction", &stranger, txid.clone()).await.problem(ProblemKind::NotFound);
    ask("/batches/b-1/transaction", &funder, txid).await.ok();
    // What the chain shows of it, the operator sees.
    let seen = Sighting {
        txid: "cd".repeat(32),
        tx: "0200".to_owned(),
        batch: Some("b-1".parse().unwrap()),
        height: None,
        block_hash: None,
        block_index: None,
        waiting: true,
        seen_at: plane.now(),
    };
    let mined = Sighting {
        height: Some(812),
        block_hash: Some("ef".repeat(32)),
        block_index: Some(1),
        waiting: false,
        ..seen.clone()
    };
    for (sighting, told) in [(seen, "waits for a block"), (mined, "is in a block, and final with six")] {
        let mut write = plane.plane.store.write().await.unwrap();
        write.put_sighting(&sighting).await.unwrap();
        write.commit().await.unwrap();
        let page = of_operator.get("/operators/nordlicht/payouts").await.ok();
        assert!(row(&page.body).contains(told) && row(&page.body).contains(&sighting.txid), "{}", page.body);
    }
}

/// Copies what an earlier release stored: no ledger, no standings.
async fn as_an_earlier_release_left_it(plane: &Plane, nodes: &[&crate::support::FakeNode], into: &Store) {
    let (mut read, mut write) = (plane.plane.store.read().await.unwrap(), into.write().await.unwrap());
    let spring = "spring".parse().unwrap();
    for location in read.locations().await.unwrap() {
        write.insert_location(&location, plane.now()).await.unwrap();
    }
    for node in nodes {
        let row = read.node(&node.id).await.unwrap().unwrap();
        write.insert_operator(&row.operator, None, plane.now()).await.unwrap();
        let new = NewNode {
            node: row.node,
            operator: row.operator,
            location: row.location,
            vkey: node.key.verifier().to_string(),
            identity_key: node.key.verifier().public_key(),
            // Keys are unique, and of no account here.
            wireguard_public_key: node.key.verifier().public_key().into(),
            endpoint: row.endpoint,
            agent: row.agent,
            backend: row.backend,
        };
        write.insert_node(&new, 999, plane.now()).await.unwrap();
    }
    write.insert_grant(&read.grant(&spring).await.unwrap().unwrap()).await.unwrap();
    for contribution in read.contributions(&spring).await.unwrap() {
        write.insert_contribution(&spring, contribution.sats, contribution.contributed_at).await.unwrap();
    }
    for statement in read.statements(&spring).await.unwrap() {
        let inputs = read.inputs(&spring, statement.epoch).await.unwrap().unwrap();
        write.insert_statement(&statement, &inputs).await.unwrap();
    }
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_database_without_a_ledger_gets_the_one_that_it_would_have() {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB + 5), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    epoch(&plane, 2, &mut [(&mut north, 2 * MB), (&mut south, 10)]).await;
    closed(&plane, 2).await;

    let folder = tempfile::tempdir().unwrap();
    let old = Store::open(&format!("sqlite:{}", folder.path().join("old.db").display())).await.unwrap();
    as_an_earlier_release_left_it(&plane, &[&north, &south], &old).await;
    sats_ledger::catch_up(&old, plane.now()).await.unwrap();
    sats_ledger::catch_up(&old, plane.now()).await.unwrap(); // nothing happens twice
    let (mut new, mut live) = (old.read().await.unwrap(), plane.plane.store.read().await.unwrap());
    assert_eq!(sats_ledger::check(&mut new).await.unwrap().differences, Vec::<String>::new());
    let (by_new, by_live) = (new.account_balances(None, None).await, live.account_balances(None, None).await);
    assert_eq!(by_new.unwrap(), by_live.unwrap());
    let spring = "spring".parse().unwrap();
    let (by_new, by_live) = (new.standings(&spring).await.unwrap(), live.standings(&spring).await.unwrap());
    assert_eq!(by_new, by_live);
    let row = live.newest_statement(&spring).await.unwrap().unwrap();
    let last = Signed::<Statement>::parse(&row.note).unwrap().into_content();
    assert!(by_live.iter().all(|standing| standing.epoch == last.epoch));
}
