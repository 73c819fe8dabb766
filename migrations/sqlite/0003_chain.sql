-- What the chain shows of batches, for SQLite. The same tables, columns and keys as migrations/postgres.

-- A line may stand in several batches, of which all but one are void; `reserved_lines` says which one holds it now.
create table lines_of_batches (
    batch                text    not null references batches (batch),
    operator             text    not null references operators (operator),
    grant_id             text    not null references grants (grant_id),
    epoch                integer not null check (epoch >= 1),
    sats                 integer not null check (sats between 1 and 2100000000000000),
    address              text    not null,
    destination_sequence integer not null,
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    foreign key (operator, destination_sequence) references destinations (operator, sequence),
    primary key (batch, operator, grant_id, epoch)
) strict, without rowid;

insert into lines_of_batches (batch, operator, grant_id, epoch, sats, address, destination_sequence)
select batch, operator, grant_id, epoch, sats, address, destination_sequence
  from batch_lines;

drop table batch_lines;
alter table lines_of_batches rename to batch_lines;
create index batch_lines_by_grant on batch_lines (grant_id, epoch);

create trigger batch_lines_no_update before update on batch_lines
begin select raise(abort, 'batch_lines is append-only'); end;
create trigger batch_lines_no_delete before delete on batch_lines
begin select raise(abort, 'batch_lines is append-only'); end;

-- No line is held by two batches. A row goes when its batch is void.
create table reserved_lines (
    operator text    not null,
    grant_id text    not null,
    epoch    integer not null,
    batch    text    not null references batches (batch),
    primary key (operator, grant_id, epoch)
) strict, without rowid;

insert into reserved_lines (operator, grant_id, epoch, batch)
select operator, grant_id, epoch, batch
  from batch_lines;

create index reserved_lines_by_batch on reserved_lines (batch);

-- What was decided about a batch, by people or because the chain left no other way. A batch is paid or void, never both.
create table batch_decisions (
    batch           text    not null references batches (batch),
    verified_at     integer,
    cancel_asked_at integer,
    cancel_reason   text,
    void_at         integer,
    void_reason     text,
    paid_at         integer,
    paid_txid       text    check (length(paid_txid) = 64),
    closed_at       integer,        -- paid so deep that it is no longer looked at
    check (void_at is null or paid_at is null),
    check (closed_at is null or paid_at is not null),
    check ((cancel_asked_at is null) = (cancel_reason is null)),
    check ((void_at is null) = (void_reason is null)),
    check ((paid_at is null) = (paid_txid is null)),
    primary key (batch)
) strict, without rowid;

-- What the funder says pays a batch: a transaction's id, a transaction, a PSBT.
create table declarations (
    batch        text    not null references batches (batch),
    content_hash blob    not null check (length(content_hash) = 32),
    kind         text    not null check (kind in ('txid', 'transaction', 'psbt')),
    content      text    not null,
    declared_at  integer not null,
    primary key (batch, content_hash)
) strict;

-- Transactions that have to do with a batch, each once, and where each is now: in a block, waiting, or gone.
create table sightings (
    txid        text    not null check (length(txid) = 64),
    tx          text    not null,        -- hexadecimal
    batch       text    references batches (batch),
    height      integer check (height >= 0),
    block_hash  text    check (length(block_hash) = 64),
    block_index integer check (block_index >= 0),
    waiting     integer not null check (waiting in (0, 1)),
    seen_at     integer not null,
    check ((height is null) = (block_hash is null)),
    check ((height is null) = (block_index is null)),
    check (height is null or waiting = 0),
    primary key (txid)
) strict;

create index sightings_by_batch on sightings (batch);

-- The newest blocks of the chain that was followed.
create table followed_blocks (
    height      integer not null check (height >= 0),
    hash        text    not null check (length(hash) = 64),
    previous    text    not null check (length(previous) = 64),
    header_time integer not null,
    primary key (height)
) strict;

create trigger declarations_no_update before update on declarations
begin select raise(abort, 'declarations is append-only'); end;
create trigger declarations_no_delete before delete on declarations
begin select raise(abort, 'declarations is append-only'); end;
create trigger batch_decisions_no_delete before delete on batch_decisions
begin select raise(abort, 'batch_decisions: what was decided stays'); end;
