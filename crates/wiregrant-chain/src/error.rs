//! The one error of this crate: which source, what was asked, what came, and the way out.

use bitcoin::BlockHash;
use thiserror::Error;
use wiregrant_core::note::Network;

/// Why the chain could not be looked at.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No connection, or no answer in time.
    #[error("{url}: {problem}; see that the node runs and that its address is right")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The address of a source is none.
    #[error(
        "url: {url:?} is no address such as http://127.0.0.1:8332, or ssl://host:50002 for an Electrum server"
    )]
    Url {
        /// What was given.
        url: String,
    },
    /// A peer's address is none.
    #[error("peers: {peer:?} is no host:port, such as node.example.org:8333")]
    Peer {
        /// What was given.
        peer: String,
    },
    /// The cookie cannot be read.
    #[error(
        "cookie_file: {path}: {problem}; the node writes it when it starts, readable by its own user and group"
    )]
    Cookie {
        /// Where it was looked for.
        path: String,
        /// What went wrong.
        problem: String,
    },
    /// The node does not take the cookie.
    #[error("{url}: the node refuses the cookie; name the cookie file of this very node, or restart it")]
    Unauthorized {
        /// Who was asked.
        url: String,
    },
    /// The source answers with an error of its own.
    #[error("{question}: the source answers {message} ({code})")]
    Refused {
        /// The method, or the path.
        question: String,
        /// Its code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// What came is not what was asked for.
    #[error("{question}: the answer {problem}")]
    Form {
        /// The method, or the path.
        question: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// A transaction of long ago was asked for.
    #[error(
        "{url}: the node keeps no index of all transactions; start it once with `txindex=1`, or name an Esplora server"
    )]
    NoIndex {
        /// Who was asked.
        url: String,
    },
    /// The source is on another network.
    #[error("the node is on {found}, payouts are on {expected}; name a node of {expected}")]
    OtherNetwork {
        /// The configured one.
        expected: Network,
        /// What it says.
        found: String,
    },
    /// The block was deleted by a pruned node before it was looked at.
    #[error(
        "block {hash}: the node has pruned it; give the node more room (`prune=5000`), or declare the transactions of \
         that time by hand"
    )]
    Pruned {
        /// The block.
        hash: BlockHash,
    },
}

impl ChainError {
    pub(crate) fn form(question: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Form { question: question.into(), problem: problem.to_string() }
    }
}
