//! The tree, the walk and the printer, on small documents.

use std::sync::Arc;

use proptest::prelude::*;

use crate::{Checker, Kind, Located, Node, Schema, Type, View, field, parse, redacted};

static INNER: Schema = Schema::new("inner", &[field("size", Type::Size), field("words", Type::TEXTS)]);
static OUTER: Schema = Schema::new(
    "outer",
    &[
        field("name", Type::Text),
        field("on", Type::Bool),
        field("port", Type::Int(1, 65535)),
        field("wait", Type::Duration),
        field("password", Type::Secret),
        field("inner", Type::List(&Type::Object(&INNER))),
        field("mode", Type::Choice(&["a", "b"])),
        field("future", Type::Bool).later("the future"),
    ],
);

fn tree(text: &str) -> Result<Node, Located> {
    parse(&Arc::from("f.yml"), text)
}

fn check(text: &str) -> String {
    let root = match tree(text) {
        Ok(root) => root,
        Err(error) => return error.to_string(),
    };
    let mut check = Checker::new(&Arc::from("f.yml"));
    check.object(&root, &OUTER);
    match check.finish() {
        Ok(later) => later.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn errors_name_the_place_and_what_is_expected() {
    for (text, error) in [
        ("", ""),
        ("name: 1.10\non: yes\nport: 80\nwait: 1h30m\nmode: a\n", ""),
        ("nmae: x", "f.yml:1:1: unknown key \"nmae\" in outer; expected \"name\"?"),
        ("inner:\n  - zzz: 1\n", "f.yml:2:5: unknown key \"zzz\" in inner; expected one of size, words"),
        ("port: '80'", "f.yml:1:7: wrong value for port: got \"80\", expected a whole number"),
        ("port: 0", "f.yml:1:7: wrong value for port: 0 is out of range; expected 1 to 65535"),
        ("on: maybe", "f.yml:1:5: wrong value for on: got \"maybe\", expected true or false"),
        (
            "wait: 1x",
            "f.yml:1:7: wrong value for wait: not a valid duration string: \"1x\"; expected a duration like 30s or 1h30m",
        ),
        ("mode: c", "f.yml:1:7: wrong value for mode: unknown value \"c\"; expected one of a, b"),
        ("name: [a]", "f.yml:1:7: wrong value for name: got a list, expected text"),
        ("- a", "f.yml:1:1: expected outer, a map of keys; got a list"),
        ("inner: [~]", "f.yml:1:9: empty or null section in inner; expected a map of keys"),
        ("name: a\nname: b", "f.yml:2:1: key \"name\" is already set in this map, at line 1"),
        ("a: &a [*a]", "f.yml:1:8: this alias contains itself"),
        (
            "name: !!binary aGk=",
            "f.yml:1:16: tag tag:yaml.org,2002:binary is not supported; expected plain text",
        ),
        ("name: a\n---\nname: b\n", "f.yml:3:1: a second document; expected one document in the file"),
        (
            "future: true",
            "f.yml:1:1: future is valid, but the future is not available in this version; expected a configuration without it",
        ),
        ("future: no", ""),
        (
            "name: größe\nwörter: 1",
            "f.yml:2:1: unknown key \"wörter\" in outer; expected one of name, on, port, wait, password, inner, mode, future",
        ),
    ] {
        assert_eq!(check(text), error, "{text}");
    }
}

#[test]
fn broken_yaml_has_a_place() {
    for text in ["a: [", "a: b: c", "a: \"x", "a: *b", "{a: 1"] {
        let error = tree(text).expect_err(text);
        assert!(error.at.line >= 1 && error.at.column >= 1 && !error.message.is_empty(), "{error}");
    }
}

#[test]
fn aliases_and_merges_are_resolved() {
    let root = tree("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\nc: *a\n").expect("good");
    let view = View::of(&root);
    assert_eq!(view.map("b").pairs("none"), []);
    assert_eq!((view.map("b").int("x"), view.map("b").int("y")), (Some(3), Some(2)));
    assert_eq!(view.map("c").int("x"), Some(1));
}

#[test]
fn nested_aliases_cannot_fill_the_memory() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [item.as_str(); 10].join(",")));
    }
    assert!(tree(&text).expect_err("a bomb").message.contains("more than"));
    assert!(tree(&"[".repeat(100_000)).is_err());
}

#[test]
fn secrets_are_masked_and_the_rest_reads_back() {
    let text = "name: \"8080\"\npassword: hunter2\ninner:\n  - words: [\"a: b\", \"#\", '', \"two\\nlines\", null]\n  - {}\n";
    let root = tree(text).expect("good");
    let mut check = Checker::new(&Arc::from("f.yml"));
    check.object(&root, &OUTER);
    let printed = redacted(&root, check.secrets());
    assert!(printed.contains("password: <secret>") && !printed.contains("hunter2"), "{printed}");
    let again = tree(&printed).expect("reads back");
    let words = |root: &Node| View::of(root).list("inner").next().map(|inner| inner.texts("words"));
    assert_eq!(words(&again), words(&root));
    assert!(
        matches!(&again.get("name").expect("there").kind, Kind::Scalar { text, quoted: true } if text == "8080")
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}|[a-z:\\-\\[\\]{}&*!|>'\"#\\n ]{0,200}") {
        if let Ok(root) = tree(&text) {
            let mut check = Checker::new(&Arc::from("f.yml"));
            check.object(&root, &OUTER);
            let printed = redacted(&root, &std::collections::HashSet::new());
            prop_assert!(tree(&printed).is_ok(), "{printed}");
        }
    }
}
