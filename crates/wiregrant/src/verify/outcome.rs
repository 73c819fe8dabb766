//! What a check came to: for people, for programs, and as an exit code.

use std::fmt;

use serde::Serialize;

use super::audit::Audited;
use super::finding::{Finding, Findings};
use super::log::PublicLog;
use crate::mirror::Copied;
use crate::table::{Column, facts, table, thousands};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Ok,
    Findings,
    #[default]
    CouldNotCheck,
}

#[derive(Debug, Serialize)]
struct LogSummary {
    origin: String,
    size: u64,
    root: String,
}

/// The answer of `wiregrant verify`.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    record: Option<LogSummary>,
    reports: Option<LogSummary>,
    /// How many statements were checked.
    pub statements: u64,
    /// What does not hold.
    pub findings: Vec<Finding>,
    /// How much a mirror fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// What was audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited: Option<Audited>,
    /// How many transactions were looked up on the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<u64>,
    /// What nobody should take as checked.
    pub not_checked: Vec<String>,
}

impl Outcome {
    /// The check could not be made.
    pub fn could_not_check(reason: String) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// What was read, and what follows from that for what was not checked.
    pub fn describe(
        &mut self,
        record: Option<&PublicLog>,
        reports: Option<&PublicLog>,
        demanded: Option<String>,
    ) {
        let kept = record.and_then(|log| log.kept).zip(reports.and_then(|log| log.kept));
        self.not_checked.push(match (demanded, kept) {
            (Some(witnesses), _) => {
                format!("whether the witnesses conspire with the control plane: {witnesses} have cosigned this history")
            }
            (None, Some((record, reports))) => format!(
                "history before the checkpoints kept here ({record} record and {reports} report entries): it is as it was \
                 first seen, and no witnesses were demanded"
            ),
            (None, None) => "history: without a kept checkpoint or witnesses a rewritten history looks whole; run this again later"
                .to_owned(),
        });
        if let Some(resumed) = reports.map(|log| log.resumed).filter(|resumed| *resumed > 0) {
            self.not_checked.push(format!(
                "the files of the first {resumed} reports as they are now: a run that was cut off read them, and this one went on"
            ));
        }
        self.not_checked.extend(
            [
                "when things were logged: the record carries no times",
                "that pages, CSV and JSON show what the statements say: only that they are the signed ones",
            ]
            .map(str::to_owned),
        );
        self.record = record.map(summary);
        self.reports = reports.map(summary);
    }

    /// What was checked beside what is public, and what was not.
    pub fn beside(&mut self, audited: Option<Audited>, transactions: Option<u64>) {
        match audited {
            None => self
                .not_checked
                .push("units against nodes' closing reports (these are not public)".to_owned()),
            Some(Audited { withheld: 0, .. }) => {}
            Some(Audited { withheld, .. }) => {
                self.not_checked
                    .push(format!("{withheld} withheld number(s) of nodes, whose reports are not shown"));
            }
        }
        if transactions.is_none() {
            self.not_checked.push("transactions on the chain (--chain)".to_owned());
        }
        (self.audited, self.transactions) = (audited, transactions);
    }

    /// Batches that are not paid have no public note.
    pub fn unpaid_batches(&mut self, count: usize) {
        if count > 0 {
            self.not_checked.push(format!("{count} batch(es) that are not paid: their notes are not public"));
        }
    }

    /// The end of a check that could be made.
    pub fn conclude(&mut self, findings: Findings) {
        self.findings = findings.into_list();
        self.result = if self.findings.is_empty() { Verdict::Ok } else { Verdict::Findings };
    }

    /// 0 all holds, 1 something does not, 2 could not check.
    pub fn exit_code(&self) -> u8 {
        match self.result {
            Verdict::Ok => 0,
            Verdict::Findings => 1,
            Verdict::CouldNotCheck => 2,
        }
    }
}

fn summary(log: &PublicLog) -> LogSummary {
    let checkpoint = &log.checkpoint;
    LogSummary { origin: checkpoint.origin.clone(), size: checkpoint.size, root: checkpoint.root.to_string() }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = |name: &str, log: &Option<LogSummary>| {
            let row = |log: &LogSummary| {
                [name.to_owned(), log.origin.clone(), thousands(log.size), log.root.clone()]
            };
            log.as_ref().map(row)
        };
        let rows: Vec<_> =
            [log("record", &self.record), log("reports", &self.reports)].into_iter().flatten().collect();
        let columns =
            [Column::Left("log"), Column::Left("origin"), Column::Right("entries"), Column::Left("root")];
        if !rows.is_empty() {
            writeln!(f, "{}", table(columns, &rows, ""))?;
        }
        if let Some(Copied { files, bytes }) = self.copied {
            writeln!(f, "copied: {} files, {} bytes", thousands(files), thousands(bytes))?;
        }
        if let Some(Audited { statements, reports, nodes, .. }) = self.audited {
            let (reports, nodes) = (thousands(reports), thousands(nodes));
            writeln!(f, "audited: {statements} statements, {reports} reports, {nodes} numbers")?;
        }
        if let Some(transactions) = self.transactions {
            writeln!(f, "transactions: {transactions} looked up on the chain")?;
        }
        for finding in &self.findings {
            writeln!(f, "finding: {finding}")?;
        }
        for skipped in &self.not_checked {
            writeln!(f, "not checked: {skipped}")?;
        }
        let result = match self.result {
            Verdict::Ok => "ok: all of this holds".to_owned(),
            Verdict::Findings => format!("{} finding(s)", self.findings.len()),
            Verdict::CouldNotCheck => {
                format!("could not check: {}", self.reason.as_deref().unwrap_or("no reason is known"))
            }
        };
        f.write_str(&facts(&[("statements", thousands(self.statements)), ("result", result)]))
    }
}
