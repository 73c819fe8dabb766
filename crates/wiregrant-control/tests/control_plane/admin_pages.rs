//! What an administrator does on pages, as a browser without JavaScript asks for them.

use axum::http::Method;
use serde_json::{Value, json};
use wiregrant_core::api::{Distributor, Grant, GrantState, List};

use crate::money::{MB, begin, closed, epoch, plane_with_terms};
use crate::support::Plane;
use crate::support::browser::Browser;

/// A draft as the form for a new grant sends it, where nothing but these fields was typed.
fn terms<'a>(typed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("grant", "spring"),
        ("title", "Spring <2026>"),
        ("start", "2026-07-13T00:00:00Z"),
        ("epoch-seconds", "1w"),
        ("epochs", "52"),
        ("unit-bytes", "1GB"),
        ("floor", "10"),
        ("minimum-payout-sats", "10000"),
        ("close-delay-seconds", "48h"),
        ("challenge-seconds", "72h"),
        ("approvals", "0"),
        ("ceiling-sats-per-unit", "0"),
        ("operator-share-percent", "100"),
        ("site-share-percent", "100"),
        ("peer-cap-bytes", "0B"),
        ("capacity-mbit-per-second", "0"),
        ("invited-percent", "0"),
        ("admission", "0"),
    ];
    let value = |name| typed.iter().find(|(named, _)| *named == name).map(|(_, value)| *value);
    usual.into_iter().map(|(name, usual)| (name, value(name).unwrap_or(usual))).collect()
}

async fn signed_in(plane: &Plane) -> Browser<'_> {
    let mut browser = Browser::new(plane);
    browser.sign_in(&plane.admin).await;
    browser
}

async fn grant(plane: &Plane, grant: &str) -> Grant {
    plane.get(&format!("/grants/{grant}")).await.json()
}

#[tokio::test]
async fn a_grant_goes_from_a_draft_to_open_to_its_end_and_a_refused_form_loses_nothing() {
    let plane = Plane::start().await;
    let mut browser = signed_in(&plane).await;
    let page = browser.get("/admin/new-grant").await.ok();
    assert!(page.body.contains("value=\"2026-07-13T00:00:00Z\""), "the next Monday: {}", page.body);
    // Beside the very field, with everything that was typed.
    for (name, typed, told) in [
        ("grant", "Spring <b>", "is not an id"),
        ("title", "", "one line of 1 to 100 characters"),
        ("start", "tomorrow", "give a moment in UTC"),
        ("epochs", "0", "1 to 10,000 epochs"),
        ("epochs", "many", "a whole number"),
        ("unit-bytes", "1GiB", "decimal"),
        ("minimum-payout-sats", "545", "546 sats (dust) or more"),
        ("challenge-seconds", "3 days", "such as 48h"),
        ("operator-share-percent", "0", "1 to 100 percent"),
        ("approvals", "6", "0 to 5 people"),
    ] {
        let page = browser.post("/admin/new-grant", &terms(&[(name, typed)])).await;
        assert_eq!(page.status.as_u16(), 422, "{name}: {}", page.body);
        let beside = page.body.split(&format!("id=\"terms-{name}-error\"")).nth(1);
        let beside = beside.unwrap_or_else(|| panic!("nothing beside {name}: {}", page.body));
        assert!(beside.split("</span>").next().unwrap().contains(told), "{name}: {beside}");
        for (kept, value) in terms(&[(name, typed)]) {
            let value = value.replace('<', "&#60;").replace('>', "&#62;");
            let is_kept = page.body.contains(&format!("name=\"{kept}\" value=\"{value}\""))
                || page.body.contains(&format!("value=\"{value}\" selected"));
            assert!(is_kept, "{kept} is lost: {}", page.body);
        }
    }
    let there = "/admin/drafts/spring";
    let made = browser.post("/admin/new-grant", &terms(&[])).await;
    assert_eq!(made.headers["location"], there, "{}", made.body);
    let twice = browser.post("/admin/new-grant", &terms(&[])).await;
    assert!(twice.status.as_u16() == 422 && twice.body.contains("is a draft already"), "{}", twice.body);
    let draft = browser.get(there).await.ok();
    assert!(
        draft.body.contains("Open spring, for good") && draft.body.contains("value=\"2d\""),
        "{}",
        draft.body
    );
    assert!(browser.get("/admin/grants").await.ok().body.contains(there));
    let saved = browser.post(there, &terms(&[("epochs", "26"), ("admission", "1")])).await;
    assert_eq!(saved.headers["location"], there, "{}", saved.body);

    // Its first epoch has begun: that is said beside its start, and the draft is still there.
    plane.clock.advance(10 * 24 * 3600);
    let mut browser = signed_in(&plane).await;
    let late = browser.post("/admin/drafts/spring/open", &[]).await;
    assert!(late.status.as_u16() == 422 && late.body.contains("terms-start-error"), "{}", late.body);
    browser.post(there, &terms(&[("start", "2d"), ("epochs", "26")])).await;
    let opened = browser.post("/admin/drafts/spring/open", &[]).await;
    assert_eq!(opened.headers["location"], "/admin/grants/spring", "{}", opened.body);
    let open = grant(&plane, "spring").await;
    assert_eq!((open.state, open.terms.epochs, open.terms.admission), (GrantState::Open, 26, 0));

    let page = browser.post("/admin/grants/spring/contributions", &[("sats", "a lot")]).await;
    assert!(
        page.body.contains("value=\"a lot\"") && page.body.contains("contribute-sats-error"),
        "{}",
        page.body
    );
    browser.post("/admin/grants/spring/contributions", &[("sats", "500000")]).await;
    assert_eq!(grant(&plane, "spring").await.contributed.get(), 500_000);
    let changed =
        browser.post("/admin/grants/spring/terms", &terms(&[("epochs", "30"), ("floor", "7")])).await;
    assert_eq!(changed.headers["location"], "/admin/grants/spring", "{}", changed.body);
    let refused = browser.post("/admin/grants/spring/terms", &terms(&[("floor", "2000000")])).await;
    assert!(
        refused.body.contains("terms-floor-error") && refused.body.contains("2000000"),
        "{}",
        refused.body
    );
    let unsure = browser.post("/admin/grants/spring/close", &[]).await;
    assert!(unsure.status.as_u16() == 422 && unsure.body.contains("ticked"), "{}", unsure.body);
    let ended = browser.post("/admin/grants/spring/close", &[("understood", "1")]).await;
    assert_eq!(ended.status.as_u16(), 303, "{}", ended.body);
    let closed = grant(&plane, "spring").await;
    assert_eq!((closed.terms.epochs, closed.terms.floor), (1, 7));

    browser.post("/admin/new-grant", &terms(&[("grant", "autumn"), ("start", "30d")])).await;
    let gone = browser.post("/admin/drafts/autumn/discard", &[]).await;
    assert_eq!(gone.headers["location"], "/admin/grants", "{}", gone.body);
    assert_eq!(browser.get("/admin/drafts/autumn").await.status.as_u16(), 404);
}

#[tokio::test]
async fn nodes_are_admitted_and_leave_and_a_correction_waits_for_the_next_statement() {
    let (plane, mut north, mut south) = plane_with_terms(3, 5, |_| {}).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let third = plane.node("nordlicht", "de-fra", 9).await;
    let mut browser = signed_in(&plane).await;
    let here = "/admin/grants/spring";
    assert!(browser.get(here).await.ok().body.contains(third.id.as_str()), "it can be admitted");
    let taken = browser.post(&format!("{here}/nodes"), &[("node", "node-0")]).await;
    assert!(taken.status.as_u16() == 422 && taken.body.contains("there is no"), "{}", taken.body);
    let admitted = browser.post(&format!("{here}/nodes"), &[("node", third.id.as_str())]).await;
    assert_eq!(admitted.headers["location"], here, "{}", admitted.body);
    let left = browser.post(&format!("{here}/nodes/{}/leave", third.id), &[]).await;
    assert_eq!(left.headers["location"], here, "{}", left.body);
    assert!(grant(&plane, "spring").await.members.iter().any(|member| member.end_epoch.is_some()));

    let form = |sats, epoch, reason| {
        [("operator", "suedwind"), ("sats", sats), ("epoch", epoch), ("reason", reason)]
    };
    for (sats, epoch, reason, field) in [
        ("0", "1", "typo", "sats"),
        ("1.5", "1", "typo", "sats"),
        ("-20", "9", "typo", "epoch"),
        ("-20", "1", "Not <a> word", "reason"),
    ] {
        let page = browser.post(&format!("{here}/corrections"), &form(sats, epoch, reason)).await;
        assert_eq!(page.status.as_u16(), 422);
        assert!(page.body.contains(&format!("adjust-{field}-error")), "{field}: {}", page.body);
        let reason = reason.replace('<', "&#60;").replace('>', "&#62;");
        for kept in [sats, epoch, reason.as_str()] {
            assert!(page.body.contains(&format!("value=\"{kept}\"")), "{kept} is lost: {}", page.body);
        }
        assert!(page.body.contains("value=\"suedwind\" selected"), "{}", page.body);
    }
    let kept = browser.post(&format!("{here}/corrections"), &form("-20", "1", "late-report")).await;
    assert_eq!(kept.headers["location"], here, "{}", kept.body);
    let page = browser.get(here).await.ok();
    assert!(
        page.body.contains("late-report") && page.body.contains("waits for the next statement"),
        "{}",
        page.body
    );
    epoch(&plane, 2, &mut [(&mut north, MB), (&mut south, MB)]).await;
    closed(&plane, 2).await;
    assert!(browser.get(here).await.ok().body.contains("the statement of epoch 2"), "{}", page.body);
}

/// The token that a page shows this once.
fn shown(body: &str) -> String {
    let token = body.split("id=\"made-token\">").nth(1).unwrap_or_else(|| panic!("no token: {body}"));
    token.split('<').next().unwrap().to_owned()
}

/// What the token of this person is called, as the page lists it.
fn token_of(body: &str, holder: &str) -> String {
    let row = body.split(holder).next().unwrap();
    row.rsplit("<th scope=\"row\">").next().unwrap().split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_is_let_in_gets_a_token_that_is_shown_once_and_ends_when_it_is_revoked() {
    let plane = Plane::start().await;
    plane.grant("spring", 5, 500_000, |_| {}).await;
    let mut admin = signed_in(&plane).await;
    let all = "/admin/organisations";
    let refused = admin.post("/admin/operators", &[("operator", "Nord <b>"), ("vkey", "")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("operator-operator-error"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("Nord &#60;b&#62;"));
    let refused = admin.post("/admin/operators", &[("operator", "nordlicht"), ("vkey", "no key")]).await;
    assert!(refused.body.contains("operator-vkey-error") && refused.body.contains("value=\"no key\""));
    let refused = admin.post("/admin/auditors", &[("auditor", "eyes")]).await;
    assert!(
        refused.body.contains("auditor-grants-error") && refused.body.contains("value=\"eyes\""),
        "{}",
        refused.body
    );
    let refused = admin.post("/admin/funders", &[("funder", "fund"), ("grants", "autumn")]).await;
    assert!(refused.status.as_u16() == 422 && refused.body.contains("there is no"), "{}", refused.body);

    for (path, form, opens) in [
        ("operators", vec![("operator", "nordlicht")], "/operators/nordlicht"),
        ("distributors", vec![("distributor", "ngo")], "/codes"),
        ("funders", vec![("funder", "fund"), ("grants", "spring")], "/funder"),
        ("auditors", vec![("auditor", "eyes"), ("grants", "spring")], "/tokens"),
    ] {
        let made = admin.post(&format!("/admin/{path}"), &form).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.body);
        let token = shown(&made.body);
        assert!(!admin.get(all).await.ok().body.contains(&token), "shown once");
        let again = admin.post(&format!("/admin/{path}"), &form).await;
        assert!(again.status.as_u16() == 422 && again.body.contains("already"), "{}", again.body);
        let mut theirs = Browser::new(&plane);
        theirs.sign_in(&token).await;
        theirs.get(opens).await.ok();
        // Two people have two tokens; the last one does not end.
        assert_eq!(theirs.post("/tokens", &[("holder", "")]).await.status.as_u16(), 422);
        let second = theirs.post("/tokens", &[("holder", "Noor <n>")]).await;
        assert_eq!(second.status.as_u16(), 201, "{}", second.body);
        let mut noor = Browser::new(&plane);
        noor.sign_in(&shown(&second.body)).await;
        let id = token_of(&noor.get("/tokens").await.ok().body, "Noor &#60;n&#62;");
        assert_eq!(theirs.post(&format!("/tokens/{id}/revoke"), &[]).await.headers["location"], "/tokens");
        assert!(noor.get("/tokens").await.headers["location"].starts_with("/sign-in"), "it ended at once");
        let last = theirs.get("/tokens").await.ok();
        let id = last.body.split("action=\"/tokens/").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let kept = theirs.post(&format!("/tokens/{id}/revoke"), &[]).await;
        assert!(kept.status.as_u16() == 422 && kept.body.contains("is the last token"), "{}", kept.body);
    }
    // An administrator ends anybody's token, and makes one for anybody but an operator.
    let of = |role: &str, id: &str| format!("{all}/{role}/{id}");
    let page = admin.get(&of("operator", "nordlicht")).await.ok();
    assert!(!page.body.contains("Make a token"), "{}", page.body);
    let refused = admin.post(&of("operator", "nordlicht"), &[("holder", "Eve")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("nobody makes tokens"),
        "{}",
        refused.body
    );
    let made = admin.post(&of("funder", "fund"), &[("holder", "Emil")]).await;
    let mut emil = Browser::new(&plane);
    emil.sign_in(&shown(&made.body)).await;
    let id = token_of(&admin.get(&of("funder", "fund")).await.ok().body, "Emil");
    let ended = admin.post(&format!("{}/{id}/revoke", of("funder", "fund")), &[]).await;
    assert_eq!(ended.headers["location"], of("funder", "fund"), "{}", ended.body);
    assert!(emil.get("/funder").await.headers["location"].starts_with("/sign-in"));
    let tokens: List<Value> = plane.get("/organisations/funder/fund/tokens").await.json();
    assert!(tokens.items.iter().any(|token| token["holder"] == "Emil" && !token["revoked"].is_null()));
    assert_eq!(admin.get(&of("funder", "nobody")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_administrator_issues_a_distributors_codes_within_the_budget_that_a_page_sets() {
    let plane = Plane::start().await;
    let mut admin = signed_in(&plane).await;
    assert!(admin.get("/admin/codes").await.ok().body.contains("There is no distributor yet"));
    plane.distributor("ngo").await;
    let budget = "/admin/distributors/ngo/budget";
    for (codes, bytes, field) in [("few", "5TB", "codes"), ("5", "5TiB", "bytes")] {
        let page = admin.post(budget, &[("codes", codes), ("bytes", bytes)]).await;
        assert!(
            page.status.as_u16() == 422 && page.body.contains(&format!("budget-ngo-{field}-error")),
            "{}",
            page.body
        );
        assert!(
            page.body.contains(&format!("value=\"{codes}\""))
                && page.body.contains(&format!("value=\"{bytes}\""))
        );
    }
    let set = admin.post(budget, &[("codes", "3"), ("bytes", "")]).await;
    assert_eq!(set.headers["location"], "/admin/organisations#distributors", "{}", set.body);
    let all: List<Distributor> = plane.get("/distributors").await.json();
    assert_eq!((all.items[0].budget.codes, all.items[0].budget.bytes), (Some(3), None));

    assert!(admin.get("/admin/codes").await.ok().body.contains("/admin/codes?distributor=ngo"));
    let here = "/admin/codes?distributor=ngo";
    let form = |count| [("count", count), ("devices", "2"), ("gigabytes", "10"), ("days", "90")];
    let many = admin.post(here, &form("4")).await;
    assert!(many.status.as_u16() == 422 && many.body.contains("codes-count-error"), "{}", many.body);
    assert!(many.body.contains("value=\"4\"") && !many.body.contains("checked"), "{}", many.body);
    let made = admin.post(here, &form("3")).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    let code = made.body.split("data-code=\"").nth(1).unwrap().split(['#', '"']).nth(1).unwrap();
    let redeemed = Browser::new(&plane).post("/redeem", &[("code", code)]).await;
    assert_eq!(redeemed.headers["location"], "/devices");
    assert!(!admin.get(here).await.ok().body.contains(code), "shown once");
    // The same as a distributor's own, for programs too.
    let path = "/distributors/ngo/access-codes";
    let states: List<Value> = plane.get(path).await.json();
    assert_eq!(states.items.len(), 3);
    let body =
        json!({ "count": 1, "devices": 1, "quota_bytes": "1", "expires": plane.now().plus_seconds(60) });
    plane.post(path, body.clone()).await.problem(wiregrant_core::api::ProblemKind::Budget);
    let unknown = plane.ask(Method::POST, "/distributors/nobody/access-codes", &plane.admin, body).await;
    unknown.problem(wiregrant_core::api::ProblemKind::NotFound);
}

#[tokio::test]
async fn a_place_is_added_and_the_overview_says_whether_the_chain_is_followed() {
    let plane = Plane::start().await;
    let mut admin = signed_in(&plane).await;
    let refused =
        admin.post("/admin/locations", &[("location", "DE"), ("name", "Frankfurt <am> Main")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("place-location-error"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("Frankfurt &#60;am&#62; Main"));
    let added =
        admin.post("/admin/locations", &[("location", "de-fra"), ("name", "Frankfurt <am> Main")]).await;
    assert_eq!(added.headers["location"], "/admin#places", "{}", added.body);
    let page = admin.get("/admin").await.ok();
    assert!(
        page.body.contains("Frankfurt &#60;am&#62; Main") && page.body.contains("not followed"),
        "{}",
        page.body
    );
}
