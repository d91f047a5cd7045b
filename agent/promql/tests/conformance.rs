//! The upstream scripts, where they are at hand: no query panics, and none that passed once fails again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use vedette_promql::script::run_script;

/// Queries that pass, per file. Raise a number when more do; lowering one is a regression.
#[rustfmt::skip]
const BASELINE: &[(&str, usize)] = &[
    ("aggregators.test", 85),
    ("at_modifier.test", 43),
    ("collision.test", 2),
    ("duration_expression.test", 7),
    ("extended_vectors.test", 18),
    ("fill-modifier.test", 0),
    ("functions.test", 235),
    ("histograms.test", 60),
    ("info.test", 1),
    ("limit.test", 10),
    ("literals.test", 18),
    ("name_label_dropping.test", 20),
    ("native_histograms.test", 0),
    ("operators.test", 82),
    ("range_queries.test", 8),
    ("selectors.test", 25),
    ("staleness.test", 12),
    ("start_timestamps.test", 0),
    ("subquery.test", 21),
    ("trig_functions.test", 11),
    ("type_and_unit.test", 36),
];

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
            "{name}: passed {} failed {}",
            report.passed, report.failed
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
