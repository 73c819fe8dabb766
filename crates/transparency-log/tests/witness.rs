//! Witnesses against a log that shows two histories.

use proptest::prelude::*;
use transparency_log::{
    AddCheckpoint, Checkpoint, CosignerKey, Hash, LogError, MemoryTree, Note, SigningKey, SplitView,
    WitnessPolicy, WitnessState, add_cosignature, consider, leaf_hash,
};

/// Leaves of each of the two histories.
const LEAVES: u64 = 20;

fn log() -> SigningKey {
    SigningKey::new("example.com/log", [7; 32]).expect("a good name")
}

fn witness(number: u8) -> CosignerKey {
    CosignerKey::new(&format!("witness.example/w{number}"), [number; 32]).expect("a good name")
}

/// A history whose leaves are those of every other up to `common`, and its own from there.
fn history(common: u64, name: u8) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for index in 0..LEAVES {
        let [.., index_byte] = index.to_be_bytes();
        tree.push(leaf_hash(&[index_byte, if index < common { 0 } else { name }]));
    }
    tree
}

fn root(tree: &MemoryTree, size: u64) -> Hash {
    tree.root_at(size).expect("within the history")
}

fn signed(tree: &MemoryTree, size: u64) -> String {
    let checkpoint = Checkpoint { origin: log().name().to_owned(), size, root: root(tree, size) };
    checkpoint.sign(&log()).expect("a checkpoint")
}

fn request(tree: &MemoryTree, old_size: u64, size: u64) -> AddCheckpoint {
    let proof = tree.consistency_proof(old_size, size).expect("within the history");
    AddCheckpoint { old_size, proof, checkpoint: signed(tree, size) }
}

/// The checkpoint with the witness's cosignature, as a log gets it.
fn cosigned(state: Option<WitnessState>, request: &AddCheckpoint, by: &CosignerKey) -> Note {
    consider(state, request, &log().verifier()).expect("consistent with what this witness knows");
    let note = Note::parse(&request.checkpoint).expect("a note");
    let answer = by.cosign(&note.text, 1_800_000_000).expect("a checkpoint");
    add_cosignature(&note, &answer, &by.verifier()).expect("its own line")
}

#[test]
fn a_split_view_shown_to_two_witnesses_is_evidence_once_they_compare() {
    let (one, two) = (history(5, 1), history(5, 2));
    let common = WitnessState { size: 5, root: root(&one, 5) };
    assert_eq!(common.root, root(&two, 5));
    let first = cosigned(Some(common), &request(&one, 5, 9), &witness(1));
    let second = cosigned(Some(common), &request(&two, 5, 9), &witness(2));

    let split = SplitView::between(&first.to_string(), &second.to_string(), &log().verifier());
    let split = split.unwrap().expect("two roots of nine leaves");
    assert_eq!((split.size, split.roots), (9, [root(&one, 9), root(&two, 9)]));
    for (note, by) in split.checkpoints.iter().zip([witness(1), witness(2)]) {
        let alone = WitnessPolicy::new(vec![by.verifier()], 1).unwrap();
        assert_eq!(alone.check(&Note::parse(note).unwrap()), Ok(vec![by.name().to_owned()]));
    }

    // Who asks for both witnesses is shown neither history; nor can a line be carried over to the other one.
    let both = WitnessPolicy::new(vec![witness(1).verifier(), witness(2).verifier()], 2).unwrap();
    for note in [&first, &second] {
        assert!(matches!(both.check(note), Err(LogError::TooFewWitnesses { found: 1, .. })));
    }
    let carried = first.with_line(&second.signatures[1]).unwrap();
    assert!(matches!(both.check(&carried), Err(LogError::BadSignature { .. })));
}

#[test]
fn a_witness_of_one_history_refuses_the_other() {
    let (one, two) = (history(5, 1), history(5, 2));
    let known = Some(WitnessState { size: 9, root: root(&one, 9) });
    for refused in [request(&two, 9, 9), request(&two, 9, 12)] {
        assert_eq!(consider(known, &refused, &log().verifier()).unwrap_err().status(), 422);
    }
    assert_eq!(consider(known, &request(&two, 5, 9), &log().verifier()).unwrap_err().status(), 409);
}

/// A request of a log that lies as it can: any checkpoint of either history, with any proof it could know.
#[derive(Debug, Clone)]
struct Attempt {
    shown: usize,
    size: u64,
    /// Aims at what the witness knows instead of at `old_size`.
    aimed: bool,
    old_size: u64,
    proven: usize,
    /// Hashes that take the place of some of the proof's: position, history, size of the tree whose root it is.
    changes: Vec<(usize, usize, u64)>,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let change = (0_usize..6, 0_usize..2, 0..=LEAVES);
    let changes = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(change, 1..4)];
    (0_usize..2, 0..=LEAVES, prop::bool::weighted(0.8), 0..=LEAVES, 0_usize..2, changes).prop_map(
        |(shown, size, aimed, old_size, proven, changes)| Attempt {
            shown,
            size,
            aimed,
            old_size,
            proven,
            changes,
        },
    )
}

proptest! {
    #[test]
    fn no_two_inconsistent_checkpoints_are_ever_both_accepted(
        common in 0..LEAVES,
        attempts in prop::collection::vec(attempt(), 1..12),
    ) {
        let histories = [history(common, 1), history(common, 2)];
        let (mut state, mut accepted) = (None::<WitnessState>, Vec::new());
        for attempt in attempts {
            let known = state.map_or(0, |state| state.size);
            let old_size = if attempt.aimed { known } else { attempt.old_size };
            let (from, to) = (old_size.min(attempt.size), attempt.size);
            let mut proof = histories[attempt.proven].consistency_proof(from, to).unwrap();
            for (position, history, size) in &attempt.changes {
                let hash = root(&histories[*history], *size);
                match proof.get_mut(*position) {
                    Some(place) => *place = hash,
                    None => proof.push(hash),
                }
            }
            let checkpoint = signed(&histories[attempt.shown], attempt.size);
            let honest = old_size == known && old_size <= to && attempt.changes.is_empty()
                && attempt.proven == attempt.shown
                && state.is_none_or(|state| state.root == root(&histories[attempt.shown], state.size));
            match consider(state, &AddCheckpoint { old_size, proof, checkpoint }, &log().verifier()) {
                Ok(next) => {
                    prop_assert_eq!(next.size, to);
                    prop_assert!(next.size >= known);
                    accepted.push(next);
                    state = Some(next);
                }
                Err(refusal) => prop_assert!(!honest, "an honest request was refused: {refusal}"),
            }
        }
        let one_history = histories.iter().any(|history| {
            accepted.iter().all(|state| state.root == root(history, state.size))
        });
        prop_assert!(one_history, "{accepted:?} are of no one history");
    }
}
