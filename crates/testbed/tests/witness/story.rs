//! Control planes and witnesses as processes on loopback, and what they publish and keep.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use testbed::process::{self, Process};
use testbed::programs::Programs;
use testbed::wait::eventually;
use transparency_log::{Checkpoint, CosignerVerifier, Hash, Note, Verifier, WitnessPolicy};

/// For what happens within a second, also on a machine that does much else.
pub const LIMIT: Duration = Duration::from_secs(120);
const ORIGIN: &str = "grants.example/record";

/// A folder with the data of all of them, and the programs.
pub struct Story {
    folder: tempfile::TempDir,
    pub programs: Programs,
}

/// A server on a port of the system's choice.
pub struct Server {
    pub process: Process,
    pub url: String,
}

impl Story {
    pub fn new() -> Self {
        let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), programs }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn control(&self, word: &str, data: &str) -> Command {
        let mut command = Command::new(&self.programs.control);
        command.arg(word).arg("--data-dir").arg(self.path(data)).args(["--listen", "127.0.0.1:0"]);
        if word != "witness" {
            command.args(["--origin", ORIGIN, "--network", "regtest"]);
        }
        command
    }

    /// Makes a control plane's keys and gives those of both logs.
    pub fn init(&self, data: &str) -> [Verifier; 2] {
        let said = process::run(&mut self.control("init", data)).unwrap();
        let vkey = said.lines().find_map(|line| line.strip_prefix("log key")).unwrap();
        let record: Verifier = vkey.trim().parse().unwrap();
        let reports = Verifier::from_public_key(&format!("{ORIGIN}/reports"), record.public_key()).unwrap();
        [record, reports]
    }

    /// Starts a server and waits until it says where it listens.
    pub fn start(&self, name: &str, mut command: Command) -> Server {
        // A log of its own for each start, so that an address is never an earlier one's.
        let started =
            (0..).map(|n| format!("{name}-{n}")).find(|name| !self.path(&format!("{name}.log")).exists());
        let mut process = Process::spawn(&started.unwrap(), &mut command, self.folder.path()).unwrap();
        let log = process.log().to_owned();
        let address = eventually("a server's address", LIMIT, &[&log], || {
            process.still_runs()?;
            let said = std::fs::read_to_string(&log)?;
            let address = said.lines().find_map(|line| line.split_once(" address="));
            Ok(address.and_then(|(_, rest)| Some(rest.split_once(' ')?.0.to_owned())))
        });
        Server { process, url: format!("http://{}", address.unwrap()) }
    }

    pub fn witness(&self, name: &str, logs: &[Verifier]) -> Server {
        let mut command = self.control("witness", name);
        command.args(["--name", &format!("witness.example/{name}")]);
        for log in logs {
            command.args(["--log", &log.to_string()]);
        }
        self.start(name, command)
    }

    pub fn serve(&self, data: &str, witnesses: &[&Server]) -> Server {
        let mut command = self.control("serve", data);
        for witness in witnesses {
            command.args(["--witness", &format!("{} {}", self.vkey(witness), witness.url)]);
        }
        self.start(data, command)
    }

    /// A witness's key, as it says itself.
    pub fn vkey(&self, witness: &Server) -> CosignerVerifier {
        let said = std::fs::read_to_string(witness.process.log()).unwrap();
        let vkey = said.lines().find_map(|line| line.split_once(" vkey=")).unwrap().1;
        vkey.split(' ').next().unwrap().parse().unwrap()
    }

    pub fn add_operator(&self, control: &Server, data: &str, operator: &str) {
        let (data, words) = (self.path(data), ["token", "make", "--holder", "Ada", "--token-out"]);
        let admin = data.join("admin.token");
        let signed_in = |token: &Path| {
            let mut command = Command::new(&self.programs.cli);
            command.args(["--url", &control.url, "--token-file"]).arg(token);
            command
        };
        if !admin.exists() {
            process::run(signed_in(&data.join("bootstrap.token")).args(words).arg(&admin)).unwrap();
        }
        process::run(signed_in(&admin).args(["operator", "add", operator])).unwrap();
    }

    pub fn published(&self, data: &str) -> Note {
        let path = self.path(data).join("public/log/checkpoint");
        Note::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The record's published checkpoint, once it has this size and these witnesses have cosigned it.
    pub fn cosigned(&self, data: &str, log: &Verifier, size: u64, by: &[&Server]) -> Checkpoint {
        let logs: Vec<PathBuf> = by.iter().map(|server| server.process.log().to_owned()).collect();
        let logs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
        let policy =
            WitnessPolicy::new(by.iter().map(|server| self.vkey(server)).collect(), by.len()).unwrap();
        eventually("a cosigned checkpoint", LIMIT, &logs, || {
            let note = self.published(data);
            let checkpoint = Checkpoint::parse_verified(&note.to_string(), log)?;
            Ok((checkpoint.size == size && policy.check(&note).is_ok()).then_some(checkpoint))
        })
        .unwrap()
    }

    pub fn cli(&self, arguments: &[OsString]) -> Output {
        Command::new(&self.programs.cli).args(arguments).output().unwrap()
    }

    /// What a witness keeps of the record.
    pub fn memory(&self, witness: &str) -> String {
        let name = Hash::of(ORIGIN.as_bytes()).to_hex();
        std::fs::read_to_string(self.path(witness).join("logs").join(name)).unwrap()
    }

    /// The exit code of `verify` on what a control plane has published, with the cosignatures of all these demanded.
    pub fn verify(&self, data: &str, by: &[&Server]) -> Option<i32> {
        let state = tempfile::tempdir_in(self.folder.path()).unwrap();
        let mut arguments: Vec<OsString> = vec!["verify".into(), self.path(data).join("public").into()];
        arguments.extend(["--state-dir".into(), state.path().into()]);
        for witness in by {
            arguments.extend(["--witness".into(), self.vkey(witness).to_string().into()]);
        }
        self.cli(&arguments).status.code()
    }
}
