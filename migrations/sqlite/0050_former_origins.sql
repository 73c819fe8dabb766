-- Origins that a lost tail has ended, and what their logs were: kept when the control plane goes on under another one.

create table former_origins (
    number       integer not null check (number >= 1),
    origin       text    not null,
    record_size  integer not null check (record_size >= 0),
    reports_size integer not null check (reports_size >= 0),
    ended_at     integer not null,
    primary key (number),
    unique (origin)
) strict;

-- Their records as this database had them. The reports log is gone on with, so that its entries stay where they are.
create table former_entries (
    origin text    not null references former_origins (origin),
    idx    integer not null check (idx >= 0),
    entry  text    not null,
    primary key (origin, idx)
) strict, without rowid;

-- What was signed over either log under their names.
create table former_checkpoints (
    origin text    not null references former_origins (origin),
    log    text    not null check (log in ('record', 'reports')),
    size   integer not null check (size >= 0),
    note   text    not null,
    primary key (origin, log, size)
) strict;

create trigger former_origins_no_update before update on former_origins
begin select raise(abort, 'former_origins is append-only'); end;
create trigger former_origins_no_delete before delete on former_origins
begin select raise(abort, 'former_origins is append-only'); end;
create trigger former_entries_no_update before update on former_entries
begin select raise(abort, 'former_entries is append-only'); end;
create trigger former_entries_no_delete before delete on former_entries
begin select raise(abort, 'former_entries is append-only'); end;
create trigger former_checkpoints_no_update before update on former_checkpoints
begin select raise(abort, 'former_checkpoints is append-only'); end;
create trigger former_checkpoints_no_delete before delete on former_checkpoints
begin select raise(abort, 'former_checkpoints is append-only'); end;

-- A log loses only what the history of its last origin has, word for word; the hashes above entries go after them.
drop trigger log_entries_no_delete;
create trigger log_entries_no_delete before delete on log_entries
when old.log <> 'record' or not exists (
    select 1
      from former_entries f
     where f.origin = (select origin from former_origins order by number desc limit 1)
       and f.idx = old.idx
       and f.entry = old.entry)
begin select raise(abort, 'log_entries is append-only'); end;
drop trigger log_subtrees_no_delete;
create trigger log_subtrees_no_delete before delete on log_subtrees
when exists (select 1 from log_entries e where e.log = old.log)
begin select raise(abort, 'log_subtrees is append-only'); end;
drop trigger checkpoints_no_delete;
create trigger checkpoints_no_delete before delete on checkpoints
when not exists (
    select 1
      from former_checkpoints f
     where f.origin = (select origin from former_origins order by number desc limit 1)
       and f.log = old.log
       and f.size = old.size
       and f.note = old.note)
begin select raise(abort, 'checkpoints is append-only'); end;
