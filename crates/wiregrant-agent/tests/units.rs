//! The units in `systemd/`, as systemd's own tools judge them. They need no systemd that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Each unit with the most that `systemd-analyze security` may say of it, in tenths, from 0 (shut) to 100 (open). The one above
/// 15 says why.
const UNITS: [(&str, u32); 4] = [
    ("wiregrant-agent.service", 15),
    ("wiregrant-control.service", 15),
    ("wiregrant-socks5.service", 15),
    ("wiregrant-wireguard-go@.service", 17),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd")
}

fn systemd_analyze(arguments: &[&str]) -> Output {
    let output = Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0").output();
    output.expect("`apt-get install systemd`: these tests need systemd-analyze")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn units() -> Vec<String> {
    let names = fs::read_dir(folder()).expect("systemd/").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("text")).collect();
    names.retain(|name| name.ends_with(".service"));
    names.sort();
    names
}

#[test]
fn every_unit_is_shut_as_far_as_it_goes() {
    assert_eq!(units(), UNITS.map(|(unit, _)| unit), "each unit has its bar");
    for (unit, tenths) in UNITS {
        let file = folder().join(unit);
        let threshold = format!("--threshold={tenths}");
        let output =
            systemd_analyze(&["security", "--offline=true", &threshold, &file.display().to_string()]);
        assert!(output.status.success(), "{}", said(&output));
    }
    // The bar is one that a unit can miss.
    let open = tempfile::tempdir().expect("a folder");
    let file = open.path().join("open.service");
    fs::write(&file, "[Service]\nExecStart=/bin/true\n").expect("written");
    let output =
        systemd_analyze(&["security", "--offline=true", "--threshold=17", &file.display().to_string()]);
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn systemd_understands_every_line_of_every_unit() {
    let copies = tempfile::tempdir().expect("a folder");
    let program = copies.path().join("program");
    fs::write(&program, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("one's own");
    for unit in units() {
        let text = fs::read_to_string(folder().join(&unit)).expect("a unit");
        // The programs are not installed where this is tested; what is verified is the rest.
        let (before, rest) = text.split_once("\nExecStart=").expect("a program");
        let (command, after) = rest.split_once('\n').expect("more lines");
        let arguments = command.split_once(' ').map_or("", |(_, arguments)| arguments);
        let program = program.display();
        let text = format!("{before}\nExecStart={program} {arguments}\n{after}");
        let copy = copies.path().join(&unit);
        fs::write(&copy, text).expect("written");
        let output =
            systemd_analyze(&["verify", "--man=no", "--recursive-errors=no", &copy.display().to_string()]);
        assert!(output.status.success() && said(&output).is_empty(), "{unit}: {}", said(&output));
    }
}

#[test]
fn the_agent_knows_every_flag_and_place_of_its_unit() {
    let unit = fs::read_to_string(folder().join("wiregrant-agent.service")).expect("a unit");
    let line = |start: &str| {
        unit.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{start} is there"))
    };
    let arguments = line("ExecStart=wiregrant-agent ").split(' ');
    let mut agent = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
    // Whatever comes before `--help` is understood first.
    let output = agent.args(arguments).arg("--help").output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let state = format!("/var/lib/{}", line("StateDirectory="));
    assert_eq!(state, wiregrant_agent::state_dir::DEFAULT);
}

/// Every user that a unit names is made by `sysusers.d`, and systemd-sysusers understands it.
#[test]
fn the_users_of_the_units_are_made_in_an_empty_system() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("etc")).expect("a folder");
    let file = folder().join("sysusers.d/wiregrant.conf");
    let root_flag = format!("--root={}", root.path().display());
    let output =
        Command::new("systemd-sysusers").arg(root_flag).arg(&file).output().expect("part of systemd");
    assert!(output.status.success(), "{}", said(&output));
    let made = |file: &str| fs::read_to_string(root.path().join("etc").join(file)).expect("it was made");
    let (users, groups) = (made("passwd"), made("group"));
    for unit in units() {
        let text = fs::read_to_string(folder().join(&unit)).expect("a unit");
        let user = text.lines().find_map(|line| line.strip_prefix("User=")).expect("each has its own");
        let made =
            users.lines().any(|line| line.starts_with(&format!("{user}:")) && line.ends_with("nologin"));
        assert!(made, "{user} of {unit} in {users}");
    }
    let socks5 = groups.lines().find(|line| line.starts_with("wiregrant-socks5:")).expect("a group");
    assert!(socks5.ends_with(":wiregrant-agent"), "{socks5}");
}

#[test]
fn what_is_enabled_is_started_with_the_machine_and_wireguard_go_with_the_agent() {
    let root = tempfile::tempdir().expect("a folder");
    let etc = root.path().join("etc/systemd/system");
    fs::create_dir_all(&etc).expect("a folder");
    for unit in units() {
        fs::copy(folder().join(&unit), etc.join(&unit)).expect("copied");
    }
    // With a root the links are made there, and no systemd is spoken to.
    let enabled =
        ["wiregrant-agent", "wiregrant-control", "wiregrant-socks5", "wiregrant-wireguard-go@wg-grant0"];
    let root_flag = format!("--root={}", root.path().display());
    let output = Command::new("systemctl").args([&root_flag, "enable"]).args(enabled).output();
    let output = output.expect("part of systemd");
    assert!(output.status.success(), "{}", said(&output));
    for (wanting, wanted) in [
        ("multi-user.target.wants", "wiregrant-agent.service"),
        ("multi-user.target.wants", "wiregrant-control.service"),
        ("multi-user.target.wants", "wiregrant-socks5.service"),
        ("wiregrant-agent.service.wants", "wiregrant-wireguard-go@wg-grant0.service"),
    ] {
        let link = etc.join(wanting).join(wanted);
        assert!(link.is_symlink(), "{}", link.display());
    }
}
