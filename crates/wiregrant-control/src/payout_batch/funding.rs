//! The unsigned transaction of a batch, from the funder's coins.

use std::collections::BTreeSet;

use bitcoin::OutPoint;
use wiregrant_core::api::{CoinInput, NewBatch, ProblemKind};
use wiregrant_payout::{
    self as payout, Coin, Pay, PayoutAddress, PayoutDescriptor, PayoutError, UnsignedPsbt,
};
use wiregrant_store::Read;

use super::addresses::Addresses;
use super::refused;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};

/// A transaction and where its change goes.
pub struct Funded {
    /// The transaction.
    pub psbt: UnsignedPsbt,
    /// The funder's own address.
    pub change: PayoutAddress,
}

/// Builds the transaction; `None` where no coins were given, so that the funder's wallet chooses them. It spends one of the
/// coins in `replaced`, if there are any.
///
/// # Errors
/// `coins`, `address`, `invalid-request`: names what is missing or does not do.
pub async fn fund(
    plane: &ControlPlane,
    read: &mut Read,
    addresses: &mut Addresses,
    batch: &payout::Batch,
    new: &NewBatch,
    replaced: &BTreeSet<OutPoint>,
) -> Answer<Option<Funded>> {
    let missing = |field: &str| {
        let detail = format!(
            "{field}: needed with coins, and of no use without; give all of coins, change and fee rate"
        );
        Failure::new(ProblemKind::InvalidRequest, detail)
    };
    let (change, fee_rate) = match (&new.change, new.fee_rate_sat_per_vb) {
        (None, None) if new.coins.is_empty() => return Ok(None),
        _ if new.coins.is_empty() => return Err(missing("coins")),
        (None, _) => return Err(missing("change")),
        (_, None) => return Err(missing("fee_rate_sat_per_vb")),
        (Some(change), Some(fee_rate)) => (change, fee_rate),
    };
    let own = match Pay::parse(change, plane.config.network) {
        Ok(Pay::Descriptor(descriptor)) => Some(descriptor),
        _ => None,
    };
    let mut coins = new.coins.iter().map(|coin| read_coin(plane, coin)).collect::<Answer<Vec<_>>>()?;
    must_spend(&mut coins, replaced)?;
    let change = change_address(plane, read, addresses, change, own.as_ref()).await?;
    let built = payout::build(batch, &coins, &change, fee_rate).map_err(|error| {
        let field = match &error {
            PayoutError::ChangeIsPaid { .. } => "change",
            PayoutError::FeeRate { .. } => "fee_rate_sat_per_vb",
            _ => "coins",
        };
        refused(field, &error)
    })?;
    let psbt = match &own {
        Some(descriptor) => built.with_origins(descriptor),
        None => built,
    };
    Ok(Some(Funded { psbt, change }))
}

/// An address for the change that no batch has had.
async fn change_address(
    plane: &ControlPlane,
    read: &mut Read,
    addresses: &mut Addresses,
    named: &str,
    descriptor: Option<&PayoutDescriptor>,
) -> Answer<PayoutAddress> {
    let Some(descriptor) = descriptor else {
        return PayoutAddress::parse(named, plane.config.network).map_err(|error| refused("change", &error));
    };
    let known_by = descriptor.change_address(0).map_err(|error| refused("change", &error))?;
    let index = addresses.take(read, &known_by, "").await?;
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    descriptor.change_address(index).map_err(|error| refused("change", &error))
}

/// Lets a coin of the replaced transaction be spent whatever the others hold.
fn must_spend(coins: &mut [Coin], replaced: &BTreeSet<OutPoint>) -> Answer<()> {
    if replaced.is_empty() {
        return Ok(());
    }
    let Some(shared) = coins.iter_mut().find(|coin| replaced.contains(&coin.outpoint)) else {
        let all: Vec<String> = replaced.iter().map(ToString::to_string).collect();
        let detail = format!(
            "coins: a batch that replaces another must spend one of its coins, so that only one can be mined; add one of {}",
            all.join(", ")
        );
        return Err(Failure::new(ProblemKind::Coins, detail));
    };
    shared.must_be_spent = true;
    Ok(())
}

fn read_coin(plane: &ControlPlane, input: &CoinInput) -> Answer<Coin> {
    let refuse = |error: PayoutError| refused("coins", &error);
    let CoinInput { outpoint, sats, address, previous_tx, redeem_script } = input;
    let line = format!("{outpoint}:{sats}:{address}");
    let mut coin = payout::psbt::parse_coin_line(&line, plane.config.network).map_err(refuse)?;
    if let Some(hex) = redeem_script {
        coin = coin.with_redeem_script(hex).map_err(refuse)?;
    }
    previous_tx.as_ref().map_or(Ok(coin.clone()), |hex| coin.with_previous_tx(hex)).map_err(refuse)
}
