//! One entry of `scrape_configs`, with what it inherits.

use std::path::Path;

use discovery::{DiscoveryConfig, FileSdConfig, StaticConfig};
use model::histogram::Resolution;
use model::{Labels, NameValidation};
use scrape::{Scheme, ScrapeConfig, ScrapeProtocol};
use yaml::{Checker, View};

use crate::global::{Global, Limits, names, note_escaping, protocols, set_duration};
use crate::relabel;

/// The job in `view`, or `None` where something about it is wrong, which is noted. Relative files
/// are below `base`.
pub(crate) fn read(
    view: View<'_>,
    global: &Global,
    base: &Path,
    check: &mut Checker,
) -> Option<ScrapeConfig> {
    let before = check.count();
    let name = view.text_or_empty("job_name").to_owned();
    let interval = set_duration(view, "scrape_interval").unwrap_or(global.scrape_interval);
    let timeout = set_duration(view, "scrape_timeout").unwrap_or(global.scrape_timeout.min(interval));
    if timeout > interval {
        let message = format!(
            "scrape timeout greater than scrape interval for scrape config with job name {name:?}; expected at most {}",
            model::format_duration(interval)
        );
        check.error(view.value_at("scrape_timeout"), message);
    }
    let names = names(view).unwrap_or(global.names);
    escaping(view, global, names, check);
    let limits = Limits::read(view, global.limits);
    let flag = |key: &str, default: bool| view.flag(key).unwrap_or(default);
    let native = flag("scrape_native_histograms", global.native_histograms);
    let job = ScrapeConfig {
        job_name: name,
        interval,
        timeout,
        metrics_path: view
            .text("metrics_path")
            .filter(|path| !path.is_empty())
            .unwrap_or("/metrics")
            .to_owned(),
        params: params(view),
        scheme: if view.text("scheme") == Some("https") { Scheme::Https } else { Scheme::Http },
        honor_labels: flag("honor_labels", false),
        honor_timestamps: flag("honor_timestamps", true),
        track_timestamps_staleness: flag("track_timestamps_staleness", false),
        body_size_limit: limits.body_size,
        sample_limit: limits.samples,
        label_limit: limits.labels,
        label_name_length_limit: limits.label_name_length,
        label_value_length_limit: limits.label_value_length,
        target_limit: limits.targets,
        keep_dropped_targets: limits.dropped_targets,
        relabel_configs: relabel::rules(view, "relabel_configs", names, check),
        metric_relabel_configs: relabel::rules(view, "metric_relabel_configs", names, check),
        names,
        enable_compression: flag("enable_compression", true),
        scrape_protocols: protocols(view)
            .or_else(|| global.scrape_protocols.clone())
            .unwrap_or_else(|| ScrapeProtocol::by_default(native)),
        native_histograms: native,
        classic_histograms: flag("always_scrape_classic_histograms", global.classic_histograms),
        classic_to_nhcb: flag("convert_classic_histograms_to_nhcb", global.classic_to_nhcb),
        native_bucket_limit: view.count("native_histogram_bucket_limit").unwrap_or(0),
        native_schema_max: view.float("native_histogram_min_bucket_factor").and_then(schema_max),
        fallback_scrape_protocol: view.text("fallback_scrape_protocol").and_then(ScrapeProtocol::from_word),
        failure_log: crate::global::file(view, "scrape_failure_log_file", base)
            .or_else(|| global.scrape_failure_log_file.clone()),
        extra_scrape_metrics: flag("extra_scrape_metrics", global.extra_scrape_metrics),
        http: yaml::client_config(view, base, check),
        discovery: discovery(view, base, check),
    };
    (check.count() == before).then_some(job)
}

/// The finest schema whose buckets grow by at least this factor; none where the finest of all does.
fn schema_max(factor: f64) -> Option<Resolution> {
    if factor <= 1.0 {
        return None;
    }
    let wanted = -factor.log2().log2().floor();
    let finest = f64::from(Resolution::FINEST);
    #[allow(clippy::cast_possible_truncation, reason = "between the coarsest and the finest schema")]
    let schema = wanted.clamp(f64::from(Resolution::COARSEST), finest) as i32;
    if schema >= Resolution::FINEST { None } else { Resolution::new(schema) }
}

fn escaping(view: View<'_>, global: &Global, names: NameValidation, check: &mut Checker) {
    let own = view.text("metric_name_escaping_scheme").filter(|set| !set.is_empty());
    let word = own.or(global.escaping.as_deref());
    if names == NameValidation::Legacy && word == Some("allow-utf-8") {
        check.error(
            view.value_at("metric_name_escaping_scheme"),
            "utf8 metric names requested but validation scheme is not set to UTF8; expected underscores, dots or values",
        );
    }
    note_escaping(view, names, check);
}

fn params(view: View<'_>) -> Vec<(String, Vec<String>)> {
    let Some(node) = view.get("params") else { return Vec::new() };
    let params = View::of(node);
    let mut found: Vec<_> =
        node.entries().iter().map(|entry| (entry.key.clone(), params.texts(&entry.key))).collect();
    found.sort();
    found
}

/// Static targets and files under `view`.
pub(crate) fn discovery(view: View<'_>, base: &Path, check: &mut Checker) -> DiscoveryConfig {
    let statics = view
        .list("static_configs")
        .map(|group| StaticConfig {
            targets: group.texts("targets"),
            labels: Labels::from_pairs(group.pairs("labels")),
        })
        .collect();
    let mut files = Vec::new();
    for entry in view.list("file_sd_configs") {
        let paths = entry.texts("files").iter().map(|path| yaml::join(base, path)).collect();
        let refresh = entry.duration("refresh_interval").unwrap_or(FileSdConfig::REFRESH_INTERVAL);
        match FileSdConfig::new(paths, refresh) {
            Ok(config) => files.push(config),
            Err(error) => check.error(entry.value_at("files"), error.to_string()),
        }
    }
    DiscoveryConfig { statics, files }
}
