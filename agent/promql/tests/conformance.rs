//! Prometheus's own scripts, where they are at hand: every query gives what they want.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use vedette_promql::script::run_script;

fn folder() -> PathBuf {
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map(PathBuf::from);
    root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"))
        .join("promql")
}

#[test]
fn every_script_passes() {
    let folder = folder();
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let (mut passed, mut failed) = (0, Vec::new());
    for path in paths.iter().filter(|path| path.extension().is_some_and(|name| name == "test")) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a script");
        let report = catch_unwind(AssertUnwindSafe(|| run_script(&name, &text)))
            .unwrap_or_else(|_| panic!("{name} panicked"));
        passed += report.passed;
        failed.extend(report.failures.iter().map(|failure| {
            format!("{name}:{}: wanted {}\n    got {}", failure.line, failure.wanted, failure.got)
        }));
    }
    println!("{passed} passed, {} failed", failed.len());
    assert!(passed > 1000, "only {passed} queries in {}", folder.display());
    assert!(failed.is_empty(), "{} queries:\n{}", failed.len(), failed.join("\n"));
}
