//! `global`: what holds for every job and rule.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Labels, NameValidation};
use scrape::ScrapeProtocol;
use yaml::{Checker, View};

use crate::env::expand;

/// Default of `scrape_interval` and `evaluation_interval`.
pub(crate) const SCRAPE_INTERVAL: Duration = Duration::from_secs(60);
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// `global`, with Prometheus's defaults where nothing is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// `scrape_interval`.
    pub scrape_interval: Duration,
    /// `scrape_timeout`, at most the interval.
    pub scrape_timeout: Duration,
    /// `evaluation_interval`.
    pub evaluation_interval: Duration,
    /// `rule_query_offset`; `None` where the file sets none.
    pub rule_query_offset: Option<Duration>,
    /// `external_labels`, environment variables expanded.
    pub external_labels: Labels,
    /// `scrape_protocols`, where set.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// `scrape_native_histograms`.
    pub native_histograms: bool,
    /// `always_scrape_classic_histograms`.
    pub classic_histograms: bool,
    /// `convert_classic_histograms_to_nhcb`.
    pub classic_to_nhcb: bool,
    /// `metric_name_validation_scheme`.
    pub names: NameValidation,
    /// `metric_name_escaping_scheme`, where set.
    pub escaping: Option<String>,
    /// `extra_scrape_metrics`.
    pub extra_scrape_metrics: bool,
    /// Limits that a job inherits where its own are zero.
    pub limits: Limits,
    /// `query_log_file`, below the configuration's folder where relative.
    pub query_log_file: Option<PathBuf>,
    /// `scrape_failure_log_file` likewise, for jobs that name none.
    pub scrape_failure_log_file: Option<PathBuf>,
}

/// What a job's pages and targets may be; zero: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `body_size_limit`, bytes.
    pub body_size: u64,
    /// `sample_limit`.
    pub samples: u64,
    /// `target_limit`.
    pub targets: u64,
    /// `label_limit`.
    pub labels: u64,
    /// `label_name_length_limit`, bytes.
    pub label_name_length: u64,
    /// `label_value_length_limit`, bytes.
    pub label_value_length: u64,
    /// `keep_dropped_targets`.
    pub dropped_targets: u64,
}

impl Limits {
    /// The limits in a map; a limit that is zero or absent is `or`'s.
    pub(crate) fn read(view: View<'_>, or: Self) -> Self {
        let count = |key: &str, or: u64| view.count(key).filter(|set| *set != 0).unwrap_or(or);
        Self {
            body_size: view.size("body_size_limit").filter(|set| *set != 0).unwrap_or(or.body_size),
            samples: count("sample_limit", or.samples),
            targets: count("target_limit", or.targets),
            labels: count("label_limit", or.labels),
            label_name_length: count("label_name_length_limit", or.label_name_length),
            label_value_length: count("label_value_length_limit", or.label_value_length),
            dropped_targets: count("keep_dropped_targets", or.dropped_targets),
        }
    }
}

/// A duration that is set and not zero.
pub(crate) fn set_duration(view: View<'_>, key: &str) -> Option<Duration> {
    view.duration(key).filter(|set| !set.is_zero())
}

/// `metric_name_validation_scheme`, where set.
pub(crate) fn names(view: View<'_>) -> Option<NameValidation> {
    match view.text("metric_name_validation_scheme") {
        Some("legacy") => Some(NameValidation::Legacy),
        Some("utf8") => Some(NameValidation::Utf8),
        _ => None,
    }
}

/// `scrape_protocols`, where set.
pub(crate) fn protocols(view: View<'_>) -> Option<Vec<ScrapeProtocol>> {
    let words = view.texts("scrape_protocols");
    let known: Vec<_> = words.iter().filter_map(|word| ScrapeProtocol::from_word(word)).collect();
    (!known.is_empty()).then_some(known)
}

impl Global {
    pub(crate) fn read(
        view: View<'_>,
        base: &std::path::Path,
        check: &mut Checker,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let scrape_interval = set_duration(view, "scrape_interval").unwrap_or(SCRAPE_INTERVAL);
        let timeout = set_duration(view, "scrape_timeout").unwrap_or(SCRAPE_TIMEOUT.min(scrape_interval));
        let labels =
            view.pairs("external_labels").into_iter().map(|(name, value)| (name, expand(&value, variable)));
        let names = names(view).unwrap_or_default();
        let escaping = view.text("metric_name_escaping_scheme").filter(|set| !set.is_empty());
        note_escaping(view, names, check);
        Self {
            scrape_interval,
            scrape_timeout: timeout,
            evaluation_interval: set_duration(view, "evaluation_interval").unwrap_or(SCRAPE_INTERVAL),
            rule_query_offset: view.duration("rule_query_offset"),
            external_labels: Labels::from_pairs(labels),
            scrape_protocols: protocols(view),
            native_histograms: view.flag("scrape_native_histograms").unwrap_or(false),
            classic_histograms: view.flag("always_scrape_classic_histograms").unwrap_or(false),
            classic_to_nhcb: view.flag("convert_classic_histograms_to_nhcb").unwrap_or(false),
            names,
            escaping: escaping.map(str::to_owned),
            extra_scrape_metrics: view.flag("extra_scrape_metrics").unwrap_or(false),
            limits: Limits::read(view, Limits::default()),
            query_log_file: file(view, "query_log_file", base),
            scrape_failure_log_file: file(view, "scrape_failure_log_file", base),
        }
    }
}

/// A file that a key names, below the configuration's folder where relative.
pub(crate) fn file(view: View<'_>, key: &str, base: &Path) -> Option<PathBuf> {
    view.text(key).filter(|path| !path.is_empty()).map(|path| yaml::join(base, path))
}

/// Notes an escaping that targets would have to be asked for.
pub(crate) fn note_escaping(view: View<'_>, names: NameValidation, check: &mut Checker) {
    let usual = if names == NameValidation::Legacy { "underscores" } else { "allow-utf-8" };
    if let Some(word) =
        view.text("metric_name_escaping_scheme").filter(|word| !word.is_empty() && *word != usual)
    {
        check.later(
            view.key_at("metric_name_escaping_scheme"),
            &format!("metric_name_escaping_scheme: {word}"),
            "asking targets to escape names",
        );
    }
}
