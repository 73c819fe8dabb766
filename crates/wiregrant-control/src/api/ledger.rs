//! The ledger of sats, as those see it whom it concerns.

use axum::Json;
use axum::extract::State;
use wiregrant_core::GrantId;
use wiregrant_core::api::{LedgerAccount, LedgerCheck, ProblemKind};

use super::grants;
use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Page, Path};
use crate::sats_ledger;
use crate::sign_in::Caller;

/// `GET /grants/{grant}/ledger`: administrators and the grant's funder see all accounts, an operator their own.
///
/// # Errors
/// `not-found`, `forbidden`.
pub async fn accounts(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<LedgerAccount>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let only = match &caller {
        Caller::Administrator => None,
        Caller::Funder(funder) if read.funds(funder, &grant).await? => None,
        Caller::Operator(operator) => Some(operator),
        _ => {
            let detail =
                format!("grant: the ledger of {grant} is for its funder, its operators and administrators");
            return Err(Failure::new(ProblemKind::Forbidden, detail));
        }
    };
    let accounts = read.account_balances(Some(&grant), only).await?;
    let accounts = accounts.into_iter().map(sats_ledger::shown).collect::<Answer<_>>()?;
    let name = |account: &LedgerAccount| {
        let operator = account.operator.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {operator}", account.account)
    };
    page.of(accounts, name)
}

/// `GET /ledger/check`
///
/// # Errors
/// `busy` or `internal`.
pub async fn check(State(plane): State<Shared>) -> Answer<Json<LedgerCheck>> {
    sats_ledger::check(&mut plane.store.read().await?).await.map(Json)
}
