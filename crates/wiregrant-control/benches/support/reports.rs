//! Reports written straight into the database, each with its entry in the log.

use transparency_log::Checkpoint;
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_core::note::Signed;
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store::{Log, Report};

/// Keeps these in one transaction, under one checkpoint.
pub async fn keep(plane: &ControlPlane, notes: &[Signed<UsageReport>]) {
    let mut write = plane.store.write().await.expect("its turn");
    let entries: Vec<String> = notes.iter().map(|note| report_entry(note.hash())).collect();
    let appended = write.append(Log::Reports, &entries).await.expect("entries");
    let size = appended.edge.size();
    let checkpoint =
        Checkpoint { origin: plane.keys.reports.name().to_owned(), size, root: appended.edge.root() };
    let checkpoint = checkpoint.sign(&plane.keys.reports).expect("a checkpoint");
    write.put_checkpoint(Log::Reports, size, &checkpoint).await.expect("a checkpoint");
    let rows: Vec<Report> =
        (appended.first_index..).zip(notes).map(|(at, note)| row(note, at, size)).collect();
    write.insert_reports(&rows).await.expect("reports");
    write.commit().await.expect("kept");
}

fn row(note: &Signed<UsageReport>, log_index: u64, acked_size: u64) -> Report {
    let report = note.content();
    Report {
        node: report.node.clone(),
        sequence: report.sequence,
        note: note.note().to_owned(),
        note_hash: note.hash(),
        log_index,
        acked_size,
        epoch_grant: report.epoch.as_ref().map(|epoch| epoch.grant.clone()),
        epoch_number: report.epoch.as_ref().map(|epoch| epoch.number),
        start_at: report.start,
        end_at: report.end,
        received_at: report.end,
    }
}
