//! The double-entry ledger of sats: which accounts a grant has, and what each event moves between them.
//!
//! A transfer takes sats from one account and gives them to another, so that all accounts of a grant sum to nothing at any
//! time:
//!
//! ```text
//! contribute   funder -> contributed
//! statement    contributed -> allotted              the pot
//!              allotted -> earned of an operator    what they earned
//!              allotted -> unspent -> contributed   what nobody earned
//!              brought -> earned                    what they had left
//!              contributed -> earned, or back       a correction
//!              earned -> payable, earned -> brought what is paid now, what is carried
//! batch        payable -> reserved                  frozen; void: back; paid: reserved -> paid
//! forfeit      payable -> contributed
//! ```
//!
//! `contributed` is what can still be allotted; `allotted`, `earned` and `unspent` are passed through and end every statement
//! at 0, and what they were ever given is kept beside.

use std::collections::BTreeMap;

use crate::statement::Statement;
use crate::word::word;
use crate::{BatchId, FactError, GrantId, OperatorId, Sats};

word! {
    /// An account of a grant.
    Account, "account",
    /// Whoever promised the sats: below 0 by all that was contributed.
    Funder = "funder",
    /// Promised and not allotted.
    Contributed = "contributed",
    /// The pot of the epoch that is being closed.
    Allotted = "allotted",
    /// An operator's sum while an epoch is being closed.
    Earned = "earned",
    /// An operator's sats below the minimum, brought to the next epoch.
    Brought = "brought",
    /// An operator's sats that no batch holds.
    Payable = "payable",
    /// An operator's sats in a batch.
    Reserved = "reserved",
    /// An operator's sats that the record calls paid.
    Paid = "paid",
    /// What nobody earned of a pot.
    Unspent = "unspent",
}

word! {
    /// Why sats were moved.
    TransferKind, "kind",
    /// A funder promised them.
    Contribute = "contribute",
    /// The pot of an epoch.
    Allot = "allot",
    /// An operator's share of it.
    Earn = "earn",
    /// What nobody earned.
    Unspend = "unspend",
    /// Back to what can be allotted.
    Return = "return",
    /// Brought from the epoch before.
    Bring = "bring",
    /// A correction.
    Adjust = "adjust",
    /// To be paid now.
    Owe = "owe",
    /// Carried to the next epoch.
    Carry = "carry",
    /// Frozen in a batch.
    Reserve = "reserve",
    /// The batch is void.
    Free = "free",
    /// The batch is paid.
    Pay = "pay",
    /// A held line was forfeited.
    Forfeit = "forfeit",
}

/// One side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// The account.
    pub account: Account,
    /// Whose it is; a grant's own accounts are nobody's.
    pub operator: Option<OperatorId>,
}

impl Side {
    fn of_grant(account: Account) -> Self {
        Self { account, operator: None }
    }

    fn of(account: Account, operator: &OperatorId) -> Self {
        Self { account, operator: Some(operator.clone()) }
    }
}

/// Sats moved from one account of a grant to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The grant.
    pub grant: GrantId,
    /// Why.
    pub kind: TransferKind,
    /// The epoch it belongs to; none for a contribution.
    pub epoch: Option<u64>,
    /// The batch it belongs to.
    pub batch: Option<BatchId>,
    /// Who gives.
    pub from: Side,
    /// Who takes.
    pub to: Side,
    /// How many; at least 1.
    pub sats: Sats,
}

/// Collects the transfers of one event; what moves nothing is left out.
struct Event<'a> {
    grant: &'a GrantId,
    epoch: Option<u64>,
    batch: Option<&'a BatchId>,
    transfers: Vec<Transfer>,
}

impl<'a> Event<'a> {
    fn new(grant: &'a GrantId, epoch: Option<u64>, batch: Option<&'a BatchId>) -> Self {
        Self { grant, epoch, batch, transfers: Vec::new() }
    }

    fn moves(&mut self, kind: TransferKind, from: Side, to: Side, sats: Sats) {
        if sats > Sats::ZERO {
            let (grant, batch) = (self.grant.clone(), self.batch.cloned());
            self.transfers.push(Transfer { grant, kind, epoch: self.epoch, batch, from, to, sats });
        }
    }
}

/// A contribution.
#[must_use]
pub fn of_contribution(grant: &GrantId, sats: Sats) -> Vec<Transfer> {
    let mut event = Event::new(grant, None, None);
    let (funder, contributed) = (Side::of_grant(Account::Funder), Side::of_grant(Account::Contributed));
    event.moves(TransferKind::Contribute, funder, contributed, sats);
    event.transfers
}

/// A statement.
///
/// # Errors
/// [`FactError::Overflow`] where an operator's corrections pass all sats there are.
pub fn of_statement(statement: &Statement) -> Result<Vec<Transfer>, FactError> {
    use Account::{Allotted, Brought, Contributed, Earned, Payable, Unspent};
    let grants = Side::of_grant;
    let mut event = Event::new(&statement.grant, Some(statement.epoch), None);
    event.moves(TransferKind::Allot, grants(Contributed), grants(Allotted), statement.pot);
    event.moves(TransferKind::Unspend, grants(Allotted), grants(Unspent), statement.unspent);
    event.moves(TransferKind::Return, grants(Unspent), grants(Contributed), statement.unspent);
    for (operator, line) in &statement.operators {
        let own = |account| Side::of(account, operator);
        event.moves(TransferKind::Earn, grants(Allotted), own(Earned), line.earned);
        event.moves(TransferKind::Bring, own(Brought), own(Earned), line.brought);
        let adjusted = statement.adjusted(operator);
        let sats = Sats::new(u64::try_from(adjusted.unsigned_abs()).unwrap_or(u64::MAX))?;
        let (from, to) = match adjusted >= 0 {
            true => (grants(Contributed), own(Earned)),
            false => (own(Earned), grants(Contributed)),
        };
        event.moves(TransferKind::Adjust, from, to, sats);
        event.moves(TransferKind::Owe, own(Earned), own(Payable), line.payable);
        event.moves(TransferKind::Carry, own(Earned), own(Brought), line.carried);
    }
    Ok(event.transfers)
}

/// What becomes of a line that a batch pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEvent {
    /// The batch was frozen.
    Frozen,
    /// It is void.
    Void,
    /// It is paid.
    Paid,
}

/// A line of a batch.
#[must_use]
pub fn of_batch_line(
    happened: BatchEvent,
    batch: &BatchId,
    line: (&GrantId, u64, &OperatorId),
    sats: Sats,
) -> Vec<Transfer> {
    let (grant, epoch, operator) = line;
    let mut event = Event::new(grant, Some(epoch), Some(batch));
    let (kind, from, to) = match happened {
        BatchEvent::Frozen => (TransferKind::Reserve, Account::Payable, Account::Reserved),
        BatchEvent::Void => (TransferKind::Free, Account::Reserved, Account::Payable),
        BatchEvent::Paid => (TransferKind::Pay, Account::Reserved, Account::Paid),
    };
    event.moves(kind, Side::of(from, operator), Side::of(to, operator), sats);
    event.transfers
}

/// A forfeited line.
#[must_use]
pub fn of_forfeit(grant: &GrantId, epoch: u64, operator: &OperatorId, sats: Sats) -> Vec<Transfer> {
    let mut event = Event::new(grant, Some(epoch), None);
    let (payable, contributed) = (Side::of(Account::Payable, operator), Side::of_grant(Account::Contributed));
    event.moves(TransferKind::Forfeit, payable, contributed, sats);
    event.transfers
}

/// What accounts have after transfers, and all they were ever given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Sats; below 0 for the funder alone.
    pub sats: i128,
    /// All it was ever given.
    pub given: i128,
}

/// The accounts of every grant.
pub type Balances = BTreeMap<(GrantId, Side), Balance>;

/// Carries transfers into balances.
pub fn carry<'a>(balances: &mut Balances, transfers: impl IntoIterator<Item = &'a Transfer>) {
    for transfer in transfers {
        let sats = i128::from(transfer.sats.get());
        let from = balances.entry((transfer.grant.clone(), transfer.from.clone())).or_default();
        from.sats = from.sats.saturating_sub(sats);
        let to = balances.entry((transfer.grant.clone(), transfer.to.clone())).or_default();
        (to.sats, to.given) = (to.sats.saturating_add(sats), to.given.saturating_add(sats));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement;

    fn sats(n: u64) -> Sats {
        Sats::new(n).unwrap()
    }

    fn has(balances: &Balances, account: Account, operator: Option<&str>) -> (i128, i128) {
        let side = Side { account, operator: operator.map(|operator| operator.parse().unwrap()) };
        let balance = balances.get(&("spring".parse().unwrap(), side)).copied().unwrap_or_default();
        (balance.sats, balance.given)
    }

    #[test]
    fn what_passes_through_a_statement_ends_where_its_lines_say() {
        let (first, second) = (statement::tests::first(), statement::tests::second());
        let mut balances = Balances::new();
        carry(&mut balances, &of_contribution(&first.grant, sats(400_003)));
        for statement in [&first, &second] {
            carry(&mut balances, &of_statement(statement).unwrap());
            assert_eq!(balances.values().map(|balance| balance.sats).sum::<i128>(), 0);
            assert_eq!(has(&balances, Account::Allotted, None).0, 0);
            for (operator, line) in &statement.operators {
                assert_eq!(has(&balances, Account::Earned, Some(operator.as_str())).0, 0);
                assert_eq!(
                    has(&balances, Account::Brought, Some(operator.as_str())).0,
                    i128::from(line.carried.get())
                );
            }
            let left = i128::from(first.contributed.get() - statement.allotted_after().unwrap().get());
            assert_eq!(has(&balances, Account::Contributed, None).0, left);
        }
        assert_eq!(has(&balances, Account::Payable, Some("nordlicht")), (199_000, 199_000));
    }

    #[test]
    fn a_line_is_reserved_freed_reserved_and_paid() {
        let (grant, operator, batch) =
            ("spring".parse().unwrap(), "nordlicht".parse().unwrap(), "b-1".parse().unwrap());
        let mut balances = Balances::new();
        for event in [BatchEvent::Frozen, BatchEvent::Void, BatchEvent::Frozen, BatchEvent::Paid] {
            carry(&mut balances, &of_batch_line(event, &batch, (&grant, 1, &operator), sats(7)));
        }
        carry(&mut balances, &of_forfeit(&grant, 1, &operator, sats(3)));
        assert_eq!(has(&balances, Account::Paid, Some("nordlicht")), (7, 7));
        assert_eq!(has(&balances, Account::Reserved, Some("nordlicht")), (0, 14));
        assert_eq!(has(&balances, Account::Payable, Some("nordlicht")).0, -10);
        assert_eq!(has(&balances, Account::Contributed, None).0, 3);
    }
}
