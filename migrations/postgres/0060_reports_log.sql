-- An entry of the reports log says the hash of a report and nothing else, so that it is kept once: by the report itself, or by what
-- waits for it. Entries of their own are those of the record.

-- None may be lost by that. Where one has neither, this fails, and the database stays as it was.
do $$
begin
    if exists (
        select 1
          from log_entries e
         where e.log = 'reports'
           and not exists (select 1 from reports r where r.log_index = e.idx)
           and not exists (select 1 from awaited_reports a where a.log_index = e.idx)) then
        raise exception 'entries of the reports log without a report' using errcode = 'check_violation';
    end if;
end
$$;

create table record_entries (
    idx   bigint not null check (idx >= 0),
    entry text   not null check (length(entry) between 1 and 1000),
    constraint record_entries_idx_key primary key (idx)
);
insert into record_entries (idx, entry)
select idx, entry
  from log_entries
 where log = 'record';

drop table log_entries;

create or replace function refuse_unless_former() returns trigger language plpgsql as $$
declare
    last_origin text := (select origin from former_origins order by number desc limit 1);
begin
    if tg_table_name = 'record_entries' then
        if exists (
            select 1 from former_entries f
             where f.origin = last_origin and f.idx = old.idx and f.entry = old.entry) then
            return old;
        end if;
    elsif tg_table_name = 'log_subtrees' then
        if old.log = 'record' and not exists (select 1 from record_entries) then
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
create trigger record_entries_append_only before update or truncate on record_entries
for each statement execute function refuse_change();
create trigger record_entries_no_delete before delete on record_entries
for each row execute function refuse_unless_former();

-- What waits goes when its report is here, and stands for the same entry until then.
create function refuse_unless_reported() returns trigger language plpgsql as $$
begin
    if exists (select 1 from reports r where r.log_index = old.log_index and r.note_hash = old.note_hash) then
        return old;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'check_violation';
end
$$;
create trigger awaited_reports_append_only before update of log_index, note_hash, acked_size or truncate on awaited_reports
for each statement execute function refuse_change();
create trigger awaited_reports_no_delete before delete on awaited_reports
for each row execute function refuse_unless_reported();
