//! Doubt: what may have been paid under an origin whose tail is lost. Its lines are held, and a person who has looked at the chain
//! releases them: no sats are paid twice because a database forgot the first time.

use wiregrant_core::api::LineDecisionKind;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::Terms;
use wiregrant_core::{Sats, Timestamp};
use wiregrant_store::{self as store, Read, SETTING_ORIGIN_ENDED, Write};

use crate::closing;
use crate::error::{Answer, Failure};
use crate::line_standing::Lines;

/// The word in the record.
pub const REASON: &str = "new-origin";
/// Who holds: no person does.
const HOLDER: &str = "new-origin";

/// When the origin before ended, if there was one.
///
/// # Errors
/// `busy` or `internal`.
pub async fn ended(read: &mut Read) -> Answer<Option<Timestamp>> {
    let Some(text) = read.setting(SETTING_ORIGIN_ENDED).await? else { return Ok(None) };
    let seconds: i64 = text.parse().map_err(Failure::internal)?;
    Ok(Some(Timestamp::from_unix_seconds(seconds).map_err(Failure::internal)?))
}

/// Whether lines of an epoch could have been put into a batch, and paid, before this moment.
#[must_use]
pub fn may_be_paid_before(terms: &Terms, epoch: u64, moment: Timestamp) -> bool {
    closing::opens_at(terms, epoch).is_some_and(|opens| opens.plus_seconds(terms.challenge_seconds) <= moment)
}

/// Holds every line of a statement that has something to pay, is in no batch and not held; gives the record's entries of it.
///
/// # Errors
/// `busy` or `internal`.
pub async fn hold(write: &mut Write, statement: &Statement, now: Timestamp) -> Answer<Vec<RecordEntry>> {
    let lines = Lines::read(write, &statement.grant).await?;
    let (grant, epoch) = (&statement.grant, statement.epoch);
    let mut entries = Vec::new();
    for (operator, line) in &statement.operators {
        let is_free = line.payable > Sats::ZERO
            && !lines.is_reserved(epoch, operator)
            && lines.held(epoch, operator).is_none();
        if !is_free {
            continue;
        }
        let decided = store::LineDecision {
            grant_id: grant.clone(),
            epoch,
            operator: operator.clone(),
            number: 0, // given by the database
            kind: LineDecisionKind::Hold,
            reason: REASON.to_owned(),
            detail: "it may have been paid under the origin before, in what was lost: look at the chain; release it where it was not"
                .to_owned(),
            person: HOLDER.to_owned(),
            sats: line.payable,
            counted_in: None,
            decided_at: now,
        };
        write.insert_line_decision(&decided).await?;
        entries.push(RecordEntry::Hold {
            grant: grant.clone(),
            epoch,
            operator: operator.clone(),
            reason: Some(REASON.to_owned()),
        });
    }
    Ok(entries)
}
