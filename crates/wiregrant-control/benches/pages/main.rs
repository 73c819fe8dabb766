//! How long signed-in pages take with 100 nodes and a year of data, and how long a statement of 10,000 nodes takes to become pages:
//! `cargo xtask bench pages`, which reads the rows from what is printed.
//!
//! Pages are asked for over TCP at a steady rate, whether or not the ones before were answered, and each is timed from the moment
//! it was due: a page that takes long makes those behind it late, as it does for people.

#![expect(clippy::print_stdout, reason = "the rows are its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]

mod load;
#[path = "../support/reports.rs"]
mod reports;
#[path = "../support/setup.rs"]
mod setup;
mod statement;
mod year;

use std::time::Duration;

use wiregrant_control::control_plane::Shared;
use wiregrant_control::listener::{self, Service};
use wiregrant_control::router;

use year::Year;

/// Says that the rest of the line is a row.
const MARK: &str = "wiregrant-bench-row: ";
/// What a signed-in page may take.
const PAGE_BAR: Duration = Duration::from_millis(50);
/// What a statement of 10,000 nodes may take until it is pages.
const STATEMENT_BAR: Duration = Duration::from_secs(5);
/// As many cores as the bar speaks of.
const CORES: usize = 2;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CORES)
        .enable_all()
        .build()
        .expect("a runtime");
    let year = runtime.block_on(Year::make());
    let address = runtime.block_on(serve(&year.plane));
    for page in year.pages() {
        let took = load::p99(address, &page.path, &page.cookie);
        print(
            &format!("{}, 100 nodes and a year, p99 at {} a second, SQLite", page.name, load::A_SECOND),
            took,
            PAGE_BAR,
        );
    }
    runtime.block_on(year.end());
    print("a statement of 10,000 nodes as pages, CSV and JSON", statement::rendered(), STATEMENT_BAR);
}

/// Serves on a port of its own, as long as the runtime lives.
async fn serve(plane: &Shared) -> std::net::SocketAddr {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("a port");
    let service = Service { router: router::router(plane), tls: None, figures: std::sync::Arc::default() };
    tokio::spawn(listener::serve(socket, service, plane.stopped()));
    address
}

fn print(case: &str, took: Duration, bar: Duration) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).expect("a measurement ends");
    let row = serde_json::json!({
        "case": case, "value": micros(took), "unit": "us", "against": "the bar, us", "against_value": micros(bar),
        "bar_permille": 1_000, "less_is_better": true,
    });
    println!("{MARK}{row}");
}
