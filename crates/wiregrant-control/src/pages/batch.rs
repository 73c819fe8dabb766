//! A batch for whoever signs it: its lines, what to take away (the unsigned transaction, or the list to pay in the forms that wallets
//! import), the transaction that pays it, and its end where it is not to be paid.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::BASE64;
use serde::Deserialize;
use wiregrant_core::BatchId;
use wiregrant_core::api::{Batch, BatchState, CancelBatch, DeclareTransaction, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_payout as payout;
use wiregrant_payout::export::{self, export};

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff;
use crate::api::batches;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::sign_in::Caller;

/// `batch.html`.
#[derive(Debug, Template)]
#[template(path = "batch.html")]
pub struct BatchPage {
    frame: Frame,
    batch: Batch,
    declare: Sheet,
    cancel: Sheet,
    problem: Option<String>,
}

fn declare_sheet() -> Sheet {
    Sheet::new(
        "declare",
        vec![
            Field::line("txid", "Transaction id").hint("once it is sent"),
            Field::lines("psbt", "Or a PSBT that your wallet made, not signed yet")
                .hint("base64; it is checked that it pays just this batch"),
            Field::line("change", "Its change, if the wallet chose the coins").hint("your own address"),
            Field::lines("transaction", "Or the whole transaction")
                .hint("hexadecimal; then what replaces it is recognised too"),
        ],
    )
}

fn cancel_sheet() -> Sheet {
    Sheet::new(
        "cancel",
        vec![
            Field::line("reason", "Why, one word (public)").hint("a-z, 0-9 and -, such as wrong-fee"),
            Field::tick("unsigned", "Nobody has signed its transaction, and nobody will").hint(
                "then it is void at once; otherwise once one of its coins is spent elsewhere, six blocks deep",
            ),
        ],
    )
}

impl BatchPage {
    async fn of(plane: &Shared, caller: &Caller, id: &BatchId) -> Answer<Self> {
        let batch = batches::show(State(plane.clone()), caller.clone(), Path(id.clone())).await?.0;
        let frame = staff::frame(&plane.config.title, staff::links_of(caller), "");
        Ok(Self { frame, batch, declare: declare_sheet(), cancel: cancel_sheet(), problem: None })
    }

    /// Whether what can be paid has left, and may be paid.
    fn is_handed_out(&self) -> bool {
        use BatchState::{Draft, Frozen, Replaced, Void};
        !matches!(self.batch.state, Draft | Frozen | Replaced | Void)
    }

    /// Whether nothing of it is seen paid, so that it can still be cancelled.
    fn may_be_cancelled(&self) -> bool {
        use BatchState::{CancelPending, Exported, Frozen, Verified};
        matches!(self.batch.state, Frozen | Exported | Verified | CancelPending)
    }

    /// Whether another batch can stand in for it.
    fn may_be_replaced(&self) -> bool {
        use BatchState::{CancelPending, Exported, Seen, Verified};
        matches!(self.batch.state, Exported | Verified | Seen | CancelPending)
    }

    /// Whether someone may still say which transaction pays it.
    fn may_be_declared(&self) -> bool {
        !matches!(self.batch.state, BatchState::Draft | BatchState::Void)
    }

    /// The forms that wallets import: the word in the address, what the link says, and what it is for.
    fn forms(&self) -> [(&'static str, &'static str, &'static str); 4] {
        [
            ("csv", "CSV", "as Sparrow and Electrum import it (pay to many)"),
            ("bip21", "bitcoin: links", "one a line (BIP 21)"),
            ("sendmany", "sendmany", "as JSON, for Bitcoin Core"),
            ("walletcreatefundedpsbt", "walletcreatefundedpsbt", "as JSON, for Bitcoin Core"),
        ]
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        // Read from JSON, so that a field that is added to a batch does not have to be written here as well.
        let batch = serde_json::json!({
            "batch": "batch-2", "grant": "spring", "state": "exported", "cancel_reason": null, "transactions": [],
            "paid_by": null, "missing": "449340", "excess": "0", "total": "449340", "fee": "420", "change": "50000",
            "note": "wiregrant/batch/v1\n", "psbt": "cHNidP8BAHECAAAAAQ", "destinations": [], "left_out": ["zephyr: no destination yet"],
            "payouts": [
                { "operator": "nordlicht", "epoch": 7, "sats": "251300", "address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                  "destination_signed_by_operator": true, "state": "reserved" },
                { "operator": "suedwind", "epoch": 7, "sats": "198040",
                  "address": "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
                  "destination_signed_by_operator": false, "state": "reserved" },
            ],
        });
        let funder = Caller::Funder("mosaic".parse().expect(fixed));
        let typed = Typed::from([("txid", "typed <here>")]);
        let refusal = Failure::field("txid", "typed <here>", "64 hexadecimal digits");
        Self {
            frame: staff::frame("Free <networks>", staff::links_of(&funder), ""),
            batch: serde_json::from_value(batch).expect(fixed),
            declare: declare_sheet().typed(&typed).refused(&refusal),
            cancel: cancel_sheet(),
            problem: None,
        }
    }

    /// The same before anything of it has left.
    #[must_use]
    pub fn sample_frozen() -> Self {
        let sample = Self::sample();
        let batch = Batch { state: BatchState::Frozen, psbt: String::new(), ..sample.batch };
        let problem = Some("batch batch-2 is paid, or part of it <is>".to_owned());
        Self { batch, declare: declare_sheet(), problem, ..sample }
    }

    /// The same for a wallet that chooses the coins, once it was asked to be cancelled.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample_cancelled() -> Self {
        let sample = Self::sample();
        let batch = Batch {
            state: BatchState::CancelPending,
            psbt: String::new(),
            cancel_reason: Some("wrong-fee".to_owned()),
            replaces: Some("batch-1".parse().expect("a fixed value of its form")),
            ..sample.batch
        };
        Self { batch, declare: declare_sheet(), ..sample }
    }
}

/// `GET /batches/{batch}`
///
/// # Errors
/// `not-found`, also for the batch of a grant that is not theirs.
pub async fn show(State(plane): State<Shared>, caller: Caller, Path(id): Path<BatchId>) -> Answer<Response> {
    frame::page(StatusCode::OK, &BatchPage::of(&plane, &caller, &id).await?)
}

/// `POST /batches/{batch}/freeze`: of a draft, what is due now.
///
/// # Errors
/// Those of [`batches::freeze`]; what is refused is told on the page.
pub async fn freeze(
    State(plane): State<Shared>,
    caller: Caller,
    Path(id): Path<BatchId>,
) -> Answer<Response> {
    let done = batches::freeze(State(plane.clone()), caller.clone(), Path(id.clone())).await;
    let problem = |page: BatchPage, failure: &Failure| {
        let problem = Some(failure.problem().detail.clone());
        BatchPage { problem, ..page }
    };
    answered(&plane, &caller, &id, done.map(drop), problem).await
}

/// `POST /batches/{batch}/export`: notes that it was handed out, after which what can be paid is on the page.
///
/// # Errors
/// Those of [`batches::export`].
pub async fn export_it(plane: State<Shared>, caller: Caller, Path(id): Path<BatchId>) -> Answer<Redirect> {
    batches::export(plane, caller, Path(id.clone())).await.map(drop)?;
    Ok(Redirect::to(&format!("/batches/{id}")))
}

/// `GET /batches/{batch}/psbt`: the unsigned transaction as wallets take it, a file of bytes (BIP 174).
///
/// # Errors
/// `not-found`.
pub async fn psbt(State(plane): State<Shared>, caller: Caller, Path(id): Path<BatchId>) -> Answer<Response> {
    let page = BatchPage::of(&plane, &caller, &id).await?;
    if page.batch.psbt.is_empty() {
        return Err(Failure::not_found("unsigned transaction that was handed out", format!("of {id}")));
    }
    let bytes = BASE64.decode(page.batch.psbt.as_bytes()).map_err(Failure::internal)?;
    Ok(file(&format!("{id}.psbt"), "application/octet-stream", bytes))
}

/// The path of a list to pay.
#[derive(Debug, Deserialize)]
pub struct Payees {
    batch: BatchId,
    form: String,
}

/// `GET /batches/{batch}/payees/{form}`: what to pay, for a wallet that chooses the coins itself.
///
/// # Errors
/// `not-found`, also before it is exported and once it is not to be paid any more.
pub async fn payees(
    State(plane): State<Shared>,
    caller: Caller,
    Path(Payees { batch: id, form }): Path<Payees>,
) -> Answer<Response> {
    let page = BatchPage::of(&plane, &caller, &id).await?;
    let unknown = || Failure::not_found("list to pay that was handed out", format!("of {id} as {form}"));
    let known = export::Form::ALL.iter().find(|(name, _)| *name == form).filter(|_| page.is_handed_out());
    let (_, known) = known.ok_or_else(unknown)?;
    let note = Signed::<payout::Batch>::parse(&page.batch.note).map_err(Failure::internal)?;
    let text = export(note.content(), *known).map_err(Failure::internal)?;
    let (end, kind) = match known {
        export::Form::Csv => ("csv", "text/csv; charset=utf-8"),
        export::Form::Bip21 => ("txt", "text/plain; charset=utf-8"),
        export::Form::SendMany | export::Form::FundedPsbt => ("json", "application/json"),
    };
    Ok(file(&format!("{id}-{form}.{end}"), kind, text.into_bytes()))
}

fn file(name: &str, kind: &'static str, bytes: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, bytes).into_response()
}

/// `POST /batches/{batch}/transaction`: which transaction pays it.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn declare(
    State(plane): State<Shared>,
    caller: Caller,
    Path(id): Path<BatchId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let given = |name: &str| Some(typed.text(name).to_owned()).filter(|text| !text.is_empty());
    let given = DeclareTransaction {
        txid: given("txid"),
        transaction: given("transaction"),
        psbt: given("psbt"),
        change: given("change").into_iter().collect(),
    };
    let done = batches::declare(State(plane.clone()), caller.clone(), Path(id.clone()), Json(given)).await;
    let again = |page: BatchPage, failure: &Failure| {
        let declare = page.declare.typed(&typed).refused(failure);
        BatchPage { declare, ..page }
    };
    answered(&plane, &caller, &id, done.map(drop), again).await
}

/// `POST /batches/{batch}/cancel`
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn cancel(
    State(plane): State<Shared>,
    caller: Caller,
    Path(id): Path<BatchId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let asked =
        CancelBatch { reason: typed.text("reason").to_owned(), unsigned: !typed.text("unsigned").is_empty() };
    let done = batches::cancel(State(plane.clone()), caller.clone(), Path(id.clone()), Json(asked)).await;
    let again = |page: BatchPage, failure: &Failure| {
        let cancel = page.cancel.typed(&typed).refused(failure);
        BatchPage { cancel, ..page }
    };
    answered(&plane, &caller, &id, done.map(drop), again).await
}

/// Leads back to the batch, or shows it with what was typed and why it was refused.
async fn answered(
    plane: &Shared,
    caller: &Caller,
    id: &BatchId,
    done: Answer<()>,
    again: impl FnOnce(BatchPage, &Failure) -> BatchPage,
) -> Answer<Response> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/batches/{id}")).into_response()),
        Err(failure) if failure.problem().status < 500 && !failure.problem().is(ProblemKind::NotFound) => {
            let page = again(BatchPage::of(plane, caller, id).await?, &failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(failure) => Err(failure),
    }
}
