//! Looking keys up in step: both sides ascend, so each is walked once.
//!
//! Ten thousand searches in a tree take as long as reading as many peers from the kernel; a walk takes a fraction of that.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::iter::Peekable;

/// A walk along pairs that ascend by key.
pub struct InStep<I: Iterator> {
    rest: Peekable<I>,
}

impl<K, V: Copy, I: Iterator<Item = (K, V)>> InStep<I> {
    /// Begins before the first pair.
    pub fn new(ascending: impl IntoIterator<IntoIter = I>) -> Self {
        Self { rest: ascending.into_iter().peekable() }
    }

    /// What stands at `key`, which must not be less than any key asked for before: a device may be asked for twice.
    pub fn find<Q: Ord>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        loop {
            let (at, value) = self.rest.peek()?;
            match at.borrow().cmp(key) {
                Ordering::Less => drop(self.rest.next()),
                Ordering::Equal => return Some(*value),
                Ordering::Greater => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_walk_finds_what_a_search_finds(
            pairs in prop::collection::btree_map(any::<u8>(), any::<u32>(), 0..40),
            asked in prop::collection::btree_set(any::<u8>(), 0..40),
        ) {
            let (pairs, asked): (BTreeMap<u8, u32>, BTreeSet<u8>) = (pairs, asked);
            let mut walk = InStep::new(&pairs);
            for key in &asked {
                prop_assert_eq!(walk.find(key), pairs.get(key));
                prop_assert_eq!(walk.find(key), pairs.get(key), "asked again");
            }
        }
    }
}
