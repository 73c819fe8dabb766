-- What was forgotten of people: a device's key is another one, nobody's, and a code's hash is of no code.
alter table devices add column forgotten_at bigint;
alter table access_codes add column forgotten_at bigint;

create index devices_to_forget on devices (removed_at) where forgotten_at is null and removed_at is not null;
create index access_codes_to_forget on access_codes (expires) where forgotten_at is null;
