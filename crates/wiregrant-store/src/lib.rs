//! The only SQL of wiregrant: SQLite and PostgreSQL behind one set of functions.
//!
//! **In scope**: every table, every query, and the one order in which things are written. A caller sees facts of
//! `wiregrant-core` and hashes of `transparency-log`, never a connection or a row of a driver.
//!
//! **Out of scope**: what may be written. The store keeps keys unique, references whole and signed things unchanged;
//! whether a report follows its predecessor or a code has expired is for the caller to decide, inside the
//! transaction in which it then writes.
//!
//! Reading and writing are two sessions. A [`Read`] sees one moment; a [`Write`] is one transaction, the only one at a
//! time on either database, and offers all that a [`Read`] does:
//!
//! ```no_run
//! # async fn example(now: wiregrant_core::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
//! use wiregrant_store::{Log, Store};
//!
//! let store = Store::open("sqlite:/var/lib/wiregrant/wiregrant.db").await?;
//! let operator = "nordlicht".parse()?;
//!
//! let mut write = store.write().await?;
//! write.insert_operator(&operator, None, now).await?;
//! let appended = write.append(Log::Record, &["operator nordlicht -".to_owned()]).await?;
//! assert_eq!(appended.edge.size(), appended.first_index + 1);
//! write.commit().await?; // dropped without it, nothing has happened
//!
//! assert!(store.read().await?.operator(&operator).await?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Both engines have the same tables, columns and keys (`migrations/`). Text of queries is shared; where the two
//! dialects differ, the function says so. Times are Unix seconds, hashes and keys are bytes, ids are text.

mod backup;
mod batches;
mod browser_sessions;
mod catching_up;
mod chain;
mod codes;
mod column;
mod credited_nodes;
mod decisions;
mod devices;
mod error;
mod former_origins;
mod frozen;
mod grants;
mod idempotent_requests;
mod invitations;
mod ledger;
mod locations;
mod log;
mod many_rows;
mod nodes;
mod nonces;
mod operators;
mod organisations;
mod public_notes;
mod reach;
mod recoveries;
mod rekeys;
mod replicas;
mod reports;
mod session;
mod settings;
mod standings;
mod statements;
mod store;
mod tokens;
mod usage;
mod write_back;

pub use backup::{BackedUp, back_up_sqlite, check_backup};
pub use batches::{Batch, BatchLine};
pub use browser_sessions::BrowserSession;
pub use catching_up::{AwaitedReport, BEHIND_RESTORED, NodeInState, Receipt, SETTING_BEHIND};
pub use chain::{BatchDecisions, Declaration, FollowedBlock, Sighting};
pub use codes::{AccessCode, AccessCodeUse, NewAccessCodes};
pub use credited_nodes::{ClosingMember, ClosingReport, Standing};
pub use decisions::{AdjustmentRow, Approval, ApprovalCount, FoundNode, LineDecision};
pub use devices::{AssignedDevices, Device, NewDevice, Placed};
pub use error::StoreError;
pub use former_origins::{FormerOrigin, SETTING_ORIGIN_ENDED};
pub use frozen::{DerivedAddress, DraftBatch, NameProof};
pub use grants::{Application, Contribution, Draft, Grant, Membership, TermsVersion};
pub use idempotent_requests::IdempotentRequest;
pub use invitations::Invitation;
pub use ledger::{AccountBalance, OperatorTransfer};
pub use locations::Location;
pub use log::{Appended, Log};
pub use nodes::{Candidate, Condition, NewNode, Node, NodeOverview};
pub use nonces::RequestNonce;
pub use operators::{Destination, Operator};
pub use organisations::{DistributorOverview, WithGrants};
pub use reach::Unreached;
pub use rekeys::{NodeSetUpAnew, Rekey};
pub use replicas::{Change, Changes, Lead};
pub use reports::{Evidence, MAX_EVIDENCE_PER_NODE, Report};
pub use session::{Read, Write};
pub use standings::NodeStanding;
pub use statements::{Statement, StatementHead};
pub use store::Store;
pub use tokens::{NewToken, Party, Token};
pub use usage::{Stretch, UsageAdded, UsageOf, UsageOfNode};
