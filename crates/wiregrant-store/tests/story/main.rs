//! The store on both databases: one story through all of it, the logs, and the tables themselves.

#[cfg(test)]
mod chain;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod from_operator_to_payout;
#[cfg(test)]
mod log;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod support;
