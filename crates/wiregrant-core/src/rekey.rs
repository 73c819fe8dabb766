//! The note by which a node's identity key is replaced by another.

use transparency_log::Verifier;

use crate::note::{NoteText, Origin, Reader, Writer};
use crate::{FactError, NodeId, OperatorId, Timestamp};

/// The note `wiregrant/rekey/v1`, public under its hash, which the record's `rekey` entry names. Signed by the former key; by the
/// statement key where that one is lost or in wrong hands, and the node was invited anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekey {
    /// The record log.
    pub log: Origin,
    /// Whose key it is.
    pub node: NodeId,
    /// Whose node.
    pub operator: OperatorId,
    /// The key that ends with it.
    pub former: Verifier,
    /// The key from here on. A key that was replaced is never this or another node's again.
    pub vkey: Verifier,
    /// When it was signed.
    pub time: Timestamp,
}

impl NoteText for Rekey {
    const KIND: &'static str = "wiregrant/rekey/v1";
    const MAX_BYTES: usize = 4 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("node", &[&self.node]);
        lines.line("operator", &[&self.operator]);
        lines.line("former", &[&self.former]);
        lines.line("vkey", &[&self.vkey]);
        lines.line("time", &[&self.time]);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let (log, node, operator) = (lines.value("log")?, lines.value("node")?, lines.value("operator")?);
        let (former, vkey) = (key(lines, "former", &node)?, key(lines, "vkey", &node)?);
        if former == vkey {
            return Err(FactError::mismatch("vkey", "another key than the former one", &vkey));
        }
        Ok(Self { log, node, operator, former, vkey, time: lines.value("time")? })
    }
}

/// A key in the node's name.
fn key(lines: &mut Reader<'_>, line: &'static str, node: &NodeId) -> Result<Verifier, FactError> {
    let [text] = lines.fields(line)?;
    let expected = "a C2SP verifier key in the node's name";
    let refuse = || FactError::value(line, text, expected);
    let verifier: Verifier = text.parse().map_err(|_| refuse())?;
    if verifier.name() == node.as_str() { Ok(verifier) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use transparency_log::SigningKey;

    use super::*;

    fn vkey(name: &str, seed: u8) -> Verifier {
        SigningKey::new(name, [seed; 32]).unwrap().verifier()
    }

    fn rekey() -> Rekey {
        Rekey {
            log: "grants.example/record".parse().unwrap(),
            node: "node-1".parse().unwrap(),
            operator: "nordlicht".parse().unwrap(),
            former: vkey("node-1", 3),
            vkey: vkey("node-1", 4),
            time: "2026-07-06T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_rekey_reads_as_it_was_written() {
        let text = rekey().text();
        assert_eq!(
            text,
            format!(
                "wiregrant/rekey/v1\nlog grants.example/record\nnode node-1\noperator nordlicht\nformer {}\nvkey {}\n\
                 time 2026-07-06T12:00:00Z\n",
                vkey("node-1", 3),
                vkey("node-1", 4)
            )
        );
        assert_eq!(Rekey::from_text(&text).unwrap(), rekey());
    }

    #[test]
    fn a_key_of_another_name_and_the_same_key_again_are_refused() {
        let refusal = |change: &dyn Fn(&mut Rekey)| {
            let mut changed = rekey();
            change(&mut changed);
            Rekey::from_text(&changed.text()).unwrap_err().to_string()
        };
        assert!(refusal(&|rekey| rekey.vkey = vkey("node-2", 4)).starts_with("vkey"));
        assert!(refusal(&|rekey| rekey.former = vkey("node-2", 3)).starts_with("former"));
        assert!(refusal(&|rekey| rekey.vkey = rekey.former.clone()).starts_with("vkey"));
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_as_it_came(text in "\\PC{0,80}", cut in 0usize..400) {
            let good = rekey().text();
            let mut mixed = good.clone();
            mixed.replace_range(cut.min(good.len()).., &text);
            for candidate in [text, mixed] {
                if let Ok(read) = Rekey::from_text(&candidate) {
                    prop_assert_eq!(read.text(), candidate);
                }
            }
        }
    }
}
