//! Strings that look like a private key or a seed. They are told by their shape, not by their checksum: a key with a
//! typo in it is still most of a key.

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The fewest words that are taken for a seed (BIP 39 begins at twelve).
const SEED_WORDS: usize = 12;

/// The words that descriptors are made of; a descriptor of many keys has more of them than a seed has words.
const FRAGMENTS: [&str; 24] = [
    "pk",
    "pkh",
    "wpkh",
    "sh",
    "wsh",
    "tr",
    "multi",
    "sortedmulti",
    "and",
    "or",
    "andor",
    "thresh",
    "older",
    "after",
    "hash",
    "sha",
    "ripemd",
    "raw",
    "addr",
    "combo",
    "rawtr",
    "musig",
    "sln",
    "tv",
];

/// What kind of secret `text` looks like, if any. For fields that take an address or a descriptor.
pub(crate) fn kind(text: &str) -> Option<&'static str> {
    if let Some(key) = kind_of_key(text) {
        return Some(key);
    }
    let in_a_descriptor = text.contains('(');
    let is_word = |word: &&str| {
        word.chars().count() >= 2
            && word.chars().all(char::is_alphabetic)
            && !(in_a_descriptor && FRAGMENTS.contains(word))
    };
    if text.split(|c: char| !c.is_alphanumeric()).filter(is_word).count() >= SEED_WORDS {
        return Some("the words of a seed");
    }
    let hex = text.trim().trim_start_matches("0x");
    (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some("a raw private key")
}

/// What kind of key a part of `text` looks like, if any. For whole documents, in which words and hexadecimal hashes are
/// innocent.
pub(crate) fn kind_of_key(text: &str) -> Option<&'static str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).find_map(kind_of_token)
}

fn kind_of_token(token: &str) -> Option<&'static str> {
    let bytes = token.as_bytes();
    let first = *bytes.first()?;
    // SLIP 132 prefixes, in either case because of typos: an address never has them.
    if bytes.len() >= 20 && bytes[1..4].eq_ignore_ascii_case(b"prv") && b"xyztuvXYZTUV".contains(&first) {
        return Some("an extended private key");
    }
    // Two characters of tolerance around 51 and 52, and for typos two that base58 does not have.
    let strange = bytes.iter().filter(|b| !BASE58.contains(b)).count();
    if (49..=54).contains(&bytes.len()) && b"5KL9c".contains(&first) && strange <= 2 {
        return Some("a private key in wallet import format");
    }
    if bytes.len() == 58 && bytes.starts_with(b"6P") {
        return Some("an encrypted private key (BIP 38)");
    }
    (bytes.len() >= 45 && bytes[..3].eq_ignore_ascii_case(b"ms1")).then_some("a seed share (BIP 93)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_seeds_are_told_by_their_shape() {
        for (text, hint) in [
            ("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "import"),
            ("KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn", "import"),
            ("KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHno0n", "import"),
            ("cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH", "import"),
            (
                "wpkh([d34db33f/84h]xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi/0/*)",
                "extended",
            ),
            ("vprv9DMUxX4ShgxMLwJE1sRhLPrZoSUfmFyPsMd4nMZF7mvYPUTG9kxyP", "extended"),
            (
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
                "seed",
            ),
            ("6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg", "BIP 38"),
            ("0000000000000000000000000000000000000000000000000000000000000001", "raw"),
            ("ms12namea320zyxwvutsrqpnmlkjhgfedcaxrpp870hkkqrm", "share"),
        ] {
            assert!(kind(text).is_some_and(|kind| kind.contains(hint)), "{text}: {:?}", kind(text));
        }
    }

    #[test]
    fn addresses_and_public_descriptors_are_no_secrets() {
        for text in [
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
            "wpkh([d34db33f/84h]xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8/0/*)",
            "operator@example.org",
            "",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
