//! What whoever runs it does with the binary: backups while it serves, TLS with certificates that change, figures on loopback.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::invitation::Invitation;
use wiregrant_store::Log;

use crate::support::Plane;

pub fn run(data: &Path, command: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args([command, "--origin", "grants.example/record", "--network", "regtest", "--data-dir"])
        .arg(data)
        .args(more)
        .output()
        .unwrap()
}

pub fn said(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat()
}

#[tokio::test]
async fn a_backup_taken_while_it_serves_is_put_back_and_goes_on_from_there() {
    let mut plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    let (note, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("backup.db");
    let copy = copy.to_str().unwrap();
    let data = plane.folder.path().to_owned();
    let backed_up = run(&data, "backup", &["--to", copy]);
    assert!(
        backed_up.status.success() && said(&backed_up).contains("reports  1 entries"),
        "{}",
        said(&backed_up)
    );
    let again = run(&data, "backup", &["--to", copy]);
    assert!(!again.status.success() && said(&again).contains("exists"), "{}", said(&again));

    plane.stop().await;
    plane.plane.store.close().await;
    let over_it = run(&data, "restore", &["--from", copy]);
    assert!(!over_it.status.success() && said(&over_it).contains("move it away"), "{}", said(&over_it));
    for suffix in ["", "-wal", "-shm"] {
        let file = data.join(format!("wiregrant.db{suffix}"));
        if file.exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
    let other = ["--from", copy, "--network", "signet"];
    let mut wrong = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"));
    wrong.args(["restore", "--origin", "grants.example/record", "--data-dir"]).arg(&data).args(other);
    let wrong = wrong.output().unwrap();
    assert!(!wrong.status.success() && said(&wrong).contains("regtest"), "{}", said(&wrong));
    let restored = run(&data, "restore", &["--from", copy]);
    assert!(restored.status.success(), "{}", said(&restored));

    let caught_up = run(&data, "catch-up", &["--without", node.id.as_str()]);
    assert!(caught_up.status.success() && said(&caught_up).contains("caught up"), "{}", said(&caught_up));

    let plane = plane.restart().await;
    assert_eq!(node.send(&plane, &note).await.ok().body, acknowledged);
    node.report(&plane, plane.now(), |_| {}).await;
}

#[tokio::test]
async fn a_statement_key_is_replaced_at_a_start_and_whoever_has_the_old_one_writes_nothing_more() {
    let plane = Plane::start().await;
    let data = plane.folder.path().to_owned();
    let log_key = plane.plane.keys.record.verifier();
    let former = plane.plane.keys.statement.verifier();
    let made = run(&data, "next-statement-key", &[]);
    assert!(made.status.success() && said(&made).contains(&former.to_string()), "{}", said(&made));
    assert_eq!(said(&run(&data, "next-statement-key", &[])), said(&made), "the same, until it is in use");
    plane.operator("nordlicht").await;

    let plane = plane.restart().await;
    let next = plane.plane.keys.statement.verifier();
    assert_ne!(next, former);
    assert_eq!(plane.plane.keys.record.verifier(), log_key);
    assert!(said(&made).contains(&next.to_string()));
    let mut read = plane.plane.store.read().await.unwrap();
    let size = read.log_size(Log::Record).await.unwrap();
    let last = read.entries(Log::Record, size - 1, 1).await.unwrap();
    assert_eq!(last, [format!("key statement {next}")]);
    drop(read);
    let set = json!({ "pay": crate::support::ADDRESS });
    let signed: Value = plane.post("/operators/nordlicht/destination", set).await.json();
    assert!(signed["note"].as_str().unwrap().contains(next.name()));

    // A replica that was not stopped, and a start that was cut off between the record and the file.
    let keys = data.join("keys");
    std::fs::rename(keys.join("statement.key"), keys.join("statement.key.next")).unwrap();
    std::fs::rename(keys.join("statement.key.former"), keys.join("statement.key")).unwrap();
    let plane = plane.restart().await;
    assert_eq!(plane.plane.keys.statement.verifier(), next);
    let mut write = plane.plane.store.write().await.unwrap();
    write.put_setting("statement_vkey", "another").await.unwrap();
    write.commit().await.unwrap();
    let refused = plane.post("/operators", json!({ "operator": "polaris" })).await;
    refused.problem(ProblemKind::Internal);
}

#[test]
fn a_damaged_backup_is_not_put_back_and_postgresql_is_told_its_tools() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "no database at all, but long enough to be looked at as one".repeat(200))
        .unwrap();
    let refused = run(folder.path(), "restore", &["--from", broken.to_str().unwrap()]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(!folder.path().join("wiregrant.db").exists());
    for (command, flag, tool) in [("backup", "--to", "pg_dump"), ("restore", "--from", "pg_restore")] {
        let told = run(folder.path(), command, &["--database", "postgres://x@host/db", flag, "file"]);
        assert!(!told.status.success() && said(&told).contains(tool), "{}", said(&told));
    }
}

/// A self-signed certificate for `localhost` of this name, made by OpenSSL.
fn certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/O={name}/CN=localhost"), "-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", said(&made));
}

/// A server on free ports, and its log from the line on that says that it serves.
struct Served {
    process: Child,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
    port: String,
}

fn serve(data: &Path, more: &[&str]) -> Served {
    let mut process = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args([
            "serve",
            "--origin",
            "a/record",
            "--network",
            "regtest",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data)
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let line = log.by_ref().map(Result::unwrap).find(|line| line.contains("serving")).expect("it serves");
    let port = line.split("127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    Served { process, log, port }
}

impl Served {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn curl(folder: &Path, served: &Served, more: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]).arg(folder.join("cert.pem"));
    command
        .args(more)
        .arg(format!("https://localhost:{}/healthz", served.port))
        .output()
        .expect("curl is installed")
}

#[test]
fn tls_serves_both_versions_of_http_and_takes_a_new_certificate_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificate(folder, "first");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let files = ["--tls-certificate", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let mut served = serve(folder, &files);
    let version = ["--write-out", "%{http_version}"];
    assert_eq!(said(&curl(folder, &served, &[&version[..], &["--http2"]].concat())), "ok\n2");
    assert_eq!(said(&curl(folder, &served, &[&version[..], &["--http1.1"]].concat())), "ok\n1.1");

    certificate(folder, "second"); // another key, for which nobody vouches but this very file
    assert!(!curl(folder, &served, &[]).status.success(), "the old certificate is still served");
    served.signal("-HUP");
    assert!(served.log.any(|line| line.unwrap().contains("was read again")));
    assert_eq!(said(&curl(folder, &served, &[])), "ok\n");

    std::fs::write(&cert, "no certificate").unwrap();
    served.signal("-HUP");
    assert!(served.log.any(|line| line.unwrap().contains("the old one stays")));
    assert_eq!(said(&curl(folder, &served, &["--insecure"])), "ok\n");
    let refused = run(folder, "check-config", &files);
    assert!(!refused.status.success() && said(&refused).contains("tls_certificate"), "{}", said(&refused));
}

#[tokio::test]
async fn invitations_pin_the_key_of_the_certificate_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificate(folder, "own");
    let cert = folder.join("cert.pem");
    // As `docs/operate.md` has it.
    let script = "openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64";
    let pin = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    let pin = said(&pin).trim().to_owned();
    let checked = run(folder, "check-config", &["--tls-pin", cert.to_str().unwrap()]);
    assert!(
        checked.status.success() && said(&checked).contains(&format!("tls_pin     {pin}\n")),
        "{}",
        said(&checked)
    );

    let plane = Plane::start_pinning(&cert).await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let new = json!({ "operator": "nordlicht", "location": "de-fra" });
    let made: Value = plane.post("/invitations", new.clone()).await.json();
    let invitation: Invitation = made["invitation"].as_str().unwrap().parse().unwrap();
    assert_eq!(invitation.pin, Some(pin));
    std::fs::write(&cert, "no certificate").unwrap();
    plane.post("/invitations", new).await.problem(ProblemKind::Internal);
    let refused = run(folder, "check-config", &["--tls-pin", cert.to_str().unwrap()]);
    assert!(!refused.status.success() && said(&refused).contains("tls_pin"), "{}", said(&refused));
}

#[test]
fn figures_and_readiness_are_told_on_loopback_alone() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let served = serve(folder.path(), &["--monitor-listen", &free]);
    let ask = |address: &str, path: &str| {
        let mut asked = Command::new("curl");
        asked.args(["--silent", "--max-time", "60"]).arg(format!("http://{address}{path}"));
        said(&asked.output().unwrap())
    };
    assert_eq!(ask(&free, "/readyz"), "ok\n");
    assert!(ask(&free, "/metrics").contains("\nwiregrant_control_leads 1\n"));
    assert!(!ask(&format!("127.0.0.1:{}", served.port), "/metrics").contains("wiregrant_control_leads"));
    let refused = run(folder.path(), "check-config", &["--monitor-listen", "0.0.0.0:9464"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("loopback"), "{}", said(&refused));
}

#[test]
fn the_environment_configures_it_and_an_unknown_variable_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, value: &str| {
        Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
            .args(["check-config", "--network", "regtest", "--data-dir"])
            .arg(folder.path())
            .env("WIREGRANT_CONTROL_ORIGIN", "grants.example/record")
            .env(name, value)
            .output()
            .unwrap()
    };
    let checked = check("WIREGRANT_CONTROL_TITLE", "From the environment");
    assert!(
        checked.status.success() && said(&checked).contains("From the environment"),
        "{}",
        said(&checked)
    );
    let refused = check("WIREGRANT_CONTROL_TITEL", "x");
    assert!(refused.status.code() == Some(2) && said(&refused).contains("titel"), "{}", said(&refused));
}
