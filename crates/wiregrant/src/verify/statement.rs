//! A grant as the record shows it, and what a statement of it must say.

use std::collections::BTreeMap;

use transparency_log::{Hash, MemoryTree};
use wiregrant_core::note::Origin;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats};
use wiregrant_payout::check_statement;

use super::difference::Difference;
use super::membership::Members;

/// Terms, and the epoch from which they act.
struct InForce {
    first_epoch: u64,
    hash: Hash,
    terms: Terms,
}

/// A grant.
#[derive(Default)]
pub struct Grant {
    terms: Vec<InForce>,
    /// What had been contributed after each `contribute` entry.
    contributed: Vec<Sats>,
    /// Who takes part.
    pub members: Members,
    /// Its statements, from epoch 1 on, with their notes' hashes.
    pub statements: Vec<(Hash, Statement)>,
    /// A note of this grant could not be read, so that what follows it cannot be compared.
    pub broken: bool,
}

/// What a statement is compared with beside its grant.
pub struct Context<'a> {
    /// The record log.
    pub log: &'a str,
    /// The reports log.
    pub reports: &'a MemoryTree,
    /// Every node's operator.
    pub nodes: &'a BTreeMap<NodeId, OperatorId>,
    /// The grant's id.
    pub grant: &'a GrantId,
    /// The epoch that the record names.
    pub epoch: u64,
}

impl Grant {
    /// The hash of the newest terms.
    pub fn newest_terms(&self) -> Option<Hash> {
        self.terms.last().map(|terms| terms.hash)
    }

    /// Puts terms in force.
    pub fn put_in_force(&mut self, first_epoch: u64, hash: Hash, note: &TermsNote) -> Vec<Difference> {
        let mut differs: Vec<Difference> = Vec::new();
        let previous = self.newest_terms().map_or_else(|| "-".to_owned(), |hash| hash.to_string());
        let named = note.previous.map_or_else(|| "-".to_owned(), |hash| hash.to_string());
        differs.extend(Difference::unless_equal("terms: previous", previous, named));
        let closed = self.statements.len() as u64;
        if first_epoch <= closed {
            differs.push(Difference::new(
                "terms: first epoch",
                format!("{} or later", closed.saturating_add(1)),
                first_epoch,
            ));
        }
        self.terms.push(InForce { first_epoch, hash, terms: note.terms.clone() });
        differs
    }

    /// Adds a contribution.
    pub fn contribute(&mut self, sats: Sats) -> Option<Difference> {
        let before = self.contributed.last().copied().unwrap_or_default();
        match before.plus(sats) {
            Ok(sum) => {
                self.contributed.push(sum);
                None
            }
            Err(e) => Some(e.into()),
        }
    }

    fn terms_in(&self, epoch: u64) -> Option<&Terms> {
        self.terms.iter().rev().find(|terms| terms.first_epoch <= epoch).map(|in_force| &in_force.terms)
    }

    /// All that does not follow in a statement that the record names next.
    pub fn differences(&self, statement: &Statement, context: &Context<'_>) -> Vec<Difference> {
        let last = self.statements.last();
        let mut differs = Vec::new();
        let mut equal = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            differs.extend(Difference::unless_equal(what, expected, found));
        };
        equal("log", &context.log, &statement.log);
        equal("grant", context.grant, &statement.grant);
        equal("epoch", &context.epoch, &statement.epoch);
        equal("epoch", &(self.statements.len() as u64).saturating_add(1), &statement.epoch);
        let dash = |hash: Option<Hash>| hash.map_or_else(|| "-".to_owned(), |hash| hash.to_string());
        equal("previous", &dash(last.map(|(hash, _)| *hash)), &dash(statement.previous));
        if let Some((_, last)) = last {
            equal("network", &last.network, &statement.network);
        }
        match self.terms_in(statement.epoch) {
            Some(terms) => {
                let (expected, found) = (terms.numbers(), statement.terms.numbers());
                for (name, number) in &expected {
                    equal(&format!("term {name}"), number, &found.get(name).copied().unwrap_or_default());
                }
            }
            None => equal("terms", &"terms logged for the epoch", &"none"),
        }
        differs.extend(self.contribution(statement));
        differs.extend(nodes(&self.members, statement, context.nodes));
        differs.extend(reports(statement, last.map(|(_, last)| last), context.reports));
        differs.extend(adjustments(statement));
        differs.extend(statement.check_sums(last.map(|(_, last)| last)).err().map(Difference::from));
        differs.extend(check_statement(statement).err().map(Difference::from));
        differs
    }

    /// The record has no times, so that it only shows that the sum was reached by some `contribute` entry, and did not fall.
    fn contribution(&self, statement: &Statement) -> Option<Difference> {
        let least = self.statements.last().map_or(Sats::ZERO, |(_, last)| last.contributed);
        let reached =
            statement.contributed == Sats::ZERO || self.contributed.contains(&statement.contributed);
        if reached && statement.contributed >= least {
            return None;
        }
        let most = self.contributed.last().copied().unwrap_or_default();
        let expected = format!("a sum of the first `contribute` entries, from {least} to {most}");
        Some(Difference::new("contributed", expected, statement.contributed))
    }
}

fn nodes(members: &Members, statement: &Statement, of: &BTreeMap<NodeId, OperatorId>) -> Vec<Difference> {
    let admitted = members.in_epoch(statement.epoch);
    let mut differs = Vec::new();
    for node in admitted.iter().filter(|node| !statement.nodes.contains_key(*node)) {
        differs.push(Difference::new(format!("node {node}"), "a line, because it is admitted", "none"));
    }
    for (node, line) in &statement.nodes {
        if !admitted.contains(node) {
            differs.push(Difference::new(
                format!("node {node}"),
                "no line, because it is not admitted",
                "one",
            ));
        }
        let enrolled = of.get(node).map_or_else(|| "an enrolled node".to_owned(), ToString::to_string);
        differs.extend(Difference::unless_equal(&format!("node {node}: operator"), enrolled, &line.operator));
    }
    differs
}

fn reports(statement: &Statement, last: Option<&Statement>, log: &MemoryTree) -> Option<Difference> {
    let least = last.map_or(0, |last| last.reports_size);
    let size = statement.reports_size;
    if size < least || size > log.size() {
        return Some(Difference::new("reports: size", format!("{least} to {}", log.size()), size));
    }
    match log.root_at(size) {
        Ok(root) => Difference::unless_equal("reports: root", root, statement.reports_root),
        Err(e) => Some(Difference::new("reports: root", "a root", e)),
    }
}

fn adjustments(statement: &Statement) -> Vec<Difference> {
    let early = |epoch: u64| (1..statement.epoch).contains(&epoch);
    let wrong = statement.adjustments.iter().filter(|adjustment| !early(adjustment.epoch));
    wrong
        .map(|adjustment| {
            let what = format!("adjust {}: epoch", adjustment.operator);
            Difference::new(what, format!("an epoch before {}", statement.epoch), adjustment.epoch)
        })
        .collect()
}

/// Whether terms belong to this log and grant.
pub fn terms_differences(note: &TermsNote, log: &Origin, grant: &GrantId) -> Vec<Difference> {
    let log = Difference::unless_equal("log", log, &note.log);
    log.into_iter().chain(Difference::unless_equal("grant", grant, &note.grant)).collect()
}
