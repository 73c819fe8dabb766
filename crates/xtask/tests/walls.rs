//! The walls between the rooms: which crate may know which other, and which outside world is whose.
//!
//! Read from the manifests and from cargo's dependency trees. A new crate needs a row in `ROOMS`; a new outside
//! world needs one in `WORLDS`.

mod walls {
    pub mod manifest;
    pub mod source;
}

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walls::manifest::{Kind, dependencies};
use walls::source::forbidden_names;

/// A crate, what of the workspace it may import, and what its tree of normal dependencies must never hold.
struct Room {
    name: &'static str,
    may_import: &'static [&'static str],
    never: &'static [&'static [&'static str]],
    /// Whether it may import anything at all from outside the workspace.
    standard_library_only: bool,
}

const fn room(
    name: &'static str,
    may_import: &'static [&'static str],
    never: &'static [&'static [&'static str]],
) -> Room {
    Room { name, may_import, never, standard_library_only: false }
}

const SQL: &[&str] = &["sqlx", "sqlx-core", "rusqlite"];
const HTTP_SERVER: &[&str] = &["axum"];
const HTTP_CLIENT: &[&str] = &["reqwest", "ureq"];
const NETLINK: &[&str] = &["defguard_wireguard_rs", "netlink-sys", "netlink-packet-core"];
const BITCOIN: &[&str] = &["bitcoin", "secp256k1"];
/// Crates that reach a disk, a socket or a thread pool.
const SYSTEM: &[&str] =
    &["tokio", "async-std", "smol", "mio", "socket2", "rustix", "nix", "hyper", "rustls", "tempfile"];

/// Arrows run downwards only, and nobody imports a binary or the testbed.
const ROOMS: &[Room] = &[
    room("transparency-log", &[], &[SYSTEM, SQL, HTTP_SERVER, HTTP_CLIENT, NETLINK, BITCOIN]),
    room("wiregrant-core", &["transparency-log"], &[SYSTEM, SQL, HTTP_SERVER, HTTP_CLIENT, NETLINK, BITCOIN]),
    room(
        "wiregrant-payout",
        &["wiregrant-core", "transparency-log"],
        &[SYSTEM, SQL, HTTP_SERVER, HTTP_CLIENT, NETLINK],
    ),
    room(
        "wiregrant-chain",
        &["wiregrant-payout", "wiregrant-core", "transparency-log"],
        &[SQL, HTTP_SERVER, NETLINK],
    ),
    room(
        "wiregrant-store",
        &["wiregrant-payout", "wiregrant-core", "transparency-log"],
        &[HTTP_SERVER, HTTP_CLIENT, NETLINK],
    ),
    room("wiregrant-agent", &["wiregrant-core", "transparency-log"], &[SQL, HTTP_SERVER, BITCOIN]),
    room("wiregrant-socks5", &["wiregrant-core", "transparency-log"], &[SQL, HTTP_SERVER, BITCOIN]),
    room(
        "wiregrant-control",
        &["wiregrant-store", "wiregrant-chain", "wiregrant-payout", "wiregrant-core", "transparency-log"],
        &[NETLINK],
    ),
    room(
        "wiregrant",
        &["wiregrant-chain", "wiregrant-payout", "wiregrant-core", "transparency-log"],
        &[SQL, HTTP_SERVER, NETLINK],
    ),
    room(
        "testbed",
        &["wiregrant-chain", "wiregrant-store", "wiregrant-payout", "wiregrant-core", "transparency-log"],
        &[],
    ),
    Room { name: "xtask", may_import: &[], never: &[], standard_library_only: true },
];

/// Each outside world has exactly one room (Bitcoin's types have those that speak of addresses and transactions):
/// who may name the crate outside of its tests.
const WORLDS: &[(&str, &[&str])] = &[
    ("sqlx", &["wiregrant-store"]),
    ("rusqlite", &["wiregrant-store"]),
    ("axum", &["wiregrant-control"]),
    ("tower-http", &["wiregrant-control"]),
    ("askama", &["wiregrant-control"]),
    ("defguard_wireguard_rs", &["wiregrant-agent"]),
    ("bitcoin", &["wiregrant-payout", "wiregrant-chain", "wiregrant-control", "wiregrant", "testbed"]),
    ("miniscript", &["wiregrant-payout", "wiregrant-control"]),
    // An oracle of the tests: what ships must not lean on what it is compared with.
    ("tlog_tiles", &[]),
];

/// The rooms that know no world: the clock, randomness and bytes come in as arguments.
const WITHOUT_WORLD: &[&str] = &["transparency-log", "wiregrant-core", "wiregrant-payout"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root").to_owned()
}

/// The text of every crate's manifest, by the crate's name.
fn manifests() -> BTreeMap<String, String> {
    fs::read_dir(root().join("crates"))
        .expect("crates/")
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .map(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str()).expect("a crate's name").to_owned();
            (name, fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest"))
        })
        .collect()
}

/// What is wrong with one manifest, a line for each.
fn broken_walls(name: &str, manifest: &str) -> Vec<String> {
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        return vec![format!("{name} has no row in ROOMS: say what it may import")];
    };
    let mut broken = Vec::new();
    for dependency in dependencies(manifest) {
        let package = dependency.package.as_str();
        let of_workspace = ROOMS.iter().any(|room| room.name == package);
        if of_workspace && !room.may_import.contains(&package) {
            broken.push(format!("{name} imports {package}, which is not below it"));
        }
        if room.standard_library_only {
            broken.push(format!("{name} imports {package}, and is to need the standard library only"));
        }
        if dependency.kind == Kind::Dev {
            continue;
        }
        if room.never.iter().any(|world| world.contains(&package)) {
            broken.push(format!("{name} imports {package}, which it must never"));
        }
        if let Some((_, owners)) = WORLDS.iter().find(|(world, _)| *world == package)
            && !owners.contains(&name)
        {
            broken.push(format!("{name} imports {package}, which belongs to {owners:?}"));
        }
    }
    broken
}

/// Names of the packages in the tree of normal dependencies, as `cargo tree` sees it.
fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("names are ASCII");
    lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_manifest_keeps_the_walls() {
    let manifests = manifests();
    assert!(manifests.len() >= 8, "the crates were not found: {:?}", manifests.keys());
    let broken: Vec<String> = manifests.iter().flat_map(|(name, text)| broken_walls(name, text)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_tree_shows_what_is_in_it_at_any_depth() {
    let tree = tree("wiregrant-store");
    for package in ["sqlx", "sqlx-core", "wiregrant-core"] {
        assert!(tree.iter().any(|name| name == package), "{package} is not seen in {tree:?}");
    }
}

#[test]
fn no_tree_holds_what_its_room_must_never_know() {
    let mut broken = Vec::new();
    for name in manifests().keys() {
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else { continue };
        let tree = tree(name);
        assert_eq!(tree.first(), Some(name), "the tree begins with its own crate");
        broken.extend(
            room.never
                .iter()
                .copied()
                .flatten()
                .filter(|never| tree.iter().any(|package| package == *never))
                .map(|never| format!("{name} pulls in {never}: cargo tree -p {name} -e normal -i {never}")),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_rooms_without_a_world_name_no_file_socket_or_clock() {
    let mut broken = Vec::new();
    for name in WITHOUT_WORLD {
        let sources = rust_files(&root().join("crates").join(name).join("src"));
        assert!(!sources.is_empty(), "{name} has no source");
        for file in sources {
            let text = fs::read_to_string(&file).unwrap();
            for (line, world) in forbidden_names(&text) {
                broken.push(format!("{}:{line}: {world}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "take it as an argument instead:\n{}", broken.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder's entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_broken_wall_is_found_in_a_made_up_manifest() {
    let manifest = "[package]\nname = \"wiregrant-core\"\n\n[dependencies]\nserde.workspace = true\n";
    assert_eq!(broken_walls("wiregrant-core", manifest), Vec::<String>::new());

    let clocked = format!("{manifest}tokio = {{ version = \"1\" }}\nwiregrant-store.workspace = true\n");
    assert_eq!(
        broken_walls("wiregrant-core", &clocked),
        [
            "wiregrant-core imports tokio, which it must never",
            "wiregrant-core imports wiregrant-store, which is not below it",
        ]
    );
    let renamed = format!(
        "{manifest}[target.'cfg(unix)'.dependencies]\ndatabase = {{ package = \"sqlx\", version = \"0\" }}\n"
    );
    assert_eq!(
        broken_walls("wiregrant-control", &renamed),
        ["wiregrant-control imports sqlx, which belongs to [\"wiregrant-store\"]"]
    );
}

#[test]
fn nobody_imports_the_testbed_even_for_its_tests() {
    let manifest = "[dev-dependencies]\ntestbed = { path = \"../testbed\" }\n";
    assert_eq!(
        broken_walls("wiregrant-agent", manifest),
        ["wiregrant-agent imports testbed, which is not below it"]
    );
}

#[test]
fn the_task_runner_imports_nothing() {
    let manifest = "[build-dependencies]\ncc = \"1\"\n";
    assert_eq!(
        broken_walls("xtask", manifest),
        ["xtask imports cc, and is to need the standard library only"]
    );
}

#[test]
fn a_crate_nobody_gave_a_room_is_refused() {
    assert_eq!(
        broken_walls("wiregrant-utils", ""),
        ["wiregrant-utils has no row in ROOMS: say what it may import"]
    );
}
