//! The manual lists every command and option as the program has them.

use std::path::Path;

/// What stands above the generated part of `docs/cli.md`.
const MARK: &str =
    "<!-- made from the program: WIREGRANT_WRITE_MANUAL=1 cargo test -p wiregrant --test manual -->\n";

#[test]
fn the_manual_lists_every_command_and_option() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = std::fs::read_to_string(&path).expect("docs/cli.md");
    let (prose, generated) = text.split_once(MARK).expect("docs/cli.md has the mark");
    let manual = wiregrant::manual();
    if std::env::var_os("WIREGRANT_WRITE_MANUAL").is_some() {
        std::fs::write(&path, format!("{prose}{MARK}\n{manual}")).expect("docs/cli.md can be written");
        return;
    }
    assert_eq!(generated, format!("\n{manual}"), "docs/cli.md is old: run the line above its generated part");
}
