//! What an auditor needs to recompute a statement's units from closing reports.

use std::collections::BTreeMap;

use crate::credit::Reason;
use crate::note::{self, NoteText, Origin, Reader, Salt, Writer};
use crate::terms::Terms;
use crate::units::parse_number;
use crate::{Bytes, FactError, GrantId, NodeId, OperatorId, Units};

/// One node's part in the closing of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInputs {
    /// Whose node it is.
    pub operator: OperatorId,
    /// The report from which the epoch's bytes are counted (its totals are subtracted); 0 where there is none.
    pub baseline_sequence: u64,
    /// The closing report; `None` where the epoch has none, and then nothing moved.
    pub closing_sequence: Option<u64>,
    /// Assigned devices placed on the node up to the epoch's end.
    pub devices_placed: u64,
    /// What those devices may use, less what was eligible in earlier statements.
    pub allotted: Bytes,
    /// Carried by the last statement.
    pub brought: Bytes,
    /// Bytes of this epoch that count.
    pub eligible: Bytes,
    /// Whole units; `None` while the number is withheld.
    pub units: Option<Units>,
    /// Carried to the next statement.
    pub carried: Bytes,
    /// People behind the number, summed since it was last published, this epoch included.
    pub peers: u64,
    /// Bytes of this epoch that do not count.
    pub disallowed: BTreeMap<Reason, Bytes>,
}

/// The inputs of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The record log.
    pub log: Origin,
    /// The grant.
    pub grant: GrantId,
    /// The epoch that closes.
    pub epoch: u64,
    /// Keeps the hash in the statement from being guessed.
    pub salt: Salt,
    /// Every node admitted to the grant in this epoch.
    pub nodes: BTreeMap<NodeId, NodeInputs>,
}

impl Inputs {
    /// Checks `brought + eligible = units x unit + carried` for every node.
    ///
    /// # Errors
    /// Names the first node for which it does not hold.
    pub fn check(&self, terms: &Terms) -> Result<(), FactError> {
        for (name, node) in &self.nodes {
            let held = u128::from(node.brought.get()).saturating_add(u128::from(node.eligible.get()));
            let paid = u128::from(node.units.unwrap_or_default().get())
                .saturating_mul(u128::from(terms.unit_bytes.get()))
                .saturating_add(u128::from(node.carried.get()));
            if held != paid {
                return Err(FactError::mismatch(format!("node {name}: units x unit + carried"), held, paid));
            }
        }
        Ok(())
    }
}

impl NoteText for Inputs {
    const KIND: &'static str = "wiregrant/inputs/v1";
    const MAX_BYTES: usize = 16 * 1024 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("grant", &[&self.grant]);
        lines.line("epoch", &[&self.epoch]);
        lines.line("salt", &[&self.salt]);
        let node = |(id, n): (&NodeId, &NodeInputs)| {
            let (closing, units) = (note::or_dash(n.closing_sequence), note::or_dash(n.units));
            note::line(
                "node",
                &[
                    id,
                    &n.operator,
                    &n.baseline_sequence,
                    &closing,
                    &n.devices_placed,
                    &n.allotted,
                    &n.brought,
                    &n.eligible,
                    &units,
                    &n.carried,
                    &n.peers,
                ],
            )
        };
        lines.repeated(self.nodes.iter().map(node).collect());
        let disallowed = self.nodes.iter().flat_map(|(id, node)| {
            node.disallowed.iter().map(move |(reason, bytes)| note::line("disallowed", &[id, reason, bytes]))
        });
        lines.repeated(disallowed.collect());
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let log = lines.value("log")?;
        let grant = lines.value("grant")?;
        let epoch = lines.number("epoch")?;
        let salt = lines.value("salt")?;
        let mut nodes = BTreeMap::new();
        for fields in lines.repeated::<11>("node")? {
            let (id, node) = read_node(fields)?;
            if nodes.insert(id, node).is_some() {
                return Err(FactError::mismatch("node", "one line a node", fields[0]));
            }
        }
        for [id, reason, bytes] in lines.repeated("disallowed")? {
            let node = nodes
                .get_mut(&id.parse::<NodeId>()?)
                .ok_or_else(|| FactError::mismatch("disallowed", "a node named above", id))?;
            if node.disallowed.insert(reason.parse()?, bytes.parse()?).is_some() {
                return Err(FactError::mismatch("disallowed", "one line a node and reason", reason));
            }
        }
        Ok(Self { log, grant, epoch, salt, nodes })
    }
}

fn read_node(fields: [&str; 11]) -> Result<(NodeId, NodeInputs), FactError> {
    let [id, operator, baseline, closing, devices, allotted, brought, eligible, units, carried, peers] =
        fields;
    let present = |text| (text != "-").then_some(text);
    let node = NodeInputs {
        operator: operator.parse()?,
        baseline_sequence: parse_number("sequence", baseline)?,
        closing_sequence: present(closing).map(|n| parse_number("sequence", n)).transpose()?,
        devices_placed: parse_number("devices placed", devices)?,
        allotted: allotted.parse()?,
        brought: brought.parse()?,
        eligible: eligible.parse()?,
        units: present(units).map(str::parse).transpose()?,
        carried: carried.parse()?,
        peers: parse_number("peers", peers)?,
        disallowed: BTreeMap::new(),
    };
    Ok((id.parse()?, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let node = NodeInputs {
            operator: "nordlicht".parse().unwrap(),
            baseline_sequence: 3,
            closing_sequence: Some(9),
            devices_placed: 7,
            allotted: Bytes::new(5_000_000).unwrap(),
            brought: Bytes::new(600_000).unwrap(),
            eligible: Bytes::new(2_500_000).unwrap(),
            units: Some(Units::new(3).unwrap()),
            carried: Bytes::new(100_000).unwrap(),
            peers: 5,
            disallowed: BTreeMap::from([(Reason::Invited, Bytes::new(7).unwrap())]),
        };
        let idle =
            NodeInputs { closing_sequence: None, units: None, disallowed: BTreeMap::new(), ..node.clone() };
        Inputs {
            log: "grants.example/record".parse().unwrap(),
            grant: "spring".parse().unwrap(),
            epoch: 2,
            salt: Salt([1; 16]),
            nodes: BTreeMap::from([("node-1".parse().unwrap(), node), ("node-2".parse().unwrap(), idle)]),
        }
    }

    #[test]
    fn inputs_read_as_they_are_written() {
        let text = inputs().text();
        assert!(text.contains("node node-1 nordlicht 3 9 7 5000000 600000 2500000 3 100000 5\n"), "{text}");
        assert_eq!(Inputs::from_text(&text).unwrap(), inputs());
    }

    #[test]
    fn a_byte_that_stands_nowhere_is_found() {
        let mut inputs = inputs();
        inputs.nodes.retain(|_, node| node.units.is_some());
        assert_eq!(inputs.check(&crate::terms::sample()), Ok(()));
        inputs.nodes.values_mut().for_each(|node| node.carried = Bytes::ZERO);
        assert!(inputs.check(&crate::terms::sample()).unwrap_err().to_string().contains("node node-1"));
    }
}
