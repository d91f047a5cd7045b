//! Flags that both binaries take, spelled as Prometheus spells them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use api::{ApiOptions, RemoteReadOptions};
use clap::Args;
use config::{Loaded, StorageSection};
use promql::{EngineOptions, Features};
use web::{UiInfo, WebOptions};

/// Requests in progress are given so long when the process stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Where and how to listen for HTTP.
#[derive(Args, Clone, Debug)]
pub struct WebFlags {
    /// Address to listen on for UI, API and metrics. May be repeated.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = listen_address)]
    pub listen: Vec<SocketAddr>,
    /// Prometheus's web-config file: TLS, headers, users.
    #[arg(id = "web_config_file", long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Longest time to read a request's head, and for a connection to stand idle.
    #[arg(long = "web.read-timeout", default_value = "5m", value_parser = duration)]
    pub read_timeout: Duration,
    /// Most connections at a time.
    #[arg(long = "web.max-connections", default_value_t = 512)]
    pub max_connections: usize,
    /// URL under which users reach this server; links in alerts point there.
    #[arg(long = "web.external-url", value_name = "URL", default_value = "")]
    pub external_url: String,
    /// Path that all routes live under; the external URL's path where absent.
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<String>,
    /// Allow /-/reload and /-/quit over HTTP.
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
    /// Listeners to /api/v1/notifications/live, at most; further ones are sent away.
    #[arg(long = "web.max-notifications-subscribers", default_value_t = 16)]
    pub listeners_max: usize,
    /// Most results that a search may ask for, with --enable-feature=search-api; 0 for no limit.
    #[arg(long = "web.search.max-limit", default_value_t = 10_000)]
    pub search_max: usize,
    /// Regex of the origins whose pages may read answers.
    #[arg(long = "web.cors.origin", default_value = ".*", value_name = "REGEX")]
    pub cors_origin: String,
}

impl WebFlags {
    /// How to listen.
    #[must_use]
    pub fn options(&self, listen: Vec<SocketAddr>, ui: UiInfo) -> WebOptions {
        WebOptions {
            config_file: self.web_config_file.clone(),
            max_connections: self.max_connections,
            read_timeout: self.read_timeout,
            route_prefix: self.prefix(),
            external_url: self.external_url.clone(),
            drain_timeout: DRAIN,
            ..WebOptions::new(listen, ui)
        }
    }

    /// The path that all routes live under.
    #[must_use]
    pub fn prefix(&self) -> String {
        let path = || {
            self.external_url
                .split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .map_or("", |(_, path)| path)
        };
        self.route_prefix.clone().unwrap_or_else(|| path().to_owned())
    }

    /// The URL that links in alerts start with: as configured, else the host's name and the port in use.
    #[must_use]
    pub fn external_url_or(&self, listening: SocketAddr) -> String {
        if self.external_url.is_empty() {
            format!("http://{}:{}", host::host_name(), listening.port())
        } else {
            self.external_url.trim_end_matches('/').to_owned()
        }
    }
}

/// A cache of less holds no file's index.
const SEALED_MEMORY_MIN: u64 = 1 << 20;

/// Where and for how long to keep samples.
#[derive(Args, Clone, Debug)]
pub struct StorageFlags {
    /// Folder of the store.
    #[arg(
        long = "storage.tsdb.path",
        visible_alias = "storage.path",
        default_value = "data/",
        value_name = "DIR"
    )]
    pub path: PathBuf,
    /// How long samples are kept.
    #[arg(long = "storage.tsdb.retention.time", default_value = "15d", value_parser = duration)]
    pub retention_time: Duration,
    /// Bytes that the store may use, such as 512MB or 10GB; 0 sets no limit.
    #[arg(long = "storage.tsdb.retention.size", default_value = "0", value_parser = bytes)]
    pub retention_size: u64,
    /// Free bytes of the disk below which the oldest windows go before their time, at most one a minute and never
    /// the newest day; below half of it nothing is written anew, below a fifth nothing is sealed. A tenth of the
    /// disk and at most 10GB where absent; 0: none of it.
    #[arg(long = "storage.disk-reserve", value_name = "SIZE", value_parser = bytes)]
    pub disk_reserve: Option<u64>,
    /// Bytes of memory, with all that the process has, at which no new series is begun; before that caches become
    /// small and rows of the head go to the disk early. Three fifths of what the control group or the machine has
    /// where absent; 0: no limit.
    #[arg(long = "storage.memory-limit", value_name = "SIZE", value_parser = bytes)]
    pub memory_limit: Option<u64>,
    /// Memory for caches and write buffers of sealed windows, such as 16MB; at least 1MB. What does not fit is read
    /// from the disk again.
    #[arg(
        long = "storage.tsdb.sealed-cache-size",
        default_value = "16MB",
        value_name = "SIZE",
        value_parser = sealed_memory
    )]
    pub sealed_memory: u64,
}

/// Limits of remote read.
#[derive(Args, Clone, Copy, Debug)]
pub struct RemoteReadFlags {
    /// Most samples that one remote read query may return; 0 for no limit.
    #[arg(long = "storage.remote.read-sample-limit", default_value_t = 50_000_000)]
    pub samples_max: usize,
    /// Remote read requests that are answered at a time; more wait.
    #[arg(long = "storage.remote.read-concurrent-limit", default_value_t = 10)]
    pub concurrent_max: usize,
    /// Bytes of one frame of a streamed remote read answer, before compression.
    #[arg(long = "storage.remote.read-max-bytes-in-frame", default_value_t = 1 << 20)]
    pub frame_max: usize,
}

/// Limits of queries.
#[derive(Args, Clone, Debug)]
pub struct QueryFlags {
    /// How far back an instant looks for a sample.
    #[arg(long = "query.lookback-delta", default_value = "5m", value_parser = duration)]
    pub lookback_delta: Duration,
    /// Longest time for a query, waiting included.
    #[arg(long = "query.timeout", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
    /// Most queries at a time; more wait.
    #[arg(long = "query.max-concurrency", default_value_t = 20)]
    pub max_concurrency: usize,
    /// Most samples that one query may hold.
    #[arg(long = "query.max-samples", default_value_t = 50_000_000)]
    pub max_samples: usize,
    /// Experimental features.
    #[command(flatten)]
    pub features: FeatureFlags,
}

/// Experimental features of the language.
#[derive(Args, Clone, Debug, Default)]
pub struct FeatureFlags {
    /// Experimental features, as Prometheus names them: promql-experimental-functions,
    /// promql-extended-range-selectors, promql-binop-fill-modifiers, promql-delayed-name-removal,
    /// promql-per-step-stats, search-api, st-storage, use-start-timestamps.
    #[arg(long = "enable-feature", value_name = "FEATURE", value_delimiter = ',')]
    features: Vec<String>,
}

impl FeatureFlags {
    /// From the flag's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { features: text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect() }
    }

    /// Whether a feature is among them.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Makes queries, those of rules too, take what the flags enable: before anything is parsed.
    pub fn enable(&self) {
        let features = Features {
            experimental_functions: self.has("promql-experimental-functions"),
            extended_range_selectors: self.has("promql-extended-range-selectors"),
            fill_modifiers: self.has("promql-binop-fill-modifiers"),
        };
        features.enable();
        for feature in self.unknown() {
            tracing::warn!(feature, "unknown option for --enable-feature");
        }
    }

    /// Those that nobody knows.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(String::as_str).filter(|feature| !FEATURES.contains(feature))
    }
}

/// What `--enable-feature` knows; the last ones are always on, as in Prometheus 3.14.
const FEATURES: [&str; 11] = [
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-per-step-stats",
    "search-api",
    "st-storage",
    "use-start-timestamps",
    "promql-duration-expr",
    "native-histograms",
    "ooo-native-histograms",
];

/// How rules behave.
#[derive(Args, Clone, Debug)]
pub struct RuleFlags {
    /// Longest outage after which `for` states are restored.
    #[arg(long = "rules.alert.for-outage-tolerance", default_value = "1h", value_parser = duration)]
    pub outage_tolerance: Duration,
    /// Shortest time between an alert and its restored `for` state.
    #[arg(long = "rules.alert.for-grace-period", default_value = "10m", value_parser = duration)]
    pub grace_period: Duration,
    /// Shortest time before an alert is sent again.
    #[arg(long = "rules.alert.resend-delay", default_value = "1m", value_parser = duration)]
    pub resend_delay: Duration,
    /// Distinct alerts that wait for one alertmanager, at most.
    #[arg(long = "alertmanager.notification-queue-capacity", default_value_t = 10_000)]
    pub queue_capacity: usize,
}

/// What is logged.
#[derive(Args, Clone, Debug)]
pub struct LogFlags {
    /// Least severe events that are logged: debug, info, warn, error.
    #[arg(long = "log.level", default_value = "info")]
    pub level: telemetry::LogLevel,
    /// How a line looks: logfmt, json.
    #[arg(long = "log.format", default_value = "logfmt")]
    pub format: telemetry::LogFormat,
}

impl StorageFlags {
    /// How long samples are kept: the file's word before the flag's.
    #[must_use]
    pub fn retention_time(&self, file: &StorageSection) -> Duration {
        file.retention_time.unwrap_or(self.retention_time)
    }

    /// Bytes of memory at which no new series is begun; 0: no limit.
    #[must_use]
    pub fn memory_max(&self) -> u64 {
        self.memory_limit.unwrap_or_else(|| env::memory_max().map_or(0, |all| all / 5 * 3))
    }

    /// Bytes that the store may use: the file's word before the flag's.
    #[must_use]
    pub fn retention_size(&self, file: &StorageSection) -> u64 {
        file.retention_size.unwrap_or(self.retention_size)
    }

    /// Bytes that caches and write buffers of sealed windows may take up.
    #[must_use]
    pub fn sealed_memory(&self) -> usize {
        usize::try_from(self.sealed_memory).unwrap_or(usize::MAX)
    }
}

/// What both programs' `run` takes.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// Listening for HTTP.
    #[command(flatten)]
    pub web: WebFlags,
    /// Keeping samples.
    #[command(flatten)]
    pub storage: StorageFlags,
    /// Queries.
    #[command(flatten)]
    pub query: QueryFlags,
    /// Remote read.
    #[command(flatten)]
    pub remote_read: RemoteReadFlags,
    /// Rules.
    #[command(flatten)]
    pub rules: RuleFlags,
    /// Logging.
    #[command(flatten)]
    pub log: LogFlags,
}

impl CommonFlags {
    /// How queries are evaluated. A subquery without a step takes the rules' interval.
    #[must_use]
    pub fn engine_options(&self, loaded: &Loaded) -> EngineOptions {
        EngineOptions {
            lookback_delta: self.query.lookback_delta,
            max_samples: self.query.max_samples,
            timeout: self.query.timeout,
            max_concurrent: self.query.max_concurrency,
            subquery_step: loaded.global.evaluation_interval,
            delayed_name_removal: self.query.features.has("promql-delayed-name-removal"),
            use_start_timestamps: self.query.features.has("use-start-timestamps"),
            per_step_stats: self.query.features.has("promql-per-step-stats"),
            ..EngineOptions::default()
        }
    }

    /// How the query API answers.
    #[must_use]
    pub fn api_options(&self) -> ApiOptions {
        ApiOptions {
            lookback: self.query.lookback_delta,
            samples_max: self.query.max_samples,
            cors_origin: self.web.cors_origin.clone(),
            listeners_max: self.web.listeners_max,
            search_max: self.query.features.has("search-api").then_some(self.web.search_max),
            remote_read: RemoteReadOptions {
                samples_max: self.remote_read.samples_max,
                concurrent_max: self.remote_read.concurrent_max,
                frame_max: self.remote_read.frame_max,
            },
            ..ApiOptions::default()
        }
    }
}

/// Reads `15s`, `5m`, `15d`.
///
/// # Errors
/// When it is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    model::parse_duration(text).map_err(|error| error.to_string())
}

/// Reads `512MB`, `10GB`; units are powers of 1024, as in Prometheus.
///
/// # Errors
/// When it is no size.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        "PB" | "PiB" => 50,
        _ => return Err(format!("no size: {text:?}, expected a number with B, KB, MB, GB, TB or PB")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("no size: {text:?}, expected a number with a unit"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is beyond 2^64 bytes"))
}

/// The same for the memory of sealed windows, which do not do with less than 1 MB.
///
/// # Errors
/// When it is no size, or less.
pub fn sealed_memory(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        small @ ..SEALED_MEMORY_MIN => Err(format!("{small} bytes are too few, expected 1MB or more")),
        enough => Ok(enough),
    }
}

/// Reads `host:port`, and `:port` for every address of the host.
///
/// # Errors
/// When it names no address.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    let mut addresses =
        whole.to_socket_addrs().map_err(|error| format!("{text:?}: {error}, expected HOST:PORT"))?;
    addresses.next().ok_or_else(|| format!("{text:?} names no address"))
}

/// The flags of a command as it was called, defaults included: name to value.
#[must_use]
pub fn shown(command: &clap::Command, matches: &clap::ArgMatches) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long() else { continue };
        let values = matches.get_raw(argument.get_id().as_str());
        let text = values.map(|values| {
            values.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
        });
        out.insert(long.to_owned(), text.unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, size) in [("0", 0), ("512", 512), ("2KB", 2_048), ("3MiB", 3 << 20), ("1TB", 1 << 40)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "GB", "1kB", "-1", "99999999PB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(sealed_memory("1MB"), Ok(1 << 20));
        assert!(sealed_memory("1023KB").is_err() && sealed_memory("0").is_err());
    }

    #[test]
    fn a_port_alone_is_every_address() {
        assert_eq!(listen_address(":9090").expect("valid").port(), 9090);
        assert_eq!(listen_address("127.0.0.1:1"), Ok(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert!(listen_address("localhost").is_err());
    }
}
