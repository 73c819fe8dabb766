//! Catching up from what others serve: over HTTP, with what was decided about keys and credited meanwhile, past a witness that is away.

use axum::Router;
use axum::http::Method;
use data_encoding::BASE64;
use serde_json::{Value, json};
use transparency_log::{CosignerKey, LogProof, SigningKey};
use wiregrant_control::catch_up::{Asking, still_waiting};
use wiregrant_control::keys::Keys;
use wiregrant_control::public_files;
use wiregrant_core::note::Signed;
use wiregrant_core::rekey::Rekey;
use wiregrant_core::usage_report::Class;
use wiregrant_store::Store;

use crate::new_origin::{Story, ok, refused, run, units_of};
use crate::support::label;

/// A folder on a web server, until the test ends.
async fn served(folder: &std::path::Path) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let files = Router::new().fallback_service(public_files::service(folder));
    tokio::spawn(async move { axum::serve(listener, files).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_over_http_gives_back_statements_with_their_units_and_keys_that_were_changed() {
    let mut story = Story::with(false).await;
    story.plane = story.plane.restart().await;
    // The node has another key now, announced by the one that signed all its reports so far.
    let next = SigningKey::new(story.node.id.as_str(), [51; 32]).unwrap();
    let rekey = Rekey {
        log: story.node.joined.log.clone(),
        node: story.node.id.clone(),
        operator: story.node.operator.clone(),
        former: story.node.key.verifier(),
        vkey: next.verifier(),
        time: story.plane.now(),
    };
    let signed = Signed::sign(rekey, &story.node.key).unwrap();
    let signature = BASE64.encode(&next.sign_bytes(signed.note().as_bytes()));
    let path = format!("/nodes/{}/rekey", story.node.id);
    let body = json!({ "note": signed.note(), "signature": signature });
    story.plane.ask(Method::POST, &path, "", body).await.ok();
    story.node.key = next;
    story.report(3).await;
    story.plane.stop().await;
    story.plane.plane.store.close().await;
    let mirror = story.backup.path().join("mirror");
    std::fs::rename(story.data().join("public"), &mirror).unwrap();
    story.restore();
    refused(&run(story.data(), "catch-up", &[]), "nothing was published there");
    let url = served(&mirror).await;
    refused(
        &run(story.data(), "catch-up", &["--from", &format!("{url}/elsewhere")]),
        "nothing was published there",
    );
    let told = ok(&run(story.data(), "catch-up", &["--from", &url]));
    assert!(told.contains("what 1 nodes hold") && told.contains(&url), "{told}");

    let config = story.plane.plane.config.clone();
    let store = Store::open(&config.database).await.unwrap();
    let keys = Keys::open(&config.data_dir.join("keys"), &config.origin).unwrap();
    let asking = Asking::new(config, keys, store.clone(), story.plane.clock.clone());
    let shown = story.show(&wiregrant_control::catch_up::router(&asking)).await;
    assert_eq!(shown, 204, "the node is known by the key that the imported record names");
    assert_eq!(still_waiting(&asking).await.unwrap(), None);
    store.close().await;

    let Story { plane, mut node, kept, .. } = story;
    let plane = plane.restart().await;
    for (note, acknowledged) in &kept {
        let again = node.send(&plane, note).await.ok().body;
        let (before, now): (LogProof, LogProof) = (acknowledged.parse().unwrap(), again.parse().unwrap());
        assert_eq!(before.index, now.index, "also those that the key before has signed");
    }
    node.serve(Class::Invited, 2_000_000, 1_000_000);
    node.report(&plane, plane.now(), |report| report.epoch = label("spring", 3)).await;
    plane.clock.advance(60);
    plane.close("spring", 3).await.ok();
    let statements: Value = plane.get("/grants/spring/statements").await.json();
    let units: Vec<u64> = statements["items"].as_array().unwrap().iter().map(units_of).collect();
    assert_eq!(
        (units[1] > 0, units.iter().sum::<u64>()),
        (true, 3 * 6),
        "{units:?}: imported ones are counted from"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_cannot_be_asked_is_not_passed_over_by_catching_up_and_is_named_where_the_origin_ends()
{
    let story = Story::with(false).await;
    story.restore();
    let away = CosignerKey::new("witness.example/away", [5; 32]).unwrap().verifier();
    let witness = ["--witness", &format!("{away} http://127.0.0.1:1")];
    refused(&run(story.data(), "catch-up", &witness), "must not be passed over");
    refused(&run(story.data(), "serve", &["--listen", "127.0.0.1:0"]), "catch-up");
    let told = ok(&run(story.data(), "new-origin", &[&witness[..], &["grants.example/record-2"]].concat()));
    assert!(told.contains("not asked     witness witness.example/away"), "{told}");
}
