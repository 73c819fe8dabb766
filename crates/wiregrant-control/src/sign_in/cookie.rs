//! The cookie of a signed-in browser.
//!
//! `__Host-` binds it to this host and to HTTPS (RFC 6265bis, 4.1.3.2). A browser that reaches us by one of our own `http://`
//! addresses, an onion service say, would refuse that one, so it gets a cookie without the prefix. Which of the two follows
//! from the public address that was asked for, so neither stands in for the other.

use axum::http::header;

use super::Asked;

const SECURE_NAME: &str = "__Host-wiregrant";
const PLAIN_NAME: &str = "wiregrant";
/// 32 random bytes in base64url.
const VALUE_CHARS: usize = 43;

/// Which of the two cookies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// For HTTPS, and wherever it is not known to be something else.
    Secure,
    /// For a public address that begins with `http://`.
    Plain,
}

/// Whether the browser may send it along when it follows a link from another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// It may.
    Lax,
    /// It may not.
    Strict,
}

impl Cookie {
    /// The one that fits the address asked for.
    #[must_use]
    pub fn for_request(public_urls: &[String], asked: &Asked<'_>) -> Self {
        let is_plain = asked.host().is_some_and(|host| {
            public_urls.iter().filter_map(|url| url.strip_prefix("http://")).any(|rest| {
                rest.split('/').next().is_some_and(|authority| authority.eq_ignore_ascii_case(host))
            })
        });
        if is_plain { Self::Plain } else { Self::Secure }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => SECURE_NAME,
            Self::Plain => PLAIN_NAME,
        }
    }

    /// Its value in a request.
    #[must_use]
    pub fn value<'a>(self, asked: &Asked<'a>) -> Option<&'a str> {
        let headers = asked.headers.get_all(header::COOKIE).into_iter();
        let pairs = headers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = values.find(|(name, _)| *name == self.name())?;
        let good = value.len() == VALUE_CHARS
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        good.then_some(value)
    }

    /// The header that sets it, for so many seconds.
    #[must_use]
    pub fn set(self, value: &str, same_site: SameSite, seconds: u64) -> String {
        let secure = match self {
            Self::Secure => "; Secure",
            Self::Plain => "",
        };
        let same_site = match same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        };
        let name = self.name();
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}")
    }

    /// The header that takes it away.
    #[must_use]
    pub fn unset(self) -> String {
        self.set("", SameSite::Lax, 0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method, Uri};
    use proptest::prelude::*;

    use super::*;

    fn request<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Asked<'a> {
        Asked { method: &Method::GET, uri, headers }
    }

    fn headers(host: &str, cookie: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Ok(cookie) = HeaderValue::from_bytes(cookie) {
            headers.insert(header::COOKIE, cookie);
        }
        headers
    }

    #[test]
    fn only_a_public_address_that_says_http_gets_the_plain_cookie() {
        let urls = ["https://grants.example".to_owned(), "http://abc.onion/".to_owned()];
        let uri = Uri::from_static("/");
        for (host, expected) in [
            ("grants.example", Cookie::Secure),
            ("abc.onion", Cookie::Plain),
            ("ABC.onion", Cookie::Plain),
            ("127.0.0.1:8080", Cookie::Secure),
        ] {
            let headers = headers(host, b"");
            assert_eq!(Cookie::for_request(&urls, &request(&headers, &uri)), expected, "{host}");
        }
        let uri = Uri::from_static("http://abc.onion/x");
        assert_eq!(Cookie::for_request(&urls, &request(&HeaderMap::new(), &uri)), Cookie::Plain, "HTTP/2");
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts() {
        let value = "A".repeat(VALUE_CHARS);
        let set = Cookie::Secure.set(&value, SameSite::Strict, 60);
        assert_eq!(
            set,
            format!("__Host-wiregrant={value}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure")
        );
        let uri = Uri::from_static("/");
        let headers = headers("x", format!("a=b; __Host-wiregrant={value}; wiregrant=other").as_bytes());
        assert_eq!(Cookie::Secure.value(&request(&headers, &uri)), Some(value.as_str()));
        assert_eq!(Cookie::Plain.value(&request(&headers, &uri)), None, "not of its form");
        assert!(Cookie::Plain.unset().contains("Max-Age=0"));
    }

    proptest! {
        #[test]
        fn no_cookie_makes_the_parser_panic(cookie in proptest::collection::vec(any::<u8>(), 0..200)) {
            let headers = headers("x", &cookie);
            let _ = Cookie::Plain.value(&request(&headers, &Uri::from_static("/")));
        }
    }
}
