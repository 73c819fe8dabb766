//! The HTTP client, with its limits: of the sources, and of the command line, which asks control planes and mirrors.

use std::io::{self, Read as _};
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use crate::ChainError;

/// A full block is 4 MB, twice that in hexadecimal, with room for what stands around it.
pub const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// Long enough for a block from a slow disk.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The sources' client.
pub(crate) fn agent() -> Agent {
    client(TIMEOUT, CONNECT_TIMEOUT)
}

/// A client that takes a status as an answer and follows no redirect, so that a cookie or a token goes only where it was
/// meant to.
#[must_use]
pub fn client(timeout: Duration, connect_timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(timeout))
        .timeout_connect(Some(connect_timeout))
        .user_agent(concat!("wiregrant/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The body of an answer, or `None` where it is longer than `limit` bytes.
///
/// # Errors
/// Those of the connection.
pub fn read_body(body: &mut Body, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    // The client's own limit is set just above ours, so that ours is the one that speaks.
    let limited = body.with_config().limit(limit.saturating_add(2));
    limited.reader().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
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
pub(crate) fn read(
    url: &str,
    answer: Result<Response<Body>, ureq::Error>,
) -> Result<(u16, Vec<u8>), ChainError> {
    let failed = |problem: String| ChainError::Unreachable { url: url.to_owned(), problem };
    let mut response = answer.map_err(|error| failed(error.to_string()))?;
    let body = read_body(response.body_mut(), MAX_ANSWER_BYTES).map_err(|error| failed(error.to_string()))?;
    let bytes = body.ok_or_else(|| failed(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")))?;
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
