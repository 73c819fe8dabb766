//! Pages: what people, operators, funders and administrators see in a browser. Page, template and test share one name.
//!
//! Architecture invariant: the public pages ([`landing`], [`grant_report`]) see no usage report, no node's inputs and no device.
//! They are computed from statements' lines (and the batches and decisions that hold them) and nothing finer, so they tell no more than
//! those do; they are static files, which any web server may serve.
//!
//! Architecture invariant: no page loads anything from elsewhere, and none has a script or a style in it; what a browser may do is
//! decided by one policy, in `public_files`.

pub mod admin;
pub mod admin_grant;
pub mod admin_grants;
pub mod assets;
pub mod batch;
pub mod chart;
pub mod codes;
pub mod cookie;
pub mod decisions;
pub mod device_file;
pub mod devices;
pub mod frame;
pub mod funder;
pub mod grant_report;
pub mod grant_terms;
pub mod help;
pub mod landing;
pub mod language;
pub mod new_batch;
pub mod operator_credit;
pub mod operator_destination;
pub mod operator_enrol;
pub mod operator_grants;
pub mod operator_nodes;
pub mod operator_payouts;
pub mod operator_traffic;
pub mod organisations;
pub mod person;
pub mod places;
pub mod problem;
pub mod redeem;
pub mod sheet;
pub mod show;
pub mod sign_in;
pub mod socks5;
pub mod staff;
pub mod tokens;
pub mod words;

pub use grant_report::{EpochPage, EpochReport, GrantReport, OperatorReport, PayoutState};
pub use landing::{GrantSummary, Landing};
pub use sign_in::SignIn;
