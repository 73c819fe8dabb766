-- Destinations that are more than an address, and what follows from them at freeze, for PostgreSQL. The same tables, columns
-- and keys as migrations/sqlite.

-- A signature by the address itself (BIP 322); null where none was given.
alter table destinations add column ownership text;

-- Every index of a descriptor that was ever used, also by batches that became void: none is used twice. A descriptor is
-- known by its first address, however it is written, and whoever names it. `operator` is empty for the funder's change;
-- `record_size` is the record's when the batch was frozen.
create table derived_addresses (
    first_address    text   not null,
    derivation_index bigint not null check (derivation_index between 0 and 2147483647),
    batch            text   not null references batches (batch),
    operator         text   not null,
    record_size      bigint not null check (record_size >= 0),
    constraint derived_addresses_first_address_derivation_index_key primary key (first_address, derivation_index),
    constraint derived_addresses_batch_first_address_operator_key unique (batch, first_address, operator)
);

-- The DNSSEC proof by which a name had the address that a batch pays, base64.
create table name_proofs (
    batch                text   not null references batches (batch),
    operator             text   not null,
    destination_sequence bigint not null,
    proof                text   not null,
    looked_up_at         bigint not null,
    foreign key (operator, destination_sequence) references destinations (operator, sequence),
    constraint name_proofs_batch_operator_destination_sequence_key
        primary key (batch, operator, destination_sequence)
);

-- A batch that is asked for and not frozen yet: it holds no line.
create table draft_batches (
    batch      text   not null,
    grant_id   text   not null references grants (grant_id),
    asked      text   not null,        -- JSON, as asked for
    created_at bigint not null,
    constraint draft_batches_batch_key primary key (batch)
);

-- When its unsigned transaction, or a list to pay, left the control plane; and which batch stands in for it.
alter table batch_decisions add column exported_at bigint;
alter table batch_decisions add column replaced_by text references batches (batch);

-- Those of before had left as they were made.
insert into batch_decisions (batch, exported_at)
select batch, created_at
  from batches
    on conflict (batch) do update
       set exported_at = excluded.exported_at;

create trigger derived_addresses_append_only before update or delete or truncate on derived_addresses
for each statement execute function refuse_change();
create trigger name_proofs_append_only before update or delete or truncate on name_proofs
for each statement execute function refuse_change();
