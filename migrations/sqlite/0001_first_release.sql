-- The tables of the first release, for SQLite. Times are Unix seconds; sats lie between 0 and all there will ever be.
-- The same tables, columns and keys as migrations/postgres.

-- What a control plane is: `origin`, `network`. Opening it as another is refused by the control plane.
create table settings (
    name  text not null,
    value text not null,
    primary key (name)
) strict, without rowid;

create table operators (
    operator   text    not null,
    vkey       text,   -- null: the control plane signs their destinations
    created_at integer not null,
    primary key (operator)
) strict, without rowid;

create table destinations (
    operator           text    not null references operators (operator),
    sequence           integer not null check (sequence >= 1),
    note               text    not null,
    note_hash          blob    not null check (length(note_hash) = 32),
    pay                text    not null,
    signed_by_operator integer not null check (signed_by_operator in (0, 1)),
    created_at         integer not null,
    primary key (operator, sequence),
    unique (note_hash)
) strict;

create table distributors (
    distributor text    not null,
    created_at  integer not null,
    primary key (distributor)
) strict, without rowid;

-- Keyed hashes of bearer tokens; `subject` names the operator or distributor, and is empty for an administrator.
create table tokens (
    token_hash blob    not null check (length(token_hash) = 32),
    role       text    not null check (role in ('administrator', 'operator', 'distributor')),
    subject    text    not null check ((role = 'administrator') = (subject = '')),
    created_at integer not null,
    primary key (token_hash)
) strict, without rowid;

create table locations (
    location   text    not null,
    name       text    not null,
    created_at integer not null,
    primary key (location)
) strict, without rowid;

-- `number` gives the node its part of the address pools. No history of `last_seen` is kept: it would be a trace.
create table nodes (
    node                 text    not null,
    operator             text    not null references operators (operator),
    location             text    not null references locations (location),
    vkey                 text    not null,
    identity_key         blob    not null check (length(identity_key) = 32),
    wireguard_public_key blob    not null check (length(wireguard_public_key) = 32),
    endpoint             text    not null,
    number               integer not null check (number >= 0),
    state                text    not null check (state in ('active', 'frozen', 'retired')),
    revision             integer not null check (revision >= 1),
    agent                text    not null,
    backend              text    not null,
    enrolled_at          integer not null,
    last_seen            integer,
    primary key (node),
    unique (identity_key),
    unique (wireguard_public_key),
    unique (number)
) strict;

create index nodes_by_operator on nodes (operator);
create index nodes_by_location on nodes (location);

create table invitations (
    secret_hash blob    not null check (length(secret_hash) = 32),
    operator    text    not null references operators (operator),
    location    text    not null references locations (location),
    expires     integer not null,
    node        text    references nodes (node),
    primary key (secret_hash)
) strict, without rowid;

-- Keyed hashes of access codes; the number is how everyone else refers to one.
create table access_codes (
    number      integer not null check (number >= 1),
    code_hash   blob    not null check (length(code_hash) = 32),
    class       text    not null check (class in ('assigned', 'invited')),
    issuer      text    not null,           -- a distributor (assigned) or an operator (invited)
    devices     integer not null check (devices >= 1),
    quota_bytes integer not null check (quota_bytes >= 0),
    expires     integer not null,
    created_at  integer not null,
    primary key (number),
    unique (code_hash)
) strict;

create index access_codes_by_issuer on access_codes (class, issuer, number);

-- A removed device keeps its row, because what was placed on a node bounds its credit. It gives up its host number
-- only when no unused one is left.
create table devices (
    public_key  blob    not null check (length(public_key) = 32),
    code_number integer not null references access_codes (number),
    node        text    not null references nodes (node),
    host_number integer check (host_number >= 0),
    class       text    not null check (class in ('assigned', 'invited')),
    allotment   integer not null check (allotment >= 0),
    expires     integer not null,
    placed_at   integer not null,
    removed_at  integer,
    check (host_number is not null or removed_at is not null),
    primary key (public_key),
    unique (node, host_number)
) strict;

create index devices_by_code on devices (code_number);
create index devices_by_node on devices (node, placed_at);

create table grants (
    grant_id   text    not null,
    title      text    not null,
    terms_note text    not null,
    terms_hash blob    not null check (length(terms_hash) = 32),
    created_at integer not null,
    primary key (grant_id)
) strict;

create table contributions (
    id             integer not null,
    grant_id       text    not null references grants (grant_id),
    sats           integer not null check (sats between 0 and 2100000000000000),
    contributed_at integer not null,
    primary key (id)
) strict;

create index contributions_by_grant on contributions (grant_id, contributed_at);

create table memberships (
    grant_id    text    not null references grants (grant_id),
    node        text    not null references nodes (node),
    first_epoch integer not null check (first_epoch >= 1),
    end_epoch   integer check (end_epoch >= first_epoch),
    admitted_at integer not null,
    primary key (grant_id, node, first_epoch)
) strict, without rowid;

-- A node is in one grant at a time.
create unique index memberships_node_key on memberships (node) where end_epoch is null;

create table reports (
    node         text    not null references nodes (node),
    sequence     integer not null check (sequence >= 1),
    note         text    not null,
    note_hash    blob    not null check (length(note_hash) = 32),
    log_index    integer not null check (log_index >= 0),
    acked_size   integer not null check (acked_size > log_index),
    epoch_grant  text,
    epoch_number integer check (epoch_number >= 1),
    start_at     integer not null,
    end_at       integer not null check (end_at >= start_at),
    received_at  integer not null,
    check ((epoch_grant is null) = (epoch_number is null)),
    primary key (node, sequence),
    unique (note_hash),
    unique (log_index)
) strict;

create index reports_by_epoch on reports (node, epoch_grant, epoch_number, sequence);

-- Other texts under a used sequence number.
create table evidence (
    node        text    not null references nodes (node),
    sequence    integer not null check (sequence >= 1),
    note        text    not null,
    note_hash   blob    not null check (length(note_hash) = 32),
    received_at integer not null,
    primary key (node, note_hash)
) strict;

-- The heads of the two public logs. Whoever writes anything holds these rows first, so that writers queue.
create table log_heads (
    log  text    not null check (log in ('record', 'reports')),
    size integer not null check (size >= 0),
    root blob    not null check (length(root) = 32),
    primary key (log)
) strict, without rowid;

-- The root of the tree without leaves is SHA-256 of nothing (RFC 9162, 2.1.1).
insert into log_heads (log, size, root)
values ('record',  0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
       ('reports', 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

create table log_entries (
    log   text    not null references log_heads (log),
    idx   integer not null check (idx >= 0),
    entry text    not null check (length(entry) between 1 and 1000),
    primary key (log, idx)
) strict, without rowid;

-- Roots of the complete subtrees of 256^level leaves: the hashes of the tiles of that level.
create table log_subtrees (
    log   text    not null references log_heads (log),
    level integer not null check (level between 1 and 7),
    idx   integer not null check (idx >= 0),
    hash  blob    not null check (length(hash) = 32),
    primary key (log, level, idx)
) strict, without rowid;

create table checkpoints (
    log  text    not null references log_heads (log),
    size integer not null check (size >= 0),
    note text    not null,
    primary key (log, size)
) strict;

-- Notes that lie under /log/note/ for everyone.
create table public_notes (
    hash blob not null check (length(hash) = 32),
    note text not null,
    primary key (hash)
) strict;

create table statements (
    grant_id    text    not null references grants (grant_id),
    epoch       integer not null check (epoch >= 1),
    note        text    not null,
    note_hash   blob    not null check (length(note_hash) = 32),
    inputs_note text    not null,
    closed_at   integer not null,
    primary key (grant_id, epoch),
    unique (note_hash)
) strict;

create table batches (
    batch          text    not null,
    grant_id       text    not null references grants (grant_id),
    note           text    not null,
    note_hash      blob    not null check (length(note_hash) = 32),
    psbt           text    not null,
    coins          text    not null,        -- JSON, as asked for
    change_address text    not null,
    fee_rate       integer not null check (fee_rate between 1 and 1000),
    fee            integer not null check (fee between 0 and 2100000000000000),
    change_sats    integer check (change_sats between 0 and 2100000000000000),
    left_out       text    not null,        -- JSON, a list of reasons
    created_at     integer not null,
    primary key (batch),
    unique (note_hash)
) strict;

-- No line is in two batches.
create table batch_lines (
    batch                text    not null references batches (batch),
    operator             text    not null references operators (operator),
    grant_id             text    not null references grants (grant_id),
    epoch                integer not null check (epoch >= 1),
    sats                 integer not null check (sats between 1 and 2100000000000000),
    address              text    not null,
    destination_sequence integer not null,
    foreign key (grant_id, epoch) references statements (grant_id, epoch),
    foreign key (operator, destination_sequence) references destinations (operator, sequence),
    primary key (operator, grant_id, epoch)
) strict, without rowid;

create index batch_lines_by_batch on batch_lines (batch);
create index batch_lines_by_grant on batch_lines (grant_id, epoch);

-- What was signed, logged or acknowledged is never changed and never deleted.
create trigger destinations_no_update before update on destinations
begin select raise(abort, 'destinations is append-only'); end;
create trigger destinations_no_delete before delete on destinations
begin select raise(abort, 'destinations is append-only'); end;
create trigger contributions_no_update before update on contributions
begin select raise(abort, 'contributions is append-only'); end;
create trigger contributions_no_delete before delete on contributions
begin select raise(abort, 'contributions is append-only'); end;
create trigger reports_no_update before update on reports
begin select raise(abort, 'reports is append-only'); end;
create trigger reports_no_delete before delete on reports
begin select raise(abort, 'reports is append-only'); end;
create trigger evidence_no_update before update on evidence
begin select raise(abort, 'evidence is append-only'); end;
create trigger evidence_no_delete before delete on evidence
begin select raise(abort, 'evidence is append-only'); end;
create trigger log_entries_no_update before update on log_entries
begin select raise(abort, 'log_entries is append-only'); end;
create trigger log_entries_no_delete before delete on log_entries
begin select raise(abort, 'log_entries is append-only'); end;
create trigger log_subtrees_no_update before update on log_subtrees
begin select raise(abort, 'log_subtrees is append-only'); end;
create trigger log_subtrees_no_delete before delete on log_subtrees
begin select raise(abort, 'log_subtrees is append-only'); end;
create trigger checkpoints_no_update before update on checkpoints
begin select raise(abort, 'checkpoints is append-only'); end;
create trigger checkpoints_no_delete before delete on checkpoints
begin select raise(abort, 'checkpoints is append-only'); end;
create trigger public_notes_no_update before update on public_notes
begin select raise(abort, 'public_notes is append-only'); end;
create trigger public_notes_no_delete before delete on public_notes
begin select raise(abort, 'public_notes is append-only'); end;
create trigger statements_no_update before update on statements
begin select raise(abort, 'statements is append-only'); end;
create trigger statements_no_delete before delete on statements
begin select raise(abort, 'statements is append-only'); end;
create trigger batches_no_update before update on batches
begin select raise(abort, 'batches is append-only'); end;
create trigger batches_no_delete before delete on batches
begin select raise(abort, 'batches is append-only'); end;
create trigger batch_lines_no_update before update on batch_lines
begin select raise(abort, 'batch_lines is append-only'); end;
create trigger batch_lines_no_delete before delete on batch_lines
begin select raise(abort, 'batch_lines is append-only'); end;
