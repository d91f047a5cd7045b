//! Templates with the texts that they give, and texts that are no templates.

use std::sync::Arc;

use model::Labels;
use vedette_template::{
    Answers, Environment, ExecError, Functions, Limits, Map, Object, Template, Value, prometheus_functions,
};

fn functions() -> Functions {
    let samples = |pairs: &[(&str, f64)]| {
        Ok(pairs
            .iter()
            .map(|(instance, value)| {
                (Labels::from_pairs([("__name__", "metric"), ("instance", *instance)]), *value)
            })
            .collect())
    };
    let answers: Answers = [
        ("metric".to_owned(), samples(&[("b", 21.0), ("a", 11.0)])),
        ("none".to_owned(), samples(&[])),
        ("bad".to_owned(), Err("it broke".to_owned())),
    ]
    .into();
    let environment = Environment {
        now_ms: 1_353_755_652_000,
        external_url: "http://host:9090/path".to_owned(),
        path_prefix: "/path".to_owned(),
    };
    prometheus_functions(&environment, Arc::new(answers))
}

/// The data of an alert's templates, and what else the cases need.
#[derive(Debug)]
struct Data;

impl Object for Data {
    fn type_name(&self) -> &str {
        "Data"
    }

    fn field_names(&self) -> &[&'static str] {
        &["Labels", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let labels = Map::of_texts([("instance", "web.example.org:80"), ("job", "web")]);
        match name {
            "Labels" => Some(Value::Map(Arc::new(labels))),
            "Value" => Some(Value::Float(1_000_000.0)),
            "Any" => Some(Value::Map(Arc::new(Map::of_any([("n", Value::Int(3))])))),
            "List" => Some(Value::list([Value::Int(1), Value::Int(2), Value::Int(3)])),
            "Empty" => Some(Value::list([])),
            _ => None,
        }
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, vedette_template::CallError>> {
        (name == "Join").then(|| Ok(Value::text(args.iter().map(ToString::to_string).collect::<String>())))
    }
}

fn run(text: &str) -> Result<String, String> {
    let functions = functions();
    let template = Template::parse("t", text, &functions).map_err(|error| error.to_string())?;
    template.execute(&Value::object(Data), &functions, Limits::default()).map_err(|error| error.to_string())
}

#[test]
fn templates_give_their_texts() {
    for (text, given) in [
        ("plain", "plain"),
        // Values and missing ones.
        ("{{ .Value }}", "1e+06"),
        ("{{ .Labels.job }}|{{ .Labels.none }}|{{ .Any.none }}", "web||<no value>"),
        ("{{ .Labels }}", "map[instance:web.example.org:80 job:web]"),
        ("{{ .List }} {{ . }}", "[1 2 3] {map[instance:web.example.org:80 job:web] 1e+06}"),
        // Trimming and comments.
        ("a {{- 1 -}} b", "a1b"),
        ("a{{/* no */}}b {{- /* no */ -}} c", "abc"),
        // Variables, scopes, pipes.
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "32"),
        ("{{ \"a\" | printf \"%s-%s\" \"b\" }}", "b-a"),
        ("{{ (index .Labels \"job\") | toUpper }}", "WEB"),
        ("{{ with $y := .Labels.job }}{{ $y }}{{ . }}{{ else }}no{{ end }}", "webweb"),
        ("{{ with .Labels.none }}x{{ else with .Labels.job }}{{ . }}{{ else }}no{{ end }}", "web"),
        ("{{ if .Empty }}x{{ else if eq .Labels.job \"web\" }}y{{ else }}z{{ end }}", "y"),
        // Ranges.
        ("{{ range .List }}{{ . }},{{ end }}", "1,2,3,"),
        ("{{ range $i, $v := .List }}{{ $i }}={{ $v }} {{ end }}", "0=1 1=2 2=3 "),
        ("{{ range $k, $v := .Labels }}{{ $k }}:{{ $v }};{{ end }}", "instance:web.example.org:80;job:web;"),
        ("{{ range .Empty }}x{{ else }}none{{ end }}", "none"),
        (
            "{{ range .List }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "1",
        ),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ $n := 0 }}{{ range .List }}{{ $n = . }}{{ end }}{{ $n }}", "3"),
        // Definitions.
        (
            "{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" .Labels.job }}{{ template \"x\" }}",
            "[web][<no value>]",
        ),
        ("{{ block \"y\" 5 }}<{{ . }}>{{ end }}", "<5>"),
        // Go's functions.
        ("{{ and 1 0 }} {{ or 0 \"x\" }} {{ not 1 }} {{ or .Empty .List }}", "0 x false [1 2 3]"),
        ("{{ if and .Empty (index .Empty 5) }}x{{ end }}ok", "ok"),
        ("{{ len .List }} {{ len \"abc\" }} {{ index .List 1 }} {{ slice \"abcdef\" 1 3 }}", "3 3 2 bc"),
        ("{{ eq 1 2 1 }} {{ ne \"a\" \"b\" }} {{ lt 1.5 2.5 }} {{ ge 2 2 }}", "true true true true"),
        (
            "{{ html \"<a&'b'>\" }} {{ urlquery \"a b&c\" }} {{ js \"it's\" }}",
            "&lt;a&amp;&#39;b&#39;&gt; a+b%26c it\\'s",
        ),
        ("{{ print 1 2 \"a\" }}|{{ println 1 }}|{{ printf \"%.2f\" .Value }}", "1 2a|1\n|1000000.00"),
        ("{{ .Join 1 \"x\" }}{{ .List | .Join 1 }}", "1x1[1 2 3]"),
        // Queries.
        ("{{ range query \"metric\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}", "b:21 a:11 "),
        (
            "{{ range query \"metric\" | sortByLabel \"instance\" }}{{ . | label \"instance\" }}{{ . | value }}{{ end }}",
            "a11b21",
        ),
        ("{{ query \"metric\" | first | value }} {{ with query \"none\" }}x{{ else }}-{{ end }}", "21 -"),
        // Numbers for people.
        ("{{ humanize .Value }} {{ humanize1024 1048576.0 }} {{ humanize \"1500\" }}", "1M 1Mi 1.5k"),
        ("{{ humanizeDuration 3661 }} {{ 0.25 | humanizePercentage }}", "1h 1m 1s 25%"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ (toTime 1435065584.128).Format \"2006-01-02\" }} {{ (toTime 0).Year }}", "2015-06-23 1970"),
        ("{{ now }} {{ parseDuration \"1h30m\" }} {{ toDuration 90 }}", "1.353755652e+09 5400 1m30s"),
        // Texts.
        ("{{ title \"hello wORLD it's\" }} {{ toLower \"ABC\" }}", "Hello WORLD It's abc"),
        ("{{ match \"a+\" \"caat\" }} {{ reReplaceAll \"(a+)\" \"<$1>\" \"caat\" }}", "true c<aa>t"),
        ("{{ stripPort .Labels.instance }} {{ stripDomain .Labels.instance }}", "web.example.org web:80"),
        ("{{ stripPort \"[::1]:80\" }} {{ stripDomain \"10.0.0.1:80\" }}", "::1 10.0.0.1:80"),
        (
            "{{ graphLink \"up == 0\" }} {{ tableLink \"up\" }}",
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
        ),
        ("{{ externalURL }} {{ pathPrefix }} {{ safeHtml \"<b>\" }}", "http://host:9090/path /path <b>"),
        ("{{ (args 1 \"x\").arg1 }}", "x"),
    ] {
        assert_eq!(run(text).as_deref(), Ok(given), "{text}");
    }
}

#[test]
fn what_is_no_template_says_so_as_go_does() {
    for (text, what) in [
        ("{{", "template: t:1: unclosed action"),
        ("{{ if .X }}a", "template: t:1: unexpected EOF"),
        ("a{{ end }}b", "template: t:1: unexpected {{end}}"),
        ("{{ else }}", "template: t:1: unexpected {{else}}"),
        ("\n{{ nope 1 }}", "template: t:2: function \"nope\" not defined"),
        ("{{ $x }}", "template: t:1: undefined variable \"$x\""),
        ("{{ }}", "template: t:1: missing value for command"),
        ("{{ if }}{{ end }}", "template: t:1: missing value for if"),
        ("{{ break }}", "template: t:1: {{break}} outside {{range}}"),
        ("{{ 1 | 2 }}", "template: t:1: non executable command in pipeline stage 2"),
        ("{{ \"a }}", "template: t:1: unterminated quoted string"),
        ("{{ (1 }}", "template: t:1: unclosed left paren"),
        ("{{ 1) }}", "template: t:1: unexpected right paren"),
        ("{{ /* a }}", "template: t:1: unrecognized character in action: U+002F '/'"),
        ("{{/* a }}", "template: t:1: unclosed comment"),
        ("{{ $a, $b := 1 }}", "template: t:1: too many declarations in command"),
        ("{{ \"a\".b }}", "template: t:1: unexpected . after term \"\\\"a\\\"\""),
        (
            "{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}",
            "template: t:1: multiple definition of template \"a\"",
        ),
    ] {
        assert_eq!(run(text), Err(what.to_owned()), "{text}");
    }
}

#[test]
fn what_fails_names_the_node_as_go_does() {
    for (text, what) in [
        (
            "{{ .Labels.job.x }}",
            "t:1:10: executing \"t\" at <.Labels.job.x>: can't evaluate field x in type string",
        ),
        ("a\n {{ .Nope }}", "t:2:4: executing \"t\" at <.Nope>: can't evaluate field Nope in type Data"),
        (
            "{{ gt .Value 5 }}",
            "t:1:3: executing \"t\" at <gt .Value 5>: error calling gt: incompatible types for comparison",
        ),
        ("{{ query \"bad\" }}", "t:1:3: executing \"t\" at <query \"bad\">: error calling query: it broke"),
        (
            "{{ query \"none\" | first }}",
            "t:1:18: executing \"t\" at <first>: error calling first: first() called on vector with no elements",
        ),
        ("{{ toUpper 5 }}", "t:1:11: executing \"t\" at <5>: expected string; found 5"),
        (
            "{{ toUpper .Value }}",
            "t:1:11: executing \"t\" at <.Value>: wrong type for value; expected string; got float64",
        ),
        (
            "{{ humanize }}",
            "t:1:3: executing \"t\" at <humanize>: wrong number of args for humanize: want 1 got 0",
        ),
        (
            "{{ index .List 9 }}",
            "t:1:3: executing \"t\" at <index .List 9>: error calling index: index out of range: 9",
        ),
        (
            "{{ template \"no\" }}",
            "t:1:12: executing \"t\" at <{{template \"no\"}}>: template \"no\" not defined",
        ),
        ("{{ range .Value }}{{ end }}", "t:1:9: executing \"t\" at <.Value>: range can't iterate over 1e+06"),
        (
            "{{ define \"d\" }}{{ .x }}{{ end }}{{ template \"d\" \"s\" }}",
            "t:1:19: executing \"d\" at <.x>: can't evaluate field x in type string",
        ),
        ("{{ nil }}", "t:1:3: executing \"t\" at <nil>: nil is not a command"),
    ] {
        let failed = run(text).expect_err(text);
        let place = failed.strip_prefix("template: ").expect("a place");
        assert_eq!(place, what, "{text}");
    }
}

#[test]
fn an_unknown_answer_is_asked_for() {
    let functions = functions();
    let template = Template::parse("t", "{{ query \"later\" }}", &functions).expect("a template");
    let result = template.execute(&Value::Nil, &functions, Limits::default());
    assert_eq!(result, Err(ExecError::NeedsQuery("later".to_owned())));
}

#[test]
fn greedy_templates_are_stopped() {
    let limits = Limits { output_bytes: 1000, steps: 10_000, depth: 50 };
    let functions = functions();
    for text in [
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ range 100000000 }}{{ end }}",
        "{{ range 2000 }}x{{ end }}",
        "{{ $x := \"ab\" }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}",
        "{{ printf \"%49999d\" 1 }}",
    ] {
        let template = Template::parse("t", text, &functions).expect(text);
        assert!(template.execute(&Value::Nil, &functions, limits).is_err(), "{text}");
    }
    let deep = "{{ (1) }}".to_owned();
    assert!(Template::parse("t", &deep, &functions).is_ok());
    let too_deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Template::parse("t", &too_deep, &functions).is_err());
}

#[test]
fn the_deepest_template_fits_a_threads_stack() {
    let functions = functions();
    let text = "{{ define \"a\" }}{{ if true }}{{ with 1 }}{{ template \"a\" (print (print 1)) }}{{ end }}{{ end }}{{ end }}{{ template \"a\" }}";
    let template = Template::parse("t", text, &functions).expect("a template");
    let work = move || template.execute(&Value::Nil, &functions, Limits::default()).is_err();
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    assert!(thread.join().expect("no overflow"));
}

#[test]
fn values_inside_each_other_have_a_bound() {
    let error =
        run("{{ $x := args 1 }}{{ range 100000 }}{{ $x = args $x }}{{ end }}{{ $x }}").expect_err("too deep");
    assert!(error.contains("more than 64 deep"), "{error}");
}
