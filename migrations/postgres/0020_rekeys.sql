-- Nodes that go on under other keys.

-- An identity key that was replaced, by which note, and by which key. A key that was replaced is no node's again.
create table rekeys (
    note_hash    bytea  not null check (length(note_hash) = 32),
    node         text   not null references nodes (node),
    former_key   bytea  not null check (length(former_key) = 32),
    identity_key bytea  not null check (length(identity_key) = 32),
    rekeyed_at   bigint not null,
    constraint rekeys_note_hash_key primary key (note_hash),
    constraint rekeys_former_key_key unique (former_key)
);

create index rekeys_by_node on rekeys (node);

create trigger rekeys_append_only before update or delete or truncate on rekeys
for each statement execute function refuse_change();

-- The node that goes on by an invitation; null: it is for a new one.
alter table invitations add column for_node text references nodes (node);
