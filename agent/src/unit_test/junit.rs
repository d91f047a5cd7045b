//! Results as JUnit's XML, for build servers.

use std::fmt::Write as _;

/// A file's results.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) name: String,
    /// RFC 3339 without a zone; empty where the file could not be read.
    pub(super) timestamp: String,
    /// Each test group with what was wrong.
    pub(super) cases: Vec<(String, Vec<String>)>,
    /// Why the file as a whole could not be run.
    pub(super) error: Option<String>,
}

/// The whole document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut out = String::from("<testsuites>");
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|(_, wrong)| wrong.len()).sum();
        let errors = usize::from(suite.error.is_some());
        let tests = suite.cases.len() + errors;
        let _ = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" timestamp=\"{}\">",
            escaped(&suite.name),
            suite.timestamp
        );
        if let Some(error) = &suite.error {
            let _ = write!(out, "<testcase name=\"\"><error>{}</error></testcase>", escaped(error));
        }
        for (name, wrong) in &suite.cases {
            let _ = write!(out, "<testcase name=\"{}\">", escaped(name));
            for what in wrong {
                let _ = write!(out, "<failure>{}</failure>", escaped(what));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>");
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            // No other control character may stand in XML, not even escaped.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_escaped() {
        let suite = Suite {
            name: "a.yml".to_owned(),
            timestamp: "2026-01-02T03:04:05".to_owned(),
            cases: vec![("good".to_owned(), vec![]), ("bad".to_owned(), vec!["1 < 2\x1b".to_owned()])],
            error: None,
        };
        assert_eq!(
            document(&[suite]),
            "<testsuites><testsuite name=\"a.yml\" tests=\"2\" failures=\"1\" errors=\"0\" \
             timestamp=\"2026-01-02T03:04:05\"><testcase name=\"good\"></testcase><testcase name=\"bad\">\
             <failure>1 &lt; 2\u{fffd}</failure></testcase></testsuite></testsuites>"
        );
    }
}
