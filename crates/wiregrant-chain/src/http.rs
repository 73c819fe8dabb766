//! The HTTP client of the sources, with its limits.

use std::io::Read as _;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use crate::ChainError;

/// A full block is 4 MB, twice that in hexadecimal, with room for what stands around it.
pub const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// Long enough for a block from a slow disk.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that takes a status as an answer and follows no redirect, so that a cookie goes only where it was meant to.
pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .user_agent(concat!("wiregrant/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The address without a slash at its end.
///
/// # Errors
/// [`ChainError::Url`]. A password in it is refused too: it would be shown in messages.
pub fn checked_url(url: &str) -> Result<String, ChainError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.trim_matches('/').is_empty())
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"?#@".contains(&b));
    if good {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    // What stands before an @ may be a password.
    Err(ChainError::Url { url: url.rsplit('@').next().unwrap_or_default().to_owned() })
}

/// Status and bytes of an answer.
///
/// # Errors
/// [`ChainError::Unreachable`], also for an answer that is too long.
pub fn read(url: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<(u16, Vec<u8>), ChainError> {
    let failed = |problem: String| ChainError::Unreachable { url: url.to_owned(), problem };
    let mut response = answer.map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    let reader = response.body_mut().as_reader();
    reader.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_ANSWER_BYTES {
        return Err(failed(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")));
    }
    Ok((response.status().as_u16(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_its_password_is_never_repeated() {
        assert_eq!(checked_url("http://127.0.0.1:8332/").unwrap(), "http://127.0.0.1:8332");
        for url in ["", "http://", "ftp://x", "127.0.0.1:8332", "http://a b", "http://x?y"] {
            assert!(checked_url(url).is_err(), "{url}");
        }
        let refusal = checked_url("http://me:hunter2@127.0.0.1:8332").unwrap_err().to_string();
        assert!(!refusal.contains("hunter2") && refusal.contains("127.0.0.1:8332"), "{refusal}");
    }
}
