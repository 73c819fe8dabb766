//! The batch note: the frozen set of payout lines that one transaction pays.

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::Hash;
use wiregrant_core::note::{self, Network, NoteText, Origin, Reader, Salt, Writer};
use wiregrant_core::units::parse_number;
use wiregrant_core::{BatchId, FactError, GrantId, OperatorId, Sats};

use crate::{PayoutAddress, PayoutError, secret};

/// One operator's sats of one statement, with the address they go to, as it was when the batch was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLine {
    /// Who is paid.
    pub operator: OperatorId,
    /// The grant that pays.
    pub grant: GrantId,
    /// The epoch of the statement.
    pub epoch: u64,
    /// How much.
    pub sats: Sats,
    /// Where to, in canonical form ([`PayoutAddress`] shows it so).
    pub address: String,
    /// The destination note the address follows from.
    pub destination_sequence: u64,
}

impl BatchLine {
    fn text(&self) -> String {
        note::line(
            "line",
            &[
                &self.operator,
                &self.grant,
                &self.epoch,
                &self.sats,
                &self.address,
                &self.destination_sequence,
            ],
        )
    }

    /// `operator grant epoch`: what a line is for, and what may be paid once only.
    fn key(&self) -> (&OperatorId, &GrantId, u64) {
        (&self.operator, &self.grant, self.epoch)
    }
}

/// What goes to one script: the lines of one address, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payee {
    pub(crate) address: PayoutAddress,
    pub(crate) sats: Sats,
    pub(crate) operators: BTreeSet<OperatorId>,
}

/// The note `wiregrant/batch/v1`, signed by the statement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The record log.
    pub log: Origin,
    /// Where it pays.
    pub network: Network,
    /// Its id.
    pub batch: BatchId,
    /// The batch it stands in for.
    pub replaces: Option<BatchId>,
    /// The record log's size when it was frozen.
    pub record_size: u64,
    /// The record log's root then.
    pub record_root: Hash,
    /// Keeps the hash of an unpaid batch, which is public, from being guessed.
    pub salt: Salt,
    /// Who is paid what. Sorted bytewise as text once [`Self::checked`].
    pub lines: Vec<BatchLine>,
    /// The sum of all lines.
    pub total: Sats,
}

impl Batch {
    /// The most lines of a batch: about 37,000 vB, well within what nodes relay as one transaction.
    pub const MAX_LINES: usize = 1_000;

    /// Sorts the lines as the note orders them, and checks everything the note promises: 1 to [`Self::MAX_LINES`] lines,
    /// no two of one operator, grant and epoch, each with sats and a canonical address of the network; `total` is their
    /// sum.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn checked(mut self) -> Result<Self, PayoutError> {
        self.lines.sort_by_cached_key(BatchLine::text);
        self.payees()?;
        Ok(self)
    }

    /// The same checks; the sums by script, in the order of the scripts' bytes.
    pub(crate) fn payees(&self) -> Result<BTreeMap<bitcoin::ScriptBuf, Payee>, PayoutError> {
        if self.lines.is_empty() {
            return Err(PayoutError::mismatch("line", "at least one line", "none"));
        }
        if self.lines.len() > Self::MAX_LINES {
            let found = self.lines.len();
            return Err(PayoutError::TooMany { what: "lines of a batch", found, limit: Self::MAX_LINES });
        }
        if self.replaces.as_ref() == Some(&self.batch) {
            return Err(PayoutError::mismatch("replaces", "another batch", &self.batch));
        }
        let mut seen = BTreeSet::new();
        let mut payees: BTreeMap<bitcoin::ScriptBuf, Payee> = BTreeMap::new();
        for line in &self.lines {
            let address = self.checked_line(line)?;
            if !seen.insert(line.key()) {
                let (operator, grant, epoch) = line.key();
                let what = format!("line {operator} {grant} {epoch}");
                return Err(PayoutError::mismatch(
                    what,
                    "one line",
                    "two: the same sats would be paid twice",
                ));
            }
            let payee = payees.entry(address.script_pubkey()).or_insert_with(|| Payee {
                address,
                sats: Sats::ZERO,
                operators: BTreeSet::new(),
            });
            payee.sats = payee.sats.plus(line.sats)?;
            payee.operators.insert(line.operator.clone());
        }
        let total = Sats::total(self.lines.iter().map(|line| line.sats))?;
        if total != self.total {
            return Err(PayoutError::mismatch("total", total, self.total));
        }
        Ok(payees)
    }

    fn checked_line(&self, line: &BatchLine) -> Result<PayoutAddress, PayoutError> {
        let what = |part: &str| format!("line {} {} {}: {part}", line.operator, line.grant, line.epoch);
        if line.sats == Sats::ZERO {
            return Err(PayoutError::mismatch(what("sats"), "at least 1", line.sats));
        }
        if line.destination_sequence == 0 {
            return Err(PayoutError::mismatch(what("destination sequence"), "1 or more", 0));
        }
        let address = PayoutAddress::parse(&line.address, self.network)?;
        if address.to_string() != line.address {
            return Err(PayoutError::mismatch(what("address"), &address, &line.address));
        }
        Ok(address)
    }
}

impl NoteText for Batch {
    const KIND: &'static str = "wiregrant/batch/v1";
    const MAX_BYTES: usize = 16 * 1024 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("network", &[&self.network]);
        lines.line("batch", &[&self.batch]);
        lines.line("replaces", &[&note::or_dash(self.replaces.as_ref())]);
        lines.line("record", &[&self.record_size, &self.record_root]);
        lines.line("salt", &[&self.salt]);
        lines.repeated(self.lines.iter().map(BatchLine::text).collect());
        lines.line("total", &[&self.total]);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let log = lines.value("log")?;
        let network = lines.value("network")?;
        let batch = lines.value("batch")?;
        let replaces = lines.optional("replaces")?;
        let [size, root] = lines.fields("record")?;
        let read = Self {
            log,
            network,
            batch,
            replaces,
            record_size: parse_number("record", size)?,
            record_root: note::parse_hash("record", root)?,
            salt: lines.value("salt")?,
            lines: lines.repeated("line")?.into_iter().map(read_line).collect::<Result<_, _>>()?,
            total: lines.value("total")?,
        };
        read.checked().map_err(|e| e.in_note("batch", "lines that can be paid"))
    }
}

fn read_line(
    [operator, grant, epoch, sats, address, destination_sequence]: [&str; 6],
) -> Result<BatchLine, FactError> {
    if let Some(kind) = secret::kind(address) {
        return Err(
            PayoutError::LooksLikeASecret { field: "address", kind }.in_note("line", "a receiving address")
        );
    }
    Ok(BatchLine {
        operator: operator.parse()?,
        grant: grant.parse()?,
        epoch: parse_number("epoch", epoch)?,
        sats: sats.parse()?,
        address: address.to_owned(),
        destination_sequence: parse_number("destination sequence", destination_sequence)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const ADDRESSES: [&str; 4] = [
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
        "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    ];

    pub(crate) fn line(operator: &str, sats: u64, address: &str) -> BatchLine {
        BatchLine {
            operator: operator.parse().unwrap(),
            grant: "spring".parse().unwrap(),
            epoch: 1,
            sats: Sats::new(sats).unwrap(),
            address: address.into(),
            destination_sequence: 1,
        }
    }

    pub(crate) fn batch(lines: Vec<BatchLine>) -> Batch {
        Batch {
            log: "grants.example/record".parse().unwrap(),
            network: Network::Regtest,
            batch: "spring-1".parse().unwrap(),
            replaces: None,
            record_size: 41,
            record_root: Hash::of(b"record"),
            salt: Salt([0; 16]),
            total: Sats::total(lines.iter().map(|line| line.sats)).unwrap(),
            lines,
        }
    }

    fn sample() -> Batch {
        batch(vec![line("polaris", 40_000, ADDRESSES[1]), line("nordlicht", 60_000, ADDRESSES[0])])
    }

    #[test]
    fn a_batch_reads_as_it_was_written_with_its_lines_sorted() {
        let text = sample().text();
        assert_eq!(
            text,
            format!(
                "wiregrant/batch/v1\nlog grants.example/record\nnetwork regtest\nbatch spring-1\nreplaces -\n\
                 record 41 {}\nsalt AAAAAAAAAAAAAAAAAAAAAA==\nline nordlicht spring 1 60000 {} 1\n\
                 line polaris spring 1 40000 {} 1\ntotal 100000\n",
                Hash::of(b"record"),
                ADDRESSES[0],
                ADDRESSES[1],
            )
        );
        assert_eq!(Batch::from_text(&text).unwrap(), sample().checked().unwrap());
    }

    #[test]
    fn whatever_could_pay_wrongly_is_refused_with_its_line() {
        let twice = batch(vec![line("polaris", 1_000, ADDRESSES[0]), line("polaris", 2_000, ADDRESSES[1])]);
        let many = (0..=Batch::MAX_LINES).map(|n| line(&format!("op-{n}"), 1_000, ADDRESSES[0])).collect();
        for (wrong, hint) in [
            (Batch { total: Sats::new(99_999).unwrap(), ..sample() }, "total: expected 100000, found 99999"),
            (Batch { network: Network::Bitcoin, ..sample() }, "regtest"),
            (Batch { replaces: Some("spring-1".parse().unwrap()), ..sample() }, "another batch"),
            (twice, "line polaris spring 1"),
            (batch(many), "1001, at most 1000"),
            (batch(vec![]), "at least one"),
            (batch(vec![line("polaris", 0, ADDRESSES[0])]), "sats"),
            (
                batch(vec![BatchLine { destination_sequence: 0, ..line("polaris", 1, ADDRESSES[0]) }]),
                "destination",
            ),
            (batch(vec![line("polaris", 1, &ADDRESSES[0].to_uppercase())]), ADDRESSES[0]),
        ] {
            let read = Batch::from_text(&wrong.text()).unwrap_err().to_string();
            assert!(read.contains(hint), "{read}");
            let checked = wrong.checked().unwrap_err().to_string();
            assert!(checked.contains(hint), "{checked}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_as_it_came(noise in "\\PC{0,60}", at in 0usize..400, cut in 0usize..80) {
            let mut text = sample().text();
            let at = at.min(text.len());
            let end = at.saturating_add(cut).min(text.len());
            text.replace_range(at..end, &noise);
            for candidate in [noise, text] {
                if let Ok(read) = Batch::from_text(&candidate) {
                    prop_assert_eq!(read.text(), candidate);
                }
            }
        }
    }
}
