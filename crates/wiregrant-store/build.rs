//! Says that the crate embeds the migrations, which lie outside its folder.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
