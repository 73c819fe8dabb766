//! What the agent and the SOCKS5 service say to each other on the service's UNIX socket: one JSON object a line, a question of
//! the agent's and the service's answer to it, in turns.
//!
//! ```text
//! {"serve":{"logins":[{"username":"k7d2m9","password_hash":"47DEQ..."}],"refused_networks":["10.64.0.0/10"]}}
//! {"readings":{"instance":"q83vEjRWeJq83vEjRWeJqw==","ending":false,"readings":[]}}
//! {"read":{}}
//! {"readings":{"instance":"q83vEjRWeJq83vEjRWeJqw==","ending":false,"readings":[{"username":"k7d2m9","received":"517","sent":"90210"}]}}
//! {"forget":{"instance":"q83vEjRWeJq83vEjRWeJqw==","usernames":["k7d2m9"]}}
//! {"release":{"instance":"q83vEjRWeJq83vEjRWeJqw=="}}
//! ```

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Socks5Login, Socks5Username};
use crate::note::Salt;
use crate::peer::MAX_PEERS;
use crate::{Bytes, FactError};

/// The longest line, in bytes, its end included: [`MAX_PEERS`] logins take under 8 MiB.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// The most networks that the agent may close.
pub const MAX_REFUSED_NETWORKS: usize = 256;

/// One run of the service, drawn at random at its start: under another one, every counter began at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(pub Salt);

/// What the agent asks. Each question but a wrong one is answered with [`Readings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Serve these logins and no others. Connections of others are cut before the answer, whose readings are then their last.
    Serve {
        /// At most [`MAX_PEERS`], each username once.
        logins: Vec<Socks5Login>,
        /// Networks that nobody may reach through the service, at most [`MAX_REFUSED_NETWORKS`]: the tunnel's own, whose bytes
        /// would be counted twice.
        refused_networks: Vec<IpNet>,
        /// How fast.
        #[serde(default, skip_serializing_if = "Rates::are_none")]
        rates: Rates,
    },
    /// Read the counters.
    Read {},
    /// Forget the counters of usernames that are not served: their last readings are kept. They are absent from the answer; one
    /// that is there still was not forgotten.
    Forget {
        /// The run whose readings were kept; another one forgets nothing.
        instance: Instance,
        /// Whom.
        usernames: Vec<Socks5Username>,
    },
    /// The readings of an ending service are kept: it may be gone.
    Release {
        /// The run whose readings were kept.
        instance: Instance,
    },
}

/// How many bytes may pass in a second, each way; no limit where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Of all devices together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<NonZeroU64>,
    /// Of each device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<NonZeroU64>,
}

impl Rates {
    /// Whether nothing is limited.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What the service answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The counters now.
    Readings(Readings),
    /// The question was not understood, or asks too much. Nothing has changed.
    Refused {
        /// Why, and the way out.
        reason: String,
    },
}

/// All counters of one run of the service that are not zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readings {
    /// Which run.
    pub instance: Instance,
    /// The service has stopped serving and waits for its readings to be kept. They are the last.
    pub ending: bool,
    /// One for each username, in order.
    pub readings: Vec<AccountReading>,
}

/// One username's counters: payload bytes on the client's side since the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountReading {
    /// Whose.
    pub username: Socks5Username,
    /// From the client.
    pub received: Bytes,
    /// To the client.
    pub sent: Bytes,
}

impl Question {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// What is wrong with it; no login is repeated.
    pub fn parse(line: &[u8]) -> Result<Self, FactError> {
        let question: Self = parse("question", line)?;
        if let Self::Serve { logins, refused_networks, .. } = &question {
            at_most("logins", logins.len(), MAX_PEERS)?;
            at_most("refused_networks", refused_networks.len(), MAX_REFUSED_NETWORKS)?;
            each_once(logins.iter().map(|login| &login.username))?;
        }
        Ok(question)
    }

    /// The line, its end included.
    #[must_use]
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

impl Answer {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, FactError> {
        let answer: Self = parse("answer", line)?;
        if let Self::Readings(Readings { readings, .. }) = &answer {
            each_once(readings.iter().map(|reading| &reading.username))?;
        }
        Ok(answer)
    }

    /// The line, its end included.
    #[must_use]
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

fn to_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("numbers, texts and lists serialise") + "\n"
}

fn parse<T: DeserializeOwned>(what: &'static str, line: &[u8]) -> Result<T, FactError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(FactError::TooLong { what, bytes: line.len(), limit: MAX_LINE_BYTES });
    }
    // serde's message may repeat a value, which may be part of a login: its place is enough to find it.
    serde_json::from_slice(line).map_err(|error| FactError::Mismatch {
        what: format!("{what} on the SOCKS5 service's socket, at byte {}", error.column()),
        expected: "one JSON object of this version of wiregrant".into(),
        found: match error.classify() {
            serde_json::error::Category::Data => "another object".into(),
            serde_json::error::Category::Eof => "an end in its midst".into(),
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "no JSON".into(),
        },
    })
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), FactError> {
    if found <= limit {
        return Ok(());
    }
    Err(FactError::Mismatch {
        what: what.into(),
        expected: format!("at most {limit}"),
        found: found.to_string(),
    })
}

fn each_once<'a>(mut usernames: impl Iterator<Item = &'a Socks5Username>) -> Result<(), FactError> {
    let mut seen = BTreeSet::new();
    if usernames.all(|username| seen.insert(username)) {
        return Ok(());
    }
    Err(FactError::Mismatch {
        what: "usernames".into(),
        expected: "each once".into(),
        found: "one twice".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use transparency_log::Hash;

    fn username() -> impl Strategy<Value = Socks5Username> {
        "[a-z0-9]{1,32}".prop_map(|text| text.parse().unwrap())
    }

    fn instance() -> impl Strategy<Value = Instance> {
        any::<[u8; 16]>().prop_map(|bytes| Instance(Salt(bytes)))
    }

    fn question() -> impl Strategy<Value = Question> {
        let logins = proptest::collection::btree_map(username(), any::<[u8; 4]>(), 0..5).prop_map(|logins| {
            let login =
                |(username, seed): (_, [u8; 4])| Socks5Login { username, password_hash: Hash::of(&seed) };
            logins.into_iter().map(login).collect()
        });
        prop_oneof![
            (logins, any::<u64>(), any::<u64>()).prop_map(|(logins, all, device)| Question::Serve {
                logins,
                refused_networks: vec!["10.64.0.0/10".parse().unwrap()],
                rates: Rates { all: NonZeroU64::new(all / 2), device: NonZeroU64::new(device % 3) },
            }),
            Just(Question::Read {}),
            (instance(), proptest::collection::vec(username(), 0..5))
                .prop_map(|(instance, usernames)| Question::Forget { instance, usernames }),
            instance().prop_map(|instance| Question::Release { instance }),
        ]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let number = || (0..=i64::MAX).prop_map(|number| Bytes::try_from(number).unwrap());
        let readings = proptest::collection::btree_map(username(), (number(), number()), 0..5);
        prop_oneof![
            (instance(), any::<bool>(), readings).prop_map(|(instance, ending, readings)| {
                let reading = |(username, (received, sent))| AccountReading { username, received, sent };
                Answer::Readings(Readings {
                    instance,
                    ending,
                    readings: readings.into_iter().map(reading).collect(),
                })
            }),
            "\\PC{0,40}".prop_map(|reason| Answer::Refused { reason }),
        ]
    }

    #[test]
    fn the_lines_are_those_of_the_documentation() {
        let instance = Instance("q83vEjRWeJq83vEjRWeJqw==".parse().unwrap());
        let bytes = |n| Bytes::new(n).unwrap();
        let readings = vec![AccountReading {
            username: "k7d2m9".parse().unwrap(),
            received: bytes(517),
            sent: bytes(90_210),
        }];
        let answer = Answer::Readings(Readings { instance, ending: false, readings });
        assert_eq!(
            answer.to_line(),
            "{\"readings\":{\"instance\":\"q83vEjRWeJq83vEjRWeJqw==\",\"ending\":false,\"readings\":\
             [{\"username\":\"k7d2m9\",\"received\":\"517\",\"sent\":\"90210\"}]}}\n"
        );
        assert_eq!(Question::Read {}.to_line(), "{\"read\":{}}\n");
        let forget = Question::Forget { instance, usernames: vec!["k7d2m9".parse().unwrap()] };
        assert_eq!(
            forget.to_line(),
            "{\"forget\":{\"instance\":\"q83vEjRWeJq83vEjRWeJqw==\",\"usernames\":[\"k7d2m9\"]}}\n"
        );
    }

    #[test]
    fn a_wrong_line_is_told_by_its_place_and_without_what_it_holds() {
        let hash = Hash::of(b"x").to_string();
        let login = format!("{{\"username\":\"s3cret\",\"password_hash\":\"{hash}\"}}");
        let serve = |logins: &str| {
            Question::parse(
                format!("{{\"serve\":{{\"logins\":[{logins}],\"refused_networks\":[]}}}}").as_bytes(),
            )
        };
        assert!(serve(&login).is_ok());
        for wrong in [format!("{login},{login}"), login.replace("s3cret", "S3CRET"), format!("{login}}}")] {
            let error = serve(&wrong).unwrap_err().to_string();
            assert!(!error.to_lowercase().contains("s3cret") && !error.contains(&hash), "{error}");
        }
        let error = Question::parse(&vec![b' '; MAX_LINE_BYTES + 1]).unwrap_err().to_string();
        assert!(error.contains("at most 16777216"), "{error}");
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(question in question(), answer in answer()) {
            let line = question.to_line();
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(Question::parse(line.as_bytes()).unwrap(), question);
            let line = answer.to_line();
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(Answer::parse(line.as_bytes()).unwrap(), answer);
        }

        #[test]
        fn no_line_makes_a_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Question::parse(&line), Answer::parse(&line));
        }
    }
}
