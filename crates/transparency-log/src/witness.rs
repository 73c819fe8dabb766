//! Witness: what one is asked (`AddCheckpoint`), what it remembers of a log (`WitnessState`), and whether it may cosign
//! (c2sp.org/tlog-witness).

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Checkpoint;
use crate::error::{LogError, excerpt};
use crate::hash::{EMPTY_ROOT, Hash};
use crate::key::Verifier;
use crate::note::Note;
use crate::number::parse_number;
use crate::proof::verify_consistency;
use crate::tlog_proof::MAX_PROOF_HASHES;

/// Longest request body that is read, in bytes: room for a checkpoint with many post-quantum signatures.
pub const MAX_ADD_CHECKPOINT_BYTES: usize = 1 << 20;

/// The body of a `POST <prefix>/add-checkpoint`: a checkpoint to cosign and the proof that it continues an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Leaves of the tree that the witness cosigned last, 0 if none, as far as the client knows.
    pub old_size: u64,
    /// Consistency proof from that tree to the checkpoint's; empty from 0 or between equal sizes.
    pub proof: Vec<Hash>,
    /// The log's checkpoint, a signed note, verbatim.
    pub checkpoint: String,
}

impl AddCheckpoint {
    /// The log that the checkpoint names: its first line. Where it is unknown, the answer is
    /// [`WitnessRefusal::UnknownLog`].
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.lines().next().unwrap_or_default()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = LogError;

    /// Reads a request body. What is accepted prints back identically. Signature and proof are for [`consider`].
    ///
    /// # Errors
    /// [`LogError::AddCheckpointFormat`], [`LogError::TooLong`], [`LogError::NumberFormat`], [`LogError::HashFormat`],
    /// [`LogError::ProofLength`], as [`Note::parse`], or [`LogError::CheckpointFormat`].
    fn from_str(text: &str) -> Result<Self, LogError> {
        let refused = |reason| LogError::AddCheckpointFormat { reason };
        if text.len() > MAX_ADD_CHECKPOINT_BYTES {
            let (bytes, limit) = (text.len(), MAX_ADD_CHECKPOINT_BYTES);
            return Err(LogError::TooLong { what: "add-checkpoint request", bytes, limit });
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(refused("no empty line between proof and checkpoint"))?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size =
            parse_number("old size", old_size.ok_or(refused("the first line is not an old size"))?)?;
        let proof: Vec<Hash> = lines.map(str::parse).collect::<Result<_, _>>()?;
        check_proof_length(&proof)?;
        Checkpoint::parse_body(&Note::parse(checkpoint)?.text)?;
        Ok(Self { old_size, proof, checkpoint: checkpoint.to_owned() })
    }
}

/// The newest tree of one log that a witness cosigned: all that it must remember, durably, before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessState {
    /// Leaves of the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// Why a witness does not cosign, one variant for each HTTP status of c2sp.org/tlog-witness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// 404: a log that the witness has no key for.
    #[error("log {origin:?} is not one that this witness follows")]
    UnknownLog {
        /// The log's name, shortened.
        origin: String,
    },
    /// 403: not signed by the log's key, or a line of that key does not verify.
    #[error("not signed by the log: {0}")]
    Signature(LogError),
    /// 400: no request, or an old size above the checkpoint's.
    #[error("malformed: {0}")]
    Malformed(LogError),
    /// 409: the old size is not that of the tree cosigned last. Ask again with a proof from there.
    #[error("old size {old_size} is not {}, the size cosigned last", known.0)]
    Conflict {
        /// The size in the request.
        old_size: u64,
        /// The size in the witness's state, 0 if it has none. Its text is the answer's body.
        known: KnownSize,
    },
    /// 422: signed by the log, and not shown to continue the tree cosigned last. It may be proof of misbehaviour: keep
    /// the request.
    #[error("does not continue the tree cosigned last: {0}")]
    Inconsistent(LogError),
}

impl WitnessRefusal {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }
}

/// Tree size that a witness cosigned last, as the body of its 409 answer: a number and a newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSize(
    /// Leaves of the tree, 0 if it never cosigned.
    pub u64,
);

impl KnownSize {
    /// `Content-Type` of the answer that holds it.
    pub const CONTENT_TYPE: &str = "text/x.tlog.size";
}

impl fmt::Display for KnownSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)
    }
}

impl FromStr for KnownSize {
    type Err = LogError;

    /// Reads the body of a 409 answer. What is accepted prints back identically.
    ///
    /// # Errors
    /// [`LogError::NumberFormat`], also where the newline is missing.
    fn from_str(text: &str) -> Result<Self, LogError> {
        let number = text.strip_suffix('\n');
        let number =
            number.ok_or_else(|| LogError::NumberFormat { field: "known size", found: excerpt(text) })?;
        parse_number("known size", number).map(Self)
    }
}

/// Whether a witness in this state (`None`: it never cosigned this log) may cosign, and the state it must then have.
///
/// The caller looks up `log` and `state` by [`AddCheckpoint::origin`], and makes the new state durable before it signs
/// or answers, in one step with reading the old one: else a slower request with an older tree rolls it back.
///
/// # Errors
/// [`WitnessRefusal`], checked in this order: 400 for what is no checkpoint, 404 where it is not one of `log`, 403, 400
/// for the sizes, 409, 422.
pub fn consider(
    state: Option<WitnessState>,
    request: &AddCheckpoint,
    log: &Verifier,
) -> Result<WitnessState, WitnessRefusal> {
    check_proof_length(&request.proof).map_err(WitnessRefusal::Malformed)?;
    let note = Note::parse(&request.checkpoint).map_err(WitnessRefusal::Malformed)?;
    let Checkpoint { origin, size, root } =
        Checkpoint::parse_body(&note.text).map_err(WitnessRefusal::Malformed)?;
    if origin != log.name() {
        return Err(WitnessRefusal::UnknownLog { origin: excerpt(&origin) });
    }
    note.verified_by(log).map_err(WitnessRefusal::Signature)?;
    let old_size = request.old_size;
    if old_size > size {
        return Err(WitnessRefusal::Malformed(LogError::TreeShrank { old: old_size, new: size }));
    }
    let known = state.unwrap_or(WitnessState { size: 0, root: EMPTY_ROOT });
    if old_size != known.size {
        return Err(WitnessRefusal::Conflict { old_size, known: KnownSize(known.size) });
    }
    verify_consistency(known.size, &known.root, size, &root, &request.proof)
        .map_err(WitnessRefusal::Inconsistent)?;
    Ok(WitnessState { size, root })
}

fn check_proof_length(proof: &[Hash]) -> Result<(), LogError> {
    if proof.len() <= MAX_PROOF_HASHES { Ok(()) } else { Err(LogError::ProofLength { hashes: proof.len() }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf_hash;
    use crate::key::SigningKey;
    use crate::memory_tree::MemoryTree;

    /// The request that the specification shows.
    const SPEC_REQUEST: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa \
        opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    fn key() -> SigningKey {
        SigningKey::new("example.com/log", [7; 32]).unwrap()
    }

    fn tree() -> MemoryTree {
        let mut tree = MemoryTree::new();
        (0_u64..20).for_each(|entry| tree.push(leaf_hash(&entry.to_be_bytes())));
        tree
    }

    fn state(size: u64) -> WitnessState {
        WitnessState { size, root: tree().root_at(size).unwrap() }
    }

    fn signed(size: u64, root: Hash) -> String {
        key().sign_note(&Checkpoint { origin: key().name().to_owned(), size, root }.body()).unwrap()
    }

    fn request(old_size: u64, new: u64) -> AddCheckpoint {
        let proof = tree().consistency_proof(old_size, new).unwrap();
        AddCheckpoint { old_size, proof, checkpoint: signed(new, state(new).root) }
    }

    fn status(state: Option<WitnessState>, request: &AddCheckpoint) -> u16 {
        consider(state, request, &key().verifier()).map_or_else(|refusal| refusal.status(), |_| 200)
    }

    #[test]
    fn the_spec_request_reads_and_prints() {
        let request: AddCheckpoint = SPEC_REQUEST.parse().unwrap();
        assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.origin(), "example.com/behind-the-sofa");
        assert_eq!(request.to_string(), SPEC_REQUEST);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let text = request(4, 9).to_string();
        assert!(text.parse::<AddCheckpoint>().is_ok());
        let many = AddCheckpoint { proof: vec![leaf_hash(b""); MAX_PROOF_HASHES + 1], ..request(4, 9) };
        let (_, checkpoint) = text.split_once("\n\n").unwrap();
        for refused in [
            String::new(),
            "old 4\n\n".to_owned(),
            checkpoint.to_owned(),
            format!("\n\n{checkpoint}"),
            format!("old 4\n{checkpoint}"),
            text.replace("old 4\n", "old 04\n"),
            text.replace("old 4\n", "old -4\n"),
            text.replace("old 4\n", "old  4\n"),
            text.replace("old 4\n", "old 4 \n"),
            text.replace("old 4\n", "old 9223372036854775808\n"),
            text.replace("old 4\n", "size 4\n"),
            text.replace("old 4\n", "old 4\nhash\n"),
            text.replace("old 4\n", "old 4\n\n"),
            text.replace("example.com/log\n9\n", "example.com/log\n09\n"),
            text.replace('\n', "\r\n"),
            text.trim_end().to_owned(),
            many.to_string(),
            format!("{text}{}", "\u{2014} witness.example AAAAAQI=\n".repeat(MAX_ADD_CHECKPOINT_BYTES / 30)),
        ] {
            assert!(refused.parse::<AddCheckpoint>().is_err(), "{refused:.200} must be refused");
        }
    }

    #[test]
    fn an_honest_log_is_followed_from_nothing_and_may_stand_still() {
        let mut known = None;
        for (old, new) in [(0, 0), (0, 1), (1, 1), (1, 7), (7, 8), (8, 8), (8, 20)] {
            known = Some(consider(known, &request(old, new), &key().verifier()).unwrap());
            assert_eq!(known, Some(state(new)));
        }
        assert_eq!(consider(None, &request(0, 20), &key().verifier()), Ok(state(20)));
    }

    #[test]
    fn a_log_is_unknown_or_its_signature_missing_before_its_sizes_matter() {
        let other = SigningKey::new("example.com/other", [7; 32]).unwrap().verifier();
        let refusal = consider(None, &request(0, 7), &other).unwrap_err();
        assert_eq!(refusal, WitnessRefusal::UnknownLog { origin: "example.com/log".to_owned() });
        assert_eq!(refusal.status(), 404);

        let stranger = SigningKey::new("example.com/log", [8; 32]).unwrap().verifier();
        assert_eq!(consider(Some(state(7)), &request(4, 9), &stranger).unwrap_err().status(), 403);
        // The old size above the checkpoint's would be 400, a root that the log did not sign 422.
        let unsigned = AddCheckpoint { old_size: 10, ..request(4, 9) };
        let checkpoint = unsigned.checkpoint.replace("example.com/log\n9\n", "example.com/log\n8\n");
        assert_eq!(status(Some(state(4)), &AddCheckpoint { checkpoint, ..unsigned }), 403);
    }

    #[test]
    fn a_request_that_cannot_be_is_malformed() {
        assert_eq!(status(Some(state(10)), &AddCheckpoint { old_size: 10, ..request(4, 9) }), 400);
        assert_eq!(status(None, &AddCheckpoint { checkpoint: String::new(), ..request(0, 9) }), 400);
        let many = vec![leaf_hash(b""); MAX_PROOF_HASHES + 1];
        assert_eq!(status(Some(state(4)), &AddCheckpoint { proof: many, ..request(4, 9) }), 400);
    }

    #[test]
    fn an_old_size_that_is_not_the_known_one_is_a_conflict_that_tells_it() {
        for (known, old_size) in [(Some(7), 4), (Some(4), 7), (Some(4), 0), (None, 4)] {
            let refusal = consider(known.map(state), &request(old_size, 9), &key().verifier()).unwrap_err();
            let known = KnownSize(known.unwrap_or(0));
            assert_eq!(refusal, WitnessRefusal::Conflict { old_size, known });
            assert_eq!(refusal.status(), 409);
        }
        let refusal = consider(Some(state(7)), &request(4, 9), &key().verifier()).unwrap_err();
        assert_eq!(refusal.to_string(), "old size 4 is not 7, the size cosigned last");
    }

    #[test]
    fn a_tree_that_does_not_continue_the_known_one_is_not_cosigned() {
        let other = leaf_hash(b"another tree");
        let with = |request: AddCheckpoint, proof: Vec<Hash>| AddCheckpoint { proof, ..request };
        let rooted =
            |old_size, size| AddCheckpoint { old_size, proof: Vec::new(), checkpoint: signed(size, other) };
        for (known, refused) in [
            (Some(state(4)), with(request(4, 9), Vec::new())),
            (Some(state(4)), with(request(4, 9), vec![other; 4])),
            (Some(state(4)), with(request(4, 9), [request(4, 9).proof, vec![other]].concat())),
            (Some(state(4)), AddCheckpoint { checkpoint: signed(9, other), ..request(4, 9) }),
            (Some(WitnessState { size: 4, root: other }), request(4, 9)),
            (Some(state(9)), rooted(9, 9)),
            (Some(state(9)), with(request(9, 9), vec![other])),
            (None, with(request(0, 9), vec![other])),
            (None, rooted(0, 0)),
        ] {
            let refusal = consider(known, &refused, &key().verifier()).unwrap_err();
            assert!(matches!(refusal, WitnessRefusal::Inconsistent(_)), "{refusal:?}");
            assert_eq!(refusal.status(), 422);
        }
    }

    #[test]
    fn the_known_size_is_a_number_and_a_newline() {
        assert_eq!(KnownSize(20_852_014).to_string(), "20852014\n");
        assert_eq!("0\n".parse(), Ok(KnownSize(0)));
        for refused in ["", "\n", "5", "05\n", "5\n\n", "5 \n", "5\r\n", "-5\n", "9223372036854775808\n"] {
            assert!(refused.parse::<KnownSize>().is_err(), "{refused:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn every_request_reads_back(old_size in 0_u64..=20, more in 0_u64..=20) {
            let request = request(old_size, 20.min(old_size + more));
            prop_assert_eq!(request.to_string().parse(), Ok(request));
        }

        #[test]
        fn what_reads_as_a_request_prints_the_same(
            text in "old [0-9]{1,2}\n([A-Za-z0-9+/]{42}[AEIM]=\n){0,2}\na\n[0-9]{1,2}\n[A-Za-z0-9+/]{42}[AEIM]=\n\n\u{2014} a AAAAAQI=\n|(?s).{0,40}",
        ) {
            if let Ok(request) = text.parse::<AddCheckpoint>() {
                prop_assert_eq!(request.to_string(), text);
            }
        }

        #[test]
        fn what_reads_as_a_known_size_prints_the_same(text in "[0-9]{0,20}\n?|(?s).{0,20}") {
            if let Ok(size) = text.parse::<KnownSize>() {
                prop_assert_eq!(size.to_string(), text);
            }
        }
    }
}
