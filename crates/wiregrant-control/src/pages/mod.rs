//! The public pages: a landing page, and a report for each grant as HTML, JSON and CSV.
//!
//! Architecture invariant: nothing here sees a usage report, a node's inputs or a device. A page is computed from
//! statements' lines (and the batches that hold them) and nothing finer, so it cannot tell more than they do.

mod grant_report;
mod landing;

pub use grant_report::{EpochReport, GrantReport, OperatorReport, PayoutState};
pub use landing::{GrantSummary, Landing};

/// The one stylesheet, `/style.css`.
pub const STYLESHEET: &str = include_str!("../../templates/style.css");

/// Sats for people: groups of three digits, thin spaces between them.
fn sats_for_people(sats: wiregrant_core::Sats) -> String {
    grouped(sats.get())
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len().saturating_sub(at)).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A moment for people, to the minute: `2026-07-06 12:00`; the page says that it is UTC.
fn time_for_people(time: wiregrant_core::Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number).replace('\u{202f}', " "), shown);
        }
    }

    #[test]
    fn a_moment_is_shown_to_the_minute() {
        assert_eq!(time_for_people("2026-07-06T12:34:56Z".parse().unwrap()), "2026-07-06 12:34");
    }
}
