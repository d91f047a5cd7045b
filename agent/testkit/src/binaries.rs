//! Where the programs under test and their peers are.

use std::path::{Path, PathBuf};

/// A program of Debian's that Vedette replaces or talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Prometheus itself.
    Prometheus,
    /// Its command line tool.
    Promtool,
    /// Alertmanager's command line tool.
    Amtool,
    /// The exporter of host metrics.
    NodeExporter,
    /// VictoriaMetrics's agent, which scrapes and pushes.
    Vmagent,
    /// VictoriaMetrics' single binary.
    VictoriaMetrics,
}

impl Peer {
    fn file(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Amtool => "amtool",
            Self::NodeExporter => "prometheus-node-exporter",
            Self::Vmagent => "vmagent",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }
}

/// The peer's binary, unpacked beside the build by the set-up. Without it a test is skipped with a
/// message; in CI it fails.
///
/// # Panics
/// In CI, when the peer is missing.
#[must_use]
pub fn peer(peer: Peer) -> Option<PathBuf> {
    let cache = std::env::var_os("VEDETTE_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/vedette")))?;
    let path = cache.join("peers/usr/bin").join(peer.file());
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing: `make test` unpacks it", path.display());
    tracing_free_note(&format!("skipped: {} is missing; `make test` unpacks it", path.display()));
    None
}

/// A program of this workspace: built by the same `cargo` call, or named by `VEDETTE_BIN_DIR`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("VEDETTE_BIN_DIR").map_or_else(
        || {
            // Tests run from target/<profile>/deps.
            let this = std::env::current_exe().expect("the test's own path");
            this.ancestors().nth(2).expect("target/<profile>").to_path_buf()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// The folder of conformance data by others, where it is there; a note when it is not.
#[must_use]
pub fn conformance(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    tracing_free_note(&format!("skipped: no conformance data at {}", path.display()));
    None
}

#[allow(clippy::print_stderr, reason = "a test says that it was skipped")]
fn tracing_free_note(text: &str) {
    eprintln!("{text}");
}
