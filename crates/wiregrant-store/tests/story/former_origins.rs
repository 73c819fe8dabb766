//! An origin that has ended, on both databases: its record is history, word for word, and the next one begins anew.

use transparency_log::Hash;
use wiregrant_core::note::Origin;
use wiregrant_core::record::report_entry;
use wiregrant_store::{AwaitedReport, Log, StoreError};

use crate::support::{at, id, on_both};

#[tokio::test]
async fn a_record_becomes_history_and_begins_anew_and_the_reports_stay_where_they_are() {
    on_both(|store, _| async move {
        let (first, second): (Origin, Origin) = (id("grants.example/1"), id("grants.example/2"));
        let entries: Vec<String> = (0..600).map(|n| format!("operator op-{n} -")).collect();
        let mut write = store.write().await.unwrap();
        write.append(Log::Record, &entries).await.unwrap();
        let awaited = [0, 1].map(|log_index: u64| {
            let note_hash = Hash::of(&log_index.to_be_bytes());
            AwaitedReport { log_index, note_hash, acked_size: 2, node: None, sequence: None }
        });
        let reports = [&awaited[0], &awaited[1]].map(|report| report_entry(report.note_hash));
        write.append(Log::Reports, &reports).await.unwrap();
        write.await_reports(&awaited).await.unwrap();
        write.put_checkpoint(Log::Record, 600, "record\n").await.unwrap();
        write.put_checkpoint(Log::Reports, 1, "reports 1\n").await.unwrap();
        write.put_checkpoint(Log::Reports, 2, "reports 2\n").await.unwrap();
        write.commit().await.unwrap();

        let mut write = store.write().await.unwrap();
        write.end_origin(&first, at(1)).await.unwrap();
        assert_eq!((write.size(Log::Record), write.size(Log::Reports)), (0, 2));
        drop(write); // cut off: nothing has happened
        assert_eq!(store.read().await.unwrap().log_size(Log::Record).await.unwrap(), 600);

        let mut write = store.write().await.unwrap();
        write.end_origin(&first, at(1)).await.unwrap();
        let begun = write.append(Log::Record, &["continues grants.example/1".to_owned()]).await.unwrap();
        assert_eq!((begun.first_index, begun.edge.size()), (0, 1));
        let mut carried = 0;
        while carried < 600 {
            let some = write.former_entries(&first, carried, 250).await.unwrap();
            assert_eq!(some.first(), entries.get(usize::try_from(carried).unwrap()));
            carried += some.len() as u64;
            write.append(Log::Record, &some).await.unwrap();
        }
        write.put_checkpoint(Log::Reports, 2, "of another name\n").await.unwrap();
        write.commit().await.unwrap();

        let mut read = store.read().await.unwrap();
        let former = read.former_origins().await.unwrap();
        assert_eq!(
            (former.len(), &former[0].origin, former[0].record_size, former[0].reports_size),
            (1, &first, 600, 2)
        );
        assert_eq!(read.entries(Log::Record, 600, 9).await.unwrap(), ["operator op-599 -"]);
        assert_eq!(read.entries(Log::Reports, 0, 9).await.unwrap(), reports);
        let covering = read.checkpoint_covering(Log::Reports, 1).await.unwrap();
        assert_eq!(
            covering,
            Some((2, "of another name\n".to_owned())),
            "size 1 was signed under the name before"
        );
        assert_eq!(read.checkpoint_covering(Log::Reports, 3).await.unwrap(), None);
        drop(read);

        // What is written since is as closed as ever, and a name that has ended does not end again.
        let mut write = store.write().await.unwrap();
        let again = write.end_origin(&first, at(2)).await.unwrap_err();
        assert!(matches!(again, StoreError::Exists { .. }), "{again}");
        drop(write);
        let mut write = store.write().await.unwrap();
        write.end_origin(&second, at(2)).await.unwrap();
        write.commit().await.unwrap();
        let mut read = store.read().await.unwrap();
        assert_eq!(read.former_origins().await.unwrap().len(), 2);
        assert_eq!(read.former_entries(&second, 0, 1).await.unwrap(), ["continues grants.example/1"]);
    })
    .await;
}
