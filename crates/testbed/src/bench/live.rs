//! From "device added" to "peer live": a control plane, an agent and WireGuard as they are, asked from outside.
//!
//! A moment begins before `POST /devices` is sent and ends when WireGuard itself is seen to have the peer, so it holds the whole
//! way: the request, the commit, the waiting agent's answer, its reading and its journal, and up to `LOOK_PAUSE` of looking.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::json;
use wiregrant_core::api::{AccessCodesCreated, PREFIX};

use super::Row;
use crate::clock;
use crate::control_plane;
use crate::node::Pace;
use crate::programs::Programs;
use crate::relay::Relay;
use crate::wait::eventually;
use crate::world::World;

/// Devices added in each case.
const ADDITIONS: usize = 1_000;
/// The most devices that an access code may have.
const DEVICES_PER_CODE: usize = 100;
/// Between two looks at WireGuard's peers: often enough for the bar, and seldom enough not to be what is measured.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// A peer that takes longer than this will not come.
const LIVE_LIMIT: Duration = Duration::from_secs(60);
/// An agent's usual pace, but for reports: none is due while this measures.
pub const PACE: Pace = Pace { sample_seconds: 10, report_seconds: 86_400 };
/// What the 99th of a hundred is to stay under, in milliseconds.
const BAR_MS: u64 = 1_000;

type Key = [u8; 32];

/// Two rows for devices added one after another, and two for four at a time.
///
/// # Errors
/// As [`measure`].
pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let world = World::new(programs, 1, PACE, None, &|step| eprintln!("live: {step}"))?;
    let mut rows = Vec::new();
    for (workers, median, late) in [
        (
            1,
            "device added to peer live, one after another: p50",
            "device added to peer live, one after another: p99",
        ),
        (4, "device added to peer live, 4 at a time: p50", "device added to peer live, 4 at a time: p99"),
    ] {
        eprintln!("live: adding {ADDITIONS} devices, {workers} at a time");
        let mut moments = measure(&world, ADDITIONS, workers)?;
        moments.sort_unstable();
        for (case, permille) in [(median, 500), (late, 990)] {
            let value = milliseconds(quantile(&moments, permille));
            rows.push(Row::at_most("live", case, "ms", (value, BAR_MS), "limit, ms", 1_000));
        }
    }
    Ok(rows)
}

/// The moment that so many of a thousand do not pass; zero of none.
fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    let rank = sorted.len().saturating_mul(permille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Begun ones count whole.
fn milliseconds(moment: Duration) -> u64 {
    u64::try_from(moment.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Adds devices, `workers` at a time, each waiting until its last one is live, and removes them again. Gives how long each
/// took.
///
/// # Errors
/// When the control plane refuses one, or one does not become live.
pub fn measure(world: &World, additions: usize, workers: usize) -> Result<Vec<Duration>> {
    let host = &world.network.control;
    let relay = Relay::start(&world.programs, host, &control_plane::address(), &world.logs)?;
    let people = People {
        http: ureq::Agent::config_builder().http_status_as_error(false).build().into(),
        base: format!("http://{}{PREFIX}", relay.address),
        codes: issue_codes(world, additions.div_ceil(DEVICES_PER_CODE))?,
    };
    let interface = world.network.node.name();
    let watch = Watch::default();
    let (before, next, done) = (live_peers(interface)?.len(), AtomicUsize::new(0), AtomicBool::new(false));
    let moments = thread::scope(|scope| {
        let looking = scope.spawn(|| watch.look(interface, &done));
        let adding: Vec<_> =
            (0..workers).map(|_| scope.spawn(|| people.add_devices(&watch, &next, additions))).collect();
        let moments: Vec<Result<Vec<_>>> = adding.into_iter().map(joined).collect();
        done.store(true, Ordering::Release);
        joined(looking)?;
        moments.into_iter().collect::<Result<Vec<_>>>()
    })?;
    let moments: Vec<(usize, Key, Duration)> = moments.into_iter().flatten().collect();
    people.remove_devices(&moments)?;
    eventually("the removed peers to be gone", LIVE_LIMIT, &[&world.node.log()], || {
        Ok((live_peers(interface)?.len() == before).then_some(()))
    })?;
    Ok(moments.into_iter().map(|(_, _, moment)| moment).collect())
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

fn issue_codes(world: &World, count: usize) -> Result<Vec<String>> {
    let token = world.folder().join("distributor.token");
    let mut issue = control_plane::cli(&world.programs, &world.network.control, Some(&token));
    issue.args(["code", "issue", "--quota", "100TB", "--expires", "30d"]);
    issue.args(["--devices", &DEVICES_PER_CODE.to_string(), "--count", &count.to_string()]);
    Ok(control_plane::answer::<AccessCodesCreated>(&mut issue)?.codes)
}

/// Whoever holds the access codes.
struct People {
    http: ureq::Agent,
    base: String,
    codes: Vec<String>,
}

impl People {
    /// Adds devices as long as there is a number left for one.
    fn add_devices(
        &self,
        watch: &Watch,
        next: &AtomicUsize,
        additions: usize,
    ) -> Result<Vec<(usize, Key, Duration)>> {
        let mut moments = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= additions {
                return Ok(moments);
            }
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| anyhow!("randomness: {error}"))?;
            let body = json!({ "public_key": BASE64.encode(&key) }).to_string();
            let begun = clock::now();
            let asked =
                self.http.post(format!("{}/devices", self.base)).header("authorization", self.bearer(number));
            let status = asked.send(&body).context("POST /devices")?.status();
            ensure!(status.is_success(), "POST /devices answered {status} to device {number}");
            let live = watch.live_at(&key).with_context(|| format!("device {number}"))?;
            moments.push((number, key, live.saturating_duration_since(begun)));
        }
    }

    fn remove_devices(&self, devices: &[(usize, Key, Duration)]) -> Result<()> {
        for (number, key, _) in devices {
            let address = format!("{}/devices/{}", self.base, BASE64URL_NOPAD.encode(key));
            let status =
                self.http.delete(address).header("authorization", self.bearer(*number)).call()?.status();
            ensure!(status.is_success(), "DELETE /devices answered {status} to device {number}");
        }
        Ok(())
    }

    fn bearer(&self, number: usize) -> String {
        format!("Bearer {}", self.codes.get(number / DEVICES_PER_CODE).map_or("", String::as_str))
    }
}

/// When each peer was first seen in WireGuard.
#[derive(Default)]
struct Watch {
    seen: Mutex<BTreeMap<Key, Instant>>,
    looked: Condvar,
}

impl Watch {
    /// Looks again and again until all is done.
    fn look(&self, interface: &str, done: &AtomicBool) -> Result<()> {
        while !done.load(Ordering::Acquire) {
            let peers = live_peers(interface)?;
            let now = clock::now();
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for key in peers {
                seen.entry(key).or_insert(now);
            }
            drop(seen);
            self.looked.notify_all();
            thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// Waits until the peer was seen.
    fn live_at(&self, key: &Key) -> Result<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let absent = |seen: &mut BTreeMap<Key, Instant>| !seen.contains_key(key);
        let waited = self.looked.wait_timeout_while(seen, LIVE_LIMIT, absent);
        let (seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        seen.get(key).copied().with_context(|| format!("not live within {LIVE_LIMIT:?}"))
    }
}

/// The peers that wireguard-go has, asked over its socket as `wg` would: `wg` itself costs a process.
fn live_peers(interface: &str) -> Result<BTreeSet<Key>> {
    let path = format!("/var/run/wireguard/{interface}.sock");
    let mut socket =
        UnixStream::connect(&path).with_context(|| format!("{path}: is this wireguard-go's?"))?;
    socket.write_all(b"get=1\n\n")?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if !answer.contains("errno=0\n") {
        bail!("{path} answered {:?}", answer.lines().last());
    }
    let keys = answer.lines().filter_map(|line| line.strip_prefix("public_key="));
    keys.map(|key| {
        let bytes = HEXLOWER.decode(key.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.with_context(|| format!("public_key: {key:?} is not 32 bytes"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_moment_that_so_many_do_not_pass() {
        let moments: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&moments, 500), Duration::from_millis(100));
        assert_eq!(quantile(&moments, 990), Duration::from_millis(198));
        assert_eq!(quantile(&moments[..1], 990), Duration::from_millis(1));
        assert_eq!(quantile(&[], 990), Duration::ZERO);
        assert_eq!(milliseconds(Duration::from_micros(1_001)), 2);
    }
}
