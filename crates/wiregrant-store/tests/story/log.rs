//! The two logs, on both databases: what is appended is what the tree says, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use transparency_log::{
    Hash, MemoryTree, TILE_WIDTH, TileId, inclusion_proof, inclusion_tiles, leaf_hash, tiles_for,
    verify_inclusion,
};
use wiregrant_store::{Log, Store, StoreError};

use crate::support::{Database, at, id, on_both};

fn entries(from: u64, count: u64) -> Vec<String> {
    (from..from + count).map(|n| format!("entry {n}")).collect()
}

/// The tree of `entry 0`, `entry 1`, …
fn tree(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::new();
    entries(0, size).iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
    tree
}

async fn append(store: &Store, from: u64, count: u64) {
    let mut write = store.write().await.unwrap();
    let sign = |size, root: Hash| Ok::<_, StoreError>(format!("size {size}, root {root}"));
    let grown =
        write.append_signed(Log::Record, &entries(from, count), ("log key", "one"), sign).await.unwrap();
    let (appended, checkpoint) = grown.unwrap();
    assert_eq!(appended.first_index, from);
    assert_eq!(checkpoint, format!("size {}, root {}", from + count, appended.edge.root()));
    write.commit().await.unwrap();
}

#[tokio::test]
async fn nothing_is_appended_where_the_setting_has_another_value() {
    on_both(|store, _| async move {
        let mut write = store.write().await.unwrap();
        write.put_setting("log key", "one").await.unwrap();
        write.commit().await.unwrap();
        append(&store, 0, 300).await;

        let mut write = store.write().await.unwrap();
        write.put_setting("log key", "other").await.unwrap();
        write.commit().await.unwrap();
        for log in Log::ALL {
            let mut write = store.write().await.unwrap();
            let sign = |size, _| Ok::<_, StoreError>(format!("size {size}"));
            // So many that a tile is completed, whose root would be kept by itself.
            let grown = write.append_signed(log, &entries(300, 300), ("log key", "one"), sign).await.unwrap();
            assert_eq!(grown, None, "{log}");
            write.commit().await.unwrap();
        }
        let mut read = store.read().await.unwrap();
        assert_eq!(read.log_size(Log::Record).await.unwrap(), 300);
        assert_eq!(read.log_size(Log::Reports).await.unwrap(), 0);
        assert_eq!(read.checkpoint_at(Log::Record, 600).await.unwrap(), None);
        assert_eq!(read.newest_checkpoint(Log::Reports).await.unwrap(), None);
        drop(read);

        let mut write = store.write().await.unwrap();
        write.put_setting("log key", "one").await.unwrap();
        write.commit().await.unwrap();
        append(&store, 300, 300).await;
        let whole = tree(600);
        let mut write = store.write().await.unwrap();
        assert_eq!(write.edge(Log::Record).await.unwrap().root(), whole.root_at(600).unwrap());
    })
    .await;
}

#[tokio::test]
async fn every_root_and_every_tile_are_those_of_the_tree() {
    on_both(|store, _| async move {
        let whole = tree(66_100);
        let mut size = 0;
        // Around the ends of tiles of both levels: 256 leaves, and 65,536.
        for count in [1, 254, 1, 1, 255, 300, 64_723, 1, 1, 563] {
            append(&store, size, count).await;
            size += count;
            let mut write = store.write().await.unwrap();
            let edge = write.edge(Log::Record).await.unwrap();
            assert_eq!((edge.size(), edge.root()), (size, whole.root_at(size).unwrap()));
        }
        assert_eq!(size, 66_100);

        let mut read = store.read().await.unwrap();
        let some_of_each_level = tiles_for(size).filter(|tile| tile.level > 0 || tile.index % 97 < 2);
        for tile in some_of_each_level {
            let hashes = read.tile(Log::Record, tile).await.unwrap();
            assert_eq!(hashes, transparency_log::HashSource::tile(&whole, tile).unwrap(), "{tile}");
        }
        let older = TileId { level: 0, index: 2, width: 7 };
        assert_eq!(
            read.tile(Log::Record, older).await.unwrap(),
            transparency_log::HashSource::tile(&whole, older).unwrap()
        );
        let beyond = TileId { level: 1, index: 1, width: 3 };
        assert!(matches!(read.tile(Log::Record, beyond).await, Err(StoreError::NotFound { .. })));

        assert_eq!(read.entries(Log::Record, 255, 2).await.unwrap(), ["entry 255", "entry 256"]);
        let bundle = read.bundle(Log::Record, 1, TILE_WIDTH).await.unwrap();
        assert_eq!((bundle.len(), bundle[3].as_slice()), (256, b"entry 259".as_slice()));
        assert!(matches!(read.bundle(Log::Record, 258, 60).await, Err(StoreError::NotFound { .. })));

        let newest = read.newest_checkpoint(Log::Record).await.unwrap();
        let root = |size| whole.root_at(size).unwrap();
        assert_eq!(newest, Some((66_100, format!("size 66100, root {}", root(66_100)))));
        let older = read.checkpoint_at(Log::Record, 256).await.unwrap();
        assert_eq!(older, Some(format!("size 256, root {}", root(256))));
        assert_eq!(read.checkpoint_at(Log::Record, 258).await.unwrap(), None);
        assert_eq!(read.log_size(Log::Reports).await.unwrap(), 0, "the logs are two");
        assert_eq!(read.newest_checkpoint(Log::Reports).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_old_acknowledgement_can_be_proven_again() {
    on_both(|store, _| async move {
        append(&store, 0, 700).await;
        let mut read = store.read().await.unwrap();
        let (index, size) = (300, 511);
        let tiles = read.tiles(Log::Record, &inclusion_tiles(index, size).unwrap()).await.unwrap();
        let proof = inclusion_proof(index, size, &tiles).unwrap();
        let root = tree(size).root_at(size).unwrap();
        verify_inclusion(&leaf_hash(b"entry 300"), index, size, &proof, &root).unwrap();
        let beyond = BTreeSet::from([TileId { level: 0, index: 2, width: 200 }]);
        assert!(read.tiles(Log::Record, &beyond).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn what_was_not_committed_has_not_happened_and_what_was_is_there_after_a_crash() {
    on_both(|store, url| async move {
        append(&store, 0, 255).await;
        let mut dropped = store.write().await.unwrap();
        dropped.append(Log::Record, &entries(900, 300)).await.unwrap();
        dropped.insert_operator(&id("nobody"), None, at(1)).await.unwrap();
        drop(dropped);
        append(&store, 255, 2).await;

        // Neither handle is closed in order, as when a process is killed.
        let mut unfinished = store.write().await.unwrap();
        unfinished.append(Log::Record, &entries(900, 1)).await.unwrap();
        drop((unfinished, store));

        let reopened = Store::open(&url).await.unwrap();
        let mut read = reopened.read().await.unwrap();
        assert_eq!(read.operator(&id("nobody")).await.unwrap(), None);
        assert_eq!(read.entries(Log::Record, 0, 1_000).await.unwrap(), entries(0, 257));
        drop(read);
        append(&reopened, 257, 1).await;
        reopened.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_edge_is_read_anew_after_another_process_has_appended() {
    on_both(|store, url| async move {
        let other = Store::open(&url).await.unwrap();
        let mut size = 0;
        for (handle, count) in [(&store, 200), (&other, 100), (&store, 1), (&store, 255), (&other, 3)] {
            append(handle, size, count).await;
            size += count;
        }
        for handle in [&store, &other] {
            let edge = handle.write().await.unwrap().edge(Log::Record).await.unwrap();
            assert_eq!(edge.root(), tree(size).root_at(size).unwrap());
        }
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn writers_of_two_processes_take_turns_and_lose_nothing() {
    on_both(|store, url| async move {
        let other = Store::open(&url).await.unwrap();
        let writers: Vec<_> = (0..40)
            .map(|n| {
                let store = if n % 2 == 0 { store.clone() } else { other.clone() };
                tokio::spawn(async move {
                    let mut write = store.write().await.unwrap();
                    let appended = write.append(Log::Record, &[format!("writer {n}")]).await.unwrap();
                    write.commit().await.unwrap();
                    (appended.first_index, format!("writer {n}"))
                })
            })
            .collect();
        let mut written = Vec::new();
        for writer in writers {
            written.push(writer.await.unwrap());
        }
        written.sort_unstable();
        assert!(written.iter().map(|(index, _)| *index).eq(0..40));
        let stored = store.read().await.unwrap().entries(Log::Record, 0, 100).await.unwrap();
        assert!(stored.iter().eq(written.iter().map(|(_, entry)| entry)));
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_writer_whose_turn_does_not_come_is_told_to_try_again() {
    let databases = [Database::sqlite(), Database::postgres().await];
    let waits = databases.iter().map(|database| async move {
        let (store, other) = (database.open().await, database.open().await);
        let held = store.write().await.unwrap();
        let (within, among) = tokio::join!(store.write(), other.write());
        for refused in [within.err().unwrap(), among.err().unwrap()] {
            assert!(refused.is_retryable(), "{refused}");
        }
        // Readers do not wait for writers.
        assert_eq!(other.read().await.unwrap().log_size(Log::Record).await.unwrap(), 0);
        drop(held);
        other.write().await.unwrap().commit().await.unwrap();
        store.close().await;
        other.close().await;
    });
    let mut waits = waits.collect::<Vec<_>>().into_iter();
    tokio::join!(waits.next().unwrap(), waits.next().unwrap());
}

#[tokio::test]
async fn an_entry_that_cannot_be_served_is_not_kept() {
    on_both(|store, _| async move {
        let mut write = store.write().await.unwrap();
        let too_long = write.append(Log::Record, &["x".repeat(1_001)]).await;
        assert!(matches!(too_long, Err(StoreError::TooLarge { found: 1_001, limit: 1_000, .. })));
        drop(write);
        let mut write = store.write().await.unwrap();
        let empty = write.append(Log::Record, &[String::new()]).await;
        assert!(matches!(empty, Err(StoreError::Refused { .. })), "{empty:?}");
        drop(write);
        assert_eq!(store.read().await.unwrap().log_size(Log::Record).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_gives_up_at_any_point_leaves_the_next_one_a_sound_log() {
    on_both(|store, _| async move {
        let mut size = 0;
        for attempt in 0..60 {
            let write = async {
                let mut write = store.write().await.unwrap();
                let appended = write.append(Log::Record, &entries(size, 30)).await.unwrap();
                write.commit().await.unwrap();
                appended
            };
            let given_up = tokio::time::timeout(Duration::from_micros(attempt * 40), write).await.is_err();
            let mut write = store.write().await.unwrap();
            let edge = write.edge(Log::Record).await.unwrap();
            // Who gave up while it was committed does not know: all of it happened, or nothing.
            assert!(edge.size() == size + 30 || (given_up && edge.size() == size), "attempt {attempt}");
            size = edge.size();
        }
        assert_eq!(
            store.read().await.unwrap().entries(Log::Record, 0, 5_000).await.unwrap(),
            entries(0, size)
        );
        append(&store, size, 1).await;
    })
    .await;
}
