//! Debian packages: which are needed for what, how each proves that it is there, and how the missing come.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child;
use crate::failure::Failure;
use crate::privilege;

/// What shows that a package is there. A file says it on every distribution; `dpkg` would on one family only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A program in `PATH` or in one of root's folders.
    Program(&'static str),
    /// A file at this path.
    File(&'static str),
    /// A file below some version's folder: `folder/<any>/file`.
    AnyVersion { folder: &'static str, file: &'static str },
}

/// A Debian package and its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: &'static str,
    pub proof: Proof,
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, proof: Proof::Program(program) }
}

const fn file(name: &'static str, path: &'static str) -> Package {
    Package { name, proof: Proof::File(path) }
}

/// What every test of a WireGuard interface calls.
pub const INTERFACES: &[Package] =
    &[program("wireguard-tools", "wg"), program("iproute2", "ip"), program("nftables", "nft")];

/// What the demo runs, and what the C parts of its dependencies (SQLite, secp256k1, ring) are built with.
pub const DEMO: &[Package] = &[
    program("wireguard-go", "wireguard-go"),
    program("procps", "sysctl"),
    file("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    program("gcc", "gcc"),
    file("libc6-dev", "/usr/include/stdio.h"),
];

/// A client of the SOCKS5 service's tests that shares no code with it.
pub const SOCKS5_CLIENT: &[Package] = &[program("curl", "curl")];

/// The proxy that the handbook names. It serves nobody as the tests run it but on loopback.
pub const PROXY: &[Package] = &[program("nginx-light", "nginx")];

/// What makes the certificates of the control plane's tests.
pub const CERTIFICATES: &[Package] = &[program("openssl", "openssl")];

/// What the SOCKS5 service is measured against. Neither serves anybody as Debian installs it.
pub const SOCKS5_PEERS: &[Package] =
    &[program("microsocks", "microsocks"), program("dante-server", "danted")];

/// The second database of the store's tests.
pub const POSTGRES: &[Package] = &[Package {
    name: "postgresql",
    proof: Proof::AnyVersion { folder: "/usr/lib/postgresql", file: "bin/initdb" },
}];

/// SQLite's own client, whose insert the ingest is measured against; PostgreSQL's comes with the server.
pub const RAW_INSERT: &[Package] = &[program("sqlite3", "sqlite3")];

/// What judges the units: `systemd-analyze` needs no running systemd.
pub const UNITS: &[Package] = &[program("systemd", "systemd-analyze"), program("util-linux", "setpriv")];

/// What the second implementation of `verify` is written in, and what its page checks one entry with.
pub const SECOND_IMPLEMENTATION: &[Package] = &[
    program("openssl", "openssl"),
    program("xxd", "xxd"),
    file("python3", "/usr/bin/python3"),
    file("python3-cryptography", "/usr/lib/python3/dist-packages/cryptography/__init__.py"),
];

/// What the pages are looked at with: a browser and what drives it, a decoder of QR codes that shares no code with ours, a parser
/// that refuses what is not valid HTML, and letters for every language, without which pictures show boxes.
pub const BROWSER: &[Package] = &[
    program("chromium", "chromium"),
    program("chromium-driver", "chromedriver"),
    program("zbar-tools", "zbarimg"),
    file("python3-html5lib", "/usr/lib/python3/dist-packages/html5lib/__init__.py"),
    file("fonts-noto-core", "/usr/share/fonts/truetype/noto/NotoSansArabic-Regular.ttf"),
    file("fonts-wqy-microhei", "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
];

/// What public pages are measured against, and a client that tells how long an answer took.
pub const PAGES_PEER: &[Package] = &[program("nginx-light", "nginx"), program("curl", "curl")];

/// What fetches axe-core.
pub const NPM: &[Package] = &[program("npm", "npm")];

/// What tools from PyPI are installed with, in folders of their own.
pub const PYTHON_TOOLS: &[Package] = &[Package {
    name: "python3-venv",
    proof: Proof::AnyVersion { folder: "/usr/lib", file: "ensurepip/__main__.py" },
}];

/// libFuzzer, which the fuzz targets link, is C++.
pub const FUZZ_TARGETS: &[Package] = &[program("g++", "g++")];

/// What the virtual machine of the kernel test is made of and run with.
pub const EMULATED_MACHINE: &[Package] = &[
    program("qemu-system-x86", "qemu-system-x86_64"),
    file("seabios", "/usr/share/seabios/bios-256k.bin"),
    program("busybox-static", "busybox"),
    program("binutils", "strip"),
    program("cpio", "cpio"),
    program("kmod", "modprobe"),
    program("xz-utils", "xz"),
    program("zstd", "zstd"),
];

/// Where root's programs lie; the `PATH` of other users leaves these out.
const ROOTS_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Installs what is missing of `packages`, saying what. Standard output stays untouched: it may carry JSON.
pub fn install(packages: &[&[Package]]) -> Result<(), Failure> {
    let wanted: Vec<Package> = packages.concat();
    let missing = missing(&wanted, Proof::holds);
    if missing.is_empty() {
        eprintln!("Debian packages: nothing is missing");
        return Ok(());
    }
    eprintln!("Debian packages: missing {}", missing.join(", "));
    let by_hand =
        format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    if find_program("apt-get").is_none() {
        return Err(Failure::failed(format!(
            "missing on this machine: {}; it has no apt-get, so install what Debian packs under these names",
            missing.join(", ")
        )));
    }
    apt_get(&["update"], &by_hand)?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], &missing[..]].concat(), &by_hand)?;
    let missing = self::missing(&wanted, Proof::holds);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "apt-get installed {}, and still what proves it is not there",
        missing.join(", ")
    )))
}

/// Runs `apt-get` as root; `by_hand` is told when that is not possible.
pub fn apt_get(arguments: &[&str], by_hand: &str) -> Result<(), Failure> {
    let Some(mut command) = privilege::as_root("env") else {
        return Err(Failure::failed(format!(
            "packages can be installed by root or where `sudo -n` works; run this first:\n  sudo sh -c '{by_hand}'"
        )));
    };
    // Another package manager at work is waited for, and nobody is asked anything.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]);
    command.args(arguments).stdin(Stdio::null()).stdout(io::stderr());
    child::run(&mut command)
        .map_err(|failure| Failure::failed(format!("{failure}\nby hand: sudo sh -c '{by_hand}'")))
}

/// Where the program lies, looked for in `PATH` and in root's folders.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ROOTS_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A command for a program of a package, found also where only root's `PATH` leads.
pub fn command(name: &str) -> Command {
    Command::new(find_program(name).unwrap_or_else(|| name.into()))
}

fn missing(packages: &[Package], holds: impl Fn(&Proof) -> bool) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for package in packages {
        if !names.contains(&package.name) && !holds(&package.proof) {
            names.push(package.name);
        }
    }
    names
}

impl Proof {
    fn holds(&self) -> bool {
        match *self {
            Self::Program(name) => find_program(name).is_some(),
            Self::File(path) => Path::new(path).is_file(),
            Self::AnyVersion { folder, file } => fs::read_dir(folder)
                .is_ok_and(|versions| versions.flatten().any(|version| version.path().join(file).is_file())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_installed_and_each_once() {
        let there = [Proof::Program("wg"), Proof::Program("ip")];
        let wanted = [INTERFACES, DEMO, EMULATED_MACHINE, EMULATED_MACHINE].concat();
        let names = missing(&wanted, |proof| there.contains(proof));
        assert!(!names.contains(&"wireguard-tools") && !names.contains(&"iproute2"), "{names:?}");
        assert_eq!(names.iter().filter(|name| **name == "cpio").count(), 1, "{names:?}");
        assert!(missing(&wanted, |_| true).is_empty());
    }

    #[test]
    fn a_proof_is_looked_up_in_the_file_system() {
        assert!(Proof::Program("sh").holds());
        assert!(!Proof::Program("no-such-program-anywhere").holds());
        assert!(Proof::File("/proc/self/status").holds());
        assert!(!Proof::File("/proc").holds(), "a folder is no file");
        assert!(Proof::AnyVersion { folder: "/proc/self/task", file: "status" }.holds());
        assert!(!Proof::AnyVersion { folder: "/nonexistent", file: "status" }.holds());
    }
}
