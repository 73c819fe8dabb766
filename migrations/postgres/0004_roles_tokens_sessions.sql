-- Organisations, the named tokens of their people, and browsers that are signed in, for PostgreSQL. The same
-- tables, columns and keys as migrations/sqlite.

-- `token` is what a token is called in public; its keyed hash is what it is known by. Nobody's address is kept.
create table named_tokens (
    token      text   not null,
    token_hash bytea  not null check (length(token_hash) = 32),
    role       text   not null check (role in ('administrator', 'operator', 'distributor', 'funder', 'auditor')),
    subject    text   not null check ((role = 'administrator') = (subject = '')),
    holder     text   not null,
    made_by    text,
    one_time   boolean not null,
    created_at bigint not null,
    valid_from bigint not null,
    spent_at   bigint,
    revoked_at bigint,
    check (spent_at is null or one_time),
    constraint tokens_token_key primary key (token)
);

insert into named_tokens (token, token_hash, role, subject, holder, one_time, created_at, valid_from)
select 'token-' || encode(substring(token_hash from 1 for 5), 'hex'), token_hash, role, subject,
       case subject when '' then 'administrator' else subject end, false, created_at, created_at
  from tokens;

drop table tokens;
alter table named_tokens rename to tokens;
create unique index tokens_token_hash_key on tokens (token_hash);
create index tokens_by_subject on tokens (role, subject, created_at);

-- A row is a browser that is signed in; it goes when the session is over.
create table sessions (
    session_hash bytea  not null check (length(session_hash) = 32),
    token        text   not null references tokens (token),
    created_at   bigint not null,
    seen_at      bigint not null,
    constraint sessions_session_hash_key primary key (session_hash)
);

create index sessions_by_token on sessions (token, created_at);

create table funders (
    funder     text   not null,
    created_at bigint not null,
    constraint funders_funder_key primary key (funder)
);

create table funders_of_grants (
    grant_id text not null references grants (grant_id),
    funder   text not null references funders (funder),
    constraint funders_of_grants_grant_id_funder_key primary key (grant_id, funder)
);

create table auditors (
    auditor    text   not null,
    created_at bigint not null,
    constraint auditors_auditor_key primary key (auditor)
);

create table auditors_of_grants (
    grant_id text not null references grants (grant_id),
    auditor  text not null references auditors (auditor),
    constraint auditors_of_grants_grant_id_auditor_key primary key (grant_id, auditor)
);
