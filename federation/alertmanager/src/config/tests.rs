//! Files that load and files that do not, ours and the Alertmanager authors'.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Auth, Source};
use model::Labels;
use yaml::View;

use super::{AlertmanagerConfig, IntegrationConfig};
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
    let [first, second] = config.receivers[1].integrations.as_slice() else { panic!("two webhooks") };
    let bearer = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("sesame") };
    assert_eq!(first.http.auth, Some(bearer));
    let of = |config: &IntegrationConfig, key: &str| View::of(&config.settings).text(key).map(str::to_owned);
    assert_eq!((first.kind, first.index, first.send_resolved), ("webhook", 0, true));
    assert_eq!(
        (of(first, "max_alerts"), of(first, "timeout")),
        (Some("5".to_owned()), Some("3s".to_owned()))
    );
    let IntegrationConfig { http, send_resolved, .. } = second;
    assert_eq!((second.index, of(second, "url_file")), (1, Some("secret.url".to_owned())));
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
fn receivers_take_from_global_what_they_do_not_say() {
    let text = r#"
global:
  slack_api_url: http://slack/x
  slack_app_url: http://slack/app
  smtp_smarthost: mail:25
  smtp_from: a@b
  smtp_require_tls: false
  smtp_auth_password: general
  http_config: {proxy_url: "http://proxy:1"}
route: {receiver: a}
receivers:
- name: a
  slack_configs: [{channel: c}, {app_token: t}]
  email_configs: [{to: x@y, auth_password_file: own}]
  msteamsv2_configs: [{webhook_url: "http://t/", http_config: {follow_redirects: false}}]
"#;
    let config = parse(text).expect("good");
    let all = &config.receivers[0].integrations;
    let kinds: Vec<_> = all.iter().map(|it| (it.kind, it.index, it.send_resolved)).collect();
    let wanted = [("email", 0, false), ("slack", 0, false), ("slack", 1, false), ("msteamsv2", 0, true)];
    assert_eq!(kinds, wanted);
    for (at, key, value) in [
        (0, "smarthost", Some("mail:25")),
        (0, "require_tls", Some("false")),
        (0, "auth_password", None),
        (0, "auth_password_file", Some("own")),
        (1, "api_url", Some("http://slack/x")),
        (2, "api_url", None),
        (2, "app_token", Some("t")),
        (2, "app_url", Some("http://slack/app")),
    ] {
        assert_eq!(View::of(&all[at].settings).text(key), value, "{at} {key}");
    }
    assert!(matches!(all[3].http.proxy, client::Proxy::Url { .. }) && !all[3].http.follow_redirects);
    assert!(!format!("{all:?}").contains("general"), "{all:?}");
}

#[test]
fn what_is_not_built_is_named() {
    let text = "route: {receiver: a}\nreceivers:\n- name: a\ntracing: {endpoint: \"x:1\"}\n";
    let config = parse(text).expect("valid");
    let notes: Vec<String> = config.unsupported().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("/etc/am/a.yml:4:1: tracing is valid, but"), "{notes:?}");
}

#[test]
fn the_demo_asks_for_nothing_that_is_not_built() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/alertmanager.yml");
    let config = AlertmanagerConfig::load(&path, MatcherMode::Fallback).expect("good");
    assert!(config.unsupported().is_empty());
    assert_eq!(config.receivers[0].integrations.len(), 1);
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
