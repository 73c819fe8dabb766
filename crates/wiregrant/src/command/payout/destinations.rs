//! Whether each address of a batch follows from a destination note in force, which the public record names by its hash.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use wiregrant_core::OperatorId;
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_payout::{Batch, BatchLine, Destination, Pay, PayoutAddress};

use super::lines::Public;

/// What a line with the proof of a name begins with: `proof <operator> <destination sequence> <base64>`.
const PROOF: &str = "proof ";

/// What follows from destinations.
#[derive(Debug, Default)]
pub struct Followed {
    /// What a funder should know before signing all the same.
    pub exceptions: Vec<String>,
    /// Addresses that come from descriptors, of which none is ever used twice.
    pub derived: BTreeSet<String>,
}

/// The notes of a kind in a text that holds one after the other.
pub fn notes(text: &str, kind: &str) -> Vec<String> {
    let starts_a_line = |at: &usize| *at == 0 || text.as_bytes()[*at - 1] == b'\n';
    let mut starts: Vec<usize> = text.match_indices(kind).map(|(at, _)| at).filter(starts_a_line).collect();
    starts.push(text.len());
    starts.array_windows().map(|[start, end]| text[*start..*end].to_owned()).collect()
}

/// By operator and destination sequence.
type Proofs = BTreeMap<(OperatorId, u64), Vec<u8>>;

/// The proofs of names in such a text, and the text without them.
fn proofs(text: &str) -> Result<(Proofs, String)> {
    let (mut proofs, mut rest) = (Proofs::new(), String::new());
    for line in text.split_inclusive('\n') {
        let Some(fields) = line.strip_prefix(PROOF) else {
            rest.push_str(line);
            continue;
        };
        let &[operator, sequence, proof] = fields.trim_end().split(' ').collect::<Vec<_>>().as_slice() else {
            bail!("--destinations: a line that begins with `proof` has an operator, a number and a proof");
        };
        let proof = BASE64.decode(proof.as_bytes()).context("--destinations: a proof is not base64")?;
        proofs.insert(
            (operator.parse()?, sequence.parse().context("--destinations: a proof's number")?),
            proof,
        );
    }
    Ok((proofs, rest))
}

/// Checks every line of the batch.
///
/// # Errors
/// Names the first line whose address does not follow, and what does.
pub fn check(batch: &Batch, text: &str, public: &Public, delay_seconds: u64) -> Result<Followed> {
    let (proofs, text) = proofs(text)?;
    let mut given = BTreeMap::new();
    for note in notes(&text, Destination::KIND) {
        let signed = Signed::<Destination>::parse(&note).context("--destinations")?;
        let of = (signed.content().operator.clone(), signed.content().sequence);
        given.insert(of, signed);
    }
    let mut followed = Followed::default();
    for line in &batch.lines {
        let what = || format!("line {} {} {}", line.operator, line.grant, line.epoch);
        let of = (line.operator.clone(), line.destination_sequence);
        let Some(signed) = given.get(&of) else {
            bail!(
                "{}: expected destination {} of the operator among --destinations, found none",
                what(),
                line.destination_sequence
            );
        };
        let proof = proofs.get(&of).map(Vec::as_slice);
        in_force(line, signed, public, delay_seconds, &mut followed).with_context(what)?;
        follows(batch, line, signed, public, proof, &mut followed).with_context(what)?;
    }
    followed.exceptions.sort();
    followed.exceptions.dedup();
    Ok(followed)
}

/// The destination is logged, and in force: the newest, or the one before while the newest is not known to be old enough.
fn in_force(
    line: &BatchLine,
    signed: &Signed<Destination>,
    public: &Public,
    delay_seconds: u64,
    followed: &mut Followed,
) -> Result<()> {
    let (destination, hash) = (signed.content(), signed.hash());
    let all = public.record.logged().destinations(&line.operator);
    let Some(logged) = all.iter().find(|logged| logged.sequence == destination.sequence) else {
        bail!(
            "destination: expected one in the record, found none with number {} of operator {}",
            destination.sequence,
            line.operator
        );
    };
    if logged.hash != hash {
        bail!("destination {}: expected the logged note {}, found {hash}", logged.sequence, logged.hash);
    }
    let is_old = |entry: u64| {
        public.seen.since(entry).is_some_and(|since| since.plus_seconds(delay_seconds) <= public.now)
    };
    let newer = all.iter().find(|other| other.sequence > logged.sequence && is_old(other.entry));
    if let Some(newer) = newer {
        bail!(
            "destination: expected number {} of the record, which is in force, found number {}",
            newer.sequence,
            logged.sequence
        );
    }
    if logged.sequence > 1 && !is_old(logged.entry) {
        followed.exceptions.push(format!(
            "destination {} of {} is not known here to be logged for {} hours",
            logged.sequence,
            line.operator,
            delay_seconds / 3_600
        ));
    }
    Ok(())
}

/// The destination is signed, and the address follows from it.
fn follows(
    batch: &Batch,
    line: &BatchLine,
    signed: &Signed<Destination>,
    public: &Public,
    proof: Option<&[u8]>,
    followed: &mut Followed,
) -> Result<()> {
    let destination = signed.content();
    let own = public.record.operator_key(&line.operator);
    let key = own
        .or_else(|| public.record.statement_key())
        .context("destination: the record names no key to check it by")?;
    let by_earlier_key = || public.record.statement_keys().iter().any(|key| signed.verified_by(key).is_ok());
    if own.is_some() || !by_earlier_key() {
        signed.verified_by(key).context("destination")?;
    }
    if own.is_none() {
        followed
            .exceptions
            .push(format!("the destination of {} is not signed by the operator", line.operator));
    }
    let before = public.record.log_keys().before();
    let is_its_log =
        destination.log == batch.log || before.is_some_and(|before| before.names(destination.log.as_str()));
    if destination.network != batch.network || !is_its_log {
        bail!(
            "destination: expected one for {} on {}, found another log or network",
            batch.log,
            batch.network
        );
    }
    let pay = destination.payable().context("destination")?;
    let address = PayoutAddress::parse(&line.address, batch.network)?;
    pay.gives(&address, proof, public.now).context("destination")?;
    if let Pay::Descriptor(_) = pay {
        followed.derived.insert(line.address.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_one_after_the_other_are_told_apart() {
        let one = "wiregrant/destination/v1\nlog x\n\n— a b=\n";
        let text = format!("{one}{one}");
        assert_eq!(notes(&text, Destination::KIND), [one, one]);
        assert!(notes("", Destination::KIND).is_empty());
        assert!(notes("pay wiregrant/destination/v1\n", Destination::KIND).is_empty());
    }

    #[test]
    fn proofs_stand_between_notes_in_lines_of_their_own() {
        let (found, rest) = proofs("wiregrant/destination/v1\nproof nordlicht 2 AAEC\nlog x\n").unwrap();
        assert_eq!(found.get(&("nordlicht".parse().unwrap(), 2)), Some(&vec![0, 1, 2]));
        assert_eq!(rest, "wiregrant/destination/v1\nlog x\n");
        assert!(proofs("proof nordlicht 2 !\n").is_err() && proofs("proof nordlicht\n").is_err());
    }
}
