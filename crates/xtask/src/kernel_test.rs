//! `kernel-test`: the agent's kernel backend against a real kernel WireGuard.
//!
//! Where this machine's kernel has the module, the test runs here in a network namespace of its own; elsewhere in
//! a virtual machine with Debian's cloud kernel. That machine is emulated, instruction by instruction: hosts
//! that are themselves virtual often offer `/dev/kvm` and then hang in it, and for correctness emulation is enough.

mod initrd;
mod kernel;
mod machine;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::checkout::Checkout;
use crate::child;
use crate::clock;
use crate::failure::Failure;
use crate::packages;
use crate::privilege;
pub use machine::{BENCH, Use};

/// Set for the agent's `kernel` test, which does nothing without it: it needs a kernel it may use as it likes.
const VARIABLE: (&str, &str) = ("WIREGRANT_KERNEL_WIREGUARD", "1");

pub fn run(checkout: &Checkout) -> Result<(), Failure> {
    let started = clock::now();
    packages::install(&[packages::INTERFACES])?;
    let test = build(checkout, &["test", "--workspace", "--test", "kernel"], "kernel")?;
    on_a_kernel_with_wireguard(checkout, &test, &machine::TEST, |line| println!("  | {line}"))?;
    eprintln!("kernel-test: holds, after {}", clock::shown(started.elapsed()));
    Ok(())
}

/// Runs a program, given the purpose's argument, where the kernel has WireGuard, and tells what it prints line by line.
pub fn on_a_kernel_with_wireguard(
    checkout: &Checkout,
    program: &Path,
    purpose: &Use,
    mut tell: impl FnMut(&str),
) -> Result<(), Failure> {
    if host_has_wireguard() {
        eprintln!("this machine's kernel has WireGuard: it runs here, in a network namespace of its own");
        let mut command = in_a_namespace(program);
        command.env(VARIABLE.0, VARIABLE.1);
        if !purpose.argument.is_empty() {
            command.arg(purpose.argument);
        }
        return child::lines(&mut command, tell);
    }
    eprintln!("this machine's kernel has no WireGuard: it runs in an emulated machine that has");
    packages::install(&[packages::EMULATED_MACHINE])?;
    let folder = checkout.target.join("kernel-test");
    let kernel = kernel::debian_cloud_kernel(&folder)?;
    let initrd = initrd::build(&folder, &kernel, program)?;
    machine::run_to_the_end(&kernel, &initrd, purpose, &mut tell)
}

/// The program in a network namespace of its own.
pub fn in_a_namespace(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]).arg(program);
    command
}

/// Builds a target that cargo runs by itself (`kernel`, a test; `agent`, a benchmark) and says where cargo put it. To be asked
/// for as the workspace's: of a package alone, dependencies have other features and are compiled again.
pub fn build(checkout: &Checkout, arguments: &[&str], name: &str) -> Result<PathBuf, Failure> {
    let mut cargo = checkout.cargo(arguments);
    cargo.args(["--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    eprintln!("$ {}", child::shown(&cargo));
    // Standard error is the compiler's own progress; standard output is for this program.
    let output =
        cargo.stderr(Stdio::inherit()).output().map_err(|error| child::not_started(&cargo, &error))?;
    if !output.status.success() {
        return Err(Failure::failed(format!("`{}`: {}", child::shown(&cargo), output.status)));
    }
    executable(name, &String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        Failure::failed(format!("cargo built `{name}` of wiregrant-agent and named no executable"))
    })
}

/// The executable of the test or benchmark `name` in cargo's JSON messages, one object a line.
fn executable(name: &str, messages: &str) -> Option<PathBuf> {
    let named = format!(r#""name":"{name}""#);
    let kinds = [r#""kind":["test"]"#, r#""kind":["bench"]"#];
    messages
        .lines()
        .filter(|line| kinds.iter().any(|kind| line.contains(kind)) && line.contains(&named))
        .find_map(|line| line.split_once(r#""executable":""#)?.1.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
}

/// Whether this kernel makes a WireGuard interface. Asked in a namespace that is gone right after, and only as root.
fn host_has_wireguard() -> bool {
    let Some(ip) = packages::find_program("ip") else { return false };
    privilege::is_root()
        && child::succeeds(Command::new("unshare").args(["--net", "--"]).arg(ip).args([
            "link",
            "add",
            "probe",
            "type",
            "wireguard",
        ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_executable_is_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"kernel"},"executable":"/t/debug/kernel"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"other"},"executable":"/t/deps/other-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"kernel"},"executable":"/t/deps/kernel-2"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable("kernel", messages), Some(PathBuf::from("/t/deps/kernel-2")));
        assert_eq!(executable("absent", messages), None);
    }
}
