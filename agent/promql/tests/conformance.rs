//! The upstream scripts, where they are at hand: no query panics, and none that passed once fails again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use vedette_promql::script::run_script;

/// Queries that pass, per file. Raise a number when more do; lowering one is a regression.
const BASELINE: &[(&str, usize)] = &[];

fn folder() -> PathBuf {
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map(PathBuf::from);
    root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"))
        .join("promql")
}

#[test]
fn scripts_pass_at_least_as_often_as_before() {
    let folder = folder();
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let verbose = std::env::var("VEDETTE_CONFORMANCE_VERBOSE").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let (mut passed, mut failed, mut regressions) = (0, 0, Vec::new());
    for path in paths.iter().filter(|path| path.extension().is_some_and(|name| name == "test")) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a script");
        let report = catch_unwind(AssertUnwindSafe(|| run_script(&name, &text)))
            .unwrap_or_else(|_| panic!("{name} panicked"));
        println!(
            "{name}: passed {} failed {} (series not loaded: {})",
            report.passed, report.failed, report.unsupported_series
        );
        if verbose == "all" || verbose == name {
            for failure in &report.failures {
                println!("  {name}:{}: wanted {}\n    got {}", failure.line, failure.wanted, failure.got);
            }
        }
        passed += report.passed;
        failed += report.failed;
        let least = BASELINE.iter().find(|(known, _)| *known == name).map_or(0, |(_, least)| *least);
        if report.passed < least {
            regressions.push(format!("{name}: {} of at least {least}", report.passed));
        }
    }
    println!("total: passed {passed} failed {failed}");
    assert!(regressions.is_empty(), "{regressions:#?}");
}
