//! The Bitcoin node of the tests and the demo: one that is there, or Debian's, unpacked beside the build.
//!
//! Debian's stable releases have no Bitcoin node; its unstable one has Bitcoin Knots, which answers everything that Bitcoin
//! Core does. It comes with apt's signatures and is unpacked together with the libraries it was built for, which its own
//! loader loads: nothing is installed in the system, and nothing of the system is used by it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::packages::find_program;

/// Names the program to use instead; the tests and the demo read it too.
pub const VARIABLE: &str = "BITCOIND_EXE";
/// Where it is unpacked, below the target folder; the tests and the demo look there too.
const FOLDER: &str = "tools/bitcoin";
const PACKAGE: &str = "bitcoin-knots";
/// The release that this was written with. Debian's unstable moves on, so another one is taken, and said.
const KNOWN_VERSION: &str = "29.4.knots20260508.3-1";
/// SHA-256 of that release's package for x86-64.
const KNOWN_SHA256: &str = "33649ca0ff563b2276b0c13cf11e8b1f87b2a977bb3f91d86fdee569d8568cc1";
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Finds a Bitcoin node, or downloads one.
pub fn install(checkout: &Checkout) -> Result<(), Failure> {
    let folder = checkout.target.join(FOLDER);
    if let Some(found) = found(&folder, env::var_os(VARIABLE))? {
        eprintln!("Bitcoin node: {}", found.display());
        return Ok(());
    }
    eprintln!("Bitcoin node: none here; Debian's {PACKAGE} comes to {} (20 MB)", folder.display());
    download(&folder).map_err(|failure| {
        Failure::failed(format!("{failure}\nor name a bitcoind of your own: {VARIABLE}=<file>"))
    })
}

/// The one that is named, the one in `PATH`, or the unpacked one.
fn found(folder: &Path, named: Option<OsString>) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = named.filter(|named| !named.is_empty()).map(PathBuf::from) {
        return match named.is_file() {
            true => Ok(Some(named)),
            false => Err(Failure::failed(format!("{VARIABLE}: there is no file {}", named.display()))),
        };
    }
    let unpacked = folder.join("bitcoind");
    Ok(find_program("bitcoind").or_else(|| unpacked.is_file().then_some(unpacked)))
}

/// The folder of libraries and the loader of this machine's kind of processor, as Debian names them.
fn platform() -> Result<(&'static str, &'static str), Failure> {
    match env::consts::ARCH {
        "x86_64" => Ok(("x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "aarch64" => Ok(("aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        other => {
            Err(Failure::failed(format!("there is no known Debian package of a Bitcoin node for {other}")))
        }
    }
}

fn download(folder: &Path) -> Result<(), Failure> {
    let (libraries, loader) = platform()?;
    if find_program("apt-get").is_none() || !Path::new(KEYRING).is_file() {
        return Err(Failure::failed(format!("it comes with apt-get and Debian's keys ({KEYRING})")));
    }
    let part = folder.with_extension("part");
    let _absent = fs::remove_dir_all(&part);
    for sub in ["lists/partial", "cache/archives/partial", "packages", "root"] {
        make_folder(&part.join(sub))?;
    }
    let line = format!("deb [signed-by={KEYRING}] {MIRROR} sid main\n");
    write(&part.join("sources.list"), &line)?;
    // By name, not by packages that satisfy: this asks for a part of another release, installed nowhere.
    let apt = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        for (option, path) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{option}={}", part.join(path).display()));
        }
        command.args(["-o", "Dir::Etc::sourceparts=/dev/null", "-o", "APT::Sandbox::User=root", "-q"]);
        command.args(words).current_dir(part.join("packages"));
        command
    };
    child::output(&mut apt("apt-get", &["update"]))?;
    let direct = libraries_in(&child::output(&mut apt("apt-cache", &["depends", "--important", PACKAGE]))?);
    let mut recursive = vec!["depends", "--recurse", "--important"];
    recursive.extend(direct.iter().map(String::as_str));
    let mut wanted = libraries_in(&child::output(&mut apt("apt-cache", &recursive))?);
    wanted.extend(direct.iter().cloned());
    wanted.sort();
    wanted.dedup();
    let mut words = vec!["download", PACKAGE];
    words.extend(wanted.iter().map(String::as_str));
    child::output(&mut apt("apt-get", &words))?;
    unpack(&part)?;
    let root = folder.join("root");
    let libraries = root.join("usr/lib").join(libraries);
    let script = format!(
        "#!/bin/sh\nexec {loader} --library-path {libraries} {program} \"$@\"\n",
        loader = libraries.join(loader).display(),
        libraries = libraries.display(),
        program = root.join("usr/bin/bitcoind").display(),
    );
    write(&part.join("bitcoind"), &script)?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(part.join("bitcoind"), executable).map_err(|error| failed(&part, &error))?;
    for sub in ["lists", "cache", "packages"] {
        fs::remove_dir_all(part.join(sub)).map_err(|error| failed(&part, &error))?;
    }
    // Only a complete one gets the name that is looked for.
    let _absent = fs::remove_dir_all(folder);
    fs::rename(&part, folder).map_err(|error| failed(folder, &error))?;
    let version = child::output(Command::new(folder.join("bitcoind")).arg("--version"))?;
    eprintln!("Bitcoin node: {}", version.lines().next().unwrap_or_default());
    Ok(())
}

/// Unpacks every downloaded package, and says where the node is not the known release.
fn unpack(part: &Path) -> Result<(), Failure> {
    let downloaded = part.join("packages");
    let entries = fs::read_dir(&downloaded).map_err(|error| failed(&downloaded, &error))?;
    for file in entries.flatten().map(|entry| entry.path()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(PACKAGE) {
            let sum = child::output(Command::new("sha256sum").arg(&file))?;
            if let Some(warning) = judge(&name, sum.split_whitespace().next().unwrap_or_default())? {
                eprintln!("warning: {warning}");
            }
        }
        child::output(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(part.join("root")))?;
    }
    Ok(())
}

/// Whether a package of this name and hash may be used, and what is to be said about it.
fn judge(name: &str, sha256: &str) -> Result<Option<String>, Failure> {
    let known = format!("{PACKAGE}_{KNOWN_VERSION}_amd64.deb");
    match name == known {
        true if sha256 == KNOWN_SHA256 => Ok(None),
        true => Err(Failure::failed(format!("{name}: expected SHA-256 {KNOWN_SHA256}, found {sha256}"))),
        false => Ok(Some(format!("Debian has {name}, signed by its keys; this was written with {known}"))),
    }
}

/// The names of libraries in what `apt-cache depends` says.
fn libraries_in(depends: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim().trim_start_matches('|');
        let name =
            line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("PreDepends: ")).unwrap_or(line);
        name.strip_prefix("lib").map(|_| name.to_owned())
    };
    let mut names: Vec<String> = depends.lines().filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| failed(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_node_goes_first_and_must_be_there() {
        let folder = Path::new("/nonexistent");
        let named = found(folder, Some("/proc/self/exe".into())).unwrap();
        assert_eq!(named, Some(PathBuf::from("/proc/self/exe")));
        let refusal = found(folder, Some("/nonexistent/bitcoind".into())).unwrap_err().to_string();
        assert!(refusal.contains(VARIABLE), "{refusal}");
    }

    #[test]
    fn libraries_are_told_from_everything_else_a_package_depends_on() {
        let depends = "bitcoin-knots\n |Depends: debconf\n  Depends: <systemd-sysusers>\n    opensysusers\n  \
                       Depends: libc6\n  PreDepends: libzmq5\nlibc6\n";
        assert_eq!(libraries_in(depends), ["libc6", "libzmq5"]);
    }

    #[test]
    fn the_known_release_must_have_its_hash_and_another_is_said() {
        let known = format!("{PACKAGE}_{KNOWN_VERSION}_amd64.deb");
        assert_eq!(judge(&known, KNOWN_SHA256).unwrap(), None);
        assert!(judge(&known, "00").unwrap_err().to_string().contains(KNOWN_SHA256));
        assert!(judge("bitcoin-knots_30.1-1_amd64.deb", "00").unwrap().unwrap().contains("30.1-1"));
    }
}
