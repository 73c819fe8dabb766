//! Neither the agent nor the SOCKS5 service panics at what the other may write, and both read what they print.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::socks5::metering::{Answer, Question};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = Question::parse(bytes) {
        assert_eq!(Question::parse(question.to_line().as_bytes()).as_ref(), Ok(&question));
    }
    if let Ok(answer) = Answer::parse(bytes) {
        assert_eq!(Answer::parse(answer.to_line().as_bytes()).as_ref(), Ok(&answer));
    }
});
