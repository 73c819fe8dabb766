//! `nft`, the program: a ruleset goes in as one transaction, a listing comes out.
//!
//! The program rather than a library: those are bound to C code in the privileged process or under another licence, and what
//! an operator reads with `nft list ruleset` is then what was written here.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

/// Applies a text whole or not at all.
///
/// # Errors
/// When `nft` is missing or refuses, with what it says.
pub fn apply(ruleset: &str) -> anyhow::Result<()> {
    let mut child = spawn(&["-f", "-"], Stdio::piped())?;
    // Dropped after the write, so that `nft` sees the end of it.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(ruleset.as_bytes()));
    let output = child.wait_with_output().context("nft: its end cannot be awaited")?;
    succeeded("nft -f -", output)?;
    written.context("nft: did not take the ruleset")
}

/// A table as `nft` prints it, without what dynamic sets have gathered; `None` when it is not there.
///
/// # Errors
/// When `nft` is missing or refuses.
pub fn list(table: &str) -> anyhow::Result<Option<String>> {
    there(&["-t", "list", "table", "inet", table])
}

/// The counters of a table in JSON; `None` when it is not there.
///
/// # Errors
/// When `nft` is missing or refuses.
pub fn counters(table: &str) -> anyhow::Result<Option<String>> {
    there(&["-j", "list", "counters", "table", "inet", table])
}

/// Deletes a table; whether it was there. Without the program there is none.
///
/// # Errors
/// When `nft` refuses.
pub fn delete(table: &str) -> anyhow::Result<bool> {
    if !is_installed() || list(table)?.is_none() {
        return Ok(false);
    }
    // Named first, so that it is no error when it has gone since.
    apply(&format!("table inet {table}\ndelete table inet {table}\n")).map(|()| true)
}

/// Whether the program can be called.
#[must_use]
pub fn is_installed() -> bool {
    super::on_path("nft")
}

/// All chains in JSON.
///
/// # Errors
/// When `nft` is missing or refuses.
pub fn chains() -> anyhow::Result<String> {
    Ok(there(&["-j", "list", "chains"])?.unwrap_or_default())
}

fn there(arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output =
        spawn(arguments, Stdio::null())?.wait_with_output().context("nft: its end cannot be awaited")?;
    if !output.status.success()
        && String::from_utf8_lossy(&output.stderr).contains("No such file or directory")
    {
        return Ok(None);
    }
    let stdout = succeeded(&format!("nft {}", arguments.join(" ")), output)?;
    Ok(Some(String::from_utf8_lossy(&stdout).into_owned()))
}

fn spawn(arguments: &[&str], stdin: Stdio) -> anyhow::Result<std::process::Child> {
    let child = Command::new("nft")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("`nft` is not on PATH: apt-get install nftables"),
        _ => anyhow::Error::new(error).context("nft: cannot be started"),
    })
}

fn succeeded(command: &str, output: Output) -> anyhow::Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("Operation not permitted") {
        bail!("`{command}`: not permitted; run the agent as root or with CAP_NET_ADMIN");
    }
    bail!("`{command}`: {}", message.trim())
}
