//! The command line: which task, with which options, and what to say about anything else.

use crate::failure::Failure;
use crate::test::{STEPS, Selection};

pub const HELP: &str = "\
cargo xtask <command>: runs wiregrant's demo and its tests. Installs what is missing (Debian, Ubuntu) and says so.

  demo [--once] [--json] [--megabytes N]
      The main job on real traffic: a control plane, a node with WireGuard, an operator, a grant, a client;
      bytes are counted, reported, credited and paid by a Bitcoin transaction on a network of its own. Serves the
      pages until Ctrl-C. --once: ends by itself. --json: prints one JSON object. --megabytes: how much to move.
      The first run compiles everything: about 3 minutes on 2 cores; later runs start within seconds.
  test [--quick | STEP]
      Everything that must hold; what .ci/run calls. Under 25 minutes from a clean checkout on 2 cores.
      --quick: format, lints, walls, tests without system packages, docs; under 2 minutes when warm.
      STEP runs one step alone: packages, format, lints, walls, build, tests, docs, fuzz-targets, supply-chain,
      kernel, demo.
  soak [NAME]
      The long runs at full count (hours): kill, and every fuzz target for half an hour (needs a nightly compiler
      and cargo-fuzz). NAME picks one: kill, a target, or fuzz for all targets.
  bench [NAME] [--json]
      Benchmarks, each beside its peer or limit in the same run. Compiles a release build: about 5 minutes.
  screenshots [--every]
      Pictures of the main pages into docs/screenshots, taken in a real browser from the samples that the tests
      keep. --every: of every page, on a desktop and on a phone.
  kernel-test
      The agent's kernel backend on a real kernel WireGuard: this machine's, where it has the module, else
      Debian's cloud kernel in an emulated machine. About 2 minutes; the first run downloads 30 MB.

Exit codes: 0 all holds, 1 something failed, 2 the command line was not understood.
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    Help,
    Demo { arguments: Vec<String> },
    Test { selection: Selection },
    Soak { name: Option<String> },
    Bench { arguments: Vec<String> },
    Screenshots { arguments: Vec<String> },
    KernelTest,
}

/// Reads the words after `cargo xtask`.
pub fn parse(words: &[String]) -> Result<Task, Failure> {
    if words.iter().any(|word| matches!(word.as_str(), "-h" | "--help")) {
        return Ok(Task::Help);
    }
    let Some((command, rest)) = words.split_first() else {
        return Ok(Task::Help);
    };
    match command.as_str() {
        "help" => Ok(Task::Help),
        "demo" => demo(rest),
        "test" => test(rest),
        "soak" => Ok(Task::Soak { name: at_most_one(command, rest)? }),
        "bench" => bench(rest),
        "screenshots" => screenshots(rest),
        "kernel-test" => match rest {
            [] => Ok(Task::KernelTest),
            [word, ..] => Err(unexpected("kernel-test", word, "nothing")),
        },
        other => Err(Failure::Usage(format!(
            "there is no command `{other}`; there are demo, test, soak, bench, screenshots and kernel-test (`cargo xtask` explains each)"
        ))),
    }
}

/// Checked here although the testbed checks them too: a slip should not cost a build first.
fn demo(words: &[String]) -> Result<Task, Failure> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--once" | "--json" => {}
            "--megabytes" => megabytes(rest.next().map_or("", String::as_str))?,
            _ => match word.strip_prefix("--megabytes=") {
                Some(value) => megabytes(value)?,
                None => return Err(unexpected("demo", word, "--once, --json and --megabytes N")),
            },
        }
    }
    Ok(Task::Demo { arguments: words.to_vec() })
}

fn megabytes(value: &str) -> Result<(), Failure> {
    match value.parse::<u32>() {
        Ok(1..) => Ok(()),
        _ => Err(Failure::Usage(format!(
            "--megabytes is `{value}`; it takes a whole number from 1, as in `--megabytes 200`"
        ))),
    }
}

fn test(words: &[String]) -> Result<Task, Failure> {
    let selection = match words {
        [] => Selection::Full,
        [word] if word == "--quick" => Selection::Quick,
        [word] => match STEPS.iter().find(|step| **step == word) {
            Some(step) => Selection::One(step),
            None => {
                return Err(unexpected("test", word, &format!("--quick or one step: {}", STEPS.join(", "))));
            }
        },
        [_, word, ..] => return Err(unexpected("test", word, "--quick or one step, not both")),
    };
    Ok(Task::Test { selection })
}

fn bench(words: &[String]) -> Result<Task, Failure> {
    let names: Vec<String> = words.iter().filter(|word| *word != "--json").cloned().collect();
    at_most_one("bench", &names)?;
    Ok(Task::Bench { arguments: words.to_vec() })
}

fn screenshots(words: &[String]) -> Result<Task, Failure> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let known =
            word == "--every" || word.starts_with("--out=") || (word == "--out" && rest.next().is_some());
        if !known {
            return Err(unexpected("screenshots", word, "--every and --out DIR"));
        }
    }
    Ok(Task::Screenshots { arguments: words.to_vec() })
}

fn at_most_one(command: &str, words: &[String]) -> Result<Option<String>, Failure> {
    let takes = if command == "bench" { "one NAME and --json" } else { "one NAME" };
    match words {
        [] => Ok(None),
        [name] if !name.starts_with('-') => Ok(Some(name.clone())),
        [word] | [_, word, ..] => Err(unexpected(command, word, takes)),
    }
}

fn unexpected(command: &str, word: &str, takes: &str) -> Failure {
    Failure::Usage(format!("`{command}` does not take `{word}`; it takes {takes} (`cargo xtask` explains)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, Failure> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn refused(line: &str) -> String {
        match parsed(line) {
            Err(Failure::Usage(message)) => message,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn alone_or_asked_for_help_it_explains() {
        for line in ["", "help", "-h", "--help", "demo --help", "bench log -h"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line}");
        }
    }

    #[test]
    fn the_demo_gets_its_words_as_they_were_written() {
        let arguments = ["--once", "--json", "--megabytes", "200"].map(str::to_owned).to_vec();
        assert_eq!(parsed("demo --once --json --megabytes 200"), Ok(Task::Demo { arguments }));
        assert_eq!(
            parsed("demo --megabytes=5"),
            Ok(Task::Demo { arguments: vec!["--megabytes=5".to_owned()] })
        );
        for line in
            ["demo --onec", "demo once", "demo --megabytes", "demo --megabytes 0", "demo --megabytes=1.5"]
        {
            assert!(refused(line).contains("takes"), "{line}");
        }
    }

    #[test]
    fn a_test_run_is_full_quick_or_one_step() {
        assert_eq!(parsed("test"), Ok(Task::Test { selection: Selection::Full }));
        assert_eq!(parsed("test --quick"), Ok(Task::Test { selection: Selection::Quick }));
        assert_eq!(parsed("test lints"), Ok(Task::Test { selection: Selection::One("lints") }));
        assert!(refused("test --fast").contains("--quick or one step: packages, format"));
        assert!(refused("test --quick lints").contains("`lints`"));
    }

    #[test]
    fn soak_and_bench_take_one_name() {
        assert_eq!(parsed("soak"), Ok(Task::Soak { name: None }));
        assert_eq!(parsed("soak kill"), Ok(Task::Soak { name: Some("kill".to_owned()) }));
        let arguments = vec!["--json".to_owned(), "log".to_owned()];
        assert_eq!(parsed("bench --json log"), Ok(Task::Bench { arguments }));
        for line in ["soak a b", "soak --all", "bench a b", "bench --xml"] {
            assert!(refused(line).contains("does not take"), "{line}");
        }
    }

    #[test]
    fn screenshots_are_of_the_main_pages_or_of_every_page() {
        let arguments = vec!["--every".to_owned(), "--out".to_owned(), "x".to_owned()];
        assert_eq!(parsed("screenshots --every --out x"), Ok(Task::Screenshots { arguments }));
        for line in ["screenshots all", "screenshots --out"] {
            assert!(refused(line).contains("--every and --out DIR"), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_is_named_with_the_way_out() {
        assert!(refused("dmeo").starts_with("there is no command `dmeo`; there are demo, test,"));
        assert!(refused("kernel-test now").contains("`kernel-test` does not take `now`"));
    }

    #[test]
    fn the_help_names_every_step() {
        for step in STEPS {
            assert!(HELP.contains(step), "{step}");
        }
    }
}
