//! Whatever is read as a C2SP signature line or cosigner key prints back the same, and no answer of a witness makes
//! adding its cosignature panic or harms the log's own signature.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::{
    Checkpoint, CosignerKey, CosignerVerifier, Hash, Note, NoteSignature, SigningKey, add_cosignature,
    verify_cosignature,
};

fuzz_target!(|text: &str| {
    if let Ok(line) = text.parse::<NoteSignature>() {
        assert_eq!(line.to_string(), text);
    }
    if let Ok(key) = text.parse::<CosignerVerifier>() {
        assert_eq!(key.to_string(), text);
    }
    let log = SigningKey::new("example.com/log", [7; 32]).expect("a good name");
    let witness = CosignerKey::new("witness.example", [8; 32]).expect("a good name").verifier();
    let checkpoint = Checkpoint { origin: log.name().to_owned(), size: 7, root: Hash([0; 32]) };
    let note = Note::parse(&checkpoint.sign(&log).expect("a checkpoint")).expect("a note");
    if let Ok(added) = add_cosignature(&note, text, &witness) {
        assert_eq!(added.verified_by(&log.verifier()), Ok(()));
    }
    if let Ok(note) = Note::parse(text) {
        let _ = verify_cosignature(&note, &witness);
    }
});
