//! `check metrics`: what the conventions say about a page of metrics.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read as _;

use anyhow::{Result, anyhow};
use exposition::{Entry, Format, Parser, belongs_to_family};
use model::{Labels, MetricType};

use super::{LINT, failed};

/// Units to be measured in, and others with the one to be used instead.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

const TYPES: [(&str, MetricType); 5] = [
    ("counter", MetricType::Counter),
    ("gauge", MetricType::Gauge),
    ("summary", MetricType::Summary),
    ("histogram", MetricType::Histogram),
    ("gauge_histogram", MetricType::GaugeHistogram),
];

/// A family as a page has it.
#[derive(Default)]
struct Family {
    metric_type: MetricType,
    has_help: bool,
    series: Vec<Labels>,
}

#[allow(clippy::print_stderr, reason = "promtool's words")]
pub(super) fn check(extended: bool) -> Result<()> {
    let mut page = Vec::new();
    std::io::stdin().read_to_end(&mut page)?;
    let families = read(&page).map_err(|error| anyhow!("error while linting: {error}"))?;
    let mut problems: Vec<(&str, String)> = Vec::new();
    for (name, family) in &families {
        problems.extend(lint(name, family).into_iter().map(|what| (name.as_str(), what)));
    }
    problems.sort();
    for (metric, what) in &problems {
        eprintln!("{metric} {what}");
    }
    if !problems.is_empty() {
        return Err(failed(LINT));
    }
    if extended {
        print_cardinality(&families);
    }
    Ok(())
}

fn read(page: &[u8]) -> Result<BTreeMap<String, Family>, String> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for entry in Parser::new(page, Format::Text) {
        match entry.map_err(|error| error.to_string())? {
            Entry::Help { family, .. } => families.entry(family.into_owned()).or_default().has_help = true,
            Entry::Type { family, metric_type } => {
                current = family.into_owned();
                families.entry(current.clone()).or_default().metric_type = metric_type;
            }
            Entry::Unit { .. } => {}
            Entry::Series(line) => {
                let labels = line.labels()?;
                let name = labels.metric_name().to_owned();
                let known = families.get(&current).map(|family| family.metric_type);
                let belongs = known.is_some_and(|kind| belongs_to_family(&name, &current, kind));
                let family = if belongs { current.clone() } else { name };
                families.entry(family).or_default().series.push(labels);
            }
        }
    }
    // A help or type without a sample is no metric.
    families.retain(|_, family| !family.series.is_empty());
    Ok(families)
}

fn lint(name: &str, family: &Family) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: &str| found.push(what.to_owned());
    if !family.has_help {
        say("no help text");
    }
    if let Some((unit, base)) = unit(name).filter(|(unit, base)| unit != base) {
        say(&format!("use base unit {base:?} instead of {unit:?}"));
    }
    reserved(name, family, &mut say);
    let lower = name.to_lowercase();
    let has_part = |part: &str| lower.contains(&format!("_{part}_")) || lower.ends_with(&format!("_{part}"));
    for (word, _) in TYPES.iter().filter(|(word, _)| has_part(word)) {
        say(&format!("metric name should not include type '{word}'"));
    }
    if name.contains(':') {
        say("metric names should not contain ':'");
    }
    if is_camel(name) {
        say("metric names should be written in 'snake_case' not 'camelCase'");
    }
    for _ in ABBREVIATIONS.iter().filter(|part| has_part(part)) {
        say("metric names should not contain abbreviated units");
    }
    let names: BTreeSet<&str> =
        family.series.iter().flat_map(|labels| labels.pairs().map(|(name, _)| name)).collect();
    if names.iter().any(|name| is_camel(name)) {
        say("label names should be written in 'snake_case' not 'camelCase'");
    }
    let mut seen = HashSet::new();
    if !family.series.iter().all(|labels| seen.insert(labels)) {
        say("metric not unique");
    }
    found
}

/// Suffixes and labels that belong to one type.
fn reserved(name: &str, family: &Family, say: &mut dyn FnMut(&str)) {
    let kind = family.metric_type;
    let total = name.ends_with("_total");
    if kind == MetricType::Counter && !total {
        say("counter metrics should have \"_total\" suffix");
    }
    if kind == MetricType::Unknown {
        return;
    }
    if kind != MetricType::Counter && total {
        say("non-counter metrics should not have \"_total\" suffix");
    }
    let histogram = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
    let summary = kind == MetricType::Summary;
    if !histogram && name.ends_with("_bucket") {
        say("non-histogram metrics should not have \"_bucket\" suffix");
    }
    for suffix in ["_count", "_sum"] {
        if !histogram && !summary && name.ends_with(suffix) {
            say(&format!("non-histogram and non-summary metrics should not have {suffix:?} suffix"));
        }
    }
    let has = |label: &str| family.series.iter().any(|labels| labels.get(label).is_some());
    if !histogram && has("le") {
        say("non-histogram metrics should not have \"le\" label");
    }
    if !summary && has("quantile") {
        say("non-summary metrics should not have \"quantile\" label");
    }
}

/// The unit in a name, and the one to be used.
fn unit(name: &str) -> Option<(String, &'static str)> {
    let parts: Vec<&str> = name.split('_').collect();
    for (unit, base) in UNITS {
        for prefix in PREFIXES.iter().chain(&[""]) {
            let whole = format!("{prefix}{unit}");
            if parts.contains(&whole.as_str()) {
                return Some((whole, base));
            }
        }
    }
    None
}

fn is_camel(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// A table as Go's tabwriter lays it out: cells four wide at least, four spaces between.
#[allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "promtool's table of counts")]
fn print_cardinality(families: &BTreeMap<String, Family>) {
    let total: usize = families.values().map(|family| family.series.len()).sum();
    let mut counts: Vec<(&str, usize)> =
        families.iter().map(|(name, family)| (name.as_str(), family.series.len())).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut rows = vec![["Metric".to_owned(), "Cardinality".to_owned(), "Percentage".to_owned()]];
    rows.extend(counts.iter().map(|(name, count)| {
        [(*name).to_owned(), count.to_string(), format!("{:.2}%", *count as f64 / total as f64 * 100.0)]
    }));
    rows.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 4;
    let widths = [width(0), width(1), width(2)];
    for row in &rows {
        println!("{:a$}{:b$}{:c$}", row[0], row[1], row[2], a = widths[0], b = widths[1], c = widths[2]);
    }
}
