-- The tables of the first release, for PostgreSQL. Times are Unix seconds; sats lie between 0 and all there will ever be.
-- The same tables, columns and keys as migrations/sqlite. Keys are named <table>_<columns>_key, primary ones too: the
-- store reads table and columns from that name when one is violated.

-- What a control plane is: `origin`, `network`. Opening it as another is refused by the control plane.
create table settings (
    name  text not null,
    value text not null,
    constraint settings_name_key primary key (name)
);

create table operators (
    operator   text   not null,
    vkey       text,  -- null: the control plane signs their destinations
    created_at bigint not null,
    constraint operators_operator_key primary key (operator)
);

create table destinations (
    operator           text    not null references operators (operator),
    sequence           bigint  not null check (sequence >= 1),
    note               text    not null,
    note_hash          bytea   not null check (length(note_hash) = 32),
    pay                text    not null,
    signed_by_operator boolean not null,
    created_at         bigint  not null,
    constraint destinations_operator_sequence_key primary key (operator, sequence),
    constraint destinations_note_hash_key unique (note_hash)
);

create table distributors (
    distributor text   not null,
    created_at  bigint not null,
    constraint distributors_distributor_key primary key (distributor)
);

-- Keyed hashes of bearer tokens; `subject` names the operator or distributor, and is empty for an administrator.
create table tokens (
    token_hash bytea  not null check (length(token_hash) = 32),
    role       text   not null check (role in ('administrator', 'operator', 'distributor')),
    subject    text   not null check ((role = 'administrator') = (subject = '')),
    created_at bigint not null,
    constraint tokens_token_hash_key primary key (token_hash)
);

create table locations (
    location   text   not null,
    name       text   not null,
    created_at bigint not null,
    constraint locations_location_key primary key (location)
);

-- `number` gives the node its part of the address pools. No history of `last_seen` is kept: it would be a trace.
create table nodes (
    node                 text   not null,
    operator             text   not null references operators (operator),
    location             text   not null references locations (location),
    vkey                 text   not null,
    identity_key         bytea  not null check (length(identity_key) = 32),
    wireguard_public_key bytea  not null check (length(wireguard_public_key) = 32),
    endpoint             text   not null,
    number               bigint not null check (number >= 0),
    state                text   not null check (state in ('active', 'frozen', 'retired')),
    revision             bigint not null check (revision >= 1),
    agent                text   not null,
    backend              text   not null,
    enrolled_at          bigint not null,
    last_seen            bigint,
    constraint nodes_node_key primary key (node),
    constraint nodes_identity_key_key unique (identity_key),
    constraint nodes_wireguard_public_key_key unique (wireguard_public_key),
    constraint nodes_number_key unique (number)
);

create index nodes_by_operator on nodes (operator);
create index nodes_by_location on nodes (location);

create table invitations (
    secret_hash bytea  not null check (length(secret_hash) = 32),
    operator    text   not null references operators (operator),
    location    text   not null references locations (location),
    expires     bigint not null,
    node        text   references nodes (node),
    constraint invitations_secret_hash_key primary key (secret_hash)
);

-- Keyed hashes of access codes; the number is how everyone else refers to one.
create table access_codes (
    number      bigint not null check (number >= 1),
    code_hash   bytea  not null check (length(code_hash) = 32),
    class       text   not null check (class in ('assigned', 'invited')),
    issuer      text   not null,           -- a distributor (assigned) or an operator (invited)
    devices     bigint not null check (devices >= 1),
    quota_bytes bigint not null check (quota_bytes >= 0),
    expires     bigint not null,
    created_at  bigint not null,
    constraint access_codes_number_key primary key (number),
    constraint access_codes_code_hash_key unique (code_hash)
);

create index access_codes_by_issuer on access_codes (class, issuer, number);

-- A removed device keeps its row, because what was placed on a node bounds its credit. It gives up its host number
-- only when no unused one is left.
create table devices (
    public_key  bytea  not null check (length(public_key) = 32),
    code_number bigint not null references access_codes (number),
    node        text   not null references nodes (node),
    host_number bigint check (host_number >= 0),
    class       text   not null check (class in ('assigned', 'invited')),
    allotment   bigint not null check (allotment >= 0),
    expires     bigint not null,
    placed_at   bigint not null,
    removed_at  bigint,
    check (host_number is not null or removed_at is not null),
    constraint devices_public_key_key primary key (public_key),
    constraint devices_node_host_number_key unique (node, host_number)
);

create index devices_by_code on devices (code_number);
create index devices_by_node on devices (node, placed_at);

create table grants (
    grant_id   text   not null,
    title      text   not null,
    terms_note text   not null,
    terms_hash bytea  not null check (length(terms_hash) = 32),
    created_at bigint not null,
    constraint grants_grant_id_key primary key (grant_id)
);

create table contributions (
    id             bigint not null,
    grant_id       text   not null references grants (grant_id),
    sats           bigint not null check (sats between 0 and 2100000000000000),
    contributed_at bigint not null,
    constraint contributions_id_key primary key (id)
);

create index contributions_by_grant on contributions (grant_id, contributed_at);

create table memberships (
    grant_id    text   not null references grants (grant_id),
    node        text   not null references nodes (node),
    first_epoch bigint not null check (first_epoch >= 1),
    end_epoch   bigint check (end_epoch >= first_epoch),
    admitted_at bigint not null,
    constraint memberships_grant_id_node_first_epoch_key primary key (grant_id, node, first_epoch)
);

-- A node is in one grant at a time.
create unique index memberships_node_key on memberships (node) where end_epoch is null;

create table reports (
    node         text   not null references nodes (node),
    sequence     bigint not null check (sequence >= 1),
    note         text   not null,
    note_hash    bytea  not null check (length(note_hash) = 32),
    log_index    bigint not null check (log_index >= 0),
    acked_size   bigint not null check (acked_size > log_index),
    epoch_grant  text,
    epoch_number bigint check (epoch_number >= 1),
    start_at     bigint not null,
    end_at       bigint not null check (end_at >= start_at),
    received_at  bigint not null,
    check ((epoch_grant is null) = (epoch_number is null)),
    constraint reports_node_sequence_key primary key (node, sequence),
    constraint reports_note_hash_key unique (note_hash),
    constraint reports_log_index_key unique (log_index)
);

create index reports_by_epoch on reports (node, epoch_grant, epoch_number, sequence);

-- Other texts under a used sequence number.
create table evidence (
    node        text   not null references nodes (node),
    sequence    bigint not null check (sequence >= 1),
    note        text   not null,
    note_hash   bytea  not null check (length(note_hash) = 32),
    received_at bigint not null,
    constraint evidence_node_note_hash_key primary key (node, note_hash)
);

-- The heads of the two public logs. Whoever writes anything holds these rows first, so that writers queue.
create table log_heads (
    log  text   not null check (log in ('record', 'reports')),
    size bigint not null check (size >= 0),
    root bytea  not null check (length(root) = 32),
    constraint log_heads_log_key primary key (log)
);

-- The root of the tree without leaves is SHA-256 of nothing (RFC 9162, 2.1.1).
insert into log_heads (log, size, root)
values ('record',  0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
       ('reports', 0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

create table log_entries (
    log   text   not null references log_heads (log),
    idx   bigint not null check (idx >= 0),
    entry text   not null check (length(entry) between 1 and 1000),
    constraint log_entries_log_idx_key primary key (log, idx)
);

-- Roots of the complete subtrees of 256^level leaves: the hashes of the tiles of that level.
create table log_subtrees (
    log   text   not null references log_heads (log),
    level bigint not null check (level between 1 and 7),
    idx   bigint not null check (idx >= 0),
    hash  bytea  not null check (length(hash) = 32),
    constraint log_subtrees_log_level_idx_key primary key (log, level, idx)
);

create table checkpoints (
    log  text   not null references log_heads (log),
    size bigint not null check (size >= 0),
    note text   not null,
    constraint checkpoints_log_size_key primary key (log, size)
);

-- Notes that lie under /log/note/ for everyone.
create table public_notes (
    hash bytea not null check (length(hash) = 32),
    note text  not null,
    constraint public_notes_hash_key primary key (hash)
);

create table statements (
    grant_id    text   not null references grants (grant_id),
    epoch       bigint not null check (epoch >= 1),
    note        text   not null,
    note_hash   bytea  not null check (length(note_hash) = 32),
    inputs_note text   not null,
    closed_at   bigint not null,
    constraint statements_grant_id_epoch_key primary key (grant_id, epoch),
    constraint statements_note_hash_key unique (note_hash)
);

create table batches (
    batch          text   not null,
    grant_id       text   not null references grants (grant_id),
    note           text   not null,
    note_hash      bytea  not null check (length(note_hash) = 32),
    psbt           text   not null,
    coins          text   not null,        -- JSON, as asked for
    change_address text   not null,
    fee_rate       bigint not null check (fee_rate between 1 and 1000),
    fee            bigint not null check (fee between 0 and 2100000000000000),
    change_sats    bigint check (change_sats between 0 and 2100000000000000),
    left_out       text   not null,        -- JSON, a list of reasons
    created_at     bigint not null,
    constraint batches_batch_key primary key (batch),
    constraint batches_note_hash_key unique (note_hash)
);

-- No line is in two batches.
create table batch_lines (
    batch                text   not null references batches (batch),
    operator             text   not null references operators (operator),
    grant_id             text   not null references grants (grant_id),
    epoch                bigint not null check (epoch >= 1),
    sats                 bigint not null check (sats between 1 and 2100000000000000),
    address              text   not null,
    destination_sequence bigint not null,
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    foreign key (operator, destination_sequence) references destinations (operator, sequence),
    constraint batch_lines_operator_grant_id_epoch_key primary key (operator, grant_id, epoch)
);

create index batch_lines_by_batch on batch_lines (batch);
create index batch_lines_by_grant on batch_lines (grant_id, epoch);

-- What was signed, logged or acknowledged is never changed and never deleted.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'check_violation';
end
$$;

create trigger destinations_append_only before update or delete or truncate on destinations
for each statement execute function refuse_change();
create trigger contributions_append_only before update or delete or truncate on contributions
for each statement execute function refuse_change();
create trigger reports_append_only before update or delete or truncate on reports
for each statement execute function refuse_change();
create trigger evidence_append_only before update or delete or truncate on evidence
for each statement execute function refuse_change();
create trigger log_entries_append_only before update or delete or truncate on log_entries
for each statement execute function refuse_change();
create trigger log_subtrees_append_only before update or delete or truncate on log_subtrees
for each statement execute function refuse_change();
create trigger checkpoints_append_only before update or delete or truncate on checkpoints
for each statement execute function refuse_change();
create trigger public_notes_append_only before update or delete or truncate on public_notes
for each statement execute function refuse_change();
create trigger statements_append_only before update or delete or truncate on statements
for each statement execute function refuse_change();
create trigger batches_append_only before update or delete or truncate on batches
for each statement execute function refuse_change();
create trigger batch_lines_append_only before update or delete or truncate on batch_lines
for each statement execute function refuse_change();
