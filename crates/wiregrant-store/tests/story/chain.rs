//! What the chain shows of the batches `first` and `second`, on both databases; then `second` is void and `third` holds its
//! line.

use wiregrant_core::Sats;
use wiregrant_store::{
    Batch, BatchDecisions, BatchLine, Declaration, FollowedBlock, Sighting, Store, StoreError,
};

use crate::support::{at, id};

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn undecided(batch: &str) -> BatchDecisions {
    BatchDecisions {
        batch: id(batch),
        verified_at: None,
        cancel_asked_at: None,
        cancel_reason: None,
        void_at: None,
        void_reason: None,
        paid_at: None,
        paid_txid: None,
        closed_at: None,
        exported_at: None,
        replaced_by: None,
    }
}

fn seen(byte: u8, batch: Option<&str>) -> Sighting {
    Sighting {
        txid: hex(byte),
        tx: "0200".to_owned(),
        batch: batch.map(id),
        height: None,
        block_hash: None,
        block_index: None,
        waiting: true,
        seen_at: at(500),
    }
}

pub async fn story(store: &Store) {
    declarations_and_sightings(store).await;
    blocks(store).await;
    a_void_batch_lets_go_of_its_lines(store).await;
    a_settled_batch_is_closed(store).await;
}

async fn declarations_and_sightings(store: &Store) {
    let declaration =
        Declaration { batch: id("first"), kind: "txid".to_owned(), content: hex(1), declared_at: at(450) };
    let mut write = store.write().await.unwrap();
    write.put_declaration(&declaration).await.unwrap();
    write.put_declaration(&Declaration { declared_at: at(460), ..declaration.clone() }).await.unwrap();
    write.put_sighting(&seen(1, Some("first"))).await.unwrap();
    write.put_sighting(&seen(2, None)).await.unwrap();
    let mined = Sighting {
        height: Some(7),
        block_hash: Some(hex(7)),
        block_index: Some(3),
        waiting: false,
        ..seen(1, Some("first"))
    };
    write.put_sighting(&Sighting { seen_at: at(600), ..mined.clone() }).await.unwrap();
    write.commit().await.unwrap();

    let nowhere = Declaration { batch: id("nowhere"), ..declaration.clone() };
    let refused = store.write().await.unwrap().put_declaration(&nowhere).await.unwrap_err();
    assert!(matches!(refused, StoreError::UnknownReference { .. }), "{refused}");
    let both = Sighting { waiting: true, ..mined.clone() };
    let refused = store.write().await.unwrap().put_sighting(&both).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");

    let mut read = store.read().await.unwrap();
    assert_eq!(read.watched_declarations().await.unwrap(), [declaration]);
    assert_eq!(read.watched_sightings().await.unwrap(), [mined, seen(2, None)], "seen first stays as it was");
    let watched: Vec<String> =
        read.watched_batches().await.unwrap().into_iter().map(|batch| batch.batch.to_string()).collect();
    assert_eq!(watched, ["first", "second"]);
}

async fn blocks(store: &Store) {
    let block = |height: u32, branch: u8| FollowedBlock {
        height,
        hash: hex(branch),
        previous: hex(branch - 1),
        header_time: 1_780_000_000 + height,
    };
    let mut write = store.write().await.unwrap();
    for height in 5..9u8 {
        write.insert_followed_block(&block(height.into(), height)).await.unwrap();
    }
    write.forget_followed_blocks(8, 6).await.unwrap();
    write.insert_followed_block(&block(8, 90)).await.unwrap();
    write.commit().await.unwrap();
    let twice = store.write().await.unwrap().insert_followed_block(&block(8, 91)).await.unwrap_err();
    assert!(matches!(&twice, StoreError::Exists { table, .. } if table == "followed_blocks"), "{twice}");
    let kept = store.read().await.unwrap().followed_blocks().await.unwrap();
    assert_eq!(kept, [block(6, 6), block(7, 7), block(8, 90)]);
}

async fn a_void_batch_lets_go_of_its_lines(store: &Store) {
    let third = Batch {
        batch: id("third"),
        note_hash: transparency_log::Hash::of(b"third"),
        ..store.read().await.unwrap().batch(&id("second")).await.unwrap().unwrap()
    };
    let line = BatchLine {
        batch: id("third"),
        ..store.read().await.unwrap().lines_of_batch(&id("second")).await.unwrap().remove(0)
    };
    let held =
        store.write().await.unwrap().insert_batch(&third, std::slice::from_ref(&line)).await.unwrap_err();
    assert!(matches!(&held, StoreError::Exists { table, .. } if table == "reserved_lines"), "{held}");

    let void = BatchDecisions {
        cancel_asked_at: Some(at(510)),
        cancel_reason: Some("typo".to_owned()),
        void_at: Some(at(520)),
        void_reason: Some("typo".to_owned()),
        ..undecided("second")
    };
    let mut write = store.write().await.unwrap();
    let asked = BatchDecisions { void_at: None, void_reason: None, ..void.clone() };
    write.put_batch_decisions(&asked).await.unwrap();
    write.put_batch_decisions(&void).await.unwrap();
    write.release_lines(&id("second")).await.unwrap();
    write.insert_batch(&third, std::slice::from_ref(&line)).await.unwrap();
    write.commit().await.unwrap();

    let paid = BatchDecisions { paid_at: Some(at(530)), paid_txid: Some(hex(2)), ..void.clone() };
    let refused = store.write().await.unwrap().put_batch_decisions(&paid).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    let mut read = store.read().await.unwrap();
    assert_eq!(read.decisions_of_batch(&id("second")).await.unwrap(), Some(void));
    assert_eq!(read.decisions_of_batch(&id("first")).await.unwrap(), None);
    let held = read.reserved_lines_of_grant(&line.grant_id).await.unwrap();
    assert!(held.contains(&line), "{held:?}");
    assert!(held.iter().all(|line| line.batch != id("second")), "{held:?}");
    assert_eq!(read.lines_of_batch(&id("second")).await.unwrap().len(), 1, "what was signed stays");
    assert_eq!(held.iter().map(|line| line.sats).fold(0, |sum, sats| sum + sats.get()), 4 * 12_345);
    assert_ne!(line.sats, Sats::ZERO);
}

async fn a_settled_batch_is_closed(store: &Store) {
    let paid = BatchDecisions {
        verified_at: Some(at(490)),
        paid_at: Some(at(600)),
        paid_txid: Some(hex(1)),
        ..undecided("first")
    };
    let mut write = store.write().await.unwrap();
    write.put_batch_decisions(&paid).await.unwrap();
    write.put_batch_decisions(&BatchDecisions { closed_at: Some(at(900)), ..paid.clone() }).await.unwrap();
    write.commit().await.unwrap();
    let unpaid = BatchDecisions { closed_at: Some(at(900)), ..undecided("third") };
    let refused = store.write().await.unwrap().put_batch_decisions(&unpaid).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");

    let mut read = store.read().await.unwrap();
    let watched: Vec<String> =
        read.watched_batches().await.unwrap().into_iter().map(|batch| batch.batch.to_string()).collect();
    assert_eq!(watched, ["second", "third"], "a void one is watched for ever");
    assert_eq!(read.watched_sightings().await.unwrap(), [seen(2, None)]);
    assert_eq!(read.watched_declarations().await.unwrap(), []);
    assert_eq!(read.batch_decisions().await.unwrap().len(), 2);
}
