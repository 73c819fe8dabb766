//! `Continued`: a control plane that has lost the tail of its logs goes on under another origin, and says so to every node that
//! still signs for the one before.
//!
//! The node follows on its pinned key's word alone: that very key, under the new name, must have signed a record in which an entry
//! says that it continues the pinned log, and that entry must not contradict what the node saw of it. What the node signed before
//! stays as it is and is sent as it is; the next report names the new log.

use transparency_log::{Checkpoint, LogError, LogProof, Verifier};
use wiregrant_core::FactError;
use wiregrant_core::api::{Problem, ProblemKind};
use wiregrant_core::record::RecordEntry;

use crate::enrolment::Enrolment;
use crate::keeper::Keeper;
use crate::log_keys::LogKeys;
use crate::receipts::Receipts;
use crate::witnessed;

/// What a control plane shows of the log that continues the node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    vkey: String,
    entry: String,
    proof: String,
}

impl Continued {
    /// What a refusal shows, if it is for this.
    #[must_use]
    pub fn by(problem: &Problem) -> Option<Self> {
        if !problem.is(ProblemKind::LogContinued) {
            return None;
        }
        let text = |name: &str| Some(problem.figures.get(name)?.as_str()?.to_owned());
        Some(Self { vkey: text("vkey")?, entry: text("entry")?, proof: text("proof")? })
    }
}

impl Enrolment {
    /// The enrolment under the log that continues the pinned one, of whose record `seen` is the newest checkpoint that was seen.
    ///
    /// # Errors
    /// When the pinned key does not say so, or what it says contradicts what was seen.
    pub fn following(
        &self,
        keys: &LogKeys,
        shown: &Continued,
        seen: Option<&Checkpoint>,
    ) -> Result<Self, FactError> {
        let refuse = |error: LogError| FactError::Signature(format!("another log: {error}"));
        let (pinned, next): (&Verifier, Verifier) =
            (keys.signs_record(), shown.vkey.parse().map_err(refuse)?);
        if next.public_key() != pinned.public_key() || next.name() == pinned.name() {
            return Err(FactError::mismatch(
                "another log",
                format!("the pinned key {pinned} under another name"),
                next,
            ));
        }
        let proof: LogProof = shown.proof.parse().map_err(refuse)?;
        proof.verify(shown.entry.as_bytes(), &next).map_err(refuse)?;
        let entry: RecordEntry = shown.entry.parse()?;
        let RecordEntry::Continues { origin, size, root } = entry else {
            return Err(FactError::value("another log", &shown.entry, "`continues <origin> <size> <root>`"));
        };
        if origin != self.log {
            return Err(FactError::mismatch("another log: continues", &self.log, origin));
        }
        if let Some(seen) = seen {
            let contradicts = seen.size > size || (seen.size == size && seen.root != root);
            if contradicts {
                let expected =
                    format!("{} entries or more with root {}, which were seen", seen.size, seen.root);
                return Err(FactError::mismatch("another log: continues", expected, &shown.entry));
            }
        }
        let reports = Verifier::from_public_key(&format!("{}/reports", next.name()), next.public_key());
        let mut followed = self.clone();
        followed.former_logs.push(std::mem::replace(&mut followed.log, next.name().parse()?));
        followed.former_log_vkeys.extend(keys.record().iter().map(ToString::to_string));
        followed.log_vkey = next.to_string();
        followed.reports_vkey = reports.map_err(refuse)?.to_string();
        Ok(followed)
    }
}

impl Keeper {
    /// Goes on under the log that continues the node's, if a refusal shows one.
    pub(crate) fn follow(&mut self, problem: &Problem) {
        let Some(shown) = Continued::by(problem) else { return };
        match self.try_to_follow(&shown) {
            Ok(former) => tracing::warn!(
                former, log = %self.enrolment.log,
                "the control plane has lost the tail of its log and goes on under another name; this node follows, and sends again \
                 what it holds"
            ),
            Err(error) => tracing::error!(
                "the control plane goes on under another log, and this node does not follow: {error:#}; ask who runs it, and be invited \
                 again (`wiregrant node invite`) only where they can say why"
            ),
        }
    }

    fn try_to_follow(&mut self, shown: &Continued) -> anyhow::Result<String> {
        let seen = witnessed::record_seen(&self.dir, &self.enrolment)?;
        let keys = LogKeys::read(&self.dir, &self.enrolment)?;
        let followed = self.enrolment.following(&keys, shown, seen.as_ref())?;
        self.dir.write_enrolment(&followed)?;
        let former = std::mem::replace(&mut self.enrolment, followed).log.to_string();
        self.identity.log = self.enrolment.log.clone();
        self.in_step = false;
        // What was acknowledged may have to be sent again, also where nothing is due.
        self.receipts = Receipts::default();
        self.receipts.compare = true;
        Ok(former)
    }
}

#[cfg(test)]
mod tests {
    use transparency_log::{EMPTY_ROOT, Hash, SigningKey, leaf_hash};

    use super::*;
    use crate::enrolment::tests::{enrolled, joined, log_key};

    fn shown(by: &SigningKey, entry: &str) -> Continued {
        let root = leaf_hash(entry.as_bytes());
        let checkpoint = Checkpoint { origin: by.name().to_owned(), size: 1, root }.sign(by).unwrap();
        let proof = LogProof { index: 0, hashes: Vec::new(), checkpoint, extra: None }.to_string();
        Continued { vkey: by.verifier().to_string(), entry: entry.to_owned(), proof }
    }

    #[test]
    fn only_the_pinned_key_leads_to_another_log_and_only_from_the_pinned_one() {
        let enrolment = enrolled(joined()).unwrap();
        let entry = format!("continues grants.example/record 9 {EMPTY_ROOT}");
        let next = log_key("grants.example/record-2");
        let keys = LogKeys::of(&enrolment).unwrap();
        let followed = enrolment.following(&keys, &shown(&next, &entry), None).unwrap();
        assert_eq!(followed.log.as_str(), "grants.example/record-2");
        assert_eq!(followed.former_logs, std::slice::from_ref(&enrolment.log));
        let names: Vec<_> =
            LogKeys::of(&followed).unwrap().reports().iter().map(|key| key.name().to_owned()).collect();
        assert_eq!(names, ["grants.example/record/reports", "grants.example/record-2/reports"]);
        let stranger = SigningKey::new("grants.example/record-2", [9; 32]).unwrap();
        for (what, refused) in [
            ("another key", shown(&stranger, &entry)),
            ("the same name", shown(&log_key("grants.example/record"), &entry)),
            ("another log", shown(&next, &entry.replace("grants.example", "other.example"))),
            ("another entry", shown(&next, "operator nordlicht -")),
            ("no proof", Continued { entry: entry.replace(" 9 ", " 8 "), ..shown(&next, &entry) }),
        ] {
            assert!(enrolment.following(&keys, &refused, None).is_err(), "{what}");
        }
    }

    #[test]
    fn a_log_that_forgets_what_was_seen_is_not_followed() {
        let enrolment = enrolled(joined()).unwrap();
        let entry = format!("continues grants.example/record 9 {EMPTY_ROOT}");
        let next = shown(&log_key("grants.example/record-2"), &entry);
        let seen = |size, root| Checkpoint { origin: "grants.example/record".to_owned(), size, root };
        for (size, root, follows) in [
            (8, Hash([1; 32]), true),
            (9, EMPTY_ROOT, true),
            (9, Hash([1; 32]), false),
            (10, EMPTY_ROOT, false),
        ] {
            assert_eq!(
                enrolment
                    .following(&LogKeys::of(&enrolment).unwrap(), &next, Some(&seen(size, root)))
                    .is_ok(),
                follows,
                "{size}"
            );
        }
    }
}
