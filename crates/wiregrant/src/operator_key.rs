//! An operator's own key, with which they sign where they are paid. It is made here and kept in a file of theirs.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use transparency_log::SigningKey;
use wiregrant_core::OperatorId;
use zeroize::{Zeroize as _, Zeroizing};

use crate::private_file::{MAX_SECRET_BYTES, read_text};

/// How the file begins; the form is that of Go's `golang.org/x/mod/sumdb/note`, so that its tools read it too:
/// `PRIVATE+KEY+<name>+<hex key id>+<base64(0x01 || seed)>`.
const PREFIX: &str = "PRIVATE+KEY+";
const ED25519: u8 = 0x01;

/// A key pair whose name is the operator's id.
#[derive(Debug)]
pub struct OperatorKey {
    /// Signs notes.
    pub key: SigningKey,
    /// Whose it is.
    pub operator: OperatorId,
}

impl OperatorKey {
    /// Reads the key of this operator.
    ///
    /// # Errors
    /// A file that cannot be read or holds none, or another operator's.
    pub fn read(path: &Path, operator: &OperatorId) -> Result<Self> {
        let text = Zeroizing::new(read_text(path, MAX_SECRET_BYTES)?);
        let key: Self = text.parse().with_context(|| format!("--key: {}", path.display()))?;
        if key.operator != *operator {
            bail!(
                "--operator: {operator} is not the key's: {} holds the key of {}",
                path.display(),
                key.operator
            );
        }
        Ok(key)
    }

    /// The file's content for a key made of this seed.
    ///
    /// # Errors
    /// When no key can have this name, which no operator's id causes.
    pub fn file_text(operator: &OperatorId, seed: &[u8; 32]) -> Result<Zeroizing<String>> {
        let key = SigningKey::new(operator.as_str(), *seed)?;
        let mut material = vec![ED25519];
        material.extend(seed);
        let encoded = Zeroizing::new(BASE64.encode(&material));
        material.zeroize();
        let id = key.verifier().key_id();
        Ok(Zeroizing::new(format!("{PREFIX}{operator}+{id:08x}+{}\n", encoded.as_str())))
    }
}

impl FromStr for OperatorKey {
    type Err = anyhow::Error;

    /// The error never repeats the content.
    fn from_str(text: &str) -> Result<Self> {
        const EXPECTED: &str = "not an operator's key: one line beginning with PRIVATE+KEY+, as `wiregrant operator key make` writes it";
        let body = text.trim_end_matches('\n').strip_prefix(PREFIX).context(EXPECTED)?;
        let mut parts = body.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            bail!(EXPECTED)
        };
        let material = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok().context(EXPECTED)?);
        let Some((&ED25519, seed)) = material.split_first() else { bail!(EXPECTED) };
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).ok().context(EXPECTED)?);
        let operator: OperatorId = name.parse().ok().context(EXPECTED)?;
        let key = SigningKey::new(name, *seed)?;
        if format!("{:08x}", key.verifier().key_id()) != id {
            bail!("the key's id does not belong to its name and seed: the file was changed; use your copy");
        }
        Ok(Self { key, operator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> String {
        OperatorKey::file_text(&"nordlicht".parse().unwrap(), &[7; 32]).unwrap().to_string()
    }

    #[test]
    fn a_key_reads_as_it_was_written() {
        let read: OperatorKey = text().parse().unwrap();
        assert_eq!(read.operator.as_str(), "nordlicht");
        assert_eq!(read.key.verifier(), SigningKey::new("nordlicht", [7; 32]).unwrap().verifier());
    }

    #[test]
    fn a_changed_key_is_refused_and_not_repeated() {
        for changed in
            [text().replace("nordlicht", "polaris"), text().replace("PRIVATE", "Private"), "x".into()]
        {
            let error = changed.parse::<OperatorKey>().unwrap_err().to_string();
            assert!(!error.contains("BwcH"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_reads_as_a_key_prints_the_same(seed: [u8; 32], at in 0usize..80, byte in 0x20u8..0x7f) {
            let operator: OperatorId = "nordlicht".parse().unwrap();
            let mut text = OperatorKey::file_text(&operator, &seed).unwrap().to_string().into_bytes();
            let at = at % text.len();
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Ok(read) = text.parse::<OperatorKey>() {
                let whole = OperatorKey::file_text(&operator, &seed).unwrap();
                prop_assert_eq!(read.operator, operator);
                prop_assert_eq!(text.trim_end(), whole.trim_end());
            }
        }
    }
}
