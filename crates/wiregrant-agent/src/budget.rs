//! What the operator gives: so many gigabytes a month, at certain hours of the day. When it is given, the node serves nobody until
//! there is some again. Rates are held by the firewall and by the SOCKS5 service, each its part.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::Deserialize;
use wiregrant_core::api::Pause;
use wiregrant_core::socks5::metering::Rates;
use wiregrant_core::{Bytes, FactError, Timestamp};

use crate::clock::Moment;
use crate::config::{Budget, Config};
use crate::keeper::Keeper;

/// 10^9: an operator's traffic is counted in decimal gigabytes.
const BYTES_PER_GIGABYTE: u64 = 1_000_000_000;
/// Bytes a second of one megabit a second.
const BYTES_OF_MEGABIT: u64 = 1_000_000 / 8;
const MINUTES_PER_DAY: u32 = 24 * 60;

/// A stretch of each day in UTC, written `22:00-06:00`: from the first minute to before the second, over midnight when the second is
/// earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    /// Minutes since midnight, below [`MINUTES_PER_DAY`].
    from: u32,
    /// Minutes since midnight, 1 to [`MINUTES_PER_DAY`].
    until: u32,
}

impl Hours {
    /// Whether a moment lies in the stretch of its day.
    #[must_use]
    pub fn contain(self, time: Timestamp) -> bool {
        let minute = time.second_of_day() / 60;
        let (begun, over) = (self.from <= minute, self.until <= minute);
        if self.from < self.until { begun && !over } else { begun || !over }
    }
}

impl FromStr for Hours {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        let refuse = |expected| FactError::value("budget.hours", text, expected);
        let minute_of = |time: &str| {
            let digits = |part: &str| {
                let two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
                two.then(|| part.parse::<u32>().ok()).flatten()
            };
            let (hour, minute) = time.split_once(':')?;
            let (hour, minute) = (digits(hour)?, digits(minute)?);
            let minutes = hour * 60 + minute;
            (minute < 60 && minutes <= MINUTES_PER_DAY).then_some(minutes)
        };
        let both = text.split_once('-').and_then(|(from, until)| Some((minute_of(from)?, minute_of(until)?)));
        let (from, until) = both.ok_or_else(|| refuse("two times of day in UTC like 22:00-06:00"))?;
        // Midnight is 00:00 where a stretch begins and 24:00 where it ends; either is taken at either place.
        let (from, until) = (from % MINUTES_PER_DAY, if until == 0 { MINUTES_PER_DAY } else { until });
        if from == until {
            return Err(refuse("two different times; leave it out to serve at all hours"));
        }
        Ok(Self { from, until })
    }
}

impl TryFrom<String> for Hours {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl Budget {
    /// Whether a node that served `in_month` bytes in the month is to serve nobody at `time`, and why. Traffic goes first: it is
    /// back later than the hour.
    #[must_use]
    pub fn pause(&self, in_month: Bytes, time: Timestamp) -> Option<Pause> {
        let gigabytes = self.gigabytes_per_month;
        if gigabytes.is_some_and(|limit| in_month.get() >= limit.saturating_mul(BYTES_PER_GIGABYTE)) {
            return Some(Pause::Budget);
        }
        self.hours.filter(|hours| !hours.contain(time)).map(|_| Pause::Hours)
    }
}

impl Config {
    /// What may pass the tunnel: what the SOCKS5 service, if there is one, does not have.
    #[must_use]
    pub fn tunnel_rates(&self) -> Rates {
        let all = self.budget.megabits_per_second.map(bytes_of_megabits);
        let all = match &self.socks5.socket {
            Some(_) => all.map(|all| all.saturating_sub(self.socks5_bytes().unwrap_or_default())),
            None => all,
        };
        self.rates(all)
    }

    /// What may pass the SOCKS5 service.
    #[must_use]
    pub fn socks5_rates(&self) -> Rates {
        self.rates(self.socks5_bytes())
    }

    fn socks5_bytes(&self) -> Option<u64> {
        let half = self.budget.megabits_per_second.map(|all| bytes_of_megabits(all) / 2);
        self.socks5.megabits_per_second.map(bytes_of_megabits).or(half)
    }

    fn rates(&self, all: Option<u64>) -> Rates {
        let device = self.budget.device_megabits_per_second.map(bytes_of_megabits);
        Rates { all: all.and_then(NonZeroU64::new), device: device.and_then(NonZeroU64::new) }
    }
}

fn bytes_of_megabits(megabits_per_second: u64) -> u64 {
    megabits_per_second.saturating_mul(BYTES_OF_MEGABIT)
}

impl Keeper {
    /// Judges anew whether the node is to serve, by the last sample. While the clock cannot be trusted the hour is not known: a
    /// node that serves goes on, and one that pauses for its hours waits.
    pub(crate) fn judge_budget(&mut self, now: Moment) {
        let in_month = self.ledger.state().meter.used().in_month();
        let budget = &self.config.budget;
        let paused = match (self.trusted(now), self.paused) {
            (Some(time), _) => budget.pause(in_month, time),
            (None, hours @ Some(Pause::Hours)) if budget.hours.is_some() => hours,
            (None, _) => Budget { hours: None, ..budget.clone() }.pause(in_month, now.wall),
        };
        if paused == self.paused {
            return;
        }
        tracing::info!(
            "{}",
            match paused {
                Some(Pause::Budget) => "the month's gigabytes are served: nobody is served until it turns",
                Some(Pause::Hours) => "outside the budget's hours: nobody is served until they begin",
                None => "the budget allows to serve again",
            }
        );
        self.paused = paused;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use wiregrant_core::peer::DesiredPeer;

    use super::*;
    use crate::keeper::tests::{self, TestNode};

    fn at(hour: u64, minute: u64) -> Timestamp {
        let day: Timestamp = "2026-07-06T00:00:00Z".parse().unwrap();
        day.plus_seconds(hour * 3600 + minute * 60)
    }

    #[test]
    fn what_the_socks5_service_may_use_the_tunnel_may_not() {
        let of = |text: &str| {
            let config = Config::parse(text).unwrap();
            let bytes = |rates: Rates| [rates.all, rates.device].map(|rate| rate.map_or(0, NonZeroU64::get));
            (bytes(config.tunnel_rates()), bytes(config.socks5_rates()))
        };
        let socket = "[socks5]\nsocket = '/run/x'\n";
        let budget = "[budget]\nmegabits_per_second = 8\ndevice_megabits_per_second = 2\n";
        assert_eq!(of(budget).0, [1_000_000, 250_000]);
        assert_eq!(of(&format!("{budget}{socket}")), ([500_000, 250_000], [500_000, 250_000]));
        let part = format!("{budget}{socket}megabits_per_second = 1");
        assert_eq!(of(&part), ([875_000, 250_000], [125_000, 250_000]));
        assert_eq!(of(&format!("{socket}megabits_per_second = 1")), ([0, 0], [125_000, 0]));
        assert_eq!(of(socket), ([0, 0], [0, 0]));
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let (night, day): (Hours, Hours) = ("22:00-06:30".parse().unwrap(), "06:30-22:00".parse().unwrap());
        for (hour, minute, is_night) in
            [(22, 0, true), (23, 59, true), (0, 0, true), (6, 29, true), (6, 30, false), (21, 59, false)]
        {
            assert_eq!(night.contain(at(hour, minute)), is_night, "{hour}:{minute}");
            assert_eq!(day.contain(at(hour, minute)), !is_night, "{hour}:{minute}");
        }
        let whole: Hours = "00:00-24:00".parse().unwrap();
        let evening: Hours = "18:00-00:00".parse().unwrap();
        assert!(whole.contain(at(0, 0)) && whole.contain(at(23, 59)));
        assert!(evening.contain(at(23, 59)) && !evening.contain(at(0, 0)) && !evening.contain(at(17, 59)));
    }

    #[test]
    fn what_are_no_hours_is_refused_by_field_value_and_way_out() {
        for bad in [
            "",
            "22:00",
            "22-06",
            "24:01-06:00",
            "22:60-06:00",
            "1:00-2:00",
            "22:00 - 06:00",
            "+1:00-02:00",
            "06:00-06:00",
        ] {
            let error = bad.parse::<Hours>().unwrap_err().to_string();
            assert!(error.contains("budget.hours"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn hours_come_back_as_they_were_written_and_hold_as_many_minutes_as_they_say(
            from in 0..MINUTES_PER_DAY,
            length in 1..=MINUTES_PER_DAY,
        ) {
            let until = (from + length - 1) % MINUTES_PER_DAY + 1;
            prop_assume!(from != until);
            let text = Hours { from, until }.to_string();
            let hours: Hours = text.parse().unwrap();
            prop_assert_eq!(hours.to_string(), text);
            let minutes = (0..24 * 60).filter(|minute| hours.contain(at(0, *minute))).count();
            prop_assert_eq!(minutes, usize::try_from(length).unwrap());
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9:+ -]{0,12}|\\PC{0,12}") {
            if let Ok(hours) = text.parse::<Hours>() {
                prop_assert_eq!(hours.to_string().parse::<Hours>().unwrap(), hours);
            }
        }
    }

    fn until_spring() -> Vec<DesiredPeer> {
        let expires = tests::at(90 * 86_400).wall;
        (0..3).map(|n| DesiredPeer { expires, ..tests::peer(n) }).collect()
    }

    #[test]
    fn a_node_whose_gigabytes_are_served_pauses_until_the_month_turns_and_loses_no_byte() {
        let mut node = TestNode::new();
        node.config.budget.gigabytes_per_month = Some(1);
        node.restart();
        node.want(until_spring(), None).unwrap();
        node.traffic(0, 600_000_000, 0);
        node.traffic(1, 0, 399_999_999);
        node.converge_at(2_010);
        assert_eq!((node.live().len(), node.keeper().paused), (3, None));
        node.traffic(1, 1, 0);
        node.converge_at(2_020);
        assert_eq!((node.live(), node.keeper().paused), (vec![], Some(Pause::Budget)));
        assert_eq!(node.counted(), 1_000_000_000);
        node.restart();
        node.want(until_spring(), None).unwrap();
        node.converge_at(31 * 86_400 - 1);
        assert_eq!(node.live(), []);
        node.converge_at(31 * 86_400);
        assert_eq!((node.live().len(), node.keeper().paused), (3, None));
    }

    #[test]
    fn outside_its_hours_a_node_serves_nobody_and_by_a_clock_that_is_off_nothing_changes() {
        let mut node = TestNode::new();
        node.config.budget.hours = Some("00:00-01:00".parse().unwrap());
        node.restart();
        node.want(until_spring(), None).unwrap();
        let off = |wall, monotonic| Moment { monotonic: Duration::from_secs(monotonic), ..tests::at(wall) };
        node.keeper().converge(off(9_000, 2_010)).unwrap();
        assert_eq!(node.live().len(), 3);
        node.traffic(0, 5, 6);
        node.converge_at(3_600);
        assert_eq!((node.live(), node.counted()), (vec![], 11));
        assert_eq!(node.keeper().paused, Some(Pause::Hours));
        node.keeper().converge(off(86_400, 3_700)).unwrap();
        assert_eq!(node.live(), []);
        node.converge_at(86_400);
        assert_eq!((node.live().len(), node.keeper().paused), (3, None));
    }
}
