//! Whether each address of a batch follows from a destination note in force, which the public record names by its hash.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_payout::{Batch, BatchLine, Destination};

use crate::verify::Record;

/// The notes in a text that holds one after the other.
fn notes(text: &str) -> impl Iterator<Item = String> {
    let mut starts: Vec<usize> = text
        .match_indices(Destination::KIND)
        .map(|(at, _)| at)
        .filter(|at| starts_a_line(text, *at))
        .collect();
    starts.push(text.len());
    let bounds: Vec<(usize, usize)> = starts.windows(2).map(|pair| (pair[0], pair[1])).collect();
    bounds.into_iter().map(|(start, end)| text[start..end].to_owned())
}

fn starts_a_line(text: &str, at: usize) -> bool {
    at == 0 || text.as_bytes()[at - 1] == b'\n'
}

/// Checks every line of the batch; the operators whose destination they did not sign themselves.
///
/// # Errors
/// Names the first line whose address does not follow, and what does.
pub fn check(batch: &Batch, text: &str, record: &Record) -> Result<Vec<String>> {
    let mut given = BTreeMap::new();
    for note in notes(text) {
        let signed = Signed::<Destination>::parse(&note).context("--destinations")?;
        let of = (signed.content().operator.clone(), signed.content().sequence);
        given.insert(of, signed);
    }
    let mut unsigned = Vec::new();
    for line in &batch.lines {
        let what = || format!("line {} {} {}", line.operator, line.grant, line.epoch);
        let Some(signed) = given.get(&(line.operator.clone(), line.destination_sequence)) else {
            bail!(
                "{}: expected destination {} of the operator among --destinations, found none",
                what(),
                line.destination_sequence
            );
        };
        if !follows(batch, line, signed, record).with_context(what)? {
            unsigned.push(line.operator.to_string());
        }
    }
    unsigned.sort();
    unsigned.dedup();
    Ok(unsigned)
}

/// Whether the operator's own key signed the destination; an error where the address does not follow from it.
fn follows(batch: &Batch, line: &BatchLine, signed: &Signed<Destination>, record: &Record) -> Result<bool> {
    let (destination, hash) = (signed.content(), signed.hash());
    match record.destination(&line.operator) {
        Some((sequence, logged)) if sequence == destination.sequence && logged == hash => {}
        Some((sequence, logged)) => bail!(
            "destination: expected number {sequence} of the record with hash {logged}, found number {} with {hash}",
            destination.sequence
        ),
        None => bail!("destination: expected one in the record, found none of operator {}", line.operator),
    }
    let own = record.operator_key(&line.operator);
    let key = own
        .or_else(|| record.statement_key())
        .context("destination: the record names no key to check it by")?;
    signed.verified_by(key).context("destination")?;
    if destination.network != batch.network || destination.log != batch.log {
        bail!(
            "destination: expected one for {} on {}, found another log or network",
            batch.log,
            batch.network
        );
    }
    let address = destination.address().context("destination")?.to_string();
    if address != line.address {
        bail!("address: expected {address} as the destination says, found {}", line.address);
    }
    Ok(own.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_one_after_the_other_are_told_apart() {
        let one = "wiregrant/destination/v1\nlog x\n\n— a b=\n";
        let text = format!("{one}{one}");
        assert_eq!(notes(&text).collect::<Vec<_>>(), [one, one]);
        assert_eq!(notes("").count(), 0);
        assert_eq!(notes("pay wiregrant/destination/v1\n").count(), 0);
    }
}
