-- Terms in versions, what people decide about statements, standings of nodes, and the ledger of sats, for SQLite. The same
-- tables, columns and keys as migrations/postgres.

create table grant_terms (
    grant_id    text    not null references grants (grant_id),
    version     integer not null check (version >= 1),
    first_epoch integer not null check (first_epoch >= 1),
    note        text    not null,
    note_hash   blob    not null check (length(note_hash) = 32),
    logged_at   integer not null,
    primary key (grant_id, version)
) strict;

insert into grant_terms (grant_id, version, first_epoch, note, note_hash, logged_at)
select grant_id, 1, 1, terms_note, terms_hash, created_at
  from grants;

alter table grants drop column terms_note;
alter table grants drop column terms_hash;

-- A grant that is not open yet: nothing of it is signed or logged, and it can be changed or thrown away.
create table grant_drafts (
    grant_id   text    not null,
    title      text    not null,
    terms      text    not null,        -- JSON
    created_at integer not null,
    primary key (grant_id)
) strict;

create table grant_operators (
    grant_id   text    not null references grants (grant_id),
    operator   text    not null references operators (operator),
    state      text    not null check (state in ('applied', 'approved', 'rejected')),
    applied_at integer not null,
    decided_at integer,
    check ((state = 'applied') = (decided_at is null)),
    primary key (grant_id, operator)
) strict, without rowid;

-- `acts_in` is the epoch whose statement comes next: what would have counted there for the node does not.
create table findings (
    grant_id text    not null references grants (grant_id),
    number   integer not null check (number >= 1),
    node     text    not null references nodes (node),
    reason   text    not null,
    detail   text    not null,
    person   text    not null,
    acts_in  integer not null check (acts_in >= 1),
    found_at integer not null,
    primary key (grant_id, number)
) strict;

-- What was decided about an operator's sats of an epoch, and what the operator says of it, in this order.
create table line_decisions (
    grant_id   text    not null,
    epoch      integer not null,
    operator   text    not null references operators (operator),
    number     integer not null check (number >= 1),
    kind       text    not null check (kind in ('hold', 'release', 'forfeit', 'object')),
    reason     text    not null,
    detail     text    not null,
    person     text    not null,
    sats       integer not null check (sats between 0 and 2100000000000000),
    counted_in integer,        -- of a forfeit: the epoch whose statement gives the sats back to the pot
    decided_at integer not null,
    check ((kind = 'forfeit') = (counted_in is not null)),
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    primary key (grant_id, epoch, operator, number)
) strict;

create table approvals (
    grant_id    text    not null,
    epoch       integer not null,
    person      text    not null,
    approved_at integer not null,
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    primary key (grant_id, epoch, person)
) strict, without rowid;

-- Corrections of earlier epochs; `statement_epoch` is the statement that has taken one up.
create table adjustments (
    grant_id        text    not null references grants (grant_id),
    number          integer not null check (number >= 1),
    operator        text    not null references operators (operator),
    sats            integer not null check (sats <> 0 and sats between -2100000000000000 and 2100000000000000),
    reason          text    not null,
    epoch           integer not null check (epoch >= 1),
    person          text    not null,
    asked_at        integer not null,
    statement_epoch integer check (statement_epoch > epoch),
    primary key (grant_id, number),
    unique (grant_id, operator, sats, reason, epoch)
) strict;

-- What the newest statement that names a node says of it, so that closing an epoch need not read all earlier ones.
create table node_standings (
    grant_id          text    not null references grants (grant_id),
    node              text    not null references nodes (node),
    epoch             integer not null check (epoch >= 1),
    sequence          integer not null check (sequence >= 0),    -- from here on its bytes are counted
    label             integer not null check (label >= 0),       -- the epoch of that report; 0 for none
    label_peers       integer not null check (label_peers >= 0), -- people counted for that epoch, while they are withheld
    carried           integer not null check (carried >= 0),
    peers             integer not null check (peers >= 0),       -- people behind what is withheld; 0 where nothing is
    withheld          integer not null check (withheld in (0, 1)),
    eligible_assigned integer not null check (eligible_assigned >= 0),   -- summed over all statements of the grant
    primary key (grant_id, node)
) strict;

create index node_standings_by_node on node_standings (node);

-- The double-entry ledger of sats: each row takes sats from one account of a grant and gives them to another, so that all
-- accounts of a grant sum to nothing at any time. An operator's account names them; a grant's own has ''.
create table ledger_transfers (
    number        integer not null check (number >= 1),
    grant_id      text    not null references grants (grant_id),
    kind          text    not null,
    epoch         integer,
    batch         text    references batches (batch),
    from_account  text    not null check (from_account in ('funder', 'contributed', 'allotted', 'earned', 'brought', 'payable',
                                                           'reserved', 'paid', 'unspent')),
    from_operator text    not null,
    to_account    text    not null check (to_account in ('funder', 'contributed', 'allotted', 'earned', 'brought', 'payable',
                                                         'reserved', 'paid', 'unspent')),
    to_operator   text    not null,
    sats          integer not null check (sats between 1 and 2100000000000000),
    entered_at    integer not null,
    check (from_account <> to_account),
    check ((from_account in ('funder', 'contributed', 'allotted', 'unspent')) = (from_operator = '')),
    check ((to_account in ('funder', 'contributed', 'allotted', 'unspent')) = (to_operator = '')),
    primary key (number)
) strict;

create index ledger_transfers_by_grant on ledger_transfers (grant_id, epoch);

-- What each account has now, and all it was ever given. Kept by the trigger below, in the transaction of the transfer. No account
-- but the funder's is ever overdrawn.
create table ledger_balances (
    grant_id text    not null references grants (grant_id),
    account  text    not null,
    operator text    not null,
    sats     integer not null check (sats >= 0 or account = 'funder'),
    given    integer not null check (given >= 0),
    primary key (grant_id, account, operator)
) strict, without rowid;

create index ledger_balances_by_operator on ledger_balances (operator, grant_id);

create trigger ledger_transfers_move after insert on ledger_transfers
begin
    insert into ledger_balances (grant_id, account, operator, sats, given)
    values (new.grant_id, new.from_account, new.from_operator, 0, 0)
        on conflict do nothing;
    insert into ledger_balances (grant_id, account, operator, sats, given)
    values (new.grant_id, new.to_account, new.to_operator, 0, 0)
        on conflict do nothing;
    update ledger_balances
       set sats = sats - new.sats
     where grant_id = new.grant_id
       and account = new.from_account
       and operator = new.from_operator;
    update ledger_balances
       set sats = sats + new.sats, given = given + new.sats
     where grant_id = new.grant_id
       and account = new.to_account
       and operator = new.to_operator;
end;

create trigger grant_terms_no_update before update on grant_terms
begin select raise(abort, 'grant_terms is append-only'); end;
create trigger grant_terms_no_delete before delete on grant_terms
begin select raise(abort, 'grant_terms is append-only'); end;
create trigger findings_no_update before update on findings
begin select raise(abort, 'findings is append-only'); end;
create trigger findings_no_delete before delete on findings
begin select raise(abort, 'findings is append-only'); end;
create trigger line_decisions_no_update before update on line_decisions
begin select raise(abort, 'line_decisions is append-only'); end;
create trigger line_decisions_no_delete before delete on line_decisions
begin select raise(abort, 'line_decisions is append-only'); end;
create trigger approvals_no_update before update on approvals
begin select raise(abort, 'approvals is append-only'); end;
create trigger approvals_no_delete before delete on approvals
begin select raise(abort, 'approvals is append-only'); end;
create trigger adjustments_no_delete before delete on adjustments
begin select raise(abort, 'adjustments: what was asked for stays'); end;
create trigger ledger_transfers_no_update before update on ledger_transfers
begin select raise(abort, 'ledger_transfers is append-only'); end;
create trigger ledger_transfers_no_delete before delete on ledger_transfers
begin select raise(abort, 'ledger_transfers is append-only'); end;
create trigger ledger_balances_no_delete before delete on ledger_balances
begin select raise(abort, 'ledger_balances follows from ledger_transfers'); end;
