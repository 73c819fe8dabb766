//! The pages: how much a phone on a slow line loads, how long redeeming takes, public pages beside nginx with the same files, and
//! signed-in pages, which the control plane's own benchmark has measured.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Row, measured, per_second};
use crate::clock;
use crate::control_plane;
use crate::host::Host;
use crate::node::Pace;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::wait::eventually;
use crate::world::World;

/// What a first load may take, in bytes as they are sent compressed.
const FIRST_LOAD_BYTES: u64 = 20_000;
/// Round trips are what a slow line is slowest at.
const FIRST_LOAD_REQUESTS: u64 = 4;
const REDEEM_MICROS: u64 = 20_000;
const CODES: usize = 5;
const DEVICES_A_CODE: u64 = 40;
/// Requests of each public page: they take a second, and what a start costs does not count. And how many are under way at a time.
const PUBLIC_REQUESTS: u64 = 40_000;
const CONNECTIONS: u64 = 8;
const NGINX_PORT: u16 = 8081;
const START_LIMIT: Duration = Duration::from_secs(30);

/// Asks for one address again and again, from inside a host.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Args)]
pub struct Order {
    /// The address.
    #[arg(long)]
    url: String,
    /// How often.
    #[arg(long)]
    requests: u64,
    /// How many at a time.
    #[arg(long)]
    connections: u64,
}

/// What was asked and how long it took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    requests_per_second: u64,
    p99_micros: u64,
}

/// Measures the pages of a control plane with one node.
///
/// # Errors
/// Whatever step fails, with what the program said.
pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let pace = Pace { sample_seconds: 1, report_seconds: 3_600 };
    let world = World::new(programs, 1, pace, None, &|step| eprintln!("bench pages: {step}"))?;
    let mut rows = first_load(&world.network.control)?;
    rows.push(redeem(&world)?);
    rows.push(beside_nginx(&world)?);
    rows.extend(measured::pages()?);
    Ok(rows)
}

/// The page where a code is typed, and everything that it makes a browser load.
fn first_load(host: &Host) -> Result<Vec<Row>> {
    let get = |path: &str| {
        process::run(host.command("curl").args(["-sf", &format!("{}{path}", control_plane::url())]))
    };
    let page = get("/redeem")?;
    let mut paths = BTreeSet::from(["/redeem".to_owned()]);
    for attribute in ["src=\"/a/", "href=\"/a/"] {
        for rest in page.split(attribute).skip(1) {
            paths.insert(format!("/a/{}", rest.split('"').next().unwrap_or_default()));
        }
    }
    let mut bytes = 0;
    for path in &paths {
        bytes += compressed(&get(path)?)?;
    }
    let requests = u64::try_from(paths.len())?;
    Ok(vec![
        Row::at_most(
            "pages",
            "first load of the redeem page, gzip -6",
            "bytes",
            (bytes, FIRST_LOAD_BYTES),
            "the bar, bytes",
            1_000,
        ),
        Row::at_most(
            "pages",
            "first load of the redeem page",
            "requests",
            (requests, FIRST_LOAD_REQUESTS),
            "the bar, requests",
            1_000,
        ),
    ])
}

fn compressed(text: &str) -> Result<u64> {
    use std::io::Write as _;
    let mut gzip =
        Command::new("gzip").args(["-6", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    gzip.stdin.take().context("gzip reads")?.write_all(text.as_bytes())?;
    Ok(u64::try_from(gzip.wait_with_output()?.stdout.len())?)
}

/// A code is given and a device placed, one after another: the form that people send, timed by curl in the control plane's host.
fn redeem(world: &World) -> Result<Row> {
    let mut micros = Vec::new();
    for code in world.access_codes(CODES, DEVICES_A_CODE)? {
        let mut lines = String::new();
        for _ in 0..DEVICES_A_CODE {
            let mut key = [0_u8; 32];
            getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("randomness: {error}"))?;
            let key = BASE64.encode(&key).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            writeln!(lines, "url = \"{}/devices\"", control_plane::url())?;
            writeln!(lines, "data = \"public_key={key}&own=1\"\ncookie = \"wiregrant-code={code}\"")?;
            writeln!(
                lines,
                "output = \"/dev/null\"\nwrite-out = \"%{{http_code}} %{{time_total}}\\n\"\nnext"
            )?;
        }
        let file = world.logs.join("redeem.curl");
        std::fs::write(&file, lines.trim_end_matches("next\n"))?;
        let printed = process::run(world.network.control.command("curl").args(["-s", "-K"]).arg(&file))?;
        for line in printed.lines() {
            let (status, seconds) = line.split_once(' ').context("a status and a time")?;
            ensure!(status == "200", "a device was answered {line}");
            micros.push(seconds_to_micros(seconds)?);
        }
    }
    micros.sort_unstable();
    let p99 = micros.get(micros.len() * 99 / 100).copied().context("nothing was redeemed")?;
    Ok(Row::at_most(
        "pages",
        "redeem: a device placed, p99, SQLite",
        "us",
        (p99, REDEEM_MICROS),
        "the bar, us",
        1_000,
    ))
}

/// `0.004321` as microseconds, without floating point.
fn seconds_to_micros(text: &str) -> Result<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: u64 = format!("{fraction:0<6}").get(..6).context("digits")?.parse()?;
    Ok(whole.parse::<u64>()? * 1_000_000 + fraction)
}

/// The landing page from the control plane and from nginx, which serves the very same folder.
fn beside_nginx(world: &World) -> Result<Row> {
    let host = &world.network.control;
    let folder = world.logs.join("nginx");
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("nginx.conf");
    let text = format!(
        "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log; user root;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; keepalive_requests 1000000; default_type text/html;\n\
         server {{ listen {1}; root {2}; }} }}\n",
        folder.display(),
        NGINX_PORT,
        world.control_plane.public().display()
    );
    std::fs::write(&configuration, text)?;
    let mut nginx =
        Process::spawn("nginx", host.command("nginx").arg("-c").arg(&configuration), &world.logs)?;
    eventually("nginx", START_LIMIT, &[], || {
        nginx.still_runs()?;
        Ok(host.exec(&format!("curl -sf -o /dev/null http://127.0.0.1:{NGINX_PORT}/")).ok())
    })?;
    let (ours, theirs) = (format!("{}/", control_plane::url()), format!("http://127.0.0.1:{NGINX_PORT}/"));
    // Once before it counts: a page that has just been written is read anew for each answer during its first seconds.
    for url in [&ours, &theirs] {
        load_in(world, url)?;
    }
    let (ours, theirs) = (load_in(world, &ours)?, load_in(world, &theirs)?);
    Ok(Row::new(
        "pages",
        "a public page, 8 connections, requests a second",
        "per s",
        (ours.requests_per_second, theirs.requests_per_second),
        "nginx with one worker, the same file",
        500,
    ))
}

fn load_in(world: &World, url: &str) -> Result<Load> {
    let mut command = world.network.control.command(&world.programs.testbed);
    command.args(["page-load", "--url", url, "--requests", &PUBLIC_REQUESTS.to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    Ok(serde_json::from_str(&process::run(&mut command)?)?)
}

/// The child's part: asks as often as it was told to, over connections that are kept.
///
/// # Errors
/// An answer that is not 200.
pub fn load(order: &Order) -> Result<Load> {
    let each = order.requests.div_ceil(order.connections.max(1));
    let started = clock::now();
    let threads: Vec<_> = (0..order.connections)
        .map(|_| {
            let url = order.url.clone();
            std::thread::spawn(move || -> Result<Vec<u64>> {
                let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
                let mut micros = Vec::new();
                for _ in 0..each {
                    let asked = clock::now();
                    let mut answer = agent.get(&url).call()?;
                    answer.body_mut().read_to_vec()?;
                    micros.push(u64::try_from(asked.elapsed().as_micros())?);
                }
                Ok(micros)
            })
        })
        .collect();
    let mut micros = Vec::new();
    for thread in threads {
        micros.extend(thread.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))??);
    }
    let elapsed = started.elapsed();
    micros.sort_unstable();
    let p99_micros = micros.get(micros.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Load { requests_per_second: per_second(u64::try_from(micros.len())?, elapsed), p99_micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_curls_is_read_in_microseconds() {
        assert_eq!(seconds_to_micros("0.004321").unwrap(), 4_321);
        assert_eq!(seconds_to_micros("12.5").unwrap(), 12_500_000);
        assert!(seconds_to_micros("soon").is_err());
    }
}
