-- What a node says about itself, allotments by the month, and SOCKS5 logins.

-- Each condition overwrites the last: no history is kept of it.
alter table nodes add column socks5_endpoint text;
alter table nodes add column paused text check (paused in ('budget', 'hours'));

alter table access_codes add column period text not null default 'total' check (period in ('total', 'month'));

alter table devices add column period text not null default 'total' check (period in ('total', 'month'));
-- What the device has left, as its node said last; null until it has said so, and when the device is gone.
alter table devices add column level text check (level in ('over-half', 'under-half', 'under-a-tenth', 'exhausted'));
-- The login at the node's SOCKS5 service. The password is shown to the person once and kept nowhere.
alter table devices add column socks5_username text;
alter table devices add column socks5_password_hash blob
    check (length(socks5_password_hash) = 32)
    check ((socks5_username is null) = (socks5_password_hash is null));

create unique index devices_socks5_username_key on devices (socks5_username);
