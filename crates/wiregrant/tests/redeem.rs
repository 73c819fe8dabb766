//! `wiregrant redeem`: the private key is made here, kept in a file of its owner's, and in no byte that is sent.

#[cfg(test)]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::json;
use support::server::{Answer, Request, Server};
use support::{Run, wiregrant, wiregrant_with};

const CODE: &str = "7K3QF-0N2BX-R8MDT-4WHZC";
const NODE_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn device() -> serde_json::Value {
    json!({
        "public_key": NODE_KEY,
        "configuration": {
            "address_v4": "10.64.0.2", "address_v6": "fd00::2", "dns": ["9.9.9.9"],
            "node_public_key": NODE_KEY, "endpoint": "198.51.100.7:51820"
        },
        "location": "de-fra", "allotment": "50000000000", "expires": "2026-08-01T00:00:00Z"
    })
}

fn redeem(server: &Server, folder: &Path, input: &str) -> Run {
    let out = folder.join("vpn.conf");
    wiregrant_with(["--url", &server.url(), "--json", "redeem", "--out", out.to_str().expect("UTF-8")], input)
}

fn private_key(folder: &Path) -> [u8; 32] {
    let file = fs::read_to_string(folder.join("vpn.conf")).expect("the file");
    let line = file.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).expect("a private key");
    BASE64.decode(line.as_bytes()).expect("base64").try_into().expect("32 bytes")
}

fn holds(request: &Request, part: &[u8]) -> bool {
    request.bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn the_private_key_is_in_no_byte_that_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Answer::json(201, &device()));
    let run = redeem(&server, folder.path(), " 7k3qf on2bx r8mdt 4whzc\n");
    assert_eq!(run.code, 0, "{run:?}");
    let key = private_key(folder.path());
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "POST /api/v1/devices");
    assert!(
        requests[0].head().contains(&format!("authorization: bearer {}", CODE.to_lowercase())),
        "{requests:?}"
    );

    // The public key that was sent belongs to the private key that was kept.
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(key));
    assert_eq!(
        requests[0].json(),
        json!({ "public_key": BASE64.encode(public.as_bytes()), "location": null, "socks5": false })
    );
    assert_eq!(run.json()["public_key"], BASE64.encode(public.as_bytes()));
    let spellings = [
        key.to_vec(),
        BASE64_NOPAD.encode(&key).into_bytes(),
        BASE64URL_NOPAD.encode(&key).into_bytes(),
        HEXLOWER.encode(&key).into_bytes(),
        HEXUPPER.encode(&key).into_bytes(),
    ];
    for spelling in &spellings {
        assert!(
            !holds(&requests[0], spelling)
                && !run.out.as_bytes().windows(spelling.len()).any(|w| w == spelling)
        );
    }
}

#[test]
fn the_file_is_for_wg_quick_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Answer::json(201, &device()));
    assert_eq!(redeem(&server, folder.path(), CODE).code, 0);
    let path = folder.path().join("vpn.conf");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = fs::read_to_string(&path).unwrap();
    assert!(file.contains("Address = 10.64.0.2/32, fd00::2/128\nDNS = 9.9.9.9\nMTU = 1280\n"), "{file}");
    assert!(file.contains("AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:51820\n"), "{file}");
    let again = redeem(&server, folder.path(), CODE);
    assert!(again.code == 1 && again.err.contains("exists already"), "{again:?}");
    assert_eq!(server.requests().len(), 1, "a code is not spent when its file cannot be kept");
}

#[test]
fn an_answer_lost_on_the_way_is_asked_for_again_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Answer::Break,
        _ => Answer::json(201, &device()),
    });
    let run = redeem(&server, folder.path(), CODE);
    assert_eq!(run.code, 0, "{run:?}");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    let name = |request: &Request| {
        let head = request.head();
        head.lines()
            .find_map(|line| line.strip_prefix("idempotency-key: "))
            .map(str::to_owned)
            .expect("a name")
    };
    assert!(requests.iter().all(|request| name(request) == name(&requests[0])), "it is one request");
}

#[test]
fn a_socks5_login_is_shown_with_what_its_user_must_know_and_is_in_no_file() {
    let access = json!({
        "host": "198.51.100.7", "port": 1080, "username": "k7d2m9", "password": "correct-horse",
        "link": "tg://socks?server=198.51.100.7&port=1080&user=k7d2m9&pass=correct-horse"
    });
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("vpn.conf");
    let mut created = device();
    created["socks5_access"] = access.clone();
    let server = Server::start(move |_| Answer::json(201, &created));
    let url = server.url();
    let arguments = ["--url", &url, "redeem", "--socks5", "--out", out.to_str().unwrap()];
    let run = wiregrant_with(arguments, CODE);
    assert_eq!(run.code, 0, "{run:?}");
    for shown in [
        "198.51.100.7",
        "1080",
        "k7d2m9",
        "correct-horse",
        "tg://socks?",
        "NOT encrypted",
        "sees where you go",
    ] {
        assert!(run.out.contains(shown), "{shown} is missing: {run:?}");
    }
    assert_eq!(server.requests()[0].json()["socks5"], true);
    assert!(!fs::read_to_string(&out).unwrap().contains("correct-horse"));
    let printed = wiregrant_with(["--url", &url, "redeem", "--socks5", "--out", "-"], CODE);
    assert!(printed.code == 2 && printed.err.contains("--socks5"), "{printed:?}");

    let code = folder.path().join("code");
    fs::write(&code, CODE).unwrap();
    let server = Server::start(move |_| Answer::json(200, &access));
    let code = code.to_str().unwrap();
    let run = wiregrant(["--url", &server.url(), "device", "socks5", NODE_KEY, "--code-file", code]);
    assert!(
        run.code == 0 && run.out.contains("correct-horse") && run.out.contains("NOT encrypted"),
        "{run:?}"
    );
    assert_eq!(
        server.requests()[0].line,
        "POST /api/v1/devices/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE/socks5"
    );
}

#[test]
fn a_persons_devices_show_what_is_left_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    fs::write(&code, CODE).unwrap();
    let levels = [Some("over-half"), Some("under-half"), Some("under-a-tenth"), Some("exhausted"), None];
    let devices: Vec<_> = levels
        .iter()
        .map(|level| {
            let mut device = device();
            device["level"] = json!(level);
            device["period"] = json!("month");
            device["paused"] = if *level == Some("exhausted") { json!("hours") } else { json!(null) };
            device["socks5"] = json!({ "endpoint": "198.51.100.7:1080", "username": "k7d2m9" });
            device
        })
        .collect();
    let listed = json!({ "devices": devices, "devices_allowed": 5, "expires": "2026-08-01T00:00:00Z" });
    let server = Server::start(move |_| Answer::json(200, &listed));
    let run = wiregrant(["--url", &server.url(), "device", "list", "--code-file", code.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{run:?}");
    let rows: Vec<_> = run.out.lines().skip(1).collect();
    let words = ["over half", "under half", "under a tenth", "nothing; the node pauses (hours)", "-"];
    for (row, words) in rows.iter().zip(words) {
        assert!(
            row.contains(&format!("50.00 GB a month  {words}")) && row.ends_with("198.51.100.7:1080"),
            "{row}"
        );
    }
    assert!(rows[5].starts_with("5 of 5 devices"), "{run:?}");
}

#[test]
fn a_control_plane_that_is_busy_for_a_moment_is_asked_again_and_one_without_a_node_is_not() {
    let problem = |kind: &str, seconds: u64| {
        json!({
            "type": format!("urn:wiregrant:problem:{kind}"), "title": "Not now", "status": 503, "detail": "later",
            "retry_after_seconds": seconds
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::json(503, &problem("busy", 0)),
        _ => Answer::json(201, &device()),
    });
    let run = redeem(&server, folder.path(), CODE);
    assert_eq!((run.code, server.requests().len()), (0, 2), "{run:?}");

    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(move |_| Answer::json(503, &problem("no-node", 60)));
    let run = redeem(&server, folder.path(), CODE);
    assert_eq!((run.code, server.requests().len()), (1, 1), "{run:?}");
}

#[test]
fn a_refused_code_leaves_no_file_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let problem = json!({
        "type": "urn:wiregrant:problem:access-code-expired", "title": "The access code has expired", "status": 410,
        "detail": "it expired 2026-01-01T00:00:00Z; ask for another"
    });
    let server = Server::start(move |_| Answer::json(410, &problem));
    let run = redeem(&server, folder.path(), CODE);
    let told = "wiregrant: The access code has expired: it expired 2026-01-01T00:00:00Z; ask for another \
                (urn:wiregrant:problem:access-code-expired)\n";
    assert_eq!((run.code, run.err.as_str()), (1, told));
    assert!(!folder.path().join("vpn.conf").exists());

    let typo = redeem(&server, folder.path(), "7K3QF-0N2BX-R8MDT-4WHZU");
    assert!(typo.code == 1 && typo.err.contains("code") && !typo.err.contains("4WHZU"), "{typo:?}");
    assert_eq!(server.requests().len(), 1, "a code that is none is not sent");
}

#[test]
fn a_device_is_removed_by_its_public_key() {
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    fs::write(&code, CODE).unwrap();
    let server = Server::start(|_| Answer::Body(204, Vec::new()));
    let run = wiregrant([
        "--url",
        &server.url(),
        "device",
        "remove",
        NODE_KEY,
        "--code-file",
        code.to_str().unwrap(),
    ]);
    assert_eq!((run.code, run.out), (0, format!("removed {NODE_KEY}\n")));
    assert_eq!(
        server.requests()[0].line,
        "DELETE /api/v1/devices/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
    );
}
