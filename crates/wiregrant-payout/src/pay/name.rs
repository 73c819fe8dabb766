//! `PaymentName`: a name such as `name@example.org`, whose link is a record in the DNS (BIP 353) with a DNSSEC proof.
//!
//! The proof is the chain of records from the DNS's root to the name's (RFC 9102), which anyone checks without a network.
//! How it is fetched is another crate's.

use std::fmt;

use dnssec_prover::rr::{Name, RR};
use dnssec_prover::ser::parse_rr_stream;
use dnssec_prover::validation::verify_rr_stream;
use wiregrant_core::Timestamp;
use wiregrant_core::note::Network;

use super::{PaymentUri, refused};
use crate::PayoutError;

/// The longest proof: twenty records of the largest kind that the DNS has room for are far fewer.
pub const MAX_PROOF_BYTES: usize = 64 * 1024;

/// A name of one network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentName {
    text: String,
    record: Name,
    network: Network,
}

impl PaymentName {
    /// Reads `user@domain`, both of letters, digits, dots, hyphens and underscores.
    ///
    /// # Errors
    /// [`PayoutError::Pay`].
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        let refuse = || {
            refused(
                "name",
                text,
                "two parts around an @ are expected, as in name@example.org, of letters, digits, `.`, `-` and `_`; \
                 write other letters in punycode",
            )
        };
        let (user, domain) = text.split_once('@').ok_or_else(refuse)?;
        let is_part = |part: &str| {
            part.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            })
        };
        if !is_part(user) || !is_part(domain) || !domain.contains('.') {
            return Err(refuse());
        }
        let record = format!("{user}.user._bitcoin-payment.{domain}.");
        let record = Name::try_from(record.as_str()).map_err(|()| refuse())?;
        Ok(Self { text: text.to_ascii_lowercase(), record, network })
    }

    /// The name of its record in the DNS, which has type TXT.
    #[must_use]
    pub fn record(&self) -> &Name {
        &self.record
    }

    /// The link that the name has, by a proof that holds at `now`.
    ///
    /// # Errors
    /// The proof does not hold, or not now; the name has no link, several, or one that cannot be paid.
    pub fn resolved(&self, proof: &[u8], now: Timestamp) -> Result<PaymentUri, PayoutError> {
        let refuse = |problem: &str| refused("name", &self.text, problem);
        if proof.len() > MAX_PROOF_BYTES {
            return Err(refuse("its proof is longer than 64 KiB"));
        }
        let records = parse_rr_stream(proof).map_err(|()| refuse("its proof is no chain of DNS records"))?;
        let verified = verify_rr_stream(&records).map_err(|error| {
            refuse(&format!("its DNSSEC proof does not hold ({error:?}); see that the zone is signed"))
        })?;
        let now = u64::try_from(now.unix_seconds()).unwrap_or(0);
        if now < verified.valid_from || now > verified.expires {
            return Err(refuse("its DNSSEC proof is of another time; look the name up again"));
        }
        let mut links = Vec::new();
        for record in verified.resolve_name(&self.record) {
            let RR::Txt(text) = record else { continue };
            match String::from_utf8(text.data.as_vec()) {
                Ok(text) if text.to_ascii_lowercase().starts_with("bitcoin:") => links.push(text),
                _ => {}
            }
        }
        // BIP 353: several records that begin so make all of them invalid.
        match links.as_slice() {
            [link] => PaymentUri::parse(link, self.network),
            [] => Err(refuse("it has no record that begins with `bitcoin:`")),
            _ => Err(refuse(
                "it has several records that begin with `bitcoin:`, which makes all of them invalid",
            )),
        }
    }
}

impl fmt::Display for PaymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
