//! Who may ask what: the router's own list, asked by everyone who may not.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;
use wiregrant_control::forms::{SIGN_IN, SIGN_OUT};
use wiregrant_control::router::{endpoints, pages};
use wiregrant_control::sign_in::Who;
use wiregrant_core::api::{PREFIX, Problem, ProblemKind};

use crate::support::browser::Browser;
use crate::support::{ADDRESS, Answered, FakeNode, Plane, device_key};

struct Parties {
    plane: Plane,
    operator: String,
    distributor: String,
    funder: String,
    auditor: String,
    code: String,
    node: FakeNode,
}

async fn parties() -> Parties {
    let plane = Plane::start().await;
    let operator = plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let distributor = plane.distributor("ngo").await;
    let code = plane.codes(&distributor, 1, 1, 1_000).await.remove(0);
    let node = plane.node("nordlicht", "de-fra", 1).await;
    plane.grant("summer", 1, 1_000, |_| {}).await;
    let funder = plane.funder("fund", &["summer"]).await;
    let auditor = plane.auditor("auditor", &["summer"]).await;
    Parties { plane, operator, distributor, funder, auditor, code, node }
}

/// A path with something in the place of every variable.
fn filled(path: &str, node: &FakeNode) -> String {
    path.replace("{node}", node.id.as_str())
        .replace("{epoch}", "1")
        .replace("{public_key}", "AAAA")
        .replace("{operator}", "nordlicht")
        .replace("{grant}", "spring")
        .replace("{batch}", "b-1")
        .replace("{token}", "token-0")
        .replace("{distributor}", "ngo")
        .replace("{page}", "1")
        .replace("{role}", "funder")
        .replace("{organisation}", "fund")
        .replace("{form}", "csv")
        .replace("{key}", "AAAA")
        .replace("{hash}", "AAAA")
}

#[tokio::test]
async fn every_page_refuses_every_role_that_it_is_not_for() {
    let Parties { plane, operator, distributor, funder, auditor, node, .. } = parties().await;
    use Who::{Administrator, Everyone, FunderToo, Issuer, OperatorToo, SignedIn};
    let tokens = [
        ("nobody", "", &[Everyone][..]),
        ("the administrator", &plane.admin, &[Everyone, Administrator, OperatorToo, FunderToo, SignedIn]),
        ("an operator", &operator, &[Everyone, OperatorToo, Issuer, SignedIn]),
        ("a distributor", &distributor, &[Everyone, Issuer, SignedIn]),
        ("a funder", &funder, &[Everyone, FunderToo, SignedIn]),
        ("an auditor", &auditor, &[Everyone, SignedIn]),
    ];
    let mut refused = 0;
    for page in pages() {
        // Signs one out, or ends the token that one signs in with.
        if page.path == SIGN_OUT {
            continue;
        }
        let path = filled(page.path, &node);
        for (name, token, allowed) in tokens {
            let mut browser = Browser::new(&plane);
            if !token.is_empty() {
                browser.sign_in(token).await;
            }
            let answered = match page.method {
                Method::GET => browser.get(&path).await,
                _ => browser.post(&path, &[("colour", "blue")]).await,
            };
            let leads_to_sign_in = answered.headers.get("location").is_some_and(|to| to.starts_with(SIGN_IN));
            let is_refused =
                answered.body.contains("for another role") || (token.is_empty() && leads_to_sign_in);
            let shown = format!("{} {path} by {name}: {} {}", page.method, answered.status, answered.body);
            assert_eq!(is_refused, !allowed.contains(&page.who), "{shown}");
            refused += usize::from(is_refused);
        }
        if page.method == Method::POST && page.who != Everyone {
            // A form of another site is refused whoever is signed in.
            let mut browser = Browser::new(&plane);
            browser.sign_in(&plane.admin).await;
            let foreign = [("sec-fetch-site", "cross-site")];
            let answered = browser.ask(Method::POST, &path, &foreign, &[("colour", "blue")]).await;
            assert_eq!(answered.status.as_u16(), 403, "{path}: {}", answered.body);
        }
    }
    assert!(refused > 100, "only {refused}");
}

#[tokio::test]
async fn every_address_refuses_every_role_that_it_is_not_for() {
    let parties = parties().await;
    let Parties { plane, operator, distributor, funder, auditor, code, node } = &parties;
    let mut refused = 0;
    for endpoint in endpoints() {
        let mut path = filled(endpoint.path, node);
        if endpoint.who == Who::Auditor {
            // They are held to their grants besides.
            path = path.replace("spring", "summer");
        }
        use Who::{
            Administrator, Auditor, Claimant, CodeHolder, Everyone, FunderToo, Issuer, OperatorToo, SignedIn,
        };
        let tokens = [
            ("nobody", "", &[Everyone][..]),
            ("a stranger", "wiregrant-administrator-AAAA", &[Everyone]),
            (
                "the administrator",
                &plane.admin,
                &[Everyone, Administrator, OperatorToo, FunderToo, SignedIn, Claimant],
            ),
            ("an operator", operator, &[Everyone, OperatorToo, Issuer, SignedIn, Claimant]),
            ("a distributor", distributor, &[Everyone, Issuer, SignedIn, Claimant]),
            ("a funder", funder, &[Everyone, FunderToo, SignedIn, Claimant]),
            ("an auditor", auditor, &[Everyone, Auditor, SignedIn, Claimant]),
            ("a person", code, &[Everyone, CodeHolder]),
        ];
        for (name, token, allowed) in tokens {
            let answered =
                plane.ask(endpoint.method.clone(), &path, token, json!({ "colour": "blue" })).await;
            let is_refused = matches!(answered.status.as_u16(), 401 | 403)
                || endpoint.who == Who::CodeHolder
                    && serde_json::from_str::<Problem>(&answered.body)
                        .is_ok_and(|problem| problem.is(ProblemKind::AccessCode));
            let shown = format!("{} {path} by {name}: {}", endpoint.method, answered.body);
            assert_eq!(is_refused, !allowed.contains(&endpoint.who), "{shown}");
            refused += usize::from(is_refused);
        }
        let by_node = node.request(&endpoint.method, &path, "{}", plane.now());
        let answered = plane.send(by_node).await;
        let is_refused = matches!(answered.status.as_u16(), 401 | 403);
        let allowed = [Who::Everyone, Who::Node].contains(&endpoint.who);
        assert_eq!(is_refused, !allowed, "{} {path} by a node: {}", endpoint.method, answered.body);
    }
    assert!(refused > 100, "only {refused}");
}

/// What is somebody's own, in the words in which an answer would tell it.
const PRIVATE: [&str; 7] = [
    "198.51.1.7:51820",
    ADDRESS,
    "Anna of the north",
    "PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw=", // device_key(60)
    "mosaic-fund",
    "mosaic-auditor",
    "mosaic-ngo",
];

fn told(answered: &Answered) -> Vec<&'static str> {
    PRIVATE.into_iter().filter(|private| answered.body.contains(private)).collect()
}

#[tokio::test]
async fn nobody_reads_what_is_somebody_elses() {
    let plane = Plane::start().await;
    let north = plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    plane.token(&north, "Anna of the north").await;
    let ngo = plane.distributor("mosaic-ngo").await;
    let code = plane.codes(&ngo, 1, 1, 1_000).await.remove(0);
    plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(60) })).await.ok();
    for grant in ["spring", "summer"] {
        plane.grant(grant, 1, 1_000, |_| {}).await;
    }
    plane.funder("mosaic-fund", &["spring"]).await;
    plane.auditor("mosaic-auditor", &["spring"]).await;

    let other_ngo = plane.distributor("other").await;
    let strangers = [
        ("nobody", String::new()),
        ("an operator", plane.operator("suedwind").await),
        ("a funder", plane.funder("rich", &["summer"]).await),
        ("an auditor", plane.auditor("nosy", &["summer"]).await),
        ("a person", plane.codes(&other_ngo, 1, 1, 1_000).await.remove(0)),
        ("a distributor", other_ngo),
    ];
    let their_node = plane.node("suedwind", "de-fra", 2).await;
    let (mut asked, mut own) = (0, std::collections::BTreeSet::new());
    let reads = endpoints().into_iter().filter(|endpoint| endpoint.method == Method::GET);
    let addresses = reads.map(|endpoint| format!("{PREFIX}{}", filled(endpoint.path, &node)));
    let pages = pages().into_iter().filter(|page| page.method == Method::GET);
    let addresses: Vec<_> = addresses.chain(pages.map(|page| filled(page.path, &node))).collect();
    for address in &addresses {
        let is_page = !address.starts_with(PREFIX);
        let ask = async |token: &str| {
            if is_page && token.starts_with("wiregrant-") {
                // Pages know a browser by its cookie.
                let mut browser = Browser::new(&plane);
                browser.sign_in(token).await;
                return browser.get(address).await;
            }
            let mut request = Request::builder().uri(address);
            if !token.is_empty() {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            plane.send(request.body(Body::empty()).unwrap()).await
        };
        for (name, token) in &strangers {
            let answered = ask(token).await;
            assert_eq!(told(&answered), Vec::<&str>::new(), "{address} to {name}: {}", answered.body);
            asked += 1;
        }
        let path = address.strip_prefix(PREFIX).unwrap_or(address);
        let by_node = plane.send(their_node.request(&Method::GET, path, "", plane.now())).await;
        assert_eq!(told(&by_node), Vec::<&str>::new(), "{address} to another node: {}", by_node.body);
        for token in [&plane.admin, &north, &code] {
            own.extend(told(&ask(token).await));
        }
    }
    assert!(asked > 100, "only {asked}");
    assert_eq!(own.len(), PRIVATE.len(), "those whose it is are told of {own:?} alone");
}

#[tokio::test]
async fn every_line_of_the_list_is_served_and_nothing_else_is() {
    let Parties { plane, node, .. } = parties().await;
    for endpoint in endpoints() {
        let path = filled(endpoint.path, &node);
        let answered = plane.ask(endpoint.method.clone(), &path, "", serde_json::Value::Null).await;
        assert!(!answered.body.contains("no such address"), "{} {path}", endpoint.method);
        let answered = plane.ask(Method::PATCH, &path, &plane.admin, serde_json::Value::Null).await;
        answered.problem(ProblemKind::NotFound);
    }
    plane.get("/nothing/here").await.problem(ProblemKind::NotFound);
}

#[tokio::test]
async fn a_token_is_no_code_and_a_code_is_no_token() {
    let Parties { plane, code, operator, .. } = parties().await;
    let as_code = plane.ask(Method::GET, "/devices", &operator, serde_json::Value::Null).await;
    as_code.problem(ProblemKind::AccessCode);
    plane.ask(Method::GET, "/nodes", &code, serde_json::Value::Null).await.problem(ProblemKind::Unauthorized);
    let basic = Request::builder()
        .uri(format!("{PREFIX}/nodes"))
        .header(header::AUTHORIZATION, format!("Basic {}", plane.admin))
        .body(Body::empty())
        .unwrap();
    let answered = plane.send(basic).await;
    answered.problem(ProblemKind::Unauthorized);
    assert_eq!(answered.headers["www-authenticate"], "Bearer");
}
