//! Requests that another site makes a signed-in browser send, told from this site's own.
//!
//! The rule is that of Go's `http.CrossOriginProtection` (<https://pkg.go.dev/net/http#CrossOriginProtection>): what changes
//! nothing passes; then `Sec-Fetch-Site` decides where the browser sends it; then `Origin`; and where neither is, no browser
//! asks. Browsers leave `Sec-Fetch-Site` out on plain HTTP, so the second is needed there, and they send `Origin: null` from
//! pages with `Referrer-Policy: no-referrer`, so ours have `same-origin`.

use axum::http::Method;
use wiregrant_core::api::ProblemKind;

use super::Asked;
use crate::error::{Answer, Failure};

/// Refuses what another site is behind.
///
/// # Errors
/// `cross-site`.
pub fn check(public_urls: &[String], asked: &Asked<'_>) -> Answer<()> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(asked.method) {
        return Ok(());
    }
    let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    match (header("sec-fetch-site"), header("origin")) {
        (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
        (Some(site), _) => Err(refused("Sec-Fetch-Site", site)),
        (None, Some(origin)) if is_own(origin, asked.host(), public_urls) => Ok(()),
        (None, Some(origin)) => Err(refused("Origin", origin)),
    }
}

/// Behind a proxy that sets another `Host`, the public address is the origin all the same.
fn is_own(origin: &str, host: Option<&str>, public_urls: &[String]) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        || public_urls.iter().any(|url| self::origin(url).eq_ignore_ascii_case(origin))
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at.saturating_add(3));
    let rest = url.get(after_scheme..).unwrap_or_default();
    let end = rest.find('/').map_or(url.len(), |at| after_scheme.saturating_add(at));
    url.get(..end).unwrap_or(url)
}

fn refused(header: &str, value: &str) -> Failure {
    let detail = format!(
        "{header}: {value:?} is another site than this one; open the page here and send the form from it"
    );
    Failure::new(ProblemKind::CrossSite, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "https://grants.example";

    fn answer(method: Method, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let uri = Uri::from_static("/sign-in");
        check(&[format!("{OWN}/")], &Asked { method: &method, uri: &uri, headers: &map }).is_ok()
    }

    #[test]
    fn the_browsers_own_word_goes_first() {
        let sec = |site| answer(Method::POST, &[("sec-fetch-site", site), ("origin", "null"), ("host", "x")]);
        assert!(sec("same-origin") && sec("none"));
        assert!(!sec("cross-site") && !sec("same-site") && !sec(""));
        assert!(answer(Method::GET, &[("sec-fetch-site", "cross-site")]), "a link from elsewhere");
    }

    #[test]
    fn without_it_the_origin_must_be_this_host_or_a_public_address() {
        let origin = |origin, host| answer(Method::POST, &[("origin", origin), ("host", host)]);
        assert!(origin("http://10.0.0.1:8080", "10.0.0.1:8080"));
        assert!(origin(OWN, "127.0.0.1:8080"), "behind a proxy");
        assert!(!origin("https://evil.example", "grants.example"));
        assert!(!origin("https://grants.example.evil.example", "grants.example"));
        assert!(!origin("http://grants.example:81", "grants.example"));
        assert!(!origin("null", "grants.example"), "a page without an origin may be anyone's");
    }

    #[test]
    fn a_program_that_sends_neither_is_no_browser() {
        assert!(answer(Method::POST, &[("host", "grants.example")]));
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(url in "\\PC{0,40}", host in "\\PC{0,40}") {
            let _ = is_own(&url, Some(&host), std::slice::from_ref(&host));
            prop_assert!(url.starts_with(origin(&url)));
        }
    }
}
