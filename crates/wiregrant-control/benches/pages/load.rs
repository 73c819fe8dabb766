//! Asking for one page again and again at a steady rate.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Requests a second.
pub const A_SECOND: u32 = 50;
/// Requests that are counted.
const REQUESTS: u32 = 500;
/// Requests before those: statements are prepared, files are read.
const WARM_UP: u32 = 25;
/// Requests that may be under way at a time.
const CONNECTIONS: u32 = 16;

/// The time within which 99 of 100 requests were answered, from when each was due.
pub fn p99(address: SocketAddr, path: &str, cookie: &str) -> Duration {
    let begin = Instant::now() + Duration::from_millis(100);
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: grants.example\r\ncookie: {cookie}\r\n\r\n");
            std::thread::spawn(move || {
                let mut connection = BufReader::new(TcpStream::connect(address).expect("a connection"));
                connection.get_ref().set_nodelay(true).expect("a socket");
                let mut took = Vec::new();
                for number in (first..WARM_UP + REQUESTS).step_by(CONNECTIONS as usize) {
                    let due = begin + Duration::from_secs(1) * number / A_SECOND;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    ask(&mut connection, &request);
                    if number >= WARM_UP {
                        took.push(due.elapsed());
                    }
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> =
        asking.into_iter().flat_map(|thread| thread.join().expect("no request failed")).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Sends a request and reads its answer, which must be a page.
fn ask(connection: &mut BufReader<TcpStream>, request: &str) {
    connection.get_mut().write_all(request.as_bytes()).expect("a request is sent");
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).expect("a status");
    assert!(
        line.starts_with("HTTP/1.1 200 "),
        "{} was answered {line}",
        request.lines().next().unwrap_or_default()
    );
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line).expect("a header");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut page = vec![0; length];
    connection.read_exact(&mut page).expect("a page");
    assert!(page.ends_with(b"</html>\n") || page.ends_with(b"</html>"), "a whole page");
}
