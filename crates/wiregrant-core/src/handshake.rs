//! WireGuard's handshake, from the side that begins it: how the control plane sees that a node is there for who has its file.
//!
//! In scope: the first message, the check of the answer to it, and the keepalive that confirms it. Out of scope: sockets, clocks and
//! random sources, whose values come in as arguments; preshared keys; cookies; moving anything.
//!
//! Source: *WireGuard: Next Generation Kernel Network Tunnel* (J. A. Donenfeld), sections 5.4.2 to 5.4.6. It is Noise's IKpsk2 pattern
//! with Curve25519, ChaCha20-Poly1305 and BLAKE2s; the preshared key is all zeros. Lengths in bytes, numbers little-endian:
//!
//! ```text
//! initiation (148)  1 0 0 0 | sender 4 | ephemeral 32 | static 48 | timestamp 28 | mac1 16 | mac2 16
//! response    (92)  2 0 0 0 | sender 4 | receiver 4 | ephemeral 32 | empty 16 | mac1 16 | mac2 16
//! keepalive   (32)  4 0 0 0 | receiver 4 | counter 8 | empty 16
//! ```

use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroize as _;

use crate::{Timestamp, WireGuardPrivateKey, WireGuardPublicKey};

/// The length of the first message.
pub const INITIATION_BYTES: usize = 148;
/// The length of the answer.
pub const RESPONSE_BYTES: usize = 92;
/// The length of the keepalive.
pub const KEEPALIVE_BYTES: usize = 32;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const LABEL_MAC1: &[u8] = b"mac1----";
const BLOCK_BYTES: usize = 64;
const PRESHARED_KEY: [u8; 32] = [0; 32];

/// What a first message is made of. Each is used once.
pub struct Beginning<'a> {
    /// Who begins.
    pub own: &'a WireGuardPrivateKey,
    /// Who is to answer.
    pub responder: &'a WireGuardPublicKey,
    /// Random, for this handshake alone.
    pub ephemeral: [u8; 32],
    /// What the answer shall call this handshake; random.
    pub sender: u32,
    /// A responder answers only what is later than the last it has seen of the same initiator.
    pub now: Timestamp,
}

/// A handshake that was begun.
pub struct Handshake {
    message: [u8; INITIATION_BYTES],
    own: StaticSecret,
    ephemeral: StaticSecret,
    sender: u32,
    chain: [u8; 32],
    hash: [u8; 32],
}

impl Handshake {
    /// Makes the first message.
    #[must_use]
    pub fn begin(beginning: Beginning<'_>) -> Self {
        let Beginning { own, responder, ephemeral, sender, now } = beginning;
        let own = StaticSecret::from(*own.as_bytes());
        let ephemeral = StaticSecret::from(ephemeral);
        let responder = PublicKey::from(*responder.as_bytes());
        let public_ephemeral = PublicKey::from(&ephemeral).to_bytes();

        let chain = hash(CONSTRUCTION, &[]);
        let mut transcript = hash(&chain, IDENTIFIER);
        transcript = hash(&transcript, responder.as_bytes());
        transcript = hash(&transcript, &public_ephemeral);
        let [chain] = derive(&chain, &public_ephemeral);
        let [chain, key] = derive(&chain, ephemeral.diffie_hellman(&responder).as_bytes());
        let sealed_own = seal(&key, PublicKey::from(&own).as_bytes(), &transcript);
        transcript = hash(&transcript, &sealed_own);
        let [chain, key] = derive(&chain, own.diffie_hellman(&responder).as_bytes());
        let sealed_time = seal(&key, &tai64n(now), &transcript);
        transcript = hash(&transcript, &sealed_time);

        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend_from_slice(&sender.to_le_bytes());
        bytes.extend_from_slice(&public_ephemeral);
        bytes.extend_from_slice(&sealed_own);
        bytes.extend_from_slice(&sealed_time);
        let mac1 = keyed_hash(&hash(LABEL_MAC1, responder.as_bytes()), &bytes);
        bytes.extend_from_slice(&mac1);
        // Without a cookie the second is zeros.
        bytes.resize(INITIATION_BYTES, 0);
        let message = bytes.try_into().expect("the parts are as long as the whole");
        Self { message, own, ephemeral, sender, chain, hash: transcript }
    }

    /// The first message.
    #[must_use]
    pub fn message(&self) -> &[u8; INITIATION_BYTES] {
        &self.message
    }

    /// The keepalive that confirms the handshake, if `answer` completes it: only who holds the responder's private key and knows the
    /// initiator as a peer can have made that.
    #[must_use]
    pub fn completed_by(&self, answer: &[u8]) -> Option<[u8; KEEPALIVE_BYTES]> {
        let answer: &[u8; RESPONSE_BYTES] = answer.try_into().ok()?;
        let (head, rest) = answer.split_at(12);
        if head[..4] != [2, 0, 0, 0] || head[8..12] != self.sender.to_le_bytes() {
            return None;
        }
        let (ephemeral, sealed_nothing) = (rest.first_chunk::<32>()?, rest.get(32..48)?);
        let responder = PublicKey::from(*ephemeral);
        let mut transcript = hash(&self.hash, ephemeral);
        let [chain] = derive(&self.chain, ephemeral);
        let [chain] = derive(&chain, self.ephemeral.diffie_hellman(&responder).as_bytes());
        let [chain] = derive(&chain, self.own.diffie_hellman(&responder).as_bytes());
        let [chain, mixed, key] = derive(&chain, &PRESHARED_KEY);
        transcript = hash(&transcript, &mixed);
        open(&key, sealed_nothing, &transcript)?;

        let [sending, _receiving] = derive(&chain, &[]);
        let mut keepalive = [0; KEEPALIVE_BYTES];
        keepalive[0] = 4;
        keepalive[4..8].copy_from_slice(&head[4..8]);
        keepalive[16..].copy_from_slice(&seal(&sending, &[], &[]));
        Some(keepalive)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.chain.zeroize();
        self.hash.zeroize();
    }
}

/// The public key that goes with a private one.
#[must_use]
pub fn public_key(private: &WireGuardPrivateKey) -> WireGuardPublicKey {
    PublicKey::from(&StaticSecret::from(*private.as_bytes())).to_bytes().into()
}

/// TAI64N, whose seconds begin 10 before those of 1970 at 2^62; leap seconds are left out, as WireGuard's own implementations do.
fn tai64n(time: Timestamp) -> [u8; 12] {
    let mut label = [0; 12];
    let seconds = (1_u64 << 62) + 10 + time.unix_seconds().unsigned_abs();
    label[..8].copy_from_slice(&seconds.to_be_bytes());
    label
}

fn hash(one: &[u8], other: &[u8]) -> [u8; 32] {
    Blake2s256::new().chain_update(one).chain_update(other).finalize().into()
}

fn keyed_hash(key: &[u8; 32], bytes: &[u8]) -> [u8; 16] {
    let mut mac = Blake2sMac::<U16>::new_from_slice(key).expect("a key of 32 bytes fits");
    mac.update(bytes);
    mac.finalize_fixed().into()
}

/// HMAC (RFC 2104) with BLAKE2s.
fn hmac(key: &[u8; 32], bytes: &[u8], last: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner: [u8; 32] =
        Blake2s256::new().chain_update(pad(0x36)).chain_update(bytes).chain_update(last).finalize().into();
    hash(&pad(0x5c), &inner)
}

/// HKDF (RFC 5869) without salt's default and info, as the whitepaper's KDF: `N` keys of 32 bytes.
fn derive<const N: usize>(chain: &[u8; 32], input: &[u8]) -> [[u8; 32]; N] {
    let secret = hmac(chain, input, &[]);
    let (mut before, mut number) = (Vec::new(), 0);
    std::array::from_fn(|_| {
        number += 1;
        let key = hmac(&secret, &before, &[number]);
        before = key.to_vec();
        key
    })
}

/// Each key seals one message, so the counter is always 0.
fn seal(key: &[u8; 32], text: &[u8], authenticated: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt(&Nonce::default(), Payload { msg: text, aad: authenticated });
    sealed.expect("a text of a few bytes can be sealed")
}

fn open(key: &[u8; 32], sealed: &[u8], authenticated: &[u8]) -> Option<Vec<u8>> {
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.decrypt(&Nonce::default(), Payload { msg: sealed, aad: authenticated }).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn handshake() -> Handshake {
        Handshake::begin(Beginning {
            own: &[7; 32].into(),
            responder: &public_key(&[9; 32].into()),
            ephemeral: [11; 32],
            sender: 0x0403_0201,
            now: "2026-07-06T12:00:00Z".parse().unwrap(),
        })
    }

    #[test]
    fn keys_are_derived_as_rfc_5869_says_with_blake2s() {
        // Made with Python's hmac and hashlib.blake2s.
        let [first, second, third] = derive(&[1; 32], b"input");
        let hex = |bytes: [u8; 32]| data_encoding::HEXLOWER.encode(&bytes);
        assert_eq!(hex(first), "17cdf2d7371de9035d081b63b5d0993c1ce87d38abb21913f3bc825920f88124");
        assert_eq!(hex(second), "437f52b1d367f50760b57edc19f21fba061fe48eedb600857a555bb169e767be");
        assert_eq!(hex(third), "74c97525c9c2f75b71987b2c664078b3d3d361d21bf460a9de63ac1b9072d624");
    }

    #[test]
    fn a_time_is_a_tai64n_label() {
        let label = tai64n("1970-01-01T00:00:01Z".parse().unwrap());
        assert_eq!(label, [0x40, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0]);
    }

    #[test]
    fn the_first_message_has_its_form_and_is_never_the_same_for_two_times() {
        let message = *handshake().message();
        assert_eq!(message[..8], [1, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(message[132..], [0; 16]);
    }

    proptest! {
        #[test]
        fn no_bytes_complete_a_handshake_by_chance(
            mut bytes in prop::collection::vec(any::<u8>(), 0..160),
            nearly: bool,
        ) {
            if nearly {
                bytes.resize(RESPONSE_BYTES, 0);
                bytes[..4].copy_from_slice(&[2, 0, 0, 0]);
                bytes[8..12].copy_from_slice(&0x0403_0201_u32.to_le_bytes());
            }
            prop_assert_eq!(handshake().completed_by(&bytes), None);
        }
    }
}
