//! Our own configurations: good ones become these values, bad ones are refused with exactly the
//! lines of the `.err` file beside them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Auth, Proxy, Source};
use model::Labels;
use proptest::prelude::*;
use vedette_config::{Config, Loaded};

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(testdata(folder)).expect("readable");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

fn load(name: &str) -> Loaded {
    let text = std::fs::read_to_string(testdata("good").join(name)).expect("readable");
    let variable = |name: &str| (name == "HOST").then(|| "web".to_owned());
    Config::parse_with(&text, Path::new("/etc/v/vedette.yml"), &variable)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn bad_files_are_refused_with_exactly_these_lines() {
    let files = files("bad");
    assert!(files.len() >= 10);
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().expect("a name");
        let text = std::fs::read_to_string(&path).expect("readable");
        let found = match Config::parse(&text, Path::new(name)) {
            Ok(_) => "loads".to_owned(),
            Err(errors) => errors.to_string(),
        };
        let wanted = std::fs::read_to_string(path.with_extension("err")).unwrap_or_default();
        if found.trim_end() != wanted.trim_end() {
            wrong.push(format!("== {}\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_empty_file_has_prometheuss_defaults() {
    let loaded = load("empty.yml");
    assert!(loaded.scrape_configs.is_empty() && loaded.unsupported().is_empty());
    assert_eq!(loaded.global.scrape_interval, Duration::from_secs(60));
    assert_eq!(loaded.global.scrape_timeout, Duration::from_secs(10));
    assert_eq!(loaded.global.evaluation_interval, Duration::from_secs(60));
    assert!(loaded.vedette.agent.host.enabled && loaded.vedette.agent.federation.is_none());
}

#[test]
fn an_agents_file_becomes_checked_types() {
    let loaded = load("agent.yml");
    let later: Vec<&str> = loaded.unsupported().iter().map(|place| place.message.as_str()).collect();
    assert!(matches!(later.as_slice(), [only] if only.contains("local_only")), "{later:?}");
    let labels = Labels::from_pairs([("site", "berlin"), ("host", "web-1"), ("price", "5$")]);
    assert_eq!(loaded.global.external_labels, labels);
    assert_eq!(loaded.notifier.external_labels, labels);
    assert_eq!(loaded.rule_files, [PathBuf::from("/etc/v/rules.yml"), PathBuf::from("/etc/v/more/*.yml")]);
    let [node, secured, bearer] = loaded.scrape_configs.as_slice() else { panic!("three jobs") };
    assert_eq!((node.interval, node.timeout), (Duration::from_secs(5), Duration::from_secs(5)));
    assert_eq!((node.sample_limit, node.body_size_limit), (2000, 15 << 20));
    assert_eq!(node.discovery.statics[0].labels, Labels::from_pairs([("rack", "1.10"), ("dc", "on")]));
    assert_eq!(node.relabel_configs.len(), 3);
    assert_eq!(secured.interval, Duration::from_secs(15));
    assert_eq!(secured.params, [("module".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
    let basic =
        Auth::Basic { username: Some(Source::inline("me")), password: Some(Source::inline("hunter2")) };
    assert_eq!(secured.http.auth, Some(basic));
    assert_eq!(secured.http.tls.ca, Some(Source::File("/etc/v/ca.pem".into())));
    assert!(matches!(&secured.http.proxy, Proxy::Url { no_proxy, .. } if no_proxy == "localhost"));
    assert_eq!(secured.http.headers.len(), 2);
    assert_eq!(secured.discovery.files[0].files(), [PathBuf::from("/etc/v/targets/*.json")]);
    let token = Source::File("/abs/token".into());
    assert_eq!(bearer.http.auth, Some(Auth::Header { scheme: "Bearer".to_owned(), credentials: token }));
    assert_eq!(bearer.scrape_protocols.len(), 1);
    let manager = &loaded.notifier.alertmanagers[0];
    assert_eq!((manager.path_prefix.as_str(), manager.timeout), ("/am", Duration::from_secs(3)));
    assert_eq!(loaded.storage.retention_time, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(loaded.storage.retention_size, Some(10 << 30));
    let agent = &loaded.vedette.agent;
    let link = agent.federation.as_ref().expect("a pair");
    assert_eq!((link.endpoints.len(), link.flush_interval), (2, Duration::from_secs(2)));
    assert_eq!(link.local_only.len(), 2);
    assert_eq!(link.alertmanagers[0].statics[0].targets, ["a:9093", "b:9093"]);
    let moot: Vec<&str> =
        loaded.moot().iter().map(|place| place.message.split(' ').next().unwrap_or("")).collect();
    assert_eq!(moot, ["gogc", "chunk_encoding", "stale_series_compaction_threshold"]);
    assert_eq!(agent.host.collectors, ["cpu", "loadavg"]);
    let shown = loaded.redacted_yaml();
    assert!(!shown.contains("hunter2") && shown.contains("password: <secret>"), "{shown}");
    Config::parse(shown, Path::new("shown.yml")).expect("what is shown loads again");
}

#[test]
fn a_federations_file_becomes_checked_types() {
    let section = load("federation.yml").vedette.federation;
    let pair = section.pair.expect("a pair");
    assert_eq!((pair.name.as_str(), pair.replicas.len()), ("default", 2));
    assert_eq!(pair.witness.expect("a witness").grpc, "w.example:9094");
    assert_eq!(section.alertmanager_config, Some(PathBuf::from("/etc/v/alertmanager.yml")));
    assert_eq!(section.rules_hold, Duration::from_secs(7200));
    assert_eq!(section.rules_query_offset, Some(Duration::from_secs(20)));
}

#[test]
fn what_is_not_built_is_named_with_its_place() {
    let text = "storage: {exemplars: {max_exemplars: 9}, tsdb: {out_of_order_time_window: 30m}}\nscrape_configs:\n  - job_name: a\n    scrape_failure_log_file: x\n    always_scrape_classic_histograms: false\n    consul_sd_configs: [{server: \"c:1\"}]\nremote_write:\n  - url: http://x\n";
    let loaded = Config::parse(text, Path::new("f.yml")).expect("valid");
    let places: Vec<String> = loaded
        .unsupported()
        .iter()
        .map(|note| {
            format!("{}:{} {}", note.at.line, note.at.column, note.message.split(' ').next().unwrap_or(""))
        })
        .collect();
    assert_eq!(loaded.storage.exemplars_max, Some(9));
    assert_eq!(loaded.storage.out_of_order_window, Duration::from_secs(1_800));
    assert_eq!(places, ["6:5 consul_sd_configs", "7:1 remote_write"]);
}

#[test]
fn logs_and_otlp_become_settings() {
    let text = "global: {query_log_file: q.log, scrape_failure_log_file: /f.log, scrape_interval: 7s}\n\
                otlp: {translation_strategy: NoTranslation, promote_resource_attributes: [host.name], \
                keep_identifying_resource_attributes: true, label_name_underscore_sanitization: false}\n\
                scrape_configs:\n  - job_name: a\n    authorization: {credentials: hidden}\n    honor_labels: true\n  \
                - job_name: b\n    scrape_failure_log_file: own.log\n";
    let loaded = Config::parse(text, Path::new("/etc/v/f.yml")).expect("valid");
    assert_eq!(loaded.unsupported().len(), 0);
    assert_eq!(loaded.global.query_log_file, Some(PathBuf::from("/etc/v/q.log")));
    let logs: Vec<_> = loaded.scrape_configs.iter().filter_map(|job| job.failure_log.clone()).collect();
    assert_eq!(logs, [PathBuf::from("/f.log"), PathBuf::from("/etc/v/own.log")]);
    let otlp = &loaded.otlp;
    assert_eq!((otlp.strategy, otlp.keeps_identifying), (ingest::Strategy::NoTranslation, true));
    assert_eq!((otlp.sanitizes_underscores, otlp.preserves_underscores), (false, true));
    assert_eq!(otlp.promoted, ["host.name"]);
    assert_eq!(
        loaded.job_yaml("a"),
        Some(
            "job_name: a\nauthorization:\n  credentials: <secret>\nhonor_labels: true\nhonor_timestamps: true\n\
             track_timestamps_staleness: false\nscrape_interval: 7s\nscrape_timeout: 7s\nmetrics_path: /metrics\n\
             scheme: http\nenable_compression: true\n"
        )
    );
    assert_eq!(loaded.job_yaml("c"), None);
}

#[test]
fn the_files_of_the_demo_load_and_ask_for_nothing_unbuilt() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo");
    for name in ["agent.yml", "federation.yml"] {
        let loaded = Config::load(&demo.join(name)).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.unsupported().is_empty(), "{:?}", loaded.unsupported());
        loaded.check_files().unwrap_or_else(|errors| panic!("{errors}"));
        for path in loaded.rule_paths() {
            let groups = vedette_config::load_rules(&path, loaded.global.names);
            assert!(!groups.unwrap_or_else(|errors| panic!("{errors}")).is_empty());
        }
    }
}

#[test]
fn missing_files_are_found_only_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vedette.yml");
    std::fs::write(&path, "rule_files: [a.yml, b.yml, 'c*.yml']\n").expect("written");
    std::fs::write(folder.path().join("a.yml"), "groups: []\n").expect("written");
    let loaded = Config::load(&path).expect("valid");
    assert_eq!(loaded.rule_paths(), [folder.path().join("a.yml")]);
    let missing = loaded.check_files().expect_err("b.yml is missing").to_string();
    assert!(
        missing.starts_with(&format!("{}:1:21: ", path.display())) && missing.contains("b.yml"),
        "{missing}"
    );
    let error = Config::load(&folder.path().join("none.yml")).expect_err("not there").to_string();
    assert!(error.contains("none.yml:1:1: cannot be read"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_good_file_with_random_damage_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3, "[a-z0-9:\\-{}\\[\\]\"'$&*# \n\t]{1,4}"), 1..6),
    ) {
        let good = std::fs::read_to_string(testdata("good").join("agent.yml")).expect("readable");
        let mut text: Vec<char> = good.chars().collect();
        for (at, kind, piece) in edits {
            let at = at.index(text.len());
            match kind {
                0 => { text.remove(at); }
                1 => { text.splice(at..at, piece.chars()); }
                _ => { let end = (at + piece.len()).min(text.len()); text.splice(at..end, piece.chars()); }
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(errors) = Config::parse(&text, Path::new("f.yml")) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.to_string().lines().all(|line| line.starts_with("f.yml:")), "{errors}");
        }
    }
}
