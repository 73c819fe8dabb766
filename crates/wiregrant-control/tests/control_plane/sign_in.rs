//! Signing in: tokens of named people, sessions of browsers, and what neither may do.

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use transparency_log::SigningKey;
use wiregrant_control::bootstrap;
use wiregrant_control::sign_in::{SESSIONS_PER_TOKEN, lifetime};
use wiregrant_core::Timestamp;
use wiregrant_core::api::{List, Me, PREFIX, ProblemKind, Recovered, Role, Token};
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::recovery::Recovery;

use crate::support::{ADDRESS, Answered, Plane, device_key};

/// Another site's page, and this one's, as a browser tells of them.
const ELSEWHERE: (&str, &str) = ("sec-fetch-site", "cross-site");
const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn form(plane: &Plane, path: &str, cookie: &str, from: (&str, &str), body: &str) -> Answered {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, "grants.example")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookie)
        .header(from.0, from.1)
        .body(Body::from(body.to_owned()))
        .unwrap();
    plane.send(request).await
}

/// Asks the API as a browser that is signed in.
async fn as_browser(plane: &Plane, method: Method, path: &str, cookie: &str, from: (&str, &str)) -> Answered {
    let request = Request::builder()
        .method(method)
        .uri(format!("{PREFIX}{path}"))
        .header(header::HOST, "grants.example")
        .header(header::COOKIE, cookie)
        .header(from.0, from.1)
        .body(Body::from("{}"))
        .unwrap();
    plane.send(request).await
}

/// Signs a browser in; its cookie.
async fn signed_in(plane: &Plane, token: &str) -> String {
    let answered = form(plane, "/sign-in", "", HERE, &format!("token={token}&next=/r/")).await;
    assert_eq!((answered.status.as_u16(), &*answered.headers["location"]), (303, "/r/"), "{}", answered.body);
    let set = &answered.headers["set-cookie"];
    assert!(
        set.starts_with("__Host-wiregrant=") && set.contains("; Secure") && set.contains("HttpOnly"),
        "{set}"
    );
    assert_eq!(answered.headers["cache-control"], "no-store");
    set.split(';').next().unwrap().to_owned()
}

async fn me(plane: &Plane, cookie: &str) -> Answered {
    as_browser(plane, Method::GET, "/me", cookie, HERE).await
}

#[tokio::test]
async fn the_first_token_signs_in_once_and_opens_nothing_but_the_way_to_another() {
    let plane = Plane::start().await;
    let file = plane.folder.path().join(bootstrap::FILE);
    assert!(!file.exists(), "it was used up when the plane was started");
    let (config, keys) = (&plane.plane.config, &plane.plane.keys);
    bootstrap::make_again(config, keys, &plane.plane.store, &plane.clock).await.unwrap();
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    for path in ["/operators", "/me", "/tokens"] {
        plane.ask(Method::GET, path, &token, Value::Null).await.problem(ProblemKind::Forbidden);
    }
    let cookie = signed_in(&plane, &token).await;
    assert!(!file.exists());
    let shown: Me = me(&plane, &cookie).await.json();
    assert_eq!((shown.organisation.role, shown.holder.as_str()), (Role::Administrator, "bootstrap"));
    let again = form(&plane, "/sign-in", "", HERE, &format!("token={token}")).await;
    assert_eq!(again.status.as_u16(), 401);
    assert!(again.body.contains("signed in once already"), "{}", again.body);
    plane
        .ask(Method::POST, "/tokens", &token, json!({ "holder": "Eve" }))
        .await
        .problem(ProblemKind::Unauthorized);
    let plane = plane.restart().await;
    assert!(!file.exists(), "it is not made again unasked");
    assert!(me(&plane, &cookie).await.status.is_success(), "a session outlives a restart");
}

#[tokio::test]
async fn two_people_of_an_organisation_are_two_tokens_each_revoked_by_itself() {
    let plane = Plane::start().await;
    let first = plane.operator("nordlicht").await;
    let other = plane.operator("hearth").await;
    plane.clock.advance(1);
    let anna = plane.token(&first, "Anna").await;
    let listed: List<Token> = plane.ask(Method::GET, "/tokens", &anna, Value::Null).await.json();
    let people: Vec<_> = listed.items.iter().map(|token| token.holder.as_str()).collect();
    assert_eq!(people, ["nordlicht", "Anna"]);
    let (of_first, of_anna) = (&listed.items[0], &listed.items[1]);
    assert_eq!(of_anna.made_by.as_ref(), Some(&of_first.id));
    let cookie = signed_in(&plane, &anna).await;

    let path = format!("/tokens/{}", of_anna.id);
    plane.ask(Method::DELETE, &path, &other, Value::Null).await.problem(ProblemKind::NotFound);
    let revoked: Token = plane.ask(Method::DELETE, &path, &first, Value::Null).await.json();
    assert_eq!(revoked.revoked, Some(plane.now()));
    plane.ask(Method::GET, "/me", &anna, Value::Null).await.problem(ProblemKind::Unauthorized);
    me(&plane, &cookie).await.problem(ProblemKind::Unauthorized);
    let last = format!("/tokens/{}", of_first.id);
    plane.ask(Method::DELETE, &last, &first, Value::Null).await.problem(ProblemKind::Conflict);
    plane.ask(Method::DELETE, &last, &plane.admin, Value::Null).await.ok();
    plane.ask(Method::GET, "/me", &first, Value::Null).await.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn nobody_makes_a_token_that_signs_in_as_someone_they_may_not_be() {
    let plane = Plane::start().await;
    let operator = plane.operator("nordlicht").await;
    let ngo = plane.distributor("ngo").await;
    let ask = async |token: &str, role: &str, id: &str| {
        let body = json!({ "holder": "Eve", "organisation": { "role": role, "id": id } });
        plane.ask(Method::POST, "/tokens", token, body).await
    };
    ask(&plane.admin, "operator", "nordlicht").await.problem(ProblemKind::Forbidden);
    ask(&operator, "distributor", "ngo").await.problem(ProblemKind::Forbidden);
    ask(&ngo, "administrator", "").await.problem(ProblemKind::Forbidden);
    ask(&plane.admin, "funder", "nobody").await.problem(ProblemKind::NotFound);
    ask(&plane.admin, "distributor", "Nobody!").await.problem(ProblemKind::InvalidRequest);
    let made: Value = ask(&plane.admin, "distributor", "ngo").await.json();
    let token = made["token"].as_str().unwrap();
    let shown: Me = plane.ask(Method::GET, "/me", token, Value::Null).await.json();
    assert_eq!(shown.organisation.id.as_deref(), Some("ngo"));
    ask(&operator, "operator", "nordlicht").await.ok();
}

#[tokio::test]
async fn a_funder_names_auditors_for_their_own_grants_and_sees_no_others() {
    let plane = Plane::start().await;
    plane.grant("spring", 1, 1_000, |_| {}).await;
    plane.grant("summer", 1, 1_000, |_| {}).await;
    let fund = plane.funder("fund", &["spring"]).await;
    plane.auditor("both", &["spring", "summer"]).await;
    plane.auditor("other", &["summer"]).await;
    let name = async |auditor: &str, grants: Value| {
        plane.ask(Method::POST, "/auditors", &fund, json!({ "auditor": auditor, "grants": grants })).await
    };
    name("theirs", json!(["spring"])).await.ok();
    name("theirs", json!(["spring"])).await.problem(ProblemKind::AlreadyExists);
    name("foreign", json!(["spring", "summer"])).await.problem(ProblemKind::Forbidden);
    name("none", json!([])).await.problem(ProblemKind::InvalidRequest);
    name("twice", json!(["spring", "spring"])).await.problem(ProblemKind::InvalidRequest);
    name("unknown", json!(["winter"])).await.problem(ProblemKind::NotFound);
    let shown: Value = plane.ask(Method::GET, "/auditors", &fund, Value::Null).await.json();
    assert_eq!(
        shown["items"],
        json!([{ "auditor": "both", "grants": ["spring"] }, { "auditor": "theirs", "grants": ["spring"] }])
    );
    let funders: Value = plane.get("/funders").await.json();
    assert_eq!(funders["items"], json!([{ "funder": "fund", "grants": ["spring"] }]));
}

#[tokio::test]
async fn another_site_cannot_use_a_signed_in_browser() {
    let plane = Plane::start().await;
    let cookie = signed_in(&plane, &plane.admin).await;
    as_browser(&plane, Method::POST, "/locations", &cookie, ELSEWHERE).await.problem(ProblemKind::CrossSite);
    as_browser(&plane, Method::POST, "/locations", &cookie, ("origin", "null"))
        .await
        .problem(ProblemKind::CrossSite);
    // From here it gets as far as its body.
    for from in [HERE, ("origin", "https://grants.example")] {
        as_browser(&plane, Method::POST, "/locations", &cookie, from)
            .await
            .problem(ProblemKind::InvalidRequest);
    }
    for path in ["/sign-in", "/sign-out"] {
        let refused = form(&plane, path, &cookie, ELSEWHERE, "token=x").await;
        assert_eq!(refused.status.as_u16(), ProblemKind::CrossSite.status());
        assert!(refused.body.contains(ProblemKind::CrossSite.title()), "{}", refused.body);
    }
    assert!(me(&plane, &cookie).await.status.is_success());
}

#[tokio::test]
async fn a_session_ends_by_signing_out_by_rest_and_by_age() {
    let plane = Plane::start().await;
    let cookie = signed_in(&plane, &plane.admin).await;
    let out = form(&plane, "/sign-out", &cookie, HERE, "").await;
    assert!(out.headers["set-cookie"].contains("Max-Age=0"));
    me(&plane, &cookie).await.problem(ProblemKind::Unauthorized);

    let cookie = signed_in(&plane, &plane.admin).await;
    let limits = lifetime(Role::Administrator);
    let (in_all, idle) = (limits.in_all.cast_signed(), limits.idle.cast_signed());
    plane.clock.advance(idle - 1);
    me(&plane, &cookie).await.ok();
    plane.clock.advance(idle - 1);
    me(&plane, &cookie).await.ok();
    plane.clock.advance(idle);
    me(&plane, &cookie).await.problem(ProblemKind::Unauthorized);

    let cookie = signed_in(&plane, &plane.admin).await;
    let mut age = 0;
    while age + idle - 1 < in_all {
        plane.clock.advance(idle - 1);
        age += idle - 1;
        me(&plane, &cookie).await.ok();
    }
    plane.clock.advance(in_all - age);
    me(&plane, &cookie).await.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest() {
    let plane = Plane::start().await;
    let first = signed_in(&plane, &plane.admin).await;
    plane.clock.advance(1);
    let second = signed_in(&plane, &plane.admin).await;
    for _ in 2..=SESSIONS_PER_TOKEN {
        plane.clock.advance(1);
        signed_in(&plane, &plane.admin).await;
    }
    me(&plane, &first).await.problem(ProblemKind::Unauthorized);
    me(&plane, &second).await.ok();
}

#[tokio::test]
async fn a_wrong_token_is_said_on_the_page_and_no_link_leads_elsewhere() {
    let plane = Plane::start().await;
    let shown = plane.file("/sign-in?next=//evil.example").await.ok();
    assert!(shown.body.contains("name=\"next\" value=\"/\""), "{}", shown.body);
    assert!(shown.headers["content-security-policy"].contains("form-action 'self'"));
    let refused = form(&plane, "/sign-in", "", HERE, "token=wiregrant-operator-AAAA&next=/r/").await;
    assert_eq!(refused.status.as_u16(), 401);
    assert!(
        refused.body.contains("not known here") && refused.body.contains("value=\"/r/\""),
        "{}",
        refused.body
    );
    assert!(!refused.headers.contains_key("set-cookie"));
    assert!(!refused.body.contains("AAAA"), "a token is never repeated");
}

#[tokio::test]
async fn a_code_that_is_asked_too_often_waits_alone() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    let codes = plane.codes(&ngo, 2, 1, 1_000).await;
    let body = json!({ "public_key": device_key(40) });
    let mut asked = 0;
    let refused = loop {
        let answered = plane.ask(Method::POST, "/devices", &codes[0], body.clone()).await;
        if answered.status.as_u16() == 429 {
            break answered.problem(ProblemKind::TooMany);
        }
        asked += 1;
        assert!(asked < 100, "it is never too much");
    };
    assert!(asked > 1 && refused.retry_after_seconds().is_some());
    let other = json!({ "public_key": device_key(41) });
    plane.ask(Method::POST, "/devices", &codes[1], other).await.ok();
    plane.ask(Method::GET, "/devices", &codes[0], Value::Null).await.ok();
}

/// A signed request for another token, as an operator's people make it.
fn recovery(key: &SigningKey, time: Timestamp, salt: u8) -> String {
    let note = Recovery {
        log: "grants.example/record".parse().unwrap(),
        operator: "nordlicht".parse().unwrap(),
        time,
        salt: Salt([salt; 16]),
    };
    Signed::sign(note, key).unwrap().note().to_owned()
}

#[tokio::test]
async fn a_lost_token_is_recovered_by_the_operators_key_after_a_delay_in_which_it_can_be_stopped() {
    let plane = Plane::start().await;
    let key = SigningKey::new("nordlicht", [9; 32]).unwrap();
    let vkey = key.verifier().to_string();
    let first: Value =
        plane.post("/operators", json!({ "operator": "nordlicht", "vkey": vkey })).await.json();
    let first = first["token"].as_str().unwrap();
    plane.operator("keyless").await;
    let ask = async |operator: &str, note: &str| {
        let path = format!("/operators/{operator}/recovery");
        plane.ask(Method::POST, &path, "", json!({ "note": note, "holder": "Anna" })).await
    };
    let note = recovery(&key, plane.now(), 1);
    let stranger = SigningKey::new("nordlicht", [8; 32]).unwrap();
    ask("nordlicht", &recovery(&stranger, plane.now(), 1)).await.problem(ProblemKind::InvalidRequest);
    ask("nordlicht", "x").await.problem(ProblemKind::InvalidRequest);
    ask("keyless", &note).await.problem(ProblemKind::Conflict);
    ask("nobody", &note).await.problem(ProblemKind::NotFound);
    let old: Timestamp = "2026-07-06T10:59:59Z".parse().unwrap();
    ask("nordlicht", &recovery(&key, old, 2)).await.problem(ProblemKind::InvalidRequest);

    let recovered: Recovered = ask("nordlicht", &note).await.json();
    assert_eq!(recovered.valid_from, plane.now().plus_seconds(72 * 3_600));
    ask("nordlicht", &note).await.problem(ProblemKind::Conflict);
    let me = async |token: &str| plane.ask(Method::GET, "/me", token, Value::Null).await;
    let early = me(&recovered.token).await.problem(ProblemKind::Unauthorized);
    assert!(early.detail.contains("valid from 2026-07-09T12:00:00Z"), "{}", early.detail);
    let seen: List<Token> = plane.ask(Method::GET, "/tokens", first, Value::Null).await.json();
    assert!(seen.items.iter().any(|token| token.id == recovered.id && token.holder == "Anna"), "it is seen");

    let thief: Recovered = ask("nordlicht", &recovery(&key, plane.now(), 3)).await.json();
    plane.ask(Method::DELETE, &format!("/tokens/{}", thief.id), first, Value::Null).await.ok();
    plane.clock.advance(72 * 3_600);
    me(&recovered.token).await.ok();
    me(&thief.token).await.problem(ProblemKind::Unauthorized);
    for salt in 10..15 {
        ask("nordlicht", &recovery(&key, plane.now(), salt)).await.ok();
    }
    ask("nordlicht", &recovery(&key, plane.now(), 15)).await.problem(ProblemKind::Conflict);
}

#[tokio::test]
async fn a_lost_token_is_recovered_by_the_wallet_that_the_operator_is_paid_at() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.operator("unpaid").await;
    // Keys of 32 equal bytes, in the old form of a signed message.
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let wallet = |seed: u8| bitcoin::secp256k1::SecretKey::from_slice(&[seed; 32]).unwrap();
    let address = |seed: u8| {
        let public = bitcoin::PublicKey::new(wallet(seed).public_key(&secp));
        bitcoin::Address::p2pkh(public, bitcoin::Network::Regtest).to_string()
    };
    let ask = async |operator: &str, seed: u8, signed_at: Timestamp, text: &str| {
        let digest = bitcoin::sign_message::signed_msg_hash(text);
        let digest = bitcoin::secp256k1::Message::from_digest(*AsRef::<[u8; 32]>::as_ref(&digest));
        let signature = secp.sign_ecdsa_recoverable(&digest, &wallet(seed));
        let proof = bitcoin::sign_message::MessageSignature::new(signature, true).to_base64();
        let body = json!({ "proof": proof, "signed_at": signed_at, "holder": "Anna" });
        plane.ask(Method::POST, &format!("/operators/{operator}/recovery"), "", body).await
    };
    let text =
        |time: Timestamp| format!("wiregrant: nordlicht recovers a token of grants.example/record at {time}");
    let set = async |seed: u8| {
        plane.post("/operators/nordlicht/destination", json!({ "pay": address(seed) })).await.ok();
    };
    let now = plane.now();
    ask("nordlicht", 1, now, &text(now)).await.problem(ProblemKind::Conflict);
    set(1).await;
    // Whoever sets another destination has to wait with it like with everything else.
    set(2).await;
    ask("nordlicht", 2, now, &text(now)).await.problem(ProblemKind::Address);
    let told = ask("nordlicht", 1, now, "something else").await.problem(ProblemKind::Address);
    assert!(told.detail.contains(&text(now)), "it says what is to be signed: {}", told.detail);
    let old = "2026-07-06T10:59:59Z".parse().unwrap();
    ask("nordlicht", 1, old, &text(old)).await.problem(ProblemKind::InvalidRequest);
    ask("unpaid", 1, now, &text(now)).await.problem(ProblemKind::Conflict);
    ask("nobody", 1, now, &text(now)).await.problem(ProblemKind::NotFound);
    for half in [json!({ "holder": "Anna" }), json!({ "proof": "smpAAAA", "holder": "Anna" })] {
        plane
            .ask(Method::POST, "/operators/nordlicht/recovery", "", half)
            .await
            .problem(ProblemKind::InvalidRequest);
    }

    let recovered: Recovered = ask("nordlicht", 1, now, &text(now)).await.json();
    assert_eq!(recovered.valid_from, now.plus_seconds(72 * 3_600));
    ask("nordlicht", 1, now, &text(now)).await.problem(ProblemKind::Conflict);
    plane.clock.advance(72 * 3_600);
    plane.ask(Method::GET, "/me", &recovered.token, Value::Null).await.ok();
    let now = plane.now();
    ask("nordlicht", 2, now, &text(now)).await.ok();
}

#[tokio::test]
async fn a_distributor_issues_within_their_budget_and_nothing_of_what_passes_it() {
    let plane = Plane::start().await;
    let ngo = plane.distributor("ngo").await;
    let issue = async |count: u64, quota: &str, period: &str| {
        let expires = "2026-08-15T00:00:00Z";
        let body = json!({
            "count": count, "devices": 1, "quota_bytes": quota, "period": period, "expires": expires,
        });
        plane.ask(Method::POST, "/access-codes", &ngo, body).await
    };
    let allow =
        async |budget: Value| plane.ask(Method::PUT, "/distributors/ngo/budget", &plane.admin, budget).await;
    issue(2, "10", "total").await.ok();
    let set: Value = allow(json!({ "codes": 4, "bytes": "100" })).await.json();
    assert_eq!(
        set,
        json!({ "distributor": "ngo", "codes_issued": 2, "budget": { "codes": 4, "bytes": "100" } })
    );
    issue(3, "1", "total").await.problem(ProblemKind::Budget);
    // A code by the month costs as much as it may use until it expires: July and August.
    let refused = issue(1, "41", "month").await.problem(ProblemKind::Budget);
    assert!(refused.detail.contains("3 codes for 102 bytes"), "{}", refused.detail);
    issue(1, "40", "month").await.ok();
    issue(1, "1", "total").await.problem(ProblemKind::Budget);
    allow(json!({ "codes": 4 })).await.ok();
    issue(1, "1", "total").await.ok();
    issue(1, "1", "total").await.problem(ProblemKind::Budget);
    let codes: List<Value> = plane.ask(Method::GET, "/access-codes", &ngo, Value::Null).await.json();
    assert_eq!(codes.items.len(), 4);
    allow(json!({})).await.ok();
    issue(5, "1000", "total").await.ok();
    let nobody = plane.ask(Method::PUT, "/distributors/nobody/budget", &plane.admin, json!({})).await;
    nobody.problem(ProblemKind::NotFound);
    plane.ask(Method::PUT, "/distributors/ngo/budget", &ngo, json!({})).await.problem(ProblemKind::Forbidden);
}

/// An address of the loopback network that nobody else uses.
const CLIENT: &str = "127.77.66.55";

/// Sends one request from [`CLIENT`], and reads the answer to its end.
async fn asked_by_client(port: u16, head: &str, body: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{CLIENT}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {CLIENT}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Asks the API in the same way, by a token.
async fn asked_by_token(port: u16, head: &str, token: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Every file below a folder whose bytes contain the text.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn no_clients_address_and_no_key_that_was_pasted_is_stored_or_logged_however_much_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("control");
    let log = folder.path().join("log");
    let mut serving = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args(["serve", "--origin", "a/record", "--network", "regtest", "--listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(&data)
        .env_remove("WIREGRANT_CONTROL_CONFIG")
        .env("RUST_LOG", "trace")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let port: u16 = loop {
        let said = std::fs::read_to_string(&log).unwrap();
        let line = said.lines().find(|line| line.contains("serving") && line.contains("address=127.0.0.1:"));
        if let Some(line) = line {
            let rest = line.split("address=127.0.0.1:").nth(1).unwrap();
            break rest.split(' ').next().unwrap().parse().unwrap();
        }
        assert!(serving.try_wait().unwrap().is_none(), "{said}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let token = std::fs::read_to_string(data.join(bootstrap::FILE)).unwrap();
    let holder = json!({ "holder": "Ada" });
    let made = asked_by_token(port, "POST /api/v1/tokens", token.trim(), &holder).await;
    let of_ada = made["token"].as_str().unwrap();
    let signed_in = asked_by_client(port, "POST /sign-in", &format!("token={of_ada}")).await;
    assert!(signed_in.starts_with("HTTP/1.1 303"), "{signed_in}");
    let refused = asked_by_client(port, "POST /sign-in", "token=wrong").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let unknown = asked_by_client(port, "GET /api/v1/nowhere", "").await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    let operator = json!({ "operator": "nordlicht" });
    asked_by_token(port, "POST /api/v1/operators", of_ada, &operator).await;
    // What an operator may paste where an address or a signature belongs.
    let key = "cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH";
    let seed = format!("{}about", "abandon ".repeat(11));
    for secret in [key, &seed, &format!("wpkh({key})")] {
        for given in [json!({ "pay": secret }), json!({ "pay": ADDRESS, "proof": secret })] {
            let path = "POST /api/v1/operators/nordlicht/destination";
            let refused = asked_by_token(port, path, of_ada, &given).await.to_string();
            assert!(refused.contains("looks-like-a-secret") && !refused.contains(secret), "{refused}");
        }
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    for secret in [&key[..20], "abandon abandon", of_ada] {
        assert_eq!(files_with(folder.path(), secret), Vec::<PathBuf>::new(), "{secret}");
    }
    assert!(!files_with(folder.path(), "wiregrant").is_empty(), "there is nothing to look through");
    assert_eq!(files_with(folder.path(), CLIENT), Vec::<PathBuf>::new());
    assert_eq!(files_with(folder.path(), token.trim()), Vec::<PathBuf>::new(), "nor is a token");
}
