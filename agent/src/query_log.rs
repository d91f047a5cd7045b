//! What queries cost, counted, and the query log (`global.query_log_file`): a JSON line for each query that ended, with
//! the fields that Prometheus writes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use env::SharedClock;
use parking_lot::Mutex;
use promql::{Ended, Origin, QueryLog};
use serde_json::{Map, Value, json};
use telemetry::{Counter, Gauge, Registry};

/// Counts queries, and writes them down where that is asked for.
#[derive(Debug)]
pub struct QueryRecord {
    clock: SharedClock,
    file: Mutex<Option<File>>,
    enabled: Gauge,
    failures: Counter,
    samples: Counter,
    read: Counter,
}

impl QueryRecord {
    /// Without a file at first.
    #[must_use]
    pub fn new(clock: SharedClock, concurrent_max: usize, registry: &Registry) -> Arc<Self> {
        let record = Self {
            clock,
            file: Mutex::new(None),
            enabled: Gauge::default(),
            failures: Counter::default(),
            samples: Counter::default(),
            read: Counter::default(),
        };
        let most: Gauge = Gauge::default();
        most.set(i64::try_from(concurrent_max).unwrap_or(i64::MAX));
        registry.register(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
            most,
        );
        registry.register(
            "prometheus_engine_query_log_enabled",
            "State of the query log.",
            record.enabled.clone(),
        );
        registry.register(
            "prometheus_engine_query_log_failures",
            "The number of query log failures.",
            record.failures.clone(),
        );
        registry.register(
            "prometheus_engine_query_samples",
            "The total number of samples loaded by all queries.",
            record.samples.clone(),
        );
        registry.register(
            "prometheus_engine_query_samples_read",
            "The total number of samples read from storage by all queries.",
            record.read.clone(),
        );
        Arc::new(record)
    }

    /// Opens the file to add to, where there is to be one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Option<File>> {
        let Some(path) = path else { return Ok(None) };
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map(Some).with_context(|| format!("query_log_file {}", path.display()))
    }

    /// Writes to another file from now on, or to none. A file that was moved away is let go.
    pub fn replace(&self, file: Option<File>) {
        self.enabled.set(i64::from(file.is_some()));
        *self.file.lock() = file;
    }
}

impl QueryLog for QueryRecord {
    fn ended(&self, query: &Ended<'_>) {
        self.samples.inc_by(query.stats.total_samples);
        self.read.inc_by(query.stats.samples_read);
        let mut file = self.file.lock();
        let Some(file) = file.as_mut() else { return };
        let mut line = line(query, self.clock.now_ms()).to_string();
        line.push('\n');
        // One write a line: several processes may share the file. A disk that is full costs the line, not the query.
        if file.write_all(line.as_bytes()).is_err() {
            self.failures.inc();
        }
    }
}

/// A time with its milliseconds, as Prometheus's log has it.
fn date(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MIN);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn line(query: &Ended<'_>, now_ms: i64) -> Value {
    let text = match query.origin {
        Some(Origin::Http { query, .. }) => query.clone(),
        _ => query.expr.to_string(),
    };
    let stats = &query.stats;
    let seconds = |time: Duration| time.as_secs_f64();
    let evaluation = seconds(stats.took.saturating_sub(stats.queued));
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("time", date(now_ms).into());
    put("level", "INFO".into());
    put("msg", "promql query logged".into());
    put(
        "params",
        json!({
            "query": text,
            "start": date(query.start),
            "end": date(query.end),
            "step": query.step / 1_000,
        }),
    );
    if let Some(error) = query.error {
        put("error", error.to_string().into());
    }
    put(
        "stats",
        json!({
            "timings": {
                "evalTotalTime": evaluation,
                "resultSortTime": 0,
                "queryPreparationTime": 0,
                "innerEvalTime": evaluation,
                "execQueueTime": seconds(stats.queued),
                "execTotalTime": seconds(stats.took),
            },
            "samples": {
                "totalQueryableSamples": stats.total_samples,
                "samplesRead": stats.samples_read,
                "peakSamples": stats.peak_samples,
            },
        }),
    );
    match query.origin {
        Some(Origin::Http { client, method, path, .. }) => {
            put("httpRequest", json!({ "clientIP": client, "method": method, "path": path }));
        }
        Some(Origin::RuleGroup { file, name }) => put("ruleGroup", json!({ "file": file, "name": name })),
        None => {}
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use env::SimulatedClock;
    use promql::{EvalError, QueryStats};

    use super::*;

    fn asked<'a>(
        expr: &'a promql::Expr,
        origin: Option<&'a Origin>,
        error: Option<&'a EvalError>,
    ) -> Ended<'a> {
        let stats = QueryStats {
            total_samples: 4,
            samples_read: 3,
            peak_samples: 2,
            queued: Duration::from_millis(500),
            took: Duration::from_secs(2),
        };
        Ended { expr, origin, start: 1_700_000_000_120, end: 1_700_000_060_000, step: 15_000, stats, error }
    }

    #[test]
    fn a_query_is_a_line_and_a_reload_opens_the_file_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("query.log");
        let record = QueryRecord::new(SimulatedClock::at(1_700_000_060_500), 20, &Registry::new());
        let open = || QueryRecord::open(Some(&path)).expect("opens");
        let expr = promql::parse("sum(up)").expect("a query");
        record.ended(&asked(&expr, None, None));
        record.replace(open());
        let (http, rule) = (
            Origin::Http {
                query: "sum( up )".to_owned(),
                client: "10.0.0.1".to_owned(),
                method: "GET".to_owned(),
                path: "/api/v1/query_range".to_owned(),
            },
            Origin::RuleGroup { file: "rules.yml".to_owned(), name: "web".to_owned() },
        );
        record.ended(&asked(&expr, Some(&http), None));
        // As log rotation does: moved away, and then told to reload.
        let moved = dir.path().join("query.log.1");
        std::fs::rename(&path, &moved).expect("moves");
        record.replace(open());
        record.ended(&asked(&expr, Some(&rule), Some(&EvalError::Timeout("query queue"))));
        record.replace(None);
        record.ended(&asked(&expr, None, None));
        let read = |path: &Path| -> Vec<Value> {
            let text = std::fs::read_to_string(path).expect("reads");
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let stats = json!({
            "timings": {
                "evalTotalTime": 1.5, "resultSortTime": 0, "queryPreparationTime": 0, "innerEvalTime": 1.5,
                "execQueueTime": 0.5, "execTotalTime": 2.0,
            },
            "samples": { "totalQueryableSamples": 4, "samplesRead": 3, "peakSamples": 2 },
        });
        let line = |query: &str, more: (&str, Value), error: Option<&str>| {
            let mut line = json!({
                "time": "2023-11-14T22:14:20.500Z",
                "level": "INFO",
                "msg": "promql query logged",
                "params": {
                    "query": query, "start": "2023-11-14T22:13:20.120Z", "end": "2023-11-14T22:14:20.000Z", "step": 15,
                },
                "stats": stats,
            });
            line[more.0] = more.1;
            if let Some(error) = error {
                line["error"] = error.into();
            }
            line
        };
        let request = json!({ "clientIP": "10.0.0.1", "method": "GET", "path": "/api/v1/query_range" });
        assert_eq!(read(&moved), [line("sum( up )", ("httpRequest", request), None)]);
        let group = json!({ "file": "rules.yml", "name": "web" });
        let error = Some("query timed out in query queue");
        assert_eq!(read(&path), [line("sum(up)", ("ruleGroup", group), error)]);
        assert_eq!((record.samples.get(), record.read.get()), (16, 12));
        let missing = QueryRecord::open(Some(&dir.path().join("none/query.log")));
        assert!(missing.is_err_and(|error| error.to_string().contains("query_log_file")));
    }
}
