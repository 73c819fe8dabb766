-- What a database that was restored from a backup lacks, until nodes have shown and sent it again.

-- Entries of the reports log that were imported, and whose reports are not here. Who sent one is known where its node has shown it.
create table awaited_reports (
    log_index  integer not null check (log_index >= 0),
    note_hash  blob    not null check (length(note_hash) = 32),
    acked_size integer not null check (acked_size > log_index),
    node       text,
    sequence   integer check (sequence >= 1),
    check ((node is null) = (sequence is null)),
    primary key (log_index),
    unique (note_hash)
) strict;

create index awaited_reports_by_node on awaited_reports (node, sequence);

-- Acknowledgements that nodes hold and the database does not know.
create table receipts (
    log_index       integer not null check (log_index >= 0),
    note_hash       blob    not null check (length(note_hash) = 32),
    node            text    not null,
    sequence        integer not null check (sequence >= 1),
    checkpoint_size integer not null check (checkpoint_size > log_index),
    checkpoint      text    not null,
    primary key (log_index)
) strict;

-- Nodes that have shown all they hold, or that a person goes on without.
create table heard_nodes (
    node text not null,
    primary key (node)
) strict, without rowid;

-- Statements that were imported: what they leave each node to count from is computed once its reports are here again.
create table imported_statements (
    grant_id text    not null references grants (grant_id),
    epoch    integer not null check (epoch >= 1),
    primary key (grant_id, epoch)
) strict, without rowid;
