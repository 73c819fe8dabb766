//! Whatever is read as a statement prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::Sats;
use wiregrant_core::note::NoteText;
use wiregrant_core::statement::Statement;

fuzz_target!(|text: &str| {
    if let Ok(statement) = Statement::from_text(text) {
        assert_eq!(statement.text(), text);
        let _ = statement.check_sums(None, Sats::ZERO);
        let _ = wiregrant_payout::check_statement(&statement);
    }
});
