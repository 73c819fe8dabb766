//! Whether a transaction that replaces another spends one of its coins, so that one of the two is mined at most.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use wiregrant_core::BatchId;
use wiregrant_payout::{PsbtCheck, psbt};

/// Every transaction of the replaced batch that passed here, or the one that is given, has a coin in common with this one.
///
/// # Errors
/// None is known, or one has none in common.
pub fn check(
    old: &BatchId,
    checked: &PsbtCheck,
    mut known: Vec<BTreeSet<String>>,
    replaced_psbt: &str,
) -> Result<()> {
    if !replaced_psbt.trim().is_empty() {
        let coins = psbt::coins_of(replaced_psbt.trim()).context("--replaced-psbt")?;
        known.push(coins.iter().map(ToString::to_string).collect());
    }
    if known.is_empty() {
        bail!(
            "replaces: batch {old} did not pass here, so its coins are not known: give its PSBT with --replaced-psbt"
        );
    }
    let coins: BTreeSet<String> = checked.coins.iter().map(ToString::to_string).collect();
    match known.iter().find(|known| known.is_disjoint(&coins)) {
        None => Ok(()),
        Some(apart) => {
            let apart: Vec<&str> = apart.iter().map(String::as_str).collect();
            bail!(
                "replaces: expected a coin of batch {old}'s transaction among those spent ({}), found none: both could be \
                 mined",
                apart.join(", ")
            )
        }
    }
}
