//! What SQLite's write-ahead log holds, moved into the file beside the writer.

use std::path::Path;
use std::time::Duration;

use wiregrant_store::Store;

/// Beyond so many bytes the log begins anew: the module's 16,384 pages of 4 KiB.
const LONG_BYTES: usize = 64 << 20;
const VALUE_BYTES: usize = 1 << 20;

async fn put(store: &Store, value: &str) {
    let mut write = store.write().await.unwrap();
    write.put_setting("a", value).await.unwrap();
    write.commit().await.unwrap();
}

/// Another one each turn: what stays as it was, SQLite does not write again.
fn value(turn: usize) -> String {
    char::from(b'a' + u8::try_from(turn % 26).unwrap()).to_string().repeat(VALUE_BYTES)
}

/// What the database's file says without its log.
async fn in_the_file_alone(file: &Path) -> Option<String> {
    let copy = file.with_file_name("copy.db");
    std::fs::copy(file, &copy).unwrap();
    let store = Store::open(&format!("sqlite:{}", copy.display())).await.unwrap();
    let setting = store.read().await.unwrap().setting("a").await.unwrap();
    store.close().await;
    setting
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_reaches_the_file_while_others_read_and_the_log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregrant.db");
    let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
    assert!(store.write_back_pause().is_some());
    store.write_back().await.unwrap();
    put(&store, "before").await;
    let mut reads = store.read().await.unwrap();
    assert_eq!(reads.setting("a").await.unwrap().as_deref(), Some("before"));
    assert_eq!(in_the_file_alone(&file).await, None, "no commit moved it");
    store.write_back().await.unwrap();
    assert_eq!(in_the_file_alone(&file).await.as_deref(), Some("before"));

    // Who reads as of before keeps the log from being moved further, not from being written.
    put(&store, "after").await;
    store.write_back().await.unwrap();
    assert_eq!(reads.setting("a").await.unwrap().as_deref(), Some("before"));
    drop(reads);
    // Its transaction ends in a moment.
    let until_moved = async {
        while in_the_file_alone(&file).await.as_deref() != Some("after") {
            tokio::time::sleep(Duration::from_millis(10)).await;
            store.write_back().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_moved).await.expect("the last reader has gone");

    // A long log is moved in the writers' own queue: whoever writes just now is waited for, and where it is short is not.
    let mut write = store.write().await.unwrap();
    write.put_setting("b", "").await.unwrap();
    let soon = Duration::from_millis(500);
    tokio::time::timeout(Duration::from_secs(30), store.write_back())
        .await
        .expect("it waits for nobody")
        .unwrap();
    write.commit().await.unwrap();
    for turn in 0..=LONG_BYTES / VALUE_BYTES {
        put(&store, &value(turn)).await;
    }
    let write = store.write().await.unwrap();
    tokio::time::timeout(soon, store.write_back()).await.expect_err("it waits for its turn");
    drop(write);
    store.write_back().await.unwrap();

    // There is always somebody who writes, and as much as four such logs.
    let writes = tokio::spawn({
        let store = store.clone();
        async move {
            for turn in 0..4 * LONG_BYTES / VALUE_BYTES {
                put(&store, &value(turn)).await;
            }
        }
    });
    while !writes.is_finished() {
        store.write_back().await.unwrap();
    }
    writes.await.unwrap();
    let bytes = std::fs::metadata(file.with_file_name("wiregrant.db-wal")).unwrap().len();
    assert!(bytes < 2 * LONG_BYTES as u64, "{bytes} bytes of log");
    store.close().await;
}
