//! Who is asked to cosign: the entries of `witnesses` in the configuration.

use std::fmt;

use transparency_log::{CosignerVerifier, WitnessPolicy};

use super::{ConfigError, refused};

/// The most that are asked. Each adds a line to every checkpoint.
const MAX_WITNESSES: usize = 16;

/// A witness and where it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessAddress {
    /// Its key.
    pub verifier: CosignerVerifier,
    /// The prefix of its addresses, without a slash at the end.
    pub url: String,
}

impl fmt::Display for WitnessAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verifier, self.url)
    }
}

/// Checks every entry.
///
/// # Errors
/// The first that is not a key and an address, or two with one key.
pub(super) fn checked(given: Vec<String>) -> Result<Vec<WitnessAddress>, ConfigError> {
    let expected = "\"<key> <address>\", where the key is one of a witness, `<name>+<key id>+<base64>`, and the address begins \
                    with http:// or https://";
    if given.len() > MAX_WITNESSES {
        return Err(refused("witnesses", &given.len().to_string(), "at most 16"));
    }
    let read = |entry: &str| {
        let (vkey, url) = entry.split_once(' ')?;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let good = !rest.is_empty() && url.bytes().all(|b| b.is_ascii_graphic() && !b"?#@".contains(&b));
        let url = url.trim_end_matches('/').to_owned();
        good.then_some(WitnessAddress { verifier: vkey.parse().ok()?, url })
    };
    let witnesses: Vec<WitnessAddress> = given
        .iter()
        .map(|entry| read(entry).ok_or_else(|| refused("witnesses", entry, expected)))
        .collect::<Result<_, _>>()?;
    let verifiers: Vec<_> = witnesses.iter().map(|witness| witness.verifier.clone()).collect();
    if !verifiers.is_empty()
        && let Err(error) = WitnessPolicy::new(verifiers, 1)
    {
        return Err(refused("witnesses", &error.to_string(), "a list in which each has a key of its own"));
    }
    Ok(witnesses)
}

#[cfg(test)]
mod tests {
    use transparency_log::CosignerKey;

    use super::*;

    #[test]
    fn a_witness_is_a_key_and_an_address() {
        let vkey = CosignerKey::new("witness.example/w1", [1; 32]).unwrap().verifier().to_string();
        let of_log = transparency_log::SigningKey::new("a", [1; 32]).unwrap().verifier().to_string();
        let read = checked(vec![format!("{vkey} https://witness.example/")]).unwrap();
        assert_eq!(read[0].to_string(), format!("{vkey} https://witness.example"));
        for refused in [
            vec![vkey.clone()],
            vec![format!("{vkey} witness.example")],
            vec![format!("{vkey} http://me:secret@witness.example")],
            vec![format!("{of_log} http://witness.example")],
            vec![format!("{vkey} http://a"), format!("{vkey} http://b")],
            vec![format!("{vkey} http://a"); 17],
        ] {
            assert!(checked(refused.clone()).unwrap_err().to_string().contains("witnesses"), "{refused:?}");
        }
    }
}
