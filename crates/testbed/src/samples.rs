//! `Samples`: the control plane's pages as its tests keep them, with the assets beside, served to a browser in a host of its own.
//!
//! Every page of every role is there with figures that never change, so what is looked at (by axe, by the keyboard, by people in
//! the documentation's pictures) is all of them, and the same each time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::host::Host;
use crate::process::Process;
use crate::wait::eventually;

const ADDRESS: &str = "127.0.0.1:8000";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where the control plane's crate lies in a checkout.
fn control() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("wiregrant-control")
}

/// The pages, served.
pub struct Samples {
    /// Each page's address by its name, which is the name of its snapshot.
    pub addresses: BTreeMap<String, String>,
    _server: Process,
    _folder: tempfile::TempDir,
}

impl Samples {
    /// Serves them in a host.
    ///
    /// # Errors
    /// When there is no snapshot, or the server does not come up.
    pub fn serve(host: &Host, logs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wiregrant-samples-").tempdir()?;
        copy_files(&control().join("assets"), &folder.path().join("a/HASH"))?;
        let mut addresses = BTreeMap::new();
        let snapshots = control().join("tests/snapshots");
        let entries =
            fs::read_dir(&snapshots).with_context(|| format!("snapshots in {}", snapshots.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // Public pages lead to each other by relative addresses, so they lie as deep as in `public/`.
            let place = match name.as_str() {
                "landing" => "index.html".to_owned(),
                "grant" => "r/spring/index.html".to_owned(),
                "epoch" => "r/spring/epoch-52/index.html".to_owned(),
                other => format!("{other}.html"),
            };
            let copy = folder.path().join(&place);
            fs::create_dir_all(copy.parent().unwrap_or(folder.path()))?;
            fs::copy(&path, copy)?;
            addresses.insert(name, format!("http://{ADDRESS}/{place}"));
        }
        let mut command = host.command("/usr/bin/python3");
        command.args(["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory"]).arg(folder.path());
        let mut server = Process::spawn("samples", &mut command, logs)?;
        let log = server.log().to_owned();
        eventually("the server of the samples", START_LIMIT, &[&log], || {
            server.still_runs()?;
            // Nothing else listens in this host.
            Ok(host.exec("ss -Hltn sport = :8000")?.contains("8000").then_some(()))
        })?;
        Ok(Self { addresses, _server: server, _folder: folder })
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
