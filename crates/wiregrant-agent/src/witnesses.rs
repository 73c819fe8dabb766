//! `Witnesses`: who must have cosigned what a log shows, as it is given on the command line.

use clap::Args;
use transparency_log::{CosignerVerifier, LogError, WitnessPolicy};

/// Whose cosignatures are demanded.
#[derive(Debug, Clone, Default, Args)]
pub struct Witnesses {
    /// A witness's key, from somebody you trust; checkpoints that too few of them cosigned are refused. May be given more than
    /// once.
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<CosignerVerifier>,
    /// How many of the witnesses must have cosigned [default: all].
    #[arg(long, value_name = "K", requires = "witnesses")]
    witnesses_required: Option<usize>,
}

impl Witnesses {
    /// The demand; `None` where no witness is named.
    ///
    /// # Errors
    /// When so many are demanded as there are not, or one is named twice.
    pub fn policy(&self) -> Result<Option<WitnessPolicy>, LogError> {
        if self.witnesses.is_empty() {
            return Ok(None);
        }
        let required = self.witnesses_required.unwrap_or(self.witnesses.len());
        WitnessPolicy::new(self.witnesses.clone(), required).map(Some)
    }
}
