//! The decimal number as C2SP texts write it: ASCII digits, no sign, no leading zero, at most 2^63-1.

use crate::error::{LogError, excerpt};
use crate::tile::MAX_TREE_SIZE;

/// Reads the only spelling of a number; `field` names it in the error.
pub(crate) fn parse_number(field: &'static str, text: &str) -> Result<u64, LogError> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    let value = if canonical { text.parse().ok() } else { None };
    value
        .filter(|number| *number <= MAX_TREE_SIZE)
        .ok_or_else(|| LogError::NumberFormat { field, found: excerpt(text) })
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(parse_number("n", "0"), Ok(0));
        assert_eq!(parse_number("n", "9223372036854775807"), Ok(9_223_372_036_854_775_807));
        for refused in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "٣",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert!(parse_number("n", refused).is_err(), "{refused:?} must be refused");
        }
    }
}
