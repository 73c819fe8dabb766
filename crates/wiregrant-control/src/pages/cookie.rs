//! Cookies: read from a request, written into an answer (RFC 6265).

use axum::http::{HeaderMap, HeaderValue, header};

/// The value of a cookie that was sent.
#[must_use]
pub fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// A `Set-Cookie` header. `attributes` begin with `; `.
///
/// # Panics
/// Never for values of visible ASCII characters, which all of ours are.
#[must_use]
pub fn set(name: &str, value: &str, attributes: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{name}={value}; Path=/{attributes}")).expect("visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "not-lang=a; lang=b;x".parse().unwrap());
        headers.append(header::COOKIE, "last=c=d".parse().unwrap());
        assert_eq!(value(&headers, "lang"), Some("b"));
        assert_eq!(value(&headers, "last"), Some("c=d"));
        assert_eq!(value(&headers, "x"), None);
    }
}
