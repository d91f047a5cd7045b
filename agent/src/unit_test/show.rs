//! What was wanted and what came of it, compared and written as promtool writes it.

use model::{AnySample, FloatHistogram, Labels};

use crate::go_text;

/// An alert as a test names it; ordered by labels, then annotations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShownAlert {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

/// A sample of an answer; a histogram as its notation, beside a value that does not count.
#[derive(Clone, Debug)]
pub(super) struct ShownSample {
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) histogram: String,
}

impl ShownAlert {
    /// An empty label is none, on either side.
    pub(super) fn new(labels: Labels, annotations: Labels) -> Self {
        Self { labels, annotations }
    }

    fn text(&self) -> String {
        format!(
            "Labels:{}\nAnnotations:{}",
            go_text::labels(&self.labels),
            go_text::labels(&self.annotations)
        )
    }
}

/// Whether both are the same; `fuzzy` where numbers may be neighbours.
pub(super) fn same(wanted: &[ShownSample], got: &[ShownSample], fuzzy: bool) -> bool {
    let number = |a: f64, b: f64| {
        #[allow(clippy::float_cmp, reason = "a test names the value itself")]
        let equal = a == b;
        equal || (fuzzy && (a.next_down() == b || a.next_up() == b))
    };
    wanted.len() == got.len()
        && wanted
            .iter()
            .zip(got)
            .all(|(a, b)| a.labels == b.labels && a.histogram == b.histogram && number(a.value, b.value))
}

/// A histogram in series notation; one that has none (NaN in it, say) as Prometheus prints it.
pub(super) fn histogram(histogram: &FloatHistogram) -> String {
    let mut compact = histogram.clone();
    compact.compact(0);
    compact.notation().unwrap_or_else(|| compact.to_string())
}

pub(super) fn samples(samples: &[ShownSample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let one = |sample: &ShownSample| {
        let labels = go_text::labels(&sample.labels);
        match &*sample.histogram {
            "" => format!("{labels} {}", go_text::exponent(sample.value)),
            histogram => format!("{labels} {histogram}"),
        }
    };
    samples.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The alerts as a list, indented to stand behind `exp:` and `got:`.
pub(super) fn alerts(alerts: &[ShownAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let one = |(at, alert): (usize, &ShownAlert)| {
        format!("{at}:{}", indented(&format!("\n{}", alert.text()), "  "))
    };
    let all: Vec<String> = alerts.iter().enumerate().map(one).collect();
    indented(&format!("[\n{}\n]", all.join(",\n")), "            ")
}

/// A point of `--debug`.
pub(super) fn point(sample: &AnySample) -> String {
    let (value, at) = match sample {
        AnySample::Float(sample) => (model::format_float(sample.value), sample.timestamp),
        AnySample::Histogram(sample) => (sample.histogram.to_float().to_string(), sample.timestamp),
    };
    format!("{value} @[{at}]")
}

/// All lines but the first behind an indent.
fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

const ADDED: &str = "\x1b[0;32m";
const REMOVED: &str = "\x1b[0;31m";
const CHANGED: &str = "\x1b[0;33m";
const PLAIN: &str = "\x1b[0m";

/// Both lists in one, coloured where they differ: what is missing red, what is too much green, what is another
/// value yellow.
pub(super) fn alerts_diff(wanted: &[ShownAlert], got: &[ShownAlert]) -> String {
    let mut lines = vec!["[".to_owned()];
    for at in 0..wanted.len().max(got.len()) {
        let (wanted, got) = (wanted.get(at), got.get(at));
        lines.push("    {".to_owned());
        for (title, part) in [
            ("Labels", (|alert| &alert.labels) as fn(&ShownAlert) -> &Labels),
            ("Annotations", |alert| &alert.annotations),
        ] {
            lines.push(format!("        \"{title}\": {{"));
            lines.extend(pairs_diff(wanted.map(part), got.map(part)));
            lines.push("        }".to_owned());
        }
        lines.push("    }".to_owned());
    }
    lines.push("]".to_owned());
    indented(&lines.join("\n"), "            ")
}

fn pairs_diff(wanted: Option<&Labels>, got: Option<&Labels>) -> Vec<String> {
    let names = [wanted, got].into_iter().flatten().flat_map(|labels| labels.pairs().map(|(name, _)| name));
    let names: std::collections::BTreeSet<&str> = names.collect();
    let quote = promql::quote;
    let line = |name: &str| {
        let of = |labels: Option<&Labels>| labels.and_then(|labels| labels.get(name)).map(quote);
        let name = quote(name);
        let (colour, text) = match (of(wanted), of(got)) {
            (Some(wanted), Some(got)) if wanted == got => return format!("            {name}: {wanted}"),
            (Some(wanted), Some(got)) => (CHANGED, format!("{name}: {wanted} => {got}")),
            (Some(wanted), None) => (REMOVED, format!("{name}: {wanted}")),
            (None, got) => (ADDED, format!("{name}: {}", got.unwrap_or_default())),
        };
        format!("            {colour}{text}{PLAIN}")
    };
    names.into_iter().map(line).collect()
}
