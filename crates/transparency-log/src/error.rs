//! `LogError`: everything that can be wrong with bytes that claim to be part of a log.

/// Why a hash, key, note, tile, bundle or proof was refused. Strings from outside are shown shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Not the one base64 spelling of 32 bytes.
    #[error("hash {found:?} is not 44 characters of padded base64 for 32 bytes")]
    HashFormat {
        /// What stood there.
        found: String,
    },
    /// Not a number as C2SP writes it.
    #[error("{field} {found:?} is not a decimal number from 0 to 2^63-1 without leading zeroes")]
    NumberFormat {
        /// Which number.
        field: &'static str,
        /// What stood there.
        found: String,
    },
    /// A key name that no signature line could carry.
    #[error("key name {name:?} must be non-empty and hold no space, no control character and no '+'")]
    KeyName {
        /// The name.
        name: String,
    },
    /// A verifier key that is not of the form `<name>+<hex key id>+<base64>`.
    #[error("verifier key {vkey:?}: {reason}")]
    VerifierKey {
        /// The text given.
        vkey: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A public key of small order, not on the curve, or not in its canonical encoding.
    #[error("public key of {name:?} is not a canonical Ed25519 point of large order; make a new key")]
    WeakKey {
        /// Name of the key.
        name: String,
    },
    /// A text longer than its named limit.
    #[error("{what} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// What was measured.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A note whose form is not that of a signed note, or of the kind of note expected.
    #[error("note: {reason}")]
    NoteFormat {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A signature line that cannot be read.
    #[error("signature line {line:?}: {reason}")]
    SignatureLine {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More signature lines than allowed.
    #[error("note has {count} signature lines, at most {limit} are allowed")]
    SignatureCount {
        /// Lines found.
        count: usize,
        /// Lines allowed.
        limit: usize,
    },
    /// No line by the wanted key.
    #[error("note has no signature by {name:?} with key id {key_id:08x}")]
    NotSigned {
        /// Name of the wanted key.
        name: String,
        /// Id of the wanted key.
        key_id: u32,
    },
    /// Two lines by the wanted key.
    #[error("note has {count} signatures by {name:?} with key id {key_id:08x}, exactly one is allowed")]
    SignedTwice {
        /// Name of the wanted key.
        name: String,
        /// Id of the wanted key.
        key_id: u32,
        /// Lines found.
        count: usize,
    },
    /// A line by the wanted key that does not verify.
    #[error("signature by {name:?} with key id {key_id:08x} does not verify")]
    BadSignature {
        /// Name of the wanted key.
        name: String,
        /// Id of the wanted key.
        key_id: u32,
    },
    /// A cosignature whose time is none.
    #[error("cosignature by {name:?} has time {timestamp}, Unix seconds from 1 to 2^63-1 are allowed")]
    CosignatureTime {
        /// Name of the cosigner.
        name: String,
        /// The time in Unix seconds.
        timestamp: u64,
    },
    /// A policy that can never or always be met.
    #[error("{threshold} of {witnesses} witnesses cannot be asked for, from 1 to {witnesses} can")]
    WitnessThreshold {
        /// Witnesses that must have cosigned.
        threshold: usize,
        /// Witnesses named.
        witnesses: usize,
    },
    /// One witness under two names, or twice under one.
    #[error("witnesses {first:?} and {second:?} have one key and would count as two; name it once")]
    WitnessTwice {
        /// Name in the earlier place.
        first: String,
        /// Name in the later place.
        second: String,
    },
    /// A checkpoint that too few of the policy's witnesses cosigned.
    #[error("cosigned by {found} of {witnesses} witnesses, {threshold} are required; missing: {missing}")]
    TooFewWitnesses {
        /// Witnesses that cosigned.
        found: usize,
        /// Witnesses that the policy names.
        witnesses: usize,
        /// Witnesses that must have cosigned.
        threshold: usize,
        /// Names of those that did not, joined by commas.
        missing: String,
    },
    /// A text that is not an add-checkpoint request (c2sp.org/tlog-witness).
    #[error("add-checkpoint request: {reason}")]
    AddCheckpointFormat {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A checkpoint whose text is not origin, size, root.
    #[error("checkpoint: {reason}")]
    CheckpointFormat {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A checkpoint of one log under the key of another.
    #[error("checkpoint names the log {origin:?}, the key is that of {key:?}")]
    Origin {
        /// First line of the checkpoint.
        origin: String,
        /// Name of the key.
        key: String,
    },
    /// Not the path of a tile or an entry bundle.
    #[error("{path:?} is not the path of a tile or an entry bundle")]
    TilePath {
        /// The path.
        path: String,
    },
    /// Bytes that are not 1 to 256 hashes.
    #[error("tile has {bytes} bytes, not 32 times a number from 1 to 256")]
    TileLength {
        /// Length in bytes.
        bytes: usize,
    },
    /// A source that gave a tile of another width than asked for.
    #[error("{tile} holds {found} hashes")]
    TileWidth {
        /// Path of the tile, which tells the width asked for.
        tile: String,
        /// Hashes received.
        found: usize,
    },
    /// A tile that the source does not have.
    #[error("{tile} is missing")]
    MissingTile {
        /// Path of the tile.
        tile: String,
    },
    /// An entry too long for a bundle's length field.
    #[error("entry {position} of the bundle has {bytes} bytes, at most 65535 are allowed")]
    EntryTooLong {
        /// Position in the bundle, from 0.
        position: usize,
        /// Length in bytes.
        bytes: usize,
    },
    /// A bundle with no entry, or with more than a tile has leaves.
    #[error("bundle has {count} entries, from 1 to 256 are allowed")]
    EntryCount {
        /// Entries found; counting stops one above the limit.
        count: usize,
    },
    /// A bundle that ends inside an entry.
    #[error("bundle ends inside entry {position}: {wanted} bytes wanted, {left} left")]
    BundleTruncated {
        /// Position in the bundle, from 0.
        position: usize,
        /// Bytes that the next field takes.
        wanted: usize,
        /// Bytes left.
        left: usize,
    },
    /// A stored right edge that is not that of the stored size.
    #[error("edge of a tree of {size} leaves: level {level} has {found} hashes, {expected} expected")]
    EdgeLength {
        /// Leaves of the tree.
        size: u64,
        /// Tile level.
        level: usize,
        /// Hashes found.
        found: usize,
        /// Hashes expected: `floor(size / 256^level) mod 256`.
        expected: u64,
    },
    /// A tree larger than 2^63-1 leaves.
    #[error("tree size {size} is above 2^63-1")]
    TreeTooLarge {
        /// The size.
        size: u64,
    },
    /// An entry that a tree of this size cannot hold.
    #[error("entry {index} is not in a tree of {size} leaves")]
    IndexOutsideTree {
        /// Index of the entry, from 0.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// A consistency proof asked for backwards.
    #[error("tree of {new} leaves cannot continue one of {old}")]
    TreeShrank {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// A proof with too many or too few hashes for its sizes.
    #[error("proof of {hashes} hashes has the wrong length for its tree sizes")]
    ProofLength {
        /// Hashes in the proof.
        hashes: usize,
    },
    /// A proof that leads to another root.
    #[error("proof leads to root {computed} of the tree of {size} leaves, {expected} was signed")]
    RootMismatch {
        /// Leaves of the tree.
        size: u64,
        /// Root that follows from the proof.
        computed: crate::Hash,
        /// Root that was given.
        expected: crate::Hash,
    },
    /// A text that is not a `c2sp.org/tlog-proof@v1`.
    #[error("log proof: {reason}")]
    ProofFormat {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The first 80 characters: a message must not grow with what a stranger sent.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
