-- What a node says about itself, allotments by the month, and SOCKS5 logins.

-- Each condition overwrites the last: no history is kept of it.
alter table nodes
    add column socks5_endpoint text,
    add column paused text check (paused in ('budget', 'hours'));

alter table access_codes
    add column period text not null default 'total' check (period in ('total', 'month'));

-- The level is what the device has left, as its node said last; null until it has said so, and when the device is gone. The
-- login is the one at the node's SOCKS5 service; the password is shown to the person once and kept nowhere.
alter table devices
    add column period text not null default 'total' check (period in ('total', 'month')),
    add column level text check (level in ('over-half', 'under-half', 'under-a-tenth', 'exhausted')),
    add column socks5_username text,
    add column socks5_password_hash bytea check (length(socks5_password_hash) = 32),
    add check ((socks5_username is null) = (socks5_password_hash is null)),
    add constraint devices_socks5_username_key unique (socks5_username);
