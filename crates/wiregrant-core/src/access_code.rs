//! What a person redeems: 100 random bits in Crockford's base32, in groups.

use std::fmt;
use std::str::FromStr;

use crate::FactError;

/// Random bytes an access code is made from; the last four bits of the 13th are not used.
pub const ACCESS_CODE_BYTES: usize = 13;
const SYMBOLS: usize = 20;
const GROUP: usize = 5;
/// Crockford's alphabet: no I, L, O or U (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// An access code in canonical form: `7K3QF-0N2BX-R8MDT-4WHZC`. 100 bits: at least 80 are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessCode(String);

impl AccessCode {
    /// The code made of these random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; ACCESS_CODE_BYTES]) -> Self {
        let mut symbols = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
        for n in 0..SYMBOLS {
            if n > 0 && n % GROUP == 0 {
                symbols.push('-');
            }
            let value = (0..5).fold(0usize, |value, bit| {
                let at = n * 5 + bit;
                value << 1 | usize::from(bytes[at / 8] >> (7 - at % 8) & 1)
            });
            symbols.push(char::from(ALPHABET[value]));
        }
        Self(symbols)
    }

    /// The canonical text. It is a secret: it goes to the person and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessCode(…)")
    }
}

impl FromStr for AccessCode {
    type Err = FactError;
    /// Takes what people make of it: lower case, other grouping, and O, I, L for 0, 1, 1. The error does not repeat it.
    fn from_str(text: &str) -> Result<Self, FactError> {
        let refuse = || {
            FactError::value(
                "code",
                "…",
                "an access code: 20 letters and digits, such as 7K3QF-0N2BX-R8MDT-4WHZC; check for typing errors",
            )
        };
        if text.len() > 200 {
            return Err(refuse());
        }
        let mut symbols = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
        let mut count = 0;
        for letter in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            if !u8::try_from(letter).is_ok_and(|byte| ALPHABET.contains(&byte)) || count == SYMBOLS {
                return Err(refuse());
            }
            if count > 0 && count % GROUP == 0 {
                symbols.push('-');
            }
            symbols.push(letter);
            count += 1;
        }
        if count == SYMBOLS { Ok(Self(symbols)) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_four_groups_of_five() {
        assert_eq!(AccessCode::from_random([0xff; 13]).reveal(), "ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ");
        assert_eq!(AccessCode::from_random([0; 13]).reveal(), "00000-00000-00000-00000");
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code: AccessCode = " 7k3qf on2bx-r8mdt 4whzc\n".parse().unwrap();
        assert_eq!(code.reveal(), "7K3QF-0N2BX-R8MDT-4WHZC");
        for bad in ["", "7K3QF-0N2BX-R8MDT-4WHZ", "7K3QF-0N2BX-R8MDT-4WHZC0", "7K3QF-0N2BX-R8MDT-4WHZU"] {
            let error = bad.parse::<AccessCode>().unwrap_err().to_string();
            assert!(error.contains("typing errors") && !error.contains("0N2BX-R8MDT-4WHZU"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_code_reads_as_it_was_made(bytes in any::<[u8; 13]>()) {
            let code = AccessCode::from_random(bytes);
            prop_assert_eq!(code.reveal().to_lowercase().parse::<AccessCode>().unwrap(), code);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<AccessCode>();
        }
    }
}
