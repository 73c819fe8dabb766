-- Organisations, the named tokens of their people, and browsers that are signed in, for SQLite. The same
-- tables, columns and keys as migrations/postgres.

-- `token` is what a token is called in public; its keyed hash is what it is known by. Nobody's address is kept.
create table named_tokens (
    token      text    not null,
    token_hash blob    not null check (length(token_hash) = 32),
    role       text    not null check (role in ('administrator', 'operator', 'distributor', 'funder', 'auditor')),
    subject    text    not null check ((role = 'administrator') = (subject = '')),
    holder     text    not null,
    made_by    text,
    one_time   integer not null check (one_time in (0, 1)),
    created_at integer not null,
    valid_from integer not null,
    spent_at   integer,
    revoked_at integer,
    check (spent_at is null or one_time = 1),
    primary key (token)
) strict, without rowid;

insert into named_tokens (token, token_hash, role, subject, holder, one_time, created_at, valid_from)
select 'token-' || lower(hex(substr(token_hash, 1, 5))), token_hash, role, subject,
       case subject when '' then 'administrator' else subject end, 0, created_at, created_at
  from tokens;

drop table tokens;
alter table named_tokens rename to tokens;
create unique index tokens_token_hash_key on tokens (token_hash);
create index tokens_by_subject on tokens (role, subject, created_at);

-- A row is a browser that is signed in; it goes when the session is over.
create table sessions (
    session_hash blob    not null check (length(session_hash) = 32),
    token        text    not null references tokens (token),
    created_at   integer not null,
    seen_at      integer not null,
    primary key (session_hash)
) strict, without rowid;

create index sessions_by_token on sessions (token, created_at);

create table funders (
    funder     text    not null,
    created_at integer not null,
    primary key (funder)
) strict, without rowid;

create table funders_of_grants (
    grant_id text not null references grants (grant_id),
    funder   text not null references funders (funder),
    primary key (grant_id, funder)
) strict, without rowid;

create table auditors (
    auditor    text    not null,
    created_at integer not null,
    primary key (auditor)
) strict, without rowid;

create table auditors_of_grants (
    grant_id text not null references grants (grant_id),
    auditor  text not null references auditors (auditor),
    primary key (grant_id, auditor)
) strict, without rowid;
