//! Lines and what is made of them.

use super::*;

static INNER: [Command; 2] = [
    Command {
        flags: &[flag("quiet", Kind::Switch, "").short('q'), flag("within", Kind::Duration, "").short('w')],
        positional: Some(Positional { name: "words", many: true, kind: Kind::Text, help: "" }),
        default: true,
        ..Command::new("query", "")
    },
    Command {
        flags: &[flag("to", Kind::Texts, "").required()],
        positional: Some(Positional { name: "file", many: false, kind: Kind::File, help: "" }),
        ..Command::new("send", "")
    },
];
static COMMANDS: [Command; 2] = [
    Command { commands: &INNER, ..Command::new("thing", "") },
    Command { commands: &[Command::new("only", "")], ..Command::new("strict", "") },
];
static PROGRAM: Command = Command {
    flags: &[
        flag("url", Kind::Text, "").short('u'),
        flag("output", Kind::Choice(&["a", "b"]), "").default("a"),
        flag("check", Kind::Switch, "").default("true"),
        flag("most", Kind::Number, "").default("7"),
    ],
    commands: &COMMANDS,
    ..Command::new("tool", "A tool.")
};

/// What became of a line: command, arguments, and the values of some flags; or what is wrong.
fn said(line: &str) -> String {
    let words = line.split_whitespace().map(str::to_owned).collect();
    let call = match read(&PROGRAM, words) {
        Ok(call) => call,
        Err(why) => return format!("wrong: {why}"),
    };
    if let Some(asked) = call.asked {
        return format!("{asked:?} {}", call.command().join(" "));
    }
    if let Err(why) = call.check() {
        return format!("wrong: {why}");
    }
    let mut out = format!("{} {:?}", call.command().join(" "), call.positional);
    for name in ["url", "output", "check", "quiet", "within"] {
        if call.is_given(name) {
            out.push_str(&format!(" {name}={}", call.text(name).unwrap_or_default()));
        }
    }
    out
}

#[test]
fn lines_are_read_as_kingpin_reads_them() {
    for (line, want) in [
        ("thing query a b", r#"thing query ["a", "b"]"#),
        ("thing a", r#"thing query ["a"]"#),
        ("thing", "thing query []"),
        ("thing -q a --url x", r#"thing query ["a"] url=x quiet=true"#),
        ("--url=x=y thing -ux --no-check", "wrong: flag 'url' cannot be repeated"),
        ("thing -qw5m a", r#"thing query ["a"] quiet=true within=5m"#),
        ("thing --no-check -- --a -q", r#"thing query ["--a", "-q"] check=false"#),
        ("thing --quiet=true", r#"thing query ["true"] quiet=true"#),
        ("thing --within=1d", "wrong: time: unknown unit \"d\" in duration \"1d\""),
        ("thing --output=c", "wrong: enum value must be one of a,b, got 'c'"),
        ("thing --most=x", "wrong: strconv.ParseFloat: parsing \"x\": invalid syntax"),
        ("thing --no-url", "wrong: unknown long flag '--no-url'"),
        ("thing --bogus", "wrong: unknown long flag '--bogus'"),
        ("-x thing", "wrong: unknown short flag '-x'"),
        ("thing query --within", "wrong: expected argument for flag '--within'"),
        ("thing send", "wrong: required flag --to not provided"),
        ("thing send --to=a --to=b /dev/null", r#"thing send ["/dev/null"]"#),
        ("thing send --to=a /dev/null x", "wrong: unexpected x"),
        ("thing send --to=a /nowhere", "wrong: path '/nowhere' does not exist"),
        ("thing send --to=a /dev", "wrong: '/dev' is a directory"),
        ("other", "wrong: expected command but got \"other\""),
        ("strict", "wrong: must select a subcommand of 'strict'"),
        ("", " []"),
        ("thing --help", "Help thing"),
        ("help thing send", "Help thing send"),
        ("thing send -h", "Help thing send"),
        ("--version thing", "Version thing"),
    ] {
        assert_eq!(said(line), want, "{line}");
    }
}

#[test]
fn a_file_gives_defaults_to_the_program_and_the_command_that_is_called() {
    let file =
        [("url", "f"), ("to", "g"), ("within", "5m")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let mut call = read(&PROGRAM, vec!["thing".to_owned(), "--output=b".to_owned()]).expect("a call");
    call.take_defaults(&file.into());
    assert_eq!((call.text("url"), call.text("output"), call.text("to")), (Some("f"), Some("b"), None));
    assert_eq!(call.duration("within"), Duration::from_secs(300));
    assert_eq!((call.count("most"), call.is_on("check")), (7, true));
}

#[test]
fn help_names_everything_that_is_not_hidden() {
    let text = usage(&[&PROGRAM]);
    for part in
        ["usage: tool [<flags>] <command> [<args> ...]", "-u, --url=URL", "    query* [<flags>] [<words>...]"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}
