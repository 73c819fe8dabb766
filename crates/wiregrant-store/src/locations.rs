//! Locations: places nodes stand in.

use wiregrant_core::{LocationId, Timestamp};

use crate::column::row;
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A place.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Location {
        /// The id.
        pub location: LocationId,
        /// For people.
        pub name: String,
    }
}

impl Read {
    /// One place.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn location(&mut self, location: &LocationId) -> Result<Option<Location>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select location, name
               from locations
              where location = $1",
        )
        .bind(location.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All places, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn locations(&mut self) -> Result<Vec<Location>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select location, name
               from locations
              order by location",
        )
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a new place.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_location(&mut self, location: &Location, now: Timestamp) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into locations (location, name, created_at)
             values ($1, $2, $3)",
        )
        .bind(location.location.as_str())
        .bind(location.name.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
