//! Decisions that stand in the imported part of the record, made rows again.
//!
//! The record and public notes hold what was decided in public. What they do not hold is lost with the database: a node that
//! joined after the backup has to join anew, and inputs of a statement cannot be shown to an auditor. Where a decision cannot be
//! made again and going on without it would contradict the record, nothing is imported.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use transparency_log::{Hash, Verifier};
use wiregrant_core::api::NodeState;
use wiregrant_core::ledger;
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_core::rekey::Rekey;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::TermsNote;
use wiregrant_core::{GrantId, NodeId, Sats, Timestamp};
use wiregrant_store::{self as store, Write};

use super::source::Source;
use crate::control_plane::SETTING_STATEMENT_KEY;

/// What a lost decision is told with, at most.
const MAX_TOLD: usize = 20;

/// Writes the rows that follow from entries of the record, numbered from `first`.
///
/// # Errors
/// Entries from which no rows follow; notes that are not public.
pub async fn take_over(
    write: &mut Write,
    source: &Source,
    (first, entries): (u64, &[String]),
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut taking = Taking { source, now, contributions: BTreeMap::new(), lost: Vec::new() };
    let mut refused = Vec::new();
    for (index, entry) in (first..).zip(entries) {
        let parsed: RecordEntry = entry.parse().with_context(|| format!("record entry {index}"))?;
        if !taking.take(write, &parsed).await.with_context(|| format!("record entry {index} `{entry}`"))? {
            refused.push(format!("entry {index} `{entry}`"));
        }
    }
    if !refused.is_empty() {
        let more = refused.len().saturating_sub(MAX_TOLD);
        refused.truncate(MAX_TOLD);
        bail!(
            "the record has decisions that the backup lacks and that do not follow from what is public: {}{}; restore a newer \
             backup. If there is none: `wiregrant-control new-origin`",
            refused.join(", "),
            if more > 0 { format!(" and {more} more") } else { String::new() }
        );
    }
    taking.contribute_the_rest(write).await?;
    for node in taking.lost {
        println!("lost          node {node} joined after the backup; let it join anew");
    }
    Ok(())
}

struct Taking<'a> {
    source: &'a Source,
    now: Timestamp,
    /// Sats that no statement has counted yet.
    contributions: BTreeMap<GrantId, Vec<Sats>>,
    lost: Vec<NodeId>,
}

impl Taking<'_> {
    /// Writes what follows from one entry; `false` where that cannot be.
    async fn take(&mut self, write: &mut Write, entry: &RecordEntry) -> anyhow::Result<bool> {
        match entry {
            RecordEntry::Key { role: KeyRole::Statement, vkey } => {
                write.put_setting(SETTING_STATEMENT_KEY, vkey).await?;
            }
            RecordEntry::Key { role: KeyRole::Log, .. } => {} // see `handed_over`
            RecordEntry::Operator { operator, vkey } => {
                if write.operator(operator).await?.is_none() {
                    write.insert_operator(operator, vkey.as_deref(), self.now).await?;
                }
            }
            RecordEntry::Enrol { node, .. } => self.lost.push(node.clone()),
            RecordEntry::Rekey { node, vkey, note } => self.rekey(write, node, vkey, *note).await?,
            RecordEntry::Retire { node } => self.move_to(write, node, NodeState::Retired).await?,
            RecordEntry::Freeze { node, .. } => self.move_to(write, node, NodeState::Frozen).await?,
            RecordEntry::Unfreeze { node } => self.move_to(write, node, NodeState::Active).await?,
            RecordEntry::Terms { grant, note, first_epoch } => {
                self.terms(write, grant, *note, *first_epoch).await?;
            }
            RecordEntry::Contribute { grant, sats } => {
                self.contributions.entry(grant.clone()).or_default().push(*sats);
            }
            RecordEntry::Admit { grant, node, first_epoch } if !self.lost.contains(node) => {
                self.admit(write, grant, node, *first_epoch).await?;
            }
            RecordEntry::Leave { grant, node, first_epoch } if !self.lost.contains(node) => {
                write.leave(grant, node, *first_epoch).await?;
            }
            RecordEntry::Admit { .. } | RecordEntry::Leave { .. } => {}
            RecordEntry::Statement { grant, epoch, note } => {
                self.statement(write, grant, *epoch, *note).await?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn move_to(&self, write: &mut Write, node: &NodeId, state: NodeState) -> anyhow::Result<()> {
        if !self.lost.contains(node) {
            write.set_node_state(node, state).await?;
        }
        Ok(())
    }

    async fn rekey(&self, write: &mut Write, node: &NodeId, vkey: &str, note: Hash) -> anyhow::Result<()> {
        if self.lost.contains(node) {
            return Ok(());
        }
        let signed = self.source.note::<Rekey>(note)?;
        let key: Verifier = vkey.parse()?;
        let row = store::Rekey {
            note_hash: note,
            node: node.clone(),
            former_key: signed.content().former.public_key(),
            identity_key: key.public_key(),
            rekeyed_at: self.now,
        };
        write.rekey_node(&row, vkey).await?;
        write.put_public_note(signed.note()).await?;
        Ok(())
    }

    /// Terms, of a grant that may be new; a new one's title is lost, and its id stands in its place.
    async fn terms(
        &self,
        write: &mut Write,
        grant: &GrantId,
        note: Hash,
        first_epoch: u64,
    ) -> anyhow::Result<()> {
        let signed = self.source.note::<TermsNote>(note)?;
        match write.terms_versions(grant).await?.last() {
            Some(newest) => {
                let row = store::TermsVersion {
                    version: newest.version.saturating_add(1),
                    first_epoch,
                    note: signed.note().to_owned(),
                    note_hash: note,
                    logged_at: self.now,
                };
                write.insert_terms(grant, &row).await?;
            }
            None => {
                let row = store::Grant {
                    grant_id: grant.clone(),
                    title: grant.to_string(),
                    terms_note: signed.note().to_owned(),
                    terms_hash: note,
                    created_at: self.now,
                };
                write.insert_grant(&row).await?;
                write.delete_draft(grant).await?;
            }
        }
        write.put_public_note(signed.note()).await?;
        let members = write.memberships_of_grant(grant).await?;
        for member in members.iter().filter(|member| member.end_epoch.is_none()) {
            write.bump_revision(&member.node).await?;
        }
        Ok(())
    }

    async fn admit(
        &self,
        write: &mut Write,
        grant: &GrantId,
        node: &NodeId,
        first_epoch: u64,
    ) -> anyhow::Result<()> {
        // A membership whose grant is over has no end of its own, as where nodes are admitted.
        for open in write.memberships_of_node(node).await?.iter().filter(|open| open.end_epoch.is_none()) {
            let row = write.grant(&open.grant_id).await?.context("a membership of no grant")?;
            let terms = crate::membership::terms(&row).map_err(|failure| anyhow::anyhow!("{failure}"))?;
            write.leave(&open.grant_id, node, terms.epochs.saturating_add(1)).await?;
        }
        Ok(write.admit(grant, node, first_epoch, self.now).await?)
    }

    /// A statement with all that follows from its note. Its inputs are gone; what it leaves nodes to count from is computed when
    /// the next epoch is closed, from the reports that are here by then.
    async fn statement(
        &mut self,
        write: &mut Write,
        grant: &GrantId,
        epoch: u64,
        note: Hash,
    ) -> anyhow::Result<()> {
        let signed = self.source.note::<Statement>(note)?;
        let statement = signed.content();
        self.contribute(write, grant, statement).await?;
        let row = store::Statement {
            grant_id: grant.clone(),
            epoch,
            note: signed.note().to_owned(),
            note_hash: note,
            closed_at: self.now,
        };
        write.insert_statement(&row, "").await?;
        write.put_imported_statement(grant, epoch).await?;
        write.put_public_note(signed.note()).await?;
        let mut waiting = write.adjustments(grant).await?;
        waiting.retain(|asked| asked.statement_epoch.is_none());
        for line in &statement.adjustments {
            let taken = waiting.iter().position(|asked| {
                (&asked.operator, asked.sats, &asked.reason, asked.epoch)
                    == (&line.operator, line.sats, &line.reason, line.epoch)
            });
            if let Some(taken) = taken {
                write.take_up_adjustment(grant, waiting.remove(taken).number, epoch).await?;
            }
        }
        Ok(write.enter(&ledger::of_statement(statement)?, self.now).await?)
    }

    /// Sats that the statement counts were there before its epoch began.
    async fn contribute(
        &mut self,
        write: &mut Write,
        grant: &GrantId,
        statement: &Statement,
    ) -> anyhow::Result<()> {
        let Some(waiting) = self.contributions.get_mut(grant) else { return Ok(()) };
        let before = Timestamp::from_unix_seconds(statement.start.unix_seconds().saturating_sub(1))?;
        while let Some(sats) = waiting.first().copied() {
            if write.contributed(grant, Some(statement.start)).await?.plus(sats)? > statement.contributed {
                break;
            }
            waiting.remove(0);
            insert_contribution(write, grant, sats, before).await?;
        }
        Ok(())
    }

    async fn contribute_the_rest(&mut self, write: &mut Write) -> anyhow::Result<()> {
        for (grant, waiting) in std::mem::take(&mut self.contributions) {
            for sats in waiting {
                insert_contribution(write, &grant, sats, self.now).await?;
            }
        }
        Ok(())
    }
}

async fn insert_contribution(
    write: &mut Write,
    grant: &GrantId,
    sats: Sats,
    at: Timestamp,
) -> anyhow::Result<()> {
    write.insert_contribution(grant, sats, at).await?;
    Ok(write.enter(&ledger::of_contribution(grant, sats), at).await?)
}
