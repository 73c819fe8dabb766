-- Destinations that are more than an address, and what follows from them at freeze, for SQLite. The same tables, columns
-- and keys as migrations/postgres.

-- A signature by the address itself (BIP 322); null where none was given.
alter table destinations add column ownership text;

-- Every index of a descriptor that was ever used, also by batches that became void: none is used twice. A descriptor is
-- known by its first address, however it is written, and whoever names it. `operator` is empty for the funder's change;
-- `record_size` is the record's when the batch was frozen.
create table derived_addresses (
    first_address    text    not null,
    derivation_index integer not null check (derivation_index between 0 and 2147483647),
    batch            text    not null references batches (batch),
    operator         text    not null,
    record_size      integer not null check (record_size >= 0),
    primary key (first_address, derivation_index),
    unique (batch, first_address, operator)
) strict, without rowid;

-- The DNSSEC proof by which a name had the address that a batch pays, base64.
create table name_proofs (
    batch                text    not null references batches (batch),
    operator             text    not null,
    destination_sequence integer not null,
    proof                text    not null,
    looked_up_at         integer not null,
    foreign key (operator, destination_sequence) references destinations (operator, sequence),
    primary key (batch, operator, destination_sequence)
) strict, without rowid;

-- A batch that is asked for and not frozen yet: it holds no line.
create table draft_batches (
    batch      text    not null,
    grant_id   text    not null references grants (grant_id),
    asked      text    not null,        -- JSON, as asked for
    created_at integer not null,
    primary key (batch)
) strict, without rowid;

-- When its unsigned transaction, or a list to pay, left the control plane; and which batch stands in for it.
alter table batch_decisions add column exported_at integer;
alter table batch_decisions add column replaced_by text references batches (batch);

-- Those of before had left as they were made.
insert into batch_decisions (batch, exported_at)
select batch, created_at
  from batches
 where true
    on conflict (batch) do update
       set exported_at = excluded.exported_at;

create trigger derived_addresses_no_update before update on derived_addresses
begin select raise(abort, 'derived_addresses is append-only'); end;
create trigger derived_addresses_no_delete before delete on derived_addresses
begin select raise(abort, 'derived_addresses is append-only'); end;
create trigger name_proofs_no_update before update on name_proofs
begin select raise(abort, 'name_proofs is append-only'); end;
create trigger name_proofs_no_delete before delete on name_proofs
begin select raise(abort, 'name_proofs is append-only'); end;
