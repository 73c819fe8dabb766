-- An entry of the reports log says the hash of a report and nothing else, so that it is kept once: by the report itself, or by what
-- waits for it. Entries of their own are those of the record.

-- None may be lost by that. Where one has neither, this fails, and the database stays as it was.
create table entries_without_report (
    entries integer not null check (entries = 0)
) strict;
insert into entries_without_report (entries)
select count(*)
  from log_entries e
 where e.log = 'reports'
   and not exists (select 1 from reports r where r.log_index = e.idx)
   and not exists (select 1 from awaited_reports a where a.log_index = e.idx);
drop table entries_without_report;

create table record_entries (
    idx   integer not null check (idx >= 0),
    entry text    not null check (length(entry) between 1 and 1000),
    primary key (idx)
) strict, without rowid;
insert into record_entries (idx, entry)
select idx, entry
  from log_entries
 where log = 'record';

drop trigger log_entries_no_update;
drop trigger log_entries_no_delete;
drop trigger log_subtrees_no_delete;
drop table log_entries;

create trigger record_entries_no_update before update on record_entries
begin select raise(abort, 'record_entries is append-only'); end;
create trigger record_entries_no_delete before delete on record_entries
when not exists (
    select 1
      from former_entries f
     where f.origin = (select origin from former_origins order by number desc limit 1)
       and f.idx = old.idx
       and f.entry = old.entry)
begin select raise(abort, 'record_entries is append-only'); end;
create trigger log_subtrees_no_delete before delete on log_subtrees
when old.log <> 'record' or exists (select 1 from record_entries)
begin select raise(abort, 'log_subtrees is append-only'); end;

-- What waits goes when its report is here, and stands for the same entry until then.
create trigger awaited_reports_no_update before update of log_index, note_hash, acked_size on awaited_reports
begin select raise(abort, 'awaited_reports is append-only'); end;
create trigger awaited_reports_no_delete before delete on awaited_reports
when not exists (select 1 from reports r where r.log_index = old.log_index and r.note_hash = old.note_hash)
begin select raise(abort, 'awaited_reports is append-only'); end;
