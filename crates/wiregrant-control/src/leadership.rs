//! Leadership: of several replicas on one database, one does the jobs: it closes epochs, follows the chain, forgets what is kept
//! for a while only. When it dies, its session with PostgreSQL ends and another takes over. Two that both believe to lead for a
//! moment do no harm: whatever a job writes, it decides within a transaction that holds the rows it decides from.

use std::sync::atomic::Ordering;
use std::time::Duration;

use wiregrant_store::Lead;

use crate::control_plane::{ControlPlane, Shared};

/// How often a replica asks whether it may lead, and a leader whether it still does, in seconds.
const LOOK_SECONDS: u64 = 1;

/// Gets the lead, keeps it as long as it is held, and gives it up at the end.
pub async fn run(plane: Shared) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut lead: Option<Lead> = None;
    loop {
        lead = turn(&plane, lead).await;
        tell(&plane, lead.as_ref());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
            () = &mut stopped => break,
        }
    }
    tell(&plane, None);
    if let Some(lead) = lead {
        lead.give_up().await;
    }
}

async fn turn(plane: &ControlPlane, lead: Option<Lead>) -> Option<Lead> {
    if let Some(mut lead) = lead {
        if lead.is_held().await {
            return Some(lead);
        }
        tracing::warn!("the session that held the lead is gone; the jobs rest until some replica has it");
        tell(plane, None);
    }
    match plane.store.try_to_lead().await {
        Ok(lead) => lead,
        Err(error) => {
            tracing::debug!(%error, "nobody can be asked for the lead");
            None
        }
    }
}

fn tell(plane: &ControlPlane, lead: Option<&Lead>) {
    let leads = lead.is_some();
    if plane.leading.send_replace(leads) != leads {
        tracing::info!(leads, "the jobs of this control plane");
    }
    plane.figures.leads.store(u64::from(leads), Ordering::Relaxed);
}
