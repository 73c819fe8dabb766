//! The note by which an operator who lost every token asks for another.

use crate::note::{NoteText, Origin, Reader, Salt, Writer};
use crate::{FactError, OperatorId, Timestamp};

/// The note `wiregrant/recovery/v1`, signed by the operator's own key. It is neither logged nor published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The record log.
    pub log: Origin,
    /// Who asks.
    pub operator: OperatorId,
    /// When it was signed.
    pub time: Timestamp,
    /// Makes each one another.
    pub salt: Salt,
}

impl Recovery {
    /// How far its time may be from that of the control plane, in seconds: whoever finds an old one cannot use it.
    pub const MAX_AGE_SECONDS: u64 = 3_600;
}

impl NoteText for Recovery {
    const KIND: &'static str = "wiregrant/recovery/v1";
    const MAX_BYTES: usize = 4 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("operator", &[&self.operator]);
        lines.line("time", &[&self.time]);
        lines.line("salt", &[&self.salt]);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        Ok(Self {
            log: lines.value("log")?,
            operator: lines.value("operator")?,
            time: lines.value("time")?,
            salt: lines.value("salt")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recovery() -> Recovery {
        Recovery {
            log: "grants.example/record".parse().unwrap(),
            operator: "nordlicht".parse().unwrap(),
            time: "2026-07-06T12:00:00Z".parse().unwrap(),
            salt: Salt([7; 16]),
        }
    }

    #[test]
    fn a_recovery_reads_as_it_was_written() {
        assert_eq!(
            recovery().text(),
            "wiregrant/recovery/v1\nlog grants.example/record\noperator nordlicht\ntime 2026-07-06T12:00:00Z\n\
             salt BwcHBwcHBwcHBwcHBwcHBw==\n"
        );
        assert_eq!(Recovery::from_text(&recovery().text()).unwrap(), recovery());
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_as_it_came(text in "\\PC{0,80}", cut in 0usize..200) {
            let good = recovery().text();
            let mut mixed = good.clone();
            mixed.replace_range(cut.min(good.len()).., &text);
            for candidate in [text, mixed] {
                if let Ok(read) = Recovery::from_text(&candidate) {
                    prop_assert_eq!(read.text(), candidate);
                }
            }
        }
    }
}
