//! The accounts: who is served, and what was moved for each username since the process started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use transparency_log::Hash;
use wiregrant_core::Bytes;
use wiregrant_core::peer::MAX_PEERS;
use wiregrant_core::socks5::metering::{AccountReading, Instance, Rates, Readings};
use wiregrant_core::socks5::{Socks5Login, Socks5Username};

use crate::message::Credentials;
use crate::pace::{Paces, Toll};

/// The most accounts with counters: those that are served, and as many that are not and wait to be forgotten.
pub const MAX_ACCOUNTS: usize = 2 * MAX_PEERS;
/// How long connections that were cut may take to end. They do at once, unless the machine is very busy.
const CUT_LIMIT: Duration = Duration::from_secs(5);

/// What was moved for one username: payload bytes on the client's side.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the client.
    pub received: AtomicU64,
    /// To the client.
    pub sent: AtomicU64,
}

/// A username.
struct Account {
    /// `None` when it is not served.
    password_hash: Option<Hash>,
    counters: Arc<Counters>,
    paces: Arc<Paces>,
    /// Raised to cut all connections.
    cuts: watch::Sender<u64>,
    /// How many connections there are.
    open: watch::Sender<usize>,
}

/// All of them, in one run of the service.
pub struct Accounts {
    instance: Instance,
    max_connections: usize,
    /// Of all together.
    paces: Arc<Paces>,
    rates: Mutex<Rates>,
    accounts: Mutex<BTreeMap<Socks5Username, Account>>,
    ending: watch::Sender<Ending>,
}

/// How far the service is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It serves.
    No,
    /// Everybody is being cut.
    Stopping,
    /// Nobody is served any more, and the counters stand still.
    Stopped,
    /// The agent has kept the readings.
    Released,
}

/// Why somebody is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAdmitted {
    /// No such username, or another password.
    #[error("the username or password is wrong")]
    Login,
    /// The account has as many connections as it may.
    #[error("too many connections of one device")]
    TooMany,
}

/// Too many accounts for the new logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} accounts, at most {MAX_ACCOUNTS} are kept; forget those that are not served first")]
pub struct TooManyAccounts(usize);

/// A connection of an account, while it lasts.
pub struct Admission {
    counters: Arc<Counters>,
    paces: Arc<Paces>,
    paces_of_all: Arc<Paces>,
    cuts: watch::Receiver<u64>,
    cuts_before: u64,
    open: watch::Sender<usize>,
}

impl Admission {
    /// What to count on.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What binds bytes from the client.
    #[must_use]
    pub fn up(&self) -> Toll<'_> {
        Toll::new(&self.paces.up, &self.paces_of_all.up)
    }

    /// What binds bytes to the client.
    #[must_use]
    pub fn down(&self) -> Toll<'_> {
        Toll::new(&self.paces.down, &self.paces_of_all.down)
    }

    /// Returns when the connection must end.
    pub async fn cut(&self) {
        let before = self.cuts_before;
        // An account that was forgotten cuts too.
        let _ = self.cuts.clone().wait_for(|cuts| *cuts != before).await;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Accounts {
    /// None, in the run `instance`; each may later have `max_connections`.
    #[must_use]
    pub fn new(instance: Instance, max_connections: usize) -> Self {
        let ending = watch::Sender::new(Ending::No);
        Self {
            instance,
            max_connections,
            paces: Arc::default(),
            rates: Mutex::default(),
            accounts: Mutex::default(),
            ending,
        }
    }

    /// From now on these rates hold, also for connections that are open.
    pub fn keep_to(&self, rates: Rates) {
        // Held meanwhile, so that an account that is added keeps to them too.
        let accounts = self.accounts();
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
        self.paces.set(rates.all);
        accounts.values().for_each(|account| account.paces.set(rates.device));
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Socks5Username, Account>> {
        // Every change is whole before anything can panic.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection.
    ///
    /// # Errors
    /// See [`NotAdmitted`].
    pub fn admit(&self, credentials: Credentials<'_>) -> Result<Admission, NotAdmitted> {
        let username = std::str::from_utf8(credentials.username).ok().and_then(|name| name.parse().ok());
        let given = Hash::of(credentials.password);
        let accounts = self.accounts();
        let account = username.and_then(|username: Socks5Username| accounts.get(&username));
        let account =
            account.filter(|account| account.password_hash == Some(given)).ok_or(NotAdmitted::Login)?;
        let admitted = account.open.send_if_modified(|open| {
            let admitted = *open < self.max_connections;
            *open += usize::from(admitted);
            admitted
        });
        if !admitted {
            return Err(NotAdmitted::TooMany);
        }
        let cuts = account.cuts.subscribe();
        let cuts_before = *cuts.borrow();
        Ok(Admission {
            counters: Arc::clone(&account.counters),
            paces: Arc::clone(&account.paces),
            paces_of_all: Arc::clone(&self.paces),
            cuts,
            cuts_before,
            open: account.open.clone(),
        })
    }

    /// Serves these logins and no others, and returns when the connections of all others have ended: their readings then
    /// stand still.
    ///
    /// # Errors
    /// When more accounts would be kept than may be. Nothing has changed then.
    pub async fn serve(&self, mut logins: Vec<Socks5Login>) -> Result<(), TooManyAccounts> {
        if *self.ending.borrow() != Ending::No {
            logins.clear();
        }
        let cut = {
            let mut accounts = self.accounts();
            let added = logins.iter().filter(|login| !accounts.contains_key(&login.username)).count();
            if accounts.len() + added > MAX_ACCOUNTS {
                return Err(TooManyAccounts(accounts.len() + added));
            }
            let mut wanted: BTreeMap<_, _> =
                logins.into_iter().map(|login| (login.username, login.password_hash)).collect();
            for (username, account) in accounts.iter_mut() {
                let password_hash = wanted.remove(username);
                if account.password_hash != password_hash {
                    account.password_hash = password_hash;
                    account.cuts.send_modify(|cuts| *cuts += 1);
                }
            }
            let rates = *self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            accounts
                .extend(wanted.into_iter().map(|(username, hash)| (username, Account::serving(hash, rates))));
            not_served(&accounts)
        };
        ended(cut).await;
        self.accounts().retain(|_, account| !account.is_idle() || account.reading() != (0, 0));
        Ok(())
    }

    /// Serves nobody, and returns when every connection has ended.
    pub async fn stop(&self) {
        self.ending.send_modify(|ending| *ending = Ending::Stopping);
        // Serving none adds no account, so it cannot be too many.
        let _ = self.serve(Vec::new()).await;
        self.ending.send_modify(|ending| *ending = Ending::Stopped);
    }

    /// Returns when no account has a connection.
    pub async fn idle(&self) {
        let all: Vec<_> = self.accounts().values().map(|account| account.open.clone()).collect();
        ended(all).await;
    }

    /// Forgets the counters of accounts that are not served, if this is the run whose readings were kept.
    pub fn forget(&self, instance: Instance, usernames: &[Socks5Username]) {
        if instance != self.instance {
            return;
        }
        let mut accounts = self.accounts();
        for username in usernames {
            if accounts.get(username).is_some_and(Account::is_idle) {
                accounts.remove(username);
            }
        }
    }

    /// The agent has kept the readings of a run that is ending.
    pub fn release(&self, instance: Instance) {
        self.ending.send_if_modified(|ending| {
            let released = instance == self.instance && *ending == Ending::Stopped;
            if released {
                *ending = Ending::Released;
            }
            released
        });
    }

    /// How far the service is on its way to its end.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<Ending> {
        self.ending.subscribe()
    }

    /// The counters now.
    #[must_use]
    pub fn readings(&self) -> Readings {
        // Read before the counters: what is told as the last must be.
        let ending = *self.ending.borrow() >= Ending::Stopped;
        let accounts = self.accounts();
        let readings = accounts.iter().filter_map(|(username, account)| {
            let (received, sent) = account.reading();
            (received > 0 || sent > 0).then(|| AccountReading {
                username: username.clone(),
                received: bytes(received),
                sent: bytes(sent),
            })
        });
        Readings { instance: self.instance, ending, readings: readings.collect() }
    }
}

impl Account {
    fn serving(password_hash: Hash, rates: Rates) -> Self {
        let paces = Arc::<Paces>::default();
        paces.set(rates.device);
        Self {
            password_hash: Some(password_hash),
            counters: Arc::default(),
            paces,
            cuts: watch::Sender::new(0),
            open: watch::Sender::new(0),
        }
    }

    /// Whether its counters stand still for good.
    fn is_idle(&self) -> bool {
        self.password_hash.is_none() && *self.open.borrow() == 0
    }

    fn reading(&self) -> (u64, u64) {
        (self.counters.received.load(Ordering::Acquire), self.counters.sent.load(Ordering::Acquire))
    }
}

fn not_served(accounts: &BTreeMap<Socks5Username, Account>) -> Vec<watch::Sender<usize>> {
    let others = accounts.values().filter(|account| account.password_hash.is_none());
    others.map(|account| account.open.clone()).collect()
}

/// Returns when all connections have ended, or took too long.
async fn ended(open: Vec<watch::Sender<usize>>) {
    let all = async {
        for open in open {
            let _ = open.subscribe().wait_for(|open| *open == 0).await;
        }
    };
    if timeout(CUT_LIMIT, all).await.is_err() {
        tracing::warn!("connections that were cut have not ended; they count until they do");
    }
}

/// A counter as a note can say it: above 9 exabytes it says too little.
fn bytes(counter: u64) -> Bytes {
    Bytes::new(counter).unwrap_or(Bytes::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use wiregrant_core::note::Salt;

    const INSTANCE: Instance = Instance(Salt([7; 16]));

    fn login(username: &str, password: &[u8]) -> Socks5Login {
        Socks5Login { username: username.parse().unwrap(), password_hash: Hash::of(password) }
    }

    fn shown<'a>(username: &'a str, password: &'a str) -> Credentials<'a> {
        Credentials { username: username.as_bytes(), password: password.as_bytes() }
    }

    impl Admission {
        /// Somebody's, at these rates.
        pub(crate) async fn at(rates: Rates) -> Self {
            let accounts = Accounts::new(INSTANCE, 1);
            accounts.keep_to(rates);
            accounts.serve(vec![login("a", b"x")]).await.unwrap();
            accounts.admit(shown("a", "x")).unwrap()
        }
    }

    #[tokio::test]
    async fn rates_hold_for_who_is_there_and_for_who_comes_later() {
        let rates = |all, device| Rates { all: NonZeroU64::new(all), device: NonZeroU64::new(device) };
        let accounts = serving(vec![login("a", b"x")]).await;
        let a = accounts.admit(shown("a", "x")).unwrap();
        assert_eq!(a.up().share(), usize::MAX);
        accounts.keep_to(rates(0, 100_000));
        accounts.serve(vec![login("a", b"x"), login("b", b"y")]).await.unwrap();
        let b = accounts.admit(shown("b", "y")).unwrap();
        assert_eq!((a.up().share(), b.down().share()), (5_000, 5_000));
        accounts.keep_to(rates(60_000, 0));
        assert_eq!((a.up().share(), b.down().share()), (3_000, 3_000));
    }

    async fn serving(logins: Vec<Socks5Login>) -> Accounts {
        let accounts = Accounts::new(INSTANCE, 2);
        accounts.serve(logins).await.unwrap();
        accounts
    }

    #[tokio::test]
    async fn a_login_is_admitted_as_often_as_it_may_and_no_other_is() {
        let accounts = serving(vec![login("a", b"pass")]).await;
        for (username, password) in [("a", "other"), ("b", "pass"), ("A", "pass"), ("", "")] {
            assert_eq!(accounts.admit(shown(username, password)).err(), Some(NotAdmitted::Login));
        }
        let held = [accounts.admit(shown("a", "pass")).unwrap(), accounts.admit(shown("a", "pass")).unwrap()];
        assert_eq!(accounts.admit(shown("a", "pass")).err(), Some(NotAdmitted::TooMany));
        drop(held);
        assert!(accounts.admit(shown("a", "pass")).is_ok());
    }

    #[tokio::test]
    async fn who_is_served_no_more_is_cut_and_read_for_the_last_time() {
        let accounts = Arc::new(serving(vec![login("a", b"x"), login("b", b"y")]).await);
        let (a, b) = (accounts.admit(shown("a", "x")).unwrap(), accounts.admit(shown("b", "y")).unwrap());
        a.counters().sent.store(5, Ordering::Release);
        let serving = Arc::clone(&accounts);
        let serve = tokio::spawn(async move { serving.serve(vec![login("b", b"y")]).await });
        a.cut().await;
        a.counters().sent.store(9, Ordering::Release);
        accounts.forget(INSTANCE, &["a".parse().unwrap()]);
        drop(a);
        serve.await.unwrap().unwrap();
        let readings = accounts.readings().readings;
        assert_eq!((readings.len(), readings[0].sent.get()), (1, 9), "not forgotten while it is connected");
        assert_eq!(accounts.admit(shown("a", "x")).err(), Some(NotAdmitted::Login));
        // Served again, it counts on; forgotten by another run's name, it stays.
        accounts.forget(Instance(Salt([8; 16])), &["a".parse().unwrap()]);
        accounts.serve(vec![login("a", b"x"), login("b", b"y")]).await.unwrap();
        accounts.forget(INSTANCE, &["a".parse().unwrap()]);
        assert_eq!(accounts.readings().readings.len(), 1, "who is served is not forgotten");
        drop(b);
        accounts.serve(Vec::new()).await.unwrap();
        accounts.forget(INSTANCE, &["a".parse().unwrap()]);
        assert!(accounts.readings().readings.is_empty());
    }

    #[tokio::test]
    async fn another_password_cuts_what_the_old_one_opened() {
        let accounts = serving(vec![login("a", b"x")]).await;
        let old = accounts.admit(shown("a", "x")).unwrap();
        accounts.serve(vec![login("a", b"y")]).await.unwrap();
        old.cut().await;
        assert!(accounts.admit(shown("a", "x")).is_err() && accounts.admit(shown("a", "y")).is_ok());
    }

    #[tokio::test]
    async fn an_ending_run_is_released_once_its_last_readings_are_kept() {
        let accounts = serving(vec![login("a", b"x")]).await;
        accounts.release(INSTANCE);
        assert_eq!(*accounts.ending().borrow(), Ending::No, "it serves still");
        accounts.stop().await;
        assert!(accounts.readings().ending);
        accounts.release(Instance(Salt([8; 16])));
        assert_eq!(*accounts.ending().borrow(), Ending::Stopped);
        accounts.release(INSTANCE);
        assert_eq!(*accounts.ending().borrow(), Ending::Released);
    }
}
