//! Cosignatures: a witness's signed word that, at this time, this was the newest consistent tree it had seen of a log
//! (c2sp.org/tlog-cosignature, version 1 with Ed25519).

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Checkpoint;
use crate::error::{LogError, excerpt};
use crate::key::{SignatureType, SigningKey, Verifier};
use crate::note::{Note, NoteSignature, check_text, parse_lines};
use crate::tile::MAX_TREE_SIZE;

/// Latest time of a cosignature, in Unix seconds: 2^63-1, as for sizes.
const MAX_TIMESTAMP: u64 = MAX_TREE_SIZE;

/// A named Ed25519 key that cosigns checkpoints and signs nothing else. The seed is wiped on drop and shown by nothing.
///
/// What is signed does not hold the name: give no two cosigners, and no cosigner and log, the same seed.
#[derive(Clone)]
pub struct CosignerKey(SigningKey);

impl CosignerKey {
    /// The key that follows from a 32-byte secret seed (RFC 8032, 5.1.5).
    ///
    /// # Errors
    /// [`LogError::KeyName`] when no signature line could carry `name`.
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, LogError> {
        SigningKey::of_type(SignatureType::Cosignature, name, seed).map(Self)
    }

    /// Name on the signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> CosignerVerifier {
        CosignerVerifier(self.0.verifier())
    }

    /// The cosignature line, with its newline, over the whole text of a checkpoint's note, extension lines included.
    /// A witness calls this only once the state that [`consider`](crate::consider) returned is durable.
    ///
    /// # Errors
    /// [`LogError::CosignatureTime`] unless `timestamp_unix_seconds` is from 1 to 2^63-1; those of a text that is no
    /// checkpoint.
    pub fn cosign(&self, note_text: &str, timestamp_unix_seconds: u64) -> Result<String, LogError> {
        check_text(note_text)?;
        Checkpoint::parse_body(note_text)?;
        check_timestamp(self.name(), timestamp_unix_seconds)?;
        let mut signature = timestamp_unix_seconds.to_be_bytes().to_vec();
        signature.extend(self.0.sign_bytes(message(timestamp_unix_seconds, note_text).as_bytes()));
        Ok(self.0.line(signature).to_string())
    }
}

impl fmt::Debug for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosignerKey").field("verifier", &self.verifier()).finish_non_exhaustive()
    }
}

/// A witness's public key. As text it is a vkey: `<name>+<hex key id>+<base64(0x04 || public key)>`; one of type 0x01
/// is refused, so that a log's key cannot be pinned as its own witness by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct CosignerVerifier(Verifier);

impl CosignerVerifier {
    /// The verifier of a bare public key.
    ///
    /// # Errors
    /// As [`Verifier::from_public_key`].
    pub fn from_public_key(name: &str, public_key: [u8; 32]) -> Result<Self, LogError> {
        Verifier::of_type(SignatureType::Cosignature, name, public_key).map(Self)
    }

    /// Name on the signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Key id: an identifier, not a fingerprint to trust.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.0.key_id()
    }

    /// The 32-byte public key (RFC 8032).
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }

    /// The time of a line's cosignature over this text, if it is one by this key.
    fn timestamp(&self, text: &str, line: &NoteSignature) -> Result<u64, LogError> {
        let bad = || LogError::BadSignature { name: excerpt(self.name()), key_id: self.key_id() };
        let (timestamp, signature) = line.signature.split_first_chunk().ok_or_else(bad)?;
        let timestamp = u64::from_be_bytes(*timestamp);
        let signature = <&[u8; 64]>::try_from(signature).map_err(|_| bad())?;
        check_timestamp(self.name(), timestamp)?;
        if self.0.verify(message(timestamp, text).as_bytes(), signature) { Ok(timestamp) } else { Err(bad()) }
    }

    /// The newest cosignature by this key on a checkpoint. All by this key must verify.
    fn newest<'a>(&self, note: &'a Note) -> Result<(u64, &'a NoteSignature), LogError> {
        Checkpoint::parse_body(&note.text)?;
        let lines = note.lines_by(self.name(), self.key_id()).into_iter();
        let timed = lines.map(|line| Ok((self.timestamp(&note.text, line)?, line)));
        let newest = timed.collect::<Result<Vec<_>, LogError>>()?.into_iter().max();
        newest.ok_or_else(|| LogError::NotSigned { name: excerpt(self.name()), key_id: self.key_id() })
    }
}

impl fmt::Display for CosignerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CosignerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosignerVerifier({self})")
    }
}

impl FromStr for CosignerVerifier {
    type Err = LogError;

    fn from_str(vkey: &str) -> Result<Self, LogError> {
        Verifier::parse_vkey(SignatureType::Cosignature, vkey).map(Self)
    }
}

/// Checks this witness's cosignature on a checkpoint and returns its time in Unix seconds. Of several, made at
/// different times, all must verify and the newest counts. Says nothing about the log's own signature, and does not
/// compare the time with a clock.
///
/// # Errors
/// [`LogError::NotSigned`], [`LogError::BadSignature`], [`LogError::CosignatureTime`]; those of a text that is no
/// checkpoint.
pub fn verify_cosignature(note: &Note, witness: &CosignerVerifier) -> Result<u64, LogError> {
    witness.newest(note).map(|(timestamp, _)| timestamp)
}

/// Adds to a checkpoint the cosignature that this witness answered to `add-checkpoint`. Lines of other keys in the
/// answer are ignored (c2sp.org/tlog-witness); an older cosignature by this key is replaced, a newer one kept.
///
/// # Errors
/// As [`verify_cosignature`] for the answer; [`LogError::SignatureLine`] and [`LogError::SignatureCount`] when it
/// cannot be read; as [`Note::with_line`].
pub fn add_cosignature(
    checkpoint: &Note,
    answer: &str,
    witness: &CosignerVerifier,
) -> Result<Note, LogError> {
    check_text(answer)?;
    let answered = Note { text: checkpoint.text.clone(), signatures: parse_lines(answer)? };
    let mut newest = witness.newest(&answered)?;
    if let Ok(present) = witness.newest(checkpoint) {
        newest = newest.max(present);
    }
    checkpoint.with_line(newest.1)
}

/// Which witnesses a reader trusts, and how many of them must have cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    witnesses: Vec<CosignerVerifier>,
    threshold: usize,
}

impl WitnessPolicy {
    /// `threshold` of these witnesses.
    ///
    /// # Errors
    /// [`LogError::WitnessThreshold`] unless `threshold` is from 1 to their number; [`LogError::WitnessTwice`] when two
    /// share a public key: a cosignature does not hold the name, so one witness could sign for both.
    pub fn new(witnesses: Vec<CosignerVerifier>, threshold: usize) -> Result<Self, LogError> {
        if !(1..=witnesses.len()).contains(&threshold) {
            return Err(LogError::WitnessThreshold { threshold, witnesses: witnesses.len() });
        }
        for (position, second) in witnesses.iter().enumerate() {
            let first = witnesses[..position].iter().find(|first| first.public_key() == second.public_key());
            if let Some(first) = first {
                let (first, second) = (excerpt(first.name()), excerpt(second.name()));
                return Err(LogError::WitnessTwice { first, second });
            }
        }
        Ok(Self { witnesses, threshold })
    }

    /// The witnesses, in the order given.
    #[must_use]
    pub fn witnesses(&self) -> &[CosignerVerifier] {
        &self.witnesses
    }

    /// How many of them must have cosigned.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The names of the policy's witnesses that cosigned this checkpoint, in the policy's order, if they are enough.
    /// The log's own signature is [`Checkpoint::parse_verified`]'s to check.
    ///
    /// # Errors
    /// [`LogError::TooFewWitnesses`]; as [`verify_cosignature`] for a line of a policy's witness that does not verify,
    /// as that is no note to trust (c2sp.org/signed-note).
    pub fn check(&self, checkpoint: &Note) -> Result<Vec<String>, LogError> {
        let (mut cosigned, mut missing) = (Vec::new(), Vec::new());
        for witness in &self.witnesses {
            match verify_cosignature(checkpoint, witness) {
                Ok(_) => cosigned.push(witness.name().to_owned()),
                Err(LogError::NotSigned { .. }) => missing.push(witness.name()),
                Err(refused) => return Err(refused),
            }
        }
        if cosigned.len() < self.threshold {
            return Err(LogError::TooFewWitnesses {
                found: cosigned.len(),
                witnesses: self.witnesses.len(),
                threshold: self.threshold,
                missing: missing.join(", "),
            });
        }
        Ok(cosigned)
    }
}

/// What is signed: a header that no note's text of ours begins with, the time, the checkpoint's text.
fn message(timestamp: u64, note_text: &str) -> String {
    format!("cosignature/v1\ntime {timestamp}\n{note_text}")
}

/// Zero is refused too: a witness must state a time (c2sp.org/tlog-witness), and 1970 is a clock that was never set.
fn check_timestamp(name: &str, timestamp: u64) -> Result<(), LogError> {
    if (1..=MAX_TIMESTAMP).contains(&timestamp) {
        Ok(())
    } else {
        Err(LogError::CosignatureTime { name: excerpt(name), timestamp })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: u64 = 1_679_315_147;
    const SPEC_TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    /// The checkpoint that the specification shows; it publishes no keys for it.
    const SPEC_NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl\
        rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn log() -> SigningKey {
        SigningKey::new("example.com/behind-the-sofa", [1; 32]).unwrap()
    }

    fn witness(number: u8) -> CosignerKey {
        CosignerKey::new(&format!("witness.example/w{number}"), [number; 32]).unwrap()
    }

    fn checkpoint() -> Note {
        Note::parse(&log().sign_note(SPEC_TEXT).unwrap()).unwrap()
    }

    fn cosigned_at(note: &Note, by: &CosignerKey, timestamp: u64) -> Note {
        add_cosignature(note, &by.cosign(&note.text, timestamp).unwrap(), &by.verifier()).unwrap()
    }

    #[test]
    fn the_spec_line_holds_the_spec_time() {
        let note = Note::parse(SPEC_NOTE).unwrap();
        let line = &note.signatures[1];
        assert_eq!((line.key_id, line.signature.len()), (0x8d66_cf3f, 8 + 64));
        assert_eq!(line.signature[..8], TIME.to_be_bytes());
        assert_eq!(
            message(TIME, SPEC_TEXT),
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
             CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        );
    }

    #[test]
    fn key_and_line_are_those_that_openssl_makes() {
        let key = CosignerKey::new("witness.example/w1", [7; 32]).unwrap();
        let vkey = "witness.example/w1+aa4a09d1+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
        assert_eq!(key.verifier().to_string(), vkey);
        assert_eq!(vkey.parse(), Ok(key.verifier()));
        assert_eq!(
            key.cosign(SPEC_TEXT, TIME).unwrap(),
            "\u{2014} witness.example/w1 qkoJ0QAAAABkGFDLWr4Jea05CAgwNVtwky0Jgz6WfX0QJgM//FkB/W9BoT9TX0DkTxG+2cT4p\
             /ViKNhUM/SnUwFcYQzugGFQ15LwDw==\n"
        );
    }

    #[test]
    fn a_key_of_one_type_does_not_pass_for_the_other() {
        let (cosigner, signer) = (witness(7), SigningKey::new("witness.example/w7", [7; 32]).unwrap());
        assert_ne!(cosigner.verifier().key_id(), signer.verifier().key_id());
        let refused = cosigner.verifier().to_string().parse::<Verifier>();
        assert!(matches!(refused, Err(LogError::VerifierKey { .. })), "{refused:?}");
        let refused = signer.verifier().to_string().parse::<CosignerVerifier>();
        assert!(matches!(refused, Err(LogError::VerifierKey { .. })), "{refused:?}");

        let signed = Note::parse(&signer.sign_note(SPEC_TEXT).unwrap()).unwrap();
        let refused = verify_cosignature(&signed, &cosigner.verifier());
        assert!(matches!(refused, Err(LogError::NotSigned { .. })), "{refused:?}");
    }

    #[test]
    fn another_text_time_or_key_does_not_verify() {
        let good = cosigned_at(&checkpoint(), &witness(2), TIME);
        assert_eq!(verify_cosignature(&good, &witness(2).verifier()), Ok(TIME));
        let refused = verify_cosignature(&good, &witness(3).verifier());
        assert!(matches!(refused, Err(LogError::NotSigned { .. })), "{refused:?}");

        let other_text = Note { text: good.text.replace("20852163", "20852164"), ..good.clone() };
        let extended = Note { text: format!("{}extension\n", good.text), ..good.clone() };
        let (mut other_time, mut short) = (good.clone(), good);
        other_time.signatures[1].signature[7] ^= 1;
        short.signatures[1].signature.pop();
        for changed in [other_text, extended, other_time, short] {
            let refused = verify_cosignature(&changed, &witness(2).verifier());
            assert!(matches!(refused, Err(LogError::BadSignature { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_neither_signed_nor_read() {
        for timestamp in [0, MAX_TIMESTAMP + 1, u64::MAX] {
            let refused = witness(2).cosign(SPEC_TEXT, timestamp);
            assert!(matches!(refused, Err(LogError::CosignatureTime { .. })), "{refused:?}");
            let mut signature = timestamp.to_be_bytes().to_vec();
            signature.extend(witness(2).0.sign_bytes(message(timestamp, SPEC_TEXT).as_bytes()));
            let note = checkpoint().with_line(&witness(2).0.line(signature)).unwrap();
            let refused = verify_cosignature(&note, &witness(2).verifier());
            assert!(matches!(refused, Err(LogError::CosignatureTime { .. })), "{refused:?}");
        }
        for timestamp in [1, MAX_TIMESTAMP] {
            let note = cosigned_at(&checkpoint(), &witness(2), timestamp);
            assert_eq!(verify_cosignature(&note, &witness(2).verifier()), Ok(timestamp));
        }
    }

    #[test]
    fn only_checkpoints_are_cosigned() {
        for text in
            ["", "text\n", "a\n1\nroot\n", &SPEC_TEXT[1..SPEC_TEXT.len() - 1], &format!("{SPEC_TEXT}\n")]
        {
            assert!(witness(2).cosign(text, TIME).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn the_newest_cosignature_of_a_witness_is_kept() {
        let (early, late) =
            (witness(2).cosign(SPEC_TEXT, 10).unwrap(), witness(2).cosign(SPEC_TEXT, 20).unwrap());
        let verifier = witness(2).verifier();
        let add = |note: &Note, answer: &str| add_cosignature(note, answer, &verifier).unwrap();
        let newest = add(&checkpoint(), &late);
        assert_eq!(add(&add(&checkpoint(), &early), &late), newest);
        assert_eq!(add(&newest, &early), newest);
        assert_eq!(add(&checkpoint(), &format!("{late}{early}")), newest);
        assert_eq!(newest.signatures.len(), 2);

        let both = Note::parse(&format!("{}{early}{late}", checkpoint())).unwrap();
        assert_eq!(verify_cosignature(&both, &verifier), Ok(20));
        assert_eq!(newest.verified_by(&log().verifier()), Ok(()));
    }

    #[test]
    fn an_answer_adds_the_witness_and_nothing_else() {
        let verifier = witness(2).verifier();
        let good = witness(2).cosign(SPEC_TEXT, TIME).unwrap();
        let foreign = witness(3).cosign(SPEC_TEXT, TIME).unwrap();
        let forged_log_line = log().sign_line("another text\n");
        let added =
            add_cosignature(&checkpoint(), &format!("{foreign}{forged_log_line}{good}"), &verifier).unwrap();
        assert_eq!(added, add_cosignature(&checkpoint(), &good, &verifier).unwrap());
        assert_eq!(added.verified_by(&log().verifier()), Ok(()));

        let other_text = witness(2).cosign(&SPEC_TEXT.replace("20852163", "7"), TIME).unwrap();
        for refused in [
            "",
            "\n",
            &foreign,
            &other_text,
            &format!("{good}{other_text}"),
            &format!("{good}\n"),
            good.trim_end(),
            &good.repeat(101),
        ] {
            let refused = add_cosignature(&checkpoint(), refused, &verifier);
            assert!(refused.is_err(), "{refused:?} must be refused");
        }
    }

    #[test]
    fn a_policy_counts_its_own_witnesses_and_names_the_missing() {
        let verifiers = |numbers: &[u8]| numbers.iter().map(|number| witness(*number).verifier()).collect();
        let two_of_three = WitnessPolicy::new(verifiers(&[2, 3, 4]), 2).unwrap();
        let one = cosigned_at(&cosigned_at(&checkpoint(), &witness(3), TIME), &witness(9), TIME);
        let refused = two_of_three.check(&one).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cosigned by 1 of 3 witnesses, 2 are required; missing: witness.example/w2, witness.example/w4"
        );
        let two = cosigned_at(&one, &witness(2), TIME);
        assert_eq!(two_of_three.check(&two).unwrap(), ["witness.example/w2", "witness.example/w3"]);

        let mut forged = two.clone();
        let line = forged.signatures.iter_mut().find(|line| line.name == "witness.example/w2").unwrap();
        line.signature[20] ^= 1;
        assert!(matches!(two_of_three.check(&forged), Err(LogError::BadSignature { .. })));
    }

    #[test]
    fn a_policy_that_proves_nothing_is_refused() {
        let two = || vec![witness(2).verifier(), witness(3).verifier()];
        for (witnesses, threshold) in [(two(), 0), (two(), 3), (Vec::new(), 0), (Vec::new(), 1)] {
            let refused = WitnessPolicy::new(witnesses, threshold);
            assert!(matches!(refused, Err(LogError::WitnessThreshold { .. })), "{refused:?}");
        }
        let alias = CosignerVerifier::from_public_key("other.example", witness(2).verifier().public_key());
        for twice in [alias.unwrap(), witness(2).verifier()] {
            let refused = WitnessPolicy::new([two(), vec![twice]].concat(), 2);
            assert!(matches!(refused, Err(LogError::WitnessTwice { .. })), "{refused:?}");
        }
    }

    #[test]
    fn debug_never_shows_the_seed() {
        let shown = format!("{:?}", CosignerKey::new("a", [0xab; 32]).unwrap()).to_lowercase();
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown} shows the seed");
    }

    proptest! {
        #[test]
        fn a_cosigner_key_reads_back_and_its_cosignatures_verify(
            name in "[^\\s+\\x00-\\x1f]{1,20}",
            seed: [u8; 32],
            timestamp in 1..=MAX_TIMESTAMP,
        ) {
            let key = CosignerKey::new(&name, seed).unwrap();
            prop_assert_eq!(key.verifier().to_string().parse(), Ok(key.verifier()));
            let note = cosigned_at(&checkpoint(), &key, timestamp);
            prop_assert_eq!(verify_cosignature(&note, &key.verifier()), Ok(timestamp));
            prop_assert_eq!(Note::parse(&note.to_string()), Ok(note));
        }

        #[test]
        fn what_reads_as_a_cosigner_key_prints_the_same(
            vkey in "[a.]{1,3}\\+[0-9a-f]{8}\\+BO[A-Za-z0-9+/]{42}|.{0,40}",
            position in 0_usize..70,
        ) {
            let mut changed = witness(2).verifier().to_string();
            changed.remove(position);
            for vkey in [vkey, changed] {
                if let Ok(verifier) = vkey.parse::<CosignerVerifier>() {
                    prop_assert_eq!(verifier.to_string(), vkey);
                }
            }
        }

        #[test]
        fn no_flipped_bit_survives(bit in 0_usize..(72 * 8)) {
            let mut note = cosigned_at(&checkpoint(), &witness(2), TIME);
            note.signatures[1].signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_cosignature(&note, &witness(2).verifier()).is_err());
        }

        #[test]
        fn no_answer_makes_adding_panic_or_loses_the_logs_line(
            answer in "(\u{2014} witness.example/w2 [A-Za-z0-9+/]{8,104}=?=?\n){0,3}|(?s).{0,40}",
        ) {
            if let Ok(added) = add_cosignature(&checkpoint(), &answer, &witness(2).verifier()) {
                prop_assert_eq!(added.verified_by(&log().verifier()), Ok(()));
            }
        }
    }
}
