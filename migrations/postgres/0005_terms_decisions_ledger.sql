-- Terms in versions, what people decide about statements, standings of nodes, and the ledger of sats, for PostgreSQL. The same
-- tables, columns and keys as migrations/sqlite.

create table grant_terms (
    grant_id    text    not null references grants (grant_id),
    version     bigint not null check (version >= 1),
    first_epoch bigint not null check (first_epoch >= 1),
    note        text    not null,
    note_hash   bytea    not null check (length(note_hash) = 32),
    logged_at   bigint not null,
    constraint grant_terms_grant_id_version_key primary key (grant_id, version)
);

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
    created_at bigint not null,
    constraint grant_drafts_grant_id_key primary key (grant_id)
);

create table grant_operators (
    grant_id   text    not null references grants (grant_id),
    operator   text    not null references operators (operator),
    state      text    not null check (state in ('applied', 'approved', 'rejected')),
    applied_at bigint not null,
    decided_at bigint,
    check ((state = 'applied') = (decided_at is null)),
    constraint grant_operators_grant_id_operator_key primary key (grant_id, operator)
);

-- `acts_in` is the epoch whose statement comes next: what would have counted there for the node does not.
create table findings (
    grant_id text    not null references grants (grant_id),
    number   bigint not null check (number >= 1),
    node     text    not null references nodes (node),
    reason   text    not null,
    detail   text    not null,
    person   text    not null,
    acts_in  bigint not null check (acts_in >= 1),
    found_at bigint not null,
    constraint findings_grant_id_number_key primary key (grant_id, number)
);

-- What was decided about an operator's sats of an epoch, and what the operator says of it, in this order.
create table line_decisions (
    grant_id   text    not null,
    epoch      bigint not null,
    operator   text    not null references operators (operator),
    number     bigint not null check (number >= 1),
    kind       text    not null check (kind in ('hold', 'release', 'forfeit', 'object')),
    reason     text    not null,
    detail     text    not null,
    person     text    not null,
    sats       bigint not null check (sats between 0 and 2100000000000000),
    counted_in bigint,        -- of a forfeit: the epoch whose statement gives the sats back to the pot
    decided_at bigint not null,
    check ((kind = 'forfeit') = (counted_in is not null)),
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    constraint line_decisions_grant_id_epoch_operator_number_key primary key (grant_id, epoch, operator, number)
);

create table approvals (
    grant_id    text    not null,
    epoch       bigint not null,
    person      text    not null,
    approved_at bigint not null,
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    constraint approvals_grant_id_epoch_person_key primary key (grant_id, epoch, person)
);

-- Corrections of earlier epochs; `statement_epoch` is the statement that has taken one up.
create table adjustments (
    grant_id        text    not null references grants (grant_id),
    number          bigint not null check (number >= 1),
    operator        text    not null references operators (operator),
    sats            bigint not null check (sats <> 0 and sats between -2100000000000000 and 2100000000000000),
    reason          text    not null,
    epoch           bigint not null check (epoch >= 1),
    person          text    not null,
    asked_at        bigint not null,
    statement_epoch bigint check (statement_epoch > epoch),
    constraint adjustments_grant_id_number_key primary key (grant_id, number),
    constraint adjustments_grant_id_operator_sats_reason_epoch_key unique (grant_id, operator, sats, reason, epoch)
);

-- What the newest statement that names a node says of it, so that closing an epoch need not read all earlier ones.
create table node_standings (
    grant_id          text    not null references grants (grant_id),
    node              text    not null references nodes (node),
    epoch             bigint not null check (epoch >= 1),
    sequence          bigint not null check (sequence >= 0),    -- from here on its bytes are counted
    label             bigint not null check (label >= 0),       -- the epoch of that report; 0 for none
    label_peers       bigint not null check (label_peers >= 0), -- people counted for that epoch, while they are withheld
    carried           bigint not null check (carried >= 0),
    peers             bigint not null check (peers >= 0),       -- people behind what is withheld; 0 where nothing is
    withheld          boolean not null,
    eligible_assigned bigint not null check (eligible_assigned >= 0),   -- summed over all statements of the grant
    constraint node_standings_grant_id_node_key primary key (grant_id, node)
);

create index node_standings_by_node on node_standings (node);

-- The double-entry ledger of sats: each row takes sats from one account of a grant and gives them to another, so that all
-- accounts of a grant sum to nothing at any time. An operator's account names them; a grant's own has ''.
create table ledger_transfers (
    number        bigint not null check (number >= 1),
    grant_id      text    not null references grants (grant_id),
    kind          text    not null,
    epoch         bigint,
    batch         text    references batches (batch),
    from_account  text    not null check (from_account in ('funder', 'contributed', 'allotted', 'earned', 'brought', 'payable',
                                                           'reserved', 'paid', 'unspent')),
    from_operator text    not null,
    to_account    text    not null check (to_account in ('funder', 'contributed', 'allotted', 'earned', 'brought', 'payable',
                                                         'reserved', 'paid', 'unspent')),
    to_operator   text    not null,
    sats          bigint not null check (sats between 1 and 2100000000000000),
    entered_at    bigint not null,
    check (from_account <> to_account),
    check ((from_account in ('funder', 'contributed', 'allotted', 'unspent')) = (from_operator = '')),
    check ((to_account in ('funder', 'contributed', 'allotted', 'unspent')) = (to_operator = '')),
    constraint ledger_transfers_number_key primary key (number)
);

create index ledger_transfers_by_grant on ledger_transfers (grant_id, epoch);

-- What each account has now, and all it was ever given. Kept by the trigger below, in the transaction of the transfer. No account
-- but the funder's is ever overdrawn.
create table ledger_balances (
    grant_id text    not null references grants (grant_id),
    account  text    not null,
    operator text    not null,
    sats     bigint not null check (sats >= 0 or account = 'funder'),
    given    bigint not null check (given >= 0),
    constraint ledger_balances_grant_id_account_operator_key primary key (grant_id, account, operator)
);

create index ledger_balances_by_operator on ledger_balances (operator, grant_id);

create function ledger_move() returns trigger language plpgsql as $$
begin
    insert into ledger_balances (grant_id, account, operator, sats, given)
    values (new.grant_id, new.from_account, new.from_operator, 0, 0),
           (new.grant_id, new.to_account, new.to_operator, 0, 0)
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
    return null;
end
$$;

create trigger ledger_transfers_move after insert on ledger_transfers
for each row execute function ledger_move();

create trigger grant_terms_append_only before update or delete or truncate on grant_terms
for each statement execute function refuse_change();
create trigger findings_append_only before update or delete or truncate on findings
for each statement execute function refuse_change();
create trigger line_decisions_append_only before update or delete or truncate on line_decisions
for each statement execute function refuse_change();
create trigger approvals_append_only before update or delete or truncate on approvals
for each statement execute function refuse_change();
create trigger adjustments_no_delete before delete or truncate on adjustments
for each statement execute function refuse_change();
create trigger ledger_transfers_append_only before update or delete or truncate on ledger_transfers
for each statement execute function refuse_change();
create trigger ledger_balances_no_delete before delete or truncate on ledger_balances
for each statement execute function refuse_change();
