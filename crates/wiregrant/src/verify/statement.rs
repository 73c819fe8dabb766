//! A grant as the record shows it, and what a statement of it must say.

use std::collections::BTreeMap;

use transparency_log::Hash;
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
    /// How many statements the record names.
    closed: u64,
    /// The newest statement and its note's hash; without nodes, which no later one refers to.
    last: Option<(Hash, Statement)>,
    /// A note of this grant could not be read, so that what follows it cannot be compared.
    pub broken: bool,
}

/// What a statement is compared with beside its grant.
pub struct Context<'a> {
    /// The record log.
    pub log: &'a str,
    /// Every node's operator.
    pub nodes: &'a BTreeMap<NodeId, OperatorId>,
    /// The grant's id.
    pub grant: &'a GrantId,
    /// The epoch that the record names.
    pub epoch: u64,
    /// Sats of lines that were forfeited since the statement before.
    pub forfeited: Sats,
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
        let closed = self.closed;
        if first_epoch <= closed {
            differs.push(Difference::new(
                "terms: first epoch",
                format!("{} or later", closed.saturating_add(1)),
                first_epoch,
            ));
        }
        if let Some(before) = self.terms.last() {
            differs.extend(note.terms.may_follow(&before.terms, first_epoch).err().map(Difference::from));
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

    /// The size of the reports log that the last statement names.
    pub fn reports_size(&self) -> u64 {
        self.last.as_ref().map_or(0, |(_, last)| last.reports_size)
    }

    /// Takes a statement as the newest.
    pub fn close(&mut self, hash: Hash, mut statement: Statement) {
        self.closed = self.closed.saturating_add(1);
        statement.nodes.clear();
        self.last = Some((hash, statement));
    }

    /// All that does not follow in a statement that the record names next, except that its reports are a state of the
    /// reports log.
    pub fn differences(&self, statement: &Statement, context: &Context<'_>) -> Vec<Difference> {
        let last = self.last.as_ref();
        let mut differs = Vec::new();
        let mut equal = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            differs.extend(Difference::unless_equal(what, expected, found));
        };
        equal("log", &context.log, &statement.log);
        equal("grant", context.grant, &statement.grant);
        equal("epoch", &context.epoch, &statement.epoch);
        equal("epoch", &self.closed.saturating_add(1), &statement.epoch);
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
        differs.extend(adjustments(statement));
        differs.extend(
            statement.check_sums(last.map(|(_, last)| last), context.forfeited).err().map(Difference::from),
        );
        differs.extend(check_statement(statement).err().map(Difference::from));
        differs
    }

    /// The record has no times, so that it only shows that the sum was reached by some `contribute` entry, and did not fall.
    fn contribution(&self, statement: &Statement) -> Option<Difference> {
        let least = self.last.as_ref().map_or(Sats::ZERO, |(_, last)| last.contributed);
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
        if !admitted.contains(node) && !members.were_there_before(node, statement.epoch) {
            differs.push(Difference::new(
                format!("node {node}"),
                "no line, because it never took part",
                "one",
            ));
        }
        let enrolled = of.get(node).map_or_else(|| "an enrolled node".to_owned(), ToString::to_string);
        differs.extend(Difference::unless_equal(&format!("node {node}: operator"), enrolled, &line.operator));
    }
    differs
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
