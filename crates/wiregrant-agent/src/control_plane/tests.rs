//! What the node makes of answers, good and bad, from a server that answers by a script.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use wiregrant_core::api::ProblemKind;

use super::*;

/// Answers one connection after the other with these raw answers, and gives the requests' heads.
fn server(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            heads.push(lines.take_while(|line| !line.is_empty()).collect());
            // A client that refuses the rest of an answer closes early.
            let _ = (&mut &stream).write_all(answer.as_bytes());
        }
        heads
    });
    (url, served)
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn identity() -> NodeIdentity {
    NodeIdentity {
        log: "grants.example/record".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        key: SigningKey::new("node-1", [5; 32]).unwrap(),
    }
}

fn now() -> Timestamp {
    "2026-07-06T12:00:00Z".parse().unwrap()
}

const HEAD: &str = r#"{"sequence":0,"note":null}"#;
/// Nobody listens at port 1.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn every_address_is_tried_and_the_one_that_answered_is_tried_first_from_then_on() {
    let (url, served) = server(vec![answer(200, HEAD), answer(200, HEAD)]);
    let control_plane = ControlPlane::new(&[NOWHERE.to_owned(), format!("{url}/")], None);
    for _ in 0..2 {
        assert_eq!(control_plane.head(&identity(), now()).unwrap().sequence, 0);
    }
    assert_eq!(control_plane.preferred.load(Ordering::Relaxed), 1);
    served.join().unwrap();
}

#[test]
fn a_request_is_signed_over_what_is_sent_and_no_nonce_comes_twice() {
    let (url, served) = server(vec![answer(200, HEAD), answer(200, HEAD)]);
    let control_plane = ControlPlane::new(&[url], None);
    (0..2).for_each(|_| drop(control_plane.head(&identity(), now()).unwrap()));
    let heads = served.join().unwrap();
    let header = |head: &[String], name: &str| {
        head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned)).unwrap()
    };
    assert_eq!(heads[0][0], "GET /api/v1/nodes/node-1/head HTTP/1.1");
    assert_ne!(header(&heads[0], HEADER_NONCE), header(&heads[1], HEADER_NONCE));
    let request = Request {
        log: &identity().log,
        node: &identity().node,
        method: "GET",
        path: "/api/v1/nodes/node-1/head",
        body: &[],
        time: header(&heads[0], HEADER_TIME).parse().unwrap(),
        nonce: header(&heads[0], HEADER_NONCE).parse().unwrap(),
    };
    let signature = BASE64.decode(header(&heads[0], HEADER_SIGNATURE).as_bytes()).unwrap();
    let verifier = identity().key.verifier();
    assert!(verifier.verify(request.text().as_bytes(), &signature.try_into().unwrap()));
}

#[test]
fn a_problem_is_the_control_planes_word_and_no_other_address_is_asked() {
    let problem = serde_json::to_string(&Problem::new(ProblemKind::NodeFrozen, "since Monday")).unwrap();
    let (url, served) = server(vec![answer(409, &problem)]);
    let control_plane = ControlPlane::new(&[url, NOWHERE.to_owned()], None);
    match control_plane.report(&identity(), now(), "note") {
        Err(ControlPlaneError::Problem(problem)) => assert!(problem.is(ProblemKind::NodeFrozen)),
        other => panic!("{other:?}"),
    }
    assert_eq!(served.join().unwrap()[0][0], "POST /api/v1/nodes/node-1/reports HTTP/1.1");
}

#[test]
fn whoever_answers_without_being_the_control_plane_is_passed_over() {
    let (gateway, first) = server(vec![answer(502, "<html>bad gateway</html>")]);
    let (redirect, second) =
        server(vec!["HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into()]);
    let (url, third) = server(vec![answer(200, HEAD)]);
    let control_plane = ControlPlane::new(&[gateway, redirect, url], None);
    assert!(control_plane.head(&identity(), now()).is_ok());
    [first, second, third].into_iter().for_each(|served| drop(served.join().unwrap()));
}

#[test]
fn an_endless_or_senseless_answer_is_an_error_that_names_who_gave_it() {
    let endless = format!("HTTP/1.1 409 X\r\nconnection: close\r\n\r\n{}", "a".repeat(1 << 17));
    let (url, served) = server(vec![endless, answer(200, "{}")]);
    let control_plane = ControlPlane::new(std::slice::from_ref(&url), None);
    let error = control_plane.head(&identity(), now()).unwrap_err().to_string();
    assert!(error.contains("no control plane answers") && error.contains(&url), "{error}");
    let error = control_plane.head(&identity(), now()).unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("not understood"), "{error}");
    served.join().unwrap();
}

#[test]
fn a_control_plane_that_asks_for_time_gets_it_and_no_more_than_the_longest_wait() {
    let refused = |problem| anyhow::Error::new(ControlPlaneError::Problem(Box::new(problem)));
    let busy = Problem::new(ProblemKind::Busy, "the queue is full");
    assert_eq!(asked_to_wait(&refused(busy.clone())), Duration::ZERO);
    let told = refused(busy.clone().retry_after(7)).context("delivering report 3");
    assert_eq!(asked_to_wait(&told), Duration::from_secs(7));
    assert_eq!(asked_to_wait(&refused(busy.retry_after(1_000_000))), CAP);
    assert_eq!(asked_to_wait(&anyhow::anyhow!("the disk is full")), Duration::ZERO);
}

#[test]
fn a_busy_control_plane_leads_to_the_next_and_is_heard_where_no_other_says_more() {
    let busy = || {
        let problem = Problem::new(ProblemKind::Busy, "come back");
        answer(503, &serde_json::to_string(&problem).unwrap())
    };
    let (first, first_served) = server(vec![busy(), busy()]);
    let (second, second_served) = server(vec![answer(200, HEAD), busy()]);
    let control_plane = ControlPlane::new(&[first, second, NOWHERE.to_owned()], None);
    assert_eq!(control_plane.head(&identity(), now()).unwrap().sequence, 0);
    let refusal = control_plane.head(&identity(), now()).unwrap_err();
    let is_busy = matches!(&refusal, ControlPlaneError::Problem(problem) if problem.is(ProblemKind::Busy));
    assert!(is_busy, "{refusal}");
    for served in [first_served, second_served] {
        assert_eq!(served.join().unwrap().len(), 2, "both were asked both times");
    }
}
