-- What the chain shows of batches, for PostgreSQL. The same tables, columns and keys as migrations/sqlite.

-- A line may stand in several batches, of which all but one are void; `reserved_lines` says which one holds it now.
alter table batch_lines drop constraint batch_lines_operator_grant_id_epoch_key;
alter table batch_lines
  add constraint batch_lines_batch_operator_grant_id_epoch_key primary key (batch, operator, grant_id, epoch);
drop index batch_lines_by_batch;

-- No line is held by two batches. A row goes when its batch is void.
create table reserved_lines (
    operator text   not null,
    grant_id text   not null,
    epoch    bigint not null,
    batch    text   not null references batches (batch),
    constraint reserved_lines_operator_grant_id_epoch_key primary key (operator, grant_id, epoch)
);

insert into reserved_lines (operator, grant_id, epoch, batch)
select operator, grant_id, epoch, batch
  from batch_lines;

create index reserved_lines_by_batch on reserved_lines (batch);

-- What was decided about a batch, by people or because the chain left no other way. A batch is paid or void, never both.
create table batch_decisions (
    batch           text   not null references batches (batch),
    verified_at     bigint,
    cancel_asked_at bigint,
    cancel_reason   text,
    void_at         bigint,
    void_reason     text,
    paid_at         bigint,
    paid_txid       text   check (length(paid_txid) = 64),
    closed_at       bigint,        -- paid so deep that it is no longer looked at
    check (void_at is null or paid_at is null),
    check (closed_at is null or paid_at is not null),
    check ((cancel_asked_at is null) = (cancel_reason is null)),
    check ((void_at is null) = (void_reason is null)),
    check ((paid_at is null) = (paid_txid is null)),
    constraint batch_decisions_batch_key primary key (batch)
);

-- What the funder says pays a batch: a transaction's id, a transaction, a PSBT.
create table declarations (
    batch        text   not null references batches (batch),
    content_hash bytea  not null check (length(content_hash) = 32),
    kind         text   not null check (kind in ('txid', 'transaction', 'psbt')),
    content      text   not null,
    declared_at  bigint not null,
    constraint declarations_batch_content_hash_key primary key (batch, content_hash)
);

-- Transactions that have to do with a batch, each once, and where each is now: in a block, waiting, or gone.
create table sightings (
    txid        text    not null check (length(txid) = 64),
    tx          text    not null,        -- hexadecimal
    batch       text    references batches (batch),
    height      bigint  check (height >= 0),
    block_hash  text    check (length(block_hash) = 64),
    block_index bigint  check (block_index >= 0),
    waiting     boolean not null,
    seen_at     bigint  not null,
    check ((height is null) = (block_hash is null)),
    check ((height is null) = (block_index is null)),
    check (height is null or not waiting),
    constraint sightings_txid_key primary key (txid)
);

create index sightings_by_batch on sightings (batch);

-- The newest blocks of the chain that was followed.
create table followed_blocks (
    height      bigint not null check (height >= 0),
    hash        text   not null check (length(hash) = 64),
    previous    text   not null check (length(previous) = 64),
    header_time bigint not null,
    constraint followed_blocks_height_key primary key (height)
);

create trigger declarations_append_only before update or delete or truncate on declarations
for each statement execute function refuse_change();
create trigger batch_decisions_no_delete before delete or truncate on batch_decisions
for each statement execute function refuse_change();
