//! The pages for people, as a browser without JavaScript asks for them.

use axum::http::Method;
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{Desired, DeviceLevel};

use crate::support::browser::Browser;
use crate::support::{FakeNode, Plane, device_key};

const GB: u64 = 1_000_000_000;

async fn redeem(browser: &mut Browser<'_>, code: &str) {
    let answer = browser.post("/redeem", &[("code", code)]).await;
    assert_eq!((answer.status.as_u16(), answer.headers["location"].as_str()), (303, "/devices"));
}

async fn plane_with_node() -> (Plane, FakeNode, String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    (plane, node, ngo)
}

async fn keys_on(plane: &Plane, node: &FakeNode) -> Vec<String> {
    let desired: Desired = node.desired(plane, "").await.json();
    desired.peers.unwrap().iter().map(|peer| peer.public_key.to_string()).collect()
}

#[tokio::test]
async fn a_person_without_javascript_gets_a_file_with_a_hole_for_the_key_they_keep() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 2, 10 * GB).await.remove(0);
    let mut browser = Browser::new(&plane);
    assert!(browser.get("/redeem").await.ok().body.contains("Enter your access code"));
    redeem(&mut browser, &code.to_lowercase()).await;
    let (name, _) = browser.cookies[0].clone();
    assert_eq!(name, "__Host-wiregrant-code");
    let page = browser.get("/devices").await.ok();
    assert!(page.body.contains("No device yet") && page.body.contains("Quiet"), "{}", page.body);
    assert_eq!(page.headers["cache-control"], "no-store");

    let made = browser
        .post("/devices", &[("public_key", &device_key(50)), ("location", "de-fra"), ("own", "1")])
        .await
        .ok();
    assert!(made.body.contains("PrivateKey = PUT-YOUR-PRIVATE-KEY-HERE"), "{}", made.body);
    let file = browser.get(&format!("/devices/{}/file", BASE64URL_NOPAD.encode(&[50; 32]))).await.ok();
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"de-fra.conf\"");
    assert!(file.body.contains("Endpoint = 198.51.1.7:51820"));
    assert_eq!(keys_on(&plane, &node).await, [device_key(50)]);

    browser.post(&format!("/devices/{}/remove", BASE64URL_NOPAD.encode(&[50; 32])), &[]).await;
    assert!(browser.get("/devices?done=removed").await.ok().body.contains("The device was removed"));
    assert!(keys_on(&plane, &node).await.is_empty());
}

#[tokio::test]
async fn a_refused_code_says_why_in_the_persons_language_and_keeps_what_was_typed() {
    let (plane, _, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 1, GB).await.remove(0);
    for (language, unknown, expired) in [
        ("en", "not known here", "has expired"),
        ("ru", "здесь неизвестен", "истёк"),
        ("fa", "شناخته نشد", "مهلت این کد تمام شده"),
        ("zh", "找不到此访问码", "已过期"),
    ] {
        let (plane, code) = (&plane, &code);
        let mut browser = Browser::new(plane);
        browser.language = language;
        for typed in ["hello <there>", "00000-00000-00000-00000"] {
            let page = browser.post("/redeem", &[("code", typed)]).await;
            assert!(page.status.is_client_error() && page.body.contains(unknown), "{}", page.body);
            let kept = typed.replace('<', "&#60;").replace('>', "&#62;");
            assert!(page.body.contains(&format!("value=\"{kept}\"")), "{}", page.body);
        }
        plane.clock.advance(40 * 24 * 3600);
        let page = browser.post("/redeem", &[("code", code)]).await;
        assert_eq!(page.status.as_u16(), 410);
        assert!(page.body.contains(expired) && page.body.contains(code.as_str()), "{}", page.body);
        plane.clock.advance(-40 * 24 * 3600);
    }
}

#[tokio::test]
async fn what_goes_wrong_with_a_device_is_told_beside_what_was_typed() {
    let (plane, _, ngo) = plane_with_node().await;
    plane.location("is-rkv").await;
    let codes = plane.codes(&ngo, 2, 1, GB).await;
    let mut browser = Browser::new(&plane);
    redeem(&mut browser, &codes[0]).await;
    for (key, location, status, told) in [
        ("not a key", "de-fra", 400, "not a WireGuard public key"),
        (&device_key(60), "is-rkv", 503, "no room at this place"),
    ] {
        let page = browser.post("/devices", &[("public_key", key), ("location", location)]).await;
        assert_eq!(page.status.as_u16(), status, "{}", page.body);
        assert!(page.body.contains(told) && page.body.contains(&format!("value=\"{key}\"")), "{}", page.body);
        let json = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
        let answer = browser
            .ask(Method::POST, "/devices", &json, &[("public_key", key), ("location", location)])
            .await;
        let message: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(message["message"].as_str().unwrap().contains(told), "{message}");
    }
    browser.post("/devices", &[("public_key", &device_key(60))]).await.ok();
    let page = browser.post("/devices", &[("public_key", &device_key(61))]).await;
    assert!(
        page.status.as_u16() == 409 && page.body.contains("All devices of this code are given out"),
        "{}",
        page.body
    );
    let mut other = Browser::new(&plane);
    redeem(&mut other, &codes[1]).await;
    let page = other.post("/devices", &[("public_key", &device_key(60))]).await;
    assert!(page.body.contains("belongs, or once belonged, to another device"), "{}", page.body);
    let others = format!("/devices/{}/remove", BASE64URL_NOPAD.encode(&[60; 32]));
    assert_eq!(other.post(&others, &[]).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_device_that_moves_leaves_its_node_and_brings_what_is_surely_left() {
    let (plane, north, ngo) = plane_with_node().await;
    plane.operator("suedwind").await;
    plane.location("is-rkv").await;
    let south = plane.node("suedwind", "is-rkv", 2).await;
    let code = plane.codes(&ngo, 1, 1, 10 * GB).await.remove(0);
    let mut browser = Browser::new(&plane);
    redeem(&mut browser, &code).await;
    browser.post("/devices", &[("public_key", &device_key(50)), ("location", "de-fra")]).await.ok();
    let moved =
        [("public_key", device_key(51)), ("replaces", device_key(50)), ("location", "is-rkv".to_owned())];
    let moved: Vec<(&str, &str)> = moved.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/devices", &moved).await.ok();
    assert!(keys_on(&plane, &north).await.is_empty());
    let desired: Desired = south.desired(&plane, "").await.json();
    let peer = &desired.peers.unwrap()[0];
    assert_eq!((peer.public_key.to_string(), peer.allotment.get()), (device_key(51), 10 * GB));
    browser.post("/devices", &moved).await.ok(); // sent again: nothing more happens
    assert_eq!(keys_on(&plane, &south).await.len(), 1);

    let level = DeviceLevel { public_key: [51; 32].into(), level: Level::UnderATenth };
    south.tell(&plane, |said| said.levels = vec![level]).await.ok();
    let page =
        browser.post("/devices", &[("public_key", &device_key(52)), ("replaces", &device_key(51))]).await;
    assert!(page.body.contains("Almost nothing is left"), "{}", page.body);
    assert_eq!(keys_on(&plane, &south).await, [device_key(51)], "a move that fails takes nothing away");
}

#[tokio::test]
async fn deleting_everything_removes_all_devices_and_forgets_the_code() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 3, 3 * GB).await.remove(0);
    let mut browser = Browser::new(&plane);
    redeem(&mut browser, &code).await;
    for key in [50, 51] {
        browser.post("/devices", &[("public_key", &device_key(key))]).await.ok();
    }
    let answer = browser.post("/devices/delete-all", &[]).await;
    assert_eq!(answer.headers["location"], "/redeem");
    assert!(browser.cookies.is_empty() && keys_on(&plane, &node).await.is_empty());
    assert_eq!(browser.get("/devices").await.headers["location"], "/redeem");
}

#[tokio::test]
async fn what_another_site_sends_is_refused_and_says_so() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 3, 3 * GB).await.remove(0);
    let mut browser = Browser::new(&plane);
    redeem(&mut browser, &code).await;
    let key = device_key(50);
    for header in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let answer = browser.ask(Method::POST, "/devices", &[header], &[("public_key", &key)]).await;
        assert!(
            answer.status.as_u16() == 403 && answer.body.contains("came from another site"),
            "{}",
            answer.body
        );
    }
    let own = [("origin", "https://grants.example")];
    browser.ask(Method::POST, "/devices", &own, &[("public_key", &key)]).await.ok();
    assert_eq!(keys_on(&plane, &node).await.len(), 1);
}

#[tokio::test]
async fn a_language_is_chosen_once_and_a_policy_stands_on_every_page() {
    let plane = Plane::start().await;
    let mut browser = Browser::new(&plane);
    assert!(browser.get("/help?lang=fa").await.ok().body.contains("<html lang=\"fa\" dir=\"rtl\">"));
    let page = browser.get("/redeem").await.ok();
    assert!(page.body.contains("کد دسترسی"), "{}", page.body);
    let policy = &page.headers["content-security-policy"];
    assert!(
        !policy.contains("unsafe") && !policy.contains("data:") && policy.contains("trusted-types 'none'")
    );
    assert_eq!(page.headers["referrer-policy"], "same-origin");
}

/// Every text that a language has for one thing, in the order of the table in `words`.
type Told = [&'static str; 4];

/// What a browser and a module are told of a refused device, in one language.
async fn refused_device(
    browser: &mut Browser<'_>,
    (key, location): (&str, &str),
    (status, told): (u16, &str),
) {
    let form = [("public_key", key), ("location", location), ("socks5", "1")];
    let page = browser.post("/devices", &form).await;
    assert_eq!(page.status.as_u16(), status, "{}", page.body);
    assert!(page.body.contains(told), "{told}: {}", page.body);
    assert!(page.body.contains(&format!("value=\"{key}\"")), "the key is lost: {}", page.body);
    let json = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
    let answer = browser.ask(Method::POST, "/devices", &json, &form).await;
    let message: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(message["message"].as_str().unwrap().contains(told), "{message}");
}

#[tokio::test]
async fn a_code_that_is_used_up_or_has_expired_and_a_full_place_are_told_in_every_language() {
    let full: Told = ["no room at this place", "всё занято", "در این مکان جایی نیست", "没有空位"];
    let used_up: Told = ["All devices of this code", "уже выданы все", "استفاده شده است", "名额已用完"];
    let expired: Told = ["has expired", "истёк", "مهلت این کد تمام شده", "已过期"];
    let no_key: Told =
        ["not a WireGuard public key", "не открытый ключ", "کلید عمومی وایرگارد نیست", "不是 WireGuard 公钥"];
    for (at, language) in ["en", "ru", "fa", "zh"].into_iter().enumerate() {
        let (plane, _, ngo) = plane_with_node().await;
        plane.location("is-rkv").await;
        let code = plane.codes(&ngo, 1, 1, GB).await.remove(0);
        let mut browser = Browser::new(&plane);
        browser.language = language;
        redeem(&mut browser, &code).await;
        let key = device_key(60);
        refused_device(&mut browser, ("typed here", "de-fra"), (400, no_key[at])).await;
        refused_device(&mut browser, (&key, "is-rkv"), (503, full[at])).await;
        browser.post("/devices", &[("public_key", &key)]).await.ok();
        refused_device(&mut browser, (&device_key(61), "de-fra"), (409, used_up[at])).await;
        plane.clock.advance(40 * 24 * 3600);
        refused_device(&mut browser, (&device_key(62), "de-fra"), (410, expired[at])).await;
    }
}

#[tokio::test]
async fn a_server_that_is_busy_says_so_in_every_language_and_offers_to_send_the_same_again() {
    let busy: Told = ["busy or restarting", "занят или перезапускается", "شلوغ است", "正在重启"];
    let again: Told = ["Send it again", "Отправить ещё раз", "دوباره بفرست", "重新提交"];
    let (plane, _, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 1, GB).await.remove(0);
    let mut known = Browser::new(&plane);
    redeem(&mut known, &code).await;
    let mut staff = Browser::new(&plane);
    staff.sign_in(&plane.admin).await;
    plane.plane.store.close().await;
    for (at, language) in ["en", "ru", "fa", "zh"].into_iter().enumerate() {
        for (path, form) in [
            ("/redeem", vec![("code", code.as_str())]),
            ("/devices", vec![("public_key", "typed <here>"), ("location", "de-fra")]),
        ] {
            known.language = language;
            let page = known.post(path, &form).await;
            assert_eq!(page.status.as_u16(), 503, "{}", page.body);
            assert!(page.headers.contains_key("retry-after"));
            assert!(page.body.contains(busy[at]) && page.body.contains(again[at]), "{}", page.body);
            assert!(page.body.contains(&format!("action=\"{path}\"")), "{}", page.body);
            for (name, value) in form {
                let value = value.replace('<', "&#60;").replace('>', "&#62;");
                let kept = format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
                assert!(page.body.contains(&kept), "{kept} is lost: {}", page.body);
            }
            let json = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
            let told = known.ask(Method::POST, path, &json, &[("code", &code)]).await;
            assert!(told.status.as_u16() == 503 && told.body.contains(busy[at]), "{}", told.body);
        }
    }
    // Staff too; but a token, or what looks like a key of a wallet, is in no answer.
    let page = staff.post("/admin/locations", &[("location", "de-fra"), ("name", "Main <st>")]).await;
    assert!(
        page.status.as_u16() == 503 && page.body.contains("value=\"Main &#60;st&#62;\""),
        "{}",
        page.body
    );
    let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
    let page = staff.post("/operators/nordlicht/destination", &[("destination", key)]).await;
    assert!(page.status.as_u16() == 503 && !page.body.contains(key), "{}", page.body);
    let page = staff.post("/sign-in", &[("token", "wiregrant-operator-AAAA")]).await;
    assert!(page.status.as_u16() == 503 && !page.body.contains("wiregrant-operator-AAAA"), "{}", page.body);
}
