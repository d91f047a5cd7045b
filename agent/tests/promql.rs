//! `vedette-agent test promql` through the program: what it prints, and how it ends.

use std::process::{Command, Output};

fn run(script: &str) -> (Output, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("some.test");
    std::fs::write(&file, script).expect("written");
    let program = env!("CARGO_BIN_EXE_vedette-agent");
    let output = Command::new(program).args(["test", "promql"]).arg(&file).output().expect("runs");
    (output, file.display().to_string())
}

#[test]
fn failures_are_named_with_their_place_and_make_the_command_fail() {
    let (output, file) = run(
        "load 1m\n  a 1 {{count:3}}\n\neval instant at 0 a\n  a 2\n\neval instant at 1m a\n  a {{count:3}}\n",
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = format!("{file}:4: wanted a to give a 2;\n    got a 1\n1 passed, 1 failed\n");
    assert_eq!(said, wanted);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_passes_is_counted() {
    let (output, _) =
        run("eval instant at 0 1 + 1\n  2\n\neval range from 0 to 1m step 1m time() fill\n  expect fail\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 passed, 0 failed\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_missing_file_is_named() {
    let program = env!("CARGO_BIN_EXE_vedette-agent");
    let output = Command::new(program).args(["test", "promql", "nowhere.test"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.test"));
}
