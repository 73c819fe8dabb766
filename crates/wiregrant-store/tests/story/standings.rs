//! What closing an epoch asks of all nodes at once.

use transparency_log::Hash;
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{Bytes, Sats};
use wiregrant_store::{AdjustmentRow, Grant, Location, Log, NewNode, Report, Standing, Store, Write};

use crate::support::{at, id, on_both};

async fn two_nodes(write: &mut Write) {
    write.insert_operator(&id("nordlicht"), None, at(1)).await.unwrap();
    let place = Location { location: id("de-fra"), name: "Frankfurt".to_owned() };
    write.insert_location(&place, at(1)).await.unwrap();
    for (node, key) in [("node-a", 1), ("node-b", 2)] {
        let node = NewNode {
            node: id(node),
            operator: id("nordlicht"),
            location: id("de-fra"),
            vkey: String::new(),
            identity_key: [key; 32],
            wireguard_public_key: [key; 32].into(),
            endpoint: format!("203.0.113.{key}:51820"),
            agent: String::new(),
            backend: Backend::Kernel,
        };
        write.insert_node(&node, 9, at(1)).await.unwrap();
    }
    let grant = Grant {
        grant_id: id("spring"),
        title: String::new(),
        terms_note: String::new(),
        terms_hash: Hash::of(b"terms"),
        created_at: at(1),
    };
    write.insert_grant(&grant).await.unwrap();
}

/// A report with its entry; `label` is the epoch of the grant.
async fn report(write: &mut Write, node: &str, sequence: u64, label: Option<u64>) {
    let note = format!("{node} {sequence}");
    let entry = report_entry(Hash::of(note.as_bytes()));
    let appended = write.append(Log::Reports, &[entry]).await.unwrap();
    let report = Report {
        node: id(node),
        sequence,
        note: note.clone(),
        note_hash: Hash::of(note.as_bytes()),
        log_index: appended.first_index,
        acked_size: appended.edge.size(),
        epoch_grant: label.map(|_| id("spring")),
        epoch_number: label,
        start_at: at(1),
        end_at: at(2),
        received_at: at(3),
    };
    write.insert_reports(&[report]).await.unwrap();
}

#[tokio::test]
async fn each_nodes_closing_report_is_its_newest_by_the_epoch_and_the_size_of_the_log() {
    on_both(|store: Store, _| async move {
        let mut write = store.write().await.unwrap();
        two_nodes(&mut write).await;
        let spring = id("spring");
        write.admit(&spring, &id("node-a"), 1, at(2)).await.unwrap();
        write.admit(&spring, &id("node-b"), 2, at(2)).await.unwrap();
        for (node, sequence, label) in [
            ("node-a", 1, None),    // entry 0
            ("node-a", 2, Some(1)), // entry 1
            ("node-b", 1, Some(2)), // entry 2
            ("node-a", 3, Some(1)), // entry 3: late, if the log was read before
            ("node-a", 4, Some(3)), // entry 4
        ] {
            report(&mut write, node, sequence, label).await;
        }
        let mut closing = async |epoch, size| {
            let reports = write.closing_reports(&spring, epoch, size).await.unwrap().into_iter();
            let mut found: Vec<_> =
                reports.map(|report| (report.node, report.sequence, report.epoch_number)).collect();
            found.sort();
            found
        };
        assert_eq!(closing(1, 3).await, [(id("node-a"), 2, Some(1))]);
        assert_eq!(closing(1, 5).await, [(id("node-a"), 3, Some(1))]);
        assert_eq!(closing(2, 5).await, [(id("node-a"), 3, Some(1)), (id("node-b"), 1, Some(2))]);
        assert_eq!(closing(3, 5).await, [(id("node-a"), 4, Some(3)), (id("node-b"), 1, Some(2))]);
        assert_eq!(closing(3, 0).await, []);

        write.leave(&spring, &id("node-a"), 3).await.unwrap();
        let members = write.closing_members(&spring, 2).await.unwrap();
        let members: Vec<_> =
            members.iter().map(|m| (m.node.as_str(), m.first_epoch, m.end_epoch, m.first_labelled)).collect();
        assert_eq!(members, [("node-a", 1, Some(3), Some(2)), ("node-b", 2, None, Some(1))]);
        assert_eq!(write.closing_members(&spring, 1).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_standing_is_overwritten_by_the_next_statement_and_counts_in_every_grant() {
    on_both(|store: Store, _| async move {
        let mut write = store.write().await.unwrap();
        two_nodes(&mut write).await;
        let spring = id("spring");
        write.admit(&spring, &id("node-a"), 1, at(2)).await.unwrap();
        report(&mut write, "node-a", 1, Some(1)).await;
        let standing = |epoch, eligible| Standing {
            node: id("node-a"),
            epoch,
            sequence: 1,
            label: 1,
            label_peers: 2,
            carried: Bytes::new(7).unwrap(),
            peers: 3,
            withheld: true,
            eligible_assigned: Bytes::new(eligible).unwrap(),
        };
        write.put_standings(&spring, &[standing(1, 10)]).await.unwrap();
        write.put_standings(&spring, &[standing(2, 30)]).await.unwrap();
        assert_eq!(write.standings(&spring).await.unwrap(), [standing(2, 30)]);
        assert_eq!(write.standing_reports(&spring).await.unwrap()[0].note, "node-a 1");
        let autumn = Grant {
            grant_id: id("autumn"),
            title: String::new(),
            terms_note: String::new(),
            terms_hash: Hash::of(b"autumn"),
            created_at: at(1),
        };
        write.insert_grant(&autumn).await.unwrap();
        write.put_standings(&id("autumn"), &[standing(1, 5)]).await.unwrap();
        let used = write.used_allotments(&spring).await.unwrap();
        assert_eq!(used, [(id("node-a"), Bytes::new(35).unwrap())]);
        assert_eq!(write.assigned_devices_of_grant(&spring, at(100)).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_correction_is_taken_up_once() {
    on_both(|store: Store, _| async move {
        let mut write = store.write().await.unwrap();
        two_nodes(&mut write).await;
        let asked = AdjustmentRow {
            number: 0,
            operator: id("nordlicht"),
            sats: -5,
            reason: "recount".to_owned(),
            epoch: 1,
            person: "token-1".to_owned(),
            asked_at: at(3),
            statement_epoch: None,
        };
        let spring = id("spring");
        write.insert_adjustment(&spring, &asked).await.unwrap();
        write.insert_adjustment(&spring, &AdjustmentRow { sats: 6, ..asked.clone() }).await.unwrap();
        write.take_up_adjustment(&spring, 2, 4).await.unwrap();
        assert!(write.take_up_adjustment(&spring, 2, 5).await.is_err());
        let kept = write.adjustments(&spring).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|row| (row.number, row.sats, row.statement_epoch)).collect();
        assert_eq!(kept, [(1, -5, None), (2, 6, Some(4))]);
        assert_eq!(write.forfeited(&spring, 1).await.unwrap(), Sats::ZERO);
    })
    .await;
}
