//! `wiregrant verify` on a year of weeks of 10,000 nodes: what everyone checks, and what an auditor does beside it.
//!
//! The record is made here with real keys; the program that is measured is the real one, in a process of its own. What an
//! audit takes is told by the program, without what everyone checks; it is held against the same signatures, verified
//! strictly on as many cores in the same run, with the keys and the messages at hand. On a machine that does other things too, the
//! two halves of a run meet different loads; the processor time of both, which is told as well, does not.

mod year;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Row;
use crate::clock;
use crate::programs::Programs;
use year::{Message, REPORTS, Year};

/// What everyone checks is to take less than this, in milliseconds.
const PUBLIC_BAR_MS: u64 = 5_000;
/// What the program may hold, in KiB.
const MEMORY_BAR_KIB: u64 = 256 * 1024;
/// Between two looks at a process's memory.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// The part of the program's answer that is of interest.
#[derive(Deserialize)]
struct Answer {
    result: String,
    statements: u64,
    findings: Vec<serde_json::Value>,
    audited: Option<Audited>,
}

#[derive(Deserialize)]
struct Audited {
    reports: u64,
    nodes: u64,
    milliseconds: u64,
}

/// One run of the program.
struct Run {
    answer: Answer,
    took_ms: u64,
    busy_ms: u64,
    peak_kib: u64,
}

/// The rows.
///
/// # Errors
/// When the program does not find that all holds.
pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::tempdir()?;
    eprintln!("verify: making the record of {REPORTS} closing reports");
    let year = Year::make(folder.path())?;
    eprintln!("verify: checking what is public");
    let public = run(&programs.cli, folder.path(), &["public"])?;
    eprintln!("verify: auditing");
    let audited = run(&programs.cli, folder.path(), &["public", "--audit-folder", "audit"])?;
    eprintln!("verify: the same signatures alone");
    let (raw_ms, raw_busy_ms) = raw(&year)?;
    let audit = audited.answer.audited.context("the answer tells of no audit")?;
    ensure!(audit.reports == REPORTS && audit.nodes == REPORTS, "{} reports audited", audit.reports);
    ensure!(public.answer.statements == year::WEEKS, "{} statements", public.answer.statements);
    let against = "strict Ed25519 of the same signatures on as many cores, ms";
    Ok(vec![
        Row::at_most(
            "verify",
            "audit 520,000 closing reports",
            "ms",
            (audit.milliseconds, raw_ms),
            against,
            1_250,
        ),
        Row::at_most(
            "verify",
            "audit 520,000 closing reports, processor time",
            "ms",
            (audited.busy_ms.saturating_sub(public.busy_ms), raw_busy_ms),
            "that of the same signatures, ms",
            1_250,
        ),
        Row::at_most(
            "verify",
            "public verification of 10,000 nodes' year of weeks",
            "ms",
            (public.took_ms, PUBLIC_BAR_MS),
            "the bar, ms",
            1_000,
        ),
        Row::at_most(
            "verify",
            "memory of public verification",
            "KiB",
            (public.peak_kib, MEMORY_BAR_KIB),
            "the bar, KiB",
            1_000,
        ),
        Row::at_most(
            "verify",
            "memory of an audit",
            "KiB",
            (audited.peak_kib, MEMORY_BAR_KIB),
            "the bar, KiB",
            1_000,
        ),
    ])
}

fn run(program: &Path, folder: &Path, arguments: &[&str]) -> Result<Run> {
    let started = clock::now();
    let out = fs::File::create(folder.join("answer.json"))?;
    let mut child = Command::new(program)
        .args(["verify", "--json", "--state-dir", "state"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
        .with_context(|| format!("{}", program.display()))?;
    let (mut peak_kib, mut busy_ms) = (0, 0);
    let status = loop {
        // The kernel's own peak: nothing is missed between two looks but what the very last moments add.
        peak_kib = peak_kib.max(high_water_kib(child.id()).unwrap_or_default());
        busy_ms = busy_ms.max(processor_ms(&child.id().to_string()).unwrap_or_default());
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(LOOK_PAUSE),
        }
    };
    let took_ms = u64::try_from(started.elapsed().as_millis())?;
    let answer: Answer = serde_json::from_slice(&fs::read(folder.join("answer.json"))?)?;
    ensure!(status.success() && answer.result == "ok", "{}: {:?}", answer.result, answer.findings.first());
    Ok(Run { answer, took_ms, busy_ms, peak_kib })
}

/// The processor time that a process has had, `self` for this one, in milliseconds (proc(5): `utime` and `stime`, in hundredths of a
/// second).
fn processor_ms(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()?.saturating_add(next()?).saturating_mul(10))
}

/// The most resident memory that a process has had, in KiB (proc(5), `VmHWM`).
fn high_water_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// How long the signatures alone take, and their processor time, in milliseconds: week by week, so that the messages fit into
/// memory.
fn raw(year: &Year) -> Result<(u64, u64)> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (good, mut took, mut busy_ms) = (AtomicU64::new(0), Duration::ZERO, 0_u64);
    let busy = || processor_ms("self").context("/proc/self/stat");
    for week in 1..=year::WEEKS {
        let messages = year.messages(week)?;
        let share = messages.len().div_ceil(cores);
        let (started, busy_before) = (clock::now(), busy()?);
        thread::scope(|scope| {
            for messages in messages.chunks(share) {
                scope.spawn(|| {
                    let holds = |m: &&Message| year.key(m.node).verify(m.text.as_bytes(), &m.signature);
                    let holding = messages.iter().filter(holds).count();
                    good.fetch_add(holding as u64, Ordering::Relaxed);
                });
            }
        });
        took = took.saturating_add(started.elapsed());
        busy_ms = busy_ms.saturating_add(busy()?.saturating_sub(busy_before));
    }
    let good = good.into_inner();
    ensure!(good == REPORTS, "{good} signatures hold");
    Ok((u64::try_from(took.as_millis())?, busy_ms))
}
