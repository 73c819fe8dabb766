//! Settings: what this control plane is, by name.

use crate::session::db;
use crate::{Read, StoreError, Write};

impl Read {
    /// The value of a setting.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(db!(self, connection => sqlx::query_scalar(
            "select value
               from settings
              where name = $1",
        )
        .bind(name)
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Sets a setting, whatever it was.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into settings (name, value)
             values ($1, $2)
             on conflict (name) do update set value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
