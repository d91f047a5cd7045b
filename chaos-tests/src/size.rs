//! How large a run is, from which seeds, and where its figures go.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use env::SystemRandom;

/// Fresh seeds of every run.
const FRESH: usize = 3;

/// Whether tests run at the sizes that releases are judged by.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("VEDETTE_SOAK").is_some()
}

/// The first at CI, the second at soak.
#[must_use]
pub fn size<T>(ci: T, at_soak: T) -> T {
    if soak() { at_soak } else { ci }
}

/// So many seeds: fixed ones, and three fresh ones at the end. `VEDETTE_SEED` gives that one alone.
///
/// # Panics
/// When `VEDETTE_SEED` is no number.
#[must_use]
pub fn seeds(count: usize) -> Vec<u64> {
    if let Ok(text) = std::env::var("VEDETTE_SEED") {
        return vec![text.parse().expect("VEDETTE_SEED is a number")];
    }
    let fixed = 1..=count.saturating_sub(FRESH) as u64;
    let random = SystemRandom::shared();
    let fresh = (0..FRESH.min(count)).map(|_| random.next_u64() >> 32);
    fixed.chain(fresh).collect()
}

/// Prints a figure or what a run did, and writes it to `VEDETTE_SOAK_FILE` with the commit.
///
/// # Panics
/// When that file cannot be written.
#[allow(clippy::print_stderr, reason = "a run shows its seeds and figures")]
pub fn report(line: &str) {
    eprintln!("{line}");
    let Some(path) = std::env::var_os("VEDETTE_SOAK_FILE") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(&path).expect("VEDETTE_SOAK_FILE");
    writeln!(file, "{} {line}", commit()).expect("VEDETTE_SOAK_FILE");
}

fn commit() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let asked = Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root).output();
    asked.map_or_else(|_| "-".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
