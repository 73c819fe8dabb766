//! Log keys that came into use in the imported part of the record: what leads from each to the next is taken over with it, so that it
//! stays published.

use anyhow::{Context, ensure};
use transparency_log::{Verifier, root_tiles, tree_root};
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_store::{Log, Write};

use super::source::{Source, folder};
use crate::control_plane::SETTING_LOG_KEY;
use crate::log_keys::HandedOver;

/// Follows from the key that signed when the backup was taken to the one that signs now, by the entries from `first` on. They have
/// been appended.
///
/// # Errors
/// A key that the one before did not name under its own signature.
pub async fn take_over(
    write: &mut Write,
    source: &Source,
    (first, entries): (u64, &[String]),
) -> anyhow::Result<()> {
    let signed = write.setting(SETTING_LOG_KEY).await?.context("database: it names no log key")?;
    let mut before: Verifier = signed.parse()?;
    for (size, entry) in (first.saturating_add(1)..).zip(entries) {
        let Ok(RecordEntry::Key { role: KeyRole::Log, vkey }) = entry.parse::<RecordEntry>() else {
            continue;
        };
        let key: Verifier = vkey.parse().with_context(|| format!("record entry `{entry}`"))?;
        let path = format!("{source}/{}/{}", folder(Log::Record), HandedOver::file(&before));
        let shown = source.handed_over(&before)?;
        let shown = shown.with_context(|| {
            format!("{path}: there is no such file, and nothing else shows that the log key before names {vkey}; take another copy")
        })?;
        let root = tree_root(size, &write.tiles(Log::Record, &root_tiles(size)?).await?)?;
        ensure!(
            (shown.checkpoint.size, shown.checkpoint.root) == (size, root),
            "{path}: it is the state of {} entries with the root {}, not of the {size} up to `{entry}` with {root}; this copy is damaged",
            shown.checkpoint.size,
            shown.checkpoint.root
        );
        write.put_checkpoint(Log::Record, size, &shown.note).await?;
        before = key;
    }
    write.put_setting(SETTING_LOG_KEY, &before.to_string()).await?;
    Ok(())
}
