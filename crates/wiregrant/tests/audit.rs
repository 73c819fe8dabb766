//! `wiregrant verify` for an auditor: units follow from inputs and signed closing reports, and whatever does not is named.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::record::{ORIGIN, Story, key, reports_root};
use support::server::{Answer, Server};
use support::{Run, wiregrant};
use tempfile::TempDir;
use transparency_log::{Hash, SigningKey};
use wiregrant_core::api::{AuditReport, AuditReports};
use wiregrant_core::credit::{NodeEpoch, credit};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::inputs::{Inputs, NodeInputs};
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, NodeId};

fn bytes(number: u64) -> Bytes {
    Bytes::new(number).unwrap()
}

/// A record whose statements follow from reports, and what an auditor is given of it.
struct Audited {
    story: Story,
    /// By epoch.
    inputs: Vec<Inputs>,
    /// By epoch.
    reports: Vec<Vec<AuditReport>>,
}

/// A node's report of an epoch: what it moved in all, and who stands behind it.
fn report(
    node: &str,
    key: &SigningKey,
    epoch: u64,
    total: u64,
    peers: PeersBucket,
    previous: Option<Hash>,
) -> Signed<UsageReport> {
    let (received, sent) = (bytes(total / 4), bytes(total - total / 4));
    let line = Usage { received, sent, creditable: bytes(total) };
    let report = UsageReport {
        log: ORIGIN.parse().unwrap(),
        node: node.parse().unwrap(),
        operator: if node == "node-1" { "nordlicht" } else { "polaris" }.parse().unwrap(),
        sequence: epoch,
        previous,
        salt: Salt([u8::try_from(epoch).unwrap(); 16]),
        start: "2026-07-06T12:00:00Z".parse().unwrap(),
        end: "2026-07-06T12:01:00Z".parse().unwrap(),
        epoch: Some(EpochLabel { grant: "spring".parse().unwrap(), number: epoch }),
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers,
        tree: None,
        usage: UsageTable::from([((Service::WireGuard, Class::Assigned), line)]),
    };
    Signed::sign(report, key).unwrap()
}

impl Audited {
    /// The second node's first number is withheld, and published with its second one.
    fn honest() -> Self {
        let mut story = Story::honest();
        let terms = story.statement(1).terms.clone();
        let lives = [
            ("node-1", 4, [(3_500_000, PeersBucket::FiveToNine), (10_200_000, PeersBucket::FiveToNine)]),
            ("node-2", 5, [(900_000, PeersBucket::OneToFour), (2_200_000, PeersBucket::FiveToNine)]),
        ];
        let mut inputs: Vec<BTreeMap<NodeId, NodeInputs>> = vec![BTreeMap::new(), BTreeMap::new()];
        let mut reports = vec![Vec::new(), Vec::new()];
        for (number, (node, seed, epochs)) in lives.into_iter().enumerate() {
            let (mut before, mut previous, mut carried, mut people) =
                (UsageTable::new(), None, Bytes::ZERO, 0);
            for (at, (total, peers)) in epochs.into_iter().enumerate() {
                let signed = report(node, &key(node, seed), at as u64 + 1, total, peers, previous);
                let index = 100 + 100 * at + number;
                story.reports[index] = report_entry(signed.hash());
                previous = Some(signed.hash());
                let moved = wiregrant_core::credit::moved_between(&before, &signed.content().usage).unwrap();
                before = signed.content().usage.clone();
                let epoch = NodeEpoch {
                    moved,
                    peers,
                    devices_placed: 7,
                    allotted: bytes(100_000_000),
                    moved_seconds: 604_800,
                    is_found: false,
                    brought: carried,
                    brought_peers: people,
                };
                let credited = credit(&epoch, &terms).unwrap();
                (carried, people) =
                    (credited.carried, if credited.units.is_none() { credited.peers } else { 0 });
                let line = NodeInputs {
                    operator: signed.content().operator.clone(),
                    baseline_sequence: at as u64,
                    closing_sequence: Some(at as u64 + 1),
                    devices_placed: 7,
                    allotted: epoch.allotted,
                    brought: epoch.brought,
                    eligible: credited.eligible,
                    units: credited.units,
                    carried: credited.carried,
                    peers: credited.peers,
                    disallowed: credited.disallowed,
                };
                inputs[at].insert(node.parse().unwrap(), line);
                reports[at].push(AuditReport { log_index: index as u64, note: signed.note().to_owned() });
            }
        }
        let note = |(at, nodes)| Inputs {
            log: ORIGIN.parse().unwrap(),
            grant: "spring".parse().unwrap(),
            epoch: at as u64 + 1,
            salt: Salt([8; 16]),
            nodes,
        };
        let inputs: Vec<Inputs> = inputs.into_iter().enumerate().map(note).collect();
        Self { story, inputs, reports }
    }

    /// Lays the record into `public` and what the auditor is given into `audit`.
    fn lay(&self, folder: &Path) {
        let mut story = self.story.clone();
        for (at, size) in [(1, 120), (2, 290)].into_iter().take(self.inputs.len()) {
            let root = reports_root(&story.reports, size);
            story.statement(at).reports_root = root;
        }
        for (at, (inputs, reports)) in self.inputs.iter().zip(&self.reports).enumerate() {
            let signed = Signed::sign(inputs.clone(), &story.statement_key).unwrap();
            story.statement(at as u64 + 1).inputs = signed.hash();
            let folder = folder.join(format!("audit/grants/spring/epochs/{}", at + 1));
            fs::create_dir_all(folder.join("reports")).unwrap();
            fs::write(folder.join("inputs"), signed.note()).unwrap();
            let page = AuditReports { pages: 1, reports: reports.clone() };
            fs::write(folder.join("reports/1"), serde_json::to_vec(&page).unwrap()).unwrap();
        }
        story.publish(&folder.join("public"));
    }
}

struct World(TempDir);

impl World {
    fn of(audited: &Audited) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        audited.lay(world.0.path());
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn verify(&self, more: &[&str]) -> Run {
        let (state, public) = (self.path("state"), self.path("public"));
        let always = ["verify", "--json", "--state-dir", state.to_str().unwrap(), public.to_str().unwrap()];
        wiregrant(always.iter().chain(more))
    }

    fn audit(&self) -> Run {
        self.verify(&["--audit-folder", self.path("audit").to_str().unwrap()])
    }

    fn finds(&self, words: &[&str]) {
        let run = self.audit();
        let found = run.json()["findings"].to_string();
        assert!(run.code == 1 && words.iter().all(|word| found.contains(word)), "{words:?}: {run:?}");
    }
}

#[test]
fn units_are_recomputed_from_inputs_and_reports() {
    let run = World::of(&Audited::honest()).audit();
    let audited = &run.json()["audited"];
    assert_eq!((run.code, &run.json()["result"]), (0, &"ok".into()), "{run:?}");
    for (what, count) in [("statements", 2), ("reports", 4), ("nodes", 4), ("withheld", 0)] {
        assert_eq!(audited[what], count, "{what}: {run:?}");
    }
    assert!(!run.json()["not_checked"].to_string().contains("closing reports"));
}

#[test]
fn a_withheld_number_whose_report_is_not_shown_is_said_and_is_no_finding() {
    let mut audited = Audited::honest();
    audited.story.entries.truncate(17);
    audited.inputs.truncate(1);
    audited.reports.truncate(1);
    audited.reports[0].truncate(1);
    let run = World::of(&audited).audit();
    assert_eq!((run.code, &run.json()["audited"]["withheld"]), (0, &1.into()), "{run:?}");
    assert!(run.json()["not_checked"].to_string().contains("1 withheld number(s)"), "{run:?}");
}

#[test]
fn whatever_an_auditor_is_given_that_does_not_follow_is_named() {
    type Change = fn(&mut Audited);
    let changes: [(&[&str], Change); 9] = [
        (&["node node-1: eligible"], |a| line(a, 1, "node-1").eligible = bytes(6_700_001)),
        (&["node-2", "units"], |a| line(a, 1, "node-2").units = None),
        (&["node node-1: carried"], |a| {
            let line = line(a, 0, "node-1");
            (line.eligible, line.carried) = (bytes(3_400_000), bytes(400_000));
        }),
        (&["node node-2: brought"], |a| {
            let line = line(a, 1, "node-2");
            (line.brought, line.carried) = (bytes(950_000), bytes(250_000));
        }),
        (&["node node-1: disallowed"], |a| {
            line(a, 0, "node-1").disallowed.insert("quota".parse().unwrap(), bytes(7));
        }),
        (&["node-1", "report 1, which is closing"], |a| drop(a.reports[0].remove(0))),
        (&["report 1 of node node-1", "entry 99"], |a| a.reports[0][0].log_index = 99),
        (&["report 2 of node node-1", "a signature of its node"], |a| {
            let signed = report("node-1", &key("node-1", 77), 2, 10_200_000, PeersBucket::FiveToNine, None);
            a.reports[1][0].note = signed.note().to_owned();
        }),
        (&["report 2 of node node-2", "as entry 201"], |a| {
            let signed = report("node-2", &key("node-2", 5), 2, 2_200_001, PeersBucket::FiveToNine, None);
            a.reports[1][1].note = signed.note().to_owned();
        }),
    ];
    for (words, change) in changes {
        let mut audited = Audited::honest();
        change(&mut audited);
        World::of(&audited).finds(words);
    }
}

fn line<'a>(audited: &'a mut Audited, epoch: usize, node: &str) -> &'a mut NodeInputs {
    audited.inputs[epoch].nodes.get_mut(&node.parse::<NodeId>().unwrap()).unwrap()
}

#[test]
fn an_inputs_note_that_the_statement_does_not_name_is_found() {
    let world = World::of(&Audited::honest());
    let path = world.path("audit/grants/spring/epochs/2/inputs");
    let note = fs::read_to_string(&path).unwrap();
    fs::write(&path, note.replace("6700000", "6700001")).unwrap();
    world.finds(&["inputs: SHA-256", "entry 17 `statement spring 2"]);
}

#[test]
fn a_token_goes_to_the_control_plane_alone_and_what_it_gives_can_be_kept() {
    let world = World::of(&Audited::honest());
    let audit = world.path("audit");
    let server = Server::start(move |request| {
        let path = request.line.strip_prefix("GET /api/v1/").unwrap_or("none");
        fs::read(audit.join(path)).map_or(Answer::Body(404, Vec::new()), |bytes| Answer::Body(200, bytes))
    });
    let token = world.path("token");
    fs::write(&token, "wiregrant-auditor-secret\n").unwrap();
    let kept = world.path("kept");
    let options = [
        "--url",
        &server.url(),
        "--audit-token",
        token.to_str().unwrap(),
        "--audit-folder",
        kept.to_str().unwrap(),
    ];
    let run = world.verify(&options);
    assert_eq!((run.code, &run.json()["audited"]["reports"]), (0, &4.into()), "{run:?}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.head().contains("authorization: bearer wiregrant-auditor-secret"))
    );
    let run = world.verify(&["--audit-folder", kept.to_str().unwrap()]);
    assert_eq!((run.code, &run.json()["audited"]["reports"]), (0, &4.into()), "{run:?}");
    let refused = Server::start(|_| {
        Answer::json(
            403,
            &serde_json::json!({ "type": "x", "title": "t", "status": 403, "detail": "grant: ernst does not audit spring" }),
        )
    });
    let run = world.verify(&["--url", &refused.url(), "--audit-token", token.to_str().unwrap()]);
    assert!(run.code == 2, "{run:?}");
    let run = world.verify(&["--audit-token", token.to_str().unwrap()]);
    assert!(run.code == 2 && run.json()["reason"].to_string().contains("--url"), "{run:?}");
}
