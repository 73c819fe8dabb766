//! `Redemptions`: how much may be asked for with an access code.
//!
//! Each code that exists has its own measure, and looking codes up takes one of a few seats. There is no measure for all
//! together, which someone could use up for everyone, and none by address, which would have to be known.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wiregrant_core::Timestamp;
use wiregrant_core::api::ProblemKind;
use wiregrant_store::AccessCode;

use crate::error::{Answer, Failure};

/// Look-ups at a time.
const SEATS: usize = 16;
/// How long a look-up waits for a seat.
const PATIENCE: Duration = Duration::from_secs(5);
/// One more request each so many seconds, once the first few are used up.
const INTERVAL_SECONDS: i64 = 120;
/// The first few, beyond two for each device of the code: whoever sets up all devices, and each again, waits for nothing.
const SPARE: i64 = 20;
/// Codes remembered before those whose measure is full again are forgotten.
const SWEEP_AT: usize = 10_000;

/// The measures in use, and the seats. Each process has its own.
#[derive(Debug)]
pub struct Redemptions {
    seats: Semaphore,
    /// How long a look-up waits for one.
    patience: Duration,
    /// By code: the moment at which its measure will be full again (the generic cell rate algorithm of ATM).
    full_at: Mutex<HashMap<u64, i64>>,
}

impl Default for Redemptions {
    fn default() -> Self {
        Self { seats: Semaphore::new(SEATS), patience: PATIENCE, full_at: Mutex::default() }
    }
}

impl Redemptions {
    /// A seat for one look-up, free again when it is dropped.
    ///
    /// # Errors
    /// `busy` when none becomes free in time.
    pub async fn seat(&self) -> Answer<SemaphorePermit<'_>> {
        let busy = || Failure::new(ProblemKind::Busy, "too many access codes are being looked up; try again");
        match tokio::time::timeout(self.patience, self.seats.acquire()).await {
            Ok(seat) => seat.map_err(|_| busy()),
            Err(_) => Err(busy()),
        }
    }

    /// Takes one request out of the code's measure.
    ///
    /// # Errors
    /// `too-many-requests`, with the seconds after which there is one again.
    ///
    /// # Panics
    /// Never: nothing panics while the measures are held.
    pub fn admit(&self, code: &AccessCode, now: Timestamp) -> Answer<()> {
        let now = now.unix_seconds();
        let devices = i64::try_from(code.devices).unwrap_or(i64::MAX);
        let most = devices.saturating_mul(2).saturating_add(SPARE).saturating_mul(INTERVAL_SECONDS);
        let mut full_at = self.full_at.lock().expect("nothing panics while it is held");
        if full_at.len() >= SWEEP_AT {
            full_at.retain(|_, moment| *moment > now);
        }
        let next =
            full_at.get(&code.number).copied().unwrap_or(now).max(now).saturating_add(INTERVAL_SECONDS);
        let wait = next.saturating_sub(now).saturating_sub(most);
        if wait > 0 {
            let detail = "code: too much was asked for with it in a short time; wait a little";
            return Err(Failure::new(ProblemKind::TooMany, detail).retry_after(wait.unsigned_abs()));
        }
        full_at.insert(code.number, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wiregrant_core::Bytes;
    use wiregrant_core::allotment::Period;
    use wiregrant_core::usage_report::Class;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn code(number: u64) -> AccessCode {
        AccessCode {
            number,
            class: Class::Assigned,
            issuer: "ngo".to_owned(),
            devices: 3,
            quota_bytes: Bytes::ZERO,
            period: Period::Total,
            expires: at(1_000_000),
            created_at: at(0),
        }
    }

    #[test]
    fn each_code_has_its_own_measure_and_waiting_fills_it() {
        let redemptions = Redemptions::default();
        let most = 3 * 2 + SPARE;
        for _ in 0..most {
            redemptions.admit(&code(1), at(1_000)).unwrap();
        }
        let refused = redemptions.admit(&code(1), at(1_000)).unwrap_err();
        assert!(refused.problem().is(ProblemKind::TooMany));
        let wait = i64::try_from(refused.problem().retry_after_seconds().unwrap()).unwrap();
        assert_eq!(wait, INTERVAL_SECONDS);
        redemptions.admit(&code(2), at(1_000)).unwrap();
        redemptions.admit(&code(1), at(1_000 + wait - 1)).unwrap_err();
        redemptions.admit(&code(1), at(1_000 + wait)).unwrap();
    }

    #[test]
    fn codes_at_rest_are_forgotten() {
        let redemptions = Redemptions::default();
        for number in 0..SWEEP_AT as u64 {
            redemptions.admit(&code(number), at(1_000)).unwrap();
        }
        redemptions.admit(&code(u64::MAX), at(1_000 + INTERVAL_SECONDS)).unwrap();
        assert_eq!(redemptions.full_at.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_look_up_waits_for_a_seat_and_not_for_ever() {
        let redemptions = Redemptions { patience: Duration::from_millis(1), ..Redemptions::default() };
        let mut taken = Vec::new();
        for _ in 0..SEATS {
            taken.push(redemptions.seat().await.unwrap());
        }
        assert!(redemptions.seat().await.unwrap_err().problem().is(ProblemKind::Busy));
        taken.pop();
        drop(redemptions.seat().await.unwrap());
    }
}
