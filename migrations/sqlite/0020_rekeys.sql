-- Nodes that go on under other keys.

-- An identity key that was replaced, by which note, and by which key. A key that was replaced is no node's again.
create table rekeys (
    note_hash    blob    not null check (length(note_hash) = 32),
    node         text    not null references nodes (node),
    former_key   blob    not null check (length(former_key) = 32),
    identity_key blob    not null check (length(identity_key) = 32),
    rekeyed_at   integer not null,
    primary key (note_hash),
    unique (former_key)
) strict;

create index rekeys_by_node on rekeys (node);

create trigger rekeys_no_update before update on rekeys
begin select raise(abort, 'rekeys is append-only'); end;
create trigger rekeys_no_delete before delete on rekeys
begin select raise(abort, 'rekeys is append-only'); end;

-- The node that goes on by an invitation; null: it is for a new one.
alter table invitations add column for_node text references nodes (node);
