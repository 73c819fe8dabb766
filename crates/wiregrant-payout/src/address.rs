//! `PayoutAddress`: a Bitcoin address that was checked for one network and can be paid.
//!
//! The checks and their messages are this crate's own: a typo, an address of another network and one that would burn
//! the coins are different mistakes, and the person who made one should read which.

use std::fmt;

use bitcoin::bech32::primitives::decode::UncheckedHrpstring;
use bitcoin::bech32::{Bech32, Bech32m};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Address, PubkeyHash, ScriptBuf, ScriptHash, WitnessProgram, WitnessVersion, XOnlyPublicKey, base58,
};
use wiregrant_core::Sats;
use wiregrant_core::note::Network;

use crate::{PayoutError, secret};

/// The longest text that can be an address (BIP 173).
const MAX_CHARS: usize = 90;

/// The program of a pay-to-anchor output (`OP_1 <4e73>`), which anyone can spend.
const ANCHOR_PROGRAM: [u8; 2] = [0x4e, 0x73];

/// An address of type P2PKH, P2SH, P2WPKH, P2WSH or P2TR, valid on its network. Shown in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PayoutAddress {
    address: Address,
    network: Network,
}

impl PayoutAddress {
    /// Checks `text` for `network`. Upper-case bech32 is read (QR codes use it) and shown in lower case.
    ///
    /// testnet4 and signet share the prefix `tb1`, and all test networks share their base58 versions, so an address
    /// cannot tell these networks apart: the network always comes from configuration.
    ///
    /// # Errors
    /// [`PayoutError::LooksLikeASecret`], [`PayoutError::WrongNetwork`], or [`PayoutError::Address`] with what is wrong.
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        if let Some(kind) = secret::kind(text) {
            return Err(PayoutError::LooksLikeASecret { field: "address", kind });
        }
        if let Some(problem) = no_address_at_all(text) {
            return Err(refused(text, problem));
        }
        let lower = text.to_ascii_lowercase();
        let script = match lower.split_once('1') {
            Some(("bc" | "tb" | "bcrt", _)) => segwit_script(text, &lower, network)?,
            Some(("sp" | "tsp", rest)) if rest.len() > 60 => {
                return Err(refused(text, "silent payments are not paid yet; give an ordinary address"));
            }
            _ => base58_script(text, network)?,
        };
        Self::from_script(&script, network).ok_or_else(|| {
            refused(text, "no address that can be paid; ask your wallet for a new receiving address")
        })
    }

    /// The address of a script, if it is of a type that can be paid.
    #[must_use]
    pub fn from_script(script: &ScriptBuf, network: Network) -> Option<Self> {
        let payable = script.is_p2pkh()
            || script.is_p2sh()
            || script.is_p2wpkh()
            || script.is_p2wsh()
            || (script.is_p2tr() && XOnlyPublicKey::from_slice(&script.as_bytes()[2..]).is_ok());
        let address = Address::from_script(script, to_bitcoin(network)).ok().filter(|_| payable)?;
        Some(Self { address, network })
    }

    /// The network it was checked for.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The script an output to this address carries.
    #[must_use]
    pub fn script_pubkey(&self) -> ScriptBuf {
        self.address.script_pubkey()
    }

    /// The least an output to this address must hold for nodes to relay it, at Bitcoin Core's default of 3 sat/vB:
    /// P2PKH 546, P2SH 540, P2WPKH 294, P2WSH and P2TR 330.
    #[must_use]
    pub fn dust_limit(&self) -> Sats {
        dust_limit(&self.script_pubkey())
    }
}

impl fmt::Display for PayoutAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

/// As [`PayoutAddress::dust_limit`], for any script.
pub(crate) fn dust_limit(script: &bitcoin::Script) -> Sats {
    Sats::new(script.minimal_non_dust().to_sat()).unwrap_or(Sats::MAX)
}

fn to_bitcoin(network: Network) -> bitcoin::Network {
    match network {
        Network::Bitcoin => bitcoin::Network::Bitcoin,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    }
}

/// What to say about texts that were never meant to be an address, before their details are looked at.
fn no_address_at_all(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("empty; give a receiving address");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(
            "an address has no spaces, line breaks or letters outside of ASCII; give the address alone",
        );
    }
    if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("bitcoin:")) {
        return Some(
            "a payment link, where an address is asked for; give what stands between `bitcoin:` and `?`",
        );
    }
    if text.contains('@') {
        return Some("a name, where an address is asked for; give an address");
    }
    if text.contains('(') {
        return Some("a descriptor, where an address is asked for; give an address made from it");
    }
    (text.len() > MAX_CHARS)
        .then_some("longer than any address (90 characters); give a receiving address alone")
}

/// A refusal that shows the text only in part: it may be a secret that no longer looks like one.
fn refused(text: &str, problem: &'static str) -> PayoutError {
    let value = match text.is_ascii() {
        true if text.len() <= 20 && !text.contains(' ') => text.to_owned(),
        true if !text.contains(' ') => format!("{}…{}", &text[..8], &text[text.len().saturating_sub(4)..]),
        _ => "…".to_owned(),
    };
    PayoutError::Address { value, problem }
}

fn wrong_network(text: &str, looks_like: &'static str, network: Network) -> PayoutError {
    PayoutError::WrongNetwork { value: text.to_owned(), looks_like, network }
}

/// BIP 173 and BIP 350, with the additional rule that only outputs that someone can own are paid.
fn segwit_script(text: &str, lower: &str, network: Network) -> Result<ScriptBuf, PayoutError> {
    if text != lower && text != text.to_ascii_uppercase() {
        return Err(refused(
            text,
            "upper and lower case are mixed, so it was not copied whole; copy it again",
        ));
    }
    let typo = || refused(text, "the checksum does not fit: a character is wrong or missing; copy it again");
    let parts = UncheckedHrpstring::new(lower).map_err(|_| typo())?;
    let (bech32, bech32m) = (parts.has_valid_checksum::<Bech32>(), parts.has_valid_checksum::<Bech32m>());
    if !bech32 && !bech32m {
        return Err(typo());
    }
    let version = parts.witness_version().ok_or_else(typo)?.to_u8();
    match (version, bech32m) {
        (0, true) => {
            return Err(refused(
                text,
                "witness version 0 with a bech32m checksum: the wallet that wrote it is faulty; use another (BIP 350)",
            ));
        }
        (0, false) | (1, true) => {}
        (1, false) => {
            return Err(refused(
                text,
                "Taproot with a bech32 checksum instead of bech32m: the wallet that wrote it is too old; use another",
            ));
        }
        _ => {
            return Err(refused(
                text,
                "witness version 2 or above has no rules yet, so anyone could take the coins; give an address that \
                 begins with bc1q or bc1p (tb1, bcrt1)",
            ));
        }
    }
    let looks_like = match parts.hrp().to_lowercase().as_str() {
        "bc" if network == Network::Bitcoin => None,
        "tb" if matches!(network, Network::Testnet4 | Network::Signet) => None,
        "bcrt" if network == Network::Regtest => None,
        "bc" => Some("bitcoin"),
        "tb" => Some("testnet4 or signet"),
        _ => Some("regtest"),
    };
    if let Some(looks_like) = looks_like {
        return Err(wrong_network(text, looks_like, network));
    }
    witness_script(text, lower, version)
}

fn witness_script(text: &str, lower: &str, version: u8) -> Result<ScriptBuf, PayoutError> {
    let length =
        || refused(text, "its length fits no output type (20 or 32 bytes for version 0, 32 for Taproot)");
    let (_, _, program) = bitcoin::bech32::segwit::decode(lower).map_err(|_| length())?;
    let witness_version = match (version, program.len()) {
        (0, 20 | 32) => WitnessVersion::V0,
        (1, 32) => WitnessVersion::V1,
        (1, _) if program == ANCHOR_PROGRAM => {
            return Err(refused(
                text,
                "a pay-to-anchor output, which anyone can spend; give a receiving address",
            ));
        }
        _ => return Err(length()),
    };
    if version == 1 && XOnlyPublicKey::from_slice(&program).is_err() {
        return Err(refused(
            text,
            "Taproot, but its 32 bytes are no point of the curve: nobody could ever spend the coins; make a new address",
        ));
    }
    let program = WitnessProgram::new(witness_version, &program).map_err(|_| length())?;
    Ok(ScriptBuf::new_witness_program(&program))
}

fn base58_script(text: &str, network: Network) -> Result<ScriptBuf, PayoutError> {
    let payload = base58::decode_check(text).map_err(|error| match error {
        base58::Error::IncorrectChecksum(_) => {
            refused(text, "the checksum does not fit: a character is wrong or missing; copy it again")
        }
        _ => refused(text, "no Bitcoin address (they begin with bc1, tb1 or bcrt1, or with 1, 3, m, n or 2)"),
    })?;
    let unknown = || refused(text, "no Bitcoin address, perhaps one of another coin; give a Bitcoin address");
    let (version, hash) = payload.split_first().ok_or_else(unknown)?;
    let hash = <[u8; 20]>::try_from(hash).map_err(|_| unknown())?;
    let (main, script) = match *version {
        0x00 => (true, ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(hash))),
        0x6f => (false, ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(hash))),
        0x05 => (true, ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(hash))),
        0xc4 => (false, ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(hash))),
        _ => return Err(unknown()),
    };
    match (main, network == Network::Bitcoin) {
        (true, false) => Err(wrong_network(text, "bitcoin", network)),
        (false, true) => Err(wrong_network(text, "testnet4, signet or regtest", network)),
        _ => Ok(script),
    }
}

#[cfg(test)]
mod tests;
