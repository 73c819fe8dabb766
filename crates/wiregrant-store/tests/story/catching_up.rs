//! What a restored database lacks, kept and come again, on both databases.

use transparency_log::Hash;
use wiregrant_core::record::report_entry;
use wiregrant_store::{AwaitedReport, Grant, Log, Receipt, Report, SETTING_BEHIND, StoreError};

use crate::scale::with_nodes;
use crate::support::{at, id, on_both};

fn receipt(log_index: u64, text: &str, sequence: u64) -> Receipt {
    Receipt {
        log_index,
        note_hash: Hash::of(text.as_bytes()),
        node: id("node-a"),
        sequence,
        checkpoint_size: log_index + 1,
        checkpoint: format!("checkpoint {log_index}\n"),
    }
}

#[tokio::test]
async fn entries_wait_for_their_reports_and_receipts_are_kept_until_it_has_caught_up() {
    on_both(|store, _| async move {
        store.mark_if_restored().await.unwrap();
        store.mark_if_restored().await.unwrap();
        assert_eq!(store.read().await.unwrap().behind().await.unwrap(), None, "nothing was restored");
        let mut write = store.write().await.unwrap();
        write.put_setting(SETTING_BEHIND, "restored").await.unwrap();
        write
            .append(Log::Record, &["enrol node-a nordlicht k".to_owned(), "retire node-a".to_owned()])
            .await
            .unwrap();
        let awaited = |log_index: u64, text: &str| AwaitedReport {
            log_index,
            note_hash: Hash::of(text.as_bytes()),
            acked_size: 9,
            node: None,
            sequence: None,
        };
        write.await_reports(&[awaited(4, "four"), awaited(5, "five")]).await.unwrap();
        write.await_reports(&[]).await.unwrap();
        assert!(write.attribute_awaited_report(&receipt(5, "five", 2)).await.unwrap());
        assert!(!write.attribute_awaited_report(&receipt(5, "another", 2)).await.unwrap());
        assert_eq!(write.put_receipt(&receipt(7, "seven", 3)).await.unwrap(), receipt(7, "seven", 3));
        let kept = write.put_receipt(&receipt(7, "another", 3)).await.unwrap();
        assert_eq!(kept, receipt(7, "seven", 3), "the first one stays");
        write.put_receipt(&receipt(6, "six", 3)).await.unwrap();
        write.put_heard_node(&id("node-a")).await.unwrap();
        write.put_heard_node(&id("node-a")).await.unwrap();
        write.commit().await.unwrap();

        let mut read = store.read().await.unwrap();
        assert_eq!(read.behind().await.unwrap().as_deref(), Some("restored"));
        assert_eq!(
            read.entries_beginning("enrol ").await.unwrap(),
            [(0, "enrol node-a nordlicht k".to_owned())]
        );
        assert_eq!(read.first_awaited_report().await.unwrap(), Some(4));
        assert_eq!(read.awaited_reports_below(5).await.unwrap(), 1);
        let five = read.awaited_report(Hash::of(b"five")).await.unwrap().unwrap();
        assert_eq!((five.log_index, five.acked_size, five.sequence), (5, 9, Some(2)));
        assert_eq!(read.awaited_report_of(&id("node-a"), 2).await.unwrap(), Some(five));
        assert_eq!(read.awaited_report(Hash::of(b"another")).await.unwrap(), None);
        assert_eq!(read.receipts(7).await.unwrap(), [receipt(7, "seven", 3)]);
        assert_eq!(read.receipts(0).await.unwrap().len(), 2);
        assert_eq!(read.heard_nodes().await.unwrap(), ["node-a"]);
        assert!(read.node_states().await.unwrap().is_empty());
        drop(read);

        let mut write = store.write().await.unwrap();
        write.forget_receipts().await.unwrap();
        write.put_setting(SETTING_BEHIND, "").await.unwrap();
        let grant = Grant {
            grant_id: id("spring"),
            title: String::new(),
            terms_note: "terms".to_owned(),
            terms_hash: Hash::of(b"terms"),
            created_at: at(1),
        };
        write.insert_grant(&grant).await.unwrap();
        for epoch in [2, 1] {
            write.put_imported_statement(&id("spring"), epoch).await.unwrap();
        }
        assert_eq!(write.imported_statements(&id("spring")).await.unwrap(), [1, 2]);
        write.forget_imported_statement(&id("spring"), 1).await.unwrap();
        assert_eq!(write.imported_statements(&id("spring")).await.unwrap(), [2]);
        assert_eq!(write.first_awaited_report().await.unwrap(), Some(4));
        assert!(write.receipts(0).await.unwrap().is_empty() && write.heard_nodes().await.unwrap().is_empty());
        assert_eq!(write.behind().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_entry_is_what_waits_for_its_report_until_the_report_is_here() {
    on_both(|store, _| async move {
        with_nodes(&store).await;
        let awaited = |log_index: u64| {
            let note_hash = Hash::of(&log_index.to_be_bytes());
            AwaitedReport { log_index, note_hash, acked_size: 3, node: None, sequence: None }
        };
        let report = |log_index: u64| Report {
            node: id("node-a"),
            sequence: log_index + 1,
            note: format!("note {log_index}"),
            note_hash: awaited(log_index).note_hash,
            log_index,
            acked_size: 3,
            epoch_grant: None,
            epoch_number: None,
            start_at: at(1),
            end_at: at(2),
            received_at: at(3),
        };
        let entries = [0, 1, 2].map(|index| report_entry(awaited(index).note_hash));
        let mut write = store.write().await.unwrap();
        write.append(Log::Reports, &entries).await.unwrap();
        write.insert_reports(&[report(1)]).await.unwrap();
        write.await_reports(&[awaited(2), awaited(0)]).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(store.read().await.unwrap().entries(Log::Reports, 0, 9).await.unwrap(), entries);

        let mut write = store.write().await.unwrap();
        let refused = write.report_came(0).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "its report is not here: {refused}");
        drop(write);
        let mut write = store.write().await.unwrap();
        write.insert_reports(&[report(0)]).await.unwrap();
        write.report_came(0).await.unwrap();
        write.commit().await.unwrap();
        let mut read = store.read().await.unwrap();
        assert_eq!(read.entries(Log::Reports, 0, 2).await.unwrap(), entries[..2]);
        assert_eq!(read.entries(Log::Reports, 2, 1).await.unwrap(), entries[2..]);
        assert_eq!(read.first_awaited_report().await.unwrap(), Some(2));
    })
    .await;
}
