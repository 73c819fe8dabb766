//! `wiregrant location`: the places where nodes stand.

use anyhow::Result;
use clap::Subcommand;
use wiregrant_core::LocationId;
use wiregrant_core::api::{List, Location};

use super::Everywhere;
use crate::table::{Column, table};

#[derive(Debug, Subcommand)]
pub enum Locations {
    /// Add a location (administrator)
    Add {
        /// Its id, such as de-fra
        location: LocationId,
        /// Its name for people, such as "Frankfurt, Germany"
        #[arg(long)]
        name: String,
    },
    /// List all locations
    List,
}

impl Locations {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let control_plane = everywhere.control_plane()?;
        match self {
            Self::Add { location, name } => {
                let added: Location = control_plane.post("/locations", &Location { location, name })?;
                everywhere.terminal().answer(&added, || format!("added {}", added.location))
            }
            Self::List => {
                let locations: List<Location> = control_plane.list("/locations")?;
                everywhere.terminal().answer(&locations.items, || {
                    let row = |place: &Location| [place.location.to_string(), place.name.clone()];
                    let rows: Vec<_> = locations.items.iter().map(row).collect();
                    table([Column::Left("location"), Column::Left("name")], &rows, "no locations")
                })
            }
        }
    }
}
