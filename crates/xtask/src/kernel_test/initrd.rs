//! The initial RAM disk: all that the emulated machine has: busybox, `ip`, `nft`, `wg`, the modules, and the test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::kernel::Kernel;
use crate::child;
use crate::failure::Failure;
use crate::packages;

/// The machine's first process.
const INIT: &str = include_str!("init.sh");

/// Programs that the test may call. busybox brings the rest of a small system.
const PROGRAMS: [&str; 3] = ["ip", "nft", "wg"];

/// Builds `initrd.zst` in `folder` and says where it is.
pub fn build(folder: &Path, kernel: &Kernel, test: &Path) -> Result<PathBuf, Failure> {
    let mut disk = Disk::empty(folder.join("initrd"))?;
    let busybox = packages::find_program("busybox").expect("the packages are installed");
    disk.add_program(&busybox, "bin/busybox")?;
    for name in PROGRAMS {
        let program = packages::find_program(name).expect("the packages are installed");
        disk.add_program(&program, &format!("usr/bin/{name}"))?;
    }
    // Debug sections are most of a test binary, and every byte is unpacked by an emulated processor.
    let stripped = folder.join("kernel-test-stripped");
    child::output(packages::command("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(test))?;
    disk.add_program(&stripped, "kernel-test")?;

    let mut order = String::new();
    for module in kernel.modules()? {
        let name = disk.add_module(&module)?;
        order.push_str(&name);
        order.push('\n');
    }
    disk.write("modules/order", order.as_bytes(), 0o644)?;
    disk.write("init", INIT.as_bytes(), 0o755)?;
    for mount_point in ["proc", "sys", "dev", "run", "tmp"] {
        disk.add_folder(Path::new(mount_point))?;
    }
    disk.pack(folder.join("initrd.zst"))
}

/// A folder that becomes the RAM disk, and the paths in it, each after the folder that holds it.
struct Disk {
    root: PathBuf,
    paths: Vec<PathBuf>,
}

impl Disk {
    fn empty(root: PathBuf) -> Result<Self, Failure> {
        let _absent = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).map_err(|error| at(&root, &error))?;
        Ok(Self { root, paths: Vec::new() })
    }

    /// Copies a program and the libraries it is linked with, these to the same paths.
    fn add_program(&mut self, program: &Path, path: &str) -> Result<(), Failure> {
        // `ldd` fails on a static program, which needs nothing.
        let libraries = child::output(Command::new("ldd").arg(program)).unwrap_or_default();
        for library in library_files(&libraries) {
            let inside = library.strip_prefix("/").unwrap_or(&library).to_owned();
            if !self.paths.contains(&inside) {
                self.copy(&library, &inside)?;
            }
        }
        self.copy(program, Path::new(path))
    }

    /// Copies a module, decompressed, and says its name: busybox loads plain modules only.
    fn add_module(&mut self, module: &Path) -> Result<String, Failure> {
        let name = module.file_name().and_then(|name| name.to_str()).expect("modprobe names a file");
        let plain = name.strip_suffix(".xz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let inside = Path::new("modules").join(plain);
        if plain == name {
            self.copy(module, &inside)?;
        } else {
            let tool = if name.ends_with(".xz") { "xz" } else { "zstd" };
            let mut decompress = packages::command(tool);
            decompress.args(["--decompress", "--stdout"]).arg(module);
            let output = decompress.output().map_err(|error| child::not_started(&decompress, &error))?;
            if !output.status.success() {
                return Err(Failure::failed(format!("`{}`: {}", child::shown(&decompress), output.status)));
            }
            self.write(&format!("modules/{plain}"), &output.stdout, 0o644)?;
        }
        Ok(plain.to_owned())
    }

    fn copy(&mut self, from: &Path, inside: &Path) -> Result<(), Failure> {
        self.add_folder(inside.parent().unwrap_or(Path::new("")))?;
        fs::copy(from, self.root.join(inside)).map_err(|error| at(from, &error))?;
        self.paths.push(inside.to_owned());
        Ok(())
    }

    fn write(&mut self, inside: &str, content: &[u8], mode: u32) -> Result<(), Failure> {
        let inside = Path::new(inside);
        self.add_folder(inside.parent().unwrap_or(Path::new("")))?;
        let file = self.root.join(inside);
        fs::write(&file, content).map_err(|error| at(&file, &error))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).map_err(|error| at(&file, &error))?;
        self.paths.push(inside.to_owned());
        Ok(())
    }

    fn add_folder(&mut self, inside: &Path) -> Result<(), Failure> {
        if inside.as_os_str().is_empty() || self.paths.iter().any(|path| path == inside) {
            return Ok(());
        }
        self.add_folder(inside.parent().unwrap_or(Path::new("")))?;
        let folder = self.root.join(inside);
        fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        self.paths.push(inside.to_owned());
        Ok(())
    }

    /// Packs the disk as the kernel wants it: a cpio archive of the `newc` kind, compressed.
    fn pack(self, packed: PathBuf) -> Result<PathBuf, Failure> {
        let archive = packed.with_extension("cpio");
        let file = fs::File::create(&archive).map_err(|error| at(&archive, &error))?;
        let mut cpio = packages::command("cpio");
        // Root's, whoever packs them.
        cpio.args(["--create", "--format=newc", "--quiet", "--owner=+0:+0"]).current_dir(&self.root);
        let mut packing = cpio
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .map_err(|error| child::not_started(&cpio, &error))?;
        let names: String = self.paths.iter().map(|path| format!("{}\n", path.display())).collect();
        let written = packing.stdin.take().expect("stdin is piped").write_all(names.as_bytes());
        let status = packing.wait().map_err(|error| at(&archive, &error))?;
        if written.is_err() || !status.success() {
            return Err(Failure::failed(format!("`{}`: {status}", child::shown(&cpio))));
        }
        child::output(
            packages::command("zstd")
                .args(["-3", "--quiet", "--force", "--rm"])
                .arg(&archive)
                .arg("-o")
                .arg(&packed),
        )?;
        Ok(packed)
    }
}

/// The files in what `ldd` says: `name => /path (address)` and `/path (address)`; the kernel's own has no file.
fn library_files(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            library_files(ldd),
            [PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"), PathBuf::from("/lib64/ld-linux-x86-64.so.2")]
        );
        assert!(library_files("\tstatically linked\n").is_empty());
    }
}
