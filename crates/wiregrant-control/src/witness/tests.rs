//! Sentences about a witness: what it cosigns, what it never cosigns, and what it remembers.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tower::ServiceExt;
use transparency_log::{MemoryTree, SigningKey, add_cosignature, leaf_hash};

use super::*;
use crate::clock::Clock;

fn log() -> SigningKey {
    SigningKey::new("grants.example/record", [7; 32]).unwrap()
}

fn now() -> Timestamp {
    "2026-07-06T12:00:00Z".parse().unwrap()
}

/// A history of 20 entries, its own from index `common` on.
fn history(common: u64, name: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for index in 0..20_u64 {
        let name = if index < common { "" } else { name };
        tree.push(leaf_hash(format!("{index}{name}").as_bytes()));
    }
    tree
}

fn request(tree: &MemoryTree, old_size: u64, size: u64) -> String {
    let checkpoint = Checkpoint { origin: log().name().to_owned(), size, root: tree.root_at(size).unwrap() };
    let (checkpoint, proof) =
        (checkpoint.sign(&log()).unwrap(), tree.consistency_proof(old_size, size).unwrap());
    AddCheckpoint { old_size, proof, checkpoint }.to_string()
}

fn open(path: &Path) -> Result<Witness, WitnessError> {
    let folder = Folder::open(path)?;
    let key = folder.key("witness.example/w1")?;
    Witness::open(key, vec![log().verifier()], folder)
}

fn status(witness: &Witness, request: &str) -> u16 {
    witness.add_checkpoint(request.as_bytes(), now()).map_or_else(|refusal| refusal.status(), |_| 200)
}

fn evidence(path: &Path) -> Vec<Evidence> {
    let Ok(files) = std::fs::read_dir(path.join("evidence")) else { return Vec::new() };
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().parse().unwrap()).collect()
}

#[test]
fn it_cosigns_what_continues_and_says_why_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path()).unwrap();
    let tree = history(20, "");
    let answer = witness.add_checkpoint(request(&tree, 0, 5).as_bytes(), now()).unwrap();
    let asked: AddCheckpoint = request(&tree, 0, 5).parse().unwrap();
    let cosigned =
        add_cosignature(&Note::parse(&asked.checkpoint).unwrap(), &answer, &witness.verifier()).unwrap();
    assert_eq!(cosigned.signatures.len(), 2);

    let stranger = request(&tree, 5, 9).replace("grants.example/record", "other.example/record");
    let forged =
        request(&tree, 5, 9).replace(&tree.root_at(9).unwrap().to_string(), &leaf_hash(b"x").to_string());
    for (request, expected) in [
        (request(&tree, 5, 5), 200),
        (request(&tree, 0, 9), 409),
        (request(&history(5, "two"), 5, 9), 200),
        (request(&tree, 9, 12), 422),
        (stranger, 404),
        (forged, 403),
        ("old 5\n".to_owned(), 400),
    ] {
        assert_eq!(status(&witness, &request), expected, "{request}");
    }
    let refusal = witness.add_checkpoint(request(&tree, 0, 9).as_bytes(), now()).unwrap_err();
    assert_eq!(refusal.known_size(), Some(KnownSize(9)));
}

#[test]
fn what_it_let_through_it_knows_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (history(5, "one"), history(5, "two"));
    let first = open(folder.path()).unwrap();
    assert_eq!(status(&first, &request(&one, 0, 9)), 200);
    let vkey = first.verifier();
    drop(first); // a kill writes nothing more: what counts was on the disk before the answer

    let again = open(folder.path()).unwrap();
    assert_eq!(again.verifier(), vkey);
    assert_eq!(status(&again, &request(&two, 0, 9)), 409);
    assert_eq!(status(&again, &request(&two, 9, 9)), 422);
    assert_eq!(status(&again, &request(&two, 9, 12)), 422);
    assert_eq!(status(&again, &request(&one, 9, 12)), 200);
}

#[test]
fn a_log_that_shows_it_two_histories_convicts_itself() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path()).unwrap();
    let (one, two) = (history(5, "one"), history(5, "two"));
    assert_eq!(status(&witness, &request(&one, 0, 9)), 200);
    assert_eq!(evidence(folder.path()), []);
    assert_eq!(status(&witness, &request(&two, 9, 12)), 422, "with the proof of the other history");
    assert_eq!(status(&witness, &request(&two, 0, 9)), 409, "at the same size, whatever it asked");
    let kept = evidence(folder.path());
    assert_eq!(kept.len(), 2);
    for evidence in kept {
        assert_eq!(evidence.check().unwrap().against, "log grants.example/record");
    }
    assert_eq!(status(&witness, &request(&two, 9, 12)), 422);
    assert_eq!(evidence(folder.path()).len(), 2, "the same is kept once");
}

#[test]
fn a_memory_that_is_gone_or_spoilt_or_shared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path()).unwrap();
    let refused = |path: &Path| open(path).err().unwrap().to_string();
    assert!(refused(folder.path()).contains("another witness works in it"));
    assert_eq!(status(&witness, &request(&history(20, ""), 0, 9)), 200);
    drop(witness);
    let kept = std::fs::read_dir(folder.path().join("logs")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&kept, "spoilt\n").unwrap();
    assert!(refused(folder.path()).contains(&kept.display().to_string()));
    std::fs::remove_dir_all(folder.path().join("logs")).unwrap();
    assert!(refused(folder.path()).contains("forgot"));
}

#[test]
fn it_goes_on_with_a_log_that_changes_its_key_and_convicts_it_under_either() {
    let folder = tempfile::tempdir().unwrap();
    let next = SigningKey::new(log().name(), [8; 32]).unwrap();
    let open = |keys: &[&SigningKey]| {
        let folder = Folder::open(folder.path())?;
        let key = folder.key("witness.example/w1")?;
        Witness::open(key, keys.iter().map(|key| key.verifier()).collect(), folder)
    };
    let by_next = |tree: &MemoryTree, old_size: u64, size: u64| {
        let mut asked: AddCheckpoint = request(tree, old_size, size).parse().unwrap();
        let root = tree.root_at(size).unwrap();
        asked.checkpoint = Checkpoint { origin: log().name().to_owned(), size, root }.sign(&next).unwrap();
        asked.to_string()
    };
    let (one, two) = (history(5, "one"), history(5, "two"));
    let witness = open(&[&log()]).unwrap();
    assert_eq!(status(&witness, &request(&one, 0, 9)), 200);
    assert_eq!(status(&witness, &by_next(&one, 9, 12)), 403, "nobody has told it the next key");
    drop(witness);
    let witness = open(&[&log(), &next]).unwrap();
    assert_eq!(status(&witness, &by_next(&two, 9, 12)), 422, "the next key goes on from the same tree");
    assert_eq!(evidence(folder.path()), [], "two keys of one log convict nobody in one file");
    assert_eq!(status(&witness, &by_next(&one, 9, 12)), 200);
    assert_eq!(status(&witness, &request(&one, 12, 13)), 200, "whichever of them signs");
    drop(witness);
    // What was let through last is the former key's: it is needed until the next one's has been.
    assert!(open(&[&next]).err().unwrap().to_string().contains("beside the one that it has"));
    let witness = open(&[&next, &log()]).unwrap();
    assert_eq!(status(&witness, &by_next(&one, 13, 15)), 200);
    assert_eq!(status(&witness, &by_next(&two, 15, 17)), 422);
    assert_eq!(evidence(folder.path()).len(), 1);
    drop(witness);
    let witness = open(&[&next]).unwrap();
    assert_eq!(status(&witness, &request(&one, 15, 17)), 403);
    assert_eq!(status(&witness, &by_next(&one, 15, 17)), 200);
    drop(witness);
    assert!(open(&[&next, &next]).err().unwrap().to_string().contains("twice"));
}

#[test]
fn a_log_that_asks_without_end_waits() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path()).unwrap();
    let asked = request(&history(20, ""), 0, 5);
    let first = witness.add_checkpoint(asked.as_bytes(), now());
    assert!(first.is_ok());
    let again = request(&history(20, ""), 5, 5);
    let answered: Vec<u16> = (0..100).map(|_| status(&witness, &again)).collect();
    assert_eq!(answered.iter().filter(|status| **status == 200).count(), 59);
    assert_eq!(answered[99], 429);
}

#[tokio::test]
async fn over_http_each_status_has_what_the_protocol_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Arc::new(open(folder.path()).unwrap());
    let router = router(Arc::clone(&witness), Clock::by_hand(now()));
    let ask = async |method: Method, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (parts.status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    };
    let tree = history(20, "");
    let add = async |request: String| ask(Method::POST, "/add-checkpoint", request.into_bytes()).await;
    assert_eq!(add(request(&tree, 0, 5)).await.0, StatusCode::OK);
    let (status, kind, body) = add(request(&tree, 0, 9)).await;
    assert_eq!((status, kind.as_str(), body.as_str()), (StatusCode::CONFLICT, "text/x.tlog.size", "5\n"));
    let long = vec![b'x'; transparency_log::MAX_ADD_CHECKPOINT_BYTES + 1];
    assert_eq!(ask(Method::POST, "/add-checkpoint", long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(add("\u{0}".to_owned()).await.0, StatusCode::BAD_REQUEST);
    let vkey = ask(Method::GET, "/vkey", Vec::new()).await.2;
    assert_eq!(vkey, format!("{}\n", witness.verifier()));
    let path = format!("/checkpoint/{}", transparency_log::Hash::of(log().name().as_bytes()).to_hex());
    let newest = ask(Method::GET, &path, Vec::new()).await.2;
    assert_eq!(Checkpoint::parse_verified(&newest, &log().verifier()).unwrap().size, 5);
    assert_eq!(ask(Method::GET, "/checkpoint/00", Vec::new()).await.0, StatusCode::NOT_FOUND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_it_is_shown_and_whenever_it_is_killed_it_cosigns_one_history(
        common in 0_u64..12,
        asked in prop::collection::vec((0_usize..2, 0_u64..=20, any::<bool>(), any::<bool>()), 1..16),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let histories = [history(common, "one"), history(common, "two")];
        let mut witness = open(folder.path()).unwrap();
        let mut cosigned: Vec<Checkpoint> = Vec::new();
        for (shown, size, aimed, killed) in asked {
            if killed {
                drop(witness);
                witness = open(folder.path()).unwrap();
            }
            let known = cosigned.last().map_or(0, |last| last.size);
            let old_size = if aimed { known.min(size) } else { size / 2 };
            let asked = request(&histories[shown], old_size, size);
            if witness.add_checkpoint(asked.as_bytes(), now()).is_ok() {
                let asked: AddCheckpoint = asked.parse().unwrap();
                cosigned.push(Checkpoint::parse_verified(&asked.checkpoint, &log().verifier()).unwrap());
            }
        }
        let of_one = |history: &MemoryTree| {
            cosigned.iter().all(|checkpoint| history.root_at(checkpoint.size).unwrap() == checkpoint.root)
        };
        prop_assert!(histories.iter().any(of_one), "{cosigned:?}");
    }
}
