//! Pages of exporters: what is read is written by our writer, and read again as the same.

use exposition::{Entry, Format, HistogramForms, Parser, ProtobufEntry, ProtobufParser, TextWriter};
use model::{Labels, Metadata, MetricType};

type Sample = (Labels, u64, Option<i64>);

pub(crate) fn text(page: &[u8]) {
    text_page(page, Format::Text);
}

pub(crate) fn openmetrics(page: &[u8]) {
    text_page(page, Format::OpenMetrics);
}

fn text_page(page: &[u8], format: Format) {
    let samples = samples(page, format);
    let mut writer = TextWriter::new();
    let written: Vec<&Sample> =
        samples.iter().filter(|(labels, ..)| !labels.metric_name().is_empty()).collect();
    for (labels, bits, timestamp) in &written {
        writer.sample(labels, f64::from_bits(*bits), *timestamp);
    }
    let again = self::samples(writer.finish().as_bytes(), Format::Text);
    assert!(again.iter().eq(written), "read as {samples:?}, written and read again as {again:?}");
}

/// All samples up to the first error; any NaN is one.
fn samples(page: &[u8], format: Format) -> Vec<Sample> {
    let mut parser = Parser::new(page, format);
    let mut samples = Vec::new();
    while let Some(entry) = parser.next() {
        assert!(parser.offset() <= page.len());
        let Ok(Entry::Series(line)) = entry else { continue };
        assert_eq!(
            page.get(line.value_at..line.value_at + line.value_text.len()),
            Some(line.value_text.as_bytes())
        );
        if let Some(exemplar) = &line.exemplar {
            let _ = exemplar.to_model();
        }
        let Ok(labels) = line.labels() else { continue };
        assert_eq!(line.name(), labels.metric_name());
        let value = if line.value.is_nan() { f64::NAN } else { line.value };
        samples.push((labels, value.to_bits(), line.timestamp));
    }
    samples
}

pub(crate) fn protobuf(page: &[u8]) {
    for forms in [HistogramForms::Classic, HistogramForms::Native, HistogramForms::Both] {
        for entry in ProtobufParser::new(page, forms) {
            match entry {
                Ok(ProtobufEntry::Series(series)) => {
                    let mut fed = 0;
                    series.name.identity(|bytes| fed += bytes.len());
                    if let Ok(labels) = series.name.labels() {
                        assert_eq!(labels.metric_name(), series.name.name());
                    }
                }
                Ok(ProtobufEntry::Histogram(histogram)) => {
                    histogram.exemplars().for_each(|exemplar| drop(exemplar.to_model()));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let mut writer = TextWriter::new();
    let metadata =
        |metric_type, help: &str| Metadata { metric_type, help: help.into(), ..Metadata::default() };
    writer.family("http_requests_total", &metadata(MetricType::Counter, "All of \\ them\n."));
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    writer.sample(
        &labels(&[("__name__", "http_requests_total"), ("code", "200")]),
        1027.0,
        Some(1_700_000_000_000),
    );
    writer.family("seconds", &metadata(MetricType::Histogram, ""));
    for (bound, value) in [("0.1", 5.0), ("1e-05", 0.0), ("+Inf", 7.0)] {
        writer.sample(&labels(&[("__name__", "seconds_bucket"), ("le", bound)]), value, None);
    }
    writer.family("with space.and·dot", &metadata(MetricType::Gauge, "UTF-8"));
    writer.sample(&labels(&[("__name__", "with space.and·dot"), ("a b", "q\"uo\\te\nd")]), f64::NAN, None);
    writer.sample(&labels(&[("__name__", "x")]), f64::NEG_INFINITY, Some(-1));
    vec![writer.finish().into_bytes(), b"# comment\n\nup 1\n".to_vec(), Vec::new()]
}

pub(crate) fn openmetrics_seeds() -> Vec<Vec<u8>> {
    let page = "# HELP requests Number.\n# TYPE requests counter\n# UNIT requests requests\n\
                requests_total{code=\"200\"} 17.5 1700000000.123 # {trace_id=\"abc\"} 0.67 1700000000.5\n\
                requests_created{code=\"200\"} 1700000000\n# TYPE s summary\ns{quantile=\"0.5\"} 1e-9\ns_sum NaN\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 2 # {} 0.5\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n\
                # TYPE i info\ni_info{version=\"1\"} 1\n{\"with.dot\",a=\"b\"} -Inf\n# EOF\n";
    vec![page.as_bytes().to_vec(), b"# EOF\n".to_vec(), b"a 1\n# EOF".to_vec()]
}
