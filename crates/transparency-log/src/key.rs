//! Keys: the Ed25519 key that signs notes, and the verifier key (vkey) that others pin.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use zeroize::Zeroize;

use crate::error::{LogError, excerpt};
use crate::hash::Hash;
use crate::note::{NoteSignature, check_text};

/// What a key signs: the identifier in key ids and vkeys that keeps one kind of signature from passing for another
/// (c2sp.org/signed-note).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureType {
    /// Ed25519 over a note's text.
    Note = 0x01,
    /// Ed25519 over a checkpoint and a time (c2sp.org/tlog-cosignature).
    Cosignature = 0x04,
}

impl SignatureType {
    /// What to say of a vkey of another type.
    fn mismatch(self) -> &'static str {
        match self {
            Self::Note => "the key's type is not Ed25519 (0x01)",
            Self::Cosignature => "the key's type is not Ed25519 cosignature (0x04)",
        }
    }
}

/// A named Ed25519 key that signs notes. The seed is wiped on drop and shown by nothing.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: Verifier,
}

impl SigningKey {
    /// The key that follows from a 32-byte secret seed (RFC 8032, 5.1.5).
    ///
    /// # Errors
    /// [`LogError::KeyName`] when no signature line could carry `name`.
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, LogError> {
        Self::of_type(SignatureType::Note, name, seed)
    }

    /// [`SigningKey::new`] for a key of either type.
    pub(crate) fn of_type(kind: SignatureType, name: &str, mut seed: [u8; 32]) -> Result<Self, LogError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        seed.zeroize();
        let verifier = Verifier::of_type(kind, name, key.verifying_key().to_bytes())?;
        Ok(Self { key, verifier })
    }

    /// Name on the signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    /// The whole signed note: text, empty line, one signature line.
    ///
    /// # Errors
    /// [`LogError::NoteFormat`] or [`LogError::TooLong`] when `text` cannot be the text of a note: it must end in a
    /// newline and hold no other control character.
    pub fn sign_note(&self, text: &str) -> Result<String, LogError> {
        check_text(text)?;
        let note = format!("{text}\n{}", self.sign_line(text));
        // The signature counts against the limit too: what is signed here can be read.
        check_text(&note)?;
        Ok(note)
    }

    /// The signature line over `text`, with its newline.
    #[must_use]
    pub fn sign_line(&self, text: &str) -> String {
        self.line(self.sign_bytes(text.as_bytes()).to_vec()).to_string()
    }

    /// The signature line that carries these bytes under this key's name and id.
    pub(crate) fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name().to_owned(), key_id: self.verifier.key_id, signature }
    }

    /// The bare Ed25519 signature over `message`. The caller keeps such messages apart from notes' texts.
    #[must_use]
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// A named public key. As text it is a vkey: `<name>+<hex key id>+<base64(0x01 || public key)>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    kind: SignatureType,
    name: String,
    key_id: u32,
    key: VerifyingKey,
}

impl Verifier {
    /// The verifier of a bare public key.
    ///
    /// # Errors
    /// [`LogError::KeyName`], or [`LogError::WeakKey`] for bytes that are no curve point, a point of small order
    /// (under which one signature fits many messages), or a second spelling of a point.
    pub fn from_public_key(name: &str, public_key: [u8; 32]) -> Result<Self, LogError> {
        Self::of_type(SignatureType::Note, name, public_key)
    }

    /// [`Verifier::from_public_key`] for a key of either type.
    pub(crate) fn of_type(kind: SignatureType, name: &str, public_key: [u8; 32]) -> Result<Self, LogError> {
        if !is_key_name(name) {
            return Err(LogError::KeyName { name: excerpt(name) });
        }
        let weak = || LogError::WeakKey { name: excerpt(name) };
        let key = VerifyingKey::from_bytes(&public_key).map_err(|_| weak())?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != public_key {
            return Err(weak());
        }
        Ok(Self { kind, name: name.to_owned(), key_id: key_id(kind, name, &public_key), key })
    }

    /// Reads a vkey that must be of this type.
    pub(crate) fn parse_vkey(kind: SignatureType, vkey: &str) -> Result<Self, LogError> {
        let refused = |reason| LogError::VerifierKey { vkey: excerpt(vkey), reason };
        // Only the name and the id are free of '+'; the base64 part may hold more of them.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused("expected <name>+<hex key id>+<base64 key>"));
        };
        if id.len() != 8 || HEXLOWER.decode(id.as_bytes()).is_err() {
            return Err(refused("the key id is not 8 lowercase hexadecimal digits"));
        }
        let material =
            BASE64.decode(material.as_bytes()).map_err(|_| refused("the key is not padded base64"))?;
        let public_key = material.strip_prefix(&[kind as u8]).ok_or_else(|| refused(kind.mismatch()))?;
        let public_key = public_key.try_into().map_err(|_| refused("the key is not 32 bytes long"))?;
        let verifier = Self::of_type(kind, name, public_key)?;
        if format!("{:08x}", verifier.key_id) != id {
            return Err(refused("the key id does not belong to this name and key"));
        }
        Ok(verifier)
    }

    /// Name on the signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key id: an identifier, not a fingerprint to trust.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The 32-byte public key (RFC 8032).
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether `signature` is this key's over exactly these bytes; strict, so that nobody can make a second signature
    /// out of a first, or a key under which anything verifies.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![self.kind as u8];
        material.extend(self.public_key());
        write!(f, "{}+{:08x}+{}", self.name, self.key_id, BASE64.encode(&material))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({self})")
    }
}

impl FromStr for Verifier {
    type Err = LogError;

    fn from_str(vkey: &str) -> Result<Self, LogError> {
        Self::parse_vkey(SignatureType::Note, vkey)
    }
}

/// The four leading bytes of SHA-256(name || 0x0A || type || public key), big endian (c2sp.org/signed-note).
fn key_id(kind: SignatureType, name: &str, public_key: &[u8; 32]) -> u32 {
    let mut material = name.as_bytes().to_vec();
    material.extend([b'\n', kind as u8]);
    material.extend(public_key);
    let [first, second, third, fourth, ..] = Hash::of(&material).0;
    u32::from_be_bytes([first, second, third, fourth])
}

/// Whether a signature line can carry this name: non-empty, no Unicode space, no '+', no ASCII control character.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPEC_VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn the_spec_verifier_key_reads_and_prints() {
        let verifier: Verifier = SPEC_VKEY.parse().unwrap();
        assert_eq!((verifier.name(), verifier.key_id()), ("example.com/foo", 0x530d_903a));
        assert_eq!(verifier.to_string(), SPEC_VKEY);
    }

    #[test]
    fn signing_follows_rfc_8032() {
        // RFC 8032, 7.1, TEST 1: the empty message.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed = HEXLOWER.decode(seed.as_bytes()).unwrap().try_into().unwrap();
        let key = SigningKey::new("rfc8032", seed).unwrap();
        let public = HEXLOWER.encode(&key.verifier().public_key());
        assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = key.sign_bytes(b"");
        assert!(HEXLOWER.encode(&signature).starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974"));
        assert!(key.verifier().verify(b"", &signature));
        assert!(!key.verifier().verify(b"x", &signature));
    }

    #[test]
    fn a_malleated_signature_does_not_verify() {
        let key = SigningKey::new("a", [1; 32]).unwrap();
        let mut signature = key.sign_bytes(b"text");
        // Adding the group order to s gives an equal s mod L, which lenient verifiers accept.
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(HEXLOWER.decode(order.as_bytes()).unwrap()) {
            let [high, low] = (u16::from(*byte) + u16::from(add) + carry).to_be_bytes();
            (carry, *byte) = (u16::from(high), low);
        }
        assert!(!key.verifier().verify(b"text", &signature));
    }

    #[test]
    fn weak_and_respelled_public_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // y = p, a second spelling of y = 0; and y = 2, which is no point of the curve.
        let mut second_zero = [0xff; 32];
        (second_zero[0], second_zero[31]) = (0xed, 0x7f);
        let mut not_a_point = [0; 32];
        not_a_point[0] = 2;
        for key in [identity, [0; 32], second_zero, not_a_point] {
            assert!(matches!(Verifier::from_public_key("a", key), Err(LogError::WeakKey { .. })), "{key:?}");
        }
    }

    #[test]
    fn a_name_that_no_signature_line_could_carry_is_refused() {
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a\0b"] {
            assert!(matches!(SigningKey::new(name, [1; 32]), Err(LogError::KeyName { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_changed_verifier_key_is_refused() {
        let base64 = "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        for changed in [
            format!("example.com/fop+530d903a+{base64}"),
            format!("example.com/foo+530d903b+{base64}"),
            format!("example.com/foo+530D903A+{base64}"),
            format!("example.com/foo+30d903a+{base64}"),
            format!("example.com/foo+530d903a+{base64}="),
            "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".to_owned(),
            "example.com/foo+530d903a+AQ==".to_owned(),
            "example.com/foo+530d903a".to_owned(),
        ] {
            assert!(changed.parse::<Verifier>().is_err(), "{changed} must be refused");
        }
    }

    #[test]
    fn debug_never_shows_the_seed() {
        let key = SigningKey::new("a", [0xab; 32]).unwrap();
        let shown = format!("{key:?}").to_lowercase();
        for seed in
            [HEXLOWER.encode(&[0xab; 32]), BASE64.encode(&[0xab; 32]).to_lowercase(), "171".to_owned()]
        {
            assert!(!shown.contains(&seed), "{shown} shows the seed");
        }
    }

    proptest! {
        #[test]
        fn a_verifier_key_reads_back(name in "[^\\s+\\x00-\\x1f]{1,20}", seed: [u8; 32]) {
            let verifier = SigningKey::new(&name, seed).unwrap().verifier();
            prop_assert_eq!(verifier.to_string().parse(), Ok(verifier));
        }

        #[test]
        fn what_reads_as_a_verifier_key_prints_the_same(
            position in 0..SPEC_VKEY.len(),
            inserted in ".{0,2}",
            removed in 0_usize..3,
        ) {
            let end = SPEC_VKEY.len().min(position + removed);
            let changed = format!("{}{inserted}{}", &SPEC_VKEY[..position], &SPEC_VKEY[end..]);
            if let Ok(verifier) = changed.parse::<Verifier>() {
                prop_assert_eq!(verifier.to_string(), changed);
            }
        }
    }
}
