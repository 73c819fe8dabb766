//! `Carried`: the record of the log before, as far as the log that continues it carries it over.
//!
//! `continues <origin> <size> <root>` and the new log's key stand first; then come the entries of the log before, as they stood
//! there, until the new log names its own statement key. They are replayed as what they were: notes among them name the log
//! before. Their leaf hashes are kept, 32 bytes an entry, because checkpoints that were seen of that log, and batches, name its states.

use transparency_log::{Edge, Hash, Verifier, leaf_hash};
use wiregrant_core::note::Origin;

use super::difference::Difference;

/// See the module.
pub struct Carried {
    /// The log before.
    pub origin: Origin,
    /// How many entries it had, at least.
    pub size: u64,
    /// Its root there.
    pub root: Hash,
    leaves: Vec<Hash>,
    /// The logs that are carried, each within the one before it, and the place of their first entries among the leaves.
    begins: Vec<(String, usize)>,
    /// Which of them the entries are of that come now.
    now: String,
    has_ended: bool,
}

/// The name of the key that signs the statements of a log.
fn statement_key_name(log: &str) -> String {
    format!("{log}/statement")
}

impl Carried {
    /// Nothing carried over yet.
    pub fn new(origin: Origin, size: u64, root: Hash) -> Self {
        let (begins, now) = (vec![(origin.to_string(), 0)], origin.to_string());
        Self { origin, size, root, leaves: Vec::new(), begins, now, has_ended: false }
    }

    /// Whether the entries that come are still those of the log before.
    pub fn is_open(&self) -> bool {
        !self.has_ended
    }

    /// How many entries are carried over.
    pub fn count(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Takes an entry of the log before.
    pub fn push(&mut self, entry: &str) {
        self.leaves.push(leaf_hash(entry.as_bytes()));
    }

    /// An entry of the log before says that that one continues another: it is the first of its log.
    pub fn continues(&mut self, origin: &Origin) -> Option<Difference> {
        let first = self.begins.last().map_or(0, |(_, first)| *first);
        if self.leaves.len() != first.saturating_add(1) {
            return Some(Difference::new("continues", "the first entry of its log", "a later one"));
        }
        self.begins.push((origin.to_string(), first.saturating_add(2)));
        self.now = origin.to_string();
        None
    }

    /// The log before whose entries come now; none once all is carried over.
    pub fn named_log(&self) -> Option<&str> {
        self.is_open().then_some(self.now.as_str())
    }

    /// Takes a statement key of the log before: that of a log which itself carries another over ends that one.
    pub fn statement_key(&mut self, key: &Verifier) {
        let of = self.begins.iter().find(|(log, _)| key.name() == statement_key_name(log));
        if let Some((log, _)) = of {
            self.now.clone_from(log);
        }
    }

    /// Whether a key that an entry of the log before names may be its.
    pub fn is_log_key(&self, key: &Verifier) -> bool {
        self.names(key.name())
    }

    /// Whether a statement key is that of the log `own`, with which what is carried over ends.
    pub fn ends_with(&self, key: &Verifier, own: &str) -> bool {
        self.is_open() && key.name() == statement_key_name(own)
    }

    /// All is carried over; what does not follow from what the log before was.
    pub fn end(&mut self) -> Option<Difference> {
        self.has_ended = true;
        let count = self.count();
        if count > self.size {
            return Some(Difference::new("carried over", format!("at most {} entries", self.size), count));
        }
        let root = self.root_of(0, self.leaves.len());
        (count == self.size)
            .then(|| Difference::unless_equal("carried over: root", self.root, root))
            .flatten()
    }

    /// Whether a log of this name is carried over.
    pub fn names(&self, log: &str) -> bool {
        self.begins.iter().any(|(begun, _)| begun == log)
    }

    /// The logs that are carried over, the newest first.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        self.begins.iter().map(|(log, _)| log.as_str())
    }

    /// The root of a carried log at a size; `None` where not so much of it is carried over.
    pub fn root_at(&self, log: &str, size: u64) -> Option<Hash> {
        let (_, first) = self.begins.iter().find(|(begun, _)| begun == log)?;
        let end = first.checked_add(usize::try_from(size).ok()?)?;
        (end <= self.leaves.len()).then(|| self.root_of(*first, end))
    }

    fn root_of(&self, first: usize, end: usize) -> Hash {
        let mut edge = Edge::empty();
        for leaf in self.leaves.get(first..end).unwrap_or_default() {
            edge.append(*leaf);
        }
        edge.root()
    }
}
