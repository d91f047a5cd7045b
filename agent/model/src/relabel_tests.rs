//! Relabelling: one table for what rules do, one for what is refused.

use super::*;

fn parts(fields: &[(&str, &str)]) -> RelabelParts {
    let mut parts = RelabelParts::default();
    for (field, value) in fields {
        let value = (*value).to_owned();
        match *field {
            "source" => parts.source_labels = Some(value.split(',').map(str::to_owned).collect()),
            "separator" => parts.separator = Some(value),
            "regex" => parts.regex = Some(value),
            "modulus" => parts.modulus = Some(value.parse().expect("a number")),
            "target" => parts.target_label = Some(value),
            "replacement" => parts.replacement = Some(value),
            "action" => parts.action = Some(value),
            "legacy" => parts.names = NameValidation::Legacy,
            other => panic!("no field {other}"),
        }
    }
    parts
}

/// Labels as `a=1 b=2`; `None` for a dropped set.
fn check(input: &str, rules: &[&[(&str, &str)]], expected: Option<&str>) {
    let labels = |text: &str| Labels::from_pairs(text.split(' ').filter_map(|pair| pair.split_once('=')));
    let rules: Vec<RelabelConfig> =
        rules.iter().map(|rule| RelabelConfig::new(parts(rule)).expect("a valid rule")).collect();
    assert_eq!(process(&labels(input), &rules), expected.map(labels), "{input} through {rules:?}");
}

#[test]
fn every_action_does_its_work() {
    check("a=foo", &[], Some("a=foo"));
    check(
        "a=foo b=bar",
        &[&[("source", "a"), ("regex", "f(.*)"), ("target", "d"), ("replacement", "ch${1}-ch${1}")]],
        Some("a=foo b=bar d=choo-choo"),
    );
    check("a=foo b=bar", &[&[("source", "a,b"), ("regex", "o;b"), ("target", "d")]], Some("a=foo b=bar"));
    check("a=x b=y", &[&[("source", "a,b"), ("separator", "-"), ("target", "c")]], Some("a=x b=y c=x-y"));
    check("a=foo", &[&[("target", "a"), ("replacement", "")]], Some(""));
    check(
        "a=one-two",
        &[&[("source", "a"), ("regex", "(.*)-(.*)"), ("target", "$1"), ("replacement", "$2")]],
        Some("a=one-two one=two"),
    );
    check("a=foo", &[&[("source", "a"), ("action", "keep"), ("regex", "fo")]], None);
    check("a=foo", &[&[("source", "a"), ("action", "Keep"), ("regex", "fo+")]], Some("a=foo"));
    check("a=foo", &[&[("source", "a"), ("action", "drop"), ("regex", "fo+")]], None);
    check("a=1 b=1", &[&[("source", "a"), ("action", "dropequal"), ("target", "b")]], None);
    check("a=1 b=2", &[&[("source", "a"), ("action", "keepequal"), ("target", "b")]], None);
    check("a=1 b=1", &[&[("source", "a"), ("action", "keepequal"), ("target", "b")]], Some("a=1 b=1"));
    check("a=FoO", &[&[("source", "a"), ("action", "lowercase"), ("target", "b")]], Some("a=FoO b=foo"));
    check("a=FoO", &[&[("source", "a"), ("action", "uppercase"), ("target", "a")]], Some("a=FOO"));
    check(
        "__meta_x=1 __meta_y=2 z=3",
        &[&[("action", "labelmap"), ("regex", "__meta_(.+)")]],
        Some("__meta_x=1 __meta_y=2 x=1 y=2 z=3"),
    );
    check("a=1 b1=2 b2=3", &[&[("action", "labeldrop"), ("regex", "b.*")]], Some("a=1"));
    check("a=1 b1=2 b2=3", &[&[("action", "labelkeep"), ("regex", "b.*")]], Some("b1=2 b2=3"));
}

#[test]
fn hashmod_is_the_low_half_of_md5() {
    // MD5("") = d41d8cd98f00b204 e9800998ecf8427e; MD5("foo") = acbd18db4cc2f85c edef654fccc4a4d8.
    check(
        "a=foo",
        &[&[("source", "a"), ("action", "hashmod"), ("modulus", "1000"), ("target", "s")]],
        Some(&format!("a=foo s={}", 0xedef_654f_ccc4_a4d8_u64 % 1000)),
    );
    assert_eq!(hash_mod("", u64::MAX), 0xe980_0998_ecf8_427e);
}

#[test]
fn a_rule_that_cannot_work_is_refused() {
    for (rule, text) in [
        (&[("action", "steal")][..], "unknown relabel action \"steal\""),
        (&[("action", "hashmod"), ("target", "a")], "requires non-zero modulus"),
        (&[("source", "a")], "relabel configuration for replace action requires 'target_label' value"),
        (&[("action", "lowercase")], "relabel configuration for lowercase action requires 'target_label'"),
        (&[("target", "a b"), ("legacy", "")], "\"a b\" is invalid 'target_label' for replace action"),
        (&[("target", "${1"), ("source", "a")], "\"${1\" is invalid 'target_label' for replace action"),
        (
            &[("action", "uppercase"), ("target", "a"), ("replacement", "x")],
            "'replacement' can not be set for uppercase action",
        ),
        (&[("action", "labelmap"), ("replacement", "")], "\"\" is invalid 'replacement' for labelmap action"),
        (
            &[("action", "dropequal"), ("target", "a"), ("regex", "x")],
            "dropequal action requires only 'source_labels'",
        ),
        (&[("action", "labeldrop"), ("source", "a")], "labeldrop action requires only 'regex'"),
        (&[("target", "a"), ("regex", "(")], "error parsing regexp: missing closing ): `^(?s:()$`"),
        (
            &[("target", "a"), ("regex", "*")],
            "error parsing regexp: missing argument to repetition operator: `*`",
        ),
    ] {
        let error = RelabelConfig::new(parts(rule)).expect_err(text).to_string();
        assert!(error.contains(text), "{error:?} should say {text:?}");
    }
}
