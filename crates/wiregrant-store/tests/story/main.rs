//! The store on both databases: one story through all of it, the logs, and the tables themselves.

#[cfg(test)]
<<<<<<< HEAD
mod forward;
=======
mod chain;
>>>>>>> 60ec4fc (chain: follow a Bitcoin node block by block, also backwards; keep what it shows of batches)
#[cfg(test)]
mod from_operator_to_payout;
#[cfg(test)]
mod log;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod support;
