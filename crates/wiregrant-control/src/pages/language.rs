//! Which language a page is in.

use axum::http::{HeaderMap, Uri, header};

use super::cookie;

/// The cookie that remembers what was chosen.
pub const COOKIE: &str = "lang";
/// How much of an `Accept-Language` header is looked at.
const MAX_RANGES: usize = 20;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Russian.
    Russian,
    /// Persian.
    Persian,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// Every language, in the order in which texts are written down.
    pub const ALL: [Self; 4] = [Self::English, Self::Russian, Self::Persian, Self::Chinese];

    /// Its tag (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Persian => "fa",
            Self::Chinese => "zh",
        }
    }

    /// Its name for those who read it.
    #[must_use]
    pub fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Russian => "Русский",
            Self::Persian => "فارسی",
            Self::Chinese => "中文",
        }
    }

    /// `rtl` or `ltr`.
    #[must_use]
    pub fn direction(self) -> &'static str {
        if self == Self::Persian { "rtl" } else { "ltr" }
    }

    /// The language with this tag.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// What the address asks for with `?lang=`.
    #[must_use]
    pub fn asked_for(uri: &Uri) -> Option<Self> {
        let pairs = uri.query().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.strip_prefix("lang=")).find_map(Self::of_tag)
    }

    /// What the address asks for, else what was chosen before, else what the browser prefers, else English.
    #[must_use]
    pub fn of_request(uri: &Uri, headers: &HeaderMap) -> Self {
        let chosen = || cookie::value(headers, COOKIE).and_then(Self::of_tag);
        let preferred = || {
            let header = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
            Self::preferred(header)
        };
        Self::asked_for(uri).or_else(chosen).or_else(preferred).unwrap_or_default()
    }

    /// The first of an `Accept-Language` header's languages, the most wanted first (RFC 9110, section 12.5.4).
    fn preferred(header: &str) -> Option<Self> {
        let mut ranges: Vec<(u32, Self)> = header
            .split(',')
            .take(MAX_RANGES)
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let primary = parts.next()?.split('-').next()?.to_ascii_lowercase();
                let quality =
                    parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), thousandths)?;
                (quality > 0).then_some((quality, Self::of_tag(&primary)?))
            })
            .collect();
        ranges.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        ranges.first().map(|(_, language)| *language)
    }
}

/// A quality value such as `0.8`, in thousandths.
fn thousandths(quality: &str) -> Option<u32> {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let digits = format!("{fraction:0<3}");
    let fraction: u32 = digits.get(..3)?.parse().ok()?;
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    Some((whole * 1000 + fraction).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(query: &str, cookie: &str, accept: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        Language::of_request(&format!("/redeem{query}").parse().unwrap(), &headers)
    }

    #[test]
    fn the_address_goes_before_the_cookie_and_the_cookie_before_the_browser() {
        assert_eq!(of("?lang=zh", "lang=fa", "ru"), Language::Chinese);
        assert_eq!(of("", "a=b; lang=fa", "ru"), Language::Persian);
        assert_eq!(of("", "", "de-DE, ru;q=0.8, en;q=0.7"), Language::Russian);
        assert_eq!(of("?lang=xx", "lang=", "de"), Language::English);
    }

    #[test]
    fn the_most_wanted_language_is_taken_wherever_it_stands() {
        assert_eq!(Language::preferred("en;q=0.5, fa-IR;q=0.9"), Some(Language::Persian));
        assert_eq!(Language::preferred("zh-Hans-CN, en"), Some(Language::Chinese));
        assert_eq!(Language::preferred("ru;q=0, en;q=0.1"), Some(Language::English));
        assert_eq!(Language::preferred("fa;q=much"), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(header in "\\PC{0,60}") {
            let _ = Language::preferred(&header);
        }
    }
}
