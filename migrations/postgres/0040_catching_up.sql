-- What a database that was restored from a backup lacks, until nodes have shown and sent it again.

-- Entries of the reports log that were imported, and whose reports are not here. Who sent one is known where its node has shown it.
create table awaited_reports (
    log_index  bigint  not null check (log_index >= 0),
    note_hash  bytea   not null check (length(note_hash) = 32),
    acked_size bigint  not null check (acked_size > log_index),
    node       text,
    sequence   bigint  check (sequence >= 1),
    check ((node is null) = (sequence is null)),
    constraint awaited_reports_log_index_key primary key (log_index),
    constraint awaited_reports_note_hash_key unique (note_hash)
);

create index awaited_reports_by_node on awaited_reports (node, sequence);

-- Acknowledgements that nodes hold and the database does not know.
create table receipts (
    log_index       bigint  not null check (log_index >= 0),
    note_hash       bytea   not null check (length(note_hash) = 32),
    node            text    not null,
    sequence        bigint  not null check (sequence >= 1),
    checkpoint_size bigint  not null check (checkpoint_size > log_index),
    checkpoint      text    not null,
    constraint receipts_log_index_key primary key (log_index)
);

-- Nodes that have shown all they hold, or that a person goes on without.
create table heard_nodes (
    node text not null,
    constraint heard_nodes_node_key primary key (node)
);

-- Statements that were imported: what they leave each node to count from is computed once its reports are here again.
create table imported_statements (
    grant_id text    not null references grants (grant_id),
    epoch    bigint  not null check (epoch >= 1),
    constraint imported_statements_grant_id_epoch_key primary key (grant_id, epoch)
);
