//! Assets: the stylesheet, the icon and the modules, under a path that names their content, so that browsers keep them for ever.

use std::sync::LazyLock;

use transparency_log::Hash;

/// What the path of every asset begins with; the content's hash follows.
pub const FOLDER: &str = "a";
/// Characters of the hash in the path: 80 bits, so that no two releases have the same.
const HASH_CHARS: usize = 20;

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        /// Every asset: its name, and its text.
        pub const ALL: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../assets/", $name)))),+];
    };
}

assets!(
    "codes.mjs",
    "copy.mjs",
    "devices.mjs",
    "enrol.mjs",
    "icon.svg",
    "keys.mjs",
    "qr.mjs",
    "redeem.mjs",
    "style.css"
);

/// One hash for all: modules import each other by relative paths, so they change together.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (name, text) in ALL {
        all.extend_from_slice(name.as_bytes());
        all.push(0);
        all.extend_from_slice(text.as_bytes());
        all.push(0);
    }
    Hash::of(&all).to_hex()[..HASH_CHARS].to_owned()
});

/// An asset's path below the root of the site.
#[must_use]
pub fn path(name: &str) -> String {
    debug_assert!(ALL.iter().any(|(known, _)| *known == name), "{name} is no asset");
    format!("{FOLDER}/{}/{name}", *HASH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_content() {
        let path = path("style.css");
        let parts: Vec<_> = path.split('/').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2]), ("a", HASH_CHARS, "style.css"));
    }

    #[test]
    fn the_modules_import_only_what_is_there_and_reach_for_nothing_outside() {
        for (name, text) in ALL.iter().filter(|(name, _)| name.ends_with(".mjs")) {
            for line in text.lines().filter(|line| line.contains("import")) {
                for imported in line.split('"').filter(|part| part.starts_with("./")) {
                    assert!(ALL.iter().any(|(known, _)| known == &&imported[2..]), "{name}: {line}");
                }
            }
            let reaches = ["innerHTML", "eval(", "https://", "localStorage", "sessionStorage"];
            assert!(!reaches.iter().any(|word| text.contains(word)), "{name}");
        }
    }
}
