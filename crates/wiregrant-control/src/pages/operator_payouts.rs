//! What an operator was paid, will be paid, where to, and what keeps a line from being paid. The sats are those of the ledger.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{DecideLine, LineDecisionKind, LineStanding, ProblemKind, StatementLine};
use wiregrant_core::ledger::{Account, TransferKind};
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats};
use wiregrant_store::{OperatorTransfer, Read};

use super::frame::{self, Frame};
use super::staff::{self, Status};
use crate::control_plane::{ControlPlane, Shared};
use crate::deciding;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Path};
use crate::line_standing;
use crate::sign_in::{Caller, Holder};

/// Epochs that are shown, the newest ones.
const EPOCHS_SHOWN: usize = 104;

/// Where an operator's sats stand now, in all grants together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Accounts {
    paid: Sats,
    reserved: Sats,
    payable: Sats,
    brought: Sats,
}

/// What the ledger moved for an operator in one epoch of a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Moved {
    earned: Sats,
    brought: Sats,
    adjusted: i64,
    payable: Sats,
    carried: Sats,
    /// What became of the payable sats last.
    last: Option<(TransferKind, Option<BatchId>)>,
}

/// A transaction of a batch that is not six blocks deep yet.
#[derive(Debug)]
struct OnItsWay {
    txid: String,
    /// The height of its block, once it is in one.
    height: Option<u32>,
}

/// One epoch's sats.
#[derive(Debug)]
struct Payout {
    grant: GrantId,
    title: String,
    epoch: u64,
    moved: Moved,
    status: Status,
    /// The transaction that paid, or is on its way to.
    txid: Option<String>,
    /// Where to, once a batch holds it.
    address: Option<String>,
    /// What was decided about it and objected to, the oldest first.
    decided: Vec<String>,
    /// Whether an objection could still change anything.
    open: bool,
    /// An objection that was typed, and refused.
    typed: Option<ObjectionForm>,
}

/// `operator_payouts.html`.
#[derive(Debug, Template)]
#[template(path = "operator_payouts.html")]
pub struct OperatorPayoutsPage {
    frame: Frame,
    operator: OperatorId,
    accounts: Accounts,
    payouts: Vec<Payout>,
    problem: Option<String>,
}

impl Payout {
    /// What a part of its row is called on the page.
    fn named(&self, part: &str) -> String {
        format!("{part}-{}-{}", self.grant, self.epoch)
    }
}

impl OperatorPayoutsPage {
    async fn of(plane: &ControlPlane, operator: OperatorId) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        if read.operator(&operator).await?.is_none() {
            return Err(Failure::not_found("operator", &operator));
        }
        Ok(Self {
            frame: staff::operators_frame(&plane.config.title, &operator, "Payouts"),
            accounts: accounts(&mut read, &operator).await?,
            payouts: payouts(plane, &mut read, &operator).await?,
            operator,
            problem: None,
        })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let sats = |sats| Sats::new(sats).expect(fixed);
        let batch: Option<BatchId> = Some("batch-6".parse().expect(fixed));
        let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        let payout = |epoch, payable, carried, standing, last: Option<TransferKind>| {
            let moved = Moved {
                earned: sats(payable + carried),
                payable: sats(payable),
                carried: sats(carried),
                adjusted: if epoch == 6 { -1_500 } else { 0 },
                last: last.map(|kind| (kind, batch.clone())),
                ..Moved::default()
            };
            let line = StatementLine {
                epoch,
                operator: "nordlicht".parse().expect(fixed),
                payable: sats(payable),
                standing,
                payable_from: "2026-07-11T00:00:00Z".parse().expect(fixed),
                approvals_missing: 0,
                decisions: Vec::new(),
            };
            let held = matches!(last, Some(TransferKind::Reserve | TransferKind::Pay));
            let seen = OnItsWay { txid: "7b1c".repeat(16), height: Some(812) };
            let seen = (last == Some(TransferKind::Reserve)).then_some(&seen);
            Payout {
                grant: "spring".parse().expect(fixed),
                title: "Spring <2026>".to_owned(),
                epoch,
                status: status(&line, &moved, seen),
                txid: match last {
                    Some(TransferKind::Pay) => Some("4f0e".repeat(16)),
                    _ => seen.map(|seen| seen.txid.clone()),
                },
                address: held.then(|| address.to_owned()),
                decided: match standing {
                    LineStanding::Held => {
                        vec!["hold: two-reports".to_owned(), "object: wrong-count (see <logs>)".to_owned()]
                    }
                    _ => Vec::new(),
                },
                open: staff::is_open(&line),
                typed: (standing == LineStanding::Held).then(|| ObjectionForm {
                    reason: "typed <here>".to_owned(),
                    detail: "the <logs> say otherwise".to_owned(),
                }),
                moved,
            }
        };
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Payouts"),
            operator,
            accounts: Accounts {
                paid: sats(175_000),
                reserved: sats(198_040),
                payable: sats(251_300),
                brought: sats(480),
            },
            payouts: vec![
                payout(9, 0, 480, LineStanding::Nothing, None),
                payout(8, 151_300, 0, LineStanding::Challengeable, None),
                payout(7, 100_000, 0, LineStanding::Held, None),
                payout(6, 198_040, 0, LineStanding::Reserved, Some(TransferKind::Reserve)),
                payout(5, 175_000, 0, LineStanding::Reserved, Some(TransferKind::Pay)),
            ],
            problem: Some("reason: \"typed <here>\" is not a short word of a-z, 0-9 and '-'".to_owned()),
        }
    }
}

/// `GET /operators/{operator}/payouts`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    frame::page(StatusCode::OK, &OperatorPayoutsPage::of(&plane, operator).await?)
}

/// The path of a line.
#[derive(Debug, Deserialize)]
pub struct Line {
    operator: OperatorId,
    grant: GrantId,
    epoch: u64,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct ObjectionForm {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    detail: String,
}

/// `POST /operators/{operator}/payouts/{grant}/{epoch}/object`: an operator objects, on record, to what is said of their line.
///
/// # Errors
/// `forbidden` for anybody else, `not-found`; what is refused is told on the page.
pub async fn object(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Path(Line { operator, grant, epoch }): Path<Line>,
    Form(ObjectionForm { reason, detail }): Form<ObjectionForm>,
) -> Answer<Response> {
    if !matches!(&caller, Caller::Operator(own) if *own == operator) {
        let detail = format!("operator: only {operator} objects for themselves");
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    let asked = DecideLine { reason: reason.trim().to_owned(), detail: detail.replace("\r\n", "\n") };
    let line = (&grant, epoch, &operator);
    match deciding::decide(&plane, line, LineDecisionKind::Object, &asked, holder.token.as_str()).await {
        Ok(_) => Ok(Redirect::to(&format!("/operators/{operator}/payouts")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let problem = Some(failure.problem().detail.clone());
            let mut page = OperatorPayoutsPage::of(&plane, operator).await?;
            if let Some(row) = page.payouts.iter_mut().find(|row| row.grant == grant && row.epoch == epoch) {
                row.typed = Some(ObjectionForm { reason, detail });
            }
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &OperatorPayoutsPage { problem, ..page })
        }
        Err(failure) => Err(failure),
    }
}

async fn accounts(read: &mut Read, operator: &OperatorId) -> Answer<Accounts> {
    let mut accounts = Accounts::default();
    for row in read.account_balances(None, Some(operator)).await? {
        let sum = match row.account {
            Account::Paid => &mut accounts.paid,
            Account::Reserved => &mut accounts.reserved,
            Account::Payable => &mut accounts.payable,
            Account::Brought => &mut accounts.brought,
            _ => continue,
        };
        let sats = Sats::try_from(row.sats).map_err(Failure::internal)?;
        *sum = sum.plus(sats).map_err(Failure::internal)?;
    }
    Ok(accounts)
}

async fn payouts(plane: &ControlPlane, read: &mut Read, operator: &OperatorId) -> Answer<Vec<Payout>> {
    let moved = by_line(&read.transfers_of_operator(operator).await?)?;
    let txids: BTreeMap<BatchId, String> = read
        .batch_decisions()
        .await?
        .into_iter()
        .filter_map(|decided| Some((decided.batch, decided.paid_txid?)))
        .collect();
    let seen = on_their_way(read).await?;
    let mut payouts = Vec::new();
    for grant in read.grants().await? {
        let held = read.reserved_lines_of_grant(&grant.grant_id).await?;
        for line in line_standing::of_grant(plane, read, &grant.grant_id, Some(operator)).await? {
            let held = held.iter().find(|held| held.epoch == line.epoch && held.operator == *operator);
            let moved = moved.get(&(grant.grant_id.clone(), line.epoch)).cloned().unwrap_or_default();
            let is_paid = matches!(moved.last, Some((TransferKind::Pay, _)));
            let seen = held.filter(|_| !is_paid).and_then(|held| seen.get(&held.batch));
            let paid = held.filter(|_| is_paid).and_then(|held| txids.get(&held.batch));
            let payout = Payout {
                grant: grant.grant_id.clone(),
                title: grant.title.clone(),
                epoch: line.epoch,
                status: status(&line, &moved, seen),
                txid: paid.or(seen.map(|seen| &seen.txid)).cloned(),
                address: held.map(|held| held.address.to_string()),
                decided: line.decisions.iter().map(staff::said).collect(),
                open: staff::is_open(&line),
                typed: None,
                moved,
            };
            payouts.push((line.payable_from, payout));
        }
    }
    payouts.sort_by_key(|(payable_from, _)| std::cmp::Reverse(*payable_from));
    payouts.truncate(EPOCHS_SHOWN);
    Ok(payouts.into_iter().map(|(_, payout)| payout).collect())
}

/// Transactions that were seen in a block or waiting for one, by the batch that they count for; those in blocks come first.
async fn on_their_way(read: &mut Read) -> Answer<BTreeMap<BatchId, OnItsWay>> {
    let mut seen: BTreeMap<BatchId, OnItsWay> = BTreeMap::new();
    for sighting in read.watched_sightings().await? {
        let Some(batch) = sighting.batch.filter(|_| sighting.waiting || sighting.height.is_some()) else {
            continue;
        };
        let found = OnItsWay { txid: sighting.txid, height: sighting.height };
        if found.height.is_some() || !seen.contains_key(&batch) {
            seen.insert(batch, found);
        }
    }
    Ok(seen)
}

/// What an operator's transfers moved, by grant and epoch.
fn by_line(transfers: &[OperatorTransfer]) -> Answer<BTreeMap<(GrantId, u64), Moved>> {
    let mut lines: BTreeMap<(GrantId, u64), Moved> = BTreeMap::new();
    for transfer in transfers {
        let Some(epoch) = transfer.epoch else { continue };
        let line = lines.entry((transfer.grant_id.clone(), epoch)).or_default();
        let sum = match transfer.kind {
            TransferKind::Earn => &mut line.earned,
            TransferKind::Bring => &mut line.brought,
            TransferKind::Owe => &mut line.payable,
            TransferKind::Carry => &mut line.carried,
            TransferKind::Adjust => {
                let sats = transfer.sats.as_i64();
                line.adjusted =
                    if transfer.to_account == Account::Earned { sats } else { sats.wrapping_neg() };
                continue;
            }
            TransferKind::Free => {
                line.last = None;
                continue;
            }
            kind => {
                line.last = Some((kind, transfer.batch.clone()));
                continue;
            }
        };
        *sum = sum.plus(transfer.sats).map_err(Failure::internal)?;
    }
    Ok(lines)
}

/// What became of a line, in words: by the ledger where it has left `payable`, else by what keeps it there.
fn status(line: &StatementLine, moved: &Moved, seen: Option<&OnItsWay>) -> Status {
    let batch = |batch: &Option<BatchId>| batch.as_ref().map_or_else(String::new, ToString::to_string);
    match &moved.last {
        Some((TransferKind::Pay, id)) => ("good", format!("paid by batch {}", batch(id))),
        Some((TransferKind::Reserve, id)) => {
            let transaction = match seen.map(|seen| seen.height) {
                None => "",
                Some(None) => "; its transaction waits for a block",
                Some(Some(_)) => "; its transaction is in a block, and final with six",
            };
            ("warn", format!("in batch {}{transaction}", batch(id)))
        }
        Some((TransferKind::Forfeit, _)) => ("bad", "forfeited".to_owned()),
        _ => staff::line_status(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(kind: TransferKind, to: Account, sats: u64) -> OperatorTransfer {
        OperatorTransfer {
            grant_id: "spring".parse().unwrap(),
            kind,
            epoch: Some(3),
            batch: (kind != TransferKind::Earn).then(|| "batch-1".parse().unwrap()),
            to_account: to,
            sats: Sats::new(sats).unwrap(),
        }
    }

    #[test]
    fn a_line_is_what_the_ledger_moved_for_it_last() {
        let mut transfers = vec![
            transfer(TransferKind::Earn, Account::Earned, 700),
            transfer(TransferKind::Bring, Account::Earned, 300),
            transfer(TransferKind::Adjust, Account::Contributed, 50),
            transfer(TransferKind::Owe, Account::Payable, 950),
        ];
        let line = |transfers: &[OperatorTransfer]| {
            by_line(transfers).unwrap().remove(&("spring".parse().unwrap(), 3)).unwrap()
        };
        let moved = line(&transfers);
        let sums = [moved.earned, moved.brought, moved.payable, moved.carried].map(Sats::get);
        assert_eq!((sums, moved.adjusted, moved.last), ([700, 300, 950, 0], -50, None));
        for (kind, to, last) in [
            (TransferKind::Reserve, Account::Reserved, Some(TransferKind::Reserve)),
            (TransferKind::Free, Account::Payable, None),
            (TransferKind::Reserve, Account::Reserved, Some(TransferKind::Reserve)),
            (TransferKind::Pay, Account::Paid, Some(TransferKind::Pay)),
        ] {
            transfers.push(transfer(kind, to, 950));
            assert_eq!(line(&transfers).last.map(|(kind, _)| kind), last);
        }
    }
}
