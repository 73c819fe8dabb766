//! The page of one epoch: its statement line by line, node by node.

use askama::Template;
use serde::Serialize;
use wiregrant_core::statement::Statement;
use wiregrant_core::{Bytes, FactError, GrantId, LocationId, NodeId, OperatorId, Sats, Timestamp, Units};

use super::{GrantReport, bytes_of};
use crate::pages::frame::Frame;
use crate::pages::show::{self, grouped};

/// A node's line of a statement.
#[derive(Debug, Clone, Serialize)]
pub struct NodeReport {
    /// The node.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// Where it stands.
    pub location: LocationId,
    /// Nodes of one network share a number, drawn anew for each statement.
    pub site: u64,
    /// What it is paid for; none while too few people stand behind the number.
    pub units: Option<Units>,
    /// The same in bytes.
    pub credited_bytes: Option<Bytes>,
}

/// `epoch.html`, `epoch.json` and `nodes.csv`: what follows from one statement alone, and so never changes.
#[derive(Debug, Clone, Serialize, Template)]
#[template(path = "epoch.html")]
pub struct EpochPage {
    /// What stands around the page.
    #[serde(skip)]
    pub frame: Frame,
    /// The grant.
    pub grant: GrantId,
    /// The grant's title.
    pub title: String,
    /// The epoch.
    pub epoch: u64,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// The statement's name under `/log/note/`.
    pub statement: String,
    /// Its pot.
    pub pot_sats: Sats,
    /// What nobody earned of it.
    pub unspent_sats: Sats,
    /// How much a unit is, in bytes.
    pub unit_bytes: Bytes,
    /// Its nodes, by id.
    pub nodes: Vec<NodeReport>,
}

impl EpochPage {
    /// Reads one statement.
    ///
    /// # Errors
    /// [`FactError::Overflow`] when a node's bytes do not fit, which signed ones do.
    pub fn of(frame: Frame, title: String, statement: &Statement, hash: String) -> Result<Self, FactError> {
        let nodes = statement.nodes.iter().map(|(node, line)| {
            Ok(NodeReport {
                node: node.clone(),
                operator: line.operator.clone(),
                location: line.location.clone(),
                site: line.site,
                units: line.units,
                credited_bytes: line.units.map(|units| bytes_of(units, &statement.terms)).transpose()?,
            })
        });
        Ok(Self {
            frame,
            grant: statement.grant.clone(),
            title,
            epoch: statement.epoch,
            start: statement.start,
            end: statement.end,
            statement: hash,
            pot_sats: statement.pot,
            unspent_sats: statement.unspent,
            unit_bytes: statement.terms.unit_bytes,
            nodes: nodes.collect::<Result<_, FactError>>()?,
        })
    }

    /// One line a node, integers in full; empty where the number is withheld.
    #[must_use]
    pub fn csv(&self) -> String {
        use std::fmt::Write as _;
        let mut csv = "node,operator,location,site,units,credited_bytes\n".to_owned();
        for node in &self.nodes {
            let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
            writeln!(
                csv,
                "{},{},{},{},{},{}",
                node.node,
                node.operator,
                node.location,
                node.site,
                number(node.units.map(Units::get)),
                number(node.credited_bytes.map(Bytes::get))
            )
            .expect("writing to a string does not fail");
        }
        csv
    }

    /// Where the page lies below the grant's folder.
    #[must_use]
    pub fn folder(epoch: u64) -> String {
        format!("epoch-{epoch}")
    }

    fn sats(&self, sats: &Sats) -> String {
        grouped(sats.get())
    }

    fn time(&self, time: &Timestamp) -> String {
        show::time(time)
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its numbers are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let report = GrantReport::sample();
        let newest = &report.epochs[0];
        let node = |node: &str, operator: &str, location: &str, units: Option<u64>| NodeReport {
            node: node.parse().expect(fixed),
            operator: operator.parse().expect(fixed),
            location: location.parse().expect(fixed),
            site: 1,
            units: units.map(|units| Units::new(units).expect(fixed)),
            credited_bytes: units.map(|units| Bytes::new(units * 1_000_000).expect(fixed)),
        };
        Self {
            frame: Frame::public("Grants for free networks", "../../../"),
            grant: report.grant.clone(),
            title: report.title.clone(),
            epoch: newest.epoch,
            start: newest.start,
            end: newest.end,
            statement: newest.statement.clone(),
            pot_sats: newest.pot_sats,
            unspent_sats: newest.unspent_sats,
            unit_bytes: report.terms.unit_bytes,
            nodes: vec![
                node("node-3kq8", "nordlicht", "de-fra", Some(812_345)),
                node("node-7x2m", "nordlicht", "is-rkv", None),
                node("node-9d4w", "suedwind", "nl-ams", Some(455_001)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_number_is_withheld_says_so_and_has_none() {
        let page = EpochPage::sample();
        assert!(page.render().unwrap().contains("withheld"));
        assert_eq!(page.csv().lines().nth(2), Some("node-7x2m,nordlicht,is-rkv,1,,"));
        assert_eq!(serde_json::to_value(&page).unwrap()["nodes"][1]["units"], serde_json::Value::Null);
    }
}
