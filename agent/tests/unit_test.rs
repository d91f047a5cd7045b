//! `vedette-agent test rules` through the program, on the files beside this one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unit_tests")
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vedette-agent"));
    command.args(["test", "rules"]).args(args).current_dir(folder()).output().expect("runs")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn files_pass() {
    for file in ["passes.yml", "no_rule_file.yml", "since_2_42/passes.yml"] {
        let output = run(&[file]);
        let (out, err) = said(&output);
        assert_eq!(out, format!("Unit Testing:  {file}\n  SUCCESS\n\n"), "{err}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn what_differs_is_named() {
    let alerts = "    name: nobody pages,\n    alertname: Down, time: 1m, \n        exp:[\n            0:\n              \
                  Labels:{alertname=\"Down\", instance=\"x\"}\n              Annotations:{summary=\"x is up\"}\n            \
                  ], \n        got:[\n            0:\n              Labels:{alertname=\"Down\", instance=\"x\"}\n";
    for (file, wanted) in [
        (
            "samples_differ.yml",
            "    expr: \"a\", time: 2m,\n        exp: {__name__=\"a\", x=\"1\"} 4E+00\n        got: {__name__=\"a\", x=\"1\"} 3E+00\n",
        ),
        (
            "samples_differ.yml",
            "    expr: \"b\", time: 1m,\n        exp: {__name__=\"b\"} 1E+00\n        got: nil\n",
        ),
        ("samples_differ.yml", "    expr: \"sum(\", time: 1m, err: 1:5: parse error: "),
        ("samples_differ.yml", "time: 1m, err: rule result is not a vector or scalar\n"),
        ("samples_differ.yml", "time: 1m, err: labels \"{a=\": "),
        ("alerts_differ.yml", alerts),
        ("alerts_differ.yml", "alertname: TooManyErrors, time: 1m, \n"),
        ("rule_fails.yml", "    rule: twice, time: 1m0s, err: "),
        (
            "no_alertname.yml",
            "an item under alert_rule_test misses required attribute alertname at eval_time 1m (in TestGroup forgotten)",
        ),
        ("order_twice.yml", "group name repeated in evaluation order: web"),
        ("unknown_key.yml", "unknown_key.yml:2:5: unknown key \"intervall\""),
        ("bad_series.yml", "parse error: "),
        ("unknown_rule_field.yml", "unknown_field.yml:3:5: unknown key \"owner\""),
        ("missing.yml", "open missing.yml: "),
        (
            "since_2_42/fails.yml",
            "exp: {__name__=\"h\"} {{count:2}}\n        got: {__name__=\"h\"} {{count:1}}",
        ),
        ("since_2_42/fails.yml", "labels \"h\": expected histogram, got 1"),
    ] {
        let output = run(&[file]);
        let (out, err) = said(&output);
        assert!(err.starts_with("  FAILED:\n"), "{file}: {err}");
        assert!(err.contains(wanted), "{file}: {err}");
        assert!(!out.contains("SUCCESS"), "{file}");
        assert_eq!(output.status.code(), Some(1), "{file}");
    }
}

#[test]
fn one_failing_file_does_not_keep_the_others_from_running() {
    let output = run(&["order_twice.yml", "passes.yml"]);
    assert!(said(&output).0.contains("passes.yml\n  SUCCESS\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn groups_are_chosen_by_their_names() {
    let output = run(&["--run=^nothing$", "samples_differ.yml", "--debug"]);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    assert!(!said(&output).1.contains("DEBUG"));
    let output = run(&["--run=alu", "--run=other", "samples_differ.yml", "--debug"]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("DEBUG: Starting test values\n") && !err.contains("unnamed#1"), "{err}");
    assert!(err.contains("{__name__=\"a\", x=\"1\"} =>\n1 @[0]\n2 @[60000]\n3 @[120000]\n"), "{err}");
}

#[test]
fn differences_can_be_coloured() {
    let (_, err) = said(&run(&["--diff", "alerts_differ.yml"]));
    assert!(err.contains("\x1b[0;33m\"summary\": \"x is up\" => \"x is down\"\x1b[0m"), "{err}");
    assert!(err.contains("\x1b[0;32m\"instance\": \"y\"\x1b[0m"), "{err}");
    assert!(err.contains("\x1b[0;31m\"severity\": \"page\"\x1b[0m"), "{err}");
}

#[test]
fn unknown_fields_of_rule_files_can_be_ignored() {
    let output = run(&["--ignore-unknown-fields", "unknown_rule_field.yml"]);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    // Those of the unit-test file itself cannot.
    assert_eq!(run(&["--ignore-unknown-fields", "unknown_key.yml"]).status.code(), Some(1));
}

#[test]
fn results_go_to_a_junit_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("results.xml");
    let junit = format!("--junit={}", path.display());
    run(&[&junit, "passes.yml", "no_alertname.yml", "order_twice.yml"]);
    let text = std::fs::read_to_string(path).expect("written");
    assert!(
        text.starts_with(
            "<testsuites><testsuite name=\"passes.yml\" tests=\"3\" failures=\"0\" errors=\"0\""
        )
    );
    assert!(text.contains("<testcase name=\"unnamed#2\"></testcase>"));
    assert!(text.contains("<testcase name=\"forgotten\"><failure>an item under alert_rule_test misses"));
    assert!(text.contains("errors=\"1\"") && text.contains("<error>group name repeated"));
}
