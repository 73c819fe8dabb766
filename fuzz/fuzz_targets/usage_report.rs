//! Whatever is read as a usage report prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::NoteText;
use wiregrant_core::usage_report::UsageReport;

fuzz_target!(|text: &str| {
    if let Ok(report) = UsageReport::from_text(text) {
        assert_eq!(report.text(), text);
    }
});
