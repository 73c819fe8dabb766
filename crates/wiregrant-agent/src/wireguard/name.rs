//! The name of a network interface, checked before it reaches a command line or a path.

use std::fmt;
use std::str::FromStr;

use super::WireGuardError;

/// 1 to 15 of `a-z A-Z 0-9 _ -`, beginning with a letter or digit. Linux allows more; a slash or a leading dash would become
/// a path or an option elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = WireGuardError;

    fn from_str(text: &str) -> Result<Self, WireGuardError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let holds = (1..=15).contains(&text.len())
            && text.bytes().all(plain)
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if holds { Ok(Self(text.to_owned())) } else { Err(WireGuardError::Name { value: text.to_owned() }) }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_or_an_option_is_refused() {
        for good in ["wg0", "wiregrant", "a", "abcdefghijklmno", "wg_1-x"] {
            assert_eq!(good.parse::<InterfaceName>().unwrap().as_str(), good);
        }
        for bad in ["", "../wg0", "-j", "_x", "wg 0", "abcdefghijklmnop", "wg0\n", "wgé"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?}");
        }
    }
}
