//! Debian's cloud kernel: downloaded once with apt's signatures, unpacked, and its modules in loading order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;
use crate::failure::Failure;
use crate::packages;

/// The package that depends on the newest kernel of this kind.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// What the agent's test uses of the kernel beyond its built-in parts.
const MODULES: [&str; 9] = [
    "wireguard",
    "veth",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_limit",
    "nft_masq",
    "nft_objref",
    "nft_reject_inet",
];

/// An unpacked kernel package.
pub struct Kernel {
    /// The package's root folder, with `boot/` and the modules.
    folder: PathBuf,
    /// As `uname -r` says it.
    version: String,
}

/// The kernel under `folder`, downloaded when none is there. A kept one is used for ever: delete the folder for a newer.
pub fn debian_cloud_kernel(folder: &Path) -> Result<Kernel, Failure> {
    let unpacked = folder.join("kernel");
    if !unpacked.is_dir() {
        download(folder, &unpacked)?;
    }
    let boot = unpacked.join("boot");
    let version = fs::read_dir(&boot)
        .map_err(|error| Failure::failed(format!("{}: {error}", boot.display())))?
        .flatten()
        .find_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
        .ok_or_else(|| {
            Failure::failed(format!("{} holds no vmlinuz; delete {}", boot.display(), unpacked.display()))
        })?;
    eprintln!("kernel {version} of Debian, in {}", unpacked.display());
    Ok(Kernel { folder: unpacked, version })
}

fn download(folder: &Path, unpacked: &Path) -> Result<(), Failure> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::failed(format!(
            "the emulated machine is an x86-64 one and this is {}; run this where the kernel has WireGuard",
            std::env::consts::ARCH
        )));
    }
    let part = folder.join("kernel.part");
    let _absent = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).map_err(|error| Failure::failed(format!("{}: {error}", part.display())))?;
    let package = match newest_package() {
        Ok(package) => package,
        Err(_) => {
            // A fresh image has no package lists at all.
            packages::apt_get(&["update"], "apt-get update")?;
            newest_package()?
        }
    };
    // As an unprivileged download: root's sandbox user could not write into the target folder.
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-o", "APT::Sandbox::User=root", "download", &package]).current_dir(&part);
        command
    };
    if child::run(&mut fetch()).is_err() {
        // The lists can name a version that the mirror has replaced since.
        packages::apt_get(&["update"], "apt-get update")?;
        child::run(&mut fetch())?;
    }
    let deb = files_in(&part)?
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| {
            Failure::failed(format!("apt-get download {package} left no package in {}", part.display()))
        })?;
    child::run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&part))?;
    fs::remove_file(&deb).map_err(|error| Failure::failed(format!("{}: {error}", deb.display())))?;
    // Only a complete kernel gets the name that is looked for.
    fs::rename(&part, unpacked).map_err(|error| Failure::failed(format!("{}: {error}", unpacked.display())))
}

fn newest_package() -> Result<String, Failure> {
    let depends = child::output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    dependency(&depends).map(str::to_owned).ok_or_else(|| {
        Failure::failed(format!("{META_PACKAGE} depends on no kernel package; apt-cache says:\n{depends}"))
    })
}

/// The kernel package in what `apt-cache depends` says of the meta package.
fn dependency(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .map(|name| name.split_whitespace().next().unwrap_or(name))
        .find(|name| name.starts_with("linux-image-"))
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        fs::read_dir(folder).map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

impl Kernel {
    /// The compressed kernel image.
    pub fn image(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// The module files that give `MODULES`, each after those it needs.
    pub fn modules(&self) -> Result<Vec<PathBuf>, Failure> {
        child::output(packages::command("depmod").arg("-b").arg(&self.folder).arg(&self.version))?;
        let mut files: Vec<PathBuf> = Vec::new();
        for module in MODULES {
            let mut command = packages::command("modprobe");
            command.arg("-d").arg(&self.folder).args(["-S", &self.version, "--show-depends", module]);
            for file in insmod_files(&child::output(&mut command)?) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }
}

/// The files of the `insmod` lines of `modprobe --show-depends`; the other lines name built-in modules.
fn insmod_files(lines: &str) -> Vec<PathBuf> {
    lines
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .map(|file| PathBuf::from(file.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_meta_packages_image() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(dependency(depends), Some("linux-image-6.1.0-56-cloud-amd64"));
        let versioned =
            "linux-image-cloud-amd64\n  Depends: linux-base\n |Depends: x\n  Depends: linux-image-7 (= 1)\n";
        assert_eq!(dependency(versioned), Some("linux-image-7"));
        assert_eq!(dependency("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn modules_are_loaded_in_the_order_modprobe_says() {
        let lines = "insmod /k/udp_tunnel.ko \nbuiltin ipv6\ninsmod /k/wireguard.ko \n";
        assert_eq!(
            insmod_files(lines),
            [PathBuf::from("/k/udp_tunnel.ko"), PathBuf::from("/k/wireguard.ko")]
        );
    }
}
