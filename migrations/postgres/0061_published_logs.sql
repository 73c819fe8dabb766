-- The reports log is published as far as a statement of the record names it, and no further: while it grows alone, no replica has
-- anything to publish, and whoever reports does not wait for one to be told.
drop trigger log_heads_tell_of_change on log_heads;
create trigger log_heads_tell_of_change after update on log_heads
for each row when (new.log = 'record') execute function tell_of_log();
