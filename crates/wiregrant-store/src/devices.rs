//! Devices: which node serves which key, under which number of its addresses.

use std::ops::RangeInclusive;

use sqlx::QueryBuilder;
use transparency_log::Hash;
use wiregrant_core::allotment::{Level, Period};
use wiregrant_core::api::DeviceLevel;
use wiregrant_core::socks5::{Socks5Login, Socks5Username};
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, NodeId, Timestamp, WireGuardPublicKey};

use crate::codes::{Given, total_bytes};
use crate::column::{bigint, column, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A device.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Device {
        /// Its key.
        pub public_key: WireGuardPublicKey,
        /// The access code it belongs to.
        pub code_number: u64,
        /// The node that serves it.
        pub node: NodeId,
        /// Its number among the node's addresses; a removed device may have lost it to another.
        pub host_number: Option<u32>,
        /// Who chose the node.
        pub class: Class,
        /// What it may move in a `period`.
        pub allotment: Bytes,
        /// What the allotment is for.
        pub period: Period,
        /// What is left of it, as the node said last.
        pub level: Option<Level>,
        /// When it stops being a peer.
        pub expires: Timestamp,
        /// Its name at the node's SOCKS5 service, where it has a login.
        pub socks5_username: Option<Socks5Username>,
        /// SHA-256 of the password that goes with it.
        pub socks5_password_hash: Option<Hash>,
        /// Since when.
        pub placed_at: Timestamp,
        /// Until when.
        pub removed_at: Option<Timestamp>,
        /// The device whose place it took.
        pub replaces: Option<WireGuardPublicKey>,
    }
}

/// A device to be placed.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its key.
    pub public_key: WireGuardPublicKey,
    /// The access code it belongs to.
    pub code_number: u64,
    /// The node that shall serve it.
    pub node: NodeId,
    /// Who chose the node.
    pub class: Class,
    /// What it may move in a `period`.
    pub allotment: Bytes,
    /// What the allotment is for.
    pub period: Period,
    /// When it stops being a peer.
    pub expires: Timestamp,
    /// The device whose place it takes.
    pub replaces: Option<WireGuardPublicKey>,
}

/// Where a device was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its number among the node's addresses.
    pub host_number: u32,
    /// The node's revision with it.
    pub revision: u64,
}

/// Assigned devices of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignedDevices {
    /// How many.
    pub devices: u64,
    /// What they could move together up to that moment, held at the most a unit of bytes can say.
    pub allotment: Bytes,
}

/// Devices of one statement that sets a level.
const LEVELS_PER_UPDATE: usize = 500;

impl Device {
    /// How it shows itself to the node's SOCKS5 service, where it may.
    #[must_use]
    pub fn socks5_login(&self) -> Option<Socks5Login> {
        let (username, password_hash) = (self.socks5_username.clone()?, self.socks5_password_hash?);
        Some(Socks5Login { username, password_hash })
    }
}

impl Read {
    /// The device with this key, removed or not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn device(&mut self, public_key: &WireGuardPublicKey) -> Result<Option<Device>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select public_key, code_number, node, host_number, class, allotment, period, level, expires,
                    socks5_username, socks5_password_hash, placed_at, removed_at, replaces
               from devices
              where public_key = $1",
        )
        .bind(public_key.as_bytes().as_slice())
        .fetch_optional(connection)
        .await)?)
    }

    /// The devices that the node serves at `now`, by host number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn live_devices(&mut self, node: &NodeId, now: Timestamp) -> Result<Vec<Device>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select public_key, code_number, node, host_number, class, allotment, period, level, expires,
                    socks5_username, socks5_password_hash, placed_at, removed_at, replaces
               from devices
              where node = $1
                and removed_at is null
                and expires > $2
              order by host_number",
        )
        .bind(node.as_str())
        .bind(now.unix_seconds())
        .fetch_all(connection)
        .await)?)
    }

    /// All devices that a code has or had, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn devices_of_code(&mut self, code_number: u64) -> Result<Vec<Device>, StoreError> {
        let code_number = bigint("access code", code_number)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select public_key, code_number, node, host_number, class, allotment, period, level, expires,
                    socks5_username, socks5_password_hash, placed_at, removed_at, replaces
               from devices
              where code_number = $1
              order by placed_at, public_key",
        )
        .bind(code_number)
        .fetch_all(connection)
        .await)?)
    }

    /// At most `limit` devices that were removed before a moment and are not forgotten, the longest removed first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn devices_removed_before(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<WireGuardPublicKey>, StoreError> {
        let keys: Result<Vec<WireGuardPublicKey>, sqlx::Error> = db!(self, connection => sqlx::query(
            "select public_key
               from devices
              where removed_at < $1
                and forgotten_at is null
              order by removed_at, public_key
              limit $2",
        )
        .bind(before.unix_seconds())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .and_then(|rows| rows.iter().map(|row| column(row, "public_key")).collect()));
        Ok(keys?)
    }

    /// How many devices of a code took the place of another at `since` or later.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn switches_of_code(&mut self, code_number: u64, since: Timestamp) -> Result<u64, StoreError> {
        let code_number = bigint("access code", code_number)?;
        let switches: i64 = db!(self, connection => sqlx::query_scalar(
            "select count(*)
               from devices
              where code_number = $1
                and replaces is not null
                and placed_at >= $2",
        )
        .bind(code_number)
        .bind(since.unix_seconds())
        .fetch_one(connection)
        .await)?;
        Ok(switches.unsigned_abs())
    }

    /// The assigned devices that were placed on the node before a moment, removed or not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assigned_devices(
        &mut self,
        node: &NodeId,
        before: Timestamp,
    ) -> Result<AssignedDevices, StoreError> {
        let given: Vec<Given> = db!(self, connection => sqlx::query_as(
            "select allotment as amount, period, since, until, count(*) as times
               from (select allotment, period,
                            case period when 'month' then placed_at else 0 end as since,
                            case period when 'month' then expires else 0 end as until
                       from devices
                      where node = $1
                        and class = 'assigned'
                        and placed_at < $2) as placed
              group by allotment, period, since, until",
        )
        .bind(node.as_str())
        .bind(before.unix_seconds())
        .fetch_all(connection)
        .await)?;
        let devices = given.iter().map(|given| given.times).sum();
        Ok(AssignedDevices { devices, allotment: total_bytes(&given, before) })
    }

    /// The lowest number in `hosts` that no device of the node has or had.
    async fn unused_host_number(
        &mut self,
        node: &NodeId,
        hosts: &RangeInclusive<u32>,
    ) -> Result<Option<i64>, StoreError> {
        // The lowest unused number is the first, or follows a used one.
        Ok(db!(self, connection => sqlx::query_scalar(
            "select min(candidate)
               from (select $2 as candidate
                     union all
                     select host_number + 1
                       from devices
                      where node = $1
                        and host_number >= $2) as candidates
              where candidate <= $3
                and not exists (select 1
                                  from devices
                                 where node = $1
                                   and host_number = candidate)",
        )
        .bind(node.as_str())
        .bind(i64::from(*hosts.start()))
        .bind(i64::from(*hosts.end()))
        .fetch_one(connection)
        .await)?)
    }
}

impl Write {
    /// Places a device on its node under the lowest number in `hosts` that was never used there, or else the one that
    /// has been out of use for longest; `None` when every number is in use. Moves the node's revision up.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a key that is or was a device; [`StoreError::NotFound`] for an unknown node;
    /// [`StoreError::UnknownReference`] for an unknown code.
    pub async fn place_device(
        &mut self,
        device: &NewDevice,
        hosts: RangeInclusive<u32>,
        now: Timestamp,
    ) -> Result<Option<Placed>, StoreError> {
        let code_number = bigint("access code", device.code_number)?;
        let unused = self.unused_host_number(&device.node, &hosts).await?;
        let host_number = match unused {
            Some(number) => Some(number),
            None => self.free_host_number(&device.node, &hosts, now).await?,
        };
        let Some(host_number) = host_number else { return Ok(None) };
        db!(self, connection => sqlx::query(
            "insert into devices (public_key, code_number, node, host_number, class, allotment, period, expires,
                                  placed_at, replaces)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(device.public_key.as_bytes().as_slice())
        .bind(code_number)
        .bind(device.node.as_str())
        .bind(host_number)
        .bind(device.class.as_str())
        .bind(device.allotment.as_i64())
        .bind(device.period.as_str())
        .bind(device.expires.unix_seconds())
        .bind(now.unix_seconds())
        .bind(device.replaces.as_ref().map(|key| key.as_bytes().as_slice()))
        .execute(connection)
        .await
        .map(drop))?;
        let revision = self.bump_revision(&device.node).await?;
        let host_number = u32::try_from(host_number)
            .map_err(|_| StoreError::corrupt("devices", format!("host number {host_number}")))?;
        Ok(Some(Placed { host_number, revision }))
    }

    /// Takes the number of the device that was removed or expired first from it.
    async fn free_host_number(
        &mut self,
        node: &NodeId,
        hosts: &RangeInclusive<u32>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let longest_idle: Option<(Vec<u8>, i64)> = db!(self, connection => sqlx::query_as(
            "select public_key, host_number
               from devices
              where node = $1
                and host_number between $2 and $3
                and (removed_at is not null or expires <= $4)
              order by coalesce(removed_at, expires), host_number
              limit 1",
        )
        .bind(node.as_str())
        .bind(i64::from(*hosts.start()))
        .bind(i64::from(*hosts.end()))
        .bind(now.unix_seconds())
        .fetch_optional(connection)
        .await)?;
        let Some((public_key, host_number)) = longest_idle else { return Ok(None) };
        db!(self, connection => sqlx::query(
            "update devices
                set host_number = null, removed_at = coalesce(removed_at, $2), level = null,
                    socks5_username = null, socks5_password_hash = null
              where public_key = $1",
        )
        .bind(public_key.as_slice())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(Some(host_number))
    }

    /// Removes a device from its node, which it names, and moves the node's revision up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, or it was removed before.
    pub async fn remove_device(
        &mut self,
        public_key: &WireGuardPublicKey,
        now: Timestamp,
    ) -> Result<NodeId, StoreError> {
        let node: Option<String> = db!(self, connection => sqlx::query_scalar(
            "update devices
                set removed_at = $2, level = null, socks5_username = null, socks5_password_hash = null
              where public_key = $1
                and removed_at is null
             returning node",
        )
        .bind(public_key.as_bytes().as_slice())
        .bind(now.unix_seconds())
        .fetch_optional(connection)
        .await)?;
        self.moved(public_key, node).await
    }

    /// Puts another key in the place of a removed device's: what was placed still bounds what its node is credited, and nobody can
    /// tell any more whose it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, or it was not removed.
    pub async fn forget_device(
        &mut self,
        public_key: &WireGuardPublicKey,
        another: &WireGuardPublicKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let forgotten = db!(self, connection => sqlx::query(
            "update devices
                set public_key = $2, replaces = case when replaces is null then null else $2 end, forgotten_at = $3
              where public_key = $1
                and removed_at is not null",
        )
        .bind(public_key.as_bytes().as_slice())
        .bind(another.as_bytes().as_slice())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if forgotten == 0 {
            return Err(StoreError::NotFound { what: "removed device", id: public_key.to_string() });
        }
        Ok(())
    }

    /// Overwrites what devices of the node have left; devices that are not the node's, or are gone, are passed over.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_levels(&mut self, node: &NodeId, levels: &[DeviceLevel]) -> Result<(), StoreError> {
        for level in Level::ALL {
            let keys: Vec<_> = levels.iter().filter(|known| known.level == *level).collect();
            for keys in keys.chunks(LEVELS_PER_UPDATE) {
                db!(self, connection, Driver => {
                    let mut update = QueryBuilder::<Driver>::new("update devices set level = ");
                    update.push_bind(level.as_str()).push(" where node = ").push_bind(node.as_str());
                    update.push(" and removed_at is null and public_key in (");
                    let mut list = update.separated(", ");
                    for known in keys {
                        list.push_bind(known.public_key.as_bytes().as_slice());
                    }
                    update.push(")");
                    update.build().persistent(false).execute(connection).await.map(drop)
                })?;
            }
        }
        Ok(())
    }

    /// Gives a device a login at its node's SOCKS5 service in place of the one it had, moves the node's revision up, and names
    /// the node.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such device, or it was removed; [`StoreError::Exists`] for a username of
    /// another device.
    pub async fn set_socks5_login(
        &mut self,
        public_key: &WireGuardPublicKey,
        login: &Socks5Login,
    ) -> Result<NodeId, StoreError> {
        let node: Option<String> = db!(self, connection => sqlx::query_scalar(
            "update devices
                set socks5_username = $2, socks5_password_hash = $3
              where public_key = $1
                and removed_at is null
             returning node",
        )
        .bind(public_key.as_bytes().as_slice())
        .bind(login.username.as_str())
        .bind(login.password_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?;
        self.moved(public_key, node).await
    }

    /// The node of a device that was changed, whose revision moves up.
    async fn moved(
        &mut self,
        public_key: &WireGuardPublicKey,
        node: Option<String>,
    ) -> Result<NodeId, StoreError> {
        let node = node.ok_or_else(|| StoreError::NotFound { what: "device", id: public_key.to_string() })?;
        let node = node.parse().map_err(|error| StoreError::corrupt("devices", error))?;
        self.bump_revision(&node).await?;
        Ok(node)
    }
}
