//! Names in a source that reach out of the program: files, sockets, processes, clocks, and floats.

/// What a room without a world must not write down. `std::net` itself is fine: addresses are facts.
const FORBIDDEN: [&str; 14] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::env::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "getrandom",
    "OsRng",
];

/// Modules of the standard library that must not come in through a braced `use std::{..}` either.
const MODULES: [&str; 3] = ["fs", "process", "thread"];

/// Types that round: there is no float near bytes or money.
const FLOATS: [&str; 2] = ["f32", "f64"];

/// Line number and name of everything forbidden in `source`, comments and the tests at its end left out.
pub fn forbidden_names(source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut braced = false;
    for (number, line) in (1..).zip(source.lines()) {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        found.extend(FORBIDDEN.into_iter().filter(|name| code.contains(name)).map(|name| (number, name)));
        found.extend(
            FLOATS
                .into_iter()
                .filter(|name| words(code).any(|word| word == *name))
                .map(|name| (number, name)),
        );
        braced |= code.contains("use std::{");
        if braced {
            found.extend(
                MODULES
                    .into_iter()
                    .filter(|name| words(code).any(|word| word == *name))
                    .map(|name| (number, name)),
            );
            braced = !code.contains(';');
        }
    }
    found
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn a_world_is_found_however_it_is_written() {
    let source = "use std::fs::File;\nuse std::{\n    fmt,\n    fs,\n};\nlet now = std::time::SystemTime::now();\n\
                  let share: f64 = 0.5;\nlet socket = std::net::UdpSocket::bind(a);\n";
    assert_eq!(
        forbidden_names(source),
        [(1, "std::fs"), (4, "fs"), (6, "SystemTime::now"), (7, "f64"), (8, "UdpSocket")]
    );
}

#[test]
fn facts_comments_and_tests_are_left_alone() {
    let source = "use std::net::IpAddr;\n// never std::fs\nuse std::{fmt, str};\nlet fs = 1; let process = 2;\n\
                  #[cfg(test)]\nmod tests { use std::fs; }\n";
    assert_eq!(forbidden_names(source), []);
}
