-- Named requests, recoveries of lost tokens and budgets of distributors, for PostgreSQL. The same tables, columns and keys as
-- migrations/sqlite.

-- `key_hash` is keyed, of whose request it is and what they call it; `answer` is sealed under a key that is not here. Without a
-- status there is no answer yet, or the control plane was killed before there was one.
create table idempotent_requests (
    key_hash     bytea    not null check (length(key_hash) = 32),
    request_hash bytea    not null check (length(request_hash) = 32),
    status       bigint check (status between 100 and 599),
    answer       bytea,
    created_at   bigint not null,
    check ((status is null) = (answer is null)),
    constraint idempotent_requests_key_hash_key primary key (key_hash)
);

create index idempotent_requests_by_age on idempotent_requests (created_at);

-- A lost token, recovered by a proof: each proof once. The new token is valid after a delay, in which its organisation sees it.
create table recoveries (
    note_hash bytea   not null check (length(note_hash) = 32),
    operator  text    not null references operators (operator),
    token     text    not null references tokens (token),
    asked_at  bigint  not null,
    constraint recoveries_note_hash_key primary key (note_hash)
);

create index recoveries_by_operator on recoveries (operator, asked_at);

-- What a distributor may issue in all; null: without limit.
alter table distributors
    add column codes_budget bigint check (codes_budget >= 0),
    add column bytes_budget bigint check (bytes_budget >= 0);
