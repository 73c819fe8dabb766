//! The command line itself: what is refused and how, what is sent, what is shown.

#[cfg(test)]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::record::{ADDRESS, CHANGE, Entry, ORIGIN, Story, batch, cosign, key, witness};
use support::server::{Answer, Server};
use support::{Run, wiregrant};
use transparency_log::{CosignerKey, Hash, Note, add_cosignature};
use wiregrant_core::Sats;
use wiregrant_core::note::{Network, Signed};
use wiregrant_payout::{Destination, Pay, PayoutAddress, build, parse_coins};

fn answering(value: Value) -> Server {
    Server::start(move |_| Answer::json(200, &value))
}

fn at(server: &Server, arguments: &[&str]) -> Run {
    let url = server.url();
    wiregrant(["--url", &url].iter().chain(arguments))
}

#[test]
fn wrong_use_is_told_with_field_value_and_way_out() {
    let cases: [(&[&str], &[&str]); 11] = [
        (&["operator", "add", "Nord licht"], &["<OPERATOR>", "Nord licht", "a-z, 0-9"]),
        (&["operator", "list"], &["--url", "WIREGRANT_URL"]),
        (&["--url", "grants.example", "operator", "list"], &["--url", "grants.example", "https://"]),
        (
            &["code", "issue", "--devices", "1", "--quota", "50GiB", "--expires", "30d"],
            &["--quota", "50GiB", "50GB"],
        ),
        (
            &["code", "issue", "--devices", "1", "--quota", "5GB", "--expires", "soon"],
            &["--expires", "soon", "30d"],
        ),
        (
            &["code", "issue", "--devices", "0", "--quota", "5GB", "--expires", "1d"],
            &["--devices", "0", "1..=100"],
        ),
        (&["grant", "contribute", "spring", "1.5"], &["<SATS>", "1.5", "whole number"]),
        (
            &["grant", "create", "g", "--title", "G", "--start", "now", "--epochs", "0"],
            &["--epochs", "\"0\"", "1 to 10,000"],
        ),
        (&["node", "freeze", "node-1", "--reason", "He ran"], &["--reason", "He ran", "a-z"]),
        (&["destination", "set", "--operator", "nordlicht"], &["--note", "--pay"]),
        (&["sing"], &["sing", "unrecognized"]),
    ];
    for (arguments, words) in cases {
        let run = wiregrant(arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}: {run:?}");
        assert!(
            words.iter().all(|word| run.err.contains(word)),
            "{arguments:?} lacks one of {words:?}: {run:?}"
        );
    }
}

#[test]
fn a_token_is_read_from_its_file_and_is_no_argument() {
    let server = answering(json!({ "items": [] }));
    assert_eq!(at(&server, &["--token", "t0k3n", "operator", "list"]).code, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = path.to_str().unwrap();
    for (content, code) in [("t0k3n\n", 0), ("two words\n", 1), ("", 1)] {
        fs::write(&path, content).unwrap();
        let run = at(&server, &["--token-file", file, "operator", "list"]);
        assert_eq!(run.code, code, "{content:?}: {run:?}");
        assert!(!run.err.contains("words"), "{run:?}");
    }
    assert_eq!(server.requests().len(), 1);
    assert!(server.requests()[0].head().contains("authorization: bearer t0k3n\r\n"));
    let absent = at(&server, &["--token-file", "/nowhere", "operator", "list"]);
    assert!(absent.code == 1 && absent.err.contains("/nowhere cannot be read"), "{absent:?}");
}

#[test]
fn a_refusal_is_shown_as_title_detail_and_type() {
    let problem = json!({ "type": "urn:wiregrant:problem:not-found", "title": "There is no such thing", "status": 404,
                          "detail": "grant: \"x\" is not known\u{1b}[2J; list them", "figure": 4 });
    let server = Server::start(move |_| Answer::json(404, &problem));
    let run = at(&server, &["grant", "show", "x"]);
    let told = "wiregrant: There is no such thing: grant: \"x\" is not known\u{fffd}[2J; list them \
                (urn:wiregrant:problem:not-found)\n";
    assert_eq!((run.code, run.err.as_str()), (1, told));
    for (status, body) in [(502, "<html>"), (200, "<html>"), (301, "")] {
        let server = Server::start(move |_| Answer::Body(status, body.into()));
        let run = at(&server, &["grant", "list"]);
        assert!(run.code == 1 && run.err.contains(&server.url()) && run.out.is_empty(), "{run:?}");
    }
    let url = server.url();
    drop(server);
    let run = wiregrant(["--url", &url, "grant", "list"]);
    assert!(run.code == 1 && run.err.contains("cannot be reached"), "{run:?}");
}

#[test]
fn a_new_partys_token_goes_into_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = answering(json!({ "id": "nordlicht", "token": "s3cret" }));
    let run = at(&server, &["operator", "add", "nordlicht", "--token-out", file.to_str().unwrap()]);
    assert!(run.code == 0 && !run.out.contains("s3cret"), "{run:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "s3cret\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(at(&server, &["distributor", "add", "helpdesk"]).out, "s3cret\n");
}

#[test]
fn a_lost_token_is_recovered_by_what_the_wallet_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let [proof, kept] = ["proof", "token"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let server =
        answering(json!({ "id": "token-1", "token": "s3cret", "valid_from": "2026-07-09T12:00:00Z" }));
    let asked = ["token", "recover", "--operator", "nordlicht", "--log", ORIGIN, "--holder", "Anna"];
    let recover = |more: &[&str]| at(&server, &[&asked[..], more].concat());

    // Without a proof it says what is to be signed, and asks nobody.
    let shown = recover(&["--json"]).json();
    let time = shown["signed_at"].as_str().unwrap();
    let message = format!("wiregrant: nordlicht recovers a token of {ORIGIN} at {time}");
    assert_eq!(shown["message"], message);
    let told = recover(&[]);
    assert!(
        told.code == 0 && told.out.contains("--proof") && told.out.contains("nordlicht recovers"),
        "{told:?}"
    );
    assert!(server.requests().is_empty());

    // A wallet's file may end with a line feed.
    fs::write(&proof, "smpAkcwRAIgZRfI\n").unwrap();
    let given = ["--proof", &proof, "--signed-at", time];
    let run = recover(&[&given[..], &["--token-out", &kept]].concat());
    assert!(
        run.code == 0 && run.out.contains("2026-07-09T12:00:00Z") && !run.out.contains("s3cret"),
        "{run:?}"
    );
    assert_eq!(fs::read_to_string(&kept).unwrap(), "s3cret\n");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let [request] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
    assert_eq!(request.line, "POST /api/v1/operators/nordlicht/recovery");
    assert!(!request.head().contains("authorization"), "whoever lost every token has none to show");
    assert_eq!(request.json(), json!({ "proof": "smpAkcwRAIgZRfI", "signed_at": time, "holder": "Anna" }));
    assert_eq!(
        recover(&given).out,
        "s3cret\ntoken-1 is valid from 2026-07-09T12:00:00Z on, unless it is revoked before\n"
    );

    for (more, hint) in [
        (&["--proof", &proof][..], "--signed-at"),
        (&["--signed-at", time], "--proof"),
        (&["--proof", &proof, "--signed-at", "noon"], "noon"),
        (&["--proof", &proof, "--signed-at", time, "--key", &proof], "--key"),
    ] {
        let refused = recover(more);
        assert!(refused.code == 2 && refused.err.contains(hint), "{more:?}: {refused:?}");
    }
    let absent = recover(&["--proof", "/nowhere", "--signed-at", time]);
    assert!(absent.code == 1 && absent.err.contains("/nowhere"), "{absent:?}");
    let problem = json!({ "type": "urn:wiregrant:problem:address", "title": "The address cannot be used", "status": 422,
                          "detail": "the signature does not hold; sign exactly this: wiregrant: nordlicht …" });
    let server = Server::start(move |_| Answer::json(422, &problem));
    let refused = at(&server, &[&asked[..], &given[..]].concat());
    assert!(refused.code == 1 && refused.err.contains("sign exactly this"), "{refused:?}");
    assert_eq!(server.requests().len(), 1, "a refusal is not asked for again");
}

#[test]
fn a_destination_is_signed_offline_by_the_operators_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let file = file.to_str().unwrap();
    let made = wiregrant(["operator", "key", "make", "--operator", "nordlicht", "--out", file]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let sign = |more: &[&str]| {
        let fixed = ["destination", "sign", "--key", file, "--log", ORIGIN, "--network", "regtest"];
        wiregrant(fixed.iter().chain(more))
    };
    let signed = sign(&["--operator", "nordlicht", "--pay", ADDRESS]);
    assert_eq!(signed.code, 0, "{signed:?}");
    let note: Signed<Destination> = Signed::parse(&signed.out).unwrap();
    note.verified_by(&made.out.trim().parse().unwrap()).unwrap();
    assert_eq!(
        (note.content().sequence, note.content().previous, note.content().pay.as_str()),
        (1, None, ADDRESS)
    );

    let hash = Hash::of(b"first").to_string();
    let next = sign(&["--operator", "nordlicht", "--pay", ADDRESS, "--sequence", "2", "--previous", &hash]);
    let next: Signed<Destination> = Signed::parse(&next.out).unwrap();
    assert_eq!((next.content().sequence, next.content().previous), (2, Some(Hash::of(b"first"))));
    let unlinked = sign(&["--operator", "nordlicht", "--pay", ADDRESS, "--sequence", "2"]);
    assert!(unlinked.code == 2 && unlinked.err.contains("--previous"), "{unlinked:?}");

    let other = sign(&["--operator", "polaris", "--pay", ADDRESS]);
    assert!(other.code == 1 && other.err.contains("the key of nordlicht"), "{other:?}");
    let elsewhere = sign(&["--operator", "nordlicht", "--pay", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]);
    assert!(elsewhere.code == 1 && elsewhere.err.contains("--pay"), "{elsewhere:?}");
    let secret =
        sign(&["--operator", "nordlicht", "--pay", "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"]);
    assert!(secret.code == 1 && !secret.err.contains("KwDi"), "{secret:?}");
}

#[test]
fn a_following_destination_asks_the_control_plane_for_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let file = file.to_str().unwrap();
    assert_eq!(wiregrant(["operator", "key", "make", "--operator", "nordlicht", "--out", file]).code, 0);
    let sign = [
        "destination",
        "sign",
        "--key",
        file,
        "--operator",
        "nordlicht",
        "--log",
        ORIGIN,
        "--network",
        "regtest",
        "--pay",
        ADDRESS,
    ];
    let first = wiregrant(sign).out;
    let operator = json!({ "operator": "nordlicht", "vkey": null, "destination":
        { "sequence": 1, "pay": ADDRESS, "note": first, "signed_by_operator": true,
          "ownership_proven": false, "in_force_from": "2026-07-06T12:00:00Z" } });
    let second: Signed<Destination> = Signed::parse(&at(&answering(operator), &sign).out).unwrap();
    assert_eq!((second.content().sequence, second.content().previous), (2, Some(Hash::of(first.as_bytes()))));
}

#[test]
fn terms_have_the_defaults_of_the_format_and_sats_travel_as_strings() {
    let server = Server::start(|_| Answer::Body(500, Vec::new()));
    at(
        &server,
        &[
            "grant",
            "create",
            "spring",
            "--title",
            "Spring",
            "--start",
            "2026-07-06T00:00:00Z",
            "--epochs",
            "12",
        ],
    );
    assert_eq!(
        server.requests()[0].json(),
        json!({ "grant": "spring", "title": "Spring", "state": "open", "terms": {
            "start": "2026-07-06T00:00:00Z", "epochs": 12, "epoch_seconds": 604_800, "unit_bytes": "1000000000", "floor": 10,
            "minimum_payout_sats": "10000", "close_delay_seconds": 172_800, "challenge_seconds": 259_200, "rule": 2,
            "admission": 0, "approvals": 0, "capacity_mbit_per_second": 0, "ceiling_sats_per_unit": "0", "invited_percent": 0,
            "operator_share_percent": 100, "peer_cap_bytes": "0", "site_share_percent": 100 } })
    );
    at(&server, &["code", "issue", "--devices", "3", "--quota", "50GB", "--expires", "2026-08-01T00:00:00Z"]);
    assert_eq!(
        server.requests()[1].json(),
        json!({ "count": 1, "devices": 3, "quota_bytes": "50000000000", "period": "total", "expires": "2026-08-01T00:00:00Z" })
    );
}

#[test]
fn coins_are_sent_to_the_satoshi() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coins.json");
    let txid = "0f".repeat(32);
    let listunspent = format!(
        r#"[{{"txid":"{txid}","vout":1,"address":"{ADDRESS}","amount":0.29000001,"confirmations":6,"spendable":true,"safe":true}}]"#
    );
    let server = Server::start(|_| Answer::Body(500, Vec::new()));
    let create = |change: &str, coins: &str| {
        fs::write(&file, coins).unwrap();
        let fixed = [
            "batch",
            "create",
            "b-1",
            "--grant",
            "spring",
            "--coins",
            file.to_str().unwrap(),
            "--fee-rate",
            "2",
        ];
        at(&server, &[&fixed[..], &["--change", change]].concat())
    };
    create(CHANGE, &listunspent);
    create(CHANGE, &format!("{txid}:1:29000001:{ADDRESS}\n"));
    let sent = json!({ "batch": "b-1", "grant": "spring", "change": CHANGE, "fee_rate_sat_per_vb": 2, "coins":
        [{ "outpoint": format!("{txid}:1"), "sats": "29000001", "address": ADDRESS, "previous_tx": null, "redeem_script": null }],
        "replaces": null, "stage": "exported" });
    assert_eq!(
        server.requests().iter().map(support::server::Request::json).collect::<Vec<_>>(),
        [sent.clone(), sent]
    );
    for (change, coins, word) in [
        (&CHANGE[..CHANGE.len() - 1], listunspent.as_str(), "--change"),
        (CHANGE, "[]", "--coins"),
        (CHANGE, "nonsense", "--coins"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &listunspent, "--coins"),
    ] {
        let run = create(change, coins);
        assert!(run.code == 1 && run.err.contains(word), "{word}: {run:?}");
    }
    assert_eq!(server.requests().len(), 2);
}

/// A batch of the honest record, with a PSBT that pays it.
fn payment() -> (Signed<wiregrant_payout::Batch>, String) {
    let mut story = Story::honest();
    let batch = batch(&story.statement(1).clone());
    let coins =
        parse_coins(&format!("{}:0:900000:{CHANGE}", "0f".repeat(32)), Network::Regtest).expect("a payment");
    let change = PayoutAddress::parse(CHANGE, Network::Regtest).expect("a payment");
    let psbt = build(&batch, &coins, &change, 2).expect("a payment").to_base64();
    (Signed::sign(batch, &story.statement_key).expect("a payment"), psbt)
}

/// The honest record before its batch is paid, with the destination that the batch pays, signed by the operator.
fn before_payment(pay: &str) -> (Story, Signed<Destination>) {
    let mut story = Story::honest();
    let destination = Destination {
        log: ORIGIN.parse().expect("a destination"),
        network: Network::Regtest,
        operator: "nordlicht".parse().expect("a destination"),
        sequence: 1,
        previous: None,
        salt: wiregrant_core::note::Salt([4; 16]),
        pay: pay.to_owned(),
    };
    let signed = Signed::sign(destination, &key("nordlicht", 3)).expect("a destination");
    story.entries.retain(|entry| !matches!(entry, Entry::Line(line) if line.starts_with("paid ")));
    for entry in &mut story.entries {
        if let Entry::Line(line) = entry
            && line.starts_with("destination ")
        {
            *line = format!("destination nordlicht 1 {}", signed.hash());
        }
    }
    (story, signed)
}

#[test]
fn an_address_swapped_in_the_database_is_caught_by_the_destination_its_operator_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (note, psbt) = payment();
    fs::write(path("psbt"), &psbt).unwrap();
    fs::write(path("note"), note.note()).unwrap();
    let check = |destination: &Signed<Destination>, story: &Story| {
        fs::write(path("destinations"), destination.note()).unwrap();
        story.publish(&folder.path().join("public"));
        let state = tempfile::tempdir_in(folder.path()).unwrap();
        wiregrant([
            "--json",
            "payout",
            "check",
            &path("psbt"),
            "--batch-note",
            &path("note"),
            "--change",
            CHANGE,
            "--public",
            &path("public"),
            "--destinations",
            &path("destinations"),
            "--state-dir",
            state.path().to_str().unwrap(),
        ])
    };
    let (story, destination) = before_payment(ADDRESS);
    let run = check(&destination, &story);
    assert_eq!((run.code, &run.json()["exceptions"]), (0, &json!([])), "{run:?}");

    // The operator is paid elsewhere: whoever changed the address could not change what was signed and logged.
    let (other, elsewhere) = before_payment(CHANGE);
    let run = check(&elsewhere, &other);
    assert!(run.code == 1 && run.err.contains(&format!("expected {CHANGE}")), "{run:?}");
    let run = check(&destination, &other);
    assert!(run.code == 1 && run.err.contains("destination 1: expected the logged note"), "{run:?}");
    let forged = Signed::sign(destination.content().clone(), &key("nordlicht", 9)).unwrap();
    let mut with_forged = before_payment(ADDRESS).0;
    for entry in &mut with_forged.entries {
        if let Entry::Line(line) = entry
            && line.starts_with("destination ")
        {
            *line = format!("destination nordlicht 1 {}", forged.hash());
        }
    }
    let run = check(&forged, &with_forged);
    assert!(run.code == 1 && run.err.contains("signature"), "{run:?}");
}

#[test]
fn lines_that_passed_are_refused_in_a_transaction_that_could_be_mined_beside_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (mut story, destination) = before_payment(ADDRESS);
    fs::write(path("destinations"), destination.note()).unwrap();
    let (first, psbt) = payment();
    let again = wiregrant_payout::Batch { batch: "spring-2".parse().unwrap(), ..first.content().clone() };
    let change = PayoutAddress::parse(CHANGE, Network::Regtest).unwrap();
    let psbt_from = |coin: &str, fee_rate| {
        let coins = parse_coins(&format!("{}:0:900000:{CHANGE}", coin.repeat(32)), Network::Regtest).unwrap();
        build(&again, &coins, &change, fee_rate).unwrap().to_base64()
    };
    let signed = Signed::sign(again.clone(), &story.statement_key).unwrap();
    fs::write(path("note-1"), first.note()).unwrap();
    fs::write(path("note-2"), signed.note()).unwrap();
    for (name, psbt) in
        [("psbt-1", psbt), ("other-coin", psbt_from("1e", 2)), ("same-coin", psbt_from("0f", 9))]
    {
        fs::write(path(name), psbt).unwrap();
    }
    let check = |story: &Story, note: &str, psbt: &str| {
        story.publish(&folder.path().join("public"));
        let (psbt, note, public, state) = (path(psbt), path(note), path("public"), path("state"));
        wiregrant([
            "payout",
            "check",
            &psbt,
            "--batch-note",
            &note,
            "--change",
            CHANGE,
            "--public",
            &public,
            "--destinations",
            &path("destinations"),
            "--state-dir",
            &state,
        ])
    };
    assert_eq!(check(&story, "note-1", "psbt-1").code, 0);
    assert_eq!(check(&story, "note-1", "psbt-1").code, 0, "the same again is no second payment");
    story.entries.push(Entry::Batch(again.clone()));
    let run = check(&story, "note-2", "other-coin");
    assert!(run.code == 1 && run.err.contains("the record names spring-1 that may still be paid"), "{run:?}");
    // Who funds single grants does not get the notes of others' batches, and is told so.
    let of_grant = |grant: &str| {
        let fixed = ["--json", "payout", "check", &path("psbt-1"), "--batch-note", &path("note-1")]
            .map(str::to_owned);
        let more = ["--public", &path("public"), "--destinations", &path("destinations"), "--grant", grant];
        let rest = ["--change", CHANGE, "--state-dir", &path("state")].map(str::to_owned);
        wiregrant(fixed.into_iter().chain(more.map(str::to_owned)).chain(rest))
    };
    let run = of_grant("spring");
    let exceptions = run.json()["exceptions"].to_string();
    assert!(run.code == 0 && exceptions.contains("batch spring-2 may still be paid"), "{run:?}");
    let run = of_grant("autumn");
    assert!(run.code == 1 && run.err.contains("that --grant names, found one of spring"), "{run:?}");
    let with_others = |story: &Story, note: &str, psbt: &str| {
        story.publish(&folder.path().join("public"));
        let fixed = ["payout", "check", &path(psbt), "--batch-note", &path(note), "--change", CHANGE]
            .map(str::to_owned);
        let more = ["--public", &path("public"), "--state-dir", &path("state"), "--others", &path("note-1")]
            .map(str::to_owned);
        wiregrant(fixed.into_iter().chain(more))
    };
    let run = with_others(&story, "note-2", "other-coin");
    assert!(run.code == 1 && run.err.contains("in other open batches"), "{run:?}");
    story.entries.push(Entry::Line("void spring-2 typo".into()));

    // Who signs without the record is told by their own list.
    fs::write(path("key"), story.statement_key.verifier().to_string()).unwrap();
    let by_key = |note: &str, psbt: &str| {
        let (psbt, note, key, state) = (path(psbt), path(note), path("key"), path("state"));
        let fixed = ["payout", "check", &psbt, "--batch-note", &note, "--change", CHANGE];
        wiregrant(fixed.into_iter().chain(["--statement-key", &key, "--state-dir", &state]))
    };
    let run = by_key("note-2", "other-coin");
    assert!(
        run.code == 1 && run.err.contains("it passed before, in another transaction of batch spring-1"),
        "{run:?}"
    );

    // A batch that replaces the first must share a coin with it.
    let replacing = wiregrant_payout::Batch {
        batch: "spring-3".parse().unwrap(),
        replaces: Some("spring-1".parse().unwrap()),
        ..again
    };
    fs::write(path("note-3"), Signed::sign(replacing.clone(), &story.statement_key).unwrap().note()).unwrap();
    story.entries.push(Entry::Batch(replacing));
    let run = check(&story, "note-3", "other-coin");
    assert!(run.code == 1 && run.err.contains("both could be mined"), "{run:?}");
    assert_eq!(check(&story, "note-3", "same-coin").code, 0, "only one of the two can be mined");
    story.entries.push(Entry::Line("void spring-1 replaced".into()));
    story.entries.push(Entry::Line("hold spring 1 nordlicht fork".into()));
    let run = check(&story, "note-3", "same-coin");
    assert!(run.code == 1 && run.err.contains("it is held"), "{run:?}");
    story.entries.push(Entry::Line("release spring 1 nordlicht".into()));
    let run = check(&story, "note-1", "psbt-1");
    assert!(run.code == 1 && run.err.contains("paid or void"), "{run:?}");
}

/// Lets this machine have seen everything so many seconds earlier.
fn remember_longer(state: &std::path::Path, seconds: i64) {
    for log in fs::read_dir(state.join("logs")).expect("what this program has written") {
        let seen = log.expect("what this program has written").path().join("seen");
        let Ok(text) = fs::read_to_string(&seen) else { continue };
        let older = |line: &str| {
            let (time, size) = line.split_once(' ').expect("what this program has written");
            format!("{} {size}\n", time.parse::<i64>().expect("what this program has written") - seconds)
        };
        fs::write(&seen, text.lines().map(older).collect::<String>()).expect("what this program has written");
    }
}

#[test]
fn sats_are_signed_for_only_once_the_challenge_window_that_this_machine_saw_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (mut story, destination) = before_payment(ADDRESS);
    fs::write(path("destinations"), destination.note()).unwrap();
    for entry in &mut story.entries {
        match entry {
            Entry::Terms(note) => note.terms.challenge_seconds = 3_600,
            Entry::Statement(statement) => statement.terms.challenge_seconds = 3_600,
            _ => {}
        }
    }
    let (note, psbt) = payment();
    fs::write(path("psbt"), &psbt).unwrap();
    fs::write(path("note"), note.note()).unwrap();
    story.publish(&folder.path().join("public"));
    let check = || {
        wiregrant([
            "payout",
            "check",
            &path("psbt"),
            "--batch-note",
            &path("note"),
            "--change",
            CHANGE,
            "--public",
            &path("public"),
            "--destinations",
            &path("destinations"),
            "--state-dir",
            &path("state"),
        ])
    };
    let run = check();
    assert!(run.code == 1 && run.err.contains("may be challenged for 3600 s"), "{run:?}");
    remember_longer(&folder.path().join("state"), 3_500);
    assert_eq!(check().code, 1);
    remember_longer(&folder.path().join("state"), 101);
    let run = check();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_destination_is_paid_once_it_is_known_to_be_old_enough_and_a_young_one_is_an_exception() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let descriptor = "wpkh(tpubDCxX2sYFS5bDkSe5GKKYHjBW7tgyN1R3UchpLJvdbf54ohxeGRtd8MbDUe1cguVHe4vnK68DsuD5MXjxi9EXx16rb9EnNsaF5KT99CinaJz/0/*)";
    let Pay::Descriptor(keys) = Pay::parse(descriptor, Network::Regtest).unwrap() else { panic!() };
    let (mut story, first) = before_payment(ADDRESS);
    let second = Destination {
        sequence: 2,
        previous: Some(first.hash()),
        pay: descriptor.to_owned(),
        ..first.content().clone()
    };
    let second = Signed::sign(second, &key("nordlicht", 3)).unwrap();
    fs::write(path("destinations"), format!("{}{}", first.note(), second.note())).unwrap();
    let to = |sequence: u64, address: &str| {
        let mut batch = payment().0.content().clone();
        for line in &mut batch.lines {
            line.destination_sequence = sequence;
            line.address = address.to_owned();
        }
        batch
    };
    let fresh = keys.address(1).unwrap().to_string();
    let at = story.entries.iter().position(|entry| matches!(entry, Entry::Batch(_))).unwrap();
    story.entries[at] = Entry::Line(format!("destination nordlicht 2 {}", second.hash()));
    let check = |batch: &wiregrant_payout::Batch| {
        let mut story = story.clone();
        story.entries.push(Entry::Batch(batch.clone()));
        let coins = parse_coins(&format!("{}:0:900000:{CHANGE}", "0f".repeat(32)), Network::Regtest).unwrap();
        let change = PayoutAddress::parse(CHANGE, Network::Regtest).unwrap();
        fs::write(path("psbt"), build(batch, &coins, &change, 2).unwrap().to_base64()).unwrap();
        fs::write(path("note"), Signed::sign(batch.clone(), &story.statement_key).unwrap().note()).unwrap();
        // Each batch is judged on a record of its own; only when things were seen is shared.
        let state = tempfile::tempdir_in(folder.path()).unwrap();
        story.publish(&folder.path().join("public"));
        let run = || {
            wiregrant([
                "--json",
                "payout",
                "check",
                &path("psbt"),
                "--batch-note",
                &path("note"),
                "--change",
                CHANGE,
                "--public",
                &path("public"),
                "--destinations",
                &path("destinations"),
                "--state-dir",
                state.path().to_str().unwrap(),
            ])
        };
        let young = run();
        remember_longer(state.path(), 72 * 3_600);
        (young, run())
    };
    let (young, old) = check(&to(2, &fresh));
    assert!(young.code == 0 && young.json()["exceptions"].to_string().contains("72 hours"), "{young:?}");
    assert_eq!((old.code, &old.json()["exceptions"]), (0, &json!([])), "{old:?}");
    let (young, old) = check(&to(1, ADDRESS));
    assert_eq!((young.code, &young.json()["exceptions"]), (0, &json!([])), "{young:?}");
    assert!(
        old.code == 1 && old.err.contains("expected number 2 of the record, which is in force"),
        "{old:?}"
    );
    let (_, swapped) = check(&to(2, ADDRESS));
    assert!(swapped.code == 1 && swapped.err.contains("of the descriptor"), "{swapped:?}");
}

#[test]
fn a_psbt_passes_only_for_the_batch_it_pays() {
    let (folder, (story, destination)) = (tempfile::tempdir().unwrap(), before_payment(ADDRESS));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (note, psbt) = payment();
    fs::write(path("psbt"), &psbt).unwrap();
    fs::write(path("note"), note.note()).unwrap();
    fs::write(path("key"), story.statement_key.verifier().to_string()).unwrap();
    story.publish(&folder.path().join("public"));
    let check = |psbt: &str, note: &str, by: &[&str], change: &str| {
        let (psbt, note) = (path(psbt), path(note));
        let fixed = ["--json", "payout", "check", &psbt, "--batch-note", &note, "--change", change];
        wiregrant(fixed.iter().chain(by))
    };
    let (key_file, public, state) = (path("key"), path("public"), path("state"));
    let by_key = ["--statement-key", &key_file, "--state-dir", &state];
    let by_record = ["--public", &public, "--state-dir", &state];
    fs::write(path("destinations"), destination.note()).unwrap();
    let destinations = path("destinations");
    let whole = [&by_record[..], &["--destinations", &destinations]].concat();
    for (by, code, result, skipped) in [
        (&by_key[..], 2, "not-all-checked", &["challenge windows", "newest destination"][..]),
        (&by_record, 2, "not-all-checked", &["newest destination"]),
        (&whole, 0, "ok", &[]),
    ] {
        let run = check("psbt", "note", by, CHANGE);
        assert_eq!((run.code, &run.json()["result"]), (code, &result.into()), "{run:?}");
        let not_checked = run.json()["not_checked"].as_array().unwrap().clone();
        assert_eq!(not_checked.len(), skipped.len(), "{run:?}");
        for (said, part) in not_checked.iter().zip(skipped) {
            assert!(said.as_str().unwrap().contains(part), "{run:?}");
        }
    }
    let witness = CosignerKey::new("witness.example/w1", [7; 32]).unwrap();
    let witness_key = witness.verifier().to_string();
    let trusted = ["--witness", &witness_key];
    let run = check("psbt", "note", &[&by_key[..], &trusted].concat(), CHANGE);
    assert!(run.code == 2 && run.err.contains("--statement-key"), "demanded and then not asked for: {run:?}");
    let run = check("psbt", "note", &[&whole[..], &trusted].concat(), CHANGE);
    assert!(run.code == 1 && run.err.contains("cosignatures of 1 of 1 witnesses"), "{run:?}");
    for log in ["log", "reports"] {
        let file = folder.path().join("public").join(log).join("checkpoint");
        let note = Note::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let line = witness.cosign(&note.text, 1_780_000_000).unwrap();
        fs::write(&file, add_cosignature(&note, &line, &witness.verifier()).unwrap().to_string()).unwrap();
    }
    let run = check("psbt", "note", &[&whole[..], &trusted].concat(), CHANGE);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(check("psbt", "note", &by_key, ADDRESS).code, 1);

    let mut other = note.content().clone();
    other.lines[0].sats = Sats::new(other.total.get() - 1).unwrap();
    other.total = other.lines[0].sats;
    let other_note = Signed::sign(other.clone(), &story.statement_key).unwrap();
    fs::write(path("other"), other_note.note()).unwrap();
    assert!(check("psbt", "other", &by_key, CHANGE).err.contains("output"));
    assert!(check("psbt", "other", &by_record, CHANGE).err.contains("expected the logged note"));
    let forged = Signed::sign(note.content().clone(), &key(story.statement_key.name(), 9)).unwrap();
    fs::write(path("forged"), forged.note()).unwrap();
    assert!(check("psbt", "forged", &by_key, CHANGE).err.contains("signature"));
    assert_eq!(
        wiregrant(["payout", "check", &path("psbt"), "--batch-note", &path("note"), "--change", CHANGE]).code,
        2
    );
}

#[test]
fn a_payout_is_checked_only_by_a_record_that_the_demanded_witnesses_have_cosigned() {
    let (folder, (story, destination)) = (tempfile::tempdir().unwrap(), before_payment(ADDRESS));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (note, psbt) = payment();
    fs::write(path("psbt"), &psbt).unwrap();
    fs::write(path("note"), note.note()).unwrap();
    fs::write(path("destinations"), destination.note()).unwrap();
    fs::write(path("key"), story.statement_key.verifier().to_string()).unwrap();
    let public = folder.path().join("public");
    story.publish(&public);
    let (one, two) = (witness(1).verifier().to_string(), witness(2).verifier().to_string());
    let check = |by: &[&str]| {
        let (psbt, note, state) = (path("psbt"), path("note"), path("state"));
        let fixed =
            ["payout", "check", &psbt, "--batch-note", &note, "--change", CHANGE, "--state-dir", &state];
        wiregrant(fixed.iter().chain(by).chain(&["--witness", &one, "--witness", &two]))
    };
    let destinations = path("destinations");
    let by_record = ["--public", public.to_str().unwrap(), "--destinations", &destinations];
    cosign(&public, &witness(2));
    let run = check(&by_record);
    assert!(run.code == 1 && run.err.contains("witness.example/w1"), "{run:?}");
    assert_eq!(check(&[&by_record[..], &["--witnesses-required", "1"]].concat()).code, 0);
    cosign(&public, &witness(1));
    assert_eq!(check(&by_record).code, 0);
    let run = check(&[&by_record[..], &["--witnesses-required", "3"]].concat());
    assert!(run.code == 1 && run.err.contains("--witness: "), "{run:?}");

    // Without the record there is nothing that a witness could have cosigned, and nobody is to think that one had.
    let run = check(&["--statement-key", &path("key")]);
    assert!(run.code == 2 && run.err.contains("--witness"), "{run:?}");
    let key = story.log_key.verifier().to_string();
    let fixed = ["payout", "check", &path("psbt"), "--batch-note", &path("note"), "--change", CHANGE]
        .map(str::to_owned);
    let more = ["--statement-key".to_owned(), path("key"), "--log-key".to_owned(), key];
    assert_eq!(wiregrant(fixed.into_iter().chain(more)).code, 2);
}

#[test]
fn a_report_adds_up_what_the_statements_say() {
    let story = Story::honest();
    let (_, notes) = story.logged();
    let mut items: Vec<Value> = notes
        .iter()
        .filter(|(_, note)| note.starts_with("wiregrant/statement/v1\n"))
        .map(|(hash, note)| {
            let epoch = note.lines().find_map(|line| line.strip_prefix("epoch ")).unwrap();
            let epoch: u64 = epoch.split(' ').next().unwrap().parse().unwrap();
            json!({ "epoch": epoch, "hash": hash, "note": note })
        })
        .collect();
    items.sort_by_key(|item| item["epoch"].as_u64());
    let server = answering(json!({ "items": items }));
    let report = at(&server, &["--json", "report", "spring"]).json();
    assert_eq!(
        (&report["units"], &report["bytes"], &report["earned"]),
        (&"12".into(), &"12000000".into(), &"200001".into())
    );
    assert_eq!(report["epochs"][1]["operators"][0]["operator"], "nordlicht");
    let shown = at(&server, &["report", "spring"]).out;
    assert!(shown.contains("    1  nordlicht") && shown.contains("200,001 sats earned"), "{shown}");
    let listed = at(&server, &["statement", "list", "spring"]).out;
    assert!(listed.contains("100,001") && listed.lines().count() == 3, "{listed}");
    let other = at(&server, &["report", "autumn"]);
    assert!(other.code == 1 && other.err.contains("asked for autumn"), "{other:?}");
}
