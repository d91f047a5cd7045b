//! Rule files load or are refused with place and rule: the published ones as their names say, and our own.

mod support;

use std::path::Path;

use model::NameValidation;
use support::{files, folder};
use vedette_config::parse_rules;

#[test]
fn rule_files_load_or_are_refused() {
    let Some(folder) = folder("rules") else { return };
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let names = NameValidation::Utf8;
        match (parse_rules(&text, &path, names), name.ends_with(".bad.yaml")) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(errors), false) => wrong.push(format!("{name}: refused: {errors}")),
            (Err(errors), true) => println!("{errors}"),
            (Ok(_), false) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_name_the_place_and_the_rule() {
    let text = "\
groups:
  - name: g
    labels: {__name__: x}
    rules:
      - record: a b{c}
        expr: sum(up
      - alert: Down
        expr: up == 0
        for: 5 m
      - alert: Down
        expr: up ==
        annotations: {summary: \"{{ nope }}\"}
      - expr: up
        labels: {__name__: x}
  - name: g
    rulez: []
";
    let errors = parse_rules(text, Path::new("r.yml"), NameValidation::Utf8).expect_err("bad").to_string();
    let wanted = [
        "r.yml:3:14: group \"g\": invalid label name: __name__",
        "r.yml:5:17: group \"g\", rule \"a b{c}\": braces present in the recording rule name; should it be in expr?: a b{c}",
        "r.yml:6:21: group \"g\", rule \"a b{c}\": could not parse expression: ",
        "r.yml:9:14: wrong value for for: not a valid duration string: \"5 m\"; expected a duration like 30s or 1h30m",
        "r.yml:11:20: group \"g\", rule \"Down\": could not parse expression: ",
        "r.yml:12:23: group \"g\", rule \"Down\": annotation \"summary\": template: __alert_Down:1: function \"nope\" not defined",
        "r.yml:13:9: group \"g\", rule \"\": one of 'record' or 'alert' must be set",
        "r.yml:14:18: group \"g\", rule \"\": invalid label name: __name__",
        "r.yml:15:11: groupname: \"g\" is repeated in the same file; expected unique names",
        "r.yml:16:5: unknown key \"rulez\" in a rule group; expected \"rules\"?",
    ];
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), wanted.len(), "{errors}");
    for (line, wanted) in lines.iter().zip(wanted) {
        let place = |text: &str| text.split(": ").next().map(str::to_owned);
        if wanted.ends_with(": ") {
            assert_eq!(place(line), place(wanted), "{errors}");
        } else {
            assert_eq!(*line, wanted, "{errors}");
        }
    }
}

#[test]
fn groups_keep_what_the_file_says() {
    let text = "groups:\n- name: g\n  interval: 30s\n  limit: 5\n  query_offset: 10s\n  labels: {team: x}\n  rules:\n  - {record: a, expr: up, labels: {b: c}}\n  - {alert: A, expr: up == 0, for: 1m, keep_firing_for: 2m}\n";
    let groups = parse_rules(text, Path::new("r.yml"), NameValidation::Utf8).expect("good");
    let group = &groups[0];
    assert_eq!((group.interval.map(|i| i.as_secs()), group.limit), (Some(30), 5));
    assert_eq!(group.query_offset.map(|offset| offset.as_secs()), Some(10));
    assert_eq!(group.rules[0].labels().value("team"), "x");
    let rules::Rule::Alerting(alert) = &group.rules[1] else { panic!("an alert") };
    assert_eq!((alert.hold_for().as_secs(), alert.keep_firing_for().as_secs()), (60, 120));
}
