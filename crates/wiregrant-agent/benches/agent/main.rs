//! The agent's figures, each beside its peer or limit: `cargo xtask bench agent`, which runs `kernel` where the kernel has
//! WireGuard and `native` here, and reads the rows from what they print.

#![expect(clippy::print_stdout, reason = "the rows are its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]

#[path = "../../tests/support/control_plane.rs"]
mod control_plane;
mod kernel;
mod node;
mod process;
mod raw;
mod row;

fn main() {
    // `cargo bench` adds `--bench`.
    match std::env::args().skip(1).find(|argument| argument != "--bench").as_deref() {
        Some("kernel") => kernel::rows(),
        Some("native") => process::rows(),
        _ => println!("agent: not measured here; `cargo xtask bench agent` does"),
    }
}
