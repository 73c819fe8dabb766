//! `docs/verify.md`, "One entry by hand": the very lines of the page, run on a record.

#[cfg(test)]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::record::Story;

/// The shell lines of a section of a page.
fn lines_of(page: &str, section: &str) -> String {
    let begin = page.find(&format!("## {section}\n")).unwrap_or_else(|| panic!("no section {section}"));
    let text = &page[begin + 3..];
    let text = &text[..text.find("\n## ").unwrap_or(text.len())];
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split("```").next().expect("its end"));
    blocks.collect::<Vec<_>>().join("")
}

/// Runs the page's lines in a folder that holds `public`.
fn by_hand(folder: &Path) -> Output {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify.md");
    let page = fs::read_to_string(page).expect("docs/verify.md");
    let script = format!("set -eu\n{}", lines_of(&page, "One entry by hand"));
    assert!(script.contains("openssl") && script.contains("sha256sum"), "{script}");
    Command::new("bash").arg("-c").arg(script).current_dir(folder).output().expect("bash")
}

#[test]
fn what_the_page_says_of_one_entry_holds() {
    let folder = tempfile::tempdir().unwrap();
    Story::honest().publish(&folder.path().join("public"));
    let output = by_hand(folder.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("Signature Verified Successfully") && said.contains("key log grants.example"),
        "{said}"
    );
    let hashes: Vec<&str> = said
        .split_whitespace()
        .filter(|word| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect();
    assert!(hashes.len() == 2 && hashes[0] == hashes[1], "the leaf hash, computed and in the tile: {said}");
    assert_eq!(said.matches(": OK").count(), 6, "terms, two statements, two new keys and a batch: {said}");
}

#[test]
fn a_changed_byte_fails_by_hand_too() {
    for (file, at) in [("log/checkpoint", 30), ("log/vkey", 60)] {
        let folder = tempfile::tempdir().unwrap();
        let public = folder.path().join("public");
        Story::honest().publish(&public);
        let mut bytes = fs::read(public.join(file)).unwrap();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        fs::write(public.join(file), bytes).unwrap();
        let output = by_hand(folder.path());
        assert!(!output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
