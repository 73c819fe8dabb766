-- Named requests, recoveries of lost tokens and budgets of distributors, for SQLite. The same tables, columns and keys as
-- migrations/postgres.

-- `key_hash` is keyed, of whose request it is and what they call it; `answer` is sealed under a key that is not here. Without a
-- status there is no answer yet, or the control plane was killed before there was one.
create table idempotent_requests (
    key_hash     blob    not null check (length(key_hash) = 32),
    request_hash blob    not null check (length(request_hash) = 32),
    status       integer check (status between 100 and 599),
    answer       blob,
    created_at   integer not null,
    check ((status is null) = (answer is null)),
    primary key (key_hash)
) strict;

create index idempotent_requests_by_age on idempotent_requests (created_at);

-- A lost token, recovered by a proof: each proof once. The new token is valid after a delay, in which its organisation sees it.
create table recoveries (
    note_hash blob    not null check (length(note_hash) = 32),
    operator  text    not null references operators (operator),
    token     text    not null references tokens (token),
    asked_at  integer not null,
    primary key (note_hash)
) strict;

create index recoveries_by_operator on recoveries (operator, asked_at);

-- What a distributor may issue in all; null: without limit.
alter table distributors add column codes_budget integer check (codes_budget >= 0);
alter table distributors add column bytes_budget integer check (bytes_budget >= 0);
