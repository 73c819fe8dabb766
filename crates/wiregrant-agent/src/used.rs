//! What devices have used of their allotments, and the node of its budget: bytes by device, in total and in the month.
//! Pure: the meter says what moved, and when a month begins.
//!
//! It is told from a peer's counters: it outlives the peer's removal from the interface and is forgotten only when the control
//! plane wants the device here no more. Like them it may say too little after a loss, and never too much.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wiregrant_core::allotment::Period;
use wiregrant_core::counter::Reading;
use wiregrant_core::in_step::InStep;
use wiregrant_core::{Bytes, Month, WireGuardPublicKey};

/// Bytes used on this node, over all services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// The month that bytes counted now belong to; unknown before the first trusted time.
    month: Option<Month>,
    /// What all devices together moved in that month.
    in_month: Bytes,
    /// What each device moved.
    devices: BTreeMap<WireGuardPublicKey, Device>,
}

/// What one device moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    /// Since it was first wanted here.
    total: Bytes,
    /// In the month.
    month: Bytes,
}

impl Used {
    /// Bytes counted from now on belong to this month.
    ///
    /// Only a later month begins with nothing used. An earlier one says that a clock was ahead: what was used since it was set
    /// ahead stays, and the month that it was taken for begins anew when it comes.
    pub fn enter(&mut self, month: Month) {
        if self.month.is_some_and(|known| known < month) {
            self.in_month = Bytes::ZERO;
            self.devices.values_mut().for_each(|device| device.month = Bytes::ZERO);
        }
        self.month = Some(month);
    }

    /// A device moved something.
    pub fn count(&mut self, device: WireGuardPublicKey, moved: Reading) {
        self.count_of_nobody(moved);
        let device = self.devices.entry(device).or_default();
        for sum in [&mut device.total, &mut device.month] {
            *sum = raised(raised(*sum, moved.received), moved.sent);
        }
    }

    /// The node served something, and whom is not known any more.
    pub fn count_of_nobody(&mut self, moved: Reading) {
        self.in_month = raised(raised(self.in_month, moved.received), moved.sent);
    }

    /// These devices are wanted here no more.
    pub fn forget(&mut self, devices: &[WireGuardPublicKey]) {
        for device in devices {
            self.devices.remove(device);
        }
    }

    /// The month that bytes counted now belong to.
    #[must_use]
    pub fn month(&self) -> Option<Month> {
        self.month
    }

    /// What all devices together moved in the month.
    #[must_use]
    pub fn in_month(&self) -> Bytes {
        self.in_month
    }

    /// What a device used of an allotment for `period`.
    #[must_use]
    pub fn of(&self, device: &WireGuardPublicKey, period: Period) -> Bytes {
        self.devices.get(device).copied().unwrap_or_default().of(period)
    }

    /// [`Self::of`] for devices that are asked for ascending by key, each once.
    pub fn in_step(&self) -> impl FnMut(&WireGuardPublicKey, Period) -> Bytes {
        let mut devices = InStep::new(&self.devices);
        move |device, period| devices.find(device).copied().unwrap_or_default().of(period)
    }

    /// The devices of whom something is kept, ascending by key.
    pub fn devices(&self) -> impl Iterator<Item = &WireGuardPublicKey> {
        self.devices.keys()
    }
}

impl Device {
    fn of(self, period: Period) -> Bytes {
        match period {
            Period::Total => self.total,
            Period::Month => self.month,
        }
    }
}

/// `total + bytes`, held at the most a note can say: above 9 exabytes the count says too little.
pub(crate) fn raised(total: Bytes, bytes: u64) -> Bytes {
    Bytes::new(bytes).and_then(|bytes| total.plus(bytes)).unwrap_or(Bytes::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Month {
        text.parse().unwrap()
    }

    fn moved(received: u64, sent: u64) -> Reading {
        Reading { received, sent }
    }

    fn of(used: &Used, device: u8) -> (u64, u64) {
        let device = [device; 32].into();
        (used.of(&device, Period::Total).get(), used.of(&device, Period::Month).get())
    }

    #[test]
    fn a_later_month_begins_with_nothing_used_and_totals_go_on() {
        let mut used = Used::default();
        used.count([1; 32].into(), moved(1, 2));
        used.enter(month("2026-07"));
        assert_eq!(
            (of(&used, 1), used.in_month().get()),
            ((3, 3), 3),
            "the first known month takes what was before it"
        );
        used.count([2; 32].into(), moved(0, 4));
        used.enter(month("2026-08"));
        assert_eq!((of(&used, 1), of(&used, 2), used.in_month().get()), ((3, 0), (4, 0), 0));
        used.count([1; 32].into(), moved(5, 0));
        assert_eq!((of(&used, 1), used.in_month().get()), ((8, 5), 5));
    }

    #[test]
    fn a_clock_that_was_ahead_lifts_nothing_twice_and_holds_no_month_back() {
        let mut used = Used::default();
        used.enter(month("2026-07"));
        used.count([1; 32].into(), moved(10, 0));
        used.enter(month("2031-01"));
        used.count([1; 32].into(), moved(7, 0));
        used.enter(month("2026-07"));
        assert_eq!(of(&used, 1), (17, 7));
        used.enter(month("2026-08"));
        assert_eq!(of(&used, 1), (17, 0));
    }

    #[test]
    fn asked_in_step_it_says_the_same() {
        let mut used = Used::default();
        [2, 3, 5].into_iter().for_each(|n| used.count([n; 32].into(), moved(n.into(), 0)));
        let mut in_step = used.in_step();
        for n in [1, 2, 2, 4, 5, 6] {
            let device = [n; 32].into();
            assert_eq!(in_step(&device, Period::Total), used.of(&device, Period::Total), "{n}");
        }
    }

    #[test]
    fn a_device_that_is_wanted_no_more_is_forgotten_and_the_nodes_month_is_not() {
        let mut used = Used::default();
        used.enter(month("2026-07"));
        used.count([1; 32].into(), moved(10, 0));
        used.forget(&[[1; 32].into(), [2; 32].into()]);
        assert_eq!((of(&used, 1), used.in_month().get(), used.devices().count()), ((0, 0), 10, 0));
    }
}
