//! `Generations`: what was read, kept for as long as it is asked for, within a bound.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Things by their key, each with a weight. There are two halves: what is asked for moves into the young one; when that is full it
/// becomes the old one, and what nobody has asked for since it did so the last time is forgotten.
#[derive(Debug)]
pub struct Generations<K, V> {
    limit: usize,
    young: HashMap<K, (V, usize)>,
    young_weight: usize,
    old: HashMap<K, (V, usize)>,
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    /// An empty one, whose things weigh at most `limit` together.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, young: HashMap::new(), young_weight: 0, old: HashMap::new() }
    }

    /// What is kept under a key.
    pub fn find<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.add(key, value.clone(), weight);
        Some(value)
    }

    /// Keeps a thing, in place of what was kept under its key. What weighs more than half of the bound is not kept.
    pub fn keep(&mut self, key: K, value: V, weight: usize) {
        self.forget(&key);
        if weight <= self.limit / 2 {
            self.add(key, value, weight);
        }
    }

    /// Forgets what is kept under a key.
    pub fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.old.remove(key);
        if let Some((_, weight)) = self.young.remove(key) {
            self.young_weight -= weight;
        }
    }

    fn add(&mut self, key: K, value: V, weight: usize) {
        if self.young_weight + weight > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += weight;
        self.young.insert(key, (value, weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_all_that_is_kept_is_bounded() {
        let mut kept = Generations::new(100);
        kept.keep("often", 0, 10);
        kept.keep("once", 0, 10);
        let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        for name in &names {
            kept.keep(name, 1, 13);
            assert_eq!(kept.find("often"), Some(0), "after {name}");
            let all = kept.young.values().chain(kept.old.values());
            assert!(all.map(|(_, weight)| weight).sum::<usize>() <= 100);
        }
        assert_eq!((kept.find("once"), kept.find("0"), kept.find("49")), (None, None, Some(1)));
    }

    #[test]
    fn what_is_kept_again_or_forgotten_weighs_once() {
        let mut kept = Generations::new(100);
        for value in 0..3 {
            kept.keep("a", value, 30);
        }
        assert_eq!((kept.young_weight, kept.find("a")), (30, Some(2)));
        kept.keep("a", 3, 51);
        assert_eq!((kept.young_weight, kept.find("a")), (0, None), "too heavy");
        kept.keep("a", 4, 50);
        kept.forget("a");
        assert_eq!((kept.young_weight, kept.find("a")), (0, None));
    }
}
