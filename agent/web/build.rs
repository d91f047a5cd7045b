//! Builds the crate again when the user interface was built again.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Its index names every other file by the hash of its content. A debug build reads the files when it
    // runs; a release build without them must look again each time, since cargo cannot watch for a birth.
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if release || Path::new("ui/dist/index.html").exists() {
        println!("cargo:rerun-if-changed=ui/dist/index.html");
    }
}
