//! `PaymentUri`: a `bitcoin:` link (BIP 321, and BIP 21 before it).

use std::fmt;

use wiregrant_core::note::Network;

use super::refused;
use crate::{PayoutAddress, PayoutError};

/// The longest link: what a destination's note has room for.
const MAX_CHARS: usize = 3 * 1024;

/// Keys that may stand once (BIP 321).
const ONCE: [&str; 4] = ["amount", "label", "message", "pop"];

/// A link, its address and its offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentUri {
    text: String,
    address: Option<PayoutAddress>,
    offer: Option<String>,
}

impl PaymentUri {
    /// Reads a link. Its address is the one in its path, else the first in a key that names a kind of segwit address (`bc`,
    /// `tb`, `bcrt`); what else it offers is left aside, but for a BOLT 12 offer (`lno`).
    ///
    /// # Errors
    /// [`PayoutError::Pay`]: no link, nothing in it that can be paid, an amount, or a requirement that is not known;
    /// those of its address.
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        let refuse = |problem: &str| refused("link", text, problem);
        if text.len() > MAX_CHARS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("at most 3,072 characters of ASCII without spaces are a link"));
        }
        let rest = match text.get(..8) {
            Some(scheme) if scheme.eq_ignore_ascii_case("bitcoin:") => &text[8..],
            _ => return Err(refuse("a link begins with `bitcoin:`")),
        };
        // A fragment is for browsers.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut address = match path {
            "" => None,
            path => Some(PayoutAddress::parse(path, network)?),
        };
        let (mut offer, mut seen) = (None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let key = key.to_ascii_lowercase();
            let value = decoded(value).ok_or_else(|| refuse("a part with % is not of its form"))?;
            if ONCE.contains(&key.as_str()) && seen.contains(&key) {
                return Err(refuse("a part that may stand once stands twice"));
            }
            match key.as_str() {
                "amount" => return Err(refuse("it asks for an amount; give a link without one")),
                key if key.starts_with("req-") => {
                    return Err(refuse(
                        "it requires what is not known here (`req-`); give a link without that",
                    ));
                }
                key if key == segwit_key(network) && address.is_none() => {
                    address = Some(PayoutAddress::parse(&value, network)?);
                }
                "lno" if offer.is_none() => offer = Some(value),
                _ => {}
            }
            seen.push(key);
        }
        if address.is_none() && offer.is_none() {
            return Err(refuse("there is no address in it"));
        }
        Ok(Self { text: text.to_owned(), address, offer })
    }

    /// The address.
    ///
    /// # Errors
    /// There is none.
    pub fn address(&self) -> Result<PayoutAddress, PayoutError> {
        self.address.clone().ok_or_else(|| refused("link", &self.text, "there is no address in it"))
    }

    /// The BOLT 12 offer, as it is written.
    #[must_use]
    pub fn offer(&self) -> Option<&str> {
        self.offer.as_deref()
    }
}

impl fmt::Display for PaymentUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segwit_key(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bc",
        Network::Testnet4 | Network::Signet => "tb",
        Network::Regtest => "bcrt",
    }
}

/// What stands behind percent signs (RFC 3986, section 2.1).
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push((digit(rest.next()?)? << 4) | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}
