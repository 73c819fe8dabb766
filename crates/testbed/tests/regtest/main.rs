//! Payments on a real Bitcoin network of their own.

#[cfg(test)]
mod esplora;
#[cfg(test)]
mod payments;
