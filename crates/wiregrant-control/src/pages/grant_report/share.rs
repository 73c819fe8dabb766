//! `Share`: how much of all one has served.

use std::collections::BTreeMap;

use serde::Serialize;
use wiregrant_core::Bytes;

/// What one has served of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Who, or where.
    pub name: String,
    /// How much.
    pub bytes: Bytes,
    /// In thousandths of all, rounded down.
    pub permille: u64,
    /// The same for people.
    pub percent: String,
}

/// Sums by name, the largest first.
pub fn shares(parts: impl Iterator<Item = (String, Bytes)>) -> Vec<Share> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, bytes) in parts {
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(bytes.get());
    }
    let all = sums.values().fold(0_u128, |all, bytes| all.saturating_add(u128::from(*bytes)));
    let mut shares: Vec<Share> = sums
        .into_iter()
        .map(|(name, bytes)| {
            let permille = (u128::from(bytes) * 1000).checked_div(all).unwrap_or(0);
            let permille = u64::try_from(permille).unwrap_or(1000);
            let percent = format!("{}.{} %", permille / 10, permille % 10);
            Share { name, bytes: Bytes::new(bytes).unwrap_or(Bytes::MAX), permille, percent }
        })
        .collect();
    shares.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_and_the_largest_comes_first() {
        let bytes = |n| Bytes::new(n).unwrap();
        let shares =
            shares([("a", 1), ("b", 4), ("a", 1)].map(|(name, n)| (name.to_owned(), bytes(n))).into_iter());
        let shown: Vec<_> =
            shares.iter().map(|share| (share.name.as_str(), share.percent.as_str())).collect();
        assert_eq!(shown, [("b", "66.6 %"), ("a", "33.3 %")]);
    }
}
