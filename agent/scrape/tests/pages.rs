//! What a target's pages become.

mod support;

use std::sync::atomic::Ordering;

use model::{MetricType, RelabelConfig, RelabelParts};
use support::{Exporter, Memory, Scene, job, text, until};
use vedette_scrape::Health;

const UP: &str = r#"up{instance="i", job="j"}"#;

/// Whether the values so far begin like this.
fn begins(memory: &Memory, series: &str, values: &[Option<f64>]) -> Option<()> {
    memory.values(series).starts_with(values).then_some(())
}

#[tokio::test]
async fn a_page_becomes_series_and_a_report() {
    let mut number = 0;
    let exporter = Exporter::start(move || {
        number += 1;
        text(format!(
            "# HELP a Some help.\n# TYPE a counter\na{{x=\"1\"}} {number}\nb -2.50\nb -2.50\nc 1e300\n"
        ))
    })
    .await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    let series = r#"a{instance="i", job="j", x="1"}"#;
    until("three scrapes", || begins(&scene.memory, series, &[Some(1.0), Some(2.0), Some(3.0)])).await;
    let target = scene.health(Health::Up).await;
    assert_eq!(target.scrape_url, format!("http://{}/metrics", exporter.address));
    assert_eq!(target.global_url, format!("http://me:{}/metrics", exporter.address.port()));
    assert_eq!((target.last_error.as_str(), target.scrape_pool.as_str()), ("", "j"));
    assert_eq!(target.discovered_labels.get("__address__"), Some(&*exporter.address.to_string()));
    for (series, value) in [
        (r#"b{instance="i", job="j"}"#, -2.5),
        (r#"c{instance="i", job="j"}"#, 1e300),
        (UP, 1.0),
        (r#"scrape_samples_scraped{instance="i", job="j"}"#, 4.0),
        (r#"scrape_samples_post_metric_relabeling{instance="i", job="j"}"#, 4.0),
        (r#"scrape_series_added{instance="i", job="j"}"#, 3.0),
    ] {
        assert_eq!(scene.memory.values(series).first(), Some(&Some(value)), "{series}");
    }
    assert_eq!(scene.memory.values(r#"scrape_series_added{instance="i", job="j"}"#)[1], Some(0.0));
    assert_eq!(scene.memory.layouts.load(Ordering::SeqCst), 2, "one for the page, one for the report");
    let times: Vec<i64> = scene.memory.samples(series).iter().map(|(time, _)| *time).collect();
    let up: Vec<i64> = scene.memory.samples(UP).iter().map(|(time, _)| *time).collect();
    assert_eq!(times[..3], up[..3], "a scrape has one time");

    let metadata = scene.memory.metadata.lock()["a"].clone();
    assert_eq!((metadata.metric_type, &*metadata.help), (MetricType::Counter, "Some help."));
    let shown = scene.manager.metadata();
    assert_eq!(shown[0].families["a"], metadata);
    let seen = exporter.seen.lock().clone();
    assert!(seen.iter().all(|request| request.peer == seen[0].peer), "the connection is kept alive");
    assert_eq!(seen[0].headers["accept-encoding"], "identity", "both are on one host");
    assert_eq!(seen[0].headers["x-prometheus-scrape-timeout-seconds"], "0.05");
    scene.stop().await;
}

#[tokio::test]
async fn a_series_that_vanishes_gets_one_marker() {
    let mut number = 0;
    let exporter = Exporter::start(move || {
        number += 1;
        text(match number {
            1 => "a 1\nb 1\nown 1 1000\n",
            2 => "a 2\nc 2\n",
            3 => "garbage\n",
            _ => "a 4\n",
        })
    })
    .await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    let of = |name: &str| format!("{name}{{instance=\"i\", job=\"j\"}}");
    until("recovery", || {
        begins(&scene.memory, &of("a"), &[Some(1.0), Some(2.0), None, Some(4.0), Some(4.0)])
    })
    .await;
    assert_eq!(scene.memory.values(&of("b")), [Some(1.0), None]);
    assert_eq!(scene.memory.values(&of("c")), [Some(2.0), None]);
    assert_eq!(scene.memory.samples(&of("own")), [(1000, 1.0)], "its own time, no marker");
    assert_eq!(scene.memory.values(UP)[..4], [Some(1.0), Some(1.0), Some(0.0), Some(1.0)]);
    assert_eq!(
        scene.memory.values(&of("scrape_series_added"))[..4],
        [Some(3.0), Some(1.0), Some(0.0), Some(0.0)]
    );
    let up: Vec<i64> = scene.memory.samples(UP).iter().map(|(time, _)| *time).collect();
    assert_eq!(
        scene.memory.samples(&of("b"))[1].0,
        up[1],
        "the marker has the time of the scrape that missed it"
    );
    scene.stop().await;
}

#[tokio::test]
async fn own_timestamps_count_when_honored() {
    let exporter = Exporter::start(|| text("a 1 1000\na 2 2000\nb 3 1500\n")).await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    scene.health(Health::Up).await;
    assert_eq!(scene.memory.samples(r#"a{instance="i", job="j"}"#), [(1000, 1.0), (2000, 2.0)]);
    assert_eq!(scene.memory.samples(r#"b{instance="i", job="j"}"#), [(1500, 3.0)]);
    scene.stop().await;

    let mut config = job("j", &[exporter.address]);
    config.honor_timestamps = false;
    let scene = Scene::running(config).await;
    scene.health(Health::Up).await;
    let (time, value) = scene.memory.samples(r#"a{instance="i", job="j"}"#)[0];
    assert!(time > 1_600_000_000_000 && value == 1.0);
    let page = scene.registry.encode_text();
    assert!(!page.contains("duplicate_timestamp_total 0"), "the second value of one time is counted: {page}");
    scene.stop().await;
}

#[tokio::test]
async fn labels_conflict_and_relabelling_follows() {
    let exporter = Exporter::start(|| text("a{job=\"x\"} 1\nb 2\nsecret{p=\"1\"} 3\n")).await;
    let drop = RelabelParts {
        action: Some("drop".to_owned()),
        source_labels: Some(vec!["__name__".to_owned()]),
        regex: Some("secret".to_owned()),
        ..RelabelParts::default()
    };
    let mut config = job("j", &[exporter.address]);
    config.metric_relabel_configs = vec![RelabelConfig::new(drop).expect("a valid rule")];
    for (honor, series) in
        [(false, r#"a{exported_job="x", instance="i", job="j"}"#), (true, r#"a{instance="i", job="x"}"#)]
    {
        config.honor_labels = honor;
        let scene = Scene::running(config.clone()).await;
        scene.health(Health::Up).await;
        assert_eq!(scene.memory.values(series)[0], Some(1.0), "{series}");
        assert_eq!(scene.memory.values(r#"b{instance="i", job="j"}"#)[0], Some(2.0));
        assert!(scene.memory.values(r#"secret{instance="i", job="j", p="1"}"#).is_empty());
        let counts = ["scrape_samples_scraped", "scrape_samples_post_metric_relabeling"]
            .map(|name| scene.memory.values(&format!("{name}{{instance=\"i\", job=\"j\"}}"))[0]);
        assert_eq!(counts, [Some(3.0), Some(2.0)]);
        scene.stop().await;
    }
}

#[tokio::test]
async fn a_store_that_forgets_layouts_is_told_again() {
    let exporter = Exporter::start(|| text("a 1\n")).await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    scene.health(Health::Up).await;
    scene.memory.epoch.fetch_add(1, Ordering::SeqCst);
    let before = scene.memory.values(UP).len();
    until("further scrapes", || (scene.memory.values(UP).len() > before + 2).then_some(())).await;
    assert!(scene.memory.values(UP).iter().all(|value| *value == Some(1.0)), "no scrape failed");
    scene.stop().await;
}
