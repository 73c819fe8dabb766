//! The request of a scrape, as far as it matters: HTTP/1.1, RFC 9112, whose first line says what is asked and whose end is an
//! empty line. Nothing else in it changes the answer.

/// The longest request that is read.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The figures.
    Figures,
    /// Nothing is at that path.
    NotFound,
    /// The path has figures, which can only be read.
    MethodNotAllowed,
    /// That is no request.
    BadRequest,
    /// It is longer than [`MAX_REQUEST_BYTES`].
    TooLong,
}

impl Answer {
    /// The status line's number and words.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Figures => "200 OK",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::BadRequest => "400 Bad Request",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }
}

/// The answer to what has come so far; `None` when more has to come.
#[must_use]
pub fn judge(bytes: &[u8]) -> Option<Answer> {
    let whole = bytes.windows(4).any(|end| end == b"\r\n\r\n");
    if !whole {
        return (bytes.len() >= MAX_REQUEST_BYTES).then_some(Answer::TooLong);
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1" | b"HTTP/1.0"] = words[..] else { return Some(Answer::BadRequest) };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    Some(match (method, path) {
        (b"GET", b"/metrics") => Answer::Figures,
        (_, b"/metrics") => Answer::MethodNotAllowed,
        _ => Answer::NotFound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_scrape_is_answered_when_it_is_whole() {
        for (request, answer) in [
            ("GET /metrics HTTP/1.1\r\nhost: localhost:9586\r\n\r\n", Some(Answer::Figures)),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", Some(Answer::Figures)),
            ("GET /metrics HTTP/1.1\r\nhost: local", None),
            ("", None),
            ("GET / HTTP/1.1\r\n\r\n", Some(Answer::NotFound)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Some(Answer::MethodNotAllowed)),
            ("GET /metrics\r\n\r\n", Some(Answer::BadRequest)),
            ("GET  /metrics HTTP/1.1\r\n\r\n", Some(Answer::BadRequest)),
            ("\r\n\r\n", Some(Answer::BadRequest)),
        ] {
            assert_eq!(judge(request.as_bytes()), answer, "{request:?}");
        }
        assert_eq!(judge(&[b'a'; MAX_REQUEST_BYTES]), Some(Answer::TooLong));
        assert_eq!(judge(&[b'a'; MAX_REQUEST_BYTES - 1]), None);
    }

    proptest! {
        /// Whatever comes is answered at the bound at the latest, and figures are told to nobody who did not ask for them.
        #[test]
        fn every_request_ends_and_only_a_scrape_gets_figures(
            bytes in prop::collection::vec(any::<u8>(), 0..MAX_REQUEST_BYTES + 2),
            prefix in prop::sample::select(vec!["", "GET /metrics", "GET /metrics HTTP/1.1\r\n"]),
        ) {
            let request = [prefix.as_bytes(), &bytes].concat();
            let answer = judge(&request);
            prop_assert!(answer.is_some() || request.len() < MAX_REQUEST_BYTES);
            if answer == Some(Answer::Figures) {
                prop_assert!(request.starts_with(b"GET /metrics"));
            }
        }
    }
}
