//! The host: what the tunnel needs of the machine around it, put there and taken away again without touching what is not ours.
//!
//! Architecture Invariant: the tables `inet wiregrant_<interface>` and `inet wiregrant_<interface>_acct` belong to the agent, and
//! no other is ever written to.

pub mod accounting;
pub mod cross_check;
pub mod default_route;
pub mod doctor;
pub mod down;
pub mod firewall;
pub mod forwarding;
pub mod guard;
mod nft;
pub mod policy;
pub mod rates;

/// Whether a program can be called by its name.
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
