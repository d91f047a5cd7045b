//! Target labels, URLs and label conflicts: one table each.

use model::{RelabelConfig, RelabelParts};

use super::*;

fn group(own: &[(&str, &str)], shared: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        targets: vec![Labels::from_pairs(own.iter().copied())],
        labels: Labels::from_pairs(shared.iter().copied()),
        source: "g".to_owned(),
    }
}

fn one(config: &ScrapeConfig, own: &[(&str, &str)], shared: &[(&str, &str)]) -> Result<Outcome, String> {
    populate(config, &group(own, shared)).next().expect("one target")
}

fn config() -> ScrapeConfig {
    let mut config = ScrapeConfig::new("j");
    config.params = vec![("a".to_owned(), vec!["1".to_owned(), "2 3".to_owned()])];
    config
}

#[test]
fn labels_and_url_come_from_target_group_and_job() {
    let own =
        [("__address__", "h:80"), ("x", "own"), ("__meta_m", "1"), ("__param_b", "c&d"), ("__tmp", "1")];
    let Ok(Outcome::Scraped(found)) = one(&config(), &own, &[("x", "group"), ("y", "group")]) else {
        panic!("a target")
    };
    let labels = [("instance", "h:80"), ("job", "j"), ("x", "own"), ("y", "group")];
    assert_eq!(found.labels, Labels::from_pairs(labels));
    assert_eq!(found.url, "http://h:80/metrics?a=1&a=2+3&b=c%26d");
    assert_eq!((found.interval.as_secs(), found.timeout.as_secs()), (60, 10));
    assert_eq!(found.discovered.get("__param_a"), Some("1"));
}

#[test]
fn labels_of_a_target_steer_its_scrape() {
    let own = [
        ("__address__", "h:9"),
        ("__scheme__", "https"),
        ("__metrics_path__", "/a?b c"),
        ("__scrape_interval__", "20s"),
        ("__scrape_timeout__", "5s"),
        ("__param_a", "9"),
        ("instance", "i"),
        ("job", "other"),
    ];
    let Ok(Outcome::Scraped(found)) = one(&config(), &own, &[]) else { panic!("a target") };
    assert_eq!(found.url, "https://h:9/a%3Fb%20c?a=9&a=2+3");
    assert_eq!(found.labels, Labels::from_pairs([("instance", "i"), ("job", "other")]));
    assert_eq!((found.interval.as_secs(), found.timeout.as_secs()), (20, 5));
}

/// Each of them is what relabelling leaves behind; without its label a parameter is what the job says.
#[test]
fn relabelling_steers_a_scrape() {
    let set = |label: &str, value: &str| RelabelParts {
        source_labels: Some(vec!["kind".to_owned()]),
        regex: Some("slow".to_owned()),
        target_label: Some(label.to_owned()),
        replacement: Some(value.to_owned()),
        ..RelabelParts::default()
    };
    let drop = |regex: &str| RelabelParts {
        action: Some("labeldrop".to_owned()),
        regex: Some(regex.to_owned()),
        ..RelabelParts::default()
    };
    let mut config = config();
    config.relabel_configs = [
        set("__scrape_interval__", "5m"),
        set("__scrape_timeout__", "90s"),
        set("__scheme__", "https"),
        set("__metrics_path__", "probe"),
        set("__param_target", "h:1/x"),
        set("__param_a", "9"),
        set("__address__", "prober:2"),
        set("instance", "h:1"),
        drop("__param_b|kind"),
    ]
    .into_iter()
    .map(|parts| RelabelConfig::new(parts).expect("a valid rule"))
    .collect();
    for (kind, url, seconds, instance) in [
        ("slow", "https://prober:2/probe?a=9&a=2+3&target=h%3A1%2Fx", (300, 90), "h:1"),
        ("quick", "http://h:1/metrics?a=1&a=2+3", (60, 10), "h:1"),
    ] {
        let own = [("__address__", "h:1"), ("kind", kind), ("__param_b", "gone")];
        let Ok(Outcome::Scraped(found)) = one(&config, &own, &[]) else { panic!("a target") };
        assert_eq!(found.url, url);
        assert_eq!((found.interval.as_secs(), found.timeout.as_secs()), seconds);
        assert_eq!(found.labels, Labels::from_pairs([("instance", instance), ("job", "j")]));
    }
    // What relabelling says must be usable as well.
    config.relabel_configs = vec![RelabelConfig::new(set("__scrape_timeout__", "2m")).expect("valid")];
    let error = one(&config, &[("__address__", "h"), ("kind", "slow")], &[]).expect_err("too long");
    assert!(error.contains("(\"2m\" > \"1m\")"), "{error}");
}

#[test]
fn a_target_that_cannot_be_scraped_says_why() {
    for (own, error) in [
        (&[("x", "1")][..], "instance 0 in group g: no address"),
        (&[("__address__", "http://h/")], "\"http://h/\" is not a valid hostname"),
        (&[("__address__", "h"), ("__scrape_interval__", "1x")], "error parsing scrape interval"),
        (&[("__address__", "h"), ("__scrape_timeout__", "0s")], "scrape timeout cannot be 0"),
        (&[("__address__", "h"), ("__scrape_timeout__", "2m")], "(\"2m\" > \"1m\")"),
        (&[("__address__", "h"), ("__scheme__", "ftp")], "unsupported scheme"),
        (&[("__address__", "a b")], "not a valid address"),
    ] {
        let found = one(&config(), own, &[]).expect_err(error);
        assert!(found.contains(error), "{found:?} should say {error:?}");
    }
}

#[test]
fn a_dropped_target_is_remembered_as_it_was_found() {
    let mut config = ScrapeConfig::new("j");
    let parts = RelabelParts {
        action: Some("drop".to_owned()),
        source_labels: Some(vec!["x".to_owned()]),
        regex: Some("1".to_owned()),
        ..RelabelParts::default()
    };
    config.relabel_configs = vec![RelabelConfig::new(parts).expect("a valid rule")];
    let Ok(Outcome::Dropped(labels)) = one(&config, &[("__address__", "h"), ("x", "1")], &[]) else {
        panic!("dropped")
    };
    assert_eq!((labels.get("__address__"), labels.get("job")), (Some("h"), Some("j")));
}

#[test]
fn conflicting_labels_move_or_stay() {
    let target = Labels::from_pairs([("job", "t"), ("instance", "i")]);
    for (page, honor, expected) in [
        (&[("a", "1")][..], false, &[("a", "1"), ("job", "t"), ("instance", "i")][..]),
        (&[("job", "p")], false, &[("job", "t"), ("instance", "i"), ("exported_job", "p")]),
        (
            &[("job", "p"), ("exported_job", "q")],
            false,
            &[("job", "t"), ("instance", "i"), ("exported_job", "q"), ("exported_exported_job", "p")],
        ),
        (&[("job", "p")], true, &[("job", "p"), ("instance", "i")]),
        (&[("job", "")], true, &[("job", "t"), ("instance", "i")]),
    ] {
        let joined = join(&Labels::from_pairs(page.iter().copied()), &target, honor).build();
        assert_eq!(joined, Labels::from_pairs(expected.iter().copied()), "{page:?} honor {honor}");
    }
}
