//! Compiles our own protocols and foreign ones with protox: no protoc needed.

use std::path::PathBuf;

/// Ours under `vedette`; the rest is written from published schemas.
const FOLDERS: [&str; 4] = ["vedette/v1", "prometheus", "io/prometheus/client", "opentelemetry"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in FOLDERS {
        println!("cargo:rerun-if-changed={folder}");
        for entry in std::fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    files.sort();
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure().bytes(".vedette").compile_fds(descriptors)?;
    Ok(())
}
