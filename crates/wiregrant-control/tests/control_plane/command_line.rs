//! The binary: exit codes, messages, and an end that loses nothing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"));
    command.args(arguments).env_remove("WIREGRANT_CONTROL_CONFIG").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_made_by_init_is_a_configuration_that_holds() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let arguments = [
        "init",
        "--data-dir",
        folder,
        "--origin",
        "grants.example/record",
        "--network",
        "regtest",
        "--listen",
        "127.0.0.1:8080",
        "--public-url",
        "http://127.0.0.1:8080",
    ];
    for _ in 0..2 {
        let made = run(&arguments);
        assert!(made.status.success(), "{}", said(&made));
    }
    let path = format!("{folder}/wiregrant-control.toml");
    let checked = run(&["check-config", "--config", &path]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("grants.example/record+"));
    let other = run(&[&arguments[..6], &["signet"][..]].concat());
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
}

#[test]
fn usage_and_configuration_errors_end_with_2_and_name_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wiregrant-control.toml");
    let given = path.to_str().unwrap();
    let config = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["check-config", "--config", given])
    };
    for (output, words) in [
        (run(&["serve", "--config", "/nowhere/x.toml"]), ["/nowhere/x.toml", "init"]),
        (run(&["serve"]), ["origin", "missing"]),
        (run(&["dance"]), ["dance", "--help"]),
        (config("origin = 5"), ["origin", "string"]),
        (config("origin = \"a\"\nnetwork = \"mainnet\"\ndata_dir = \"/tmp/x\""), ["mainnet", "regtest"]),
        (config("orign = \"a\""), ["orign", "unknown field"]),
    ] {
        let message = said(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

/// Starts to serve from `data`; the port is whichever is free.
fn serve(data: &str, network: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args(["serve", "--data-dir", data, "--origin", "a/record", "--network", network])
        .args(["--listen", "127.0.0.1:0"])
        .env_remove("WIREGRANT_CONTROL_CONFIG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn it_ends_in_good_order_and_its_database_is_never_opened_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut first = serve(data, "regtest");
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("serving")));
    let asked = Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert!(lines.any(|line| line.unwrap().contains("stopping")));
    assert!(first.wait().unwrap().success());
    let second = serve(data, "signet").wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("network") && said(&second).contains("regtest"), "{}", said(&second));
}
