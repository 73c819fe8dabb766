//! Words: every text that people read on the pages for people, in each language, side by side.
//!
//! A line of the tables below has one text for each language, in the order of [`Language::ALL`]; one that is missing does not
//! compile. Each table is a struct of texts, so a template that asks for a text that is not there does not compile either.

mod frame;
mod people;
mod problems;

pub use frame::FrameWords;
pub use people::PeopleWords;
pub use problems::ProblemWords;

use super::language::Language;

/// Makes a struct of texts, and `in_language`, from a table.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$text_doc:meta])* $text:ident: $en:literal, $ru:literal, $fa:literal, $zh:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            $($(#[$text_doc])* #[doc = $en] pub $text: &'static str,)+
        }

        impl $name {
            /// The table's texts in one language.
            #[must_use]
            pub fn of(language: $crate::pages::language::Language) -> &'static Self {
                use $crate::pages::language::Language;
                const EN: $name = $name { $($text: $en,)+ };
                const RU: $name = $name { $($text: $ru,)+ };
                const FA: $name = $name { $($text: $fa,)+ };
                const ZH: $name = $name { $($text: $zh,)+ };
                match language {
                    Language::English => &EN,
                    Language::Russian => &RU,
                    Language::Persian => &FA,
                    Language::Chinese => &ZH,
                }
            }

            #[cfg(test)]
            pub(super) const TABLE: &'static [(&'static str, [&'static str; 4])] =
                &[$((stringify!($text), [$en, $ru, $fa, $zh]),)+];
        }
    };
}
use words;

/// All texts of the pages for people in one language.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Around every page.
    pub frame: &'static FrameWords,
    /// Redeeming a code, devices, instructions.
    pub people: &'static PeopleWords,
    /// What went wrong, and what to do.
    pub problems: &'static ProblemWords,
}

impl Words {
    /// The texts in one language.
    #[must_use]
    pub fn of(language: Language) -> Self {
        Self {
            frame: FrameWords::of(language),
            people: PeopleWords::of(language),
            problems: ProblemWords::of(language),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> impl Iterator<Item = &'static (&'static str, [&'static str; 4])> {
        FrameWords::TABLE.iter().chain(PeopleWords::TABLE).chain(ProblemWords::TABLE)
    }

    /// Names, file formats and commands, which are the same everywhere.
    const SAME_EVERYWHERE: &[&str] =
        &["linux_name", "macos_name", "windows_name", "android_name", "ios_name", "socks5_name"];

    #[test]
    fn every_text_is_written_in_the_script_of_its_language() {
        let in_script = |text: &str, from: char, to: char| text.chars().any(|c| (from..=to).contains(&c));
        for (name, [en, ru, fa, zh]) in tables() {
            if SAME_EVERYWHERE.contains(name) {
                continue;
            }
            assert!(!en.is_empty() && en.is_ascii() || en.contains(['…', '–', '’', '“']), "{name}: {en}");
            assert!(in_script(ru, 'А', 'я'), "{name} in Russian: {ru}");
            assert!(in_script(fa, 'ء', 'ۿ'), "{name} in Persian: {fa}");
            assert!(in_script(zh, '一', '鿿'), "{name} in Chinese: {zh}");
        }
    }

    #[test]
    fn a_persian_text_is_written_with_persian_letters() {
        for (name, [_, _, fa, _]) in tables() {
            assert!(!fa.contains(['ي', 'ك']), "{name}: the Arabic yeh or kaf in {fa}");
        }
    }
}
