//! Files that load and files that do not, ours and the Alertmanager authors'.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Auth, Source};
use model::Labels;

use super::{AlertmanagerConfig, WebhookConfig};
use crate::matcher::MatcherMode;
use crate::route::RouteTree;

fn parse(text: &str) -> Result<AlertmanagerConfig, String> {
    AlertmanagerConfig::parse(text, Path::new("/etc/am/a.yml"), MatcherMode::Fallback)
        .map_err(|errors| errors.to_string())
}

const GOOD: &str = r#"
global:
  resolve_timeout: 1m
  http_config:
    authorization: {credentials: sesame}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 0s
  routes:
    - matchers: ['team="db"', 'severity=~"page|warn"']
      receiver: db
      continue: true
      mute_time_intervals: [nights]
    - match_re: {service: foo|bar}
      group_by: ['...']
receivers:
  - name: default
  - name: db
    labels: {team: db}
    webhook_configs:
      - url: http://sink:1/x
        max_alerts: 5
        timeout: 3s
      - url_file: secret.url
        send_resolved: false
        http_config:
          tls_config: {ca_file: ca.pem}
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: "22:00", end_time: "24:00"}]
inhibit_rules:
  - source_matchers: [severity="page"]
    target_match: {severity: warn}
    equal: [team]
templates: [t/*.tmpl]
"#;

#[test]
fn a_whole_file_becomes_checked_types() {
    let config = parse(GOOD).expect("good");
    assert_eq!(config.resolve_timeout, Duration::from_secs(60));
    assert!(config.unsupported().is_empty());
    assert_eq!(config.templates, [PathBuf::from("/etc/am/t/*.tmpl")]);
    let tree = RouteTree::new(&config.route);
    let reached = |pairs: &[(&str, &str)]| -> Vec<String> {
        let found = tree.matches(&Labels::from_pairs(pairs.iter().copied()));
        found.iter().map(|at| tree.get(*at).expect("there").receiver.to_string()).collect()
    };
    assert_eq!(reached(&[("team", "db"), ("severity", "page")]), ["db"]);
    assert_eq!(reached(&[("service", "foo")]), ["default"]);
    assert_eq!(tree.get(0).expect("the root").group_wait, Duration::ZERO);
    let [first, second] = config.receivers[1].webhooks.as_slice() else { panic!("two webhooks") };
    let bearer = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("sesame") };
    assert_eq!(first.http.auth, Some(bearer));
    assert_eq!(
        (first.max_alerts, first.timeout, first.send_resolved),
        (5, Some(Duration::from_secs(3)), true)
    );
    let WebhookConfig { url, http, send_resolved, .. } = second;
    assert_eq!(*url, Source::File(PathBuf::from("secret.url")));
    assert_eq!(http.tls.ca, Some(Source::File(PathBuf::from("/etc/am/ca.pem"))));
    assert!(http.auth.is_none() && !send_resolved);
    assert_eq!(config.receivers[1].labels.get("name").map(String::as_str), Some("db"));
    let rule = &config.inhibit_rules[0];
    assert_eq!(
        (rule.source.len(), rule.target.len(), rule.equal.as_slice()),
        (1, 1, &["team".to_owned()][..])
    );
    let shown = config.redacted_yaml();
    assert!(!shown.contains("sesame") && !shown.contains("sink:1"), "{shown}");
    parse(shown).expect("what is shown loads again");
}

#[test]
fn wrong_files_are_refused_with_place_and_words() {
    let with = |route: &str| format!("route:\n{route}\nreceivers: [{{name: a}}]\n");
    for (text, error) in [
        (String::new(), "1:1: no route provided in config"),
        (with("  group_by: [a]"), "2:3: root route must specify a default receiver"),
        (with("  receiver: b"), "2:13: undefined receiver \"b\" used in route"),
        (with("  receiver: a\n  matchers: [a=b]"), "3:3: root route must not have any matchers"),
        (with("  receiver: a\n  continue: true"), "3:3: cannot have continue in root route"),
        (
            with("  receiver: a\n  group_by: ['...', b]"),
            "3:13: cannot have wildcard group_by (`...`) and other labels at the same time",
        ),
        (with("  receiver: a\n  group_interval: 0s"), "3:19: group_interval cannot be zero"),
        (
            with("  receiver: a\n  routes: [{mute_time_intervals: [x]}]"),
            "3:35: undefined time interval \"x\" used in route",
        ),
        (
            with("  receiver: a\n  routes: [{matchers: ['=']}]"),
            "3:24: bad matcher format: =; expected matchers like severity=\"page\"",
        ),
        (with("  receiver: a\n  routes: [{match_re: {a: '('}}]").clone(), "3:27: error parsing regexp"),
        (
            "route: {receiver: a}\nreceivers: [{name: a}, {name: a}]\n".to_owned(),
            "2:31: notification config name \"a\" is not unique",
        ),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs: [{max_alerts: 1}]\n".to_owned(),
            "4:21: one of url or url_file must be configured",
        ),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\n  webhok_configs: []\n".to_owned(),
            "4:3: unknown key \"webhok_configs\" in a receiver; expected \"webhook_configs\"?",
        ),
    ] {
        let shown = parse(&text).expect_err(&text);
        let first = shown.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("/etc/am/a.yml:{error}")), "{text}\n{shown}\nwanted {error}");
    }
}

#[test]
fn receivers_that_are_not_built_are_named() {
    let text = "route: {receiver: a}\nreceivers:\n- name: a\n  pagerduty_configs: [{routing_key: k}]\n";
    let config = parse(text).expect("valid");
    let notes: Vec<String> = config.unsupported().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("/etc/am/a.yml:4:3: pagerduty_configs is valid, but"), "{notes:?}");
}

#[test]
fn the_demo_asks_for_nothing_that_is_not_built() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/alertmanager.yml");
    let config = AlertmanagerConfig::load(&path, MatcherMode::Fallback).expect("good");
    assert!(config.unsupported().is_empty());
    assert_eq!(config.receivers[0].webhooks.len(), 1);
}

/// Files whose name says what is wrong with them; all others load.
const BAD: &[&str] = &[
    "-both-",
    "-no-api",
    "-no-token",
    "-no-bot-token",
    "-no-webhook-url",
    "conf.nil-",
    "update-message-and-webhook",
    "-invalid",
];

#[test]
fn the_published_files_load_or_are_refused() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map_or(default, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(root.join("alertmanager-config")) else {
        println!("skipped: {} is not there", root.display());
        return;
    };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bad = BAD.iter().any(|part| name.contains(part));
        seen += 1;
        match (AlertmanagerConfig::load(&path, MatcherMode::Fallback), bad) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(errors), false) => wrong.push(format!("{name}: refused: {errors}")),
            (Err(errors), true) => println!("{errors}"),
            (Ok(_), false) => {}
        }
    }
    assert!(seen > 20 && wrong.is_empty(), "{seen} files\n{}", wrong.join("\n"));
}
