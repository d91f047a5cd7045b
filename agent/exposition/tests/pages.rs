//! Pages: what they say, what is refused and where, and that writing and reading agree.

use std::path::PathBuf;

use model::{Labels, Metadata, MetricType};
use proptest::prelude::*;
use vedette_exposition::{Entry, Format, Parser, TextWriter, parse_after_value};

/// A page as one line per entry, or the error.
fn said(page: &[u8], format: Format) -> Result<Vec<String>, String> {
    Parser::new(page, format)
        .map(|entry| {
            Ok(match entry.map_err(|error| error.to_string())? {
                Entry::Help { family, help } => format!("help {family} {help:?}"),
                Entry::Type { family, metric_type } => format!("type {family} {metric_type}"),
                Entry::Unit { family, unit } => format!("unit {family} {unit}"),
                Entry::Series(line) => {
                    let mut text = format!("{} {}", line.labels()?, line.value_text);
                    if let Some(timestamp) = line.timestamp {
                        text += &format!(" @{timestamp}");
                    }
                    if let Some(exemplar) = &line.exemplar {
                        let exemplar = exemplar.to_model()?;
                        text += &format!(" # {} {}", exemplar.labels, exemplar.value);
                        text += &exemplar.timestamp.map_or_else(String::new, |at| format!(" @{at}"));
                    }
                    text
                }
            })
        })
        .collect()
}

fn check(format: Format, page: &str, expected: &[&str]) {
    assert_eq!(said(page.as_bytes(), format).expect(page), expected, "{page}");
}

#[test]
fn text_pages_say_what_they_say() {
    check(
        Format::Text,
        concat!(
            "# HELP a Some \\n help \\\\ \\x\n# TYPE a counter\n# a comment\n\n",
            "a{x=\"1\", y = \"q\\\"\\\\\\n\\z\",} 1 123\n  b 2.50\nc{} NaN\r\n{\"d.e\",\"l m\"=\"v\"} +Inf -5\nlast 0"
        ),
        &[
            "help a \"Some \\n help \\\\ \\\\x\"",
            "type a counter",
            r#"a{x="1", y="q\"\\\n\\z"} 1 @123"#,
            "b 2.50",
            "c NaN",
            r#"{__name__="d.e", "l m"="v"} +Inf @-5"#,
            "last 0",
        ],
    );
}

#[test]
fn bounds_have_one_spelling() {
    check(
        Format::Text,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE s summary\ns{quantile=\"0.50\"} 1\ns{le=\"1\"} 1\n",
        &[
            "type h histogram",
            r#"h_bucket{le="1.0"} 1"#,
            r#"h_bucket{le="+Inf"} 1"#,
            "type s summary",
            r#"s{quantile="0.5"} 1"#,
            r#"s{le="1"} 1"#,
        ],
    );
}

#[test]
fn openmetrics_pages_say_what_they_say() {
    check(
        Format::OpenMetrics,
        concat!(
            "# HELP a_seconds Help \\\"q\\\"\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n",
            "a_seconds_bucket{le=\"1\"} 4 1.5 # {trace=\"x\"} 0.5 2.25\na_seconds_count 4 # {} 1\nb_total 1\n# EOF\n"
        ),
        &[
            "help a_seconds \"Help \\\"q\\\"\"",
            "type a_seconds histogram",
            "unit a_seconds seconds",
            r#"a_seconds_bucket{le="1.0"} 4 @1500 # {trace="x"} 0.5 @2250"#,
            "a_seconds_count 4 # {} 1",
            "b_total 1",
        ],
    );
}

#[test]
fn a_bad_page_is_refused_with_its_line() {
    for (format, page, error) in [
        (Format::Text, "a 1\nb\n", "line 2: expected a value, got the end of the line"),
        (Format::Text, "a{x=1} 1\n", "line 1: expected a label value in double quotes, got \"1} 1\""),
        (Format::Text, "a{x=\"1} 1\n", "line 1: expected a closing '\"'"),
        (Format::Text, "a{x=\"1\\", "line 1: expected a closing '\"'"),
        (Format::Text, "a{x=\"1\" y=\"2\"} 1\n", "line 1: expected ',' or '}'"),
        (Format::Text, "a{x} 1\n", "line 1: expected '='"),
        (Format::Text, "a{\"b\"} 1\n", "line 1: expected '='"),
        (Format::Text, "a{x=\"1\",x=\"2\"} 1\n", "label name \"x\" is not unique"),
        (Format::Text, "a{__name__=\"b\"} 1\n", "label name \"__name__\" is not unique"),
        (Format::Text, "a 1 2 3\n", "line 1: expected the end of the line, got \"3\""),
        (Format::Text, "a 1 2.5\n", "line 1: expected a timestamp in milliseconds"),
        (Format::Text, "a 0x1p3\n", "line 1: expected a value"),
        (Format::Text, "1a 1\n", "line 1: expected a metric name"),
        (Format::Text, "# TYPE a thing\n", "line 1: expected counter, gauge"),
        (Format::Text, "<html>\n", "line 1: expected a metric name, got \"<html>\""),
        (Format::OpenMetrics, "a 1\n", "line 2: data does not end with # EOF"),
        (Format::OpenMetrics, "a 1", "line 1: the page ends within a line"),
        (Format::OpenMetrics, "# EOF\na 1\n", "line 2: unexpected data after # EOF"),
        (Format::OpenMetrics, "# a comment\n# EOF\n", "line 1: expected HELP, TYPE, UNIT or EOF"),
        (Format::OpenMetrics, "# UNIT a_b c\n# EOF\n", "line 1: unit \"c\" not a suffix of metric \"a_b\""),
        (Format::OpenMetrics, "a 1 NaN\n# EOF\n", "line 1: expected a timestamp in seconds"),
        (Format::OpenMetrics, "a 1 # x\n# EOF\n", "line 1: expected '{' of an exemplar"),
        (Format::OpenMetrics, "\n# EOF\n", "line 1: expected a metric name"),
    ] {
        let found = said(page.as_bytes(), format).expect_err(page);
        assert!(found.contains(error), "{page:?}: {found:?} should say {error:?}");
    }
    let error = said(b"a{x=\"\xff\"} 1\n", Format::Text).expect_err("no UTF-8");
    assert_eq!(error, "line 1: invalid UTF-8 after byte 5 of the line");
}

#[test]
fn lines_know_where_they_stand() {
    for (format, page, first) in [
        (Format::Text, "# HELP a A.\n  a{x=\"1\"}\t12.5  7 \r\nb 3", ("  a{x=\"1\"}\t", "12.5", "  7 \r\n")),
        (Format::OpenMetrics, "a 1 # {t=\"1\"} 2\nb 3\n# EOF\n", ("a ", "1", " # {t=\"1\"} 2\n")),
    ] {
        let mut parser = Parser::new(page.as_bytes(), format);
        let line = loop {
            if let Entry::Series(line) = parser.next().expect("a line").expect("a good page") {
                break line;
            }
        };
        let value_end = line.value_at + line.value_text.len();
        let found = (
            &page[line.line_at..line.value_at],
            &page[line.value_at..value_end],
            &page[value_end..parser.offset()],
        );
        assert_eq!(found, first);
    }
}

#[test]
fn what_follows_a_value_is_read_alone() {
    for (format, rest, time) in [
        (Format::Text, "", Some(None)),
        (Format::Text, " \t\r", Some(None)),
        (Format::Text, " -12\r", Some(Some(-12))),
        (Format::Text, " 12 13", None),
        (Format::Text, " 1.5", None),
        (Format::OpenMetrics, " 1.5", Some(Some(1_500))),
        (Format::OpenMetrics, " 1.5 # {t=\"x\"} 1 2", Some(Some(1_500))),
        (Format::OpenMetrics, " # {t=\"x\"} 1", Some(None)),
        (Format::OpenMetrics, " # {t=x} 1", None),
        (Format::OpenMetrics, "\r", None),
    ] {
        assert_eq!(parse_after_value(rest.as_bytes(), format).ok().map(|(time, _)| time), time, "{rest:?}");
    }
    assert!(parse_after_value(b" \xff", Format::Text).is_err());
}

#[test]
fn real_pages_parse_whole() {
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance")),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(root.join("exposition")) else {
        println!("skipped: no conformance data at {}", root.display());
        return;
    };
    let mut pages = 0;
    for file in folder.map(|entry| entry.expect("an entry").path()) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let format = if name.ends_with(".om.txt") { Format::OpenMetrics } else { Format::Text };
        let page = std::fs::read(&file).expect("a page");
        let said = said(&page, format).unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = page.split(|byte| *byte == b'\n');
        let entries = lines.filter(|line| !line.is_empty() && *line != b"# EOF").count();
        assert_eq!(said.len(), entries, "{name}: every line is an entry");
        pages += 1;
    }
    assert!(pages > 0, "no pages in {}", root.display());
}

proptest! {
    #[test]
    fn no_bytes_panic(page in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = said(&page, format);
        }
    }

    #[test]
    fn no_text_that_looks_like_a_page_panics(page in "([a-z{}\"=,\\\\# \\n0-9é]|# TYPE a |# EOF\n| # \\{){0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = said(page.as_bytes(), format);
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        name in "\\PC{1,12}",
        pairs in proptest::collection::btree_map("[^_]\\PC{0,6}", "(?s).{1,12}", 0..4),
        bits in any::<u64>(),
        timestamp in proptest::option::of(any::<i64>()),
    ) {
        let all = pairs.into_iter().chain([("__name__".to_owned(), name.clone())]);
        let labels = Labels::from_pairs(all);
        let value = f64::from_bits(bits);
        let mut writer = TextWriter::new();
        writer.family(&name, &Metadata { metric_type: MetricType::Gauge, help: "a\n\\b".into(), ..Metadata::default() });
        writer.sample(&labels, value, timestamp);
        let page = writer.finish();
        let entries: Result<Vec<_>, _> = Parser::new(page.as_bytes(), Format::Text).collect();
        let entries = entries.map_err(|error| TestCaseError::fail(format!("{error} in {page:?}")))?;
        let Some(Entry::Series(line)) = entries.last() else { return Err(TestCaseError::fail(page)) };
        prop_assert_eq!(line.labels().expect("labels"), labels);
        prop_assert_eq!(line.timestamp, timestamp);
        prop_assert!(line.value.to_bits() == bits || (value.is_nan() && line.value.is_nan()));
    }
}
