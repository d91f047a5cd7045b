//! Discovery against real files.

use std::path::Path;
use std::time::Duration;

use model::Labels;
use vedette_discovery::{
    Discovery, DiscoveryConfig, DiscoveryMetrics, FileSdConfig, StaticConfig, TargetGroup,
};

fn config(pattern: &Path) -> DiscoveryConfig {
    let files = FileSdConfig::new(vec![pattern.to_owned()], Duration::from_secs(300)).expect("a valid path");
    let statics =
        vec![StaticConfig { targets: vec!["s:1".to_owned()], labels: Labels::from_pairs([("a", "b")]) }];
    DiscoveryConfig { statics, files: vec![files] }
}

fn addresses(groups: &[TargetGroup]) -> Vec<&str> {
    groups.iter().flat_map(|group| group.targets.iter().map(|target| target.value("__address__"))).collect()
}

async fn until(groups: &mut tokio::sync::watch::Receiver<Vec<TargetGroup>>, expected: &[&str]) {
    let reached = groups.wait_for(|groups| addresses(groups) == expected);
    let outcome = tokio::time::timeout(Duration::from_secs(20), reached).await.map(|groups| groups.is_ok());
    assert!(matches!(outcome, Ok(true)), "expected {expected:?}, got {:?}", addresses(&groups.borrow()));
}

#[tokio::test]
async fn files_are_followed_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yaml, json) = (folder.path().join("a.yml"), folder.path().join("b.yml"));
    std::fs::write(&yaml, "- targets: [x:1, 'y:2']\n  labels: {dc: eu, port: 80}\n").expect("written");
    std::fs::write(folder.path().join("other.json"), "[]").expect("written");
    let registry = telemetry::Registry::new();
    let (tasks, metrics) = (env::Tasks::new(), DiscoveryMetrics::new(&registry));
    let discovery = Discovery::start(&config(&folder.path().join("*.yml")), &tasks, &metrics).await;
    let mut groups = discovery.groups();
    until(&mut groups, &["s:1", "x:1", "y:2"]).await;
    let expected =
        Labels::from_pairs([("dc", "eu"), ("port", "80"), ("__meta_filepath", &yaml.to_string_lossy())]);
    assert_eq!(groups.borrow()[1].labels, expected);
    assert_eq!(groups.borrow()[0].labels, Labels::from_pairs([("a", "b")]));

    std::fs::write(&json, "- targets: [z:3]\n- targets:\n").expect("written");
    until(&mut groups, &["s:1", "x:1", "y:2", "z:3"]).await;
    std::fs::write(&yaml, "- target: [x:1]\n").expect("written");
    std::fs::write(&json, "- targets: [z:4]\n").expect("written");
    until(&mut groups, &["s:1", "x:1", "y:2", "z:4"]).await;
    assert!(
        !registry.encode_text().contains("prometheus_sd_file_read_errors_total 0"),
        "the bad file is counted"
    );
    std::fs::remove_file(&yaml).expect("removed");
    until(&mut groups, &["s:1", "z:4"]).await;
    drop(discovery);
    tasks.shutdown(Duration::from_secs(10)).await.expect("discovery ends");
}

#[tokio::test]
async fn json_is_strict() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    let (tasks, metrics) = (env::Tasks::new(), DiscoveryMetrics::default());
    for (text, expected) in [
        (r#"[{"targets": ["x:1"], "labels": {"a": "b"}}]"#, vec!["s:1", "x:1"]),
        (r#"[{"targets": ["x:1"], "lables": {}}]"#, vec!["s:1"]),
        ("[null]", vec!["s:1"]),
        ("{", vec!["s:1"]),
    ] {
        std::fs::write(&path, text).expect("written");
        let discovery = Discovery::start(&config(&path), &tasks, &metrics).await;
        assert_eq!(addresses(&discovery.groups().borrow()), expected, "{text}");
    }
}
