//! What the store's tests share: both databases, fresh, and short ways to make facts.

mod postgres;

use std::future::Future;
use std::sync::Arc;

use tempfile::TempDir;
use wiregrant_core::Timestamp;
use wiregrant_store::Store;

use postgres::Server;

/// Where a fresh database is; it goes away with this.
pub struct Database {
    pub url: String,
    _folder: Option<TempDir>,
    _server: Option<Arc<Server>>,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("wiregrant.db").display());
        Self { url, _folder: Some(folder), _server: None }
    }

    pub async fn postgres() -> Self {
        let server = Server::running();
        Self { url: server.new_database().await, _folder: None, _server: Some(server) }
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }
}

/// Tells the same story to SQLite and to PostgreSQL.
pub async fn on_both<F: Future<Output = ()>>(story: impl Fn(Store, String) -> F) {
    for database in [Database::sqlite(), Database::postgres().await] {
        let store = database.open().await;
        story(store.clone(), database.url.clone()).await;
        store.close().await;
    }
}

pub fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}
