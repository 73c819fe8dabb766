-- What an operator's page asks for: every transfer from and to their accounts, in whatever grant.
create index ledger_transfers_by_giver on ledger_transfers (from_operator);
create index ledger_transfers_by_taker on ledger_transfers (to_operator);
