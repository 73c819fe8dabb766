//! The signatures that a script asks for.

use bitcoin::ecdsa;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::Message;
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::taproot;
use bitcoin::{PublicKey, XOnlyPublicKey};

use super::run::{Rules, Run};
use super::{NOT_SATISFIED, NOT_UNDERSTOOD};

/// The most keys of a CHECKMULTISIG (consensus, `MAX_PUBKEYS_PER_MULTISIG`).
const MAX_KEYS: usize = 20;
/// The most signatures looked at: any script of a wallet has far fewer, and each costs time.
const MAX_SIGNATURES: usize = 200;

impl Run<'_> {
    pub(super) fn check_signature(&mut self, signature: &[u8], key: &[u8]) -> Result<bool, &'static str> {
        match self.rules {
            Rules::Legacy | Rules::V0 => self.ecdsa(signature, key),
            // A key of another length is one of a kind to come, whose signatures always hold by consensus.
            Rules::KeyPath | Rules::Tapscript(_) => {
                let key = XOnlyPublicKey::from_slice(key).map_err(|_| NOT_UNDERSTOOD)?;
                self.schnorr(signature, key)
            }
        }
    }

    fn count_signature(&mut self) -> Result<(), &'static str> {
        self.signatures += 1;
        if self.signatures > MAX_SIGNATURES { Err(NOT_UNDERSTOOD) } else { Ok(()) }
    }

    fn ecdsa(&mut self, signature: &[u8], key: &[u8]) -> Result<bool, &'static str> {
        if signature.is_empty() {
            return Ok(false);
        }
        let (signature, key) = self.encoded(signature, key)?;
        match self.ecdsa_holds(&signature, &key)? {
            true => Ok(true),
            false => Err(NOT_SATISFIED),
        }
    }

    fn encoded(&self, signature: &[u8], key: &[u8]) -> Result<(ecdsa::Signature, PublicKey), &'static str> {
        let signature =
            ecdsa::Signature::from_slice(signature).map_err(|_| "a signature is not strictly encoded")?;
        let mut low = signature.signature;
        low.normalize_s();
        if signature.sighash_type != EcdsaSighashType::All || low != signature.signature {
            return Err("a signature has another sighash than ALL, or a high S");
        }
        let key = PublicKey::from_slice(key).map_err(|_| NOT_UNDERSTOOD)?;
        if self.rules == Rules::V0 && !key.compressed {
            return Err("a segwit key is not compressed");
        }
        Ok((signature, key))
    }

    fn ecdsa_holds(&mut self, signature: &ecdsa::Signature, key: &PublicKey) -> Result<bool, &'static str> {
        self.count_signature()?;
        let mut cache = SighashCache::new(self.to_sign);
        let digest = match self.rules {
            Rules::Legacy => cache
                .legacy_signature_hash(0, self.script, EcdsaSighashType::All.to_u32())
                .map_err(|_| NOT_UNDERSTOOD)?
                .to_byte_array(),
            // P2WPKH's script code is signed like a P2WSH script.
            _ => cache
                .p2wsh_signature_hash(0, self.script, self.spent.value, EcdsaSighashType::All)
                .map_err(|_| NOT_UNDERSTOOD)?
                .to_byte_array(),
        };
        let digest = Message::from_digest(digest);
        Ok(self.secp.verify_ecdsa(&digest, &signature.signature, &key.inner).is_ok())
    }

    pub(super) fn schnorr(&mut self, signature: &[u8], key: XOnlyPublicKey) -> Result<bool, &'static str> {
        if signature.is_empty() {
            return Ok(false);
        }
        self.count_signature()?;
        let signature = taproot::Signature::from_slice(signature).map_err(|_| NOT_SATISFIED)?;
        if ![TapSighashType::Default, TapSighashType::All].contains(&signature.sighash_type) {
            return Err("a signature has another sighash than DEFAULT or ALL");
        }
        let mut cache = SighashCache::new(self.to_sign);
        let spent = [self.spent];
        let (spent, of) = (Prevouts::All(&spent), signature.sighash_type);
        let digest = match self.rules {
            Rules::Tapscript(leaf) => cache.taproot_script_spend_signature_hash(0, &spent, leaf, of),
            _ => cache.taproot_key_spend_signature_hash(0, &spent, of),
        };
        let digest = Message::from_digest(digest.map_err(|_| NOT_UNDERSTOOD)?.to_byte_array());
        match self.secp.verify_schnorr(&signature.signature, &digest, &key) {
            Ok(()) => Ok(true),
            Err(_) => Err(NOT_SATISFIED),
        }
    }

    /// CHECKMULTISIG: signatures in the order of their keys; the one element too many that it takes must be empty (BIP 147).
    pub(super) fn check_signatures(&mut self) -> Result<bool, &'static str> {
        let keys = self.pop_counted(MAX_KEYS)?;
        let signatures = self.pop_counted(keys.len())?;
        if !self.pop()?.is_empty() {
            return Err("the extra element of a multisignature is not empty");
        }
        if signatures.iter().all(Vec::is_empty) && !signatures.is_empty() {
            return Ok(false);
        }
        let mut keys = keys.iter();
        for signature in &signatures {
            let held = loop {
                let Some(key) = keys.next() else { break false };
                let (signature, key) = self.encoded(signature, key)?;
                if self.ecdsa_holds(&signature, &key)? {
                    break true;
                }
            };
            if !held {
                return Err(NOT_SATISFIED);
            }
        }
        Ok(true)
    }
}
