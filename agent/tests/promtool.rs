//! The program under the name promtool: its words and exit codes.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Tool(tempfile::TempDir);

impl Tool {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        symlink(env!("CARGO_BIN_EXE_vedette-agent"), dir.path().join("promtool")).expect("linked");
        Self(dir)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).expect("written");
    }

    fn run(&self, line: &str, input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(self.0.path().join("promtool"));
        output(command.args(line.split_whitespace()), self.0.path(), input)
    }
}

fn output(command: &mut Command, dir: &Path, input: &str) -> (Option<i32>, String, String) {
    let pipes = command.current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("taken");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

const RULES: &str =
    "groups: [{name: g, rules: [{record: a, expr: up, labels: {x: y}}, {alert: B, expr: up == 0}]}]";
const TWICE: &str = "groups: [{name: g, rules: [{record: a, expr: up, labels: {x: y}}, {record: a, expr: b, labels: {x: y}}]}]";

#[test]
fn rule_files_are_checked() {
    let tool = Tool::new();
    tool.file("good.yml", RULES);
    tool.file("twice.yml", TWICE);
    tool.file("bad.yml", "groups: [{name: g, rules: [{record: a, expr: sum(}]}]");
    tool.file("extra.yml", "groups: [{name: g, owner: me, rules: []}]");
    let lint = "lint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\n\tx: y\nMight cause inconsistency while recording expressions\n";
    for (line, code, out, err) in [
        ("check rules good.yml", 0, "Checking good.yml\n  SUCCESS: 2 rules found\n\n", ""),
        ("check rules twice.yml", 0, "Checking twice.yml\n\n", &format!("  FAILED:\n{lint}")[..]),
        ("check rules --lint-fatal twice.yml", 3, "Checking twice.yml\n\n", &format!("  FAILED:\n{lint}")),
        (
            "check rules --lint=none --lint-fatal twice.yml",
            0,
            "Checking twice.yml\n  SUCCESS: 2 rules found\n\n",
            "",
        ),
        (
            "check rules --ignore-unknown-fields extra.yml",
            0,
            "Checking extra.yml\n  SUCCESS: 0 rules found\n\n",
            "",
        ),
        (
            "check rules nowhere.yml",
            1,
            "",
            "promtool: error: path 'nowhere.yml' does not exist, try --help\n",
        ),
    ] {
        assert_eq!(tool.run(line, ""), (Some(code), out.to_owned(), err.to_owned()), "{line}");
    }
    let (code, out, err) = tool.run("check rules bad.yml good.yml", "");
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "Checking bad.yml\nChecking good.yml\n  SUCCESS: 2 rules found\n\n")
    );
    assert!(err.starts_with("  FAILED:\nbad.yml:1:"), "{err}");
    assert_eq!(tool.run("check rules extra.yml", "").0, Some(1));
    let (code, out, _) = tool.run("check rules", RULES);
    assert_eq!((code, out.as_str()), (Some(0), "Checking standard input\n  SUCCESS: 2 rules found\n\n"));
}

#[test]
fn configurations_are_checked_with_what_they_name() {
    let tool = Tool::new();
    tool.file("rules.yml", RULES);
    tool.file("twice.yml", TWICE);
    tool.file("good.yml", "rule_files: [rules.yml]\nscrape_configs: [{job_name: a, scrape_interval: 10m}]\n");
    let (code, out, err) = tool.run("check config good.yml", "");
    let wanted = "Checking good.yml\n  SUCCESS: 1 rule files found\n SUCCESS: good.yml is valid prometheus config file syntax\n\nChecking rules.yml\n  SUCCESS: 2 rules found\n\n";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), wanted, ""));
    tool.file("lost.yml", "rule_files: [lost_rules.yml]\n");
    tool.file("bad.yml", "global: {scrape_interval: soon}\n");
    tool.file("lint.yml", "rule_files: [twice.yml]\n");
    tool.file("token.yml", "scrape_configs: [{job_name: a, authorization: {credentials_file: lost}}]\n");
    tool.file(
        "targets.yml",
        "scrape_configs: [{job_name: a, file_sd_configs: [{files: [t.json, u.json]}]}]\n",
    );
    tool.file("t.json", "[{\"targets\": 1}]");
    tool.file("alerts.yml", "alerting: {alertmanagers: []}\nremote_write: [{url: 'http://x/'}]\n");
    tool.file("writes.yml", "remote_write: [{url: 'http://x/'}]\n");
    for (line, code, said) in [
        ("check config lost.yml", 1, "  FAILED: lost.yml:1:14: lost_rules.yml does not exist"),
        ("check config --syntax-only lost.yml", 0, " SUCCESS: lost.yml"),
        ("check config bad.yml", 1, "  FAILED: bad.yml:1:27: wrong value for scrape_interval"),
        ("check config lint.yml", 0, "1 duplicate rule(s) found"),
        ("check config --lint-fatal lint.yml", 3, "1 duplicate rule(s) found"),
        ("check config --lint-fatal --lint=none lint.yml", 0, "SUCCESS: 2 rules found"),
        ("check config --lint-fatal --lint=all good.yml", 3, "long_scrape_interval found"),
        ("check config --lint-fatal --lint=all --query.lookback-delta=20m good.yml", 0, "SUCCESS"),
        (
            "check config token.yml",
            1,
            "error checking authorization credentials or bearer token file \"lost\"",
        ),
        ("check config --syntax-only token.yml", 0, "SUCCESS"),
        ("check config targets.yml", 1, "checking SD file \"t.json\""),
        ("check config --agent alerts.yml", 1, "field alerting is not allowed in agent mode"),
        ("check config --agent good.yml", 1, "field rule_files is not allowed in agent mode"),
        ("check config --agent writes.yml", 0, "WARNING: writes.yml:1:1: remote_write is valid, but"),
    ] {
        let (found, out, err) = tool.run(line, "");
        assert!(out.contains(said) || err.contains(said), "{line}: {out}{err}");
        assert_eq!(found, Some(code), "{line}: {out}{err}");
    }
}

#[test]
fn web_configs_are_checked() {
    let tool = Tool::new();
    tool.file("good.yml", "basic_auth_users: {}\n");
    tool.file("bad.yml", "basic_auth: {}\n");
    let (code, _, err) = tool.run("check web-config good.yml bad.yml", "");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("good.yml SUCCESS\nbad.yml FAILED: "), "{err}");
    assert_eq!(tool.run("check web-config good.yml", "").0, Some(0));
}

#[test]
fn metrics_are_linted() {
    let tool = Tool::new();
    let (code, _, err) = tool.run(
        "check metrics",
        "# HELP a_total x\n# TYPE a_total gauge\na_total{le=\"1\"} 1\nfooBar_ms 1\n# HELP x:y h\n# TYPE x:y counter\nx:y{aB=\"1\"} 1\n\
         # TYPE up_milliseconds histogram\nup_milliseconds_bucket{le=\"+Inf\"} 1\nup_milliseconds_sum 1\nup_milliseconds_count 1\n",
    );
    let wanted = [
        "a_total non-counter metrics should not have \"_total\" suffix",
        "a_total non-histogram metrics should not have \"le\" label",
        "fooBar_ms metric names should be written in 'snake_case' not 'camelCase'",
        "fooBar_ms metric names should not contain abbreviated units",
        "fooBar_ms no help text",
        "up_milliseconds no help text",
        "up_milliseconds use base unit \"seconds\" instead of \"milliseconds\"",
        "x:y counter metrics should have \"_total\" suffix",
        "x:y label names should be written in 'snake_case' not 'camelCase'",
        "x:y metric names should not contain ':'",
    ];
    assert_eq!((code, err.lines().collect::<Vec<_>>()), (Some(3), wanted.to_vec()));
    let good = "# HELP a_total x\n# TYPE a_total counter\na_total{l=\"1\"} 1\na_total{l=\"2\"} 1\n# HELP b x\n# TYPE b gauge\nb 1\n";
    let (code, out, err) = tool.run("check metrics --extended", good);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.starts_with(
            "Metric     Cardinality    Percentage    \na_total    2              66.67%        \n"
        ),
        "{out}"
    );
    let (code, _, err) = tool.run("check metrics", "a{ 1\n");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error while linting: "), "{err}");
}

#[test]
fn queries_are_formatted_and_edited() {
    let tool = Tool::new();
    for (line, code, out) in [
        ("--experimental promql format sum(up)by(job)", 0, "sum by (job) (up)\n"),
        (
            "promql --experimental label-matchers set a+rate(b{x=\"y\"}[5m]) x z",
            0,
            "a{x=\"z\"} + rate(b{x=\"z\"}[5m])\n",
        ),
        ("--experimental promql label-matchers set -t =~ a x z.*", 0, "a{x=~\"z.*\"}\n"),
        ("--experimental promql label-matchers delete a{x=\"y\",z=\"1\"} x", 0, "a{z=\"1\"}\n"),
        (
            "--experimental --enable-feature=promql-experimental-functions promql format mad_over_time(a[5m])",
            0,
            "mad_over_time(a[5m])\n",
        ),
        (
            "--experimental promql format --enable-feature=promql-experimental-functions info(a)",
            0,
            "info(a)\n",
        ),
        ("--experimental promql format mad_over_time(a[5m])", 1, ""),
        ("promql format up", 1, ""),
        ("--experimental promql format sum(", 1, ""),
    ] {
        let (found, said, err) = tool.run(line, "");
        assert_eq!((found, said.as_str()), (Some(code), out), "{line}: {err}");
    }
}

#[test]
fn what_is_not_there_says_so() {
    let tool = Tool::new();
    for (line, wanted) in [
        ("bogus", "promtool: error: expected command but got \"bogus\", try --help"),
        ("check rules --bogus", "promtool: error: unknown long flag '--bogus', try --help"),
        ("query series http://x", "not provided, try --help"),
        ("query analyze --server=x --type=y --match=z", "analyze type is y, must be"),
        ("query analyze --server=x --type=classichistograms --match=z", "must have a '_sum' suffix"),
        ("tsdb create-blocks-from openmetrics x", "takes no Prometheus blocks"),
        ("tsdb bench write --out=x", "tsdb bench is not available"),
        ("check service-discovery a.yml job", "path 'a.yml' does not exist"),
        ("query instant http://127.0.0.1:1 up", "query error: "),
        (
            "query instant http://127.0.0.1:1 up --time=x",
            "error parsing evaluation time: cannot parse \"x\" to a valid timestamp",
        ),
        ("query range http://127.0.0.1:1 up --start=5 --end=4", "start time is not before end time"),
        ("check healthy --url=http://127.0.0.1:1", "127.0.0.1:1/-/healthy"),
        (
            "debug metrics http://127.0.0.1:1",
            "error completing debug command: error executing HTTP request: ",
        ),
    ] {
        let (code, _, err) = tool.run(line, "");
        assert!(err.contains(wanted), "{line}: {err}");
        assert_eq!(code, Some(1), "{line}");
    }
}

#[test]
fn unit_tests_run_under_this_name_and_as_a_subcommand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unit_tests");
    let tool = Tool::new();
    let junit = tool.0.path().join("results.xml");
    let mut with_results = Command::new(tool.0.path().join("promtool"));
    let results = format!("--junit={}", junit.display());
    let (code, ..) = output(with_results.args(["test", &results, "rules", "passes.yml"]), &folder, "");
    assert_eq!(code, Some(0));
    assert!(std::fs::read_to_string(junit).expect("written").contains("failures=\"0\""));
    let mut own = Command::new(tool.0.path().join("promtool"));
    let mut sub = Command::new(env!("CARGO_BIN_EXE_vedette-agent"));
    for command in
        [own.args(["test", "rules", "passes.yml"]), sub.args(["promtool", "test", "rules", "passes.yml"])]
    {
        let (code, out, err) = output(command, &folder, "");
        assert_eq!((code, out.as_str()), (Some(0), "Unit Testing:  passes.yml\n  SUCCESS\n\n"), "{err}");
    }
}

#[test]
fn prometheus_wants_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("prometheus");
    symlink(env!("CARGO_BIN_EXE_vedette-agent"), &program).expect("linked");
    let (code, out, err) = output(&mut Command::new(&program), dir.path(), "");
    assert_eq!(code, Some(2));
    assert!(format!("{out}{err}").contains("prometheus.yml"), "{out}{err}");
    let (code, _, err) = output(Command::new(&program).arg("--bogus"), dir.path(), "");
    assert_eq!(code, Some(2));
    assert!(err.contains("--bogus"), "{err}");
}

#[test]
fn a_jobs_targets_are_shown_as_relabelling_leaves_them() {
    let tool = Tool::new();
    tool.file("t.json", "[{\"targets\": [\"c:3\"], \"labels\": {\"x\": \"y\"}}]");
    tool.file(
        "a.yml",
        "scrape_configs:\n- job_name: j\n  static_configs: [{targets: [\"a:1\", \"b:2\"]}]\n  file_sd_configs: [{files: [t.json]}]\n  \
         relabel_configs: [{source_labels: [__address__], regex: \"b.*\", action: drop}]\n- job_name: other\n",
    );
    let (code, out, err) = tool.run("check service-discovery a.yml j", "");
    assert_eq!(code, Some(0), "{err}");
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let labels: Vec<String> =
        found.as_array().expect("a list").iter().map(|one| one["labels"].to_string()).collect();
    let wanted = [r#"{"instance":"a:1","job":"j"}"#, "{}", r#"{"instance":"c:3","job":"j","x":"y"}"#];
    assert_eq!(labels, wanted);
    assert_eq!(found[1]["discoveredLabels"]["__address__"], "b:2");
    let (code, _, err) = tool.run("check service-discovery a.yml k", "");
    assert_eq!((code, err.as_str()), (Some(1), "Job k not found. Select one of:\n\tj\n\tother\n"));
}
