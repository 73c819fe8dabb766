-- What operators' charts are drawn from, and what several replicas share. For SQLite; the same tables as migrations/postgres.

-- Bytes by node and hour, and by node and day. Each accepted report adds what it counted since the one before, in the
-- transaction that accepts it, to the hour and the day that hold the last second it covers.
create table usage_hours (
    node       text    not null references nodes (node),
    hour       integer not null check (hour % 3600 = 0),
    received   integer not null check (received >= 0),
    sent       integer not null check (sent >= 0),
    creditable integer not null check (creditable >= 0),
    primary key (node, hour)
) strict, without rowid;

create table usage_days (
    node       text    not null references nodes (node),
    day        integer not null check (day % 86400 = 0),
    received   integer not null check (received >= 0),
    sent       integer not null check (sent >= 0),
    creditable integer not null check (creditable >= 0),
    primary key (node, day)
) strict, without rowid;

-- Signed requests that were taken lately, so that no replica takes one twice.
create table nonces (
    node  text    not null,
    time  integer not null,
    nonce blob    not null check (length(nonce) = 16),
    primary key (node, time, nonce)
) strict, without rowid;

create index nonces_by_time on nonces (time);
