-- What operators' charts are drawn from, and what several replicas share. For PostgreSQL; the same tables as migrations/sqlite.

-- Bytes by node and hour, and by node and day. Each accepted report adds what it counted since the one before, in the
-- transaction that accepts it, to the hour and the day that hold the last second it covers.
create table usage_hours (
    node       text   not null references nodes (node),
    hour       bigint not null check (hour % 3600 = 0),
    received   bigint not null check (received >= 0),
    sent       bigint not null check (sent >= 0),
    creditable bigint not null check (creditable >= 0),
    constraint usage_hours_node_hour_key primary key (node, hour)
);

create table usage_days (
    node       text   not null references nodes (node),
    day        bigint not null check (day % 86400 = 0),
    received   bigint not null check (received >= 0),
    sent       bigint not null check (sent >= 0),
    creditable bigint not null check (creditable >= 0),
    constraint usage_days_node_day_key primary key (node, day)
);

-- Signed requests that were taken lately, so that no replica takes one twice. Not in the write-ahead log: after a crash of
-- the server a request of the last two minutes could be taken once more, and all that a node can ask twice is answered alike.
create unlogged table nonces (
    node  text   not null,
    time  bigint not null,
    nonce bytea  not null check (length(nonce) = 16),
    constraint nonces_node_time_nonce_key primary key (node, time, nonce)
);

create index nonces_by_time on nonces (time);

-- Wakes whoever waits at any replica, when the transaction commits. Correctness rests on the rows; this only saves time.
create function tell_of_node() returns trigger language plpgsql as $$
begin
    perform pg_notify('wiregrant_nodes', new.node);
    return null;
end
$$;

create trigger nodes_tell_of_change after update of revision on nodes
for each row execute function tell_of_node();

create function tell_of_log() returns trigger language plpgsql as $$
begin
    perform pg_notify('wiregrant_logs', '');
    return null;
end
$$;

create trigger log_heads_tell_of_change after update on log_heads
for each statement execute function tell_of_log();
