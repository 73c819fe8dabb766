//! Randomness, from the operating system alone.

use data_encoding::Specification;
use wiregrant_core::note::Salt;

/// `N` random bytes.
///
/// # Panics
/// When the operating system has none, without which nothing here may go on.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A note's salt.
#[must_use]
pub fn salt() -> Salt {
    Salt(bytes())
}

/// Bytes as small letters and digits, five bits each, without those that are taken for one another.
///
/// # Panics
/// Never: the alphabet is fixed.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    let encoding = specification.encoding().expect("32 distinct symbols are an encoding");
    encoding.encode(bytes)
}

/// A number below `bound`, each as likely as the next to one part in 2^32 or better; 0 when `bound` is 0.
#[must_use]
pub fn below(bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX);
    let number = u64::from_le_bytes(bytes()).checked_rem(bound).unwrap_or(0);
    usize::try_from(number).expect("less than a usize")
}

/// Brings a list into random order (Fisher and Yates).
pub fn shuffle<T>(list: &mut [T]) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(last.saturating_add(1)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shuffled_list_has_the_same_things_in_it() {
        let mut list: Vec<_> = (0..100).collect();
        super::shuffle(&mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_random_number_stays_below_its_bound() {
        assert!((0..200).all(|_| super::below(3) < 3));
        assert_eq!(super::below(0), 0);
    }
}
