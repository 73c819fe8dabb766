//! `wiregrant epoch`: closing the stretches of time in which a grant is split.

use anyhow::Result;
use clap::Subcommand;
use wiregrant_core::GrantId;
use wiregrant_core::api::StatementNote;

use super::Everywhere;
use super::statement::{Read, summary};

#[derive(Debug, Subcommand)]
pub enum Epochs {
    /// Close an epoch that is over, into its statement (administrator)
    Close {
        /// The grant's id
        grant: GrantId,
        /// The epoch's number, from 1
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        epoch: u64,
    },
}

impl Epochs {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let Self::Close { grant, epoch } = self;
        let path = format!("/grants/{grant}/epochs/{epoch}/close");
        let nothing = serde_json::Map::new();
        let note: StatementNote = everywhere.control_plane()?.post(&path, &nothing)?;
        let read = Read::from_note(&note, &grant)?;
        everywhere.terminal().answer(&note, || summary(&[read]))
    }
}
