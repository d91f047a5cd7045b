//! The queries that are asked: those of dashboards (ranges of two hours in steps of a minute), of rules (at one time),
//! and heavy ones.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At the end of the data.
    Instant,
    /// The time before it, in steps, both in seconds.
    Range(i64, i64),
}

/// One query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// What it is called in tables.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) when: When,
    /// Whether it needs native histograms, which not every system has.
    pub(super) native: bool,
}

/// Two hours, a point a minute.
const DASHBOARD: When = When::Range(7_200, 60);
const SIX_HOURS: When = When::Range(21_600, 60);
const MONTH: When = When::Range(30 * 86_400, 3_600);

const fn ask(name: &'static str, when: When, text: &'static str) -> Query {
    Query { name, text, when, native: false }
}

/// All of them, in order of their numbers.
pub(super) const QUERIES: [Query; 29] = [
    ask("1 instant", When::Instant, "up == 0"),
    ask("2 instant", When::Instant, "sum by (job) (up) / count by (job) (up)"),
    ask(
        "3 range",
        DASHBOARD,
        r#"100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100"#,
    ),
    ask("4 instant", When::Instant, "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    ask("4 range", DASHBOARD, "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    ask("5 range 6 h", SIX_HOURS, "sum by (instance) (rate(node_interrupts_total[5m]))"),
    ask(
        "6 range",
        DASHBOARD,
        r#"rate(node_network_receive_bytes_total{device!~"lo|veth.*",job!="month"}[5m]) * 8"#,
    ),
    ask("7 range", DASHBOARD, "irate(node_disk_io_time_seconds_total[2m])"),
    ask("8 range", DASHBOARD, "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"),
    ask(
        "9 range",
        DASHBOARD,
        r#"1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"} / node_filesystem_size_bytes"#,
    ),
    ask("10 instant", When::Instant, "predict_linear(node_filesystem_avail_bytes[6h], 4 * 3600) < 0"),
    ask(
        "11 range",
        DASHBOARD,
        r#"node_load1 / on (instance) count by (instance) (node_cpu_seconds_total{mode="idle"})"#,
    ),
    ask("12 range", DASHBOARD, "topk(10, rate(node_interrupts_total[5m]))"),
    ask("13a instant", When::Instant, "topk(10, scrape_samples_scraped)"),
    ask("13b instant", When::Instant, r#"topk(20, count by (__name__) ({__name__!=""}))"#),
    ask(
        "14 range",
        DASHBOARD,
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    ask(
        "15 range",
        DASHBOARD,
        "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    Query {
        native: true,
        ..ask("16 range", DASHBOARD, "histogram_quantile(0.9, sum(rate(native_latency_seconds[5m])))")
    },
    ask(
        "17 instant",
        When::Instant,
        r#"sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05"#,
    ),
    ask(
        "18 instant",
        When::Instant,
        r#"(sum(rate(http_requests_total{code=~"5.."}[1h])) / sum(rate(http_requests_total[1h])) > 14.4*0.001) and (sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 14.4*0.001)"#,
    ),
    ask("19 range", DASHBOARD, "max_over_time(node_scrape_collector_duration_seconds[30m])"),
    ask(
        "20 range",
        DASHBOARD,
        "avg by (collector) (avg_over_time(node_scrape_collector_duration_seconds[1h]))",
    ),
    ask("21 range", DASHBOARD, "quantile_over_time(0.95, node_load1[1d])"),
    ask(
        "22 range 30 d",
        MONTH,
        r#"sum by (instance) (increase(node_network_receive_bytes_total{job="month"}[1h]))"#,
    ),
    ask(
        "22 instant 30 d",
        When::Instant,
        r#"sum by (instance) (increase(node_network_receive_bytes_total{job="month"}[30d]))"#,
    ),
    ask(
        "23 instant",
        When::Instant,
        r#"max_over_time(sum(rate(node_cpu_seconds_total{mode!="idle"}[5m]))[1d:5m])"#,
    ),
    ask("24a instant", When::Instant, "changes(node_boot_time_seconds[1h]) > 0"),
    ask("24b instant", When::Instant, r#"absent(up{job="x"})"#),
    ask(
        "25 range",
        DASHBOARD,
        r#"rate(node_network_receive_bytes_total{job!="month"}[5m]) * on (instance) group_left (nodename) node_uname_info"#,
    ),
];

/// What is asked besides: paths of the API with their parameters.
pub(super) const METADATA: [(&str, &str); 6] = [
    ("label names", "/api/v1/labels"),
    ("values of __name__", "/api/v1/label/__name__/values"),
    ("values of instance", "/api/v1/label/instance/values"),
    ("series, one matcher", "/api/v1/series?match%5B%5D=node_cpu_seconds_total"),
    ("series, regex", "/api/v1/series?match%5B%5D=%7B__name__%3D~%22node_network_.*%22%7D"),
    ("TSDB status", "/api/v1/status/tsdb"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_there() {
        for number in 1..=25 {
            let is_it = |query: &&Query| {
                let digits = query.name.trim_start_matches(|c: char| c.is_ascii_digit());
                query.name.strip_suffix(digits) == Some(number.to_string().as_str())
            };
            assert!(QUERIES.iter().any(|query| is_it(&query)), "{number}");
        }
        assert!(QUERIES.iter().all(|query| promql::parse(query.text).is_ok()));
    }
}
