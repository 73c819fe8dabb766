//! The terminal: what a command answers, for people or as JSON.

use std::io::{self, Write as _};

use serde::Serialize;

/// How answers are shown. There are no colours anywhere, so `NO_COLOR` has nothing to turn off.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// One JSON value instead of text.
    pub json: bool,
}

impl Terminal {
    /// Prints `value` as one JSON value, or `text` for people.
    ///
    /// # Errors
    /// Those of writing to standard output.
    pub fn answer<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { self.exact(&serde_json::to_string(value)?) } else { self.exact(&harmless(&text())) }
    }

    /// Prints `text` unchanged, with a line feed at its end.
    ///
    /// # Errors
    /// Those of writing to standard output.
    pub fn exact(self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

/// `text` without the control characters by which a stranger's text could move the cursor or hide lines.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_strangers_text_cannot_move_the_cursor() {
        assert_eq!(super::harmless("a\u{1b}[2Jb\r\nc"), "a\u{fffd}[2Jb\u{fffd}\nc");
    }
}
