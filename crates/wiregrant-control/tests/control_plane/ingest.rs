//! Usage reports: what is taken, what is refused and as what, and what an acknowledgement is worth.

use std::collections::BTreeSet;

use axum::http::{HeaderValue, Method};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use transparency_log::{LogProof, SigningKey, Verifier};
use wiregrant_control::error::Answer;
use wiregrant_control::sequencer;
use wiregrant_core::api::{ProblemKind, ReportsTaken};
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::{Class, UsageReport};
use wiregrant_core::{Bytes, NodeId};

use crate::support::{FakeNode, Plane, label, time};

async fn plane_with_node() -> (Plane, FakeNode) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    (plane, node)
}

/// Sends a report that `change` has spoilt, which must be refused as this kind.
async fn refused(
    plane: &Plane,
    node: &FakeNode,
    kind: ProblemKind,
    change: impl FnOnce(&mut UsageReport),
) -> wiregrant_core::api::Problem {
    let report = node.next_report(plane.now(), change);
    node.send(plane, report.note()).await.problem(kind)
}

#[tokio::test]
async fn an_acknowledgement_proves_that_the_entry_is_in_the_log() {
    let (plane, mut node) = plane_with_node().await;
    let reports: Verifier = node.joined.reports_vkey.parse().unwrap();
    for expected_index in 0..5 {
        node.serve(Class::Assigned, 1_000, 2_000);
        let (note, acknowledgement) = node.report(&plane, plane.now(), |_| {}).await;
        let entry = report_entry(transparency_log::Hash::of(note.as_bytes()));
        let proof: LogProof = acknowledgement.parse().unwrap();
        let checkpoint = proof.verify(entry.as_bytes(), &reports).unwrap();
        assert_eq!((proof.index, checkpoint.size), (expected_index, expected_index + 1));
        plane.clock.advance(10);
    }
    assert_eq!(node.head(&plane).await["sequence"], 5);
}

#[tokio::test]
async fn the_same_text_again_gets_the_same_acknowledgement_byte_for_byte() {
    let (plane, mut node) = plane_with_node().await;
    let (first, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;
    for _ in 0..3 {
        node.report(&plane, plane.now(), |_| {}).await;
    }
    assert_eq!(node.send(&plane, &first).await.ok().body, acknowledged);
    let plane = plane.restart().await;
    assert_eq!(node.send(&plane, &first).await.ok().body, acknowledged);
}

#[tokio::test]
async fn a_text_that_is_no_report_names_line_and_way_out() {
    let (plane, node) = plane_with_node().await;
    let good = node.next_report(plane.now(), |_| {});
    for bad in [
        String::new(),
        "hello".to_owned(),
        good.note().replace("usage-report/v1", "usage-report/v2"),
        good.note().replace("sequence 1", "sequence 01"),
        good.note().replace("peers 0", "peers 7"),
        format!("{}{}", good.note(), good.note().lines().last().unwrap()),
    ] {
        let problem = node.send(&plane, &bad).await.problem(ProblemKind::ReportForm);
        assert!(problem.detail.len() > 20, "{}", problem.detail);
    }
}

#[tokio::test]
async fn a_report_signed_by_another_key_is_refused() {
    let (plane, node) = plane_with_node().await;
    let report = node.next_report(plane.now(), |_| {});
    let stranger = SigningKey::new(node.id.as_str(), [99; 32]).unwrap();
    let forged = Signed::sign(report.content().clone(), &stranger).unwrap();
    node.send(&plane, forged.note()).await.problem(ProblemKind::ReportSignature);
    let changed = report.note().replace("peers 0", "peers 100+");
    node.send(&plane, &changed).await.problem(ProblemKind::ReportSignature);
}

#[tokio::test]
async fn a_report_for_another_log_or_of_another_node_is_refused() {
    let (plane, node) = plane_with_node().await;
    let other = plane.node("nordlicht", "de-fra", 2).await;
    refused(&plane, &node, ProblemKind::ReportOtherLog, |r| r.log = "elsewhere/record".parse().unwrap())
        .await;
    refused(&plane, &node, ProblemKind::ReportOtherNode, |r| r.node = other.id.clone()).await;
    refused(&plane, &node, ProblemKind::ReportOtherNode, |r| r.operator = "suedwind".parse().unwrap()).await;
}

#[tokio::test]
async fn a_report_that_does_not_follow_the_last_one_says_how() {
    let (plane, mut node) = plane_with_node().await;
    node.serve(Class::Assigned, 500, 500);
    let first = node.report(&plane, plane.now(), |_| {}).await.0;
    plane.clock.advance(60);

    let gap = refused(&plane, &node, ProblemKind::ReportGap, |r| r.sequence = 5).await;
    assert_eq!((&gap.figures["expected"], &gap.figures["head"]), (&json!(2), &json!(1)));
    refused(&plane, &node, ProblemKind::ReportPrevious, |r| {
        r.previous = Some(transparency_log::Hash::of(b"another"));
    })
    .await;
    let fell = refused(&plane, &node, ProblemKind::ReportTotalFell, |r| {
        let usage = r.usage.values_mut().next().unwrap();
        usage.received = Bytes::new(499).unwrap();
        usage.creditable = Bytes::ZERO;
    })
    .await;
    assert_eq!((&fell.figures["before"], &fell.figures["after"]), (&json!("500"), &json!("499")));
    refused(&plane, &node, ProblemKind::ReportTotalFell, |r| r.usage.clear()).await;
    refused(&plane, &node, ProblemKind::ReportOverlap, |r| {
        let last = Signed::<UsageReport>::parse(&first).unwrap().into_content();
        r.start = wiregrant_core::Timestamp::from_unix_seconds(last.end.unix_seconds() - 1).unwrap();
    })
    .await;
    refused(&plane, &node, ProblemKind::ReportClock, |r| r.end = r.end.plus_seconds(121)).await;
    node.report(&plane, plane.now().plus_seconds(120), |_| {}).await;
    assert_eq!(node.head(&plane).await["sequence"], 2);
}

#[tokio::test]
async fn invariant_4_a_report_is_labelled_with_one_epoch_that_the_node_takes_part_in() {
    let (plane, mut node) = plane_with_node().await;
    plane.grant("spring", 3, 100_000, |_| {}).await;
    plane.grant("autumn", 3, 100_000, |_| {}).await;
    plane.admit("spring", &node).await;
    let start = plane.now().plus_seconds(60);
    let kind = ProblemKind::ReportEpoch;
    refused(&plane, &node, kind, |r| r.epoch = label("spring", 1)).await; // before it begins
    refused(&plane, &node, kind, |r| r.epoch = label("autumn", 1)).await; // not admitted
    plane.clock.advance(100);
    refused(&plane, &node, kind, |r| r.epoch = label("spring", 2)).await; // not yet
    refused(&plane, &node, kind, |r| r.epoch = label("spring", 4)).await; // there is none
    node.report(&plane, plane.now(), |r| r.epoch = label("spring", 1)).await;
    node.report(&plane, start.plus_seconds(60), |r| r.epoch = label("spring", 1)).await; // its very end
    node.report(&plane, start.plus_seconds(70), |r| r.epoch = label("spring", 2)).await;
    refused(&plane, &node, kind, |r| {
        r.epoch = label("spring", 1);
        (r.start, r.end) = (start.plus_seconds(70), start.plus_seconds(70));
    })
    .await;
    node.report(&plane, start.plus_seconds(71), |r| r.epoch = None).await;
}

#[tokio::test]
async fn a_fork_leaves_evidence_and_freezes_the_node_until_a_person_decides() {
    let (plane, mut node) = plane_with_node().await;
    let (first, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;
    let follows = node.next_report(plane.now(), |_| {});
    node.sequence = 0;
    node.previous = None;
    let other = node.next_report(plane.now(), |r| r.salt = Salt([9; 16]));
    node.send(&plane, other.note()).await.problem(ProblemKind::ReportForked);

    let evidence: Value = plane.get(&format!("/nodes/{}/evidence", node.id)).await.json();
    assert_eq!(evidence["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&evidence["items"][0]["accepted"], &evidence["items"][0]["other"]),
        (&json!(first), &json!(other.note()))
    );
    assert_eq!(state(&plane, &node.id).await, "frozen");
    let desired: Value = node.desired(&plane, "").await.json();
    assert_eq!(desired["frozen"], true);

    node.send(&plane, follows.note()).await.problem(ProblemKind::NodeFrozen);
    node.send(&plane, other.note()).await.problem(ProblemKind::ReportForked); // still a fork, logged once
    assert_eq!(node.send(&plane, &first).await.ok().body, acknowledged);

    plane.post(&format!("/nodes/{}/unfreeze", node.id), Value::Null).await.ok();
    node.send(&plane, follows.note()).await.ok();
    assert_eq!(state(&plane, &node.id).await, "active");
    let entries =
        plane.plane.store.read().await.unwrap().entries(wiregrant_store::Log::Record, 0, 100).await.unwrap();
    let about: Vec<_> = entries.iter().filter(|entry| entry.contains("freeze")).collect();
    assert_eq!(about, [&format!("freeze {} fork", node.id), &format!("unfreeze {}", node.id)]);
}

async fn state(plane: &Plane, node: &NodeId) -> String {
    let nodes: Value = plane.get("/nodes").await.json();
    let found = nodes["items"].as_array().unwrap().iter().find(|shown| shown["node"] == node.as_str());
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_administrator_freezes_and_thaws_a_node() {
    let (plane, mut node) = plane_with_node().await;
    plane.post(&format!("/nodes/{}/freeze", node.id), json!({ "reason": "looks-odd" })).await.ok();
    let report = node.next_report(plane.now(), |_| {});
    node.send(&plane, report.note()).await.problem(ProblemKind::NodeFrozen);
    plane.post(&format!("/nodes/{}/unfreeze", node.id), Value::Null).await.ok();
    node.send(&plane, report.note()).await.ok();
    node.follow(&report);
    node.report(&plane, plane.now(), |_| {}).await;
}

#[tokio::test]
async fn two_reports_of_one_node_and_a_fork_fit_into_one_batch() {
    let (plane, mut node) = plane_with_node().await;
    let first = node.next_report(plane.now(), |_| {});
    let forked = node.next_report(plane.now(), |r| r.salt = Salt([8; 16]));
    node.follow(&first);
    let second = node.next_report(plane.now(), |_| {});
    // Handed in side by side, the three are taken up in this order, together or not.
    let queue = &plane.plane.reports;
    let (a, again, b, c) = tokio::join!(
        queue.submit(node.checked(std::slice::from_ref(&first))),
        queue.submit(node.checked(std::slice::from_ref(&first))),
        queue.submit(node.checked(std::slice::from_ref(&second))),
        queue.submit(node.checked(&[forked]))
    );
    assert_eq!(sole(a).unwrap(), sole(again).unwrap());
    sole(b).unwrap();
    assert!(sole(c).unwrap_err().problem().is(ProblemKind::ReportForked));
    assert_eq!(node.head(&plane).await["sequence"], 2);
}

#[tokio::test]
async fn many_reports_at_once_get_proofs_under_few_checkpoints() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let mut nodes = Vec::new();
    for seed in 1..=40 {
        nodes.push(plane.node("nordlicht", "de-fra", seed).await);
    }
    let verifier: Verifier = nodes[0].joined.reports_vkey.parse().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for node in &nodes {
        let (queue, report) = (plane.plane.reports.clone(), node.next_report(plane.now(), |_| {}));
        let checked = node.checked(std::slice::from_ref(&report));
        waiting.spawn(async move { (report.hash(), sole(queue.submit(checked).await).unwrap()) });
    }
    let mut sizes = BTreeSet::new();
    let mut indices = BTreeSet::new();
    for (hash, acknowledgement) in waiting.join_all().await {
        let proof: LogProof = acknowledgement.parse().unwrap();
        sizes.insert(proof.verify(report_entry(hash).as_bytes(), &verifier).unwrap().size);
        indices.insert(proof.index);
    }
    assert_eq!(indices, (0..40).collect());
    assert!(sizes.len() < 40, "each report had a transaction of its own: {sizes:?}");
}

#[tokio::test]
async fn a_node_signs_its_requests_with_its_own_key_and_a_clock_that_is_right() {
    let (plane, node) = plane_with_node().await;
    let other = plane.node("nordlicht", "de-fra", 2).await;
    let path = format!("/nodes/{}/head", node.id);
    let now = plane.now();
    plane.send(other.request(&Method::GET, &path, "", now)).await.problem(ProblemKind::Forbidden);
    let mut stolen_name = node.request(&Method::GET, &path, "", now);
    let signature = other.request(&Method::GET, &path, "", now).headers()["wiregrant-signature"].clone();
    stolen_name.headers_mut().insert("wiregrant-signature", signature);
    plane.send(stolen_name).await.problem(ProblemKind::RequestSignature);

    let mut other_query = node.request(&Method::GET, &path, "", now);
    *other_query.uri_mut() = format!("/api/v1{path}?x=1").parse().unwrap();
    plane.send(other_query).await.problem(ProblemKind::RequestSignature);
    let mut other_body = node.request(&Method::GET, &path, "", now);
    *other_body.body_mut() = axum::body::Body::from("more");
    plane.send(other_body).await.problem(ProblemKind::RequestSignature);

    for (time, taken) in [(now.plus_seconds(120), true), (now.plus_seconds(121), false)] {
        let answered = plane.send(node.request(&Method::GET, &path, "", time)).await;
        if taken {
            answered.ok();
        } else {
            let problem = answered.problem(ProblemKind::RequestClock);
            assert_eq!(problem.figures["now"], json!(now));
        }
    }
}

#[tokio::test]
async fn a_full_queue_sends_reports_away_for_a_moment() {
    let (_plane, node) = plane_with_node().await;
    let report = node.next_report(node.end, |_| {});
    let (queue, mut waiting) = sequencer::queue(); // nobody takes anything out
    let checked = node.checked(&vec![report.clone(); sequencer::QUEUE_LIMIT]);
    tokio::select! {
        biased;
        answered = queue.submit(checked) => panic!("answered: {answered:?}"),
        () = std::future::ready(()) => {}
    }
    let busy = queue.submit(node.checked(std::slice::from_ref(&report))).await.unwrap_err();
    assert!(busy.problem().is(ProblemKind::Busy) && busy.problem().detail.contains("8192"), "{busy}");
    let response = busy.into_response();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &HeaderValue::from(2))
    );
    waiting.close();
    assert!(
        queue.submit(node.checked(&[report])).await.unwrap_err().problem().detail.contains("about to stop")
    );
}

/// The answer to a request with one report.
fn sole(answers: Answer<sequencer::Answers>) -> Answer<String> {
    let mut answers = answers?;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[tokio::test]
async fn a_journal_is_drained_by_a_hundred_reports_a_request_and_each_is_proved() {
    let (plane, mut node) = plane_with_node().await;
    let reports = node.sign_several(100, plane.now());
    let taken: ReportsTaken = node.send_several(&plane, &reports).await.json();
    assert_eq!((taken.acknowledgements.len(), taken.refused.is_none()), (100, true));
    let verifier: Verifier = node.joined.reports_vkey.parse().unwrap();
    for (report, acknowledgement) in reports.iter().zip(&taken.acknowledgements) {
        let proof: LogProof = acknowledgement.parse().unwrap();
        proof.verify(report_entry(report.hash()).as_bytes(), &verifier).unwrap();
    }
    assert_eq!(node.head(&plane).await["sequence"], 100);
    // The answer was lost, and it is sent again, alone or with others.
    let again: ReportsTaken = node.send_several(&plane, &reports).await.json();
    assert_eq!(again.acknowledgements, taken.acknowledgements);
    assert_eq!(node.send(&plane, reports[41].note()).await.ok().body, taken.acknowledgements[41]);
}

#[tokio::test]
async fn of_several_reports_those_before_the_first_bad_one_are_taken() {
    let (plane, mut node) = plane_with_node().await;
    let mut reports = node.sign_several(4, plane.now());
    reports.remove(2);
    let taken: ReportsTaken = node.send_several(&plane, &reports).await.json();
    assert_eq!(taken.acknowledgements.len(), 2);
    assert!(taken.refused.unwrap().is(ProblemKind::ReportGap));
    let refused = node.send_several(&plane, &reports[2..]).await;
    refused.problem(ProblemKind::ReportGap);
    for wrong in [0, 101] {
        let several = vec![reports[0].clone(); wrong];
        let problem = node.send_several(&plane, &several).await.problem(ProblemKind::InvalidRequest);
        assert!(problem.detail.contains("1 to 100"), "{}", problem.detail);
    }
    let spoilt = [reports[0].note().to_owned(), reports[1].note().replace("peers 0", "peers 100+")];
    let body = json!({ "reports": spoilt }).to_string();
    let taken: ReportsTaken = node.send_body(&plane, &body).await.json();
    assert_eq!(taken.acknowledgements.len(), 1);
    assert!(taken.refused.unwrap().is(ProblemKind::ReportSignature));
}

#[tokio::test]
async fn what_each_report_counts_more_is_summed_by_hour_and_by_day_once() {
    let (plane, mut node) = plane_with_node().await;
    let begin = plane.now();
    node.serve(Class::Assigned, 500, 300);
    node.report(&plane, begin, |_| {}).await;
    plane.clock.advance(3_600);
    node.serve(Class::Assigned, 20, 10);
    node.serve(Class::Invited, 7, 3);
    let (note, _) = node.report(&plane, plane.now(), |_| {}).await;
    node.send(&plane, &note).await.ok(); // once more, which adds nothing
    plane.clock.advance(86_400);
    node.serve(Class::Assigned, 1, 1);
    node.report(&plane, plane.now(), |_| {}).await;

    let mut read = plane.plane.store.read().await.unwrap();
    let always = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
    let operator = "nordlicht".parse().unwrap();
    let mut sums = async |stretch| -> Vec<(String, u64, u64, u64)> {
        let of = read.usage(&operator, Some(&node.id), stretch, always).await.unwrap();
        let sum = |of: &wiregrant_store::UsageOf| {
            (of.begin.to_string(), of.received.get(), of.sent.get(), of.creditable.get())
        };
        of.iter().map(sum).collect()
    };
    let at = |text: &str| text.to_owned();
    assert_eq!(
        sums(wiregrant_store::Stretch::Hour).await,
        [
            (at("2026-07-06T12:00:00Z"), 527, 313, 840), // its first second, and the stretch that ends with the hour
            (at("2026-07-07T12:00:00Z"), 1, 1, 2),
        ]
    );
    assert_eq!(
        sums(wiregrant_store::Stretch::Day).await,
        [(at("2026-07-06T00:00:00Z"), 527, 313, 840), (at("2026-07-07T00:00:00Z"), 1, 1, 2)]
    );
}
