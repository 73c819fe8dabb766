//! When which sizes of a log were seen, by this machine's own clock. The record carries no times, so that what this program
//! remembers is all it knows of how long ago something was logged.

use std::fmt;
use std::str::FromStr;

use wiregrant_core::Timestamp;

/// The most lines that are kept: of a longer list every second one of the older half goes, which makes things look younger.
const MAX_LINES: usize = 10_000;

/// Times and sizes, both rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(Vec<(i64, u64)>);

impl Seen {
    /// Adds what is seen now; whether it is new. A clock that was set back adds nothing.
    pub fn add(&mut self, now: Timestamp, size: u64) -> bool {
        let now = now.unix_seconds();
        if self.0.last().is_some_and(|(time, known)| *known >= size || *time > now) {
            return false;
        }
        self.0.push((now, size));
        if self.0.len() > MAX_LINES {
            let older = self.0.len() / 2;
            let mut place = 0;
            self.0.retain(|_| {
                place += 1;
                place > older || place % 2 == 0
            });
        }
        true
    }

    /// Since when the entry at an index is known to be logged.
    pub fn since(&self, index: u64) -> Option<Timestamp> {
        let (time, _) = self.0.iter().find(|(_, size)| *size > index)?;
        Timestamp::from_unix_seconds(*time).ok()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(time, size)| writeln!(f, "{time} {size}"))
    }
}

impl FromStr for Seen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let line = |line: &str| {
            let (time, size) = line.split_once(' ')?;
            Some((time.parse().ok()?, size.parse().ok()?))
        };
        let lines: Vec<(i64, u64)> = text.lines().map(line).collect::<Option<_>>().ok_or(())?;
        let rises = lines.array_windows().all(|[before, after]| before.0 <= after.0 && before.1 < after.1);
        rises.then_some(Self(lines)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    #[test]
    fn an_entry_is_known_since_the_first_size_that_holds_it() {
        let mut seen = Seen::default();
        assert!(seen.add(at(100), 3) && seen.add(at(200), 5));
        assert!(!seen.add(at(300), 5) && !seen.add(at(150), 9), "nothing new, and a clock that was set back");
        assert_eq!(seen.since(2), Some(at(100)));
        assert_eq!(seen.since(3), Some(at(200)));
        assert_eq!(seen.since(5), None);
        assert_eq!(seen.to_string().parse(), Ok(seen));
        for wrong in ["x", "1", "2 5\n1 6\n", "1 5\n2 5\n"] {
            assert!(wrong.parse::<Seen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_list_is_thinned_and_makes_nothing_older() {
        let mut seen = Seen::default();
        for size in 1..=25_000 {
            assert!(seen.add(at(i64::try_from(size).unwrap()), size));
        }
        assert!(seen.0.len() <= MAX_LINES);
        for index in [0, 7, 12_000, 24_999] {
            assert!(seen.since(index).unwrap() >= at(i64::try_from(index).unwrap() + 1));
        }
    }
}
