//! Tokens, browsers that are signed in, funders and auditors.

use wiregrant_core::Bytes;
use wiregrant_store::{NewToken, Party, Store, StoreError};

use crate::from_operator_to_payout::{assert_exists, hash, refusal};
use crate::support::{at, id};

/// A token called like its secret.
pub fn new_token(secret: &str, party: Party) -> NewToken {
    NewToken {
        token: id(secret),
        hash: hash(secret),
        party,
        holder: format!("holder of {secret}"),
        made_by: None,
        one_time: false,
        valid_from: at(10),
    }
}

pub async fn tokens_and_sessions(store: &Store) {
    let parties = [
        Party::Operator(id("nordlicht")),
        Party::Distributor(id("relief")),
        Party::Funder(id("fund")),
        Party::Auditor(id("auditor")),
    ];
    let mut write = store.write().await.unwrap();
    for (number, party) in parties.iter().enumerate() {
        write.insert_token(&new_token(&format!("p{number}"), party.clone()), at(10)).await.unwrap();
    }
    let once =
        NewToken { one_time: true, made_by: Some(id("t1")), ..new_token("once", Party::Administrator) };
    write.insert_token(&once, at(11)).await.unwrap();
    assert!(write.spend_token(&id("once"), at(12)).await.unwrap());
    assert!(!write.spend_token(&id("once"), at(13)).await.unwrap(), "it is used up");
    assert!(!write.spend_token(&id("p0"), at(13)).await.unwrap(), "this one signs in as often as one likes");
    for (session, opened) in [("s1", 20), ("s2", 21), ("s3", 22)] {
        write.insert_browser_session(hash(session), &id("p0"), 2, at(opened)).await.unwrap();
    }
    write.insert_browser_session(hash("s4"), &id("p1"), 2, at(20)).await.unwrap();
    write.touch_browser_session(hash("s3"), at(30)).await.unwrap();
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    for (number, party) in parties.iter().enumerate() {
        let token = read.token_of_hash(hash(&format!("p{number}"))).await.unwrap().unwrap();
        assert_eq!((&token.party, token.holder), (party, format!("holder of p{number}")));
        assert_eq!(read.tokens_of(party).await.unwrap().len(), 1);
    }
    assert_eq!(read.token_of_hash(hash("guess")).await.unwrap(), None);
    let once = read.token(&id("once")).await.unwrap().unwrap();
    assert_eq!((once.spent_at, once.made_by, once.created_at), (Some(at(12)), Some(id("t1")), at(11)));
    assert_eq!(read.browser_session(hash("s1")).await.unwrap(), None, "the oldest of three went");
    let third = read.browser_session(hash("s3")).await.unwrap().unwrap();
    assert_eq!((third.created_at, third.seen_at), (at(22), at(30)));
    drop(read);

    let mut write = store.write().await.unwrap();
    assert_eq!(write.delete_browser_sessions(at(0), at(22)).await.unwrap(), 2, "s2 and s4 are at rest");
    write.revoke_token(&id("p0"), at(40)).await.unwrap();
    write.revoke_token(&id("p0"), at(41)).await.unwrap();
    assert_eq!(write.token(&id("p0")).await.unwrap().unwrap().revoked_at, Some(at(40)));
    assert_eq!(write.browser_session(hash("s3")).await.unwrap(), None, "a revoked token's sessions are over");
    write.insert_browser_session(hash("s5"), &id("p1"), 2, at(42)).await.unwrap();
    write.delete_browser_session(hash("s5")).await.unwrap();
    assert_eq!(write.browser_session(hash("s5")).await.unwrap(), None);
    write.commit().await.unwrap();
}

pub async fn recoveries_and_budgets(store: &Store) {
    let mut write = store.write().await.unwrap();
    write.insert_recovery(hash("note"), &id("nordlicht"), &id("p1"), at(50)).await.unwrap();
    assert!(write.set_budget(&id("relief"), Some(7), Some(Bytes::new(9).unwrap())).await.unwrap());
    assert!(!write.set_budget(&id("nobody"), None, None).await.unwrap());
    write.commit().await.unwrap();
    let distributors = store.read().await.unwrap().distributors().await.unwrap();
    let relief = distributors.iter().find(|row| row.distributor == id("relief")).unwrap();
    assert_eq!((relief.codes_budget, relief.bytes_budget), (Some(7), Some(Bytes::new(9).unwrap())));
    let mut write = store.write().await.unwrap();
    assert!(write.set_budget(&id("relief"), None, None).await.unwrap());
    write.commit().await.unwrap();
    let twice =
        refusal(store, async |w| w.insert_recovery(hash("note"), &id("nordlicht"), &id("p2"), at(51)).await)
            .await;
    assert_exists(&twice, "recoveries", "note_hash");
}

pub async fn named_requests(store: &Store) {
    let mut write = store.write().await.unwrap();
    write.insert_idempotent_request(hash("k1"), hash("r1"), at(10)).await.unwrap();
    write.insert_idempotent_request(hash("k2"), hash("r2"), at(20)).await.unwrap();
    write.put_idempotent_answer(hash("k1"), 201, b"sealed").await.unwrap();
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let first = read.idempotent_request(hash("k1")).await.unwrap().unwrap();
    assert_eq!(
        (first.request_hash, first.status, first.answer.as_deref()),
        (hash("r1"), Some(201), Some(&b"sealed"[..]))
    );
    let second = read.idempotent_request(hash("k2")).await.unwrap().unwrap();
    assert_eq!((second.status, second.answer, second.created_at), (None, None, at(20)));
    drop(read);
    let twice =
        refusal(store, async |w| w.insert_idempotent_request(hash("k2"), hash("r3"), at(21)).await).await;
    assert_exists(&twice, "idempotent_requests", "key_hash");
    let mut write = store.write().await.unwrap();
    assert_eq!(write.delete_idempotent_requests(at(20)).await.unwrap(), 1);
    write.delete_idempotent_request(hash("k2")).await.unwrap();
    assert_eq!(write.idempotent_request(hash("k2")).await.unwrap(), None);
    write.commit().await.unwrap();
}

pub async fn funders_and_auditors(store: &Store) {
    let mut write = store.write().await.unwrap();
    write.insert_funder(&id("fund"), &[id("spring")], at(10)).await.unwrap();
    write.insert_funder(&id("idle"), &[], at(10)).await.unwrap();
    write.insert_auditor(&id("auditor"), &[id("spring")], at(10)).await.unwrap();
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(
        read.funders().await.unwrap(),
        [(id("fund"), vec![id("spring")]), (id("idle"), vec![])].into()
    );
    assert_eq!(read.auditors().await.unwrap(), [(id("auditor"), vec![id("spring")])].into());
    assert!(read.funds(&id("fund"), &id("spring")).await.unwrap());
    assert!(!read.funds(&id("idle"), &id("spring")).await.unwrap());
    assert!(read.audits(&id("auditor"), &id("spring")).await.unwrap());
    assert!(!read.audits(&id("auditor"), &id("winter")).await.unwrap());
    drop(read);
    let twice = refusal(store, async |w| w.insert_funder(&id("fund"), &[], at(11)).await).await;
    assert_exists(&twice, "funders", "funder");
    let twice = refusal(store, async |w| w.insert_auditor(&id("auditor"), &[], at(11)).await).await;
    assert_exists(&twice, "auditors", "auditor");
    let lost = refusal(store, async |w| w.insert_funder(&id("lost"), &[id("winter")], at(11)).await).await;
    assert!(matches!(lost, StoreError::UnknownReference { .. }), "{lost}");
}
