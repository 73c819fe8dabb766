//! What a funder does on pages, from a batch that is asked for to the transaction that pays it, as a browser without JavaScript asks.

use wiregrant_core::api::{Batch, BatchState, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_payout as payout;

use crate::money::{MB, begin, closed, epoch, plane_with_grant};
use crate::support::browser::Browser;
use crate::support::{ADDRESS, Answered, OTHER_ADDRESS, Plane};

const HERE: &str = "/funder/grants/spring/new-batch";
/// A coin that nobody has: nothing here asks a chain.
const COIN: &str = "1111111111111111111111111111111111111111111111111111111111111111:0";

/// A grant with two operators who are paid somewhere, and one statement that is due.
async fn plane_with_lines() -> Plane {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    for operator in ["nordlicht", "suedwind"] {
        let pay = serde_json::json!({ "pay": ADDRESS });
        plane
            .ask(axum::http::Method::POST, &format!("/operators/{operator}/destination"), &plane.admin, pay)
            .await
            .ok();
    }
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    plane
}

async fn funder<'p>(plane: &'p Plane, funder: &str, grants: &[&str]) -> Browser<'p> {
    let token = plane.funder(funder, grants).await;
    let mut browser = Browser::new(plane);
    browser.sign_in(&token).await;
    browser
}

/// A new batch as the form sends it.
fn asked<'a>(batch: &'a str, typed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("batch", batch), ("stage", "frozen")];
    for name in ["replaces", "coins", "change", "fee_rate_sat_per_vb", "previous"] {
        let value = typed.iter().find(|(named, _)| *named == name).map_or("", |(_, value)| *value);
        form.push((name, value));
    }
    form
}

async fn state(plane: &Plane, batch: &str) -> BatchState {
    plane.get(&format!("/batches/{batch}")).await.json::<Batch>().state
}

#[track_caller]
fn leads_to(answered: &Answered, there: &str) {
    assert_eq!(answered.headers.get("location").map(String::as_str), Some(there), "{}", answered.body);
}

#[tokio::test]
async fn a_funder_takes_a_list_to_pay_away_in_every_form_that_wallets_import() {
    let plane = plane_with_lines().await;
    let mut browser = funder(&plane, "fund", &["spring"]).await;
    let page = browser.get(HERE).await.ok();
    for due in ["nordlicht", "suedwind", "value=\"spring-1\"", "Freeze it"] {
        assert!(page.body.contains(due), "{due}: {}", page.body);
    }
    let mut draft = asked("spring-1", &[]);
    draft[1] = ("stage", "draft");
    leads_to(&browser.post(HERE, &draft).await, "/batches/spring-1");
    let page = browser.get("/batches/spring-1").await.ok();
    assert!(
        page.body.contains("/batches/spring-1/freeze") && !page.body.contains("/export"),
        "{}",
        page.body
    );
    assert!(browser.get(HERE).await.ok().body.contains("value=\"spring-2\""), "the next free id");
    assert!(browser.get("/funder").await.ok().body.contains("a draft: it holds no line yet"));
    leads_to(&browser.post("/batches/spring-1/freeze", &[]).await, "/batches/spring-1");
    assert_eq!(state(&plane, "spring-1").await, BatchState::Frozen);
    let list = |form: &str| format!("/batches/spring-1/payees/{form}");
    assert_eq!(browser.get(&list("csv")).await.status.as_u16(), 404, "nothing has left");
    leads_to(&browser.post("/batches/spring-1/export", &[]).await, "/batches/spring-1");

    let batch: Batch = plane.get("/batches/spring-1").await.json();
    let note = Signed::<payout::Batch>::parse(&batch.note).unwrap().into_content();
    let page = browser.get("/batches/spring-1").await.ok();
    for (form, kind) in payout::export::Form::ALL {
        assert!(page.body.contains(&list(form)), "{}", page.body);
        let file = browser.get(&list(form)).await.ok();
        assert_eq!(file.body, payout::export(&note, kind).unwrap());
        assert!(file.headers["content-disposition"].contains(&format!("spring-1-{form}.")));
    }
    assert_eq!(browser.get(&list("pdf")).await.status.as_u16(), 404);

    // Which transaction pays it, refused beside the field and with what was typed.
    let there = "/batches/spring-1/transaction";
    for (name, typed, field) in
        [("txid", "typed <b>", "txid"), ("transaction", "00", "transaction"), ("psbt", "cHNi <x>", "psbt")]
    {
        let page = browser.post(there, &[(name, typed)]).await;
        assert!(
            page.status.as_u16() == 422 && page.body.contains(&format!("declare-{field}-error")),
            "{}",
            page.body
        );
        assert!(page.body.contains(&typed.replace('<', "&#60;").replace('>', "&#62;")), "{}", page.body);
    }
    let none = browser.post(there, &[]).await;
    assert!(none.status.as_u16() == 422 && none.body.contains("give one of txid"), "{}", none.body);
    leads_to(&browser.post(there, &[("txid", &"2".repeat(64))]).await, "/batches/spring-1");
}

#[tokio::test]
async fn a_funder_replaces_a_batch_by_one_that_spends_its_coin_and_cancels_another() {
    let plane = plane_with_lines().await;
    let mut browser = funder(&plane, "fund", &["spring"]).await;
    let coin = format!("{COIN}:10000000:{ADDRESS}");
    let with_coins = [("coins", coin.as_str()), ("change", OTHER_ADDRESS), ("fee_rate_sat_per_vb", "5")];
    for (batch, name, typed, field) in [
        ("Spring 1", "coins", coin.as_str(), "batch"),
        ("spring-1", "coins", "1111:0 <b>", "coins"),
        ("spring-1", "change", "nowhere", "change"),
        ("spring-1", "fee_rate_sat_per_vb", "fast", "fee_rate_sat_per_vb"),
        ("spring-1", "fee_rate_sat_per_vb", "", "fee_rate_sat_per_vb"),
        ("spring-1", "replaces", "spring-0", "batch"),
    ] {
        let mut typed_in = with_coins.to_vec();
        typed_in.retain(|(named, _)| *named != name);
        typed_in.push((name, typed));
        let page = browser.post(HERE, &asked(batch, &typed_in)).await;
        assert_eq!(page.status.as_u16(), 422, "{field}: {}", page.body);
        assert!(page.body.contains(&format!("id=\"batch-{field}-error\"")), "{field}: {}", page.body);
        for (_, kept) in asked(batch, &typed_in).into_iter().filter(|(name, _)| *name != "stage") {
            let kept = kept.replace('<', "&#60;").replace('>', "&#62;");
            assert!(page.body.contains(&kept), "{kept} is lost: {}", page.body);
        }
    }
    // A key of a wallet is refused, and is not on the page again.
    let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
    let page = browser.post(HERE, &asked("spring-1", &[("coins", key)])).await;
    assert!(page.status.as_u16() == 422 && !page.body.contains(key), "{}", page.body);

    leads_to(&browser.post(HERE, &asked("spring-1", &with_coins)).await, "/batches/spring-1");
    let early = browser.post(HERE, &asked("spring-2", &[("replaces", "spring-1")])).await;
    assert!(
        early.body.contains("batch-replaces-error") && early.body.contains("never left"),
        "{}",
        early.body
    );
    browser.post("/batches/spring-1/export", &[]).await;
    assert!(
        browser.get("/batches/spring-1/psbt").await.ok().headers["content-disposition"].contains(".psbt")
    );
    let page = browser.get("/batches/spring-1").await.ok();
    assert!(page.body.contains(&format!("{HERE}?replaces=spring-1")), "{}", page.body);
    assert!(browser.get(&format!("{HERE}?replaces=spring-1")).await.ok().body.contains("value=\"spring-1\""));
    let more = format!("{coin}\n{}:20000000:{ADDRESS}", COIN.replace('1', "3"));
    let other = [
        ("coins", more.as_str()),
        ("change", OTHER_ADDRESS),
        ("fee_rate_sat_per_vb", "9"),
        ("replaces", "spring-1"),
    ];
    leads_to(&browser.post(HERE, &asked("spring-2", &other)).await, "/batches/spring-2");
    assert_eq!(
        (state(&plane, "spring-1").await, state(&plane, "spring-2").await),
        (BatchState::Replaced, BatchState::Frozen)
    );
    let page = browser.get("/batches/spring-1").await.ok();
    assert!(page.body.contains("/batches/spring-2") && !page.body.contains("Cancel it"), "{}", page.body);

    // One that left is void only once it cannot be mined, or where the funder says that nobody has signed it.
    browser.post("/batches/spring-2/export", &[]).await;
    let cancel = "/batches/spring-2/cancel";
    let refused = browser.post(cancel, &[("reason", "Wrong fee <b>"), ("unsigned", "1")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("cancel-reason-error"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("Wrong fee &#60;b&#62;") && refused.body.contains("value=\"1\" checked"));
    leads_to(&browser.post(cancel, &[("reason", "wrong-fee")]).await, "/batches/spring-2");
    assert_eq!(state(&plane, "spring-2").await, BatchState::CancelPending);
    let page = browser.get("/batches/spring-2").await.ok();
    assert!(
        page.body.contains("to be cancelled") && page.body.contains("Cancelled: wrong-fee"),
        "{}",
        page.body
    );
    leads_to(&browser.post(cancel, &[("reason", "wrong-fee"), ("unsigned", "1")]).await, "/batches/spring-2");
    assert_eq!(state(&plane, "spring-2").await, BatchState::Void);
    let page = browser.get("/batches/spring-2").await.ok();
    assert!(!page.body.contains("/payees/") && !page.body.contains("This pays it"), "{}", page.body);
    assert!(browser.get(HERE).await.ok().body.contains("nordlicht"), "its lines are due again");
}

#[tokio::test]
async fn a_funder_names_auditors_of_their_own_grants_and_reaches_nothing_of_another_funders() {
    let plane = plane_with_lines().await;
    plane.grant("autumn", 5, 500_000, |_| {}).await;
    let mut browser = funder(&plane, "fund", &["spring"]).await;
    let name = "/funder/grants/spring/auditors";
    let refused = browser.post(name, &[("auditor", "Eyes <b>")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("auditor-spring-auditor-error"),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("Eyes &#60;b&#62;"));
    let made = browser.post(name, &[("auditor", "careful-eyes")]).await;
    assert!(made.status.as_u16() == 201 && made.body.contains("wiregrant-auditor-"), "{}", made.body);
    let page = browser.get("/funder").await.ok();
    assert!(page.body.contains("careful-eyes") && !page.body.contains("wiregrant-auditor-"), "shown once");

    leads_to(&browser.post(HERE, &asked("spring-1", &[])).await, "/batches/spring-1");
    let mut other = funder(&plane, "other", &["autumn"]).await;
    for (path, form) in
        [(HERE, asked("spring-9", &[])), ("/funder/grants/spring/auditors", vec![("auditor", "nosy")])]
    {
        assert_eq!(other.post(path, &form).await.status.as_u16(), 403, "{path}");
    }
    assert_eq!(other.get(HERE).await.status.as_u16(), 403);
    for what in ["export", "freeze", "transaction", "cancel"] {
        let path = format!("/batches/spring-1/{what}");
        let answered = other.post(&path, &[("reason", "nosy"), ("txid", &"2".repeat(64))]).await;
        assert_eq!(answered.status.as_u16(), 404, "{path}: {}", answered.body);
    }
    assert_eq!(other.get("/batches/spring-1/payees/csv").await.status.as_u16(), 404);
    assert_eq!(state(&plane, "spring-1").await, BatchState::Frozen);
    // The same for programs.
    let token = plane.token(&plane.funder("third", &["autumn"]).await, "Emil").await;
    let ask = |path: &'static str, body| plane.ask(axum::http::Method::POST, path, &token, body);
    let new = serde_json::json!({ "batch": "b-9", "grant": "spring", "stage": "frozen" });
    ask("/batches", new).await.problem(ProblemKind::Forbidden);
    ask("/batches/spring-1/freeze", serde_json::json!([])).await.problem(ProblemKind::NotFound);
    ask("/batches/spring-1/cancel", serde_json::json!({ "reason": "nosy" }))
        .await
        .problem(ProblemKind::NotFound);
}
