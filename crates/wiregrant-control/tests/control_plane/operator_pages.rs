//! The pages for operators, as a browser asks for them.

use axum::http::Method;
use serde_json::Value;
use wiregrant_core::usage_report::Class;

use crate::support::browser::{Browser, HERE};
use crate::support::{ADDRESS, FakeNode, OTHER_ADDRESS, Plane, label};

async fn plane_with_node() -> (Plane, FakeNode, String) {
    let plane = Plane::start().await;
    let token = plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    (plane, node, token)
}

#[tokio::test]
async fn an_operator_sees_their_own_nodes_and_nobody_elses() {
    let (plane, node, token) = plane_with_node().await;
    let other = plane.operator("suedwind").await;
    let mut browser = Browser::new(&plane);
    let lost = browser.get("/operators/nordlicht").await;
    assert_eq!(lost.headers["location"], "/sign-in?next=/operators/nordlicht");
    browser.sign_in(&token).await;
    assert_eq!(browser.get("/operator").await.headers["location"], "/operators/nordlicht");
    let page = browser.get("/operators/nordlicht").await.ok();
    assert!(page.body.contains(node.id.as_str()) && page.body.contains("Serving"), "{}", page.body);
    assert_eq!(page.headers["cache-control"], "no-store");
    plane.clock.advance(4 * 3600);
    assert!(browser.get("/operators/nordlicht").await.ok().body.contains("Silent for 4 h"));

    let mut others = Browser::new(&plane);
    others.sign_in(&other).await;
    for path in ["", "/traffic", "/enrol", "/credit", "/payouts", "/destination"] {
        let page = others.get(&format!("/operators/nordlicht{path}")).await;
        assert_eq!(page.status.as_u16(), 403, "{path}");
        assert!(
            page.body.contains("<!doctype html>") && page.body.contains("is not suedwind"),
            "{}",
            page.body
        );
        browser.get(&format!("/operators/nordlicht{path}")).await.ok();
    }
}

#[tokio::test]
async fn a_node_stands_with_its_rate_its_limits_and_what_is_left_of_its_month() {
    let (plane, mut node, token) = plane_with_node().await;
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    let page = async |browser: &mut Browser<'_>| {
        browser.get("/operators/nordlicht").await.ok().body.replace('\u{202f}', " ")
    };
    let before = page(&mut browser).await;
    assert!(
        before.contains("no limit") && before.contains("no budget") && before.contains("0.0 to people"),
        "{before}"
    );

    node.tell(&plane, |said| {
        said.megabits_per_second = Some(500);
        said.gigabytes_per_month = Some(20_000);
    })
    .await
    .ok();
    plane.clock.advance(60);
    // 108 GB to people are 10 Mbit/s over a day, and 27 from them a quarter of that.
    node.serve(Class::Assigned, 27_000_000_000, 108_000_000_000);
    node.report(&plane, plane.now(), |_| {}).await;
    assert!(page(&mut browser).await.contains("0.0 to people"), "the hour under way is not over");
    plane.clock.advance(3_600);
    node.desired(&plane, "").await.ok();
    let shown = page(&mut browser).await;
    for part in [
        "10.0 to people",
        "2.5 from people",
        "at most 500 each way",
        "135 GB",
        "of <span class=\"amount\" title=\"20000000000000 bytes\">20 000 GB",
        "1 of 1",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    // Charts are remembered until a node reports again.
    for bytes in [0, 65_000_000_000] {
        node.serve(Class::Assigned, bytes, 0);
        node.report(&plane, plane.now(), |_| {}).await;
        for of in ["".to_owned(), format!("?node={}", node.id)] {
            let traffic = browser.get(&format!("/operators/nordlicht/traffic{of}")).await.ok();
            assert!(traffic.body.contains(if bytes == 0 { "135 GB" } else { "200 GB" }), "{}", traffic.body);
        }
    }
    // A day later nothing moved in the day, and the month's sum stands; with the next month it begins anew.
    plane.clock.advance(86_400);
    let shown = page(&mut browser).await;
    assert!(
        shown.contains("0.0 to people")
            && shown.contains(
                "data-label=\"This month\"><span><span class=\"amount\" title=\"200000000000 bytes\""
            ),
        "{shown}"
    );
    plane.clock.advance(31 * 86_400);
    browser.sign_in(&token).await;
    let shown = page(&mut browser).await;
    assert!(
        shown.contains("data-label=\"This month\"><span><span class=\"amount\" title=\"0 bytes\""),
        "{shown}"
    );
}

#[tokio::test]
async fn an_invitation_is_shown_once_and_the_page_turns_when_its_node_is_there() {
    let (plane, _, token) = plane_with_node().await;
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    for (form, told) in [
        (vec![("understood", "1")], "Choose where the node stands"),
        (vec![("location", "de-fra")], "notice on safety"),
    ] {
        let page = browser.post("/operators/nordlicht/enrol", &form).await;
        assert!(page.status.as_u16() == 422 && page.body.contains(told), "{}", page.body);
    }
    let made =
        browser.post("/operators/nordlicht/enrol", &[("location", "de-fra"), ("understood", "1")]).await.ok();
    let part = |begin: &str, end: &str| {
        made.body.split(begin).nth(1).and_then(|rest| rest.split(end).next()).expect(begin).to_owned()
    };
    let invitation = part("wiregrant-agent join ", "</pre>");
    let watch = part("data-watch=\"", "\"");
    assert!(!watch.contains(&invitation[12..40]), "what is asked again and again is no secret");
    let json = [HERE, ("accept", "application/json")];
    let waiting: Value = browser.ask(Method::GET, &watch, &json, &[]).await.json();
    assert_eq!(waiting["node"], Value::Null);
    let again = browser.get(&watch).await.ok();
    assert!(
        again.body.contains("Waiting for your node") && !again.body.contains("wiregrant1."),
        "{}",
        again.body
    );

    let node = FakeNode::join_by(&plane, &invitation, 7, "198.51.7.7:51820").await;
    let waiting: Value = browser.ask(Method::GET, &watch, &json, &[]).await.json();
    assert_eq!(waiting["node"], Value::Null, "it has joined, and its agent was not heard of yet");
    node.desired(&plane, "").await.ok();
    let joined: Value = browser.ask(Method::GET, &watch, &json, &[]).await.json();
    assert_eq!(joined["node"], node.id.as_str());
    assert!(browser.get(&watch).await.ok().body.contains("Here it is"));
}

#[tokio::test]
async fn a_destination_is_changed_by_form_and_what_is_refused_keeps_what_was_typed_but_secrets() {
    let (plane, _, token) = plane_with_node().await;
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    let path = "/operators/nordlicht/destination";
    assert!(browser.get(path).await.ok().body.contains("None yet"));
    for address in [ADDRESS, OTHER_ADDRESS] {
        let answer = browser.post(path, &[("destination", address)]).await;
        assert_eq!(answer.headers["location"], path, "{}", answer.body);
        let page = browser.get(path).await.ok();
        assert!(
            page.body.contains(address) && page.body.contains("not signed by the operator"),
            "{}",
            page.body
        );
    }
    let refused = browser.post(path, &[("destination", "no <address>")]).await;
    assert!(
        refused.status.as_u16() == 422 && refused.body.contains("no &#60;address&#62;"),
        "{}",
        refused.body
    );
    let secret = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA";
    for form in [&[("destination", secret)][..], &[("destination", ADDRESS), ("proof", secret)]] {
        let refused = browser.post(path, form).await;
        assert!(refused.status.as_u16() == 422 && !refused.body.contains(secret), "{}", refused.body);
    }
    let page = browser.get(path).await.ok();
    let young = page.body.contains("until then you are paid at the one before")
        && page.body.contains("Payments follow it 3 days later");
    assert!(young && page.body.contains("not proven"), "{}", page.body);
    // The line is shown with the address's place in it, and in full where the signature is of another one.
    assert!(page.body.contains("wiregrant: nordlicht is paid at YOUR-ADDRESS by "), "{}", page.body);
    let refused = browser.post(path, &[("destination", ADDRESS), ("proof", "smpAkcwRAIg")]).await;
    let told = refused.body.contains(&format!("wiregrant: nordlicht is paid at {ADDRESS} by "));
    assert!(
        refused.status.as_u16() == 422 && told && refused.body.contains("smpAkcwRAIg"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn every_byte_that_is_carried_or_does_not_count_is_explained_and_payouts_say_where_they_are() {
    let (plane, mut node, token) = plane_with_node().await;
    plane.grant("spring", 1, 500_000, |_| {}).await;
    plane.admit("spring", &node).await;
    plane.clock.advance(90);
    node.serve(Class::Assigned, 1_000_000, 2_400_000);
    node.report(&plane, plane.now(), |report| report.epoch = label("spring", 1)).await;
    plane.clock.advance(60);
    plane.close("spring", 1).await.ok();
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    let credit = browser.get("/operators/nordlicht/credit").await.ok();
    for part in [node.id.as_str(), "epoch 1", "placed on this node can use together"] {
        assert!(credit.body.contains(part), "{part} is missing in\n{}", credit.body);
    }
    let payouts = browser.get("/operators/nordlicht/payouts").await.ok();
    assert!(payouts.body.contains("/r/spring/epoch-1/"), "{}", payouts.body);

    // What comes after the last statement is counted by none, and its operator is told.
    assert!(!credit.body.contains("last statement"), "{}", credit.body);
    node.serve(Class::Assigned, 0, 7_000_000);
    let end = node.end;
    node.report(&plane, end, |report| report.epoch = label("spring", 1)).await;
    let credit = browser.get("/operators/nordlicht/credit").await.ok();
    for part in ["came after the grant&#39;s last statement", "7000000 bytes"] {
        assert!(credit.body.contains(part), "{part} is missing in\n{}", credit.body);
    }
    let path = "/grants/spring/epochs/1/credit";
    let told: Value = plane.ask(Method::GET, path, &token, Value::Null).await.json();
    assert_eq!(told["items"][0]["late"], "7000000");
}

#[tokio::test]
async fn an_operator_objects_on_their_page_and_not_without_end() {
    let (plane, mut node, token) = plane_with_node().await;
    plane.grant("spring", 1, 500_000, |_| {}).await;
    plane.admit("spring", &node).await;
    plane.clock.advance(90);
    node.serve(Class::Assigned, 1_000_000, 2_400_000);
    node.report(&plane, plane.now(), |report| report.epoch = label("spring", 1)).await;
    plane.clock.advance(60);
    plane.close("spring", 1).await.ok();
    let (mut browser, mut administrator) = (Browser::new(&plane), Browser::new(&plane));
    browser.sign_in(&token).await;
    let admin = plane.admin.clone();
    administrator.sign_in(&admin).await;
    let path = "/operators/nordlicht/payouts/spring/1/object";
    let form = [("reason", "wrong-count"), ("detail", "see <logs>")];
    assert_eq!(administrator.post(path, &form).await.status.as_u16(), 403);
    let refused = browser.post(path, &[("reason", "Two words"), ("detail", "")]).await;
    assert!(refused.status.as_u16() == 422 && refused.body.contains("Two words"), "{}", refused.body);
    for _ in 0..8 {
        let answer = browser.post(path, &form).await;
        assert_eq!(answer.headers["location"], "/operators/nordlicht/payouts", "{}", answer.body);
    }
    let page = browser.get("/operators/nordlicht/payouts").await.ok();
    assert!(page.body.contains("object: wrong-count (see &#60;logs&#62;)"), "{}", page.body);
    let refused = browser.post(path, &form).await;
    assert!(refused.status.as_u16() == 422 && refused.body.contains("eight objections"), "{}", refused.body);
}
