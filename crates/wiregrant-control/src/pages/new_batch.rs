//! A new batch: what is due in a grant, and the funder's coins, unless their wallet chooses them.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{Batch, BatchStage, NewBatch, ProblemKind};
use wiregrant_core::{BatchId, GrantId};
use wiregrant_payout as payout;

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff;
use crate::api::batches;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path, Query};
use crate::payout_batch;
use crate::sign_in::Caller;

/// `new_batch.html`.
#[derive(Debug, Template)]
#[template(path = "new_batch.html")]
pub struct NewBatchPage {
    frame: Frame,
    /// What it would pay now.
    due: Batch,
    sheet: Sheet,
}

fn sheet(id: &str, replaces: &str) -> Sheet {
    Sheet::new(
        "batch",
        vec![
            Field::line("batch", "Id").hint("a-z, 0-9 and -; it stays for good").value(id),
            Field::line("replaces", "The batch it replaces, if any")
                .hint("then one of that one's coins must be among those below")
                .value(replaces),
            Field::lines("coins", "Coins to pay from")
                .hint("empty where your wallet chooses them; else what bitcoin-cli listunspent prints, or lines txid:vout:sats:address; never a key"),
            Field::line("change", "Where the change goes")
                .hint("with coins: an address of yours, or a public descriptor that gives each batch a fresh one"),
            Field::line("fee_rate_sat_per_vb", "Fee rate, sat/vB").hint("with coins: 1 to 1000"),
            Field::lines("previous", "Transactions that made P2PKH coins")
                .hint("with such coins: as getrawtransaction prints them, one a line"),
        ],
    )
}

impl NewBatchPage {
    async fn of(plane: &Shared, caller: &Caller, grant: &GrantId, replaces: &str) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        if !batches::is_theirs(&mut read, caller, grant).await? {
            return Err(Failure::new(ProblemKind::Forbidden, format!("grant: {grant} is not yours")));
        }
        let mut taken: Vec<BatchId> = read.batches().await?.into_iter().map(|row| row.batch).collect();
        taken.extend(read.draft_batches().await?.into_iter().map(|row| row.batch));
        let free = (1_usize..).map(|n| format!("{grant}-{n}"));
        let mut free = free.filter(|id| taken.iter().all(|taken| taken.as_str() != id));
        drop(read);
        let sheet = sheet(&free.next().unwrap_or_default(), replaces);
        let frame = staff::frame(&plane.config.title, staff::links_of(caller), "");
        Ok(Self { frame, due: payout_batch::due_now(plane, grant).await?, sheet })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let due = serde_json::json!({
            "batch": "spring", "grant": "spring", "state": "draft", "cancel_reason": null, "transactions": [],
            "paid_by": null, "missing": "0", "excess": "0", "total": "251300", "fee": "0", "change": null, "note": "",
            "psbt": "", "destinations": [], "left_out": ["zephyr, epoch 8, 46740 sats: it may be challenged until <Monday>"],
            "payouts": [{ "operator": "nordlicht", "epoch": 7, "sats": "251300",
                "address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                "destination_signed_by_operator": true, "state": "released" }],
        });
        let funder = Caller::Funder("mosaic".parse().expect(fixed));
        let typed =
            Typed::from([("batch", "spring-3"), ("replaces", "spring-2"), ("coins", "abcd:0 <here>")]);
        let refusal = Failure::new(
            ProblemKind::Coins,
            "coins: coin line: each is `txid:vout:sats:address`, or all are `listunspent`'s JSON",
        );
        Self {
            frame: staff::frame("Free <networks>", staff::links_of(&funder), ""),
            due: serde_json::from_value(due).expect(fixed),
            sheet: sheet("", "").typed(&typed).refused(&refusal),
        }
    }
}

/// `?replaces=<batch>`
#[derive(Debug, Deserialize)]
pub struct Replaces {
    replaces: Option<BatchId>,
}

/// `GET /funder/grants/{grant}/new-batch`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    Query(Replaces { replaces }): Query<Replaces>,
) -> Answer<Response> {
    let replaces = replaces.map(|batch| batch.to_string()).unwrap_or_default();
    frame::page(StatusCode::OK, &NewBatchPage::of(&plane, &caller, &grant, &replaces).await?)
}

/// `POST /funder/grants/{grant}/new-batch`: as a draft, or frozen at once.
///
/// # Errors
/// `forbidden`, `not-found`; what else is refused is told on the page.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match asked(&plane, &grant, &typed) {
        Ok(new) => batches::create(State(plane.clone()), caller.clone(), Json(new)).await,
        Err(failure) => Err(failure),
    };
    match done {
        Ok((_, batch)) => Ok(Redirect::to(&format!("/batches/{}", batch.0.batch)).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let page = NewBatchPage::of(&plane, &caller, &grant, "").await?;
            let sheet = page.sheet.typed(&typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &NewBatchPage { sheet, ..page })
        }
        Err(failure) => Err(failure),
    }
}

fn asked(plane: &Shared, grant: &GrantId, typed: &Typed) -> Answer<NewBatch> {
    let network = plane.config.network;
    let refuse = |error: payout::PayoutError| payout_batch::refused("coins", &error);
    let previous = typed.lines("previous");
    let made: Vec<&str> = previous.split_whitespace().collect();
    let coins = payout::parse_coins(&typed.lines("coins"), network).map_err(refuse)?;
    let coins = coins.iter().map(|coin| coin.as_input(network, &made)).collect::<Result<_, _>>();
    let change = Some(typed.text("change").to_owned()).filter(|change| !change.is_empty());
    let replaces = match typed.text("replaces") {
        "" => None,
        batch => Some(batch.parse().map_err(|_| Failure::field("replaces", batch, "a batch's id"))?),
    };
    Ok(NewBatch {
        batch: typed.text("batch").parse()?,
        grant: grant.clone(),
        coins: coins.map_err(refuse)?,
        change,
        fee_rate_sat_per_vb: typed.read_if_any("fee_rate_sat_per_vb", "a whole number of sat/vB")?,
        replaces,
        stage: if typed.text("stage") == "draft" { BatchStage::Draft } else { BatchStage::Frozen },
    })
}
