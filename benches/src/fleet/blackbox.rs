//! The page of a probe by a blackbox_exporter: about twenty series, most of them durations.

use super::builder::Builder;
use super::series::{Class, Model};
use super::unit::Unit;

/// Phases of a request with their median in nanoseconds.
const PHASES: [(&str, f32); 5] =
    [("connect", 9.0e6), ("processing", 42.0e6), ("resolve", 3.0e6), ("tls", 21.0e6), ("transfer", 0.4e6)];
const FACTS: [(&str, &str, i64); 11] = [
    ("probe_failed_due_to_regex", "Indicates if probe failed due to regex.", 0),
    ("probe_http_content_length", "Length of http content response.", -1),
    ("probe_http_redirects", "The number of redirects.", 1),
    ("probe_http_ssl", "Indicates if SSL was used for the final redirect.", 1),
    ("probe_http_status_code", "Response HTTP status code.", 200),
    ("probe_http_version", "Returns the version of HTTP of the probe response.", 2),
    (
        "probe_http_last_modified_timestamp_seconds",
        "Returns the Last-Modified HTTP response header.",
        1_690_000_000,
    ),
    ("probe_ip_addr_hash", "Specifies the hash of IP address.", 2_214_619_533),
    ("probe_ip_protocol", "Specifies whether probe ip protocol is IP4 or IP6.", 4),
    ("probe_ssl_earliest_cert_expiry", "Returns earliest SSL cert expiry in unixtime.", 1_811_111_111),
    ("probe_success", "Displays whether or not the probe was a success.", 1),
];

/// Writes the page.
pub(super) fn families(b: &mut Builder<'_>) {
    b.family(
        "probe_http_duration_seconds",
        "gauge",
        "Duration of http request by phase, summed over all redirects.",
    );
    for (phase, median) in PHASES {
        let number = b.draws.log_normal(f64::from(median), 0.2);
        let labels = format!("{{phase=\"{phase}\"}}");
        b.sample("", &labels, Unit::Nanos, Model::Fresh(Class::Always, median, 0.2), number);
    }
    for (name, median) in [("probe_dns_lookup_time_seconds", 3.0e6), ("probe_duration_seconds", 80.0e6)] {
        let number = b.draws.log_normal(f64::from(median), 0.2);
        let model = Model::Fresh(Class::Always, median, 0.2);
        b.single(name, "gauge", "How long the probe took in seconds.", Unit::Nanos, model, number);
    }
    let name = "probe_http_uncompressed_body_length";
    b.gauge(name, "Length of uncompressed response body.", Unit::One, Class::Rare, (30_000, 34_000));
    for (name, help, number) in FACTS {
        let model = if name == "probe_success" { Model::Flap(Class::Seldom) } else { Model::Constant };
        b.single(name, "gauge", help, Unit::One, model, number);
    }
    b.family("probe_tls_version_info", "gauge", "Returns the TLS version used.");
    b.sample("", "{version=\"TLS 1.3\"}", Unit::One, Model::Constant, 1);
}
