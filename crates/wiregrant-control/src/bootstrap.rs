//! The first administrator: a token that signs in once, in a file that only the owner of the data folder may read.

use std::path::PathBuf;

use wiregrant_store::{self as store, Party, Store};

use crate::clock::Clock;
use crate::config::Config;
use crate::file::{self, Readers};
use crate::keys::{Keys, Purpose};
use crate::tokens;

/// Set once the administrators have a token.
const SETTING_ADMINISTRATOR: &str = "administrator";
/// Where the token lies until it is used.
pub const FILE: &str = "bootstrap.token";
const MAX_FILE_BYTES: u64 = 200;
/// Who holds it, until somebody does.
const HOLDER: &str = "bootstrap";

fn path(config: &Config) -> PathBuf {
    config.data_dir.join(FILE)
}

/// Makes the token on the first start. The file comes before the database's row, so that a crash between the two leaves a
/// token that works after the next start.
///
/// # Errors
/// Those of the file and of the database.
pub async fn hand_out(config: &Config, keys: &Keys, store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let there = file::read_if_there(&path(config), MAX_FILE_BYTES)?;
    if there.is_none() && store.read().await?.setting(SETTING_ADMINISTRATOR).await?.is_some() {
        // Whoever used it up has another; it is not made again unasked.
        return Ok(());
    }
    keep(config, keys, store, clock, there).await
}

/// Makes another one, for administrators who have lost all their tokens. Whoever can run this owns the data folder.
///
/// # Errors
/// Those of the file and of the database.
pub async fn make_again(
    config: &Config,
    keys: &Keys,
    store: &Store,
    clock: &Clock,
) -> anyhow::Result<PathBuf> {
    keep(config, keys, store, clock, None).await?;
    Ok(path(config))
}

async fn keep(
    config: &Config,
    keys: &Keys,
    store: &Store,
    clock: &Clock,
    there: Option<String>,
) -> anyhow::Result<()> {
    let path = path(config);
    let mut write = store.write().await?;
    let token = match there {
        Some(token) => token.trim().to_owned(),
        None => {
            let token = tokens::text(&Party::Administrator);
            file::write_whole(&path, format!("{token}\n").as_bytes(), Readers::Owner)?;
            token
        }
    };
    let hash = keys.hash(Purpose::Token, &token);
    if write.token_of_hash(hash).await?.is_some() {
        return Ok(());
    }
    let now = clock.now();
    let new = store::NewToken {
        token: tokens::name(),
        hash,
        party: Party::Administrator,
        holder: HOLDER.to_owned(),
        made_by: None,
        one_time: true,
        valid_from: now,
    };
    write.insert_token(&new, now).await?;
    write.put_setting(SETTING_ADMINISTRATOR, "has a token").await?;
    write.commit().await?;
    tracing::info!(file = %path.display(), "the token for the first administrator, which signs in once");
    Ok(())
}

/// Removes the file of a token that was used up; what cannot be removed is only of no use any more.
pub fn forget(config: &Config) {
    let path = path(config);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "a token that was used up could not be removed");
    }
}
