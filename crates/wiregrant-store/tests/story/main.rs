//! The store on both databases: one story through all of it, the logs, and the tables themselves.

#[cfg(test)]
mod catching_up;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod former_origins;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod from_operator_to_payout;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod log;
#[cfg(test)]
mod organisations;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod standings;
#[cfg(test)]
mod support;
#[cfg(test)]
mod write_back;
