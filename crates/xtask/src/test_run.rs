//! The tests' own run: all of it is told as it comes, and what failed once more at its end, where one looks first.

use std::collections::VecDeque;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;

/// Of what a failed test printed, so many last lines are told again: a property's minimal case stands at the end.
const LINES_OF_EACH: usize = 60;

/// Runs every test of the workspace.
pub fn run(checkout: &Checkout) -> Result<(), Failure> {
    // One run names everything that fails: it is long, and what fails first may not be what matters. Without backtraces, of which a
    // failing property would print one for each of thousands of cases that it tries.
    let mut command = checkout.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.env("RUST_BACKTRACE", "0");
    let mut failures = Failures::default();
    let ended = child::lines(&mut command, |line| {
        println!("{line}");
        failures.read(line);
    });
    for test in &failures.tests {
        eprintln!("\n{}", test.title);
        test.lines.iter().for_each(|line| eprintln!("{line}"));
    }
    ended
}

/// What the test harness says of tests that failed.
#[derive(Default)]
struct Failures {
    tests: Vec<Failed>,
    /// Between the first `failures:` of a binary and its result.
    telling: bool,
}

struct Failed {
    title: String,
    lines: VecDeque<String>,
}

impl Failures {
    fn read(&mut self, line: &str) {
        if line == "failures:" {
            // The second of a binary begins the list of names.
            self.telling = !self.telling;
        } else if line.starts_with("test result: ") {
            self.telling = false;
        } else if self.telling && line.starts_with("---- ") {
            self.tests.push(Failed { title: line.to_owned(), lines: VecDeque::new() });
        } else if let (true, Some(test)) = (self.telling, self.tests.last_mut()) {
            if test.lines.len() == LINES_OF_EACH {
                test.lines.pop_front();
            }
            test.lines.push_back(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_by_name_with_its_last_lines() {
        let mut failures = Failures::default();
        let long = "a line\n".repeat(200);
        let said = format!(
            "running 2 tests\ntest one ... FAILED\ntest two ... ok\n\nfailures:\n\n---- one stdout ----\n{long}it is 3\n\n\n\
             failures:\n    one\n\ntest result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest three ... FAILED\n\n\
             failures:\n\n---- three stdout ----\nno such node\n\nfailures:\n    three\n\ntest result: FAILED. 0 passed\nafter it"
        );
        said.lines().for_each(|line| failures.read(line));
        let titles: Vec<_> = failures.tests.iter().map(|test| test.title.as_str()).collect();
        assert_eq!(titles, ["---- one stdout ----", "---- three stdout ----"]);
        assert_eq!(failures.tests[0].lines.len(), LINES_OF_EACH);
        assert!(failures.tests[0].lines.contains(&"it is 3".to_owned()));
        assert_eq!(failures.tests[1].lines, ["no such node", ""]);
    }
}
