//! Payments on a real Bitcoin network of their own.

#[cfg(test)]
mod electrum;
#[cfg(test)]
mod esplora;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod payments;
#[cfg(test)]
mod story;
