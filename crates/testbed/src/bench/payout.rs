//! The payout's arithmetic at the sizes it is made for: splitting a pot, and building and checking the largest batch.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use transparency_log::Hash;
use wiregrant_core::note::{Network, Salt};
use wiregrant_core::{OperatorId, Sats, Units};
use wiregrant_payout::allocation::water::{self, Bounds};
use wiregrant_payout::psbt::parse_coin_line;
use wiregrant_payout::{Batch, BatchLine, PayoutAddress, Share, allocate, build, check_psbt};

use super::Row;
use crate::clock;
use crate::demo::regtest::nobodys_address_of;

/// Operators with a node each.
const OPERATORS: u64 = 100_000;
/// Each is measured so many times, and the median counts.
const ROUNDS: usize = 5;
const ALLOCATION_BAR_US: u64 = 50_000;
const BATCH_BAR_US: u64 = 100_000;

pub fn rows() -> Result<Vec<Row>> {
    let shares = shares()?;
    let grant = "spring".parse()?;
    let pot = Sats::new(1_000_000_000)?;
    let allocation = median(|| {
        let split = allocate(pot, &grant, 1, Sats::new(10_000)?, &shares)?;
        ensure!(split.operators.len() as u64 == OPERATORS, "every operator has a line");
        Ok(())
    })?;
    let bounded = median(|| {
        let nodes = shares.iter().zip(0_u64..).map(|((operator, share), n)| (operator, n / 3, share.units));
        let bounds = Bounds { ceiling: Some(3), operator: Some(20_000), site: Some(40_000) };
        let earned = water::earn(pot, &grant, 1, bounds, nodes);
        ensure!(earned.len() as u64 == OPERATORS, "every operator has a sum");
        Ok(())
    })?;
    let batch = largest_batch()?;
    let change = PayoutAddress::parse(&nobodys_address_of(u32::MAX), Network::Regtest)?;
    let coin_line = format!("{}:0:900000000:{}", "ab".repeat(32), nobodys_address_of(u32::MAX - 1));
    let coins = [parse_coin_line(&coin_line, Network::Regtest)?];
    let payment = median(|| {
        let psbt = build(&batch, &coins, &change, 5)?;
        let checked = check_psbt(&psbt.to_base64(), &batch, std::slice::from_ref(&change))?;
        ensure!(checked.outputs.len() == Batch::MAX_LINES, "every line has an output");
        Ok(())
    })?;
    Ok(vec![
        row("a pot split among 100,000 operators", allocation, ALLOCATION_BAR_US),
        row("the same of 100,000 nodes under a ceiling and shares", bounded, ALLOCATION_BAR_US),
        row("a batch of 1,000 lines built and checked", payment, BATCH_BAR_US),
    ])
}

fn row(case: &'static str, took: Duration, bar_us: u64) -> Row {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    Row::at_most("payout", case, "µs", (took, bar_us), "limit, µs", 1_000)
}

fn median(mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = clock::now();
        work()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().context("at least one round")
}

/// Uneven units, many of them equal, as in life.
fn shares() -> Result<BTreeMap<OperatorId, Share>> {
    (0..OPERATORS)
        .map(|n| {
            let units = Units::new(n.wrapping_mul(2_654_435_761) % 10_000)?;
            Ok((format!("op-{n}").parse()?, Share { units, brought: Sats::ZERO, adjusted: 0 }))
        })
        .collect()
}

fn largest_batch() -> Result<Batch> {
    let count = u32::try_from(Batch::MAX_LINES)?;
    let line = |n: u32| -> Result<BatchLine> {
        Ok(BatchLine {
            operator: format!("op-{n}").parse()?,
            grant: "spring".parse()?,
            epoch: 1,
            sats: Sats::new(10_000 + u64::from(n))?,
            address: nobodys_address_of(n),
            destination_sequence: 1,
        })
    };
    let lines = (0..count).map(line).collect::<Result<Vec<_>>>()?;
    let batch = Batch {
        log: "grants.example/record".parse()?,
        network: Network::Regtest,
        batch: "spring-1".parse()?,
        replaces: None,
        record_size: 1,
        record_root: Hash::of(b"record"),
        salt: Salt([0; 16]),
        total: Sats::total(lines.iter().map(|line| line.sats))?,
        lines,
    };
    Ok(batch.checked()?)
}
