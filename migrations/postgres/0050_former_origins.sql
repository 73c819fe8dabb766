-- Origins that a lost tail has ended, and what their logs were: kept when the control plane goes on under another one.

create table former_origins (
    number       bigint not null check (number >= 1),
    origin       text   not null,
    record_size  bigint not null check (record_size >= 0),
    reports_size bigint not null check (reports_size >= 0),
    ended_at     bigint not null,
    constraint former_origins_number_key primary key (number),
    constraint former_origins_origin_key unique (origin)
);

-- Their records as this database had them. The reports log is gone on with, so that its entries stay where they are.
create table former_entries (
    origin text   not null references former_origins (origin),
    idx    bigint not null check (idx >= 0),
    entry  text   not null,
    constraint former_entries_origin_idx_key primary key (origin, idx)
);

-- What was signed over either log under their names.
create table former_checkpoints (
    origin text   not null references former_origins (origin),
    log    text   not null check (log in ('record', 'reports')),
    size   bigint not null check (size >= 0),
    note   text   not null,
    constraint former_checkpoints_origin_log_size_key primary key (origin, log, size)
);

create trigger former_origins_append_only before update or delete or truncate on former_origins
for each statement execute function refuse_change();
create trigger former_entries_append_only before update or delete or truncate on former_entries
for each statement execute function refuse_change();
create trigger former_checkpoints_append_only before update or delete or truncate on former_checkpoints
for each statement execute function refuse_change();

-- A log loses only what the history of its last origin has, word for word; the hashes above entries go after them.
create function refuse_unless_former() returns trigger language plpgsql as $$
declare
    last_origin text := (select origin from former_origins order by number desc limit 1);
begin
    if tg_table_name = 'log_entries' then
        if old.log = 'record' and exists (
            select 1 from former_entries f
             where f.origin = last_origin and f.idx = old.idx and f.entry = old.entry) then
            return old;
        end if;
    elsif tg_table_name = 'log_subtrees' then
        if not exists (select 1 from log_entries e where e.log = old.log) then
            return old;
        end if;
    elsif exists (
        select 1 from former_checkpoints f
         where f.origin = last_origin and f.log = old.log and f.size = old.size and f.note = old.note) then
        return old;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'check_violation';
end
$$;

drop trigger log_entries_append_only on log_entries;
create trigger log_entries_append_only before update or truncate on log_entries
for each statement execute function refuse_change();
create trigger log_entries_no_delete before delete on log_entries
for each row execute function refuse_unless_former();
drop trigger log_subtrees_append_only on log_subtrees;
create trigger log_subtrees_append_only before update or truncate on log_subtrees
for each statement execute function refuse_change();
create trigger log_subtrees_no_delete before delete on log_subtrees
for each row execute function refuse_unless_former();
drop trigger checkpoints_append_only on checkpoints;
create trigger checkpoints_append_only before update or truncate on checkpoints
for each statement execute function refuse_change();
create trigger checkpoints_no_delete before delete on checkpoints
for each row execute function refuse_unless_former();
