//! Debian's promtool and ours say the same of the same files, and print the same answers of the same server.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use chaos_tests::{Agent, AgentOptions, Folder, alone, report};
use testkit::{Peer, conformance, peer, program};

/// Files that 2.42 judges otherwise than 3.14, and why.
const JUDGED_ANEW: [(&str, &str); 10] = [
    ("scrape_config_files_duplicate.bad.yml", "2.42 reads no further files, and alone this one is good"),
    (
        "scrape_config_files_global_duplicate.bad.yml",
        "2.42 reads no further files, and alone this one is good",
    ),
    ("utf-8_annotation.good.yaml", "names are UTF-8 since 3.0"),
    ("utf-8_lname.good.yaml", "names are UTF-8 since 3.0"),
    ("azure_bearertoken_basicauth.bad.yml", "azure takes an http_config since 2.49"),
    ("config_with_deprecated_am_api_config.yml", "alertmanagers' API v1 is gone since 3.0"),
    ("lightsail_token_file.bad.yml", "2.42 takes a token and its file"),
    ("puppetdb_token_file.bad.yml", "2.42 takes a token and its file"),
    ("remote_write_queue_capacity_zero.bad.yml", "2.42 takes a queue without room"),
    ("remote_write_queue_min_shards_zero.bad.yml", "2.42 takes a queue without shards"),
];

/// Keys that 2.42 does not know, or that Debian builds it without.
const KEYS_SINCE: [&str; 32] = [
    "always_scrape_classic_histograms",
    "body_size_limit",
    "chunk_encoding",
    "consul_sd_configs",
    "convert_classic_histograms_to_nhcb",
    "enable_compression",
    "extra_scrape_metrics",
    "fallback_scrape_protocol",
    "http_headers",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "linode_sd_configs",
    "metric_name_escaping_scheme",
    "metric_name_validation_scheme",
    "nomad_sd_configs",
    "oci_sd_configs",
    "otlp",
    "outscale_sd_configs",
    "protobuf_message",
    "retention",
    "runtime",
    "sample_limit",
    "scrape_config_files",
    "scrape_failure_log_file",
    "scrape_native_histograms",
    "scrape_protocols",
    "stackit_sd_configs",
    "stale_series_compaction_threshold",
    "target_limit",
];

struct Tools {
    folder: Folder,
    theirs: PathBuf,
    ours: PathBuf,
}

/// What a call came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// What a script looks at: the exit code, and the words.
    fn verdict(&self) -> (Option<i32>, usize, usize) {
        let both = format!("{}{}", self.out, self.err);
        (self.code, both.matches("SUCCESS").count(), both.matches("FAILED").count())
    }
}

impl Tools {
    fn new() -> Option<Self> {
        let theirs = peer(Peer::Promtool)?;
        let folder = Folder::new();
        let ours = folder.path().join("promtool");
        symlink(program("vedette-agent"), &ours).expect("linked");
        Some(Self { folder, theirs, ours })
    }

    fn both(&self, dir: &Path, arguments: &[&str]) -> (Said, Said) {
        let run = |program: &Path| {
            let output = Command::new(program).args(arguments).current_dir(dir).output().expect("runs");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
        };
        (run(&self.theirs), run(&self.ours))
    }
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    let mut names: Vec<String> =
        files.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The keys that an error of Prometheus's says are unknown.
fn unknown_keys(said: &Said) -> Vec<&str> {
    let after = said.err.split("field ").skip(1);
    after.filter_map(|rest| rest.split_once(" not found in type")).map(|(key, _)| key).collect()
}

/// Checks every file of a folder; gives how many were judged alike, and how many otherwise for a reason.
fn check_all(tools: &Tools, dir: &Path, call: &[&str]) -> (usize, usize) {
    let (mut alike, mut excused) = (0, 0);
    for name in files(dir) {
        let arguments: Vec<&str> = call.iter().copied().chain([name.as_str()]).collect();
        let (theirs, ours) = tools.both(dir, &arguments);
        if theirs.verdict() == ours.verdict() {
            alike += 1;
            continue;
        }
        let keys = unknown_keys(&theirs);
        let newer =
            !name.contains(".bad.") && !keys.is_empty() && keys.iter().all(|key| KEYS_SINCE.contains(key));
        let known = JUDGED_ANEW.iter().any(|(file, _)| *file == name);
        assert!(newer || known, "{arguments:?}: theirs {theirs:#?}, ours {ours:#?}");
        excused += 1;
    }
    (alike, excused)
}

#[tokio::test]
async fn rule_files_are_judged_alike() {
    let (Some(tools), Some(dir)) = (Tools::new(), conformance("rules")) else { return };
    let (alike, excused) = check_all(&tools, &dir, &["check", "rules"]);
    assert!(alike >= 10, "{alike}");
    report(&format!("promtool: {alike} rule files judged alike, {excused} otherwise since 2.42"));
}

#[tokio::test]
async fn configurations_are_judged_alike() {
    let (Some(tools), Some(dir)) = (Tools::new(), conformance("prometheus-config")) else { return };
    for call in [&["check", "config"][..], &["check", "config", "--syntax-only"]] {
        let (alike, excused) = check_all(&tools, &dir, call);
        assert!(alike >= 80, "{alike}");
        report(&format!("promtool: {call:?}: {alike} files judged alike, {excused} otherwise since 2.42"));
    }
}

#[tokio::test]
async fn unit_tests_are_judged_alike() {
    let Some(tools) = Tools::new() else { return };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/unit_tests");
    let (alike, excused) = check_all(&tools, &dir, &["test", "rules"]);
    assert_eq!((alike, excused), (files(&dir).len(), 0));
    // Where both read the file, they print the same, too.
    for name in files(&dir) {
        let (theirs, ours) = tools.both(&dir, &["test", "rules", &name]);
        assert_eq!(theirs.out, ours.out, "{name}");
        if !name.starts_with("unknown") {
            assert_eq!(theirs.err, ours.err, "{name}");
        }
    }
    report(&format!("promtool: {alike} unit-test files judged alike"));
}

#[tokio::test]
async fn metrics_are_judged_alike() {
    let Some(tools) = Tools::new() else { return };
    let Some(dir) = conformance("exposition") else { return };
    for name in files(&dir).iter().filter(|name| name.ends_with(".prom.txt")) {
        let run = |program: &Path| {
            let page = std::fs::File::open(dir.join(name)).expect("a page");
            let output = Command::new(program).args(["check", "metrics"]).stdin(page).output().expect("runs");
            let mut lines: Vec<String> =
                String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            lines.sort();
            lines.dedup();
            (output.status.code(), lines)
        };
        let (theirs, ours) = (run(&tools.theirs), run(&tools.ours));
        assert_eq!(theirs.0, ours.0, "{name}");
        let lost: Vec<_> = theirs.1.iter().filter(|line| !ours.1.contains(line)).collect();
        assert!(lost.is_empty(), "{name}: {lost:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_alike() {
    let _turn = alone().await;
    let Some(tools) = Tools::new() else { return };
    let options =
        AgentOptions { scrape: "  []\n".to_owned(), interval: "1s".to_owned(), ..AgentOptions::default() };
    let agent = Agent::new(&tools.folder, "asked", &options).with_flag("--web.enable-remote-write-receiver");
    let mut agent = agent;
    agent.start().await;
    let url = agent.url();
    let at = chaos_tests::now_ms() / 1000 - 60;
    let page = format!(
        "# TYPE a counter\na{{x=\"1\"}} 1 {0}000\na{{x=\"2\"}} 2.5 {0}000\nb NaN {0}000\na{{x=\"1\"}} 3 {1}000\n",
        at,
        at + 15
    );
    let file = tools.folder.file("page.prom", &page);
    let dir = tools.folder.path();
    let ours = |arguments: &[&str]| {
        let output = Command::new(&tools.ours).args(arguments).current_dir(dir).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let pushed = ours(&["push", "metrics", &format!("{url}/api/v1/write"), &file.to_string_lossy()]);
    assert_eq!(pushed.0, Some(0), "{}", pushed.1);
    let (time, end) = (format!("--time={at}"), format!("--end={}", at + 30));
    let start = format!("--start={at}");
    for arguments in [
        vec!["query", "instant", &time, &url, "a"],
        vec!["query", "instant", &time, &url, "{__name__=~\"a|b\"}"],
        vec!["query", "instant", &time, &url, "1.5"],
        vec!["query", "instant", &time, &url, "a[1m]"],
        vec!["query", "instant", &time, &url, "sum(a) + 1"],
        vec!["query", "instant", &time, &url, "nothing"],
        vec!["query", "instant", &time, &url, "sum("],
        vec!["query", "range", &start, &end, "--step=15s", &url, "a"],
        vec!["query", "range", &start, &end, &url, "sum(a) * 1e-9"],
        vec!["query", "range", &end, &format!("--start={}", at + 40), &url, "a"],
        vec!["query", "series", "--match=a", "--match=b", &url],
        vec!["query", "series", "--match={", &url],
        vec!["query", "labels", &url, "x"],
        vec!["query", "labels", "--match=b", &url, "job"],
        vec!["query", "labels", &url, "nothing"],
    ] {
        let (theirs, ours) = tools.both(dir, &arguments);
        assert_eq!(
            (theirs.code, &theirs.out, &theirs.err),
            (ours.code, &ours.out, &ours.err),
            "{arguments:?}"
        );
    }
    let json = ours(&["query", "instant", "-o", "json", &time, &url, "b"]);
    assert_eq!(
        json.1,
        format!("[{{\"metric\":{{\"__name__\":\"b\",\"job\":\"promtool\"}},\"value\":[{at},\"NaN\"]}}]\n")
    );
    for check in ["healthy", "ready"] {
        assert_eq!(ours(&["check", check, &format!("--url={url}")]).0, Some(0), "{check}");
    }
    assert_eq!(ours(&["debug", "metrics", &url]).0, Some(0));
    let listed = Command::new("tar").args(["-tzf", "debug.tar.gz"]).current_dir(dir).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "metrics.txt\n");
    agent.stop().await.expect("ends");
    let data = agent.data().to_string_lossy().into_owned();
    let dumped = ours(&["tsdb", "dump", "--match=b", &data]);
    assert_eq!(dumped.1, format!("{{__name__=\"b\", job=\"promtool\"}} NaN {at}000\n"));
    let dumped = ours(&["tsdb", "dump-openmetrics", "--match=a{x=\"2\"}", &data]);
    assert_eq!(dumped.1, format!("a{{job=\"promtool\", x=\"2\"}} 2.5 {at}.000\n# EOF\n"));
    let listed = ours(&["tsdb", "list", &data]);
    assert!(listed.0 == Some(0) && listed.1.starts_with("BLOCK ID"), "{listed:?}");
}
