//! The pages for distributors, funders and administrators, as a browser asks for them.

use serde_json::{Value, json};

use crate::decisions::{batch, ledger_holds};
use crate::money::{MB, begin, closed, epoch, plane_with_grant, plane_with_terms};
use crate::support::browser::Browser;
use crate::support::{FakeNode, Plane};

/// The terms under the rule that knows this one of them.
fn with(terms: &Value, name: &str, value: u64) -> Value {
    let mut terms = terms.clone();
    terms["rule"] = json!(2);
    terms[name] = json!(value);
    terms
}

async fn plane_with_node() -> (Plane, FakeNode) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    (plane, node)
}

#[tokio::test]
async fn a_distributor_makes_codes_as_cards_that_people_can_redeem() {
    let (plane, _) = plane_with_node().await;
    let token = plane.distributor("ngo").await;
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    assert!(browser.get("/codes").await.ok().body.contains("None were issued yet"));
    let form = |count: &'static str, days: &'static str| {
        [("count", count), ("devices", "2"), ("gigabytes", "10"), ("monthly", "1"), ("days", days)]
    };
    for (count, days, told) in
        [("ten", "90", "is not a whole number"), ("2000", "90", "1 to 1000"), ("3", "0", "1 to 3650")]
    {
        let page = browser.post("/codes", &form(count, days)).await;
        assert!(page.status.as_u16() == 422 && page.body.contains(told), "{}", page.body);
        assert!(page.body.contains(&format!("value=\"{count}\"")), "what was typed is kept");
    }
    let page = browser.post("/codes", &form("3", "90")).await;
    assert_eq!(page.status.as_u16(), 201);
    let codes: Vec<&str> =
        page.body.split("data-code=\"").skip(1).map(|rest| rest.split(['#', '"']).nth(1).unwrap()).collect();
    assert_eq!(codes.len(), 3);
    assert!(page.body.contains("https://grants.example/redeem#"));
    let listed = browser.get("/codes").await.ok();
    assert!(!listed.body.contains(codes[0]) && listed.body.contains("0 of 2"), "{}", listed.body);
    let redeemed = Browser::new(&plane).post("/redeem", &[("code", codes[0])]).await;
    assert_eq!(redeemed.headers["location"], "/devices");
}

#[tokio::test]
async fn an_administrator_freezes_a_node_and_takes_its_reports_again() {
    let (plane, node) = plane_with_node().await;
    plane.grant("spring", 1, 500_000, |_| {}).await;
    let mut browser = Browser::new(&plane);
    let admin = plane.admin.clone();
    browser.sign_in(&admin).await;
    let page = browser.get("/admin").await.ok();
    for part in [node.id.as_str(), "nordlicht", "Spring &#60;of&#62; 2026", "no destination yet"] {
        assert!(page.body.contains(part), "{part} is missing in\n{}", page.body);
    }
    let path = |what: &str| format!("/admin/nodes/{}/{what}", node.id);
    let answer = browser.post(&path("freeze"), &[("reason", "two-reports")]).await;
    assert_eq!(answer.headers["location"], "/admin#nodes", "{}", answer.body);
    assert!(browser.get("/admin").await.ok().body.contains("Take its reports again"));
    browser.post(&path("unfreeze"), &[]).await;
    assert!(!browser.get("/admin").await.ok().body.contains("Take its reports again"));
    let mut other = Browser::new(&plane);
    other.sign_in(&plane.distributor("ngo").await).await;
    assert_eq!(other.get("/admin").await.status.as_u16(), 403);
}

#[tokio::test]
async fn a_funder_sees_the_grants_that_are_theirs_and_no_batch_of_others() {
    let (plane, _) = plane_with_node().await;
    for grant in ["spring", "autumn"] {
        plane.grant(grant, 1, 500_000, |_| {}).await;
    }
    let created: Value =
        plane.post("/funders", json!({ "funder": "fund", "grants": ["spring"] })).await.json();
    plane.post("/auditors", json!({ "auditor": "careful-eyes", "grants": ["spring"] })).await.ok();
    let mut browser = Browser::new(&plane);
    browser.sign_in(created["token"].as_str().unwrap()).await;
    let page = browser.get("/funder").await.ok();
    assert!(page.body.contains("/r/spring/") && page.body.contains("careful-eyes"), "{}", page.body);
    assert!(!page.body.contains("/r/autumn/"));
    assert_eq!(browser.get("/batches/batch-1").await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_operator_applies_is_approved_admits_a_node_and_lets_it_leave_all_on_pages() {
    let (plane, node) = plane_with_node().await;
    plane.grant("spring", 5, 500_000, |terms| *terms = with(terms, "admission", 1)).await;
    let (mut admin, mut operator) = (Browser::new(&plane), Browser::new(&plane));
    let token = plane.token_of("nordlicht");
    operator.sign_in(&token).await;
    admin.sign_in(&plane.admin.clone()).await;
    let grants = "/operators/nordlicht/grants";
    let form = [("node", node.id.as_str())];

    let early = operator.post(&format!("{grants}/spring/admit"), &form).await;
    assert!(
        early.status.as_u16() == 422 && early.body.contains("is not approved for spring"),
        "{}",
        early.body
    );
    assert!(operator.get(grants).await.ok().body.contains("Apply to Spring"));
    let applied = operator.post(&format!("{grants}/spring/apply"), &[]).await;
    assert_eq!(applied.headers["location"], grants, "{}", applied.body);
    assert!(operator.get(grants).await.ok().body.contains("nobody has decided"));
    // The decision is the administrator's alone.
    let approve = "/admin/grants/spring/operators/nordlicht/approve";
    assert_eq!(operator.post(approve, &[]).await.status.as_u16(), 403);
    let page = admin.get("/admin/decisions").await.ok();
    assert!(page.body.contains("waits for you") && page.body.contains(approve), "{}", page.body);
    assert_eq!(admin.post(approve, &[]).await.headers["location"], "/admin/decisions");

    let page = operator.get(grants).await.ok();
    assert!(page.body.contains("you are approved") && page.body.contains("Admit it"), "{}", page.body);
    assert_eq!(operator.post(&format!("{grants}/spring/admit"), &form).await.headers["location"], grants);
    let page = operator.get(grants).await.ok();
    assert!(page.body.contains("Let it leave") && !page.body.contains("Admit it"), "{}", page.body);
    assert_eq!(operator.post(&format!("{grants}/spring/leave"), &form).await.headers["location"], grants);
    assert!(!operator.get(grants).await.ok().body.contains("Let it leave"));
    let other = plane.operator("suedwind").await;
    let mut stranger = Browser::new(&plane);
    stranger.sign_in(&other).await;
    assert_eq!(stranger.get(grants).await.status.as_u16(), 403);
    assert_eq!(stranger.post(&format!("{grants}/spring/apply"), &[]).await.status.as_u16(), 403);
}

#[tokio::test]
async fn lines_are_held_released_and_forfeited_with_a_reason_and_what_was_typed_is_kept() {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let mut admin = Browser::new(&plane);
    admin.sign_in(&plane.admin.clone()).await;
    let line = "/admin/grants/spring/epochs/1/operators/suedwind";
    let form = |kind, reason| [("kind", kind), ("reason", reason), ("detail", "three times the link")];

    let refused = admin.post(line, &form("hold", "No Word <b>")).await;
    assert_eq!(refused.status.as_u16(), 422);
    for kept in ["No Word &#60;b&#62;", "three times the link", "open"] {
        assert!(refused.body.contains(kept), "{kept}: {}", refused.body);
    }
    assert_eq!(admin.post(line, &form("object", "inflated")).await.status.as_u16(), 400);
    let early = admin.post(line, &form("forfeit", "inflated")).await;
    assert!(early.status.as_u16() == 422 && early.body.contains("it is not held"), "{}", early.body);
    let there = "/admin/decisions#lines";
    assert_eq!(admin.post(line, &form("hold", "inflated")).await.headers["location"], there);
    let page = admin.get("/admin/decisions").await.ok();
    assert!(page.body.contains("hold: inflated (three times the link)"), "{}", page.body);
    assert_eq!(admin.post(line, &form("release", "was-right")).await.headers["location"], there);

    let finding = [("grant", "spring"), ("node", south.id.as_str()), ("reason", "inflated"), ("detail", "")];
    let found = admin.post("/admin/findings", &finding).await;
    assert_eq!(found.headers["location"], "/admin/decisions#findings", "{}", found.body);
    let wrong =
        [("grant", "autumn"), ("node", south.id.as_str()), ("reason", "kept"), ("detail", "this too")];
    let refused = admin.post("/admin/findings", &wrong).await;
    assert!(refused.status.as_u16() == 422 && refused.body.contains("this too"), "{}", refused.body);
    assert_eq!(admin.post(line, &form("forfeit", "inflated")).await.headers["location"], there);
    assert!(!admin.get("/admin/decisions").await.ok().body.contains(line), "nothing is left to decide");
    ledger_holds(&plane).await;
}

#[tokio::test]
async fn two_people_approve_a_statement_on_the_funders_page_and_export_its_batch() {
    let (plane, mut north, mut south) =
        plane_with_terms(3, 5, |terms| *terms = with(terms, "approvals", 2)).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let fund = plane.funder("fund", &["spring"]).await;
    let other = plane.funder("other", &[]).await;
    let (mut admin, mut funder) = (Browser::new(&plane), Browser::new(&plane));
    admin.sign_in(&plane.admin.clone()).await;
    funder.sign_in(&fund).await;
    let approve = "/funder/grants/spring/epochs/1/approve";
    let mut stranger = Browser::new(&plane);
    stranger.sign_in(&other).await;
    assert_eq!(stranger.post(approve, &[]).await.status.as_u16(), 403);
    for browser in [&mut funder, &mut admin] {
        assert!(browser.get("/funder").await.ok().body.contains(approve));
        assert_eq!(browser.post(approve, &[]).await.headers["location"], "/funder");
        assert!(!browser.get("/funder").await.ok().body.contains(approve), "once each");
    }

    batch(&plane, "batch-1", "frozen").await;
    let page = funder.get("/batches/batch-1").await.ok();
    assert!(
        page.body.contains("Export it") && !page.body.contains("batch-1.psbt\" download"),
        "{}",
        page.body
    );
    assert_eq!(funder.get("/batches/batch-1/psbt").await.status.as_u16(), 404);
    let export = "/batches/batch-1/export";
    assert_ne!(stranger.post(export, &[]).await.status.as_u16(), 303);
    assert_eq!(funder.post(export, &[]).await.headers["location"], "/batches/batch-1");
    let page = funder.get("/batches/batch-1").await.ok();
    assert!(page.body.contains("/batches/batch-1/psbt") && !page.body.contains("Export it"), "{}", page.body);
    funder.get("/batches/batch-1/psbt").await.ok();
}
