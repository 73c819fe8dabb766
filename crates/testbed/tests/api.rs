//! The whole API, asked by a program that knows nothing of it but `/openapi.json`: everything that the description allows and
//! much that it does not, with every kind of credential. No answer is a failure of ours, and none is one that is not described.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testbed::process::{self, Process};
use testbed::programs::Programs;
use testbed::wait::eventually;

/// Where `cargo xtask test` puts it, below the target folder.
const SCHEMATHESIS: &str = "tools/schemathesis/bin/schemathesis";
/// What must hold of every answer; of the control plane's log, that it failed at nothing.
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";
/// Requests to each address that are made up, in `test` and in `soak`. Only the administrator, who gets furthest, besides sends
/// those at the edges of what is allowed (the phase `coverage`).
const EXAMPLES: (&str, &str) = ("3", "400");
/// The same requests each time.
const SEED: &str = "20260706";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A control plane on this machine's loopback, and its parties.
struct Served {
    programs: Programs,
    url: String,
    control: Process,
    folder: TempDir,
}

impl Served {
    fn start() -> Self {
        let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).unwrap();
        let folder = tempfile::Builder::new().prefix("wiregrant-api-").tempdir().unwrap();
        let mut serve = Command::new(&programs.control);
        serve.args(["serve", "--origin", "grants.example/record", "--network", "regtest"]);
        serve.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("control"));
        serve.env_remove("WIREGRANT_CONTROL_CONFIG");
        let mut control = Process::spawn("control", &mut serve, folder.path()).unwrap();
        let log = control.log().to_owned();
        let url = eventually("the control plane's address", START_LIMIT, &[&log], || {
            control.still_runs()?;
            let said = std::fs::read_to_string(&log)?;
            let address = said.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
            Ok(address.map(|address| format!("http://{address}")))
        })
        .unwrap();
        Self { programs, url, control, folder }
    }

    /// Runs the CLI with the token in a file of this name.
    fn cli(&self, token: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.programs.cli);
        command.args(["--url", &self.url, "--json", "--token-file"]).arg(self.folder.path().join(token));
        process::run(command.args(arguments).current_dir(self.folder.path())).unwrap()
    }

    fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap().trim().to_owned()
    }

    /// One party of each kind, and what there is to look at. What each sends in `Authorization`.
    fn parties(&self) -> Vec<(&'static str, String)> {
        self.cli("control/bootstrap.token", &["token", "make", "--holder", "Ada", "--token-out", "admin"]);
        self.cli("admin", &["location", "add", "de-fra", "--name", "Frankfurt"]);
        self.cli("admin", &["operator", "add", "nordlicht", "--token-out", "operator"]);
        self.cli("admin", &["distributor", "add", "ngo", "--token-out", "distributor"]);
        let start = ["--title", "Spring", "--start", "now+1d", "--epochs", "2"];
        self.cli("admin", &[&["grant", "create", "spring"][..], &start].concat());
        self.cli("admin", &["funder", "add", "fund", "--grant", "spring", "--token-out", "funder"]);
        self.cli("admin", &["auditor", "add", "auditor", "--grant", "spring", "--token-out", "auditor"]);
        let issue =
            ["code", "issue", "--devices", "3", "--quota", "50GB", "--expires", "30d", "--count", "1"];
        let issued: Value = serde_json::from_str(&self.cli("distributor", &issue)).unwrap();
        let code = issued["codes"][0].as_str().unwrap().to_owned();
        let mut parties: Vec<_> = ["admin", "operator", "distributor", "funder", "auditor"]
            .into_iter()
            .map(|name| (name, self.token(name)))
            .collect();
        parties.extend([("person", code), ("stranger", "wiregrant-operator-AAAA".to_owned())]);
        parties
    }
}

fn schemathesis() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_testbed")).parent().and_then(Path::parent).unwrap();
    let program = target.join(SCHEMATHESIS);
    assert!(program.is_file(), "{} is not there; `cargo xtask test packages` installs it", program.display());
    program
}

#[test]
fn no_request_gets_an_answer_that_is_not_described() {
    let program = schemathesis();
    let served = Served::start();
    let examples = if std::env::var_os("WIREGRANT_SOAK").is_some() { EXAMPLES.1 } else { EXAMPLES.0 };
    for (name, credential) in served.parties() {
        let mut ask = Command::new(&program);
        ask.args(["run", &format!("{}/openapi.json", served.url), "--no-color"]);
        let phases = if name == "admin" { "coverage,fuzzing" } else { "fuzzing" };
        ask.args(["--phases", phases, "--max-examples", examples, "--seed", SEED]);
        ask.args(["--request-timeout", "60", "--suppress-health-check", "all"]);
        // Where no node has room the answer is 503, as described: here there is no node. A 500 is found in the log.
        let server_errors = if name == "person" { "" } else { "not_a_server_error," };
        ask.args(["--checks", &format!("{server_errors}{CHECKS}")]);
        ask.args(["--warnings", "off"]);
        ask.args(["--header", &format!("Authorization: Bearer {credential}")]);
        let asked = ask.current_dir(served.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&asked.stdout).replace(&credential, "<credential>");
        assert!(asked.status.success(), "as {name}:\n{said}");
        assert!(said.contains("No issues found"), "as {name}:\n{said}");
    }
    let log = std::fs::read_to_string(served.control.log()).unwrap();
    let failures: Vec<_> = log.lines().filter(|line| line.contains("a request failed")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
