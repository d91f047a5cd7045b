//! Jobs and targets that come, stay, change and go.

mod support;

use std::time::Duration;

use model::Labels;
use support::{Exporter, Scene, job, text, until};
use vedette_scrape::Health;

#[tokio::test]
async fn an_unchanged_job_runs_on_and_a_changed_one_keeps_its_series() {
    let exporter = Exporter::start(|| text("a 1\n")).await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    scene.health(Health::Up).await;
    scene.manager.apply(vec![job("j", &[exporter.address])]).await.expect("a valid job");
    assert_eq!(scene.target().expect("the target").health, Health::Up, "the same loop goes on");

    let mut changed = job("j", &[exporter.address]);
    changed.sample_limit = 1_000;
    scene.manager.apply(vec![changed]).await.expect("a valid job");
    let before = scene.memory.values(r#"a{instance="i", job="j"}"#).len();
    let a = until("more samples", || {
        Some(scene.memory.values(r#"a{instance="i", job="j"}"#)).filter(|values| values.len() > before + 2)
    })
    .await;
    assert!(a.iter().all(|value| *value == Some(1.0)), "no stale marker: {a:?}");
    let added = scene.memory.values(r#"scrape_series_added{instance="i", job="j"}"#);
    assert_eq!(added.iter().flatten().sum::<f64>(), 1.0, "the series was new once: {added:?}");
    scene.stop().await;
}

#[tokio::test]
async fn a_removed_job_ends_its_series_and_a_stopped_process_does_not() {
    let exporter = Exporter::start(|| text("a 1\n")).await;
    let scene = Scene::new();
    scene
        .manager
        .apply(vec![job("j", &[exporter.address]), job("k", &[exporter.address])])
        .await
        .expect("valid jobs");
    let up = || {
        Some(scene.manager.targets().active)
            .filter(|all| all.len() == 2 && all.iter().all(|one| one.health == Health::Up))
    };
    until("both jobs", up).await;
    scene.manager.apply(vec![job("k", &[exporter.address])]).await.expect("a valid job");
    assert_eq!(scene.manager.jobs(), ["k"]);
    for series in [r#"a{instance="i", job="j"}"#, r#"up{instance="i", job="j"}"#] {
        until(series, || scene.memory.values(series).last().copied().filter(Option::is_none)).await;
        assert_eq!(scene.memory.values(series).iter().filter(|value| value.is_none()).count(), 1);
    }
    assert!(!scene.registry.encode_text().contains("scrape_job=\"j\""), "its metrics are gone too");
    scene.manager.stop(Duration::from_secs(20)).await.expect("all loops end");
    assert!(scene.memory.values(r#"a{instance="i", job="k"}"#).iter().all(Option::is_some));
}

#[tokio::test]
async fn targets_follow_a_file() {
    let (one, two) = (Exporter::start(|| text("a 1\n")).await, Exporter::start(|| text("a 2\n")).await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("targets.yml");
    let write = |address: std::net::SocketAddr, name: &str| {
        let text = format!("- targets: ['{address}']\n  labels: {{instance: {name}}}\n");
        std::fs::write(&path, text).expect("written");
    };
    write(one.address, "one");
    let mut config = job("j", &[]);
    let files =
        discovery::FileSdConfig::new(vec![path.clone()], Duration::from_secs(300)).expect("a valid path");
    config.discovery = discovery::DiscoveryConfig { statics: Vec::new(), files: vec![files] };
    let scene = Scene::running(config).await;
    scene.health(Health::Up).await;
    write(two.address, "two");
    until("the new target", || scene.memory.values(r#"a{instance="two", job="j"}"#).first().copied()).await;
    let old = r#"a{instance="one", job="j"}"#;
    until("the end of the old one", || scene.memory.values(old).last().copied().filter(Option::is_none))
        .await;
    scene.stop().await;
}

#[tokio::test]
async fn dropped_targets_are_shown_up_to_the_limit() {
    let drop = model::RelabelParts {
        action: Some("drop".to_owned()),
        source_labels: Some(vec!["instance".to_owned()]),
        regex: Some("i".to_owned()),
        ..Default::default()
    };
    let mut config =
        job("j", &["127.0.0.1:1".parse().expect("an address"), "127.0.0.1:2".parse().expect("an address")]);
    config.relabel_configs = vec![model::RelabelConfig::new(drop).expect("a valid rule")];
    config.keep_dropped_targets = 1;
    let scene = Scene::running(config).await;
    let targets = until("the targets", || {
        Some(scene.manager.targets()).filter(|targets| targets.dropped_counts.get("j") == Some(&2))
    })
    .await;
    assert_eq!((targets.active.len(), targets.dropped.len()), (0, 1));
    let labels: &Labels = &targets.dropped[0].discovered_labels;
    assert_eq!(labels.get("__address__"), Some("127.0.0.1:1"));
    scene.stop().await;
}

#[tokio::test]
async fn a_job_that_cannot_be_made_changes_nothing() {
    let exporter = Exporter::start(|| text("a 1\n")).await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    let mut bad = job("bad", &[]);
    bad.http.tls.ca = Some(client::Source::inline("garbage"));
    let error = scene.manager.apply(vec![bad]).await.expect_err("no certificate");
    assert!(error.to_string().starts_with("scrape job \"bad\": unable to use certificate"), "{error}");
    assert_eq!(scene.manager.jobs(), ["j"]);
    scene.stop().await;
}
