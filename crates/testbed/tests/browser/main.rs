//! What people do with the pages, in a real browser against the real control plane, and what every page must be.

#[cfg(test)]
mod administrator;
#[cfg(test)]
mod distributor;
#[cfg(test)]
mod every_page;
#[cfg(test)]
mod funder;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod person;
#[cfg(test)]
mod support;
#[cfg(test)]
mod watched;
