//! What each operator is owed, and the unsigned transaction that pays it.
//!
//! **In scope**: where operators are paid ([`Destination`], [`Pay`], [`PayoutAddress`]), whether they can sign for it
//! ([`ownership`]), how a pot is split ([`allocate`]), the
//! frozen set of lines that one transaction pays ([`Batch`]), that transaction without signatures ([`UnsignedPsbt`]) or as
//! wallets import it ([`export()`]), the check a funder runs before signing ([`check_psbt`]), and which transaction on the
//! chain has paid which batch ([`Watch`]).
//!
//! **Out of scope**: every outside world. There is no file, socket, clock or random source here, no float, and never a
//! private key: a string that looks like one is refused, and no error repeats it. Talking to the Bitcoin network is
//! another crate's; signing is the funder's wallet's.
//!
//! The steps follow one another as types: `Statement -> Allocation -> Batch -> UnsignedPsbt`. A batch is a signed note:
//!
//! ```text
//! wiregrant/batch/v1
//! log grants.example/record
//! network regtest
//! batch spring-1
//! replaces -
//! record 41 4T0eyeNg1bzmBFDgP6PUUs4kpMN8MBJEhV1uBPk7Cuk=
//! salt AAAAAAAAAAAAAAAAAAAAAA==
//! line nordlicht spring 1 60000 bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 1
//! total 60000
//!
//! — grants.example/statement 9mW1t0...=
//! ```

pub mod address;
pub mod allocation;
pub mod batch;
pub mod destination;
pub mod export;
pub mod matching;
pub mod outputs;
pub mod ownership;
pub mod pay;
pub mod psbt;

mod error;
mod secret;

pub use address::PayoutAddress;
pub use allocation::{Allocation, Share, allocate, check_statement, split};
pub use batch::{Batch, BatchLine};
pub use destination::Destination;
pub use error::PayoutError;
pub use export::export;
pub use matching::{Watch, WatchedBatch};
pub use outputs::{PaidSum, sums_paid};
pub use pay::{Pay, PaymentName, PaymentUri, PayoutDescriptor};
pub use psbt::{Coin, PaidOutput, PsbtCheck, UnsignedPsbt, build, check_psbt, parse_coins};
