//! What an auditor is given: inputs and closing reports of published nodes of closed epochs, and nothing else.

use axum::http::Method;
use serde_json::Value;
use wiregrant_core::api::{AuditReports, ProblemKind};
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_core::usage_report::{Class, PeersBucket, UsageReport};

use crate::support::{FakeNode, Plane, device_key, label};

struct Story {
    plane: Plane,
    auditor: String,
    published: FakeNode,
    withheld: FakeNode,
}

async fn begun() -> Story {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    let published = plane.node("nordlicht", "de-fra", 1).await;
    for (number, code) in plane.codes(&ngo, 8, 1, 1_000_000_000).await.into_iter().enumerate() {
        let key = device_key(50 + u8::try_from(number).unwrap());
        plane.ask(Method::POST, "/devices", &code, serde_json::json!({ "public_key": key })).await.ok();
    }
    let withheld = plane.node("nordlicht", "de-fra", 2).await;
    plane.grant("spring", 3, 600_000, |terms| terms["floor"] = 5.into()).await;
    let auditor = plane.auditor("ernst", &["spring"]).await;
    plane.admit("spring", &published).await;
    plane.admit("spring", &withheld).await;
    plane.clock.advance(60);
    Story { plane, auditor, published, withheld }
}

impl Story {
    async fn epoch(&mut self, epoch: u64) {
        let end = self.plane.now().plus_seconds(59);
        for node in [&mut self.published, &mut self.withheld] {
            node.serve(Class::Assigned, 1_000_000, 2_000_000);
            node.report(&self.plane, end, |r| {
                (r.epoch, r.peers) = (label("spring", epoch), PeersBucket::FiveToNine);
            })
            .await;
        }
        self.plane.clock.advance(60);
        self.plane.close("spring", epoch).await.ok();
    }

    async fn reports(&self, epoch: u64) -> Vec<(String, u64)> {
        let path = format!("/grants/spring/epochs/{epoch}/reports/1");
        let page: AuditReports = self.plane.ask(Method::GET, &path, &self.auditor, Value::Null).await.json();
        assert_eq!(page.pages, 1);
        let report = |note: &str| Signed::<UsageReport>::parse(note).unwrap().into_content();
        let named = page.reports.iter().map(|r| report(&r.note)).map(|r| (r.node.to_string(), r.sequence));
        named.collect()
    }
}

#[tokio::test]
async fn an_auditor_sees_inputs_and_the_closing_reports_of_published_nodes() {
    let mut story = begun().await;
    story.published.report(&story.plane, story.plane.now(), |_| {}).await;
    story.epoch(1).await;
    let path = "/grants/spring/epochs/1/inputs";
    let inputs = story.plane.ask(Method::GET, path, &story.auditor, Value::Null).await.ok();
    assert!(
        inputs.headers["content-type"].starts_with("text/plain") && inputs.body.starts_with(Inputs::KIND)
    );
    let inputs = Signed::<Inputs>::parse(&inputs.body).unwrap().into_content();
    assert_eq!(inputs.nodes.len(), 2);
    assert_eq!(inputs.nodes[&story.withheld.id].units, None);
    // The report from which the first epoch counts, and the one that closes it; of the withheld node none.
    let id = story.published.id.to_string();
    assert_eq!(story.reports(1).await, [(id.clone(), 1), (id.clone(), 2)]);
    story.epoch(2).await;
    assert_eq!(story.reports(2).await, [(id, 3)]);
}

#[tokio::test]
async fn nobody_else_sees_them_and_an_auditor_only_those_of_their_grants() {
    let mut story = begun().await;
    story.epoch(1).await;
    story.plane.grant("autumn", 1, 1_000, |_| {}).await;
    let other = story.plane.auditor("else", &["autumn"]).await;
    let funder = story.plane.funder("fund", &["spring"]).await;
    for path in ["/grants/spring/epochs/1/inputs", "/grants/spring/epochs/1/reports/1"] {
        for token in [&other, &funder, &story.plane.admin] {
            let answered = story.plane.ask(Method::GET, path, token, Value::Null).await;
            answered.problem(ProblemKind::Forbidden);
        }
        story.plane.ask(Method::GET, path, "", Value::Null).await.problem(ProblemKind::Unauthorized);
    }
    for path in [
        "/grants/spring/epochs/2/inputs",
        "/grants/spring/epochs/2/reports/1",
        "/grants/spring/epochs/1/reports/2",
    ] {
        let answered = story.plane.ask(Method::GET, path, &story.auditor, Value::Null).await;
        answered.problem(ProblemKind::NotFound);
    }
}
