//! A funder's grants: where every satoshi stands, statements to approve, batches, and the auditors they name.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use wiregrant_core::api::{BatchState, LineStanding, NewAuditor};
use wiregrant_core::ledger::Account;
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats};
use wiregrant_store::{AccountBalance, Read};

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff::{self, Made, Status, batch_status};
use crate::api::{auditors, decisions};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::line_standing;
use crate::payout_batch;
use crate::settlement;
use crate::sign_in::{Caller, Holder};

/// Where sats stand: those of an operator, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    brought: Sats,
    payable: Sats,
    reserved: Sats,
    paid: Sats,
}

/// Where every satoshi of a grant stands, by its ledger: what was promised is what is free and what operators have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Accounts {
    promised: Sats,
    /// No statement has allotted it.
    free: Sats,
    all: Sums,
    operators: BTreeMap<OperatorId, Sums>,
}

/// A grant that a funder put up.
#[derive(Debug)]
struct Funded {
    grant: GrantId,
    title: String,
    accounts: Accounts,
    batches: Vec<(BatchId, Status)>,
    approvals: Vec<Approval>,
    auditors: Vec<String>,
    /// The form that names one more.
    auditor: Sheet,
}

/// A statement whose sats wait for people's approval.
#[derive(Debug)]
struct Approval {
    epoch: u64,
    payable: Sats,
    missing: u64,
    /// Whether whoever looks has approved it.
    by_you: bool,
}

/// `funder.html`.
#[derive(Debug, Template)]
#[template(path = "funder.html")]
pub struct FunderPage {
    frame: Frame,
    grants: Vec<Funded>,
    made: Option<Made>,
}

fn auditor_sheet(grant: &str) -> Sheet {
    let auditor = Field::line("auditor", "Name one more").hint("an id: a-z, 0-9 and -; it stays for good");
    Sheet::new(format!("auditor-{grant}"), vec![auditor])
}

impl Accounts {
    fn of(rows: &[AccountBalance]) -> Answer<Self> {
        let mut accounts = Self::default();
        for row in rows {
            // Only what the funder owes to the grant is below zero.
            let sats = Sats::new(row.sats.unsigned_abs()).map_err(Failure::internal)?;
            match row.side().map_err(Failure::internal)?.operator {
                None if row.account == Account::Funder => accounts.promised = sats,
                None if row.account == Account::Contributed => accounts.free = sats,
                None => {}
                Some(operator) => {
                    accounts.all.add(row.account, sats)?;
                    accounts.operators.entry(operator).or_default().add(row.account, sats)?;
                }
            }
        }
        Ok(accounts)
    }
}

impl Sums {
    fn add(&mut self, account: Account, sats: Sats) -> Answer<()> {
        let sum = match account {
            Account::Brought => &mut self.brought,
            Account::Payable => &mut self.payable,
            Account::Reserved => &mut self.reserved,
            Account::Paid => &mut self.paid,
            _ => return Ok(()),
        };
        *sum = sum.plus(sats).map_err(Failure::internal)?;
        Ok(())
    }
}

impl FunderPage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let funder = Caller::Funder("mosaic".parse().expect(fixed));
        let sats = |sats| Sats::new(sats).expect(fixed);
        let north = Sums { reserved: sats(251_300), paid: sats(175_000), ..Sums::default() };
        let south = Sums { brought: sats(480), payable: sats(198_040), ..Sums::default() };
        Self {
            frame: staff::frame("Free <networks>", staff::links_of(&funder), "Grants and batches"),
            made: None,
            grants: vec![Funded {
                accounts: Accounts {
                    promised: sats(5_000_000),
                    free: sats(4_375_180),
                    all: Sums { reserved: north.reserved, paid: north.paid, ..south },
                    operators: BTreeMap::from([
                        ("nordlicht".parse().expect(fixed), north),
                        ("suedwind".parse().expect(fixed), south),
                    ]),
                },
                grant: "spring".parse().expect(fixed),
                title: "Spring <2026>".to_owned(),
                batches: [("batch-2", BatchState::Exported), ("batch-1", BatchState::Settled)]
                    .map(|(id, state)| (id.parse().expect(fixed), batch_status(state)))
                    .into(),
                approvals: vec![
                    Approval { epoch: 9, payable: sats(151_300), missing: 2, by_you: false },
                    Approval { epoch: 8, payable: sats(46_740), missing: 1, by_you: true },
                ],
                auditors: vec!["careful-eyes".to_owned()],
                auditor: auditor_sheet("spring")
                    .typed(&Typed::from([("auditor", "Careful <here>")]))
                    .refused(&Failure::field(
                        "auditor",
                        "Careful <here>",
                        "an id: 1 to 40 of a-z, 0-9 and '-'",
                    )),
            }],
        }
    }

    /// The same with an auditor who was just named.
    #[must_use]
    pub fn sample_made() -> Self {
        let token = "wiregrant-auditor-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
        Self { made: Some(Made { what: "second-eyes".to_owned(), token }), ..Self::sample() }
    }
}

/// `GET /funder`: one's grants with where their sats stand, their batches and auditors; all of them for the administrator.
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>, who: (Caller, Holder)) -> Answer<Response> {
    frame::page(StatusCode::OK, &FunderPage::of(&plane, &who).await?)
}

impl FunderPage {
    async fn of(plane: &Shared, (caller, holder): &(Caller, Holder)) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let own = match caller {
            Caller::Funder(funder) => Some(read.funders().await?.remove(funder).unwrap_or_default()),
            _ => None,
        };
        let auditors = read.auditors().await?;
        let (batches, drafts) = (read.batches().await?, read.draft_batches().await?);
        let verdicts = settlement::verdicts(&mut read).await?;
        let mut grants = Vec::new();
        for grant in read.grants().await? {
            if own.as_ref().is_some_and(|own| !own.contains(&grant.grant_id)) {
                continue;
            }
            let drafts = drafts.iter().filter(|draft| draft.grant_id == grant.grant_id);
            let drafts = drafts.map(|draft| (draft.batch.clone(), batch_status(BatchState::Draft)));
            let of_grant = batches.iter().rev().filter(|batch| batch.grant_id == grant.grant_id);
            let of_grant = of_grant.map(|batch| {
                let state = payout_batch::state(verdicts.get(&batch.batch));
                (batch.batch.clone(), batch_status(state))
            });
            let looks = auditors.iter().filter(|(_, grants)| grants.contains(&grant.grant_id));
            let accounts = accounts(&mut read, &grant.grant_id).await?;
            let approvals = approvals(plane, &mut read, &grant.grant_id, holder.token.as_str()).await?;
            grants.push(Funded {
                accounts,
                approvals,
                batches: drafts.chain(of_grant).collect(),
                auditors: looks.map(|(auditor, _)| auditor.to_string()).collect(),
                auditor: auditor_sheet(grant.grant_id.as_str()),
                grant: grant.grant_id,
                title: grant.title,
            });
        }
        let frame = staff::frame(&plane.config.title, staff::links_of(caller), "Grants and batches");
        Ok(Self { frame, grants, made: None })
    }
}

/// `POST /funder/grants/{grant}/auditors`: whoever is named gets a token that is shown once.
///
/// # Errors
/// `forbidden`, `not-found`; what else is refused is told on the page.
pub async fn name_auditor(
    State(plane): State<Shared>,
    who: (Caller, Holder),
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let (caller, maker) = who.clone();
    let done = match typed.text("auditor").parse() {
        Ok(auditor) => {
            let new = Json(NewAuditor { auditor, grants: vec![grant.clone()] });
            auditors::create(State(plane.clone()), caller, maker, new).await
        }
        Err(error) => Err(Failure::from(error)),
    };
    let mut page = FunderPage::of(&plane, &who).await?;
    match done {
        Ok((_, created)) => {
            let made = Some(Made { what: created.0.id, token: created.0.token });
            frame::page(StatusCode::CREATED, &FunderPage { made, ..page })
        }
        Err(failure) => {
            let row = page.grants.iter_mut().find(|row| row.grant == grant);
            let Some(row) = row.filter(|_| failure.problem().status < 500) else { return Err(failure) };
            row.auditor = row.auditor.clone().typed(&typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

async fn accounts(read: &mut Read, grant: &GrantId) -> Answer<Accounts> {
    Accounts::of(&read.account_balances(Some(grant), None).await?)
}

/// The statements of a grant that may be approved, the newest first.
async fn approvals(plane: &Shared, read: &mut Read, grant: &GrantId, you: &str) -> Answer<Vec<Approval>> {
    let mut approvals: BTreeMap<u64, Approval> = BTreeMap::new();
    for line in line_standing::of_grant(plane, read, grant, None).await? {
        if line.standing != LineStanding::Unapproved {
            continue;
        }
        let (epoch, missing) = (line.epoch, line.approvals_missing);
        let new = || Approval { epoch, missing, payable: Sats::ZERO, by_you: false };
        let approval = approvals.entry(epoch).or_insert_with(new);
        approval.payable = approval.payable.plus(line.payable).map_err(Failure::internal)?;
    }
    for approval in approvals.values_mut() {
        let people = read.approvals(grant, approval.epoch).await?;
        approval.by_you = people.iter().any(|approved| approved.person == you);
    }
    Ok(approvals.into_values().rev().collect())
}

/// `POST /funder/grants/{grant}/epochs/{epoch}/approve`
///
/// # Errors
/// Those of [`decisions::approve`].
pub async fn approve(
    plane: State<Shared>,
    who: (Caller, Holder),
    epoch: Path<decisions::Epoch>,
) -> Answer<Redirect> {
    decisions::approve(plane, who, epoch).await.map(drop)?;
    Ok(Redirect::to("/funder"))
}
