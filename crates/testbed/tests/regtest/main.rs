//! Payments on a real Bitcoin network of their own.

#[cfg(test)]
mod payments;
