//! Checked settings of one scrape job: Prometheus's `<scrape_config>`.

use std::path::PathBuf;
use std::time::Duration;

use client::HttpClientConfig;
use discovery::DiscoveryConfig;
use model::histogram::Resolution;
use model::{NameValidation, RelabelConfig};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The word in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A format that a target may answer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// `OpenMetricsText1.0.0`.
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`.
    OpenMetrics0,
    /// `PrometheusText1.0.0`.
    Text1,
    /// `PrometheusText0.0.4`.
    Text0,
    /// `PrometheusProto`, the only one with native histograms.
    Protobuf,
}

impl ScrapeProtocol {
    /// Every format with its word in a configuration.
    pub const ALL: [(&'static str, Self); 5] = [
        ("PrometheusProto", Self::Protobuf),
        ("OpenMetricsText1.0.0", Self::OpenMetrics1),
        ("OpenMetricsText0.0.1", Self::OpenMetrics0),
        ("PrometheusText1.0.0", Self::Text1),
        ("PrometheusText0.0.4", Self::Text0),
    ];

    /// The formats that are asked for where nothing is said, in order of preference. Where native histograms
    /// are wanted, the one that has them comes first.
    #[must_use]
    pub fn by_default(native_histograms: bool) -> Vec<Self> {
        let texts = Self::ALL.iter().map(|(_, protocol)| *protocol);
        texts.filter(|protocol| native_histograms || *protocol != Self::Protobuf).collect()
    }

    /// The format that a configuration's word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, protocol)| *protocol)
    }
}

/// One job. Every limit of zero means "no limit of its own".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeConfig {
    /// `job_name`: unique, not empty.
    pub job_name: String,
    /// `scrape_interval`, above zero.
    pub interval: Duration,
    /// `scrape_timeout`, above zero, at most the interval.
    pub timeout: Duration,
    /// `metrics_path`.
    pub metrics_path: String,
    /// `params`: query parameters in order of name; a name may have several values.
    pub params: Vec<(String, Vec<String>)>,
    /// `scheme`.
    pub scheme: Scheme,
    /// `honor_labels`: whether a page's labels win over the target's.
    pub honor_labels: bool,
    /// `honor_timestamps`: whether timestamps on the page count.
    pub honor_timestamps: bool,
    /// `track_timestamps_staleness`: whether series with timestamps on the page get stale markers.
    pub track_timestamps_staleness: bool,
    /// `body_size_limit` in bytes, after decompression; a page of that size fails.
    pub body_size_limit: u64,
    /// `sample_limit`: samples after relabelling that a page may have.
    pub sample_limit: u64,
    /// `label_limit`: labels that a series may have.
    pub label_limit: u64,
    /// `label_name_length_limit` in bytes.
    pub label_name_length_limit: u64,
    /// `label_value_length_limit` in bytes.
    pub label_value_length_limit: u64,
    /// `target_limit`: targets of the job after relabelling; with more, all of them fail.
    pub target_limit: u64,
    /// `keep_dropped_targets`: dropped targets that are remembered for the API; zero: [`ScrapeConfig::DROPPED_MAX`].
    pub keep_dropped_targets: u64,
    /// `relabel_configs`, applied to targets.
    pub relabel_configs: Vec<RelabelConfig>,
    /// `metric_relabel_configs`, applied to series.
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// `metric_name_validation_scheme`: names that a page may use.
    pub names: NameValidation,
    /// `enable_compression`: whether gzip is asked for.
    pub enable_compression: bool,
    /// `scrape_protocols` in order of preference, at least one.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// `scrape_native_histograms`: whether native histograms of a page are taken as such.
    pub native_histograms: bool,
    /// `always_scrape_classic_histograms`: whether of a histogram that has both forms the classic one is taken
    /// too.
    pub classic_histograms: bool,
    /// `convert_classic_histograms_to_nhcb`: whether classic histograms become native ones with custom buckets.
    pub classic_to_nhcb: bool,
    /// `native_histogram_bucket_limit`: a histogram with more buckets is made coarser; where it cannot be, the
    /// scrape fails.
    pub native_bucket_limit: u64,
    /// From `native_histogram_min_bucket_factor`: finer histograms are made so coarse.
    pub native_schema_max: Option<Resolution>,
    /// `fallback_scrape_protocol`: what an answer without a known `Content-Type` is read as.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// `scrape_failure_log_file`: where scrapes that fail are noted.
    pub failure_log: Option<PathBuf>,
    /// `extra_scrape_metrics`: whether limits and body size become series.
    pub extra_scrape_metrics: bool,
    /// How requests are sent.
    pub http: HttpClientConfig,
    /// Where targets come from.
    pub discovery: DiscoveryConfig,
}

impl ScrapeConfig {
    /// Dropped targets that are remembered when the configuration sets no limit.
    pub const DROPPED_MAX: u64 = 100_000;
    /// Bytes that a page may have when the configuration sets no limit.
    pub const BODY_MAX: u64 = 512 << 20;

    /// A job with Prometheus's defaults (one minute, ten seconds) and no targets.
    #[must_use]
    pub fn new(job_name: impl Into<String>) -> Self {
        Self {
            job_name: job_name.into(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            metrics_path: "/metrics".to_owned(),
            params: Vec::new(),
            scheme: Scheme::Http,
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            body_size_limit: 0,
            sample_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            target_limit: 0,
            keep_dropped_targets: 0,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            names: NameValidation::Utf8,
            enable_compression: true,
            scrape_protocols: ScrapeProtocol::by_default(false),
            native_histograms: false,
            classic_histograms: false,
            classic_to_nhcb: false,
            native_bucket_limit: 0,
            native_schema_max: None,
            fallback_scrape_protocol: None,
            failure_log: None,
            extra_scrape_metrics: false,
            http: HttpClientConfig::default(),
            discovery: DiscoveryConfig::default(),
        }
    }
}
