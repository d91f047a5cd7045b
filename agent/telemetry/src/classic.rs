//! OpenMetrics text to the classic text format 0.0.4, for the pages that `prometheus-client` writes.
//!
//! Not a general converter: it relies on what that encoder does, such as writing HELP before TYPE.

/// Rewrites a page.
pub(crate) fn from_openmetrics(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help: Option<(&str, &str)> = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').unwrap_or((rest, "")));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                line_of(&mut out, &["# HELP ", name, suffix, " ", text]);
            }
            line_of(&mut out, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            line_of(&mut out, &[without_exemplar(line)]);
        }
    }
    out
}

fn line_of(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
    out.push('\n');
}

/// The sample without the exemplar behind it; a `#` inside a quoted label value starts none.
fn without_exemplar(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::exemplar::CounterWithExemplar;

    use crate::{Counter, Family, FloatGauge, Histogram, Info, LabelPairs, Registry};

    fn sample_registry() -> Registry {
        let registry = Registry::new();
        let requests = Family::<LabelPairs, Counter>::default();
        requests.get_or_create(&vec![("handler".into(), "/a \"b\" \\ # {c}\n".into())]).inc_by(3);
        registry.register("requests", "Requests by \"handler\".", requests);
        let temperature = FloatGauge::default();
        temperature.set(-1.5);
        registry.register("temperature_celsius", "Two\nlines.", temperature);
        let latency = Histogram::new([0.1, 1.0]);
        latency.observe(0.25);
        registry.register("latency_seconds", "Latency.", latency);
        registry.register("build", "Build.", Info::new(vec![("version", "1.2.3")]));
        let traced = CounterWithExemplar::<LabelPairs>::default();
        traced.inc_by(1, Some(vec![("trace_id".into(), "abc".into())]), None);
        registry.register("traced", "With an exemplar.", traced);
        registry
    }

    #[test]
    fn a_page_in_the_classic_format() {
        let expected = "\
# HELP build_info Build.
# TYPE build_info gauge
build_info{version=\"1.2.3\"} 1
# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_sum 0.25
latency_seconds_count 1
latency_seconds_bucket{le=\"0.1\"} 0
latency_seconds_bucket{le=\"1.0\"} 1
latency_seconds_bucket{le=\"+Inf\"} 1
# HELP requests_total Requests by \"handler\".
# TYPE requests_total counter
requests_total{handler=\"/a \\\"b\\\" \\\\ # {c}\\n\"} 3
# HELP temperature_celsius Two\\nlines.
# TYPE temperature_celsius gauge
temperature_celsius -1.5
# HELP traced_total With an exemplar.
# TYPE traced_total counter
traced_total 1
";
        assert_eq!(sample_registry().encode_text(), expected);
    }

    #[test]
    fn openmetrics_keeps_family_names_and_ends() {
        let page = sample_registry().encode_openmetrics();
        assert!(page.contains("# TYPE requests counter\nrequests_total{"), "{page}");
        assert!(page.contains("# {trace_id=\"abc\"}"), "{page}");
        assert!(page.ends_with("\n# EOF\n"), "{page}");
    }

    #[test]
    fn a_name_that_comes_again_replaces_the_old_metric() {
        let registry = Registry::new();
        for value in [1, 2] {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            registry.register("part", "A part.", counter);
        }
        assert_eq!(
            registry.encode_text(),
            "# HELP part_total A part.\n# TYPE part_total counter\npart_total 2\n"
        );
    }
}
