-- Whether a node can be reached, and devices that took the place of others.

-- The endpoint at which the control plane has completed a WireGuard handshake with the node; only the last is kept.
alter table nodes add column reached_endpoint text;
-- What its operator gives at most, each way; each condition overwrites the last.
alter table nodes add column megabits_per_second bigint check (megabits_per_second >= 1);
alter table nodes add column gigabytes_per_month bigint check (gigabytes_per_month >= 1);
-- Nodes learn of one more peer: the control plane.
update nodes set revision = revision + 1;

-- The device of the same code whose place this one took, when its owner went to another node.
alter table devices add column replaces bytea check (length(replaces) = 32);
