//! What the parser takes, how it prints it, and what it says about the rest.

use vedette_promql::{Expr, Features, ParseError, ValueType, parse_metric_selector, parse_with};

fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, Features::ALL)
}

#[test]
fn queries_print_as_prometheus_prints_them() {
    for (query, printed) in [
        ("1", "1"),
        ("0x1F + 1_000", "31 + 1000"),
        ("5m", "5m"),
        ("-1", "-1"),
        ("+Inf", "+Inf"),
        ("Inf ^ 2 + Inf", "Inf ^ 2 + +Inf"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("\"a\\x62\" ", "\"ab\""),
        ("up{}", "up"),
        ("up {job='a' , b!~\"c\",}", "up{b!~\"c\",job=\"a\"}"),
        ("{'http.status', \"k k\"='v'}", "{\"k k\"=\"v\",__name__=\"http.status\"}"),
        ("up offset -5m @ 1.5", "up @ 1.500 offset -5m"),
        ("up[90] @ end() offset 1h", "up[1m30s] @ end() offset 1h"),
        ("rate(up[5m])[1h:] offset 1w", "rate(up[5m])[1h:] offset 1w"),
        ("up[1d:30]", "up[1d:30s]"),
        ("SUM BY (a, \"b c\",) (up)", "sum by (a, \"b c\") (up)"),
        ("sum(up) without ()", "sum without () (up)"),
        ("topk(3, up)", "topk(3, up)"),
        ("a + on (x) group_left b", "a + on (x) group_left () b"),
        ("a == bool ignoring (x, y) group_right (z) b", "a == bool ignoring (x, y) group_right (z) b"),
        ("a # comment\n and b", "a and b"),
        ("and and or or unless", "and and or or unless"),
        ("sum + by offset 5m", "sum + by offset 5m"),
        ("start + step()", "start + step()"),
        ("a:b:c", "a:b:c"),
        ("-a ^ 2 * b", "-a ^ 2 * b"),
        ("((a))", "((a))"),
        ("group(avg)", "group(avg)"),
        ("fill", "fill"),
        ("label_replace(a, `b`, '$1', \"c\", \"(.*)\")", "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")"),
    ] {
        assert_eq!(parse(query).expect(query).to_string(), printed, "{query}");
    }
}

#[test]
fn signs_and_powers_bind_as_in_mathematics() {
    let Expr::Binary(sum) = parse("1 + 2 * 3 ^ 4 ^ 5").expect("a query") else { panic!("no operation") };
    assert_eq!((sum.op.text(), sum.lhs.to_string().as_str()), ("+", "1"));
    let Expr::Binary(product) = *sum.rhs else { panic!("no product") };
    let Expr::Binary(power) = *product.rhs else { panic!("no power") };
    assert_eq!((power.lhs.to_string(), power.rhs.to_string()), ("3".to_owned(), "4 ^ 5".to_owned()));
    assert!(matches!(parse("-a ^ 2").expect("a query"), Expr::Unary(_)));
    assert!(matches!(parse("-a * 2").expect("a query"), Expr::Binary(_)));
    assert!(matches!(parse("-1").expect("a query"), Expr::Number(number) if number.value == -1.0));
}

#[test]
fn durations_are_as_long_and_deep_as_allowed() {
    let chain = |count: usize| format!("a[{}]", vec!["1s"; count + 1].join(" + "));
    assert!(parse(&chain(256)).is_ok());
    assert_eq!(
        parse(&chain(257)).expect_err("too long").to_string(),
        "1:3: parse error: duration has more than 256 operators"
    );
    let nested = |depth: usize| format!("a[{}1s{}]", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(64)).is_ok() && parse(&nested(65)).is_err());
}

#[test]
fn experimental_parts_ask_for_their_flags() {
    for (query, message) in [
        ("mad_over_time(a[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("a[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a smoothed", "1:1: parse error: smoothed modifier is experimental and not enabled"),
        ("a + fill (1) b", "1:5: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        let error = parse_with(query, Features::default()).expect_err(query);
        assert_eq!(error.to_string(), message);
        assert!(parse(query).is_ok(), "{query}");
    }
    // Durations are not experimental any more.
    assert!(parse_with("a[step() * 2] offset -min_of(1, range())", Features::default()).is_ok());
}

#[test]
fn errors_name_the_place_and_the_reason() {
    for (query, message) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("# only a comment", "unknown position: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:2: parse error: unexpected right parenthesis ')'"),
        ("a{b=c}", "1:5: parse error: unexpected identifier \"c\" in label matching, expected string"),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        (
            "a{b=\"c\" d}",
            "1:9: parse error: unexpected identifier \"d\" in label matching, expected \",\" or \"}\"",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a[5m] offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "sum(a) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a[5x]", "1:3: parse error: bad number or duration syntax: \"5x\""),
        ("1 == 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("1 and a", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        (
            "a + on (x) group_left",
            "1:22: parse error: unexpected end of input in grouping opts, expected \"(\"",
        ),
        ("a and on (x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        (
            "a + on (x) group_left (x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("topk(\"a\", a)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        (
            "sum(a[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        ("sum by (1) (a)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("nosuch(a)", "1:1: parse error: unknown function with name \"nosuch\""),
        // What does not read as a call at all comes first.
        ("nosuch((", "1:9: parse error: unclosed left parenthesis"),
        ("nosuch(a b)", "1:10: parse error: unexpected identifier \"b\""),
        ("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
        ("a\n  + nosuch(b)", "2:5: parse error: unknown function with name \"nosuch\""),
    ] {
        assert_eq!(parse(query).expect_err(query).to_string(), message, "{query}");
    }
}

#[test]
fn every_expression_has_a_type() {
    for (query, kind) in [
        ("1", ValueType::Scalar),
        ("'a'", ValueType::String),
        ("a", ValueType::Vector),
        ("a[5m]", ValueType::Matrix),
        ("a[5m:1m]", ValueType::Matrix),
        ("1 + time()", ValueType::Scalar),
        ("1 + a", ValueType::Vector),
        ("(-a)", ValueType::Vector),
    ] {
        assert_eq!(parse(query).expect(query).value_type(), kind, "{query}");
    }
}

#[test]
fn match_parameters_are_plain_selectors() {
    assert_eq!(parse_metric_selector("up{job=\"a\"}").expect("a selector").len(), 2);
    // What passes every series is for those to refuse who do not want it.
    assert_eq!(parse_metric_selector("{a=~\".*\"}").expect("a selector").len(), 1);
    for text in ["", "up offset 5m", "up[5m]", "sum(up)", "1"] {
        assert!(parse_metric_selector(text).is_err(), "{text}");
    }
}
